"""What the glimpse models are trained and tested on: digits and canvases."""

import dataclasses

import numpy as np

from attnlib import datasets
from attnlib.datasets import canvases
from attnlib.datasets.digits28 import augmented
from attnlib.models.provenance import Provenance

TASKS = ("digits", "pairs", "sums")

# Canvases to validate and to test on are the same for every seed of a model.
_VALIDATION_SEED, _TEST_SEED = 1406, 6247


@dataclasses.dataclass(frozen=True)
class Data(Provenance):
    """Images and labels of a data set.

    Attributes:
        train: `(images, labels)`: float32 (N, H, W, C) in [0, 1] and int32
            (N,). With a `scatter` the images are its input, uint8 digits.
        validation: float32 images and labels; None when all of it is trained
            on.
        test: Likewise.
        task: What is seen, a part of the claims' ids: `"mnist-28x28"`,
            `"cluttered-60x60"`, `"mnist-pairs-100x100"` and so on.
        num_classes: Number of classes.
        name: Name of the data set.
        digest: Its digest, without the augmented copies.
        description: What the data is, in words.
        scatter: Function `(digits, labels, generator) -> (images, labels)`
            that lays a batch of training digits out on canvases, elsewhere
            and among other clutter at every call; None for digits as they
            are.
        corners: Of pairs and sums, (x, y) of the top-left corners of both
            digits of each test image, integers (N, 2, 2); else None.
    """

    train: tuple
    validation: tuple | None
    test: tuple
    task: str
    num_classes: int
    name: str
    digest: str
    description: str
    scatter: object = None
    corners: object = None


def pair_class(first, second):
    """Return the class of an unordered pair of digits, from 0 to 54.

    Args:
        first: Integer array of digits from 0 to 9.
        second: Likewise.

    Returns:
        Integer array of the same shape: 0 0 is 0, 0 1 is 1, ... 9 9 is 54.

    Example:

    >>> int(pair_class(np.array(1), np.array(0)))
    1
    """
    low, high = np.minimum(first, second), np.maximum(first, second)
    return low * (19 - low) // 2 + high


def class_names(task):
    """Return what each class of a task is called.

    Args:
        task: One of `TASKS`.

    Example:

    >>> class_names("pairs")[:3], class_names("sums")[-1]
    (['0 and 0', '0 and 1', '0 and 2'], '18')
    """
    if task == "pairs":
        return [f"{i} and {j}" for i in range(10) for j in range(i, 10)]
    return [str(i) for i in range(19 if task == "sums" else 10)]


def load_data(settings) -> Data:
    """Load the images to train and to test on.

    MNIST's 60000 training images are all trained on, as in the paper, so
    there nothing is held out while training. On canvases the training images
    are never held in memory: each batch is composed when it is asked for.
    Clutter and the second digit of a pair are of the same split.

    Args:
        settings: A `profiles.RecurrentGlimpses`. `copies` augmented copies of
            every training image are added, drawn from its seed.

    Returns:
        A `Data`.

    Raises:
        ValueError: Clutter or pairs without a canvas, a canvas too small for
            the digits, clutter among pairs, or a digit that no image shows.
    """
    name, whole = settings.dataset, settings.dataset == "mnist"
    _check_task(settings)
    train = load_images(name, "train+validation" if whole else "train")
    validation = None if whole else load_images(name, "validation")
    test = load_images(name, "test")
    images, labels = augmented(
        train["images"], train["label"], settings.copies, settings.seed
    )
    for split, part in (("training", labels), ("test", test["label"])):
        check_classes(name, split, part)
    tested, corners = _laid_out(test, settings, _TEST_SEED)
    scatter = None
    if settings.canvas:
        scatter = _scatter(images, labels, settings)
    return Data(
        (images if settings.canvas else unit(images), labels),
        validation and _laid_out(validation, settings, _VALIDATION_SEED)[0],
        tested,
        _task(settings, images.shape[1]),
        len(class_names(settings.task)),
        name,
        datasets.digest(name),
        _told(settings, len(train["label"]), len(test["label"])),
        scatter,
        corners,
    )


def _check_task(settings):
    if settings.task not in TASKS:
        raise ValueError(
            f"expected task to be one of {', '.join(TASKS)}. Received: "
            f"{settings.task!r}"
        )
    if settings.clutter and settings.task != "digits":
        raise ValueError(
            "expected no clutter among pairs. Received: "
            f"clutter={settings.clutter}"
        )
    if settings.canvas:
        return
    if settings.clutter:
        raise ValueError(
            "expected a canvas to put clutter on. Received: canvas=0, "
            f"clutter={settings.clutter}"
        )
    if settings.task != "digits":
        raise ValueError(
            "expected a canvas to put two digits on. Received: canvas=0"
        )


def load_images(name, split):
    """Load a split of a data set of images.

    Args:
        name: Name of the data set.
        split: Name of the split.

    Returns:
        A dict with `images`, as `attnlib.datasets.load` returns it.

    Raises:
        ValueError: There is no such data set or split, or it has no images.
    """
    part = datasets.load(name, split)
    if "images" not in part:
        raise ValueError(
            f"expected a data set of images. Received: {name}, which has "
            f"{', '.join(part)}"
        )
    return part


