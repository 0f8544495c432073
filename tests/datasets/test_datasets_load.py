import argparse
import os

import numpy as np
import pytest

from attnlib import datasets
from attnlib.datasets import cli

REAL = os.environ.get("ATTNLIB_DATA")


def test_available():
    names = datasets.available()
    assert names == sorted(names)
    assert {"digits28", "mnist", "multi30k", "number_words"} <= set(names)


@pytest.mark.parametrize("name", ["nmist", "", None, ["mnist"], 3])
@pytest.mark.parametrize(
    "function", [datasets.load, datasets.info, datasets.fetch, datasets.digest]
)
def test_unknown_data_set(function, name):
    with pytest.raises(
        ValueError, match="unknown data set .* digits28, .*mnist"
    ):
        function(name)


def test_unknown_data_set_to_verify():
    with pytest.raises(ValueError, match="unknown data set"):
        datasets.verify("nmist")


@pytest.mark.parametrize("split", ["dev", "", None, ["train"]])
def test_unknown_split(split):
    with pytest.raises(ValueError, match="unknown split .*train, validation"):
        datasets.load("digits28", split)


def test_unknown_options_name_the_known_ones(toy):
    with pytest.raises(ValueError, match="no option 'size'.* are colour"):
        datasets.load("toy", size=3)
    with pytest.raises(ValueError, match="no option 'size'.* are colour"):
        datasets.digest("toy", size=3)
    found = datasets.load("toy", "test", colour="blue")
    assert found == {"split": "test", "colour": "blue"}


def test_info(toy, tmp_path):
    before = datasets.info("toy")
    datasets.fetch("toy")
    after = datasets.info("toy")
    assert (before["present"], after["present"]) == (False, True)
    assert after["size"] == 3000
    assert after["licence"] == "CC0"
    assert after["options"] == {"colour": "red"}
    assert after["url"]["a.bin"] == toy.files[0].urls[0]
    assert after["sha256"]["a.bin"] == toy.files[0].sha256
    assert after["files"][0]["path"].startswith(str(tmp_path))


def test_info_of_embedded():
    found = datasets.info("digits28")
    assert found["embedded"] and found["present"] and found["size"] == 0
    assert datasets.fetch("digits28") == []
    assert datasets.verify("digits28") == []


def test_digest_of_files_needs_no_files(toy, publisher):
    first = datasets.digest("toy")
    assert len(first) == 16 and int(first, 16)
    assert datasets.digest("toy", colour="red") == first
    assert datasets.digest("toy", colour="blue") != first
    assert not publisher.requests


def test_digest_of_embedded_is_of_the_content():
    first = datasets.digest("number_words", maximum=99)
    assert first == datasets.digest("number_words", maximum=99, source="en")
    assert first != datasets.digest("number_words", maximum=99, source="fr")
    assert first != datasets.digest("number_words", maximum=99, seed=1)


# A change of these means that trained models and results no longer belong to
# the data: it has to be on purpose.
@pytest.mark.parametrize(
    "name, options, expected",
    [
        ("digit_scenes", {"count": 50}, "d0682df1bc5b6773"),
        ("digits28", {}, "0c6e8fec39b360fc"),
        ("flickr8k", {}, "63cba1080a8423ac"),
        ("number_words", {"maximum": 999}, "1be17a1be15a7834"),
        ("question_scenes", {"scenes": 20}, "5c74538b10cfc196"),
        (
            "question_scenes",
            {"scenes": 20, "task": "relative"},
            "a6188729d2cfabda",
        ),
        ("reversal", {"count": 50}, "4c714a3e6f9818ab"),
        ("binarized_mnist", {}, "b2706cfe23db5961"),
        ("mnist", {}, "f36a71c09fb0f024"),
        ("moving_digits", {"count": 50}, "09815d0f78b64626"),
        ("multi30k", {}, "11715d26aeb0babb"),
    ],
)
def test_digests_stay(name, options, expected):
    assert datasets.digest(name, **options) == expected


def run(*words):
    parser = argparse.ArgumentParser()
    cli.add_parser(parser.add_subparsers())
    args = parser.parse_args(["datasets", *words])
    return args.run(args)


