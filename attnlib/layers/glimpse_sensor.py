"""The sensor of recurrent glimpse models."""

import keras

from attnlib.layers.base import AttentionLayer
from attnlib.ops import checks
from attnlib.ops.glimpses import extract_glimpses


@keras.saving.register_keras_serializable(package="attnlib")
class GlimpseSensor(AttentionLayer):
    """Cut a retina-like glimpse from an image around a location.

    The sensor sees `scales` square windows around the location, each twice as
    wide as the last and all reduced to `size` pixels: sharp in the middle,
    coarse around it. It has no weights and passes no gradient to the location.

    Args:
        size: Width of a glimpse in pixels, at least 1.
        scales: Number of windows, at least 1.
        **kwargs: Of `keras.layers.Layer`.

    Call arguments:
        images: Floating tensor, shape (B, H, W, C).
        locations: Floating tensor of (x, y) in [-1, 1], shape (B, 2).

    Returns:
        Glimpses, shape (B, scales, size, size, C).

    Convention:
        (-1, -1) is the top-left corner; see `attnlib.ops.extract_glimpses`.

    Raises:
        ValueError: `size` or `scales` is no positive integer, or a rank, size
            or dtype of the inputs is wrong.

    Example:

    >>> import numpy as np
    >>> from attnlib.layers import GlimpseSensor
    >>> images = np.ones((2, 28, 28, 1), "float32")
    >>> locations = np.zeros((2, 2), "float32")
    >>> tuple(GlimpseSensor(8, scales=3)(images, locations).shape)
    (2, 3, 8, 8, 1)

    Reference:
        Mnih et al. 2014, arXiv:1406.6247, section 3.1. Differs from the paper
        in: nothing known; the paper does not say how windows are reduced.
    """

    def __init__(self, size, scales=1, **kwargs):
        # No autocast: a float16 location cannot tell the pixels of a large
        # image apart.
        super().__init__(autocast=False, **kwargs)
        self.size = checks.positive_integer("size", size)
        self.scales = checks.positive_integer("scales", scales)
        self.supports_masking = True

    def build(self, images_shape, locations_shape):
        _check_shapes(images_shape, locations_shape)
        self.built = True

    def call(self, images, locations):
        images = checks.floating("images", images, self.compute_dtype)
        return extract_glimpses(images, locations, self.size, self.scales)

    def compute_output_shape(self, images_shape, locations_shape):
        _check_shapes(images_shape, locations_shape)
        return (
            images_shape[0],
            self.scales,
            self.size,
            self.size,
            images_shape[3],
        )

    def get_config(self):
        return {
            **super().get_config(),
            "size": self.size,
            "scales": self.scales,
        }


def _check_shapes(images_shape, locations_shape):
    checks.shape_rank("images", images_shape, 4)
    checks.shape_rank("locations", locations_shape, 2)
