import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numerics import check_gradients, dtype_of, gradients, jit, to_numpy

from attnlib.ops import (
    attention_entropy,
    choice_log_prob,
    gumbel_max,
    masked_softmax,
)


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def gumbel(*shape, seed=0):
    noise = np.random.default_rng(seed).gumbel(size=shape)
    return noise.astype("float32")


def attention(*shape, seed=0):
    weights = np.exp(random(*shape, seed=seed))
    return weights / weights.sum(-1, keepdims=True)


# gumbel_max


def choice_reference(scores, noise, mask):
    """The allowed entry where score plus noise is largest, row by row."""
    out = np.zeros(scores.shape)
    for row in np.ndindex(scores.shape[:-1]):
        (allowed,) = np.nonzero(mask[row])
        if len(allowed):
            best = np.argmax((scores[row] + noise[row])[allowed])
            out[(*row, allowed[best])] = 1
    return out


@pytest.mark.parametrize("shape", [(5,), (4, 6), (2, 3, 4), (0, 3), (2, 0)])
def test_choice_equals_reference(shape):
    scores, noise = random(*shape), gumbel(*shape)
    mask = np.random.default_rng(3).random(shape) < 0.6
    found = to_numpy(jit(gumbel_max)(scores, noise, mask))
    np.testing.assert_array_equal(found, choice_reference(scores, noise, mask))
    every = np.ones(shape, bool)
    np.testing.assert_array_equal(
        to_numpy(gumbel_max(scores)), choice_reference(scores, 0 * noise, every)
    )


def test_choices_are_as_frequent_as_the_softmax_says():
    scores = np.array([1.0, -1.0, 3.0, 0.5], "float32")
    mask = np.array([True, True, False, True])
    rows = (40000, 4)
    found = gumbel_max(
        np.broadcast_to(scores, rows),
        gumbel(*rows),
        np.broadcast_to(mask, rows),
    )
    expected = to_numpy(masked_softmax(scores, mask))
    # Five standard deviations of the mean of 40000 draws are 0.0125.
    np.testing.assert_allclose(to_numpy(found).mean(0), expected, atol=0.0125)


@given(
    seed=st.integers(0, 2**31),
    junk=st.sampled_from([1e4, 3e38, np.inf, -np.inf, np.nan]),
)
@settings(max_examples=25, deadline=None)
def test_choice_never_takes_a_masked_entry(seed, junk):
    scores, noise = random(4, 5, seed=seed), gumbel(4, 5, seed=seed)
    mask = np.random.default_rng(seed).random((4, 5)) < 0.4
    expected = choice_reference(scores, noise, mask)
    for harmed in (scores, noise):
        harmed[~mask] = junk
        found = to_numpy(gumbel_max(scores, noise, mask))
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("noise", [-np.inf, -3e38, 3e38, np.inf])
def test_choice_with_endless_noise_is_still_one_allowed_entry(noise):
    mask = np.array([[False, True, False, True]])
    found = to_numpy(
        gumbel_max(random(1, 4), np.full((1, 4), noise, "float32"), mask)
    )
    assert found.sum() == 1
    assert not found[~mask].any()


