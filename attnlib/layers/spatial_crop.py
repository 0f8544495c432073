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
    at the middle of the image, whatever the state is. With a `scale_range`
    (low, high) the windows are bounded and stay within the image: of the
    numbers (a, b, c) = W h + b

        s = low (high / low)^sigmoid(a),   t = (1 - s) (tanh(b), tanh(c)).

    The grid is computed in
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
        scale_range: The smallest and the largest s, 0 < low < high <= 1, with
            `initial_scale` between them; None for windows without bounds.
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
        window is chosen by `initial_scale`, and windows may be bounded.
    """

    def __init__(
        self,
        output_size,
        initial_scale=1.0,
        padding="zeros",
        align_corners=False,
        scale_range=None,
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
        self.scale_range = _checked_range(scale_range, self.initial_scale)
        self.supports_masking = True
        bias = np.array([self._first_number(), 0, 0], "float32")
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
        theta = attention_matrix(self.window(state))
        rounded = ops.cast(theta, self.compute_dtype)
        return self.crop(images, rounded), rounded

    def window(self, state):
        """Return the window (s, tx, ty) that a state asks for, shape (B, 3).

        Args:
            state: Floating tensor, shape (B, U).
        """
        numbers = self.regressor(state)
        return numbers if self.scale_range is None else self.bounded(numbers)

    def bounded(self, numbers):
        """Return windows within the `scale_range` and the image.

        Args:
            numbers: (a, b, c), any numbers, shape (B, 3).

        Returns:
            (s, tx, ty), shape (B, 3).
        """
        return self.within(
            ops.sigmoid(numbers[:, :1]), ops.tanh(numbers[:, 1:])
        )

    def within(self, size, place):
        """Return windows of the `scale_range` that lie in the image.

        Args:
            size: 0 for the smallest, 1 for the largest window, its logarithm
                between, shape (B, 1).
            place: Where of the room that such a window has, from -1 to 1, shape
                (B, 2).

        Returns:
            (s, tx, ty), shape (B, 3).
        """
        low, high = self.scale_range
        scale = low * (high / low) ** size
        return ops.concatenate([scale, (1 - scale) * place], axis=1)

    def crop(self, images, theta):
        """Crop images at windows that are known, shape (B, h, w, C).

        Args:
            images: Floating tensor, shape (B, H, W, C).
            theta: Affine maps of the windows, shape (B, 2, 3).
        """
        theta = ops.cast(theta, self.regressor.compute_dtype)
        grid = affine_grid(theta, *self.output_size, self.align_corners)
        return bilinear_sample(images, grid, self.padding, self.align_corners)

    def _first_number(self):
        """Return the bias that gives the `initial_scale`."""
        if self.scale_range is None:
            return self.initial_scale
        low, high = self.scale_range
        share = np.log(self.initial_scale / low) / np.log(high / low)
        return np.log(share / (1 - share))

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
            "scale_range": self.scale_range,
        }


def _checked_range(scale_range, initial_scale):
    if scale_range is None:
        return None
    try:
        low, high = (float(value) for value in scale_range)
        good = 0 < low < initial_scale < high <= 1
    except (TypeError, ValueError):
        good = False
    if not good:
        raise ValueError(
            "expected scale_range as (low, high), 0 < low < high <= 1, with "
            f"initial_scale ({initial_scale:g}) between them. Received: "
            f"{scale_range!r}"
        )
    return low, high


def _check_shapes(images_shape, state_shape):
    checks.shape_rank("images", images_shape, 4)
    checks.shape_rank("state", state_shape, 2)
