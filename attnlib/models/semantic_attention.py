"""Semantic attention: captions by attention over words found in an image."""

import keras
import numpy as np
from keras import ops

from attnlib import losses
from attnlib.layers import InputAttention, OutputAttention
from attnlib.models import encoders
from attnlib.models.captioner import Captioner, one_by_one
from attnlib.models.checked import ChecksArrays, is_array
from attnlib.ops import checks
from attnlib.ops.grids import cell_middles
from attnlib.text import END, PAD

VERSION = 1  # Raised when trained results change.

ATTENTIONS = ("none", "input", "output", "both")

# Sum of the scores that no cell has an attribute; its logarithm is taken.
_LEAST = 1e-12


@keras.saving.register_keras_serializable(package="attnlib")
class AttributeDetector(ChecksArrays, keras.Model):
    """Find out which of K words fit an image, cell by cell.

    1. encoder: images to a grid of features, (B, g, g, D)
    2. features of a cell: ReLU(W [what, x, y] + b), (B, L, units); x and y say
       where it is
    3. probability that word k is seen in cell l, sigmoid(s_lk), (B, L, K)
    4. probability that it fits the image, where any cell will do (noisy or):
       p_k = 1 - prod_l (1 - sigmoid(s_lk)), (B, K)

    The loss is the binary cross-entropy of each word, summed over words.

    Args:
        num_attributes: Number K of words.
        units: Width of a cell's features.
        encoder: Keras model from images (B, H, W, C) to (B, h, w, D). Set its
            `trainable` to False to keep it as it is.
        **kwargs: Of `keras.Model`.

    Call arguments:
        images: Floating tensor, shape (B, H, W, C).
        training: Whether the encoder is in training.

    Returns:
        Logits of p, shape (B, K), float32.

    Raises:
        ValueError: An argument is out of range, the images are not of the
            size that the encoder was built for, or labels are not (B, K).

    Example:

    >>> import numpy as np
    >>> import keras
    >>> from attnlib.models.semantic_attention import AttributeDetector
    >>> encoder = keras.Sequential([keras.layers.Conv2D(4, 3)])
    >>> detector = AttributeDetector(5, 4, encoder)
    >>> tuple(detector(np.ones((2, 8, 8, 3), "float32")).shape)
    (2, 5)

    Reference:
        You et al. 2016, arXiv:1603.03925, section 4.1 (ATT-FCN); the noisy or
        is of Fang et al. 2015, arXiv:1411.4952. Differs from the papers in:
        the encoder is the caller's; cells know where they are.
    """

    def __init__(self, num_attributes, units=128, encoder=None, **kwargs):
        super().__init__(**kwargs)
        self.num_attributes = checks.positive_integer(
            "num_attributes", num_attributes
        )
        self.units = checks.positive_integer("units", units)
        if not isinstance(encoder, keras.layers.Layer):
            raise ValueError(
                "expected encoder to be a Keras model. Received: "
                f"{type(encoder).__name__}"
            )
        self.encoder = encoder
        self.features = keras.layers.Dense(
            self.units, "relu", name="cell_features"
        )
        # Every cell starts rather sure that it sees nothing.
        self.scores = keras.layers.Dense(
            self.num_attributes,
            bias_initializer=keras.initializers.Constant(-5.0),
            name="cell_scores",
        )

    def build(self, images_shape):
        shape = tuple(images_shape)
        self.image_shape = shape[1:]
        if not self.encoder.built:
            self.encoder.build(shape)
        shape = self.encoder.compute_output_shape(shape)
        checks.shape_rank("features", shape, 4)
        if None in shape[1:]:
            raise ValueError(
                "expected an encoder whose grid is known. Received: shape "
                f"{tuple(shape)}"
            )
        self.grid = tuple(shape[1:3])
        self.features.build((None, None, shape[-1] + 2))
        self.scores.build((None, None, self.units))
        self.built = True

    def check_arrays(self, x, y=None):
        """Check images and labels, before Keras computes with them.

        Args:
            x: Images.
            y: Labels, or None.

        Raises:
            ValueError: See the class.
        """
        if self.built:
            self._check_images(x)
        if is_array(y) and y.shape[1:] != (self.num_attributes,):
            raise ValueError(
                f"expected labels of shape (B, {self.num_attributes}), one for "
                f"each attribute. Received: shape {y.shape}"
            )

    def _check_images(self, images):
        checks.rank("images", images, 4)
        sizes = zip(images.shape[1:], self.image_shape, strict=True)
        if any(None not in pair and len(set(pair)) > 1 for pair in sizes):
            raise ValueError(
                f"expected images of shape {self.image_shape}, as the detector "
                f"was built for. Received: shape {tuple(images.shape[1:])}. "
                "Resize them"
            )

    def look(self, images, training=False) -> dict:
        """Look at images.

        Args:
            images: Floating tensor, shape (B, H, W, C).
            training: Whether the encoder is in training.

        Returns:
            A dict of tensors: `annotations` (B, L, D), the encoder's;
            `features` (B, L, units); `cells` (B, L, K), logits; and `logits`
            (B, K) of the whole image.
        """
        images = checks.floating("images", images, self.compute_dtype)
        self._check_images(images)
        grid = self.encoder(images, training=training)
        places = self.grid[0] * self.grid[1]
        cells = ops.reshape(grid, (-1, places, grid.shape[-1]))
        where = ops.cast(
            ops.convert_to_tensor(cell_middles(*self.grid)), cells.dtype
        )
        where = ops.zeros_like(cells[:, :, :2]) + where
        features = self.features(ops.concatenate([cells, where], axis=-1))
        scores = ops.cast(self.scores(features), "float32")
        # -log of the probability that no cell has it.
        nowhere = ops.sum(ops.softplus(scores), axis=1)  # (B, K)
        nowhere = ops.maximum(nowhere, _LEAST)
        logits = nowhere + ops.log(-ops.expm1(-nowhere))
        return {
            "annotations": cells,
            "features": features,
            "cells": scores,
            "logits": logits,
        }

    def call(self, images, training=None):
        return self.look(images, training)["logits"]

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Return the mean over images of the summed cross-entropies.

        Args:
            x: Not used.
            y: Which words fit, shape (B, K), 1 or 0.
            y_pred: Logits.
            sample_weight: Not used.
            training: Not used.
        """
        nats = ops.binary_crossentropy(
            ops.cast(y, "float32"), y_pred, from_logits=True
        )
        return ops.mean(ops.sum(nats, axis=-1))

    def get_config(self):
        return {
            **super().get_config(),
            "num_attributes": self.num_attributes,
            "units": self.units,
            "encoder": encoders.serialized(self.encoder),
        }

    @classmethod
    def from_config(cls, config):
        return cls(**encoders.with_encoder(config))


@keras.saving.register_keras_serializable(package="attnlib")
class SemanticCaptioner(Captioner):
    """Caption an image with the help of words that were found in it.

    The image itself is seen once, at the start. Attributes A_i are words; E
    holds the embeddings of all words, those of attributes included.

    1. x_0 = W_v v + b_v, the image's features, shape (B, M) (equation 1)
    2. weights alpha_t over attributes, from the previous word y_{t-1}: which
       attributes follow from it, (B, A) (3, 4)
    3. x_t = W_x (E y_{t-1} + w_x * sum_i alpha_ti E A_i), (B, M) (5)
    4. h_t, c_t = LSTM(x_t, h_{t-1}, c_{t-1}), from 0, (B, U) (2)
    5. weights beta_t over attributes, from h_t, (B, A) (6)
    6. o_t = W_h (h_t + w_h * sum_i beta_ti tanh(s E A_i)), (B, M), where s is
       the fourth root of M; logits of words E^T o_t, (B, T, V) (7)

    The loss is the paper's: cross-entropy + `penalty_weight` (g(alpha) +
    g(beta)) with g of `losses.attribute_penalty`, summed over captions and
    divided by the number of their words (8).

    Args:
        target_size: Vocabulary of the captions, ids 0 (padding) to
            `target_size - 1`.
        candidates: Ids of the K words that may be attributes.
        embedding_size: Width M of the word embeddings.
        units: Width U of the LSTM; w_h is a vector where U = M, as in the
            paper, else a matrix.
        num_attributes: Most attributes A of one image.
        attention: `"input"`, `"output"`, `"both"`, or `"none"`: then the model
            knows of attributes nothing at all.
        uniform: Whether all attributes keep the same weight.
        dropout: Rate at the embeddings and before the words are read out.
        label_smoothing: Share of the target that is spread over all words.
        penalty_weight: Weight of g; 0 for none.
        penalty_p: Exponent p of g, above 1.
        penalty_q: Exponent q of g, between 0 and 1.
        scheduled_sampling: Probability that a previous word in training is
            one that the model drew itself; 0 is teacher forcing.
        seed: Seed of those draws, or None.
        **kwargs: Of `keras.Model`.

    Call arguments:
        inputs: Dict of `source`: floating (B, D + K), the features v of an
            image and, for each of the candidates, how strongly it was found:
            those above 0, at most A, are the image's attributes; and
            `target`: integers (B, T), the previous words, starting with
            START. 0 is padding. Or (B, K, T), K captions of each image: B K
            captions then come out.

    Returns:
        A dict, see `force`.

    Raises:
        ValueError: An argument is out of range, a candidate is no word, or
            the source does not fit; arrays also where an image has no
            attribute, or too many.

    Example:

    >>> import numpy as np
    >>> from attnlib.models.semantic_attention import SemanticCaptioner
    >>> model = SemanticCaptioner(20, [4, 5, 6], 8, 8, num_attributes=2)
    >>> source = np.array([[0.1, -0.2, 0, 0.9, 1.0]], "float32")
    >>> out = model({"source": source, "target": np.array([[2, 7]])})
    >>> tuple(out["logits"].shape), tuple(out["beta"].shape)
    ((1, 2, 20), (1, 2, 2))
    >>> np.array(out["attributes"]).tolist()
    [[6, 5]]

    Reference:
        You et al. 2016, arXiv:1603.03925, section 3. Differs from the paper
        in: an LSTM is the RNN; the features are the caller's; g has a weight;
        s; an image may have fewer attributes than A.
    """

    feature_ranks = (2,)
    tied = True

    def __init__(
        self,
        target_size,
        candidates,
        embedding_size=512,
        units=512,
        num_attributes=10,
        attention="both",
        uniform=False,
        dropout=0.0,
        label_smoothing=0.0,
        penalty_weight=0.0,
        penalty_p=2.0,
        penalty_q=0.5,
        scheduled_sampling=0.0,
        seed=None,
        **kwargs,
    ):
        super().__init__(
            target_size,
            embedding_size,
            units,
            None,
            dropout=dropout,
            label_smoothing=label_smoothing,
            scheduled_sampling=scheduled_sampling,
            seed=seed,
            **kwargs,
        )
        self.candidates = _checked_candidates(candidates, self.target_size)
        self.num_attributes = checks.positive_integer(
            "num_attributes", num_attributes
        )
        if self.num_attributes > len(self.candidates):
            raise ValueError(
                "expected num_attributes of at most the number of candidates, "
                f"{len(self.candidates)}. Received: {num_attributes}"
            )
        self.attention = checks.one_of("attention", attention, ATTENTIONS)
        self.uniform = checks.flag("uniform", uniform)
        self.penalty_weight = checks.non_negative_number(
            "penalty_weight", penalty_weight
        )
        self.penalty_p, self.penalty_q = penalty_p, penalty_q
        # The function itself says what exponents it takes.
        losses.attribute_penalty(np.ones((1, 1, 1)), None, penalty_p, penalty_q)
        self._add_layers()

    @property
    def looks_before(self):
        """Return whether there is attention at the input."""
        return self.attention in ("input", "both")

    @property
    def looks_after(self):
        """Return whether there is attention at the output."""
        return self.attention in ("output", "both")

    def _add_layers(self):
        width, dense = self.embedding_size, keras.layers.Dense
        self.image_embedding = dense(width, name="image_embedding")
        # Without attention the same matrices remain.
        self.input_layer = (
            InputAttention(width, name="input_attention")
            if self.looks_before
            else dense(width, use_bias=False, name="input")
        )
        self.read_layer = (
            OutputAttention(width, name="output_attention")
            if self.looks_after
            else dense(width, use_bias=False, name="readout")
        )

    def build(self, inputs_shape):
        _, width = self._build_reader(inputs_shape)
        self.num_features = width - len(self.candidates)
        if self.num_features < 1:
            raise ValueError(
                "expected sources of features and, behind them, "
                f"{len(self.candidates)} candidates. Received: width {width}"
            )
        word = (None, self.embedding_size)
        attributes = (None, None, self.embedding_size)
        self.image_embedding.build((None, self.num_features))
        for layer, query, attends in (
            (self.input_layer, word, self.looks_before),
            (self.read_layer, (None, self.units), self.looks_after),
        ):
            layer.build(*((query, attributes) if attends else (query,)))
            if attends and self.uniform:
                kernel = layer.score_kernel
                kernel.assign(ops.zeros(kernel.shape))
                kernel.trainable = False
        self.built = True

    def check_source(self, source):
        """Return an image's features and attributes, for `decoding.Decoder`.

        Args:
            source: Array of floats (D + K,), as in the call.

        Raises:
            ValueError: It has another shape, or holds no floats; or the image
                has no attribute, or too many, and the model attends to them.
        """
        source = super().check_source(source)
        self._check_attributes(source[None])
        return source

    def _check_attributes(self, sources):
        if self.attention == "none":
            return
        # Counted from behind: before the first call the width is not known.
        found = (sources[:, -len(self.candidates) :] > 0).sum(axis=1)
        bad = np.flatnonzero((found < 1) | (found > self.num_attributes))
        if bad.size:
            row = bad[0]
            raise ValueError(
                f"expected images with 1 to {self.num_attributes} attributes. "
                f"Received: image {row} with {found[row] or 'none'}. Keep the "
                "likeliest words of the detector, whatever their "
                "probabilities, or take attention='none'"
            )

    def check_inputs(self, inputs):
        """Check given words and, as far as they are known, attributes.

        Raises:
            ValueError: See the class.
        """
        super().check_inputs(inputs)
        source = inputs["source"]
        if is_array(source) and source.ndim == 2:
            self._check_attributes(source)

    def encode(self, source, training=False):
        """Look at the image, and at the words that were found in it.

        Args:
            source: As in the call.
            training: Whether dropout is on.

        Returns:
            `(state, memory)`: the LSTM's `(h, c)` after the image, (B, U)
            each, and a dict of `attributes` (B, A, M), their embeddings,
            `ids` (B, A) and `mask` (B, A), True where there is one.
        """
        both = self.features(source, training)[:, 0]
        image = self.image_embedding(both[:, : self.num_features])
        image = self.dropout(image, training=training)
        blank = ops.zeros((ops.shape(image)[0], self.units), image.dtype)
        projected = self.decoder.project(image)
        state = self.decoder.step((blank, blank), projected)
        strength, place = ops.top_k(
            both[:, self.num_features :], self.num_attributes
        )
        ids = ops.take(np.array(self.candidates, "int32"), place)
        memory = {
            "attributes": self.target_embedding(ids),
            "ids": ids,
            "mask": strength > 0,
        }
        return state, memory

    def project(self, embedded):
        """Return the words themselves: what they ask for is up to the image."""
        return embedded

    def advance(self, state, embedded, memory):
        """Take one decoder step.

        Args:
            state: `(h_{t-1}, c_{t-1})`, (B, U) each.
            embedded: The previous word's embedding as it is read, (B, M).
            memory: From `encode`.

        Returns:
            `(state, output, weights, others)`: `(h_t, c_t)`, o_t (B, M), and
            twice (B, A): beta_t and alpha_t, or, where there is attention at
            the input only, alpha_t and beta_t; 0 for what there is not.
        """
        _, alpha, beta = self.blank(memory)
        attributes, mask = memory["attributes"], memory["mask"]
        # Rows of E have a length of about 1, entries of what an LSTM reads a
        # variance of about 1.
        scale = self.embedding_scale
        # Between the two: entries of E are lost beside those of a state, and
        # of variance 1 they saturate tanh and softmax from the start (BLEU-4
        # 80.7 against 82.0 on validation scenes, one seed).
        entries = scale**0.5
        if self.looks_before:
            entered, alpha = self.input_layer(
                embedded / scale, attributes, attributes_mask=mask
            )
            entered = entered * scale
        else:
            entered = self.input_layer(embedded)
        state = self.decoder.step(state, self.decoder.project(entered))
        if self.looks_after:
            output, beta = self.read_layer(
                state[0], attributes * entries, attributes_mask=mask
            )
        else:
            output = self.read_layer(state[0])
        first, second = (beta, alpha) if self.looks_after else (alpha, beta)
        return state, output, first, second

    def blank(self, memory):
        """Return zeros like output, weights and other weights."""
        first = ops.zeros_like(memory["attributes"][:, 0])
        weights = ops.zeros_like(memory["attributes"][:, :, 0])
        return first, weights, weights

    def read_out(self, states, contexts, embedded, training=False):
        """Return logits, shape (..., V), float32."""
        features = self.dropout(contexts, training=training)
        words = ops.cast(self.target_embedding.embeddings, features.dtype)
        logits = ops.matmul(features, ops.transpose(words))
        return ops.cast(logits, "float32")

    def call(self, inputs, training=None):
        return self.force(inputs, training)

    def force(self, inputs, training=False, noise=None) -> dict:
        """Run with given previous words (teacher forcing).

        Args:
            inputs: As in the call.
            training: Whether dropout and scheduled sampling are on.
            noise: Uniform numbers, shape (B, T, 2), see `unroll`, or None.

        Returns:
            A dict of `logits` (B, T, V), `alpha` and `beta` (B, T, A), 0 where
            there is no such attention, and `attributes` (B, A), the ids of the
            words that the weights are of, PAD where there is none.
        """
        state, memory, target = self.begin(inputs, training)
        logits, outputs = self.unroll(state, memory, target, training, noise)
        first, second = outputs[2:]
        alpha, beta = (second, first) if self.looks_after else (first, second)
        ids = ops.where(memory["mask"], memory["ids"], PAD)
        return {
            "logits": logits,
            "alpha": alpha,
            "beta": beta,
            "attributes": ids,
        }

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Return the loss per word that is no padding.

        Args:
            x: Not used.
            y: Next words, shape (B, T) or (B, K, T), 0 is padding.
            y_pred: What the call returned.
            sample_weight: Not used.
            training: Outside of training it is the mean cross-entropy.
        """
        loss = super().compute_loss(
            x, y, y_pred["logits"], sample_weight, training=training
        )
        learned = self.attention != "none" and not self.uniform
        if not (training and learned and self.penalty_weight):
            return loss
        mask = ops.not_equal(one_by_one(y), PAD)
        extra = 0.0
        for name, there in (
            ("alpha", self.looks_before),
            ("beta", self.looks_after),
        ):
            if there:
                weights = ops.cast(y_pred[name], "float32")
                penalty = losses.attribute_penalty(
                    weights, mask, self.penalty_p, self.penalty_q
                )
                extra = extra + ops.sum(penalty)
        words = ops.sum(ops.cast(mask, "float32"))
        return loss + self.penalty_weight * extra / ops.maximum(words, 1.0)

    def get_config(self):
        config = super().get_config()
        del config["encoder"]
        return {
            **config,
            "candidates": list(self.candidates),
            "num_attributes": self.num_attributes,
            "attention": self.attention,
            "uniform": self.uniform,
            "penalty_weight": self.penalty_weight,
            "penalty_p": self.penalty_p,
            "penalty_q": self.penalty_q,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def _checked_candidates(candidates, size):
    """Return ids of words as a tuple of int."""
    ids = tuple(int(i) for i in candidates)
    if not ids or len(set(ids)) < len(ids):
        raise ValueError(
            "expected candidates to be different ids of words, at least one. "
            f"Received: {list(candidates)!r}"
        )
    bad = [i for i in ids if not END < i < size]
    if bad:
        raise ValueError(
            f"expected candidates to be ids of words, {END + 1} to "
            f"{size - 1}. Received: {bad[0]}"
        )
    return ids
