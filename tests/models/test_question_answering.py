"""Models that answer questions, against their equations and by learning."""

import inspect

import keras
import numpy as np
import pytest
from keras import ops
from numerics import to_numpy, variable_gradients
from refusals import check_refusals, check_that_it_works

from attnlib import text
from attnlib.models import question_answering as qa
from attnlib.models import question_layers as ql

WORDS, ANSWERS, GRID, WIDTH = 12, 5, 3, 4
QUESTION = np.array([[5, 7, 9, 0], [6, 0, 0, 0]])
CLASSES = {
    "question": (qa.QuestionOnly, {}),
    "ibowimg": (qa.BagOfWordsImage, {}),
    "smem": (qa.SpatialMemoryNetwork, {"hops": 2}),
    "san-lstm": (qa.StackedAttentionNetwork, {"question": "lstm"}),
    "san-cnn": (qa.StackedAttentionNetwork, {"question": "cnn", "hops": 1}),
    "san-bow": (qa.StackedAttentionNetwork, {"question": "bow"}),
    "lstm-q-i": (qa.LSTMAnswers, {"attention": False}),
    "lstm-att": (qa.LSTMAnswers, {"attention": True}),
    "telling": (qa.LSTMTelling, {}),
    "pointing": (qa.LSTMPointing, {}),
}
READERS = ("lstm-q-i", "lstm-att", "telling", "pointing")
LOOKS = {"question": 0, "ibowimg": 0, "san-cnn": 1, "smem": 2}


def make(kind, width=4, **options):
    layer, own = CLASSES[kind]
    outputs = {"telling": WORDS, "pointing": 4}.get(kind, ANSWERS)
    model = layer(WORDS, outputs, 6, **{**own, **options})
    model.build({"image": (None, GRID, GRID, WIDTH), "question": (None, width)})
    return model


def inputs(kind="", seed=0, question=QUESTION):
    random = np.random.default_rng(seed)
    shape = (len(question), GRID, GRID, WIDTH)
    x = {
        "image": random.normal(size=shape).astype("float32"),
        "question": question,
    }
    if kind == "pointing":
        regions = random.random((len(question), 4, GRID**2))
        regions /= regions.sum(axis=-1, keepdims=True)
        x["regions"] = regions.astype("float32")
    return x


def targets(kind, count=2):
    if kind == "telling":
        return np.tile(np.array([[0, 8, 9, 0]]), (count, 1))
    return np.arange(count) % 4


@pytest.mark.parametrize("kind", CLASSES)
def test_shapes(kind):
    model = make(kind)
    out = to_numpy(model(inputs(kind)))
    shape = {"telling": (2, 4, WORDS), "pointing": (2, 4)}
    assert out["logits"].shape == shape.get(kind, (2, ANSWERS))
    assert out["logits"].dtype == np.float32
    # Before each word, and before the question's end or the answer's.
    looks = {"telling": 4}.get(kind, 5 if kind in READERS else 2)
    assert out["weights"].shape == (2, LOOKS.get(kind, looks), GRID**2)
    if kind == "lstm-q-i":
        assert not out["weights"].any()
    elif out["weights"].size:
        np.testing.assert_allclose(out["weights"].sum(-1), 1, atol=1e-5)


@pytest.mark.parametrize("kind", CLASSES)
def test_padding_changes_nothing(kind):
    model = make(kind)
    x = inputs(kind)
    longer = {**x, "question": np.pad(x["question"], ((0, 0), (0, 3)))}
    one, other = to_numpy(model.force(x)), to_numpy(model.force(longer))
    for name in one:
        # Per word, the rest is after the end.
        width = one[name].shape[1]
        np.testing.assert_allclose(
            one[name], other[name][:, :width], atol=1e-5, err_msg=name
        )


