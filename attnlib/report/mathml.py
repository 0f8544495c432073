"""Formulas: LaTeX to MathML when the report is drawn.

Browsers draw MathML themselves, so a page needs neither a script nor a font.
"""

import functools
import html


@functools.cache
def _converter():
    """Return math-core's converter, None where it is not installed."""
    try:
        from math_core import LatexToMathML
    except ImportError:
        return None
    return LatexToMathML(annotation=True, fancy_error=False)


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
        try:
            body = converter.convert_with_local_state(latex, displaystyle=block)
        except Exception:  # noqa: S110 - the source is shown instead
            pass
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
