"""Numbers in words, in two languages, with gold alignments.

Embedded: num2words writes the numbers, `languages` cuts them into morphemes.
German `ein und zwanzig` against English `twenty one` swaps tens and units, so
the alignments are not monotone.
"""

import functools
import unicodedata

import numpy as np

from attnlib.datasets import languages
from attnlib.datasets.checks import whole_number
from attnlib.datasets.registry import DataSet

_SMALLEST_MAXIMUM = 99
# More letters than any number from 0 to 9999 has in words.
_LONGEST = 120
# Some of the words up to here, such as zero, occur in no other number.
_ALWAYS_TRAIN = 21

# The parts of a number that a morpheme can stand for, the finest first: of
# two source morphemes that fit equally well, the one with the finer part is
# the counterpart.
_PARTS = ("units", "tens", "hundreds", "hundred", "thousands", "thousand")


def join(tokens, language: str) -> str:
    """Write morphemes as the number's words, as num2words does.

    Args:
        tokens: List of morphemes, or one string of them with spaces.
        language: Code of one of the languages, such as `"de"`.

    Returns:
        The number in words.

    Raises:
        ValueError: The language has no tested list of morphemes.

    Example:
        >>> join("ein und zwanzig", "de")
        'einundzwanzig'
        >>> join("two thousand three hundred and forty five", "en")
        'two thousand, three hundred and forty-five'
    """
    tokens = tokens.split() if isinstance(tokens, str) else list(tokens)
    return languages.get(language).join(tokens)


def morphemes(number: int, language: str) -> list[str]:
    """Return a number's morphemes.

    Args:
        number: 0 to 9999.
        language: Code of one of the languages, such as `"de"`.

    Returns:
        List of morphemes.

    Raises:
        ValueError: The number is outside 0 to 9999, or the language has no
            tested list of morphemes.

    Example:
        >>> morphemes(21, "de")
        ['ein', 'und', 'zwanzig']
    """
    known = languages.get(language)
    number = whole_number("number", number, 0, languages.LARGEST)
    return list(_morphemes(number, known.code))


@functools.cache
def _morphemes(number: int, code: str) -> tuple[str, ...]:
    from num2words import num2words

    return tuple(
        languages.LANGUAGES[code].segment(num2words(number, lang=code))
    )


def read(line: str, language: str) -> int | None:
    """Return the number that a person wrote in words, None if it is none.

    Spaces, hyphens, capitals and words without a value (and, und) do not
    matter.

    Args:
        line: The words of one number.
        language: Code of one of the languages, such as `"de"`.

    Raises:
        ValueError: The language has no tested list of morphemes.

    Example:
        >>> read("Twenty-one", "en"), read("einundzwanzig", "de")
        (21, 21)
    """
    known = languages.get(language)
    if len(line) > _LONGEST:
        return None
    line = unicodedata.normalize("NFC", line).lower()
    try:
        tokens = known.segment(line)
    except ValueError:
        return None
    return _by_values(known.code).get(_values(known, tokens))


def _values(known, tokens):
    values = map(known.value, tokens)
    return tuple(value for value in values if value is not None)


@functools.cache
def _by_values(code):
    """Return the number that each sequence of values stands for."""
    known = languages.LANGUAGES[code]
    return {
        _values(known, _morphemes(number, code)): number
        for number in range(languages.LARGEST + 1)
    }


def parts(tokens, language: str) -> list[frozenset]:
    """Say which parts of a number each of its morphemes stands for.

    Args:
        tokens: The morphemes of a number from 0 to 9999.
        language: Code of one of the languages.

    Returns:
        For each morpheme a subset of `units`, `tens`, `hundreds` (how many
        hundreds), `hundred` (the word itself), `thousands` and `thousand`;
        empty for words such as `and`.

    Example:
        >>> [sorted(part) for part in parts(["zwei", "hundert", "elf"], "de")]
        [['hundreds'], ['hundred'], ['tens', 'units']]
    """
    known = languages.get(language)
    values = [known.value(token) for token in tokens]
    result = [frozenset()] * len(tokens)
    start = 0
    for many, multiplier, one in (
        ("thousands", 1000, "thousand"),
        ("hundreds", 100, "hundred"),
    ):
        end = _find(values, start, multiplier)
        if end is None:
            continue
        for i in range(start, end):
            if values[i] is not None:
                result[i] = frozenset({many})
        fused = values[end] != multiplier  # Spanish quinientos, 500
        result[end] = frozenset({one, many} if fused else {one})
        start = end + 1
    for i in range(start, len(tokens)):
        following = values[i + 1] if i + 1 < len(tokens) else None
        result[i] = _below_hundred(values[i], following)
    return result


