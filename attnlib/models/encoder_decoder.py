"""The RNN encoder-decoder: translation through one fixed vector."""

import keras
from keras import ops

from attnlib.models.gru_translator import GRUTranslator

VERSION = 1  # Raised when trained results change.


@keras.saving.register_keras_serializable(package="attnlib")
class RNNEncoderDecoder(GRUTranslator):
    """Read a sentence into one vector and write its translation from it.

    1. h_j = GRU(h_{j-1}, E x_j) over the source, h_S of shape (B, E)
    2. summary c = tanh(V h_S), shape (B, U)
    3. s_0 = tanh(V' c), shape (B, U)
    4. s_i = GRU(s_{i-1}, [E y_{i-1}, c]): the summary enters all gates at
       every step
    5. logits of word i from [s_i, c, E y_{i-1}] by maxout, (B, T, V)

    Whatever the source's length, the decoder knows c of it and nothing else.

    Args:
        source_size: Source vocabulary, ids 0 (padding) to `source_size - 1`.
        target_size: Target vocabulary.
        embedding_size: Width of the word embeddings.
        encoder_units: Width E of the encoder's GRU.
        decoder_units: Width U of the decoder's GRU and of the summary.
        readout_units: Width of the readout before the output layer; None
            connects the states to the output layer directly, with
            `readout="tanh"`.
        tied: Whether source embedding, target embedding and output layer are
            one matrix. Needs equal vocabularies and `readout_units` equal to
            `embedding_size`.
        dropout: Rate at the embeddings and before the output layer.
        label_smoothing: Share of the target that is spread over all words.
        readout: `"maxout"`, the larger of pairs of units, or `"tanh"`.
        paper_init: Whether weights start as in the paper: recurrent ones
            orthogonal, N(0, 0.01^2) the others. Short trainings hardly learn
            from there.
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
    >>> from attnlib.models.encoder_decoder import RNNEncoderDecoder
    >>> model = RNNEncoderDecoder(20, 30, 8, 16, 16, readout_units=8)
    >>> source, target = np.array([[4, 5, 6, 0]]), np.array([[2, 7]])
    >>> tuple(model({"source": source, "target": target}).shape)
    (1, 2, 30)

    Reference:
        Cho et al. 2014, arXiv:1406.1078, sections 2.2, 2.3 and appendix A.
        Differs from the paper in: it translates whole sentences, as the
        RNNencdec of Bahdanau et al. 2015 does, where the paper scores pairs
        of phrases; the decoder's reset gate acts on the previous state alone,
        as the encoder's does; the output matrix has full rank; Adam; and,
        unless asked for by `paper_init`, the initialisation.
    """

    # Cho's update gate, the opposite of Bahdanau's.
    update_keeps = True

    def __init__(
        self,
        source_size,
        target_size,
        embedding_size=100,
        encoder_units=1000,
        decoder_units=1000,
        readout_units=500,
        tied=False,
        dropout=0.0,
        label_smoothing=0.0,
        readout="maxout",
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
        self._add_embeddings()
        self.reader = self._gru(self.encoder_units, "reader")
        self.summarize = keras.layers.Dense(
            self.decoder_units,
            "tanh",
            kernel_initializer=self._kernel(),
            name="summary",
        )
        self._add_decoder()
        self._add_output()

    def build(self, inputs_shape=None):
        units = self.decoder_units
        self._build_words(self.reader)
        self.summarize.build((None, self.encoder_units))
        self.initial.build((None, units))
        self._build_output(units)
        self.built = True

    def encode(self, source, training=False):
        """Read a source sentence.

        Args:
            source: Integer tensor, shape (B, S), 0 is padding.
            training: Whether dropout is on.

        Returns:
            `(state, memory)`: s_0 of shape (B, U), and a dict of `context`,
            the summary c (B, U), and `mask` (B, S).
        """
        mask = self._mask(source)
        embedded = self._embed(self.source_embedding, source, training)
        # Padding leaves a state as it is, so the last column holds the state
        # after the last word.
        summary = self.summarize(self._read(self.reader, embedded, mask)[:, -1])
        return self.initial(summary), {"context": summary, "mask": mask}

    def attend(self, state, memory):
        """Return the summary (B, U) and weights (B, S), all 0."""
        nothing = ops.zeros_like(ops.cast(memory["mask"], state.dtype))
        return memory["context"], nothing
