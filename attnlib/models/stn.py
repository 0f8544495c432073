"""Spatial transformer networks: classifiers that first straighten their input.

Also a network that finds, without any labels, what a set of images share.
"""

import math

import keras
import numpy as np
from keras import ops

from attnlib.layers import SpatialTransformer
from attnlib.layers.spatial_transformer import TRANSFORMS
from attnlib.ops import checks
from attnlib.ops.grids import affine_grid
from attnlib.ops.sampling import bilinear_sample

VERSION = 1  # Raised when trained results change.

NETWORKS = ("fcn", "cnn")

_FIRST, _SECOND = 9, 7  # Kernels of the convolutional classifier.
_LOCALIZATION_KERNEL, _LOCALIZATION_FILTERS = 5, 20


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


def _localization(network):
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
            dense(20, "relu"),
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
    features of a fixed encoder. Crops of two images shall look
    alike, more than a crop and whatever else is in its image. Only the
    localisation network learns: the place of a window of fixed size, which
    cannot leave the image.

    Args:
        encoder: Keras model from crops (B, crop, crop, C) to features
            (B, D). It is frozen.
        crop: Height and width of a crop in pixels.
        margin: Squared distance that is enough. It should be about as large
            as the squared length of an object's features: features of
            nothing are nearly 0, and a far smaller margin would make windows
            of nothing, which are all alike, as good as windows of the object.
        seed: Seed of the random windows, or None.
        **kwargs: Of `keras.Model`.

    Call arguments:
        images: Floating tensor, shape (B, H, W, C), at least as large as a
            crop. In `fit`, image n is paired with image n + 1 of its batch.
        noise: Floating tensor, shape (B, 2), uniform in [-1, 1]: where the
            random windows are. None draws it.

    Returns:
        A dict: `places` (B, 2), the middle (x, y) of each window; `crops`
        (B, crop, crop, C); `features` (B, D) of the crops and `others` (B, D)
        of the random windows.

    Raises:
        ValueError: An argument is out of range, or images are smaller than a
            crop.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> from attnlib.models.stn import CoLocalizer
    >>> encoder = keras.Sequential([keras.layers.Flatten()])
    >>> model = CoLocalizer(encoder)
    >>> out = model(np.ones((4, 84, 84, 1), "float32"))
    >>> np.array(out["places"][0]).tolist()
    [0.0, 0.0]

    Reference:
        Jaderberg et al. 2015, arXiv:1506.02025, section 4.4 and appendix A.5.
        Differs from the paper in: the margin, 1 there, since it depends on
        the encoder; the scale is that of the crop and not learned, and
        windows stay inside; pairs are neighbours in a batch.
    """

    def __init__(self, encoder, crop=28, margin=1.0, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.encoder = encoder
        self.encoder.trainable = False
        self.crop = checks.positive_integer("crop", crop)
        checks.positive_number("margin", margin)
        self.margin, self.seed = margin, checks.seed(seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self.localization = _localization("cnn")
        # Windows start in the middle.
        self.place = keras.layers.Dense(
            2, "tanh", kernel_initializer="zeros", name="place"
        )

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

    def call(self, images, noise=None):
        height, width = checks.known_size("images", images.shape)
        # How far the middle of a window can go, (x, y).
        reach = 1 - np.array([self.crop / width, self.crop / height], "float32")
        if noise is None:
            shape = (ops.shape(images)[0], 2)
            noise = keras.random.uniform(
                shape, -1.0, 1.0, seed=self.seed_generator
            )
        found = ops.cast(self.place(self.localization(images)), "float32")
        places = reach * found
        crops = self.windows(images, places)
        others = self.windows(images, reach * ops.cast(noise, "float32"))
        return {
            "places": places,
            "crops": crops,
            "features": self._features(crops),
            "others": self._features(others),
        }

    def windows(self, images, places):
        """Return what lies under windows, shape (B, crop, crop, C).

        Args:
            images: Floating tensor, shape (B, H, W, C).
            places: Middles (x, y) of the windows, shape (B, 2).
        """
        height, width = checks.known_size("images", images.shape)
        scale = np.diag([self.crop / width, self.crop / height])
        theta = ops.tile(
            ops.convert_to_tensor(scale[None], "float32"),
            (ops.shape(images)[0], 1, 1),
        )
        theta = ops.concatenate([theta, places[..., None]], axis=-1)
        grid = affine_grid(theta, self.crop, self.crop)
        return bilinear_sample(images, grid)

    def _features(self, crops):
        return ops.cast(self.encoder(crops, training=False), "float32")

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Return the mean triplet hinge loss of neighbours, a scalar."""
        return ops.mean(self.triplet(y_pred["features"], y_pred["others"]))

    def triplet(self, own, others):
        """Return the triplet hinge loss of each image, shape (B,).

        Args:
            own: Features of the crops, shape (B, D).
            others: Features of the random windows, shape (B, D).
        """
        alike = ops.sum(ops.square(own - ops.roll(own, -1, axis=0)), axis=-1)
        apart = ops.sum(ops.square(own - others), axis=-1)
        return ops.relu(alike - apart + self.margin)

    def get_config(self):
        return {
            **super().get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "crop": self.crop,
            "margin": self.margin,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config):
        encoder = keras.saving.deserialize_keras_object(config["encoder"])
        return cls(**{**config, "encoder": encoder})
