"""An executed notebook as HTML: prose, pictures, and code folded away."""

import base64
import io
import re
from html import unescape
from pathlib import Path

import nbformat
from jinja2 import pass_context
from mistune import HTMLRenderer
from nbconvert.exporters.templateexporter import TemplateExporter
from nbconvert.filters.highlight import Highlight2HTML
from nbconvert.filters.markdown_mistune import (
    IPythonRenderer,
    MarkdownWithMath,
)
from PIL import Image

from attnlib.report.mathml import strip_delimiters, to_mathml
from attnlib.report.offline import clean_fragment

TEMPLATES = Path(__file__).with_name("templates")

_WIDGET = "application/vnd.jupyter.widget-view+json"
# Which form of an output is shown. Widgets come first, so that their note
# replaces the text that stands for them; JavaScript (require.js and the
# like) is never shown.
_PRIORITY = (
    _WIDGET,
    "text/html",
    "text/markdown",
    "image/svg+xml",
    "text/latex",
    "image/png",
    "image/jpeg",
    "text/plain",
)


class _Renderer(IPythonRenderer):
    """Markdown with formulas as MathML."""

    def inline_math(self, body):
        return to_mathml(body)

    def block_math(self, body):
        return to_mathml(body, block=True)

    def multiline_math(self, text):
        latex, block = strip_delimiters(text)
        return to_mathml(latex, block)

    def latex_environment(self, name, body):
        return to_mathml(f"\\begin{{{name}}}{body}\\end{{{name}}}", block=True)

    # The inherited ones parse each piece alone, which closes a <details>
    # before what it holds; `clean_fragment` sees the cell as a whole.
    def block_html(self, html):
        return HTMLRenderer.block_html(self, html)

    def inline_html(self, html):
        return HTMLRenderer.inline_html(self, html)

    def block_mermaidjs(self, code):
        return super().block_code(code)


class ReportExporter(TemplateExporter):
    """Exports the cells only; the report puts its own frame around them.

    Not an `HTMLExporter`: that one parses the whole page once more and shows
    the text of a widget in place of its note.
    """

    output_mimetype = "text/html"

    def __init__(self, **options):
        options.setdefault("template_name", "notebook")
        options.setdefault("extra_template_basedirs", [str(TEMPLATES)])
        super().__init__(**options)

    def _file_extension_default(self):
        return ".html"

    def default_filters(self):
        yield from super().default_filters()
        yield "markdown2html", self.markdown2html
        yield "highlight_code", Highlight2HTML(parent=self)
        yield "latex2mathml", _latex_output
        yield "offline", clean_fragment
        yield "code_summary", code_summary
        yield "filter_data_type", _only_form

    @pass_context
    def markdown2html(self, context, source):
        """Return Markdown as HTML that needs no network."""
        cell = context.get("cell", {})
        renderer = _Renderer(
            escape=False,
            attachments=cell.get("attachments", {}),
            embed_images=True,
            path=context["resources"]["metadata"]["path"],
            anchor_link_text="#",
        )
        html = MarkdownWithMath(renderer=renderer).render(source)
        return clean_fragment(
            _scroll_tables(html), cell.get("figure", ""), renderer.path
        )


def _scroll_tables(html):
    """Give every Markdown table a box of its own that scrolls sideways."""
    html = re.sub(r"<table\b", '<div class="scroll"><table', html)
    return html.replace("</table>", "</table></div>")


def _only_form(data):
    return list(data)  # `_choose_forms` has left one


def _latex_output(text):
    latex, block = strip_delimiters(text)
    return to_mathml(latex, block)


def code_summary(source) -> str:
    """Return the line that stands for a folded code cell.

    Example:

    >>> code_summary("# Train or load.\\nmodel.fit(x)")
    'Train or load. (2 lines)'
    """
    lines = source.strip().splitlines()
    count = f"{len(lines)} line{'s' * (len(lines) != 1)}"
    first = lines[0].strip() if lines else ""
    if first.startswith("# ") and len(first) > 4:
        return f"{first[2:]} ({count})"
    return f"Code ({count})"


def render(notebook, folder) -> str:
    """Return the cells of an executed notebook as HTML.

    Args:
        notebook: An nbformat notebook; it is changed.
        folder: Where the pictures that Markdown names are.

    Returns:
        HTML without head and body.
    """
    describe_figures(notebook)
    _choose_forms(notebook)
    resources = {"metadata": {"path": str(folder)}}
    html, _ = ReportExporter().from_notebook_node(notebook, resources)
    return html


