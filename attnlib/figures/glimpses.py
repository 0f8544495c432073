"""Pictures of a glimpse sensor at work: windows, paths, what it sees.

Convention: locations are (x, y) in [-1, 1], (-1, -1) the top-left corner;
pixel position `px = ((x + 1) * W - 1) / 2`. Window k covers size * 2^k pixels.
The NumPy code here only serves drawing; the sensor itself is
`attnlib.ops.extract_glimpses`, which the tests compare with it.
"""

import math

import matplotlib
import numpy as np
from matplotlib import patheffects
from matplotlib.patches import FancyArrowPatch, Rectangle

from attnlib.figures import style
from attnlib.figures.display import set_alt

_HALO = [patheffects.withStroke(linewidth=3, foreground="black")]


def _check(image, locations, size, scales):
    image = style.as_image("image", image)
    locations = style.as_array("locations", locations, 2)
    if locations.shape[1] != 2:
        raise ValueError(
            "`locations` must be (glimpses, 2), the last axis (x, y). "
            f"Received: shape {locations.shape}"
        )
    if size < 1 or scales < 1:
        raise ValueError(
            "`size` and `scales` must be at least 1. Received: "
            f"size={size}, scales={scales}"
        )
    return image, locations


def windows(locations, height, width, size, scales=1):
    """Pixel windows of glimpses.

    Args:
        locations: (T, 2), (x, y) in [-1, 1].
        height: the image's height in pixels.
        width: the image's width in pixels.
        size: side of the finest window in pixels.
        scales: number of windows, each twice as wide as the one before.

    Returns:
        Integers (T, scales, 3): left, top and side in pixels.

    Example:

    >>> windows([[0.0, 0.0]], 28, 28, 8).tolist()
    [[[10, 10, 8]]]
    """
    locations = np.asarray(locations, "float32")
    extent = np.array([width, height], "float32")
    center = ((locations + np.float32(1)) * extent - np.float32(1)) / 2
    side = size * 2 ** np.arange(scales)  # (scales,)
    start = center[:, None, :] - ((side - 1) / 2).astype("float32")[:, None]
    start = np.rint(start).astype(int)  # ties to even
    sides = np.broadcast_to(side[None, :, None], (len(locations), scales, 1))
    return np.concatenate([start, sides], axis=-1)


def crops(image, locations, size, scales=1):
    """What the sensor sees: every window, average-pooled to `size`.

    Args:
        image: (H, W) or (H, W, C).
        locations: (T, 2), (x, y) in [-1, 1].
        size: side of the finest window in pixels.
        scales: number of windows.

    Returns:
        Floats (T, scales, size, size) or (T, scales, size, size, C); zero
        outside the image.
    """
    image = np.asarray(image, float)
    height, width = image.shape[:2]
    boxes = windows(locations, height, width, size, scales)
    result = np.zeros((*boxes.shape[:2], size, size, *image.shape[2:]))
    for index in np.ndindex(*boxes.shape[:2]):
        left, top, side = boxes[index]
        window = np.zeros((side, side, *image.shape[2:]))
        y0, y1 = max(top, 0), min(top + side, height)
        x0, x1 = max(left, 0), min(left + side, width)
        if y0 < y1 and x0 < x1:
            window[y0 - top : y1 - top, x0 - left : x1 - left] = image[
                y0:y1, x0:x1
            ]
        step = side // size
        shape = (size, step, size, step, *image.shape[2:])
        result[index] = window.reshape(shape).mean(axis=(1, 3))
    return result


