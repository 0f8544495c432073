"""Refining a saliency map in windows, beside the global map alone."""

import time

import numpy as np
from harness import beside_first

from attnlib.models.saliency_refiner import GlobalSaliency, SaliencyRefiner

COUNTS = 1, 3, 5, 9


def looks(side=96, size=32, filters=16, units=64, batch=50, halvings=3) -> dict:
    """Return, by the number of windows, a function that looks at a batch.

    The networks are those of notebook 13's quick profile; 0 windows are the
    global network alone.

    Args:
        side: Height and width of the images.
        size: Of what the networks see.
        filters: Width of the first convolution.
        units: Width of the recurrent layers.
        batch: Images that are looked at together.
        halvings: How often the networks halve what they see.
    """
    generator = np.random.default_rng(0)
    images = generator.random((batch, side, side, 3), "float32")
    overview = GlobalSaliency(size, filters, halvings)
    overview.build(images.shape)
    overview.compile()
    found = {0: lambda: overview.predict_on_batch(images)}
    for count in COUNTS:
        model = SaliencyRefiner(overview, count, units)
        model.build(images.shape)
        model.compile()
        found[count] = lambda model=model: model.predict_on_batch(images)
    return found


def compare(rounds=3, clock=time.perf_counter, steps=5, **sizes) -> dict:
    """Time global maps and maps refined in 1, 3, 5 and 9 windows in turns.

    Args:
        rounds: How often the ratios are measured.
        clock: Of `timing.interleaved_seconds`.
        steps: Batches of each in a round.
        **sizes: Of `looks`.

    Returns:
        A dict with `name`, `backend`, the best `seconds` of each number of
        windows, and the `ratios` to the global map alone, each with its
        median, least and greatest value.
    """
    return beside_first(
        "saliency, the global map and 1, 3, 5 and 9 windows",
        looks(**sizes),
        rounds,
        clock,
        steps,
    )
