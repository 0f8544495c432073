"""Binarised MNIST: the fixed binarisation that likelihoods are reported on."""

import zipfile

import numpy as np

from attnlib.datasets import store
from attnlib.datasets.registry import DataSet, RemoteFile

_URL = "https://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/"
_SIDE = 28
_COUNTS = {"train": 50000, "valid": 10000, "test": 10000}
_PARTS = {"train": "train", "validation": "valid", "test": "test"}


def _file(part, sha256, size):
    name = f"binarized_mnist_{part}.amat"
    return RemoteFile(name, (_URL + name,), sha256, size)


_FILES = (
    _file(
        "train",
        "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d",
        78400000,
    ),
    _file(
        "valid",
        "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2",
        15680000,
    ),
    _file(
        "test",
        "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c",
        15680000,
    ),
)

# The same numbers in a twenty-fifth of the bytes, for those who have them.
_PACKED = RemoteFile(
    "mnist_binarized.npz",
    (),
    "e7c85788cb6eade96c81c9ec1d72ed28da2d00dd8fc6ecec3becb4116a8753fd",
    4060133,
)


def read_amat(path) -> np.ndarray:
    """Read a text of zeros and ones, one image a line, blanks between them.

    Args:
        path: The file.

    Returns:
        uint8 array (N, 784) of 0 and 1.

    Raises:
        DatasetCorrupt: A line has another length, or something else than 0
            and 1.
    """
    with open(path, "rb") as file:
        content = np.frombuffer(file.read(), np.uint8)
    width = 2 * _SIDE**2
    if not content.size or content.size % width:
        raise store.DatasetCorrupt(
            f"{path} holds {content.size} bytes, expected a multiple of "
            f"{width}: {_SIDE**2} digits a line, each with a blank after it"
        )
    content = content.reshape(-1, _SIDE**2, 2)
    pixels = content[:, :, 0] - ord("0")
    blanks = (content[:, :-1, 1] == ord(" ")).all()
    if pixels.max() > 1 or not blanks or (content[:, -1, 1] != 10).any():
        raise store.DatasetCorrupt(
            f"{path} is no text of 0 and 1 with {_SIDE**2} of them a line"
        )
    return pixels


def read_packed(path, part) -> np.ndarray:
    """Read one part of the packed copy, arrays `X_train`, `X_valid`, `X_test`.

    Args:
        path: The file, a NumPy .npz.
        part: `"train"`, `"valid"` or `"test"`.

    Returns:
        uint8 array (N, 784) of 0 and 1.

    Raises:
        DatasetCorrupt: It is no such file.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            pixels = arrays[f"X_{part}"]
    except (zipfile.BadZipFile, ValueError, KeyError, EOFError) as error:
        raise store.DatasetCorrupt(
            f"{path} is no .npz file with an array X_{part}: {error}"
        ) from error
    if pixels.ndim != 2 or not np.isin(pixels, (0, 1)).all():
        raise store.DatasetCorrupt(f"{path}: X_{part} is no table of 0 and 1")
    return pixels.astype(np.uint8)


def _read(split):
    """Read one split: 50000, 10000 and 10000 images without labels.

    The images are 0 or 255, uint8 as in all image sets. Where the data folder
    has the packed copy `mnist_binarized.npz`, that is read.

    Args:
        split: `"train"`, `"validation"` or `"test"`.
    """
    part = _PARTS[split]
    packed = store.user_file(DATASET, _PACKED)
    if packed is not None:
        store.check_user_file(packed, DATASET, _PACKED)
        pixels = read_packed(packed, part)
    else:
        pixels = read_amat(
            store.locate(DATASET, f"binarized_mnist_{part}.amat")
        )
    if pixels.shape != (_COUNTS[part], _SIDE**2):
        raise store.DatasetCorrupt(
            f"the {part} part of binarized_mnist has the shape "
            f"{pixels.shape}, expected ({_COUNTS[part]}, {_SIDE**2})"
        )
    return {"images": 255 * pixels.reshape(-1, _SIDE, _SIDE, 1)}


DATASET = DataSet(
    name="binarized_mnist",
    description="MNIST, every pixel drawn once as 0 or 1; no labels",
    licence="CC BY-SA 3.0 (as commonly stated for MNIST)",
    citation=(
        "R. Salakhutdinov, I. Murray: On the Quantitative Analysis of Deep "
        "Belief Networks. ICML 2008; H. Larochelle, I. Murray: The Neural "
        "Autoregressive Distribution Estimator. AISTATS 2011"
    ),
    homepage=_URL,
    read=_read,
    files=_FILES,
)
