"""Figures and tables of what became of the claims."""

import pytest

from attnlib import figures


def row(id="a/b/c/error", verdict="not run", ours=None, **changes):
    if ours is not None:
        ours = {
            "mean": ours,
            "std": None,
            "seeds": [0],
            "seconds": changes.pop("seconds", 30.0),
            "took": "30 s",
            "backend": "jax",
            "device": "CPU",
            "data": "mnist",
        }
    open_ = verdict == "not run"
    return {
        "id": id,
        "notebook": "06",
        "profile": "quick",
        "verdict": verdict,
        "cause": "job" if open_ else "",
        "why": "Takes a day." if open_ else "",
        "note": "",
        "value": 2.0,
        "band": 0.5,
        "unit": "%",
        "better": "lower",
        "kind": "number",
        "ours": ours,
    } | changes


ROWS = [
    row("a/b/one/error", "better", 1.0),
    row("a/b/two/accuracy", "missed", 1.0, better="higher"),
    row("a/b/three/error", "reproduced", 2.2, notebook="02", profile="paper"),
    row("a/b/four/error", notebook="02"),
    row("a/b/five/error", cause="data", why="No data."),
    row("a/b/six/error"),
]


def test_verdict_bars_count_every_claim_once():
    fig = figures.verdict_bars(ROWS, "All")
    (ax,) = fig.axes
    assert [t.get_text() for t in ax.get_yticklabels()] == ["02", "06"]
    assert sum(patch.get_width() for patch in ax.patches) == len(ROWS)
    # The two bars' lengths are written at their ends.
    assert [text.get_text() for text in ax.texts] == ["2", "4"]
    alt = figures.get_alt(fig)
    assert "Of 6 claims: 1 better, 1 reproduced, 1 missed" in alt
    assert "2 not run: job to do, 1 not run: no data" in alt


def test_right_of_one_is_better_for_errors_and_accuracies():
    fig = figures.against_papers(ROWS, "Ours")
    alt = figures.get_alt(fig)
    assert "a/b/one/error 2.00" in alt  # half of the claimed error
    assert "a/b/two/accuracy 0.50" in alt  # half of the claimed accuracy
    assert "four" not in alt
    (ax,) = fig.axes
    low, high = ax.get_xlim()
    points = [x for line in ax.lines for x in line.get_xdata()]
    assert all(low < x < high for x in points)
    assert len(ax.get_yticklabels()) == 3


def test_orderings_and_numbers_without_a_ratio_are_left_out():
    rows = [
        row("a/b/order/ordering", "reproduced", 1.0, value=None, band=None),
        row("a/b/nats/log-loss", "missed", -900.0, value=-1000.0),
        row("a/b/zero/error", "better", 0.0),
    ]
    fig = figures.against_papers(rows)
    assert "no number has been measured yet" in figures.get_alt(fig)


def test_the_band_is_where_a_result_counts_as_reproduced():
    fig = figures.against_papers([ROWS[2]])
    (bar,) = fig.axes[0].patches
    left, right = bar.get_x(), bar.get_x() + bar.get_width()
    # Errors of 2.5 and 1.5 against 2.0.
    assert left == pytest.approx(0.8) and right == pytest.approx(4 / 3)


def test_times_have_a_dot_for_every_result():
    fig = figures.result_times(ROWS)
    (ax,) = fig.axes
    shown = [x for line in ax.lines for x in line.get_xdata()]
    assert shown == [30.0, 30.0, 30.0][: len(shown)] and len(shown) == 3
    assert "3 results; the longest" in figures.get_alt(fig)
    counted = figures.result_times([row(verdict="better", ours=1, seconds=0)])
    (line,) = counted.axes[0].lines
    assert line.get_xdata()[0] > 0
    empty = figures.result_times([row()])
    assert "nothing has been run yet" in figures.get_alt(empty)


def test_bad_rows_get_one_clear_error():
    with pytest.raises(ValueError, match="`rows` is empty"):
        figures.verdict_bars([])
    with pytest.raises(ValueError, match="a/b/c/error: expected a verdict"):
        figures.verdict_bars([row(cause="lazy")])


def test_reasons_are_counted_and_have_an_example():
    table = figures.reasons_table(ROWS)
    assert table.rows == [
        (2, "job", "Takes a day.", "a/b/four/error"),
        (1, "data", "No data.", "a/b/five/error"),
    ]
    page = table._repr_html_()
    assert "job: Takes a day." in page and "<table" in page
    assert "2       job: Takes a day.  a/b/four/error" in repr(table)
    assert len(figures.reasons_table([])) == 0


def test_a_claim_that_was_not_run_says_why_and_a_result_its_time():
    page = figures.claims_table([ROWS[3]])._repr_html_()
    assert "Takes a day." in page
    assert "mnist, jax, CPU, 30 s" in repr(figures.claims_table([ROWS[0]]))


def test_an_explorer_shows_tables():
    explorer = figures.explorer(
        lambda many: figures.claims_table(ROWS[: int(many)]), many=["1", "3"]
    )
    assert explorer.image.value.count("<tr>") == 2
    explorer.controls["many"].value = "3"
    assert explorer.image.value.count("<tr>") == 4
