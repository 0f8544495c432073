import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numerics import check_gradients, dtype_of, gradients, jit, to_numpy

from attnlib.losses import (
    attribute_penalty,
    doubly_stochastic_penalty,
    kl_standard_normal,
    reinforce_loss,
)


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def attention(*shape, seed=0):
    weights = np.exp(random(*shape, seed=seed))
    return weights / weights.sum(-1, keepdims=True)


def mask_of(lengths, size):
    return np.arange(size)[None, :] < np.array(lengths)[:, None]


# REINFORCE


def reinforce_reference(log_prob, reward, baseline, mask=None):
    """-sum_t log_prob (R - b), in float64."""
    log_prob, reward, baseline = (
        np.array(a, "float64") for a in (log_prob, reward, baseline)
    )
    if reward.ndim == 1:
        reward = reward[:, None]
    terms = -log_prob * (reward - baseline)
    return np.where(True if mask is None else mask, terms, 0).sum(1)


@pytest.mark.parametrize("reward_shape", [(4,), (4, 3)])
@pytest.mark.parametrize("lengths", [None, [3, 1, 2, 0]])
def test_reinforce_equals_reference(reward_shape, lengths):
    log_prob, baseline = random(4, 3), random(4, 3, seed=1)
    reward = random(*reward_shape, seed=2)
    mask = None if lengths is None else mask_of(lengths, 3)
    found = to_numpy(reinforce_loss(log_prob, reward, baseline, mask))
    expected = reinforce_reference(log_prob, reward, baseline, mask)
    assert found.shape == (4,)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("reward_shape", [(4,), (4, 3)])
def test_reinforce_gradient_reaches_log_prob_only(reward_shape):
    log_prob, baseline = random(4, 3), random(4, 3, seed=1)
    reward = random(*reward_shape, seed=2)
    found = gradients(reinforce_loss, log_prob, reward, baseline)
    reward = reward if reward.ndim == 2 else reward[:, None]
    np.testing.assert_allclose(found[0], baseline - reward, rtol=1e-5)
    assert not found[1].any()
    assert not found[2].any()


def test_reinforce_ignores_what_padding_holds():
    log_prob, reward, baseline = random(2, 3), random(2), random(2, 3, seed=1)
    mask = mask_of([3, 2], 3)
    clean = to_numpy(reinforce_loss(log_prob, reward, baseline, mask))
    log_prob[1, 2], baseline[1, 2] = -np.inf, np.nan
    found = to_numpy(reinforce_loss(log_prob, reward, baseline, mask))
    np.testing.assert_array_equal(found, clean)
    gradient, _, _ = gradients(
        lambda *t: reinforce_loss(*t, mask), log_prob, reward, baseline
    )
    assert np.isfinite(gradient).all()
    assert gradient[1, 2] == 0


def test_reinforce_keeps_small_advantages_in_half_precision():
    log_prob = np.full((1, 1), -1.0, "float16")
    reward = np.array([1.0], "float32")
    baseline = np.array([[0.9999]], "float32")
    found = reinforce_loss(log_prob, reward, baseline)
    assert dtype_of(found) == "float16"
    np.testing.assert_allclose(to_numpy(found), [1e-4], rtol=1e-2)


def test_reinforce_reports_bad_input():
    ok = random(2, 3), random(2), random(2, 3)
    with pytest.raises(ValueError, match="reward.*rank 1 or 2.*Received"):
        reinforce_loss(ok[0], random(2, 3, 1), ok[2])
    with pytest.raises(ValueError, match="equal shapes.*baseline"):
        reinforce_loss(ok[0], ok[1], random(2))
    with pytest.raises(ValueError, match="equal shapes.*reward"):
        reinforce_loss(ok[0], random(2, 4), ok[2])
    with pytest.raises(ValueError, match="batch sizes.*reward: 3"):
        reinforce_loss(ok[0], random(3), ok[2])
    with pytest.raises(ValueError, match="reward.*floating.*int"):
        reinforce_loss(ok[0], np.array([0, 1]), ok[2])
    with pytest.raises(ValueError, match="mask.*boolean.*float32"):
        reinforce_loss(*ok, mask=np.ones((2, 3), "float32"))
    with pytest.raises(ValueError, match="numbers of steps.*mask: 4"):
        reinforce_loss(*ok, mask=np.ones((2, 4), bool))
    with pytest.raises(ValueError, match="mask.*rank 2"):
        reinforce_loss(*ok, mask=np.ones(2, bool))


# Doubly stochastic attention


def penalty_reference(weights, mask=None, target=1.0):
    """sum_l (target - sum_t w_tl)^2, equation 14."""
    weights = np.array(weights, "float64")
    if mask is not None:
        weights = weights * mask[:, :, None]
    return ((target - weights.sum(1)) ** 2).sum(1)


