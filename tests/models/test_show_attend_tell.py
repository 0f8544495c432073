"""Show, Attend and Tell against its equations and its learning rule."""

import inspect
import itertools

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
    sigmoid,
)
from numerics import check_variable_gradients, gradients, to_numpy

from attnlib.models.decoding import Decoder
from attnlib.models.show_attend_tell import ShowAttendTell
from attnlib.training import Batches

STEPS = 3


def make(attention="soft", shape=(None, PLACES, WIDTH), **options):
    sizes = {"embedding_size": 5, "units": 6, "attention_units": 7}
    model = ShowAttendTell(WORDS, attention=attention, **{**sizes, **options})
    model.build(shape)
    # Sharper attention than at the start, which is nearly uniform.
    weights = model.align.get_weights()
    weights[3] = weights[3] * 2.0
    model.align.set_weights(weights)
    return model


def values(model):
    return {v.path: to_numpy(v.value).astype("f8") for v in model.variables}


def reference(w, source, target, choices=None, gated=True):
    """One caption in float64: logits, weights and gates of all steps.

    `choices` are the places of hard attention; None for the expectation.
    """
    w, logits, alphas, betas = short(w), [], [], []
    mean = source.mean(axis=0)
    state = tuple(
        np.tanh(dense(w, name, mean))
        for name in ("first_state", "first_memory")
    )
    for t, word in enumerate(target):
        embedded = w["target_embedding/embeddings"][word] * 5**0.5
        keys = source @ w["align/W_a"] + w["align/b_a"]
        scores = np.tanh(state[0] @ w["align/W_h"] + keys) @ w["align/v_a"]
        alpha = np.exp(scores) / np.exp(scores).sum()
        beta = 1.0
        if gated:
            gate = state[0] @ w["align/w_beta"] + w["align/b_beta"]
            beta = sigmoid(gate[0])
        seen = alpha if choices is None else np.eye(PLACES)[choices[t]]
        z = beta * (seen @ source)
        inputs = dense(w, "decoder", embedded) + dense(w, "context_kernel", z)
        state = lstm(w, state, inputs)
        deep = embedded + dense(w, "from_state", state[0])
        logits.append(dense(w, "output", deep + dense(w, "from_context", z)))
        alphas.append(alpha)
        betas.append(beta)
    return np.array(logits), np.array(alphas), np.array(betas)


def chosen(choices):
    """Gumbel noise that makes hard attention take given places, (T, L)."""
    return 1e4 * np.eye(PLACES, dtype="float32")[list(choices)]


@pytest.mark.parametrize("gated", [True, False])
def test_soft_equals_the_papers_equations(gated):
    model = make(gated=gated)
    inputs, _ = batch()
    out = to_numpy(model.force(inputs))
    for row in range(2):
        wanted = reference(
            values(model),
            inputs["source"][row],
            inputs["target"][row],
            gated=gated,
        )
        for name, array in zip(
            ("logits", "weights", "gates"), wanted, strict=True
        ):
            np.testing.assert_allclose(out[name][row], array, atol=1e-5)
    np.testing.assert_allclose(to_numpy(model(inputs))["logits"], out["logits"])


def test_hard_equals_the_papers_equations():
    """The first caption at drawn places, the second at the expectation."""
    model = make("hard", soft_share=0.5)
    inputs, _ = batch()
    places = [2, 0, 1]
    noise = {
        "places": np.stack([chosen(places)] * 2),
        "soft": np.array([0.5, 0.4], "float32"),
    }
    out = to_numpy(model.force(inputs, noise=noise))
    for row, choices in enumerate((places, None)):
        logits, alphas, betas = reference(
            values(model), inputs["source"][row], inputs["target"][row], choices
        )
        np.testing.assert_allclose(out["logits"][row], logits, atol=1e-5)
        np.testing.assert_allclose(out["weights"][row], alphas, atol=1e-5)
        np.testing.assert_allclose(out["gates"][row], betas, atol=1e-5)
        wanted = np.log(alphas[range(STEPS), places]) if choices else 0.0
        np.testing.assert_allclose(out["log_prob"][row], wanted, atol=1e-5)
    assert out["samples"][0].argmax(axis=1).tolist() == places


