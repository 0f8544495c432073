"""Losses that Keras does not have, one value per example."""

import math
from numbers import Real

import keras
import numpy as np
from keras import ops

from attnlib.ops import checks


def doubly_stochastic_penalty(weights, mask=None, target=1.0):
    """Penalise places whose attention over time is far from a target.

    The penalty of an example is sum_l (target - sum_t w_tl)^2. Captions with
    fewer words than places cannot reach a target of 1 everywhere: say which
    target a result used.

    Args:
        weights: Attention weights, shape (B, T, L).
        mask: Boolean tensor, shape (B, T), True = use the step, or None.
        target: Attention that each place should get in total, a number, or a
            floating tensor, shape (B,), for one of each example.

    Returns:
        Penalties, shape (B,), in the dtype of `weights`.

    Raises:
        ValueError: A rank, size or dtype is wrong.

    Example:

    >>> import numpy as np
    >>> from attnlib.losses import doubly_stochastic_penalty
    >>> weights = np.array([[[1.0, 0.0], [1.0, 0.0]]], "float32")
    >>> np.array(doubly_stochastic_penalty(weights)).tolist()
    [2.0]

    Reference:
        Xu et al. 2015, arXiv:1502.03044, section 4.2.1, equation 14.
    """
    weights = checks.floating("weights", weights)
    checks.rank("weights", weights, 3)
    target = _checked_target(target, weights)
    x = _at_least_float32(weights)
    if mask is not None:
        mask = _step_mask(mask, weights=weights)
        x = ops.where(mask[:, :, None], x, ops.zeros_like(x))
    missing = target - ops.sum(x, axis=1)  # (B, L)
    return ops.cast(ops.sum(ops.square(missing), axis=1), weights.dtype)


def attribute_penalty(weights, mask=None, p=2.0, q=0.5):
    """Penalise attention that dwells on one entry, or scatters in one step.

    g = (sum_l (sum_t w_tl)^p)^(1/p) + sum_t (sum_l w_tl^q)^(1/q). With p > 1
    the first term is the smaller, the more evenly the entries are used over
    all steps; with q < 1 the second is the smaller, the fewer entries a step
    uses: 1 for a single one, L^(1/q - 1) for all alike.

    Args:
        weights: Attention weights, shape (B, T, L), not negative.
        mask: Boolean tensor, shape (B, T), True = use the step, or None.
        p: Exponent over the steps, above 1.
        q: Exponent over the entries, between 0 and 1.

    Returns:
        Penalties, shape (B,), in the dtype of `weights`. Weights of 0, as of
        entries that a mask forbids, get no gradient from the second term,
        where the slope of w^q would be infinite.

    Raises:
        ValueError: A rank, size or dtype is wrong, or an exponent is out of
            its range.

    Example:

    >>> import numpy as np
    >>> from attnlib.losses import attribute_penalty
    >>> weights = np.array([[[1.0, 0.0], [0.5, 0.5]]], "float32")
    >>> round(float(np.array(attribute_penalty(weights))[0]), 4)
    4.5811

    Reference:
        You et al. 2016, arXiv:1603.03925, section 3.4.
    """
    weights = checks.floating("weights", weights)
    checks.rank("weights", weights, 3)
    p, q = (_exponent("p", p, 1, math.inf), _exponent("q", q, 0, 1))
    x = _at_least_float32(weights)
    if mask is not None:
        mask = _step_mask(mask, weights=weights)
        x = ops.where(mask[:, :, None], x, ops.zeros_like(x))
    # At most 1: high powers of other numbers leave the range of floats.
    totals = ops.sum(x, axis=1)  # (B, L)
    most = ops.stop_gradient(ops.max(totals, axis=1, keepdims=True))
    most = ops.where(most > 0, most, ops.ones_like(most))
    used = ops.sum(ops.power(totals / most, p), axis=1)
    over_time = _power(used, 1 / p) * most[:, 0]
    at_once = ops.power(ops.sum(_power(x, q), axis=2), 1 / q)  # (B, T)
    return ops.cast(over_time + ops.sum(at_once, axis=1), weights.dtype)


