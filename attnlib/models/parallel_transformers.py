"""Spatial transformers side by side, which share what reads their windows."""

import keras
import numpy as np
from keras import ops

from attnlib.models import counting
from attnlib.ops import checks
from attnlib.ops.grids import affine_grid, attention_matrix, cell_middles
from attnlib.ops.sampling import bilinear_sample

VERSION = 2  # Raised when trained results change.

HEADS = ("expected", "dense")

_KERNEL = 5  # Of the localisation network's convolutions.
_HABIT_WIDTH = 0.4  # Of a window's first habit, in half sides of the image.


@keras.saving.register_keras_serializable(package="attnlib")
class ParallelTransformers(keras.Model):
    """Classify images by a few small windows that the network chooses.

    1. The localisation network sees the image averaged down and gives the
       middles (x, y) of N windows, (B, N, 2), by one of two heads.
       `"expected"`: one map a window, m_n = a 1x1 convolution of the features
       plus a habit, a learned map that is the same for all images;
       (x, y)_n = sum over the cells of softmax(m_n) times the cell's middle.
       While the network learns, the habit may fade and the rest grow sharp.
       `"dense"`: (x, y)_n = (1 - s) tanh(two Dense layers), the paper's layers
       with a bound, so that no window leaves the image.
    2. Windows of the fixed scale s at those middles, read bilinearly:
       (B, N, crop, crop, C).
    3. One reader, a convolutional network, gives features of every window,
       (B, N, units). They are put side by side, and a Dense layer gives the
       logits.

    While training, windows pay for what they share: the loss has
    `overlap_penalty` times the mean of `shared` over all pairs. Without it two
    windows may settle on the same part, where nothing that they see tells
    them of another one.

    Windows begin where they tile the image. Without transformers the whole
    image, brought to the size of a crop, is what the reader sees.

    Args:
        transformers: Number N of windows; 0 for the whole image instead.
        num_classes: Number of classes.
        scale: Side of a window as a part of the image's, above 0, up to 1.
        crop: Height and width in pixels at which a window is read.
        head: `"expected"` or `"dense"`.
        filters: Filters of the reader's first convolution. Each further one
            has twice as many, up to four times.
        convolutions: The reader's 3x3 convolutions, with 2x2 max-pooling
            between them and the maximum over all places behind the last.
        units: Features of a window.
        dropout: Share of the features that is dropped while training.
        localization_filters: Filters of the first of the localisation
            network's two 5x5 convolutions; the second has twice as many.
        localization_pool: Pixels a side that are averaged before them.
        overlap_penalty: Weight of the penalty on overlap, in nats; 0 for
            none.
        habit_updates: Calls with `training=True` over which habits fade: their
            weight w falls from 1 to 0 in equal steps, and windows come to look
            for something wherever it is, not in a region of their own. 0:
            habits stay, w = 1. Only the head `"expected"` has habits.
        sharpness: What the convolution is multiplied by once habits have
            faded, k; before, by w + (1 - w) k. The larger it is, the less a
            window lies between two things. Without effect while w is 1.
        **kwargs: Of `keras.Model`.

    Call arguments:
        images: Floating tensor, shape (B, H, W, C). The sides must be known.

    Returns:
        Logits, shape (B, num_classes).

    Convention:
        Middles are (x, y) in [-1, 1], (-1, -1) the top-left corner; a window
        ends at its middle plus and minus `scale`. What lies outside of the
        image is 0.

    Raises:
        ValueError: An argument is out of range, or images are smaller than
            the networks need.

    Example:

    >>> import numpy as np
    >>> from attnlib.models.parallel_transformers import ParallelTransformers
    >>> model = ParallelTransformers(2, num_classes=16)
    >>> images = np.zeros((3, 56, 56, 1), "float32")
    >>> tuple(model(images).shape), tuple(model.places(images).shape)
    ((3, 16), (3, 2, 2))

    Reference:
        Jaderberg et al. 2015, arXiv:1506.02025, section 4.3 and appendix A.
        Differs from the paper in: small networks from scratch in place of
        Inception; one reader for all windows in place of one each; the head
        `"expected"` with its habits, the bound on the middles and the penalty
        on overlap, which the paper does not have.
    """

    def __init__(
        self,
        transformers=2,
        num_classes=16,
        scale=0.4,
        crop=24,
        head="expected",
        filters=16,
        convolutions=3,
        units=64,
        dropout=0.0,
        localization_filters=8,
        localization_pool=2,
        overlap_penalty=1.0,
        habit_updates=0,
        sharpness=1.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.transformers = _not_negative("transformers", transformers)
        self.num_classes = checks.positive_integer("num_classes", num_classes)
        self.scale = checks.positive_number("scale", scale)
        if self.scale > 1:
            raise ValueError(f"expected scale of at most 1. Received: {scale}")
        self.crop = checks.positive_integer("crop", crop)
        self.head = checks.one_of("head", head, HEADS)
        self.filters = checks.positive_integer("filters", filters)
        self.convolutions = checks.positive_integer(
            "convolutions", convolutions
        )
        self.units = checks.positive_integer("units", units)
        self.dropout = checks.dropout(dropout)
        self.localization_filters = checks.positive_integer(
            "localization_filters", localization_filters
        )
        self.localization_pool = checks.positive_integer(
            "localization_pool", localization_pool
        )
        self.overlap_penalty = checks.non_negative_number(
            "overlap_penalty", overlap_penalty
        )
        self.habit_updates = _not_negative("habit_updates", habit_updates)
        self.sharpness = checks.positive_number("sharpness", sharpness)
        least = 2 ** (self.convolutions - 1)
        if self.crop < least:
            raise ValueError(
                f"expected crop of at least {least} pixels for "
                f"{self.convolutions} convolutions. Received: {crop}"
            )
        # XLA's convolutions are slower than TensorFlow's own on CPUs.
        self.supports_jit = keras.config.backend() != "tensorflow"

    def build(self, images_shape):
        checks.shape_rank("images", images_shape, 4)
        self.sides = checks.known_size("images", images_shape)
        self.channels = images_shape[-1]
        if self.transformers:
            self._build_localization()
        self.reader = keras.Sequential(self._reader_layers(), name="reader")
        self.reader.build((None, self.crop, self.crop, self.channels))
        self.classifier = keras.layers.Dense(self.num_classes, name="logits")
        self.classifier.build((None, max(1, self.transformers) * self.units))
        self.built = True

    def _reader_layers(self):
        layers = []
        for number in range(self.convolutions):
            filters = self.filters * 2 ** min(number, 2)
            if number:
                layers.append(keras.layers.MaxPooling2D(2))
            layers.append(_convolution(filters, 3))
        return [
            *layers,
            keras.layers.GlobalMaxPooling2D(),
            keras.layers.Dropout(self.dropout),
            keras.layers.Dense(self.units, "leaky_relu"),
        ]

    def _build_localization(self):
        pool, few = self.localization_pool, self.localization_filters
        if min(self.sides) < 2 * pool:
            height, width = self.sides
            raise ValueError(
                f"expected images of at least {2 * pool}x{2 * pool} pixels "
                f"for a localization_pool of {pool}. Received: images of "
                f"{height}x{width} pixels"
            )
        # A bias would make an empty background differ from what is outside of
        # the image, and maps would know the border from afar.
        layers = [
            keras.layers.AveragePooling2D(pool),
            _convolution(few, _KERNEL, use_bias=False),
            keras.layers.MaxPooling2D(2),
            _convolution(2 * few, _KERNEL, use_bias=False),
        ]
        start = tiles(self.transformers)
        if self.head == "expected":
            layers.append(keras.layers.Conv2D(self.transformers, 1))
            self.cells = cell_middles(*(s // pool // 2 for s in self.sides))
            far = np.square(self.cells[:, None] - start).sum(-1)  # (L, N)
            self.habit = self.add_weight(
                name="localization_habit",
                shape=far.shape,
                initializer=keras.initializers.Constant(
                    -far / (2 * _HABIT_WIDTH**2)
                ),
            )
            if self.habit_updates:
                self.updates = counting.scalar(self, "updates")
        else:
            inside = np.clip(start / max(1 - self.scale, 1e-6), -0.99, 0.99)
            layers += [
                keras.layers.Flatten(),
                keras.layers.Dense(self.units, "leaky_relu"),
                keras.layers.Dense(
                    inside.size,
                    kernel_initializer="zeros",
                    bias_initializer=keras.initializers.Constant(
                        np.arctanh(inside).ravel()
                    ),
                ),
            ]
        self.localization = keras.Sequential(layers, name="localization")
        self.localization.build((None, *self.sides, self.channels))

    def call(self, images, training=None):
        if not self.transformers:
            return self.classify(self.crops(images), training=training)
        places = self.places(images)
        if training and self.head == "expected" and self.habit_updates:
            self.updates.assign(
                ops.minimum(self.updates + 1, self.habit_updates)
            )
        if training and self.transformers > 1 and self.overlap_penalty:
            overlap = ops.mean(shared(places, self.scale))
            self.add_loss(self.overlap_penalty * overlap)
        return self.classify(self.read(images, places), training=training)

    def places(self, images):
        """Return the middles (x, y) of the windows, shape (B, N, 2).

        Raises:
            ValueError: The model has no transformer, or images have another
                size than it was built for.
        """
        if not self.transformers:
            raise ValueError(
                "expected a model with transformers. Received: one with "
                "transformers=0"
            )
        images = self._checked(images)
        found = self.localization(images)
        # Half precision cannot tell the pixels of a large image apart.
        found = ops.cast(found, checks.compute_dtype(self.compute_dtype))
        if self.head == "dense":
            found = ops.reshape(found, (-1, self.transformers, 2))
            return (1 - self.scale) * ops.tanh(found)
        maps = ops.reshape(found, (-1, *self.habit.shape))  # (B, L, N)
        habit = ops.cast(self.habit, maps.dtype)
        if self.habit_updates:
            left = 1 - self.updates / self.habit_updates
            left = ops.cast(left, maps.dtype)
            maps = (left + (1 - left) * self.sharpness) * maps + left * habit
        else:
            maps = maps + habit
        cells = ops.cast(self.cells, maps.dtype)
        return ops.einsum("bln,lc->bnc", ops.softmax(maps, axis=1), cells)

    def read(self, images, places):
        """Return what lies in windows, shape (B, N, crop, crop, C).

        Args:
            images: Floating tensor, shape (B, H, W, C).
            places: Middles of N windows, shape (B, N, 2).

        Raises:
            ValueError: `places` has another shape, or images have another
                size than the model was built for.
        """
        images = self._checked(images)
        places = ops.convert_to_tensor(places)
        checks.rank("places", places, 3)
        checks.last_axis("places", places, 2)
        count, side = places.shape[1], self.crop
        flat = ops.reshape(places, (-1, 2))
        scale = ops.full_like(flat[:, :1], self.scale)
        theta = attention_matrix(ops.concatenate([scale, flat], axis=-1))
        grid = affine_grid(theta, side, side)  # (B N, crop, crop, 2)
        # One tall grid an image: images are not copied for their windows.
        grid = ops.reshape(grid, (-1, count * side, side, 2))
        seen = bilinear_sample(images, grid)
        return ops.reshape(seen, (-1, count, side, side, self.channels))

    def crops(self, images):
        """Return what the reader sees, shape (B, max(N, 1), crop, crop, C)."""
        if self.transformers:
            return self.read(images, self.places(images))
        whole = ops.image.resize(
            self._checked(images),
            (self.crop, self.crop),
            interpolation="bilinear",
            antialias=True,
            data_format="channels_last",
        )
        return whole[:, None]

    def classify(self, crops, training=None):
        """Return logits (B, num_classes) of windows (B, N, crop, crop, C).

        Raises:
            ValueError: `crops` has another shape.
        """
        count = max(1, self.transformers)
        expected = (count, self.crop, self.crop, self.channels)
        if tuple(crops.shape[1:]) != expected:
            raise ValueError(
                f"expected crops of shape (B, {', '.join(map(str, expected))})"
                f". Received: {tuple(crops.shape)}"
            )
        # All windows go through the reader as one batch.
        flat = ops.reshape(crops, (-1, *expected[1:]))
        features = self.reader(flat, training=training)
        features = ops.reshape(features, (-1, count * self.units))
        return self.classifier(features)

    def _checked(self, images):
        images = checks.floating("images", images, self.compute_dtype)
        checks.rank("images", images, 4)
        height, width = self.sides
        checks.same("channels", images=images.shape[3], model=self.channels)
        checks.same("heights", images=images.shape[1], model=height)
        checks.same("widths", images=images.shape[2], model=width)
        return images

    def compute_output_shape(self, images_shape):
        return (images_shape[0], self.num_classes)

    def get_config(self):
        return {
            **super().get_config(),
            "transformers": self.transformers,
            "num_classes": self.num_classes,
            "scale": self.scale,
            "crop": self.crop,
            "head": self.head,
            "filters": self.filters,
            "convolutions": self.convolutions,
            "units": self.units,
            "dropout": self.dropout,
            "localization_filters": self.localization_filters,
            "localization_pool": self.localization_pool,
            "overlap_penalty": self.overlap_penalty,
            "habit_updates": self.habit_updates,
            "sharpness": self.sharpness,
        }


def _not_negative(name, value):
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(
            f"expected {name} to be a whole number of at least 0. Received: "
            f"{value!r}"
        )
    return value


def _convolution(filters, size, use_bias=True):
    return keras.layers.Conv2D(
        filters,
        size,
        padding="same",
        use_bias=use_bias,
        # A plain rectifier can die in all places at once, behind a maximum.
        activation="leaky_relu",
        kernel_initializer="he_normal",
    )


def shared(places, scale):
    """Return the part of a window that each pair of windows shares.

    Args:
        places: Middles of at least two windows, floating (B, N, 2).
        scale: Side of the windows, as a part of the image's.

    Returns:
        Tensor (B, N (N - 1) / 2), 0 to 1.

    Example:

    >>> import numpy as np
    >>> from attnlib.models.parallel_transformers import shared
    >>> places = np.array([[[0.0, 0.0], [0.5, 0.0]]], "float32")
    >>> np.array(shared(places, 0.5)).tolist()
    [[0.5]]
    """
    first, second = np.triu_indices(places.shape[1], 1)
    apart = ops.take(places, first, axis=1) - ops.take(places, second, axis=1)
    # A window is 2 scale wide in coordinates from -1 to 1.
    kept = ops.relu(1 - ops.abs(apart) / (2 * scale))
    return ops.prod(kept, axis=-1)


def tiles(count):
    """Return the middles (x, y) of windows that tile an image, (count, 2).

    Row by row, in as many columns as rows or one more.

    Example:

    >>> from attnlib.models.parallel_transformers import tiles
    >>> tiles(2).tolist()
    [[-0.5, 0.0], [0.5, 0.0]]
    """
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    row, column = np.divmod(np.arange(count), columns)
    x = (2 * column + 1) / columns - 1
    y = (2 * row + 1) / rows - 1
    return np.stack([x, y], axis=1).astype("float32")