def test_hard_looks_at_the_likeliest_place_outside_of_training():
    model = make("hard")
    inputs, _ = batch()
    out = to_numpy(model(inputs))
    np.testing.assert_array_equal(
        out["samples"].argmax(axis=-1), out["weights"].argmax(axis=-1)
    )


def test_drawn_places_follow_the_weights_and_coins_differ():
    model = make("hard", seed=0)
    inputs, _ = batch()
    many = {name: np.repeat(a[:1], 600, axis=0) for name, a in inputs.items()}
    out = to_numpy(model.force(many, training=True))
    share = out["samples"][:, 0].mean(axis=0)
    np.testing.assert_allclose(share, out["weights"][0, 0], atol=0.09)
    # One coin for each caption, the same at all of its steps.
    soft = out["log_prob"] == 0.0
    assert (soft == soft[:, :1]).all()
    assert soft[:, 0].mean() == pytest.approx(0.5, abs=0.09)


def soft_loss(w, inputs, following, weight, target):
    total = 0.0
    for row, words in enumerate(following):
        logits, alphas, _ = reference(
            w, inputs["source"][row], inputs["target"][row]
        )
        real = words > 0
        tau = real.sum() / PLACES if target == "mean" else target
        paid = alphas[real].sum(axis=0)
        total += nll(logits, words) + weight * ((tau - paid) ** 2).sum()
    return total / (following > 0).sum()


@pytest.mark.parametrize("target", [1.0, "mean"])
def test_soft_loss_and_its_gradients_are_the_references(target):
    model = make(penalty_weight=0.7, penalty_target=target)
    inputs, following = batch()

    def loss():
        return model.compute_loss(y=following, y_pred=model(inputs))

    def wanted(w):
        return soft_loss(w, inputs, following, 0.7, target)

    found = float(to_numpy(loss()))
    assert found == pytest.approx(wanted(values(model)), rel=1e-5)
    check_variable_gradients(loss, wanted, model.trainable_variables)
    plain = model.compute_loss(
        y=following, y_pred=model(inputs), training=False
    )
    assert float(to_numpy(plain)) == pytest.approx(
        soft_loss(values(model), inputs, following, 0.0, 1.0), rel=1e-5
    )


def test_padding_changes_no_loss():
    model = make(penalty_weight=1.0)
    inputs, following = batch()
    losses = []
    for more in (0, 4):
        columns = [(0, 0), (0, more)]
        wide = {**inputs, "target": np.pad(inputs["target"], columns)}
        y = np.pad(following, columns)
        loss = model.compute_loss(y=y, y_pred=model(wide))
        losses.append(float(to_numpy(loss)))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.parametrize("attention", ["soft", "hard"])
def test_several_captions_of_an_image_are_as_if_it_were_repeated(attention):
    sources = batch()[0]["source"]
    target = np.array([[[2, 4, 5], [2, 6, 0]], [[2, 5, 7], [2, 7, 6]]])
    following = np.array([[[4, 5, 3], [6, 3, 0]], [[5, 7, 3], [7, 6, 3]]])
    # Batch normalisation tells whether an image was read once in training.
    encoder = keras.Sequential(
        [keras.Input((PLACES, WIDTH)), keras.layers.BatchNormalization()]
    )
    model = make(attention, encoder=encoder, seed=0, soft_share=0.0)
    noise = model.draw_noise(4, 3)
    together = {"source": sources, "target": target}
    apart = {
        "source": np.repeat(sources, 2, axis=0),
        "target": target.reshape(4, 3),
    }
    found, wanted = (
        model.force(inputs, training=True, noise=noise)
        for inputs in (together, apart)
    )
    assert to_numpy(found["logits"]).shape == (4, 3, WORDS)
    for key, value in to_numpy(wanted).items():
        np.testing.assert_allclose(to_numpy(found[key]), value, atol=1e-5)
    losses = [
        float(to_numpy(model.compute_loss(y=y, y_pred=found)))
        for y in (following, following.reshape(4, 3))
    ]
    if attention == "soft":  # The other's baseline has moved between the two.
        assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    model.compile("sgd")
    logs = model.fit(together, following, verbose=0).history
    assert np.isfinite(logs["loss"][0])


