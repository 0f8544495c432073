"""Grids of pictures."""

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
    fig, axes = style.image_axes(
        len(images),
        titles,
        columns,
        gap=0.0 if titles is None else 0.25,
        head=0.5 if title else 0,
    )
    for index, image in enumerate(images):
        style.draw_image(axes[index], image)
        if titles is not None:
            axes[index].set_title(str(titles[index]), fontsize=11, loc="center")
    if title:
        fig.suptitle(title, x=0.01, ha="left")
    shown = "" if titles is None else ": " + ", ".join(map(str, titles))
    return set_alt(
        fig, f"{title or 'Images'}: a grid of {len(images)} images{shown}."
    )
