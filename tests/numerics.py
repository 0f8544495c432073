"""Numerical helpers that work on every backend."""

import keras
import numpy as np


def to_numpy(tensor):
    """Return a tensor, or any structure of them, as NumPy arrays."""
    return keras.tree.map_structure(keras.ops.convert_to_numpy, tensor)


def dtype_of(tensor):
    return keras.backend.standardize_dtype(tensor.dtype)


def jit(function):
    """Compile a function of tensors as Keras would in `fit`."""
    backend = keras.config.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.function(function)
    if backend == "jax":
        import jax

        return jax.jit(function)
    return function


def run(function, *arrays, **options):
    """Return `function(*arrays, **options)`, compiled where that saves time.

    JAX compiles each operation by itself, which takes five times as long as
    all of them together.
    """
    if keras.config.backend() != "jax":
        return function(*arrays, **options)
    return jit(lambda *tensors: function(*tensors, **options))(*arrays)


def gradients(function, *arrays, cotangent=None):
    """Return d sum(function(*arrays) * cotangent) / d array, for each array.

    An array that gets no gradient at all yields zeros.
    """
    backend = keras.config.backend()

    def total(*tensors):
        value = function(*tensors)
        weights = 1.0 if cotangent is None else cotangent
        return keras.ops.sum(value * keras.ops.cast(weights, value.dtype))

    if backend == "tensorflow":
        import tensorflow as tf

        tensors = [tf.convert_to_tensor(a) for a in arrays]
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = total(*tensors)
        found = tape.gradient(
            value, tensors, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        found = [tf.convert_to_tensor(g) for g in found]
    elif backend == "jax":
        import jax

        tensors = [jax.numpy.asarray(a) for a in arrays]
        every = tuple(range(len(arrays)))
        found = jax.jit(jax.grad(total, argnums=every))(*tensors)
    else:
        import torch

        tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
        value = total(*tensors)
        if not value.requires_grad:
            return [np.zeros_like(a) for a in arrays]
        found = torch.autograd.grad(value, tensors, materialize_grads=True)
    return [np.asarray(to_numpy(g)) for g in found]


def finite_differences(reference, arrays, index, cotangent, step=1e-6):
    """Return the gradient of a float64 NumPy function by central differences.

    Args:
        reference: Function of float64 arrays.
        arrays: Its arguments.
        index: Which argument to differentiate by.
        cotangent: Weights of the outputs, of the output's shape.
    """
    arrays = [np.array(a, "float64") for a in arrays]
    gradient = np.zeros_like(arrays[index])
    for place in np.ndindex(gradient.shape):
        kept = arrays[index][place]
        ends = []
        for end in (kept + step, kept - step):
            arrays[index][place] = end
            ends.append(np.sum(reference(*arrays) * cotangent))
        arrays[index][place] = kept
        gradient[place] = (ends[0] - ends[1]) / (2 * step)
    return gradient


def check_gradients(function, reference, arrays, wrt=None, tolerance=1e-4):
    """Compare a backend's gradients with differences of a NumPy reference.

    Args:
        function: Function of tensors under test.
        reference: The same function of float64 arrays.
        arrays: Float32 arguments of both.
        wrt: Indices of the arguments to differentiate by; all when None.
        tolerance: Largest error relative to the largest gradient.
    """
    shape = np.shape(reference(*[np.array(a, "float64") for a in arrays]))
    cotangent = np.random.default_rng(7).normal(size=shape)
    found = gradients(function, *arrays, cotangent=cotangent.astype("float32"))
    for index in range(len(arrays)) if wrt is None else wrt:
        expected = finite_differences(reference, arrays, index, cotangent)
        scale = max(1.0, np.abs(expected).max(initial=0.0))
        np.testing.assert_allclose(
            found[index] / scale,
            expected / scale,
            atol=tolerance,
            err_msg=f"gradient to argument {index}",
        )


def variable_gradients(loss, variables):
    """Return the gradient of a scalar loss to Keras variables, by path.

    Args:
        loss: Function without arguments, of the variables' present values.
        variables: List of Keras variables.

    Returns:
        Dict of NumPy arrays; zeros where no gradient arrives at all.
    """
    backend = keras.config.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            value = loss()
        found = tape.gradient(
            value,
            [v.value for v in variables],
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
    elif backend == "jax":
        import jax

        def of_values(values):
            mapping = list(zip(variables, values, strict=True))
            with keras.StatelessScope(state_mapping=mapping):
                return loss()

        # One program compiles faster than each of its operations.
        found = jax.jit(jax.grad(of_values))([v.value for v in variables])
    else:
        import torch

        values = [v.value for v in variables]
        trained = [value for value in values if value.requires_grad]
        known = torch.autograd.grad(loss(), trained, materialize_grads=True)
        known = dict(zip(map(id, trained), known, strict=True))
        found = [known.get(id(v), torch.zeros_like(v)) for v in values]
    return {
        variable.path: np.asarray(to_numpy(gradient))
        for variable, gradient in zip(variables, found, strict=True)
    }


def check_variable_gradients(loss, reference, variables, tolerance=2e-3):
    """Compare gradients to variables with differences of a reference.

    Each variable is moved in one random direction.

    Args:
        loss: Function without arguments, of the variables' present values.
        reference: The same in float64 NumPy, of a dict from a variable's path
            to its value.
        variables: List of Keras variables.
        tolerance: Largest error relative to the largest derivative.
    """
    found = variable_gradients(loss, variables)
    values = {v.path: to_numpy(v.value).astype("float64") for v in variables}
    random = np.random.default_rng(5)
    pairs = {}
    for path, value in values.items():
        direction = random.normal(size=value.shape)
        ends = [
            reference({**values, path: value + step * direction})
            for step in (1e-5, -1e-5)
        ]
        expected = (ends[0] - ends[1]) / 2e-5
        pairs[path] = (np.sum(found[path] * direction), expected)
    scale = max(abs(expected) for _, expected in pairs.values())
    for path, (derivative, expected) in pairs.items():
        np.testing.assert_allclose(
            derivative / scale, expected / scale, atol=tolerance, err_msg=path
        )
