"""UCF-11, the YouTube action data set: 1600 videos of 11 actions.

Unpack `UCF11_updated_mpg.rar` of the publisher into `$ATTNLIB_DATA/ucf11/`.
The videos of an action are in 25 groups; those of a group show the same person
or place, and so belong into one split. The paper trains on 975 videos and tests
on 625, and does not say on which: here groups 1 to 13 are for training, 14 and
15 for validation, 16 to 25 for test.
"""

import re

import numpy as np

from attnlib.datasets import clips, store
from attnlib.datasets.registry import DataSet

ACTIONS = (
    "basketball",
    "biking",
    "diving",
    "golf_swing",
    "horse_riding",
    "soccer_juggling",
    "swing",
    "tennis_swing",
    "trampoline_jumping",
    "volleyball_spiking",
    "walking",
)
_FOLDER = "UCF11_updated_mpg"
_GROUPS = {
    "train": range(1, 14),
    "validation": range(14, 16),
    "test": range(16, 26),
}
_NAME = re.compile(r"v_\w+?_(\d\d)_(\d\d)$")


def group_of(name) -> int:
    """Return the group of a video by its name.

    Args:
        name: Name without its ending, such as `"v_biking_07_03"`.

    Raises:
        DatasetCorrupt: It is no such name.

    Example:
        >>> group_of("v_walk_dog_07_03")
        7
    """
    match = _NAME.match(name)
    if match is None or not 1 <= int(match[1]) <= 25:
        raise store.DatasetCorrupt(
            "expected names of videos as 'v_biking_07_03', with a group from "
            f"01 to 25, in UCF-11, received {name!r}"
        )
    return int(match[1])


def _actions(folder) -> list:
    """Return the actions that have a folder, after a check."""
    found = {path.name for path in folder.iterdir() if path.is_dir()}
    unknown, absent = sorted(found - {*ACTIONS}), sorted({*ACTIONS} - found)
    if unknown or absent:
        raise store.DatasetCorrupt(
            f"expected one folder for each of the {len(ACTIONS)} actions in "
            f"{folder}. Received: without {', '.join(absent) or 'none'}, and "
            f"with {', '.join(unknown) or 'none'}, which is no action"
        )
    return list(ACTIONS)


def _read(split, *, frames=30, rate=30.0, side=224):
    """Find the videos of one split; they are decoded when asked for.

    Args:
        split: `"train"`, `"validation"` or `"test"`.
        frames: Frames of a clip, at least 2; the one in the middle of a video.
        rate: Frames a second.
        side: Height and width to which frames are resized.

    Returns:
        `videos`, a `clips.Clips` of N items uint8 (frames, side, side, 3);
        `label` int32 (N,), index into `ACTIONS`; `group` int32 (N,); `name`, a
        list of str.

    Raises:
        DatasetCorrupt: Folders are not those of the actions, a name has no
            group, or there is no video of the split.
    """
    folder = store.user_folder(DATASET) / _FOLDER
    paths, labels, groups = [], [], []
    for label, action in enumerate(_actions(folder)):
        for path in clips.files_below(folder / action):
            group = group_of(path.stem)
            if group in _GROUPS[split]:
                paths.append(path)
                labels.append(label)
                groups.append(group)
    if not paths:
        first, *_, last = _GROUPS[split]
        raise store.DatasetCorrupt(
            f"{folder} has no video of the {split} split, groups {first} to "
            f"{last}: expected files such as biking/v_biking_{first:02d}/"
            f"v_biking_{first:02d}_01.mpg in the folders of the actions. "
            "Unpack the publisher's archive anew"
        )
    return {
        "videos": clips.Clips(paths, frames, rate, side),
        "label": np.array(labels, np.int32),
        "group": np.array(groups, np.int32),
        "name": [path.stem for path in paths],
    }


DATASET = DataSet(
    name="ucf11",
    description="Videos of 11 actions from YouTube, in 25 groups",
    licence="research (videos of YouTube)",
    citation=(
        "J. Liu, J. Luo, M. Shah: Recognizing Realistic Actions from Videos "
        '"in the Wild". CVPR 2009, doi:10.1109/CVPR.2009.5206744'
    ),
    homepage="https://www.crcv.ucf.edu/data/UCF_YouTube_Action.php",
    read=_read,
    folders=(_FOLDER,),
)