@pytest.mark.parametrize("kind", CLASSES)
def test_the_gradient_reaches_every_weight(kind):
    model = make(kind)
    x, y = inputs(kind), targets(kind)

    def loss():
        return model.compute_loss(y=y, y_pred=model.force(x))

    variables = model.trainable_variables
    for path, slope in variable_gradients(loss, variables).items():
        assert np.abs(slope).max() > 0, path


@pytest.mark.parametrize("kind", CLASSES)
def test_learns_a_batch_by_heart(kind):
    question = np.random.default_rng(1).integers(4, WORDS, (8, 4))
    x, y = inputs(kind, question=question), targets(kind, 8)
    if kind == "telling":
        y = np.where(y > 0, question, 0)[:, ::-1].copy()
    model = make(kind, dropout=0.0)
    model.compile(keras.optimizers.Adam(0.03))
    model.fit(x, y, batch_size=8, epochs=60, verbose=0)
    assert model.evaluate(x, y, verbose=0, return_dict=True)["accuracy"] == 1


@pytest.mark.parametrize("kind", ["smem", "san-cnn", "lstm-att", "pointing"])
def test_saves_and_loads(kind, tmp_path):
    model = make(kind, dropout=0.1)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    x = inputs(kind)
    np.testing.assert_allclose(
        to_numpy(model(x))["logits"], to_numpy(again(x))["logits"], atol=1e-6
    )
    assert again.get_config() == model.get_config()
    defaults = inspect.signature(type(model)).parameters
    assert set(defaults) - {"args", "kwargs"} <= set(model.get_config())


def small_encoder():
    return keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            keras.layers.Conv2D(WIDTH, 3, 2, padding="same"),
        ]
    )


def test_an_encoder_is_part_of_the_model(tmp_path):
    model = qa.SpatialMemoryNetwork(WORDS, ANSWERS, 6, encoder=small_encoder())
    model.build({"image": (None, 6, 6, 3), "question": (None, 4)})
    x = {"image": np.ones((2, 6, 6, 3), "float32"), "question": QUESTION}
    out = to_numpy(model(x))
    assert out["weights"].shape == (2, 2, 9)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(out["logits"], to_numpy(again(x))["logits"])


def test_who_never_looks_does_not_train_the_encoder(recwarn):
    x = {"image": np.ones((2, 6, 6, 3), "float32"), "question": QUESTION}
    trainable = {}
    for layer in (qa.QuestionOnly, qa.SpatialMemoryNetwork):
        model = layer(WORDS, ANSWERS, 6, encoder=small_encoder())
        model.build({key: value.shape for key, value in x.items()})
        model.compile("adam")
        model.train_on_batch(x, np.array([0, 1]))
        trainable[layer] = model.encoder.trainable_weights
    assert not trainable[qa.QuestionOnly]
    assert len(trainable[qa.SpatialMemoryNetwork]) == 2
    assert not [w for w in recwarn if "Gradients do not" in str(w.message)]


def test_the_mean_pool_has_no_positions():
    model = make("ibowimg")
    x = inputs()
    cells = x["image"].reshape(2, GRID**2, WIDTH)
    order = np.random.default_rng(2).permutation(GRID**2)
    moved = {**x, "image": cells[:, order].reshape(x["image"].shape)}
    one, other = (to_numpy(model(some))["logits"] for some in (x, moved))
    np.testing.assert_allclose(one, other, atol=1e-5)
    # With attention they matter.
    model = make("smem")
    one, other = (to_numpy(model(some))["logits"] for some in (x, moved))
    assert np.abs(one - other).max() > 1e-4


def test_a_sum_cannot_ask_whether():
    """log-odds of two answers add up: no question turns the image's round."""
    model = make("ibowimg")
    random = np.random.default_rng(3)
    images = random.normal(size=(2, GRID, GRID, WIDTH)).astype("float32")
    x = {
        "image": images[[0, 0, 1, 1]],
        "question": np.array([[5], [6], [5], [6]]),
    }
    logits = to_numpy(model(x))["logits"]
    odds = logits[:, 0] - logits[:, 1]
    np.testing.assert_allclose(odds[0] - odds[1], odds[2] - odds[3], atol=1e-5)


