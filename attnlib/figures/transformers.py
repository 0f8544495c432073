"""Pictures of spatial transformers: where a grid reads, and what comes out.

Convention: grids and boxes are (x, y) in [-1, 1], (-1, -1) the top-left
corner; pixel position `px = ((x + 1) * W - 1) / 2`.
"""

import numpy as np
from matplotlib import patheffects

from attnlib.figures import style
from attnlib.figures.display import set_alt

_LINES = 4  # Lines drawn inside a grid, in each direction.
# Seen on bright and on dark images alike.
_HALO = [patheffects.withStroke(linewidth=3, foreground="black", alpha=0.5)]


def _pixels(points, height, width):
    return ((points + 1) * [width, height] - 1) / 2


def _draw_grid(ax, image, grid, color="orange", lines=_LINES):
    """Draw an image, a grid's outline and some of its lines."""
    height, width = image.shape[:2]
    style.draw_image(ax, image)
    points = _pixels(grid, height, width)
    rows, columns = points.shape[:2]
    for axis, count in ((0, rows), (1, columns)):
        chosen = np.linspace(0, count - 1, min(lines + 2, count)).round()
        for place in chosen.astype(int):
            border = place in (0, count - 1)
            ax.plot(
                *np.take(points, place, axis=axis).T,
                color=style.COLORS[color],
                linewidth=1.8 if border else 0.7,
                alpha=1.0 if border else 0.8,
                path_effects=_HALO if border else None,
            )
    # The upper edge: an image may be turned or mirrored.
    ax.plot(*points[0].T, color=style.COLORS["sky"], linewidth=2.4)
    # A grid may leave the image; the view shows some of what lies outside.
    margin = 0.12 * max(height, width)
    ax.set_xlim(-0.5 - margin, width - 0.5 + margin)
    ax.set_ylim(height - 0.5 + margin, -0.5 - margin)
    ax.set_facecolor("#dddddd")


def _checked_grid(name, grid, ndim):
    grid = style.as_array(name, grid, ndim)
    if grid.shape[-1] != 2:
        raise ValueError(
            f"`{name}` must have (x, y) as its last axis. Received: shape "
            f"{grid.shape}"
        )
    return grid


@style.styled
def transformer_view(
    image,
    grid,
    output,
    title="Left: where the grid reads. Right: what comes out",
):
    """Draw a grid on its image beside the image that it samples.

    Args:
        image: (H, W), (H, W, 1) or (H, W, 3); uint8, or floats in [0, 1].
        grid: (h, w, 2), (x, y) in [-1, 1]: where each output pixel is read.
        output: the sampled image.
        title: what to see.

    Returns:
        The matplotlib `Figure`, with alternative text.
    """
    image = style.as_image("image", image)
    output = style.as_image("output", output)
    grid = _checked_grid("grid", grid, 3)
    fig = style.new_figure(7.0, 4.0)
    left, right = fig.subplots(1, 2)
    _draw_grid(left, image, grid, lines=7)
    style.draw_image(right, output, frame=True)
    left.set_xlabel("input, with the sampling grid")
    right.set_xlabel("output")
    fig.suptitle(title, x=0.01, ha="left")
    (x0, y0), (x1, y1) = grid[0, 0], grid[-1, -1]
    return set_alt(
        fig,
        f"{title}. The grid's first corner lies at ({x0:.2f}, {y0:.2f}), its "
        f"last at ({x1:.2f}, {y1:.2f}); the output shows what lies under it, "
        "upright.",
    )


@style.styled
def transformer_triplets(images, grids, outputs, titles=None, title=None):
    """Draw inputs, grids on them and outputs, one column an example.

    Args:
        images: (N, H, W[, C]) or a list of images.
        grids: (N, h, w, 2), (x, y) in [-1, 1].
        outputs: N sampled images.
        titles: N short strings, or None.
        title: what to see, over the whole figure.

    Returns:
        The matplotlib `Figure`, with alternative text.

    Raises:
        ValueError: there are no images, or not one grid and output for each.
    """
    count = len(images)
    if not count or not len(grids) == len(outputs) == count:
        raise ValueError(
            "expected at least one image and one grid and output for each. "
            f"Received: {count} images, {len(grids)} grids, {len(outputs)} "
            "outputs"
        )
    titles = [""] * count if titles is None else [str(t) for t in titles]
    if len(titles) != count:
        raise ValueError(
            f"expected one title an image ({count}). Received: {len(titles)}"
        )
    side = 7.0 / count
    fig = style.new_figure(7.0, 3 * side + 0.9)
    axes = fig.subplots(3, count, squeeze=False)
    for index in range(count):
        image = style.as_image("images", images[index])
        grid = _checked_grid("grids", grids[index], 3)
        style.draw_image(axes[0, index], image)
        _draw_grid(axes[1, index], image, grid, lines=2)
        output = style.as_image("outputs", outputs[index])
        style.draw_image(axes[2, index], output, frame=True)
        axes[0, index].set_title(titles[index], fontsize=11, loc="center")
    for ax, label in zip(axes[:, 0], ("input", "grid", "output"), strict=True):
        ax.set_ylabel(label)
    if title:
        fig.suptitle(title, x=0.01, ha="left")
    told = "; ".join(filter(None, titles))
    return set_alt(
        fig,
        f"{title or 'Spatial transformers'}: {count} columns of input, "
        f"sampling grid and output.{' ' + told if told else ''}",
    )


@style.styled
def located_boxes(images, found, true, size, titles=None, title=None):
    """Draw boxes that were found beside the true ones.

    Args:
        images: (N, H, W[, C]) or a list of images.
        found: (N, 2), middles (x, y) in [-1, 1].
        true: (N, 2), middles.
        size: side of the boxes, as a part of the image's.
        titles: N short strings, or None.
        title: what to see, over the whole figure.

    Returns:
        The matplotlib `Figure`, with alternative text.

    Raises:
        ValueError: there is not one found and one true box an image.
    """
    found = _checked_grid("found", found, 2)
    true = _checked_grid("true", true, 2)
    if not len(images) == len(found) == len(true):
        raise ValueError(
            "expected one found and one true box an image. Received: "
            f"{len(images)} images, {len(found)} found, {len(true)} true"
        )
    fig, axes = style.image_axes(
        len(images),
        titles,
        6,
        gap=0.0 if titles is None else 0.25,
        head=0.9 if title else 0.4,
    )
    corners = size * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]])
    for index, image in enumerate(images):
        image = style.as_image("images", image)
        style.draw_image(axes[index], image)
        for middle, color, line, label in (
            (true[index], "sky", ":", "true"),
            (found[index], "orange", "-", "found"),
        ):
            points = _pixels(middle + corners, *image.shape[:2])
            axes[index].plot(
                *points.T,
                color=style.COLORS[color],
                linestyle=line,
                linewidth=1.8,
                label=label,
            )
        if titles is not None:
            axes[index].set_title(str(titles[index]), fontsize=11)
    fig.legend(
        *axes[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=2,
    )
    if title:
        fig.suptitle(title, x=0.01, ha="left")
    apart = np.hypot(*(found - true).T).mean() / 2
    return set_alt(
        fig,
        f"{title or 'Boxes'}: {len(images)} images with a found and a true "
        f"box each; on average their middles are {apart:.0%} of the image's "
        "side apart.",
    )
