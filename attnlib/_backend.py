"""The choice of a Keras backend, made before Keras is imported."""

import contextlib
import importlib.util
import json
import os
import platform
import re
import sys
import tempfile
from pathlib import Path

SUPPORTED = ("tensorflow", "jax", "torch")

# What TensorFlow says of itself at every start, whatever its log level is.
_NOTICE = re.compile(
    r"^(I\d{4} |WARNING: All log messages before absl::InitializeLog"
    r"|To enable the following instructions:"
    # A machine without a GPU; `device` says so in words where it matters.
    r"|E\d{4} .*failed call to cuInit)"
)


def _installed(name):
    return importlib.util.find_spec(name) is not None


def _configured():
    """Return the backend of the user's keras.json, None without one."""
    home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
    try:
        text = (Path(home) / "keras.json").read_text(encoding="utf-8")
        return json.loads(text).get("backend")
    except (OSError, ValueError, AttributeError):
        return None


def preferred():
    """Return the backend to use where `KERAS_BACKEND` names none.

    Returns:
        That of the user's keras.json, else the first of TensorFlow, JAX and
        torch that is installed; None without any.
    """
    candidates = (_configured(), *SUPPORTED)
    return next(
        (n for n in candidates if n in SUPPORTED and _installed(n)), None
    )


def choose():
    """Set `KERAS_BACKEND` when nothing has chosen a backend yet.

    Raises:
        ValueError: `KERAS_BACKEND` names no backend that attnlib supports.
        ImportError: The chosen backend, or every backend, is missing.
    """
    if "keras" in sys.modules:
        name = sys.modules["keras"].config.backend()
    else:
        name = os.environ.get("KERAS_BACKEND")
    if name:
        if name not in SUPPORTED:
            raise ValueError(
                "expected KERAS_BACKEND to be one of "
                f"{', '.join(SUPPORTED)}. Received: {name!r}"
            )
        if not _installed(name):
            raise ImportError(
                f"KERAS_BACKEND is {name!r}, but {name} is not installed. "
                f"Install it with: pip install 'attnlib[{name}]'"
            )
        return
    name = preferred()
    if name is None:
        raise ImportError(
            "attnlib needs a Keras backend and found none. Install one with: "
            "pip install 'attnlib[tensorflow]' (or attnlib[jax], "
            "attnlib[torch])"
        )
    os.environ["KERAS_BACKEND"] = name
    if name not in (SUPPORTED[0], _configured()):
        print(
            f"attnlib: TensorFlow is not installed, using {name}",
            file=sys.stderr,
        )


@contextlib.contextmanager
def without_notices():
    """Hold back TensorFlow's notices while it starts.

    They are written by C++ code, most before any logging is set up, so the
    file descriptor itself is redirected for the time of the block. All other
    lines are written once it has ended.
    """
    try:
        kept = os.dup(2)
    except OSError:  # There is no standard error to write notices to.
        yield
        return
    with tempfile.TemporaryFile("w+b") as held:
        sys.stderr.flush()
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            held.seek(0)
            for line in held.read().decode(errors="replace").splitlines():
                if not _NOTICE.match(line):
                    print(line, file=sys.stderr)


def backend() -> str:
    """Return the Keras backend in use: tensorflow, jax or torch."""
    import keras

    return keras.config.backend()


def device() -> str:
    """Return the device that computations run on, in words.

    `ATTNLIB_DEVICE=gpu` asks for a GPU.

    Returns:
        For example `"NVIDIA H100"` or `"CPU, 2 cores (x86_64)"`.

    Raises:
        RuntimeError: `ATTNLIB_DEVICE` is `gpu` and the backend sees none.
    """
    wanted = os.environ.get("ATTNLIB_DEVICE", "")
    if wanted not in ("", "cpu", "gpu"):
        raise ValueError(
            f"expected ATTNLIB_DEVICE to be cpu or gpu. Received: {wanted!r}"
        )
    gpus = _gpu_names()
    if gpus and wanted != "cpu":
        more = f" and {len(gpus) - 1} more" if len(gpus) > 1 else ""
        return gpus[0] + more
    if wanted == "gpu":
        raise RuntimeError(
            f"DEVICE=gpu was asked for, but {backend()} finds no GPU. Check "
            "the driver with nvidia-smi, install the extra attnlib[cuda] or "
            "attnlib[jax-cuda], or run with DEVICE=cpu"
        )
    return f"CPU, {_cores()} ({platform.machine()})"


def _cores():
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    return "1 core" if count == 1 else f"{count} cores"


def _gpu_names():
    name = backend()
    if name == "jax":
        import jax

        return [d.device_kind for d in jax.devices() if d.platform == "gpu"]
    if name == "torch":
        import torch

        count = torch.cuda.device_count()
        return [torch.cuda.get_device_name(i) for i in range(count)]
    import tensorflow as tf

    with without_notices():
        gpus = tf.config.list_physical_devices("GPU")
    details = tf.config.experimental.get_device_details
    return [details(gpu).get("device_name", gpu.name) for gpu in gpus]
