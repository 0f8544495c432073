"""What the pairs of operations and of layers share."""

import math

import numpy as np
from keras import ops


def generator():
    """Return the source of all inputs, the same in every run."""
    return np.random.default_rng(0)


def normal(*shape):
    """Return standard normal numbers, float32."""
    return generator().normal(size=shape).astype("float32")


def products(*sizes) -> int:
    """Return the operations of a matrix product over these sizes."""
    return 2 * math.prod(sizes)


def additive(queries, keys, units) -> int:
    """Return the operations of additive scores: sum, tanh, product, sum."""
    return queries * keys * 4 * units


def looped(function, axis=0, out_axis=None):
    """Return a function that calls another for one example after another.

    Args:
        function: Function of tensors whose axes to loop over are equally long.
        axis: That axis.
        out_axis: The same axis in the result; `axis` when None.
    """

    def loop(*tensors):
        parts = [ops.split(t, t.shape[axis], axis=axis) for t in tensors]
        found = [function(*part) for part in zip(*parts, strict=True)]
        return ops.concatenate(
            found, axis=axis if out_axis is None else out_axis
        )

    return loop


def affine_maps(batch):
    """Return affine maps near the identity, shape (B, 2, 3)."""
    return np.eye(2, 3, dtype="float32") + 0.2 * normal(batch, 2, 3)
