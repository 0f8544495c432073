"""Image files as arrays."""

import io

import numpy as np

from attnlib.datasets import store


def read_image(content, width, height) -> np.ndarray:
    """Decode an image of any size and mode.

    Args:
        content: Bytes of a file that Pillow reads: grey, palette and CMYK
            images are converted to RGB.
        width: Width to return; the aspect ratio is not kept.
        height: Height to return.

    Returns:
        uint8 array (height, width, 3).

    Raises:
        OSError: It is no whole image.
    """
    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        # A JPEG is decoded at half or a quarter of its size where that is
        # still twice what is asked for.
        image.draft(None, (2 * width, 2 * height))
        image = image.convert("RGB")
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image)


def size_of(path) -> tuple[int, int]:
    """Return an image file's width and height, without decoding it.

    Args:
        path: A `pathlib.Path`.

    Raises:
        DatasetCorrupt: It is no image.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.size
    except OSError as error:
        raise store.DatasetCorrupt(
            f"{path} is not an image: {error}"
        ) from error


def read_images(read, names, where, width, height) -> np.ndarray:
    """Read the images of some names.

    Args:
        read: Function from a name to the bytes of its file.
        names: Names of the files.
        where: What they are in, for errors.
        width: Width to return.
        height: Height to return.

    Returns:
        uint8 array (N, height, width, 3).

    Raises:
        DatasetCorrupt: A file is no whole image.
    """
    images = np.empty((len(names), height, width, 3), np.uint8)
    for image, name in zip(images, names, strict=True):
        content = read(name)
        try:
            image[:] = read_image(content, width, height)
        except OSError as error:
            raise store.DatasetCorrupt(
                f"{name} in {where} is not a whole image: {error}"
            ) from error
    return images


def read_folder(folder, names, width, height) -> np.ndarray:
    """Read the images of some names from a folder.

    Args:
        folder: A `pathlib.Path`.
        names: As of `read_images`, which the other arguments are for, too.
        width: Width to return.
        height: Height to return.

    Returns:
        uint8 array (N, height, width, 3).

    Raises:
        DatasetCorrupt: A file is missing or no whole image.
    """
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise store.DatasetCorrupt(
            f"{folder} lacks {len(missing)} of {len(names)} images, the first "
            f"is {missing[0]}"
        )

    def read(name):
        return (folder / name).read_bytes()

    return read_images(read, names, folder, width, height)
