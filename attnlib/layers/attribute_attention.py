"""What the two semantic attentions of a caption decoder share."""

import keras
from keras import ops

from attnlib.layers.base import AttentionLayer
from attnlib.ops import checks
from attnlib.ops.scores import bilinear_scores, masked_softmax


class AttributeAttention(AttentionLayer):
    """Add a mixture of attributes to a query, and project the sum.

    Subclasses make `score_kernel` (query, attributes) and `output_kernel` in
    `build`, and say what is mixed and how it is added.

    Args:
        units: Width of the output, at least 1.
        kernel_initializer: For matrices.
        scale_initializer: For the scale of the mixture.
        **kwargs: Of `keras.layers.Layer`.
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

    def call(self, query, attributes, attributes_mask=None):
        query = checks.floating("query", query, self.compute_dtype)
        attributes = checks.floating(
            "attributes", attributes, self.compute_dtype
        )
        self._check(query, attributes)
        attributes, mask = self._masked(
            "attributes", attributes, attributes_mask
        )
        values = self._values(attributes)  # (B, A, E)
        scores = bilinear_scores(
            ops.expand_dims(query, 1), values, self.score_kernel
        )
        weights = masked_softmax(scores[:, 0], mask)  # (B, A)
        mixture = ops.matmul(ops.expand_dims(weights, 1), values)[:, 0]
        summed = query + self._scaled(mixture)
        return ops.matmul(summed, self.output_kernel), weights

    def _values(self, attributes):
        """Return what is compared with the query and mixed, (B, A, E)."""
        return attributes

    def _scaled(self, mixture):
        """Return the mixture (B, E) as it is added to the query."""
        raise NotImplementedError

    def _check(self, query, attributes):
        checks.rank("query", query, 2)
        checks.rank("attributes", attributes, 3)
        depth, width = self.score_kernel.shape
        checks.last_axis("query", query, depth)
        checks.last_axis("attributes", attributes, width)
        checks.same(
            "batch sizes", query=query.shape[0], attributes=attributes.shape[0]
        )

    def _check_shapes(self, query_shape, attributes_shape):
        checks.shape_rank("query", query_shape, 2)
        checks.shape_rank("attributes", attributes_shape, 3)
        checks.same(
            "batch sizes", query=query_shape[0], attributes=attributes_shape[0]
        )

    def compute_output_shape(self, query_shape, attributes_shape):
        self._check_shapes(query_shape, attributes_shape)
        return (query_shape[0], self.units), tuple(attributes_shape[:2])

    def get_config(self):
        serialize = keras.initializers.serialize
        return {
            **super().get_config(),
            "units": self.units,
            "kernel_initializer": serialize(self.kernel_initializer),
            "scale_initializer": serialize(self.scale_initializer),
        }
