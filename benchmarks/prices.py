"""What a part of a model costs: training with it beside training without."""

import time

import keras
import numpy as np
from harness import spread

from attnlib import timing
from attnlib.models.action_recognition import AttentionRecogniser
from attnlib.models.question_answering import (
    BagOfWordsImage,
    StackedAttentionNetwork,
)
from attnlib.models.semantic_attention import SemanticCaptioner


def semantic_attention(
    batch=64, words=12, size=3000, width=256, units=512, attributes=10
):
    """Return `(with_it, without)`: functions that make one update each.

    Notebook 15's decoder with 512 units, twice as many as in its paper profile,
    and words of width 256: with attention to attributes at input and output,
    its regulariser included, and without.
    """
    generator = np.random.default_rng(0)
    candidates = range(4, 4 + min(256, size - 4))
    source = generator.random((batch, units + len(candidates)), "float32")
    source[:, units:] *= (
        source[:, units:] >= np.sort(source[:, units:])[:, -attributes, None]
    )
    ids = generator.integers(4, size, (batch, words)).astype("int32")
    inputs = {"source": source, "target": ids}

    def update(attention):
        model = SemanticCaptioner(
            size,
            candidates,
            width,
            units,
            attributes,
            attention,
            penalty_weight=0.01,
        )
        model.build((None, source.shape[1]))
        model.compile(keras.optimizers.Adam(1e-3, global_clipnorm=1.0))
        return lambda: float(
            model.train_on_batch(inputs, ids, return_dict=True)["loss"]
        )

    return update("both"), update("none")


def actions(batch=16, steps=30, places=49, width=1024, units=512, layers=3):
    """Return `(with_it, without)`: functions that make one update each.

    The recogniser of notebook 12 at the paper's sizes, with attention to the
    places of every frame, its penalty included, and with their average.
    """
    generator = np.random.default_rng(0)
    features = generator.random((batch, steps, places, width), "float32")
    labels = generator.integers(0, 11, batch).astype("int32")

    def update(pooling, **options):
        model = AttentionRecogniser(11, units, layers, pooling, **options)
        model.build(features.shape)
        model.compile(keras.optimizers.Adam(1e-3))
        return lambda: float(
            model.train_on_batch(features, labels, return_dict=True)["loss"]
        )

    return update("attention", penalty_weight=1.0), update("average")


def questions(
    batch=32,
    words=9,
    size=40,
    answers=20,
    grid=4,
    width=64,
    units=64,
    attention_units=128,
):
    """Return `(with_it, without)`: functions that make one update each.

    SAN-2 of notebook 11 at the sizes of its quick profile, which reads the
    question by an LSTM and looks twice, and iBOWIMG, which adds up the words
    and the mean of the places; both on frozen features.
    """
    generator = np.random.default_rng(0)
    inputs = {
        "image": generator.random((batch, grid, grid, width), "float32"),
        "question": generator.integers(1, size, (batch, words)).astype("int32"),
    }
    labels = generator.integers(0, answers, batch).astype("int32")

    def update(network, **options):
        model = network(size, answers, units, **options)
        model.build({key: value.shape for key, value in inputs.items()})
        model.compile(keras.optimizers.Adam(1e-3, global_clipnorm=1.0))
        return lambda: float(
            model.train_on_batch(inputs, labels, return_dict=True)["loss"]
        )

    with_it = update(StackedAttentionNetwork, attention_units=attention_units)
    return with_it, update(BagOfWordsImage)


PRICES = {
    "semantic": (
        "update of a caption decoder with attention to attributes",
        semantic_attention,
    ),
    "actions": (
        "update of a recogniser of actions with attention to places",
        actions,
    ),
    "questions": (
        "update of a network that looks twice for an answer (SAN-2) beside one "
        "without attention (iBOWIMG)",
        questions,
    ),
}


def compare(
    case, rounds=5, clock=time.perf_counter, repeats=5, **sizes
) -> dict:
    """Time both in turns.

    Args:
        case: A key of `PRICES`.
        rounds: How often the ratio is measured.
        clock: Of `timing.interleaved_seconds`.
        repeats: Updates of each in a round.
        **sizes: Of the case's function.

    Returns:
        A dict with `name`, `backend`, the best `with_s` and `without_s` of one
        update, and the `ratio` with / without with its median, least and
        greatest value.
    """
    name, build = PRICES[case]
    with_it, without = build(**sizes)
    # Plain Python numbers: there is nothing to wait for.
    calls = {"with": (with_it,), "without": (without,)}
    times = [
        timing.interleaved_seconds(calls, repeats, 1, clock)
        for _ in range(rounds)
    ]
    return {
        "name": name,
        "backend": keras.config.backend(),
        "with_s": min(one["with"] for one in times),
        "without_s": min(one["without"] for one in times),
        "ratio": spread([one["with"] / one["without"] for one in times]),
    }
