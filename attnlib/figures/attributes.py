"""Pictures of attributes: how well they are found, and when they count."""

import numpy as np

from attnlib.figures import style
from attnlib.figures.curves import bar_chart
from attnlib.figures.display import set_alt

_MOST_COLUMNS = 14


@style.styled
def attribute_bars(words, attributes, alpha, beta, title, image=None):
    """Draw, for each word of a caption, how much each attribute counted.

    Args:
        words: T strings, the caption's words.
        attributes: A strings.
        alpha: (T, A), weights at the input: which attributes entered with the
            word before; None where there is no such attention.
        beta: (T, A), weights at the output: which attributes helped to choose
            the word; None likewise.
        title: what to see, over the whole figure.
        image: (H, W[, C]), uint8 or floats in [0, 1], to draw beside the bars,
            or None.

    Returns:
        The matplotlib `Figure`, with alternative text.

    Raises:
        ValueError: there are no words, too many to tell apart, no attributes,
            no weights, or weights of another shape.
    """
    if not 1 <= len(words) <= _MOST_COLUMNS or not attributes:
        raise ValueError(
            f"expected 1 to {_MOST_COLUMNS} words and at least one attribute. "
            f"Received: {len(words)} words, {len(attributes)} attributes. Draw "
            "a part of the caption"
        )
    series = {
        label: _checked(name, weights, words, attributes)
        for name, label, weights in (
            ("alpha", "α, at the input", alpha),
            ("beta", "β, at the output", beta),
        )
        if weights is not None
    }
    if not series:
        raise ValueError("expected alpha or beta. Received: None for both")
    fig, axes = _panels(len(words), len(attributes), image)
    for t, (ax, word) in enumerate(zip(axes, words, strict=True)):
        _draw_word(ax, t, str(word), attributes, series)
    axes[0].set_yticks(range(len(attributes)), attributes)
    axes[0].tick_params(axis="y", labelleft=True)
    axes[len(axes) // 2].set_xlabel("attention weight, 0 to 1")
    fig.legend(
        *axes[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=2,
    )
    style.set_figure_title(fig, title)
    return set_alt(fig, f"{title}. {_told(words, attributes, series)}")


def _panels(count, rows, image):
    """Return a figure and the axes of the words, side by side."""
    beside = 0 if image is None else 2.2
    width = max(5.0 + beside, 1.4 + beside + 0.78 * count)
    fig = style.new_figure(width, max(2.9, 1.7 + 0.3 * rows))
    if image is None:
        axes = fig.subplots(1, count, sharey=True, squeeze=False)[0]
        return fig, axes
    share = beside / (width - beside) * count
    first, *axes = fig.subplots(
        1, count + 1, width_ratios=[share] + [1] * count
    )
    style.draw_image(first, style.as_image("image", image))
    return fig, axes


def _draw_word(ax, t, word, attributes, series):
    """Draw one word's bars; a grey band lies behind the word itself."""
    height = 0.8 / len(series)
    if word in attributes:
        place = list(attributes).index(word)
        ax.axhspan(place - 0.5, place + 0.5, color="#dddddd", zorder=0)
    colors = {"α": style.COLORS["sky"], "β": style.COLORS["orange"]}
    for index, (label, weights) in enumerate(series.items()):
        places = np.arange(len(attributes)) + (index + 0.5) * height - 0.4
        ax.barh(
            places,
            weights[t],
            height,
            label=label,
            color=colors[label[0]],
            hatch="////" if label[0] == "α" else "",
            edgecolor="white",
            linewidth=0,
            zorder=2,
        )
    ax.set(xlim=(0, 1.05), ylim=(len(attributes) - 0.5, -0.5))
    ax.set_xticks([0, 1], ["", ""])
    ax.set_yticks(range(len(attributes)), [])
    ax.tick_params(axis="y", length=0)
    ax.grid(False)
    ax.set_title(word, fontsize=11, loc="center", parse_math=False)


def _checked(name, weights, words, attributes):
    weights = style.as_array(name, weights, 2)
    if weights.shape != (len(words), len(attributes)):
        raise ValueError(
            f"expected {name} of {len(words)} words and {len(attributes)} "
            f"attributes. Received: shape {weights.shape}"
        )
    return weights


def _told(words, attributes, series):
    """Say which attribute has the largest weight for each word."""
    return " ".join(
        f"Largest {label[0]}: "
        + "; ".join(
            f"{word}: {attributes[int(row.argmax())]}"
            for word, row in zip(words, weights, strict=True)
        )
        + "."
        for label, weights in series.items()
    )


@style.styled
def word_bars(values, xlabel, title, columns=2, value_format="{:.0f}"):
    """Draw one number for each of many words, as bars in columns.

    Args:
        values: {word: number}, in the order to draw them.
        xlabel: with its unit.
        title: what to see.
        columns: columns of bars.
        value_format: how a number is written.

    Returns:
        The matplotlib `Figure`, with alternative text.

    Raises:
        ValueError: there are no words, or numbers that are not finite.
    """
    names = list(values)
    numbers = style.as_array("values", list(values.values()), 1)
    rows = -(-len(names) // columns)
    fig = style.new_figure(7.0, 1.4 + 0.26 * rows)
    axes = fig.subplots(1, columns, squeeze=False)[0]
    low, high = min(0, numbers.min()), max(0, numbers.max())
    for column, ax in enumerate(axes):
        some = names[column * rows : (column + 1) * rows]
        if not some:
            ax.set_axis_off()
            continue
        bar_chart(
            {name: values[name] for name in some},
            xlabel,
            "",
            value_format=value_format,
            ax=ax,
        )
        ax.set(xlim=(1.2 * low, 1.2 * high or 1), ylim=(rows - 0.5, -0.5))
    style.set_figure_title(fig, title)
    told = ", ".join(
        f"{name} {value_format.format(number)}"
        for name, number in zip(names, numbers, strict=True)
    )
    return set_alt(fig, f"{title}. Bars of {xlabel}: {told}.")
