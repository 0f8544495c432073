"""Docstrings of the house's form, taken apart and drawn as HTML.

They are Google's with sections of our own (`Call arguments`, `Convention`,
`Reference`), which the parsers at hand drop or merge.
"""

import html
import inspect
import re
from dataclasses import dataclass

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonConsoleLexer, PythonLexer

HEADINGS = (
    "Args",
    "Attributes",
    "Call arguments",
    "Returns",
    "Yields",
    "Convention",
    "Raises",
    "Example",
    "Reference",
)
FIELDS = ("Args", "Attributes", "Call arguments", "Raises")

_FIELD = re.compile(r"(\**\w[\w.]*(?:, \**\w[\w.]*)*):(?:\s+|$)")
_ITEM = re.compile(r"(?:\d+\.|-) ")
_LINK = re.compile(
    r"arXiv:(?P<arxiv>\d{4}\.\d{4,5})"
    r"|doi:(?P<doi>10\.[\w./()-]*\w)"
    r"|(?P<url>https?://[\w./%~-]*[\w/])"
)
_SHAPES = re.compile(
    r"(shapes?\s)((?:\([^()]{0,60}\)(?:(?:,|;)?\s(?:and\s|or\s)?(?=\())?)+)"
)


@dataclass(frozen=True)
class Docstring:
    """A docstring in parts.

    Attributes:
        summary: The first sentence.
        text: What follows it, before the first section.
        sections: Heading to text, dedented, in order.
    """

    summary: str
    text: str
    sections: dict


def parse(thing) -> Docstring:
    """Take the docstring of an object apart.

    Args:
        thing: Anything with a docstring, or with none.

    Returns:
        A `Docstring`; all of it is empty where there is none.

    Example:

    >>> parse(parse).sections["Args"]
    'thing: Anything with a docstring, or with none.'
    """
    lines = (inspect.getdoc(thing) or "").splitlines()
    parts, heading = {"": []}, ""
    for line in lines:
        if line.endswith(":") and line[:-1] in HEADINGS:
            heading = line[:-1]
            parts[heading] = []
        else:
            parts[heading].append(line)
    summary, _, text = "\n".join(parts.pop("")).partition("\n\n")
    sections = {
        name: inspect.cleandoc("\n" + "\n".join(body)).strip("\n")
        for name, body in parts.items()
    }
    return Docstring(" ".join(summary.split()), text.strip("\n"), sections)


def fields(text) -> list:
    """Split a section of `name: text` entries.

    Args:
        text: The section's text, dedented.

    Returns:
        A list of `(name, text)`; the name is empty for text of no entry.

    Example:

    >>> fields("size: Width\\n    in pixels.\\n**kwargs: More.")
    [('size', 'Width\\nin pixels.'), ('**kwargs', 'More.')]
    """
    found = []
    for line in text.splitlines():
        match = None if line.startswith(" ") else _FIELD.match(line)
        if match:
            found.append((match[1], [line[match.end() :]]))
        elif found:
            found[-1][1].append(line)
        else:
            found.append(("", [line]))
    return [(name, inspect.cleandoc("\n".join(body))) for name, body in found]


def section(heading, text, links) -> str:
    """Return the HTML of one section.

    Args:
        heading: One of `HEADINGS`.
        text: Its text, dedented.
        links: Name of code to address, for references between names.
    """
    if heading not in FIELDS:
        return blocks(text, links)
    rows = [
        (f"<dt><code>{html.escape(name)}</code></dt>" if name else "")
        + f"<dd>{blocks(body, links)}</dd>"
        for name, body in fields(text)
    ]
    return f'<dl class="fields">{"".join(rows)}</dl>'


def blocks(text, links) -> str:
    """Return the HTML of paragraphs, lists, examples and code.

    Args:
        text: Text, dedented.
        links: Name of code to address.

    Example:

    >>> blocks("See `f`.", {"f": "#f"})
    '<p>See <a href="#f"><code>f</code></a>.</p>'
    """
    out = []
    for block in re.split(r"\n\s*\n", text.strip("\n")):
        if block.startswith(">>>"):
            out.append(code(block, console=True))
        elif block.startswith("    "):
            out.append(code(inspect.cleandoc("\n" + block)))
        elif _ITEM.match(block):
            out.append(_list(block, links))
        elif block.strip():
            block = re.sub(r"::$", ":", block)
            out.append(f"<p>{inline(block, links)}</p>")
    return "".join(out)


def _list(block, links):
    items = re.split(r"\n(?=(?:\d+\.|-) )", block)
    tag = "ul" if block.startswith("-") else "ol"
    rows = [
        f"<li>{inline(_ITEM.sub('', item, count=1), links)}</li>"
        for item in items
    ]
    return f"<{tag}>{''.join(rows)}</{tag}>"


def inline(text, links) -> str:
    """Return the HTML of a line: code, shapes, papers and references.

    Args:
        text: Text without blank lines.
        links: Name of code to address.
    """
    parts = []
    for index, part in enumerate(" ".join(text.split()).split("`")):
        if index % 2:
            body = f"<code>{html.escape(part)}</code>"
            address = links.get(part.partition("(")[0])
            part = f'<a href="{address}">{body}</a>' if address else body
        else:
            part = _LINK.sub(_link, html.escape(part, quote=False))
            part = _SHAPES.sub(_shapes, part)
        parts.append(part)
    return "".join(parts)


def _link(match):
    if match["arxiv"]:
        address = f"https://arxiv.org/abs/{match['arxiv']}"
    elif match["doi"]:
        address = f"https://doi.org/{match['doi']}"
    else:
        address = match["url"]
    return f'<a href="{address}">{match[0]}</a>'


def _shapes(match):
    """Mark shapes, so that no line breaks inside one."""
    marked = re.sub(
        r"\([^()]*\)", r'<span class="shape">\g<0></span>', match[2]
    )
    return match[1] + marked


def code(text, console=False) -> str:
    """Return highlighted Python, or a console session."""
    lexer = PythonConsoleLexer() if console else PythonLexer()
    return highlight(text, lexer, HtmlFormatter())
