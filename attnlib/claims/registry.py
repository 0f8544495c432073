"""The registry: `claims.toml` read, checked and made into `Claim`s."""

import dataclasses
import difflib
import functools
import math
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from attnlib import profiles

PATH = Path(__file__).with_name("claims.toml")

# What a number comes from. Everything but "paper" must also say so in the
# text that people read, so that our own aims never pass for a paper's.
ORIGINS = {
    "paper": "",
    "aim": "aim of this workbook",
    "derived": "derived",
    "re-implementation": "re-implementation",
}

_SLUG = r"[a-z0-9]+(?:-[a-z0-9]+)*"
_ID = re.compile(rf"{_SLUG}(?:/{_SLUG}){{3}}")


@dataclass(frozen=True)
class Claim:
    """One number or ordering that can be reproduced or missed.

    Args:
        id: `<system>/<data set>/<setting>/<metric>`, lower-case slugs.
        system: The first part of the id.
        notebook: Two digits, the notebook that decides the claim.
        paper: Who states it; for other origins the text says which.
        table: Where it is stated.
        dataset: The data set that it is about.
        setting: The model, or the sentence that an ordering states.
        metric: What is measured; `"ordering"` for an ordering.
        value: The number; None for an ordering.
        unit: Unit of `value` and `band`; empty where there is none.
        better: `"lower"` or `"higher"`; for an ordering `"higher"`.
        band: Largest distance to `value` that counts as reproduced, in
            `unit`; None for an ordering.
        verified: Whether the number was seen in a text of or about the paper.
        profile: The profile whose records decide the claim.
        note: What a reader must know beside the number.
        origin: `paper`, `aim`, `derived` or `re-implementation`.
        two_sided: Whether leaving the band on either side is a miss.
        result: Id of the claim whose records this one reads, or None.
        of: Ids of numbers each of which must be strictly better than the one
            before: the ordering is then computed from their records.
    """

    id: str
    system: str
    notebook: str
    paper: str
    table: str
    dataset: str
    setting: str
    metric: str
    unit: str
    better: str
    verified: bool
    profile: str
    value: float | None = None
    band: float | None = None
    note: str = ""
    origin: str = "paper"
    two_sided: bool = False
    result: str | None = None
    of: tuple[str, ...] = ()

    @property
    def is_ordering(self) -> bool:
        """Return whether the claim is an ordering, not a number."""
        return self.value is None

    @property
    def kind(self) -> str:
        """Return `"ordering"` or `"number"`."""
        return "ordering" if self.is_ordering else "number"


_FIELDS = {field.name: field for field in dataclasses.fields(Claim)}
_REQUIRED = [
    name
    for name, field in _FIELDS.items()
    if field.default is dataclasses.MISSING and name != "system"
]


def load_claims(path=None) -> list[Claim]:
    """Return all claims in the order of `claims.toml`.

    Args:
        path: Another file of the same form; None for attnlib's own.

    Returns:
        A list of `Claim`.

    Raises:
        ValueError: An entry is wrong; the message names it.

    Example:

    >>> claims = load_claims()
    >>> claims[0].notebook
    '00'
    """
    return list(_load(PATH if path is None else Path(path)).values())


def find(id) -> Claim:
    """Return the claim of an id.

    Raises:
        ValueError: No claim has this id; the message has the nearest one.
    """
    known = _load(PATH)
    if not isinstance(id, str) or id not in known:
        near = difflib.get_close_matches(str(id), known, 1, 0.5)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            "expected the id of a claim in claims.toml (`python -m attnlib "
            f"claims` lists them). Received: {id!r}.{hint}"
        )
    return known[id]


