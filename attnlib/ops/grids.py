"""Sampling grids: where the pixels of an output lie in the input image."""

import functools
import math

import keras
import numpy as np
from keras import ops

from attnlib import _splines
from attnlib.ops import checks

# A normalised coordinate that is outside of every image and fits float16.
_OUTSIDE = 1e4


def affine_grid(theta, height, width, align_corners=False):
    """Return where the pixels of an output image lie in the input image.

    Output pixel (x_t, y_t) is read at theta . (x_t, y_t, 1). The grid is
    computed in at least float32; pass a float32 `theta` in mixed precision,
    since half precision cannot tell the pixels of a large image apart.

    Args:
        theta: Affine maps from output to input coordinates, shape (B, 2, 3).
        height: Height h of the output in pixels, at least 1.
        width: Width w of the output in pixels, at least 1.
        align_corners: See Convention.

    Returns:
        Grid of (x, y) in normalised coordinates, shape (B, h, w, 2), in the
        dtype of `theta`.

    Raises:
        ValueError: A rank, size or dtype is wrong.

    Convention:
        Coordinates are (x, y); with `align_corners=False` -1 and 1 are the
        outer edges of the border pixels, with True their centres. Equal to
        torch's `affine_grid`.

    Example:

    >>> import numpy as np
    >>> from attnlib.ops import affine_grid
    >>> identity = np.array([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]], "float32")
    >>> np.array(affine_grid(identity, 1, 2))[0, 0].tolist()
    [[-0.5, 0.0], [0.5, 0.0]]

    Reference:
        Jaderberg et al. 2015, arXiv:1506.02025, section 3.2, equation 1.
    """
    theta, dtype = _matrices(theta, 2)
    rows = _apply(theta, height, width, align_corners)
    return ops.cast(ops.stack(rows, axis=-1), dtype)


def projective_grid(theta, height, width, align_corners=False):
    """Return the sampling grid of a projective map (a homography).

    Output pixel (x_t, y_t) is read at (x, y) / z where (x, y, z) =
    theta . (x_t, y_t, 1). Where z is 0, or so small that the point is 10^4
    image widths away, the point is put outside the image, at +-10^4 with a
    gradient of 0: never NaN.

    Args:
        theta: Projective maps from output to input coordinates, shape
            (B, 3, 3); the scale of a matrix does not matter.
        height: Height h of the output in pixels, at least 1.
        width: Width w of the output in pixels, at least 1.
        align_corners: See Convention.

    Returns:
        Grid of (x, y) in normalised coordinates, shape (B, h, w, 2), in the
        dtype of `theta`, computed in at least float32.

    Raises:
        ValueError: A rank, size or dtype is wrong.

    Convention:
        Coordinates are those of `affine_grid`.

    Example:

    >>> import numpy as np
    >>> from attnlib.ops import projective_grid
    >>> theta = np.diag([1.0, 1.0, 2.0]).astype("float32")[None]
    >>> np.array(projective_grid(theta, 1, 2))[0, 0].tolist()
    [[-0.25, 0.0], [0.25, 0.0]]

    Reference:
        Jaderberg et al. 2015, arXiv:1506.02025, section 3.2 (the projective
        transformer of table 1).
    """
    theta, dtype = _matrices(theta, 3)
    x, y, z = _apply(theta, height, width, align_corners)  # (B, h, w) each
    # The second bound keeps gradients finite where all of theta is near 0.
    reach = ops.maximum(ops.maximum(ops.abs(x), ops.abs(y)), 1e-6)
    far = ops.abs(z) * _OUTSIDE <= reach
    # The divisor is replaced, not only the quotient: the gradient of an
    # unused x / 0 would be NaN.
    divisor = ops.where(far, ops.ones_like(z), z)
    points = [
        ops.where(far, _outside(coordinate, z), coordinate / divisor)
        for coordinate in (x, y)
    ]
    return ops.cast(ops.stack(points, axis=-1), dtype)


