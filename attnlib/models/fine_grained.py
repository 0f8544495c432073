"""The experiment of notebook 10: parts decide the class, who looks at which?"""

import dataclasses
import itertools
import re

import keras
import numpy as np
from keras import ops

from attnlib import datasets
from attnlib.datasets import flowers17, two_part_glyphs
from attnlib.models import parallel_transformers, warped_digits
from attnlib.models.glimpse_data import check_bytes, unit
from attnlib.models.parallel_transformers import ParallelTransformers
from attnlib.models.provenance import Provenance, digest_of
from attnlib.models.stn import FactorAdam
from attnlib.ops import checks
from attnlib.training import Batches, train_or_load

DATASETS = ("two_part_glyphs", "flowers17", "cub_200")
PARTS = ("head", "tail")

_KIND = re.compile(r"([1-9])-st")
_SPLITS = ("train", "validation", "test")
_RECIPE = (
    "scale crop head filters convolutions units dropout localization_filters "
    "localization_pool overlap_penalty sharpness habit_share "
    "localization_rate batch_size learning_rate"
).split()
_NETWORK = _RECIPE[: _RECIPE.index("habit_share")]
_TOGETHER = 200  # Images that are looked at in one step.
_WATCHED = 2  # Validation images whose windows are kept after every epoch.
_SHIFT = 0.1  # Of photographs while training, as a part of the side.


@dataclasses.dataclass(frozen=True)
class Task(Provenance):
    """Images of kinds that differ in details.

    Attributes:
        train: Tuple of images, bytes (N, H, W, C), and labels, int32 (N,).
        validation: Likewise.
        test: Likewise.
        classes: Names of the classes.
        places: Dict from `"validation"` and `"test"` to the middles of the
            parts, float32 (N, P, 2), (x, y) in [-1, 1]; None where nobody
            knows them.
        name: The data set's name.
        digest: Digest of the data.
        description: What the data is, in words.
    """

    train: tuple
    validation: tuple
    test: tuple
    classes: tuple
    places: dict | None
    name: str
    digest: str
    description: str


def load_task(settings) -> Task:
    """Load images whose classes differ in details.

    Args:
        settings: A `profiles.FineGrained`.

    Returns:
        A `Task`.

    Raises:
        ValueError: There is no such data set for this experiment.
        DatasetUnavailable: The photographs are not there.
    """
    name = checks.one_of("dataset", settings.dataset, DATASETS)
    glyphs = name == "two_part_glyphs"
    parts, plan = {}, []
    for split in _SPLITS:
        options = {"side": settings.side}
        if glyphs:
            few = settings.held_out
            options["count"] = settings.examples if split == "train" else few
        parts[split] = datasets.load(name, split, **options)
        plan.append(options)
    if glyphs:
        classes = glyph_names()
    elif name == "flowers17":
        classes = flowers17.KINDS
    else:
        classes = tuple(parts["train"]["names"])
    pairs = {k: (v["images"], v["label"]) for k, v in parts.items()}
    return Task(
        **pairs,
        classes=classes,
        places={
            split: centred(parts[split]["places"], settings.side)
            for split in _SPLITS[1:]
        }
        if glyphs
        else None,
        name=name,
        digest=digest_of(f"{datasets.digest(name)} {plan}"),
        description=(
            f"{name}, {len(pairs['train'][1])} training and "
            f"{len(pairs['test'][1])} test images of "
            f"{settings.side}x{settings.side}, {len(classes)} classes"
        ),
    )


def glyph_names() -> tuple:
    """Return the names of the glyphs' classes: head, then tail.

    Example:

    >>> glyph_names()[:5]
    ('16', '17', '18', '19', '26')
    """
    ends = itertools.product(two_part_glyphs.HEADS, two_part_glyphs.TAILS)
    return tuple(f"{head}{tail}" for head, tail in ends)


def centred(pixels, side) -> np.ndarray:
    """Return places in pixels as (x, y) in [-1, 1], float32.

    Args:
        pixels: Array (..., 2), (0, 0) the middle of the top-left pixel.
        side: Height and width of the image in pixels.

    Example:

    >>> centred([[27.5, -0.5]], 56).tolist()
    [[0.0, -1.0]]
    """
    pixels = np.asarray(pixels, np.float32)
    return ((2 * pixels + 1) / side - 1).astype("float32")


def parse(kind) -> int:
    """Return the number of transformers of a kind of model.

    Args:
        kind: `"none"`, or `"1-st"` to `"9-st"`.

    Raises:
        ValueError: There is no such kind.

    Example:

    >>> parse("none"), parse("2-st")
    (0, 2)
    """
    found = _KIND.fullmatch(str(kind))
    if kind != "none" and not found:
        raise ValueError(
            "expected a kind of model to be 'none', or '1-st' to '9-st'. "
            f"Received: {kind!r}"
        )
    return int(found[1]) if found else 0


