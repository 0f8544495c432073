"""DRAW: its equations in float64, and the bugs of its re-implementations."""

import keras
import numpy as np
import pytest
from keras import ops
from numerics import to_numpy, variable_gradients

from attnlib.models.draw import DRAW, DrawReader, bernoulli_nats, tiling

SHAPE = (7, 6, 1)


def make(shape=SHAPE, **options):
    options = {
        "num_steps": 3,
        "latent_size": 4,
        "units": 5,
        "read_size": 2,
        "write_size": 3,
        "seed": 1,
        **options,
    }
    model = DRAW(image_shape=shape, **options)
    model.build()
    return shake(model)


def shake(model, seed=5):
    """Give every weight a value of its own, biases too."""
    generator = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        value = to_numpy(variable.value)
        noise = generator.normal(scale=0.2, size=value.shape)
        variable.assign(value + noise.astype("float32"))
    return model


def example(model, batch=3, seed=0):
    """Return binary images and the noise of a call."""
    generator = np.random.default_rng(seed)
    images = generator.random((batch, *model.image_shape)) < 0.4
    noise = generator.normal(size=(model.num_steps, batch, model.latent_size))
    return images.astype("float32"), noise.astype("float32")


# The equations of the paper in NumPy float64, one pixel at a time.


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def dense(layer, x):
    kernel, bias = (to_numpy(v.value).astype("float64") for v in layer.weights)
    return x @ kernel + bias


def lstm(layer, x, hidden, cell):
    kernel, recurrent, bias = (
        to_numpy(v.value).astype("float64") for v in layer.weights
    )
    i, f, g, o = np.split(x @ kernel + hidden @ recurrent + bias, 4, axis=-1)
    cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(cell), cell


def filters(window, size, height, width):
    """Equations 19 to 26, for one image, with the paper's indices from 1."""
    gx, gy, log_s2, log_d, log_gamma = window
    stride = (max(height, width) - 1) / max(size - 1, 1) * np.exp(log_d)
    banks = []
    for centre, extent in ((gx, width), (gy, height)):
        bank = np.zeros((size, extent))
        for i in range(1, size + 1):
            mean = (extent + 1) / 2 * (centre + 1)
            mean += (i - size / 2 - 0.5) * stride
            for a in range(1, extent + 1):
                # (a - mu)^2 is divided by 2 s2, not squared with it.
                bank[i - 1, a - 1] = np.exp(
                    -((a - mean) ** 2) / (2 * np.exp(log_s2))
                )
        banks.append(bank / bank.sum(axis=1, keepdims=True))
    return banks[0], banks[1], np.exp(log_gamma)


def read(model, images, canvas, head):
    left = images - sigmoid(canvas)
    both = np.concatenate([images, left], axis=-1)
    if not model.attention:
        return both.reshape(len(images), -1)
    height, width, _ = model.image_shape
    patches = []
    for image, window in zip(both, head[:, :5], strict=True):
        f_x, f_y, gamma = filters(window, model.read_size, height, width)
        patches.append(gamma * np.einsum("iy,yxc,jx->ijc", f_y, image, f_x))
    return np.reshape(patches, (len(images), -1))


def write(model, head):
    if not model.attention:
        return head.reshape(-1, *model.image_shape)
    height, width, channels = model.image_shape
    size, images = model.write_size, []
    for row in head:
        patch = row[10:].reshape(size, size, channels)
        f_x, f_y, gamma = filters(row[5:10], size, height, width)
        images.append(np.einsum("iy,ijc,jx->yxc", f_y, patch, f_x) / gamma)
    return np.array(images)


