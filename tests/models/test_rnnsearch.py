"""RNNsearch against its equations, and what padding must never change."""

import keras
import numpy as np
import pytest
from numerics import to_numpy

from attnlib.models.rnnsearch import RNNSearch
from attnlib.text import END, START
from attnlib.training import Batches

BATCH, SOURCE, TARGET = 3, 5, 4
WORDS = 12


def make(attention=True, **options):
    sizes = {
        "source_size": WORDS,
        "target_size": WORDS + 1,
        "embedding_size": 6,
        "encoder_units": 5,
        "decoder_units": 7,
    }
    model = RNNSearch(**{**sizes, "attention": attention, **options})
    model.build()
    return model


def batch(seed=0):
    random = np.random.default_rng(seed)
    source = random.integers(4, WORDS, (BATCH, SOURCE)).astype("int32")
    source[1, 3:] = 0
    source[2, 1:] = 0
    target = random.integers(4, WORDS, (BATCH, TARGET)).astype("int32")
    target[:, 0] = START
    following = np.roll(target, -1, axis=1)
    following[:, -1] = END
    following[1, 2:] = 0
    return {"source": source, "target": target}, following


def padded(inputs, following, source=3, target=2):
    """The same sentences with more columns of padding."""
    widen = lambda array, by: np.pad(array, [(0, 0), (0, by)])  # noqa: E731
    return {
        "source": widen(inputs["source"], source),
        "target": widen(inputs["target"], target),
    }, widen(following, target)


def set_weights(layer, random):
    layer.set_weights(
        [random.normal(size=w.shape) * 0.5 for w in layer.get_weights()]
    )


class Reference:
    """One sentence through the paper's equations, in float64 NumPy.

    Names are those of appendix A of the paper; matrices act from the right.
    """

    def __init__(self, model):
        self.model = model
        self.source = self._array(model.source_embedding)[0] * 6**0.5
        self.target = self._array(model.target_embedding)[0] * 6**0.5

    @staticmethod
    def _array(layer):
        return [w.astype("float64") for w in layer.get_weights()]

    def gru(self, layer, state, inputs):
        """Equations of A.1.1: `inputs` is the sum of all W e and C c."""
        size = len(state)
        _, bias, gates, candidate = self._array(layer)
        update, reset = np.split(
            1 / (1 + np.exp(-(inputs[: 2 * size] + state @ gates))), 2
        )
        new = np.tanh(inputs[2 * size :] + (reset * state) @ candidate)
        return (1 - update) * state + update * new

    def annotations(self, words):
        embedded = self.source[words]
        passes = []
        for layer, step in ((self.model.ahead, 1), (self.model.behind, -1)):
            kernel, bias = self._array(layer)[:2]
            state, states = np.zeros(5), []
            for word in embedded[::step]:
                state = self.gru(layer, state, word @ kernel + bias)
                states.append(state)
            passes.append(np.array(states[::step]))
        return np.concatenate(passes, axis=1)

    def run(self, words, previous):
        h = self.annotations(words)
        w_s, b_s = self._array(self.model.initial)
        state = np.tanh(h[0, 5:] @ w_s + b_s)
        kernel, bias = self._array(self.model.decoder)[:2]
        (c,) = self._array(self.model.context_kernel)
        logits, alphas = [], []
        for word in previous:
            context, alpha = self.context(h, state)
            inputs = self.target[word] @ kernel + bias + context @ c
            before = state
            state = self.gru(self.model.decoder, state, inputs)
            out, bias_out = self._array(self.model.output_layer)
            if self.model.readout_kind == "maxout":
                seen = np.concatenate([before, context, self.target[word]])
                pairs, bias_pairs = self._array(self.model.readout)
                seen = (seen @ pairs + bias_pairs).reshape(-1, 2).max(axis=1)
            else:
                seen = np.concatenate([state, context, self.target[word]])
            logits.append(seen @ out + bias_out)
            alphas.append(alpha)
        return np.array(logits), np.array(alphas)

    def context(self, h, state):
        if not self.model.attention:
            kernel, bias = self._array(self.model.summarize)
            ends = np.concatenate([h[-1, :5], h[0, 5:]])
            return np.tanh(ends @ kernel + bias), np.zeros(len(h))
        w_a, u_a, v_a = self._array(self.model.align)
        scores = np.tanh(state @ w_a + h @ u_a) @ v_a
        alpha = np.exp(scores) / np.exp(scores).sum()
        return alpha @ h, alpha


