"""A small report to look at: results, an executed notebook and a failure."""

import json
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from report_samples import (  # noqa: E402
    ROOT,
    failed_notebook,
    quick_claims,
    record,
    sample_notebook,
    write_notebook,
    write_result,
)


@pytest.fixture
def reports(tmp_path, monkeypatch):
    """An empty folder of reports."""
    monkeypatch.setenv("ATTNLIB_REPORTS", str(tmp_path / "reports"))
    return tmp_path / "reports"


@pytest.fixture
def filled(reports):
    """A profile with results of three seeds, a notebook and a failure."""
    folder = reports / "quick"
    for seed in range(3):
        records = []
        for index, claim in enumerate(quick_claims()):
            value = (
                index % 3 != 0
                if claim.is_ordering
                else claim.value * (1 + 0.02 * (seed - 1) * (index + 1))
            )
            note = "say <em>this</em> & that" if index == 0 else ""
            records.append(record(claim.id, value, seed, note=note))
        run = {"seconds": 80.0, "started": 1e9 + seed, "finished": 1e9 + 99}
        write_result(folder, f"06-s{seed}", records, run)
        write_notebook(
            folder / "notebooks" / f"06-s{seed}.ipynb", sample_notebook()
        )
    write_notebook(folder / "failed" / "00-s0.ipynb", failed_notebook())
    (folder / "failed" / "00-s0.json").write_text(
        json.dumps(
            {
                "job": "00-s0",
                "kind": "cell failed",
                "message": "ValueError: <b>bad</b> & worse",
                "details": "\x1b[31mValueError\x1b[0m: <b>bad</b> & worse",
                "seconds": 3.0,
                "finished": 1e9,
            }
        )
    )
    return folder


@pytest.fixture
def checkout(tmp_path):
    """A checkout with fake notebooks that need no backend.

    Returns:
        Its folder. `write_fake` puts notebooks into it.
    """
    root = tmp_path / "checkout"
    (root / "attnlib" / "report").mkdir(parents=True)
    (root / "notebooks").mkdir()
    (root / "pyproject.toml").touch()
    for name in (
        "paths.py",
        "profiles.py",
        "report/jobs.py",
        "report/run_job.py",
    ):
        shutil.copy(ROOT / "attnlib" / name, root / "attnlib" / name)
    shutil.copytree(ROOT / "workflow", root / "workflow")
    return root
