"""The experiment of notebook 12: actions in videos, with a frozen frame CNN."""

import dataclasses

import keras
import numpy as np
from keras import ops
from scipy.special import softmax

from attnlib import datasets
from attnlib.datasets import digit_scenes, moving_digits, ucf11
from attnlib.models import action_recognition, encoders
from attnlib.models.action_recognition import (
    AttentionRecogniser,
    CubeRegression,
)
from attnlib.models.glimpse_data import unit
from attnlib.models.provenance import Provenance, digest_of
from attnlib.ops import checks
from attnlib.training import Batches, train_or_load, warmed_adam

# Videos that are made, or clips that are decoded, and read together.
_TOGETHER = 250
_FRAMES = 250
_STILLS_RATE = 5e-3
_STILLS_BATCH = 64
_SPLITS = ("train", "test")

# What each encoder is, in words.
ENCODERS = {
    "stills": "small CNN trained on stills of digit_scenes, frozen",
    "vgg19": "VGG-19 trained on ImageNet, frozen",
}

_RECIPE = (
    "units layers dropout weight_decay sharpness batch_size learning_rate "
    "warmup_steps"
).split()


@dataclasses.dataclass(frozen=True)
class Task(Provenance):
    """Videos as a frozen CNN sees their frames.

    Attributes:
        train: Dict of `features`, float16 (N, T, L, D), of mean 0 over the
            training videos, and `label` int32 (N,).
        test: Likewise, and `videos`, what can be indexed for uint8 (T, side,
            side, 3); and `boxes` int32 (N, T, 4) where they are known.
        classes: Names of the actions.
        side: Height and width of the frames in pixels.
        name: Name of the data set.
        digest: Digest of data and features.
        description: What the data is, in words.
    """

    train: dict
    test: dict
    classes: tuple
    side: int
    name: str
    digest: str
    description: str

    @property
    def knows_boxes(self) -> bool:
        """Return whether it is known where the actor is."""
        return "boxes" in self.test

    @property
    def grid(self) -> int:
        """Return the rows of the grid of features."""
        return round(self.test["features"].shape[2] ** 0.5)


@keras.saving.register_keras_serializable(package="attnlib")
class Coordinates(keras.layers.Layer):
    """Append to every pixel where it is: x and y from -1 to 1.

    Args:
        **kwargs: Of `keras.layers.Layer`.

    Example:

    >>> import numpy as np
    >>> from attnlib.models.actions import Coordinates
    >>> np.array(Coordinates()(np.zeros((1, 2, 2, 1), "float32")))[0, 1, 0]
    array([ 0., -1.,  1.], dtype=float32)

    Reference:
        Liu et al. 2018, arXiv:1807.03247.
    """

    def call(self, images):
        _, height, width, _ = images.shape
        grid = np.meshgrid(
            np.linspace(-1, 1, width), np.linspace(-1, 1, height)
        )
        grid = ops.convert_to_tensor(
            np.stack(grid, axis=-1)[None].astype(self.compute_dtype)
        )
        shape = (ops.shape(images)[0], height, width, 2)
        return ops.concatenate([images, ops.broadcast_to(grid, shape)], axis=-1)

    def compute_output_shape(self, images_shape):
        return (*images_shape[:-1], images_shape[-1] + 2)


def build_frame_encoder(side, filters):
    """Return a small CNN from frames (B, side, side, 3) to (B, g, g, D).

    Args:
        side: Height and width of the frames, a multiple of 8; g = side / 8.
        filters: Width of the first layer; D is four times as much.

    Raises:
        ValueError: The side is no multiple of 8.
    """
    if side % 8:
        raise ValueError(
            f"expected side to be a multiple of 8. Received: {side}"
        )
    # Frames are small: told where a pixel is, cells learn what a deep network
    # sees of the borders.
    layers = [keras.Input((side, side, 3)), Coordinates()]
    for width, size, strides in ((1, 5, 2), (2, 3, 2), (4, 3, 2), (4, 3, 1)):
        layers += [
            keras.layers.Conv2D(
                width * filters,
                size,
                strides=strides,
                padding="same",
                use_bias=False,
            ),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
        ]
    return keras.Sequential(layers, name="frame_encoder")


