"""The API reference: complete, offline, and every link leads somewhere."""

import argparse
import importlib
import inspect
import re

import pytest
from bs4 import BeautifulSoup

from attnlib.report import cli, docstrings, reference

MODULES = {
    name: importlib.import_module(f"attnlib.{name}")
    for name in reference.MODULES
}
NAMES = [
    (module, name)
    for module in MODULES
    for name in reference.public_names(MODULES[module])
]


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The reference, drawn once: page name -> (text, soup)."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("reports")
        patch.setenv("ATTNLIB_REPORTS", str(folder))
        (folder / "docs").mkdir()
        (folder / "docs" / "gone.html").write_text("of an earlier version")
        index = reference.build()
    assert index == folder / "docs" / "index.html"
    found = {}
    for path in index.parent.glob("*.html"):
        text = path.read_text("utf-8")
        found[path.name] = text, BeautifulSoup(text, "html.parser")
    return found


def section_of(soup, name):
    return soup.find("section", attrs={"aria-labelledby": name})


def test_there_is_one_page_per_module_and_old_ones_go(pages):
    assert set(pages) == {"index.html", *(f"{m}.html" for m in MODULES)}
    asked = "ops layers losses distributions datasets claims training figures"
    assert set(asked.split()) <= set(MODULES)


@pytest.mark.parametrize("module, name", NAMES)
def test_every_public_name_is_there_with_its_sections(pages, module, name):
    section = section_of(pages[f"{module}.html"][1], name)
    assert section.find("h2").get_text().split()[0] == name
    index = pages["index.html"][1]
    assert index.find("a", href=f"{module}.html#{name}")
    thing = getattr(MODULES[module], name)
    if not (inspect.isroutine(thing) or inspect.isclass(thing)):
        assert repr(thing) in section.get_text()
        return
    parts = docstrings.parse(thing)
    text = " ".join(section.get_text().split())
    assert parts.summary.replace("`", "") in text
    headings = [h.get_text() for h in section.find_all("h3", class_="part")]
    assert headings == list(parts.sections)
    written = re.findall(r"^(\w[\w ]*):$", inspect.getdoc(thing) or "", re.M)
    assert [h for h in written if h in docstrings.HEADINGS] == headings
    for heading in docstrings.FIELDS:
        for field, _ in docstrings.fields(parts.sections.get(heading, "")):
            assert section.find("dt", string=field), (heading, field)
    assert f"Source: attnlib/{module}" in text
    kept = inspect.getsource(thing).strip().splitlines()[-1].strip()
    assert " ".join(kept.split()) in text


@pytest.mark.parametrize("module, name", NAMES)
def test_every_argument_stands_in_the_signature(pages, module, name):
    thing = getattr(MODULES[module], name)
    section = section_of(pages[f"{module}.html"][1], name)
    if not inspect.isfunction(thing):
        return
    signature = section.find(class_="signature").get_text()
    for argument in inspect.signature(thing).parameters:
        assert re.search(rf"\b{argument}\b", signature)


def test_layers_show_how_they_are_made_and_called(pages):
    section = section_of(pages["layers.html"][1], "BahdanauAttention")
    made, called = section.find_all(class_="signature", recursive=False)
    assert "units" in made.get_text()
    assert called.get_text().startswith("layer(query, memory,")
    project = section_of(pages["layers.html"][1], "BahdanauAttention.project")
    assert "Returns" in project.get_text()
    assert "(B, S, U)" in [s.text for s in project.find_all(class_="shape")]


def test_nothing_is_fetched(pages):
    for text, soup in pages.values():
        assert not soup.find_all(
            ["script", "link", "img", "iframe", "base", "object", "embed"]
        )
        styles = "".join(tag.get_text() for tag in soup.find_all("style"))
        assert "@import" not in styles and "url(" not in styles
        assert "prefers-color-scheme: dark" in styles
        assert soup.find("meta", attrs={"name": "viewport"})
        assert "default-src 'none'" in text