def tps_grid(offsets, height, width, align_corners=False):
    """Return the sampling grid of a thin plate spline.

    The spline f maps output to input coordinates, is the smoothest one with
    f(c_i) = c_i + offset_i at P = k * k control points c_i, and is linear in
    the offsets: f(p) = p + sum_i m_i(p) offset_i. The coefficients m depend on
    the sizes alone; the linear system behind them is solved once, in NumPy
    and float64.

    Args:
        offsets: Displacements (x, y) of the control points, shape (B, P, 2),
            with P a square number of at least 4. Point i = row * k + column
            lies at (x, y) = (linspace(-1, 1, k)[column],
            linspace(-1, 1, k)[row]).
        height: Height h of the output in pixels, at least 1.
        width: Width w of the output in pixels, at least 1.
        align_corners: See Convention.

    Returns:
        Grid of (x, y) in normalised coordinates, shape (B, h, w, 2), in the
        dtype of `offsets`, computed in at least float32. Offsets of zero give
        the identity, a constant offset a translation.

    Raises:
        ValueError: A rank, size or dtype is wrong.

    Convention:
        Coordinates are those of `affine_grid`.

    Example:

    >>> import numpy as np
    >>> from attnlib.ops import tps_grid
    >>> offsets = np.zeros((1, 16, 2), "float32")
    >>> np.array(tps_grid(offsets, 1, 2))[0, 0].tolist()
    [[-0.5, 0.0], [0.5, 0.0]]

    Reference:
        Jaderberg et al. 2015, arXiv:1506.02025, section 3.2 (the thin plate
        spline transformer of table 1); Bookstein 1989, doi:10.1109/34.24792.
    """
    offsets = checks.floating("offsets", offsets)
    side = _control_points(offsets)
    checks.positive_integer("height", height)
    checks.positive_integer("width", width)
    align_corners = checks.flag("align_corners", align_corners)
    dtype = keras.backend.standardize_dtype(offsets.dtype)
    offsets = ops.cast(offsets, checks.compute_dtype(dtype))
    identity, left = _spline(side, height, width, align_corners)
    rounded = ops.stop_gradient(ops.round(offsets * 1024) / 1024)
    right = ops.concatenate([rounded, rounded, offsets - rounded], axis=1)
    left = ops.convert_to_tensor(left, dtype=offsets.dtype)
    moved = ops.matmul(left, right)  # (B, h w, 2)
    moved = ops.reshape(moved, (ops.shape(offsets)[0], height, width, 2))
    identity = ops.convert_to_tensor(identity, dtype=offsets.dtype)
    return ops.cast(identity + moved, dtype)


def attention_matrix(params):
    """Return the affine maps of windows with a scale and a place.

    theta = [[s, 0, tx], [0, s, ty]]: a window of s times the image's width
    and height whose centre is at (tx, ty).

    Args:
        params: (s, tx, ty), shape (B, 3).

    Returns:
        Affine maps from output to input coordinates, shape (B, 2, 3), in the
        dtype of `params`.

    Raises:
        ValueError: A rank, size or dtype is wrong.

    Example:

    >>> import numpy as np
    >>> from attnlib.ops import attention_matrix
    >>> params = np.array([[0.5, 0.25, -0.25]], "float32")
    >>> np.array(attention_matrix(params))[0].tolist()
    [[0.5, 0.0, 0.25], [0.0, 0.5, -0.25]]

    Reference:
        Jaderberg et al. 2015, arXiv:1506.02025, section 3.2, equation 2.
    """
    params = checks.floating("params", params)
    if len(params.shape) != 2 or params.shape[1] != 3:
        raise ValueError(
            "expected params to have shape (batch, 3). Received: shape "
            f"{tuple(params.shape)}"
        )
    scale, t_x, t_y = (params[:, i] for i in range(3))
    zero = ops.zeros_like(scale)
    theta = ops.stack([scale, zero, t_x, zero, scale, t_y], axis=1)
    return ops.reshape(theta, (ops.shape(params)[0], 2, 3))


def invert_affine(theta):
    """Return the affine maps that undo others.

    Where `theta` reads a window out of an image, its inverse reads the image
    that has the window's content in the same place. A window that is too
    small to be seen (the inverse would move a point by 10^4 image widths) has
    no content: its inverse puts every point outside the image, with a
    gradient of 0, and is never NaN.

    Args:
        theta: Affine maps, shape (B, 2, 3).

    Returns:
        Affine maps, shape (B, 2, 3), in the dtype of `theta`, computed in at
        least float32.

    Raises:
        ValueError: A rank, size or dtype is wrong.

    Example:

    >>> import numpy as np
    >>> from attnlib.ops import invert_affine
    >>> theta = np.array([[[0.5, 0.25, 0.25], [0.0, 0.5, 0.0]]], "float32")
    >>> np.array(invert_affine(theta))[0, 0].tolist()
    [2.0, -1.0, -0.5]

    Reference:
        Kuen, Wang and Wang 2016, arXiv:1604.03227 (the inverse spatial
        transformer).
    """
    theta, dtype = _matrices(theta, 2)
    (a, b, t_x), (c, d, t_y) = (
        (theta[:, i, 0], theta[:, i, 1], theta[:, i, 2]) for i in (0, 1)
    )
    determinant = (a * d - b * c)[:, None]  # (B, 1)
    scaled = ops.stack(
        [d, -b, b * t_y - d * t_x, -c, a, c * t_x - a * t_y], axis=-1
    )  # (B, 6)
    # `initial` lets an empty batch pass.
    reach = ops.max(ops.abs(scaled), axis=-1, keepdims=True, initial=0)
    far = ops.abs(determinant) * _OUTSIDE <= ops.maximum(reach, 1e-6)
    # The divisor is replaced, not only the quotient: the gradient of an
    # unused x / 0 would be NaN.
    divisor = ops.where(far, ops.ones_like(determinant), determinant)
    outside = ops.convert_to_tensor(
        [0, 0, _OUTSIDE, 0, 0, _OUTSIDE], dtype=theta.dtype
    )
    inverse = ops.where(far, outside, scaled / divisor)
    return ops.cast(ops.reshape(inverse, ops.shape(theta)), dtype)


