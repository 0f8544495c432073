"""DAQUAR: questions that people asked about photographs of rooms."""

import re

import numpy as np

from attnlib.datasets import pictures, questions, store
from attnlib.datasets.checks import whole_number
from attnlib.datasets.registry import DataSet, RemoteFile

_PAIRS = RemoteFile(
    "all_qa_pairs.txt",
    (),
    sha256="155702e229ac24e49bdde9791abd5f28469eea4615282ae0f570f4f9c0395dd5",
    size=775289,
)
_LISTS = {
    "train": RemoteFile(
        "train_images_list.txt",
        (),
        sha256="91d0269224e4131c7ddbfa1c1f429434f9e29ba507922bf72055bf3d7cab8cf3",
        size=7311,
    ),
    "test": RemoteFile(
        "test_images_list.txt",
        (),
        sha256="e7092892cc8049635e6b9465a7f5f6790119c32cfd3d7dd276b77ff6b6a952b3",
        size=6070,
    ),
}
_ABOUT = re.compile(r"\s*(?:in|on|of)? ?(?:the )?(image ?\d+) ?\?\s*$")


def read_pairs(lines) -> list:
    """Return the questions of the file, which alternates with the answers.

    Args:
        lines: A question and its answer in turn.

    Returns:
        A list of `(image, question, answer)`: the image's name such as
        `"image3"`, and the question without what says which image it is about.

    Raises:
        DatasetCorrupt: A question names no image, or has no answer.

    Example:
        >>> read_pairs(["what is on the table in the image3 ?", "cup, lamp"])
        [('image3', 'what is on the table', 'cup, lamp')]
    """
    lines = [line.strip() for line in lines if line.strip()]
    if len(lines) % 2:
        raise store.DatasetCorrupt(
            f"expected a question and an answer in turn, received {len(lines)} "
            "lines: an answer is missing"
        )
    found = []
    for question, answer in zip(lines[::2], lines[1::2], strict=True):
        about = _ABOUT.search(question)
        if about is None:
            raise store.DatasetCorrupt(
                "expected questions that end in 'image<number> ?' in DAQUAR, "
                f"received {question!r}"
            )
        text = questions.words(question[: about.start()])
        found.append((about[1].replace(" ", ""), text, answer))
    return found


def kind_of(question, answer) -> str:
    """Return what a question asks for: `colour`, `number` or `object`.

    Args:
        question: A question.
        answer: Its answer.

    Example:
        >>> kind_of("how many chairs are there", "2")
        'number'
    """
    if re.search(r"\bcolou?rs?\b", question):
        return "colour"
    if question.startswith("how many") or answer.isdecimal():
        return "number"
    return "object"


def _read(split, *, width=224, height=168):
    """Read one split of the official ones, by image.

    No image is in two splits: 795 of the 1449 are for training, a tenth of
    which is for validation here, and 654 for test.

    Args:
        split: `"train"`, `"validation"` or `"test"`.
        width: Width of the images, 16 to 640; their aspect ratio is 4:3.
        height: Height of the images, 16 to 480.

    Returns:
        `images` uint8 (N, height, width, 3); for every question `question`, a
        list of str, words alone, `answer`, a list of str (a list of several
        things is one answer, as `"cup, lamp"`), `kind`, a list of `"colour"`,
        `"number"` or `"object"`, and `image` int32 (Q,), the index of its
        image.
    """
    width = whole_number("width", width, 16, 640)
    height = whole_number("height", height, 16, 480)
    file = store.locate(DATASET, _PAIRS.name)
    part = "test" if split == "test" else "train"
    names = store.locate(DATASET, _LISTS[part].name).read_text().split()
    if part == "train":
        wanted = split == "validation"
        names = [n for n in names if questions.held_out(n) == wanted]
    place = {name: index for index, name in enumerate(names)}
    rows = [
        row
        for row in read_pairs(file.read_text().splitlines())
        if row[0] in place
    ]
    return {
        "images": pictures.read_folder(
            file.parent / "images", [f"{n}.jpg" for n in names], width, height
        ),
        "question": [question for _, question, _ in rows],
        "answer": [answer for _, _, answer in rows],
        "kind": [kind_of(question, answer) for _, question, answer in rows],
        "image": np.array([place[name] for name, _, _ in rows], np.int32),
    }


DATASET = DataSet(
    name="daquar",
    description="Questions of people about photographs of rooms (NYU Depth v2)",
    licence="research",
    citation=(
        "M. Malinowski, M. Fritz: A Multi-World Approach to Question "
        "Answering about Real-World Scenes based on Uncertain Input. NIPS "
        "2014, arXiv:1410.0210"
    ),
    homepage=(
        "https://www.mpi-inf.mpg.de/departments/computer-vision-and-machine-"
        "learning/research/vision-and-language/visual-turing-challenge"
    ),
    read=_read,
    files=(_PAIRS, *_LISTS.values()),
)
