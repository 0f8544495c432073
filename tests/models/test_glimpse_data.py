"""Pairs and sums of digits, and who has looked at both."""

import dataclasses

import numpy as np
import pytest

from attnlib import datasets, profiles
from attnlib.models import glimpse_data


def settings(**overrides):
    return profiles.load("06", "smoke", **{"canvas": 60, **overrides})


@pytest.fixture(scope="module")
def pairs():
    return glimpse_data.load_data(settings(task="pairs"))


def test_pairs_have_55_classes_in_any_order():
    first, second = np.meshgrid(np.arange(10), np.arange(10))
    classes = glimpse_data.pair_class(first, second)
    np.testing.assert_array_equal(classes, classes.T)
    assert sorted(set(classes.ravel())) == list(range(55))
    listed = [classes[i, j] for i in range(10) for j in range(i, 10)]
    assert listed == list(range(55))


@pytest.mark.parametrize(("task", "count"), [("pairs", 55), ("sums", 19)])
def test_two_digits_are_laid_out_and_named(task, count):
    data = glimpse_data.load_data(settings(task=task))
    assert data.num_classes == count
    digits, labels = data.train
    images, both = data.scatter(
        digits[:200], labels[:200], np.random.default_rng(0)
    )
    assert images.shape == (200, 60, 60, 1) and both.dtype == labels.dtype
    assert 0 <= both.min() and both.max() < count
    alone = digits[:200].sum(axis=(1, 2, 3)) / 255
    assert np.all(images.sum(axis=(1, 2, 3)) > alone)
    again, _ = data.scatter(
        digits[:200], labels[:200], np.random.default_rng(1)
    )
    assert np.any(again != images)


def test_the_names_are_those_of_the_digits_in_the_image(pairs):
    """Cut both digits out of each canvas and look them up in the test set."""
    test = datasets.load("digits28", "test")
    known = {
        image.tobytes(): label
        for image, label in zip(test["images"], test["label"], strict=True)
    }
    images, classes = pairs.test
    for image, corners, name in zip(
        images[:60], pairs.corners, classes, strict=False
    ):
        found = []
        for x, y in corners:
            cut = image[y : y + 28, x : x + 28] * 255
            found.append(known.get(np.rint(cut).astype("uint8").tobytes()))
        assert None not in found
        assert glimpse_data.pair_class(*map(np.array, found)) == name


@pytest.mark.parametrize("setting", ["c60-g4", "c100-g8", "pairs-dram"])
def test_jobs_on_clutter_show_pairs_without_it(setting):
    settings = profiles.load("06", "paper", setting=setting)
    on = dict(settings.several_on) | {"dataset": "digits28", "copies": 0}
    data = glimpse_data.load_data(dataclasses.replace(settings, **on))
    assert data.num_classes == 55


def test_pairs_of_a_seed_are_described(pairs):
    assert pairs.task == "digits28-pairs-60x60"
    assert "two at a time" in pairs.description
    other = glimpse_data.load_data(settings(task="pairs", seed=1))
    np.testing.assert_array_equal(pairs.test[0], other.test[0])


def test_both_digits_must_be_looked_at():
    # Digits in the top-left and bottom-right corner of 100 x 100 pixels.
    corners = np.array([[[0, 0], [72, 72]]])
    first = np.array([13.5, 13.5])
    last = np.array([85.5, 85.5])

    def at(*pixels):
        return (2 * np.array([pixels]) + 1) / 100 - 1

    def seen(*pixels):
        return glimpse_data.visited(at(*pixels), corners, 100).item()

    assert seen(first, last) and seen(last, first, last)
    assert not seen(first, first) and not seen(last, last)
    # The ink ends 10 pixels from the middle, and 6 more are near.
    assert seen(first + [15.9, 0], last)
    assert not seen(first + [16.1, 0], last)
    assert not seen(first + [15, 15], last)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"task": "words"}, "digits, pairs, sums.*'words'"),
        ({"task": "pairs", "canvas": 0}, "canvas to put two digits on"),
        ({"task": "pairs", "canvas": 50}, "at least 56.*50"),
        ({"task": "sums", "clutter": 2}, "no clutter among pairs.*2"),
    ],
)
def test_a_bad_task_is_named(given, message):
    with pytest.raises(ValueError, match=message):
        glimpse_data.load_data(settings(**given))


def test_a_set_without_a_digit_is_named(monkeypatch):
    labels = np.arange(20, dtype="int32") % 10
    labels[labels == 7] = 1

    def load(name, split):
        return {"images": np.zeros((20, 28, 28, 1), "uint8"), "label": labels}

    monkeypatch.setattr(datasets, "load", load)
    with pytest.raises(ValueError, match="all ten digits.*none of 7"):
        glimpse_data.load_data(settings(task="sums"))
