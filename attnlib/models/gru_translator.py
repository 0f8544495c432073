"""What translators with gated recurrent units share."""

import keras
import numpy as np
from keras import ops

from attnlib.models import words
from attnlib.models.checked import is_array
from attnlib.models.recurrent import (
    GRUKernels,
    Maxout,
    RecurrentDecoder,
)
from attnlib.ops import checks
from attnlib.text import PAD

READOUTS = ("tanh", "maxout")


class GRUTranslator(RecurrentDecoder):
    """Read a sentence with GRUs and write another with a GRU.

    A subclass chooses the encoder (`encode`) and the context of a step
    (`attend`), which enters all gates.

    Args:
        source_size: Source vocabulary, ids 0 (padding) to `source_size - 1`.
        target_size: Target vocabulary.
        embedding_size: Width M of the word embeddings.
        encoder_units: Width E of a GRU of the encoder.
        decoder_units: Width U of the decoder's GRU.
        readout_units: Width of the layer before the output layer; None
            connects the states to the output layer directly.
        tied: Whether source embedding, target embedding and output layer are
            one matrix.
        readout: `"tanh"` or `"maxout"`.
        paper_init: Whether weights start as in the papers: N(0, 0.01^2),
            recurrent ones orthogonal.
        **kwargs: Of `RecurrentDecoder`.
    """

    # Whether the update gate weighs the previous state.
    update_keeps = False

    def __init__(
        self,
        source_size,
        target_size,
        embedding_size,
        encoder_units,
        decoder_units,
        readout_units=None,
        tied=False,
        readout="tanh",
        paper_init=False,
        **kwargs,
    ):
        super().__init__(target_size, embedding_size, **kwargs)
        sizes = {
            "source_size": source_size,
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
        self.readout_kind = checks.one_of("readout", readout, READOUTS)
        if readout == "maxout" and not readout_units:
            raise ValueError(
                'expected readout_units with readout="maxout". Received: '
                f"{readout_units!r}"
            )
        self.readout_units, self.tied = readout_units, bool(tied)
        self.paper_init = checks.flag("paper_init", paper_init)
        if self.paper_init:
            self.embedding_scale = 1.0

    def _kernel(self):
        """Return a new initializer: one that is shared repeats its draw."""
        if self.paper_init:
            return keras.initializers.RandomNormal(stddev=0.01)
        return keras.initializers.GlorotUniform()

    def _embedding(self, size, name):
        embedding = super()._embedding(size, name)
        if self.paper_init:
            embedding.embeddings_initializer = self._kernel()
        return embedding

    def _add_embeddings(self):
        self.target_embedding = self._embedding(
            self.target_size, "target_embedding"
        )
        self.source_embedding = (
            self.target_embedding
            if self.tied
            else self._embedding(self.source_size, "source_embedding")
        )
        self.dropout = keras.layers.Dropout(self.dropout_rate)

    def _gru(self, units, name):
        # Where the initializer is a name, its seed is drawn in build.
        kernel = self._kernel() if self.paper_init else "glorot_uniform"
        return GRUKernels(units, self.update_keeps, kernel, name=name)

    def _add_decoder(self):
        self.initial = keras.layers.Dense(
            self.decoder_units,
            "tanh",
            kernel_initializer=self._kernel(),
            name="initial_state",
        )
        self.decoder = self._gru(self.decoder_units, "decoder")
        self.context_kernel = keras.layers.Dense(
            3 * self.decoder_units,
            use_bias=False,
            kernel_initializer=self._kernel(),
            name="context_kernel",
        )

    def _add_output(self):
        if self.readout_units:
            kernel = self._kernel()
            self.readout = (
                keras.layers.Dense(
                    self.readout_units,
                    "tanh",
                    kernel_initializer=kernel,
                    name="readout",
                )
                if self.readout_kind == "tanh"
                else Maxout(self.readout_units, kernel, name="readout")
            )
        if not self.tied:
            self.output_layer = keras.layers.Dense(
                self.target_size,
                kernel_initializer=self._kernel(),
                name="output",
            )

    def _build_words(self, *readers):
        """Build embeddings and GRUs."""
        self.source_embedding.build((None, None))
        if not self.tied:
            self.target_embedding.build((None, None))
        for layer in (*readers, self.decoder):
            layer.build((None, None, self.embedding_size))

    def _build_output(self, context):
        """Build what reads states, and contexts of a width."""
        self.context_kernel.build((None, context))
        features = self.decoder_units + context + self.embedding_size
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
        self.context_size = context

    def check_source(self, source) -> list:
        """Return a sentence's ids as a list, for `decoding.Decoder`.

        Args:
            source: Ids without START and END.

        Raises:
            ValueError: The sentence is empty or has unknown ids.
        """
        return words.check_ids(source, self.source_size)

    def _read(self, gru, embedded, mask, reverse=False):
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

    def advance(self, state, projected, memory):
        """Take one decoder step.

        Args:
            state: s_{i-1}, shape (B, U).
            projected: The previous word's share of the gates, (B, 3 U).
            memory: From `encode`.

        Returns:
            `(state, context, weights)`: (B, U), (B, C), (B, S).
        """
        context, weights = self.attend(state, memory)
        gates = projected + self.context_kernel(context)
        return self.decoder.step(state, gates), context, weights

    def blank(self, memory):
        """Return zeros like a step's context and weights."""
        mask, dtype = memory["mask"], self.compute_dtype
        context = ops.zeros((ops.shape(mask)[0], self.context_size), dtype)
        return context, ops.zeros_like(ops.cast(mask, dtype))

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

    def check_inputs(self, inputs):
        """Check sentences and given words.

        Args:
            inputs: As in the call.

        Raises:
            ValueError: Ranks are not 2, batches differ, there is no word, one
                is no integer, or an array has one that is unknown or, in
                `source`, a sentence of padding alone.
        """
        source = inputs["source"]
        words.check_batch("source", source, self.source_size)
        super().check_inputs(inputs)
        sizes = {name: inputs[name].shape[0] for name in ("source", "target")}
        checks.same("batch sizes", **sizes)
        if is_array(source):
            empty = np.flatnonzero((source == PAD).all(axis=1))
            if empty.size:
                raise ValueError(
                    "expected sentences of at least one word. Received: "
                    f"source {empty[0]} is padding alone"
                )

    def _mask(self, source):
        return ops.not_equal(source, PAD)

    def get_config(self):
        return {
            **super().get_config(),
            "source_size": self.source_size,
            "encoder_units": self.encoder_units,
            "decoder_units": self.decoder_units,
            "readout_units": self.readout_units,
            "tied": self.tied,
            "readout": self.readout_kind,
            "paper_init": self.paper_init,
        }
