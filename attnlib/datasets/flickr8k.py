"""Flickr8k: photographs, each described by five people."""

import collections
import contextlib
import hashlib
import zipfile
import zlib
from pathlib import PurePosixPath

import numpy as np

from attnlib import paths
from attnlib.datasets import pictures, store
from attnlib.datasets.checks import whole_number
from attnlib.datasets.registry import DataSet, RemoteFile

# The authors hand the files out no more; this copy is the one in general use.
_URL = "https://github.com/jbrownlee/Datasets/releases/download/Flickr8k/"
_CAPTIONS = 5
# The captions name one image that was never published.
_ABSENT = "2258277193_586949ec62.jpg"
_IMAGES, _TEXT = "Flickr8k_Dataset.zip", "Flickr8k_text.zip"
_IMAGE_FOLDER, _TEXT_FOLDER = "Flicker8k_Dataset", "Flickr8k_text"
_TOKENS = "Flickr8k.token.txt"
_LISTS = {
    "train": "Flickr_8k.trainImages.txt",
    "validation": "Flickr_8k.devImages.txt",
    "test": "Flickr_8k.testImages.txt",
}

# Nobody gives a SHA-256 of the archives; that of the texts is checked below.
_FILES = (
    RemoteFile(
        _TEXT,
        (_URL + _TEXT,),
        sha256="",
        size=2340801,
        md5="bf6c1abcb8e4a833b7f922104de18627",
    ),
    RemoteFile(
        _IMAGES,
        (_URL + _IMAGES,),
        sha256="",
        size=1115419746,
        md5="f18a1e2920de5bd84dae7cf08ec78978",
    ),
)

# SHA-256 of the texts themselves, from the archive or unpacked.
_SUMS = {
    _TOKENS: "9b8608b02da9040581f1e3d4c8738db1fb6f63314342100432adc3962f77d71a",
    _LISTS["train"]: (
        "e330ddd5156a4c2d2e2b67bc587e70e588f2d132bd8a10dc54dcb71e58115d8e"
    ),
    _LISTS["validation"]: (
        "18ba829f47f6df1cb830bf7f0506e2ddf333818925299babbd1bbcaf50fdc504"
    ),
    _LISTS["test"]: (
        "c0924146c131458ceba45da59670fe9520eadce1e5cafffa16a817672a9b1f17"
    ),
}


class _Archive:
    """Files of a zip archive, read by name and never unpacked."""

    def __init__(self, path, stack):
        self.path = path
        try:
            self.file = stack.enter_context(zipfile.ZipFile(path))
        except zipfile.BadZipFile as error:
            raise store.DatasetCorrupt(
                f"{path} is not a whole zip archive: {error}"
            ) from error
        self.members = {
            PurePosixPath(name).name: name
            for name in self.file.namelist()
            # What a Mac adds has the same names.
            if not name.startswith("__MACOSX")
        }

    def __contains__(self, name):
        return name in self.members

    def read(self, name) -> bytes:
        try:
            return self.file.read(self.members[name])
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise store.DatasetCorrupt(
                f"{self.path}: {name} is damaged: {error}"
            ) from error


def _source(folder, archive, stack):
    """Return the user's unpacked folder, or the archive, to read from."""
    user = paths.data_dir()
    if user is not None and (path := user / DATASET.name / folder).is_dir():
        return store.Folder(path)
    return _Archive(store.locate(DATASET, archive), stack)


def _lines(texts, name) -> list[str]:
    """Return the lines of one of the published texts, after a check."""
    if name not in texts:
        raise store.DatasetCorrupt(f"{texts.path} has no file {name}")
    content = texts.read(name)
    actual = hashlib.sha256(content).hexdigest()
    if actual != _SUMS[name]:
        raise store.DatasetCorrupt(
            f"{name} in {texts.path} is not the published one: its SHA-256 "
            f"is {actual[:16]}... and not {_SUMS[name][:16]}..."
        )
    return content.decode("utf-8").splitlines()


