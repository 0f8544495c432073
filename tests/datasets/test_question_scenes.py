"""Questions about scenes: true, balanced, and not to be guessed."""

import collections
import dataclasses
import re

import numpy as np
import pytest

from attnlib import datasets
from attnlib.datasets import question_scenes, registry, scenery

TASKS = question_scenes.TASKS
DIGIT_TASKS = ("mixed", "telling", "pointing")
SPLITS = ("train", "validation", "test")
COUNT, SIDE = 400, 56


@pytest.fixture(scope="module")
def made():
    """Return scenes of every task."""
    return {
        task: datasets.load("question_scenes", task=task, scenes=COUNT, seed=5)
        for task in TASKS
    }


def things_of(data, scene):
    """Return what is in a scene: boxes, digits and colours as words."""
    return [
        (
            box,
            scenery.DIGITS[label] if label >= 0 else "",
            scenery.COLOURS[tint],
        )
        for box, label, tint in zip(
            data["boxes"][scene].tolist(),
            data["label"][scene].tolist(),
            data["colour"][scene].tolist(),
            strict=True,
        )
        if tint >= 0
    ]


def middle(box):
    x, y, w, h = box
    return x + w / 2, y + h / 2


def place_of(box):
    x, y = (c > SIDE / 2 for c in middle(box))
    return f"{'lower' if y else 'upper'} {'right' if x else 'left'}"


def holds(relation, box, other):
    """Say from boxes alone whether one is so as seen from the other."""
    (x, y), (u, v) = middle(box), middle(other)
    row, column = (
        place_of(box).split()[i] == place_of(other).split()[i] for i in (0, 1)
    )
    return {
        "left of": row and box[0] + box[2] < other[0] and x < u,
        "right of": row and other[0] + other[2] < box[0] and x > u,
        "above": column and box[1] + box[3] < other[1] and y < v,
        "below": column and other[1] + other[3] < box[1] and y > v,
    }[relation]


def the(things, word):
    """Return the only thing that a word names."""
    (found,) = [t for t in things if word in t[1:]]
    return found


def solve(question, things):
    """Answer a question from what is in the scene, and say what it is about.

    Returns:
        Tuple of the answer and of the boxes of the hops, None for none.
    """
    if found := re.fullmatch(r"is there a (\w+) (\w+)", question):
        same = [t for t in things if t[1:] == (found[2], found[1])]
        box = same[0][0] if same else None
        return ("yes" if same else "no"), [box, box]
    asked = "(what colour|which digit) is (?:the digit )?"
    relation = "|".join(question_scenes.RELATIONS)
    if found := re.fullmatch(
        rf"{asked}({relation}) the (\w+)(?: digit)?", question
    ):
        first = the(things, found[3])
        (second,) = [t for t in things if holds(found[2], t[0], first[0])]
        word = second[2] if found[1] == "what colour" else second[1]
        return word, [first[0], second[0]]
    thing = the(things, question.split()[-1])
    word = {
        "what": thing[2],
        "which": thing[1],
        "where": place_of(thing[0]),
    }[question.split()[0]]
    return word, [thing[0], thing[0]]


@pytest.mark.parametrize("size", [56, 84])
@pytest.mark.parametrize("task", TASKS)
def test_shapes(task, size):
    data = datasets.load(
        "question_scenes", "test", task=task, size=size, scenes=9
    )
    assert data["images"].shape == (9, size, size, 3)
    assert data["images"].dtype == np.uint8
    count = len(data["question"])
    assert len(data["answer"]) == len(data["kind"]) == count
    assert data["image"].shape == data["hops"].shape == (count,)
    assert data["image"].dtype == data["hops"].dtype == np.int32
    assert data["box"].shape == (count, 2, 4)
    assert data["box"].dtype == np.float32
    assert set(data["image"]) == set(range(9))
    if "choice" in data:
        assert data["choice"].shape == (count,)
        assert data["choice"].dtype == np.int32
    assert ("choices" in data) == (task == "telling")
    assert ("choice_boxes" in data) == (task == "pointing")


@pytest.mark.parametrize("task", DIGIT_TASKS)
def test_answers_and_boxes_follow_from_what_is_in_the_scene(made, task):
    data = made[task]
    for i, question in enumerate(data["question"]):
        things = things_of(data, data["image"][i])
        answer, boxes = solve(question, things)
        assert data["answer"][i] == answer, question
        for box, found in zip(boxes, data["box"][i], strict=True):
            expected = [np.nan] * 4 if box is None else box
            np.testing.assert_array_equal(found, expected)
        two = boxes[0] != boxes[1]
        assert data["hops"][i] == 1 + two
        assert (data["kind"][i] == "relation") == two