def test_penalty_takes_a_target_for_each_example():
    weights, target = attention(3, 4, 5), np.array([0.2, 1.0, 0.6], "float32")
    found = to_numpy(doubly_stochastic_penalty(weights, target=target))
    expected = penalty_reference(weights, target=target[:, None])
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    for bad, message in (
        (target[:2], "equal batch sizes"),
        (target[:, None], "target to have rank 1"),
        (np.array([1, 2, 3]), "target to be floating"),
    ):
        with pytest.raises(ValueError, match=message):
            doubly_stochastic_penalty(weights, target=bad)


@pytest.mark.parametrize("target", [1.0, 0.25, 2, np.float32(0.5)])
@pytest.mark.parametrize("lengths", [None, [4, 0, 2]])
def test_penalty_equals_reference(target, lengths):
    weights = attention(3, 4, 5)
    mask = None if lengths is None else mask_of(lengths, 4)
    found = to_numpy(doubly_stochastic_penalty(weights, mask, target))
    expected = penalty_reference(weights, mask, target)
    assert found.shape == (3,)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_penalty_is_zero_where_every_place_was_seen_once():
    weights = np.eye(4, dtype="float32")[None]
    assert to_numpy(doubly_stochastic_penalty(weights)).tolist() == [0]


def test_penalty_gradients():
    check_gradients(
        doubly_stochastic_penalty, penalty_reference, [attention(2, 3, 4)]
    )


def test_penalty_ignores_what_padding_holds():
    weights, mask = attention(1, 3, 4), mask_of([2], 3)
    clean = to_numpy(doubly_stochastic_penalty(weights, mask))
    weights[0, 2] = np.nan
    found = to_numpy(doubly_stochastic_penalty(weights, mask))
    np.testing.assert_array_equal(found, clean)


