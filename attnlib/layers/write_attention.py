"""DRAW's writer: a patch put into an image through a grid of Gaussians."""

import keras
from keras import ops

from attnlib.layers.placed_window import PlacedWindow
from attnlib.ops import checks
from attnlib.ops.filterbanks import filterbank_write, gaussian_filterbank


@keras.saving.register_keras_serializable(package="attnlib")
class WriteAttention(PlacedWindow):
    """Write an N x N patch through Gaussian filters that a state places.

    State gives both what is written and where. The window has parameters of
    its own: DRAW does not write where it reads.

    1. patch w = W_w h + b_w, shape (B, N, N, C) (equation 28)
    2. (gx~, gy~, log s2, log d~, log gamma) = W h + b, shape (B, 5) (21)
    3. F_x (B, N, W), F_y (B, N, H) = Gaussians at these places (19, 20, 22-26)
    4. image = F_y^T w F_x / gamma for every channel, (B, H, W, C) (29)

    The window is computed in at least float32, whatever the layer's dtype is.

    Args:
        size: Filters N along each axis, at least 1.
        image_shape: Shape (H, W, C) of the image that is written.
        kernel_initializer: For W and W_w.
        bias_initializer: For b and b_w; with zeros, an untrained window spans
            the image.
        **kwargs: Of `keras.layers.Layer`.

    Call arguments:
        state: Floating tensor, shape (B, U).

    Returns:
        Images, shape (B, H, W, C), to be added to a canvas. `get_weights()`
        lists W (U, 5), b (5,), W_w (U, N N C) and b_w (N N C,).

    Convention:
        Of `attnlib.ops.gaussian_filterbank`.

    Raises:
        ValueError: `size` or a size in `image_shape` is no positive integer,
            or the rank, size or dtype of the input is wrong.

    Example:

    >>> import numpy as np
    >>> from attnlib.layers import WriteAttention
    >>> state = np.ones((2, 16), "float32")
    >>> tuple(WriteAttention(5, (28, 28, 1))(state).shape)
    (2, 28, 28, 1)

    Reference:
        Gregor et al. 2015, arXiv:1502.04623, section 3.2. Differs from the
        paper in: limits on the window's parameters, far beyond any use, that
        keep everything finite.
    """

    def __init__(
        self,
        size,
        image_shape,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        **kwargs,
    ):
        super().__init__(size, kernel_initializer, bias_initializer, **kwargs)
        self.image_shape = checks.positive_integers(
            "image_shape", image_shape, 3
        )
        self.patch = self._dense(
            self.size**2 * self.image_shape[2], "patch", self.dtype_policy
        )

    def build(self, state_shape):
        _check_shapes(state_shape)
        checks.widths(state=state_shape)
        self.regressor.build(state_shape)
        self.patch.build(state_shape)
        self.built = True

    def call(self, state):
        params = self.window(state)
        height, width, channels = self.image_shape
        patches = self.patch(ops.cast(state, self.compute_dtype))
        patches = ops.reshape(
            patches, (ops.shape(patches)[0], self.size, self.size, channels)
        )
        filters = gaussian_filterbank(params, self.size, height, width)
        return filterbank_write(patches, *filters)

    def compute_output_shape(self, state_shape):
        _check_shapes(state_shape)
        return (state_shape[0], *self.image_shape)

    def get_config(self):
        return {**super().get_config(), "image_shape": list(self.image_shape)}


def _check_shapes(state_shape):
    checks.shape_rank("state", state_shape, 2)
