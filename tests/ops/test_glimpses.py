import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numerics import dtype_of, gradients, jit, run, to_numpy

from attnlib.ops import extract_glimpses


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def places(batch, seed=0, reach=1.2):
    rng = np.random.default_rng(seed)
    return rng.uniform(-reach, reach, (batch, 2)).astype("float32")


def first_pixel(location, pixels, side):
    """round(((x + 1) W - 1) / 2 - (side - 1) / 2) in float32, ties to even."""
    one = np.float32(1)
    centre = ((np.float32(location) + one) * np.float32(pixels) - one) / 2
    return int(np.rint(np.float32(centre) - np.float32((side - 1) / 2)))


def reference(images, locations, size, scales=1):
    """Pixel by pixel from the definition, float64."""
    batch, height, width, channels = images.shape
    out = np.zeros((batch, scales, size, size, channels))
    for b, k, i, j in np.ndindex(batch, scales, size, size):
        factor = 2**k
        left = first_pixel(locations[b, 0], width, size * factor)
        top = first_pixel(locations[b, 1], height, size * factor)
        total = np.zeros(channels)
        for y in range(top + i * factor, top + (i + 1) * factor):
            for x in range(left + j * factor, left + (j + 1) * factor):
                if 0 <= y < height and 0 <= x < width:
                    total += images[b, y, x]
        out[b, k, i, j] = total / factor**2
    return out


@pytest.mark.parametrize(
    "shape, size, scales",
    [
        ((3, 9, 9, 1), 4, 1),
        ((2, 7, 12, 3), 3, 3),
        ((2, 12, 7, 2), 4, 2),
        ((1, 5, 5, 1), 1, 4),
        ((2, 2, 3, 1), 5, 2),
        ((2, 1, 1, 1), 3, 2),
    ],
)
def test_equals_reference(shape, size, scales):
    images, locations = random(*shape), places(shape[0])
    found = to_numpy(
        run(extract_glimpses, images, locations, size=size, scales=scales)
    )
    expected = reference(images, locations, size, scales)
    assert found.shape == (shape[0], scales, size, size, shape[3])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


sensor = jit(lambda x, at: extract_glimpses(x, at, 3, 2))


@given(x=st.floats(-2, 2, width=32), y=st.floats(-2, 2, width=32))
@settings(max_examples=40, deadline=None)
def test_equals_reference_anywhere(x, y):
    images = random(1, 40, 30, 1)
    locations = np.array([[x, y]], "float32")
    np.testing.assert_allclose(
        to_numpy(sensor(images, locations)),
        reference(images, locations, 3, 2),
        rtol=1e-5,
        atol=1e-6,
    )


def test_whole_image_at_the_centre():
    images = random(2, 8, 8, 3)
    found = to_numpy(extract_glimpses(images, np.zeros((2, 2), "float32"), 8))
    np.testing.assert_array_equal(found[:, 0], images)


@pytest.mark.parametrize(
    "pixels, size, start",
    [(4, 1, 2), (6, 1, 2), (8, 1, 4), (7, 2, 2), (5, 2, 2), (9, 4, 2)],
)
def test_ties_go_to_the_even_pixel(pixels, size, start):
    # The middle of 4 pixels is 1.5 and that of 6 is 2.5: both become 2.
    images = np.tile(np.arange(pixels, dtype="float32"), (1, pixels, 1))
    found = extract_glimpses(
        images[..., None], np.zeros((1, 2), "float32"), size
    )
    expected = np.arange(start, start + size)
    np.testing.assert_array_equal(to_numpy(found)[0, 0, 0, :, 0], expected)
    found = extract_glimpses(
        images.transpose(0, 2, 1)[..., None],
        np.zeros((1, 2), "float32"),
        size,
    )
    np.testing.assert_array_equal(to_numpy(found)[0, 0, :, 0, 0], expected)


@pytest.mark.parametrize("corner", [(-1, -1), (1, -1), (-1, 1), (1, 1)])
def test_corners_follow_the_convention(corner):
    images = np.zeros((1, 10, 20, 1), "float32")
    row, column = (0 if c < 0 else -1 for c in corner[::-1])
    images[0, row, column] = 1
    found = to_numpy(
        extract_glimpses(images, np.array([corner], "float32"), 5)
    )[0, 0, ..., 0]
    # The outer corner of the corner pixel lies in the middle of the window.
    expected = reference(images, np.array([corner], "float32"), 5)
    np.testing.assert_array_equal(found, expected[0, 0, ..., 0])
    assert found.sum() == 1
    assert found[1:4, 1:4].sum() == 1