def read_toml(path) -> dict:
    """Return what a TOML file says.

    Args:
        path: A `pathlib.Path`.

    Raises:
        ValueError: It is no TOML; the message names the file.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path.name}: not valid TOML: {error}") from error


@functools.cache
def _load(path) -> dict:
    tree = read_toml(path)
    claims = {}
    for claim in _entries(tree, path.name):
        if claim.id in claims:
            raise ValueError(f"{path.name}: {claim.id}: the id is used twice")
        claims[claim.id] = claim
    for claim in claims.values():
        _check_links(claim, claims, path.name)
    return claims


def _entries(tree, name):
    """Yield the claims of a parsed file: each table lends its fields."""
    if set(tree) - {"table"} or not isinstance(tree.get("table"), list):
        raise ValueError(
            f"{name}: expected nothing but [[table]] entries. "
            f"Received: {', '.join(sorted(tree)) or 'an empty file'}"
        )
    for number, table in enumerate(tree["table"], 1):
        common = {k: v for k, v in table.items() if k != "claims"}
        rows = table.get("claims")
        label = f"{name}: table {number} ({common.get('paper', 'no paper')})"
        if not isinstance(rows, list) or not rows:
            raise ValueError(f"{label}: expected a list `claims`")
        for row_number, row in enumerate(rows, 1):
            where = f"{label}, entry {row_number}"
            if not isinstance(row, dict) or "id" not in row:
                raise ValueError(f"{where}: expected an entry with an id")
            yield _make(common | row, f"{name}: {row['id']}")


def _make(entry, where) -> Claim:
    """Return the claim of one merged entry, or raise naming it."""
    for key in entry:
        if key not in _FIELDS or key == "system":
            near = difflib.get_close_matches(key, _FIELDS, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"{where}: unknown field {key!r}.{hint}")
    for key in _REQUIRED:
        if key not in entry:
            raise ValueError(f"{where}: the field {key!r} is missing")
    entry = {key: _typed(key, value, where) for key, value in entry.items()}
    if not _ID.fullmatch(entry["id"]):
        raise ValueError(
            f"{where}: expected an id <system>/<data set>/<setting>/<metric> "
            "of lower-case letters, digits and single hyphens"
        )
    claim = Claim(system=entry["id"].partition("/")[0], **entry)
    _check(claim, where)
    return claim


def _typed(key, value, where):
    """Return a field's value in its type, or raise."""
    if key in ("value", "band"):
        if type(value) in (int, float) and math.isfinite(value):
            return float(value)
        expected = "a finite number"
    elif key in ("verified", "two_sided"):
        if type(value) is bool:
            return value
        expected = "true or false"
    elif key == "of":
        if isinstance(value, list) and all(type(v) is str for v in value):
            return tuple(value)
        expected = "a list of ids"
    else:
        if type(value) is str:
            return value
        expected = "a string"
    raise ValueError(
        f"{where}: expected {key} to be {expected}. Received: {value!r}"
    )


def _check(claim, where):
    """Raise unless the fields of one claim fit together."""
    _among(claim.better, ("lower", "higher"), "better", where)
    _among(claim.profile, profiles.NAMES, "profile", where)
    _among(claim.origin, ORIGINS, "origin", where)
    if not re.fullmatch(r"\d\d", claim.notebook):
        raise ValueError(
            f"{where}: expected notebook to be two digits. "
            f"Received: {claim.notebook!r}"
        )
    if not claim.paper.startswith(ORIGINS[claim.origin]):
        raise ValueError(
            f"{where}: origin is {claim.origin!r}, so paper must start with "
            f"{ORIGINS[claim.origin]!r}. Received: {claim.paper!r}"
        )
    if claim.is_ordering:
        wrong = claim.band is not None or claim.two_sided
        if wrong or claim.better != "higher" or claim.metric != "ordering":
            raise ValueError(
                f"{where}: without a value it is an ordering, which needs "
                "metric 'ordering' and better 'higher' and has no band"
            )
    elif claim.band is None or claim.band < 0:
        raise ValueError(
            f"{where}: expected band to be a number of at least 0. "
            f"Received: {claim.band!r}"
        )
    elif claim.of or claim.metric == "ordering":
        raise ValueError(
            f"{where}: a claim with a value is no ordering: it has neither "
            "metric 'ordering' nor the field 'of'"
        )


def _check_links(claim, claims, name):
    """Raise unless the claims that one refers to exist and fit."""
    where = f"{name}: {claim.id}"
    for id in (*claim.of, *([claim.result] if claim.result else ())):
        if id not in claims:
            raise ValueError(f"{where}: refers to {id!r}, which is no claim")
        other = claims[id]
        if other.result or other.of:
            raise ValueError(
                f"{where}: refers to {id!r}, which has no records of its own"
            )
        if other.profile != claim.profile:
            raise ValueError(f"{where}: refers to {id!r} of another profile")
    if claim.result:
        other = claims[claim.result]
        if (other.kind, other.unit) != (claim.kind, claim.unit) or claim.of:
            raise ValueError(
                f"{where}: shares the result of {claim.result!r}, which is "
                "of another kind or unit"
            )
    if claim.of:
        members = [claims[id] for id in claim.of]
        alike = {(m.kind, m.unit, m.better) for m in members}
        if len(alike) != 1 or members[0].is_ordering or len(members) < 2:
            raise ValueError(
                f"{where}: expected 'of' to name at least two numbers of one "
                "unit and direction"
            )


def _among(value, allowed, key, where):
    if value not in allowed:
        raise ValueError(
            f"{where}: expected {key} to be one of {', '.join(allowed)}. "
            f"Received: {value!r}"
        )
