import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numerics import check_gradients, dtype_of, to_numpy

from attnlib.layers import WordRegionAttention


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def built(hops=2, words=5, annotations=7, **options):
    layer = WordRegionAttention(hops, **options)
    layer.build((None, None, words), (None, None, annotations))
    layer.set_weights(
        [
            0.5 * random(*w.shape, seed=i + 20)
            for i, w in enumerate(layer.weights)
        ]
    )
    return layer


def softmax(scores, use):
    powers = np.where(use, np.exp(scores - scores[use].max()), 0)
    return powers / powers.sum()


def reference(weights, words, annotations, words_mask=None, mask=None):
    """Sections 3.1 and 3.2, one example after the other."""
    w_a, b_a, *rest = (np.array(w, "float64") for w in weights)
    hops = [rest[i : i + 2] for i in range(0, len(rest), 2)]
    answers = np.zeros((len(words), words.shape[2]))
    maps = np.zeros((len(words), len(hops), annotations.shape[1]))
    for b in range(len(words)):
        said = words[b] if words_mask is None else words[b][words_mask[b]]
        use = np.ones(annotations.shape[1], bool) if mask is None else mask[b]
        answers[b] = said.sum(0)
        if not len(said) or not use.any():
            continue
        s = annotations[b]
        scores = (said @ (s @ w_a + b_a).T).max(0)  # C, then max over words
        for k, (w_e, b_e) in enumerate(hops):
            maps[b, k] = softmax(scores, use)
            evidence = s @ w_e + b_e
            answers[b] = answers[b] + maps[b, k] @ evidence
            scores = evidence @ answers[b]
    return answers, maps


WORDS_MASK = np.array([[1, 1, 1], [0, 1, 0], [0, 0, 0], [1, 0, 0]], bool)
MASK = np.array([[1] * 4, [1, 0, 1, 0], [1, 1, 1, 0], [0] * 4], bool)
WORDS, ANNOTATIONS = random(4, 3, 5), random(4, 4, 7, seed=9)


@pytest.mark.parametrize("hops", [1, 2, 3])
@pytest.mark.parametrize("words_mask", [None, WORDS_MASK])
@pytest.mark.parametrize("mask", [None, MASK])
def test_equals_reference(hops, words_mask, mask):
    layer = built(hops)
    found = to_numpy(
        layer(WORDS, ANNOTATIONS, words_mask=words_mask, annotations_mask=mask)
    )
    expected = reference(
        layer.get_weights(), WORDS, ANNOTATIONS, words_mask, mask
    )
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def test_gradients_with_rows_that_allow_nothing():
    layer, masks = built(), (WORDS_MASK, MASK)
    answer, weights = to_numpy(layer(WORDS, ANNOTATIONS, *masks))
    assert not weights[2:].any()  # No word, no place.
    assert not answer[2].any()
    np.testing.assert_allclose(answer[3], WORDS[3, 0])
    check_gradients(
        lambda *t: layer(*t, *masks)[0],
        lambda *t: reference(layer.get_weights(), *t, *masks)[0],
        [WORDS, ANNOTATIONS],
        tolerance=1e-3,
    )


def test_zero_kernels_look_everywhere_alike():
    layer = WordRegionAttention(2, kernel_initializer="zeros")
    answer, weights = to_numpy(layer(WORDS, ANNOTATIONS))
    assert (weights == 0.25).all()
    np.testing.assert_allclose(answer, WORDS.sum(1), rtol=1e-5, atol=1e-6)


def test_one_word_finds_the_place_that_fits_it():
    """Places are words themselves, and the projections the identity."""
    layer = built(hops=1, words=4, annotations=4)
    identity, none = np.eye(4), np.zeros(4)
    layer.set_weights([20 * identity, none, identity, none])
    places = np.eye(4, dtype="float32")[None]
    answer, weights = to_numpy(layer(places[:, 2:3], places))
    np.testing.assert_allclose(weights[0, 0], np.eye(4)[2], atol=1e-6)
    np.testing.assert_allclose(answer[0], 2 * np.eye(4)[2], atol=1e-6)


