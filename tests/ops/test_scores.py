import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numerics import check_gradients, dtype_of, gradients, jit, to_numpy

from attnlib.ops import (
    additive_scores,
    bilinear_scores,
    masked_softmax,
    word_guided_scores,
)


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def softmax_reference(scores, mask=None, axis=-1):
    """exp(e) / sum exp(e) over allowed entries, rows without any are 0."""
    scores = np.array(scores, "float64")
    allowed = np.ones(scores.shape, bool)
    if mask is not None:
        allowed = np.broadcast_to(mask, scores.shape)
    peak = np.max(
        scores, axis=axis, keepdims=True, where=allowed, initial=-1e300
    )
    powers = np.where(allowed, np.exp(np.where(allowed, scores - peak, 0)), 0)
    total = powers.sum(axis=axis, keepdims=True)
    return powers / np.where(total == 0, 1, total)


def scores_reference(query, keys, v):
    """v . tanh(q_t + k_s), pair by pair."""
    out = np.zeros((len(query), query.shape[1], keys.shape[1]))
    for b, t, s in np.ndindex(out.shape):
        out[b, t, s] = v @ np.tanh(query[b, t] + keys[b, s])
    return out


# masked_softmax


@pytest.mark.parametrize("axis", [-1, 0, 1, 2, -2])
@pytest.mark.parametrize("mask_shape", [None, (2, 3, 4), (1, 3, 1), (4,), ()])
def test_softmax_equals_reference(axis, mask_shape):
    scores, mask = 5 * random(2, 3, 4), None
    if mask_shape is not None:
        mask = np.random.default_rng(1).random(mask_shape) < 0.6
    found = to_numpy(masked_softmax(scores, mask, axis=axis))
    expected = softmax_reference(scores, mask, axis)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (2, 0, 4), (1, 1)])
def test_softmax_of_empty_axes(shape):
    scores, mask = np.ones(shape, "float32"), np.ones(shape, bool)
    expected = softmax_reference(scores)
    for found in (masked_softmax(scores), masked_softmax(scores, mask)):
        np.testing.assert_array_equal(to_numpy(found), expected)


@given(
    seed=st.integers(0, 2**31),
    scale=st.sampled_from([0.0, 1.0, 1e4, 1e30]),
)
@settings(max_examples=30, deadline=None)
def test_softmax_rows_sum_to_one_or_are_empty(seed, scale):
    rng = np.random.default_rng(seed)
    scores = (scale * rng.normal(size=(3, 2, 4))).astype("float32")
    mask = rng.random((3, 2, 4)) < 0.4
    found = to_numpy(masked_softmax(scores, mask))
    assert not found[~mask].any()
    np.testing.assert_allclose(found.sum(-1), mask.any(-1), rtol=1e-5)


@given(seed=st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_padding_never_changes_the_softmax(seed):
    more = 3
    scores, padding = random(2, 3, seed=seed), random(2, more, seed=seed + 1)
    mask = np.array([[True] * 3, [True, False, False]])
    found = to_numpy(
        masked_softmax(
            np.concatenate([scores, 100 * padding], 1),
            np.concatenate([mask, np.zeros((2, more), bool)], 1),
        )
    )
    expected = to_numpy(masked_softmax(scores, mask))
    np.testing.assert_allclose(found[:, :3], expected, rtol=1e-6)
    assert not found[:, 3:].any()


@given(order=st.permutations(range(5)), seed=st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_softmax_follows_a_permutation(order, seed):
    scores = random(2, 5, seed=seed)
    mask = np.random.default_rng(seed).random((2, 5)) < 0.7
    found = to_numpy(masked_softmax(scores[:, order], mask[:, order]))
    expected = to_numpy(masked_softmax(scores, mask))[:, order]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38])
def test_softmax_ignores_what_is_masked(bad):
    scores = np.array([[1.0, 2.0, bad], [bad, bad, bad]], "float32")
    mask = np.array([[True, True, False], [False, False, False]])
    found = to_numpy(masked_softmax(scores, mask))
    expected = softmax_reference(scores[:1, :2])
    np.testing.assert_allclose(found[:1, :2], expected, rtol=1e-6)
    assert not found[0, 2] and not found[1].any()
    cotangent = random(2, 3)
    (gradient,) = gradients(
        lambda x: masked_softmax(x, mask), scores, cotangent=cotangent
    )
    assert np.isfinite(gradient).all()
    assert not gradient[~mask].any()


