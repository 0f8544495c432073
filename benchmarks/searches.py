"""Beam search of many sentences at a time, beside one after the other."""

import time

import keras
import numpy as np
from harness import spread

from attnlib import timing
from attnlib.models.decoding import Decoder
from attnlib.models.rnnsearch import RNNSearch


def sentences(count=100, size=8000, least=6, most=20) -> list:
    """Return sources of many lengths, lists of ids."""
    generator = np.random.default_rng(0)
    lengths = generator.integers(least, most + 1, count)
    return [generator.integers(4, size, n).tolist() for n in lengths]


def beam_search(
    count=100, size=8000, width=256, units=512, beam=12, longest=20
):
    """Return `(batched, one_by_one)`, functions that search all sentences.

    The model has the sizes of notebook 02's paper profile and is not trained,
    so nearly every search runs to the longest sentence.
    """
    model = RNNSearch(
        size,
        size,
        width,
        units // 2,
        units,
        readout_units=width,
        tied=True,
    )
    model.build()
    decoder, sources = Decoder(model), sentences(count, size)

    def batched():
        return decoder.beam(sources, beam, longest)

    def one_by_one():
        return [decoder.beam([source], beam, longest)[0] for source in sources]

    return batched, one_by_one


def compare(rounds=3, clock=time.perf_counter, **sizes) -> dict:
    """Time both ways in turns.

    Args:
        rounds: How often the ratio is measured.
        clock: Of `timing.interleaved_seconds`.
        **sizes: Of `beam_search`.

    Returns:
        A dict with `name`, `backend`, the best `batched_s` and `one_by_one_s`,
        and the `ratio` one by one / batched with its median, least and
        greatest value.

    Raises:
        ValueError: The two do not find the same sentences.
    """
    batched, one_by_one = beam_search(**sizes)
    found, other = batched(), one_by_one()  # Compiles.
    if not _same(found, other):
        raise ValueError(
            "expected the same sentences, however many are searched for at a "
            "time. Received: different ones"
        )
    # Plain Python objects: there is nothing to wait for.
    calls = {
        "batched": (lambda: bool(batched()),),
        "one_by_one": (lambda: bool(one_by_one()),),
    }
    times = [
        timing.interleaved_seconds(calls, 1, 0, clock) for _ in range(rounds)
    ]
    ratios = [one["one_by_one"] / one["batched"] for one in times]
    return {
        "name": f"beam search of {len(found)} sentences",
        "backend": keras.config.backend(),
        "batched_s": min(one["batched"] for one in times),
        "one_by_one_s": min(one["one_by_one"] for one in times),
        "ratio": spread(ratios),
    }


def _same(found, other):
    """Return whether the best sentences score alike, up to rounding."""
    return all(
        np.isclose(a[0].score, b[0].score, rtol=1e-3, atol=1e-3)
        for a, b in zip(found, other, strict=True)
    )
