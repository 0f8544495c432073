"""What models that caption images share."""

import math

import keras
import numpy as np
from keras import ops

from attnlib.models import encoders
from attnlib.models.checked import is_array
from attnlib.models.recurrent import LSTMKernels, RecurrentDecoder
from attnlib.ops import checks


def one_by_one(words):
    """Return captions (B, K, T) as (B K, T); others as they are."""
    if _rank(words) != 3:
        return words
    if is_array(words):  # It stays one: its ids are still to be checked.
        return words.reshape(-1, words.shape[2])
    return ops.reshape(words, (-1, ops.shape(words)[2]))


def _rank(words):
    # A list has no shape; the check of words then says what is expected.
    return len(getattr(words, "shape", ()))


class Captioner(RecurrentDecoder):
    """Read an image's features and write about them with an LSTM.

    Given words may be (B, K, T), K captions of each image, which is then read
    once for all of them: most of the work where the encoder is trained, too.
    Outputs have the captions in the place of the images, (B K, ...), those of
    an image one after the other.

    Args:
        target_size: Vocabulary of the captions, ids 0 (padding) to
            `target_size - 1`.
        embedding_size: Width M of the word embeddings.
        units: Width U of the LSTM.
        encoder: Keras model from images (B, H, W, C) to features; None where
            features are given instead of images. Set its `trainable` to False
            to keep it as it is.
        **kwargs: Of `RecurrentDecoder`.
    """

    # Ranks that features may have.
    feature_ranks = (3, 4)
    # Whether words are read out by their own embeddings.
    tied = False

    def __init__(self, target_size, embedding_size, units, encoder, **kwargs):
        super().__init__(target_size, embedding_size, **kwargs)
        self.units = checks.positive_integer("units", units)
        self.encoder = encoders.checked(encoder)
        self.target_embedding = self._embedding(
            self.target_size, "target_embedding"
        )
        self.dropout = keras.layers.Dropout(self.dropout_rate)
        self.decoder = LSTMKernels(self.units, name="decoder")
        if not self.tied:
            self.output_layer = keras.layers.Dense(
                self.target_size, name="output"
            )

    def _build_reader(self, inputs_shape):
        """Build encoder, embedding and LSTM; return the features' (L, D).

        Args:
            inputs_shape: Shape of the sources, or dict with it as `source`.
        """
        known = isinstance(inputs_shape, dict)
        shape = tuple(inputs_shape["source"] if known else inputs_shape)
        self.source_shape = shape[1:]
        shape = encoders.features_shape(
            self.encoder, shape, *self.feature_ranks
        )
        self.target_embedding.build((None, None))
        self.decoder.build((None, None, self.embedding_size))
        self.grid = (math.prod(shape[1:-1]), shape[-1])
        return self.grid

    def check_inputs(self, inputs):
        """Check the given words, and an array that is read.

        Raises:
            ValueError: There is no word or no caption, or a word is unknown;
                or the source is not what the model was built for, or of
                another batch.
        """
        source, target = inputs["source"], inputs["target"]
        if _rank(target) == 3 and target.shape[1] == 0:
            raise ValueError(
                "expected target to have at least one caption of each image. "
                f"Received: shape {tuple(target.shape)}"
            )
        super().check_inputs({**inputs, "target": one_by_one(target)})
        if hasattr(source, "shape"):  # A list becomes a tensor later.
            sizes = {"source": source.shape[0], "target": target.shape[0]}
            checks.same("batch sizes", **sizes)
        if self.built and is_array(source):
            self._check_read(source)
            # No values are needed to look at the dtype.
            checks.floating("source", source[:0])

    def _check_read(self, source):
        """Raise unless images or features are of the shape built for."""
        if self.encoder is None:
            self._check_features(source)
        else:
            # The encoder's own error would name its layers, not the images.
            self._check_shape(source.shape[1:], source.dtype)

    def _check_features(self, features):
        checks.rank("features", features, *self.feature_ranks)
        sizes = tuple(features.shape[1:])
        if None in sizes or (math.prod(sizes[:-1]), sizes[-1]) != self.grid:
            raise ValueError(
                f"expected features of {self.grid[0]} places and width "
                f"{self.grid[1]}, as the model was built for. Received: shape "
                f"{tuple(features.shape)}"
            )

    def begin(self, inputs, training=False):
        """Check the inputs and read each source once.

        Args:
            inputs: As in the call.
            training: Whether the source is read in training.

        Returns:
            `(state, memory, target)`: from `encode`, repeated for each of
            several captions, and the previous words (B, T) or (B K, T).
        """
        state, memory, target = super().begin(inputs, training)
        if len(target.shape) == 3:
            count = target.shape[1]
            state, memory = keras.tree.map_structure(
                lambda tensor: ops.repeat(tensor, count, axis=0),
                (state, memory),
            )
        return state, memory, one_by_one(target)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Return the loss per word that is no padding.

        Args:
            x: Not used.
            y: Next words, shape (B, T) or (B, K, T), 0 is padding.
            y_pred: Logits, shape (B, T, V) or (B K, T, V).
            sample_weight: Not used.
            training: Smoothing applies in training only.
        """
        return super().compute_loss(
            x, one_by_one(y), y_pred, sample_weight, training=training
        )

    def check_source(self, source):
        """Return an image or its features, for `decoding.Decoder`.

        Args:
            source: Array of floats, of the shape that the model was built
                for, without the batch.

        Raises:
            ValueError: It has another shape, or holds no floats.
        """
        source = np.asarray(source)
        self._check_shape(source.shape, source.dtype)
        if source.dtype.kind != "f":
            raise self._unlike(source.shape, source.dtype)
        return source

    def _check_shape(self, shape, dtype):
        """Raise unless a shape without the batch is what was built for."""
        sizes = self.source_shape
        if len(shape) != len(sizes) or any(
            None not in (size, given) and size != given
            for size, given in zip(sizes, shape, strict=True)
        ):
            raise self._unlike(shape, dtype)

    def _unlike(self, shape, dtype):
        what = "sources" if self.encoder is None else "images"
        return ValueError(
            f"expected {what} of shape {self.source_shape} and floats, as the "
            f"model was built for. Received: shape {tuple(shape)}, dtype "
            f"{dtype}. Resize or convert them, or build the model for theirs"
        )

    def features(self, source, training=False):
        """Return the features of L places of each image, (B, L, D).

        Args:
            source: Images, or features (B, h, w, D) or (B, L, D).
            training: Whether the encoder is in training.

        Raises:
            ValueError: The images, the grid or the width are not what the
                model was built for, or the source holds no floats.
        """
        features = checks.floating("source", source, self.compute_dtype)
        self._check_read(features)
        if self.encoder is not None:
            features = self.encoder(features, training=training)
            features = ops.cast(features, self.compute_dtype)
            self._check_features(features)
        return ops.reshape(features, (-1, *self.grid))

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "encoder": encoders.serialized(self.encoder),
        }

    @classmethod
    def from_config(cls, config):
        return cls(**encoders.with_encoder(config))
