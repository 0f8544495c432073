"""Verdicts, pooling of seeds, shared and computed claims."""

import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnlib import claims
from attnlib.claims import records

NIPS = "ram/mnist-28x28/6-glimpses/test-error"
ARXIV = "ram/mnist-28x28/6-glimpses-arxiv/test-error"
COMPUTED = "ram/mnist-28x28/more-glimpses-help/ordering"
ORDER = "ram/digits28/learned-vs-random/ordering"
SLOPE = "cost/conv-any-size/log-log-slope/macs"
GLIMPSES = "ram/mnist-28x28/{}-glimpses/test-error"

LOWER = dataclasses.replace(claims.find(NIPS), value=1.1, band=0.4)
HIGHER = dataclasses.replace(LOWER, better="higher")


def _row(id, profile=None):
    (row,) = [row for row in claims.compare(profile) if row["id"] == id]
    return row


def _record(id, value, seed=0, profile="paper", setting=None, **more):
    claims.begin("06", profile, seed, setting, data=more.pop("data", None))
    claims.record(id, value, **more)


@pytest.mark.parametrize(
    ("claim", "ours", "expected"),
    [
        (LOWER, None, "not run"),
        (LOWER, 1.1, "reproduced"),
        (LOWER, 1.5, "reproduced"),  # 1.5 - 1.1 > 0.4 in binary
        (LOWER, 0.7, "reproduced"),
        (LOWER, 1.501, "missed"),
        (LOWER, 0.699, "better"),
        (LOWER, 0, "better"),
        (HIGHER, 1.501, "better"),
        (HIGHER, 0.699, "missed"),
        (dataclasses.replace(LOWER, two_sided=True), 0.699, "missed"),
        (dataclasses.replace(LOWER, two_sided=True), 1.5, "reproduced"),
        (dataclasses.replace(HIGHER, two_sided=True), 1.6, "missed"),
        (dataclasses.replace(HIGHER, value=31, band=0), 31, "reproduced"),
        (dataclasses.replace(HIGHER, value=31, band=0), 31.01, "better"),
        (dataclasses.replace(HIGHER, value=31, band=0), 30.99, "missed"),
        (claims.find(ORDER), None, "not run"),
        (claims.find(ORDER), 1, "reproduced"),
        (claims.find(ORDER), 2 / 3, "missed"),
        (claims.find(ORDER), 0, "missed"),
    ],
)
def test_verdict(claim, ours, expected):
    assert claims.verdict(claim, ours) == expected


@settings(deadline=None)  # a busy machine is no failure
@given(
    value=st.floats(-1e4, 1e4),
    band=st.floats(0, 100),
    side=st.sampled_from([-1, 1]),
    better=st.sampled_from(["lower", "higher"]),
    outside=st.floats(1e-3, 1e4),
)
def test_the_edges_of_the_band(value, band, side, better, outside):
    claim = dataclasses.replace(LOWER, value=value, band=band, better=better)
    assert claims.verdict(claim, value + side * band) == "reproduced"
    good = (side > 0) == (better == "higher")
    beyond = value + side * (band + outside)
    assert claims.verdict(claim, beyond) == ("better" if good else "missed")
    both = dataclasses.replace(claim, two_sided=True)
    assert claims.verdict(both, beyond) == "missed"


@settings(deadline=None)
@given(value=st.floats(-1e4, 1e4), ours=st.floats(-1e4, 1e4))
def test_a_verdict_never_gets_worse_by_a_better_result(value, ours):
    order = ["missed", "reproduced", "better"]
    claim = dataclasses.replace(LOWER, value=value, band=1.0)
    worse = order.index(claims.verdict(claim, ours + 0.5))
    assert order.index(claims.verdict(claim, ours)) >= worse


def test_claims_that_were_never_run_are_listed():
    rows = claims.compare()
    assert [row["id"] for row in rows] == [c.id for c in claims.load_claims()]
    assert {row["verdict"] for row in rows} == {"not run"}
    assert all(row["ours"] is None for row in rows)


def test_seeds_are_pooled():
    for seed, value in enumerate((1.2, 1.4, 1.3)):
        _record(
            NIPS,
            value,
            seed,
            seconds=100 * (seed + 1),
            data={"name": "mnist", "digest": "ab"},
            note="one sample",
        )
    row = _row(NIPS)
    ours = row["ours"]
    assert ours["mean"] == pytest.approx(1.3)
    assert ours["std"] == pytest.approx(0.1)
    assert ours["seeds"] == [0, 1, 2] and ours["values"] == [1.2, 1.4, 1.3]
    assert ours["seconds"] == pytest.approx(200)
    assert ours["data"] == "mnist (ab)"
    assert ours["backend"] and ours["device"] and ours["revision"]
    assert row["verdict"] == "reproduced" and row["value"] == 1.12
    assert row["note"] == "one sample"


def test_one_seed_has_no_spread():
    _record(NIPS, 1.2)
    assert _row(NIPS)["ours"]["std"] is None


def test_two_tables_share_one_measurement():
    _record(NIPS, 1.6)
    assert _row(NIPS)["verdict"] == "missed"
    assert _row(ARXIV)["verdict"] == "reproduced"
    assert _row(ARXIV)["ours"] == _row(NIPS)["ours"]


