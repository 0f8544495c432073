import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numerics import dtype_of, gradients, jit, to_numpy, variable_gradients

from attnlib.layers import HardAttention, SoftAttention
from attnlib.ops import choice_log_prob


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def gumbel(*shape, seed=0):
    noise = np.random.default_rng(seed).gumbel(size=shape)
    return noise.astype("float32")


def built(units=4, state=5, annotations=7, **options):
    layer = HardAttention(units, **options)
    layer.build((None, state), (None, None, annotations))
    layer.set_weights(
        [random(*w.shape, seed=i) for i, w in enumerate(layer.weights)]
    )
    return layer


def soft_twin(layer):
    """Return a SoftAttention with the same weights."""
    soft = SoftAttention(layer.units, gated=layer.gated)
    soft.build((None, 5), (None, None, 7))
    soft.set_weights(layer.get_weights())
    return soft


MASK = np.array([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 0]], bool)
STATE, ANNOTATIONS = random(3, 5), random(3, 4, 7, seed=9)


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("mask", [None, MASK])
def test_reads_the_place_of_largest_log_weight_plus_noise(gated, mask):
    layer, noise = built(gated=gated), gumbel(3, 4)
    soft = soft_twin(layer)
    context, weights, sample = to_numpy(
        layer(STATE, ANNOTATIONS, annotations_mask=mask, noise=noise)
    )
    np.testing.assert_array_equal(
        weights, to_numpy(soft(STATE, ANNOTATIONS, annotations_mask=mask))[1]
    )
    for b in range(3):
        if not weights[b].any():
            assert not sample[b].any() and not context[b].any()
            continue
        place = np.argmax(
            np.log(np.where(weights[b], weights[b], 1e-30)) + noise[b]
        )
        assert sample[b].tolist() == np.eye(4)[place].tolist()
        gate = to_numpy(soft.gate(STATE))[b] if gated else 1
        np.testing.assert_allclose(
            context[b], gate * ANNOTATIONS[b, place], rtol=1e-5
        )


def test_without_training_takes_the_most_likely_place():
    layer = built()
    _, weights, sample = to_numpy(
        layer(STATE, ANNOTATIONS, MASK, training=False)
    )
    np.testing.assert_array_equal(sample[:2].argmax(-1), weights.argmax(-1)[:2])
    assert sample.sum(-1).tolist() == [1, 1, 0]
    # Noise that is given counts even then.
    noise = np.array([[0, 0, 0, 99]] * 3, "float32")
    _, _, sample = layer(STATE, ANNOTATIONS, noise=noise, training=False)
    assert (to_numpy(sample).argmax(-1) == 3).all()


@pytest.mark.parametrize("training", [None, True])
def test_draws_places_as_often_as_their_weights_say(training):
    layer, rows = built(seed=3), 20000
    state = np.repeat(STATE[1:2], rows, 0)
    annotations = np.repeat(ANNOTATIONS[1:2], rows, 0)
    mask = np.repeat([[True, False, True, True]], rows, 0)
    _, weights, sample = to_numpy(
        layer(state, annotations, mask, training=training)
    )
    # Five standard deviations of the mean of 20000 draws are 0.0177.
    np.testing.assert_allclose(sample.mean(0), weights[0], atol=0.0177)
    assert not sample[:, 1].any()


def test_draws_anew_at_every_call_and_repeats_with_its_seed():
    rows = 50
    state = np.repeat(STATE[:1], rows, 0)
    annotations = np.repeat(ANNOTATIONS[:1], rows, 0)
    draws = []
    for _ in range(2):
        layer = built(seed=7)
        draws.append([to_numpy(layer(state, annotations)[2]) for _ in range(2)])
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0][0] != draws[0][1]).any()