def build(settings, task, kind, steps) -> ParallelTransformers:
    """Return a compiled model for a task.

    Args:
        settings: A `profiles.FineGrained`.
        task: A `Task`.
        kind: As of `parse`.
        steps: Number of updates until the learning rate is 0.

    Raises:
        ValueError: There is no such kind of model.
    """
    model = ParallelTransformers(
        parse(kind),
        len(task.classes),
        habit_updates=round(settings.habit_share * steps),
        **{key: getattr(settings, key) for key in _NETWORK},
    )
    model.build((None, *task.train[0].shape[1:]))
    # It stays high for long: a window that hunts for its part needs it.
    schedule = keras.optimizers.schedules.PolynomialDecay(
        settings.learning_rate, max(1, steps), 0.0, power=0.5
    )
    model.compile(
        FactorAdam(
            schedule,
            factors={"localization": settings.localization_rate},
            global_clipnorm=1.0,
        ),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        # An instance: a name would create variables while a step is traced.
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
    )
    return model


def shifted(images, labels, generator):
    """Return photographs, half of them flipped, all of them moved a little.

    What moves out of an image is lost; its border fills the other side.

    Args:
        images: Bytes (B, H, W, C).
        labels: Integers (B,), returned as they are.
        generator: A `numpy.random.Generator`.

    Returns:
        `(images, labels)`, the images as float32 in [0, 1].
    """
    count, height, width, _ = images.shape
    flip = generator.random(count) < 0.5
    rows, columns = np.arange(height), np.arange(width)
    far = (int(_SHIFT * height), int(_SHIFT * width))
    moves = [generator.integers(-f, f + 1, count) for f in far]
    made = np.empty_like(images)
    for n, (dy, dx) in enumerate(zip(*moves, strict=True)):
        across = np.clip(columns + dx, 0, width - 1)
        down = np.clip(rows + dy, 0, height - 1)
        made[n] = images[n][down[:, None], across[:: -1 if flip[n] else 1]]
    return unit(made), labels


def _as_they_are(images, labels, generator):
    return unit(images), labels


def train(settings, task, kind):
    """Train a model, or load the one that was trained.

    Args:
        settings: A `profiles.FineGrained`.
        task: A `Task`.
        kind: As of `parse`.

    Returns:
        An `attnlib.training.Training`. Its history has `val_accuracy` in
        percent; with transformers the windows of the first validation images,
        for `place_history`; and `val_found`, the share of the parts that lie
        in a window, in percent, where the parts are known.
    """
    batches = Batches(
        [task.train],
        settings.batch_size,
        settings.seed,
        _as_they_are if task.places else shifted,
    )
    steps = settings.epochs * len(batches.epoch(0))
    return train_or_load(
        lambda: build(settings, task, kind, steps),
        batches,
        name=f"fine-grained-{kind}-{task.name}",
        config={
            "kind": kind,
            **{key: getattr(settings, key) for key in _RECIPE},
        },
        epochs=settings.epochs,
        data_digest=task.digest,
        seed=settings.seed,
        version=parallel_transformers.VERSION,
        validation=lambda model: _watch(model, task),
    )


def train_all(settings, task) -> dict:
    """Train, or load, every model of a profile.

    Args:
        settings: A `profiles.FineGrained`.
        task: A `Task`.

    Returns:
        Dict from the kinds in `settings.models` to `training.Training`.
    """
    return {kind: train(settings, task, kind) for kind in settings.models}


def _watch(model, task):
    """Return what is kept of a model after an epoch."""
    images, labels = task.validation
    seen = look(model, images)
    found = {"val_accuracy": accuracy(seen["probabilities"], labels)}
    if not model.transformers:
        return found
    if task.places:
        held = inside(seen["places"], task.places["validation"], model.scale)
        found["val_found"] = 100 * float(np.mean(held.any(axis=1)))
    for (image, n, axis), value in np.ndenumerate(seen["places"][:_WATCHED]):
        found[f"_place_{image}_{n}_{axis}"] = float(value)
    return found


def place_history(training) -> np.ndarray:
    """Return windows while a model learned, (epochs + 1, images, N, 2).

    The first entry is before training: windows tile the image.

    Args:
        training: From `train`.

    Raises:
        ValueError: The model has no transformer.
    """
    model, history = training.model, training.history
    if not model.transformers:
        raise ValueError(
            "expected the training of a model with transformers. Received: "
            "one with transformers=0"
        )
    names = sorted(key for key in history if key.startswith("_place_"))
    count = 1 + max(int(name.split("_")[2]) for name in names)
    shape = count, model.transformers, 2
    found = np.empty((len(history[names[0]]) + 1, *shape))
    found[0] = parallel_transformers.tiles(model.transformers)
    for index in np.ndindex(shape):
        key = "_place_{}_{}_{}".format(*index)
        found[(slice(1, None), *index)] = history[key]
    return found


def look(model, images) -> dict:
    """Classify images, and say where the model looks.

    Args:
        model: A `ParallelTransformers`.
        images: Bytes (B, H, W, C).

    Returns:
        Dict of `probabilities`, (B, K), and with transformers `places`, (B,
        N, 2).

    Raises:
        ValueError: Images are no bytes, of another size than the model was
            built for, or there are none.
    """
    images = check_bytes(images)
    parts = []
    for start in range(0, len(images), _TOGETHER):
        some = ops.convert_to_tensor(unit(images[start : start + _TOGETHER]))
        if model.transformers:
            places = model.places(some)
            crops = model.read(some, places)
            part = {"places": places}
        else:
            crops, part = model.crops(some), {}
        part["probabilities"] = ops.softmax(model.classify(crops))
        parts.append({k: ops.convert_to_numpy(v) for k, v in part.items()})
    return {
        key: np.concatenate([part[key] for part in parts]) for key in parts[0]
    }


