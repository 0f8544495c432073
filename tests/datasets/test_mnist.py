import dataclasses
import gzip
import struct

import numpy as np
import pytest

from attnlib import datasets
from attnlib.datasets import mnist, registry


def packed(content):
    """Compress without the time: tests are named after these bytes."""
    return gzip.compress(content, mtime=0)


def idx(array, magic=(0, 0, 8)):
    header = bytes((*magic, array.ndim)) + struct.pack(
        f">{array.ndim}I", *array.shape
    )
    return packed(header + array.astype(np.uint8).tobytes())


def make_parts(rng, counts=(60, 10)):
    parts = {}
    for prefix, count in zip(("train", "t10k"), counts, strict=True):
        parts[f"{prefix}-images-idx3-ubyte.gz"] = rng.integers(
            0, 256, (count, 28, 28)
        )
        parts[f"{prefix}-labels-idx1-ubyte.gz"] = rng.integers(0, 10, count)
    return parts


@pytest.fixture
def publish(publisher, monkeypatch):
    """Return a function that makes these files the published MNIST."""

    def publish(contents):
        files = tuple(publisher.publish(*item) for item in contents.items())
        dataset = dataclasses.replace(mnist.DATASET, files=files)
        monkeypatch.setattr(mnist, "DATASET", dataset)
        monkeypatch.setattr(mnist, "_TRAIN", 60)
        monkeypatch.setattr(mnist, "_TEST", 10)
        known = registry.all_sets() | {"mnist": dataset}
        monkeypatch.setattr(registry, "all_sets", lambda: known)

    return publish


@pytest.fixture
def parts(publish):
    parts = make_parts(np.random.default_rng(0))
    publish({name: idx(array) for name, array in parts.items()})
    return parts


def test_splits(parts):
    images = parts["train-images-idx3-ubyte.gz"]
    labels = parts["train-labels-idx1-ubyte.gz"]
    train = datasets.load("mnist", validation=10)
    assert train["images"].shape == (50, 28, 28, 1)
    assert train["images"].dtype == np.uint8
    assert train["label"].dtype == np.int32
    np.testing.assert_array_equal(train["images"][..., 0], images[:50])
    np.testing.assert_array_equal(train["label"], labels[:50])
    held_out = datasets.load("mnist", "validation", validation=10)
    np.testing.assert_array_equal(held_out["images"][..., 0], images[50:])
    np.testing.assert_array_equal(held_out["label"], labels[50:])
    for everything in (
        datasets.load("mnist", "train", validation=0),
        datasets.load("mnist", "train+validation", validation=10),
    ):
        np.testing.assert_array_equal(everything["label"], labels)
    none = datasets.load("mnist", "validation", validation=0)
    assert none["images"].shape == (0, 28, 28, 1)
    test = datasets.load("mnist", "test", validation=10)
    np.testing.assert_array_equal(
        test["label"], parts["t10k-labels-idx1-ubyte.gz"]
    )


def test_test_split_needs_only_its_own_files(parts, publisher):
    datasets.load("mnist", "test", validation=10)
    assert all("t10k" in path for path in publisher.requests)


@pytest.mark.parametrize("value", [-1, 60, 1.0, True, None])
def test_bad_validation(parts, value):
    with pytest.raises(ValueError, match="validation: expected a whole number"):
        datasets.load("mnist", validation=value)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "not a whole gzip|not an idx"),
        (b"plain text", "not a whole gzip"),
        (packed(b""), "not an idx file of bytes"),
        (packed(b"<html></html>"), "not an idx file of bytes"),
        (packed(b"\0\0\x08"), "not an idx file of bytes"),
        (packed(b"\0\0\x08\0"), "not an idx file of bytes"),
        (packed(b"\0\0\x0d\x01\0\0\0\0"), "not an idx file of bytes"),
        (packed(b"\0\0\x08\x03\0\0\0\x01"), "ends inside its header"),
        (packed(b"\0\0\x08\x01\0\0\0\x02a"), "9 bytes where .* 10"),
        (packed(b"\0\0\x08\x01\0\0\0\x02abc"), "11 bytes where .* 10"),
        (packed(b"\0\0\x08\x03" + b"\xff" * 12), "promises 79"),
        (idx(np.zeros(10000))[:-9], "not a whole gzip"),
        (idx(np.arange(99))[:20] + b"junk", "not a whole gzip"),
    ],
)
def test_bad_idx_file(tmp_path, content, message):
    path = tmp_path / "x.gz"
    path.write_bytes(content)
    with pytest.raises(datasets.DatasetCorrupt, match=message) as caught:
        mnist.read_idx(path)
    assert str(path) in str(caught.value)


def test_idx_of_any_rank(tmp_path):
    array = np.arange(24).reshape(2, 3, 4)
    for shape in ((24,), (2, 3, 4), (0, 5)):
        sample = array.reshape(shape) if 0 not in shape else np.zeros(shape)
        (tmp_path / "x.gz").write_bytes(idx(sample))
        found = mnist.read_idx(tmp_path / "x.gz")
        assert found.dtype == np.uint8 and found.flags.writeable
        np.testing.assert_array_equal(found, sample)


@pytest.mark.parametrize("counts", [(59, 10), (60, 11)])
def test_wrong_number_of_images(publish, counts):
    parts = make_parts(np.random.default_rng(0), counts)
    publish({name: idx(array) for name, array in parts.items()})
    split = "train" if counts[0] != 60 else "test"
    with pytest.raises(datasets.DatasetCorrupt, match="expected"):
        datasets.load("mnist", split, validation=10)


def test_label_above_nine(publish):
    parts = make_parts(np.random.default_rng(0))
    parts["train-labels-idx1-ubyte.gz"][3] = 10
    publish({name: idx(array) for name, array in parts.items()})
    with pytest.raises(datasets.DatasetCorrupt, match="up to 10"):
        datasets.load("mnist", validation=10)
