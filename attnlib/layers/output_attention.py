"""Semantic attention at the output of a caption decoder."""

import keras
from keras import ops

from attnlib.layers.base import AttentionLayer
from attnlib.layers.initializers import fresh
from attnlib.ops import checks
from attnlib.ops.scores import bilinear_scores, masked_softmax


@keras.saving.register_keras_serializable(package="attnlib")
class OutputAttention(AttentionLayer):
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
        super().__init__(**kwargs)
        self.units = checks.positive_integer("units", units)
        self.activation = keras.activations.get(activation)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.scale_initializer = keras.initializers.get(scale_initializer)
        self.supports_masking = True

    def build(self, query_shape, attributes_shape):
        _check_shapes(query_shape, attributes_shape)
        checks.widths(query=query_shape, attributes=attributes_shape)
        state, width = query_shape[-1], attributes_shape[-1]
        kernel = self.kernel_initializer
        self.score_kernel = self.add_weight(
            name="V", shape=(state, width), initializer=fresh(kernel)
        )
        if state == width:
            self.mixture_weight = self.add_weight(
                name="w", shape=(width,), initializer=self.scale_initializer
            )
        else:
            self.mixture_weight = self.add_weight(
                name="P", shape=(width, state), initializer=fresh(kernel)
            )
        self.output_kernel = self.add_weight(
            name="W", shape=(state, self.units), initializer=fresh(kernel)
        )

    def call(self, query, attributes, attributes_mask=None):
        query = checks.floating("query", query, self.compute_dtype)
        attributes = checks.floating(
            "attributes", attributes, self.compute_dtype
        )
        mask = self._check(query, attributes, attributes_mask)
        values = self.activation(attributes)  # (B, A, E)
        scores = bilinear_scores(
            ops.expand_dims(query, 1), values, self.score_kernel
        )
        weights = masked_softmax(scores[:, 0], mask)  # (B, A)
        mixture = ops.matmul(ops.expand_dims(weights, 1), values)[:, 0]
        if len(self.mixture_weight.shape) == 1:
            mixture = self.mixture_weight * mixture
        else:
            mixture = ops.matmul(mixture, self.mixture_weight)  # (B, H)
        return ops.matmul(query + mixture, self.output_kernel), weights

    def _check(self, query, attributes, attributes_mask):
        checks.rank("query", query, 2)
        checks.rank("attributes", attributes, 3)
        state, width = self.score_kernel.shape
        checks.last_axis("query", query, state)
        checks.last_axis("attributes", attributes, width)
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
            "activation": keras.activations.serialize(self.activation),
            "kernel_initializer": serialize(self.kernel_initializer),
            "scale_initializer": serialize(self.scale_initializer),
        }


def _check_shapes(query_shape, attributes_shape):
    checks.shape_rank("query", query_shape, 2)
    checks.shape_rank("attributes", attributes_shape, 3)
    checks.same(
        "batch sizes", query=query_shape[0], attributes=attributes_shape[0]
    )
