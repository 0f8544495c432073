"""The recognition experiment of notebook 06: data, recipe, test error."""

import dataclasses

import keras
import numpy as np
from keras import ops

from attnlib import datasets
from attnlib.datasets import canvases
from attnlib.datasets.digits28 import augmented
from attnlib.models import ram
from attnlib.models.ram import RecurrentAttention
from attnlib.training import Batches, train_or_load

# What the result depends on besides data, seed and the two arguments.
_RECIPE = (
    "dataset canvas clutter glimpse_size scales units location_std "
    "exploration_std copies batch_size learning_rate weight_decay"
).split()

# Canvases to validate and to test on are the same for every seed of a model.
_VALIDATION_SEED, _TEST_SEED = 1406, 6247


@dataclasses.dataclass(frozen=True)
class Data:
    """Images and labels of a data set.

    Attributes:
        train: `(images, labels)`: float32 (N, H, W, C) in [0, 1] and int32
            (N,). With a `scatter` the images are its input, uint8 digits.
        validation: float32 images and labels; None when all of it is trained
            on.
        test: Likewise.
        task: What is seen, a part of the claims' ids: `"mnist-28x28"`,
            `"cluttered-60x60"` and so on.
        name: Name of the data set.
        digest: Its digest, without the augmented copies.
        description: What the data is, in words.
        scatter: Function `(digits, labels, generator) -> (images, labels)`
            that lays a batch of training digits out on canvases, elsewhere
            and among other clutter at every call; None for digits as they
            are.
    """

    train: tuple
    validation: tuple | None
    test: tuple
    task: str
    name: str
    digest: str
    description: str
    scatter: object = None

    @property
    def record(self) -> dict:
        """Return what `claims.begin` wants to know."""
        return {
            "name": self.name,
            "digest": self.digest,
            "description": self.description,
        }


def load_data(settings) -> Data:
    """Load the images to train and to test on.

    MNIST's 60000 training images are all trained on, as in the paper, so
    there nothing is held out while training. On canvases the training images
    are never held in memory: each batch is composed when it is asked for.
    Clutter is cut from digits of the same split.

    Args:
        settings: A `profiles.RecurrentGlimpses`. `copies` augmented copies of
            every training image are added, drawn from its seed.

    Returns:
        A `Data`.

    Raises:
        ValueError: Clutter without a canvas, or a canvas smaller than the
            digits.
    """
    name, side, pieces = settings.dataset, settings.canvas, settings.clutter
    if pieces and not side:
        raise ValueError(
            "expected a canvas to put clutter on. Received: canvas=0, "
            f"clutter={pieces}"
        )
    whole = name == "mnist"
    train = datasets.load(name, "train+validation" if whole else "train")
    validation = None if whole else datasets.load(name, "validation")
    test = datasets.load(name, "test")
    images, labels = augmented(
        train["images"], train["label"], settings.copies, settings.seed
    )
    told = f"{name}, {len(train['label'])} training images"
    if settings.copies:
        told += f", {settings.copies} augmented copies each"
    told += f", {len(test['label'])} test images"
    if side:
        told += f", at random places of {side}x{side} pixels"
    if pieces:
        told += f" among {pieces} pieces of other digits"
    return Data(
        (images if side else _unit(images), labels),
        validation and _laid_out(validation, side, pieces, _VALIDATION_SEED),
        _laid_out(test, side, pieces, _TEST_SEED),
        _task(name, side, pieces, images.shape[1]),
        name,
        datasets.digest(name),
        told,
        _scatter(images, side, pieces) if side else None,
    )


def _task(name, side, pieces, digit_side):
    """Return the data set's part of the claims' ids."""
    if not side:
        whole = f"{name}-{digit_side}x{digit_side}"
        return name if name == "digits28" else whole
    kind = "cluttered" if pieces else "translated"
    other = "" if name == "mnist" else f"{name}-"
    return f"{other}{kind}-{side}x{side}"


def _scatter(pool, side, pieces):
    """Return the function that lays digits out, clutter cut from `pool`."""

    def scatter(digits, labels, generator):
        images, _ = canvases.cluttered(
            digits, side, generator, pieces, pool=pool
        )
        return _unit(images), labels

    return scatter