def reference(model, images, noise):
    """Return what the call returns, and the canvases (B, T, H, W, C)."""
    images, noise = images.astype("float64"), noise.astype("float64")
    batch = len(images)

    def first(weight):
        value = to_numpy(weight.value).astype("float64")
        return np.repeat(value[None], batch, axis=0)

    canvas = first(model.first_canvas)
    encoder = first(model.first_encoder_state), np.zeros((batch, model.units))
    decoder = first(model.first_decoder_state), np.zeros((batch, model.units))
    canvases, kl, log_ratio = [], [], 0.0
    for eps in noise:
        seen = read(model, images, canvas, dense(model.head, decoder[0]))
        seen = np.concatenate([seen, decoder[0]], axis=-1)
        encoder = lstm(model.encoder, seen, *encoder)
        mean, log_std = np.split(dense(model.latent, encoder[0]), 2, axis=-1)
        latent = mean + np.exp(log_std) * eps
        log_p = -0.5 * latent**2
        log_q = -0.5 * eps**2 - log_std
        log_ratio = log_ratio + np.sum(log_p - log_q, axis=-1)
        decoder = lstm(model.decoder, latent, *decoder)
        canvas = canvas + write(model, dense(model.head, decoder[0]))
        canvases.append(canvas)
        # The constant is dim(z) / 2 per step.
        kl.append(
            0.5 * np.sum(mean**2 + np.exp(2 * log_std) - 2 * log_std, axis=-1)
            - model.latent_size / 2
        )
    return {
        "logits": canvas,
        "kl": np.stack(kl, axis=1),
        "log_ratio": log_ratio,
        "canvases": np.stack(canvases, axis=1),
    }


def reference_loss(model, images, noise):
    out = reference(model, images, noise)
    p = sigmoid(out["logits"])
    log_p = images * np.log(p) + (1 - images) * np.log(1 - p)
    reconstruction = -log_p.reshape(len(images), -1).sum(axis=1)
    return (reconstruction + out["kl"].sum(axis=1)).mean()


