"""ECSSD: 1000 photographs of complex scenes, with masks of what is salient.

Two folders: `images` with photographs, and `ground_truth_mask` with masks of
the same names. It has no split for training: papers train on another data set
and test on all of it.
"""

from attnlib.datasets import masks, saliency_folders, store
from attnlib.datasets.registry import DataSet


def _read(split, *, width=160, height=128):
    """Read one split, or with `"all"` every photograph.

    The three splits are ours, by names: 60 %, 10 % and 30 %.

    Args:
        split: `"train"`, `"validation"`, `"test"` or `"all"`.
        width: Width to which photographs and masks are resized, 16 to 640;
            the aspect ratio is not kept.
        height: Height, 16 to 640.

    Returns:
        `images` uint8 (N, height, width, 3); `mask` uint8 (N, height, width),
        1 where something is salient, else 0; `names`, a list of str.
    """
    folder = store.user_folder(DATASET)
    images, silhouettes = (folder / name for name in DATASET.folders)
    names = saliency_folders.stems(images, silhouettes)
    names = [n for n in names if split in ("all", saliency_folders.split_of(n))]
    return saliency_folders.read(
        images, silhouettes, names, width, height, masks.read_silhouette
    )


DATASET = DataSet(
    name="ecssd",
    description="Photographs with masks of what is salient",
    licence="research",
    citation=(
        "J. Shi, Q. Yan, L. Xu, J. Jia: Hierarchical Image Saliency Detection "
        "on Extended CSSD. PAMI 38, 2016, doi:10.1109/TPAMI.2015.2465960"
    ),
    homepage="https://www.cse.cuhk.edu.hk/leojia/projects/hsaliency/",
    read=_read,
    unions=("all",),
    folders=("images", "ground_truth_mask"),
)
