"""Flowers and birds, on small files in the publishers' format."""

import numpy as np
import pytest
from PIL import Image

from attnlib import datasets
from attnlib.datasets import DatasetCorrupt, DatasetUnavailable, flowers17


def picture(path, size=(60, 40), colour=(200, 30, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("ATTNLIB_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture
def flowers(data):
    for number in range(1, 1361):
        # The kind is in the colour.
        colour = (10 * ((number - 1) // 80), 0, 0)
        picture(
            data / f"flowers17/jpg/image_{number:04d}.jpg", (16, 16), colour
        )
    return data / "flowers17"


@pytest.fixture
def birds(data):
    """Twelve photographs of three kinds; the last four are for test."""
    root = data / "cub_200" / "CUB_200_2011"
    kinds = ["001.Albatross", "002.Auklet", "003.Blackbird"]
    lists = {name: [] for name in LISTS}
    for number in range(1, 13):
        kind = (number - 1) % 3
        name = f"{kinds[kind]}/bird_{number:04d}.jpg"
        picture(root / "images" / name, (60, 40), (80 * kind, 0, 0))
        lists["images.txt"].append(f"{number} {name}")
        lists["image_class_labels.txt"].append(f"{number} {kind + 1}")
        lists["train_test_split.txt"].append(f"{number} {int(number <= 8)}")
        lists["bounding_boxes.txt"].append(f"{number} 6.0 4.0 30.0 20.0")
    lists["classes.txt"] = [f"{i} {kind}" for i, kind in enumerate(kinds, 1)]
    for name, lines in lists.items():
        (root / name).write_text("\n".join(lines) + "\n")
    return root


LISTS = (
    "images.txt",
    "image_class_labels.txt",
    "train_test_split.txt",
    "bounding_boxes.txt",
    "classes.txt",
)


def test_flowers_are_split_within_each_kind(flowers):
    sizes = {"train": 50, "validation": 10, "test": 20}
    numbers = []
    for split, each in sizes.items():
        given = datasets.load("flowers17", split, side=16)
        assert given["images"].shape == (17 * each, 16, 16, 3)
        assert (np.bincount(given["label"], minlength=17) == each).all()
        # JPEG changes colours a little.
        red = given["images"][..., 0].mean(axis=(1, 2))
        assert np.abs(red - 10 * given["label"]).max() < 5
        numbers.append(flowers17.numbers_of(split))
    assert np.array_equal(np.sort(np.concatenate(numbers)), range(1, 1361))


def test_a_missing_flower_is_one_clear_error(flowers):
    number = flowers17.numbers_of("test")[0]
    (flowers / f"jpg/image_{number:04d}.jpg").unlink()
    with pytest.raises(DatasetCorrupt, match=f"lacks 1 .*image_{number:04d}"):
        datasets.load("flowers17", "test", side=16)
    assert len(datasets.load("flowers17", "train", side=16)["label"]) == 850


def test_birds_keep_the_official_split(birds):
    parts = {
        split: datasets.load("cub_200", split, side=20)
        for split in ("train", "validation", "test")
    }
    counts = [len(part["label"]) for part in parts.values()]
    assert counts[2] == 4 and sum(counts[:2]) == 8
    test = parts["test"]
    assert test["images"].shape == (4, 20, 20, 3)
    assert test["label"].tolist() == [2, 0, 1, 2]
    assert test["names"] == ["Albatross", "Auklet", "Blackbird"]
    red = test["images"][..., 0].mean(axis=(1, 2))
    assert np.abs(red - 80 * test["label"]).max() < 5
    # 60 x 40 pixels became 20 x 20.
    assert np.allclose(test["boxes"], [2, 2, 10, 10])


@pytest.mark.parametrize("name", LISTS)
def test_a_missing_list_of_birds_is_one_clear_error(birds, name):
    (birds / name).unlink()
    with pytest.raises(DatasetCorrupt, match=f"has no file {name}"):
        datasets.load("cub_200", "test")


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("images.txt", "12 003", "12003", "line 12: expected a new number"),
        ("images.txt", "12 003", "11 003", "line 12: expected a new number"),
        ("image_class_labels.txt", "12 3", "12 9", "label '9'.* 3 classes"),
        ("image_class_labels.txt", "12 3", "13 3", "not list the same images"),
        ("bounding_boxes.txt", "12 6.0 ", "12 ", "four numbers for 003"),
        ("images.txt", "bird_0012", "bird_0013", "lacks 1 .*bird_0013"),
    ],
)
def test_wrong_lists_of_birds_are_one_clear_error(
    birds, name, old, new, message
):
    text = (birds / name).read_text()
    assert old in text
    (birds / name).write_text(text.replace(old, new))
    with pytest.raises(DatasetCorrupt, match=message):
        datasets.load("cub_200", "test")


@pytest.mark.parametrize("name", ["flowers17", "cub_200"])
def test_without_the_data_one_error_says_what_to_do(data, name):
    with pytest.raises(DatasetUnavailable, match=rf"{name}.*ATTNLIB_DATA"):
        datasets.load(name, "test")
    with pytest.raises(ValueError, match="side"):
        datasets.load(name, "test", side=4)
