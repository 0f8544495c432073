"""The recognition experiment: its data, its cache key, its test error."""

import dataclasses

import numpy as np
import pytest
from numerics import to_numpy

from attnlib import datasets, profiles
from attnlib.models import recognition
from attnlib.models.ram import RecurrentAttention
from attnlib.training import Batches


@pytest.fixture(autouse=True)
def _headless(monkeypatch, tmp_path):
    monkeypatch.setenv("ATTNLIB_HEADLESS", "1")
    monkeypatch.setenv("ATTNLIB_CACHE", str(tmp_path))


def settings(**overrides):
    # One batch an epoch: these tests are about what surrounds training.
    fixed = {"batch_size": 600, "copies": 0, "units": 8}
    return profiles.load("06", "smoke", **{**fixed, **overrides})


@pytest.fixture(scope="module")
def digits():
    return recognition.load_data(settings())


def small(**options):
    options = {"num_glimpses": 3, "units": 8, "seed": 0, **options}
    model = RecurrentAttention(**options)
    model.build((None, 28, 28, 1))
    return model


def test_images_are_floats_from_0_to_1(digits):
    for images, labels in (digits.train, digits.validation, digits.test):
        assert images.dtype == "float32" and images.shape[1:] == (28, 28, 1)
        assert images.min() == 0 and 0.9 < images.max() <= 1
        assert labels.dtype == "int32" and set(labels) == set(range(10))
    assert [len(part[1]) for part in (digits.train, digits.test)] == [1200, 400]
    assert digits.description == (
        "digits28, 1200 training images, 400 test images"
    )
    assert digits.record["digest"] == datasets.digest("digits28")


def test_copies_follow_the_seed(digits):
    copied = [
        recognition.load_data(settings(copies=2, seed=seed)) for seed in (0, 1)
    ]
    for data in copied:
        assert len(data.train[0]) == 3600
        np.testing.assert_array_equal(data.train[0][:1200], digits.train[0])
        np.testing.assert_array_equal(data.test[0], digits.test[0])
        assert "2 augmented copies each" in data.description
    assert np.any(copied[0].train[0] != copied[1].train[0])


def test_moved_copies_keep_the_images_and_their_labels(digits):
    images, labels = digits.test
    more, names = recognition.with_moved_copies(images, labels, 2, seed=1)
    assert more.shape == (3 * len(images), *images.shape[1:])
    np.testing.assert_array_equal(more[: len(images)], images)
    np.testing.assert_array_equal(names, np.tile(labels, 3))
    assert np.abs(more[len(images) : 2 * len(images)] - images).max() > 0.1


def test_only_images_from_0_to_1_are_moved(digits):
    images, labels = digits.test
    with pytest.raises(ValueError, match="from 0 to 1.*Received.*255"):
        recognition.with_moved_copies(images * 255, labels)
    with pytest.raises(ValueError, match="finite.*Received"):
        recognition.with_moved_copies(images * np.nan, labels)


def test_all_of_mnist_is_trained_on_and_nothing_held_out(monkeypatch):
    asked = []

    def load(name, split):
        asked.append((name, split))
        return {
            "images": np.zeros((10, 28, 28, 1), "uint8"),
            "label": np.arange(10, dtype="int32"),
        }

    monkeypatch.setattr(datasets, "load", load)
    data = recognition.load_data(settings(dataset="mnist"))
    assert asked == [("mnist", "train+validation"), ("mnist", "test")]
    assert data.validation is None


def test_canvases_are_redrawn_for_every_batch_of_every_epoch():
    data = recognition.load_data(settings(canvas=40, clutter=2))
    digits, labels = data.train
    assert digits.dtype == "uint8" and digits.shape[1:] == (28, 28, 1)
    batches = Batches([data.train], 100, 3, data.scatter)
    (first, names), (later, _) = (batches.epoch(e)[0] for e in (0, 1))
    assert first.shape == (100, 40, 40, 1) and first.dtype == "float32"
    assert first.min() == 0 and 0.9 < first.max() <= 1
    assert set(names) == set(range(10)) and np.any(first != later)
    # A resumed training sees what an unbroken one does.
    again = Batches([data.train], 100, 3, data.scatter).epoch(1)[0][0]
    np.testing.assert_array_equal(again, later)
    # The same digit, laid out twice.
    one = np.repeat(digits[:1], 2, axis=0)
    twice, _ = data.scatter(one, labels[:2], np.random.default_rng(0))
    assert np.any(twice[0] != twice[1])


