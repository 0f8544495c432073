"""Models that answer questions about images: with attention and without."""

import math

import keras
from keras import ops

from attnlib.layers import StackedAttention, WordRegionAttention
from attnlib.models import encoders
from attnlib.models.checked import ChecksArrays, check_known, is_array
from attnlib.models.question_layers import (
    AttentiveReader,
    Places,
    QuestionEncoder,
    closed,
    locate,
    scoring_kernel,
    word_embedding,
)
from attnlib.models.recurrent import word_nll
from attnlib.ops import checks
from attnlib.text import PAD

VERSION = 2  # Raised when trained results change.

_UNANSWERABLE = (
    "Leave out questions whose answer the model does not know, or count them "
    "as wrong."
)


class QuestionModel(ChecksArrays, keras.Model):
    """What all models have that answer a question by one of A answers.

    A subclass has `read(features, question, training)`, which returns logits
    and weights. It builds its layers in `build_layers(features_shape,
    question_shape)`.

    Args:
        num_words: Size of the vocabulary, ids 0 (padding) to `num_words - 1`.
        num_answers: Number A of answers.
        units: Width D of image, question and hidden layers.
        embedding_size: Width M of the word embeddings; None for `units`.
        dropout: Rate before the answer.
        encoder: Keras model from images (B, H, W, C) to features
            (B, h, w, D'); None where features are given instead of images.
        **kwargs: Of `keras.Model`.

    Call arguments:
        inputs: Dict of `image`: images for the encoder, or features
            (B, h, w, D'), floating; and `question`: integers (B, T), padding
            behind the words.

    Returns:
        A dict of `logits`, shape (B, A), and `weights`, shape (B, K, L), of K
        looks at L places; K is 0 without attention.

    Raises:
        ValueError: An argument is out of range, an image is not what the model
            was built for, or a question has no place for a word; of arrays
            also where a question has no word or an unknown id, or where an
            answer is none of the A.
    """

    def __init__(
        self,
        num_words,
        num_answers,
        units=64,
        embedding_size=None,
        dropout=0.0,
        encoder=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_words = checks.positive_integer("num_words", num_words)
        self.num_answers = checks.positive_integer("num_answers", num_answers)
        self.units = checks.positive_integer("units", units)
        self.embedding_size = checks.positive_integer(
            "embedding_size", embedding_size or units
        )
        self.dropout_rate = checks.dropout(dropout)
        self.encoder = encoders.checked(encoder)
        self.dropout = keras.layers.Dropout(dropout)
        self.supports_jit = keras.config.backend() != "tensorflow"
        self.accuracy = keras.metrics.Mean(name="accuracy")

    def build(self, inputs_shape):
        image = tuple(inputs_shape["image"])
        self.image_shape = image[1:]
        features = encoders.features_shape(self.encoder, image, 4)
        self.build_layers(features, tuple(inputs_shape["question"]))
        self.built = True

    def features(self, image, training=False):
        """Return the features of an image, shape (B, h, w, D').

        Args:
            image: Images, or features where there is no encoder.
            training: Whether the encoder is in training.

        Raises:
            ValueError: The image is not what the model was built for.
        """
        image = checks.floating("image", image, self.compute_dtype)
        self._check_image(image)
        if self.encoder is None:
            return image
        features = self.encoder(image, training=training)
        return ops.cast(features, self.compute_dtype)

    def _check_image(self, image):
        if tuple(image.shape[1:]) != self.image_shape:
            raise ValueError(
                f"expected images of shape {self.image_shape}, as the model "
                f"was built for. Received: shape {tuple(image.shape[1:])}"
            )

    def check_arrays(self, x, y=None):
        """Check questions, images and answers, before Keras computes.

        Args:
            x: As in the call.
            y: Numbers of the right answers, or None.

        Raises:
            ValueError: See the class.
        """
        self.check_inputs(x)
        self.check_answers(y)

    def check_inputs(self, inputs):
        """Check questions and, where they are arrays, images.

        Raises:
            ValueError: See the class.
        """
        check_words("question", inputs["question"], self.num_words)
        if self.built and is_array(inputs["image"]):
            self._check_image(inputs["image"])
            # No values are needed to look at the dtype.
            checks.floating("image", inputs["image"][:0])

    def check_answers(self, answers):
        """Check right answers where they are an array, shape (B,).

        Raises:
            ValueError: One is none of the A, or the rank is another.
        """
        if is_array(answers):
            checks.rank("answers", answers, 1)
            check_known("answers", answers, self.num_answers, _UNANSWERABLE)

    def call(self, inputs, training=None):
        return self.force(inputs, training)

    def force(self, inputs, training=False) -> dict:
        """Do what the call does; arrays are checked beforehand.

        Args:
            inputs: As in the call.
            training: Whether dropout is on, and the encoder in training.
        """
        self.check_inputs(inputs)
        features = self.features(inputs["image"], training)
        logits, weights = self.read(features, inputs["question"], training)
        if weights is None:
            weights = ops.zeros_like(
                ops.reshape(features[..., 0], (-1, 1, _cells(features)))
            )[:, :0]
        return {"logits": ops.cast(logits, "float32"), "weights": weights}

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Return the mean cross-entropy, in nats per question.

        Args:
            x: Not used.
            y: Numbers of the right answers, shape (B,).
            y_pred: What the call returned.
            sample_weight: Not used.
            training: Not used.
        """
        logits = y_pred["logits"]
        nll = ops.sparse_categorical_crossentropy(y, logits, from_logits=True)
        right = ops.equal(ops.cast(y, "int32"), best(logits))
        self.accuracy.update_state(ops.cast(right, "float32"))
        return ops.mean(nll)

    @property
    def metrics(self):
        return [*super().metrics, self.accuracy]

    def get_config(self):
        return {
            **super().get_config(),
            "num_words": self.num_words,
            "num_answers": self.num_answers,
            "units": self.units,
            "embedding_size": self.embedding_size,
            "dropout": self.dropout_rate,
            "encoder": encoders.serialized(self.encoder),
        }

    @classmethod
    def from_config(cls, config):
        return cls(**encoders.with_encoder(config))


def best(logits):
    """Return the number of the largest logit, int32."""
    return ops.cast(ops.argmax(logits, axis=-1), "int32")


def _cells(features):
    return math.prod(features.shape[1:3])


def check_words(name, words, size):
    """Check the ids of sentences as far as their values are known.

    Args:
        name: What they are, for the message.
        words: Integer tensor or array, shape (B, T).
        size: Size of the vocabulary.

    Raises:
        ValueError: The rank is not 2, a sentence has no word, or an array has
            ids that the vocabulary lacks or no integers.
    """
    checks.rank(name, words, 2)
    empty = words.shape[1] == 0
    check_known(name, words, size)
    if is_array(words):
        empty = empty or not (words != PAD).any(axis=1).all()
    if empty:
        raise ValueError(
            f"expected every {name} to have at least one word. Received: an "
            "empty one"
        )


@keras.saving.register_keras_serializable(package="attnlib")
class QuestionOnly(QuestionModel):
    """Guess the answer from the question: what a blind person knows.

    Args:
        *args: Of `QuestionModel`.
        question: Kind of the `QuestionEncoder`.
        **kwargs: Of `QuestionModel`.

    Example:

    >>> import numpy as np
    >>> from attnlib.models.question_answering import QuestionOnly
    >>> image = np.ones((1, 7, 7, 5), "float32")
    >>> model = QuestionOnly(20, 4, 16)
    >>> out = model({"image": image, "question": np.array([[7, 5]])})
    >>> tuple(out["logits"].shape), tuple(out["weights"].shape)
    ((1, 4), (1, 0, 49))
    """

    def __init__(self, *args, question="lstm", **kwargs):
        super().__init__(*args, **kwargs)
        self.question = QuestionEncoder(
            self.num_words,
            self.embedding_size,
            self.units,
            question,
            name="question",
        )
        self.answer = keras.layers.Dense(self.num_answers, name="answer")

    def build_layers(self, features_shape, question_shape):
        """Build the layers for features and questions of given shapes."""
        if self.encoder is not None:
            self.encoder.trainable = False  # No gradient reaches it.
        self.question.build(question_shape)
        self.answer.build((None, self.units))

    def read(self, features, question, training=False):
        """Return logits (B, A), and None for the weights."""
        asked = self.dropout(self.question(question), training=training)
        return self.answer(asked), None

    def get_config(self):
        return {**super().get_config(), "question": self.question.kind}


@keras.saving.register_keras_serializable(package="attnlib")
class BagOfWordsImage(QuestionModel):
    """Add up a bag of words and a bag of places (iBOWIMG).

    logits = W_q sum_t E q_t + W_v mean_i g_i + b. The mean has no positions,
    and a sum cannot ask whether what the question names is in the image.

    Args:
        *args: Of `QuestionModel`.
        **kwargs: Of `QuestionModel`.

    Example:

    >>> import numpy as np
    >>> from attnlib.models.question_answering import BagOfWordsImage
    >>> image = np.random.normal(size=(1, 7, 7, 5)).astype("float32")
    >>> model, question = BagOfWordsImage(20, 4, 16), np.array([[7, 5]])
    >>> one = model({"image": image, "question": question})["logits"]
    >>> image = image[:, ::-1].copy()
    >>> other = model({"image": image, "question": question})["logits"]
    >>> bool(np.allclose(one, other, atol=1e-5))
    True

    Reference:
        Zhou et al. 2015, arXiv:1512.02167.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.question = QuestionEncoder(
            self.num_words,
            self.embedding_size,
            self.units,
            "bow",
            name="question",
        )
        self.answer = keras.layers.Dense(self.num_answers, name="answer")

    def build_layers(self, features_shape, question_shape):
        """Build the layers for features and questions of given shapes."""
        self.question.build(question_shape)
        self.answer.build((None, self.units + features_shape[-1]))

    def read(self, features, question, training=False):
        """Return logits (B, A), and None for the weights."""
        seen = ops.mean(features, axis=(1, 2))
        both = ops.concatenate([self.question(question), seen], axis=-1)
        return self.answer(self.dropout(both, training=training)), None


@keras.saving.register_keras_serializable(package="attnlib")
class SpatialMemoryNetwork(QuestionModel):
    """Align words with places, then answer (SMem-VQA).

    1. places f = relu(W [g, x, y] + b), shape (B, L, D) (`Places`)
    2. o = `WordRegionAttention` of the embedded words and f, shape (B, D)
    3. logits = W_P relu(o) + b_P

    Args:
        *args: Of `QuestionModel`; words are embedded in `units` numbers, as
            they are compared with places.
        hops: Number of looks, 1 or more.
        **kwargs: Of `QuestionModel`.

    Example:

    >>> import numpy as np
    >>> from attnlib.models.question_answering import SpatialMemoryNetwork
    >>> image = np.ones((1, 7, 7, 5), "float32")
    >>> model = SpatialMemoryNetwork(20, 4, 16, hops=2)
    >>> out = model({"image": image, "question": np.array([[7, 5]])})
    >>> tuple(out["logits"].shape), tuple(out["weights"].shape)
    ((1, 4), (1, 2, 49))

    Reference:
        Xu and Saenko 2016, arXiv:1511.05234, section 3.
    """

    def __init__(self, *args, hops=2, **kwargs):
        super().__init__(*args, **kwargs)
        self.hops = checks.positive_integer("hops", hops)
        self.places = Places(self.units, name="places")
        # Such that a word's product with a place is about 1.
        self.embedding = word_embedding(
            self.num_words, self.units, self.units**-0.5
        )
        self.attention = WordRegionAttention(self.hops, name="attention")
        self.answer = keras.layers.Dense(self.num_answers, name="answer")

    def build_layers(self, features_shape, question_shape):
        """Build the layers for features and questions of given shapes."""
        self.places.build(features_shape)
        self.embedding.build(question_shape)
        cells = self.places.compute_output_shape(features_shape)
        self.attention.build((None, question_shape[1], self.units), cells)
        self.answer.build((None, self.units))

    def _words(self, question):
        """Return embedded words (B, T, D), 0 at padding, and their mask."""
        mask = ops.not_equal(question, PAD)
        return self.embedding(question), mask

    def read(self, features, question, training=False):
        """Return logits (B, A) and weights (B, hops, L)."""
        words, mask = self._words(question)
        answer, weights = self.attention(
            words, self.places(features), words_mask=mask
        )
        answer = self.dropout(ops.relu(answer), training=training)
        return self.answer(answer), weights

    def word_scores(self, inputs):
        """Return how well each word of a question fits each place.

        Args:
            inputs: As in the call.

        Returns:
            Scores of the first hop before the maximum over words, shape
            (B, T, L), without meaning at padding.
        """
        check_words("question", inputs["question"], self.num_words)
        words, _ = self._words(inputs["question"])
        places = self.places(self.features(inputs["image"]))
        keys = self.attention.project(places)
        return ops.matmul(words, ops.transpose(keys, (0, 2, 1)))

    def get_config(self):
        config = super().get_config()
        del config["embedding_size"]
        return {**config, "hops": self.hops}


@keras.saving.register_keras_serializable(package="attnlib")
class StackedAttentionNetwork(QuestionModel):
    """Ask an image again with what the last look found (SAN).

    1. places f = [g, x, y], features and where they are (`locate`)
    2. question v_Q, shape (B, D) (`QuestionEncoder`)
    3. u = `StackedAttention` of v_Q and f, shape (B, D)
    4. logits = W_u u + b_u

    Args:
        *args: Of `QuestionModel`.
        hops: Number of attention layers; the paper uses 1 and 2.
        question: Kind of the `QuestionEncoder`.
        attention_units: Width of the networks that score places; None for
            `units`.
        **kwargs: Of `QuestionModel`.

    Example:

    >>> import numpy as np
    >>> from attnlib.models.question_answering import StackedAttentionNetwork
    >>> image = np.ones((1, 7, 7, 5), "float32")
    >>> model = StackedAttentionNetwork(20, 4, 16, hops=2, question="cnn")
    >>> out = model({"image": image, "question": np.array([[7, 5]])})
    >>> tuple(out["logits"].shape), tuple(out["weights"].shape)
    ((1, 4), (1, 2, 49))

    Reference:
        Yang et al. 2016, arXiv:1511.02274, section 3. Differs from the paper
        in: coordinates beside the features.
    """

    def __init__(
        self, *args, hops=2, question="lstm", attention_units=None, **kwargs
    ):
        super().__init__(*args, **kwargs)
        self.hops = checks.positive_integer("hops", hops)
        self.attention_units = checks.positive_integer(
            "attention_units", attention_units or self.units
        )
        self.question = QuestionEncoder(
            self.num_words,
            self.embedding_size,
            self.units,
            question,
            name="question",
        )
        self.attention = StackedAttention(
            self.attention_units,
            self.hops,
            kernel_initializer=scoring_kernel(),
            name="attention",
        )
        self.answer = keras.layers.Dense(self.num_answers, name="answer")

    def build_layers(self, features_shape, question_shape):
        """Build the layers for features and questions of given shapes."""
        _, rows, columns, width = features_shape
        self.question.build(question_shape)
        self.attention.build(
            (None, self.units), (None, rows * columns, width + 2)
        )
        self.answer.build((None, self.units))

    def read(self, features, question, training=False):
        """Return logits (B, A) and weights (B, hops, L)."""
        answer, weights = self.attention(
            self.question(question), locate(features)
        )
        answer = self.dropout(answer, training=training)
        return self.answer(answer), weights

    def get_config(self):
        return {
            **super().get_config(),
            "hops": self.hops,
            "question": self.question.kind,
            "attention_units": self.attention_units,
        }


class ReadingModel(QuestionModel):
    """What models have that read image and words with an `AttentiveReader`.

    Args:
        *args: Of `QuestionModel`.
        attention: Whether the image is looked at before each word; otherwise
            it is read once, before the words (LSTM Q+I).
        **kwargs: Of `QuestionModel`.
    """

    def __init__(self, *args, attention=True, **kwargs):
        super().__init__(*args, **kwargs)
        self.places = Places(self.units, name="places")
        self.reader = AttentiveReader(
            self.num_words,
            self.embedding_size,
            self.units,
            attention,
            name="reader",
        )

    def build_layers(self, features_shape, question_shape):
        """Build the layers for features and questions of given shapes."""
        self.places.build(features_shape)
        cells = self.places.compute_output_shape(features_shape)
        self.reader.build(cells, question_shape)

    def get_config(self):
        return {**super().get_config(), "attention": self.reader.attention}


@keras.saving.register_keras_serializable(package="attnlib")
class LSTMAnswers(ReadingModel):
    """Choose an answer by the state after the last word and a closing END.

    With `attention=False` it is the LSTM Q+I that the papers compare with,
    otherwise Visual7W's LSTM-Att with a softmax over answers.

    Args:
        *args: Of `QuestionModel`.
        attention: Whether the image is looked at before each word.
        **kwargs: Of `QuestionModel`.

    Example:

    >>> import numpy as np
    >>> from attnlib.models.question_answering import LSTMAnswers
    >>> image = np.ones((1, 7, 7, 5), "float32")
    >>> model = LSTMAnswers(20, 4, 16, attention=True)
    >>> out = model({"image": image, "question": np.array([[7, 5]])})
    >>> tuple(out["logits"].shape), tuple(out["weights"].shape)
    ((1, 4), (1, 3, 49))
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.answer = keras.layers.Dense(self.num_answers, name="answer")

    def build_layers(self, features_shape, question_shape):
        """Build the layers for features and questions of given shapes."""
        super().build_layers(features_shape, question_shape)
        self.answer.build((None, self.units))

    def read(self, features, question, training=False):
        """Return logits (B, A) and weights (B, T + 1, L)."""
        states, weights = self.reader(self.places(features), closed(question))
        last = self.dropout(states[:, -1], training=training)
        return self.answer(last), weights


@keras.saving.register_keras_serializable(package="attnlib")
class LSTMTelling(ReadingModel):
    """Write the answer word by word; choose the likeliest of some answers.

    Visual7W's telling: question and answer are one sequence, and the loss is
    that of the answer's words. A given answer's log-likelihood says how good
    it is.

    Args:
        *args: Of `QuestionModel`. Answers are made of words, so
            `num_answers` is `num_words`.
        attention: Whether the image is looked at before each word.
        **kwargs: Of `QuestionModel`.

    Call arguments:
        inputs: Dict of `image`, as of `QuestionModel`, and `question`:
            integers (B, T), question, END and answer.

    Returns:
        A dict of `logits`, shape (B, T, V), of the next word, and `weights`,
        shape (B, T, L).

    Example:

    >>> import numpy as np
    >>> from attnlib.models.question_answering import LSTMTelling
    >>> image = np.ones((1, 7, 7, 5), "float32")
    >>> model = LSTMTelling(20, 20, 16)
    >>> out = model({"image": image, "question": np.array([[7, 5, 3, 9]])})
    >>> tuple(out["logits"].shape), tuple(out["weights"].shape)
    ((1, 4, 20), (1, 4, 49))

    Reference:
        Zhu et al. 2016, arXiv:1511.03416, section 4.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.num_answers != self.num_words:
            raise ValueError(
                "expected num_answers to be num_words, since answers are "
                f"written in words. Received: {self.num_answers} and "
                f"{self.num_words}"
            )
        self.answer = keras.layers.Dense(self.num_words, name="answer")

    def build_layers(self, features_shape, question_shape):
        """Build the layers for features and questions of given shapes."""
        super().build_layers(features_shape, question_shape)
        self.answer.build((None, None, self.units))

    def read(self, features, question, training=False):
        """Return logits (B, T, V) and weights (B, T, L)."""
        states, weights = self.reader(self.places(features), question)
        states = self.dropout(states, training=training)
        return self.answer(states), weights

    def check_answers(self, answers):
        """Check the words of right answers where they are an array, (B, T).

        Raises:
            ValueError: A word is unknown, or the rank is another.
        """
        if is_array(answers):
            checks.rank("answers", answers, 2)
            check_known("answers", answers, self.num_words)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Return the mean cross-entropy of an answer, in nats.

        Args:
            x: Not used.
            y: Next words, shape (B, T), 0 where none is to be learned.
            y_pred: What the call returned.
            sample_weight: Not used.
            training: Not used.
        """
        nll, mask = word_nll(y, y_pred["logits"])
        wrong = ops.not_equal(best(y_pred["logits"]), ops.cast(y, "int32"))
        wrong = ops.cast(wrong, mask.dtype) * mask
        right = ops.cast(ops.sum(wrong, axis=1) < 0.5, "float32")
        self.accuracy.update_state(right)
        return ops.mean(ops.sum(nll, axis=1))


@keras.saving.register_keras_serializable(package="attnlib")
class LSTMPointing(ReadingModel):
    """Choose one of some regions by their product with the last state.

    Visual7W's pointing: score_k = h . (W_r r_k + b_r), where r_k are a
    region's features and h the state after the words and a closing END: the
    look before it is the first one that knows the last word.

    Args:
        *args: Of `QuestionModel`; `num_answers` is the number of regions.
        attention: Whether the image is looked at before each word.
        **kwargs: Of `QuestionModel`.

    Call arguments:
        inputs: Dict of `image` and `question`, as of `QuestionModel`, and
            `regions`: floating (B, A, L), how much of each region every cell
            holds; rows sum to 1.

    Returns:
        A dict of `logits`, shape (B, A), and `weights`, shape (B, T + 1, L).

    Example:

    >>> import numpy as np
    >>> from attnlib.models.question_answering import LSTMPointing
    >>> image = np.ones((1, 7, 7, 5), "float32")
    >>> regions = np.full((1, 4, 49), 1 / 49, "float32")
    >>> question = np.array([[7, 5]])
    >>> inputs = {"image": image, "question": question, "regions": regions}
    >>> tuple(LSTMPointing(20, 4, 16)(inputs)["logits"].shape)
    (1, 4)

    Reference:
        Zhu et al. 2016, arXiv:1511.03416, section 4. Differs from the paper
        in: a region's features are the mean of its cells', not those of a
        network that sees the region alone.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.region = keras.layers.Dense(self.units, name="region")

    def build_layers(self, features_shape, question_shape):
        """Build the layers for features and questions of given shapes."""
        super().build_layers(features_shape, question_shape)
        self.cells = math.prod(features_shape[1:3])
        self.region.build((None, None, self.units))

    def _check_regions(self, regions):
        wanted = (self.num_answers, self.cells)
        if tuple(regions.shape[1:]) != wanted:
            raise ValueError(
                f"expected regions of shape (B, {wanted[0]}, {wanted[1]}). "
                f"Received: shape {tuple(regions.shape)}"
            )

    def check_inputs(self, inputs):
        """Check questions and, where they are arrays, images and regions.

        Raises:
            ValueError: See `QuestionModel`; also for regions of another shape.
        """
        super().check_inputs(inputs)
        if self.built and is_array(inputs["regions"]):
            self._check_regions(inputs["regions"])
            checks.floating("regions", inputs["regions"][:0])

    def force(self, inputs, training=False) -> dict:
        """Do what the call does; arrays are checked beforehand.

        Args:
            inputs: As in the call.
            training: Whether dropout is on, and the encoder in training.
        """
        self.check_inputs(inputs)
        features = self.features(inputs["image"], training)
        regions = checks.floating(
            "regions", inputs["regions"], self.compute_dtype
        )
        self._check_regions(regions)
        places = self.places(features)
        states, weights = self.reader(places, closed(inputs["question"]))
        found = self.region(ops.matmul(regions, places))  # (B, A, U)
        last = self.dropout(states[:, -1], training=training)
        logits = ops.matmul(found, last[:, :, None])[:, :, 0]
        return {"logits": ops.cast(logits, "float32"), "weights": weights}
