import keras
import numpy as np
import pytest

from attnlib.ops import checks


@pytest.mark.parametrize("bad", [None, "images", [[1.0], [1.0, 2.0]]])
def test_what_is_no_tensor_is_a_value_error(bad):
    for check in (checks.floating, checks.boolean):
        with pytest.raises(ValueError, match="expected x to be.*Received"):
            check("x", bad)


@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool", "complex64"])
def test_only_floats_are_floating(dtype):
    with pytest.raises(ValueError, match=f"x to be floating.*{dtype}"):
        checks.floating("x", np.ones(2, dtype))


def test_numbers_in_lists_are_tensors():
    assert tuple(checks.floating("x", [[1.0, 2.0]]).shape) == (1, 2)
    assert tuple(checks.boolean("x", [[True, False]]).shape) == (1, 2)
    with pytest.raises(ValueError, match="floating.*int32"):
        checks.floating("x", [[1, 2]])


def test_numbers_of_numpy_are_numbers():
    assert checks.flag("x", np.True_) is True
    assert checks.seed(np.int64(3)) == 3
    assert type(checks.positive_integer("x", np.int64(3))) is int
    assert type(checks.positive_number("x", np.float32(3))) is float


@pytest.mark.parametrize("bad", [-1, 2**32, 1.5, "1", True, float("nan")])
def test_seeds_that_not_every_backend_takes(bad):
    with pytest.raises(ValueError, match="seed.*None or an integer.*Received"):
        checks.seed(bad)
    assert checks.seed(None) is None
    keras.random.SeedGenerator(checks.seed(2**32 - 1))


@pytest.mark.parametrize("bad", [-0.1, 1, 1.5, "0.1", True, None, float("nan")])
def test_rates_that_are_no_dropout(bad):
    with pytest.raises(ValueError, match=r"dropout in \[0, 1\). Received"):
        checks.dropout(bad)
    assert checks.dropout(0) == 0 and checks.dropout(0.5) == 0.5
