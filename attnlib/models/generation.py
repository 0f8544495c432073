"""The experiments of notebook 07: drawing digits, and reading them."""

import dataclasses

import keras
import numpy as np
from keras import ops

from attnlib import datasets, timing
from attnlib.datasets import canvases
from attnlib.datasets.digits28 import augmented
from attnlib.models import baselines, draw
from attnlib.models.draw import DRAW, DrawReader
from attnlib.models.glimpse_data import check_classes, load_images, unit
from attnlib.models.provenance import Provenance
from attnlib.training import Batches, train_or_load

# What a result depends on besides data, seed and the arguments.
_DRAW_RECIPE = (
    "dataset latent_size units read_size write_size copies batch_size "
    "learning_rate clip_norm"
).split()
_READER_RECIPE = (
    "reader_dataset reader_read_size reader_units copies batch_size "
    "reader_learning_rate clip_norm"
).split()


@dataclasses.dataclass(frozen=True)
class Data(Provenance):
    """Images of a data set, with labels where it has them.

    Attributes:
        train: `(images, labels)`: float32 (N, H, W, C) in [0, 1] and int32
            (N,), zeros where the data set has none.
        validation: Likewise.
        test: Likewise.
        name: Name of the data set.
        digest: Its digest, without the augmented copies.
        description: What the data is, in words.
        labelled: Whether the labels are real.
    """

    train: tuple
    validation: tuple
    test: tuple
    name: str
    digest: str
    description: str
    labelled: bool


def load_data(settings) -> Data:
    """Load binary images to draw.

    A pixel of `digits28` is 1 where its grey level is at least half of white:
    a fixed threshold, after augmentation. `binarized_mnist` comes binary.

    Args:
        settings: A `profiles.Draw`. `copies` augmented copies of every
            training image are added, drawn from its seed.

    Returns:
        A `Data`.

    Raises:
        ValueError: The data set has no images, or it has labels and a digit
            has no image.
    """
    return _load(settings.dataset, settings.copies, settings.seed, binarised)


def load_grey(settings) -> Data:
    """Load digits with grey levels, to be put onto canvases and read.

    Args:
        settings: A `profiles.Draw`.

    Returns:
        A `Data`.

    Raises:
        ValueError: A digit has no image, or the data set has no labels.
    """
    name = settings.reader_dataset
    copies = settings.copies if name == "digits28" else 0
    data = _load(name, copies, settings.seed, unit)
    if not data.labelled:
        raise ValueError(
            f"expected a data set with labels to read. Received: {name}"
        )
    return data


def _load(name, copies, seed, prepare):
    parts = {
        split: load_images(name, split)
        for split in ("train", "validation", "test")
    }
    labelled = "label" in parts["train"]
    pairs = {
        split: (
            part["images"],
            part["label"]
            if labelled
            else np.zeros(len(part["images"]), "int32"),
        )
        for split, part in parts.items()
    }
    if labelled:
        for split in ("train", "test"):
            check_classes(name, split, pairs[split][1])
    count = len(pairs["train"][0])
    if copies:
        pairs["train"] = augmented(*pairs["train"], copies, seed)
    pairs = {
        split: (prepare(images), labels)
        for split, (images, labels) in pairs.items()
    }
    made = f", {copies} augmented copies each" if copies else ""
    kind = ", binary" if prepare is binarised else ""
    return Data(
        **pairs,
        name=name,
        digest=datasets.digest(name),
        description=(
            f"{name}{kind}, {count} training images{made}, "
            f"{len(pairs['test'][0])} test images"
        ),
        labelled=labelled,
    )


def binarised(images):
    """Return 1 where a grey level (0 to 255) is at least 128, float32."""
    return (images >= 128).astype("float32")


