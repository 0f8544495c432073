"""Spatial transformer networks: classifiers that first straighten their input.

Also a network that finds, without any labels, what a set of images share.
"""

import math

import keras
import numpy as np
from keras import ops

from attnlib.layers import SpatialTransformer
from attnlib.layers.spatial_transformer import TRANSFORMS
from attnlib.models import counting
from attnlib.ops import checks
from attnlib.ops.grids import affine_grid
from attnlib.ops.sampling import bilinear_sample

VERSION = 1  # Raised when trained results change.

NETWORKS = ("fcn", "cnn")

_FIRST, _SECOND = 9, 7  # Kernels of the convolutional classifier.
_LOCALIZATION_KERNEL, _LOCALIZATION_FILTERS = 5, 20
_SEARCH_UNITS = 64  # Of a co-localiser, which has a larger image to search.


@keras.saving.register_keras_serializable(package="attnlib")
class SpatialTransformerClassifier(keras.Model):
    """Warp images by spatial transformers, then classify the result.

    1. V_k = ST_k(U) for every transformer k, each (B, H, W, C), side by side
       as channels: (B, H, W, K C). Without a transform V = U.
    2. With a transform, V is averaged down by `pool`: a zooming transformer
       reads the image more finely than its pixels, and averaging afterwards
       keeps what plain subsampling would alias.
    3. Classifier. `"fcn"`: two hidden layers. `"cnn"`: 9x9 convolution, 2x2
       max-pooling, 7x7 convolution, 2x2 max-pooling, one hidden layer.

    The localisation network is of the classifier's kind. `"fcn"`: two hidden
    layers of 32 units. `"cnn"`: average of 2x2 pixels, twice a 5x5
    convolution of 20 filters and 2x2 max-pooling, 20 units. The width of the
    classifier's hidden layers follows from `parameters`, so that networks
    with and without transformers have the same size.

    Args:
        network: `"fcn"` or `"cnn"`.
        transform: Of `SpatialTransformer`, or None for no transformer.
        transformers: Number of parallel transformers, each of which sees the
            whole image.
        pool: Pixels a side that are averaged after the transformers.
        num_classes: Number of classes.
        parameters: Number of weights in all; the largest width that stays
            within it is taken.
        filters: Filters of each of the classifier's convolutions.
        **kwargs: Of `keras.Model`.

    Call arguments:
        images: Floating tensor, shape (B, H, W, C). The sides must be known.

    Returns:
        Logits, shape (B, num_classes).

    Raises:
        ValueError: An argument is out of range, images are smaller than the
            convolutions need, or `parameters` is too few for any width.

    Example:

    >>> import numpy as np
    >>> from attnlib.models.stn import SpatialTransformerClassifier
    >>> model = SpatialTransformerClassifier("fcn", "affine")
    >>> tuple(model(np.zeros((2, 28, 28, 1), "float32")).shape)
    (2, 10)
    >>> 399_000 < model.count_params() <= 400_000
    True

    Reference:
        Jaderberg et al. 2015, arXiv:1506.02025, sections 4.1 and 4.3,
        appendix A. Differs from the paper in: widths, which the paper does
        not give; an odd last row is pooled on its own instead of dropped, so
        that the 21x21 pixels left of 42x42 are enough.
    """

    def __init__(
        self,
        network="cnn",
        transform=None,
        transformers=1,
        pool=1,
        num_classes=10,
        parameters=400_000,
        filters=32,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.network = checks.one_of("network", network, NETWORKS)
        if transform is not None:
            checks.one_of("transform", transform, TRANSFORMS)
        self.transform = transform
        self.transformers = checks.positive_integer(
            "transformers", transformers
        )
        self.pool = checks.positive_integer("pool", pool)
        self.num_classes = checks.positive_integer("num_classes", num_classes)
        self.parameters = checks.positive_integer("parameters", parameters)
        self.filters = checks.positive_integer("filters", filters)
        self.warps = []
        if transform is not None:
            self.warps = [
                SpatialTransformer(
                    _localization(network), transform, name=f"transformer_{k}"
                )
                for k in range(self.transformers)
            ]
        self.shrink = keras.layers.AveragePooling2D(self.pool, name="shrink")
        # XLA's convolutions are slower than TensorFlow's own on CPUs.
        self.supports_jit = keras.config.backend() != "tensorflow"

    def build(self, images_shape):
        checks.shape_rank("images", images_shape, 4)
        height, width = checks.known_size("images", images_shape)
        self._check_size(height, width)
        self.sides, self.channels = (height, width), images_shape[-1]
        for warp in self.warps:
            warp.build(images_shape)
        shape = self._seen(images_shape)
        self.classifier = self._classifier(shape)
        self.classifier.build(shape)
        self.built = True

    def _seen(self, images_shape):
        """Return the shape that the classifier sees."""
        batch, height, width, channels = images_shape
        if not self.warps:
            return (batch, height, width, channels)
        size = height // self.pool, width // self.pool
        return (batch, *size, channels * len(self.warps))

    def _check_size(self, height, width):
        least = 1
        if self.network == "cnn":
            # 21 pixels leave 13, 7, 1 and 1.
            least = _FIRST + 2 * _SECOND - 2
        if self.warps:
            least *= self.pool
            if self.network == "cnn":
                # 26 pixels leave 13, 9, 5, 1 and 1.
                least = max(least, 2 * (3 * _LOCALIZATION_KERNEL - 2))
        if min(height, width) < least:
            raise ValueError(
                f"expected images of at least {least}x{least} pixels for this "
                f"{self.network.upper()}. Received: images of "
                f"{height}x{width} pixels"
            )

    def _classifier(self, shape):
        units = self._units(shape)
        dense = keras.layers.Dense
        if self.network == "fcn":
            layers = [
                keras.layers.Flatten(),
                dense(units, "relu"),
                dense(units, "relu"),
            ]
        else:
            layers = [
                *_convolution(self.filters, _FIRST),
                *_convolution(self.filters, _SECOND),
                keras.layers.Flatten(),
                dense(units, "relu"),
            ]
        return keras.Sequential(
            [*layers, dense(self.num_classes, name="logits")],
            name="classifier",
        )

    def _units(self, shape):
        """Return the largest width of hidden layers within `parameters`."""
        _, height, width, channels = shape
        left = self.parameters - self.num_classes
        left -= sum(warp.count_params() for warp in self.warps)
        if self.network == "fcn":
            # left = units^2 + linear units, solved for units.
            linear = height * width * channels + 2 + self.num_classes
            units = (math.isqrt(max(linear**2 + 4 * left, 0)) - linear) // 2
        else:
            for size, inputs in (
                (_FIRST, channels),
                (_SECOND, self.filters),
            ):
                left -= (size**2 * inputs + 1) * self.filters
                height, width = (
                    math.ceil((side - size + 1) / 2) for side in (height, width)
                )
            features = height * width * self.filters
            units = left // (features + 1 + self.num_classes)
        if units < 1:
            raise ValueError(
                f"expected parameters to be enough for a {self.network.upper()}"
                f" of {self.filters} filters and for its {len(self.warps)} "
                f"transformers. Received: {self.parameters}"
            )
        return units

    def call(self, images, training=None):
        checks.rank("images", images, 4)
        checks.same("channels", images=images.shape[3], model=self.channels)
        height, width = self.sides
        checks.same("heights", images=images.shape[1], model=height)
        checks.same("widths", images=images.shape[2], model=width)
        return self.classifier(self.warped(images), training=training)

    def warped(self, images):
        """Return what the classifier sees, shape (B, h, w, K C)."""
        if not self.warps:
            return images
        seen = [warp(images) for warp in self.warps]
        return self.shrink(ops.concatenate(seen, axis=-1))

    def grids(self, images):
        """Return where the transformers read, shape (B, K, H, W, 2).

        Raises:
            ValueError: The model has no transformer.
        """
        self._check_warps()
        return ops.stack([warp.grid(images) for warp in self.warps], axis=1)

    def theta(self, images):
        """Return the transformers' parameters, shape (B, K, n).

        Raises:
            ValueError: The model has no transformer.
        """
        self._check_warps()
        return ops.stack([warp.theta(images) for warp in self.warps], axis=1)

    def _check_warps(self):
        if not self.warps:
            raise ValueError(
                "expected a model with transformers. Received: one with "
                "transform=None"
            )

    def compute_output_shape(self, images_shape):
        return (images_shape[0], self.num_classes)

    def get_config(self):
        return {
            **super().get_config(),
            "network": self.network,
            "transform": self.transform,
            "transformers": self.transformers,
            "pool": self.pool,
            "num_classes": self.num_classes,
            "parameters": self.parameters,
            "filters": self.filters,
        }


def _convolution(filters, size):
    return [
        keras.layers.Conv2D(filters, size, activation="relu"),
        # Zero-padded by no more than an odd row: nothing is dropped.
        keras.layers.MaxPooling2D(2, padding="same"),
    ]


def _localization(network, units=20):
    dense = keras.layers.Dense
    if network == "fcn":
        layers = [keras.layers.Flatten(), dense(32, "relu"), dense(32, "relu")]
    else:
        filters, size = _LOCALIZATION_FILTERS, _LOCALIZATION_KERNEL
        layers = [
            keras.layers.AveragePooling2D(2),
            *_convolution(filters, size),
            *_convolution(filters, size),
            keras.layers.Flatten(),
            dense(units, "relu"),
        ]
    return keras.Sequential(layers, name="localization")


@keras.saving.register_keras_serializable(package="attnlib")
class FactorAdam(keras.optimizers.Adam):
    """Adam whose learning rate differs between parts of a model.

    Scaling the gradients instead would do nothing, since Adam divides by
    their size.

    Args:
        learning_rate: Number or schedule.
        factors: Dict from the beginning of a layer's name to the factor of
            the learning rate of that layer and of all inside it. Elsewhere
            it is 1.
        **kwargs: Of `keras.optimizers.Adam`.

    Raises:
        ValueError: A factor is not a finite number above 0.

    Example:

    >>> from attnlib.models.stn import FactorAdam
    >>> optimizer = FactorAdam(1e-3, factors={"transformer": 0.1})
    >>> optimizer.get_config()["factors"]
    {'transformer': 0.1}

    Reference:
        Jaderberg et al. 2015, arXiv:1506.02025, appendix A: the localisation
        networks learn at a fraction of the rate.
    """

    def __init__(self, learning_rate=1e-3, factors=None, **kwargs):
        super().__init__(learning_rate, **kwargs)
        self.factors = dict(factors or {})
        for name, factor in self.factors.items():
            checks.positive_number(f"factor of {name!r}", factor)

    def update_step(self, gradient, variable, learning_rate):
        factor = 1.0
        # TensorFlow passes its own variables, which have no path but a name.
        path = getattr(variable, "path", None) or variable.name.split(":")[0]
        for part in path.split("/"):
            for name, value in self.factors.items():
                if part.startswith(name):
                    factor = value
        super().update_step(gradient, variable, learning_rate * factor)

    def get_config(self):
        return {**super().get_config(), "factors": self.factors}


@keras.saving.register_keras_serializable(package="attnlib")
class CoLocalizer(keras.Model):
    """Find, without labels, the object that a set of images share.

    For a pair of images n, m of the set and a window at a random place of n:

        max(0, |e(c_n) - e(c_m)|^2 - |e(c_n) - e(r_n)|^2 + margin)

    c is the crop of a spatial transformer, r the random window, e the
    features of a fixed encoder, brought to length 1. Crops of two images
    shall look alike, more than a crop and whatever else is in its image. Only
    the localisation network learns: the place of a window that cannot leave
    the image.

    A small window in the middle touches few of the objects, and windows of
    nothing are all alike: descent from there ends in empty corners. So windows
    start nearly as large as the image, with the object inside, and shrink to
    the size of a crop while the network learns to keep it there.

    Args:
        encoder: Keras model from crops (B, crop, crop, C) to features
            (B, D). It is frozen, and should know objects seen through windows
            of all sizes between.
        crop: Height and width of a crop in pixels.
        start: Side of the first windows, as a part of the image's smaller
            side, above 0 and at most 1.
        shrink_steps: Training steps in which windows shrink, evenly on a
            logarithmic scale; 0: they have the size of a crop at once.
        margin: Squared distance that is enough, up to 4 for features of
            length 1.
        seed: Seed of the random windows, or None.
        **kwargs: Of `keras.Model`.

    Call arguments:
        images: Floating tensor, shape (B, H, W, C), at least as large as a
            crop. In `fit`, all pairs of a batch are compared.
        noise: Floating tensor, shape (B, 2), uniform in [-1, 1]: where the
            random windows are. None draws it.
        training: True counts as one of the `shrink_steps`.

    Returns:
        A dict: `places` (B, 2), the middle (x, y) of each window; `side`, a
        scalar, its height and width in pixels; `crops` (B, crop, crop, C);
        `features` (B, D) of the crops and `others` (B, D) of the random
        windows, which have the size of a crop.

    Raises:
        ValueError: An argument is out of range, or images are smaller than a
            crop.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> from attnlib.models.stn import CoLocalizer
    >>> encoder = keras.Sequential([keras.layers.Flatten()])
    >>> model = CoLocalizer(encoder, start=0.5, shrink_steps=100)
    >>> out = model(np.ones((4, 84, 84, 1), "float32"))
    >>> np.array(out["places"][0]).tolist(), round(float(out["side"]))
    ([0.0, 0.0], 42)

    Reference:
        Jaderberg et al. 2015, arXiv:1506.02025, section 4.4 and appendix A.5.
        Differs from the paper in: the scale follows a schedule and is not
        learned, and windows stay inside; features have length 1; pairs are
        those of a batch.
    """

    def __init__(
        self,
        encoder,
        crop=28,
        start=0.8,
        shrink_steps=0,
        margin=1.0,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.encoder = encoder
        self.encoder.trainable = False
        self.crop = checks.positive_integer("crop", crop)
        self.start = checks.positive_number("start", start)
        if start > 1:
            raise ValueError(f"expected start of at most 1. Received: {start}")
        if shrink_steps:
            checks.positive_integer("shrink_steps", shrink_steps)
        self.shrink_steps = shrink_steps
        self.margin = checks.positive_number("margin", margin)
        self.seed = checks.seed(seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self.localization = _localization("cnn", _SEARCH_UNITS)
        # Windows start in the middle.
        self.place = keras.layers.Dense(
            2, "tanh", kernel_initializer="zeros", name="place"
        )
        self.steps = counting.scalar(self, "steps")

    def build(self, images_shape):
        checks.shape_rank("images", images_shape, 4)
        height, width = checks.known_size("images", images_shape)
        if min(height, width) < self.crop:
            raise ValueError(
                f"expected images of at least {self.crop}x{self.crop} pixels, "
                f"a crop's. Received: images of {height}x{width} pixels"
            )
        self.localization.build(images_shape)
        features = self.localization.compute_output_shape(images_shape)
        self.place.build(features)
        if not self.encoder.built:
            self.encoder.build((None, self.crop, self.crop, images_shape[-1]))
        self.built = True

    def call(self, images, noise=None, training=None):
        height, width = checks.known_size("images", images.shape)
        if noise is None:
            shape = (ops.shape(images)[0], 2)
            noise = keras.random.uniform(
                shape, -1.0, 1.0, seed=self.seed_generator
            )
        side = self.side(height, width)
        if training:
            self.steps.assign(self.steps + 1)
        found = ops.cast(self.place(self.localization(images)), "float32")
        noise = ops.cast(noise, "float32")
        places = found * _reach(side, height, width)
        crops = self.windows(images, places, side)
        elsewhere = noise * _reach(self.crop, height, width)
        return {
            "places": places,
            "side": side,
            "crops": crops,
            "features": self._features(crops),
            "others": self.look(images, elsewhere),
        }

    def look(self, images, places):
        """Return the features (B, D) of windows of a crop's size.

        Args:
            images: Floating tensor, shape (B, H, W, C).
            places: Middles (x, y) of the windows, shape (B, 2).
        """
        return self._features(self.windows(images, places))

    def side(self, height, width):
        """Return how large the windows are now, in pixels, a scalar.

        Args:
            height: Height of the images in pixels.
            width: Their width.
        """
        first = max(self.crop, self.start * min(height, width))
        done = 1.0
        if self.shrink_steps:
            done = ops.minimum(self.steps / self.shrink_steps, 1.0)
        return first * (self.crop / first) ** ops.cast(done, "float32")

    def windows(self, images, places, side=None):
        """Return what lies under windows, shape (B, crop, crop, C).

        Args:
            images: Floating tensor, shape (B, H, W, C).
            places: Middles (x, y) of the windows, shape (B, 2).
            side: Height and width of the windows in pixels, or None for a
                crop's.
        """
        height, width = checks.known_size("images", images.shape)
        side = self.crop if side is None else side
        # Diagonal, apart from the places: [[x, 0], [0, y]].
        parts = np.diag([1 / width, 1 / height]).astype("float32")
        scale = ops.cast(side, "float32") * parts
        scale = ops.tile(scale[None], (ops.shape(images)[0], 1, 1))
        theta = ops.concatenate([scale, places[..., None]], axis=-1)
        grid = affine_grid(theta, self.crop, self.crop)
        return bilinear_sample(images, grid)

    def _features(self, crops):
        found = ops.cast(self.encoder(crops, training=False), "float32")
        square = ops.sum(ops.square(found), axis=-1, keepdims=True)
        # The square root has no gradient at 0.
        return found * ops.rsqrt(square + 1e-6)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Return the mean triplet hinge loss of all pairs, a scalar."""
        return ops.mean(self.triplet(y_pred["features"], y_pred["others"]))

    def triplet(self, own, others):
        """Return each image's mean triplet hinge loss, shape (B,).

        Args:
            own: Features of the crops, shape (B, D), B at least 2.
            others: Features of the random windows, shape (B, D).

        Raises:
            ValueError: There is one image, which has no partner.
        """
        if own.shape[0] == 1:
            raise ValueError(
                "expected features of at least 2 images, to compare them. "
                "Received: 1"
            )
        square = ops.sum(ops.square(own), axis=-1)
        alike = square[:, None] + square - 2 * own @ ops.transpose(own)
        apart = ops.sum(ops.square(own - others), axis=-1)
        hinge = ops.relu(alike - apart[:, None] + self.margin)  # (B, B)
        # An image is no pair with itself.
        count = ops.shape(own)[0]
        hinge = hinge * (1 - ops.eye(count, dtype=hinge.dtype))
        return ops.sum(hinge, axis=-1) / ops.cast(count - 1, hinge.dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "crop": self.crop,
            "start": self.start,
            "shrink_steps": self.shrink_steps,
            "margin": self.margin,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config):
        encoder = keras.saving.deserialize_keras_object(config["encoder"])
        return cls(**{**config, "encoder": encoder})


def _reach(side, height, width):
    """Return how far (x, y) the middle of a window can go, shape (2,)."""
    return 1 - side * np.array([1 / width, 1 / height], "float32")
