"""Drawing words, and which may be drawn."""

import keras
import numpy as np
import pytest
from numerics import to_numpy

from attnlib.models import words
from attnlib.text import END


def test_draws_are_the_inverse_of_the_distribution():
    random = np.random.default_rng(0)
    log_probs = random.normal(size=(200, 6)).astype("float32")
    uniform = random.random(200, "float32")
    shares = np.exp(log_probs.astype("float64"))
    reached = shares.cumsum(axis=1) / shares.sum(axis=1, keepdims=True)
    wanted = (reached <= uniform[:, None]).sum(axis=1)
    found = to_numpy(words.draw(log_probs, uniform))
    assert found.dtype == "int32"
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("uniform", [0.0, np.float32(1) - np.float32(2**-24)])
def test_what_is_not_allowed_is_never_drawn(uniform):
    """At both ends, where rounding could reach what has probability 0."""
    log_probs = np.zeros((1, 9), "float32") + words.allowed(9)
    log_probs[:, 7:] = -np.inf
    found = to_numpy(words.draw(log_probs, np.array([uniform], "float32")))
    assert found.tolist() == [END if uniform == 0 else 6]


def test_ids_are_checked():
    assert words.check_ids(np.array([4, 5]), 6) == [4, 5]
    for ids, message in (
        ([], "at least one word"),
        ([4, 6], "ids from 1 to 5. Received: 6"),
        ([0], "Received: 0"),
        ([4.5], "integers. Received: .4.5"),
        ([4.0], "integers. Received: .4.0"),
        ([True], "integers"),
        ("45", "integers. Received: '45'"),
        (["4"], "integers"),
        ([[4, 5]], "integers"),
        ([[4], [4, 5]], "integers"),
        (None, "integers. Received: None"),
        ([2**70], "integers"),
    ):
        with pytest.raises(ValueError, match=message):
            words.check_ids(ids, 6)


def test_message_about_a_long_sentence_is_short():
    with pytest.raises(ValueError, match="integers") as caught:
        words.check_ids("word " * 1000, 6)
    assert len(str(caught.value)) < 250


def test_batches_are_checked():
    words.check_batch("source", np.array([[4, 5], [4, 0]], "int32"), 6)
    words.check_batch("source", np.zeros((0, 3), "uint8"), 6)
    for ids, message in (
        ([[4]], "source to be a tensor or an array. Received: list"),
        (np.array([4]), r"source to have rank 2. Received: shape \(1,\)"),
        (np.array([[4.5]]), "source to hold word ids, .*dtype float64"),
        (np.array([[True]]), "integers. Received: dtype bool"),
        (np.array([["a"]]), "integers. Received: dtype str"),
        (np.array([[None]]), "integers. Received: dtype object"),
        (keras.ops.zeros((1, 2)), "integers. Received: dtype float32"),
        (keras.KerasTensor((None, 2)), "integers. Received: dtype float32"),
        (np.zeros((2, 0), int), r"at least one word. Received: shape \(2, 0\)"),
        (np.array([[4, 6]]), "source to hold ids from 0 to 5. Received: 6"),
        (np.array([[4, -1]]), "source to hold ids from 0 to 5. Received: -1"),
    ):
        with pytest.raises(ValueError, match=message):
            words.check_batch("source", ids, 6)
