import dataclasses
import io

import numpy as np
import pytest

from attnlib import datasets
from attnlib.datasets import binarized_mnist, registry

COUNTS = {"train": 6, "valid": 3, "test": 2}


def amat(pixels):
    lines = (" ".join(map(str, row)) + "\n" for row in pixels)
    return "".join(lines).encode()


@pytest.fixture
def parts(publisher, monkeypatch):
    """Make small files of the same form the published ones."""
    generator = np.random.default_rng(0)
    parts = {
        part: generator.integers(0, 2, (count, 784))
        for part, count in COUNTS.items()
    }
    files = tuple(
        publisher.publish(f"binarized_mnist_{part}.amat", amat(pixels))
        for part, pixels in parts.items()
    )
    packed = io.BytesIO()
    floats = {f"X_{k}": v.astype("float32") for k, v in parts.items()}
    np.savez_compressed(packed, **floats)
    packed = publisher.publish("mnist_binarized.npz", packed.getvalue())
    dataset = dataclasses.replace(binarized_mnist.DATASET, files=files)
    # Before the module is changed: what this returns is kept for good.
    known = registry.all_sets() | {"binarized_mnist": dataset}
    monkeypatch.setattr(binarized_mnist, "DATASET", dataset)
    monkeypatch.setattr(binarized_mnist, "_PACKED", packed)
    monkeypatch.setattr(binarized_mnist, "_COUNTS", COUNTS)
    monkeypatch.setattr(registry, "all_sets", lambda: known)
    return parts


def put_packed(publisher, folder, monkeypatch):
    target = folder / "binarized_mnist" / "mnist_binarized.npz"
    target.parent.mkdir()
    target.write_bytes(publisher.files["mnist_binarized.npz"])
    monkeypatch.setenv("ATTNLIB_DATA", str(folder))
    return target


def test_splits(parts, publisher):
    for split, part in binarized_mnist._PARTS.items():
        images = datasets.load("binarized_mnist", split)["images"]
        assert images.dtype == np.uint8
        np.testing.assert_array_equal(
            images, 255 * parts[part].reshape(-1, 28, 28, 1)
        )
    assert len(publisher.requests) == 3


def test_the_packed_copy_is_the_same(parts, publisher, tmp_path, monkeypatch):
    put_packed(publisher, tmp_path, monkeypatch)
    images = datasets.load("binarized_mnist", "test")["images"]
    np.testing.assert_array_equal(
        images, 255 * parts["test"].reshape(-1, 28, 28, 1)
    )
    assert not publisher.requests


def test_a_changed_packed_copy_is_refused(
    parts, publisher, tmp_path, monkeypatch
):
    target = put_packed(publisher, tmp_path, monkeypatch)
    target.write_bytes(target.read_bytes()[:-1] + b"x")
    with pytest.raises(datasets.DatasetCorrupt, match=r"mnist_binarized\.npz"):
        datasets.load("binarized_mnist")


def test_a_wrong_number_of_images(parts, monkeypatch):
    monkeypatch.setattr(binarized_mnist, "_COUNTS", COUNTS | {"test": 5})
    with pytest.raises(datasets.DatasetCorrupt, match=r"\(2, 784\).*\(5, 784"):
        datasets.load("binarized_mnist", "test")


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "0 bytes"),
        (b"0 1\n", "4 bytes, expected a multiple of 1568"),
        (amat(np.zeros((2, 784), int))[:-2], "3134 bytes"),
        (amat(np.full((2, 784), 2)), "no text of 0 and 1"),
        (amat(np.zeros((1, 784), int)).replace(b" ", b","), "no text of 0"),
        (amat(np.zeros((1, 784), int))[:-1] + b" ", "no text of 0 and 1"),
    ],
)
def test_a_bad_text(tmp_path, content, message):
    path = tmp_path / "x.amat"
    path.write_bytes(content)
    with pytest.raises(datasets.DatasetCorrupt, match=message) as caught:
        binarized_mnist.read_amat(path)
    assert str(path) in str(caught.value)


def test_a_bad_packed_copy(tmp_path):
    path = tmp_path / "x.npz"
    path.write_bytes(b"PK no zip")
    with pytest.raises(datasets.DatasetCorrupt, match="X_test"):
        binarized_mnist.read_packed(path, "test")
    np.savez(path, X_train=np.zeros((2, 4)), X_test=np.full((2, 4), 0.5))
    with pytest.raises(datasets.DatasetCorrupt, match="array X_valid"):
        binarized_mnist.read_packed(path, "valid")
    with pytest.raises(datasets.DatasetCorrupt, match="no table of 0 and 1"):
        binarized_mnist.read_packed(path, "test")
