import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numerics import check_gradients, dtype_of, gradients, jit, to_numpy

from attnlib.ops import (
    filterbank_read,
    filterbank_write,
    gaussian_filterbank,
)


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def windows(*rows):
    return np.array(rows, "float32")


def bank_reference(params, size, height, width):
    """Equations 19-26 as they are printed: pixels and i from 1, float64."""
    params = np.array(params, "float64")

    def rows(g, extent, log_s2, delta):
        centre = (extent + 1) / 2 * (g + 1)
        i = np.arange(1, size + 1)
        mu = centre[:, None] + (i - size / 2 - 0.5) * delta[:, None]
        a = np.arange(1, extent + 1)
        log = -((a - mu[..., None]) ** 2)
        log = log / (2 * np.exp(log_s2))[:, None, None]
        weights = np.exp(log - log.max(-1, keepdims=True))
        return weights / weights.sum(-1, keepdims=True)

    g_x, g_y, log_s2, log_d, log_gamma = params.T
    delta = (max(height, width) - 1) / max(size - 1, 1) * np.exp(log_d)
    f_x = rows(g_x, width, log_s2, delta)
    f_y = rows(g_y, height, log_s2, delta)
    return f_x, f_y, np.exp(log_gamma)


def read_reference(images, f_x, f_y, gamma):
    return np.einsum("b,bih,bhwc,bjw->bijc", gamma, f_y, images, f_x)


def write_reference(patches, f_x, f_y, gamma):
    return np.einsum("b,bih,bijc,bjw->bhwc", 1 / gamma, f_y, patches, f_x)


# gaussian_filterbank


@pytest.mark.parametrize("height, width", [(7, 7), (5, 12), (12, 5), (1, 6)])
@pytest.mark.parametrize("size", [1, 2, 5])
def test_bank_equals_reference(size, height, width):
    params = 0.5 * random(4, 5)
    found = to_numpy(gaussian_filterbank(params, size, height, width))
    expected = bank_reference(params, size, height, width)
    assert [f.shape for f in found] == [
        (4, size, width),
        (4, size, height),
        (4,),
    ]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("size, height, width", [(3, 4, 6), (1, 5, 3)])
def test_bank_gradients(size, height, width, index):
    check_gradients(
        lambda p: gaussian_filterbank(p, size, height, width)[index],
        lambda p: bank_reference(p, size, height, width)[index],
        [0.4 * random(2, 5)],
        tolerance=3e-4,
    )


def test_window_that_tiles_the_image_is_the_identity():
    """N = W, stride 1, a filter far narrower than a pixel."""
    params = windows([0, 0, -8, 0, 0])
    f_x, f_y, gamma = to_numpy(gaussian_filterbank(params, 6, 6, 6))
    np.testing.assert_array_equal(f_x[0], np.eye(6))
    np.testing.assert_array_equal(f_y[0], np.eye(6))
    images = random(1, 6, 6, 2)
    patches = to_numpy(filterbank_read(images, f_x, f_y, gamma))
    np.testing.assert_allclose(patches, images, rtol=1e-6)
    again = to_numpy(filterbank_write(patches, f_x, f_y, gamma))
    np.testing.assert_allclose(again, images, rtol=1e-6)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_centre_of_mass_is_the_asked_centre(size):
    """A shift by one stride or one pixel is the commonest mistake here."""
    wanted = 11.3  # Counted from 0, as peers do.
    g = 2 * (wanted + 1) / (28 + 1) - 1
    d = np.log(3.0 / (27 / max(size - 1, 1)))
    params = windows([g, g, 0, d, 0])
    f_x, _, _ = to_numpy(gaussian_filterbank(params, size, 28, 28))
    means = f_x[0] @ np.arange(28)
    np.testing.assert_allclose(means.mean(), wanted, atol=1e-3)
    np.testing.assert_allclose(np.diff(means), 3.0, atol=1e-3)


def test_wide_filters_are_uniform():
    f_x, f_y, _ = to_numpy(
        gaussian_filterbank(windows([0, 0, 19, 0, 0]), 3, 4, 8)
    )
    np.testing.assert_allclose(f_x, 1 / 8, rtol=1e-5)
    np.testing.assert_allclose(f_y, 1 / 4, rtol=1e-5)


