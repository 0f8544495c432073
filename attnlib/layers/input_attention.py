"""Semantic attention at the input of a caption decoder."""

import keras
from keras import ops

from attnlib.layers.base import AttentionLayer
from attnlib.layers.initializers import fresh
from attnlib.ops import checks
from attnlib.ops.scores import bilinear_scores, masked_softmax


@keras.saving.register_keras_serializable(package="attnlib")
class InputAttention(AttentionLayer):
    """Mix the attributes of an image into the next input of a decoder.

    Attributes are words that a detector found in an image. The previous word
    of the caption says which of them matter now, and their mixture is added to
    its embedding.

    1. weights alpha_i ~ exp(y^T U y_i) over allowed i, shape (B, A), where y
       and y_i are the embeddings of the previous word and of attribute i
    2. output x = W (y + w * sum_i alpha_i y_i), shape (B, units), where * is
       elementwise

    Args:
        units: Width of the output, at least 1.
        kernel_initializer: For U and W.
        scale_initializer: For w.
        **kwargs: Of `keras.layers.Layer`.

    Call arguments:
        query: Floating tensor, shape (B, E): embedding of the previous word.
        attributes: Floating tensor, shape (B, A, E): embedded attributes.
        attributes_mask: Boolean tensor, shape (B, A), True = use, or None.

    Returns:
        `(output, weights)`: shapes (B, units) and (B, A). Weights sum to 1, or
        are all 0 where the mask allows nothing.

    Raises:
        ValueError: `units` is no positive integer, or a rank, size or dtype of
            the inputs is wrong.

    Example:

    >>> import numpy as np
    >>> from attnlib.layers import InputAttention
    >>> query = np.ones((2, 5), "float32")
    >>> attributes = np.ones((2, 10, 5), "float32")
    >>> output, weights = InputAttention(4)(query, attributes)
    >>> tuple(output.shape), tuple(weights.shape)
    ((2, 4), (2, 10))

    Reference:
        You et al. 2016, arXiv:1603.03925, section 3.2. Differs from the paper
        in: w starts at 1; the paper does not say how it starts.
    """

    def __init__(
        self,
        units,
        kernel_initializer="glorot_uniform",
        scale_initializer="ones",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = checks.positive_integer("units", units)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.scale_initializer = keras.initializers.get(scale_initializer)
        self.supports_masking = True

    def build(self, query_shape, attributes_shape):
        _check_shapes(query_shape, attributes_shape)
        checks.widths(query=query_shape, attributes=attributes_shape)
        width = query_shape[-1]
        self.score_kernel = self.add_weight(
            name="U",
            shape=(width, width),
            initializer=fresh(self.kernel_initializer),
        )
        self.scale = self.add_weight(
            name="w", shape=(width,), initializer=self.scale_initializer
        )
        self.output_kernel = self.add_weight(
            name="W",
            shape=(width, self.units),
            initializer=fresh(self.kernel_initializer),
        )

    def call(self, query, attributes, attributes_mask=None):
        query = checks.floating("query", query, self.compute_dtype)
        attributes = checks.floating(
            "attributes", attributes, self.compute_dtype
        )
        mask = self._check(query, attributes, attributes_mask)
        scores = bilinear_scores(
            ops.expand_dims(query, 1), attributes, self.score_kernel
        )
        weights = masked_softmax(scores[:, 0], mask)  # (B, A)
        mixture = ops.matmul(ops.expand_dims(weights, 1), attributes)[:, 0]
        output = ops.matmul(query + self.scale * mixture, self.output_kernel)
        return output, weights

    def _check(self, query, attributes, attributes_mask):
        checks.rank("query", query, 2)
        checks.rank("attributes", attributes, 3)
        for name, tensor in (("query", query), ("attributes", attributes)):
            checks.last_axis(name, tensor, self.score_kernel.shape[0])
        checks.same(
            "batch sizes", query=query.shape[0], attributes=attributes.shape[0]
        )
        return checks.sequence_mask("attributes", attributes_mask, attributes)

    def compute_output_shape(self, query_shape, attributes_shape):
        _check_shapes(query_shape, attributes_shape)
        return (query_shape[0], self.units), tuple(attributes_shape[:2])

    def get_config(self):
        serialize = keras.initializers.serialize
        return {
            **super().get_config(),
            "units": self.units,
            "kernel_initializer": serialize(self.kernel_initializer),
            "scale_initializer": serialize(self.scale_initializer),
        }


def _check_shapes(query_shape, attributes_shape):
    checks.shape_rank("query", query_shape, 2)
    checks.shape_rank("attributes", attributes_shape, 3)
    checks.same(
        "batch sizes", query=query_shape[0], attributes=attributes_shape[0]
    )
    checks.same("widths", query=query_shape[1], attributes=attributes_shape[2])
