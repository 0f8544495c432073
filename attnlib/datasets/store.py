"""Find, download and check the files of a data set.

The search order is `$ATTNLIB_DATA/<set>/`, the cache, then the canonical URL.
A file is used only when its checksum is the registry's.
"""

import contextlib
import dataclasses
import functools
import hashlib
import os
import sys
import warnings
from pathlib import Path

from attnlib import paths
from attnlib.datasets.registry import DataSet, RemoteFile

_CONNECT_S, _READ_S = 10, 60
_LOCK_S = 1800


class DatasetUnavailable(OSError):
    """A data set is not on this machine and could not be downloaded."""


class DatasetCorrupt(OSError):
    """A file of a data set is not the one that its publisher published."""


def megabytes(size: int) -> str:
    """Return a number of bytes as text for people, such as `"11.6 MB"`."""
    if not size:
        return "size not known"
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"


@functools.lru_cache(maxsize=1024)
def _hash_of(path: str, size: int, mtime_ns: int, kind: str) -> str:
    # Size and time are part of the key: a file that changes is hashed again.
    with open(path, "rb") as file:
        return hashlib.file_digest(
            file, lambda: hashlib.new(kind, usedforsecurity=False)
        ).hexdigest()


def _hash(path, kind: str) -> str:
    status = os.stat(path)
    return _hash_of(str(path), status.st_size, status.st_mtime_ns, kind)


def checksum(dataset: DataSet, file: RemoteFile) -> str:
    """Return a file's published checksum, or that of the local copy.

    Args:
        dataset: The data set.
        file: One of its files.

    Returns:
        Hexadecimal digits; none where no checksum is published and there is
        no local copy.
    """
    path = user_file(dataset, file) or cache_folder(dataset) / file.name
    if file.checksum or not path.is_file():
        return file.checksum
    return sha256(path)


def sha256(path) -> str:
    """Return a file's SHA-256, computed once while the file is unchanged."""
    return _hash(path, "sha256")


def flaw(path, file: RemoteFile) -> str | None:
    """Say what is wrong with a local file, None when it is the right one."""
    if not file.checksum:
        return None
    size = os.stat(path).st_size
    if file.sha256 and size != file.size:
        return f"it has {size} bytes instead of {file.size}"
    kind = "sha256" if file.sha256 else "md5"
    if (actual := _hash(path, kind)) != file.checksum:
        name = {"sha256": "SHA-256", "md5": "MD5"}[kind]
        return f"its {name} is {actual[:16]}... and not {file.checksum[:16]}..."
    return None


def cache_folder(dataset: DataSet) -> Path:
    """Return the folder of the cache that holds a data set's files."""
    return paths.cache_dir() / "datasets" / dataset.name


def user_file(dataset: DataSet, file: RemoteFile) -> Path | None:
    """Return the file's place in `$ATTNLIB_DATA`, None when not there."""
    folder = paths.data_dir()
    if folder is None:
        return None
    path = folder / dataset.name / file.name
    return path if path.is_file() else None


def check_user_file(path: Path, dataset: DataSet, file: RemoteFile) -> None:
    # The folder is the user's, perhaps read-only: name the file, never touch
    # it, and do not silently go on with another copy.
    if (problem := flaw(path, file)) is not None:
        raise DatasetCorrupt(
            f"{path} is not the published {file.name} of {dataset.name!r}: "
            f"{problem}. It was not used; replace or remove it, or unset "
            "ATTNLIB_DATA"
        )


def set_aside(path: Path) -> Path:
    """Rename a damaged file of the cache to `<name>.corrupt-<short hash>`."""
    target = path.with_name(f"{path.name}.corrupt-{sha256(path)[:8]}")
    os.replace(path, target)
    return target


def _cached(dataset: DataSet, file: RemoteFile) -> Path | None:
    """Return the good cached file; set a bad one aside and warn."""
    path = cache_folder(dataset) / file.name
    if not path.is_file():
        return None
    if (problem := flaw(path, file)) is None:
        return path
    kept = set_aside(path)
    warnings.warn(
        f"{path} is damaged ({problem}); it was not used and is kept as "
        f"{kept.name}",
        stacklevel=2,
    )
    return None


def locate(dataset: DataSet, name: str) -> Path:
    """Return the path of a checked local copy, downloading it if needed.

    Args:
        dataset: The data set.
        name: Name of one of its files.

    Returns:
        Path of a file with the registry's checksum.

    Raises:
        DatasetCorrupt: The copy in `$ATTNLIB_DATA`, or what the server sent,
            is not the published file.
        DatasetUnavailable: There is no copy, and none could be downloaded.
    """
    file = dataset.file(name)
    if (path := user_file(dataset, file)) is not None:
        check_user_file(path, dataset, file)
        return path
    path = cache_folder(dataset) / file.name
    if path.is_file() and flaw(path, file) is None:
        return path
    with _locked(dataset):
        # Another process may have finished this file while we waited.
        return _cached(dataset, file) or _download(dataset, file)


class Folder:
    """Files of an unpacked archive, read by name.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path):
        self.path = path

    def __contains__(self, name) -> bool:
        return (self.path / name).is_file()

    def read(self, name) -> bytes:
        """Return the bytes of a file."""
        return (self.path / name).read_bytes()


def missing_folders(dataset: DataSet) -> list[str]:
    """Return which of a data set's folders the user does not have."""
    user = paths.data_dir()
    return [
        name
        for name in dataset.folders
        if user is None or not (user / dataset.name / name).is_dir()
    ]


