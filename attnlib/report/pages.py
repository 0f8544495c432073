"""Draws the report: one front page and one page per executed notebook."""

import re
import time
from pathlib import Path

from bs4 import BeautifulSoup
from markupsafe import Markup
from nbconvert.filters.ansi import ansi2html

from attnlib import claims, paths, profiles
from attnlib.claims.records import revision
from attnlib.report import exporter, jobs, runs, scoreboard
from attnlib.report.templating import render, static

_PROFILE_TEXTS = {
    "smoke": "which only proves that everything runs",
    "quick": "small real data, a laptop",
    "paper": "the papers' data and sizes",
}


def build(profile=None) -> Path:
    """Draw a profile's report from what has been recorded; runs nothing.

    Args:
        profile: `smoke`, `quick` or `paper`; None for the default profile.

    Returns:
        The path of `index.html`.

    Raises:
        ValueError: There is no such profile.
        OSError: The report cannot be written.
    """
    profile = profiles.resolve(profile)
    rows = claims.compare(profile)
    failures = runs.failures(profile)
    found = _notebooks(profile, failures)
    for page in found:
        _write(profile, page["page"], _notebook_page(page, found, rows))
    index = _index(profile, rows, failures, found)
    _remove_old_pages(profile, {page["page"] for page in found})
    return _write(profile, "index.html", index)


def _write(profile, name, text):
    path = runs.folder(profile) / name
    with paths.atomic_write(path) as file:
        file.write(text)
    return path


def _remove_old_pages(profile, current):
    """Remove pages of earlier runs that nothing links to any more."""
    for path in runs.folder(profile).glob("*.html"):
        if re.match(r"(failed-)?\d\d[_-]", path.name):
            if path.name not in current:
                path.unlink(missing_ok=True)


# --- Pages of notebooks ------------------------------------------------------


def _notebooks(profile, failures):
    """Return what is known of every executed or failed copy, in order."""
    folder = runs.folder(profile)
    recorded = {run["job"]: run for run in runs.done(profile)}
    names = [p.stem for p in (folder / "notebooks").glob("[0-9]*.ipynb")]
    names = sorted(filter(jobs.split_name, names), key=runs.sort_key)
    found, first = [], set()
    for name in names:
        notebook = exporter.read(folder / "notebooks" / f"{name}.ipynb")
        if notebook is None:
            continue
        number = name[:2]
        stem = profiles.NOTEBOOKS.get(number, number)
        page = f"{stem}{'' if number not in first else name[2:]}.html"
        first.add(number)
        found.append(
            _page(name, page, notebook, recorded.get(name), profile, None)
        )
    for failure in failures:
        path = folder / "failed" / f"{failure['job']}.ipynb"
        notebook = exporter.read(path)
        if notebook is not None:
            failure["page"] = f"failed-{failure['job']}.html"
            found.append(
                _page(
                    failure["job"],
                    failure["page"],
                    notebook,
                    None,
                    profile,
                    failure,
                )
            )
    return found


def _page(job, page, notebook, run, profile, failure):
    """Return one page's facts, its notebook's cells as HTML among them."""
    number, setting, seed = jobs.split_name(job)
    title = exporter.title(notebook, profiles.NOTEBOOKS.get(number, number))
    figure = exporter.key_figure(notebook)
    return {
        "job": job,
        "number": number,
        "setting": setting,
        "seed": seed,
        "page": page,
        "profile": profile,
        "title": _without_number(title, number),
        "cells": exporter.render(notebook, jobs.NOTEBOOKS),
        "figure": figure,
        "run": run,
        "failure": failure,
    }


def _without_number(title, number):
    """Return a notebook's title without the number that pages add."""
    title = re.sub(r"[`*_$]", "", title)
    return re.sub(rf"^{number}\s*[.:_·–-]*\s*", "", title) or title


def _notebook_page(page, found, rows):
    run, failure = page["run"], page["failure"]
    facts = [("profile", page["profile"]), ("seed", page["seed"])]
    if page["setting"]:
        facts.append(("setting", page["setting"]))
    if run:
        keys = ("backend", "device", "data", "took", "revision")
        facts += [(key, run[key]) for key in keys if run[key]]
    siblings = [
        (other["job"], other["page"])
        for other in found
        if other["number"] == page["number"] and not other["failure"]
    ]
    own = [row for row in rows if row["notebook"] == page["number"]]
    moment = run["finished"] if run else failure["when"] if failure else ""
    return render(
        "page.html.j2",
        title=page["title"],
        job=page["job"],
        number=page["number"],
        facts=facts,
        siblings=[] if failure else siblings,
        failure=failure,
        cells=Markup(page["cells"]),  # noqa: S704 - cleaned by the exporter
        contents=_contents(page["cells"]),
        rows=[]
        if failure
        else [scoreboard.view(row) for row in own if row["ours"]],
        finished=moment or "at an unknown time",
        js=static("notebook.js"),
    )


def _contents(cells):
    """Return (id, text) of the sections of a page."""
    # Pictures are most of a page and hold no headings.
    slim = re.sub(r"data:[^\"']{200,}", "", cells)
    found = []
    for heading in BeautifulSoup(slim, "html.parser").find_all("h2", id=True):
        for extra in heading.find_all(["a", "annotation"]):
            if extra.name == "annotation" or "anchor-link" in extra.get(
                "class", []
            ):
                extra.decompose()
        found.append((heading["id"], heading.get_text(" ", strip=True)))
    return found


