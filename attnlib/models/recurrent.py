"""What the recurrent models that write sentences share."""

import keras
import numpy as np
from keras import ops

from attnlib.models import words
from attnlib.models.checked import ChecksArrays, check_known
from attnlib.ops import checks
from attnlib.text import PAD


class GRUKernels(keras.layers.Layer):
    """The weights of a GRU, for loops that other layers write.

    The input's part is projected for all steps at once (`project`), the
    recurrent part in `step`.

    Args:
        units: Width U of the state.
        update_keeps: Whether the update gate weighs the previous state (Cho
            2014); otherwise it weighs the candidate (Bahdanau 2015).
        kernel_initializer: Of the input's kernel.
        **kwargs: Of `keras.layers.Layer`.
    """

    def __init__(
        self,
        units,
        update_keeps=False,
        kernel_initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units, self.update_keeps = units, update_keeps
        self.kernel_initializer = kernel_initializer

    def build(self, inputs_shape):
        units = self.units
        self.kernel = self.add_weight(
            name="kernel",
            shape=(inputs_shape[-1], 3 * units),
            initializer=self.kernel_initializer,
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
        """Return the input's share of all gates, shape (..., 3 U)."""
        return _affine(self, inputs)

    def step(self, state, projected):
        """Return the next state, shape (B, U).

        Args:
            state: Previous state s, shape (B, U).
            projected: The input's share of all gates, shape (B, 3 U).
        """
        units, dtype = self.units, self.compute_dtype
        gates = ops.sigmoid(
            projected[:, : 2 * units]
            + ops.matmul(state, ops.cast(self.gates, dtype))
        )
        update, reset = gates[:, :units], gates[:, units:]
        # The reset gate acts before the matrix product (both papers).
        candidate = ops.tanh(
            projected[:, 2 * units :]
            + ops.matmul(reset * state, ops.cast(self.candidate, dtype))
        )
        if self.update_keeps:
            return candidate + update * (state - candidate)
        return state + update * (candidate - state)


class LSTMKernels(keras.layers.Layer):
    """The weights of an LSTM, for loops that other layers write.

    The gates are input, forget, candidate and output, in this order. The
    forget gate starts open: its bias is 1.

    Args:
        units: Width U of state and memory.
        **kwargs: Of `keras.layers.Layer`.
    """

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, inputs_shape):
        units = self.units
        self.kernel = self.add_weight(
            name="kernel", shape=(inputs_shape[-1], 4 * units)
        )
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel",
            shape=(units, 4 * units),
            initializer=_orthogonal_blocks,
        )
        self.bias = self.add_weight(
            name="bias", shape=(4 * units,), initializer=_open_forget_gate
        )

    def project(self, inputs):
        """Return the input's share of all gates, shape (..., 4 U)."""
        return _affine(self, inputs)

    def step(self, state, projected):
        """Return the next `(h, c)`, of shape (B, U) each.

        Args:
            state: Previous `(h, c)`.
            projected: The input's share of all gates, shape (B, 4 U).
        """
        h, c = state
        kernel = ops.cast(self.recurrent_kernel, self.compute_dtype)
        enter, keep, new, leave = ops.split(
            projected + ops.matmul(h, kernel), 4, axis=-1
        )
        c = ops.sigmoid(keep) * c + ops.sigmoid(enter) * ops.tanh(new)
        return ops.sigmoid(leave) * ops.tanh(c), c


class PeepholeLSTMKernels(LSTMKernels):
    """The weights of an LSTM whose gates see its memory, too.

    Each gate gets the memory of its own unit by a weight of its own: input and
    forget gate the memory before the step, the output gate the one after it.

    Args:
        units: Width U of state and memory.
        **kwargs: Of `keras.layers.Layer`.

    Reference:
        Gers et al. 2002, JMLR 3; Graves 2013, arXiv:1308.0850, equations 7
        to 11.
    """

    def build(self, inputs_shape):
        super().build(inputs_shape)
        self.peepholes = self.add_weight(
            name="peepholes", shape=(3, self.units), initializer="zeros"
        )

    def step(self, state, projected):
        """Return the next `(h, c)`, as of `LSTMKernels.step`."""
        h, c = state
        dtype = self.compute_dtype
        kernel = ops.cast(self.recurrent_kernel, dtype)
        to_enter, to_keep, to_leave = ops.unstack(
            ops.cast(self.peepholes, dtype), 3
        )
        enter, keep, new, leave = ops.split(
            projected + ops.matmul(h, kernel), 4, axis=-1
        )
        entered = ops.sigmoid(enter + to_enter * c) * ops.tanh(new)
        c = ops.sigmoid(keep + to_keep * c) * c + entered
        return ops.sigmoid(leave + to_leave * c) * ops.tanh(c), c


