import keras
import numpy as np
import pytest
from numerics import check_gradients, dtype_of, to_numpy

from attnlib.layers import ScaleAttention


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def built(units=4, scales=3, features=2, **options):
    layer = ScaleAttention(units, **options)
    layer.build((None, scales, None, None, None), (None, None, None, features))
    layer.set_weights(
        [0.5 * random(*w.shape, seed=i) for i, w in enumerate(layer.weights)]
    )
    return layer


def reference(weights, score_maps, features):
    """conv 3x3, ReLU, conv 1x1, softmax over scales; pixel by pixel."""
    k_1, b_1, k_2, b_2 = (np.array(w, "float64") for w in weights)
    batch, scales, height, width, classes = score_maps.shape
    padded = np.pad(features, ((0, 0), (1, 1), (1, 1), (0, 0)))
    merged = np.zeros((batch, height, width, classes))
    alpha = np.zeros((batch, scales, height, width))
    for b, y, x in np.ndindex(batch, height, width):
        window = padded[b, y : y + 3, x : x + 3]  # (3, 3, F)
        hidden = np.einsum("ijf,ijfu->u", window, k_1) + b_1
        h = np.maximum(hidden, 0) @ k_2[0, 0] + b_2
        powers = np.exp(h - h.max())
        alpha[b, :, y, x] = powers / powers.sum()
        merged[b, y, x] = alpha[b, :, y, x] @ score_maps[b, :, y, x]
    return merged, alpha


@pytest.mark.parametrize("shape", [(2, 3, 4, 5, 2), (1, 3, 1, 1, 1)])
def test_equals_reference(shape):
    layer = built()
    arrays = random(*shape), random(*shape[:1], *shape[2:4], 2, seed=9)
    found = to_numpy(layer(*arrays))
    expected = reference(layer.get_weights(), *arrays)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[1].sum(1), 1, rtol=1e-5)


def test_gradients():
    layer = built()
    check_gradients(
        lambda *t: layer(*t)[0],
        lambda *t: reference(layer.get_weights(), *t)[0],
        [random(1, 3, 2, 3, 2), random(1, 2, 3, 2, seed=9)],
        tolerance=3e-4,
    )


def test_zero_kernels_average_the_scales():
    score_maps = random(2, 3, 4, 5, 2)
    layer = ScaleAttention(4, kernel_initializer="zeros")
    merged, weights = to_numpy(layer(score_maps, random(2, 4, 5, 6)))
    np.testing.assert_allclose(weights, 1 / 3, rtol=1e-6)
    np.testing.assert_allclose(merged, score_maps.mean(1), atol=1e-6)


def test_one_scale_is_passed_on():
    score_maps = random(2, 1, 4, 5, 2)
    merged, weights = to_numpy(
        ScaleAttention(4)(score_maps, random(2, 4, 5, 6))
    )
    np.testing.assert_array_equal(merged, score_maps[:, 0])
    assert (weights == 1).all()


def test_permuting_the_scales_permutes_the_weights():
    layer, other = built(), built()
    order = [2, 0, 1]
    k_1, b_1, k_2, b_2 = layer.get_weights()
    other.set_weights([k_1, b_1, k_2[..., order], b_2[order]])
    score_maps, features = random(2, 3, 4, 5, 2), random(2, 4, 5, 2, seed=9)
    merged, weights = to_numpy(layer(score_maps, features))
    moved = to_numpy(other(score_maps[:, order], features))
    np.testing.assert_allclose(moved[0], merged, atol=1e-5)
    np.testing.assert_allclose(moved[1], weights[:, order], atol=1e-6)


def test_half_precision_is_close_to_float32():
    layer = built(dtype="mixed_float16")
    arrays = random(2, 3, 4, 5, 2), random(2, 4, 5, 2, seed=9)
    expected = reference(layer.get_weights(), *arrays)
    for one, other in zip(layer(*arrays), expected, strict=True):
        assert dtype_of(one) == "float16"
        np.testing.assert_allclose(to_numpy(one), other, atol=2e-2)


def test_images_of_another_size_after_saving(tmp_path):
    score_maps = keras.Input((3, None, None, 2))
    features = keras.Input((None, None, 6))
    outputs = ScaleAttention(4)(score_maps, features)
    model = keras.Model([score_maps, features], outputs)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for size in (3, 5):
        inputs = [random(2, 3, size, 4, 2), random(2, size, 4, 6)]
        for one, other in zip(
            loaded.predict(inputs, verbose=0),
            model.predict(inputs, verbose=0),
            strict=True,
        ):
            np.testing.assert_allclose(one, other, atol=1e-6)


def test_reports_bad_input():
    with pytest.raises(ValueError, match="number of scales.*at least 1"):
        ScaleAttention(4)(random(2, 0, 5, 6, 3), random(2, 5, 6, 4))
    for units in (0, -1, 2.5, "4", None, True, np.nan):
        with pytest.raises(ValueError, match="units.*at least 1.*Received"):
            ScaleAttention(units)
    score_maps, features = random(2, 3, 4, 5, 2), random(2, 4, 5, 2)
    with pytest.raises(ValueError, match="score_maps.*rank 5.*Received"):
        built()(score_maps[0], features)
    with pytest.raises(ValueError, match="features.*rank 4.*Received"):
        built()(score_maps, features[0])
    with pytest.raises(ValueError, match="features.*size 2.*Received"):
        built()(score_maps, random(2, 4, 5, 3))
    for bad, what in (
        ((1, 4, 5, 2), "batch sizes.*features: 1"),
        ((2, 1, 5, 2), "heights.*features: 1"),
        ((2, 4, 1, 2), "widths.*features: 1"),
    ):
        with pytest.raises(ValueError, match=what):
            built()(score_maps, random(*bad))
        with pytest.raises(ValueError, match=what):
            ScaleAttention(4)(score_maps, random(*bad))
    for scales in (1, 2, 4):
        with pytest.raises(ValueError, match=f"scales.*score_maps: {scales}"):
            built()(random(2, scales, 4, 5, 2), features)
    with pytest.raises(ValueError, match="number of scales.*known"):
        ScaleAttention(4).build((2, None, 4, 5, 2), (2, 4, 5, 2))
    with pytest.raises(ValueError, match="last axis of features.*known"):
        ScaleAttention(4).build((2, 3, 4, 5, 2), (2, 4, 5, None))
