"""Fine-grained recognition: data, recipe, measures and errors, tiny sizes."""

import dataclasses

import numpy as np
import pytest
from numerics import to_numpy
from PIL import Image

from attnlib import datasets, profiles
from attnlib.models import fine_grained, parallel_transformers
from attnlib.ops.grids import cell_middles


@pytest.fixture(scope="module")
def tiny():
    return dataclasses.replace(
        profiles.load("10", "smoke"), examples=32, held_out=16, batch_size=8
    )


@pytest.fixture(scope="module")
def task(tiny):
    return fine_grained.load_task(tiny)


@pytest.fixture(scope="module")
def trained(tiny, task, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATTNLIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        found = fine_grained.train_all(tiny, task)
        again = fine_grained.train(tiny, task, "2-st")
    assert again.loaded
    return found


def test_task_says_what_it_is(task):
    assert task.record["name"] == "two_part_glyphs"
    assert "32 training and 16 test images of 56x56" in task.description
    assert len(task.classes) == 16 and task.classes[5] == "27"
    assert set(task.places) == {"validation", "test"}


def test_places_are_where_the_parts_are(task):
    """The brightest pixels lie at the parts."""
    images, _ = task.test
    for image, parts in zip(images, task.places["test"], strict=True):
        for x, y in ((parts + 1) * 28 - 0.5).round().astype(int):
            near = image[y - 7 : y + 8, x - 7 : x + 8]
            assert near.max() > 200


def test_centred_is_the_convention_of_windows():
    cells = cell_middles(1, 4)
    np.testing.assert_allclose(
        fine_grained.centred([[0, 1.5], [3, 1.5]], 4), cells[[0, 3]]
    )


@pytest.mark.parametrize(
    "change", [{"examples": 33}, {"held_out": 17}, {"side": 60}]
)
def test_digest_says_which_data(task, tiny, change):
    assert fine_grained.load_task(tiny).digest == task.digest
    other = dataclasses.replace(tiny, **change)
    assert fine_grained.load_task(other).digest != task.digest


def test_unknown_data_set(tiny):
    with pytest.raises(ValueError, match="dataset to be one of.*'mnist'"):
        fine_grained.load_task(dataclasses.replace(tiny, dataset="mnist"))


def test_photographs_that_are_not_there(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("ATTNLIB_DATA", str(tmp_path))
    birds = dataclasses.replace(tiny, dataset="cub_200")
    with pytest.raises(datasets.DatasetUnavailable, match="cub_200"):
        fine_grained.load_task(birds)


def test_birds_in_the_publisher_s_format(tiny, tmp_path, monkeypatch):
    """From files to a trained network, without places of parts."""
    monkeypatch.setenv("ATTNLIB_DATA", str(tmp_path))
    monkeypatch.setenv("ATTNLIB_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "cub_200" / "CUB_200_2011"
    lists = {
        "images.txt": "{i} 00{k}.Kind{k}/bird_{i}.jpg",
        "image_class_labels.txt": "{i} {k}",
        "train_test_split.txt": "{i} {train}",
        "bounding_boxes.txt": "{i} 2.0 2.0 20.0 20.0",
    }
    lines = {name: [] for name in lists}
    for i in range(1, 61):
        k = 1 + i % 2
        names = {"i": i, "k": k, "train": int(i <= 50)}
        for name, line in lists.items():
            lines[name].append(line.format(**names))
        path = root / "images" / f"00{k}.Kind{k}" / f"bird_{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), (120 * k, 0, 0)).save(path)
    lines["classes.txt"] = ["1 001.Kind1", "2 002.Kind2"]
    for name, rows in lines.items():
        (root / name).write_text("\n".join(rows) + "\n")
    birds = dataclasses.replace(tiny, dataset="cub_200", side=32)
    task = fine_grained.load_task(birds)
    assert task.classes == ("Kind1", "Kind2") and task.places is None
    found = fine_grained.train(birds, task, "2-st")
    assert "val_found" not in found.history
    seen = fine_grained.look(found.model, task.test[0])
    assert seen["places"].shape == (10, 2, 2)
    assert seen["probabilities"].shape == (10, 2)


@pytest.mark.parametrize(
    ("kind", "count"), [("none", 0), ("1-st", 1), ("4-st", 4)]
)
def test_kinds(kind, count):
    assert fine_grained.parse(kind) == count


@pytest.mark.parametrize("kind", ["2st", "0-st", "10-st", "", None, 2])
def test_unknown_kind(kind):
    with pytest.raises(ValueError, match="'none', or '1-st' to '9-st'"):
        fine_grained.parse(kind)


def test_history(trained, task):
    two = trained["2-st"]
    assert len(two.history["val_accuracy"]) == 1
    assert 0 <= two.history["val_found"][0] <= 100
    places = fine_grained.place_history(two)
    assert places.shape == (2, 2, 2, 2)
    np.testing.assert_array_equal(places[0, 1], parallel_transformers.tiles(2))
    now = fine_grained.look(two.model, task.validation[0])["places"][:2]
    np.testing.assert_allclose(places[1], now, atol=1e-4)
    with pytest.raises(ValueError, match="a model with transformers"):
        fine_grained.place_history(trained["none"])


def test_look(trained, task):
    images, labels = task.test
    for kind, run in trained.items():
        seen = fine_grained.look(run.model, images)
        np.testing.assert_allclose(seen["probabilities"].sum(1), 1, rtol=1e-5)
        assert ("places" in seen) == (kind != "none")
        right = fine_grained.accuracy(seen["probabilities"], labels)
        assert 0 <= right <= 100
    with pytest.raises(ValueError, match="as bytes.*float32"):
        fine_grained.look(run.model, images.astype("float32"))


def test_chosen_windows_at_the_model_s_places_change_nothing(trained, task):
    model, images = trained["2-st"].model, task.test[0]
    seen = fine_grained.look(model, images[:3])
    here = fine_grained.look_at(model, images[1], seen["places"][1])
    assert here["crops"].shape == (2, model.crop, model.crop, 1)
    np.testing.assert_allclose(
        here["probabilities"], seen["probabilities"][1], atol=1e-5
    )


def test_the_localisation_network_has_its_own_rate(tiny, task):
    slow = dataclasses.replace(tiny, localization_rate=1e-6)
    model = fine_grained.build(slow, task, "2-st", 4)
    before = [to_numpy(w.value) for w in model.trainable_weights]
    images, labels = task.train
    model.fit(images.astype("float32") / 255, labels, batch_size=8, verbose=0)
    for old, weight in zip(before, model.trainable_weights, strict=True):
        moved = np.abs(to_numpy(weight.value) - old).max()
        still = "localization" in weight.path
        assert (moved < 1e-6) == still, weight.path


def test_shifted_photographs():
    images = np.arange(10, dtype="uint8")[None, None, :, None] * 20
    images = np.repeat(np.repeat(images, 10, 1), 40, 0)
    labels = np.arange(40)
    made, same = fine_grained.shifted(images, labels, np.random.default_rng(0))
    assert made.shape == images.shape and made.dtype == np.float32
    assert same is labels and made.max() <= 1
    slopes = np.sign(made[:, 0, 5, 0] - made[:, 0, 4, 0])
    assert {-1, 1} == set(slopes.tolist())
    again, _ = fine_grained.shifted(images, labels, np.random.default_rng(0))
    np.testing.assert_array_equal(made, again)


PARTS = np.array([[[-0.5, 0], [0.5, 0]], [[0.5, 0.2], [-0.5, 0.2]]])


def test_windows_that_hold_parts():
    places = np.array([[[-0.2, 0], [0, 0]], [[0.5, -0.3], [-0.5, 0.2]]])
    found = fine_grained.inside(places, PARTS, 0.4)
    assert found.tolist() == [
        [[True, False], [False, False]],
        [[False, False], [False, True]],
    ]


def test_windows_that_follow_a_part_are_specialised():
    part, share = fine_grained.specialised(PARTS[:, ::-1], PARTS)
    assert part.tolist() == [1, 0] and share.tolist() == [100, 100]
    # A window that stays where it is sees now the one, now the other.
    still = np.repeat(PARTS[:1], 2, axis=0)
    assert fine_grained.specialised(still, PARTS)[1].tolist() == [50, 50]


def test_overlap_of_windows():
    same = np.zeros((1, 2, 2))
    assert fine_grained.overlaps(same, 0.4).tolist() == [1]
    apart = np.array([[[-0.5, 0], [0.5, 0]]])
    assert fine_grained.overlaps(apart, 0.4).tolist() == [0]
    half = np.array([[[0, 0], [0.4, 0]]])
    np.testing.assert_allclose(fine_grained.overlaps(half, 0.4), 1 / 3)
    with pytest.raises(ValueError, match="at least two windows"):
        fine_grained.overlaps(same[:, :1], 0.4)


def test_confusions():
    labels = np.array([0, 5, 15])  # 16, 27, 49
    said = np.eye(16)[[0, 6, 3]]  # 16, 28, 19
    found = fine_grained.confusions(said, labels)
    assert found["head"].sum() == found["tail"].sum() == 3
    assert np.trace(found["head"]) == 2 and found["head"][3, 0] == 1
    assert np.trace(found["tail"]) == 2 and found["tail"][1, 2] == 1


def test_confusions_of_something_else_are_refused():
    with pytest.raises(ValueError, match=r"16 glyphs for 2.*\(2, 17\)"):
        fine_grained.confusions(np.zeros((2, 17)), [0, 1])


@pytest.mark.parametrize("shape", [(0, 56, 56, 1), (56, 56, 1)])
def test_no_image_is_refused(trained, shape):
    with pytest.raises(ValueError, match="at least one. Received: shape"):
        fine_grained.look(trained["2-st"].model, np.zeros(shape, np.uint8))
