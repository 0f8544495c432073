"""Where to look next: a stochastic policy over locations."""

import math

import keras
from keras import ops

from attnlib.layers.base import AttentionLayer
from attnlib.ops import checks


@keras.saving.register_keras_serializable(package="attnlib")
class LocationPolicy(AttentionLayer):
    """Choose the next location from a state, to be learned by REINFORCE.

    The location is drawn from a Gaussian whose mean is a small network of the
    state. It learns from reward alone, through the log-probability of what it
    drew: neither the state nor the location passes a gradient.

    1. mean = tanh(W_2 ReLU(W_1 h_t + b_1) + b_2), shape (B, 2)
    2. sample = mean + std * noise, shape (B, 2)
    3. log_prob = log N(sample; mean, std^2), shape (B,)
    4. location = sample clipped to [-1, 1], shape (B, 2)

    Args:
        units: Width of the hidden layer, at least 1.
        std: Standard deviation of the policy in [-1, 1] coordinates, a
            positive number.
        kernel_initializer: For W_2; the default starts in the middle of the
            image and spreads as far as reward asks for.
        seed: Seed of the noise, an integer of 32 bits from 0 on, or None.
        **kwargs: Of `keras.layers.Layer`.

    Call arguments:
        state: Floating tensor, shape (B, H).
        noise: Floating tensor, shape (B, 2), standard normal. None draws it in
            training and is the mean itself otherwise. Inside a scan it must be
            given: draw it for all steps before.
        training: Boolean, or None for Keras to fill in.

    Returns:
        `(location, log_prob, mean)`: shapes (B, 2), (B,) and (B, 2), where
        locations are (x, y). log_prob is in nats, summed over x and y. In half
        precision a location cannot tell the pixels of a large image apart:
        give the layer `dtype="float32"` there.

    Convention:
        Coordinates in [-1, 1]; (-1, -1) is the top-left corner, as for
        `attnlib.ops.extract_glimpses`.

    Raises:
        ValueError: `units` is no positive integer, `std` is not positive,
            `seed` no seed, or a rank, size or dtype of the inputs is wrong.

    Example:

    >>> import numpy as np
    >>> from attnlib.layers import LocationPolicy
    >>> state, noise = np.ones((3, 8), "float32"), np.ones((3, 2), "float32")
    >>> location, log_prob, mean = LocationPolicy(4)(state, noise)
    >>> tuple(location.shape), tuple(log_prob.shape)
    ((3, 2), (3,))

    Reference:
        Mnih et al. 2014, arXiv:1406.6247, section 3.1 and 3.2. Differs from
        the paper in: a hidden layer, and tanh around the mean; the paper has
        one linear layer and publishes no value for std.
    """

    def __init__(
        self, units=128, std=0.05, kernel_initializer=None, seed=None, **kwargs
    ):
        # No autocast: noise and locations stay float32 until the end.
        super().__init__(autocast=False, **kwargs)
        self.units = checks.positive_integer("units", units)
        self.std = checks.positive_number("std", std)
        if kernel_initializer is None:
            kernel_initializer = keras.initializers.RandomNormal(stddev=1e-3)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.seed = checks.seed(seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self.supports_masking = True
        self.hidden = keras.layers.Dense(
            self.units, "relu", dtype=self.dtype_policy, name="hidden"
        )
        self.mean = keras.layers.Dense(
            2,
            "tanh",
            kernel_initializer=self.kernel_initializer,
            dtype=self.dtype_policy,
            name="mean",
        )

    def build(self, state_shape, noise_shape=None):
        _check_shapes(state_shape, noise_shape)
        checks.widths(state=state_shape)
        self.hidden.build(state_shape)
        self.mean.build((state_shape[0], self.units))
        self.built = True

    def call(self, state, noise=None, training=None):
        wide = checks.compute_dtype(self.compute_dtype)
        state = checks.floating("state", state, self.compute_dtype)
        checks.rank("state", state, 2)
        checks.last_axis("state", state, self.hidden.kernel.shape[0])
        mean = self.mean(self.hidden(ops.stop_gradient(state)))
        mean = ops.cast(mean, wide)  # (B, 2)
        if noise is None:
            noise = self._noise(mean, training)
        noise = checks.floating("noise", noise, wide)
        _check_noise(noise, state)
        sample = ops.stop_gradient(mean + self.std * noise)
        deviation = (sample - mean) / self.std
        constant = math.log(2 * math.pi) + 2 * math.log(self.std)
        log_prob = -0.5 * ops.sum(ops.square(deviation), axis=-1) - constant
        location = ops.clip(sample, -1.0, 1.0)
        return tuple(
            ops.cast(x, self.compute_dtype) for x in (location, log_prob, mean)
        )

    def _noise(self, mean, training):
        if not training:
            return ops.zeros_like(mean)
        return keras.random.normal(
            ops.shape(mean), dtype=mean.dtype, seed=self.seed_generator
        )

    def compute_output_shape(self, state_shape, noise_shape=None):
        _check_shapes(state_shape, noise_shape)
        batch = state_shape[0]
        return (batch, 2), (batch,), (batch, 2)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "std": self.std,
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
            "seed": self.seed,
        }


def _check_noise(noise, state):
    checks.rank("noise", noise, 2)
    checks.same("last axis", noise=noise.shape[1], coordinates=2)
    checks.same("batch sizes", state=state.shape[0], noise=noise.shape[0])


def _check_shapes(state_shape, noise_shape):
    checks.shape_rank("state", state_shape, 2)
    if noise_shape is not None:
        checks.shape_rank("noise", noise_shape, 2)
