"""Pure functions on tensors, on `keras.ops` only."""

from attnlib.ops.glimpses import extract_glimpses
from attnlib.ops.scores import additive_scores, masked_softmax

__all__ = ["additive_scores", "extract_glimpses", "masked_softmax"]
