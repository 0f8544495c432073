"""The experiments of notebook 07 on little data."""

import dataclasses

import numpy as np
import pytest
from numerics import to_numpy

from attnlib import datasets, profiles
from attnlib.models import generation
from attnlib.models.draw import DRAW


def settings(**changes):
    changes = {"num_steps": 2, "read_size": 3, **changes}
    return profiles.load("07", "smoke", **changes)


def little(data, count=200):
    """Keep some images of every part."""
    parts = {
        name: tuple(array[:count] for array in getattr(data, name))
        for name in ("train", "validation", "test")
    }
    return dataclasses.replace(data, **parts)


def test_images_to_draw_are_binary_by_a_fixed_threshold():
    data = generation.load_data(settings(copies=1))
    raw = datasets.load("digits28", "train")
    assert len(data.train[0]) == 2 * len(raw["images"])
    images = data.train[0][: len(raw["images"])]
    assert np.unique(images).tolist() == [0, 1]
    np.testing.assert_array_equal(images, raw["images"] >= 128)
    np.testing.assert_array_equal(
        data.train[1][: len(raw["label"])], raw["label"]
    )
    assert data.labelled and "binary" in data.description
    assert data.record["name"] == "digits28"


def test_grey_digits_stay_grey():
    data = generation.load_grey(settings())
    assert 0.1 < np.mean((data.test[0] > 0) & (data.test[0] < 1))
    assert data.train[0].max() <= 1 and "binary" not in data.description


def test_a_data_set_without_labels_gets_zeros(monkeypatch):
    images = np.full((5, 28, 28, 1), 255, "uint8")
    monkeypatch.setattr(datasets, "load", lambda *a: {"images": images})
    data = generation.load_data(settings(dataset="binarized_mnist"))
    assert not data.labelled and not data.train[1].any()
    assert np.all(data.train[0] == 1)


@pytest.fixture(scope="module")
def trained():
    chosen = settings()
    data = little(generation.load_data(chosen))
    return chosen, data, generation.train(chosen, data)


def test_a_training_is_tested(trained):
    chosen, data, run = trained
    assert set(run.history) == {"loss", "reconstruction", "kl", "val_nats"}
    found = generation.evaluate(run.model, data.test[0][:50], batch_size=20)
    assert found["nats"] == pytest.approx(found["reconstruction"] + found["kl"])
    assert found["kl_per_step"].shape == (2,)
    again = generation.evaluate(run.model, data.test[0][:50], batch_size=50)
    assert again["nats"] == pytest.approx(found["nats"], rel=1e-5)
    # One epoch on 200 images: better than knowing each pixel's frequency.
    assert found["nats"] < 28 * 28 * np.log(2)
    assert generation.train(chosen, data).loaded


def test_the_weighted_bound_is_the_model_s(trained):
    _, data, run = trained
    images = data.test[0][:6]
    found = generation.importance_bound(run.model, images, 3, batch_size=4)
    noise = np.stack(
        [generation.draw_noise(run.model, 6, [0, k]) for k in range(3)]
    )
    bound, weights = run.model.iwae(images, noise=noise)
    assert found["nats"] == pytest.approx(-np.mean(to_numpy(bound)), rel=1e-4)
    assert found["elbo"] == pytest.approx(-np.mean(to_numpy(weights)), rel=1e-4)
    assert found["nats"] <= found["elbo"]


def test_the_first_canvas_is_the_mean_image():
    mean = np.full((9, 8, 1), 0.25, "float32")
    model = generation.build(
        settings(read_size=2, write_size=2), mean, 2, True, 10
    )
    canvas = to_numpy(model.first_canvas.value)
    np.testing.assert_allclose(1 / (1 + np.exp(-canvas)), mean, rtol=1e-5)


def test_the_noise_does_not_depend_on_the_backend():
    model = DRAW(2, 3, 4)
    noise = generation.draw_noise(model, 2, seed=5)
    assert noise.shape == (2, 2, 3)
    expected = np.random.default_rng(5).normal(size=(2, 2, 3))
    np.testing.assert_allclose(noise[1, 0], expected[0, 1], rtol=1e-6)


