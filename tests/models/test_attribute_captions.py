"""The experiment with attributes: words, noise, recipe, on tiny sizes."""

import dataclasses

import numpy as np
import pytest

from attnlib import profiles
from attnlib.models import attribute_captions, captions
from attnlib.models.attribute_captions import Attributes, Reading
from attnlib.models.decoding import Decoder


@pytest.fixture(autouse=True)
def _headless(monkeypatch, tmp_path):
    monkeypatch.setenv("ATTNLIB_HEADLESS", "1")
    monkeypatch.setenv("ATTNLIB_CACHE", str(tmp_path))


@pytest.fixture(scope="module")
def tiny():
    return profiles.SemanticAttention(
        *("15", "smoke", 0, None),
        examples=40,
        held_out=8,
        filters=4,
        embedding_size=8,
        units=8,
        detector_units=8,
        detector_epochs=1,
        batch_size=16,
        detector_batch=16,
        buckets=1,
        epochs=1,
    )


@pytest.fixture(scope="module")
def task(tiny):
    return captions.load_task(tiny)


@pytest.fixture(scope="module")
def words(tiny, task):
    return attribute_captions.choose_attributes(task, tiny.attribute_words)


@pytest.fixture(scope="module")
def seen(tiny, task, words):
    model = attribute_captions.build_detector(tiny, task, words, 10)
    return attribute_captions.look_at(model, task)


def test_attributes_are_the_words_of_an_images_captions(task, words):
    assert not set(words.words) & attribute_captions.UNSEEN_WORDS
    assert {"red", "seven", "left", "upper", "above"} <= set(words.words)
    for i, lines in enumerate(task.test["captions"]):
        said = {word for line in lines for word in line.split()}
        assert set(words.names(words.test[i])) == said & set(words.words)
    assert [task.vocabulary.piece(i) for i in words.ids] == list(words.words)
    counts = words.train.sum(axis=0)
    assert (np.diff(counts) <= 0).all()
    few = attribute_captions.choose_attributes(task, 5)
    assert few.words == words.words[:5] and few.test.shape == (8, 5)


def test_strengths_are_names_and_back(words):
    row = words.strengths(["seven", "red"])
    assert set(words.names(row)) == {"seven", "red"} and row.sum() == 2
    assert words.names([0.2, 0, 0.9]) == [words.words[2], words.words[0]]
    with pytest.raises(ValueError, match="among .*red.* Received: 'cat'"):
        words.strengths(["cat"])


def test_captions_of_function_words_alone_are_an_error(task):
    lines = {"captions": [["there is a"]]}
    bare = dataclasses.replace(task, train=lines, validation=lines, test=lines)
    with pytest.raises(ValueError, match="words that can be seen"):
        attribute_captions.choose_attributes(bare, 5)
    with pytest.raises(ValueError, match="most"):
        attribute_captions.choose_attributes(task, 0)


def test_the_likeliest_are_chosen_and_never_none():
    chances = [[0.9, 0.6, 0.8, 0.1], [0.0, 0.0, 0.0, 0.0], [0.2, 0.4, 0, 0]]
    found = attribute_captions.likeliest(chances, 2)
    assert ((found > 0) == [[1, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0]]).all()
    found = attribute_captions.likeliest(chances, 3, least=0.0)
    assert (found > 0).sum(axis=1).tolist() == [3, 3, 3]


def test_truth_fits_into_the_places(words, seen):
    for most in (2, 8):
        true = attribute_captions.truth(words, seen, "test", most)
        count = np.minimum(words.test.sum(axis=1), most)
        assert (true.sum(axis=1) == count).all()
        assert (true <= words.test).all()
    none = dataclasses.replace(words, test=0 * words.test)
    found = attribute_captions.truth(none, seen, "test", 8)
    assert (found.sum(axis=1) >= 1).all()


@pytest.mark.parametrize(
    ("recall", "precision"), [(1, 1), (0.5, 1), (1, 0.5), (0.6, 0.75)]
)
def test_corrupted_attributes_have_the_shares(recall, precision):
    true = np.zeros((4000, 25))
    true[:, :4] = 1
    found = attribute_captions.corrupt(true, recall, precision, 25)
    shares = attribute_captions.precision_recall(true, found)
    assert shares["recall"] == pytest.approx(100 * recall, abs=3)
    assert shares["precision"] == pytest.approx(100 * precision, abs=3)
    assert found.any(axis=1).all() and set(np.unique(found)) <= {0, 1}
    few = attribute_captions.corrupt(true, recall, precision, 5)
    assert few.sum(axis=1).max() <= 5


def test_less_recall_takes_from_what_is_left():
    true = (np.random.default_rng(1).random((50, 9)) < 0.4).astype("f4")
    true[:, 0] = 1
    more, less = (
        attribute_captions.corrupt(true, recall, 1, 9, seed=3)
        for recall in (0.8, 0.4)
    )
    assert (less <= more).all() and (more <= true).all()
    again = attribute_captions.corrupt(true, 0.4, 1, 9, seed=3)
    np.testing.assert_array_equal(again, less)
    empty = attribute_captions.corrupt(np.zeros((3, 9)), 1, 1, 9)
    assert (empty.sum(axis=1) == 1).all()
    for recall, precision in ((0, 1), (1, 1.5), (float("nan"), 1)):
        with pytest.raises(ValueError, match=r"in \(0, 1\]. Received"):
            attribute_captions.corrupt(true, recall, precision, 9)
    with pytest.raises(ValueError, match="at most 2 words.*`truth`"):
        attribute_captions.corrupt(np.ones((1, 9)), 1, 1, 2)


