"""Measures of saliency maps against hand-worked cases and closed forms."""

import numpy as np
import pytest

from attnlib import saliency_scores as scores


def square(count=1):
    mask = np.zeros((count, 8, 8), int)
    mask[:, 2:6, 2:6] = 1
    return mask


def test_f_beta_by_hand():
    # 1.3 * 0.5 * 1 / (0.3 * 0.5 + 1)
    assert scores.f_beta(0.5, 1) == pytest.approx(0.65 / 1.15)
    assert scores.f_beta(0, 0) == 0 and scores.f_beta(1, 1) == 1
    np.testing.assert_allclose(scores.f_beta([1, 0], [0.5, 1]), [0.8125, 0])


def test_precision_and_recall_by_hand():
    # Three levels: 1 and 0.6 on the object, 0.6 and 0.1 off it.
    maps = np.array([[[1.0, 0.6, 0.6, 0.1]]])
    masks = np.array([[[1, 1, 0, 0]]])
    thresholds, precision, recall = scores.precision_recall(maps, masks)
    at = np.searchsorted(thresholds, [0, 0.3, 0.8])
    np.testing.assert_allclose(precision[at], [0.5, 2 / 3, 1])
    np.testing.assert_allclose(recall[at], [1, 1, 0.5])
    best, threshold = scores.best_f_beta(maps, masks)
    assert best == pytest.approx(max(scores.f_beta([2 / 3, 1], [1, 0.5])))
    assert 0.6 < threshold <= 1


def test_images_count_alike_whatever_their_objects_size():
    masks = np.zeros((2, 8, 8), int)
    masks[0], masks[1, 0, 0] = 1, 1
    maps = masks.astype(float)
    maps[1] = 0
    _, precision, recall = scores.precision_recall(maps, masks)
    assert recall[128] == 0.5 and precision[128] == 1


def test_best_f_beta_is_the_largest_of_all_thresholds():
    random = np.random.default_rng(0)
    maps, masks = random.random((3, 8, 8)), square(3)
    best, _ = scores.best_f_beta(maps, masks)
    found = []
    for threshold in np.arange(256) / 256:
        called = maps >= threshold
        hit = (called & (masks == 1)).sum((1, 2))
        many = called.sum((1, 2))
        p = np.where(many > 0, hit / np.maximum(many, 1), 1).mean()
        found.append(scores.f_beta(p, (hit / 16).mean()))
    assert best == pytest.approx(max(found))


def test_adaptive_threshold_is_twice_the_mean():
    maps = np.zeros((1, 2, 5))
    maps[0, 0, :3] = 0.9, 0.5, 0.3  # mean 0.17, threshold 0.34
    masks = np.zeros((1, 2, 5), int)
    masks[0, 0, 0] = 1
    assert scores.adaptive_f_beta(maps, masks) == pytest.approx(0.65 / 1.15)
    full = np.ones((1, 2, 5))
    assert scores.adaptive_f_beta(full, full.astype(int)) == 1


def test_region_counts_its_pixels_alone():
    masks = square() == 1
    called = np.ones_like(masks)
    region = np.zeros_like(masks)
    region[:, 3:5, 3:5] = True
    assert scores.region_f_beta(called, masks, region) == 1
    assert scores.region_f_beta(~called, masks, region) == 0
    assert scores.region_f_beta(~called, ~called) == 1
    assert scores.region_f_beta(called, masks) == scores.f_beta(0.25, 1)


def test_mean_absolute_error_by_hand():
    maps = np.where(square() == 1, 0.75, 0.1)
    wanted = (16 * 0.25 + 48 * 0.1) / 64
    found = scores.mean_absolute_error(maps, square())
    assert found == pytest.approx(wanted)


def test_structure_of_perfect_and_of_opposite_maps():
    mask = square()
    assert scores.s_measure(mask.astype(float), mask) == pytest.approx(1)
    assert scores.s_measure(1.0 - mask, mask) < 0.1


def test_structure_of_masks_without_an_edge():
    maps = np.full((1, 4, 4), 0.3)
    zeros = np.zeros((1, 4, 4), int)
    assert scores.s_measure(maps, zeros) == pytest.approx(0.7)
    assert scores.s_measure(maps, 1 - zeros) == pytest.approx(0.3)


def test_structure_of_an_even_map_by_hand():
    """Even maps have no structure: S_r is 0, S_o by its formula."""
    value, share = 0.4, 0.25
    maps = np.full((1, 8, 8), value)

    def even(x):
        return 2 * x / (x * x + 1)

    whole = share * even(value) + (1 - share) * even(1 - value)
    found = scores.s_measure(maps, square())
    assert found == pytest.approx(whole / 2)


def test_structure_by_region_by_hand():
    """Two rows: the mask's centre splits it into blocks of one column."""
    mask = np.array([[[1, 0], [1, 0]]])
    maps = np.array([[[0.9, 0.2], [0.7, 0.2]]])
    # Centre (0, 0.5): rows 0 to 0 (round half to even), columns 0 to 0.
    # Blocks of one pixel: no variance, the similarity is 1 where the product
    # of means is 0 over 0.
    o_fg = 2 * 0.8 / (0.64 + 1 + np.sqrt(0.02))
    o_bg = 2 * 0.8 / (0.64 + 1)
    s_o = 0.5 * o_fg + 0.5 * o_bg
    assert scores.s_measure(maps, mask) == pytest.approx((s_o + 1) / 2)


@pytest.mark.parametrize(
    ("maps", "masks", "message"),
    [
        (np.zeros((1, 4, 5)), np.zeros((1, 4, 4), int), "size of each map"),
        (np.zeros((4, 4)), np.zeros((4, 4), int), r"\(N, H, W\)"),
        (np.zeros((1, 4, 4)), np.full((1, 4, 4), 255), "0 and 1.*255"),
        (np.full((1, 4, 4), 3.0), np.zeros((1, 4, 4), int), "sigmoid"),
        (np.full((1, 4, 4), np.nan), np.zeros((1, 4, 4), int), "nan"),
    ],
)
def test_bad_input(maps, masks, message):
    for measure in (scores.best_f_beta, scores.s_measure):
        with pytest.raises(ValueError, match=message):
            measure(maps, masks)
