"""Read images at points between pixels: what all distortions are made of.

NumPy only, so that data is the same on every backend. Points are (x, y) in
pixels, (0, 0) the middle of the top-left pixel; they say where each pixel of
the result is read, and what lies outside an image is 0.
"""

import numpy as np


def pixel_grid(height, width):
    """Return the pixels' own positions (x, y), row by row, (height width, 2).

    Example:
        >>> pixel_grid(1, 2).tolist()
        [[0, 0], [1, 0]]
    """
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    return np.stack([columns, rows], -1).reshape(-1, 2)


def middle(height, width):
    """Return the middle (x, y) of an image in pixels, (2,).

    Example:
        >>> middle(3, 4).tolist()
        [1.5, 1.0]
    """
    return np.array([(width - 1) / 2, (height - 1) / 2])


def sample(images, points):
    """Read images bilinearly, zero outside.

    Args:
        images: Array (N, H, W, C).
        points: Float array (N, P, 2), (x, y) in pixels; its dtype is that of
            the arithmetic.

    Returns:
        Array (N, P, C), in the dtype of `points`.

    Example:
        >>> images = np.array([1.0, 3.0]).reshape(1, 1, 2, 1)
        >>> sample(images, np.array([[[0.5, 0.0], [2.0, 0.0]]])).ravel()
        array([2., 0.])
    """
    count, height, width, channels = images.shape
    # Far points would overflow as integers, and are outside as well nearer.
    limit = np.array([width + 1, height + 1], points.dtype)
    points = np.clip(points, -2, limit)
    low = np.floor(points).astype(np.int32)
    fraction = points - low
    # One pixel of background all around stands for everything outside.
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    rows = padded.reshape(-1, channels)
    first = np.arange(count)[:, None] * ((height + 2) * (width + 2))
    result = np.zeros((*points.shape[:2], channels), points.dtype)
    for dx in (0, 1):
        for dy in (0, 1):
            x = np.clip(low[..., 0] + dx + 1, 0, width + 1)
            y = np.clip(low[..., 1] + dy + 1, 0, height + 1)
            weight = np.abs(1 - dx - fraction[..., 0])
            weight *= np.abs(1 - dy - fraction[..., 1])
            found = np.take(rows, first + y * (width + 2) + x, axis=0)
            result += weight[..., None] * found
    return result


def like(values, dtype, shape):
    """Return values in a dtype and shape, rounded if it has whole numbers.

    Example:
        >>> like(np.array([0.6, 2.0]), np.uint8, (2, 1)).ravel().tolist()
        [1, 2]
    """
    if np.dtype(dtype).kind in "ui":
        values = np.rint(values)
    return values.astype(dtype).reshape(shape)
