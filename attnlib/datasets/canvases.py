"""Large canvases with small digits on them, drawn anew whenever asked for.

The tasks of the papers on glimpses and transformers: a digit somewhere on a
large canvas, pieces of other digits around it as clutter, two digits on one
canvas. Nothing is stored: a batch is composed in a few array operations, so a
training can redraw every place and every piece in every epoch.

Convention: positions are the (x, y) of a top-left corner in pixels, from 0.
"""

import numpy as np

from attnlib.datasets.checks import random_generator, whole_number


def translated(digits, side, generator):
    """Put each digit at a random place of an empty canvas.

    Args:
        digits: Array (N, h, w, C) of any numeric dtype, 0 = background.
        side: Height and width of the canvas in pixels, at least h and w.
        generator: A `numpy.random.Generator`.

    Returns:
        Tuple of canvases (N, side, side, C), of the digits' dtype, and
        positions, int64 (N, 2).

    Raises:
        ValueError: `digits` is not of rank 4, or larger than the canvas, or
            `generator` is no generator.

    Example:
        >>> digits = np.ones((5, 28, 28, 1), np.uint8)
        >>> canvases, corners = translated(digits, 60, np.random.default_rng(0))
        >>> canvases.shape, corners.shape, int(canvases.sum())
        ((5, 60, 60, 1), (5, 2), 3920)

    Reference:
        Mnih et al. 2014, arXiv:1406.6247, section 4.1.2.
    """
    digits, side = _checked("digits", digits, side)
    generator = random_generator("generator", generator)
    count, height, width, channels = digits.shape
    canvases = np.zeros((count, side, side, channels), digits.dtype)
    corners = np.stack(
        [
            generator.integers(0, side - width + 1, count),
            generator.integers(0, side - height + 1, count),
        ],
        axis=1,
    )
    paste(canvases, digits, corners)
    return canvases, corners


def cluttered(digits, side, generator, pieces, piece_size=8, pool=None):
    """Put each digit at a random place among pieces of other digits.

    Args:
        digits: Array (N, h, w, C) of any numeric dtype, 0 = background.
        side: Height and width of the canvas in pixels, at least h and w.
        generator: A `numpy.random.Generator`.
        pieces: Number of pieces, 0 or more (the paper has 4 on 60 x 60 and 8
            on 100 x 100 pixels).
        piece_size: Height and width of a piece in pixels.
        pool: Digits to cut pieces from, (M, h', w', C); None: `digits`.

    Returns:
        Tuple of canvases (N, side, side, C), of the digits' dtype, and
        positions of the whole digits, int64 (N, 2).

    Raises:
        ValueError: An array is not of rank 4, a digit is larger than the
            canvas, a piece larger than the pool's digits, the pool has other
            channels, `pieces` is no whole number of at least 0, or
            `generator` no generator.

    Example:
        >>> digits = np.ones((5, 28, 28, 1), np.uint8)
        >>> generator = np.random.default_rng(0)
        >>> canvases, corners = cluttered(digits, 60, generator, pieces=4)
        >>> canvases.shape, bool(canvases.sum() > digits.sum())
        ((5, 60, 60, 1), True)

    Reference:
        Mnih et al. 2014, arXiv:1406.6247, section 4.1.3: the pieces are
        windows at random places of random digits.
    """
    pieces = whole_number("pieces", pieces, 0)
    pool = np.asarray(digits if pool is None else pool)
    canvases, corners = translated(digits, side, generator)
    if not pieces:
        return canvases, corners
    _checked("pool", pool, max(pool.shape[1:3]) if pool.ndim == 4 else side)
    if not len(pool):
        raise ValueError("expected a pool of at least one digit, received none")
    if pool.shape[3] != canvases.shape[3]:
        raise ValueError(
            f"expected a pool of {canvases.shape[3]} channels like the digits, "
            f"received {pool.shape[3]}"
        )
    largest = min(side, *pool.shape[1:3])
    piece_size = whole_number("piece_size", piece_size, 1, largest)
    span = np.arange(piece_size)
    for _ in range(pieces):
        rows = generator.integers(
            0, pool.shape[1] - piece_size + 1, len(digits)
        )
        columns = generator.integers(
            0, pool.shape[2] - piece_size + 1, len(digits)
        )
        source = generator.integers(0, len(pool), len(digits))
        cut = pool[
            source[:, None, None],
            (rows[:, None] + span)[:, :, None],
            (columns[:, None] + span)[:, None, :],
        ]
        places = generator.integers(0, side - piece_size + 1, (len(digits), 2))
        paste(canvases, cut, places)
    return canvases, corners


