"""A bad configuration is a ValueError, by constructor and by config."""

import pytest
from cases import CASES


def numbers(config):
    """Return the names of a configuration's numbers."""
    return [
        name
        for name, value in config.items()
        if isinstance(value, (int, float))
        and not isinstance(value, bool)
        and name != "seed"
    ]


@pytest.mark.parametrize("name", CASES)
def test_a_config_with_nan_says_what_was_expected(name):
    layer = CASES[name].make()
    config = layer.get_config()
    for key in numbers(config):
        with pytest.raises(ValueError, match="expected.*Received.*nan"):
            type(layer).from_config({**config, key: float("nan")})


def test_other_errors_stay_what_keras_makes_of_them():
    layer = type(CASES["GlimpseSensor"].make())
    with pytest.raises(TypeError, match="size"):
        layer.from_config({"scales": 1})
