"""Recording: what is written, where, and what is refused."""

import errno
import json
import os
import subprocess
import sys
import textwrap
import warnings
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from attnlib import _spent, claims, paths
from attnlib.claims import records

ERROR = "ram/mnist-28x28/6-glimpses/test-error"
ORDER = "ram/digits28/learned-vs-random/ordering"
QUICK = "ram/digits28/6-glimpses/test-error"
MNIST = {"name": "mnist", "digest": "0123456789abcdef", "description": ""}


def _begin(seed=0, setting="g6", profile="paper", data=None):
    claims.begin("06", profile, seed, setting, data=data)


def _file(reports, name, profile="paper"):
    return reports / profile / "results" / f"{name}.json"


def test_a_record_says_where_it_comes_from(reports):
    import attnlib

    _begin(seed=2, data=MNIST)
    claims.record(ERROR, np.float32(1.25), seconds=90, note="one sample")
    tree = json.loads(_file(reports, "06-g6-s2").read_text())
    assert tree["schema"] == claims.RESULT_SCHEMA
    assert tree["job"] == {
        "name": "06-g6-s2",
        "notebook": "06",
        "profile": "paper",
        "setting": "g6",
        "seed": 2,
    }
    (entry,) = tree["records"]
    started = datetime.fromisoformat(entry.pop("started"))
    assert started <= datetime.fromisoformat(entry.pop("finished"))
    versions = entry.pop("versions")
    assert {"python", "attnlib", "numpy", "keras"} < set(versions)
    assert entry == {
        "id": ERROR,
        "value": 1.25,
        "unit": "%",
        "seconds": 90.0,
        "note": "one sample",
        "data": MNIST,
        "profile": "paper",
        "notebook": "06",
        "setting": "g6",
        "seed": 2,
        "backend": attnlib.backend(),
        "device": attnlib.device(),
        "revision": records.revision(),
    }


def test_a_job_is_one_file_in_a_stable_order(reports):
    _begin(setting=None, profile="quick")
    claims.record(ORDER, True)
    claims.record(QUICK, 2.5)
    claims.record(ORDER, False)  # again: replaces
    (path,) = (reports / "quick" / "results").iterdir()
    assert path.name == "06-s0.json"
    found = json.loads(path.read_text())["records"]
    assert [(r["id"], r["value"]) for r in found] == [
        (QUICK, 2.5),
        (ORDER, False),
    ]


def test_begin_forgets_the_earlier_run(reports):
    _begin(setting=None, profile="quick")
    claims.record(ORDER, True)
    _begin(setting=None, profile="quick")
    claims.record(QUICK, 2.5)
    found = json.loads(_file(reports, "06-s0", "quick").read_text())
    assert [r["id"] for r in found["records"]] == [QUICK]


def test_without_begin_the_claim_says_the_notebook(reports, monkeypatch):
    claims.record(QUICK, 2)
    claims.record(ORDER, True)
    monkeypatch.setenv("ATTNLIB_PROFILE", "smoke")
    claims.record("cost/conv-vs-ram/crossover/side", 143)
    quick = json.loads(_file(reports, "06-s0", "quick").read_text())
    assert len(quick["records"]) == 2
    assert _file(reports, "00-s0", "smoke").is_file()


def test_a_job_may_record_claims_of_another_notebook(reports):
    _begin()
    claims.record("cost/conv-vs-ram/crossover/side", 143)
    claims.record(ERROR, 1)
    found = json.loads(_file(reports, "06-g6-s0").read_text())["records"]
    assert [r["notebook"] for r in found] == ["06", "06"]


def test_seconds_count_from_begin():
    _begin()
    claims.record(ERROR, 1)
    (entry,) = records.read_results("paper")
    assert 0 <= entry["seconds"] < 60


def test_seconds_count_what_cached_trainings_took():
    _spent.note("model", 5.0)
    _begin()
    # Of a training that this process continues only the part before it.
    for folder, taken in (("soft", 1000), ("soft", 1200), ("new", 0)):
        _spent.note(folder, taken)
    claims.record(ERROR, 1)
    (entry,) = records.read_results("paper")
    assert 1000 <= entry["seconds"] < 1060


def test_the_workflow_names_the_file(reports, monkeypatch, tmp_path):
    target = tmp_path / "elsewhere" / "job.json"
    monkeypatch.setenv("ATTNLIB_RESULT_FILE", str(target))
    _begin()
    claims.record(ERROR, 1)
    assert target.is_file() and not reports.exists()


