"""The encoder-decoder against its equations, with padding and without."""

import inspect

import keras
import numpy as np
import pytest
from numerics import check_variable_gradients, to_numpy

from attnlib.models.decoding import Decoder
from attnlib.models.encoder_decoder import RNNEncoderDecoder
from attnlib.text import END, START

WORDS = 9


def make(**options):
    sizes = {
        "embedding_size": 6,
        "encoder_units": 5,
        "decoder_units": 7,
        "readout_units": 4,
    }
    model = RNNEncoderDecoder(WORDS, WORDS + 1, **{**sizes, **options})
    model.build()
    return model


def batch():
    source = np.array([[4, 5, 6, 7], [8, 5, 0, 0]])
    target = np.array([[START, 4, 5], [START, 6, 0]])
    following = np.array([[4, 5, END], [6, END, 0]])
    return {"source": source, "target": target}, following


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru(w, name, state, inputs):
    """Equations 5 to 8: `inputs` is the sum of all W e and C c."""
    size = len(state)
    gates = sigmoid(inputs[: 2 * size] + state @ w[f"{name}/recurrent_gates"])
    update, reset = np.split(gates, 2)
    new = (reset * state) @ w[f"{name}/recurrent_candidate"]
    new = np.tanh(inputs[2 * size :] + new)
    return update * state + (1 - update) * new


def dense(w, name, inputs):
    return inputs @ w[f"{name}/kernel"] + w[f"{name}/bias"]


def reference(w, source, target):
    """Logits (T, V) of one pair, in float64."""
    w = {path.split("/", 1)[1]: value for path, value in w.items()}
    state = np.zeros(5)
    for word in source[source > 0]:
        embedded = w["source_embedding/embeddings"][word] * 6**0.5
        state = gru(w, "reader", state, dense(w, "reader", embedded))
    c = np.tanh(dense(w, "summary", state))
    state, logits = np.tanh(dense(w, "initial_state", c)), []
    for word in target:
        embedded = w["target_embedding/embeddings"][word] * 6**0.5
        inputs = dense(w, "decoder", embedded)
        inputs = inputs + c @ w["context_kernel/kernel"]
        state = gru(w, "decoder", state, inputs)
        seen = np.concatenate([state, c, embedded])
        pairs = dense(w, "readout/pairs", seen).reshape(-1, 2)
        logits.append(dense(w, "output", pairs.max(axis=1)))
    return np.array(logits)


def values(model):
    return {v.path: to_numpy(v.value).astype("f8") for v in model.variables}


def mean_nll(w, inputs, following):
    total = 0.0
    for row, words in enumerate(following):
        logits = reference(w, inputs["source"][row], inputs["target"][row])
        logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        total -= sum(logs[t, word] for t, word in enumerate(words) if word)
    return total / (following > 0).sum()


def test_equals_the_papers_equations():
    model = make()
    inputs, _ = batch()
    logits, weights = to_numpy(model.force(inputs))
    for row in range(2):
        wanted = reference(
            values(model), inputs["source"][row], inputs["target"][row]
        )
        np.testing.assert_allclose(logits[row], wanted, atol=1e-5)
    assert weights.shape == (2, 3, 4) and not weights.any()


def test_gradients_are_the_references():
    model = make()
    inputs, following = batch()
    check_variable_gradients(
        lambda: model.compute_loss(y=following, y_pred=model(inputs)),
        lambda w: mean_nll(w, inputs, following),
        model.trainable_variables,
    )


def test_padding_changes_nothing():
    model = make()
    inputs, _ = batch()
    wider = np.pad(inputs["source"], [(0, 0), (0, 3)])
    first, second = to_numpy(
        [model(inputs), model({**inputs, "source": wider})]
    )
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_overfits_one_batch_and_is_searched():
    model = make(encoder_units=16, decoder_units=24)
    model.compile(optimizer=keras.optimizers.Adam(0.03))
    inputs, following = batch()
    for _ in range(60):
        logs = model.train_on_batch(inputs, following, return_dict=True)
    assert logs["loss"] < 0.1
    decoder = Decoder(model)
    found = decoder.greedy([[4, 5, 6, 7], [8, 5]])
    assert [h.tokens for h in found] == [(4, 5), (6,)]
    ((best,), _) = decoder.beam([[4, 5, 6, 7], [8, 5]], 3)
    assert best.tokens == (4, 5) and not best.weights.any()


@pytest.mark.parametrize("options", [{}, {"readout": "tanh", "seed": 2}])
def test_keras_file_gives_the_same_model(options, tmp_path):
    model = make(scheduled_sampling=0.1, paper_init=True, **options)
    inputs, _ = batch()
    wanted = to_numpy(model(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(to_numpy(loaded(inputs)), wanted, atol=1e-6)
    assert loaded.get_config() == model.get_config()
    names = list(inspect.signature(RNNEncoderDecoder).parameters)[:-1]
    assert set(names) <= set(model.get_config())


def test_half_precision():
    keras.config.set_dtype_policy("mixed_float16")
    model = make()
    inputs, following = batch()
    logits, _ = model.force(inputs)
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    model.compile(optimizer="sgd")
    logs = model.train_on_batch(inputs, following, return_dict=True)
    assert np.isfinite(logs["loss"])


def test_no_word_is_refused():
    with pytest.raises(ValueError, match="empty sentence"):
        Decoder(make()).greedy([[]])
    with pytest.raises(ValueError, match="ids from 1 to 8. Received: 9"):
        Decoder(make()).greedy([[9]])


def test_unknown_and_missing_source_words_are_refused():
    model, target = make(), np.array([[2, 4]])
    for source, message in (
        (np.array([[50, 4]]), "source to hold ids from 0 to 8. Received: 50"),
        (np.array([[4.5]]), "source to hold word ids, integers"),
        (np.zeros((1, 0), "int32"), "source to have at least one word"),
    ):
        with pytest.raises(ValueError, match=message):
            model.force({"source": source, "target": target})
