"""Additive attention with learned projections."""

import keras
from keras import ops

from attnlib.layers.base import AttentionLayer
from attnlib.ops import checks
from attnlib.ops.scores import additive_scores, masked_softmax


@keras.saving.register_keras_serializable(package="attnlib")
class BahdanauAttention(AttentionLayer):
    """Attend to a memory by an additive score of query and memory.

    The alignment model of RNNsearch: a small network scores how well each
    memory entry fits the query, a softmax turns scores into weights, and the
    context is the weighted mean of the memory.

    1. keys k_j = U_a h_j, shape (B, S, U) (`project`, once per sequence)
    2. scores e_ij = v_a . tanh(W_a s_i + k_j), shape (B, T, S)
    3. weights alpha_i = softmax over allowed j, shape (B, T, S)
    4. context c_i = sum_j alpha_ij h_j, shape (B, T, Dm)

    Args:
        units: Width U of the alignment model, at least 1.
        kernel_initializer: For W_a and U_a.
        score_initializer: For v_a. With zeros the weights are uniform.
        **kwargs: Of `keras.layers.Layer`.

    Call arguments:
        query: Floating tensor, shape (B, Dq) or (B, T, Dq).
        memory: Floating tensor, shape (B, S, Dm).
        memory_mask: Boolean tensor, shape (B, S), True = use, or None.
        keys: `project(memory)`, shape (B, S, U), or None to compute it here.

    Returns:
        `(context, weights)`: shapes (B, Dm) and (B, S) for a query of rank 2,
        (B, T, Dm) and (B, T, S) for rank 3. Weights sum to 1, or are all 0
        where the mask allows nothing.

    Raises:
        ValueError: `units` is no positive integer, or a rank, size or dtype of
            the inputs is wrong.

    Example:

    >>> import numpy as np
    >>> from attnlib.layers import BahdanauAttention
    >>> query = np.ones((2, 5), "float32")
    >>> memory = np.ones((2, 7, 6), "float32")
    >>> context, weights = BahdanauAttention(4)(query, memory)
    >>> tuple(context.shape), tuple(weights.shape)
    ((2, 6), (2, 7))

    Reference:
        Bahdanau, Cho and Bengio 2015, arXiv:1409.0473, section 3.1 and
        appendix A.1.2. Differs from the paper in: the initialisation, which
        the paper makes so small that short trainings hardly learn
        (W_a, U_a ~ N(0, 0.001^2), v_a = 0).
    """

    def __init__(
        self,
        units,
        kernel_initializer="glorot_uniform",
        score_initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = checks.positive_integer("units", units)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.score_initializer = keras.initializers.get(score_initializer)
        self.supports_masking = True

    def build(self, query_shape, memory_shape):
        _check_shapes(query_shape, memory_shape)
        checks.widths(query=query_shape, memory=memory_shape)
        kernel = self.kernel_initializer
        self.query_kernel = self._weight(
            "W_a", (query_shape[-1], self.units), kernel
        )
        self.memory_kernel = self._weight(
            "U_a", (memory_shape[-1], self.units), kernel
        )
        # As it is given, so that trained models start where they did.
        self.score_vector = self.add_weight(
            name="v_a", shape=(self.units,), initializer=self.score_initializer
        )

    def project(self, memory):
        """Return the keys U_a h of a memory, for `call(..., keys=keys)`.

        Args:
            memory: Floating tensor, shape (B, S, Dm).

        Returns:
            Keys, shape (B, S, U), in the layer's compute dtype.

        Raises:
            ValueError: The layer is not built, or the rank, size or dtype of
                `memory` is wrong.
        """
        checks.built(self, "project")
        memory = checks.floating("memory", memory, self.compute_dtype)
        checks.rank("memory", memory, 3)
        checks.last_axis("memory", memory, self.memory_kernel.shape[0])
        # Outside of call nobody casts the weights to the compute dtype.
        kernel = ops.cast(self.memory_kernel, self.compute_dtype)
        return ops.matmul(memory, kernel)

    def call(self, query, memory, memory_mask=None, keys=None):
        query = checks.floating("query", query, self.compute_dtype)
        memory = checks.floating("memory", memory, self.compute_dtype)
        self._check(query, memory)
        memory, mask = self._masked("memory", memory, memory_mask)
        if keys is None:
            keys = self.project(memory)
        else:
            keys = self._check_keys(keys, memory)
            keys, _ = self._masked("memory", keys, mask)
        single = len(query.shape) == 2
        if single:
            query = ops.expand_dims(query, 1)
        projected = ops.matmul(query, self.query_kernel)  # (B, T, U)
        scores = additive_scores(projected, keys, self.score_vector)
        mask = None if mask is None else ops.expand_dims(mask, 1)
        weights = masked_softmax(scores, mask)  # (B, T, S)
        context = ops.matmul(weights, memory)  # (B, T, Dm)
        if single:
            return context[:, 0], weights[:, 0]
        return context, weights

    def _check(self, query, memory):
        checks.rank("query", query, 2, 3)
        checks.rank("memory", memory, 3)
        checks.last_axis("query", query, self.query_kernel.shape[0])
        checks.last_axis("memory", memory, self.memory_kernel.shape[0])
        checks.same("batch sizes", query=query.shape[0], memory=memory.shape[0])

    def _check_keys(self, keys, memory):
        keys = checks.floating("keys", keys, self.compute_dtype)
        checks.rank("keys", keys, 3)
        checks.same("batch sizes", memory=memory.shape[0], keys=keys.shape[0])
        checks.same("lengths", memory=memory.shape[1], keys=keys.shape[1])
        return keys

    def compute_output_shape(self, query_shape, memory_shape):
        _check_shapes(query_shape, memory_shape)
        context = (*query_shape[:-1], memory_shape[-1])
        return context, (*query_shape[:-1], memory_shape[1])

    def get_config(self):
        serialize = keras.initializers.serialize
        return {
            **super().get_config(),
            "units": self.units,
            "kernel_initializer": serialize(self.kernel_initializer),
            "score_initializer": serialize(self.score_initializer),
        }


def _check_shapes(query_shape, memory_shape):
    checks.shape_rank("query", query_shape, 2, 3)
    checks.shape_rank("memory", memory_shape, 3)
    checks.same("batch sizes", query=query_shape[0], memory=memory_shape[0])
