"""Formulas: LaTeX to MathML when the report is drawn.

Browsers draw MathML themselves, so a page needs neither a script nor a font.
"""

import contextlib
import functools
import html
import re


@functools.cache
def _converter():
    """Return math-core's converter, None where it is not installed."""
    try:
        from math_core import LatexToMathML
    except ImportError:
        return None
    return LatexToMathML(annotation=True, fancy_error=False)


_BIG = re.compile(
    r"\\[bB]igg?(?P<side>[lr]?)\s*(?P<sign>[()\[\]]|\\[{}]|\\[lr](?:floor|ceil))"
)


def _grow_fences(latex):
    r"""Write \Big( ... \Big) as \left( ... \right).

    Browsers ignore a fixed size on a parenthesis that carries an exponent.
    """

    def grow(match):
        sign = match["sign"]
        left = match["side"] == "l" or (
            not match["side"]
            and sign in ("(", "[", "\\{", "\\lfloor", "\\lceil")
        )
        return f"\\{'left' if left else 'right'}{sign}"

    grown = _BIG.sub(grow, latex)
    return grown if grown.count("\\left") == grown.count("\\right") else latex


def to_mathml(latex, block=False) -> str:
    """Return a formula as HTML.

    Args:
        latex: The formula without its dollar signs.
        block: True for a formula on a line of its own.

    Returns:
        A `<math>` element; the LaTeX source in `<code>` when it is not
        understood, so that one formula never stops a report.

    Example:

    >>> to_mathml("x^2").startswith("<math>")
    True
    >>> to_mathml(r"\\no{such}")
    '<code class="tex">\\\\no{such}</code>'
    """
    latex = latex.strip()
    body = f'<code class="tex">{html.escape(latex)}</code>'
    if (converter := _converter()) is not None:
        for attempt in dict.fromkeys((_grow_fences(latex), latex)):
            with contextlib.suppress(Exception):
                body = converter.convert_with_local_state(
                    attempt, displaystyle=block
                )
                break
    return f'<span class="formula">{body}</span>' if block else body


def strip_delimiters(text):
    """Split a formula with delimiters into (LaTeX, is it a block).

    Example:

    >>> strip_delimiters("$$x$$")
    ('x', True)
    """
    text = text.strip()
    for left, right, block in (
        ("$$", "$$", True),
        ("\\[", "\\]", True),
        ("\\(", "\\)", False),
        ("$", "$", False),
    ):
        if text.startswith(left) and text.endswith(right):
            if len(text) >= len(left) + len(right):
                return text[len(left) : -len(right)], block
    return text, True