def _find(values, start, multiplier):
    """Return where a multiple of 100 or 1000 stands, None when nowhere."""
    for i in range(start, len(values)):
        value = values[i]
        if value is not None and multiplier <= value < 10 * multiplier:
            return i
    return None


def _below_hundred(value, following):
    if value is None:
        return frozenset()
    if 10 < value < 20:
        return frozenset({"tens", "units"})
    # French quatre vingt: four twenties.
    if value >= 10 or (value and following == 20):
        return frozenset({"tens"})
    return frozenset({"units"})


def align(source, target, source_language: str, target_language: str):
    """Return the gold alignment of one number in two languages.

    Args:
        source: Source morphemes.
        target: Target morphemes of the same number.
        source_language: Code of the source language.
        target_language: Code of the target language.

    Returns:
        For each target morpheme the index of the source morpheme that stands
        for the same part of the number; -1 for words without a value (und,
        and). Where one language has one word and the other several (onze:
        seventy *one*; quatre vingt *dix*: ninety), the counterpart is the
        source word with the finer part, then the last one. A count that the
        source leaves out (*one* hundred: cent) belongs to the multiplier.

    Example:
        >>> align(["twenty", "one"], ["ein", "und", "zwanzig"], "en", "de")
        [1, -1, 0]
    """
    source_parts = parts(source, source_language)
    return [
        _counterpart(wanted, source_parts)
        for wanted in parts(target, target_language)
    ]


def _counterpart(wanted, source_parts):
    if not wanted:
        return -1
    for candidate in (wanted, {part.removesuffix("s") for part in wanted}):
        best, best_rank = -1, (0, -len(_PARTS))
        for i, offered in enumerate(source_parts):
            common = candidate & offered
            if common:
                finest = min(_PARTS.index(part) for part in common)
                if (rank := (len(common), -finest)) >= best_rank:
                    best, best_rank = i, rank
        if best >= 0:
            return best
    return -1


def _split_numbers(maximum, seed):
    """Return the numbers of each split, in a fixed random order."""
    # RandomState's stream is frozen; Generator's may change with NumPy.
    random = np.random.RandomState(seed)
    held_out = (maximum + 1) // 10
    rest = random.permutation(np.arange(_ALWAYS_TRAIN, maximum + 1))
    train = np.concatenate([rest[2 * held_out :], np.arange(_ALWAYS_TRAIN)])
    return {
        "train": random.permutation(train),
        "validation": rest[:held_out],
        "test": rest[held_out : 2 * held_out],
    }


def _read(split, *, source="en", target="de", maximum=9999, seed=0):
    """Read one split: 80 % training, 10 % validation, 10 % test numbers.

    Each number is in one split only; 0 to 20 are always training numbers,
    since some of their words occur in no other number. Source and target may
    be the same language: copying is the easiest task, with an alignment that
    is the identity (but for words without a value).

    Args:
        split: `"train"`, `"validation"` or `"test"`.
        source: Code of the source language, such as `"en"`.
        target: Code of the target language, such as `"de"`.
        maximum: The largest number, 99 to 9999.
        seed: Seed of the split.

    Returns:
        `source` and `target` (morphemes with spaces between, see `join`),
        `number` int32, `alignment` (for each target morpheme the index of its
        source morpheme, or -1; see `align`).
    """
    codes = languages.get(source).code, languages.get(target).code
    maximum = whole_number(
        "maximum", maximum, _SMALLEST_MAXIMUM, languages.LARGEST
    )
    seed = whole_number("seed", seed, 0, 2**32 - 1)
    numbers = _split_numbers(maximum, seed)[split].astype(np.int32)
    pairs = [
        tuple(_morphemes(int(number), code) for code in codes)
        for number in numbers
    ]
    return {
        "source": [" ".join(pair[0]) for pair in pairs],
        "target": [" ".join(pair[1]) for pair in pairs],
        "number": numbers,
        "alignment": [align(*pair, *codes) for pair in pairs],
    }


DATASET = DataSet(
    name="number_words",
    description=(
        "Numbers 0-9999 in words, cut into morphemes, in "
        f"{len(languages.LANGUAGES)} languages, with gold alignments"
    ),
    licence="generated with num2words (LGPL-2.1); the words are free to use",
    citation="num2words, https://github.com/savoirfairelinux/num2words",
    homepage="https://github.com/savoirfairelinux/num2words",
    read=_read,
)
