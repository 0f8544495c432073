"""A window into an image that a recurrent state moves and scales."""

import keras
import numpy as np
from keras import ops

from attnlib.layers.base import AttentionLayer
from attnlib.ops import checks
from attnlib.ops.grids import affine_grid, attention_matrix
from attnlib.ops.sampling import PADDINGS, bilinear_sample


@keras.saving.register_keras_serializable(package="attnlib")
class SpatialCrop(AttentionLayer):
    """Crop images by the attention transform that a state asks for.

    One half of a recurrent spatial transformer: a state says which window to
    look at, a network works on the crop, and `SpatialPaste` puts its result
    back in the window's place. Several tensors (an image and a feature map)
    are cropped alike when they are channels of one.

    1. (s, tx, ty) = W h + b, shape (B, 3)
    2. theta = [[s, 0, tx], [0, s, ty]], shape (B, 2, 3)
    3. crop = the image at theta . (x, y, 1), bilinear, shape (B, h, w, C)

    W starts at zero and b at (`initial_scale`, 0, 0): an untrained layer looks
    at the middle of the image, whatever the state is. The grid is computed in
    at least float32. theta is rounded to the layer's compute dtype before it
    is used, so that the paste undoes exactly what the crop did; for large
    images in mixed precision give the layer `dtype="float32"`.

    Args:
        output_size: Height and width (h, w) of the crop in pixels.
        initial_scale: Width of the first window as a share of the image's, a
            positive number.
        padding: What lies outside the image: `"zeros"`, or `"border"` for the
            nearest border pixel.
        align_corners: See Convention.
        **kwargs: Of `keras.layers.Layer`.

    Call arguments:
        images: Floating tensor, shape (B, H, W, C).
        state: Floating tensor, shape (B, U).

    Returns:
        `(crops, theta)`: shapes (B, h, w, C) and (B, 2, 3).

    Convention:
        theta maps crop to image coordinates (x, y) in [-1, 1], (-1, -1) the
        top-left; see `attnlib.ops.affine_grid`.

    Raises:
        ValueError: An argument is none of the above, or a rank, size or dtype
            of the inputs is wrong.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> from attnlib.layers import SpatialCrop
    >>> images = np.arange(16.0, dtype="float32").reshape(1, 4, 4, 1)
    >>> state = np.ones((1, 3), "float32")
    >>> crops, theta = SpatialCrop((2, 2), initial_scale=0.5)(images, state)
    >>> keras.ops.convert_to_numpy(crops).round(4).ravel().tolist()
    [5.0, 6.0, 9.0, 10.0]

    Reference:
        Kuen, Wang and Wang 2016, arXiv:1604.03227 (the recurrent attentional
        network's spatial transformer); Jaderberg et al. 2015,
        arXiv:1506.02025, section 3.2. Differs from the paper in: the first
        window is chosen by `initial_scale`.
    """

    def __init__(
        self,
        output_size,
        initial_scale=1.0,
        padding="zeros",
        align_corners=False,
        **kwargs,
    ):
        # No autocast: the state shall reach the transform in full precision.
        super().__init__(autocast=False, **kwargs)
        self.output_size = checks.positive_integers(
            "output_size", output_size, 2
        )
        self.initial_scale = checks.positive_number(
            "initial_scale", initial_scale
        )
        self.padding = checks.one_of("padding", padding, PADDINGS)
        self.align_corners = checks.flag("align_corners", align_corners)
        self.supports_masking = True
        bias = np.array([self.initial_scale, 0, 0], "float32")
        self.regressor = keras.layers.Dense(
            3,
            kernel_initializer="zeros",
            bias_initializer=keras.initializers.Constant(bias),
            dtype=checks.compute_dtype(self.compute_dtype),
            name="regressor",
        )

    def build(self, images_shape, state_shape):
        _check_shapes(images_shape, state_shape)
        checks.widths(state=state_shape)
        self.regressor.build(state_shape)
        self.built = True

    def call(self, images, state):
        images = checks.floating("images", images, self.compute_dtype)
        state = checks.floating("state", state, self.regressor.compute_dtype)
        checks.rank("images", images, 4)
        checks.rank("state", state, 2)
        checks.last_axis("state", state, self.regressor.kernel.shape[0])
        checks.same("batch sizes", images=images.shape[0], state=state.shape[0])
        theta = attention_matrix(self.regressor(state))
        rounded = ops.cast(theta, self.compute_dtype)
        theta = ops.cast(rounded, self.regressor.compute_dtype)
        grid = affine_grid(theta, *self.output_size, self.align_corners)
        crops = bilinear_sample(images, grid, self.padding, self.align_corners)
        return crops, rounded

    def compute_output_shape(self, images_shape, state_shape):
        _check_shapes(images_shape, state_shape)
        batch, _, _, channels = images_shape
        return (batch, *self.output_size, channels), (batch, 2, 3)

    def get_config(self):
        return {
            **super().get_config(),
            "output_size": list(self.output_size),
            "initial_scale": self.initial_scale,
            "padding": self.padding,
            "align_corners": self.align_corners,
        }


def _check_shapes(images_shape, state_shape):
    checks.shape_rank("images", images_shape, 4)
    checks.shape_rank("state", state_shape, 2)
