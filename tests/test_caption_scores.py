"""Scores of captions, against numbers worked out by hand."""

import math
import sys
import types
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnlib.caption_scores import bleu, cider, meteor, score, tokenize

LONG = "the cat sat on the mat"
OTHERS = [["a dog runs over green grass"], ["two men ride red bicycles"]]


def test_tokens():
    assert tokenize("A dog, RUNS in_grass!") == ("a dog runs in grass".split())
    assert tokenize("Zoë isn't 3½ years-old .") == (
        ["zoë", "isn", "t", "3½", "years", "old"]
    )
    assert tokenize("...") == tokenize("") == []


@pytest.mark.parametrize("caption", [None, 3, ["a"], b"a"])
def test_no_string(caption):
    with pytest.raises(ValueError, match="caption as str"):
        tokenize(caption)


# BLEU


def test_bleu_by_hand():
    """1-grams: 5 of 6, 'the' clipped at 2; 2-grams: 3 of 5; and so on."""
    found = bleu(
        ["the cat the cat on the"], [["the cat sat on the mat", "a cat on"]]
    )
    # the x2, cat x1, on x1 = 4 of 6; the cat, cat on, on the = 3 of 5;
    # cat on the? no reference has it: 0 of 4.
    assert found["with_penalty"][0] == pytest.approx(100 * 4 / 6)
    second = 100 * math.sqrt(4 / 6 * 3 / 5)
    assert found["with_penalty"][1] == pytest.approx(second)
    assert found["with_penalty"][2:] == [0, 0]
    assert found["brevity_penalty"] == 1


def test_brevity_penalty_is_of_the_closest_reference():
    found = bleu(
        ["the cat sat"], [["the cat sat on", "the cat sat on the mat"]]
    )
    penalty = math.exp(1 - 4 / 3)
    assert found["brevity_penalty"] == pytest.approx(penalty)
    np.testing.assert_allclose(found["without_penalty"][:3], 100)
    np.testing.assert_allclose(found["with_penalty"][:3], 100 * penalty)


def test_bleu_is_of_the_corpus_not_a_mean():
    """Counts are added up first: 5 of 7 and not (1 + 1/3) / 2."""
    found = bleu(["a b c d", "x y z"], [["a b c d"], ["x q r"]])
    assert found["with_penalty"][0] == pytest.approx(100 * 5 / 7)


def test_numbers_of_references_may_differ():
    found = bleu(
        ["a b", "c d", "e f"], [["a b"], ["x", "c d", "y"], ["e f"] * 2]
    )
    np.testing.assert_allclose(found["with_penalty"][:2], 100)
    assert "nrefs:var" in found["signature"]


def test_signature_says_how():
    signature = bleu([LONG], [[LONG]])["signature"]
    for part in ("tok:none", "smooth:none", "case:mixed", "eff:no", "version"):
        assert part in signature


def test_identity_whatever_case_and_punctuation():
    found = bleu(["The cat sat, on the mat."], [[LONG.upper() + "!"]])
    np.testing.assert_allclose(found["with_penalty"], 100)


def test_sentences_that_end_in_a_full_stop_cause_no_warning(capsys):
    bleu(["a dog runs ."] * 120, [["a dog runs ."]] * 120)
    assert capsys.readouterr().err == ""


def test_empty_hypotheses_score_nothing():
    found = score(["", "..."], [["a b c d"], ["e f g h"]])
    assert found["with_penalty"] == found["without_penalty"] == [0] * 4
    assert found["cider"] == 0


def test_references_with_unknown_words_would_flatter():
    """Why references stay as written: <unk> matches itself."""
    honest = bleu(["a unk runs"], [["a wombat runs"]])
    flattered = bleu(["a unk runs"], [["a unk runs"]])
    assert honest["with_penalty"][0] < flattered["with_penalty"][0]


# CIDEr-D


def reference_cider(hypotheses, references):
    """Write the paper's equations with dense NumPy vectors."""
    tokens = [tokenize(h) for h in hypotheses]
    refs = [[tokenize(r) for r in some] for some in references]

    def grams(words, n):
        return Counter(
            tuple(words[i : i + n]) for i in range(len(words) - n + 1)
        )

    totals = np.zeros(len(tokens))
    for n in (1, 2, 3, 4):
        everything = [grams(w, n) for w in tokens]
        everything += [grams(w, n) for some in refs for w in some]
        names = sorted(set().union(*everything))
        df = np.array(
            [
                sum(any(g in grams(w, n) for w in some) for some in refs)
                for g in names
            ]
        )
        idf = np.log(len(refs) / np.maximum(df, 1.0))

        def vector(words, n=n, names=names, idf=idf):
            counts = grams(words, n)
            return np.array([counts[g] for g in names], float) * idf

        for i, words in enumerate(tokens):
            g_c = vector(words)
            for other in refs[i]:
                g_s = vector(other)
                norm = np.linalg.norm(g_c) * np.linalg.norm(g_s)
                if norm:
                    gap = len(words) - len(other)
                    totals[i] += (
                        10
                        / 4
                        / len(refs[i])
                        * np.exp(-(gap**2) / 72)
                        * (np.minimum(g_c, g_s) @ g_s)
                        / norm
                    )
    return totals.mean(), totals


