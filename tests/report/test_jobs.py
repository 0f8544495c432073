import json
import os

import nbformat
import pytest
from report_samples import sample_notebook

from attnlib.report import jobs


@pytest.fixture
def notebooks(tmp_path, monkeypatch):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    monkeypatch.setattr(jobs, "NOTEBOOKS", folder)
    nbformat.write(sample_notebook(), folder / "06_recurrent_glimpses.ipynb")
    return folder


def finish(job, **changes):
    """Write what a finished run leaves."""
    files = jobs.Files(job)
    for path in (files.result, files.executed):
        path.parent.mkdir(parents=True, exist_ok=True)
    files.executed.touch()
    run = {"fingerprint": jobs.fingerprint(job), "finished": 100.0}
    files.result.write_text(json.dumps({"records": [], "run": run | changes}))
    return files


@pytest.mark.parametrize(
    "config, names",
    [
        ({"profile": "quick", "only": 6}, ["06-s0"]),
        ({"profile": "quick", "only": "06 00"}, ["00-s0", "06-s0"]),
        ({"profile": "quick", "only": "06", "seeds": 2}, ["06-s0", "06-s1"]),
        ({"profile": "quick", "only": "06", "seeds": "1"}, ["06-s0"]),
    ],
)
def test_select_reads_the_command_line(config, names):
    assert [job.name for job in jobs.select(config)] == names


def test_select_without_anything_is_the_whole_quick_profile():
    chosen = jobs.select({"only": None, "seeds": "", "force": None})
    assert {job.profile for job in chosen} == {"quick"}
    assert {job.notebook for job in chosen} == set(jobs.profiles.NOTEBOOKS)


@pytest.mark.parametrize(
    "config",
    [{"profile": "quik"}, {"only": "99"}, {"seeds": "x"}, {"seeds": 0}],
)
def test_select_refuses(config):
    with pytest.raises(ValueError, match="expected"):
        jobs.select(config)


def test_find_is_the_inverse_of_name():
    for job in jobs.profiles.jobs("paper"):
        assert jobs.find(job.name, "paper") == job


@pytest.mark.parametrize("name", ["06", "99-s0", "06-nope-s0", "../06-s0"])
def test_find_refuses(name):
    with pytest.raises(ValueError, match="expected"):
        jobs.find(name, "quick")


def test_a_finished_job_is_done_whatever_the_clock_says(reports, notebooks):
    job = jobs.find("06-s0", "quick")
    assert jobs.why_run(job) == "no result"
    files = finish(job)
    assert jobs.why_run(job) is None
    os.utime(files.result, (1, 1))
    os.utime(files.source)
    assert jobs.why_run(job) is None


def test_a_changed_notebook_runs_again_but_not_for_outputs(reports, notebooks):
    job = jobs.find("06-s0", "quick")
    source = finish(job).source
    notebook = nbformat.read(source, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    notebook.metadata["title"] = "another"
    nbformat.write(notebook, source)
    assert jobs.why_run(job) is None
    notebook.cells[-1].source += "\nmore"
    nbformat.write(notebook, source)
    assert "changed" in jobs.why_run(job)


def test_another_backend_runs_again(reports, notebooks, monkeypatch):
    job = jobs.find("06-s0", "quick")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    finish(job)
    assert jobs.why_run(job) is None
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    assert "changed" in jobs.why_run(job)


def test_the_report_itself_is_no_reason_to_run(tmp_path, monkeypatch):
    for name in ("ops.py", "report/pages.py", "claims/cli.py", "a.mplstyle"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("1")
    monkeypatch.setattr(jobs, "PACKAGE", tmp_path)
    before = jobs.library_digest()
    (tmp_path / "report" / "pages.py").write_text("2")
    (tmp_path / "claims" / "cli.py").write_text("2")
    assert jobs.library_digest() == before
    (tmp_path / "ops.py").write_text("2")
    assert jobs.library_digest() != before


def test_published_paper_results_are_done_without_anything_else(reports):
    job = jobs.profiles.jobs("paper", only="06")[0]
    files = jobs.Files(job)
    files.result.parent.mkdir(parents=True)
    files.result.write_text('{"records": []}')
    assert jobs.why_run(job) is None
    assert jobs.why_run(job, force_since=50.0) == "forced"


def test_force_counts_from_the_start_of_the_run(reports, notebooks):
    job = jobs.find("06-s0", "quick")
    finish(job, finished=100.0)
    assert jobs.why_run(job, force_since=101.0) == "forced"
    assert jobs.why_run(job, force_since=99.0) is None


def test_a_failure_since_runs_again(reports, notebooks):
    job = jobs.find("06-s0", "quick")
    files = finish(job)
    files.failure.parent.mkdir()
    files.failure.write_text("{}")
    assert jobs.why_run(job) == "the last run failed"


@pytest.mark.parametrize("text", ["", "{", "[1]", '"text"', "\x00"])
def test_a_damaged_result_runs_again(reports, notebooks, text):
    job = jobs.find("06-s0", "quick")
    finish(job).result.write_text(text)
    assert jobs.why_run(job) == "no result"


def test_a_notebook_of_results_runs_again_with_every_new_one(
    reports, notebooks, tmp_path, monkeypatch
):
    nbformat.write(sample_notebook(), notebooks / "16_scoreboard.ipynb")
    job = jobs.find("16-s0", "quick")
    finish(job)
    assert jobs.why_run(job) is None
    finish(jobs.find("06-s0", "smoke"))  # of a profile that it does not read
    assert jobs.why_run(job) is None
    for name, profile in (("06-s0", "quick"), ("06-g6-s0", "paper")):
        finish(jobs.find(name, profile))
        assert "results" in jobs.why_run(job)
        finish(job)
        assert jobs.why_run(job) is None
    # Published results stay, but not what is drawn from them.
    drawn = jobs.find("16-s0", "paper")
    finish(drawn)
    assert jobs.why_run(drawn) is None
    finish(jobs.find("06-g4-s0", "paper"))
    assert "results" in jobs.why_run(drawn)


def test_what_is_claimed_is_a_reason_to_count_again(
    reports, notebooks, tmp_path, monkeypatch
):
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "claims.toml").write_text("1")
    monkeypatch.setattr(jobs, "PACKAGE", tmp_path)
    nbformat.write(sample_notebook(), notebooks / "16_scoreboard.ipynb")
    jobs_ = jobs.find("16-s0", "quick"), jobs.find("06-s0", "quick")
    for job in jobs_:
        finish(job)
    finish(jobs_[0])
    (tmp_path / "claims" / "claims.toml").write_text("2")
    assert "results" in jobs.why_run(jobs_[0])
    assert jobs.why_run(jobs_[1]) is None
