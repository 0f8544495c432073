"""The captioning experiment: data, recipe and scores, on tiny sizes."""

import dataclasses
import types

import numpy as np
import pytest
from keras import ops

from attnlib import profiles, text
from attnlib.models import captions
from attnlib.models.decoding import Decoder


@pytest.fixture(autouse=True)
def _headless(monkeypatch, tmp_path):
    monkeypatch.setenv("ATTNLIB_HEADLESS", "1")
    monkeypatch.setenv("ATTNLIB_CACHE", str(tmp_path))


@pytest.fixture(scope="module")
def tiny():
    return profiles.Captions(
        *("04", "smoke", 0, None),
        examples=40,
        held_out=8,
        filters=4,
        embedding_size=8,
        units=8,
        attention_units=8,
        batch_size=16,
        buckets=1,
        epochs=1,
    )


@pytest.fixture(scope="module")
def task(tiny):
    return captions.load_task(tiny)


@pytest.fixture(scope="module")
def soft(tiny, task):
    return captions.build(tiny, task, "soft", 10)


@pytest.fixture(scope="module")
def hard(tiny, task):
    return captions.build(tiny, task, "hard", 10)


@pytest.fixture(scope="module")
def drawer(hard):
    return captions.PlaceDrawer(hard)


def test_task_has_scenes_and_their_words(task, tiny):
    assert len(task.train["images"]) == 40 and len(task.test["images"]) == 8
    assert task.knows_boxes and "40 training images" in task.description
    words = {w for ls in task.train["captions"] for s in ls for w in s.split()}
    assert set(task.vocabulary.words[text.END + 1 :]) == words
    assert task.record["name"] == "digit_scenes"


def test_digest_says_which_data(task, tiny):
    assert captions.load_task(tiny).digest == task.digest
    other = dataclasses.replace(tiny, digits=3)
    assert captions.load_task(other).digest != task.digest


def test_function_words_name_nothing(task):
    for several, objects in zip(
        task.train["captions"], task.train["objects"], strict=True
    ):
        for line, about in zip(several, objects, strict=True):
            named = {
                word
                for word, thing in zip(line.split(), about, strict=True)
                if thing >= 0
            }
            assert not named & captions.FUNCTION_WORDS


def test_groups_hold_every_caption_once(task):
    found = captions.groups(task, "train", each=3, buckets=2)
    assert len(found) == 2
    seen = set()
    for x, y in found:
        assert (x["target"][:, 0] == text.START).all()
        np.testing.assert_array_equal(
            np.where(y[:, :-1] == text.END, 0, y[:, :-1]), x["target"][:, 1:]
        )
        for number, row in zip(x["source"][:, 0], y, strict=True):
            line = task.vocabulary.decode(row)
            assert line in task.train["captions"][number][:3]
            seen.add((int(number), line))
    assert len(seen) == len(
        {(i, s) for i, ls in enumerate(task.train["captions"]) for s in ls[:3]}
    )
    short = captions.groups(task, "train", each=3, longest=9)
    assert max(y.shape[1] for _, y in short) <= 9


def test_groups_of_images_hold_each_image_once_with_its_captions(task):
    found = captions.groups_of_images(task, "train", each=3, buckets=2)
    assert len(found) == 2
    assert found[0][1].shape[2] <= found[1][1].shape[2]
    for x, y in found:
        assert x["target"].shape == y.shape == (len(x["source"]), 3, y.shape[2])
        assert (x["target"][:, :, 0] == text.START).all()
        np.testing.assert_array_equal(
            np.where(y[..., :-1] == text.END, 0, y[..., :-1]),
            x["target"][..., 1:],
        )
        for number, rows in zip(x["source"][:, 0], y, strict=True):
            lines = [task.vocabulary.decode(row) for row in rows]
            assert lines == task.train["captions"][number][:3]
    numbers = np.concatenate([x["source"][:, 0] for x, _ in found])
    assert sorted(numbers) == list(range(40))


def test_captions_that_are_too_long_are_replaced_or_the_image_left_out(task):
    lengths = [
        [len(line.split()) for line in lines]
        for lines in task.train["captions"]
    ]
    # END is a word, too.
    most = int(np.median(lengths)) + 1
    found = captions.groups_of_images(task, "train", each=5, longest=most)
    seen = {}
    for x, y in found:
        assert y.shape[2] <= most
        for number, rows in zip(x["source"][:, 0], y, strict=True):
            seen[int(number)] = {task.vocabulary.decode(row) for row in rows}
    assert seen == {
        i: short
        for i, lines in enumerate(task.train["captions"])
        if (short := {s for s in lines if len(s.split()) < most})
    }


