"""Segmentation: data, kinds, recipe and measures, on tiny sizes."""

import dataclasses

import numpy as np
import pytest

from attnlib import datasets, profiles
from attnlib.models import encoders, segmentation
from attnlib.models.scale_segmentation import IGNORE


@pytest.fixture(scope="module")
def tiny():
    return dataclasses.replace(
        profiles.load("14", "smoke"),
        examples=24,
        held_out=6,
        height=32,
        width=32,
        filters=2,
        batch_size=8,
    )


@pytest.fixture(scope="module")
def task(tiny):
    return segmentation.load_task(tiny)


@pytest.fixture(scope="module")
def trained(tiny, task, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATTNLIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        found = segmentation.train_all(tiny, task)
        again = segmentation.train(tiny, task, tiny.models[0])
    assert again.loaded
    return found


def test_task_says_what_it_is(task):
    assert task.knows_objects and task.record["name"] == "scale_scenes"
    assert "24 training and 6 test images of 32x32" in task.description
    assert task.classes[0] == "background"


@pytest.mark.parametrize(
    "change", [{"examples": 25}, {"held_out": 7}, {"shapes": 2}]
)
def test_digest_says_which_data(task, tiny, change):
    assert segmentation.load_task(tiny).digest == task.digest
    other = dataclasses.replace(tiny, **change)
    assert segmentation.load_task(other).digest != task.digest


def test_unknown_data_set(tiny):
    with pytest.raises(ValueError, match="dataset to be one of.*'mnist'"):
        segmentation.load_task(dataclasses.replace(tiny, dataset="mnist"))


@pytest.mark.parametrize(
    ("images", "masks", "message"),
    [
        ((1, 4, 6, 3), np.zeros((1, 4, 5), int), "size of each image.*4, 5"),
        ((1, 4, 6, 3), np.zeros((4, 6), int), "Resize the masks"),
        ((4, 6), np.zeros((1, 4, 6), int), "Resize the masks"),
        ((1, 4, 6, 3), np.zeros((1, 4, 6)), "whole numbers.*float64"),
        ((2, 4, 6, 3), np.full((2, 4, 6), 3), "0 to 2, or 255.*3 in mask 0"),
        ((1, 4, 6, 3), np.full((1, 4, 6), -1), "Received: -1 in mask 0"),
    ],
)
def test_masks_that_do_not_fit(images, masks, message):
    with pytest.raises(ValueError, match=message):
        segmentation.check(np.zeros(images), masks, 3)


def test_kinds_are_the_paper_s():
    assert segmentation.parse("baseline")["scales"] == (1.0,)
    found = segmentation.parse("3-scales-max")
    assert found == {
        "scales": (1.0, 0.75, 0.5),
        "merge": "max",
        "extra_supervision": False,
    }
    for kind in ("4-scales-max", "2-scales", "2-scales-att-more", None):
        with pytest.raises(ValueError, match=f"Received: {kind!r}"):
            segmentation.parse(kind)


def test_build(tiny, task):
    model = segmentation.build(tiny, task, "3-scales-att-extra", 10)
    assert model.scales == (1.0, 0.75, 0.5) and model.extra_supervision
    assert model.num_classes == 5
    with pytest.raises(ValueError, match="network to be one of.*'vgg'"):
        other = dataclasses.replace(tiny, network="vgg")
        segmentation.build(other, task, "baseline", 10)


def test_a_profile_takes_vgg(tiny, task, monkeypatch):
    network = encoders.large_fov(weights=None, units=4)
    monkeypatch.setattr(encoders, "large_fov", lambda: network)
    given = dataclasses.replace(tiny, network="vgg16")
    model = segmentation.build(given, task, "baseline", 10)
    assert model.network is network
    for kind in profiles.settings_of("14", "paper"):
        setting = profiles.load("14", "paper", setting=kind)
        for name in setting.models:
            segmentation.parse(name)
        assert setting.network in segmentation.NETWORKS


def test_flipped_batches_keep_pixels_and_classes_together():
    images = np.arange(40 * 6, dtype="uint8").reshape(40, 2, 3, 1)
    images = np.repeat(images, 3, axis=-1)
    masks = images[..., 0].copy()
    x, y = segmentation.flipped(images, masks, np.random.default_rng(0))
    assert x.dtype == "float32"
    np.testing.assert_array_equal(np.rint(x[..., 0] * 255), y)
    turned = (y != masks).any((1, 2))
    assert 5 < turned.sum() < 35
    np.testing.assert_array_equal(y[turned], masks[turned][:, :, ::-1])


def test_trained_models_are_kept(trained, tiny):
    assert list(trained) == list(tiny.models)
    for training in trained.values():
        assert np.isfinite(training.history["val_mean_iou"]).all()


def test_segment_names_every_pixel(trained, task):
    model = trained["2-scales-att-extra"].model
    found = segmentation.segment(model, task.test["images"])
    assert found["classes"].shape == (6, 32, 32)
    assert found["own"].shape == found["weights"].shape == (6, 2, 32, 32)
    assert found["classes"].max() < 5 and found["classes"].dtype == np.uint8
    np.testing.assert_allclose(found["weights"].sum(1), 1, rtol=1e-5)
    value = segmentation.evaluate(model, task)
    wanted = segmentation.mean_iou(task.test["mask"], found["classes"], 5)
    assert value == pytest.approx(wanted) and 0 <= value <= 100


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda images: images.astype("float32"), "as bytes.*float32"),
        (lambda images: images[:0], "at least one"),
        (lambda images: images[0], r"\(N, H, W, C\)"),
        (lambda images: images[..., :1], "last axis of size 3"),
        (lambda images: images[:, :1], "one pixel.*scale 0.5 of images of 1"),
    ],
)
def test_what_is_no_image_is_not_segmented(trained, task, change, told):
    model = trained["2-scales-att-extra"].model
    with pytest.raises(ValueError, match=told):
        segmentation.segment(model, change(task.test["images"][:2]))
    # The model can still be used.
    found = segmentation.segment(model, task.test["images"][:1])
    assert found["classes"].shape == (1, 32, 32)


