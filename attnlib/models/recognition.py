"""The recognition experiment of notebook 06: recipe and test error."""

import keras
import numpy as np
from keras import ops

from attnlib.datasets.digits28 import augmented
from attnlib.models import baselines, dram, ram
from attnlib.models.dram import DeepRecurrentAttention
from attnlib.models.glimpse_data import (
    Data,
    check_finite,
    check_test,
    load_data,
    unit,
)
from attnlib.models.ram import RecurrentAttention
from attnlib.training import Batches, train_or_load

__all__ = [
    "NETWORKS",
    "Data",
    "draw_noise",
    "evaluate",
    "evaluate_plain",
    "load_data",
    "spread",
    "trace",
    "train",
    "with_moved_copies",
]

# The networks that glimpses are compared with see the whole image.
PLAIN = {
    "fc-2x64": lambda *shape: baselines.fully_connected(*shape, units=64),
    "fc-2x256": lambda *shape: baselines.fully_connected(*shape, units=256),
    "conv": baselines.small_conv_net,
    "cnn": baselines.modern_cnn,
    "conv-512": baselines.addition_conv_net,
}
DEEP = {
    "dram": {},
    "dram-no-context": {"context": False},
    "dram-sum": {"combine": "sum"},
}
NETWORKS = ("ram", *DEEP, *PLAIN)

# What the result depends on besides data, seed and the arguments.
_RECIPE = (
    "dataset canvas clutter glimpse_size scales units location_std "
    "exploration_std copies batch_size learning_rate weight_decay"
).split()


def with_moved_copies(images, labels, copies=10, seed=0):
    """Add copies that are moved, turned, slanted and scaled as in training.

    A few hundred centred digits cannot tell two good policies apart.

    Args:
        images: Float array (N, H, W, C) in [0, 1].
        labels: Array (N,).
        copies: Copies of each image.
        seed: Seed of their transformations.

    Returns:
        Images ((copies + 1) N, H, W, C), the given ones first, and labels.

    Raises:
        ValueError: Images are not finite or not in [0, 1], not one per label,
            or `copies` is negative.
    """
    check_finite(images)
    low, high = np.min(images, initial=0), np.max(images, initial=0)
    if low < 0 or high > 1:
        raise ValueError(
            "expected images with values from 0 to 1. Received: values from "
            f"{low:.4g} to {high:.4g}"
        )
    whole = np.round(images * 255).astype("uint8")
    moved, labels = augmented(whole, labels, copies, seed)
    return unit(moved), labels


def build(settings, data, num_glimpses, policy, steps, network="ram"):
    """Return a compiled network of `NETWORKS`.

    Args:
        settings: A `profiles.RecurrentGlimpses`.
        data: A `Data`.
        num_glimpses: Glimpses per image.
        policy: `"learned"`, `"random"` or `"centre"`.
        steps: Number of updates over which the learning rate and the noise of
            the locations fall.
        network: One of `NETWORKS`. Plain ones take no glimpses.
    """
    shape = data.test[0].shape[1:]
    steps = max(1, steps)
    if network in PLAIN:
        model = PLAIN[network](shape[0], shape[-1], data.num_classes)
    else:
        model = _glimpse_model(
            settings, data, num_glimpses, policy, steps, network
        )
        model.build((None, *shape))
    schedule = keras.optimizers.schedules.CosineDecay(
        settings.learning_rate, steps
    )
    optimizer = keras.optimizers.Adam(
        schedule, weight_decay=settings.weight_decay or None
    )
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    if network in PLAIN:
        model.compile(
            optimizer=optimizer,
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            # An instance: a function would create variables while a step is
            # traced.
            metrics=[keras.metrics.MeanMetricWrapper(error, name="error")],
        )
    else:
        model.compile(optimizer=optimizer)
    return model


def _glimpse_model(settings, data, num_glimpses, policy, steps, network):
    make = RecurrentAttention if network == "ram" else DeepRecurrentAttention
    return make(
        num_glimpses=num_glimpses,
        glimpse_size=settings.glimpse_size,
        scales=settings.scales,
        num_classes=data.num_classes,
        units=settings.units,
        location_std=settings.location_std,
        exploration_std=settings.exploration_std or None,
        exploration_steps=steps,
        policy=policy,
        seed=settings.seed,
        **DEEP.get(network, {}),
    )


def error(labels, logits):
    """Return 1 for each wrong answer, 0 for each right one, shape (B,)."""
    answers = ops.cast(ops.argmax(logits, axis=-1), "int32")
    wrong = answers != ops.cast(ops.reshape(labels, (-1,)), "int32")
    return ops.cast(wrong, "float32")


def train(settings, data, num_glimpses=None, policy="learned", network="ram"):
    """Train a model, or load the one that was trained.

    Args:
        settings: A `profiles.RecurrentGlimpses`.
        data: A `Data`.
        num_glimpses: Glimpses per image; None for the settings'.
        policy: Where glimpses go: `"learned"`, `"random"` or `"centre"`.
        network: One of `NETWORKS`; plain ones heed no other argument.

    Returns:
        An `attnlib.training.Training`. With validation images its history
        has their single-sample error `val_error`, a fraction like `error`.

    Raises:
        ValueError: There is no such network.
    """
    if network not in NETWORKS:
        raise ValueError(
            f"expected network to be one of {', '.join(NETWORKS)}. Received: "
            f"{network!r}"
        )
    plain = network in PLAIN
    if num_glimpses is None:
        num_glimpses = settings.num_glimpses
    batches = Batches(
        [data.train], settings.batch_size, settings.seed, data.scatter
    )
    steps = settings.epochs * len(batches.epoch(0))
    config = {key: getattr(settings, key) for key in _RECIPE}
    config.update(num_glimpses=num_glimpses, policy=policy)
    if settings.task != "digits":
        config["task"] = settings.task
    kind = "" if policy == "learned" else f"-{policy}"
    name = network if plain else f"{network}-{num_glimpses}{kind}"
    test = evaluate_plain if plain else evaluate
    version = ram.VERSION
    if network in DEEP:
        version = dram.VERSION
    elif plain:
        version = baselines.VERSION
    return train_or_load(
        lambda: build(settings, data, num_glimpses, policy, steps, network),
        batches,
        name=name,
        config=config,
        epochs=settings.epochs,
        data_digest=data.digest,
        seed=settings.seed,
        version=version,
        validation=data.validation
        and (
            lambda model: {
                "val_error": test(model, *data.validation)["error"] / 100
            }
        ),
    )


