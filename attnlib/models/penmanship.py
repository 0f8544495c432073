"""The experiment of notebook 08: what knowing the text is worth to a pen."""

import collections
import dataclasses
import math

import numpy as np
from keras import ops

from attnlib import datasets
from attnlib.datasets import hershey, strokes
from attnlib.models import handwriting
from attnlib.models.handwriting import (
    HandwritingPrediction,
    HandwritingSynthesis,
)
from attnlib.models.provenance import Provenance, digest_of
from attnlib.models.weight_noise import AdaptiveWeightNoise
from attnlib.text import pad
from attnlib.training import Batches, train_or_load, warmed_adam

# Stands for every character of a data set that is too rare to be learned.
RARE = "\N{WHITE SQUARE}"
_OFTEN = 50
_EVALUATED = 256
# Points that one batch holds at most where nothing is learned: lines of
# IAM-OnDB are ten times as long as made-up ones.
_AT_ONCE = 2**16
_FEW = 100
_SPLITS = ("train", "validation", "test")
_RECIPE = (
    "units components window_components batch_size learning_rate "
    "warmup_steps buckets"
).split()


@dataclasses.dataclass(frozen=True)
class Task(Provenance):
    """Lines of handwriting, as networks read them.

    Attributes:
        train: Dict of `strokes`, a list of float32 (T, 3): offsets of mean 0
            and standard deviation 1 over the training lines, the first one 0;
            `text`, a list of str of the alphabet; and what else the data set
            knows, `letters` and `writer`.
        validation: Likewise.
        test: Likewise.
        alphabet: Characters; their ids start with 1.
        mean: Of the training offsets, (2,), in units of the data set.
        scale: Their standard deviation, (2,).
        name: Name of the data set.
        digest: Its digest.
        description: What the data is, in words.
    """

    train: dict
    validation: dict
    test: dict
    alphabet: str
    mean: np.ndarray
    scale: np.ndarray
    name: str
    digest: str
    description: str

    @property
    def knows_letters(self) -> bool:
        """Return whether it is known which letter a point draws."""
        return "letters" in self.test

    def encode(self, text) -> list:
        """Return the ids of a text's characters.

        Args:
            text: Characters of the alphabet.

        Raises:
            ValueError: A character is not in the alphabet.
        """
        hershey.check_characters(text, self.alphabet)
        return [self.alphabet.index(character) + 1 for character in text]

    def points(self, line) -> np.ndarray:
        """Return where the points of a line are, in units of the data set.

        Args:
            line: (T, 3), offsets as networks read and write them.

        Returns:
            float64 (T, 3), as of `attnlib.datasets.strokes`.
        """
        line = np.array(strokes.check(line), np.float64)
        line[1:, :2] = line[1:, :2] * self.scale + self.mean
        return strokes.to_points(line)


def load_task(settings) -> Task:
    """Load lines and normalise them.

    Args:
        settings: A `profiles.Handwriting`.

    Returns:
        A `Task`. Mean, standard deviation and alphabet are of the training
        lines alone, and so are limits of their length: all lines of the other
        splits count.
    """
    made = settings.dataset == "hershey"
    counts = dict.fromkeys(_SPLITS, settings.held_out)
    counts["train"] = settings.examples
    if made:
        options = {
            split: {"most": settings.characters, "count": counts[split]}
            for split in _SPLITS
        }
        plan = f"{datasets.digest(settings.dataset, **options['test'])}"
    else:
        options = dict.fromkeys(_SPLITS, {})
        options["train"] = {"longest": settings.points}
        longest = datasets.digest(settings.dataset, **options["train"])
        plan = f"{longest} {datasets.digest(settings.dataset)}"
    data = {
        split: datasets.load(settings.dataset, split, **options[split])
        for split in _SPLITS
    }
    plan = f"{plan} {counts}"
    alphabet = hershey.ALPHABET if made else _alphabet(data["train"]["text"])
    mean, scale = _measures(data["train"]["strokes"])
    splits = {
        split: {
            **part,
            "strokes": [_normal(line, mean, scale) for line in part["strokes"]],
            "text": [_known(text, alphabet) for text in part["text"]],
        }
        for split, part in data.items()
    }
    limit = ""
    if not made and settings.points:
        limit = f" of up to {settings.points} points"
    return Task(
        **splits,
        alphabet=alphabet,
        mean=mean,
        scale=scale,
        name=settings.dataset,
        digest=digest_of(plan),
        description=(
            f"{settings.dataset}, {len(splits['train']['text'])} training "
            f"lines{limit}, {len(splits['test']['text'])} test lines, offsets "
            "of mean 0 and standard deviation 1"
        ),
    )


