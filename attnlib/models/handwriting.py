"""Handwriting: recurrent networks that predict and write pen strokes."""

import math

import keras
import numpy as np
from keras import ops

from attnlib import distributions
from attnlib.datasets import strokes as pen
from attnlib.layers import GaussianWindow
from attnlib.models.checked import ChecksArrays, check_known, is_array
from attnlib.models.recurrent import PeepholeLSTMKernels
from attnlib.ops import checks
from attnlib.text import PAD, pad

VERSION = 1  # Raised when trained results change.

# Marks padding in the last column of points.
PADDING = -1
# Density and gradient stay finite where points lie on a line, or on each
# other; offsets have a standard deviation of 1.
_LARGEST_CORRELATION = 0.999
_SMALLEST_LOG_SCALE = -6.0


@keras.saving.register_keras_serializable(package="attnlib")
class HandwritingPrediction(ChecksArrays, keras.Model):
    """Predict the next point of a line of handwriting from those before.

    1. x_t = (dx, dy, end of stroke), shape (B, T, 3)
    2. h^n_t = LSTM(x_t, h^{n-1}_t, h^n_{t-1}), with peepholes, n = 1 ... N,
       shape (B, T, U) each (equations 2, 3, 7-11)
    3. y^_t = b + sum_n W_n h^n_t, shape (B, T, 6 K + 1) (4, 17)
    4. e, pi, mu, sigma, rho from y^_t (18-22)
    5. Pr(x_{t+1} | y_t) = sum_k pi_k N(x_{t+1} | mu_k, sigma_k, rho_k) times
       e or 1 - e (23-25)

    The loss is the mean of -log Pr over the points, in nats, so that gradients
    do not grow with the lengths of lines. Metrics: `nll`, nats per line, as the
    paper has it; `nll_point`, nats per point; `sse`, the squared distance of
    the next offset and its expectation, per point, in squared units of the
    inputs. All depend on how offsets were normalised.

    Args:
        layers: Number N of LSTM layers.
        units: Width U of each.
        components: Number K of bivariate Gaussians.
        **kwargs: Of `keras.Model`.

    Call arguments:
        inputs: Dict of `strokes`: floating (B, T, 3), offsets x_t of mean 0
            and standard deviation 1 and the end of the stroke, 0 or 1.

    Returns:
        y^, shape (B, T, 6 K + 1), float32.

    Raises:
        ValueError: An argument is out of range, or the strokes have another
            rank or last axis, or no point; of arrays also where a number is
            NaN or infinite, or the pen neither down (0) nor lifted (1). The
            same holds of the points that follow, where -1 is padding.

    Example:

    >>> import numpy as np
    >>> from attnlib.models.handwriting import HandwritingPrediction
    >>> model = HandwritingPrediction(layers=2, units=8, components=3)
    >>> tuple(model({"strokes": np.zeros((1, 5, 3), "float32")}).shape)
    (1, 5, 19)

    Reference:
        Graves 2013, arXiv:1308.0850, sections 2 and 4. Differs from the paper
        in: the logit of e has the sign of its argument; correlations stay
        within 0.999 and scales above exp(-6); the forget gate starts open;
        the optimiser is the caller's.
    """

    reads_text = False

    def __init__(self, layers=3, units=400, components=20, **kwargs):
        super().__init__(**kwargs)
        self.num_layers = checks.positive_integer("layers", layers)
        self.units = checks.positive_integer("units", units)
        self.components = checks.positive_integer("components", components)
        self.recurrences = [
            PeepholeLSTMKernels(self.units, name=f"lstm_{n + 1}")
            for n in range(self.num_layers)
        ]
        self.output_layer = keras.layers.Dense(
            6 * self.components + 1, name="mixture"
        )
        # ops.scan does not compile with XLA on TensorFlow.
        self.supports_jit = keras.config.backend() != "tensorflow"
        self.nll = keras.metrics.Mean(name="nll")
        self.nll_point = keras.metrics.Mean(name="nll_point")
        self.sse = keras.metrics.Mean(name="sse")

    def build(self, inputs_shape=None):
        extra = self._extra_width()
        for n, recurrence in enumerate(self.recurrences):
            width = 3 + extra + (self.units if n else 0)
            recurrence.build((None, None, width))
        self.output_layer.build((None, None, self.num_layers * self.units))
        self.built = True

    def _extra_width(self):
        """Width of what all layers read beside the strokes."""
        return 0

    def call(self, inputs, training=None):
        return self.force(inputs)["outputs"]

    def force(self, inputs) -> dict:
        """Read given points.

        Args:
            inputs: As in the call.

        Returns:
            A dict of `outputs`, y^ (B, T, 6 K + 1).
        """
        strokes = self._checked_strokes(inputs)
        hidden = []
        for recurrence in self.recurrences:
            read = ops.concatenate([strokes, *hidden[-1:]], axis=-1)
            hidden.append(self._run(recurrence, read))
        return {"outputs": self._output(hidden)}

    def check_arrays(self, x, y=None):
        """Check lines and what follows, before Keras computes with them.

        Args:
            x: As in the call.
            y: The next points, or None.

        Raises:
            ValueError: See the class.
        """
        _check_points("strokes", x["strokes"])
        if y is not None:
            _check_points("the next points", y, PADDING)

    def _checked_strokes(self, inputs):
        if is_array(inputs["strokes"]):
            _check_points("strokes", inputs["strokes"])
        strokes = checks.floating(
            "strokes", inputs["strokes"], self.compute_dtype
        )
        _check_points("strokes", strokes)
        return strokes

    def _run(self, recurrence, read):
        """Return all states h of one layer, (B, T, U)."""
        projected = ops.transpose(recurrence.project(read), (1, 0, 2))

        def step(state, here):
            state = recurrence.step(state, here)
            return state, state

        blank = ops.zeros((ops.shape(read)[0], self.units), projected.dtype)
        _, (states, _) = ops.scan(step, (blank, blank), projected)
        return ops.transpose(states, (1, 0, 2))

    def _output(self, hidden):
        # In float32, as densities need it.
        joined = ops.concatenate(hidden, axis=-1)
        return ops.cast(self.output_layer(joined), "float32")

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Return nats per point.

        Args:
            x: Not used.
            y: The next points, (B, T, 3); the last column of padding is -1.
            y_pred: What the call returned.
            sample_weight: Not used.
            training: Not used.
        """
        y = ops.cast(y, "float32")
        mask = ops.cast(ops.not_equal(y[..., 2], PADDING), "float32")
        nll = -log_prob(y_pred, y) * mask  # (B, T)
        error = squared_error(y_pred, y) * mask
        points = ops.sum(mask)
        self.nll.update_state(ops.sum(nll, axis=1))
        self.nll_point.update_state(ops.sum(nll) / points, points)
        self.sse.update_state(ops.sum(error) / points, points)
        return ops.sum(nll) / points

    def first(self, batch, memory=None):
        """Return the state before the first point, a dict of tensors.

        Args:
            batch: Number of lines B.
            memory: Not used.
        """
        blank = ops.zeros((batch, self.units), self.compute_dtype)
        states = tuple((blank, blank) for _ in range(self.num_layers))
        return {"layers": states}

    def step(self, state, point, memory=None):
        """Read one point.

        Args:
            state: From `first` or the last step.
            point: x_t, shape (B, 3).
            memory: Not used.

        Returns:
            `(state, outputs)`: the next state, and y^_t (B, 6 K + 1).
        """
        layers, hidden = [], []
        for recurrence, before in zip(
            self.recurrences, state["layers"], strict=True
        ):
            read = ops.concatenate([point, *hidden[-1:]], axis=-1)
            layers.append(recurrence.step(before, recurrence.project(read)))
            hidden.append(layers[-1][0])
        return {"layers": tuple(layers)}, self._output(hidden)

    def get_config(self):
        return {
            **super().get_config(),
            "layers": self.num_layers,
            "units": self.units,
            "components": self.components,
        }


@keras.saving.register_keras_serializable(package="attnlib")
class HandwritingSynthesis(HandwritingPrediction):
    """Write a given text: the layers look at it through a soft window.

    1. h^1_t = LSTM(x_t, h^1_{t-1}, w_{t-1}), shape (B, T, U) (equation 52)
    2. window w_t over the characters c_1 ... c_S, moved on by h^1_t, shape
       (B, T, V) (46-51)
    3. h^n_t = LSTM(x_t, h^{n-1}_t, h^n_{t-1}, w_t), n = 2 ... N (53)
    4. y^_t and the density of the next point as in `HandwritingPrediction`

    Writing stops where the window's weight of the position behind the text
    exceeds that of every character.

    Args:
        characters: Size V of the alphabet; ids from 1 to V, 0 is padding.
        layers: Number N of LSTM layers.
        units: Width U of each.
        components: Number K of bivariate Gaussians.
        window_components: Number of Gaussians of the window.
        initial_step: Characters that the window moves per point at first.
        **kwargs: Of `keras.Model`.

    Call arguments:
        inputs: Dict of `strokes`, floating (B, T, 3), as in
            `HandwritingPrediction`, and `text`, integers (B, S), 0 is padding.

    Returns:
        y^, shape (B, T, 6 K + 1), float32.

    Raises:
        ValueError: As of `HandwritingPrediction`; or the texts have another
            rank or dtype, or no room for a character; of arrays also where an
            id is not from 0 to V, or a text is padding alone.

    Example:

    >>> import numpy as np
    >>> from attnlib.models.handwriting import HandwritingSynthesis
    >>> model = HandwritingSynthesis(27, 2, 8, 3, 2)
    >>> strokes, text = np.zeros((1, 5, 3), "float32"), np.array([[3, 1, 20]])
    >>> tuple(model({"strokes": strokes, "text": text}).shape)
    (1, 5, 19)

    Reference:
        Graves 2013, arXiv:1308.0850, section 5. Differs from the paper in: as
        `HandwritingPrediction`; the window starts with steps of
        `initial_step` characters a point.
    """

    reads_text = True

    def __init__(
        self,
        characters,
        layers=3,
        units=400,
        components=20,
        window_components=10,
        initial_step=0.05,
        **kwargs,
    ):
        self.characters = checks.positive_integer("characters", characters)
        super().__init__(layers, units, components, **kwargs)
        self.window = GaussianWindow(
            window_components, initial_step, name="window"
        )

    def build(self, inputs_shape=None):
        super().build(inputs_shape)
        shapes = (
            (None, self.units),
            (None, self.window.components),
            (None, None, self.characters),
        )
        self.window.build(*shapes)

    def _extra_width(self):
        return self.characters

    def check_arrays(self, x, y=None):
        """Check lines, texts and what follows, before Keras computes.

        Args:
            x: As in the call.
            y: The next points, or None.

        Raises:
            ValueError: See the class.
        """
        super().check_arrays(x, y)
        _check_texts(x["text"], self.characters)

    def read(self, text) -> dict:
        """Return a text as the window reads it.

        Args:
            text: Integer tensor, shape (B, S), 0 is padding.

        Returns:
            A dict of `text`, one-hot (B, S, V), and `mask` (B, S).

        Raises:
            ValueError: See the class.
        """
        if is_array(text):
            _check_texts(text, self.characters)
        text = ops.convert_to_tensor(text)
        _check_texts(text, self.characters)
        one_hot = ops.one_hot(text - 1, self.characters, dtype="float32")
        return {"text": one_hot, "mask": ops.not_equal(text, PAD)}

    def force(self, inputs) -> dict:
        """Read given points and their text.

        Args:
            inputs: As in the call.

        Returns:
            A dict of `outputs`, y^ (B, T, 6 K + 1), `phi`, the weights of the
            positions (B, T, S + 1), and `kappa`, the centres of the window
            (B, T, K').
        """
        strokes = self._checked_strokes(inputs)
        memory = self.read(inputs["text"])
        first, windows, phi, kappa = self._look(strokes, memory)
        hidden = [first]
        for recurrence in self.recurrences[1:]:
            read = ops.concatenate([strokes, windows, hidden[-1]], axis=-1)
            hidden.append(self._run(recurrence, read))
        return {"outputs": self._output(hidden), "phi": phi, "kappa": kappa}

    def _look(self, strokes, memory):
        """Run the first layer with its window."""
        recurrence = self.recurrences[0]
        kernel = ops.cast(recurrence.kernel, self.compute_dtype)
        # The strokes' share of all steps at once; the window's comes later.
        projected = ops.matmul(strokes, kernel[:3]) + ops.cast(
            recurrence.bias, self.compute_dtype
        )

        def step(state, here):
            (layer, window, _, kappa) = state
            here = here + ops.matmul(window, kernel[3:])
            layer = recurrence.step(layer, here)
            seen = self._window(layer[0], kappa, memory)
            state = (layer, *seen)
            return state, state

        first = self.first(ops.shape(strokes)[0], memory)
        start = (first["layers"][0], *first["window"])
        _, (layer, window, phi, kappa) = ops.scan(
            step, start, ops.transpose(projected, (1, 0, 2))
        )
        return tuple(
            ops.transpose(found, (1, 0, 2))
            for found in (layer[0], window, phi, kappa)
        )

    def _window(self, hidden, kappa, memory):
        """Return `(window, phi, kappa)` of one step."""
        window, phi, kappa = self.window(
            hidden, kappa, memory["text"], text_mask=memory["mask"]
        )
        return ops.cast(window, self.compute_dtype), phi, kappa

    def first(self, batch, memory):
        """Return the state before the first point, a dict of tensors.

        Args:
            batch: Number of lines B.
            memory: From `read`.
        """
        dtype = self.compute_dtype
        blank = ops.zeros_like(memory["text"][:, 0])  # (B, V)
        positions = ops.zeros_like(memory["text"][:, :, 0])
        phi = ops.concatenate([positions, positions[:, :1]], axis=1)
        kappa = ops.zeros((batch, self.window.components), dtype)
        window = (ops.cast(blank, dtype), ops.cast(phi, dtype), kappa)
        return {**super().first(batch), "window": window}

    def step(self, state, point, memory=None):
        """Read one point and move the window.

        Args:
            state: From `first` or the last step; its `window` is `(w, phi,
                kappa)`.
            point: x_t, shape (B, 3).
            memory: From `read`.

        Returns:
            `(state, outputs)`: the next state, and y^_t (B, 6 K + 1).
        """
        window, _, kappa = state["window"]
        layers, hidden, seen = [], [], None
        for recurrence, before in zip(
            self.recurrences, state["layers"], strict=True
        ):
            read = ops.concatenate([point, window, *hidden[-1:]], axis=-1)
            layers.append(recurrence.step(before, recurrence.project(read)))
            hidden.append(layers[-1][0])
            if seen is None:
                seen = self._window(hidden[0], kappa, memory)
                window = seen[0]
        state = {"layers": tuple(layers), "window": seen}
        return state, self._output(hidden)

    def get_config(self):
        return {
            **super().get_config(),
            "characters": self.characters,
            "window_components": self.window.components,
            "initial_step": self.window.initial_step,
        }


def _check_points(name, points, *others):
    """Check points of lines as far as they are known.

    Args:
        name: What they are, for the message.
        points: Tensor or array, shape (B, T, 3).
        *others: What the last column may hold beside 0 and 1.

    Raises:
        ValueError: The shape is another, or there is no point; of an array
            also for numbers that are no strokes, and other dtypes.
    """
    checks.rank(name, points, 3)
    checks.last_axis(name, points, 3)
    if points.shape[1] == 0:
        raise ValueError(
            f"expected {name} of at least one point. Received: shape "
            f"{tuple(points.shape)}"
        )
    if not is_array(points):
        return
    # No values are needed to look at the dtype.
    checks.floating(name, points[:0])
    finite = np.isfinite(points).all(axis=-1)
    if not finite.all():
        line, place = np.argwhere(~finite)[0]
        raise ValueError(
            f"expected {name} of finite numbers; remove or repair the points "
            f"that are not. Received: {points[line, place].tolist()} at point "
            f"{place} of line {line}"
        )
    right = np.isin(points[:, :, 2], (0, 1, *others))
    if not right.all():
        line, place = np.argwhere(~right)[0]
        padding = "".join(f" ({other} at padding)" for other in others)
        raise ValueError(
            f"expected the last column of {name} to be 1 where the pen is "
            f"lifted, else 0{padding}. Received: {points[line, place, 2]} at "
            f"point {place} of line {line}"
        )


def _check_texts(text, characters):
    """Check the ids of texts as far as they are known.

    Args:
        text: Tensor or array, shape (B, S).
        characters: Size of the alphabet.

    Raises:
        ValueError: The rank is not 2, the dtype is no integer, or there is no
            character; of an array also for unknown ids and empty texts.
    """
    checks.rank("text", text, 2)
    if not keras.backend.is_int_dtype(
        keras.backend.standardize_dtype(text.dtype)
    ):
        raise ValueError(
            f"expected text to be integers. Received: dtype {text.dtype}"
        )
    check_known("text", text, characters + 1, "0 is padding.")
    empty = text.shape[1] == 0
    if is_array(text) and not empty:
        empty = not (text != PAD).any(axis=1).all()
    if empty:
        raise ValueError(
            "expected every text to have at least one character. Received: an "
            "empty one"
        )


def mixture(outputs) -> dict:
    """Return the parameters of the next point's density.

    Args:
        outputs: y^, shape (..., 6 K + 1), float32.

    Returns:
        A dict of `end`, the logit of the stroke's end (...); `logits` of the
        weights (..., K); `mean` (..., K, 2); `log_scale` (..., K, 2);
        `correlation` (..., K).
    """
    if outputs.shape[-1] % 6 != 1:
        raise ValueError(
            "expected a last axis of 6 K + 1. Received: shape "
            f"{tuple(outputs.shape)}"
        )
    parts = ops.split(outputs[..., 1:], 6, axis=-1)
    log_scale = ops.stack(parts[3:5], axis=-1)
    return {
        "end": outputs[..., 0],
        "logits": parts[0],
        "mean": ops.stack(parts[1:3], axis=-1),
        "log_scale": ops.maximum(log_scale, _SMALLEST_LOG_SCALE),
        "correlation": _LARGEST_CORRELATION * ops.tanh(parts[5]),
    }


def log_prob(outputs, points):
    """Return the log-density of points in nats.

    Args:
        outputs: y^, shape (B, T, 6 K + 1).
        points: The points that followed, (B, T, 3). Where the last column is
            not 1 it counts as 0.

    Returns:
        Shape (B, T).
    """
    found = mixture(outputs)
    each = distributions.bivariate_normal_log_prob(
        points[:, :, None, :2],
        found["mean"],
        ops.exp(found["log_scale"]),
        found["correlation"],
    )
    ended = ops.cast(ops.equal(points[..., 2], 1), "float32")
    return distributions.mixture_log_prob(
        found["logits"], each
    ) + distributions.bernoulli_log_prob(ended, found["end"])


def squared_error(outputs, points):
    """Return the squared distance of offsets and their expectation.

    Args:
        outputs: y^, shape (B, T, 6 K + 1).
        points: The points that followed, (B, T, 3).

    Returns:
        Shape (B, T).
    """
    found = mixture(outputs)
    weights = ops.softmax(found["logits"], axis=-1)
    expected = ops.sum(weights[..., None] * found["mean"], axis=-2)
    return ops.sum(ops.square(points[..., :2] - expected), axis=-1)


def draw(outputs, noise, bias=0.0):
    """Draw the next points.

    Args:
        outputs: y^, shape (B, 6 K + 1).
        noise: Dict of `gumbel` (B, K), `normal` (B, 2) and `uniform` (B,).
        bias: How neat the writing shall be: scales become exp(log sigma - b)
            and weights softmax((1 + b) pi^) (equations 61, 62); a number or
            (B, 1).

    Returns:
        Points, shape (B, 3).
    """
    found = mixture(outputs)
    scores = found["logits"] * (1.0 + bias) + noise["gumbel"]
    chosen = ops.one_hot(
        ops.argmax(scores, axis=-1), scores.shape[-1], dtype="float32"
    )
    mean = ops.sum(chosen[..., None] * found["mean"], axis=1)
    log_scale = ops.sum(chosen[..., None] * found["log_scale"], axis=1)
    scale = ops.exp(log_scale - bias)
    rho = ops.sum(chosen * found["correlation"], axis=1)
    first, second = noise["normal"][:, 0], noise["normal"][:, 1]
    turned = rho * first + ops.sqrt((1 - rho) * (1 + rho)) * second
    offset = mean + scale * ops.stack([first, turned], axis=-1)
    ends = ops.less(noise["uniform"], ops.sigmoid(found["end"]))
    return ops.concatenate(
        [offset, ops.cast(ends, offset.dtype)[:, None]], axis=-1
    )


class Pen(keras.Model):
    """Lets a network write; compiles once for a shape.

    Args:
        model: A built `HandwritingPrediction` or `HandwritingSynthesis`.

    Example:

    >>> from attnlib.models import handwriting
    >>> model = handwriting.HandwritingSynthesis(27, 1, 8, 3, 2)
    >>> model.build()
    >>> (line,) = handwriting.Pen(model).write([[3, 1, 20]], steps=9, seed=0)
    >>> line["strokes"].shape[1]
    3
    """

    def __init__(self, model):
        super().__init__(name="pen")
        self.model = model
        self.supports_jit = model.supports_jit
        self.built = True

    def write(self, texts, steps, bias=0.0, seed=None, prime=None):
        """Write texts, one line each.

        Args:
            texts: List of lists of character ids. For a network that reads no
                text, a list of None of as many lines as are wanted.
            steps: Most points of a line.
            bias: Neatness b, at least 0.
            seed: Seed of the draws, or None.
            prime: `(strokes, ids)` of a line to go on from, or None: offsets
                (P, 3) as the network reads them, and its text. What is
                written after them imitates its style.

        Returns:
            A list of dicts, one for each text: `strokes` (n, 3), without the
            prime; `finished`, whether the window got behind the text in the
            given steps; with a text `phi` (n, S), the weights of its
            characters, and `kappa` (n, K').

        Raises:
            ValueError: There are no texts, one is empty, an id is unknown, the
                bias is negative or no number, or the prime is no line of
                strokes.
        """
        checks.positive_integer("steps", steps)
        bias = checks.non_negative_number("bias", bias)
        texts, primer, ids = list(texts), np.zeros((0, 3)), []
        if not texts:
            raise ValueError("expected at least one text. Received: none")
        if prime is not None:
            # Its first point is where every line starts.
            primer, ids = pen.check(prime[0])[1:], list(prime[1])
            if self.model.reads_text:
                ids = check_ids(ids, self.model.characters)
        inputs = self._inputs(texts, steps, bias, seed, primer, ids)
        out = self.predict_on_batch(inputs)
        return [
            self._line(out, row, len(text or ()), len(ids), len(primer))
            for row, text in enumerate(texts)
        ]

    def _inputs(self, texts, steps, bias, seed, primer, ids):
        count, components = len(texts), self.model.components
        skipped = len(primer)
        total = steps + skipped
        random = np.random.default_rng(seed)
        given = np.zeros((count, total, 4), "float32")
        given[:, :skipped, :3], given[:, :skipped, 3] = primer, 1
        inputs = {
            "given": given,
            "gumbel": random.gumbel(size=(count, total, components)),
            "normal": random.normal(size=(count, total, 2)),
            "uniform": random.random((count, total, 1)),
            "bias": np.full((count, 1), bias),
        }
        inputs = {k: np.asarray(v, "float32") for k, v in inputs.items()}
        if self.model.reads_text:
            lines = [
                [*ids, *check_ids(text, self.model.characters)]
                for text in texts
            ]
            # Few widths are compiled when padding fills them up.
            longest = 8 * math.ceil(max(map(len, lines)) / 8)
            inputs["text"] = pad(lines, longest)
        return inputs

    def _line(self, out, row, length, before, skipped):
        """Cut one line out of what was written."""
        strokes = out["strokes"][row, skipped:]
        if not self.model.reads_text:
            return {"strokes": strokes, "finished": False}
        phi = out["phi"][row, skipped:]
        end = before + length
        # The last column is the stop position, whatever padding comes before.
        at = np.flatnonzero(phi[:, -1] > phi[:, :end].max(axis=1))
        last = int(at[0]) + 1 if len(at) else len(strokes)
        return {
            "strokes": strokes[:last],
            "finished": bool(len(at)),
            "phi": phi[:last, before:end],
            "kappa": out["kappa"][row, skipped : skipped + last],
        }

    def call(self, inputs):
        model = self.model
        batch = ops.shape(inputs["given"])[0]
        memory = model.read(inputs["text"]) if model.reads_text else None
        # One tensor of all that a step needs, which any scan takes.
        keys = ("given", "gumbel", "normal", "uniform")
        noise = ops.concatenate([inputs[key] for key in keys], axis=-1)
        count = model.components

        def step(state, here):
            network, point = state
            given, known = here[:, :3], here[:, 3:4]
            network, outputs = model.step(network, point, memory)
            drawn = draw(
                outputs,
                {
                    "gumbel": here[:, 4 : 4 + count],
                    "normal": here[:, 4 + count : 6 + count],
                    "uniform": here[:, 6 + count],
                },
                inputs["bias"],
            )
            point = ops.where(known > 0, given, drawn)
            return (network, point), (network, point)

        # The first point of every line, where the pen is set down.
        point = ops.zeros((batch, 3))
        _, (network, points) = ops.scan(
            step,
            (model.first(batch, memory), point),
            ops.transpose(noise, (1, 0, 2)),
        )
        found = {"strokes": points}
        if model.reads_text:
            _, found["phi"], found["kappa"] = network["window"]
        return {k: ops.transpose(v, (1, 0, 2)) for k, v in found.items()}


def check_ids(text, characters) -> list:
    """Return the ids of a text that can be written.

    Args:
        text: List of ids.
        characters: Size of the alphabet.

    Raises:
        ValueError: The text is empty, or an id is not from 1 to `characters`.
    """
    ids = [int(i) for i in text]
    if not ids:
        raise ValueError("expected a text with a character. Received: none")
    bad = sorted({i for i in ids if not 1 <= i <= characters})
    if bad:
        raise ValueError(
            f"expected ids of characters from 1 to {characters}. Received: "
            f"{bad}"
        )
    return ids
