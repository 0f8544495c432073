"""Spatial transformer networks: sizes, equations, and others' traps."""

import keras
import numpy as np
import pytest
from keras import ops
from numerics import (
    finite_differences,
    gradients,
    to_numpy,
    variable_gradients,
)

from attnlib.layers import SpatialTransformer
from attnlib.models.stn import (
    CoLocalizer,
    FactorAdam,
    SpatialTransformerClassifier,
)
from attnlib.ops import affine_grid, bilinear_sample

# Image, and whether the transformers' output is averaged down.
TASKS = {
    "R": ((28, 28, 1), 1),
    "RTS": ((42, 42, 1), 2),
    "TC": ((60, 60, 1), 2),
    "addition": ((42, 42, 2), 2),
}


def random(*shape, seed=0):
    generator = np.random.default_rng(seed)
    return generator.uniform(0, 1, shape).astype("float32")


def make(side=28, channels=1, **options):
    options = {"parameters": 12_000, "filters": 4, **options}
    model = SpatialTransformerClassifier(**options)
    model.build((None, side, side, channels))
    return model


def bend(model, size=0.05):
    """Give the transformers weights that move every image differently."""
    for seed, warp in enumerate(model.warps):
        *rest, kernel, bias = warp.get_weights()
        kernel = size * (random(*kernel.shape, seed=seed) - 0.5)
        warp.set_weights([*rest, kernel, bias])
    return model


# Sizes.


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("network", ["fcn", "cnn"])
@pytest.mark.parametrize(
    ("transform", "transformers"),
    [(None, 1), ("affine", 1), ("projective", 1), ("tps", 1), ("tps", 2)],
)
def test_all_networks_have_about_400k_weights(
    task, network, transform, transformers
):
    shape, pool = TASKS[task]
    model = SpatialTransformerClassifier(
        network, transform, transformers, pool, 19
    )
    model.build((None, *shape))
    # One unit more would be too many; the widest takes 3600 weights.
    assert 0.98 * 400_000 < model.count_params() <= 400_000


@pytest.mark.parametrize("network", ["fcn", "cnn"])
@pytest.mark.parametrize("parameters", [70_000, 123_456])
def test_the_width_is_the_largest_that_fits(network, parameters):
    options = {"network": network, "transform": "affine", "filters": 8}
    model = make(parameters=parameters, **options)
    hidden = model.classifier.layers[-2]
    assert model.count_params() <= parameters
    # What one unit more costs: its inputs, its outputs, its bias.
    inputs = hidden.kernel.shape[0]
    first = 784 + 1 if network == "fcn" else 0
    cost = inputs + 1 + model.num_classes + first + hidden.units * bool(first)
    assert model.count_params() + cost + 1 > parameters


def test_the_paper_s_layers():
    model = make(60, transform="affine", pool=2, parameters=400_000, filters=32)
    kinds = [type(layer).__name__ for layer in model.classifier.layers]
    conv, pool = "Conv2D", "MaxPooling2D"
    assert kinds == [conv, pool, conv, pool, "Flatten", "Dense", "Dense"]
    kernels = [w.shape for w in model.classifier.weights if len(w.shape) == 4]
    assert kernels == [(9, 9, 1, 32), (7, 7, 32, 32)]
    location = model.warps[0].localization
    kernels = [w.shape for w in location.weights if len(w.shape) == 4]
    assert kernels == [(5, 5, 1, 20), (5, 5, 20, 20)]
    assert location.layers[-1].units == 20
    plain = make(transform="affine", network="fcn", parameters=90_000)
    widths = [w.shape for w in plain.warps[0].weights if len(w.shape) == 2]
    assert widths == [(784, 32), (32, 32), (32, 6)]


# Equations.


def relu(x):
    return np.maximum(x, 0)


def dense(x, kernel, bias):
    return x @ kernel + bias


def sample(image, theta):
    """Equations 1 and 5 for one image, summed over all its pixels."""
    height, width, _ = image.shape
    result = np.zeros_like(image)
    for row, column in np.ndindex(height, width):
        target = (2 * column + 1) / width - 1, (2 * row + 1) / height - 1, 1
        x, y = theta @ target
        x, y = ((x + 1) * width - 1) / 2, ((y + 1) * height - 1) / 2
        k_x = np.maximum(0, 1 - np.abs(x - np.arange(width)))
        k_y = np.maximum(0, 1 - np.abs(y - np.arange(height)))
        result[row, column] = np.einsum("i,j,ijc->c", k_y, k_x, image)
    return result


