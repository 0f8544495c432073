"""What input and output attention have in common, on both."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numerics import check_gradients, dtype_of, to_numpy

from attnlib.layers import InputAttention, OutputAttention

# What each layer does to attributes before they are compared and mixed.
SIGMA = {InputAttention: lambda x: x, OutputAttention: np.tanh}
MASK = np.array([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 0]], bool)

both = pytest.mark.parametrize("kind", SIGMA)
# Output attention also takes states of another width than attributes.
widths = pytest.mark.parametrize(
    ("kind", "state"),
    [(InputAttention, 5), (OutputAttention, 5), (OutputAttention, 3)],
)


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


QUERY, ATTRIBUTES = random(3, 5), random(3, 4, 5, seed=9)


def built(kind, units=4, state=5, width=5, **options):
    layer = kind(units, **options)
    layer.build((None, state), (None, None, width))
    layer.set_weights(
        [0.5 * random(*w.shape, seed=i) for i, w in enumerate(layer.weights)]
    )
    return layer


def reference(layer, query, attributes, mask=None, sigma=None):
    """alpha_i ~ exp(h V g_i); W (h + diag(w) sum_i alpha_i g_i), g = sigma(y).

    V is called U at the input, and diag(w) is P where widths differ.
    """
    sigma = sigma or SIGMA[type(layer)]
    v, mix, w_out = (np.array(x, "float64") for x in layer.get_weights())
    mix = np.diag(mix) if mix.ndim == 1 else mix
    output = np.zeros((len(query), w_out.shape[1]))
    alpha = np.zeros(attributes.shape[:2])
    for b in range(len(query)):
        use = np.ones(attributes.shape[1], bool) if mask is None else mask[b]
        values = sigma(attributes[b])
        if use.any():
            e = np.array([query[b] @ v @ g for g in values])
            powers = np.where(use, np.exp(e - e[use].max()), 0)
            alpha[b] = powers / powers.sum()
        output[b] = (query[b] + (alpha[b] @ values) @ mix) @ w_out
    return output, alpha


@widths
@pytest.mark.parametrize("mask", [None, MASK])
def test_equals_reference(kind, state, mask):
    layer, query = built(kind, state=state), random(3, state)
    found = to_numpy(layer(query, ATTRIBUTES, attributes_mask=mask))
    expected = reference(layer, query, ATTRIBUTES, mask)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@widths
def test_gradients_with_a_fully_masked_row(kind, state):
    layer, query = built(kind, state=state), random(3, state)
    output, weights = to_numpy(layer(query, ATTRIBUTES, MASK))
    assert not weights[2].any()
    np.testing.assert_allclose(
        output[2], query[2] @ layer.get_weights()[2], rtol=1e-4, atol=1e-6
    )
    check_gradients(
        lambda *t: layer(*t, attributes_mask=MASK)[0],
        lambda *t: reference(layer, *t, MASK)[0],
        [query, ATTRIBUTES],
        tolerance=3e-4,
    )


@both
def test_zero_kernel_of_the_scores_gives_the_mean(kind):
    layer = built(kind)
    v, _, kernel = layer.get_weights()
    layer.set_weights([0 * v, np.ones(5), kernel])
    output, weights = to_numpy(layer(QUERY, ATTRIBUTES))
    assert (weights == 0.25).all()
    expected = (QUERY + SIGMA[kind](ATTRIBUTES).mean(1)) @ kernel
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)


@both
def test_one_attribute(kind):
    layer = kind(4)
    output, weights = to_numpy(layer(QUERY, ATTRIBUTES[:, :1]))
    assert (weights == 1).all()
    value = SIGMA[kind](ATTRIBUTES[:, 0])
    expected = (QUERY + value) @ layer.get_weights()[2]
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)


@both
@given(order=st.permutations(range(4)), seed=st.integers(0, 2**31))
@settings(max_examples=10, deadline=None)
def test_permuting_the_attributes_permutes_the_weights(kind, order, seed):
    layer, query = built(kind), random(3, 5, seed=seed)
    attributes = random(3, 4, 5, seed=seed + 1)
    output, weights = to_numpy(layer(query, attributes, MASK))
    moved = to_numpy(layer(query, attributes[:, order], MASK[:, order]))
    np.testing.assert_allclose(moved[0], output, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(moved[1], weights[:, order], atol=1e-5)
    np.testing.assert_allclose(weights.sum(-1), MASK.any(-1), rtol=1e-5)


@both
def test_weights_of_one_shape_start_different(kind):
    layer = kind(5)
    layer.build((None, 5), (None, None, 5))
    scores, _, w_out = layer.get_weights()
    assert (scores != w_out).any()


@both
def test_half_precision_is_close_to_float32(kind):
    layer = built(kind, dtype="mixed_float16")
    expected = reference(layer, QUERY, ATTRIBUTES, MASK)
    for one, other in zip(
        layer(QUERY, ATTRIBUTES, MASK), expected, strict=True
    ):
        assert dtype_of(one) == "float16"
        np.testing.assert_allclose(to_numpy(one), other, atol=3e-2)


@both
def test_reports_bad_input(kind):
    for units in (0, -1, 2.5, "4", None, True, np.nan):
        with pytest.raises(ValueError, match="units.*at least 1.*Received"):
            kind(units)
    with pytest.raises(ValueError, match="query.*rank 2.*Received"):
        built(kind)(random(3, 2, 5), ATTRIBUTES)
    with pytest.raises(ValueError, match="query.*size 5.*Received"):
        built(kind)(random(3, 6), ATTRIBUTES)
    with pytest.raises(ValueError, match="attributes.*size 5.*Received"):
        built(kind)(QUERY, random(3, 4, 6))
    with pytest.raises(ValueError, match="batch sizes.*attributes: 1"):
        built(kind)(QUERY, ATTRIBUTES[:1])
    for shape in ((3, 1), (1, 4), (3, 4, 1)):
        with pytest.raises(ValueError, match="attributes_mask"):
            built(kind)(QUERY, ATTRIBUTES, np.ones(shape, bool))
