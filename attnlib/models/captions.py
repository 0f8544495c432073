"""The captioning experiment of notebooks 03 to 05: data, recipe, scores."""

import dataclasses
import os

import keras
import numpy as np

from attnlib import caption_scores, datasets, text
from attnlib.datasets import digit_scenes
from attnlib.models import encoders, show_and_tell, show_attend_tell
from attnlib.models.glimpse_data import unit
from attnlib.models.provenance import Provenance, digest_of
from attnlib.models.recurrent import word_nll
from attnlib.models.show_and_tell import ShowAndTell
from attnlib.models.show_attend_tell import ShowAttendTell
from attnlib.models.translation import validate
from attnlib.ops import checks
from attnlib.training import Batches, train_or_load, warmed_adam

# Longer captions, 1 % of Flickr8k's, would double a bucket's width.
_LONGEST = 24
# Images that are looked at together.
_TOGETHER = 200
# Held-out images and draws that tell, after each epoch, how REINFORCE is doing.
_WATCHED, _DRAWS = 100, 8

# What each kind of model changes.
KINDS = {
    "nic": {},
    "nic-every-step": {"every_step": True},
    "soft": {},
    "soft-no-penalty": {"penalty_weight": 0.0},
    "soft-no-gate": {"gated": False},
    "hard": {"attention": "hard"},
    "hard-no-baseline": {"attention": "hard", "baseline": False},
}

# What each encoder is, in words.
ENCODERS = {
    "joint": "encoder trained with the rest",
    "vgg19": "VGG-19 trained on ImageNet, frozen",
}

# Words that only hold a caption together; those of relations are not among
# them, since which one is right depends on the image.
FUNCTION_WORDS = frozenset(
    "a an and here in is it its of only shows than the there to with".split()
)

_RECIPE = (
    "side grid filters embedding_size units dropout label_smoothing "
    "captions_each batch_size learning_rate warmup_steps buckets"
).split()
_ATTENTION = "attention_units penalty_weight penalty_target".split()
_POLICY = "attention_units reward_weight entropy_weight".split()


@dataclasses.dataclass(frozen=True)
class Task(Provenance):
    """Images with captions, and the vocabulary of the captions.

    Attributes:
        train: Dict of `images`, bytes (N, side, side, 3), and `captions`, for
            each image a list of five str; scenes of digits also have what
            `datasets.load` gives for them.
        validation: Likewise.
        test: Likewise.
        vocabulary: A `text.WordVocabulary`.
        side: Height and width of the images in pixels.
        digest: Digest of the data.
        description: What the data is, in words.
        name: The data set's name.
    """

    train: dict
    validation: dict
    test: dict
    vocabulary: object
    side: int
    digest: str
    description: str
    name: str

    @property
    def knows_boxes(self) -> bool:
        """Return whether it is known where what a word names is."""
        return "boxes" in self.test


def load_task(settings) -> Task:
    """Load images, captions and vocabulary.

    Args:
        settings: A `profiles.Captions`.

    Returns:
        A `Task`. Captions are in lower case, without punctuation.
    """
    name, parts, plan = settings.dataset, {}, []
    for split in ("train", "validation", "test"):
        options = {"size": settings.side}
        if name == "digit_scenes":
            few = settings.held_out
            options = {
                "side": settings.side,
                "most": settings.digits,
                "count": settings.examples if split == "train" else few,
            }
        parts[split] = datasets.load(name, split, **options)
        plan.append(options)
    for part in parts.values():
        part["captions"] = [
            [" ".join(caption_scores.tokenize(line)) for line in lines]
            for lines in part["captions"]
        ]
    # Options say how the data are made, which the digest then need not do.
    digest = f"{datasets.digest(name)} {plan}"
    vocabulary = text.WordVocabulary(
        (line for lines in parts["train"]["captions"] for line in lines),
        settings.min_count,
    )
    count = len(parts["train"]["images"])
    return Task(
        **parts,
        vocabulary=vocabulary,
        side=settings.side,
        digest=digest_of(digest),
        description=(
            f"{name}, {count} training images of {settings.side}x"
            f"{settings.side} with {settings.captions_each} "
            f"caption{'s' * (settings.captions_each > 1)} each, "
            f"{len(vocabulary)} words"
        ),
        name=name,
    )


