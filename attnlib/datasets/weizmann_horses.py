"""Weizmann horses: photographs of horses with their silhouettes.

Four folders: `horse_train`, `horse_test` with photographs, and `mask_train`,
`mask_test` with masks of the same names, PNG files of 0 and 1.
"""

from attnlib.datasets import masks, questions, saliency_folders, store
from attnlib.datasets.registry import DataSet


def _read(split, *, width=160, height=128):
    """Read one split of the 278 and 49 photographs.

    A tenth of those for training is for validation, by their names.

    Args:
        split: `"train"`, `"validation"` or `"test"`.
        width: Width to which photographs and masks are resized, 16 to 640;
            the aspect ratio is not kept.
        height: Height, 16 to 640.

    Returns:
        `images` uint8 (N, height, width, 3); `mask` uint8 (N, height, width),
        1 on the horse, else 0; `names`, a list of str.
    """
    folder = store.user_folder(DATASET)
    part = "test" if split == "test" else "train"
    images, silhouettes = folder / f"horse_{part}", folder / f"mask_{part}"
    names = saliency_folders.stems(images, silhouettes)
    if split != "test":
        wanted = split == "validation"
        names = [n for n in names if questions.held_out(n) == wanted]
    return saliency_folders.read(
        images, silhouettes, names, width, height, masks.read_mask
    )


DATASET = DataSet(
    name="weizmann_horses",
    description="Photographs of horses with masks",
    licence="research",
    citation=(
        "E. Borenstein, S. Ullman: Class-Specific, Top-Down Segmentation. "
        "ECCV 2002, doi:10.1007/3-540-47967-8_8"
    ),
    homepage="https://www.msri.org/people/members/eranb/",
    read=_read,
    folders=("horse_train", "mask_train", "horse_test", "mask_test"),
)
