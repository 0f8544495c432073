"""Glyphs of two parts: what is where, and what one part tells."""

import numpy as np
import pytest

from attnlib import datasets
from attnlib.datasets import two_part_glyphs

SIDE = 56


@pytest.fixture(scope="module")
def glyphs():
    return datasets.load("two_part_glyphs", "test", count=320)


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits28", "train")


def test_shapes_ranges_and_balance(glyphs):
    assert glyphs["images"].shape == (320, SIDE, SIDE, 1)
    assert glyphs["images"].dtype == np.uint8
    assert glyphs["places"].dtype == np.float32
    counts = np.bincount(glyphs["label"], minlength=two_part_glyphs.CLASSES)
    assert (counts == 320 / two_part_glyphs.CLASSES).all()


def test_the_same_seed_makes_the_same_glyphs(glyphs):
    again = datasets.load("two_part_glyphs", "test", count=320)
    other = datasets.load("two_part_glyphs", "test", count=320, seed=1)
    for key in ("images", "label", "places"):
        assert np.array_equal(again[key], glyphs[key])
    assert not np.array_equal(other["images"], glyphs["images"])
    train = datasets.load("two_part_glyphs", "train", count=320)
    assert not np.array_equal(train["places"], glyphs["places"])


def test_parts_are_whole_and_never_in_one_small_window(glyphs):
    places = glyphs["places"]
    assert places.min() >= 7 and places.max() <= SIDE - 8
    apart = np.linalg.norm(places[:, 0] - places[:, 1], axis=-1)
    # Half the image holds one part, and not the middle of the other.
    assert apart.min() > SIDE / 2 and np.ptp(apart) < 3


def test_glyphs_lie_at_any_angle(glyphs):
    x, y = (glyphs["places"][:, 0] - glyphs["places"][:, 1]).T
    quarters = (np.arctan2(y, x) // (np.pi / 2)).astype(int) % 4
    assert (np.bincount(quarters, minlength=4) > 50).all()


def test_the_digits_are_where_and_what_the_labels_say(digits):
    images, labels, places = two_part_glyphs.compose(
        # Flat digits, whose grey level is their class.
        np.broadcast_to(
            (20 * np.arange(1, 11, dtype=np.uint8))[:, None, None, None],
            (10, 28, 28, 1),
        ),
        np.arange(10),
        64,
        SIDE,
        np.random.default_rng(0),
    )
    rows = np.arange(64)
    for end, kinds in enumerate((two_part_glyphs.HEADS, two_part_glyphs.TAILS)):
        x, y = np.rint(places[:, end]).astype(int).T
        number = np.divmod(labels, 4)[end]
        expected = 20 * (np.array(kinds)[number] + 1)
        assert np.array_equal(images[rows, y, x, 0], expected)


def test_only_the_head_has_a_ring(glyphs):
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    circle = 9 * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    levels = []
    for end in range(2):
        points = np.rint(glyphs["places"][:, end, None] + circle).astype(int)
        points = points.clip(0, SIDE - 1)
        rows = np.arange(len(points))[:, None]
        levels.append(
            glyphs["images"][rows, points[..., 1], points[..., 0], 0] == 170
        )
    assert levels[0].mean() > 0.8 and levels[1].mean() < 0.05


def test_one_part_leaves_four_classes(glyphs):
    head, tail = np.divmod(glyphs["label"], 4)
    table = np.zeros((4, 4), int)
    np.add.at(table, (head, tail), 1)
    assert (table == 20).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "count"),
        ({"side": 40}, "side"),
        ({"pool": "letters"}, "one of digits28, mnist, received 'letters'"),
        ({"seed": -1}, "seed"),
        ({"parts": 3}, "parts"),
    ],
)
def test_bad_options_get_one_clear_error(options, message):
    with pytest.raises(ValueError, match=message):
        datasets.load("two_part_glyphs", "test", **options)


def test_bad_digits_get_one_clear_error(digits):
    compose, generator = two_part_glyphs.compose, np.random.default_rng(0)
    images, labels = digits["images"], digits["label"]
    with pytest.raises(ValueError, match="uint8 of shape .N, 28, 28, 1."):
        compose(images / 255, labels, 4, SIDE, generator)
    with pytest.raises(ValueError, match="received none of class 9"):
        compose(images[labels < 9], labels[labels < 9], 4, SIDE, generator)
    with pytest.raises(ValueError, match=r"numpy.random.Generator"):
        compose(images, labels, 4, SIDE, 0)
