"""Recording: one JSON file per job holds all results of that job.

The file is written anew after every record and renamed into place, so that
a killed notebook leaves a complete file or none.
"""

import dataclasses
import importlib.metadata
import json
import math
import numbers
import os
import platform
import re
import subprocess
import time
import warnings
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from attnlib import _spent, paths, profiles
from attnlib.claims import registry

RESULT_SCHEMA = 1


@dataclass
class _Current:
    """The job that this process is running."""

    job: profiles.Job
    data: dict | None
    started: str
    clock: float
    revision: str
    explicit: bool
    records: dict = field(default_factory=dict)


_current = None


def begin(notebook, profile, seed=0, setting=None, data=None) -> None:
    """Start a job: the results recorded from now on belong to it.

    The job's file of an earlier run is replaced at the first record.

    Args:
        notebook: Two digits, for example `"06"`.
        profile: `smoke`, `quick` or `paper`; None for the default profile.
        seed: Seed of the run, an integer of at least 0.
        setting: The profile's setting, or None.
        data: What the job runs on: the name of a data set, a dict with the
            strings `name`, `digest` and `description`, or None for no data.

    Raises:
        ValueError: An argument is not of that form.
    """
    _start(notebook, profile, seed, setting, data, explicit=True)


def record(id, value, *, seconds=None, note="", data=None) -> None:
    """Record one result of the current job and write the job's file.

    Without `begin`, the job is the claim's notebook in the default profile
    with seed 0. Recording an id again replaces its earlier value.

    Args:
        id: Id of a claim.
        value: True or false for an ordering, else a finite number in the
            claim's unit (percent from 0 to 100).
        seconds: What the result took; None for the time since `begin`, and
            what trainings took that were found in the cache since.
        note: A sentence for the scoreboard, for example the numbers behind
            an ordering.
        data: As in `begin`, where this result ran on other data.

    Raises:
        ValueError: The id is unknown or is computed from other claims, or
            the value has the wrong type or is not finite.
        OSError: The file cannot be written; nothing half-written is left.
    """
    claim = registry.find(id)
    if claim.result or claim.of:
        own = ", ".join(claim.of or [claim.result])
        raise ValueError(f"{id} has no records of its own: record {own}")
    entry = {
        "id": id,
        "value": _checked_value(claim, value),
        "unit": claim.unit,
        "seconds": _checked_seconds(seconds),
        "note": _checked_text(note, "note"),
        "data": _described(data),
    }
    job = _job_for(claim)
    entry["data"] = entry["data"] or job.data
    if entry["seconds"] is None:
        taken = time.monotonic() - job.clock + _spent.seconds()
        entry["seconds"] = round(taken, 3)
    records = job.records | {id: entry | _provenance(job)}
    _write(job, records)
    job.records = records


def result_file(job) -> Path:
    """Return where a job's results go.

    Args:
        job: An `attnlib.profiles.Job`.

    Returns:
        `$ATTNLIB_RESULT_FILE`, else the job's file in the reports folder.
    """
    given = os.environ.get("ATTNLIB_RESULT_FILE")
    if given:
        return Path(given)
    return results_dir(job.profile) / f"{job.name}.json"


def results_dir(profile) -> Path:
    """Return the folder of a profile's result files."""
    return paths.reports_dir() / profile / "results"


def read_results(profile) -> list[dict]:
    """Return all records of a profile, the jobs in the order of their names.

    A damaged file is renamed to `<name>.corrupt`, named in a warning, and
    its results are missing.

    Args:
        profile: `smoke`, `quick` or `paper`.

    Returns:
        A list of records as `record` wrote them.
    """
    file, records = _own_records()
    for path in sorted(results_dir(profile).glob("*.json")):
        if path == file:
            continue
        try:
            records += _read(path)
        except FileNotFoundError:
            continue  # another process has just replaced or removed it
        except (ValueError, RecursionError) as error:
            _set_aside(path, error)
    return [r for r in records if r["profile"] == profile]


