"""Made-up writers."""

import numpy as np
import pytest

from attnlib import datasets
from attnlib.datasets import hershey, strokes

SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def lines():
    return {
        split: datasets.load("hershey", split, count=150) for split in SPLITS
    }


def test_lines_are_offsets_with_lifted_pens(lines):
    for data in lines.values():
        assert len(data["strokes"]) == len(data["text"]) == 150
        assert data["writer"].shape == (150,)
        for line, letters in zip(data["strokes"], data["letters"], strict=True):
            assert strokes.check(line).dtype == np.float32
            assert letters.shape == (len(line),)
            assert line[-1, 2] == 1 and line[0, :2].tolist() == [0, 0]


def test_points_follow_the_text(lines):
    data = lines["train"]
    for text, letters in zip(data["text"], data["letters"], strict=True):
        assert (np.diff(letters) >= 0).all()
        written = [i for i, c in enumerate(text) if c != " "]
        assert sorted(set(letters.tolist())) == written


def test_texts_and_writers_of_splits_are_disjoint(lines):
    texts = [set(lines[split]["text"]) for split in SPLITS]
    assert not texts[0] & texts[1]
    assert not texts[0] & texts[2] and not texts[1] & texts[2]
    assert all(3 <= len(t) <= 8 for t in set.union(*texts))
    assert any(" " in t for t in texts[0])
    assert not any(t != t.strip() for t in texts[0])


def test_a_writer_writes_alike_and_others_do_not():
    random = np.random.RandomState(0)
    writers = [hershey.draw_writer(random) for _ in range(2)]
    first, again, other = (
        hershey.write("ng", w, np.random.RandomState(i))[0]
        for i, w in enumerate([writers[0], writers[0], writers[1]])
    )
    assert first.shape == again.shape
    apart = np.abs(first - again)[:, :2].mean()
    assert 0 < apart < 3
    assert first.shape != other.shape or np.abs(first - other).mean() > apart


def test_slant_moves_what_is_high_to_the_right():
    plain = dict(
        font="rowmans", width=1.0, height=1.0, spacing=0.0, rise=0.0,
        shake=0.0, wander=0.0, distance=4.0,
    )  # fmt: skip
    upright, slanted = (
        hershey.write(
            "l", hershey.Writer(slant=s, **plain), np.random.RandomState(0)
        )[0]
        for s in (0.0, 0.5)
    )
    high, low = upright[:, 1].argmin(), upright[:, 1].argmax()
    moved = (slanted - upright)[:, 0]
    assert moved[high] > 8 and abs(moved[low]) < 1e-9
    # y points down, the base line is 0 and an l stands on it.
    assert upright[high, 1] < -15 and abs(upright[low, 1]) < 1e-9


def test_the_same_seed_gives_the_same_lines_for_ever():
    one, two, other = (
        datasets.load("hershey", "test", count=5, seed=s) for s in (4, 4, 5)
    )
    for a, b in zip(one["strokes"], two["strokes"], strict=True):
        np.testing.assert_array_equal(a, b)
    assert one["text"] == two["text"] != other["text"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "count"),
        ({"fewest": 9}, "fewest"),
        ({"most": 61}, "most"),
        ({"fonts": ("gothic",)}, "rowmans, scripts"),
        ({"fonts": ()}, "rowmans, scripts"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        datasets.load("hershey", **options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "at least one letter"),
        ("  ", "at least one letter"),
        (3, "at least one letter"),
        ("Attention", "Received: 'A' in 'Attention'"),
        ("a1é", "Received: '1', 'é'"),
    ],
)
def test_texts_that_cannot_be_written(text, message):
    with pytest.raises(ValueError, match=message):
        hershey.check_text(text)
