#!/usr/bin/env python3
"""Sets the project up and runs it: `python tasks.py report PROFILE=smoke`.

`make report PROFILE=smoke` is the same. Only the standard library is used, so
that a fresh clone needs nothing but Python; and the syntax is that of Python
3.6, so that an old Python answers with a sentence and not a SyntaxError.
"""

import sys

PYTHONS = ((3, 11), (3, 13))

if not PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]:
    sys.exit(
        "attnlib needs Python 3.11, 3.12 or 3.13, but this is Python "
        f"{sys.version_info[0]}.{sys.version_info[1]} ({sys.executable}): run "
        "`make PYTHON=python3.12 report` or `python3.12 tasks.py report`."
    )

import contextlib  # noqa: E402
import hashlib  # noqa: E402
import importlib.util  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import shlex  # noqa: E402
import shutil  # noqa: E402
import signal  # noqa: E402
import subprocess  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
import xml.etree.ElementTree as ElementTree  # noqa: E402
from dataclasses import dataclass, replace  # noqa: E402
from pathlib import Path  # noqa: E402

ROOT = Path(__file__).resolve().parent

USAGE = """\
usage: python tasks.py TASK [NAME=VALUE ...]   (or: make TASK [NAME=VALUE ...])

tasks
  lab         open the notebooks in JupyterLab
  report      run the notebooks and draw reports/PROFILE/index.html
  test        linter, unit tests and examples, notebooks, browser
  bench       time models, operations and layers beside alternatives
  docs        draw the API reference, reports/docs/index.html
  wheelhouse  collect wheels for an offline GPU machine that has JAX
  clean       remove environments, caches and generated reports
  lock        compile requirements*.txt from pyproject.toml (for maintainers)

variables (also read from the environment)
  PROFILE  smoke, quick (default) or paper
  BACKEND  tensorflow (default) or jax
  DEVICE   cpu (default) or gpu
  DEVICES  1 (default) or all: each batch is shared out to all (BACKEND=jax)
  ONLY     notebooks by number, as in ONLY="06 07"
  SEEDS    how many seeds to run
  JOBS     how many jobs at a time (default: one per two cores)
  FORCE    1 runs again what is already done
  VENV     none runs in this Python as it is and installs nothing
"""

VARIABLES = (
    "PROFILE",
    "BACKEND",
    "DEVICE",
    "DEVICES",
    "ONLY",
    "SEEDS",
    "JOBS",
    "FORCE",
    "VENV",
)

# (backend, device) -> environment and its lock
ENVIRONMENTS = {
    ("tensorflow", "cpu"): (".venv", "requirements.txt"),
    ("tensorflow", "gpu"): (".venv-cuda", "requirements-cuda.txt"),
    ("jax", "cpu"): (".venv-jax", "requirements-jax.txt"),
    ("jax", "gpu"): (".venv-jax-cuda", "requirements-jax-cuda.txt"),
}
DEVELOPMENT = (".venv-dev", "requirements-dev.txt")

# extras of pyproject.toml -> lock; the first one constrains the others, so
# that what is tested is what is installed.
LOCKS = {
    "requirements-dev.txt": ("tensorflow", "jax", "workbook", "video", "dev"),
    "requirements.txt": ("tensorflow", "workbook"),
    "requirements-cuda.txt": ("cuda", "workbook"),
    "requirements-jax.txt": ("jax", "workbook"),
    "requirements-jax-cuda.txt": ("jax-cuda", "workbook"),
}

STAMP = "attnlib-stamp.json"
# Raised when environments must be made anew although no lock has changed.
RECIPE = 1

LAB_OVERRIDES = {
    # Other modes drop plots of cells that scroll out of view.
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "defer"},
    # No pop-up that asks to go online.
    "@jupyterlab/apputils-extension:notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
    },
}


class TaskError(Exception):
    """What the user is told, in one sentence; `status` is the exit status."""

    def __init__(self, message, status=1):
        super().__init__(message)
        self.status = status


def say(message):
    print(f"tasks: {message}", flush=True)


# --- Variables ---------------------------------------------------------------


@dataclass(frozen=True)
class Options:
    """The checked variables of one call."""

    profile: str = "quick"
    backend: str = "tensorflow"
    device: str = "cpu"
    devices: str = "1"
    only: tuple = ()
    seeds: int = None
    jobs: int = None
    force: bool = False
    venv: bool = True
    given: frozenset = frozenset()


