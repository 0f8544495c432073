"""The translation experiment: data, recipe and scores, on tiny sizes."""

import dataclasses

import keras
import numpy as np
import pytest

from attnlib import datasets, profiles, text
from attnlib.models import translation
from attnlib.models.decoding import Decoder, Hypothesis


@pytest.fixture(scope="module")
def tiny():
    return dataclasses.replace(
        profiles.load("02", "smoke"),
        embedding_size=8,
        encoder_units=8,
        decoder_units=8,
        examples=60,
        held_out=12,
        batch_size=20,
    )


@pytest.fixture(scope="module")
def task(tiny):
    return translation.load_task(tiny)


def test_number_lists_are_the_numbers_joined():
    data = datasets.load("number_words", "test")
    lists = translation.number_lists(data, 20, 3, seed=5)
    place = {int(n): i for i, n in enumerate(data["number"])}
    for source, target, numbers, alignment in zip(
        lists["source"],
        lists["target"],
        lists["numbers"],
        lists["alignment"],
        strict=True,
    ):
        for side, line in (("source", source), ("target", target)):
            words = [data[side][place[n]] for n in numbers]
            assert line == " , ".join(words)
        source, target = source.split(), target.split()
        assert len(alignment) == len(target)
        single = [
            a for n in numbers for a in (*data["alignment"][place[n]], -1)
        ]
        assert [a >= 0 for a in alignment] == [a >= 0 for a in single[:-1]]
        pairs = {
            (source[a], word)
            for a, word in zip(alignment, target, strict=True)
            if a >= 0
        }
        for a, word in zip(alignment, target, strict=True):
            assert a >= 0 or word in ("und", ",")
        # German words for digits start as their English counterparts' value.
        assert not {("two", "drei"), ("forty", "fünfzig")} & pairs


def test_number_lists_have_all_lengths_and_are_reproducible():
    data = datasets.load("number_words", "train")
    one, two = (translation.number_lists(data, 9, 3, seed=1) for _ in "ab")
    assert one == two
    assert sorted(map(len, one["numbers"])) == [1] * 3 + [2] * 3 + [3] * 3
    assert translation.number_lists(data, 9, 3, seed=2) != one


def test_task_holds_numbers_out(task, tiny):
    seen = {n for numbers in task.train["numbers"] for n in numbers}
    for split in ("validation", "test"):
        numbers = getattr(task, split)["numbers"]
        assert len(numbers) == tiny.held_out
        assert not seen & {n for line in numbers for n in line}
    assert not task.shared
    assert "en -> de" in task.description and "60 pairs" in task.description


def test_digest_says_which_data(task, tiny):
    assert translation.load_task(tiny).digest == task.digest
    other = dataclasses.replace(tiny, numbers=3)
    assert translation.load_task(other).digest != task.digest


def test_trains_every_model_of_the_profile(task, tiny):
    models = ("search", "encdec-short")
    trained = translation.train_all(
        dataclasses.replace(tiny, models=models), task
    )
    assert tuple(trained) == models
    for name, training in trained.items():
        assert training.model.attention == name.startswith("search")


def test_search_and_alignment_of_what_a_person_typed(task, tiny):
    decoder = Decoder(translation.build(tiny, task, True, 10))
    sentence, found = translation.search(decoder, task, "21 5", 3)
    assert sentence == "twenty one , five" and len(found) == 3
    typed = translation.search(decoder, task, "Twenty-one, five", 3)
    assert typed[0] == sentence
    weights, read, written = translation.alignment(task, sentence, found[0])
    assert read == ["twenty", "one", ",", "five"]
    assert written[-1] == "(end)"
    assert weights.shape == (len(written), len(read))
    assert isinstance(translation.show(task, found[0]), str)
    with pytest.raises(ValueError, match="at most 1 numbers"):
        translation.search(decoder, task, "21 5", most=1)


def test_in_digits():
    assert translation.in_digits("null", "de") == "0"
    words = "zwei tausend drei hundert fünf und vierzig , ein und zwanzig"
    assert translation.in_digits(words, "de") == "2345, 21"
    assert translation.in_digits("und , ein ein", "de") == "?, ?"


def test_gold_alignment():
    weights, read, written = translation.gold_alignment(21, "en", "de")
    assert (read, written) == (["twenty", "one"], ["ein", "und", "zwanzig"])
    np.testing.assert_array_equal(weights, [[0, 1], [0, 0], [1, 0]])


