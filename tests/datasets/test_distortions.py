"""Distorted digits: where they go, how far, and what stays."""

import numpy as np
import pytest

from attnlib import datasets
from attnlib.datasets import distortions, warps


def generator(seed=3):
    return np.random.default_rng(seed)


def bars(count=200, side=28, dtype="float32"):
    """A vertical bar and a dot above its right end: turns can be told."""
    images = np.zeros((count, side, side, 1), dtype)
    images[:, 8:20, 13:15] = 200
    images[:, 8:10, 17:19] = 200
    return images


def moments(images):
    """Return centres (N, 2), mean square radii (N,) and masses (N,)."""
    images = images[..., 0].astype("float64")
    grid = warps.pixel_grid(*images.shape[1:])
    mass = images.reshape(len(images), -1)
    total = mass.sum(axis=1)
    centre = mass @ grid / total[:, None]
    apart = grid - centre[:, None]
    radius = (mass * (apart**2).sum(axis=-1)).sum(axis=1) / total
    return centre, radius, total


DISTORTIONS = {
    "R": distortions.rotated,
    "RTS": distortions.scattered,
    "P": distortions.projected,
    "E": distortions.elastic,
}
STILL = {
    "R": {"degrees": 0},
    "RTS": {"side": 28, "degrees": 0, "scales": (1, 1)},
    "P": {"noise": 0, "scales": (1, 1)},
    "E": {"noise": 0},
}


@pytest.mark.parametrize("name", DISTORTIONS)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_no_distortion_changes_nothing(name, dtype):
    images = bars(5, dtype=dtype)
    found = DISTORTIONS[name](images, generator(), **STILL[name])
    assert found.dtype == dtype
    np.testing.assert_allclose(found, images, atol=2e-3)


