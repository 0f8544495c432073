"""Attention that aligns the words of a question with places of an image."""

import keras
from keras import ops

from attnlib.layers.base import AttentionLayer
from attnlib.ops import checks
from attnlib.ops.scores import masked_softmax, word_guided_scores


@keras.saving.register_keras_serializable(package="attnlib")
class WordRegionAttention(AttentionLayer):
    """Find places by single words first, then by the whole question.

    The spatial memory network (SMem-VQA) for visual question answering. In
    the first hop every word is compared with every place, and a place counts
    as much as the word that fits it best. What is found there, added to the
    question, looks once more in the second hop.

    1. question q = sum of the allowed words, shape (B, D)
    2. keys K = S W_A + b_A, shape (B, L, D) (`project`)
    3. first hop: p = softmax over i of max_t words_t . K_i, shape (B, L)
    4. evidence E_k = S W_E_k + b_E_k, shape (B, L, D), for every hop k
    5. o_1 = sum_i p_i E_1i + q, shape (B, D)
    6. hop k > 1: p = softmax over i of o_{k-1} . E_{k-1, i}, and
       o_k = sum_i p_i E_ki + o_{k-1}

    Args:
        hops: Number of attention steps, at least 1; the paper uses 2.
        kernel_initializer: For W_A and W_E. With zeros the weights are
            uniform.
        **kwargs: Of `keras.layers.Layer`.

    Call arguments:
        words: Floating tensor, shape (B, T, D): embedded words.
        annotations: Floating tensor, shape (B, L, D'): features S of L places.
        words_mask: Boolean tensor, shape (B, T), True = use, or None.
        annotations_mask: Boolean tensor, shape (B, L), True = use, or None.

    Returns:
        `(answer, weights)`: o of the last hop, shape (B, D), and the weights
        of every hop, shape (B, hops, L). Weights sum to 1 over the places.
        Where a mask allows no place, or no word, they are all 0 and the answer
        is the question.

    Raises:
        ValueError: `hops` is no positive integer, or a rank, size or dtype of
            the inputs is wrong.

    Example:

    >>> import numpy as np
    >>> from attnlib.layers import WordRegionAttention
    >>> words = np.ones((2, 7, 5), "float32")
    >>> annotations = np.ones((2, 49, 6), "float32")
    >>> answer, weights = WordRegionAttention(hops=2)(words, annotations)
    >>> tuple(answer.shape), tuple(weights.shape)
    ((2, 5), (2, 2, 49))

    Reference:
        Xu and Saenko 2016, arXiv:1511.05234, sections 3.1 and 3.2. Differs
        from the paper in: the question is the plain sum of its words, where
        the paper learns a weight per position and so needs one fixed length.
    """

    def __init__(self, hops=2, kernel_initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        self.hops = checks.positive_integer("hops", hops)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.supports_masking = True

    def build(self, words_shape, annotations_shape):
        _check_shapes(words_shape, annotations_shape)
        checks.widths(words=words_shape, annotations=annotations_shape)
        shape = (annotations_shape[-1], words_shape[-1])
        self.key_kernel, self.key_bias = self._projection("A", shape)
        self.evidence = [
            self._projection(f"E_{k}", shape) for k in range(1, self.hops + 1)
        ]

    def _projection(self, name, shape):
        return (
            self._weight(f"W_{name}", shape, self.kernel_initializer),
            self._weight(f"b_{name}", shape[1:], "zeros"),
        )

    def project(self, annotations):
        """Return the keys that words are compared with in the first hop.

        `words @ transpose(keys)`, shape (B, T, L), says which word found which
        place.

        Args:
            annotations: Floating tensor, shape (B, L, D').

        Returns:
            Keys, shape (B, L, D), in the layer's compute dtype.

        Raises:
            ValueError: The layer is not built, or the rank, size or dtype of
                `annotations` is wrong.
        """
        checks.built(self, "project")
        annotations = checks.floating(
            "annotations", annotations, self.compute_dtype
        )
        checks.rank("annotations", annotations, 3)
        checks.last_axis("annotations", annotations, self.key_kernel.shape[0])
        # Outside of call nobody casts the weights to the compute dtype.
        kernel = ops.cast(self.key_kernel, self.compute_dtype)
        bias = ops.cast(self.key_bias, self.compute_dtype)
        return ops.matmul(annotations, kernel) + bias

    def call(self, words, annotations, words_mask=None, annotations_mask=None):
        dtype = self.compute_dtype
        words = checks.floating("words", words, dtype)
        annotations = checks.floating("annotations", annotations, dtype)
        self._check(words, annotations)
        words, words_mask = self._masked("words", words, words_mask)
        if words.shape[1] == 0:  # Nothing is asked for, masked or not.
            words_mask = ops.zeros(ops.shape(words)[:2], "bool")
        annotations, mask = self._masked(
            "annotations", annotations, annotations_mask
        )
        scores = word_guided_scores(
            words, self.project(annotations), words_mask
        )
        answer = ops.sum(words, axis=1, keepdims=True)  # (B, 1, D)
        mask = _places(scores, words_mask, mask)
        evidence = [ops.matmul(annotations, w) + b for w, b in self.evidence]
        scores, weights = ops.expand_dims(scores, 1), []
        for hop, found in enumerate(evidence):
            if hop > 0:
                keys = ops.transpose(evidence[hop - 1], (0, 2, 1))
                scores = ops.matmul(answer, keys)
            weights.append(masked_softmax(scores, mask))  # (B, 1, L)
            answer = answer + ops.matmul(weights[-1], found)
        return answer[:, 0], ops.concatenate(weights, axis=1)

    def compute_mask(self, inputs, mask=None):
        # Outputs have no axis of words that the mask of words could mask.
        return None

    def _check(self, words, annotations):
        checks.rank("words", words, 3)
        checks.rank("annotations", annotations, 3)
        depth, width = self.key_kernel.shape
        checks.last_axis("words", words, width)
        checks.last_axis("annotations", annotations, depth)
        checks.same(
            "batch sizes",
            words=words.shape[0],
            annotations=annotations.shape[0],
        )

    def compute_output_shape(self, words_shape, annotations_shape):
        _check_shapes(words_shape, annotations_shape)
        batch, _, width = words_shape
        return (batch, width), (batch, self.hops, annotations_shape[1])

    def get_config(self):
        return {
            **super().get_config(),
            "hops": self.hops,
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
        }


def _places(scores, words_mask, annotations_mask):
    """Return the mask of places (B, 1, L); no word allows no place."""
    mask = annotations_mask
    if words_mask is not None:
        asked = ops.any(words_mask, axis=1, keepdims=True)  # (B, 1)
        asked = ops.logical_and(asked, ops.ones_like(scores, dtype="bool"))
        mask = asked if mask is None else ops.logical_and(asked, mask)
    return None if mask is None else ops.expand_dims(mask, 1)


def _check_shapes(words_shape, annotations_shape):
    checks.shape_rank("words", words_shape, 3)
    checks.shape_rank("annotations", annotations_shape, 3)
    checks.same(
        "batch sizes", words=words_shape[0], annotations=annotations_shape[0]
    )
