"""The grid of Gaussian filters that reads from and writes to images."""

import keras
from keras import ops

from attnlib.ops import checks
from attnlib.ops.scores import masked_softmax

# Beyond these, rows are one pixel or uniform whatever the image; within them
# float32 can hold every product.
_CENTRE_LIMIT = 1e6
_LOG_LIMIT = 20.0


def gaussian_filterbank(params, size, height, width):
    """Return the filters of an N x N window of Gaussians.

    1. Centre: gx = (W + 1) / 2 (gx~ + 1), and gy with H.
    2. Stride: delta = (max(H, W) - 1) / max(N - 1, 1) exp(log d~).
    3. Filter i = 0..N-1 has its mean at mu_i = g + (i - N/2 + 0.5) delta.
    4. F[i, a] is the softmax over pixels a of -(a + 1 - mu_i)^2 / (2 s2).

    Normalised Gaussians and this softmax are the same, but the softmax sums
    to 1 and has finite gradients even where every Gaussian underflows: a
    filter that is narrower than a pixel takes the nearest one, a filter
    outside the image takes the border. Computed in at least float32. Where a
    log is beyond +-20 (that of gamma in float16: +-10) or a centre beyond
    +-1e6, the limit is used, with a gradient of 0.

    Args:
        params: (gx~, gy~, log s2, log d~, log gamma), shape (B, 5).
        size: Filters N along each axis, at least 1.
        height: Height H of the image in pixels, at least 1.
        width: Width W of the image in pixels, at least 1.

    Returns:
        `(f_x, f_y, gamma)`: shapes (B, N, W), (B, N, H) and (B,), in the dtype
        of `params`.

    Raises:
        ValueError: A rank, size or dtype is wrong.

    Convention:
        The image spans -1 to 1 in (gx~, gy~) plus one pixel on each side: at
        -1 the centre is one pixel before the first, at 1 one after the last.

    Example:

    >>> import numpy as np
    >>> from attnlib.ops import gaussian_filterbank
    >>> params = np.array([[0.0, 0.0, -8.0, 0.0, 0.0]], "float32")
    >>> f_x, f_y, gamma = gaussian_filterbank(params, 2, 1, 3)
    >>> np.array(f_x)[0].tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]

    Reference:
        Gregor et al. 2015, arXiv:1502.04623, section 3.2, equations 19-26.
    """
    params = checks.floating("params", params)
    if len(params.shape) != 2 or params.shape[1] not in (5, None):
        raise ValueError(
            "expected params to have shape (batch, 5). Received: shape "
            f"{tuple(params.shape)}"
        )
    size = checks.positive_integer("size", size)
    height = checks.positive_integer("height", height)
    width = checks.positive_integer("width", width)
    dtype = keras.backend.standardize_dtype(params.dtype)
    params = ops.cast(params, checks.compute_dtype(dtype))
    centres = ops.clip(params[:, :2], -_CENTRE_LIMIT, _CENTRE_LIMIT)
    log_s2, log_d = (
        ops.clip(params[:, i : i + 1], -_LOG_LIMIT, _LOG_LIMIT) for i in (2, 3)
    )
    steps = ops.arange(size, dtype=params.dtype) - (size - 1) / 2  # (N,)
    stride = (max(height, width) - 1) / max(size - 1, 1) * ops.exp(log_d)
    offsets = steps * stride  # (B, N)
    f_x, f_y = (
        _rows(
            (extent + 1) / 2 * centres[:, k : k + 1] + offsets, log_s2, extent
        )
        for k, extent in enumerate((width, height))
    )
    limit = 10.0 if dtype == "float16" else _LOG_LIMIT
    gamma = ops.exp(ops.clip(params[:, 4], -limit, limit))
    return tuple(ops.cast(t, dtype) for t in (f_x, f_y, gamma))


def filterbank_read(images, f_x, f_y, gamma):
    """Read a patch from images: gamma F_y X F_x^T for every channel.

    Args:
        images: Images X, shape (B, H, W, C).
        f_x: Filters over columns, shape (B, N, W).
        f_y: Filters over rows, shape (B, N, H).
        gamma: Intensity, shape (B,).

    Returns:
        Patches, shape (B, N, N, C), in the dtype of `images`.

    Raises:
        ValueError: A rank, size or dtype is wrong.

    Reference:
        Gregor et al. 2015, arXiv:1502.04623, section 3.2, equation 27.
    """
    images = checks.floating("images", images)
    f_x, f_y, gamma = _filters(images, "images", f_x, f_y, gamma)
    checks.same("widths", images=images.shape[2], f_x=f_x.shape[2])
    checks.same("heights", images=images.shape[1], f_y=f_y.shape[2])
    rows = _filter_axis_1(images, f_y)  # (B, N, W, C)
    patches = ops.swapaxes(_filter_axis_1(ops.swapaxes(rows, 1, 2), f_x), 1, 2)
    patches = gamma[:, None, None, None] * ops.cast(patches, gamma.dtype)
    return ops.cast(patches, images.dtype)


