import dataclasses
import re

import numpy as np
import pytest
import requests

from attnlib import datasets
from attnlib.datasets import digit_scenes, registry, scenery, store

SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def scenes():
    return datasets.load("digit_scenes", "train", count=300, seed=3)


def rows(data):
    """Yield (caption, what its words are about, boxes, labels, colours)."""
    for n, captions in enumerate(data["captions"]):
        for caption, about in zip(captions, data["objects"][n], strict=True):
            yield (
                caption.split(),
                about,
                data["boxes"][n],
                data["label"][n],
                data["colour"][n],
            )


@pytest.mark.parametrize("side", [56, 84])
@pytest.mark.parametrize("most", [1, 2, 3])
def test_shapes(side, most):
    data = datasets.load("digit_scenes", "test", side=side, most=most, count=9)
    assert data["images"].shape == (9, side, side, 3)
    assert data["images"].dtype == np.uint8
    assert data["boxes"].shape == (9, most, 4)
    assert data["label"].shape == data["colour"].shape == (9, most)
    for key in ("boxes", "label", "colour"):
        assert data[key].dtype == np.int32
    assert [len(captions) for captions in data["captions"]] == [5] * 9
    assert all(len(set(captions)) == 5 for captions in data["captions"])


def test_number_of_digits(scenes):
    number = (scenes["label"] >= 0).sum(axis=1)
    assert set(number) == {1, 2, 3}
    absent = scenes["label"] < 0
    assert (scenes["boxes"][absent] == 0).all()
    assert (scenes["colour"][absent] == -1).all()
    assert (scenes["boxes"][~absent][:, 2:] > 2).all()
    two = datasets.load("digit_scenes", fewest=2, most=2, count=20)
    assert (two["label"] >= 0).all()


@pytest.mark.parametrize("side", [56, 84])
def test_digits_are_inside_and_apart(side):
    data = datasets.load("digit_scenes", side=side, fewest=3, count=200)
    boxes = data["boxes"]
    assert boxes[..., :2].min() >= 1
    assert (boxes[..., :2] + boxes[..., 2:]).max() <= side - 1
    for scene in boxes:
        painted = np.zeros((side, side), int)
        for x, y, w, h in scene:
            painted[y : y + h, x : x + w] += 1
        assert painted.max() == 1