def check_classes(name, split, labels):
    """Check that a split has images of all ten digits.

    Args:
        name: Name of the data set, for the message.
        split: What the split is called in the message.
        labels: Integer array (N,).

    Raises:
        ValueError: A digit from 0 to 9 has no image.
    """
    missing = sorted(set(range(10)) - set(np.asarray(labels).tolist()))
    if missing:
        raise ValueError(
            f"expected {split} images of all ten digits in {name}. Received: "
            f"none of {', '.join(map(str, missing))}"
        )


def _told(settings, train, test):
    """Return what the data is, in words."""
    told = f"{settings.dataset}, {train} training images"
    if settings.copies:
        told += f", {settings.copies} augmented copies each"
    told += f", {test} test images"
    if settings.canvas:
        many = "" if settings.task == "digits" else ", two at a time,"
        told += f"{many or ','} at random places of {settings.canvas}x"
        told += f"{settings.canvas} pixels"
    if settings.clutter:
        told += f" among {settings.clutter} pieces of other digits"
    return told


def _task(settings, digit_side):
    """Return the data set's part of the claims' ids."""
    name, side = settings.dataset, settings.canvas
    if settings.task != "digits":
        kind = "pairs" if settings.task == "pairs" else "addition"
        return f"{name}-{kind}-{side}x{side}"
    if not side:
        whole = f"{name}-{digit_side}x{digit_side}"
        return name if name == "digits28" else whole
    kind = "cluttered" if settings.clutter else "translated"
    other = "" if name == "mnist" else f"{name}-"
    return f"{other}{kind}-{side}x{side}"


def _place(digits, labels, pool, names, settings, generator):
    """Return canvases, labels and corners of a batch of digits."""
    side = settings.canvas
    if settings.task == "digits":
        images, corners = canvases.cluttered(
            digits, side, generator, settings.clutter, pool=pool
        )
        return images, labels, corners
    partner = generator.integers(0, len(pool), len(digits))
    images, corners = canvases.pairs(digits, pool[partner], side, generator)
    second = names[partner]
    both = labels + second
    if settings.task == "pairs":
        both = pair_class(labels, second)
    return images, both.astype(labels.dtype), corners


def _scatter(pool, names, settings):
    """Return the function that lays a batch out, with others from `pool`."""

    def scatter(digits, labels, generator):
        images, labels, _ = _place(
            digits, labels, pool, names, settings, generator
        )
        return unit(images), labels

    return scatter


def _laid_out(part, settings, seed):
    """Return (images, labels) of a split, and the corners of its pairs."""
    images, labels = part["images"], part["label"]
    if not settings.canvas:
        return (unit(images), labels), None
    images, labels, corners = _place(
        images, labels, images, labels, settings, np.random.default_rng(seed)
    )
    pairs = settings.task != "digits"
    return (unit(images), labels), corners if pairs else None


def visited(locations, corners, side, digit=28, ink=20, reach=6):
    """Return in which images some glimpse was near each of both digits.

    Args:
        locations: (x, y) in [-1, 1], shape (N, T, 2).
        corners: Top-left corners of the digits in pixels, shape (N, 2, 2).
        side: Side of the canvas in pixels.
        digit: Side of a digit's image in pixels.
        ink: Side of the square in its middle that holds the ink.
        reach: Largest distance of a glimpse's centre from that square, in
            pixels.

    Returns:
        Booleans, shape (N,).
    """
    centres = ((np.asarray(locations) + 1) * side - 1) / 2  # (N, T, 2)
    middles = np.asarray(corners) + (digit - 1) / 2  # (N, 2, 2)
    gap = np.abs(centres[:, :, None] - middles[:, None]) - ink / 2
    distance = np.linalg.norm(np.maximum(gap, 0), axis=-1)  # (N, T, 2)
    return (distance <= reach).any(axis=1).all(axis=1)


def check_test(images, labels):
    """Check that images can be tested on.

    Raises:
        ValueError: There are none, they are not finite or not one per label.
    """
    if len(images) != len(labels) or not len(labels):
        raise ValueError(
            "expected one label per image and at least one image. Received: "
            f"{len(images)} images and {len(labels)} labels"
        )
    check_finite(images)


def check_finite(images):
    """Check that no image (N, ...) has NaN or infinity.

    Raises:
        ValueError: One has; the message names the first.
    """
    bad = ~np.isfinite(images).reshape(len(images), -1).all(axis=1)
    if bad.any():
        raise ValueError(
            "expected finite images. Received: NaN or infinity, first in "
            f"image {bad.argmax()} ({bad.sum()} images in all)"
        )


def check_bytes(images) -> np.ndarray:
    """Return images as an array when they are bytes, at least one.

    Args:
        images: uint8 (N, H, W, C).

    Raises:
        ValueError: They are of another type or rank, or there are none.
    """
    images = np.asarray(images)
    if images.dtype != np.uint8:
        raise ValueError(
            "expected images as bytes, uint8 from 0 to 255. Received: "
            f"{images.dtype}"
        )
    if images.ndim != 4 or not len(images):
        raise ValueError(
            "expected images of shape (N, H, W, C), at least one. Received: "
            f"shape {images.shape}"
        )
    return images


def unit(images):
    """Return images of bytes as float32 in [0, 1]."""
    # In one pass: this is a good part of composing a batch of canvases.
    return np.divide(images, np.float32(255), dtype="float32")
