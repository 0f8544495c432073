"""Figures of questions about images, and the widget that asks them."""

import numpy as np
import pytest

from attnlib import figures
from attnlib.figures import style

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (2, 14, 14, 3)).astype(np.uint8)
QUESTIONS = ["what costs $5 or $6", "is there a red seven"]
WEIGHTS = RNG.dirichlet(np.ones(49), (2, 2))
BOXES = np.array([[[1, 2, 4, 5], [8, 8, 4, 4]], [[np.nan] * 4] * 2])
ANSWERS = ["red", "blue", "yes", "no"]


def hop_maps(**changes):
    options = {
        "images": IMAGES,
        "weights": WEIGHTS,
        "questions": QUESTIONS,
        "said": ["red", "yes"],
        "true": ["red", "no"],
        "boxes": BOXES,
    }
    return figures.hop_maps(**{**options, **changes})


def boxes_of(ax):
    return [
        (*patch.get_xy(), patch.get_width(), patch.get_height())
        for patch in ax.patches
    ]


def test_hops_look_where_the_weights_say():
    fig = hop_maps()
    _, image, first, second = fig.axes[:4]
    assert [ax.get_title() for ax in (image, first, second)] == [
        "image",
        "hop 1",
        "hop 2",
    ]
    drawn = first.images[0].get_array()
    y, x = divmod(int(WEIGHTS[0, 0].argmax()), 7)
    cell = np.s_[2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
    # The brightest cell is as bright as the image, no other one is.
    np.testing.assert_allclose(drawn[cell], IMAGES[0][cell] / 255)
    share = drawn.sum() / image.images[0].get_array().sum()
    assert 0.2 < share < 1
    assert f"hop 1 at row {y + 1}, column {x + 1}" in figures.get_alt(fig)


def test_dashed_boxes_lie_around_their_pixels_where_there_is_one():
    fig = hop_maps()
    assert boxes_of(fig.axes[2]) == [(0.5, 1.5, 4, 5)]
    assert boxes_of(fig.axes[3]) == [(7.5, 7.5, 4, 4)]
    # The second question is about something that is not there.
    assert all(not ax.patches for ax in fig.axes[4:])
    assert "Dashed" in fig.get_suptitle()
    assert "Dashed" not in hop_maps(boxes=None).get_suptitle()


def test_wrong_answers_have_the_right_one_beside_them():
    fig = hop_maps()
    told = [text.get_text() for ax in fig.axes for text in ax.texts]
    assert told[1] == "✓ red" and told[3] == "✗ yes, true: no"
    assert told[0].startswith("what costs $5")
    figures.to_png(fig)  # as a formula "$5 or $" would not parse


def test_one_scale_for_all_words_and_a_frame_for_the_largest_score():
    scores = np.zeros((2, 4))
    scores[0], scores[1, 3] = -1, 3
    fig = figures.word_maps(
        IMAGES[0], ["is", "red"], scores, [0.1, 0.1, 0.1, 0.7]
    )
    _, first, second, attention = fig.axes[:4]
    image = IMAGES[0] / 255
    np.testing.assert_allclose(first.images[0].get_array(), 0.2 * image)
    drawn = second.images[0].get_array()
    np.testing.assert_allclose(drawn[7:, 7:], image[7:, 7:])
    # 0 is a quarter of the way from -1 to 3.
    np.testing.assert_allclose(drawn[:7, :7], 0.4 * image[:7, :7])
    assert attention.get_title() == "attention"
    framed = [ax.spines["left"].get_visible() for ax in (first, second)]
    assert framed == [False, True]
    assert "red decided" in figures.get_alt(fig)


def test_lines_across_the_bars_are_the_most_frequent_answers():
    fig = figures.accuracy_by_kind(
        {"SAN": {"colour": 90, "exists": 60}, "SMem": {"colour": 80}},
        {"colour": 20, "exists": 50},
        "t",
    )
    (lines,) = fig.axes[0].collections
    segments = np.array(lines.get_segments())
    np.testing.assert_allclose(segments[:, :, 0], [[20, 20], [50, 50]])
    # Names go down from 0; a line crosses all bars of its name.
    np.testing.assert_allclose(segments.mean(axis=1)[:, 1], [0, 1])
    assert "most frequent answer: colour 20, exists 50" in figures.get_alt(fig)


def test_choices_are_marked():
    fig = figures.answers_to_choose(
        IMAGES[0], QUESTIONS[0], ANSWERS, [0.1, 0.6, 0.2, 0.1], right=0
    )
    labels = [label.get_text() for label in fig.axes[1].get_yticklabels()]
    assert labels == ["✓ red", "✗ blue", "yes", "no"]
    widths = [patch.get_width() for patch in fig.axes[1].patches]
    np.testing.assert_allclose(widths, [10, 60, 20, 10])
    fig = figures.answers_to_choose(
        IMAGES[0], QUESTIONS[0], ANSWERS, [0.7, 0.1, 0.1, 0.1], right=0
    )
    labels = [label.get_text() for label in fig.axes[1].get_yticklabels()]
    assert labels == ["✓ red", "blue", "yes", "no"]


def test_boxes_to_choose_from():
    boxes = np.tile(
        [[1, 1, 3, 3], [8, 1, 3, 3], [1, 8, 3, 3], [8, 8, 3, 3]], (2, 1, 1)
    )
    fig = figures.boxes_to_choose(IMAGES, QUESTIONS, boxes, [0, 2], [0, 1])
    first, second = fig.axes[:2]
    assert len(first.patches) == len(second.patches) == 4
    colors = [patch.get_edgecolor() for patch in second.patches[-2:]]
    green, orange = (
        tuple(int(style.COLORS[name][i : i + 2], 16) / 255 for i in (1, 3, 5))
        for name in ("green", "orange")
    )
    assert colors[0][:3] == green and colors[1][:3] == orange
    assert boxes_of(second)[-2:] == [(7.5, 0.5, 3, 3), (0.5, 7.5, 3, 3)]
    assert first.get_title(loc="left").startswith("✓")
    assert second.get_title(loc="left").startswith("✗")
    assert "right; is there a red seven? wrong" in figures.get_alt(fig)


@pytest.mark.parametrize("true", [None, "blue", "no"])
def test_an_answered_question_shows_the_likeliest_answers(true):
    fig = figures.answered_question(
        IMAGES[0],
        QUESTIONS[1],
        ANSWERS,
        [0.2, 0.5, 0.2, 0.1],
        WEIGHTS[0],
        true=true,
        most=3,
    )
    below = fig.axes[-1]
    labels = [label.get_text() for label in below.get_yticklabels()]
    assert labels == ["blue", "red", "yes"]
    expected = {None: "blue", "blue": "✓ blue", "no": "✗ blue, true: no"}
    text = " ".join(below.get_title(loc="left").split())
    assert text == f"{QUESTIONS[1]}? {expected[true]}"


# Ask your own question


def answer(image, question):
    """Answer like a model that knows five words."""
    unknown = set(question.split()) - {"is", "there", "a", "red", "seven"}
    if unknown:
        raise ValueError(f"expected known words. Received: {unknown.pop()}")
    return {
        "answers": ANSWERS,
        "probabilities": [0.1, 0.2, 0.3, 0.4],
        "weights": WEIGHTS[0],
    }


def test_a_question_of_ones_own():
    draw = figures.question_drawer(IMAGES, answer, most=2)
    widget = figures.question_explorer(draw, len(IMAGES), QUESTIONS[1])
    assert list(widget.controls) == ["question", "scene"]
    before = widget.image.value
    assert "is there a red seven? no" in before
    widget.controls["scene"].value = 1
    assert widget.image.value != before
    widget.controls["question"].value = "is there a seven?"
    assert "is there a seven? no" in widget.image.value
    good = widget.image.value
    widget.controls["question"].value = "is there a cat"
    assert "known words. Received: cat" in widget.message.value
    assert "ValueError" not in widget.message.value
    assert widget.image.value == good
    widget.controls["question"].value = " ?"
    assert "at least one word" in widget.message.value
    widget.controls["question"].value = "is there a seven?"
    assert widget.message.value == ""


def test_the_static_twin_of_a_question():
    draw = figures.question_drawer(IMAGES, answer)
    twin = figures.presets(
        draw,
        [{"question": QUESTIONS[1], "scene": i} for i in (0, 1)],
    )
    assert len(twin.pictures) == 2
    with pytest.raises(ValueError, match="`scene` from 0 to 1. Received: 2"):
        draw(QUESTIONS[1], 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hop_maps(said=["red"]), "weights .2.. Received: 2, 2, 1, 2"),
        (lambda: hop_maps(boxes=BOXES[:1]), r"boxes of shape \(2, 2, 4\)"),
        (lambda: hop_maps(weights=WEIGHTS[0]), "3 dimension"),
        (lambda: hop_maps(rows=5), "whole rows of cells .5."),
        (
            lambda: figures.word_maps(
                IMAGES[0], ["a"], np.ones((2, 4)), np.ones(4)
            ),
            "scores of 1 words and 4 cells",
        ),
        (lambda: figures.accuracy_by_kind({}, {}, "t"), "empty"),
        (
            lambda: figures.accuracy_by_kind(
                {"m": {"a": 101.0}}, {"a": 50}, "t"
            ),
            "0 to 100. Received: 101.0 of m for a",
        ),
        (
            lambda: figures.accuracy_by_kind({"m": {"a": 1}}, {"b": 2}, "t"),
            "`most frequent answer` of b",
        ),
        (
            lambda: figures.answers_to_choose(
                IMAGES[0], "a", ["b", "c"], [1.0], 0
            ),
            "each answer .2.",
        ),
        (
            lambda: figures.answers_to_choose(IMAGES[0], "a", ["b"], [1.5], 0),
            "0 to 1, of each answer",
        ),
        (
            lambda: figures.answers_to_choose(IMAGES[0], "a", ["b"], [1.0], 1),
            "`right` from 0 to 0. Received: 1",
        ),
        (
            lambda: figures.boxes_to_choose(
                IMAGES, QUESTIONS, np.ones((2, 4, 3)), [0, 0], [0, 0]
            ),
            r"boxes \(N, K, 4\)",
        ),
        (
            lambda: figures.boxes_to_choose(
                IMAGES, QUESTIONS, np.ones((2, 4, 4)), [0, 4], [0, 0]
            ),
            "`chosen` from 0 to 3. Received: 4",
        ),
        (
            lambda: figures.answered_question(
                IMAGES[0], "a", ["b"], [1.0], WEIGHTS[0], most=9
            ),
            "`most` from 1 to 8. Received: 9",
        ),
        (
            lambda: figures.question_explorer(lambda **_: None, 0, "a"),
            "at least one scene. Received: 0",
        ),
    ],
)
def test_bad_input_meets_one_clear_error(call, message):
    with pytest.raises(ValueError, match=message):
        call()
