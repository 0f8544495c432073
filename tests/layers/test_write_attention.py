import keras
import numpy as np
import pytest
from numerics import check_gradients, gradients, run, to_numpy

from attnlib.layers import ReadAttention, WriteAttention
from attnlib.ops import filterbank_write, gaussian_filterbank


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def built(size=3, image_shape=(5, 7, 2), units=4):
    layer = WriteAttention(size, image_shape)
    layer.build((None, units))
    layer.set_weights(
        [0.3 * random(*w.shape, seed=i) for i, w in enumerate(layer.weights)]
    )
    return layer


def reference(weights, size, image_shape, state):
    """Equations 19-26, 28 and 29 as they are printed, float64."""
    kernel, bias, patch_kernel, patch_bias = (
        np.array(w, "float64") for w in weights
    )
    height, width, channels = image_shape
    state = np.array(state, "float64")
    g_x, g_y, s2, delta, gamma = (state @ kernel + bias).T
    s2, delta, gamma = np.exp(s2), np.exp(delta), np.exp(gamma)
    delta = (max(height, width) - 1) / max(size - 1, 1) * delta
    patch = state @ patch_kernel + patch_bias
    patch = patch.reshape(-1, size, size, channels)

    def filters(g, extent):
        i, a = np.arange(1, size + 1), np.arange(1, extent + 1)
        mu = (extent + 1) / 2 * (g[:, None] + 1)
        mu = mu + (i - size / 2 - 0.5) * delta[:, None]
        f = np.exp(-((a - mu[..., None]) ** 2) / (2 * s2[:, None, None]))
        return f / f.sum(-1, keepdims=True)

    f_x, f_y = filters(g_x, width), filters(g_y, height)
    return np.einsum("b,bih,bijc,bjw->bhwc", 1 / gamma, f_y, patch, f_x)


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("image_shape", [(5, 7, 2), (6, 4, 1)])
def test_equals_reference(size, image_shape):
    layer, state = built(size, image_shape), random(3, 4)
    np.testing.assert_allclose(
        to_numpy(run(layer, state)),
        reference(layer.get_weights(), size, image_shape, state),
        rtol=1e-4,
        atol=1e-5,
    )


def test_gradients_reach_the_state():
    layer = built(2, (4, 5, 1))
    check_gradients(
        layer,
        lambda s: reference(layer.get_weights(), 2, (4, 5, 1), s),
        [random(2, 4)],
        tolerance=3e-4,
    )


def test_window_is_what_the_layer_writes_through():
    layer, state = built(), random(2, 4)
    window = to_numpy(layer.window(state))
    kernel, bias = layer.get_weights()[2:]
    patches = (state @ kernel + bias).reshape(2, 3, 3, 2)
    expected = filterbank_write(patches, *gaussian_filterbank(window, 3, 5, 7))
    np.testing.assert_allclose(
        to_numpy(layer(state)), to_numpy(expected), atol=1e-5
    )


def test_what_is_written_is_read_back():
    """Through one window of narrow filters, a pixel or more apart."""
    write, read = built(3, (9, 9, 2)), ReadAttention(3)
    read.build((None, 9, 9, 2), (None, 4))
    weights = write.get_weights()
    weights[0] = np.zeros((4, 5))
    weights[1] = np.array([0, 0, -8, -0.5, 0.7])
    write.set_weights(weights)
    read.set_weights(weights[:2])
    state = random(2, 4)
    patches = state @ weights[2] + weights[3]
    found = to_numpy(read(write(state), state))
    np.testing.assert_allclose(
        found, patches.reshape(2, 3, 3, 2), rtol=1e-3, atol=1e-4
    )


def test_extreme_states_stay_finite():
    layer = built()
    state = np.float32([1e4, -1e4, 0])[:, None] * np.ones((3, 4), "f")
    found = to_numpy(layer(state))
    assert found.shape == (3, 5, 7, 2)
    assert np.isfinite(found[2]).all()
    # The patch itself is written over a gamma of at least exp(-40).
    assert not np.isnan(found).any()
    (found,) = gradients(layer, state)
    assert not np.isnan(found).any()


def test_both_kernels_differ_under_one_seeded_initializer():
    layer = WriteAttention(
        1, (4, 4, 5), kernel_initializer=keras.initializers.GlorotUniform(3)
    )
    layer.build((None, 6))
    again = WriteAttention.from_config(layer.get_config())
    again.build((None, 6))
    for one, other in zip(
        layer.get_weights(), again.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_reports_bad_input():
    nan = float("nan")
    for bad in (0, -1, 2.5, "4", None, True, nan):
        with pytest.raises(ValueError, match="size.*at least 1.*Received"):
            WriteAttention(bad, (4, 4, 1))
        with pytest.raises(ValueError, match="image_shape.*at least 1.*Rec"):
            WriteAttention(3, (4, bad, 1))
    for bad in (None, 4, (4, 4), (4, 4, 1, 1), "441"):
        with pytest.raises(ValueError, match="image_shape.*3 integers.*Rec"):
            WriteAttention(3, bad)
    config = WriteAttention(3, (4, 4, 1)).get_config()
    # Keras turns what a constructor raises into a TypeError here.
    with pytest.raises(
        (TypeError, ValueError), match="image_shape.*Received: nan"
    ):
        WriteAttention.from_config({**config, "image_shape": [nan, 4, 1]})
    with pytest.raises(ValueError, match="expected.*built.*Received"):
        WriteAttention(3, (4, 4, 1)).window(random(2, 4))
    with pytest.raises(ValueError, match="state.*last axis of size 4"):
        built()(random(2, 3))
