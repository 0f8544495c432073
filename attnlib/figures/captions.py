"""Pictures of captions: where the model looked before it wrote each word."""

import numpy as np

from attnlib.figures import style
from attnlib.figures.display import set_alt


def _lit(image, weights, rows):
    """Darken an image (H, W[, 3]) but for the cells that were looked at."""
    cells = weights.reshape(rows, -1)
    height, width = image.shape[:2]
    down = np.arange(height) * cells.shape[0] // height
    across = np.arange(width) * cells.shape[1] // width
    light = cells[down[:, None], across] / max(cells.max(), 1e-12)
    light = 0.2 + 0.8 * light
    return image * (light if image.ndim == 2 else light[..., None])


@style.styled
def words_over_regions(
    image,
    words,
    weights,
    title="Bright: where it looked before it wrote the word",
    rows=None,
    columns=6,
):
    """Draw an image, and for each word once more the cells it looked at.

    Args:
        image: (H, W[, C]); uint8 or floats in [0, 1].
        words: T strings.
        weights: (T, L), the attention on L cells, row by row. In each picture
            the brightest cell is the one with the largest weight.
        title: what to see, over the whole figure.
        rows: rows of cells; None for a square grid.
        columns: pictures side by side.

    Returns:
        The matplotlib `Figure`, with alternative text.
    """
    image = style.as_image("image", image)
    weights = style.as_array("weights", weights, 2)
    if len(words) != len(weights):
        raise ValueError(
            f"expected weights of each word ({len(words)}). Received: shape "
            f"{weights.shape}"
        )
    rows = rows or int(weights.shape[1] ** 0.5)
    if weights.shape[1] % rows:
        raise ValueError(
            f"expected weights of whole rows of cells ({rows}). Received: "
            f"shape {weights.shape}"
        )
    fig, axes = style.image_axes(
        len(words) + 1, ["", *words], columns, gap=0.25, head=0.5
    )
    style.draw_image(axes[0], image)
    said = []
    for ax, word, row in zip(axes[1:], words, weights, strict=False):
        style.draw_image(ax, _lit(image, row, rows))
        ax.set_title(str(word), fontsize=11, loc="center")
        y, x = divmod(int(row.argmax()), weights.shape[1] // rows)
        said.append(f"{word}: row {y + 1}, column {x + 1}")
    style.set_figure_title(fig, title)
    return set_alt(
        fig, f"{title}. The cell with the most attention, {'; '.join(said)}."
    )
