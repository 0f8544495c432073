import keras
import numpy as np
from numerics import to_numpy

from attnlib.layers.initializers import fresh


def test_draws_other_numbers_of_the_same_kind():
    given = keras.initializers.RandomNormal(mean=3.0, stddev=0.5)
    other = fresh(given)
    one, two = to_numpy(given((50, 50))), to_numpy(other((50, 50)))
    assert (one != two).any()
    np.testing.assert_allclose(two.mean(), 3, atol=0.1)
    np.testing.assert_allclose(two.std(), 0.5, atol=0.1)


def test_keeps_a_seed_that_was_given():
    given = keras.initializers.GlorotUniform(seed=4)
    one, two = to_numpy(given((3, 4))), to_numpy(fresh(given)((3, 4)))
    np.testing.assert_array_equal(one, two)


def test_passes_on_what_cannot_be_cloned():
    def ones(shape, dtype=None):
        return keras.ops.ones(shape, dtype)

    assert fresh(ones) is ones
