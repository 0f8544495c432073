"""The soft window of handwriting synthesis: Gaussians over a text."""

import keras
from keras import ops

from attnlib.ops import checks

# Farther away than this the square of a distance could overflow, and a
# gradient of 0 times infinity would be NaN.
FARTHEST = 1e9


def gaussian_window(alpha, beta, kappa, length):
    """Weigh the positions of a text by a sum of Gaussians.

    phi(u) = sum_k alpha_k exp(-beta_k (kappa_k - u)^2) at u = 1 ... length.
    The weights are not normalised. Computed in at least float32.

    Args:
        alpha: Heights of the Gaussians, shape (B, K).
        beta: Inverse widths, shape (B, K), at least 0: half the precision, in
            1 / positions^2.
        kappa: Centres, shape (B, K), in positions: the first one is 1.
        length: Number of positions, at least 1.

    Returns:
        Weights phi, shape (B, length), in the dtype of `alpha`.

    Raises:
        ValueError: A rank, size or dtype is wrong, or `length` is no positive
            integer.

    Example:

    >>> import numpy as np
    >>> from attnlib.ops import gaussian_window
    >>> one = np.ones((1, 1), "float32")
    >>> print(np.array(gaussian_window(one, one, 2 * one, 3)).round(2))
    [[0.37 1.   0.37]]

    Reference:
        Graves 2013, arXiv:1308.0850, section 5.1, equation 46.
    """
    alpha = checks.floating("alpha", alpha)
    dtype = keras.backend.standardize_dtype(alpha.dtype)
    wide = checks.compute_dtype(dtype)
    alpha = ops.cast(alpha, wide)
    beta = checks.floating("beta", beta, wide)
    kappa = checks.floating("kappa", kappa, wide)
    checks.rank("alpha", alpha, 2)
    checks.same_shape(alpha=alpha, beta=beta, kappa=kappa)
    checks.positive_integer("length", length)
    positions = ops.arange(1, length + 1, dtype=wide)
    return ops.cast(window_at(alpha, beta, kappa, positions[None]), dtype)


def window_at(alpha, beta, kappa, positions):
    """Return phi at any positions, without the checks.

    Args:
        alpha: Heights, shape (B, K), float32 or float64, like all the others.
        beta: Inverse widths, shape (B, K).
        kappa: Centres, shape (B, K).
        positions: Positions u, shape (B, S) or (1, S).

    Returns:
        Weights, shape (B, S).
    """
    distance = kappa[:, :, None] - positions[:, None, :]  # (B, K, S)
    distance = ops.clip(distance, -FARTHEST, FARTHEST)
    powers = ops.exp(-beta[:, :, None] * ops.square(distance))
    return ops.sum(alpha[:, :, None] * powers, axis=1)
