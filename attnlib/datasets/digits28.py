"""scikit-learn's handwritten digits, enlarged to 28x28 like MNIST.

Embedded: it needs no network and no files of its own.
"""

import functools

import numpy as np

from attnlib.datasets import warps
from attnlib.datasets.checks import whole_number
from attnlib.datasets.registry import DataSet

_SMALL, _INNER, _SIDE = 8, 20, 28
_VALIDATION, _TEST = 197, 400
_SPLIT_SEED = 2016
# A cubic kernel at steps of one tenth has integer weights over this.
_DENOMINATOR = 2000
_CHUNK = 2048


def _cubic_matrix() -> np.ndarray:
    """Return the (20, 8) Catmull-Rom weights of 8 -> 20, times 2000.

    Enlarging by 2.5 samples at 0.4 i - 0.3: every offset is a whole number of
    tenths, so the weights are integers and the result is exact on any machine.
    """
    matrix = np.zeros((_INNER, _SMALL), np.int64)
    for row in range(_INNER):
        first, t = divmod(4 * row - 3, 10)
        weights = (
            -t * 100 + 2 * t**2 * 10 - t**3,
            2000 - 5 * t**2 * 10 + 3 * t**3,
            t * 100 + 4 * t**2 * 10 - 3 * t**3,
            -(t**2) * 10 + t**3,
        )
        for tap, weight in enumerate(weights):
            # Outside is background: nothing is added there.
            if 0 <= (column := first - 1 + tap) < _SMALL:
                matrix[row, column] += weight
    return matrix


