"""The command `python -m attnlib claims`."""

import json
import textwrap

from attnlib.claims import verdicts

_WIDTH = 100
_ID_WIDTH = 54


def add_parser(subparsers):
    """Add the `claims` command to an argparse parser.

    Args:
        subparsers: What `ArgumentParser.add_subparsers` returned.

    Returns:
        The new parser; its default `run` executes the command.
    """
    parser = subparsers.add_parser(
        "claims",
        help="list every claim beside what was measured here",
        description="List every claim, the paper's number beside ours.",
    )
    parser.add_argument(
        "--json", action="store_true", help="print a JSON list of objects"
    )
    parser.add_argument(
        "--profile",
        help="results to compare: smoke, quick or paper (default: all)",
    )
    parser.set_defaults(run=run)
    return parser


def run(args) -> int:
    """Print the claims.

    Args:
        args: The parsed arguments `json` and `profile`.

    Returns:
        The exit status, 0.

    Raises:
        ValueError: There is no such profile.
    """
    rows = verdicts.compare(args.profile)
    if args.json:
        # ASCII, so that a pipe of any encoding takes it.
        print(json.dumps(rows, indent=1, allow_nan=False))
    else:
        print(table(rows))
    return 0


def table(rows) -> str:
    """Return the claims as a text of at most 100 columns.

    Args:
        rows: What `compare` returned.

    Returns:
        Lines grouped by notebook, then a count of the verdicts.
    """
    lines = []
    for notebook in dict.fromkeys(row["notebook"] for row in rows):
        lines += [
            "",
            f"Notebook {notebook}",
            _line("verdict", "claim", "paper", "ours"),
        ]
        lines += [_row_text(row) for row in rows if row["notebook"] == notebook]
    counts = (
        f"{sum(row['verdict'] == name for row in rows)} {name}"
        for name in verdicts.VERDICTS
    )
    footer = (
        f"{len(rows)} claims: {', '.join(counts)}. * not checked against the "
        "paper's text. Numbers of others than the paper: (a) our own aim, "
        "(d) derived, (r) a re-implementation's."
    )
    return "\n".join([*lines[1:], "", *textwrap.wrap(footer, _WIDTH)])


def _row_text(row):
    """Return one claim as a line."""
    mark = {"paper": "", "aim": "a", "derived": "d"}.get(row["origin"], "r")
    claimed = "holds" if row["value"] is None else f"{row['value']:g}"
    claimed += f" ({mark})" if mark else "" if row["verified"] else " *"
    return _line(row["verdict"], row["id"], claimed, ours_text(row))


def ours_text(row) -> str:
    """Return our result of a row in a few characters.

    Args:
        row: One of what `compare` returned.

    Returns:
        For example `1.31 ± 0.05 (3)`, `holds`, `2 of 3 hold`, or an empty
        text when it was not run.
    """
    ours = row["ours"]
    if ours is None:
        return ""
    count = len(ours["seeds"])
    if row["value"] is None:
        held = sum(ours["values"])
        if count == 1:
            return "holds" if held else "fails"
        return f"{held} of {count} hold"
    text = f"{ours['mean']:.4g}"
    return text if count == 1 else f"{text} ± {ours['std']:.2g} ({count})"


def _line(verdict, id, claimed, ours):
    """Return one line, or two where the id would push the numbers away."""
    if len(id) > _ID_WIDTH:
        first = f"  {verdict:<10}  {id}\n"
        return first + _line("", "", claimed, ours)
    return f"  {verdict:<10}  {id:<{_ID_WIDTH}}  {claimed:<11}  {ours}".rstrip()
