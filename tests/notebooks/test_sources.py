"""What all notebooks have in common, seen in their files."""

import json
import re
from pathlib import Path

import pytest

from attnlib import claims, profiles
from attnlib.claims import records

GOLDEN = "nbval-check-output"
FOLDER = Path(__file__).parents[2] / "notebooks"


def cells_of(number):
    path = FOLDER / f"{profiles.NOTEBOOKS[number]}.ipynb"
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def code_of(number):
    return "\n".join(
        "".join(cell["source"])
        for cell in cells_of(number)
        if cell["cell_type"] == "code"
    )


@pytest.mark.parametrize("number", profiles.NOTEBOOKS)
def test_golden_cells_hold_outputs_and_no_other_cell_does(number):
    for cell in cells_of(number):
        if cell["cell_type"] != "code":
            continue
        golden = GOLDEN in cell["metadata"].get("tags", [])
        assert bool(cell["outputs"]) == golden, cell["id"]
        # Without a count nbval takes a cell for one that was not run.
        assert (cell["execution_count"] is not None) == golden, cell["id"]


@pytest.mark.parametrize(
    "number", [n for n in profiles.NOTEBOOKS if n not in profiles.READERS]
)
def test_a_run_with_changed_parameters_records_nothing(number):
    code = code_of(number)
    same = f'profiles.load("{number}", settings.profile, seed, setting)'
    assert code.count(f"official = settings == {same}") == 1
    # In one place, behind that question.
    assert code.count("claims.record(") == 1
    assert re.search(r"\n    if official:\n        claims\.record\(", code)
    assert len(re.findall(r"^def record\(", code, re.M)) == 1
    # After the settings, before all that records.
    assert code.index("official = ") < code.index(" record(")


def test_without_records_the_scoreboard_shows_every_claim_as_not_run(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("ATTNLIB_REPORTS", str(tmp_path))
    monkeypatch.delenv("ATTNLIB_RESULT_FILE", raising=False)
    monkeypatch.delenv("ATTNLIB_PROFILE", raising=False)
    monkeypatch.setattr(records, "_current", None)
    seen = {}
    for cell in cells_of("16"):
        if cell["cell_type"] == "code":
            code = compile("".join(cell["source"]), cell["id"], "exec")
            exec(code, seen)
    count = len(claims.load_claims())
    assert len(seen["rows"]) == len(seen["open_rows"]) == count
    assert seen["tally"] == {"not run": count}
    assert not seen["decided"] and not seen["missed"]
    assert not any(tmp_path.iterdir())
