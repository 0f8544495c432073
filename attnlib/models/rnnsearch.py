"""RNNsearch: translation by a recurrent decoder that searches its source."""

import keras
from keras import ops

from attnlib.layers import BahdanauAttention
from attnlib.models import words
from attnlib.ops import checks
from attnlib.text import PAD

VERSION = 2  # Raised when trained results change.


class _GRUKernels(keras.layers.Layer):
    """The weights of a GRU, for loops that other layers write.

    The input's part is projected for all steps at once (`project`), the
    recurrent part in `step`.
    """

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, inputs_shape):
        units = self.units
        self.kernel = self.add_weight(
            name="kernel", shape=(inputs_shape[-1], 3 * units)
        )
        self.bias = self.add_weight(
            name="bias", shape=(3 * units,), initializer="zeros"
        )
        self.gates = self.add_weight(
            name="recurrent_gates",
            shape=(units, 2 * units),
            initializer=_orthogonal_blocks,
        )
        self.candidate = self.add_weight(
            name="recurrent_candidate",
            shape=(units, units),
            initializer="orthogonal",
        )

    def project(self, inputs):
        return ops.matmul(inputs, self.kernel) + self.bias

    def step(self, state, projected):
        """Return the next state, shape (B, U).

        Args:
            state: Previous state s, shape (B, U).
            projected: The input's share of all gates, shape (B, 3 U).
        """
        units = self.units
        gates = ops.sigmoid(
            projected[:, : 2 * units] + ops.matmul(state, self.gates)
        )
        update, reset = gates[:, :units], gates[:, units:]
        # The reset gate acts before the matrix product (Cho 2014), and the
        # update gate weighs the candidate (Bahdanau 2015).
        candidate = ops.tanh(
            projected[:, 2 * units :]
            + ops.matmul(reset * state, self.candidate)
        )
        return state + update * (candidate - state)


