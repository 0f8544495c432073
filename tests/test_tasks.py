"""tasks.py: checked variables, environments made once, a careful clean."""

import ast
import contextlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


tasks = load("attnlib_tasks", ROOT / "tasks.py")


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """An empty checkout with a lock, in which nothing real can be harmed."""
    monkeypatch.setattr(tasks, "ROOT", tmp_path)
    (tmp_path / "requirements.txt").write_text("keras==3.15.1\n")
    return tmp_path


@pytest.fixture
def calls(monkeypatch):
    """Records commands instead of running them; statuses by a word in them."""

    def call(command, env=None, quiet=False, cwd=None):
        command = [str(part) for part in command]
        recorded.append(command)
        if command[1:3] == ["-m", "venv"]:
            python = tasks.python_of(Path(command[-1]))
            python.parent.mkdir(parents=True)
            python.touch()
        return next(
            (recorded.status[w] for w in recorded.status if w in command), 0
        )

    class Recorded(list):
        status = {}

    recorded = Recorded()
    monkeypatch.setattr(tasks, "call", call)
    monkeypatch.setattr(tasks, "_link_checkout", lambda folder: None)
    return recorded


# --- Old and new Pythons -----------------------------------------------------


def test_syntax_is_that_of_python_3_6():
    ast.parse((ROOT / "tasks.py").read_text(), feature_version=(3, 6))


