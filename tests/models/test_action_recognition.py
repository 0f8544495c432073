"""Recognisers of actions against their equations in float64."""

import keras
import numpy as np
import pytest
from numerics import check_variable_gradients, to_numpy

from attnlib.models.action_recognition import (
    AttentionRecogniser,
    CubeRegression,
)

CLASSES, FRAMES, PLACES, WIDTH, UNITS = 3, 4, 4, 5, 6
POOLINGS = ("attention", "average", "max")
EVERY = [*POOLINGS, "regression"]


def make(kind="attention", places=PLACES, **options):
    if kind == "regression":
        model = CubeRegression(CLASSES, **options)
    else:
        sizes = {"units": UNITS, "layers": 2, "pooling": kind}
        model = AttentionRecogniser(CLASSES, **{**sizes, **options})
    model.build((None, FRAMES, places, WIDTH))
    if kind == "attention":
        random = np.random.default_rng(1)
        model.locator.set_weights([random.normal(size=(UNITS, places))])
    return model


def test_attention_starts_as_average_pooling():
    features, _ = batch()
    found = []
    for kind in ("attention", "average"):
        keras.utils.set_random_seed(0)
        model = AttentionRecogniser(CLASSES, UNITS, 2, kind)
        found.append(to_numpy(model(features)))
    for key in ("logits", "weights"):
        np.testing.assert_allclose(found[0][key], found[1][key], atol=1e-5)


def batch(count=2, seed=0):
    random = np.random.default_rng(seed)
    features = random.normal(size=(count, FRAMES, PLACES, WIDTH))
    labels = np.arange(count, dtype="int32") % CLASSES
    return features.astype("float32"), labels


def short(variable):
    """Return the name of a layer and its weight."""
    return "/".join(variable.path.split("/")[-2:])


def values_of(model):
    return {
        short(v): to_numpy(v.value).astype("f8")
        for v in model.trainable_variables
    }


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    return np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)


def dense(w, name, x):
    return x @ w[f"{name}/kernel"] + w[f"{name}/bias"]


def lstm(w, n, x, h, c):
    name = f"lstm_{n + 1}"
    gates = x @ w[f"{name}/kernel"] + h @ w[f"{name}/recurrent_kernel"]
    enter, keep, new, leave = np.split(gates + w[f"{name}/bias"], 4)
    c = sigmoid(keep) * c + sigmoid(enter) * np.tanh(new)
    return sigmoid(leave) * np.tanh(c), c


def reference(w, features, kind="attention", sharpness=1.0):
    """One video in float64: logits (T, classes) and weights (T, L)."""
    if kind == "regression":
        cubes = features.reshape(FRAMES, -1)
        return dense(w, "classes", cubes), np.full((FRAMES, PLACES), 1 / PLACES)
    mean = features.mean(axis=(0, 1))
    first = {
        s: np.tanh(
            dense(w, f"first_{s}", np.tanh(dense(w, f"start_{s}", mean)))
        )
        for s in "hc"
    }
    states = [
        [first[s][n * UNITS : (n + 1) * UNITS] for s in "hc"] for n in (0, 1)
    ]
    logits, weights = [], []
    for frame in features:
        row = np.full(PLACES, 1 / PLACES)
        if kind == "attention":
            row = softmax(sharpness * (states[-1][0] @ w["locator/kernel"]))
        x = frame.max(axis=0) if kind == "max" else row @ frame
        for n in (0, 1):
            states[n] = lstm(w, n, x, *states[n])
            x = states[n][0]
        logits.append(dense(w, "classes", np.tanh(dense(w, "hidden", x))))
        weights.append(row)
    return np.array(logits), np.array(weights)


def loss_of(w, features, labels, kind, weight=0.0, decay=0.0):
    """The loss in float64, as the docstring has it."""
    total = 0.0
    for video, label in zip(features.astype("f8"), labels, strict=True):
        logits, rows = reference(w, video, kind)
        total -= np.log(softmax(logits))[:, label].sum()
        total += weight * ((1 - rows.sum(axis=0)) ** 2).sum()
    squares = sum((v**2).sum() for v in w.values() if v.ndim > 1)
    return (total / len(labels) + decay * squares) / FRAMES


@pytest.mark.parametrize("kind", EVERY)
def test_equals_the_papers_equations(kind):
    model, (features, _) = make(kind), batch()
    out = model(features)
    for row in range(2):
        logits, weights = reference(values_of(model), features[row], kind)
        np.testing.assert_allclose(
            to_numpy(out["logits"])[row], logits, atol=1e-5
        )
        np.testing.assert_allclose(
            to_numpy(out["weights"])[row], weights, atol=1e-6
        )


def test_sharpness_multiplies_the_scores():
    model, (features, _) = make(sharpness=8.0), batch(1)
    logits, weights = reference(values_of(model), features[0], sharpness=8.0)
    out = model(features)
    np.testing.assert_allclose(to_numpy(out["logits"])[0], logits, atol=1e-5)
    np.testing.assert_allclose(to_numpy(out["weights"])[0], weights, atol=1e-5)


def test_it_looks_before_it_sees():
    """What frame t holds changes where it looks from frame t + 1 on.

    All but the first state, which is made from the mean of all frames.
    """
    model, (features, _) = make(), batch(1)
    other = features.copy()
    # The mean stays.
    other[:, 1] += 1.0
    other[:, 2] -= 1.0
    one, two = (to_numpy(model(x)["weights"])[0] for x in (features, other))
    np.testing.assert_allclose(one[:2], two[:2], atol=1e-6)
    assert np.abs(one[2] - two[2]).max() > 1e-5


