"""The spatial transformer: a learned warp in front of a network."""

import math

import keras
import numpy as np
from keras import ops

from attnlib.layers.base import AttentionLayer
from attnlib.ops import checks
from attnlib.ops.grids import (
    affine_grid,
    attention_matrix,
    projective_grid,
    tps_grid,
)
from attnlib.ops.sampling import PADDINGS, bilinear_sample

TRANSFORMS = ("attention", "affine", "projective", "tps")


@keras.saving.register_keras_serializable(package="attnlib")
class SpatialTransformer(AttentionLayer):
    """Warp images by a transform that a localisation network chooses.

    1. theta = f_loc(U): features of the localisation network, flattened, and
       a Dense layer (section 3.1)
    2. grid = T_theta(G), shape (B, h, w, 2): where each output pixel is read
       (section 3.2, equation 1)
    3. V = U at the grid, bilinear, shape (B, h, w, C) (section 3.3, eq. 5)

    The Dense layer starts with zero weights and the identity as its bias, so
    that an untrained layer returns its input (resized to `output_size`). The
    transform and the grid are computed in at least float32, whatever the
    layer's dtype is.

    Args:
        localization: Keras layer or model from images to features of any rank
            but a known size. It is saved with the layer.
        transform: What the Dense layer gives: `"attention"` (s, tx, ty),
            `"affine"` (the 6 entries of a (2, 3) matrix, row by row),
            `"projective"` (8 entries of a (3, 3) matrix whose last is 1) or
            `"tps"` (the offset (x, y) of each control point, row by row).
        output_size: Height and width (h, w) of the output; None for the
            input's.
        padding: What lies outside the image: `"zeros"`, or `"border"` for the
            nearest border pixel.
        align_corners: See Convention.
        control_points: Control points a side, k of k * k, at least 2; used by
            `"tps"` alone.
        **kwargs: Of `keras.layers.Layer`.

    Call arguments:
        images: Floating tensor, shape (B, H, W, C); H and W known where
            `output_size` is None.

    Returns:
        Images, shape (B, h, w, C).

    Convention:
        Transforms map output to input coordinates (x, y) in [-1, 1], (-1, -1)
        the top-left, as torch's `affine_grid` and `grid_sample` do; a scale
        s < 1 therefore zooms in. With `align_corners=False` -1 and 1 are the
        outer edges of the border pixels, with True their centres.

    Raises:
        ValueError: An argument is none of the above, or the rank, size or
            dtype of the input is wrong.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> from attnlib.layers import SpatialTransformer
    >>> layer = SpatialTransformer(keras.layers.Flatten(), "attention")
    >>> images = np.arange(6.0, dtype="float32").reshape(1, 2, 3, 1)
    >>> keras.ops.convert_to_numpy(layer(images)).round(4).ravel().tolist()
    [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]

    Reference:
        Jaderberg et al. 2015, arXiv:1506.02025, section 3. Differs from the
        paper in: coordinates, which the paper does not tie to pixel edges or
        centres; and the number of control points, 16 in the paper, is free.
    """

    def __init__(
        self,
        localization,
        transform="affine",
        output_size=None,
        padding="zeros",
        align_corners=False,
        control_points=4,
        **kwargs,
    ):
        # No autocast: features shall reach the transform in full precision.
        super().__init__(autocast=False, **kwargs)
        self.localization = _layer("localization", localization)
        self.transform = checks.one_of("transform", transform, TRANSFORMS)
        if output_size is not None:
            output_size = checks.positive_integers(
                "output_size", output_size, 2
            )
        self.output_size = output_size
        self.padding = checks.one_of("padding", padding, PADDINGS)
        self.align_corners = checks.flag("align_corners", align_corners)
        self.control_points = _side("control_points", control_points)
        self.supports_masking = True
        identity = _identity(self.transform, self.control_points)
        self.regressor = keras.layers.Dense(
            len(identity),
            kernel_initializer="zeros",
            bias_initializer=keras.initializers.Constant(identity),
            dtype=checks.compute_dtype(self.compute_dtype),
            name="regressor",
        )

    def build(self, images_shape):
        checks.shape_rank("images", images_shape, 4)
        if self.output_size is None:
            checks.known_size("images", images_shape)
        shape = (None, *images_shape[1:])
        if not self.localization.built:
            self.localization.build(shape)
        features = self.localization.compute_output_shape(shape)
        if not _is_one_shape(features):
            raise ValueError(
                "expected localization to give one tensor. Received: shapes "
                f"{features}"
            )
        features = tuple(features[1:])
        if None in features:
            raise ValueError(
                "expected localization to give features of a known size. "
                f"Received: shape {(None, *features)} for images of shape "
                f"{shape}"
            )
        self.regressor.build((None, math.prod(features)))
        self.built = True

    def grid(self, images):
        """Return where the layer reads, to draw it.

        Args:
            images: Floating tensor, shape (B, H, W, C).

        Returns:
            Points (x, y) in the coordinates of `images`, shape (B, h, w, 2),
            in at least float32.

        Raises:
            ValueError: The layer is not built, or the rank, size or dtype of
                `images` is wrong.
        """
        checks.built(self, "grid")
        images = checks.floating("images", images, self.compute_dtype)
        checks.rank("images", images, 4)
        size = self.output_size or checks.known_size("images", images.shape)
        return self._transform(self.theta(images), *size)

    def theta(self, images):
        """Return the parameters of the transform.

        Args:
            images: Floating tensor, shape (B, H, W, C).

        Returns:
            Tensor of shape (B, n), n as `transform` says, in at least
            float32.

        Raises:
            ValueError: The layer is not built, or the rank or dtype of
                `images` is wrong.
        """
        checks.built(self, "theta")
        images = checks.floating("images", images, self.compute_dtype)
        checks.rank("images", images, 4)
        features = checks.floating(
            "features of localization",
            self.localization(images),
            self.regressor.compute_dtype,
        )
        width = self.regressor.kernel.shape[0]
        found = tuple(features.shape[1:])
        if None not in found and math.prod(found) != width:
            raise ValueError(
                f"expected localization to give {width} features, as the layer "
                f"was built for. Received: shape {found} for images of shape "
                f"{tuple(images.shape)}"
            )
        features = ops.reshape(features, (ops.shape(images)[0], width))
        return self.regressor(features)

    def _transform(self, params, height, width):
        """Return the grid of the transform with given parameters."""
        batch = ops.shape(params)[0]
        size = (height, width, self.align_corners)
        if self.transform == "attention":
            return affine_grid(attention_matrix(params), *size)
        if self.transform == "affine":
            return affine_grid(ops.reshape(params, (batch, 2, 3)), *size)
        if self.transform == "tps":
            return tps_grid(
                ops.reshape(params, (batch, self.control_points**2, 2)), *size
            )
        last = ops.ones_like(params[:, :1])
        theta = ops.concatenate([params, last], axis=1)
        return projective_grid(ops.reshape(theta, (batch, 3, 3)), *size)

    def call(self, images):
        images = checks.floating("images", images, self.compute_dtype)
        return bilinear_sample(
            images, self.grid(images), self.padding, self.align_corners
        )

    def compute_output_shape(self, images_shape):
        checks.shape_rank("images", images_shape, 4)
        size = self.output_size or tuple(images_shape[1:3])
        return (images_shape[0], *size, images_shape[3])

    def get_config(self):
        size = None if self.output_size is None else list(self.output_size)
        return {
            **super().get_config(),
            "localization": keras.saving.serialize_keras_object(
                self.localization
            ),
            "transform": self.transform,
            "output_size": size,
            "padding": self.padding,
            "align_corners": self.align_corners,
            "control_points": self.control_points,
        }

    @classmethod
    def from_config(cls, config):
        localization = config.get("localization")
        if isinstance(localization, dict):
            localization = keras.saving.deserialize_keras_object(localization)
        return super().from_config({**config, "localization": localization})


def _layer(name, value):
    if not isinstance(value, keras.layers.Layer):
        raise ValueError(
            f"expected {name} to be a Keras layer or model. Received: {value!r}"
        )
    return value


def _is_one_shape(shape):
    """Return whether a layer's output shape is that of a single tensor."""
    return isinstance(shape, (tuple, list)) and not any(
        isinstance(size, (tuple, list, dict)) for size in shape
    )


def _side(name, value):
    if checks.positive_integer(name, value) < 2:
        raise ValueError(f"expected {name} to be at least 2. Received: {value}")
    return int(value)


def _identity(transform, control_points):
    """Return the parameters of the transform that changes nothing."""
    if transform == "attention":
        return np.array([1, 0, 0], "float32")
    if transform == "affine":
        return np.eye(2, 3, dtype="float32").ravel()
    if transform == "projective":
        return np.eye(3, dtype="float32").ravel()[:-1]
    return np.zeros(2 * control_points**2, "float32")
