"""Pen strokes, the window over their text, and where the pen is expected.

Convention: a line is an array (T, 3): x to the right, y down, and 1 where the
pen is lifted after the point, else 0.
"""

import hashlib
import html

import numpy as np

from attnlib.figures import style
from attnlib.figures.animation import animation
from attnlib.figures.display import picture, set_alt

_MARGIN = 4.0
# Of a pen that is watched, which shall be neither a wait nor a flash.
_POINTS_PER_SECOND = 40
_SHORTEST_S, _LONGEST_S = 2.0, 12.0
_PAUSE_S = 2.0
_PEN = (
    f'fill="none" stroke="{style.COLORS["blue"]}" stroke-width="1.6" '
    'stroke-linecap="round" stroke-linejoin="round"'
)


def _line(name, points):
    points = style.as_array(name, points, 2)
    if points.shape[1] != 3:
        raise ValueError(
            f"expected `{name}` to be (T, 3): x, y and 1 where the pen is "
            f"lifted. Received: shape {points.shape}"
        )
    return points


def _strokes(points):
    """Cut a line where the pen is lifted."""
    ends = np.flatnonzero(points[:-1, 2] == 1) + 1
    return np.split(points[:, :2], ends)


def _draw(ax, points, known=0, done=None):
    """Draw strokes, the first `known` points grey, up to `done` points."""
    done = len(points) if done is None else done
    for start, stop, color in ((0, known, "grey"), (known, done, "blue")):
        for stroke in _strokes(points[start:stop]) if stop > start else ():
            # A stroke of one point is a dot.
            ax.plot(
                *stroke.T,
                color=style.COLORS[color],
                linewidth=1.8,
                marker="." if len(stroke) == 1 else None,
                solid_capstyle="round",
            )


def _frame(ax, points):
    """Let x and y have the same scale, and y point down."""
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    margin = _MARGIN + 0.02 * (high - low).max()
    ax.set_xlim(low[0] - margin, high[0] + margin)
    ax.set_ylim(high[1] + margin, low[1] - margin)
    ax.set_aspect("equal", anchor="W")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set_visible(False)


def _height(points, width=6.6):
    """Return the inches that a line needs where it is `width` wide."""
    spans = np.ptp(points[:, :2], axis=0) + 2 * _MARGIN
    return float(np.clip(width * spans[1] / spans[0], 0.45, 2.0))


@style.styled
def pen_strokes(lines, labels, title, known=None):
    """Draw lines of handwriting below each other.

    Args:
        lines: list of (T, 3): places of points, 1 where the pen is lifted.
        labels: one string a line, above it.
        title: what to see.
        known: numbers of first points that were given and not written, drawn
            grey; None for none.

    Returns:
        The matplotlib `Figure`, with alternative text.

    Raises:
        ValueError: no lines, other shapes, or not one label a line.
    """
    lines = [_line("lines", line) for line in lines]
    known = [0] * len(lines) if known is None else list(known)
    if not lines or not len(lines) == len(labels) == len(known):
        raise ValueError(
            "expected at least one line, and a label and a number of known "
            f"points for each. Received: {len(lines)} lines, {len(labels)} "
            f"labels, {len(known)} numbers"
        )
    # All lines are drawn to one scale: the widest fills the page.
    widest = max(np.ptp(line[:, 0]) for line in lines) + 2 * _MARGIN
    heights = [
        max(0.4, 6.6 * (np.ptp(line[:, 1]) + 2 * _MARGIN) / widest)
        for line in lines
    ]
    heights = [min(height, 2.0) for height in heights]
    fig = style.new_figure(7.0, 0.6 + sum(heights) + 0.28 * len(lines))
    axes = fig.subplots(
        len(lines), 1, squeeze=False, height_ratios=heights
    ).ravel()
    for ax, line, label, count in zip(axes, lines, labels, known, strict=True):
        _draw(ax, line, count)
        _frame(ax, line)
        left = ax.get_xlim()[0]
        ax.set_xlim(left, left + max(widest, np.ptp(ax.get_xlim())))
        ax.set_title(label, fontsize=10, loc="left", parse_math=False, pad=2)
    style.set_figure_title(fig, title)
    told = "; ".join(
        f"{label}: {int(line[:, 2].sum())} strokes, {len(line)} points"
        for label, line in zip(labels, lines, strict=True)
    )
    return set_alt(fig, f"{title}. Handwriting, {told}.")