def test_canvases_to_test_on_are_the_same_for_every_seed():
    given = {"canvas": 40, "clutter": 2}
    one, two = (
        recognition.load_data(settings(seed=seed, **given)) for seed in (0, 1)
    )
    for name in ("validation", "test"):
        images, labels = getattr(one, name)
        assert images.shape[1:] == (40, 40, 1) and len(images) == len(labels)
        np.testing.assert_array_equal(images, getattr(two, name)[0])
    assert one.task == "digits28-cluttered-40x40"
    assert one.description.endswith(
        "400 test images, at random places of 40x40 pixels among 2 pieces of "
        "other digits"
    )


def test_a_canvas_without_clutter_holds_the_whole_digit():
    data = recognition.load_data(settings(canvas=40))
    plain = recognition.load_data(settings())
    assert data.task == "digits28-translated-40x40"
    np.testing.assert_allclose(
        data.test[0].sum(axis=(1, 2, 3)),
        plain.test[0].sum(axis=(1, 2, 3)),
        rtol=1e-5,
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"clutter": 4}, "a canvas to put clutter on.*canvas=0, clutter=4"),
        ({"canvas": 20}, "canvas of 20 x 20.*28 x 28"),
        ({"canvas": 40, "clutter": -1}, "clutter.*at least 0"),
    ],
)
def test_a_bad_canvas_is_named(given, message):
    with pytest.raises(ValueError, match=message):
        recognition.load_data(settings(**given))


def test_a_model_learns_on_canvases():
    given = settings(canvas=40, batch_size=300, epochs=1)
    data = recognition.load_data(given)
    run = recognition.train(given, data)
    assert set(run.history) == {"loss", "error", "val_error"}
    found = recognition.evaluate(run.model, *data.test)
    assert found["locations"].shape == (400, 2, 2)


def test_a_trained_model_is_tested_and_loaded(digits):
    given = settings()
    trained = recognition.train(given, digits)
    assert trained.model.num_glimpses == given.num_glimpses
    assert set(trained.history) == {"loss", "error", "val_error"}
    assert 0 <= trained.history["val_error"][0] <= 1
    found = recognition.evaluate(trained.model, *digits.test)
    assert 40 < found["error"] <= 100
    again = recognition.train(given, digits)
    assert again.loaded
    assert (
        recognition.evaluate(again.model, *digits.test)["error"]
        == (found["error"])
    )


def test_what_shapes_training_is_in_the_cache_key(digits, monkeypatch):
    keys = []

    def instead(build, batches, **options):
        keys.append(str(options))

    monkeypatch.setattr(recognition, "train_or_load", instead)
    given = settings()
    held = dataclasses.replace(digits, validation=None)
    recognition.train(given, held)
    recognition.train(dataclasses.replace(given, samples=7), held)
    assert keys[0] == keys[1]
    for change in (
        {"location_std": 0.1},
        {"learning_rate": 0.5},
        {"batch_size": 7},
        {"units": 9},
        {"glimpse_size": 4},
        {"canvas": 40},
        {"canvas": 40, "clutter": 2},
        {"epochs": 9},
        {"num_glimpses": 3},
        {"seed": 4},
    ):
        recognition.train(dataclasses.replace(given, **change), held)
    recognition.train(given, held, policy="random")
    assert len(set(keys)) == len(keys) - 1


def test_the_error_is_of_one_run_per_image(digits):
    images, labels = (part[:50] for part in digits.test)
    model = small()
    found = recognition.evaluate(model, images, labels, samples=4, seed=3)
    noise = recognition.draw_noise(model, 50, [3, 0])
    out = to_numpy(model(images, noise=noise))
    predicted = out["logits"].argmax(-1)
    np.testing.assert_array_equal(found["predicted"], predicted)
    np.testing.assert_allclose(found["locations"], out["locations"], atol=1e-5)
    assert found["error"] == pytest.approx(100 * np.mean(predicted != labels))
    np.testing.assert_allclose(found["probabilities"].sum(-1), 1, atol=1e-5)