def retina(image, location, size, scales=1):
    """The picture that one glimpse leaves: sharp inside, coarse around.

    Args:
        image: (H, W) or (H, W, C), floats in [0, 1].
        location: (2,), (x, y) in [-1, 1].
        size: side of the finest window in pixels.
        scales: number of windows.

    Returns:
        An image of the input's shape; NaN where no window looks.
    """
    image = style.as_image("image", image)
    height, width = image.shape[:2]
    patches = crops(image, [location], size, scales)[0]
    boxes = windows([location], height, width, size, scales)[0]
    seen = np.full(image.shape, np.nan)
    for patch, (left, top, side) in reversed(
        list(zip(patches, boxes, strict=True))
    ):
        step = side // size
        window = patch.repeat(step, axis=0).repeat(step, axis=1)
        y0, y1 = max(top, 0), min(top + side, height)
        x0, x1 = max(left, 0), min(left + side, width)
        if y0 < y1 and x0 < x1:
            seen[y0:y1, x0:x1] = window[
                y0 - top : y1 - top, x0 - left : x1 - left
            ]
    return seen


def _step_colors(count):
    # Dark ends of the map are lost on dark images: the bright two thirds.
    places = [0.8] if count == 1 else np.linspace(0.45, 0.95, count)
    return matplotlib.colormaps["plasma"](places)


def draw_windows(ax, boxes, color):
    """Frame the windows of one glimpse, the finest with a solid line.

    Args:
        ax: matplotlib `Axes` that show the image.
        boxes: (left, top, side) in pixels of every scale, see `windows`.
        color: of the lines.
    """
    for scale, (left, top, side) in enumerate(boxes):
        ax.add_patch(
            Rectangle(
                (left - 0.5, top - 0.5),
                side,
                side,
                fill=False,
                edgecolor=color,
                linewidth=2.2 if scale == 0 else 1.1,
                linestyle="-" if scale == 0 else ":",
            )
        )


def _draw_path(ax, image, locations, size, scales, first=0, total=None):
    """Draw the image, numbered windows and arrows from one to the next.

    `total` glimpses share out the colours, so that a glimpse keeps its colour
    in every picture of a path that is drawn step by step.
    """
    height, width = image.shape[:2]
    style.draw_image(ax, image)
    boxes = windows(locations, height, width, size, scales)
    colors = _step_colors(total or len(locations))[: len(locations)]
    centers = ((np.asarray(locations) + 1) * [width, height] - 1) / 2
    for step, (scale_boxes, color) in enumerate(
        zip(boxes, colors, strict=True)
    ):
        if step < first:
            continue
        draw_windows(ax, scale_boxes, color)
        if (total or len(locations)) == 1:
            continue  # no order to number
        # Corners in turn, so that two glimpses at one place keep two numbers.
        left, top, side = scale_boxes[0]
        corner = [(0, 0), (1, 0), (1, 1), (0, 1)][step % 4]
        ax.text(
            np.clip(left - 0.5 + corner[0] * side, 0, width - 1),
            np.clip(top - 0.5 + corner[1] * side, 0, height - 1),
            str(step + 1),
            color=color,
            fontsize=12,
            fontweight="bold",
            ha="center",
            va="center",
            path_effects=_HALO,
            clip_on=False,
        )
    for start, end, color in zip(
        centers[:-1], centers[1:], colors[1:], strict=True
    ):
        if np.hypot(*(end - start)) > 0.02 * max(height, width):
            ax.add_patch(
                FancyArrowPatch(
                    start,
                    end,
                    arrowstyle="-|>",
                    mutation_scale=11,
                    color=color,
                    linewidth=1.6,
                    shrinkA=0,
                    shrinkB=0,
                )
            )
    # Windows may leave the image; the view shows it whole, with a margin.
    margin = 0.04 * max(height, width)
    ax.set_xlim(-0.5 - margin, width - 0.5 + margin)
    ax.set_ylim(height - 0.5 + margin, -0.5 - margin)


def _describe(image, locations):
    height, width = image.shape[:2]
    places = ", ".join(f"({x:.2f}, {y:.2f})" for x, y in locations[:8])
    more = " and so on" if len(locations) > 8 else ""
    return (
        f"An image of {width} by {height} pixels with {len(locations)} "
        f"numbered glimpse windows, in order at {places}{more}."
    )


