import numpy as np
import pytest

from attnlib import datasets
from attnlib.datasets import digits28

SPLITS = {"train": 1200, "validation": 197, "test": 400}


@pytest.mark.parametrize("split, count", SPLITS.items())
def test_shapes_and_balance(split, count):
    data = datasets.load("digits28", split)
    assert data["images"].shape == (count, 28, 28, 1)
    assert data["images"].dtype == np.uint8
    assert data["label"].dtype == np.int32
    per_class = np.bincount(data["label"], minlength=10)
    assert per_class.shape == (10,)
    assert per_class.max() - per_class.min() <= 0.05 * count / 10 + 1


def test_splits_are_a_partition_of_scikit_learns_digits():
    from sklearn.datasets import load_digits

    parts = [datasets.load("digits28", split) for split in SPLITS]
    images = np.concatenate([part["images"] for part in parts])
    labels = np.concatenate([part["label"] for part in parts])
    original = load_digits()
    expected = digits28._enlarge(original.images)[..., None]
    for label in range(10):
        ours = images[labels == label].reshape(-1, 784)
        theirs = expected[original.target == label].reshape(-1, 784)
        ours, theirs = (a[np.lexsort(a.T)] for a in (ours, theirs))
        np.testing.assert_array_equal(ours, theirs)


def test_enlarging_agrees_with_a_cubic_spline_in_floats():
    rng = np.random.default_rng(0)
    small = np.zeros((3, 8, 8))
    small[:, 2:6, 2:6] = rng.integers(0, 17, (3, 4, 4))

    def kernel(x):
        x = np.abs(x)
        near = 1.5 * x**3 - 2.5 * x**2 + 1
        far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
        return np.where(x <= 1, near, np.where(x < 2, far, 0))

    places = (np.arange(20) + 0.5) * 8 / 20 - 0.5
    weights = kernel(places[:, None] - np.arange(8))
    expected = np.einsum("ia,nab,jb->nij", weights, small, weights) * 255 / 16
    expected = np.clip(expected, 0, 255)
    for image, reference in zip(
        digits28._enlarge(small), expected, strict=True
    ):
        windows = np.lib.stride_tricks.sliding_window_view(image, (20, 20))
        distance = np.abs(windows - reference).max((-1, -2))
        assert distance.min() <= 0.5 + 1e-6


def test_digits_are_centred_and_have_ink():
    images = datasets.load("digits28", "test")["images"][..., 0].astype(float)
    mass = images.sum((1, 2))
    assert mass.min() > 0
    for axis in (1, 2):
        centre = (images.sum(3 - axis) @ np.arange(28)) / mass
        assert np.abs(centre - 13.5).max() <= 1.5
    assert images.max((1, 2)).min() > 200


def test_a_load_cannot_be_changed_by_its_caller():
    datasets.load("digits28", "test")["images"][:] = 0
    assert datasets.load("digits28", "test")["images"].any()


def test_copies_are_of_the_training_split_only():
    more = datasets.load("digits28", "train", copies=2, seed=7)
    assert more["images"].shape == (3600, 28, 28, 1)
    plain = datasets.load("digits28", "train")
    np.testing.assert_array_equal(more["images"][:1200], plain["images"])
    np.testing.assert_array_equal(more["label"], np.tile(plain["label"], 3))
    test = datasets.load("digits28", "test", copies=2)
    assert len(test["images"]) == 400


def test_augmentation_follows_its_seed():
    data = datasets.load("digits28", "test")
    first, second, third = (
        digits28.augmented(data["images"], data["label"], 1, seed=seed)[0]
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, second)
    assert (first[400:] != third[400:]).any((1, 2, 3)).all()


def test_augmentation_moves_as_it_says():
    image = np.zeros((1, 28, 28, 1), np.uint8)
    image[0, 13:15, 13:15] = 255
    many, _ = digits28.augmented(image, np.zeros(1), 500)
    mass = many[1:, ..., 0].astype(float)
    total = mass.sum((1, 2))
    for axis in (1, 2):
        centre = (mass.sum(3 - axis) @ np.arange(28)) / total - 13.5
        assert 1.5 < np.abs(centre).max() < 3
        assert abs(centre.mean()) < 0.2
    # Areas scale with the square of 0.85..1.15.
    area = total / (4 * 255)
    assert 0.6 < area.min() < 0.85 < 1.15 < area.max() < 1.5


def test_warp_by_whole_pixels_is_exact():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 9, 7, 3), dtype=np.uint8)
    matrix = np.tile(np.eye(2), (4, 1, 1))
    same = digits28._warp(images, matrix, np.zeros((4, 2)))
    np.testing.assert_array_equal(same, images)
    moved = digits28._warp(images, matrix, np.tile([2.0, -1.0], (4, 1)))
    np.testing.assert_array_equal(moved[:, 1:, :-2], images[:, :-1, 2:])
    assert not moved[:, 0].any() and not moved[:, :, -2:].any()


@pytest.mark.parametrize("copies", [-1, 1.5, True, "2", None])
def test_bad_copies(copies):
    with pytest.raises(ValueError, match="copies: expected a whole number"):
        datasets.load("digits28", copies=copies)


def test_bad_images_to_augment():
    images = np.zeros((2, 28, 28, 1), np.uint8)
    with pytest.raises(ValueError, match="uint8 of shape"):
        digits28.augmented(images.astype(float), np.zeros(2), 1)
    with pytest.raises(ValueError, match="uint8 of shape"):
        digits28.augmented(images[..., 0], np.zeros(2), 1)
    with pytest.raises(ValueError, match="one label"):
        digits28.augmented(images, np.zeros(3), 1)
    with pytest.raises(ValueError, match="seed: expected a whole number"):
        digits28.augmented(images, np.zeros(2), 1, seed=-1)


def test_digits_can_be_learned():
    from sklearn.svm import SVC

    train, test = (
        datasets.load("digits28", split) for split in ("train", "test")
    )
    flat = [part["images"].reshape(-1, 784) / 255 for part in (train, test)]
    model = SVC(C=10).fit(flat[0], train["label"])
    assert model.score(flat[1], test["label"]) > 0.98
