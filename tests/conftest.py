"""Settings that all tests share.

Warnings are errors, with one exception per line below, each bound to the
module that warns. Caches and reports go to a temporary folder. A test marked
`tensorflow`, `jax` or `torch` runs on that backend only.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

# Helpers beside this file (numerics, battery) are imported by their names.
sys.path.insert(0, str(Path(__file__).parent))
# Tests may run from a checkout that is not installed.
sys.path.insert(1, str(Path(__file__).parents[1]))

BACKENDS = ("tensorflow", "jax", "torch")
SCRATCH = Path(tempfile.mkdtemp(prefix="attnlib-tests-"))

os.environ["ATTNLIB_CACHE"] = str(SCRATCH / "cache")
os.environ["ATTNLIB_REPORTS"] = str(SCRATCH / "reports")
os.environ["MPLBACKEND"] = "agg"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Most of the time of tests on JAX is spent on compiling what runs once.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
# Two models of one test file often compile to the same programs, and so do
# the workers of one run, which inherit this folder.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(SCRATCH / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
for name in (
    "ATTNLIB_PROFILE",
    "ATTNLIB_RESULT_FILE",
    "ATTNLIB_DEVICE",
    "ATTNLIB_DEVICES",
):
    os.environ.pop(name, None)

WARNINGS = (
    "error",
    # TFP 0.25 compares versions with distutils.
    "ignore:distutils Version classes:DeprecationWarning:"
    "tensorflow_probability",
    # Keras and TensorFlow predate the copy argument of NumPy 2.
    "ignore:__array__ implementation doesn't accept a copy keyword:"
    "DeprecationWarning:keras",
    # torch likewise, in the library's examples.
    "ignore:__array__ implementation doesn't accept a copy keyword:"
    "DeprecationWarning:attnlib",
)


def pytest_configure(config):
    for line in WARNINGS:
        config.addinivalue_line("filterwarnings", line)


def pytest_unconfigure(config):
    shutil.rmtree(SCRATCH, ignore_errors=True)


def pytest_collection_modifyitems(items):
    bound = [
        (item, name)
        for item in items
        for name in BACKENDS
        if item.get_closest_marker(name)
    ]
    if not bound:
        return
    import attnlib

    for item, name in bound:
        if name != attnlib.backend():
            item.add_marker(
                pytest.mark.skip(reason=f"needs the {name} backend")
            )


@pytest.fixture(autouse=True)
def _same_state_for_every_test():
    """Seed Keras and restore its global dtype policy."""
    keras = sys.modules.get("keras")
    if keras is None:
        yield
        return
    policy = keras.config.dtype_policy()
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy(policy)
