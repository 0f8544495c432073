"""Lines and bars: learning curves, accuracy by length, costs."""

import numpy as np
from matplotlib.ticker import NullFormatter

from attnlib.figures import style
from attnlib.figures.display import set_alt

_MARKERS = "osD^vPX"
_DASHES = ["-", "--", "-.", ":"]


def _stack(name, values, length=None):
    """Rows of one series: (points,) or (seeds, points) -> (seeds, points)."""
    array = style.as_array(name, values, (1, 2))
    array = array[None] if array.ndim == 1 else array
    if length is not None and array.shape[1] != length:
        raise ValueError(
            f"`{name}` must have one value a point ({length}). Received: "
            f"shape {np.shape(values)}"
        )
    return array


def _series(series, x):
    if not series:
        raise ValueError("no series to draw: expected {label: values}")
    return {
        str(label): _stack(str(label), values, len(x))
        for label, values in series.items()
    }


def _line(ax, x, rows, label, index):
    """One series: its mean over seeds, and a band of one std around it."""
    mean = rows.mean(axis=0)
    (line,) = ax.plot(
        x,
        mean,
        label=label,
        marker=_MARKERS[index % len(_MARKERS)] if len(x) <= 15 else None,
        linestyle=_DASHES[index % len(_DASHES)],
    )
    if len(rows) > 1:
        std = rows.std(axis=0)
        ax.fill_between(
            x,
            mean - std,
            mean + std,
            color=line.get_color(),
            alpha=0.2,
            linewidth=0,
        )


def _short(number):
    """A number of three digits, never with an exponent when it is large."""
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.3g}"


def _legend_columns(labels):
    longest = max(map(len, labels))
    return 3 if longest <= 14 else 2 if longest <= 30 else 1


def _plain_log_axis(axis, low, high):
    """Label a short logarithmic axis with plain numbers, not powers."""
    if 1e-3 <= low and high <= 1e5:
        axis.set_major_formatter(lambda value, _: f"{value:g}")
    # A range below one power of ten has no other labels to stand on.
    if high / low > 9:
        axis.set_minor_formatter(NullFormatter())
    else:
        axis.set_minor_formatter(lambda value, _: f"{value:g}")


def _ends(series):
    return "; ".join(
        f"{label} goes from {rows.mean(0)[0]:.3g} to {rows.mean(0)[-1]:.3g}"
        for label, rows in series.items()
    )


@style.styled
def line_plot(
    x,
    series,
    xlabel,
    ylabel,
    title,
    *,
    log_x=False,
    log_y=False,
    ylim=None,
    xticks=None,
    vlines=None,
    ax=None,
):
    """Draw named lines over a common axis.

    Lines differ in colour, dash and marker, so that no reader depends on
    colour alone.

    Args:
        x: (points,).
        series: {label: values}; values (points,), or (seeds, points) for a
            mean with a band of one standard deviation.
        xlabel: with its unit.
        ylabel: with its unit.
        title: what to see.
        log_x: logarithmic axis.
        log_y: logarithmic axis.
        ylim: (low, high) or None.
        xticks: tick positions, written as they are, or None.
        vlines: {label: x position} of reference lines.
        ax: axes to draw into; None makes a figure.

    Returns:
        The matplotlib `Figure`, with alternative text.

    Raises:
        ValueError: no series, lengths that differ, NaN.
    """
    x = style.as_array("x", x, 1)
    series = _series(series, x)
    fig, ax = style.figure_and_axes(ax)
    for index, (label, rows) in enumerate(series.items()):
        _line(ax, x, rows, label, index)
    for label, position in (vlines or {}).items():
        ax.axvline(position, color=style.COLORS["grey"], linestyle=":")
        ax.annotate(
            label,
            (position, 0.02),
            xycoords=("data", "axes fraction"),
            xytext=(4, 0),
            textcoords="offset points",
            rotation=90,
            va="bottom",
            fontsize=10,
            color="#555555",
        )
    if log_x:
        ax.set_xscale("log", base=2)
    if log_y:
        ax.set_yscale("log")
    if xticks is not None:
        ax.set_xticks(list(xticks), [f"{tick:g}" for tick in xticks])
        ax.minorticks_off()
    if ylim is not None:
        ax.set_ylim(*ylim)
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    style.set_title(ax, title)
    if len(series) > 1:
        # Below the axes: a legend never covers a line.
        fig.legend(
            *ax.get_legend_handles_labels(),
            loc="outside lower center",
            ncols=_legend_columns(series),
        )
    return set_alt(
        fig,
        f"{title}. Line plot of {ylabel} against {xlabel} from {x[0]:g} to "
        f"{x[-1]:g}: {_ends(series)}.",
    )


