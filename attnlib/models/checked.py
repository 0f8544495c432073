"""Checks of arrays before a model computes with them."""

import keras
import numpy as np


class ChecksArrays:
    """Look at arrays before Keras makes tensors of them.

    A model's `call` gets tensors, whose values nobody knows while a graph is
    made of it. And where an error comes up inside of Keras' `predict` on JAX,
    the model is left without weights. So arrays are checked first, in the call
    itself, `fit`, `evaluate`, `predict` and their like for one batch: when a
    `ValueError` is raised, nothing has been done.

    A subclass names it before `keras.Model` and has `check_arrays(x, y=None)`,
    which raises a `ValueError`. x and y are what the model was given, arrays
    or dicts, tuples or lists of arrays; of parts that are tensors the hook may
    look at the shapes.

    Only NumPy arrays are looked at. What is a tensor, a `PyDataset` (such as
    the epochs of `attnlib.training.Batches`), a `tf.data.Dataset` or a
    generator passes unchecked, and costs nothing.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> from attnlib.models.checked import ChecksArrays
    >>> class Root(ChecksArrays, keras.Model):
    ...     def check_arrays(self, x, y=None):
    ...         if (x < 0).any():
    ...             raise ValueError(f"expected no debts. Received: {x.min()}")
    ...
    ...     def call(self, x):
    ...         return keras.ops.sqrt(x)
    >>> Root().predict(np.array([4.0, -1.0]), verbose=0)
    Traceback (most recent call last):
    ValueError: expected no debts. Received: -1.0
    """

    def check_arrays(self, x, y=None):
        """Check what the model is given, as far as it is arrays.

        Args:
            x: Inputs.
            y: Targets, or None.

        Raises:
            ValueError: The model cannot read them.
        """
        raise NotImplementedError

    def __call__(self, *args, **kwargs):
        # Inputs may be given by the name that they have in `call`.
        named = (kwargs[key] for key in kwargs if key != "training")
        self._check_if_arrays(args[0] if args else next(named, None))
        return super().__call__(*args, **kwargs)

    def fit(self, x=None, y=None, *args, **kwargs):
        """Train as `keras.Model.fit` does, after a check of arrays."""
        self._check_if_arrays(x, y)
        held = kwargs.get("validation_data")
        if isinstance(held, (tuple, list)):
            self._check_if_arrays(*held[:2])
        return super().fit(x, y, *args, **kwargs)

    def evaluate(self, x=None, y=None, *args, **kwargs):
        """Do as `keras.Model.evaluate`, after a check of arrays."""
        self._check_if_arrays(x, y)
        return super().evaluate(x, y, *args, **kwargs)

    def predict(self, x, *args, **kwargs):
        """Do as `keras.Model.predict`, after a check of arrays."""
        self._check_if_arrays(x)
        return super().predict(x, *args, **kwargs)

    def train_on_batch(self, x, y=None, *args, **kwargs):
        """Do as `keras.Model.train_on_batch`, after a check of arrays."""
        self._check_if_arrays(x, y)
        return super().train_on_batch(x, y, *args, **kwargs)

    def test_on_batch(self, x, y=None, *args, **kwargs):
        """Do as `keras.Model.test_on_batch`, after a check of arrays."""
        self._check_if_arrays(x, y)
        return super().test_on_batch(x, y, *args, **kwargs)

    def predict_on_batch(self, x):
        """Do as `keras.Model.predict_on_batch`, after a check of arrays."""
        self._check_if_arrays(x)
        return super().predict_on_batch(x)

    def _check_if_arrays(self, x, y=None):
        if any(is_array(part) for part in keras.tree.flatten((x, y))):
            self.check_arrays(x, y)


def is_array(value) -> bool:
    """Return whether a value is a NumPy array, whose numbers are known."""
    return isinstance(value, np.ndarray)


def check_known(name, ids, size, advice=""):
    """Check that an array holds numbers of words, answers or characters.

    Args:
        name: What they are, for the message.
        ids: Array of any shape. Tensors pass unchecked.
        size: Ids are integers from 0 to `size - 1`.
        advice: A sentence that says what to do.

    Raises:
        ValueError: They are no integers, or one is out of range.

    Example:

    >>> check_known("question", np.array([[3, 4]]), 4, "Take known words.")
    Traceback (most recent call last):
    ValueError: expected question to hold ids from 0 to 3. Received: 4. Take \
known words.
    """
    if not is_array(ids):
        return
    received = None
    if ids.dtype.kind not in "iu":
        received = f"dtype {ids.dtype}"
    else:
        bad = ids[(ids < 0) | (ids >= size)]
        received = bad[0] if bad.size else None
    if received is not None:
        raise ValueError(
            f"expected {name} to hold ids from 0 to {size - 1}. Received: "
            f"{received}{'. ' if advice else ''}{advice}"
        )