def _own_records():
    """Return the file that the running job will replace, and its records.

    Under the workflow a job's records lie elsewhere until it has ended; its
    notebook shows them all the same. `(None, [])` in all other cases.
    """
    job = _current
    if job is None or not job.records:
        return None, []
    file = results_dir(job.job.profile) / f"{job.job.name}.json"
    if result_file(job.job) == file:
        return None, []
    return file, list(job.records.values())


def _start(notebook, profile, seed, setting, data, explicit):
    """Make the current job from checked arguments."""
    global _current
    # Notebook and setting become the name of a file.
    if not isinstance(notebook, str) or not re.fullmatch(r"\d\d", notebook):
        raise ValueError(
            "expected notebook to be two digits, for example '06'. "
            f"Received: {notebook!r}"
        )
    if not isinstance(seed, numbers.Integral) or isinstance(seed, bool):
        raise ValueError(f"expected seed to be an integer. Received: {seed!r}")
    if seed < 0:
        raise ValueError(f"expected seed to be at least 0. Received: {seed}")
    if setting is not None and not (
        isinstance(setting, str) and re.fullmatch(r"[a-z0-9-]+", setting)
    ):
        raise ValueError(
            "expected setting to be None or lower-case letters, digits and "
            f"hyphens. Received: {setting!r}"
        )
    job = profiles.Job(
        notebook=notebook,
        profile=profiles.resolve(profile),
        setting=setting,
        seed=int(seed),
    )
    _spent.forget()
    _current = _Current(
        job, _described(data), _now(), time.monotonic(), revision(), explicit
    )


def _job_for(claim):
    """Return the current job, or start the claim's own without `begin`."""
    current = _current
    foreign = current is None or current.job.notebook != claim.notebook
    if current is None or (foreign and not current.explicit):
        _start(claim.notebook, None, 0, None, None, explicit=False)
    return _current


def _checked_value(claim, value):
    """Return a plain bool or float, or raise."""
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()  # a NumPy scalar or an array of rank 0
    if claim.is_ordering:
        if isinstance(value, bool):
            return value
        expected = "True or False, since the claim is an ordering"
    elif isinstance(value, bool) or not isinstance(value, numbers.Real):
        expected = f"a number{f' in {claim.unit}' if claim.unit else ''}"
    elif not math.isfinite(value):
        expected = "a finite number"
    elif claim.unit == "%" and not 0 <= value <= 100:
        expected = "a percentage from 0 to 100"
    else:
        return float(value)
    raise ValueError(f"{claim.id}: expected {expected}. Received: {value!r}")


def _checked_seconds(seconds):
    """Return seconds as a float or None, or raise."""
    if seconds is None:
        return None
    number = isinstance(seconds, numbers.Real) and type(seconds) is not bool
    if not number or not math.isfinite(seconds) or seconds < 0:
        raise ValueError(
            "expected seconds to be a finite number of at least 0. "
            f"Received: {seconds!r}"
        )
    return round(float(seconds), 3)


def _checked_text(text, name):
    if not isinstance(text, str):
        raise ValueError(f"expected {name} to be a string. Received: {text!r}")
    return text


def _described(data):
    """Return what `data` says as a dict of strings, or None."""
    if data is None:
        return None
    if isinstance(data, str):
        from attnlib import datasets

        # A sentence about generated data is as good as a registered name.
        known = data in datasets.available()
        data = {"name": data, "digest": datasets.digest(data) if known else ""}
    keys = ("name", "digest", "description")
    wrong = not isinstance(data, dict) or set(data) - set(keys)
    if wrong or not data.get("name"):
        raise ValueError(
            "expected data to be the name of a data set or a dict of name, "
            f"digest and description. Received: {data!r}"
        )
    return {key: _checked_text(data.get(key, ""), key) for key in keys}


