"""Why claims have no result."""

import fnmatch

import pytest

from attnlib import claims, profiles
from attnlib.claims import reasons

PATTERNS = [text for entry in reasons.load() for text in entry.claims]


def _row(id, profile=None):
    (row,) = [row for row in claims.compare(profile) if row["id"] == id]
    return row


def test_every_claim_without_a_result_says_why():
    for row in claims.compare():
        assert row["cause"] in claims.CAUSES and row["why"].endswith(".")
        if not row["of"]:
            written = row["notebook"] in profiles.NOTEBOOKS
            assert written == (row["cause"] != "notebook"), row["id"]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_pattern_fits_a_claim(pattern):
    ids = [claim.id for claim in claims.load_claims()]
    assert fnmatch.filter(ids, pattern)


def test_no_pattern_fits_a_claim_that_small_data_decides():
    for claim in claims.load_claims():
        if claim.profile == "quick":
            fits = [p for p in PATTERNS if fnmatch.fnmatchcase(claim.id, p)]
            assert not fits, claim.id


def test_a_result_needs_no_reason():
    id = "ram/mnist-28x28/6-glimpses/test-error"
    assert "PROFILE=paper ONLY=06" in _row(id)["why"]
    claims.begin("06", "paper", 0, "g6")
    claims.record(id, 1.2)
    row = _row(id)
    assert (row["cause"], row["why"]) == ("", "")
    # It reads the same records.
    assert _row("ram/mnist-28x28/6-glimpses-arxiv/test-error")["why"] == ""


def test_an_ordering_of_results_waits_for_the_first_that_is_missing():
    id = "show-and-tell/flickr8k/nic/bleu-1"
    part = _row(id)
    assert part["cause"] == "job" and "an hour a model" in part["why"]
    order = _row("handwriting/iam-ondb/noise-helps-synthesis/ordering")
    claims.begin("08", "paper", 0)
    claims.record("handwriting/iam-ondb/synthesis/log-loss", -1000.0)
    after = _row("handwriting/iam-ondb/noise-helps-synthesis/ordering")
    assert after["cause"] == "job" and "noise" in after["why"]
    assert order["ours"] is None and after["ours"] is None


def test_an_ordering_over_different_seeds_says_so():
    for seed, count in ((0, 2), (1, 4), (1, 6)):
        claims.begin("06", "paper", seed, f"g{count}")
        name = f"ram/mnist-28x28/{count}-glimpses/test-error"
        claims.record(name, 5.0 - count / 2)
    row = _row("ram/mnist-28x28/more-glimpses-help/ordering")
    assert row["ours"] is None and "different seeds" in row["why"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[reason]", "not valid TOML"),
        ("", "expected nothing but .*Received: an empty file"),
        ("x = 1", "Received: x"),
        ("[[reason]]\nwhy = 'no'", "entry 1: expected claims, cause and why"),
        (
            "[[reason]]\nclaims = []\ncause = 'data'\nwhy = 'no'",
            "claims to be a list of patterns",
        ),
        (
            "[[reason]]\nclaims = ['a']\ncause = 'data'\nwhy = ''",
            "patterns and why to be texts",
        ),
        (
            "[[reason]]\nclaims = ['a']\ncause = 'lazy'\nwhy = 'no'",
            "cause to be one of data, model, job. Received: 'lazy'",
        ),
    ],
)
def test_a_wrong_file_gets_one_clear_error(tmp_path, text, message):
    path = tmp_path / "not_run.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        reasons.load(path)
