"""VGG-19 as an encoder, with random weights on small images."""

import dataclasses
import types

import keras
import numpy as np
import pytest
from numerics import to_numpy

from attnlib import profiles
from attnlib.datasets import store
from attnlib.models import captions, encoders
from attnlib.models.show_and_tell import ShowAndTell

SIDE = 32


@pytest.fixture(scope="module")
def encoder():
    return encoders.vgg19(SIDE, weights=None)


def images(count=2):
    return np.random.default_rng(0).random((count, SIDE, SIDE, 3), "float32")


def test_colours_are_those_of_caffe():
    given = images()
    wanted = keras.applications.vgg19.preprocess_input(255 * given)
    found = encoders.CaffeColours()(given)
    np.testing.assert_allclose(to_numpy(found), to_numpy(wanted), atol=1e-3)


def test_features_are_those_of_conv5_4_before_pooling(encoder):
    found = to_numpy(encoder(images()))
    assert found.shape == (2, SIDE // 16, SIDE // 16, 512)
    assert (found >= 0).all()  # after the layer's own ReLU
    whole = keras.applications.VGG19(
        include_top=False, weights=None, input_shape=(SIDE, SIDE, 3)
    )
    # The last pooling has no weights.
    whole.set_weights(encoder.get_weights())
    turned = keras.applications.vgg19.preprocess_input(255 * images())
    wanted = to_numpy(whole(turned))
    assert wanted.shape == (2, 1, 1, 512)
    np.testing.assert_allclose(
        found.max(axis=(1, 2)), wanted[:, 0, 0], rtol=1e-3, atol=1e-5
    )


def without_encoder():
    """Return the same captioner without an encoder."""
    model = ShowAndTell(9, 4, 5)
    model.build((None, 2, 2, 512))
    return model


def test_nothing_of_it_trains(encoder):
    assert not encoder.trainable_weights
    assert len(encoder.non_trainable_weights) == 32
    model = ShowAndTell(9, 4, 5, encoder)
    model.build((None, SIDE, SIDE, 3))
    assert len(model.trainable_weights) == len(
        without_encoder().trainable_weights
    )
    model.compile(optimizer=keras.optimizers.SGD(0.1))
    before = [to_numpy(w) for w in encoder.weights]
    own = to_numpy(model.image_embedding.kernel)
    words = np.array([[2, 4, 5], [2, 5, 6]])
    model.train_on_batch({"source": images(), "target": words}, words)
    for old, weight in zip(before, encoder.weights, strict=True):
        np.testing.assert_array_equal(old, to_numpy(weight))
    assert np.abs(to_numpy(model.image_embedding.kernel) - own).max() > 0


def test_keras_file_gives_the_same_frozen_encoder(encoder, tmp_path):
    encoder.save(tmp_path / "encoder.keras")
    loaded = keras.saving.load_model(tmp_path / "encoder.keras")
    assert not loaded.trainable_weights
    np.testing.assert_allclose(
        to_numpy(loaded(images())), to_numpy(encoder(images())), atol=1e-6
    )


def test_weights_come_from_a_file(encoder, tmp_path):
    path = tmp_path / "vgg19.weights.h5"
    encoder.get_layer("vgg19").save_weights(path)
    loaded = encoders.vgg19(SIDE, path)
    for found, wanted in zip(
        loaded.get_weights(), encoder.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("side", [16, 40, 0, "32"])
def test_side_must_be_a_multiple_of_the_stride(side):
    with pytest.raises(ValueError, match="expected side.*Received"):
        encoders.vgg19(side, weights=None)


def test_missing_weights_are_one_clear_error(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="path of a file.*no file"):
        encoders.vgg19(SIDE, tmp_path / "none.h5")
    monkeypatch.setenv("ATTNLIB_CACHE", str(tmp_path))
    monkeypatch.delenv("ATTNLIB_DATA", raising=False)

    def offline(dataset, file):
        raise store.DatasetUnavailable("no connection")

    monkeypatch.setattr(store, "_download", offline)
    with pytest.raises(
        OSError, match="weights of VGG-19.*80 MB.*Received.*joint.*'vgg19'"
    ):
        encoders.vgg19(SIDE)


def test_weights_of_another_file_are_refused(monkeypatch, tmp_path):
    (file,) = encoders._WEIGHTS[19].files
    path = tmp_path / "vgg19" / file.name
    path.parent.mkdir()
    path.write_bytes(b"something else")
    monkeypatch.setenv("ATTNLIB_DATA", str(tmp_path))
    with pytest.raises(store.DatasetCorrupt, match="not the published"):
        encoders.vgg19(SIDE)


def test_a_profile_chooses_the_encoder(monkeypatch):
    given = profiles.load("04", "paper", setting="vgg19")
    assert given.side == given.grid * encoders.VGG19_STRIDE == 224
    monkeypatch.setattr(encoders, "vgg19", lambda side: ("vgg19", side))
    assert captions.make_encoder(given, 224) == ("vgg19", 224)
    with pytest.raises(ValueError, match="grid to be side / 16"):
        captions.make_encoder(given, 112)
    other = profiles.load("04", encoder="vgg16")
    with pytest.raises(ValueError, match="encoder to be one of.*'vgg16'"):
        captions.make_encoder(other, 56)


def test_hard_attention_reads_with_the_frozen_encoder(monkeypatch, encoder):
    given = profiles.load("05", "paper", setting="vgg19")
    assert (given.side, given.grid, given.encoder) == (224, 14, "vgg19")
    monkeypatch.setattr(
        encoders, "vgg19", lambda side, make=encoders.vgg19: make(side, None)
    )
    tiny = dataclasses.replace(
        given, side=SIDE, grid=2, units=5, embedding_size=4, attention_units=3
    )
    task = types.SimpleNamespace(side=SIDE, vocabulary=range(9))
    soft = captions.build(tiny, task, "soft", 1)
    hard = captions.build(tiny, task, "hard", 1, soft.encoder)
    assert hard.grid == (4, 512)
    assert not hard.encoder.trainable_weights
    for found, wanted in zip(
        hard.encoder.get_weights(), soft.encoder.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(found, wanted)
    ids = np.array([[[4, 5], [6, 7]]] * 2)  # two captions of each image
    loss = hard.train_on_batch({"source": images(), "target": ids}, ids)
    assert np.isfinite(loss).all()


def test_large_fov_is_vgg_with_a_finer_grid_and_a_wider_view():
    network = encoders.large_fov(weights=None, units=4)
    given = np.random.default_rng(0).random((1, 44, 60, 3), "float32")
    assert tuple(network(given).shape) == (1, 6, 8, 4)
    names = [layer.name for layer in network.layers if layer.weights]
    assert len(names) == 15 and names[-2:] == ["fc6", "fc7"]
    rates = [network.get_layer(n).dilation_rate[0] for n in names[-5:]]
    assert rates == [2, 2, 2, 12, 1]
    assert all(w.trainable for w in network.weights)


def test_large_fov_takes_the_convolutions_of_vgg16(tmp_path):
    path = tmp_path / "vgg16.weights.h5"
    whole = keras.applications.VGG16(
        include_top=False, weights=None, input_shape=(32, 32, 3)
    )
    whole.save_weights(path)
    network = encoders.large_fov(path, units=4)
    for found, wanted in zip(
        network.get_weights(), whole.get_weights(), strict=False
    ):
        np.testing.assert_array_equal(found, wanted)


def test_missing_weights_of_vgg16_are_one_clear_error(monkeypatch, tmp_path):
    monkeypatch.setenv("ATTNLIB_CACHE", str(tmp_path))
    monkeypatch.delenv("ATTNLIB_DATA", raising=False)

    def offline(dataset, file):
        raise store.DatasetUnavailable("no connection")

    monkeypatch.setattr(store, "_download", offline)
    with pytest.raises(
        OSError, match="VGG-16.*59 MB.*vgg16.*Received.*network='small'"
    ):
        encoders.large_fov()
