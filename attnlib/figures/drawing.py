"""Pictures of DRAW's windows: what is read, what is written, and where.

Convention: a window is (gx~, gy~, log s2, log d~, log gamma), the `params` of
`attnlib.ops.gaussian_filterbank`. The NumPy code here only serves drawing; the
tests compare it with that op.
"""

import math

import numpy as np
from matplotlib.patches import Rectangle

from attnlib.figures import style
from attnlib.figures.animation import animation
from attnlib.figures.display import set_alt

READ, WRITE = "sky", "orange"


def placement(window, size, height, width):
    """Where the filters of a window are, in pixels from 0.

    Args:
        window: (5,) parameters.
        size: filters N along each axis.
        height: the image's height in pixels.
        width: the image's width in pixels.

    Returns:
        A dict: `x` (N,) and `y` (N,), the means; `stride` and `std`.

    Example:

    >>> placement([0, 0, 0, 0, 0], 3, 5, 5)["x"].tolist()
    [0.0, 2.0, 4.0]
    """
    gx, gy, log_s2, log_d, _ = np.asarray(window, float)
    stride = (max(height, width) - 1) / max(size - 1, 1) * math.exp(log_d)
    offsets = (np.arange(size) - (size - 1) / 2) * stride
    return {
        "x": (width + 1) / 2 * (gx + 1) - 1 + offsets,
        "y": (height + 1) / 2 * (gy + 1) - 1 + offsets,
        "stride": stride,
        "std": math.exp(log_s2 / 2),
    }


def filters(window, size, height, width):
    """The two filter banks of a window.

    Args:
        window: (5,) parameters.
        size: filters N along each axis.
        height: the image's height in pixels.
        width: the image's width in pixels.

    Returns:
        Tuple of floats (N, width) and (N, height); rows sum to 1.
    """
    found = placement(window, size, height, width)
    banks = []
    for means, extent in ((found["x"], width), (found["y"], height)):
        squares = (np.arange(extent) - means[:, None]) ** 2
        logs = -squares / (2 * found["std"] ** 2)
        weights = np.exp(logs - logs.max(axis=1, keepdims=True))
        banks.append(weights / weights.sum(axis=1, keepdims=True))
    return tuple(banks)


def _box(ax, window, size, height, width, color):
    """Draw the area that the filters of a window cover."""
    found = placement(window, size, height, width)
    side = max(size * found["stride"], 1.0)
    left, top = found["x"].mean() - side / 2, found["y"].mean() - side / 2
    ax.add_patch(
        Rectangle(
            (left, top),
            side,
            side,
            fill=False,
            edgecolor=style.COLORS[color],
            # Thicker where the filters are blurred, as in the paper.
            linewidth=float(np.clip(1 + found["std"], 1.5, 5)),
        )
    )


def _panel(ax, image, window, size, color, title=""):
    image = style.as_image("image", image)
    height, width = image.shape[:2]
    style.draw_image(ax, image, frame=True)
    if window is not None:
        _box(ax, window, size, height, width, color)
    margin = 0.04 * max(height, width)
    ax.set_xlim(-0.5 - margin, width - 0.5 + margin)
    ax.set_ylim(height - 0.5 + margin, -0.5 - margin)
    if title:
        ax.set_title(title, fontsize=11, loc="center")


def _check_windows(name, windows, count):
    if windows is None:
        return [None] * count
    windows = style.as_array(name, windows, 2)
    if windows.shape != (count, 5):
        raise ValueError(
            f"expected `{name}` to be ({count}, 5), a window a step. "
            f"Received: shape {windows.shape}"
        )
    return windows


@style.styled
def drawing_step(
    canvases,
    step,
    write_windows=None,
    write_size=1,
    image=None,
    read_windows=None,
    read_size=1,
    title=None,
):
    """Draw one moment of a drawing: the image that is read, and the canvas.

    Args:
        canvases: (T, H, W[, C]) probabilities, the canvas after every step.
        step: how many steps are done, 1 to T.
        write_windows: (T, 5), or None.
        write_size: filters of the window that writes.
        image: (H, W[, C]), what is drawn, or None for a sample.
        read_windows: (T, 5), or None.
        read_size: filters of the window that reads.
        title: what to see.

    Returns:
        The matplotlib `Figure`, with alternative text.
    """
    count = len(canvases)
    if not 1 <= step <= count:
        raise ValueError(
            f"`step` must be between 1 and {count}. Received: {step}"
        )
    writes = _check_windows("write_windows", write_windows, count)
    reads = _check_windows("read_windows", read_windows, count)
    title = title or f"Step {step} of {count}"
    panels = 1 if image is None else 2
    fig = style.new_figure(3.4 * panels, 3.9)
    axes = np.atleast_1d(fig.subplots(1, panels))
    if image is not None:
        _panel(
            axes[0],
            image,
            reads[step - 1],
            read_size,
            READ,
            "the image, and where it reads",
        )
    _panel(
        axes[-1],
        canvases[step - 1],
        writes[step - 1],
        write_size,
        WRITE,
        "the canvas, and where it wrote",
    )
    style.set_figure_title(fig, title)
    boxes = [
        f"{verb} around column {place['x'].mean():.0f}, row "
        f"{place['y'].mean():.0f}"
        for verb, window, size in (
            ("reads", reads[step - 1], read_size),
            ("writes", writes[step - 1], write_size),
        )
        if window is not None
        for place in [placement(window, size, *np.shape(canvases)[1:3])]
    ]
    return set_alt(fig, f"{title}: {', '.join(boxes) or 'no windows'}.")


