"""Handwriting: data, recipe and measures, on tiny sizes."""

import dataclasses

import keras
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from attnlib import datasets, profiles
from attnlib.datasets import strokes
from attnlib.models import handwriting, penmanship
from attnlib.models.handwriting import (
    HandwritingPrediction,
    HandwritingSynthesis,
    Pen,
)


@pytest.fixture(scope="module")
def tiny():
    return dataclasses.replace(
        profiles.load("08", "smoke"), examples=40, held_out=8, batch_size=20
    )


@pytest.fixture(scope="module")
def task(tiny):
    return penmanship.load_task(tiny)


@pytest.fixture(scope="module")
def trained(tiny, task):
    models = ("synthesis", "prediction-1-layer")
    return penmanship.train_all(dataclasses.replace(tiny, models=models), task)


@pytest.fixture(scope="module")
def looks(trained, task):
    return penmanship.look(trained["synthesis"].model, task)


def test_offsets_are_normalised_by_the_training_lines(task):
    ways = np.concatenate([line[1:, :2] for line in task.train["strokes"]])
    np.testing.assert_allclose(ways.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(ways.std(axis=0), 1, atol=1e-5)
    for split in ("train", "validation", "test"):
        for line in getattr(task, split)["strokes"]:
            assert line[0, :2].tolist() == [0, 0] and line.dtype == "float32"
    held_out = np.concatenate([x[1:, :2] for x in task.test["strokes"]])
    assert np.abs(held_out.mean(axis=0)).max() > 1e-4


def test_no_more_lines_are_read_than_there_are(trained, task):
    synthesis = trained["synthesis"].model
    assert len(penmanship.look(synthesis, task, count=3)) == 3
    assert len(penmanship.look(synthesis, task, count=99)) == 8


def test_noisy_weights_go_on_from_those_without_noise(tiny, task):
    plain = penmanship.train(tiny, task, "prediction")
    noisy = penmanship.train(tiny, task, "prediction-noise")
    assert isinstance(noisy.model, HandwritingPrediction)
    assert noisy.seconds > plain.seconds
    before, after = plain.model.get_weights(), noisy.model.get_weights()
    away = [np.abs(a - b).max() for a, b in zip(before, after, strict=True)]
    # An epoch of a few updates leaves them near, but nowhere the same.
    assert 0 < max(away) < 0.1
    assert "val_nll" in noisy.history and "weight_cost" in noisy.history
    assert np.isfinite(penmanship.evaluate(noisy.model, task)["nll"])
    again = penmanship.train(tiny, task, "prediction-noise")
    assert again.loaded
    for one, other in zip(after, again.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_points_are_those_of_the_data(task, tiny):
    raw = datasets.load("hershey", "test", count=8, most=tiny.characters)
    for line, given in zip(task.test["strokes"], raw["strokes"], strict=True):
        wanted = strokes.to_points(given)
        wanted[:, :2] -= wanted[0, :2]
        np.testing.assert_allclose(task.points(line), wanted, atol=1e-3)


def test_task_says_what_it_is(task):
    assert task.knows_letters and task.record["name"] == "hershey"
    assert "40 training lines, 8 test lines" in task.description
    assert task.encode(" az") == [1, 2, 27]


@pytest.mark.parametrize(
    "change", [{"examples": 41}, {"held_out": 9}, {"characters": 5}]
)
def test_digest_says_which_data(task, tiny, change):
    assert penmanship.load_task(tiny).digest == task.digest
    other = dataclasses.replace(tiny, **change)
    assert penmanship.load_task(other).digest != task.digest


def test_groups_are_lines_and_the_points_that_follow(task):
    found = penmanship.groups(task, "train", 3)
    rows = np.concatenate([rows for _, _, rows in found])
    assert sorted(rows) == list(range(40))
    steps = [x["strokes"].shape[1] for x, _, _ in found]
    assert steps == sorted(steps) and steps[0] < steps[-1]
    for x, y, rows in found:
        for place, row in enumerate(rows):
            line = task.train["strokes"][row]
            known = y[place, :, 2] != handwriting.PADDING
            assert (
                known.sum() == len(line) - 1 and not known[known.sum() :].any()
            )
            np.testing.assert_array_equal(y[place][known], line[1:])
            np.testing.assert_array_equal(x["strokes"][place][known], line[:-1])
            ids = x["text"][place]
            assert ids[ids > 0].tolist() == task.encode(task.train["text"][row])


def test_kinds(task, tiny):
    made = {
        kind: penmanship.build(tiny, task, kind, 10)
        for kind in ("synthesis", "prediction", "synthesis-1-layer")
    }
    assert isinstance(made["synthesis"], HandwritingSynthesis)
    assert isinstance(made["prediction"], HandwritingPrediction)
    assert not made["prediction"].reads_text
    assert [m.num_layers for m in made.values()] == [2, 2, 1]
    assert made["synthesis"].characters == 27
    for kind in ("writing", "synthesis-2-layer"):
        with pytest.raises(ValueError, match=f"Received: '{kind}'"):
            penmanship.build(tiny, task, kind, 10)


def test_trained_networks_are_kept(trained, tiny, task):
    assert list(trained) == ["synthesis", "prediction-1-layer"]
    for training in trained.values():
        for key in ("val_nll", "val_nll_point", "val_sse"):
            assert np.isfinite(training.history[key]).all()
    again = penmanship.train(tiny, task, "synthesis")
    assert again.loaded


def test_evaluate_is_the_mean_over_lines_and_points(trained, task):
    model = trained["synthesis"].model
    ((x, y, rows),) = penmanship.groups(task, "test", 1)
    outputs = model.force(x)["outputs"]
    nats = -keras.ops.convert_to_numpy(handwriting.log_prob(outputs, y))
    error = keras.ops.convert_to_numpy(handwriting.squared_error(outputs, y))
    mask = y[..., 2] != handwriting.PADDING
    for buckets in (1, 3):
        found = penmanship.evaluate(model, task, buckets=buckets)
        assert found["nll"] == pytest.approx(
            (nats * mask).sum() / len(rows), rel=1e-4
        )
        assert found["nll_point"] == pytest.approx(nats[mask].mean(), rel=1e-4)
        assert found["sse"] == pytest.approx(error[mask].mean(), rel=1e-4)


def test_look_returns_lines_in_their_order(looks, trained, task):
    assert len(looks) == 8
    for seen, line, text in zip(
        looks, task.test["strokes"], task.test["text"], strict=True
    ):
        assert seen["phi"].shape == (len(line) - 1, len(text))
        assert len(seen["kappa"]) == len(seen["outputs"]) == len(line) - 1
    few = penmanship.look(trained["synthesis"].model, task, count=3)
    assert len(few) == 3
    np.testing.assert_allclose(few[2]["phi"], looks[2]["phi"], atol=1e-5)


def test_any_lines_are_looked_at_in_chunks(trained, task, looks, monkeypatch):
    model, rows = trained["synthesis"].model, [6, 1, 4]
    longest = max(len(task.test["strokes"][row]) for row in rows)
    monkeypatch.setattr(penmanship, "_AT_ONCE", longest)
    read = []
    force = model.force

    def watched(x):
        read.append(len(x["text"]))
        return force(x)

    monkeypatch.setattr(model, "force", watched)
    few = penmanship.look(model, task, rows=rows)
    assert read == [1, 1, 1]
    for row, seen in zip(rows, few, strict=True):
        for key, value in seen.items():
            np.testing.assert_allclose(value, looks[row][key], atol=1e-4)
    assert penmanship.look(model, task, rows=[]) == []
    with pytest.raises(ValueError, match=r"from 0 to 7. Received: \[8, -1\]"):
        penmanship.look(model, task, rows=[0, 8, -1])


def test_one_gaussian_is_what_its_formula_says(task):
    found = penmanship.one_gaussian(task)
    known, points = (
        np.concatenate([line[1:] for line in part["strokes"]])
        for part in (task.train, task.test)
    )
    normal = multivariate_normal(
        known[:, :2].mean(axis=0), np.cov(known[:, :2].T, bias=True)
    )
    lifted = known[:, 2].mean()
    nats = -normal.logpdf(points[:, :2])
    nats -= np.log(np.where(points[:, 2] == 1, lifted, 1 - lifted))
    assert found["nll_point"] == pytest.approx(nats.mean(), rel=1e-5)
    assert found["nll"] == pytest.approx(nats.sum() / 8, rel=1e-5)
    # Of the training lines' own points it is the variance, 2 in all.
    own = penmanship.one_gaussian(task, "train")
    assert own["sse"] == pytest.approx(2, rel=1e-4)


def test_on_the_letter(task):
    seen = []
    for letters, text in zip(
        task.test["letters"], task.test["text"], strict=True
    ):
        seen.append({"phi": 0.1 + np.eye(len(text))[letters[1:]]})
    assert penmanship.on_the_letter(seen, task) == 1
    points = sum(len(one["phi"]) for one in seen)
    # Two points wrong: the peak of one is elsewhere, another's, too.
    for row in (0, 5):
        seen[row]["phi"][0] = np.roll(seen[row]["phi"][0], 1)
    found = penmanship.on_the_letter(seen, task)
    assert found == pytest.approx(1 - 2 / points)


def test_moves_forward(looks):
    assert penmanship.moves_forward(looks)
    back = [{"kappa": np.array([[1.0, 2.0], [1.5, 1.9]])}]
    assert not penmanship.moves_forward(back)


def test_bias_lowers_the_variance_as_the_formula_says():
    # One Gaussian in effect: weights do not matter, scales fall as exp(-b).
    output = np.zeros((50, 7), "float32")
    output[:, 4:6] = np.log([2.0, 0.5])
    found = penmanship.bias_variances(
        [{"outputs": output}], (0, 1, 2), draws=200
    )
    np.testing.assert_allclose(
        found, 4.25 * np.exp([0, -2, -4]) * 199 / 200, rtol=0.05
    )


def test_density_is_one_and_lies_where_it_should(task):
    line = np.zeros((2, 3), "float32")
    output = np.zeros((1, 13), "float32")  # two components
    output[0, 1:3] = [0.2, -0.3]
    output[0, 3:5] = [1.0, -1.0]  # x
    output[0, 5:7] = [0.5, 1.5]  # y
    output[0, 7:11] = -1.0
    output[0, 11:13] = [0.6, -0.4]
    found = penmanship.density(output, task, line, size=0.1, margin=30.0)
    mass = np.exp(found["log_density"])
    assert mass.sum() * 0.01 == pytest.approx(1, abs=0.01)
    left, right, bottom, top = found["extent"]
    assert right - left == pytest.approx(0.1 * mass.shape[1])
    assert bottom - top == pytest.approx(0.1 * mass.shape[0])
    weights = np.exp([0.2, -0.3]) / np.exp([0.2, -0.3]).sum()
    xs = left + 0.1 * np.arange(mass.shape[1])
    mean = (mass.sum(axis=0) * xs).sum() / mass.sum()
    wanted = task.mean[0] + task.scale[0] * (weights @ [1, -1])
    assert mean == pytest.approx(wanted, abs=0.05)
    assert found["ends"] == pytest.approx([0.5])
    np.testing.assert_allclose(found["weights"], [weights], rtol=1e-5)


def test_typed_texts(task):
    assert penmanship.read_text(task, "Hello You") == "hello you"
    for text, message in (
        ("", "at least one letter"),
        ("  ", "at least one letter"),
        (None, "at least one letter"),
        ("año 7", "'7', 'ñ'"),
    ):
        with pytest.raises(ValueError, match=message):
            penmanship.read_text(task, text)


def test_unknown_characters_are_named(task):
    with pytest.raises(
        ValueError, match="expected characters of .*'§' in 'a§'"
    ):
        task.encode("a§")
    assert task.encode("") == []


def test_only_a_list_of_texts_and_a_network_that_reads_can_write(trained, task):
    pen = Pen(trained["synthesis"].model)
    for texts, received in (([], r"\[\]"), ("attention", "'attention'")):
        message = f"a list of at least one text. Received: {received}"
        with pytest.raises(ValueError, match=message):
            penmanship.write(pen, task, texts)
    blind = trained["prediction-1-layer"].model
    message = "expected a HandwritingSynthesis.*a HandwritingPrediction"
    with pytest.raises(ValueError, match=message):
        penmanship.write(Pen(blind), task, ["ab"])
    with pytest.raises(ValueError, match=message):
        penmanship.look(blind, task)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("strokes", np.full((4, 3), np.nan, "float32"), "finite numbers.*"),
        ("text", "§", "'§' in '§'.*"),
        ("text", "", "at least one letter.*"),
    ],
)
def test_bad_lines_are_named(trained, task, key, value, message):
    column = list(task.test[key])
    column[3] = value
    bad = dataclasses.replace(task, test={**task.test, key: column})
    model = trained["synthesis"].model
    for use in (penmanship.evaluate, penmanship.look):
        with pytest.raises(ValueError, match=f"{message}, in line 3 of test"):
            use(model, bad)


