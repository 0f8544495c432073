"""The distorted digits of notebook 09: data, recipes, test errors."""

import dataclasses

import keras
import numpy as np
from keras import ops

from attnlib import profiles
from attnlib.datasets import canvases, distortions, warps
from attnlib.models import glimpse_data, stn
from attnlib.models.stn import (
    CoLocalizer,
    FactorAdam,
    SpatialTransformerClassifier,
)
from attnlib.training import Batches, train_or_load

# What the result depends on besides data, seed, task and model.
_RECIPE = (
    "dataset copies parameters filters batch_size learning_rate "
    "localization_rate canvas"
).split()
_ENCODER = (
    "dataset copies parameters filters learning_rate encoder_epochs "
    "colocalization_batch"
).split()
_TRANSFORMS = {
    "att": "attention",
    "aff": "affine",
    "proj": "projective",
    "tps": "tps",
}
_CLASSES = 10
_WATCHED = 4  # Images whose transforms are kept after every epoch.


@dataclasses.dataclass(frozen=True)
class Task:
    """A way to make images of digits.

    Attributes:
        name: Its letters, as in the paper.
        title: What is done to the digits, in words.
        pool: Pixels a side averaged after a transformer.
        classes: Number of classes.
    """

    name: str
    title: str
    pool: int = 1
    classes: int = _CLASSES

    def make(self, settings, images, labels, generator):
        """Return new images and labels of digits.

        Args:
            settings: A `profiles.SpatialTransformers`.
            images: Array (N, 28, 28, 1), 0 = background.
            labels: Integer array (N,).
            generator: A `numpy.random.Generator`.

        Returns:
            Tuple of images (N, H, W, C) and labels (N,).
        """
        if self.name == "addition":
            return distortions.addition(images, labels, generator)
        if self.name == "tc":
            # Sixteen pieces of 6x6 pixels on 60x60, as many for the area.
            pieces = max(1, round(16 * (settings.canvas / 60) ** 2))
            made, _ = canvases.cluttered(
                images, settings.canvas, generator, pieces, 6
            )
            return made, labels
        change = {
            "r": distortions.rotated,
            "rts": distortions.scattered,
            "p": distortions.projected,
            "e": distortions.elastic,
        }[self.name]
        return change(images, generator), labels


TASKS = {
    task.name: task
    for task in (
        Task("r", "rotated"),
        Task("rts", "rotated, scaled, translated", pool=2),
        Task("p", "projective distortion"),
        Task("e", "elastic distortion"),
        Task("tc", "translated, cluttered", pool=2),
        Task("addition", "sum of two", pool=2, classes=2 * _CLASSES - 1),
    )
}


def parse(name) -> dict:
    """Return what a model's name says.

    Args:
        name: `fcn` or `cnn`, or with transformers `st-fcn-aff`, `2xst-cnn-tps`
            and so on; the last part is `att`, `aff`, `proj` or `tps`.

    Returns:
        A dict of `network`, `transform` and `transformers`, arguments of
        `SpatialTransformerClassifier`.

    Raises:
        ValueError: It is no such name.

    Example:

    >>> parse("2xst-fcn-tps")
    {'network': 'fcn', 'transform': 'tps', 'transformers': 2}
    """
    parts = str(name).split("-")
    if len(parts) == 1 and parts[0] in stn.NETWORKS:
        return {"network": parts[0], "transform": None, "transformers": 1}
    many = {"st": 1, "2xst": 2}
    if (
        len(parts) != 3
        or parts[0] not in many
        or parts[1] not in stn.NETWORKS
        or parts[2] not in _TRANSFORMS
    ):
        raise ValueError(
            "expected the name of a model: fcn or cnn, or st- or 2xst-, fcn "
            f"or cnn, and one of {', '.join(_TRANSFORMS)}, for example "
            f"st-cnn-aff. Received: {name!r}"
        )
    return {
        "network": parts[1],
        "transform": _TRANSFORMS[parts[2]],
        "transformers": many[parts[0]],
    }


def claim_of(task, name) -> str:
    """Return the id of the claim about a model's test error on MNIST.

    Example:

    >>> claim_of("tc", "st-cnn-aff")
    'stn/mnist-tc/st-cnn/test-error'
    """
    setting = name
    if task == "tc" and name.endswith("-aff"):
        # One transform was published, without its name.
        setting = name.removesuffix("-aff")
    if task == "addition":
        setting = name.replace("st-fcn", "st")
    return f"stn/mnist-{task}/{setting}/test-error"


def task_of(name) -> Task:
    """Return a task by its name.

    Raises:
        ValueError: There is no such task.
    """
    if name not in TASKS:
        raise ValueError(
            f"expected a task to be one of {', '.join(TASKS)}. Received: "
            f"{name!r}"
        )
    return TASKS[name]