def filterbank_write(patches, f_x, f_y, gamma):
    """Write patches into images: F_y^T P F_x / gamma for every channel.

    Args:
        patches: Patches P, shape (B, N, N, C).
        f_x: Filters over columns, shape (B, N, W).
        f_y: Filters over rows, shape (B, N, H).
        gamma: Intensity that `filterbank_read` multiplies with, shape (B,).

    Returns:
        Images, shape (B, H, W, C), in the dtype of `patches`.

    Raises:
        ValueError: A rank, size or dtype is wrong.

    Reference:
        Gregor et al. 2015, arXiv:1502.04623, section 3.2, equation 29.
    """
    patches = checks.floating("patches", patches)
    dtype = keras.backend.standardize_dtype(patches.dtype)
    # At least float32: the division comes first, where numbers are few, and
    # what it makes large may become small again under wide filters.
    patches = ops.cast(patches, checks.compute_dtype(dtype))
    f_x, f_y, gamma = _filters(patches, "patches", f_x, f_y, gamma)
    checks.same(
        "numbers of columns", patches=patches.shape[2], f_x=f_x.shape[1]
    )
    checks.same("numbers of rows", patches=patches.shape[1], f_y=f_y.shape[1])
    f_x, f_y = ops.swapaxes(f_x, 1, 2), ops.swapaxes(f_y, 1, 2)
    patches = patches / gamma[:, None, None, None]
    # Columns first, so that the tensor that is transposed is the small one.
    columns = _filter_axis_1(ops.swapaxes(patches, 1, 2), f_x)  # (B, W, N, C)
    images = _filter_axis_1(ops.swapaxes(columns, 1, 2), f_y)
    return ops.cast(images, dtype)


def _rows(means, log_s2, extent):
    """Return the filters along one axis.

    Args:
        means: Means in pixels from the middle of the image, shape (B, N).
        log_s2: Logarithm of the variance, shape (B, 1).
        extent: Number of pixels.

    Returns:
        Filters, shape (B, N, extent).
    """
    # Positions count from the middle, where they are exact: at log s2 = -8 an
    # error of 1e-4 pixels already shows.
    middle = (extent - 1) / 2
    pixels = ops.arange(extent, dtype=means.dtype) - middle
    means = means[:, :, None]  # (B, N, 1)
    nearest = ops.clip(ops.round(means + middle), 0, extent - 1) - middle
    nearest = ops.stop_gradient(nearest)
    # -(pixel - mean)^2 relative to the nearest pixel's, which the softmax does
    # not see, and without the large squares that would cancel.
    squares = (pixels - nearest) * (pixels - means + nearest - means)
    return masked_softmax(-0.5 * squares * ops.exp(-log_s2)[:, :, None])


def _filter_axis_1(tensor, filters):
    """Apply (B, M, N) filters to axis 1 of a (B, N, K, C) tensor."""
    batch, size, length, channels = ops.shape(tensor)
    flat = ops.reshape(tensor, (batch, size, length * channels))
    found = ops.matmul(filters, flat)  # (B, M, K C)
    count = ops.shape(filters)[1]
    return ops.reshape(found, (batch, count, length, channels))


def _filters(tensor, name, f_x, f_y, gamma):
    """Return filters in the dtype of a tensor, and the intensity, checked.

    The intensity keeps at least float32, where it does not overflow.
    """
    checks.rank(name, tensor, 4)
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    f_x = checks.floating("f_x", f_x, dtype)
    f_y = checks.floating("f_y", f_y, dtype)
    gamma = checks.floating("gamma", gamma, checks.compute_dtype(dtype))
    checks.rank("f_x", f_x, 3)
    checks.rank("f_y", f_y, 3)
    checks.rank("gamma", gamma, 1)
    batches = {name: tensor, "f_x": f_x, "f_y": f_y, "gamma": gamma}
    checks.same("batch sizes", **{k: v.shape[0] for k, v in batches.items()})
    checks.same("window sizes", f_x=f_x.shape[1], f_y=f_y.shape[1])
    return f_x, f_y, gamma
