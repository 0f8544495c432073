"""Scenes with salient objects: what is where, and that colour tells it."""

import numpy as np
import pytest

from attnlib import datasets
from attnlib.datasets import scenery


@pytest.fixture(scope="module")
def scenes():
    return datasets.load("saliency_scenes", "train", count=130, seed=3)


def test_shapes(scenes):
    assert scenes["images"].shape == (130, 96, 96, 3)
    assert scenes["images"].dtype == scenes["mask"].dtype == np.uint8
    assert scenes["mask"].shape == scenes["object"].shape == (130, 96, 96)
    assert scenes["boxes"].shape == (130, 3, 4)
    assert scenes["size"].shape == scenes["label"].shape == (130, 3)
    small = datasets.load("saliency_scenes", "test", count=2, side=48, most=1)
    assert small["images"].shape == (2, 48, 48, 3)
    assert small["label"].shape == (2, 1)


def test_mask_says_whether_there_is_an_object(scenes):
    assert set(np.unique(scenes["mask"])) == {0, 1}
    np.testing.assert_array_equal(scenes["mask"] == 1, scenes["object"] >= 0)
    assert scenes["mask"].any((1, 2)).all()
    there = scenes["size"] > 0
    np.testing.assert_array_equal(there, scenes["label"] > 0)
    np.testing.assert_array_equal(there, scenes["boxes"][..., 2] > 0)


def test_boxes_hug_what_can_be_seen(scenes):
    for whose, boxes in zip(scenes["object"], scenes["boxes"], strict=True):
        for k, (x, y, w, h) in enumerate(boxes):
            rows, columns = np.nonzero(whose == k)
            if w:
                assert (columns.min(), rows.min()) == (x, y)
                assert np.ptp(columns) + 1 == w and np.ptp(rows) + 1 == h


def test_sizes_are_spread_over_the_octaves(scenes):
    seen = scenes["size"][scenes["size"] > 0]
    assert seen.min() >= 8 and seen.max() <= 64
    assert 0.35 < (seen < np.sqrt(8 * 64)).mean() < 0.65
    assert (np.diff(scenes["size"], axis=1) <= 0).all()
    areas = np.array(
        [
            (whose == 0).sum()
            for whose, number in zip(
                scenes["object"], (scenes["size"] > 0).sum(1), strict=True
            )
            if number == 1
        ]
    )
    size = scenes["size"][(scenes["size"] > 0).sum(1) == 1, 0]
    ratio = areas / (np.pi * size**2 / 4)
    assert 0.85 < ratio.mean() < 1.05 and ratio.min() > 0.5


def test_colour_is_what_is_salient(scenes):
    """Objects are coloured; as bright pixels off them are grey."""
    pixels = scenes["images"].astype(int)
    colour = np.ptp(pixels, axis=-1)
    inside = scenes["mask"] == 1
    bright = pixels.max(-1) > 150
    assert np.median(colour[inside]) > 2 * np.median(colour[~inside & bright])
    assert (~inside & bright).mean() > 0.01


def test_scenes_are_determined_by_their_seed(scenes):
    again = datasets.load("saliency_scenes", "train", count=130, seed=3)
    for key, values in scenes.items():
        np.testing.assert_array_equal(again[key], values)
    other = datasets.load("saliency_scenes", "train", count=20, seed=4)
    assert (other["images"] != scenes["images"][:20]).any()


def test_photographs_of_splits_are_disjoint(monkeypatch):
    """Every pixel tells its column: none is in two splits."""
    wide = np.zeros((100, 500, 3), np.uint8)
    wide[...] = (np.arange(500) // 100)[None, :, None] * 25
    monkeypatch.setattr(scenery, "photographs", lambda: (wide,))
    seen = {}
    for split in ("train", "validation", "test"):
        data = datasets.load("saliency_scenes", split, count=8)
        # Grey shapes and faint edges are brighter than any photograph.
        plain = (data["mask"] == 0) & (data["images"][..., 0] <= 100)
        levels, counts = np.unique(
            data["images"][plain][:, 0], return_counts=True
        )
        seen[split] = set(levels[counts > 2000] // 25)
    assert seen == {"train": {0, 1, 2}, "validation": {3}, "test": {4}}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"side": 40}, "side: expected a whole number, 48 to 102"),
        ({"side": 103}, "48 to 102"),
        ({"most": 0}, "most: expected a whole number, 1 to 4"),
        ({"count": 0}, "count"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        datasets.load("saliency_scenes", **options)
