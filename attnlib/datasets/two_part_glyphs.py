"""Glyphs of two parts far apart: a fine-grained task whose parts are known.

Embedded and generated: a glyph is a bar with a handwritten digit at each end.
The head, a 1, 2, 3 or 4, lies in a ring, the tail, a 6, 7, 8 or 9, does not.
All glyphs look alike but for these details, and the class is the pair of
digits, so that one detail alone leaves four classes possible. A glyph lies at
any angle: head and tail are anywhere, but never in one small window.

Convention: places are the (x, y) of a part's middle in pixels; (0, 0) is the
middle of the top-left pixel.
"""

import numpy as np

from attnlib.datasets import canvases, registry
from attnlib.datasets.checks import random_generator, whole_number
from attnlib.datasets.registry import DataSet

HEADS = (1, 2, 3, 4)
TAILS = (6, 7, 8, 9)
CLASSES = len(HEADS) * len(TAILS)
_POOLS = ("digits28", "mnist")

_PART = 14  # pixels a side of a digit
_RING = 9  # pixels from the head's middle to its ring
_SIDES = (48, 128)
_BAR_LEVEL, _RING_LEVEL = 110, 170


def compose(digits, labels, count, side, generator):
    """Draw glyphs.

    Args:
        digits: uint8 array (N, 28, 28, 1), 0 = background.
        labels: Integer array (N,): the digits' classes, those of `HEADS` and
            `TAILS` among them.
        count: Number of glyphs.
        side: Height and width of the images in pixels, 48 to 128. The two
            parts are more than half of it apart.
        generator: A `numpy.random.Generator`.

    Returns:
        Tuple of images uint8 (count, side, side, 1), labels int32 (count,), 0
        to 15: 4 times the head's number plus the tail's, and places float32
        (count, 2, 2): (x, y) of the head's and of the tail's middle.

    Raises:
        ValueError: `digits` is no uint8 array of that shape, there is no
            digit of a class, a size is out of range, or `generator` is no
            generator.

    Example:
        >>> from attnlib import datasets
        >>> digits = datasets.load("digits28", "test")
        >>> images, labels, places = compose(
        ...     digits["images"],
        ...     digits["label"],
        ...     count=5,
        ...     side=56,
        ...     generator=np.random.default_rng(0),
        ... )
        >>> images.shape, labels.shape, places.shape
        ((5, 56, 56, 1), (5,), (5, 2, 2))
    """
    count = whole_number("count", count, 1)
    side = whole_number("side", side, *_SIDES)
    generator = random_generator("generator", generator)
    pools = _pools(digits, labels)
    classes = generator.permutation(np.arange(count) % CLASSES)
    corners = _corners(count, side, generator)
    places = corners + (_PART - 1) / 2
    images = _bodies(places, side)
    for end, kinds in enumerate(np.divmod(classes, len(TAILS))):
        drawn = np.empty((count, _PART, _PART, 1), np.uint8)
        for kind, pool in enumerate(pools[end]):
            rows = np.flatnonzero(kinds == kind)
            drawn[rows] = pool[generator.integers(0, len(pool), len(rows))]
        canvases.paste(images, drawn, corners[:, end])
    return images, classes.astype(np.int32), places.astype(np.float32)


def _pools(digits, labels):
    """Return the digits of each head and tail, halved to 14 x 14 pixels."""
    digits, labels = np.asarray(digits), np.asarray(labels)
    if digits.shape[1:] != (28, 28, 1) or digits.dtype != np.uint8:
        raise ValueError(
            "expected digits as uint8 of shape (N, 28, 28, 1), received "
            f"{digits.dtype} of shape {digits.shape}"
        )
    small = digits.reshape(-1, _PART, 2, _PART, 2, 1).astype(np.uint16)
    small = ((small.sum(axis=(2, 4)) + 2) // 4).astype(np.uint8)
    found = [[small[labels == kind] for kind in kinds] for kinds in _ENDS]
    for kinds, pools in zip(_ENDS, found, strict=True):
        for kind, pool in zip(kinds, pools, strict=True):
            if not len(pool):
                raise ValueError(
                    f"expected digits of the classes {HEADS + TAILS}, "
                    f"received none of class {kind}"
                )
    return found


_ENDS = (HEADS, TAILS)


def _corners(count, side, generator):
    """Return the top-left pixels of both parts, int64 (count, 2, 2)."""
    # With ring and digit whole at any angle and with some room to move.
    apart = 0.55 * side
    room = (side - apart) / 2 - _RING - 1
    middle = side / 2 + generator.uniform(-room, room, (count, 2))
    angle = generator.uniform(0, 2 * np.pi, count)
    arm = np.stack([np.cos(angle), np.sin(angle)], axis=1) * apart / 2
    ends = np.stack([middle + arm, middle - arm], axis=1)
    return np.rint(ends - _PART / 2).astype(np.int64)


def _bodies(places, side):
    """Return images with the bars and rings alone, uint8 (N, H, W, 1)."""
    places = places.astype(np.float32)[..., None, None]  # (N, 2, 2, 1, 1)
    pixels = np.arange(side, dtype=np.float32)
    x = pixels - places[:, :, 0]  # (N, 2, 1, W), from head and tail
    y = pixels[:, None] - places[:, :, 1]  # (N, 2, H, 1)
    head, tail = np.moveaxis(np.sqrt(x**2 + y**2), 1, 0)  # (N, H, W)
    (dx, dy), length = _arms(places)
    across = np.abs(x[:, 0] * dy - y[:, 0] * dx)
    # The bar ends where the parts begin.
    bar = (across < 1) & (head + tail < length + 0.5)
    bar &= np.minimum(head, tail) > _RING
    images = np.where(bar, np.uint8(_BAR_LEVEL), np.uint8(0))
    images[np.abs(head - _RING) < 0.8] = _RING_LEVEL
    return images[..., None]


def _arms(places):
    """Return the unit vectors from head to tail and the distances."""
    dx, dy = np.moveaxis(places[:, 1] - places[:, 0], 1, 0)
    length = np.sqrt(dx**2 + dy**2)
    return (dx / length, dy / length), length


def _read(split, *, count=1000, side=56, pool="digits28", seed=0):
    """Make one split from the digits of the same split.

    Args:
        split: `"train"`, `"validation"` or `"test"`.
        count: Number of glyphs.
        side: Height and width of the images in pixels, 48 to 128.
        pool: Where the digits come from, `"digits28"` or `"mnist"`.
        seed: Seed of the glyphs.

    Returns:
        `images` uint8 (N, side, side, 1), `label` int32 (N,), 0 to 15, and
        `places` float32 (N, 2, 2), (x, y) of head and tail.
    """
    if pool not in _POOLS:
        raise ValueError(
            f"pool: expected one of {', '.join(_POOLS)}, received {pool!r}"
        )
    seed = whole_number("seed", seed, 0, 2**32 - 1)
    digits = registry.get(pool).read(split)
    number = ("train", "validation", "test").index(split)
    images, labels, places = compose(
        digits["images"],
        digits["label"],
        count,
        side,
        np.random.default_rng([seed, number]),
    )
    return {"images": images, "label": labels, "places": places}


DATASET = DataSet(
    name="two_part_glyphs",
    description="Bars with a digit at each end: the pair is the class",
    licence="generated from scikit-learn's digits (CC BY 4.0)",
    citation=(
        "E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits. "
        "UCI Machine Learning Repository 1998, doi:10.24432/C50P49"
    ),
    homepage="https://archive.ics.uci.edu/dataset/80",
    read=_read,
)
