"""The experiment of notebook 09: tasks, data, training, tests."""

import dataclasses

import numpy as np
import pytest
from numerics import to_numpy

from attnlib import datasets, profiles
from attnlib.claims import registry
from attnlib.models import warped_digits
from attnlib.models.stn import CoLocalizer

SHAPES = {
    "r": (28, 28, 1),
    "rts": (42, 42, 1),
    "p": (28, 28, 1),
    "e": (28, 28, 1),
    "tc": (60, 60, 1),
    "addition": (42, 42, 2),
}


def settings(**changes):
    base = profiles.load("09", "smoke", seed=1)
    return dataclasses.replace(base, **changes)


@pytest.fixture(scope="module")
def digits():
    return warped_digits.load_data(settings())


def part_of(digits, count=20):
    images, labels = digits.train
    return images[:count], labels[:count]


@pytest.mark.parametrize("task", warped_digits.TASKS)
def test_tasks_make_images_and_labels(digits, task):
    made = warped_digits.task_of(task)
    images, labels = made.make(
        settings(), *part_of(digits), np.random.default_rng(0)
    )
    assert images.shape == (20, *SHAPES[task]) and images.dtype == "float32"
    assert images.min() >= 0 and 0.5 < images.max() <= 1
    assert labels.max() < made.classes
    if task != "addition":
        np.testing.assert_array_equal(labels, part_of(digits)[1])


def test_every_epoch_is_distorted_anew(digits):
    given = warped_digits.batches(settings(batch_size=20), digits, "r")
    one, again, next_one = (given.epoch(e)[0][0] for e in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - next_one).max() > 0.1


def test_tests_are_the_same_for_every_model_and_seed(digits):
    one = warped_digits.held_out(settings(), digits.test, "p", 2)
    other = warped_digits.held_out(settings(seed=9), digits.test, "p", 2)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)
    images, labels = one
    assert len(images) == 800
    np.testing.assert_array_equal(labels, np.tile(digits.test[1], 2))
    assert np.abs(images[:400] - images[400:]).max() > 0.1
    validation = warped_digits.held_out(settings(), digits.validation, "p")
    assert len(validation[0]) == 197


@pytest.mark.parametrize(
    ("name", "network", "transform", "transformers"),
    [
        ("fcn", "fcn", None, 1),
        ("cnn", "cnn", None, 1),
        ("st-cnn-att", "cnn", "attention", 1),
        ("st-fcn-proj", "fcn", "projective", 1),
        ("2xst-fcn-tps", "fcn", "tps", 2),
    ],
)
def test_names_of_models(name, network, transform, transformers):
    assert warped_digits.parse(name) == {
        "network": network,
        "transform": transform,
        "transformers": transformers,
    }


@pytest.mark.parametrize(
    "name", ["", "rnn", "st-fcn", "st-rnn-aff", "3xst-fcn-aff", "st-fcn-x", 3]
)
def test_other_names_are_refused(name):
    with pytest.raises(ValueError, match="name of a model.*Received"):
        warped_digits.parse(name)


def test_every_model_of_the_paper_profile_has_its_claim():
    known = {claim.id for claim in registry.load_claims()}
    for entry in profiles.load("09", "paper").models:
        assert warped_digits.claim_of(*entry.split("/")) in known


def test_a_trained_model_is_tested_and_loaded(digits):
    given = settings(parameters=60_000)
    trained = warped_digits.train(given, digits, "r", "st-fcn-aff")
    assert trained.model.count_params() <= 60_000
    history = warped_digits.theta_history(trained.history)
    assert history.shape == (1, 4, 6)
    images, _ = warped_digits.watched(given, digits, "r")
    np.testing.assert_allclose(
        history[0], to_numpy(trained.model.theta(images))[:, 0], atol=1e-5
    )
    test = warped_digits.held_out(given, digits.test, "r")
    found = warped_digits.evaluate(trained.model, *test)
    logits = to_numpy(trained.model(test[0]))
    assert found["error"] == pytest.approx(
        100 * np.mean(logits.argmax(-1) != test[1])
    )
    again = warped_digits.train(given, digits, "r", "st-fcn-aff")
    assert again.loaded
    assert (
        warped_digits.evaluate(again.model, *test)["error"] == (found["error"])
    )
    plain = warped_digits.train(given, digits, "r", "fcn")
    with pytest.raises(ValueError, match="with a transformer"):
        warped_digits.theta_history(plain.history)


def test_what_shapes_training_is_in_the_cache_key(digits, monkeypatch):
    keys = []

    def instead(build, batches, **options):
        options.pop("validation")
        keys.append(str(options))

    monkeypatch.setattr(warped_digits, "train_or_load", instead)
    given = settings()
    warped_digits.train(given, digits, "r", "fcn")
    warped_digits.train(
        dataclasses.replace(given, test_copies=7), digits, "r", "fcn"
    )
    assert keys[0] == keys[1]
    for change in (
        {"learning_rate": 0.5},
        {"localization_rate": 0.5},
        {"parameters": 50_000},
        {"filters": 5},
        {"batch_size": 7},
        {"epochs": 9},
        {"canvas": 50},
        {"seed": 4},
    ):
        changed = dataclasses.replace(given, **change)
        warped_digits.train(changed, digits, "r", "fcn")
    warped_digits.train(given, digits, "e", "fcn")
    warped_digits.train(given, digits, "r", "cnn")
    assert len(set(keys)) == len(keys) - 1


