"""One entry per public layer: what the battery needs to know about it."""

import dataclasses
from collections.abc import Callable

import keras
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
        aligned: Per masked input, others with one column per entry of it.
        convolutions: Whether the layer convolves (no empty batches then).
        detached: Whether no gradient passes to the first input.
    """

    make: Callable
    inputs: Callable
    outputs: tuple
    weights: tuple = ()
    free_axes: dict = dataclasses.field(default_factory=dict)
    masked: tuple = ()
    aligned: dict = dataclasses.field(default_factory=dict)
    convolutions: bool = False
    detached: bool = False


def _random(*shape, seed):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


_SOFT_WEIGHTS = (
    ("W_h", (5, 4)),
    ("W_a", (7, 4)),
    ("b_a", (4,)),
    ("v_a", (4,)),
    ("w_beta", (5, 1)),
    ("b_beta", (1,)),
)

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
    "HardAttention": Case(
        make=lambda **k: layers.HardAttention(4, **k),
        inputs=lambda b: {
            "state": _random(b, 5, seed=1),
            "annotations": _random(b, 6, 7, seed=2),
            "noise": _random(b, 6, seed=3),
        },
        outputs=((7,), (6,), (6,)),
        weights=_SOFT_WEIGHTS,
        free_axes={"annotations": (1,), "noise": (1,)},
        masked=("annotations",),
        aligned={"annotations": ("noise",)},
    ),
    "InputAttention": Case(
        make=lambda **k: layers.InputAttention(4, **k),
        inputs=lambda b: {
            "query": _random(b, 5, seed=1),
            "attributes": _random(b, 6, 5, seed=2),
        },
        outputs=((4,), (6,)),
        weights=(("U", (5, 5)), ("w", (5,)), ("W", (5, 4))),
        free_axes={"attributes": (1,)},
        masked=("attributes",),
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
    "ReadAttention": Case(
        make=lambda **k: layers.ReadAttention(3, **k),
        inputs=lambda b: {
            "images": _random(b, 6, 9, 2, seed=1),
            "state": 0.5 * _random(b, 5, seed=2),
        },
        outputs=((3, 3, 2),),
        weights=(("kernel", (5, 5)), ("bias", (5,))),
    ),
    "SpatialCrop": Case(
        make=lambda **k: layers.SpatialCrop((3, 4), initial_scale=0.5, **k),
        inputs=lambda b: {
            "images": _random(b, 6, 9, 2, seed=1),
            "state": _random(b, 5, seed=2),
        },
        outputs=((3, 4, 2), (2, 3)),
        weights=(("kernel", (5, 3)), ("bias", (3,))),
        free_axes={"images": (1, 2)},
    ),
    "SpatialPaste": Case(
        make=lambda **k: layers.SpatialPaste((6, 9), **k),
        inputs=lambda b: {
            "patches": _random(b, 3, 4, 2, seed=1),
            "theta": np.float32([[0.6, 0, 0.2], [0, 0.7, 0]])
            + 0.1 * _random(b, 2, 3, seed=2),
        },
        outputs=((6, 9, 2),),
        free_axes={"patches": (1, 2)},
    ),
    "SpatialTransformer": Case(
        make=lambda **k: layers.SpatialTransformer(
            keras.layers.Flatten(name="features"), **k
        ),
        inputs=lambda b: {"images": _random(b, 6, 5, 2, seed=1)},
        outputs=((6, 5, 2),),
        weights=(("kernel", (60, 6)), ("bias", (6,))),
    ),
    "SpatialTransformer, attention": Case(
        make=lambda **k: layers.SpatialTransformer(
            keras.layers.GlobalAveragePooling2D(name="features"),
            "attention",
            output_size=(3, 4),
            padding="border",
            **k,
        ),
        inputs=lambda b: {"images": _random(b, 6, 5, 2, seed=1)},
        outputs=((3, 4, 2),),
        weights=(("kernel", (2, 3)), ("bias", (3,))),
        free_axes={"images": (1, 2)},
    ),
    "SpatialTransformer, projective": Case(
        make=lambda **k: layers.SpatialTransformer(
            keras.layers.Flatten(name="features"),
            "projective",
            align_corners=True,
            **k,
        ),
        inputs=lambda b: {"images": _random(b, 4, 5, 1, seed=1)},
        outputs=((4, 5, 1),),
        weights=(("kernel", (20, 8)), ("bias", (8,))),
    ),
    "SpatialTransformer, tps": Case(
        make=lambda **k: layers.SpatialTransformer(
            keras.layers.AveragePooling2D(2, name="features"),
            "tps",
            control_points=3,
            **k,
        ),
        inputs=lambda b: {"images": _random(b, 6, 4, 3, seed=1)},
        outputs=((6, 4, 3),),
        weights=(("kernel", (18, 18)), ("bias", (18,))),
        convolutions=True,
    ),
    "WriteAttention": Case(
        make=lambda **k: layers.WriteAttention(3, (6, 5, 2), **k),
        inputs=lambda b: {"state": 0.5 * _random(b, 4, seed=2)},
        outputs=((6, 5, 2),),
        weights=(
            ("kernel", (4, 5)),
            ("bias", (5,)),
            ("kernel", (4, 18)),
            ("bias", (18,)),
        ),
    ),
    "OutputAttention": Case(
        make=lambda **k: layers.OutputAttention(4, **k),
        inputs=lambda b: {
            "query": _random(b, 5, seed=1),
            "attributes": _random(b, 6, 5, seed=2),
        },
        outputs=((4,), (6,)),
        weights=(("V", (5, 5)), ("w", (5,)), ("W", (5, 4))),
        free_axes={"attributes": (1,)},
        masked=("attributes",),
    ),
    "OutputAttention, other widths": Case(
        make=lambda **k: layers.OutputAttention(4, activation="relu", **k),
        inputs=lambda b: {
            "query": _random(b, 3, seed=1),
            "attributes": _random(b, 6, 5, seed=2),
        },
        outputs=((4,), (6,)),
        weights=(("V", (3, 5)), ("P", (5, 3)), ("W", (3, 4))),
        free_axes={"attributes": (1,)},
        masked=("attributes",),
    ),
    "ScaleAttention": Case(
        make=lambda **k: layers.ScaleAttention(4, **k),
        inputs=lambda b: {
            "score_maps": _random(b, 3, 4, 5, 2, seed=1),
            "features": _random(b, 4, 5, 6, seed=2),
        },
        outputs=((4, 5, 2), (3, 4, 5)),
        weights=(
            ("kernel", (3, 3, 6, 4)),
            ("bias", (4,)),
            ("kernel", (1, 1, 4, 3)),
            ("bias", (3,)),
        ),
        free_axes={"score_maps": (2, 3), "features": (1, 2)},
        convolutions=True,
    ),
    "SoftAttention": Case(
        make=lambda **k: layers.SoftAttention(4, **k),
        inputs=lambda b: {
            "state": _random(b, 5, seed=1),
            "annotations": _random(b, 6, 7, seed=2),
        },
        outputs=((7,), (6,)),
        weights=_SOFT_WEIGHTS,
        free_axes={"annotations": (1,)},
        masked=("annotations",),
    ),
    "SoftAttention, no gate": Case(
        make=lambda **k: layers.SoftAttention(4, gated=False, **k),
        inputs=lambda b: {
            "state": _random(b, 5, seed=1),
            "annotations": _random(b, 6, 7, seed=2),
        },
        outputs=((7,), (6,)),
        weights=_SOFT_WEIGHTS[:4],
        free_axes={"annotations": (1,)},
        masked=("annotations",),
    ),
    "StackedAttention": Case(
        make=lambda **k: layers.StackedAttention(4, hops=2, **k),
        inputs=lambda b: {
            "question": _random(b, 5, seed=1),
            "annotations": _random(b, 6, 7, seed=2),
        },
        outputs=((5,), (2, 6)),
        weights=(
            ("W_I", (7, 5)),
            ("b_I", (5,)),
            ("W_IA_1", (5, 4)),
            ("W_QA_1", (5, 4)),
            ("b_A_1", (4,)),
            ("w_P_1", (4,)),
            ("W_IA_2", (5, 4)),
            ("W_QA_2", (5, 4)),
            ("b_A_2", (4,)),
            ("w_P_2", (4,)),
        ),
        free_axes={"annotations": (1,)},
        masked=("annotations",),
    ),
    "WordRegionAttention": Case(
        make=lambda **k: layers.WordRegionAttention(hops=2, **k),
        inputs=lambda b: {
            "words": _random(b, 4, 5, seed=1),
            "annotations": _random(b, 6, 7, seed=2),
        },
        outputs=((5,), (2, 6)),
        weights=(
            ("W_A", (7, 5)),
            ("b_A", (5,)),
            ("W_E_1", (7, 5)),
            ("b_E_1", (5,)),
            ("W_E_2", (7, 5)),
            ("b_E_2", (5,)),
        ),
        free_axes={"words": (1,), "annotations": (1,)},
        masked=("words", "annotations"),
    ),
}