@pytest.mark.parametrize(
    ("attention", "options"),
    [
        (True, {}),
        (False, {}),
        (True, {"readout": "maxout", "readout_units": 4}),
    ],
)
def test_equals_the_papers_equations(attention, options):
    model = make(attention, **options)
    random = np.random.default_rng(3)
    for layer in model.layers:
        if layer.weights:
            set_weights(layer, random)
    inputs, _ = batch()
    logits, weights = to_numpy(model.force(inputs))
    reference = Reference(model)
    for row, length in enumerate((5, 3, 1)):
        words = inputs["source"][row, :length]
        expected, alpha = reference.run(words, inputs["target"][row])
        np.testing.assert_allclose(logits[row], expected, atol=2e-4)
        np.testing.assert_allclose(weights[row, :, :length], alpha, atol=2e-5)
        assert not weights[row, :, length:].any()


@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize("options", [{}, {"readout_units": 6}])
def test_shapes_and_dtypes(attention, options):
    model = make(attention, **options)
    inputs, _ = batch()
    logits, weights = model.force(inputs)
    assert tuple(logits.shape) == (BATCH, TARGET, WORDS + 1)
    assert tuple(weights.shape) == (BATCH, TARGET, SOURCE)
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    np.testing.assert_allclose(
        to_numpy(model(inputs)), to_numpy(logits), atol=1e-6
    )


def test_tied_model_has_one_matrix():
    model = make(target_size=WORDS, tied=True, readout_units=6)
    matrices = [w for w in model.weights if w.shape == (WORDS, 6)]
    assert len(matrices) == 1
    inputs, _ = batch()
    assert tuple(model(inputs).shape) == (BATCH, TARGET, WORDS)


def test_same_size_but_for_the_alignment_model():
    search, plain = make(True), make(False)
    extra = search.align.count_params() - plain.summarize.count_params()
    assert search.count_params() - plain.count_params() == extra
    names = {w.path.split("/", 1)[-1] for w in plain.weights}
    shared = {n for n in names if "summary" not in n}
    assert shared <= {w.path.split("/", 1)[-1] for w in search.weights}


@pytest.mark.parametrize("attention", [True, False])
def test_padding_changes_no_output(attention):
    model = make(attention)
    inputs, following = batch()
    logits, weights = to_numpy(model.force(inputs))
    wide, _ = padded(inputs, following)
    found, wide_weights = to_numpy(model.force(wide))
    np.testing.assert_allclose(found[:, :TARGET], logits, atol=1e-5)
    np.testing.assert_allclose(
        wide_weights[:, :TARGET, :SOURCE], weights, atol=1e-6
    )
    assert not wide_weights[:, :, SOURCE:].any()


@pytest.mark.parametrize("attention", [True, False])
def test_padding_changes_no_gradient(attention):
    """One step of plain gradient descent moves the weights alike."""
    results = []
    for widen in (False, True):
        keras.utils.set_random_seed(0)
        model = make(attention)
        model.compile(optimizer=keras.optimizers.SGD(1.0), run_eagerly=False)
        inputs, following = batch()
        if widen:
            inputs, following = padded(inputs, following)
        before = [w.copy() for w in model.get_weights()]
        logs = model.train_on_batch(inputs, following, return_dict=True)
        moved = [
            old - new
            for old, new in zip(before, model.get_weights(), strict=True)
        ]
        results.append((logs["loss"], moved))
    (loss, plain), (wide_loss, wide) = results
    assert wide_loss == pytest.approx(loss, rel=1e-5)
    for variable, a, b in zip(
        make(attention).trainable_variables, plain, wide, strict=False
    ):
        np.testing.assert_allclose(a, b, atol=1e-5, err_msg=variable.path)
        if variable.path.endswith("embeddings"):
            assert not b[0].any(), "the padding's embedding was trained"
        assert np.abs(b).max() > 0, variable.path


def test_words_that_follow_do_not_change_earlier_ones():
    model = make()
    inputs, _ = batch()
    changed = {**inputs, "target": inputs["target"].copy()}
    changed["target"][:, 2] = 5 + (changed["target"][:, 2] == 5)
    before, after = to_numpy([model(inputs), model(changed)])
    np.testing.assert_allclose(before[:, :2], after[:, :2], atol=1e-6)
    assert np.abs(before[:, 2:] - after[:, 2:]).max() > 1e-4


def test_zero_score_vector_gives_uniform_weights():
    model = make()
    w_a, u_a, v_a = model.align.get_weights()
    model.align.set_weights([w_a, u_a, 0 * v_a])
    inputs, _ = batch()
    weights = to_numpy(model.force(inputs)[1])
    for row, length in enumerate((5, 3, 1)):
        np.testing.assert_allclose(
            weights[row, :, :length], 1 / length, atol=1e-6
        )


