"""Scenes of several scales: what is where, and that only outlines tell it."""

import numpy as np
import pytest

from attnlib import datasets
from attnlib.datasets import scale_scenes, scenery


@pytest.fixture(scope="module")
def scenes():
    return datasets.load("scale_scenes", "train", count=200, seed=3)


def test_shapes(scenes):
    assert scenes["images"].shape == (200, 64, 64, 3)
    assert scenes["images"].dtype == scenes["mask"].dtype == np.uint8
    assert scenes["mask"].shape == scenes["object"].shape == (200, 64, 64)
    assert scenes["boxes"].shape == (200, 3, 4)
    assert scenes["size"].shape == scenes["label"].shape == (200, 3)
    small = datasets.load("scale_scenes", "test", count=2, side=32, most=1)
    assert small["images"].shape == (2, 32, 32, 3)
    assert small["label"].shape == (2, 1)


def test_mask_object_and_label_agree(scenes):
    mask, whose, label = (scenes[k] for k in ("mask", "object", "label"))
    inside = whose >= 0
    place = np.broadcast_to(np.arange(200)[:, None, None], whose.shape)
    np.testing.assert_array_equal(
        mask[inside], label[place[inside], whose[inside]]
    )
    assert set(np.unique(mask[~inside])) == {0, scale_scenes.IGNORE}
    assert set(np.unique(label)) == {0, 1, 2, 3, 4}
    there = label > 0
    np.testing.assert_array_equal(there, scenes["size"] > 0)
    np.testing.assert_array_equal(there, scenes["boxes"][..., 2] > 0)


def test_boxes_hug_what_can_be_seen(scenes):
    for whose, boxes in zip(scenes["object"], scenes["boxes"], strict=True):
        for k, (x, y, w, h) in enumerate(boxes):
            rows, columns = np.nonzero(whose == k)
            if w:
                assert (columns.min(), rows.min()) == (x, y)
                assert np.ptp(columns) + 1 == w and np.ptp(rows) + 1 == h


def test_sizes_are_in_range_and_large_ones_are_behind(scenes):
    size = scenes["size"]
    seen = size[size > 0]
    assert seen.min() >= 8 and seen.max() <= 48
    # About as many in each octave's half.
    assert 0.3 < (seen < np.sqrt(8 * 48)).mean() < 0.7
    assert (np.diff(size, axis=1) <= 0).all()


def test_size_is_the_diameter_of_the_disc_of_the_same_area():
    for shape in scale_scenes.CLASSES[1:]:
        made = scale_scenes.scene([(shape, 30, 31.5, 31.5, 10)], seed=1)
        cover = scale_scenes.coverage(
            made["label"][0], [[31.5, 31.5]], [30], [7], side=64
        )
        assert cover.sum() == pytest.approx(np.pi * 15**2, rel=0.02)


def test_at_least_60_percent_of_each_shape_can_be_seen(scenes):
    for whose, size in zip(scenes["object"], scenes["size"], strict=True):
        for k, s in enumerate(size):
            # Of the shape's area at least the disc's half is in the scene.
            if s:
                assert (whose == k).sum() > 0.6 * 0.4 * np.pi * (s / 2 - 1) ** 2


def test_nothing_but_the_outline_tells_the_class():
    data = datasets.load("scale_scenes", "train", count=600)
    colour = {k: data["images"][data["mask"] == k] for k in range(5)}
    means = [colour[k].mean() for k in range(1, 5)]
    assert np.ptp(means) < 8  # of 255
    assert min(means) - colour[0].mean() > 60


def test_scenes_are_determined_by_their_seed(scenes):
    again = datasets.load("scale_scenes", "train", count=200, seed=3)
    for key, values in scenes.items():
        np.testing.assert_array_equal(again[key], values)
    other = datasets.load("scale_scenes", "train", count=200, seed=4)
    assert (other["images"] != scenes["images"]).any()
    options = {"count": 20}
    assert datasets.digest("scale_scenes", **options) == "4afd68a12e38b23f"


def test_photographs_of_splits_are_disjoint(monkeypatch):
    """Every pixel tells its column: none is in two splits."""
    wide = np.zeros((100, 500, 3), np.uint8)
    wide[...] = (np.arange(500) // 100)[None, :, None] * 25
    monkeypatch.setattr(scenery, "photographs", lambda: (wide,))
    seen = {}
    for split in ("train", "validation", "test"):
        data = datasets.load("scale_scenes", split, count=20)
        plain = data["mask"] == 0
        # A shape's faint edge reaches a pixel into the background.
        for axis in (1, 2):
            for way in (-1, 1):
                plain &= np.roll(data["mask"], way, axis) == 0
        seen[split] = set(np.unique(data["images"][plain] // 25))
    assert seen == {"train": {0, 1, 2}, "validation": {3}, "test": {4}}


def test_a_scene_to_order():
    shapes = [("square", 40, 32, 32, 0), ("disc", 10, 32, 32, 0)]
    made = scale_scenes.scene(shapes, seed=5)
    assert made["mask"][0, 32, 32] == 1 and made["mask"][0, 32, 45] == 2
    assert made["object"][0, 32, 32] == 1 and made["object"][0, 0, 0] == -1
    # Only what lies within the larger shape differs between sizes.
    larger = scale_scenes.scene([("square", 48, 32, 32, 0)], seed=5)
    outside = (made["mask"] == 0) & (larger["mask"] == 0)
    np.testing.assert_array_equal(
        made["images"][outside], larger["images"][outside]
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"side": 31}, "side: expected a whole number, 32 to 88"),
        ({"most": 5}, "most: expected a whole number, 1 to 4"),
        ({"count": 0}, "count"),
        ({"seed": -1}, "seed"),
        ({"size": 3}, "no option 'size'"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        datasets.load("scale_scenes", "train", **options)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([], "number of shapes"),
        ([("heart", 9, 1, 1, 0)], "disc, square.*Received: 'heart' of size 9"),
        ([("disc", 0, 1, 1, 0)], "above 0"),
    ],
)
def test_bad_scenes_to_order(shapes, message):
    with pytest.raises(ValueError, match=message):
        scale_scenes.scene(shapes)
