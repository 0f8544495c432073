"""Networks that see the whole image: shapes, sizes, and that they learn."""

import keras
import numpy as np
import pytest
from numerics import to_numpy

from attnlib.models import baselines, recognition

MAKERS = {
    "fc": lambda side, channels, classes: baselines.fully_connected(
        side, channels, classes, 16
    ),
    "conv": baselines.small_conv_net,
    "cnn": lambda side, channels, classes: baselines.modern_cnn(
        side, channels, classes, (8, 16)
    ),
    "conv-512": baselines.addition_conv_net,
}


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize(("side", "channels"), [(24, 1), (30, 3)])
def test_images_become_logits(name, side, channels):
    model = MAKERS[name](side, channels, 7)
    images = np.random.default_rng(0).random((2, side, side, channels))
    out = to_numpy(model(images.astype("float32")))
    assert out.shape == (2, 7) and np.isfinite(out).all()


def test_the_papers_sizes():
    sizes = {
        name: recognition.PLAIN[name](60, 1, 10).count_params()
        for name in ("fc-2x64", "fc-2x256", "conv")
    }
    assert sizes["fc-2x64"] == 3600 * 64 + 64 + 64 * 64 + 64 + 64 * 10 + 10
    assert sizes["fc-2x256"] == 3601 * 256 + 257 * 256 + 2570
    # 11 x 11 places of 8 filters.
    assert sizes["conv"] == 808 + (968 + 1) * 256 + 2570
    addition = recognition.PLAIN["conv-512"](100, 1, 19)
    dense = [
        layer
        for layer in addition.layers
        if isinstance(layer, keras.layers.Dense)
    ]
    assert [layer.units for layer in dense] == [512, 19]


def test_a_digit_may_be_anywhere():
    """The CNN's maximum over places forgets where a digit was."""
    keras.utils.set_random_seed(0)
    model = baselines.modern_cnn(32, 1, 5, (4, 8))
    image = np.zeros((2, 32, 32, 1), "float32")
    patch = np.random.default_rng(0).random((6, 6, 1))
    image[0, 8:14, 8:14] = patch
    image[1, 16:22, 12:18] = patch
    one, two = to_numpy(model(image))
    np.testing.assert_allclose(one, two, atol=1e-5)


@pytest.mark.parametrize("name", MAKERS)
def test_they_learn_one_batch_by_heart(name):
    keras.utils.set_random_seed(0)
    generator = np.random.default_rng(0)
    images = generator.random((16, 24, 24, 1), "float32")
    labels = np.arange(16, dtype="int32") % 4
    model = MAKERS[name](24, 1, 4)
    model.compile(
        optimizer=keras.optimizers.Adam(5e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[recognition.error],
    )
    x, y = np.tile(images, (20, 1, 1, 1)), np.tile(labels, 20)
    logs = model.fit(
        x, y, batch_size=16, epochs=4, shuffle=False, verbose=0
    ).history
    # The CNN's dropout keeps a part of its answers wrong while it trains.
    found = recognition.evaluate_plain(model, images, labels)
    assert found["error"] < 50 and logs["loss"][-1] < 0.8 * logs["loss"][0]


def test_the_error_counts_wrong_answers():
    logits = np.array([[1.0, 2.0], [3.0, 0.0], [0.0, 1.0]], "float32")
    wrong = to_numpy(recognition.error(np.array([1, 1, 1]), logits))
    assert wrong.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: baselines.fully_connected(0), "side.*Received: 0"),
        (lambda: baselines.small_conv_net(9), "at least 10 pixels.*9"),
        (lambda: baselines.modern_cnn(7), "at least 8 pixels.*7"),
        (lambda: baselines.addition_conv_net(21), "at least 22 pixels.*21"),
    ],
)
def test_too_small_an_image_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