@style.styled
def learning_curve(
    history,
    metric="loss",
    labels=None,
    title=None,
    log=False,
    ylabel=None,
    ax=None,
):
    """Draw a metric over the epochs, with its validation twin if there is one.

    Args:
        history: a dict {metric: values per epoch} as in
            `keras.callbacks.History.history`, or a list of such dicts.
        metric: its key; "val_" + metric is drawn too where it exists.
        labels: one name a dict. Dicts with the same label are seeds of one
            run and drawn as mean and band. None: all are seeds of one run.
        title: what to see.
        log: logarithmic y axis.
        ylabel: with its unit; default the metric.
        ax: axes to draw into; None makes a figure.

    Returns:
        The matplotlib `Figure`, with alternative text.

    Raises:
        ValueError: a metric that a history lacks, or seeds of unequal length.
    """
    histories = [history] if isinstance(history, dict) else list(history)
    if not histories:
        raise ValueError("`history` is empty: nothing to draw")
    labels = [""] * len(histories) if labels is None else list(labels)
    if len(labels) != len(histories):
        raise ValueError(
            f"expected one label a history ({len(histories)}). Received: "
            f"{len(labels)}"
        )
    groups = {}
    for label, item in zip(labels, histories, strict=True):
        if metric not in item:
            raise ValueError(
                f"the history has no metric {metric!r}; it has "
                f"{', '.join(sorted(item))}"
            )
        for key, name in ((metric, "training"), (f"val_{metric}", "held out")):
            if key in item:
                full = f"{label}, {name}" if label else name
                groups.setdefault(full, []).append(item[key])
    fig, ax = style.figure_and_axes(ax)
    series = {}
    for index, (label, values) in enumerate(groups.items()):
        if len({len(row) for row in values}) != 1:
            raise ValueError(
                f"the histories of {label!r} differ in length: "
                f"{[len(row) for row in values]}"
            )
        rows = series[label] = _stack(label, values)
        _line(ax, np.arange(1, rows.shape[1] + 1), rows, label, index)
    if log:
        ax.set_yscale("log")
    ylabel = ylabel or metric.replace("_", " ")
    ax.set_xlabel("epoch")
    ax.set_ylabel(ylabel)
    ax.xaxis.get_major_locator().set_params(integer=True)
    title = title or f"{ylabel} while training"
    style.set_title(ax, title)
    if len(series) > 1:
        ax.legend()
    return set_alt(fig, f"{title}. Learning curves: {_ends(series)}.")


def accuracy_by_length(
    lengths,
    series,
    title="Longer inputs are harder without attention",
    xlabel="source length (tokens)",
    ylabel="exactly right (%)",
    ax=None,
):
    """Draw a score against the length of the input.

    Args:
        lengths: (L,) the lengths.
        series: {model: scores in percent}; scores (L,) or (seeds, L).
        title: what to see.
        xlabel: with its unit.
        ylabel: with its unit.
        ax: axes to draw into; None makes a figure.

    Returns:
        The matplotlib `Figure`, with alternative text.
    """
    return line_plot(
        lengths,
        series,
        xlabel,
        ylabel,
        title,
        ylim=(-2, 102),
        xticks=lengths if len(lengths) <= 15 else None,
        ax=ax,
    )