def load_profiles():
    """Loads attnlib/profiles.py by its path: attnlib needs an environment."""
    name = "attnlib_profiles"
    if name not in sys.modules:
        path = ROOT / "attnlib" / "profiles.py"
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # dataclasses look their module up there
        spec.loader.exec_module(module)
    return sys.modules[name]


def parse(arguments, environ):
    """Reads NAME=VALUE arguments over the environment's variables.

    Args:
        arguments: list of str, such as ["PROFILE=smoke", "ONLY=06 07"].
        environ: mapping of environment variables.

    Returns:
        The checked `Options`.

    Raises:
        TaskError: a name or a value is unknown.
    """
    values = {n: environ[n] for n in VARIABLES if environ.get(n)}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if name == "PYTHON" and equals:  # make's own
            continue
        if not equals or name not in VARIABLES:
            raise TaskError(
                f"unknown argument {argument!r}: expected NAME=VALUE with "
                f"NAME one of {', '.join(VARIABLES)}",
                status=2,
            )
        values[name] = value
    values = {n: v.strip() for n, v in values.items() if v.strip()}
    return Options(
        profile=_choice(values, "PROFILE", load_profiles().NAMES, "quick"),
        backend=_choice(values, "BACKEND", ("tensorflow", "jax"), "tensorflow"),
        device=_choice(values, "DEVICE", ("cpu", "gpu"), "cpu"),
        devices=_choice(values, "DEVICES", ("1", "all"), "1"),
        only=_notebooks(values.get("ONLY", "")),
        seeds=_count(values, "SEEDS"),
        jobs=_count(values, "JOBS"),
        force=_choice(values, "FORCE", ("0", "1"), "0") == "1",
        venv=_choice(values, "VENV", ("none",), "") != "none",
        given=frozenset(values),
    )


def _choice(values, name, choices, default):
    value = values.get(name, default)
    if name in values and value not in choices:
        raise TaskError(
            f"unknown {name}={value}: expected {' or '.join(choices)}",
            status=2,
        )
    return value


def _count(values, name):
    value = values.get(name)
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and int(value) > 0):
        raise TaskError(
            f"{name}={value} is not a count: expected a whole number from 1",
            status=2,
        )
    return int(value)


def _notebooks(text):
    numbers = tuple(text.replace(",", " ").split())
    known = load_profiles().NOTEBOOKS
    for number in numbers:
        if number not in known:
            raise TaskError(
                f"unknown notebook {number!r} in ONLY={text}: expected "
                f"numbers out of {' '.join(known)}",
                status=2,
            )
    return tuple(dict.fromkeys(numbers))