@pytest.mark.parametrize("words", [(), ("list",)])
def test_command_list(toy, capsys, words):
    assert run(*words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "size", "where", "licence"]
    rows = {line.split()[0]: line for line in lines[1:]}
    assert set(rows) == set(datasets.available()) | {"toy"}
    assert "absent" in rows["toy"] and "3.0 kB" in rows["toy"]
    assert "embedded" in rows["digits28"]
    assert "11.6 MB" in rows["mnist"]


def test_command_list_says_where(toy, capsys, tmp_path):
    folder = tmp_path / "cache" / "datasets" / "toy"
    datasets.fetch("toy")
    run("list")
    assert f"present in {folder}" in capsys.readouterr().out
    (folder / "b.bin").unlink()
    run("list")
    assert "1 of 2 files" in capsys.readouterr().out
    (folder / "a.bin").write_bytes(b"")
    run("list")
    assert "corrupt" in capsys.readouterr().out


def test_command_fetch(toy, capsys, tmp_path):
    assert run("fetch", "toy") == 0
    output = capsys.readouterr().out
    assert "licence: CC0" in output
    assert str(tmp_path / "cache" / "datasets" / "toy" / "a.bin") in output
    assert run("fetch", "digits28") == 0
    assert "nothing to fetch" in capsys.readouterr().out
    with pytest.raises(ValueError, match="unknown data set"):
        run("fetch", "nmist")


def test_command_verify(toy, capsys, tmp_path):
    datasets.fetch("toy")
    assert run("verify", "toy") == 0
    assert run("verify") == 0
    bad = tmp_path / "cache" / "datasets" / "toy" / "a.bin"
    bad.write_bytes(b"x" * 1000)
    os.utime(bad, ns=(1, 1))
    assert run("verify") == 1
    assert f"corrupt  {bad}" in capsys.readouterr().out
    assert run("verify", "number_words") == 0
    assert "nothing to verify" in capsys.readouterr().out


@pytest.mark.skipif(not REAL, reason="ATTNLIB_DATA is not set")
class TestRealFiles:
    @pytest.fixture(autouse=True)
    def real_folder(self, own_folders, monkeypatch):
        monkeypatch.setenv("ATTNLIB_DATA", REAL)

    def needs(self, name):
        if not datasets.info(name)["present"]:
            pytest.skip(f"ATTNLIB_DATA has no {name}")

    def test_checksums(self):
        states = {row["state"] for row in datasets.verify()}
        assert states <= {"present", "absent"}

    def test_mnist(self):
        self.needs("mnist")
        train = datasets.load("mnist")
        assert train["images"].shape == (50000, 28, 28, 1)
        assert list(train["label"][:5]) == [5, 0, 4, 1, 9]
        both = datasets.load("mnist", "train+validation")
        assert np.bincount(both["label"])[1] == 6742
        test = datasets.load("mnist", "test")
        assert np.bincount(test["label"])[1] == 1135

    def test_binarized_mnist(self):
        # Not present by name where only the packed copy is.
        path = os.path.join(REAL, "binarized_mnist", "mnist_binarized.npz")
        if not os.path.exists(path):
            self.needs("binarized_mnist")
        for split, count in (
            ("train", 50000),
            ("validation", 10000),
            ("test", 10000),
        ):
            images = datasets.load("binarized_mnist", split)["images"]
            assert images.shape == (count, 28, 28, 1)
            assert np.unique(images).tolist() == [0, 255]

    def test_flickr8k(self):
        # Not present by name where the archives are unpacked.
        if not os.path.isdir(os.path.join(REAL, "flickr8k", "Flickr8k_text")):
            self.needs("flickr8k")
        names = []
        for split, count in (
            ("train", 6000),
            ("validation", 1000),
            ("test", 1000),
        ):
            data = datasets.load("flickr8k", split, size=16)
            assert data["images"].shape == (count, 16, 16, 3)
            assert data["skipped"] == []
            assert {len(captions) for captions in data["captions"]} == {5}
            names += data["names"]
        assert len(set(names)) == 8000
        assert "2258277193_586949ec62.jpg" not in names

    def test_multi30k(self):
        self.needs("multi30k")
        for split, count in (
            ("train", 29000),
            ("validation", 1014),
            ("test", 1000),
        ):
            for source in ("de", "fr"):
                pairs = datasets.load("multi30k", split, source=source)
                assert len(pairs["source"]) == len(pairs["target"]) == count
                assert all(pairs["source"]) and all(pairs["target"])
