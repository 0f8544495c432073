"""Visual7W: questions with four answers, or four boxes, to choose from.

The publisher gives no checksums, so that nothing is downloaded: unpack
`dataset_v7w_telling.zip`, `dataset_v7w_pointing.zip` and `visual7w_images.zip`
(1.7 GB) into `$ATTNLIB_DATA/visual7w/`, photographs as `images/v7w_1.jpg` and
so on. No image is in two splits.
"""

import json

import numpy as np

from attnlib.datasets import pictures, questions, store
from attnlib.datasets.checks import whole_number
from attnlib.datasets.registry import DataSet, RemoteFile

TASKS = ("telling", "pointing")
CHOICES = 4

_FILES = {
    task: RemoteFile(f"dataset_v7w_{task}.json", (), sha256="", size=0)
    for task in TASKS
}
_SPLITS = {"train": "train", "validation": "val", "test": "test"}


def _content(path):
    """Return what a file of the data set says."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise store.DatasetCorrupt(
            f"{path} is not a whole JSON file: {error}"
        ) from error
    if not isinstance(content, dict) or "images" not in content:
        raise store.DatasetCorrupt(
            f"expected a JSON object with 'images' in {path}, as Visual7W is "
            "published. Received: another one"
        )
    return content


def read_pairs(content, split) -> list:
    """Return the questions of one split.

    Args:
        content: What `dataset_v7w_telling.json` or `..._pointing.json` says:
            `images`, each with `filename`, `split` and `qa_pairs`, and each of
            those with `qa_id`, `question`, `type`, `answer` and
            `multiple_choices`, the three wrong answers.
        split: `"train"`, `"val"` or `"test"`.

    Returns:
        A list of `(filename, qa)`.

    Raises:
        DatasetCorrupt: A question lacks something, or has not four answers.

    Example:
        >>> qa = {"qa_id": 1, "question": "What?", "type": "what"}
        >>> qa |= {"answer": "A cat.", "multiple_choices": ["1", "2", "3"]}
        >>> image = {"filename": "v7w_1.jpg", "split": "val", "qa_pairs": [qa]}
        >>> read_pairs({"images": [image]}, "val")[0][0]
        'v7w_1.jpg'
    """
    wanted = {"qa_id", "question", "type", "answer", "multiple_choices"}
    found = []
    for image in content["images"]:
        if missing := {"filename", "split", "qa_pairs"} - set(image):
            raise store.DatasetCorrupt(
                f"an image of Visual7W lacks {sorted(missing)[0]!r}: {image!r}"
            )
        if image["split"] != split:
            continue
        for qa in image["qa_pairs"]:
            name = f"question {qa.get('qa_id')} of {image['filename']}"
            if missing := wanted - set(qa):
                raise store.DatasetCorrupt(
                    f"{name} in Visual7W lacks {sorted(missing)[0]!r}"
                )
            if (wrong := len(qa["multiple_choices"])) != CHOICES - 1:
                raise store.DatasetCorrupt(
                    f"{name} in Visual7W has {wrong} wrong answers, expected 3"
                )
            found.append((image["filename"], qa))
    return found


def _shuffled(qa):
    """Return the four answers in an order of the question's own."""
    four = [qa["answer"], *qa["multiple_choices"]]
    order = np.random.RandomState(qa["qa_id"] % 2**32).permutation(CHOICES)
    return [four[i] for i in order], int(np.flatnonzero(order == 0)[0])


def _boxes(content, pairs, scale):
    """Return the boxes (Q, 4, 4) to choose from, in pixels of the images."""
    known = {
        box["box_id"]: [box[key] for key in ("x", "y", "width", "height")]
        for box in content.get("boxes", ())
    }
    found = np.zeros((len(pairs), CHOICES, 4))
    for row, (name, qa) in zip(found, pairs, strict=True):
        for i, box in enumerate(_shuffled(qa)[0]):
            if box not in known:
                raise store.DatasetCorrupt(
                    f"question {qa['qa_id']} of {name} in Visual7W points at "
                    f"box {box!r}, which is not among the boxes"
                )
            row[i] = np.multiply(known[box], scale[name])
    return found.astype(np.float32)


def _read(split, *, task="telling", size=224, count=0):
    """Read one official split.

    Args:
        split: `"train"`, `"validation"` or `"test"`.
        task: `"telling"`, four answers in words, or `"pointing"`, four boxes.
        size: Height and width of the images, 16 to 640, whatever their aspect
            ratio.
        count: Number of images, the first of the file; 0 for all.

    Returns:
        `images` uint8 (N, size, size, 3); for every question `question`, a list
        of str, words alone, `answer`, a list of str, `kind`, a list of
        `"what"`, `"where"`, `"when"`, `"who"`, `"why"`, `"how"` or `"which"`,
        `image` int32 (Q,), the index of its image, and `choice` int32 (Q,), the
        index of the right one of the choices, which every question has in an
        order of its own.

        `"telling"` adds `choices`, for every question a list of four answers;
        `"pointing"` adds `choice_boxes` float32 (Q, 4, 4), x, y, width, height
        in pixels of the resized images, and its `answer` is the name of the
        thing in the box, as far as it has one.
    """
    if task not in TASKS:
        raise ValueError(
            f"task: expected telling or pointing, received {task!r}"
        )
    size = whole_number("size", size, 16, 640)
    count = whole_number("count", count, 0)
    file = store.locate(DATASET, _FILES[task].name)
    content = _content(file)
    pairs = read_pairs(content, _SPLITS[split])
    names = list(dict.fromkeys(name for name, _ in pairs))
    names = names[: count or None]
    place = {name: index for index, name in enumerate(names)}
    pairs = [pair for pair in pairs if pair[0] in place]
    out = {
        "images": pictures.read_folder(
            file.parent / "images", names, size, size
        ),
        "question": [questions.words(qa["question"]) for _, qa in pairs],
        "kind": [qa["type"] for _, qa in pairs],
        "image": np.array([place[name] for name, _ in pairs], np.int32),
        "choice": np.array([_shuffled(qa)[1] for _, qa in pairs], np.int32),
    }
    if task == "telling":
        out["answer"] = [questions.words(qa["answer"]) for _, qa in pairs]
        out["choices"] = [
            [questions.words(text) for text in _shuffled(qa)[0]]
            for _, qa in pairs
        ]
        return out
    scale = {}
    for name in names:
        width, height = pictures.size_of(file.parent / "images" / name)
        scale[name] = size / np.array([width, height, width, height])
    out["choice_boxes"] = _boxes(content, pairs, scale)
    called = {box["box_id"]: box.get("name", "") for box in content["boxes"]}
    out["answer"] = [questions.words(called[qa["answer"]]) for _, qa in pairs]
    return out


DATASET = DataSet(
    name="visual7w",
    description="Questions about photographs, with four answers or boxes each",
    licence="research (none stated); photographs of COCO under their terms",
    citation=(
        "Y. Zhu, O. Groth, M. Bernstein, L. Fei-Fei: Visual7W: Grounded "
        "Question Answering in Images. CVPR 2016, arXiv:1511.03416"
    ),
    homepage="https://ai.stanford.edu/~yukez/visual7w/",
    read=_read,
    files=tuple(_FILES.values()),
)
