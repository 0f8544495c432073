import keras
import numpy as np
import pytest
from numerics import check_gradients, gradients, to_numpy

from attnlib.layers import SpatialCrop, SpatialPaste


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def window(scale, x=0.0, y=0.0):
    return np.float32([[[scale, 0, x], [0, scale, y]]])


def reference(size, patches, theta):
    """Each pixel through the inverse of theta into the patch, float64."""
    batch, height, width, channels = patches.shape
    images = np.zeros((batch, *size, channels))
    for b, row, column in np.ndindex(batch, *size):
        matrix = np.vstack([theta[b], [0, 0, 1]])
        target = (2 * column + 1) / size[1] - 1, (2 * row + 1) / size[0] - 1, 1
        x, y, _ = np.linalg.inv(matrix) @ target
        x, y = ((x + 1) * width - 1) / 2, ((y + 1) * height - 1) / 2
        k_x = np.maximum(0, 1 - np.abs(x - np.arange(width)))
        k_y = np.maximum(0, 1 - np.abs(y - np.arange(height)))
        images[b, row, column] = np.einsum("h,w,hwc->c", k_y, k_x, patches[b])
    return images


def tilted(batch):
    return window(0.6, 0.1) + 0.1 * random(batch, 2, 3, seed=3)


def test_equals_reference():
    patches, theta = random(3, 4, 5, 2), tilted(3)
    np.testing.assert_allclose(
        to_numpy(SpatialPaste((7, 6))(patches, theta)),
        reference((7, 6), patches, theta),
        atol=1e-4,
    )


def test_gradients_reach_patches_and_theta():
    check_gradients(
        SpatialPaste((4, 5)),
        lambda p, t: reference((4, 5), p, t),
        [random(2, 3, 3, 1), tilted(2)],
        tolerance=5e-4,
    )


def test_identity_returns_the_patch():
    patches = random(2, 5, 6, 3)
    theta = np.repeat(window(1), 2, 0)
    for align_corners in (False, True):
        layer = SpatialPaste((5, 6), align_corners=align_corners)
        found = to_numpy(layer(patches, theta))
        np.testing.assert_allclose(found, patches, atol=1e-5)


def test_window_on_whole_pixels_is_put_there_and_nowhere_else():
    patches = random(1, 4, 4, 2)
    found = to_numpy(SpatialPaste((8, 8))(patches, window(0.5, 0.5, -0.5)))
    expected = np.zeros((1, 8, 8, 2))
    expected[:, :4, 4:] = patches
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_paste_undoes_a_crop():
    """A smooth image comes back inside the window, and zero outside."""
    y, x = np.mgrid[0:32, 0:32] / 32
    image = np.sin(3 * x + 2 * y).astype("float32")[None, :, :, None]
    crop = SpatialCrop((32, 32))
    crop.build((None, 32, 32, 1), (None, 1))
    crop.set_weights([np.zeros((1, 3)), np.array([0.5, 0.25, -0.25])])
    crops, theta = crop(image, np.zeros((1, 1), "float32"))
    found = to_numpy(SpatialPaste((32, 32))(crops, theta))
    inside = np.zeros((32, 32), bool)
    inside[4:20, 12:28] = True
    assert not found[0, ~inside].any()
    inner = slice(5, 19), slice(13, 27)
    np.testing.assert_allclose(found[0][inner], image[0][inner], atol=5e-3)


def test_window_without_an_area_leaves_nothing_and_no_nan():
    theta = np.concatenate(
        [window(0), window(1e-30), window(0, 0.5, 0.5), window(0.5, 1e8)]
    )
    patches = np.ones((4, 3, 3, 1), "float32")
    layer = SpatialPaste((6, 6))
    assert not to_numpy(layer(patches, theta)).any()
    for gradient in gradients(layer, patches, theta):
        assert np.isfinite(gradient).all()


def test_refinement_loop_learns_where_to_look():
    """Crop, refine, paste and add, step by step, as RACDNN does."""
    images, state = random(2, 8, 8, 1), random(2, 4)
    crop, paste = SpatialCrop((4, 4), initial_scale=0.6), SpatialPaste((8, 8))
    refine = keras.layers.Conv2D(1, 3, padding="same")
    advance = keras.layers.Dense(4, activation="tanh")

    def unrolled(images, state):
        canvas = keras.ops.zeros_like(images)
        for _ in range(3):
            both = keras.ops.concatenate([images, canvas], axis=-1)
            crops, theta = crop(both, state)
            local = refine(crops)
            canvas = canvas + paste(local, theta)
            flat = keras.ops.reshape(local, (2, 16))
            state = advance(keras.ops.concatenate([flat, state], axis=-1))
        return canvas

    assert tuple(unrolled(images, state).shape) == (2, 8, 8, 1)
    crop.set_weights([0.1 * random(4, 3, seed=5), crop.get_weights()[1]])
    for gradient in gradients(unrolled, images, state):
        assert np.isfinite(gradient).all()
        assert gradient.any()


def test_reports_bad_input():
    nan = float("nan")
    for bad in (3, (3,), None, (0, 3), (3, nan), (2.5, 3)):
        with pytest.raises(ValueError, match="output_size.*Received"):
            SpatialPaste(bad)
    with pytest.raises(ValueError, match="align_corners.*True or False"):
        SpatialPaste((3, 3), align_corners=1)
    config = {**SpatialPaste((3, 3)).get_config(), "output_size": [nan, 3]}
    # Keras turns what a constructor raises into a TypeError here.
    with pytest.raises(
        (TypeError, ValueError), match="output_size.*Received: nan"
    ):
        SpatialPaste.from_config(config)
    with pytest.raises(ValueError, match=r"theta.*\(batch, 2, 3\).*Received"):
        SpatialPaste((3, 3))(random(1, 2, 2, 1), random(1, 3, 3))