@pytest.mark.parametrize("task", ["absolute", "relative"])
@pytest.mark.parametrize("size", [56, 84])
def test_squares_are_clearly_where_the_yes_says(task, size):
    data = datasets.load("question_scenes", task=task, size=size, scenes=100)
    end = " of the cat" if task == "relative" else ""
    for i, question in enumerate(data["question"]):
        boxes = data["boxes"][data["image"][i]]
        *cat, square = boxes
        u, v = middle(cat[0]) if cat else (size / 2, size / 2)
        x, y = middle(square)
        far = {"left": u - x, "right": x - u, "top": v - y, "bottom": y - v}
        first, second = sorted(far, key=far.get, reverse=True)[:2]
        assert far[first] - far[second] >= size // 5 / 2
        side = re.fullmatch(
            rf"is there a red square on the (\w+){end}", question
        )[1]
        assert data["answer"][i] == ("yes" if side == first else "no")
        np.testing.assert_array_equal(data["box"][i], boxes[[0, -1]])
        if cat:
            reach = (square[2] + cat[0][2]) / 2
            assert far[first] >= reach + 2
    assert set(data["hops"]) == {2 if cat else 1}
    assert set(data["kind"]) == {task}


@pytest.mark.parametrize("task", TASKS)
def test_things_are_inside_and_apart(made, task):
    data = made[task]
    for scene in range(COUNT):
        painted = np.zeros((SIDE, SIDE), int)
        things = things_of(data, scene)
        for (x, y, w, h), *_ in things:
            assert min(x, y) >= 1 and max(x + w, y + h) <= SIDE - 1
            painted[y : y + h, x : x + w] += 1
        assert painted.max() == 1
        if task in DIGIT_TASKS:
            for word in (1, 2):
                assert len({t[word] for t in things}) == len(things)