@style.styled
def writing_step(points, step, title, known=0):
    """Draw a line as far as it is written.

    Args:
        points: (T, 3).
        step: number of points that are there, 1 to T.
        title: what to see.
        known: number of first points that were given.

    Returns:
        The matplotlib `Figure`, with alternative text.
    """
    points = _line("points", points)
    if not 1 <= step <= len(points):
        raise ValueError(
            f"expected `step` between 1 and {len(points)}. Received: {step}"
        )
    fig, ax = style.figure_and_axes(None, 7.0, 0.7 + _height(points))
    _draw(ax, points, min(known, step), step)
    x, y, _ = points[step - 1]
    ax.plot(x, y, "o", color=style.COLORS["orange"], markersize=6)
    _frame(ax, points)
    style.set_title(ax, title)
    return set_alt(
        fig, f"{title}: {step} of {len(points)} points of handwriting."
    )


def writing_animation(points, title, frames=30, known=0, interval_ms=120):
    """Animate a line being written: play, pause, or step with a slider.

    Display the result with `IPython.display.HTML`; its static twin is
    `pen_strokes`.

    Args:
        points: (T, 3).
        title: what to see.
        frames: most frames.
        known: number of first points that were given.
        interval_ms: milliseconds a frame.

    Returns:
        Self-contained HTML as a string.
    """
    count = len(_line("points", points))
    steps = np.unique(np.linspace(1, count, min(frames, count)).astype(int))
    return animation(
        (writing_step(points, int(step), title, known) for step in steps),
        "frame",
        interval_ms,
        dpi=80,
    )


def strokes_svg(points, title, width=700) -> str:
    """Return a line as SVG, which stays sharp at every size.

    Args:
        points: (T, 3).
        title: what it shows, for those who cannot see it.
        width: pixels.

    Returns:
        SVG as a string.
    """
    points = _line("points", points)
    paths = " ".join(_path(stroke) for stroke in _strokes(_shifted(points)))
    return _svg(points, title, width, f'<path d="{paths}" {_PEN}/>')


def _shifted(points):
    """Move a line to where its SVG begins."""
    low = points[:, :2].min(axis=0) - _MARGIN
    return np.concatenate([points[:, :2] - low, points[:, 2:]], axis=1)


def _path(stroke):
    """Return a stroke (n, 2) as the data of an SVG path."""
    corners = " L".join(f"{x:.2f} {y:.2f}" for x, y in stroke)
    # A path of one point is drawn as a dot when it is closed.
    return f"M{corners}" + ("Z" if len(stroke) == 1 else "")


def _svg(points, title, width, content):
    spans = np.ptp(points[:, :2], axis=0) + 2 * _MARGIN
    label = html.escape(title, quote=True)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" '
        f'aria-label="{label}" width="{int(width)}" '
        f'viewBox="0 0 {spans[0]:.2f} {spans[1]:.2f}" '
        f'style="max-width:100%;background:#fff"><title>{label}</title>'
        f"{content}</svg>"
    )


def writing_svg(points, title, known=0, width=700) -> str:
    """Return a line as SVG in which it is written, again and again.

    The strokes appear one after the other, as the pen drew them, stay for two
    seconds, and begin anew. It is CSS inside the SVG: it moves where scripts
    do not run, as in a widget. The pointer over it holds it; where the reader
    asked the system for less motion, or nothing is animated, all of it is
    there at once.

    Args:
        points: (T, 3).
        title: what it shows, for those who cannot see it.
        known: number of first points that were given: grey, and there from
            the start.
        width: pixels.

    Returns:
        SVG as a string; display it with `IPython.display.HTML`.

    Raises:
        ValueError: another shape, or more known points than there are.
    """
    points = _line("points", points)
    if not 0 <= known <= len(points):
        raise ValueError(
            f"expected `known` from 0 to {len(points)}. Received: {known}"
        )
    shifted = _shifted(points)
    given = " ".join(map(_path, _strokes(shifted[:known]))) if known else ""
    grey = f'<path d="{given}" stroke="{style.COLORS["grey"]}"/>' * bool(given)
    strokes = _strokes(shifted[known:]) if known < len(points) else []
    ends = np.cumsum([len(stroke) for stroke in strokes])
    count = len(points) - known
    seconds = np.clip(count / _POINTS_PER_SECOND, _SHORTEST_S, _LONGEST_S)
    share = 100 * seconds / (seconds + _PAUSE_S) / max(count, 1)
    # Styles hold for the whole page: each drawing has names of its own.
    digest = hashlib.sha256(points.tobytes() + str(known).encode())
    name = f"pen-{digest.hexdigest()[:12]}"
    frames, paths = [], []
    for number, (stroke, end) in enumerate(zip(strokes, ends, strict=True)):
        start = share * (end - len(stroke))
        # The whole stroke is one dash, which is moved into sight. A gap a
        # tenth longer hides the round end of a dash that has not begun. A dot
        # is too short for dashes and appears at once.
        hidden, shown, dashed = "opacity:0", "opacity:1", ""
        if len(stroke) > 1:
            hidden, shown = "stroke-dashoffset:110", "stroke-dashoffset:0"
            dashed = 'pathLength="100" stroke-dasharray="100 120" '
        frames.append(
            f"@keyframes {name}-{number}{{0%,{start:.3f}%{{{hidden}}}"
            f"{share * end:.3f}%,100%{{{shown}}}}}"
        )
        paths.append(
            f'<path d="{_path(stroke)}" {dashed}'
            f'style="animation-name:{name}-{number}"/>'
        )
    rules = (
        f".{name} path{{animation:none {seconds + _PAUSE_S:.2f}s linear "
        "infinite}"
        f"svg:hover .{name} path{{animation-play-state:paused}}"
        "@media (prefers-reduced-motion:reduce)"
        f"{{.{name} path{{animation:none !important}}}}"
    )
    return _svg(
        points,
        title,
        width,
        f"<style>{rules}{''.join(frames)}</style><g {_PEN}>{grey}"
        f'<g class="{name}">{"".join(paths)}</g></g>',
    )