VARIANTS = {
    "windows": {},
    "no windows": {"attention": False},
    "colour": {"shape": (6, 6, 3), "write_size": 2, "read_size": 3},
    "one filter": {"read_size": 1, "write_size": 1, "num_steps": 1},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_whole_run_is_the_equations(name):
    model = make(**VARIANTS[name])
    images, noise = example(model)
    found = to_numpy(model(images, noise=noise))
    expected = reference(model, images, noise)
    assert set(found) == {"logits", "kl", "log_ratio"}
    for key, value in found.items():
        np.testing.assert_allclose(
            value, expected[key], rtol=1e-4, atol=1e-4, err_msg=key
        )


@pytest.mark.parametrize("name", VARIANTS)
def test_the_trace_is_the_same_run(name):
    model = make(**VARIANTS[name])
    images, noise = example(model)
    found = to_numpy(model.trace(images, noise))
    expected = reference(model, images, noise)
    for key in ("canvases", "kl"):
        np.testing.assert_allclose(
            found[key], expected[key], rtol=1e-4, atol=1e-4, err_msg=key
        )
    windows = {"read_windows", "write_windows"} & set(found)
    assert len(windows) == 2 * model.attention
    for key in windows:
        assert found[key].shape == (len(images), model.num_steps, 5)


@pytest.mark.parametrize("attention", [True, False])
def test_the_loss_is_the_bound_and_its_gradient_is_right(attention):
    model = make(attention=attention, num_steps=2)
    images, noise = example(model)

    def loss():
        return model.compute_loss(images, None, model(images, noise=noise))

    assert float(to_numpy(loss())) == pytest.approx(
        reference_loss(model, images, noise), rel=1e-5
    )
    found = variable_gradients(loss, model.trainable_variables)
    generator = np.random.default_rng(2)
    for variable in model.trainable_variables:
        value = to_numpy(variable.value)
        gradient = found[variable.path]
        assert np.any(gradient != 0), variable.path
        # A step along a random direction instead of one per entry.
        direction = generator.normal(size=value.shape).astype("float32")
        ends = []
        for step in (1e-2, -1e-2):
            variable.assign(value + np.float32(step) * direction)
            ends.append(reference_loss(model, images, noise))
        variable.assign(value)
        slope = (ends[0] - ends[1]) / 2e-2
        assert np.sum(gradient * direction) == pytest.approx(
            slope, rel=2e-2, abs=2e-2
        ), variable.path


# The traps.


def test_the_kl_is_zero_at_the_prior():
    """The constant is T dim(z) / 2: with T / 2, z = 4 is off by 1.5 a step."""
    model = make()
    for variable in model.latent.weights:
        variable.assign(np.zeros(variable.shape, "float32"))
    images, noise = example(model)
    out = to_numpy(model(images, noise=noise))
    assert not out["kl"].any()
    np.testing.assert_allclose(out["log_ratio"], 0, atol=1e-6)


def test_the_window_is_where_it_should_be():
    """N = 2 filters one stride apart, in the middle: no shift by a stride."""
    model = make(shape=(28, 28, 1), read_size=2)
    window = [0, 0, 0, np.log(0.5), 0]
    f_x, f_y, _ = filters(window, 2, 28, 28)
    centres = f_x @ np.arange(28)
    np.testing.assert_allclose(centres, [6.75, 20.25], atol=1e-3)
    np.testing.assert_allclose(f_x, f_y)
    image = np.zeros((1, 28, 28, 1))
    image[0, 20, 7] = 1  # below left of the middle
    head = np.zeros((1, 10 + 9))
    head[:, :5] = window
    state = {
        "canvas": ops.full((1, 28, 28, 1), -30.0),
        "head": ops.convert_to_tensor(head.astype("float32")),
    }
    patch = to_numpy(
        model._read(ops.convert_to_tensor(image.astype("float32")), state)
    )
    patch = patch.reshape(2, 2, 2)[..., 0]
    assert patch[1, 0] == patch.max() > 5 * np.sort(patch.ravel())[-2]


def test_a_narrow_window_still_has_a_gradient():
    """At log s2 = -8 plain Gaussians underflow: rows of 0 for ever."""
    model = make()
    bias = to_numpy(model.head.bias.value)
    bias[[2, 7]] = -8
    model.head.bias.assign(bias)
    images, noise = example(model)

    def loss():
        return model.compute_loss(images, None, model(images, noise=noise))

    gradient = variable_gradients(loss, [model.head.bias])
    (found,) = gradient.values()
    assert np.isfinite(found).all()
    assert np.any(found[10:] != 0)


def test_every_step_has_noise_of_its_own():
    model = make(num_steps=3)
    drawn = to_numpy(model.draw_noise(500))
    assert drawn.shape == (3, 500, 4)
    flat = drawn.reshape(3, -1)
    off = np.corrcoef(flat)[~np.eye(3, dtype=bool)]
    assert np.abs(off).max() < 0.1
    assert abs(flat.mean()) < 0.06 and flat.std() == pytest.approx(1, abs=0.04)
    again = to_numpy(model.draw_noise(500))
    assert np.abs(drawn - again).max() > 1


def test_the_likelihood_takes_logits():
    """sigmoid + eps would give 0 or a wrong constant at a logit of 50."""
    images = np.array([[1.0, 0.0, 1.0, 0.0]], "float32")
    logits = np.array([[50.0, -50.0, -50.0, 50.0]], "float32")
    nats = to_numpy(bernoulli_nats(images, ops.convert_to_tensor(logits)))
    np.testing.assert_allclose(nats, [100.0], rtol=1e-6)


# Samples and bounds.


@pytest.mark.parametrize("attention", [True, False])
def test_samples_follow_the_decoder_alone(attention):
    """With z given, the prior's canvas is that of a run that drew this z."""
    model = make(attention=attention)
    images, noise = example(model)
    for variable in model.latent.weights:
        variable.assign(np.zeros(variable.shape, "float32"))
    # Now q(z | x) = p(z): the noise is z.
    traced = to_numpy(model.trace(images, noise))
    drawn = to_numpy(model.generate(noise))
    np.testing.assert_allclose(drawn["canvases"], traced["canvases"], atol=1e-5)
    assert ("write_windows" in drawn) == attention
    if attention:
        np.testing.assert_allclose(
            drawn["write_windows"], traced["write_windows"], atol=1e-5
        )
    assert to_numpy(model.generate(5))["canvases"].shape == (5, 3, *SHAPE)


def test_the_importance_weighted_bound_is_at_least_the_elbo():
    model = make()
    images, _ = example(model)
    generator = np.random.default_rng(1)
    noise = generator.normal(size=(6, 3, 3, 4)).astype("float32")
    bound, weights = to_numpy(model.iwae(images, noise=noise))
    assert bound.shape == (3,) and weights.shape == (3, 6)
    expected = []
    for eps in noise:
        out = reference(model, images, eps)
        p = sigmoid(out["logits"])
        log_p = images * np.log(p) + (1 - images) * np.log(1 - p)
        log_p = log_p.reshape(3, -1).sum(axis=1)
        expected.append(log_p + out["log_ratio"])
    expected = np.stack(expected, axis=1)
    np.testing.assert_allclose(weights, expected, rtol=1e-4)
    np.testing.assert_allclose(
        bound, np.log(np.exp(expected).mean(axis=1)), rtol=1e-4
    )
    assert np.all(bound >= weights.mean(axis=1))
    one, same = to_numpy(model.iwae(images, noise=noise[:1]))
    np.testing.assert_allclose(one, same[:, 0], rtol=1e-6)
    drawn, _ = to_numpy(model.iwae(images, samples=2))
    assert np.isfinite(drawn).all()


def test_one_batch_can_be_learned_by_heart():
    keras.utils.set_random_seed(0)
    model = DRAW(4, 5, 24, 3, 4, image_shape=(8, 8, 1), seed=0)
    images = np.zeros((4, 8, 8, 1), "float32")
    for row, image in enumerate(images):
        image[row : row + 3, 2 * row - 1 : 2 * row + 2] = 1
    model.compile(keras.optimizers.Adam(1e-2))
    images = np.tile(images, (400, 1, 1, 1))
    history = model.fit(
        images, np.zeros(1600), batch_size=16, epochs=3, verbose=0
    ).history
    # Four pictures: ln 4 nats, were the model perfect. A pixel that is known
    # with no certainty at all costs ln 2, an image 44 nats.
    assert history["loss"][-1] < 7
    last = history["reconstruction"][-1] + history["kl"][-1]
    assert last == pytest.approx(history["loss"][-1], rel=1e-4)


# Saving and bad input.


@pytest.mark.parametrize("attention", [True, False])
def test_saved_and_loaded_it_is_the_same(tmp_path, attention):
    model = make(attention=attention)
    images, noise = example(model)
    before = to_numpy(model(images, noise=noise))
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    assert loaded.get_config() == model.get_config()
    after = to_numpy(loaded(images, noise=noise))
    for key, value in before.items():
        np.testing.assert_allclose(after[key], value, atol=1e-6)


def test_half_precision_stays_finite():
    keras.config.set_dtype_policy("mixed_float16")
    model = make()
    images, noise = example(model)
    for value in to_numpy(model(images, noise=noise)).values():
        assert value.dtype == np.float32 and np.isfinite(value).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_steps": 0}, "num_steps to be an integer of at least 1.*: 0"),
        ({"latent_size": 0}, "latent_size to be an integer"),
        ({"units": 2.5}, "units to be an integer"),
        ({"read_size": 0}, "read_size to be an integer"),
        ({"read_size": 7}, "at least 7x7 pixels, the read_size.*7x6"),
        ({"write_size": 8}, "at least 8x8 pixels, the write_size.*7x6"),
        ({"shape": (7, 6)}, "image_shape to be 3 integers"),
        ({"attention": 1}, "attention to be True or False"),
    ],
)
def test_bad_arguments_get_one_clear_error(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_without_windows_their_sizes_do_not_matter():
    make(attention=False, read_size=50, write_size=50)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, x, e: m(x[:, :5], noise=e), r"images of shape \(B, 7, 6, 1"),
        (lambda m, x, e: m(x > 0, noise=e), "images to be floating"),
        (lambda m, x, e: m(x, noise=e[:2]), r"noise of shape \(3, B, 4\)"),
        (lambda m, x, e: m(x, noise=e[..., :3]), r"noise of shape \(3, B, 4"),
        (lambda m, x, e: m(x[:2], noise=e), "equal batch sizes"),
        (lambda m, x, e: m.build((None, 9, 9, 1)), r"shape \(B, 7, 6, 1"),
        (lambda m, x, e: DRAW().generate(1), "draw.* to be built"),
        (lambda m, x, e: DRAW().trace(x), "draw.* to be built"),
        (lambda m, x, e: m.generate(0), "integer of at least 1"),
        (lambda m, x, e: m.generate(e[0]), r"noise of shape \(3, B, 4\)"),
        (lambda m, x, e: m.iwae(x), "samples to be an integer"),
        (lambda m, x, e: m.iwae(x, 3, e[None]), "noise for 3 samples"),
    ],
)
def test_bad_input_gets_one_clear_error(call, message):
    model = make()
    images, noise = example(model)
    with pytest.raises(ValueError, match=message):
        call(model, images, noise)


