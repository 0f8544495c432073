"""Words letter by letter: what was written, and what a vector still holds."""

import matplotlib
import numpy as np

from attnlib.figures import style
from attnlib.figures.display import set_alt


@style.styled
def letter_rows(rows, wanted, title):
    """Draw words below each other, a box for each letter.

    Letters that differ from those wanted are orange and crossed out, so that
    no reader depends on colour alone.

    Args:
        rows: {label: word}: one word a row; it may be longer or shorter than
            the one wanted.
        wanted: the right word, which is the first row.
        title: what to see.

    Returns:
        The matplotlib `Figure`, with alternative text.

    Raises:
        ValueError: no rows, or no letters wanted.
    """
    if not rows or not wanted:
        raise ValueError(
            "expected at least one row and one wanted letter. Received: "
            f"{len(rows)} rows, {len(wanted)} letters"
        )
    longest = max(len(wanted), *(len(word) for word in rows.values()))
    fig, ax = style.figure_and_axes(None, 7.0, 0.9 + 0.5 * (len(rows) + 1))
    told = []
    for row, (label, word) in enumerate([("wanted", wanted), *rows.items()]):
        right = [a == b for a, b in zip(word, wanted, strict=False)]
        right += [False] * (len(word) - len(right))
        for column, (letter, good) in enumerate(zip(word, right, strict=True)):
            _box(ax, column, row, letter, good, longest)
        told.append(f"{label}: {word}, {sum(right)} letters right")
    ax.set_xlim(-0.6, max(longest, 12) - 0.4)
    ax.set_ylim(len(rows) + 0.6, -0.6)
    ax.set_yticks(range(len(rows) + 1), ["wanted", *rows])
    ax.set_xticks([])
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.tick_params(length=0)
    style.set_title(ax, title, columns=1.3)
    return set_alt(fig, f"{title}. {'; '.join(told)}.")


def _box(ax, column, row, letter, good, longest):
    color = style.COLORS["black" if good else "orange"]
    ax.add_patch(
        matplotlib.patches.Rectangle(
            (column - 0.44, row - 0.4),
            0.88,
            0.8,
            facecolor="white" if good else "#fbe3d3",
            edgecolor=color,
        )
    )
    size = 13 if longest <= 20 else 9 if longest <= 34 else 6
    ax.text(
        column,
        row,
        letter,
        ha="center",
        va="center",
        fontsize=size,
        color=color,
        parse_math=False,
    )
    if not good:
        ax.plot(
            [column - 0.4, column + 0.4],
            [row + 0.36, row - 0.36],
            color=color,
            linewidth=1,
        )


@style.styled
def place_map(values, lengths, title, label="letters right (%)", ax=None):
    """Draw a score for each place of words of each length.

    Args:
        values: (lengths, places), in percent; NaN where a word has no such
            place, which stays white.
        lengths: one number a row.
        title: what to see.
        label: what the colour means, with its unit.
        ax: axes to draw into; None makes a figure.

    Returns:
        The matplotlib `Figure`, with alternative text.

    Raises:
        ValueError: not one length a row, or no finite value in a row.
    """
    values = np.asarray(values, float)
    if values.ndim != 2 or len(values) != len(lengths) or not len(lengths):
        raise ValueError(
            "expected `values` of shape (lengths, places). Received: shape "
            f"{values.shape} and {len(lengths)} lengths"
        )
    finite = np.isfinite(values)
    if not finite.any(axis=1).all():
        raise ValueError(
            "expected a finite value in every row of `values`. Received: none "
            f"in row {int((~finite.any(axis=1)).argmax())}"
        )
    fig, ax = style.figure_and_axes(ax, 7.0, 2.0 + 0.2 * len(values))
    mesh = ax.imshow(
        np.ma.masked_invalid(values),
        cmap="viridis",
        vmin=0,
        vmax=100,
        aspect="auto",
    )
    ax.grid(False)
    every = max(1, len(lengths) // 10)
    ax.set_yticks(range(0, len(lengths), every), lengths[::every])
    every = max(1, values.shape[1] // 12)
    places = np.arange(0, values.shape[1], every)
    ax.set_xticks(places, places + 1)
    ax.set_xlabel("place, counted from the end of the word")
    ax.set_ylabel("letters of the word")
    style.set_title(ax, title)
    fig.colorbar(mesh, ax=ax, label=label)
    ends = [
        (row[0], row[ok][-1]) for row, ok in zip(values, finite, strict=True)
    ]
    told = "; ".join(
        f"{length} letters: {last:.0f} at the last, {first:.0f} at the first"
        for length, (last, first) in zip(lengths, ends, strict=True)
        if length in (lengths[0], lengths[len(lengths) // 2], lengths[-1])
    )
    return set_alt(fig, f"{title}. Map of {label}. {told}.")