def test_other_languages(tiny):
    task = translation.load_task(
        dataclasses.replace(tiny, source="fr", target="en")
    )
    assert "fr -> en" in task.description
    with pytest.raises(ValueError, match="xx"):
        translation.load_task(dataclasses.replace(tiny, source="xx"))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("21", "twenty one"),
        (" 0 ", "zero"),
        ("007", "seven"),
        ("21,345", "twenty one , three hundred and forty five"),
        ("21 ; 5", "twenty one , five"),
        ("ten", "ten"),
        ("Twenty-one, 5", "twenty one , five"),
        ("21 five", "twenty one , five"),
        ("two hundred two", "two hundred and two"),
        ("0" * 5000 + "7", "seven"),
    ],
)
def test_read_numbers(line, words):
    assert translation.read_numbers(line, "en") == words


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "Type a number from 0 to 9999"),
        (" , ", "Type a number from 0 to 9999"),
        ("abc", "'abc' is no whole number"),
        ("12a", "'12a' is no whole number"),
        ("-3", "'-3' is no whole number"),
        ("3.5", "'3.5' is no whole number"),
        ("10000", "'10000' is no whole number from 0 to 9999"),
        ("²", "is no whole number"),
        ("1 2 3", "at most 2 numbers; these are 3"),
        ("9" * 5000, "is no whole number"),
        ("ten" * 5000, "is no whole number"),
        ("zehn", "'zehn' is no .*, or words of English, .* twenty-one"),
        ("ten eleven", "'ten eleven' is no whole number"),
    ],
)
def test_read_numbers_says_what_is_wrong(line, message):
    with pytest.raises(ValueError, match=message) as caught:
        translation.read_numbers(line, "en", most=2)
    assert len(str(caught.value)) < 200