def read_images(images, side):
    """Return images that a person hands in as a captioner reads them.

    Args:
        images: Array (N, side, side, 3), or a list of arrays (side, side, 3),
            RGB: bytes, or floats in [0, 1].
        side: Height and width that the captioner was built for.

    Returns:
        float32 array (N, side, side, 3) in [0, 1].

    Raises:
        ValueError: The images are grey, have an alpha channel, another size
            or other numbers, or there are none.

    Example:

    >>> import numpy as np
    >>> photo = np.full((4, 4, 3), 255, "uint8")
    >>> float(read_images([photo], 4).max())
    1.0
    """
    # A single image would be taken for a list of its rows.
    single = isinstance(images, np.ndarray) and images.ndim < 4
    arrays = [np.asarray(image) for image in ([images] if single else images)]
    for i, array in enumerate(arrays):
        problem = _flaw(array, side)
        if single or problem:
            problem = problem or "Put the image into a list"
            raise ValueError(
                f"expected images of shape ({side}, {side}, 3), RGB, as bytes "
                f"or as floats in [0, 1]. Received: image {i} of shape "
                f"{array.shape}, dtype {array.dtype}. {problem}; "
                "`datasets.flickr8k.read_image` does all that for a file"
            )
    if not arrays:
        raise ValueError(
            f"expected images of shape ({side}, {side}, 3). Received: none. "
            "Hand in a list of at least one"
        )
    return np.stack(
        [
            unit(a) if a.dtype == np.uint8 else a.astype("float32")
            for a in arrays
        ]
    )


def _flaw(image, side):
    """Say what to do with an image that does not fit, None where it does."""
    if image.ndim == 2 or (image.ndim == 3 and image.shape[-1] == 1):
        return "Repeat the grey values three times along a last axis"
    if image.ndim == 3 and image.shape[-1] == 4:
        return "Leave the alpha channel out: image[..., :3]"
    if image.ndim != 3 or image.shape[-1] != 3:
        return "Hand in a list of images with channels last"
    if image.shape[:2] != (side, side):
        return f"Resize it to {side} x {side} pixels"
    if image.dtype == np.uint8:
        return None
    if image.dtype.kind != "f":
        return "Convert the values from 0 to 255 to uint8"
    if not (np.isfinite(image).all() and 0 <= image.min() <= image.max() <= 1):
        return "Divide values from 0 to 255 by 255, and have no NaN among them"
    return None


