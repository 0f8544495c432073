"""What has been run: result files, executed notebooks and failures."""

import json
from datetime import UTC, datetime
from pathlib import Path

from attnlib import paths
from attnlib.claims import humanise
from attnlib.report import jobs


def sort_key(name):
    """Return a key that sorts jobs by notebook, setting and seed."""
    notebook, setting, seed = jobs.split_name(name)
    return notebook, setting or "", seed


def when(moment) -> str:
    """Return a time as a text in UTC.

    Args:
        moment: Seconds since the epoch, an ISO text, or None.
    """
    try:
        if isinstance(moment, str):
            moment = datetime.fromisoformat(moment).timestamp()
        if moment is None:
            return "unknown"
        stamp = datetime.fromtimestamp(moment, UTC)
    except (ValueError, OverflowError, OSError):
        return "unknown"
    return f"{stamp:%Y-%m-%d %H:%M} UTC"


def folder(profile) -> Path:
    """Return the folder of a profile's report."""
    return paths.reports_dir() / profile


def done(profile) -> list:
    """Return the runs of a profile that have a sound result file.

    Args:
        profile: `smoke`, `quick` or `paper`.

    Returns:
        A list of dicts, sorted by job.
    """
    found = []
    for path in (folder(profile) / "results").glob("*.json"):
        result = jobs.read_result(path)
        if result is not None and jobs.split_name(path.stem) is not None:
            records = _records(result)
            if records or isinstance(result.get("run"), dict):
                found.append(_run(path.stem, profile, result, records))
    return sorted(found, key=lambda run: sort_key(run["job"]))


def _records(result):
    records = result.get("records")
    if not isinstance(records, list):
        return []
    return [entry for entry in records if isinstance(entry, dict)]


def _run(name, profile, result, records):
    run = result.get("run")
    run = run if isinstance(run, dict) else {}
    seconds = run.get("seconds")
    if seconds is None:
        # Recorded without the workflow: the longest record is the best guess.
        times = [r.get("seconds") for r in records]
        seconds = max(
            (t for t in times if isinstance(t, (int, float))), default=0
        )
    finished = run.get("finished") or max(
        (str(r.get("finished", "")) for r in records), default=None
    )
    return {
        "job": name,
        "profile": profile,
        "seconds": seconds,
        "took": humanise(seconds),
        "finished": when(finished),
        "started_at": run.get("started"),
        "finished_at": run.get("finished"),
        "backend": joined(r.get("backend") for r in records)
        or str(run.get("backend", "")),
        "device": joined(r.get("device") for r in records),
        "revision": joined(r.get("revision") for r in records),
        "data": joined(_data(r.get("data")) for r in records),
        "versions": _versions(records),
        "failed": False,
    }


def _data(data):
    if isinstance(data, dict):
        return str(data.get("description") or data.get("name") or "")
    return ""


def _versions(records):
    found = {}
    for entry in records:
        if isinstance(entry.get("versions"), dict):
            found.update(entry["versions"])
    return found


def joined(texts) -> str:
    """Return different texts in their first order, joined."""
    return "; ".join(dict.fromkeys(str(t) for t in texts if t))


def failures(profile) -> list:
    """Return the jobs whose last run failed.

    Args:
        profile: `smoke`, `quick` or `paper`.

    Returns:
        A list of dicts, sorted by job.
    """
    found = []
    for path in (folder(profile) / "failed").glob("*.json"):
        if jobs.split_name(path.stem) is None:
            continue
        try:
            failure = json.loads(path.read_text("utf-8"))
            seconds = float(failure.get("seconds", 0))
        except (OSError, ValueError, TypeError, AttributeError):
            failure, seconds = {}, 0.0
        result = folder(profile) / "results" / path.name
        found.append(
            {
                "job": path.stem,
                "kind": str(failure.get("kind", "unknown")),
                "message": str(failure.get("message", "no description left")),
                "details": str(failure.get("details", "")),
                "when": when(failure.get("finished")),
                "took": humanise(seconds),
                "backend": str(failure.get("backend", "")),
                "older": result.exists(),
            }
        )
    return sorted(found, key=lambda failure: sort_key(failure["job"]))


def damaged(profile) -> list:
    """Return the names of result files that were set aside as damaged."""
    results = folder(profile) / "results"
    return sorted(path.name for path in results.glob("*.corrupt*"))
