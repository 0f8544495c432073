import json
import re
from html.parser import HTMLParser

import pytest
from report_samples import (
    DANGEROUS,
    quick_claims,
    record,
    write_notebook,
    write_result,
)

from attnlib import claims, report
from attnlib.report import exporter, pages, runs, scoreboard
from attnlib.report.exporter import code_summary, key_figure
from attnlib.report.mathml import strip_delimiters, to_mathml
from attnlib.report.offline import clean_fragment

FETCHING = {
    "script": "src",
    "link": "href",
    "img": "src",
    "iframe": "src",
    "video": "src",
    "audio": "src",
    "source": "src",
    "object": "data",
    "embed": "src",
}


class Page(HTMLParser):
    """What the tests ask about a page."""

    def __init__(self, text):
        super().__init__()
        self.fetched, self.images, self.rows, self.links = [], [], {}, []
        self.styles, self.tags, self.text = "", [], ""
        self._row = self._inside = None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.tags.append(tag)
        self._inside = tag
        self.styles += values.get("style") or ""
        for name in {FETCHING.get(tag), "srcset", "background", "poster"}:
            if name and values.get(name):
                self.fetched.append((tag, values[name]))
        if tag == "img":
            self.images.append(values)
        if tag == "a":
            self.links.append(values.get("href"))
        if tag == "tr" and "data-id" in values:
            self._row = {"verdict": values["data-verdict"], "text": ""}
            self.rows.setdefault(values["data-id"], []).append(self._row)

    def handle_endtag(self, tag):
        self._inside = None
        if tag == "tr":
            self._row = None

    def handle_data(self, data):
        if self._inside == "style":
            self.styles += data
            return
        self.text += data
        if self._row is not None:
            self._row["text"] += data + " "


