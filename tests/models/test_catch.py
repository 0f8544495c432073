"""Catch: its rules, the agent's gradients, and that it can be learned."""

import keras
import numpy as np
import pytest
from numerics import to_numpy, variable_gradients

from attnlib import profiles
from attnlib.models import catch
from attnlib.models.catch import CatchAgent, ball_columns, draw_screens

SIDE = 8


def make(**options):
    options = {
        "side": SIDE,
        "units": 8,
        "glimpse_size": 4,
        "scales": 2,
        "seed": 1,
        **options,
    }
    agent = CatchAgent(**options)
    agent.build((None, 3))
    return agent


def example(agent, batch=5, seed=0):
    """Return games and the noise of a call."""
    generator = np.random.default_rng(seed)
    noise = generator.normal(size=(batch, agent.side - 1, 5))
    noise[:, 0, :2] = generator.uniform(-1, 1, (batch, 2))
    noise[..., 2:] = generator.gumbel(size=noise[..., 2:].shape)
    games = generator.random((batch, 3), "float32")
    return games, noise.astype("float32")


# The game.


def test_the_ball_falls_straight_and_bounces_off_the_walls():
    games = np.array(
        [[0.0, 0.5, 0], [0.0, 1.0, 0], [1.0, 1.0, 0], [0.0, 0.0, 0]], "float32"
    )
    found = to_numpy(ball_columns(games, 5)).tolist()
    assert found == [
        [0, 0, 0, 0, 0],
        [0, 1, 2, 3, 4],
        [4, 3, 2, 1, 0],
        [0, 1, 2, 3, 4],
    ]


def test_the_ball_is_where_a_step_by_step_simulation_has_it():
    games = np.random.default_rng(0).random((200, 3), "float32")
    found = to_numpy(ball_columns(games, 24))
    place = games[:, 0].astype("float64") * 23
    speed = 2 * games[:, 1].astype("float64") - 1
    for frame in range(24):
        assert np.abs(found[:, frame] - place).max() <= 0.5 + 1e-4
        place = place + speed
        out = (place < 0) | (place > 23)
        speed = np.where(out, -speed, speed)
        place = np.where(place < 0, -place, place)
        place = np.where(place > 23, 46 - place, place)


def test_a_screen_shows_ball_and_paddle():
    ball, paddle = np.array([0, 2], "int32"), np.array([3, 1], "int32")
    row = np.array(1, "int32")
    screens = to_numpy(draw_screens(5, row, ball, paddle))[..., 0]
    expected = np.zeros((2, 5, 5))
    expected[[0, 1], 1, [0, 2]] = 1
    expected[0, 4, 3:5] = expected[1, 4, 1:3] = 1
    np.testing.assert_array_equal(screens, expected)


def test_actions_move_the_paddle_and_the_last_frame_decides():
    agent = make()
    games, noise = example(agent, batch=64)
    out = to_numpy(agent(games, noise=noise))
    moves = out["actions"] - 1
    paddle = np.floor(games[:, 2] * (SIDE - 1)).astype(int)
    for frame in range(SIDE - 1):
        np.testing.assert_array_equal(out["paddle"][:, frame], paddle)
        paddle = np.clip(paddle + moves[:, frame], 0, SIDE - 2)
    np.testing.assert_array_equal(out["paddle"][:, -1], paddle)
    offset = out["ball"][:, -1] - paddle
    np.testing.assert_array_equal(out["caught"], (offset == 0) | (offset == 1))
    assert 0 < out["caught"].mean() < 1


def test_an_oracle_catches_every_ball():
    """Whoever knows where the ball will land can always get there."""
    games = np.random.default_rng(0).random((500, 3), "float32")
    landing = to_numpy(ball_columns(games, 24))[:, -1]
    paddle = np.floor(games[:, 2] * 23).astype(int)
    for _ in range(23):
        step = np.sign(np.clip(landing - paddle, -1, 1) - (landing > paddle))
        step = np.where(landing - paddle > 1, 1, np.minimum(step, 0))
        paddle = np.clip(paddle + step, 0, 22)
    assert np.isin(landing - paddle, (0, 1)).all()


# The agent, in NumPy float64.


