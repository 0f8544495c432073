"""Pure functions on tensors, on `keras.ops` only."""

from attnlib.ops.choices import (
    attention_entropy,
    choice_log_prob,
    gumbel_max,
)
from attnlib.ops.filterbanks import (
    filterbank_read,
    filterbank_write,
    gaussian_filterbank,
)
from attnlib.ops.glimpses import extract_glimpses
from attnlib.ops.grids import (
    affine_grid,
    attention_matrix,
    invert_affine,
    projective_grid,
    tps_grid,
)
from attnlib.ops.sampling import bilinear_sample
from attnlib.ops.scales import merge_scales
from attnlib.ops.scores import (
    additive_scores,
    bilinear_scores,
    masked_softmax,
    word_guided_scores,
)
from attnlib.ops.windows import gaussian_window

__all__ = [
    "additive_scores",
    "affine_grid",
    "attention_entropy",
    "attention_matrix",
    "bilinear_sample",
    "bilinear_scores",
    "choice_log_prob",
    "extract_glimpses",
    "filterbank_read",
    "filterbank_write",
    "gaussian_filterbank",
    "gaussian_window",
    "gumbel_max",
    "invert_affine",
    "masked_softmax",
    "merge_scales",
    "projective_grid",
    "tps_grid",
    "word_guided_scores",
]
