"""Time a function beside its obvious alternative, forward and backward.

Both compute the same from the same inputs, which is checked before anything
is timed, and both are compiled alike and timed in turns. So their ratio holds
for this machine at this moment, whatever else it is doing.
"""

import dataclasses
import time

import keras
import numpy as np
from harness import spread
from keras import ops

from attnlib import timing


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two functions of the same tensors that return the same tensor.

    Attributes:
        ours: Function of tensors on `keras.ops`.
        other: The alternative, the same; or of torch tensors.
        inputs: Floating NumPy arrays, the arguments of both.
        operations: Floating point operations of our forward pass, two per
            multiply-add.
        read: Bytes of the inputs that our forward pass must read; all of them
            when None.
        torch: Whether the alternative is torch's own.
    """

    ours: object
    other: object
    inputs: tuple
    operations: float
    read: int | None = None
    torch: bool = False


def gradient_of(function, backend=None):
    """Return the gradient of sum(function(*tensors)^2) to every tensor.

    Args:
        function: Function of tensors that returns one tensor.
        backend: Whose tensors they are; Keras' backend when None.

    Returns:
        A function of the same tensors that returns a list of them; an input
        that gets no gradient yields zeros.
    """
    backend = backend or keras.config.backend()
    if backend == "tensorflow":
        return _tensorflow_gradient(function)
    if backend == "jax":
        return _jax_gradient(function)
    return _torch_gradient(function)


def _tensorflow_gradient(function):
    import tensorflow as tf

    def gradient(*tensors):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            total = tf.reduce_sum(tf.square(function(*tensors)))
        found = tape.gradient(
            total, tensors, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        return [tf.convert_to_tensor(one) for one in found]

    return gradient


def _jax_gradient(function):
    import jax

    def gradient(*tensors):
        def total(*tensors):
            return ops.sum(ops.square(function(*tensors)))

        every = tuple(range(len(tensors)))
        return list(jax.grad(total, argnums=every)(*tensors))

    return gradient


def _torch_gradient(function):
    import torch

    def gradient(*tensors):
        with torch.enable_grad():
            tensors = [t.detach().requires_grad_() for t in tensors]
            total = function(*tensors).square().sum()
            found = torch.autograd.grad(
                total, tensors, materialize_grads=True, allow_unused=True
            )
        return list(found)

    return gradient


def _calls(pair, xla):
    """Return {direction: {who: (function, argument, ...)}}, ready to run."""
    tensors = [ops.convert_to_tensor(array) for array in pair.inputs]
    found = {"forward": {}, "backward": {}}
    for who, function in (("ours", pair.ours), ("other", pair.other)):
        if who == "other" and pair.torch:
            import torch

            arguments = [torch.from_numpy(array) for array in pair.inputs]
            forward = torch.no_grad()(function)
            backward = gradient_of(function, "torch")
        elif keras.config.backend() == "torch":
            # Eager: `timing.compiled` would switch gradients off.
            arguments = tensors
            forward = timing.compiled(function)
            backward = gradient_of(function)
        else:
            arguments = tensors
            forward, backward = (
                timing.compiled(_with_xla(one) if xla else one)
                for one in (function, gradient_of(function))
            )
        found["forward"][who] = (forward, *arguments)
        found["backward"][who] = (backward, *arguments)
    return found


def _with_xla(function):
    """Let XLA compile a function on TensorFlow; JAX always does."""
    if keras.config.backend() != "tensorflow":
        return function
    import tensorflow as tf

    return tf.function(function, jit_compile=True)


def check_equal(calls, tolerance=1e-3):
    """Check that both sides of a comparison compute the same.

    Args:
        calls: {who: (function, argument, ...)} of one direction.
        tolerance: Largest difference relative to the largest value.

    Raises:
        ValueError: They do not, so that their times mean nothing.
    """
    results = [
        [_to_numpy(t) for t in keras.tree.flatten(function(*arguments))]
        for function, *arguments in calls.values()
    ]
    for one, other in zip(*results, strict=True):
        scale = max(np.abs(other).max(initial=0.0), 1e-6)
        difference = np.abs(one - other).max(initial=0.0) / scale
        if one.shape != other.shape or not difference < tolerance:
            raise ValueError(
                "expected both functions to compute the same. Received: "
                f"shapes {one.shape} and {other.shape}, relative difference "
                f"{difference:.1e}"
            )


def _to_numpy(tensor):
    # torch's tensors on whatever Keras backend.
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu().numpy()
    return np.asarray(ops.convert_to_numpy(tensor))


def compare(
    name, other, pair, rounds=5, repeats=5, xla=False, clock=time.perf_counter
):
    """Time both sides of a pair.

    Args:
        name: What is timed, with its sizes.
        other: What the alternative is.
        pair: A `Pair`.
        rounds: How often the ratio is measured.
        repeats: Calls of each side in a round.
        xla: Whether XLA compiles both sides on TensorFlow, as `fit` does where
            it can.
        clock: Of `timing.interleaved_seconds`.

    Returns:
        A dict with `name`, `other`, `backend`, `operations` and `bytes` (our
        forward pass: least traffic, inputs read and output written once), and
        for `forward` and `backward` (with its forward pass) the best `ours_s`
        and `other_s` and the `ratio` other / ours with its median, least and
        greatest value: above 1, ours is faster.

    Raises:
        ValueError: The two do not compute the same.
    """
    calls = _calls(pair, xla)
    row = {
        "name": name,
        "other": other,
        "backend": keras.config.backend(),
        "xla": xla or keras.config.backend() == "jax",
        "operations": float(pair.operations),
        "bytes": moved_bytes(pair, calls["forward"]["ours"]),
    }
    for direction, both in calls.items():
        check_equal(both)
        times = [
            timing.interleaved_seconds(both, repeats, 1, clock)
            for _ in range(rounds)
        ]
        ratios = [one["other"] / one["ours"] for one in times]
        row[direction] = {
            "ours_s": min(one["ours"] for one in times),
            "other_s": min(one["other"] for one in times),
            "ratio": spread(ratios),
        }
    return row


def moved_bytes(pair, call) -> int:
    """Return the bytes that a forward pass must read and write.

    Args:
        pair: A `Pair`.
        call: `(function, argument, ...)`, our forward pass.
    """
    function, *arguments = call
    read = pair.read
    if read is None:
        read = sum(array.nbytes for array in pair.inputs)
    return int(read + _to_numpy(function(*arguments)).nbytes)