@pytest.mark.parametrize("kind", ["nic", "soft"])
def test_captions_of_an_image_are_learned_together(tiny, task, kind):
    several = dataclasses.replace(tiny, captions_each=5, buckets=2)
    trained = captions.train(several, task, kind)
    # Of 40 images in two groups of 20, 16 // 5 = 3 in a batch.
    assert int(trained.model.optimizer.iterations) == 12
    assert np.isfinite(trained.history["val_nll"]).all()
    with pytest.raises(
        ValueError, match="batch_size of at least captions_each"
    ):
        captions.train(dataclasses.replace(several, batch_size=4), task, kind)


GOOD = np.full((8, 8, 3), 51, "uint8")


def test_images_of_people_become_floats():
    mixed = captions.read_images([GOOD, np.full((8, 8, 3), 0.2)], 8)
    assert mixed.dtype == "float32" and mixed.shape == (2, 8, 8, 3)
    np.testing.assert_allclose(mixed, 0.2, atol=1e-6)
    np.testing.assert_array_equal(captions.read_images(mixed, 8), mixed)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([GOOD, GOOD[..., 0]], r"image 1 of shape \(8, 8\).*Repeat the grey"),
        ([GOOD[..., :1]], "Repeat the grey"),
        ([np.pad(GOOD, [(0, 0), (0, 0), (0, 1)])], "alpha channel out"),
        ([GOOD[:7]], r"\(7, 8, 3\).*Resize it to 8 x 8"),
        ([np.zeros((16, 16, 3), "uint8")], "Resize it to 8 x 8"),
        (GOOD, "Put the image into a list"),
        ([np.moveaxis(GOOD, -1, 0)], "channels last"),
        ([GOOD / 1.0], "float64. Divide values from 0 to 255 by 255"),
        ([GOOD * np.nan], "no NaN"),
        ([GOOD / 255 - 1.0], "Divide"),
        ([GOOD.astype(int)], "int64. Convert.*to uint8"),
        ([], "none. Hand in a list of at least one"),
    ],
)
def test_other_images_are_one_clear_error(images, message):
    wanted = r"^expected images of shape \(8, 8, 3\)"
    with pytest.raises(ValueError, match=f"{wanted}.*Received.*({message})"):
        captions.read_images(images, 8)


@pytest.mark.parametrize(("side", "grid"), [(56, 7), (28, 14)])
def test_encoder_ends_in_the_grid(side, grid):
    encoder = captions.build_encoder(side, grid, 4)
    assert encoder.output_shape[1:3] == (grid, grid)


@pytest.mark.parametrize(("side", "grid"), [(7, 7), (56, 9), (3, 7)])
def test_grid_must_be_the_side_halved(side, grid):
    with pytest.raises(ValueError, match="side to be grid.*Received"):
        captions.build_encoder(side, grid, 4)


def test_kinds_differ_in_what_they_say(tiny, task):
    models = {k: captions.build(tiny, task, k, 10) for k in captions.KINDS}
    assert not models["nic"].every_step and models["nic-every-step"].every_step
    assert models["soft"].penalty_weight == tiny.penalty_weight > 0
    assert models["soft"].penalty_target == "mean"
    assert models["soft-no-penalty"].penalty_weight == 0
    assert not models["soft-no-gate"].gated
    assert models["hard"].is_hard and models["hard"].use_baseline
    assert not models["hard-no-baseline"].use_baseline
    with pytest.raises(ValueError, match="kind to be one of nic.*'nick'"):
        captions.train(tiny, task, "nick")


@pytest.mark.parametrize("kind", ["nic", "soft"])
def test_trains_and_loads(tiny, task, kind):
    trained = captions.train(tiny, task, kind)
    assert not trained.loaded and np.isfinite(trained.history["val_nll"]).all()
    again = captions.train(tiny, task, kind)
    assert again.loaded and again.history == trained.history


def test_hard_attention_keeps_the_encoder_of_soft(tiny, task):
    soft = captions.train(tiny, task, "soft")
    hard = captions.train(tiny, task, "hard")
    assert captions.train(tiny, task, "hard").loaded
    assert not hard.model.encoder.trainable_variables
    assert soft.model.encoder.trainable_variables
    for kept, learned in zip(
        hard.model.encoder.get_weights(),
        soft.model.encoder.get_weights(),
        strict=True,
    ):
        np.testing.assert_array_equal(kept, learned)
    # The averages of soft's batch normalisation, which training moved.
    assert not np.allclose(soft.model.encoder.layers[1].get_weights()[2], 0)
    # How REINFORCE did is kept for every epoch.
    for name in ("between_draws", "between_captions", "none", "moving", "own"):
        (value,) = hard.history[f"_{name}"]
        assert np.isfinite(value)
    assert not any(name.startswith("_") for name in soft.history)


