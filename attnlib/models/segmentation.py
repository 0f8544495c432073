"""The experiment of notebook 14: what choosing a scale is worth, pixelwise."""

import dataclasses
import re

import numpy as np
from keras import ops

from attnlib import datasets
from attnlib.datasets import camvid, pascal_voc, scale_scenes
from attnlib.datasets.masks import IGNORE
from attnlib.models import encoders, scale_segmentation
from attnlib.models.glimpse_data import check_bytes, unit
from attnlib.models.provenance import Provenance, digest_of
from attnlib.models.scale_segmentation import (
    ScaleSegmentation,
    build_network,
)
from attnlib.ops import checks
from attnlib.training import Batches, train_or_load, warmed_adam

# Masks are checked when they are loaded, and again by a model that trains.
check = scale_segmentation.check_masks

# The paper's sets of scales, by their number.
SCALES = {1: (1.0,), 2: (1.0, 0.5), 3: (1.0, 0.75, 0.5)}
MERGES = {"att": "attention", "avg": "average", "max": "max"}
NETWORKS = ("small", "vgg16")

_KIND = re.compile(r"([23])-scales-(att|avg|max)(-extra)?")
_SPLITS = ("train", "validation", "test")
_RECIPE = (
    "network filters halvings rates units batch_size learning_rate warmup_steps"
).split()
# Images that are segmented together.
_TOGETHER = 64


@dataclasses.dataclass(frozen=True)
class Task(Provenance):
    """Images with the class of every pixel.

    Attributes:
        train: Dict of `images`, bytes (N, H, W, 3), and `mask`, uint8 (N, H,
            W), 255 where a pixel counts for nothing; and what else the data
            set knows, as `datasets.load` gives it.
        validation: Likewise.
        test: Likewise.
        classes: Names of the classes.
        name: The data set's name.
        digest: Digest of the data.
        description: What the data is, in words.
    """

    train: dict
    validation: dict
    test: dict
    classes: tuple
    name: str
    digest: str
    description: str

    @property
    def knows_objects(self) -> bool:
        """Return whether it is known which object a pixel belongs to."""
        return "object" in self.test


def load_task(settings) -> Task:
    """Load images and masks.

    Args:
        settings: A `profiles.Segmentation`.

    Returns:
        A `Task`.

    Raises:
        ValueError: There is no such data set for segmentation.
    """
    name = checks.one_of("dataset", settings.dataset, tuple(_CLASSES))
    parts, plan = {}, []
    for split in _SPLITS:
        options = {"width": settings.width, "height": settings.height}
        if name == "scale_scenes":
            few = settings.held_out
            options = {
                "side": settings.height,
                "most": settings.shapes,
                "count": settings.examples if split == "train" else few,
            }
        parts[split] = datasets.load(name, split, **options)
        plan.append(options)
        check(parts[split]["images"], parts[split]["mask"], len(_CLASSES[name]))
    # Options say how the data are made, which the digest then need not do.
    digest = f"{datasets.digest(name)} {plan}"
    count, height, width = parts["train"]["mask"].shape
    return Task(
        **parts,
        classes=_CLASSES[name],
        name=name,
        digest=digest_of(digest),
        description=(
            f"{name}, {count} training and {len(parts['test']['mask'])} test "
            f"images of {width}x{height}, {len(_CLASSES[name])} classes"
        ),
    )


_CLASSES = {
    "scale_scenes": scale_scenes.CLASSES,
    "camvid": camvid.CLASSES,
    "pascal_voc": pascal_voc.CLASSES,
}


def parse(kind):
    """Return what a kind of model is.

    Args:
        kind: `"baseline"`, one scale; or 2 or 3 scales and how they are
            merged, `"2-scales-att"`, `"3-scales-avg"`, `"2-scales-max"`, with
            `"-extra"` behind it for extra supervision.

    Returns:
        A dict of arguments of `ScaleSegmentation`.

    Raises:
        ValueError: There is no such kind.

    Example:

    >>> parse("2-scales-avg-extra")
    {'scales': (1.0, 0.5), 'merge': 'average', 'extra_supervision': True}
    """
    if kind == "baseline":
        return {"scales": SCALES[1], "extra_supervision": False}
    found = _KIND.fullmatch(str(kind))
    if not found:
        raise ValueError(
            "expected a kind such as 'baseline', '2-scales-att-extra' or "
            f"'3-scales-max'. Received: {kind!r}"
        )
    return {
        "scales": SCALES[int(found[1])],
        "merge": MERGES[found[2]],
        "extra_supervision": found[3] is not None,
    }


