"""Moving digits: no frame tells the motion; boxes say where the actor is."""

import numpy as np
import pytest

from attnlib import datasets
from attnlib.datasets import moving_digits, scenery
from attnlib.datasets.moving_digits import MOTIONS, steps

SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def videos():
    return datasets.load("moving_digits", "train", count=200, seed=3)


@pytest.fixture
def black(monkeypatch):
    """Black photographs, so that what is bright was painted."""
    blank = np.zeros((300, 600, 3), np.uint8)
    monkeypatch.setattr(scenery, "photographs", lambda: (blank,))


@pytest.mark.parametrize("side", [28, 56])
@pytest.mark.parametrize("distractors", [0, 2])
def test_shapes(side, distractors):
    data = datasets.load(
        "moving_digits",
        "test",
        side=side,
        frames=5,
        distractors=distractors,
        count=9,
    )
    assert data["videos"].shape == (9, 5, side, side, 3)
    assert data["videos"].dtype == np.uint8
    assert data["boxes"].shape == (9, 5, 4)
    assert data["label"].shape == data["digit"].shape == (9,)
    for key in ("boxes", "label", "digit"):
        assert data[key].dtype == np.int32


def test_motions_are_equally_frequent(videos):
    assert np.bincount(videos["label"]).tolist() == [25] * len(MOTIONS)
    assert set(videos["digit"]) == set(range(10))


@pytest.mark.parametrize("fast", [0, 1])
@pytest.mark.parametrize("motion", MOTIONS)
def test_steps(motion, fast):
    way = steps(motion, 17, fast, phase=3)
    moves = np.diff(way, axis=0)
    speed = (3, 4)[fast]
    along = {
        "left": [-speed, 0],
        "right": [speed, 0],
        "up": [0, -speed],
        "down": [0, speed],
    }
    if motion in along:
        assert (moves == along[motion]).all()
    elif motion == "zoom":
        assert not moves.any()
    elif motion == "shake":
        assert (way[:, 1] == 0).all() and way[:4].sum() == 0
        assert (way[4:] == way[:-4]).all() and np.ptp(way[:, 0]) == 2 * speed
    else:
        # The sense of rotation is the sign of the cross product; y is down.
        turn = way[:-1, 0] * way[1:, 1] - way[:-1, 1] * way[1:, 0]
        assert (np.sign(turn) == (1 if motion == "clockwise" else -1)).all()
        assert (way[0] == way[16]).all()
        np.testing.assert_allclose(
            np.linalg.norm(way, axis=1), (8, 10)[fast], atol=0.75
        )


def test_no_single_frame_tells_the_motion():
    """Over all starts, every place is met once at every time, by any motion."""
    side, frames = 28, 6
    world = side + 8
    starts = np.stack(np.mgrid[:world, :world], axis=-1).reshape(-1, 1, 2)
    for motion in MOTIONS:
        for phase in (0, 5):
            places = (starts + steps(motion, frames, 1, phase)) % world
            for t in range(frames):
                flat = places[:, t, 0] * world + places[:, t, 1]
                assert np.bincount(flat).tolist() == [1] * world**2


def test_sizes_in_one_frame_are_those_of_every_motion():
    """Over all phases, a zoom meets every height as often as the others do."""
    cycle = moving_digits._HEIGHTS[moving_digits._CYCLE]
    for t in range(12):
        zoomed = cycle[(np.arange(10) + t) % 10]
        assert sorted(zoomed) == sorted(cycle)


def test_places_and_sizes_are_drawn_so():
    """The same, measured: motions cannot be told from frames' numbers."""
    random = np.random.RandomState(0)
    motions = np.repeat(np.arange(len(MOTIONS)), 1000)
    centres, heights = moving_digits._paths(random, motions, 12, 56)
    assert centres.min() == -4 and centres.max() == 59
    for t in (0, 5, 11):
        for values in (centres[:, t, 0], centres[:, t, 1], heights[:, t]):
            means = values.reshape(len(MOTIONS), 1000).mean(axis=1)
            error = values.std() / 1000**0.5
            assert np.abs(means - values.mean()).max() < 4 * error