def pairs(first, second, side, generator):
    """Put two digits at random places of one canvas, apart from each other.

    Places are drawn until the two boxes do not overlap.

    Args:
        first: Array (N, h, w, C) of any numeric dtype, 0 = background.
        second: Array like `first`.
        side: Height and width of the canvas, at least twice h or twice w, so
            that two boxes fit.
        generator: A `numpy.random.Generator`.

    Returns:
        Tuple of canvases (N, side, side, C) and positions (N, 2, 2): that of
        the first digit and that of the second.

    Raises:
        ValueError: The arrays are not alike or not of rank 4, the canvas is
            too small for two of them, or `generator` is no generator.

    Example:
        >>> digits = np.ones((5, 28, 28, 1), np.uint8)
        >>> generator = np.random.default_rng(0)
        >>> canvases, corners = pairs(digits, digits, 100, generator)
        >>> canvases.shape, corners.shape, int(canvases.sum())
        ((5, 100, 100, 1), (5, 2, 2), 7840)

    Reference:
        Ba et al. 2015, arXiv:1412.7755, section 4.1.
    """
    first, side = _checked("first", first, side)
    second, side = _checked("second", second, side)
    generator = random_generator("generator", generator)
    if first.shape != second.shape:
        raise ValueError(
            "expected two arrays of the same shape, received "
            f"{first.shape} and {second.shape}"
        )
    count, height, width, channels = first.shape
    if side < 2 * min(height, width):
        raise ValueError(
            f"expected a canvas of at least {2 * min(height, width)} pixels a "
            f"side for two digits of {height} x {width}, received {side}"
        )
    limit = np.array([side - width + 1, side - height + 1])
    corners = generator.integers(0, limit, (count, 2, 2))
    box = np.array([width, height])
    while True:
        apart = np.abs(corners[:, 0] - corners[:, 1]) >= box
        clash = np.flatnonzero(~apart.any(axis=1))
        if not len(clash):
            break
        corners[clash] = generator.integers(0, limit, (len(clash), 2, 2))
    canvases = np.zeros((count, side, side, channels), first.dtype)
    paste(canvases, first, corners[:, 0])
    paste(canvases, second, corners[:, 1])
    return canvases, corners


def paste(canvases, patches, corners):
    """Write patches onto canvases in place, the brighter pixel wins.

    Args:
        canvases: Array (N, H, W, C), changed.
        patches: Array (N, h, w, C), no larger than the canvases.
        corners: Integer array (N, 2), (x, y) of the patches' top-left pixels,
            so that every patch lies inside.
    """
    count, height, width, _ = patches.shape
    batch = np.arange(count)[:, None, None]
    rows = (corners[:, 1, None] + np.arange(height))[:, :, None]
    columns = (corners[:, 0, None] + np.arange(width))[:, None, :]
    below = canvases[batch, rows, columns]
    canvases[batch, rows, columns] = np.maximum(below, patches)


def _checked(name, images, side):
    """Return images as an array and the side as int, or raise."""
    images = np.asarray(images)
    if images.ndim != 4 or images.dtype.kind not in "uif":
        raise ValueError(
            f"expected {name} as numbers of shape (N, h, w, C), received "
            f"{images.dtype} of shape {images.shape}"
        )
    side = whole_number("side", side, 1)
    if max(images.shape[1:3]) > side:
        raise ValueError(
            f"expected {name} no larger than the canvas of {side} x {side} "
            f"pixels, received {images.shape[1]} x {images.shape[2]} pixels"
        )
    return images, side
