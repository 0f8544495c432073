"""Vocabularies, padding and length buckets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnlib import text

LINES = [
    "A dog runs over the green grass.",
    "Two dogs run through a park.",
    "A man in a blue shirt rides a bicycle.",
    "The woman sings; Zoë and Jörg listen!",
] * 5


@pytest.fixture(scope="module")
def subwords():
    return text.SubwordVocabulary(LINES, 60)


def test_words_are_numbered_in_alphabetical_order():
    vocabulary = text.WordVocabulary(["b a", "c a"])
    assert vocabulary.words == ["<pad>", "<unk>", "<s>", "</s>", "a", "b", "c"]
    assert len(vocabulary) == 7
    assert vocabulary.encode("c a") == [6, 4]
    assert vocabulary.pieces("c a") == ["c", "a"]


def test_unknown_words_and_special_ids():
    vocabulary = text.WordVocabulary(["a b"])
    assert vocabulary.encode("a z") == [4, text.UNKNOWN]
    ids = [text.START, 4, 5, text.END, text.PAD]
    assert vocabulary.decode(ids) == "a b"


def test_order_of_sentences_does_not_change_a_word_vocabulary():
    one, two = text.WordVocabulary(["x y", "z"]), text.WordVocabulary(["z y x"])
    assert one.words == two.words and one.digest == two.digest
    assert one.digest != text.WordVocabulary(["x"]).digest


def test_rare_words_are_unknown():
    lines = ["a b a", "b c", "a"]
    vocabulary = text.WordVocabulary(lines, min_count=2)
    assert vocabulary.words[4:] == ["a", "b"]
    assert vocabulary.encode("c b a") == [text.UNKNOWN, 5, 4]
    assert text.WordVocabulary(lines, min_count=4).words[4:] == []
    every = text.WordVocabulary(lines)
    assert every.digest == text.WordVocabulary(lines, min_count=1).digest
    assert every.digest != vocabulary.digest


def test_sentences_may_be_an_iterator():
    vocabulary = text.WordVocabulary(iter(["a b", "a"]), min_count=2)
    assert vocabulary.words[4:] == ["a"]


@pytest.mark.parametrize("count", [0, -1, 1.5, True, None, "2"])
def test_bad_min_count(count):
    with pytest.raises(ValueError, match="min_count as a whole number"):
        text.WordVocabulary(["a"], min_count=count)


@pytest.mark.parametrize("line", LINES[:4])
def test_subwords_give_the_sentence_back(subwords, line):
    ids = subwords.encode(line)
    assert subwords.decode([*ids, text.END, text.PAD]) == line
    assert len(subwords.pieces(line)) == len(ids)
    assert min(ids) > text.END


def test_subwords_have_the_size_and_the_same_digest_each_time(subwords):
    assert len(subwords) == 60
    assert text.SubwordVocabulary(LINES, 60).digest == subwords.digest


@pytest.mark.parametrize("sentence", ["", "   ", "\n", None, 7, ["a"]])
def test_empty_sentence_is_refused(subwords, sentence):
    for vocabulary in (text.WordVocabulary(["a"]), subwords):
        for method in (vocabulary.encode, vocabulary.pieces):
            with pytest.raises(ValueError, match="at least one word"):
                method(sentence)


def test_pad():
    np.testing.assert_array_equal(
        text.pad([[5], [6, 7]]), np.array([[5, 0], [6, 7]], "int32")
    )
    assert text.pad([[5]], 3).tolist() == [[5, 0, 0]]
    assert text.pad([[5]]).dtype == np.int32
    with pytest.raises(ValueError, match="at most 1 ids. Received: 2"):
        text.pad([[5, 6]], 1)


sentences = st.lists(st.integers(4, 30), min_size=1, max_size=9)


@settings(deadline=None, max_examples=40)
@given(
    pairs=st.lists(st.tuples(sentences, sentences), min_size=1, max_size=25),
    buckets=st.integers(1, 6),
)
def test_buckets_keep_every_pair_once(pairs, buckets):
    source, target = map(list, zip(*pairs, strict=True))
    groups = text.length_buckets(source, target, buckets)
    found = []
    for x, y in groups:
        assert len(x["source"]) == len(x["target"]) == len(y) > 0
        assert x["target"].shape == y.shape
        assert (x["target"][:, 0] == text.START).all()
        for s, previous, following in zip(
            x["source"], x["target"], y, strict=True
        ):
            words = following[following > 0].tolist()
            assert words[-1] == text.END
            assert previous[previous > 0][1:].tolist() == words[:-1]
            found.append((s[s > 0].tolist(), words[:-1]))
    assert sorted(found) == sorted((list(s), list(t)) for s, t in pairs)
    widths = [max(x["source"].shape[1], y.shape[1]) for x, y in groups]
    assert widths == sorted(widths)


def test_buckets_leave_out_long_pairs():
    groups = text.length_buckets([[4] * 3, [4]], [[5], [5] * 3], 1, maximum=3)
    (x, _) = groups[0]
    assert len(groups) == 1 and x["source"].tolist() == [[4, 4, 4]]
