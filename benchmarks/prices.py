"""What a part of a model costs: training with it beside training without."""

import time

import keras
import numpy as np
from harness import spread

from attnlib import timing
from attnlib.models.semantic_attention import SemanticCaptioner


def semantic_attention(
    batch=64, words=12, size=3000, width=256, units=512, attributes=10
):
    """Return `(with_it, without)`: functions that make one update each.

    A decoder of the sizes of notebook 15's paper profile, with attention to
    attributes at input and output, its regulariser included, and without.
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


def compare(rounds=5, clock=time.perf_counter, repeats=5, **sizes) -> dict:
    """Time both in turns.

    Args:
        rounds: How often the ratio is measured.
        clock: Of `timing.interleaved_seconds`.
        repeats: Updates of each in a round.
        **sizes: Of `semantic_attention`.

    Returns:
        A dict with `name`, `backend`, the best `with_s` and `without_s` of one
        update, and the `ratio` with / without with its median, least and
        greatest value.
    """
    with_it, without = semantic_attention(**sizes)
    # Plain Python numbers: there is nothing to wait for.
    calls = {"with": (with_it,), "without": (without,)}
    times = [
        timing.interleaved_seconds(calls, repeats, 1, clock)
        for _ in range(rounds)
    ]
    return {
        "name": "update of a caption decoder with attention to attributes",
        "backend": keras.config.backend(),
        "with_s": min(one["with"] for one in times),
        "without_s": min(one["without"] for one in times),
        "ratio": spread([one["with"] / one["without"] for one in times]),
    }
