"""Show and Tell against its equations."""

import inspect

import keras
import numpy as np
import pytest
from caption_reference import (
    PLACES,
    WIDTH,
    WORDS,
    batch,
    dense,
    lstm,
    nll,
    short,
)
from numerics import check_variable_gradients, to_numpy

from attnlib.models.decoding import Decoder
from attnlib.models.show_and_tell import ShowAndTell

BOTH = pytest.mark.parametrize("every_step", [False, True])


def make(shape=(None, PLACES, WIDTH), **options):
    sizes = {"embedding_size": 5, "units": 6}
    model = ShowAndTell(WORDS, **{**sizes, **options})
    model.build(shape)
    return model


def reference(w, source, target, every_step):
    """Logits (T, V) of one caption, in float64."""
    w = short(w)
    image = dense(w, "image_embedding", source.mean(axis=0))
    again = dense(w, "context_kernel", image) if every_step else 0.0
    state, logits = (np.zeros(6), np.zeros(6)), []
    state = lstm(w, state, dense(w, "decoder", image) + again)
    for word in target:
        embedded = w["target_embedding/embeddings"][word] * 5**0.5
        state = lstm(w, state, dense(w, "decoder", embedded) + again)
        logits.append(dense(w, "output", state[0]))
    return np.array(logits)


@BOTH
def test_equals_the_papers_equations(every_step):
    model = make(every_step=every_step)
    inputs, _ = batch()
    logits, weights = to_numpy(model.force(inputs))
    values = {v.path: to_numpy(v.value) for v in model.variables}
    for row in range(2):
        wanted = reference(
            values, inputs["source"][row], inputs["target"][row], every_step
        )
        np.testing.assert_allclose(logits[row], wanted, atol=1e-5)
    assert weights.shape == (2, 3, 1) and not weights.any()


@BOTH
def test_gradients_are_the_references(every_step):
    model = make(every_step=every_step)
    inputs, following = batch()
    source, target = inputs["source"], inputs["target"]

    def wanted(w):
        total = sum(
            nll(reference(w, source[i], target[i], every_step), following[i])
            for i in range(2)
        )
        return total / (following > 0).sum()

    check_variable_gradients(
        lambda: model.compute_loss(y=following, y_pred=model(inputs)),
        wanted,
        model.trainable_variables,
    )


@BOTH
def test_overfits_one_batch_and_is_searched(every_step):
    model = make(units=24, embedding_size=12, every_step=every_step)
    model.compile(optimizer=keras.optimizers.Adam(0.03))
    inputs, following = batch()
    for _ in range(60):
        logs = model.train_on_batch(inputs, following, return_dict=True)
    assert logs["loss"] < 0.1
    decoder = Decoder(model)
    found = decoder.greedy(inputs["source"])
    assert [h.tokens for h in found] == [(4, 5), (6,)]
    assert found[0].weights.shape == (3, 1)
    for best, (wide,) in zip(
        found, decoder.beam(inputs["source"], 3), strict=True
    ):
        assert best.tokens == wide.tokens
    with pytest.raises(ValueError, match="a model with attention"):
        decoder.beam(inputs["source"], coverage_penalty=0.2)


@pytest.mark.parametrize("options", [{}, {"every_step": True}])
def test_keras_file_gives_the_same_model(options, tmp_path):
    encoder = keras.Sequential([keras.layers.Conv2D(3, 2, name="see")])
    model = make((None, 6, 6, 1), encoder=encoder, dropout=0.1, **options)
    images = np.random.default_rng(0).random((2, 6, 6, 1), "float32")
    inputs = {**batch()[0], "source": images}
    wanted = to_numpy(model(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(to_numpy(loaded(inputs)), wanted, atol=1e-6)
    found, wanted = loaded.get_config(), model.get_config()
    # Keras writes another configuration for a Sequential once it is loaded.
    assert found.pop("encoder")["class_name"] == "Sequential"
    assert wanted.pop("encoder") and found == wanted
    names = list(inspect.signature(ShowAndTell).parameters)[:-1]
    assert set(names) <= set(model.get_config())
    assert Decoder(loaded).greedy(images, 3)


def test_features_of_one_vector():
    model = make((None, WIDTH))
    inputs, _ = batch()
    inputs["source"] = inputs["source"].mean(axis=1)
    first = to_numpy(model(inputs))
    grid = make()
    grid.set_weights(model.get_weights())
    wanted = to_numpy(grid(batch()[0]))
    np.testing.assert_allclose(first, wanted, atol=1e-5)


def test_half_precision_and_scheduled_sampling():
    keras.config.set_dtype_policy("mixed_float16")
    model = make(scheduled_sampling=0.5, dropout=0.2, seed=0)
    inputs, following = batch()
    logits, _ = model.force(inputs)
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    model.compile(optimizer="sgd")
    logs = model.train_on_batch(inputs, following, return_dict=True)
    assert np.isfinite(logs["loss"])


def bad_source(array):
    return lambda model: model.force({**batch()[0], "source": array})


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (bad_source(np.zeros((2, 4, WIDTH), "float32")), "of 3 places"),
        (bad_source(np.zeros((2, 3, 5), "float32")), "width 4"),
        (bad_source(np.zeros((2, 3, 4), "int32")), "source to be floating"),
        (lambda m: m.check_source(np.zeros((3, 5))), r"shape \(3, 4\)"),
        (lambda m: m.check_source(np.zeros((3, 4), int)), "and floats"),
        (lambda m: make(embedding_size=0), "embedding_size to be an integer"),
        (lambda m: make(units=0), "units to be an integer"),
        (lambda m: make(encoder="cnn"), "encoder to be a Keras model or None"),
        (lambda m: make(every_step=1), "every_step to be True or False"),
        (lambda m: make((None, None, 4)), "a known grid and width"),
        (lambda m: make((None,)), "features to have rank 2 or 3 or 4"),
        (lambda m: Decoder(m).beam(batch()[0]["source"], 0), "beam_size"),
    ],
)
def test_bad_input_gets_one_clear_error(use, message):
    with pytest.raises(ValueError, match=message):
        use(make())


@pytest.mark.parametrize(
    "shape", [(2, 6, 6), (2, 6, 6, 1), (2, 6, 6, 4), (2, 12, 12, 3)]
)
def test_other_images_than_built_for_are_one_clear_error(shape):
    encoder = keras.Sequential(
        [keras.Input((6, 6, 3)), keras.layers.Conv2D(3, 2)]
    )
    model = make((None, 6, 6, 3), encoder=encoder)
    images = np.zeros(shape, "float32")
    message = r"expected images of shape \(6, 6, 3\).*Received.*Resize or"
    for use in (
        lambda: model({**batch()[0], "source": images}),
        lambda: model.check_source(images[0]),
    ):
        with pytest.raises(ValueError, match=message):
            use()