def test_a_registered_data_set_brings_its_digest():
    from attnlib import datasets

    _begin(setting=None, profile="quick", data="digits28")
    claims.record(QUICK, 2)
    claims.record(ORDER, True, data="digits on a table")
    order, error = sorted(
        records.read_results("quick"), key=lambda r: r["id"] == QUICK
    )
    assert error["data"]["digest"] == datasets.digest("digits28")
    assert order["data"] == {
        "name": "digits on a table",
        "digest": "",
        "description": "",
    }


@pytest.mark.parametrize(
    ("id", "value", "message"),
    [
        (ERROR, float("nan"), "finite"),
        (ERROR, np.inf, "finite"),
        (ERROR, True, "expected a number in %"),
        (ERROR, np.True_, "expected a number in %"),
        (ERROR, "1.2", "expected a number in %"),
        (ERROR, None, "expected a number in %"),
        (ERROR, np.array([1.2, 1.3]), "expected a number in %"),
        (ERROR, 101, "from 0 to 100"),
        (ERROR, -0.5, "from 0 to 100"),
        (ORDER, 1, "True or False"),
        (ORDER, 1.0, "True or False"),
        (ORDER, None, "True or False"),
        ("ram/digits28/learned-vs-randm/ordering", True, "Did you mean"),
        ("ram/mnist-28x28/6-glimpses-arxiv/test-error", 1, f"record {ERROR}"),
        (
            "ram/mnist-28x28/more-glimpses-help/ordering",
            True,
            "record ram/mnist-28x28/2-glimpses/test-error, ",
        ),
    ],
)
def test_a_wrong_value_leaves_no_file(reports, id, value, message):
    _begin()
    with pytest.raises(ValueError, match=message):
        claims.record(id, value)
    assert not reports.exists()


@pytest.mark.parametrize("value", [np.True_, np.array(True), True])
def test_an_ordering_takes_numpy_booleans(value):
    _begin()
    claims.record(ORDER, value)
    assert records.read_results("paper")[0]["value"] is True


@pytest.mark.parametrize("value", [2, np.int64(2), np.float16(2), np.array(2)])
def test_a_number_takes_numpy_scalars(value):
    _begin()
    claims.record(ERROR, value)
    assert records.read_results("paper")[0]["value"] == 2.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seconds": -1}, "seconds"),
        ({"seconds": float("nan")}, "seconds"),
        ({"seconds": True}, "seconds"),
        ({"note": 3}, "note"),
        ({"data": 3}, "data"),
        ({"data": {}}, "data"),
        ({"data": {"name": "x", "sha": "y"}}, "data"),
        ({"data": {"name": "x", "digest": 3}}, "digest"),
    ],
)
def test_wrong_arguments_of_record(arguments, message):
    _begin()
    with pytest.raises(ValueError, match=f"expected {message}"):
        claims.record(ERROR, 1, **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"notebook": 6}, "two digits"),
        ({"notebook": "six"}, "two digits"),
        ({"profile": "full"}, "profile"),
        ({"seed": -1}, "seed"),
        ({"seed": True}, "seed"),
        ({"seed": 1.0}, "seed"),
        ({"setting": 6}, "setting"),
        ({"setting": "../g6"}, "setting"),
        ({"data": ["mnist"]}, "data"),
    ],
)
def test_wrong_arguments_of_begin(arguments, message):
    with pytest.raises(ValueError, match=message):
        claims.begin(**{"notebook": "06", "profile": "paper"} | arguments)


@pytest.mark.parametrize(
    ("name", "code"), [("fsync", errno.ENOSPC), ("replace", errno.EROFS)]
)
def test_a_full_or_read_only_disk(reports, monkeypatch, name, code):
    _begin()
    claims.record(ERROR, 1.5)
    path = _file(reports, "06-g6-s0")
    before = path.read_bytes()

    def fail(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, name, fail)
        with pytest.raises(OSError, match="ATTNLIB_REPORTS") as error:
            claims.record(ERROR, 1.4)
    assert str(path) in str(error.value) and error.value.errno == code
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
    claims.record(ERROR, 1.3)  # there is room again
    assert records.read_results("paper")[0]["value"] == 1.3


def test_a_file_in_the_place_of_the_folder(reports):
    reports.parent.mkdir(exist_ok=True)
    reports.write_text("not a folder")
    _begin()
    with pytest.raises(OSError, match="ATTNLIB_REPORTS"):
        claims.record(ERROR, 1)


