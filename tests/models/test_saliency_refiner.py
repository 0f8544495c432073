"""Networks that see saliency at a glance and in windows."""

import keras
import numpy as np
import pytest
from numerics import to_numpy

from attnlib.models.saliency_refiner import (
    GlobalSaliency,
    SaliencyRefiner,
    pixel_nats,
)
from attnlib.ops import affine_grid, bilinear_sample, invert_affine


def images(count=2, height=24, width=32):
    random = np.random.default_rng(0)
    return random.random((count, height, width, 3), "float32")


def made(steps=2, **options):
    keras.utils.set_random_seed(0)
    overview = GlobalSaliency(8, filters=2, halvings=2)
    overview.build((None, 24, 32, 3))
    model = SaliencyRefiner(overview, steps, units=3, **options)
    model.build((None, 24, 32, 3))
    # Nothing shall be zero by its initial value.
    random = np.random.default_rng(1)
    for layer in (model.context, model.window_crop.regressor):
        kernel, bias = layer.get_weights()
        kernel = 0.5 * random.normal(size=kernel.shape)
        layer.set_weights([kernel.astype("float32"), bias])
    return model


def chain(layers, x):
    for layer in layers:
        x = layer(x)
    return x


def gru(cell, x, h):
    """Keras's GRU with `reset_after`, in NumPy."""
    kernel, recurrent, bias = cell.get_weights()
    a, b = x @ kernel + bias[0], h @ recurrent + bias[1]
    n = h.shape[1]
    z, r = (
        1 / (1 + np.exp(-(a + b)[:, part]))
        for part in (slice(0, n), slice(n, 2 * n))
    )
    new = np.tanh(a[:, 2 * n :] + r * b[:, 2 * n :])
    return z * h + (1 - z) * new


def by_hand(model, given, steps):
    """The docstring's nine lines, a step after the other."""
    logits = to_numpy(model.overview(given))
    h1 = np.zeros((len(given), model.units))
    h2 = to_numpy(model.glance_at(logits))
    low, high = model.scale_range
    maps, windows = [logits], []
    for _ in range(steps):
        kernel, bias = model.window_crop.regressor.get_weights()
        a, b, c = (h2 @ kernel + bias).T
        s = low * (high / low) ** (1 / (1 + np.exp(-a)))
        x, y = (1 - s) * np.tanh(b), (1 - s) * np.tanh(c)
        zero = np.zeros_like(s)
        theta = np.stack([s, zero, x, zero, s, y], 1).reshape(-1, 2, 3)
        theta = theta.astype("float32")
        both = np.concatenate([given, 1 / (1 + np.exp(-logits))], -1)
        crop = bilinear_sample(both.astype("float32"), affine_grid(theta, 8, 8))
        e = to_numpy(chain(model.encoder, crop))
        code = to_numpy(model.code(e.reshape(len(e), -1)))
        where = np.stack([s, x, y], 1)
        if not model.recurrent:
            h1, h2 = 0 * h1, 0 * h2
        h1 = gru(model.reader, np.concatenate([code, where], 1), h1)
        kernel, bias = model.context.get_weights()
        inner = np.maximum(e + (h1 @ kernel + bias)[:, None, None], 0)
        patch = to_numpy(chain(model.decoder, inner.astype("float32")))
        grid = affine_grid(invert_affine(theta), 24, 32)
        logits = logits + to_numpy(bilinear_sample(patch, grid))
        h2 = gru(model.guide, np.concatenate([h1, where], 1), h2)
        maps.append(logits)
        windows.append(where)
    return np.stack(maps, 1)[..., 0], np.stack(windows, 1)


@pytest.mark.parametrize("recurrent", [True, False])
def test_equals_the_equations(recurrent):
    model = made(recurrent=recurrent)
    out = to_numpy(model(images()))
    maps, windows = by_hand(model, images(), 2)
    np.testing.assert_allclose(out["windows"], windows, atol=1e-4)
    np.testing.assert_allclose(out["logits"], maps, atol=1e-3)
    assert np.abs(out["logits"][:, 2] - out["logits"][:, 1]).max() > 1e-3


def test_nothing_changes_outside_a_window():
    model = made(1)
    places = np.float32([[[0.5, 0.5, -0.5]]] * 2)  # the top-right quarter
    out = to_numpy(model({"images": images(), "places": places}))
    change = out["logits"][:, 1] - out["logits"][:, 0]
    assert np.abs(change[:, 13:]).max() == np.abs(change[..., :15]).max() == 0
    # Units that are off leave single pixels as they were.
    assert (change[:, :12, 16:] != 0).mean() > 0.8
    np.testing.assert_array_equal(out["windows"], places)


def test_it_begins_as_the_same_network_on_a_window():
    model = made(1)
    model.context.kernel.assign(0 * model.context.kernel)
    whole = np.float32([[[1, 0, 0]]] * 2)
    out = to_numpy(model({"images": images(), "places": whole}))
    before, after = out["logits"][:, 0], out["logits"][:, 1]
    # Through a window as large as the image it gives the same map again, but
    # for two ways to read 8 x 8 of 24 x 32 pixels.
    assert np.corrcoef((after - before).ravel(), before.ravel())[0, 1] > 0.8


def test_random_windows_are_where_the_noise_says():
    model = made(2, windows="random")
    noise = np.float32([[[0, 0.5, 1], [1, 0, 0.5]]] * 2)
    out = to_numpy(model({"images": images(), "noise": noise}))
    low, high = model.scale_range
    wanted = [[low, 0, 1 - low], [high, high - 1, 0]]
    np.testing.assert_allclose(out["windows"][0], wanted, atol=1e-6)
    names = {w.path.split("/")[-2] for w in model.trainable_variables}
    assert not names & {"guide", "glance", "glance_out", "regressor"}


