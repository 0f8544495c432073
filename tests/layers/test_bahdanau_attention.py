import keras
import numpy as np
import pytest
from numerics import check_gradients, dtype_of, to_numpy

from attnlib.layers import BahdanauAttention


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def built(units=4, query=5, memory=7, **options):
    layer = BahdanauAttention(units, **options)
    layer.build((None, None, query), (None, None, memory))
    layer.set_weights(
        [random(*w.shape, seed=i) for i, w in enumerate(layer.weights)]
    )
    return layer


def reference(weights, query, memory, mask=None):
    """e_ij = v_a . tanh(W_a s_i + U_a h_j), appendix A.1.2, float64."""
    w_a, u_a, v_a = (np.array(w, "float64") for w in weights)
    context = np.zeros((*query.shape[:2], memory.shape[2]))
    alpha = np.zeros((*query.shape[:2], memory.shape[1]))
    for b, i in np.ndindex(query.shape[:2]):
        use = np.ones(memory.shape[1], bool) if mask is None else mask[b]
        if not use.any():
            continue
        e = np.array(
            [v_a @ np.tanh(query[b, i] @ w_a + h @ u_a) for h in memory[b]]
        )
        powers = np.where(use, np.exp(e - e[use].max()), 0)
        alpha[b, i] = powers / powers.sum()
        context[b, i] = alpha[b, i] @ memory[b]
    return context, alpha


MASK = np.array([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 0]], bool)


@pytest.mark.parametrize("mask", [None, MASK])
def test_equals_reference(mask):
    layer, query, memory = built(), random(3, 2, 5), random(3, 4, 7, seed=9)
    found = to_numpy(layer(query, memory, memory_mask=mask))
    expected = reference(layer.get_weights(), query, memory, mask)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mask", [None, MASK])