def test_with_a_mask_a_score_of_minus_infinity_counts_as_masked():
    scores = np.array([[-np.inf, -np.inf, 5], [-np.inf, 1, 1]], "float32")
    mask = np.array([[True, True, False], [True, True, True]])
    found = to_numpy(masked_softmax(scores, mask))
    np.testing.assert_array_equal(found, [[0, 0, 0], [0, 0.5, 0.5]])
    (gradient,) = gradients(lambda x: masked_softmax(x, mask)[..., 1], scores)
    assert np.isfinite(gradient).all() and gradient[1].any()
    bad = np.array([[np.nan, 1, 1]], "float32")
    assert np.isnan(to_numpy(masked_softmax(bad, mask[1:]))).any()


def test_softmax_stops_what_flows_back_to_masked_entries():
    # As from a logarithm of the weights: 1 / 0.
    scores, mask = random(2, 3), np.array([[True, True, False], [False] * 3])
    cotangent = np.where(mask, random(2, 3, seed=1), np.inf)
    (gradient,) = gradients(
        lambda x: masked_softmax(x, mask), scores, cotangent=cotangent
    )
    assert np.isfinite(gradient).all() and gradient[0, :2].all()


@pytest.mark.parametrize("large", [-3.4028235e38, -1e38, -3e30, 1e38])
def test_softmax_of_large_allowed_scores(large):
    scores = np.array([[large, large, 0.0]], "float32")
    mask = np.array([[True, True, False]])
    found = to_numpy(masked_softmax(scores, mask))
    np.testing.assert_allclose(found, [[0.5, 0.5, 0]])


def test_softmax_without_a_mask_equals_a_full_mask():
    scores = random(2, 3)
    full = masked_softmax(scores, np.ones((2, 3), bool))
    np.testing.assert_allclose(
        to_numpy(masked_softmax(scores)), to_numpy(full), rtol=1e-6
    )


def test_softmax_gradients():
    scores = random(3, 4)
    mask = np.array([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 0]], bool)
    check_gradients(
        lambda x: masked_softmax(x, mask),
        lambda x: softmax_reference(x, mask),
        [scores],
    )
    check_gradients(masked_softmax, softmax_reference, [scores])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_softmax_sums_many_terms_in_float32(dtype):
    # 5000 equal terms: a float16 sum of exponentials would stall at 2048.
    scores = keras.ops.zeros((1, 5000), dtype=dtype)
    mask = np.ones((1, 5000), bool)
    for found in (masked_softmax(scores, mask), masked_softmax(scores)):
        assert dtype_of(found) == dtype
        value = to_numpy(keras.ops.cast(found[0, 0], "float32"))
        np.testing.assert_allclose(value, 1 / 5000, rtol=5e-3)


@pytest.mark.tensorflow
def test_softmax_keeps_float64():
    scores = np.random.default_rng(0).normal(size=(2, 3))
    found = masked_softmax(scores, np.ones((2, 3), bool))
    assert dtype_of(found) == "float64"
    np.testing.assert_allclose(
        to_numpy(found), softmax_reference(scores), rtol=1e-14
    )


def test_softmax_compiles():
    scores = random(2, 3)
    mask = np.array([[True, False, True], [False] * 3])
    found = to_numpy(jit(masked_softmax)(scores, mask))
    np.testing.assert_allclose(
        found, softmax_reference(scores, mask), rtol=1e-6
    )


def test_softmax_on_symbolic_tensors():
    scores = keras.Input((3, None))
    mask = keras.Input((None,), dtype="bool")
    out = masked_softmax(scores, mask[:, None, :])
    assert tuple(out.shape) == (None, 3, None)
    model = keras.Model([scores, mask], out)
    values, allowed = random(2, 3, 4), np.array([[1, 0, 1, 1], [0] * 4], bool)
    np.testing.assert_allclose(
        model.predict([values, allowed], verbose=0),
        softmax_reference(values, allowed[:, None, :]),
        rtol=1e-5,
    )


