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

from attnlib.ops import (
    affine_grid,
    attention_matrix,
    bilinear_sample,
    invert_affine,
    projective_grid,
    tps_grid,
)

IDENTITY = np.array([[[1, 0, 0], [0, 1, 0]]], "float32")
ORACLE = Path(__file__).parents[1] / "oracles" / "torch_affine_grid.npz"
SIZES = [(3, 5), (1, 4), (4, 1), (1, 1)]


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def affine(batch, seed=0):
    return IDENTITY + 0.4 * random(batch, 2, 3, seed=seed)


def projective(batch, seed=0):
    return np.eye(3, dtype="float32") + 0.2 * random(batch, 3, 3, seed=seed)


def targets(height, width, align_corners=False):
    """(x, y, 1) of every output pixel, float64."""

    def axis(size):
        pixel = np.arange(size)
        if not align_corners:
            return (2 * pixel + 1) / size - 1
        return 2 * pixel / (size - 1) - 1 if size > 1 else np.zeros(1)

    x, y = np.meshgrid(axis(width), axis(height))
    return np.stack([x, y, np.ones_like(x)], -1)


def affine_reference(theta, height, width, align_corners=False):
    """theta . (x, y, 1), float64."""
    target = targets(height, width, align_corners)
    return np.einsum("hwc,bac->bhwa", target, np.array(theta, "float64"))


def projective_reference(theta, height, width, align_corners=False):
    """(x, y) / z where (x, y, z) = theta . (x_t, y_t, 1), float64."""
    found = affine_reference(theta, height, width, align_corners)
    return found[..., :2] / found[..., 2:]


def spline_reference(offsets, height, width, align_corners=False):
    """The spline through c_i + offset_i, point by point, float64."""
    offsets = np.array(offsets, "float64")
    k = int(np.sqrt(offsets.shape[1]))
    places = np.linspace(-1, 1, k)
    c = np.array([(x, y) for y in places for x in places])
    n = len(c)

    def kernel(r):
        return 2 * r**2 * np.log(r) if r > 0 else 0.0

    system = np.zeros((n + 3, n + 3))
    for i in range(n):
        for j in range(n):
            system[i, j] = kernel(np.linalg.norm(c[i] - c[j]))
        system[i, n:] = system[n:, i] = 1, *c[i]
    target = targets(height, width, align_corners)
    found = np.zeros((len(offsets), height, width, 2))
    for b, offset in enumerate(offsets):
        values = np.concatenate([c + offset, np.zeros((3, 2))])
        weights = np.linalg.solve(system, values)
        for row, column in np.ndindex(height, width):
            p = target[row, column, :2]
            terms = [kernel(np.linalg.norm(p - point)) for point in c]
            found[b, row, column] = [*terms, 1, *p] @ weights
    return found


# affine_grid


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_grid_equals_reference(size, align_corners):
    theta = affine(3)
    found = to_numpy(affine_grid(theta, *size, align_corners))
    assert found.shape == (3, *size, 2)
    expected = affine_reference(theta, *size, align_corners)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [(5, 5), (3, 8), (1, 4), (1, 1)])