def test_links_resolve(pages):
    anchors = {
        name: {tag["id"] for tag in soup.find_all(id=True)}
        for name, (_, soup) in pages.items()
    }
    outside = set()
    for name, (_, soup) in pages.items():
        ids = [tag["id"] for tag in soup.find_all(id=True)]
        assert len(ids) == len(set(ids))
        for link in soup.find_all("a"):
            page, _, anchor = link["href"].partition("#")
            if page.startswith("https:"):
                outside.add(page)
                continue
            assert (page or name) in pages, link
            assert not anchor or anchor in anchors[page or name], link
    assert any(page.startswith("https://arxiv.org/abs/") for page in outside)
    assert all(
        re.match(r"https://(arxiv\.org/abs/\d{4}\.\d{4,5}$|doi\.org/10\.|)", a)
        for a in outside
    )


def test_every_page_leads_to_every_other(pages):
    for name, (_, soup) in pages.items():
        links = {a["href"].partition("#")[0] for a in soup.find_all("a")}
        assert set(pages) - {name} <= links


def test_headings_do_not_skip_a_level(pages):
    for _, soup in pages.values():
        levels = [int(h.name[1]) for h in soup.find_all(re.compile(r"^h\d$"))]
        assert levels[0] == 1 and levels.count(1) == 1
        for one, other in zip(levels, levels[1:], strict=False):
            assert other <= one + 1


def test_the_command_line_prints_the_path(reports, capsys):
    parser = argparse.ArgumentParser()
    cli.add_docs_parser(parser.add_subparsers())
    arguments = parser.parse_args(["docs"])
    assert arguments.run(arguments) == 0
    assert capsys.readouterr().out.strip() == str(
        reports / "docs" / "index.html"
    )


def documented(size, *rest, flag=True):
    """Do <this>
    or that.

    More of it::

        code = 1 < 2

    - one `documented`
      goes on
    - two

    Args:
        size: Pixels, shapes (B, 2) and (B, H, W).
            A second line: still his.
        *rest: See doi:10.1000/182.
        flag, other: Both.

    Returns:
        Nothing.

    Example:
        >>> 1 + 1
        2
    """


def test_a_docstring_in_parts():
    parts = docstrings.parse(documented)
    assert parts.summary == "Do <this> or that."
    assert list(parts.sections) == ["Args", "Returns", "Example"]
    assert docstrings.fields(parts.sections["Args"]) == [
        (
            "size",
            "Pixels, shapes (B, 2) and (B, H, W).\nA second line: still his.",
        ),
        ("*rest", "See doi:10.1000/182."),
        ("flag, other", "Both."),
    ]
    assert parts.sections["Example"] == ">>> 1 + 1\n2"


def test_a_docstring_as_html():
    parts = docstrings.parse(documented)
    html = docstrings.blocks(parts.text, {"documented": "a.html#b"})
    assert html.startswith("<p>More of it:</p>")
    assert '<ul><li>one <a href="a.html#b"><code>documented</code></a>' in html
    assert "goes on</li><li>two</li></ul>" in html
    soup = BeautifulSoup(html, "html.parser")
    assert soup.find("pre").get_text().strip() == "code = 1 < 2"
    html = docstrings.section("Args", parts.sections["Args"], {})
    assert html.count('<span class="shape">') == 2
    assert '<a href="https://doi.org/10.1000/182">doi:10.1000/182</a>' in html
    assert "&lt;this&gt;" in docstrings.inline(parts.summary, {})


def test_what_has_no_docstring():
    parts = docstrings.parse(test_what_has_no_docstring)
    assert parts == docstrings.Docstring("", "", {})


def test_long_signatures_have_one_argument_per_line():
    def function(first, *, second="a" * 60, third=None) -> int:
        return 0

    assert reference._signature("function", function).splitlines() == [
        "function(",
        "    first,",
        "    *,",
        f"    second={'a' * 60!r},",
        "    third=None,",
        ") -> int",
    ]
    assert reference._signature("f", documented) == (
        "f(size, *rest, flag=True)"
    )


def test_source_without_its_docstring():
    source = 'def f():\n    """One\n    two."""\n    return 1\n'
    assert reference._without_docstring(source) == "def f():\n    return 1"
    alone = 'def f():\n    """One."""\n'
    assert reference._without_docstring(alone) == alone