def build(settings, task, kind, steps):
    """Return a compiled model for a task.

    Args:
        settings: A `profiles.Segmentation`.
        task: A `Task`.
        kind: As of `parse`.
        steps: Number of updates that the learning rate decays over.

    Raises:
        ValueError: There is no such kind or network.
    """
    checks.one_of("network", settings.network, NETWORKS)
    if settings.network == "vgg16":
        network = encoders.large_fov()
    else:
        network = build_network(
            settings.filters, settings.halvings, settings.rates
        )
    model = ScaleSegmentation(
        len(task.classes),
        network=network,
        units=settings.units,
        **parse(kind),
    )
    model.build((None, *task.train["images"].shape[1:]))
    model.compile(warmed_adam(settings, steps))
    return model


def flipped(images, masks, generator):
    """Return a batch, half of it flipped from left to right.

    Args:
        images: Bytes (B, H, W, 3).
        masks: Integers (B, H, W).
        generator: A `numpy.random.Generator`.

    Returns:
        `(images, masks)`, the images as float32 in [0, 1].
    """
    flip = generator.random(len(images)) < 0.5
    images, masks = images.copy(), masks.copy()
    images[flip], masks[flip] = images[flip, :, ::-1], masks[flip, :, ::-1]
    return unit(images), masks


def train(settings, task, kind):
    """Train a model, or load the one that was trained.

    Args:
        settings: A `profiles.Segmentation`.
        task: A `Task`.
        kind: As of `parse`.

    Returns:
        An `attnlib.training.Training`. Its history has `val_mean_iou`, in %.
    """
    batches = Batches(
        [(task.train["images"], task.train["mask"])],
        settings.batch_size,
        settings.seed,
        flipped,
    )
    steps = settings.epochs * len(batches.epoch(0))

    def validate(model):
        return {"val_mean_iou": evaluate(model, task, "validation")}

    return train_or_load(
        lambda: build(settings, task, kind, steps),
        batches,
        name=f"segmentation-{kind}-{task.name}",
        config={
            "kind": kind,
            **{key: getattr(settings, key) for key in _RECIPE},
            # As it is read from a file again.
            "rates": list(settings.rates),
        },
        epochs=settings.epochs,
        data_digest=task.digest,
        seed=settings.seed,
        version=scale_segmentation.VERSION,
        validation=validate,
    )


def train_all(settings, task) -> dict:
    """Train, or load, every model of a profile.

    Args:
        settings: A `profiles.Segmentation`.
        task: A `Task`.

    Returns:
        Dict from the kinds in `settings.models` to `training.Training`.
    """
    return {kind: train(settings, task, kind) for kind in settings.models}


def segment(model, images) -> dict:
    """Name every pixel of images, by all scales together and by each alone.

    Score maps and weights are resized to the images bilinearly.

    Args:
        model: A compiled `ScaleSegmentation`.
        images: Bytes (N, H, W, 3).

    Returns:
        Dict of arrays: `classes`, uint8 (N, H, W); `own`, uint8 (N, S, H, W),
        what each scale alone would say; `weights`, float32 (N, S, H, W), as of
        the model.

    Raises:
        ValueError: Images are no bytes, there are none, they have another
            number of channels than the model was built for, or a scale leaves
            no pixel of them.
    """
    images = check_bytes(images)
    # Before predict: on JAX one that fails leaves a model without weights.
    model.check(images)
    size = images.shape[1:3]
    parts = []
    for start in range(0, len(images), _TOGETHER):
        some = images[start : start + _TOGETHER]
        out = model.predict(unit(some), batch_size=_TOGETHER, verbose=0)
        weights = _enlarged(np.moveaxis(out["weights"], 1, -1), size)
        parts.append(
            {
                "classes": _named(out["merged"], size),
                "own": np.stack([_named(f, size) for f in out["own"]], 1),
                "weights": np.moveaxis(weights, -1, 1),
            }
        )
    return {
        key: np.concatenate([part[key] for part in parts]) for key in parts[0]
    }


def _enlarged(maps, size):
    return ops.convert_to_numpy(scale_segmentation.resized(maps, size))


def _named(scores, size):
    return _enlarged(scores, size).argmax(axis=-1).astype(np.uint8)


