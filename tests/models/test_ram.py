"""RAM: its equations, and the traps that re-implementations fell into."""

import keras
import numpy as np
import pytest
from keras import ops
from numerics import dtype_of, to_numpy, variable_gradients

from attnlib.models.ram import POLICIES, RecurrentAttention

# The locator and the baseline see the reward only; the rest sees the label
# only. Every trap is a gradient that crosses this line.
BY_REWARD = ("locator", "baseline")


def make(side=12, channels=1, **options):
    options = {
        "num_glimpses": 3,
        "glimpse_size": 4,
        "num_classes": 5,
        "units": 12,
        "location_std": 0.2,
        "seed": 1,
        **options,
    }
    model = RecurrentAttention(**options)
    model.build((None, side, side, channels))
    return model


def example(model, batch=6, side=12, channels=1, seed=0):
    """Return images, labels and the noise of a call."""
    generator = np.random.default_rng(seed)
    images = generator.random((batch, side, side, channels))
    labels = generator.integers(0, model.num_classes, batch)
    steps = model.num_glimpses
    noise = generator.normal(size=(batch, steps, 2))
    noise[:, 0] = generator.uniform(-1, 1, (batch, 2))
    if model.policy == "random":
        noise = generator.uniform(-1, 1, noise.shape)
    return (
        images.astype("float32"),
        labels.astype("int32"),
        noise.astype("float32"),
    )


def weights(model):
    return {v.path.split("/", 1)[1]: to_numpy(v.value) for v in model.variables}


# The equations of the class's docstring in NumPy float64.


def linear(model, name, x):
    layer = getattr(model, name)
    kernel, bias = (to_numpy(v.value).astype("float64") for v in layer.weights)
    return x @ kernel + bias


def relu(x):
    return np.maximum(x, 0)


def sense(image, location, size, scales):
    """Cut windows one pixel at a time."""
    height, width, channels = image.shape
    center = ((location + 1) * [width, height] - 1) / 2
    glimpse = np.zeros((scales, size, size, channels))
    for k in range(scales):
        factor = 2**k
        left, top = np.rint(center - (size * factor - 1) / 2).astype(int)
        for i, j in np.ndindex(size * factor, size * factor):
            if 0 <= top + i < height and 0 <= left + j < width:
                glimpse[k, i // factor, j // factor] += (
                    image[top + i, left + j] / factor**2
                )
    return glimpse.ravel()


def reference_look(model, images, location, state):
    rho = np.stack(
        [
            sense(image, place, model.glimpse_size, model.scales)
            for image, place in zip(
                images.astype("float64"), location, strict=True
            )
        ]
    )
    what = linear(model, "what", relu(linear(model, "what_hidden", rho)))
    where = linear(
        model, "where", relu(linear(model, "where_hidden", location))
    )
    seen = relu(what + where)
    return relu(
        linear(model, "recurrent", state)
        + linear(model, "input_projection", seen)
    )


def reference_decide(model, state, noise):
    hidden = relu(linear(model, "locator_hidden", state))
    mean = np.tanh(linear(model, "locator", hidden))
    sample = mean + model.location_std * noise
    log_prob = -0.5 * np.sum(noise**2, axis=-1)
    baseline = linear(model, "baseline", state)[:, 0]
    return np.clip(sample, -1, 1), log_prob, baseline, mean


def reference(model, images, noise):
    """Return outputs and means of a learned policy for given noise."""
    noise = noise.astype("float64")
    state = np.zeros((len(images), model.units))
    location, steps = noise[:, 0], []
    locations = [location]
    for step in range(1, model.num_glimpses):
        state = reference_look(model, images, location, state)
        steps.append(reference_decide(model, state, noise[:, step]))
        location = steps[-1][0]
        locations.append(location)
    state = reference_look(model, images, location, state)
    _, log_prob, baseline, mean = (
        np.stack(part, axis=1) for part in zip(*steps, strict=True)
    )
    return {
        "logits": linear(model, "classifier", state),
        "locations": np.stack(locations, axis=1),
        "log_prob": log_prob,
        "baseline": baseline,
        "mean": mean,
    }


def test_one_look_is_the_equation():
    model = make(scales=2)
    images, _, noise = example(model)
    state = np.random.default_rng(3).random((6, 12))
    found = model.look(images, noise[:, 0], state.astype("float32"))
    expected = reference_look(model, images, noise[:, 0], state)
    np.testing.assert_allclose(to_numpy(found), expected, atol=1e-5)


