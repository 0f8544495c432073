import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numerics import check_gradients, dtype_of, to_numpy

from attnlib.layers import OutputAttention


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def built(units=4, state=5, width=5, **options):
    layer = OutputAttention(units, **options)
    layer.build((None, state), (None, None, width))
    layer.set_weights(
        [0.5 * random(*w.shape, seed=i) for i, w in enumerate(layer.weights)]
    )
    return layer


def reference(weights, query, attributes, mask=None, sigma=np.tanh):
    """beta_i ~ exp(h V sigma(y_i)); W (h + diag(w) sum_i beta_i sigma(y_i))."""
    v, mix, w_out = (np.array(x, "float64") for x in weights)
    mix = np.diag(mix) if mix.ndim == 1 else mix
    output = np.zeros((len(query), w_out.shape[1]))
    beta = np.zeros(attributes.shape[:2])
    for b in range(len(query)):
        use = np.ones(attributes.shape[1], bool) if mask is None else mask[b]
        values = sigma(attributes[b])
        if use.any():
            e = np.array([query[b] @ v @ g for g in values])
            powers = np.where(use, np.exp(e - e[use].max()), 0)
            beta[b] = powers / powers.sum()
        output[b] = (query[b] + (beta[b] @ values) @ mix) @ w_out
    return output, beta


MASK = np.array([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 0]], bool)
ATTRIBUTES = random(3, 4, 5, seed=9)


@pytest.mark.parametrize("state", [5, 3])
@pytest.mark.parametrize("mask", [None, MASK])
def test_equals_reference(state, mask):
    layer, query = built(state=state), random(3, state)
    found = to_numpy(layer(query, ATTRIBUTES, attributes_mask=mask))
    expected = reference(layer.get_weights(), query, ATTRIBUTES, mask)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("state", [5, 3])
def test_gradients_with_a_fully_masked_row(state):
    layer, query = built(state=state), random(3, state)
    output, weights = to_numpy(layer(query, ATTRIBUTES, MASK))
    assert not weights[2].any()
    np.testing.assert_allclose(
        output[2], query[2] @ layer.get_weights()[2], rtol=1e-4, atol=1e-6
    )
    check_gradients(
        lambda *t: layer(*t, attributes_mask=MASK)[0],
        lambda *t: reference(layer.get_weights(), *t, MASK)[0],
        [query, ATTRIBUTES],
        tolerance=3e-4,
    )


def test_activation_is_that_of_the_decoder():
    layer, query = built(activation="relu"), random(3, 5)
    found = to_numpy(layer(query, ATTRIBUTES))
    expected = reference(
        layer.get_weights(),
        query,
        ATTRIBUTES,
        sigma=lambda x: np.maximum(x, 0),
    )
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_zero_kernel_of_the_scores_gives_the_mean():
    layer, query = built(), random(3, 5)
    v, _, kernel = layer.get_weights()
    layer.set_weights([0 * v, np.ones(5), kernel])
    output, weights = to_numpy(layer(query, ATTRIBUTES))
    assert (weights == 0.25).all()
    expected = (query + np.tanh(ATTRIBUTES).mean(1)) @ kernel
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)


def test_one_attribute():
    layer, query = OutputAttention(4), random(3, 5)
    output, weights = to_numpy(layer(query, ATTRIBUTES[:, :1]))
    assert (weights == 1).all()
    expected = (query + np.tanh(ATTRIBUTES[:, 0])) @ layer.get_weights()[2]
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
    layer = OutputAttention(5)
    layer.build((None, 5), (None, None, 5))
    v, _, w_out = layer.get_weights()
    assert (v != w_out).any()


def test_half_precision_is_close_to_float32():
    layer, query = built(dtype="mixed_float16"), random(3, 5)
    expected = reference(layer.get_weights(), query, ATTRIBUTES, MASK)
    for one, other in zip(
        layer(query, ATTRIBUTES, MASK), expected, strict=True
    ):
        assert dtype_of(one) == "float16"
        np.testing.assert_allclose(to_numpy(one), other, atol=3e-2)


def test_reports_bad_input():
    for units in (0, -1, 2.5, "4", None, True, np.nan):
        with pytest.raises(ValueError, match="units.*at least 1.*Received"):
            OutputAttention(units)
    with pytest.raises(ValueError, match="no such function"):
        OutputAttention(4, activation="no such function")
    query = random(3, 5)
    with pytest.raises(ValueError, match="query.*rank 2.*Received"):
        built()(random(3, 2, 5), ATTRIBUTES)
    with pytest.raises(ValueError, match="query.*size 5.*Received"):
        built()(random(3, 6), ATTRIBUTES)
    with pytest.raises(ValueError, match="attributes.*size 5.*Received"):
        built()(query, random(3, 4, 6))
    with pytest.raises(ValueError, match="batch sizes.*attributes: 1"):
        built()(query, ATTRIBUTES[:1])
    for shape in ((3, 1), (1, 4), (3, 4, 1)):
        with pytest.raises(ValueError, match="attributes_mask"):
            built()(query, ATTRIBUTES, np.ones(shape, bool))
    with pytest.raises(ValueError, match="last axis of attributes.*known"):
        OutputAttention(4).build((3, 5), (3, 4, None))