# --- The front page ----------------------------------------------------------


def _index(profile, rows, failures, found):
    listed = _runs_table(profile, failures, found)
    counts = scoreboard.tally(rows)
    for failure in failures:
        failure.setdefault("page", "")
        failure["details"] = _traceback(failure["details"])
    return render(
        "index.html.j2",
        profile=profile,
        profile_text=_PROFILE_TEXTS.get(profile, ""),
        facts=_facts(listed),
        tally=counts,
        tally_text=", ".join(f"{count} {name}" for name, count in counts),
        failures=failures,
        problems=_problems(profile),
        cards=_cards(rows, found),
        groups=_groups(rows, found),
        runs=listed,
        runs_text=_runs_text(listed),
        environment=_environment_table(listed),
        drawn=runs.when(time.time()),
        js=static("report.js"),
    )


def _traceback(details):
    """Return a traceback with its terminal colours as HTML."""
    return Markup(ansi2html(details)) if details else ""  # noqa: S704


def _problems(profile):
    return [
        f"{name} was damaged and is kept for a look; its claims count as not "
        "run until the notebook has run again."
        for name in runs.damaged(profile)
    ]


def _runs_table(profile, failures, found):
    pages = {p["job"]: p["page"] for p in found if not p["failure"]}
    listed = runs.done(profile)
    for run in listed:
        run["page"] = pages.get(run["job"], "")
    for failure in failures:
        listed.append(
            {
                "job": failure["job"],
                "profile": profile,
                "finished": failure["when"],
                "took": failure["took"],
                "backend": failure["backend"],
                "page": failure.get("page", ""),
                "failed": True,
            }
            | dict.fromkeys(("device", "data", "revision"), "")
        )
    if profile != "paper":
        listed += [run | {"page": ""} for run in runs.done("paper")]
    return listed


def _facts(listed):
    """Return what the head of the page says about this profile's runs."""
    done = [run for run in listed if not run["failed"]]
    facts = [("revision", revision())]
    if done:
        own = [run for run in done if run["profile"] == listed[0]["profile"]]
        facts += [
            ("backend", runs.joined(run["backend"] for run in own)),
            ("device", runs.joined(run["device"] for run in own)),
            ("jobs", len(own)),
            ("computing", claims.humanise(sum(r["seconds"] for r in own))),
        ]
    return [(name, value) for name, value in facts if value]


def _runs_text(listed):
    timed = [r for r in listed if r.get("started_at") and r.get("finished_at")]
    if not timed:
        return ""
    span = max(r["finished_at"] for r in timed) - min(
        r["started_at"] for r in timed
    )
    total = claims.humanise(sum(run["seconds"] for run in timed))
    return (
        f"{total} of computing; {claims.humanise(span)} from the first "
        "start to the last end."
    )


def _environment_table(listed):
    done = [run for run in listed if not run["failed"]]
    results = runs.joined(run["revision"] for run in done)
    table = [
        ("git revision of this page", revision()),
        ("git revision of the results", results),
        ("backend", runs.joined(run["backend"] for run in done)),
        ("device", runs.joined(run["device"] for run in done)),
    ]
    names = dict.fromkeys(name for run in done for name in run["versions"])
    for name in names:
        versions = runs.joined(run["versions"].get(name) for run in done)
        table.append((name, versions))
    return [(name, value) for name, value in table if value]


def _cards(rows, found):
    """Return one card per notebook that has been executed."""
    cards = {}
    for page in found:
        if page["failure"]:
            continue
        card = cards.setdefault(page["number"], _card(page, rows))
        card["pages"].append((page["job"], page["page"]))
        card["seconds"] += page["run"]["seconds"] if page["run"] else 0
        card["data"].append(page["run"]["data"] if page["run"] else "")
    for card in cards.values():
        parts = [
            runs.joined(card["data"]),
            claims.humanise(card["seconds"]) if card["seconds"] else "",
        ]
        card["text"] = ", ".join(filter(None, parts))
    return list(cards.values())


def _card(page, rows):
    own = [row for row in rows if row["notebook"] == page["number"]]
    figure, alt = page["figure"] or ("", "")
    return {
        "number": page["number"],
        "title": page["title"],
        "page": page["page"],
        "pages": [],
        "figure": figure,
        "alt": alt or f"Key figure of notebook {page['number']}",
        "tally": scoreboard.tally(own),
        "seconds": 0,
        "data": [],
    }


def _groups(rows, found):
    """Return the claims by notebook."""
    titles = {page["number"]: page["title"] for page in reversed(found)}
    groups = []
    for notebook in sorted({row["notebook"] for row in rows}):
        own = [row for row in rows if row["notebook"] == notebook]
        groups.append(
            {
                "number": notebook,
                "title": titles.get(notebook) or _plain_title(notebook, own),
                "tally": scoreboard.tally(own),
                "decided": [scoreboard.view(r) for r in own if r["ours"]],
                "open": [scoreboard.view(r) for r in own if not r["ours"]],
            }
        )
    return groups


def _plain_title(notebook, rows):
    """Return a title for a notebook that has not been executed."""
    stem = profiles.NOTEBOOKS.get(notebook)
    if stem is None:
        systems = ", ".join(dict.fromkeys(row["system"] for row in rows))
        return systems
    return stem[3:].replace("_", " ").capitalize()
