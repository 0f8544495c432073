"""Pictures of segmentations, and of which scale was believed where."""

import matplotlib
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch

from attnlib.figures import style
from attnlib.figures.curves import line_plot
from attnlib.figures.display import set_alt

_IGNORE = 255
_DARK = "#303030"
_NAMED = ("blue", "orange", "green", "amber", "pink", "sky")


def class_colors(count):
    """Return a colour for each class: (count, 3), numbers in [0, 1].

    The first class is dark, since it is most often the background.
    """
    names = [_DARK, *(style.COLORS[name] for name in _NAMED)]
    if count > len(names):
        more = matplotlib.colormaps["tab20"].colors
        names = [_DARK, *more]
    return np.array([to_rgb(names[i % len(names)]) for i in range(count)])


def _as_masks(name, masks, count, shape):
    """Check class numbers (..., H, W) and return them as colours."""
    masks = style.as_array(name, masks, len(shape), int)
    if masks.shape != shape:
        raise ValueError(
            f"expected `{name}` with a class for each pixel, {shape}. "
            f"Received: shape {masks.shape}"
        )
    known = masks != _IGNORE
    if (
        masks[known].size
        and not 0 <= masks[known].min() <= (masks[known].max()) < count
    ):
        raise ValueError(
            f"expected `{name}` from 0 to {count - 1}, or {_IGNORE}. Received: "
            f"{masks[known].min()} to {masks[known].max()}"
        )
    colors = class_colors(count)[np.where(known, masks, 0)]
    return np.where(known[..., None], colors, 1.0)


def _legend(fig, classes, ignored):
    colors = class_colors(len(classes))
    handles = [
        Patch(facecolor=color, label=name)
        for color, name in zip(colors, classes, strict=True)
    ]
    if ignored:
        handles.append(
            Patch(facecolor="white", edgecolor="grey", label="not counted")
        )
    fig.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(len(handles), 6 if len(handles) < 7 else 5),
        fontsize=10,
        handlelength=1.2,
        columnspacing=1.0,
    )


def _columns(images, labels, foot=0.5):
    """Make a figure of one column an image, one named row for each label."""
    height, width = images[0].shape[:2]
    # Room for the rows' names at the left.
    inches = 6.6 / max(len(images), 3) * height / width + 0.08
    fig = style.new_figure(7.0, len(labels) * inches + 0.5 + foot)
    axes = fig.subplots(len(labels), len(images), squeeze=False)
    for row, label in zip(axes, labels, strict=True):
        row[0].set_ylabel(label, fontsize=11)
    for ax, image in zip(axes[0], images, strict=True):
        style.draw_image(ax, image)
    return fig, axes


def _seen(masks, classes):
    numbers = np.unique(masks)
    return [classes[n] for n in numbers if n != _IGNORE]


