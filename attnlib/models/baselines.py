"""Networks that attention is compared with: every pixel is paid for.

Their costs are counted in `attnlib.models.costs`; the tests check that the
counts and these networks agree to the last parameter and multiply-add.
"""

import keras
from keras import ops

from attnlib.ops import affine_grid, bilinear_sample, checks

VERSION = 1  # Raised when trained results change.


def fully_connected(side, channels=1, num_classes=10, units=256):
    """Return the fully connected baseline of the RAM paper.

    Args:
        side: Side of the image in pixels.
        channels: Channels of the image.
        num_classes: Number of classes.
        units: Width of both hidden layers; the paper has 64 and 256.

    Returns:
        A `keras.Sequential`: (B, side, side, channels) to logits
        (B, num_classes).

    Reference:
        Mnih et al. 2014, arXiv:1406.6247, section 4.1.
    """
    checks.positive_integer("side", side)
    return keras.Sequential(
        [
            keras.layers.Input((side, side, channels)),
            keras.layers.Flatten(),
            keras.layers.Dense(units, activation="relu"),
            keras.layers.Dense(units, activation="relu"),
            keras.layers.Dense(num_classes),
        ],
        name="fully_connected",
    )


def modern_cnn(side, channels=1, num_classes=10, filters=(32, 64, 128)):
    """Return a small CNN as one would build it today.

    The paper's conv net is small on purpose; this one is the rival that a
    reader would try first. Each block is a 3x3 convolution, batch
    normalisation, ReLU and 2x2 max-pooling; the maximum over all places of
    the last block goes to the classifier, so a digit may be anywhere.

    Args:
        side: Side of the image in pixels, at least 2 per block.
        channels: Channels of the image.
        num_classes: Number of classes.
        filters: Channels of the blocks.

    Returns:
        A `keras.Sequential`: (B, side, side, channels) to logits
        (B, num_classes).

    Raises:
        ValueError: The image is too small to be halved by every block.
    """
    if checks.positive_integer("side", side) < 2 ** len(filters):
        raise ValueError(
            f"expected images of at least {2 ** len(filters)} pixels a side, "
            f"halved by {len(filters)} blocks. Received: {side}"
        )
    blocks = []
    for width in filters:
        blocks += [
            # What is subtracted by normalisation needs no bias.
            keras.layers.Conv2D(width, 3, padding="same", use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.MaxPooling2D(2),
        ]
    return keras.Sequential(
        [
            keras.layers.Input((side, side, channels)),
            *blocks,
            keras.layers.GlobalMaxPooling2D(),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(num_classes),
        ],
        name="modern_cnn",
    )


def addition_conv_net(side, channels=1, num_classes=19):
    """Return the conv net that DRAM is compared with on sums of digits.

    Args:
        side: Side of the image in pixels, at least 22.
        channels: Channels of the image.
        num_classes: Number of classes.

    Returns:
        A `keras.Sequential`: (B, side, side, channels) to logits
        (B, num_classes).

    Raises:
        ValueError: The image is too small for the convolutions.

    Reference:
        Ba et al. 2015, arXiv:1412.7755, table 2: "64-64-64-512". Our reading:
        convolutions of 5x5, 3x3 and 3x3 pixels, each followed by 2x2
        max-pooling, then 512 units.
    """
    if checks.positive_integer("side", side) < 22:
        raise ValueError(
            f"expected images of at least 22 pixels a side. Received: {side}"
        )
    blocks = []
    for kernel in (5, 3, 3):
        blocks += [
            keras.layers.Conv2D(64, kernel, activation="relu"),
            keras.layers.MaxPooling2D(2),
        ]
    return keras.Sequential(
        [
            keras.layers.Input((side, side, channels)),
            *blocks,
            keras.layers.Flatten(),
            keras.layers.Dense(512, activation="relu"),
            keras.layers.Dense(num_classes),
        ],
        name="addition_conv_net",
    )


def small_conv_net(side, channels=1, num_classes=10, initializer=None):
    """Return the convolutional baseline of the RAM paper.

    Args:
        side: Side of the image in pixels, at least 10.
        channels: Channels of the image.
        num_classes: Number of classes.
        initializer: Keras initializer of the weights; None for Glorot's. With
            `"zeros"` a net for a large image is made in no time.

    Returns:
        A `keras.Sequential`: (B, side, side, channels) to logits
        (B, num_classes).

    Raises:
        ValueError: The image is smaller than the 10x10 filters.

    Reference:
        Mnih et al. 2014, arXiv:1406.6247, section 4.1: 8 filters of 10x10
        pixels in steps of 5, then 256 units.
    """
    if checks.positive_integer("side", side) < 10:
        raise ValueError(
            "expected images of at least 10 pixels a side, the filters'. "
            f"Received: {side}"
        )
    initializer = initializer or "glorot_uniform"
    common = {"kernel_initializer": initializer}
    return keras.Sequential(
        [
            keras.layers.Input((side, side, channels)),
            keras.layers.Conv2D(8, 10, 5, activation="relu", **common),
            keras.layers.Flatten(),
            keras.layers.Dense(256, activation="relu", **common),
            keras.layers.Dense(num_classes, **common),
        ],
        name="small_conv_net",
    )


def pooling_cnn(channels=1, num_classes=10, filters=(16, 32, 64)):
    """Return a CNN that ends in global average pooling.

    Args:
        channels: Channels of the image.
        num_classes: Number of classes.
        filters: Channels of the 3x3 convolutions, each in steps of 2.

    Returns:
        A `keras.Sequential`: images of any size, (B, H, W, channels), to
        logits (B, num_classes).
    """
    return keras.Sequential(
        [
            keras.layers.Input((None, None, channels)),
            *(
                keras.layers.Conv2D(
                    width, 3, 2, padding="same", activation="relu"
                )
                for width in filters
            ),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(num_classes),
        ],
        name="pooling_cnn",
    )


@keras.saving.register_keras_serializable(package="attnlib")
class CropClassifier(keras.Model):
    """Find a crop with a spatial transformer, then classify only that.

    1. An averaged-down copy of the image, (B, thumbnail, thumbnail, C)
    2. Localisation network: two 5x5 convolutions and 20 units -> theta,
       (B, 2, 3), which starts as a centred window of half the image's side
    3. The bilinear sampler takes the crop, (B, crop, crop, C)
    4. The small conv net of `small_conv_net` names it, (B, num_classes)

    Args:
        crop: Side of the crop in pixels, at least 10.
        thumbnail: Side of the averaged-down copy in pixels, at least 16.
        channels: Channels of the image.
        num_classes: Number of classes.
        **kwargs: Of `keras.Model`.

    Call arguments:
        images: Floating tensor, shape (B, H, W, C); H and W are equal and
            multiples of `thumbnail`.

    Returns:
        Logits, shape (B, num_classes).

    Raises:
        ValueError: The image's side is no multiple of the thumbnail's.

    Example:

    >>> import numpy as np
    >>> from attnlib.models.baselines import CropClassifier
    >>> CropClassifier()(np.zeros((1, 64, 64, 1), "float32")).shape[-1]
    10

    Reference:
        Jaderberg et al. 2015, arXiv:1506.02025. Differs from the paper in:
        the localisation network sees a copy of fixed size.
    """

    def __init__(
        self, crop=28, thumbnail=32, channels=1, num_classes=10, **kwargs
    ):
        super().__init__(**kwargs)
        self.crop = checks.positive_integer("crop", crop)
        self.thumbnail = checks.positive_integer("thumbnail", thumbnail)
        self.channels = channels
        self.num_classes = num_classes
        layers = keras.layers
        self.localization = keras.Sequential(
            [
                layers.Input((thumbnail, thumbnail, channels)),
                layers.Conv2D(20, 5, activation="relu"),
                layers.MaxPooling2D(2),
                layers.Conv2D(20, 5, activation="relu"),
                layers.MaxPooling2D(2),
                layers.Flatten(),
                layers.Dense(20, activation="relu"),
                layers.Dense(
                    6,
                    kernel_initializer="zeros",
                    bias_initializer=_half_window,
                ),
            ],
            name="localization",
        )
        self.classifier = small_conv_net(crop, channels, num_classes)
        # Its two children have Input layers and so their weights already.
        self.built = True

    def call(self, images, training=None):
        side = images.shape[1]
        if images.shape[2] != side or side % self.thumbnail:
            raise ValueError(
                "expected square images with a side that is a multiple of "
                f"{self.thumbnail} pixels. Received: shape "
                f"{tuple(images.shape)}"
            )
        step = side // self.thumbnail
        small = ops.average_pool(images, step, step)
        theta = ops.reshape(self.localization(small), (-1, 2, 3))
        grid = affine_grid(theta, self.crop, self.crop)
        return self.classifier(bilinear_sample(images, grid))

    def get_config(self):
        return {
            **super().get_config(),
            "crop": self.crop,
            "thumbnail": self.thumbnail,
            "channels": self.channels,
            "num_classes": self.num_classes,
        }


def _half_window(shape, dtype=None):
    return ops.convert_to_tensor([0.5, 0, 0, 0, 0.5, 0], dtype=dtype)
