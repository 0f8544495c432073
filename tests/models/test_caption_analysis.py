"""What captions of scenes say, judged; and what the image changes in them."""

import numpy as np
import pytest
from numerics import to_numpy

from attnlib import profiles, text
from attnlib.models import caption_analysis as analysis
from attnlib.models import captions

STEPS = pytest.mark.parametrize("kind", ["nic", "nic-every-step"])


@pytest.fixture(scope="module")
def settings():
    return profiles.load(
        "03",
        "smoke",
        examples=40,
        held_out=40,
        digits=3,
        units=8,
        embedding_size=4,
    )


@pytest.fixture(scope="module")
def task(settings):
    return captions.load_task(settings)


@pytest.mark.parametrize(
    ("line", "things", "relations", "place"),
    [
        ("a red two in the upper left", [("red", "two")], [], "upper left"),
        ("the middle shows an eight", [(None, "eight")], [], "middle"),
        (
            "there is a red six to the left of a blue one",
            [("red", "six"), ("blue", "one")],
            [(0, "left", 1)],
            "",
        ),
        (
            "a red six with a red one below it",
            [("red", "six"), ("red", "one")],
            [(1, "below", 0)],
            "",
        ),
        (
            "a red six higher than a red one and to the right of a white two",
            [("red", "six"), ("red", "one"), ("white", "two")],
            [(0, "above", 1), (0, "right", 2)],
            "",
        ),
        ("a red a of with", [], [], ""),
        ("a red two with a red", [("red", "two")], [], ""),
    ],
)
def test_parse_reads_what_is_said(line, things, relations, place):
    found = analysis.parse(line)
    assert found.things == tuple(things)
    assert found.relations == tuple(relations)
    assert found.place == place


@pytest.mark.parametrize("number", range(5))
def test_true_captions_are_right_in_everything(task, number):
    # Where two digits are alike, names do not say which is which.
    lines = [several[number] for several in task.test["captions"]]
    judged = analysis.judge(task, lines)
    for kind in analysis.STATEMENTS:
        of_kind = judged["kind"] == kind
        wrong = set(judged["scene"][of_kind & ~judged["right"]])
        if kind != "where":
            assert of_kind.any() and not wrong
            continue
        for scene in wrong:
            twins = analysis._digits(task.test, scene)
            assert len(set(twins)) < len(twins)
        assert len(wrong) < 5
    counts = {d: (judged["digits"] == d).sum() for d in (1, 2, 3)}
    scenes = (task.test["label"] >= 0).sum(axis=1)
    # Three statements a digit, one of how many, and where.
    assert counts == {
        d: (1 + 3 * d + max(1, d - 1)) * (scenes == d).sum() for d in counts
    }


def scene_of_two(task):
    """Return the number and the digits of a scene of two unlike digits."""
    for scene in range(40):
        digits = analysis._digits(task.test, scene)
        if len(digits) == 2 and all(map(str.__ne__, *digits)):
            return scene, digits
    raise AssertionError("no such scene")


def judge_one(task, scene, line):
    lines = [several[0] for several in task.test["captions"][:scene]]
    judged = analysis.judge(task, [*lines, line])
    here = judged["scene"] == scene
    return analysis.shares({key: rows[here] for key, rows in judged.items()})


def test_what_is_wrong_is_found(task):
    scene, ((c, d), (e, f)) = scene_of_two(task)
    true = task.test["captions"][scene][0]
    all_right = dict.fromkeys(analysis.STATEMENTS, 100.0)
    assert judge_one(task, scene, true) == all_right
    # Colours that change places: each is there, no pair is.
    crossed = true.replace(f"{c} {d}", "X").replace(f"{e} {f}", f"{c} {f}")
    found = judge_one(task, scene, crossed.replace("X", f"{e} {d}"))
    assert found["colour"] == found["digit"] == 100
    assert found["colour and digit"] == 0
    # One digit too few.
    found = judge_one(task, scene, f"a {c} {d} in the middle")
    assert found["how many"] == found["where"] == 0
    assert found["digit"] == found["colour and digit"] == 50
    # The digits change places: the relation is now false.
    turned = true.replace(f"{c} {d}", "X").replace(f"{e} {f}", f"{c} {d}")
    found = judge_one(task, scene, turned.replace("X", f"{e} {f}"))
    assert found["colour and digit"] == 100 and found["where"] == 0


def test_the_same_thing_twice_counts_once(task):
    scene, ((c, d), _) = scene_of_two(task)
    found = judge_one(task, scene, f"a {c} {d} left of a {c} {d}")
    assert found["colour and digit"] == 50 and found["where"] == 0


def test_scenes_without_colours_have_no_colours_to_judge(task):
    data = {
        "captions": [["a two left of a six"]],
        "objects": [[[-1, 0, -1, -1, -1, 1]]],
        "label": np.array([[2, 6]]),
        "colour": np.array([[-1, -1]]),
    }
    plain = type("Plain", (), {"test": data, "knows_boxes": True})
    found = analysis.shares(analysis.judge(plain, ["a six right of a two"]))
    assert found == {"how many": 100, "digit": 100, "where": 100}


