"""VQA v2: questions about photographs, each answered by ten people.

Questions and answers are downloaded, 43 MB, or read from their unpacked JSON
files in `$ATTNLIB_DATA/vqa_v2/`. The photographs are COCO's, which have to be
there already: the folders `train2014` (13.5 GB) and `val2014` (6.6 GB).
Answers of the test set are not published, so that the published validation set
is divided, by image.
"""

import json
import re
import zipfile
import zlib

import numpy as np

from attnlib import paths
from attnlib.datasets import pictures, questions, store
from attnlib.datasets.checks import whole_number
from attnlib.datasets.registry import DataSet, RemoteFile

_URL = "https://s3.amazonaws.com/cvmlp/vqa/mscoco/vqa/"
_PEOPLE = 10


def _file(name, sha256, size):
    return RemoteFile(name, (_URL + name,), sha256, size)


# By subset of COCO: the archive of questions, and that of answers.
_ARCHIVES = {
    "train2014": (
        _file(
            "v2_Questions_Train_mscoco.zip",
            "05a64b6e2582d06d7585f5429674a9a33851878be1bff9f8668cdcf792df611e",
            7239401,
        ),
        _file(
            "v2_Annotations_Train_mscoco.zip",
            "fb101bcefe91422c543c2bb6d70af11eb3119d0ff745ae283d09acdf66250853",
            21708861,
        ),
    ),
    "val2014": (
        _file(
            "v2_Questions_Val_mscoco.zip",
            "e71f6c5c3e97a51d050f28243e262b28cd0c48d11a6b4632d769d30d3f93222a",
            3494929,
        ),
        _file(
            "v2_Annotations_Val_mscoco.zip",
            "0caae7c8d1dafd852727f5ac046bc1efca9b72026bd6ffa34fc489f3a7b3291e",
            10518930,
        ),
    ),
}
_NUMBERS = "zero one two three four five six seven eight nine ten".split()
_DIGITS = {"none": "0"} | {word: str(i) for i, word in enumerate(_NUMBERS)}


