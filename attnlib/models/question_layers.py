"""Layers of models that answer questions: places, questions, a reader."""

import math

import keras
import numpy as np
from keras import ops

from attnlib.layers import SoftAttention
from attnlib.models.recurrent import LSTMKernels
from attnlib.ops import checks
from attnlib.text import END, PAD

QUESTIONS = ("lstm", "cnn", "bow")

# Variance of the matrices that score places at the start, times Glorot's.
_SCALE = 8.0


def locate(features):
    """Append to the features of every cell where the cell is.

    A convolutional network that was trained on whole photographs knows from
    its padding how far from the border a cell is. A small one hardly does.

    Args:
        features: Floating tensor g, shape (B, h, w, C).

    Returns:
        [g_i, x_i, y_i], shape (B, L, C + 2) with L = h w, row by row.

    Convention:
        x and y are counted in cells from the middle of the image, to the right
        and down.

    Example:

    >>> import numpy as np
    >>> from attnlib.models.question_layers import locate
    >>> np.array(locate(np.ones((1, 2, 2, 1), "float32")))[0].tolist()
    [[1.0, -0.5, -0.5], [1.0, 0.5, -0.5], [1.0, -0.5, 0.5], [1.0, 0.5, 0.5]]
    """
    _, rows, columns, width = features.shape
    features = ops.reshape(features, (-1, rows * columns, width))
    y, x = np.mgrid[:rows, :columns].astype("float32")
    where = np.stack([x - x.mean(), y - y.mean()], axis=-1)
    where = ops.cast(where.reshape(1, rows * columns, 2), features.dtype)
    where = where + ops.zeros_like(features[:, :, :1])
    return ops.concatenate([features, where], axis=-1)


@keras.saving.register_keras_serializable(package="attnlib")
class Places(keras.layers.Layer):
    """Say of every cell of a feature map what is there, and where that is.

    f_i = relu(W [g_i, x_i, y_i] + b), shape (B, L, D), of what `locate` returns

    Args:
        units: Width D of the annotations.
        **kwargs: Of `keras.layers.Layer`.

    Call arguments:
        features: Floating tensor g, shape (B, h, w, C).

    Returns:
        Annotations f, shape (B, L, D) with L = h w, row by row.

    Example:

    >>> import numpy as np
    >>> from attnlib.models.question_layers import Places
    >>> tuple(Places(16)(np.ones((2, 7, 7, 5), "float32")).shape)
    (2, 49, 16)
    """

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = checks.positive_integer("units", units)
        self.dense = keras.layers.Dense(self.units, "relu", name="dense")

    def build(self, features_shape):
        checks.shape_rank("features", features_shape, 4)
        _, rows, columns, width = features_shape
        self.dense.build((None, rows * columns, width + 2))

    def call(self, features):
        return self.dense(locate(features))

    def compute_output_shape(self, features_shape):
        batch, rows, columns, _ = features_shape
        return batch, rows * columns, self.units

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def closed(words):
    """Return questions with END behind their last word, as a question mark.

    Args:
        words: Integers, shape (B, T), padding behind the words.

    Returns:
        Integers, shape (B, T + 1). Who looks before each word can look once
        more when all words are known.

    Example:

    >>> import numpy as np
    >>> from attnlib.models.question_layers import closed
    >>> np.array(closed(np.array([[5, 7], [6, 0]]))).tolist()
    [[5, 7, 3], [6, 3, 0]]
    """
    words = ops.cast(words, "int32")
    longer = ops.pad(words, ((0, 0), (0, 1)), constant_values=PAD)
    count = ops.sum(ops.cast(ops.not_equal(words, PAD), "int32"), axis=1)
    behind = ops.equal(ops.arange(longer.shape[1]), count[:, None])
    return ops.where(behind, END, longer)


def word_embedding(size, width, stddev=1.0):
    """Return an embedding whose words differ enough to be told apart.

    Args:
        size: Number of words.
        width: Width of the embeddings.
        stddev: Their standard deviation at the start.
    """
    init = keras.initializers.RandomNormal(stddev=stddev)
    return keras.layers.Embedding(
        size, width, embeddings_initializer=init, name="embedding"
    )