def test_judging_needs_scenes(task):
    with pytest.raises(ValueError, match="at most 40. Received: 41 captions"):
        analysis.judge(task, ["a"] * 41)


def example(settings, task, kind):
    """Return an untrained model, captions of one length, and images."""
    model = captions.build(settings, task, kind, 10)
    rows = [
        i
        for i, several in enumerate(task.test["captions"])
        if len(several[0].split()) == 8
    ][:3]
    lines = [task.test["captions"][i][0] for i in rows]
    return model, lines, task.test["images"][rows]


@STEPS
def test_log_probs_are_the_model_s_own(settings, task, kind):
    model, lines, images = example(settings, task, kind)
    following = np.array(
        [[*task.vocabulary.encode(line), text.END] for line in lines]
    )
    target = np.pad(following, [(0, 0), (1, 0)])[:, :-1]
    target[:, 0] = text.START
    found = to_numpy(
        analysis.log_probs(
            model, analysis.embed(model, images), target, following
        )
    )
    logits = to_numpy(
        model({"source": captions.unit(images), "target": target})
    )
    wanted = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    wanted = np.take_along_axis(wanted, following[..., None], -1)[..., 0]
    np.testing.assert_allclose(found, wanted, atol=1e-4)


@STEPS
def test_influence_is_the_slope_of_each_word(settings, task, kind):
    model, lines, images = example(settings, task, kind)
    found = analysis.influence(model, task, lines, images)
    assert found["gradient"].shape == found["gain"].shape == (len(lines), 9)
    image = analysis.embed(model, images)
    spread = np.sqrt(image.var(axis=0).mean())
    following = np.array(
        [[*task.vocabulary.encode(line), text.END] for line in lines]
    )
    target = np.pad(following, [(0, 0), (1, 0)])[:, :-1]
    target[:, 0] = text.START

    def logs(image):
        return to_numpy(
            analysis.log_probs(
                model, image.astype("float32"), target, following
            )
        )

    # One coordinate after the other, by central differences.
    step, slopes = 0.02, []
    for k in range(image.shape[1]):
        there = np.eye(image.shape[1])[k] * step
        slopes.append((logs(image + there) - logs(image - there)) / 2 / step)
    wanted = np.linalg.norm(slopes, axis=0) * spread
    np.testing.assert_allclose(found["gradient"], wanted, rtol=0.03, atol=1e-4)
    mean = np.broadcast_to(image.mean(axis=0), image.shape)
    np.testing.assert_allclose(
        found["gain"], logs(image) - logs(mean), atol=1e-4
    )


def test_influence_wants_captions_of_one_length(settings, task):
    model = captions.build(settings, task, "nic", 10)
    with pytest.raises(ValueError, match=r"equally many.*\[2, 3\].*Choose"):
        analysis.influence(model, task, ["a", "a red"], task.test["images"][:2])


@STEPS
def test_memory_is_the_state_of_the_search(settings, task, kind):
    model, lines, images = example(settings, task, kind)
    found = analysis.remember(model, task, lines[0], images)
    assert found.shape == (10, len(lines), 2 * model.units)
    state, memory = model.encode(captions.unit(images))
    for t, word in enumerate([text.START, *task.vocabulary.encode(lines[0])]):
        both = np.concatenate([to_numpy(part) for part in state], axis=-1)
        np.testing.assert_allclose(found[t], both, atol=1e-5)
        state, *_ = model.step(state, np.full(len(lines), word), memory)


def test_labels_of_scenes(task):
    data = task.test
    rows, answers = analysis.scene_labels(task, "test", 1)
    for row, colour, digit, place in zip(
        rows, *(answers[k] for k in ("colour", "digit", "place")), strict=True
    ):
        (thing,) = analysis._digits(data, row)
        assert thing == (analysis.COLOURS[colour], analysis.DIGITS[digit])
        assert data["captions"][row][0].endswith(f"in the {place}")
    rows, answers = analysis.scene_labels(task, "test", 2)
    assert set(answers) == {
        f"{side} {what}"
        for side in ("left", "right")
        for what in ("colour", "digit")
    }
    for row, left, right in zip(
        rows, answers["left digit"], answers["right digit"], strict=True
    ):
        first, second, _ = data["boxes"][row, :, 0]
        labels = data["label"][row, :2].tolist()
        assert [left, right] == (labels if first <= second else labels[::-1])
    with pytest.raises(ValueError, match="digits to be 1 or 2.*Ask about"):
        analysis.scene_labels(task, "test", 3)


def test_probe_reads_what_is_there_and_nothing_else():
    random = np.random.default_rng(0)
    labels = random.integers(0, 4, 400)
    features = np.eye(4)[labels] + random.normal(0, 0.1, (400, 4))
    half = slice(200), slice(200, None)
    known = [(features[part], labels[part]) for part in half]
    assert analysis.probe(*known) > 95
    noise = [(random.normal(size=(200, 4)), labels[part]) for part in half]
    assert analysis.probe(*noise) < 45
