"""Figures of videos: lit where it was looked at, bad input one message."""

import numpy as np
import pytest

from attnlib import figures

RNG = np.random.default_rng(0)
FRAMES = RNG.integers(0, 255, (3, 12, 12, 3)).astype("uint8")
WEIGHTS = np.full((3, 9), 0.05)
WEIGHTS[[0, 1, 2], [0, 4, 5]] = 0.6
BOXES = np.array([[1, 2, 3, 4], [0, 0, 0, 0], [5, 5, 4, 4]])
CHANCES = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8], [0.0, 0.9, 0.1]])
LABELS = ["left", "right", "zoom"]


def test_the_strip_lights_what_was_looked_at():
    fig = figures.attention_strip(FRAMES, WEIGHTS, BOXES, "t")
    shown = [ax.images[0].get_array() for ax in fig.axes if ax.images]
    assert len(shown) == 3
    for image, frame, cell in zip(shown, FRAMES / 255, (0, 4, 5), strict=True):
        y, x = divmod(cell, 3)
        bright = slice(4 * y, 4 * y + 4), slice(4 * x, 4 * x + 4)
        np.testing.assert_allclose(image[bright], frame[bright], atol=1e-6)
        assert image.sum() < frame.sum()
    # No box where the actor is not in the picture.
    assert [len(ax.patches) for ax in fig.axes[:3]] == [1, 0, 1]
    assert "frame 2: row 2, column 2" in figures.get_alt(fig)


def test_a_moment_tells_the_answer():
    fig = figures.attention_moment(
        FRAMES, WEIGHTS, 3, BOXES, CHANCES, LABELS, "A video"
    )
    said = figures.get_alt(fig)
    assert "A video: frame 3 of 3: looks at row 2, column 3" in said
    assert "answers right (90%)" in said
    plain = figures.attention_moment(FRAMES, WEIGHTS, 1)
    assert len(plain.axes) == 2


def test_the_animation_is_one_piece_of_html():
    page = figures.attention_animation(
        FRAMES, WEIGHTS, BOXES, CHANCES, LABELS, "A video"
    )
    assert page.count("<img") == 3 and "A video: frame 1 of 3" in page
    assert "http" not in page


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (
            lambda: figures.attention_strip(FRAMES, WEIGHTS[:2]),
            "each frame .3.. Received: shape .2, 9.",
        ),
        (
            lambda: figures.attention_strip(FRAMES, WEIGHTS[:, :8]),
            "square grid",
        ),
        (
            lambda: figures.attention_strip(FRAMES, WEIGHTS, BOXES[:2]),
            "one box",
        ),
        (
            lambda: figures.attention_moment(FRAMES, WEIGHTS, 4),
            "between 1 and 3. Received: 4",
        ),
        (
            lambda: figures.attention_moment(
                FRAMES, WEIGHTS, 1, None, CHANCES, LABELS[:2]
            ),
            r"\(3, 2\). Received: shape \(3, 3\)",
        ),
    ],
)
def test_bad_input_gets_one_clear_error(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()