def test_paper_init_starts_with_uniform_attention():
    model = make(paper_init=True, readout="maxout", readout_units=40)
    inputs, _ = batch()
    weights = to_numpy(model.force(inputs)[1])
    for row, length in enumerate((5, 3, 1)):
        # A row of equals: exactly so, whatever the states are.
        assert np.ptp(weights[row, :, :length]) == 0
        np.testing.assert_allclose(weights[row, 0, :length], 1 / length)
    w_a, u_a, v_a = model.align.get_weights()
    assert not v_a.any()
    for matrix, std in (
        (w_a, 0.001),
        (u_a, 0.001),
        (model.output_layer.get_weights()[0], 0.01),
        (model.readout.get_weights()[0], 0.01),
        (model.source_embedding.get_weights()[0], 0.01),
        (model.decoder.get_weights()[0], 0.01),
    ):
        assert matrix.std() == pytest.approx(std, rel=0.3)
    assert not np.array_equal(w_a, u_a[:7])
    for square in np.split(model.decoder.get_weights()[2], 2, axis=1):
        np.testing.assert_allclose(square @ square.T, np.eye(7), atol=1e-5)


def test_scheduled_sampling_of_none_is_teacher_forcing():
    """At probability 0, and where no draw falls below the probability."""
    plain = make(readout="maxout", readout_units=4)
    model = make(readout="maxout", readout_units=4, scheduled_sampling=0.4)
    model.set_weights(plain.get_weights())
    inputs, _ = batch()
    wanted = to_numpy(plain.force(inputs, training=True))
    noise = np.full((BATCH, TARGET, 2), 0.4, "float32")
    for found in (
        model.force(inputs),
        model.force(inputs, training=True, noise=noise),
        plain.force(inputs, training=True, noise=0 * noise),
    ):
        for a, b in zip(to_numpy(found), wanted, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)


def test_scheduled_sampling_feeds_what_the_model_wrote():
    """Own words step by step equal the same words given."""
    model = make(scheduled_sampling=1.0)
    inputs, _ = batch()
    noise = np.random.default_rng(1).random((BATCH, TARGET, 2), "float32")
    logits, weights = to_numpy(model.force(inputs, noise=noise))
    fed = inputs["target"].copy()
    for t in range(TARGET - 1):
        shares = np.exp(logits[:, t].astype("float64"))
        shares[:, [0, 1, START]] = 0.0
        reached = shares.cumsum(axis=1) / shares.sum(axis=1, keepdims=True)
        fed[:, t + 1] = (reached <= noise[:, t, 1:]).sum(axis=1)
    assert (fed[:, 0] == START).all() and (fed != inputs["target"]).any()
    again = to_numpy(model.force({**inputs, "target": fed}))
    np.testing.assert_allclose(logits, again[0], atol=1e-5)
    np.testing.assert_allclose(weights, again[1], atol=1e-5)


def test_scheduled_sampling_trains_and_only_in_training():
    model = make(scheduled_sampling=0.5, dropout=0.3, seed=1)
    model.compile(optimizer=keras.optimizers.SGD(0.1))
    inputs, following = batch()
    logs = model.train_on_batch(inputs, following, return_dict=True)
    assert np.isfinite(logs["loss"])
    first, second = (
        model.test_on_batch(inputs, following, return_dict=True)["loss"]
        for _ in range(2)
    )
    assert first == second
    first, second = to_numpy(
        [model.force(inputs, training=True)[0] for _ in range(2)]
    )
    assert np.abs(first - second).max() > 1e-4


@pytest.mark.parametrize("attention", [True, False])
def test_overfits_one_batch(attention):
    model = make(attention, encoder_units=16, decoder_units=32)
    model.compile(optimizer=keras.optimizers.Adam(0.02))
    inputs, following = batch()
    for _ in range(60):
        logs = model.train_on_batch(inputs, following, return_dict=True)
    assert logs["loss"] < 0.1
    predicted = to_numpy(model(inputs)).argmax(axis=-1)
    real = following > 0
    np.testing.assert_array_equal(predicted[real], following[real])


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_fits_batches_of_several_lengths(share):
    """Length buckets: TensorFlow then knows no length while tracing."""
    inputs, following = batch()
    groups = [(inputs, following), padded(inputs, following)]
    data = Batches(groups, BATCH).epoch(0)
    model = make(scheduled_sampling=share)
    model.compile()
    logs = model.fit(data, verbose=0, shuffle=False).history
    assert len(data) == 2 and np.isfinite(logs["loss"][0])


def test_loss_is_the_mean_over_words_and_smoothing_is_for_training():
    model = make(label_smoothing=0.2)
    model.compile()
    inputs, following = batch()
    logits = to_numpy(model(inputs)).astype("float64")
    logs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    real = following > 0
    nll = -np.take_along_axis(logs, following[..., None], axis=-1)[..., 0]
    plain = nll[real].mean()
    smooth = 0.8 * plain + 0.2 * -logs.mean(axis=-1)[real].mean()
    for training, wanted in ((False, plain), (True, smooth)):
        found = model.compute_loss(
            y=following, y_pred=model(inputs), training=training
        )
        assert float(to_numpy(found)) == pytest.approx(wanted, rel=1e-5)
    logged = model.evaluate(inputs, following, verbose=0, return_dict=True)
    assert logged["nll"] == pytest.approx(plain, rel=1e-5)