def test_another_soft_model_means_another_hard_one(tiny, task, monkeypatch):
    seen = []

    def fake(build, batches, *, name, config, **_):
        seen.append((name, config))
        model = types.SimpleNamespace(encoder=None)
        return types.SimpleNamespace(folder=f"models/{name}-1", model=model)

    monkeypatch.setattr(captions, "train_or_load", fake)
    captions.train(tiny, task, "hard-no-baseline")
    names = [name for name, _ in seen]
    assert names == ["soft", "hard-no-baseline"]
    assert "trained_encoder" not in seen[0][1]
    assert seen[1][1]["trained_encoder"] == "soft-1"


def test_a_batch_has_the_images_of_its_captions(tiny, task, monkeypatch):
    seen = []
    monkeypatch.setattr(
        captions,
        "train_or_load",
        lambda build, batches, **_: seen.append(batches),
    )
    captions.train(tiny, task, "soft")
    (batches,) = seen
    x, y = batches.epoch(0)[0]
    assert x["source"].dtype == "float32" and x["source"].max() <= 1
    whole = np.round(x["source"] * 255).astype("uint8")
    for image, row in zip(whole, y, strict=True):
        (number,) = np.flatnonzero(
            (task.train["images"] == image).all(axis=(1, 2, 3))
        )
        line = task.vocabulary.decode(row)
        assert line in task.train["captions"][number]


def test_one_batch_can_be_learned_by_heart(tiny, task):
    settings = dataclasses.replace(
        tiny, units=48, filters=8, learning_rate=1e-2, penalty_weight=0.0
    )
    model = captions.build(settings, task, "soft", 200)
    ((x, y),) = captions.groups(task, "train", 1)
    x = {
        "source": captions.unit(task.train["images"][x["source"][:16, 0]]),
        "target": x["target"][:16],
    }
    losses = [
        model.train_on_batch(x, y[:16], return_dict=True)["loss"]
        for _ in range(150)
    ]
    assert losses[0] > 3 and losses[-1] < 0.2


def test_references_are_perfect_and_others_are_not(task):
    best = [several[0] for several in task.test["captions"]]
    grade = captions.grade(task, best)
    np.testing.assert_allclose(grade["bleu"], 100)
    assert grade["exact"] == 100 and grade["cider"] > 2
    worse = captions.grade(task, best[1:] + best[:1])
    assert worse["bleu"][3] < 100 and worse["exact"] < 100


def test_describes_every_image(task, soft):
    found = Decoder(soft).greedy(captions.unit(task.test["images"]), 5)
    lines = captions.describe(task, found)
    assert len(lines) == 8 and all(isinstance(line, str) for line in lines)


def test_follow_is_the_search_s_own_attention(task, soft):
    found = Decoder(soft).greedy(captions.unit(task.test["images"]), 5)
    lines = captions.describe(task, found)
    for (weights, gates), one in zip(
        captions.follow(soft, task, lines), found, strict=True
    ):
        count = len(one.tokens)
        assert weights.shape == (count, 49) and gates.shape == (count,)
        np.testing.assert_allclose(weights, one.weights[:count], atol=1e-5)


def test_places_are_drawn_by_their_weights(task, drawer):
    found = drawer.draw(task, 3, 400, seed=1)
    lines = [several[0].split() for several in task.test["captions"][:3]]
    assert found["words"].tolist() == [len(line) + 1 for line in lines]
    assert found["rewards"].shape == (3, 400)
    places, weights = found["places"], found["weights"]
    for i, count in enumerate(found["words"]):
        np.testing.assert_array_equal(places[i, :, :count].sum(-1), 1)
        assert not places[i, :, count:].any()
        assert not weights[i, :, count:].any()
        # No draw lies before the first word: all have its weights.
        first = weights[i, 0, 0]
        np.testing.assert_allclose(weights[i, :, 0] - first, 0, atol=1e-6)
        seen = places[i, :, 0].mean(axis=0)
        error = np.sqrt(first * (1 - first) / 400)
        assert (np.abs(seen - first) < 5 * error).all()


