import numpy as np
import pytest
from numerics import gradients, to_numpy

from attnlib.layers import GlimpseSensor
from attnlib.ops import extract_glimpses


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def test_is_the_op():
    images, locations = random(2, 9, 7, 3), np.tanh(random(2, 2, seed=1))
    found = to_numpy(GlimpseSensor(3, scales=2)(images, locations))
    expected = to_numpy(extract_glimpses(images, locations, 3, 2))
    np.testing.assert_array_equal(found, expected)


def test_passes_no_gradient_to_locations():
    images, locations = random(2, 9, 7, 3), np.tanh(random(2, 2, seed=1))
    to_images, to_locations = gradients(
        GlimpseSensor(3, scales=2), images, locations
    )
    assert to_images.any()
    assert not to_locations.any()


def test_float16_policy_addresses_pixels_in_float32():
    """Autocasting the locations would move the window by a pixel."""
    images = np.zeros((1, 4, 4096, 1), "float32")
    images[0, :, 3893] = 1
    location = np.array([[2 * 3893.5 / 4096 - 1, 0]], "float32")
    found = GlimpseSensor(1, dtype="mixed_float16")(images, location)
    assert to_numpy(found).item() == 1


def test_reports_bad_input():
    for bad in (0, -1, 2.5, "4", None, True):
        with pytest.raises(ValueError, match="size.*at least 1.*Received"):
            GlimpseSensor(bad)
        with pytest.raises(ValueError, match="scales.*at least 1.*Received"):
            GlimpseSensor(3, scales=bad)
    with pytest.raises(ValueError, match="last axis.*locations: 3"):
        GlimpseSensor(3)(random(2, 9, 7, 1), random(2, 3))