def test_far_outside_is_zero():
    images = np.ones((4, 6, 6, 2), "float32")
    locations = np.array([[9, 0], [0, -9], [1e9, 1e9], [-3e38, 0]], "float32")
    assert not to_numpy(sensor(images, locations)).any()


def test_constant_image_stays_constant_inside():
    images = np.full((1, 64, 64, 1), 0.3, "float32")
    found = to_numpy(
        extract_glimpses(images, np.zeros((1, 2), "float32"), 4, 4)
    )
    np.testing.assert_allclose(found, 0.3, rtol=1e-6)


@given(seed=st.integers(0, 2**31))
@settings(max_examples=15, deadline=None)
def test_pixels_outside_the_window_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    images = random(1, 40, 30, 1, seed=seed)
    locations = places(1, seed, reach=1)
    left = first_pixel(locations[0, 0], 30, 6)
    top = first_pixel(locations[0, 1], 40, 6)
    changed = rng.normal(size=images.shape).astype("float32")
    changed[rng.random(images.shape) < 0.1] = np.nan
    rows = slice(max(top, 0), max(top + 6, 0))
    columns = slice(max(left, 0), max(left + 6, 0))
    changed[:, rows, columns] = images[:, rows, columns]
    np.testing.assert_array_equal(
        to_numpy(sensor(changed, locations)),
        to_numpy(sensor(images, locations)),
    )


def test_nan_at_the_border_does_not_spread_outside():
    images = np.full((1, 6, 6, 1), np.nan, "float32")
    outside = np.array([[-3, 0]], "float32")
    assert not to_numpy(extract_glimpses(images, outside, 3, 2)).any()


@pytest.mark.parametrize("place", [(np.nan, 0), (0, np.nan), (np.inf, np.nan)])
def test_nan_in_a_location_is_not_hidden(place):
    """It must not become a pixel, which one depending on the backend."""
    locations = np.array([place, (0, 0)], "float32")
    images = np.ones((2, 6, 6, 1), "float32")
    found = to_numpy(
        jit(lambda x, at: extract_glimpses(x, at, 2, 2))(images, locations)
    )
    assert np.isnan(found[0]).all()
    assert (found[1] == 1).all()


def largest_result(height, width):
    """Return the size of the largest tensor that a glimpse computes.

    Reshapes of the images, which copy nothing, do not count.
    """
    shapes = (1, height, width, 2), (1, 2)
    arrays = [np.zeros(shape, "float32") for shape in shapes]
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        made = tf.function(lambda x, at: extract_glimpses(x, at, 4, 2))
        graph = made.get_concrete_function(*map(tf.constant, arrays)).graph
        return max(
            int(np.prod(out.shape))
            for op in graph.get_operations()
            if op.type not in ("Placeholder", "Reshape")
            for out in op.outputs
        )
    import jax.extend

    jaxpr = jax.make_jaxpr(lambda x, at: extract_glimpses(x, at, 4, 2))

    def sizes(jaxpr):
        for equation in jaxpr.eqns:
            for inner in jax.extend.core.jaxprs_in_params(equation.params):
                yield from sizes(inner)
            if equation.primitive.name not in ("reshape", "jit", "pjit"):
                yield from (
                    int(np.prod(v.aval.shape)) for v in equation.outvars
                )

    return max(sizes(jaxpr(*arrays).jaxpr))


@pytest.mark.skipif(
    keras.config.backend() == "torch", reason="torch has no graph to look at"
)
def test_work_does_not_depend_on_the_size_of_the_image():
    """No step makes more numbers for a large image than for a small one."""
    assert largest_result(512, 300) == largest_result(9, 8) <= 8 * 8 * 2


def test_shift_of_image_and_location_cancel():
    images = np.zeros((1, 32, 32, 1), "float32")
    images[:, 10:18, 8:16] = random(1, 8, 8, 1)
    moved = np.roll(images, (4, 6), axis=(1, 2))
    location = np.array([[-0.25, -0.125]], "float32")
    shift = np.array([[6 / 16, 4 / 16]], "float32")
    np.testing.assert_array_equal(
        to_numpy(extract_glimpses(images, location, 6, 2)),
        to_numpy(extract_glimpses(moved, location + shift, 6, 2)),
    )


