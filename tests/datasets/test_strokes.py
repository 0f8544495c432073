"""Strokes as places, as offsets, and with points at equal distances."""

import numpy as np
import pytest

from attnlib.datasets import strokes


def line(count=20, seed=0):
    random = np.random.default_rng(seed)
    places = random.integers(-50, 50, (count, 2))
    ends = random.integers(0, 2, (count, 1))
    return np.concatenate([places, ends], axis=1)


def test_offsets_add_up_to_the_places_again():
    points = line()
    offsets = strokes.to_offsets(points)
    assert offsets.dtype == np.float32 and offsets[0, :2].tolist() == [0, 0]
    again = strokes.to_points(offsets)
    np.testing.assert_allclose(again[:, :2], points[:, :2] - points[0, :2])
    np.testing.assert_array_equal(again[:, 2], points[:, 2])


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros((0, 3)), r"shape \(T, 3\), T at least 1.*\(0, 3\)"),
        (np.zeros((4, 2)), r"Received: shape \(4, 2\)"),
        ([[0, 0, 0], [1, np.nan, 1]], "finite numbers.*at point 1"),
        ([[0, 0, 0], [np.inf, 1, 1]], "finite numbers.*at point 1"),
        ([[0, 0, 0.5]], "lifted, else 0. Received: 0.5 at point 0"),
    ],
)
@pytest.mark.parametrize("convert", [strokes.to_offsets, strokes.to_points])
def test_no_strokes_are_told(bad, message, convert):
    with pytest.raises(ValueError, match=message):
        convert(bad)


def test_resampled_points_are_equally_far_apart_and_keep_the_ends():
    stroke = np.array([[0, 0], [10, 0], [10, 7], [3, 7]])
    found = strokes.resample(stroke, 2.0)
    assert len(found) == 13  # 24 units of way
    np.testing.assert_allclose(found[[0, -1]], stroke[[0, -1]])
    # On the way of the polyline: x or y is that of a side.
    on = np.isclose(found[:, 1], 0) | np.isclose(found[:, 0], 10)
    assert (on | np.isclose(found[:, 1], 7)).all()
    # No corner lies between two points where sides are multiples of 2.
    straight = np.linalg.norm(np.diff(found, axis=0), axis=1)
    assert straight.max() <= 2 + 1e-9 and np.median(straight) > 1.99


def test_a_dot_is_two_equal_points():
    np.testing.assert_array_equal(
        strokes.resample([[3, 4], [3, 4]], 2.0), [[3, 4], [3, 4]]
    )