def test_the_judge_knows_digits_and_says_how_sure_it_is():
    chosen = settings(judge_epochs=1)
    data = little(generation.load_data(chosen), 1200)
    run = generation.train_judge(chosen, data)
    found = generation.judge(run.model, data.test[0], batch_size=64)
    assert found["predicted"].shape == (400,)
    assert 0 <= found["confident"] <= 1
    assert np.all(found["probability"] >= 0.1 - 1e-6)
    everything = generation.judge(run.model, data.test[0][:9], threshold=0)
    assert everything["confident"] == 1


def test_reading_cluttered_digits():
    chosen = settings(reader_side=40, reader_test_copies=2)
    data = little(generation.load_grey(chosen))
    run = generation.train_reader(chosen, data)
    images, labels = generation.cluttered_test(chosen, data)
    assert images.shape == (400, 40, 40, 1) and labels.shape == (400,)
    found = generation.read(run.model, images[:30], batch_size=20)
    assert found["probabilities"].shape == (30, 2, 10)
    assert found["windows"].shape == (30, 2, 5)
    np.testing.assert_allclose(found["probabilities"].sum(-1), 1, rtol=1e-4)
    again, _ = generation.cluttered_test(chosen, data)
    np.testing.assert_array_equal(images, again)


def test_two_digits_are_drawn_on_one_canvas():
    chosen = settings(pair_side=60, pair_epochs=1)
    data = little(generation.load_data(chosen), 100)
    run = generation.train_pairs(chosen, data)
    assert run.model.image_shape == (60, 60, 1)
    canvases = generation.pairs(data.test[0], 3, 60)
    single = data.test[0].sum(axis=(1, 2, 3))
    assert canvases.sum(axis=(1, 2, 3)).min() >= 2 * single.min()


def test_bits_per_pixel():
    assert generation.bits_per_pixel(np.log(2), (1, 1, 1)) == pytest.approx(1)


@pytest.mark.parametrize("bad", [-0.1, 1.5, 255.0, np.nan])
def test_images_must_be_in_the_unit_interval(trained, bad):
    _, data, run = trained
    images = data.test[0][:3].copy()
    images[1, 2, 3] = bad
    for call in (
        lambda: generation.evaluate(run.model, images),
        lambda: generation.importance_bound(run.model, images, 2),
        lambda: generation.judge(run.model, images),
        lambda: generation.read(run.model, images),
    ):
        with pytest.raises(ValueError, match="values from 0 to 1.*Received"):
            call()


def test_a_missing_class_is_named(monkeypatch):
    images = np.zeros((9, 28, 28, 1), "uint8")
    part = {"images": images, "label": np.arange(9, dtype="int32")}
    monkeypatch.setattr(datasets, "load", lambda *a: part)
    for load in (generation.load_data, generation.load_grey):
        with pytest.raises(ValueError, match="all ten digits.*none of 9"):
            load(settings())


def test_words_are_no_images():
    with pytest.raises(ValueError, match="data set of images.*number_words"):
        generation.load_data(settings(dataset="number_words"))


def test_reading_needs_labels(monkeypatch):
    part = {"images": np.zeros((9, 28, 28, 1), "uint8")}
    monkeypatch.setattr(datasets, "load", lambda *a: part)
    with pytest.raises(ValueError, match="labels.*binarized_mnist"):
        generation.load_grey(settings(reader_dataset="binarized_mnist"))


def test_other_bad_input_gets_one_clear_error(trained):
    chosen, data, run = trained
    with pytest.raises(ValueError, match="num_steps.*at least 1.*0"):
        generation.train(chosen, data, 0)
    with pytest.raises(ValueError, match="num_glimpses.*at least 1.*0"):
        generation.train_reader(chosen, data, 0)
    with pytest.raises(ValueError, match="at least one image"):
        generation.evaluate(run.model, data.test[0][:0])
    with pytest.raises(ValueError, match="samples of at least 1.*0"):
        generation.importance_bound(run.model, data.test[0], 0)