def build(settings, mean_image, num_steps, attention, steps):
    """Return a compiled `DRAW`.

    Its first canvas starts as the mean image: from a grey one, training first
    makes everything black and forgets the latent variables for it.

    Args:
        settings: A `profiles.Draw`.
        mean_image: Mean of the training images, (H, W, C).
        num_steps: Steps T.
        attention: Whether windows are used.
        steps: Number of updates over which the learning rate falls.
    """
    model = DRAW(
        num_steps=num_steps,
        latent_size=settings.latent_size,
        units=settings.units,
        read_size=settings.read_size,
        write_size=settings.write_size,
        image_shape=mean_image.shape,
        attention=attention,
        seed=settings.seed,
    )
    model.build()
    mean = np.clip(mean_image, 0.01, 0.99)
    model.first_canvas.assign(np.log(mean / (1 - mean)))
    model.compile(_optimizer(settings, settings.learning_rate, steps))
    return model


def _optimizer(settings, learning_rate, steps):
    schedule = keras.optimizers.schedules.CosineDecay(
        learning_rate, max(1, steps)
    )
    return keras.optimizers.Adam(schedule, global_clipnorm=settings.clip_norm)


def train(settings, data, num_steps=None, attention=True):
    """Train a DRAW on the images of a data set, or load the trained one.

    Args:
        settings: A `profiles.Draw`.
        data: A `Data`.
        num_steps: Steps T; None for the settings'.
        attention: Whether windows are used.

    Returns:
        An `attnlib.training.Training`. Its history has `val_nats`, the bound
        on -log p of the validation images.
    """
    if num_steps is None:
        num_steps = settings.num_steps
    batches = Batches([data.train], settings.batch_size, settings.seed)
    steps = settings.epochs * len(batches.epoch(0))
    config = {key: getattr(settings, key) for key in _DRAW_RECIPE}
    config.update(num_steps=num_steps, attention=attention)
    held_out = data.validation[0][: settings.validation_images]
    return train_or_load(
        lambda: build(
            settings, data.train[0].mean(axis=0), num_steps, attention, steps
        ),
        batches,
        name=f"draw-{num_steps}{'' if attention else '-no-windows'}",
        config=config,
        epochs=settings.epochs,
        data_digest=data.digest,
        seed=settings.seed,
        version=draw.VERSION,
        validation=lambda model: {"val_nats": _quick_nats(model, held_out)},
    )


def _quick_nats(model, images):
    """Return the bound of images with noise of the model's own, nats."""
    # Labels are asked for, but the images are their own targets.
    labels = np.zeros(len(images), "int32")
    found = model.evaluate(
        images, labels, batch_size=500, verbose=0, return_dict=True
    )
    return found["loss"]


def train_pairs(settings, data):
    """Train a DRAW on canvases with two digits, or load the trained one.

    Digits and places are drawn anew for every batch.

    Args:
        settings: A `profiles.Draw`; `pair_side` is the canvas's side.
        data: A `Data` of binary images.

    Returns:
        An `attnlib.training.Training`.
    """
    side = settings.pair_side
    images = data.train[0]

    def compose(x, y, generator):
        other = images[generator.integers(0, len(images), len(x))]
        return canvases.pairs(x, other, side, generator)[0], y

    batches = Batches([data.train], settings.batch_size, settings.seed, compose)
    epochs = settings.pair_epochs
    steps = epochs * len(batches.epoch(0))
    config = {key: getattr(settings, key) for key in _DRAW_RECIPE}
    config.update(num_steps=settings.pair_steps, pair_side=side)
    return train_or_load(
        lambda: build(
            settings,
            pairs(data.train[0], 2000, side, settings.seed).mean(axis=0),
            settings.pair_steps,
            True,
            steps,
        ),
        batches,
        name=f"draw-pairs-{settings.pair_steps}",
        config=config,
        epochs=epochs,
        data_digest=data.digest,
        seed=settings.seed,
        version=draw.VERSION,
    )


def pairs(images, count, side, seed=0):
    """Return canvases with two of the images each, (count, side, side, 1)."""
    generator = np.random.default_rng(seed)
    first, second = generator.integers(0, len(images), (2, count))
    return canvases.pairs(images[first], images[second], side, generator)[0]


def clutter(images, settings, generator):
    """Put digits on larger canvases among pieces of other digits."""
    return canvases.cluttered(
        images, settings.reader_side, generator, settings.clutter_pieces
    )[0]