def test_detection_is_measured_word_by_word():
    labels = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0]], "float32")
    words = Attributes(("a", "b", "c"), (4, 5, 6), labels, labels, labels)
    chances = np.array([[0.9, 0.6, 0.1], [0.8, 0.9, 0.2], [0.1, 0.4, 0.1]])
    found = attribute_captions.detection(words, chances)
    assert set(found) == {"a", "b"}
    assert set(found["a"].values()) == {100}
    assert found["b"]["precision"] == 50 and found["b"]["recall"] == 50
    assert found["b"]["average_precision"] == pytest.approx(100 * 5 / 6)


def test_trains_reads_and_follows(tiny, task, words):
    detector = attribute_captions.train_detector(tiny, task, words)
    assert set(detector.history) >= {"loss", "val_precision", "val_recall"}
    assert attribute_captions.train_detector(tiny, task, words).loaded
    seen = attribute_captions.look_at(detector.model, task)
    features = seen["train"]["features"]
    np.testing.assert_allclose(features.mean(axis=0), 0, atol=1e-3)
    maps = attribute_captions.cell_map(detector.model, task.test["images"][0])
    assert maps.shape == (7, 7, len(words.words))
    assert 0 <= maps.min() <= maps.max() <= 1

    def run(kind):
        return attribute_captions.train(tiny, task, words, detector, seen, kind)

    trained = run("both")
    assert not trained.loaded and run("both").loaded
    chosen = attribute_captions.strengths(tiny, words, seen, "both", "test")
    read = attribute_captions.sources(seen, "test", chosen)
    lines = captions.describe(task, Decoder(trained.model).greedy(read, 5))
    readings = attribute_captions.follow(trained.model, task, read, lines)
    for i, (one, line) in enumerate(zip(readings, lines, strict=True)):
        assert one.words == (*line.split(), "(end)")
        assert set(one.attributes) == set(words.names(chosen[i]))
        shape = (len(one.words), len(one.attributes))
        assert one.alpha.shape == one.beta.shape == shape
        np.testing.assert_allclose(one.beta.sum(axis=1), 1, atol=1e-5)
    assert set(attribute_captions.spread(readings)) == {"alpha", "beta"}
    with pytest.raises(ValueError, match="one of .'none'.*Received: 'all'"):
        run("all")


def test_kinds_differ_in_what_they_say(tiny, task, words):
    models = {
        kind: attribute_captions.build(tiny, task, words, kind, 40, 10)
        for kind in attribute_captions.KINDS
    }
    assert models["both"].penalty_weight == tiny.attribute_penalty > 0
    assert models["both-no-penalty"].penalty_weight == 0
    assert models["both-uniform"].uniform and not models["both"].uniform
    assert {models[k].attention for k in ("none", "input", "output")} == {
        "none",
        "input",
        "output",
    }
    sizes = {kind: models[kind].count_params() for kind in models}
    assert sizes["none"] < sizes["input"] < sizes["both"]
    assert sizes["both-true"] == sizes["both-uniform"] == sizes["both"]


def test_true_attributes_are_read_where_the_name_says_so(tiny, words, seen):
    def read(kind):
        found = attribute_captions.strengths(tiny, words, seen, kind, "test")
        return found > 0

    np.testing.assert_array_equal(read("both-true"), words.test > 0)
    chances = seen["test"]["probabilities"]
    best = chances == chances.max(axis=1, keepdims=True)
    assert not (read("both") & (chances < 0.5) & ~best).any()


def reading(beta):
    words, attributes = ("a", "red", "six", "(end)"), ("six", "red", "left")
    beta = np.array(beta, "float32")
    return Reading(words, attributes, np.full_like(beta, 1 / 3), beta)


def test_agreement_counts_words_that_are_attributes():
    even = [1 / 3] * 3
    one = reading([even, [0, 1, 0], [0.1, 0.2, 0.7], even])
    found = attribute_captions.agreement([one, one])
    assert found["words"] == 4 and found["beta"] == 50
    assert found["chance"] == pytest.approx(100 / 3)
    spread = attribute_captions.spread([one])
    assert spread["alpha"] == pytest.approx(np.log(3), rel=1e-4)
    assert 0 < spread["beta"] < spread["alpha"]
    none = dataclasses.replace(one, attributes=("two", "blue", "left"))
    with pytest.raises(ValueError, match="Received: none. Train longer"):
        attribute_captions.agreement([none])


def test_notebook_04_s_decoder_is_trained_as_there(
    tiny, task, words, monkeypatch
):
    asked = []
    monkeypatch.setattr(
        captions, "train", lambda *given: asked.append(given[2])
    )
    attribute_captions.train(tiny, task, words, None, None, "soft")
    assert asked == ["soft"]
    own, other = (profiles.load(n, "paper") for n in ("15", "04"))
    shared = {f.name for f in dataclasses.fields(other)} - {
        "notebook",
        "models",
    }
    assert all(getattr(own, n) == getattr(other, n) for n in shared)
