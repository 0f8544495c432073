import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numerics import check_gradients, dtype_of, gradients, to_numpy

from attnlib.layers import GaussianWindow
from attnlib.ops import gaussian_window


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def built(components=3, state=5, **options):
    layer = GaussianWindow(components, **options)
    layer.build((None, state), (None, components), (None, None, 4))
    layer.set_weights(
        [0.5 * random(*w.shape, seed=i) for i, w in enumerate(layer.weights)]
    )
    return layer


def inputs(batch=3, length=6):
    return (
        random(batch, 5, seed=5),
        np.abs(random(batch, 3, seed=6)),
        random(batch, length, 4, seed=7),
    )


def reference(weights, state, kappa, text, mask=None):
    """Equations 46 to 51, one position at a time, float64."""
    kernel, bias = (np.array(w, "float64") for w in weights)
    alpha, beta, step = np.split(np.exp(state @ kernel + bias), 3, axis=-1)
    kappa = kappa + step
    batch, length, width = text.shape
    window, phi = np.zeros((batch, width)), np.zeros((batch, length + 1))

    def height(b, u):
        return np.sum(alpha[b] * np.exp(-beta[b] * (kappa[b] - u) ** 2))

    for b in range(batch):
        last = 0
        for u in range(1, length + 1):
            if mask is None or mask[b, u - 1]:
                phi[b, u - 1] = height(b, u)
                window[b] += phi[b, u - 1] * text[b, u - 1]
                last = u
        phi[b, length] = height(b, last + 1)
    return window, phi, kappa


MASK = np.array(
    [[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0]], bool
)


@pytest.mark.parametrize("mask", [None, MASK])
def test_equals_reference(mask):
    layer, arrays = built(), inputs()
    found = to_numpy(layer(*arrays, text_mask=mask))
    expected = reference(layer.get_weights(), *arrays, mask)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mask", [None, MASK])
@pytest.mark.parametrize("output", [0, 1, 2])
def test_gradients(mask, output):
    layer = built()
    check_gradients(
        lambda *x: layer(*x, text_mask=mask)[output],
        lambda *x: reference(layer.get_weights(), *x, mask)[output],
        inputs(),
        tolerance=3e-4,
    )


def test_is_the_op():
    layer, (state, kappa, text) = built(), inputs()
    _, phi, moved = to_numpy(layer(state, kappa, text))
    raw = to_numpy(layer.projection(state))
    alpha, beta, _ = np.split(np.exp(raw), 3, axis=-1)
    expected = to_numpy(gaussian_window(alpha, beta, moved, 7))
    np.testing.assert_allclose(phi, expected, rtol=1e-4, atol=1e-6)


def test_untrained_weights_move_by_the_initial_step():
    state, kappa, text = inputs()
    for step in (1.0, 0.04):
        layer = GaussianWindow(3, step, kernel_initializer="zeros")
        _, _, moved = to_numpy(layer(state, kappa, text))
        np.testing.assert_allclose(moved, kappa + np.float32(step), rtol=1e-6)


def test_a_sharp_window_reads_one_character():
    layer = GaussianWindow(1, kernel_initializer="zeros")
    layer.build((None, 5), (None, 1), (None, None, 4))
    # alpha = 1, beta = e^4, and kappa moves by one character.
    layer.set_weights([np.zeros((5, 3)), np.array([0.0, 4.0, 0.0])])
    text = np.eye(4, dtype="float32")[None]
    kappa, seen = np.zeros((1, 1), "float32"), []
    for _ in range(4):
        window, phi, kappa = layer(np.zeros((1, 5), "float32"), kappa, text)
        seen.append(to_numpy(window)[0])
        assert to_numpy(phi)[0, 4] < 1e-3
    np.testing.assert_allclose(seen, np.eye(4), atol=1e-6)
    _, phi, _ = layer(np.zeros((1, 5), "float32"), kappa, text)
    assert to_numpy(phi)[0].argmax() == 4  # The stop position.