@style.styled
def segmentations(images, masks, found, classes, title):
    """Draw images, one a column, above the true and the found classes.

    Args:
        images: (N, H, W[, C]); uint8 or floats in [0, 1].
        masks: (N, H, W) true classes, 255 where nothing counts.
        found: {label: (N, H, W) classes}, a row each.
        classes: their names.
        title: what to see, over the whole figure.

    Returns:
        The matplotlib `Figure`, with alternative text.

    Raises:
        ValueError: there are no images, sizes differ, or a class is unknown.
    """
    images = [style.as_image("images", image) for image in images]
    shape = (len(images), *images[0].shape[:2]) if images else ()
    if not images:
        raise ValueError("`images` is empty: nothing to draw")
    rows = {"truth": masks, **found}
    painted = {
        label: _as_masks(label, values, len(classes), shape)
        for label, values in rows.items()
    }
    foot = 0.3 + 0.25 * (len(classes) // 6)
    fig, axes = _columns(images, ["image", *rows], foot)
    for row, values in zip(axes[1:], painted.values(), strict=True):
        for ax, value in zip(row, values, strict=True):
            style.draw_image(ax, value)
    masks = np.asarray(masks)
    _legend(fig, classes, (masks == _IGNORE).any())
    style.set_figure_title(fig, title)
    told = "; ".join(", ".join(_seen(mask, classes)) for mask in masks)
    shares = ", ".join(
        f"{label} {_agreement(masks, np.asarray(values)):.0%}"
        for label, values in found.items()
    )
    shares = f" Pixels named right: {shares}." if found else ""
    return set_alt(fig, f"{title}. The images show: {told}.{shares}")


def _agreement(masks, values):
    known = masks != _IGNORE
    return float((masks == values)[known].mean()) if known.any() else 0.0


def _as_weights(weights, shape):
    weights = style.as_array("weights", weights, 4)
    count, *size = shape
    if weights.shape != (count, weights.shape[1], *size):
        raise ValueError(
            "expected `weights` of each scale at each pixel, (N, S, H, W), of "
            f"{count} images of {size[0]} x {size[1]} pixels. Received: shape "
            f"{weights.shape}"
        )
    if weights.min() < -1e-6 or weights.max() > 1 + 1e-6:
        raise ValueError(
            "expected `weights` from 0 to 1. Received: "
            f"{weights.min():.3g} to {weights.max():.3g}"
        )
    return weights


@style.styled
def scale_weights(images, weights, scales, title):
    """Draw images, one a column, above a map of the weight of each scale.

    Args:
        images: (N, H, W[, C]); uint8 or floats in [0, 1].
        weights: (N, S, H, W), from 0 to 1.
        scales: S numbers, the factors by which images were resized.
        title: what to see, over the whole figure.

    Returns:
        The matplotlib `Figure`, with alternative text.

    Raises:
        ValueError: there are no images, or sizes differ.
    """
    images = [style.as_image("images", image) for image in images]
    if not images:
        raise ValueError("`images` is empty: nothing to draw")
    weights = _as_weights(weights, (len(images), *images[0].shape[:2]))
    if len(scales) != weights.shape[1]:
        raise ValueError(
            f"expected a weight of each scale ({len(scales)}). Received: "
            f"{weights.shape[1]}"
        )
    labels = [f"scale {scale:g}" for scale in scales]
    fig, axes = _columns(images, ["image", *labels], 0.8)
    for n, row in enumerate(axes[1:]):
        for ax, values in zip(row, weights[:, n], strict=True):
            mesh = _draw_weights(ax, values)
    fig.colorbar(
        mesh,
        ax=list(axes.ravel()),
        label="weight of the scale",
        location="bottom",
        shrink=0.6,
        aspect=40,
        pad=0.02,
    )
    style.set_figure_title(fig, title)
    means = weights.mean(axis=(2, 3))
    told = "; ".join(
        ", ".join(
            f"scale {scale:g}: {mean:.2f}"
            for scale, mean in zip(scales, row, strict=True)
        )
        for row in means
    )
    return set_alt(fig, f"{title}. Mean weight in each image: {told}.")


def _draw_weights(ax, values):
    mesh = ax.imshow(values, cmap="viridis", vmin=0, vmax=1)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(False)
    return mesh


@style.styled
def size_scatter(
    size, values, xlabel, ylabel, title, *, centres, means, ylim=(0, 1)
):
    """Draw one dot an object against its size, and a curve of means.

    Args:
        size: (N,) in pixels, above 0; the axis is logarithmic.
        values: (N,).
        xlabel: with its unit.
        ylabel: with its unit.
        title: what to see.
        centres: (M,) sizes at which the curve has its points.
        means: {label: (M,)} curves.
        ylim: (low, high).

    Returns:
        The matplotlib `Figure`, with alternative text.
    """
    size = style.as_array("size", size, 1)
    values = style.as_array("values", values, 1)
    if len(size) != len(values):
        raise ValueError(
            f"expected one value for each object ({len(size)}). Received: "
            f"{len(values)}"
        )
    fig = style.new_figure()
    ax = fig.add_subplot()
    ax.scatter(
        size, values, s=9, color=style.COLORS["grey"], alpha=0.35, linewidths=0
    )
    line_plot(
        centres,
        means,
        xlabel,
        ylabel,
        title,
        log_x=True,
        ylim=ylim,
        xticks=np.round(centres),
        ax=ax,
    )
    told = ", ".join(
        f"{at:.0f}: {value:.2f}"
        for at, value in zip(centres, next(iter(means.values())), strict=True)
    )
    return set_alt(
        fig,
        f"{title}. A dot for each of {len(size)} objects: {ylabel} against "
        f"{xlabel}. Means: {told}.",
    )


@style.styled
def scale_view(
    image, found, weights, scales, classes, title, *, curve=None, at=None
):
    """Draw one image, the classes found, and the weight map of each scale.

    Args:
        image: (H, W[, C]); uint8 or floats in [0, 1].
        found: (H, W) classes.
        weights: (S, H, W), from 0 to 1.
        scales: S numbers.
        classes: names of the classes.
        title: what to see.
        curve: `(x, {label: y}, xlabel, ylabel)` to draw below, or None.
        at: where on the curve's axis this image is.

    Returns:
        The matplotlib `Figure`, with alternative text.
    """
    image = style.as_image("image", image)
    shape = image.shape[:2]
    weights = _as_weights(np.asarray(weights)[None], (1, *shape))[0]
    painted = _as_masks("found", found, len(classes), shape)
    columns = 2 + len(scales)
    side = 7.0 / columns * shape[0] / shape[1]
    fig = style.new_figure(7.0, side + 1.2 + (2.6 if curve else 0))
    grid = fig.add_gridspec(
        2 if curve else 1, columns, height_ratios=[side, 2.4][: 1 + bool(curve)]
    )
    axes = [fig.add_subplot(grid[0, i]) for i in range(columns)]
    style.draw_image(axes[0], image)
    style.draw_image(axes[1], painted)
    for ax, values in zip(axes[2:], weights, strict=True):
        _draw_weights(ax, values)
    means = weights.mean(axis=(1, 2))
    titles = ["image", "found", *(f"weight of {s:g}" for s in scales)]
    for ax, label in zip(axes, titles, strict=True):
        ax.set_title(label, fontsize=11, loc="center")
    if curve:
        x, lines, xlabel, ylabel = curve
        line_plot(
            x,
            lines,
            xlabel,
            ylabel,
            "",
            ylim=(0, 1),
            vlines=None if at is None else {"here": at},
            ax=fig.add_subplot(grid[1, :]),
        )
    _legend(fig, classes, False)
    style.set_figure_title(fig, title)
    told = ", ".join(
        f"scale {scale:g} {mean:.2f}"
        for scale, mean in zip(scales, means, strict=True)
    )
    seen = ", ".join(_seen(np.asarray(found), classes))
    return set_alt(fig, f"{title}. Found: {seen}. Mean weights: {told}.")
