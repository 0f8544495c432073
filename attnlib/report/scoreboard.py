"""Rows of `claims.compare` as texts and small pictures for a page."""

import html

from markupsafe import Markup

from attnlib import claims

_ORIGINS = {
    "aim": "our own aim, not the paper's number",
    "derived": "derived from the paper, not printed in it",
}


def number(value, unit="") -> str:
    """Return a number with four digits at most and its unit.

    Example:

    >>> number(1.29, "%"), number(1234567.0)
    ('1.29 %', '1.235e+06')
    """
    text = f"{value:.4g}"
    return f"{text} {unit}" if unit else text


def tally(rows) -> list:
    """Return (verdict, count) for every verdict, in the usual order."""
    order = ("reproduced", "better", "missed", "not run")
    return [
        (name, sum(row["verdict"] == name for row in rows))
        for name in sorted(claims.VERDICTS, key=order.index)
    ]


def view(row) -> dict:
    """Return a row of `claims.compare` as the texts that a page shows.

    Args:
        row: One row, unchanged numbers.

    Returns:
        A dict of texts.
    """
    ours, trial = row["ours"], row.get("trial")
    return {
        "id": row["id"],
        "verdict": row["verdict"],
        "what": _what(row),
        "source": _source(row),
        "claimed": "holds"
        if row["value"] is None
        else number(row["value"], row["unit"]),
        "mark": _mark(row),
        "mean_text": _mean(row, ours) if ours else "",
        "spread": _spread(ours),
        "picture": band_picture(row) if ours else "",
        "trial_text": _mean(row, trial) if trial else "",
        "seeds": len(ours["seeds"]) if ours else "",
        "data": ours["data"] if ours else "",
        "time": ours["took"] if ours else "",
        "device": _device(ours),
        "note": row["note"],
        "why": row["why"],
    }


def _what(row):
    if row["value"] is None:
        return row["setting"]
    parts = [row["metric"], row["setting"], row["dataset"]]
    return ", ".join(filter(None, parts))


def _source(row):
    table = "" if row["table"] in ("", "none") else f", {row['table']}"
    where = f"{row['paper']}{table}"
    return f"{where} · {row['profile']} profile"


def _mark(row):
    origin = row.get("origin", "paper")
    if origin != "paper":
        return _ORIGINS.get(origin, "a re-implementation's number")
    return "" if row["verified"] else "not checked against the paper's text"


def _mean(row, ours):
    if row["value"] is not None:
        return number(ours["mean"], row["unit"])
    held, count = sum(map(bool, ours["values"])), len(ours["values"])
    if count == 1:
        return "holds" if held else "fails"
    return f"{held} of {count} hold"


def _spread(ours):
    if not ours or ours["std"] is None:
        return ""
    if all(isinstance(value, bool) for value in ours["values"]):
        return ""  # "2 of 3 hold" says it already
    return f"± {ours['std']:.2g}"


def _device(ours):
    if not ours:
        return ""
    return f"{ours['device']}, {ours['backend']}"


def band_picture(row) -> Markup:
    """Draw the band around the paper's number and our mean as a dot.

    Args:
        row: A row of `claims.compare` with a result.

    Returns:
        A small SVG, empty for an ordering. It repeats numbers of the table
        and is hidden from screen readers.
    """
    if row["value"] is None:
        return Markup("")
    gap, band = row["ours"]["mean"] - row["value"], row["band"]
    reach = max(2.2 * band, 1.15 * abs(gap)) or 1.0

    def across(distance):
        return 50 + 46 * distance / reach

    zone = ""
    if band > 0:
        left, right = across(-band), across(band)
        zone = (
            f'<rect class="zone" x="{left:.1f}" y="3" rx="1.5" '
            f'width="{right - left:.1f}" height="8"/>'
        )
    title = html.escape(f"{row['value']:g} ± {band:g}")
    return Markup(  # noqa: S704 - made of numbers only
        '<svg class="band" viewBox="0 0 100 14" preserveAspectRatio="none" '
        f'aria-hidden="true"><title>band: {title}</title>'
        '<line class="axis" x1="0" x2="100" y1="7" y2="7"/>'
        f'{zone}<line class="axis" x1="50" x2="50" y1="1" y2="13"/>'
        f'<ellipse class="dot" cx="{across(gap):.1f}" cy="7" rx="2.6" '
        'ry="3.2"/>'
        "</svg>"
    )