# Reading.


def make_reader(**options):
    options = {
        "num_glimpses": 3,
        "read_size": 3,
        "num_classes": 4,
        "units": 6,
        **options,
    }
    model = DrawReader(**options)
    model.build((None, 9, 8, 2))
    return shake(model)


def reference_reader(model, images):
    hidden, cell = np.zeros((2, len(images), model.units))
    answers, windows = [], []
    for _ in range(model.num_glimpses):
        window = dense(model.window, hidden)
        patches = []
        for image, row in zip(images.astype("float64"), window, strict=True):
            f_x, f_y, gamma = filters(row, model.read_size, 9, 8)
            patches.append(gamma * np.einsum("iy,yxc,jx->ijc", f_y, image, f_x))
        seen = np.reshape(patches, (len(images), -1))
        hidden, cell = lstm(model.encoder, seen, hidden, cell)
        windows.append(window)
        answers.append(dense(model.classifier, hidden))
    return np.stack(answers, axis=1), np.stack(windows, axis=1)


def test_the_reader_is_the_equations():
    model = make_reader()
    images = np.random.default_rng(0).random((3, 9, 8, 2)).astype("float32")
    out = to_numpy(model(images))
    answers, windows = reference_reader(model, images)
    np.testing.assert_allclose(out["answers"], answers, atol=1e-4)
    np.testing.assert_allclose(out["windows"], windows, atol=1e-4)
    np.testing.assert_array_equal(out["logits"], out["answers"][:, -1])
    labels = np.array([0, 3, 1])
    loss = model.compute_loss(None, labels, out)
    shifted = answers[:, -1] - answers[:, -1].max(axis=-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    expected = -log_p[np.arange(3), labels].mean()
    assert float(to_numpy(loss)) == pytest.approx(expected, rel=1e-4)


def test_the_label_moves_the_window():
    """Cross-entropy alone teaches where to look: every weight learns."""
    model = make_reader()
    images = np.random.default_rng(0).random((3, 9, 8, 2)).astype("float32")
    labels = np.array([0, 3, 1])
    found = variable_gradients(
        lambda: model.compute_loss(None, labels, model(images)),
        model.trainable_variables,
    )
    assert all(np.any(gradient != 0) for gradient in found.values())


def test_the_reader_finds_what_matters():
    """One corner tells the class: it is read, and the error falls to 0."""
    keras.utils.set_random_seed(0)
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 256)
    images = generator.random((256, 16, 16, 1)) * 0.5
    images[labels == 1, :4, 12:] += 0.5
    model = DrawReader(2, 3, 2, 16)
    model.compile(keras.optimizers.Adam(1e-2))
    history = model.fit(
        images.astype("float32"), labels, batch_size=64, epochs=15, verbose=0
    ).history
    assert history["error"][-1] < 0.05


