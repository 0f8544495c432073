"""Attention scores and their normalisation."""

import keras
import numpy as np
from keras import ops

from attnlib.ops import checks


def masked_softmax(scores, mask=None, axis=-1):
    """Softmax over the entries that a mask allows.

    Masked entries are exactly 0, and a row without any allowed entry is all 0
    (never NaN), in value and in gradient. Computed in at least float32.

    Args:
        scores: Floating tensor of any shape.
        mask: Boolean tensor that broadcasts to `scores`, True = use, or None.
        axis: The axis to normalise over.

    Returns:
        Weights of the shape and dtype of `scores`.

    Raises:
        ValueError: `scores` is not floating, or `mask` is not boolean or does
            not broadcast to `scores`.

    Example:

    >>> import numpy as np
    >>> from attnlib.ops import masked_softmax
    >>> scores = np.zeros((1, 3), "float32")
    >>> mask = np.array([[True, True, False]])
    >>> np.array(masked_softmax(scores, mask)).tolist()
    [[0.5, 0.5, 0.0]]
    """
    scores = checks.floating("scores", scores)
    _check_axis(axis, scores)
    dtype = keras.backend.standardize_dtype(scores.dtype)
    x = ops.cast(scores, checks.compute_dtype(dtype))
    if mask is None:
        return ops.cast(_softmax(x, axis), dtype)
    mask = checks.boolean("mask", mask)
    _check_broadcast(mask, scores)
    # Masked scores are replaced before the softmax, so that what they hold
    # cannot turn into NaN, and weights after it, for rows without any entry.
    lowest = ops.full_like(x, np.finfo("float32").min)
    weights = _softmax(ops.where(mask, x, lowest), axis)
    weights = ops.where(mask, weights, ops.zeros_like(weights))
    return ops.cast(weights, dtype)


def _softmax(x, axis):
    # Keras warns about a softmax over one entry: a sentence of one word.
    if x.shape[axis] == 1:
        return ops.ones_like(x)
    return ops.softmax(x, axis=axis)


def _check_axis(axis, scores):
    rank = len(scores.shape)
    if not isinstance(axis, int) or not -rank <= axis < rank:
        raise ValueError(
            f"expected axis to be an integer from {-rank} to {rank - 1}. "
            f"Received: {axis!r}"
        )


def _check_broadcast(mask, scores):
    wanted, received = tuple(scores.shape), tuple(mask.shape)
    padded = (1,) * (len(wanted) - len(received)) + received
    if len(received) > len(wanted) or any(
        m is not None and s is not None and m not in (1, s)
        for m, s in zip(padded, wanted, strict=False)
    ):
        raise ValueError(
            f"expected mask to broadcast to the scores' shape {wanted}. "
            f"Received: mask of shape {received}"
        )


def additive_scores(query, keys, v):
    """Bahdanau's additive score v . tanh(query + key) of every pair.

    Args:
        query: Projected queries, shape (B, T, U).
        keys: Projected memory, shape (B, S, U).
        v: Score vector, shape (U,).

    Returns:
        Scores, shape (B, T, S), in the dtype of `query`.

    Raises:
        ValueError: A rank, size or dtype is wrong.

    Reference:
        Bahdanau, Cho and Bengio 2015, arXiv:1409.0473, appendix A.1.2.
    """
    query = checks.floating("query", query)
    dtype = keras.backend.standardize_dtype(query.dtype)
    keys = checks.floating("keys", keys, dtype)
    v = checks.floating("v", v, dtype)
    checks.rank("query", query, 3)
    checks.rank("keys", keys, 3)
    checks.rank("v", v, 1)
    checks.same("batch sizes", query=query.shape[0], keys=keys.shape[0])
    checks.same("units", query=query.shape[2], keys=keys.shape[2], v=v.shape[0])
    summed = ops.expand_dims(query, 2) + ops.expand_dims(keys, 1)
    return ops.matmul(ops.tanh(summed), ops.expand_dims(v, 1))[..., 0]