def default_jobs():
    """Returns one job per two of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return max(1, cores // 2)


# --- Environments ------------------------------------------------------------


@contextlib.contextmanager
def locked(path):
    """Holds the file `path` as a lock between processes; waits for it."""
    waited = False
    while True:
        handle = open(path, "a+")
        try:
            _lock(handle, wait=waited)
        except OSError:
            handle.close()
            if not waited:
                say(f"another run is at work on {path.stem}; waiting for it")
                waited = True
            continue
        # Whoever held it may have removed the file: then lock the new one.
        if path.exists() and os.path.samestat(
            os.fstat(handle.fileno()), path.stat()
        ):
            # An installer that outlives a killed run keeps the lock.
            os.set_inheritable(handle.fileno(), True)
            break
        handle.close()
    try:
        yield
    finally:
        handle.close()


def _lock(handle, wait):
    if os.name == "nt":
        import msvcrt

        handle.seek(0)
        mode = msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK
        msvcrt.locking(handle.fileno(), mode, 1)
    else:
        import fcntl

        flags = fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB)
        fcntl.flock(handle, flags)


def scripts_dir(folder):
    return folder / ("Scripts" if os.name == "nt" else "bin")


def python_of(folder):
    name = "python.exe" if os.name == "nt" else "python"
    return scripts_dir(folder) / name


def wanted_stamp(folder, lock):
    """Describes the environment that `folder` should hold."""
    return {
        "lock": hashlib.sha256(lock.read_bytes()).hexdigest(),
        "python": "{}.{}".format(*sys.version_info[:2]),
        "path": str(folder),  # environments cannot be moved
        "recipe": RECIPE,
    }


def up_to_date(folder, stamp):
    """Returns whether `folder` is a finished environment made for `stamp`."""
    try:
        found = json.loads((folder / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return found == stamp and python_of(folder).exists()


def environment(name, lock_name):
    """Returns the Python of an environment, made first where it must be.

    The stamp is removed first and written last: what an interrupted run left
    is never taken for a whole environment.
    """
    folder, lock = ROOT / name, ROOT / lock_name
    stamp = wanted_stamp(folder, lock)
    if up_to_date(folder, stamp):
        return python_of(folder)
    with locked(ROOT / f"{name}.lock"):
        if not up_to_date(folder, stamp):
            _make_environment(folder, lock, stamp)
    return python_of(folder)


def _make_environment(folder, lock, stamp):
    started = time.monotonic()
    say(f"making {folder.name} from {lock.name}; the first time takes minutes")
    if folder.exists():
        (folder / STAMP).unlink(missing_ok=True)
        shutil.rmtree(folder)
    # Inside an environment, sys.executable may be what was just removed.
    base = getattr(sys, "_base_executable", None) or sys.executable
    _install_step([base, "-m", "venv", "--without-pip", folder])
    _install(folder, lock)
    _link_checkout(folder)
    settings = folder / "share" / "jupyter" / "lab" / "settings"
    settings.mkdir(parents=True, exist_ok=True)
    (settings / "overrides.json").write_text(
        json.dumps(LAB_OVERRIDES, indent=2) + "\n", encoding="utf-8"
    )
    part = folder / (STAMP + ".part")
    part.write_text(json.dumps(stamp, indent=2) + "\n", encoding="utf-8")
    os.replace(part, folder / STAMP)
    say(f"{folder.name} is ready after {time.monotonic() - started:.0f} s")


def _install(folder, lock):
    """Installs `lock` with uv where there is one, else with pip.

    Both check every file's hash. Where from is the machine's own
    configuration, which uv and pip do not share: so pip follows a failed uv.
    """
    python = python_of(folder)
    quiet = [] if sys.stderr.isatty() else ["--quiet"]
    uv = find_uv()
    with_pip = call([python, "-m", "ensurepip", "--default-pip"], quiet=True)
    if uv:
        command = [uv, "pip", "install", "--python", python, *quiet]
        status = call([*command, "--require-hashes", "-r", lock])
        if status == 0:
            return
        say("uv could not install it; trying pip")
    if with_pip != 0:
        raise TaskError(
            "this Python has no pip (ensurepip): install it, on Debian and "
            "Ubuntu with `apt install python3-venv`"
        )
    _install_step(
        [
            *(python, "-m", "pip", "install", *quiet),
            *("--disable-pip-version-check", "--no-input"),
            *("--require-hashes", "-r", lock),
        ]
    )


def _install_step(command):
    status = call(command)
    if status != 0:
        raise TaskError(
            f"`{shlex.join(map(str, command))}` failed with status {status}; "
            "what it left is not used: mend the cause and run again"
        )


def _link_checkout(folder):
    """Makes the checkout importable: a path file, nothing to build."""
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = subprocess.run(
        [python_of(folder), "-c", code],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout.strip()
    (Path(site) / "attnlib.pth").write_text(f"{ROOT}\n", encoding="utf-8")


def find_uv():
    """Returns the path of a uv that runs (a shim may not), or None."""
    uv = shutil.which("uv")
    if uv and call([uv, "--version"], quiet=True) == 0:
        return uv
    return None


def environment_for(options, name=None):
    """Returns the Python to run in: that of `name`, or of the options'."""
    if not options.venv:
        return Path(sys.executable)
    if options.device == "gpu" and not sys.platform.startswith("linux"):
        raise TaskError(
            "DEVICE=gpu installs CUDA, which needs Linux (Windows: WSL2); "
            "leave DEVICE out to run on the CPU"
        )
    return environment(*(name or ENVIRONMENTS[options.backend, options.device]))


# --- Running -----------------------------------------------------------------


def call(command, env=None, quiet=False, cwd=None):
    """Runs a command to its end and returns its exit status.

    An interrupt reaches the child as well: it is waited for, so that it can
    put its own things in order.
    """
    sink = subprocess.DEVNULL if quiet else None
    process = subprocess.Popen(
        [str(part) for part in command],
        env=env,
        cwd=str(cwd or ROOT),
        stdout=sink,
        stderr=sink,
        close_fds=False,
    )
    try:
        return process.wait()
    except KeyboardInterrupt:
        with contextlib.suppress(KeyboardInterrupt):
            process.wait(timeout=30)
        process.kill()
        raise


