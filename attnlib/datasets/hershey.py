"""Handwriting of made-up writers: single-stroke letters, bent and shaken.

Embedded: the letters are those that Allen V. Hershey drew for plotters, as a
pen's way. Every writer slants, stretches, spaces and trembles in a way of
his own. Which point draws which letter is known: whether a window over the
text is where the pen is can be measured.
"""

import dataclasses
import functools
import hashlib

import numpy as np

from attnlib.datasets import strokes
from attnlib.datasets.checks import whole_number
from attnlib.datasets.registry import DataSet

LETTERS = "abcdefghijklmnopqrstuvwxyz"
ALPHABET = f" {LETTERS}"
FONTS = ("rowmans", "scripts")

# Heights of the fonts' own units; a lower-case x is 14 units high.
_BASELINE = 9.0
_SPACE = 14.0
# Writers of a split are drawn from a stream of their own.
_WRITERS = {"train": 200, "validation": 50, "test": 50}
# Of ten texts, one is for validation and one for test.
_TENTHS = {"validation": (8,), "test": (9,), "train": tuple(range(8))}
_LONGEST = 60


@dataclasses.dataclass(frozen=True)
class Writer:
    """How somebody writes.

    Attributes:
        font: One of `FONTS`.
        slant: Units to the right for each unit upwards.
        width: Factor of the letters' width.
        height: Factor of their height.
        spacing: Units between two letters.
        rise: Units that the line climbs for each unit to the right.
        shake: Standard deviation of a point from its place, in units.
        wander: Standard deviation of a letter from its place, in units.
        distance: Units between two points of a stroke.
    """

    font: str
    slant: float
    width: float
    height: float
    spacing: float
    rise: float
    shake: float
    wander: float
    distance: float


def draw_writer(random, fonts=FONTS) -> Writer:
    """Make a writer up.

    Args:
        random: A `numpy.random.RandomState`.
        fonts: Fonts to choose from.
    """
    return Writer(
        font=fonts[random.randint(len(fonts))],
        slant=random.uniform(-0.2, 0.6),
        width=random.uniform(0.8, 1.2),
        height=random.uniform(0.8, 1.2),
        spacing=random.uniform(-1.0, 3.0),
        rise=random.uniform(-0.05, 0.05),
        shake=random.uniform(0.1, 0.35),
        wander=random.uniform(0.2, 0.8),
        distance=random.uniform(4.0, 5.5),
    )


@functools.cache
def _glyphs(font: str) -> dict:
    """Return every character's strokes and width, its left edge at 0."""
    from HersheyFonts import HersheyFonts

    drawn = HersheyFonts()
    drawn.load_default_font(font)
    found = {}
    for character in LETTERS:
        (glyph,) = drawn.glyphs_for_text(character)
        lines = [
            np.array(line, np.float64) - [glyph.left_offset, _BASELINE]
            for line in glyph.strokes
            if len(line) > 1
        ]
        found[character] = (lines, float(glyph.char_width))
    return found


def write(text, writer, random):
    """Let a writer write a text.

    Args:
        text: Letters a to z and spaces, at least one letter.
        writer: A `Writer`.
        random: A `numpy.random.RandomState`, for what no two letters have in
            common.

    Returns:
        `(points, letters)`: float64 (T, 3), see `attnlib.datasets.strokes`,
        in units of the font with the base line at y = 0; and int32 (T,), which
        character of the text every point draws.

    Raises:
        ValueError: There is no letter, or one that the fonts lack here.
    """
    check_text(text)
    left, parts, letters = 0.0, [], []
    for place, character in enumerate(text):
        if character == " ":
            left += _SPACE * writer.width
            continue
        lines, width = _glyphs(writer.font)[character]
        shift = writer.wander * random.normal(size=2) + [left, 0.0]
        for line in lines:
            points = strokes.resample(
                line * [writer.width, writer.height], writer.distance
            )
            points += writer.shake * random.normal(size=points.shape) + shift
            ends = np.zeros((len(points), 1))
            ends[-1] = 1
            parts.append(np.concatenate([points, ends], axis=1))
            letters += [place] * len(points)
        left += width * writer.width + writer.spacing
    points = np.concatenate(parts)
    # y points down: what is high has a negative y and is moved to the right.
    points[:, 0] -= writer.slant * points[:, 1]
    points[:, 1] -= writer.rise * points[:, 0]
    return points, np.array(letters, np.int32)


