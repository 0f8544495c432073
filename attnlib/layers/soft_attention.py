"""Deterministic attention over the places of an image."""

import keras
from keras import ops

from attnlib.layers.base import AttentionLayer
from attnlib.ops import checks
from attnlib.ops.scores import additive_scores, masked_softmax

# Computed again for the gradient: to keep tanh of (B, L, U) for every step of
# a recurrence takes more memory, and longer, than to repeat it.
_scores = keras.remat(additive_scores)


@keras.saving.register_keras_serializable(package="attnlib")
class SoftAttention(AttentionLayer):
    """Look at all places of an image at once, at some more than at others.

    The soft attention of Show, Attend and Tell: a small network scores every
    place by the state of the decoder, and the context is the expectation of
    the annotations under the softmax of the scores. A gate, one number per
    example, says how much the image matters for the next word.

    1. keys k_i = W_a a_i + b_a, shape (B, L, U) (`project`, once per image)
    2. scores e_i = v_a . tanh(W_h h + k_i), shape (B, L) (equation 4)
    3. weights alpha_i = softmax over allowed i, shape (B, L) (5)
    4. gate beta = sigmoid(w_beta . h + b_beta), shape (B, 1) (`gate`)
    5. context z = beta sum_i alpha_i a_i, shape (B, D) (13)

    Args:
        units: Width U of the scoring network, at least 1.
        gated: Whether the context is multiplied by the gate.
        kernel_initializer: For W_a, W_h and w_beta.
        score_initializer: For v_a. With zeros the weights are uniform.
        **kwargs: Of `keras.layers.Layer`.

    Call arguments:
        state: Floating tensor, shape (B, H).
        annotations: Floating tensor, shape (B, L, D): features of L places.
        annotations_mask: Boolean tensor, shape (B, L), True = use, or None.
        keys: `project(annotations)`, shape (B, L, U), or None to compute it
            here.

    Returns:
        `(context, weights)`: shapes (B, D) and (B, L). Weights sum to 1, or
        are all 0 where the mask allows nothing.

    Raises:
        ValueError: `units` is no positive integer, `gated` no boolean, or a
            rank, size or dtype of the inputs is wrong.

    Example:

    >>> import numpy as np
    >>> from attnlib.layers import SoftAttention
    >>> state = np.ones((2, 5), "float32")
    >>> annotations = np.ones((2, 49, 6), "float32")
    >>> context, weights = SoftAttention(4)(state, annotations)
    >>> tuple(context.shape), tuple(weights.shape)
    ((2, 6), (2, 49))

    Reference:
        Xu et al. 2015, arXiv:1502.03044, sections 3.1.2 and 4.2. Differs from
        the paper in: nothing known; the paper leaves the scoring network
        open, and this one is Bahdanau's with a bias.
    """

    def __init__(
        self,
        units,
        gated=True,
        kernel_initializer="glorot_uniform",
        score_initializer="glorot_uniform",
        **kwargs,
    ):
        # No autocast: noise of a subclass stays float32. Weights are cast
        # where they are used.
        super().__init__(autocast=False, **kwargs)
        self.units = checks.positive_integer("units", units)
        self.gated = checks.flag("gated", gated)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.score_initializer = keras.initializers.get(score_initializer)
        self.supports_masking = True

    def build(self, state_shape, annotations_shape):
        _check_shapes(state_shape, annotations_shape)
        checks.widths(state=state_shape, annotations=annotations_shape)
        width, units = state_shape[-1], self.units
        kernel = self.kernel_initializer
        self.state_kernel = self._weight("W_h", (width, units), kernel)
        self.annotation_kernel = self._weight(
            "W_a", (annotations_shape[-1], units), kernel
        )
        self.annotation_bias = self._weight("b_a", (units,), "zeros")
        self.score_vector = self._weight(
            "v_a", (units,), self.score_initializer
        )
        if self.gated:
            self.gate_kernel = self._weight("w_beta", (width, 1), kernel)
            self.gate_bias = self._weight("b_beta", (1,), "zeros")

    def project(self, annotations):
        """Return the keys of annotations, for `call(..., keys=keys)`.

        Args:
            annotations: Floating tensor, shape (B, L, D).

        Returns:
            Keys, shape (B, L, U), in the layer's compute dtype.

        Raises:
            ValueError: The layer is not built, or the rank, size or dtype of
                `annotations` is wrong.
        """
        checks.built(self, "project")
        dtype = self.compute_dtype
        annotations = checks.floating("annotations", annotations, dtype)
        checks.rank("annotations", annotations, 3)
        width = self.annotation_kernel.shape[0]
        checks.last_axis("annotations", annotations, width)
        kernel = ops.cast(self.annotation_kernel, dtype)
        return ops.matmul(annotations, kernel) + ops.cast(
            self.annotation_bias, dtype
        )

    def gate(self, state):
        """Return how much the image matters in a state.

        Args:
            state: Floating tensor, shape (B, H).

        Returns:
            Gate beta, shape (B, 1), between 0 and 1, in the layer's compute
            dtype.

        Raises:
            ValueError: The layer is not built or not gated, or the rank, size
                or dtype of `state` is wrong.
        """
        checks.built(self, "gate")
        if not self.gated:
            raise ValueError(
                "expected a layer with gated=True. Received: gate() of a layer "
                "with gated=False"
            )
        dtype = self.compute_dtype
        state = self._check_state(state)
        logit = ops.matmul(state, ops.cast(self.gate_kernel, dtype))
        return ops.sigmoid(logit + ops.cast(self.gate_bias, dtype))

    def call(self, state, annotations, annotations_mask=None, keys=None):
        state, annotations, mask, scores = self._score(
            state, annotations, annotations_mask, keys
        )
        weights = masked_softmax(scores, mask)
        return self._read(state, annotations, weights), weights

    def _score(self, state, annotations, annotations_mask, keys):
        """Return the checked inputs and the scores (B, L) of all places."""
        dtype = self.compute_dtype
        state = self._check_state(state)
        annotations = checks.floating("annotations", annotations, dtype)
        self._check(state, annotations)
        annotations, mask = self._masked(
            "annotations", annotations, annotations_mask
        )
        if keys is None:
            keys = self.project(annotations)
        else:
            keys = self._check_keys(keys, annotations)
            keys, _ = self._masked("annotations", keys, mask)
        projected = ops.matmul(state, ops.cast(self.state_kernel, dtype))
        scores = _scores(
            ops.expand_dims(projected, 1),  # (B, 1, U)
            keys,
            ops.cast(self.score_vector, dtype),
        )
        return state, annotations, mask, scores[:, 0]

    def _read(self, state, annotations, weights):
        """Return the weighted sum of annotations (B, D), gated or not."""
        context = ops.matmul(ops.expand_dims(weights, 1), annotations)[:, 0]
        return self.gate(state) * context if self.gated else context

    def _check_state(self, state):
        state = checks.floating("state", state, self.compute_dtype)
        checks.rank("state", state, 2)
        checks.last_axis("state", state, self.state_kernel.shape[0])
        return state

    def _check(self, state, annotations):
        checks.rank("annotations", annotations, 3)
        width = self.annotation_kernel.shape[0]
        checks.last_axis("annotations", annotations, width)
        checks.same(
            "batch sizes",
            state=state.shape[0],
            annotations=annotations.shape[0],
        )

    def _check_keys(self, keys, annotations):
        keys = checks.floating("keys", keys, self.compute_dtype)
        checks.rank("keys", keys, 3)
        for axis, what in enumerate(("batch sizes", "lengths")):
            sizes = (annotations.shape[axis], keys.shape[axis])
            checks.same(what, annotations=sizes[0], keys=sizes[1])
        return keys

    def compute_output_shape(self, state_shape, annotations_shape):
        _check_shapes(state_shape, annotations_shape)
        batch, length, width = annotations_shape
        return (batch, width), (batch, length)

    def get_config(self):
        serialize = keras.initializers.serialize
        return {
            **super().get_config(),
            "units": self.units,
            "gated": self.gated,
            "kernel_initializer": serialize(self.kernel_initializer),
            "score_initializer": serialize(self.score_initializer),
        }


def _check_shapes(state_shape, annotations_shape):
    checks.shape_rank("state", state_shape, 2)
    checks.shape_rank("annotations", annotations_shape, 3)
    checks.same(
        "batch sizes", state=state_shape[0], annotations=annotations_shape[0]
    )
