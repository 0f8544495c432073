"""Figures of segmentations: colours of classes, bad input one message."""

import numpy as np
import pytest

from attnlib import figures
from attnlib.figures import segmentation

IMAGES = np.zeros((2, 3, 4, 3))
MASKS = np.zeros((2, 3, 4), int)
WEIGHTS = np.full((2, 2, 3, 4), 0.5)


def test_classes_differ_in_colour():
    for count in (2, 5, 7, 11, 21):
        colors = segmentation.class_colors(count)
        assert len(np.unique(colors, axis=0)) == count


def test_pixels_have_the_colours_of_their_classes():
    masks = MASKS.copy()
    masks[1, 2, 3], masks[0, 0, 0] = 1, 255
    fig = figures.segmentations(IMAGES, masks, {"found": MASKS}, "ab", "t")
    truth = [fig.axes[i].images[0].get_array() for i in (2, 3)]
    colors = segmentation.class_colors(2)
    np.testing.assert_array_equal(truth[1][2, 3], colors[1])
    np.testing.assert_array_equal(truth[0][0, 0], 1)  # white: not counted
    np.testing.assert_array_equal(truth[0][0, 1], colors[0])
    # 22 of the 23 pixels that count are of class a.
    assert "found 96%" in figures.get_alt(fig)
    labels = [text.get_text() for text in fig.legends[0].get_texts()]
    assert labels == ["a", "b", "not counted"]


def test_weight_maps_share_one_scale():
    fig = figures.scale_weights(IMAGES, WEIGHTS, (1, 0.5), "t")
    for ax in fig.axes[2:6]:
        assert ax.images[0].get_clim() == (0, 1)
    assert "scale 1: 0.50, scale 0.5: 0.50" in figures.get_alt(fig)


def test_every_object_is_a_dot():
    fig = figures.size_scatter(
        [8, 9, 30], [0, 0.2, 1], "s", "w", "t", centres=[9], means={"m": [0.4]}
    )
    (dots,) = fig.axes[0].collections
    assert len(dots.get_offsets()) == 3
    assert fig.axes[0].get_xscale() == "log"


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (
            lambda: figures.segmentations([], [], {}, "ab", "t"),
            "`images` is empty",
        ),
        (
            lambda: figures.segmentations(IMAGES, MASKS[:1], {}, "ab", "t"),
            r"`truth` with a class for each pixel, \(2, 3, 4\)",
        ),
        (
            lambda: figures.segmentations(IMAGES, MASKS + 2, {}, "ab", "t"),
            "from 0 to 1, or 255. Received: 2 to 2",
        ),
        (
            lambda: figures.scale_weights(IMAGES, WEIGHTS[:, :, 1:], (1,), "t"),
            "2 images of 3 x 4 pixels",
        ),
        (
            lambda: figures.scale_weights(IMAGES, 3 * WEIGHTS, (1, 0.5), "t"),
            "from 0 to 1. Received: 1.5",
        ),
        (
            lambda: figures.scale_weights(IMAGES, WEIGHTS, (1,), "t"),
            r"each scale \(1\). Received: 2",
        ),
        (
            lambda: figures.size_scatter(
                [1, 2], [1], "s", "w", "t", centres=[1], means={"m": [1]}
            ),
            r"each object \(2\). Received: 1",
        ),
    ],
)
def test_bad_input_gets_one_clear_error(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()
