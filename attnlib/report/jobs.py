"""Which jobs a profile has, where their files are and which are done.

A job is one run of a notebook. Its result file remembers the fingerprint of
what it was made from, so "done" is a fact about contents: a fresh clone, a
copied folder or a touched file never starts work again.

Standard library only and loadable by file path, so that the workflow need not
import a backend.
"""

import hashlib
import importlib.util
import json
import os
import re
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
ROOT = PACKAGE.parent
NOTEBOOKS = ROOT / "notebooks"


def _stdlib_module(name):
    """Load a module of attnlib that needs no backend, by file path."""
    if f"attnlib.{name}" in sys.modules:
        return sys.modules[f"attnlib.{name}"]
    alias = f"_attnlib_{name}"
    if alias not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            alias, PACKAGE / f"{name}.py"
        )
        module = importlib.util.module_from_spec(spec)
        sys.modules[alias] = module  # dataclasses look their module up
        spec.loader.exec_module(module)
    return sys.modules[alias]


profiles = _stdlib_module("profiles")
paths = _stdlib_module("paths")
_backend = _stdlib_module("_backend")

_NAME = re.compile(r"(\d\d)(?:-(.+))?-s(\d+)")


class Files:
    """Where the files of one job are.

    Args:
        job: A `profiles.Job`.
        reports: The folder of all profiles; None for `paths.reports_dir()`.
    """

    def __init__(self, job, reports=None):
        self.folder = Path(reports or paths.reports_dir()) / job.profile
        self.source = NOTEBOOKS / job.notebook_file
        self.result = self.folder / "results" / f"{job.name}.json"
        self.executed = self.folder / "notebooks" / f"{job.name}.ipynb"
        self.failed = self.folder / "failed" / f"{job.name}.ipynb"
        self.failure = self.folder / "failed" / f"{job.name}.json"
        self.log = self.folder / "logs" / f"{job.name}.log"
        self.lock = self.folder / ".locks" / f"{job.name}.lock"
        self.stale = self.folder / ".state" / f"{job.name}.stale"


def select(config):
    """Return the jobs that the workflow's configuration asks for.

    Args:
        config: A dict with `profile`, `only` and `seeds`, each optional. The
            command line turns `only=06` into the number 6 and an empty value
            into None; both are understood.

    Returns:
        A list of `profiles.Job`.

    Raises:
        ValueError: An unknown profile or notebook, or no number of seeds.
    """
    only = config.get("only")
    if isinstance(only, int):
        only = f"{only:02d}"
    seeds = config.get("seeds")
    if seeds in (None, ""):
        seeds = None
    elif not str(seeds).isdigit():
        raise ValueError(
            "expected seeds to be an integer of at least 1. "
            f"Received: {seeds!r}"
        )
    return profiles.jobs(
        config.get("profile") or None,
        only=only or None,
        seeds=None if seeds is None else int(seeds),
    )


def split_name(name):
    """Return (notebook, setting, seed) of a job's name, None for another.

    Example:

    >>> split_name("06-g6-s0"), split_name("notes")
    (('06', 'g6', 0), None)
    """
    match = _NAME.fullmatch(name)
    return None if match is None else (match[1], match[2], int(match[3]))


def find(name, profile):
    """Return the job of that name, for example `06-g6-s0`.

    Args:
        name: A job's name.
        profile: The profile that it runs in.

    Returns:
        A `profiles.Job`.

    Raises:
        ValueError: No notebook, setting or profile of that name.
    """
    parts = split_name(name)
    if parts is None:
        raise ValueError(
            "expected a job name like '06-s0' or '06-g6-s0'. "
            f"Received: {name!r}"
        )
    notebook, setting, seed = parts
    # Asks for the settings only so that an unknown name fails here.
    profiles.load(notebook, profile, seed=seed, setting=setting)
    return profiles.Job(
        notebook=notebook, profile=profile, setting=setting, seed=seed
    )


