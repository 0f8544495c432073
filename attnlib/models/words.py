"""Which words a decoder may write, and how it draws one."""

import numpy as np
from keras import ops

from attnlib.text import PAD, START, UNKNOWN

# Never written: they are no words, and a reader could not see them.
NEVER_WRITTEN = (PAD, UNKNOWN, START)


def allowed(size):
    """Return what to add to log-probabilities, a float32 array (size,).

    0 for a word that may be written, minus infinity for the others.
    """
    added = np.zeros(size, "float32")
    added[list(NEVER_WRITTEN)] = -np.inf
    return added


def draw(log_probs, uniform):
    """Draw a word from each row of log-probabilities.

    Args:
        log_probs: Floating tensor, shape (B, V), up to a constant per row;
            minus infinity for words that must not be drawn.
        uniform: Floating tensor, shape (B,), from 0 up to but not 1.

    Returns:
        Words, shape (B,), int32. No gradient passes.

    Example:

    >>> import numpy as np
    >>> from attnlib.models.words import draw
    >>> log_probs = np.log(np.array([[0.2, 0.8], [0.2, 0.8]], "float32"))
    >>> np.array(draw(log_probs, np.array([0.1, 0.3], "float32"))).tolist()
    [0, 1]
    """
    probs = ops.softmax(ops.stop_gradient(log_probs), axis=-1)
    reached = ops.cumsum(probs, axis=-1)  # (B, V)
    # The sum is 1 up to rounding: a share of what it is stays below it, so
    # that the word drawn has a probability above 0.
    wanted = ops.cast(uniform, reached.dtype)[:, None] * reached[:, -1:]
    passed = ops.cast(ops.less_equal(reached, wanted), "int32")
    return ops.sum(passed, axis=-1)


def check_ids(ids, size) -> list:
    """Return the ids of a sentence's words as a list of int.

    Args:
        ids: Sequence of integers.
        size: Size of the vocabulary.

    Raises:
        ValueError: There are none, or one is padding or unknown.
    """
    ids = [int(i) for i in ids]
    if not ids:
        raise ValueError(
            "expected sentences of at least one word. Received: an empty "
            "sentence"
        )
    bad = [i for i in ids if not PAD < i < size]
    if bad:
        raise ValueError(
            f"expected word ids from 1 to {size - 1}. Received: {bad[0]}"
        )
    return ids
