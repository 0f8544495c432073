"""Networks that name the action in a video, with and without attention."""

import keras
from keras import ops

from attnlib.losses import doubly_stochastic_penalty
from attnlib.models.recurrent import LSTMKernels
from attnlib.ops import checks
from attnlib.ops.scores import masked_softmax

VERSION = 1  # Raised when trained results change.

POOLINGS = ("attention", "average", "max")


class FrameClassifier(keras.Model):
    """What networks share that answer after every frame of a video.

    A subclass has `force(features, training)`, which returns a dict with
    `logits` (B, T, classes) and `weights` (B, T, L). The loss is that of the
    paper, divided by the number of frames T, so that gradients do not grow
    with it:

        -sum_t log y_t,label + lambda sum_i (1 - sum_t l_t,i)^2

    Metrics: `nll`, nats per frame; `accuracy`, of the mean of y_t over t;
    `penalty`, what lambda multiplies.

    Args:
        classes: Number of actions.
        penalty_weight: lambda, at least 0.
        dropout: Rate before the output layer.
        seed: Seed of dropout, or None.
        **kwargs: Of `keras.Model`.
    """

    def __init__(
        self, classes, penalty_weight=0.0, dropout=0.0, seed=None, **kwargs
    ):
        super().__init__(**kwargs)
        self.classes = checks.positive_integer("classes", classes)
        self.penalty_weight = _not_negative("penalty_weight", penalty_weight)
        if not 0 <= dropout < 1:
            raise ValueError(
                f"expected dropout in [0, 1). Received: {dropout!r}"
            )
        self.dropout_rate, self.seed = dropout, checks.seed(seed)
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
        return features

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
        return ops.mean(nll) + self.penalty_weight * ops.mean(penalty) / steps

    @property
    def metrics(self):
        return [*super().metrics, self.nll, self.accuracy, self.penalty]

    def get_config(self):
        return {
            **super().get_config(),
            "classes": self.classes,
            "penalty_weight": self.penalty_weight,
            "dropout": self.dropout_rate,
            "seed": self.seed,
        }


@keras.saving.register_keras_serializable(package="attnlib")
class AttentionRecogniser(FrameClassifier):
    def __init__(
        self,
        classes,
        units=512,
        layers=3,
        pooling="attention",
        penalty_weight=0.0,
        dropout=0.0,
        seed=None,
        **kwargs,
    ):
        super().__init__(classes, penalty_weight, dropout, seed, **kwargs)
        self.units = checks.positive_integer("units", units)
        self.num_layers = checks.positive_integer("layers", layers)
        self.pooling = checks.one_of("pooling", pooling, POOLINGS)
        self.recurrences = [
            LSTMKernels(self.units, name=f"lstm_{n + 1}")
            for n in range(self.num_layers)
        ]
        dense = keras.layers.Dense
        self.starts = {
            kind: (
                dense(self.units, "tanh", name=f"start_{kind}"),
                dense(
                    self.num_layers * self.units, "tanh", name=f"first_{kind}"
                ),
            )
            for kind in "hc"
        }
        self.hidden = dense(self.units, "tanh", name="hidden")
        self.supports_jit = keras.config.backend() != "tensorflow"

    def build(self, features_shape):
        _, _, places, width = features_shape
        for n, recurrence in enumerate(self.recurrences):
            recurrence.build((None, self.units if n else width))
        for hidden, out in self.starts.values():
            hidden.build((None, width))
            out.build((None, self.units))
        if self.pooling == "attention":
            self.locator = keras.layers.Dense(
                places, use_bias=False, name="locator"
            )
            self.locator.build((None, self.units))
        self.hidden.build((None, None, self.units))
        self.output_layer.build((None, None, self.units))
        self.built = True

    def first(self, features):
        mean = ops.mean(features, axis=(1, 2))
        h, c = (
            ops.split(out(hidden(mean)), self.num_layers, axis=-1)
            for hidden, out in self.starts.values()
        )
        return tuple(zip(h, c, strict=True))

    def attend(self, h):
        return masked_softmax(self.locator(h))

    def step(self, states, context):
        found = []
        for recurrence, before in zip(self.recurrences, states, strict=True):
            found.append(recurrence.step(before, recurrence.project(context)))
            context = found[-1][0]
        return tuple(found)

    def force(self, features, training=False):
        features = self._checked(features)
        batch, steps, places, _ = ops.shape(features)
        states = self.first(features)
        if self.pooling == "attention":
            frames = ops.transpose(features, (1, 0, 2, 3))

            def step(carry, frame):
                weights = self.attend(carry[0][-1][0])
                context = ops.matmul(weights[:, None], frame)[:, 0]
                out = (self.step(carry[0], context), weights)
                return out, out

            blank = ops.zeros((batch, places), features.dtype)
            _, (found, weights) = ops.scan(step, (states, blank), frames)
            weights = ops.transpose(weights, (1, 0, 2))
        else:
            pool = {"average": ops.mean, "max": ops.max}[self.pooling]
            frames = ops.transpose(pool(features, axis=2), (1, 0, 2))

            def step(carry, frame):
                out = self.step(carry, frame)
                return out, out

            _, found = ops.scan(step, states, frames)
            weights = ops.ones((batch, steps, places), features.dtype) / places
        top = ops.transpose(found[-1][0], (1, 0, 2))
        hidden = self.dropout(self.hidden(top), training=training)
        return {
            "logits": self.output_layer(hidden),
            "weights": weights,
            "states": top,
        }


@keras.saving.register_keras_serializable(package="attnlib")
class CubeRegression(FrameClassifier):
    def build(self, features_shape):
        _, _, places, width = features_shape
        self.output_layer.build((None, None, places * width))
        self.built = True

    def force(self, features, training=False):
        features = self._checked(features)
        batch, steps, places, width = ops.shape(features)
        cubes = ops.reshape(features, (batch, steps, places * width))
        cubes = self.dropout(cubes, training=training)
        weights = ops.ones((batch, steps, places), features.dtype) / places
        return {"logits": self.output_layer(cubes), "weights": weights}


def _not_negative(name, value):
    if isinstance(value, bool) or not 0 <= value < float("inf"):
        raise ValueError(
            f"expected {name} to be a finite number of at least 0. Received: "
            f"{value!r}"
        )
    return float(value)