def _provenance(job):
    """Return what every record says about the run."""
    import attnlib

    # Asked at every record: what a notebook picked a device for is known
    # by then, and importing claims stays free of any backend.
    return {
        "profile": job.job.profile,
        "notebook": job.job.notebook,
        "setting": job.job.setting,
        "seed": job.job.seed,
        "backend": attnlib.backend(),
        "device": attnlib.device(),
        "revision": job.revision,
        "started": job.started,
        "finished": _now(),
        "versions": _versions(attnlib),
    }


def _versions(attnlib):
    """Return the versions that can change a result."""
    found = {
        "python": platform.python_version(),
        "attnlib": attnlib.__version__,
    }
    for name in ("numpy", "keras", attnlib.backend()):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            # tensorflow-cpu and the like carry another name than the module.
            found[name] = "unknown"
    return found


def revision() -> str:
    """Return the git revision of the checkout that attnlib runs from.

    Returns:
        Twelve hexadecimal digits, with `-dirty` when a tracked file of
        `attnlib/` or `notebooks/` differs from it; `"unknown"` outside git.
    """
    root = paths.root()
    head = root and _git(root, "rev-parse", "--short=12", "HEAD")
    if not head:
        return "unknown"
    changed = _git(
        root, "status", "--porcelain", "-uno", "--", "attnlib", "notebooks"
    )
    return head if changed == "" else f"{head}-dirty"


def _git(root, *arguments):
    """Return git's output, None where git fails or is not installed."""
    try:
        return subprocess.run(
            ["git", "--no-optional-locks", "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _now():
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _write(job, records):
    """Write a job's file: the keys and the records in a fixed order."""
    tree = {
        "schema": RESULT_SCHEMA,
        "job": {"name": job.job.name, **dataclasses.asdict(job.job)},
        "records": [records[id] for id in sorted(records)],
    }
    with paths.atomic_write(result_file(job.job)) as file:
        json.dump(tree, file, indent=1, ensure_ascii=False, allow_nan=False)
        file.write("\n")


_TEXTS = ("id", "profile", "notebook", "backend", "device", "revision")


def _read(path) -> list[dict]:
    """Return the records of one file, or raise ValueError."""
    tree = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(tree, dict) or tree.get("schema") != RESULT_SCHEMA:
        raise ValueError(f"its schema is not {RESULT_SCHEMA}")
    records = tree.get("records")
    if not isinstance(records, list):
        raise ValueError("it has no list of records")
    for entry in records:
        if not isinstance(entry, dict):
            raise ValueError("a record is not an object")
        for key in (*_TEXTS, "finished", "note"):
            if not isinstance(entry.get(key), str):
                raise ValueError(f"a record has no text {key!r}")
        _check_numbers(entry)
    return records


def _check_numbers(entry):
    """Raise unless a record's numbers and data are of the written form."""
    value = entry.get("value")
    if type(value) not in (bool, int, float) or not math.isfinite(value):
        raise ValueError(f"{entry['id']} has the value {value!r}")
    if type(entry.get("seed")) is not int or entry["seed"] < 0:
        raise ValueError(f"{entry['id']} has the seed {entry.get('seed')!r}")
    seconds = entry.get("seconds")
    if type(seconds) not in (int, float) or not math.isfinite(seconds):
        raise ValueError(f"{entry['id']} took {seconds!r} seconds")
    data = entry.get("data")
    if data is not None and not (
        isinstance(data, dict) and isinstance(data.get("name"), str)
    ):
        raise ValueError(f"{entry['id']} ran on {data!r}")


def _set_aside(path, error):
    """Rename a damaged file and say so."""
    try:
        kept = f"It is kept as {paths.set_aside(path).name}"
    except OSError as problem:
        kept = f"It could not be renamed ({problem.strerror})"
    warnings.warn(
        f"{path} is not a result file: {error}. {kept}, and its claims count "
        "as not run; run the notebook again",
        stacklevel=2,
    )
