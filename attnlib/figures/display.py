"""Show figures with alternative text, the same way in every front end.

Jupyter front ends disagree on where the alternative text of an `image/png`
output lives (nbconvert: metadata "alt"; VS Code: "vscode_altText"; JupyterLab
ignores both). A `text/html` output with an ordinary `<img alt=...>` is read
by all of them, keeps its meaning in exported pages, scales down on a phone,
and leaves no `<Figure size ...>` text behind that nbval would compare.
"""

import base64
import html
import io

import matplotlib

from attnlib.figures import style

DEFAULT_DPI = 150


def set_alt(fig, text):
    """Attach the sentence that replaces the figure for those who cannot see it.

    Args:
        fig: a matplotlib `Figure`.
        text: what the figure shows, in one or two sentences.

    Returns:
        The figure, so that calls chain.
    """
    if not isinstance(text, str) or not text.strip():
        raise ValueError(
            f"the alternative text must be a non-empty string. Received: "
            f"{text!r}"
        )
    fig.attnlib_alt = " ".join(text.split())
    return fig


def get_alt(fig):
    """The figure's alternative text, "" when it has none."""
    return getattr(fig, "attnlib_alt", "")


def to_png(fig, dpi=DEFAULT_DPI):
    """Render a figure.

    Args:
        fig: a matplotlib `Figure`.
        dpi: pixels per inch; a 7-inch figure has 1050 pixels at 150.

    Returns:
        The bytes of a PNG with an opaque white background.
    """
    buffer = io.BytesIO()
    with matplotlib.rc_context(style._style()):
        fig.savefig(
            buffer,
            format="png",
            dpi=dpi,
            facecolor="white",
            transparent=False,
            # Same figure, same bytes: no version or date inside.
            metadata={"Software": None},
        )
    return buffer.getvalue()


def image_html(png, alt, width=None):
    """An `<img>` that carries its picture and its alternative text.

    Args:
        png: the bytes of a PNG.
        alt: the alternative text; required.
        width: the largest width in CSS pixels; it shrinks on small screens.

    Returns:
        HTML as a string.
    """
    if not alt:
        raise ValueError("a picture needs alternative text: pass `alt`")
    data = base64.b64encode(png).decode("ascii")
    limit = f"width:100%;max-width:{int(width)}px" if width else "width:100%"
    return (
        f'<img alt="{html.escape(alt, quote=True)}" '
        f'style="{limit};height:auto;background:#fff" '
        f'src="data:image/png;base64,{data}">'
    )


class Picture:
    """A rendered figure that displays itself: an `<img>` with alt text."""

    def __init__(self, png, alt, width=None):
        self.png = png
        self.alt = alt
        self.width = width

    def _repr_html_(self):
        return image_html(self.png, self.alt, self.width)

    def __repr__(self):
        return f"[figure] {self.alt}"


def picture(fig, alt=None, dpi=DEFAULT_DPI):
    """Render a figure to a `Picture`, 100 CSS pixels to the inch at most."""
    alt = alt or get_alt(fig)
    if not alt:
        raise ValueError(
            "a figure needs alternative text: figures.show(fig, alt=...) or "
            "figures.set_alt(fig, ...)"
        )
    alt = " ".join(alt.split())
    return Picture(to_png(fig, dpi), alt, round(100 * fig.get_figwidth()))


def show(fig, alt=None, dpi=DEFAULT_DPI):
    """Display a figure in a notebook as a picture with alternative text.

    Args:
        fig: a matplotlib `Figure`.
        alt: the alternative text; by default the one that the figure function
            wrote or `set_alt` attached.
        dpi: pixels per inch.

    Raises:
        ValueError: the figure has no alternative text.
    """
    from IPython.display import display

    display(picture(fig, alt, dpi))
    # The picture is out; free the artists' arrays at once.
    fig.clear()
