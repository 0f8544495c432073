"""The experiment with questions: data, recipe and measures, on tiny sizes."""

import dataclasses

import numpy as np
import pytest
from keras import ops
from numerics import to_numpy

from attnlib import profiles, text
from attnlib.models import answering, question_layers


@pytest.fixture(autouse=True)
def _cache(monkeypatch, tmp_path):
    monkeypatch.setenv("ATTNLIB_CACHE", str(tmp_path))


@pytest.fixture(scope="module")
def tiny():
    return profiles.QuestionAnswering(
        *("11", "smoke", 0, None),
        scenes=12,
        position_scenes=12,
        choice_scenes=8,
        held_out=6,
        filters=4,
        names=64,
        named_epochs=1,
        units=8,
        attention_units=8,
        epochs=1,
        blind_epochs=1,
        position_epochs=1,
        choice_epochs=1,
        batch_size=16,
    )


@pytest.fixture(scope="module")
def namer(tiny):
    model = answering.DigitNamer(tiny.filters)
    model.build((None, 32, 32, 3))
    return model


@pytest.fixture(scope="module")
def task(tiny, namer):
    return answering.load_task(tiny, "mixed", namer)


@pytest.fixture(scope="module")
def telling(tiny, namer):
    return answering.load_task(tiny, "telling", namer)


@pytest.fixture(scope="module")
def pointing(tiny, namer):
    return answering.load_task(tiny, "pointing", namer)


@pytest.fixture(scope="module")
def san(tiny, task):
    return answering.build(tiny, task, "san-2", 10)


