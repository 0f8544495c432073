"""Handwriting networks against the paper's equations."""

import keras
import numpy as np
import pytest
import scipy.stats
from caption_reference import log_softmax, short, sigmoid
from keras import ops
from numerics import check_variable_gradients, to_numpy
from refusals import check_refusals, check_that_it_works

from attnlib.models import handwriting
from attnlib.models.handwriting import (
    HandwritingPrediction,
    HandwritingSynthesis,
    Pen,
)
from attnlib.models.weight_noise import AdaptiveWeightNoise

LAYERS, UNITS, COMPONENTS, CHARACTERS, WINDOWS = 3, 5, 2, 6, 2


def make(reads_text=True, **options):
    sizes = {"layers": LAYERS, "units": UNITS, "components": COMPONENTS}
    if reads_text:
        model = HandwritingSynthesis(
            CHARACTERS, window_components=WINDOWS, **sizes, **options
        )
    else:
        model = HandwritingPrediction(**sizes, **options)
    model.build()
    random = np.random.default_rng(0)
    for variable in model.trainable_variables:
        # Peepholes and biases, too, so that all of them are checked.
        moved = to_numpy(variable.value) + random.normal(
            size=variable.shape, scale=0.2
        )
        variable.assign(moved)
    return model


def batch(seed=0, steps=6):
    random = np.random.default_rng(seed)
    offsets = random.normal(size=(2, steps + 1, 2))
    ends = random.integers(0, 2, (2, steps + 1, 1))
    lines = np.concatenate([offsets, ends], axis=-1).astype("float32")
    inputs = {
        "strokes": lines[:, :-1],
        "text": np.array([[3, 1, 6, 2], [5, 2, 0, 0]]),
    }
    following = lines[:, 1:].copy()
    following[1, 4:] = handwriting.PADDING
    return inputs, following


def lstm(w, name, state, read):
    h, c = state
    gates = read @ w[f"{name}/kernel"] + w[f"{name}/bias"]
    gates = gates + h @ w[f"{name}/recurrent_kernel"]
    enter, keep, new, leave = np.split(gates, 4)
    p = w[f"{name}/peepholes"]
    entered = sigmoid(enter + p[0] * c) * np.tanh(new)
    c = sigmoid(keep + p[1] * c) * c + entered
    return sigmoid(leave + p[2] * c) * np.tanh(c), c


def window(w, hidden, kappa, text):
    """Return `(w_t, phi (S + 1,), kappa)` of one text without padding."""
    raw = hidden @ w["window/projection/kernel"]
    raw = raw + w["window/projection/bias"]
    alpha, beta, step = np.exp(np.split(raw, 3))
    kappa = kappa + 0.05 * step
    positions = np.arange(1, len(text) + 2)
    phi = alpha[:, None] * np.exp(
        -beta[:, None] * (kappa[:, None] - positions) ** 2
    )
    phi = phi.sum(axis=0)
    seen = np.zeros(CHARACTERS)
    for weight, character in zip(phi, text, strict=False):
        seen[character - 1] += weight
    return seen, phi, kappa


def reference(w, strokes, text=None):
    """Return y^ (T, 6 K + 1) and phi (T, S + 1) of one line, in float64."""
    w = short(w)
    states = [(np.zeros(UNITS), np.zeros(UNITS)) for _ in range(LAYERS)]
    seen = [] if text is None else [np.zeros(CHARACTERS)]
    kappa, outputs, looked = np.zeros(WINDOWS), [], []
    for point in strokes:
        hidden = []
        for n in range(LAYERS):
            read = np.concatenate([point, *seen, *hidden[-1:]])
            states[n] = lstm(w, f"lstm_{n + 1}", states[n], read)
            hidden.append(states[n][0])
            if n == 0 and text is not None:
                found, phi, kappa = window(w, hidden[0], kappa, text)
                seen = [found]
                looked.append(phi)
        joined = np.concatenate(hidden)
        outputs.append(joined @ w["mixture/kernel"] + w["mixture/bias"])
    return np.array(outputs), np.array(looked)


def log_density(output, point):
    """Return log Pr(point), by SciPy's normal distribution."""
    end, rest = output[0], output[1:].reshape(6, COMPONENTS)
    logits, mean, log_scale = rest[0], rest[1:3], rest[3:5]
    rho = 0.999 * np.tanh(rest[5])
    each = []
    for k in range(COMPONENTS):
        scale = np.exp(log_scale[:, k])
        covariance = np.outer(scale, scale)
        covariance[0, 1] *= rho[k]
        covariance[1, 0] *= rho[k]
        normal = scipy.stats.multivariate_normal(mean[:, k], covariance)
        each.append(normal.logpdf(point[:2]))
    mixed = np.log(np.exp(log_softmax(logits) + each).sum())
    chance = sigmoid(end)
    return mixed + np.log(chance if point[2] == 1 else 1 - chance)