@style.styled
def glimpse_path(
    image,
    locations,
    size,
    scales=1,
    title="Numbered boxes: where the model looked, in order",
    ax=None,
):
    """Draw a path of glimpses over its image.

    Args:
        image: (H, W), (H, W, 1) or (H, W, 3); uint8, or floats in [0, 1].
        locations: (T, 2), (x, y) in [-1, 1].
        size: side of the finest window in pixels.
        scales: number of windows; window k covers size * 2^k pixels (dotted).
        title: what to see.
        ax: axes to draw into; None makes a figure.

    Returns:
        The matplotlib `Figure`, with alternative text.
    """
    image, locations = _check(image, locations, size, scales)
    fig, axes = style.figure_and_axes(ax, 5.0, 5.2)
    _draw_path(axes, image, locations, size, scales)
    style.set_title(axes, title)
    return set_alt(fig, f"{title}. {_describe(image, locations)}")


@style.styled
def glimpse_paths(
    images, locations, size, scales=1, titles=None, columns=4, title=None
):
    """Draw several paths in a grid.

    Args:
        images: (N, H, W[, C]) or a list of images.
        locations: (N, T, 2), (x, y) in [-1, 1].
        size: side of the finest window in pixels.
        scales: number of windows.
        titles: N short strings, or None.
        columns: images side by side.
        title: what to see, over the whole figure.

    Returns:
        The matplotlib `Figure`, with alternative text.
    """
    locations = style.as_array("locations", locations, 3)
    if len(images) != len(locations):
        raise ValueError(
            f"expected one path an image. Received: {len(images)} images, "
            f"{len(locations)} paths"
        )
    fig, axes = style.image_axes(
        len(images), titles, columns, gap=0.25, head=0.6 if title else 0
    )
    for index, (image, path) in enumerate(zip(images, locations, strict=True)):
        image, path = _check(image, path, size, scales)
        _draw_path(axes[index], image, path, size, scales)
        if titles is not None:
            axes[index].set_title(str(titles[index]), fontsize=11)
    if title:
        style.set_figure_title(fig, title)
    return set_alt(
        fig,
        f"{title or 'Glimpse paths'}: {len(images)} images, each with "
        f"{locations.shape[1]} numbered glimpse windows.",
    )


def _draw_bars(ax, probabilities, labels):
    best = int(np.argmax(probabilities))
    colors = [style.COLORS["sky"]] * len(probabilities)
    colors[best] = style.COLORS["orange"]
    ax.bar(range(len(probabilities)), probabilities, color=colors)
    ax.set_xticks(range(len(probabilities)), labels)
    ax.set_ylim(0, 1)
    ax.set_xlabel("class")
    ax.set_ylabel("probability")
    ax.grid(False, axis="x")