def test_dropout_acts_in_training_only():
    model = make(dropout=0.5)
    inputs, _ = batch()
    first, second = to_numpy([model(inputs), model(inputs)])
    np.testing.assert_array_equal(first, second)
    first, second = to_numpy(
        [model(inputs, training=True), model(inputs, training=True)]
    )
    assert np.abs(first - second).max() > 1e-3


@pytest.mark.parametrize(
    "options",
    [
        {"attention": True, "attention_units": 3},
        {"attention": False, "readout_units": 4},
        {
            "readout": "maxout",
            "readout_units": 4,
            "paper_init": True,
            "scheduled_sampling": 0.2,
            "seed": 3,
        },
        {
            "target_size": WORDS,
            "tied": True,
            "readout_units": 6,
            "dropout": 0.1,
            "label_smoothing": 0.1,
        },
    ],
)
def test_keras_file_gives_the_same_model(options, tmp_path):
    model = make(**options)
    inputs, _ = batch()
    wanted = to_numpy(model(inputs))
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = keras.saving.load_model(path)
    np.testing.assert_allclose(to_numpy(loaded(inputs)), wanted, atol=1e-6)
    assert loaded.get_config() == model.get_config()


@pytest.mark.parametrize("attention", [True, False])
def test_layers_hide_no_method_of_the_model(attention):
    """A layer named summary would; on torch, forward is one, too."""
    lines = []
    make(attention).summary(print_fn=lambda line, **_: lines.append(line))
    assert "Total params" in "".join(lines)


def test_config_has_every_argument():
    import inspect

    config = make().get_config()
    names = list(inspect.signature(RNNSearch.__init__).parameters)[1:-1]
    assert set(names) <= set(config)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source_size": 0}, "source_size to be an integer"),
        ({"decoder_units": 1.5}, "decoder_units to be an integer"),
        ({"tied": True, "readout_units": 6}, "equal vocabularies"),
        (
            {"tied": True, "target_size": WORDS, "readout_units": 5},
            "equal vocabularies",
        ),
        ({"dropout": 1.0}, r"dropout in \[0, 1\)"),
        ({"dropout": -0.1}, r"dropout in \[0, 1\)"),
        ({"label_smoothing": 1.5}, r"label_smoothing in \[0, 1\)"),
        ({"scheduled_sampling": 1.1}, r"scheduled_sampling in \[0, 1\]"),
        ({"readout": "relu"}, "readout to be one of"),
        ({"readout": "maxout"}, "expected readout_units with"),
        ({"paper_init": 1}, "paper_init to be True or False"),
    ],
)
def test_bad_arguments_get_one_clear_error(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


@pytest.mark.parametrize("name", ["source", "target"])
def test_inputs_of_wrong_rank_are_refused(name):
    inputs, _ = batch()
    inputs[name] = inputs[name][0]
    with pytest.raises(ValueError, match=name):
        make().force(inputs)


def test_unknown_and_missing_words_are_refused():
    inputs, _ = batch()
    for target, message in (
        (np.full((BATCH, 2), WORDS + 1), "ids from 0 to 12. Received: 13"),
        (np.zeros((BATCH, 0), "int32"), "at least one word"),
    ):
        with pytest.raises(ValueError, match=message):
            make().force({**inputs, "target": target})


@pytest.mark.parametrize("attention", [True, False])
def test_unknown_and_missing_source_words_are_refused(attention):
    model = make(attention)
    inputs, _ = batch()
    one = np.ones((BATCH, 2), "int32")
    for source, message in (
        (50 * one, "source to hold ids from 0 to 11. Received: 50"),
        (-one, "source to hold ids from 0 to 11. Received: -1"),
        (4.5 * one, "source to hold word ids, integers"),
        (one[:, :0], "source to have at least one word"),
        (one * [[1], [0], [1]], "source 1 is padding alone"),
        (one[:2], "equal batch sizes. Received: source: 2, target: 3"),
        (one.tolist(), "source to be a tensor or an array"),
    ):
        with pytest.raises(ValueError, match=message):
            model.force({**inputs, "source": source})


def test_what_is_known_of_a_tensor_is_checked_in_the_call():
    """Ids are not: Keras turns them into tensors before."""
    model = make()
    inputs, _ = batch()
    for source, message in (
        (np.full((BATCH, 2), 4.5, "float32"), "source to hold word ids"),
        (np.zeros((BATCH, 0), "int32"), "source to have at least one word"),
    ):
        with pytest.raises(ValueError, match=message):
            model({**inputs, "source": source})
