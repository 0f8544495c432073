"""Fixtures of the report's tests."""

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from report_samples import ROOT  # noqa: E402


@pytest.fixture
def reports(tmp_path, monkeypatch):
    """An empty folder of reports."""
    monkeypatch.setenv("ATTNLIB_REPORTS", str(tmp_path / "reports"))
    return tmp_path / "reports"


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
        "_backend.py",
        "paths.py",
        "profiles.py",
        "report/jobs.py",
        "report/run_job.py",
    ):
        shutil.copy(ROOT / "attnlib" / name, root / "attnlib" / name)
    shutil.copytree(ROOT / "workflow", root / "workflow")
    return root
