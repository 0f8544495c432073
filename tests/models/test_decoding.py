"""Searches against brute force, each other, and the model they search."""

import itertools

import keras
import numpy as np
import pytest

from attnlib import text
from attnlib.models.decoding import Decoder
from attnlib.models.rnnsearch import RNNSearch
from attnlib.models.show_and_tell import ShowAndTell
from attnlib.text import END, START, UNKNOWN

SOURCES = [[4, 5, 6, 7, 8], [9], [5, 5, 4], [8, 4], [7, 9, 9, 4]]


def make(attention=True, seed=0, target_size=9, scale=3.0, end=0.0):
    """A small untrained model whose choices are far from uniform."""
    keras.utils.set_random_seed(seed)
    model = RNNSearch(
        10, target_size, 6, 5, 7, attention=attention, readout_units=6
    )
    model.build()
    kernel, bias = model.output_layer.get_weights()
    bias[END] = end
    model.output_layer.set_weights([kernel * scale, bias])
    return model


@pytest.fixture(scope="module")
def model():
    return make()


@pytest.fixture(scope="module")
def decoder(model):
    return Decoder(model)


def log_softmax(logits):
    logits = logits - logits.max(axis=-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def forced(model, sources, translations):
    """Log-probabilities (N, T, V) and alignments of given translations."""
    logits, weights = model.force(
        {
            "source": text.pad(sources),
            "target": text.pad([[START, *tokens] for tokens in translations]),
        }
    )
    log_probs = log_softmax(keras.ops.convert_to_numpy(logits).astype("f8"))
    return log_probs, keras.ops.convert_to_numpy(weights)


class Viewer(keras.Model):
    """The least that a model for images needs: a nested state, attention."""

    target_size = 7

    def __init__(self):
        super().__init__()
        self.query = keras.layers.Dense(3)
        self.output_layer = keras.layers.Dense(7)
        self.query.build((None, 7))
        self.output_layer.build((None, 10))
        self.output_layer.set_weights(
            [3 * w for w in self.output_layer.get_weights()]
        )
        self.built = True

    def check_source(self, source):
        return np.asarray(source, "float32")

    def encode(self, source):
        mean = keras.ops.mean(source, axis=1)
        return (mean, {"last": mean}), {"places": [source], "on": mean > -9}

    def step(self, state, words, memory):
        state, other = state
        (places,) = memory["places"]
        word = keras.ops.one_hot(words, 7)
        weights = keras.ops.softmax(
            keras.ops.einsum("bld,bd->bl", places, self.query(word) + state)
        )
        seen = keras.ops.einsum("bld,bl->bd", places, weights)
        seen = keras.ops.where(memory["on"], seen, 0.0)
        state = keras.ops.tanh(state + seen)
        inputs = keras.ops.concatenate([word, state + other["last"]], axis=-1)
        return (state, {"last": seen}), self.output_layer(inputs), weights


def total(log_probs, tokens):
    """Log-probability of the words and END, from one row of `forced`."""
    words = [*tokens, END]
    return log_probs[range(len(words)), words].sum()


def same(first, second):
    assert first.tokens == second.tokens
    assert first.finished == second.finished
    assert first.score == pytest.approx(second.score, abs=1e-4)
    np.testing.assert_allclose(first.weights, second.weights, atol=1e-4)


@pytest.mark.parametrize("attention", [True, False])
def test_scores_and_alignment_are_the_models(attention):
    model = make(attention)
    found = Decoder(model).beam(SOURCES, 3, 6, num_best=3)
    rows = [
        (source, hypothesis)
        for source, hypotheses in zip(SOURCES, found, strict=True)
        for hypothesis in hypotheses
    ]
    sources, hypotheses = zip(*rows, strict=True)
    log_probs, weights = forced(model, sources, [h.tokens for h in hypotheses])
    for row, (source, hypothesis) in enumerate(rows):
        log_prob = total(log_probs[row], hypothesis.tokens)
        length = len(hypothesis.tokens) + 1
        assert hypothesis.log_prob == pytest.approx(log_prob, abs=1e-4)
        assert hypothesis.score == pytest.approx(log_prob / length, abs=1e-4)
        assert hypothesis.weights.shape == (length, len(source))
        np.testing.assert_allclose(
            hypothesis.weights, weights[row, :length, : len(source)], atol=1e-5
        )
        sums = hypothesis.weights.sum(axis=1)
        np.testing.assert_allclose(sums, float(attention), atol=1e-5)


def test_greedy_takes_the_likeliest_word_at_every_step(model, decoder):
    found = decoder.greedy(SOURCES, 6)
    log_probs, _ = forced(model, SOURCES, [h.tokens for h in found])
    for hypothesis, row in zip(found, log_probs, strict=True):
        row[:, :END] = -np.inf
        row[0, END] = -np.inf
        wanted = [*hypothesis.tokens, *[END] * hypothesis.finished]
        assert row[: len(wanted)].argmax(axis=1).tolist() == wanted


def test_beam_of_one_is_greedy(decoder):
    for best, (only,) in zip(
        decoder.greedy(SOURCES), decoder.beam(SOURCES, 1), strict=True
    ):
        same(best, only)


@pytest.mark.parametrize(("penalty", "seed"), [(0.0, 0), (0.7, 1), (2.0, 2)])
def test_wide_beam_finds_the_best_of_all_translations(penalty, seed):
    model = make(seed=seed, target_size=7)
    source, longest = [4, 6, 5], 3
    every = [
        tokens
        for length in range(1, longest + 1)
        for tokens in itertools.product(range(END + 1, 7), repeat=length)
    ]
    log_probs, _ = forced(model, [source] * len(every), every)
    scores = {
        tokens: total(row, tokens) / (len(tokens) + 1) ** penalty
        for tokens, row in zip(every, log_probs, strict=True)
    }
    wanted = sorted(scores.values(), reverse=True)[:4]
    (found,) = Decoder(model).beam(
        [source], 40, longest, num_best=4, length_penalty=penalty
    )
    assert [h.score for h in found] == pytest.approx(wanted, abs=1e-4)
    for hypothesis in found:
        assert scores[hypothesis.tokens] == pytest.approx(
            hypothesis.score, abs=1e-4
        )


@pytest.mark.parametrize("beta", [0.3, 3.0])
def test_coverage_ranks_all_translations(beta):
    """Brute force, in a batch with a longer source: padding costs nothing."""
    model = make(seed=1, target_size=6)
    source, longest = [4, 6, 5], 3
    every = [
        tokens
        for length in range(1, longest + 1)
        for tokens in itertools.product(range(END + 1, 6), repeat=length)
    ]
    log_probs, weights = forced(model, [source] * len(every), every)
    scores = {}
    for tokens, row, paid in zip(every, log_probs, weights, strict=True):
        covered = paid[: len(tokens) + 1].sum(axis=0)
        scores[tokens] = total(row, tokens) / (len(tokens) + 1)
        scores[tokens] += beta * np.log(np.minimum(covered, 1)).sum()
    wanted = sorted(scores.values(), reverse=True)[:3]
    found, _ = Decoder(model).beam(
        [source, [4] * 7], 20, longest, num_best=3, coverage_penalty=beta
    )
    assert [h.score for h in found] == pytest.approx(wanted, abs=1e-4)
    for hypothesis in found:
        assert scores[hypothesis.tokens] == pytest.approx(
            hypothesis.score, abs=1e-4
        )


def test_coverage_needs_attention():
    with pytest.raises(ValueError, match="a model with attention"):
        Decoder(make(False)).beam([[4]], 2, coverage_penalty=0.1)


def test_low_temperature_is_greedy(decoder):
    for temperature in (1e-3, 1e-40):
        for best, drawn in zip(
            decoder.greedy(SOURCES, 6),
            decoder.sample(SOURCES, temperature, max_length=6),
            strict=True,
        ):
            same(best, drawn)


def test_high_temperature_is_uniform_and_the_seed_decides():
    decoder = Decoder(make(target_size=6))
    sources = [[4, 5]] * 600
    found = decoder.sample(sources, 1e6, seed=3, max_length=1)
    words = [hypothesis.tokens[0] for hypothesis in found]
    # Never END first; 4 and 5 equally often, to 4 standard deviations.
    assert set(words) == {4, 5}
    assert abs(words.count(4) - 300) < 50
    again = decoder.sample(sources[:40], 1e6, seed=3, max_length=1)
    assert [h.tokens[0] for h in again] == words[:40]
    other = decoder.sample(sources[:40], 1e6, seed=4, max_length=1)
    assert [h.tokens[0] for h in other] != words[:40]


def test_samples_follow_the_models_distribution():
    model = make(target_size=6, scale=2.0)
    source = [4, 5]
    found = Decoder(model).sample([source] * 600, 1.0, max_length=2)
    log_probs, _ = forced(model, [source], [[4]])
    first = np.exp(log_probs[0, 0, 4:])
    share = np.mean([h.tokens[0] == 4 for h in found])
    assert share == pytest.approx(first[0] / first.sum(), abs=0.09)
    for hypothesis in found[:5]:
        log_probs, weights = forced(model, [source], [hypothesis.tokens])
        log_prob = total(log_probs[0], hypothesis.tokens)
        assert hypothesis.log_prob == pytest.approx(log_prob, abs=1e-4)
        np.testing.assert_allclose(
            hypothesis.weights,
            weights[0, : len(hypothesis.tokens) + 1],
            atol=1e-5,
        )


def test_images_and_nested_states():
    decoder = Decoder(Viewer())
    images = np.random.default_rng(0).normal(size=(3, 4, 3))
    greedy = decoder.greedy(images, 5)
    for image, best, (only,) in zip(
        images, greedy, decoder.beam(list(images), 1, 5), strict=True
    ):
        same(best, only)
        (alone,) = decoder.greedy([image], 5)
        same(best, alone)
        assert best.weights.shape == (len(best.tokens) + 1, 4)
        np.testing.assert_allclose(best.weights.sum(axis=1), 1, atol=1e-5)
    for found in decoder.beam(images, 3, 5, 3, coverage_penalty=0.1):
        assert 1 <= len(found) <= 3
    with pytest.raises(ValueError, match="sources of one shape"):
        decoder.greedy([images[0], images[1, :2]])


def test_a_wider_beam_can_win_over_greedy():
    decoder = Decoder(make(seed=1))
    random = np.random.default_rng(0)
    sources = random.integers(4, 10, (30, 4)).tolist()
    narrow, wide = decoder.greedy(sources, 6), decoder.beam(sources, 8, 6)
    gains = [w.score - n.score for n, (w,) in zip(narrow, wide, strict=True)]
    assert max(gains) > 0.01


@pytest.mark.parametrize("beam_size", [1, 4])
def test_batch_equals_one_by_one(decoder, beam_size):
    together = decoder.beam(SOURCES, beam_size, 7, num_best=1)
    for source, found in zip(SOURCES, together, strict=True):
        (alone,) = decoder.beam([source], beam_size, 7)
        same(found[0], alone[0])


def test_order_and_batch_size_change_nothing(decoder, monkeypatch):
    many = SOURCES * 3
    wanted = decoder.greedy(many, 5)
    monkeypatch.setattr("attnlib.models.decoding._ROWS", 4)
    found = decoder.greedy(many[::-1], 5)[::-1]
    for first, second in zip(wanted, found, strict=True):
        same(first, second)


def test_early_ends_far_behind_do_not_stop_the_search():
    """A sure model: END is always the second best word, at e^-29."""
    model = make(target_size=6, end=-9.0)
    kernel, bias = model.output_layer.get_weights()
    bias[4:] = 20.0, -20.0
    model.output_layer.set_weights([0 * kernel, bias])
    (greedy,) = Decoder(model).greedy([[4, 5]], 12)
    ((best,),) = Decoder(model).beam([[4, 5]], 3, 12)
    assert best.tokens == greedy.tokens == (4,) * 12


def test_length_penalty_favours_longer_translations():
    decoder = Decoder(make(target_size=7))
    random = np.random.default_rng(0)
    sources = random.integers(4, 10, (12, 4)).tolist()

    def length(penalty):
        found = decoder.beam(sources, 20, 3, length_penalty=penalty)
        return np.mean([len(best.tokens) for (best,) in found])

    assert length(0.0) < length(3.0)


def test_best_are_sorted_and_differ(decoder):
    for found in decoder.beam(SOURCES, 5, 6, num_best=5):
        scores = [hypothesis.score for hypothesis in found]
        assert scores == sorted(scores, reverse=True)
        assert len({hypothesis.tokens for hypothesis in found}) == len(found)


@pytest.mark.parametrize("beam_size", [1, 3])
def test_never_empty_and_without_special_words(beam_size):
    # END is by far the likeliest word, at the start already.
    decoder = Decoder(make(end=50.0))
    for (best,) in decoder.beam(SOURCES, beam_size):
        assert len(best.tokens) == 1 and best.finished
        assert not {START, UNKNOWN, END, 0} & set(best.tokens)


@pytest.mark.parametrize("beam_size", [1, 3])
def test_stops_at_the_longest_length(beam_size):
    decoder = Decoder(make(end=-50.0))
    for source, (best,) in zip(
        SOURCES, decoder.beam(SOURCES, beam_size), strict=True
    ):
        assert len(best.tokens) == 2 * len(source) + 10
        assert not best.finished
    for (best,) in decoder.beam(SOURCES, beam_size, 1):
        assert len(best.tokens) == 1


def test_stops_early_when_all_have_ended(monkeypatch):
    decoder = Decoder(make(end=50.0))
    steps = []
    real = Decoder.step
    monkeypatch.setattr(Decoder, "step", lambda *a: steps.append(1) or real(*a))
    decoder.beam(SOURCES, 3, 30)
    assert len(steps) <= 3


def test_one_word_vocabulary():
    decoder = Decoder(make(target_size=5))
    for (best,) in decoder.beam(SOURCES, 4, 3):
        assert set(best.tokens) == {4}


def test_model_without_words_is_refused():
    with pytest.raises(ValueError, match="knows a target word"):
        Decoder(make(target_size=4))


@pytest.mark.parametrize("search", ["greedy", "sample", "beam"])
def test_sources_without_numbers_are_named(search):
    model = ShowAndTell(9, 4, 5)
    model.build((None, 3))
    source = np.array([np.nan, 0, 0], "float32")
    with pytest.raises(ValueError, match="Received: NaN"):
        getattr(Decoder(model), search)([source])


def test_no_sentences(decoder):
    assert decoder.greedy([]) == []


@pytest.mark.parametrize(
    ("sources", "options", "message"),
    [
        ([[4], []], {}, "at least one word.*empty sentence"),
        ([[4, 10]], {}, "ids from 1 to 9. Received: 10"),
        ([[4, 0, 5]], {}, "ids from 1 to 9. Received: 0"),
        ([[4]], {"beam_size": 0}, "beam_size to be an integer"),
        ([[4]], {"beam_size": 2.5}, "beam_size to be an integer"),
        ([[4]], {"max_length": 0}, "max_length to be an integer"),
        ([[4]], {"max_length": -3}, "max_length to be an integer"),
        ([[4]], {"num_best": 0}, "num_best to be an integer"),
        ([[4]], {"beam_size": 2, "num_best": 3}, "at most beam_size, 2"),
        ([[4.5]], {}, "word ids, integers. Received: .4.5"),
        (["45"], {}, "word ids, integers. Received: '45'"),
        ([[[4, 5]]], {}, "word ids, integers"),
        *(
            (
                [[4]],
                {name: value},
                f"{name} to be a number of at least 0. Received",
            )
            for name in ("length_penalty", "coverage_penalty")
            for value in (-1.0, float("nan"), float("inf"), "1", None)
        ),
    ],
)
def test_bad_input_gets_one_clear_error(decoder, sources, options, message):
    with pytest.raises(ValueError, match=message):
        decoder.beam(sources, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "temperature to be a positive number"),
        ({"temperature": -1.0}, "temperature to be a positive number"),
        ({"seed": -1}, "expected seed"),
        ({"max_length": 0}, "max_length to be an integer"),
    ],
)
def test_bad_sampling_gets_one_clear_error(decoder, options, message):
    with pytest.raises(ValueError, match=message):
        decoder.sample([[4]], **options)