def relu(x):
    return np.maximum(x, 0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def weights(layer):
    return [to_numpy(v.value).astype("float64") for v in layer.weights]


def linear(layer, x):
    kernel, bias = weights(layer)
    return x @ kernel + bias


def sense(screen, location, size, scales):
    side = len(screen)
    centre = ((location + 1) * side - 1) / 2
    seen = []
    for k in range(scales):
        wide = size * 2**k
        left, top = np.rint(centre - (wide - 1) / 2).astype(int)
        window = np.pad(screen, wide)[top + wide :, left + wide :]
        window = window[:wide, :wide].reshape(size, 2**k, size, 2**k)
        seen.append(window.sum(axis=(1, 3)).ravel())
    return np.concatenate(seen)


def play(agent, games, noise):
    """Play one game frame by frame and return what the agent returns."""
    side, noise = agent.side, noise.astype("float64")
    ball = to_numpy(ball_columns(games[None], side))[0]
    paddle = int(games[2] * (side - 1))
    state = memory = np.zeros(agent.units)
    location, found = noise[0, :2], []
    for frame in range(side - 1):
        screen = np.zeros((side, side))
        screen[frame, ball[frame]] = screen[-1, paddle : paddle + 2] = 1
        rho = sense(screen, location, agent.glimpse_size, agent.scales)
        what = linear(agent.what, relu(linear(agent.what_hidden, rho)))
        where = linear(agent.where, relu(linear(agent.where_hidden, location)))
        kernel, recurrent, bias = weights(agent.core)
        gates = relu(what + where) @ kernel + state @ recurrent + bias
        i, f, c, o = np.split(gates, 4)
        memory = sigmoid(f) * memory + sigmoid(i) * np.tanh(c)
        state = sigmoid(o) * np.tanh(memory)
        logits = linear(agent.action, state)
        action = int(np.argmax(logits + noise[frame, 2:]))
        log_prob = logits[action] - np.log(np.exp(logits).sum())
        found.append(
            (location, action, log_prob, linear(agent.baseline, state))
        )
        paddle = int(np.clip(paddle + action - 1, 0, side - 2))
        if frame < side - 2:
            mean = np.tanh(linear(agent.locator, state))
            location = mean + agent.location_std * noise[frame + 1, :2]
            location = np.clip(location, -1, 1)
    locations, actions, log_prob, baseline = zip(*found, strict=True)
    return {
        "locations": np.stack(locations),
        "actions": np.array(actions),
        "action_log_prob": np.array(log_prob),
        "location_log_prob": -0.5 * np.sum(noise[1:, :2] ** 2, axis=-1),
        "baseline": np.concatenate(baseline),
        "caught": float(0 <= ball[-1] - paddle <= 1),
    }


def test_a_whole_game_is_the_equations():
    agent = make()
    # Larger weights, so that states and policies differ between frames.
    for layer in (agent.action, agent.locator):
        layer.kernel.assign(layer.kernel * 500)
    games, noise = example(agent)
    out = to_numpy(agent(games, noise=noise))
    for index in range(len(games)):
        expected = play(agent, games[index], noise[index])
        for name, value in expected.items():
            np.testing.assert_allclose(
                out[name][index], value, atol=1e-4, err_msg=name
            )


# What learns from what.


def gradients(agent, games, noise):
    def loss():
        out = agent(games, noise=noise)
        return agent.compute_loss(None, None, out)

    found = variable_gradients(loss, agent.trainable_weights)
    return {p: to_numpy(g) for p, g in found.items() if g is not None}


def test_reward_reaches_every_part():
    agent = make()
    found = gradients(agent, *example(agent, batch=32))
    assert len(found) == len(agent.trainable_weights)
    for path, gradient in found.items():
        assert np.any(gradient), path


def test_the_baseline_learns_by_regression_and_passes_nothing_on():
    agent = make()
    games, noise = example(agent, batch=32)
    out = to_numpy(agent(games, noise=noise))
    found = gradients(agent, games, noise)
    (bias,) = (
        g for p, g in found.items() if "baseline" in p and p.endswith("bias")
    )
    wanted = 2 * np.mean(out["baseline"] - out["caught"][:, None])
    np.testing.assert_allclose(bias, [wanted], rtol=1e-4)
    # A reward that is always expected teaches nothing but the baseline.
    agent.baseline.kernel.assign(0 * agent.baseline.kernel)
    won = games[out["caught"] == 1]
    agent.baseline.bias.assign(np.ones(1, "float32"))
    found = gradients(agent, won, noise[out["caught"] == 1])
    for path, gradient in found.items():
        np.testing.assert_allclose(gradient, 0, atol=1e-6, err_msg=path)


def test_the_action_s_gradient_is_the_policy_gradient():
    agent = make(location_weight=0.0)
    games, noise = example(agent, batch=32)
    out = to_numpy(agent(games, noise=noise))
    found = gradients(agent, games, noise)
    (bias,) = (
        g for p, g in found.items() if "action" in p and p.endswith("bias")
    )
    advantage = out["caught"][:, None] - out["baseline"]
    chosen = np.eye(3)[out["actions"]]
    # Logits start at almost 0: all actions are equally likely.
    score = chosen - 1 / 3
    wanted = -(advantage[..., None] * score).sum(axis=1).mean(axis=0)
    np.testing.assert_allclose(bias, wanted, atol=2e-3)


def test_drawn_noise_has_its_distributions():
    noise = to_numpy(make(side=24).draw_noise(500))
    assert noise.shape == (500, 23, 5) and np.isfinite(noise).all()
    assert np.abs(noise[:, 0, :2]).max() <= 1
    assert noise[:, 1:, :2].std() == pytest.approx(1, abs=0.03)
    assert noise[..., 2:].mean() == pytest.approx(0.5772, abs=0.03)


def test_it_learns_a_small_game_by_reward_alone():
    """Three columns, a paddle of two: chance is about two thirds."""
    keras.utils.set_random_seed(0)
    agent = make(side=4, units=16, location_weight=0.02)
    agent.compile(optimizer=keras.optimizers.Adam(5e-3))
    games = np.random.default_rng(0).random((6400, 3), "float32")
    nothing = np.zeros(len(games), "float32")
    logs = agent.fit(games, nothing, batch_size=64, epochs=2, verbose=0)
    caught = logs.history["caught"]
    assert caught[-1] > 0.62 and caught[-1] > caught[0] + 0.05


def test_an_agent_is_trained_on_new_games_and_loaded(monkeypatch, tmp_path):
    monkeypatch.setenv("ATTNLIB_HEADLESS", "1")
    monkeypatch.setenv("ATTNLIB_CACHE", str(tmp_path))
    given = profiles.load(
        "06",
        "smoke",
        catch_side=4,
        catch_units=4,
        catch_batch_size=4,
        catch_epochs=1,
    )
    trained = catch.train(given)
    assert set(trained.history) == {"caught", "loss"}
    again = catch.train(given)
    assert again.loaded and not trained.loaded
    for one, two in zip(
        trained.model.weights, again.model.weights, strict=True
    ):
        np.testing.assert_array_equal(to_numpy(one.value), to_numpy(two.value))
    games = np.zeros((4, 3), "float32")
    drawn = [
        catch._new_games(games, None, np.random.default_rng(i))[0]
        for i in (0, 1)
    ]
    assert np.any(drawn[0] != drawn[1]) and drawn[0].dtype == "float32"


def test_the_distance_of_gaze_and_ball_is_in_pixels():
    agent = make()
    found = catch.evaluate(agent, games=40, seed=3)
    assert found["catch_rate"] == pytest.approx(100 * found["caught"].mean())
    expected = np.zeros(SIDE - 1)
    for frame in range(SIDE - 1):
        gaze = ((found["locations"][:, frame] + 1) * SIDE - 1) / 2
        ball = np.stack([found["ball"][:, frame], np.full(40, frame)], axis=1)
        expected[frame] = np.linalg.norm(gaze - ball, axis=1).mean()
    np.testing.assert_allclose(found["distance"], expected, rtol=1e-4)
    assert np.any(found["distance"] != found["unrelated"])
    again = catch.evaluate(agent, games=40, seed=3)
    np.testing.assert_array_equal(found["locations"], again["locations"])
    with pytest.raises(ValueError, match="games to be an integer.*0"):
        catch.evaluate(agent, games=0)


def test_a_film_shows_the_game_that_was_played():
    agent = make()
    found = catch.evaluate(agent, games=5)
    film = catch.screens_of(found, 2, SIDE)
    assert film.shape == (SIDE, SIDE, SIDE)
    for frame in range(SIDE - 1):
        assert film[frame, frame, found["ball"][2, frame]] == 1
        left = found["paddle"][2, frame]
        assert film[frame, -1].sum() == 2 and film[frame, -1, left] == 1


def test_it_comes_back_from_its_config_and_its_file(tmp_path):
    agent = make()
    games, noise = example(agent)
    expected = to_numpy(agent(games, noise=noise))
    twin = CatchAgent.from_config(agent.get_config())
    assert twin.get_config() == agent.get_config()
    agent.save(tmp_path / "agent.keras")
    loaded = keras.models.load_model(tmp_path / "agent.keras")
    found = to_numpy(loaded(games, noise=noise))
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"side": 2}, "wider than the paddle of 2 pixels.*side=2"),
        ({"side": 0}, "side to be an integer of at least 1"),
        ({"units": 0}, "units"),
        ({"location_std": 0}, "location_std.*positive"),
        ({"scales": 0}, "scales"),
    ],
)
def test_a_bad_argument_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        CatchAgent(**options)


@pytest.mark.parametrize(
    ("games", "noise", "message"),
    [
        ((5, 2), None, "last axis.*2"),
        ((5,), None, "games to have rank 2"),
        ((5, 3), (5, 3, 5), r"\(B, 7, 5\).*\(5, 3, 5\)"),
    ],
)
def test_bad_input_is_named(games, noise, message):
    noise = None if noise is None else np.zeros(noise, "float32")
    with pytest.raises(ValueError, match=message):
        make()(np.zeros(games, "float32"), noise=noise)
