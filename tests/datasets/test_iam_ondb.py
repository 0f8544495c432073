"""IAM-OnDB, from small files in both of its forms."""

import dataclasses
import hashlib

import numpy as np
import pytest

from attnlib import datasets
from attnlib.datasets import iam_ondb, store

XML = """<?xml version="1.0" encoding="ISO-8859-1"?>
<WhiteboardCaptureSession>
  <WhiteboardDescription><SensorLocation corner="top_left"/>
  </WhiteboardDescription>
  <StrokeSet>
    <Stroke colour="black" start_time="1" end_time="2">
      <Point x="10" y="20" time="1.0"/>
      <Point x="13" y="24" time="1.1"/>
    </Stroke>
    <Stroke colour="black" start_time="3" end_time="4">
      <Point x="30" y="20" time="3.0"/>
      <Point x="31" y="20" time="3.0"/>
      <Point x="31" y="21" time="3.1"/>
    </Stroke>
  </StrokeSet>
</WhiteboardCaptureSession>
"""


def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("ATTNLIB_DATA", str(tmp_path))
    (tmp_path / "iam_ondb").mkdir()
    return tmp_path / "iam_ondb"


def form_for(split):
    """Return a form's name that belongs to a split."""
    return next(
        form
        for form in (f"a01-{i:03d}" for i in range(500))
        if iam_ondb._twentieth(form) in iam_ondb._TWENTIETHS[split]
    )


def pack(path, monkeypatch, lines):
    """Write lines (name, points, text) as the packed file and publish it."""
    names, points, texts = zip(*lines, strict=True)
    file = path / "iam_ondb_lines.npz"
    np.savez(
        file,
        points=np.concatenate(points).astype(np.int16),
        lengths=np.array([len(p) for p in points], np.int32),
        names=np.array(names),
        texts=np.array(texts),
    )
    content = file.read_bytes()
    entry = dataclasses.replace(
        iam_ondb._PACKED,
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
    )
    published = dataclasses.replace(iam_ondb.DATASET, files=(entry,))
    monkeypatch.setattr(iam_ondb, "DATASET", published)


def scribble(count, jump=None):
    """Return points, a step right each; one jump inside a stroke."""
    points = np.zeros((count, 3), int)
    points[:, 0] = np.arange(count)
    if jump is not None:
        points[count // 2 :, 1] = jump
    points[-1, 2] = 1
    return points


def test_packed_lines_are_split_by_form_and_cleaned(tmp_path, monkeypatch):
    train, test = form_for("train"), form_for("test")
    lines = [
        (f"{train}u-01", scribble(30), "two"),
        (f"{train}w-02", scribble(20), "a"),
        (f"{test}u-01", scribble(25), "tea"),
        (f"{train}u-03", scribble(20), " "),  # no text
        (f"{train}u-04", scribble(20, jump=501), "a"),  # a stray
        (f"{train}u-05", scribble(20, jump=500), "b"),
        (f"{train}u-06", scribble(61), "c"),  # another line's text
        (f"{train}u-07", scribble(9), "de"),
    ]
    pack(folder(tmp_path, monkeypatch), monkeypatch, lines)
    found = iam_ondb._read("train")
    assert found["text"] == ["two", "a", "b"]
    assert found["name"][1] == f"{train}w-02"
    assert found["strokes"][0].shape == (30, 3)
    assert found["strokes"][0][1].tolist() == [1, 0, 0]
    assert iam_ondb._read("test")["text"] == ["tea"]
    assert iam_ondb._read("validation")["text"] == []
    assert iam_ondb._read("train", longest=20)["text"] == ["a", "b"]


def test_a_pen_may_jump_where_it_is_lifted():
    points = scribble(20, jump=900)
    points[9, 2] = 1
    assert iam_ondb.is_clean(points, "a")
    points[9, 2] = 0
    assert not iam_ondb.is_clean(points, "a")


def test_the_published_folders(tmp_path, monkeypatch):
    path, form = folder(tmp_path, monkeypatch), form_for("validation")
    where = path / "lineStrokes" / "a01" / form
    where.mkdir(parents=True)
    (where / f"{form}u-02.xml").write_text(XML)
    with pytest.raises(store.DatasetUnavailable, match=r"ascii-all\.tar\.gz"):
        iam_ondb._read("validation")
    (path / "ascii").mkdir()
    (path / "ascii" / f"{form}u.txt").write_text(
        "OCR:\n\nnot this\n\nCSR: \n\nfirst\na\n"
    )
    found = iam_ondb._read("validation")
    assert found["text"] == ["a"] and found["name"] == [f"{form}u-02"]
    np.testing.assert_array_equal(
        found["strokes"][0],
        [[0, 0, 0], [3, 4, 1], [17, -4, 0], [1, 0, 0], [0, 1, 1]],
    )


def test_broken_xml_names_its_file(tmp_path, monkeypatch):
    path, form = folder(tmp_path, monkeypatch), form_for("train")
    (path / "lineStrokes").mkdir()
    (path / "ascii").mkdir()
    (path / "lineStrokes" / f"{form}u-01.xml").write_text(XML[:200])
    with pytest.raises(store.DatasetCorrupt, match=rf"{form}u-01\.xml.*XML"):
        iam_ondb._read("train")


def test_without_the_data_the_error_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("ATTNLIB_DATA", str(tmp_path))
    monkeypatch.setenv("ATTNLIB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(store.DatasetUnavailable) as error:
        datasets.load("iam_ondb")
    said = str(error.value)
    assert "27.4 MB" in said and "registration" in said
    assert "handwriting-database" in said and "fetch" not in said


def test_names_that_are_none():
    with pytest.raises(store.DatasetCorrupt, match="'a01-000u-01'.*'x1'"):
        iam_ondb.form_of("x1")
