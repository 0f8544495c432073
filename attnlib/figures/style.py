"""The one look of all figures, and the helpers that every figure starts with.

No function here touches pyplot: figures are plain
`matplotlib.figure.Figure` objects, so they can be made in a widget's
callback, in a thread or in a test without leaking open windows.
"""

import functools
import math
import textwrap
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

STYLE_FILE = Path(__file__).with_name("attnlib.mplstyle")

# Colours of meaning, the same in every notebook.
COLORS = {
    "blue": "#0072B2",
    "orange": "#D55E00",
    "green": "#009E73",
    "pink": "#CC79A7",
    "sky": "#56B4E9",
    "amber": "#E69F00",
    "black": "#000000",
    "grey": "#777777",
}


@functools.cache
def _style():
    return matplotlib.rc_params_from_file(
        STYLE_FILE, use_default_template=False
    )


def use_style():
    """Make the workbook's style matplotlib's default in this process.

    The functions of `attnlib.figures` have the style anyway; call this for
    figures of your own.
    """
    matplotlib.rcParams.update(_style())


def styled(function):
    """Decorate a figure function so that it draws in the workbook's style."""

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        with matplotlib.rc_context(_style()):
            return function(*args, **kwargs)

    return wrapper


def new_figure(width=7.0, height=4.2):
    """A figure that no global state knows about.

    Args:
        width: inches; 7 inches are shown 700 pixels wide.
        height: inches.

    Returns:
        A `matplotlib.figure.Figure` with an Agg canvas.
    """
    with matplotlib.rc_context(_style()):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
    return figure


def figure_and_axes(ax, width=7.0, height=4.2):
    """`ax` and its figure, or a new figure with one axes when ax is None."""
    if ax is not None:
        return ax.get_figure(root=True), ax
    figure = new_figure(width, height)
    return figure, figure.add_subplot()


def set_title(ax, title, columns=1):
    """Set a title, wrapped to the width that its axes has on the page."""
    if title:
        inches = ax.get_figure(root=True).get_figwidth() / columns
        told = _wrapped(title, inches, ax.title.get_fontsize())
        # A "$" in a title is a dollar, not a formula.
        ax.set_title(told, parse_math=False)


def set_figure_title(fig, title):
    """Set the title of a whole figure at its left, wrapped to its width."""
    text = fig.suptitle("", x=0.01, ha="left", parse_math=False)
    text.set_text(_wrapped(title, fig.get_figwidth(), text.get_fontsize()))


def _wrapped(title, inches, font_size):
    """Break a title into lines of at most so many inches."""
    points = matplotlib.font_manager.FontProperties(
        size=font_size
    ).get_size_in_points()
    # A letter of DejaVu Sans is on average 0.55 of the font's size wide.
    letters = max(10, int(0.9 * inches * 72 / (0.55 * points)))
    return textwrap.fill(str(title), letters)


def as_array(name, value, ndim, dtype=float):
    """Convert to a NumPy array of finite numbers, or say what is wrong.

    Args:
        name: the argument's name, for the message.
        value: an array of any library, or nested lists.
        ndim: the expected number of dimensions, or a tuple of them.
        dtype: the NumPy type to convert to.

    Returns:
        A NumPy array.

    Raises:
        ValueError: another rank, no elements, or values that are not finite.
    """
    try:
        array = np.asarray(value, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`{name}` must be an array of numbers. Received: "
            f"{type(value).__name__} ({error})"
        ) from None
    allowed = (ndim,) if isinstance(ndim, int) else tuple(ndim)
    if array.ndim not in allowed:
        ranks = " or ".join(str(rank) for rank in allowed)
        raise ValueError(
            f"`{name}` must have {ranks} dimension(s). Received: shape "
            f"{array.shape}"
        )
    if array.size == 0:
        raise ValueError(f"`{name}` is empty: shape {array.shape}")
    if not np.all(np.isfinite(array)):
        raise ValueError(
            f"`{name}` contains NaN or infinite values "
            f"({int(np.sum(~np.isfinite(array)))} of {array.size})"
        )
    return array


def as_image(name, image):
    """Convert to a picture that matplotlib can draw.

    Args:
        name: the argument's name, for the message.
        image: (H, W), (H, W, 1) or (H, W, 3); uint8, or floats in [0, 1].

    Returns:
        A float array in [0, 1], (H, W) or (H, W, 3).
    """
    raw = np.asarray(image)
    array = as_array(name, raw, (2, 3))
    if array.ndim == 3 and array.shape[-1] not in (1, 3):
        raise ValueError(
            f"`{name}` must have 1 or 3 channels, last. Received: shape "
            f"{array.shape}"
        )
    if np.issubdtype(raw.dtype, np.integer):
        array = array / 255.0
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    return np.clip(array, 0.0, 1.0)


def draw_image(ax, image, frame=False):
    """Draw a picture (from `as_image`) without ticks or grid.

    A frame shows where a picture with white edges ends on the white page.
    """
    ax.imshow(image, cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set_visible(frame)


def add_box(ax, box, color="orange", linewidth=2.2, linestyle="-"):
    """Draw a box around pixels of a picture from `draw_image`.

    Args:
        ax: matplotlib `Axes`.
        box: (4,), left, top, width and height in pixels; pixel i lies between
            i and i + 1.
        color: one of `COLORS`, or any colour of matplotlib.
        linewidth: in points.
        linestyle: as of matplotlib.
    """
    left, top, width, height = box
    ax.add_patch(
        Rectangle(
            # matplotlib's pixel i lies around i.
            (left - 0.5, top - 0.5),
            width,
            height,
            fill=False,
            edgecolor=COLORS.get(color, color),
            linewidth=linewidth,
            linestyle=linestyle,
        )
    )


def whole_rows(weights, rows=None):
    """Return the number of rows of cells that weights (..., L) are of.

    Args:
        weights: array; its last axis are the cells, row by row.
        rows: that number, or None for a square grid.

    Raises:
        ValueError: the cells do not fill the rows.
    """
    cells = weights.shape[-1]
    rows = rows or int(cells**0.5)
    if cells % rows:
        raise ValueError(
            f"expected weights of whole rows of cells ({rows}). Received: "
            f"shape {weights.shape}"
        )
    return rows


def lit(image, light, rows, dark=0.2):
    """Darken a picture (H, W[, 3]) where its cells have little light.

    Args:
        image: from `as_image`.
        light: (L,) from 0, which leaves `dark` of a cell, to 1.
        rows: rows of cells.
        dark: the share that stays everywhere.
    """
    cells = light.reshape(rows, -1)
    height, width = image.shape[:2]
    down = np.arange(height) * cells.shape[0] // height
    across = np.arange(width) * cells.shape[1] // width
    light = dark + (1 - dark) * cells[down[:, None], across]
    return image * (light if image.ndim == 2 else light[..., None])


def image_axes(count, titles, columns, gap, head):
    """Make a figure with a grid of square axes for images.

    Args:
        count: number of images, at least 1.
        titles: one short string an image, or None.
        columns: images side by side.
        gap: room above each row in inches.
        head: room above the grid in inches.

    Returns:
        `(figure, axes)`: a flat array of at least `count` axes, of which
        those beyond it are hidden.

    Raises:
        ValueError: there are no images, or not one title for each.
    """
    if not count:
        raise ValueError("`images` is empty: nothing to draw")
    if titles is not None and len(titles) != count:
        raise ValueError(
            f"expected one title an image ({count}). Received: {len(titles)}"
        )
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    fig = new_figure(7.0, rows * (7.0 / columns + gap) + head)
    axes = fig.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes[count:]:
        ax.set_visible(False)
    return fig, axes