def backend() -> str:
    """Return the name of the backend that a job would choose."""
    return os.environ.get("KERAS_BACKEND") or _backend.preferred() or "none"


def library_digest() -> str:
    """Return a digest of the sources that results depend on.

    The report and the command line only look at results, so a change of
    theirs is no reason to run a notebook again.
    """
    digest = hashlib.sha256()
    for source in sorted(PACKAGE.rglob("*")):
        inside = source.relative_to(PACKAGE)
        if inside.parts[0] == "report" or inside.name in (
            "cli.py",
            "__main__.py",
        ):
            continue
        if source.suffix in (".py", ".mplstyle"):
            digest.update(f"{inside.as_posix()}\0".encode())
            digest.update(source.read_bytes())
    return digest.hexdigest()


def notebook_digest(path) -> str:
    """Return a digest of a notebook's cells; outputs and metadata are free."""
    try:
        cells = json.loads(Path(path).read_text("utf-8"))["cells"]
    except (OSError, ValueError, KeyError):
        return "unreadable"  # the job itself says what is wrong
    parts = [[c.get("cell_type"), "".join(c.get("source", ""))] for c in cells]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def records_digest(job, reports=None) -> str:
    """Return a digest of what a notebook of results reads.

    Those are the lists of claims and the results of its own profile and of
    the paper profile, but for those of other such notebooks.

    Args:
        job: A `profiles.Job`.
        reports: The folder of all profiles; None for `paths.reports_dir()`.
    """
    reports = Path(reports or paths.reports_dir())
    digest = hashlib.sha256()
    for path in sorted((PACKAGE / "claims").glob("*.toml")):
        digest.update(path.read_bytes())
    for profile in sorted({job.profile, "paper"}):
        for path in sorted((reports / profile / "results").glob("*.json")):
            name = split_name(path.stem)
            if name is not None and name[0] not in profiles.READERS:
                digest.update(f"{profile}/{path.name}\0".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()


def fingerprint(job, library=None, reports=None) -> str:
    """Return a digest of all that decides what a job records.

    Args:
        job: A `profiles.Job`.
        library: `library_digest()`, when the caller has it already.
        reports: The folder of all profiles; None for `paths.reports_dir()`.

    Returns:
        16 hex digits.
    """
    parts = [
        library or library_digest(),
        notebook_digest(NOTEBOOKS / job.notebook_file),
        json.dumps(job.parameters, sort_keys=True),
        backend(),
    ]
    if job.notebook in profiles.READERS:
        parts.append(records_digest(job, reports))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def read_result(path):
    """Return a result file as a dict, or None when there is no sound one."""
    try:
        result = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return result if isinstance(result, dict) else None


def why_run(job, reports=None, force_since=None, library=None):
    """Return why a job has to run, None when it is done.

    Published results of the paper profile count as done whatever was edited
    since: they took hours of somebody's GPU. FORCE runs them again. A notebook
    of results takes seconds and is run again with every new result.

    Args:
        job: A `profiles.Job`.
        reports: The folder of all profiles; None for `paths.reports_dir()`.
        force_since: When given, results older than this time (seconds since
            the epoch) do not count.
        library: `library_digest()`, when the caller has it already.

    Returns:
        A short reason, or None.
    """
    files = Files(job, reports)
    result = read_result(files.result)
    if result is None:
        return "no result"
    if files.failure.exists():
        return "the last run failed"
    run = result.get("run") or {}
    if force_since is not None and run.get("finished", 0) < force_since:
        return "forced"
    if job.profile == "paper" and job.notebook not in profiles.READERS:
        return None
    if not files.executed.exists():
        return "no executed notebook"
    if run.get("fingerprint") != fingerprint(job, library, reports):
        if job.notebook in profiles.READERS:
            return "results or what shows them changed"
        return "the notebook, attnlib, the parameters or the backend changed"
    return None