def values_of(model):
    return {v.path: to_numpy(v.value) for v in model.trainable_variables}


def text_of(inputs, row, reads_text):
    return inputs["text"][row][inputs["text"][row] > 0] if reads_text else None


BOTH = pytest.mark.parametrize("reads_text", [False, True])


@BOTH
def test_equals_the_papers_equations(reads_text):
    model = make(reads_text)
    inputs, _ = batch()
    found = to_numpy(model.force(inputs))
    for row in range(2):
        text = text_of(inputs, row, reads_text)
        wanted, phi = reference(values_of(model), inputs["strokes"][row], text)
        np.testing.assert_allclose(found["outputs"][row], wanted, atol=2e-5)
        if reads_text:
            size = len(text)
            np.testing.assert_allclose(
                found["phi"][row][:, :size], phi[:, :-1], atol=1e-5
            )
            # Padding weighs nothing; the last column is the stop position.
            assert not found["phi"][row][:, size:-1].any()
            np.testing.assert_allclose(
                found["phi"][row][:, -1], phi[:, -1], atol=1e-5
            )


@BOTH
def test_gradients_are_the_references(reads_text):
    model = make(reads_text)
    inputs, following = batch(steps=4)
    following[1, 2:] = handwriting.PADDING
    used = [(r, t) for r in range(2) for t in range(4 if r == 0 else 2)]

    def wanted(w):
        total = 0.0
        for row in range(2):
            outputs, _ = reference(
                w, inputs["strokes"][row], text_of(inputs, row, reads_text)
            )
            total -= sum(
                log_density(outputs[t], following[row, t].astype(float))
                for r, t in used
                if r == row
            )
        return total / len(used)

    check_variable_gradients(
        lambda: model.compute_loss(y=following, y_pred=model(inputs)),
        wanted,
        model.trainable_variables,
    )


def test_metrics_are_per_line_and_per_point():
    model = make()
    inputs, following = batch()
    model.compile()
    logs = model.evaluate(inputs, following, verbose=0, return_dict=True)
    total, error = 0.0, 0.0
    for row, size in ((0, 6), (1, 4)):
        outputs, _ = reference(
            values_of(model),
            inputs["strokes"][row],
            text_of(inputs, row, True),
        )
        for t in range(size):
            point = following[row, t].astype(float)
            total -= log_density(outputs[t], point)
            rest = outputs[t][1:].reshape(6, COMPONENTS)
            mean = rest[1:3] @ np.exp(log_softmax(rest[0]))
            error += ((point[:2] - mean) ** 2).sum()
    assert logs["nll"] == pytest.approx(total / 2, rel=1e-4)
    assert logs["nll_point"] == pytest.approx(total / 10, rel=1e-4)
    assert logs["sse"] == pytest.approx(error / 10, rel=1e-4)


@BOTH
def test_steps_are_what_force_does_at_once(reads_text):
    model = make(reads_text)
    inputs, _ = batch()
    wanted = to_numpy(model.force(inputs))
    memory = model.read(inputs["text"]) if reads_text else None
    state = model.first(2, memory) if reads_text else model.first(2)
    for t in range(6):
        point = ops.convert_to_tensor(inputs["strokes"][:, t])
        state, outputs = model.step(state, point, memory)
        np.testing.assert_allclose(
            to_numpy(outputs), wanted["outputs"][:, t], atol=2e-5
        )
        if reads_text:
            np.testing.assert_allclose(
                to_numpy(state["window"][2]), wanted["kappa"][:, t], atol=2e-5
            )


def test_padding_changes_nothing():
    model = make()
    inputs, _ = batch()
    wide = {**inputs, "text": np.pad(inputs["text"], ((0, 0), (0, 3)))}
    one, other = to_numpy((model.force(inputs), model.force(wide)))
    np.testing.assert_allclose(one["outputs"], other["outputs"], atol=1e-6)


def test_one_batch_is_learned_by_heart():
    keras.utils.set_random_seed(0)
    model = HandwritingSynthesis(CHARACTERS, 2, 24, 3, 2)
    model.build()
    inputs, following = batch(steps=12)
    model.compile(keras.optimizers.Adam(2e-2))
    history = model.fit(inputs, following, epochs=500, verbose=0).history
    steps = history["nll_point"]
    # A sharp Gaussian that slips off its point costs nats for a few steps, so
    # that the last one says little.
    assert steps[0] > 2 and np.median(steps[-100:]) < 1