def _orthogonal_blocks(shape, dtype=None):
    """One orthogonal matrix for each gate, side by side."""
    units = shape[0]
    blocks = [
        keras.initializers.Orthogonal()((units, units), dtype=dtype)
        for _ in range(shape[1] // units)
    ]
    return ops.concatenate(blocks, axis=1)


@keras.saving.register_keras_serializable(package="attnlib")
class RNNSearch(keras.Model):
    """Translate with a bidirectional encoder and an attending decoder.

    1. annotations h_j = [forward GRU; backward GRU] of the source, (B, S, 2E)
    2. s_0 = tanh(W_s * backward h_1), (B, U)
    3. context c_i by additive attention of s_{i-1} over h, (B, 2E)
    4. s_i = GRU(s_{i-1}, [E y_{i-1}, c_i]): the context enters all gates
    5. logits of word i from [s_i, c_i, E y_{i-1}], (B, T, V)

    With `attention=False` the context is the same at every step: the
    encoder's last states through a tanh layer. That is the fixed-vector
    encoder-decoder at otherwise equal size.

    Args:
        source_size: Source vocabulary, ids 0 (padding) to `source_size - 1`.
        target_size: Target vocabulary.
        embedding_size: Width of the word embeddings.
        encoder_units: Width E of each of the encoder's two GRUs.
        decoder_units: Width U of the decoder's GRU.
        attention: Whether the decoder attends.
        attention_units: Width of the alignment model; None for
            `decoder_units`.
        readout_units: Width of the tanh layer before the output layer; None
            connects the states to the output layer directly.
        tied: Whether source embedding, target embedding and output layer are
            one matrix. Needs equal vocabularies and `readout_units` equal to
            `embedding_size`.
        dropout: Rate at the embeddings and before the output layer.
        label_smoothing: Share of the target that is spread over all words.
        **kwargs: Of `keras.Model`.

    Call arguments:
        inputs: Dict of integer tensors: `source`, shape (B, S), and
            `target`, shape (B, T), the previous words, starting with START.
            0 is padding.

    Returns:
        Logits, shape (B, T, target_size), float32.

    Raises:
        ValueError: An argument is out of range.

    Example:

    >>> import numpy as np
    >>> from attnlib.models.rnnsearch import RNNSearch
    >>> model = RNNSearch(20, 30, 8, 16, 16)
    >>> source, target = np.array([[4, 5, 6, 0]]), np.array([[2, 7]])
    >>> tuple(model({"source": source, "target": target}).shape)
    (1, 2, 30)

    Reference:
        Bahdanau, Cho and Bengio 2015, arXiv:1409.0473; Cho et al. 2014,
        arXiv:1406.1078. Differs from the paper in: tanh instead of maxout in
        the readout, which reads s_i instead of s_{i-1}; initialisation; Adam.
    """

    def __init__(
        self,
        source_size,
        target_size,
        embedding_size=620,
        encoder_units=1000,
        decoder_units=1000,
        attention=True,
        attention_units=None,
        readout_units=None,
        tied=False,
        dropout=0.0,
        label_smoothing=0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        sizes = {
            "source_size": source_size,
            "target_size": target_size,
            "embedding_size": embedding_size,
            "encoder_units": encoder_units,
            "decoder_units": decoder_units,
        }
        for name, value in sizes.items():
            setattr(self, name, checks.positive_integer(name, value))
        if tied and (
            source_size != target_size or readout_units != embedding_size
        ):
            raise ValueError(
                "expected equal vocabularies and readout_units equal to "
                "embedding_size with tied=True. Received: source_size "
                f"{source_size}, target_size {target_size}, readout_units "
                f"{readout_units}, embedding_size {embedding_size}"
            )
        for name, value in (
            ("dropout", dropout),
            ("label_smoothing", label_smoothing),
        ):
            if not 0 <= value < 1:
                raise ValueError(
                    f"expected {name} in [0, 1). Received: {value!r}"
                )
        self.attention, self.tied = bool(attention), bool(tied)
        self.attention_units = attention_units or decoder_units
        self.readout_units = readout_units
        self.dropout_rate, self.label_smoothing = dropout, label_smoothing
        # ops.scan does not compile with XLA on TensorFlow.
        self.supports_jit = keras.config.backend() != "tensorflow"
        self._add_layers()
        self.nll = keras.metrics.Mean(name="nll")

    def _add_layers(self):
        scale = self.embedding_size**-0.5

        def embedding(size, name):
            init = keras.initializers.RandomNormal(stddev=scale)
            return keras.layers.Embedding(
                size,
                self.embedding_size,
                embeddings_initializer=init,
                name=name,
            )

        self.target_embedding = embedding(self.target_size, "target_embedding")
        self.source_embedding = (
            self.target_embedding
            if self.tied
            else embedding(self.source_size, "source_embedding")
        )
        self.dropout = keras.layers.Dropout(self.dropout_rate)
        self.ahead = _GRUKernels(self.encoder_units, name="forward")
        self.behind = _GRUKernels(self.encoder_units, name="backward")
        self.initial = keras.layers.Dense(
            self.decoder_units, "tanh", name="initial_state"
        )
        self.decoder = _GRUKernels(self.decoder_units, name="decoder")
        self.context_kernel = keras.layers.Dense(
            3 * self.decoder_units, use_bias=False, name="context_kernel"
        )
        if self.attention:
            self.align = BahdanauAttention(self.attention_units, name="align")
        else:
            self.summarize = keras.layers.Dense(
                2 * self.encoder_units, "tanh", name="summary"
            )
        if self.readout_units:
            self.readout = keras.layers.Dense(
                self.readout_units, "tanh", name="readout"
            )
        if not self.tied:
            self.output_layer = keras.layers.Dense(
                self.target_size, name="output"
            )

    def build(self, inputs_shape=None):
        width, memory = self.embedding_size, 2 * self.encoder_units
        self.source_embedding.build((None, None))
        if not self.tied:
            self.target_embedding.build((None, None))
        for layer in (self.ahead, self.behind, self.decoder):
            layer.build((None, None, width))
        self.initial.build((None, self.encoder_units))
        self.context_kernel.build((None, memory))
        if self.attention:
            self.align.build((None, self.decoder_units), (None, None, memory))
        else:
            self.summarize.build((None, memory))
        features = self.decoder_units + memory + width
        if self.readout_units:
            self.readout.build((None, None, features))
            features = self.readout_units
        if self.tied:
            self.output_bias = self.add_weight(
                name="output_bias",
                shape=(self.target_size,),
                initializer="zeros",
            )
        else:
            self.output_layer.build((None, None, features))
        self.built = True

    def _embed(self, layer, ids, training):
        # The matrix has rows of length 1, as an output layer wants them;
        # inputs of unit variance suit the recurrence.
        embedded = layer(ids) * self.embedding_size**0.5
        return self.dropout(embedded, training=training)

    def embed_target(self, words, training=False):
        """Return target words as the decoder reads them, shape (..., M).

        Args:
            words: Integer tensor of any shape.
            training: Whether dropout is on.
        """
        return self._embed(self.target_embedding, words, training)

    def check_source(self, source) -> list:
        """Return a sentence's ids as a list, for `decoding.Decoder`.

        Args:
            source: Ids without START and END.

        Raises:
            ValueError: The sentence is empty or has unknown ids.
        """
        return words.check_ids(source, self.source_size)

    def encode(self, source, training=False):
        """Read a source sentence.

        Args:
            source: Integer tensor, shape (B, S), 0 is padding.
            training: Whether dropout is on.

        Returns:
            `(state, memory)`: s_0 of shape (B, U), and a dict of
            `annotations` (B, S, 2E), `keys` (B, S, A) and `mask` (B, S).
            Without attention: `context` (B, 2E) and `mask`.
        """
        mask = ops.not_equal(source, PAD)
        embedded = self._embed(self.source_embedding, source, training)
        ahead = self._read(self.ahead, embedded, mask, reverse=False)
        behind = self._read(self.behind, embedded, mask, reverse=True)
        state = self.initial(behind[:, 0])
        if not self.attention:
            # Padding leaves a state as it is, so the last column holds the
            # state after the last word.
            ends = ops.concatenate([ahead[:, -1], behind[:, 0]], axis=-1)
            return state, {"context": self.summarize(ends), "mask": mask}
        annotations = ops.concatenate([ahead, behind], axis=-1)
        keys = self.align.project(annotations)
        return state, {"annotations": annotations, "keys": keys, "mask": mask}

    def _read(self, gru, embedded, mask, reverse):
        """Run one direction of the encoder, (B, S, E)."""
        present = ops.cast(mask, embedded.dtype)[:, :, None]
        # One tensor, because TensorFlow's scan fails on two when the length
        # is unknown, as it is with buckets of several lengths.
        inputs = ops.concatenate([gru.project(embedded), present], axis=-1)
        inputs = ops.transpose(inputs, (1, 0, 2))

        def step(state, here):
            keep = here[:, -1:]
            state = state + keep * (gru.step(state, here[:, :-1]) - state)
            return state, state

        first = ops.zeros(
            (ops.shape(embedded)[0], self.encoder_units), inputs.dtype
        )
        _, states = ops.scan(step, first, inputs, reverse=reverse)
        return ops.transpose(states, (1, 0, 2))

    def attend(self, state, memory):
        """Return context (B, 2E) and weights (B, S) for a decoder state."""
        if self.attention:
            return self.align(
                state,
                memory["annotations"],
                memory_mask=memory["mask"],
                keys=memory["keys"],
            )
        # A fixed vector looks at no word in particular.
        nothing = ops.zeros_like(ops.cast(memory["mask"], state.dtype))
        return memory["context"], nothing

    def advance(self, state, projected, memory):
        """Take one decoder step.

        Args:
            state: s_{i-1}, shape (B, U).
            projected: The previous word's share of the gates, (B, 3 U).
            memory: From `encode`.

        Returns:
            `(state, context, weights)`: (B, U), (B, 2E), (B, S).
        """
        context, weights = self.attend(state, memory)
        gates = projected + self.context_kernel(context)
        return self.decoder.step(state, gates), context, weights

    def step(self, state, words, memory):
        """Take one step of a search.

        Args:
            state: s_{i-1}, shape (B, U).
            words: Previous words y_{i-1}, shape (B,).
            memory: From `encode`.

        Returns:
            `(state, logits, weights)`: (B, U), (B, V), (B, S).
        """
        embedded = self.embed_target(words)
        state, context, weights = self.advance(
            state, self.decoder.project(embedded), memory
        )
        return state, self.read_out(state, context, embedded), weights

    def read_out(self, states, contexts, embedded, training=False):
        """Return logits, shape (..., V), float32."""
        features = ops.concatenate([states, contexts, embedded], axis=-1)
        if self.readout_units:
            features = self.readout(features)
        features = self.dropout(features, training=training)
        if self.tied:
            matrix = ops.transpose(self.target_embedding.embeddings)
            logits = ops.matmul(features, matrix) + self.output_bias
        else:
            logits = self.output_layer(features)
        return ops.cast(logits, "float32")

    def call(self, inputs, training=None):
        return self.force(inputs, training)[0]

    def force(self, inputs, training=False):
        """Run with given previous words (teacher forcing).

        Args:
            inputs: As in the call.
            training: Whether dropout is on.

        Returns:
            `(logits, weights)`: (B, T, V) and the alignment (B, T, S).
        """
        checks.rank("source", inputs["source"], 2)
        checks.rank("target", inputs["target"], 2)
        state, memory = self.encode(inputs["source"], training)
        embedded = self.embed_target(inputs["target"], training)
        projected = ops.transpose(self.decoder.project(embedded), (1, 0, 2))

        def step(carry, here):
            carry = self.advance(carry[0], here, memory)
            return carry, carry

        # TensorFlow's scan wants what comes out in the shape of what is
        # carried, so context and weights are carried although no step reads
        # the previous ones.
        context = ops.zeros(
            (ops.shape(state)[0], 2 * self.encoder_units), state.dtype
        )
        weights = ops.zeros_like(ops.cast(memory["mask"], state.dtype))
        _, outputs = ops.scan(step, (state, context, weights), projected)
        states, contexts, weights = (
            ops.transpose(o, (1, 0, 2)) for o in outputs
        )
        logits = self.read_out(states, contexts, embedded, training)
        return logits, weights

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Return the mean smoothed cross-entropy per word that is no padding.

        Args:
            x: Not used.
            y: Next words, shape (B, T), 0 is padding.
            y_pred: Logits, shape (B, T, V).
            sample_weight: Not used.
            training: Smoothing applies in training only.
        """
        nll = ops.sparse_categorical_crossentropy(y, y_pred, from_logits=True)
        mask = ops.cast(ops.not_equal(y, PAD), nll.dtype)
        words = ops.maximum(ops.sum(mask), 1.0)
        mean = ops.sum(nll * mask) / words
        self.nll.update_state(mean, sample_weight=words)
        if not (training and self.label_smoothing):
            return mean
        uniform = ops.logsumexp(y_pred, axis=-1) - ops.mean(y_pred, axis=-1)
        spread = ops.sum(uniform * mask) / words
        return mean + self.label_smoothing * (spread - mean)

    @property
    def metrics(self):
        return [*super().metrics, self.nll]

    def get_config(self):
        return {
            **super().get_config(),
            "source_size": self.source_size,
            "target_size": self.target_size,
            "embedding_size": self.embedding_size,
            "encoder_units": self.encoder_units,
            "decoder_units": self.decoder_units,
            "attention": self.attention,
            "attention_units": self.attention_units,
            "readout_units": self.readout_units,
            "tied": self.tied,
            "dropout": self.dropout_rate,
            "label_smoothing": self.label_smoothing,
        }
