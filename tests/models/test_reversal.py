"""Words backwards: data, recipe and measures, on tiny sizes."""

import dataclasses

import keras
import numpy as np
import pytest

from attnlib import profiles, text
from attnlib.models import reversal, translation
from attnlib.models.decoding import Decoder, Hypothesis
from attnlib.models.encoder_decoder import RNNEncoderDecoder
from attnlib.models.rnnsearch import RNNSearch


@pytest.fixture(scope="module")
def tiny():
    return dataclasses.replace(
        profiles.load("01", "smoke"), examples=60, held_out=15, batch_size=20
    )


@pytest.fixture(scope="module")
def task(tiny):
    return reversal.load_task(tiny)


def test_task(task, tiny):
    assert len(task.train["source"]) == 60 and len(task.test["source"]) == 15
    lengths = set(map(len, task.test["alignment"]))
    assert lengths == {2, 3, 4, 5, 6}
    assert not set(task.train["source"]) & set(task.test["source"])
    assert len(task.source) == 30 and task.source is task.target
    assert task.target.decode(task.source.encode("a z")) == "a z"
    assert "60 words of 2 to 6 random letters" in task.description
    assert task.record["name"] == "reversal"


@pytest.mark.parametrize(
    "change", [{"examples": 61}, {"held_out": 16}, {"longest": 7}]
)
def test_digest_says_which_data(task, tiny, change):
    assert reversal.load_task(tiny).digest == task.digest
    other = dataclasses.replace(tiny, **change)
    assert reversal.load_task(other).digest != task.digest


def test_both_kinds_remember_by_equally_many_numbers(task, tiny):
    encdec, search = (
        reversal.build(tiny, task, kind, 10) for kind in ("encdec", "search")
    )
    assert isinstance(encdec, RNNEncoderDecoder)
    assert isinstance(search, RNNSearch) and search.attention
    source = text.pad([[4, 5, 6]])
    _, memory = encdec.encode(source)
    assert memory["context"].shape == (1, 8)
    assert encdec.encoder_units == 2 * search.encoder_units == 8
    assert encdec.decoder_units == search.decoder_units == 8


def test_trains_every_model_of_the_profile(task, tiny):
    models = ("search", "encdec-short")
    trained = reversal.train_all(dataclasses.replace(tiny, models=models), task)
    assert tuple(trained) == models
    kinds = [type(t.model) for t in trained.values()]
    assert kinds == [RNNSearch, RNNEncoderDecoder]
    for training in trained.values():
        assert np.isfinite(training.history["val_nll"]).all()
    again = reversal.train_all(dataclasses.replace(tiny, models=models), task)
    assert all(training.loaded for training in again.values())


def test_other_widths(task, tiny):
    wide = dataclasses.replace(tiny, widths=(4, 6))
    trained = reversal.train_widths(wide, task)
    found = {w: t.model.summarize.units for w, t in trained.items()}
    assert found == {4: 4, 6: 6}
    assert trained[6].model.encoder_units == 6


def test_number_words_are_a_task_of_the_same_recipe(tiny):
    settings = reversal.words_settings(tiny)
    assert (settings.notebook, settings.examples) == ("02", 64)
    other = reversal.words_settings(tiny, examples=32, epochs=None)
    assert (other.examples, other.epochs) == (32, settings.epochs)
    task = translation.load_task(settings)
    training = reversal.train(settings, task, "encdec")
    assert training.model.target_size == len(task.target)


def test_short_rows(task):
    rows = reversal.short_rows(task, 3)
    lengths = [len(task.train["source"][i].split()) for i in rows]
    assert len(rows) == 24 and set(lengths) == {2, 3}


def grade(lengths, exact, share):
    return {
        "length": np.array(lengths),
        "exact": np.array(exact, bool),
        "share": np.array(share, float),
    }