def test_draws_have_the_density_that_was_given():
    random = np.random.default_rng(0)
    count = 20000
    output = np.array(
        [0.3, 0.2, -0.5, 1.0, -1.0, 0.5, 0.1, -0.2, -0.6, 0.1, -0.3, 0.7, -1.0],
        "float32",
    )
    noise = {
        "gumbel": random.gumbel(size=(count, COMPONENTS)),
        "normal": random.normal(size=(count, 2)),
        "uniform": random.random(count),
    }
    noise = {k: v.astype("float32") for k, v in noise.items()}
    outputs = np.tile(output, (count, 1))
    points = to_numpy(handwriting.draw(outputs, noise))
    rest = output[1:].reshape(6, COMPONENTS)
    weights = np.exp(log_softmax(rest[0]))
    mean = rest[1:3] @ weights
    np.testing.assert_allclose(points[:, :2].mean(axis=0), mean, atol=0.03)
    rho = 0.999 * np.tanh(rest[5])
    second = sum(
        weights[k]
        * (
            np.outer(rest[1:3, k], rest[1:3, k])
            + np.outer(np.exp(rest[3:5, k]), np.exp(rest[3:5, k]))
            * [[1, rho[k]], [rho[k], 1]]
        )
        for k in range(COMPONENTS)
    )
    measured = points[:, :2].T @ points[:, :2] / count
    np.testing.assert_allclose(measured, second, atol=0.06)
    assert points[:, 2].mean() == pytest.approx(sigmoid(0.3), abs=0.01)


def test_bias_makes_draws_neater():
    random = np.random.default_rng(1)
    outputs = np.tile(random.normal(size=13).astype("float32"), (4000, 1))
    noise = {
        "gumbel": random.gumbel(size=(4000, COMPONENTS)).astype("float32"),
        "normal": random.normal(size=(4000, 2)).astype("float32"),
        "uniform": random.random(4000).astype("float32"),
    }
    spreads = [
        to_numpy(handwriting.draw(outputs, noise, bias))[:, :2].var(axis=0)
        for bias in (0.0, 0.5, 2.0)
    ]
    assert (spreads[0] > spreads[1]).all() and (spreads[1] > spreads[2]).all()


def test_a_pen_writes_what_steps_would():
    model = make()
    found = Pen(model).write([[3, 1], [5, 2, 6]], steps=7, bias=0.4, seed=3)
    assert all(line["phi"].shape[0] <= 7 for line in found)
    # The first line, step by step with the same noise.
    random = np.random.default_rng(3)
    noise = {
        "gumbel": random.gumbel(size=(2, 7, COMPONENTS)),
        "normal": random.normal(size=(2, 7, 2)),
        "uniform": random.random((2, 7, 1))[..., 0],
    }
    noise = {k: v.astype("float32") for k, v in noise.items()}
    memory = model.read(np.array([[3, 1, 0], [5, 2, 6]]))
    state, point = model.first(2, memory), np.zeros((2, 3), "float32")
    for t in range(7):
        state, outputs = model.step(state, ops.convert_to_tensor(point), memory)
        here = {k: v[:, t] for k, v in noise.items()}
        point = to_numpy(handwriting.draw(outputs, here, 0.4))
        for row, line in enumerate(found):
            if t < len(line["strokes"]):
                np.testing.assert_allclose(
                    line["strokes"][t], point[row], atol=1e-4
                )


def test_writing_stops_behind_the_text():
    model = make(initial_step=1.0)
    # Centres move one character a point, whatever the network says.
    for variable in model.window.trainable_variables:
        variable.assign(np.zeros(variable.shape))
    (line,) = Pen(model).write([[3, 1, 6]], steps=9, seed=0)
    assert line["finished"] and len(line["strokes"]) == 4
    assert line["phi"].argmax(axis=1).tolist() == [0, 1, 2, 2]
    (line,) = Pen(model).write([[3, 1, 6]], steps=3, seed=0)
    assert not line["finished"] and len(line["strokes"]) == 3


def test_a_primed_pen_goes_on_from_the_line():
    model = make()
    inputs, _ = batch()
    line = inputs["strokes"][0].copy()
    line[0, :2] = 0
    (found,) = Pen(model).write([[2, 4]], 5, seed=0, prime=(line, [3, 1]))
    (plain,) = Pen(model).write([[2, 4]], 5, seed=0)
    assert found["phi"].shape[1] == 2
    assert len(found["strokes"]) <= 5
    assert np.abs(found["strokes"][0] - plain["strokes"][0]).max() > 1e-3


