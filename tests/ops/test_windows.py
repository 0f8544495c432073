import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numerics import check_gradients, dtype_of, gradients, jit, to_numpy

from attnlib.ops import gaussian_window


def parameters(batch, components, seed=0, reach=6):
    """Return alpha, beta and kappa like those of a trained window."""
    rng = np.random.default_rng(seed)
    shape = (batch, components)
    alpha, beta = np.exp(0.5 * rng.normal(size=(2, *shape)))
    kappa = rng.uniform(0, reach, shape)
    return [x.astype("float32") for x in (alpha, beta, kappa)]


def reference(alpha, beta, kappa, length):
    """phi(u) = sum_k alpha_k exp(-beta_k (kappa_k - u)^2), equation 46."""
    out = np.zeros((len(alpha), length))
    for b, u in np.ndindex(out.shape):
        for k in range(alpha.shape[1]):
            out[b, u] += alpha[b, k] * np.exp(
                -beta[b, k] * (kappa[b, k] - (u + 1)) ** 2
            )
    return out


@pytest.mark.parametrize("shape", [(2, 3, 5), (1, 1, 1), (0, 2, 4), (3, 0, 2)])
def test_equals_reference(shape):
    batch, components, length = shape
    arrays = parameters(batch, components)
    found = to_numpy(gaussian_window(*arrays, length))
    expected = reference(*arrays, length)
    assert found.shape == (batch, length)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_gradients():
    check_gradients(
        lambda a, b, k: gaussian_window(a, b, k, 5),
        lambda a, b, k: reference(a, b, k, 5),
        parameters(2, 3),
    )


def test_the_first_position_is_one():
    sharp = np.full((1, 1), 50, "float32")
    found = to_numpy(gaussian_window(sharp / 50, sharp, sharp / 50, 3))
    np.testing.assert_allclose(found, [[1, 0, 0]], atol=1e-6)


def test_inverse_width_of_zero_is_the_same_everywhere():
    alpha, _, kappa = parameters(2, 3)
    found = to_numpy(gaussian_window(alpha, 0 * alpha, kappa, 4))
    expected = np.repeat(alpha.sum(1, keepdims=True), 4, 1)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_area_is_that_of_gaussians():
    """sum_u phi(u) = sum_k alpha_k sqrt(pi / beta_k) where phi is smooth."""
    alpha, beta, kappa = parameters(4, 3)
    beta, kappa = beta / 8, kappa + 40
    found = to_numpy(gaussian_window(alpha, beta, kappa, 90)).sum(1)
    expected = (alpha * np.sqrt(np.pi / beta)).sum(1)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


window = jit(lambda a, b, k: gaussian_window(a, b, k, 8))


@given(seed=st.integers(0, 2**31), shift=st.integers(0, 3))
@settings(max_examples=20, deadline=None)
def test_moving_the_centres_moves_the_weights(seed, shift):
    alpha, beta, kappa = parameters(2, 3, seed)
    found = to_numpy(window(alpha, beta, kappa + np.float32(shift)))
    expected = to_numpy(window(alpha, beta, kappa))
    np.testing.assert_allclose(
        found[:, shift:], expected[:, : 8 - shift], rtol=1e-4, atol=1e-5
    )


@given(seed=st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_the_order_of_components_does_not_matter(seed):
    arrays = parameters(2, 4, seed)
    order = np.random.default_rng(seed).permutation(4)
    found = to_numpy(window(*[x[:, order] for x in arrays]))
    np.testing.assert_allclose(found, to_numpy(window(*arrays)), rtol=1e-5)
    assert (found >= 0).all()


@pytest.mark.parametrize("beta", [0.0, 1e-30, 1.0, 1e30])
@pytest.mark.parametrize("kappa", [-1e30, -1e3, 1.0, 2.5, 1e9, 1e30])
def test_extremes_are_finite_with_finite_gradients(beta, kappa):
    arrays = [np.full((1, 1), x, "float32") for x in (2.0, beta, kappa)]
    found = to_numpy(gaussian_window(*arrays, 3))
    assert np.isfinite(found).all() and (found >= 0).all()
    for gradient in gradients(lambda *x: gaussian_window(*x, 3), *arrays):
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_computed_in_float32(dtype):
    # 300 - 47 squared overflows float16.
    alpha, beta, kappa = np.ones((3, 1, 1), "float32")
    kappa = 300 * kappa
    arrays = [keras.ops.cast(x, dtype) for x in (alpha, 1e-4 * beta, kappa)]
    found = gaussian_window(*arrays, 300)
    assert dtype_of(found) == dtype
    values = to_numpy(keras.ops.cast(found, "float32"))
    expected = reference(alpha, 1e-4 * beta, kappa, 300)
    np.testing.assert_allclose(values, expected, atol=0.02)


def test_takes_the_dtype_of_alpha():
    alpha, beta, kappa = parameters(1, 2)
    found = gaussian_window(alpha, beta.astype("float64"), kappa, 3)
    assert dtype_of(found) == "float32"


@pytest.mark.tensorflow
def test_keeps_float64():
    arrays = [x.astype("float64") for x in parameters(2, 3)]
    found = gaussian_window(*arrays, 5)
    assert dtype_of(found) == "float64"
    np.testing.assert_allclose(
        to_numpy(found), reference(*arrays, 5), rtol=1e-13
    )


def test_works_symbolically():
    inputs = [keras.Input((3,)) for _ in range(3)]
    out = gaussian_window(*inputs, 4)
    assert tuple(out.shape) == (None, 4)
    arrays = parameters(2, 3)
    np.testing.assert_allclose(
        keras.Model(inputs, out).predict(arrays, verbose=0),
        reference(*arrays, 4),
        rtol=1e-5,
        atol=1e-6,
    )


def test_reports_bad_input():
    alpha, beta, kappa = parameters(2, 3)
    with pytest.raises(ValueError, match="alpha.*floating.*int32"):
        gaussian_window(np.ones((2, 3), "int32"), beta, kappa, 4)
    with pytest.raises(ValueError, match="beta.*floating.*bool"):
        gaussian_window(alpha, np.ones((2, 3), bool), kappa, 4)
    with pytest.raises(ValueError, match="kappa.*floating.*int"):
        gaussian_window(alpha, beta, np.ones((2, 3), "int64"), 4)
    with pytest.raises(ValueError, match="alpha.*rank 2.*Received"):
        gaussian_window(alpha[0], beta, kappa, 4)
    for bad in (beta[:, :2], beta[:1], beta[..., None]):
        with pytest.raises(ValueError, match="equal shapes.*Received"):
            gaussian_window(alpha, bad, kappa, 4)
        with pytest.raises(ValueError, match="equal shapes.*Received"):
            gaussian_window(alpha, beta, bad, 4)
    for length in (0, -1, 2.0, "3", True, None):
        with pytest.raises(ValueError, match="length.*at least 1.*Received"):
            gaussian_window(alpha, beta, kappa, length)
