"""Hard choices: one entry out of several, and the chance it had."""

import keras
import numpy as np
from keras import ops

from attnlib.ops import checks


def gumbel_max(scores, noise=None, mask=None):
    """Draw one entry of the softmax of scores, as a one-hot vector.

    The entry with the largest sum of score and Gumbel noise is distributed as
    the softmax of the scores. No gradient passes, and no masked entry is ever
    drawn; a row without any allowed entry is all 0.

    Args:
        scores: Floating tensor, shape (..., L): log-probabilities up to a
            constant per row.
        noise: Standard Gumbel noise -log(-log u), u uniform on (0, 1), shape
            of `scores`, or None for the entry of the largest score.
        mask: Boolean tensor, shape of `scores`, True = use, or None.

    Returns:
        One-hot tensor of the shape and dtype of `scores`. Among equals the
        first is taken. Rows without entries stay empty.

    Raises:
        ValueError: A rank, size or dtype is wrong.

    Example:

    >>> import numpy as np
    >>> from attnlib.ops import gumbel_max
    >>> scores = np.array([[0.0, 2.0, 1.0]], "float32")
    >>> mask = np.array([[True, False, True]])
    >>> np.array(gumbel_max(scores, mask=mask)).tolist()
    [[0.0, 0.0, 1.0]]

    Reference:
        Maddison, Tarlow and Minka 2014, arXiv:1411.0030; here for the choice
        s_t of Xu et al. 2015, arXiv:1502.03044, section 4.1.
    """
    scores = checks.floating("scores", scores)
    _check_axes("scores", scores)
    dtype = keras.backend.standardize_dtype(scores.dtype)
    wide = checks.compute_dtype(dtype)
    x = ops.cast(ops.stop_gradient(scores), wide)
    if noise is not None:
        noise = checks.floating("noise", noise, wide)
        checks.same_shape(scores=scores, noise=noise)
        x = x + ops.stop_gradient(noise)
    if mask is not None:
        mask = checks.boolean("mask", mask)
        checks.same_shape(scores=scores, mask=mask)
        # Allowed entries stay above masked ones whatever the noise is.
        lowest = float(np.finfo(wide).min)
        x = ops.maximum(x, lowest / 2)
        x = ops.where(mask, x, ops.full_like(x, lowest))
    if x.shape[-1] == 0:  # Which no backend takes the largest of.
        return ops.zeros_like(scores)
    chosen = ops.expand_dims(ops.argmax(x, axis=-1), -1)  # (..., 1)
    # Counting the entries works where their number is not known, too.
    count = ops.cumsum(ops.ones_like(x, dtype="int32"), axis=-1) - 1
    sample = ops.equal(count, ops.cast(chosen, "int32"))
    if mask is not None:
        sample = ops.logical_and(sample, mask)
    return ops.cast(sample, dtype)


def choice_log_prob(weights, choice):
    """Return the log-probability of a choice, with a gradient to the weights.

    Args:
        weights: Attention weights, shape (..., L).
        choice: One-hot choice, shape of `weights`; all 0 where there was
            nothing to choose from. No gradient flows into it.

    Returns:
        log of the chosen weight in nats, shape (...), in the dtype of
        `weights`; 0, without gradient, where nothing was chosen. A chosen
        weight that underflows counts as the smallest normal number.

    Raises:
        ValueError: A rank, size or dtype is wrong.

    Example:

    >>> import numpy as np
    >>> from attnlib.ops import choice_log_prob
    >>> weights = np.array([[0.5, 0.5], [0.0, 0.0]], "float32")
    >>> choice = np.array([[0.0, 1.0], [0.0, 0.0]], "float32")
    >>> log_prob = np.array(choice_log_prob(weights, choice), "float64")
    >>> log_prob.round(4).tolist()
    [-0.6931, 0.0]

    Reference:
        Xu et al. 2015, arXiv:1502.03044, section 4.1, equation 11: the term
        log p(s | a) that REINFORCE differentiates.
    """
    weights = checks.floating("weights", weights)
    dtype = keras.backend.standardize_dtype(weights.dtype)
    wide = checks.compute_dtype(dtype)
    choice = ops.stop_gradient(checks.floating("choice", choice, wide))
    _check_axes("weights", weights)
    checks.same_shape(weights=weights, choice=choice)
    chosen = ops.cast(weights, wide) * choice
    # Entries that were not chosen add log 1 = 0, and no gradient.
    probability = ops.where(choice > 0, chosen, ops.ones_like(chosen))
    return ops.cast(ops.sum(_log(probability), axis=-1), dtype)


def attention_entropy(weights):
    """Return the entropy of attention weights: how spread they are.

    Args:
        weights: Attention weights, shape (..., L), each row a distribution or
            all 0.

    Returns:
        -sum_l w_l log w_l in nats, shape (...), in the dtype of `weights`.
        Weights of 0, as under a mask, add nothing and get no gradient.

    Raises:
        ValueError: The rank or dtype is wrong.

    Example:

    >>> import numpy as np
    >>> from attnlib.ops import attention_entropy
    >>> weights = np.array([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]], "float32")
    >>> entropy = np.array(attention_entropy(weights), "float64")
    >>> entropy.round(4).tolist()
    [0.6931, 0.0]

    Reference:
        Xu et al. 2015, arXiv:1502.03044, section 4.1: the term H[s] that keeps
        a policy from collapsing.
    """
    weights = checks.floating("weights", weights)
    _check_axes("weights", weights)
    dtype = keras.backend.standardize_dtype(weights.dtype)
    x = ops.cast(weights, checks.compute_dtype(dtype))
    terms = ops.where(x > 0, x, ops.ones_like(x))
    return ops.cast(0.0 - ops.sum(terms * _log(terms), axis=-1), dtype)


def _log(x):
    return ops.log(ops.maximum(x, float(np.finfo("float32").tiny)))


def _check_axes(name, tensor):
    if len(tensor.shape) == 0:
        raise ValueError(
            f"expected {name} to have at least one axis. Received: a scalar"
        )
