"""Verdicts: records of several seeds against what was claimed."""

import itertools
import statistics
import warnings

from attnlib import profiles
from attnlib.claims import reasons, records, registry

VERDICTS = ("better", "reproduced", "missed", "not run")

# Decimal numbers are not exact in binary: 1.5 - 1.1 is a little more than
# 0.4. This much, relative to the numbers at hand, still counts as the edge.
_ROUNDING = 1e-9


def verdict(claim, ours) -> str:
    """Return the verdict on one result.

    Args:
        claim: A `Claim`.
        ours: Mean over the seeds; for an ordering the share of seeds in
            which it holds; None when it was not run.

    Returns:
        `"better"`, `"reproduced"`, `"missed"` or `"not run"`.
    """
    if ours is None:
        return "not run"
    if claim.is_ordering:
        return "reproduced" if ours == 1 else "missed"
    gap = ours - claim.value
    slack = _ROUNDING * max(abs(ours), abs(claim.value), claim.band)
    if abs(gap) <= claim.band + slack:
        return "reproduced"
    better = gap < 0 if claim.better == "lower" else gap > 0
    return "better" if better and not claim.two_sided else "missed"


def humanise(seconds) -> str:
    """Return a duration in words.

    Example:

    >>> humanise(0.42), humanise(75), humanise(3725)
    ('0.4 s', '1 min 15 s', '1 h 2 min')
    """
    if seconds is None:
        return ""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def compare(profile=None) -> list[dict]:
    """Return every claim beside what was measured.

    A claim is decided by records of its own profile only. Those of the paper
    profile always count; those of other profiles count when `profile` names
    them, or is None.

    Args:
        profile: `smoke`, `quick`, `paper`, or None for all.

    Returns:
        One dict per claim in the order of `claims.toml`: the claim's fields,
        `kind`, `ours` (None or a dict: mean, std over the seeds, None for one
        seed; seeds, values, backend, device, data, mean seconds per seed and,
        in words, `took`, revision, finished), `verdict`, `note`, `trial` (as
        `ours`: what `profile` recorded for a claim of another profile; decides
        nothing), `cause` and `why` (why there is no result: a key of `CAUSES`
        and a sentence; empty texts where there is one).

    Raises:
        ValueError: There is no such profile.
    """
    claims = registry.load_claims()
    if profile is None:
        wanted = {claim.profile for claim in claims}
    else:
        profile = profiles.resolve(profile)
        wanted = {profile, "paper"}
    found = {name: _by_claim(name, claims) for name in sorted(wanted)}
    known = {claim.id: claim for claim in claims}
    return [_row(claim, found, profile, known) for claim in claims]


def _by_claim(profile, claims):
    """Return id -> seed -> the newest record, computed ones included."""
    known = {claim.id: claim for claim in claims}
    found = {}
    for entry in records.read_results(profile):
        claim = known.get(entry["id"])
        fits = claim and claim.is_ordering == isinstance(entry["value"], bool)
        if not fits:
            warnings.warn(
                f"the {profile} results of notebook {entry['notebook']} have "
                f"a record of {entry['id']}, which claims.toml does not know "
                "in this form; it is left out, run the notebook again",
                stacklevel=3,
            )
            continue
        seeds = found.setdefault(entry["id"], {})
        # The same seed twice (on two devices, from two notebooks) is one
        # measurement repeated, not two to average.
        earlier = seeds.get(entry["seed"])
        if earlier is None or entry["finished"] >= earlier["finished"]:
            seeds[entry["seed"]] = entry
    for claim in claims:
        if claim.result and claim.result in found:
            found[claim.id] = found[claim.result]
        elif claim.of and all(id in found for id in claim.of):
            members = [found[id] for id in claim.of]
            if seeds := _computed(members, known[claim.of[0]].better):
                found[claim.id] = seeds
    return found


def _computed(members, better):
    """Return seed -> record of an ordering over numbers of the same seeds."""
    seeds = {}
    for seed in sorted(set.intersection(*map(set, members))):
        parts = [member[seed] for member in members]
        values = [part["value"] for part in parts]
        steps = itertools.pairwise(values)
        seeds[seed] = {
            "value": all(
                b < a if better == "lower" else a < b for a, b in steps
            ),
            "seed": seed,
            "seconds": sum(part["seconds"] for part in parts),
            "data": parts[0]["data"],
            "note": ", ".join(f"{value:g}" for value in values),
            "finished": max(part["finished"] for part in parts),
        } | {
            key: _joined(part[key] for part in parts)
            for key in ("backend", "device", "revision")
        }
        if len({_data_text(part) for part in parts}) > 1:
            text = _joined(map(_data_text, parts))
            seeds[seed]["data"] = {"name": text, "digest": ""}
    return seeds


def _why(claim, decided, known):
    """Return (cause, sentence) of a claim that has no result.

    A claim without records of its own waits for the first that it reads.
    """
    for id in (*claim.of, *filter(None, [claim.result])):
        if id not in decided:
            return _why(known[id], decided, known)
    if claim.of:
        return "job", "Its parts were run with different seeds."
    found = reasons.reason(claim)
    return found.cause, found.why


def _row(claim, found, profile, known):
    """Return the row of one claim."""
    ours = _pooled(found.get(claim.profile, {}).get(claim.id))
    trial = None
    if profile not in (None, claim.profile):
        trial = _pooled(found[profile].get(claim.id))
    notes = [claim.note, ours["note"] if ours else ""]
    cause, why = "", ""
    if ours is None:
        decided = found.get(claim.profile, {})
        cause, why = _why(claim, decided, known)
    return {
        "id": claim.id,
        "system": claim.system,
        "notebook": claim.notebook,
        "paper": claim.paper,
        "table": claim.table,
        "dataset": claim.dataset,
        "setting": claim.setting,
        "metric": claim.metric,
        "value": claim.value,
        "unit": claim.unit,
        "better": claim.better,
        "band": claim.band,
        "two_sided": claim.two_sided,
        "kind": claim.kind,
        "origin": claim.origin,
        "profile": claim.profile,
        "verified": claim.verified,
        "result": claim.result,
        "of": list(claim.of),
        "ours": ours,
        "verdict": verdict(claim, ours["mean"] if ours else None),
        "note": " ".join(text for text in notes if text),
        "trial": trial,
        "cause": cause,
        "why": why,
    }


def _pooled(seeds):
    """Return the records of several seeds as one result, None without any."""
    if not seeds:
        return None
    entries = [seeds[seed] for seed in sorted(seeds)]
    values = [float(entry["value"]) for entry in entries]
    seconds = statistics.fmean(entry["seconds"] for entry in entries)
    return {
        "mean": statistics.fmean(values),
        "std": statistics.stdev(values) if len(values) > 1 else None,
        "seeds": sorted(seeds),
        "values": [entry["value"] for entry in entries],
        "backend": _joined(entry["backend"] for entry in entries),
        "device": _joined(entry["device"] for entry in entries),
        "data": _joined(map(_data_text, entries)),
        "seconds": seconds,
        "took": humanise(seconds),
        "revision": _joined(entry["revision"] for entry in entries),
        "finished": max(entry["finished"] for entry in entries),
        "note": _joined(entry["note"] for entry in entries if entry["note"]),
    }


def _data_text(entry):
    """Return what a record ran on in a few words."""
    data = entry["data"]
    if data is None:
        return "no data: computed"
    name = data.get("description") or data["name"]
    return f"{name} ({data['digest']})" if data.get("digest") else name


def _joined(texts):
    """Return different texts in their first order, joined."""
    return "; ".join(dict.fromkeys(texts))
