"""Pictures of videos: where a model looked in every frame, and its answers."""

import numpy as np
from matplotlib.patches import Rectangle

from attnlib.figures import style
from attnlib.figures.animation import animation
from attnlib.figures.display import set_alt


def _checked(frames, weights, boxes):
    """Return frames as a list of images, weights (T, L), boxes or None."""
    frames = [style.as_image("frames", frame) for frame in frames]
    weights = style.as_array("weights", weights, 2)
    rows = round(weights.shape[1] ** 0.5)
    if len(frames) != len(weights) or rows**2 != weights.shape[1]:
        raise ValueError(
            f"expected weights of a square grid for each frame ({len(frames)})"
            f". Received: shape {weights.shape}"
        )
    if boxes is not None:
        boxes = style.as_array("boxes", boxes, 2)
        if boxes.shape != (len(frames), 4):
            raise ValueError(
                f"expected one box x, y, width, height for each frame "
                f"({len(frames)}). Received: shape {boxes.shape}"
            )
    return frames, weights, boxes, rows


def _draw(ax, frame, row=None, rows=None, box=None):
    """Draw a frame, lit by weights where they are given, and a box."""
    if row is not None:
        frame = style.lit(frame, row / max(row.max(), 1e-12), rows)
    style.draw_image(ax, frame)
    if box is not None and box[2] > 0:
        x, y, width, height = box
        ax.add_patch(
            Rectangle(
                (x - 0.5, y - 0.5),
                width,
                height,
                fill=False,
                edgecolor=style.COLORS["amber"],
                linewidth=1.5,
            )
        )


def _cell(row, rows):
    y, x = divmod(int(row.argmax()), rows)
    return f"row {y + 1}, column {x + 1}"


@style.styled
def attention_strip(
    frames,
    weights,
    boxes=None,
    title="Bright: looked at; the frame is around the actor",
    columns=5,
):
    """Draw the frames of a video, each lit where the attention was.

    In each picture the brightest cell is the one with the largest weight.

    Args:
        frames: (T, H, W[, C]); uint8 or floats in [0, 1].
        weights: (T, L), the attention on L cells of a square grid, row by row.
        boxes: (T, 4), x, y, width, height in pixels of what is to be found,
            0 where it is not in the picture; or None.
        title: what to see, over the whole figure.
        columns: pictures side by side.

    Returns:
        The matplotlib `Figure`, with alternative text.

    Raises:
        ValueError: weights or boxes do not fit the frames.
    """
    frames, weights, boxes, rows = _checked(frames, weights, boxes)
    titles = [f"frame {t + 1}" for t in range(len(frames))]
    fig, axes = style.image_axes(len(frames), titles, columns, 0.25, 0.5)
    for t, (ax, frame, row) in enumerate(
        zip(axes, frames, weights, strict=False)
    ):
        _draw(ax, frame, row, rows, None if boxes is None else boxes[t])
        ax.set_title(titles[t], fontsize=10, loc="center")
    style.set_figure_title(fig, title)
    told = "; ".join(
        f"frame {t + 1}: {_cell(row, rows)}" for t, row in enumerate(weights)
    )
    return set_alt(fig, f"{title}. The cell with the most attention, {told}.")


@style.styled
def attention_moment(
    frames, weights, step, boxes=None, probabilities=None, labels=None, title=""
):
    """Draw one frame of a video, where it was looked at, and the answer.

    Args:
        frames: (T, H, W[, C]); uint8 or floats in [0, 1].
        weights: (T, L), the attention on L cells of a square grid.
        step: which frame, from 1 to T.
        boxes: (T, 4) in pixels, or None.
        probabilities: (T, classes), the answer after every frame, or None.
        labels: one string a class.
        title: what to see, in front of "frame t of T".

    Returns:
        The matplotlib `Figure`, with alternative text.

    Raises:
        ValueError: there is no such frame, or something does not fit.
    """
    frames, weights, boxes, rows = _checked(frames, weights, boxes)
    count = len(frames)
    if not 1 <= step <= count:
        raise ValueError(
            f"expected step between 1 and {count}. Received: {step!r}"
        )
    here = step - 1
    panels = 2 if probabilities is None else 3
    fig = style.new_figure(7.0, 7.0 / panels + 0.8)
    axes = fig.subplots(1, panels)
    box = None if boxes is None else boxes[here]
    _draw(axes[0], frames[here], box=box)
    _draw(axes[1], frames[here], weights[here], rows, box)
    for ax, text in zip(axes, ("the frame", "looked at"), strict=False):
        ax.set_title(text, fontsize=10, loc="center")
    told = f"looks at {_cell(weights[here], rows)}"
    if probabilities is not None:
        chances = style.as_array("probabilities", probabilities, 2)
        if chances.shape != (count, len(labels)):
            raise ValueError(
                f"expected probabilities of each frame and label ({count}, "
                f"{len(labels)}). Received: shape {chances.shape}"
            )
        _bars(axes[2], chances[here], labels)
        best = int(chances[here].argmax())
        told += f", answers {labels[best]} ({chances[here, best]:.0%})"
    whole = f"{title + ': ' if title else ''}frame {step} of {count}"
    style.set_figure_title(fig, whole)
    return set_alt(fig, f"{whole}: {told}.")


def _bars(ax, chances, labels):
    """Draw the probability of each class."""
    colors = [style.COLORS["blue"]] * len(chances)
    colors[int(np.argmax(chances))] = style.COLORS["orange"]
    ax.barh(range(len(chances)), chances, color=colors, height=0.7)
    ax.set_yticks(range(len(chances)), labels, fontsize=9)
    ax.invert_yaxis()
    ax.set_xlim(0, 1)
    ax.set_xticks([0, 1])
    ax.grid(False, axis="y")
    ax.set_xlabel("probability", fontsize=9)


def attention_animation(
    frames,
    weights,
    boxes=None,
    probabilities=None,
    labels=None,
    title=None,
    interval_ms=350,
):
    """Play a video with the attention: play, pause, or step with a slider.

    Nothing moves until the reader presses Play. Display the result with
    `IPython.display.HTML`; its static twin is `attention_strip`.

    Args:
        frames: (T, H, W[, C]); uint8 or floats in [0, 1].
        weights: (T, L), the attention on L cells of a square grid.
        boxes: (T, 4) in pixels, or None.
        probabilities: (T, classes), the answer after every frame, or None.
        labels: one string a class.
        title: what to see, in front of "frame t of T".
        interval_ms: milliseconds a frame.

    Returns:
        Self-contained HTML as a string.
    """
    steps = (
        attention_moment(
            frames, weights, step, boxes, probabilities, labels, title
        )
        for step in range(1, len(frames) + 1)
    )
    return animation(steps, "frame", interval_ms)
