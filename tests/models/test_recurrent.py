"""Cells of recurrent decoders against the papers' equations."""

import keras
import numpy as np
import pytest
from numerics import to_numpy

from attnlib.models.recurrent import GRUKernels, LSTMKernels, Maxout


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def arrays(*shapes):
    random = np.random.default_rng(0)
    return [random.normal(size=shape).astype("float32") for shape in shapes]


@pytest.mark.parametrize("update_keeps", [False, True])
def test_gru_is_the_papers(update_keeps):
    """Sign of the update gate, and where the reset gate acts."""
    layer = GRUKernels(4, update_keeps)
    layer.build((None, 3))
    kernel, bias, gates, candidate, state, inputs = arrays(
        (3, 12), (12,), (4, 8), (4, 4), (2, 4), (2, 3)
    )
    layer.set_weights([kernel, bias, gates, candidate])
    w, b = np.split(kernel, 3, axis=1), np.split(bias, 3)
    u_z, u_r = np.split(gates, 2, axis=1)
    z = sigmoid(inputs @ w[0] + b[0] + state @ u_z)
    r = sigmoid(inputs @ w[1] + b[1] + state @ u_r)
    new = np.tanh(inputs @ w[2] + b[2] + (r * state) @ candidate)
    bahdanau = (1 - z) * state + z * new
    cho = z * state + (1 - z) * new
    found = to_numpy(layer.step(state, layer.project(inputs)))
    wanted = cho if update_keeps else bahdanau
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_lstm_is_that_of_keras():
    layer, cell = LSTMKernels(4), keras.layers.LSTMCell(4)
    layer.build((None, 3))
    cell.build((None, 3))
    kernel, recurrent, bias = layer.get_weights()
    assert bias.tolist() == [0.0] * 4 + [1.0] * 4 + [0.0] * 8
    for square in np.split(recurrent, 4, axis=1):
        np.testing.assert_allclose(square @ square.T, np.eye(4), atol=1e-5)
    cell.set_weights([kernel, recurrent, bias])
    inputs, h, c = arrays((2, 3), (2, 4), (2, 4))
    _, wanted = to_numpy(cell(inputs, [h, c]))
    found = to_numpy(layer.step((h, c), layer.project(inputs)))
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_maxout_takes_the_larger_neighbour():
    layer = Maxout(2)
    (inputs,) = arrays((2, 3, 5))
    found = to_numpy(layer(inputs))
    kernel, bias = layer.get_weights()
    pairs = (inputs @ kernel + bias).reshape(2, 3, 2, 2)
    np.testing.assert_allclose(found, pairs.max(axis=-1), atol=1e-5)
