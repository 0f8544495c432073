"""Measure training throughput beside the matrix-product rate.

A shared machine is slow in one minute and fast in the next. So every round
measures both the model and a large matrix product, and what is reported is
their ratio: a figure that holds for this machine at this moment, and that can
be set beside a figure from another day.
"""

import dataclasses
import statistics
import time

import keras
import numpy as np
from keras import ops

from attnlib import timing

# The rate of the machine on which the peers were timed, GFLOP/s in float32.
PEER_RATE = 200.0


@dataclasses.dataclass(frozen=True)
class Case:
    """A training task of fixed size that somebody else has timed too.

    Attributes:
        name: What is trained.
        build: Function that returns a compiled model and one batch `(x, y)`.
        batch_size: Examples in the batch.
        macs: Multiply-adds of one example's forward pass.
        peer: Examples/s of the fastest peer at the same size.
        peer_name: Who that is.
        aim: Ratio to the peer that we want to reach.
    """

    name: str
    build: object
    batch_size: int
    macs: float
    peer: float
    peer_name: str
    aim: float


def matrix_rate(size=2048, repeats=5, clock=time.perf_counter) -> float:
    """Return the float32 matrix-product rate of the backend, GFLOP/s."""
    generator = np.random.default_rng(0)
    a, b = (
        ops.convert_to_tensor(generator.normal(size=(size, size)), "float32")
        for _ in range(2)
    )
    product = timing.compiled(ops.matmul)
    calls = {"product": (product, a, b)}
    seconds = timing.interleaved_seconds(calls, repeats, 1, clock)["product"]
    return 2 * size**3 / seconds / 1e9


class _StepTimes(keras.callbacks.Callback):
    def __init__(self, clock):
        super().__init__()
        self.clock = clock

    def on_epoch_begin(self, epoch, logs=None):
        self.began = self.clock()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds = self.clock() - self.began


def training_rate(
    model, batch, batch_size, steps, clock=time.perf_counter
) -> float:
    """Return examples/s of `steps` updates by `model.fit`."""
    x, y = batch

    def repeat(array):
        return np.concatenate([array] * steps)

    data = keras.tree.map_structure(repeat, x), repeat(y)
    times = _StepTimes(clock)
    model.fit(
        *data,
        batch_size=batch_size,
        shuffle=False,
        verbose=0,
        callbacks=[times],
    )
    return steps * batch_size / times.seconds


def measure(case, rounds=5, steps=20, clock=time.perf_counter) -> dict:
    """Time a case against the matrix product.

    Args:
        case: A `Case`.
        rounds: How often model and matrix product are timed in turn.
        steps: Updates in a round.
        clock: Of `timing.interleaved_seconds`.

    Returns:
        A dict with `examples_per_s` and `gflop_per_s` of the best round, and
        `ratio_to_peer` and `share_of_ceiling`, each with its median, least
        and greatest value over the rounds.
    """
    model, batch = case.build()
    training_rate(model, batch, case.batch_size, 3)  # Compiles.
    rows = []
    for _ in range(rounds):
        before = matrix_rate(clock=clock)
        examples = training_rate(model, batch, case.batch_size, steps, clock)
        rate = (before + matrix_rate(clock=clock)) / 2
        # Backward costs twice the forward pass; two operations per
        # multiply-add.
        ceiling = rate * 1e9 / (3 * 2 * case.macs)
        rows.append(
            {
                "examples_per_s": examples,
                "gflop_per_s": rate,
                "ratio_to_peer": examples / (case.peer * rate / PEER_RATE),
                "share_of_ceiling": examples / ceiling,
            }
        )
    best = max(rows, key=lambda row: row["examples_per_s"])
    result = {
        "name": case.name,
        "backend": keras.config.backend(),
        "parameters": model.count_params(),
        "macs": case.macs,
        "peer": case.peer_name,
        "peer_examples_per_s": case.peer,
        "aim": case.aim,
        "examples_per_s": best["examples_per_s"],
        "gflop_per_s": best["gflop_per_s"],
    }
    for key in ("ratio_to_peer", "share_of_ceiling"):
        result[key] = spread([row[key] for row in rows])
    return result


def beside_first(
    name, calls, rounds=3, clock=time.perf_counter, steps=5
) -> dict:
    """Time several functions in turns, as ratios to the first of them.

    Args:
        name: What is timed.
        calls: Dict from names to functions without arguments. Each is called
            once before, to compile.
        rounds: How often the ratios are measured.
        clock: Of `timing.interleaved_seconds`.
        steps: Calls of each in a round.

    Returns:
        A dict with `name`, `backend`, the best `seconds` of each function, and
        the `ratios` of all others to the first, each with its median, least
        and greatest value.
    """
    for call in calls.values():
        call()
    calls = {key: (call,) for key, call in calls.items()}
    times = [
        timing.interleaved_seconds(calls, steps, 0, clock)
        for _ in range(rounds)
    ]
    first, *others = calls
    return {
        "name": name,
        "backend": keras.config.backend(),
        "seconds": {key: min(one[key] for one in times) for key in calls},
        "ratios": {
            key: spread([one[key] / one[first] for one in times])
            for key in others
        },
    }


def spread(values) -> dict:
    """Return the median, least and greatest of some ratios."""
    return {
        "median": statistics.median(values),
        "least": min(values),
        "greatest": max(values),
    }