@pytest.mark.parametrize("kind", ["attention", "max", "regression"])
def test_gradients_are_the_references(kind):
    model = make(kind, penalty_weight=0.3, weight_decay=0.01)
    features, labels = batch()
    variables = model.trainable_variables

    def wanted(w):
        named = {short(v): w[v.path] for v in variables}
        return loss_of(named, features, labels, kind, 0.3, 0.01)

    check_variable_gradients(
        lambda: model.compute_loss(y=labels, y_pred=model(features)),
        wanted,
        variables,
    )


def test_metrics():
    model, (features, labels) = make(penalty_weight=2.0), batch(6)
    model.compile()
    logs = model.evaluate(features, labels, verbose=0, return_dict=True)
    w = values_of(model)
    found = [reference(w, video) for video in features]
    answers = [softmax(logits).mean(axis=0).argmax() for logits, _ in found]
    assert logs["accuracy"] == pytest.approx(np.mean(answers == labels))
    nats = [
        -np.log(softmax(x))[:, y]
        for (x, _), y in zip(found, labels, strict=True)
    ]
    assert logs["nll"] == pytest.approx(np.mean(nats), rel=1e-4)
    penalty = [((1 - rows.sum(axis=0)) ** 2).sum() for _, rows in found]
    assert logs["penalty"] == pytest.approx(np.mean(penalty), rel=1e-4)
    assert logs["loss"] == pytest.approx(
        np.mean(nats) + 2 * np.mean(penalty) / FRAMES, rel=1e-4
    )


@pytest.mark.parametrize("kind", EVERY)
def test_config_and_weights_survive_saving(kind, tmp_path):
    model, (features, _) = make(kind, penalty_weight=0.5, seed=3), batch()
    path = tmp_path / "model.keras"
    model.save(path)
    again = keras.models.load_model(path)
    assert again.get_config() == model.get_config()
    for key in ("logits", "weights"):
        np.testing.assert_allclose(
            to_numpy(again(features)[key]),
            to_numpy(model(features)[key]),
            atol=1e-6,
        )


def test_it_overfits_one_batch():
    """Two places; the class is in the one that the mean hides."""
    random = np.random.default_rng(0)
    features, labels = batch(12)
    features += 0.5 * random.normal(size=(12, 1, 1, WIDTH)).astype("float32")
    model = make()
    model.compile(keras.optimizers.Adam(0.03))
    model.fit(features, labels, batch_size=12, epochs=60, verbose=0)
    logs = model.evaluate(features, labels, verbose=0, return_dict=True)
    assert logs["accuracy"] == 1 and logs["nll"] < 0.3


def test_the_penalty_spreads():
    features, labels = batch(12)
    spread = {}
    for weight in (0.0, 10.0):
        model = make(penalty_weight=weight, sharpness=5.0)
        model.compile(keras.optimizers.Adam(0.02))
        model.fit(features, labels, batch_size=12, epochs=30, verbose=0)
        total = to_numpy(model(features)["weights"]).sum(axis=1)
        spread[weight] = np.square(1 - total).sum(axis=1).mean()
    assert spread[10.0] < 0.2 * spread[0.0]


def test_dropout_is_for_training_only():
    model, (features, _) = make(dropout=0.5, seed=1), batch()
    same = [to_numpy(model(features)["logits"]) for _ in range(2)]
    np.testing.assert_array_equal(*same)
    other = to_numpy(model(features, training=True)["logits"])
    assert np.abs(other - same[0]).max() > 1e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 0}, "classes"),
        ({"units": 0}, "units"),
        ({"layers": 1.5}, "layers"),
        ({"pooling": "sum"}, "pooling.*'sum'"),
        ({"penalty_weight": -1}, "penalty_weight.*at least 0"),
        ({"weight_decay": float("nan")}, "weight_decay.*at least 0"),
        ({"dropout": 1.0}, "dropout"),
        ({"sharpness": 0}, "sharpness"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_options_get_one_clear_error(options, message):
    with pytest.raises(ValueError, match=message):
        AttentionRecogniser(**{"classes": 3, **options})


@pytest.mark.parametrize("kind", ["attention", "regression"])
@pytest.mark.parametrize("bad", [CLASSES, -1, 0.5, float("nan")])
def test_labels_of_no_class_are_not_learned(kind, bad):
    model, (features, labels) = make(kind), batch()
    model.compile(keras.optimizers.Adam(0.1))
    before = values_of(model)
    wrong = np.array([labels[0], bad])
    tensor = keras.ops.convert_to_tensor(wrong)
    told = f"from 0 to {CLASSES - 1}, whole.*Received: {bad}"
    for call in (
        lambda: model.fit(features, wrong, verbose=0),
        lambda: model.fit(features, y=tensor, verbose=0),
        lambda: model.evaluate(features, wrong, verbose=0),
        lambda: model.train_on_batch(features, wrong),
        lambda: model.fit(
            features, labels, validation_data=(features, wrong), verbose=0
        ),
    ):
        assert all((values_of(model)[k] == v).all() for k, v in before.items())
        with pytest.raises(ValueError, match=told):
            call()


@pytest.mark.parametrize("kind", ["attention", "average", "regression"])
def test_features_that_do_not_fit(kind):
    model = make(kind)
    good, _ = batch()
    for wrong, message in (
        (good[0], "rank 4"),
        (good[:, :0], "at least one frame"),
        (good[:, :, :3], "4 places and 5 channels"),
        (good[..., :2], "4 places and 5 channels"),
    ):
        with pytest.raises(ValueError, match=message):
            model.force(wrong)
