"""Saliency: data, recipe and measures of windows, on tiny sizes."""

import dataclasses

import numpy as np
import pytest

from attnlib import datasets, profiles, saliency_scores
from attnlib.models import saliency


@pytest.fixture(scope="module")
def tiny():
    return dataclasses.replace(
        profiles.load("13", "smoke"),
        examples=16,
        held_out=6,
        filters=2,
        num_steps=2,
        units=4,
        models=("refined", "random"),
    )


@pytest.fixture(scope="module")
def task(tiny):
    return saliency.load_task(tiny)


@pytest.fixture(scope="module")
def trained(tiny, task, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATTNLIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        found = saliency.train_all(tiny, task)
        again = saliency.train(tiny, task, "random", found["first"].model)
    assert again.loaded
    return found


def test_task_says_what_it_is(task):
    assert task.record["name"] == "saliency_scenes"
    assert "16 training and 6 test images of 48x48" in task.description


@pytest.mark.parametrize(
    "change", [{"examples": 17}, {"held_out": 7}, {"objects": 2}]
)
def test_digest_says_which_data(task, tiny, change):
    assert saliency.load_task(tiny).digest == task.digest
    other = dataclasses.replace(tiny, **change)
    assert saliency.load_task(other).digest != task.digest


def test_unknown_data_set(tiny):
    with pytest.raises(ValueError, match="dataset to be one of.*'mnist'"):
        saliency.load_task(dataclasses.replace(tiny, dataset="mnist"))


def test_masks_of_another_size_are_refused(tiny, monkeypatch):
    load = datasets.load

    def broken(*args, **options):
        data = load(*args, **options)
        return {**data, "mask": data["mask"][:, 1:]}

    monkeypatch.setattr(datasets, "load", broken)
    with pytest.raises(ValueError, match="size of each image.*Resize"):
        saliency.load_task(tiny)


def test_what_is_salient_is_one_object_where_objects_are_not_known():
    mask = np.zeros((2, 10, 12), np.uint8)
    mask[0, 2:6, 3:8] = 1
    found = saliency._with_objects({"mask": mask})
    assert found["boxes"].tolist() == [[[3, 2, 5, 4]], [[0, 0, 0, 0]]]
    assert found["size"][0, 0] == pytest.approx(np.sqrt(80 / np.pi))
    assert found["size"][1, 0] == 0
    np.testing.assert_array_equal(found["object"] == 0, mask == 1)


def test_profiles_name_kinds():
    for profile in profiles.NAMES:
        given = profiles.load("13", profile)
        assert set(given.models) <= set(saliency.KINDS)
        assert given.dataset in saliency.DATASETS
        assert given.size % 2**given.halvings == 0


def test_trained_models_are_kept(trained):
    assert list(trained) == ["global", "first", "refined", "random"]
    for training in trained.values():
        assert np.isfinite(training.history["val_f_beta"]).all()


def test_an_unknown_kind(tiny, task, trained):
    with pytest.raises(ValueError, match="kind to be one of.*'best'"):
        saliency.train(tiny, task, "best", trained["first"].model)


def test_look_gives_the_map_after_every_step(trained, task):
    images = task.test["images"]
    glance = saliency.look(trained["global"].model, images)
    assert glance["maps"].shape == (6, 1, 48, 48)
    assert glance["windows"].shape == (6, 0, 3)
    model = trained["refined"].model
    found = saliency.look(model, images)
    assert found["maps"].shape == (6, 3, 48, 48)
    np.testing.assert_allclose(
        found["maps"][:, 0], glance["maps"][:, 0], atol=1e-5
    )
    longer = saliency.look(model, images, 3)
    np.testing.assert_allclose(longer["maps"][:, :3], found["maps"], atol=1e-5)
    told = saliency.look(model, images, places=found["windows"])
    np.testing.assert_allclose(told["maps"], found["maps"], atol=1e-5)


def test_random_windows_are_the_same_at_every_look(trained, task):
    model = trained["random"].model
    first, again = (
        saliency.look(model, task.test["images"])["windows"] for _ in range(2)
    )
    np.testing.assert_array_equal(first, again)
    other = saliency.look(model, task.test["images"], seed=1)["windows"]
    assert (other != first).any()


def test_scores_have_all_measures(task):
    masks = task.test["mask"]
    found = saliency.scores(masks.astype("float32"), masks)
    assert found == {
        "f_beta": 1,
        "adaptive": 1,
        "mae": 0,
        "s_measure": pytest.approx(1),
    }


def test_boxes_of_windows():
    boxes = saliency.pixel_boxes([[1, 0, 0], [0.25, -0.75, 0.5]], 40, 80)
    np.testing.assert_allclose(boxes, [[0, 0, 80, 40], [0, 25, 20, 10]])


def test_best_iou_by_hand():
    # Windows: the left half's middle square, and the whole image.
    windows = np.array([[[0.5, -0.5, -0.5], [1, 0, 0]]])
    boxes = np.array([[[0, 0, 10, 10], [10, 0, 10, 20], [0, 0, 0, 0]]])
    found = saliency.best_iou(windows, boxes, 20, 20)
    np.testing.assert_allclose(found, [[1, 0.5, np.nan]])


def test_by_object_looks_around_each_object_alone(task):
    data = task.test
    perfect = data["mask"].astype("float32")
    found = saliency.by_object(data, perfect, 0.5)
    assert len(found["size"]) == (data["size"] > 0).sum()
    np.testing.assert_array_equal(found["f_beta"], 1)
    # Called salient far from all objects: nobody's loss.
    lone = {
        "size": np.array([[8.0]]),
        "boxes": np.array([[[4, 4, 8, 8]]]),
        "object": np.full((1, 40, 40), -1),
    }
    lone["object"][0, 4:12, 4:12] = 0
    maps = (lone["object"] == 0).astype(float)
    maps[:, 30:] = 1
    assert saliency.by_object(lone, maps, 0.5)["f_beta"] == 1
    maps[:, 4:12, 12:16] = 1  # within 4 pixels: 32 more than the 64
    wanted = saliency_scores.f_beta(64 / 96, 1)
    found = saliency.by_object(lone, maps, 0.5)["f_beta"]
    assert found == pytest.approx(float(wanted))


def test_thirds_are_as_large():
    size = np.random.default_rng(0).random(300)
    assert np.bincount(saliency.thirds(size)).tolist() == [100, 100, 100]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda images: images.astype("float32"), "as bytes.*float32"),
        (lambda images: images[:0], "at least one"),
        (lambda images: images[..., 0], r"\(N, H, W, C\)"),
        (lambda images: images[..., :1], "last axis"),
    ],
)
@pytest.mark.parametrize("kind", ["global", "refined"])
def test_what_is_no_image_is_not_looked_at(trained, task, kind, change, told):
    images = change(task.test["images"][:2])
    model = trained[kind].model
    with pytest.raises(ValueError, match=told):
        saliency.look(model, images)
    # The model can still be used.
    assert np.isfinite(
        saliency.look(model, task.test["images"][:1])["maps"]
    ).all()


def test_a_refined_map_has_the_size_it_was_built_for(trained, task):
    images = task.test["images"][:2, 1:]
    with pytest.raises(ValueError, match="heights. Received: images: 47"):
        saliency.look(trained["refined"].model, images)


def test_places_must_be_numbers(trained, task):
    places = np.full((2, 1, 3), np.nan)
    with pytest.raises(ValueError, match="finite numbers. Received: NaN"):
        saliency.look(
            trained["refined"].model, task.test["images"][:2], places=places
        )