def run_environ(python, options, **extra):
    """Returns the variables that a run gets.

    Args:
        python: the environment's Python.
        options: the call's `Options`.
        **extra: variables set last.
    """
    env = dict(os.environ)
    # Variables of ours that make exported must not reach other tools.
    for name in (*VARIABLES, "MAKEFLAGS", "MAKELEVEL", "PYTHONHOME"):
        env.pop(name, None)
    env["PATH"] = os.pathsep.join([str(python.parent), env.get("PATH", "")])
    paths = [str(ROOT), env.get("PYTHONPATH")]
    env["PYTHONPATH"] = os.pathsep.join(p for p in paths if p)
    env["PYTHONUNBUFFERED"] = "1"
    if options.venv:
        env["VIRTUAL_ENV"] = str(python.parent.parent)
        env["PYTHONNOUSERSITE"] = "1"
    env["JUPYTER_PREFER_ENV_PATH"] = "1"
    env.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # glibc returns large arrays to the system after every use; a training
    # step then spends a third of its time in page faults. Older versions
    # refuse thresholds above 32 MiB.
    env.setdefault("MALLOC_MMAP_THRESHOLD_", str(2**25))
    env.setdefault("MALLOC_TRIM_THRESHOLD_", str(2**32))
    env["KERAS_BACKEND"] = options.backend
    env["ATTNLIB_PROFILE"] = options.profile
    env["ATTNLIB_DEVICE"] = options.device
    env["ATTNLIB_DEVICES"] = options.devices
    if options.device == "cpu":
        env["CUDA_VISIBLE_DEVICES"] = ""
        env["JAX_PLATFORMS"] = "cpu"
    env.update(extra)
    return env


def prepare(options):
    """Returns the Python and the variables of a run, checked to work."""
    python = environment_for(options)
    env = run_environ(python, options)
    if not options.venv:
        _check_modules(python, options, env)
    if options.device == "gpu":
        # One sentence now rather than the same error from every job.
        code = "import attnlib; print('device:', attnlib.device())"
        if call([python, "-c", code], env) != 0:
            raise TaskError("DEVICE=gpu, but no GPU could be used: see above")
    return python, env