def _choose_forms(notebook):
    """Keep one form of every output, and no output without one to show."""
    for cell in notebook.cells:
        shown = []
        for output in cell.get("outputs", []):
            if output.output_type == "stream":
                _append_stream(shown, output)
                continue
            if "data" in output:
                forms = [kind for kind in _PRIORITY if kind in output.data]
                if not forms:
                    continue
                output.data = {forms[0]: output.data[forms[0]]}
                output.output_type = "display_data"  # a result is shown alike
                # One note is enough for a box of controls and its output.
                if (
                    forms[0] == _WIDGET
                    and shown
                    and _WIDGET in shown[-1].get("data", ())
                ):
                    continue
            shown.append(output)
        if "outputs" in cell:
            cell.outputs = shown


# What TensorFlow's C++ side prints before any of its settings apply.
_NOISE = re.compile(
    r"^(WARNING: All log messages before absl::InitializeLog"
    r"|[IW]\d{4} \d\d:\d\d:|[IW]0000 00:00:).*\n?",
    re.MULTILINE,
)


def _append_stream(shown, output):
    """Add printed text, to the text before it where there is one."""
    if output.name == "stderr":
        output.text = _NOISE.sub("", output.text)
    if not output.text.strip():
        return
    last = shown[-1] if shown else {}
    if last.get("output_type") == "stream" and last["name"] == output.name:
        last["text"] += output.text
    else:
        shown.append(output)


def describe_figures(notebook) -> None:
    """Write alternative text for pictures without one into the notebook.

    A figure that says nothing about itself is called after the heading above
    it, which is what a reader who cannot see it needs first.
    """
    heading = title(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for line in cell.source.splitlines():
                if match := re.match(r"#{1,6}\s+(.+)", line):
                    heading = match[1].strip().strip("#").strip()
        cell["figure"] = f"Figure of the section “{heading}”"
        for output in cell.get("outputs", []):
            for kind in list(output.get("data", {})):
                if kind.startswith("image/"):
                    about = output.setdefault("metadata", {})
                    known = (about.get(kind) or {}).get("alt")
                    about.setdefault(kind, {})["alt"] = (
                        known or about.get("alt") or cell["figure"]
                    )


def title(notebook, default="Notebook") -> str:
    """Return a notebook's first heading."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            if match := re.search(r"^#\s+(.+)$", cell.source, re.MULTILINE):
                return match[1].strip()
    return default


_DATA_PNG = re.compile(r"data:image/png;base64,([A-Za-z0-9+/=\s]+)")


def key_figure(notebook):
    """Return (data URL, alternative text) of the figure for the front page.

    The cell tagged `key-figure` has it, else the first picture is taken.

    Args:
        notebook: An executed notebook.

    Returns:
        A pair of texts, or None for a notebook without pictures.
    """
    found = None
    for cell in notebook.cells:
        tagged = "key-figure" in cell.get("metadata", {}).get("tags", [])
        if found is not None and not tagged:
            continue
        for output in cell.get("outputs", []):
            if picture := _picture(output):
                found = picture
                if tagged:
                    return found
                break
    return found


def _picture(output):
    data = output.get("data", {})
    if "image/png" in data:
        about = output.get("metadata", {}).get("image/png") or {}
        return _thumbnail(data["image/png"]), about.get("alt", "")
    html = "".join(data.get("text/html", ""))
    if match := _DATA_PNG.search(html):
        alt = re.search(r'\balt="([^"]*)"', html)
        return _thumbnail(match[1]), unescape(alt[1]) if alt else ""
    return None


def _thumbnail(png, width=640):
    """Return a base64 PNG as a smaller picture, a data URL.

    A picture that Pillow cannot read stays as it is.
    """
    png = "".join(png.split())
    try:
        picture = Image.open(io.BytesIO(base64.b64decode(png)))
        picture.thumbnail((width, width))
        buffer = io.BytesIO()
        picture.convert("RGB").save(buffer, "WEBP", quality=85)
    except (OSError, ValueError):
        return f"data:image/png;base64,{png}"
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f"data:image/webp;base64,{data}"


def read(path):
    """Return a notebook file, or None when it is missing or damaged."""
    try:
        return nbformat.read(path, as_version=4)
    except (OSError, ValueError, KeyError, AttributeError):
        return None