def test_the_encoder_learns_names_and_is_cached(tiny):
    run = answering.train_encoder(tiny)
    assert set(run.history) >= {"loss", "val_digit", "val_colour"}
    again = answering.train_encoder(tiny)
    assert again.loaded
    for one, other in zip(
        run.model.get_weights(), again.model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_windows_hold_their_digit():
    images = np.zeros((3, 56, 56, 3), np.uint8)
    boxes = np.array([[1, 1, 12, 20], [40, 30, 12, 20], [22, 34, 12, 20]])
    for image, (x, y, w, h) in zip(images, boxes, strict=True):
        image[y : y + h, x : x + w] = 255
    for seed in range(5):
        found = answering._windows(images, boxes, np.random.default_rng(seed))
        assert found.shape == (3, 32, 32, 3) and found.dtype == np.float32
        # All of the ink, wherever the window is.
        np.testing.assert_allclose(found.sum(axis=(1, 2, 3)), 3 * 240)


def test_a_task_has_what_models_see(task, tiny):
    for part in (task.train, task.validation, task.test):
        assert part["seen"].shape == (len(part["images"]), 4, 4, 16)
    # A cell's features are twice as long as its coordinates, on average.
    where = to_numpy(question_layers.locate(task.train["seen"]))[..., -2:]
    lengths = np.square(task.train["seen"]).sum(axis=-1)
    assert lengths.mean() == pytest.approx(10, rel=1e-3)
    assert np.square(where).sum(axis=-1).mean() == pytest.approx(2.5)
    assert task.knows_boxes and task.size == (64, 64)
    assert set(task.answers) == set(task.train["answer"])
    assert task.record["name"] == "question_scenes"
    assert f"{len(task.train['question'])} training" in task.description


def test_positions_have_a_finer_grid(tiny, namer):
    """Cells of a coarser one are means of its cells, but for the scale."""
    fine = answering.load_task(tiny, "absolute", namer)
    assert fine.grid == (8, 8) and fine.test["seen"].shape[1:3] == (8, 8)
    images = fine.test["images"]
    coarse, fine = (
        answering._look(answering._encoder(tiny, (64, 64), namer, n), images)
        for n in (4, 8)
    )
    mean = fine.reshape(len(images), 4, 2, 4, 2, -1).mean(axis=(2, 4))
    np.testing.assert_allclose(coarse, mean, atol=1e-5)
    with pytest.raises(ValueError, match="a grid that divides 8, .*: 3"):
        answering._encoder(tiny, (64, 64), namer, 3)


def test_the_rate_ends_as_the_profile_says(tiny, task):
    rates = {}
    for name in answering.SCHEDULES:
        settings = dataclasses.replace(tiny, schedule=name)
        optimizer = answering.build(settings, task, "ibowimg", 100).optimizer
        schedule = optimizer._learning_rate
        rates[name] = [float(schedule(step)) for step in (50, 79, 99)]
    steady, cosine = (rates[name] for name in ("steady", "cosine"))
    assert steady[0] == steady[1] == pytest.approx(tiny.learning_rate)
    assert steady[2] == pytest.approx(tiny.learning_rate / 16)
    assert cosine[0] > cosine[1] > cosine[2]
    with pytest.raises(ValueError, match="schedule"):
        answering._optimizer(dataclasses.replace(tiny, schedule="warm"), 9)


def test_a_digest_says_which_data_and_which_encoder(task, tiny, namer):
    assert answering.load_task(tiny, "mixed", namer).digest == task.digest
    more = dataclasses.replace(tiny, scenes=13)
    assert answering.load_task(more, "mixed", namer).digest != task.digest
    other = answering.DigitNamer(tiny.filters)
    other.build((None, 32, 32, 3))
    assert answering.load_task(tiny, "mixed", other).digest != task.digest


def test_the_named_encoder_has_to_be_given(tiny):
    with pytest.raises(ValueError, match="namer=train_encoder"):
        answering.load_task(tiny, "mixed")
    with pytest.raises(ValueError, match="encoder"):
        answering.load_task(dataclasses.replace(tiny, encoder="vgg"), "mixed")


def test_groups_are_ids_and_answers(task):
    x, y = answering.groups(task, "train")
    data = task.train
    assert x["question"].shape == (len(data["question"]), task.longest)
    for row in (0, len(y) - 1):
        assert task.answers[y[row]] == data["answer"][row]
        words = task.vocabulary.decode(x["question"][row])
        assert words == data["question"][row]


def test_what_was_never_an_answer_counts_as_wrong(task, san):
    test = {**task.test, "answer": ["never"] * len(task.test["answer"])}
    unheard = dataclasses.replace(task, test=test)
    assert (answering.groups(unheard, "test")[1] == -1).all()
    assert not answering.answer(san, unheard)["right"].any()


def test_telling_teaches_the_answer_alone(telling):
    x, y = answering.groups(telling, "train")
    data = telling.train
    for row in range(5):
        asked = telling.vocabulary.encode(data["question"][row])
        told = telling.vocabulary.encode(data["answer"][row])
        size = len(asked) + 1 + len(told)
        assert x["question"][row, :size].tolist() == [*asked, text.END, *told]
        assert y[row, : len(asked)].tolist() == [0] * len(asked)
        assert y[row, len(asked) : size].tolist() == [*told, text.END]
        assert not y[row, size:].any()


def test_regions_are_shares_of_cells(pointing):
    x, y = answering.groups(pointing, "test")
    np.testing.assert_allclose(x["regions"].sum(axis=-1), 1, atol=1e-5)
    assert x["regions"].shape[1:] == (4, 16)
    np.testing.assert_array_equal(y, pointing.test["choice"])


@pytest.mark.parametrize("kind", answering.KINDS)
def test_every_kind_answers(tiny, task, kind):
    model = answering.build(tiny, task, kind, 10)
    found = answering.answer(model, task)
    count = len(task.test["question"])
    assert found["scores"].shape == (count, len(task.answers))
    np.testing.assert_allclose(np.exp(found["scores"]).sum(1), 1, atol=1e-4)
    assert found["right"].shape == (count,)
    assert found["weights"].shape[::2] == (count, 16)


def test_kinds_fit_their_task(tiny, task, pointing):
    with pytest.raises(ValueError, match="kind"):
        answering.build(tiny, task, "san-3", 10)
    with pytest.raises(ValueError, match="kind"):
        answering.build(tiny, pointing, "san-2", 10)


def test_some_rows_are_those_of_all(san, task):
    rows = np.array([3, 0, 7])
    every = answering.answer(san, task)
    some = answering.answer(san, task, rows=rows)
    for name in every:
        np.testing.assert_allclose(some[name], every[name][rows], atol=1e-5)


def test_telling_scores_are_log_likelihoods(tiny, telling):
    model = answering.build(tiny, telling, "lstm-att", 10)
    rows = np.arange(3)
    scores = answering.answer(model, telling, rows=rows)["scores"]
    data = telling.test
    for row in rows:
        for place, told in enumerate(data["choices"][row]):
            ids = telling.vocabulary.encode(data["question"][row])
            answer = [*telling.vocabulary.encode(told), text.END]
            words = [*ids, text.END, *answer[:-1]]
            inputs = {
                "image": data["seen"][data["image"][row]][None],
                "question": np.array([words]),
            }
            logits = ops.convert_to_numpy(model.force(inputs)["logits"])[0]
            logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
            wanted = sum(
                logs[len(ids) + i, word] for i, word in enumerate(answer)
            )
            np.testing.assert_allclose(scores[row, place], wanted, atol=1e-4)


def test_training_is_cached(tiny, task, pointing):
    for about, kind in ((task, "smem-1"), (pointing, "lstm-att")):
        run = answering.train_all(tiny, about, (kind,))[kind]
        assert 0 <= run.history["val_accuracy"][-1] <= 1
        assert answering.train(tiny, about, kind).loaded


def test_an_encoder_may_be_trained_with_the_rest(tiny):
    joint = dataclasses.replace(tiny, encoder="joint", scenes=4)
    task = answering.load_task(joint, "absolute")
    assert task.train["seen"].dtype == np.uint8
    model = answering.build(joint, task, "smem-1", 10)
    assert model.encoder.trainable
    found = answering.answer(model, task)
    assert found["weights"].shape[1:] == (1, 64)


def test_accuracy_counts_kinds_and_hops(task):
    right = np.array([kind == "colour" for kind in task.test["kind"]])
    found = answering.accuracy(task, right)
    assert found["colour"] == 100 and found["digit"] == 0
    assert found["all"] == pytest.approx(100 * right.mean())
    assert 0 < found["1 hop"] < 100 and found["2 hops"] == 0


def test_the_most_frequent_answer_depends_on_the_kind(task):
    right = answering.most_frequent(task)
    kinds = np.array(task.test["kind"])
    for kind in set(kinds):
        told = np.array(task.test["answer"])[kinds == kind]
        assert len(set(told[right[kinds == kind]])) <= 1


def test_attention_on_the_object_is_all_and_elsewhere_none(task):
    boxes = task.test["box"]
    weights = np.zeros((len(boxes), 2, 16))
    there = ~np.isnan(boxes).any(axis=(1, 2))
    x, y = (boxes[:, 0, i] + boxes[:, 0, i + 2] / 2 for i in (0, 1))
    for row in np.flatnonzero(there):
        weights[row, 0, 4 * int(y[row] // 16) + int(x[row] // 16)] = 1
    found = answering.attention_mass(task, weights)
    np.testing.assert_array_equal(found["rows"], np.flatnonzero(there))
    np.testing.assert_allclose(found["mass"][:, 0, 0], 1)
    np.testing.assert_allclose(found["mass"][:, 1], 0)
    assert (found["inside"] <= found["mass"] + 1e-9).all()
    uniform = np.full((len(boxes), 1, 16), 1 / 16)
    found = answering.attention_mass(task, uniform)
    np.testing.assert_allclose(found["mass"][:, 0], found["chance"])


def test_questions_are_read_or_refused(task):
    question = task.train["question"][0]
    assert answering.read_question(task, f" {question.upper()}? ") == question
    for bad, message in (
        ("", "at least one word"),
        ("?!", "at least one word"),
        (7, "as a text. Received: int"),
        ("what colour is the sevn", "Did you mean 'seven'"),
        ("zebra", "Received: 'zebra'"),
        (" ".join(["the"] * 40), "at most"),
    ):
        with pytest.raises(ValueError, match=message):
            answering.read_question(task, bad)


def test_questions_with_rare_words_are_not_askable(task):
    first, second = task.test["question"][:2]
    lines = [first, f"{first} zebra", "?", "the " * 40, second]
    few = dataclasses.replace(task, test={**task.test, "question": lines})
    assert answering.askable(few).tolist() == [0, 4]
    everything = answering.askable(task, "train")
    assert everything.tolist() == list(range(len(task.train["question"])))


def test_answers_outside_of_the_vocabulary_are_refused(task):
    assert task.answers[answering.read_answer(task, "red")] == "red"
    with pytest.raises(ValueError, match="Did you mean 'red'"):
        answering.read_answer(task, "redd")


def test_ask_answers_typed_questions(san, task):
    row = 3
    question = task.test["question"][row]
    image = task.test["images"][task.test["image"][row]]
    found = answering.ask(san, task, image, question.upper() + "?")
    every = answering.answer(san, task, rows=np.array([row]))
    np.testing.assert_allclose(
        found["probabilities"], np.exp(every["scores"][0]), atol=1e-5
    )
    np.testing.assert_allclose(found["weights"], every["weights"][0], atol=1e-5)
    assert found["answers"] == task.answers
    for bad in (image[:50], image / 255):
        with pytest.raises(ValueError, match="image of bytes of shape"):
            answering.ask(san, task, bad, question)