def test_softmax_reports_bad_input():
    with pytest.raises(ValueError, match="scores.*floating.*Received.*int"):
        masked_softmax(np.ones((2, 3), "int32"))
    with pytest.raises(ValueError, match="scores.*floating.*Received.*bool"):
        masked_softmax(np.ones((2, 3), bool))
    for dtype in ("int32", "float32", "uint8"):
        with pytest.raises(ValueError, match=f"mask.*boolean.*{dtype}"):
            masked_softmax(random(2, 3), np.ones((2, 3), dtype))
    for shape in ((2, 4), (3, 2, 3), (1, 2, 3)):
        with pytest.raises(ValueError, match="mask.*broadcast.*Received"):
            masked_softmax(random(2, 3), np.ones(shape, bool))
    for axis in (2, -3, "last", 1.0, True, np.nan):
        with pytest.raises(ValueError, match="axis.*Received"):
            masked_softmax(random(2, 3), axis=axis)


# additive_scores


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 1, 1, 1), (0, 2, 3, 4)])
def test_scores_equal_reference(shape):
    b, t, s, u = shape
    arrays = random(b, t, u), random(b, s, u, seed=1), random(u, seed=2)
    found = to_numpy(additive_scores(*arrays))
    assert found.shape == (b, t, s)
    np.testing.assert_allclose(
        found, scores_reference(*arrays), rtol=1e-5, atol=1e-6
    )


def test_scores_gradients():
    check_gradients(
        additive_scores,
        scores_reference,
        [random(2, 3, 4), random(2, 2, 4, seed=1), random(4, seed=2)],
    )


def test_scores_take_the_dtype_of_the_query():
    query = keras.ops.cast(random(1, 2, 3), "float16")
    found = additive_scores(query, np.ones((1, 4, 3)), np.ones(3))
    assert dtype_of(found) == "float16"


def test_scores_compile_and_work_symbolically():
    arrays = random(2, 3, 5), random(2, 4, 5, seed=1), random(5, seed=2)
    found = to_numpy(jit(additive_scores)(*arrays))
    np.testing.assert_allclose(
        found, scores_reference(*arrays), rtol=1e-5, atol=1e-6
    )
    query, keys = keras.Input((None, 5)), keras.Input((None, 5))
    out = additive_scores(query, keys, arrays[2])
    assert tuple(out.shape) == (None, None, None)


def test_scores_report_bad_input():
    query, keys, v = random(2, 3, 4), random(2, 5, 4), random(4)
    with pytest.raises(ValueError, match="query.*rank 3.*Received"):
        additive_scores(query[0], keys, v)
    with pytest.raises(ValueError, match="keys.*rank 3.*Received"):
        additive_scores(query, keys[0], v)
    with pytest.raises(ValueError, match="v .*rank 1.*Received"):
        additive_scores(query, keys, v[None])
    with pytest.raises(ValueError, match="batch sizes.*keys: 1"):
        additive_scores(query, keys[:1], v)
    with pytest.raises(ValueError, match="units.*v: 3"):
        additive_scores(query, keys, v[:3])
    with pytest.raises(ValueError, match="keys.*floating"):
        additive_scores(query, np.ones((2, 5, 4), "int32"), v)


# bilinear_scores


def bilinear_reference(query, keys, kernel):
    """query_t . W key_s, pair by pair."""
    out = np.zeros((len(query), query.shape[1], keys.shape[1]))
    for b, t, s in np.ndindex(out.shape):
        out[b, t, s] = query[b, t] @ kernel @ keys[b, s]
    return out


@pytest.mark.parametrize("shape", [(2, 3, 4, 5, 6), (1, 1, 1, 1, 1)])
def test_bilinear_scores_equal_reference(shape):
    b, t, s, d, e = shape
    arrays = random(b, t, d), random(b, s, e, seed=1), random(d, e, seed=2)
    found = to_numpy(jit(bilinear_scores)(*arrays))
    np.testing.assert_allclose(
        found, bilinear_reference(*arrays), rtol=1e-4, atol=1e-5
    )


def test_bilinear_scores_gradients():
    check_gradients(
        bilinear_scores,
        bilinear_reference,
        [random(2, 2, 3), random(2, 3, 4, seed=1), random(3, 4, seed=2)],
    )


