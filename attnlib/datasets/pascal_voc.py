"""PASCAL VOC 2012: photographs with the class of every pixel.

Read from the published archive, or from the folder `VOCdevkit/VOC2012` that it
unpacks to: photographs in `JPEGImages`, masks with a palette in
`SegmentationClass`, lists of names in `ImageSets/Segmentation`.
"""

import contextlib
import tarfile

from attnlib import paths
from attnlib.datasets import masks, questions, store
from attnlib.datasets.checks import whole_number
from attnlib.datasets.registry import DataSet, RemoteFile

CLASSES = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "dining table",
    "dog",
    "horse",
    "motorbike",
    "person",
    "potted plant",
    "sheep",
    "sofa",
    "train",
    "tv monitor",
)

_ARCHIVE = "VOCtrainval_11-May-2012.tar"
_ROOT = "VOCdevkit/VOC2012"
_LISTS = {"train": "train", "validation": "train", "test": "val"}


class _Archive:
    """Files of the archive, read by name and never unpacked."""

    def __init__(self, path, stack):
        self.path = path
        try:
            self.file = stack.enter_context(tarfile.open(path))
            self.members = {m.name: m for m in self.file if m.isfile()}
        except tarfile.TarError as error:
            raise store.DatasetCorrupt(
                f"{path} is not a whole tar archive: {error}"
            ) from error

    def __contains__(self, name):
        return f"{_ROOT}/{name}" in self.members

    def read(self, name) -> bytes:
        return self.file.extractfile(self.members[f"{_ROOT}/{name}"]).read()


def _source(stack):
    """Return the user's unpacked folder, or the archive, to read from."""
    user = paths.data_dir()
    if user is not None and (path := user / DATASET.name / _ROOT).is_dir():
        return store.Folder(path)
    return _Archive(store.locate(DATASET, _ARCHIVE), stack)


def _read(split, *, width=240, height=240):
    """Read one split of the 1464 and 1449 photographs with masks.

    The official validation set is for test here, as in the papers; a tenth of
    the official training set is for validation.

    Args:
        split: `"train"`, `"validation"` or `"test"`.
        width: Width to which photographs and masks are resized, 16 to 512;
            the aspect ratio is not kept.
        height: Height, 16 to 512.

    Returns:
        `images` uint8 (N, height, width, 3); `mask` uint8 (N, height, width),
        index of `CLASSES`, or 255 at the edges of objects and where nothing is
        said; `names`, a list of str.
    """
    width = whole_number("width", width, 16, 512)
    height = whole_number("height", height, 16, 512)
    with contextlib.ExitStack() as stack:
        source = _source(stack)
        listed = f"ImageSets/Segmentation/{_LISTS[split]}.txt"
        if listed not in source:
            raise store.DatasetCorrupt(f"{source.path} has no file {listed}")
        names = source.read(listed).decode().split()
        if split != "test":
            wanted = split == "validation"
            names = [n for n in names if questions.held_out(n) == wanted]

        def files(name):
            return f"JPEGImages/{name}.jpg", f"SegmentationClass/{name}.png"

        needed = [file for name in names for file in files(name)]
        if missing := [file for file in needed if file not in source]:
            raise store.DatasetCorrupt(
                f"{source.path} lacks {len(missing)} of the {len(needed)} "
                f"files of the {split} split, the first is {missing[0]}"
            )
        return masks.read_pairs(
            lambda name: [source.read(file) for file in files(name)],
            names,
            source.path,
            width,
            height,
            len(CLASSES),
            masks.IGNORE,
        )


DATASET = DataSet(
    name="pascal_voc",
    description="Photographs of 20 kinds of objects, classes of all pixels",
    licence="terms of use of Flickr, for research",
    citation=(
        "M. Everingham et al.: The PASCAL Visual Object Classes Challenge: A "
        "Retrospective. International Journal of Computer Vision 111, 2015, "
        "doi:10.1007/s11263-014-0733-5"
    ),
    homepage="http://host.robots.ox.ac.uk/pascal/VOC/voc2012/",
    read=_read,
    files=(
        # Its publisher gives no checksum; this MD5 is in general use.
        RemoteFile(
            _ARCHIVE,
            (
                "https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/"
                "VOCtrainval_11-May-2012.tar",
            ),
            sha256="",
            size=1999639040,
            md5="6cd6e144f989b92b3379bac3b3de84fd",
        ),
    ),
)
