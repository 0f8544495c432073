"""Photographs and masks of what is salient in them, from folders.

Images are `.jpg` files, masks `.png` files of the same stem, in two folders or
in one and the same.
"""

from attnlib.datasets import masks, questions, store
from attnlib.datasets.checks import whole_number

_IMAGES = (".jpg", ".jpeg")


def stems(images, silhouettes) -> list[str]:
    """Return the stems of all images of a folder, each of which has a mask.

    Args:
        images: `pathlib.Path` of the folder with the images.
        silhouettes: Of the folder with the masks.

    Raises:
        DatasetCorrupt: There is no image, or one has no mask.
    """
    found = sorted(
        path.stem for path in images.iterdir() if path.suffix.lower() in _IMAGES
    )
    if not found:
        raise store.DatasetCorrupt(f"{images} has no .jpg file")
    missing = [n for n in found if not (silhouettes / f"{n}.png").is_file()]
    if missing:
        raise store.DatasetCorrupt(
            f"{silhouettes} lacks {len(missing)} of {len(found)} masks, the "
            f"first is {missing[0]}.png"
        )
    return found


def split_of(name) -> str:
    """Return the split of a photograph where no list says it.

    Three tenths are for test, one for validation, the rest to train on.

    Args:
        name: Stem of the file.
    """
    if questions.held_out(name, 1):
        return "validation"
    return (
        "test"
        if any(questions.held_out(name, n) for n in (2, 3, 4))
        else "train"
    )


def listed(path, known) -> list[str]:
    """Return the stems in a list, one a line, with or without an ending.

    Args:
        path: `pathlib.Path` of the list.
        known: All stems there are.

    Raises:
        DatasetCorrupt: It is empty, or names something else.
    """
    lines = path.read_text("utf-8").split()
    found = [line.rpartition(".")[0] or line for line in lines]
    unknown = sorted(set(found) - set(known))
    if unknown or not found:
        what = f"names {unknown[0]!r}, for which" if unknown else "is empty:"
        raise store.DatasetCorrupt(f"{path} {what} there is no image")
    return found


def read(images, silhouettes, names, width, height, decode) -> dict:
    """Read photographs and masks of two folders, resized to one size.

    Args:
        images: `pathlib.Path` of the folder with the images.
        silhouettes: Of the folder with the masks.
        names: Stems of the files to read.
        width: Width to return, 16 to 640; the aspect ratio is not kept.
        height: Height, 16 to 640.
        decode: As of `masks.read_pairs`.

    Returns:
        `images` uint8 (N, height, width, 3); `mask` uint8 (N, height, width),
        1 where something is salient, else 0; `names`, a list of str.

    Raises:
        ValueError: A size is out of range.
        DatasetCorrupt: A file is no whole image, or a mask has another size
            than its image.
    """
    width = whole_number("width", width, 16, 640)
    height = whole_number("height", height, 16, 640)
    files = {
        path.stem: path
        for path in images.iterdir()
        if path.suffix.lower() in _IMAGES
    }

    def pair(name):
        mask = silhouettes / f"{name}.png"
        return files[name].read_bytes(), mask.read_bytes()

    return masks.read_pairs(
        pair, names, images, width, height, classes=2, decode=decode
    )
