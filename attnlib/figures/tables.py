"""The paper-versus-ours table."""

import html

_VERDICTS = {  # verdict: (sign, background); the text on it is white
    "better": ("▲", "#00664b"),
    "reproduced": ("✓", "#005a94"),
    "missed": ("✗", "#a34400"),
    "not run": ("–", "#5f5f5f"),
}
_CELL = (
    "padding:.35em .6em;text-align:left;vertical-align:top;"
    "border-bottom:1px solid rgba(128,128,128,.4)"
)


def _number(value):
    return f"{value:.4g}"


def _unit(row):
    unit = row.get("unit") or ""
    return f" {unit}" if unit and unit not in ("bool", "ordering") else ""


def _is_ordering(row):
    return row.get("kind") == "ordering" or row.get("value") is None


def _paper(row):
    if _is_ordering(row):
        return "ordering"
    doubt = "" if row.get("verified", True) else " (unverified)"
    return f"{_number(row['value'])}{_unit(row)}{doubt}"


def _seed_count(row):
    seeds = (row.get("ours") or {}).get("seeds", 0)
    return seeds if isinstance(seeds, int) else len(seeds)


def _ours(row):
    if row.get("ours"):
        return _result(row, row["ours"])
    # A run in another profile than the claim's decides nothing.
    trial = row.get("trial")
    return f"trial: {_result(row, trial)}" if trial else "–"


def _result(row, ours):
    mean = ours["mean"]
    if _is_ordering(row):
        # An ordering is recorded as true or false per seed.
        return "holds" if mean == 1 else f"holds in {mean:.0%} of seeds"
    std = ours.get("std")
    spread = f" ± {std:.2g}" if std else ""
    return f"{_number(mean)}{spread}{_unit(row)}"


def _seeds(row):
    return str(_seed_count(row) or "–")


def _where(row):
    ours = row.get("ours") or {}
    keys = ("data", "backend", "device", "took")
    parts = [ours.get(key) for key in keys]
    return ", ".join(str(part) for part in parts if part) or "–"


def _what(row):
    metric = row.get("metric")
    parts = [row.get("setting"), row.get("dataset")]
    if metric != "ordering":
        parts.append(metric)
    return " · ".join(str(part) for part in parts if part) or row["id"]


def _source(row):
    return ", ".join(str(row[k]) for k in ("paper", "table") if row.get(k))