@pytest.mark.parametrize("log_s2", [-8.0, -4.0, 0.0])
def test_no_row_underflows(log_s2):
    """Divided Gaussians lose four of these five rows at -8."""
    params = windows([0, 0, log_s2, -1, 0])
    f_x, _, _ = to_numpy(gaussian_filterbank(params, 5, 28, 28))
    np.testing.assert_allclose(f_x.sum(-1), 1, rtol=1e-6)
    expected = bank_reference(params, 5, 28, 28)[0]
    np.testing.assert_allclose(f_x, expected, atol=1e-5)


def test_gradient_of_narrow_filters_is_there():
    """Rows between two pixels still learn at log s2 = -8."""
    cotangent = random(1, 2, 28)
    # Stride 27: means at pixels 0.5 and 27.5 before and behind the middle.
    params = windows([1 / 29, 0, -8, 0, 0])
    (found,) = gradients(
        lambda p: gaussian_filterbank(p, 2, 28, 28)[0],
        params,
        cotangent=cotangent,
    )
    assert np.isfinite(found).all()
    assert np.abs(found[0, 0]) > 1
    assert np.abs(found[0, 3]) > 1


@pytest.mark.parametrize("size", [1, 4])
def test_gradient_of_any_width_and_centre_is_there(size):
    """A window beside the image still feels where the image is."""
    rng = np.random.default_rng(0)
    # g_x, g_y, log s2, log d, log gamma
    low, high = [-1.3, -1.3, -2, -3, -1], [1.3, 1.3, 6, 0.5, 1]
    params = rng.uniform(low, high, (500, 5)).astype("float32")
    for axis, extent in enumerate((9, 5)):
        (found,) = gradients(
            lambda p, axis=axis: gaussian_filterbank(p, size, 5, 9)[axis],
            params,
            cotangent=random(500, size, extent),
        )
        assert np.isfinite(found).all()
        assert found[:, axis].all()
        assert found[:, 2].all()


EXTREMES = [0.0, 1.0, -8.0, 20.0, -20.0, 88.0, 1e4, -1e4, 3e38, -3e38]


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("height, width", [(6, 6), (3, 9), (1, 1)])
def test_extreme_parameters_stay_finite(size, height, width):
    rows = [
        [0.0] * k + [x] + [0.0] * (4 - k) for x in EXTREMES for k in range(5)
    ]
    rows += [[x] * 5 for x in EXTREMES]
    rows += [[50, -50, x, y, 0] for x in EXTREMES for y in EXTREMES]
    params = windows(*rows)

    def bank(p):
        return gaussian_filterbank(p, size, height, width)

    f_x, f_y, gamma = to_numpy(bank(params))
    np.testing.assert_allclose(f_x.sum(-1), 1, rtol=1e-5)
    np.testing.assert_allclose(f_y.sum(-1), 1, rtol=1e-5)
    assert np.isfinite(gamma).all()
    assert (gamma > 0).all()
    for index, out in enumerate((f_x, f_y, gamma)):
        (found,) = gradients(
            lambda p, k=index: bank(p)[k],
            params,
            cotangent=random(*out.shape, seed=3),
        )
        assert np.isfinite(found).all()


def test_infinite_parameters_count_as_the_limit():
    params = windows([np.inf, -np.inf, -np.inf, np.inf, np.inf])
    f_x, f_y, gamma = to_numpy(gaussian_filterbank(params, 2, 4, 4))
    np.testing.assert_allclose(f_x.sum(-1), 1)
    np.testing.assert_allclose(f_y.sum(-1), 1)
    assert np.isfinite(gamma).all()


bank = jit(lambda p: gaussian_filterbank(p, 4, 5, 9))
number = st.floats(-30, 30, width=32)


@given(st.tuples(*[number] * 5))
@settings(max_examples=50, deadline=None)
def test_rows_are_distributions_for_any_window(row):
    f_x, f_y, gamma = to_numpy(bank(windows(row)))
    for filters in (f_x, f_y):
        assert (filters >= 0).all()
        np.testing.assert_allclose(filters.sum(-1), 1, rtol=1e-5)
    assert np.isfinite(gamma).all()


