"""Unpack zip and tar archives that are not trusted.

Nothing is written outside the folder asked for: an archive with an absolute
path, a `..`, a link or a device is refused as a whole, before any of it is
written.
"""

import contextlib
import dataclasses
import gzip
import lzma
import os
import re
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

_LIMIT = 20 * 10**9
_BLOCK = 1 << 20


class UnsafeArchive(OSError):
    """An archive is damaged, or would write where it must not."""


@dataclasses.dataclass(frozen=True)
class _Member:
    name: str
    size: int
    kind: str  # "file", "folder", or what it is instead
    open: Callable[[], BinaryIO]


def extract(archive, folder, max_bytes: int = _LIMIT) -> Path:
    """Unpack an archive into a new folder.

    The folder appears when everything is unpacked, or not at all. Owners,
    permissions and times in the archive are ignored.

    Args:
        archive: A zip file or a tar file, compressed or not.
        folder: The folder to make; it must not exist yet.
        max_bytes: Most bytes that the files may have, all together.

    Returns:
        The folder.

    Raises:
        FileExistsError: The folder exists.
        UnsafeArchive: The file is no whole archive, is too big unpacked, or
            holds an absolute path, a path with `..`, a link, a device, or
            one file twice. The message names the first such member.
    """
    archive, folder = Path(archive), Path(folder)
    if folder.exists():
        raise FileExistsError(
            f"cannot unpack {archive} into {folder}: it already exists"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        with _members(archive) as members:
            _check(archive, members, max_bytes)
            for member in members:
                _write(archive, member, part)
        # mkdtemp's folder is for its owner only.
        part.chmod(0o777 & ~_umask())
        os.rename(part, folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return folder


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextlib.contextmanager
def _members(archive: Path) -> Iterator[list[_Member]]:
    """Open an archive and list what is in it."""
    try:
        # Tar first: a tar file whose last member is a zip file looks like a
        # zip file, too.
        if tarfile.is_tarfile(archive):
            with tarfile.open(archive) as file:
                yield [_tar_member(file, entry) for entry in file]
        else:
            with zipfile.ZipFile(archive) as file:
                yield [_zip_member(file, entry) for entry in file.infolist()]
    except (
        EOFError,
        gzip.BadGzipFile,
        lzma.LZMAError,
        NotImplementedError,  # a compression that this Python lacks
        RuntimeError,  # zipfile: encrypted
        tarfile.TarError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise UnsafeArchive(
            f"{archive} is not a whole zip or tar archive: {error}"
        ) from error


def _zip_member(file: zipfile.ZipFile, entry: zipfile.ZipInfo) -> _Member:
    mode = stat.S_IFMT(entry.external_attr >> 16)
    kind = "folder" if entry.is_dir() else "file"
    if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
        kind = "link" if stat.S_ISLNK(mode) else "special file"
    # orig_filename: zipfile replaces separators and cuts at a zero byte.
    return _Member(
        entry.orig_filename, entry.file_size, kind, lambda: file.open(entry)
    )


def _tar_member(file: tarfile.TarFile, entry: tarfile.TarInfo) -> _Member:
    kind = "file" if entry.isreg() else "special file"
    if entry.isdir():
        kind = "folder"
    elif entry.issym() or entry.islnk():
        kind = "link"
    return _Member(
        entry.name, entry.size, kind, lambda: file.extractfile(entry)
    )


def _check(archive: Path, members: list[_Member], max_bytes: int) -> None:
    """Refuse the archive if any member is unsafe."""
    files = set()
    for member in members:
        # Case does not tell files apart on every disk.
        path = PurePosixPath(member.name.casefold())
        problem = _path_problem(member.name)
        if member.kind not in ("file", "folder"):
            problem = f"is a {member.kind}"
        elif path in files or not files.isdisjoint(path.parents):
            problem = "is at or below the path of another file"
        if problem is not None:
            raise UnsafeArchive(
                f"{archive} was not unpacked: its member {member.name!r} "
                f"{problem}"
            )
        if member.kind == "file":
            files.add(path)
    if (total := sum(member.size for member in members)) > max_bytes:
        raise UnsafeArchive(
            f"{archive} was not unpacked: it holds {total} bytes, more than "
            f"the {max_bytes} allowed"
        )


def _path_problem(name: str) -> str | None:
    if not name or "\0" in name or "\\" in name:
        return "has a name that no file can have everywhere"
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        return "has an absolute path"
    if ".." in PurePosixPath(name).parts:
        return "has a path with '..'"
    return None


def _write(archive: Path, member: _Member, folder: Path) -> None:
    path = folder / member.name
    if member.kind == "folder":
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    left = member.size
    # "x": whatever the names are, no file is written a second time.
    with member.open() as source, open(path, "xb") as target:
        while block := source.read(_BLOCK):
            left -= len(block)
            if left < 0:
                break
            target.write(block)
    if left:
        raise UnsafeArchive(
            f"{archive} is damaged: its member {member.name!r} does not have "
            f"the {member.size} bytes that it should have"
        )