def _html_table(columns, body, caption):
    """Return a table as HTML; a wide one scrolls by itself."""
    head = "".join(
        f"<th scope='col' style='{_CELL}'>{name}</th>" for name in columns
    )
    caption = html.escape(caption)
    return (
        "<div style='overflow-x:auto' tabindex='0' role='region' "
        f"aria-label='{caption}'>"
        "<table style='border-collapse:collapse;font-size:.95em;"
        "background:transparent'>"
        f"<caption style='text-align:left;padding:.3em 0'>{caption}"
        f"</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _text_table(lines):
    """Return rows of texts as lines of aligned columns."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) for cell, width in zip(line, widths, strict=True)
        ).rstrip()
        for line in lines
    )


class ClaimsTable:
    """A table of claims that displays itself as HTML or as plain text.

    All styling is inline and leaves colours of text and page alone, so the
    table is readable in light and dark themes and in exported pages.
    """

    columns = (
        "claim",
        "paper",
        "ours",
        "seeds",
        "verdict",
        "measured on, time a seed",
    )

    def __init__(self, rows, caption):
        self.rows = rows
        self.caption = caption

    def _cells(self, row):
        return (
            _what(row),
            _paper(row),
            _ours(row),
            _seeds(row),
            row["verdict"],
            _where(row),
        )

    def _html_row(self, row):
        what, paper, ours, seeds, verdict, where = map(
            html.escape, self._cells(row)
        )
        sign, color = _VERDICTS[row["verdict"]]
        small = "font-size:.85em;opacity:.8"
        first = (
            f"{what}<br><code style='{small};background:none;padding:0'>"
            f"{html.escape(row['id'])}</code>"
        )
        if _source(row):
            first += (
                f"<br><span style='{small}'>{html.escape(_source(row))}</span>"
            )
        # Why there is no result stands before what there is to know of it.
        note = " ".join(filter(None, (row.get("why"), row.get("note"))))
        if note:
            note = html.escape(note)
            first += f"<br><span style='font-size:.85em'>{note}</span>"
        badge = (
            f"<span style='background:{color};color:#fff;padding:.1em .5em;"
            f"border-radius:.6em;white-space:nowrap'>{sign} {verdict}</span>"
        )
        cells = (paper, ours, seeds, badge, where)
        return (
            f"<tr><th scope='row' style='{_CELL};font-weight:normal'>{first}"
            "</th>"
            + "".join(f"<td style='{_CELL}'>{cell}</td>" for cell in cells)
            + "</tr>"
        )

    def _repr_html_(self):
        body = "".join(self._html_row(row) for row in self.rows)
        return _html_table(self.columns, body, self.caption)

    def __repr__(self):
        return _text_table([self.columns, *map(self._cells, self.rows)])

    def __len__(self):
        return len(self.rows)


def claims_table(rows, notebook=None, caption="The papers' claims and ours"):
    """A paper-versus-ours table of claims.

    Args:
        rows: dicts as `attnlib.claims.compare` returns them: at least `id`
            and `verdict`.
        notebook: keep only the claims of this notebook, e.g. "06".
        caption: what the table is about.

    Returns:
        A `ClaimsTable`; as the last line of a cell it displays itself.

    Raises:
        ValueError: a row without an id or with an unknown verdict.

    Example:

    >>> row = {"id": "ram/mnist/6-glimpses/error", "verdict": "not run",
    ...        "metric": "error", "value": 1.29, "unit": "%", "ours": None}
    >>> print(claims_table([row]))
    claim  paper   ours  seeds  verdict  measured on, time a seed
    error  1.29 %  –     –      not run  –
    """
    kept = []
    for row in rows:
        if "id" not in row or row.get("verdict") not in _VERDICTS:
            raise ValueError(
                "a row needs an `id` and a `verdict` out of "
                f"{', '.join(_VERDICTS)}. Received: {row!r}"
            )
        if notebook is None or row.get("notebook") == notebook:
            kept.append(row)
    return ClaimsTable(kept, caption)


class ReasonsTable:
    """A table of reasons that displays itself as HTML or as plain text."""

    columns = ("claims", "why not run", "for example")

    def __init__(self, rows, caption):
        self.rows = rows  # (count, cause, sentence, id)
        self.caption = caption

    def _cells(self):
        return [
            (str(count), f"{cause}: {why}", example)
            for count, cause, why, example in self.rows
        ]

    def _repr_html_(self):
        body = "".join(
            "<tr>"
            + "".join(
                f"<td style='{_CELL}'>{html.escape(cell)}</td>"
                for cell in cells
            )
            + "</tr>"
            for cells in self._cells()
        )
        return _html_table(self.columns, body, self.caption)

    def __repr__(self):
        return _text_table([self.columns, *self._cells()])

    def __len__(self):
        return len(self.rows)


def reasons_table(rows, caption="What was not run, and why"):
    """A table of why claims have no result, the commonest reason first.

    Args:
        rows: dicts as `attnlib.claims.compare` returns them; those with a
            result are left out.
        caption: what the table is about.

    Returns:
        A `ReasonsTable`; as the last line of a cell it displays itself.

    Example:

    >>> row = {"id": "ram/mnist/6-glimpses/error", "verdict": "not run",
    ...        "cause": "job", "why": "Takes a day."}
    >>> print(reasons_table([row, row]))
    claims  why not run        for example
    2       job: Takes a day.  ram/mnist/6-glimpses/error
    """
    found = {}
    for row in rows:
        if row["verdict"] == "not run":
            found.setdefault((row["cause"], row["why"]), []).append(row["id"])
    listed = [
        (len(ids), cause, why, ids[0]) for (cause, why), ids in found.items()
    ]
    listed.sort(key=lambda entry: -entry[0])
    return ReasonsTable(listed, caption)
