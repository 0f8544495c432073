"""Figures of pen strokes: lifted pens are gaps, bad input one message."""

import re
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


SVG = "{http://www.w3.org/2000/svg}"


def test_a_watched_line_is_written_stroke_by_stroke_and_rests():
    svg = figures.writing_svg(PEN, 'a <"b">')
    root = xml.etree.ElementTree.fromstring(svg)
    assert root.get("aria-label") == 'a <"b">' and root.get("role") == "img"
    paths = list(root.iter(f"{SVG}path"))
    drawn = root.find(f"{SVG}style").text
    assert [path.get("d").count("L") for path in paths] == [2, 1, 0]
    # One after the other, and all are there before it begins anew.
    times = [
        [float(time) for time in re.findall(r"([\d.]+)%", frames)]
        for frames in drawn.split("@keyframes")[1:]
    ]
    assert len(times) == 3
    starts, ends = ([one[k] for one in times] for k in (1, 2))
    assert starts == [0, *ends[:-1]] and 40 < ends[-1] < 90
    assert "prefers-reduced-motion" in drawn and ":hover" in drawn
    assert "script" not in svg
    # Without animation every stroke is in sight.
    assert not any(path.get("stroke-dashoffset") for path in paths)


def test_what_was_given_does_not_move():
    svg = figures.writing_svg(PEN, "a", known=3)
    root = xml.etree.ElementTree.fromstring(svg)
    given, *written = root.iter(f"{SVG}path")
    assert given.get("stroke") == figures.COLORS["grey"]
    assert given.get("style") is None and len(written) == 2
    assert all("animation-name" in path.get("style") for path in written)
    everything = figures.writing_svg(PEN, "a", known=len(PEN))
    assert "@keyframes" not in everything


def test_two_lines_on_a_page_do_not_share_their_times():
    def name(points):
        return re.search("pen-[0-9a-f]+", figures.writing_svg(points, "t"))[0]

    assert name(PEN) == name(PEN) != name(PEN[:-1])


def test_an_explorer_shows_a_watched_line():
    phi = np.array([[2.0, 0.5], [0.1, 0.4], [0.1, 0.4]])
    player = figures.explorer(
        lambda known: figures.watched_writing(PEN, phi, "ab", "t", known),
        known=(0, 3),
    )
    shown = player.image.value
    assert shown.count("<svg") == 1 and shown.count("<img") == 1
    assert "&#x27;ab&#x27;, 3 strokes, 6 points" in shown and 'alt="' in shown
    player.update(known=3)
    assert "2 strokes, 3 points" in player.image.value
    one = figures.watched_writing(PEN, phi, "ab", "t")
    assert repr(one).startswith("[animation] t. Handwriting")


def test_weights_of_components_lie_below_the_density():
    weights = np.tile([0.75, 0.25], (5, 1))
    fig = figures.density_map(
        np.eye(4), (0, 12, 5, 0), PEN, "t", np.full(5, 0.5), weights
    )
    density, components, ends = fig.axes[:3]
    (image,) = components.images
    np.testing.assert_array_equal(image.get_array(), weights.T)
    # A column is a point, and so is a place on the axis below.
    assert components.get_xlim() == ends.get_xlim() == (0.5, 5.5)
    assert ends.get_xlabel() == "point" and not components.get_xlabel()
    assert "weights of 2 components" in figures.get_alt(fig)
    assert "0.75 on average" in figures.get_alt(fig)
    alone = figures.density_map(np.eye(4), (0, 12, 5, 0), PEN, "t")
    assert "components" not in figures.get_alt(alone)


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
        (
            lambda: figures.density_map(
                np.eye(2), (0, 1, 1, 0), PEN, "t", weights=-np.ones((5, 2))
            ),
            r"minimum -1",
        ),
        (lambda: figures.writing_svg(PEN, "t", known=7), "from 0 to 6"),
        (
            lambda: figures.watched_writing(PEN, np.eye(2), "abc", "t"),
            "3 characters",
        ),
    ],
)
def test_bad_input_gets_one_clear_error(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()
