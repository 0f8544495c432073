"""Pictures of captions: right and wrong ones, and where a model looked."""

import textwrap

import numpy as np

from attnlib.figures import style
from attnlib.figures.display import set_alt


@style.styled
def words_over_regions(
    image,
    words,
    weights,
    title="Bright: where it looked before it wrote the word",
    rows=None,
    columns=6,
):
    """Draw an image, and for each word once more the cells it looked at.

    Args:
        image: (H, W[, C]); uint8 or floats in [0, 1].
        words: T strings.
        weights: (T, L), the attention on L cells, row by row. In each picture
            the brightest cell is the one with the largest weight.
        title: what to see, over the whole figure.
        rows: rows of cells; None for a square grid.
        columns: pictures side by side.

    Returns:
        The matplotlib `Figure`, with alternative text.
    """
    image = style.as_image("image", image)
    weights = style.as_array("weights", weights, 2)
    if len(words) != len(weights):
        raise ValueError(
            f"expected weights of each word ({len(words)}). Received: shape "
            f"{weights.shape}"
        )
    rows = style.whole_rows(weights, rows)
    fig, axes = style.image_axes(
        len(words) + 1, ["", *words], columns, gap=0.25, head=0.5
    )
    style.draw_image(axes[0], image)
    said = []
    for ax, word, row in zip(axes[1:], words, weights, strict=False):
        light = row / max(row.max(), 1e-12)
        style.draw_image(ax, style.lit(image, light, rows))
        ax.set_title(str(word), fontsize=11, loc="center")
        y, x = divmod(int(row.argmax()), weights.shape[1] // rows)
        said.append(f"{word}: row {y + 1}, column {x + 1}")
    style.set_figure_title(fig, title)
    return set_alt(
        fig, f"{title}. The cell with the most attention, {'; '.join(said)}."
    )


def _told(told, width):
    """Wrap one caption's text, each of its parts on lines of its own."""
    return "\n".join(textwrap.fill(part, width) for part in told)


@style.styled
def captioned_images(images, said, true, title, columns=3):
    """Draw images with what was said of them, and what is true where it is not.

    Args:
        images: (N, H, W[, C]) or a list of images; uint8 or floats in [0, 1].
        said: N captions.
        true: N lists of captions that are right.
        title: what to see, over the whole figure.
        columns: images side by side.

    Returns:
        The matplotlib `Figure`, with alternative text.

    Raises:
        ValueError: there are no images, or not as many captions.
    """
    images = [style.as_image("images", image) for image in images]
    if not len(images) == len(said) == len(true):
        raise ValueError(
            f"expected captions of each image ({len(images)}). Received: "
            f"{len(said)} said and {len(true)} true"
        )
    right = [line in several for line, several in zip(said, true, strict=True)]
    told = [
        _told(
            [f"✓ {line}"] if good else [f"✗ {line}", f"true: {several[0]}"],
            int(78 / columns),
        )
        for line, several, good in zip(said, true, right, strict=True)
    ]
    longest = max(text.count("\n") for text in told) if told else 0
    fig, axes = style.image_axes(
        len(images), None, columns, gap=0.35 + 0.18 * longest, head=0.5
    )
    for ax, image, text, good in zip(axes, images, told, right, strict=False):
        style.draw_image(ax, image)
        ax.set_title(
            text,
            fontsize=10,
            loc="left",
            color="black" if good else style.COLORS["orange"],
            parse_math=False,
        )
    style.set_figure_title(fig, title)
    listed = "; ".join(" ".join(text.split("\n")) for text in told)
    return set_alt(fig, f"{title}. {listed}.")


@style.styled
def ranked_captions(image, captions, log_probs, title):
    """Draw an image beside captions, each with a bar of its probability.

    Args:
        image: (H, W[, C]); uint8 or floats in [0, 1].
        captions: N strings, best first.
        log_probs: (N,) natural logarithms of their probabilities.
        title: what to see, over the whole figure.

    Returns:
        The matplotlib `Figure`, with alternative text.

    Raises:
        ValueError: there are no captions, or not one number for each.
    """
    image = style.as_image("image", image)
    chances = 100 * np.exp(style.as_array("log_probs", log_probs, 1))
    if len(captions) != len(chances):
        raise ValueError(
            f"expected a number for each caption ({len(captions)}). Received: "
            f"{len(chances)}"
        )
    lines = [textwrap.fill(caption, 48) for caption in captions]
    heights = np.array([line.count("\n") + 2.2 for line in lines])
    fig = style.new_figure(7.0, max(3.2, 1.3 + 0.2 * heights.sum()))
    left, right = fig.subplots(1, 2, width_ratios=[2, 4])
    style.draw_image(left, image)
    ends = np.cumsum(heights)
    right.barh(ends, chances, height=0.8, color=style.COLORS["blue"])
    for line, end, chance in zip(lines, ends, chances, strict=True):
        right.annotate(
            line,
            (0, end - 0.55),
            xytext=(3, 0),
            textcoords="offset points",
            va="bottom",
            fontsize=10,
            parse_math=False,
        )
        right.annotate(
            f"{chance:.2g} %",
            (chance, end),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=10,
        )
    right.set(ylim=(ends[-1] + 0.8, -0.3), yticks=[])
    right.set_xlim(0, 1.25 * max(chances.max(), 1e-9))
    right.grid(False, axis="y")
    right.set_xlabel("probability (%)")
    style.set_figure_title(fig, title)
    told = "; ".join(
        f"{caption}: {chance:.2g} percent"
        for caption, chance in zip(captions, chances, strict=True)
    )
    return set_alt(fig, f"{title}. {told}.")
