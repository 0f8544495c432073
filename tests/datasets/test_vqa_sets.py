"""Sets of questions about images, from small files in their format."""

import dataclasses
import hashlib
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from attnlib import datasets
from attnlib.datasets import (
    daquar,
    easy_vqa,
    pictures,
    questions,
    store,
    visual7w,
    vqa_v2,
)


def publish(module, folder, monkeypatch, texts):
    """Write files, and tell the data set that they are the published ones."""
    files = []
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        files.append(known(module, name, path))
    register(module, files, monkeypatch)


def known(module, name, path):
    """Return a file of a data set as if this were the published one."""
    content = path.read_bytes()
    return dataclasses.replace(
        module.DATASET.file(name),
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
    )


def register(module, files, monkeypatch):
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


@pytest.mark.parametrize("module", [easy_vqa, daquar, visual7w])
def test_without_the_files_the_error_says_where_they_are(
    module, tmp_path, monkeypatch
):
    monkeypatch.setenv("ATTNLIB_DATA", str(tmp_path))
    monkeypatch.setenv("ATTNLIB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(store.DatasetUnavailable, match="not for download"):
        module._read("test")
    found = datasets.info(module.DATASET.name)
    assert not found["present"] and set(found["url"].values()) == {""}


WORDS = {"what": "What color is the bus?", "how": "How many people?"}


def grey(path, value, size=(40, 20)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, value)).save(path)


def telling():
    """Return Visual7W's telling questions about four images."""
    images = []
    for number, split in enumerate(("train", "train", "val", "test")):
        pairs = [
            {
                "qa_id": 10 * number + i,
                "question": text,
                "type": kind,
                "answer": f"Right {number}.",
                "multiple_choices": ["A dog.", "Two, dogs.", "Nobody."],
            }
            for i, (kind, text) in enumerate(WORDS.items())
        ]
        images.append(
            {
                "image_id": number,
                "filename": f"v7w_{number}.jpg",
                "split": split,
                "qa_pairs": pairs,
            }
        )
    return {"dataset": "visual7w", "images": images}


def pointing():
    """Return pointing questions: boxes of 10 x 5 pixels side by side."""
    content = telling()
    for image in content["images"]:
        image["qa_pairs"] = [
            {
                "qa_id": 100 + image["image_id"],
                "question": "Which cat is on the left?",
                "type": "which",
                "answer": 1,
                "multiple_choices": [2, 3, 4],
            }
        ]
    content["boxes"] = [
        {"box_id": i, "name": f"cat {i}", "x": 10 * (i - 1), "y": 5}
        | {"width": 10, "height": 5}
        for i in (1, 2, 3, 4)
    ]
    return content


@pytest.fixture
def seven(tmp_path, monkeypatch):
    """Visual7W with four images of 40 x 20 pixels."""
    monkeypatch.setenv("ATTNLIB_DATA", str(tmp_path))
    folder = tmp_path / "visual7w"
    for number in range(4):
        grey(folder / "images" / f"v7w_{number}.jpg", 50 * number)
    write(folder / "dataset_v7w_telling.json", telling())
    write(folder / "dataset_v7w_pointing.json", pointing())
    return folder


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def test_telling_has_the_right_answer_among_four(seven):
    data = datasets.load("visual7w", "train", size=16)
    assert data["images"].shape == (2, 16, 16, 3)
    np.testing.assert_allclose(data["images"][:, 0, 0, 0], [0, 50], atol=2)
    assert data["image"].tolist() == [0, 0, 1, 1]
    assert data["question"][0] == "what color is the bus"
    assert data["kind"] == ["what", "how"] * 2
    assert data["answer"] == ["right 0", "right 0", "right 1", "right 1"]
    for choices, right, answer in zip(
        data["choices"], data["choice"], data["answer"], strict=True
    ):
        assert choices[right] == answer
        assert sorted(choices) == sorted(
            [answer, "a dog", "two dogs", "nobody"]
        )
    assert len({tuple(choices) for choices in data["choices"]}) > 1
    assert datasets.load("visual7w", "test", size=16)["answer"] == [
        "right 3",
        "right 3",
    ]
    assert len(datasets.load("visual7w", size=16, count=1)["images"]) == 1


def test_pointing_boxes_are_in_pixels_of_the_resized_image(seven):
    data = datasets.load("visual7w", "validation", task="pointing", size=80)
    assert data["question"] == ["which cat is on the left"]
    assert data["answer"] == ["cat 1"] and data["kind"] == ["which"]
    boxes, right = data["choice_boxes"][0], data["choice"][0]
    # From 40 x 20 to 80 x 80: twice as wide and four times as high.
    np.testing.assert_array_equal(boxes[right], [0, 20, 20, 20])
    assert sorted(boxes[:, 0].tolist()) == [0, 20, 40, 60]
    assert "choices" not in data