class Writing:
    """A line that is written on the page, and below it the window's map.

    Made by `watched_writing`; displays itself as HTML.

    Attributes:
        svg: of `writing_svg`.
        map: a `Picture` of the window over the text.
        alt: what both show, in words.
    """

    def __init__(self, svg, map, alt):
        self.svg = svg
        self.map = map
        self.alt = alt

    def _repr_html_(self):
        return (
            "<div style='max-width:700px'>"
            f"{self.svg}{self.map._repr_html_()}</div>"
        )

    def __repr__(self):
        return f"[animation] {self.alt}"


def watched_writing(points, phi, text, title, known=0):
    """Show a line being written, and where the window was on its text.

    What an `explorer` may draw. Its static twins are `pen_strokes` and
    `window_map`.

    Args:
        points: (T, 3).
        phi: (T', S), the window's weights at the points that were written.
        text: S characters.
        title: what to see.
        known: number of first points that were given and not written.

    Returns:
        A `Writing`.

    Raises:
        ValueError: as of `writing_svg` and `window_map`.
    """
    points = _line("points", points)
    written = points[known:]
    told = (
        f"{title}. Handwriting that appears stroke by stroke: {text!r}, "
        f"{int(written[:, 2].sum())} strokes, {len(written)} points."
    )
    shown = window_map(phi, text, "Where the window was on the text")
    return Writing(writing_svg(points, told, known), picture(shown), told)


@style.styled
def window_map(phi, text, title, points=None, letters=None):
    """Draw the weights of a text's characters while a line is written.

    Args:
        phi: (T, S), at least 0; row t is the window when point t was to come.
        text: S characters.
        title: what to see.
        points: (T, 3), the line, drawn above the map; or None.
        letters: (T,), which character a point draws, marked by a line through
            the map; or None.

    Returns:
        The matplotlib `Figure`, with alternative text.

    Raises:
        ValueError: shapes do not match, or a weight is negative.
    """
    phi = style.as_array("phi", phi, 2)
    if phi.shape[1] != len(text) or phi.min() < 0:
        raise ValueError(
            "expected `phi` of at least 0 with a column for each of "
            f"{len(text)} characters. Received: shape {phi.shape}, minimum "
            f"{phi.min():.3g}"
        )
    rows = 0.2 * len(text)
    upper = 0 if points is None else _height(_line("points", points))
    fig = style.new_figure(7.0, 1.5 + rows + 1.2 * upper)
    if points is None:
        ax = fig.add_subplot()
    else:
        above, ax = fig.subplots(2, 1, height_ratios=[upper, 0.6 + rows])
        _draw(above, np.asarray(points, float))
        _frame(above, np.asarray(points, float))
    mesh = ax.imshow(
        phi.T, cmap="viridis", vmin=0, aspect="auto", interpolation="nearest"
    )
    if letters is not None:
        ax.step(
            range(len(phi)),
            letters,
            where="mid",
            color=style.COLORS["orange"],
            linewidth=1.2,
            label="the character that the point draws",
        )
        ax.legend(loc="upper right", fontsize=9)
    ax.grid(False)
    shown = ["␣" if character == " " else character for character in text]
    ax.set_yticks(range(len(text)), shown)
    for label in ax.get_yticklabels():
        label.set_parse_math(False)
    ax.set_xlabel("point")
    ax.set_ylabel("character")
    fig.colorbar(mesh, ax=ax, label="weight φ")
    style.set_figure_title(fig, title)
    peaks = phi.argmax(axis=1)
    told = ", ".join(
        f"{text[u]!r} at {int((peaks == u).sum())} points"
        for u in range(min(len(text), 12))
    )
    return set_alt(
        fig,
        f"{title}. Map of window weights of {len(text)} characters over "
        f"{len(phi)} points; the peak is on {told}.",
    )


