"""IAM-OnDB: lines of English that 221 people wrote on a whiteboard.

Its licence lets nobody pass the data on, so that every user registers and
puts the files into `$ATTNLIB_DATA/iam_ondb/`: either the unpacked folders
`lineStrokes` and `ascii` as they are published, or `iam_ondb_lines.npz`, the
same points and texts in one file.

Lines are left out whose text is empty or unknown, whose pen jumps by more than
500 of the tablet's units without being lifted (strays of the sensor), or that
have fewer than 5 or more than 60 points for each character (a text that
belongs to another line). Texts and splits are of forms: no form, and so no
text, is in two splits.
"""

import hashlib
import pathlib
import re
import xml.etree.ElementTree

import numpy as np

from attnlib import paths
from attnlib.datasets import store, strokes
from attnlib.datasets.checks import whole_number
from attnlib.datasets.registry import DataSet, RemoteFile

_PACKED = RemoteFile(
    "iam_ondb_lines.npz",
    (),
    sha256="a6d2d0552f67a56e1c2a6f747591a1165c8541169be052fbef649de9f04fad2c",
    size=27364486,
)
_STROKES, _TEXTS = "lineStrokes", "ascii"
# A form's name; the letter behind it says which of its copies it is.
_FORM = re.compile(r"[a-z]\d\d-\d\d\d")
# Of twenty forms, which are for which split.
_TWENTIETHS = {
    "train": tuple(range(16)),
    "validation": (16, 17),
    "test": (18, 19),
}
_FARTHEST = 500
_POINTS_EACH = 5, 60


def _twentieth(form: str) -> int:
    """Return which twentieth of all forms one belongs to, for ever."""
    return int(hashlib.sha256(form.encode()).hexdigest(), 16) % 20


def form_of(name: str) -> str:
    """Return the form that a line is from.

    Args:
        name: A line's name, such as `"a01-000u-01"`.

    Raises:
        DatasetCorrupt: It is no such name.

    Example:
        >>> form_of("a01-000u-01")
        'a01-000'
    """
    match = _FORM.match(name)
    if match is None:
        raise store.DatasetCorrupt(
            "expected names of lines as 'a01-000u-01' in IAM-OnDB, received "
            f"{name!r}"
        )
    return match[0]


def read_strokes(content) -> np.ndarray:
    """Read one line from a file of `lineStrokes`.

    Args:
        content: XML, bytes.

    Returns:
        float64 (T, 3), as of `attnlib.datasets.strokes`: tablet units, y
        points down.

    Raises:
        ValueError: It is no such XML, or has no point.
    """
    try:
        root = xml.etree.ElementTree.fromstring(content)
    except xml.etree.ElementTree.ParseError as error:
        raise ValueError(
            f"expected XML of strokes. Received: {error}"
        ) from None
    rows = []
    for stroke in root.iter("Stroke"):
        points = [(int(p.get("x")), int(p.get("y"))) for p in stroke]
        rows += [(x, y, 0) for x, y in points[:-1]]
        rows += [(x, y, 1) for x, y in points[-1:]]
    if not rows:
        raise ValueError("expected at least one point. Received: none")
    return np.array(rows, np.float64)


def read_lines(content: str) -> list[str]:
    """Return the lines that a file of `ascii` says were written.

    Args:
        content: The whole file.

    Returns:
        The lines below `CSR:`, what the writer wrote, errors included.

    Example:
        >>> read_lines("OCR:\\n\\nA move\\n\\nCSR:\\n\\nA MOVE\\nto stop\\n")
        ['A MOVE', 'to stop']
    """
    _, found, rest = content.partition("CSR:")
    return [line.strip() for line in rest.splitlines() if line.strip()] * bool(
        found
    )


def _published(folder):
    """Yield (name, points, text) from the folders as they are published."""
    texts = {
        path.stem: read_lines(path.read_text("utf-8", "replace"))
        for path in sorted((folder / _TEXTS).rglob("*.txt"))
    }
    for path in sorted((folder / _STROKES).rglob("*.xml")):
        form, _, number = path.stem.rpartition("-")
        lines = texts.get(form, [])
        place = int(number) - 1 if number.isdecimal() else -1
        text = lines[place] if 0 <= place < len(lines) else ""
        try:
            yield path.stem, read_strokes(path.read_bytes()), text
        except ValueError as error:
            raise store.DatasetCorrupt(f"{path}: {error}") from error


def _packed(path):
    """Yield (name, points, text) from the packed file."""
    with np.load(path, allow_pickle=False) as file:
        points, lengths = file["points"], file["lengths"]
        names, texts = file["names"].tolist(), file["texts"].tolist()
    ends = np.cumsum(lengths)
    for name, text, start, end in zip(
        names, texts, ends - lengths, ends, strict=True
    ):
        yield name, points[start:end].astype(np.float64), text


def _lines():
    """Yield the lines of whichever form of the data the user has."""
    user = paths.data_dir()
    folder = pathlib.Path() if user is None else user / DATASET.name
    if user is not None and (folder / _STROKES).is_dir():
        if not (folder / _TEXTS).is_dir():
            raise store.DatasetUnavailable(
                f"{folder} has {_STROKES} and no {_TEXTS}: unpack "
                "ascii-all.tar.gz there, too"
            )
        return _published(folder)
    return _packed(store.locate(DATASET, _PACKED.name))


def is_clean(points, text) -> bool:
    """Return whether a line is used, see the module's text.

    Args:
        points: Array (T, 3), places in tablet units.
        text: Its text.
    """
    if not text.strip():
        return False
    ways = np.abs(np.diff(points[:, :2], axis=0)).max(axis=1, initial=0)
    drawn = ways[points[:-1, 2] == 0]
    least, most = _POINTS_EACH
    few_strays = not (drawn > _FARTHEST).any()
    return few_strays and least <= len(points) / len(text) <= most


def _read(split, *, longest=0):
    """Read the lines of one split: 80 % of the forms, 10 % and 10 %.

    Args:
        split: `"train"`, `"validation"` or `"test"`.
        longest: Lines of more points are left out; 0 keeps all.

    Returns:
        `strokes`, a list of float32 (T, 3), offsets in tablet units as of
        `attnlib.datasets.strokes.to_offsets`; `text`, a list of str; `name`, a
        list of str.
    """
    longest = whole_number("longest", longest, 0)
    out = {"strokes": [], "text": [], "name": []}
    for name, points, text in _lines():
        if _twentieth(form_of(name)) not in _TWENTIETHS[split]:
            continue
        if longest and len(points) > longest or not is_clean(points, text):
            continue
        out["strokes"].append(strokes.to_offsets(points))
        out["text"].append(text)
        out["name"].append(name)
    return out


DATASET = DataSet(
    name="iam_ondb",
    description="Lines of English handwriting as pen strokes, with their text",
    licence="non-commercial research, after registration; not to be passed on",
    citation=(
        "M. Liwicki, H. Bunke: IAM-OnDB - an On-Line English Sentence "
        "Database Acquired from Handwritten Text on a Whiteboard. ICDAR 2005"
    ),
    homepage=(
        "https://fki.tic.heia-fr.ch/databases/iam-on-line-handwriting-database"
    ),
    read=_read,
    files=(_PACKED,),
)