def test_keys_say_which_word_found_a_place():
    layer = built(hops=1)
    keys = to_numpy(layer.project(ANNOTATIONS))
    kernel, bias = layer.get_weights()[:2]
    np.testing.assert_allclose(
        keys, ANNOTATIONS @ kernel + bias, rtol=1e-4, atol=1e-5
    )
    best = np.einsum("btd,bld->btl", WORDS, keys).max(1)
    _, weights = to_numpy(layer(WORDS, ANNOTATIONS))
    powers = np.exp(best - best.max(-1, keepdims=True))
    np.testing.assert_allclose(
        weights[:, 0], powers / powers.sum(-1, keepdims=True), atol=1e-5
    )


@given(
    places=st.permutations(range(4)),
    order=st.permutations(range(3)),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=10, deadline=None)
def test_order_of_words_and_places_does_not_matter(places, order, seed):
    layer, words = built(), random(4, 3, 5, seed=seed)
    annotations = random(4, 4, 7, seed=seed + 1)
    answer, weights = to_numpy(layer(words, annotations, WORDS_MASK, MASK))
    moved = to_numpy(
        layer(
            words[:, order],
            annotations[:, places],
            WORDS_MASK[:, order],
            MASK[:, places],
        )
    )
    np.testing.assert_allclose(moved[0], answer, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(moved[1], weights[..., places], atol=1e-4)
    allowed = WORDS_MASK.any(-1) & MASK.any(-1)
    np.testing.assert_allclose(
        weights.sum(-1), np.repeat(allowed[:, None], 2, 1), rtol=1e-5
    )


def test_mask_of_the_words_does_not_travel_with_the_answer():
    ids = keras.Input((None,), dtype="int32")
    annotations = keras.Input((4, 7))
    words = keras.layers.Embedding(6, 5, mask_zero=True)(ids)
    answer, _ = WordRegionAttention()(words, annotations)
    assert getattr(answer, "_keras_mask", None) is None
    model = keras.Model([ids, annotations], answer)
    tokens = np.array([[1, 2, 0], [3, 0, 0]])
    places = random(2, 4, 7)
    found = model.predict([tokens, places], verbose=0)
    longer = model.predict(
        [np.pad(tokens, ((0, 0), (0, 3))), places], verbose=0
    )
    np.testing.assert_allclose(longer, found, rtol=1e-4, atol=1e-5)


def test_projections_start_different():
    layer = WordRegionAttention(2)
    layer.build((None, None, 5), (None, None, 7))
    w_a, w_1, w_2 = (w for w in layer.get_weights() if w.ndim == 2)
    assert (w_a != w_1).any() and (w_1 != w_2).any() and (w_a != w_2).any()


def test_half_precision_is_close_to_float32():
    layer = built(dtype="mixed_float16")
    assert dtype_of(layer.project(ANNOTATIONS)) == "float16"
    full = built()
    half_outputs = layer(WORDS, ANNOTATIONS, WORDS_MASK, MASK)
    full_outputs = to_numpy(full(WORDS, ANNOTATIONS, WORDS_MASK, MASK))
    for one, other in zip(half_outputs, full_outputs, strict=True):
        assert dtype_of(one) == "float16"
        np.testing.assert_allclose(to_numpy(one), other, atol=0.1)


def test_reports_bad_input():
    for bad in (0, -1, 2.5, "4", None, True, np.nan):
        with pytest.raises(ValueError, match="hops.*at least 1.*Received"):
            WordRegionAttention(bad)
    layer = built()
    with pytest.raises(ValueError, match="words.*rank 3.*Received"):
        layer(WORDS[0], ANNOTATIONS)
    with pytest.raises(ValueError, match="words.*size 5.*Received"):
        layer(random(4, 3, 6), ANNOTATIONS)
    with pytest.raises(ValueError, match="annotations.*size 7.*Received"):
        layer(WORDS, random(4, 4, 5))
    with pytest.raises(ValueError, match="batch sizes.*annotations: 1"):
        layer(WORDS, ANNOTATIONS[:1])
    with pytest.raises(ValueError, match="words_mask.*boolean.*int32"):
        layer(WORDS, ANNOTATIONS, np.ones((4, 3), "int32"))
    for shape in ((4, 1), (1, 3), (4, 3, 1)):
        with pytest.raises(ValueError, match="words_mask"):
            layer(WORDS, ANNOTATIONS, np.ones(shape, bool))
    for shape in ((4, 1), (1, 4), (4, 4, 1)):
        with pytest.raises(ValueError, match="annotations_mask"):
            layer(WORDS, ANNOTATIONS, annotations_mask=np.ones(shape, bool))
    with pytest.raises(ValueError, match="built.*project"):
        WordRegionAttention().project(ANNOTATIONS)
