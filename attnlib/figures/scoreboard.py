"""What became of the claims: counts, distances to the papers, costs."""

from matplotlib.patches import Patch

from attnlib.figures import style
from attnlib.figures.display import set_alt

# (verdict, cause): (label, colour, hatching). What was not run is grey, and
# the hatching says why.
_PARTS = {
    ("better", ""): ("better", style.COLORS["green"], ""),
    ("reproduced", ""): ("reproduced", style.COLORS["blue"], "//"),
    ("missed", ""): ("missed", style.COLORS["orange"], "xx"),
    ("not run", "job"): ("not run: job to do", "#8a8a8a", ""),
    ("not run", "data"): ("not run: no data", "#bdbdbd", ".."),
    ("not run", "model"): ("not run: not built", "#d9d9d9", "\\\\"),
    ("not run", "notebook"): ("not run: no notebook", "#efefef", "--"),
}


@style.styled
def verdict_bars(rows, title="What became of every claim"):
    """Draw how many claims of each notebook have which verdict.

    Args:
        rows: Dicts as `attnlib.claims.compare` returns them.
        title: What to see.

    Returns:
        The matplotlib `Figure`, with alternative text.

    Raises:
        ValueError: No rows, or a row of an unknown verdict or cause.
    """
    if not rows:
        raise ValueError("`rows` is empty: expected the rows of claims.compare")
    counts = {}
    for row in rows:
        part = (row["verdict"], row["cause"])
        if part not in _PARTS:
            raise ValueError(
                f"{row['id']}: expected a verdict and cause out of "
                f"{', '.join(map(str, _PARTS))}. Received: {part}"
            )
        bar = counts.setdefault(row["notebook"], dict.fromkeys(_PARTS, 0))
        bar[part] += 1
    names = sorted(counts)
    fig, ax = style.figure_and_axes(None, 7.0, 1.9 + 0.3 * len(names))
    places, left = range(len(names)), [0] * len(names)
    used = [p for p in _PARTS if any(counts[name][p] for name in names)]
    for part in used:
        label, color, hatch = _PARTS[part]
        widths = [counts[name][part] for name in names]
        ax.barh(
            places,
            widths,
            0.75,
            left,
            color=color,
            hatch=hatch,
            edgecolor="white",
            linewidth=0.5,
            label=label,
        )
        left = [a + b for a, b in zip(left, widths, strict=True)]
    for place, total in zip(places, left, strict=True):
        ax.text(total + 0.5, place, str(total), va="center", fontsize=10)
    ax.set_yticks(places, names)
    ax.invert_yaxis()
    ax.grid(False, axis="y")
    ax.set_xlim(0, 1.08 * max(left))
    ax.set_xlabel("claims")
    ax.set_ylabel("notebook")
    style.set_title(ax, title, columns=1.2)
    fig.legend(
        *ax.get_legend_handles_labels(), loc="outside lower center", ncols=3
    )
    totals = {
        _PARTS[part][0]: sum(counts[name][part] for name in names)
        for part in used
    }
    told = ", ".join(f"{count} {label}" for label, count in totals.items())
    return set_alt(fig, f"{title}. Of {len(rows)} claims: {told}.")


@style.styled
def against_papers(rows, title="Our numbers against the papers'"):
    """Draw each measured number as a multiple of what was claimed.

    Right of 1 is better than claimed, whether the number is an error or an
    accuracy. The grey bar is the band inside which a claim counts as
    reproduced. Orderings, numbers that were not run and numbers that have no
    ratio (negative or zero) are left out.

    Args:
        rows: Dicts as `attnlib.claims.compare` returns them.
        title: What to see.

    Returns:
        The matplotlib `Figure`, with alternative text; without a number it
        says so.
    """
    kept = [row for row in rows if _has_ratio(row)]
    if not kept:
        return _empty("no number has been measured yet", title)
    fig, ax = style.figure_and_axes(None, 7.0, 1.6 + 0.3 * len(kept))
    ax.axvline(1, color=style.COLORS["black"], linewidth=1)
    told = []
    for place, row in enumerate(kept):
        value, ours = row["value"], row["ours"]["mean"]
        band = [max(value - row["band"], 1e-3 * value), value + row["band"]]
        edges = sorted(_ratio(row, edge) for edge in band)
        ax.barh(
            place, edges[1] - edges[0], 0.8, edges[0], color="#d9d9d9", zorder=1
        )
        color, marker = _MARKS[row["verdict"]]
        ratio = _ratio(row, ours)
        ax.plot(ratio, place, marker, color=color, markersize=7, zorder=3)
        told.append(f"{row['id']} {ratio:.2f}")
    ax.set_yticks(range(len(kept)), [_name(row) for row in kept], fontsize=9)
    ax.set_ylim(len(kept) - 0.5, -0.5)
    ax.set_xscale("log")
    low, high = ax.get_xlim()
    ax.set_xlim(min(low, 0.5), max(high, 2))
    ticks = [t for t in _TICKS if ax.get_xlim()[0] <= t <= ax.get_xlim()[1]]
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ax.set_xticks([], minor=True)
    ax.set_xlabel("times as good as claimed (right is better)")
    style.set_title(ax, title, columns=2)
    handles = [
        ax.plot([], [], marker, color=color, label=verdict)[0]
        for verdict, (color, marker) in _MARKS.items()
    ]
    handles.append(Patch(color="#d9d9d9", label="band"))
    fig.legend(handles=handles, loc="outside lower center", ncols=4)
    return set_alt(
        fig, f"{title}. Times as good as claimed: {', '.join(told)}."
    )