def spoil(content, *path, value=None):
    """Change one place of a content, or remove it."""
    *above, last = path
    for key in above:
        content = content[key]
    if value is None:
        del content[last]
    else:
        content[last] = value


@pytest.mark.parametrize(
    ("task", "path", "value", "message"),
    [
        ("telling", ["images"], None, "expected a JSON object with 'images'"),
        ("telling", ["images", 0, "split"], None, "lacks 'split'"),
        (
            "telling",
            ["images", 0, "qa_pairs", 1, "answer"],
            None,
            "question 1 of v7w_0.jpg in Visual7W lacks 'answer'",
        ),
        (
            "telling",
            ["images", 1, "qa_pairs", 0, "multiple_choices"],
            ["one"],
            "question 10 of v7w_1.jpg .* has 1 wrong answers, expected 3",
        ),
        ("pointing", ["boxes", 2], None, "question 100 .* points at box 3"),
        ("pointing", ["boxes"], None, "points at box"),
    ],
)
def test_damaged_questions_of_visual7w(seven, task, path, value, message):
    content = {"telling": telling, "pointing": pointing}[task]()
    spoil(content, *path, value=value)
    write(seven / f"dataset_v7w_{task}.json", content)
    with pytest.raises(store.DatasetCorrupt, match=message):
        datasets.load("visual7w", task=task, size=16)


def test_damaged_files_of_visual7w(seven):
    (seven / "images" / "v7w_1.jpg").unlink()
    with pytest.raises(store.DatasetCorrupt, match=r"1 of 2 .*v7w_1\.jpg"):
        datasets.load("visual7w")
    (seven / "dataset_v7w_telling.json").write_text('{"images": [')
    with pytest.raises(store.DatasetCorrupt, match="not a whole JSON file"):
        datasets.load("visual7w")
    with pytest.raises(ValueError, match="task: expected telling or pointing"):
        datasets.load("visual7w", task="asking")
    with pytest.raises(store.DatasetCorrupt, match="is not an image"):
        pictures.size_of(seven / "dataset_v7w_telling.json")


def test_what_has_no_checksum_is_known_by_its_content(seven):
    """Results belong to the file that was there."""
    first = datasets.digest("visual7w")
    assert datasets.info("visual7w")["url"]["dataset_v7w_telling.json"] == ""
    states = {row["state"] for row in datasets.verify("visual7w")}
    assert states == {"present"}
    write(seven / "dataset_v7w_telling.json", {"images": []})
    assert datasets.digest("visual7w") != first


def photographs(subset, count=20):
    """Return questions and annotations of VQA, two for each image."""
    asked, answered = [], []
    for image in range(1, count + 1):
        for i, (kind, word) in enumerate(
            (("yes/no", "yes"), ("number", str(image)))
        ):
            number = 10 * image + i
            asked.append(
                {
                    "image_id": image,
                    "question": "Is this, a dog?",
                    "question_id": number,
                }
            )
            people = [word] * 7 + ["no"] * 3
            answered.append(
                {
                    "image_id": image,
                    "question_id": number,
                    "answer_type": kind,
                    "multiple_choice_answer": word,
                    "answers": [
                        {"answer": said, "answer_id": n}
                        for n, said in enumerate(people, 1)
                    ],
                }
            )
    # Answers need not be in the order of the questions.
    return {"questions": asked}, {"annotations": answered[::-1]}


@pytest.fixture
def coco(tmp_path, monkeypatch):
    """VQA v2 with 20 photographs of each subset, unpacked."""
    monkeypatch.setenv("ATTNLIB_DATA", str(tmp_path))
    folder = tmp_path / "vqa_v2"
    for subset in ("train2014", "val2014"):
        for n in range(1, 21):
            grey(folder / subset / f"COCO_{subset}_{n:012d}.jpg", 10 * n)
        asked, answered = photographs(subset)
        write(folder / f"v2_OpenEnded_mscoco_{subset}_questions.json", asked)
        write(folder / f"v2_mscoco_{subset}_annotations.json", answered)
    return folder


