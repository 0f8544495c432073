import keras
import numpy as np
import pytest
from numerics import (
    dtype_of,
    gradients,
    to_numpy,
    variable_gradients,
)

from attnlib.distributions import normal_log_prob
from attnlib.layers import LocationPolicy


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def built(units=4, state=5, **options):
    layer = LocationPolicy(units, **options)
    layer.build((None, state))
    layer.set_weights(
        [random(*w.shape, seed=i) for i, w in enumerate(layer.weights)]
    )
    return layer


def reference_mean(weights, state):
    w1, b1, w2, b2 = (np.array(w, "float64") for w in weights)
    return np.tanh(np.maximum(state @ w1 + b1, 0) @ w2 + b2)


def reference(weights, state, noise, std):
    """A Gaussian around tanh(Lin(ReLU(Lin(h)))), float64."""
    mean = reference_mean(weights, state)
    sample = mean + std * np.array(noise, "float64")
    density = np.exp(-(((sample - mean) / std) ** 2) / 2)
    density /= std * np.sqrt(2 * np.pi)
    return np.clip(sample, -1, 1), np.log(density).sum(-1), mean


@pytest.mark.parametrize("std", [0.05, 0.5, 2.0])
def test_equals_reference(std):
    layer, state, noise = built(std=std), random(6, 5), random(6, 2, seed=1)
    found = to_numpy(layer(state, noise))
    expected = reference(layer.get_weights(), state, noise, std)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_log_prob_is_that_of_the_distribution():
    layer, state, noise = built(std=0.3), random(6, 5), random(6, 2, seed=1)
    _, log_prob, mean = to_numpy(layer(state, noise))
    sample = mean + np.float32(0.3) * noise
    expected = to_numpy(normal_log_prob(sample, mean, np.float32(0.3)))
    np.testing.assert_allclose(log_prob, expected.sum(-1), rtol=1e-4)


def test_without_noise_the_mean_outside_training_and_a_draw_inside():
    layer, state = built(std=0.01, seed=3), random(6, 5)
    location, log_prob, mean = to_numpy(layer(state))
    np.testing.assert_array_equal(location, mean)
    np.testing.assert_allclose(log_prob, log_prob.max(), rtol=1e-6)
    drawn, _, _ = to_numpy(layer(state, training=True))
    again, _, _ = to_numpy(layer(state, training=True))
    assert (drawn != mean).any(-1).all()
    assert (drawn != again).any()
    first, _, _ = to_numpy(built(std=0.01, seed=3)(state, training=True))
    np.testing.assert_array_equal(first, drawn)


def test_draws_have_the_mean_and_the_deviation():
    layer = built(std=0.1, seed=0)
    state = 0.1 * np.repeat(random(1, 5), 4000, 0)
    layer.set_weights([0.1 * w for w in layer.get_weights()])
    location, _, mean = to_numpy(layer(state, training=True))
    np.testing.assert_allclose(location.mean(0), mean[0], atol=0.01)
    np.testing.assert_allclose(location.std(0), 0.1, rtol=0.1)


def test_no_gradient_reaches_the_state_or_the_noise():
    layer, state, noise = built(), random(3, 5), random(3, 2, seed=1)
    for output in range(3):
        found = gradients(
            lambda s, n, output=output: layer(s, n)[output], state, noise
        )
        assert not any(gradient.any() for gradient in found)


def test_log_prob_reaches_every_weight_and_the_location_none():
    layer, state, noise = built(), random(3, 5), random(3, 2, seed=1)
    found = variable_gradients(
        lambda: keras.ops.sum(layer(state, noise)[1]), layer.weights
    )
    assert all(gradient.any() for gradient in found.values())

    def loss():
        location, log_prob, _ = layer(state, noise)
        # torch refuses to differentiate what depends on no weight at all.
        return keras.ops.sum(location) + 0 * keras.ops.sum(log_prob)

    found = variable_gradients(loss, layer.weights)
    assert not any(gradient.any() for gradient in found.values())


def test_gradient_of_log_prob_is_the_score_function():
    """d log N(x; m, s^2) / d m = (x - m) / s^2 at a fixed sample x."""
    std = 0.2
    layer, state, noise = built(std=std), random(3, 5), random(3, 2, seed=1)
    weights = layer.get_weights()
    sample = reference_mean(weights, state) + std * noise
    name = layer.weights[3].path  # The bias before the tanh.

    def log_prob(bias):
        mean = reference_mean([*weights[:3], bias], state)
        return -0.5 * np.sum(((sample - mean) / std) ** 2)

    step = 1e-6 * np.eye(2)
    expected = [
        (log_prob(weights[3] + s) - log_prob(weights[3] - s)) / 2e-6
        for s in step
    ]
    found = variable_gradients(
        lambda: keras.ops.sum(layer(state, noise)[1]), layer.weights
    )
    np.testing.assert_allclose(found[name], expected, rtol=1e-3)


def test_reinforce_moves_the_mean_to_what_is_rewarded():
    layer = LocationPolicy(8, std=0.2, seed=0)
    state = np.ones((64, 3), "float32")
    layer.build(state.shape)
    optimizer = keras.optimizers.Adam(0.05)
    optimizer.build(layer.trainable_variables)
    wanted, rng = np.array([0.5, -0.3]), np.random.default_rng(0)
    for _ in range(60):
        noise = rng.normal(size=(64, 2)).astype("float32")
        location = to_numpy(layer(state, noise)[0])
        reward = -np.square(location - wanted).sum(-1)
        advantage = (reward - reward.mean()).astype("float32")

        def loss(noise=noise, advantage=advantage):
            _, log_prob, _ = layer(state, noise)
            return -keras.ops.mean(keras.ops.multiply(log_prob, advantage))

        found = variable_gradients(loss, layer.trainable_variables)
        optimizer.apply(
            [keras.ops.convert_to_tensor(g) for g in found.values()],
            layer.trainable_variables,
        )
    mean = to_numpy(layer(state)[2])[0]
    np.testing.assert_allclose(mean, wanted, atol=0.15)


def test_starts_in_the_middle_of_the_image():
    _, _, mean = to_numpy(LocationPolicy()(random(50, 8)))
    assert np.abs(mean).max() < 0.05


def test_float16_density_is_computed_in_float32():
    layer = built(std=0.01, dtype="mixed_float16")
    state, noise = random(4, 5), random(4, 2, seed=1)
    location, log_prob, _ = layer(state, noise)
    assert dtype_of(log_prob) == dtype_of(location) == "float16"
    expected = -np.square(noise).sum(-1) / 2 - np.log(2 * np.pi * 1e-4)
    np.testing.assert_allclose(to_numpy(log_prob), expected, atol=0.01)


def test_reports_bad_input():
    for bad in (0, -1, 2.5, "4", None, True):
        with pytest.raises(ValueError, match="units.*at least 1.*Received"):
            LocationPolicy(bad)
    for bad in (0, -0.1, float("nan"), "1", None, True):
        with pytest.raises(ValueError, match="std.*positive.*Received"):
            LocationPolicy(std=bad)
    with pytest.raises(ValueError, match="last axis.*noise: 3"):
        built()(random(2, 5), random(2, 3))
    with pytest.raises(ValueError, match="state.*size 5.*Received"):
        built()(random(2, 6))