def test_one_decision_is_the_equation():
    model = make()
    state = np.random.default_rng(3).random((6, 12)).astype("float32")
    noise = np.random.default_rng(4).normal(size=(6, 2)).astype("float32")
    expected = reference_decide(model, state, noise)
    for value, wanted in zip(
        model.decide(state, noise), expected, strict=False
    ):
        np.testing.assert_allclose(to_numpy(value), wanted, atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"scales": 2, "channels": 3}])
def test_a_whole_run_is_the_equations(options):
    channels = options.get("channels", 1)
    model = make(**options)
    images, _, noise = example(model, channels=channels)
    found = to_numpy(model(images, noise=noise))
    expected = reference(model, images, noise)
    for name, value in found.items():
        np.testing.assert_allclose(
            value, expected[name], atol=1e-4, err_msg=name
        )


def reference_loss(model, images, labels, noise):
    out = reference(model, images, noise)
    logits = out["logits"] - out["logits"].max(-1, keepdims=True)
    log_softmax = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    entropy = -log_softmax[np.arange(len(labels)), labels].mean()
    reward = (out["logits"].argmax(-1) == labels).astype("float64")[:, None]
    regression = np.mean((out["baseline"] - reward) ** 2)
    advantage = reward - out["baseline"]
    policy = -(out["log_prob"] * advantage).sum(axis=1).mean()
    return entropy, regression, policy, advantage, out["mean"]


def test_the_loss_is_the_sum_of_its_three_terms():
    model = make(policy_weight=0.3)
    images, labels, noise = example(model)
    out = model(images, noise=noise)
    found = model.compute_loss(None, labels, out)
    entropy, regression, policy, *_ = reference_loss(
        model, images, labels, noise
    )
    assert float(to_numpy(found)) == pytest.approx(
        entropy + regression + 0.3 * policy, rel=1e-4
    )


# The traps.


def loss_gradients(model, images, labels, noise, term=None):
    def loss():
        out = model(images, noise=noise)
        if term == "classification":
            entropy = keras.losses.sparse_categorical_crossentropy(
                labels, out["logits"], from_logits=True
            )
            return ops.mean(entropy)
        return model.compute_loss(None, labels, out)

    return variable_gradients(loss, model.weights)


def split(gradients):
    """Return the gradients of what learns by reward, and of the rest."""
    parts = ({}, {})
    for path, gradient in gradients.items():
        layer = path.split("/")[-2]
        parts[not layer.startswith(BY_REWARD)][layer, path] = gradient
    return parts


def test_no_classification_gradient_reaches_the_locator():
    model = make()
    found = loss_gradients(model, *example(model), term="classification")
    by_reward, by_label = split(found)
    assert len(by_reward) == 6 and len(by_label) == 14
    assert all(np.all(g == 0) for g in by_reward.values())
    assert all(np.any(g != 0) for g in by_label.values())


def test_reward_baseline_and_policy_push_no_gradient_into_the_core():
    # A policy term of this size would show in every weight that it reaches.
    model = make(policy_weight=1e3)
    batch = example(model)
    _, whole = split(loss_gradients(model, *batch))
    _, entropy = split(loss_gradients(model, *batch, term="classification"))
    for key, gradient in whole.items():
        np.testing.assert_allclose(
            gradient, entropy[key], rtol=1e-5, atol=1e-7, err_msg=str(key)
        )


def test_the_locator_gets_the_policy_gradient():
    """The gradient of the mean is -(R - b) noise / std, by hand."""
    model = make(policy_weight=0.5)
    images, labels, noise = example(model)
    by_reward, _ = split(loss_gradients(model, images, labels, noise))
    *_, advantage, mean = reference_loss(model, images, labels, noise)
    score = noise[:, 1:].astype("float64") / model.location_std
    to_mean = -0.5 * advantage[..., None] * score / len(images)
    expected = (to_mean * (1 - mean**2)).sum(axis=(0, 1))
    (bias,) = (
        gradient
        for (layer, path), gradient in by_reward.items()
        if layer == "locator" and path.endswith("bias")
    )
    np.testing.assert_allclose(bias, expected, rtol=1e-4, atol=1e-6)
    assert all(
        np.any(gradient != 0)
        for (layer, path), gradient in by_reward.items()
        if layer != "baseline"
    )


def test_the_baseline_learns_by_regression_alone():
    model = make(policy_weight=1e3)
    images, labels, noise = example(model)
    by_reward, _ = split(loss_gradients(model, images, labels, noise))
    *_, advantage, _ = reference_loss(model, images, labels, noise)
    (bias,) = (
        gradient
        for (layer, path), gradient in by_reward.items()
        if layer == "baseline" and path.endswith("bias")
    )
    np.testing.assert_allclose(bias, [-2 * advantage.mean()], rtol=1e-4)


