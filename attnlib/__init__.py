"""Attention models before Transformers, as custom Keras layers.

Importing attnlib chooses the Keras backend: `KERAS_BACKEND` when it is set,
else the first of TensorFlow, JAX and torch that is installed. No other backend
is imported.
"""

import importlib

from attnlib import _backend

_backend.choose()
with _backend.without_notices():
    from attnlib import layers, losses, ops
from attnlib._backend import backend, device  # noqa: E402

__version__ = "0.1.0"

_LAZY = frozenset(
    {
        "claims",
        "datasets",
        "distributions",
        "figures",
        "models",
        "paths",
        "profiles",
        "report",
        "timing",
        "training",
    }
)

__all__ = ["backend", "device", "layers", "losses", "ops", *sorted(_LAZY)]


def __getattr__(name):
    if name in _LAZY:
        return importlib.import_module(f"attnlib.{name}")
    raise AttributeError(f"module 'attnlib' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *_LAZY})