def test_gradient_of_images_is_the_transpose():
    images, locations = random(2, 6, 7, 2), places(2)
    cotangent = random(2, 2, 3, 3, 2, seed=5)
    found, to_locations = gradients(
        lambda x, at: extract_glimpses(x, at, 3, 2),
        images,
        locations,
        cotangent=cotangent,
    )
    # The map is linear: <A e, c> = <e, A^T c> for each image e.
    probe = random(2, 6, 7, 2, seed=6)
    inner = (reference(probe, locations, 3, 2) * cotangent).sum()
    np.testing.assert_allclose((probe * found).sum(), inner, rtol=1e-4)
    assert not to_locations.any()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_images_are_addressed_in_float32(dtype):
    # Pixel 3893 of 4096 has no float16 location of its own.
    images = np.zeros((1, 4, 4096, 1), "float32")
    images[0, :, 3893] = 1
    location = np.array([[2 * 3893.5 / 4096 - 1, 0]], "float32")
    found = extract_glimpses(keras.ops.cast(images, dtype), location, 1)
    assert dtype_of(found) == dtype
    assert to_numpy(keras.ops.cast(found, "float32")).item() == 1


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_pools_without_overflow(dtype):
    images = keras.ops.full((1, 64, 64, 1), 100.0, dtype=dtype)
    found = extract_glimpses(images, np.zeros((1, 2), "float32"), 2, 6)
    values = to_numpy(keras.ops.cast(found, "float32"))
    np.testing.assert_allclose(values, 100, rtol=1e-2)


def test_float64_locations_beside_float32_images():
    images = random(1, 6, 6, 1)
    found = extract_glimpses(images, np.zeros((1, 2)), 4)
    assert dtype_of(found) == "float32"


def test_empty_batch():
    images = np.zeros((0, 6, 6, 1), "float32")
    found = extract_glimpses(images, np.zeros((0, 2), "float32"), 4, 2)
    assert to_numpy(found).shape == (0, 2, 4, 4, 1)


@pytest.mark.tensorflow
def test_images_of_unknown_size():
    import tensorflow as tf

    spec = [
        tf.TensorSpec((None, None, None, 1), "float32"),
        tf.TensorSpec((None, 2), "float32"),
    ]
    compiled = tf.function(
        lambda x, at: extract_glimpses(x, at, 3, 2), input_signature=spec
    )
    for height, width in ((5, 8), (11, 4)):
        images, locations = random(2, height, width, 1), places(2)
        np.testing.assert_allclose(
            to_numpy(compiled(images, locations)),
            reference(images, locations, 3, 2),
            rtol=1e-5,
            atol=1e-6,
        )


def test_reports_bad_input():
    images, locations = random(2, 6, 6, 1), places(2)
    with pytest.raises(ValueError, match="images.*rank 4.*Received"):
        extract_glimpses(images[0], locations, 3)
    with pytest.raises(ValueError, match="locations.*rank 2.*Received"):
        extract_glimpses(images, locations[0], 3)
    with pytest.raises(ValueError, match="last axis.*locations: 3"):
        extract_glimpses(images, random(2, 3), 3)
    with pytest.raises(ValueError, match="batch sizes.*locations: 1"):
        extract_glimpses(images, locations[:1], 3)
    with pytest.raises(ValueError, match="images.*floating.*uint8"):
        extract_glimpses(images.astype("uint8"), locations, 3)
    with pytest.raises(ValueError, match="locations.*floating.*int"):
        extract_glimpses(images, np.zeros((2, 2), "int32"), 3)
    for side in (images[:, :0], images[:, :, :0]):
        with pytest.raises(ValueError, match="images.*one pixel.*Received"):
            extract_glimpses(side, locations, 3)
    for size in (0, -1, 2.0, "3", True, None):
        with pytest.raises(ValueError, match="size.*integer of at least 1"):
            extract_glimpses(images, locations, size)
        with pytest.raises(ValueError, match="scales.*integer of at least 1"):
            extract_glimpses(images, locations, 3, size)
    # A NumPy integer is an integer.
    assert extract_glimpses(images, locations, np.int64(3)).shape[2] == 3