def test_a_network_without_text_writes_on():
    lines = Pen(make(reads_text=False)).write([None, None], steps=6, seed=1)
    assert [line["strokes"].shape for line in lines] == [(6, 3), (6, 3)]
    assert np.isfinite(lines[0]["strokes"]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"texts": [[]]}, "a text with a character"),
        ({"texts": [[7]]}, r"from 1 to 6. Received: \[7\]"),
        ({"texts": [[0]]}, r"from 1 to 6. Received: \[0\]"),
        ({"bias": -1.0}, "bias to be a number of at least 0"),
        ({"bias": float("nan")}, "bias to be a number of at least 0"),
        ({"bias": "neat"}, "bias to be a number of at least 0"),
        ({"texts": []}, "at least one text"),
        ({"steps": 0}, "steps"),
        ({"prime": (np.zeros((3, 3)), [9])}, r"from 1 to 6. Received: \[9\]"),
        ({"prime": (np.zeros((3, 3)), [])}, "a text with a character"),
        ({"prime": (np.full((3, 3), np.nan), [1])}, "finite numbers"),
        ({"prime": (np.zeros((3, 2)), [1])}, r"shape \(T, 3\)"),
    ],
)
def test_what_cannot_be_written(options, message):
    given = {"texts": [[1]], "steps": 3, **options}
    with pytest.raises(ValueError, match=message):
        Pen(make()).write(**given)


@pytest.mark.parametrize(
    ("strokes", "text", "message"),
    [
        (np.zeros((2, 3)), [[1]], "strokes"),
        (np.zeros((1, 4, 2)), [[1]], "strokes"),
        (np.zeros((1, 4, 3)), [[1.5]], "text to be integers"),
        (np.zeros((1, 4, 3)), [1], "text"),
    ],
)
def test_inputs_of_another_kind(strokes, text, message):
    inputs = {"strokes": strokes.astype("float32"), "text": np.array(text)}
    with pytest.raises(ValueError, match=message):
        make().force(inputs)


def spoiled(lines, place, value):
    lines = lines.copy()
    lines[place] = value
    return lines


def refused(inputs, following):
    """Return what no network reads, as `(x, y, message)`."""
    lines, nan = inputs["strokes"], "finite numbers; .* at point 2 of line 1"
    return [
        (
            {**inputs, "strokes": spoiled(lines, (1, 2, 0), np.nan)},
            following,
            f"expected strokes of {nan}",
        ),
        (
            {**inputs, "strokes": spoiled(lines, (0, 3, 1), np.inf)},
            following,
            "at point 3 of line 0",
        ),
        (
            {**inputs, "strokes": spoiled(lines, (0, 3, 2), 0.5)},
            following,
            "lifted, else 0. Received: 0.5 at point 3 of line 0",
        ),
        ({**inputs, "strokes": lines[:, :0]}, following, "at least one point"),
        (
            {**inputs, "strokes": lines[:, :, :2]},
            following,
            "strokes to have a last axis of size 3",
        ),
        (inputs, spoiled(following, (1, 2), np.nan), f"next points of {nan}"),
        (inputs, spoiled(following, (1, 2, 2), -2), r"\(-1 at padding\)"),
    ]


@BOTH
def test_bad_strokes_are_refused_everywhere(reads_text):
    model = make(reads_text)
    model.compile("sgd")
    inputs, following = batch()
    if not reads_text:
        del inputs["text"]
    wrong = refused(inputs, following)
    check_refusals(model, inputs, following, wrong)
    for bad, _, message in wrong[:5]:
        with pytest.raises(ValueError, match=message):
            model.force(bad)
    noisy = AdaptiveWeightNoise(model, 9)
    noisy.compile("sgd")
    check_refusals(noisy, inputs, following, wrong[:1])
    check_that_it_works(model, inputs, following)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (np.array([[3, 1], [99, 0]]), "ids from 0 to 6. Received: 99"),
        (np.array([[3, 1], [-5, 2]]), "ids from 0 to 6. Received: -5"),
        (np.array([[3, 1], [0, 0]]), "at least one character"),
        (np.zeros((2, 0), "int32"), "at least one character"),
        (np.ones((2, 2), "float32"), "text to be integers"),
    ],
)
def test_bad_texts_are_refused_everywhere(text, message):
    model = make()
    model.compile("sgd")
    inputs, following = batch()
    bad = {**inputs, "text": text}
    check_refusals(model, inputs, following, [(bad, following, message)])
    with pytest.raises(ValueError, match=message):
        model.force(bad)
    # What can be seen of tensors is seen, too.
    if not text.size:
        with pytest.raises(ValueError, match=message):
            model.read(ops.convert_to_tensor(text))


@BOTH
def test_a_saved_model_is_the_same(reads_text, tmp_path):
    model = make(reads_text)
    inputs, _ = batch()
    if not reads_text:
        del inputs["text"]
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        to_numpy(again(inputs)), to_numpy(model(inputs)), atol=1e-6
    )
    assert again.get_config() == model.get_config()
