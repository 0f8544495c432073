"""Oxford flowers 17: photographs of 17 kinds of flowers, 80 of each.

Unpack `17flowers.tgz` of the publisher into `$ATTNLIB_DATA/flowers17/`, so that
the photographs are `jpg/image_0001.jpg` to `jpg/image_1360.jpg`; 80 in a row
are of one kind.

The publisher's three splits are 40, 20 and 20 of each kind and come in a
MATLAB file; here one split, drawn once and for ever, has 50, 10 and 20.
"""

import numpy as np

from attnlib.datasets import pictures, store
from attnlib.datasets.checks import whole_number
from attnlib.datasets.registry import DataSet

KINDS = (
    "daffodil",
    "snowdrop",
    "lily of the valley",
    "bluebell",
    "crocus",
    "iris",
    "tiger lily",
    "tulip",
    "fritillary",
    "sunflower",
    "daisy",
    "colt's foot",
    "dandelion",
    "cowslip",
    "buttercup",
    "windflower",
    "pansy",
)
_EACH = 80
_PARTS = {"train": slice(0, 50), "validation": slice(50, 60)}
_PARTS["test"] = slice(60, _EACH)
_SPLIT_SEED = 2016


def numbers_of(split) -> np.ndarray:
    """Return the numbers of a split's photographs, from 1, in order.

    Args:
        split: `"train"`, `"validation"` or `"test"`.

    Example:
        >>> [len(numbers_of(s)) for s in ("train", "validation", "test")]
        [850, 170, 340]
    """
    # RandomState's stream is frozen; Generator's may change with NumPy.
    random = np.random.RandomState(_SPLIT_SEED)
    order = [random.permutation(_EACH)[_PARTS[split]] for _ in KINDS]
    starts = 1 + _EACH * np.arange(len(KINDS))[:, None]
    return np.sort((starts + np.stack(order)).ravel())


def _read(split, *, side=224):
    """Read one split.

    Args:
        split: `"train"`, `"validation"` or `"test"`: 850, 170 and 340.
        side: Height and width of the images, 16 to 500, whatever their aspect
            ratio.

    Returns:
        `images` uint8 (N, side, side, 3) and `label` int32 (N,), index into
        `KINDS`.
    """
    side = whole_number("side", side, 16, 500)
    numbers = numbers_of(split)
    folder = store.user_folder(DATASET) / "jpg"
    names = [f"image_{number:04d}.jpg" for number in numbers]
    return {
        "images": pictures.read_folder(folder, names, side, side),
        "label": ((numbers - 1) // _EACH).astype(np.int32),
    }


DATASET = DataSet(
    name="flowers17",
    description="Photographs of 17 kinds of flowers, 80 of each",
    licence="research",
    citation=(
        "M.-E. Nilsback, A. Zisserman: A Visual Vocabulary for Flower "
        "Classification. CVPR 2006, doi:10.1109/CVPR.2006.42"
    ),
    homepage="https://www.robots.ox.ac.uk/~vgg/data/flowers/17/",
    read=_read,
    folders=("jpg",),
)
