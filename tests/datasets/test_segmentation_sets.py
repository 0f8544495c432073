"""CamVid and PASCAL VOC, from small files in their format."""

import contextlib
import dataclasses
import hashlib
import tarfile

import numpy as np
import pytest
from PIL import Image

from attnlib import datasets
from attnlib.datasets import cli, masks, pascal_voc, questions, store


def paint(path, value, size=(32, 24)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, 0, 0)).save(path)


def label(path, mask, palette=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(mask, np.uint8))
    if palette:
        image.putpalette([v for i in range(256) for v in (i, 255 - i, 7)])
    image.save(path)


@pytest.fixture
def drive(tmp_path, monkeypatch):
    """CamVid with two frames a split, of one class but for a void corner."""
    monkeypatch.setenv("ATTNLIB_DATA", str(tmp_path))
    folder = tmp_path / "camvid"
    for number, part in enumerate(("train", "val", "test")):
        for frame in range(2):
            paint(folder / part / f"f{frame}.png", 40 * number)
            mask = np.full((24, 32), 3 * number + frame)
            mask[:12, :16] = 11
            label(folder / f"{part}annot" / f"f{frame}.png", mask)
    return folder


def test_frames_and_masks_belong_together(drive):
    for number, split in enumerate(("train", "validation", "test")):
        data = datasets.load("camvid", split, width=16, height=16)
        assert data["images"].shape == (2, 16, 16, 3)
        assert data["mask"].shape == (2, 16, 16)
        assert data["mask"].dtype == np.uint8
        assert (data["images"][..., 0] == 40 * number).all()
        for frame in range(2):
            assert (data["mask"][frame, :8, :8] == masks.IGNORE).all()
            assert (data["mask"][frame, 8:] == 3 * number + frame).all()
        assert data["names"] == ["f0", "f1"]


def test_masks_are_resized_without_new_classes(drive):
    mask = np.zeros((24, 32))
    mask[:, 16:] = 8
    label(drive / "testannot" / "f0.png", mask)
    data = datasets.load("camvid", "test", width=17, height=23)
    assert set(np.unique(data["mask"][0])) == {0, 8}


def test_folders_are_present_or_absent(drive, monkeypatch, tmp_path, capsys):
    info = datasets.info("camvid")
    assert info["present"] and not info["embedded"] and info["url"] == {}
    assert [p.name for p in datasets.fetch("camvid")][:2] == [
        "train",
        "trainannot",
    ]
    cli.run_list(None)
    (line,) = [x for x in capsys.readouterr().out.splitlines() if "camvid" in x]
    assert "present in" in line and "0.0 kB" not in line
    before = datasets.digest("camvid")
    paint(drive / "train" / "f2.png", 1)
    assert datasets.digest("camvid") != before
    monkeypatch.setenv("ATTNLIB_DATA", str(tmp_path / "empty"))
    assert not datasets.info("camvid")["present"]
    for call in (datasets.load, datasets.digest, datasets.fetch):
        with pytest.raises(
            store.DatasetUnavailable,
            match=r"'camvid' \(licence.*not for download: train and trainannot",
        ):
            call("camvid")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda folder: (folder / "trainannot" / "f1.png").unlink(),
            "lacks 1 of 2 masks, the first is f1.png",
        ),
        (
            lambda folder: label(
                folder / "trainannot" / "f0.png", np.zeros((24, 30))
            ),
            "f0 in .*as large as its image, 32x24. Received: 30x24",
        ),
        (
            lambda folder: label(
                folder / "trainannot" / "f0.png", np.full((24, 32), 12)
            ),
            "labels from 0 to 10, or 11 for none. Received: 12",
        ),
        (
            lambda folder: paint(folder / "trainannot" / "f0.png", 3),
            "one number of a class for each pixel.*mode RGB",
        ),
        (
            lambda folder: (folder / "train" / "f0.png").write_bytes(b"no"),
            "f0 in .*cannot be used",
        ),
    ],
)
def test_a_spoilt_file_is_named(drive, spoil, message):
    spoil(drive)
    with pytest.raises(store.DatasetCorrupt, match=message):
        datasets.load("camvid", "train")


def test_an_empty_folder_is_named(drive):
    for path in (drive / "val").iterdir():
        path.unlink()
    with pytest.raises(store.DatasetCorrupt, match="no .jpg or .png file"):
        datasets.load("camvid", "validation")


NAMES = [f"2007_{n:06d}" for n in range(20)]


@pytest.fixture
def voc(tmp_path, monkeypatch):
    """VOC with 20 photographs for training and 2 for validation."""
    monkeypatch.setenv("ATTNLIB_DATA", str(tmp_path))
    folder = tmp_path / "pascal_voc" / "VOCdevkit" / "VOC2012"
    lists = folder / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for part, names in (("train", NAMES), ("val", ["2008_000001", "x"])):
        (lists / f"{part}.txt").write_text("\n".join(names) + "\n")
        for number, name in enumerate(names):
            paint(folder / "JPEGImages" / f"{name}.jpg", 8 * number)
            mask = np.full((24, 32), number % 21)
            mask[0] = 255
            label(folder / "SegmentationClass" / f"{name}.png", mask, True)
    return folder


def check_voc():
    train, held, test = (
        datasets.load("pascal_voc", split, width=32, height=24)
        for split in ("train", "validation", "test")
    )
    kept = [name for name in NAMES if questions.held_out(name)]
    assert kept and held["names"] == kept
    assert sorted(kept + train["names"]) == NAMES
    assert test["names"] == ["2008_000001", "x"]
    for data in (train, held):
        for name, mask in zip(data["names"], data["mask"], strict=True):
            assert (mask[1:] == NAMES.index(name)).all()
            assert (mask[0] == 255).all()
    assert len(pascal_voc.CLASSES) == 21


def test_palettes_are_numbers_of_classes(voc):
    check_voc()


def test_the_archive_is_read_without_unpacking(voc, tmp_path, monkeypatch):
    path = tmp_path / "archive.tar"
    with tarfile.open(path, "w") as file:
        file.add(voc.parent, "VOCdevkit")
    voc.parent.rename(tmp_path / "elsewhere")
    path.rename(tmp_path / "pascal_voc" / pascal_voc._ARCHIVE)
    path = tmp_path / "pascal_voc" / pascal_voc._ARCHIVE
    known = dataclasses.replace(
        pascal_voc.DATASET.files[0],
        md5=hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest(),
    )
    changed = dataclasses.replace(pascal_voc.DATASET, files=(known,))
    monkeypatch.setattr(pascal_voc, "DATASET", changed)
    check_voc()


def test_a_file_that_is_no_archive(tmp_path):
    path = tmp_path / "no.tar"
    path.write_bytes(b"nothing")
    with (
        contextlib.ExitStack() as stack,
        pytest.raises(store.DatasetCorrupt, match="not a whole tar archive"),
    ):
        pascal_voc._Archive(path, stack)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("JPEGImages/x.jpg", "lacks 1 of the 4 files of the test split.*x.jpg"),
        ("SegmentationClass/x.png", r"the first is SegmentationClass/x\.png"),
        ("ImageSets/Segmentation/val.txt", "no file ImageSets/.*val.txt"),
    ],
)
def test_a_missing_file_is_named(voc, file, message):
    (voc / file).unlink()
    with pytest.raises(store.DatasetCorrupt, match=message):
        datasets.load("pascal_voc", "test")