def _alphabet(texts):
    """Return the characters that occur often, and one for all others."""
    counts = collections.Counter("".join(texts))
    often = sorted(c for c, count in counts.items() if count >= _OFTEN)
    return "".join([*often, RARE])


def _known(text, alphabet):
    return "".join(c if c in alphabet else RARE for c in text)


def _measures(lines):
    ways = np.concatenate([line[1:, :2] for line in lines]).astype(np.float64)
    return ways.mean(axis=0), ways.std(axis=0)


def _normal(line, mean, scale):
    line = line.astype(np.float32)
    line[1:, :2] = (line[1:, :2] - mean) / scale
    line[0, :2] = 0
    return line


def groups(task, split, buckets) -> list:
    """Group lines of similar length.

    Args:
        task: A `Task`.
        split: `"train"`, `"validation"` or `"test"`.
        buckets: Number of groups of about equal size.

    Returns:
        A list of `(x, y, rows)`: x has `strokes` (N, T, 3), without the last
        point, and `text` (N, S); y (N, T, 3) has the next points, padded with
        -1; rows are the lines' numbers in the split.

    Raises:
        ValueError: A line has NaN or infinite numbers, or is none, or its text
            is empty or has characters that the alphabet lacks.
    """
    data = getattr(task, split)
    for row, line in enumerate(data["strokes"]):
        _check_line(task, line, data["text"][row], f"line {row} of {split}")
    sizes = [len(line) for line in data["strokes"]]
    order = np.argsort(sizes, kind="stable")
    # One width of texts in all groups: TensorFlow compares two of them only.
    longest = max(map(len, data["text"]))
    found = []
    for rows in np.array_split(order, buckets):
        if not len(rows):
            continue
        steps = sizes[rows[-1]] - 1
        x = np.zeros((len(rows), steps, 3), "float32")
        y = np.full((len(rows), steps, 3), handwriting.PADDING, "float32")
        ids = [task.encode(data["text"][row]) for row in rows]
        for place, row in enumerate(rows):
            line = data["strokes"][row]
            x[place, : len(line) - 1] = line[:-1]
            y[place, : len(line) - 1] = line[1:]
        found.append(({"strokes": x, "text": pad(ids, longest)}, y, rows))
    return found


def _check_line(task, line, text, where):
    try:
        strokes.check(line)
        hershey.check_text(text, task.alphabet)
    except ValueError as error:
        raise ValueError(f"{error}, in {where}") from error


def build(settings, task, kind, steps):
    """Return a compiled network of a kind.

    Args:
        settings: A `profiles.Handwriting`.
        task: A `Task`.
        kind: `"synthesis"`, which reads the text, or `"prediction"`, which
            does not; with `settings.layers` layers, or one where
            `"-1-layer"` follows; `"-noise"` is for `train`.
        steps: Number of updates that the learning rate decays over.

    Raises:
        ValueError: There is no such kind.
    """
    name, rest = _parse(kind)
    sizes = (1 if rest == "1-layer" else settings.layers, settings.units)
    if name == "synthesis":
        model = HandwritingSynthesis(
            len(task.alphabet),
            *sizes,
            settings.components,
            settings.window_components,
        )
    else:
        model = HandwritingPrediction(*sizes, settings.components)
    model.build()
    model.compile(warmed_adam(settings, steps))
    return model


def _parse(kind):
    """Return what a network reads, and what else is special about it."""
    name, _, rest = kind.partition("-")
    known = name in ("synthesis", "prediction")
    if not known or rest not in ("", "1-layer", "noise"):
        raise ValueError(
            "expected synthesis or prediction, perhaps with -1-layer or "
            f"-noise behind it. Received: {kind!r}"
        )
    return name, rest


def _noisy(settings, network, lines, steps):
    """Return a trained network with adaptive noise on its weights, compiled."""
    points = sum(
        int((y[..., 2] != handwriting.PADDING).sum()) for _, y, _ in lines
    )
    noisy = AdaptiveWeightNoise(network, points, seed=settings.seed)
    noisy.compile(warmed_adam(settings, steps))
    return noisy