def test_grid_and_gradient_equal_torch(size, align_corners):
    mode = "aligned" if align_corners else "edges"
    names = ("theta", "cotangent", "grid", "to_theta")
    with np.load(ORACLE) as file:
        theta, cotangent, grid, to_theta = (
            file[f"{size[0]}x{size[1]}_{mode}_{name}"] for name in names
        )
    found = to_numpy(affine_grid(theta, *size, align_corners))
    np.testing.assert_allclose(found, grid, atol=1e-6)
    (gradient,) = gradients(
        lambda t: affine_grid(t, *size, align_corners),
        theta,
        cotangent=cotangent,
    )
    np.testing.assert_allclose(gradient, to_theta, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("align_corners", [False, True])
def test_grid_gradients(align_corners):
    check_gradients(
        lambda t: affine_grid(t, 3, 4, align_corners),
        lambda t: affine_reference(t, 3, 4, align_corners),
        [affine(2)],
    )


def test_grid_is_exact_on_large_images():
    grid = to_numpy(affine_grid(IDENTITY, 1, 8192))[0, 0, :, 0]
    pixels = ((grid.astype("float64") + 1) * 8192 - 1) / 2
    np.testing.assert_allclose(pixels, np.arange(8192), atol=1e-3)


def test_grid_in_half_precision():
    found = affine_grid(affine(1).astype("float16"), 2, 3)
    assert dtype_of(found) == "float16"
    expected = affine_reference(affine(1).astype("float16"), 2, 3)
    np.testing.assert_allclose(to_numpy(found), expected, atol=2e-3)


# projective_grid


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_projective_equals_reference(size, align_corners):
    theta = projective(3)
    found = to_numpy(
        run(lambda t: projective_grid(t, *size, align_corners), theta)
    )
    assert found.shape == (3, *size, 2)
    expected = projective_reference(theta, *size, align_corners)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("align_corners", [False, True])
def test_projective_gradients(align_corners):
    check_gradients(
        lambda t: projective_grid(t, 3, 4, align_corners),
        lambda t: projective_reference(t, 3, 4, align_corners),
        [np.eye(3, dtype="float32") + 0.1 * random(2, 3, 3)],
    )


def test_projective_of_an_affine_map_is_the_affine_grid():
    theta = affine(2)
    last = np.broadcast_to(np.float32([0, 0, 1]), (2, 1, 3))
    found = projective_grid(np.concatenate([theta, last], 1), 4, 5)
    np.testing.assert_array_equal(
        to_numpy(found), to_numpy(affine_grid(theta, 4, 5))
    )


@given(st.floats(-50, 50, width=32).filter(lambda s: abs(s) > 0.01))
@settings(max_examples=20, deadline=None)
def test_scale_of_a_projective_map_does_not_matter(scale):
    theta = np.eye(3, dtype="float32") + 0.1 * random(2, 3, 3)
    np.testing.assert_allclose(
        to_numpy(projective_grid(np.float32(scale) * theta, 3, 4)),
        to_numpy(projective_grid(theta, 3, 4)),
        rtol=1e-4,
        atol=1e-5,
    )


HORIZONS = [
    [[1, 0, 0], [0, 1, 0], [0, 0, 0]],  # Everything at infinity.
    [[1, 0, 0], [0, 1, 0], [1, 0, 0]],  # The middle column at infinity.
    [[1, 0, 0], [0, 1, 0], [0, -2, 1]],  # A row at infinity.
    [[0, 0, 0], [0, 0, 0], [0, 0, 0]],
    [[1, 0, 0], [0, 1, 0], [0, 0, 1e-30]],
    [[1, 0, 0], [0, 1, 0], [0, 0, -1e-38]],
    [[1e30, 0, 0], [0, 1e30, 0], [0, 0, 1e-30]],
    [[1e-20, 0, 0], [0, 1e-20, 0], [1e-20, 0, 1e-20]],
]


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_points_at_infinity_fall_outside(dtype):
    with np.errstate(over="ignore"):
        theta = np.clip(np.array(HORIZONS, "float32"), -6e4, 6e4).astype(dtype)
    found = to_numpy(projective_grid(theta, 3, 5))
    assert np.isfinite(found).all()
    for everything in (0, 3, 4, 5):
        assert (np.abs(found[everything]) > 100).all()
    assert (np.abs(found[1, :, 2]) > 100).all()
    images = np.ones((len(theta), 4, 4, 1), dtype)
    for padding in ("zeros", "border"):
        sampled = to_numpy(bilinear_sample(images, found, padding))
        assert np.isfinite(sampled).all()
        if padding == "zeros":
            assert not sampled[0].any()
            assert not sampled[1, :, 2].any()


@pytest.mark.parametrize("align_corners", [False, True])
def test_points_at_infinity_have_finite_gradients(align_corners):
    theta = np.array(HORIZONS, "float32")
    images = random(len(theta), 4, 6, 2)

    def sample(images, theta):
        grid = projective_grid(theta, 3, 5, align_corners)
        return bilinear_sample(images, grid, "zeros", align_corners)

    (to_theta,) = gradients(
        lambda t: projective_grid(t, 3, 5, align_corners),
        theta,
        cotangent=random(len(theta), 3, 5, 2, seed=3),
    )
    assert np.isfinite(to_theta[:6]).all()
    for found in gradients(sample, images, theta):
        assert np.isfinite(found).all()


# tps_grid


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [*SIZES, (5, 5)])
@pytest.mark.parametrize("side", [2, 4])
def test_spline_equals_reference(side, size, align_corners):
    offsets = 0.3 * random(2, side**2, 2)
    found = to_numpy(run(lambda o: tps_grid(o, *size, align_corners), offsets))
    assert found.shape == (2, *size, 2)
    expected = spline_reference(offsets, *size, align_corners)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_spline_gradients():
    check_gradients(
        lambda o: tps_grid(o, 3, 4),
        lambda o: spline_reference(o, 3, 4),
        [0.3 * random(2, 9, 2)],
    )


