import functools
import itertools

import numpy as np
import pytest
from num2words import num2words

from attnlib import datasets
from attnlib.datasets import languages, number_words

CODES = sorted(languages.LANGUAGES)
ALL = range(languages.LARGEST + 1)


@functools.cache
def texts(code):
    return [num2words(number, lang=code) for number in ALL]


@functools.cache
def cut(code):
    return [languages.get(code).segment(text) for text in texts(code)]


@pytest.mark.parametrize("code", CODES)
def test_lossless_for_every_number(code):
    known = languages.get(code)
    for text, tokens in zip(texts(code), cut(code), strict=True):
        assert known.join(tokens) == text
        assert set(tokens) <= set(known.values)


@pytest.mark.parametrize("code", CODES)
def test_different_numbers_have_different_morphemes(code):
    assert len(set(map(tuple, cut(code)))) == len(ALL)


@pytest.mark.parametrize("code", CODES)
def test_no_morpheme_is_never_used(code):
    used = set(itertools.chain(*cut(code)))
    assert used == set(languages.get(code).values)


@pytest.mark.parametrize("code", CODES)
def test_parts_add_up_to_the_number(code):
    """The part of every morpheme is right: values and parts give n back."""
    known = languages.get(code)
    for number, tokens in enumerate(cut(code)):
        parts = number_words.parts(tokens, code)
        found = dict.fromkeys(("thousands", "hundreds", "below"), 0)
        said = set().union(*parts)
        factor = 1
        for token, part in zip(tokens, parts, strict=True):
            value = known.value(token)
            if value is None:
                assert not part
            elif part == {"thousands"} or part == {"hundreds"}:
                found[min(part)] += value
            elif part == {"hundreds", "hundred"}:
                found["hundreds"] += value // 100
            elif part == {"thousand"} or part == {"hundred"}:
                assert value == {"thousand": 1000, "hundred": 100}[min(part)]
            elif part == {"tens"} and value < 10:
                factor = value  # French quatre-vingt
            else:
                assert part <= {"tens", "units"} and part
                assert part != {"units"} or value < 10
                assert part != {"tens"} or value % 10 == 0
                assert part != {"tens", "units"} or 10 < value < 20
                found["below"] += factor * value
                factor = 1
        for many, one in (("thousands", "thousand"), ("hundreds", "hundred")):
            if one in said and many not in said:
                found[many] = 1
        assert number == (
            1000 * found["thousands"] + 100 * found["hundreds"] + found["below"]
        )


@pytest.mark.parametrize("source, target", [("en", "de"), ("de", "en")])
def test_gold_alignment_of_english_and_german_has_equal_values(source, target):
    """Both cut numbers alike: aligned morphemes are the same number."""
    for ours, theirs in zip(cut(source), cut(target), strict=True):
        links = number_words.align(ours, theirs, source, target)
        assert len(links) == len(theirs)
        for token, link in zip(theirs, links, strict=True):
            value = languages.get(target).value(token)
            if value is None:
                assert link == -1
            else:
                assert languages.get(source).value(ours[link]) == value
        used = [link for link in links if link >= 0]
        valued = [t for t in ours if languages.get(source).value(t) is not None]
        assert len(used) == len(set(used)) == len(valued)


@pytest.mark.parametrize(
    "source, target",
    [
        (source, target)
        for source, target in itertools.product(CODES, repeat=2)
        if "fr" in (source, target) or "es" in (source, target)
    ],
)
def test_gold_alignment_joins_the_same_part(source, target):
    """In every pair, aligned morphemes share a part of the number."""
    implied = {"thousands": "thousand", "hundreds": "hundred"}
    for ours, theirs in zip(cut(source)[::7], cut(target)[::7], strict=True):
        given = number_words.parts(ours, source)
        links = number_words.align(ours, theirs, source, target)
        for wanted, link in zip(
            number_words.parts(theirs, target), links, strict=True
        ):
            assert (link == -1) == (not wanted)
            if wanted:
                said = {implied.get(part) for part in wanted}
                assert (wanted | said) & given[link]


@pytest.mark.parametrize(
    "source, target, number, expected",
    [
        ("en", "de", 21, {"ein": "one", "zwanzig": "twenty"}),
        ("en", "fr", 97, {"dix": "ninety", "sept": "seven"}),
        ("en", "fr", 71, {"soixante": "seventy", "onze": "one"}),
        ("fr", "en", 97, {"ninety": "dix", "seven": "sept"}),
        ("fr", "en", 17, {"seventeen": "sept"}),
        ("fr", "en", 1100, {"thousand": "mille", "hundred": "cent"}),
        ("en", "es", 500, {"quinientos": "five"}),
        ("es", "en", 500, {"five": "quinientos", "hundred": "quinientos"}),
        ("de", "da", 35, {"fem": "fünf", "tredive": "dreißig"}),
        ("en", "de", 0, {"null": "zero"}),
    ],
)
def test_gold_alignment_by_hand(source, target, number, expected):
    ours, theirs = (
        number_words.morphemes(number, code) for code in (source, target)
    )
    links = number_words.align(ours, theirs, source, target)
    found = {
        token: ours[link] if link >= 0 else None
        for token, link in zip(theirs, links, strict=True)
    }
    assert {token: found[token] for token in expected} == expected


