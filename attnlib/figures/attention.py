"""Heat maps of attention weights."""

import math

from attnlib.figures import style
from attnlib.figures.display import set_alt


def _check(weights, source_labels, target_labels):
    weights = style.as_array("weights", weights, 2)
    if weights.min() < -1e-6:
        raise ValueError(
            f"`weights` must not be negative. Received: minimum "
            f"{weights.min():.3g}"
        )
    expected = (len(target_labels), len(source_labels))
    if weights.shape != expected:
        raise ValueError(
            "`weights` must be (target, source) = "
            f"{expected} to match the labels. Received: {weights.shape}"
        )
    return weights


def _describe(weights, source, target):
    pairs = ", ".join(
        f"{target[row]} looks at {source[int(weights[row].argmax())]}"
        for row in range(min(len(target), 8))
    )
    more = ", and so on" if len(target) > 8 else ""
    return (
        f"Heat map of attention weights, {len(target)} target rows by "
        f"{len(source)} source columns: {pairs}{more}."
    )


def _draw(ax, weights, source, target, title, columns, vmax):
    mesh = ax.imshow(
        weights, cmap="viridis", vmin=0.0, vmax=vmax, aspect="auto"
    )
    ax.grid(False)
    size = 11 if max(len(source), len(target)) <= 14 else 9
    ax.set_xticks(range(len(source)), source, rotation=50, fontsize=size)
    ax.set_yticks(range(len(target)), target, fontsize=size)
    for label in ax.get_xticklabels():
        label.set(ha="right", rotation_mode="anchor")
    for label in [*ax.get_xticklabels(), *ax.get_yticklabels()]:
        label.set_parse_math(False)  # a "$" in a sentence is a dollar
    ax.set_xlabel("source (read)")
    ax.set_ylabel("target (written)")
    style.set_title(ax, title, columns)
    return mesh


@style.styled
def attention_heatmap(
    weights,
    source_labels,
    target_labels,
    title="Where each output token looks",
    ax=None,
    vmax=1.0,
):
    """Draw one alignment: rows are written, columns are read.

    Args:
        weights: (T, S), not negative, finite; row t is the distribution over
            the source when token t was written.
        source_labels: S strings.
        target_labels: T strings.
        title: what to see.
        ax: axes to draw into; None makes a figure.
        vmax: the weight drawn brightest.

    Returns:
        The matplotlib `Figure`, with alternative text.

    Raises:
        ValueError: shapes that do not match, NaN or negative weights.

    Example:

    >>> fig = attention_heatmap([[0.9, 0.1]], ["two", "</s>"], ["zwei"])
    >>> fig.attnlib_alt.split(": ")[1]
    'zwei looks at two.'
    """
    source, target = list(source_labels), list(target_labels)
    weights = _check(weights, source, target)
    height = min(9.0, 2.2 + 0.34 * len(target))
    width = min(7.0, 3.2 + 0.45 * len(source))
    fig, axes = style.figure_and_axes(ax, width, height)
    mesh = _draw(axes, weights, source, target, title, 1, vmax)
    fig.colorbar(mesh, ax=axes, label="attention weight")
    return set_alt(fig, f"{title}. {_describe(weights, source, target)}")


@style.styled
def attention_heatmaps(alignments, titles=None, columns=2, vmax=1.0):
    """Draw several alignments in a grid with one colour bar.

    Args:
        alignments: a list of (weights, source_labels, target_labels), as for
            `attention_heatmap`.
        titles: one title a panel, or None.
        columns: panels side by side.
        vmax: the weight drawn brightest.

    Returns:
        The matplotlib `Figure`, with alternative text.
    """
    panels = [
        (
            _check(weights, list(source), list(target)),
            list(source),
            list(target),
        )
        for weights, source, target in alignments
    ]
    if not panels:
        raise ValueError("`alignments` is empty: nothing to draw")
    titles = [""] * len(panels) if titles is None else list(titles)
    if len(titles) != len(panels):
        raise ValueError(
            f"expected one title a panel ({len(panels)}). Received: "
            f"{len(titles)}"
        )
    columns = min(columns, len(panels))
    rows = math.ceil(len(panels) / columns)
    tallest = max(len(target) for _, _, target in panels)
    fig = style.new_figure(7.0, rows * min(7.0, 2.1 + 0.3 * tallest))
    axes = fig.subplots(rows, columns, squeeze=False).ravel()
    for panel, title, ax in zip(panels, titles, axes, strict=False):
        mesh = _draw(ax, *panel, title, columns, vmax)
    for ax in axes[len(panels) :]:
        ax.set_visible(False)
    fig.colorbar(
        mesh,
        ax=list(axes[: len(panels)]),
        label="attention weight",
        shrink=min(1.0, 1.5 / rows),
    )
    texts = [
        f"{title + '. ' if title else ''}{_describe(*panel)}"
        for title, panel in zip(titles, panels, strict=True)
    ]
    return set_alt(fig, " ".join(texts))
