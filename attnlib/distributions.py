"""Log-densities from the backend's own library of distributions.

TensorFlow Probability computes them on TensorFlow, NumPyro on JAX and
torch.distributions on torch. A library is imported at the first call, since
that takes seconds. This is the one module of attnlib that knows backends.

Every function works on tensors inside `fit`, broadcasts its arguments and is
differentiable. Values are computed in at least float32 and returned in the
dtype of the first floating argument.

Example:

>>> import numpy as np
>>> from attnlib import distributions
>>> x = np.array([[0.0, 1.0]], "float32")
>>> log_prob = distributions.normal_log_prob(x, mean=x, scale=1.0)
>>> np.array(log_prob, "float64").round(4).tolist()
[[-0.9189, -0.9189]]
"""

import functools

import keras
from keras import ops

from attnlib.ops import checks

__all__ = [
    "bernoulli_log_prob",
    "bivariate_normal_log_prob",
    "categorical_entropy",
    "categorical_log_prob",
    "mixture_log_prob",
    "normal_entropy",
    "normal_kl",
    "normal_log_prob",
]


def normal_log_prob(x, mean, scale):
    """Return the log-density of independent normal distributions in nats.

    Args:
        x: Points, any shape.
        mean: Means, broadcasts to `x`.
        scale: Standard deviations, positive, broadcasts to `x`.

    Returns:
        Log-densities, one per entry: sum over axes that belong to one event.

    Raises:
        ValueError: A dtype is not floating, or shapes do not broadcast.
    """
    x, mean, scale, dtype = _floating(x=x, mean=mean, scale=scale)
    return ops.cast(_library().normal(mean, scale).log_prob(x), dtype)


def normal_entropy(scale):
    """Return the entropy of normal distributions in nats.

    Args:
        scale: Standard deviations, positive, any shape.

    Returns:
        Entropies, one per entry.

    Raises:
        ValueError: The dtype is not floating.
    """
    scale, dtype = _floating(scale=scale)
    normal = _library().normal(ops.zeros_like(scale), scale)
    return ops.cast(normal.entropy(), dtype)


def normal_kl(mean, scale, prior_mean=0.0, prior_scale=1.0):
    """Return KL(N(mean, scale^2) || N(prior_mean, prior_scale^2)) in nats.

    Args:
        mean: Means, any shape.
        scale: Standard deviations, positive.
        prior_mean: Means of the prior.
        prior_scale: Standard deviations of the prior, positive.

    Returns:
        Divergences, one per entry; 0 at the prior.

    Raises:
        ValueError: A dtype is not floating, or shapes do not broadcast.
    """
    mean, scale, prior_mean, prior_scale, dtype = _floating(
        mean=mean, scale=scale, prior_mean=prior_mean, prior_scale=prior_scale
    )
    library = _library()
    divergence = library.kl(
        library.normal(mean, scale), library.normal(prior_mean, prior_scale)
    )
    return ops.cast(divergence, dtype)


def bernoulli_log_prob(x, logits):
    """Return the log-probability of independent binary outcomes in nats.

    Args:
        x: Outcomes 0 or 1 of any dtype, or floating intensities between.
        logits: log p / (1 - p), same shape as `x` or broadcasts.

    Returns:
        Log-probabilities, one per entry, in the dtype of `logits`.

    Raises:
        ValueError: `logits` is not floating, or shapes do not broadcast.
    """
    logits, dtype = _floating(logits=logits)
    x = ops.cast(ops.convert_to_tensor(x), logits.dtype)
    _check_broadcast(x=x, logits=logits)
    return ops.cast(_library().bernoulli(logits).log_prob(x), dtype)


def categorical_log_prob(labels, logits):
    """Return the log-probability of class labels in nats.

    Args:
        labels: Integer classes, shape (...).
        logits: Unnormalised log-probabilities, shape (..., K).

    Returns:
        Log-probabilities, shape (...), in the dtype of `logits`.

    Raises:
        ValueError: A dtype is wrong, or shapes do not fit.
    """
    logits, dtype = _floating(logits=logits)
    labels = ops.convert_to_tensor(labels)
    received = keras.backend.standardize_dtype(labels.dtype)
    if not keras.backend.is_int_dtype(received):
        raise ValueError(
            f"expected labels to be integers. Received: dtype {received}"
        )
    if tuple(labels.shape) != tuple(logits.shape[:-1]):
        raise ValueError(
            "expected labels to have the shape of logits without the last "
            f"axis. Received: labels of shape {tuple(labels.shape)}, logits "
            f"of shape {tuple(logits.shape)}"
        )
    labels = ops.cast(labels, "int32")
    return ops.cast(_library().categorical(logits).log_prob(labels), dtype)


def categorical_entropy(logits):
    """Return the entropy of categorical distributions in nats.

    Args:
        logits: Unnormalised log-probabilities, shape (..., K).

    Returns:
        Entropies, shape (...).

    Raises:
        ValueError: The dtype is not floating.
    """
    logits, dtype = _floating(logits=logits)
    return ops.cast(_library().categorical(logits).entropy(), dtype)