def _check_modules(python, options, env):
    names = [options.backend, "keras", "papermill", "snakemake", "nbconvert"]
    code = (
        "import importlib.util, sys; print(*[n for n in sys.argv[1:] "
        "if importlib.util.find_spec(n) is None])"
    )
    missing = subprocess.run(
        [str(python), "-c", code, *names],
        env=env,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout.split()
    if missing:
        raise TaskError(
            f"VENV=none, but {python} lacks {', '.join(missing)}: install "
            "requirements.txt or a wheelhouse (CONTRIBUTING.md) into it, or "
            "leave VENV out"
        )


# --- Tasks -------------------------------------------------------------------


def lab(options):
    """Opens JupyterLab, on the notebook that ONLY names."""
    python, env = prepare(options)
    command = [python, "-m", "jupyterlab"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # containers
    names = load_profiles().NOTEBOOKS
    target = ROOT / "notebooks"
    if options.only:
        target = target / f"{names[options.only[0]]}.ipynb"
    return call([*command, target], env)


def _only(numbers):
    # Quoted twice: Snakemake reads values as YAML, where 06 is a number.
    return [f"only='{' '.join(numbers)}'"] if numbers else []


def report(options):
    """Runs what is not done yet and draws the report, failed jobs included."""
    python, env = prepare(options)
    command = [
        *(python, "-m", "snakemake", "-s", ROOT / "workflow" / "Snakefile"),
        *("--workflow-profile", ROOT / "workflow" / "profiles" / "local"),
        *("--cores", options.jobs or default_jobs()),
        *("--config", f"profile={options.profile}"),
    ]
    rest = [f"seeds={options.seeds}"] if options.seeds else []
    if options.force:
        rest.append("force=1")
    ran = call([*command, *_only(options.only), *rest], env)
    known = load_profiles()
    readers = set(known.READERS) & set(options.only or known.NOTEBOOKS)
    if ran != 0 and readers:
        # They waited for the jobs that failed: now with what there is.
        call([*command, *_only(sorted(readers)), *rest], env)
    drawn = call(
        [python, "-m", "attnlib", "report", "--profile", options.profile], env
    )
    folder = Path(os.environ.get("ATTNLIB_REPORTS") or ROOT / "reports")
    if drawn == 0:
        say(f"report: {folder / options.profile / 'index.html'}")
    if ran != 0:
        say("some jobs failed: the report shows which and why")
    return ran or drawn


@dataclass
class Check:
    """One step of `test`, and what it counted."""

    title: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0


# Tests that know no backend run once, on the first.
BACKEND_FREE = (
    "tests/claims",
    "tests/datasets",
    "tests/figures",
    "tests/notebooks",
    "tests/report",
    "tests/test_cli.py",
    "tests/test_locks.py",
    "tests/test_paths.py",
    "tests/test_profiles.py",
    "tests/test_tasks.py",
    "tests/test_text.py",
)


def test(options):
    """Runs every check, whatever fails, and counts at the end."""
    if options.venv and options.device == "gpu":
        raise TaskError(
            ".venv-dev has no CUDA: to test on a GPU, run `test` with "
            "VENV=none in a Python that has it and the extra `dev`",
            status=2,
        )
    python = environment_for(options, DEVELOPMENT)
    with tempfile.TemporaryDirectory(prefix="attnlib-test-") as scratch:
        checks = [
            _check(title, command, env, Path(scratch))
            for title, command, env in _test_steps(python, options, scratch)
        ]
    return _summary(checks)


def _test_steps(python, options, scratch):
    """Yields (title, command, variables) of every check."""
    jobs = options.jobs or (2 if default_jobs() == 1 else default_jobs())
    plain = run_environ(python, options)
    yield "ruff check", [python, "-m", "ruff", "check", "."], plain
    yield (
        "ruff format",
        [python, "-m", "ruff", "format", "--check", "."],
        plain,
    )
    pytest = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    workers = ["-n", jobs, "--dist", "loadscope"] if jobs > 1 else []
    backends = [options.backend]
    if "BACKEND" not in options.given:
        backends = ["tensorflow", "jax"]
        if _has_module(python, "torch"):
            backends.append("torch")
    for index, backend in enumerate(backends):
        env = run_environ(python, replace(options, backend=backend))
        free = BACKEND_FREE if index else ()
        ignored = [f"--ignore={ROOT / path}" for path in free]
        units = [*pytest, *workers, "--durations=20"]
        units += ["-m", "not browser and not notebooks"]
        yield f"unit tests, {backend}", [*units, *ignored, "tests"], env
    env = run_environ(
        python,
        replace(options, backend=backends[0], profile="smoke"),
        ATTNLIB_HEADLESS="1",
        ATTNLIB_CACHE=str(Path(scratch) / "cache"),
        ATTNLIB_REPORTS=str(Path(scratch) / "reports"),
    )
    nbval = ["--nbval-lax", "--nbval-current-env"]
    nbval += ["--nbval-cell-timeout=300", "--nbval-kernel-startup-timeout=120"]
    sanitize = ROOT / "tests" / "notebooks" / "sanitize.cfg"
    if sanitize.exists():
        nbval.append(f"--nbval-sanitize-with={sanitize}")
    yield (
        "notebooks",
        [*pytest, *workers, *nbval, *_notebook_files(options)],
        env,
    )
    marked = [*pytest, "-m", "browser or notebooks", "tests"]
    yield "browser and widgets", marked, env


def _notebook_files(options):
    names = load_profiles().NOTEBOOKS
    numbers = options.only or names
    return [ROOT / "notebooks" / f"{names[n]}.ipynb" for n in numbers]


def _has_module(python, name):
    code = (
        "import importlib.util, sys; "
        f"sys.exit(importlib.util.find_spec({name!r}) is None)"
    )
    return call([python, "-c", code], quiet=True) == 0


def _check(title, command, env, scratch):
    """Runs one step; its counts come from pytest's JUnit file."""
    say(f"=== {title}")
    started = time.monotonic()
    check = Check(title)
    result = scratch / f"{title.replace(' ', '-')}.xml"
    is_pytest = "pytest" in command
    if is_pytest:
        command = [*command, f"--junitxml={result}"]
    status = call(command, env)
    check.seconds = time.monotonic() - started
    if is_pytest and result.exists():
        for suite in ElementTree.parse(result).getroot().iter("testsuite"):
            counts = {
                key: int(suite.get(key, 0))
                for key in ("tests", "failures", "errors", "skipped")
            }
            check.failed += counts["failures"] + counts["errors"]
            check.skipped += counts["skipped"]
            check.passed += counts["tests"] - sum(
                counts[key] for key in ("failures", "errors", "skipped")
            )
    elif status == 0:
        check.passed = 1
    # 5: nothing was collected. Other than 1, pytest itself went wrong.
    if status not in (0, 5) and not check.failed:
        check.failed = 1
    return check


def _summary(checks):
    say("=== summary")
    for check in checks:
        state = "FAILED" if check.failed else "ok"
        print(
            f"{state:7}{check.title:26}{check.passed:6} passed"
            f"{check.failed:5} failed{check.skipped:5} skipped"
            f"{check.seconds:8.0f} s"
        )
    passed, failed, skipped = (
        sum(getattr(check, key) for check in checks)
        for key in ("passed", "failed", "skipped")
    )
    print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    return 1 if failed else 0


def bench(options):
    """Measures throughput on the chosen backend."""
    python, env = prepare(options)
    return call([python, ROOT / "benchmarks" / "run.py"], env)


def docs(options):
    """Draws the API reference, reports/docs/index.html."""
    python, env = prepare(options)
    return call([python, "-m", "attnlib", "docs"], env)


def wheelhouse(options):
    """Collects the wheels for an offline GPU machine in wheelhouse/."""
    python = environment(*ENVIRONMENTS["jax", "cpu"])
    script = ROOT / "tools" / "wheelhouse.py"
    return call([python, script], run_environ(python, options))


# What `clean` removes, as patterns in the checkout's root. data/ and
# reports/paper are nowhere in here, and `_keep` guards them besides.
GENERATED = (
    ".venv*",
    ".benchmarks",
    ".cache",
    ".coverage*",
    ".hypothesis",
    ".pytest_cache",
    ".ruff_cache",
    ".snakemake",
    ".wheelhouse",
    "*.egg-info",
    "build",
    "dist",
    "reports/*",
    "wheelhouse",
)
CACHES = ("__pycache__", ".ipynb_checkpoints", ".pytest_cache", ".snakemake")
SOURCES = (
    "attnlib",
    "benchmarks",
    "examples",
    "notebooks",
    "tests",
    "tools",
    "workflow",
)


def clean(options):
    """Removes what was generated; never data/ and never reports/paper."""
    kept = (ROOT / "data", ROOT / "reports" / "paper")
    doomed = [path for pattern in GENERATED for path in ROOT.glob(pattern)]
    doomed.append(ROOT / "__pycache__")
    for source in SOURCES:
        for cache in CACHES:
            doomed += (ROOT / source).rglob(cache)
    for path in doomed:
        if path in kept or not os.path.lexists(path):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    say("removed environments, caches and generated reports")
    return 0


def lock(options):
    """Compiles the locks; pins stay unless the bounds forbid them.

    Delete the locks first to raise every version.
    """
    uv = find_uv()
    if not uv:
        raise TaskError("`lock` needs uv: install it with `pip install uv`")
    first = next(iter(LOCKS))
    for name, extras in LOCKS.items():
        command = [uv, "pip", "compile", "--quiet", "pyproject.toml"]
        command += ["--universal", "--python-version", "3.11"]
        # With extras: pip takes `name[extra]` for another pin than `name`.
        command += ["--generate-hashes", "--no-strip-extras"]
        command += ["--no-emit-index-url", "--no-emit-find-links"]
        command += ["--output-file", name]
        command += ["--custom-compile-command", "python tasks.py lock"]
        for extra in extras:
            command += ["--extra", extra]
        if name != first:
            command += ["--constraint", first]
        if call(command) != 0:
            raise TaskError(f"{name} could not be compiled: see above")
        say(f"compiled {name}")
    return 0


TASKS = {
    task.__name__: task
    for task in (lab, report, test, bench, docs, wheelhouse, clean, lock)
}


def main(arguments):
    """Runs a task and returns the exit status."""
    if not arguments or arguments[0] in ("help", "-h", "--help"):
        print(USAGE, end="")
        return 0 if arguments else 2
    name, rest = arguments[0], arguments[1:]
    try:
        if name not in TASKS:
            raise TaskError(
                f"unknown task {name!r}: expected one of {', '.join(TASKS)}",
                status=2,
            )
        return TASKS[name](parse(rest, os.environ))
    except TaskError as error:
        print(f"tasks: error: {error}", file=sys.stderr)
        return error.status
    except OSError as error:
        print(f"tasks: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("tasks: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