def check_offline(page):
    outside = [(t, a) for t, a in page.fetched if not a.startswith("data:")]
    assert outside == []
    assert "@import" not in page.styles
    addresses = re.findall(r"url\(\s*['\"]?([^)'\"]*)", page.styles)
    assert all(address.startswith("data:") for address in addresses)
    assert "link" not in page.tags and "base" not in page.tags
    assert all((image.get("alt") or "").strip() for image in page.images)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The sample report, drawn once: page name -> Page."""
    from report_samples import fill

    root = tmp_path_factory.mktemp("drawn")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATTNLIB_REPORTS", str(root))
        fill(root / "quick")
        (root / "quick" / "00_old_name.html").write_text("of an earlier run")
        index = report.build("quick")
        rows = claims.compare("quick")
    found = {
        path.name: Page(path.read_text("utf-8"))
        for path in index.parent.glob("*.html")
    }
    return found, rows, index.parent


def test_there_is_one_page_per_run(drawn):
    found, _, _ = drawn
    assert sorted(found) == [
        "06_recurrent_glimpses-s1.html",
        "06_recurrent_glimpses-s2.html",
        "06_recurrent_glimpses.html",
        "failed-00-s0.html",
        "index.html",
    ]
    assert set(found) - {"index.html"} <= set(found["index.html"].links)
    for page in found.values():
        local = {
            link.partition("#")[0]
            for link in page.links
            if link and not link.startswith(("http", "#"))
        }
        assert local <= set(found)


def test_no_page_fetches_anything_and_every_picture_has_words(drawn):
    for page in drawn[0].values():
        check_offline(page)


def test_the_scoreboard_says_what_compare_says(drawn):
    found, rows, _ = drawn
    shown = found["index.html"].rows
    assert set(shown) == {row["id"] for row in rows}
    decided = 0
    for row in rows:
        (cells,) = shown[row["id"]]
        assert cells["verdict"] == row["verdict"]
        if row["value"] is not None:
            assert f"{row['value']:.4g}" in cells["text"]
        if row["ours"] is None:
            continue
        decided += 1
        text = " ".join(cells["text"].split())
        assert f" {len(row['ours']['seeds'])} " in text
        assert row["ours"]["data"] in text and "1 min 15 s" in text
        assert row["ours"]["device"] in text and row["note"] in text
        if row["value"] is not None:
            assert f"{row['ours']['mean']:.4g}" in text
            assert f"± {row['ours']['std']:.2g}" in text
    assert decided >= len(quick_claims())


def test_counts_are_of_all_claims(drawn):
    found, rows, _ = drawn
    text = " ".join(found["index.html"].text.split())
    for name in claims.VERDICTS:
        count = sum(row["verdict"] == name for row in rows)
        assert f"{count} {name}" in text


def test_a_failed_job_is_at_the_top_with_its_traceback(drawn):
    found, _, folder = drawn
    raw = (folder / "index.html").read_text("utf-8")
    assert raw.index("1 job failed") < raw.index('id="notebooks"')
    assert raw.index("1 job failed") < raw.index('id="scoreboard"')
    assert "ValueError: <b>bad</b> & worse" in found["index.html"].text
    assert "cell failed" in found["failed-00-s0.html"].text
    assert "ValueError: <b>bad</b> & worse" in found["failed-00-s0.html"].text


def test_special_characters_are_escaped(drawn):
    _, _, folder = drawn
    for path in folder.glob("*.html"):
        raw = path.read_text("utf-8")
        assert "<b>bad</b>" not in raw
        assert "<em>this</em>" not in raw
        assert "<model>" not in raw
        assert "<warning>" not in raw
    index = (folder / "index.html").read_text("utf-8")
    assert "say &lt;em&gt;this&lt;/em&gt; &amp; that" in index


def test_a_notebook_page_has_formulas_folded_code_and_notes(drawn):
    found, _, folder = drawn
    page = found["06_recurrent_glimpses.html"]
    raw = (folder / "06_recurrent_glimpses.html").read_text("utf-8")
    assert page.tags.count("math") >= 5
    assert 'class="tex"' not in raw
    assert '<details class="code"><summary>Train or load. (2 lines)' in raw
    assert "Controls live here" in page.text
    assert "the result of a cell" in page.text
    assert "VBox(children" not in raw and "require(" not in raw
    solution = re.search(r"<details><summary>Solution.*?</details>", raw, re.S)
    assert 'class="highlight"' in solution[0]
    assert "Formulas" in page.text and "#Formulas" in page.links
    alts = {image["alt"] for image in page.images}
    assert alts == {"Figure of the section “What it shows”"}


def test_the_front_page_says_where_results_come_from(drawn):
    text = drawn[0]["index.html"].text
    for words in ("0123456789ab", "3.15.1", "jax", "cpu (2 cores", "4 min 0 s"):
        assert words in text


def test_without_any_record_every_claim_is_not_run(reports):
    page = Page(report.build("smoke").read_text("utf-8"))
    check_offline(page)
    assert set(page.rows) == {claim.id for claim in claims.load_claims()}
    assert {row["verdict"] for (row,) in page.rows.values()} == {"not run"}
    assert "Nothing has been run yet" in page.text


def test_a_smoke_run_without_records_is_listed_as_done(reports):
    write_result(
        reports / "smoke", "06-s0", [], {"seconds": 9.0, "backend": "b"}
    )
    page = Page(report.build("smoke").read_text("utf-8"))
    assert "06-s0" in page.text and "9.0 s" in page.text


def test_an_unknown_profile_is_an_error(reports):
    with pytest.raises(ValueError, match="Did you mean 'quick'"):
        report.build("quik")


def test_damaged_files_are_named_and_stop_nothing(reports):
    folder = reports / "quick"
    claim = quick_claims()[0]
    write_result(folder, "06-s1", [record(claim.id, True)])
    (folder / "results" / "06-s0.json").write_text('{"records": [')
    write_notebook_text(folder / "notebooks" / "06-s0.ipynb", "{")
    write_notebook_text(folder / "notebooks" / "notes.ipynb", "{}")
    write_notebook_text(folder / "failed" / "00-s0.json", "[]")
    with pytest.warns(UserWarning, match="is not a result file"):
        path = report.build("quick")
    page = Page(path.read_text("utf-8"))
    assert "06-s0.json.corrupt was damaged" in page.text
    assert page.rows[claim.id][0]["verdict"] != "not run"
    assert "1 job failed" in page.text


def write_notebook_text(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_an_earlier_result_of_a_failed_job_is_called_earlier(reports):
    folder = reports / "quick"
    write_result(folder, "06-s0", [record(quick_claims()[0].id, True)])
    write_notebook_text(folder / "failed" / "06-s0.json", '{"kind": "timeout"}')
    page = Page(report.build("quick").read_text("utf-8"))
    assert "timeout" in page.text
    assert "from an earlier run" in page.text


def test_a_report_that_cannot_be_written_says_where(reports):
    reports.parent.mkdir(exist_ok=True)
    reports.write_text("a file where the folder should be")
    with pytest.raises(OSError, match="reports"):
        report.build("quick")


def test_the_command_line_prints_the_path(reports, capsys):
    import argparse

    from attnlib.report import cli

    parser = argparse.ArgumentParser()
    cli.add_parser(parser.add_subparsers())
    arguments = parser.parse_args(["report", "--profile", "smoke"])
    assert arguments.run(arguments) == 0
    assert capsys.readouterr().out.strip() == str(
        reports / "smoke" / "index.html"
    )


def test_fragments_lose_what_would_be_fetched():
    clean = clean_fragment(DANGEROUS, "some figure")
    page = Page(clean)
    check_offline(page)
    assert "window.inlineRan" in clean and "kept text" in page.text
    assert "https://example.org/p.png" in page.links
    assert "a remote picture" in page.text


def test_pictures_beside_a_notebook_are_embedded_and_others_are_not(tmp_path):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"png")
    (tmp_path / "secret.png").write_bytes(b"png")
    html = '<img src="a.png"><img src="../secret.png"><img src="no.png">'
    clean = clean_fragment(html, "a figure", folder)
    assert Page(clean).images == [
        {"src": "data:image/png;base64,cG5n", "alt": "a figure"}
    ]
    assert "there is no picture no.png" in clean


def test_harmless_fragments_stay_as_they_are():
    html = "<table><tr><td>1 < 2</td></tr></table>"
    assert clean_fragment(html, "") is html


@pytest.mark.parametrize(
    "text, expected",
    [
        ("$x$", ("x", False)),
        ("$$x$$", ("x", True)),
        ("\\[x\\]", ("x", True)),
        ("\\(x\\)", ("x", False)),
        ("x", ("x", True)),
        ("$", ("$", True)),
    ],
)
def test_delimiters(text, expected):
    assert strip_delimiters(text) == expected


def test_a_formula_that_nobody_understands_is_shown_as_it_is():
    assert to_mathml(r"\nosuch{<b>}") == (
        '<code class="tex">\\nosuch{&lt;b&gt;}</code>'
    )
    assert to_mathml(r"\frac{a", block=True).startswith(
        '<span class="formula">'
    )


def test_formulas_without_the_converter(monkeypatch):
    from attnlib.report import mathml

    monkeypatch.setattr(mathml, "_converter", lambda: None)
    assert mathml.to_mathml("x^2") == '<code class="tex">x^2</code>'


@pytest.mark.parametrize(
    "source, line",
    [
        ("", "Code (0 lines)"),
        ("x = 1", "Code (1 line)"),
        ("# Draw it.\nx = 1", "Draw it. (2 lines)"),
        ("#!x\ny", "Code (2 lines)"),
    ],
)
def test_folded_code_says_what_it_does(source, line):
    assert code_summary(source) == line


def test_the_key_figure_is_the_tagged_one():
    from nbformat.v4 import new_code_cell, new_notebook, new_output

    def cell(data, tags=()):
        output = new_output("display_data", {"image/png": data})
        return new_code_cell("", outputs=[output], metadata={"tags": [*tags]})

    assert key_figure(new_notebook()) is None
    plain = new_notebook(cells=[cell("YQ=="), cell("Yg==")])
    assert key_figure(plain)[0] == "data:image/png;base64,YQ=="
    plain.cells[1].metadata["tags"] = ["key-figure"]
    assert key_figure(plain)[0] == "data:image/png;base64,Yg=="


def test_big_parentheses_with_an_exponent_grow_with_what_they_hold():
    assert to_mathml(r"\Big(\frac12\Big)^2") == to_mathml(
        r"\left(\frac12\right)^2"
    )
    assert "<math" in to_mathml(r"\bigl( x")


def test_printed_text_is_merged_and_the_log_of_c_libraries_left_out():
    from nbformat.v4 import new_code_cell, new_notebook, new_output

    def printed(text, name="stdout"):
        return new_output("stream", name=name, text=text)

    noise = (
        "WARNING: All log messages before absl::InitializeLog() is called\n"
        "I0000 00:00:1795460090.234850   30678 port.cc:153] oneDNN is on.\n"
    )
    outputs = [
        printed(noise, "stderr"),
        printed("one\n"),
        printed("two\n"),
        printed(noise + "a real warning\n", "stderr"),
    ]
    notebook = new_notebook(cells=[new_code_cell("x", outputs=outputs)])
    html = exporter.render(notebook, ".")
    assert "absl" not in html and "oneDNN" not in html
    assert '<pre class="stream">one\ntwo\n</pre>' in html
    assert '<pre class="stream stderr">a real warning\n</pre>' in html


def test_band_picture_stays_inside():
    row = {"value": 2.0, "band": 0.5, "ours": {"mean": 1e6}}
    assert 'cx="9' in scoreboard.band_picture(row)
    exact = {"value": 2.0, "band": 0.0, "ours": {"mean": 2.0}}
    assert 'cx="50.0"' in scoreboard.band_picture(exact)
    assert scoreboard.band_picture({"value": None}) == ""


@pytest.mark.parametrize("moment", [None, "yesterday", float("inf"), 1e99])
def test_times_that_are_none(moment):
    assert runs.when(moment) == "unknown"


def test_jobs_are_sorted_by_notebook_setting_and_seed():
    names = ["06-s10", "06-s2", "06-g2-s0", "00-s0"]
    assert sorted(names, key=runs.sort_key) == [
        "00-s0",
        "06-s2",
        "06-s10",
        "06-g2-s0",
    ]


def test_published_paper_runs_stand_beside_a_profile(reports):
    claim = next(
        c
        for c in claims.load_claims()
        if c.profile == "paper"
        and c.value is not None
        and not (c.of or c.result)
        and c.unit == "%"
    )
    entry = record(claim.id, claim.value, profile="paper")
    write_result(reports / "paper", f"{claim.notebook}-s0", [entry])
    page = Page(report.build("smoke").read_text("utf-8"))
    assert page.rows[claim.id][0]["verdict"] == "reproduced"


def test_titles_lose_their_number():
    assert pages._without_number("06 · Recurrent `glimpses`", "06") == (
        "Recurrent glimpses"
    )
    assert json.dumps(pages._without_number("06", "06")) == '"06"'


def test_notebooks_of_no_job_are_left_alone(reports):
    from report_samples import sample_notebook

    write_notebook(reports / "quick/notebooks/notes.ipynb", sample_notebook())
    index = report.build("quick")
    assert [path.name for path in index.parent.glob("*.html")] == ["index.html"]
