"""Where attnlib reads and writes: data, cache, reports.

Standard library only, so that it can be imported before any backend.
"""

import contextlib
import os
import tempfile
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def root() -> Path | None:
    """Return the checkout that attnlib runs from, None when installed.

    Returns:
        The folder that holds `pyproject.toml` and `notebooks/`, or None.
    """
    candidate = _PACKAGE.parent
    inside = (candidate / "pyproject.toml").is_file()
    return candidate if inside and (candidate / "notebooks").is_dir() else None


def data_dir() -> Path | None:
    """Return the user's own data folder, `$ATTNLIB_DATA`, or None."""
    value = os.environ.get("ATTNLIB_DATA")
    return Path(value).expanduser() if value else None


def cache_dir() -> Path:
    """Return the folder of downloads and trained models.

    Returns:
        `$ATTNLIB_CACHE`, else `data/cache` of the checkout, else the user's
        own cache folder. It need not exist yet.
    """
    value = os.environ.get("ATTNLIB_CACHE")
    if value:
        return Path(value).expanduser()
    if (checkout := root()) is not None:
        return checkout / "data" / "cache"
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "attnlib"


def reports_dir() -> Path:
    """Return the folder of recorded results and reports.

    Returns:
        `$ATTNLIB_REPORTS`, else `reports` of the checkout, else `./reports`.
    """
    value = os.environ.get("ATTNLIB_REPORTS")
    if value:
        return Path(value).expanduser()
    return (root() or Path.cwd()) / "reports"


@contextlib.contextmanager
def atomic_write(path, mode="w"):
    """Open a file that appears under its name only when it is complete.

    The text goes to a temporary file in the same folder, which is flushed to
    disk and renamed when the block ends. When the block fails, nothing is
    left and an earlier file of that name stays as it was.

    Args:
        path: The file to write. Its folder is made when it is missing.
        mode: `"w"` for text (UTF-8) or `"wb"` for bytes.

    Yields:
        The open file.

    Raises:
        OSError: The file cannot be written: the disk is full or read-only.
    """
    path = Path(path)
    temporary = None
    encoding = None if "b" in mode else "utf-8"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(
            prefix=f".{path.name}.", suffix=".part", dir=path.parent
        )
        # mkstemp makes files that only their owner may read; a result is for
        # everybody whom the umask admits.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        with os.fdopen(handle, mode, encoding=encoding) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        if isinstance(error, OSError):
            raise OSError(
                error.errno,
                f"cannot write {path}: {error.strerror or error}. Free some "
                "space there, or set ATTNLIB_CACHE (caches) or "
                "ATTNLIB_REPORTS (results) to a folder that can be written",
            ) from error
        raise


def set_aside(path) -> Path:
    """Rename a damaged file so that it is kept but never used again.

    Args:
        path: The damaged file or folder.

    Returns:
        Its new name, `<name>.corrupt` or `<name>.corrupt-2` and so on.
    """
    path = Path(path)
    number, target = 1, path.with_name(path.name + ".corrupt")
    while target.exists():
        number += 1
        target = path.with_name(f"{path.name}.corrupt-{number}")
    path.rename(target)
    return target
