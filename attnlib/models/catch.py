"""Catch: a game that a recurrent attention model learns by reward alone."""

import keras
import numpy as np
from keras import ops

from attnlib import losses
from attnlib.layers import GlimpseSensor
from attnlib.models.ram import sample_location
from attnlib.ops import checks
from attnlib.training import Batches, train_or_load

VERSION = 1  # Raised when trained results change.

PADDLE = 2  # Width of the paddle in pixels.
ACTIONS = ("left", "stay", "right")


def ball_columns(games, side):
    """Return where the ball is in every frame: it bounces off the walls.

    Args:
        games: Floating tensor, shape (B, 3), see `CatchAgent`.
        side: Side of the screen in pixels.

    Returns:
        Columns from 0, int32, shape (B, side). In frame t the ball is in row
        t.
    """
    last = side - 1
    start, speed = games[:, :1] * last, 2 * games[:, 1:2] - 1
    straight = start + speed * ops.arange(side, dtype="float32")
    folded = last - ops.abs(ops.mod(straight, 2 * last) - last)
    return ops.cast(ops.round(folded), "int32")


def draw_screens(side, row, ball, paddle):
    """Return binary screens, shape (B, side, side, 1).

    Args:
        side: Side of the screen in pixels.
        row: Row of the ball, an integer scalar.
        ball: Column of the ball, integers (B,).
        paddle: Column of the paddle's left pixel, integers (B,).
    """
    places = ops.arange(side, dtype="int32")
    fallen = ops.cast(places == row, "float32")[None, :, None]  # (1, H, 1)
    across = ops.cast(places[None] == ball[:, None], "float32")[:, None]
    bottom = ops.cast(places == side - 1, "float32")[None, :, None]
    offset = places[None] - paddle[:, None]
    covered = ops.logical_and(offset >= 0, offset < PADDLE)
    covered = ops.cast(covered, "float32")[:, None]  # (B, 1, W)
    screen = ops.maximum(fallen * across, bottom * covered)
    return screen[..., None]


