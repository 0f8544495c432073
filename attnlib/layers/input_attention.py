"""Semantic attention at the input of a caption decoder."""

import keras

from attnlib.layers.attribute_attention import AttributeAttention
from attnlib.ops import checks


@keras.saving.register_keras_serializable(package="attnlib")
class InputAttention(AttributeAttention):
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

    def build(self, query_shape, attributes_shape):
        self._check_shapes(query_shape, attributes_shape)
        checks.widths(query=query_shape, attributes=attributes_shape)
        width, kernel = query_shape[-1], self.kernel_initializer
        self.score_kernel = self._weight("U", (width, width), kernel)
        self.scale = self._weight("w", (width,), self.scale_initializer)
        self.output_kernel = self._weight("W", (width, self.units), kernel)

    def _scaled(self, mixture):
        return self.scale * mixture

    def _check_shapes(self, query_shape, attributes_shape):
        super()._check_shapes(query_shape, attributes_shape)
        checks.same(
            "widths", query=query_shape[1], attributes=attributes_shape[2]
        )
