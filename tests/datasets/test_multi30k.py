import dataclasses
import gzip

import pytest

from attnlib import datasets
from attnlib.datasets import multi30k, registry

TEXTS = {
    "de": "Ein Mann.\nZwei Häuser\u2028am Fluss.\n  Drei Hunde. \n",
    "en": "A man.\nTwo houses by the river.\nThree dogs.\n",
    "fr": "Un homme.\nDeux maisons.\n",
}


@pytest.fixture
def published(publisher, monkeypatch):
    files = tuple(
        publisher.publish(
            f"{stem}.{language}.gz",
            gzip.compress(text.replace("\n", f" {stem}\n").encode()),
        )
        for stem in ("train", "val", "test_2016_flickr")
        for language, text in TEXTS.items()
    )
    dataset = dataclasses.replace(multi30k.DATASET, files=files)
    monkeypatch.setattr(multi30k, "DATASET", dataset)
    known = registry.all_sets() | {"multi30k": dataset}
    monkeypatch.setattr(registry, "all_sets", lambda: known)


@pytest.mark.parametrize(
    "split, stem",
    [("train", "train"), ("validation", "val"), ("test", "test_2016_flickr")],
)
def test_pairs(published, publisher, split, stem):
    assert datasets.load("multi30k", split) == {
        "source": [
            f"Ein Mann. {stem}",
            f"Zwei Häuser\u2028am Fluss. {stem}",
            f"Drei Hunde.  {stem}",
        ],
        "target": [
            f"A man. {stem}",
            f"Two houses by the river. {stem}",
            f"Three dogs. {stem}",
        ],
    }
    assert publisher.requests == [f"/{stem}.de.gz", f"/{stem}.en.gz"]


def test_other_direction(published):
    one = datasets.load("multi30k", source="en", target="de")
    other = datasets.load("multi30k", source="de", target="en")
    assert one == {"source": other["target"], "target": other["source"]}


def test_different_numbers_of_lines(published):
    with pytest.raises(datasets.DatasetCorrupt, match="3 sentences in de .* 2"):
        datasets.load("multi30k", target="fr")


@pytest.mark.parametrize("options", [{"source": "nl"}, {"target": ["de"]}])
def test_unknown_language(options):
    with pytest.raises(ValueError, match="expected one of de, en, fr"):
        datasets.load("multi30k", **options)


def test_same_language_twice():
    with pytest.raises(ValueError, match="two different languages"):
        datasets.load("multi30k", source="en", target="en")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"Ein Mann.\n",
        gzip.compress(b"Ein Mann.\n" * 1000)[:-9],
        gzip.compress(b""),
        gzip.compress("Häuser".encode("latin-1")),
    ],
    # gzip's bytes have the time in them: names must be the same everywhere.
    ids=["empty", "no gzip", "cut short", "no text", "latin-1"],
)
def test_bad_text_file(tmp_path, content):
    path = tmp_path / "x.gz"
    path.write_bytes(content)
    with pytest.raises(
        datasets.DatasetCorrupt, match="not whole gzip|is empty"
    ):
        multi30k.read_lines(path)
