import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numerics import check_gradients, dtype_of, to_numpy

from attnlib.layers import InputAttention


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def built(units=4, width=5, **options):
    layer = InputAttention(units, **options)
    layer.build((None, width), (None, None, width))
    layer.set_weights(
        [0.5 * random(*w.shape, seed=i) for i, w in enumerate(layer.weights)]
    )
    return layer


def reference(weights, query, attributes, mask=None):
    """alpha_i ~ exp(y U y_i); x = W (y + diag(w) sum_i alpha_i y_i)."""
    u, w, w_out = (np.array(x, "float64") for x in weights)
    output = np.zeros((len(query), w_out.shape[1]))
    alpha = np.zeros(attributes.shape[:2])
    for b in range(len(query)):
        use = np.ones(attributes.shape[1], bool) if mask is None else mask[b]
        if use.any():
            e = np.array([query[b] @ u @ y for y in attributes[b]])
            powers = np.where(use, np.exp(e - e[use].max()), 0)
            alpha[b] = powers / powers.sum()
        mixture = np.diag(w) @ (alpha[b] @ attributes[b])
        output[b] = (query[b] + mixture) @ w_out
    return output, alpha


MASK = np.array([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 0]], bool)
QUERY, ATTRIBUTES = random(3, 5), random(3, 4, 5, seed=9)


@pytest.mark.parametrize("mask", [None, MASK])
def test_equals_reference(mask):
    layer = built()
    found = to_numpy(layer(QUERY, ATTRIBUTES, attributes_mask=mask))
    expected = reference(layer.get_weights(), QUERY, ATTRIBUTES, mask)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_gradients_with_a_fully_masked_row():
    layer = built()
    output, weights = to_numpy(layer(QUERY, ATTRIBUTES, MASK))
    assert not weights[2].any()
    np.testing.assert_allclose(
        output[2], QUERY[2] @ layer.get_weights()[2], rtol=1e-4, atol=1e-6
    )
    check_gradients(
        lambda *t: layer(*t, attributes_mask=MASK)[0],
        lambda *t: reference(layer.get_weights(), *t, MASK)[0],
        [QUERY, ATTRIBUTES],
        tolerance=3e-4,
    )


def test_zero_kernel_of_the_scores_gives_the_mean():
    layer = built()
    u, _, kernel = layer.get_weights()
    layer.set_weights([0 * u, np.ones(5), kernel])
    output, weights = to_numpy(layer(QUERY, ATTRIBUTES))
    assert (weights == 0.25).all()
    np.testing.assert_allclose(
        output, (QUERY + ATTRIBUTES.mean(1)) @ kernel, rtol=1e-4, atol=1e-5
    )


def test_one_attribute():
    layer = InputAttention(4)
    output, weights = to_numpy(layer(QUERY, ATTRIBUTES[:, :1]))
    assert (weights == 1).all()
    expected = (QUERY + ATTRIBUTES[:, 0]) @ layer.get_weights()[2]
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)


@given(order=st.permutations(range(4)), seed=st.integers(0, 2**31))
@settings(max_examples=10, deadline=None)
def test_permuting_the_attributes_permutes_the_weights(order, seed):
    layer, query = built(), random(3, 5, seed=seed)
    attributes = random(3, 4, 5, seed=seed + 1)
    output, weights = to_numpy(layer(query, attributes, MASK))
    moved = to_numpy(layer(query, attributes[:, order], MASK[:, order]))
    np.testing.assert_allclose(moved[0], output, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(moved[1], weights[:, order], atol=1e-5)
    np.testing.assert_allclose(weights.sum(-1), MASK.any(-1), rtol=1e-5)


def test_weights_of_one_shape_start_different():
    layer = InputAttention(5)
    layer.build((None, 5), (None, None, 5))
    u, _, w_out = layer.get_weights()
    assert (u != w_out).any()


def test_half_precision_is_close_to_float32():
    layer = built(dtype="mixed_float16")
    expected = reference(layer.get_weights(), QUERY, ATTRIBUTES, MASK)
    for one, other in zip(
        layer(QUERY, ATTRIBUTES, MASK), expected, strict=True
    ):
        assert dtype_of(one) == "float16"
        np.testing.assert_allclose(to_numpy(one), other, atol=3e-2)


def test_reports_bad_input():
    for units in (0, -1, 2.5, "4", None, True, np.nan):
        with pytest.raises(ValueError, match="units.*at least 1.*Received"):
            InputAttention(units)
    with pytest.raises(ValueError, match="query.*rank 2.*Received"):
        built()(random(3, 2, 5), ATTRIBUTES)
    with pytest.raises(ValueError, match="query.*size 5.*Received"):
        built()(random(3, 6), ATTRIBUTES)
    with pytest.raises(ValueError, match="attributes.*size 5.*Received"):
        built()(QUERY, random(3, 4, 6))
    with pytest.raises(ValueError, match="widths.*attributes: 6"):
        InputAttention(4)(QUERY, random(3, 4, 6))
    with pytest.raises(ValueError, match="batch sizes.*attributes: 1"):
        built()(QUERY, ATTRIBUTES[:1])
    for shape in ((3, 1), (1, 4), (3, 4, 1)):
        with pytest.raises(ValueError, match="attributes_mask"):
            built()(QUERY, ATTRIBUTES, np.ones(shape, bool))
    with pytest.raises(ValueError, match="last axis of query.*known"):
        InputAttention(4).build((3, None), (3, 4, 5))
