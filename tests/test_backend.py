"""Tests of how attnlib chooses its backend."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import attnlib
from attnlib import _backend

ROOT = Path(__file__).parents[1]

# Blocks imports by name, as if the packages were not installed.
HIDE = """
import importlib.abc, importlib.util, sys
hidden = set({hidden!r})
real = importlib.util.find_spec
def find_spec(name, package=None):
    return None if name.split('.')[0] in hidden else real(name, package)
importlib.util.find_spec = find_spec
class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in hidden:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Finder())
"""


def run(code, hidden=(), home=None, **environment):
    env = {k: v for k, v in os.environ.items() if not k.startswith("KERAS")}
    env.update(environment, PYTHONPATH=str(ROOT))
    if home is not None:
        env["KERAS_HOME"] = str(home)
    return subprocess.run(
        [sys.executable, "-c", HIDE.format(hidden=sorted(hidden)) + code],
        capture_output=True,
        text=True,
        env=env,
    )


IMPORTED = (
    "import attnlib\n"
    "names = {'tensorflow', 'jax', 'torch'} & set(sys.modules)\n"
    "print(attnlib.backend(), *sorted(names))\n"
)


@pytest.mark.jax
def test_without_tensorflow_it_picks_jax_and_says_so(tmp_path):
    done = run(IMPORTED, {"tensorflow", "tf_keras"}, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["jax", "jax"]
    assert "TensorFlow is not installed, using jax" in done.stderr


@pytest.mark.jax
def test_the_chosen_backend_is_the_only_one_imported(tmp_path):
    done = run(IMPORTED, (), tmp_path, KERAS_BACKEND="jax")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["jax", "jax"]


@pytest.mark.tensorflow
def test_tensorflow_is_the_default_and_comes_alone(tmp_path):
    # TensorFlow Lite looks for JAX by itself: hidden here, it must not matter.
    done = run(IMPORTED, {"jax"}, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["tensorflow", "tensorflow"]


def test_without_any_backend_it_names_the_extras(tmp_path):
    done = run("import attnlib", {"tensorflow", "jax", "torch"}, tmp_path)
    assert done.returncode == 1
    assert "attnlib[tensorflow]" in done.stderr
    assert "attnlib[jax], attnlib[torch]" in done.stderr


def test_a_chosen_backend_that_is_missing_names_its_extra(tmp_path):
    done = run("import attnlib", {"jax"}, tmp_path, KERAS_BACKEND="jax")
    assert done.returncode == 1
    assert "attnlib[jax]" in done.stderr


def test_an_unknown_backend_is_an_error(tmp_path):
    done = run("import attnlib", (), tmp_path, KERAS_BACKEND="theano")
    assert done.returncode == 1
    assert "tensorflow, jax, torch. Received: 'theano'" in done.stderr


def test_keras_json_chooses_when_its_backend_is_there(monkeypatch, tmp_path):
    (tmp_path / "keras.json").write_text('{"backend": "jax"}')
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert _backend._configured() == "jax"
    (tmp_path / "keras.json").write_text("[")
    assert _backend._configured() is None


def test_device_says_what_it_runs_on(monkeypatch):
    monkeypatch.setattr(_backend, "_gpu_names", lambda: [])
    assert attnlib.device().startswith("CPU, ")
    monkeypatch.setattr(_backend, "_gpu_names", lambda: ["NVIDIA H100"] * 2)
    assert attnlib.device() == "NVIDIA H100 and 1 more"
    monkeypatch.setenv("ATTNLIB_DEVICE", "cpu")
    assert attnlib.device().startswith("CPU, ")


def test_a_gpu_that_is_not_there_is_an_error(monkeypatch):
    monkeypatch.setattr(_backend, "_gpu_names", lambda: [])
    monkeypatch.setenv("ATTNLIB_DEVICE", "gpu")
    with pytest.raises(RuntimeError, match="finds no GPU"):
        attnlib.device()
    monkeypatch.setenv("ATTNLIB_DEVICE", "tpu")
    with pytest.raises(ValueError, match="cpu or gpu"):
        attnlib.device()


def test_every_advertised_name_can_be_reached():
    missing = [n for n in attnlib.__all__ if not hasattr(attnlib, n)]
    assert not missing
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = attnlib.nothing


def test_only_notices_are_held_back(capfd):
    with _backend.without_notices():
        os.write(2, b"I0000 00:00:1.5 77 port.cc:153] oneDNN is on.\n")
        os.write(2, b"E0000 00:00:1.5 77 cuda.cc:52] no driver\n")
        assert capfd.readouterr().err == ""
    assert (
        capfd.readouterr().err == "E0000 00:00:1.5 77 cuda.cc:52] no driver\n"
    )


def test_lines_survive_a_failing_import(capfd):
    with pytest.raises(ImportError), _backend.without_notices():
        os.write(2, b"the reason\n")
        raise ImportError
    assert capfd.readouterr().err == "the reason\n"
