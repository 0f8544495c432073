"""easy-VQA and DAQUAR, from small files in their format."""

import dataclasses
import hashlib
import json

import numpy as np
import pytest
from PIL import Image

from attnlib.datasets import daquar, easy_vqa, questions, store


def publish(module, folder, monkeypatch, texts):
    """Write files, and tell the data set that they are the published ones."""
    files = []
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        content = path.read_bytes()
        known = module.DATASET.file(name)
        files.append(
            dataclasses.replace(
                known,
                sha256=hashlib.sha256(content).hexdigest(),
                size=len(content),
            )
        )
    changed = dataclasses.replace(module.DATASET, files=tuple(files))
    monkeypatch.setattr(module, "DATASET", changed)


def paint(path, value, mode="RGB", size=(8, 6)):
    path.parent.mkdir(parents=True, exist_ok=True)
    color = value if mode == "L" else (value, 0, 0)
    Image.new(mode, size, color).save(path)


@pytest.fixture
def shapes(tmp_path, monkeypatch):
    """easy-VQA with 20 training and 2 test images."""
    monkeypatch.setenv("ATTNLIB_DATA", str(tmp_path))
    folder = tmp_path / "easy_vqa"
    texts = {}
    for part, count in (("train", 20), ("test", 2)):
        rows = []
        for number in range(count):
            paint(folder / part / "images" / f"{number}.png", 10 * number)
            rows += [
                ["What color is the shape?", "red", number],
                ["is there a circle?", "no", number],
                ["what is the red shape?", "triangle", number],
            ]
        texts[f"{part}/questions.json"] = json.dumps(rows)
    publish(easy_vqa, folder, monkeypatch, texts)
    return folder


def test_shapes_keep_a_tenth_of_the_images_for_validation(shapes):
    train, validation, test = (
        easy_vqa._read(split, size=8)
        for split in ("train", "validation", "test")
    )
    kept = [i for i in range(20) if questions.held_out(str(i))]
    assert 0 < len(kept) < 20
    assert len(validation["images"]) == len(kept)
    assert len(train["images"]) == 20 - len(kept)
    assert test["images"].shape == (2, 8, 8, 3)
    # Every question is about its own image, which is as red as its number.
    others = [i for i in range(20) if i not in kept]
    red = train["images"][train["image"], 0, 0, 0]
    np.testing.assert_array_equal(red, np.repeat(others, 3) * 10)
    assert train["question"][:2] == [
        "what color is the shape",
        "is there a circle",
    ]
    assert train["answer"][:3] == ["red", "no", "triangle"]
    assert train["kind"][:3] == ["colour", "yes/no", "shape"]


def test_a_missing_image_is_named(shapes):
    (shapes / "test" / "images" / "1.png").unlink()
    with pytest.raises(store.DatasetCorrupt, match=r"lacks 1 of 2.*1\.png"):
        easy_vqa._read("test")
    (shapes / "test" / "images" / "1.png").write_bytes(b"no image")
    with pytest.raises(store.DatasetCorrupt, match=r"1\.png in .*not a whole"):
        easy_vqa._read("test")


PAIRS = """what is on the right of the tv in the image3 ?
lamp, table
how many chairs are in the image4 ?
3
what color is the wall of the image 7 ?
white
"""


@pytest.fixture
def rooms(tmp_path, monkeypatch):
    """DAQUAR with two images for training and one, grey, for test."""
    monkeypatch.setenv("ATTNLIB_DATA", str(tmp_path))
    folder = tmp_path / "daquar"
    for number, value in ((3, 30), (4, 40)):
        paint(folder / "images" / f"image{number}.jpg", value)
    paint(folder / "images" / "image7.jpg", 70, "L")
    texts = {
        "all_qa_pairs.txt": PAIRS,
        "train_images_list.txt": "image3\nimage4\n",
        "test_images_list.txt": "image7\n",
    }
    publish(daquar, folder, monkeypatch, texts)
    return folder


def test_rooms_are_split_by_image(rooms):
    found = [daquar._read(s, width=16, height=16) for s in ("train", "test")]
    kept = [n for n in ("image3", "image4") if questions.held_out(n)]
    assert len(found[0]["images"]) == 2 - len(kept)
    assert found[1]["question"] == ["what color is the wall"]
    assert found[1]["answer"] == ["white"] and found[1]["kind"] == ["colour"]
    assert found[1]["images"].shape == (1, 16, 16, 3)
    # A grey photograph has three equal channels.
    assert np.ptp(found[1]["images"], axis=-1).max() == 0


def test_questions_say_which_image_they_are_about():
    found = daquar.read_pairs(PAIRS.splitlines())
    assert [image for image, _, _ in found] == ["image3", "image4", "image7"]
    assert found[0][1:] == ("what is on the right of the tv", "lamp, table")
    assert found[1][1] == "how many chairs are"
    kinds = [daquar.kind_of(question, answer) for _, question, answer in found]
    assert kinds == ["object", "number", "colour"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["what is in the image3 ?"], "an answer is missing"),
        (["what is this ?", "a lamp"], r"image<number> \?.*what is this"),
    ],
)
def test_pairs_of_another_format(lines, message):
    with pytest.raises(store.DatasetCorrupt, match=message):
        daquar.read_pairs(lines)


@pytest.mark.parametrize("module", [easy_vqa, daquar])
def test_without_the_files_the_error_says_where_they_are(
    module, tmp_path, monkeypatch
):
    monkeypatch.setenv("ATTNLIB_DATA", str(tmp_path))
    monkeypatch.setenv("ATTNLIB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(store.DatasetUnavailable, match="not for download"):
        module._read("test")
