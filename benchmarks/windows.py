"""An update with one, two and four windows beside one without any."""

import time

import keras
import numpy as np
from harness import beside_first
from keras import ops

from attnlib.models.parallel_transformers import ParallelTransformers

COUNTS = (0, 1, 2, 4)


class OneByOne(ParallelTransformers):
    """Reads windows one after the other, which gives the same logits."""

    def classify(self, crops, training=None):
        features = [
            self.reader(crops[:, n], training=training)
            for n in range(crops.shape[1])
        ]
        return self.classifier(ops.concatenate(features, axis=-1))


def updates(side=56, crop=20, filters=16, batch=32, classes=16) -> dict:
    """Return functions that do one update, by a name.

    The networks are those of notebook 10's quick profile: `"0"`, `"1"`, `"2"`
    and `"4"` windows, and `"4, one by one"`.

    Args:
        side: Height and width of the images.
        crop: Height and width of what is read.
        filters: Width of the reader's first convolution.
        batch: Images in a batch.
        classes: Number of classes.
    """
    generator = np.random.default_rng(0)
    x = generator.random((batch, side, side, 1), "float32")
    y = generator.integers(0, classes, batch).astype("int32")
    found = {}
    kinds = [(str(n), ParallelTransformers, n) for n in COUNTS]
    for name, kind, count in [*kinds, ("4, one by one", OneByOne, 4)]:
        keras.utils.set_random_seed(0)
        model = kind(count, classes, crop=crop, filters=filters)
        model.build((None, side, side, 1))
        model.compile(
            keras.optimizers.Adam(1e-3),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        found[name] = lambda model=model: model.train_on_batch(x, y)
    return found


def compare(rounds=3, clock=time.perf_counter, steps=10, **sizes) -> dict:
    """Time updates with several numbers of windows in turns.

    Args:
        rounds: How often the ratios are measured.
        clock: Of `timing.interleaved_seconds`.
        steps: Updates of each in a round.
        **sizes: Of `updates`.

    Returns:
        A dict with `name`, `backend`, the best `seconds` of each, and the
        `ratios` to no window, each with its median, least and greatest value.

    Raises:
        ValueError: Reading at once and one by one give other losses.
    """
    calls = updates(**sizes)
    losses = {name: float(update()) for name, update in calls.items()}
    if not np.isclose(losses["4"], losses["4, one by one"], rtol=1e-4):
        raise ValueError(
            "expected windows read at once and one by one to give the same "
            f"loss. Received: {losses['4']} and {losses['4, one by one']}"
        )
    return beside_first(
        "parallel transformers, updates with 0, 1, 2 and 4 windows",
        calls,
        rounds,
        clock,
        steps,
    )
