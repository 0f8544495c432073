import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numerics import check_gradients, dtype_of, to_numpy

from attnlib.layers import SoftAttention


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def built(units=4, state=5, annotations=7, **options):
    layer = SoftAttention(units, **options)
    layer.build((None, state), (None, None, annotations))
    layer.set_weights(
        [random(*w.shape, seed=i) for i, w in enumerate(layer.weights)]
    )
    return layer


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def reference(weights, state, annotations, mask=None):
    """e_i = v . tanh(W_h h + W_a a_i + b); z = beta sum_i alpha_i a_i."""
    w_h, w_a, b_a, v_a, *gate = (np.array(w, "float64") for w in weights)
    context = np.zeros((len(state), annotations.shape[2]))
    alpha = np.zeros(annotations.shape[:2])
    for b in range(len(state)):
        use = np.ones(annotations.shape[1], bool) if mask is None else mask[b]
        if not use.any():
            continue
        hidden = state[b] @ w_h + annotations[b] @ w_a + b_a  # (L, U)
        e = np.tanh(hidden) @ v_a
        powers = np.where(use, np.exp(e - e[use].max()), 0)
        alpha[b] = powers / powers.sum()
        beta = sigmoid(state[b] @ gate[0] + gate[1]) if gate else 1
        context[b] = beta * (alpha[b] @ annotations[b])
    return context, alpha


MASK = np.array([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 0]], bool)


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("mask", [None, MASK])
def test_equals_reference(gated, mask):
    layer = built(gated=gated)
    state, annotations = random(3, 5), random(3, 4, 7, seed=9)
    found = to_numpy(layer(state, annotations, annotations_mask=mask))
    expected = reference(layer.get_weights(), state, annotations, mask)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_gradients_with_a_fully_masked_row():
    layer, state, annotations = built(), random(3, 5), random(3, 4, 7, seed=9)
    context, weights = to_numpy(layer(state, annotations, MASK))
    assert not context[2].any() and not weights[2].any()
    check_gradients(
        lambda *t: layer(*t, annotations_mask=MASK)[0],
        lambda *t: reference(layer.get_weights(), *t, MASK)[0],
        [state, annotations],
        tolerance=3e-4,
    )
    check_gradients(
        lambda *t: layer(*t, annotations_mask=MASK)[1],
        lambda *t: reference(layer.get_weights(), *t, MASK)[1],
        [state, annotations],
        tolerance=3e-4,
    )