def reinforce_loss(log_prob, reward, baseline, mask=None):
    """Return the loss whose gradient is REINFORCE with a baseline.

    The loss of an example is -sum_t log_prob_t * (reward_t - baseline_t),
    where the bracket is a constant: no gradient reaches the reward or the
    baseline. The baseline's own regression is not part of it.

    Args:
        log_prob: Log-probabilities of the sampled actions, shape (B, T).
        reward: Rewards, shape (B,) for one reward at the end, which every
            step shares, or (B, T).
        baseline: Expected rewards, shape (B, T).
        mask: Boolean tensor, shape (B, T), True = use the step, or None.

    Returns:
        Losses, shape (B,), in the dtype of `log_prob`.

    Raises:
        ValueError: A rank, size or dtype is wrong.

    Example:

    >>> import numpy as np
    >>> from attnlib.losses import reinforce_loss
    >>> log_prob = np.array([[-1.0, -2.0]], "float32")
    >>> reward = np.array([1.0], "float32")
    >>> baseline = np.array([[0.5, 0.5]], "float32")
    >>> np.array(reinforce_loss(log_prob, reward, baseline)).tolist()
    [1.5]

    Reference:
        Williams 1992, doi:10.1007/BF00992696; Mnih et al. 2014,
        arXiv:1406.6247, section 3.2, equation 2.
    """
    log_prob = checks.floating("log_prob", log_prob)
    dtype = keras.backend.standardize_dtype(log_prob.dtype)
    reward = checks.floating("reward", reward, checks.compute_dtype(dtype))
    baseline = checks.floating(
        "baseline", baseline, checks.compute_dtype(dtype)
    )
    checks.rank("log_prob", log_prob, 2)
    checks.rank("reward", reward, 1, 2)
    checks.same_shape(log_prob=log_prob, baseline=baseline)
    if len(reward.shape) == 1:
        checks.same(
            "batch sizes", log_prob=log_prob.shape[0], reward=reward.shape[0]
        )
        reward = ops.expand_dims(reward, 1)
    else:
        checks.same_shape(log_prob=log_prob, reward=reward)
    advantage = ops.stop_gradient(reward - baseline)  # (B, T)
    x = _at_least_float32(log_prob)
    if mask is not None:
        # Both factors are replaced: 0 times what padding holds may be NaN.
        mask = _step_mask(mask, log_prob=log_prob)
        x = ops.where(mask, x, ops.zeros_like(x))
        advantage = ops.where(mask, advantage, ops.zeros_like(advantage))
    return ops.cast(-ops.sum(x * advantage, axis=1), dtype)


def kl_standard_normal(mean, log_std):
    """Return the divergence KL(N(mean, std^2) || N(0, 1)) in nats.

    Args:
        mean: Means, shape (B, ...).
        log_std: Logarithms of the standard deviations, same shape.

    Returns:
        Divergences summed over all axes but the first, shape (B,), in the
        dtype of `mean`. Exactly 0 at mean 0 and log_std 0.

    Raises:
        ValueError: A rank, size or dtype is wrong.

    Example:

    >>> import numpy as np
    >>> from attnlib.losses import kl_standard_normal
    >>> mean, log_std = np.ones((2, 3), "float32"), np.zeros((2, 3), "float32")
    >>> np.array(kl_standard_normal(mean, log_std)).tolist()
    [1.5, 1.5]

    Reference:
        Kingma and Welling 2014, arXiv:1312.6114, appendix B.
    """
    mean = checks.floating("mean", mean)
    dtype = keras.backend.standardize_dtype(mean.dtype)
    log_std = checks.floating("log_std", log_std, checks.compute_dtype(dtype))
    if len(mean.shape) == 0:
        raise ValueError(
            "expected mean to have a batch axis. Received: a scalar"
        )
    checks.same_shape(mean=mean, log_std=log_std)
    x = _at_least_float32(mean)
    # expm1 keeps the difference of two nearly equal terms exact near the
    # prior, where training likes to be.
    nats = 0.5 * (ops.square(x) + ops.expm1(2 * log_std)) - log_std
    return ops.cast(ops.sum(nats, axis=tuple(range(1, len(x.shape)))), dtype)


def _at_least_float32(tensor):
    return ops.cast(tensor, checks.compute_dtype(tensor.dtype))


def _power(x, exponent):
    """Return x ** exponent, exponent below 1: 0 and no gradient at 0."""
    some = x > 0
    powered = ops.power(ops.where(some, x, ops.ones_like(x)), exponent)
    return ops.where(some, powered, ops.zeros_like(x))


def _exponent(name, value, low, high):
    real = isinstance(value, Real) and not isinstance(value, bool)
    if not real or not low < value < high:
        range_ = f"above {low}" if high == math.inf else f"in ({low}, {high})"
        raise ValueError(
            f"expected {name} to be a number {range_}. Received: {value!r}"
        )
    return float(value)


def _checked_target(target, weights):
    """Return a target of the penalty: a float, or a tensor (B, 1)."""
    if isinstance(target, np.ndarray) or ops.is_tensor(target):
        dtype = checks.compute_dtype(weights.dtype)
        target = checks.floating("target", target, dtype)
        checks.rank("target", target, 1)
        checks.same(
            "batch sizes", weights=weights.shape[0], target=target.shape[0]
        )
        return ops.expand_dims(target, 1)
    real = isinstance(target, Real) and not isinstance(target, bool)
    if not real or not math.isfinite(target):
        raise ValueError(
            f"expected target to be a finite number. Received: {target!r}"
        )
    return float(target)


def _step_mask(mask, **tensor):
    """Check a mask (B, T) against the tensor whose steps it masks."""
    ((name, tensor),) = tensor.items()
    mask = checks.boolean("mask", mask)
    checks.rank("mask", mask, 2)
    for axis, what in enumerate(("batch sizes", "numbers of steps")):
        checks.same(
            what, **{name: tensor.shape[axis], "mask": mask.shape[axis]}
        )
    return mask
