"""Data sets: embedded ones, and loaders for published ones.

Every set is loaded the same way::

    data = attnlib.datasets.load("digits28", "train")

`python -m attnlib datasets list` shows what there is and what is present.
Nothing here unpickles anything, and no Keras backend is needed.
"""

import hashlib
from pathlib import Path

import numpy as np

from attnlib.datasets import registry, store
from attnlib.datasets.store import DatasetCorrupt, DatasetUnavailable

__all__ = [
    "DatasetCorrupt",
    "DatasetUnavailable",
    "available",
    "digest",
    "fetch",
    "info",
    "load",
    "verify",
]


def available() -> list[str]:
    """Return the names of all data sets, embedded ones included.

    Example:
        >>> "digits28" in available()
        True
    """
    return sorted(registry.all_sets())


def load(name, split="train", **options) -> dict:
    """Load one split of a data set as NumPy arrays or lists.

    Args:
        name: One of `available()`.
        split: `"train"`, `"validation"` or `"test"`; `info(name)["splits"]`
            lists further ones.
        **options: The data set's own; `info(name)["options"]` lists them.

    Returns:
        Image sets: `images`, uint8 (N, H, W, C), and `label`, int32 (N,).
        Text sets: `source` and `target`, lists of str. Captioned sets:
        `images` and `captions`, for each image a list of str. And what else
        the data set's module describes.

    Raises:
        ValueError: Unknown data set, split, option or value of an option.
        DatasetUnavailable: The files are neither in `$ATTNLIB_DATA` nor in
            the cache, and could not be downloaded.
        DatasetCorrupt: A file is not the published one.

    Example:
        >>> digits = load("digits28", "test")
        >>> digits["images"].shape, digits["label"].shape
        ((400, 28, 28, 1), (400,))
    """
    dataset = registry.get(name)
    splits = (*dataset.splits, *dataset.unions)
    if split not in splits:
        raise ValueError(
            f"unknown split {split!r} of data set {name!r}; expected one of "
            f"{', '.join(splits)}"
        )
    _check_options(dataset, options)
    return dataset.read(split, **options)


def _check_options(dataset, options):
    known = dataset.options
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(
            f"data set {dataset.name!r} has no option "
            f"{', '.join(map(repr, unknown))}; its options are "
            f"{', '.join(known) or 'none'}"
        )


def info(name) -> dict:
    """Describe a data set without loading or downloading it.

    Args:
        name: One of `available()`.

    Returns:
        Dictionary with `name`, `description`, `licence`, `citation`,
        `homepage`, `embedded`, `splits`, `options` (name to default), `size`
        (bytes to download), `url` (empty where there is no download),
        `sha256` and `md5` (all by file name; of the checksums at least one is
        empty), `files`
        (a list of dictionaries with `name`, `size`, `path` and `present`)
        and `present`. Whether a file is present is told by its size; `verify`
        compares checksums.

    Raises:
        ValueError: Unknown data set.
    """
    dataset = registry.get(name)
    files = [
        {
            "name": found.file.name,
            "size": found.file.size,
            "path": str(found.path),
            "present": found.state == "present",
        }
        for found in store.status(dataset, check=False)
    ]
    return {
        "name": dataset.name,
        "description": dataset.description,
        "licence": dataset.licence,
        "citation": dataset.citation,
        "homepage": dataset.homepage,
        "embedded": dataset.embedded,
        "splits": [*dataset.splits, *dataset.unions],
        "options": dataset.options,
        "size": dataset.size,
        "url": {file.name: "".join(file.urls[:1]) for file in dataset.files},
        "sha256": {file.name: file.sha256 for file in dataset.files},
        "md5": {file.name: file.md5 for file in dataset.files},
        "files": files,
        "present": all(file["present"] for file in files)
        and not store.missing_folders(dataset),
    }


def fetch(name) -> list[Path]:
    """Make sure that all files of a data set are on this machine.

    Args:
        name: One of `available()`.

    Returns:
        Paths of the checked files, or of the folders of a data set that has
        no checksums; empty for an embedded data set.

    Raises:
        ValueError: Unknown data set.
        DatasetUnavailable: A file could not be downloaded.
        DatasetCorrupt: A file is not the published one.
    """
    dataset = registry.get(name)
    if dataset.folders:
        folder = store.user_folder(dataset)
        return [folder / one for one in dataset.folders]
    return [store.locate(dataset, file.name) for file in dataset.files]


def verify(name=None) -> list[dict]:
    """Compare every local file with its published checksum.

    Nothing is downloaded, renamed or removed.

    Args:
        name: One of `available()`, or None for all of them.

    Returns:
        One dictionary per file: `name` of the data set, `file`, `path`,
        `state` (`"present"`, `"absent"` or `"corrupt"`) and `problem`.

    Raises:
        ValueError: Unknown data set.
    """
    names = available() if name is None else [name]
    return [
        {
            "name": one,
            "file": found.file.name,
            "path": str(found.path),
            "state": found.state,
            "problem": found.problem,
        }
        for one in names
        for found in store.status(registry.get(one), check=True)
    ]


def digest(name, **options) -> str:
    """Return a short fingerprint of a data set, for caches and results.

    Args:
        name: One of `available()`.
        **options: The options that `load` is called with.

    Returns:
        16 hexadecimal digits: of the published checksums when the set
        consists of files (which are read only where none is published), of
        the names and sizes of what is in its folders when it has no
        checksums, of the content when it is embedded. Options given with
        their default value change nothing.

    Raises:
        ValueError: Unknown data set or option.
        DatasetUnavailable: A set without checksums is not there.
    """
    dataset = registry.get(name)
    _check_options(dataset, options)
    state = hashlib.sha256(name.encode())
    if dataset.embedded:
        for split in dataset.splits:
            _update(state, dataset.read(split, **options))
    else:
        changed = {
            key: value
            for key, value in options.items()
            if value != dataset.options[key]
        }
        sums = sorted(
            (file.name, store.checksum(dataset, file)) for file in dataset.files
        )
        if dataset.folders:
            sums = _listing(store.user_folder(dataset), dataset.folders)
        state.update(repr((sums, sorted(changed.items()))).encode())
    return state.hexdigest()[:16]


def _listing(folder, names):
    """Return the names and sizes of all files in some folders."""
    return sorted(
        (path.relative_to(folder).as_posix(), path.stat().st_size)
        for name in names
        for path in (folder / name).rglob("*")
        if path.is_file()
    )


def _update(state, value):
    """Add arrays, strings and containers of them to a hash."""
    if isinstance(value, np.ndarray):
        # Little-endian everywhere, so that machines agree.
        value = np.ascontiguousarray(value)
        state.update(f"{value.dtype.name}{value.shape}".encode())
        state.update(value.astype(value.dtype.newbyteorder("<")).tobytes())
    elif isinstance(value, dict):
        for key in sorted(value):
            state.update(repr(key).encode())
            _update(state, value[key])
    else:
        state.update(repr(value).encode())
