"""DRAW: draw an image step by step, or read one, through moving windows."""

import math

import keras
import numpy as np
from keras import ops

from attnlib import losses
from attnlib.ops import (
    checks,
    filterbank_read,
    filterbank_write,
    gaussian_filterbank,
)

VERSION = 1  # Raised when trained results change.


@keras.saving.register_keras_serializable(package="attnlib")
class DRAW(keras.Model):
    """Generate images by writing to a canvas, again and again (DRAW).

    A recurrent variational auto-encoder. Per step t, with shapes for B images:

    1. x^_t = x - sigmoid(c_{t-1}), what is still to be drawn (equation 3)
    2. r_t = read(x, x^_t, h^dec_{t-1}), (B, 2 N N C) (4)
    3. h^enc_t = LSTM([r_t, h^dec_{t-1}]), (B, units) (5)
    4. z_t ~ N(mean_t, std_t^2), a Dense of h^enc_t, (B, latent_size) (6)
    5. h^dec_t = LSTM(z_t), (B, units) (7)
    6. c_t = c_{t-1} + write(h^dec_t), (B, H, W, C) (8)

    and p(x | z) is a Bernoulli with logits c_T. With attention, read and write
    go through windows of Gaussian filters that h^dec places; without, the
    whole image is read and written at every step. The loss is the negative of
    the evidence lower bound, in nats: -log p(x | z) + sum_t KL(q(z_t) || N(0,
    1)), an upper bound of -log p(x).

    Args:
        num_steps: Steps T, at least 1.
        latent_size: Width of z_t.
        units: Width of each of the two LSTMs.
        read_size: Filters N along each axis of the window that reads.
        write_size: The same of the window that writes.
        image_shape: Shape (H, W, C) of the images.
        attention: Whether windows are used. If not, both sizes are ignored.
        seed: Seed of the latent variables, or None.
        **kwargs: Of `keras.Model`.

    Call arguments:
        images: Floating tensor, shape (B, H, W, C), values in [0, 1], usually
            0 or 1.
        noise: Floating tensor, shape (T, B, latent_size), standard normal;
            None draws it.

    Returns:
        A dict: `logits` (B, H, W, C), the last canvas; `kl` (B, T), the KL of
        every step in nats; `log_ratio` (B,), log p(z) - log q(z | x) of the z
        that were drawn. float32.

    Raises:
        ValueError: An argument is out of range, a window has more filters
            than the image has pixels a side, or images or noise have another
            shape.

    Example:

    >>> import numpy as np
    >>> from attnlib.models.draw import DRAW
    >>> model = DRAW(num_steps=3, latent_size=4, units=8)
    >>> out = model(np.zeros((2, 28, 28, 1), "float32"))
    >>> tuple(out["logits"].shape), tuple(out["kl"].shape)
    ((2, 28, 28, 1), (2, 3))

    Reference:
        Gregor et al. 2015, arXiv:1502.04623. Differs from the paper in: the
        constant of the KL, T dim(z) / 2 where the paper prints T / 2; windows
        that start as an even tiling of the image.
    """

    def __init__(
        self,
        num_steps=10,
        latent_size=100,
        units=256,
        read_size=2,
        write_size=5,
        image_shape=(28, 28, 1),
        attention=True,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_steps = checks.positive_integer("num_steps", num_steps)
        self.latent_size = checks.positive_integer("latent_size", latent_size)
        self.units = checks.positive_integer("units", units)
        self.read_size = checks.positive_integer("read_size", read_size)
        self.write_size = checks.positive_integer("write_size", write_size)
        self.image_shape = checks.positive_integers(
            "image_shape", image_shape, 3
        )
        self.attention = checks.flag("attention", attention)
        if attention:
            for name in ("read_size", "write_size"):
                _check_fits(name, getattr(self, name), *self.image_shape[:2])
        self.seed = checks.seed(seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        # ops.scan does not compile with XLA on TensorFlow.
        self.supports_jit = keras.config.backend() != "tensorflow"
        self._add_layers()
        self.reconstruction = keras.metrics.Mean(name="reconstruction")
        self.kl = keras.metrics.Mean(name="kl")

    def _add_layers(self):
        height, width, channels = self.image_shape
        self.encoder = keras.layers.LSTMCell(self.units, name="encoder")
        self.decoder = keras.layers.LSTMCell(self.units, name="decoder")
        self.latent = keras.layers.Dense(2 * self.latent_size, name="latent")
        if not self.attention:
            self.head = keras.layers.Dense(math.prod(self.image_shape))
            return
        # One product gives the window that writes now, what it writes, and
        # the window that reads next: all three see the same state.
        patch = self.write_size**2 * channels
        tilings = [
            tiling(size, height, width)
            for size in (self.read_size, self.write_size)
        ]
        start = np.concatenate([*tilings, np.zeros(patch)])
        self.head = keras.layers.Dense(
            10 + patch,
            bias_initializer=lambda shape, dtype=None: ops.cast(start, dtype),
            name="head",
        )

    def build(self, images_shape=None):
        if images_shape is not None:
            self._check_shape(images_shape)
        pixels = math.prod(self.image_shape)
        patch = self.read_size**2 * self.image_shape[2]
        seen = 2 * (patch if self.attention else pixels)
        for layer, width in (
            (self.encoder, seen + self.units),
            (self.latent, self.units),
            (self.decoder, self.latent_size),
            (self.head, self.units),
        ):
            layer.build((None, width))
        for name, shape in (
            ("first_canvas", self.image_shape),
            ("first_encoder_state", (self.units,)),
            ("first_decoder_state", (self.units,)),
        ):
            weight = self.add_weight(
                name=name, shape=shape, initializer="zeros"
            )
            setattr(self, name, weight)
        self.built = True

    def call(self, images, noise=None, training=None):
        images, noise = self._checked(images, noise)
        steps = ops.eye(self.num_steps, dtype="float32")

        def step(carry, here):
            state, kl, log_ratio = carry
            eps, this_step = here
            state, (mean, log_std) = self._encode(images, state)
            latent, ratio = _draw(mean, log_std, eps)
            state = self._decode(latent, state)
            nats = losses.kl_standard_normal(mean, log_std)
            kl = kl + nats[:, None] * this_step
            return (state, kl, log_ratio + ratio), None

        batch = ops.shape(noise)[1]
        first = (
            self._first(batch),
            ops.zeros((batch, self.num_steps), "float32"),
            ops.zeros((batch,), "float32"),
        )
        (state, kl, log_ratio), _ = ops.scan(step, first, (noise, steps))
        logits = ops.cast(state["canvas"], "float32")
        return {"logits": logits, "kl": kl, "log_ratio": log_ratio}

    def trace(self, images, noise=None):
        """Draw images and keep what happens at every step.

        Args:
            images: Images, shape (B, H, W, C).
            noise: Standard normal, shape (T, B, latent_size); None draws it.

        Returns:
            A dict: `canvases` (B, T, H, W, C), logits; `kl` (B, T); and, with
            attention, `read_windows` and `write_windows` (B, T, 5), the
            `params` of `attnlib.ops.gaussian_filterbank`.

        Raises:
            ValueError: The model is not built, or images or noise have another
                shape.
        """
        checks.built(self, "trace")
        images, noise = self._checked(images, noise)

        def step(carry, eps):
            state, _, _ = carry
            read = state["head"]
            state, (mean, log_std) = self._encode(images, state)
            latent, _ = _draw(mean, log_std, eps)
            state = self._decode(latent, state)
            carry = (state, read, losses.kl_standard_normal(mean, log_std))
            # TensorFlow's scan wants what comes out in the shape of what is
            # carried.
            return carry, carry

        batch = ops.shape(noise)[1]
        state = self._first(batch)
        first = (state, state["head"], ops.zeros((batch,), "float32"))
        _, (states, heads, kl) = ops.scan(step, first, noise)
        story = self._story(states)
        if self.attention:
            story["read_windows"] = _steps(heads)[..., :5]
        return {**story, "kl": ops.transpose(kl)}

    def generate(self, noise):
        """Draw new images from the prior: nothing is read.

        Args:
            noise: The latent variables, standard normal, shape (T, B,
                latent_size); or a number of images, for which they are drawn.

        Returns:
            A dict: `canvases` (B, T, H, W, C), logits, and, with attention,
            `write_windows` (B, T, 5).

        Raises:
            ValueError: The model is not built, or the noise has another shape.
        """
        checks.built(self, "generate")
        if isinstance(noise, int):
            noise = self.draw_noise(checks.positive_integer("noise", noise))
        noise = self._checked_noise(noise)

        def step(state, latent):
            state = self._decode(latent, state)
            return state, state

        _, states = ops.scan(step, self._first(ops.shape(noise)[1]), noise)
        return self._story(states)

    def iwae(self, images, samples=None, noise=None):
        """Return the importance-weighted bound on log p(x) in nats.

        It is log mean_k w_k of K samples with w = p(x | z) p(z) / q(z | x):
        for K = 1 the evidence lower bound (with a sampled KL), and tighter
        the more samples there are.

        Args:
            images: Images, shape (B, H, W, C).
            samples: Number of samples K; None: as many as in `noise`.
            noise: Standard normal, shape (K, T, B, latent_size); None draws
                it.

        Returns:
            `(bound, log_weights)`: (B,) and log w (B, K). The mean of
            `log_weights` over K estimates the evidence lower bound.

        Raises:
            ValueError: Neither `samples` nor `noise` is given, or they do not
                agree.
        """
        if samples is None and noise is not None:
            samples = len(noise)
        samples = checks.positive_integer("samples", samples)
        if noise is not None and len(noise) != samples:
            raise ValueError(
                f"expected noise for {samples} samples. Received: noise for "
                f"{len(noise)}"
            )
        weights = []
        for k in range(samples):
            out = self(images, noise=None if noise is None else noise[k])
            nats = bernoulli_nats(images, out["logits"])
            weights.append(out["log_ratio"] - nats)
        log_weights = ops.stack(weights, axis=1)
        bound = ops.logsumexp(log_weights, axis=1) - math.log(samples)
        return bound, log_weights

    def draw_noise(self, batch):
        """Return standard normal numbers, shape (T, batch, latent_size)."""
        shape = (self.num_steps, batch, self.latent_size)
        return keras.random.normal(shape, seed=self.seed_generator)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Return the mean of the negative evidence lower bound, nats.

        Args:
            x: The images.
            y: Not used: the images are their own targets.
            y_pred: What the call returned.
            sample_weight: Not used.
            training: Not used.
        """
        reconstruction = ops.mean(bernoulli_nats(x, y_pred["logits"]))
        kl = ops.mean(ops.sum(y_pred["kl"], axis=1))
        count = ops.shape(y_pred["kl"])[0]
        self.reconstruction.update_state(reconstruction, sample_weight=count)
        self.kl.update_state(kl, sample_weight=count)
        return reconstruction + kl

    def _first(self, batch):
        """Return the state before the first step, learned biases."""

        def repeat(weight):
            value = ops.cast(weight, self.compute_dtype)
            return ops.broadcast_to(value, (batch, *weight.shape))

        nothing = ops.zeros((batch, self.units), self.compute_dtype)
        decoder = repeat(self.first_decoder_state)
        return {
            "canvas": repeat(self.first_canvas),
            "encoder": repeat(self.first_encoder_state),
            "encoder_cell": nothing,
            "decoder": decoder,
            "decoder_cell": nothing,
            "head": self.head(decoder),
        }

    def _encode(self, images, state):
        """Read the image; return the next state, and mean and log std of z."""
        seen = self._read(images, state)
        _, (hidden, cell) = self.encoder(
            ops.concatenate([seen, state["decoder"]], axis=-1),
            [state["encoder"], state["encoder_cell"]],
        )
        latent = ops.cast(self.latent(hidden), "float32")
        split = latent[:, : self.latent_size], latent[:, self.latent_size :]
        return {**state, "encoder": hidden, "encoder_cell": cell}, split

    def _decode(self, latent, state):
        """Return the state after a step that draws `latent` (B, Z)."""
        _, (hidden, cell) = self.decoder(
            ops.cast(latent, self.compute_dtype),
            [state["decoder"], state["decoder_cell"]],
        )
        head = self.head(hidden)
        return {
            **state,
            "decoder": hidden,
            "decoder_cell": cell,
            "head": head,
            "canvas": state["canvas"] + self._write(head),
        }

    def _read(self, images, state):
        """Return what is seen of the image and of what is left to draw."""
        drawn = ops.sigmoid(state["canvas"])
        if self.attention:
            height, width, _ = self.image_shape
            filters = gaussian_filterbank(
                state["head"][:, :5], self.read_size, height, width
            )
            # Reading is linear: the difference of what is read is what is
            # read of the difference, of fewer numbers.
            images, drawn = (
                filterbank_read(one, *filters) for one in (images, drawn)
            )
        both = ops.concatenate([images, images - drawn], axis=-1)
        size = math.prod(both.shape[1:])
        return ops.reshape(both, (-1, size))

    def _write(self, head):
        """Return what is added to the canvas, (B, H, W, C)."""
        height, width, channels = self.image_shape
        if not self.attention:
            return ops.reshape(head, (-1, *self.image_shape))
        size = self.write_size
        patch = ops.reshape(head[:, 10:], (-1, size, size, channels))
        filters = gaussian_filterbank(head[:, 5:10], size, height, width)
        return filterbank_write(patch, *filters)

    def _story(self, states):
        """Return what is shown of the states of all steps."""
        found = {"canvases": ops.cast(_steps(states["canvas"]), "float32")}
        if self.attention:
            found["write_windows"] = _steps(states["head"])[..., 5:10]
        return found

    def _checked(self, images, noise):
        images = checks.floating("images", images, self.compute_dtype)
        self._check_shape(images.shape)
        if noise is None:
            return images, self.draw_noise(ops.shape(images)[0])
        noise = self._checked_noise(noise)
        checks.same("batch sizes", images=images.shape[0], noise=noise.shape[1])
        return images, noise

    def _check_shape(self, shape):
        if tuple(shape[1:]) != self.image_shape:
            sizes = ", ".join(map(str, self.image_shape))
            raise ValueError(
                f"expected images of shape (B, {sizes}). Received: shape "
                f"{tuple(shape)}"
            )

    def _checked_noise(self, noise):
        noise = checks.floating("noise", noise, "float32")
        shape = tuple(noise.shape)
        wanted = (self.num_steps, self.latent_size)
        if len(shape) != 3 or (shape[0], shape[2]) != wanted:
            raise ValueError(
                f"expected noise of shape ({wanted[0]}, B, {wanted[1]}). "
                f"Received: shape {shape}"
            )
        return noise

    def get_config(self):
        return {
            **super().get_config(),
            "num_steps": self.num_steps,
            "latent_size": self.latent_size,
            "units": self.units,
            "read_size": self.read_size,
            "write_size": self.write_size,
            "image_shape": list(self.image_shape),
            "attention": self.attention,
            "seed": self.seed,
        }


@keras.saving.register_keras_serializable(package="attnlib")
class DrawReader(keras.Model):
    """Name an image after reading it through a moving window.

    DRAW's encoder without the drawing. Per glimpse t:

    1. r_t = read(x, h_{t-1}), (B, N N C): the window is a Dense of h_{t-1}
    2. h_t = LSTM(r_t), (B, units)

    and after the last glimpse logits = Lin(h_T). Where it looks is
    differentiable, so cross-entropy alone teaches it, without REINFORCE.

    Args:
        num_glimpses: Glimpses T, at least 1.
        read_size: Filters N along each axis of the window.
        num_classes: Number of classes.
        units: Width of the LSTM.
        **kwargs: Of `keras.Model`.

    Call arguments:
        images: Floating tensor, shape (B, H, W, C), at least N pixels a side.

    Returns:
        A dict: `logits` (B, num_classes); `answers` (B, T, num_classes), the
        logits if it had to stop after each glimpse; `windows` (B, T, 5), the
        `params` of `attnlib.ops.gaussian_filterbank`.

    Raises:
        ValueError: An argument is out of range, or the image is smaller than
            the window or has other channels than the model was built for.

    Example:

    >>> import numpy as np
    >>> from attnlib.models.draw import DrawReader
    >>> model = DrawReader(num_glimpses=3, read_size=5, units=16)
    >>> out = model(np.zeros((2, 40, 40, 1), "float32"))
    >>> tuple(out["logits"].shape), tuple(out["windows"].shape)
    ((2, 10), (2, 3, 5))

    Reference:
        Gregor et al. 2015, arXiv:1502.04623, section 4.1. Differs from the
        paper in: a window that starts as an even tiling of the image.
    """

    def __init__(
        self, num_glimpses=8, read_size=12, num_classes=10, units=256, **kwargs
    ):
        super().__init__(**kwargs)
        for name, value in (
            ("num_glimpses", num_glimpses),
            ("read_size", read_size),
            ("num_classes", num_classes),
            ("units", units),
        ):
            setattr(self, name, checks.positive_integer(name, value))
        self.encoder = keras.layers.LSTMCell(self.units, name="encoder")
        self.classifier = keras.layers.Dense(
            self.num_classes, name="classifier"
        )
        self.error = keras.metrics.Mean(name="error")

    def build(self, images_shape):
        checks.shape_rank("images", images_shape, 4)
        height, width = checks.known_size("images", images_shape)
        _check_fits("read_size", self.read_size, height, width)
        self.channels = images_shape[3]
        start = tiling(self.read_size, height, width)
        self.window = keras.layers.Dense(
            5,
            bias_initializer=lambda shape, dtype=None: ops.cast(start, dtype),
            name="window",
        )
        self.window.build((None, self.units))
        self.encoder.build((None, self.read_size**2 * images_shape[3]))
        self.classifier.build((None, self.units))
        self.built = True

    def call(self, images, training=None):
        images = checks.floating("images", images, self.compute_dtype)
        checks.rank("images", images, 4)
        checks.same("channels", images=images.shape[3], model=self.channels)
        height, width = checks.known_size("images", images.shape)
        _check_fits("read_size", self.read_size, height, width)
        batch, size = ops.shape(images)[0], self.read_size
        hidden = ops.zeros((batch, self.units), images.dtype)
        cell = ops.zeros_like(hidden)
        answers, windows = [], []
        for _ in range(self.num_glimpses):
            window = self.window(hidden)
            filters = gaussian_filterbank(window, size, height, width)
            patch = filterbank_read(images, *filters)
            patch = ops.reshape(patch, (-1, size**2 * images.shape[3]))
            _, (hidden, cell) = self.encoder(patch, [hidden, cell])
            windows.append(window)
            answers.append(self.classifier(hidden))
        return {
            "logits": answers[-1],
            "answers": ops.stack(answers, axis=1),
            "windows": ops.stack(windows, axis=1),
        }

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Return the mean cross-entropy after the last glimpse, nats."""
        logits = ops.cast(y_pred["logits"], "float32")
        labels = ops.cast(ops.reshape(y, (-1,)), "int32")
        wrong = ops.not_equal(ops.argmax(logits, axis=-1), labels)
        self.error.update_state(ops.cast(wrong, "float32"))
        return ops.mean(
            keras.losses.sparse_categorical_crossentropy(
                labels, logits, from_logits=True
            )
        )

    def get_config(self):
        return {
            **super().get_config(),
            "num_glimpses": self.num_glimpses,
            "read_size": self.read_size,
            "num_classes": self.num_classes,
            "units": self.units,
        }


def bernoulli_nats(images, logits):
    """Return -log p(image) under independent Bernoulli pixels.

    Args:
        images: Values in [0, 1], shape (B, ...).
        logits: Logits of the probabilities, the same shape.

    Returns:
        Nats, shape (B,), summed over all axes but the first, float32.
    """
    images = ops.cast(images, "float32")
    # softplus(l) - x l keeps its precision where a sigmoid would be 0 or 1.
    nats = ops.softplus(logits) - images * logits
    return ops.sum(nats, axis=tuple(range(1, len(nats.shape))))


def tiling(size, height, width):
    """Return window parameters that cover an image evenly, shape (5,).

    An untrained window of the paper's parameters, all 0, puts its outermost
    filters at the borders, which for N = 2 is all that there is of it.

    Args:
        size: Filters N along each axis.
        height: Height of the image in pixels.
        width: Width of the image in pixels.

    Returns:
        (gx~, gy~, log s2, log d~, log gamma): filters W / N pixels apart,
        with a standard deviation of half of that.
    """
    side = max(height, width)
    stride = side / size
    largest = max(side - 1, 1) / max(size - 1, 1)
    return np.array(
        [0, 0, 2 * math.log(stride / 2), math.log(stride / largest), 0]
    )


def _draw(mean, log_std, noise):
    """Return z (B, Z) and log p(z) - log q(z) (B,)."""
    latent = mean + ops.exp(log_std) * noise
    ratio = 0.5 * (ops.square(noise) - ops.square(latent)) + log_std
    return latent, ops.sum(ratio, axis=-1)


def _steps(tensor):
    """Swap the axes of steps and batch."""
    return ops.swapaxes(tensor, 0, 1)


def _check_fits(name, size, height, width):
    if size > min(height, width):
        raise ValueError(
            f"expected images of at least {size}x{size} pixels, the {name} of "
            f"the window. Received: images of {height}x{width} pixels"
        )
