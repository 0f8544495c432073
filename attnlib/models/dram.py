"""The deep recurrent attention model: several objects in one image."""

import keras
from keras import ops

from attnlib.layers import GlimpseSensor
from attnlib.models.ram import RecurrentAttention
from attnlib.ops import checks

VERSION = 1  # Raised when trained results change.

COMBINATIONS = ("product", "sum")


@keras.saving.register_keras_serializable(package="attnlib")
class DeepRecurrentAttention(RecurrentAttention):
    """Look at an image part by part, guided by a glance at the whole (DRAM).

    Per glimpse t, with shapes for B images:

    1. l_t ~ N(f_l(r2_{t-1}), location_std^2), clipped to the image, (B, 2)
    2. rho_t = sensor(image, l_t), concentric crops, (B, size, size, scales C)
    3. g_t = G_img(rho_t) * G_loc(l_t), (B, units): three convolutions and a
       layer of `units`, times a layer of the location
    4. r1_t = LSTM(g_t, r1_{t-1}), (B, units)
    5. r2_t = LSTM(r1_t, r2_{t-1}), (B, units)

    and after the last glimpse logits = Lin(r1_T). A context network, three
    convolutions on the averaged-down image, gives the first state of r2 alone:
    it may say where to look, but the classes reach the classifier through
    glimpses only. Glimpse network, r1 and classifier learn from cross-entropy;
    context network, r2 and location network from the REINFORCE rule.

    Args:
        num_glimpses: Glimpses T, at least 1. The policy chooses the first,
            too.
        glimpse_size: Width of the smallest window in pixels, at least 9.
        scales: Windows per glimpse, each twice as wide as the last.
        num_classes: Number of classes.
        units: Width of both LSTMs and of the glimpse vector.
        filters: Channels of the glimpse network's convolutions of 5x5, 3x3
            and 3x3 pixels; the context network's of 3x3 pixels in steps of 2
            have as many.
        combine: `"product"` of what and where, or `"sum"` for comparison.
        context: Whether there is a context network; without one r2 starts at
            0.
        context_size: Side of the averaged-down image in pixels; the image's
            side is a multiple of it.
        **kwargs: Of `RecurrentAttention`: `location_std`, `exploration_std`,
            `exploration_steps`, `policy`, `policy_weight`, `seed`.

    Call arguments:
        images: Floating tensor, shape (B, H, W, C), at least as large as the
            smallest window.
        noise: Floating tensor, shape (B, T, 2), standard normal (`"learned"`)
            or uniform in [-1, 1] (`"random"`). None draws it.

    Returns:
        A dict: `logits` (B, num_classes), `locations` (B, T, 2) in (x, y),
        `log_prob` (B, T) of the locations, `baseline` (B, T), the predicted
        reward.

    Raises:
        ValueError: An argument is out of range, the image is smaller than the
            smallest window, or its sides are no multiples of `context_size`.

    Example:

    >>> import numpy as np
    >>> from attnlib.models.dram import DeepRecurrentAttention
    >>> model = DeepRecurrentAttention(num_glimpses=2, units=8)
    >>> out = model(np.zeros((2, 40, 40, 1), "float32"))
    >>> tuple(out["logits"].shape), tuple(out["log_prob"].shape)
    ((2, 55), (2, 2))

    Reference:
        Ba et al. 2015, arXiv:1412.7755, section 3. Differs from the paper in:
        the policy's gradient stops before r1, as in `RecurrentAttention`;
        crops stacked as channels; a hidden layer in the location network and
        tanh on its mean; Adam as optimiser; one answer after the last
        glimpse, no sequences.
    """

    first_is_chosen = True

    def __init__(
        self,
        num_glimpses=4,
        glimpse_size=16,
        scales=2,
        num_classes=55,
        units=256,
        filters=(16, 16, 32),
        combine="product",
        context=True,
        context_size=20,
        **kwargs,
    ):
        self.filters = checks.positive_integers("filters", filters, 3)
        self.combine = checks.one_of("combine", combine, COMBINATIONS)
        self.context = checks.flag("context", context)
        self.context_size = checks.positive_integer(
            "context_size", context_size
        )
        if checks.positive_integer("glimpse_size", glimpse_size) < 9:
            raise ValueError(
                "expected glimpse_size of at least 9, for convolutions of 5x5, "
                f"3x3 and 3x3 pixels. Received: {glimpse_size}"
            )
        super().__init__(
            num_glimpses=num_glimpses,
            glimpse_size=glimpse_size,
            scales=scales,
            num_classes=num_classes,
            units=units,
            **kwargs,
        )

    def _add_layers(self):
        self._add_glimpse_network()
        units, half = self.units, max(1, self.units // 2)
        dense = keras.layers.Dense
        self.reader = keras.layers.LSTMCell(units, name="reader")
        self.guide = keras.layers.LSTMCell(units, name="guide")
        if self.context:
            self.glance = _convolutions(self.filters, (3, 3, 3), 2, "glance")
            self.glance_out = dense(units, name="glance_out")
        self.locator_hidden = dense(half, "relu", name="locator_hidden")
        near_centre = keras.initializers.RandomNormal(stddev=1e-3)
        self.locator = dense(
            2, "tanh", kernel_initializer=near_centre, name="locator"
        )
        self.baseline = dense(1, name="baseline")
        self.classifier = dense(self.num_classes, name="classifier")
        if not self._policy_learns():
            for layer in self._learning_by_reward():
                layer.trainable = False

    def _add_glimpse_network(self):
        self.sensor = GlimpseSensor(self.glimpse_size, self.scales)
        self.flatten = keras.layers.Flatten()
        self.what = _convolutions(self.filters, (5, 3, 3), 1, "what")
        self.what_out = keras.layers.Dense(self.units, "relu", name="what_out")
        # A product with what is 0 passes nothing on: in the middle of the
        # image the layer of the location starts at 1.
        ones = "ones" if self.combine == "product" else "zeros"
        self.where = keras.layers.Dense(
            self.units, "relu", bias_initializer=ones, name="where"
        )

    def _learning_by_reward(self):
        parts = [self.guide, self.locator_hidden, self.locator, self.baseline]
        if self.context:
            parts += [*self.glance, self.glance_out]
        return parts

    def _policy_learns(self):
        return self.policy == "learned"

    def build(self, images_shape):
        checks.shape_rank("images", images_shape, 4)
        self._add_counter()
        _, height, width, channels = images_shape
        self.channels = channels
        size, units = self.glimpse_size, self.units
        _build(self.what, (None, size, size, self.scales * channels))
        left = size - 8  # Convolutions of 5, 3 and 3 without padding.
        shapes = [
            (self.what_out, left * left * self.filters[-1]),
            (self.where, 2),
            (self.reader, units),
            (self.guide, units),
            (self.locator_hidden, units),
            (self.locator, self.locator_hidden.units),
            (self.baseline, units),
            (self.classifier, units),
        ]
        if self.context:
            self._check_sides(height, width)
            side = self.context_size
            _build(self.glance, (None, side, side, channels))
            for _ in self.filters:
                side = -(-side // 2)
            shapes.append((self.glance_out, side * side * self.filters[-1]))
        for layer, width in shapes:
            layer.build((None, width))
        self.built = True

    def call(self, images, noise=None, training=None):
        self._check_images(images)
        batch = ops.shape(images)[0]
        noise = self._checked_noise(noise, batch)
        std = self._std(training)
        empty = ops.zeros((batch, self.units), self.compute_dtype)
        reading, guiding = [empty, empty], self.glance_at(images)
        locations, log_probs, baselines = [], [], []
        for step in range(self.num_glimpses):
            if step:
                # Reward must not reshape what is read.
                seen = ops.stop_gradient(reading[0])
                _, guiding = self.guide(seen, guiding)
            location, log_prob, baseline = self.decide(
                guiding[0], noise[:, step], std
            )
            glimpse = self.look(images, location)
            _, reading = self.reader(glimpse, reading)
            locations.append(location)
            log_probs.append(log_prob)
            baselines.append(baseline)
        return {
            "logits": self.classifier(reading[0]),
            "locations": ops.stack(locations, axis=1),
            "log_prob": ops.stack(log_probs, axis=1),
            "baseline": ops.stack(baselines, axis=1),
        }

    def glance_at(self, images):
        """Return r2's first state and memory, each of shape (B, units)."""
        if not self.context:
            empty = ops.zeros(
                (ops.shape(images)[0], self.units), self.compute_dtype
            )
            return [empty, empty]
        self._check_sides(*images.shape[1:3])
        steps = tuple(side // self.context_size for side in images.shape[1:3])
        small = ops.average_pool(images, steps, steps)
        for layer in self.glance:
            small = layer(small)
        memory = self.glance_out(self.flatten(small))
        return [ops.tanh(memory), memory]

    def look(self, images, location):
        """Take one glimpse and return what was seen and where, (B, units)."""
        crops = self.sensor(images, location)  # (B, scales, N, N, C)
        crops = ops.moveaxis(crops, 1, 3)
        shape = (-1, *crops.shape[1:3], crops.shape[3] * crops.shape[4])
        seen = ops.reshape(crops, shape)
        for layer in self.what:
            seen = layer(seen)
        what = self.what_out(self.flatten(seen))
        where = self.where(ops.stop_gradient(location))
        return what * where if self.combine == "product" else what + where

    def _decided_from(self, state):
        # r2 exists to decide: what reward teaches, it learns, too.
        return state

    def _check_sides(self, *sides):
        if any(s is None or s % self.context_size for s in sides):
            raise ValueError(
                "expected images with sides that are multiples of "
                f"{self.context_size} pixels, the context's. Received: "
                f"{' x '.join(map(str, sides))} pixels"
            )

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "combine": self.combine,
            "context": self.context,
            "context_size": self.context_size,
        }


def _convolutions(filters, kernels, stride, name):
    padding = "same" if stride > 1 else "valid"
    return [
        keras.layers.Conv2D(
            width,
            kernel,
            stride,
            padding=padding,
            activation="relu",
            name=f"{name}_{index}",
        )
        for index, (width, kernel) in enumerate(
            zip(filters, kernels, strict=True)
        )
    ]


def _build(layers, shape):
    for layer in layers:
        layer.build(shape)
        shape = layer.compute_output_shape(shape)