def test_squares_are_red_and_cats_are_not(made):
    for image, (cat, square) in zip(
        made["relative"]["images"], made["relative"]["boxes"], strict=True
    ):
        x, y, w, h = square
        assert w == h
        inside = image[y : y + h, x : x + w].reshape(-1, 3)
        np.testing.assert_array_equal(
            inside, np.broadcast_to(scenery.PALETTE[0], inside.shape)
        )
        x, y, w, h = cat
        inside = image[y : y + h, x : x + w].astype(int)
        assert inside.max() > 200
        # Two dark eyes.
        assert inside.max(-1)[h // 2 : h // 2 + 2].min() < 130
        red = (np.abs(inside - scenery.PALETTE[0]).max(-1) < 20).mean()
        assert red == 0


def test_digits_look_as_labelled(monkeypatch):
    """On black, each box holds a digit of the pool in its colour."""
    blank = np.zeros((300, 600, 3), np.uint8)
    monkeypatch.setattr(scenery, "photographs", lambda: (blank,))
    data = datasets.load("question_scenes", scenes=3)
    pool = datasets.load("digits28", "train")
    for scene in range(3):
        for (x, y, w, h), digit, tint in things_of(data, scene):
            cut = data["images"][scene, y : y + h, x : x + w].astype(float)
            shade = scenery.PALETTE[scenery.COLOURS.index(tint)]
            np.testing.assert_allclose(cut.max((0, 1)), shade, atol=6)
            ink = cut.max(-1) * 255 / shade.max()
            same = pool["label"] == scenery.DIGITS.index(digit)
            windows = np.lib.stride_tricks.sliding_window_view(
                pool["images"][same][..., 0], (h, w), axis=(1, 2)
            )
            assert np.abs(windows - ink).max((-1, -2)).min() <= 3


def test_how_many_questions(made):
    number = (made["mixed"]["label"] >= 0).sum(axis=1)
    assert set(number) == {2, 3, 4}
    assert abs((number == 4).mean() - 0.5) < 0.08
    asked = np.bincount(made["mixed"]["image"])
    np.testing.assert_array_equal(asked, np.where(number == 4, 12, 4))
    number = (made["telling"]["label"] >= 0).sum(axis=1)
    asked = np.bincount(made["telling"]["image"])
    np.testing.assert_array_equal(asked, np.where(number == 4, 11, 3))
    assert (made["pointing"]["label"] >= 0).all()
    assert (np.bincount(made["pointing"]["image"]) == 8).all()
    for task in ("absolute", "relative"):
        assert (np.bincount(made[task]["image"]) == 4).all()


def test_some_kinds_are_asked_about_the_same_scenes(made):
    kinds = ("relation", "digit")
    for task in ("mixed", "telling"):
        every = datasets.load("question_scenes", task=task, scenes=40)
        some = datasets.load(
            "question_scenes", task=task, scenes=40, kinds=kinds
        )
        np.testing.assert_array_equal(some["images"], every["images"])
        rows = [i for i, kind in enumerate(every["kind"]) if kind in kinds]
        assert 0 < len(rows) < len(every["kind"])
        for key in ("question", "answer", "kind"):
            assert some[key] == [every[key][i] for i in rows]
        np.testing.assert_array_equal(some["box"], every["box"][rows])


# Nothing to guess


def chance_of(kind, question):
    if kind == "exists":
        return 1 / 2
    if kind == "place":
        return 1 / 4
    # A relation is asked of a digit that is named by its colour, too.
    known = kind == "relation"
    return 1 / ((6 if question.startswith("what colour") else 10) - known)


def guessed(train, test, group):
    """Learn the most frequent answer to each text, return who is right.

    Returns:
        Dictionary from `group(kind, question)` to the share that was right.
    """
    seen = collections.defaultdict(collections.Counter)
    for question, answer in zip(
        train["question"], train["answer"], strict=True
    ):
        seen[question][answer] += 1
    right = collections.defaultdict(list)
    for question, answer, kind in zip(
        test["question"], test["answer"], test["kind"], strict=True
    ):
        (guess, _), *_ = seen[question].most_common(1) or [("", 0)]
        right[group(kind, question)].append(guess == answer)
    return {key: np.mean(values) for key, values in right.items()}


def test_the_text_alone_is_at_chance():
    train, test = (
        datasets.load("question_scenes", scenes=1500, seed=seed)
        for seed in (1, 2)
    )
    found = guessed(
        train, test, lambda kind, text: (kind, chance_of(kind, text))
    )
    assert len(found) == 5
    for (kind, chance), share in found.items():
        assert abs(share - chance) < 0.04, kind


def test_what_is_not_there_has_parts_that_are(made):
    """Colour and digit of every `no` are in the picture, on other digits."""
    data, answers = made["mixed"], []
    for i, question in enumerate(data["question"]):
        if data["kind"][i] == "exists":
            things = things_of(data, data["image"][i])
            _, _, _, tint, digit = question.split()
            same = the(things, digit) == the(things, tint)
            assert same == (data["answer"][i] == "yes")
            answers.append(data["answer"][i])
    assert abs(np.mean([a == "yes" for a in answers]) - 0.5) < 0.07


def test_a_relation_needs_the_digit_that_it_names(made):
    """Whoever only knows the relation has two digits to choose from."""
    data = made["mixed"]
    answers = collections.defaultdict(set)
    for i, question in enumerate(data["question"]):
        if data["kind"][i] == "relation":
            things = things_of(data, data["image"][i])
            (relation,) = [
                r for r in question_scenes.RELATIONS if r in question
            ]
            box = tuple(data["box"][i, 1].tolist())
            answers[data["image"][i], relation].add(box)
            assert len(things) == 4
    assert {len(boxes) for boxes in answers.values()} == {2}


@pytest.mark.parametrize("task", ["absolute", "relative"])
def test_always_no_is_right_three_times_in_four(made, task):
    """Of every text, and so about the same pictures as the `yes`."""
    data = made[task]
    yes = np.array(data["answer"]) == "yes"
    for text in set(data["question"]):
        assert yes[np.array(data["question"]) == text].mean() == 0.25
    assert (yes.reshape(COUNT, 4).sum(axis=1) == 1).all()


def test_where_the_square_is_says_little_of_where_the_cat_is():
    """Of four sides, its place alone names the right one less than 2 in 3."""
    train, test = (
        datasets.load("question_scenes", task="relative", scenes=3000, seed=s)
        for s in (1, 2)
    )

    def cells_and_sides(data, thing):
        boxes = data["boxes"][:, thing]
        x, y = ((2 * boxes[:, :2] + boxes[:, 2:]) * 7 // (2 * SIDE)).T
        yes = np.array(data["answer"]) == "yes"
        return 7 * y + x, yes.reshape(-1, 4).argmax(axis=1)

    for thing in (0, 1):
        cell, side = cells_and_sides(train, thing)
        seen = np.zeros((49, 4))
        np.add.at(seen, (cell, side), 1)
        cell, side = cells_and_sides(test, thing)
        assert (seen.argmax(axis=1)[cell] == side).mean() < 0.67


def test_four_answers(made):
    data = made["telling"]
    assert "exists" not in data["kind"]
    kinds = (scenery.COLOURS, scenery.DIGITS, question_scenes.PLACES)
    for i, choices in enumerate(data["choices"]):
        assert len(set(choices)) == 4
        assert choices[data["choice"][i]] == data["answer"][i]
        (kind,) = [known for known in kinds if data["answer"][i] in known]
        assert set(choices) <= set(kind)
        things = things_of(data, data["image"][i])
        here = [word for t in things for word in t[1:] if word in kind]
        # Wrong answers are of the scene first.
        assert set(here) <= set(choices)
    spread = np.bincount(data["choice"]) / len(data["choice"])
    assert np.abs(spread - 0.25).max() < 0.03
    # The most frequent of the four answers is no good guess either.
    often = collections.Counter(data["answer"])
    right = [
        max(choices, key=often.get) == answer
        for choices, answer in zip(data["choices"], data["answer"], strict=True)
    ]
    assert np.mean(right) < 0.33


def test_four_boxes(made):
    data = made["pointing"]
    for i, boxes in enumerate(data["choice_boxes"]):
        scene = data["boxes"][data["image"][i]]
        assert sorted(boxes.tolist()) == sorted(scene.tolist())
        right = boxes[data["choice"][i]]
        np.testing.assert_array_equal(right, data["box"][i, 1])
        assert (right != data["box"][i, 0]).any()
    spread = np.bincount(data["choice"]) / len(data["choice"])
    assert np.abs(spread - 0.25).max() < 0.03
    assert len({tuple(o) for o in data["choice_boxes"][:8, :, 0].tolist()}) > 4


# Seeds, splits, errors


@pytest.mark.parametrize("task", TASKS)
def test_same_seed_same_questions(task):
    first, again, other = (
        datasets.load("question_scenes", task=task, scenes=20, seed=seed)
        for seed in (1, 1, 2)
    )
    for key, value in first.items():
        np.testing.assert_equal(value, again[key])
    assert (first["images"] != other["images"]).any((1, 2, 3)).all()
    assert first["answer"] != other["answer"]


def test_splits_have_scenes_of_their_own():
    """Photographs and digits are those of `digit_scenes`, tested there."""
    pictures = [
        {
            image.tobytes()
            for image in datasets.load("question_scenes", s, scenes=50)[
                "images"
            ]
        }
        for s in SPLITS
    ]
    assert not pictures[0] & pictures[1] and not pictures[1] & pictures[2]


def test_digits_of_another_set(monkeypatch, request):
    """MNIST by name: here its reader gives bars of 20 x 20 pixels."""
    images = np.zeros((30, 28, 28, 1), np.uint8)
    images[:, 4:24, 4:24] = 255
    known = registry.all_sets()
    bars = dataclasses.replace(
        known["mnist"],
        read=lambda split: {"images": images, "label": np.arange(30) % 10},
    )
    monkeypatch.setattr(registry, "all_sets", lambda: known | {"mnist": bars})
    scenery.pool.cache_clear()
    request.addfinalizer(scenery.pool.cache_clear)
    data = datasets.load("question_scenes", scenes=40, digits="mnist")
    there = data["label"] >= 0
    assert (data["boxes"][there][:, 2:] == 20).all()
    assert set(data["label"][there]) == set(range(10))


def test_a_load_cannot_be_changed_by_its_caller():
    for task in ("mixed", "relative"):
        first = datasets.load("question_scenes", task=task, scenes=3)
        first["images"][:], first["boxes"][:] = 0, 0
        again = datasets.load("question_scenes", task=task, scenes=3)
        assert again["images"].any() and again["boxes"].any()


@pytest.mark.parametrize(
    "options, message",
    [
        (
            {"task": "counting"},
            "task: expected one of mixed, absolute, .*count",
        ),
        ({"task": None}, "task: expected one of"),
        ({"size": 28}, "size: expected 56, 64 or 84, received 28"),
        ({"size": True}, "size: expected 56, 64 or 84"),
        ({"scenes": 0}, "scenes: expected a whole number, at least 1"),
        ({"scenes": 2.0}, "scenes: expected a whole number"),
        ({"digits": "hershey"}, "digits: expected one of digits28, mnist"),
        ({"seed": -1}, "seed: expected a whole number"),
        (
            {"kinds": ("colour", "size")},
            "kinds: expected some of colour, .*siz",
        ),
        ({"kinds": "colour"}, "kinds: expected some of colour"),
        ({"kinds": ()}, "kinds: expected some of colour"),
        ({"task": "telling", "kinds": ("exists",)}, "place, relation, receiv"),
        ({"task": "pointing", "kinds": ("relation",)}, "expected None"),
        ({"kinds": ("relation",), "scenes": 1, "seed": 1}, "ask for more"),
        ({"side": 56}, "no option 'side'; its options are task, scenes"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        datasets.load("question_scenes", **options)
