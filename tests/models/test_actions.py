"""The experiment with actions: data, recipe and measures, on tiny sizes."""

import dataclasses

import numpy as np
import pytest

from attnlib import datasets, profiles
from attnlib.datasets import moving_digits
from attnlib.models import actions
from attnlib.models.action_recognition import (
    AttentionRecogniser,
    CubeRegression,
)


@pytest.fixture(scope="module")
def tiny():
    settings = profiles.load("12", "smoke")
    return dataclasses.replace(
        settings, examples=24, held_out=10, stills=64, batch_size=8
    )


@pytest.fixture(scope="module")
def task(tiny):
    return actions.load_task(tiny)


@pytest.fixture(scope="module")
def trained(tiny, task):
    models = ("regression", "attention-10")
    return actions.train_all(dataclasses.replace(tiny, models=models), task)


def test_task_says_what_it_is(task, tiny):
    assert task.knows_boxes and task.grid == 7
    assert task.classes == moving_digits.MOTIONS
    assert task.record["name"] == "moving_digits"
    assert "24 training and 10 test videos of 4 frames" in task.description
    assert task.train["features"].shape == (24, 4, 49, 8)
    assert task.train["features"].dtype == np.float16
    assert task.test["videos"].shape == (10, 4, 56, 56, 3)
    assert "videos" not in task.train
    raw = datasets.load(
        "moving_digits", "test", count=10, frames=4, distractors=1
    )
    np.testing.assert_array_equal(task.test["videos"], raw["videos"])
    np.testing.assert_array_equal(task.test["label"], raw["label"])


def test_features_are_normalised_by_the_training_videos(task):
    means = task.train["features"].astype("f4").mean(axis=2)
    np.testing.assert_allclose(means.mean(axis=(0, 1)), 0, atol=0.01)
    spread = means.std(axis=(0, 1))
    assert spread.max() == pytest.approx(0.5, abs=0.02)


def test_a_large_set_is_made_in_parts(tiny, monkeypatch):
    """Part k has seed k, so that memory does not grow with the set."""
    monkeypatch.setattr(actions, "_TOGETHER", 8)
    encoder = actions.frame_encoder(tiny)
    found = actions._made(tiny, encoder, "test")
    parts = [
        datasets.load(
            "moving_digits", "test", count=c, seed=s, frames=4, distractors=1
        )["videos"]
        for s, c in ((0, 8), (1, 2))
    ]
    np.testing.assert_array_equal(found["videos"], np.concatenate(parts))
    alone = actions.extract(encoder, found["videos"])
    np.testing.assert_allclose(alone, found["features"], atol=0.02, rtol=0.01)


def test_the_encoder_is_frozen_and_told_places(tiny):
    encoder = actions.frame_encoder(tiny)
    assert not encoder.trainable_variables
    grey = np.full((1, 56, 56, 3), 0.5, "float32")
    (cells,) = encoder.predict_on_batch(grey)
    assert cells.shape == (7, 7, 8)
    # Of a grey frame, cells without a border differ by their place alone.
    assert np.abs(cells[2, 2] - cells[2, 3]).max() > 1e-6


def test_targets_of_stills():
    boxes = np.array(
        [[[0, 0, 18, 18], [40, 20, 10, 20]], [[20, 38, 16, 16]] * 2]
    )
    colours = np.array([[0, 5], [2, -1]])
    target = actions.still_targets(boxes, colours, 56).reshape(2, 6, 6)
    assert target[0, 0].tolist() == [1, 0, 0, 1, 0, 0]
    assert target[0, 5].tolist() == [0, 0, 1, 0, 1, 0]
    assert target[1, 2].tolist() == [0, 1, 0, 0, 0, 1]
    assert target.sum() == 6


@pytest.mark.parametrize(
    "change",
    [
        {"examples": 25},
        {"held_out": 11},
        {"frames": 5},
        {"distractors": 2},
        {"filters": 3},
        {"still_epochs": 2},
    ],
)
def test_digest_says_which_features(tiny, task, change):
    assert actions._digest(tiny, True) == task.digest
    other = dataclasses.replace(tiny, **change)
    assert actions._digest(other, True) != task.digest


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("regression", ("regression", 0.0)),
        ("max", ("max", 0.0)),
        ("attention-0", ("attention", 0.0)),
        ("attention-10", ("attention", 10.0)),
    ],
)
def test_names_of_models(kind, wanted):
    assert actions.parse(kind) == wanted


@pytest.mark.parametrize(
    "kind", ["attention", "attention--1", "attention-nan", "mean", "average-1"]
)
def test_names_that_are_none(kind):
    with pytest.raises(ValueError, match=f"Received: '{kind}'"):
        actions.parse(kind)


def test_kinds(tiny, task):
    made = {
        kind: actions.build(tiny, task, kind, 9)
        for kind in ("regression", "max", "attention-1")
    }
    assert isinstance(made["regression"], CubeRegression)
    assert isinstance(made["attention-1"], AttentionRecogniser)
    assert made["max"].pooling == "max"
    assert made["attention-1"].penalty_weight == 1.0


def test_trained_models_are_kept(trained, tiny, task):
    assert list(trained) == ["regression", "attention-10"]
    assert np.isfinite(trained["attention-10"].history["loss"]).all()
    assert actions.train(tiny, task, "attention-10").loaded


