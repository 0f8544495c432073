"""HMDB-51: about 6800 videos of 51 actions, with three official splits.

Unpack the publisher's `hmdb51_org.rar`, and in it the archive of each action,
so that `$ATTNLIB_DATA/hmdb51/hmdb51_org/<action>/` holds the videos; and
`test_train_splits.rar` beside it, as `testTrainMulti_7030_splits`. A split file
marks 70 videos of an action for training, 30 for test, and leaves out the rest.
Every seventh of the training videos is for validation here.
"""

import re

import numpy as np

from attnlib.datasets import clips, store
from attnlib.datasets.checks import whole_number
from attnlib.datasets.registry import DataSet

_VIDEOS, _SPLITS = "hmdb51_org", "testTrainMulti_7030_splits"
_LIST = re.compile(r"(.+)_test_split([123])\.txt$")
_UNUSED, _TRAIN, _TEST = "0", "1", "2"


def read_split(lines, where) -> dict:
    """Read one split file.

    Args:
        lines: Lines as `name.avi 1`: 0 unused, 1 training, 2 test.
        where: The file's name, for errors.

    Returns:
        Dictionary from the names of videos to `"0"`, `"1"` or `"2"`.

    Raises:
        DatasetCorrupt: A line has another format.

    Example:
        >>> read_split(["a.avi 1 ", "b.avi 2 "], "x")
        {'a.avi': '1', 'b.avi': '2'}
    """
    found = {}
    for line in filter(str.strip, lines):
        name, _, use = line.strip().rpartition(" ")
        if not name or use not in (_UNUSED, _TRAIN, _TEST):
            raise store.DatasetCorrupt(
                f"expected lines as 'name.avi 1' in {where}, with 0, 1 or 2 "
                f"behind the name, received {line!r}"
            )
        found[name.strip()] = use
    return found


def _lists(folder, fold) -> dict:
    """Return the split file of each action, by action."""
    found = {}
    for path in sorted(folder.glob("*.txt")):
        match = _LIST.match(path.name)
        if match and int(match[2]) == fold:
            found[match[1]] = path
    if not found:
        raise store.DatasetCorrupt(
            f"{folder} has no files <action>_test_split{fold}.txt"
        )
    return found


def _chosen(uses, split) -> list:
    """Return the names of one split of ours."""
    if split == "test":
        return [name for name, use in uses.items() if use == _TEST]
    train = sorted(name for name, use in uses.items() if use == _TRAIN)
    wanted = split == "validation"
    return [n for i, n in enumerate(train) if (i % 7 == 6) == wanted]


def _read(split, *, fold=1, frames=30, rate=30.0, side=224):
    """Find the videos of one split; they are decoded when asked for.

    Args:
        split: `"train"`, `"validation"` or `"test"`.
        fold: Which of the official splits, 1 to 3.
        frames: Frames of a clip, at least 2; the one in the middle of a video.
        rate: Frames a second.
        side: Height and width to which frames are resized.

    Returns:
        `videos`, a `clips.Clips` of N items uint8 (frames, side, side, 3);
        `label` int32 (N,), index into `actions`; `actions`, a list of str;
        `name`, a list of str.

    Raises:
        ValueError: The fold is none of them.
        DatasetCorrupt: Split files or videos are missing, or no video is of
            the split.
    """
    fold = whole_number("fold", fold, 1, 3)
    folder = store.user_folder(DATASET)
    lists = _lists(folder / _SPLITS, fold)
    paths, labels = [], []
    for label, (action, listed) in enumerate(lists.items()):
        lines = listed.read_text("utf-8").splitlines()
        for name in _chosen(read_split(lines, listed), split):
            paths.append(folder / _VIDEOS / action / name)
            labels.append(label)
    if not paths:
        raise store.DatasetCorrupt(
            f"the files *_test_split{fold}.txt in {folder / _SPLITS} name no "
            f"video of the {split} split: expected lines as 'name.avi 1'. "
            "Unpack the publisher's archive anew"
        )
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise store.DatasetCorrupt(
            f"{folder / _VIDEOS} lacks {len(missing)} of the {len(paths)} "
            f"videos of the {split} split, the first is "
            f"{missing[0].parent.name}/{missing[0].name}"
        )
    return {
        "videos": clips.Clips(paths, frames, rate, side),
        "label": np.array(labels, np.int32),
        "actions": list(lists),
        "name": [path.stem for path in paths],
    }


DATASET = DataSet(
    name="hmdb51",
    description="Videos of 51 actions from films and the web",
    licence="CC BY 4.0",
    citation=(
        "H. Kuehne, H. Jhuang, E. Garrote, T. Poggio, T. Serre: HMDB: A Large "
        "Video Database for Human Motion Recognition. ICCV 2011, "
        "doi:10.1109/ICCV.2011.6126543"
    ),
    homepage=(
        "https://serre-lab.clps.brown.edu/resource/hmdb-a-large-human-motion-"
        "database/"
    ),
    read=_read,
    folders=(_VIDEOS, _SPLITS),
)
