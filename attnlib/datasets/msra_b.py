"""MSRA-B: 5000 photographs with masks of what is salient.

One folder, `MSRA-B`, with photographs and masks of the same stems. Lists of
the splits, `train.txt`, `validation.txt` and `test.txt` (a name a line), may
lie beside the photographs; papers use 2500, 500 and 2000. Where there are none
the split is by names: 60 %, 10 % and 30 %.
"""

from attnlib.datasets import masks, saliency_folders, store
from attnlib.datasets.registry import DataSet


def _read(split, *, width=160, height=128):
    """Read one split.

    Args:
        split: `"train"`, `"validation"` or `"test"`.
        width: Width to which photographs and masks are resized, 16 to 640;
            the aspect ratio is not kept.
        height: Height, 16 to 640.

    Returns:
        `images` uint8 (N, height, width, 3); `mask` uint8 (N, height, width),
        1 where something is salient, else 0; `names`, a list of str.
    """
    folder = store.user_folder(DATASET) / DATASET.folders[0]
    names = saliency_folders.stems(folder, folder)
    lists = {name: folder / f"{name}.txt" for name in DATASET.splits}
    there = [name for name, path in lists.items() if path.is_file()]
    if there and split not in there:
        raise store.DatasetCorrupt(
            f"{folder} has {there[0]}.txt but no {split}.txt: give a list of "
            "every split, or none"
        )
    if there:
        names = saliency_folders.listed(lists[split], names)
    else:
        names = [n for n in names if saliency_folders.split_of(n) == split]
    return saliency_folders.read(
        folder, folder, names, width, height, masks.read_silhouette
    )


DATASET = DataSet(
    name="msra_b",
    description="Photographs with masks of what is salient",
    licence="research",
    citation=(
        "T. Liu et al.: Learning to Detect a Salient Object. PAMI 33, 2011, "
        "doi:10.1109/TPAMI.2010.70; masks of H. Jiang et al.: Salient Object "
        "Detection: A Discriminative Regional Feature Integration Approach. "
        "CVPR 2013, doi:10.1109/CVPR.2013.271"
    ),
    homepage="https://mmcheng.net/msra10k/",
    read=_read,
    folders=("MSRA-B",),
)
