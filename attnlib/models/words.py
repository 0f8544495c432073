"""Which words a decoder may write, and how it draws one."""

import numpy as np
from keras import ops

from attnlib.models.checked import check_known
from attnlib.ops import checks
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
        ValueError: There are none, they are no integers, or one is padding or
            unknown.
    """
    try:
        array = np.asarray(ids)
    except ValueError as error:  # Lists of several lengths.
        raise _no_ids(ids) from error
    if array.shape == (0,):
        raise ValueError(
            "expected sentences of at least one word. Received: an empty "
            "sentence"
        )
    # int() would cut 4.5 down to a word.
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise _no_ids(ids)
    ids = array.tolist()
    bad = [i for i in ids if not PAD < i < size]
    if bad:
        raise ValueError(
            f"expected word ids from 1 to {size - 1}. Received: {bad[0]}"
        )
    return ids


def _no_ids(ids):
    received = repr(ids)
    if len(received) > 80:
        received = f"{received[:80]}..."
    return ValueError(
        "expected a sentence as a sequence of word ids, integers. Received: "
        f"{received}. Encode it with its vocabulary first"
    )


def check_batch(name, ids, size):
    """Check the sentences of a batch as far as their words are known.

    Args:
        name: What they are called, for the message.
        ids: Integer tensor or array, shape (B, T), 0 is padding.
        size: Size of the vocabulary.

    Raises:
        ValueError: They are no tensor, the rank is not 2, there is no word,
            the ids are no integers, or an array has ids that the vocabulary
            lacks.
    """
    if not hasattr(ids, "shape"):
        raise ValueError(
            f"expected {name} to be a tensor or an array. Received: "
            f"{type(ids).__name__}"
        )
    checks.rank(name, ids, 2)
    dtype = getattr(ids.dtype, "name", str(ids.dtype))
    if not dtype.startswith(("int", "uint")):
        raise ValueError(
            f"expected {name} to hold word ids, integers. Received: dtype "
            f"{dtype}"
        )
    if ids.shape[1] == 0:
        raise ValueError(
            f"expected {name} to have at least one word. Received: shape "
            f"{tuple(ids.shape)}"
        )
    check_known(name, ids, size)