@style.styled
def glimpse_step(
    image,
    locations,
    step,
    size,
    scales=1,
    probabilities=None,
    labels=None,
    title=None,
):
    """Draw one moment of a path: the path so far, what the sensor sees, and
    what the model would answer now.

    Args:
        image: (H, W), (H, W, 1) or (H, W, 3); uint8, or floats in [0, 1].
        locations: (T, 2), (x, y) in [-1, 1].
        step: how many glimpses have been taken, 1 to T.
        size: side of the finest window in pixels.
        scales: number of windows.
        probabilities: (classes,) the answer after this glimpse, or None.
        labels: one string a class; default 0, 1, ...
        title: what to see.

    Returns:
        The matplotlib `Figure`, with alternative text.
    """
    image, locations = _check(image, locations, size, scales)
    if not 1 <= step <= len(locations):
        raise ValueError(
            f"`step` must be between 1 and {len(locations)}. Received: {step}"
        )
    title = title or f"After glimpse {step} of {len(locations)}"
    answer = None
    if probabilities is not None:
        answer = style.as_array("probabilities", probabilities, 1)
        labels = (
            [str(i) for i in range(len(answer))]
            if labels is None
            else ([str(label) for label in labels])
        )
        if len(labels) != len(answer):
            raise ValueError(
                f"expected one label a class ({len(answer)}). Received: "
                f"{len(labels)}"
            )
    fig = style.new_figure(7.0, 3.7 if answer is None else 5.6)
    heights = [1] if answer is None else [1.7, 1]
    grid = fig.add_gridspec(
        len(heights), 2, height_ratios=heights, width_ratios=[1.6, 1]
    )
    left = fig.add_subplot(grid[0, 0])
    _draw_path(
        left, image, locations[:step], size, scales, total=len(locations)
    )
    left.set_title("the path so far", fontsize=11)
    seen = crops(image, locations[step - 1 : step], size, scales)[0]
    right = fig.add_subplot(grid[0, 1])
    style.draw_image(right, np.concatenate(list(seen), axis=0), frame=True)
    for scale in range(1, scales):
        right.axhline(scale * size - 0.5, color=style.COLORS["orange"])
    right.set_title("what it sees now", fontsize=11)
    told = ""
    if answer is not None:
        _draw_bars(fig.add_subplot(grid[1, :]), answer, labels)
        best = int(np.argmax(answer))
        told = f" Answer now: {labels[best]} ({answer[best]:.0%})."
    style.set_figure_title(fig, title + (f".{told[:-1]}" if told else ""))
    return set_alt(fig, f"{title}.{told} {_describe(image, locations[:step])}")


@style.styled
def glimpse_strip(
    image,
    locations,
    size,
    scales=1,
    captions=None,
    title="What the sensor sees, glimpse by glimpse",
):
    """The static twin of `glimpse_animation`: every glimpse side by side.

    Args:
        image: (H, W), (H, W, 1) or (H, W, 3); uint8, or floats in [0, 1].
        locations: (T, 2), (x, y) in [-1, 1].
        size: side of the finest window in pixels.
        scales: number of windows.
        captions: one short string a glimpse, or None.
        title: what to see.

    Returns:
        The matplotlib `Figure`, with alternative text.
    """
    image, locations = _check(image, locations, size, scales)
    count = len(locations)
    captions = _check_captions(captions, count)
    seen = crops(image, locations, size, scales)
    columns = min(count, 6)
    bands = math.ceil(count / columns)
    side = 7.0 / columns
    fig = style.new_figure(7.0, bands * ((1 + scales) * side + 0.5) + 0.5)
    axes = fig.subplots(bands * (1 + scales), columns, squeeze=False)
    for ax in axes.ravel():
        ax.set_visible(False)
    for step in range(count):
        row, column = divmod(step, columns)
        cell = axes[row * (1 + scales) :, column]
        cell[0].set_visible(True)
        _draw_path(cell[0], image, locations[: step + 1], size, 1, step, count)
        cell[0].set_title(captions[step], fontsize=11, loc="center")
        for scale in range(scales):
            cell[1 + scale].set_visible(True)
            style.draw_image(cell[1 + scale], seen[step, scale], frame=True)
            if column == 0:
                cell[1 + scale].set_ylabel(f"{size * 2**scale} px wide")
    style.set_figure_title(fig, title)
    return set_alt(
        fig,
        f"{title}. Top row: {_describe(image, locations)} Below: the "
        f"{scales} patch(es) of {size} by {size} pixels that each one sees. "
        + "; ".join(captions),
    )


def _check_captions(captions, count):
    if captions is None:
        return [f"glimpse {step + 1}" for step in range(count)]
    captions = [str(caption) for caption in captions]
    if len(captions) != count:
        raise ValueError(
            f"expected one caption a glimpse ({count}). Received: "
            f"{len(captions)}"
        )
    return captions