def evaluate(model, task, split="test") -> float:
    """Return a model's mean IoU on a split, in %.

    Args:
        model: A compiled `ScaleSegmentation`.
        task: A `Task`.
        split: `"train"`, `"validation"` or `"test"`.
    """
    data = getattr(task, split)
    found = segment(model, data["images"])["classes"]
    return mean_iou(data["mask"], found, len(task.classes))


def by_place(task, split="test") -> float:
    """Return the mean IoU of naming each pixel by its place alone, in %.

    A pixel is called what is most frequent at its place in the training masks:
    what any network must do better than.

    Args:
        task: A `Task`.
        split: `"train"`, `"validation"` or `"test"`.
    """
    number = len(task.classes)
    seen = [(task.train["mask"] == c).sum(axis=0) for c in range(number)]
    masks = getattr(task, split)["mask"]
    found = np.broadcast_to(np.argmax(seen, axis=0), masks.shape)
    return mean_iou(masks, found, number)


def confusion(masks, found, num_classes) -> np.ndarray:
    """Count pixels by what they are and what they were taken for.

    Args:
        masks: Integers of any shape, true classes; 255 counts for nothing.
        found: Integers of the same shape.
        num_classes: Number K of classes.

    Returns:
        int64 (K, K): rows are true classes.

    Example:

    >>> confusion([0, 1, 1, 255], [0, 1, 0, 1], 2).tolist()
    [[1, 0], [1, 1]]
    """
    masks, found = np.asarray(masks), np.asarray(found)
    if masks.shape != found.shape:
        raise ValueError(
            "expected a class for each pixel of the masks. Received: masks "
            f"{masks.shape}, found {found.shape}"
        )
    known = masks != IGNORE
    pairs = masks[known].astype(np.int64) * num_classes + found[known]
    counts = np.bincount(pairs, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def class_iou(masks, found, num_classes) -> np.ndarray:
    """Return the intersection over union of each class, in %.

    Args:
        masks: As of `confusion`, which the other arguments are for, too.
        found: Likewise.
        num_classes: Number K of classes.

    Returns:
        float64 (K,); NaN for a class that is neither there nor found.
    """
    counts = confusion(masks, found, num_classes)
    hit = np.diag(counts).astype(np.float64)
    union = counts.sum(axis=0) + counts.sum(axis=1) - hit
    return 100 * np.divide(
        hit, union, out=np.full(num_classes, np.nan), where=union > 0
    )


def mean_iou(masks, found, num_classes) -> float:
    """Return the mean IoU over the classes, in %: over all pixels at once.

    Args:
        masks: As of `confusion`, which the other arguments are for, too.
        found: Likewise.
        num_classes: Number of classes; those that are nowhere do not count.

    Example:

    >>> mean_iou([0, 1, 1, 255], [0, 1, 0, 1], 2)
    50.0
    """
    return float(np.nanmean(class_iou(masks, found, num_classes)))


def by_object(task, values, split="test") -> dict:
    """Average maps over the pixels of each object that can be seen.

    Args:
        task: A `Task` that knows the objects.
        values: Dict of arrays (N, H, W), one map an image: weights of a scale,
            or whether a pixel was named right.
        split: The split that the maps are of.

    Returns:
        Dict of arrays with one entry an object: `size` in pixels, `image`, the
        index of its image, and the mean of each of the values.
    """
    data = getattr(task, split)
    count, most = data["size"].shape
    whose = data["object"].astype(np.int64)
    inside = whose >= 0
    place = (np.arange(count)[:, None, None] * most + whose)[inside]
    pixels = np.bincount(place, minlength=count * most)
    there = pixels > 0
    found = {
        "size": data["size"].ravel()[there],
        "image": np.repeat(np.arange(count), most)[there],
    }
    for name, maps in values.items():
        total = np.bincount(
            place, np.asarray(maps, np.float64)[inside], count * most
        )
        found[name] = total[there] / pixels[there]
    return found


def octaves(size, bins=6) -> tuple:
    """Group objects by size, in groups as wide on a logarithmic scale.

    Args:
        size: (N,) in pixels.
        bins: Number of groups.

    Returns:
        `(centres, group)`: (bins,) in pixels, geometric middles, and int (N,).
    """
    size = np.asarray(size, np.float64)
    edges = np.geomspace(size.min(), size.max(), bins + 1)
    group = np.clip(np.searchsorted(edges, size, "right") - 1, 0, bins - 1)
    return np.sqrt(edges[1:] * edges[:-1]), group
