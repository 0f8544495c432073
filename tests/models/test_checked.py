"""Arrays are looked at before Keras makes tensors of them."""

import keras
import numpy as np
import pytest
from keras import ops
from numerics import to_numpy
from refusals import check_refusals, check_that_it_works

from attnlib.models.checked import ChecksArrays, check_known
from attnlib.training import Batches


@keras.saving.register_keras_serializable(package="tests")
class Positive(ChecksArrays, keras.Model):
    """A linear layer that reads no negative numbers."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(1)
        self.looked = 0

    def check_arrays(self, x, y=None):
        self.looked += 1
        for name, part in (("x", x["read"]), ("y", y)):
            if isinstance(part, np.ndarray) and (part < 0).any():
                raise ValueError(f"expected {name} of at least 0")

    def build(self, shapes):
        self.dense.build(shapes["read"])
        self.built = True

    def call(self, inputs, training=None):
        return self.dense(inputs["read"])


def make():
    model = Positive()
    model.build({"read": (None, 3)})
    model.compile("sgd", "mse")
    return model


X = {"read": np.ones((4, 3), "float32")}
Y = np.ones((4, 1), "float32")
BAD = {"read": -X["read"]}


def test_bad_arrays_are_refused_everywhere():
    model = make()
    check_refusals(
        model,
        X,
        Y,
        [(BAD, Y, "expected x of at least 0"), (X, -Y, "expected y")],
    )
    for use in (lambda: model(inputs=BAD), lambda: model(BAD, training=True)):
        with pytest.raises(ValueError, match="expected x"):
            use()
    check_that_it_works(model, X, Y)


class Pairs(keras.utils.PyDataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        return BAD, Y


def test_tensors_and_streams_pass():
    model = make()
    tensors = {"read": ops.convert_to_tensor(BAD["read"])}
    model(tensors)
    model.stateless_call(
        [v.value for v in model.trainable_variables], [], tensors
    )
    model.fit(Pairs(), verbose=0)
    model.evaluate(((BAD, Y) for _ in range(9)), steps=1, verbose=0)
    batches = Batches([(X, Y)], 2)
    model.fit(batches.epoch(0), verbose=0)
    symbol = {"read": keras.Input((3,))}
    assert model(symbol).shape == (None, 1)
    assert model.looked == 0
    # Targets that are arrays are looked at beside inputs that are not.
    with pytest.raises(ValueError, match="expected y"):
        model.test_on_batch(tensors, -Y)


def test_a_model_that_checks_can_be_saved(tmp_path):
    model = make()
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        to_numpy(again(X)), to_numpy(model(X)), atol=1e-6
    )
    assert again.looked == 1
    with pytest.raises(ValueError, match="expected x"):
        again.predict(BAD, verbose=0)


def test_ids():
    check_known("words", np.array([[0, 3]]), 4)
    check_known("words", ops.convert_to_tensor([[9]]), 4)
    check_known("words", None, 4)
    for bad, received in (
        (np.array([4]), "4"),
        (np.array([[0, -1]]), "-1"),
        (np.array([0.0]), "dtype float64"),
    ):
        message = f"words to hold ids from 0 to 3. Received: {received}. Drop"
        with pytest.raises(ValueError, match=message):
            check_known("words", bad, 4, "Drop them.")
