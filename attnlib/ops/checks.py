"""Checks of arguments that the ops and layers share."""

import math
from numbers import Integral, Real

import keras
import numpy as np
from keras import ops


def floating(name, tensor, dtype=None):
    """Return `tensor` as a floating tensor, cast to `dtype` when given.

    Args:
        name: Argument name for the message.
        tensor: Anything that converts to a tensor.
        dtype: Floating dtype to cast to, or None to keep the tensor's own.

    Raises:
        ValueError: It is no tensor, or holds integers or booleans.
    """
    tensor = _tensor(name, tensor)
    received = keras.backend.standardize_dtype(tensor.dtype)
    if not keras.backend.is_float_dtype(received):
        raise ValueError(
            f"expected {name} to be floating. Received: dtype {received}. "
            "Cast it first, for example with keras.ops.cast(x, 'float32')"
        )
    if dtype is not None and received != dtype:
        tensor = ops.cast(tensor, dtype)
    return tensor


def boolean(name, mask):
    """Return `mask` as a boolean tensor; True means use.

    Raises:
        ValueError: The mask is no tensor, or not boolean.
    """
    mask = _tensor(name, mask)
    received = keras.backend.standardize_dtype(mask.dtype)
    if received != "bool":
        raise ValueError(
            f"expected {name} to be boolean (True = use). Received: dtype "
            f"{received}"
        )
    return mask


def _tensor(name, value):
    try:
        return ops.convert_to_tensor(value)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"expected {name} to be a tensor or an array of numbers. "
            f"Received: {type(value).__name__}"
        ) from error


def sequence_mask(name, mask, tensor):
    """Return the mask (B, L) of a tensor (B, L, ...); None stays None.

    Args:
        name: Argument name of the tensor; its mask is `<name>_mask`.
        mask: Boolean tensor, shape (B, L), or None.
        tensor: What it masks.

    Raises:
        ValueError: The mask is not boolean or has another shape.
    """
    if mask is None:
        return None
    mask_name = f"{name}_mask"
    mask = boolean(mask_name, mask)
    rank(mask_name, mask, 2)
    for axis, what in enumerate(("batch sizes", "lengths")):
        sizes = {name: tensor.shape[axis], mask_name: mask.shape[axis]}
        same(what, **sizes)
    return mask


def rank(name, tensor, *ranks):
    """Check the number of axes of `tensor`.

    Raises:
        ValueError: The rank is none of `ranks`.
    """
    if len(tensor.shape) not in ranks:
        expected = " or ".join(str(r) for r in ranks)
        raise ValueError(
            f"expected {name} to have rank {expected}. Received: shape "
            f"{tuple(tensor.shape)}"
        )


def same(what, **sizes):
    """Check that sizes agree; None (unknown) agrees with everything.

    Args:
        what: What the sizes are, for the message.
        **sizes: Argument name to size.

    Raises:
        ValueError: Two known sizes differ.
    """
    known = {size for size in sizes.values() if size is not None}
    if len(known) > 1:
        received = ", ".join(f"{k}: {v}" for k, v in sizes.items())
        raise ValueError(f"expected equal {what}. Received: {received}")


def last_axis(name, tensor, size):
    """Check the width of `tensor` against the weights of a built layer.

    Raises:
        ValueError: The last axis has another size.
    """
    if tensor.shape[-1] != size:
        raise ValueError(
            f"expected {name} to have a last axis of size {size}, as the layer "
            f"was built for. Received: shape {tuple(tensor.shape)}"
        )


def same_shape(**tensors):
    """Check that shapes agree; None (unknown) agrees with everything.

    Args:
        **tensors: Argument name to tensor.

    Raises:
        ValueError: Two shapes differ.
    """
    shapes = {name: tuple(t.shape) for name, t in tensors.items()}
    equal_ranks = len({len(shape) for shape in shapes.values()}) == 1
    if not equal_ranks or any(
        len({size for size in sizes if size is not None}) > 1
        for sizes in zip(*shapes.values(), strict=True)
    ):
        received = ", ".join(f"{k}: {v}" for k, v in shapes.items())
        raise ValueError(f"expected equal shapes. Received: {received}")


def positive_integer(name, value):
    """Return `value` as an int when it is an integer of at least 1.

    Raises:
        ValueError: It is anything else.
    """
    integer = isinstance(value, Integral) and not isinstance(value, bool)
    if not integer or value < 1:
        raise ValueError(
            f"expected {name} to be an integer of at least 1. Received: "
            f"{value!r}"
        )
    return int(value)


def positive_number(name, value):
    """Return `value` as a float when it is a finite number above 0.

    Raises:
        ValueError: It is anything else.
    """
    real = isinstance(value, Real) and not isinstance(value, bool)
    if not real or not 0 < value < math.inf:
        raise ValueError(
            f"expected {name} to be a positive number. Received: {value!r}"
        )
    return float(value)