def test_trains_once_then_loads(task, tiny, monkeypatch, tmp_path):
    monkeypatch.setenv("ATTNLIB_CACHE", str(tmp_path))
    first = translation.train(tiny, task)
    again = translation.train(tiny, task)
    assert not first.loaded and again.loaded
    assert len(first.history["val_nll"]) == tiny.epochs
    for a, b in zip(
        first.model.get_weights(), again.model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_short_rows(task, tiny):
    rows = translation.short_rows(task, 1)
    assert 0 < len(rows) < tiny.examples
    assert all(len(task.train["numbers"][i]) == 1 for i in rows)


def hypothesis(tokens):
    weights = np.zeros((len(tokens) + 1, 1))
    return Hypothesis(tuple(tokens), 0.0, 0.0, weights, True)


def test_grade(task):
    _, references = translation.pairs(task, "test")
    hypotheses = [hypothesis(tokens) for tokens in references]
    first = references[0]
    hypotheses[1] = hypothesis([*references[1][:-1], 1])
    hypotheses[2] = hypothesis([*references[2], 4])
    grades = translation.grade(hypotheses, task)
    assert grades["exact"].tolist() == [True, False, False] + [True] * 9
    assert grades["share"][0] == 1
    size = len(references[1]) + 1
    assert grades["share"][1] == pytest.approx((size - 1) / size)
    size = len(references[2]) + 1
    assert grades["share"][2] == pytest.approx((size - 1) / size)
    assert len(first) > 0
    assert grades["length"][0] == len(task.test["source"][0].split())


def made_up_grades(task, accuracies):
    """Grades of four models: share right for one and for two numbers."""
    count = np.array([len(line) for line in task.test["numbers"]])
    length = np.array([len(line.split()) for line in task.test["source"]])
    grades = {}
    for name, levels in accuracies.items():
        share = np.choose(count - 1, levels).astype("float64")
        grades[name] = {
            "length": length,
            "share": share,
            "exact": share > 0.9,
        }
    return grades


def test_statements_hold_for_results_like_the_papers(task, tiny):
    found = translation.compare_lengths(
        made_up_grades(
            task,
            {
                "search": (1.0, 1.0),
                "encdec": (0.8, 0.4),
                "search-short": (1.0, 0.5),
                "encdec-short": (0.8, 0.1),
            },
        ),
        task,
        dataclasses.replace(tiny, short_numbers=1),
    )
    assert {name: holds for name, (holds, _) in found.items()} == {
        "search-at-least-encdec-on-long": True,
        "gap-grows-with-length": True,
        "encdec-short-collapses-first": True,
        "search-short-beats-encdec-long": True,
    }
    assert all(type(holds) is bool for holds, _ in found.values())
    notes = [note for _, note in found.values()]
    assert "encdec-short 10 %" in notes[2]


def test_statements_on_models_that_are_not_there_are_left_out(task, tiny):
    grades = made_up_grades(task, {"search": (1, 1), "encdec": (1, 1)})
    found = translation.compare_lengths(grades, task, tiny)
    assert {name: holds for name, (holds, _) in found.items()} == {
        "search-at-least-encdec-on-long": True,
        "gap-grows-with-length": False,  # there is no gap
    }


def test_statements_fail_for_the_opposite(task, tiny):
    found = translation.compare_lengths(
        made_up_grades(
            task,
            {
                "search": (1.0, 0.5),
                "encdec": (0.5, 1.0),
                "search-short": (0.1, 0.1),
                "encdec-short": (0.8, 0.4),
            },
        ),
        task,
        dataclasses.replace(tiny, short_numbers=1),
    )
    assert not any(holds for holds, _ in found.values())


def test_length_edges_cover_all_lengths_and_leave_no_bucket_empty():
    lengths = np.array([2, 3, 4, 12, 13, 14, 15])
    edges = translation.length_edges(lengths)
    counts, _ = np.histogram(lengths, edges)
    assert counts.sum() == len(lengths) and (counts > 0).all()
    assert translation.length_edges([5, 5]).tolist() == [5, 6]


def test_by_length():
    found = translation.by_length(
        np.array([1, 2, 2, 5]), np.array([1, 0, 1, 1]), [1, 2, 4, 5, 9]
    )
    np.testing.assert_array_equal(found, [100, 50, np.nan, 100])


def test_aligned_mass_is_the_weight_on_the_gold_places(task, tiny):
    model = translation.build(tiny, task, True, 10)
    w_a, u_a, v_a = model.align.get_weights()
    model.align.set_weights([w_a, u_a, 0 * v_a])  # uniform weights
    mass = translation.aligned_mass(model, task)
    wanted = {"digits": [], "multipliers": []}
    for source, target, alignment in zip(
        task.test["source"],
        task.test["target"],
        task.test["alignment"],
        strict=True,
    ):
        for place, word in zip(alignment, target.split(), strict=True):
            if place >= 0:
                multiplier = word in ("hundert", "tausend")
                kind = "multipliers" if multiplier else "digits"
                wanted[kind].append(1 / len(source.split()))
    for kind, values in wanted.items():
        np.testing.assert_allclose(mass[kind], values, atol=1e-6)


def test_validate_is_the_mean_per_word(task, tiny):
    model = translation.build(tiny, task, True, 10)
    pairs = translation.pairs(task, "test")
    one, three = (
        translation.validate(model, text.length_buckets(*pairs, n))
        for n in (1, 3)
    )
    assert one["val_nll"] == pytest.approx(three["val_nll"], rel=1e-4)
    assert one["val_nll"] == pytest.approx(np.log(len(task.target)), rel=0.3)


def test_bleu_is_sacrebleus_with_its_signature():
    lines = ["A man rides a red bicycle.", "Two dogs run over the grass."]
    score, signature = translation.bleu(lines, lines)
    assert score == pytest.approx(100)
    assert "tok:13a" in signature and "case:mixed" in signature
    worse, _ = translation.bleu([lines[0].lower(), lines[1]], lines)
    assert worse < 100


def test_a_trained_model_translates(tiny):
    """Copying single digits is learned in seconds, data to decoding."""
    settings = dataclasses.replace(
        tiny,
        target="en",
        numbers=1,
        examples=400,
        epochs=16,
        learning_rate=0.02,
        encoder_units=16,
        decoder_units=32,
    )
    task = translation.load_task(settings)
    trained = translation.train(settings, task)
    sources, _ = translation.pairs(task, "test")
    grades = translation.grade(Decoder(trained.model).greedy(sources), task)
    assert grades["share"].mean() > 0.6


def test_paper_profile_shares_subwords(monkeypatch):
    lines = {
        "source": ["ein Hund rennt", "zwei Hunde rennen"] * 10,
        "target": ["a dog runs", "two dogs run"] * 10,
    }
    monkeypatch.setattr(datasets, "load", lambda *a, **k: lines)
    monkeypatch.setattr(datasets, "digest", lambda *a, **k: "0" * 16)
    settings = dataclasses.replace(
        profiles.load("02", "paper"), vocabulary_size=40
    )
    task = translation.load_task(settings)
    assert task.shared and "joint BPE of 40" in task.description
    assert task.digest == "0" * 16
    model = translation.build(
        dataclasses.replace(settings, encoder_units=4, decoder_units=8),
        task,
        True,
        10,
    )
    assert model.tied and isinstance(model, keras.Model)
    decoder = Decoder(model)
    sentence, found = translation.search(decoder, task, "zwei Hunde rennen", 2)
    _, read, written = translation.alignment(task, sentence, found[0])
    assert "".join(read) == "zweiHunderennen"
    assert translation.show(task, found[0]) == task.target.decode(
        found[0].tokens
    )
    with pytest.raises(ValueError, match="at least one word"):
        translation.search(decoder, task, "  ")
    # A character that no training sentence has, and a sentence longer than
    # any of them, are read all the same.
    line = " ".join(["zwei \u72ac rennen"] * 12)
    assert text.UNKNOWN in task.source.encode(line)
    sentence, found = translation.search(decoder, task, line, 2)
    weights, read, _ = translation.alignment(task, sentence, found[0])
    assert (
        weights.shape[1]
        == len(read)
        > max(len(task.source.pieces(line)) for line in lines["source"])
    )


@pytest.mark.parametrize(
    ("weights", "count"),
    [
        (np.eye(3), 0),
        (np.eye(3)[::-1], 2),
        # A row that looks nowhere is no place to jump from.
        ([[0, 0, 1], [0, 0, 0], [0.6, 0.4, 0]], 1),
        (np.zeros((2, 3)), 0),
    ],
)
def test_jumps_back(weights, count):
    assert translation.jumps_back(weights) == count
