"""Semantic attention at the output of a caption decoder."""

import keras
from keras import ops

from attnlib.layers.attribute_attention import AttributeAttention
from attnlib.ops import checks


@keras.saving.register_keras_serializable(package="attnlib")
class OutputAttention(AttributeAttention):
    """Mix the attributes of an image into the output of a decoder.

    Attributes are words that a detector found in an image. The state of the
    decoder says which of them matter for the next word, and their mixture is
    added to the state before it is projected to the space of words.

    1. g_i = sigma(y_i), where y_i is the embedding of attribute i
    2. weights beta_i ~ exp(h^T V g_i) over allowed i, shape (B, A)
    3. output o = W (h + w * sum_i beta_i g_i), shape (B, units), where * is
       elementwise

    Logits of words are the product of o with the embeddings of words.

    Args:
        units: Width of the output, at least 1; the width of word embeddings in
            the paper.
        activation: sigma, the one that makes the decoder's state.
        kernel_initializer: For V, W and P.
        scale_initializer: For w.
        **kwargs: Of `keras.layers.Layer`.

    Call arguments:
        query: Floating tensor, shape (B, H): state h of the decoder.
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
    >>> from attnlib.layers import OutputAttention
    >>> query = np.ones((2, 7), "float32")
    >>> attributes = np.ones((2, 10, 5), "float32")
    >>> output, weights = OutputAttention(4)(query, attributes)
    >>> tuple(output.shape), tuple(weights.shape)
    ((2, 4), (2, 10))

    Reference:
        You et al. 2016, arXiv:1603.03925, section 3.3. Differs from the paper
        in: where states and embeddings differ in width (the paper's sum needs
        H = E), a matrix P of shape (E, H) takes the place of the vector w,
        which starts at 1.
    """

    def __init__(
        self,
        units,
        activation="tanh",
        kernel_initializer="glorot_uniform",
        scale_initializer="ones",
        **kwargs,
    ):
        super().__init__(units, kernel_initializer, scale_initializer, **kwargs)
        self.activation = keras.activations.get(activation)

    def build(self, query_shape, attributes_shape):
        self._check_shapes(query_shape, attributes_shape)
        checks.widths(query=query_shape, attributes=attributes_shape)
        state, width = query_shape[-1], attributes_shape[-1]
        kernel = self.kernel_initializer
        self.score_kernel = self._weight("V", (state, width), kernel)
        self.mixture_weight = (
            self._weight("w", (width,), self.scale_initializer)
            if state == width
            else self._weight("P", (width, state), kernel)
        )
        self.output_kernel = self._weight("W", (state, self.units), kernel)

    def _values(self, attributes):
        return self.activation(attributes)

    def _scaled(self, mixture):
        if len(self.mixture_weight.shape) == 1:
            return self.mixture_weight * mixture
        return ops.matmul(mixture, self.mixture_weight)  # (B, H)

    def get_config(self):
        return {
            **super().get_config(),
            "activation": keras.activations.serialize(self.activation),
        }
