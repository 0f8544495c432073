"""Figures of windows: what lies where, bad input one message."""

import numpy as np
import pytest

from attnlib import figures

IMAGES = np.zeros((2, 10, 10, 1))
PLACES = np.array([[[-0.5, 0.0], [0.5, 0.0]], [[-0.5, 0.2], [0.5, 0.4]]])


def test_windows_lie_where_they_are():
    fig = figures.windows_on_images(
        IMAGES, PLACES, 0.4, PLACES[:, :1], ["a", "b"], "t"
    )
    boxes = fig.axes[1].patches
    x, y = boxes[-1].get_xy()
    # The middle of window 2 is at ((1 + .5) 10 - 1) / 2 = 7 and 6.5.
    assert (x, y) == pytest.approx((7 - 2, 6.5 - 2))
    assert boxes[-1].get_width() == boxes[-1].get_height() == 4
    alt = figures.get_alt(fig)
    assert "window 1 at (-0.50, 0.10)" in alt and "40%" in alt


def test_places_around_parts_say_what_is_inside():
    offsets = np.zeros((4, 2, 2, 2))
    offsets[:, 1, 0] = 1.0
    offsets[:1, 0, 1] = [0.0, -0.5]
    fig = figures.places_around_parts(offsets, 0.4, ["head", "tail"], "t")
    alt = figures.get_alt(fig)
    assert "window 1 holds the head in 100%" in alt
    assert "window 1 holds the tail in 75%" in alt
    assert "window 2 holds the head in 0%" in alt


def test_confusion_in_percent_of_the_true_class():
    counts = {"head": np.array([[3, 1], [0, 0]])}
    fig = figures.confusion_matrices(counts, {"head": ["1", "2"]}, "t")
    texts = [text.get_text() for text in fig.axes[0].texts]
    assert texts == ["75", "25", "0", "0"]
    assert "head: 75 % right" in figures.get_alt(fig)


def test_window_view_names_the_winner():
    fig = figures.window_view(
        IMAGES[0],
        PLACES[0],
        0.4,
        np.zeros((2, 4, 4, 1)),
        [0.2, 0.8],
        ["a", "b"],
        "t",
    )
    assert "most probable class is b with 80%" in figures.get_alt(fig)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (
            lambda: figures.windows_on_images([], PLACES, 0.4),
            "`images` is empty",
        ),
        (
            lambda: figures.windows_on_images(IMAGES, PLACES[:1], 0.4),
            r"\(2, N, 2\). Received: shape \(1, 2, 2\)",
        ),
        (
            lambda: figures.windows_on_images(IMAGES, PLACES, 0),
            "`scale` above 0",
        ),
        (
            lambda: figures.places_around_parts(
                np.zeros((1, 2, 1, 2)), 0.4, ["head", "tail"], "t"
            ),
            "for 2 parts",
        ),
        (
            lambda: figures.confusion_matrices({}, {}, "t"),
            "`matrices` is empty",
        ),
        (
            lambda: figures.confusion_matrices(
                {"head": np.eye(3)}, {"head": "ab"}, "t"
            ),
            "2 rows and columns",
        ),
        (
            lambda: figures.window_view(
                IMAGES[0], PLACES[0], 0.4, [], [1.0], ["a"], "t"
            ),
            "0 crops of 2 windows",
        ),
    ],
)
def test_bad_input(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()