def _json(name, archive):
    """Return what a JSON file says, unpacked by the user or in its archive."""
    user = paths.data_dir()
    if user is not None and (path := user / DATASET.name / name).is_file():
        read = path.read_bytes
    else:
        path = store.locate(DATASET, archive.name)

        def read():
            with zipfile.ZipFile(path) as file:
                return file.read(name)

    try:
        return json.loads(read())
    except (KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise store.DatasetCorrupt(
            f"{path} has no whole JSON file {name}: {error}"
        ) from error


def read_pairs(asked, answered) -> list:
    """Join questions and answers.

    Args:
        asked: What `v2_OpenEnded_mscoco_..._questions.json` says.
        answered: What `v2_mscoco_..._annotations.json` says.

    Returns:
        A list of `(image_id, question, annotation)`, in the order of the
        questions.

    Raises:
        DatasetCorrupt: Something is lacking: `questions` or `annotations`, a
            question for an answer or the other way round, or an answer of the
            ten; or the two do not name the same image.
    """
    try:
        texts = {row["question_id"]: row for row in asked["questions"]}
        notes = {row["question_id"]: row for row in answered["annotations"]}
        lonely = [number for number in notes if number not in texts]
        if lonely:
            raise store.DatasetCorrupt(
                f"{len(lonely)} answers of VQA have no question, the first is "
                f"that to question {lonely[0]}"
            )
        found = []
        for number, row in texts.items():
            if number not in notes:
                raise store.DatasetCorrupt(
                    f"question {number} of VQA has no answer"
                )
            note = notes[number]
            if row["image_id"] != note["image_id"]:
                raise store.DatasetCorrupt(
                    f"question {number} of VQA is about image "
                    f"{row['image_id']}, its answer about {note['image_id']}"
                )
            if (people := len(note["answers"])) != _PEOPLE:
                raise store.DatasetCorrupt(
                    f"question {number} of VQA has {people} answers, expected "
                    f"{_PEOPLE}"
                )
            found.append((row["image_id"], row["question"], note))
    except (KeyError, TypeError) as error:
        raise store.DatasetCorrupt(
            "expected questions and annotations of VQA as they are published. "
            f"Received: others, without {error}"
        ) from error
    return found


def image_name(number, subset) -> str:
    """Return the name that COCO gave an image.

    Args:
        number: Its number, 9 for example.
        subset: `"train2014"` or `"val2014"`.

    Example:
        >>> image_name(9, "train2014")
        'COCO_train2014_000000000009.jpg'
    """
    return f"COCO_{subset}_{number:012d}.jpg"


def plain(answer) -> str:
    """Return an answer as it is compared: small letters, digits, no articles.

    As in the official evaluation, but for its list of contractions: here
    apostrophes vanish, so that `don't` is `dont` everywhere.

    Args:
        answer: Any text.

    Example:
        >>> plain("Two dogs, a t-shirt"), plain("1,000.5"), plain("The Cat.")
        ('2 dogs t shirt', '1000.5', 'cat')
    """
    text = answer.lower().replace("'", "").replace("’", "")
    text = re.sub(r"(?<=\d),(?=\d)", "", text)
    text = re.sub(r"(?<!\d)\.|\.(?!\d)", "", text)
    words = re.findall(r"[\w.]+", text)
    words = [word for word in words if word not in ("a", "an", "the")]
    return " ".join(_DIGITS.get(word, word) for word in words)


def consensus_accuracy(said, answers) -> np.ndarray:
    """Score answers by how many of ten people agree, as VQA does.

    An answer is right when three people gave it, and a third right for each
    where fewer did; one of the ten is left out in turn, and the mean taken.

    Args:
        said: Q answers, str.
        answers: For each of them the answers of all people, lists of str.

    Returns:
        float64 (Q,), 0 to 1.

    Raises:
        ValueError: There are not as many lists, or one has fewer than two
            answers.

    Example:
        >>> people = ["2"] * 3 + ["three"] * 7
        >>> consensus_accuracy(["two", "3"], [people, people])
        array([0.9, 1. ])

    Reference:
        Antol et al. 2015, arXiv:1505.00468; https://visualqa.org/evaluation
    """
    if len(said) != len(answers):
        raise ValueError(
            f"expected a list of answers for each of {len(said)}. Received: "
            f"{len(answers)}"
        )
    out = np.zeros(len(said))
    for i, (one, people) in enumerate(zip(said, answers, strict=True)):
        if len(people) < 2:
            raise ValueError(
                f"expected at least two people's answers. Received: {people!r}"
            )
        one = plain(one)
        same = np.array([plain(other) == one for other in people])
        out[i] = np.minimum((same.sum() - same) / 3, 1).mean()
    return out


def _folder(subset):
    """Return the user's folder of photographs, or say how to get it."""
    user = paths.data_dir()
    if user is not None and (path := user / DATASET.name / subset).is_dir():
        return path
    looked = "ATTNLIB_DATA is not set"
    if user is not None:
        looked = f"{user / DATASET.name} has no folder {subset}"
    raise store.DatasetUnavailable(
        f"the photographs of data set 'vqa_v2' are not here: {looked}. Unpack "
        f"http://images.cocodataset.org/zips/{subset}.zip there, and set "
        f"ATTNLIB_DATA to the folder above {DATASET.name!r}"
    )


def _read(split, *, size=224, count=0):
    """Read one split, by image: training, and parts of the validation set.

    Args:
        split: `"train"`, all of train2014; `"validation"`, a tenth of the
            images of val2014; or `"test"`, the others.
        size: Height and width of the images, 16 to 640, whatever their aspect
            ratio.
        count: Number of images, those of the lowest numbers; 0 for all, of
            which 82783 are for training.

    Returns:
        `images` uint8 (N, size, size, 3); for every question `question`, a list
        of str, words alone, `answer`, a list of str, the most frequent one,
        `answers`, for every question a list of the ten, `kind`, a list of
        `"yes/no"`, `"number"` or `"other"`, and `image` int32 (Q,), the index
        of its image. `consensus_accuracy` compares with all ten.
    """
    size = whole_number("size", size, 16, 640)
    count = whole_number("count", count, 0)
    subset = "train2014" if split == "train" else "val2014"
    folder = _folder(subset)
    asked, answered = _ARCHIVES[subset]
    rows = read_pairs(
        _json(f"v2_OpenEnded_mscoco_{subset}_questions.json", asked),
        _json(f"v2_mscoco_{subset}_annotations.json", answered),
    )
    numbers = sorted({number for number, *_ in rows})
    if split != "train":
        wanted = split == "validation"
        numbers = [n for n in numbers if questions.held_out(str(n)) == wanted]
    numbers = numbers[: count or None]
    place = {number: index for index, number in enumerate(numbers)}
    rows = [row for row in rows if row[0] in place]
    names = [image_name(number, subset) for number in numbers]
    return {
        "images": pictures.read_folder(folder, names, size, size),
        "question": [questions.words(text) for _, text, _ in rows],
        "answer": [note["multiple_choice_answer"] for *_, note in rows],
        "answers": [
            [person["answer"] for person in note["answers"]]
            for *_, note in rows
        ],
        "kind": [note["answer_type"] for *_, note in rows],
        "image": np.array([place[number] for number, *_ in rows], np.int32),
    }


DATASET = DataSet(
    name="vqa_v2",
    description="Questions about photographs, each answered by ten people",
    licence="questions and answers: CC BY 4.0; photographs: their own terms",
    citation=(
        "Y. Goyal, T. Khot, D. Summers-Stay, D. Batra, D. Parikh: Making the V "
        "in VQA Matter. CVPR 2017, arXiv:1612.00837; T.-Y. Lin et al.: "
        "Microsoft COCO. ECCV 2014, arXiv:1405.0312"
    ),
    homepage="https://visualqa.org/download.html",
    read=_read,
    files=tuple(file for pair in _ARCHIVES.values() for file in pair),
)
