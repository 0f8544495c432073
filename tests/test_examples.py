"""The examples run, learn, and load in a new process on every backend."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import attnlib

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
SAVING = ("look_up", "two_glimpses")
BACKENDS = [
    name
    for name in ("tensorflow", "jax", "torch")
    if importlib.util.find_spec(name)
]


def run(script, argument, backend):
    """Run an example in a process of its own and return what it printed."""
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "PYTHONPATH": str(ROOT),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", script, argument],
        cwd=argument.parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module", params=SAVING)
def saved(request, tmp_path_factory):
    """A model that an example has trained and saved, and what it printed."""
    path = tmp_path_factory.mktemp("examples") / f"{request.param}.keras"
    script = EXAMPLES / f"{request.param}.py"
    return path, run(script, path, attnlib.backend())


def test_it_learns_more_than_chance(saved):
    found = re.search(r"accuracy ([\d.]+), chance ([\d.]+)", saved[1])
    assert float(found[1]) > 2 * float(found[2])


@pytest.mark.parametrize("backend", BACKENDS)
def test_it_loads_on_every_backend(saved, backend):
    printed = run(EXAMPLES / "load_anywhere.py", saved[0], backend)
    assert printed.startswith(f"{backend}: ")


def test_every_example_is_run_here():
    names = {path.stem for path in EXAMPLES.glob("*.py")}
    assert names == {*SAVING, "load_anywhere"}
