"""Checks of options that several data sets share."""

import numpy as np


def whole_number(name: str, value, low: int, high: int | None = None) -> int:
    """Return an option's value as int.

    Raises:
        ValueError: It is not a whole number from `low` to `high`.
    """
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < low or (high is not None and value > high):
        bounds = f"at least {low}" if high is None else f"{low} to {high}"
        raise ValueError(
            f"{name}: expected a whole number, {bounds}, received {value!r}"
        )
    return int(value)


def random_generator(name: str, value) -> np.random.Generator:
    """Return an option's value when it is a NumPy generator.

    Raises:
        ValueError: It is anything else, a seed for example.
    """
    if not isinstance(value, np.random.Generator):
        raise ValueError(
            f"{name}: expected a numpy.random.Generator, for example "
            f"numpy.random.default_rng(0), received {value!r}"
        )
    return value
