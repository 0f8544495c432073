"""Figures of DRAW: numbers agree with the op, bad input gets one message."""

import numpy as np
import pytest
from keras import ops

from attnlib import figures
from attnlib.figures import drawing
from attnlib.ops import gaussian_filterbank

WINDOW = [0.2, -0.3, 0.4, -0.8, 0.1]


def story(count=3, steps=4, side=12):
    generator = np.random.default_rng(0)
    canvases = generator.random((count, steps, side, side, 1))
    windows = generator.normal(scale=0.3, size=(count, steps, 5))
    return canvases, windows


@pytest.mark.parametrize("size", [1, 2, 5])
def test_the_filters_are_the_op_s(size):
    params = np.array([WINDOW], "float32")
    f_x, f_y, _ = gaussian_filterbank(params, size, 9, 14)
    found = drawing.filters(WINDOW, size, 9, 14)
    for ours, theirs in zip(found, (f_x, f_y), strict=True):
        np.testing.assert_allclose(
            ours, ops.convert_to_numpy(theirs)[0], atol=1e-5
        )


def test_every_figure_tells_what_it_shows():
    canvases, windows = story()
    image = canvases[0, -1]
    made = [
        figures.drawing_step(canvases[0], 2),
        figures.drawing_step(
            canvases[0], 2, windows[0], 3, image, windows[1], 2
        ),
        figures.drawing_strip(canvases, windows, 3, steps=3),
        figures.drawing_strip(canvases, title="no windows"),
        figures.step_bars(np.arange(1, 5.0)),
        figures.step_bars({"a": np.ones(3), "b": np.ones(30)}),
        figures.filterbank_view(image, WINDOW, 3),
        figures.filterbank_view(np.zeros((9, 8, 3)), WINDOW, 3),
    ]
    for fig in made:
        assert len(figures.get_alt(fig)) > 20
        assert figures.to_png(fig, dpi=40).startswith(b"\x89PNG")
    assert "writes around column" in figures.get_alt(made[1])
    assert "at the steps 1, 3, 4" in figures.get_alt(made[2])


def test_the_animation_is_one_piece_of_html():
    canvases, windows = story()
    page = figures.drawing_animation(
        canvases[0], "A digit", write_windows=windows[0], write_size=3
    )
    assert page.count("data-frame") >= 4 and page.count("<img") == 4
    assert ">step\n" in page and "A digit: step 1 of 4" in page
    assert "http" not in page.replace("http://www.w3.org", "")
    assert page == figures.drawing_animation(
        canvases[0], "A digit", write_windows=windows[0], write_size=3
    )


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda c, w: figures.drawing_step(c[0], 0), "between 1 and 4"),
        (lambda c, w: figures.drawing_step(c[0], 5), "between 1 and 4"),
        (lambda c, w: figures.drawing_step(c[0], 1, w[0][:2]), r"\(4, 5\)"),
        (lambda c, w: figures.drawing_strip(c[0, 0]), "dimension"),
        (lambda c, w: figures.step_bars([[1.0]]), "dimension"),
        (lambda c, w: figures.filterbank_view(c[0], WINDOW, 2), "image"),
    ],
)
def test_bad_input_gets_one_clear_error(draw, message):
    with pytest.raises(ValueError, match=message):
        draw(*story())