def test_vqa_divides_the_published_validation_set_by_image(coco):
    train, validation, test = (
        datasets.load("vqa_v2", split, size=16)
        for split in ("train", "validation", "test")
    )
    kept = [n for n in range(1, 21) if questions.held_out(str(n))]
    assert 0 < len(kept) < 20
    assert len(train["images"]) == 20 and len(train["question"]) == 40
    assert len(validation["images"]) == len(kept)
    assert len(test["images"]) == 20 - len(kept)
    assert train["question"][0] == "is this a dog"
    assert train["kind"][:2] == ["yes/no", "number"]
    # Each answer is that of its own image, which is as bright as it says.
    told = [int(n) for n in test["answer"][1::2]]
    np.testing.assert_allclose(
        test["images"][test["image"][1::2], 0, 0, 0],
        np.multiply(told, 10),
        atol=2,
    )
    assert train["answers"][1] == ["1"] * 7 + ["no"] * 3
    few = datasets.load("vqa_v2", size=16, count=3)
    assert len(few["images"]) == 3 and few["image"].max() == 2


def test_vqa_reads_the_published_archives(coco, monkeypatch):
    unpacked = datasets.load("vqa_v2", size=16)
    files = []
    for name, archive in (
        ("v2_OpenEnded_mscoco_train2014_questions.json", "Questions"),
        ("v2_mscoco_train2014_annotations.json", "Annotations"),
    ):
        path = coco / f"v2_{archive}_Train_mscoco.zip"
        with zipfile.ZipFile(path, "w") as file:
            file.write(coco / name, name)
        (coco / name).unlink()
        files.append(known(vqa_v2, path.name, path))
    register(vqa_v2, files, monkeypatch)
    np.testing.assert_equal(datasets.load("vqa_v2", size=16), unpacked)
    path.write_bytes(path.read_bytes()[:-30])
    register(vqa_v2, [files[0], known(vqa_v2, path.name, path)], monkeypatch)
    with pytest.raises(store.DatasetCorrupt, match="no whole JSON file v2_ms"):
        datasets.load("vqa_v2", size=16)


def test_vqa_without_photographs(coco, monkeypatch):
    (coco / "train2014" / "COCO_train2014_000000000007.jpg").unlink()
    with pytest.raises(store.DatasetCorrupt, match=r"1 of 20 .*000007\.jpg"):
        datasets.load("vqa_v2", size=16)
    (coco / "train2014").rename(coco / "elsewhere")
    with pytest.raises(
        store.DatasetUnavailable,
        match="no folder train2014.*zips/train2014.zip",
    ):
        datasets.load("vqa_v2")
    monkeypatch.delenv("ATTNLIB_DATA")
    with pytest.raises(store.DatasetUnavailable, match="ATTNLIB_DATA is not"):
        datasets.load("vqa_v2")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ((0, "questions", 0), None, "1 answers .* no question, .* question 10"),
        ((1, "annotations", 0), None, "question 201 of VQA has no answer"),
        (
            (0, "questions", 2, "image_id"),
            9,
            "is about image 9, its answer .* 2",
        ),
        ((1, "annotations", 0, "answers", 3), None, "201 .* has 9 answers"),
        (
            (0, "questions"),
            None,
            "as they are published. .* without 'questions'",
        ),
        ((1, "annotations", 5, "question_id"), None, "without 'question_id'"),
    ],
)
def test_damaged_questions_of_vqa(path, value, message):
    content = photographs("train2014")
    spoil(content, *path, value=value)
    with pytest.raises(store.DatasetCorrupt, match=message):
        vqa_v2.read_pairs(*content)


@pytest.mark.parametrize("agree", range(11))
def test_consensus_is_the_mean_over_nine_of_ten(agree):
    """Against the definition, one person left out after the other."""
    people = ["cat"] * agree + ["dog"] * (10 - agree)
    expected = np.mean(
        [
            min(sum(p == "cat" for p in people[:i] + people[i + 1 :]) / 3, 1)
            for i in range(10)
        ]
    )
    found = vqa_v2.consensus_accuracy(["The cat!"], [people])
    np.testing.assert_allclose(found, [expected])
    if agree in (0, 1, 2, 3, 4):
        np.testing.assert_allclose(found, [[0, 0.3, 0.6, 0.9, 1][agree]])


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("None", "0"),
        ("an apple a day", "apple day"),
        ("don't", "dont"),
        ("10,000", "10000"),
        ("red,  white", "red white"),
        ("3.5 ft.", "3.5 ft"),
        ("yes.", "yes"),
        ("", ""),
    ],
)
def test_answers_are_compared_in_plain_words(said, expected):
    assert vqa_v2.plain(said) == expected


def test_consensus_of_bad_input():
    with pytest.raises(ValueError, match="each of 2. Received: 1"):
        vqa_v2.consensus_accuracy(["a", "b"], [["a", "b"]])
    with pytest.raises(ValueError, match="at least two people"):
        vqa_v2.consensus_accuracy(["a"], [["a"]])