def _affine(layer, inputs):
    # Outside of call nobody casts the weights to the compute dtype.
    dtype = layer.compute_dtype
    kernel, bias = ops.cast(layer.kernel, dtype), ops.cast(layer.bias, dtype)
    return ops.matmul(inputs, kernel) + bias


def _orthogonal_blocks(shape, dtype=None):
    """One orthogonal matrix for each gate, side by side."""
    units = shape[0]
    blocks = [
        keras.initializers.Orthogonal()((units, units), dtype=dtype)
        for _ in range(shape[1] // units)
    ]
    return ops.concatenate(blocks, axis=1)


def _open_forget_gate(shape, dtype=None):
    units = shape[0] // 4
    bias = np.zeros(shape, "float32")
    bias[units : 2 * units] = 1.0
    return ops.convert_to_tensor(bias, dtype)


class Maxout(keras.layers.Layer):
    """The larger of two linear maps at each of `units` outputs.

    Args:
        units: Width of the output.
        kernel_initializer: Of the kernel.
        **kwargs: Of `keras.layers.Layer`.
    """

    def __init__(self, units, kernel_initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.dense = keras.layers.Dense(
            2 * units, kernel_initializer=kernel_initializer, name="pairs"
        )

    def build(self, inputs_shape):
        self.dense.build(inputs_shape)

    def call(self, inputs):
        # Neighbours are a pair, as in the paper.
        even_and_odd = self.dense(inputs)
        return ops.maximum(even_and_odd[..., ::2], even_and_odd[..., 1::2])


class RecurrentDecoder(ChecksArrays, keras.Model):
    """A recurrent network that writes words about what it has read.

    It holds what all such models share: embedded words, the loop over given
    words with its training by own words, the loss, and the interface that
    `decoding.Decoder` searches. A subclass has `target_embedding`, `dropout`
    and `decoder` (the weights of its recurrence), and these methods:

    - `encode(source, training)` returns the first state and the memory.
    - `advance(state, projected, memory)` returns a tuple that starts with the
      next state, the context, and the attention weights; `projected` is what
      `project` returns; one more argument is the step's noise, in models that
      have some.
    - `blank(memory)` returns zeros like what `advance` returns after the
      state.
    - `read_out(states, contexts, embedded, training)` returns logits.

    Args:
        target_size: Words that can be written, ids 0 (padding) to
            `target_size - 1`.
        embedding_size: Width M of the word embeddings.
        dropout: Rate at the embeddings and before the output layer.
        label_smoothing: Share of the target that is spread over all words.
        scheduled_sampling: Probability that a word in training is not the
            given one but one that the model drew itself.
        seed: Seed of the model's random numbers, or None.
        **kwargs: Of `keras.Model`.

    Reference:
        Bengio et al. 2015, arXiv:1506.03099 (scheduled sampling). Differs
        from the paper in: the probability is constant.
    """

    # Whether words are read out of the state before a step, not after it.
    reads_previous = False

    def __init__(
        self,
        target_size,
        embedding_size,
        dropout=0.0,
        label_smoothing=0.0,
        scheduled_sampling=0.0,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.target_size = checks.positive_integer("target_size", target_size)
        self.embedding_size = checks.positive_integer(
            "embedding_size", embedding_size
        )
        for name, value, closed in (
            ("dropout", dropout, False),
            ("label_smoothing", label_smoothing, False),
            ("scheduled_sampling", scheduled_sampling, True),
        ):
            if not (0 <= value < 1 or (closed and value == 1)):
                raise ValueError(
                    f"expected {name} in [0, 1{']' if closed else ')'}. "
                    f"Received: {value!r}"
                )
        self.dropout_rate, self.label_smoothing = dropout, label_smoothing
        self.scheduled_sampling = scheduled_sampling
        self.seed = checks.seed(seed)
        if scheduled_sampling:
            self.seed_generator = keras.random.SeedGenerator(self.seed)
        # What multiplies an embedding that is read.
        self.embedding_scale = self.embedding_size**0.5
        # ops.scan does not compile with XLA on TensorFlow.
        self.supports_jit = keras.config.backend() != "tensorflow"
        self.nll = keras.metrics.Mean(name="nll")

    def _embedding(self, size, name):
        """Return an embedding whose matrix suits an output layer, too."""
        init = keras.initializers.RandomNormal(stddev=1 / self.embedding_scale)
        return keras.layers.Embedding(
            size, self.embedding_size, embeddings_initializer=init, name=name
        )

    def _embed(self, layer, ids, training):
        # The matrix has rows of length 1, as an output layer wants them;
        # inputs of unit variance suit the recurrence.
        embedded = layer(ids) * self.embedding_scale
        return self.dropout(embedded, training=training)

    def embed_target(self, words, training=False):
        """Return target words as the decoder reads them, shape (..., M).

        Args:
            words: Integer tensor of any shape.
            training: Whether dropout is on.
        """
        return self._embed(self.target_embedding, words, training)

    def project(self, embedded):
        """Return what `advance` reads of embedded words, shape (..., K).

        It is computed for all words at once, before the loop.
        """
        return self.decoder.project(embedded)

    def step(self, state, words, memory):
        """Take one step of a search.

        Args:
            state: Previous state, from `encode` or the last step.
            words: Previous words y_{i-1}, shape (B,).
            memory: From `encode`.

        Returns:
            `(state, logits, weights)`: the next state, (B, V) and (B, L).
        """
        embedded = self.embed_target(words)
        outputs = self.advance(state, self.project(embedded), memory)
        logits = self._logits(state, outputs, embedded)
        return outputs[0], logits, outputs[2]

    def _logits(self, before, outputs, embedded, training=False):
        states = before if self.reads_previous else outputs[0]
        return self.read_out(states, outputs[1], embedded, training)

    def unroll(
        self, state, memory, target, training=False, noise=None, extra=None
    ):
        """Write along given previous words.

        Args:
            state: First state.
            memory: From `encode`.
            target: Previous words, shape (B, T).
            training: Whether dropout is on, and own words are fed.
            noise: Uniform numbers in [0, 1), shape (B, T, 2), for scheduled
                sampling: where the first is below the probability, the
                previous word is the model's own; the second draws the word
                that the model writes. None draws them in training.
            extra: Noise of `advance`, shape (B, T, K), or None.

        Returns:
            `(logits, outputs)`: (B, T, V), and what `advance` returned, each
            part of shape (B, T, ...).
        """
        if noise is None and training and self.scheduled_sampling:
            shape = (*ops.shape(target)[:2], 2)
            noise = keras.random.uniform(shape, seed=self.seed_generator)
        first = (state, *self.blank(memory))
        if noise is None:
            outputs, embedded = self._follow(
                first, memory, target, training, extra
            )
        else:
            outputs, embedded = self._follow_partly(
                first, memory, target, training, extra, noise
            )
        before = None
        if self.reads_previous:
            before = keras.tree.map_structure(_shifted, state, outputs[0])
        return self._logits(before, outputs, embedded, training), outputs

    def _follow(self, first, memory, target, training, extra):
        """Feed the given words (teacher forcing)."""
        embedded = self.embed_target(target, training)
        projected = self.project(embedded)
        width = projected.shape[-1]

        def step(carry, here):
            outputs = self._advance(carry[0], here, memory, width)
            return outputs, outputs

        return _scan(step, first, [projected, extra]), embedded

    def _follow_partly(self, first, memory, target, training, extra, noise):
        """Feed the given words or, where the noise says so, own ones."""
        size, batch = self.embedding_size, ops.shape(target)[0]
        dtype = self.compute_dtype
        own = ops.less(noise[:, :, :1], self.scheduled_sampling)
        # START comes first in any case.
        later = ops.cumsum(ops.ones_like(noise[:, :, :1]), axis=1) > 1
        kept = ops.ones((*ops.shape(target)[:2], size), dtype)
        kept = self.dropout(kept, training=training)
        added = words.allowed(self.target_size)

        def step(carry, here):
            given, own, uniform = here[:, 0], here[:, 1], here[:, 2]
            previous = ops.where(own > 0, carry[-1][:, 0], _integers(given))
            embedded = self.embed_target(previous)
            embedded = embedded * ops.cast(here[:, 3 : 3 + size], dtype)
            # Noise stays float32.
            projected = ops.cast(self.project(embedded), "float32")
            here = ops.concatenate([projected, here[:, 3 + size :]], axis=-1)
            width = projected.shape[-1]
            outputs = self._advance(carry[0], here, memory, width)
            logits = self._logits(carry[0], outputs, embedded)
            written = words.draw(logits + added, uniform)
            outputs = (*outputs, embedded, _integers(written)[:, None])
            return outputs, outputs

        first = (
            *first,
            ops.zeros((batch, size), dtype),
            ops.zeros((batch, 1), "int32"),
        )
        given = ops.cast(target, "float32")[:, :, None]
        own = ops.cast(ops.logical_and(own, later), "float32")
        parts = [given, own, noise[:, :, 1:], kept, extra]
        outputs = _scan(step, first, parts)
        return outputs[:-2], outputs[-2]

    def _advance(self, state, here, memory, width):
        """Take one step from the word's share and, behind it, noise."""
        projected = ops.cast(here[:, :width], self.compute_dtype)
        if here.shape[-1] == width:
            return self.advance(state, projected, memory)
        return self.advance(state, projected, memory, here[:, width:])

    def check_inputs(self, inputs):
        """Check the given words; a subclass adds what is read.

        Keras turns arrays into tensors before the call, so ids are seen in
        `force` and where this is called before Keras is.

        Args:
            inputs: As in the call.

        Raises:
            ValueError: There is no word, one is no integer, or an array has
                one that is unknown.
        """
        target = inputs["target"]
        words.check_batch("target", target, self.target_size)

    def begin(self, inputs, training=False):
        """Check the inputs and read the source.

        Args:
            inputs: As in the call.
            training: Whether the source is read in training.

        Returns:
            `(state, memory, target)`: from `encode`, and the previous words
            (B, T) that belong to them.
        """
        self.check_inputs(inputs)
        return *self.encode(inputs["source"], training), inputs["target"]

    def check_arrays(self, x, y=None):
        """Check what is read and written, before Keras computes with it.

        Args:
            x: As in the call.
            y: Next words, or None.

        Raises:
            ValueError: Of `check_inputs`, or a next word is unknown.
        """
        self.check_inputs(x)
        check_known("next words", y, self.target_size)

    def force(self, inputs, training=False, noise=None):
        """Run with given previous words (teacher forcing).

        Args:
            inputs: As in the call.
            training: Whether dropout and scheduled sampling are on.
            noise: Uniform numbers, shape (B, T, 2), see `unroll`, or None.

        Returns:
            `(logits, weights)`: (B, T, V), and how much each of L places of
            the source was attended to, (B, T, L), 0 without attention.
        """
        state, memory, target = self.begin(inputs, training)
        logits, outputs = self.unroll(state, memory, target, training, noise)
        return logits, outputs[2]

    def call(self, inputs, training=None):
        return self.force(inputs, training)[0]

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
        nll, mask = word_nll(y, y_pred)
        count = ops.maximum(ops.sum(mask), 1.0)
        mean = ops.sum(nll) / count
        self.nll.update_state(mean, sample_weight=count)
        if not (training and self.label_smoothing):
            return mean
        uniform = ops.logsumexp(y_pred, axis=-1) - ops.mean(y_pred, axis=-1)
        spread = ops.sum(uniform * mask) / count
        return mean + self.label_smoothing * (spread - mean)

    @property
    def metrics(self):
        return [*super().metrics, self.nll]

    def get_config(self):
        return {
            **super().get_config(),
            "target_size": self.target_size,
            "embedding_size": self.embedding_size,
            "dropout": self.dropout_rate,
            "label_smoothing": self.label_smoothing,
            "scheduled_sampling": self.scheduled_sampling,
            "seed": self.seed,
        }


def word_nll(following, logits):
    """Return the cross-entropy of each word, and which are no padding.

    Args:
        following: Next words, shape (B, T), 0 is padding.
        logits: Floating tensor, shape (B, T, V).

    Returns:
        `(nll, mask)`: nats, shape (B, T), 0 at padding; and 1 where there is
        a word, else 0, in the same dtype.
    """
    nll = ops.sparse_categorical_crossentropy(
        following, logits, from_logits=True
    )
    mask = ops.cast(ops.not_equal(following, PAD), nll.dtype)
    return nll * mask, mask


def _scan(step, first, parts):
    """Scan over axis 1 of the parts that are there, side by side."""
    parts = [part for part in parts if part is not None]
    # One tensor, because TensorFlow's scan fails on two when the length is
    # unknown, as it is with buckets of several lengths.
    if len(parts) > 1:
        parts = [ops.cast(part, "float32") for part in parts]
        parts = [ops.concatenate(parts, axis=-1)]
    # TensorFlow's scan wants what comes out in the shape of what is carried,
    # so all is carried although a step reads little of the previous one.
    _, outputs = ops.scan(step, first, ops.transpose(parts[0], (1, 0, 2)))
    return keras.tree.map_structure(
        lambda output: ops.transpose(output, (1, 0, 2)), outputs
    )


def _shifted(first, states):
    """Return the states before each step, (B, T, U)."""
    return ops.concatenate([first[:, None], states[:, :-1]], axis=1)


def _integers(tensor):
    return ops.cast(tensor, "int32")
