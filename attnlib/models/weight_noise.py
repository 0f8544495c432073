"""Noise on a network's weights whose width is learned with them."""

import math

import keras
from keras import ops

from attnlib.models.checked import ChecksArrays
from attnlib.ops import checks


@keras.saving.register_keras_serializable(package="attnlib")
class AdaptiveWeightNoise(ChecksArrays, keras.Model):
    """Train a network as a Gaussian over its weights (variational inference).

    1. weights w_i = mu_i + sigma_i eps_i with eps_i ~ N(0, 1), drawn once per
       update for all examples of a batch; mu are the network's own weights
    2. prior: one Gaussian for all W weights, with the mean and variance that
       cost least: m = mean mu_i, s^2 = mean (sigma_i^2 + (mu_i - m)^2)
    3. cost of the weights in nats, the divergence from that prior:
       C = sum_i log(s / sigma_i)
    4. loss = the network's loss + C / N

    Outside training the network has its means mu, so that the `network` itself
    is what was trained. Metrics are the network's, and `weight_cost`, C in nats
    per weight.

    Args:
        network: A built `keras.Model` with a `compute_loss` of its own.
        count: Number N of terms in the training set whose mean is the network's
            loss: of examples, or of points or words.
        std: sigma of every weight at first.
        seed: Seed of the noise, or None.
        **kwargs: Of `keras.Model`.

    Call arguments:
        inputs: Those of the network.
        training: Whether the weights are noisy.

    Returns:
        What the network returns.

    Raises:
        ValueError: The network is no model, not built or all frozen, or an
            argument is out of range; or the network refuses its inputs.

    Example:

    >>> import numpy as np
    >>> from attnlib.models.handwriting import HandwritingPrediction
    >>> from attnlib.models.weight_noise import AdaptiveWeightNoise
    >>> network = HandwritingPrediction(layers=1, units=4, components=2)
    >>> network.build()
    >>> noisy = AdaptiveWeightNoise(network, count=1000, seed=0)
    >>> strokes = np.zeros((1, 5, 3), "float32")
    >>> tuple(noisy({"strokes": strokes}, training=True).shape)
    (1, 5, 13)

    Reference:
        Graves 2011, Practical variational inference for neural networks,
        sections 3 and 6, as Graves 2013, arXiv:1308.0850, section 4.2 uses it.
        Differs in: widths get the gradient of the loss at the drawn weights,
        not the squared gradient as curvature; they are learned as logarithms.
    """

    def __init__(self, network, count, std=0.075, seed=None, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(network, keras.Model):
            raise ValueError(
                f"expected network to be a keras.Model. Received: {network!r}"
            )
        self.network = network
        self.count = checks.positive_integer("count", count)
        self.std = checks.positive_number("std", std)
        self.seed = checks.seed(seed)
        self.noise = keras.random.SeedGenerator(seed)
        self.weight_cost = keras.metrics.Mean(name="weight_cost")
        self.supports_jit = network.supports_jit
        if not network.built:
            raise ValueError(
                "expected a network that is built: call its build() or the "
                "network itself once before its weights become noisy"
            )
        if not network.trainable_variables:
            raise ValueError(
                "expected a network with weights to train. Received: one whose "
                "weights are all frozen, or that has none"
            )
        start = keras.initializers.Constant(math.log(self.std))
        self.log_stds = [
            self.add_weight(
                name=f"log_std_{place}", shape=weight.shape, initializer=start
            )
            for place, weight in enumerate(network.trainable_variables)
        ]
        self._size = sum(math.prod(w.shape) for w in self.log_stds)
        self.built = True

    def build(self, inputs_shape=None):
        self.built = True

    def check_arrays(self, x, y=None):
        """Check arrays as the network does, where it does.

        Args:
            x: Inputs.
            y: Targets, or None.

        Raises:
            ValueError: The network refuses them.
        """
        if isinstance(self.network, ChecksArrays):
            self.network.check_arrays(x, y)

    def call(self, inputs, training=None):
        if not training:
            return self.network(inputs, training=training)
        weights = self.network.trainable_variables
        outputs, _ = self.network.stateless_call(
            [
                ops.add(mean, ops.exp(log_std) * self._draw(mean))
                for mean, log_std in zip(weights, self.log_stds, strict=True)
            ],
            [v.value for v in self.network.non_trainable_variables],
            inputs,
            training=True,
        )
        return outputs

    def _draw(self, weight):
        return keras.random.normal(
            weight.shape, dtype=weight.dtype, seed=self.noise
        )

    def cost(self):
        """Return C, the nats that the weights cost, a scalar."""
        weights, size = self.network.trainable_variables, self._size
        middle = sum(ops.sum(weight) for weight in weights) / size
        spread = sum(
            ops.sum(ops.exp(2 * log_std) + ops.square(weight - middle))
            for weight, log_std in zip(weights, self.log_stds, strict=True)
        )
        narrow = sum(ops.sum(log_std) for log_std in self.log_stds)
        return 0.5 * size * ops.log(spread / size) - narrow

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Return the network's loss; in training with the weights' share.

        Args:
            x: Inputs.
            y: Targets.
            y_pred: What the call returned.
            sample_weight: As the network takes it.
            training: Whether the weights count.
        """
        loss = self.network.compute_loss(x, y, y_pred, sample_weight, training)
        cost = self.cost()
        self.weight_cost.update_state(cost / self._size)
        return loss + cost / self.count if training else loss

    @property
    def metrics(self):
        # Of the network without its own `loss`, which no one updates here.
        inner = [m for m in self.network.metrics if m.name != "loss"]
        return [*super().metrics[:1], *inner, self.weight_cost]

    def get_config(self):
        return {
            **super().get_config(),
            "network": keras.saving.serialize_keras_object(self.network),
            "count": self.count,
            "std": self.std,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        network = keras.saving.deserialize_keras_object(
            config.pop("network"), custom_objects=custom_objects
        )
        return cls(network, **config)