def test_boxes_hug_the_actor(black):
    data = datasets.load("moving_digits", distractors=0, count=24, frames=6)
    seen = 0
    for video, boxes in zip(data["videos"], data["boxes"], strict=True):
        for frame, (x, y, w, h) in zip(video, boxes, strict=True):
            ys, xs = np.nonzero(frame[..., 0] >= 80)
            inside = (x <= xs) & (xs < x + w) & (y <= ys) & (ys < y + h)
            # The faint rim of a digit may reach one pixel beyond its box.
            near = (x - 1 <= xs) & (xs <= x + w)
            near &= (y - 1 <= ys) & (ys <= y + h)
            assert near.all()
            if w > 8 and h > 8:
                seen += 1
                assert inside.sum() > 10
                assert (frame[..., 0] > 150).any()
    assert seen > 60


def test_the_actor_alone_is_red(black):
    data = datasets.load("moving_digits", count=16, frames=4)
    redness = data["videos"].astype(int)
    redness = redness[..., 0] - redness[..., 1:].max(axis=-1)
    for video, boxes in zip(redness, data["boxes"], strict=True):
        for frame, (x, y, w, h) in zip(video, boxes, strict=True):
            rest = frame.copy()
            rest[max(y - 2, 0) : y + h + 2, max(x - 2, 0) : x + w + 2] = 0
            assert rest.max() < 100
            if w > 8 and h > 8:
                assert frame[y : y + h, x : x + w].max() > 120


def test_nothing_but_digits_moves(videos):
    """Backgrounds stay: most pixels are the same in all frames."""
    same = (videos["videos"] == videos["videos"][:, :1]).all(axis=(1, 4))
    assert same.mean() > 0.4


def test_a_zoom_scales_and_stays(black):
    data = datasets.load(
        "moving_digits", distractors=0, count=80, frames=10, seed=1
    )
    zoom = MOTIONS.index("zoom")
    boxes = data["boxes"][data["label"] == zoom]
    whole = (boxes[..., :2] > 0).all((1, 2))
    whole &= (boxes[..., :2] + boxes[..., 2:] < 56).all((1, 2))
    assert whole.sum() >= 2
    for box in boxes[whole]:
        assert set(box[:, 3]) == {14, 16, 18, 20, 22}
        centres = box[:, :2] + box[:, 2:] // 2
        assert (centres == centres[0]).all()


def test_splits_differ_and_seeds_repeat():
    found = {
        split: datasets.load("moving_digits", split, count=8, frames=3)
        for split in SPLITS
    }
    again = datasets.load("moving_digits", "train", count=8, frames=3)
    assert (again["videos"] == found["train"]["videos"]).all()
    assert (found["train"]["videos"] != found["test"]["videos"]).any()
    other = datasets.load("moving_digits", "train", count=8, frames=3, seed=1)
    assert (again["videos"] != other["videos"]).any()


def test_scaling_keeps_patches_that_have_their_size_already():
    pool = scenery.pool("digits28", "test")
    ink, _, sizes, _ = pool
    low = sizes.max(axis=1) <= 20
    same = moving_digits._scaled(ink[low], sizes[low], sizes[low])
    for patch, kept, (w, h) in zip(same, ink[low], sizes[low], strict=True):
        np.testing.assert_array_equal(
            patch[: h + 4, : w + 4], kept[: h + 4, : w + 4]
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames": 1}, "frames: expected a whole number, at least 2"),
        ({"side": 20}, "side: expected a whole number, 28 to 112"),
        ({"distractors": 6}, "distractors: .* 0 to 5"),
        ({"count": 0}, "count: .* at least 1"),
        ({"digits": "letters"}, "digits: expected one of digits28, mnist"),
        ({"seed": -1}, "seed: "),
    ],
)
def test_bad_options_get_one_clear_error(options, message):
    with pytest.raises(ValueError, match=message):
        datasets.load("moving_digits", **options)