def test_boxes_hug_the_ink(monkeypatch):
    """On black, without rim, what is bright is exactly in the box."""
    blank = np.zeros((300, 600, 3), np.uint8)
    monkeypatch.setattr(scenery, "photographs", lambda: (blank,))
    data = datasets.load("digit_scenes", most=1, colours=False, count=100)
    level = scenery.INK
    for image, (box,) in zip(data["images"], data["boxes"], strict=True):
        # White is 250 of 255: ink of 64 becomes 63.
        ys, xs = np.nonzero(image[..., 0] >= level * 250 // 255)
        x, y = xs.min(), ys.min()
        found = (x, y, xs.max() - x + 1, ys.max() - y + 1)
        np.testing.assert_allclose(found, box, atol=1)


def test_digits_and_colours_are_as_labelled(monkeypatch):
    blank = np.zeros((300, 600, 3), np.uint8)
    monkeypatch.setattr(scenery, "photographs", lambda: (blank,))
    data = datasets.load("digit_scenes", fewest=3, count=3)
    pool = datasets.load("digits28", "train")
    for image, boxes, labels, colours in zip(
        data["images"],
        data["boxes"],
        data["label"],
        data["colour"],
        strict=True,
    ):
        for (x, y, w, h), label, colour in zip(
            boxes, labels, colours, strict=True
        ):
            cut = image[y : y + h, x : x + w].astype(float)
            shade = scenery.PALETTE[colour]
            np.testing.assert_allclose(cut.max((0, 1)), shade, atol=6)
            ink = cut.max(-1) * 255 / shade.max()
            same = pool["images"][pool["label"] == label][..., 0]
            windows = np.lib.stride_tricks.sliding_window_view(
                same, (h, w), axis=(1, 2)
            )
            assert np.abs(windows - ink).max((-1, -2)).min() <= 3


def test_bright_digits_stand_out(scenes):
    """Inside a box something is far brighter than any photograph is."""
    for image, boxes, labels in zip(
        scenes["images"].copy(), scenes["boxes"], scenes["label"], strict=True
    ):
        for x, y, w, h in boxes[labels >= 0]:
            assert image[y : y + h, x : x + w].max() >= 200
            image[y - 1 : y + h + 1, x - 1 : x + w + 1] = 0
        # The faint rim of a digit may reach one pixel beyond that.
        assert np.median(image.max((1, 2))) <= 16 + 255 * 2 // 5


def relation_holds(relation, first, second):
    x, y, w, h = first
    u, v, r, s = second
    return {
        "left": x + w <= u,
        "right": u + r <= x,
        "above": y + h <= v,
        "higher": y + h <= v,
        "below": v + s <= y,
        "lower": v + s <= y,
    }[relation]


def named(words, about):
    """Return (position, digit index) of every digit word."""
    return [
        (i, thing)
        for i, (word, thing) in enumerate(zip(words, about, strict=True))
        if word in digit_scenes.DIGITS
    ]


def test_words_name_the_digits_they_are_about(scenes):
    for words, about, _, labels, colours in rows(scenes):
        assert len(words) == len(about)
        present = int((labels >= 0).sum())
        things = [thing for _, thing in named(words, about)]
        assert sorted(things) == list(range(present))
        for word, thing in zip(words, about, strict=True):
            if word in digit_scenes.DIGITS:
                assert digit_scenes.DIGITS.index(word) == labels[thing]
            elif word in digit_scenes.COLOURS:
                assert digit_scenes.COLOURS.index(word) == colours[thing]
            else:
                assert thing == -1


def test_every_relation_is_true(scenes):
    """Read each caption again with a parser of its own."""
    pattern = re.compile(r"^(left|right|above|below|higher|lower)$")
    seen = set()
    for words, about, boxes, _, _ in rows(scenes):
        places = named(words, about)
        for i, word in enumerate(words):
            if not pattern.match(word) or len(places) == 1:
                continue
            if "with" in words:
                # "b with a to its left": what comes last is related.
                (_, other), (_, subject) = places
            else:
                subject = places[0][1]
                other = next(thing for at, thing in places if at > i)
            assert relation_holds(word, boxes[subject], boxes[other]), words
            seen.add(word)
    assert len(seen) == 6


def test_places_of_single_digits_are_true_and_clear():
    data = datasets.load("digit_scenes", most=1, count=400)
    third = 56 / 3
    names = (("upper", "middle", "lower"), ("left", "middle", "right"))
    seen = set()
    for words, _, ((x, y, w, h),), _, _ in rows(data):
        centre = (y + h / 2, x + w / 2)
        row, column = (
            names[axis][int(c // third)] for axis, c in enumerate(centre)
        )
        place = "middle" if row == column else f"{row} {column}"
        assert f"the {place}" in " ".join(words)
        for c in centre:
            assert min(abs(c - third), abs(c - 2 * third)) >= 2 - 0.51
        seen.add(place)
    assert len(seen) == 9


def test_an_eight_and_no_colours():
    data = datasets.load("digit_scenes", colours=False, count=100)
    assert (data["colour"] == -1).all()
    text = " ".join(sum(data["captions"], []))
    assert "an eight" in text and "a eight" not in text and "a one" in text
    assert not set(text.split()) & set(digit_scenes.COLOURS)


def test_same_seed_same_scenes():
    first, again, other = (
        datasets.load("digit_scenes", count=20, seed=seed) for seed in (1, 1, 2)
    )
    for key, value in first.items():
        np.testing.assert_equal(value, again[key])
    assert (first["images"] != other["images"]).any((1, 2, 3)).all()
    assert first["captions"] != other["captions"]


def test_splits_differ_in_photographs_and_digits():
    """The parts of the photographs do not overlap, nor do the digits."""
    spans = sorted(scenery.FIFTHS.values())
    assert [stop for _, stop in spans] == [3, 4, 5]
    assert [start for start, _ in spans] == [0, 3, 4]
    # Two channels of this photograph hold the number of the column.
    column = np.arange(600)
    marked = np.zeros((300, 600, 3), np.uint8)
    marked[..., 0], marked[..., 1] = column % 256, column // 256
    seen = {}
    for split in SPLITS:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(scenery, "photographs", lambda: (marked,))
            random = np.random.RandomState(0)
            pieces = scenery.backgrounds(random, split, 200, 84)
        found = pieces[..., 0].astype(int) + 256 * pieces[..., 1].astype(int)
        seen[split] = set(np.unique(found).tolist())
    assert max(seen["train"]) < min(seen["validation"])
    assert max(seen["validation"]) < min(seen["test"])
    pools = [
        {digit.tobytes() for digit in datasets.load("digits28", s)["images"]}
        for s in SPLITS
    ]
    assert not pools[0] & pools[1] and not pools[1] & pools[2]
    assert not pools[0] & pools[2]


def test_a_load_cannot_be_changed_by_its_caller():
    first = datasets.load("digit_scenes", count=3)
    first["images"][:] = 0
    first["label"][:] = 0
    again = datasets.load("digit_scenes", count=3)
    assert again["images"].any() and again["label"].any()


def test_digits_of_another_set(monkeypatch, request):
    """MNIST by name: here its reader gives bars of 9 x 14 pixels."""
    images = np.zeros((5, 28, 28, 1), np.uint8)
    images[:, 6:20, 10:19] = 255
    known = registry.all_sets()
    bars = dataclasses.replace(
        known["mnist"],
        read=lambda split: {"images": images, "label": np.full(5, 7)},
    )
    monkeypatch.setattr(registry, "all_sets", lambda: known | {"mnist": bars})
    scenery.pool.cache_clear()
    request.addfinalizer(scenery.pool.cache_clear)
    data = datasets.load("digit_scenes", most=1, count=5, digits="mnist")
    assert (data["label"] == 7).all()
    assert (data["boxes"][..., 2:] == [9, 14]).all()


def test_absent_mnist_is_said(monkeypatch):
    def offline(url, path):
        raise requests.ConnectionError

    monkeypatch.setattr(store, "_get", offline)
    with pytest.raises(datasets.DatasetUnavailable, match="'mnist' .*licence"):
        datasets.load("digit_scenes", "test", digits="mnist")


@pytest.mark.parametrize(
    "options, message",
    [
        ({"side": 28}, "side: expected 56 or 84, received 28"),
        ({"side": "56"}, "side: expected 56 or 84"),
        ({"most": 4}, "most: expected a whole number, 1 to 3, received 4"),
        ({"fewest": 0}, "fewest: expected a whole number, 1 to 3"),
        ({"fewest": 3, "most": 2}, "fewest: .* 1 to 2, received 3"),
        ({"colours": 1}, "colours: expected True or False, received 1"),
        ({"count": 0}, "count: expected a whole number, at least 1"),
        ({"count": 2.0}, "count: expected a whole number"),
        ({"digits": "multi30k"}, "digits: expected one of digits28, mnist"),
        ({"seed": -1}, "seed: expected a whole number"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        datasets.load("digit_scenes", **options)


# Attention on boxes


def test_coverage_is_the_share_of_pixels():
    """Against counting the pixels of every cell, one by one."""
    rng = np.random.default_rng(0)
    side, rows, columns = 24, 4, 6
    for _ in range(20):
        x, y = rng.integers(0, side - 1, 2)
        w, h = rng.integers(1, side - max(x, y) + 1, 2)
        picture = np.zeros((side, side))
        picture[y : y + h, x : x + w] = 1
        cells = picture.reshape(rows, side // rows, columns, side // columns)
        found = digit_scenes.coverage([x, y, w, h], (rows, columns), side)
        np.testing.assert_allclose(found, cells.mean((1, 3)).ravel())


def test_coverage_of_cells_that_no_pixel_fits():
    """7 columns on 24 pixels: areas still add up."""
    found = digit_scenes.coverage([[3, 5, 10, 7]], 7, 24)
    assert found.mean() == pytest.approx(10 * 7 / 24**2)
    assert found.min() >= 0 and found.max() <= 1 + 1e-12


@pytest.mark.parametrize("grid", [7, 14, (4, 9)])
def test_uniform_attention_is_at_chance(scenes, grid):
    objects = [about[0] for about in scenes["objects"]]
    cells = grid * grid if isinstance(grid, int) else grid[0] * grid[1]
    weights = [np.full((len(about), cells), 1 / cells) for about in objects]
    found = digit_scenes.attention_mass(
        weights, scenes["boxes"], objects, grid, 56
    )
    np.testing.assert_allclose(found["mass"], found["chance"])
    boxes = scenes["boxes"][found["scene"]]
    thing = [
        objects[scene][word]
        for scene, word in zip(found["scene"], found["word"], strict=True)
    ]
    area = np.prod(boxes[np.arange(len(thing)), thing, 2:], axis=-1)
    np.testing.assert_allclose(found["chance"], area / 56**2)
    assert (found["ceiling"] > found["chance"]).all()


def test_perfect_and_worst_attention():
    boxes = np.array([[[0, 0, 28, 56], [28, 0, 28, 56]]])
    weights = np.array([[[0.5, 0, 0.5, 0], [0, 1, 0, 0], [0.2, 0.3, 0.1, 0.4]]])
    found = digit_scenes.attention_mass(weights, boxes, [[0, 0, 1]], 2, 56)
    np.testing.assert_allclose(found["mass"], [1, 0, 0.7])
    np.testing.assert_allclose(found["chance"], [0.5] * 3)
    assert found["word"].tolist() == [0, 1, 2]


def test_padding_and_other_words_do_not_count():
    boxes = np.array([[[0, 0, 28, 28]], [[28, 28, 28, 28]]])
    weights = np.full((2, 5, 4), np.nan)
    weights[0, 1] = [1, 0, 0, 0]
    weights[1, 0] = [3, 0, 0, 1]  # need not sum to 1
    found = digit_scenes.attention_mass(
        weights, boxes, [[-1, 0], [0, -1, -1]], 2, 56
    )
    np.testing.assert_allclose(found["mass"], [1, 0.25])
    assert found["scene"].tolist() == [0, 1]
    assert found["word"].tolist() == [1, 0]


def test_scenes_that_name_nothing_give_empty_arrays():
    found = digit_scenes.attention_mass(
        np.ones((1, 2, 4)), np.ones((1, 1, 4)), [[-1, -1]], 2, 8
    )
    assert all(len(values) == 0 for values in found.values())
    none = digit_scenes.attention_mass([], np.ones((0, 1, 4)), [], 2, 8)
    assert all(len(values) == 0 for values in none.values())


def attend(
    weights=((0.25,) * 4,) * 2,
    boxes=((0, 0, 4, 4),),
    objects=(-1, 0),
    grid=2,
    side=8,
):
    return digit_scenes.attention_mass(
        [np.array(weights)], [boxes], [list(objects)], grid, side
    )


@pytest.mark.parametrize(
    "options, message",
    [
        ({"weights": np.ones((2, 9))}, r"scene 0 of shape \(T, 4\)"),
        ({"weights": np.ones(4)}, r"shape \(T, 4\)"),
        ({"weights": np.ones((1, 4))}, "all 2 words of scene 0. .* of 1"),
        ({"weights": np.zeros((2, 4))}, "not all 0"),
        ({"weights": -np.ones((2, 4))}, "not negative"),
        ({"weights": np.full((2, 4), np.nan)}, "that are finite"),
        ({"boxes": (0, 0, 4, 4)}, r"boxes of shape \(N, K, 4\)"),
        ({"boxes": ((0, 0, 4),)}, r"boxes of shape \(..., 4\)"),
        ({"objects": (-1, 1)}, "objects from -1 to 0"),
        ({"objects": (-2, 0)}, "objects from -1 to 0"),
        ({"grid": 0}, "grid: expected a whole number"),
        ({"grid": (2, 2, 2)}, "expected grid as a number or"),
        ({"side": 0}, "side: expected a whole number"),
    ],
)
def test_bad_attention(options, message):
    with pytest.raises(ValueError, match=message):
        attend(**options)


def test_different_numbers_of_scenes():
    with pytest.raises(ValueError, match="Received: 2, 1 and 1"):
        digit_scenes.attention_mass(
            np.ones((2, 2, 4)), np.ones((1, 1, 4)), [[0]], 2, 8
        )
