"""What input attention has alone; see test_attribute_attention.py."""

import pytest
from test_attribute_attention import ATTRIBUTES, QUERY, random

from attnlib.layers import InputAttention


def test_words_and_attributes_share_one_embedding():
    with pytest.raises(ValueError, match="widths.*attributes: 6"):
        InputAttention(4)(QUERY, random(3, 4, 6))
    with pytest.raises(ValueError, match="last axis of query.*known"):
        InputAttention(4).build((3, None), (3, 4, 5))
    assert InputAttention(4)(QUERY, ATTRIBUTES)[0].shape == (3, 4)
