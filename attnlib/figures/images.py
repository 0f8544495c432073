"""Grids of pictures."""

import math

from attnlib.figures import style
from attnlib.figures.display import set_alt


@style.styled
def image_grid(images, titles=None, title=None, columns=6):
    """Draw images in a grid.

    Args:
        images: (N, H, W[, C]) or a list of images; uint8 or floats in [0, 1].
        titles: N short strings, or None.
        title: what to see, over the whole figure.
        columns: images side by side.

    Returns:
        The matplotlib `Figure`, with alternative text.
    """
    images = [style.as_image("images", image) for image in images]
    if not images:
        raise ValueError("`images` is empty: nothing to draw")
    if titles is not None and len(titles) != len(images):
        raise ValueError(
            f"expected one title an image ({len(images)}). Received: "
            f"{len(titles)}"
        )
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    side = 7.0 / columns
    per_row = side + (0.25 if titles is not None else 0.0)
    fig = style.new_figure(7.0, rows * per_row + (0.5 if title else 0))
    axes = fig.subplots(rows, columns, squeeze=False).ravel()
    for index, ax in enumerate(axes):
        if index >= len(images):
            ax.set_visible(False)
            continue
        style.draw_image(ax, images[index])
        if titles is not None:
            ax.set_title(str(titles[index]), fontsize=11, loc="center")
    if title:
        fig.suptitle(title, x=0.01, ha="left")
    shown = "" if titles is None else ": " + ", ".join(map(str, titles))
    return set_alt(
        fig, f"{title or 'Images'}: a grid of {len(images)} images{shown}."
    )
