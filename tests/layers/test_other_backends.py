"""What one backend saves, every other one loads in a new process."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from cases import CASES
from test_battery import call

import attnlib

ROOT = Path(__file__).parents[2]
OTHERS = [
    name
    for name in ("tensorflow", "jax", "torch")
    if importlib.util.find_spec(name) and name != attnlib.backend()
]
LOADER = """
import sys
import keras, numpy, attnlib
folder, backend = sys.argv[1:]
assert attnlib.backend() == backend
model = keras.saving.load_model(f"{folder}/model.keras")
with numpy.load(f"{folder}/inputs.npz") as file:
    found = model.predict(dict(file), verbose=0)
numpy.savez(f"{folder}/{backend}.npz", **found)
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder with a model of every layer, and what it returns here."""
    keras.utils.set_random_seed(0)
    folder = tmp_path_factory.mktemp("saved")
    tensors, arrays, outputs = {}, {}, {}
    for number, (name, case) in enumerate(CASES.items()):
        fed = {}
        for key, value in case.inputs(3).items():
            label = f"{key}_{number}"
            arrays[label] = value
            fed[key] = tensors[label] = keras.Input(value.shape[1:], name=label)
        found = call(case.make(name=f"layer_{number}"), fed)
        outputs |= {f"{name}: {i}": out for i, out in enumerate(found)}
    model = keras.Model(tensors, outputs)
    model.save(folder / "model.keras")
    np.savez(folder / "inputs.npz", **arrays)
    return folder, model.predict(arrays, verbose=0)


@pytest.mark.parametrize("backend", OTHERS)
def test_every_layer_returns_the_same(saved, backend):
    folder, expected = saved
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-c", LOADER, str(folder), backend],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with np.load(folder / f"{backend}.npz") as found:
        assert set(found) == set(expected)
        for name, value in expected.items():
            np.testing.assert_allclose(
                found[name], value, rtol=1e-5, atol=1e-5, err_msg=name
            )