def check_text(text, alphabet=ALPHABET) -> str:
    """Return a text that can be written, or say why it cannot.

    Args:
        text: What to write.
        alphabet: Characters that are known; a space among them.

    Raises:
        ValueError: It is no str, has no letter but spaces, or a character that
            is not in the alphabet.
    """
    if not isinstance(text, str) or not text.strip():
        raise ValueError(
            f"expected a text with at least one letter. Received: {text!r}"
        )
    return check_characters(text, alphabet)


def check_characters(text, alphabet) -> str:
    """Return a text, empty or not, if all its characters are known.

    Args:
        text: A str.
        alphabet: Characters that are known.

    Raises:
        ValueError: A character is not in the alphabet.
    """
    unknown = sorted(set(text) - set(alphabet))
    if unknown:
        raise ValueError(
            f"expected characters of {alphabet!r}. Received: "
            f"{', '.join(map(repr, unknown))} in {text!r}; leave them out or "
            "write them in letters"
        )
    return text


def _tenth(text: str) -> int:
    """Return which tenth of all texts one belongs to, the same for ever."""
    return int(hashlib.sha256(text.encode()).hexdigest(), 16) % 10


def _draw_text(random, split, fewest, most):
    """Return random letters that belong to a split, perhaps two words."""
    while True:
        count = random.randint(fewest, most + 1)
        letters = [LETTERS[i] for i in random.randint(26, size=count)]
        # A space needs letters on both sides.
        if count >= 5 and random.randint(2):
            letters[random.randint(2, count - 2)] = " "
        text = "".join(letters)
        if _tenth(text) in _TENTHS[split]:
            return text


def _read(split, *, count=1000, fewest=3, most=8, fonts=FONTS, seed=0):
    """Write random texts by made-up writers.

    Texts are random letters, from five characters on half of them with a
    space, so that a model must read and cannot guess. Texts and writers of
    different splits are disjoint.

    Args:
        split: `"train"`, `"validation"` or `"test"`.
        count: Number of lines.
        fewest: Fewest characters of a text, 1 to `most`.
        most: Most characters, up to 60.
        fonts: One or both of `"rowmans"` (plain) and `"scripts"` (joined).
        seed: Seed of texts and writers.

    Returns:
        `strokes`, a list of float32 (T, 3), offsets as of
        `attnlib.datasets.strokes.to_offsets` in units of the font; `text`, a
        list of str; `letters`, a list of int32 (T,), which character every
        point draws; `writer` int32 (N,).
    """
    count = whole_number("count", count, 1)
    most = whole_number("most", most, 1, _LONGEST)
    fewest = whole_number("fewest", fewest, 1, most)
    seed = whole_number("seed", seed, 0, 2**32 - 1)
    fonts = (fonts,) if isinstance(fonts, str) else tuple(fonts)
    if not fonts or not set(fonts) <= set(FONTS):
        raise ValueError(
            f"fonts: expected some of {', '.join(FONTS)}, received {fonts!r}"
        )
    # RandomState's stream is frozen; Generator's may change with NumPy.
    random = np.random.RandomState([seed, list(_WRITERS).index(split)])
    writers = [draw_writer(random, fonts) for _ in range(_WRITERS[split])]
    out = {"strokes": [], "text": [], "letters": []}
    chosen = random.randint(len(writers), size=count)
    for which in chosen:
        text = _draw_text(random, split, fewest, most)
        points, letters = write(text, writers[which], random)
        out["strokes"].append(strokes.to_offsets(points))
        out["text"].append(text)
        out["letters"].append(letters)
    return {**out, "writer": chosen.astype(np.int32)}


DATASET = DataSet(
    name="hershey",
    description="Random letters as pen strokes of made-up writers",
    licence=(
        "Hershey fonts: free to use, with acknowledgement; package "
        "Hershey-Fonts: MIT"
    ),
    citation=(
        "A. V. Hershey: Calligraphy for Computers. Naval Weapons Laboratory, "
        "Report 2101, 1967; distributed by the U.S. National Technical "
        "Information Service"
    ),
    homepage="https://pypi.org/project/Hershey-Fonts/",
    read=_read,
)