def test_smem_scores_every_word():
    model = make("smem")
    x = inputs()
    scores = to_numpy(model.word_scores(x))
    assert scores.shape == (2, 4, GRID**2)
    weights = to_numpy(model(x))["weights"][:, 0]
    best = scores[0, :3].max(axis=0)  # the last word is padding
    wanted = np.exp(best) / np.exp(best).sum()
    np.testing.assert_allclose(weights[0], wanted, atol=1e-5)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_the_reader_equals_the_papers_equations():
    reader = ql.AttentiveReader(WORDS, 5, 6)
    random = np.random.default_rng(4)
    f = random.normal(size=(1, 9, 4)).astype("float32")
    states, looks = (to_numpy(out) for out in reader(f, np.array([[5, 7, 9]])))
    w = {v.path.split("/", 1)[1]: to_numpy(v.value) for v in reader.variables}
    h, c = np.zeros(6), np.zeros(6)
    image = f.reshape(-1) @ w["image/kernel"] + w["image/bias"]
    tokens = [image, *w["embedding/embeddings"][[5, 7, 9]]]
    for t, token in enumerate(tokens):
        hidden = h @ w["align/W_h"] + f[0] @ w["align/W_a"] + w["align/b_a"]
        e = np.tanh(hidden) @ w["align/v_a"]
        a = np.exp(e) / np.exp(e).sum()
        gates = token @ w["lstm/kernel"] + w["lstm/bias"]
        gates = gates + h @ w["lstm/recurrent_kernel"]
        gates = gates + (a @ f[0]) @ w["context_kernel/kernel"]
        enter, keep, new, leave = np.split(gates, 4)
        c = sigmoid(keep) * c + sigmoid(enter) * np.tanh(new)
        h = sigmoid(leave) * np.tanh(c)
        if t:
            np.testing.assert_allclose(looks[0, t - 1], a, atol=1e-5)
            np.testing.assert_allclose(states[0, t - 1], h, atol=1e-5)


def test_a_question_ends_behind_its_last_word():
    found = to_numpy(ql.closed(np.array([[5, 7, 9], [6, 0, 0]])))
    end = text.END
    np.testing.assert_array_equal(found, [[5, 7, 9, end], [6, end, 0, 0]])


@pytest.mark.parametrize("kind", ["lstm-att", "pointing"])
def test_a_look_follows_the_last_word(kind):
    """Who never looks after it cannot look for what it names."""
    model = make(kind)
    x = inputs(kind)
    one = to_numpy(model.force(x))["weights"]
    other = x["question"].copy()
    other[0, 2] += 1
    other = to_numpy(model.force({**x, "question": other}))["weights"]
    np.testing.assert_allclose(one[0, :3], other[0, :3], atol=1e-6)
    assert np.abs(one[0, 3] - other[0, 3]).max() > 1e-4


def test_grams_see_one_two_and_three_words():
    encoder = ql.QuestionEncoder(WORDS, 5, 10, "cnn")
    question = np.array([[5, 7, 9, 4]])
    found = to_numpy(encoder(question))[0]
    w = {v.path.split("/", 1)[1]: to_numpy(v.value) for v in encoder.variables}
    words = w["embedding/embeddings"][question[0]]
    parts = []
    for n in (1, 2, 3):
        before = (n - 1) // 2
        padded = np.pad(words, ((before, n - 1 - before), (0, 0)))
        kernel = w[f"grams_{n}/kernel"]
        at = [
            np.einsum("nm,nmf->f", padded[t : t + n], kernel) for t in range(4)
        ]
        parts.append(np.tanh(at + w[f"grams_{n}/bias"]).max(axis=0))
    assert [len(part) for part in parts] == [2, 4, 4]
    wanted = np.concatenate(parts) @ w["dense/kernel"] + w["dense/bias"]
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_where_a_cell_is_counts_from_the_middle():
    found = to_numpy(ql.locate(ops.zeros((1, 3, 5, 2))))[0]
    assert found.shape == (15, 4) and not found[:, :2].any()
    np.testing.assert_array_equal(found[0, 2:], [-2, -1])
    np.testing.assert_array_equal(found[4, 2:], [2, -1])
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-6)