def user_folder(dataset: DataSet) -> Path:
    """Return the folder with the folders of a data set that has no files.

    Raises:
        DatasetUnavailable: One of them is not there.
    """
    missing = missing_folders(dataset)
    user = paths.data_dir()
    if missing or user is None:
        where = "ATTNLIB_DATA" if user is None else str(user)
        raise DatasetUnavailable(
            f"data set {dataset.name!r} (licence: {dataset.licence}) has no "
            f"checksums and is not for download: {' and '.join(missing)} "
            f"not found in {where}. See {dataset.homepage}, unpack into a "
            f"folder {dataset.name!r} and set ATTNLIB_DATA to the folder "
            "above it"
        )
    return user / dataset.name


@contextlib.contextmanager
def _locked(dataset: DataSet):
    """Hold the data set's lock, so that one process downloads at a time."""
    import filelock

    folder = cache_folder(dataset)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / ".lock", timeout=_LOCK_S)
        lock.acquire()
    except filelock.Timeout as error:
        raise DatasetUnavailable(
            f"another process has been fetching {dataset.name!r} into "
            f"{folder} for {_LOCK_S // 60} minutes; stop it and try again"
        ) from error
    except OSError as error:
        raise _not_writable(folder, error) from error
    try:
        yield
    finally:
        lock.release()


def _not_writable(folder: Path, error: OSError) -> OSError:
    return OSError(
        error.errno,
        f"cannot write to the data cache {folder}: "
        f"{error.strerror or error}. Free some space there, or set "
        "ATTNLIB_CACHE to a folder that can be written",
    )


def _unavailable(dataset: DataSet, reasons: list[str]) -> DatasetUnavailable:
    names = ", ".join(file.name for file in dataset.files)
    user = paths.data_dir()
    looked = [cache_folder(dataset)]
    if user is not None:
        looked.insert(0, user / dataset.name)
    place = (
        f"put its files ({names}) into a folder {dataset.name!r} and set "
        "ATTNLIB_DATA to the folder above it"
    )
    if reasons:
        rest = (
            f"could not be downloaded ({'; '.join(reasons)}). Run `python -m "
            f"attnlib datasets fetch {dataset.name}` where there is a "
            f"network, or {place}"
        )
    else:
        rest = f"is not for download. See {dataset.homepage}, then {place}"
    return DatasetUnavailable(
        f"data set {dataset.name!r} ({megabytes(dataset.size)}, licence: "
        f"{dataset.licence}) is not in {' or '.join(map(str, looked))} and "
        + rest
    )


def _download(dataset: DataSet, file: RemoteFile) -> Path:
    """Download one file beside its place, check it, rename it."""
    import requests

    target = cache_folder(dataset) / file.name
    # The lock is held: a file of this name is what a killed process left.
    # A name may have a folder in it.
    part = target.with_name(f".{target.name}.part")
    target.parent.mkdir(parents=True, exist_ok=True)
    reasons, damaged = [], []
    for url in file.urls:
        try:
            _get(url, part)
        except requests.RequestException as error:
            part.unlink(missing_ok=True)
            reasons.append(f"{url}: {_short(error)}")
            continue
        except OSError as error:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            raise _not_writable(target.parent, error) from error
        if (problem := flaw(part, file)) is None:
            os.replace(part, target)
            return target
        kept = target.with_name(f"{target.name}.corrupt-{sha256(part)[:8]}")
        os.replace(part, kept)
        damaged.append(f"{url} sent a wrong file: {problem}; kept as {kept}")
    if damaged:
        raise DatasetCorrupt(
            f"{file.name} of data set {dataset.name!r} could not be used: "
            f"{'; '.join(damaged + reasons)}. Try again later, or put the "
            "published file into the data set's folder under ATTNLIB_DATA"
        )
    raise _unavailable(dataset, reasons)


def _get(url: str, path: Path) -> None:
    import pooch

    downloader = pooch.HTTPDownloader(
        timeout=(_CONNECT_S, _READ_S),
        progressbar=sys.stderr.isatty(),
        # The checksum is of the .gz file: the server shall not unpack it.
        headers={"Accept-Encoding": "identity"},
    )
    downloader(url, str(path), None)


def _short(error: Exception) -> str:
    """Return what a network error says, without its nested repr."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP {response.status_code}"
    return {
        "ConnectionError": "no connection",
        "ConnectTimeout": "no connection in time",
        "ReadTimeout": "the server stopped answering",
        "SSLError": "the secure connection failed",
        "ChunkedEncodingError": "the connection broke off",
    }.get(type(error).__name__, type(error).__name__)


@dataclasses.dataclass(frozen=True)
class FileStatus:
    """State of one file: present, absent or corrupt, and where.

    Attributes:
        file: The file.
        path: Where it is, or where it would be.
        state: `"present"`, `"absent"` or `"corrupt"`.
        problem: What is wrong with it, empty when nothing is.
    """

    file: RemoteFile
    path: Path
    state: str
    problem: str = ""


def status(dataset: DataSet, check: bool) -> list[FileStatus]:
    """Return the state of every file, without downloading or renaming.

    Args:
        dataset: The data set.
        check: Whether to compute checksums; else only sizes are compared.
    """
    found = []
    for file in dataset.files:
        cached = cache_folder(dataset) / file.name
        path = user_file(dataset, file) or cached
        if not path.is_file():
            found.append(FileStatus(file, path, "absent"))
            continue
        same_size = not file.sha256 or path.stat().st_size == file.size
        problem = flaw(path, file) if check or not same_size else None
        state = "present" if problem is None else "corrupt"
        found.append(FileStatus(file, path, state, problem or ""))
    return found
