"""`python -m attnlib claims`: the JSON contract and the table."""

import argparse
import json

import pytest

from attnlib import claims
from attnlib.claims import cli

FIELDS = {
    "id",
    "system",
    "notebook",
    "paper",
    "table",
    "dataset",
    "setting",
    "metric",
    "value",
    "unit",
    "better",
    "profile",
    "verified",
    "ours",
    "verdict",
    "note",
}
OURS = {
    "mean",
    "std",
    "seeds",
    "backend",
    "device",
    "data",
    "seconds",
    "revision",
}
NIPS = "ram/mnist-28x28/6-glimpses/test-error"


def _run(*arguments):
    parser = argparse.ArgumentParser()
    cli.add_parser(parser.add_subparsers(required=True))
    args = parser.parse_args(["claims", *arguments])
    return args.run(args)


def _record(*values):
    for seed, value in enumerate(values):
        claims.begin("06", "paper", seed, "g6")
        claims.record(NIPS, value)


def test_json_has_every_field(capsys):
    _record(1.2, 1.3)
    assert _run("--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == len(claims.load_claims())
    for row in rows:
        assert FIELDS <= set(row)
        assert row["better"] in ("lower", "higher")
        assert row["verdict"] in claims.VERDICTS
        assert (row["ours"] is None) == (row["verdict"] == "not run")
        assert row["id"].count("/") == 3
        assert row["id"].startswith(row["system"] + "/")
    (row,) = [row for row in rows if row["id"] == NIPS]
    assert OURS <= set(row["ours"])
    assert row["ours"]["seeds"] == [0, 1]


def test_the_profile_selects_results(capsys):
    _run("--json", "--profile", "quick")
    quick = json.loads(capsys.readouterr().out)
    assert len(quick) == len(claims.load_claims())
    with pytest.raises(ValueError, match="profile"):
        _run("--profile", "full")


def test_the_table_is_readable():
    _record(1.2, 1.3)
    rows = claims.compare()
    lines = cli.table(rows).splitlines()
    assert max(map(len, lines)) <= 100
    text = "\n".join(lines)
    for row in rows:
        assert row["id"] in text
    (line,) = [line for line in lines if f" {NIPS} " in line]
    assert line.split()[0] == "reproduced"
    assert line.endswith("1.25 ± 0.071 (2)")
    assert [x for x in lines if x.startswith("Notebook")][0] == "Notebook 00"
    assert "2 reproduced" in text


@pytest.mark.parametrize(
    ("value", "ours", "expected"),
    [
        (None, None, ""),
        (None, {"seeds": [0], "values": [True]}, "holds"),
        (None, {"seeds": [0], "values": [False]}, "fails"),
        (None, {"seeds": [0, 1], "values": [True, False]}, "1 of 2 hold"),
        (1.1, {"seeds": [0], "mean": 1.23456}, "1.235"),
        (1.1, {"seeds": [0, 1], "mean": 1.2, "std": 0.1}, "1.2 ± 0.1 (2)"),
    ],
)
def test_our_result_in_words(value, ours, expected):
    assert cli.ours_text({"value": value, "ours": ours}) == expected
