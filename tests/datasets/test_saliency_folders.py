"""Photographs and masks in folders, from small files in their format."""

import numpy as np
import pytest
from PIL import Image

from attnlib import datasets
from attnlib.datasets import masks, saliency_folders


def photo(path, value, size=(40, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, value)).save(path)


def mask(path, value=255, size=(40, 30), mode="L"):
    """Save a mask whose left half is salient."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((size[1], size[0]), np.uint8)
    pixels[:, : size[0] // 2] = value
    Image.fromarray(pixels).convert(mode).save(path)


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("ATTNLIB_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture
def horses(data):
    for part, count in (("train", 20), ("test", 3)):
        for n in range(count):
            folder = data / "weizmann_horses"
            photo(folder / f"horse_{part}" / f"horse{n:03d}.jpg", 10 * n)
            mask(folder / f"mask_{part}" / f"horse{n:03d}.png", 1)
    return data / "weizmann_horses"


def test_horses_and_their_splits(horses):
    parts = {
        split: datasets.load("weizmann_horses", split, width=32, height=24)
        for split in ("train", "validation", "test")
    }
    train, held, test = (part["names"] for part in parts.values())
    assert len(train) + len(held) == 20 and not set(train) & set(held)
    assert 0 < len(held) < 6 and len(test) == 3
    for part in parts.values():
        assert part["images"].shape[1:] == (24, 32, 3)
        assert part["mask"].dtype == np.uint8
        assert (part["mask"][:, :, :16] == 1).all()
        assert (part["mask"][:, :, 16:] == 0).all()
    number = [int(name.removeprefix("horse")) for name in train]
    middle = parts["train"]["images"][:, 12, 16, 0]
    np.testing.assert_allclose(middle, 10 * np.array(number), atol=2)


@pytest.mark.parametrize("mode", ["L", "1", "RGB", "P"])
def test_white_is_salient_whatever_the_mode(data, mode):
    for n in range(12):
        photo(data / "ecssd" / "images" / f"{n:04d}.jpg", n)
        mask(data / "ecssd" / "ground_truth_mask" / f"{n:04d}.png", mode=mode)
    found = datasets.load("ecssd", "all", width=20, height=16)
    assert len(found["names"]) == 12
    assert found["mask"][:, :, :10].all() and not found["mask"][:, :, 10:].any()
    splits = ("train", "validation", "test")
    several = [datasets.load("ecssd", s)["names"] for s in splits]
    assert sorted(sum(several, [])) == found["names"]


def test_the_split_by_names_has_shares():
    found = [saliency_folders.split_of(f"{n:04d}") for n in range(1000)]
    shares = [found.count(s) / 1000 for s in ("train", "validation", "test")]
    np.testing.assert_allclose(shares, [0.6, 0.1, 0.3], atol=0.05)


@pytest.fixture
def msra(data):
    folder = data / "msra_b" / "MSRA-B"
    for n in range(12):
        photo(folder / f"0_{n}.jpg", n)
        mask(folder / f"0_{n}.png")
    return folder


def test_one_folder_for_both_and_lists(msra):
    splits = ("train", "validation", "test")
    several = [datasets.load("msra_b", s)["names"] for s in splits]
    assert len(sum(several, [])) == 12
    (msra / "train.txt").write_text("0_3.jpg\n0_1.jpg\n")
    with pytest.raises(datasets.DatasetCorrupt, match="no test.txt: give a"):
        datasets.load("msra_b", "test")
    assert datasets.load("msra_b")["names"] == ["0_3", "0_1"]
    for text, said in (("0_77\n", "names '0_77', for which"), ("", "is empty")):
        (msra / "train.txt").write_text(text)
        with pytest.raises(datasets.DatasetCorrupt, match=said):
            datasets.load("msra_b")


def test_a_mask_of_another_size(msra):
    mask(msra / "0_5.png", size=(30, 40))
    with pytest.raises(
        datasets.DatasetCorrupt,
        match="0_5 in .* as large as its image, 40x30. Received: 30x40",
    ):
        for split in ("train", "validation", "test"):
            datasets.load("msra_b", split)


def test_a_missing_mask_and_an_empty_folder(msra, data):
    (msra / "0_7.png").unlink()
    with pytest.raises(
        datasets.DatasetCorrupt, match="lacks 1 of 12 masks.*0_7.png"
    ):
        datasets.load("msra_b")
    for path in msra.iterdir():
        path.unlink()
    with pytest.raises(datasets.DatasetCorrupt, match="has no .jpg file"):
        datasets.load("msra_b")


def test_files_that_are_no_images(msra):
    (msra / "0_2.png").write_bytes(b"no image")
    with pytest.raises(datasets.DatasetCorrupt, match="0_2 in"):
        saliency_folders.read(
            msra, msra, ["0_2"], 20, 20, masks.read_silhouette
        )


def test_labels_of_horses_are_0_and_1(horses):
    mask(horses / "mask_test" / "horse001.png", 7)
    with pytest.raises(
        datasets.DatasetCorrupt, match="from 0 to 1.*Received: 7"
    ):
        datasets.load("weizmann_horses", "test")


def test_sizes_have_bounds(horses):
    with pytest.raises(ValueError, match="width: expected.*16 to 640"):
        datasets.load("weizmann_horses", width=8)
    with pytest.raises(ValueError, match="height: expected.*16 to 640"):
        datasets.load("weizmann_horses", height=1000)


def test_absent_folders(data):
    with pytest.raises(
        datasets.DatasetUnavailable, match="images and ground_truth_mask"
    ):
        datasets.load("ecssd")
