import json

import keras
import numpy as np
import pytest
from numerics import dtype_of, gradients, to_numpy, variable_gradients

from attnlib.layers import SpatialTransformer
from attnlib.ops import (
    affine_grid,
    bilinear_sample,
    projective_grid,
    tps_grid,
)

SIZES = {"attention": 3, "affine": 6, "projective": 8, "tps": 32}


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def flatten():
    return keras.layers.Flatten()


def network():
    return keras.Sequential(
        [
            keras.layers.MaxPooling2D(2),
            keras.layers.Conv2D(3, 3, activation="tanh"),
        ]
    )


def with_bias(transform, bias, **options):
    """Return a layer whose transform is its bias for every image."""
    layer = SpatialTransformer(flatten(), transform, **options)
    layer.build((None, 5, 7, 2))
    kernel = np.zeros((70, len(bias)), "float32")
    layer.set_weights([kernel, np.array(bias, "float32")])
    return layer


@pytest.mark.parametrize("transform", SIZES)
@pytest.mark.parametrize("padding", ["zeros", "border"])
@pytest.mark.parametrize("align_corners", [False, True])
def test_starts_as_the_identity(transform, padding, align_corners):
    layer = SpatialTransformer(
        network(), transform, padding=padding, align_corners=align_corners
    )
    images = random(3, 9, 12, 2)
    np.testing.assert_allclose(to_numpy(layer(images)), images, atol=2e-5)
    assert layer.get_weights()[-1].shape == (SIZES[transform],)
    assert not layer.get_weights()[-2].any()


def test_bias_follows_each_transform():
    images, layers = random(2, 5, 7, 2), {}
    theta = np.float32([[0.8, 0.1, 0.2], [-0.1, 0.7, 0.1]])
    layers["affine"] = theta.ravel(), affine_grid(theta[None], 5, 7)
    window = np.float32([[0.6, 0, 0.2], [0, 0.6, -0.1]])
    layers["attention"] = (0.6, 0.2, -0.1), affine_grid(window[None], 5, 7)
    plane = np.float32([[1, 0.1, 0], [0, 0.9, 0.1], [0.2, -0.1, 1]])
    grid = projective_grid(plane[None], 5, 7)
    layers["projective"] = plane.ravel()[:8], grid
    offsets = 0.2 * random(1, 16, 2)
    layers["tps"] = offsets.ravel(), tps_grid(offsets, 5, 7)
    for transform, (bias, grid) in layers.items():
        layer = with_bias(transform, bias)
        grid = np.repeat(to_numpy(grid), 2, 0)
        np.testing.assert_allclose(
            to_numpy(layer.grid(images)), grid, atol=1e-5, err_msg=transform
        )
        np.testing.assert_allclose(
            to_numpy(layer(images)),
            to_numpy(bilinear_sample(images, grid)),
            atol=1e-4,
            err_msg=transform,
        )


def test_equals_reference():
    """theta = W f_loc(U) + b, and equations 1 and 5 with float64 sums."""
    layer = SpatialTransformer(flatten(), output_size=(3, 4))
    layer.build((None, 5, 6, 1))
    kernel, bias = layer.get_weights()
    kernel = 0.05 * random(*kernel.shape)
    layer.set_weights([kernel, bias])
    images = random(2, 5, 6, 1, seed=1)
    theta = (images.reshape(2, 30).astype("f8") @ kernel + bias).reshape(
        2, 2, 3
    )
    expected = np.zeros((2, 3, 4, 1))
    for b, row, column in np.ndindex(2, 3, 4):
        target = (2 * column + 1) / 4 - 1, (2 * row + 1) / 3 - 1, 1
        x, y = theta[b] @ target
        x, y = ((x + 1) * 6 - 1) / 2, ((y + 1) * 5 - 1) / 2
        k_x = np.maximum(0, 1 - np.abs(x - np.arange(6)))
        k_y = np.maximum(0, 1 - np.abs(y - np.arange(5)))
        expected[b, row, column] = k_y @ images[b, :, :, 0] @ k_x
    np.testing.assert_allclose(to_numpy(layer(images)), expected, atol=1e-5)


def test_translation_by_one_pixel():
    layer = with_bias("affine", [1, 0, 2 / 7, 0, 1, 0])
    images = random(1, 5, 7, 2)
    found = to_numpy(layer(images))
    np.testing.assert_allclose(found[:, :, :-1], images[:, :, 1:], atol=1e-5)
    np.testing.assert_allclose(found[:, :, -1], 0, atol=1e-5)
    border = with_bias("affine", [1, 0, 2 / 7, 0, 1, 0], padding="border")
    np.testing.assert_allclose(
        to_numpy(border(images))[:, :, -1], images[:, :, -1], atol=1e-5
    )


def test_output_size_resizes():
    images = random(2, 5, 7, 2)
    layer = SpatialTransformer(flatten(), output_size=(3, 9), padding="border")
    found = to_numpy(layer(images))
    identity = np.float32([[[1, 0, 0], [0, 1, 0]]] * 2)
    expected = bilinear_sample(images, affine_grid(identity, 3, 9), "border")
    assert found.shape == (2, 3, 9, 2)
    np.testing.assert_allclose(found, to_numpy(expected), atol=1e-5)


@pytest.mark.parametrize("transform", SIZES)
def test_every_weight_gets_a_gradient(transform):
    """Once the kernel is no longer zero, the localisation network learns."""
    layer = SpatialTransformer(network(), transform)
    images, cotangent = random(3, 9, 12, 2), random(3, 9, 12, 2, seed=2)
    layer(images)
    *rest, kernel, bias = layer.get_weights()
    layer.set_weights([*rest, 0.01 * random(*kernel.shape), bias])
    weights = keras.ops.convert_to_tensor(cotangent)
    found = variable_gradients(
        lambda: keras.ops.sum(layer(images) * weights),
        layer.trainable_variables,
    )
    assert len(found) == 4
    for path, gradient in found.items():
        assert np.isfinite(gradient).all(), path
        assert np.abs(gradient).max() > 1e-6, path
    (to_images,) = gradients(layer, images)
    assert np.isfinite(to_images).all()
    assert to_images.any()