def load_data(settings):
    """Load the digits that are then distorted.

    Args:
        settings: A `profiles.SpatialTransformers`.

    Returns:
        A `glimpse_data.Data`.

    Raises:
        ValueError: A class from 0 to 9 has no digits.
    """
    plain = profiles.load(
        "06",
        settings.profile,
        seed=settings.seed,
        dataset=settings.dataset,
        copies=settings.copies,
    )
    return glimpse_data.load_data(plain)


def batches(settings, data, task):
    """Return `Batches` whose images are distorted anew in every epoch."""
    task = task_of(task)

    def transform(x, y, generator):
        return task.make(settings, x, y, generator)

    return Batches([data.train], settings.batch_size, settings.seed, transform)


def held_out(settings, part, task, copies=1, seed=0):
    """Return fixed distorted images of held-out digits.

    Args:
        settings: A `profiles.SpatialTransformers`.
        part: `(images, labels)`, for example `data.test`.
        task: Name of a task.
        copies: How often every digit is distorted: few digits, distorted
            often, tell two networks apart better.
        seed: Seed of the distortions. It is not the seed of the training,
            so that all models are tested on the same images.

    Returns:
        Tuple of images (copies N, H, W, C) and labels (copies N,).

    Raises:
        ValueError: `copies` is below 1, or there is no such task.
    """
    if copies < 1:
        raise ValueError(f"expected copies of at least 1. Received: {copies}")
    images, labels = part
    generator = np.random.default_rng([seed, len(images)])
    made = [
        task_of(task).make(settings, images, labels, generator)
        for _ in range(copies)
    ]
    images, labels = zip(*made, strict=True)
    return np.concatenate(images), np.concatenate(labels)


def build(settings, task, name, shape, steps):
    """Return a compiled `SpatialTransformerClassifier`.

    Args:
        settings: A `profiles.SpatialTransformers`.
        task: Name of a task.
        name: Name of a model, see `parse`.
        shape: Shape (H, W, C) of the images.
        steps: Updates over which the learning rate falls.
    """
    task = task_of(task)
    model = SpatialTransformerClassifier(
        **parse(name),
        pool=task.pool,
        num_classes=task.classes,
        parameters=settings.parameters,
        filters=settings.filters,
    )
    model.build((None, *shape))
    schedule = keras.optimizers.schedules.CosineDecay(
        settings.learning_rate, max(1, steps)
    )
    model.compile(
        FactorAdam(
            schedule, factors={"transformer_": settings.localization_rate}
        ),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        # An instance: a name would create variables while a step is traced.
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
    )
    return model


def train(settings, data, task, name):
    """Train a model on a task, or load the one that was trained.

    Args:
        settings: A `profiles.SpatialTransformers`.
        data: A `glimpse_data.Data`.
        task: Name of a task.
        name: Name of a model, see `parse`.

    Returns:
        An `attnlib.training.Training`. With validation digits its history
        has their error in percent, `val_error`, and for models with
        transformers the parameters theta of the first of `watched`, as
        `_theta_<image>_<number>`.
    """
    given = batches(settings, data, task)
    epochs = settings.epochs
    if task == "addition":
        epochs = settings.addition_epochs
    steps = epochs * len(given.epoch(0))
    shape = given.epoch(0)[0][0].shape[1:]
    config = {key: getattr(settings, key) for key in _RECIPE}
    return train_or_load(
        lambda: build(settings, task, name, shape, steps),
        given,
        name=f"stn-{task}-{name}",
        config={**config, "task": task, "model": name},
        epochs=epochs,
        data_digest=data.digest,
        seed=settings.seed,
        version=stn.VERSION,
        validation=data.validation and _watch(settings, data, task),
    )


def watched(settings, data, task):
    """Return the images whose transforms are kept after every epoch."""
    images, labels = held_out(settings, data.validation, task)
    return images[:_WATCHED], labels[:_WATCHED]


def _watch(settings, data, task):
    """Return the validation function of `train`."""
    images, labels = held_out(settings, data.validation, task)
    some = images[:_WATCHED]

    def look(model):
        found = {"val_error": evaluate(model, images, labels)["error"]}
        if model.warps:
            theta = ops.convert_to_numpy(model.theta(some))[:, 0]
            for (image, number), value in np.ndenumerate(theta):
                found[f"_theta_{image}_{number}"] = value
        return found

    return look


