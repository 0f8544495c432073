"""Both sides of a comparison compute the same; no time is asserted."""

import importlib.util
import json
import os
import subprocess
import sys
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
from keras import ops
from numerics import to_numpy

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def load(name, called=None):
    """Import a file of `benchmarks`, whose names are no package's.

    Args:
        name: Its name without `.py`.
        called: The module's name, where tests have a module of that name.
    """
    spec = importlib.util.spec_from_file_location(
        called or name, BENCHMARKS / f"{name}.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[called or name] = module
    spec.loader.exec_module(module)
    return module


load("harness")
comparison = load("comparison")
for part in ("inputs", "op_pairs", "layer_pairs"):
    load(part)
pairs = load("pairs")
searches = load("searches")
prices = load("prices")
scales = load("scales")
refinements = load("refinements")
windows = load("windows")
cases = load("cases", called="benchmark_cases")

# Whatever sizes a pair has.
SIZES = {
    "batch": 2,
    "steps": 3,
    "source": 4,
    "places": 5,
    "words": 3,
    "attributes": 4,
    "width": 6,
    "units": 5,
    "hops": 2,
    "side": 9,
    "size": 3,
    "out": 7,
    "scales": 2,
    "classes": 3,
    "channels": 2,
    "control": 3,
    "components": 3,
    "length": 4,
}

SEARCH = {
    "count": 3,
    "size": 12,
    "width": 4,
    "units": 6,
    "beam": 2,
    "longest": 4,
}

PRICES = {
    "semantic": {
        "batch": 2,
        "words": 3,
        "size": 12,
        "width": 4,
        "units": 6,
        "attributes": 2,
    },
    "questions": {
        "batch": 2,
        "words": 3,
        "size": 9,
        "answers": 4,
        "grid": 2,
        "width": 3,
        "units": 4,
        "attention_units": 5,
    },
    "actions": {
        "batch": 2,
        "steps": 3,
        "places": 4,
        "width": 5,
        "units": 6,
        "layers": 2,
    },
}


def small(name):
    """Return a pair of small sizes."""
    build = pairs.PAIRS[name][2]
    return build(**{key: SIZES[key] for key in signature(build).parameters})


@pytest.mark.parametrize("name", pairs.PAIRS)
def test_both_sides_agree_forward_and_backward(name):
    pair = small(name)
    row = comparison.compare(name, "other", pair, rounds=2, repeats=1)
    for direction in ("forward", "backward"):
        found = row[direction]
        assert found["ours_s"] > 0 and found["other_s"] > 0
        ratio = found["ratio"]
        assert ratio["least"] <= ratio["median"] <= ratio["greatest"]
    assert row["bytes"] > 0 and row["operations"] >= 0
    json.dumps(row)


@pytest.mark.parametrize("name", pairs.PAIRS)
def test_gradients_arrive(name):
    pair = small(name)
    tensors = [ops.convert_to_tensor(array) for array in pair.inputs]
    found = to_numpy(comparison.gradient_of(pair.ours)(*tensors))
    shapes = [array.shape for array in pair.inputs]
    assert [gradient.shape for gradient in found] == shapes
    assert found[0].any()


def test_the_gradient_is_that_of_the_sum_of_squares():
    x = ops.convert_to_tensor(np.array([1.0, -2.0], "float32"))
    unused = ops.convert_to_tensor(np.ones(3, "float32"))
    found = comparison.gradient_of(lambda x, unused: 3 * x)(x, unused)
    np.testing.assert_allclose(to_numpy(found[0]), [18, -36])
    assert not to_numpy(found[1]).any()


@pytest.mark.parametrize("other", [lambda x: x + 0.01, lambda x: x * np.nan])
def test_what_differs_is_not_timed(other):
    pair = comparison.Pair(lambda x: x, other, (np.ones(2, "float32"),), 0)
    with pytest.raises(ValueError, match="compute the same"):
        comparison.compare("x", "y", pair, rounds=1, repeats=1)


def test_bytes_are_inputs_and_output():
    ones = np.ones((2, 3), "float32")
    pair = comparison.Pair(lambda x: ops.sum(x, 1), None, (ones,), 0)
    assert comparison.moved_bytes(pair, (pair.ours, ones)) == 24 + 8
    pair = comparison.Pair(lambda x: ops.sum(x, 1), None, (ones,), 0, read=4)
    assert comparison.moved_bytes(pair, (pair.ours, ones)) == 4 + 8


def run(arguments, folder):
    return subprocess.run(
        [sys.executable, BENCHMARKS / "run.py", *arguments],
        env={
            **os.environ,
            "ATTNLIB_REPORTS": str(folder),
            "PYTHONPATH": str(BENCHMARKS.parent),
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_script_writes_one_document(tmp_path):
    done = run(["gaussian_window", "--rounds", "1"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "times as fast as a loop over the positions" in done.stdout
    (path,) = (tmp_path / "benchmarks").glob("*.json")
    document = json.loads(path.read_text("utf-8"))
    assert document["results"] == []
    (row,) = document["comparisons"]
    assert row["case"] == "gaussian_window"
    assert row["backend"] == path.stem


def test_the_script_names_what_it_does_not_know(tmp_path):
    done = run(["no_such_case"], tmp_path)
    assert done.returncode == 2
    assert "unknown case no_such_case" in done.stderr


def test_searching_at_once_and_one_by_one_agree():
    row = searches.compare(1, **SEARCH)
    assert row["name"] == "beam search of 3 sentences"
    assert row["batched_s"] > 0 and row["one_by_one_s"] > 0
    json.dumps(row)


def test_scales_are_timed_beside_a_single_one():
    row = scales.compare(1, steps=1, side=16, filters=2, batch=1, units=2)
    assert row["pixels"] == {2: 1.25, 3: 1.8125}
    assert list(row["seconds"]) == [1, 2, 3]
    assert all(ratio["median"] > 0 for ratio in row["ratios"].values())


def test_windows_are_timed_beside_none():
    row = windows.compare(1, steps=1, side=48, crop=8, filters=2, batch=2)
    assert list(row["seconds"]) == ["0", "1", "2", "4", "4, one by one"]
    assert set(row["ratios"]) == set(row["seconds"]) - {"0"}
    json.dumps(row)


def test_refinements_are_timed_beside_the_global_map(monkeypatch):
    monkeypatch.setattr(refinements, "COUNTS", (1, 2))
    sizes = {"side": 16, "size": 8, "filters": 2, "units": 2, "halvings": 2}
    row = refinements.compare(1, steps=1, batch=1, **sizes)
    assert list(row["seconds"]) == [0, 1, 2]
    assert list(row["ratios"]) == [1, 2]
    json.dumps(row)


def test_searches_that_differ_are_not_timed(monkeypatch):
    find = searches.Decoder.beam

    def other(self, sources, *arguments):
        found = find(self, sources, *arguments)
        return found[:: -1 if len(sources) > 1 else 1]

    monkeypatch.setattr(searches.Decoder, "beam", other)
    with pytest.raises(ValueError, match="the same sentences"):
        searches.compare(1, **SEARCH)


@pytest.mark.parametrize("case", prices.PRICES)
def test_the_price_of_attention_is_a_ratio_of_updates(case):
    row = prices.compare(case, 1, repeats=1, **PRICES[case])
    assert row["with_s"] > 0 and row["without_s"] > 0
    assert row["ratio"]["least"] <= row["ratio"]["greatest"]
    json.dumps(row)


def test_operations_of_a_captioner_are_those_of_its_kernels():
    places, width, words = 5, 6, 3
    model, _ = cases._captioner(2, places, width, words)
    units, size = 512, 9490
    # A kernel of n numbers takes n multiply-adds each time it is used.
    used = {"keys": places, "first_state": 1, "first_memory": 1}
    kernels = {
        name: sum(w.shape[0] * w.shape[1] for w in layer.weights if w.ndim == 2)
        for name, layer in (
            ("first_state", model.first_state),
            ("first_memory", model.first_memory),
            ("context_kernel", model.context_kernel),
            ("from_state", model.from_state),
            ("from_context", model.from_context),
            ("decoder", model.decoder),
            ("output", model.output_layer),
        )
    }
    kernels["keys"] = width * units
    total = sum(n * used.get(name, words) for name, n in kernels.items())
    # And attention: the query, the gate, the score and the sum of each place.
    total += words * (units * units + units + places * (units + width))
    found = cases.captioner_macs(places, width, words, size, units)
    assert found == total


def test_operations_of_handwriting_are_those_of_its_kernels():
    points, length, characters, units = 3, 5, 7, 6
    model, _ = cases._handwriting(2, points, length, characters, units)
    kernels = sum(
        w.shape[0] * w.shape[1]
        for w in model.weights
        if w.ndim == 2 and "peepholes" not in w.path
    )
    # And the window: the sum of the characters that it weighs.
    total = points * (kernels + length * characters)
    assert cases.handwriting_macs(points, length, characters, units) == total