def non_negative_number(name, value):
    """Return `value` as a float when it is a finite number of at least 0.

    Raises:
        ValueError: It is anything else.
    """
    real = isinstance(value, Real) and not isinstance(value, bool)
    if not real or not 0 <= value < math.inf:
        raise ValueError(
            f"expected {name} to be a number of at least 0. Received: {value!r}"
        )
    return float(value)


def dropout(value):
    """Return a rate of dropout: a number from 0 to below 1.

    Raises:
        ValueError: It is anything else.
    """
    real = isinstance(value, Real) and not isinstance(value, bool)
    if not real or not 0 <= value < 1:
        raise ValueError(f"expected dropout in [0, 1). Received: {value!r}")
    return value


def seed(value):
    """Return a seed that every backend takes: None, or an int of 32 bits.

    Raises:
        ValueError: It is anything else.
    """
    if value is None:
        return None
    integer = isinstance(value, Integral) and not isinstance(value, bool)
    if not integer or not 0 <= value < 2**32:
        raise ValueError(
            "expected seed to be None or an integer from 0 to 2**32 - 1. "
            f"Received: {value!r}"
        )
    return int(value)


def compute_dtype(dtype):
    """Return the dtype for softmax and log-densities: at least float32."""
    dtype = keras.backend.standardize_dtype(dtype)
    return dtype if dtype in ("float32", "float64") else "float32"


def shape_rank(name, shape, *ranks):
    """Check the length of a shape that `build` receives.

    Raises:
        ValueError: The rank is none of `ranks`.
    """
    if shape is None or len(shape) not in ranks:
        expected = " or ".join(str(r) for r in ranks)
        raise ValueError(
            f"expected {name} to have rank {expected}. Received: shape {shape}"
        )


def widths(**shapes):
    """Check that the last axis of each shape is known, to build weights.

    Args:
        **shapes: Argument name to shape.

    Raises:
        ValueError: A last axis is None.
    """
    for name, shape in shapes.items():
        if shape[-1] is None:
            raise ValueError(
                f"expected the last axis of {name} to be known when the layer "
                f"is built. Received: shape {tuple(shape)}"
            )


def flag(name, value):
    """Return `value` as a bool when it is True or False.

    Raises:
        ValueError: It is anything else.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(
            f"expected {name} to be True or False. Received: {value!r}"
        )
    return bool(value)


def one_of(name, value, choices):
    """Return `value` when it is one of the names in `choices`.

    Raises:
        ValueError: It is anything else.
    """
    if not isinstance(value, str) or value not in choices:
        raise ValueError(
            f"expected {name} to be one of {choices}. Received: {value!r}"
        )
    return value


def positive_integers(name, values, count):
    """Return `values` as a tuple of `count` integers of at least 1.

    Raises:
        ValueError: It is anything else.
    """
    if not isinstance(values, (tuple, list)) or len(values) != count:
        raise ValueError(
            f"expected {name} to be {count} integers of at least 1. Received: "
            f"{values!r}"
        )
    return tuple(
        positive_integer(f"{name}[{i}]", value)
        for i, value in enumerate(values)
    )


def known_size(name, shape):
    """Return height and width of a (B, H, W, C) shape.

    Raises:
        ValueError: One of them is None.
    """
    if None in shape[1:3]:
        raise ValueError(
            f"expected {name} of known height and width. Received: shape "
            f"{tuple(shape)}"
        )
    return tuple(shape[1:3])


def pixels(name, tensor):
    """Check that images (B, H, W, C) have at least one pixel to read.

    Raises:
        ValueError: Height or width is 0.
    """
    if 0 in tensor.shape[1:3]:
        raise ValueError(
            f"expected {name} with at least one pixel. Received: shape "
            f"{tuple(tensor.shape)}"
        )


def class_labels(labels, count):
    """Check labels that are known: whole numbers, one for each class.

    An integer that is no class would be trained on in silence: its row of a
    one-hot matrix is all zeros, and so is its loss.

    Args:
        labels: Array of any shape.
        count: Number of classes.

    Raises:
        ValueError: A label is no number, not whole, or none of the classes.
    """
    labels = np.asarray(labels)
    expected = (
        f"expected labels from 0 to {count - 1}, whole numbers, one for each "
        f"of {count} classes. Received: "
    )
    if labels.dtype.kind not in "iuf":
        raise ValueError(f"{expected}dtype {labels.dtype}")
    # NaN equals nothing.
    good = (labels >= 0) & (labels < count) & (labels == np.floor(labels))
    if not good.all():
        raise ValueError(f"{expected}{labels[~good][0]}")


def built(layer, method):
    """Check that a layer has its weights before a method uses them.

    Args:
        layer: The layer.
        method: Name of the method, for the message.

    Raises:
        ValueError: The layer is not built.
    """
    if not layer.built:
        raise ValueError(
            f"expected {layer.name} to be built. Received: {method}() before "
            "the first call. Call the layer or its build() first"
        )