def still_targets(boxes, colours, side) -> np.ndarray:
    """Return what the CNN is to say of a still: which colours are where.

    Args:
        boxes: (N, K, 4), of `digit_scenes`.
        colours: (N, K), -1 where there is no digit.
        side: Height and width of the stills.

    Returns:
        float32 (N, 36): for each of six colours, whether a digit of it is in
        the left, middle, right, upper, middle, lower third.
    """
    count = len(digit_scenes.COLOURS)
    target = np.zeros((len(boxes), count, 6), "float32")
    for k in range(boxes.shape[1]):
        rows = np.flatnonzero(colours[:, k] >= 0)
        box = boxes[rows, k]
        for axis in (0, 1):
            centre = 2 * box[:, axis] + box[:, axis + 2]
            third = np.minimum(3 * centre // (2 * side), 2)
            target[rows, colours[rows, k], 3 * axis + third] = 1
    return target.reshape(len(boxes), -1)


def train_encoder(settings):
    """Train the frame CNN on stills, or load it; it is frozen then.

    Args:
        settings: A `profiles.Actions`.

    Returns:
        An `attnlib.training.Training`. The model's first layer is the CNN.
    """
    side, count = settings.side, settings.stills
    stills = datasets.load("digit_scenes", "train", side=side, count=count)
    target = still_targets(stills["boxes"], stills["colour"], side)

    def to_unit(x, y, _):
        return unit(x), y

    batches = Batches([(stills["images"], target)], _STILLS_BATCH, 0, to_unit)
    steps = settings.still_epochs * len(batches.epoch(0))

    def build():
        encoder = build_frame_encoder(side, settings.filters)
        model = keras.Sequential(
            [
                encoder,
                keras.layers.GlobalAveragePooling2D(),
                keras.layers.Dense(target.shape[1]),
            ]
        )
        model.build((None, side, side, 3))
        # XLA is slower than TensorFlow's own convolutions on CPUs.
        jit = False if keras.config.backend() == "tensorflow" else "auto"
        schedule = keras.optimizers.schedules.CosineDecay(_STILLS_RATE, steps)
        model.compile(
            keras.optimizers.Adam(schedule),
            keras.losses.BinaryCrossentropy(from_logits=True),
            jit_compile=jit,
        )
        return model

    return train_or_load(
        build,
        batches,
        name="frame-encoder",
        config={"side": side, "filters": settings.filters, "stills": count},
        epochs=settings.still_epochs,
        data_digest=datasets.digest("digit_scenes", count=50),
        # The same CNN for all seeds, as a downloaded one would be.
        seed=0,
        version=action_recognition.VERSION,
    )


def frame_encoder(settings) -> keras.Model:
    """Return the frozen CNN that a profile names.

    Args:
        settings: A `profiles.Actions`.

    Raises:
        ValueError: There is no such encoder.
    """
    checks.one_of("encoder", settings.encoder, tuple(ENCODERS))
    if settings.encoder == "stills":
        encoder = train_encoder(settings).model.layers[0]
    else:
        # To 7 x 7 cells, as GoogLeNet's last convolution has.
        vgg = encoders.vgg19(settings.side)
        encoder = keras.Sequential([vgg, keras.layers.MaxPooling2D(2)])
    encoder.trainable = False
    return encoder


def extract(encoder, videos) -> np.ndarray:
    """Return what a CNN sees in the frames of videos.

    Args:
        encoder: A model from frames (B, side, side, 3) in [0, 1] to (B, g, g,
            D).
        videos: N videos, uint8 (T, side, side, 3) each, read one by one.

    Returns:
        float16 (N, T, g * g, D).
    """
    found = []
    for video in videos:
        cells = [
            encoder.predict_on_batch(unit(video[start : start + _FRAMES]))
            for start in range(0, len(video), _FRAMES)
        ]
        cells = np.concatenate(cells).astype(np.float16)
        found.append(cells.reshape(len(video), -1, cells.shape[-1]))
    return np.stack(found)


def check_labels(label, classes) -> None:
    """Raise ValueError where a label is none of the classes.

    Args:
        label: Whole numbers (N,).
        classes: Names of the classes.
    """
    checks.class_labels(label, len(classes))


def _made(settings, encoder, split):
    """Make moving digits, part by part, and read them; keep test frames."""
    count = settings.examples if split == "train" else settings.held_out
    parts = []
    for start in range(0, count, _TOGETHER):
        part = datasets.load(
            "moving_digits",
            split,
            side=settings.side,
            frames=settings.frames,
            distractors=settings.distractors,
            count=min(_TOGETHER, count - start),
            seed=start // _TOGETHER,
        )
        frames = part["videos"].reshape(-1, *part["videos"].shape[2:])
        cells = extract(encoder, [frames])[0]
        part["features"] = cells.reshape(
            *part["videos"].shape[:2], *cells.shape[1:]
        )
        if split == "train":
            del part["videos"], part["boxes"]
        parts.append(part)
    return {
        key: np.concatenate([part[key] for part in parts]) for key in parts[0]
    }


def _filmed(settings, encoder, split):
    """Decode clips, one after the other, and read them."""
    options = {"frames": settings.frames, "rate": settings.rate}
    data = datasets.load(settings.dataset, split, side=settings.side, **options)
    limit = settings.examples if split == "train" else settings.held_out
    if limit and limit < len(data["label"]):
        # Every so-manieth, so that all classes are among them.
        rows = np.linspace(0, len(data["label"]) - 1, limit).astype(int)
    else:
        rows = np.arange(len(data["label"]))
    videos = data["videos"]
    features = extract(encoder, (videos[int(row)] for row in rows))
    found = {"features": features, "label": data["label"][rows]}
    if split == "test":
        found["videos"] = _Chosen(videos, rows)
    return found


class _Chosen:
    """Some of the videos of a lazy sequence."""

    def __init__(self, videos, rows):
        self.videos, self.rows = videos, rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.videos[int(self.rows[index])]


def _classes(settings):
    if settings.dataset == "moving_digits":
        return moving_digits.MOTIONS
    if settings.dataset == "ucf11":
        return ucf11.ACTIONS
    found = datasets.load(settings.dataset, "test", frames=settings.frames)
    return tuple(found["actions"])


def load_task(settings) -> Task:
    """Load or make videos, and read their frames with the frozen CNN.

    Args:
        settings: A `profiles.Actions`.

    Returns:
        A `Task`.

    Raises:
        ValueError: A label is none of the classes.
        OSError: Real videos are not on this machine.
    """
    made = settings.dataset == "moving_digits"
    classes = _classes(settings)
    digest = _digest(settings, made)
    encoder = frame_encoder(settings)
    read = _made if made else _filmed
    parts = {split: read(settings, encoder, split) for split in _SPLITS}
    for part in parts.values():
        check_labels(part["label"], classes)
    shift, scale = _measures(parts["train"]["features"])
    for part in parts.values():
        _normalise(part["features"], shift, scale)
    counts = {split: len(part["label"]) for split, part in parts.items()}
    return Task(
        **parts,
        classes=tuple(classes),
        side=settings.side,
        name=settings.dataset,
        digest=digest,
        description=(
            f"{settings.dataset}, {counts['train']} training and "
            f"{counts['test']} test videos of {settings.frames} frames, "
            f"{len(classes)} classes; {ENCODERS[settings.encoder]}"
        ),
    )


def _digest(settings, made):
    """Say which videos, and which features of them."""
    options = {"frames": settings.frames, "side": settings.side}
    if made:
        options |= {"distractors": settings.distractors, "count": 50}
    else:
        options |= {"rate": settings.rate}
    keys = "examples held_out encoder filters stills still_epochs".split()
    plan = {key: getattr(settings, key) for key in keys}
    text = f"{datasets.digest(settings.dataset, **options)} {plan}"
    return digest_of(text)


def _measures(features):
    """Return each channel's mean, and the deviation of frames' means."""
    means = np.stack(
        [video.mean(axis=1, dtype=np.float32) for video in features]
    )
    shift = means.mean(axis=(0, 1))
    scale = means.std(axis=(0, 1))
    # A channel that hardly ever speaks is not made the loudest.
    return shift, 2 * np.maximum(scale, 0.1 * scale.max() + 1e-6)


def _normalise(features, shift, scale):
    """Shift and scale in place, video by video: memory stays what it is."""
    for video in features:
        video[:] = np.clip((video - shift) / scale, -6e4, 6e4)


def parse(kind) -> tuple:
    """Return what a model's name says: its pooling and lambda.

    Args:
        kind: `"regression"`, `"average"`, `"max"`, or `"attention-"` and a
            number.

    Raises:
        ValueError: It is another name.

    Example:

    >>> parse("attention-0.1")
    ('attention', 0.1)
    """
    name, _, rest = kind.partition("-")
    if name == "attention":
        try:
            weight = float(rest)
        except ValueError:
            weight = -1.0
        if 0 <= weight < float("inf"):
            return name, weight
    elif kind in ("regression", "average", "max"):
        return kind, 0.0
    raise ValueError(
        "expected regression, average, max, or attention- and a number of at "
        f"least 0. Received: {kind!r}"
    )


def build(settings, task, kind, steps):
    """Return a compiled model of a kind.

    Args:
        settings: A `profiles.Actions`.
        task: A `Task`.
        kind: As of `parse`.
        steps: Number of updates that the learning rate decays over.

    Raises:
        ValueError: There is no such kind.
    """
    pooling, weight = parse(kind)
    shared = {
        "classes": len(task.classes),
        "dropout": settings.dropout,
        "weight_decay": settings.weight_decay,
        "seed": settings.seed,
    }
    if pooling == "regression":
        model = CubeRegression(**shared)
    else:
        model = AttentionRecogniser(
            units=settings.units,
            layers=settings.layers,
            pooling=pooling,
            penalty_weight=weight,
            sharpness=settings.sharpness,
            **shared,
        )
    model.build((None, *task.train["features"].shape[1:]))
    model.compile(warmed_adam(settings, steps))
    return model


def train(settings, task, kind):
    """Train a model, or load the one that was trained.

    Args:
        settings: A `profiles.Actions`.
        task: A `Task`.
        kind: As of `parse`.

    Returns:
        An `attnlib.training.Training`.

    Raises:
        ValueError: There is no such kind, or a label is none of the classes.
    """
    parse(kind)
    check_labels(task.train["label"], task.classes)
    batches = Batches(
        [(task.train["features"], task.train["label"])],
        settings.batch_size,
        settings.seed,
    )
    steps = settings.epochs * len(batches.epoch(0))
    config = {key: getattr(settings, key) for key in _RECIPE}
    return train_or_load(
        lambda: build(settings, task, kind, steps),
        batches,
        name=f"action-{kind}-{task.name}",
        config={"kind": kind, **config},
        epochs=settings.epochs,
        data_digest=task.digest,
        seed=settings.seed,
        version=action_recognition.VERSION,
    )


def train_all(settings, task) -> dict:
    """Train, or load, every model of a profile.

    Args:
        settings: A `profiles.Actions`.
        task: A `Task`.

    Returns:
        Dict from the kinds in `settings.models` to `training.Training`.
    """
    return {kind: train(settings, task, kind) for kind in settings.models}


def watch(model, task, count=None) -> dict:
    """Let a model see test videos, and note what it answers and where it looks.

    Args:
        model: A `FrameClassifier`.
        task: A `Task`.
        count: See the first videos only; None sees all.

    Returns:
        Dict of arrays: `probabilities` (N, T, classes) after every frame;
        `answer` (N,), the class of the largest mean over the frames; `right`
        (N,); `weights` (N, T, L).
    """
    features = task.test["features"][:count]
    parts = []
    for start in range(0, len(features), _TOGETHER):
        part = features[start : start + _TOGETHER]
        # The last part is filled up: another shape would be compiled anew.
        missing = min(_TOGETHER, len(features)) - len(part)
        padded = np.pad(part, ((0, missing), (0, 0), (0, 0), (0, 0)))
        out = model.predict_on_batch(padded)
        parts.append({key: value[: len(part)] for key, value in out.items()})
    found = {
        key: np.concatenate([part[key] for part in parts]) for key in parts[0]
    }
    chances = softmax(found["logits"].astype(np.float64), axis=-1)
    answer = chances.mean(axis=1).argmax(axis=-1)
    return {
        "probabilities": chances,
        "answer": answer,
        "right": answer == task.test["label"][:count],
        "weights": found["weights"],
    }


def on_the_actor(weights, boxes, grid, side) -> dict:
    """Measure how much of the attention is on the actor.

    A cell counts by the share of its area within the actor's box, so that
    uniform weights have exactly the chance level. Frames in which the actor is
    out of the picture do not count.

    Args:
        weights: (N, T, L).
        boxes: (N, T, 4) in pixels.
        grid: Rows and columns of cells.
        side: Height and width of the frames.

    Returns:
        Dict: `mass` (N, T), the share of attention in the box, NaN where there
        is none; `chance` (N, T), the box's share of the picture, likewise;
        `times`, mean mass over mean chance; `swapped`, the same with the
        weights of the video before, that is, of another one.
    """
    cover = digit_scenes.coverage(boxes, grid, side)  # (N, T, L)
    chance = cover.mean(axis=-1)
    chance[chance == 0] = np.nan
    seen = np.isfinite(chance)

    def times(weights):
        mass = (weights * cover).sum(axis=-1)
        return mass, float(mass[seen].mean() / chance[seen].mean())

    mass, own = times(weights)
    _, other = times(np.roll(weights, 1, axis=0))
    return {
        "mass": np.where(seen, mass, np.nan),
        "chance": chance,
        "times": own,
        "swapped": other,
    }


def compare(first, second) -> tuple:
    """Return by how much the second is right more often, and how surely.

    Args:
        first: Boolean (N,), whether one model is right.
        second: Likewise, of another model and the same videos.

    Returns:
        `(difference, error)` in percentage points: of the accuracies, and
        its standard error from the paired answers.
    """
    gains = 100 * (np.asarray(second, float) - np.asarray(first, float))
    return float(gains.mean()), float(gains.std() / len(gains) ** 0.5)
