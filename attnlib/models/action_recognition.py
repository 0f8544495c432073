"""Networks that name the action in a video, with and without attention."""

import keras
from keras import ops

from attnlib.losses import doubly_stochastic_penalty
from attnlib.models.checked import ChecksArrays
from attnlib.models.recurrent import LSTMKernels
from attnlib.ops import checks
from attnlib.ops.scores import masked_softmax

VERSION = 1  # Raised when trained results change.

POOLINGS = ("attention", "average", "max")


class FrameClassifier(ChecksArrays, keras.Model):
    """What networks share that answer after every frame of a video.

    A subclass has `force(features, training)`, which returns a dict with
    `logits` (B, T, classes) and `weights` (B, T, L). The loss is that of the
    paper, divided by the number of frames T, so that gradients do not grow
    with it:

        -sum_t log y_t,label + lambda sum_i (1 - sum_t l_t,i)^2
        + gamma sum theta^2

    `fit`, `evaluate` and `train_on_batch` raise ValueError where an array of
    labels holds something else than whole numbers from 0 to classes - 1.

    Metrics: `nll`, nats per frame; `accuracy`, of the mean of y_t over t;
    `penalty`, what lambda multiplies.

    Args:
        classes: Number of actions.
        penalty_weight: lambda, at least 0.
        dropout: Rate before the output layer.
        weight_decay: gamma, at least 0; biases do not count.
        seed: Seed of dropout, or None.
        **kwargs: Of `keras.Model`.
    """

    def __init__(
        self,
        classes,
        penalty_weight=0.0,
        dropout=0.0,
        weight_decay=0.0,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.classes = checks.positive_integer("classes", classes)
        self.penalty_weight = checks.non_negative_number(
            "penalty_weight", penalty_weight
        )
        self.dropout_rate = checks.dropout(dropout)
        self.seed = checks.seed(seed)
        self.weight_decay = checks.non_negative_number(
            "weight_decay", weight_decay
        )
        self.dropout = keras.layers.Dropout(dropout, seed=self.seed)
        self.output_layer = keras.layers.Dense(self.classes, name="classes")
        self.nll = keras.metrics.Mean(name="nll")
        self.accuracy = keras.metrics.Mean(name="accuracy")
        self.penalty = keras.metrics.Mean(name="penalty")

    def call(self, features, training=None):
        out = self.force(features, training)
        return {"logits": out["logits"], "weights": out["weights"]}

    def _checked(self, features):
        features = checks.floating("features", features, self.compute_dtype)
        checks.rank("features", features, 4)
        if features.shape[1] == 0:
            raise ValueError(
                "expected features of at least one frame. Received: shape "
                f"{tuple(features.shape)}"
            )
        if features.shape[2:] != (self.places, self.width):
            raise ValueError(
                f"expected features of {self.places} places and {self.width} "
                "channels, as the model was built for. Received: shape "
                f"{tuple(features.shape)}"
            )
        return features

    def check_arrays(self, x, y=None):
        if y is not None:
            checks.class_labels(ops.convert_to_numpy(y), self.classes)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Return the loss of a batch, mean over videos.

        Args:
            x: Not used.
            y: Labels, integers (B,).
            y_pred: What the call returned.
            sample_weight: Not used.
            training: Not used.
        """
        logits = ops.cast(y_pred["logits"], "float32")
        weights = ops.cast(y_pred["weights"], "float32")
        target = ops.one_hot(ops.cast(y, "int32"), self.classes)
        log_prob = ops.log_softmax(logits)
        nll = -ops.sum(target[:, None] * log_prob, axis=-1)  # (B, T)
        right = ops.equal(
            ops.argmax(ops.mean(ops.exp(log_prob), axis=1), axis=-1),
            ops.argmax(target, axis=-1),
        )
        penalty = doubly_stochastic_penalty(weights)
        self.nll.update_state(nll)
        self.accuracy.update_state(ops.cast(right, "float32"))
        self.penalty.update_state(penalty)
        steps = ops.cast(ops.shape(logits)[1], "float32")
        extra = self.penalty_weight * ops.mean(penalty)
        if self.weight_decay:
            squares = [
                ops.sum(ops.square(weight))
                for weight in self.trainable_variables
                if len(weight.shape) > 1
            ]
            extra = extra + self.weight_decay * sum(squares)
        return ops.mean(nll) + extra / steps

    @property
    def metrics(self):
        return [*super().metrics, self.nll, self.accuracy, self.penalty]

    def get_config(self):
        return {
            **super().get_config(),
            "classes": self.classes,
            "penalty_weight": self.penalty_weight,
            "dropout": self.dropout_rate,
            "weight_decay": self.weight_decay,
            "seed": self.seed,
        }


@keras.saving.register_keras_serializable(package="attnlib")
class AttentionRecogniser(FrameClassifier):
    """Name an action by looking at one place of every frame after another.

    1. h_0, c_0 of each layer from the mean of all features, each by a network
       with one hidden layer
    2. weights l_t,i = softmax_i(W_i . h_{t-1}), shape (B, L): a function of the
       top layer's state alone, before the frame is seen
    3. context x_t = sum_i l_t,i X_t,i, shape (B, D)
    4. h_t of the LSTM layers, each reading the one below
    5. y_t = softmax of a tanh layer of the top h_t, shape (B, classes)
    6. answer: the class of the largest mean of y_t over t

    Args:
        classes: Number of actions.
        units: Width U of each LSTM layer and of the tanh layer.
        layers: Number of LSTM layers.
        pooling: `"attention"`; or a baseline of the paper, `"average"` or
            `"max"` over the places, with the same network above.
        penalty_weight: lambda of the loss.
        dropout: Rate before the output layer.
        weight_decay: gamma of the loss.
        sharpness: What the scores W_i . h are multiplied by. Above 1, the
            attention learns that much faster than the rest.
        seed: Seed of dropout, or None.
        **kwargs: Of `keras.Model`.

    Call arguments:
        features: Floating (B, T, L, D): features X of L places in T frames.

    Returns:
        Dict of `logits` (B, T, classes), and `weights` (B, T, L), l; of a
        baseline they are all 1 / L.

    Raises:
        ValueError: An argument is out of range, or the features have another
            rank, no frame, or another number of places or channels.

    Example:

    >>> import numpy as np
    >>> from attnlib.models.action_recognition import AttentionRecogniser
    >>> model = AttentionRecogniser(classes=11, units=8, layers=2)
    >>> out = model(np.zeros((1, 5, 49, 6), "float32"))
    >>> tuple(out["logits"].shape), tuple(out["weights"].shape)
    ((1, 5, 11), (1, 5, 49))

    Reference:
        Sharma et al. 2015, arXiv:1511.04119, section 3. Differs from the paper
        in: dropout is before the output layer only; the forget gate starts
        open and attention even; the loss is divided by the number of frames;
        `sharpness`.
    """

    def __init__(
        self,
        classes,
        units=512,
        layers=3,
        pooling="attention",
        penalty_weight=0.0,
        dropout=0.0,
        weight_decay=0.0,
        sharpness=1.0,
        seed=None,
        **kwargs,
    ):
        super().__init__(
            classes, penalty_weight, dropout, weight_decay, seed, **kwargs
        )
        self.units = checks.positive_integer("units", units)
        self.num_layers = checks.positive_integer("layers", layers)
        self.pooling = checks.one_of("pooling", pooling, POOLINGS)
        self.sharpness = checks.positive_number("sharpness", sharpness)
        self.recurrences = [
            LSTMKernels(self.units, name=f"lstm_{n + 1}")
            for n in range(self.num_layers)
        ]
        dense, width = keras.layers.Dense, self.num_layers * self.units
        self.starts = {
            kind: (
                dense(self.units, "tanh", name=f"start_{kind}"),
                dense(width, "tanh", name=f"first_{kind}"),
            )
            for kind in "hc"
        }
        self.hidden = dense(self.units, "tanh", name="hidden")
        # ops.scan does not compile with XLA on TensorFlow.
        self.supports_jit = keras.config.backend() != "tensorflow"

    def build(self, features_shape):
        _, _, places, width = features_shape
        self.places, self.width = places, width
        for n, recurrence in enumerate(self.recurrences):
            recurrence.build((None, self.units if n else width))
        for hidden, out in self.starts.values():
            hidden.build((None, width))
            out.build((None, self.units))
        if self.pooling == "attention":
            # It starts by looking everywhere alike.
            self.locator = keras.layers.Dense(
                places,
                use_bias=False,
                kernel_initializer="zeros",
                name="locator",
            )
            self.locator.build((None, self.units))
        self.hidden.build((None, None, self.units))
        self.output_layer.build((None, None, self.units))
        self.built = True

    def first(self, features):
        """Return the state before the first frame: a pair (h, c) a layer.

        Args:
            features: (B, T, L, D).
        """
        mean = ops.mean(features, axis=(1, 2))
        h, c = (
            ops.split(out(hidden(mean)), self.num_layers, axis=-1)
            for hidden, out in self.starts.values()
        )
        return tuple(zip(h, c, strict=True))

    def attend(self, h):
        """Return where a state looks next, shape (B, L).

        Args:
            h: State of the top layer, shape (B, U).
        """
        scores = ops.matmul(h, ops.cast(self.locator.kernel, h.dtype))
        return masked_softmax(self.sharpness * scores)

    def step(self, states, context):
        """Return the states after a frame.

        Args:
            states: A pair (h, c) of each layer, shapes (B, U).
            context: x_t, shape (B, D).
        """
        found = []
        for recurrence, before in zip(self.recurrences, states, strict=True):
            found.append(recurrence.step(before, recurrence.project(context)))
            context = found[-1][0]
        return tuple(found)

    def force(self, features, training=False) -> dict:
        """Look at all frames.

        Args:
            features: As in the call.
            training: Whether dropout is on.

        Returns:
            A dict of `logits` (B, T, classes), `weights` (B, T, L), and
            `states`, the top layer's h_t (B, T, U).
        """
        features = self._checked(features)
        run = self._look if self.pooling == "attention" else self._pool
        top, weights = run(features)
        hidden = self.dropout(self.hidden(top), training=training)
        return {
            "logits": self.output_layer(hidden),
            "weights": weights,
            "states": top,
        }

    def _look(self, features):
        def step(carry, frame):
            states, _ = carry
            weights = self.attend(states[-1][0])
            context = ops.matmul(weights[:, None], frame)[:, 0]
            # TensorFlow's scan wants what comes out in the shape of what is
            # carried.
            carry = self.step(states, context), weights
            return carry, carry

        states = self.first(features)
        blank = ops.zeros_like(features[:, 0, :, 0])
        frames = ops.transpose(features, (1, 0, 2, 3))
        _, (found, weights) = ops.scan(step, (states, blank), frames)
        return _batch_first(found[-1][0]), _batch_first(weights)

    def _pool(self, features):
        def step(states, frame):
            states = self.step(states, frame)
            return states, states

        pool = {"average": ops.mean, "max": ops.max}[self.pooling]
        frames = ops.transpose(pool(features, axis=2), (1, 0, 2))
        _, found = ops.scan(step, self.first(features), frames)
        return _batch_first(found[-1][0]), _uniform(features)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "layers": self.num_layers,
            "pooling": self.pooling,
            "sharpness": self.sharpness,
        }


@keras.saving.register_keras_serializable(package="attnlib")
class CubeRegression(FrameClassifier):
    """Name an action in every frame by itself, from the full cube.

    y_t = softmax(W [X_t,1 ... X_t,L] + b); the answer is the class of the
    largest mean over t. It sees every place, and no motion.

    Args:
        classes: Number of actions.
        penalty_weight: Not used: there is no attention.
        dropout: Rate at the cube.
        weight_decay: gamma of the loss.
        seed: Seed of dropout, or None.
        **kwargs: Of `keras.Model`.

    Call arguments:
        features: Floating (B, T, L, D).

    Returns:
        Dict of `logits` (B, T, classes), and `weights` (B, T, L), all 1 / L.

    Raises:
        ValueError: An argument is out of range, or the features have another
            rank or no frame.

    Reference:
        Sharma et al. 2015, arXiv:1511.04119, table 1.
    """

    def build(self, features_shape):
        _, _, self.places, self.width = features_shape
        self.output_layer.build((None, None, self.places * self.width))
        self.built = True

    def force(self, features, training=False) -> dict:
        """Answer for all frames.

        Args:
            features: As in the call.
            training: Whether dropout is on.

        Returns:
            A dict of `logits` (B, T, classes) and `weights` (B, T, L).
        """
        features = self._checked(features)
        shape = (-1, features.shape[1], self.places * self.width)
        cubes = self.dropout(ops.reshape(features, shape), training=training)
        return {
            "logits": self.output_layer(cubes),
            "weights": _uniform(features),
        }


def _batch_first(steps):
    return ops.transpose(steps, (1, 0, 2))


def _uniform(features):
    """Return weights (B, T, L) of no attention: all the same."""
    weights = ops.ones_like(features[..., 0])
    return weights / features.shape[2]