@style.styled
def sensor_view(
    image,
    location,
    size,
    scales=1,
    title="Left: every pixel. Right: all that one glimpse delivers",
):
    """Draw an image beside what a single glimpse keeps of it.

    Args:
        image: (H, W), (H, W, 1) or (H, W, 3); uint8, or floats in [0, 1].
        location: (2,), (x, y) in [-1, 1].
        size: side of the finest window in pixels.
        scales: number of windows, each twice as wide as the one before.
        title: what to see.

    Returns:
        The matplotlib `Figure`, with alternative text that says which share of
        the pixels a glimpse delivers.
    """
    location = style.as_array("location", location, 1)
    image, path = _check(image, location[None], size, scales)
    seen = retina(image, location, size, scales)
    # Unseen pixels: mid-grey, neither the photograph's black nor its white.
    seen = np.where(np.isnan(seen), 0.82, seen)
    share = scales * size * size / (image.shape[0] * image.shape[1])
    fig = style.new_figure(7.0, 4.1)
    left, right = fig.subplots(1, 2)
    _draw_path(left, image, path, size, scales)
    style.draw_image(right, seen)
    right.set_xlim(left.get_xlim())
    right.set_ylim(left.get_ylim())
    height, width = image.shape[:2]
    left.set_xlabel(f"{width * height:,} pixels")
    right.set_xlabel(f"{scales * size * size:,} numbers ({share:.1%})")
    style.set_figure_title(fig, title)
    return set_alt(
        fig,
        f"{title}. The photograph of {width} by {height} pixels and a "
        f"{scales}-scale glimpse of it: sharp in a {size}-pixel window, "
        f"coarser around it, nothing outside; {share:.1%} of the pixels.",
    )


@style.styled
def scatter_locations(
    locations,
    title="Where the glimpses of all test images fall",
    columns=3,
    image=None,
):
    """Draw the spread of glimpses: one panel a time step.

    A collapsed policy shows as one dot; a policy that looks at the input
    shows as a cloud that differs from step to step.

    Args:
        locations: (N, T, 2), (x, y) in [-1, 1].
        title: what to see.
        columns: panels side by side.
        image: a picture to put behind the dots, e.g. the mean image.

    Returns:
        The matplotlib `Figure`, with alternative text.
    """
    locations = style.as_array("locations", locations, 3)
    if locations.shape[-1] != 2:
        raise ValueError(
            "`locations` must be (images, glimpses, 2). Received: shape "
            f"{locations.shape}"
        )
    backdrop = None if image is None else style.as_image("image", image)
    count = locations.shape[1]
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    side = 7.0 / columns
    fig = style.new_figure(7.0, rows * (side + 0.15) + 0.7)
    axes = fig.subplots(
        rows, columns, squeeze=False, sharex=True, sharey=True
    ).ravel()
    spread = locations.std(axis=0)  # (T, 2)
    alpha = float(np.clip(60 / len(locations), 0.08, 0.8))
    for step, ax in enumerate(axes):
        if step >= count:
            ax.set_visible(False)
            continue
        if backdrop is not None:
            ax.imshow(
                1 - backdrop,
                cmap="gray",
                extent=(-1, 1, 1, -1),
                alpha=0.35,
                vmin=0,
                vmax=1,
            )
        ax.scatter(*locations[:, step].T, s=9, alpha=alpha, linewidths=0)
        ax.set(xlim=(-1.05, 1.05), ylim=(1.05, -1.05), aspect="equal")
        ax.set_xticks([-1, 0, 1])
        ax.set_yticks([-1, 0, 1])
        ax.set_title(
            f"{step + 1}: std {spread[step].mean():.2f}",
            fontsize=11,
            loc="center",
        )
    style.set_figure_title(fig, title)
    fig.supxlabel("x (−1 left, 1 right)", fontsize=11)
    fig.supylabel("y (−1 top, 1 bottom)", fontsize=11)
    values = ", ".join(f"{value:.2f}" for value in spread.mean(axis=-1))
    return set_alt(
        fig,
        f"{title}: scatter plots of {len(locations)} locations at each of "
        f"{count} steps; standard deviations {values}.",
    )