@given(seed=st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_padding_never_changes_a_loss(seed):
    more = 2
    weights = attention(2, 3, 4, seed=seed)
    mask = mask_of([3, 2], 3)
    padded = np.concatenate([weights, attention(2, more, 4)], 1)
    padded_mask = mask_of([3, 2], 3 + more)
    np.testing.assert_allclose(
        to_numpy(doubly_stochastic_penalty(weights, mask)),
        to_numpy(doubly_stochastic_penalty(padded, padded_mask)),
        rtol=1e-5,
        atol=1e-6,
    )
    steps, padding = weights[..., 0], random(2, more, seed=seed)
    padded_steps = np.concatenate([steps, padding], 1)
    reward = random(2, seed=seed)
    np.testing.assert_allclose(
        to_numpy(reinforce_loss(steps, reward, steps, mask)),
        to_numpy(
            reinforce_loss(padded_steps, reward, padded_steps, padded_mask)
        ),
        rtol=1e-5,
        atol=1e-6,
    )


def test_penalty_reports_bad_input():
    with pytest.raises(ValueError, match="weights.*rank 3.*Received"):
        doubly_stochastic_penalty(attention(2, 3))
    with pytest.raises(ValueError, match="weights.*floating.*int"):
        doubly_stochastic_penalty(np.ones((1, 2, 3), "int32"))
    with pytest.raises(ValueError, match="mask.*boolean.*int32"):
        doubly_stochastic_penalty(attention(2, 3, 4), np.ones((2, 3), "int32"))
    with pytest.raises(ValueError, match="batch sizes.*mask: 3"):
        doubly_stochastic_penalty(attention(2, 3, 4), np.ones((3, 3), bool))
    for target in ("1", None, True, np.nan, np.inf):
        with pytest.raises(ValueError, match="target.*number.*Received"):
            doubly_stochastic_penalty(attention(2, 3, 4), target=target)


# Divergence from the standard normal


def kl_reference(mean, log_std):
    """0.5 (mu^2 + sigma^2 - 1) - log sigma, summed."""
    nats = 0.5 * (mean**2 + np.exp(2 * log_std) - 1) - log_std
    return nats.reshape(len(nats), -1).sum(1)


@pytest.mark.parametrize("shape", [(3,), (3, 4), (3, 4, 2)])
def test_kl_equals_reference(shape):
    mean, log_std = random(*shape), random(*shape, seed=1)
    found = to_numpy(kl_standard_normal(mean, log_std))
    assert found.shape == (3,)
    np.testing.assert_allclose(
        found,
        kl_reference(mean.astype("float64"), log_std.astype("float64")),
        rtol=1e-5,
        atol=1e-6,
    )


def test_kl_is_zero_at_the_prior_and_exact_beside_it():
    zeros = np.zeros((2, 3), "float32")
    assert to_numpy(kl_standard_normal(zeros, zeros)).tolist() == [0, 0]
    near = np.full((1, 1), 1e-3, "float32")
    found = to_numpy(kl_standard_normal(zeros[:1, :1], near))
    np.testing.assert_allclose(found, [1e-6], rtol=1e-2)


def test_kl_gradients():
    check_gradients(
        kl_standard_normal, kl_reference, [random(2, 3), random(2, 3, seed=1)]
    )


def test_kl_reports_bad_input():
    with pytest.raises(ValueError, match="equal shapes.*Received.*log_std"):
        kl_standard_normal(random(2, 3), random(2, 4))
    with pytest.raises(ValueError, match="equal shapes.*Received.*log_std"):
        kl_standard_normal(random(2, 3), random(2))
    with pytest.raises(ValueError, match="log_std.*floating"):
        kl_standard_normal(random(2, 3), np.ones((2, 3), "int32"))
    with pytest.raises(ValueError, match="batch axis"):
        kl_standard_normal(np.float32(1), np.float32(1))


# Attention to attributes


def mixed_norms(weights, mask=None, p=2.0, q=0.5):
    """||w||_{1,p} + ||w^T||_{q,1}, in float64."""
    weights = np.array(weights, "float64")
    if mask is not None:
        weights = weights * mask[:, :, None]
    over_time = (weights.sum(1) ** p).sum(1) ** (1 / p)
    return over_time + ((weights**q).sum(2) ** (1 / q)).sum(1)


@pytest.mark.parametrize(("p", "q"), [(2, 0.5), (1.5, 0.9), (40.0, 0.2)])
@pytest.mark.parametrize("lengths", [None, [4, 0, 2]])
def test_attribute_penalty_equals_reference(p, q, lengths):
    weights = attention(3, 4, 5)
    mask = None if lengths is None else mask_of(lengths, 4)
    found = to_numpy(attribute_penalty(weights, mask, p, q))
    np.testing.assert_allclose(
        found, mixed_norms(weights, mask, p, q), rtol=1e-4
    )


def test_attribute_penalty_of_sharp_and_even_weights():
    sharp, even = np.eye(4)[None], np.full((1, 4, 4), 0.25)
    for weights, wanted in ((sharp, 2 + 4), (even, 2 + 4 * 4)):
        found = to_numpy(attribute_penalty(weights.astype("float32")))
        np.testing.assert_allclose(found, [wanted], rtol=1e-6)


def test_attribute_penalty_gradients():
    check_gradients(attribute_penalty, mixed_norms, [attention(2, 3, 4)])
    mask = mask_of([3, 1], 3)
    check_gradients(
        lambda w: attribute_penalty(w, mask, 3.0, 0.7),
        lambda w: mixed_norms(w, mask, 3.0, 0.7),
        [attention(2, 3, 4)],
    )


def test_attribute_penalty_has_a_finite_gradient_at_zero():
    weights = attention(2, 3, 4)
    weights[0, :, 2:] = 0  # Attributes that a mask forbids.
    weights[1] = 0  # An image without any.
    (found,) = gradients(attribute_penalty, weights)
    assert np.isfinite(found).all()
    assert found[0, :, :2].all() and not found[1].any()
    tiny = np.full((1, 2, 3), 1e-30, "float32")
    assert np.isfinite(gradients(attribute_penalty, tiny)[0]).all()


def test_attribute_penalty_ignores_what_padding_holds():
    weights, mask = attention(1, 3, 4), mask_of([2], 3)
    clean = to_numpy(attribute_penalty(weights, mask))
    weights[0, 2] = np.nan
    np.testing.assert_array_equal(
        to_numpy(attribute_penalty(weights, mask)), clean
    )
    (found,) = gradients(lambda w: attribute_penalty(w, mask), weights)
    assert np.isfinite(found).all() and not found[0, 2].any()


def test_attribute_penalty_reports_bad_input():
    good = attention(2, 3, 4)
    for p in (1, 0.5, np.inf, np.nan, "2", True):
        with pytest.raises(ValueError, match="p to be a number above 1"):
            attribute_penalty(good, p=p)
    for q in (0, 1, -0.5, np.nan, None):
        with pytest.raises(ValueError, match=r"q to be a number in \(0, 1\)"):
            attribute_penalty(good, q=q)
    with pytest.raises(ValueError, match="weights.*rank 3"):
        attribute_penalty(good[0])
    with pytest.raises(ValueError, match="numbers of steps.*mask: 4"):
        attribute_penalty(good, np.ones((2, 4), bool))


# All of them


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_outputs_have_the_dtype_of_the_first_tensor(dtype):
    weights = keras.ops.cast(attention(2, 3, 4), dtype)
    steps = weights[..., 0]
    # A float64 array beside a float32 tensor is cast, not refused.
    other = np.array(attention(2, 3), "float64")
    for found in (
        doubly_stochastic_penalty(weights),
        attribute_penalty(weights),
        reinforce_loss(steps, other[:, 0], other),
        kl_standard_normal(steps, other),
    ):
        assert dtype_of(found) == dtype


def test_losses_compile_with_and_without_rows():
    @jit
    def total(weights, mask, reward):
        steps = weights[..., 0]
        return (
            doubly_stochastic_penalty(weights, mask)
            + attribute_penalty(weights, mask)
            + reinforce_loss(steps, reward, steps, mask)
            + kl_standard_normal(steps, steps)
        )

    for batch in (2, 0):
        arrays = attention(batch, 3, 4), np.ones((batch, 3), bool)
        found = to_numpy(total(*arrays, np.ones(batch, "float32")))
        assert found.shape == (batch,)
        assert np.isfinite(found).all()
