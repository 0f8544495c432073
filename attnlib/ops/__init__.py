"""Pure functions on tensors, on `keras.ops` only."""

from attnlib.ops.filterbanks import (
    filterbank_read,
    filterbank_write,
    gaussian_filterbank,
)
from attnlib.ops.glimpses import extract_glimpses
from attnlib.ops.grids import (
    affine_grid,
    invert_affine,
    projective_grid,
    tps_grid,
)
from attnlib.ops.sampling import bilinear_sample
from attnlib.ops.scores import additive_scores, masked_softmax
from attnlib.ops.windows import gaussian_window

__all__ = [
    "additive_scores",
    "affine_grid",
    "bilinear_sample",
    "extract_glimpses",
    "filterbank_read",
    "filterbank_write",
    "gaussian_filterbank",
    "gaussian_window",
    "invert_affine",
    "masked_softmax",
    "projective_grid",
    "tps_grid",
]