def theta_history(history):
    """Return the transforms that `train` kept, (epochs, images, n).

    Args:
        history: Of a `Training`.

    Raises:
        ValueError: It has none.
    """
    names = [key for key in history if key.startswith("_theta_")]
    if not names:
        raise ValueError(
            "expected the history of a model with a transformer, trained with "
            "held-out digits. Received: one without transforms"
        )
    image, number = (
        1 + max(int(key.split("_")[part]) for key in names) for part in (2, 3)
    )
    return np.stack(
        [
            np.stack([history[f"_theta_{i}_{n}"] for n in range(number)], -1)
            for i in range(image)
        ],
        axis=1,
    )


def evaluate(model, images, labels, batch_size=500):
    """Test a classifier.

    Args:
        model: A `SpatialTransformerClassifier`.
        images: Float array (N, H, W, C) in [0, 1].
        labels: Integer array (N,).
        batch_size: Images looked at together.

    Returns:
        A dict: `error` in percent and `predicted` (N,).

    Raises:
        ValueError: Images are not finite or not one per label.
    """
    glimpse_data.check_test(images, labels)
    parts = [
        ops.convert_to_numpy(
            model(ops.convert_to_tensor(images[start : start + batch_size]))
        )
        for start in range(0, len(images), batch_size)
    ]
    predicted = np.concatenate(parts).argmax(-1)
    return {
        "error": float(100 * np.mean(predicted != labels)),
        "predicted": predicted,
    }


def encoder_of(model, crop=28):
    """Return the features of a trained CNN, for `CoLocalizer`.

    They are those of the last convolution. The hidden layer above it is less
    alike among digits of a class, and jumps when a digit moves a little.

    Args:
        model: A `SpatialTransformerClassifier` without a transform.
        crop: Side of the images that it was trained on.

    Returns:
        A Keras model from images to features.

    Raises:
        ValueError: The model is no CNN, or has a transformer.
    """
    if model.warps or model.network != "cnn":
        raise ValueError(
            "expected a CNN without a transformer. Received: the network "
            f"{model.network!r}, transform {model.transform!r}"
        )
    *features, _, _ = model.classifier.layers
    return keras.Sequential(
        [keras.Input((crop, crop, model.channels)), *features], name="encoder"
    )


def windows_on_canvases(images, generator, side=84, pieces=16, slack=2):
    """Return digits as a `CoLocalizer` sees them while its windows shrink.

    Half of the digits lie on empty canvases, half among clutter. Windows of
    all sizes, from the digit's to the canvas's, cut them out, each anywhere
    on the canvas as long as it holds its digit.

    Args:
        images: Array (N, h, w, C), square digits.
        generator: A `numpy.random.Generator`.
        side: Side of a canvas in pixels.
        pieces: Pieces of clutter, 6x6 pixels each.
        slack: Pixels of a digit's margin that may be outside.

    Returns:
        Array like `images`: what the windows hold, read as large as a digit.

    Example:

    >>> digits = np.ones((4, 28, 28, 1), "float32")
    >>> windows_on_canvases(digits, np.random.default_rng(0)).shape
    (4, 28, 28, 1)
    """
    size, half = images.shape[1], len(images) // 2
    plain = canvases.translated(images[:half], side, generator)
    full = canvases.cluttered(
        images[half:], side, generator, pieces, 6, pool=images
    )
    made, corners = (
        np.concatenate(both) for both in zip(plain, full, strict=True)
    )
    count = len(images)
    widths = size * (side / size) ** generator.random((count, 1))
    # Where a window's corner can be: around the digit, and on the canvas.
    last = side - widths
    low = np.clip(corners + size - slack - widths, 0, last)
    high = np.clip(corners + slack, low, last)
    corner = low + (high - low) * generator.random((count, 2))
    pixels = warps.pixel_grid(size, size) + 0.5  # (size^2, 2)
    points = corner[:, None] + widths[:, None] / size * pixels - 0.5
    found = warps.sample(made, points.astype("float32"))
    return warps.like(found, images.dtype, images.shape)


def train_encoder(settings, data):
    """Train a CNN on `windows_on_canvases`, or load it.

    Args:
        settings: A `profiles.SpatialTransformers`.
        data: A `glimpse_data.Data`.

    Returns:
        An `attnlib.training.Training` of a classifier, for `encoder_of`.
    """

    def transform(x, y, generator):
        return windows_on_canvases(x, generator), y

    given = Batches(
        [data.train], settings.colocalization_batch, settings.seed, transform
    )
    epochs = settings.encoder_epochs
    steps = epochs * len(given.epoch(0))
    shape = data.train[0].shape[1:]
    config = {key: getattr(settings, key) for key in _ENCODER}
    return train_or_load(
        lambda: build(settings, "r", "cnn", shape, steps),
        given,
        name="stn-encoder",
        config=config,
        epochs=epochs,
        data_digest=data.digest,
        seed=settings.seed,
        version=stn.VERSION,
    )