def train_reader(settings, data, num_glimpses=None):
    """Train a `DrawReader` on cluttered canvases, or load the trained one.

    Places and clutter are drawn anew for every batch: fixed ones are learned
    by heart.

    Args:
        settings: A `profiles.Draw`.
        data: A `Data` of grey digits with labels.
        num_glimpses: Glimpses; None for the settings'.

    Returns:
        An `attnlib.training.Training`.
    """
    if num_glimpses is None:
        num_glimpses = settings.reader_glimpses
    side, size = settings.reader_side, settings.reader_read_size
    batches = Batches(
        [data.train],
        settings.batch_size,
        settings.seed,
        lambda x, y, generator: (clutter(x, settings, generator), y),
    )
    epochs = settings.reader_epochs
    steps = epochs * len(batches.epoch(0))
    config = {key: getattr(settings, key) for key in _READER_RECIPE}
    config.update(
        num_glimpses=num_glimpses,
        side=side,
        pieces=settings.clutter_pieces,
    )

    def make():
        model = DrawReader(num_glimpses, size, 10, settings.reader_units)
        model.build((None, side, side, 1))
        rate = settings.reader_learning_rate
        model.compile(_optimizer(settings, rate, steps))
        return model

    return train_or_load(
        make,
        batches,
        name=f"draw-reader-{side}-{num_glimpses}",
        config=config,
        epochs=epochs,
        data_digest=data.digest,
        seed=settings.seed,
        version=draw.VERSION,
    )


def cluttered_test(settings, data, seed=0):
    """Return the test digits on cluttered canvases, and their labels."""
    images, labels = data.test
    copies = settings.reader_test_copies
    images, labels = np.tile(images, (copies, 1, 1, 1)), np.tile(labels, copies)
    generator = np.random.default_rng([seed, 7])
    return clutter(images, settings, generator), labels


def read(model, images, batch_size=500):
    """Let a `DrawReader` read images.

    Args:
        model: A `DrawReader`.
        images: Float array (N, H, W, C) in [0, 1].
        batch_size: Images read together.

    Returns:
        A dict: `probabilities` (N, T, classes) after every glimpse, and
        `windows` (N, T, 5).
    """
    _check_unit("images", images)
    parts = []
    for start in range(0, len(images), batch_size):
        rows = images[start : start + batch_size]
        out = model.predict_on_batch(rows)
        parts.append((_softmax(out["answers"]), out["windows"]))
    probabilities, windows = (
        np.concatenate(part) for part in zip(*parts, strict=True)
    )
    return {"probabilities": probabilities, "windows": windows}


def _softmax(logits):
    return ops.convert_to_numpy(ops.softmax(ops.cast(logits, "float32")))