def enumerated(w, source, target, following):
    """Probability of each sequence of places, and log p(y | s)."""
    found = {}
    for choices in itertools.product(range(PLACES), repeat=2):
        logits, alphas, _ = reference(w, source, target, choices)
        probability = np.prod(alphas[range(2), choices])
        found[choices] = probability, -nll(logits, following)
    return found


@pytest.mark.parametrize("baseline", [0.0, -3.0])
def test_reinforce_is_the_gradient_of_the_bound_whatever_the_baseline(
    baseline,
):
    """All sequences of places, weighed by their exact probabilities."""
    model = make("hard", soft_share=0.0, entropy_weight=0.0)
    model.baseline.assign(baseline)
    inputs, following = batch()
    source, target = inputs["source"][0], inputs["target"][0, :2]
    words = following[0, :2]
    exact = enumerated(values(model), source, target, words)
    many = {
        "source": np.stack([source] * len(exact)),
        "target": np.stack([target] * len(exact)),
    }
    noise = {"places": np.stack([chosen(choices) for choices in exact])}

    def loss():
        out = model.force(many, noise=noise)
        total = 0.0
        for row, (probability, _) in enumerate(exact.values()):
            model.baseline.assign(baseline)
            one = {name: a[row : row + 1] for name, a in out.items()}
            term = model.compute_loss(y=words[None], y_pred=one)
            total = total + float(probability) * term
        return total

    def bound(w):
        found = enumerated(w, source, target, words).values()
        return -sum(p * reward for p, reward in found) / 2

    check_variable_gradients(loss, bound, model.trainable_variables)


def test_entropy_is_rewarded():
    """Of a soft caption, where nothing else teaches the weights to spread."""
    inputs, following = batch()
    losses = []
    for weight in (0.0, 0.5):
        keras.utils.set_random_seed(0)
        model = make("hard", soft_share=1.0, entropy_weight=weight)
        noise = {"soft": np.zeros(2, "float32")}
        out = model.force(inputs, noise=noise)
        loss = model.compute_loss(y=following, y_pred=out)
        losses.append(float(to_numpy(loss)))
    alphas = to_numpy(out["weights"]).astype("f8")
    entropy = -(alphas * np.log(alphas)).sum(axis=-1)[following > 0].sum()
    wanted = losses[0] - 0.5 * entropy / (following > 0).sum()
    assert losses[1] == pytest.approx(wanted, rel=1e-4)


def test_certain_attention_has_finite_gradients():
    """Weights of exactly 0: alpha log alpha is guarded."""
    model = make("hard", soft_share=0.0, entropy_weight=1.0)
    weights = model.align.get_weights()
    weights[3] = weights[3] * 1e4
    model.align.set_weights(weights)
    model.compile(optimizer=keras.optimizers.SGD(0.0))
    inputs, following = batch()
    assert to_numpy(model(inputs))["weights"].min() == 0
    model.train_on_batch(inputs, following)
    model.compile(optimizer=keras.optimizers.SGD(1e-3))
    model.train_on_batch(inputs, following)
    assert all(np.isfinite(w).all() for w in model.get_weights())


