"""A box on an image, what is cut out there, and what sliding it changes."""

from attnlib.figures import style
from attnlib.figures.curves import line_plot
from attnlib.figures.display import set_alt


@style.styled
def crop_view(
    image,
    box,
    crop,
    positions,
    curves,
    at,
    xlabel,
    ylabel,
    title="Left: the box. Right: what is cut out. Below: sliding it",
):
    """Draw a box, its crop, and a curve over one of the box's coordinates.

    Args:
        image: (H, W), (H, W, 1) or (H, W, 3); uint8, or floats in [0, 1].
        box: (4,), left, top, width and height in pixels; pixel i lies between
            i and i + 1.
        crop: what is cut out, an image.
        positions: (points,) values of the coordinate that slides.
        curves: {label: values (points,)}.
        at: the coordinate's value in the picture.
        xlabel: the coordinate, with its unit.
        ylabel: what is plotted, with its unit.
        title: what to see.

    Returns:
        The matplotlib `Figure`, with alternative text.
    """
    image = style.as_image("image", image)
    crop = style.as_image("crop", crop)
    box = style.as_array("box", box, 1)
    if len(box) != 4:
        raise ValueError(
            "expected a box of left, top, width and height. Received: "
            f"{len(box)} numbers"
        )
    fig = style.new_figure(7.0, 6.4)
    grid = fig.add_gridspec(2, 2, height_ratios=[1.1, 1])
    left, right = (fig.add_subplot(grid[0, i]) for i in range(2))
    style.draw_image(left, image)
    style.add_box(left, box)
    left.set_xlabel("the image, with the box")
    style.draw_image(right, crop, frame=True)
    right.set_xlabel("the crop, rescaled")
    below = fig.add_subplot(grid[1, :])
    line_plot(
        positions, curves, xlabel, ylabel, "", vlines={"here": at}, ax=below
    )
    style.set_figure_title(fig, title)
    ends = ", ".join(f"{number:g}" for number in box)
    return set_alt(
        fig,
        f"{title}. A box with left, top, width and height {ends} pixels on an "
        f"image of {image.shape[1]} by {image.shape[0]}, its crop of "
        f"{crop.shape[1]} by {crop.shape[0]}, and {ylabel} against {xlabel}: "
        f"{', '.join(map(str, curves))}.",
    )