def _laid_out(part, side, pieces, seed):
    """Return floats and labels of a split, on canvases when there is one."""
    if not side:
        return _unit(part["images"]), part["label"]
    scatter = _scatter(part["images"], side, pieces)
    return scatter(part["images"], part["label"], np.random.default_rng(seed))


def _unit(images):
    # In one pass: this is a good part of composing a batch of canvases.
    return np.divide(images, np.float32(255), dtype="float32")


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
    _check_finite(images)
    low, high = np.min(images, initial=0), np.max(images, initial=0)
    if low < 0 or high > 1:
        raise ValueError(
            "expected images with values from 0 to 1. Received: values from "
            f"{low:.4g} to {high:.4g}"
        )
    whole = np.round(images * 255).astype("uint8")
    moved, labels = augmented(whole, labels, copies, seed)
    return _unit(moved), labels


def build(settings, data, num_glimpses, policy, steps):
    """Return a compiled `RecurrentAttention`.

    Args:
        settings: A `profiles.RecurrentGlimpses`.
        data: A `Data`.
        num_glimpses: Glimpses per image.
        policy: `"learned"`, `"random"` or `"centre"`.
        steps: Number of updates over which the learning rate and the noise of
            the locations fall.
    """
    images, labels = data.test
    steps = max(1, steps)
    model = RecurrentAttention(
        num_glimpses=num_glimpses,
        glimpse_size=settings.glimpse_size,
        scales=settings.scales,
        num_classes=int(labels.max()) + 1,
        units=settings.units,
        location_std=settings.location_std,
        exploration_std=settings.exploration_std or None,
        exploration_steps=steps,
        policy=policy,
        seed=settings.seed,
    )
    model.build((None, *images.shape[1:]))
    schedule = keras.optimizers.schedules.CosineDecay(
        settings.learning_rate, steps
    )
    optimizer = keras.optimizers.Adam(
        schedule, weight_decay=settings.weight_decay or None
    )
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    model.compile(optimizer=optimizer)
    return model


def train(settings, data, num_glimpses=None, policy="learned"):
    """Train a model, or load the one that was trained.

    Args:
        settings: A `profiles.RecurrentGlimpses`.
        data: A `Data`.
        num_glimpses: Glimpses per image; None for the settings'.
        policy: Where glimpses go: `"learned"`, `"random"` or `"centre"`.

    Returns:
        An `attnlib.training.Training`. With validation images its history
        has their single-sample error `val_error`, a fraction like `error`.
    """
    num_glimpses = num_glimpses or settings.num_glimpses
    batches = Batches(
        [data.train], settings.batch_size, settings.seed, data.scatter
    )
    steps = settings.epochs * len(batches.epoch(0))
    config = {key: getattr(settings, key) for key in _RECIPE}
    config.update(num_glimpses=num_glimpses, policy=policy)
    kind = "" if policy == "learned" else f"-{policy}"
    return train_or_load(
        lambda: build(settings, data, num_glimpses, policy, steps),
        batches,
        name=f"ram-{num_glimpses}{kind}",
        config=config,
        epochs=settings.epochs,
        data_digest=data.digest,
        seed=settings.seed,
        version=ram.VERSION,
        validation=data.validation
        and (
            lambda model: {
                "val_error": evaluate(model, *data.validation)["error"] / 100
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
    first = generator.uniform(-1, 1, (count, 1, 2))
    rest = (count, model.num_glimpses - 1, 2)
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
    if len(images) != len(labels) or not len(labels):
        raise ValueError(
            "expected one label per image and at least one image. Received: "
            f"{len(images)} images and {len(labels)} labels"
        )
    _check_finite(images)
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
    _check_finite(images)
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


def _check_finite(images):
    bad = ~np.isfinite(images).reshape(len(images), -1).all(axis=1)
    if bad.any():
        raise ValueError(
            "expected finite images. Received: NaN or infinity, first in "
            f"image {bad.argmax()} ({bad.sum()} images in all)"
        )
