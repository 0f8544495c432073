import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numerics import check_gradients, dtype_of, to_numpy

from attnlib.layers import StackedAttention


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def built(units=4, hops=2, question=5, annotations=7, **options):
    layer = StackedAttention(units, hops, **options)
    layer.build((None, question), (None, None, annotations))
    layer.set_weights(
        [random(*w.shape, seed=i) for i, w in enumerate(layer.weights)]
    )
    return layer


def reference(weights, question, annotations, mask=None):
    """Section 3.3, one example and one hop after the other."""
    w_i, b_i, *rest = (np.array(w, "float64") for w in weights)
    hops = [rest[i : i + 4] for i in range(0, len(rest), 4)]
    answer = np.array(question, "float64")
    maps = np.zeros((len(question), len(hops), annotations.shape[1]))
    for b in range(len(question)):
        use = np.ones(annotations.shape[1], bool) if mask is None else mask[b]
        v = np.tanh(annotations[b] @ w_i + b_i)  # (L, D)
        for k, (w_ia, w_qa, b_a, w_p) in enumerate(hops):
            h = np.tanh(v @ w_ia + (answer[b] @ w_qa + b_a))  # (L, U)
            if use.any():
                e = h @ w_p
                powers = np.where(use, np.exp(e - e[use].max()), 0)
                maps[b, k] = powers / powers.sum()
            answer[b] = maps[b, k] @ v + answer[b]
    return answer, maps


MASK = np.array([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 0]], bool)


@pytest.mark.parametrize("hops", [1, 2, 3])
@pytest.mark.parametrize("mask", [None, MASK])
def test_equals_reference(hops, mask):
    layer = built(hops=hops)
    question, annotations = random(3, 5), random(3, 4, 7, seed=9)
    found = to_numpy(layer(question, annotations, annotations_mask=mask))
    expected = reference(layer.get_weights(), question, annotations, mask)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_gradients_with_a_fully_masked_row():
    layer = built()
    arrays = random(3, 5), random(3, 4, 7, seed=9)
    answer, weights = to_numpy(layer(*arrays, MASK))
    assert not weights[2].any()
    np.testing.assert_array_equal(answer[2], arrays[0][2])
    check_gradients(
        lambda *t: layer(*t, annotations_mask=MASK)[0],
        lambda *t: reference(layer.get_weights(), *t, MASK)[0],
        arrays,
        tolerance=3e-4,
    )


def test_zero_score_vectors_add_the_mean_at_every_hop():
    layer = StackedAttention(4, hops=3, score_initializer="zeros")
    question, annotations = random(2, 5), random(2, 4, 7)
    answer, weights = to_numpy(layer(question, annotations))
    assert (weights == 0.25).all()
    projected = np.tanh(annotations @ layer.get_weights()[0])
    np.testing.assert_allclose(
        answer, question + 3 * projected.mean(1), rtol=1e-4, atol=1e-5
    )


def test_one_place():
    layer, annotations = built(), random(2, 1, 7)
    answer, weights = to_numpy(layer(random(2, 5), annotations))
    assert (weights == 1).all()
    w_i, b_i = layer.get_weights()[:2]
    expected = random(2, 5) + 2 * np.tanh(annotations[:, 0] @ w_i + b_i)
    np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=1e-5)


@given(order=st.permutations(range(4)), seed=st.integers(0, 2**31))
@settings(max_examples=10, deadline=None)
def test_permuting_the_places_permutes_the_weights(order, seed):
    layer, question = built(), random(3, 5, seed=seed)
    annotations = random(3, 4, 7, seed=seed + 1)
    answer, weights = to_numpy(layer(question, annotations, MASK))
    moved = to_numpy(layer(question, annotations[:, order], MASK[:, order]))
    np.testing.assert_allclose(moved[0], answer, atol=1e-5)
    np.testing.assert_allclose(moved[1], weights[..., order], atol=1e-5)
    np.testing.assert_allclose(
        weights.sum(-1), np.repeat(MASK.any(-1)[:, None], 2, 1), rtol=1e-5
    )


def test_hops_start_different():
    layer = StackedAttention(5, hops=2)
    layer.build((None, 5), (None, None, 5))
    matrices = [w for w in layer.get_weights() if w.ndim == 2]
    assert len(matrices) == 5
    for i, one in enumerate(matrices):
        for other in matrices[:i]:
            assert (one != other).any()


def test_half_precision_is_close_to_float32():
    layer = built(dtype="mixed_float16")
    arrays = random(3, 5), random(3, 4, 7, seed=9)
    found = layer(*arrays, MASK)
    expected = reference(layer.get_weights(), *arrays, MASK)
    for one, other in zip(found, expected, strict=True):
        assert dtype_of(one) == "float16"
        np.testing.assert_allclose(to_numpy(one), other, atol=3e-2)


def test_reports_bad_input():
    for bad in (0, -1, 2.5, "4", None, True, np.nan):
        with pytest.raises(ValueError, match="units.*at least 1.*Received"):
            StackedAttention(bad, 2)
        with pytest.raises(ValueError, match="hops.*at least 1.*Received"):
            StackedAttention(4, bad)
    question, annotations = random(2, 5), random(2, 4, 7)
    with pytest.raises(ValueError, match="question.*rank 2.*Received"):
        built()(random(2, 3, 5), annotations)
    with pytest.raises(ValueError, match="question.*size 5.*Received"):
        built()(random(2, 6), annotations)
    with pytest.raises(ValueError, match="annotations.*size 7.*Received"):
        built()(question, random(2, 4, 8))
    with pytest.raises(ValueError, match="batch sizes.*annotations: 1"):
        built()(question, annotations[:1])
    for shape in ((2, 1), (1, 4), (2, 4, 1)):
        with pytest.raises(ValueError, match="annotations_mask"):
            built()(question, annotations, np.ones(shape, bool))
    with pytest.raises(ValueError, match="last axis of question.*known"):
        StackedAttention(4).build((2, None), (2, 4, 7))