def draw_noise(model, count, seed=0):
    """Return random numbers for `count` images, shape (count, T, 2).

    They are NumPy's, so that a test of a model gives the same locations on
    every backend.

    Args:
        model: A `RecurrentAttention`.
        count: Number of images.
        seed: Seed, an integer or a list of integers.
    """
    generator = np.random.default_rng(seed)
    anywhere = 0 if model.first_is_chosen else 1
    first = generator.uniform(-1, 1, (count, anywhere, 2))
    rest = (count, model.num_glimpses - anywhere, 2)
    if model.policy == "random":
        others = generator.uniform(-1, 1, rest)
    else:
        others = generator.normal(size=rest)
    return np.concatenate([first, others], axis=1).astype("float32")


def evaluate(model, images, labels, samples=1, seed=0, batch_size=1000):
    """Test a model: one stochastic run per image, and the mean of several.

    Args:
        model: A `RecurrentAttention`.
        images: Float array (N, H, W, C) in [0, 1].
        labels: Integer array (N,).
        samples: Runs per image, at least 1.
        seed: Seed of the locations, which are sampled as in training.
        batch_size: Images looked at together.

    Returns:
        A dict, errors in percent. Of the first run: `error`, `predicted`
        (N,), `probabilities` (N, classes), `locations` (N, T, 2), `spread`, the
        standard deviation over the images of the locations that the policy
        chose, averaged over x, y and the steps. Of all runs: `mean_error`, the
        mean of their errors, a less noisy estimate of `error`; and
        `averaged_error`, the error of their averaged probabilities, which is
        another classifier, as many times as expensive.

    Raises:
        ValueError: Images are not finite or not one per label, or `samples`
            is below 1.
    """
    if samples < 1:
        raise ValueError(f"expected samples of at least 1. Received: {samples}")
    check_test(images, labels)
    total, errors = 0.0, []
    for sample in range(samples):
        noise = draw_noise(model, len(images), [seed, sample])
        probabilities, locations = _run(model, images, noise, batch_size)
        total = total + probabilities
        errors.append(_error(probabilities, labels))
        if sample == 0:
            first, places = probabilities, locations
    return {
        "error": errors[0],
        "mean_error": float(np.mean(errors)),
        "averaged_error": _error(total, labels),
        "predicted": first.argmax(-1),
        "probabilities": first,
        "locations": places,
        "spread": spread(places),
    }


def evaluate_plain(model, images, labels, batch_size=500):
    """Test a network that sees the whole image.

    Args:
        model: A Keras model, images to logits.
        images: Float array (N, H, W, C) in [0, 1].
        labels: Integer array (N,).
        batch_size: Images looked at together.

    Returns:
        A dict: `error` in percent and `predicted` (N,).

    Raises:
        ValueError: Images are not finite or not one per label.
    """
    check_test(images, labels)
    logits = model.predict(images, batch_size=batch_size, verbose=0)
    return {"error": _error(logits, labels), "predicted": logits.argmax(-1)}


def spread(locations) -> float:
    """Return how far the chosen locations of different images are apart.

    Args:
        locations: Array (N, T, 2); the first location of each image is drawn
            by chance, not chosen, and is left out.

    Returns:
        The standard deviation over the images, averaged over the steps and
        over x and y; 0 when nothing was chosen.
    """
    chosen = np.asarray(locations)[:, 1:]
    return float(chosen.std(axis=0).mean()) if chosen.size else 0.0


def trace(model, images, noise):
    """Run a model and ask for its answer after every glimpse.

    The classifier was trained on the last state alone: earlier answers show
    what the state holds so far.

    Args:
        model: A `RecurrentAttention`.
        images: Float array (B, H, W, C) in [0, 1].
        noise: Array (B, T, 2), from `draw_noise`.

    Returns:
        Tuple of locations (B, T, 2) and probabilities (B, T, classes).
    """
    check_finite(images)
    images = ops.convert_to_tensor(images)
    locations = model(images, noise=ops.convert_to_tensor(noise))["locations"]
    state, answers = ops.zeros((len(images), model.units)), []
    for step in range(model.num_glimpses):
        state = model.look(images, locations[:, step], state)
        answers.append(ops.softmax(model.classifier(state)))
    answers = ops.stack(answers, axis=1)
    return ops.convert_to_numpy(locations), ops.convert_to_numpy(answers)


def _run(model, images, noise, batch_size):
    """Return probabilities and locations of one run over all images."""
    parts = []
    for start in range(0, len(images), batch_size):
        rows = slice(start, start + batch_size)
        found = model(
            ops.convert_to_tensor(images[rows]),
            noise=ops.convert_to_tensor(noise[rows]),
            training=False,
        )
        answer = ops.softmax(ops.cast(found["logits"], "float32"))
        parts.append(
            (
                ops.convert_to_numpy(answer),
                ops.convert_to_numpy(found["locations"]),
            )
        )
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def _error(probabilities, labels):
    return float(100 * np.mean(probabilities.argmax(-1) != labels))
