import itertools
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numerics import (
    check_gradients,
    dtype_of,
    gradients,
    jit,
    run,
    to_numpy,
)

from attnlib.ops import affine_grid, bilinear_sample

MODES = list(itertools.product(("zeros", "border"), (False, True)))
IDENTITY = np.array([[[1, 0, 0], [0, 1, 0]]], "float32")

ORACLE = Path(__file__).parents[1] / "oracles" / "torch_grid_sample.npz"


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def points(*shape, seed=0, reach=1.6):
    rng = np.random.default_rng(seed)
    return rng.uniform(-reach, reach, (*shape, 2)).astype("float32")


def sample_reference(images, grid, padding="zeros", align_corners=False):
    """sum over all pixels of max(0, 1 - |dx|) max(0, 1 - |dy|), float64."""
    images, grid = (np.array(a, "float64") for a in (images, grid))
    _, height, width, _ = images.shape

    def weights(coordinate, size):
        if align_corners:
            position = (coordinate + 1) * (size - 1) / 2
        else:
            position = ((coordinate + 1) * size - 1) / 2
        if padding == "border":
            position = np.clip(position, 0, size - 1)
        return np.maximum(0, 1 - np.abs(position[..., None] - np.arange(size)))

    rows, columns = weights(grid[..., 1], height), weights(grid[..., 0], width)
    return np.einsum("bhwr,bhwc,brcd->bhwd", rows, columns, images)


# bilinear_sample


@pytest.mark.parametrize("padding, align_corners", MODES)
@pytest.mark.parametrize(
    "shape",
    [(2, 5, 7, 3), (2, 3, 5, 2), (2, 1, 4, 1), (1, 4, 1, 2), (1, 1, 1, 1)],
)
def test_sample_equals_reference(shape, padding, align_corners):
    images, grid = random(*shape), points(shape[0], 4, 6)
    mode = {"padding": padding, "align_corners": align_corners}
    found = run(bilinear_sample, images, grid, **mode)
    expected = sample_reference(images, grid, **mode)
    assert found.shape == (shape[0], 4, 6, shape[3])
    np.testing.assert_allclose(to_numpy(found), expected, atol=1e-5)


@pytest.mark.parametrize("padding, align_corners", MODES)
@pytest.mark.parametrize("name", ["square", "wide", "row", "pixel"])
def test_sample_and_gradients_equal_torch(name, padding, align_corners):
    case = f"{name}_{padding}_{'aligned' if align_corners else 'edges'}"
    names = ("images", "grid", "cotangent", "sampled", "to_images", "to_grid")
    with np.load(ORACLE) as file:
        oracle = {key: file[f"{case}_{key}"] for key in names}
    images, grid, cotangent, sampled, *wanted = oracle.values()

    def sample(*arrays):
        return bilinear_sample(*arrays, padding, align_corners)

    np.testing.assert_allclose(
        to_numpy(sample(images, grid)), sampled, atol=1e-5
    )
    found = gradients(sample, images, grid, cotangent=cotangent)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [(3, 4), (4, 5)])
@pytest.mark.parametrize("padding, align_corners", MODES)
def test_sample_gradients(padding, align_corners, size):
    images, grid = random(1, 4, 5, 2), points(1, *size)
    check_gradients(
        lambda *a: bilinear_sample(*a, padding, align_corners),
        lambda *a: sample_reference(*a, padding, align_corners),
        [images, grid],
        tolerance=2e-4,
    )


@pytest.mark.parametrize("padding, align_corners", MODES)
def test_identity_returns_the_image(padding, align_corners):
    images = random(2, 6, 9, 2)
    grid = affine_grid(np.repeat(IDENTITY, 2, 0), 6, 9, align_corners)
    found = bilinear_sample(images, grid, padding, align_corners)
    np.testing.assert_allclose(to_numpy(found), images, atol=1e-5)


@pytest.mark.parametrize("align_corners", [False, True])
def test_rotation_by_90_degrees_equals_rot90(align_corners):
    images = random(1, 5, 5, 1)
    theta = np.array([[[0, 1, 0], [-1, 0, 0]]], "float32")
    grid = affine_grid(theta, 5, 5, align_corners)
    found = bilinear_sample(images, grid, "zeros", align_corners)
    expected = np.rot90(images, -1, axes=(1, 2))
    np.testing.assert_allclose(to_numpy(found), expected, atol=1e-5)


def test_translation_by_one_pixel():
    images = random(1, 4, 6, 1)
    theta = np.array([[[1, 0, 2 / 6], [0, 1, 0]]], "float32")
    grid = affine_grid(theta, 4, 6)
    found = to_numpy(bilinear_sample(images, grid))
    np.testing.assert_allclose(found[:, :, :-1], images[:, :, 1:], atol=1e-5)
    np.testing.assert_allclose(found[:, :, -1], 0, atol=1e-5)
    found = to_numpy(bilinear_sample(images, grid, "border"))
    np.testing.assert_allclose(found[:, :, -1], images[:, :, -1], atol=1e-5)


