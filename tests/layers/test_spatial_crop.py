import keras
import numpy as np
import pytest
from numerics import check_gradients, gradients, to_numpy, variable_gradients

from attnlib.layers import SpatialCrop
from attnlib.ops import attention_matrix


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def built(size=(3, 4), units=5, scale=0.3, **options):
    layer = SpatialCrop(size, **options)
    layer.build((None, 6, 9, 2), (None, units))
    layer.set_weights(
        [scale * random(units, 3, seed=1), np.float32([0.6, 0.1, -0.2])]
    )
    return layer


def reference(weights, size, images, state):
    """theta of the state, then a weighted sum over all pixels, float64."""
    kernel, bias = (np.array(w, "float64") for w in weights)
    params = np.array(state, "float64") @ kernel + bias
    batch, height, width, channels = images.shape
    crops = np.zeros((batch, *size, channels))
    for b, row, column in np.ndindex(batch, *size):
        s, t_x, t_y = params[b]
        x = s * ((2 * column + 1) / size[1] - 1) + t_x
        y = s * ((2 * row + 1) / size[0] - 1) + t_y
        x, y = ((x + 1) * width - 1) / 2, ((y + 1) * height - 1) / 2
        k_x = np.maximum(0, 1 - np.abs(x - np.arange(width)))
        k_y = np.maximum(0, 1 - np.abs(y - np.arange(height)))
        crops[b, row, column] = np.einsum("h,w,hwc->c", k_y, k_x, images[b])
    return crops


def test_equals_reference():
    layer, images, state = built(), random(3, 6, 9, 2), random(3, 5)
    crops, theta = to_numpy(layer(images, state))
    expected = reference(layer.get_weights(), (3, 4), images, state)
    np.testing.assert_allclose(crops, expected, atol=1e-4)
    kernel, bias = layer.get_weights()
    expected = attention_matrix(state @ kernel + bias)
    np.testing.assert_allclose(theta, to_numpy(expected), atol=1e-5)


def test_gradients_reach_images_and_state():
    layer = built((2, 3), scale=0.1)
    check_gradients(
        lambda i, s: layer(i, s)[0],
        lambda i, s: reference(layer.get_weights(), (2, 3), i, s),
        [random(2, 6, 9, 1), random(2, 5)],
        tolerance=5e-4,
    )


def test_starts_in_the_middle_whatever_the_state_is():
    images, state = random(2, 8, 12, 3), random(2, 5)
    whole, _ = to_numpy(SpatialCrop((8, 12))(images, state))
    np.testing.assert_allclose(whole, images, atol=1e-5)
    half, theta = to_numpy(
        SpatialCrop((4, 6), initial_scale=0.5)(images, state)
    )
    np.testing.assert_allclose(half, images[:, 2:6, 3:9], atol=1e-5)
    np.testing.assert_array_equal(
        theta, np.float32([[[0.5, 0, 0], [0, 0.5, 0]]] * 2)
    )


def test_untrained_layer_learns_from_the_first_step():
    layer, images, state = SpatialCrop((3, 4)), random(2, 6, 9, 2), random(2, 5)
    layer(images, state)
    found = variable_gradients(
        lambda: keras.ops.sum(layer(images, state)[0] ** 2),
        layer.trainable_variables,
    )
    assert all(np.abs(gradient).max() > 0 for gradient in found.values())


def test_extreme_states_stay_finite():
    layer, images = built(), random(3, 6, 9, 2)
    state = np.float32([1e4, -1e9, 0])[:, None] * np.ones((3, 5), "f")
    crops, theta = to_numpy(layer(images, state))
    assert np.isfinite(crops).all()
    assert np.isfinite(theta).all()
    for gradient in gradients(lambda i, s: layer(i, s)[0], images, state):
        assert np.isfinite(gradient).all()


def test_crop_uses_the_theta_that_it_returns():
    """In half precision, too: a paste must undo exactly what was done."""
    layer = SpatialCrop((1, 1), dtype="mixed_float16")
    layer.build((None, 1, 4096, 1), (None, 1))
    layer.set_weights([np.zeros((1, 3)), np.array([1, 0.90112, 0])])
    images = np.linspace(0, 1, 4096, dtype="float32").reshape(1, 1, 4096, 1)
    crops, theta = to_numpy(layer(images, np.zeros((1, 1), "float32")))
    place = (theta.astype("float64")[0, 0, 2] + 1) / 2
    np.testing.assert_allclose(crops.item(), place, atol=1e-3)


def test_reports_bad_input():
    nan = float("nan")
    for bad in (3, (3,), None, "33", nan):
        with pytest.raises(ValueError, match="output_size.*Received"):
            SpatialCrop(bad)
    for bad in (0, -1, 2.5, nan, None):
        with pytest.raises(ValueError, match="output_size.*at least 1.*Rec"):
            SpatialCrop((bad, 3))
    for bad in (0, -1.0, nan, None, "1", np.inf):
        with pytest.raises(ValueError, match="initial_scale.*positive.*Rec"):
            SpatialCrop((3, 3), initial_scale=bad)
    for bad in ("reflect", None, nan):
        with pytest.raises(ValueError, match="padding.*zeros.*Received"):
            SpatialCrop((3, 3), padding=bad)
    with pytest.raises(ValueError, match="align_corners.*True or False"):
        SpatialCrop((3, 3), align_corners=None)
    config = SpatialCrop((3, 3)).get_config()
    # Keras turns what a constructor raises into a TypeError here.
    with pytest.raises(
        (TypeError, ValueError), match="initial_scale.*Received: nan"
    ):
        SpatialCrop.from_config({**config, "initial_scale": nan})
    with pytest.raises(ValueError, match="state.*last axis of size 5"):
        built()(random(2, 6, 9, 2), random(2, 4))


def test_bounded_windows_stay_in_the_image():
    crop = SpatialCrop((3, 3), 0.4, scale_range=(0.2, 0.7))
    numbers = 20 * random(200, 3)
    s, x, y = to_numpy(crop.bounded(numbers)).T
    assert s.min() >= 0.2 - 1e-6 and s.max() <= 0.7 + 1e-6
    assert np.abs(np.stack([x, y])).max() <= 0.8 + 1e-6
    assert (np.abs(x) + s).max() <= 1 + 1e-6
    a, b, c = numbers.T.astype("float64")
    expected = 0.2 * 3.5 ** (1 / (1 + np.exp(-a)))
    np.testing.assert_allclose(s, expected, rtol=1e-4)
    np.testing.assert_allclose(y, (1 - expected) * np.tanh(c), atol=1e-5)


def test_bounded_windows_start_where_they_shall():
    layer = SpatialCrop((3, 3), 0.4, scale_range=(0.2, 0.7))
    _, theta = to_numpy(layer(random(2, 6, 6, 1), random(2, 5)))
    expected = np.float32([[[0.4, 0, 0], [0, 0.4, 0]]] * 2)
    np.testing.assert_allclose(theta, expected, atol=1e-6)
    again = SpatialCrop.from_config(layer.get_config())
    assert again.scale_range == (0.2, 0.7)


@pytest.mark.parametrize(
    "bad", [(0.5, 0.4), (0, 0.7), (0.2, 1.5), (0.5, 0.7), 0.3, (0.1, None)]
)
def test_bad_scale_range(bad):
    with pytest.raises(ValueError, match="scale_range as .low, high."):
        SpatialCrop((3, 3), 0.4, scale_range=bad)
