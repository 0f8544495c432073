"""Pictures of windows: where they lie, what they hold, what is made of them.

Convention: middles of windows are (x, y) in [-1, 1], (-1, -1) the top-left
corner; a window of scale s ends at its middle plus and minus s.
"""

import math

import numpy as np
from matplotlib.patches import Rectangle

from attnlib.figures import style
from attnlib.figures.display import set_alt

# Told apart without colour by dashes.
_COLORS = ("orange", "sky", "green", "pink", "amber", "blue")
_DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)), "-.")


def _look(number):
    return (
        style.COLORS[_COLORS[number % len(_COLORS)]],
        _DASHES[number % len(_DASHES)],
    )


def _pixels(points, height, width):
    return ((points + 1) * [width, height] - 1) / 2


def _draw_windows(ax, image, places, scale, parts=None):
    height, width = image.shape[:2]
    style.draw_image(ax, image)
    ax.set_facecolor("#dddddd")
    if parts is not None:
        ax.plot(
            *_pixels(parts, height, width).T,
            linestyle="",
            marker="+",
            markersize=9,
            markeredgewidth=1.8,
            color=style.COLORS["amber"],
            zorder=3,
        )
    for number, (x, y) in enumerate(_pixels(places, height, width)):
        color, dash = _look(number)
        ax.add_patch(
            Rectangle(
                (x - scale * width / 2, y - scale * height / 2),
                scale * width,
                scale * height,
                fill=False,
                edgecolor=color,
                linestyle=dash,
                linewidth=2.2,
                zorder=4,
                label=f"window {number + 1}",
            )
        )
    # A window may leave the image; the view shows some of what lies outside.
    margin = 0.1 * max(height, width)
    ax.set_xlim(-0.5 - margin, width - 0.5 + margin)
    ax.set_ylim(height - 0.5 + margin, -0.5 - margin)


def _checked_places(places, count):
    places = style.as_array("places", places, 3)
    if places.shape[0] != count or places.shape[-1] != 2:
        raise ValueError(
            "expected `places` with (x, y) of each window of each image, "
            f"({count}, N, 2). Received: shape {places.shape}"
        )
    return places


def _checked_scale(scale):
    if not 0 < scale <= 1:
        raise ValueError(
            "expected `scale` above 0 and up to 1, a part of the image's "
            f"side. Received: {scale}"
        )
    return float(scale)