def test_watch(trained, task, monkeypatch):
    monkeypatch.setattr(actions, "_TOGETHER", 4)
    model = trained["attention-10"].model
    found = actions.watch(model, task)
    assert found["probabilities"].shape == (10, 4, 8)
    np.testing.assert_allclose(found["probabilities"].sum(-1), 1, rtol=1e-6)
    np.testing.assert_allclose(found["weights"].sum(-1), 1, rtol=1e-5)
    answers = found["probabilities"].mean(axis=1).argmax(axis=-1)
    np.testing.assert_array_equal(found["answer"], answers)
    np.testing.assert_array_equal(found["right"], answers == task.test["label"])
    logs = model.evaluate(
        task.test["features"], task.test["label"], verbose=0, return_dict=True
    )
    assert found["right"].mean() == pytest.approx(logs["accuracy"], abs=1e-4)
    few = actions.watch(model, task, 3)
    np.testing.assert_allclose(few["weights"], found["weights"][:3], atol=1e-5)


def test_on_the_actor():
    # Two videos of two frames; the actor is in cell 0, then away; in cell 3.
    boxes = np.array(
        [[[0, 0, 4, 4], [0, 0, 0, 0]], [[4, 4, 4, 4], [4, 4, 4, 4]]]
    )
    weights = np.full((2, 2, 4), 0.25)
    found = actions.on_the_actor(weights, boxes, 2, 8)
    assert found["times"] == found["swapped"] == pytest.approx(1)
    assert np.isnan(found["mass"][0, 1]) and found["chance"][1, 0] == 0.25
    sharp = np.zeros((2, 2, 4))
    sharp[0, :, 0] = sharp[1, :, 3] = 1
    found = actions.on_the_actor(sharp, boxes, 2, 8)
    assert found["times"] == pytest.approx(4)
    assert found["swapped"] == pytest.approx(0)


def test_compare_is_paired():
    first, second = np.zeros(100, bool), np.zeros(100, bool)
    first[:40] = second[10:60] = True
    difference, error = actions.compare(first, second)
    assert difference == pytest.approx(10)
    gains = np.r_[-np.ones(10), np.zeros(30), np.ones(20), np.zeros(40)]
    assert error == pytest.approx(100 * gains.std() / 10)
    assert actions.compare(first, first) == (0, 0)


def test_labels_outside_of_the_classes():
    actions.check_labels([0, 2], "abc")
    for bad in (3, -1):
        with pytest.raises(ValueError, match=f"from 0 to 2.*Received: {bad}"):
            actions.check_labels([0, bad], "abc")


@pytest.mark.parametrize(
    ("bad", "told"),
    [(0.5, "0.5"), (np.nan, "nan"), (np.inf, "inf"), ("a", "dtype <U"),
     (True, "dtype bool")],
)  # fmt: skip
def test_labels_that_are_not_whole(bad, told):
    actions.check_labels([0.0, 2.0], "abc")
    with pytest.raises(ValueError, match=f"whole numbers.*Received: {told}"):
        actions.check_labels(np.array([bad, bad]), "abc")


def test_a_task_with_a_label_of_no_class_is_not_learned(tiny, task):
    label = task.train["label"].copy()
    label[3] = len(task.classes)
    wrong = dataclasses.replace(task, train={**task.train, "label": label})
    with pytest.raises(ValueError, match="from 0 to 7.*Received: 8"):
        actions.train(tiny, wrong, "attention-0")


@pytest.mark.parametrize("dataset", ["ucf11", "hmdb51"])
def test_real_videos(dataset, tiny, monkeypatch):
    """Clips are decoded one by one; the paper's models run on them."""
    random = np.random.default_rng(0)
    reads = []

    class Lazy:
        def __len__(self):
            return 9

        def __getitem__(self, index):
            reads.append(index)
            return random.integers(0, 255, (4, 56, 56, 3)).astype(np.uint8)

    given = {"videos": Lazy(), "label": np.arange(9, dtype=np.int32) % 2}

    def load(name, split="train", **options):
        if name != dataset:
            return real(name, split, **options)
        assert {"frames": 4, "rate": 30.0}.items() >= {
            k: v for k, v in options.items() if k in ("frames", "rate")
        }.items()
        return {**given, "actions": ["run", "wave"]}

    real, digest = datasets.load, datasets.digest
    monkeypatch.setattr(datasets, "load", load)
    monkeypatch.setattr(
        datasets,
        "digest",
        lambda n, **o: "0" if n == dataset else digest(n, **o),
    )
    settings = dataclasses.replace(
        tiny, dataset=dataset, examples=0, held_out=4
    )
    task = actions.load_task(settings)
    assert len(task.train["label"]) == 9 and len(task.test["label"]) == 4
    assert len(task.classes) == {"ucf11": 11, "hmdb51": 2}[dataset]
    assert not task.knows_boxes
    assert reads == [*range(9), 0, 2, 5, 8]
    assert task.test["videos"][3].shape == (4, 56, 56, 3)
    assert reads[-1] == 8
    model = actions.build(settings, task, "attention-0", 3)
    assert actions.watch(model, task)["weights"].shape == (4, 4, 49)


def test_sides_and_encoders_that_do_not_exist(tiny):
    with pytest.raises(ValueError, match="multiple of 8. Received: 50"):
        actions.build_frame_encoder(50, 4)
    with pytest.raises(ValueError, match="encoder"):
        actions.frame_encoder(dataclasses.replace(tiny, encoder="googlenet"))