def test_steps_grow_with_the_text(task):
    short, long = (penmanship.steps_for(task, "a" * n) for n in (2, 30))
    assert short % 64 == long % 64 == 0 and short < long
    # The first known point is no step of the network.
    assert (penmanship.steps_for(task, "aa", known=11) + 10) % 64 == 0
    each = sum(map(len, task.train["strokes"])) / sum(
        map(len, task.train["text"])
    )
    assert long >= 2 * 30 * each


def test_a_text_is_written_at_places(trained, task):
    pen = Pen(trained["synthesis"].model)
    found = penmanship.write(pen, task, ["ab", "Ba a"], bias=1.0, seed=2)
    assert len(found) == 2
    for line, size in zip(found, (2, 4), strict=True):
        assert line["phi"].shape[1] == size and line["known"] == 0
        assert len(line["points"]) == len(line["strokes"]) + 1
        assert np.isfinite(line["points"]).all()
        steps = np.diff(line["points"][:, :2], axis=0)
        np.testing.assert_allclose(
            steps, line["strokes"][:, :2] * task.scale + task.mean, atol=1e-4
        )


def test_a_line_is_imitated(trained, task):
    pen = Pen(trained["synthesis"].model)
    like = task.test["strokes"][1], task.test["text"][1]
    (line,) = penmanship.write(pen, task, ["ab"], seed=2, like=like)
    assert line["known"] == len(like[0])
    np.testing.assert_allclose(
        line["points"][: line["known"]], task.points(like[0]), atol=1e-4
    )
    assert len(line["points"]) == line["known"] + len(line["strokes"])
    for bad, message in (
        ((np.full((4, 3), np.nan), "ab"), "finite numbers"),
        ((like[0], "a7"), "'7'"),
    ):
        with pytest.raises(ValueError, match=message):
            penmanship.write(pen, task, ["ab"], like=bad)


