"""Saliency at a glance, then refined window by window (RACDNN)."""

import keras
import numpy as np
from keras import ops

from attnlib.layers import SpatialCrop, SpatialPaste
from attnlib.models.scale_segmentation import (
    PixelModel,
    check_masks,
    check_sizes,
    resized,
)
from attnlib.ops import checks
from attnlib.ops.grids import attention_matrix

VERSION = 1  # Raised when trained results change.

WINDOWS = ("learned", "random")


class _SaliencyModel(PixelModel):
    """What both networks share: masks are 0 or 1."""

    def check_masks(self, images, masks):
        """Raise unless masks belong to images and are 0 or 1.

        Args:
            images: Array (N, H, W, 3).
            masks: Integers (N, H, W).

        Raises:
            ValueError: They do not, or are not.
        """
        check_masks(images, masks, 2, ignore=None)


@keras.saving.register_keras_serializable(package="attnlib")
class GlobalSaliency(_SaliencyModel):
    """A convolution-deconvolution network that sees the whole image, small.

    1. The image is resized to `size`, bilinearly.
    2. Convolutions in steps of 2 halve it `halvings` times, transposed ones
       undo that; nothing is passed by the bottleneck.
    3. The map of logits is resized to the image, bilinearly.

    The loss is the mean binary cross entropy per pixel.

    Args:
        size: Height and width of what the network sees, a multiple of
            2^halvings.
        filters: Width of the first convolution.
        halvings: How often the image is halved.
        **kwargs: Of `keras.Model`.

    Call arguments:
        images: Floating (B, H, W, 3) in [0, 1]; H and W are known.

    Returns:
        Logits of "this pixel is salient", float32 (B, H, W, 1).

    Raises:
        ValueError: An argument is out of range, or the images have another
            rank.

    Example:

    >>> import numpy as np
    >>> from attnlib.models.saliency_refiner import GlobalSaliency
    >>> model = GlobalSaliency(16, filters=2)
    >>> tuple(model(np.zeros((1, 32, 40, 3), "float32")).shape)
    (1, 32, 40, 1)

    Reference:
        Kuen et al. 2016, arXiv:1604.03227 (the global CNN-DecNN). Differs from
        the paper in: small, and not pre-trained on ImageNet.
    """

    def __init__(self, size=48, filters=16, halvings=3, **kwargs):
        super().__init__(**kwargs)
        self.size = checks.positive_integer("size", size)
        self.filters = checks.positive_integer("filters", filters)
        self.halvings = checks.positive_integer("halvings", halvings)
        _check_halvings("size", size, halvings)
        self.encoder = encoder(filters, halvings)
        self.decoder = decoder(filters, halvings)
        # XLA makes slower convolutions than TensorFlow's own on CPUs.
        self.supports_jit = keras.config.backend() != "tensorflow"

    def build(self, images_shape):
        checks.shape_rank("images", images_shape, 4)
        seen = (None, self.size, self.size, images_shape[-1])
        self.channels = images_shape[-1]
        build_chain([*self.encoder, *self.decoder], seen)
        self.built = True

    def check(self, images):
        """Check the rank of images and their channels.

        Raises:
            ValueError: They are others than the model was built for.
        """
        checks.rank("images", images, 4)
        checks.last_axis("images", images, self.channels)

    def call(self, images, training=None):
        images = checks.floating("images", images, self.compute_dtype)
        self.check(images)
        x = resized(images, (self.size, self.size))
        for layer in [*self.encoder, *self.decoder]:
            x = layer(x)
        whole = tuple(images.shape[1:3])
        return resized(ops.cast(x, "float32"), whole)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Return the mean binary cross entropy of a pixel, in nats.

        Args:
            x: Not used.
            y: Masks, 0 or 1, (B, H, W).
            y_pred: What the call returned.
            sample_weight: Not used.
            training: Not used.

        Raises:
            ValueError: Masks have another size than the images.
        """
        check_sizes(y_pred.shape, y.shape)
        return ops.mean(pixel_nats(y, y_pred[..., 0]))

    def get_config(self):
        return {
            **super().get_config(),
            "size": self.size,
            "filters": self.filters,
            "halvings": self.halvings,
        }


@keras.saving.register_keras_serializable(package="attnlib")
class SaliencyRefiner(_SaliencyModel):
    """Refine a global saliency map in one window after another.

    1. S_0 = the global map, logits, (B, H, W, 1); it learns no more.
    2. h2_0 from S_0, reduced: where there may be something to refine.

    Then for t = 1 ... T, with shapes for B images:

    3. theta_t = (s, tx, ty) of h2_{t-1}, (B, 3): a window inside the image
    4. crop of the image and of the running map S_{t-1}, (B, h, w, 4)
    5. e_t = convolutions of the crop
    6. h1_t = GRU((e_t, theta_t), h1_{t-1}), (B, units): what has been seen
    7. local map = transposed convolutions of e_t and h1_t, (B, h, w, 1)
    8. S_t = S_{t-1} + the local map, put back in the window's place
    9. h2_t = GRU((h1_t, theta_t), h2_{t-1}), (B, units): where to look next

    All of it is differentiable, the windows too. The loss is the mean binary
    cross entropy per pixel, averaged over S_1 ... S_T.

    The local network has the size and, untrained, the weights of the global
    one: it begins as the same network, on a window instead of the image.

    Args:
        overview: A `GlobalSaliency`, trained.
        num_steps: Number T of windows.
        units: Width of both recurrent layers.
        scale_range: Smallest and largest window, as shares of the image's
            width, and `initial_scale` between them.
        initial_scale: The first window of an untrained network.
        windows: `"learned"`, or `"random"`: scales even over the octaves of
            the range, places even over the image.
        recurrent: Whether h1 and h2 are passed on. Without, each step starts
            from zeros; S_t is still passed on, and the first window still
            comes from h2_0.
        seed: Of random windows.
        **kwargs: Of `keras.Model`.

    Call arguments:
        images: Floating (B, H, W, 3) in [0, 1]; H and W are known. Or a dict of
            `images` and, perhaps, `noise`, uniform in [0, 1), (B, T, 3), of
            random windows, drawn otherwise; or `places`, (B, T, 3), the
            (s, tx, ty) to look at instead of the network's own. Either says
            the number of steps.

    Returns:
        A dict of `logits`, float32 (B, T + 1, H, W), the maps S_0 to S_T, and
        `windows`, float32 (B, T, 3), (s, tx, ty) of every step.

    Raises:
        ValueError: An argument is out of range, or images or noise have
            another shape.

    Example:

    >>> import numpy as np
    >>> from attnlib.models.saliency_refiner import (
    ...     GlobalSaliency, SaliencyRefiner)
    >>> overview = GlobalSaliency(16, filters=2)
    >>> model = SaliencyRefiner(overview, 2, units=4)
    >>> out = model(np.zeros((1, 32, 32, 3), "float32"))
    >>> tuple(out["logits"].shape), tuple(out["windows"].shape)
    ((1, 3, 32, 32), (1, 2, 3))

    Reference:
        Kuen, Wang and Wang 2016, arXiv:1604.03227. Differs from the paper in:
        networks are small and their own; the recurrent layers are GRUs;
        windows are bounded; the first one comes from the global map; every map
        is judged, not the last alone.
    """

    def __init__(
        self,
        overview,
        num_steps=5,
        units=64,
        scale_range=(0.15, 0.7),
        initial_scale=0.5,
        windows="learned",
        recurrent=True,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not isinstance(overview, GlobalSaliency):
            raise ValueError(
                "expected overview to be a GlobalSaliency. Received: "
                f"{overview!r}"
            )
        self.overview = overview
        self.overview.trainable = False
        self.num_steps = checks.positive_integer("num_steps", num_steps)
        self.units = checks.positive_integer("units", units)
        self.scale_range = tuple(scale_range)
        self.initial_scale = initial_scale
        self.windows = checks.one_of("windows", windows, WINDOWS)
        self.recurrent = checks.flag("recurrent", recurrent)
        self.seed = checks.seed(seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self._add_layers()
        # ops.scan does not compile with XLA on TensorFlow.
        self.supports_jit = keras.config.backend() != "tensorflow"
        self.last = keras.metrics.Mean(name="last")

    def _add_layers(self):
        dense, units = keras.layers.Dense, self.units
        side = self.overview.size
        filters, halvings = self.overview.filters, self.overview.halvings
        self.window_crop = SpatialCrop(
            (side, side),
            self.initial_scale,
            scale_range=self.scale_range,
            name="crop",
        )
        self.encoder = encoder(filters, halvings)
        self.decoder = decoder(filters, halvings)
        self.code = dense(units, "relu", name="code")
        self.reader = keras.layers.GRUCell(units, name="reader")
        # It says nothing at first.
        self.context = dense(
            filters * 2 ** (halvings - 1),
            kernel_initializer="zeros",
            name="context",
        )
        self.guide = keras.layers.GRUCell(units, name="guide")
        self.glance = dense(2 * units, "relu", name="glance")
        self.glance_out = dense(units, "tanh", name="glance_out")
        if self.windows == "random":
            for layer in (self.guide, self.glance, self.glance_out):
                layer.trainable = False
            self.window_crop.trainable = False

    def build(self, images_shape):
        checks.shape_rank("images", images_shape, 4)
        _, height, width, channels = images_shape
        if not self.overview.built:
            self.overview.build(images_shape)
        self.sides = height, width
        side, units = self.overview.size, self.units
        crop = (None, side, side, channels + 1)
        *grid, features = build_chain(self.encoder, crop)[1:]
        build_chain(self.decoder, (None, *grid, features))
        self.window_crop.build(
            (None, height, width, channels + 1), (None, units)
        )
        self.paste = SpatialPaste((height, width), name="paste")
        self.code.build((None, grid[0] * grid[1] * features))
        self.reader.build((None, units + 3))
        self.context.build((None, units))
        self.guide.build((None, units + 3))
        self.glance.build((None, _GLANCE**2))
        self.glance_out.build((None, 2 * units))
        self._begin_as_overview()
        self.built = True

    def _begin_as_overview(self):
        """Give the local network the weights of the global one."""
        mine = [*self.encoder, *self.decoder]
        whole = [*self.overview.encoder, *self.overview.decoder]
        for layer, other in zip(mine, whole, strict=True):
            kernel, bias = other.get_weights()
            # The running map is one more channel of the crop.
            more = np.zeros(layer.kernel.shape, "float32")
            more[tuple(map(slice, kernel.shape))] = kernel
            layer.set_weights([more, bias])

    def call(self, images, training=None):
        images, noise, places = self._checked(images)
        given = places is not None
        first_map = self.overview(images, training=False)
        batch = ops.shape(images)[0]
        first = (
            first_map,
            ops.zeros((batch, self.units), self.compute_dtype),
            self.glance_at(first_map),
            ops.zeros((batch, 3), "float32"),
        )

        def step(carry, here):
            window = here if given else self.decide(carry, here)
            after = self.refine(images, carry, window)
            # TensorFlow's scan wants what comes out in the shape of what is
            # carried.
            return after, after

        along = ops.transpose(places if given else noise, (1, 0, 2))
        _, (maps, _, _, windows) = ops.scan(step, first, along)
        maps = ops.concatenate([first_map[None], maps], axis=0)[..., 0]
        return {
            "logits": ops.transpose(maps, (1, 0, 2, 3)),
            "windows": ops.transpose(windows, (1, 0, 2)),
        }

    def check(self, images):
        """Check the size of images and their channels.

        Raises:
            ValueError: They are others than the model was built for.
        """
        self.overview.check(images)
        height, width = self.sides
        checks.same("heights", images=images.shape[1], model=height)
        checks.same("widths", images=images.shape[2], model=width)

    def _checked(self, inputs):
        """Return images, noise and places, the last or both None."""
        inputs = inputs if isinstance(inputs, dict) else {"images": inputs}
        images = checks.floating("images", inputs["images"], self.compute_dtype)
        self.check(images)
        noise, places = inputs.get("noise"), inputs.get("places")
        if noise is None and places is None:
            shape = (ops.shape(images)[0], self.num_steps, 3)
            noise = keras.random.uniform(shape, seed=self.seed_generator)
        for name, given in (("noise", noise), ("places", places)):
            if given is not None:
                given = checks.floating(name, given, "float32")
                checks.rank(name, given, 3)
                checks.last_axis(name, given, 3)
                checks.same(
                    "batch sizes",
                    **{"images": images.shape[0], name: given.shape[0]},
                )
        return images, noise, places

    def glance_at(self, logits):
        """Return h2_0, what the global map says about where to look."""
        small = resized(ops.sigmoid(logits), (_GLANCE, _GLANCE))
        small = ops.reshape(small, (-1, _GLANCE**2))
        small = ops.cast(small, self.compute_dtype)
        return self.glance_out(self.glance(small))

    def decide(self, state, noise):
        """Return where to look next, (s, tx, ty), float32 (B, 3).

        Args:
            state: (S, h1, h2, window) before the step.
            noise: Uniform, (B, 3), of a random window.
        """
        if self.windows == "learned":
            return ops.cast(self.window_crop.window(state[2]), "float32")
        return self.window_crop.within(noise[:, :1], 2 * noise[:, 1:] - 1)

    def refine(self, images, state, window):
        """Look through a window and add what is found to the map.

        Args:
            images: (B, H, W, C).
            state: (S, h1, h2, window) before the step.
            window: (s, tx, ty), float32 (B, 3).

        Returns:
            (S, h1, h2, window) after it.
        """
        logits, seen, guiding, _ = state
        theta = attention_matrix(window)
        map_ = ops.cast(ops.sigmoid(logits), images.dtype)
        both = ops.concatenate([images, map_], axis=-1)
        x = self.window_crop.crop(both, theta)
        for layer in self.encoder:
            x = layer(x)
        where = ops.cast(window, x.dtype)
        code = self.code(ops.reshape(x, (-1, self.code.kernel.shape[0])))
        if not self.recurrent:
            seen, guiding = ops.zeros_like(seen), ops.zeros_like(guiding)
        seen, _ = self.reader(ops.concatenate([code, where], axis=1), seen)
        x = ops.relu(x + self.context(seen)[:, None, None])
        for layer in self.decoder:
            x = layer(x)
        change = self.paste(ops.cast(x, "float32"), theta)
        guiding, _ = self.guide(ops.concatenate([seen, where], axis=1), guiding)
        return logits + change, seen, guiding, window

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Return the mean binary cross entropy of S_1 ... S_T, in nats.

        Args:
            x: Not used.
            y: Masks, 0 or 1, (B, H, W).
            y_pred: What the call returned.
            sample_weight: Not used.
            training: Not used.

        Raises:
            ValueError: Masks have another size than the images.
        """
        logits = y_pred["logits"][:, 1:]
        count, steps, height, width = logits.shape
        check_sizes((count, height, width, steps), y.shape)
        y = ops.cast(y, logits.dtype)[:, None]
        nats = ops.mean(pixel_nats(y, logits), axis=(0, 2, 3))  # (T,)
        self.last.update_state(nats[-1])
        return ops.mean(nats)

    def get_config(self):
        return {
            **super().get_config(),
            "overview": keras.saving.serialize_keras_object(self.overview),
            "num_steps": self.num_steps,
            "units": self.units,
            "scale_range": self.scale_range,
            "initial_scale": self.initial_scale,
            "windows": self.windows,
            "recurrent": self.recurrent,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config):
        overview = keras.saving.deserialize_keras_object(config["overview"])
        return cls(**{**config, "overview": overview})