def test_only_the_overview_is_frozen():
    model = made()
    frozen = {id(w) for w in model.overview.weights}
    assert not frozen & {id(w) for w in model.trainable_variables}
    names = {w.path.split("/")[-2] for w in model.trainable_variables}
    assert {"guide", "glance", "regressor", "reader", "context"} <= names


def test_pixel_nats_are_binary_cross_entropy():
    random = np.random.default_rng(2)
    logits = random.normal(size=(2, 5)).astype("float32")
    mask = random.integers(0, 2, (2, 5))
    p = 1 / (1 + np.exp(-logits))
    wanted = -np.log(np.where(mask == 1, p, 1 - p))
    np.testing.assert_allclose(
        to_numpy(pixel_nats(mask, keras.ops.convert_to_tensor(logits))),
        wanted,
        rtol=1e-5,
    )


def test_loss_is_the_mean_over_the_steps():
    model = made()
    out = to_numpy(model(images()))
    mask = np.random.default_rng(3).integers(0, 2, (2, 24, 32))
    p = 1 / (1 + np.exp(-out["logits"][:, 1:].astype("float64")))
    wanted = -np.log(np.where(mask[:, None] == 1, p, 1 - p)).mean()
    found = float(to_numpy(model.compute_loss(y=mask, y_pred=out)))
    assert found == pytest.approx(wanted, rel=1e-4)


def test_it_learns_one_batch_and_moves_its_windows():
    keras.utils.set_random_seed(0)
    overview = GlobalSaliency(8, filters=4, halvings=2)
    overview.build((None, 24, 32, 3))
    model = SaliencyRefiner(overview, 2, units=8)
    given, mask = images(4) * 0.3, np.zeros((4, 24, 32), "uint8")
    for n in range(4):
        mask[n, 4 : 10 + 3 * n, 4 * n : 4 * n + 10] = 1
    given[mask == 1] += 0.6
    model.build(given.shape)
    overview_before = overview.get_weights()
    model.compile(optimizer=keras.optimizers.Adam(1e-2))
    before = to_numpy(model(given)["windows"])
    history = model.fit(given, mask, batch_size=4, epochs=60, verbose=0).history
    assert history["last"][-1] < 0.5 * history["last"][0]
    after = to_numpy(model(given)["windows"])
    assert np.abs(after - before).max() > 0.05
    for old, new in zip(overview_before, overview.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_config_and_file(tmp_path):
    model = made(scale_range=(0.2, 0.9))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.scale_range == (0.2, 0.9)
    np.testing.assert_allclose(
        to_numpy(loaded(images())["logits"]),
        to_numpy(model(images())["logits"]),
        atol=1e-5,
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_steps": 0}, "num_steps"),
        ({"units": 0}, "units"),
        ({"windows": "all"}, "windows to be one of.*'all'"),
        ({"recurrent": 1}, "recurrent"),
        ({"scale_range": (0.6, 0.9)}, "scale_range as"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        SaliencyRefiner(GlobalSaliency(8, 2, 2), **options)


def test_sizes_that_cannot_be_halved():
    with pytest.raises(ValueError, match="multiple of 8.*Received: 20"):
        GlobalSaliency(20, halvings=3)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"noise": np.zeros((2, 2), "float32")}, "noise"),
        ({"noise": np.zeros((2, 2, 2), "float32")}, "noise"),
        ({"places": np.zeros((3, 2, 3), "float32")}, "batch sizes"),
        ({"places": np.zeros((2, 2, 3), int)}, "places"),
        ({"images": np.zeros((24, 32, 3), "float32")}, "images"),
    ],
)
def test_bad_inputs(inputs, message):
    model = made()
    with pytest.raises(ValueError, match=message):
        model({"images": images(), **inputs})


def test_only_a_global_map_can_be_refined():
    with pytest.raises(ValueError, match="GlobalSaliency. Received: <Dense"):
        SaliencyRefiner(keras.layers.Dense(2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda mask: mask[:, ::2, ::2], "size of each image.*Resize"),
        (lambda mask: mask[:, :1], "size of each image"),
        (lambda mask: mask + 1, "labels from 0 to 1. Received: 2"),
        (lambda mask: mask * 255, "labels from 0 to 1. Received: 255"),
        (lambda mask: mask - 1, "labels from 0 to 1. Received: -1"),
    ],
)
@pytest.mark.parametrize("whole", [True, False])
def test_masks_that_do_not_fit_are_not_learned(whole, change, message):
    model = made()
    model = model.overview if whole else model
    model.trainable = True
    model.compile(optimizer="sgd")
    given = images()
    mask = np.zeros(given.shape[:3], "int32")
    mask[:, 4:8, 4:8] = 1
    with pytest.raises(ValueError, match=message):
        model.fit(given, change(mask), verbose=0)
    if not whole:
        with pytest.raises(ValueError, match=message):
            model.train_on_batch({"images": given}, change(mask))
    model.fit(given, mask, verbose=0)


def test_sizes_are_compared_where_masks_come_in_batches():
    model, given = made(), images()
    mask = np.zeros((len(given), 1, 1), "int32")
    for network in (model, model.overview):
        with pytest.raises(ValueError, match="size of each image"):
            network.compute_loss(y=mask, y_pred=network(given))
