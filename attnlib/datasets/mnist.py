"""MNIST, from its four original idx files."""

import gzip
import math
import struct
import zlib

import numpy as np

from attnlib.datasets import store
from attnlib.datasets.checks import whole_number
from attnlib.datasets.registry import DataSet, RemoteFile

_URLS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
_TRAIN, _TEST = 60000, 10000
_SIDE = 28
_IDX_UINT8 = 0x08


def _file(name, sha256, size):
    return RemoteFile(name, tuple(url + name for url in _URLS), sha256, size)


_FILES = (
    _file(
        "train-images-idx3-ubyte.gz",
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        9912422,
    ),
    _file(
        "train-labels-idx1-ubyte.gz",
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        28881,
    ),
    _file(
        "t10k-images-idx3-ubyte.gz",
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        1648877,
    ),
    _file(
        "t10k-labels-idx1-ubyte.gz",
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        4542,
    ),
)


def read_idx(path) -> np.ndarray:
    """Read one gzip-compressed idx file of bytes, checking all it claims.

    Args:
        path: The file.

    Returns:
        uint8 array of the shape that the header states.

    Raises:
        DatasetCorrupt: It is no such file, or longer or shorter than its
            header says.
    """
    try:
        with gzip.open(path, "rb") as file:
            content = file.read()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise store.DatasetCorrupt(
            f"{path} is not a whole gzip file: {error}"
        ) from error
    rank = content[3] if len(content) >= 4 else 0
    start = 4 + 4 * rank
    if content[:3] != bytes((0, 0, _IDX_UINT8)) or not rank:
        raise store.DatasetCorrupt(
            f"{path} is not an idx file of bytes: expected it to start with "
            f"00 00 08, found {content[:4].hex(' ') or 'nothing'}"
        )
    if len(content) < start:
        raise store.DatasetCorrupt(f"{path} ends inside its header")
    shape = struct.unpack(f">{rank}I", content[4:start])
    expected = start + math.prod(shape)
    if len(content) != expected:
        raise store.DatasetCorrupt(
            f"{path} holds {len(content)} bytes where its header promises "
            f"{expected}"
        )
    # A copy, since an array over immutable bytes cannot be written to.
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()


def _read_part(prefix, count):
    images = read_idx(store.locate(DATASET, f"{prefix}-images-idx3-ubyte.gz"))
    labels = read_idx(store.locate(DATASET, f"{prefix}-labels-idx1-ubyte.gz"))
    if images.shape != (count, _SIDE, _SIDE) or labels.shape != (count,):
        raise store.DatasetCorrupt(
            f"the {prefix} files of MNIST hold images {images.shape} and "
            f"labels {labels.shape}, expected ({count}, {_SIDE}, {_SIDE}) "
            f"and ({count},)"
        )
    if labels.max() > 9:
        raise store.DatasetCorrupt(
            f"the {prefix} labels of MNIST go up to {labels.max()}, not 9"
        )
    return images[..., None], labels.astype(np.int32)


def _read(split, *, validation=10000):
    """Read one split of MNIST.

    The published training set has 60000 images, the test set 10000. The last
    `validation` training images, in published order, are the validation set.

    Args:
        split: `"train"`, `"validation"`, `"test"`, or `"train+validation"`
            for all 60000.
        validation: Number of training images held out, 0 to 59999.
    """
    validation = whole_number("validation", validation, 0, _TRAIN - 1)
    if split == "test":
        images, labels = _read_part("t10k", _TEST)
    else:
        images, labels = _read_part("train", _TRAIN)
        cut = _TRAIN - validation
        part = {"train": slice(cut), "validation": slice(cut, None)}
        chosen = part.get(split, slice(None))
        images, labels = images[chosen], labels[chosen]
    return {"images": images, "label": labels}


DATASET = DataSet(
    name="mnist",
    description="Handwritten digits, 28x28 grey levels, ten classes",
    licence="CC BY-SA 3.0 (as commonly stated)",
    citation=(
        "Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-based learning "
        "applied to document recognition. Proceedings of the IEEE 86(11), 1998"
    ),
    homepage="http://yann.lecun.com/exdb/mnist/",
    read=_read,
    unions=("train+validation",),
    files=_FILES,
)