def test_baseline_follows_the_reward_and_lowers_the_variance():
    model = make("hard", soft_share=0.0, reward_weight=1.0)
    inputs, following = batch()
    source, target, words = (
        inputs["source"][0],
        inputs["target"][0, :2],
        following[0, :2],
    )
    exact = enumerated(values(model), source, target, words)
    probability, reward = np.array(list(exact.values())).T
    noise = {"places": np.stack([chosen(choices) for choices in exact])}
    out = to_numpy(
        model.force(
            {
                "source": np.stack([source] * len(exact)),
                "target": np.stack([target] * len(exact)),
            },
            noise=noise,
        )
    )
    y = np.stack([words] * len(exact))

    def policy_gradient(baseline):
        """Gradients to the scores of the first step, of each sequence."""
        model.baseline.assign(baseline)

        def loss(log_prob):
            # On JAX what a traced loss assigns must not outlive the trace.
            with keras.StatelessScope():
                return model.compute_loss(
                    y=y, y_pred={**out, "log_prob": log_prob}
                )

        (to_log_prob,) = gradients(loss, out["log_prob"])
        to_scores = out["samples"][:, 0] - out["weights"][:, 0]
        found = to_log_prob[:, :1] * to_scores * len(exact)
        mean = probability @ found
        return probability @ ((found - mean) ** 2).sum(axis=1), mean

    without, first = policy_gradient(0.0)
    with_baseline, second = policy_gradient(float(probability @ reward))
    np.testing.assert_allclose(first, second, atol=1e-4)
    assert with_baseline < 0.1 * without
    model.baseline.assign(-1.0)
    model.compute_loss(y=y, y_pred=out)
    wanted = 0.9 * -1.0 + 0.1 * reward.mean()
    assert float(to_numpy(model.baseline)) == pytest.approx(wanted, rel=1e-4)
    model.compute_loss(y=y, y_pred=out, training=False)
    assert float(to_numpy(model.baseline)) == pytest.approx(wanted, rel=1e-4)
    other = make("hard", baseline=False)
    other.compute_loss(y=y, y_pred=out)
    assert float(to_numpy(other.baseline)) == 0


@pytest.mark.parametrize("attention", ["soft", "hard"])
def test_overfits_one_batch_and_is_searched(attention):
    model = make(
        attention,
        units=24,
        embedding_size=12,
        penalty_weight=0.0,
        soft_share=0.5,
        seed=0,
    )
    model.compile(optimizer=keras.optimizers.Adam(0.03))
    inputs, following = batch()
    for _ in range(80):
        model.train_on_batch(inputs, following)
    logs = model.test_on_batch(inputs, following, return_dict=True)
    assert logs["nll"] < 0.1
    assert logs["loss"] == pytest.approx(logs["nll"], rel=1e-5)
    decoder = Decoder(model)
    found = decoder.greedy(inputs["source"])
    assert [h.tokens for h in found] == [(4, 5), (6,)]
    assert found[0].weights.shape == (3, PLACES)
    np.testing.assert_allclose(found[0].weights.sum(axis=1), 1, atol=1e-5)
    forced = to_numpy(model(inputs))["weights"]
    np.testing.assert_allclose(found[0].weights, forced[0], atol=1e-4)
    best = decoder.beam(inputs["source"], 3, coverage_penalty=0.01)
    assert [h[0].tokens for h in best] == [(4, 5), (6,)]


def test_fits_without_a_build_before():
    inputs, following = batch()
    model = ShowAttendTell(WORDS, 5, 6, attention="hard", seed=1)
    model.compile(optimizer="sgd")
    grids = inputs["source"].reshape(2, 1, PLACES, WIDTH)
    logs = model.fit({**inputs, "source": grids}, following, verbose=0)
    assert np.isfinite(logs.history["loss"][0])
    assert model.grid == (PLACES, WIDTH)
    # Compiled training moves the baseline, too.
    assert float(to_numpy(model.baseline)) < 0


@pytest.mark.tensorflow
def test_fits_captions_of_several_lengths():
    """Length buckets: TensorFlow then knows no length while tracing."""
    inputs, following = batch()
    wide = {**inputs, "target": np.pad(inputs["target"], [(0, 0), (0, 2)])}
    groups = [(inputs, following), (wide, np.pad(following, [(0, 0), (0, 2)]))]
    data = Batches(groups, 2).epoch(0)
    model = make("hard", scheduled_sampling=0.3)
    model.compile(optimizer="sgd")
    logs = model.fit(data, verbose=0, shuffle=False).history
    assert len(data) == 2 and np.isfinite(logs["loss"][0])


