"""DRAW's reader: a patch of an image through a grid of Gaussians."""

import keras

from attnlib.layers.placed_window import PlacedWindow
from attnlib.ops import checks
from attnlib.ops.filterbanks import filterbank_read, gaussian_filterbank


@keras.saving.register_keras_serializable(package="attnlib")
class ReadAttention(PlacedWindow):
    """Read an N x N patch through Gaussian filters that a state places.

    The filters form a grid whose centre, stride, width and intensity are five
    numbers, so that reading is differentiable in where it looks, and as sharp
    or as coarse as the state wants.

    1. (gx~, gy~, log s2, log d~, log gamma) = W h + b, (B, 5) (equation 21)
    2. F_x (B, N, W), F_y (B, N, H) = Gaussians at these places (19, 20, 22-26)
    3. patch = gamma F_y x F_x^T for every channel, (B, N, N, C) (27)

    DRAW reads the image and what it has yet to draw through one window: give
    both as channels of one tensor. The window is computed in at least float32,
    whatever the layer's dtype is.

    Args:
        size: Filters N along each axis, at least 1.
        kernel_initializer: For W.
        bias_initializer: For b; with zeros, an untrained window spans the
            image.
        **kwargs: Of `keras.layers.Layer`.

    Call arguments:
        images: Floating tensor, shape (B, H, W, C), H and W known.
        state: Floating tensor, shape (B, U).

    Returns:
        Patches, shape (B, N, N, C).

    Convention:
        Of `attnlib.ops.gaussian_filterbank`.

    Raises:
        ValueError: `size` is no positive integer, or a rank, size or dtype of
            the inputs is wrong.

    Example:

    >>> import numpy as np
    >>> from attnlib.layers import ReadAttention
    >>> images = np.ones((2, 28, 28, 1), "float32")
    >>> state = np.ones((2, 16), "float32")
    >>> tuple(ReadAttention(5)(images, state).shape)
    (2, 5, 5, 1)

    Reference:
        Gregor et al. 2015, arXiv:1502.04623, section 3.2. Differs from the
        paper in: limits on the window's parameters, far beyond any use, that
        keep everything finite.
    """

    def build(self, images_shape, state_shape):
        _check_shapes(images_shape, state_shape)
        checks.known_size("images", images_shape)
        checks.widths(state=state_shape)
        self.regressor.build(state_shape)
        self.built = True

    def call(self, images, state):
        images = checks.floating("images", images, self.compute_dtype)
        checks.rank("images", images, 4)
        params = self.window(state)
        checks.same(
            "batch sizes", images=images.shape[0], state=params.shape[0]
        )
        height, width = checks.known_size("images", images.shape)
        filters = gaussian_filterbank(params, self.size, height, width)
        return filterbank_read(images, *filters)

    def compute_output_shape(self, images_shape, state_shape):
        _check_shapes(images_shape, state_shape)
        return (images_shape[0], self.size, self.size, images_shape[3])


def _check_shapes(images_shape, state_shape):
    checks.shape_rank("images", images_shape, 4)
    checks.shape_rank("state", state_shape, 2)
