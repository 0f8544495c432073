"""The templates and the style sheet that all pages share."""

import functools
import re
from pathlib import Path

import jinja2
from markupsafe import Markup
from pygments.formatters import HtmlFormatter

import attnlib

_HERE = Path(__file__).parent


def render(template, **context) -> str:
    """Return a template filled in.

    Args:
        template: Name of a file in `templates`.
        **context: What the template asks for; a name that is missing raises.

    Returns:
        HTML.
    """
    return _environment().get_template(template).render(**context)


def static(name) -> Markup:
    """Return the text of a file in `static`, to stand inside a page."""
    text = (_HERE / "static" / name).read_text("utf-8")
    return Markup(text)  # noqa: S704 - a file of ours


@functools.cache
def _environment():
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.globals.update(version=attnlib.__version__, css=_css())
    return environment


def _css():
    """Return the style sheet with the colours of code, light and dark."""
    light = HtmlFormatter(style="default").get_style_defs(".highlight")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".highlight")
    code = f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n"
    # The page's own background suits both.
    code = re.sub(r"^\.highlight\s*\{[^}]*\}$", "", code, flags=re.MULTILINE)
    return Markup(code) + static("report.css")  # noqa: S704