def test_mnist_is_trained_on_without_validation(digits, monkeypatch):
    seen = {}
    monkeypatch.setattr(
        warped_digits, "train_or_load", lambda *a, **k: seen.update(k)
    )
    whole = dataclasses.replace(digits, validation=None)
    warped_digits.train(settings(), whole, "r", "fcn")
    assert seen["validation"] is None


def test_a_missing_class_is_named(digits, monkeypatch):
    load = datasets.load

    def lacking(*arguments):
        part = load(*arguments)
        some = part["label"] != 7
        return {name: values[some] for name, values in part.items()}

    monkeypatch.setattr(datasets, "load", lacking)
    with pytest.raises(ValueError, match="all ten digits.*none of 7"):
        warped_digits.load_data(settings())
    images, labels = digits.train
    some = images[labels != 7], labels[labels != 7]
    with pytest.raises(ValueError, match="class 7"):
        warped_digits.colocalization_set(settings(), some, 7)


def test_windows_hold_their_digits():
    """A digit of one bright pixel a corner of its margin of two pixels."""
    digits = np.zeros((400, 28, 28, 1), "float32")
    digits[:, 2:26, 2:26] = 1
    found = warped_digits.windows_on_canvases(
        digits, np.random.default_rng(0), pieces=0
    )
    assert found.shape == digits.shape and found.dtype == "float32"
    # The whole of it, however large the window is: 24 to 8 pixels a side.
    sides = np.sqrt(found.sum(axis=(1, 2, 3)))
    assert 7 < sides.min() < 9 and 22 < sides.max() < 25
    wide = found[sides < 12]
    middles = [np.argwhere(image[..., 0]).mean(axis=0) for image in wide]
    assert np.std(middles) > 3
    again = warped_digits.windows_on_canvases(
        digits, np.random.default_rng(1), pieces=0
    )
    assert np.any(found != again)


def test_colocalization_finds_its_images_and_trains(digits):
    given = settings(
        colocalization_images=10, colocalization_epochs=1, encoder_epochs=1,
        colocalization_batch=32, parameters=70_000, filters=4,
    )  # fmt: skip
    images, middles = warped_digits.colocalization_set(
        given, digits.train, 3, pieces=4
    )
    assert images.shape == (10, 84, 84, 1) and middles.shape == (10, 2)
    plain, same = warped_digits.colocalization_set(given, digits.train, 3)
    assert np.abs(middles).max() <= 2 / 3 and same.shape == middles.shape
    # The middle of the image of a digit is the middle of its mass, nearly.
    grid = np.stack(np.meshgrid(*[(2 * np.arange(84) + 1) / 84 - 1] * 2), -1)
    mass = plain / plain.sum(axis=(1, 2, 3), keepdims=True)
    centre = (mass * grid).sum(axis=(1, 2))
    assert np.abs(centre - same).max() < 0.1
    classifier = warped_digits.train_encoder(given, digits).model
    encoder = warped_digits.encoder_of(classifier)
    crops = plain[:, :28, :28]
    hidden, last = classifier.classifier.layers[-2:]
    np.testing.assert_allclose(
        to_numpy(last(hidden(encoder(crops)))),
        to_numpy(classifier(crops)),
        atol=1e-5,
    )
    found = warped_digits.colocalize(given, digits, encoder, 3, pieces=4)
    assert isinstance(found.model, CoLocalizer)
    # Windows have their final size when the training ends.
    assert float(to_numpy(found.model.side(84, 84))) == pytest.approx(28)
    places = warped_digits.locate(found.model, images, batch_size=4)
    np.testing.assert_allclose(
        places, to_numpy(found.model(images)["places"]), atol=1e-5
    )
    transformed = warped_digits.build(given, "r", "st-cnn-aff", (28, 28, 1), 1)
    with pytest.raises(ValueError, match="without a transformer"):
        warped_digits.encoder_of(transformed)
    with pytest.raises(ValueError, match="expected a CNN.*'fcn'"):
        warped_digits.encoder_of(
            warped_digits.build(given, "r", "fcn", (28, 28, 1), 1)
        )


def test_overlap_of_boxes():
    here = np.zeros((4, 2))
    there = np.array([[0, 0], [0.5, 0], [0.25, 0.25], [1, 1]])
    found = warped_digits.overlap(here, there, 0.5)
    np.testing.assert_allclose(
        found, [1, 1 / 3, 0.5625 / (2 - 0.5625), 0], atol=1e-12
    )


def test_bad_input_is_named(digits):
    images, labels = part_of(digits)
    model = warped_digits.build(settings(), "r", "fcn", (28, 28, 1), 1)
    with pytest.raises(ValueError, match="task to be one of r, rts.*'x'"):
        warped_digits.task_of("x")
    with pytest.raises(ValueError, match="name of a model.*'st-fcn-turn'"):
        warped_digits.train(settings(), digits, "r", "st-fcn-turn")
    with pytest.raises(ValueError, match="copies of at least 1.*0"):
        warped_digits.held_out(settings(), digits.test, "r", 0)
    with pytest.raises(ValueError, match="20 images and 3 labels"):
        warped_digits.evaluate(model, images, labels[:3])
    with pytest.raises(ValueError, match="finite images"):
        warped_digits.evaluate(model, images * np.nan, labels)
    assert datasets.digest("digits28") == digits.digest