def test_load():
    data = datasets.load("number_words", "train", maximum=999)
    assert data["number"].dtype == np.int32
    assert len(data["number"]) == 800
    where = list(data["number"]).index(9)
    assert (data["source"][where], data["target"][where]) == ("nine", "neun")
    for source, target, number, links in zip(*data.values(), strict=True):
        assert number_words.join(source, "en") == texts("en")[number]
        assert number_words.join(target, "de") == texts("de")[number]
        assert len(links) == len(target.split())
        assert max(links) < len(source.split())


@pytest.mark.parametrize("maximum, seed", [(99, 0), (999, 1), (9999, 0)])
def test_splits_are_disjoint_and_train_has_every_word(maximum, seed):
    parts = {
        split: datasets.load("number_words", split, maximum=maximum, seed=seed)
        for split in ("train", "validation", "test")
    }
    numbers = np.concatenate([part["number"] for part in parts.values()])
    np.testing.assert_array_equal(np.sort(numbers), np.arange(maximum + 1))
    assert len(parts["test"]["number"]) == (maximum + 1) // 10
    assert set(range(21)) <= set(parts["train"]["number"])
    if maximum >= 999:
        for side in ("source", "target"):
            words = {
                split: set(" ".join(part[side]).split())
                for split, part in parts.items()
            }
            assert words["validation"] | words["test"] <= words["train"]


def test_german_order_is_not_monotone():
    data = datasets.load("number_words", "test")
    links = [[i for i in row if i >= 0] for row in data["alignment"]]
    swapped = [row != sorted(row) for row in links]
    assert 0.6 < np.mean(swapped) < 0.8


def test_copying_is_allowed():
    data = datasets.load(
        "number_words", "test", source="fr", target="fr", maximum=99
    )
    assert data["source"] == data["target"]


@pytest.mark.parametrize("code", ["xx", "DE", "", None, ["de"]])
def test_unknown_language(code):
    for options in ({"source": code}, {"target": code}):
        with pytest.raises(ValueError, match="expected one of cs, da, de, en"):
            datasets.load("number_words", **options)
    for function in (number_words.join, number_words.parts):
        with pytest.raises(ValueError, match="expected one of cs, da, de, en"):
            function(["eins"], code)


@pytest.mark.parametrize("maximum", [98, 10000, 99.0, True, None])
def test_bad_maximum(maximum):
    with pytest.raises(ValueError, match="maximum: expected a whole number"):
        datasets.load("number_words", maximum=maximum)


@pytest.mark.parametrize("number", [-1, 10000, 2.0, "3"])
def test_bad_number(number):
    with pytest.raises(ValueError, match="number: expected a whole number"):
        number_words.morphemes(number, "en")


def test_words_of_another_language():
    with pytest.raises(ValueError, match="not a number .* of German: 'twenty'"):
        languages.get("de").segment("twenty-one")


def test_join_takes_whatever_a_model_says():
    tokens = ["und", "<unk>", "thousand", "og", "set"]
    for code in CODES:
        joined = number_words.join(tokens, code)
        assert all(token in joined for token in tokens)
        assert number_words.join([], code) == ""
        assert len(number_words.parts(tokens, code)) == len(tokens)


@pytest.mark.parametrize("code", CODES)
def test_words_are_read_back(code):
    for number in [*range(130), *range(900, languages.LARGEST + 1, 37)]:
        tokens = number_words.morphemes(number, code)
        for words in (" ".join(tokens), number_words.join(tokens, code)):
            assert number_words.read(words, code) == number


@pytest.mark.parametrize(
    ("words", "code", "number"),
    [
        ("Three Hundred forty-five", "en", 345),
        ("dreihundert fünfundvierzig", "de", 345),
        ("fu\u0308nf", "de", 5),
        ("zehn", "en", None),
        ("twenty one five", "en", None),
        ("hundred", "en", None),
        ("", "en", None),
        ("and", "en", None),
        ("ten" * 5000, "en", None),
    ],
)
def test_words_that_a_person_types(words, code, number):
    assert number_words.read(words, code) == number