@given(st.tuples(*[st.floats(-2, 2, width=32)] * 5))
@settings(max_examples=30, deadline=None)
def test_mirrored_window_is_mirrored(row):
    f_x, f_y, _ = to_numpy(bank(windows(row)))
    mirrored = windows((-row[0], -row[1], *row[2:]))
    g_x, g_y, _ = to_numpy(bank(mirrored))
    np.testing.assert_allclose(g_x, f_x[:, ::-1, ::-1], atol=1e-4)
    np.testing.assert_allclose(g_y, f_y[:, ::-1, ::-1], atol=1e-4)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_computes_in_float32(dtype):
    # The second gamma is beyond what float16 holds.
    params = windows([0.25, -0.5, -2, -0.5, 0.5], [0, 0, 0, 0, 12])
    half = keras.ops.cast(params, dtype)
    found = gaussian_filterbank(half, 3, 20, 20)
    expected = bank_reference(params, 3, 20, 20)
    for one, other in zip(found[:2], expected[:2], strict=True):
        assert dtype_of(one) == dtype
        one = to_numpy(keras.ops.cast(one, "float32"))
        np.testing.assert_allclose(one, other, atol=4e-3)
    assert dtype_of(found[2]) == dtype
    assert np.isfinite(to_numpy(keras.ops.cast(found[2], "float32"))).all()


@pytest.mark.parametrize("batch", [0, 1])
def test_small_batches(batch):
    f_x, f_y, gamma = gaussian_filterbank(random(batch, 5), 2, 4, 6)
    shapes = [tuple(t.shape) for t in (f_x, f_y, gamma)]
    assert shapes == [(batch, 2, 6), (batch, 2, 4), (batch,)]
    patches = filterbank_read(random(batch, 4, 6, 3), f_x, f_y, gamma)
    assert tuple(patches.shape) == (batch, 2, 2, 3)
    images = filterbank_write(patches, f_x, f_y, gamma)
    assert tuple(images.shape) == (batch, 4, 6, 3)


def test_bank_reports_bad_input():
    for bad in (random(5), random(2, 4), random(2, 3, 5)):
        with pytest.raises(ValueError, match=r"params.*\(batch, 5\).*Rec"):
            gaussian_filterbank(bad, 2, 4, 4)
    with pytest.raises(ValueError, match="params.*floating.*int"):
        gaussian_filterbank(np.ones((1, 5), "int32"), 2, 4, 4)
    good = random(1, 5)
    for bad in (0, -2, 2.5, None, "3", True, float("nan")):
        with pytest.raises(ValueError, match="size.*at least 1.*Received"):
            gaussian_filterbank(good, bad, 4, 4)
        with pytest.raises(ValueError, match="height.*at least 1.*Received"):
            gaussian_filterbank(good, 2, bad, 4)
        with pytest.raises(ValueError, match="width.*at least 1.*Received"):
            gaussian_filterbank(good, 2, 4, bad)


# filterbank_read and filterbank_write


def filters(batch, size, height, width):
    f_x, f_y, gamma = bank_reference(
        0.3 * random(batch, 5, seed=4), size, height, width
    )
    return [a.astype("float32") for a in (f_x, f_y, gamma)]


@pytest.mark.parametrize("channels", [1, 3])
def test_read_and_write_equal_reference(channels):
    bank = filters(3, 4, 5, 9)
    images, patches = random(3, 5, 9, channels), random(3, 4, 4, channels)
    np.testing.assert_allclose(
        to_numpy(filterbank_read(images, *bank)),
        read_reference(images, *bank),
        rtol=1e-4,
        atol=1e-5,
    )
    np.testing.assert_allclose(
        to_numpy(filterbank_write(patches, *bank)),
        write_reference(patches, *bank),
        rtol=1e-4,
        atol=1e-5,
    )


def test_read_and_write_gradients():
    bank = filters(2, 2, 4, 3)
    check_gradients(
        filterbank_read, read_reference, [random(2, 4, 3, 2), *bank]
    )
    check_gradients(
        filterbank_write, write_reference, [random(2, 2, 2, 2), *bank]
    )


