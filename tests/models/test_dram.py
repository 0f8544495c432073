"""DRAM: its equations, what learns from what, and no way around glimpses."""

import keras
import numpy as np
import pytest
from keras import ops
from numerics import to_numpy, variable_gradients

from attnlib.models.dram import DeepRecurrentAttention

BY_REWARD = ("guide", "glance", "locator", "baseline")


def make(side=20, channels=1, **options):
    options = {
        "num_glimpses": 3,
        "glimpse_size": 9,
        "num_classes": 5,
        "units": 6,
        "filters": (2, 3, 4),
        "context_size": 10,
        "location_std": 0.2,
        "seed": 1,
        **options,
    }
    model = DeepRecurrentAttention(**options)
    model.build((None, side, side, channels))
    return model


def example(model, batch=4, side=20, channels=1, seed=0):
    generator = np.random.default_rng(seed)
    images = generator.random((batch, side, side, channels), "float32")
    labels = generator.integers(0, model.num_classes, batch).astype("int32")
    noise = generator.normal(size=(batch, model.num_glimpses, 2))
    return images, labels, noise.astype("float32")


# The equations of the class's docstring in NumPy float64.


def weights(layer):
    return [to_numpy(v.value).astype("float64") for v in layer.weights]


def relu(x):
    return np.maximum(x, 0)


def linear(layer, x):
    kernel, bias = weights(layer)
    return x @ kernel + bias


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def conv(layer, x, stride=1):
    """Convolve (B, H, W, C), padded as TensorFlow does for stride 2."""
    kernel, bias = weights(layer)
    size = kernel.shape[0]
    if stride > 1:
        out = -(-x.shape[1] // stride)
        total = max((out - 1) * stride + size - x.shape[1], 0)
        before = total // 2
        pad = (before, total - before)
        x = np.pad(x, ((0, 0), pad, pad, (0, 0)))
    side = (x.shape[1] - size) // stride + 1
    result = np.zeros((len(x), side, side, kernel.shape[-1]))
    for i, j in np.ndindex(side, side):
        window = x[:, i * stride :, j * stride :][:, :size, :size]
        result[:, i, j] = np.tensordot(window, kernel, 3) + bias
    return relu(result)


def lstm(cell, x, state, memory):
    kernel, recurrent, bias = weights(cell)
    gates = x @ kernel + state @ recurrent + bias
    i, f, c, o = np.split(gates, 4, axis=-1)
    memory = sigmoid(f) * memory + sigmoid(i) * np.tanh(c)
    return sigmoid(o) * np.tanh(memory), memory


def reference_look(model, images, location):
    count, side = len(images), images.shape[1]
    size = model.glimpse_size
    crops = np.zeros((count, size, size, model.scales * images.shape[-1]))
    for n in range(count):
        centre = ((location[n] + 1) * side - 1) / 2
        for k in range(model.scales):
            wide = size * 2**k
            left, top = np.rint(centre - (wide - 1) / 2).astype(int)
            padded = np.pad(images[n], ((wide, wide), (wide, wide), (0, 0)))
            seen = padded[top + wide :, left + wide :][:wide, :wide]
            cells = seen.reshape(size, 2**k, size, 2**k, -1)
            channels = slice(k * images.shape[-1], (k + 1) * images.shape[-1])
            crops[n, ..., channels] = cells.mean(axis=(1, 3))
    for layer in model.what:
        crops = conv(layer, crops)
    what = relu(linear(model.what_out, crops.reshape(count, -1)))
    where = relu(linear(model.where, location))
    return what * where if model.combine == "product" else what + where


def reference(model, images, noise):
    images, noise = images.astype("float64"), noise.astype("float64")
    count, side = len(images), images.shape[1]
    empty = np.zeros((count, model.units))
    reading, guiding = (empty, empty), (empty, empty)
    if model.context:
        step, wide = side // model.context_size, model.context_size
        small = images.reshape(count, wide, step, wide, step, -1)
        small = small.mean(axis=(2, 4))
        for layer in model.glance:
            small = conv(layer, small, 2)
        memory = linear(model.glance_out, small.reshape(count, -1))
        guiding = np.tanh(memory), memory
    found = []
    for t in range(model.num_glimpses):
        if t:
            guiding = lstm(model.guide, reading[0], *guiding)
        hidden = relu(linear(model.locator_hidden, guiding[0]))
        mean = np.tanh(linear(model.locator, hidden))
        location = np.clip(mean + model.location_std * noise[:, t], -1, 1)
        log_prob = -0.5 * np.sum(noise[:, t] ** 2, axis=-1)
        baseline = linear(model.baseline, guiding[0])[:, 0]
        found.append((location, log_prob, baseline))
        seen = reference_look(model, images, location)
        reading = lstm(model.reader, seen, *reading)
    locations, log_prob, baseline = (
        np.stack(part, axis=1) for part in zip(*found, strict=True)
    )
    return {
        "logits": linear(model.classifier, reading[0]),
        "locations": locations,
        "log_prob": log_prob,
        "baseline": baseline,
    }


@pytest.mark.parametrize(
    "options",
    [{}, {"context": False}, {"combine": "sum", "channels": 3, "scales": 1}],
)
def test_a_whole_run_is_the_equations(options):
    channels = options.get("channels", 1)
    model = make(**options)
    images, _, noise = example(model, channels=channels)
    found = to_numpy(model(images, noise=noise))
    expected = reference(model, images, noise)
    assert set(found) == set(expected)
    for name, value in found.items():
        np.testing.assert_allclose(
            value, expected[name], atol=1e-4, err_msg=name
        )


# Who learns from what.


def gradients(model, images, labels, noise, term=None):
    def loss():
        out = model(images, noise=noise)
        if term == "classification":
            entropy = keras.losses.sparse_categorical_crossentropy(
                labels, out["logits"], from_logits=True
            )
            return ops.mean(entropy)
        return model.compute_loss(None, labels, out)

    found = variable_gradients(loss, model.trainable_weights)
    return {
        path: to_numpy(gradient)
        for path, gradient in found.items()
        if gradient is not None
    }


def by_reward(path):
    return path.split("/")[-2].startswith(BY_REWARD)


def test_the_label_teaches_what_reads_and_nothing_that_decides():
    model = make(policy_weight=1e3)
    batch = example(model)
    label = gradients(model, *batch, term="classification")
    whole = gradients(model, *batch)
    for path, gradient in label.items():
        if by_reward(path):
            assert np.all(gradient == 0), path
        else:
            np.testing.assert_allclose(
                whole[path], gradient, rtol=1e-4, atol=1e-7, err_msg=path
            )
    assert any(np.any(g) for p, g in label.items() if "reader" in p)


def test_reward_reaches_policy_second_lstm_and_context():
    model = make(policy_weight=1.0)
    images, labels, noise = example(model)
    # A blank image is no sign: near the centre's mean ReLUs may all be off.
    found = gradients(model, images, labels, noise)
    for part in ("guide", "glance_0", "glance_out", "locator", "baseline"):
        assert any(np.any(g) for p, g in found.items() if part in p), part


def test_the_baseline_pushes_no_gradient_into_the_states():
    model = make(policy_weight=0.0)
    batch = example(model)
    label = gradients(model, *batch, term="classification")
    whole = gradients(model, *batch)
    for path, gradient in whole.items():
        if "baseline" in path:
            assert np.any(gradient)
        else:
            np.testing.assert_allclose(gradient, label[path], atol=1e-7)


def test_classes_leak_through_no_other_way_than_glimpses():
    """Same glimpses, another context: the answer must be the same."""
    model = make(policy="centre", glimpse_size=9, scales=1)
    images, _, noise = example(model)
    other = images.copy()
    other[:, :4] = other[:, -4:] = 0.0  # Outside the window in the middle.
    other[:, :, :4] = other[:, :, -4:] = 0.0
    one, two = (to_numpy(model(x, noise=noise)) for x in (images, other))
    np.testing.assert_array_equal(one["logits"], two["logits"])
    assert np.any(one["baseline"] != two["baseline"])


def test_context_decides_where_to_look_first():
    model = make()
    images, _, noise = example(model)
    model.locator.kernel.assign(np.ones(model.locator.kernel.shape))
    first = to_numpy(model(images, noise=noise * 0))["locations"][:, 0]
    assert first.std(axis=0).max() > 1e-4
    blind = make(context=False)
    first = to_numpy(blind(images, noise=noise * 0))["locations"][:, 0]
    np.testing.assert_array_equal(first, np.zeros((4, 2)))


# Keras.


def test_it_learns_one_batch_by_heart():
    """Every class has a colour of its own: any glimpse tells it."""
    labels = np.arange(10, dtype="int32") % 5
    images = np.zeros((10, 20, 20, 5), "float32")
    images[np.arange(10), ..., labels] = 1
    model = make(channels=5, units=24, num_glimpses=2, filters=(8, 8, 8))
    model.compile(optimizer=keras.optimizers.Adam(1e-2))
    x, y = np.tile(images, (20, 1, 1, 1)), np.tile(labels, 20)
    history = model.fit(x, y, batch_size=10, epochs=3, verbose=0).history
    assert history["error"][-1] < 0.5 * history["error"][0]


def test_it_comes_back_from_its_config_and_its_file(tmp_path):
    model = make(combine="sum", exploration_std=0.4)
    images, _, noise = example(model)
    expected = to_numpy(model(images, noise=noise))
    twin = DeepRecurrentAttention.from_config(model.get_config())
    assert twin.get_config() == model.get_config()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    found = to_numpy(loaded(images, noise=noise))
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-6)


