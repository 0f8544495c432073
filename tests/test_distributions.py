import subprocess
import sys

import keras
import numpy as np
import pytest
from numerics import check_gradients, dtype_of, gradients, jit, to_numpy
from scipy import special, stats

from attnlib import distributions as d

RNG = np.random.default_rng(3)
X = RNG.normal(size=(4, 3)).astype("float32")
MEAN = RNG.normal(size=(4, 3)).astype("float32")
SCALE = np.exp(RNG.normal(size=(4, 3)) / 2).astype("float32")
LOGITS = (3 * RNG.normal(size=(4, 3))).astype("float32")
LABELS = np.array([0, 2, 1, 1], "int32")
PAIRS = RNG.normal(size=(4, 5, 2)).astype("float32")
PAIR_MEAN = RNG.normal(size=(4, 5, 2)).astype("float32")
PAIR_SCALE = np.exp(RNG.normal(size=(4, 5, 2)) / 2).astype("float32")
CORRELATION = np.tanh(RNG.normal(size=(4, 5))).astype("float32")


def bernoulli_reference(x, logits):
    return stats.bernoulli.logpmf(x, special.expit(logits.astype("float64")))


def categorical_reference(logits):
    logs = special.log_softmax(logits.astype("float64"), -1)
    return np.take_along_axis(logs, LABELS[:, None], -1)[:, 0]


def entropy_reference(logits):
    return stats.entropy(special.softmax(logits.astype("float64"), -1), axis=-1)


def kl_reference(mean, scale):
    return 0.5 * (mean**2 + scale**2 - 1) - np.log(scale)


def bivariate_reference(x, mean, scale, correlation):
    arrays = (x, mean, scale, correlation)
    x, mean, scale, correlation = (np.array(a, "float64") for a in arrays)
    out = np.zeros(x.shape[:-1])
    for i in np.ndindex(out.shape):
        covariance = np.diag(scale[i] ** 2)
        covariance[0, 1] = covariance[1, 0] = (
            correlation[i] * scale[i][0] * scale[i][1]
        )
        out[i] = stats.multivariate_normal.logpdf(x[i], mean[i], covariance)
    return out


def close(found, expected, rtol=2e-5, atol=2e-5):
    np.testing.assert_allclose(to_numpy(found), expected, rtol=rtol, atol=atol)


def test_normal_equals_scipy():
    found = d.normal_log_prob(X, MEAN, SCALE)
    close(found, stats.norm.logpdf(X, MEAN, SCALE))
    close(d.normal_entropy(SCALE), stats.norm.entropy(MEAN, SCALE))
    close(d.normal_log_prob(X, 0, 2), stats.norm.logpdf(X, 0, 2))


def test_normal_kl_equals_closed_form():
    close(d.normal_kl(MEAN, SCALE), kl_reference(MEAN, SCALE))
    zeros, ones = np.zeros((2, 3), "float32"), np.ones((2, 3), "float32")
    assert not to_numpy(d.normal_kl(zeros, ones)).any()
    assert not to_numpy(d.normal_kl(MEAN, SCALE, MEAN, SCALE)).any()


def test_bernoulli_equals_scipy():
    outcomes = (X > 0).astype("float32")
    expected = bernoulli_reference(outcomes, LOGITS)
    close(d.bernoulli_log_prob(outcomes, LOGITS), expected)
    for dtype in ("bool", "uint8", "int32"):
        close(d.bernoulli_log_prob(outcomes.astype(dtype), LOGITS), expected)


def test_bernoulli_is_exact_where_the_sigmoid_saturates():
    logits = np.array([60.0, -60.0, 200.0, -200.0], "float32")
    outcomes = np.array([0.0, 1.0, 1.0, 0.0], "float32")
    close(d.bernoulli_log_prob(outcomes, logits), [-60, -60, 0, 0])


def test_categorical_equals_scipy():
    expected = categorical_reference(LOGITS)
    close(d.categorical_log_prob(LABELS, LOGITS), expected)
    close(d.categorical_entropy(LOGITS), entropy_reference(LOGITS))
    close(d.categorical_log_prob(LABELS.astype("uint8"), LOGITS), expected)


def test_bivariate_normal_equals_scipy():
    found = d.bivariate_normal_log_prob(
        PAIRS, PAIR_MEAN, PAIR_SCALE, CORRELATION
    )
    assert found.shape == (4, 5)
    expected = bivariate_reference(PAIRS, PAIR_MEAN, PAIR_SCALE, CORRELATION)
    close(found, expected, rtol=1e-4)


def test_bivariate_normal_stays_finite_near_full_correlation():
    x = np.array([[1.0, 1.0]], "float32")
    correlation = np.array([0.99999], "float32")
    ones = np.ones((1, 2), "float32")
    found = d.bivariate_normal_log_prob(x, 0 * ones, ones, correlation)
    expected = bivariate_reference(x, 0 * ones, ones, correlation)
    close(found, expected, rtol=1e-3)


def test_mixture_of_bivariate_normals_equals_a_sum_of_densities():
    logits = LOGITS[:, None, :].repeat(5, 1)
    components = np.stack(
        [
            bivariate_reference(PAIRS, PAIR_MEAN + k, PAIR_SCALE, CORRELATION)
            for k in range(3)
        ],
        -1,
    ).astype("float32")
    weights = special.softmax(logits.astype("float64"), -1)
    expected = np.log((weights * np.exp(components)).sum(-1))
    close(d.mixture_log_prob(logits, components), expected, rtol=1e-4)


