"""The bilinear sampler of spatial transformers."""

import keras
from keras import ops

from attnlib.ops import checks

PADDINGS = ("zeros", "border")


def bilinear_sample(images, grid, padding="zeros", align_corners=False):
    """Read images at points between pixels, with gradients to both inputs.

    Each value is the bilinear interpolation of the four pixels around a point.
    Positions are computed in at least float32 whatever the dtype of `images`.
    Where a grid has fewer points than the image pixels, only the pixels that
    it points at are read, so the cost of the forward pass does not depend on
    the size of the images. A NaN in the grid gives NaN.

    Args:
        images: Images, shape (B, H, W, C).
        grid: Points (x, y) in normalised coordinates, shape (B, h, w, 2).
        padding: `"zeros"`: pixels outside the image are 0; `"border"`: points
            outside are moved to the nearest border pixel.
        align_corners: See Convention.

    Returns:
        Images, shape (B, h, w, C), in the dtype of `images`.

    Raises:
        ValueError: A rank, size or dtype is wrong, or `padding` is unknown.

    Convention:
        Pixel position ((x + 1) W - 1) / 2 with `align_corners=False`,
        (x + 1) (W - 1) / 2 with True. Equal to torch's `grid_sample`.

    Example:

    >>> import numpy as np
    >>> from attnlib.ops import bilinear_sample
    >>> images = np.array([0.0, 1.0], "float32").reshape(1, 1, 2, 1)
    >>> np.array(bilinear_sample(images, np.zeros((1, 1, 1, 2)))).item()
    0.5

    Reference:
        Jaderberg et al. 2015, arXiv:1506.02025, section 3.3, equation 5.
    """
    images = checks.floating("images", images)
    dtype = keras.backend.standardize_dtype(images.dtype)
    grid = checks.floating("grid", grid, checks.compute_dtype(dtype))
    _check_sampler(images, grid, padding)
    checks.flag("align_corners", align_corners)
    _, height, width, _ = ops.shape(images)
    x, y = ops.split(grid, 2, axis=-1)  # (B, h, w, 1) each
    x, u = _floor(_position(x, width, padding, align_corners), width)
    y, v = _floor(_position(y, height, padding, align_corners), height)
    read = _read_blocks if _is_dense(images, grid) else _read_corners
    pixels = (ops.cast(found, u.dtype) for found in read(images, x, y))
    top_left, top_right, low_left, low_right = pixels
    top = top_left + u * (top_right - top_left)
    low = low_left + u * (low_right - low_left)
    return ops.cast(top + v * (low - top), dtype)


def _check_sampler(images, grid, padding):
    checks.rank("images", images, 4)
    checks.pixels("images", images)
    checks.rank("grid", grid, 4)
    checks.same("last axis", grid=grid.shape[3], coordinates=2)
    checks.same("batch sizes", images=images.shape[0], grid=grid.shape[0])
    checks.one_of("padding", padding, PADDINGS)


def _is_dense(images, grid):
    """Return whether there are known to be as many points as pixels."""
    sizes = (*images.shape[1:3], *grid.shape[1:3])
    if None in sizes:
        return False
    height, width, rows, columns = sizes
    return rows * columns >= height * width


def _position(points, size, padding, align_corners):
    """Return where points lie along an axis, in pixels from the first.

    Positions are limited to the image (border) or to one pixel around it
    (zeros) before they become integers: a point at infinity must not overflow.
    """
    extent = ops.cast(size, points.dtype)
    if align_corners:
        position = (points + 1) * (extent - 1) / 2
    else:
        position = ((points + 1) * extent - 1) / 2
    if padding == "border":
        return _clip(position, ops.zeros_like(extent), extent - 1)
    return _clip(position, -ops.ones_like(extent), extent)


def _floor(position, size):
    """Return the pixel before each position and the way to the next one.

    The pixel is -1 to size - 1, also for a NaN, whose way is NaN.
    """
    last = ops.cast(size, position.dtype) - 1
    floor = ops.stop_gradient(ops.floor(position))
    # Not a minimum: a NaN would become any integer.
    floor = ops.where(floor < last, floor, last)
    return ops.cast(floor, "int32"), position - floor


def _read_blocks(images, x, y):
    """Return the 2 x 2 pixels from (x, y) on, read at once.

    All 2 x 2 blocks of the image, with zeros around it, are laid out first:
    one gather of four pixels, and one scatter in its gradient, take less time
    than four of one, if there are enough of them.

    Returns:
        Four tensors of shape (B, h, w, C).
    """
    batch, height, width, channels = ops.shape(images)
    padded = ops.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    corners = [
        padded[:, :-1, :-1],
        padded[:, :-1, 1:],
        padded[:, 1:, :-1],
        padded[:, 1:, 1:],
    ]
    count = (height + 1) * (width + 1)
    blocks = ops.reshape(
        ops.concatenate(corners, axis=-1), (batch * count, 4 * channels)
    )
    first = ops.reshape(ops.arange(batch, dtype="int32") * count, (-1, 1, 1))
    index = first + (y[..., 0] + 1) * (width + 1) + (x[..., 0] + 1)
    found = ops.take(blocks, index, axis=0)
    # The shape is restored since an empty batch loses it on JAX.
    found = ops.reshape(found, (*ops.shape(index), 4 * channels))
    return ops.split(found, 4, axis=-1)


def _read_corners(images, x, y):
    """Return the 2 x 2 pixels from (x, y) on, read one by one.

    Returns:
        Four tensors of shape (B, h, w, C).
    """
    batch, height, width, channels = ops.shape(images)
    pixels = ops.reshape(images, (batch * height * width, channels))
    first = ops.reshape(ops.arange(batch, dtype="int32"), (-1, 1, 1, 1))

    def read(x, y):
        inside = ops.logical_and(
            ops.logical_and(x >= 0, x < width),
            ops.logical_and(y >= 0, y < height),
        )
        x, y = ops.clip(x, 0, width - 1), ops.clip(y, 0, height - 1)
        index = (first * height + y) * width + x  # (B, h, w, 1)
        found = ops.take(pixels, index[..., 0], axis=0)
        # The shape is restored since an empty batch loses it on JAX.
        found = ops.reshape(found, (*ops.shape(index)[:3], channels))
        return ops.where(inside, found, ops.zeros_like(found))

    return [read(x + i, y + j) for j in (0, 1) for i in (0, 1)]


def _clip(x, low, high):
    """Clip with a gradient of 0 outside, and on the limits, as torch has.

    NaN stays NaN; the clip of some backends would turn it into a limit. Two
    conditions one after the other, since JAX compiles them into faster code
    than one.
    """
    x = ops.where(x <= low, low, x)
    return ops.where(x >= high, high, x)