def test_probabilities_are_averaged_and_not_their_logarithms(monkeypatch):
    """One run that is sure and wrong must not outvote two that agree."""
    sure = np.array([[1e-6, 1 - 1e-6]])
    answers = iter([sure, np.array([[0.9, 0.1]]), np.array([[0.9, 0.1]])])
    places = np.zeros((1, 3, 2))
    monkeypatch.setattr(recognition, "_run", lambda *_: (next(answers), places))
    images, labels = np.zeros((1, 28, 28, 1)), np.array([0])
    found = recognition.evaluate(small(), images, labels, samples=3)
    # Mean probabilities 0.6 and 0.4; mean logarithms would say -4.7 and -1.5.
    assert found["averaged_error"] == 0
    assert found["error"] == 100
    assert found["mean_error"] == pytest.approx(100 / 3)


def test_batches_change_nothing(digits):
    images, labels = (part[:50] for part in digits.test)
    model = small()
    whole = recognition.evaluate(model, images, labels, samples=2)
    parts = recognition.evaluate(
        model, images, labels, samples=2, batch_size=13
    )
    for name in ("probabilities", "locations"):
        np.testing.assert_allclose(whole[name], parts[name], atol=1e-5)
    assert whole["averaged_error"] == parts["averaged_error"]
    once = recognition.evaluate(model, images, labels)
    assert once["error"] == once["mean_error"] == once["averaged_error"]
    assert once["error"] == whole["error"]


@pytest.mark.parametrize("policy", ["learned", "random", "centre"])
def test_noise_is_distributed_as_in_training(policy):
    model = small(policy=policy)
    noise = recognition.draw_noise(model, 3000)
    assert noise.shape == (3000, 3, 2) and noise.dtype == "float32"
    assert np.abs(noise[:, 0]).max() <= 1
    others = 3**-0.5 if policy == "random" else 1
    assert noise[:, 1:].std() == pytest.approx(others, abs=0.03)
    again = recognition.draw_noise(model, 3000)
    np.testing.assert_array_equal(noise, again)
    assert np.any(noise != recognition.draw_noise(model, 3000, 1))


def test_spread_is_that_of_chosen_locations_between_images():
    generator = np.random.default_rng(0)
    locations = np.zeros((500, 4, 2))
    locations[:, 0] = generator.uniform(-1, 1, (500, 2))
    locations[:, 1:] = [[0.5, 0.5], [-0.5, 0.5], [0.9, -0.9]]
    # A path that is the same for every image looks at no image.
    assert recognition.spread(locations) == pytest.approx(0)
    locations[:, 1:] += generator.normal(0, 0.2, (500, 3, 2))
    assert recognition.spread(locations) == pytest.approx(0.2, abs=0.02)
    assert recognition.spread(locations[:, :1]) == 0


def test_a_trace_ends_in_the_model_s_answer(digits):
    images = digits.test[0][:4]
    model = small()
    noise = recognition.draw_noise(model, 4)
    locations, answers = recognition.trace(model, images, noise)
    out = to_numpy(model(images, noise=noise))
    assert answers.shape == (4, 3, 10)
    np.testing.assert_allclose(answers.sum(-1), 1, atol=1e-5)
    np.testing.assert_allclose(locations, out["locations"], atol=1e-6)
    logits = out["logits"] - out["logits"].max(-1, keepdims=True)
    last = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(answers[:, -1], last, atol=1e-5)


def test_bad_input_is_named(digits):
    images, labels = (part[:5].copy() for part in digits.test)
    model = small()
    with pytest.raises(ValueError, match="num_glimpses.*at least 1.*0"):
        recognition.train(settings(), digits, 0)
    with pytest.raises(ValueError, match="policy to be one of.*'nowhere'"):
        recognition.train(settings(), digits, policy="nowhere")
    with pytest.raises(ValueError, match="samples of at least 1.*0"):
        recognition.evaluate(model, images, labels, samples=0)
    with pytest.raises(ValueError, match="5 images and 4 labels"):
        recognition.evaluate(model, images, labels[:4])
    with pytest.raises(ValueError, match="at least one image"):
        recognition.evaluate(model, images[:0], labels[:0])
    images[2, 3, 3] = np.nan
    with pytest.raises(ValueError, match="first in image 2"):
        recognition.evaluate(model, images, labels)
    with pytest.raises(ValueError, match="finite images"):
        recognition.trace(
            model, images, recognition.draw_noise(model, len(images))
        )