def test_gate_is_one_number_per_example_times_the_context():
    gated, free = built(), built(gated=False)
    state, annotations = random(3, 5), random(3, 4, 7, seed=9)
    free.set_weights(gated.get_weights()[:4])
    gate = to_numpy(gated.gate(state))
    kernel, bias = gated.get_weights()[4:]
    np.testing.assert_allclose(gate, sigmoid(state @ kernel + bias), rtol=1e-5)
    assert gate.shape == (3, 1)
    (context, weights), (whole, same) = (
        to_numpy(layer(state, annotations)) for layer in (gated, free)
    )
    np.testing.assert_allclose(context, gate * whole, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(weights, same)


def test_zero_weights_give_half_of_the_mean():
    layer = built()
    layer.set_weights([0 * w for w in layer.get_weights()])
    annotations = random(2, 4, 7)
    context, weights = to_numpy(layer(random(2, 5), annotations))
    assert (weights == 0.25).all()
    np.testing.assert_allclose(context, annotations.mean(1) / 2, atol=1e-6)


def test_zero_score_vector_gives_exactly_uniform_weights():
    layer = SoftAttention(4, gated=False, score_initializer="zeros")
    annotations = random(2, 4, 7)
    context, weights = to_numpy(layer(random(2, 5), annotations))
    assert (weights == 0.25).all()
    np.testing.assert_allclose(context, annotations.mean(1), atol=1e-6)


def test_one_place():
    annotations = random(2, 1, 7)
    context, weights = to_numpy(built(gated=False)(random(2, 5), annotations))
    np.testing.assert_allclose(context, annotations[:, 0])
    assert (weights == 1).all()


@given(order=st.permutations(range(4)), seed=st.integers(0, 2**31))
@settings(max_examples=10, deadline=None)
def test_permuting_the_places_permutes_the_weights(order, seed):
    layer, state = built(), random(3, 5, seed=seed)
    annotations = random(3, 4, 7, seed=seed + 1)
    context, weights = to_numpy(layer(state, annotations, MASK))
    moved = to_numpy(layer(state, annotations[:, order], MASK[:, order]))
    np.testing.assert_allclose(moved[0], context, atol=1e-5)
    np.testing.assert_allclose(moved[1], weights[:, order], atol=1e-6)
    np.testing.assert_allclose(weights.sum(-1), MASK.any(-1), rtol=1e-5)


def test_keys_are_computed_once_for_a_recurrence():
    layer, state, annotations = built(), random(3, 5), random(3, 4, 7, seed=9)
    keys = layer.project(annotations)
    expected = annotations @ layer.get_weights()[1] + layer.get_weights()[2]
    np.testing.assert_allclose(to_numpy(keys), expected, rtol=1e-4, atol=1e-5)
    given = to_numpy(layer(state, annotations, keys=keys))
    computed = to_numpy(layer(state, annotations))
    for one, other in zip(given, computed, strict=True):
        np.testing.assert_array_equal(one, other)


def test_mixed_precision_outside_of_call():
    layer = built(dtype="mixed_float16")
    state, annotations = random(2, 5), random(2, 4, 7).astype("float64")
    assert dtype_of(layer.project(annotations)) == "float16"
    assert dtype_of(layer.gate(state)) == "float16"
    context, weights = layer(state, annotations)
    expected = reference(layer.get_weights(), state, annotations)
    for found, other in zip((context, weights), expected, strict=True):
        assert dtype_of(found) == "float16"
        np.testing.assert_allclose(to_numpy(found), other, atol=2e-2)


def test_weights_of_one_shape_start_different():
    layer = SoftAttention(4)
    layer.build((None, 5), (None, None, 5))
    w_h, w_a = layer.get_weights()[:2]
    assert (w_h != w_a).any()


def test_reports_bad_input():
    for units in (0, -1, 2.5, "4", None, True, np.nan):
        with pytest.raises(ValueError, match="units.*at least 1.*Received"):
            SoftAttention(units)
    config = {**SoftAttention(4).get_config(), "units": float("nan")}
    # Keras turns what a constructor raises into a TypeError here.
    with pytest.raises((TypeError, ValueError), match="units.*at least 1.*nan"):
        SoftAttention.from_config(config)
    for gated in (None, 1, "yes"):
        with pytest.raises(ValueError, match="gated.*True or False.*Received"):
            SoftAttention(4, gated=gated)
    state, annotations = random(2, 5), random(2, 4, 7)
    with pytest.raises(ValueError, match="state.*rank 2.*Received"):
        built()(random(2, 3, 5), annotations)
    with pytest.raises(ValueError, match="state.*size 5.*Received"):
        built()(random(2, 6), annotations)
    with pytest.raises(ValueError, match="annotations.*size 7.*Received"):
        built()(state, random(2, 4, 8))
    with pytest.raises(ValueError, match="batch sizes.*annotations: 2"):
        built()(state[:1], annotations)
    with pytest.raises(ValueError, match="keys.*rank 3.*Received"):
        built()(state, annotations, keys=random(2, 4))
    with pytest.raises(ValueError, match="lengths.*keys: 1"):
        built()(state, annotations, keys=random(2, 1, 4))
    with pytest.raises(ValueError, match="batch sizes.*keys: 1"):
        built()(state, annotations, keys=random(1, 4, 4))
    with pytest.raises(ValueError, match="units.*keys: 3"):
        built()(state, annotations, keys=random(2, 4, 3))
    with pytest.raises(ValueError, match="keys.*floating"):
        built()(state, annotations, keys=np.ones((2, 4, 4), "int32"))
    for shape in ((2, 1), (1, 4), (2, 4, 1)):
        with pytest.raises(ValueError, match="annotations_mask"):
            built()(state, annotations, np.ones(shape, bool))
    with pytest.raises(ValueError, match="last axis of state.*known"):
        SoftAttention(4).build((2, None), (2, 4, 7))
    with pytest.raises(ValueError, match="last axis of annotations.*known"):
        SoftAttention(4).build((2, 5), (2, 4, None))


def test_reports_methods_that_cannot_be_used():
    with pytest.raises(ValueError, match="built.*project"):
        SoftAttention(4).project(random(2, 4, 7))
    with pytest.raises(ValueError, match="built.*gate"):
        SoftAttention(4).gate(random(2, 5))
    with pytest.raises(ValueError, match="gated=True.*Received"):
        built(gated=False).gate(random(2, 5))
    with pytest.raises(ValueError, match="annotations.*rank 3.*Received"):
        built().project(random(4, 7))
    with pytest.raises(ValueError, match="state.*size 5.*Received"):
        built().gate(random(2, 4))


def test_fits_with_the_mask_of_an_embedding():
    """Words of an image description as places, padded with 0."""
    ids = keras.Input((None,), dtype="int32")
    state = keras.Input((5,))
    embedded = keras.layers.Embedding(6, 7, mask_zero=True)(ids)
    context, weights = SoftAttention(4)(state, embedded)
    model = keras.Model([state, ids], [context, weights])
    tokens = np.array([[1, 2, 0], [3, 0, 0]])
    _, found = model.predict([random(2, 5), tokens], verbose=0)
    assert ((found > 0) == (tokens > 0)).all()
    longer = np.pad(tokens, ((0, 0), (0, 2)))
    again, _ = model.predict([random(2, 5), longer], verbose=0)
    before, _ = model.predict([random(2, 5), tokens], verbose=0)
    np.testing.assert_allclose(again, before, atol=1e-6)