def _enlarge(small: np.ndarray) -> np.ndarray:
    """Enlarge (N, 8, 8) levels 0..16 to (N, 28, 28) bytes.

    Like MNIST: the digit fills 20x20 pixels, and its centre of mass is moved
    to the middle of the 28x28 pixels, by whole pixels.
    """
    matrix = _cubic_matrix()
    inner = np.einsum("ia,nab,jb->nij", matrix, small.astype(np.int64), matrix)
    scale = 16 * _DENOMINATOR**2
    inner = np.clip((inner * 2 * 255 + scale) // (2 * scale), 0, 255)
    images = np.zeros((len(small), _SIDE, _SIDE), np.uint8)
    margin = _SIDE - _INNER
    for image, digit in zip(images, inner, strict=True):
        mass = max(int(digit.sum()), 1)
        top, left = (
            _SIDE // 2 - (2 * int(digit.sum(axis) @ places) + mass) // mass // 2
            for axis, places in ((1, np.arange(20)), (0, np.arange(20)))
        )
        top, left = min(max(top, 0), margin), min(max(left, 0), margin)
        image[top : top + _INNER, left : left + _INNER] = digit
    return images


def _split(labels: np.ndarray) -> dict[str, np.ndarray]:
    """Return shuffled indices of each split, all classes alike in each."""
    # RandomState's stream is frozen; Generator's may change with NumPy.
    random = np.random.RandomState(_SPLIT_SEED)
    # Every long stretch of this order has all classes alike.
    position = np.empty(len(labels))
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        position[members] = (np.arange(len(members)) + 0.5) / len(members)
    order = np.lexsort((labels, position))
    train = len(labels) - _VALIDATION - _TEST
    members = np.split(order, (train, train + _VALIDATION))
    names = ("train", "validation", "test")
    return {
        name: random.permutation(indices)
        for name, indices in zip(names, members, strict=True)
    }


@functools.cache
def _everything() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = _enlarge(digits.images)[..., None]
    labels = digits.target.astype(np.int32)
    return {
        name: (images[indices], labels[indices])
        for name, indices in _split(labels).items()
    }


def augmented(images, labels, copies, seed=0):
    """Add randomly moved, turned, slanted and scaled copies of images.

    Shifts are uniform in +-2 pixels, turns in +-12 degrees, scales in
    0.85..1.15, slants (shear) in +-0.15. The same arguments give the same
    copies.

    Args:
        images: uint8 array (N, H, W, C).
        labels: Array (N,).
        copies: Number of copies of each image, 0 or more.
        seed: Seed of the random transformations.

    Returns:
        Tuple of images ((copies + 1) N, H, W, C), the originals first, and
        their labels.

    Raises:
        ValueError: `images` is not uint8 of rank 4, there is not one label
            per image, or `copies` is not a whole number of at least 0.

    Example:
        >>> images = np.zeros((5, 28, 28, 1), np.uint8)
        >>> more, labels = augmented(images, np.arange(5), copies=2)
        >>> more.shape, labels.shape
        ((15, 28, 28, 1), (15,))
    """
    images, labels = np.asarray(images), np.asarray(labels)
    if images.dtype != np.uint8 or images.ndim != 4:
        raise ValueError(
            "expected images as uint8 of shape (N, H, W, C), received "
            f"{images.dtype} of shape {images.shape}"
        )
    if labels.shape != images.shape[:1]:
        raise ValueError(
            f"expected one label for each of the {len(images)} images, "
            f"received labels of shape {labels.shape}"
        )
    copies = whole_number("copies", copies, 0)
    seed = whole_number("seed", seed, 0, 2**32 - 1)
    random = np.random.RandomState(seed)
    parts = [images]
    for _ in range(copies):
        matrix, shift = _random_affine(random, len(images))
        parts += [
            _warp(images[i : i + _CHUNK], matrix[i : i + _CHUNK], shift[i:])
            for i in range(0, len(images), _CHUNK)
        ]
    return np.concatenate(parts), np.tile(labels, copies + 1)


def _random_affine(random, count):
    """Draw matrices (N, 2, 2) and shifts (N, 2), output to input pixels."""
    angle = np.deg2rad(random.uniform(-12, 12, count))
    zoom = 1 / random.uniform(0.85, 1.15, count)
    slant = random.uniform(-0.15, 0.15, count)
    shift = random.uniform(-2, 2, (count, 2))
    cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
    rows = [[cos, -sin + slant * cos], [sin, cos + slant * sin]]
    return np.array(rows).transpose(2, 0, 1), shift


def _warp(images, matrix, shift):
    """Sample images (N, H, W, C) bilinearly, zero outside."""
    size = images.shape[1:3]
    centre = warps.middle(*size)
    grid = warps.pixel_grid(*size) - centre  # (HW, 2)
    points = np.einsum("nij,pj->npi", matrix, grid)
    points += (shift[: len(images)] + centre)[:, None]
    found = warps.sample(images, points)
    return warps.like(found, np.uint8, images.shape)


def _read(split, *, copies=0, seed=0):
    """Read one split: 1200 training, 197 validation and 400 test digits.

    The split is fixed and stratified by class. scikit-learn does not say who
    wrote which digit, so writers are shared between the splits.

    Args:
        split: `"train"`, `"validation"` or `"test"`.
        copies: Number of augmented copies added to each training image (see
            `augmented`); the other splits stay as they are.
        seed: Seed of the augmentation.
    """
    copies = whole_number("copies", copies, 0)
    images, labels = _everything()[split]
    if split == "train" and copies:
        images, labels = augmented(images, labels, copies, seed)
    # Copies: a caller that writes into them must not change the next load.
    return {"images": images.copy(), "label": labels.copy()}


DATASET = DataSet(
    name="digits28",
    description="scikit-learn's handwritten digits (8x8) enlarged to 28x28",
    licence="CC BY 4.0 (UCI Machine Learning Repository)",
    citation=(
        "E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits. "
        "UCI Machine Learning Repository, 1998, doi:10.24432/C50P49"
    ),
    homepage=(
        "https://archive.ics.uci.edu/dataset/80/"
        "optical+recognition+of+handwritten+digits"
    ),
    read=_read,
)
