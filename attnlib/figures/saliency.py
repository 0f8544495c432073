"""Pictures of saliency maps that are refined window by window."""

import numpy as np

from attnlib.figures import style
from attnlib.figures.display import set_alt


def _checked(images, maps, boxes, masks):
    """Check what the figures of this module draw; return arrays."""
    images = [style.as_image("images", image) for image in images]
    if not images:
        raise ValueError("`images` is empty: nothing to draw")
    maps = style.as_array("maps", maps, 4)
    boxes = style.as_array("boxes", boxes, 3)
    masks = style.as_array("masks", masks, 3)
    count, (height, width) = len(images), images[0].shape[:2]
    steps = maps.shape[1] - 1
    wanted = {
        "maps": (maps.shape, (count, steps + 1, height, width)),
        "boxes": (boxes.shape, (count, steps, 4)),
        "masks": (masks.shape, (count, height, width)),
    }
    for name, (shape, needed) in wanted.items():
        if shape != needed:
            raise ValueError(
                f"expected `{name}` of shape {needed}, for {count} images of "
                f"{height} x {width} pixels and {steps} steps. Received: shape "
                f"{shape}"
            )
    return images, maps, boxes, masks


def _draw_map(ax, values):
    ax.imshow(values, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(False)


def _error(maps, mask):
    return np.abs(maps - mask).mean(axis=(-2, -1))


@style.styled
def refinements(images, maps, boxes, masks, title):
    """Draw, a row for each image, its map after every step, and the truth.

    Args:
        images: (N, H, W[, C]); uint8 or floats in [0, 1].
        maps: (N, T + 1, H, W) in [0, 1], before and after each of T steps.
        boxes: (N, T, 4), the window of each step: left, top, width and height
            in pixels. It is drawn on the map that it changed.
        masks: (N, H, W), 0 or 1.
        title: what to see, over the whole figure.

    Returns:
        The matplotlib `Figure`, with alternative text.

    Raises:
        ValueError: there are no images, or sizes differ.
    """
    images, maps, boxes, masks = _checked(images, maps, boxes, masks)
    steps = maps.shape[1] - 1
    height, width = masks.shape[1:]
    side = 7.0 / (steps + 3)
    fig = style.new_figure(7.0, len(images) * side * height / width + 0.8)
    axes = fig.subplots(len(images), steps + 3, squeeze=False)
    heads = ["image", "global", *(f"step {t}" for t in range(1, steps + 1))]
    for ax, head in zip(axes[0], [*heads, "truth"], strict=True):
        ax.set_title(head, fontsize=10, loc="center")
    for row, image, some, places, mask in zip(
        axes, images, maps, boxes, masks, strict=True
    ):
        style.draw_image(row[0], image)
        for ax, values in zip(row[1:], [*some, mask], strict=True):
            _draw_map(ax, values)
        for ax, box in zip(row[2:], places, strict=False):
            style.add_box(ax, box, linewidth=1.5)
    style.set_figure_title(fig, title)
    told = "; ".join(
        f"{before:.3f} to {after:.3f}"
        for before, after in (
            _error(some, mask)[[0, -1]]
            for some, mask in zip(maps, masks, strict=True)
        )
    )
    return set_alt(
        fig,
        f"{title}. {len(images)} images, the map before and after each of "
        f"{steps} windows, and the true mask. Mean absolute error: {told}.",
    )


@style.styled
def refinement_step(image, maps, boxes, mask, step, title):
    """Draw one step: the window, the map before and after it, the truth.

    Args:
        image: (H, W[, C]); uint8 or floats in [0, 1].
        maps: (T + 1, H, W) in [0, 1].
        boxes: (T, 4), left, top, width and height in pixels.
        mask: (H, W), 0 or 1.
        step: 0 for the global map, else 1 to T.
        title: what to see.

    Returns:
        The matplotlib `Figure`, with alternative text.

    Raises:
        ValueError: sizes differ, or there is no such step.
    """
    maps, boxes = np.asarray(maps), np.asarray(boxes)
    (image,), (maps,), (boxes,), (mask,) = _checked(
        [image], maps[None], boxes[None], np.asarray(mask)[None]
    )
    if step not in range(len(maps)):
        raise ValueError(
            f"expected a step from 0 to {len(maps) - 1}. Received: {step!r}"
        )
    height, width = mask.shape
    fig = style.new_figure(7.0, 7.0 / 4 * height / width + 0.9)
    axes = fig.subplots(1, 4)
    before = maps[max(0, step - 1)]
    heads = "image", "map before", f"after step {step}", "truth"
    style.draw_image(axes[0], image)
    for ax, values in zip(axes[1:], (before, maps[step], mask), strict=True):
        _draw_map(ax, values)
    for ax, head in zip(axes, heads, strict=True):
        ax.set_title(head, fontsize=11, loc="center")
    for t, box in enumerate(boxes[:step], start=1):
        here = t == step
        style.add_box(
            axes[0], box, "orange" if here else "grey", 2.2 if here else 1.0
        )
    if step:
        style.add_box(axes[2], boxes[step - 1])
    style.set_figure_title(fig, title)
    error = _error(maps, mask)
    place = ""
    if step:
        numbers = ", ".join(f"{value:.0f}" for value in boxes[step - 1])
        place = f" The window's left, top, width, height: {numbers} pixels."
    return set_alt(
        fig,
        f"{title}. Step {step} of {len(boxes)}.{place} Mean absolute error "
        f"{error[max(0, step - 1)]:.3f} before, {error[step]:.3f} after.",
    )


@style.styled
def precision_recall_curves(curves, title, points=None):
    """Draw precision against recall, a line for each map.

    Args:
        curves: {label: `(precision, recall)`}, arrays of one length each.
        title: what to see.
        points: {label: `(precision, recall)`} of one marked point of a line.

    Returns:
        The matplotlib `Figure`, with alternative text.

    Raises:
        ValueError: there is no curve, or lengths differ.
    """
    if not curves:
        raise ValueError("`curves` is empty: nothing to draw")
    fig = style.new_figure(7.0, 4.6)
    ax = fig.add_subplot()
    dashes = "-", "--", "-.", ":"
    colors = list(style.COLORS.values())
    told = []
    for n, (label, (precision, recall)) in enumerate(curves.items()):
        precision = style.as_array("precision", precision, 1)
        recall = style.as_array("recall", recall, 1)
        if len(precision) != len(recall):
            raise ValueError(
                f"expected as many values of recall ({len(recall)}) as of "
                f"precision ({len(precision)}) for {label!r}"
            )
        color = colors[n % len(colors)]
        ax.plot(recall, precision, dashes[n % 4], color=color, label=str(label))
        if points and label in points:
            p, r = points[label]
            ax.plot(r, p, "o", color=color)
            told.append(f"{label} {p:.2f} at recall {r:.2f}")
    ax.set_xlim(0, 1.01)
    ax.set_ylim(0, 1.01)
    ax.set_xlabel("recall (share of salient pixels that are called so)")
    ax.set_ylabel("precision")
    fig.legend(loc="outside lower center", ncols=min(4, len(curves)))
    style.set_title(ax, title)
    marked = f" Marked: {'; '.join(told)}." if told else ""
    return set_alt(
        fig,
        f"{title}. Precision against recall of "
        f"{', '.join(map(str, curves))}.{marked}",
    )