@keras.saving.register_keras_serializable(package="attnlib")
class CatchAgent(keras.Model):
    """Play Catch through glimpses, learning from the reward alone.

    A ball of one pixel falls through a square screen, a row a frame, and
    bounces off the side walls. A paddle of two pixels on the bottom row moves
    a pixel to the left, to the right or not at all. Whoever catches the ball
    gets a reward of 1. Per frame t, before the ball lands:

    1. rho_t = sensor(screen, l_{t-1}), (B, scales, size, size, 1)
    2. g_t = ReLU(Lin(ReLU(Lin(rho_t))) + Lin(ReLU(Lin(l_{t-1})))), (B, units)
    3. h_t = LSTM(g_t, h_{t-1}), (B, units)
    4. a_t ~ softmax(Lin(h_t)), one of left, stay, right
    5. l_t ~ N(tanh(Lin(h_t)), location_std^2), clipped to the screen, (B, 2)

    Nothing says where the ball is or what a good gaze would be: everything
    but the baseline learns by REINFORCE from one number a game. The baseline
    reads the state and passes it no gradient.

    Args:
        side: Side of the screen in pixels, more than 2. A game has as many
            frames; T, one less, are seen before the ball lands.
        units: Width of the core, and twice that of the glimpse branches.
        glimpse_size: Width of the smallest window in pixels.
        scales: Windows per glimpse, each twice as wide as the last.
        location_std: Standard deviation of the location policy, in [-1, 1]
            coordinates.
        location_weight: Weight of the locations' term in the loss; the
            actions' has 1.
        seed: Seed of the locations and actions, or None.
        **kwargs: Of `keras.Model`.

    Call arguments:
        games: Floating tensor, shape (B, 3), from 0 to 1: where the ball
            starts in the top row, its speed (0 is a pixel to the left a
            frame, 1 a pixel to the right), where the paddle starts.
        noise: Floating tensor, shape (B, T, 5). Columns 0 and 1 are standard
            normal, but uniform in [-1, 1] in row 0, the first location; the
            other three are Gumbel noise for the actions. None draws it.

    Returns:
        A dict: `caught` (B,), 1 or 0; `locations` (B, T, 2) in (x, y);
        `actions` (B, T), int32 from 0 to 2; `ball` and `paddle` (B, side):
        columns in every frame; `action_log_prob` (B, T); `location_log_prob`
        (B, T - 1) of the locations after the first; `baseline` (B, T), the
        predicted reward.

    Raises:
        ValueError: An argument is out of range or an input of another shape.

    Example:

    >>> import numpy as np
    >>> from attnlib.models.catch import CatchAgent
    >>> agent = CatchAgent(units=8)
    >>> out = agent(np.full((2, 3), 0.5, "float32"))
    >>> tuple(out["locations"].shape), tuple(out["paddle"].shape)
    ((2, 23, 2), (2, 24))

    Reference:
        Mnih et al. 2014, arXiv:1406.6247, section 4.2. Differs from the paper
        in: tanh on the location's mean, Adam as optimiser, and choices that
        the paper leaves open: the ball's speed is uniform in +-1 pixel a
        frame, places of ball and paddle at the start are uniform.
    """

    def __init__(
        self,
        side=24,
        units=256,
        glimpse_size=6,
        scales=3,
        location_std=0.1,
        location_weight=1.0,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.side = checks.positive_integer("side", side)
        if side <= PADDLE:
            raise ValueError(
                f"expected a screen wider than the paddle of {PADDLE} pixels. "
                f"Received: side={side}"
            )
        self.units = checks.positive_integer("units", units)
        self.location_std = checks.positive_number("location_std", location_std)
        self.glimpse_size, self.scales = glimpse_size, scales
        self.location_weight, self.seed = location_weight, checks.seed(seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        # TensorFlow cannot compile the loop over frames with XLA.
        self.supports_jit = keras.config.backend() != "tensorflow"
        self._add_layers()
        self.caught = keras.metrics.Mean(name="caught")

    def _add_layers(self):
        units, half = self.units, max(1, self.units // 2)
        dense = keras.layers.Dense
        self.sensor = GlimpseSensor(self.glimpse_size, self.scales)
        self.flatten = keras.layers.Flatten()
        # Sums, not means: a ball of one pixel is as bright in each window.
        areas = 4.0 ** np.arange(self.scales, dtype="float32")
        self.areas = areas.reshape(1, -1, 1, 1, 1)
        self.what_hidden = dense(half, "relu", name="what_hidden")
        self.what = dense(units, name="what")
        self.where_hidden = dense(half, "relu", name="where_hidden")
        self.where = dense(units, name="where")
        self.core = keras.layers.LSTMCell(units, name="core")
        # Both policies start unbiased: all actions alike, gaze in the middle.
        start = keras.initializers.RandomNormal(stddev=1e-3)
        self.action = dense(
            len(ACTIONS), kernel_initializer=start, name="action"
        )
        self.locator = dense(
            2, "tanh", kernel_initializer=start, name="locator"
        )
        self.baseline = dense(1, name="baseline")

    def build(self, games_shape=None):
        half, units = self.what_hidden.units, self.units
        for layer, width in (
            (self.what_hidden, self.scales * self.glimpse_size**2),
            (self.what, half),
            (self.where_hidden, 2),
            (self.where, half),
            (self.core, units),
            (self.action, units),
            (self.locator, units),
            (self.baseline, units),
        ):
            layer.build((None, width))
        self.built = True

    def call(self, games, noise=None, training=None):
        games = checks.floating("games", games, "float32")
        checks.rank("games", games, 2)
        checks.same("last axis", games=games.shape[1], expected=3)
        batch = ops.shape(games)[0]
        if noise is None:
            noise = self.draw_noise(batch)
        elif tuple(noise.shape[1:]) != (self.side - 1, 5):
            raise ValueError(
                f"expected noise of shape (B, {self.side - 1}, 5). Received: "
                f"shape {tuple(noise.shape)}"
            )
        noise = ops.cast(noise, "float32")
        ball = ball_columns(games, self.side)
        paddle = ops.cast(ops.floor(games[:, 2] * (self.side - 1)), "int32")
        # A game of exactly 1 would start beside the screen.
        paddle = ops.clip(paddle, 0, self.side - PADDLE)
        empty = ops.zeros((batch, self.units), self.compute_dtype)
        nothing = ops.zeros((batch,), "float32")
        start = {
            "state": empty,
            "memory": empty,
            "location": noise[:, 0, :2],
            "paddle": paddle,
            "action": ops.zeros_like(paddle),
            "action_log_prob": nothing,
            "location_log_prob": nothing,
            "baseline": nothing,
        }
        # The noise for a frame is its action's and the next location's.
        ahead = ops.roll(noise[:, :, :2], -1, axis=1)
        frames = (
            ops.arange(self.side - 1, dtype="int32"),
            ops.transpose(ball[:, :-1]),
            ops.transpose(
                ops.concatenate([ahead, noise[:, :, 2:]], axis=-1), (1, 0, 2)
            ),
        )
        _, seen = ops.scan(self._frame, start, frames)
        return self._outcome(start, seen, ball)

    def _outcome(self, start, seen, ball):
        """Put a game's frames side by side and see who caught the ball."""

        def in_order(name):
            return ops.swapaxes(seen[name], 0, 1)

        paddle = ops.concatenate(
            [start["paddle"][:, None], in_order("paddle")], axis=1
        )
        offset = ball[:, -1] - paddle[:, -1]
        caught = ops.logical_and(offset >= 0, offset < PADDLE)
        chosen = in_order("location")[:, :-1]
        first = start["location"][:, None]
        return {
            "caught": ops.cast(caught, "float32"),
            "locations": ops.concatenate([first, chosen], axis=1),
            "actions": in_order("action"),
            "ball": ball,
            "paddle": paddle,
            "action_log_prob": in_order("action_log_prob"),
            # Nobody looks at the place that the last frame chose.
            "location_log_prob": in_order("location_log_prob")[:, :-1],
            "baseline": in_order("baseline"),
        }

    def _frame(self, carry, frame):
        """Play one frame. All that is to come out is in the carry."""
        row, ball, noise = frame
        screen = draw_screens(self.side, row, ball, carry["paddle"])
        location = ops.stop_gradient(carry["location"])
        glimpse = self.flatten(self.sensor(screen, location) * self.areas)
        what = self.what(self.what_hidden(glimpse))
        where = self.where(self.where_hidden(location))
        _, (state, memory) = self.core(
            ops.relu(what + where), [carry["state"], carry["memory"]]
        )
        action, action_log_prob = self.act(state, noise[:, 2:])
        location, location_log_prob = self.gaze(state, noise[:, :2])
        paddle = ops.clip(carry["paddle"] + action - 1, 0, self.side - PADDLE)
        baseline = self.baseline(ops.stop_gradient(state))[:, 0]
        carry = {
            "state": state,
            "memory": memory,
            "location": location,
            "paddle": paddle,
            "action": action,
            "action_log_prob": action_log_prob,
            "location_log_prob": location_log_prob,
            "baseline": ops.cast(baseline, "float32"),
        }
        return carry, carry

    def act(self, state, noise):
        """Choose actions (B,) for states (B, units); Gumbel noise (B, 3)."""
        logits = ops.cast(self.action(state), "float32")
        action = ops.argmax(ops.stop_gradient(logits) + noise, axis=-1)
        action = ops.cast(action, "int32")
        chosen = ops.one_hot(action, len(ACTIONS))
        return action, ops.sum(ops.log_softmax(logits) * chosen, axis=-1)

    def gaze(self, state, noise):
        """Choose the next locations (B, 2) for states (B, units)."""
        mean = ops.cast(self.locator(state), "float32")
        return sample_location(mean, noise, self.location_std)

    def draw_noise(self, batch):
        """Return the random numbers of a call, shape (batch, T, 5)."""
        first = keras.random.uniform(
            (batch, 1, 2), -1.0, 1.0, seed=self.seed_generator
        )
        others = keras.random.normal(
            (batch, self.side - 2, 2), seed=self.seed_generator
        )
        # Not from 0: its logarithm has none.
        level = keras.random.uniform(
            (batch, self.side - 1, len(ACTIONS)),
            1e-7,
            1.0,
            seed=self.seed_generator,
        )
        gumbel = -ops.log(-ops.log(level) + 1e-20)
        places = ops.concatenate([first, others], axis=1)
        return ops.concatenate([places, gumbel], axis=-1)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Return REINFORCE of actions and gaze + baseline regression."""
        reward = y_pred["caught"]
        self.caught.update_state(reward)
        baseline = y_pred["baseline"]
        acting = losses.reinforce_loss(
            y_pred["action_log_prob"], reward, baseline
        )
        gazing = losses.reinforce_loss(
            y_pred["location_log_prob"], reward, baseline[:, :-1]
        )
        regression = ops.mean(ops.square(baseline - reward[:, None]))
        policy = ops.mean(acting + self.location_weight * gazing)
        return policy + regression

    def get_config(self):
        return {
            **super().get_config(),
            "side": self.side,
            "units": self.units,
            "glimpse_size": self.glimpse_size,
            "scales": self.scales,
            "location_std": self.location_std,
            "location_weight": self.location_weight,
            "seed": self.seed,
        }


_CONFIG = (
    "side scales units location_std batch_size learning_rate clip_norm"
).split()


def new_agent(settings):
    """Return a compiled agent that has learned nothing.

    Args:
        settings: A `profiles.RecurrentGlimpses`; what begins with `catch_`
            counts.
    """
    agent = CatchAgent(
        side=settings.catch_side,
        units=settings.catch_units,
        scales=settings.catch_scales,
        location_std=settings.catch_location_std,
        # The gaze's term is noisier than the actions', by 1 / std.
        location_weight=0.02,
        seed=settings.seed,
    )
    agent.build((None, 3))
    optimizer = keras.optimizers.Adam(
        settings.catch_learning_rate,
        clipnorm=settings.catch_clip_norm or None,
    )
    agent.compile(optimizer=optimizer)
    return agent


def train(settings):
    """Train an agent, or load the one that was trained.

    Every batch is of new games; an epoch is 50 batches.

    Args:
        settings: A `profiles.RecurrentGlimpses`; what begins with `catch_`
            counts.

    Returns:
        An `attnlib.training.Training` whose history has `caught`, the share
        of balls caught while training.
    """
    size = 50 * settings.catch_batch_size
    empty = np.zeros((size, 3), "float32"), np.zeros(size, "float32")
    return train_or_load(
        lambda: new_agent(settings),
        Batches([empty], settings.catch_batch_size, settings.seed, _new_games),
        name="catch",
        config={key: getattr(settings, f"catch_{key}") for key in _CONFIG},
        epochs=settings.catch_epochs,
        data_digest="games drawn from the seed",
        seed=settings.seed,
        version=VERSION,
    )


def _new_games(games, nothing, generator):
    return generator.random(games.shape, "float32"), nothing


def evaluate(agent, games=2000, seed=0):
    """Let an agent play games that it has not seen.

    Args:
        agent: A `CatchAgent`; gaze and actions are sampled as in training.
        games: Number of games.
        seed: Seed of games, gaze and actions.

    Returns:
        A dict: `catch_rate` in percent; `distance` (T,), pixels between gaze
        and ball in every frame, averaged over the games; `unrelated` (T,),
        the same with the ball of another game; and of every game `locations`
        (N, T, 2), `ball` (N, side), `paddle` (N, side) and `caught` (N,).

    Raises:
        ValueError: `games` is no integer of at least 1.
    """
    count = checks.positive_integer("games", games)
    generator = np.random.default_rng(seed)
    starts = generator.random((count, 3), "float32")
    noise = generator.normal(size=(count, agent.side - 1, 5))
    noise[:, 0, :2] = generator.uniform(-1, 1, (count, 2))
    noise[..., 2:] = generator.gumbel(size=noise[..., 2:].shape)
    out = agent(
        ops.convert_to_tensor(starts),
        noise=ops.convert_to_tensor(noise.astype("float32")),
    )
    names = ("locations", "ball", "paddle", "caught")
    found = {name: ops.convert_to_numpy(out[name]) for name in names}
    gaze = ((found["locations"] + 1) * agent.side - 1) / 2  # In pixels.
    rows = np.arange(agent.side - 1)

    def apart(columns):
        gap = np.stack([columns[:, :-1], np.broadcast_to(rows, gaze.shape[:2])])
        return np.hypot(*(np.moveaxis(gaze, -1, 0) - gap)).mean(axis=0)

    return {
        **found,
        "catch_rate": float(100 * found["caught"].mean()),
        "distance": apart(found["ball"]),
        "unrelated": apart(np.roll(found["ball"], 1, axis=0)),
    }


def screens_of(found, game, side):
    """Return the frames of one game of `evaluate`, (side, side, side).

    Args:
        found: What `evaluate` returns.
        game: Number of the game.
        side: Side of the screen in pixels.
    """
    frames = [
        draw_screens(
            side,
            ops.convert_to_tensor(row, "int32"),
            ops.convert_to_tensor(found["ball"][[game], row]),
            ops.convert_to_tensor(found["paddle"][[game], row]),
        )
        for row in range(side)
    ]
    return ops.convert_to_numpy(ops.concatenate(frames, axis=0))[..., 0]