@pytest.mark.parametrize("bias", [[0] * 8, [1, 0, 0, 0, 1, 0, 1e30, 0]])
def test_projective_horizon_stays_finite(bias):
    layer = with_bias("projective", bias)
    images = random(2, 5, 7, 2)
    assert np.isfinite(to_numpy(layer(images))).all()
    for gradient in gradients(layer, images):
        assert np.isfinite(gradient).all()


def test_localization_is_saved_with_the_layer(tmp_path):
    layer = SpatialTransformer(network(), "tps", (4, 5), control_points=3)
    config = json.loads(json.dumps(layer.get_config()))
    again = SpatialTransformer.from_config(config)
    assert again.get_config() == layer.get_config()
    inputs = keras.Input((9, 12, 2))
    model = keras.Model(inputs, layer(inputs))
    weights = [0.1 * random(*w.shape) for w in model.get_weights()]
    model.set_weights(weights)
    config = json.loads(json.dumps(layer.get_config()))
    again = SpatialTransformer.from_config(config)
    assert [type(x) for x in again.localization.layers] == [
        keras.layers.MaxPooling2D,
        keras.layers.Conv2D,
    ]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    images = random(2, 9, 12, 2)
    np.testing.assert_array_equal(
        to_numpy(loaded(images)), to_numpy(model(images))
    )


def test_localization_follows_training():
    layer = SpatialTransformer(
        keras.Sequential([keras.layers.Dropout(0.5), flatten()])
    )
    images = random(1, 4, 4, 1)
    layer(images)
    kernel, bias = layer.get_weights()
    layer.set_weights([0.2 * random(*kernel.shape), bias])
    still = [to_numpy(layer(images, training=False)) for _ in range(2)]
    np.testing.assert_array_equal(*still)
    assert np.abs(to_numpy(layer(images, training=True)) - still[0]).max() > 0


def test_float16_policy_addresses_pixels_in_float32():
    layer = SpatialTransformer(
        keras.layers.GlobalAveragePooling2D(),
        "attention",
        output_size=(1, 1),
        dtype="mixed_float16",
    )
    layer.build((None, 1, 4096, 1))
    place = 2 * 3893.5 / 4096 - 1
    layer.set_weights([np.zeros((1, 3)), np.array([1, place, 0])])
    images = np.zeros((1, 1, 4096, 1), "float32")
    images[0, 0, 3893] = 1
    found = layer(images)
    assert dtype_of(found) == "float16"
    assert dtype_of(layer.grid(images)) == "float32"
    np.testing.assert_allclose(to_numpy(found).item(), 1, atol=1e-2)


def test_reports_bad_input():
    nan = float("nan")
    for bad in (None, "cnn", lambda x: x, nan):
        with pytest.raises(ValueError, match="localization.*layer.*Received"):
            SpatialTransformer(bad)
    for bad in ("similarity", None, 3, nan):
        with pytest.raises(ValueError, match="transform.*attention.*Rec"):
            SpatialTransformer(flatten(), bad)
    for bad in ("reflect", None, 0, nan):
        with pytest.raises(ValueError, match="padding.*zeros.*Received"):
            SpatialTransformer(flatten(), padding=bad)
    for bad in (3, (3,), (3, 3, 3), "33", nan):
        with pytest.raises(ValueError, match="output_size.*Received"):
            SpatialTransformer(flatten(), output_size=bad)
    for bad in (0, -1, 2.5, nan, None, True):
        with pytest.raises(ValueError, match="output_size.*at least 1.*Rec"):
            SpatialTransformer(flatten(), output_size=(3, bad))
    for bad in (0, 1, 2.5, nan, None, True):
        with pytest.raises(ValueError, match="control_points.*at least.*Rec"):
            SpatialTransformer(flatten(), "tps", control_points=bad)
    for bad in (None, 1, nan, "yes"):
        with pytest.raises(ValueError, match="align_corners.*True or False"):
            SpatialTransformer(flatten(), align_corners=bad)
    config = SpatialTransformer(flatten()).get_config()
    # Keras turns what a constructor raises into a TypeError here.
    for name in ("localization", "transform", "output_size", "padding"):
        with pytest.raises(
            (TypeError, ValueError), match=f"{name}.*Received: nan"
        ):
            SpatialTransformer.from_config({**config, name: nan})
    with pytest.raises(ValueError, match="expected.*built.*Received"):
        SpatialTransformer(flatten()).grid(random(1, 4, 4, 1))
    with pytest.raises(ValueError, match="features of a known size.*Rec"):
        SpatialTransformer(flatten(), output_size=(2, 2)).build(
            (None, None, 4, 1)
        )
    inputs = keras.Input((4, 4, 1))
    features = flatten()(inputs)
    for several in ([features, features], {"one": features}):
        with pytest.raises(ValueError, match="give one tensor.*Received"):
            SpatialTransformer(keras.Model(inputs, several))(inputs)
    layer = SpatialTransformer(flatten())
    layer(random(1, 4, 4, 1))
    for other in (random(1, 4, 5, 1), random(1, 4, 4, 2)):
        with pytest.raises(ValueError, match="give 16 features.*Received"):
            layer(other)
    pool = keras.layers.GlobalAveragePooling2D()
    with pytest.raises(ValueError, match="known height and width.*Received"):
        SpatialTransformer(pool)(keras.Input((None, 4, 1)))