def test_the_reader_is_saved_and_loaded(tmp_path):
    model = make_reader()
    images = np.random.default_rng(0).random((3, 9, 8, 2)).astype("float32")
    before = to_numpy(model(images)["logits"])
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(
        to_numpy(loaded(images)["logits"]), before, atol=1e-6
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make_reader(num_glimpses=0), "num_glimpses to be an integer"),
        (lambda: make_reader(read_size=-1), "read_size to be an integer"),
        (lambda: DrawReader().build((None, None, 9, 1)), "known height"),
        (lambda: DrawReader()(np.zeros((1, 9, 9, 1), "float32")), "12x12"),
        (lambda: DrawReader().build((None, 9, 9, 1)), "12x12"),
        (lambda: make_reader()(np.zeros((9, 8, 2), "float32")), "rank 4"),
        (
            lambda: make_reader()(np.zeros((1, 9, 8, 3), "float32")),
            "channels.*3.*2",
        ),
    ],
)
def test_bad_input_to_the_reader_gets_one_clear_error(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_tiling_covers_the_image_evenly(size):
    f_x, f_y, gamma = filters(tiling(size, 20, 20), size, 20, 20)
    assert gamma == 1
    np.testing.assert_allclose(f_x, f_y)
    centres = f_x @ np.arange(20)
    np.testing.assert_allclose(centres.mean(), 9.5, atol=1e-6)
    # No pixel is left out, none has much more than its share.
    share = f_x.sum(axis=0) * 20 / size
    assert share.min() > 0.5 and share.max() < 1.7
