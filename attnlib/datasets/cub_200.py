"""CUB-200-2011: photographs of 200 kinds of birds.

Unpack `CUB_200_2011.tgz` (1.2 GB) of the publisher into
`$ATTNLIB_DATA/cub_200/`: `CUB_200_2011/images.txt` and the other lists beside
it, and photographs in folders below `CUB_200_2011/images`.
"""

import numpy as np

from attnlib.datasets import pictures, questions, store
from attnlib.datasets.checks import whole_number
from attnlib.datasets.registry import DataSet

_FOLDER = "CUB_200_2011"


def read_list(path) -> dict:
    """Return the lines of one of the lists by their number.

    Args:
        path: A file whose lines are a number and something else, with a space
            between.

    Returns:
        Dict from the number, int, to the rest of the line.

    Raises:
        DatasetCorrupt: There is no such file, a line has another form, or a
            number comes twice.
    """
    if not path.is_file():
        raise store.DatasetCorrupt(f"{path.parent} has no file {path.name}")
    found = {}
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        key, _, value = line.strip().partition(" ")
        if not line.strip():
            continue
        if not key.isdecimal() or not value or int(key) in found:
            raise store.DatasetCorrupt(
                f"{path.name}, line {number}: expected a new number, a space "
                f"and a value, received {line!r}"
            )
        found[int(key)] = value
    return found


def _values(path, images):
    """Return a list that has one line for each image, or raise."""
    found = read_list(path)
    if set(found) != set(images):
        raise store.DatasetCorrupt(
            f"{path.name} does not list the same images as images.txt: "
            f"{len(found)} and {len(images)}, "
            f"{len(set(found) ^ set(images))} of them in one list only"
        )
    return found


def _labels(folder, images):
    """Return the class of each image from 0, and the classes' names."""
    classes = read_list(folder / "classes.txt")
    order = {number: index for index, number in enumerate(sorted(classes))}
    labels = {}
    for image, value in _values(
        folder / "image_class_labels.txt", images
    ).items():
        if not value.isdecimal() or int(value) not in order:
            raise store.DatasetCorrupt(
                f"image_class_labels.txt: image {image} has the label "
                f"{value!r}, which is none of the {len(order)} classes in "
                "classes.txt"
            )
        labels[image] = order[int(value)]
    names = [classes[number] for number in sorted(classes)]
    return labels, [name.partition(".")[2] or name for name in names]


def _read(split, *, side=224):
    """Read one split; a tenth of the official training set is held out.

    Args:
        split: `"train"` or `"validation"`, of the 5994 photographs for
            training, or `"test"`, 5794.
        side: Height and width of the images, 16 to 640, whatever their aspect
            ratio.

    Returns:
        `images` uint8 (N, side, side, 3); `label` int32 (N,), from 0; `boxes`
        float32 (N, 4), x, y, width, height of the bird in pixels of the
        resized image; `names`, the classes' names in the order of the labels.
    """
    side = whole_number("side", side, 16, 640)
    folder = store.user_folder(DATASET) / _FOLDER
    images = read_list(folder / "images.txt")
    labels, names = _labels(folder, images)
    training = _values(folder / "train_test_split.txt", images)
    boxes = _values(folder / "bounding_boxes.txt", images)
    chosen = [
        image
        for image, name in images.items()
        if split == _split_of(name, training[image] == "1")
    ]
    files = [images[image] for image in chosen]
    pixels = pictures.read_folder(folder / "images", files, side, side)
    return {
        "images": pixels,
        "label": np.array([labels[image] for image in chosen], np.int32),
        "boxes": _scaled(folder, files, [boxes[i] for i in chosen], side),
        "names": names,
    }


def _split_of(name, training):
    if not training:
        return "test"
    return "validation" if questions.held_out(name) else "train"


def _scaled(folder, files, boxes, side):
    """Return boxes in pixels of the resized images, float32 (N, 4)."""
    out = np.empty((len(files), 4), np.float32)
    for row, name, text in zip(out, files, boxes, strict=True):
        width, height = pictures.size_of(folder / "images" / name)
        try:
            x, y, w, h = map(float, text.split())
        except ValueError:
            raise store.DatasetCorrupt(
                "bounding_boxes.txt: expected four numbers for "
                f"{name}, received {text!r}"
            ) from None
        row[:] = np.multiply([x, y, w, h], [side / width, side / height] * 2)
    return out


DATASET = DataSet(
    name="cub_200",
    description="Photographs of 200 kinds of birds, with boxes",
    licence="non-commercial research and education",
    citation=(
        "C. Wah, S. Branson, P. Welinder, P. Perona, S. Belongie: The "
        "Caltech-UCSD Birds-200-2011 Dataset. CNS-TR-2011-001, Caltech 2011"
    ),
    homepage="https://www.vision.caltech.edu/datasets/cub_200_2011/",
    read=_read,
    folders=(_FOLDER,),
)
