import numpy as np
import pytest

from attnlib import datasets
from attnlib.datasets import reversal

SPLITS = ("train", "validation", "test")


def words(split, **options):
    lines = datasets.load("reversal", split, **options)["source"]
    return ["".join(line.split()) for line in lines]


@pytest.mark.parametrize("split", SPLITS)
def test_targets_are_the_sources_backwards(split):
    data = datasets.load("reversal", split, count=60)
    for source, target, places in zip(*data.values(), strict=True):
        letters = source.split()
        assert set(letters) <= set(reversal.LETTERS)
        assert source == " ".join(letters)
        assert target.split() == letters[::-1]
        assert [letters[i] for i in places] == target.split()


@pytest.mark.parametrize(
    ("shortest", "longest"), [(2, 4), (5, 40), (3, 3), (1, 1), (60, 60)]
)
def test_all_lengths_are_equally_frequent(shortest, longest):
    kinds = longest - shortest + 1
    found = words("test", count=2 * kinds, shortest=shortest, longest=longest)
    lengths, counts = np.unique(list(map(len, found)), return_counts=True)
    assert lengths.tolist() == list(range(shortest, longest + 1))
    assert set(counts) == {2}


def test_splits_are_disjoint_whatever_the_options():
    found = {
        split: {
            word
            for seed in (0, 1)
            for longest in (3, 20)
            for word in words(split, count=900, longest=longest, seed=seed)
        }
        for split in SPLITS
    }
    assert all(len(own) > 500 for own in found.values())
    assert not found["train"] & found["validation"]
    assert not found["train"] & found["test"]
    assert not found["validation"] & found["test"]
    for split, own in found.items():
        assert {reversal.split_of(word) for word in own} == {split}


def test_a_tenth_of_all_words_is_held_out_for_each():
    pairs = [a + b for a in reversal.LETTERS for b in reversal.LETTERS]
    share = [
        np.mean([reversal.split_of(word) == split for word in pairs])
        for split in SPLITS
    ]
    np.testing.assert_allclose(share, [0.8, 0.1, 0.1], atol=0.03)


def test_letters_are_equally_frequent():
    joined = "".join(words("train", count=3000, shortest=8))
    share = [joined.count(letter) / len(joined) for letter in reversal.LETTERS]
    np.testing.assert_allclose(share, 1 / 26, atol=0.004)


def test_same_words_every_time_and_fewer_are_the_first():
    many = words("train", count=40, seed=3)
    assert words("train", count=40, seed=3) == many
    assert words("train", count=20, seed=3) == many[:20]
    assert words("train", count=40, seed=4) != many


def test_first_words_stay():
    assert words("train", count=3) == ["mp", "tvs", "ymbg"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "count: expected a whole number, at least 1.*0"),
        ({"count": "9"}, "count: expected a whole number"),
        ({"longest": 0}, "longest: expected a whole number, 1 to 60"),
        ({"longest": 61}, "longest: expected a whole number, 1 to 60"),
        ({"longest": 5.0}, "longest: expected a whole number"),
        ({"shortest": 0}, "shortest: expected a whole number, 1 to 20"),
        ({"shortest": 9, "longest": 8}, "shortest: expected .* 1 to 8"),
        ({"shortest": True}, "shortest: expected a whole number"),
        ({"seed": -1}, "seed: expected a whole number"),
        ({"length": 3}, "has no option 'length'.* count, shortest, longest"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        datasets.load("reversal", **options)