def build_encoder(side, grid, filters):
    """Return a small CNN from images (B, side, side, 3) to (B, g, g, D).

    Args:
        side: Height and width of the images.
        grid: Height and width g of the annotations, `side` halved some times.
        filters: Width of the first layer; it doubles twice, to D.

    Raises:
        ValueError: Halving `side` does not lead to `grid`.
    """
    halvings = int(np.log2(max(1, side // grid)))
    if halvings < 1 or grid * 2**halvings != side:
        raise ValueError(
            "expected side to be grid, doubled at least once. Received: side "
            f"{side}, grid {grid}"
        )
    layers = [keras.Input((side, side, 3))]
    for stage in range(halvings + 1):
        # The last one widens what a place sees, at the size of the grid.
        layers += [
            keras.layers.Conv2D(
                filters * 2 ** min(stage, 2),
                3 if stage else 5,
                strides=1 if stage == halvings else 2,
                padding="same",
                use_bias=False,
            ),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
        ]
    return keras.Sequential(layers, name="encoder")


def make_encoder(settings, side):
    """Return the encoder that a profile names, for images of a side."""
    checks.one_of("encoder", settings.encoder, tuple(ENCODERS))
    if settings.encoder == "joint":
        return build_encoder(side, settings.grid, settings.filters)
    if settings.grid * encoders.VGG19_STRIDE != side:
        raise ValueError(
            f"expected grid to be side / {encoders.VGG19_STRIDE} with the "
            f"encoder 'vgg19'. Received: side {side}, grid {settings.grid}"
        )
    return encoders.vgg19(side)


def build(settings, task, kind, steps, trained=None):
    """Return a compiled model for a task.

    Args:
        settings: A `profiles.Captions`.
        task: A `Task`.
        kind: One of `KINDS`.
        steps: Number of updates that the learning rate decays over.
        trained: An encoder whose weights the model's own takes and keeps, or
            None for one that learns.
    """
    encoder = make_encoder(settings, task.side)
    if trained is not None:
        encoder.set_weights(trained.get_weights())
        # Batch normalisation then keeps its averages, too.
        encoder.trainable = False
    options = {
        "target_size": len(task.vocabulary),
        "embedding_size": settings.embedding_size,
        "units": settings.units,
        "encoder": encoder,
        "dropout": settings.dropout,
        "label_smoothing": settings.label_smoothing,
        "seed": settings.seed,
    }
    if kind.startswith("nic"):
        model = ShowAndTell(**{**options, **KINDS[kind]})
    else:
        options.update(
            attention_units=settings.attention_units,
            penalty_weight=settings.penalty_weight,
            penalty_target=settings.penalty_target or "mean",
            reward_weight=settings.reward_weight,
            entropy_weight=settings.entropy_weight,
        )
        model = ShowAttendTell(**{**options, **KINDS[kind]})
    model.build((None, task.side, task.side, 3))
    model.compile(warmed_adam(settings, steps))
    return model


def groups(task, split, each, buckets=1, longest=None):
    """Return pairs of an image's number and a caption, by length.

    Args:
        task: A `Task`.
        split: `"train"`, `"validation"` or `"test"`.
        each: Captions of each image, the first ones.
        buckets: Number of groups of about equal size.
        longest: Captions of more words, END included, are left out.

    Returns:
        A list of `(x, y)` as of `text.length_buckets`, with `source` (N, 1),
        the numbers of the images.
    """
    lines = getattr(task, split)["captions"]
    pairs = [
        ([i], task.vocabulary.encode(line))
        for i, several in enumerate(lines)
        for line in several[:each]
    ]
    return text.length_buckets(*zip(*pairs, strict=True), buckets, longest)


def groups_of_images(task, split, each, buckets=1, longest=None):
    """Return images' numbers with all their captions, by the longest one.

    Args:
        task: A `Task`.
        split: `"train"`, `"validation"` or `"test"`.
        each: Captions K of each image, the first ones. An image that has
            fewer repeats them.
        buckets: Number of groups of about equal size.
        longest: Captions of more words, END included, are left out.

    Returns:
        A list of `(x, y)` for `training.Batches`: x has `source` (N, 1), the
        numbers of the images, and `target` (N, K, T), the previous words; y
        (N, K, T) has the next words, END included.
    """
    found = []
    for i, several in enumerate(getattr(task, split)["captions"]):
        lines = [task.vocabulary.encode(line) for line in several[:each]]
        if longest is not None:
            lines = [line for line in lines if len(line) < longest]
        if lines:
            found.append((i, [lines[k % len(lines)] for k in range(each)]))
    # A stable sort by length keeps the result the same on every machine.
    found.sort(key=lambda pair: max(map(len, pair[1])))
    result = []
    for some in np.array_split(np.arange(len(found)), buckets):
        if not len(some):
            continue
        numbers, lines = zip(*(found[i] for i in some), strict=True)
        lines = [line for several in lines for line in several]
        previous = text.pad([[text.START, *line] for line in lines])
        following = text.pad([[*line, text.END] for line in lines])
        shape = (len(numbers), each, -1)
        x = {
            "source": np.array(numbers, previous.dtype)[:, None],
            "target": previous.reshape(shape),
        }
        result.append((x, following.reshape(shape)))
    return result


def train(settings, task, kind):
    """Train a model, or load the one that was trained.

    Several captions of an image are learned in one batch, so that the image is
    read once for all of them.

    Hard attention reads with the encoder of the trained soft attention, which
    stays as it is, as the paper's CNN does. Where it was trained with the
    rest, captions of validation scenes were far worse (BLEU-4 55 against 78,
    one seed), and the place that was drawn hardly changed the reward.

    Args:
        settings: A `profiles.Captions`.
        task: A `Task`.
        kind: One of `KINDS`.

    Returns:
        An `attnlib.training.Training`. Its history has `val_nll`, nats per
        word of the first caption of each validation image; with hard
        attention also, from some of them, what `policy_spread` returns, each
        name after an underscore.

    Raises:
        ValueError: There is no such kind.
    """
    if kind not in KINDS:
        raise ValueError(
            f"expected kind to be one of {', '.join(KINDS)}. Received: {kind!r}"
        )
    images = task.train["images"]

    def look_up(x, y, _):
        return {**x, "source": unit(images[x["source"][:, 0]])}, y

    each = settings.captions_each
    if each > settings.batch_size:
        raise ValueError(
            f"expected batch_size of at least captions_each, {each}, since an "
            f"image's captions stay together. Received: {settings.batch_size}"
        )
    prepare = groups_of_images if each > 1 else groups
    batches = Batches(
        prepare(task, "train", each, settings.buckets, _LONGEST),
        settings.batch_size // each,
        settings.seed,
        look_up,
    )
    steps = settings.epochs * len(batches.epoch(0))
    attends, hard = not kind.startswith("nic"), kind.startswith("hard")
    keys = [*_RECIPE, *((_POLICY if hard else _ATTENTION) if attends else ())]
    config = {key: getattr(settings, key) for key in keys}
    config["vocabulary"] = task.vocabulary.digest
    if settings.encoder != "joint":
        config["encoder"] = settings.encoder
    encoder = None
    if hard:
        soft = train(settings, task, "soft")
        encoder = soft.model.encoder
        config["trained_encoder"] = os.path.basename(soft.folder)
    module = show_attend_tell if attends else show_and_tell
    return train_or_load(
        lambda: build(settings, task, kind, steps, encoder),
        batches,
        name=kind,
        config=config,
        epochs=settings.epochs,
        data_digest=task.digest,
        seed=settings.seed,
        version=module.VERSION,
        validation=_Validation(task, hard),
    )


class _Validation:
    """What is measured on held-out data after every epoch of a training.

    Args:
        task: A `Task`.
        hard: Whether to measure REINFORCE, too, under names that are not
            printed.
    """

    def __init__(self, task, hard):
        images = task.validation["images"]
        self.task, self.hard, self.drawer = task, hard, None
        self.groups = [
            ({**x, "source": unit(images[x["source"][:, 0]])}, y)
            for x, y in groups(task, "validation", 1)
        ]

    def __call__(self, model):
        found = validate(model, self.groups)
        if self.hard:
            self.drawer = self.drawer or PlaceDrawer(model)
            drawn = self.drawer.draw(self.task, _WATCHED, _DRAWS, "validation")
            baseline = float(keras.ops.convert_to_numpy(model.baseline))
            for name, value in policy_spread(drawn, baseline).items():
                found[f"_{name}"] = value
        return found


def train_all(settings, task) -> dict:
    """Train, or load, every model of a profile.

    Args:
        settings: A `profiles.Captions`.
        task: A `Task`.

    Returns:
        Dict from the names in `settings.models` to `training.Training`.
    """
    return {kind: train(settings, task, kind) for kind in settings.models}


def describe(task, hypotheses) -> list:
    """Return the captions of some `decoding.Hypothesis` as a list of str."""
    return [task.vocabulary.decode(found.tokens) for found in hypotheses]


def grade(task, captions, split="test") -> dict:
    """Score captions against all of an image's references.

    Args:
        task: A `Task`.
        captions: One str for each image of the split.
        split: `"train"`, `"validation"` or `"test"`.

    Returns:
        A dict: `bleu`, a list of BLEU-1 to BLEU-4 without brevity penalty,
        as the paper has it, from 0 to 100; `bleu_with_penalty`; `cider`, from
        0 to 10; `meteor` or None; `exact`, the percentage of captions that are
        one of the references; `signature`, sacreBLEU's.
    """
    references = getattr(task, split)["captions"]
    found = caption_scores.score(captions, references)
    exact = [
        line in several
        for line, several in zip(captions, references, strict=True)
    ]
    return {
        "bleu": found["without_penalty"],
        "bleu_with_penalty": found["with_penalty"],
        "cider": found["cider"],
        "meteor": found["meteor"],
        "exact": 100 * float(np.mean(exact)),
        "signature": found["signature"],
    }


def claims_about(settings) -> str:
    """Return the second part of the ids of the claims that a run decides.

    Another encoder is another experiment: its results must not pass for those
    of the encoder that is trained with the rest.

    Args:
        settings: A `profiles.Captions`.

    Example:

    >>> from attnlib import profiles
    >>> claims_about(profiles.load("03", "paper", setting="vgg19"))
    'flickr8k-vgg19'
    """
    name = settings.dataset.replace("_", "-")
    if settings.encoder == "joint":
        return name
    return f"{name}-{settings.encoder}"


def told_beside(settings, found) -> str:
    """Return what must be known beside the BLEU of captions.

    Args:
        settings: A `profiles.Captions`.
        found: From `grade`.

    Returns:
        The encoder and, where it was computed, METEOR, which the papers'
        METEOR is not to be compared with (see `caption_scores.meteor`).
    """
    told = ENCODERS[settings.encoder]
    if found["meteor"] is None:
        return told
    return (
        f"{told}; METEOR of 2005 by NLTK {found['meteor']:.1f}, which is not "
        "the papers' METEOR"
    )


def follow(model, task, captions, split="test") -> list:
    """Let a model write given captions, and note where it looked.

    Args:
        model: A `ShowAttendTell`.
        task: A `Task`.
        captions: One str for each of the first images of the split.
        split: `"train"`, `"validation"` or `"test"`.

    Returns:
        A list with `(weights, gates)` for each caption of T words: arrays
        (T, L) and (T,).
    """
    ids = [task.vocabulary.encode(line) for line in captions]
    previous = text.pad([[text.START, *line[:-1]] for line in ids])
    images = getattr(task, split)["images"][: len(ids)]
    found = []
    for start in range(0, len(ids), _TOGETHER):
        rows = slice(start, start + _TOGETHER)
        out = model.force(
            {"source": unit(images[rows]), "target": previous[rows]}
        )
        weights, gates = (
            keras.ops.convert_to_numpy(out[key]) for key in ("weights", "gates")
        )
        found += [
            (weights[i, : len(line)], gates[i, : len(line)])
            for i, line in enumerate(ids[rows])
        ]
    return found


class PlaceDrawer(keras.Model):
    """Let hard attention write given captions, drawing where it looks.

    Keep one for a model: it compiles the model once for each shape.

    Args:
        model: A built `ShowAttendTell` with hard attention.
    """

    def __init__(self, model):
        super().__init__(name="place_drawer")
        self.model = model
        self.supports_jit = model.supports_jit
        self.built = True

    def call(self, inputs):
        out = self.model.force(inputs, noise={"places": inputs["places"]})
        nll, mask = word_nll(inputs["following"], out["logits"])
        return {
            "rewards": -keras.ops.sum(nll, axis=1),
            "places": out["samples"] * mask[:, :, None],
            "weights": out["weights"] * mask[:, :, None],
        }

    def draw(self, task, count, draws, split="test", seed=0) -> dict:
        """Write the first reference of each image several times.

        Args:
            task: A `Task`.
            count: Number N of images, the first ones.
            draws: Number K of times that each caption is written.
            split: `"train"`, `"validation"` or `"test"`.
            seed: Seed of the draws.

        Returns:
            A dict of arrays: `rewards` (N, K), log p(y | s) of the whole
            caption in nats; `places` (N, K, T, L), the drawn places s,
            one-hot, and `weights`, the alpha that they were drawn from, both
            0 beyond the caption's end; `words` (N,), END included.
        """
        data = getattr(task, split)
        lines = [several[0] for several in data["captions"][:count]]
        ids = [[*task.vocabulary.encode(line), text.END] for line in lines]
        following = text.pad(ids)
        previous = text.pad([[text.START, *line[:-1]] for line in ids])
        generator = np.random.default_rng(seed)
        # Every image and caption stands for all of its draws.
        rows = np.repeat(np.arange(len(ids)), draws)
        parts = []
        for start in range(0, len(rows), _TOGETHER):
            some = rows[start : start + _TOGETHER]
            shape = (len(some), following.shape[1], self.model.grid[0])
            inputs = {
                "source": unit(data["images"][some]),
                "target": previous[some],
                "following": following[some],
                "places": generator.gumbel(size=shape).astype("float32"),
            }
            parts.append(self.predict_on_batch(inputs))
        found = {
            name: np.concatenate([part[name] for part in parts])
            for name in parts[0]
        }
        found = {
            name: values.reshape(-1, draws, *values.shape[1:])
            for name, values in found.items()
        }
        return {**found, "words": np.array([len(line) for line in ids])}


def policy_spread(found, baseline) -> dict:
    """Measure how rewards differ, and what a baseline does to REINFORCE.

    The gradient of E[R] to a number that is added to the score of place i
    before word t is estimated from one draw, without bias, by (R - b) (s_ti -
    alpha_ti), where R = log p(y | s) (equation 12).

    Args:
        found: From `PlaceDrawer.draw`, of at least 2 draws.
        baseline: The number b that training subtracts.

    Returns:
        A dict of floats, means over captions: `between_draws`, standard
        deviation of R among the draws of a caption; `between_captions`, that
        of the captions' mean R; `signal`, squared length of the gradient;
        and the variance of an estimate, summed over words and places, with
        three baselines: `none`, 0; `moving`, the given one; `own`, the mean
        R of the caption's other draws.
    """
    rewards = found["rewards"]
    count = rewards.shape[1]
    moves = (found["places"] - found["weights"]).reshape(*rewards.shape, -1)
    lengths = np.square(moves).sum(axis=-1)  # (N, K)
    total = rewards.sum(axis=1, keepdims=True)
    advantages = {
        "none": rewards,
        "moving": rewards - baseline,
        "own": rewards - (total - rewards) / (count - 1),
    }
    second = {
        name: (np.square(advantage) * lengths).mean(axis=1)
        for name, advantage in advantages.items()
    }
    # The mean of products of different draws: a square without its noise.
    mean = (advantages["moving"][..., None] * moves).mean(axis=1)
    signal = count * np.square(mean).sum(axis=1) - second["moving"]
    signal = signal.mean() / (count - 1)
    return {
        "between_draws": float(rewards.std(axis=1, ddof=1).mean()),
        "between_captions": float(rewards.mean(axis=1).std()),
        "signal": float(signal),
        **{k: float(v.mean() - signal) for k, v in second.items()},
    }


def localize(model, task, grid, split="test") -> dict:
    """Measure how much attention is on the digit that a word names.

    The model writes the first reference of each scene.

    Args:
        model: A `ShowAttendTell`.
        task: A `Task` of scenes.
        grid: Rows and columns of the annotations.
        split: `"train"`, `"validation"` or `"test"`.

    Returns:
        What `digit_scenes.attention_mass` returns, and `gain`, the mean mass
        over the mean chance.
    """
    data = getattr(task, split)
    lines = [several[0] for several in data["captions"]]
    weights = [weights for weights, _ in follow(model, task, lines, split)]
    found = digit_scenes.attention_mass(
        weights,
        data["boxes"],
        [about[0] for about in data["objects"]],
        grid,
        task.side,
    )
    return {**found, "gain": found["mass"].mean() / found["chance"].mean()}


def gate_by_word(model, task, split="test") -> dict:
    """Return the gate before each word of the first references.

    Args:
        model: A `ShowAttendTell`.
        task: A `Task`.
        split: `"train"`, `"validation"` or `"test"`.

    Returns:
        Dict from every word that occurs to an array of gates.
    """
    lines = [several[0] for several in getattr(task, split)["captions"]]
    found = {}
    for line, (_, gates) in zip(
        lines, follow(model, task, lines, split), strict=True
    ):
        for word, gate in zip(line.split(), gates, strict=True):
            found.setdefault(word, []).append(gate)
    return {word: np.array(found[word]) for word in sorted(found)}


def compare_gates(gates) -> dict:
    """Return the mean gate of function words and of all other words.

    Args:
        gates: From `gate_by_word`.

    Returns:
        Dict of `function` and `content`.
    """
    kinds = {"function": [], "content": []}
    for word, values in gates.items():
        kind = "function" if word in FUNCTION_WORDS else "content"
        kinds[kind].append(values)
    return {
        kind: float(np.concatenate(values).mean())
        for kind, values in kinds.items()
    }


def gradients(function, *values) -> list:
    """Return the derivatives of a number, by the backend's own backpropagation.

    Plain Keras on every backend: the values are weights, and one step of
    gradient descent with a rate of 1 moves them by minus their gradient.

    Args:
        function: A function of tensors that returns one number.
        *values: float32 arrays.

    Returns:
        A list of arrays, one for each of the values.

    Example:

    >>> import numpy as np
    >>> (slope,) = gradients(lambda x: x * x, np.float32(3))
    >>> round(float(slope), 4)
    6.0
    """
    model = _Number(function, values)
    # Compiled, TensorFlow reads a weight again after its own step.
    model.compile(keras.optimizers.SGD(1.0), run_eagerly=True)
    model.train_on_batch(np.zeros((1, 1), "float32"), np.zeros((1, 1)))
    return [
        np.asarray(value, "float32") - keras.ops.convert_to_numpy(weight)
        for value, weight in zip(values, model.points, strict=True)
    ]


class _Number(keras.Model):
    """A function of its own weights, as a loss."""

    def __init__(self, function, values):
        # TensorFlow's names must not start as this class's does.
        super().__init__(name="number")
        self.function = function
        self.points = []
        for value in values:
            weight = self.add_weight(shape=np.shape(value))
            weight.assign(value)
            self.points.append(weight)
        self.built = True

    def call(self, inputs):
        points = [keras.ops.convert_to_tensor(p) for p in self.points]
        # No gradient at all is an error in TensorFlow: it is 0.
        nothing = sum(0.0 * keras.ops.sum(point) for point in points)
        return self.function(*points) + nothing

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        return keras.ops.sum(y_pred)
