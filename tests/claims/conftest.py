"""A reports folder of its own for every test, and no job under way."""

import pytest

from attnlib.claims import records


@pytest.fixture(autouse=True)
def reports(tmp_path, monkeypatch):
    monkeypatch.setenv("ATTNLIB_REPORTS", str(tmp_path / "reports"))
    monkeypatch.delenv("ATTNLIB_RESULT_FILE", raising=False)
    monkeypatch.delenv("ATTNLIB_PROFILE", raising=False)
    monkeypatch.setattr(records, "_current", None)
    return tmp_path / "reports"