def scoring_kernel():
    """Return an initializer for the networks that score places.

    Larger than Glorot's: where tanh is nearly linear, what is asked moves the
    scores of all places alike, and the softmax cancels it.
    """
    return keras.initializers.VarianceScaling(_SCALE, "fan_avg", "uniform")


@keras.saving.register_keras_serializable(package="attnlib")
class QuestionEncoder(keras.layers.Layer):
    """Turn the words of a question into one vector v_Q.

    - `"lstm"`: the state after the last word.
    - `"cnn"`: convolutions over one, two and three words in turn, each
      followed by its maximum over the question, side by side (in shares of
      1/5, 2/5 and 2/5 as the paper's 128, 256 and 256), and a dense layer.
    - `"bow"`: the sum of the words.

    Args:
        num_words: Size of the vocabulary; 0 is padding.
        embedding_size: Width M of the word embeddings.
        units: Width D of the vector.
        kind: `"lstm"`, `"cnn"` or `"bow"`.
        **kwargs: Of `keras.layers.Layer`.

    Call arguments:
        question: Integers, shape (B, T), padding behind the words.

    Returns:
        v_Q, shape (B, D). What stands behind the words changes nothing.

    Raises:
        ValueError: An argument is out of range.

    Example:

    >>> import numpy as np
    >>> from attnlib.models.question_layers import QuestionEncoder
    >>> tuple(QuestionEncoder(20, 8, 16)(np.array([[5, 7, 0]])).shape)
    (1, 16)

    Reference:
        Yang et al. 2016, arXiv:1511.02274, section 3.2. Differs from the
        paper in: the dense layer after the convolutions, so that v_Q has any
        width; convolutions reach over the ends of the question.
    """

    def __init__(self, num_words, embedding_size, units, kind="lstm", **kwargs):
        super().__init__(**kwargs)
        self.num_words = checks.positive_integer("num_words", num_words)
        self.embedding_size = checks.positive_integer(
            "embedding_size", embedding_size
        )
        self.units = checks.positive_integer("units", units)
        self.kind = checks.one_of("kind", kind, QUESTIONS)
        self.embedding = word_embedding(self.num_words, self.embedding_size)
        if kind == "lstm":
            # A question is short: TensorFlow is twice as fast without a loop.
            unroll = keras.config.backend() == "tensorflow"
            self.lstm = keras.layers.LSTM(
                self.units, unroll=unroll, name="lstm"
            )
            return
        self.dense = keras.layers.Dense(self.units, name="dense")
        share = max(1, self.units // 5)
        self.grams = [
            keras.layers.Conv1D(
                share if n == 1 else 2 * share,
                n,
                padding="same",
                activation="tanh",
                name=f"grams_{n}",
            )
            for n in ((1, 2, 3) if kind == "cnn" else ())
        ]

    def build(self, question_shape):
        words = (None, question_shape[1], self.embedding_size)
        self.embedding.build(question_shape)
        if self.kind == "lstm":
            self.lstm.build(words)
            return
        for layer in self.grams:
            layer.build(words)
        width = sum(layer.filters for layer in self.grams)
        self.dense.build((None, width or self.embedding_size))

    def call(self, question):
        real = ops.not_equal(question, PAD)
        embedded = self.embedding(question)
        if self.kind == "lstm":
            return self.lstm(embedded, mask=real)
        # Padding must be silent: convolutions see the words beside it.
        mask = ops.cast(real, embedded.dtype)[:, :, None]
        embedded = embedded * mask
        if self.kind == "bow":
            return self.dense(ops.sum(embedded, axis=1))
        # tanh is above -1, so a masked place never is the maximum.
        found = [
            ops.max(layer(embedded) * mask - (1 - mask), axis=1)
            for layer in self.grams
        ]
        return self.dense(ops.concatenate(found, axis=-1))

    def compute_output_shape(self, question_shape):
        return question_shape[0], self.units

    def get_config(self):
        return {
            **super().get_config(),
            "num_words": self.num_words,
            "embedding_size": self.embedding_size,
            "units": self.units,
            "kind": self.kind,
        }


class AttentiveReader(keras.layers.Layer):
    """Read an image, then words, and look at the image before each of them.

    1. v_0 = W_i a + b_i of the whole image a is read like a word
    2. r_t = sum_i a_ti f_i: where to look is told by h_{t-1} (`SoftAttention`
       without gate)
    3. h_t, c_t = LSTM([v_t, r_t], h_{t-1}, c_{t-1})

    Padding changes neither h nor c.

    Args:
        num_words: Size of the vocabulary; 0 is padding.
        embedding_size: Width M of the word embeddings.
        units: Width U of the LSTM, and of the network that scores places.
        attention: Whether the image is looked at before each word; otherwise
            it is read once, before the words.
        **kwargs: Of `keras.layers.Layer`.

    Call arguments:
        annotations: Floating tensor f, shape (B, L, D).
        words: Integers, shape (B, T).

    Returns:
        `(states, weights)`: h_t, shape (B, T, U), and where was looked before
        word t, shape (B, T, L), 0 without attention.

    Reference:
        Zhu et al. 2016, arXiv:1511.03416, section 4.
    """

    def __init__(
        self, num_words, embedding_size, units, attention=True, **kwargs
    ):
        super().__init__(**kwargs)
        self.num_words = checks.positive_integer("num_words", num_words)
        self.embedding_size = checks.positive_integer(
            "embedding_size", embedding_size
        )
        self.units = checks.positive_integer("units", units)
        self.attention = checks.flag("attention", attention)
        dense = keras.layers.Dense
        self.embedding = word_embedding(self.num_words, self.embedding_size)
        self.image = dense(self.embedding_size, name="image")
        self.lstm = LSTMKernels(self.units, name="lstm")
        if self.attention:
            self.align = SoftAttention(
                self.units,
                gated=False,
                kernel_initializer=scoring_kernel(),
                name="align",
            )
            self.context_kernel = dense(
                4 * self.units, use_bias=False, name="context_kernel"
            )

    def build(self, annotations_shape, words_shape):
        places, width = annotations_shape[1:]
        self.embedding.build(words_shape)
        self.image.build((None, places * width))
        self.lstm.build((None, None, self.embedding_size))
        if self.attention:
            self.align.build((None, self.units), (None, places, width))
            self.context_kernel.build((None, width))

    def call(self, annotations, words):
        flat = ops.reshape(annotations, (-1, math.prod(annotations.shape[1:])))
        tokens = ops.concatenate(
            [self.image(flat)[:, None], self.embedding(words)], axis=1
        )
        projected = self.lstm.project(tokens)  # (B, 1 + T, 4 U)
        real = ops.cast(ops.not_equal(words, PAD), projected.dtype)
        real = ops.concatenate([ops.ones_like(real[:, :1]), real], axis=1)
        packed = ops.concatenate([projected, real[:, :, None]], axis=-1)
        keys = self.align.project(annotations) if self.attention else None

        def step(carry, here):
            gates, real = here[:, :-1], here[:, -1:]
            weights = carry[2]
            if self.attention:
                context, weights = self.align(carry[0], annotations, keys=keys)
                gates = gates + self.context_kernel(context)
            state = self.lstm.step(carry[:2], gates)
            carry = (
                *(
                    real * new + (1 - real) * old
                    for new, old in zip(state, carry[:2], strict=True)
                ),
                weights,
            )
            return carry, carry

        state = ops.zeros_like(projected[:, 0, : self.units])
        first = (state, state, ops.zeros_like(annotations[:, :, 0]))
        _, (states, _, weights) = ops.scan(
            step, first, ops.transpose(packed, (1, 0, 2))
        )
        return tuple(
            ops.transpose(output, (1, 0, 2))[:, 1:]
            for output in (states, weights)
        )
