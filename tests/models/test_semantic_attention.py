"""Semantic attention against its equations, and its detector."""

import inspect

import keras
import numpy as np
import pytest
from caption_reference import dense, log_softmax, lstm, short
from numerics import check_variable_gradients, to_numpy
from refusals import check_refusals, check_that_it_works

from attnlib.models.decoding import Decoder
from attnlib.models.semantic_attention import (
    ATTENTIONS,
    AttributeDetector,
    SemanticCaptioner,
)
from attnlib.text import END, START

WORDS, WIDTH, CANDIDATES = 9, 4, (4, 5, 6, 8)


def make(attention="both", **options):
    sizes = {"embedding_size": 5, "units": 5, "num_attributes": 3}
    model = SemanticCaptioner(
        WORDS, CANDIDATES, attention=attention, **{**sizes, **options}
    )
    model.build((None, WIDTH + len(CANDIDATES)))
    return model


def batch(seed=0):
    """Two captions; attributes 8, 5, 4 of the first image, 6 of the other."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(2, WIDTH))
    strengths = [[0.2, 0.7, 0, 0.9], [0, 0, 1, 0]]
    source = np.concatenate([features, strengths], axis=1).astype("float32")
    target = np.array([[START, 4, 5], [START, 6, 0]])
    following = np.array([[4, 5, END], [6, END, 0]])
    return {"source": source, "target": target}, following


def softmax(scores):
    scores = np.exp(scores - scores.max())
    return scores / scores.sum()


def reference(w, source, target, ids, uniform=False):
    """One caption in float64: logits, alpha and beta of all steps."""
    w, found = short(w), {"logits": [], "alpha": [], "beta": []}
    words = w["target_embedding/embeddings"]
    size = words.shape[1]
    scale, found_words = size**0.5, words[ids]
    state = (np.zeros(5), np.zeros(5))
    image = dense(w, "image_embedding", source[:WIDTH])
    state = lstm(w, state, dense(w, "decoder", image))
    for word in target:
        y, alpha, beta = words[word], np.zeros(3), np.zeros(3)
        if "input_attention/U" in w:
            scores = y @ w["input_attention/U"] @ found_words.T
            alpha[: len(ids)] = softmax(0 * scores if uniform else scores)
            mixture = alpha[: len(ids)] @ found_words
            y = (y + w["input_attention/w"] * mixture) @ w["input_attention/W"]
        else:
            y = dense(w, "input", y)
        state = lstm(w, state, dense(w, "decoder", scale * y))
        h = state[0]
        if "output_attention/V" in w:
            g = np.tanh(scale**0.5 * found_words)
            scores = h @ w["output_attention/V"] @ g.T
            beta[: len(ids)] = softmax(0 * scores if uniform else scores)
            mixture = beta[: len(ids)] @ g
            h = h + w["output_attention/w"] * mixture
            out = h @ w["output_attention/W"]
        else:
            out = dense(w, "readout", h)
        for name, row in zip(found, (words @ out, alpha, beta), strict=True):
            found[name].append(row)
    return {name: np.array(rows) for name, rows in found.items()}


IDS = ([8, 5, 4], [6])
KINDS = [*((kind, False) for kind in ATTENTIONS), ("both", True)]
EVERY = pytest.mark.parametrize(("attention", "uniform"), KINDS)


def values(model):
    return {v.path: to_numpy(v.value) for v in model.variables}


@EVERY
def test_equals_the_papers_equations(attention, uniform):
    model = make(attention, uniform=uniform)
    inputs, _ = batch()
    out = to_numpy(model.force(inputs))
    for row in range(2):
        wanted = reference(
            values(model),
            inputs["source"][row],
            inputs["target"][row],
            IDS[row],
            uniform,
        )
        for name, array in wanted.items():
            np.testing.assert_allclose(out[name][row], array, atol=1e-5)
    assert out["attributes"].tolist() == [[8, 5, 4], [6, 0, 0]]


@pytest.mark.parametrize(
    ("attention", "uniform"), [("both", False), ("both", True)]
)
def test_gradients_are_the_references(attention, uniform):
    model = make(attention, uniform=uniform, penalty_weight=0.3)
    inputs, following = batch()
    mask, fixed = following > 0, values(model)

    def penalty(weights):
        over_time = np.sqrt((weights.sum(axis=0) ** 2).sum())
        return over_time + (np.sqrt(weights).sum(axis=1) ** 2).sum()

    def wanted(w):
        total, w = 0.0, {**fixed, **w}
        for i in range(2):
            out = reference(
                w, inputs["source"][i], inputs["target"][i], IDS[i], uniform
            )
            logs = log_softmax(out["logits"])
            total -= sum(logs[t, y] for t, y in enumerate(following[i]) if y)
            if not uniform:
                for name in ("alpha", "beta"):
                    total += 0.3 * penalty(out[name][mask[i]])
        return total / mask.sum()

    check_variable_gradients(
        lambda: model.compute_loss(y=following, y_pred=model(inputs)),
        wanted,
        model.trainable_variables,
    )


@pytest.mark.parametrize("attention", ["none", "both"])
def test_overfits_one_batch_and_is_searched(attention):
    model = make(attention, units=12, embedding_size=12)
    model.compile(optimizer=keras.optimizers.Adam(0.03))
    inputs, following = batch()
    for _ in range(60):
        logs = model.train_on_batch(inputs, following, return_dict=True)
    assert logs["loss"] < 0.1
    found = Decoder(model).beam(inputs["source"], 2)
    assert [best.tokens for best, *_ in found] == [(4, 5), (6,)]
    assert found[0][0].weights.shape == (3, 3)
    out = to_numpy(model.force(inputs))
    np.testing.assert_allclose(found[0][0].weights, out["beta"][0], atol=1e-5)


def test_order_of_the_attributes_does_not_matter():
    model = make()
    inputs, _ = batch()
    first = to_numpy(model.force(inputs))
    moved = inputs["source"].copy()
    moved[0, WIDTH:] = [0.9, 0.7, 0, 0.2]
    other = to_numpy(model.force({**inputs, "source": moved}))
    np.testing.assert_allclose(other["logits"], first["logits"], atol=1e-5)
    assert other["attributes"][0].tolist() == [4, 5, 8]
    np.testing.assert_allclose(
        other["beta"][0], first["beta"][0, :, ::-1], atol=1e-5
    )


def test_words_that_are_no_attributes_change_nothing():
    model = make("none")
    inputs, _ = batch()
    wanted = to_numpy(model.force(inputs))["logits"]
    inputs["source"][:, WIDTH:] = 0
    np.testing.assert_array_equal(
        to_numpy(model.force(inputs))["logits"], wanted
    )


def test_a_state_of_another_width_than_the_embeddings():
    model = make(units=7)
    inputs, _ = batch()
    assert model.read_layer.mixture_weight.shape == (5, 7)
    assert to_numpy(model.force(inputs))["logits"].shape == (2, 3, WORDS)


@pytest.mark.parametrize("options", [{}, {"uniform": True, "dropout": 0.1}])
def test_keras_file_gives_the_same_model(options, tmp_path):
    model = make(penalty_weight=0.1, **options)
    inputs, _ = batch()
    wanted = to_numpy(model(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for name, array in to_numpy(loaded(inputs)).items():
        np.testing.assert_allclose(array, wanted[name], atol=1e-6)
    assert loaded.get_config() == model.get_config()
    names = list(inspect.signature(SemanticCaptioner).parameters)[:-1]
    assert set(names) <= set(model.get_config())
    trained = {v.path for v in model.trainable_variables}
    assert {v.path for v in loaded.trainable_variables} == trained


def test_half_precision_and_scheduled_sampling():
    keras.config.set_dtype_policy("mixed_float16")
    model = make(
        scheduled_sampling=0.5, dropout=0.2, penalty_weight=0.1, seed=0
    )
    inputs, following = batch()
    logits = model.force(inputs)["logits"]
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    model.compile(optimizer="sgd")
    logs = model.train_on_batch(inputs, following, return_dict=True)
    assert np.isfinite(logs["loss"])


def with_strengths(*row):
    inputs, _ = batch()
    inputs["source"][1, WIDTH:] = row
    return inputs


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([0, 0, 0, 0], "1 to 3 attributes. Received: image 1 with none. Keep"),
        ([1, 1, 1, 1], "1 to 3 attributes. Received: image 1 with 4"),
    ],
)
def test_an_image_without_attributes_is_one_clear_error(row, message):
    inputs = with_strengths(*row)
    with pytest.raises(ValueError, match=message):
        make().force(inputs)
    with pytest.raises(ValueError, match=message.replace("1 with", "0 with")):
        Decoder(make()).greedy(inputs["source"][1:])
    assert Decoder(make("none")).greedy(inputs["source"], 3)
    model, (right, following) = make(), batch()
    model.compile("sgd")
    wrong = [(inputs, following, message)]
    check_refusals(model, right, following, wrong)
    # Nor is a model that has no weights yet given any.
    sizes = {"embedding_size": 5, "units": 5, "num_attributes": 3}
    fresh = SemanticCaptioner(WORDS, CANDIDATES, **sizes)
    with pytest.raises(ValueError, match=message):
        fresh(inputs)
    assert not fresh.built


def test_unknown_words_are_refused_everywhere():
    model, (inputs, following) = make(), batch()
    model.compile("sgd")
    known = "to hold ids from 0 to 8. Received: 9"
    target, next_words = inputs["target"].copy(), following.copy()
    target[1, 1] = next_words[1, 1] = 9
    several = np.stack([target, target], axis=1)
    wrong = [
        ({**inputs, "target": target}, following, f"target {known}"),
        ({**inputs, "target": several}, following, f"target {known}"),
        (inputs, next_words, f"next words {known}"),
        (
            {**inputs, "source": inputs["source"][:, :5]},
            following,
            "features of 1 places and width 8",
        ),
    ]
    check_refusals(model, inputs, following, wrong)
    check_that_it_works(model, inputs, following)


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda: make("each"), "attention to be one of"),
        (lambda: make(uniform=1), "uniform"),
        (lambda: make(num_attributes=5), "number of candidates, 4"),
        (lambda: make(penalty_weight=-1.0), "penalty_weight"),
        (lambda: make(penalty_p=1.0), "p to be a number above 1"),
        (lambda: make(penalty_q=1.0), "q to be a number in"),
        (lambda: SemanticCaptioner(9, []), "different ids"),
        (lambda: SemanticCaptioner(9, [4, 4]), "different ids"),
        (lambda: SemanticCaptioner(9, [3, 4]), "4 to 8. Received: 3"),
        (lambda: SemanticCaptioner(9, [4, 9]), "4 to 8. Received: 9"),
        (
            lambda: SemanticCaptioner(9, [4], num_attributes=1).build(
                (None, 1)
            ),
            "1 candidates. Received: width 1",
        ),
        (
            lambda: Decoder(make()).greedy(np.zeros((1, 5), "float32")),
            r"shape \(8,\).*Received: shape \(5,\)",
        ),
    ],
)
def test_reports_bad_input(use, message):
    with pytest.raises(ValueError, match=message):
        use()


# The detector


def eyes():
    return keras.Sequential(
        [
            keras.layers.Conv2D(4, 3, 2, "same", activation="relu"),
            keras.layers.Conv2D(6, 3, 2, "same", activation="relu"),
        ]
    )


def detector(count=3):
    model = AttributeDetector(count, 8, eyes())
    model.build((None, 8, 8, 1))
    return model


def test_images_of_another_size_are_refused_everywhere():
    model = detector()
    model.compile("sgd")
    images = np.ones((2, 8, 8, 1), "float32")
    labels = np.ones((2, 3), "float32")
    small = "images of shape .8, 8, 1.* Received: shape .4, 8, 1.. Resize"
    wrong = [
        (images[:, :4], labels, small),
        (images[0], labels, "images to have rank 4"),
        (images, labels[:, :2], r"labels of shape \(B, 3\)"),
    ]
    check_refusals(model, images, labels, wrong)
    with pytest.raises(ValueError, match=small):
        model.look(images[:, :4])
    check_that_it_works(model, images, labels)


def test_detector_is_a_noisy_or_over_its_cells():
    model = detector()
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 1)).astype("f4")
    seen = to_numpy(model.look(images))
    cells = 1 / (1 + np.exp(-seen["cells"].astype("f8")))
    assert cells.shape == (2, 4, 3) and model.grid == (2, 2)
    wanted = 1 - (1 - cells).prod(axis=1)
    found = 1 / (1 + np.exp(-seen["logits"]))
    np.testing.assert_allclose(found, wanted, rtol=1e-4)
    np.testing.assert_allclose(to_numpy(model(images)), seen["logits"])
    # What a cell's features are made of: what is there, and where it is.
    where = [[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5], [0.5, 0.5]]
    both = np.concatenate([seen["annotations"][0], where], axis=1)
    kernel, bias = model.features.get_weights()
    np.testing.assert_allclose(
        seen["features"][0], np.maximum(both @ kernel + bias, 0), atol=1e-5
    )


def test_detector_s_logits_are_finite_however_sure_it_is():
    model = detector()
    kernel, bias = model.scores.get_weights()
    images = np.ones((1, 8, 8, 1), "float32")
    for value in (-200.0, 200.0):
        model.scores.set_weights([0 * kernel, 0 * bias + value])
        logits = to_numpy(model(images))
        assert np.isfinite(logits).all() and (logits * value > 0).all()
        labels = np.array([[1.0, 0, 1]], "float32")
        loss = model.compute_loss(y=labels, y_pred=model(images))
        assert np.isfinite(to_numpy(loss))


def test_detector_learns_a_batch_and_is_saved(tmp_path):
    keras.utils.set_random_seed(0)
    model = detector(2)
    model.compile(keras.optimizers.Adam(0.02))
    images = np.zeros((8, 8, 8, 1), "float32")
    labels = np.array([[i % 2, i // 4] for i in range(8)], "float32")
    for image, (bright, low) in zip(images, labels, strict=True):
        rows = slice(5, 8) if low else slice(0, 3)
        image[rows, 2:6] = 2.0 if bright else -2.0
    for _ in range(100):
        logs = model.train_on_batch(images, labels, return_dict=True)
    assert logs["loss"] < 0.2
    assert ((to_numpy(model(images)) > 0) == labels).all()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        to_numpy(loaded(images)), to_numpy(model(images)), atol=1e-5
    )


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda: AttributeDetector(3, 4), "encoder to be a Keras model"),
        (lambda: AttributeDetector(0, 4, eyes()), "num_attributes"),
        (lambda: AttributeDetector(3, 4.5, eyes()), "units"),
        (
            lambda: AttributeDetector(3, 4, eyes()).build((None, None, 8, 1)),
            "grid is known",
        ),
        (lambda: detector().look(np.ones((8, 8, 1), "f4")), "images.*rank 4"),
    ],
)
def test_detector_reports_bad_input(use, message):
    with pytest.raises(ValueError, match=message):
        use()