def train(settings, task, kind):
    """Train one network, or load what was trained.

    Args:
        settings: A `profiles.Handwriting`.
        task: A `Task`.
        kind: As in `build`. A kind with `"-noise"` is trained as the one
            without, then as long again with adaptive noise on its weights.

    Returns:
        An `attnlib.training.Training`, whose history has the `val_nll`,
        `val_nll_point` and `val_sse` of `evaluate`. Weights that were noisy
        are their means.
    """
    name, rest = _parse(kind)
    if rest != "noise":
        return _trained(
            settings,
            task,
            kind,
            lambda lines, steps: build(settings, task, kind, steps),
        )
    plain = train(settings, task, name)
    noisy = _trained(
        settings,
        task,
        kind,
        lambda lines, steps: _noisy(settings, plain.model, lines, steps),
    )
    return dataclasses.replace(
        noisy,
        model=noisy.model.network,
        seconds=plain.seconds + noisy.seconds,
    )


def _trained(settings, task, kind, make):
    """Train what `make` builds of the training lines and a number of steps."""
    found = groups(task, "train", settings.buckets)
    batches = Batches(
        [(x, y) for x, y, _ in found], settings.batch_size, settings.seed
    )
    steps = settings.epochs * len(batches.epoch(0))

    def validate(model):
        logs = evaluate(model, task, "validation")
        return {f"val_{key}": value for key, value in logs.items()}

    return train_or_load(
        lambda: make(found, steps),
        batches,
        name=f"handwriting-{kind}-{task.name}",
        config={
            "kind": kind,
            "layers": settings.layers,
            **{key: getattr(settings, key) for key in _RECIPE},
        },
        epochs=settings.epochs,
        data_digest=task.digest,
        seed=settings.seed,
        version=handwriting.VERSION,
        validation=validate,
    )


def train_all(settings, task) -> dict:
    """Train, or load, every network of a profile.

    Args:
        settings: A `profiles.Handwriting`.
        task: A `Task`.

    Returns:
        Dict from the kinds in `settings.models` to `training.Training`.
    """
    return {kind: train(settings, task, kind) for kind in settings.models}