def train_judge(settings, data):
    """Train a plain CNN that names binary digits, or load the trained one.

    It tells whether a drawn image looks like a digit: how sure it is of the
    samples beside how sure it is of real images.

    Args:
        settings: A `profiles.Draw`.
        data: A `Data` of binary images with labels.

    Returns:
        An `attnlib.training.Training`.
    """
    batches = Batches([data.train], 128, settings.seed)
    epochs = settings.judge_epochs
    steps = epochs * len(batches.epoch(0))

    def make():
        model = baselines.pooling_cnn(filters=(32, 64, 64))
        model.compile(
            _optimizer(settings, 3e-3, steps),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        return model

    return train_or_load(
        make,
        batches,
        name="draw-judge",
        config={"dataset": settings.dataset, "copies": settings.copies},
        epochs=epochs,
        data_digest=data.digest,
        seed=settings.seed,
        version=draw.VERSION,
    )


def judge(model, images, threshold=0.9, batch_size=500):
    """Return what a classifier says of images.

    Args:
        model: A model from images to logits.
        images: Float array (N, H, W, C) in [0, 1].
        threshold: Probability from which on an answer is confident.
        batch_size: Images classified together.

    Returns:
        A dict: `confident`, the share of images of which the most probable
        class has more than `threshold`; `predicted` (N,); `probability` (N,)
        of that class.
    """
    _check_unit("images", images)
    found = np.concatenate(
        [
            _softmax(model.predict_on_batch(images[start : start + batch_size]))
            for start in range(0, len(images), batch_size)
        ]
    )
    best = found.max(axis=-1)
    return {
        "confident": float(np.mean(best > threshold)),
        "predicted": found.argmax(axis=-1),
        "probability": best,
    }


def draw_noise(model, count, seed=0):
    """Return standard normal numbers for `count` images, (T, count, Z).

    They are NumPy's, so that a test gives the same draws on every backend.

    Args:
        model: A `DRAW`.
        count: Number of images.
        seed: Seed, an integer or a list of integers.
    """
    generator = np.random.default_rng(seed)
    shape = (count, model.num_steps, model.latent_size)
    return generator.normal(size=shape).astype("float32").swapaxes(0, 1)


def evaluate(model, images, seed=0, batch_size=500):
    """Test a model: the bound on -log p(x), one sample of z per image.

    Args:
        model: A `DRAW`.
        images: Float array (N, H, W, C) in [0, 1].
        seed: Seed of the latent variables.
        batch_size: Images drawn together.

    Returns:
        A dict, in nats per image: `nats`, the negative evidence lower bound,
        its parts `reconstruction` and `kl`, and `kl_per_step` (T,).

    Raises:
        ValueError: There are no images, or they are not in [0, 1].
    """
    _check_unit("images", images)
    noise = draw_noise(model, len(images), seed)
    reconstruction, kl = [], []
    for start in range(0, len(images), batch_size):
        rows = slice(start, start + batch_size)
        out = model(ops.convert_to_tensor(images[rows]), noise=noise[:, rows])
        nats = draw.bernoulli_nats(images[rows], out["logits"])
        reconstruction.append(ops.convert_to_numpy(nats))
        kl.append(ops.convert_to_numpy(out["kl"]))
    per_step = np.concatenate(kl).mean(axis=0)
    first = float(np.concatenate(reconstruction).mean())
    return {
        "nats": first + float(per_step.sum()),
        "reconstruction": first,
        "kl": float(per_step.sum()),
        "kl_per_step": per_step,
    }


def importance_bound(model, images, samples, seed=0, batch_size=500):
    """Return two bounds on -log p(x) from the same samples, nats per image.

    Args:
        model: A `DRAW`.
        images: Float array (N, H, W, C) in [0, 1].
        samples: Samples per image K, at least 1.
        seed: Seed of the latent variables.
        batch_size: Images drawn together.

    Returns:
        A dict: `nats` of the importance-weighted bound, and `elbo`, the mean
        of the same K log-weights, which is never smaller.

    Raises:
        ValueError: There are no images, they are not in [0, 1], or `samples`
            is below 1.
    """
    _check_unit("images", images)
    if samples < 1:
        raise ValueError(f"expected samples of at least 1. Received: {samples}")
    run = timing.compiled(model)
    weights = np.zeros((samples, len(images)))
    for k in range(samples):
        noise = draw_noise(model, len(images), [seed, k])
        for start in range(0, len(images), batch_size):
            rows = slice(start, start + batch_size)
            out = run(images[rows], noise[:, rows])
            nats = draw.bernoulli_nats(images[rows], out["logits"])
            weights[k, rows] = ops.convert_to_numpy(out["log_ratio"] - nats)
    # The bound of `DRAW.iwae`, from samples that were drawn one by one.
    bound = np.logaddexp.reduce(weights, axis=0) - np.log(samples)
    return {"nats": -float(bound.mean()), "elbo": -float(weights.mean())}


def bits_per_pixel(nats, image_shape) -> float:
    """Return nats per image as bits per pixel.

    Args:
        nats: Nats per image.
        image_shape: Shape (H, W, C).

    Example:

    >>> round(bits_per_pixel(543.427, (28, 28, 1)), 3)
    1.0
    """
    return float(nats / np.log(2) / np.prod(image_shape))


def probabilities(canvases):
    """Return the pixels' probabilities of canvases of logits, a NumPy array."""
    return ops.convert_to_numpy(ops.sigmoid(canvases))


def _check_unit(name, images):
    if not len(images):
        raise ValueError(f"expected at least one image in {name}. Received: 0")
    low, high = np.min(images), np.max(images)
    if not (low >= 0 and high <= 1):
        raise ValueError(
            f"expected {name} with values from 0 to 1. Received: values from "
            f"{low:.4g} to {high:.4g}"
        )
