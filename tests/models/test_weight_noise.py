"""Adaptive weight noise against closed forms."""

import math

import keras
import numpy as np
import pytest
from keras import ops
from numerics import to_numpy

from attnlib.models.weight_noise import AdaptiveWeightNoise


@keras.saving.register_keras_serializable(package="tests")
class Line(keras.Model):
    """A linear model with the loss of a Gaussian of variance 1."""

    def __init__(self, width=3, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.dense = keras.layers.Dense(1, use_bias=False)
        self.error = keras.metrics.Mean(name="error")

    def build(self, inputs_shape=None):
        self.dense.build((None, self.width))
        self.built = True

    def call(self, inputs, training=None):
        return self.dense(inputs)[:, 0]

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        squares = 0.5 * ops.square(y_pred - y)
        self.error.update_state(squares)
        return ops.mean(squares)

    def get_config(self):
        return {**super().get_config(), "width": self.width}


def make(count=50, **options):
    keras.utils.set_random_seed(0)
    network = Line()
    network.build()
    return network, AdaptiveWeightNoise(network, count, seed=1, **options)


def data(count=50):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(count, 3)) * [1.0, 0.3, 2.0]
    y = x @ [0.5, -1.0, 0.2] + generator.normal(size=count)
    return x.astype("float32"), y.astype("float32")


def test_the_means_are_what_is_tested():
    network, noisy = make()
    x, _ = data()
    plain = to_numpy(network(x))
    np.testing.assert_array_equal(to_numpy(noisy(x)), plain)
    np.testing.assert_array_equal(to_numpy(noisy(x, training=False)), plain)


def test_training_draws_the_weights_anew_with_their_widths():
    network, noisy = make(std=0.2)
    (kernel,) = network.get_weights()
    eye = np.eye(3, dtype="float32")  # Reads the weights one by one.
    drawn = np.stack([to_numpy(noisy(eye, training=True)) for _ in range(400)])
    away = drawn - kernel[:, 0]
    assert abs(away.mean()) < 0.03
    np.testing.assert_allclose(away.std(axis=0), 0.2, rtol=0.15)
    # One weight for all examples of a batch.
    twice = to_numpy(noisy(np.repeat(eye, 2, axis=0), training=True))
    np.testing.assert_allclose(twice[::2], twice[1::2], rtol=1e-6)


def test_cost_is_the_divergence_from_the_best_prior():
    network, noisy = make()
    mean = np.array([0.4, -0.3, 1.0])
    std = np.array([0.1, 0.05, 0.3])
    network.set_weights([mean[:, None]])
    noisy.log_stds[0].assign(np.log(std)[:, None])

    def divergence(middle, spread):
        return np.sum(
            np.log(spread / std)
            + (std**2 + (mean - middle) ** 2) / (2 * spread**2)
            - 0.5
        )

    ours = float(noisy.cost())
    middle = mean.mean()
    spread = math.sqrt(np.mean(std**2 + (mean - middle) ** 2))
    assert ours == pytest.approx(divergence(middle, spread), rel=1e-5)
    for other in ((middle + 0.1, spread), (middle, 1.2 * spread)):
        assert ours < divergence(*other)


def test_widths_become_those_of_the_posterior():
    """Of a linear model: 1 / sigma_i^2 = sum x_i^2 + 1 / s^2."""
    network, noisy = make()
    x, y = data()
    steps = 3000
    rate = keras.optimizers.schedules.CosineDecay(0.03, steps)
    noisy.compile(keras.optimizers.Adam(rate))
    # All examples in every update, and all updates in one epoch.
    many = (np.tile(x, (steps, 1)), np.tile(y, steps))
    noisy.fit(*many, batch_size=50, shuffle=False, verbose=0)
    (mean,) = network.get_weights()
    std = np.exp(to_numpy(noisy.log_stds[0]))[:, 0]
    prior = np.mean(std**2) + mean.var()
    wanted = 1 / np.sqrt((x**2).sum(axis=0) + 1 / prior)
    np.testing.assert_allclose(std, wanted, rtol=0.15)


def test_metrics_are_the_networks_and_the_cost():
    _, noisy = make()
    noisy.compile(keras.optimizers.Adam(1e-2))
    x, y = data()
    logs = noisy.train_on_batch(x, y, return_dict=True)
    assert set(logs) == {"loss", "error", "weight_cost"}
    assert logs["loss"] == pytest.approx(
        logs["error"] + logs["weight_cost"] * 3 / 50, rel=1e-4
    )
    tested = noisy.evaluate(x, y, verbose=0, return_dict=True)
    assert tested["loss"] == pytest.approx(tested["error"], rel=1e-5)


def test_is_saved_with_its_network(tmp_path):
    _, noisy = make(std=0.1)
    noisy.compile(keras.optimizers.Adam(1e-2))
    x, y = data()
    noisy.train_on_batch(x, y)
    noisy.save(tmp_path / "noisy.keras")
    again = keras.saving.load_model(tmp_path / "noisy.keras")
    np.testing.assert_array_equal(to_numpy(again(x)), to_numpy(noisy(x)))
    for one, other in zip(again.log_stds, noisy.log_stds, strict=True):
        np.testing.assert_array_equal(to_numpy(one), to_numpy(other))
    assert (again.count, again.std, again.seed) == (50, 0.1, 1)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"count": 0}, "count"),
        ({"count": 2.5}, "count"),
        ({"std": 0.0}, "std"),
        ({"std": math.nan}, "std"),
    ],
)
def test_bad_arguments_are_named(options, told):
    with pytest.raises(ValueError, match=f"{told}.*Received"):
        make(**options)


def test_a_network_without_weights_is_refused():
    with pytest.raises(ValueError, match="network that is built"):
        AdaptiveWeightNoise(Line(), 10)


def test_a_network_with_nothing_to_train_is_refused():
    network, _ = make()
    network.trainable = False
    with pytest.raises(ValueError, match="frozen"):
        AdaptiveWeightNoise(network, 10)
    with pytest.raises(ValueError, match="keras.Model. Received: None"):
        AdaptiveWeightNoise(None, 10)