def test_the_place_of_a_pixel_alone(task):
    masks = np.array([[[0, 1]], [[0, 1]], [[2, IGNORE]]])
    part = {"mask": masks}
    given = dataclasses.replace(
        task, train=part, validation=part, test={"mask": np.array([[[0, 2]]])}
    )
    # Said 0 and 1: of the classes that are there or said, 0 alone is right.
    assert segmentation.by_place(given) == pytest.approx(100 / 3)
    assert segmentation.by_place(given, "train") == pytest.approx(500 / 9)


@pytest.mark.parametrize("profile", profiles.NAMES)
def test_every_profile_has_models(profile):
    for setting in {None, *profiles.settings_of("14", profile)}:
        models = profiles.load("14", profile, setting=setting).models
        assert models and len(set(models)) == len(models)


def test_confusion_and_iou_by_hand():
    masks = np.array([[[0, 0, 1], [1, 2, IGNORE]]])
    found = np.array([[[0, 1, 1], [1, 0, 2]]])
    counts = segmentation.confusion(masks, found, 4)
    np.testing.assert_array_equal(
        counts, [[1, 1, 0, 0], [0, 2, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    )
    iou = segmentation.class_iou(masks, found, 4)
    np.testing.assert_allclose(iou, [100 / 3, 200 / 3, 0, np.nan])
    mean = segmentation.mean_iou(masks, found, 4)
    assert mean == pytest.approx(100 / 3)
    with pytest.raises(ValueError, match=r"each pixel.*\(1, 2, 3\).*\(2,\)"):
        segmentation.confusion(masks, [0, 1], 4)


def test_perfect_and_empty_predictions():
    masks = datasets.load("scale_scenes", "test", count=5)["mask"]
    right = np.where(masks == IGNORE, 3, masks)
    assert segmentation.mean_iou(masks, right, 5) == 100
    nothing = segmentation.class_iou(masks, np.zeros_like(masks), 5)
    assert nothing[0] > 50 and np.nanmax(nothing[1:]) == 0


def test_by_object_is_the_mean_over_its_pixels(task):
    data = task.test
    random = np.random.default_rng(0)
    values = random.random(data["mask"].shape)
    found = segmentation.by_object(task, {"value": values})
    assert len(found["size"]) == (data["size"] > 0).sum()
    row = 0
    for image in range(6):
        for k, size in enumerate(data["size"][image]):
            if size:
                pixels = values[image][data["object"][image] == k]
                assert found["value"][row] == pytest.approx(pixels.mean())
                assert found["image"][row] == image
                assert found["size"][row] == size
                row += 1


def test_octaves():
    centres, group = segmentation.octaves([8, 9, 16, 31, 32], bins=2)
    np.testing.assert_array_equal(group, [0, 0, 1, 1, 1])
    np.testing.assert_allclose(centres, [8 * 2**0.5, 16 * 2**0.5])