@style.styled
def density_map(log_density, extent, points, title, ends=None, weights=None):
    """Draw where the pen was expected, and where it went.

    Args:
        log_density: (H, W), the log of a density per squared unit; -inf where
            it is 0.
        extent: left, right, bottom and top edge of the map.
        points: (T, 3), the line.
        title: what to see.
        ends: (T - 1,) probabilities that the pen is lifted at a point, drawn
            below; or None.
        weights: (T - 1, K) weights of the mixture's components at each point,
            a map below, with the points along the same axis; or None.

    Returns:
        The matplotlib `Figure`, with alternative text.
    """
    points = _line("points", points)
    values = np.asarray(log_density, float)
    if values.ndim != 2 or not np.isfinite(values).any():
        raise ValueError(
            "expected `log_density` of shape (H, W) with finite values. "
            f"Received: shape {values.shape}"
        )
    top = values[np.isfinite(values)].max()
    left, right, bottom, upper = extent
    height = 6.0 * abs(bottom - upper) / abs(right - left)
    height = float(np.clip(height, 0.8, 3.2))
    panels = [(_draw_weights, weights, 1.4), (_draw_ends, ends, 1.0)]
    panels = [panel for panel in panels if panel[1] is not None]
    heights = [height, *(size for _, _, size in panels)]
    fig = style.new_figure(7.0, 1.0 + height + 1.3 * sum(heights[1:]))
    axes = fig.subplots(len(heights), 1, height_ratios=heights, squeeze=False)
    ax, *below = axes.ravel()
    for other, (draw, values_at_points, _) in zip(below, panels, strict=True):
        draw(other, values_at_points, points)
    for other in below[1:]:
        other.sharex(below[0])
    if below:
        below[-1].set_xlabel("point")
    mesh = ax.imshow(
        values, cmap="magma", vmin=top - 8, vmax=top, extent=extent
    )
    ax.plot(*points[:, :2].T, ".", color=style.COLORS["sky"], markersize=3)
    ax.grid(False)
    ax.set_xticks([])
    ax.set_yticks([])
    fig.colorbar(mesh, ax=ax, label="log density", shrink=0.9)
    style.set_figure_title(fig, title)
    told = (
        f"{title}. Map of the density of the next point over a line of "
        f"{len(points)} points, marked as dots; brightest at a log density of "
        f"{top:.1f}."
    )
    if weights is not None:
        largest = np.asarray(weights, float).max(axis=1)
        told += (
            f" Below, the weights of {np.shape(weights)[1]} components at each "
            f"point; the largest is {largest.mean():.2f} on average."
        )
    return set_alt(fig, told)


def _draw_weights(ax, weights, points):
    weights = style.as_array("weights", weights, 2)
    if len(weights) != len(points) - 1 or weights.min() < 0:
        raise ValueError(
            "expected `weights` of at least 0 with a row for each point but "
            f"the first ({len(points) - 1}). Received: shape {weights.shape}, "
            f"minimum {weights.min():.3g}"
        )
    count = weights.shape[1]
    mesh = ax.imshow(
        weights.T,
        cmap="viridis",
        vmin=0,
        vmax=1,
        aspect="auto",
        interpolation="nearest",
        extent=(0.5, len(weights) + 0.5, count + 0.5, 0.5),
    )
    ax.grid(False)
    ax.set_ylabel("component")
    ax.set_yticks(range(1, count + 1, max(1, count // 5)))
    ax.figure.colorbar(mesh, ax=ax, label="weight π")


def _draw_ends(ax, ends, points):
    ends = style.as_array("ends", ends, 1)
    if len(ends) != len(points) - 1:
        raise ValueError(
            "expected one probability for each point but the first "
            f"({len(points) - 1}). Received: {len(ends)}"
        )
    at = np.arange(1, len(points))
    ax.plot(at, ends, color=style.COLORS["blue"], label="expected")
    lifted = at[points[1:, 2] == 1]
    ax.plot(
        lifted,
        np.ones(len(lifted)),
        "v",
        color=style.COLORS["orange"],
        label="lifted",
    )
    ax.set_ylabel("P(pen lifted)")
    ax.set_ylim(-0.05, 1.15)
    # Above, not beside: the panels share their width with the map.
    ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2)
