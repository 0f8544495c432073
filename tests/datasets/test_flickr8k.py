import dataclasses
import hashlib
import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from attnlib import datasets
from attnlib.datasets import flickr8k, registry

SPLITS = {
    "train": ["1_a.jpg", "2_b.jpg", "3_c.jpg"],
    "validation": ["4_d.jpg"],
    "test": ["5_e.jpg", "6_f.jpg"],
}
NAMES = sum(SPLITS.values(), [])


def encode(mode, size, kind="JPEG", shade=0):
    """Return an image file, left half dark and right half bright."""
    width, height = size
    grey = np.zeros((height, width), np.uint8)
    grey[:, width // 2 :] = 200
    image = Image.fromarray(grey + shade).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def token_lines(names=NAMES):
    lines = [
        f"{name}#{number}\tCaption {number} of {name} ."
        for name in names
        for number in range(5)
    ]
    # As published: of an image that does not exist, with a slip in the name.
    lines.append("2258277193_586949ec62.jpg.1#0\tpeople waiting")
    lines += [f"2258277193_586949ec62.jpg#{i}\tA train ." for i in range(1, 5)]
    return lines


@pytest.fixture
def content():
    """Return the files by name, texts and images of several kinds."""
    files = {
        "Flickr8k.token.txt": "\n".join(token_lines()) + "\n",
        "Flickr_8k.trainImages.txt": "1_a.jpg\n2_b.jpg\n3_c.jpg\n",
        "Flickr_8k.devImages.txt": "4_d.jpg\n",
        "Flickr_8k.testImages.txt": "5_e.jpg\n6_f.jpg\n",
    }
    texts = {name: text.encode() for name, text in files.items()}
    images = {
        "1_a.jpg": encode("RGB", (16, 16)),
        "2_b.jpg": encode("L", (50, 37)),
        "3_c.jpg": encode("CMYK", (20, 30)),
        "4_d.jpg": encode("P", (16, 16), "PNG"),
        "5_e.jpg": encode("RGB", (200, 120)),
        "6_f.jpg": encode("RGBA", (16, 9), "PNG"),
    }
    return texts, images


@pytest.fixture
def folder(content, tmp_path, monkeypatch):
    """Put unpacked files into a data folder, as published but small."""
    texts, images = content
    root = tmp_path / "data" / "flickr8k"
    for name, part in (("Flickr8k_text", texts), ("Flicker8k_Dataset", images)):
        (root / name).mkdir(parents=True)
        for file, data in part.items():
            (root / name / file).write_bytes(data)
    monkeypatch.setenv("ATTNLIB_DATA", str(root.parent))
    register(texts, monkeypatch)
    return root


def register(texts, monkeypatch):
    sums = {n: hashlib.sha256(data).hexdigest() for n, data in texts.items()}
    monkeypatch.setattr(flickr8k, "_SUMS", sums)


def rewrite(root, name, text, monkeypatch):
    """Change a text and take the change for the published one."""
    (root / "Flickr8k_text" / name).write_bytes(text.encode())
    texts = {p.name: p.read_bytes() for p in (root / "Flickr8k_text").iterdir()}
    register(texts, monkeypatch)


@pytest.fixture
def archives(content, publisher, monkeypatch):
    """Publish the two archives, with what a Mac adds to them."""
    texts, images = content
    packed = {}
    for name, folder, part in (
        ("Flickr8k_text.zip", "", texts),
        ("Flickr8k_Dataset.zip", "Flicker8k_Dataset/", images),
    ):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as file:
            for member, data in part.items():
                file.writestr(f"{folder}{member}", data)
                file.writestr(f"__MACOSX/{folder}._{member}", b"junk")
            file.writestr("__MACOSX/1_a.jpg", b"junk")
        packed[name] = buffer.getvalue()
    register(texts, monkeypatch)
    publish(packed, publisher, monkeypatch)
    return packed


def publish(packed, publisher, monkeypatch):
    files = []
    for name, data in packed.items():
        publisher.files[name] = data
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        # The size is one for people: wrong here, and no error.
        files.append(
            registry.RemoteFile(name, (publisher.url + name,), "", 1, md5)
        )
    dataset = dataclasses.replace(flickr8k.DATASET, files=tuple(files))
    monkeypatch.setattr(flickr8k, "DATASET", dataset)
    known = registry.all_sets() | {"flickr8k": dataset}
    monkeypatch.setattr(registry, "all_sets", lambda: known)


@pytest.mark.parametrize("split, names", SPLITS.items())
def test_a_folder(folder, split, names):
    data = datasets.load("flickr8k", split, size=16)
    assert data["names"] == names and data["skipped"] == []
    assert data["images"].shape == (len(names), 16, 16, 3)
    assert data["images"].dtype == np.uint8
    assert data["captions"] == [
        [f"Caption {i} of {name} ." for i in range(5)] for name in names
    ]


@pytest.mark.parametrize("split, names", SPLITS.items())
def test_archives_give_the_same(folder, archives, split, names, monkeypatch):
    unpacked = datasets.load("flickr8k", split, size=24)
    monkeypatch.delenv("ATTNLIB_DATA")
    packed = datasets.load("flickr8k", split, size=24)
    np.testing.assert_equal(packed, unpacked)


def test_archives_are_downloaded_once_and_known(archives, publisher):
    datasets.load("flickr8k", size=8)
    datasets.load("flickr8k", "test", size=8)
    assert publisher.requests == [
        "/Flickr8k_text.zip",
        "/Flickr8k_Dataset.zip",
    ]
    assert datasets.info("flickr8k")["present"]
    states = {row["state"] for row in datasets.verify("flickr8k")}
    assert states == {"present"}


def test_images_of_other_sizes_and_modes(folder):
    """Grey, CMYK, palette and transparent: the left dark, the right bright."""
    for split in SPLITS:
        images = datasets.load("flickr8k", split, size=32)["images"]
        assert (images[:, 4:-4, 4:12].max((1, 2, 3)) < 40).all()
        assert (images[:, 4:-4, 20:28].min((1, 2, 3)) > 160).all()


def test_images_of_the_right_size_are_not_touched(folder, content):
    with Image.open(io.BytesIO(content[1]["1_a.jpg"])) as image:
        expected = np.asarray(image)
    found = datasets.load("flickr8k", size=16)["images"][0]
    np.testing.assert_array_equal(found, expected)


def test_the_image_that_does_not_exist_is_left_out_and_said(
    folder, monkeypatch
):
    name = "Flickr_8k.testImages.txt"
    text = "5_e.jpg\n2258277193_586949ec62.jpg\n6_f.jpg\n"
    rewrite(folder, name, text, monkeypatch)
    data = datasets.load("flickr8k", "test", size=16)
    assert data["names"] == ["5_e.jpg", "6_f.jpg"]
    assert data["skipped"] == ["2258277193_586949ec62.jpg"]
    assert len(data["captions"]) == len(data["images"]) == 2


def test_any_other_missing_image_is_an_error(folder):
    for name in ("2_b.jpg", "3_c.jpg"):
        (folder / "Flicker8k_Dataset" / name).unlink()
    with pytest.raises(
        datasets.DatasetCorrupt,
        match="lacks 2 of the 3 images of the train split .* is 2_b.jpg",
    ):
        datasets.load("flickr8k", size=16)
    assert len(datasets.load("flickr8k", "test", size=16)["images"]) == 2


def test_a_damaged_image_is_named(folder, content):
    path = folder / "Flicker8k_Dataset" / "5_e.jpg"
    for damage in (b"", b"no image", content[1]["5_e.jpg"][:400]):
        path.write_bytes(damage)
        with pytest.raises(datasets.DatasetCorrupt, match="5_e.jpg in .*whole"):
            datasets.load("flickr8k", "test", size=16)


def test_texts_have_to_be_the_published_ones(folder):
    path = folder / "Flickr8k_text" / "Flickr8k.token.txt"
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(datasets.DatasetCorrupt, match="token.txt .* SHA-256"):
        datasets.load("flickr8k")
    path.unlink()
    with pytest.raises(datasets.DatasetCorrupt, match="no file Flickr8k.token"):
        datasets.load("flickr8k")


def test_five_captions_each(folder, monkeypatch):
    lines = [line for line in token_lines() if not line.startswith("6_f.jpg#2")]
    rewrite(folder, "Flickr8k.token.txt", "\n".join(lines), monkeypatch)
    with pytest.raises(
        datasets.DatasetCorrupt, match="6_f.jpg .* has 4 captions, expected 5"
    ):
        datasets.load("flickr8k", "test", size=16)


@pytest.mark.parametrize(
    "line", ["a.jpg#0 A dog .", "a.jpg\tA dog", "a.jpg#x\tA", "#0\tA", "a#0\t "]
)
def test_bad_lines_of_captions(line):
    with pytest.raises(datasets.DatasetCorrupt, match="name.jpg#0<tab>caption"):
        flickr8k.read_captions(["b.jpg#0\tA cat .", line])


def test_what_is_no_archive(archives, publisher, monkeypatch):
    packed = archives | {"Flickr8k_Dataset.zip": b"no archive"}
    publish(packed, publisher, monkeypatch)
    with pytest.raises(datasets.DatasetCorrupt, match="not a whole zip"):
        datasets.load("flickr8k", size=16)


def test_a_damaged_member_is_named(archives, publisher, monkeypatch):
    good = archives["Flickr8k_text.zip"]
    at = good.index(b"Caption 3 of 1_a.jpg")
    packed = archives | {"Flickr8k_text.zip": good[:at] + b"X" + good[at + 1 :]}
    publish(packed, publisher, monkeypatch)
    with pytest.raises(datasets.DatasetCorrupt, match="token.txt is damaged"):
        datasets.load("flickr8k", size=16)


def test_a_download_with_another_md5_is_not_used(archives, publisher):
    publisher.files["Flickr8k_text.zip"] += b" "
    with pytest.raises(datasets.DatasetCorrupt, match="its MD5 is"):
        datasets.load("flickr8k", size=16)


@pytest.mark.parametrize("size", [7, 1025, 16.0, None, True])
def test_bad_size(size):
    with pytest.raises(ValueError, match="size: expected a whole number, 8 to"):
        datasets.load("flickr8k", size=size)