def evaluate(model, task, split="test", buckets=None) -> dict:
    """Return how surprised a network is by given lines.

    Args:
        model: A compiled network.
        task: A `Task`.
        split: `"train"`, `"validation"` or `"test"`.
        buckets: Number of groups of lines of similar length; None for two,
            or one where lines are few.

    Returns:
        Dict of floats: `nll`, nats per line; `nll_point`, nats per point;
        `sse`, squared distance of the next offset and its expectation per
        point. All with offsets normalised as the task has them.

    Raises:
        ValueError: Of `groups`.
    """
    if buckets is None:
        # Few lines are padded sooner than a second shape is compiled.
        buckets = 1 if len(getattr(task, split)["text"]) < _FEW else 2
    lines = points = total = error = 0.0
    for x, y, rows in groups(task, split, buckets):
        logs = model.evaluate(
            x,
            y,
            batch_size=min(len(rows), _EVALUATED, _AT_ONCE // y.shape[1] or 1),
            verbose=0,
            return_dict=True,
        )
        known = float((y[..., 2] != handwriting.PADDING).sum())
        lines, points = lines + len(rows), points + known
        total += logs["nll"] * len(rows)
        error += logs["sse"] * known
    return {
        "nll": total / lines,
        "nll_point": total / points,
        "sse": error / points,
    }


def one_gaussian(task, split="test") -> dict:
    """Return what a density that looks at nothing is worth.

    All next points get one density, the Gaussian of the training lines' offsets
    times their share of lifted pens. Nothing is trained.

    Args:
        task: A `Task`.
        split: `"train"`, `"validation"` or `"test"`.

    Returns:
        Dict of `nll`, `nll_point` and `sse` as of `evaluate`.
    """
    known, lines = (
        [line[1:].astype(np.float64) for line in part["strokes"]]
        for part in (task.train, getattr(task, split))
    )
    known, points = np.concatenate(known), np.concatenate(lines)
    mean, lifted = known[:, :2].mean(axis=0), known[:, 2].mean()
    spread = np.cov(known[:, :2], rowvar=False, bias=True)
    away = points[:, :2] - mean
    squares = np.einsum("ni,ij,nj->n", away, np.linalg.inv(spread), away)
    nats = 0.5 * squares + 0.5 * np.linalg.slogdet(2 * np.pi * spread)[1]
    nats -= np.log(np.where(points[:, 2] == 1, lifted, 1 - lifted))
    return {
        "nll": float(nats.sum() / len(lines)),
        "nll_point": float(nats.mean()),
        "sse": float((away**2).sum(axis=1).mean()),
    }


def look(model, task, split="test", count=None, rows=None) -> list:
    """Let a synthesis network read given lines, and watch its window.

    Args:
        model: A `HandwritingSynthesis`.
        task: A `Task`.
        split: `"train"`, `"validation"` or `"test"`.
        count: Read so many lines at most, the first ones; None reads all.
        rows: Numbers of the lines to read, instead; or None.

    Returns:
        One dict for each line, of arrays of the points but the first: `phi`
        (T - 1, S), the weights of the characters when the point was to come;
        `kappa` (T - 1, K'); `outputs` (T - 1, 6 K + 1).

    Raises:
        ValueError: The network reads no text, there is no line of a number in
            `rows`, or as of `groups`.
    """
    _check_reads(model)
    data = getattr(task, split)
    total = len(data["text"])
    if rows is None:
        rows = range(total if count is None else min(count, total))
    wrong = [row for row in rows if not 0 <= row < total]
    if wrong:
        raise ValueError(
            f"expected numbers of lines from 0 to {total - 1}. Received: "
            f"{wrong}"
        )
    few = {k: [data[k][row] for row in rows] for k in ("strokes", "text")}
    part = dataclasses.replace(task, **{split: few})
    found = [None] * len(few["text"])
    if not found:
        return found
    points = len(found) * max(map(len, few["strokes"]))
    for x, _, places in groups(part, split, math.ceil(points / _AT_ONCE)):
        out = {
            key: ops.convert_to_numpy(value)
            for key, value in model.force(x).items()
        }
        for at, place in enumerate(places):
            steps = len(few["strokes"][place]) - 1
            size = len(few["text"][place])
            found[place] = {
                "phi": out["phi"][at, :steps, :size],
                "kappa": out["kappa"][at, :steps],
                "outputs": out["outputs"][at, :steps],
            }
    return found


def _check_reads(network):
    """Raise unless a network reads the text that it is to write."""
    if not network.reads_text:
        raise ValueError(
            "expected a HandwritingSynthesis, which reads a text. Received: a "
            f"{type(network).__name__}, which reads none; train the kind "
            "'synthesis', or let handwriting.Pen.write scribble"
        )


def on_the_letter(looks, task, split="test") -> float:
    """Return at how many points the window's peak is on the right character.

    Args:
        looks: From `look`, of all lines or the first ones.
        task: A `Task` that knows the letters.
        split: The split that was looked at.

    Returns:
        A share of all points but the first of each line, 0 to 1.
    """
    letters = getattr(task, split)["letters"]
    right = [
        seen["phi"].argmax(axis=1) == letters[row][1:]
        for row, seen in enumerate(looks)
    ]
    return float(np.concatenate(right).mean())


def moves_forward(looks) -> bool:
    """Return whether no centre of any window ever went back."""
    return all(np.all(np.diff(seen["kappa"], axis=0) >= 0) for seen in looks)


def bias_variances(looks, biases, draws=16, seed=0) -> np.ndarray:
    """Return how much drawn offsets vary, for each bias.

    At every point of given lines several next offsets are drawn, with the
    same noise for all biases; the pasts are the true ones.

    Args:
        looks: From `look`.
        biases: Numbers of at least 0.
        draws: Offsets drawn at each point.
        seed: Seed of the noise.

    Returns:
        Array, one for each bias: the variance of the draws at a point, summed
        over x and y, mean over the points.
    """
    outputs = np.concatenate([seen["outputs"] for seen in looks])
    components = (outputs.shape[1] - 1) // 6
    total = len(outputs) * draws
    random = np.random.default_rng(seed)
    noise = {
        "gumbel": random.gumbel(size=(total, components)),
        "normal": random.normal(size=(total, 2)),
        "uniform": random.random(total),
    }
    noise = {k: v.astype("float32") for k, v in noise.items()}
    tiled = np.repeat(outputs, draws, axis=0)
    found = []
    for bias in biases:
        drawn = ops.convert_to_numpy(
            handwriting.draw(tiled, noise, float(bias))
        )
        spread = drawn[:, :2].reshape(-1, draws, 2).var(axis=1)
        found.append(spread.sum(axis=1).mean())
    return np.array(found)


def density(outputs, task, line, size=0.5, margin=8.0) -> dict:
    """Say where the pen was expected while a line was written.

    Args:
        outputs: y^ of the line's points but the last, (T - 1, 6 K + 1).
        task: A `Task`.
        line: (T, 3), offsets as networks read them.
        size: Side of a cell in units of the data set.
        margin: Room around the line in the same units.

    Returns:
        Dict of `log_density` (H, W): log of the largest density that any point
        gave to the cell, per squared unit; `extent`, the edges of the map:
        left, right, bottom, top; `ends` (T - 1,), the probabilities that the
        pen is lifted; `weights` (T - 1, K), those of the components.
    """
    found = {
        key: ops.convert_to_numpy(value)
        for key, value in handwriting.mixture(
            ops.convert_to_tensor(outputs)
        ).items()
    }
    places = task.points(line)[:-1, :2]
    low, high = places.min(axis=0) - margin, places.max(axis=0) + margin
    xs, ys = (np.arange(a, b, size) for a, b in zip(low, high, strict=True))
    weights = found["logits"] - np.logaddexp.reduce(
        found["logits"], axis=-1, keepdims=True
    )
    best = np.full((len(ys), len(xs)), -np.inf)
    for t, place in enumerate(places):
        mean = place + task.mean + task.scale * found["mean"][t]
        std = task.scale * np.exp(found["log_scale"][t])
        logs = _log_normal(xs, ys, mean, std, found["correlation"][t])
        best = np.maximum(
            best, np.logaddexp.reduce(weights[t][:, None, None] + logs, axis=0)
        )
    return {
        "log_density": best,
        "extent": (xs[0], xs[-1] + size, ys[-1] + size, ys[0]),
        "ends": 1 / (1 + np.exp(-found["end"].astype(np.float64))),
        "weights": np.exp(weights),
    }


def _log_normal(xs, ys, mean, std, rho):
    """Return log-densities (K, len(ys), len(xs)) of bivariate normals."""
    x = ((xs - mean[:, :1]) / std[:, :1])[:, None, :]
    y = ((ys - mean[:, 1:]) / std[:, 1:])[:, :, None]
    rho = rho[:, None, None]
    left = 1 - rho**2
    norm = np.log(2 * np.pi * std.prod(axis=1))[:, None, None]
    square = x**2 + y**2 - 2 * rho * x * y
    return -square / (2 * left) - norm - 0.5 * np.log(left)


def read_text(task, text) -> str:
    """Return a text that a person typed, or say what is wrong with it.

    Args:
        task: A `Task`.
        text: Characters of its alphabet. Where the alphabet has no capitals
            they count as small letters.

    Raises:
        ValueError: There is no letter, or a character that is not known.
    """
    if isinstance(text, str) and not any(c.isupper() for c in task.alphabet):
        text = text.lower()
    known = task.alphabet.replace(RARE, "")
    return hershey.check_text(text, known)


def steps_for(task, text, known=1) -> int:
    """Return how many points a text is given at most.

    At least twice as many as training lines have for a character on average.
    Together with the known points they are a multiple of 64, so that few
    lengths are compiled.

    Args:
        task: A `Task`.
        text: What is to be written.
        known: Number of points that are given, the first one among them.
    """
    characters = sum(map(len, task.train["text"]))
    points = sum(map(len, task.train["strokes"]))
    needed = 2 * len(text) * points / characters + known
    return 64 * math.ceil(needed / 64) - known + 1


def write(pen, task, texts, bias=0.0, seed=0, like=None) -> list:
    """Write texts that people typed.

    Args:
        pen: A `handwriting.Pen` of a `HandwritingSynthesis`.
        task: A `Task`.
        texts: List of str.
        bias: Neatness, at least 0.
        seed: Seed of the draws.
        like: `(strokes, text)` of a line whose style is imitated, offsets as
            networks read them; or None.

    Returns:
        What `Pen.write` returns, one dict for each text, with `points` beside:
        the places of the points in units of the data set. With a line to
        imitate they begin with that line's, and `known` is their number.

    Raises:
        ValueError: The pen's network reads no text, there are no texts, or a
            str in the place of their list; a text has unknown characters or
            no letter, the bias is negative, or the line to imitate is not one.
    """
    _check_reads(pen.model)
    if isinstance(texts, str) or not (texts := list(texts)):
        raise ValueError(
            "expected a list of at least one text. Received: "
            f"{texts!r}; one text is a list, too: ['hello']"
        )
    texts = [read_text(task, text) for text in texts]
    prime, known = None, np.zeros((1, 3), np.float32)
    if like is not None:
        known = strokes.check(like[0])
        # Unlike typed texts, those of lines may have rare characters.
        text = hershey.check_text(like[1], task.alphabet)
        prime = (known, task.encode(f"{text} "))
    steps = max(steps_for(task, text, len(known)) for text in texts)
    ids = [task.encode(text) for text in texts]
    found = pen.write(ids, steps, bias, seed, prime)
    for line in found:
        whole = np.concatenate([known, line["strokes"]])
        line["points"] = task.points(whole)
        line["known"] = len(known) if like is not None else 0
    return found