@given(seed=st.integers(0, 2**31))
@settings(max_examples=10, deadline=None)
def test_write_is_the_adjoint_of_read(seed):
    """<read(X) / gamma, P> = <X, gamma write(P)> for any X and P."""
    f_x, f_y, gamma = filters(2, 3, 5, 4)
    images = random(2, 5, 4, 2, seed=seed)
    patches = random(2, 3, 3, 2, seed=seed + 1)
    one = to_numpy(filterbank_read(images, f_x, f_y, gamma)) * patches
    other = to_numpy(filterbank_write(patches, f_x, f_y, gamma)) * images
    np.testing.assert_allclose(
        one.sum((1, 2, 3)) / gamma, gamma * other.sum((1, 2, 3)), atol=1e-3
    )


def test_reading_a_constant_image_gives_gamma_times_it():
    f_x, f_y, gamma = filters(2, 3, 5, 4)
    found = to_numpy(
        filterbank_read(np.full((2, 5, 4, 1), 2.0), f_x, f_y, gamma)
    )
    expected = np.broadcast_to(2 * gamma[:, None, None, None], found.shape)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_filters_are_cast_to_the_first_tensor():
    bank = [a.astype("float64") for a in filters(1, 2, 4, 3)]
    for dtype in ("float16", "float32"):
        images = random(1, 4, 3, 1).astype(dtype)
        assert dtype_of(filterbank_read(images, *bank)) == dtype
        patches = random(1, 2, 2, 1).astype(dtype)
        assert dtype_of(filterbank_write(patches, *bank)) == dtype


def test_intensity_beyond_float16_makes_no_nan():
    f_x, f_y, _ = filters(1, 2, 4, 3)
    images = np.zeros((1, 4, 3, 1), "float16")
    gamma = np.exp(np.float32([20]))
    assert not to_numpy(filterbank_read(images, f_x, f_y, gamma)).any()
    patches = np.zeros((1, 2, 2, 1), "float16")
    assert not to_numpy(filterbank_write(patches, f_x, f_y, 1 / gamma)).any()


@pytest.mark.tensorflow
def test_images_of_unknown_size():
    import tensorflow as tf

    def spec(rank):
        return tf.TensorSpec((None,) * rank, "float32")

    compiled = tf.function(
        filterbank_read, input_signature=[spec(4), spec(3), spec(3), spec(1)]
    )
    for height, width in ((5, 8), (7, 4)):
        bank = filters(2, 3, height, width)
        images = random(2, height, width, 2)
        np.testing.assert_allclose(
            to_numpy(compiled(images, *bank)),
            read_reference(images, *bank),
            atol=1e-5,
        )


@pytest.mark.parametrize(
    "function, name, shape",
    [
        (filterbank_read, "images", (2, 5, 4, 1)),
        (filterbank_write, "patches", (2, 3, 3, 1)),
    ],
)
def test_read_and_write_report_bad_input(function, name, shape):
    f_x, f_y, gamma = filters(2, 3, 5, 4)
    tensor = random(*shape)
    with pytest.raises(ValueError, match=f"{name}.*rank 4.*Received"):
        function(tensor[0], f_x, f_y, gamma)
    with pytest.raises(ValueError, match=f"{name}.*floating.*uint8"):
        function(tensor.astype("uint8"), f_x, f_y, gamma)
    with pytest.raises(ValueError, match="f_x.*rank 3.*Received"):
        function(tensor, f_x[0], f_y, gamma)
    with pytest.raises(ValueError, match="f_y.*floating.*int32"):
        function(tensor, f_x, f_y.astype("int32"), gamma)
    with pytest.raises(ValueError, match="gamma.*rank 1.*Received"):
        function(tensor, f_x, f_y, gamma[:, None])
    with pytest.raises(ValueError, match="batch sizes.*gamma: 1"):
        function(tensor, f_x, f_y, gamma[:1])
    with pytest.raises(ValueError, match="window sizes.*f_y: 2"):
        function(tensor, f_x, f_y[:, :2], gamma)
    wrong = tensor[:, :, :-1]
    with pytest.raises(ValueError, match=f"expected equal.*{name}: "):
        function(wrong, f_x, f_y, gamma)
    wrong = tensor[:, :-1]
    with pytest.raises(ValueError, match=f"expected equal.*{name}: "):
        function(wrong, f_x, f_y, gamma)