def _matrices(theta, rows):
    """Return matrices in at least float32, and the dtype they came in."""
    theta = checks.floating("theta", theta)
    if len(theta.shape) != 3 or tuple(theta.shape[1:]) != (rows, 3):
        raise ValueError(
            f"expected theta to have shape (batch, {rows}, 3). Received: "
            f"shape {tuple(theta.shape)}"
        )
    dtype = keras.backend.standardize_dtype(theta.dtype)
    return ops.cast(theta, checks.compute_dtype(dtype)), dtype


def _apply(theta, height, width, align_corners):
    """Return theta . (x_t, y_t, 1) as one (B, h, w) tensor per row."""
    checks.positive_integer("height", height)
    checks.positive_integer("width", width)
    checks.flag("align_corners", align_corners)
    x, y = (
        ops.convert_to_tensor(_target_axis(n, align_corners), dtype=theta.dtype)
        for n in (width, height)
    )
    y = y[:, None]  # (h, 1)
    # Products of coordinates and entries, not a matrix product, which GPUs
    # may round to ten bits: half a pixel at 512 pixels.
    return [
        theta[:, i, 0, None, None] * x
        + theta[:, i, 1, None, None] * y
        + theta[:, i, 2, None, None]
        for i in range(theta.shape[1])
    ]


def _outside(coordinate, z):
    """Return the corner of the plane that coordinate / z points to."""
    positive = ops.equal(coordinate >= 0, z >= 0)
    ends = ops.full_like(z, _OUTSIDE)
    return ops.where(positive, ends, -ends)


def _control_points(offsets):
    """Return the number of control points a side.

    Raises:
        ValueError: The shape is not (batch, P, 2) with P = k * k, k >= 2.
    """
    count = offsets.shape[1] if len(offsets.shape) == 3 else None
    side = math.isqrt(count) if count else 0
    if side < 2 or side**2 != count or offsets.shape[2] != 2:
        raise ValueError(
            "expected offsets to have shape (batch, P, 2) with P a square "
            f"number of at least 4. Received: shape {tuple(offsets.shape)}"
        )
    return side


def cell_middles(height, width) -> np.ndarray:
    """Return the middles (x, y) of a grid's cells, row by row, float32 (L, 2).

    Example:

    >>> from attnlib.ops.grids import cell_middles
    >>> cell_middles(1, 2).tolist()
    [[-0.5, 0.0], [0.5, 0.0]]
    """
    y, x = (_target_axis(n, align_corners=False) for n in (height, width))
    cells = np.stack(np.meshgrid(x, y), axis=-1)  # (h, w, 2)
    return cells.reshape(-1, 2).astype("float32")


def _target_axis(size, align_corners):
    """Return the normalised coordinates of the pixels along one axis."""
    steps = np.arange(size)
    if not align_corners:
        return (2 * steps + 1) / size - 1
    return 2 * steps / max(size - 1, 1) - (size > 1)


@functools.lru_cache(maxsize=8)
def _spline(side, height, width, align_corners):
    """Return the identity grid and the weights of the control points.

    GPUs may round the inputs of a matrix product to ten bits. So weights, and
    offsets likewise, are split into a part that has no more bits than that and
    a small rest: their product is coarse rounded + rest rounded + all rest.

    Returns:
        Arrays of shape (h, w, 2) and (h * w, 3 P), float64.
    """
    points = _splines.control_points(side)
    x, y = np.meshgrid(
        _target_axis(width, align_corners), _target_axis(height, align_corners)
    )
    grid = np.stack([x, y], axis=-1)  # (h, w, 2)
    spline = _splines.weights(grid.reshape(-1, 2), points)
    coarse = np.round(spline * 1024) / 1024
    return grid, np.concatenate([coarse, spline - coarse, spline], axis=1)