@style.styled
def bar_chart(
    values,
    xlabel,
    title,
    *,
    log=False,
    errors=None,
    value_format=None,
    highlight=None,
    ax=None,
):
    """Draw named values as horizontal bars, each with its number.

    Horizontal, because names stay readable on a phone.

    Args:
        values: {name: number}; numbers finite, positive when `log`.
        xlabel: with its unit.
        title: what to see.
        log: logarithmic axis.
        errors: {name: standard deviation} or None.
        value_format: how a number is written, e.g. "{:.1f}"; None for three
            digits.
        highlight: the name of a bar to stand out, or None.
        ax: axes to draw into; None makes a figure.

    Returns:
        The matplotlib `Figure`, with alternative text.
    """
    write = _short if value_format is None else value_format.format
    names = [str(name) for name in values]
    numbers = style.as_array("values", list(values.values()), 1)
    if log and numbers.min() <= 0:
        raise ValueError(
            "a logarithmic axis needs positive values. Received: minimum "
            f"{numbers.min():g}"
        )
    fig, ax = style.figure_and_axes(ax, 7.0, 1.5 + 0.5 * len(names))
    colors = [
        style.COLORS["orange" if name == highlight else "blue"]
        for name in names
    ]
    spread = None if errors is None else [errors.get(n, 0.0) for n in values]
    bars = ax.barh(names, numbers, color=colors, xerr=spread, height=0.65)
    ax.bar_label(
        bars,
        [write(n) for n in numbers],
        padding=4,
        fontsize=11,
    )
    ax.invert_yaxis()
    ax.grid(False, axis="y")
    if log:
        ax.set_xscale("log")
        low, high = numbers.min() / 3, numbers.max() * 6
        ax.set_xlim(low, high)
        _plain_log_axis(ax.xaxis, low, high)
    else:
        low, high = min(0, numbers.min()), max(0, numbers.max())
        room = 0.18 * (high - low or 1)  # For the numbers at the bars' ends.
        ax.set_xlim(low - (room if low else 0), high + room)
    ax.set_xlabel(xlabel)
    # The names take a third of the width: the title has what is left.
    style.set_title(ax, title, columns=1.5)
    told = ", ".join(
        f"{name} {write(number)}"
        for name, number in zip(names, numbers, strict=True)
    )
    return set_alt(fig, f"{title}. Bars of {xlabel}: {told}.")


_HATCHES = ["", "//", "..", "xx"]


@style.styled
def grouped_bars(
    series, xlabel, title, *, value_format=None, marks=None, ax=None
):
    """Draw several values for each name, as horizontal bars side by side.

    Series differ in colour and hatching, so that no reader depends on colour
    alone. A name that a series lacks has no bar there.

    Args:
        series: {label: {name: number}}; names in the order of the first
            series that has them.
        xlabel: with its unit.
        title: what to see.
        value_format: how a number is written, e.g. "{:.1f}"; None for three
            digits.
        marks: {label: {name: number}} of what bars are compared with, drawn
            as a line across those of a name.
        ax: axes to draw into; None makes a figure.

    Returns:
        The matplotlib `Figure`, with alternative text.

    Raises:
        ValueError: no series, no names, numbers that are not finite, or marks
            of names that have no bars.
    """
    write = _short if value_format is None else value_format.format
    names = list(dict.fromkeys(n for values in series.values() for n in values))
    numbers = [n for values in series.values() for n in values.values()]
    numbers = style.as_array("series", numbers, 1)
    marks = _checked_marks(marks or {}, names)
    room = 0.3 + 0.8 * len(names) * (1 + len(series)) / 3
    fig, ax = style.figure_and_axes(ax, 7.0, 1.6 + 0.75 * room)
    height, told = 0.8 / len(series), []
    for index, (label, values) in enumerate(series.items()):
        places = [
            names.index(name) + (index + 0.5) * height - 0.4 for name in values
        ]
        bars = ax.barh(
            places,
            list(values.values()),
            height,
            label=str(label),
            hatch=_HATCHES[index % len(_HATCHES)],
            edgecolor="white",
        )
        texts = [write(number) for number in values.values()]
        ax.bar_label(bars, texts, padding=4, fontsize=10)
        pairs = zip(values, texts, strict=True)
        told.append(f"{label}: {', '.join(' '.join(pair) for pair in pairs)}")
    for (label, values), dash in zip(marks.items(), _DASHES, strict=False):
        places = np.array([names.index(name) for name in values])
        ax.vlines(
            list(values.values()),
            places - 0.43,
            places + 0.43,
            colors=style.COLORS["black"],
            linestyles=dash,
            label=str(label),
        )
        pairs = [f"{name} {write(values[name])}" for name in values]
        told.append(f"{label}: {', '.join(pairs)}")
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.grid(False, axis="y")
    low, high = min(0, numbers.min()), max(0, numbers.max())
    edge = 0.15 * (high - low or 1)
    ax.set_xlim(low - (edge if low else 0), high + edge)
    ax.set_xlabel(xlabel)
    style.set_title(ax, title, columns=1.5)
    fig.legend(
        *ax.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=_legend_columns([str(label) for label in (*series, *marks)]),
    )
    return set_alt(fig, f"{title}. Bars of {xlabel}. {'; '.join(told)}.")


def _checked_marks(marks, names):
    """Return the marks of `grouped_bars`, or raise ValueError."""
    for label, values in marks.items():
        unknown = [name for name in values if name not in names]
        if unknown:
            raise ValueError(
                f"expected marks of names that have bars. Received: `{label}` "
                f"of {', '.join(map(str, unknown))}"
            )
        style.as_array(f"marks[{label}]", list(values.values()), 1)
    return marks