@pytest.mark.parametrize("side", [2, 3, 4, 6])
def test_spline_moves_each_control_point_by_its_offset(side):
    """With aligned corners and k x k pixels, pixels are control points."""
    offsets = 0.5 * random(2, side**2, 2)
    found = to_numpy(tps_grid(offsets, side, side, align_corners=True))
    identity = targets(side, side, True)[..., :2]
    moved = identity + offsets.reshape(2, side, side, 2)
    np.testing.assert_allclose(found, moved, atol=1e-5)


@pytest.mark.parametrize("align_corners", [False, True])
def test_spline_without_offsets_is_exactly_the_identity(align_corners):
    found = to_numpy(tps_grid(np.zeros((2, 16, 2), "f"), 6, 9, align_corners))
    expected = targets(6, 9, align_corners)[..., :2].astype("float32")
    np.testing.assert_array_equal(found, np.stack([expected] * 2))


spline = jit(lambda offsets: tps_grid(offsets, 5, 7))


@given(*[st.floats(-3, 3, width=32)] * 2)
@settings(max_examples=20, deadline=None)
def test_constant_offset_is_a_translation(x, y):
    offset = np.float32([x, y])
    found = to_numpy(spline(np.broadcast_to(offset, (1, 16, 2)).copy()))
    expected = targets(5, 7)[None, ..., :2] + offset
    np.testing.assert_allclose(found, expected, atol=1e-5)


@given(seed=st.integers(0, 2**31))
@settings(max_examples=10, deadline=None)
def test_affine_offsets_give_an_affine_grid(seed):
    theta = affine(1, seed=seed)
    points = targets(4, 4, True).reshape(1, 16, 3)
    offsets = points @ theta[0].T - points[..., :2]
    np.testing.assert_allclose(
        to_numpy(spline(offsets.astype("float32"))),
        affine_reference(theta, 5, 7),
        atol=1e-5,
    )


def test_spline_in_half_precision_computes_in_float32():
    offsets = (0.3 * random(1, 16, 2)).astype("float16")
    found = tps_grid(offsets, 4, 5)
    assert dtype_of(found) == "float16"
    expected = spline_reference(offsets, 4, 5)
    np.testing.assert_allclose(to_numpy(found), expected, atol=2e-3)


def test_spline_reports_bad_input():
    bad = [random(16, 2), random(1, 15, 2), random(1, 16, 3)]
    bad += [random(1, 1, 2), random(1, 0, 2), random(1, 4, 4, 2)]
    for offsets in bad:
        with pytest.raises(ValueError, match="offsets.*square.*Received"):
            tps_grid(offsets, 3, 3)
    with pytest.raises(ValueError, match="offsets.*floating.*int"):
        tps_grid(np.ones((1, 16, 2), "int32"), 3, 3)


# attention_matrix and invert_affine


def test_attention_matrix_scales_and_moves():
    params = random(3, 3)
    found = to_numpy(attention_matrix(params))
    for theta, (s, x, y) in zip(found, params, strict=True):
        np.testing.assert_array_equal(theta, [[s, 0, x], [0, s, y]])
    assert tuple(attention_matrix(random(0, 3)).shape) == (0, 2, 3)
    half = attention_matrix(params.astype("float16"))
    assert dtype_of(half) == "float16"
    (gradient,) = gradients(attention_matrix, params)
    np.testing.assert_array_equal(gradient, [[2, 1, 1]] * 3)


def test_attention_matrix_reports_bad_input():
    for bad in (random(3), random(2, 4), random(2, 3, 1)):
        with pytest.raises(ValueError, match=r"params.*\(batch, 3\).*Rec"):
            attention_matrix(bad)
    with pytest.raises(ValueError, match="params.*floating.*int"):
        attention_matrix(np.ones((1, 3), "int32"))


