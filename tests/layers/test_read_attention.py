import numpy as np
import pytest
from numerics import check_gradients, dtype_of, gradients, run, to_numpy

from attnlib.layers import ReadAttention
from attnlib.ops import filterbank_read, gaussian_filterbank


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def built(size=3, units=4, **options):
    layer = ReadAttention(size, **options)
    layer.build((None, 5, 7, 2), (None, units))
    layer.set_weights([0.3 * random(units, 5, seed=1), 0.3 * random(5, seed=2)])
    return layer


def reference(weights, size, images, state):
    """Equations 19-27 as they are printed, float64."""
    kernel, bias = (np.array(w, "float64") for w in weights)
    _, height, width, _ = images.shape
    params = np.array(state, "float64") @ kernel + bias
    g_x, g_y, s2, delta, gamma = params.T
    s2, delta, gamma = np.exp(s2), np.exp(delta), np.exp(gamma)
    delta = (max(height, width) - 1) / max(size - 1, 1) * delta

    def filters(g, extent):
        i, a = np.arange(1, size + 1), np.arange(1, extent + 1)
        mu = (extent + 1) / 2 * (g[:, None] + 1)
        mu = mu + (i - size / 2 - 0.5) * delta[:, None]
        f = np.exp(-((a - mu[..., None]) ** 2) / (2 * s2[:, None, None]))
        return f / f.sum(-1, keepdims=True)

    f_x, f_y = filters(g_x, width), filters(g_y, height)
    return np.einsum("b,bih,bhwc,bjw->bijc", gamma, f_y, images, f_x)


@pytest.mark.parametrize("size", [1, 3])
def test_equals_reference(size):
    layer, images, state = built(size), random(3, 5, 7, 2), random(3, 4)
    np.testing.assert_allclose(
        to_numpy(run(layer, images, state)),
        reference(layer.get_weights(), size, images, state),
        rtol=1e-4,
        atol=1e-5,
    )


def test_gradients_reach_images_and_state():
    layer = built(2)
    check_gradients(
        layer,
        lambda i, s: reference(layer.get_weights(), 2, i, s),
        [random(2, 4, 5, 1), random(2, 4)],
        tolerance=3e-4,
    )


def test_window_is_what_the_layer_reads_through():
    layer, images, state = built(), random(2, 5, 7, 2), random(2, 4)
    window = to_numpy(layer.window(state))
    assert window.shape == (2, 5)
    expected = filterbank_read(images, *gaussian_filterbank(window, 3, 5, 7))
    np.testing.assert_allclose(
        to_numpy(layer(images, state)), to_numpy(expected), atol=1e-6
    )


def test_channels_share_one_window():
    """DRAW reads the image and its error side by side."""
    layer, state = built(), random(2, 4)
    one, other = random(2, 5, 7, 1), random(2, 5, 7, 1, seed=5)
    both = to_numpy(layer(np.concatenate([one, other], -1), state))
    alone = [to_numpy(layer(images, state)) for images in (one, other)]
    np.testing.assert_allclose(both, np.concatenate(alone, -1), atol=1e-6)


def test_same_weights_read_images_of_any_size():
    layer, state = built(), random(2, 4)
    for height, width in ((5, 7), (9, 3), (1, 1)):
        found = layer(random(2, height, width, 2), state)
        assert tuple(found.shape) == (2, 3, 3, 2)


def test_extreme_states_stay_finite():
    layer, images = built(), random(4, 5, 7, 2)
    state = np.float32([1e4, -1e4, 1e30, 0])[:, None] * np.ones((4, 4), "f")
    assert np.isfinite(to_numpy(layer(images, state))).all()
    for found in gradients(layer, images, state):
        assert np.isfinite(found).all()


def test_float16_policy_computes_the_window_in_float32():
    """In float16 the centre would be off by up to half a pixel of 2048."""
    layer = ReadAttention(1, dtype="mixed_float16")
    layer.build((None, 1, 2048, 1), (None, 1))
    place = 2 * (1537.0 + 1) / 2049 - 1
    layer.set_weights([np.zeros((1, 5)), np.array([place, 0, -8, 0, 0])])
    images = np.zeros((1, 1, 2048, 1), "float32")
    images[0, 0, 1537] = 1
    found = layer(images, np.zeros((1, 1), "float32"))
    assert dtype_of(found) == "float16"
    np.testing.assert_allclose(to_numpy(found).item(), 1, atol=1e-2)


def test_reports_bad_input():
    for bad in (0, -1, 2.5, "4", None, True, float("nan")):
        with pytest.raises(ValueError, match="size.*at least 1.*Received"):
            ReadAttention(bad)
    config = {**ReadAttention(3).get_config(), "size": float("nan")}
    # Keras turns what a constructor raises into a TypeError here.
    with pytest.raises((TypeError, ValueError), match="size.*Received: nan"):
        ReadAttention.from_config(config)
    with pytest.raises(ValueError, match="expected.*built.*Received"):
        ReadAttention(3).window(random(2, 4))
    with pytest.raises(ValueError, match="state.*last axis of size 4"):
        built()(random(2, 5, 7, 2), random(2, 3))
    with pytest.raises(ValueError, match="last axis of state.*known"):
        ReadAttention(3).build((None, 5, 7, 2), (None, None))
    with pytest.raises(ValueError, match="images of known height.*Received"):
        ReadAttention(3).build((None, 5, None, 2), (None, 4))