def test_telling_counts_the_answers_words_alone():
    model = make("telling")
    x = inputs("telling")
    logits = to_numpy(model(x))["logits"]
    y = np.array([[0, 8, text.END, 0], [4, text.END, 0, 0]])
    top = logits.max(axis=-1, keepdims=True)
    logs = logits - top - np.log(np.exp(logits - top).sum(-1, keepdims=True))
    wanted = -(logs[0, 1, 8] + logs[0, 2, 3] + logs[1, 0, 4] + logs[1, 1, 3])
    loss = to_numpy(model.compute_loss(y=y, y_pred={"logits": logits}))
    np.testing.assert_allclose(loss, wanted / 2, rtol=1e-4)


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (np.zeros((1, 0), int), "at least one word"),
        (np.zeros((1, 4), int), "at least one word"),
        (np.array([[5, 12, 0, 0]]), "ids from 0 to 11. Received: 12"),
        (np.array([5, 7]), "question"),
    ],
)
def test_bad_questions_are_named(question, message):
    x = {**inputs(), "question": question}
    with pytest.raises(ValueError, match=message):
        make("smem").force(x)


@pytest.mark.parametrize("kind", CLASSES)
def test_what_cannot_be_read_or_said_is_refused_everywhere(kind):
    model = make(kind)
    model.compile("sgd")
    x, y = inputs(kind), targets(kind)
    last = model.num_answers - 1

    def asked(*words):
        return {**x, "question": np.array([[5, 7, 9, 0], words])}

    wrong = [
        (asked(6, 99, 0, 0), y, "question to hold ids from 0 to 11.*: 99"),
        (asked(6, -1, 0, 0), y, "question to hold ids from 0 to 11.*: -1"),
        (asked(6, 1.5, 0, 0), y, "ids from 0 to 11. Received: dtype float64"),
        (asked(0, 0, 0, 0), y, "at least one word"),
        ({**x, "image": x["image"][:, :2]}, y, "images of shape"),
    ]
    for answer in (99, -1, last + 1):
        said = f"answers to hold ids from 0 to {last}. Received: {answer}"
        bad = y.copy()
        bad[-1] = answer
        wrong.append((x, bad, said))
    wrong.append((x, y.astype("float32"), "answers .* Received: dtype float32"))
    wrong.append((x, y[..., None], "answers to have rank"))
    if kind == "pointing":
        bad = {**x, "regions": x["regions"][:, :2]}
        wrong.append((bad, y, "regions of shape"))
    check_refusals(model, x, y, wrong)
    if kind in ("smem", "pointing"):
        check_that_it_works(model, x, y)


def test_bad_images_are_named():
    model = make("smem")
    x = inputs()
    with pytest.raises(ValueError, match="as the model was built for"):
        model.force({**x, "image": x["image"][:, :2]})
    with pytest.raises(ValueError, match="floating"):
        model.force({**x, "image": x["image"].astype("int32")})
    pointing = make("pointing")
    x = inputs("pointing")
    with pytest.raises(ValueError, match=r"regions of shape \(B, 4, 9\)"):
        pointing.force({**x, "regions": x["regions"][:, :2]})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"units": 0}, "units"),
        ({"dropout": 1.0}, "dropout"),
        ({"encoder": "cnn"}, "Keras model or None"),
        ({"hops": 0}, "hops"),
        ({"question": "gru"}, "kind"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        qa.StackedAttentionNetwork(WORDS, ANSWERS, **options)


def test_telling_writes_its_answers_in_words():
    with pytest.raises(ValueError, match="num_answers to be num_words"):
        qa.LSTMTelling(WORDS, ANSWERS)
