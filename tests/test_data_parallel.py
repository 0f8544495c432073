"""Batches shared out to several devices train the same models (JAX)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from attnlib.training import Batches, train_or_load

DEVICES = 8
BATCH = 16
PATIENCE_S = 900  # A busy machine takes minutes to import a backend.

only_jax = pytest.mark.skipif(
    keras.config.backend() != "jax", reason="keras.distribution is JAX's"
)

# What a child process does, which runs this very file on eight virtual
# devices: JAX asks for their number once, when it starts.


def _images():
    generator = np.random.default_rng(0)
    images = generator.random((2 * BATCH + 3, 12, 12, 1), "float32")
    return images, generator.integers(0, 10, len(images)).astype("int32")


def _words():
    generator = np.random.default_rng(0)
    words = generator.integers(4, 20, (2 * BATCH + 3, 5)).astype("int32")
    words[:, 4] *= np.arange(len(words)) % 2  # Some sentences are padded.
    return {"source": words, "target": words}, words


def _ram():
    from attnlib.models.ram import RecurrentAttention

    # The noise falls: a counter is among the weights.
    model = RecurrentAttention(
        3, 4, units=8, exploration_std=0.2, exploration_steps=9
    )
    model.build((None, 12, 12, 1))
    return model, {}


def _draw():
    from attnlib.models.draw import DRAW

    model = DRAW(2, 3, 4, image_shape=(12, 12, 1))
    model.build()
    return model, {}


def _transformer():
    from attnlib.models.stn import SpatialTransformerClassifier

    model = SpatialTransformerClassifier("fcn", "affine", parameters=10_000)
    model.build((None, 12, 12, 1))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return model, {"loss": loss}


def _rnnsearch():
    from attnlib.models.rnnsearch import RNNSearch

    model = RNNSearch(
        20,
        20,
        embedding_size=4,
        encoder_units=5,
        decoder_units=5,
        dropout=0.2,
    )
    model.build()
    return model, {}


MODELS = {
    "ram": (_ram, _images),
    "draw": (_draw, _images),
    "transformer": (_transformer, _images),
    "rnnsearch": (_rnnsearch, _words),
}


class _Killed(Exception):
    pass


def _train(name, devices, cache, killed=False):
    """Return losses, weights and where they lie, of one training."""
    make, data = MODELS[name]

    def build():
        model, options = make()
        # SGD: Adam divides by gradients, of which some are rounding alone.
        optimizer = keras.optimizers.SGD(0.01, momentum=0.9, clipnorm=1.0)
        model.compile(optimizer=optimizer, **options)
        return model

    epochs = []

    def validation(model):
        epochs.append(len(epochs))
        if killed and len(epochs) == 2:
            raise _Killed
        # A batch that eight devices cannot share.
        x = keras.tree.map_structure(lambda array: array[:3], data()[0])
        out = keras.tree.flatten(model.predict(x, verbose=0))
        return {"mean": float(np.mean(out[0]))}

    os.environ.update(ATTNLIB_DEVICES=devices, ATTNLIB_CACHE=str(cache))
    done = train_or_load(
        build,
        Batches([data()], BATCH, seed=1),
        name=name,
        config={},
        epochs=2,
        data_digest="none",
        validation=validation,
    )
    model = done.model
    weights = [*model.variables, *model.optimizer.variables]
    return {
        "loss": done.history["loss"],
        "mean": done.history["mean"],
        "weights": [np.array(w.value, "float64").tolist() for w in weights],
        "devices": len(model.trainable_variables[0].value.devices()),
        "loaded": done.loaded,
    }


def _child(name, folder):
    folder = Path(folder)
    found = {
        "one": _train(name, "1", folder / "one"),
        "all": _train(name, "all", folder / "all"),
    }
    if name == "ram":
        try:
            _train(name, "all", folder / "killed", killed=True)
        except _Killed:
            found["resumed"] = _train(name, "all", folder / "killed")
        # What eight devices have trained is there for one.
        found["loaded"] = _train(name, "1", folder / "all")
    print("\n" + json.dumps(found))


def _run_child(name, folder):
    flag = f"--xla_force_host_platform_device_count={DEVICES}"
    root = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, __file__, name, str(folder)],
        env={
            **os.environ,
            "KERAS_BACKEND": "jax",
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": flag,
            "ATTNLIB_HEADLESS": "1",
            "PYTHONPATH": root,
        },
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def _assert_close(one, other):
    for name in ("loss", "mean"):
        np.testing.assert_allclose(one[name], other[name], 1e-5, 1e-5)
    for a, b in zip(one["weights"], other["weights"], strict=True):
        np.testing.assert_allclose(a, b, 1e-4, 1e-5)


@only_jax
@pytest.mark.parametrize("name", MODELS)
def test_eight_devices_train_as_one_does(name, tmp_path):
    found = _run_child(name, tmp_path)
    assert found["one"]["devices"] == 1
    assert found["all"]["devices"] == DEVICES
    _assert_close(found["one"], found["all"])
    if name == "ram":
        # A resumed training has the very weights of an unbroken one.
        assert found["resumed"] == found["all"]
        assert found["loaded"]["loaded"]
        assert found["loaded"]["weights"] == found["all"]["weights"]


def _small(size=24, batch_size=8):
    x = np.zeros((size, 3), "float32")
    batches = Batches([(x, x[:, :1])], batch_size)
    return train_or_load(
        lambda: pytest.fail("nothing is built"),
        batches,
        name="tiny",
        config={},
        epochs=1,
        data_digest="none",
    )


def test_another_number_of_devices_is_one_clear_error(monkeypatch):
    monkeypatch.setenv("ATTNLIB_DEVICES", "2")
    with pytest.raises(ValueError, match="to be 1 or all. Received: '2'"):
        _small()


@pytest.mark.skipif(
    keras.config.backend() == "jax", reason="JAX can share batches out"
)
def test_other_backends_say_that_they_cannot(monkeypatch):
    monkeypatch.setenv("ATTNLIB_DEVICES", "all")
    with pytest.raises(ValueError, match="expected the backend jax"):
        _small()


@only_jax
@pytest.mark.parametrize(("size", "batch_size"), [(24, 10), (12, 16)])
def test_batches_must_be_equal_shares(size, batch_size, monkeypatch):
    mesh = keras.distribution.DeviceMesh
    monkeypatch.setattr(mesh, "shape", property(lambda self: (DEVICES,)))
    keras.distribution.set_distribution(
        keras.distribution.DataParallel(auto_shard_dataset=False)
    )
    with pytest.raises(ValueError, match="8 devices can share equally"):
        _small(size, batch_size)


@pytest.fixture(autouse=True)
def no_distribution():
    yield
    keras.distribution.set_distribution(None)


if __name__ == "__main__":
    _child(*sys.argv[1:])
