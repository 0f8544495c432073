"""RNNsearch: translation by a recurrent decoder that searches its source."""

import keras
from keras import ops

from attnlib.layers import BahdanauAttention
from attnlib.models.gru_translator import GRUTranslator

VERSION = 2  # Raised when trained results change.


@keras.saving.register_keras_serializable(package="attnlib")
class RNNSearch(GRUTranslator):
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
        readout_units: Width of the layer before the output layer; None
            connects the states to the output layer directly.
        tied: Whether source embedding, target embedding and output layer are
            one matrix. Needs equal vocabularies and `readout_units` equal to
            `embedding_size`.
        dropout: Rate at the embeddings and before the output layer.
        label_smoothing: Share of the target that is spread over all words.
        readout: `"tanh"`, or `"maxout"` for the paper's readout, the larger
            of pairs of units, which reads s_{i-1} instead of s_i.
        paper_init: Whether weights start as in the paper: N(0, 0.001^2) in
            the alignment model with v_a = 0, so that attention is uniform at
            first, orthogonal recurrent ones, N(0, 0.01^2) the others. Short
            trainings hardly learn from there.
        scheduled_sampling: Probability that a previous word in training is
            one that the model drew itself; 0 is teacher forcing.
        seed: Seed of those draws, or None.
        **kwargs: Of `keras.Model`.

    Call arguments:
        inputs: Dict of integer tensors: `source`, shape (B, S), and
            `target`, shape (B, T), the previous words, starting with START.
            0 is padding.

    Returns:
        Logits, shape (B, T, target_size), float32.

    Raises:
        ValueError: An argument is out of range, or there is no word; of
            arrays also where a word is unknown.

    Example:

    >>> import numpy as np
    >>> from attnlib.models.rnnsearch import RNNSearch
    >>> model = RNNSearch(20, 30, 8, 16, 16)
    >>> source, target = np.array([[4, 5, 6, 0]]), np.array([[2, 7]])
    >>> tuple(model({"source": source, "target": target}).shape)
    (1, 2, 30)

    Reference:
        Bahdanau, Cho and Bengio 2015, arXiv:1409.0473; Cho et al. 2014,
        arXiv:1406.1078. Differs from the paper in: Adam; and, unless asked
        for by `readout` and `paper_init`, the readout and the initialisation.
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
        readout="tanh",
        paper_init=False,
        scheduled_sampling=0.0,
        seed=None,
        **kwargs,
    ):
        super().__init__(
            source_size,
            target_size,
            embedding_size,
            encoder_units,
            decoder_units,
            readout_units,
            tied,
            readout,
            paper_init,
            dropout=dropout,
            label_smoothing=label_smoothing,
            scheduled_sampling=scheduled_sampling,
            seed=seed,
            **kwargs,
        )
        self.attention = bool(attention)
        self.attention_units = attention_units or decoder_units
        self.reads_previous = readout == "maxout"
        self._add_layers()

    def _add_layers(self):
        self._add_embeddings()
        self.ahead = self._gru(self.encoder_units, "forward")
        self.behind = self._gru(self.encoder_units, "backward")
        self._add_decoder()
        if self.attention:
            options = {}
            if self.paper_init:
                tiny = keras.initializers.RandomNormal(stddev=0.001)
                options = {
                    "kernel_initializer": tiny,
                    "score_initializer": "zeros",
                }
            self.align = BahdanauAttention(
                self.attention_units, name="align", **options
            )
        else:
            self.summarize = keras.layers.Dense(
                2 * self.encoder_units,
                "tanh",
                kernel_initializer=self._kernel(),
                name="summary",
            )
        self._add_output()

    def build(self, inputs_shape=None):
        memory = 2 * self.encoder_units
        self._build_words(self.ahead, self.behind)
        self.initial.build((None, self.encoder_units))
        if self.attention:
            self.align.build((None, self.decoder_units), (None, None, memory))
        else:
            self.summarize.build((None, memory))
        self._build_output(memory)
        self.built = True

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
        mask = self._mask(source)
        embedded = self._embed(self.source_embedding, source, training)
        ahead = self._read(self.ahead, embedded, mask)
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

    def get_config(self):
        return {
            **super().get_config(),
            "attention": self.attention,
            "attention_units": self.attention_units,
        }