@pytest.mark.parametrize("name", DISTORTIONS)
def test_a_generator_decides_everything(name):
    images = bars(6)
    first, again, other = (
        DISTORTIONS[name](images, generator(seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1
    # No two of the images are distorted alike.
    flat = first.reshape(len(first), -1)
    assert len(np.unique(flat, axis=0)) == len(flat)


@pytest.mark.parametrize("name", DISTORTIONS)
def test_values_stay_between_background_and_ink(name):
    found = DISTORTIONS[name](bars(dtype="uint8"), generator())
    assert found.min() == 0 and found.max() <= 200
    # Corners that fall together can squeeze an image to nothing, seldom.
    ink = found.reshape(len(found), -1).max(axis=1) > 100
    assert ink.mean() > 0.98 if name == "P" else ink.all()


def test_a_quarter_turn_is_clockwise_and_exact():
    images = bars(4)
    turn = np.full(4, np.pi / 2)
    found = distortions._turned(images, (28, 28), turn, 1.0, np.zeros((4, 2)))
    expected = np.rot90(images, -1, axes=(1, 2))
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_angles_are_uniform_in_their_range():
    images = bars(1500)
    images[:, 8:10, 17:19] = 0
    found = distortions.rotated(images, generator(), 60)
    grid = warps.pixel_grid(28, 28) - 13.5
    mass = found[..., 0].reshape(len(found), -1)
    x, y = grid.T
    # The direction of the long axis, from the second moments.
    turn = 0.5 * np.arctan2(-2 * (mass @ (x * y)), mass @ (y * y - x * x))
    degrees = np.rad2deg(turn)
    assert np.abs(degrees).max() < 61
    assert degrees.std() == pytest.approx(60 / 3**0.5, rel=0.05)
    assert abs(degrees.mean()) < 3


def test_scattered_digits_have_their_scales_and_places():
    images = bars(1500)
    found = distortions.scattered(images, generator(), 42)
    places, radius, mass = moments(found)
    _, plain, ink = moments(images)
    scale = np.sqrt(radius / plain)
    assert 0.68 < scale.min() < 0.75 and 1.15 < scale.max() < 1.22
    assert scale.mean() == pytest.approx(0.95, abs=0.02)
    # Nothing is cut off: the mass grows with the area.
    np.testing.assert_allclose(mass / ink, scale**2, rtol=0.15)
    room = (42 - 0.95 * 28) / 2
    assert places.std(axis=0) == pytest.approx(room / 3**0.5, rel=0.15)
    np.testing.assert_allclose(places.mean(axis=0), 20.5, atol=1)


def test_a_scattered_digit_moves_by_its_shift():
    images = bars(1)
    found = distortions._turned(
        images, (40, 40), np.zeros(1), 1.0, np.array([[3.0, -2.0]])
    )
    expected = np.zeros((1, 40, 40, 1), "float32")
    expected[:, 4:32, 9:37] = images
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_a_homography_maps_corner_to_corner():
    source = generator().normal(size=(7, 4, 2))
    target = generator(4).normal(size=(7, 4, 2))
    theta = distortions._homography(source, target)
    ones = np.ones((7, 4, 1))
    mapped = np.concatenate([source, ones], -1) @ theta.transpose(0, 2, 1)
    np.testing.assert_allclose(mapped[..., :2] / mapped[..., 2:], target, 1e-5)


def test_corners_are_as_noisy_as_asked(monkeypatch):
    seen = []
    solve = distortions._homography
    monkeypatch.setattr(
        distortions,
        "_homography",
        lambda *arguments: seen.append(arguments) or solve(*arguments),
    )
    distortions.projected(bars(3000), generator(), 2.0, (0.75, 1.0))
    corners, square = seen[0]
    assert distortions._convex(corners).all()
    scale = corners[:, 2] - corners[:, 0]
    np.testing.assert_allclose(scale.mean(axis=0), 28 * 0.875, rtol=0.02)
    apart = corners - corners.mean(axis=1, keepdims=True)
    rest = apart - square * 0.875
    # Noise of 2 pixels, less the mean of four, and the scales' own spread.
    expected = 4 * 0.75 + (0.25 / 12**0.5 * 14) ** 2
    assert (rest**2).mean() == pytest.approx(expected, rel=0.06)


def test_folded_corners_are_drawn_anew():
    found = distortions.projected(bars(500), generator(), 10.0)
    assert np.isfinite(found).all() and found.any()
    wrong = np.array([[[0, 0], [1, 1], [1, 0], [0, 1]]], float)
    assert not distortions._convex(wrong).any()


def test_elastic_noise_is_in_pixels():
    """A ramp in x shows how far each pixel is read from its place."""
    ramp = np.broadcast_to(
        np.arange(28.0)[None, None, :, None], (800, 28, 28, 1)
    )
    found = distortions.elastic(ramp.astype("float32"), generator(), 1.5)
    moved = (found - ramp)[:, 10:18, 10:18]
    assert abs(moved.mean()) < 0.1
    assert 0.7 < moved.std() < 1.5
    # Bent, not shaken: neighbours move alike.
    apart = np.diff(moved, axis=2)
    assert apart.std() < 0.4 * moved.std()


def test_addition_sums_two_different_digits():
    data = datasets.load("digits28", "test")
    images, labels = data["images"], data["label"]
    found, sums = distortions.addition(images, labels, generator())
    assert found.shape == (400, 42, 42, 2) and found.dtype == np.uint8
    assert sums.dtype == labels.dtype
    assert sums.min() >= 0 and sums.max() <= 18
    other = sums - labels
    assert set(other) == set(range(10))
    # Ten classes of either digit: the sum's variance is twice the digit's.
    assert sums.var() == pytest.approx(2 * labels.var(), rel=0.15)
    assert np.abs(np.corrcoef(labels, other)[0, 1]) < 0.15
    assert np.any(found[..., 0] != found[..., 1])


def test_images_of_one_class():
    images = np.arange(6)
    found = distortions.of_class(images, np.array([0, 1, 2, 1, 0, 1]), 1)
    assert found.tolist() == [1, 3, 5]
    with pytest.raises(ValueError, match="class 7, received.*0, 1, 2 only"):
        distortions.of_class(images, np.array([0, 1, 2, 1, 0, 1]), 7)
    with pytest.raises(ValueError, match=r"class 7.*\(none\)"):
        distortions.of_class(images[:0], np.array([]), 7)


def test_points_between_pixels_are_read_bilinearly():
    images = generator().random((3, 4, 5, 2))
    points = generator(1).uniform(-2, 6, (3, 50, 2))
    found = warps.sample(images, points)
    expected = np.zeros((3, 50, 2))
    for n, p in np.ndindex(3, 50):
        x, y = points[n, p]
        k_x = np.maximum(0, 1 - np.abs(x - np.arange(5)))
        k_y = np.maximum(0, 1 - np.abs(y - np.arange(4)))
        expected[n, p] = np.einsum("i,j,ijc->c", k_y, k_x, images[n])
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_far_points_are_outside():
    images = np.ones((1, 3, 3, 1), "float32")
    points = np.array([[[1e30, 0], [-1e30, 1], [1, np.inf], [1, 1]]], "float32")
    np.testing.assert_array_equal(
        warps.sample(images, points).ravel(), [0, 0, 0, 1]
    )


@pytest.mark.parametrize("name", DISTORTIONS)
def test_bad_images_are_named(name):
    for bad in (np.ones((3, 28, 28)), np.array(["a"]), np.ones((3, 0, 4, 1))):
        with pytest.raises(ValueError, match="expected digits.*received"):
            DISTORTIONS[name](bad, generator())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, g: distortions.rotated(x, g, -1), "degrees.*at least 0"),
        (lambda x, g: distortions.rotated(x, g, np.nan), "degrees.*finite"),
        (lambda x, g: distortions.scattered(x, g, 33), "at least 34.*received"),
        (lambda x, g: distortions.scattered(x, g, 4.5), "side.*whole"),
        (
            lambda x, g: distortions.scattered(x, g, scales=(1.2, 0.7)),
            "smaller first",
        ),
        (lambda x, g: distortions.scattered(x, g, scales=1), "two numbers"),
        (lambda x, g: distortions.projected(x, g, 99), "noise.*at most 14"),
        (lambda x, g: distortions.projected(x, g, scales=(0, 1)), "above 0"),
        (lambda x, g: distortions.elastic(x, g, "a lot"), "noise.*finite"),
        (lambda x, g: distortions.elastic(x, g, 1, 1), "control_points.*2"),
        (
            lambda x, g: distortions.addition(x.repeat(3, 3), np.ones(3), g),
            "one channel.*3 channels",
        ),
        (
            lambda x, g: distortions.scattered(x, g, scales=("a", "b")),
            "two numbers.*received",
        ),
        (lambda x, g: distortions.rotated(x, g, True), "degrees.*received"),
        (lambda x, g: distortions.addition(x, np.ones(2), g), "label of each"),
        (
            lambda x, g: distortions.addition(x, ["a"] * 3, g),
            "number as the label",
        ),
        (lambda x, g: distortions.of_class(x, np.ones(2), 1), "one label"),
    ],
)
def test_bad_options_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(bars(3), generator())


@pytest.mark.parametrize("name", DISTORTIONS)
@pytest.mark.parametrize("seed", [0, None, np.random.RandomState(0)])
def test_a_seed_is_no_generator(name, seed):
    with pytest.raises(ValueError, match="generator.*numpy.random.Generator"):
        DISTORTIONS[name](bars(3), seed)


@pytest.mark.parametrize("name", DISTORTIONS)
def test_no_images_give_no_images(name):
    found = DISTORTIONS[name](bars(0), generator())
    assert len(found) == 0 and found.ndim == 4
