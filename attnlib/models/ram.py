"""The recurrent attention model: classify an image by a few glimpses."""

import keras
from keras import ops

from attnlib import losses
from attnlib.layers import GlimpseSensor
from attnlib.models import counting
from attnlib.ops import checks

VERSION = 1  # Raised when trained results change.

POLICIES = ("learned", "random", "centre")


@keras.saving.register_keras_serializable(package="attnlib")
class RecurrentAttention(keras.Model):
    """Look at an image through a sequence of glimpses, then name it (RAM).

    Per glimpse t, with shapes for B images:

    1. rho_t = sensor(image, l_{t-1}), (B, scales, size, size, C)
    2. g_t = ReLU(Lin(ReLU(Lin(rho_t))) + Lin(ReLU(Lin(l_{t-1})))), (B, units)
    3. h_t = ReLU(Lin(h_{t-1}) + Lin(g_t)), (B, units)
    4. l_t ~ N(tanh(f_l(h_t)), location_std^2), clipped to the image, (B, 2)

    and after the last glimpse logits = Lin(h_T). The first location is
    uniformly random. The classifier, core and glimpse network learn from
    cross-entropy, the location network from the REINFORCE rule alone: neither
    the location nor the state that it reads passes a gradient.

    Args:
        num_glimpses: Glimpses T, at least 1.
        glimpse_size: Width of the smallest window in pixels.
        scales: Windows per glimpse, each twice as wide as the last.
        num_classes: Number of classes.
        units: Width of the core, and twice that of the glimpse branches.
        location_std: Standard deviation of the location policy, in [-1, 1]
            coordinates.
        exploration_std: Standard deviation at the start of training. It falls
            in a straight line to `location_std` over `exploration_steps`
            calls in training. None: `location_std` throughout.
        exploration_steps: Number of those calls, at least 1.
        policy: `"learned"`; `"random"` (uniform locations) or `"centre"`
            (always the middle) for comparison.
        policy_weight: Weight of the REINFORCE term in the loss.
        seed: Seed of the locations, or None.
        **kwargs: Of `keras.Model`.

    Call arguments:
        images: Floating tensor, shape (B, H, W, C), at least as large as the
            smallest window.
        noise: Floating tensor, shape (B, T, 2): row 0 is uniform in [-1, 1]
            and is the first location; the others are standard normal
            (`"learned"`) or uniform in [-1, 1] (`"random"`). None draws it.

    Returns:
        A dict: `logits` (B, num_classes), `locations` (B, T, 2) in (x, y),
        `log_prob` (B, T - 1) of the locations after the first, `baseline`
        (B, T - 1), the predicted reward.

    Raises:
        ValueError: An argument is out of range, or the image is smaller than
            the smallest window or has other channels than the model was built
            for.

    Example:

    >>> import numpy as np
    >>> from attnlib.models.ram import RecurrentAttention
    >>> model = RecurrentAttention(num_glimpses=3, glimpse_size=8)
    >>> out = model(np.zeros((2, 28, 28, 1), "float32"))
    >>> tuple(out["logits"].shape), tuple(out["locations"].shape)
    ((2, 10), (2, 3, 2))

    Reference:
        Mnih et al. 2014, arXiv:1406.6247. Differs from the paper in: a hidden
        layer in the location network, tanh on its mean, first locations near
        the centre, a core that starts as the identity, Adam as optimiser, and
        the location noise, which can fall during training (the paper's is
        fixed, its value not published).
    """

    # The paper's first glimpse falls anywhere.
    first_is_chosen = False

    def __init__(
        self,
        num_glimpses=6,
        glimpse_size=8,
        scales=1,
        num_classes=10,
        units=256,
        location_std=0.05,
        exploration_std=None,
        exploration_steps=10000,
        policy="learned",
        policy_weight=0.01,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_glimpses = checks.positive_integer(
            "num_glimpses", num_glimpses
        )
        self.num_classes = checks.positive_integer("num_classes", num_classes)
        self.units = checks.positive_integer("units", units)
        if policy not in POLICIES:
            raise ValueError(
                f"expected policy to be one of {', '.join(POLICIES)}. "
                f"Received: {policy!r}"
            )
        checks.positive_number("location_std", location_std)
        if exploration_std is not None:
            checks.positive_number("exploration_std", exploration_std)
        self.glimpse_size, self.scales = glimpse_size, scales
        self.location_std, self.policy = location_std, policy
        self.exploration_std = exploration_std
        self.exploration_steps = checks.positive_integer(
            "exploration_steps", exploration_steps
        )
        self.policy_weight, self.seed = policy_weight, checks.seed(seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self._add_layers()
        self.error = keras.metrics.Mean(name="error")

    def _add_layers(self):
        units, half = self.units, max(1, self.units // 2)
        dense = keras.layers.Dense
        self.sensor = GlimpseSensor(self.glimpse_size, self.scales)
        self.flatten = keras.layers.Flatten()
        self.what_hidden = dense(half, "relu", name="what_hidden")
        self.what = dense(units, name="what")
        self.where_hidden = dense(half, "relu", name="where_hidden")
        self.where = dense(units, name="where")
        # A core that starts by adding up what it sees bore larger learning
        # rates on the small digits.
        self.recurrent = dense(
            units, kernel_initializer="identity", name="recurrent"
        )
        self.input_projection = dense(units, name="input_projection")
        self.locator_hidden = dense(half, "relu", name="locator_hidden")
        # Glimpses start in the middle and spread as far as reward asks for.
        # A wide random start ended worse in a short training on MNIST.
        near_centre = keras.initializers.RandomNormal(stddev=1e-3)
        self.locator = dense(
            2, "tanh", kernel_initializer=near_centre, name="locator"
        )
        self.baseline = dense(1, name="baseline")
        self.classifier = dense(self.num_classes, name="classifier")
        if not self._policy_learns():
            for layer in (self.locator_hidden, self.locator, self.baseline):
                layer.trainable = False

    def _policy_learns(self):
        return self.policy == "learned" and self.num_glimpses > 1

    def _add_counter(self):
        if self.exploration_std is not None:
            name = "calls_in_training"
            self.calls_in_training = counting.scalar(self, name)

    def build(self, images_shape):
        checks.shape_rank("images", images_shape, 4)
        self._add_counter()
        channels = self.channels = images_shape[-1]
        half, units = self.what_hidden.units, self.units
        pixels = self.scales * self.glimpse_size**2 * channels
        for layer, width in (
            (self.what_hidden, pixels),
            (self.what, half),
            (self.where_hidden, 2),
            (self.where, half),
            (self.recurrent, units),
            (self.input_projection, units),
            (self.locator_hidden, units),
            (self.locator, half),
            (self.baseline, units),
            (self.classifier, units),
        ):
            layer.build((None, width))
        self.built = True

    def call(self, images, noise=None, training=None):
        self._check_images(images)
        batch = ops.shape(images)[0]
        noise = self._checked_noise(noise, batch)
        state = ops.zeros((batch, self.units), self.compute_dtype)
        location = noise[:, 0]
        if self.policy == "centre":
            location = ops.zeros_like(location)
        std = self._std(training)
        locations, log_probs, baselines = [location], [], []
        for step in range(1, self.num_glimpses + 1):
            state = self.look(images, location, state)
            if step == self.num_glimpses:
                break
            location, log_prob, baseline = self.decide(
                state, noise[:, step], std
            )
            locations.append(location)
            log_probs.append(log_prob)
            baselines.append(baseline)
        empty = ops.zeros((batch, 0), "float32")
        return {
            "logits": self.classifier(state),
            "locations": ops.stack(locations, axis=1),
            "log_prob": ops.stack(log_probs, axis=1) if log_probs else empty,
            "baseline": ops.stack(baselines, axis=1) if baselines else empty,
        }

    def _checked_noise(self, noise, batch):
        if noise is None:
            noise = self.draw_noise(batch)
        elif tuple(noise.shape[1:]) != (self.num_glimpses, 2):
            raise ValueError(
                f"expected noise of shape (B, {self.num_glimpses}, 2). "
                f"Received: shape {tuple(noise.shape)}"
            )
        # In half precision a location would be off by pixels in a large image.
        return ops.cast(noise, "float32")

    def draw_noise(self, batch):
        """Return the random numbers of a call, shape (batch, T, 2)."""
        seed = self.seed_generator
        anywhere = 0 if self.first_is_chosen else 1
        first = keras.random.uniform((batch, anywhere, 2), -1.0, 1.0, seed=seed)
        rest = (batch, self.num_glimpses - anywhere, 2)
        if self.policy == "random":
            others = keras.random.uniform(rest, -1.0, 1.0, seed=seed)
        else:
            others = keras.random.normal(rest, seed=seed)
        return ops.concatenate([first, others], axis=1)

    def look(self, images, location, state):
        """Take one glimpse and return the next state, shape (B, units)."""
        glimpse = self.flatten(self.sensor(images, location))
        what = self.what(self.what_hidden(glimpse))
        location = ops.stop_gradient(ops.convert_to_tensor(location))
        where = self.where(self.where_hidden(location))
        seen = ops.relu(what + where)
        return ops.relu(self.recurrent(state) + self.input_projection(seen))

    def _std(self, training):
        """Return the standard deviation of this call, and count the call."""
        if not training or self.exploration_std is None:
            return self.location_std
        calls = self.calls_in_training
        left = ops.maximum(1 - calls / self.exploration_steps, 0)
        calls.assign(calls + 1)
        return self.location_std + left * (
            self.exploration_std - self.location_std
        )

    def decide(self, state, noise, std=None):
        """Choose the next location from a state.

        Args:
            state: State of the core, shape (B, units).
            noise: This step's random numbers, shape (B, 2).
            std: Standard deviation of the location; None: `location_std`.

        Returns:
            `(location, log_prob, baseline)`: shapes (B, 2), (B,), (B,).
        """
        state, noise = map(ops.convert_to_tensor, (state, noise))
        known = ops.stop_gradient(state)
        baseline = ops.cast(self.baseline(known)[:, 0], "float32")
        hidden = self.locator_hidden(self._decided_from(state))
        mean = ops.cast(self.locator(hidden), "float32")
        if self.policy == "random":
            return noise, ops.zeros_like(baseline), baseline
        if self.policy == "centre":
            return ops.zeros_like(noise), ops.zeros_like(baseline), baseline
        std = self.location_std if std is None else std
        return *sample_location(mean, noise, std), baseline

    def _decided_from(self, state):
        """Return what the policy reads: its gradient ends at the state."""
        return ops.stop_gradient(state)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Return cross-entropy + baseline regression + REINFORCE, a scalar."""
        entropy = keras.losses.sparse_categorical_crossentropy(
            y, ops.cast(y_pred["logits"], "float32"), from_logits=True
        )
        right = ops.equal(
            ops.argmax(y_pred["logits"], axis=-1),
            ops.cast(ops.reshape(y, (-1,)), "int32"),
        )
        reward = ops.cast(right, "float32")
        self.error.update_state(1.0 - reward)
        loss = ops.mean(entropy)
        if not self._policy_learns():
            return loss
        baseline = y_pred["baseline"]
        regression = ops.mean(ops.square(baseline - reward[:, None]))
        policy = losses.reinforce_loss(y_pred["log_prob"], reward, baseline)
        return loss + regression + self.policy_weight * ops.mean(policy)

    def _check_images(self, images):
        checks.floating("images", images)
        checks.rank("images", images, 4)
        height, width = images.shape[1:3]
        for side in (height, width):
            if side is not None and side < self.glimpse_size:
                raise ValueError(
                    "expected images at least as large as a glimpse of "
                    f"{self.glimpse_size}x{self.glimpse_size} pixels. "
                    f"Received: images of {height}x{width} pixels"
                )
        if images.shape[-1] != self.channels:
            raise ValueError(
                f"expected images with {_channels(self.channels)}, as the "
                f"model was built for. Received: {_channels(images.shape[-1])}"
            )

    def get_config(self):
        return {
            **super().get_config(),
            "num_glimpses": self.num_glimpses,
            "glimpse_size": self.glimpse_size,
            "scales": self.scales,
            "num_classes": self.num_classes,
            "units": self.units,
            "location_std": self.location_std,
            "exploration_std": self.exploration_std,
            "exploration_steps": self.exploration_steps,
            "policy": self.policy,
            "policy_weight": self.policy_weight,
            "seed": self.seed,
        }


def sample_location(mean, noise, std):
    """Draw locations from a Gaussian policy.

    Args:
        mean: Floating tensor, shape (B, 2). No gradient passes the location.
        noise: Standard normal, shape (B, 2).
        std: Standard deviation, in [-1, 1] coordinates.

    Returns:
        `(location, log_prob)`: shapes (B, 2), clipped to the image, and (B,).
    """
    sample = ops.stop_gradient(mean + std * noise)
    # The Gaussian's normaliser has no gradient, so it is left out.
    deviation = (sample - mean) / std
    log_prob = -0.5 * ops.sum(ops.square(deviation), axis=-1)
    return ops.clip(sample, -1.0, 1.0), log_prob


def _channels(count):
    return f"{count} channel{'s' * (count != 1)}"