def bivariate_normal_log_prob(x, mean, scale, correlation):
    """Return the log-density of correlated pairs in nats.

    The density factorises into that of the first coordinate and that of the
    second given the first; both are normal.

    Args:
        x: Points, shape (..., 2).
        mean: Means, shape (..., 2).
        scale: Standard deviations, positive, shape (..., 2).
        correlation: Correlations between -1 and 1, exclusive, shape (...).

    Returns:
        Log-densities, shape (...), in the dtype of `x`.

    Raises:
        ValueError: A dtype is not floating, a last axis is not 2, or shapes
            do not broadcast.

    Reference:
        Graves 2013, arXiv:1308.0850, section 4.1, equations 24 and 25.
    """
    x, mean, scale, correlation, dtype = _floating(
        x=x, mean=mean, scale=scale, correlation=correlation, broadcast=False
    )
    for name, tensor in (("x", x), ("mean", mean), ("scale", scale)):
        if len(tensor.shape) == 0 or tensor.shape[-1] != 2:
            raise ValueError(
                f"expected the last axis of {name} to be 2. Received: shape "
                f"{tuple(tensor.shape)}"
            )
    _check_broadcast(
        x=x[..., 0],
        mean=mean[..., 0],
        scale=scale[..., 0],
        correlation=correlation,
    )
    normal = _library().normal
    first, second = scale[..., 0], scale[..., 1]
    standard = (x[..., 0] - mean[..., 0]) / first
    # (1 - r)(1 + r) keeps the digits that 1 - r^2 loses near r = 1.
    rest = second * ops.sqrt((1 - correlation) * (1 + correlation))
    conditional = normal(mean[..., 1] + correlation * second * standard, rest)
    log_prob = normal(mean[..., 0], first).log_prob(x[..., 0])
    return ops.cast(log_prob + conditional.log_prob(x[..., 1]), dtype)


def mixture_log_prob(logits, component_log_prob):
    """Return the log-density of a mixture in nats.

    Args:
        logits: Unnormalised log-weights of the components, shape (..., K).
        component_log_prob: Log-density of each component, shape (..., K).

    Returns:
        log sum_k softmax(logits)_k exp(component_log_prob_k), shape (...),
        without leaving log space.

    Raises:
        ValueError: A dtype is not floating, or shapes do not broadcast.
    """
    logits, component_log_prob, dtype = _floating(
        logits=logits, component_log_prob=component_log_prob
    )
    joint = ops.log_softmax(logits, axis=-1) + component_log_prob
    return ops.cast(ops.logsumexp(joint, axis=-1), dtype)


def _floating(broadcast=True, **tensors):
    """Cast tensors to one dtype of at least float32; return that of the first.

    Plain numbers take the dtype of the first tensor like everything else.
    """
    dtype, result = None, []
    for name, tensor in tensors.items():
        if isinstance(tensor, (int, float)) and not isinstance(tensor, bool):
            tensor = float(tensor)
        tensor = checks.floating(name, tensor)
        if dtype is None:
            dtype = keras.backend.standardize_dtype(tensor.dtype)
        result.append(ops.cast(tensor, checks.compute_dtype(dtype)))
    if broadcast:
        _check_broadcast(**dict(zip(tensors, result, strict=True)))
    return *result, dtype


def _check_broadcast(**tensors):
    shapes = {name: tuple(t.shape) for name, t in tensors.items()}
    longest = max(len(shape) for shape in shapes.values())
    padded = [
        (1,) * (longest - len(shape)) + shape for shape in shapes.values()
    ]
    if any(
        len({size for size in sizes if size not in (None, 1)}) > 1
        for sizes in zip(*padded, strict=True)
    ):
        received = ", ".join(f"{k}: {v}" for k, v in shapes.items())
        raise ValueError(
            f"expected shapes that broadcast. Received: {received}"
        )


@functools.cache
def _library():
    """Return the distributions of the backend's library.

    Raises:
        ImportError: The library is not installed.
    """
    backend = keras.config.backend()
    try:
        if backend == "tensorflow":
            from tensorflow_probability import distributions
        elif backend == "jax":
            from numpyro import distributions
        else:
            from torch import distributions
    except ImportError as error:
        raise ImportError(
            f"attnlib.distributions needs {error.name} on {backend}. Install "
            f"it with: pip install 'attnlib[{backend}]'",
            name=error.name,
        ) from error
    return _Library(distributions)


class _Library:
    """The little that three libraries of distributions have in common.

    Their checks of values are off: they wait for the device at every call,
    refuse empty batches on JAX, and raise on a NaN that training reports with
    the batch that caused it.
    """

    def __init__(self, module):
        self._module = module
        self.kl = module.kl_divergence

    def normal(self, mean, scale):
        return self._module.Normal(mean, scale, validate_args=False)

    def bernoulli(self, logits):
        options = {"logits": logits, "validate_args": False}
        if keras.config.backend() == "tensorflow":
            options["dtype"] = logits.dtype  # Of outcomes; integers by default.
        return self._module.Bernoulli(**options)

    def categorical(self, logits):
        return self._module.Categorical(logits=logits, validate_args=False)