# Reading back


def _good(reports):
    _begin()
    claims.record(ERROR, 1.5)
    return _file(reports, "06-g6-s0")


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: "",
        lambda tree: "{",
        lambda tree: "[]",
        lambda tree: "null",
        lambda tree: "[" * 100_000,
        lambda tree: json.dumps(tree | {"schema": 0}),
        lambda tree: json.dumps(tree | {"records": {}}),
        lambda tree: json.dumps(tree | {"records": [1]}),
        *(
            lambda tree, key=key: json.dumps(
                tree
                | {"records": [tree["records"][0] | {key: ["not", "that"]}]}
            )
            for key in (
                "id",
                "value",
                "seed",
                "seconds",
                "data",
                "note",
                "finished",
                "device",
            )
        ),
        lambda tree: json.dumps(tree).replace("1.5", "NaN"),
    ],
)
def test_a_damaged_file_is_named_and_kept_aside(reports, change):
    path = _good(reports)
    text = change(json.loads(path.read_text()))
    path.write_text(text)
    with pytest.warns(UserWarning, match=f"{path}.*kept as .*corrupt"):
        assert records.read_results("paper") == []
    assert not path.exists()
    assert path.with_name(path.name + ".corrupt").read_text() == text
    assert records.read_results("paper") == []  # and says so only once


def test_bytes_that_are_no_text(reports):
    path = _good(reports)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.warns(UserWarning, match="is not a result file"):
        assert records.read_results("paper") == []


def test_a_damaged_file_that_cannot_be_renamed(reports, monkeypatch):
    path = _good(reports)
    path.write_text("{")

    def fail(path):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(paths, "set_aside", fail)
    with pytest.warns(UserWarning, match="could not be renamed"):
        assert records.read_results("paper") == []


def test_files_that_are_no_results_are_left_alone(reports):
    path = _good(reports)
    (path.parent / ".06-g6-s0.json.x.part").write_text("{")
    (path.parent / "notes.txt").write_text("mine")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(records.read_results("paper")) == 1
    assert len(list(path.parent.iterdir())) == 3


# The git revision


def _git(folder, *arguments):
    subprocess.run(
        ["git", "-C", folder, "-c", "user.name=T", "-c", "user.email=t@t"]
        + list(arguments),
        check=True,
        capture_output=True,
    )


def test_the_revision_knows_changes_that_count(tmp_path, monkeypatch):
    for name in ("attnlib", "notebooks", "reports"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("1")
    monkeypatch.setattr(paths, "root", lambda: tmp_path)
    assert records.revision() == "unknown"  # a folder outside git
    _git(tmp_path, "init", "-q")
    assert records.revision() == "unknown"  # no commit yet
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "-q", "-m", "first")
    clean = records.revision()
    assert len(clean) == 12 and int(clean, 16) >= 0
    (tmp_path / "reports" / "file").write_text("2")
    (tmp_path / "attnlib" / "untracked").write_text("2")
    assert records.revision() == clean
    (tmp_path / "notebooks" / "file").write_text("2")
    assert records.revision() == f"{clean}-dirty"


def test_the_revision_without_git_or_checkout(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "root", lambda: None)
    assert records.revision() == "unknown"
    monkeypatch.setattr(paths, "root", lambda: tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert records.revision() == "unknown"


# Several processes

# A stand-in for the package, so that the child starts in no time; it also
# shows that claims needs no backend to be imported.
CHILD = """
    import sys, types
    package = types.ModuleType("attnlib")
    package.__path__ = [sys.argv[1]]
    package.__version__ = "0"
    package.backend = lambda: "numpy"
    package.device = lambda: "CPU"
    sys.modules["attnlib"] = package
    from attnlib import claims
    assert "keras" not in sys.modules
    seed = int(sys.argv[2])
    claims.begin("06", "paper", seed, "g6")
    for step in range(40):
        claims.record("ram/mnist-28x28/6-glimpses/test-error", step)
"""


def test_two_jobs_at_once():
    package = str(Path(records.__file__).parents[1])
    children = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(CHILD), package, seed]
        )
        for seed in "01"
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a half-written file would warn
        while any(child.poll() is None for child in children):
            records.read_results("paper")
    assert [child.returncode for child in children] == [0, 0]
    found = records.read_results("paper")
    assert [(r["seed"], r["value"]) for r in found] == [(0, 39), (1, 39)]