def test_predict_is_deterministic_and_fit_draws():
    """Keras's own flag reaches the layer."""
    state, annotations = keras.Input((5,)), keras.Input((None, 7))
    layer = built(seed=1)
    model = keras.Model([state, annotations], layer(state, annotations)[2])
    inputs = [np.repeat(STATE, 20, 0), np.repeat(ANNOTATIONS, 20, 0)]
    first, second = (model.predict(inputs, verbose=0) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    _, weights, _ = to_numpy(layer(*inputs, training=False))
    np.testing.assert_array_equal(first.argmax(-1), weights.argmax(-1))
    drawn = to_numpy(model(inputs, training=True))
    assert (drawn != first).any()


@given(order=st.permutations(range(4)), seed=st.integers(0, 2**31))
@settings(max_examples=10, deadline=None)
def test_permuting_the_places_permutes_the_sample(order, seed):
    layer, noise = built(), gumbel(3, 4, seed=seed)
    whole = to_numpy(layer(STATE, ANNOTATIONS, MASK, noise=noise))
    moved = to_numpy(
        layer(
            STATE,
            ANNOTATIONS[:, order],
            MASK[:, order],
            noise=noise[:, order],
        )
    )
    np.testing.assert_allclose(moved[0], whole[0], atol=1e-5)
    np.testing.assert_allclose(moved[1], whole[1][:, order], atol=1e-6)
    np.testing.assert_array_equal(moved[2], whole[2][:, order])
    assert whole[2].sum(-1).tolist() == MASK.any(-1).tolist()


SCORING = ("W_h", "W_a", "b_a", "v_a")


def test_no_gradient_passes_the_sample():
    layer, noise = built(), gumbel(3, 4)

    def read():
        context, _, sample = layer(STATE, ANNOTATIONS, noise=noise)
        return keras.ops.sum(context**2) + keras.ops.sum(sample)

    found = variable_gradients(read, layer.trainable_variables)
    for path, gradient in found.items():
        assert gradient.any() != path.endswith(SCORING), path


def test_a_gradient_passes_the_log_probability():
    """d log p(s) / d e = s - alpha, down to every scoring weight."""
    layer, noise = built(), gumbel(3, 4)

    def log_prob():
        _, weights, sample = layer(STATE, ANNOTATIONS, noise=noise)
        return keras.ops.sum(choice_log_prob(weights, sample))

    found = variable_gradients(log_prob, layer.trainable_variables)
    for path, gradient in found.items():
        assert np.isfinite(gradient).all()
        assert gradient.any() == path.endswith(SCORING), path

    # The score function has mean 0: sum_s p(s) grad log p(s) = 0.
    total = {path: 0.0 for path in found}
    for place in range(4):
        chosen = np.eye(4, dtype="float32")[[place] * 3]

        def weighted(chosen=chosen):
            _, weights, sample = layer(STATE, ANNOTATIONS, noise=99 * chosen)
            chance = keras.ops.sum(keras.ops.multiply(weights, chosen), -1)
            chance = keras.ops.stop_gradient(chance)
            return keras.ops.sum(chance * choice_log_prob(weights, sample))

        for path, gradient in variable_gradients(
            weighted, layer.trainable_variables
        ).items():
            total[path] += gradient
    for gradient in total.values():
        np.testing.assert_allclose(gradient, 0, atol=1e-5)


def test_gradient_to_annotations_stays_at_the_place_that_was_read():
    layer, noise = built(gated=False), gumbel(3, 4)
    keys = layer.project(ANNOTATIONS)
    sample = to_numpy(layer(STATE, ANNOTATIONS, noise=noise)[2])
    (found,) = gradients(
        lambda a: layer(STATE, a, noise=noise, keys=keys)[0], ANNOTATIONS
    )
    expected = np.repeat(sample[..., None], 7, -1)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_keys_equal_projecting_inside():
    layer, noise = built(), gumbel(3, 4)
    keys = layer.project(ANNOTATIONS)
    given = to_numpy(layer(STATE, ANNOTATIONS, noise=noise, keys=keys))
    computed = to_numpy(layer(STATE, ANNOTATIONS, noise=noise))
    for one, other in zip(given, computed, strict=True):
        np.testing.assert_array_equal(one, other)


def test_noise_works_inside_a_scan():
    layer, noise = built(), gumbel(6, 3, 4)
    keys = layer.project(ANNOTATIONS)

    @jit
    def loop(noise):
        def step(state, noise):
            _, _, sample = layer(
                STATE, ANNOTATIONS, MASK, noise=noise, keys=keys
            )
            return sample, sample

        first = keras.ops.zeros((3, 4))
        return keras.ops.scan(step, first, noise)[1]

    found = to_numpy(loop(noise))
    for one, draw in zip(found, noise, strict=True):
        expected = layer(STATE, ANNOTATIONS, MASK, noise=draw)[2]
        np.testing.assert_array_equal(one, to_numpy(expected))


def test_noise_stays_float32_in_mixed_precision():
    layer = built(dtype="mixed_float16", score_initializer="zeros")
    layer.set_weights([0 * w for w in layer.get_weights()])
    noise = np.array([[8.0, 8.001]] * 3, "float32")
    outputs = layer(STATE, ANNOTATIONS[:, :2], noise=noise)
    assert [dtype_of(out) for out in outputs] == ["float16"] * 3
    assert (to_numpy(outputs[2]).argmax(-1) == 1).all()


def test_reports_bad_input():
    for units in (0, 2.5, None, np.nan):
        with pytest.raises(ValueError, match="units.*at least 1.*Received"):
            HardAttention(units)
    for seed in (np.nan, 1.5, "1"):
        with pytest.raises(ValueError, match="seed"):
            HardAttention(4, seed=seed)
    layer = built()
    with pytest.raises(ValueError, match="noise.*floating.*int32"):
        layer(STATE, ANNOTATIONS, noise=np.ones((3, 4), "int32"))
    with pytest.raises(ValueError, match="noise.*rank 2.*Received"):
        layer(STATE, ANNOTATIONS, noise=gumbel(4))
    with pytest.raises(ValueError, match="batch sizes.*noise: 1"):
        layer(STATE, ANNOTATIONS, noise=gumbel(1, 4))
    with pytest.raises(ValueError, match="lengths.*noise: 1"):
        layer(STATE, ANNOTATIONS, noise=gumbel(3, 1))
    with pytest.raises(ValueError, match="state.*size 5.*Received"):
        layer(random(3, 6), ANNOTATIONS)
    with pytest.raises(ValueError, match="annotations_mask.*boolean.*int32"):
        layer(STATE, ANNOTATIONS, np.ones((3, 4), "int32"))