_TICKS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20)
_MARKS = {
    "better": (style.COLORS["green"], "^"),
    "reproduced": (style.COLORS["blue"], "o"),
    "missed": (style.COLORS["orange"], "X"),
}


@style.styled
def result_times(rows, title="What each result cost"):
    """Draw the time of every result, one row of dots a notebook.

    Args:
        rows: Dicts as `attnlib.claims.compare` returns them; those without a
            result are left out.
        title: What to see.

    Returns:
        The matplotlib `Figure`, with alternative text; without a result it
        says so.
    """
    kept = [row for row in rows if row["ours"]]
    if not kept:
        return _empty("nothing has been run yet", title)
    names = sorted({row["notebook"] for row in kept})
    profiles = sorted({row["profile"] for row in kept}, reverse=True)
    fig, ax = style.figure_and_axes(None, 7.0, 1.9 + 0.3 * len(names))
    looks = zip(
        profiles,
        (style.COLORS["blue"], style.COLORS["orange"], style.COLORS["grey"]),
        "osD",
        strict=False,
    )
    for profile, color, marker in looks:
        own = [row for row in kept if row["profile"] == profile]
        ax.plot(
            # What is only counted takes no time; an axis of logarithms has
            # no zero.
            [max(row["ours"]["seconds"], 0.01) for row in own],
            [names.index(row["notebook"]) for row in own],
            marker,
            color=color,
            alpha=0.6,
            label=f"{profile} profile",
        )
    ax.set_xscale("log")
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    low, high = ax.get_xlim()
    ax.set_xlim(min(low, 0.8), max(high, 4000))
    low, high = ax.get_xlim()
    inside = [tick for tick in _TIMES if low <= tick <= high]
    ax.set_xticks(inside, [_TIMES[tick] for tick in inside])
    ax.set_xticks([], minor=True)
    ax.set_xlabel("time of one seed")
    ax.set_ylabel("notebook")
    style.set_title(ax, title, columns=1.2)
    fig.legend(
        *ax.get_legend_handles_labels(), loc="outside lower center", ncols=3
    )
    longest = max(kept, key=lambda row: row["ours"]["seconds"])
    return set_alt(
        fig,
        f"{title}: {len(kept)} results; the longest, {longest['id']}, took "
        f"{longest['ours']['took']} a seed.",
    )


_TIMES = {
    0.01: "0.01 s",
    1: "1 s",
    10: "10 s",
    60: "1 min",
    600: "10 min",
    3600: "1 h",
    36000: "10 h",
}


def _empty(text, title):
    """Return a figure that says why there is nothing to see."""
    fig, ax = style.figure_and_axes(None, 7.0, 1.6)
    ax.set_axis_off()
    ax.text(0.5, 0.5, text, ha="center", va="center", transform=ax.transAxes)
    style.set_title(ax, title)
    return set_alt(fig, f"{title}: {text}.")


def _has_ratio(row):
    if row["value"] is None or not row["ours"]:
        return False
    return row["value"] > 0 and row["ours"]["mean"] > 0


def _ratio(row, number):
    """Return how many times as good as claimed a number is."""
    ratio = number / row["value"]
    return 1 / ratio if row["better"] == "lower" else ratio


def _name(row):
    """Return a claim's id in at most 45 letters."""
    text = row["id"].rpartition("/")[0]
    return text if len(text) <= 45 else f"{text[:44]}…"
