"""Timing waits for results; what it measures is never asserted."""

import time

import keras
import numpy as np
import pytest
from numerics import to_numpy

from attnlib import timing


def test_median_counts_the_whole_call():
    def slow(x):
        time.sleep(0.01)
        return x

    image = keras.ops.ones((2, 2))
    assert timing.median_seconds(slow, image, repeats=3) >= 0.01


def test_warm_up_is_not_timed():
    calls = []

    def function():
        calls.append(len(calls))
        time.sleep(0.2 if len(calls) == 1 else 0.0)
        return keras.ops.zeros(())

    assert timing.median_seconds(function, repeats=1, warmup=1) < 0.2
    assert len(calls) == 2


def test_interleaved_goes_round():
    order = []

    def call(name):
        order.append(name)
        return keras.ops.zeros(())

    times = timing.interleaved_seconds(
        {"a": (call, "a"), "b": (call, "b")}, repeats=2, warmup=1
    )
    assert order == ["a", "b"] * 3
    assert set(times) == {"a", "b"} and min(times.values()) >= 0


@pytest.mark.parametrize(
    "arguments", [{"calls": {}}, {"calls": {"a": (abs, 1)}, "repeats": 0}]
)
def test_bad_input(arguments):
    with pytest.raises(ValueError, match="expected"):
        timing.interleaved_seconds(**arguments)


def test_compiled_function_gives_the_same_result():
    def function(x, y):
        return keras.ops.tanh(x) @ y

    rng = np.random.default_rng(0)
    x = keras.ops.convert_to_tensor(rng.normal(size=(3, 4)), "float32")
    y = keras.ops.convert_to_tensor(rng.normal(size=(4, 5)), "float32")
    result = timing.compiled(function)(x, y)
    expected = np.tanh(np.asarray(x)) @ np.asarray(y)
    np.testing.assert_allclose(np.asarray(result), expected, rtol=1e-5)


def test_compiled_model_is_in_inference_mode():
    model = keras.Sequential(
        [
            keras.layers.Input((4,)),
            keras.layers.Dense(3),
            keras.layers.Dropout(0.5),
        ]
    )
    x = keras.ops.ones((2, 4))
    first = to_numpy(timing.compiled(model)(x))
    expected = to_numpy(model(x, training=False))
    np.testing.assert_allclose(first, expected, rtol=1e-5)


def test_prepare_compiles_each_shape_once_and_runs_nothing():
    traces = []

    def function(x):
        traces.append(tuple(x.shape))
        return x + 1

    run = timing.compiled(function)
    small, large = keras.ops.zeros((2, 2)), keras.ops.zeros((3, 3))
    graph = run.prepare(small)
    before = len(traces)
    assert run.prepare(small) is graph
    run(small)
    run(small)
    if keras.config.backend() != "torch":  # eager there
        assert len(traces) == before
    assert run.prepare(large) is not graph
    np.testing.assert_array_equal(np.asarray(run(large)), np.ones((3, 3)))


def test_wait_takes_nested_results():
    result = {"a": [keras.ops.zeros(2)], "b": (keras.ops.ones(()),)}
    assert timing.wait(result) is result


def test_peak_growth_is_bytes_or_unknown():
    grown = timing.peak_growth(lambda: keras.ops.ones((1000, 1000)))
    assert grown is None or grown >= 0


def test_peak_growth_is_unknown_where_the_system_does_not_tell(monkeypatch):
    monkeypatch.setattr(timing, "_restart_peak", lambda: None)
    assert timing.peak_growth(lambda: keras.ops.zeros(())) is None
