"""The bilinear sampler of spatial transformers."""

import keras
from keras import ops

from attnlib.ops import checks

PADDINGS = ("zeros", "border")


def bilinear_sample(images, grid, padding="zeros", align_corners=False):
    """Read images at points between pixels, with gradients to both inputs.

    Each value is the bilinear interpolation of the four pixels around a point.
    Positions are computed in at least float32 whatever the dtype of `images`.
    Only pixels that the grid points at are read, so the cost of the forward
    pass does not depend on the size of the images. A NaN in the grid gives
    NaN.

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
    batch, height, width, channels = ops.shape(images)
    shape = (*ops.shape(grid)[:3], channels)
    x0, x1, u0, u1 = _corners(grid[..., 0], width, padding, align_corners)
    y0, y1, v0, v1 = _corners(grid[..., 1], height, padding, align_corners)
    first = ops.reshape(ops.arange(batch, dtype="int32") * height, (-1, 1, 1))
    y0, y1 = (first + y0) * width, (first + y1) * width
    pixels = ops.reshape(images, (batch * height * width, channels))

    def read(index):
        # The shape is restored since an empty batch loses it on JAX.
        found = ops.take(pixels, index, axis=0)
        return ops.cast(ops.reshape(found, shape), grid.dtype)

    u0, u1, v0, v1 = (ops.expand_dims(t, -1) for t in (u0, u1, v0, v1))
    top = u0 * read(y0 + x0) + u1 * read(y0 + x1)  # (B, h, w, C)
    bottom = u0 * read(y1 + x0) + u1 * read(y1 + x1)
    return ops.cast(v0 * top + v1 * bottom, dtype)


def _check_sampler(images, grid, padding):
    checks.rank("images", images, 4)
    checks.rank("grid", grid, 4)
    checks.same("last axis", grid=grid.shape[3], coordinates=2)
    checks.same("batch sizes", images=images.shape[0], grid=grid.shape[0])
    checks.one_of("padding", padding, PADDINGS)


def _corners(points, size, padding, align_corners):
    """Return two neighbouring pixels of each point and their weights.

    Args:
        points: One normalised coordinate of each point.
        size: Number of pixels along that axis.

    Returns:
        Two integer and two floating tensors of the shape of `points`.
    """
    extent = ops.cast(size, points.dtype)
    if align_corners:
        position = (points + 1) * (extent - 1) / 2
    else:
        position = ((points + 1) * extent - 1) / 2
    # Positions are clipped before they become integers: a point at infinity
    # must not overflow. With zeros every pixel beyond the border weighs 0.
    if padding == "border":
        low, high = ops.zeros_like(extent), extent - 1
    else:
        low, high = ops.full_like(extent, -2), extent + 1
    position = _clip(position, low, high)
    floor = ops.floor(position)
    fraction = position - floor
    before, last = ops.cast(floor, "int32"), extent - 1
    corners, weights = [], []
    for index, place, weight in (
        (before, floor, 1 - fraction),
        (before + 1, floor + 1, fraction),
    ):
        if padding == "zeros":
            outside = ops.logical_or(place < 0, place > last)
            weight = ops.where(outside, ops.zeros_like(weight), weight)
        corners.append(ops.clip(index, 0, size - 1))
        weights.append(weight)
    return *corners, *weights


def _clip(x, low, high):
    """Clip with a gradient of 0 outside, and on the limits, as torch has.

    NaN stays NaN; the clip of some backends would turn it into a limit.
    """
    outside = ops.logical_or(x <= low, x >= high)
    return ops.where(outside, ops.stop_gradient(ops.clip(x, low, high)), x)
