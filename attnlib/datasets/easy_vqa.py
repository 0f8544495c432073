"""easy-VQA: simple questions about images of one coloured shape."""

import json

import numpy as np

from attnlib.datasets import pictures, questions, store
from attnlib.datasets.checks import whole_number
from attnlib.datasets.registry import DataSet, RemoteFile

SHAPES = ("circle", "rectangle", "triangle")
_QUESTIONS = {
    "train": RemoteFile(
        "train/questions.json",
        (),
        sha256="bb67697636aed0e65631d4266824aebeae5c833b0f37ed781e20752e85617ec5",
        size=1888771,
    ),
    "test": RemoteFile(
        "test/questions.json",
        (),
        sha256="0d4630a51bafec65343e2f6af9cdd20cf8eae214344ef57636202eec409553f7",
        size=465619,
    ),
}


def kind_of(question) -> str:
    """Return what a question asks for: `colour`, `shape` or `yes/no`.

    Args:
        question: One of the data set's questions.

    Example:
        >>> kind_of("what color is the shape?"), kind_of("is there a circle?")
        ('colour', 'yes/no')
    """
    if "color" in question:
        return "colour"
    return "shape" if question.startswith("what") else "yes/no"


def _read(split, *, size=64):
    """Read one split; a tenth of the training images is for validation.

    Args:
        split: `"train"`, `"validation"` or `"test"`.
        size: Height and width of the images, 8 to 512.

    Returns:
        `images` uint8 (N, size, size, 3); for every question `question`, a list
        of str, words alone, `answer`, a list of str, `kind`, a list of
        `"colour"`, `"shape"` or `"yes/no"`, and `image` int32 (Q,), the index
        of its image.
    """
    size = whole_number("size", size, 8, 512)
    part = "test" if split == "test" else "train"
    file = store.locate(DATASET, _QUESTIONS[part].name)
    rows = json.loads(file.read_text())
    names = sorted({number for _, _, number in rows})
    if part == "train":
        wanted = split == "validation"
        names = [n for n in names if questions.held_out(str(n)) == wanted]
    place = {number: index for index, number in enumerate(names)}
    rows = [row for row in rows if row[2] in place]
    return {
        "images": pictures.read_folder(
            file.parent / "images", [f"{n}.png" for n in names], size, size
        ),
        "question": [questions.words(text) for text, _, _ in rows],
        "answer": [answer for _, answer, _ in rows],
        "kind": [kind_of(text) for text, _, _ in rows],
        "image": np.array([place[n] for _, _, n in rows], np.int32),
    }


DATASET = DataSet(
    name="easy_vqa",
    description="Questions about one coloured shape on an empty image",
    licence="MIT",
    citation="V. Zhou: easy-VQA, https://github.com/vzhou842/easy-VQA",
    homepage="https://github.com/vzhou842/easy-VQA",
    read=_read,
    files=tuple(_QUESTIONS.values()),
)