WORDS = st.lists(st.sampled_from("a b c d e f".split()), min_size=1, max_size=9)
SENTENCES = WORDS.map(" ".join)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(
        st.tuples(SENTENCES, st.lists(SENTENCES, min_size=1, max_size=3)),
        min_size=1,
        max_size=5,
    )
)
def test_cider_is_the_papers(pairs):
    hypotheses, references = map(list, zip(*pairs, strict=True))
    mean, scores = cider(hypotheses, references)
    expected = reference_cider(hypotheses, references)
    assert mean == pytest.approx(expected[0], abs=1e-9)
    np.testing.assert_allclose(scores, expected[1], atol=1e-9)
    assert all(-1e-9 <= value <= 10 + 1e-9 for value in scores)


def test_cider_by_hand():
    """Two images; 'a' is in both and weighs log(2/2) = 0.

    Hypothesis 'a b' against 'a b c': unigram b, cosine log2 / (log2 sqrt 2);
    bigram 'a b' likewise; no trigram in common. One word too few.
    """
    _, scores = cider(["a b", "x"], [["a b c"], ["a x y"]])
    expected = 10 / 4 * 2 / math.sqrt(2) * math.exp(-1 / 72)
    assert scores[0] == pytest.approx(expected)


def test_repeating_a_word_does_not_pay():
    """Clipping: b b b counts as one b, and its norm is three times that."""
    _, (once, _) = cider(["b", "x"], [["b"], ["y"]])
    _, (often, _) = cider(["b b b", "x"], [["b"], ["y"]])
    assert once == pytest.approx(10 / 4)
    assert often == pytest.approx(10 / 4 / 3 * math.exp(-4 / 72))


def test_identity_scores_ten():
    captions = [LONG, OTHERS[0][0], OTHERS[1][0]]
    mean, scores = cider(captions, [[caption] for caption in captions])
    np.testing.assert_allclose(scores, 10)
    assert mean == pytest.approx(10)


def test_identity_of_a_short_caption_lacks_the_long_ngrams():
    _, scores = cider(["two words", LONG], [["two words"], [LONG]])
    assert scores[0] == pytest.approx(10 * 2 / 4)


def test_two_references_are_averaged():
    _, (both, *_) = cider([LONG, "x"], [[LONG, "no such words"], ["y"]])
    assert both == pytest.approx(5)


def test_order_of_images_and_of_references_does_not_matter():
    hypotheses = [LONG, "a dog runs", "two red bicycles"]
    references = [["a cat sat on the mat", LONG], *OTHERS]
    _, scores = cider(hypotheses, references)
    _, turned = cider(
        hypotheses[::-1], [some[::-1] for some in references[::-1]]
    )
    np.testing.assert_allclose(scores, turned[::-1])


def test_words_of_every_image_count_for_nothing():
    references = [["the cat"], ["the dog"], ["the cow"]]
    _, scores = cider(["the", "the", "the"], references)
    assert scores == [0, 0, 0]


def test_single_image_scores_nothing():
    assert cider([LONG], [[LONG]]) == (0, [0])


# METEOR


def test_meteor_without_nltk_is_not_run(monkeypatch):
    monkeypatch.setitem(sys.modules, "nltk", None)
    assert meteor([LONG], [[LONG]]) is None
    assert score([LONG], [[LONG]])["meteor"] is None


def fake_nltk(monkeypatch, synsets):
    """Put a stand-in for NLTK in its place, with known scores."""
    names = ("nltk", "nltk.corpus", "nltk.translate")
    for name in (*names, "nltk.translate.meteor_score"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    wordnet = types.SimpleNamespace(synsets=synsets)
    sys.modules["nltk.corpus"].wordnet = wordnet

    def meteor_score(references, hypothesis):
        assert all(isinstance(words, list) for words in references)
        return max(float(words == hypothesis) for words in references)

    sys.modules["nltk.translate.meteor_score"].meteor_score = meteor_score


def test_meteor_is_the_mean_of_nltks(monkeypatch):
    fake_nltk(monkeypatch, lambda word: [])
    found = meteor(["A cat.", "a dog", "", "x"], [["a cat", "y"]] * 4)
    assert found == pytest.approx(25)


def test_meteor_without_wordnet_is_not_run(monkeypatch):
    def missing(word):
        raise LookupError("Resource wordnet not found")

    fake_nltk(monkeypatch, missing)
    assert meteor([LONG], [[LONG]]) is None


# All together


def test_all_scores_are_those_of_their_functions():
    hypotheses = [LONG, "a dog runs", "two red bicycles"]
    references = [["a cat sat on the mat", LONG], *OTHERS]
    found = score(hypotheses, references)
    assert found["cider"] == cider(hypotheses, references)[0]
    single = bleu(hypotheses, references)
    assert {key: found[key] for key in single} == single
    assert set(found) == {*single, "cider", "meteor"}


@pytest.mark.parametrize("function", [bleu, cider, meteor, score])
@pytest.mark.parametrize(
    "hypotheses, references, message",
    [
        ([], [], "at least one hypothesis. Received: none"),
        (["a"], [["a"], ["b"]], "1 hypotheses, 2 lists"),
        (["a", "b"], [["a"]], "2 hypotheses, 1 lists"),
        (["a"], [[]], r"at least one reference .* Received: \[\] at 0"),
        (["a", "b"], [["a"], ["b", ""]], "at least one word.* at 1"),
        (["a"], [["..."]], "at least one word"),
        (["a"], ["a"], "a list of references for each hypothesis"),
        ("a", [["a"]], "hypotheses as a list"),
        (["a"], "a", "references as a list"),
        ([None], [["a"]], "caption as str"),
        (["a"], [[["a"]]], "caption as str"),
    ],
)
def test_bad_captions(function, hypotheses, references, message):
    with pytest.raises(ValueError, match=message):
        function(hypotheses, references)
