"""Why a claim has no result: `not_run.toml` read and checked."""

import fnmatch
import functools
from dataclasses import dataclass
from pathlib import Path

from attnlib import profiles
from attnlib.claims import registry

PATH = Path(__file__).with_name("not_run.toml")

CAUSES = {
    "data": "the data cannot be had here",
    "model": "something it needs is not built",
    "job": "its job has not been run",
    "notebook": "its notebook is not written",
}
_WRITTEN = ("data", "model", "job")  # the others follow from the profiles


@dataclass(frozen=True)
class Reason:
    """Why claims have no result.

    Args:
        claims: Patterns of claim ids, in which `*` stands for anything.
        cause: One of `CAUSES`.
        why: A sentence for readers.
    """

    claims: tuple[str, ...]
    cause: str
    why: str


def reason(claim) -> Reason:
    """Return why a claim would have no result.

    Args:
        claim: A `Claim` that has records of its own.

    Returns:
        The first entry of `not_run.toml` that fits, else that its notebook
        is missing or that its job has not been run and how to run it.
    """
    if claim.notebook not in profiles.NOTEBOOKS:
        told = f"Notebook {claim.notebook} is not written yet."
        return Reason((), "notebook", told)
    for entry in load():
        if any(fnmatch.fnmatchcase(claim.id, text) for text in entry.claims):
            return entry
    command = f"make report PROFILE={claim.profile} ONLY={claim.notebook}"
    return Reason((), "job", f"{command} has not been run here yet.")


def load(path=None) -> tuple[Reason, ...]:
    """Return the reasons of `not_run.toml` in their order.

    Args:
        path: Another file of the same form; None for attnlib's own.

    Returns:
        A tuple of `Reason`.

    Raises:
        ValueError: An entry is wrong; the message says which.
    """
    return _load(PATH if path is None else Path(path))


@functools.cache
def _load(path):
    tree = registry.read_toml(path)
    rows = tree.get("reason")
    if set(tree) != {"reason"} or not isinstance(rows, list):
        raise ValueError(
            f"{path.name}: expected nothing but [[reason]] entries. Received: "
            f"{', '.join(sorted(tree)) or 'an empty file'}"
        )
    return tuple(
        _made(row, f"{path.name}: entry {number}")
        for number, row in enumerate(rows, 1)
    )


def _made(row, where):
    if not isinstance(row, dict) or set(row) != {"claims", "cause", "why"}:
        raise ValueError(f"{where}: expected claims, cause and why")
    patterns, cause, why = row["claims"], row["cause"], row["why"]
    if not isinstance(patterns, list) or not patterns:
        raise ValueError(f"{where}: expected claims to be a list of patterns")
    if not all(isinstance(text, str) and text for text in (*patterns, why)):
        raise ValueError(f"{where}: expected patterns and why to be texts")
    if cause not in _WRITTEN:
        raise ValueError(
            f"{where}: expected cause to be one of {', '.join(_WRITTEN)}. "
            f"Received: {cause!r}"
        )
    return Reason(tuple(patterns), cause, why)