@pytest.mark.parametrize("version", [(3, 6), (3, 10), (3, 14)])
def test_other_pythons_get_one_sentence(version):
    body = ast.parse((ROOT / "tasks.py").read_text()).body
    guard = next(i for i, n in enumerate(body) if isinstance(n, ast.If))
    imports = [n for n in body[:guard] if isinstance(n, ast.Import)]
    assert [alias.name for n in imports for alias in n.names] == ["sys"]
    code = (
        "import sys; path = sys.argv[1]; "
        f"sys.version_info = {(*version, 0, 'final', 0)!r}; "
        "exec(compile(open(path).read(), path, 'exec'))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, ROOT / "tasks.py"],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1
    assert "needs Python 3.11, 3.12 or 3.13" in run.stderr
    assert "{}.{}".format(*version) in run.stderr
    assert "Traceback" not in run.stderr


# --- Variables ---------------------------------------------------------------


def test_defaults():
    options = tasks.parse([], {})
    assert (options.profile, options.backend, options.device) == (
        "quick",
        "tensorflow",
        "cpu",
    )
    assert options.only == () and options.seeds is None and not options.force


def test_arguments_win_over_the_environment():
    environ = {"PROFILE": "paper", "BACKEND": "jax", "ONLY": "", "HOME": "/"}
    options = tasks.parse(["PROFILE=smoke", "PYTHON=python3"], environ)
    assert (options.profile, options.backend) == ("smoke", "jax")
    assert options.given == {"PROFILE", "BACKEND"}


def test_values():
    options = tasks.parse(
        ["ONLY=06,02 06", "SEEDS=3", "JOBS=2", "FORCE=1", "VENV=none"], {}
    )
    assert options.only == ("06", "02")
    assert (options.seeds, options.jobs) == (3, 2)
    assert options.force and not options.venv


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("PROFILE=fast", "unknown PROFILE=fast: expected smoke or quick"),
        ("BACKEND=theano", "expected tensorflow or jax"),
        ("DEVICE=tpu", "expected cpu or gpu"),
        ("DEVICES=8", "expected 1 or all"),
        ("ONLY=06 99", "unknown notebook '99'"),
        ("SEEDS=three", "SEEDS=three is not a count"),
        ("SEEDS=0", "expected a whole number from 1"),
        ("JOBS=-1", "JOBS=-1 is not a count"),
        ("JOBS=1.5", "JOBS=1.5 is not a count"),
        ("FORCE=yes", "expected 0 or 1"),
        ("PROFIL=smoke", "unknown argument 'PROFIL=smoke'"),
        ("smoke", "expected NAME=VALUE"),
    ],
)
def test_bad_arguments_get_one_sentence(argument, message, capsys):
    assert tasks.main(["report", argument]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("tasks: error: ") and error.count("\n") == 1


def test_unknown_task(capsys):
    assert tasks.main(["repotr"]) == 2
    assert "expected one of lab, report" in capsys.readouterr().err


def test_help_names_every_task_and_variable(capsys):
    assert tasks.main(["help"]) == 0
    text = capsys.readouterr().out
    for name in (*tasks.TASKS, *tasks.VARIABLES):
        assert f"\n  {name} " in text
    assert tasks.main([]) == 2


def test_docs_draws_the_reference(calls, monkeypatch):
    monkeypatch.setattr(tasks, "_check_modules", lambda *arguments: None)
    assert tasks.main(["docs", "VENV=none"]) == 0
    assert calls[-1][1:] == ["-m", "attnlib", "docs"]


@pytest.mark.skipif(not shutil.which("make"), reason="no make")
def test_make_hands_its_variables_over():
    run = subprocess.run(
        ["make", "report", "PYTHON=echo", "ONLY=06 07", "PROFIL=a b"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    words = run.stdout.strip()
    assert words.startswith("tasks.py report ")
    assert "ONLY=06 07" in words and "PROFIL=a b" in words


# --- Environments ------------------------------------------------------------


def test_environment_is_made_once(checkout, calls, monkeypatch):
    monkeypatch.setattr(tasks, "find_uv", lambda: None)
    python = tasks.environment(".venv", "requirements.txt")
    assert python.exists()
    assert any("--require-hashes" in command for command in calls)
    assert not any("index" in part for command in calls for part in command)
    calls.clear()
    assert tasks.environment(".venv", "requirements.txt") == python
    assert calls == []


@pytest.mark.parametrize("harm", ["lock", "stamp", "python", "half", "moved"])
def test_environment_is_made_anew(checkout, calls, harm):
    python = tasks.environment(".venv", "requirements.txt")
    stamp = checkout / ".venv" / tasks.STAMP
    if harm == "lock":
        (checkout / "requirements.txt").write_text("keras==3.15.2\n")
    elif harm == "stamp":
        stamp.write_text("{")
    elif harm == "python":
        python.unlink()
    elif harm == "half":
        stamp.unlink()
    else:
        found = json.loads(stamp.read_text())
        stamp.write_text(json.dumps({**found, "path": "/elsewhere"}))
    calls.clear()
    (checkout / ".venv" / "stale").touch()
    tasks.environment(".venv", "requirements.txt")
    assert calls
    assert not (checkout / ".venv" / "stale").exists()


def test_failed_installation_is_never_used(checkout, calls, monkeypatch):
    monkeypatch.setattr(tasks, "find_uv", lambda: None)
    calls.status = {"--require-hashes": 1}
    for _ in range(2):
        with pytest.raises(tasks.TaskError, match="failed with status 1"):
            tasks.environment(".venv", "requirements.txt")
    calls.status = {}
    calls.clear()
    tasks.environment(".venv", "requirements.txt")
    assert calls


def test_pip_follows_a_failed_uv(checkout, calls, monkeypatch):
    monkeypatch.setattr(tasks, "find_uv", lambda: "/bin/uv")
    calls.status = {"/bin/uv": 2}
    tasks.environment(".venv", "requirements.txt")
    installs = [c for c in calls if "--require-hashes" in c]
    assert installs[0][0] == "/bin/uv"
    assert installs[1][1:4] == ["-m", "pip", "install"]


def test_no_pip_gets_one_sentence(checkout, calls, monkeypatch):
    monkeypatch.setattr(tasks, "find_uv", lambda: None)
    calls.status = {"ensurepip": 1}
    with pytest.raises(tasks.TaskError, match="apt install python3-venv"):
        tasks.environment(".venv", "requirements.txt")


def test_second_run_waits_for_the_first(checkout, monkeypatch):
    waiting = threading.Event()
    monkeypatch.setattr(tasks, "say", lambda message: waiting.set())
    order = []

    def second():
        with tasks.locked(checkout / ".venv.lock"):
            order.append("second")

    thread = threading.Thread(target=second)
    with tasks.locked(checkout / ".venv.lock"):
        thread.start()
        assert waiting.wait(60)
        order.append("first")
    thread.join(60)
    assert order == ["first", "second"]


@pytest.mark.skipif(os.name == "nt", reason="flock is of POSIX")
def test_orphaned_installer_keeps_the_lock(checkout):
    import fcntl

    path = checkout / ".venv.lock"
    with tasks.locked(path):
        code = "import sys; sys.stdin.read()"
        orphan = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            close_fds=False,
        )
    with path.open() as handle:
        with pytest.raises(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        orphan.communicate()
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_environments_have_locks():
    locks = {lock for _, lock in tasks.ENVIRONMENTS.values()}
    assert {*locks, tasks.DEVELOPMENT[1]} == set(tasks.LOCKS)
    for lock in tasks.LOCKS:
        assert (ROOT / lock).exists()


def test_gpu_needs_linux(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(tasks.TaskError, match="needs Linux"):
        tasks.environment_for(tasks.parse(["DEVICE=gpu"], {}))


# --- Running -----------------------------------------------------------------


def test_run_environ_chooses_backend_and_device(monkeypatch):
    monkeypatch.setenv("MAKEFLAGS", " -- ONLY=06")
    monkeypatch.setenv("ONLY", "06")
    python = Path(sys.executable)
    env = tasks.run_environ(python, tasks.parse(["BACKEND=jax"], {}), X="1")
    assert env["KERAS_BACKEND"] == "jax" and env["X"] == "1"
    assert env["CUDA_VISIBLE_DEVICES"] == "" and env["JAX_PLATFORMS"] == "cpu"
    assert env["PATH"].startswith(str(python.parent))
    assert env["PYTHONPATH"].startswith(str(ROOT))
    assert "MAKEFLAGS" not in env and "ONLY" not in env


def test_run_environ_keeps_large_arrays_in_the_heap(monkeypatch):
    python, options = Path(sys.executable), tasks.parse([], {})
    env = tasks.run_environ(python, options)
    assert int(env["MALLOC_MMAP_THRESHOLD_"]) <= 32 * 2**20
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1")
    assert tasks.run_environ(python, options)["MALLOC_TRIM_THRESHOLD_"] == "1"


def test_run_environ_shows_the_gpu(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    options = tasks.parse(["DEVICE=gpu"], {})
    env = tasks.run_environ(Path(sys.executable), options)
    assert env["ATTNLIB_DEVICE"] == "gpu" and env["ATTNLIB_DEVICES"] == "1"
    assert "CUDA_VISIBLE_DEVICES" not in env


def test_run_environ_asks_for_all_devices():
    options = tasks.parse(["DEVICES=all", "BACKEND=jax"], {})
    env = tasks.run_environ(Path(sys.executable), options)
    assert env["ATTNLIB_DEVICES"] == "all" and "DEVICES" not in env


def test_gpu_that_cannot_be_used_stops_the_run(calls, monkeypatch):
    monkeypatch.setattr(tasks, "environment_for", lambda options: Path("py"))
    calls.status = {"-c": 1}
    with pytest.raises(tasks.TaskError, match="no GPU could be used"):
        tasks.report(tasks.parse(["DEVICE=gpu"], {}))
    assert len(calls) == 1


def test_bare_python_that_lacks_packages(monkeypatch):
    options = tasks.parse(["VENV=none"], {})
    env = {**os.environ, "PYTHONPATH": ""}
    with pytest.raises(tasks.TaskError, match="lacks tensorflow, keras"):
        # -I -S: a Python without any packages.
        python = _bare_python(monkeypatch)
        tasks._check_modules(python, options, env)


def _bare_python(monkeypatch):
    run = subprocess.run

    def bare(command, **kwargs):
        return run([command[0], "-I", "-S", *command[1:]], **kwargs)

    monkeypatch.setattr(subprocess, "run", bare)
    return Path(sys.executable)


def test_report_draws_even_when_jobs_failed(calls, monkeypatch, capsys):
    monkeypatch.delenv("ATTNLIB_REPORTS", raising=False)
    monkeypatch.setattr(tasks, "prepare", lambda options: (Path("py"), {}))
    calls.status = {"snakemake": 1}
    arguments = ["PROFILE=smoke", "ONLY=06", "SEEDS=3", "JOBS=2", "FORCE=1"]
    assert tasks.report(tasks.parse(arguments, {})) == 1
    run, draw = calls
    assert run[run.index("--cores") + 1] == "2"
    assert run[run.index("--config") + 1 :] == [
        "profile=smoke",
        "only='06'",
        "seeds=3",
        "force=1",
    ]
    assert draw[1:] == ["-m", "attnlib", "report", "--profile", "smoke"]
    out = capsys.readouterr().out
    assert str(Path("reports", "smoke", "index.html")) in out
    assert "some jobs failed" in out


def test_the_scoreboard_is_drawn_although_jobs_failed(calls, monkeypatch):
    monkeypatch.setattr(tasks, "prepare", lambda options: (Path("py"), {}))
    calls.status = {"snakemake": 1}
    assert tasks.report(tasks.parse(["PROFILE=smoke", "SEEDS=3"], {})) == 1
    run, again, draw = calls
    assert run[-2:] == ["profile=smoke", "seeds=3"]
    assert again[-3:] == ["profile=smoke", "only='16'", "seeds=3"]
    assert "report" in draw
    calls.clear()
    calls.status = {}
    assert tasks.report(tasks.parse(["PROFILE=smoke"], {})) == 0
    assert len(calls) == 2


JUNIT = """<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite name="pytest" tests="7" failures="1" errors="1"
skipped="2" /></testsuites>"""


def test_checks_are_counted(tmp_path, monkeypatch, capsys):
    def call(command, env=None):
        xml = next((c for c in map(str, command) if "junitxml" in c), None)
        if xml:
            Path(xml.partition("=")[2]).write_text(JUNIT)
        return 1

    monkeypatch.setattr(tasks, "call", call)
    units = tasks._check("units", ["py", "-m", "pytest"], {}, tmp_path)
    assert (units.passed, units.failed, units.skipped) == (3, 2, 2)
    ruff = tasks._check("ruff", ["py", "-m", "ruff"], {}, tmp_path)
    assert (ruff.passed, ruff.failed) == (0, 1)
    assert tasks._summary([units, ruff]) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "3 passed, 3 failed, 2 skipped"


def test_crash_of_pytest_is_a_failure(tmp_path, monkeypatch):
    monkeypatch.setattr(tasks, "call", lambda command, env=None: 3)
    check = tasks._check("units", ["py", "-m", "pytest"], {}, tmp_path)
    assert check.failed == 1


def test_backend_free_tests_exist_or_are_planned():
    for path in tasks.BACKEND_FREE:
        assert path.startswith("tests/")
    assert "tests/test_tasks.py" in tasks.BACKEND_FREE


# --- Clean -------------------------------------------------------------------

KEPT = (
    "data/README.md",
    "data/cache/mnist.npz",
    "reports/paper/results/06-g6-s0.json",
    "reports/paper/index.html",
    "attnlib/paths.py",
    "notebooks/00_motivation.ipynb",
    "requirements.txt",
)
REMOVED = (
    ".venv/bin/python",
    ".venv-jax/bin/python",
    ".venv.lock",
    ".ruff_cache/a",
    ".snakemake/log",
    "reports/smoke/index.html",
    "reports/quick/results/06-s0.json",
    "attnlib/__pycache__/paths.pyc",
    "notebooks/.ipynb_checkpoints/a.ipynb",
    "wheelhouse/a.whl",
)


def test_clean_keeps_data_and_paper_results(checkout):
    for name in (*KEPT, *REMOVED):
        path = checkout / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert tasks.clean(tasks.parse([], {})) == 0
    assert [name for name in KEPT if not (checkout / name).exists()] == []
    assert [name for name in REMOVED if (checkout / name).exists()] == []
    assert tasks.clean(tasks.parse([], {})) == 0


def test_clean_does_not_follow_links(checkout, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "precious").touch()
    (checkout / "build").symlink_to(outside)
    with contextlib.suppress(FileExistsError):
        (checkout / "reports").mkdir()
    (checkout / "reports" / "quick").symlink_to(outside)
    tasks.clean(tasks.parse([], {}))
    assert (outside / "precious").exists()
    assert not (checkout / "build").is_symlink()


# --- The offline machine's wheels --------------------------------------------


def test_wheelhouse_reads_locks_for_the_machine(tmp_path):
    wheelhouse = load("attnlib_wheelhouse", ROOT / "tools" / "wheelhouse.py")
    lock = tmp_path / "lock.txt"
    lock.write_text(
        "# header\n"
        "aiohttp==3 ; python_full_version == '3.12.*' \\\n"
        "    --hash=sha256:aa \\\n    --hash=sha256:bb\n"
        "    # via\n    #   -c requirements-dev.txt\n    #   papermill\n"
        "colorama==1 ; sys_platform == 'win32' \\\n    --hash=sha256:cc\n"
        "    # via tqdm\n"
    )
    texts, needs = wheelhouse.read_lock(lock)
    assert texts == {
        "aiohttp": "aiohttp==3 \\\n    --hash=sha256:aa \\\n"
        "    --hash=sha256:bb"
    }
    assert needs["papermill"] == {"aiohttp"}
    found = wheelhouse.with_dependencies(["papermill"], lambda n: needs[n])
    assert found == {"papermill", "aiohttp"}


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("a-1-py3-none-any.whl", True),
        ("a-1-cp312-cp312-manylinux_2_28_x86_64.whl", True),
        ("a-1-cp312-cp312-win_amd64.whl", False),
        ("a-1-cp312-cp312-manylinux_2_28_aarch64.whl", False),
    ],
)
def test_wheelhouse_notices_foreign_wheels(name, fits):
    wheelhouse = load("attnlib_wheelhouse", ROOT / "tools" / "wheelhouse.py")
    assert wheelhouse.fits(name) == fits
