"""Digits on large canvases: places, clutter, pairs."""

import numpy as np
import pytest

from attnlib.datasets import canvases

SHAPE = (50, 7, 6, 2)


def digits(dtype="uint8", seed=0):
    return np.random.default_rng(seed).integers(1, 200, SHAPE).astype(dtype)


def generator(seed=3):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_translated_digit_lies_where_its_position_says(dtype):
    some = digits(dtype)
    found, corners = canvases.translated(some, 20, generator())
    assert found.shape == (50, 20, 20, 2) and found.dtype == dtype
    for canvas, digit, (x, y) in zip(found, some, corners, strict=True):
        expected = np.zeros((20, 20, 2), dtype)
        expected[y : y + 7, x : x + 6] = digit
        np.testing.assert_array_equal(canvas, expected)


def test_every_place_can_be_drawn():
    many = np.ones((4000, 7, 6, 1), "uint8")
    _, corners = canvases.translated(many, 10, generator())
    assert sorted(set(corners[:, 0])) == list(range(5))
    assert sorted(set(corners[:, 1])) == list(range(4))


def test_a_canvas_of_the_digit_s_size_holds_it():
    some = np.ones((3, 7, 7, 1), "uint8")
    found, corners = canvases.translated(some, 7, generator())
    np.testing.assert_array_equal(found, some)
    assert not corners.any()


def test_clutter_leaves_the_digit_and_adds_pieces_of_the_pool():
    some = digits()
    pool = np.full((9, 10, 10, 2), 250, "uint8")
    found, corners = canvases.cluttered(
        some, 30, generator(), pieces=4, piece_size=5, pool=pool
    )
    plain, same = canvases.translated(some, 30, generator())
    np.testing.assert_array_equal(corners, same)
    bright = (found == 250).all(axis=-1)
    np.testing.assert_array_equal(found[~bright], plain[~bright])
    pixels = bright.sum(axis=(1, 2))
    # Four pieces of 5 x 5, fewer pixels where they overlap.
    assert pixels.max() == 100 and pixels.min() >= 25


def test_pieces_are_windows_of_digits_and_not_of_the_canvas():
    pool = np.arange(100, dtype="float32").reshape(1, 10, 10, 1) + 1
    empty = np.zeros((20, 4, 4, 1), "float32")
    found, _ = canvases.cluttered(
        empty, 16, generator(), pieces=1, piece_size=3, pool=pool
    )
    for canvas in found[..., 0]:
        rows, columns = np.nonzero(canvas)
        piece = canvas[rows.min() : rows.max() + 1][
            :, columns.min() : columns.max() + 1
        ]
        first = int(piece[0, 0]) - 1
        row, column = divmod(first, 10)
        window = pool[0, row : row + 3, column : column + 3, 0]
        np.testing.assert_array_equal(piece, window)


def test_without_pieces_clutter_is_translation():
    some = digits()
    one, _ = canvases.cluttered(some, 30, generator(), pieces=0)
    other, _ = canvases.translated(some, 30, generator())
    np.testing.assert_array_equal(one, other)


def test_clutter_is_drawn_anew_and_again_from_the_same_seed():
    some = digits()
    source = generator()
    first, _ = canvases.cluttered(some, 30, source, pieces=2, piece_size=3)
    second, _ = canvases.cluttered(some, 30, source, pieces=2, piece_size=3)
    again, _ = canvases.cluttered(some, 30, generator(), 2, piece_size=3)
    assert (first != second).any()
    np.testing.assert_array_equal(first, again)


def test_pairs_do_not_overlap_and_keep_both_digits():
    one, other = digits(seed=0), digits(seed=1)
    found, corners = canvases.pairs(one, other, 14, generator())
    assert corners.shape == (50, 2, 2)
    for canvas, a, b, places in zip(found, one, other, corners, strict=True):
        for digit, (x, y) in zip((a, b), places, strict=True):
            np.testing.assert_array_equal(canvas[y : y + 7, x : x + 6], digit)
        assert (canvas > 0).sum() == 2 * 7 * 6 * 2


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda d: canvases.translated(d[0], 20, generator()), "shape"),
        (lambda d: canvases.translated(d > 3, 20, generator()), "numbers"),
        (lambda d: canvases.translated(d, 6, generator()), "no larger.*7 x 6"),
        (lambda d: canvases.translated(d, 0, generator()), "side"),
        (lambda d: canvases.cluttered(d, 20, generator(), -1), "pieces"),
        (lambda d: canvases.cluttered(d, 20, generator(), 1, 9), "piece_size"),
        (
            lambda d: canvases.cluttered(d, 20, generator(), 1, pool=d[:0]),
            "pool",
        ),
        (
            lambda d: canvases.cluttered(d, 20, generator(), 1, 2, d[:0]),
            "pool",
        ),
        (
            lambda d: canvases.cluttered(d, 20, generator(), 1, pool=d[0]),
            "pool.*shape",
        ),
        (
            lambda d: canvases.cluttered(
                d, 20, generator(), 1, 2, d.repeat(3, axis=3)
            ),
            "pool of 2 channels.*received 6",
        ),
        (lambda d: canvases.translated(d, 20, 0), "generator.*received 0"),
        (lambda d: canvases.cluttered(d, 20, None, 1), "generator.*None"),
        (
            lambda d: canvases.pairs(d, d, 20, np.random.RandomState(0)),
            "generator.*RandomState",
        ),
        (lambda d: canvases.pairs(d, d[:3], 20, generator()), "same shape"),
        (lambda d: canvases.pairs(d, d, 11, generator()), "two digits"),
    ],
)
def test_bad_input_is_one_clear_error(call, words):
    with pytest.raises(ValueError, match=words):
        call(digits())