def look_at(model, image, places) -> dict:
    """Classify one image by windows that somebody else has chosen.

    Args:
        model: A `ParallelTransformers` with transformers.
        image: Bytes (H, W, C).
        places: Middles (N, 2), (x, y) in [-1, 1].

    Returns:
        Dict of `crops`, (N, crop, crop, C), and `probabilities`, (K,).
    """
    images = ops.convert_to_tensor(unit(np.asarray(image)[None]))
    places = np.asarray(places, np.float32)[None]
    crops = model.read(images, ops.convert_to_tensor(places))
    probabilities = ops.softmax(model.classify(crops))
    return {
        "crops": ops.convert_to_numpy(crops)[0],
        "probabilities": ops.convert_to_numpy(probabilities)[0],
    }


def accuracy(probabilities, labels) -> float:
    """Return the share of images that are named right, in percent.

    Example:

    >>> accuracy(np.array([[0.9, 0.1], [0.6, 0.4]]), [0, 1])
    50.0
    """
    return 100 * float(np.mean(np.argmax(probabilities, -1) == labels))


def inside(places, parts, scale) -> np.ndarray:
    """Return which windows hold the middles of which parts, bool (B, N, P).

    Args:
        places: Middles of windows, (B, N, 2).
        parts: Middles of parts, (B, P, 2).
        scale: Side of the windows, as a part of the image's.

    Example:

    >>> one = np.zeros((1, 1, 2))
    >>> inside(one, np.array([[[0.3, 0.0], [0.5, 0.0]]]), 0.4).tolist()
    [[[True, False]]]
    """
    return (np.abs(_apart(places, parts)) < scale).all(axis=-1)


def nearest(places, parts) -> np.ndarray:
    """Return the number of the part that is nearest to each window, (B, N).

    Args:
        places: Middles of windows, (B, N, 2).
        parts: Middles of parts, (B, P, 2).
    """
    return np.square(_apart(places, parts)).sum(axis=-1).argmin(axis=-1)


def _apart(places, parts):
    return np.asarray(places)[:, :, None] - np.asarray(parts)[:, None]


def specialised(places, parts) -> tuple:
    """Return which part each window prefers, and how constantly.

    Args:
        places: Middles of windows, (B, N, 2).
        parts: Middles of parts, (B, P, 2).

    Returns:
        `(part, share)`, both (N,): the part that is nearest in most images,
        and the percentage of images in which it is.

    Example:

    >>> parts = np.array([[[-0.5, 0], [0.5, 0]]] * 2)
    >>> places = np.array([[[0.4, 0]], [[0.1, 0]]])
    >>> [found.tolist() for found in specialised(places, parts)]
    [[1], [100.0]]
    """
    near = nearest(places, parts)
    kinds = np.arange(np.shape(parts)[1])
    shares = (near[..., None] == kinds).mean(axis=0)  # (N, P)
    return shares.argmax(axis=-1), 100 * shares.max(axis=-1)


def overlaps(places, scale) -> np.ndarray:
    """Return the mean overlap of windows in each image, (B,), 0 to 1.

    Intersection over union, the mean over all pairs of windows.

    Args:
        places: Middles of at least two windows, (B, N, 2).
        scale: Side of the windows, as a part of the image's.

    Raises:
        ValueError: There is only one window.
    """
    pairs = list(itertools.combinations(range(places.shape[1]), 2))
    if not pairs:
        raise ValueError(
            "expected at least two windows to compare. Received: places of "
            f"shape {places.shape}"
        )
    found = [
        warped_digits.overlap(places[:, a], places[:, b], scale)
        for a, b in pairs
    ]
    return np.mean(found, axis=0)


def confusions(probabilities, labels) -> dict:
    """Count heads and tails of glyphs by what they were taken for.

    Args:
        probabilities: (B, 16).
        labels: (B,).

    Returns:
        Dict from `"head"` and `"tail"` to counts (4, 4), true ones in rows.

    Raises:
        ValueError: The probabilities are not those of glyphs.
    """
    if np.shape(probabilities) != (len(labels), two_part_glyphs.CLASSES):
        raise ValueError(
            f"expected probabilities of {two_part_glyphs.CLASSES} glyphs for "
            f"{len(labels)} labels. Received: shape {np.shape(probabilities)}"
        )
    ends = len(two_part_glyphs.TAILS)
    true = np.divmod(labels, ends)
    predicted = np.divmod(np.argmax(probabilities, -1), ends)
    found = {}
    for name, rows, columns in zip(PARTS, true, predicted, strict=True):
        counts = np.zeros((ends, ends), int)
        np.add.at(counts, (rows, columns), 1)
        found[name] = counts
    return found
