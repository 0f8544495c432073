"""Pictures of questions about images: where a model looked, what it said."""

import textwrap

import numpy as np

from attnlib.figures import style
from attnlib.figures.curves import grouped_bars
from attnlib.figures.display import set_alt

_LOOKED = "Bright: where each hop looked"
_SHOULD = ". Dashed: where it should"
_MOST_BARS = 8


def _verdict(said, true):
    """Say an answer, and the true one where it is another."""
    if true is None:
        return str(said)
    return f"✓ {said}" if said == true else f"✗ {said}, true: {true}"


def _cell(weights, rows):
    """Name the cell that has the most of some weights (L,)."""
    y, x = divmod(int(weights.argmax()), len(weights) // rows)
    return f"row {y + 1}, column {x + 1}"


def _checked_boxes(boxes, shape):
    """Return boxes as an array of some shape, NaN where there is none."""
    boxes = np.asarray(boxes, float)
    if boxes.shape != shape:
        raise ValueError(
            f"expected boxes of shape {shape}. Received: {boxes.shape}"
        )
    return boxes


def _draw_hops(axes, image, weights, rows, boxes):
    """Draw one image, and once more what each hop looked at."""
    style.draw_image(axes[0], image)
    for hop, (ax, row) in enumerate(zip(axes[1:], weights, strict=True)):
        light = row / max(row.max(), 1e-12)
        style.draw_image(ax, style.lit(image, light, rows))
        if boxes is not None and np.isfinite(boxes[hop]).all():
            style.add_box(ax, boxes[hop], "sky", 1.8, "--")


@style.styled
def hop_maps(
    images,
    weights,
    questions,
    said,
    true,
    title=None,
    boxes=None,
    rows=None,
    hops=None,
):
    """Draw questions, their images, and the cells that each hop looked at.

    Args:
        images: N images (H, W[, C]); uint8 or floats in [0, 1].
        weights: (N, hops, L), the attention of each hop on L cells, row by
            row. In each picture the brightest cell has the largest weight.
        questions: N strings.
        said: N strings, the model's answers.
        true: N strings, the right answers.
        title: what to see, over the whole figure; None says it of any.
        boxes: (N, hops, 4), x, y, width and height in pixels of what each hop
            should look at, NaN for nothing; or None.
        rows: rows of cells; None for a square grid.
        hops: names of the hops; None for `hop 1` and so on.

    Returns:
        The matplotlib `Figure`, with alternative text.

    Raises:
        ValueError: there is no question, or numbers of images, weights, boxes,
            questions and answers do not fit each other.
    """
    weights = style.as_array("weights", weights, 3)
    count, number, _ = weights.shape
    lengths = [len(x) for x in (images, questions, said, true)]
    if set(lengths) != {count}:
        raise ValueError(
            f"expected as many images, questions, answers and right answers as "
            f"weights ({count}). Received: {', '.join(map(str, lengths))}"
        )
    images = [style.as_image("images", image) for image in images]
    rows = style.whole_rows(weights, rows)
    title = title or _LOOKED + (_SHOULD if boxes is not None else "")
    if boxes is not None:
        boxes = _checked_boxes(boxes, (count, number, 4))
    hops = hops or [f"hop {hop + 1}" for hop in range(number)]
    text_width, panel = 2.0, min(1.9, 5.0 / (1 + number))
    fig = style.new_figure(7.0, count * (panel + 0.1) + 0.9)
    axes = fig.subplots(
        count,
        2 + number,
        squeeze=False,
        width_ratios=[text_width, *[panel] * (1 + number)],
    )
    told = []
    for i in range(count):
        verdict = _verdict(said[i], true[i])
        _tell(axes[i, 0], f"{questions[i]}?", verdict, said[i] == true[i])
        box = None if boxes is None else boxes[i]
        _draw_hops(axes[i, 1:], images[i], weights[i], rows, box)
        looked = ", ".join(
            f"{hop} at {_cell(row, rows)}"
            for hop, row in zip(hops, weights[i], strict=True)
        )
        told.append(f"{questions[i]}? {verdict}: {looked}")
    for ax, name in zip(axes[0, 1:], ["image", *hops], strict=True):
        ax.set_title(name, fontsize=11, loc="center")
    style.set_figure_title(fig, title)
    return set_alt(fig, f"{title}. {'; '.join(told)}.")


def _tell(ax, question, verdict, right):
    """Write a question, and below it an answer, into axes without frame."""
    ax.axis("off")
    color = "black" if right else style.COLORS["orange"]
    for text, y, side, ink in (
        (question, 0.53, "bottom", "black"),
        (verdict, 0.47, "top", color),
    ):
        ax.text(
            0,
            y,
            textwrap.fill(text, 20),
            va=side,
            fontsize=11,
            color=ink,
            parse_math=False,
        )


@style.styled
def word_maps(
    image,
    words,
    scores,
    weights,
    title="Bright: cells that fit a word. Framed: the word that decided",
    rows=None,
    columns=5,
):
    """Draw how well each word of a question fits each cell of an image.

    SMem scores every word with every cell, and a cell's attention follows from
    the word that fits it best.

    Args:
        image: (H, W[, C]); uint8 or floats in [0, 1].
        words: T strings.
        scores: (T, L), any numbers, of L cells, row by row. All words share
            one scale from the smallest score, dark, to the largest.
        weights: (L,), the attention that follows, drawn last.
        title: what to see, over the whole figure.
        rows: rows of cells; None for a square grid.
        columns: pictures side by side.

    Returns:
        The matplotlib `Figure`, with alternative text. The framed word is the
        one whose score is the largest of all.

    Raises:
        ValueError: numbers of words, scores and weights do not fit each other.
    """
    image = style.as_image("image", image)
    scores = style.as_array("scores", scores, 2)
    weights = style.as_array("weights", weights, 1)
    if scores.shape != (len(words), len(weights)):
        raise ValueError(
            f"expected scores of {len(words)} words and {len(weights)} cells. "
            f"Received: shape {scores.shape}"
        )
    rows = style.whole_rows(weights, rows)
    low, high = scores.min(), scores.max()
    best = int(scores.max(axis=1).argmax())
    fig, axes = style.image_axes(
        len(words) + 2, None, columns, gap=0.25, head=0.5
    )
    style.draw_image(axes[0], image)
    axes[0].set_title("image", fontsize=11, loc="center")
    said = []
    for i, (ax, word, row) in enumerate(
        zip(axes[1:], words, scores, strict=False)
    ):
        light = (row - low) / max(high - low, 1e-12)
        style.draw_image(ax, style.lit(image, light, rows), frame=i == best)
        _frame(ax, i == best)
        ax.set_title(str(word), fontsize=11, loc="center", parse_math=False)
        said.append(f"{word}: {row.max():.2g} at {_cell(row, rows)}")
    last = axes[len(words) + 1]
    light = weights / max(weights.max(), 1e-12)
    style.draw_image(last, style.lit(image, light, rows))
    last.set_title("attention", fontsize=11, loc="center")
    style.set_figure_title(fig, title)
    return set_alt(
        fig,
        f"{title}. The largest score of each word, {'; '.join(said)}. "
        f"Attention is largest at {_cell(weights, rows)}; {words[best]} "
        "decided.",
    )


def _frame(ax, shown):
    for spine in ax.spines.values():
        spine.set(visible=shown, edgecolor=style.COLORS["orange"], linewidth=3)


@style.styled
def accuracy_by_kind(
    accuracy,
    most_frequent,
    title,
    xlabel="accuracy (%)",
    baseline="most frequent answer",
):
    """Draw how many answers of each kind are right, model by model.

    Args:
        accuracy: {model: {kind of question: percent}}.
        most_frequent: {kind: percent} of who always gives the most frequent
            answer, drawn as lines across the bars.
        title: what to see.
        xlabel: what is drawn, with its unit.
        baseline: how the lines are called.

    Returns:
        The matplotlib `Figure`, with alternative text.

    Raises:
        ValueError: there is no model, or a number is no percentage.
    """
    for name, values in {**accuracy, baseline: most_frequent}.items():
        for kind, number in values.items():
            if not 0 <= number <= 100:
                raise ValueError(
                    f"expected percentages, 0 to 100. Received: {number} of "
                    f"{name} for {kind}"
                )
    fig = grouped_bars(
        accuracy,
        xlabel,
        title,
        value_format="{:.0f}",
        marks={baseline: most_frequent},
    )
    fig.axes[0].set_xlim(0, 108)
    return fig


def _bars(ax, answers, chances, colors, xlabel="probability (%)"):
    """Draw answers as bars, best first or in the order given."""
    places = np.arange(len(answers))
    bars = ax.barh(places, chances, 0.6, color=colors)
    texts = [f"{chance:.0f}" for chance in chances]
    ax.bar_label(bars, texts, padding=4, fontsize=10)
    labels = [textwrap.fill(str(answer), 22) for answer in answers]
    ax.set_yticks(places, labels)
    for label in ax.get_yticklabels():
        label.set_parse_math(False)
    ax.invert_yaxis()
    ax.grid(False, axis="y")
    ax.set_xlim(0, 118)
    ax.set_xlabel(xlabel)


def _chances(probabilities, count):
    """Return probabilities (count,) in percent."""
    chances = 100 * style.as_array("probabilities", probabilities, 1)
    if len(chances) != count or chances.min() < 0 or chances.max() > 100.01:
        raise ValueError(
            f"expected a probability, 0 to 1, of each answer ({count}). "
            f"Received: {np.shape(probabilities)}, {chances.min() / 100:.3g} "
            f"to {chances.max() / 100:.3g}"
        )
    return chances


@style.styled
def answers_to_choose(
    image,
    question,
    choices,
    probabilities,
    right,
    title="Four answers, and how likely each is to the model",
):
    """Draw an image beside the answers to choose from (telling).

    Args:
        image: (H, W[, C]); uint8 or floats in [0, 1].
        question: a string.
        choices: strings to choose from.
        probabilities: one for each, in [0, 1].
        right: the index of the right one.
        title: what to see, over the whole figure.

    Returns:
        The matplotlib `Figure`, with alternative text. The right answer is
        marked by ✓, a wrong one that the model chooses by ✗.

    Raises:
        ValueError: there is not one probability for each answer, or no answer
            of the index `right`.
    """
    image = style.as_image("image", image)
    chances = _chances(probabilities, len(choices))
    right = _index("right", right, len(choices))
    chosen = int(chances.argmax())
    labels = list(map(str, choices))
    colors = [style.COLORS["sky"]] * len(labels)
    for i, mark, color in ((chosen, "✗", "orange"), (right, "✓", "green")):
        labels[i] = f"{mark} {choices[i]}"
        colors[i] = style.COLORS[color]
    fig = style.new_figure(7.0, 3.4)
    left, axes = fig.subplots(1, 2, width_ratios=[2.2, 3])
    style.draw_image(left, image)
    _bars(axes, labels, chances, colors)
    axes.set_title(
        textwrap.fill(f"{question}?", 30), fontsize=12, parse_math=False
    )
    style.set_figure_title(fig, title)
    told = "; ".join(
        f"{label}: {chance:.0f} percent"
        for label, chance in zip(labels, chances, strict=True)
    )
    return set_alt(fig, f"{title}. {question}? {told}.")


def _index(name, value, count):
    """Return an index of `count` things, or raise ValueError."""
    if value not in range(count):
        raise ValueError(
            f"expected `{name}` from 0 to {count - 1}. Received: {value!r}"
        )
    return int(value)


@style.styled
def boxes_to_choose(
    images,
    questions,
    boxes,
    chosen,
    right,
    title="Green: the right box. Orange, dashed: a wrong one that was chosen",
    columns=3,
):
    """Draw images with the boxes to choose from (pointing).

    Args:
        images: N images (H, W[, C]); uint8 or floats in [0, 1].
        questions: N strings.
        boxes: (N, K, 4), x, y, width and height in pixels.
        chosen: N indices of boxes, the model's.
        right: N indices of boxes, the right ones.
        title: what to see, over the whole figure.
        columns: images side by side.

    Returns:
        The matplotlib `Figure`, with alternative text.

    Raises:
        ValueError: there is no image, or numbers of images, questions, boxes
            and indices do not fit each other.
    """
    boxes = style.as_array("boxes", boxes, 3)
    count = len(boxes)
    lengths = [len(x) for x in (images, questions, chosen, right)]
    if boxes.shape[-1] != 4 or set(lengths) != {count}:
        raise ValueError(
            "expected boxes (N, K, 4), and N images, questions and indices. "
            f"Received: {boxes.shape}, and {', '.join(map(str, lengths))}"
        )
    lines = [textwrap.fill(f"{text}?", int(78 / columns)) for text in questions]
    longest = max(line.count("\n") for line in lines)
    fig, axes = style.image_axes(
        count, None, columns, gap=0.3 + 0.18 * longest, head=0.6
    )
    told = []
    for i, ax in enumerate(axes[:count]):
        style.draw_image(ax, style.as_image("images", images[i]))
        true = _index("right", right[i], boxes.shape[1])
        said = _index("chosen", chosen[i], boxes.shape[1])
        for k, box in enumerate(boxes[i]):
            if k not in (true, said):
                style.add_box(ax, box, "white", 1.2)
        style.add_box(ax, boxes[i, true], "green", 2.6)
        if said != true:
            style.add_box(ax, boxes[i, said], "orange", 2.6, "--")
        mark = "✓" if said == true else "✗"
        ax.set_title(
            f"{mark} {lines[i]}", fontsize=10, loc="left", parse_math=False
        )
        told.append(f"{questions[i]}? {'right' if said == true else 'wrong'}")
    style.set_figure_title(fig, title)
    return set_alt(fig, f"{title}. {'; '.join(told)}.")


@style.styled
def answered_question(
    image,
    question,
    answers,
    probabilities,
    weights,
    title=f"{_LOOKED}. Bars: what it would answer",
    true=None,
    boxes=None,
    rows=None,
    most=5,
):
    """Draw one question: where each hop looked, and the likeliest answers.

    Args:
        image: (H, W[, C]); uint8 or floats in [0, 1].
        question: a string.
        answers: strings, all that the model can say.
        probabilities: one for each, in [0, 1].
        weights: (hops, L), the attention of each hop on L cells, row by row.
        title: what to see, over the whole figure.
        true: the right answer, None where nobody knows it.
        boxes: (hops, 4) of what each hop should look at, as for `hop_maps`, or
            None.
        rows: rows of cells; None for a square grid.
        most: the number of answers to draw, 1 to 8.

    Returns:
        The matplotlib `Figure`, with alternative text.

    Raises:
        ValueError: there is not one probability for each answer, or boxes are
            not of as many hops.
    """
    image = style.as_image("image", image)
    weights = style.as_array("weights", weights, 2)
    rows = style.whole_rows(weights, rows)
    chances = _chances(probabilities, len(answers))
    if most not in range(1, _MOST_BARS + 1):
        raise ValueError(
            f"expected `most` from 1 to {_MOST_BARS}. Received: {most!r}"
        )
    hops = len(weights)
    if boxes is not None:
        boxes = _checked_boxes(boxes, (hops, 4))
    best = np.argsort(-chances, kind="stable")[:most]
    likely = [answers[i] for i in best]
    fig = style.new_figure(7.0, 7.0 / (1 + hops) + 2.0 + 0.3 * len(best))
    grid = fig.add_gridspec(
        2, 1 + hops, height_ratios=[7.0 / (1 + hops), 0.8 + 0.3 * len(best)]
    )
    axes = [fig.add_subplot(grid[0, i]) for i in range(1 + hops)]
    _draw_hops(axes, image, weights, rows, boxes)
    names = ["image", *(f"hop {hop + 1}" for hop in range(hops))]
    for ax, name in zip(axes, names, strict=True):
        ax.set_title(name, fontsize=11, loc="center")
    below = fig.add_subplot(grid[1, :])
    colors = [
        style.COLORS["green" if answer == true else "sky"] for answer in likely
    ]
    _bars(below, likely, chances[best], colors)
    verdict = _verdict(likely[0], true)
    below.set_title(
        textwrap.fill(f"{question}? {verdict}", 60),
        fontsize=12,
        parse_math=False,
    )
    style.set_figure_title(fig, title)
    looked = ", ".join(
        f"hop {hop + 1} at {_cell(row, rows)}"
        for hop, row in enumerate(weights)
    )
    told = ", ".join(
        f"{answer} {chance:.0f} percent"
        for answer, chance in zip(likely, chances[best], strict=True)
    )
    return set_alt(fig, f"{title}. {question}? {verdict}: {looked}. {told}.")


def question_drawer(images, answer, **options):
    """Make the function that an `explorer` of one's own questions draws with.

    Args:
        images: N images (H, W[, C]).
        answer: a function of an image and a question that returns a dictionary
            of `answers`, `probabilities` and `weights`, as for
            `answered_question`, and perhaps `true` and `boxes`. What is wrong
            with a question, such as a word that the model does not know, it
            says by a `ValueError`: the widget shows its text.
        **options: further arguments of `answered_question`.

    Returns:
        A function of `question` and `scene`, the index of an image, for
        `question_explorer` and, as its static twin, `presets`.

    Example:

    >>> draw = question_drawer([[[0.0]]], lambda image, question: None)
    >>> draw("  ", 0)
    Traceback (most recent call last):
    ...
    ValueError: expected a question with at least one word. Received: '  '
    """

    def draw(question, scene):
        if not isinstance(question, str) or not question.strip(" ?"):
            raise ValueError(
                "expected a question with at least one word. Received: "
                f"{question!r}"
            )
        image = images[_index("scene", scene, len(images))]
        text = question.strip(" ?")
        found = answer(image, text)
        return answered_question(image, text, **found, **options)

    return draw