@style.styled
def cost_curves(
    sizes,
    series,
    ylabel="multiply-adds",
    title="Cost of one image against its size",
    crossovers=None,
    ax=None,
):
    """Draw costs against the image size, both axes logarithmic.

    On such axes a cost that grows with the number of pixels is a straight
    line of slope 2, and one that does not depend on the image is flat.

    Args:
        sizes: (points,) side of the image in pixels; or {label: sizes} when
            the models were measured at different sizes.
        series: {label: positive values}, one value a size.
        ylabel: with its unit.
        title: what to see.
        crossovers: {label: (size, value)} of points to mark.
        ax: axes to draw into; None makes a figure.

    Returns:
        The matplotlib `Figure`, with alternative text.
    """
    if not series:
        raise ValueError("no series to draw: expected {label: values}")
    fig, ax = style.figure_and_axes(ax, 7.0, 4.8)
    told = []
    for index, (label, values) in enumerate(series.items()):
        own = sizes[label] if isinstance(sizes, dict) else sizes
        own = style.as_array("sizes", own, 1)
        rows = _stack(str(label), values, len(own))
        if rows.min() <= 0 or own.min() <= 0:
            raise ValueError(
                f"logarithmic axes need positive values. Received: minimum "
                f"{min(rows.min(), own.min()):g} in {label!r}"
            )
        _line(ax, own, rows, label, index)
        told.append(
            f"{label}: {rows.mean(0)[0]:.3g} at {own[0]:g} pixels, "
            f"{rows.mean(0)[-1]:.3g} at {own[-1]:g}"
        )
    for label, (size, value) in (crossovers or {}).items():
        ax.plot(
            size,
            value,
            "o",
            markersize=14,
            markerfacecolor="none",
            markeredgecolor="black",
        )
        ax.annotate(
            label,
            (size, value),
            xytext=(10, -22),
            textcoords="offset points",
            fontsize=11,
        )
        told.append(label)
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.set_yscale("log")
    _plain_log_axis(ax.yaxis, *ax.get_ylim())
    ax.set_xlabel("side of the square image (pixels)")
    ax.set_ylabel(ylabel)
    style.set_title(ax, title)
    fig.legend(
        *ax.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=_legend_columns([str(label) for label in series]),
    )
    return set_alt(
        fig, f"{title}. {ylabel} on logarithmic axes. " + "; ".join(told)
    )


@style.styled
def tradeoff(
    series,
    xlabel,
    ylabel,
    title,
    *,
    log_x=False,
    ax=None,
):
    """Draw cost against error: every point a model, low and left is best.

    Args:
        series: {label: (x, y, names)}: numbers (points,) each, and one short
            string a point, "" for none. Points of a label are joined.
        xlabel: with its unit.
        ylabel: with its unit.
        title: what to see.
        log_x: logarithmic axis.
        ax: axes to draw into; None makes a figure.

    Returns:
        The matplotlib `Figure`, with alternative text.
    """
    if not series:
        raise ValueError("no series to draw: expected {label: (x, y, names)}")
    fig, ax = style.figure_and_axes(ax, 7.0, 4.6)
    told = []
    for index, (label, (x, y, names)) in enumerate(series.items()):
        x, y = style.as_array("x", x, 1), style.as_array("y", y, 1)
        if not len(x) == len(y) == len(names):
            raise ValueError(
                f"{label!r} needs as many x as y and names. Received: "
                f"{len(x)}, {len(y)} and {len(names)}"
            )
        ax.plot(
            x,
            y,
            label=str(label),
            marker=_MARKERS[index % len(_MARKERS)],
            markersize=9,
            linestyle=_DASHES[index % len(_DASHES)] if len(x) > 1 else "none",
        )
        for point in zip(x, y, names, strict=True):
            ax.annotate(
                point[2],
                point[:2],
                xytext=(6, 6),
                textcoords="offset points",
                fontsize=10.5,
            )
            told.append(f"{label} {point[2]}: {point[0]:.3g}, {point[1]:.3g}")
    if log_x:
        ax.set_xscale("log")
    ax.margins(x=0.2, y=0.14)
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    style.set_title(ax, title)
    fig.legend(
        *ax.get_legend_handles_labels(), loc="outside lower center", ncols=2
    )
    return set_alt(
        fig, f"{title}. {xlabel} against {ylabel}. " + "; ".join(told) + "."
    )
