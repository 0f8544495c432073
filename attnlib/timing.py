"""Fair timing of compiled functions on any backend.

A call only counts as finished when its result is there: frameworks return
before a device has done its work. Everything is compiled and warmed up first,
and calls that are to be compared are timed in turns, so that a busy moment of
the machine hits all of them alike.
"""

import statistics
import time

import keras

from attnlib.ops import checks


class Compiled:
    """A function with one compiled graph per shape of its arguments.

    TensorFlow's own cache would warn of retracing when a function meets many
    image sizes, which is the point here.
    """

    def __init__(self, compile_for):
        self._compile_for = compile_for
        self._graphs = {}

    def prepare(self, *args):
        """Compile for arguments like these, without running anything.

        Args:
            *args: Tensors of the shapes and dtypes to compile for.

        Returns:
            The compiled graph, a function of such tensors.
        """
        key = tuple((tuple(arg.shape), str(arg.dtype)) for arg in args)
        if key not in self._graphs:
            self._graphs[key] = self._compile_for(*args)
        return self._graphs[key]

    def __call__(self, *args):
        args = [keras.ops.convert_to_tensor(arg) for arg in args]
        return self.prepare(*args)(*args)


def compiled(function):
    """Compile a function of tensors, or a Keras model for inference.

    Args:
        function: A function of tensors, or a built `keras.Model`, which is
            then called with `training=False`.

    Returns:
        A `Compiled` function of the same tensors. On torch it runs eagerly,
        without recording gradients.
    """
    backend = keras.config.backend()
    if backend == "jax":
        return Compiled(_jax_compiler(function))
    if isinstance(function, keras.Model):
        model = function

        def function(*args):
            return model(*args, training=False)

    if backend == "tensorflow":
        import tensorflow as tf

        return Compiled(tf.function(function).get_concrete_function)
    import torch

    return Compiled(lambda *args: torch.inference_mode()(function))


def _jax_compiler(function):
    import jax

    if not isinstance(function, keras.Model):
        return lambda *args: jax.jit(function).lower(*args).compile()
    model = function
    trained = [v.value for v in model.trainable_variables]
    fixed = [v.value for v in model.non_trainable_variables]

    # Weights are arguments, or they would be constants that XLA folds.
    def call(trained, fixed, *args):
        outputs, _ = model.stateless_call(trained, fixed, *args, training=False)
        return outputs

    def compile_for(*args):
        graph = jax.jit(call).lower(trained, fixed, *args).compile()
        return lambda *args: graph(trained, fixed, *args)

    return compile_for


def wait(result):
    """Wait until every tensor of a result is computed.

    Args:
        result: A tensor, or nested lists, tuples and dicts of tensors.

    Returns:
        The result.
    """
    for tensor in keras.tree.flatten(result):
        # The one way of waiting that all backends share.
        keras.ops.convert_to_numpy(tensor)
    return result


def median_seconds(function, *args, repeats=15, warmup=2):
    """Return the median time of a call, its result included.

    Args:
        function: A function, best a `compiled` one.
        *args: Its arguments, already tensors on the device.
        repeats: Timed calls, at least 1.
        warmup: Calls before them; the first one compiles.

    Returns:
        Seconds.

    Example:

    >>> median_seconds(lambda x: x + 1, 1.0, repeats=3) >= 0
    True
    """
    calls = {"only": (function, *args)}
    return interleaved_seconds(calls, repeats, warmup)["only"]


def interleaved_seconds(calls, repeats=15, warmup=2, clock=time.perf_counter):
    """Return median times of several calls, timed in turns.

    Args:
        calls: {name: (function, argument, ...)}.
        repeats: Timed rounds over all calls, at least 1.
        warmup: Rounds before them.
        clock: What tells the seconds: on a busy machine `time.process_time`,
            the processor time of this process on all its cores together.

    Returns:
        {name: seconds}.

    Raises:
        ValueError: `repeats` is not a positive integer, or no calls.
    """
    checks.positive_integer("repeats", repeats)
    if not calls:
        raise ValueError("expected at least one call to time. Received: none")
    for _ in range(warmup):
        for function, *args in calls.values():
            wait(function(*args))
    times = {name: [] for name in calls}
    for _ in range(repeats):
        for name, (function, *args) in calls.items():
            start = clock()
            wait(function(*args))
            times[name].append(clock() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def peak_growth(function, *args):
    """Return how much memory the process takes for a call.

    Frameworks keep freed memory, so only the first call of its size shows
    what it needs: measure sizes in rising order, before anything else runs,
    and `prepare` a compiled function first to leave the compiler out.

    Args:
        function: A function, best a `compiled` one.
        *args: Its arguments, already tensors on the device.

    Returns:
        Bytes of resident memory at the call's peak beyond those before it, or
        None where the system does not tell (not Linux, or a GPU's memory).
    """
    before = _restart_peak()
    wait(function(*args))
    if before is None:
        return None
    return max(0, _resident("VmHWM") - before)


def _restart_peak():
    """Forget the process's peak and return what it holds now, or None."""
    from attnlib import device

    try:
        # "5" makes the kernel start the peak anew from the present size.
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
        return _resident("VmRSS") if device().startswith("CPU") else None
    except OSError:
        return None


def _resident(field):
    with open("/proc/self/status", encoding="ascii") as file:
        for line in file:
            if line.startswith(field):
                return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}")
