"""Pictures of a game of Catch: the screen, and where the agent looks.

Convention: as in `attnlib.figures.glimpses`.
"""

import numpy as np

from attnlib.figures import glimpses, style
from attnlib.figures.animation import animation
from attnlib.figures.display import set_alt


def _check(screens, gaze, size, scales):
    screens = style.as_array("screens", screens, 3)
    gaze = style.as_array("gaze", gaze, 2)
    if len(gaze) > len(screens) or gaze.shape[1] != 2:
        raise ValueError(
            "`gaze` must be (frames, 2), the last axis (x, y), no more frames "
            f"than screens. Received: {gaze.shape[0]} places of shape "
            f"{gaze.shape[1:]} for {len(screens)} screens"
        )
    if size < 1 or scales < 1:
        raise ValueError(
            "`size` and `scales` must be at least 1. Received: "
            f"size={size}, scales={scales}"
        )
    return screens, gaze


def _draw(ax, screen, place, size, scales):
    style.draw_image(ax, screen, frame=True)
    height, width = screen.shape
    ax.set_xlim(-0.5, width - 0.5)
    ax.set_ylim(height - 0.5, -0.5)
    if place is None:
        return
    boxes = glimpses.windows([place], height, width, size, scales)[0]
    glimpses.draw_windows(ax, boxes, style.COLORS["orange"])


def _places(gaze, frame):
    # Nobody looks at the last frame: the ball has landed.
    return gaze[frame] if frame < len(gaze) else None


@style.styled
def game_strip(
    screens,
    gaze,
    size,
    scales=1,
    frames=8,
    title="Boxes: where the agent looks while the ball falls",
):
    """Draw some frames of a game side by side: the animation's static twin.

    Args:
        screens: (frames, H, W), floats in [0, 1].
        gaze: (frames - 1, 2) or fewer, (x, y) in [-1, 1].
        size: side of the finest window in pixels.
        scales: number of windows.
        frames: how many frames are drawn, first and last included.
        title: what to see.

    Returns:
        The matplotlib `Figure`, with alternative text.
    """
    screens, gaze = _check(screens, gaze, size, scales)
    shown = np.linspace(0, len(screens) - 1, min(frames, len(screens)))
    shown = np.unique(np.rint(shown).astype(int))
    titles = [f"frame {frame + 1}" for frame in shown]
    fig, axes = style.image_axes(len(shown), titles, 4, gap=0.25, head=0.6)
    for ax, frame, text in zip(axes, shown, titles, strict=True):
        _draw(ax, screens[frame], _places(gaze, frame), size, scales)
        ax.set_title(text, fontsize=11)
    style.set_figure_title(fig, title)
    return set_alt(
        fig,
        f"{title}. {len(shown)} of {len(screens)} frames of a game of Catch: "
        "a ball, a paddle on the bottom row, and the windows of the glimpse.",
    )


def game_animation(
    screens, gaze, size, scales=1, title="Catch", interval_ms=300
):
    """Animate a game: play, pause, or step with a slider.

    Display the result with `IPython.display.HTML`; its static twin is
    `game_strip`.

    Args:
        screens: (frames, H, W), floats in [0, 1].
        gaze: (frames - 1, 2) or fewer, (x, y) in [-1, 1].
        size: side of the finest window in pixels.
        scales: number of windows.
        title: what to see, in front of "frame t of T".
        interval_ms: milliseconds a frame.

    Returns:
        Self-contained HTML as a string.
    """
    screens, gaze = _check(screens, gaze, size, scales)
    figs = (
        _moment(screens, gaze, frame, size, scales, title)
        for frame in range(len(screens))
    )
    return animation(figs, "frame", interval_ms, width=420, dpi=80)


@style.styled
def _moment(screens, gaze, frame, size, scales, title):
    fig = style.new_figure(4.2, 4.6)
    ax = fig.add_subplot()
    _draw(ax, screens[frame], _places(gaze, frame), size, scales)
    told = f"{title}: frame {frame + 1} of {len(screens)}"
    ax.set_title(told, fontsize=11)
    return set_alt(fig, f"{told} of a game of Catch.")