@given(seed=st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_inverse_undoes_the_map(seed):
    theta = affine(3, seed=seed)
    theta[:, 0, 0] += 1.5 * np.sign(theta[:, 0, 0])
    theta[:, 1, 1] += 1.5 * np.sign(theta[:, 1, 1])
    inverse = to_numpy(invert_affine(theta)).astype("float64")
    full = np.zeros((2, 3, 3, 3))
    full[0, :, :2], full[1, :, :2] = theta, inverse
    full[:, :, 2, 2] = 1
    wide = np.abs(np.linalg.det(full[0])) > 0.1
    expected = np.broadcast_to(np.eye(3), (3, 3, 3))
    np.testing.assert_allclose(
        (full[0] @ full[1])[wide], expected[wide], atol=1e-4
    )


def test_inverse_gradients():
    def reference(theta):
        linear = np.linalg.inv(theta[:, :, :2])
        return np.concatenate([linear, -linear @ theta[:, :, 2:]], -1)

    check_gradients(
        invert_affine, reference, [IDENTITY + 0.1 * random(3, 2, 3)]
    )


def test_inverse_of_an_empty_window_shows_nothing():
    theta = np.zeros((4, 2, 3), "float32")
    theta[1, :, 2] = 0.5
    theta[2, 0, 0] = 1
    theta[3, 0, 0] = theta[3, 1, 1] = 1e-30
    inverse = to_numpy(invert_affine(theta))
    grid = to_numpy(affine_grid(inverse, 4, 4))
    assert (grid > 100).all()
    (found,) = gradients(invert_affine, theta, cotangent=random(4, 2, 3))
    assert not found.any()
    half = to_numpy(invert_affine(theta.astype("float16")))
    assert np.isfinite(half).all()


# All grids

GRIDS = {
    "theta of affine_grid": (affine_grid, (2, 3)),
    "theta of projective_grid": (projective_grid, (3, 3)),
    "offsets of tps_grid": (tps_grid, (9, 2)),
}


@pytest.mark.parametrize("function, shape", GRIDS.values(), ids=GRIDS)
def test_small_and_unknown_batches(function, shape):
    for batch in (0, 1):
        found = function(random(batch, *shape), 4, 5)
        assert tuple(found.shape) == (batch, 4, 5, 2)
        assert dtype_of(found) == "float32"
    symbolic = keras.KerasTensor((None, *shape))
    found = keras.ops.shape(function(random(3, *shape), 4, 5))
    assert tuple(found) == (3, 4, 5, 2)
    traced = keras.layers.Lambda(
        lambda t: function(t, 4, 5), output_shape=(4, 5, 2)
    )(symbolic)
    assert tuple(traced.shape) == (None, 4, 5, 2)


@pytest.mark.parametrize("function, shape", GRIDS.values(), ids=GRIDS)
def test_grids_report_bad_sizes(function, shape):
    for size in (0, -2, 2.5, None, "3", True, float("nan")):
        with pytest.raises(ValueError, match="height.*at least 1.*Received"):
            function(random(1, *shape), size, 3)
        with pytest.raises(ValueError, match="width.*at least 1.*Received"):
            function(random(1, *shape), 3, size)
    for flag in ("yes", 1, None, float("nan")):
        with pytest.raises(ValueError, match="align_corners.*True or False"):
            function(random(1, *shape), 3, 3, flag)
    assert function(random(1, *shape), 3, 3, np.True_).shape == (1, 3, 3, 2)


@pytest.mark.parametrize(
    "function, rows",
    [(affine_grid, 2), (projective_grid, 3), (invert_affine, 2)],
)
def test_matrices_report_bad_input(function, rows):
    sizes = () if function is invert_affine else (3, 3)
    for bad in (random(rows, 3), random(1, 5 - rows, 3), random(1, 3 * rows)):
        match = rf"theta.*\(batch, {rows}, 3\).*Rec"
        with pytest.raises(ValueError, match=match):
            function(bad, *sizes)
    with pytest.raises(ValueError, match="theta.*floating.*int"):
        function(np.ones((1, rows, 3), "int32"), *sizes)