@pytest.mark.parametrize("attention", ["soft", "hard"])
def test_keras_file_gives_the_same_model(attention, tmp_path):
    encoder = keras.Sequential([keras.layers.Conv2D(4, 3, strides=2)])
    encoder.trainable = False
    model = make(
        attention,
        (None, 6, 6, 1),
        encoder=encoder,
        scheduled_sampling=0.2,
        penalty_target="mean",
    )
    images = np.random.default_rng(0).random((2, 6, 6, 1), "float32")
    inputs = {**batch()[0], "source": images}
    wanted = to_numpy(model(inputs))
    assert wanted["weights"].shape == (2, STEPS, 4)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    found = to_numpy(loaded(inputs))
    np.testing.assert_allclose(found["logits"], wanted["logits"], atol=1e-6)
    found, wanted = loaded.get_config(), model.get_config()
    # Keras writes another configuration for a Sequential once it is loaded.
    assert found.pop("encoder")["class_name"] == "Sequential"
    assert wanted.pop("encoder") and found == wanted
    assert not loaded.encoder.trainable_variables
    names = list(inspect.signature(ShowAttendTell).parameters)[:-1]
    assert set(names) <= set(model.get_config())


@pytest.mark.parametrize(
    ("attention", "options"),
    [("soft", {}), ("hard", {"scheduled_sampling": 0.5, "dropout": 0.2})],
)
def test_half_precision(attention, options):
    keras.config.set_dtype_policy("mixed_float16")
    model = make(attention, **options)
    inputs, following = batch()
    out = model.force(inputs)
    assert keras.backend.standardize_dtype(out["logits"].dtype) == "float32"
    model.compile(optimizer=keras.optimizers.SGD(1e-3))
    logs = model.train_on_batch(inputs, following, return_dict=True)
    assert np.isfinite(logs["loss"])


def force(**changed):
    return lambda model: model.force({**batch()[0], **changed})


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (force(source=np.zeros((2, 4, WIDTH), "float32")), "of 3 places"),
        (force(source=np.zeros((2, 3, 5), "float32")), "width 4"),
        (force(source=np.zeros((2, WIDTH), "float32")), "features to have"),
        (force(target=np.zeros((2, 0), "int32")), "at least one word"),
        (force(target=np.array([[2, WORDS]] * 2)), "ids from 0 to 7"),
        (force(target=np.array([[[2, WORDS]]] * 2)), "ids from 0 to 7"),
        (force(target=np.array([2, 4])), "target to have rank 2"),
        (force(target=[[2, 4]]), "target to be a tensor or an array"),
        (force(target=np.zeros((2, 0, 3), "int32")), "at least one caption"),
        (
            force(target=np.full((3, 2, 3), 2)),
            "batch sizes. Received: source: 2",
        ),
        (force(target=np.full((3, 3), 2)), "batch sizes. Received: source: 2"),
        (lambda m: make("sharp"), "attention to be one of"),
        (lambda m: make(gated=None), "gated to be True or False"),
        (lambda m: make(attention_units=1.5), "attention_units to be an"),
        (lambda m: make(penalty_weight=-1), "penalty_weight to be a number"),
        (lambda m: make(penalty_target="tau"), "penalty_target to be a number"),
        (lambda m: make(entropy_weight=np.inf), "entropy_weight to be a"),
        (lambda m: make(soft_share=1.5), r"soft_share in \[0, 1\]"),
        (lambda m: make(baseline=0), "baseline to be True or False"),
        (
            lambda m: Decoder(m).sample(batch()[0]["source"], 0.0),
            "temperature to be a positive number",
        ),
        (lambda m: Decoder(m).greedy([np.zeros((2, 2))]), "sources of shape"),
    ],
)
def test_bad_input_gets_one_clear_error(use, message):
    with pytest.raises(ValueError, match=message):
        use(make())
