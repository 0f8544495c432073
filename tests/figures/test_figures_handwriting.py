"""Figures of pen strokes: lifted pens are gaps, bad input one message."""

import xml.etree.ElementTree

import numpy as np
import pytest

from attnlib import figures

PEN = np.array(
    [[0, 0, 0], [4, 0, 0], [4, 5, 1], [8, 5, 0], [8, 2, 1], [12, 0, 1]], float
)


def drawn(ax):
    return [np.array(line.get_xydata()) for line in ax.lines]


def test_a_lifted_pen_is_a_gap():
    fig = figures.pen_strokes([PEN], ["a"], "t")
    strokes = drawn(fig.axes[0])
    assert [len(stroke) for stroke in strokes] == [3, 2, 1]
    np.testing.assert_array_equal(np.concatenate(strokes), PEN[:, :2])
    low, high = fig.axes[0].get_ylim()
    assert low > high  # y points down


def test_what_was_given_is_grey():
    fig = figures.pen_strokes([PEN], ["a"], "t", [3])
    colors = [line.get_color() for line in fig.axes[0].lines]
    assert colors[0] == figures.COLORS["grey"]
    assert set(colors[1:]) == {figures.COLORS["blue"]}


def test_a_step_ends_where_the_pen_is():
    fig = figures.writing_step(PEN, 4, "t")
    lines = drawn(fig.axes[0])
    assert lines[-1].tolist() == [[8, 5]]
    assert sum(map(len, lines[:-1])) == 4
    assert "4 of 6 points" in figures.get_alt(fig)


def test_the_animation_writes_to_the_end():
    page = figures.writing_animation(PEN, "A word", frames=4)
    assert page.count("<img") == 4 and "A word: 6 of 6 points" in page


def test_svg_is_the_line():
    svg = figures.strokes_svg(PEN, 'a <"b">')
    root = xml.etree.ElementTree.fromstring(svg)
    assert root.get("aria-label") == 'a <"b">'
    path = root.find("{http://www.w3.org/2000/svg}path").get("d")
    assert path.count("M") == 3 and path.count("L") == 3
    assert "script" not in svg


def test_window_map_tells_where_the_peaks_are():
    phi = np.array([[2.0, 0.5], [0.1, 0.4], [0.1, 0.4]])
    fig = figures.window_map(phi, "ab", "t")
    assert "'a' at 1 points, 'b' at 2 points" in figures.get_alt(fig)
    (image,) = fig.axes[0].images
    np.testing.assert_array_equal(image.get_array(), phi.T)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: figures.pen_strokes([], [], "t"), "at least one line"),
        (lambda: figures.pen_strokes([PEN], ["a", "b"], "t"), "2 labels"),
        (lambda: figures.pen_strokes([PEN[:, :2]], ["a"], "t"), r"\(T, 3\)"),
        (lambda: figures.pen_strokes([PEN * np.nan], ["a"], "t"), "NaN"),
        (lambda: figures.writing_step(PEN, 7, "t"), "between 1 and 6"),
        (lambda: figures.window_map(np.eye(3), "ab", "t"), "2 characters"),
        (lambda: figures.window_map(-np.eye(2), "ab", "t"), "minimum -1"),
        (
            lambda: figures.density_map([1.0], (0, 1, 1, 0), PEN, "t"),
            "log_density",
        ),
        (
            lambda: figures.density_map(
                np.eye(2), (0, 1, 1, 0), PEN, "t", np.ones(3)
            ),
            r"\(5\). Received: 3",
        ),
    ],
)
def test_bad_input_gets_one_clear_error(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()