@given(order=st.permutations(range(5)), seed=st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_choice_follows_a_permutation(order, seed):
    scores, noise = random(3, 5, seed=seed), gumbel(3, 5, seed=seed)
    mask = np.random.default_rng(seed).random((3, 5)) < 0.6
    found = gumbel_max(scores[:, order], noise[:, order], mask[:, order])
    expected = to_numpy(gumbel_max(scores, noise, mask))[:, order]
    np.testing.assert_array_equal(to_numpy(found), expected)


def test_no_gradient_passes_a_choice():
    found = gradients(gumbel_max, random(3, 4), gumbel(3, 4))
    assert not any(gradient.any() for gradient in found)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_choice_adds_noise_in_float32(dtype):
    """In half precision 8 + 0.001 is 8, and the first entry would win."""
    scores = keras.ops.full((1, 2), 8.0, dtype=dtype)
    found = gumbel_max(scores, np.array([[0.0, 0.001]], "float32"))
    assert dtype_of(found) == dtype
    np.testing.assert_array_equal(
        to_numpy(keras.ops.cast(found, "float32")), [[0, 1]]
    )


def test_choice_reports_bad_input():
    scores, ok = random(2, 3), np.ones((2, 3), bool)
    with pytest.raises(ValueError, match="scores.*floating.*int32"):
        gumbel_max(np.ones((2, 3), "int32"))
    with pytest.raises(ValueError, match="scores.*axis.*scalar"):
        gumbel_max(np.float32(1))
    with pytest.raises(ValueError, match="noise.*floating.*int32"):
        gumbel_max(scores, np.ones((2, 3), "int32"))
    with pytest.raises(ValueError, match="mask.*boolean.*float32"):
        gumbel_max(scores, mask=np.ones((2, 3), "float32"))
    for bad in ((1, 3), (3,), (2, 1), (2, 4)):
        with pytest.raises(ValueError, match="equal shapes.*noise"):
            gumbel_max(scores, random(*bad), ok)
        with pytest.raises(ValueError, match="equal shapes.*mask"):
            gumbel_max(scores, mask=np.ones(bad, bool))


# choice_log_prob


def one_hot(*shape, seed=0):
    index = np.random.default_rng(seed).integers(shape[-1], size=shape[:-1])
    return np.eye(shape[-1], dtype="float32")[index]


def log_prob_reference(weights, choice):
    """log w_s, from the logarithm's definition; 0 where nothing is chosen."""
    chosen = (weights * choice).sum(-1)
    return np.where(choice.any(-1), np.log(np.where(chosen, chosen, 1)), 0)


@pytest.mark.parametrize("shape", [(5,), (4, 6), (2, 3, 4), (0, 3)])
def test_log_prob_equals_reference(shape):
    weights, choice = attention(*shape), one_hot(*shape)
    found = to_numpy(jit(choice_log_prob)(weights, choice))
    np.testing.assert_allclose(
        found, log_prob_reference(weights, choice), rtol=1e-5
    )


def test_log_prob_gradients_reach_the_weights_only():
    weights, choice = attention(3, 4), one_hot(3, 4)
    choice[1] = 0
    check_gradients(
        choice_log_prob, log_prob_reference, [weights, choice], wrt=[0]
    )
    to_weights, to_choice = gradients(choice_log_prob, weights, choice)
    assert not to_weights[1].any()
    assert not to_choice.any()


def test_score_function_is_choice_minus_weights():
    """d log softmax(e)_s / de = s - alpha: the gradient of REINFORCE."""
    scores, choice = random(3, 4), one_hot(3, 4)
    mask = np.array([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 0]], bool)
    choice[1], choice[2] = [1, 0, 0, 0], 0
    (found,) = gradients(
        lambda e: choice_log_prob(masked_softmax(e, mask), choice), scores
    )
    expected = choice - to_numpy(masked_softmax(scores, mask))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_log_prob_of_a_weight_that_underflows_is_finite():
    weights = np.array([[1.0, 0.0], [1.0, 1e-42]], "float32")
    choice = np.array([[0.0, 1.0], [0.0, 1.0]], "float32")
    found = to_numpy(choice_log_prob(weights, choice))
    np.testing.assert_allclose(found, np.log(np.finfo("float32").tiny))
    (gradient, _) = gradients(choice_log_prob, weights, choice)
    assert np.isfinite(gradient).all()


def test_log_prob_reports_bad_input():
    weights, choice = attention(2, 3), one_hot(2, 3)
    with pytest.raises(ValueError, match="weights.*floating.*int32"):
        choice_log_prob(np.ones((2, 3), "int32"), choice)
    with pytest.raises(ValueError, match="choice.*floating.*bool"):
        choice_log_prob(weights, choice.astype(bool))
    with pytest.raises(ValueError, match="equal shapes.*choice"):
        choice_log_prob(weights, choice[:1])
    with pytest.raises(ValueError, match="weights.*axis.*scalar"):
        choice_log_prob(np.float32(1), np.float32(1))


# attention_entropy


def entropy_reference(weights):
    """-sum_l w_l log w_l with 0 log 0 = 0."""
    logs = np.log(np.where(weights > 0, weights, 1))
    return -(weights * logs).sum(-1)


@pytest.mark.parametrize("shape", [(5,), (4, 6), (2, 3, 4), (0, 3)])
def test_entropy_equals_reference(shape):
    weights = attention(*shape)
    weights[..., 1] = 0
    found = to_numpy(jit(attention_entropy)(weights))
    np.testing.assert_allclose(
        found, entropy_reference(weights), rtol=1e-5, atol=1e-6
    )


def test_entropy_of_uniform_certain_and_empty_rows():
    weights = np.array([[0.25] * 4, [0.0, 1.0, 0.0, 0.0], [0.0] * 4], "float32")
    found = to_numpy(attention_entropy(weights))
    np.testing.assert_allclose(found, [np.log(4), 0, 0], rtol=1e-6)
    assert not np.signbit(found).any()
    (gradient,) = gradients(attention_entropy, weights)
    assert np.isfinite(gradient).all()
    assert not gradient[2].any()


def test_entropy_gradients():
    check_gradients(attention_entropy, entropy_reference, [attention(3, 4)])


def test_entropy_reports_bad_input():
    with pytest.raises(ValueError, match="weights.*floating.*int32"):
        attention_entropy(np.ones((2, 3), "int32"))
    with pytest.raises(ValueError, match="weights.*axis.*scalar"):
        attention_entropy(np.float32(1))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_outputs_have_the_dtype_of_the_weights(dtype):
    weights = keras.ops.cast(attention(2, 3), dtype)
    choice = np.array(one_hot(2, 3), "float64")
    for found in (
        choice_log_prob(weights, choice),
        attention_entropy(weights),
    ):
        assert dtype_of(found) == dtype
