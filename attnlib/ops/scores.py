"""Attention scores and their normalisation."""

from numbers import Integral

import keras
import numpy as np
from keras import ops

from attnlib.ops import checks


def masked_softmax(scores, mask=None, axis=-1):
    """Softmax over the entries that a mask allows.

    Masked entries are exactly 0, and a row without any allowed entry is all 0
    (never NaN), in value and in gradient. With a mask, a score of -inf counts
    as masked. Computed in at least float32.

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
    missing = len(scores.shape) - len(mask.shape)
    mask = ops.expand_dims(mask, tuple(range(missing)))
    # Masked scores are replaced before the softmax, so that what they hold
    # cannot turn into NaN, by -inf, so that allowed ones at the end of the
    # range stay above them; but not in rows of nothing else. Weights are
    # replaced after it: for those rows, and to stop what flows back.
    mask = ops.logical_and(mask, x != -np.inf)
    some = ops.any(mask, axis=axis, keepdims=True)
    x = ops.where(mask, x, ops.cast(ops.where(some, -np.inf, 0.0), x.dtype))
    weights = _softmax(x, axis)
    weights = ops.where(mask, weights, ops.zeros_like(weights))
    return ops.cast(weights, dtype)


def _softmax(x, axis):
    # Keras warns about a softmax over one entry: a sentence of one word.
    if x.shape[axis] == 1:
        return ops.ones_like(x)
    return ops.softmax(x, axis=axis)


def _check_axis(axis, scores):
    rank = len(scores.shape)
    integer = isinstance(axis, Integral) and not isinstance(axis, bool)
    if not integer or not -rank <= axis < rank:
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


def bilinear_scores(query, keys, kernel):
    """Bilinear score query . W key of every pair.

    Args:
        query: Queries, shape (B, T, D).
        keys: Keys, shape (B, S, E).
        kernel: Matrix W, shape (D, E).

    Returns:
        Scores, shape (B, T, S), in the dtype of `query`.

    Raises:
        ValueError: A rank, size or dtype is wrong.

    Reference:
        You et al. 2016, arXiv:1603.03925, section 3.2.
    """
    query = checks.floating("query", query)
    dtype = keras.backend.standardize_dtype(query.dtype)
    keys = checks.floating("keys", keys, dtype)
    kernel = checks.floating("kernel", kernel, dtype)
    checks.rank("query", query, 3)
    checks.rank("keys", keys, 3)
    checks.rank("kernel", kernel, 2)
    checks.same("batch sizes", query=query.shape[0], keys=keys.shape[0])
    checks.same("widths", query=query.shape[2], kernel=kernel.shape[0])
    checks.same("widths", keys=keys.shape[2], kernel=kernel.shape[1])
    projected = ops.matmul(query, kernel)  # (B, T, E)
    return ops.matmul(projected, ops.transpose(keys, (0, 2, 1)))


def word_guided_scores(words, keys, words_mask=None):
    """Score every region by the word that fits it best.

    Args:
        words: Word vectors, shape (B, T, D).
        keys: Projected regions, shape (B, L, D).
        words_mask: Boolean tensor, shape (B, T), True = use, or None.

    Returns:
        max_t words_t . keys_l, shape (B, L), in the dtype of `words`; 0 where
        no word is allowed.

    Raises:
        ValueError: A rank, size or dtype is wrong.

    Reference:
        Xu and Saenko 2016, arXiv:1511.05234, section 3.1.
    """
    words = checks.floating("words", words)
    dtype = keras.backend.standardize_dtype(words.dtype)
    keys = checks.floating("keys", keys, dtype)
    checks.rank("words", words, 3)
    checks.rank("keys", keys, 3)
    checks.same("batch sizes", words=words.shape[0], keys=keys.shape[0])
    checks.same("widths", words=words.shape[2], keys=keys.shape[2])
    mask = checks.sequence_mask("words", words_mask, words)
    if mask is not None:
        # Before the product, since its gradient multiplies 0 by the word.
        mask = ops.expand_dims(mask, -1)
        words = ops.where(mask, words, ops.zeros_like(words))
    scores = ops.matmul(words, ops.transpose(keys, (0, 2, 1)))  # (B, T, L)
    if mask is not None:
        scores = ops.where(mask, scores, ops.full_like(scores, -np.inf))
    if 0 in scores.shape:
        return ops.sum(scores, axis=1)  # torch has no maximum of nothing
    # With an initial value, for a batch that turns out to be empty.
    best = ops.max(scores, axis=1, initial=-np.inf)
    return ops.where(best > -np.inf, best, ops.zeros_like(best))
