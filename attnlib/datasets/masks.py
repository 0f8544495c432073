"""Photographs with the class of every pixel, read from image files."""

import io

import numpy as np

from attnlib.datasets import pictures, store

IGNORE = 255


def read_mask(content) -> np.ndarray:
    """Decode a mask: an image whose pixels are numbers of classes.

    Args:
        content: Bytes of a file that Pillow reads, grey or with a palette.

    Returns:
        uint8 array (H, W).

    Raises:
        OSError: It is no whole image.
        ValueError: It has colours instead of numbers.
    """
    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        if image.mode not in ("L", "P"):
            raise ValueError(
                "expected one number of a class for each pixel (an image of "
                f"mode L or P). Received: mode {image.mode}"
            )
        return np.array(image, np.uint8)


def read_silhouette(content) -> np.ndarray:
    """Decode a mask of what stands out: white, or anything from mid-grey on.

    Args:
        content: Bytes of a file that Pillow reads, of any mode.

    Returns:
        uint8 array (H, W) of 0 and 1.

    Raises:
        OSError: It is no whole image.
    """
    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        grey = np.array(image.convert("L"))
    return (grey >= 128).astype(np.uint8)


def _pair(image, mask, classes, void, decode):
    """Return the size of an image and its checked mask."""
    from PIL import Image

    with Image.open(io.BytesIO(image)) as opened:
        width, height = opened.size
    mask = decode(mask)
    if mask.shape != (height, width):
        raise ValueError(
            f"expected a mask as large as its image, {width}x{height}. "
            f"Received: {mask.shape[1]}x{mask.shape[0]}"
        )
    unknown = mask[(mask >= classes) & (mask != void)]
    if unknown.size:
        raise ValueError(
            f"expected labels from 0 to {classes - 1}, or {void} for none. "
            f"Received: {int(unknown[0])}"
        )
    return np.where(mask == void, np.uint8(IGNORE), mask)


def read_pairs(
    read, names, where, width, height, classes, void=IGNORE, decode=read_mask
) -> dict:
    """Read photographs and their masks, resized to one size.

    Args:
        read: Function from a name to `(image, mask)`, the bytes of both files.
        names: Names of the photographs.
        where: What they are in, for errors.
        width: Width to return; the aspect ratio is not kept.
        height: Height to return.
        classes: Number of classes.
        void: Label of the pixels that have no class.
        decode: Function from the bytes of a mask to labels, uint8 (H, W).

    Returns:
        Dict of `images` uint8 (N, height, width, 3), `mask` uint8 (N, height,
        width), where void is 255, and `names`.

    Raises:
        DatasetCorrupt: A file is no whole image, a mask has another size than
            its image, or an unknown label.
    """
    from PIL import Image

    images = np.empty((len(names), height, width, 3), np.uint8)
    masks = np.empty((len(names), height, width), np.uint8)
    for i, name in enumerate(names):
        image, mask = read(name)
        try:
            labels = Image.fromarray(_pair(image, mask, classes, void, decode))
            images[i] = pictures.read_image(image, width, height)
        except (OSError, ValueError) as error:
            raise store.DatasetCorrupt(
                f"{name} in {where} cannot be used: {error}"
            ) from error
        # No class lies between two others: the nearest pixel's.
        nearest = Image.Resampling.NEAREST
        masks[i] = labels.resize((width, height), nearest)
    return {"images": images, "mask": masks, "names": list(names)}
