"""One entry per public layer: what the battery needs to know about it."""

import dataclasses
from collections.abc import Callable

import numpy as np

from attnlib import layers


@dataclasses.dataclass(frozen=True)
class Case:
    """A layer with arguments and inputs that exercise all of it.

    Args:
        make: Returns a new layer; keywords are passed on (dtype, name).
        inputs: Returns the call's tensors, by argument name in call order,
            for a batch size; float32, masks excluded.
        outputs: Shapes of the outputs without the batch.
        weights: Names and shapes of the weights in the order of get_weights.
        free_axes: Per input, the axes that may be unknown in a graph.
        masked: Inputs whose `<name>_mask` the layer takes.
        convolutions: Whether the layer convolves (no empty batches then).
        detached: Whether no gradient passes to the first input.
    """

    make: Callable
    inputs: Callable
    outputs: tuple
    weights: tuple = ()
    free_axes: dict = dataclasses.field(default_factory=dict)
    masked: tuple = ()
    convolutions: bool = False
    detached: bool = False


def _random(*shape, seed):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


CASES = {
    "BahdanauAttention": Case(
        make=lambda **k: layers.BahdanauAttention(4, **k),
        inputs=lambda b: {
            "query": _random(b, 3, 5, seed=1),
            "memory": _random(b, 6, 7, seed=2),
        },
        outputs=((3, 7), (3, 6)),
        weights=(("W_a", (5, 4)), ("U_a", (7, 4)), ("v_a", (4,))),
        free_axes={"query": (1,), "memory": (1,)},
        masked=("memory",),
    ),
    "BahdanauAttention, one query": Case(
        make=lambda **k: layers.BahdanauAttention(
            4, score_initializer="ones", **k
        ),
        inputs=lambda b: {
            "query": _random(b, 5, seed=1),
            "memory": _random(b, 6, 7, seed=2),
        },
        outputs=((7,), (6,)),
        weights=(("W_a", (5, 4)), ("U_a", (7, 4)), ("v_a", (4,))),
        free_axes={"memory": (1,)},
        masked=("memory",),
    ),
    "GaussianWindow": Case(
        make=lambda **k: layers.GaussianWindow(3, **k),
        inputs=lambda b: {
            "state": _random(b, 5, seed=1),
            "kappa": np.abs(_random(b, 3, seed=2)),
            "text": 0.3 * _random(b, 6, 4, seed=3),
        },
        outputs=((4,), (7,), (3,)),
        weights=(("kernel", (5, 9)), ("bias", (9,))),
        free_axes={"text": (1,)},
        masked=("text",),
    ),
    "GlimpseSensor": Case(
        make=lambda **k: layers.GlimpseSensor(3, scales=2, **k),
        inputs=lambda b: {
            "images": _random(b, 9, 8, 2, seed=1),
            "locations": np.tanh(_random(b, 2, seed=2)),
        },
        outputs=((2, 3, 3, 2),),
    ),
    "LocationPolicy": Case(
        make=lambda **k: layers.LocationPolicy(4, std=0.2, **k),
        inputs=lambda b: {
            "state": _random(b, 5, seed=1),
            "noise": _random(b, 2, seed=2),
        },
        outputs=((2,), (), (2,)),
        weights=(
            ("kernel", (5, 4)),
            ("bias", (4,)),
            ("kernel", (4, 2)),
            ("bias", (2,)),
        ),
        detached=True,
    ),
}
