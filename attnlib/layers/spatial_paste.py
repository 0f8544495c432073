"""What undoes a spatial crop: a patch put back where it was seen."""

import keras

from attnlib.layers.base import AttentionLayer
from attnlib.ops import checks
from attnlib.ops.grids import affine_grid, invert_affine
from attnlib.ops.sampling import bilinear_sample


@keras.saving.register_keras_serializable(package="attnlib")
class SpatialPaste(AttentionLayer):
    """Put patches back where `SpatialCrop` found them.

    The other half of a recurrent spatial transformer: a patch, for example a
    refined saliency map, is warped by the inverse of the transform that cut
    its window, and is zero outside of it, so that results can be added to a
    running map. The edge of a patch fades out over half a pixel of the patch.
    The layer has no weights; its grid is computed in at least float32.

    1. theta^-1: from image to crop coordinates, shape (B, 2, 3)
    2. image = the patch at theta^-1 . (x, y, 1), bilinear, (B, H, W, C)

    Args:
        output_size: Height and width (H, W) of the image in pixels.
        align_corners: As that of the `SpatialCrop`.
        **kwargs: Of `keras.layers.Layer`.

    Call arguments:
        patches: Floating tensor, shape (B, h, w, C).
        theta: Floating tensor, shape (B, 2, 3): the affine maps of the crop.

    Returns:
        Images, shape (B, H, W, C). A window too small to be seen leaves them
        zero; see `attnlib.ops.invert_affine`.

    Convention:
        theta maps crop to image coordinates (x, y) in [-1, 1], (-1, -1) the
        top-left; see `attnlib.ops.affine_grid`.

    Raises:
        ValueError: `output_size` is not two positive integers, or a rank,
            size or dtype of the inputs is wrong.

    Example:

    >>> import numpy as np
    >>> from attnlib.layers import SpatialPaste
    >>> patches = np.ones((1, 2, 2, 1), "float32")
    >>> theta = np.array([[[0.5, 0, 0.5], [0, 0.5, 0]]], "float32")
    >>> np.array(SpatialPaste((4, 4))(patches, theta))[0, 1, :, 0].tolist()
    [0.0, 0.0, 1.0, 1.0]

    Reference:
        Kuen, Wang and Wang 2016, arXiv:1604.03227 (the recurrent attentional
        network's inverse spatial transformer). Differs from the paper in:
        windows without an area, which have no inverse, leave the image zero.
    """

    def __init__(self, output_size, align_corners=False, **kwargs):
        # No autocast: a float16 theta cannot tell the pixels of a large image
        # apart.
        super().__init__(autocast=False, **kwargs)
        self.output_size = checks.positive_integers(
            "output_size", output_size, 2
        )
        self.align_corners = checks.flag("align_corners", align_corners)
        self.supports_masking = True

    def build(self, patches_shape, theta_shape):
        _check_shapes(patches_shape, theta_shape)
        self.built = True

    def call(self, patches, theta):
        wide = checks.compute_dtype(self.compute_dtype)
        patches = checks.floating("patches", patches, self.compute_dtype)
        theta = checks.floating("theta", theta, wide)
        checks.rank("patches", patches, 4)
        checks.rank("theta", theta, 3)
        checks.same(
            "batch sizes", patches=patches.shape[0], theta=theta.shape[0]
        )
        grid = affine_grid(
            invert_affine(theta), *self.output_size, self.align_corners
        )
        return bilinear_sample(patches, grid, align_corners=self.align_corners)

    def compute_output_shape(self, patches_shape, theta_shape):
        _check_shapes(patches_shape, theta_shape)
        return (patches_shape[0], *self.output_size, patches_shape[3])

    def get_config(self):
        return {
            **super().get_config(),
            "output_size": list(self.output_size),
            "align_corners": self.align_corners,
        }


def _check_shapes(patches_shape, theta_shape):
    checks.shape_rank("patches", patches_shape, 4)
    checks.shape_rank("theta", theta_shape, 3)