def test_mixture_stays_in_log_space():
    components = np.array([[-1000.0, -1001.0]], "float32")
    found = d.mixture_log_prob(np.zeros((1, 2), "float32"), components)
    close(found, [-1000 + np.log((1 + np.exp(-1)) / 2)])


@pytest.mark.parametrize(
    "function, reference, arrays",
    [
        (d.normal_log_prob, stats.norm.logpdf, [X, MEAN, SCALE]),
        (d.normal_entropy, lambda s: stats.norm.entropy(0, s), [SCALE]),
        (d.normal_kl, kl_reference, [MEAN, SCALE]),
        (d.categorical_entropy, entropy_reference, [LOGITS]),
        (
            lambda z: d.categorical_log_prob(LABELS, z),
            categorical_reference,
            [LOGITS],
        ),
        (
            lambda z: d.bernoulli_log_prob(X > 0, z),
            lambda z: bernoulli_reference(X > 0, z),
            [LOGITS],
        ),
        (
            d.bivariate_normal_log_prob,
            bivariate_reference,
            [PAIRS, PAIR_MEAN, PAIR_SCALE, CORRELATION],
        ),
        (
            d.mixture_log_prob,
            lambda z, c: special.logsumexp(special.log_softmax(z, -1) + c, -1),
            [LOGITS, X],
        ),
    ],
)
def test_gradients(function, reference, arrays):
    check_gradients(function, reference, arrays, tolerance=5e-4)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_computed_in_float32(dtype):
    x = keras.ops.cast(X, dtype)
    found = d.normal_log_prob(x, MEAN, SCALE)
    assert dtype_of(found) == dtype
    expected = stats.norm.logpdf(
        to_numpy(keras.ops.cast(x, "float32")), MEAN, SCALE
    )
    exact = to_numpy(
        keras.ops.cast(keras.ops.cast(expected, "float32"), dtype)
    ).astype("float32")
    close(keras.ops.cast(found, "float32"), exact, rtol=1e-2)


def test_compiles_with_rows_and_without():
    @jit
    def total(x, mean, scale):
        return (
            d.normal_log_prob(x, mean, scale)
            + d.normal_kl(mean, scale)
            + d.bernoulli_log_prob(x > 0, mean)
            + d.categorical_entropy(mean)[..., None]
        )

    for batch in (4, 0):
        found = to_numpy(total(X[:batch], MEAN[:batch], SCALE[:batch]))
        assert found.shape == (batch, 3)
        assert np.isfinite(found).all()


def test_trains_inside_fit():
    class Density(keras.layers.Layer):
        def build(self, input_shape):
            self.mean = self.add_weight(shape=(3,), name="mean")

        def call(self, x):
            nats = -d.normal_log_prob(x, self.mean, 1.0)
            self.add_loss(keras.ops.mean(nats))
            return x

    model = keras.Sequential([keras.Input((3,)), Density()])
    model.compile("adam", loss=None)
    before = model.get_weights()[0]
    history = model.fit(X, epochs=2, verbose=0).history["loss"]
    assert np.isfinite(history).all()
    assert (model.get_weights()[0] != before).any()


def test_gradient_is_finite_for_an_impossible_outcome():
    logits = np.array([[-200.0, 200.0]], "float32")
    outcomes = np.array([[1.0, 0.0]], "float32")
    gradient, _ = gradients(
        lambda z, x: d.bernoulli_log_prob(x, z), logits, outcomes
    )
    np.testing.assert_allclose(gradient, [[1, -1]])


def test_reports_bad_input():
    with pytest.raises(ValueError, match="x.*floating.*int"):
        d.normal_log_prob(np.ones((2,), "int32"), 0.0, 1.0)
    with pytest.raises(ValueError, match="broadcast.*Received.*mean"):
        d.normal_log_prob(X, MEAN[:3], SCALE)
    with pytest.raises(ValueError, match="broadcast.*Received.*logits"):
        d.bernoulli_log_prob(X[:3], LOGITS)
    with pytest.raises(ValueError, match="labels.*integers.*float32"):
        d.categorical_log_prob(LABELS.astype("float32"), LOGITS)
    with pytest.raises(ValueError, match="labels.*shape.*Received"):
        d.categorical_log_prob(LABELS[:3], LOGITS)
    with pytest.raises(ValueError, match="last axis of mean.*2"):
        d.bivariate_normal_log_prob(PAIRS, MEAN, PAIR_SCALE, CORRELATION)
    with pytest.raises(ValueError, match="broadcast.*correlation"):
        d.bivariate_normal_log_prob(
            PAIRS, PAIR_MEAN, PAIR_SCALE, CORRELATION[:3]
        )


def test_names_the_missing_library(monkeypatch):
    for name in ("tensorflow_probability", "numpyro", "torch"):
        monkeypatch.setitem(sys.modules, name, None)
    d._library.cache_clear()
    try:
        with pytest.raises(ImportError, match="pip install 'attnlib"):
            d.normal_log_prob(X, MEAN, SCALE)
    finally:
        d._library.cache_clear()


def test_no_library_is_imported_before_it_is_needed():
    code = (
        "import sys, attnlib; attnlib.distributions.__name__; "
        "print(sorted({'tensorflow_probability', 'numpyro', 'tf_keras'} "
        "& set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