def reference_fcn(model, images, bias=None):
    """ST-FCN in float64; `bias` replaces that of the regressor."""
    images = images.astype("float64")
    a, b, c, d, k, e = (
        w.astype("float64") for w in model.warps[0].get_weights()
    )
    flat = images.reshape(len(images), -1)
    hidden = relu(dense(relu(dense(flat, a, b)), c, d))
    theta = dense(hidden, k, e if bias is None else bias).reshape(-1, 2, 3)
    seen = np.stack([sample(i, t) for i, t in zip(images, theta, strict=True)])
    count, height, width, channels = seen.shape
    p = model.pool
    seen = seen.reshape(count, height // p, p, width // p, p, channels)
    x = seen.mean(axis=(2, 4)).reshape(count, -1)
    weights = [w.astype("float64") for w in model.classifier.get_weights()]
    for kernel, add in zip(weights[:4:2], weights[1:4:2], strict=True):
        x = relu(dense(x, kernel, add))
    return dense(x, *weights[4:])


def test_st_fcn_is_the_equations():
    model = bend(make(8, network="fcn", transform="affine", pool=2))
    images = random(3, 8, 8, 1)
    np.testing.assert_allclose(
        to_numpy(model(images)), reference_fcn(model, images), atol=1e-4
    )


def windows(x, size):
    return np.lib.stride_tricks.sliding_window_view(x, (size, size), (1, 2))


def convolution(x, kernel, bias):
    found = windows(x, kernel.shape[0])
    return relu(np.einsum("bijckl,klcf->bijf", found, kernel) + bias)


def max_pool(x):
    pads = [(0, side % 2) for side in x.shape[1:3]]
    x = np.pad(x, ((0, 0), *pads, (0, 0)), constant_values=-np.inf)
    count, height, width, channels = x.shape
    x = x.reshape(count, height // 2, 2, width // 2, 2, channels)
    return x.max(axis=(2, 4))


def test_the_cnn_is_its_convolutions():
    model = make(23, channels=2)
    images = random(2, 23, 23, 2)
    a, b, c, d, *rest = (
        w.astype("float64") for w in model.classifier.get_weights()
    )
    x = max_pool(convolution(images.astype("float64"), a, b))
    x = max_pool(convolution(x, c, d)).reshape(2, -1)
    expected = dense(relu(dense(x, *rest[:2])), *rest[2:])
    np.testing.assert_allclose(to_numpy(model(images)), expected, atol=1e-4)


@pytest.mark.parametrize("transform", ["attention", "affine", "tps"])
def test_an_untrained_transformer_changes_nothing(transform):
    model = make(28, transform=transform, parameters=40_000)
    images = random(2, 28, 28, 1)
    np.testing.assert_allclose(
        to_numpy(model.warped(images)), images, atol=2e-5
    )


def test_two_transformers_stand_side_by_side():
    model = make(
        26, 2, transform="affine", transformers=2, pool=1, parameters=60_000
    )
    bend(model, 0.3)
    images = random(3, 26, 26, 2)
    seen = to_numpy(model.warped(images))
    assert seen.shape == (3, 26, 26, 4)
    assert np.abs(seen[..., :2] - seen[..., 2:]).max() > 0.01
    for k, warp in enumerate(model.warps):
        part = seen[..., 2 * k : 2 * k + 2]
        np.testing.assert_allclose(part, to_numpy(warp(images)), atol=1e-6)
    assert tuple(model.grids(images).shape) == (3, 2, 26, 26, 2)
    theta = to_numpy(model.theta(images))
    assert theta.shape == (3, 2, 6)
    grid = affine_grid(theta[:, 1].reshape(3, 2, 3), 26, 26)
    np.testing.assert_allclose(
        to_numpy(grid), to_numpy(model.grids(images))[:, 1], atol=1e-6
    )


# Traps that others fell into (peers 8 to 12).


def test_identity_keeps_a_ramp_to_its_last_row_and_column():
    """Grids scaled by W - 2 or W are off by pixels, or lose the border."""
    ramp = np.arange(25, dtype="float32").reshape(1, 5, 5, 1)
    identity = np.eye(2, 3, dtype="float32")[None]
    for corners in (False, True):
        grid = affine_grid(identity, 5, 5, corners)
        found = to_numpy(bilinear_sample(ramp, grid, align_corners=corners))
        np.testing.assert_allclose(found, ramp, atol=1e-4)
        layer = SpatialTransformer(
            keras.layers.Flatten(), align_corners=corners
        )
        np.testing.assert_allclose(to_numpy(layer(ramp)), ramp, atol=1e-4)
    # The two conventions must not be mixed, and are told apart here.
    mixed = bilinear_sample(ramp, affine_grid(identity, 5, 5), "border", True)
    assert np.abs(to_numpy(mixed) - ramp).max() > 1


def test_half_a_pixel_before_the_image_is_half_a_pixel():
    """Casting to integers rounds -0.5 up to 0; the floor is -1."""
    image = np.ones((1, 1, 2, 1), "float32")
    x = np.array([-0.5, 0, 1.5], "float32")
    grid = np.zeros((1, 1, 3, 2), "float32")
    grid[..., 0] = (2 * x + 1) / 2 - 1
    found = to_numpy(bilinear_sample(image, grid)).ravel()
    np.testing.assert_allclose(found, [0.5, 1, 0.5], atol=1e-6)


def test_what_lies_outside_looks_like_background():
    """Padding with 0 is right only where the background is 0."""
    model = make(network="fcn", transform="affine", parameters=60_000)
    images = np.zeros((1, 28, 28, 1), "float32")
    *rest, bias = model.warps[0].get_weights()
    away = np.float32([1, 0, 5, 0, 1, 5])
    model.warps[0].set_weights([*rest, away])
    seen = to_numpy(model.warped(images + 0))
    np.testing.assert_array_equal(seen, images)


def test_the_gradient_of_the_transform_is_that_of_the_equations():
    """Sampling functions of some libraries give none, or a wrong one."""
    model = bend(make(8, network="fcn", transform="affine", pool=2), 0.2)
    images = random(3, 8, 8, 1)
    weights = np.random.default_rng(5).normal(size=(3, 10))

    def loss():
        cotangent = ops.convert_to_tensor(weights.astype("float32"))
        return ops.sum(model(images) * cotangent)

    variable = model.warps[0].regressor.bias
    (found,) = variable_gradients(loss, [variable]).values()
    expected = finite_differences(
        lambda bias: reference_fcn(model, images, bias),
        [to_numpy(variable.value)],
        0,
        weights,
    )
    np.testing.assert_allclose(
        found, expected, atol=1e-3 * np.abs(expected).max()
    )


@pytest.mark.parametrize("network", ["fcn", "cnn"])
def test_every_weight_learns_and_images_get_a_gradient(network):
    model = make(26, network=network, transform="tps", parameters=60_000)
    bend(model, 0.1)
    images = random(4, 26, 26, 1)
    found = variable_gradients(
        lambda: ops.sum(ops.square(model(images))), model.trainable_variables
    )
    for path, gradient in found.items():
        assert np.isfinite(gradient).all() and gradient.any(), path
    (to_images,) = gradients(lambda x: ops.sum(model(x)), images)
    assert np.isfinite(to_images).all() and to_images.any()


def test_one_batch_can_be_learned_by_heart():
    model = make(network="fcn", transform="affine", parameters=60_000)
    images, labels = random(16, 28, 28, 1), np.arange(16) % 10
    model.compile(
        FactorAdam(3e-3, factors={"transformer": 0.1}),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.fit(images, labels, epochs=60, batch_size=16, verbose=0)
    assert (to_numpy(model(images)).argmax(-1) == labels).all()


# Training and saving.


def test_the_transformer_learns_at_its_own_rate():
    """The first step of Adam is as long as the learning rate."""
    model = bend(make(8, network="fcn", transform="affine", pool=2))
    model.compile(
        FactorAdam(1e-3, factors={"transformer": 0.1}, epsilon=1e-12),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    before = model.get_weights()
    model.train_on_batch(random(8, 8, 8, 1), np.arange(8))
    steps = {}
    for variable, old in zip(model.weights, before, strict=True):
        name = "/transformer_" in variable.path
        step = np.abs(to_numpy(variable.value) - old).max()
        steps[name] = max(steps.get(name, 0), step)
    assert steps[True] == pytest.approx(1e-4, rel=0.02)
    assert steps[False] == pytest.approx(1e-3, rel=0.02)


def test_an_optimizer_comes_back_from_its_config():
    one = FactorAdam(1e-3, factors={"transformer": 0.25})
    again = FactorAdam.from_config(one.get_config())
    assert again.factors == {"transformer": 0.25}
    for bad in (0, -1, float("nan"), "a"):
        with pytest.raises(ValueError, match="factor of 'x'.*Received"):
            FactorAdam(factors={"x": bad})


def test_a_saved_model_is_the_same(tmp_path):
    model = make(26, transform="tps", transformers=2, parameters=60_000)
    bend(model)
    images = random(2, 26, 26, 1)
    expected = to_numpy(model(images))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    np.testing.assert_allclose(to_numpy(loaded(images)), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make(network="rnn"), "network.*'fcn', 'cnn'.*'rnn'"),
        (lambda: make(transform="shear"), "transform.*affine.*'shear'"),
        (lambda: make(transformers=0), "transformers.*at least 1.*0"),
        (lambda: make(pool=0), "pool.*at least 1"),
        (lambda: make(num_classes=0), "num_classes.*at least 1"),
        (lambda: make(20), "at least 21x21 pixels.*20x20"),
        (lambda: make(25, transform="affine"), "at least 26x26 pixels.*25x25"),
        (lambda: make(41, transform="affine", pool=2), "42x42.*41x41"),
        (lambda: make(parameters=900), "parameters.*enough.*900"),
        (
            lambda: make(network="fcn", parameters=50),
            "parameters.*enough.*50",
        ),
        (lambda: make(channels=1)(random(1, 28, 28, 3)), "channels.*3.*1"),
        (lambda: make()(random(1, 28, 30, 1)), "equal widths.*30.*28"),
        (lambda: make()(random(28, 28, 1)), "images.*rank"),
        (lambda: make().grids(random(1, 28, 28, 1)), "with transformers"),
        (lambda: make().theta(random(1, 28, 28, 1)), "with transformers"),
    ],
)
def test_bad_input_gets_one_clear_error(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# Co-localisation.


def colocalizer(side=36, **options):
    encoder = keras.Sequential(
        [
            keras.layers.AveragePooling2D(2),
            keras.layers.Flatten(),
            keras.layers.Dense(40, "relu", bias_initializer="ones"),
        ]
    )
    options = {"crop": 12, "seed": 1, **options}
    model = CoLocalizer(encoder, **options)
    model.build((None, side, side, 1))
    return model


def test_the_triplet_loss_is_its_equation():
    model = colocalizer(margin=0.7)
    images, noise = random(5, 36, 36, 1), 2 * random(5, 2, seed=3) - 1
    out = to_numpy(model(images, noise=noise))
    own, other = (
        out[name].astype("float64") for name in ("features", "others")
    )
    expected = [
        max(
            0,
            ((own[n] - own[m]) ** 2).sum()
            - ((own[n] - other[n]) ** 2).sum()
            + 0.7,
        )
        for n in range(5)
        for m in range(5)
        if m != n
    ]
    found = model.compute_loss(y_pred=model(images, noise=noise))
    assert float(to_numpy(found)) == pytest.approx(np.mean(expected), rel=1e-4)


def test_features_have_length_one_and_nothing_has_a_gradient():
    model = colocalizer()
    images, places = random(3, 36, 36, 1), np.zeros((3, 2), "float32")
    found = to_numpy(model.look(images, places))
    np.testing.assert_allclose((found**2).sum(-1), 1, rtol=1e-3)
    plain = to_numpy(model.encoder(images[:, 12:24, 12:24]))
    length = np.linalg.norm(plain, axis=-1, keepdims=True)
    np.testing.assert_allclose(found, plain / length, atol=1e-4)
    empty = keras.Sequential([keras.layers.Flatten()])
    blank = CoLocalizer(empty, crop=12, seed=1)
    blank.build((None, 36, 36, 1))
    black = 0 * images

    def loss():
        return blank.compute_loss(y_pred=blank(black))

    for gradient in variable_gradients(loss, blank.trainable_weights).values():
        assert np.isfinite(to_numpy(gradient)).all()


def test_random_windows_stay_inside_and_crops_start_in_the_middle():
    model = colocalizer()
    images = random(3, 36, 36, 1)
    corner = np.array([[-1, -1], [1, 1], [0, 0]], "float32")
    out = to_numpy(model(images, noise=corner))
    np.testing.assert_allclose(out["crops"], images[:, 12:24, 12:24], atol=1e-5)
    np.testing.assert_array_equal(out["places"], np.zeros((3, 2)))
    ends = np.stack([images[0, :12, :12], images[1, 24:, 24:]])
    expected = to_numpy(model._features(ends))
    np.testing.assert_allclose(out["others"][:2], expected, atol=1e-4)


def test_steps_are_counted_beyond_what_half_precision_can():
    model = colocalizer(shrink_steps=10_000, dtype="mixed_float16")
    model.steps.assign(4096.0)
    model(random(2, 36, 36, 1), training=True)
    assert float(to_numpy(model.steps)) == 4097


def test_windows_shrink_from_the_start_to_a_crop_while_training():
    model = colocalizer(start=0.75, shrink_steps=4)
    images = random(3, 36, 36, 1)
    sides = []
    for _ in range(6):
        before = float(to_numpy(model(images)["side"]))
        assert before == float(to_numpy(model(images, training=False)["side"]))
        sides.append(float(to_numpy(model(images, training=True)["side"])))
        assert sides[-1] == before
    # 27 pixels, then 12, a constant factor a step.
    expected = 27 * (12 / 27) ** (np.minimum(np.arange(6), 4) / 4)
    np.testing.assert_allclose(sides, expected, rtol=1e-5)
    # 26 bright pixels in the middle fill a window of 27, seen at 12 places.
    model.steps.assign(0)
    bright = np.zeros((1, 36, 36, 1), "float32")
    bright[:, 5:31, 5:31] = 1
    crop = to_numpy(model(bright)["crops"])
    np.testing.assert_allclose(crop, 1, atol=1e-5)


def test_only_the_localisation_network_learns():
    model = colocalizer()
    assert model.encoder.weights and not model.encoder.trainable_variables
    names = {v.path.split("/")[1] for v in model.trainable_variables}
    assert names == {"localization", "place"}


def bright_patches(count, generator):
    """Return black canvases with a bright patch, and the patches' middles."""
    images = np.zeros((count, 36, 36, 1), "float32")
    corners = generator.integers(0, 25, (count, 2))
    for image, (x, y) in zip(images, corners, strict=True):
        image[y : y + 12, x : x + 12] = 0.3
    return images, (corners + 6) / 18 - 1


def test_training_finds_what_images_share():
    """Windows of a crop's size would meet few patches, and nothing else."""
    generator = np.random.default_rng(0)
    images, _ = bright_patches(512, generator)
    unseen, true = bright_patches(200, generator)
    keras.utils.set_random_seed(0)
    # An angle that says how bright a window is, wherever that is from.
    encoder = keras.Sequential(
        [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)]
    )
    model = CoLocalizer(encoder, crop=12, start=0.9, shrink_steps=160, seed=1)
    model.build((None, 36, 36, 1))
    encoder.layers[1].set_weights(
        [np.array([[4.0, 0.0]]), np.array([0.0, 0.5])]
    )
    model.compile(keras.optimizers.Adam(1e-3, clipnorm=1.0))
    model.fit(images, epochs=14, batch_size=32, verbose=0)
    assert float(to_numpy(model.steps.value)) == 14 * 512 / 32
    out = to_numpy(model(unseen))
    found = out["places"]
    assert out["side"] == pytest.approx(12)
    near = np.abs(found - true).max(axis=-1) < 4 / 18  # 4 pixels
    assert near.mean() > 0.8


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: colocalizer(crop=0), "crop.*at least 1"),
        (lambda: colocalizer(margin=0), "margin"),
        (lambda: colocalizer(start=0), "start.*positive"),
        (lambda: colocalizer(start=1.5), "start of at most 1.*1.5"),
        (lambda: colocalizer(shrink_steps=-3), "shrink_steps.*-3"),
        (lambda: colocalizer(side=30, crop=40), "at least 40x40.*30x30"),
        (
            lambda: colocalizer().triplet(np.ones((1, 3)), np.ones((1, 3))),
            "at least 2 images.*1",
        ),
    ],
)
def test_a_bad_colocalizer_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
