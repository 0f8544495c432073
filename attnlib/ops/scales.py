"""Merging predictions that were made at several scales."""

import keras
from keras import ops

from attnlib.ops import checks
from attnlib.ops.scores import masked_softmax


def merge_scales(score_maps, scores):
    """Merge score maps of several scales by attention at every pixel.

    Equal scores are average-pooling over scales; where one score is far above
    the others its scale alone decides.

    Args:
        score_maps: Class scores per scale, resized to one grid, shape
            (B, S, H, W, K).
        scores: Scores of the scales at every pixel, shape (B, H, W, S).

    Returns:
        `(merged, weights)`: shapes (B, H, W, K) and (B, S, H, W), in the dtype
        of `score_maps`. Weights sum to 1 over the scales.

    Raises:
        ValueError: A rank, size or dtype is wrong.

    Example:

    >>> import numpy as np
    >>> from attnlib.ops import merge_scales
    >>> score_maps = np.array([1.0, 3.0], "float32").reshape(1, 2, 1, 1, 1)
    >>> merged, _ = merge_scales(score_maps, np.zeros((1, 1, 1, 2), "float32"))
    >>> np.array(merged).item()
    2.0

    Reference:
        Chen et al. 2016, arXiv:1511.03339, section 3.2, equations 1 and 2.
    """
    score_maps = checks.floating("score_maps", score_maps)
    dtype = keras.backend.standardize_dtype(score_maps.dtype)
    scores = checks.floating("scores", scores, dtype)
    checks.rank("score_maps", score_maps, 5)
    checks.rank("scores", scores, 4)
    batch, count, height, width, _ = score_maps.shape
    checks.same("batch sizes", score_maps=batch, scores=scores.shape[0])
    checks.same("heights", score_maps=height, scores=scores.shape[1])
    checks.same("widths", score_maps=width, scores=scores.shape[2])
    checks.same("numbers of scales", score_maps=count, scores=scores.shape[3])
    weights = ops.transpose(masked_softmax(scores), (0, 3, 1, 2))
    merged = ops.sum(ops.expand_dims(weights, -1) * score_maps, axis=1)
    return merged, weights  # (B, H, W, K), (B, S, H, W)
