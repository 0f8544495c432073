"""Attention in several steps, each asking a finer question."""

import keras
from keras import ops

from attnlib.layers.base import AttentionLayer
from attnlib.ops import checks
from attnlib.ops.scores import additive_scores, masked_softmax


@keras.saving.register_keras_serializable(package="attnlib")
class StackedAttention(AttentionLayer):
    """Query an image several times, each time with what was found before.

    The stacked attention network (SAN) for visual question answering: a
    question attends to the places of an image, what it finds is added to it,
    and the sum asks again. The last sum predicts the answer.

    1. v_i = tanh(W_I f_i + b_I), shape (B, L, D)
    2. u^0 = question, shape (B, D); then for every hop k with its own weights:
    3. h_i = tanh(W_IA v_i + (W_QA u^{k-1} + b_A)), shape (B, L, U)
    4. p = softmax over allowed i of w_P . h_i, shape (B, L)
    5. u^k = sum_i p_i v_i + u^{k-1}, shape (B, D)

    Args:
        units: Width U of the scoring networks, at least 1.
        hops: Number K of attention steps, at least 1; the paper uses 2.
        kernel_initializer: For all matrices.
        score_initializer: For w_P. With zeros the weights are uniform.
        **kwargs: Of `keras.layers.Layer`.

    Call arguments:
        question: Floating tensor, shape (B, D).
        annotations: Floating tensor, shape (B, L, D'): features of L places.
        annotations_mask: Boolean tensor, shape (B, L), True = use, or None.

    Returns:
        `(answer, weights)`: u^K, shape (B, D), and the weights of every hop,
        shape (B, K, L). Weights sum to 1 over the places. Where the mask
        allows nothing they are all 0 and the answer is the question.

    Raises:
        ValueError: `units` or `hops` is no positive integer, or a rank, size
            or dtype of the inputs is wrong.

    Example:

    >>> import numpy as np
    >>> from attnlib.layers import StackedAttention
    >>> question = np.ones((2, 5), "float32")
    >>> annotations = np.ones((2, 49, 6), "float32")
    >>> answer, weights = StackedAttention(4, hops=2)(question, annotations)
    >>> tuple(answer.shape), tuple(weights.shape)
    ((2, 5), (2, 2, 49))

    Reference:
        Yang et al. 2016, arXiv:1511.02274, sections 3.1 and 3.3. Differs from
        the paper in: no bias b_P, which the softmax cancels.
    """

    def __init__(
        self,
        units,
        hops=2,
        kernel_initializer="glorot_uniform",
        score_initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = checks.positive_integer("units", units)
        self.hops = checks.positive_integer("hops", hops)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.score_initializer = keras.initializers.get(score_initializer)
        self.supports_masking = True

    def build(self, question_shape, annotations_shape):
        _check_shapes(question_shape, annotations_shape)
        checks.widths(question=question_shape, annotations=annotations_shape)
        kernel, width = self.kernel_initializer, question_shape[-1]
        self.annotation_kernel = self._weight(
            "W_I", (annotations_shape[-1], width), kernel
        )
        self.annotation_bias = self._weight("b_I", (width,), "zeros")
        self.hop_weights = [
            (
                self._weight(f"W_IA_{k}", (width, self.units), kernel),
                self._weight(f"W_QA_{k}", (width, self.units), kernel),
                self._weight(f"b_A_{k}", (self.units,), "zeros"),
                self._weight(f"w_P_{k}", (self.units,), self.score_initializer),
            )
            for k in range(1, self.hops + 1)
        ]

    def call(self, question, annotations, annotations_mask=None):
        question = checks.floating("question", question, self.compute_dtype)
        annotations = checks.floating(
            "annotations", annotations, self.compute_dtype
        )
        self._check(question, annotations)
        annotations, mask = self._masked(
            "annotations", annotations, annotations_mask
        )
        places = ops.matmul(annotations, self.annotation_kernel)
        places = ops.tanh(places + self.annotation_bias)  # (B, L, D)
        query, weights = ops.expand_dims(question, 1), []  # (B, 1, D)
        if mask is not None:
            mask = ops.expand_dims(mask, 1)
        for place_kernel, query_kernel, bias, vector in self.hop_weights:
            scores = additive_scores(
                ops.matmul(query, query_kernel) + bias,
                ops.matmul(places, place_kernel),
                vector,
            )
            weights.append(masked_softmax(scores, mask))  # (B, 1, L)
            query = query + ops.matmul(weights[-1], places)
        return query[:, 0], ops.concatenate(weights, axis=1)

    def _check(self, question, annotations):
        checks.rank("question", question, 2)
        checks.rank("annotations", annotations, 3)
        depth, width = self.annotation_kernel.shape
        checks.last_axis("question", question, width)
        checks.last_axis("annotations", annotations, depth)
        checks.same(
            "batch sizes",
            question=question.shape[0],
            annotations=annotations.shape[0],
        )

    def compute_output_shape(self, question_shape, annotations_shape):
        _check_shapes(question_shape, annotations_shape)
        weights = (question_shape[0], self.hops, annotations_shape[1])
        return tuple(question_shape), weights

    def get_config(self):
        serialize = keras.initializers.serialize
        return {
            **super().get_config(),
            "units": self.units,
            "hops": self.hops,
            "kernel_initializer": serialize(self.kernel_initializer),
            "score_initializer": serialize(self.score_initializer),
        }


def _check_shapes(question_shape, annotations_shape):
    checks.shape_rank("question", question_shape, 2)
    checks.shape_rank("annotations", annotations_shape, 3)
    checks.same(
        "batch sizes",
        question=question_shape[0],
        annotations=annotations_shape[0],
    )
