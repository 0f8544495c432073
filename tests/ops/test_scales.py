import keras
import numpy as np
import pytest
from numerics import check_gradients, dtype_of, jit, to_numpy

from attnlib.ops import merge_scales


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def reference(score_maps, scores):
    """w^s = exp h^s / sum_t exp h^t; g = sum_s w^s f^s (equations 1, 2)."""
    batch, scales, height, width, classes = score_maps.shape
    merged = np.zeros((batch, height, width, classes))
    weights = np.zeros((batch, scales, height, width))
    for b, y, x in np.ndindex(batch, height, width):
        powers = np.exp(scores[b, y, x] - scores[b, y, x].max())
        weights[b, :, y, x] = powers / powers.sum()
        merged[b, y, x] = weights[b, :, y, x] @ score_maps[b, :, y, x]
    return merged, weights


@pytest.mark.parametrize("shape", [(2, 3, 4, 5, 2), (1, 1, 1, 1, 1)])
def test_equals_reference(shape):
    b, s, h, w, _ = shape
    maps, scores = random(*shape), 2 * random(b, h, w, s, seed=1)
    found = to_numpy(jit(merge_scales)(maps, scores))
    for one, other in zip(found, reference(maps, scores), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("output", [0, 1])
def test_gradients(output):
    check_gradients(
        lambda *t: merge_scales(*t)[output],
        lambda *t: reference(*t)[output],
        [random(2, 2, 2, 3, 2), random(2, 2, 3, 2, seed=1)],
    )


def test_equal_scores_are_the_mean_and_one_high_score_is_a_choice():
    maps, scores = random(2, 3, 4, 5, 2), np.ones((2, 4, 5, 3), "float32")
    merged, weights = to_numpy(merge_scales(maps, scores))
    np.testing.assert_allclose(weights, 1 / 3, rtol=1e-6)
    np.testing.assert_allclose(merged, maps.mean(1), rtol=1e-4, atol=1e-6)
    scores[..., 1] = 200
    merged, weights = to_numpy(merge_scales(maps, scores))
    np.testing.assert_allclose(merged, maps[:, 1], rtol=1e-6)
    # Some processors divide by a reciprocal, which rounds once more.
    np.testing.assert_allclose(weights[:, 1], 1, rtol=2e-7)


def test_pixels_are_independent():
    maps, scores = random(1, 2, 3, 3, 1), random(1, 3, 3, 2, seed=1)
    before = to_numpy(merge_scales(maps, scores)[0])
    scores[0, 1, 2], maps[0, :, 1, 2] = 5, 7
    changed = to_numpy(merge_scales(maps, scores)[0]) != before
    assert np.argwhere(changed[0, :, :, 0]).tolist() == [[1, 2]]


def test_takes_the_dtype_of_the_score_maps():
    maps = keras.ops.cast(random(0, 2, 3, 3, 1), "float16")
    merged, weights = merge_scales(maps, np.zeros((0, 3, 3, 2)))
    assert tuple(merged.shape) == (0, 3, 3, 1)
    assert dtype_of(merged) == dtype_of(weights) == "float16"


def test_reports_bad_input():
    maps, scores = random(2, 3, 4, 5, 2), random(2, 4, 5, 3)
    with pytest.raises(ValueError, match="score_maps.*rank 5.*Received"):
        merge_scales(maps[0], scores)
    with pytest.raises(ValueError, match="scores.*rank 4.*Received"):
        merge_scales(maps, scores[0])
    for bad, what in (
        ((1, 4, 5, 3), "batch sizes.*scores: 1"),
        ((2, 1, 5, 3), "heights.*scores: 1"),
        ((2, 4, 1, 3), "widths.*scores: 1"),
        ((2, 4, 5, 1), "numbers of scales.*scores: 1"),
    ):
        with pytest.raises(ValueError, match=what):
            merge_scales(maps, random(*bad))
    with pytest.raises(ValueError, match="score_maps.*floating.*int32"):
        merge_scales(np.ones((2, 3, 4, 5, 2), "int32"), scores)
    with pytest.raises(ValueError, match="scores.*floating.*bool"):
        merge_scales(maps, np.ones((2, 4, 5, 3), bool))