def read_captions(lines) -> dict[str, list[str]]:
    """Sort the captions of a token file by image.

    Args:
        lines: Lines as `name.jpg#0<tab>A caption .`, in any order.

    Returns:
        Dictionary from the image's name to its captions, in the order of the
        number after `#`.

    Raises:
        DatasetCorrupt: A line has another format.

    Example:
        >>> read_captions(["a.jpg#1\\tA dog .", "a.jpg#0\\tOne dog ."])
        {'a.jpg': ['One dog .', 'A dog .']}
    """
    numbered = collections.defaultdict(dict)
    for line in lines:
        key, tab, caption = line.partition("\t")
        name, _, number = key.rpartition("#")
        if not (tab and name and number.isdecimal() and caption.strip()):
            raise store.DatasetCorrupt(
                "expected lines as 'name.jpg#0<tab>caption' in the captions "
                f"of Flickr8k, received {line!r}"
            )
        numbered[name][int(number)] = caption.strip()
    return {
        name: [captions[number] for number in sorted(captions)]
        for name, captions in numbered.items()
    }


def read_image(content, size) -> np.ndarray:
    """Decode an image of any size and mode.

    Args:
        content: Bytes of a file that Pillow reads: grey, palette and CMYK
            images are converted to RGB.
        size: Height and width to return; the aspect ratio is not kept.

    Returns:
        uint8 array (size, size, 3).

    Raises:
        OSError: It is no whole image.
    """
    return pictures.read_image(content, size, size)


def _images(source, names, size, split) -> np.ndarray:
    """Return the images (N, size, size, 3) of some names."""
    missing = [name for name in names if name not in source]
    if missing:
        raise store.DatasetCorrupt(
            f"{source.path} lacks {len(missing)} of the {len(names)} images "
            f"of the {split} split of Flickr8k, the first is {missing[0]}"
        )
    return pictures.read_images(source.read, names, source.path, size, size)


def _read(split, *, size=112):
    """Read one split of the official 6000, 1000 and 1000 images.

    Read from `$ATTNLIB_DATA/flickr8k/` where the folders `Flicker8k_Dataset`
    (perhaps with reduced images) and `Flickr8k_text` are there, else from the
    two archives, without unpacking them. The texts are those of the published
    SHA-256 either way. The captions name an image that was never published,
    2258277193_586949ec62.jpg: where a list has it, it is left out and named
    under `skipped`; the official lists do not have it. Any other missing image
    is an error.

    Args:
        split: `"train"` (6000 images), `"validation"` or `"test"` (1000).
        size: Height and width to which every image is resized, whatever its
            aspect ratio, 8 to 1024.

    Returns:
        `images` uint8 (N, size, size, 3), `captions`, for each image a list
        of five str as published (`A dog runs .`), `names`, the names of the
        files, and `skipped`, the names of images left out.
    """
    size = whole_number("size", size, 8, 1024)
    with contextlib.ExitStack() as stack:
        texts = _source(_TEXT_FOLDER, _TEXT, stack)
        listed = [line.strip() for line in _lines(texts, _LISTS[split])]
        listed = [name for name in listed if name]
        captions = read_captions(_lines(texts, _TOKENS))
        photographs = _source(_IMAGE_FOLDER, _IMAGES, stack)
        skipped = [n for n in listed if n == _ABSENT and n not in photographs]
        names = [name for name in listed if name not in skipped]
        for name in names:
            if (found := len(captions.get(name, ()))) != _CAPTIONS:
                raise store.DatasetCorrupt(
                    f"{name} of the {split} split of Flickr8k has {found} "
                    f"captions, expected {_CAPTIONS}"
                )
        images = _images(photographs, names, size, split)
    return {
        "images": images,
        "captions": [captions[name] for name in names],
        "names": names,
        "skipped": skipped,
    }


DATASET = DataSet(
    name="flickr8k",
    description="Photographs of people and animals, five captions each",
    licence="non-commercial research and education (photographs of Flickr)",
    citation=(
        "M. Hodosh, P. Young, J. Hockenmaier: Framing Image Description as a "
        "Ranking Task: Data, Models and Evaluation Metrics. Journal of "
        "Artificial Intelligence Research 47, 2013, doi:10.1613/jair.3994"
    ),
    homepage="https://hockenmaier.cs.illinois.edu/8k-pictures.html",
    read=_read,
    files=_FILES,
)