def test_rewards_are_the_captions_log_probabilities(task, hard, drawer):
    found = drawer.draw(task, 2, 3)
    words = text.pad(
        [task.vocabulary.encode(s[0]) for s in task.test["captions"][:2]]
    )
    before = np.pad(words, ((0, 0), (1, 0)), constant_values=text.START)
    for k in range(2):
        # Noise so strong that the same places are drawn again.
        noise = {"places": 1e4 * found["places"][:, k]}
        source = captions.unit(task.test["images"][:2])
        out = hard.force({"source": source, "target": before}, noise=noise)
        p = np.array(ops.log_softmax(out["logits"]))
        for i, count in enumerate(found["words"]):
            line = [*words[i, : count - 1], text.END]
            expected = p[i, np.arange(count), line].sum()
            assert found["rewards"][i, k] == pytest.approx(expected, rel=1e-4)


def test_draws_depend_on_their_seed(task, drawer):
    one, same, other = (
        drawer.draw(task, 2, 3, seed=seed)["places"] for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_policy_spread_is_the_closed_form():
    p, reward, b = np.array([0.2, 0.3, 0.5]), np.array([-1.0, -4, -2]), -2.5
    generator = np.random.default_rng(0)
    choice = generator.choice(3, size=(1, 40000), p=p)
    found = {
        "rewards": reward[choice],
        "places": np.eye(3)[choice][:, :, None],
        "weights": np.broadcast_to(p, (1, 40000, 1, 3)),
    }
    spread = captions.policy_spread(found, b)
    moves = np.eye(3) - p
    gradient = p * reward @ moves
    mean = p @ reward
    for name, baseline in (("none", 0), ("moving", b), ("own", mean)):
        second = p @ ((reward - baseline) ** 2 * (moves**2).sum(axis=1))
        expected = second - gradient @ gradient
        assert spread[name] == pytest.approx(expected, rel=0.03)
    assert spread["signal"] == pytest.approx(gradient @ gradient, rel=0.05)
    std = np.sqrt(p @ (reward - mean) ** 2)
    assert spread["between_draws"] == pytest.approx(std, rel=0.02)
    assert spread["between_captions"] == 0


def test_uniform_attention_finds_nothing_more_than_chance(task, tiny):
    model = captions.build(tiny, task, "soft", 10)
    weight = model.align.score_vector
    weight.assign(0 * weight)
    found = captions.localize(model, task, tiny.grid)
    np.testing.assert_allclose(found["mass"], found["chance"], rtol=1e-4)
    assert found["gain"] == pytest.approx(1, rel=1e-4)


def test_gates_are_sorted_by_word(task, soft):
    gates = captions.gate_by_word(soft, task)
    words = [w for ls in task.test["captions"] for w in ls[0].split()]
    assert {w: len(v) for w, v in gates.items()} == {
        w: words.count(w) for w in set(words)
    }
    means = captions.compare_gates(
        {"a": np.array([0.1, 0.3]), "red": np.array([0.9])}
    )
    assert means == pytest.approx({"function": 0.2, "content": 0.9})


def test_gradients_are_those_of_a_softmax():
    scores = np.array([2, 1, 0, -1], "float32")
    values = np.array([1, 3, -2, 0.5], "float32")

    def mean(scores, values):
        return ops.sum(ops.softmax(scores) * values)

    by_score, by_value = captions.gradients(mean, scores, values)
    p = np.exp(scores) / np.exp(scores).sum()
    np.testing.assert_allclose(by_value, p, atol=1e-6)
    np.testing.assert_allclose(by_score, p * (values - p @ values), atol=1e-6)


def test_gradient_of_what_lets_nothing_pass_is_zero():
    row = np.array([3.0, -1, 4, 1], "float32")

    def pixel(position):
        index = ops.cast(ops.floor(position), "int32")
        return ops.take(row, index) * 2.0

    (slope,) = captions.gradients(pixel, np.float32(2.3))
    assert slope.shape == () and slope == 0
    mixed = captions.gradients(
        lambda x, position: x * pixel(position), np.float32(1), np.float32(0.5)
    )
    np.testing.assert_allclose(mixed, [6, 0], atol=1e-6)


def test_claims_are_about_a_data_set_and_an_encoder():
    about = {
        captions.claims_about(profiles.load("05", profile, setting=setting))
        for profile, setting in (
            ("quick", None),
            ("paper", None),
            ("paper", "vgg19"),
        )
    }
    assert about == {"digit-scenes", "flickr8k", "flickr8k-vgg19"}


def test_what_is_told_beside_bleu_names_encoder_and_meteor():
    settings = profiles.load("05", "paper", setting="vgg19")
    told = captions.told_beside(settings, {"meteor": None})
    assert told == captions.ENCODERS["vgg19"]
    told = captions.told_beside(settings, {"meteor": 17.34})
    assert "VGG-19" in told and "17.3, which is not the papers'" in told
