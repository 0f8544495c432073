"""Show and Tell: captions by an LSTM that sees the image at the start."""

import keras
from keras import ops

from attnlib.models.captioner import Captioner
from attnlib.ops import checks

VERSION = 1  # Raised when trained results change.


@keras.saving.register_keras_serializable(package="attnlib")
class ShowAndTell(Captioner):
    """Caption an image that is shown once, as if it were the first word.

    1. x_{-1} = W_i mean of the features + b_i, shape (B, M) (equation 10)
    2. x_t = W_e S_t: the words, starting with START, (B, T, M) (11)
    3. h_t, c_t = LSTM(x_t, h_{t-1}, c_{t-1}), from 0, (B, U)
    4. logits of the next word from h_t, (B, T, V) (12)

    Args:
        target_size: Vocabulary of the captions, ids 0 (padding) to
            `target_size - 1`.
        embedding_size: Width M of the embeddings of words and image.
        units: Width U of the LSTM.
        encoder: Keras model from images (B, H, W, C) to features; None where
            features are given instead of images. Set its `trainable` to False
            to keep it as it is.
        every_step: Whether the LSTM sees the image at every step, next to the
            word: what the paper found to be worse.
        dropout: Rate at the embeddings and before the output layer.
        label_smoothing: Share of the target that is spread over all words.
        scheduled_sampling: Probability that a previous word in training is
            one that the model drew itself; 0 is teacher forcing.
        seed: Seed of those draws, or None.
        **kwargs: Of `keras.Model`.

    Call arguments:
        inputs: Dict of `source`: images (B, H, W, C) for the encoder, or
            features (B, D), (B, L, D) or (B, h, w, D), floating; and
            `target`: integers (B, T), the previous words, starting with
            START. 0 is padding. Or (B, K, T), K captions of each image, which
            is read once for all of them.

    Returns:
        Logits, shape (B, T, target_size) or (B K, T, target_size), float32.

    Raises:
        ValueError: An argument is out of range, the features are not those
            the model was built for, or there is no word; of arrays also where
            a word is unknown.

    Example:

    >>> import numpy as np
    >>> from attnlib.models.show_and_tell import ShowAndTell
    >>> model = ShowAndTell(20, 8, 16)
    >>> source, target = np.ones((1, 5), "float32"), np.array([[2, 7]])
    >>> tuple(model({"source": source, "target": target}).shape)
    (1, 2, 20)

    Reference:
        Vinyals et al. 2015, arXiv:1411.4555, section 3.1. Differs from the
        paper in: the encoder is the caller's; the LSTM's memory leaves it
        through a tanh (equation 8 has none); Adam instead of SGD.
    """

    feature_ranks = (2, 3, 4)

    def __init__(
        self,
        target_size,
        embedding_size=512,
        units=512,
        encoder=None,
        every_step=False,
        dropout=0.0,
        label_smoothing=0.0,
        scheduled_sampling=0.0,
        seed=None,
        **kwargs,
    ):
        super().__init__(
            target_size,
            embedding_size,
            units,
            encoder,
            dropout=dropout,
            label_smoothing=label_smoothing,
            scheduled_sampling=scheduled_sampling,
            seed=seed,
            **kwargs,
        )
        self.every_step = checks.flag("every_step", every_step)
        self.image_embedding = keras.layers.Dense(
            self.embedding_size, name="image_embedding"
        )
        if self.every_step:
            self.context_kernel = keras.layers.Dense(
                4 * self.units, use_bias=False, name="context_kernel"
            )

    def build(self, inputs_shape):
        _, width = self._build_reader(inputs_shape)
        self.image_embedding.build((None, width))
        if self.every_step:
            self.context_kernel.build((None, self.embedding_size))
        self.output_layer.build((None, None, self.units))
        self.built = True

    def encode(self, source, training=False):
        """Look at the images.

        Args:
            source: Images or features, as in the call.
            training: Whether dropout is on, and the encoder in training.

        Returns:
            `(state, memory)`: the LSTM's `(h, c)` after the image, (B, U)
            each, and a dict of `image`, its embedding x_{-1}, (B, M).
        """
        mean = ops.mean(self.features(source, training), axis=1)
        image = self.dropout(self.image_embedding(mean), training=training)
        blank = ops.zeros((ops.shape(image)[0], self.units), image.dtype)
        memory = {"image": image}
        projected = self.decoder.project(image)
        return self.advance((blank, blank), projected, memory)[0], memory

    def advance(self, state, projected, memory):
        """Take one decoder step.

        Args:
            state: `(h, c)`, of shape (B, U) each.
            projected: The previous word's share of the gates, (B, 4 U).
            memory: From `encode`.

        Returns:
            `(state, image, weights)`: `(h, c)`, (B, M), and zeros (B, 1).
        """
        image, weights = self.blank(memory)
        if self.every_step:
            projected = projected + self.context_kernel(memory["image"])
        return self.decoder.step(state, projected), image, weights

    def blank(self, memory):
        """Return the image, which no step changes, and zeros (B, 1)."""
        return memory["image"], ops.zeros_like(memory["image"][:, :1])

    def read_out(self, states, contexts, embedded, training=False):
        """Return logits, shape (..., V), float32."""
        features = self.dropout(states[0], training=training)
        return ops.cast(self.output_layer(features), "float32")

    def get_config(self):
        return {**super().get_config(), "every_step": self.every_step}