def colocalization_set(settings, part, digit, pieces=0, side=84, seed=0):
    """Return canvases that share one kind of digit, and where it is.

    Args:
        settings: A `profiles.SpatialTransformers`.
        part: `(images, labels)`, for example `data.test`.
        digit: The digit that all images have.
        pieces: Pieces of clutter, 6x6 pixels each.
        side: Side of a canvas in pixels.
        seed: Seed of the places.

    Returns:
        Tuple of canvases (N, side, side, 1) of at most
        `settings.colocalization_images` digits, and the middles (N, 2) of the
        digits' images, (x, y) in [-1, 1].

    Raises:
        ValueError: There is no such digit.
    """
    images, labels = part
    chosen = distortions.of_class(images, labels, digit)
    chosen = chosen[: settings.colocalization_images]
    generator = np.random.default_rng([seed, digit, pieces])
    made, corners = canvases.cluttered(
        chosen, side, generator, pieces, 6, pool=images
    )
    middle = corners + np.array(images.shape[2:0:-1]) / 2
    return made, 2 * middle / side - 1


def colocalizer(settings, encoder, shape, steps=1):
    """Return a compiled `CoLocalizer`.

    Args:
        settings: A `profiles.SpatialTransformers`.
        encoder: From `encoder_of`.
        shape: Shape (H, W, 1) of the images.
        steps: Updates over which the learning rate falls; in the first three
            quarters of them windows shrink.
    """
    model = CoLocalizer(
        encoder, shrink_steps=max(1, 3 * steps // 4), seed=settings.seed
    )
    model.build((None, *shape))
    schedule = keras.optimizers.schedules.CosineDecay(
        settings.colocalization_rate, max(1, steps)
    )
    model.compile(keras.optimizers.Adam(schedule, clipnorm=1.0))
    return model


def colocalize(settings, data, encoder, digit, pieces=0, side=84):
    """Train a `CoLocalizer` on canvases that share a digit, or load it.

    All training digits of the class are on canvases, at new places and among
    new clutter in every epoch. Nothing tells the model where they are.

    Args:
        settings: A `profiles.SpatialTransformers`.
        data: A `glimpse_data.Data`.
        encoder: From `encoder_of`.
        digit: The digit that all images have.
        pieces: Pieces of clutter, 6x6 pixels each.
        side: Side of a canvas in pixels.

    Returns:
        An `attnlib.training.Training`.

    Raises:
        ValueError: There is no such digit.
    """
    images, labels = data.train
    chosen = distortions.of_class(images, labels, digit)

    def transform(x, y, generator):
        made, _ = canvases.cluttered(x, side, generator, pieces, 6, pool=images)
        return made, y

    given = Batches(
        [(chosen, np.zeros(len(chosen), "int32"))],
        settings.colocalization_batch,
        settings.seed,
        transform,
    )
    epochs = settings.colocalization_epochs
    steps = epochs * len(given.epoch(0))
    shape = side, side, chosen.shape[-1]
    names = (*_ENCODER, "colocalization_epochs", "colocalization_rate")
    config = {key: getattr(settings, key) for key in names}
    return train_or_load(
        lambda: colocalizer(settings, encoder, shape, steps),
        given,
        name=f"stn-colocalize-{digit}-{pieces}",
        config={**config, "digit": digit, "pieces": pieces, "side": side},
        epochs=epochs,
        data_digest=data.digest,
        seed=settings.seed,
        version=stn.VERSION,
    )


def locate(model, images, batch_size=200):
    """Return the middles (x, y) of the windows in images, (N, 2).

    Args:
        model: A `CoLocalizer`.
        images: Float array (N, H, W, C).
        batch_size: Images looked at together.
    """
    parts = [
        model(ops.convert_to_tensor(images[start : start + batch_size]))
        for start in range(0, len(images), batch_size)
    ]
    return np.concatenate(
        [ops.convert_to_numpy(part["places"]) for part in parts]
    )


def overlap(found, true, size):
    """Return intersection over union of boxes of one size.

    Args:
        found: Middles (N, 2), (x, y) in [-1, 1].
        true: Middles (N, 2).
        size: Side of the boxes, as a part of the image's.

    Returns:
        Array (N,), 0 to 1.

    Example:

    >>> overlap(np.zeros((1, 2)), np.array([[0.5, 0.0]]), 0.5).round(4)
    array([0.3333])
    """
    side = 2 * size
    shared = np.maximum(side - np.abs(np.asarray(found) - true), 0).prod(-1)
    return shared / (2 * side**2 - shared)