def test_drawn_noise_is_normal_from_the_first_glimpse_on():
    noise = to_numpy(make().draw_noise(3000))
    assert noise.shape == (3000, 3, 2)
    assert noise.std() == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("policy", ["random", "centre"])
def test_a_policy_that_cannot_learn_is_frozen(policy):
    model = make(policy=policy)
    frozen = {v.path.split("/")[-2] for v in model.non_trainable_weights}
    assert {"guide", "glance_0", "glance_out", "locator"} <= frozen
    assert "reader" not in frozen


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_glimpses": 0}, "num_glimpses.*at least 1.*Received: 0"),
        ({"glimpse_size": 8}, "glimpse_size of at least 9.*8"),
        ({"filters": (2, 3)}, "filters to be 3 integers"),
        ({"combine": "mean"}, "combine to be one of.*'mean'"),
        ({"context": 1}, "context to be True or False"),
        ({"context_size": 0}, "context_size"),
        ({"policy": "best"}, "learned, random, centre"),
    ],
)
def test_a_bad_argument_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        DeepRecurrentAttention(**options)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 8, 20, 1), "at least as large.*9x9.*8x20"),
        ((2, 20, 25, 1), "multiples of 10.*20 x 25"),
        ((2, 20, 20), "images"),
    ],
)
def test_bad_images_are_named(shape, message):
    with pytest.raises(ValueError, match=message):
        make()(np.zeros(shape, "float32"))


def test_whole_numbers_are_refused():
    with pytest.raises(ValueError, match="images to be floating.*uint8"):
        make()(np.zeros((2, 20, 20, 1), "uint8"))


def test_wrong_channels_are_named():
    with pytest.raises(ValueError, match="1 channel.*3"):
        make()(np.zeros((2, 20, 20, 3), "float32"))
