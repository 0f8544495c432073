"""From sentences to numbers and back."""

import collections
import hashlib
import io
import numbers

import numpy as np

PAD, UNKNOWN, START, END = 0, 1, 2, 3
_SPECIAL = ("<pad>", "<unk>", "<s>", "</s>")


class WordVocabulary:
    """Words separated by spaces, one number each.

    Args:
        sentences: Iterable of str to collect the words from.
        min_count: How often a word must occur to get a number of its own;
            rarer ones are `UNKNOWN`.

    Raises:
        ValueError: `min_count` is not a whole number of at least 1.

    Example:
        >>> words = WordVocabulary(["a red three", "a blue two"], min_count=2)
        >>> words.words[4:], words.encode("a green two")
        (['a'], [4, 1, 1])
    """

    def __init__(self, sentences, min_count=1):
        whole = isinstance(min_count, numbers.Integral)
        if not whole or isinstance(min_count, bool) or min_count < 1:
            raise ValueError(
                "expected min_count as a whole number of at least 1. "
                f"Received: {min_count!r}"
            )
        counts = collections.Counter(
            word for line in sentences for word in line.split()
        )
        words = sorted(w for w, count in counts.items() if count >= min_count)
        self.words = [*_SPECIAL, *words]
        self._ids = {word: i for i, word in enumerate(self.words)}
        self.digest = _digest("\n".join(self.words).encode())

    def __len__(self):
        return len(self.words)

    def encode(self, sentence) -> list:
        """Return the ids of a sentence's words, without START and END.

        Raises:
            ValueError: The sentence is empty.
        """
        _check_sentence(sentence)
        return [self._ids.get(word, UNKNOWN) for word in sentence.split()]

    def pieces(self, sentence) -> list:
        """Return the words that `encode` numbers."""
        _check_sentence(sentence)
        return sentence.split()

    def piece(self, id) -> str:
        """Return the word of one id."""
        return self.words[id]

    def decode(self, ids) -> str:
        """Return the sentence of some ids; special ones are left out."""
        return " ".join(self.words[i] for i in ids if i > END)


class SubwordVocabulary:
    """Byte-pair encoding learned by sentencepiece.

    Args:
        sentences: Iterable of str to learn from, of all languages that share
            the vocabulary.
        size: Number of pieces, special ones included.
    """

    def __init__(self, sentences, size):
        import sentencepiece

        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences),
            model_writer=model,
            vocab_size=size,
            model_type="bpe",
            character_coverage=1.0,
            pad_id=PAD,
            unk_id=UNKNOWN,
            bos_id=START,
            eos_id=END,
            num_threads=1,
            minloglevel=2,
        )
        self._processor = sentencepiece.SentencePieceProcessor(
            model_proto=model.getvalue()
        )
        self.digest = _digest(model.getvalue())

    def __len__(self):
        return self._processor.get_piece_size()

    def encode(self, sentence) -> list:
        """Return the ids of a sentence's pieces, without START and END.

        Raises:
            ValueError: The sentence is empty.
        """
        _check_sentence(sentence)
        return self._processor.encode(sentence)

    def pieces(self, sentence) -> list:
        """Return the pieces that `encode` numbers."""
        _check_sentence(sentence)
        return self._processor.encode(sentence, out_type=str)

    def piece(self, id) -> str:
        """Return the piece of one id; a word's first piece starts with ▁."""
        return self._processor.id_to_piece(int(id))

    def decode(self, ids) -> str:
        """Return the sentence of some ids; special ones are left out."""
        return self._processor.decode([int(i) for i in ids if i > END])


def _check_sentence(sentence):
    if not isinstance(sentence, str) or not sentence.strip():
        raise ValueError(
            "expected a sentence with at least one word. Received: "
            f"{sentence!r}"
        )


def _digest(data):
    return hashlib.sha256(data).hexdigest()[:16]


def pad(sequences, length=None):
    """Return sequences of ids as one array, filled up with 0.

    Args:
        sequences: List of lists of ids.
        length: Number of columns; None for the longest sequence's.

    Returns:
        Array of int32, shape (N, length).

    Raises:
        ValueError: A sequence is longer than `length`.
    """
    longest = max(map(len, sequences), default=0)
    length = longest if length is None else length
    if longest > length:
        raise ValueError(
            f"expected sequences of at most {length} ids. Received: {longest}"
        )
    out = np.full((len(sequences), length), PAD, "int32")
    for row, sequence in zip(out, sequences, strict=True):
        row[: len(sequence)] = sequence
    return out


def length_buckets(source, target, buckets, maximum=None):
    """Group pairs of sentences of similar length.

    Args:
        source: List of lists of ids.
        target: List of lists of ids, without START and END.
        buckets: Number of groups of about equal size.
        maximum: Pairs with more ids on a side are left out; None keeps all.

    Returns:
        A list of `(x, y)` for `attnlib.training.Batches`: x has `source`
        (N, S) and `target` (N, T), the previous words; y (N, T) has the next
        words, END included.
    """
    pairs = [
        (s, t)
        for s, t in zip(source, target, strict=True)
        if maximum is None or max(len(s), len(t) + 1) <= maximum
    ]
    # A stable sort by length keeps the result the same on every machine.
    pairs.sort(key=lambda pair: max(len(pair[0]), len(pair[1]) + 1))
    edges = np.linspace(0, len(pairs), buckets + 1).astype(int)
    groups = []
    for start, stop in zip(edges[:-1], edges[1:], strict=True):
        if start == stop:
            continue
        sources, targets = zip(*pairs[start:stop], strict=True)
        x = {
            "source": pad(sources),
            "target": pad([[START, *t] for t in targets]),
        }
        groups.append((x, pad([[*t, END] for t in targets])))
    return groups