def test_one_query_equals_one_step(mask):
    layer, query, memory = built(), random(3, 5), random(3, 4, 7, seed=9)
    context, weights = to_numpy(layer(query, memory, memory_mask=mask))
    steps = to_numpy(layer(query[:, None], memory, memory_mask=mask))
    np.testing.assert_allclose(context, steps[0][:, 0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(weights, steps[1][:, 0], rtol=1e-5, atol=1e-6)


def test_fully_masked_row_is_zero_with_finite_gradients():
    layer, query, memory = built(), random(3, 2, 5), random(3, 4, 7, seed=9)
    context, weights = to_numpy(layer(query, memory, memory_mask=MASK))
    assert not context[2].any() and not weights[2].any()
    check_gradients(
        lambda q, m: layer(q, m, memory_mask=MASK)[0],
        lambda q, m: reference(layer.get_weights(), q, m, MASK)[0],
        [query, memory],
        tolerance=3e-4,
    )


def test_zero_score_vector_gives_exactly_uniform_weights():
    layer = BahdanauAttention(4, score_initializer="zeros")
    memory = random(2, 4, 7)
    context, weights = to_numpy(layer(random(2, 3, 5), memory))
    assert (weights == 0.25).all()
    expected = np.repeat(memory.mean(1)[:, None], 3, 1)
    np.testing.assert_allclose(context, expected, rtol=1e-5, atol=1e-6)


def test_memory_of_one_entry():
    memory = random(2, 1, 7)
    context, weights = to_numpy(built()(random(2, 5), memory))
    np.testing.assert_allclose(context, memory[:, 0])
    assert (weights == 1).all()


def test_permuting_the_memory_permutes_the_weights():
    layer, query, memory = built(), random(3, 2, 5), random(3, 4, 7, seed=9)
    order = [2, 0, 3, 1]
    context, weights = to_numpy(layer(query, memory, memory_mask=MASK))
    moved = to_numpy(layer(query, memory[:, order], memory_mask=MASK[:, order]))
    np.testing.assert_allclose(moved[0], context, atol=1e-5)
    np.testing.assert_allclose(moved[1], weights[..., order], atol=1e-6)


def test_keys_are_computed_once_for_a_recurrence():
    layer, query, memory = built(), random(3, 2, 5), random(3, 4, 7, seed=9)
    keys = layer.project(memory)
    assert tuple(keys.shape) == (3, 4, 4)
    expected = memory @ layer.get_weights()[1]
    np.testing.assert_allclose(to_numpy(keys), expected, rtol=1e-4, atol=1e-5)
    given = to_numpy(layer(query, memory, keys=keys))
    computed = to_numpy(layer(query, memory))
    for one, other in zip(given, computed, strict=True):
        np.testing.assert_array_equal(one, other)
    # The keys decide the weights; the memory only the context.
    other = to_numpy(layer(query, 2 * memory, keys=keys))
    np.testing.assert_array_equal(other[1], computed[1])
    np.testing.assert_allclose(other[0], 2 * computed[0], rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16"])
def test_project_before_the_first_call(dtype):
    layer = built(dtype=dtype)
    keys = layer.project(random(2, 4, 7).astype("float64"))
    assert dtype_of(keys) == layer.compute_dtype
    context, _ = layer(random(2, 5), random(2, 4, 7), keys=keys)
    assert dtype_of(context) == layer.compute_dtype


def test_float16_weights_over_a_long_memory_sum_to_one():
    layer = built(dtype="mixed_float16")
    memory = np.ones((1, 4096, 7), "float32")
    context, weights = layer(random(1, 5), memory)
    total = to_numpy(weights).astype("float64").sum()
    np.testing.assert_allclose(total, 1, atol=5e-3)
    np.testing.assert_allclose(to_numpy(context), 1, atol=1e-2)


def test_mask_of_the_query_travels_with_the_outputs():
    layer = BahdanauAttention(4)
    ids = np.array([[1, 2, 0], [3, 0, 0]])
    query = keras.layers.Embedding(5, 5, mask_zero=True)(ids)
    context, _ = layer(query, random(2, 4, 7))
    mask = getattr(context, "_keras_mask", None)
    if mask is not None:
        np.testing.assert_array_equal(to_numpy(mask), ids != 0)


def test_projections_of_one_shape_start_different():
    """Equal ones would score s + h, whatever query and memory mean."""
    layer = BahdanauAttention(4)
    layer.build((None, 5), (None, None, 5))
    w_a, u_a, _ = layer.get_weights()
    assert (w_a != u_a).any()


def test_a_mask_may_be_a_list():
    layer, query, memory = built(), random(3, 2, 5), random(3, 4, 7, seed=9)
    found = to_numpy(layer(query, memory, memory_mask=MASK.tolist()))
    expected = to_numpy(layer(query, memory, memory_mask=MASK))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_shapes_that_cannot_be_built():
    layer = BahdanauAttention(4)
    with pytest.raises(ValueError, match="last axis of query.*known"):
        layer.build((2, None), (2, 4, 7))
    with pytest.raises(ValueError, match="last axis of memory.*known"):
        layer.build((2, 5), (2, 4, None))
    for method in (layer.build, layer.compute_output_shape):
        with pytest.raises(ValueError, match="batch sizes.*memory: 3"):
            method((2, 5), (3, 4, 7))


def test_reports_bad_input():
    for units in (0, -1, 2.5, "4", None, True, np.nan):
        with pytest.raises(ValueError, match="units.*at least 1.*Received"):
            BahdanauAttention(units)
    query, memory = random(2, 3, 5), random(2, 4, 7)
    with pytest.raises(ValueError, match="query.*size 5.*Received"):
        built()(random(2, 3, 6), memory)
    with pytest.raises(ValueError, match="memory.*size 7.*Received"):
        built()(query, random(2, 4, 8))
    with pytest.raises(ValueError, match="keys.*rank 3.*Received"):
        built()(query, memory, keys=random(2, 4))
    with pytest.raises(ValueError, match="lengths.*keys: 5"):
        built()(query, memory, keys=random(2, 5, 4))
    with pytest.raises(ValueError, match="batch sizes.*keys: 1"):
        built()(query, memory, keys=random(1, 4, 4))
    for shape in ((2, 1), (1, 4), (2, 4, 1)):
        with pytest.raises(ValueError, match="memory_mask"):
            built()(query, memory, np.ones(shape, bool))
    with pytest.raises(ValueError, match="units.*keys: 3"):
        built()(query, memory, keys=random(2, 4, 3))
    with pytest.raises(ValueError, match="keys.*floating"):
        built()(query, memory, keys=np.ones((2, 4, 4), "int32"))
    with pytest.raises(ValueError, match="memory.*rank 3.*Received"):
        built().project(memory[0])
    with pytest.raises(ValueError, match="build"):
        BahdanauAttention(4).project(memory)
