"""What a data set is: where it comes from, its licence, its checksums.

Every data set is a module of this package that defines one `DataSet` called
`DATASET`; `all_sets` collects them.
"""

import dataclasses
import functools
import importlib
import inspect
from collections.abc import Callable

_MODULES = (
    "binarized_mnist",
    "camvid",
    "cub_200",
    "daquar",
    "digit_scenes",
    "digits28",
    "easy_vqa",
    "ecssd",
    "flickr8k",
    "flowers17",
    "hershey",
    "hmdb51",
    "iam_ondb",
    "mnist",
    "moving_digits",
    "msra_b",
    "multi30k",
    "number_words",
    "pascal_voc",
    "question_scenes",
    "reversal",
    "saliency_scenes",
    "scale_scenes",
    "two_part_glyphs",
    "ucf11",
    "visual7w",
    "vqa_v2",
    "weizmann_horses",
)


@dataclasses.dataclass(frozen=True)
class RemoteFile:
    """One file of a data set, as its canonical source publishes it.

    Attributes:
        name: File name, inside the data set's folder.
        urls: Canonical URLs, tried in this order.
        sha256: Checksum, 64 hexadecimal digits; empty where only `md5` is
            known. A file without any checksum is taken as the user has it,
            and never downloaded.
        size: Size in bytes; without a `sha256` only for people to read, 0
            where it is not known.
        md5: Checksum, 32 hexadecimal digits, where there is no `sha256`.
    """

    name: str
    urls: tuple[str, ...]
    sha256: str
    size: int
    md5: str = ""

    @property
    def checksum(self) -> str:
        """SHA-256, or MD5 where no SHA-256 is known, or nothing."""
        return self.sha256 or self.md5


@dataclasses.dataclass(frozen=True)
class DataSet:
    """One data set: what it is, whose it is, and how it is read.

    Attributes:
        name: The name that `attnlib.datasets.load` takes; also the name of
            its folder in `$ATTNLIB_DATA` and in the cache.
        description: One sentence.
        licence: Licence or terms of use.
        citation: Whom to cite.
        homepage: Where the data set is described.
        read: `read(split, **options)`, which returns the dictionary of one
            split. Its keyword-only arguments are the options.
        splits: The disjoint parts of the data set.
        unions: Further split names, each a union of `splits`.
        files: The files it consists of; none when it is embedded.
        folders: Folders that the user unpacks in `$ATTNLIB_DATA/<name>/`, of
            data sets for which the publisher gives no checksums.
    """

    name: str
    description: str
    licence: str
    citation: str
    homepage: str
    read: Callable[..., dict]
    splits: tuple[str, ...] = ("train", "validation", "test")
    unions: tuple[str, ...] = ()
    files: tuple[RemoteFile, ...] = ()
    folders: tuple[str, ...] = ()

    @property
    def embedded(self) -> bool:
        """Whether it comes with attnlib's dependencies, always offline."""
        return not self.files and not self.folders

    @property
    def size(self) -> int:
        """Bytes to download; 0 when the data set is embedded."""
        return sum(file.size for file in self.files)

    @property
    def options(self) -> dict:
        """The options that `read` takes, with their defaults."""
        parameters = inspect.signature(self.read).parameters.values()
        return {
            parameter.name: parameter.default
            for parameter in parameters
            if parameter.kind is parameter.KEYWORD_ONLY
        }

    def file(self, name: str) -> RemoteFile:
        """Return the file of that name."""
        return next(file for file in self.files if file.name == name)


@functools.cache
def all_sets() -> dict[str, DataSet]:
    """Return every data set by name."""
    modules = (
        importlib.import_module(f"attnlib.datasets.{name}") for name in _MODULES
    )
    return {module.DATASET.name: module.DATASET for module in modules}


def get(name) -> DataSet:
    """Return the data set of that name.

    Raises:
        ValueError: There is none; the message lists those there are.
    """
    found = all_sets().get(name) if isinstance(name, str) else None
    if found is None:
        raise ValueError(
            f"unknown data set {name!r}; expected one of "
            f"{', '.join(sorted(all_sets()))}"
        )
    return found
