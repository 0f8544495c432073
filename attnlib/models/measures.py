"""What several experiments measure about attention, in NumPy and float64."""

import numpy as np
import scipy.special
import scipy.stats


def entropy(weights) -> np.ndarray:
    """Return how spread out attention is, in nats; weights of 0 add nothing.

    Args:
        weights: (..., L), each row a distribution or all 0.

    Returns:
        float64, shape (...). `attnlib.ops.attention_entropy` is the same with
        a gradient.

    Example:

    >>> entropy([[0.0, 1.0], [0.5, 0.5]]).round(4).tolist()
    [0.0, 0.6931]
    """
    return scipy.special.entr(np.asarray(weights, np.float64)).sum(axis=-1)


def rank_correlation(first, second) -> float:
    """Return Spearman's rank correlation; equal values share their rank.

    Args:
        first: (N,).
        second: (N,).

    Returns:
        -1 to 1; NaN when all values of one are equal.

    Example:

    >>> round(rank_correlation([1, 2, 3], [2, 9, 11]), 6)
    1.0
    """
    if min(np.ptp(first), np.ptp(second)) == 0:
        return float("nan")  # SciPy would warn as well.
    return float(scipy.stats.spearmanr(first, second).statistic)