@style.styled
def windows_on_images(
    images, places, scale, parts=None, titles=None, title=None, columns=6
):
    """Draw windows on images.

    Args:
        images: (B, H, W[, C]) or a list of images.
        places: (B, N, 2), middles of N windows.
        scale: side of the windows, as a part of the image's.
        parts: (B, P, 2), places to mark by crosses, or None.
        titles: one short string an image, or None.
        title: what to see, over the whole figure.
        columns: images side by side.

    Returns:
        The matplotlib `Figure`, with alternative text.

    Raises:
        ValueError: there are no images, or windows, marks or titles are not
            those of the images.
    """
    images = [style.as_image("images", image) for image in images]
    fig, axes = style.image_axes(
        len(images),
        titles,
        columns,
        gap=0.05 if titles is None else 0.3,
        head=1.0 if title else 0.5,
    )
    places = _checked_places(places, len(images))
    scale = _checked_scale(scale)
    if parts is not None:
        parts = _checked_places(parts, len(images))
    for index, image in enumerate(images):
        marks = None if parts is None else parts[index]
        _draw_windows(axes[index], image, places[index], scale, marks)
        if titles is not None:
            axes[index].set_title(str(titles[index]), fontsize=11, loc="center")
    fig.legend(
        *axes[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=min(4, places.shape[1]),
    )
    if title:
        style.set_figure_title(fig, title)
    middles = "; ".join(
        f"window {n + 1} at ({x:.2f}, {y:.2f})"
        for n, (x, y) in enumerate(places.mean(axis=0))
    )
    return set_alt(
        fig,
        f"{title or 'Windows on images'}. {len(images)} images with "
        f"{places.shape[1]} windows each, {scale:.0%} of the image's side "
        f"wide; on average {middles}.",
    )


@style.styled
def places_around_parts(offsets, scale, names, title, bins=24):
    """Draw where each window looks, seen from each part.

    Args:
        offsets: (B, N, P, 2), the middle of each window less that of each
            part, (x, y) in half sides of the image.
        scale: side of the windows, as a part of the image's: a part lies in
            a window when both offsets are below it.
        names: the P parts.
        title: what to see.
        bins: cells a side.

    Returns:
        The matplotlib `Figure`, with alternative text.

    Raises:
        ValueError: not one name a part.
    """
    offsets = style.as_array("offsets", offsets, 4)
    scale = _checked_scale(scale)
    if offsets.shape[2:] != (len(names), 2):
        raise ValueError(
            f"expected `offsets` (B, N, {len(names)}, 2) for {len(names)} "
            f"parts. Received: shape {offsets.shape}"
        )
    count = offsets.shape[1]
    side = 6.2 / max(count, 2)
    fig = style.new_figure(7.0, len(names) * (0.8 * side + 0.35) + 0.9)
    axes = fig.subplots(
        len(names), count, squeeze=False, sharex=True, sharey=True
    )
    reach = 1.6
    edges = np.linspace(-reach, reach, bins + 1)
    inside = (np.abs(offsets) < scale).all(-1).mean(0)  # (N, P)
    for row, name in enumerate(names):
        for n in range(count):
            ax = axes[row, n]
            x, y = np.clip(offsets[:, n, row], -reach, reach).T
            counts, _, _ = np.histogram2d(y, x, [edges, edges])
            mesh = ax.imshow(
                np.sqrt(counts / len(offsets)),
                extent=(-reach, reach, reach, -reach),
                cmap="magma",
                vmin=0,
                vmax=0.5,
                interpolation="nearest",
            )
            ax.add_patch(
                Rectangle(
                    (-scale, -scale),
                    2 * scale,
                    2 * scale,
                    fill=False,
                    edgecolor="white",
                    linestyle="--",
                )
            )
            ax.grid(False)
            ax.set_title(
                f"window {n + 1}: {name} inside in {inside[n, row]:.0%}",
                fontsize=10 if count < 4 else 8,
                loc="center",
            )
        axes[row, 0].set_ylabel(f"y from the {name}\n(half images)")
    for ax in axes[-1]:
        ax.set_xlabel("x (half images)")
    bar = fig.colorbar(
        mesh, ax=axes, label="share of the images", shrink=0.8, ticks=[]
    )
    ticks = [0, 0.01, 0.05, 0.1, 0.25]
    bar.set_ticks(
        [math.sqrt(t) for t in ticks], labels=[f"{t:.0%}" for t in ticks]
    )
    style.set_figure_title(fig, title)
    told = "; ".join(
        f"window {n + 1} holds the {name} in {inside[n, row]:.0%} of the images"
        for n in range(count)
        for row, name in enumerate(names)
    )
    return set_alt(
        fig,
        f"{title}. Maps of the windows' middles relative to each part, the "
        f"part in the middle, a window's size dashed. {told}.",
    )


@style.styled
def confusion_matrices(matrices, names, title):
    """Draw confusion matrices side by side, in percent of each true class.

    Args:
        matrices: {label: (K, K) counts}, true classes in rows.
        names: {label: K names of classes}.
        title: what to see.

    Returns:
        The matplotlib `Figure`, with alternative text.

    Raises:
        ValueError: no matrices, one that is not square, or names that do not
            fit.
    """
    if not matrices:
        raise ValueError("`matrices` is empty: nothing to draw")
    columns = len(matrices)
    fig = style.new_figure(7.0, 6.3 / columns + 1.1)
    axes = fig.subplots(1, columns, squeeze=False)[0]
    told = []
    for ax, (label, counts) in zip(axes, matrices.items(), strict=True):
        counts = style.as_array(label, counts, 2)
        if counts.shape != (len(names[label]),) * 2:
            raise ValueError(
                f"expected a matrix of {len(names[label])} rows and columns "
                f"for the names of {label!r}. Received: shape {counts.shape}"
            )
        total = counts.sum(axis=1, keepdims=True)
        percent = 100 * counts / np.maximum(total, 1)
        ax.imshow(percent, cmap="Blues", vmin=0, vmax=100)
        for (i, j), value in np.ndenumerate(percent):
            ax.text(
                j,
                i,
                f"{value:.0f}",
                ha="center",
                va="center",
                color="white" if value > 55 else "black",
            )
        ticks = range(len(names[label]))
        ax.set_xticks(ticks, names[label])
        ax.set_yticks(ticks, names[label])
        ax.grid(False)
        ax.set_xlabel(f"{label}, predicted")
        ax.set_ylabel(f"{label}, true")
        right = 100 * np.trace(counts) / max(counts.sum(), 1)
        ax.set_title(f"{label}: {right:.0f} % right", fontsize=11, loc="center")
        told.append(f"{label}: {right:.0f} % right")
    style.set_figure_title(fig, title)
    return set_alt(
        fig, f"{title}. Confusion matrices in percent. {'; '.join(told)}."
    )


@style.styled
def window_view(image, places, scale, crops, probabilities, names, title):
    """Draw an image with its windows, what they hold, and the verdict.

    Args:
        image: (H, W[, C]).
        places: (N, 2), middles of the windows.
        scale: side of the windows, as a part of the image's.
        crops: N images, what the windows hold.
        probabilities: (K,) of the classes.
        names: the K classes.
        title: what to see.

    Returns:
        The matplotlib `Figure`, with alternative text.

    Raises:
        ValueError: not one crop a window, or not one name a class.
    """
    image = style.as_image("image", image)
    places = _checked_places(np.asarray(places)[None], 1)[0]
    probabilities = style.as_array("probabilities", probabilities, 1)
    if len(crops) != len(places) or len(names) != len(probabilities):
        raise ValueError(
            "expected one crop a window and one name a class. Received: "
            f"{len(crops)} crops of {len(places)} windows, {len(names)} names "
            f"of {len(probabilities)} classes"
        )
    count = len(crops)
    fig = style.new_figure(7.0, 5.6)
    grid = fig.add_gridspec(2, 1, height_ratios=[1.25, 1])
    above = grid[0].subgridspec(1, 2, width_ratios=[1.1, 1])
    left = fig.add_subplot(above[0])
    _draw_windows(left, image, places, _checked_scale(scale))
    left.set_xlabel("the image and its windows")
    columns = math.ceil(math.sqrt(count))
    inner = above[1].subgridspec(math.ceil(count / columns), columns)
    for number, crop in enumerate(crops):
        ax = fig.add_subplot(inner[number // columns, number % columns])
        style.draw_image(ax, style.as_image("crops", crop), frame=True)
        color, dash = _look(number)
        for spine in ax.spines.values():
            spine.set(color=color, linestyle=dash, linewidth=2.2)
        ax.set_xlabel(f"window {number + 1}")
    below = fig.add_subplot(grid[1])
    best = int(probabilities.argmax())
    colors = [style.COLORS["grey"]] * len(names)
    colors[best] = style.COLORS["blue"]
    below.bar(range(len(names)), 100 * probabilities, color=colors)
    below.set_xticks(
        range(len(names)), names, fontsize=9 if len(names) < 17 else 7
    )
    if max(map(len, map(str, names))) > 4:
        below.tick_params(axis="x", labelrotation=60)
    below.set_ylim(0, 100)
    below.set_ylabel("probability (%)")
    below.set_xlabel("class")
    style.set_figure_title(fig, title)
    middles = "; ".join(f"({x:.2f}, {y:.2f})" for x, y in places)
    return set_alt(
        fig,
        f"{title}. Windows with middles {middles}; the most probable class is "
        f"{names[best]} with {probabilities[best]:.0%}.",
    )