def test_compare(tiny):
    lengths = [4, 6, 6, 10, 14, 16, 16, 18]
    right, wrong = [1] * 8, [1, 1, 1, 0, 0, 0, 0, 0]
    falling = [1, 1, 1, 0.8, 0.6, 0.5, 0.5, 0.2]
    settings = dataclasses.replace(tiny, short_longest=8)
    grades = {
        "search": grade(lengths, right, right),
        "encdec": grade(lengths, wrong, falling),
    }
    found = reversal.compare(grades, None, settings)
    assert {name: holds for name, (holds, _) in found.items()} == {
        "search-at-least-encdec-on-long": True,
        "gap-grows-with-length": True,
        "falls-with-length": True,
    }
    note = found["falls-with-length"][1]
    assert "100 and 0 % without attention, 100 and 100 % with" in note
    assert "letters" in found["gap-grows-with-length"][1]
    grades["search-short"] = grade(lengths, right, right)
    grades["encdec-short"] = grade(lengths, wrong, [1, 1, 1, 0, 0, 0, 0, 0])
    found = reversal.compare(grades, None, settings)
    holds, note = found["encdec-short-collapses-first"]
    assert holds and "letters right beyond" in note and "encdec-short 0" in note
    assert found["search-short-beats-encdec-long"][0]
    grades["encdec"] = grade(lengths, right, right)
    assert not reversal.compare(grades, None, settings)["falls-with-length"][0]


def test_lengths_that_were_not_tested_decide_nothing(tiny):
    same = grade([2, 3, 4, 5], [1, 1, 0, 0], [1, 1, 0.5, 0.4])
    found = reversal.compare({"search": same, "encdec": same}, None, tiny)
    assert "falls-with-length" not in found


def test_compare_thirds():
    lengths = [9, 1, 5, 2, 8, 5]
    worse = grade(lengths, [0, 1, 1, 1, 0, 0], [0.5, 1, 1, 1, 0.7, 0.9])
    holds, note = reversal.compare_thirds(worse)
    assert holds and "100 and 0 %" in note and "100 and 60 %" in note
    same = grade(lengths, [1] * 6, [1] * 6)
    assert not reversal.compare_thirds(same)[0]


class Forced:
    """A translator that is sure of given words, with given attention."""

    def __init__(self, size, weights=None, sure=None):
        self.size, self.weights, self.sure = size, weights, sure

    def force(self, inputs):
        batch, steps = inputs["target"].shape
        logits = np.zeros((batch, steps, self.size), "float32")
        if self.sure is not None:
            for row, words in enumerate(self.sure):
                logits[row, range(len(words)), words] = 100.0
        return keras.ops.convert_to_tensor(logits), self.weights


def test_aligned_mass(task):
    weights = np.zeros((15, 7, 6), "float32")
    for row, places in enumerate(task.test["alignment"]):
        last = len(places) - 1
        for step, place in enumerate(places):
            beside = place + 1 if place < last else place - 1
            weights[row, step, place] = 0.75
            weights[row, step, beside] = 0.125
        weights[row, last + 1] = 0.9  # END is no letter
    mass = reversal.aligned_mass(Forced(30, weights), task)
    np.testing.assert_allclose(mass, (0.75, 0.875))


def test_bits_kept(task):
    sources, targets = translation.pairs(task, "test")
    lengths = np.array(list(map(len, sources)))
    all_bits = reversal.bits_kept(Forced(30, sure=targets), task)
    np.testing.assert_allclose(all_bits, lengths * np.log2(26), rtol=1e-5)
    # Guessing among all 30 ids is worse than guessing among the letters.
    none = reversal.bits_kept(Forced(30), task)
    np.testing.assert_allclose(none, -lengths * np.log2(30 / 26), rtol=1e-4)


def test_summaries_are_the_vectors_that_the_decoder_reads(task, tiny):
    model = reversal.build(tiny, task, "encdec", 10)
    vectors = reversal.summaries(Decoder(model), task, task.test)
    assert vectors.shape == (15, 8)
    ids = text.pad([task.source.encode(task.test["source"][3])])
    wanted = keras.ops.convert_to_numpy(model.encode(ids)[1]["context"])
    np.testing.assert_allclose(vectors[3:4], wanted, atol=1e-5)


