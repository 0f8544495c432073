"""Words of random letters and the same words backwards.

Embedded and generated. Every letter must arrive and no letter helps to guess
another, so a reversed word shows what a model has kept of its source.
"""

import zlib

import numpy as np

from attnlib.datasets.checks import whole_number
from attnlib.datasets.registry import DataSet

LETTERS = "abcdefghijklmnopqrstuvwxyz"
LONGEST = 60
# Tenths of all words that belong to a split.
_TENTHS = {"train": range(8), "validation": (8,), "test": (9,)}


def split_of(word: str) -> str:
    """Return the split that a word belongs to.

    It depends on the word alone, so that no option can make splits overlap.

    Args:
        word: Letters without spaces.

    Example:
        >>> split_of("attention"), split_of("vector")
        ('test', 'train')
    """
    tenth = zlib.crc32(word.encode()) % 10
    return next(split for split, own in _TENTHS.items() if tenth in own)


def _read(split, *, count=1000, shortest=2, longest=20, seed=0):
    """Read one split: 80 % of all words train, 10 % each are held out.

    Args:
        split: `"train"`, `"validation"` or `"test"`.
        count: Number of words; all lengths are equally frequent.
        shortest: Fewest letters, 1 to `longest`.
        longest: Most letters, up to 60.
        seed: Seed of the choice.

    Returns:
        `source` and `target` (letters with spaces between), `alignment` (for
        each target letter the place of its source letter).
    """
    count = whole_number("count", count, 1)
    longest = whole_number("longest", longest, 1, LONGEST)
    shortest = whole_number("shortest", shortest, 1, longest)
    seed = whole_number("seed", seed, 0, 2**32 - 1)
    # RandomState's stream is frozen; Generator's may change with NumPy.
    random = np.random.RandomState(seed)
    lengths = shortest + np.arange(count) % (longest - shortest + 1)
    words = [_draw(random, length, split) for length in lengths]
    return {
        "source": [" ".join(word) for word in words],
        "target": [" ".join(reversed(word)) for word in words],
        "alignment": [list(range(len(word)))[::-1] for word in words],
    }


def _draw(random, length, split):
    """Draw words until one belongs to the split."""
    while True:
        word = "".join(LETTERS[i] for i in random.randint(26, size=length))
        if split_of(word) == split:
            return word


DATASET = DataSet(
    name="reversal",
    description="Words of random letters, to be written backwards",
    licence="generated; free to use",
    citation="none; a common test of sequence models",
    homepage="https://arxiv.org/abs/1409.3215",
    read=_read,
)