def test_an_ordering_holds_when_all_seeds_hold():
    _record(ORDER, True, 0, "quick")
    assert _row(ORDER)["verdict"] == "reproduced"
    _record(ORDER, True, 1, "quick")
    assert _row(ORDER)["verdict"] == "reproduced"
    _record(ORDER, False, 2, "quick")
    row = _row(ORDER)
    assert row["verdict"] == "missed" and row["value"] is None
    assert row["ours"]["values"] == [True, True, False]


def test_an_ordering_over_jobs_is_computed_for_common_seeds():
    for count, value, seed in ((2, 3, 0), (4, 1.6, 0), (6, 1.3, 0)):
        assert _row(COMPUTED)["verdict"] == "not run"
        _record(GLIMPSES.format(count), value, seed, setting=f"g{count}")
    _record(GLIMPSES.format(6), 9, 1, setting="g6")  # no partner: no part
    row = _row(COMPUTED)
    assert row["verdict"] == "reproduced"
    assert row["ours"]["seeds"] == [0]
    assert row["note"].endswith("3, 1.6, 1.3")
    _record(GLIMPSES.format(4), 1.3, 0, setting="g4")  # equal is not better
    assert _row(COMPUTED)["verdict"] == "missed"


def test_members_without_a_common_seed_decide_nothing():
    for seed, count in enumerate((2, 4, 6)):
        _record(GLIMPSES.format(count), 3 - seed, seed, setting=f"g{count}")
    assert _row(COMPUTED)["verdict"] == "not run"


def test_a_seed_counts_once_and_the_newest_record_wins(reports):
    _record(NIPS, 1.2, setting="g6")
    _record(NIPS, 1.6, setting="g4")  # the same claim and seed, later
    ours = _row(NIPS)["ours"]
    assert ours["seeds"] == [0] and ours["mean"] == 1.6
    path = reports / "paper" / "results" / "06-g4-s0.json"
    tree = json.loads(path.read_text())
    tree["records"][0]["finished"] = "2020-01-01T00:00:00.000+00:00"
    path.write_text(json.dumps(tree))
    assert _row(NIPS)["ours"]["mean"] == 1.2


def test_only_records_of_its_own_profile_decide_a_claim():
    _record(ORDER, True, profile="smoke")
    _record(NIPS, 1.2, profile="quick")
    for profile in (None, "smoke", "quick", "paper"):
        assert _row(ORDER, profile)["verdict"] == "not run"
        assert _row(NIPS, profile)["verdict"] == "not run"
    assert _row(ORDER, "smoke")["trial"]["mean"] == 1
    assert _row(ORDER, "quick")["trial"] is None
    assert _row(NIPS, "quick")["trial"]["mean"] == 1.2


def test_paper_records_count_for_every_profile():
    _record(NIPS, 1.2)
    for profile in (None, "smoke", "quick", "paper"):
        assert _row(NIPS, profile)["verdict"] == "reproduced"


def test_two_devices_are_both_named(monkeypatch):
    import attnlib

    _record(NIPS, 1.2)
    monkeypatch.setattr(attnlib, "device", lambda: "NVIDIA H200")
    _record(NIPS, 1.3, 1)
    first, second = _row(NIPS)["ours"]["device"].split("; ")
    assert first != second == "NVIDIA H200"


def test_a_claim_without_data_says_so():
    claims.begin("00", "quick")
    claims.record(SLOPE, 2.05)
    row = _row(SLOPE)
    assert row["ours"]["data"] == "no data: computed"
    assert row["verdict"] == "reproduced"


def test_an_unknown_profile():
    with pytest.raises(ValueError, match="smoke, quick, paper"):
        claims.compare("full")


def test_a_record_of_no_claim_is_left_out(reports):
    _record(NIPS, 1.2)
    path = reports / "paper" / "results" / "06-s0.json"
    path.write_text(path.read_text().replace(NIPS, "ram/gone/x/error"))
    with pytest.warns(UserWarning, match="ram/gone/x/error"):
        assert _row(NIPS)["verdict"] == "not run"


def test_a_record_of_another_kind_is_left_out(reports):
    _record(NIPS, 1.25)
    path = reports / "paper" / "results" / "06-s0.json"
    path.write_text(path.read_text().replace("1.25", "true"))
    with pytest.warns(UserWarning, match=NIPS):
        assert _row(NIPS)["verdict"] == "not run"


def test_a_damaged_file_makes_its_claims_not_run(reports):
    _record(NIPS, 1.2)
    _record(NIPS, 1.3, 1)
    path = reports / "paper" / "results" / "06-s1.json"
    path.write_text(path.read_text()[:100])
    with pytest.warns(UserWarning, match="06-s1.json"):
        assert _row(NIPS)["ours"]["seeds"] == [0]


def test_the_report_may_add_to_a_file(reports):
    _record(NIPS, 1.2)
    path = reports / "paper" / "results" / "06-s0.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"run": {}}))
    assert _row(NIPS)["verdict"] == "reproduced"
    assert records.read_results("paper")[0]["id"] == NIPS


def test_a_running_job_sees_what_it_has_recorded(tmp_path, monkeypatch):
    _record(NIPS, 1.9)  # An earlier run of the same job,
    _record(NIPS, 1.4, 1)  # and another job.
    monkeypatch.setenv("ATTNLIB_RESULT_FILE", str(tmp_path / "part.json"))
    _record(NIPS, 1.2)
    assert _row(NIPS)["ours"]["values"] == [1.2, 1.4]
