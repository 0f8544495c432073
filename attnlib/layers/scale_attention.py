"""Attention over scales for segmentation."""

import keras

from attnlib.layers.base import AttentionLayer
from attnlib.layers.initializers import fresh
from attnlib.ops import checks
from attnlib.ops.scales import merge_scales


@keras.saving.register_keras_serializable(package="attnlib")
class ScaleAttention(AttentionLayer):
    """Merge score maps of several scales, pixel by pixel.

    A segmentation network sees an image at several scales. Big objects are
    best seen at the coarse ones, small ones at the fine ones: a small network
    looks at the features and says at every pixel which scale to believe.

    1. h = conv 1x1 to S (ReLU(conv 3x3 to U (features))), shape (B, H, W, S)
    2. weights w^s = softmax of h over the scales, (B, S, H, W) (equation 2)
    3. merged g = sum_s w^s f^s, shape (B, H, W, K) (1)

    Args:
        units: Filters U of the 3x3 convolution, at least 1; the paper has 512.
        kernel_initializer: For both convolutions. With zeros the scales are
            averaged.
        **kwargs: Of `keras.layers.Layer`.

    Call arguments:
        score_maps: Floating tensor, shape (B, S, H, W, K): scores of K classes
            at S scales, resized to one grid.
        features: Floating tensor, shape (B, H, W, F): features of all scales,
            resized to the same grid and concatenated.

    Returns:
        `(merged, weights)`: shapes (B, H, W, K) and (B, S, H, W). Weights sum
        to 1 over the scales.

    Raises:
        ValueError: `units` is no positive integer, or a rank, size or dtype of
            the inputs is wrong.

    Example:

    >>> import numpy as np
    >>> from attnlib.layers import ScaleAttention
    >>> score_maps = np.ones((2, 3, 8, 9, 5), "float32")
    >>> features = np.ones((2, 8, 9, 6), "float32")
    >>> merged, weights = ScaleAttention(4)(score_maps, features)
    >>> tuple(merged.shape), tuple(weights.shape)
    ((2, 8, 9, 5), (2, 3, 8, 9))

    Reference:
        Chen et al. 2016, arXiv:1511.03339, section 3.2. Differs from the paper
        in: no dropout between the convolutions.
    """

    def __init__(self, units, kernel_initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        self.units = checks.positive_integer("units", units)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.supports_masking = True
        self.hidden = self._convolution(
            self.units, 3, activation="relu", name="hidden"
        )

    def _convolution(self, filters, size, **options):
        return keras.layers.Conv2D(
            filters,
            size,
            padding="same",
            data_format="channels_last",
            kernel_initializer=fresh(self.kernel_initializer),
            dtype=self.dtype_policy,
            **options,
        )

    def build(self, score_maps_shape, features_shape):
        _check_shapes(score_maps_shape, features_shape)
        checks.widths(features=features_shape)
        self.scales = score_maps_shape[1]
        if self.scales is None:
            raise ValueError(
                "expected the number of scales to be known when the layer is "
                f"built. Received: score_maps of shape {score_maps_shape}"
            )
        checks.positive_integer("the number of scales", self.scales)
        self.scorer = self._convolution(self.scales, 1, name="scorer")
        self.hidden.build(features_shape)
        self.scorer.build((*features_shape[:-1], self.units))
        self.built = True

    def call(self, score_maps, features):
        dtype = self.compute_dtype
        score_maps = checks.floating("score_maps", score_maps, dtype)
        features = checks.floating("features", features, dtype)
        checks.rank("score_maps", score_maps, 5)
        checks.rank("features", features, 4)
        checks.last_axis("features", features, self.hidden.kernel.shape[2])
        _check_sizes(tuple(score_maps.shape), tuple(features.shape))
        checks.same(
            "numbers of scales",
            score_maps=score_maps.shape[1],
            layer=self.scales,
        )
        return merge_scales(score_maps, self.scorer(self.hidden(features)))

    def compute_output_shape(self, score_maps_shape, features_shape):
        _check_shapes(score_maps_shape, features_shape)
        batch, scales, height, width, classes = score_maps_shape
        return (
            (batch, height, width, classes),
            (batch, scales, height, width),
        )

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
        }


def _check_shapes(score_maps_shape, features_shape):
    checks.shape_rank("score_maps", score_maps_shape, 5)
    checks.shape_rank("features", features_shape, 4)
    _check_sizes(score_maps_shape, features_shape)


def _check_sizes(score_maps, features):
    for what, first, second in (
        ("batch sizes", 0, 0),
        ("heights", 2, 1),
        ("widths", 3, 2),
    ):
        checks.same(
            what, score_maps=score_maps[first], features=features[second]
        )
