"""What output attention has alone; see test_attribute_attention.py."""

import numpy as np
import pytest
from numerics import to_numpy
from test_attribute_attention import ATTRIBUTES, QUERY, built, reference

from attnlib.layers import OutputAttention


def test_activation_is_that_of_the_decoder():
    layer = built(OutputAttention, activation="relu")
    found = to_numpy(layer(QUERY, ATTRIBUTES))
    expected = reference(
        layer, QUERY, ATTRIBUTES, sigma=lambda x: np.maximum(x, 0)
    )
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_reports_what_it_does_not_know():
    with pytest.raises(ValueError, match="no such function"):
        OutputAttention(4, activation="no such function")
    with pytest.raises(ValueError, match="last axis of attributes.*known"):
        OutputAttention(4).build((3, 5), (3, 4, None))
