import json
import os
import subprocess
import sys
from types import SimpleNamespace

import nbformat
import pytest
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.exceptions import PapermillExecutionError
from report_samples import RECORD, runs_of, write_fake

from attnlib.report import run_job

KERNEL_FILES = "import json, os, sys, pathlib\n"


def run(root, *arguments, **environment):
    """Run a job of a checkout as the workflow does."""
    clean = {k: v for k, v in os.environ.items() if k != "ATTNLIB_REPORTS"}
    return subprocess.run(
        [sys.executable, "-P", "attnlib/report/run_job.py", *arguments],
        cwd=root,
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_a_run_publishes_the_result_and_the_executed_notebook(
    checkout, tmp_path
):
    write_fake(
        checkout, "00", "import sys, os\nprint(sys.executable, os.getcwd())"
    )
    # A kernel of that name in HOME, as other projects leave one.
    spec = tmp_path / "home" / ".local/share/jupyter/kernels/python3"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(
        json.dumps({"argv": ["/no/such/python"], "display_name": "wrong"})
    )
    ran = run(checkout, "00-s0", HOME=str(tmp_path / "home"))
    assert ran.returncode == 0, ran.stderr
    folder = checkout / "reports" / "quick"
    result = json.loads((folder / "results" / "00-s0.json").read_text())
    assert result["records"] == [{"id": "x", "value": 1}]
    assert result["run"]["parameters"] == {"profile": "quick", "seed": 0}
    notebook = nbformat.read(folder / "notebooks" / "00-s0.ipynb", 4)
    printed = notebook.cells[-2].outputs[0].text.split()
    assert printed == [sys.executable, str(checkout / "notebooks")]
    assert not [p for p in folder.rglob(".*") if p.is_file()]
    assert not (folder / "failed").exists()

    again = run(checkout, "00-s0")
    assert "done already" in again.stdout
    assert runs_of(checkout, "00") == 1


def test_a_failed_run_keeps_its_copy_and_leaves_earlier_results(checkout):
    write_fake(checkout, "00", "raise ValueError('the <reason>')")
    folder = checkout / "reports" / "quick"
    (folder / "results").mkdir(parents=True)
    (folder / "results" / "00-s0.json").write_text('{"records": [1]}')
    ran = run(checkout, "00-s0")
    assert ran.returncode == 1
    assert "FAILED (cell failed): ValueError: the <reason>" in ran.stderr
    failure = json.loads((folder / "failed" / "00-s0.json").read_text())
    assert failure["kind"] == "cell failed"
    assert "the <reason>" in failure["details"]
    failed = nbformat.read(folder / "failed" / "00-s0.ipynb", 4)
    kinds = [o.output_type for c in failed.cells for o in c.get("outputs", [])]
    assert "error" in kinds
    assert not list((folder / "notebooks").iterdir())
    kept = [p.name for p in (folder / "results").iterdir()]
    assert kept == ["00-s0.json"]
    assert runs_of(checkout, "00") == 1  # a failed cell is not tried twice

    write_fake(checkout, "00", "pass")
    assert run(checkout, "00-s0").returncode == 0
    assert not (folder / "failed" / "00-s0.json").exists()
    assert not (folder / "failed" / "00-s0.ipynb").exists()


def test_unknown_names_are_one_clear_error(checkout):
    ran = run(checkout, "99-s0")
    assert ran.returncode == 1
    assert ran.stderr.count("\n") == 1 and "expected notebook" in ran.stderr
    ran = run(checkout, "00-s0", "--profile", "quik")
    assert ran.returncode == 1 and "Did you mean 'quick'?" in ran.stderr


def test_a_parameter_that_the_notebook_lacks_is_an_error(checkout):
    write_fake(checkout, "00", "pass", parameters="profile = None")
    path = checkout / "notebooks" / "00_motivation.ipynb"
    run_job.check_parameters(path, {"profile": "quick"})
    with pytest.raises(run_job.JobError, match="no parameter sead, seed"):
        run_job.check_parameters(path, {"profile": "q", "seed": 0, "sead": 0})


def test_a_missing_or_broken_notebook_is_an_error(tmp_path):
    with pytest.raises(run_job.JobError, match="there is no notebook"):
        run_job.check_parameters(tmp_path / "none.ipynb", {})
    (tmp_path / "broken.ipynb").write_text("{")
    with pytest.raises(run_job.JobError, match="is no notebook"):
        run_job.check_parameters(tmp_path / "broken.ipynb", {})


@pytest.fixture
def attempts(monkeypatch):
    """Replace papermill by a list of errors to raise, one per attempt."""
    errors, calls = [], []

    def execute_notebook(*args, **options):
        calls.append(options)
        if errors:
            raise errors.pop(0)

    monkeypatch.setattr(run_job, "check_parameters", lambda *a: None)
    monkeypatch.setattr(run_job.papermill, "execute_notebook", execute_notebook)
    return SimpleNamespace(errors=errors, calls=calls)


def execute(tmp_path):
    run_job.execute(tmp_path / "a.ipynb", tmp_path / "b.ipynb", {}, 60, {})


def test_a_kernel_that_does_not_start_is_tried_once_more(attempts, tmp_path):
    attempts.errors.append(run_job.KernelStartError("port taken"))
    execute(tmp_path)
    assert len(attempts.calls) == 2


def test_a_kernel_that_never_starts_fails_after_two(attempts, tmp_path):
    attempts.errors += [run_job.KernelStartError("port taken")] * 3
    with pytest.raises(run_job.JobError, match="did not start, twice") as info:
        execute(tmp_path)
    assert info.value.kind == "kernel did not start"
    assert len(attempts.calls) == 2


@pytest.mark.parametrize(
    "error, kind",
    [
        (CellTimeoutError("slow"), "timeout"),
        (DeadKernelError("dead"), "kernel died"),
        (
            PapermillExecutionError(0, 1, "src", "ValueError", "bad", ["tb"]),
            "cell failed",
        ),
    ],
)
def test_nothing_else_is_tried_twice(attempts, tmp_path, error, kind):
    attempts.errors.append(error)
    with pytest.raises(run_job.JobError) as info:
        execute(tmp_path)
    assert info.value.kind == kind
    assert len(attempts.calls) == 1


@pytest.mark.filterwarnings("default")
def test_the_time_limit_is_for_the_whole_notebook(checkout, tmp_path):
    write_fake(checkout, "00", "import time\ntime.sleep(120)")
    with pytest.raises(run_job.JobError, match="longer than 4 s") as info:
        run_job.execute(
            checkout / "notebooks" / "00_motivation.ipynb",
            tmp_path / "out.ipynb",
            {"profile": "quick"},
            4,
            {},
        )
    assert info.value.kind == "timeout"
    assert (tmp_path / "out.ipynb").exists()


@pytest.mark.parametrize(
    "text, message",
    [
        (None, "recorded no result"),
        ("{", "no sound JSON"),
        ('{"records": []}', "recorded no result"),
        ("[]", "no sound JSON"),
    ],
)
def test_a_job_that_recorded_nothing_is_a_failure(tmp_path, text, message):
    path = tmp_path / "records.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(run_job.JobError, match=message):
        run_job.collect(path, {})


def test_the_smoke_profile_may_have_nothing_to_record(tmp_path):
    run = {"job": "06-s0"}
    result = run_job.collect(tmp_path / "none.json", run, required=False)
    assert result["records"] == [] and result["run"] == run


def test_the_record_of_a_fake_is_what_the_runner_expects():
    assert "ATTNLIB_RESULT_FILE" in RECORD