@pytest.mark.parametrize("padding, align_corners", MODES)
@pytest.mark.parametrize("far", [5.0, 1e9, 3e38, np.inf, -np.inf])
@pytest.mark.parametrize("rows", [1, 4])
def test_points_far_outside(rows, far, padding, align_corners):
    images = np.full((1, 3, 4, 1), 2.0, "float32")
    grid = np.array([[[[far, 0], [0, far], [far, far]]]], "float32")
    grid = np.repeat(grid, rows, axis=1)

    def sample(*arrays):
        return bilinear_sample(*arrays, padding, align_corners)

    expected = 2.0 if padding == "border" else 0.0
    found = to_numpy(sample(images, grid))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    for gradient in gradients(sample, images, grid):
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("rows", [1, 8])
def test_nan_in_the_grid_is_not_hidden(rows):
    grid = np.array([[[[np.nan, 0], [0, 0]]]], "float32")
    grid = np.repeat(grid, rows, axis=1)
    found = to_numpy(jit(bilinear_sample)(np.ones((1, 4, 4, 1), "f"), grid))
    assert np.isnan(found[0, 0, 0, 0])
    assert found[0, 0, 1, 0] == 1


sampler = jit(bilinear_sample)


@given(seed=st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_sample_is_linear_and_bounded(seed):
    one, two = random(1, 4, 5, 1, seed=seed), random(1, 4, 5, 1, seed=seed + 1)
    grid = points(1, 3, 3, seed=seed)
    first, second = (to_numpy(sampler(i, grid)) for i in (one, two))
    both = to_numpy(sampler(2 * one - two, grid))
    np.testing.assert_allclose(both, 2 * first - second, atol=1e-5)
    assert np.abs(first).max() <= np.abs(one).max() + 1e-6


@given(seed=st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_far_pixels_do_not_matter(seed):
    images, grid = random(1, 4, 5, 1, seed=seed), points(1, 3, 3, reach=0.3)
    changed = images.copy()
    changed[:, 0, 0] = changed[:, -1, -1] = 1e6
    np.testing.assert_array_equal(
        to_numpy(sampler(changed, grid)), to_numpy(sampler(images, grid))
    )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_images_are_addressed_in_float32(dtype):
    images = np.zeros((1, 1, 4096, 1), "float32")
    images[0, 0, 3893] = 1
    grid = np.array([[[[2 * 3893.5 / 4096 - 1, 0]]]], "float32")
    found = bilinear_sample(keras.ops.cast(images, dtype), grid)
    assert dtype_of(found) == dtype
    np.testing.assert_allclose(
        to_numpy(keras.ops.cast(found, "float32")), 1, atol=1e-2
    )


def test_float64_grid_beside_float32_images():
    found = bilinear_sample(random(1, 3, 3, 1), points(1, 2, 2).astype("f8"))
    assert dtype_of(found) == "float32"


@pytest.mark.parametrize("size", [3, 6])
def test_empty_batch(size):
    found = bilinear_sample(
        np.zeros((0, 4, 5, 2), "float32"),
        np.zeros((0, size, size, 2), "float32"),
    )
    assert to_numpy(found).shape == (0, size, size, 2)


@pytest.mark.parametrize("padding, align_corners", MODES)
def test_a_small_grid_reads_the_same_as_a_large_one(padding, align_corners):
    """The two ways to read pixels are chosen by size alone."""
    images, grid = random(2, 5, 6, 3), points(2, 5, 6)
    found = bilinear_sample(images, grid, padding, align_corners)
    rows = [
        to_numpy(bilinear_sample(images, row, padding, align_corners))
        for row in np.split(grid, 5, axis=1)
    ]
    np.testing.assert_allclose(
        to_numpy(found), np.concatenate(rows, 1), atol=1e-6
    )


@pytest.mark.tensorflow
def test_images_of_unknown_size():
    import tensorflow as tf

    spec = [
        tf.TensorSpec((None, None, None, None), "float32"),
        tf.TensorSpec((None, None, None, 2), "float32"),
    ]
    compiled = tf.function(bilinear_sample, input_signature=spec)
    for height, width in ((5, 8), (11, 4)):
        images, grid = random(2, height, width, 3), points(2, 3, 4)
        np.testing.assert_allclose(
            to_numpy(compiled(images, grid)),
            sample_reference(images, grid),
            atol=1e-5,
        )


def test_sample_reports_bad_input():
    images, grid = random(2, 4, 5, 1), points(2, 3, 3)
    with pytest.raises(ValueError, match="images.*rank 4.*Received"):
        bilinear_sample(images[0], grid)
    with pytest.raises(ValueError, match="grid.*rank 4.*Received"):
        bilinear_sample(images, grid[0])
    with pytest.raises(ValueError, match="last axis.*grid: 3"):
        bilinear_sample(images, random(2, 3, 3, 3))
    with pytest.raises(ValueError, match="batch sizes.*grid: 1"):
        bilinear_sample(images, grid[:1])
    with pytest.raises(ValueError, match="images.*floating.*uint8"):
        bilinear_sample(images.astype("uint8"), grid)
    with pytest.raises(ValueError, match="grid.*floating.*int"):
        bilinear_sample(images, grid.astype("int32"))
    for side in (images[:, :0], images[:, :, :0]):
        with pytest.raises(ValueError, match="images.*one pixel.*Received"):
            bilinear_sample(side, grid)
    for flag in ("yes", 1, None, float("nan")):
        with pytest.raises(ValueError, match="align_corners.*True or False"):
            bilinear_sample(images, grid, align_corners=flag)
    for padding in ("reflect", None, 0):
        with pytest.raises(ValueError, match="padding.*zeros.*border.*Rec"):
            bilinear_sample(images, grid, padding)
