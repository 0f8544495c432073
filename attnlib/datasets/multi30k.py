"""Multi30k: image descriptions in English, German and French."""

import gzip
import zlib

from attnlib.datasets import store
from attnlib.datasets.registry import DataSet, RemoteFile

_URL = "https://github.com/multi30k/dataset/raw/master/data/task1/raw/"
_LANGUAGES = ("de", "en", "fr")
_STEMS = {"train": "train", "validation": "val", "test": "test_2016_flickr"}


def _file(name, sha256, size):
    return RemoteFile(f"{name}.gz", (f"{_URL}{name}.gz",), sha256, size)


_FILES = (
    _file(
        "train.de",
        "726e39b2fa9eb9ffb6dc763fb35a179f80fae06ffc5d28b6ace5faa883de28a6",
        637044,
    ),
    _file(
        "train.en",
        "d79cfa999dd4c51d2cb42499b6796d5a882c3a8a961923c25a898c90f8bbd56f",
        568929,
    ),
    _file(
        "train.fr",
        "622e75069e9f4c577425c4f277116ce66e63a2401c0a2312d90073cb12379a3c",
        604242,
    ),
    _file(
        "val.de",
        "f0cba2f995189cf5770f29a8a9a537a3ad3f51657ad873405082ff6863a5e75a",
        24681,
    ),
    _file(
        "val.en",
        "14f7d25ddd868909a9213e361768460edcacdd6ab9d1e77b92560dc10c10dc28",
        21650,
    ),
    _file(
        "val.fr",
        "ca3106f1a72390591d25f6c45cb4cd39dec4cd3f123e099748a3ce5256c160e9",
        23001,
    ),
    _file(
        "test_2016_flickr.de",
        "9204244e408ccb38d2a55cfcd344df15005fc42a07a6e55ca6c52b6ababb8cc8",
        22890,
    ),
    _file(
        "test_2016_flickr.en",
        "611d361c6334bc7246101d48097c13cf5c4413c5befc793cc629934359d532d9",
        21077,
    ),
    _file(
        "test_2016_flickr.fr",
        "6d326e188d259fb1d04ac19eae3af956559b3a0b93d7635e56c90987c40c8b90",
        22310,
    ),
)


def read_lines(path) -> list[str]:
    """Read a gzip-compressed UTF-8 text, one sentence a line.

    Args:
        path: The file.

    Returns:
        The lines, stripped of white space at both ends.

    Raises:
        DatasetCorrupt: It is not whole gzip, not UTF-8, or empty.
    """
    try:
        with gzip.open(path, "rb") as file:
            text = file.read().decode("utf-8")
    except (gzip.BadGzipFile, EOFError, zlib.error, UnicodeDecodeError) as e:
        raise store.DatasetCorrupt(
            f"{path} is not whole gzip-compressed UTF-8 text: {e}"
        ) from e
    if not text:
        raise store.DatasetCorrupt(f"{path} is empty")
    # Not splitlines(): that also breaks at characters inside a sentence,
    # such as U+2028, and the two languages would no longer match.
    return [line.strip() for line in text.removesuffix("\n").split("\n")]


def _read(split, *, source="de", target="en"):
    """Read one split as parallel sentences.

    Args:
        split: `"train"` (29000 pairs), `"validation"` (1014) or `"test"`
            (the 1000 of test_2016_flickr).
        source: Language translated from: `"de"`, `"en"` or `"fr"`.
        target: Language translated into, another one of these.
    """
    for role, language in (("source", source), ("target", target)):
        if language not in _LANGUAGES:
            raise ValueError(
                f"multi30k option {role}: expected one of "
                f"{', '.join(_LANGUAGES)}, received {language!r}"
            )
    if source == target:
        raise ValueError(
            "multi30k: expected two different languages, received "
            f"{source!r} as source and target"
        )
    stem = _STEMS[split]
    sides = [
        read_lines(store.locate(DATASET, f"{stem}.{language}.gz"))
        for language in (source, target)
    ]
    if len(sides[0]) != len(sides[1]):
        raise store.DatasetCorrupt(
            f"multi30k {split}: {len(sides[0])} sentences in {source} but "
            f"{len(sides[1])} in {target}"
        )
    return {"source": sides[0], "target": sides[1]}


DATASET = DataSet(
    name="multi30k",
    description="Image descriptions, parallel in English, German and French",
    licence="non-commercial research (descriptions of Flickr30k images)",
    citation=(
        "D. Elliott, S. Frank, K. Sima'an, L. Specia: Multi30K: Multilingual "
        "English-German Image Descriptions. Workshop on Vision and Language, "
        "2016; French: D. Elliott, S. Frank, L. Barrault, F. Bougares, "
        "L. Specia: Findings of the Second Shared Task on Multimodal Machine "
        "Translation and Multilingual Image Description. WMT 2017"
    ),
    homepage="https://github.com/multi30k/dataset",
    read=_read,
    files=_FILES,
)