_GLANCE = 12  # side of the global map that says where to look


def pixel_nats(mask, logits):
    """Return the binary cross entropy of each pixel, in nats.

    Args:
        mask: 0 or 1, any shape that broadcasts.
        logits: Floating.
    """
    mask = ops.cast(mask, logits.dtype)
    return ops.softplus(logits) - mask * logits


def encoder(filters, halvings):
    """Return convolutions that halve an image, the first 5x5, and one more."""
    widths = [filters * 2**n for n in range(halvings)]
    layers = [
        _convolution(width, 3 if n else 5, 2) for n, width in enumerate(widths)
    ]
    return [*layers, _convolution(widths[-1], 3, 1)]


def decoder(filters, halvings):
    """Return transposed convolutions that undo an encoder's halvings."""
    layers = [
        _transposed(filters * 2**n, "relu", "he_normal")
        for n in reversed(range(halvings - 1))
    ]
    return [*layers, _transposed(1, None, "glorot_uniform")]


def _convolution(width, size, stride):
    return keras.layers.Conv2D(
        width,
        size,
        strides=stride,
        padding="same",
        activation="relu",
        kernel_initializer="he_normal",
        data_format="channels_last",
    )


def _transposed(width, activation, initializer):
    return keras.layers.Conv2DTranspose(
        width,
        4,
        strides=2,
        padding="same",
        activation=activation,
        kernel_initializer=initializer,
        data_format="channels_last",
    )


def build_chain(layers, shape):
    """Build layers one after the other; return the shape of what comes out."""
    for layer in layers:
        layer.build(shape)
        shape = layer.compute_output_shape(shape)
    return shape


def _check_halvings(name, size, halvings):
    if size % 2**halvings:
        raise ValueError(
            f"expected {name} as a multiple of {2**halvings}, to be halved "
            f"{halvings} times. Received: {size}"
        )