def test_bilinear_scores_of_empty_axes_and_of_other_dtypes():
    query = keras.ops.zeros((0, 2, 3), "float16")
    found = bilinear_scores(query, np.ones((0, 4, 5)), np.ones((3, 5)))
    assert tuple(found.shape) == (0, 2, 4)
    assert dtype_of(found) == "float16"


def test_bilinear_scores_report_bad_input():
    query, keys, kernel = random(2, 3, 4), random(2, 5, 6), random(4, 6)
    with pytest.raises(ValueError, match="query.*rank 3.*Received"):
        bilinear_scores(query[0], keys, kernel)
    with pytest.raises(ValueError, match="keys.*rank 3.*Received"):
        bilinear_scores(query, keys[0], kernel)
    with pytest.raises(ValueError, match="kernel.*rank 2.*Received"):
        bilinear_scores(query, keys, kernel[0])
    with pytest.raises(ValueError, match="batch sizes.*keys: 1"):
        bilinear_scores(query, keys[:1], kernel)
    with pytest.raises(ValueError, match="widths.*query: 4, kernel: 3"):
        bilinear_scores(query, keys, kernel[:3])
    with pytest.raises(ValueError, match="widths.*keys: 6, kernel: 5"):
        bilinear_scores(query, keys, kernel[:, :5])
    with pytest.raises(ValueError, match="kernel.*floating.*int32"):
        bilinear_scores(query, keys, np.ones((4, 6), "int32"))


# word_guided_scores


def guided_reference(words, keys, mask=None):
    """max over the allowed words of words_t . keys_l; 0 without a word."""
    out = np.zeros(keys.shape[:2])
    for b, place in np.ndindex(out.shape):
        allowed = words[b] if mask is None else words[b][mask[b]]
        if len(allowed):
            out[b, place] = max(word @ keys[b, place] for word in allowed)
    return out


WORDS_MASK = np.array([[1, 1, 1], [0, 1, 0], [0, 0, 0]], bool)


@pytest.mark.parametrize("mask", [None, WORDS_MASK])
def test_word_guided_scores_equal_reference(mask):
    words, keys = random(3, 3, 4), random(3, 5, 4, seed=1)
    found = to_numpy(
        jit(lambda w, k: word_guided_scores(w, k, mask))(words, keys)
    )
    np.testing.assert_allclose(
        found, guided_reference(words, keys, mask), rtol=1e-5, atol=1e-6
    )
    check_gradients(
        lambda w, k: word_guided_scores(w, k, mask),
        lambda w, k: guided_reference(w, k, mask),
        [words, keys],
    )


@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 4)])
def test_word_guided_scores_without_examples_or_words(shape):
    keys = random(shape[0], 5, 4)
    found = to_numpy(word_guided_scores(np.ones(shape, "float32"), keys))
    np.testing.assert_array_equal(found, np.zeros((shape[0], 5)))


def test_word_guided_scores_do_not_depend_on_the_order_of_words():
    words, keys = random(3, 3, 4), random(3, 5, 4, seed=1)
    order = [2, 0, 1]
    found = word_guided_scores(words[:, order], keys, WORDS_MASK[:, order])
    expected = word_guided_scores(words, keys, WORDS_MASK)
    np.testing.assert_allclose(to_numpy(found), to_numpy(expected), rtol=1e-6)


def test_word_guided_scores_report_bad_input():
    words, keys = random(2, 3, 4), random(2, 5, 4)
    with pytest.raises(ValueError, match="words.*rank 3.*Received"):
        word_guided_scores(words[0], keys)
    with pytest.raises(ValueError, match="keys.*rank 3.*Received"):
        word_guided_scores(words, keys[0])
    with pytest.raises(ValueError, match="batch sizes.*keys: 1"):
        word_guided_scores(words, keys[:1])
    with pytest.raises(ValueError, match="widths.*keys: 3"):
        word_guided_scores(words, keys[..., :3])
    with pytest.raises(ValueError, match="words_mask.*boolean.*float32"):
        word_guided_scores(words, keys, np.ones((2, 3), "float32"))
    with pytest.raises(ValueError, match="lengths.*words_mask: 5"):
        word_guided_scores(words, keys, np.ones((2, 5), bool))
    with pytest.raises(ValueError, match="words.*floating.*int32"):
        word_guided_scores(np.ones((2, 3, 4), "int32"), keys)