@given(seed=st.integers(0, 2**31), scale=st.sampled_from([1.0, 30.0, 1e4]))
@settings(max_examples=20, deadline=None)
def test_kappa_never_decreases_and_all_is_finite(seed, scale):
    layer, kappa = built(), np.zeros((2, 3), "float32")
    text = random(2, 5, 4, seed=seed)
    for step in range(3):
        state = scale * random(2, 5, seed=seed + step)
        window, phi, after = to_numpy(
            layer(state.astype("float32"), kappa, text)
        )
        assert (after >= kappa).all()
        assert (phi >= 0).all()
        for out in (window, phi, after):
            assert np.isfinite(out).all()
        kappa = after


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_neither_overflows_nor_goes_back(dtype):
    layer = built(dtype=dtype)
    text = 100 * random(2, 5, 4)
    kappa = np.full((2, 3), 1000, "float16" if "16" in dtype else "float32")
    kappa = keras.ops.cast(kappa, layer.compute_dtype)
    for scale in (0.1, 1.0, 20.0, 20.0):
        state = np.full((2, 5), scale, "float32")
        window, phi, after = layer(state, kappa, text)
        for out in (window, phi, after):
            assert dtype_of(out) == layer.compute_dtype
            assert np.isfinite(to_numpy(keras.ops.cast(out, "float32"))).all()
        assert to_numpy(keras.ops.all(after >= kappa))
        kappa = after


def test_large_states_give_finite_gradients():
    layer, (_, kappa, text) = built(), inputs()
    for scale in (-1e4, 50.0, 1e4):
        state = np.full((3, 5), scale, "float32")
        for gradient in gradients(lambda *x: layer(*x)[0], state, kappa, text):
            assert np.isfinite(gradient).all()


@pytest.mark.parametrize("padding", [0.0, 1e4, np.nan])
def test_padding_changes_nothing_not_even_the_stop_position(padding):
    layer, (state, kappa, text) = built(), inputs(2, 4)
    plain = to_numpy(layer(state, kappa, text))
    longer = np.full((2, 7, 4), padding, "float32")
    longer[:, :4] = text
    mask = np.arange(7)[None] < np.array([[4], [4]])
    window, phi, moved = to_numpy(layer(state, kappa, longer, text_mask=mask))
    np.testing.assert_allclose(window, plain[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(phi[:, :4], plain[1][:, :4], rtol=1e-5)
    assert not phi[:, 4:7].any()
    np.testing.assert_allclose(phi[:, 7], plain[1][:, 4], rtol=1e-5)
    np.testing.assert_array_equal(moved, plain[2])


def test_the_stop_position_is_not_part_of_the_window():
    layer, (state, kappa, text) = built(), inputs()
    window, phi, _ = to_numpy(layer(state, kappa, text))
    expected = np.einsum("bs,bsv->bv", phi[:, :6], text)
    np.testing.assert_allclose(window, expected, rtol=1e-4, atol=1e-5)


def test_a_text_of_no_characters():
    layer, (state, kappa, text) = built(), inputs()
    window, phi, _ = to_numpy(layer(state, kappa, text[:, :0]))
    assert window.shape == (3, 4) and not window.any()
    masked = layer(state, kappa, text, text_mask=np.zeros((3, 6), bool))
    np.testing.assert_allclose(phi[:, 0], to_numpy(masked[1])[:, 6])


def test_components_of_equal_weight_permute():
    layer, (state, kappa, text) = built(), inputs()
    window, phi, moved = to_numpy(layer(state, kappa, text))
    order = np.array([2, 0, 1])
    columns = np.concatenate([order, order + 3, order + 6])
    kernel, bias = layer.get_weights()
    layer.set_weights([kernel[:, columns], bias[columns]])
    other = to_numpy(layer(state, kappa[:, order], text))
    np.testing.assert_allclose(other[0], window, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(other[1], phi, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(other[2], moved[:, order], rtol=1e-6)


def test_reports_bad_input():
    for bad in (0, -1, 2.5, "4", None, True):
        with pytest.raises(ValueError, match="components.*at least 1.*Rec"):
            GaussianWindow(bad)
    for bad in (0, -1.0, float("nan"), float("inf"), "1", None, True):
        with pytest.raises(ValueError, match="initial_step.*positive.*Rec"):
            GaussianWindow(3, initial_step=bad)
    layer, (state, kappa, text) = built(), inputs()
    with pytest.raises(ValueError, match="state.*size 5.*Received"):
        layer(state[:, :4], kappa, text)
    with pytest.raises(ValueError, match="kappa.*size 3.*Received"):
        layer(state, kappa[:, :2], text)
    with pytest.raises(ValueError, match="lengths.*text_mask: 5"):
        layer(state, kappa, text, text_mask=np.ones((3, 5), bool))