def test_the_policy_goes_where_the_answer_is():
    """Only the top right corner tells the class: glimpses move there."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 512).astype("int32")
    images = np.zeros((512, 12, 12, 1), "float32")
    images[labels == 1, :5, 7:] = 1
    model = make(
        num_glimpses=2, num_classes=2, policy_weight=0.2, location_std=0.3
    )
    before = model(images)["locations"]
    model.compile(optimizer=keras.optimizers.Adam(1e-2))
    model.fit(images, labels, batch_size=64, epochs=12, verbose=0)
    after = model(images)["locations"]
    start, end = (to_numpy(x)[:, 1].mean(axis=0) for x in (before, after))
    assert end[0] > start[0] + 0.2 and end[1] < start[1] - 0.2


@pytest.mark.parametrize("policy", ["random", "centre"])
def test_a_policy_that_cannot_learn_has_no_policy_gradient(policy):
    model = make(policy=policy)
    frozen = {v.path.split("/")[-2] for v in model.non_trainable_weights}
    assert frozen == {"locator_hidden", "locator", "baseline"}
    by_reward, by_label = split(loss_gradients(model, *example(model)))
    assert all(np.all(g == 0) for g in by_reward.values())
    assert any(np.any(g != 0) for g in by_label.values())


# Policies, shapes, noise.


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("steps", [1, 3])
def test_policies_and_shapes(policy, steps):
    model = make(policy=policy, num_glimpses=steps)
    images, _, noise = example(model)
    out = to_numpy(model(images, noise=noise))
    assert out["logits"].shape == (6, 5)
    assert out["locations"].shape == (6, steps, 2)
    assert out["log_prob"].shape == out["baseline"].shape == (6, steps - 1)
    assert np.abs(out["locations"]).max() <= 1
    if policy == "centre":
        assert not out["locations"].any()
    else:
        np.testing.assert_array_equal(out["locations"][:, 0], noise[:, 0])
    if policy == "random":
        np.testing.assert_array_equal(out["locations"], noise)


@pytest.mark.parametrize("policy", POLICIES)
def test_drawn_noise_has_the_policy_s_distribution(policy):
    noise = to_numpy(make(policy=policy).draw_noise(4000))
    assert noise.shape == (4000, 3, 2)
    assert np.abs(noise[:, 0]).max() <= 1
    assert noise[:, 0].std() == pytest.approx(3**-0.5, abs=0.02)
    others = 3**-0.5 if policy == "random" else 1
    assert noise[:, 1:].std() == pytest.approx(others, abs=0.03)
    assert abs(np.corrcoef(noise[:, 0, 0], noise[:, 1, 0])[0, 1]) < 0.06


def test_a_single_glimpse_learns_by_the_label_alone():
    model = make(num_glimpses=1)
    images, labels, noise = example(model)
    gradients = loss_gradients(model, images, labels, noise)
    by_reward, by_label = split(gradients)
    assert all(np.all(g == 0) for g in by_reward.values())
    assert any(np.any(g != 0) for g in by_label.values())
    model.compile(optimizer="adam")
    logs = model.fit(images, labels, verbose=0).history
    assert set(logs) == {"loss", "error"}


def test_given_noise_decides_everything():
    model = make()
    images, _, noise = example(model)
    first, second = (to_numpy(model(images, noise=noise)) for _ in range(2))
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name])
    other = to_numpy(model(images, noise=noise + 0.1))
    assert np.any(other["locations"] != first["locations"])


def test_own_noise_is_new_at_every_call_and_follows_the_seed():
    one, two, other = make(seed=5), make(seed=5), make(seed=6)
    images, *_ = example(one)
    a, b = (to_numpy(one(images))["locations"] for _ in range(2))
    assert np.all(a[:, 0] != b[:, 0])
    np.testing.assert_array_equal(
        a[:, 0], to_numpy(two(images))["locations"][:, 0]
    )
    assert np.any(a[:, 0] != to_numpy(other(images))["locations"][:, 0])


# Keras.


def test_it_learns_one_batch_by_heart():
    """Every class has a colour of its own: any glimpse tells it."""
    labels = np.arange(10, dtype="int32") % 5
    images = np.zeros((10, 12, 12, 5), "float32")
    images[np.arange(10), ..., labels] = 1
    model = make(channels=5, units=32)
    model.compile(optimizer=keras.optimizers.Adam(1e-2))
    x, y = np.tile(images, (40, 1, 1, 1)), np.tile(labels, 40)
    history = model.fit(x, y, batch_size=10, epochs=4, verbose=0).history
    assert history["error"][-1] < 0.5 * history["error"][0]
    assert history["loss"][-1] < history["loss"][0]


def test_exploration_falls_in_a_straight_line_and_only_in_training():
    model = make(exploration_std=0.4, exploration_steps=4)
    images, _, noise = example(model)
    state = np.random.default_rng(3).random((6, 12)).astype("float32")
    still = to_numpy(model.decide(state, noise[:, 1])[0])
    seen = []
    for _ in range(6):
        model(images, noise=noise)  # No training: neither counts nor explores.
        np.testing.assert_allclose(
            to_numpy(model.decide(state, noise[:, 1])[0]), still
        )
        seen.append(float(to_numpy(model._std(training=True))))
    np.testing.assert_allclose(seen, [0.4, 0.35, 0.3, 0.25, 0.2, 0.2], 1e-6)


def test_exploration_reaches_location_and_log_probability():
    wide = make(exploration_std=0.4, exploration_steps=4)
    images, _, noise = example(wide)
    plain = make(location_std=0.4)
    for ours, theirs in zip(
        plain.trainable_variables, wide.trainable_variables, strict=True
    ):
        ours.assign(theirs)
    a = wide(images, noise=noise, training=True)
    b = plain(images, noise=noise, training=True)
    for name in a:
        np.testing.assert_allclose(
            to_numpy(a[name]), to_numpy(b[name]), atol=1e-5
        )


def test_fit_counts_the_calls_of_training():
    model = make(exploration_std=0.4, exploration_steps=4)
    images, labels, _ = example(model)
    model.compile("adam")
    model.fit(images, labels, batch_size=3, epochs=2, verbose=0)
    model.evaluate(images, labels, verbose=0)
    assert float(to_numpy(model.calls_in_training.value)) == 4


def test_keras_round_trip(tmp_path):
    model = make(scales=2, policy_weight=0.2)
    images, _, noise = example(model)
    before = to_numpy(model(images, noise=noise))
    model.save(tmp_path / "ram.keras")
    loaded = keras.saving.load_model(tmp_path / "ram.keras")
    assert loaded.get_config() == model.get_config()
    after = to_numpy(loaded(images, noise=noise))
    for name, value in before.items():
        np.testing.assert_array_equal(value, after[name])


def test_config_holds_every_argument():
    config = make(scales=2, policy="random").get_config()
    rebuilt = RecurrentAttention.from_config(config)
    assert rebuilt.get_config() == config


def test_metrics_are_named_once():
    model = make()
    model.compile(optimizer="adam")
    assert sorted(m.name for m in model.metrics) == ["error", "loss"]


def test_batches_of_any_size_symbolic_and_eager():
    model = make()
    symbolic = model(keras.Input((12, 12, 1)))
    images, _, noise = example(model, batch=1)
    out = model(images, noise=noise)
    for name, tensor in out.items():
        assert tuple(symbolic[name].shape[1:]) == tuple(tensor.shape[1:])
    assert out["logits"].shape == (1, 5)


def test_mixed_precision():
    keras.config.set_dtype_policy("mixed_float16")
    model = make()
    images, labels, noise = example(model)
    out = model(images, noise=noise)
    assert dtype_of(out["logits"]) == "float16"
    assert dtype_of(out["locations"]) == dtype_of(out["log_prob"]) == "float32"
    loss = model.compute_loss(None, labels, out)
    assert dtype_of(loss) == "float32" and np.isfinite(to_numpy(loss))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_glimpses": 0}, "num_glimpses.*Received: 0"),
        ({"num_glimpses": 2.5}, "num_glimpses.*Received: 2.5"),
        ({"num_classes": 0}, "num_classes"),
        ({"units": -1}, "units"),
        ({"glimpse_size": 0}, "size"),
        ({"scales": 0}, "scales"),
        ({"policy": "center"}, "learned, random, centre.*'center'"),
        ({"location_std": 0}, "location_std.*positive"),
        ({"location_std": float("nan")}, "location_std.*positive"),
        ({"location_std": None}, "location_std.*positive"),
        ({"exploration_std": 0}, "exploration_std.*positive"),
        ({"exploration_steps": 0}, "exploration_steps"),
    ],
)
def test_a_bad_argument_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        RecurrentAttention(**options)


@pytest.mark.parametrize(
    ("images", "noise", "message"),
    [
        ((2, 3, 12, 1), None, "at least as large.*4x4.*Received: .*3x12"),
        ((2, 12, 12), None, "images"),
        ((2, 12, 12, 3), None, "1 channel, .*Received: 3 channels"),
        ((2, 12, 12, 1), (2, 4, 2), r"\(B, 3, 2\).*\(2, 4, 2\)"),
    ],
)
def test_bad_input_is_named(images, noise, message):
    model = make()
    noise = None if noise is None else np.zeros(noise, "float32")
    with pytest.raises(ValueError, match=message):
        model(np.zeros(images, "float32"), noise=noise)