def drawing_animation(canvases, title=None, interval_ms=500, **options):
    """Animate a drawing: play, pause, or step with a slider.

    Nothing moves until the reader presses Play. Display the result with
    `IPython.display.HTML`; its static twin is `drawing_strip`.

    Args:
        canvases: (T, H, W[, C]) probabilities.
        title: what to see, in front of "step t of T".
        interval_ms: milliseconds a frame.
        **options: of `drawing_step`.

    Returns:
        Self-contained HTML as a string.
    """
    count = len(canvases)
    steps = (
        drawing_step(
            canvases,
            step,
            title=f"{title + ': ' if title else ''}step {step} of {count}",
            **options,
        )
        for step in range(1, count + 1)
    )
    return animation(steps, "step", interval_ms, dpi=80)


@style.styled
def drawing_strip(
    canvases,
    windows=None,
    size=1,
    title="The canvas, step by step. Box: where it wrote",
    steps=8,
    reads=False,
):
    """Draw canvases side by side: a row for every drawing.

    Args:
        canvases: (N, T, H, W[, C]) values in [0, 1].
        windows: (N, T, 5), or None.
        size: filters of the window.
        title: what to see.
        steps: most steps shown, evenly spaced, the last one among them.
        reads: whether the windows read, which is another colour.

    Returns:
        The matplotlib `Figure`, with alternative text.
    """
    canvases = style.as_array("canvases", canvases, (4, 5))
    rows, count = canvases.shape[:2]
    shown = np.unique(np.linspace(0, count - 1, min(steps, count)).round())
    shown = shown.astype(int)
    side = 7.0 / max(len(shown), 4)  # few pictures are no larger than many
    fig = style.new_figure(side * len(shown), rows * side + 0.9)
    axes = fig.subplots(rows, len(shown), squeeze=False)
    for row in range(rows):
        own = _check_windows(
            "windows", None if windows is None else windows[row], count
        )
        for ax, step in zip(axes[row], shown, strict=True):
            _panel(
                ax,
                canvases[row, step],
                own[step],
                size,
                READ if reads else WRITE,
                str(step + 1) if row == 0 else "",
            )
    style.set_figure_title(fig, title)
    return set_alt(
        fig,
        f"{title}: {rows} row(s) of {len(shown)} pictures, at the steps "
        f"{', '.join(str(step + 1) for step in shown)}.",
    )


@style.styled
def step_bars(
    values, ylabel="nats", title="Every step costs something", ax=None
):
    """Draw a bar for every step.

    Args:
        values: (T,) one number a step, or {name: (T,)} for several models.
        ylabel: what they are, with the unit.
        title: what to see.
        ax: axes to draw into; None makes a figure.

    Returns:
        The matplotlib `Figure`, with alternative text.
    """
    named = values if isinstance(values, dict) else {"": values}
    named = {
        name: style.as_array("values", one, 1) for name, one in named.items()
    }
    fig, axes = style.figure_and_axes(ax, 7.0, 3.6)
    width = 0.8 / len(named)
    for index, (name, one) in enumerate(named.items()):
        places = np.arange(1, len(one) + 1) + (index + 0.5) * width - 0.4
        axes.bar(places, one, width, label=name or None)
    axes.set_xlabel("step")
    axes.set_ylabel(ylabel)
    longest = max(map(len, named.values()))
    axes.set_xticks(range(1, longest + 1, max(1, longest // 16)))
    axes.grid(False, axis="x")
    if len(named) > 1:
        axes.legend()
    style.set_title(axes, title)
    told = "; ".join(
        f"{name + ': ' if name else ''}"
        + ", ".join(f"{value:.1f}" for value in one[:10])
        + (" and so on" if len(one) > 10 else "")
        for name, one in named.items()
    )
    return set_alt(fig, f"{title}. Bars of {ylabel} a step: {told}.")


@style.styled
def filterbank_view(
    image,
    window,
    size,
    title="Left: the grid of filters. Right: all that it reads",
):
    """Draw a window of filters on an image, and the patch that it reads.

    Args:
        image: (H, W), (H, W, 1) or (H, W, 3); uint8, or floats in [0, 1].
        window: (5,) parameters.
        size: filters N along each axis.
        title: what to see.

    Returns:
        The matplotlib `Figure`, with alternative text.
    """
    image = style.as_image("image", image)
    window = style.as_array("window", window, 1)
    height, width = image.shape[:2]
    place = placement(window, size, height, width)
    f_x, f_y = filters(window, size, height, width)
    patch = np.einsum("iy,yx...,jx->ij...", f_y, image, f_x)
    patch = np.clip(math.exp(window[4]) * patch, 0, 1)
    fig = style.new_figure(7.0, 4.0)
    left, right = fig.subplots(1, 2)
    _panel(left, image, window, size, READ)
    xs, ys = np.meshgrid(place["x"], place["y"])
    left.scatter(xs, ys, s=14, color=style.COLORS[WRITE], linewidths=0)
    style.draw_image(right, patch, frame=True)
    left.set_xlabel(f"{width * height:,} pixels")
    right.set_xlabel(f"{size}x{size} filters: {size * size:,} pixels")
    style.set_figure_title(fig, title)
    return set_alt(
        fig,
        f"{title}. A grid of {size} by {size} filters around column "
        f"{place['x'].mean():.0f}, row {place['y'].mean():.0f}, "
        f"{place['stride']:.1f} pixels apart and {place['std']:.1f} pixels "
        f"wide, and the patch that it reads.",
    )