def one_hot(words, places):
    """Vectors that hold the last letters of words, and nothing else."""
    out = np.zeros((len(words), places, 26))
    for row, word in enumerate(words):
        for place, letter in enumerate(word[::-1][:places]):
            out[row, place, ord(letter) - ord("a")] = 1
    return out.reshape(len(words), -1)


def test_probes_find_what_a_vector_holds_and_nothing_else():
    random = np.random.default_rng(0)
    words, others = (
        ["".join(random.choice([*"abcdefghij"], 4)) for _ in range(400)]
        for _ in range(2)
    )
    probes = reversal.fit_probes(one_hot(words, 2), words)
    assert probes.shape == (4, 53, 26)
    right = reversal.read_probes(probes, one_hot(others, 2), others)
    assert right.shape == (400, 4) and right[:, :2].all()
    assert right[:, 2:].mean() < 0.2  # chance is a tenth


def test_probe_of_each_length(task, tiny):
    wide = dataclasses.replace(tiny, encoder_units=32, decoder_units=64)
    decoder = Decoder(reversal.build(wide, task, "encdec", 10))
    table = reversal.probe(decoder, task, [2, 4], 800, 100)
    assert table.shape == (2, 4)
    np.testing.assert_array_equal(
        np.isfinite(table), [[True, True, False, False], [True] * 4]
    )
    # Even an untrained reader knows its last letter.
    assert table[0, 0] > 50 and (0 <= table[1]).all()


def test_by_place():
    right = np.array([[1, 0, np.nan], [1, 1, np.nan], [0, 1, 1.0]])
    lengths, means = reversal.by_place(right, ["ab", "cd", "abc"])
    assert lengths.tolist() == [2, 3]
    np.testing.assert_array_equal(means, [[100, 50, np.nan], [0, 100, 100]])


def test_written_rightly(task):
    _, targets = translation.pairs(task, "test")
    written = [list(target) for target in targets]
    written[0][0] = 4 if written[0][0] != 4 else 5
    written[4] = written[4][:3]  # six letters, three of them missing
    found = [Hypothesis(tuple(w), 0.0, 0.0, None, True) for w in written]
    right = reversal.written_rightly(found, task)
    assert right.shape == (15, 6)
    np.testing.assert_array_equal(right[0], [0, 1, *[np.nan] * 4])
    np.testing.assert_array_equal(right[4], [1, 1, 1, 0, 0, 0])
    np.testing.assert_array_equal(right[9], np.ones(6))


def test_joined():
    assert reversal.joined(["a b", "c"]) == ["ab", "c"]


@pytest.mark.parametrize(
    ("line", "words"),
    [("bank", "b a n k"), (" A ", "a"), ("z" * 60, " ".join("z" * 60))],
)
def test_read_word(line, words):
    assert reversal.read_word(line) == words


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "Type a word of letters a to z"),
        ("  \n", "Type a word of letters a to z"),
        ("no way", "' ' is no letter from a to z"),
        ("ma\u00f1ana", "'\u00f1' is no letter"),
        ("b4", "'4' is no letter"),
        ("\u0131", "'\u0131' is no letter"),
        ("a" * 61, "at most 60 letters; these are 61"),
    ],
)
def test_what_is_no_word(line, message):
    with pytest.raises(ValueError, match=message):
        reversal.read_word(line)


@pytest.mark.parametrize("kind", ["encdec", "search"])
def test_reverse_takes_words_longer_than_any_in_training(task, tiny, kind):
    decoder = Decoder(reversal.build(tiny, task, kind, 10))
    found = reversal.reverse(decoder, task, "abcdefghijklmno")
    assert found.weights.shape[1] == 15
    assert found.weights.any() == (kind == "search")
    with pytest.raises(ValueError, match="no letter"):
        reversal.reverse(decoder, task, "a b")