def test_rare_characters_of_real_texts_are_one():
    alphabet = penmanship._alphabet(["ab" * 60, "c" * 49])
    assert alphabet == "ab" + penmanship.RARE
    assert penmanship._known("abc", alphabet) == "ab" + penmanship.RARE


def test_real_lines_have_an_alphabet_of_their_own(monkeypatch, tiny):
    random = np.random.default_rng(0)
    asked = []

    def load(name, split, **options):
        asked.append((name, split, options))
        line = np.zeros((9, 3), "float32")
        line[1:, :2], line[-1, 2] = random.normal(size=(8, 2)), 1
        return {"strokes": [line] * 60, "text": ["A b§"] + ["A b"] * 59}

    monkeypatch.setattr(datasets, "load", load)
    monkeypatch.setattr(datasets, "digest", lambda name, **options: "0")
    settings = dataclasses.replace(tiny, dataset="iam_ondb", points=9)
    task = penmanship.load_task(settings)
    assert asked[0] == ("iam_ondb", "train", {"longest": 9})
    # Lines that are not learned all count, however long.
    assert asked[1:] == [("iam_ondb", s, {}) for s in ("validation", "test")]
    assert "60 training lines of up to 9 points" in task.description
    assert task.alphabet == " Ab" + penmanship.RARE
    assert task.train["text"][:2] == ["A b" + penmanship.RARE, "A b"]
    assert not task.knows_letters
    # Capitals stay what they are, and the mark of rare ones is not typed.
    assert penmanship.read_text(task, "bA") == "bA"
    for text in ("ab", "A" + penmanship.RARE):
        with pytest.raises(ValueError, match="expected characters of ' Ab'"):
            penmanship.read_text(task, text)
    # A line with a rare character may be imitated all the same.
    pen = Pen(penmanship.build(tiny, task, "synthesis", 1))
    like = task.train["strokes"][0], task.train["text"][0]
    (found,) = penmanship.write(pen, task, ["A"], like=like)
    assert found["known"] == 9
