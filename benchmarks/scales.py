"""An update of the segmentation network at one, two and three scales."""

import time

import keras
import numpy as np
from harness import beside_first

from attnlib.models.scale_segmentation import ScaleSegmentation, build_network
from attnlib.models.segmentation import SCALES


def updates(side=64, filters=16, batch=16, classes=5, units=16) -> dict:
    """Return, by the number of scales, a function that does one update.

    The networks are those of notebook 14's quick profile, with attention and
    extra supervision.

    Args:
        side: Height and width of the images.
        filters: Width of the first convolution.
        batch: Images in a batch.
        classes: Number of classes.
        units: Filters that score the scales.
    """
    generator = np.random.default_rng(0)
    x = generator.random((batch, side, side, 3), "float32")
    y = generator.integers(0, classes, (batch, side, side)).astype("int32")
    found = {}
    for count, scales in SCALES.items():
        network = build_network(filters, 2, (2,))
        model = ScaleSegmentation(classes, scales, network=network, units=units)
        model.build((None, side, side, 3))
        model.compile(optimizer=keras.optimizers.Adam(1e-3))
        found[count] = lambda model=model: model.train_on_batch(x, y)[0]
    return found


def compare(rounds=3, clock=time.perf_counter, steps=5, **sizes) -> dict:
    """Time updates at one, two and three scales in turns.

    Args:
        rounds: How often the ratios are measured.
        clock: Of `timing.interleaved_seconds`.
        steps: Updates of each in a round.
        **sizes: Of `updates`.

    Returns:
        A dict with `name`, `backend`, the best `seconds` of each number of
        scales, and the `ratios` to a single scale, each with its median, least
        and greatest value, and `pixels`, the ratio of what the network sees.
    """
    found = beside_first(
        "segmentation, updates at 1, 2 and 3 scales",
        updates(**sizes),
        rounds,
        clock,
        steps,
    )
    pixels = {n: sum(s**2 for s in SCALES[n]) for n in found["ratios"]}
    return {**found, "pixels": pixels}
