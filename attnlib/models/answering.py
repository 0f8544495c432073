"""The experiment of notebook 11: questions about images, and who answers."""

import collections
import dataclasses
import difflib
import hashlib

import keras
import numpy as np
from keras import ops
from scipy.special import log_softmax, softmax

from attnlib import datasets, text
from attnlib.datasets import (
    digit_scenes,
    questions,
    scenery,
    vqa_v2,
)
from attnlib.models import captions, encoders
from attnlib.models import question_answering as qa
from attnlib.models.glimpse_data import unit
from attnlib.models.provenance import Provenance, digest_of
from attnlib.ops import checks
from attnlib.training import Batches, train_or_load, warmed_adam

SPLITS = ("train", "validation", "test")
# Kinds of models, and what each is built of.
KINDS = {
    "question": (qa.QuestionOnly, {}),
    "ibowimg": (qa.BagOfWordsImage, {}),
    "lstm-q-i": (qa.LSTMAnswers, {"attention": False}),
    "lstm-att": (qa.LSTMAnswers, {"attention": True}),
    "smem-1": (qa.SpatialMemoryNetwork, {"hops": 1}),
    "smem-2": (qa.SpatialMemoryNetwork, {"hops": 2}),
    "san-1": (qa.StackedAttentionNetwork, {"hops": 1}),
    "san-2": (qa.StackedAttentionNetwork, {"hops": 2}),
    "san-1-cnn": (qa.StackedAttentionNetwork, {"hops": 1, "question": "cnn"}),
    "san-2-cnn": (qa.StackedAttentionNetwork, {"hops": 2, "question": "cnn"}),
}
# Those that do not attend, and learn soon what they can.
_BLIND = ("question", "ibowimg", "lstm-q-i")
# Visual7W's two tasks: kinds of the same names, other classes.
_CHOOSING = {"telling": qa.LSTMTelling, "pointing": qa.LSTMPointing}

# What each encoder is, in words.
ENCODERS = {
    "named": "encoder trained to name single digits, frozen",
    "joint": "encoder trained with the rest",
    "vgg19": "VGG-19 trained on ImageNet, frozen",
}

# How the learning rate ends: high until the last fifth, or as a cosine.
SCHEDULES = ("steady", "cosine")

# Side of the windows on single digits that the encoder learns to name, and
# how far, in pixels, a digit may be off their middle.
_WINDOW, _OFF = 32, 6
# Pixels of a cell of its features.
_CELL = 8
_SINGLE = {"fewest": 1, "most": 1}
_HELD, _NAMED_TOGETHER = 400, 64
# Images or questions that are looked at together.
_TOGETHER = 200
# Training images whose features tell their scale.
_SAMPLE = 500
_RECIPE = (
    "encoder grid position_grid filters units attention_units dropout "
    "batch_size learning_rate warmup_steps schedule"
).split()
_NAMING = "filters names named_epochs".split()


@dataclasses.dataclass(frozen=True)
class Task(Provenance):
    """Questions about images, as models read them.

    Attributes:
        train: Dict of what `datasets.load` gives, `images`, `question`,
            `answer`, `kind`, `image` and perhaps more, and of `seen`: what
            models get of the images, float32 features (N, h, w, D) or, where
            the encoder is trained with them, uint8 images.
        validation: Likewise.
        test: Likewise.
        vocabulary: A `text.WordVocabulary`.
        answers: Answers of the training set, most frequent first.
        longest: Words of the longest question, telling's answers included.
        grid: Rows and columns of the features.
        about: `"mixed"` and so on, see `datasets.question_scenes`; the name of
            the data set elsewhere.
        look: Function from images of bytes (N, H, W, 3) to what models get of
            them, as in `seen`.
        encoder: What the images are looked at with, in words.
        name: Name of the data set.
        digest: Digest of data and encoder.
        description: What the data is, in words.
    """

    train: dict
    validation: dict
    test: dict
    vocabulary: object
    answers: list
    longest: int
    grid: tuple
    about: str
    look: object
    encoder: str
    name: str
    digest: str
    description: str

    @property
    def knows_boxes(self) -> bool:
        """Return whether it is known where what a question names is."""
        return "box" in self.test

    @property
    def size(self) -> tuple:
        """Return height and width of the images in pixels."""
        return tuple(self.test["images"].shape[1:3])


# The encoder


@keras.saving.register_keras_serializable(package="attnlib")
class DigitNamer(keras.Model):
    """Name the digit in a window and its colour: where an encoder learns.

    The mean of the features of all cells goes to two linear layers, so that a
    cell's features themselves have to say what is there.

    Args:
        filters: Width of the encoder's first layer.
        **kwargs: Of `keras.Model`.

    Call arguments:
        images: Floating tensor, shape (B, 32, 32, 3).

    Returns:
        A dict of logits: `digit`, shape (B, 10), and `colour`, shape (B, 6).
    """

    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.encoder = _joint(_WINDOW, _WINDOW // _CELL, filters)
        self.digit = keras.layers.Dense(len(scenery.DIGITS), name="digit")
        self.colour = keras.layers.Dense(len(scenery.COLOURS), name="colour")

    def build(self, images_shape):
        self.digit.build((None, 4 * self.filters))
        self.colour.build((None, 4 * self.filters))
        self.built = True

    def call(self, images, training=None):
        features = self.encoder(images, training=training)
        mean = ops.mean(features, axis=(1, 2))
        return {"digit": self.digit(mean), "colour": self.colour(mean)}

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


def _joint(side, grid, filters):
    return captions.build_encoder(side, grid, filters)


def _windows(images, boxes, generator):
    """Cut a window around each digit, float32 in [0, 1]."""
    side = images.shape[1]
    offset = generator.integers(-_OFF, _OFF + 1, (len(images), 2))
    corners = boxes[:, :2] + boxes[:, 2:] // 2 - _WINDOW // 2 + offset
    x, y = corners.clip(0, side - _WINDOW).T
    windows = np.lib.stride_tricks.sliding_window_view(
        images, (_WINDOW, _WINDOW), axis=(1, 2)
    )
    return unit(np.moveaxis(windows[np.arange(len(images)), y, x], 1, -1))


def train_encoder(settings):
    """Train the encoder of the scenes to name digits, or load it.

    The papers' CNNs were trained to name what is in a photograph, and frozen.
    Ours learns to name single digits and their colours, in windows of 32
    pixels of scenes with one digit, and is frozen, too.

    Args:
        settings: A `profiles.QuestionAnswering`.

    Returns:
        An `attnlib.training.Training` of a `DigitNamer`; its history has
        `val_digit` and `val_colour`, the shares of held-out digits and colours
        that are named right.
    """
    train, held = (
        datasets.load("digit_scenes", split, count=count, **_SINGLE)
        for split, count in (("train", settings.names), ("validation", _HELD))
    )
    rows = np.arange(settings.names)
    batches = Batches(
        [(rows, rows)],
        _NAMED_TOGETHER,
        settings.seed,
        lambda x, y, generator: _named_windows(train, x, generator),
    )
    steps = settings.named_epochs * len(batches.epoch(0))
    images, names = _named_windows(
        held, np.arange(_HELD), np.random.default_rng(0)
    )

    def validate(model):
        found = model.predict(images, batch_size=_TOGETHER, verbose=0)
        return {
            f"val_{key}": float((found[key].argmax(axis=-1) == true).mean())
            for key, true in names.items()
        }

    return train_or_load(
        lambda: _build_namer(settings, steps),
        batches,
        name="questions-encoder",
        config={key: getattr(settings, key) for key in _NAMING},
        epochs=settings.named_epochs,
        data_digest=datasets.digest("digit_scenes", **_SINGLE),
        seed=settings.seed,
        version=qa.VERSION,
        validation=validate,
    )


def _named_windows(part, rows, generator):
    """Return windows on the digits of some scenes, and their names."""
    windows = _windows(part["images"][rows], part["boxes"][rows, 0], generator)
    names = {"digit": part["label"][rows, 0], "colour": part["colour"][rows, 0]}
    return windows, names


def _build_namer(settings, steps):
    """Return a compiled `DigitNamer`."""
    model = DigitNamer(settings.filters)
    model.build((None, _WINDOW, _WINDOW, 3))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    schedule = keras.optimizers.schedules.CosineDecay(5e-3, steps)
    optimizer = keras.optimizers.Adam(schedule)
    model.compile(optimizer, {"digit": loss, "colour": loss})
    return model


def _encoder(settings, size, namer, grid):
    """Return the encoder of a profile, for images of a height and width.

    A named one has the namer's weights, since its layers do not depend on the
    size; its cells of 8 pixels are averaged to a smaller grid.
    """
    side = size[0]
    if settings.encoder == "vgg19":
        return encoders.vgg19(side)
    if settings.encoder == "joint":
        return _joint(side, grid, settings.filters)
    fine = side // _CELL
    if fine % grid:
        raise ValueError(
            f"expected a grid that divides {fine}, images of {side} pixels in "
            f"cells of {_CELL}. Received: {grid}"
        )
    encoder = _joint(side, fine, settings.filters)
    encoder.set_weights(namer.encoder.get_weights())
    encoder.add(keras.layers.AveragePooling2D(fine // grid))
    encoder.trainable = False
    return encoder


def _look(encoder, images):
    """Return the features of images of bytes, float32 (N, h, w, D)."""
    parts = [
        ops.convert_to_numpy(
            encoder(unit(images[start : start + _TOGETHER]), training=False)
        )
        for start in range(0, len(images), _TOGETHER)
    ]
    return np.concatenate(parts).astype("float32")


# The data


def load_task(settings, about="mixed", namer=None) -> Task:
    """Load questions and images, and look at these.

    Args:
        settings: A `profiles.QuestionAnswering`.
        about: Which questions: of scenes one of `question_scenes.TASKS`, of
            Visual7W `"telling"` or `"pointing"`. Other data sets ignore it.
        namer: The model of `train_encoder`, with the encoder `"named"`.

    Returns:
        A `Task`. Vocabulary and answers are of the training questions alone.

    Raises:
        ValueError: The encoder is `"named"` and no `namer` is given.
    """
    checks.one_of("encoder", settings.encoder, tuple(ENCODERS))
    if settings.encoder == "named" and namer is None:
        raise ValueError(
            "expected namer=train_encoder(settings).model with the encoder "
            "'named'. Received: None"
        )
    several = settings.dataset in ("question_scenes", "visual7w")
    about = about if several else settings.dataset
    parts, plan = {}, []
    for split in SPLITS:
        options = _options(settings, about, split)
        parts[split] = datasets.load(settings.dataset, split, **options)
        plan.append(options)
    train = parts["train"]
    if not several:
        _keep_frequent(train, settings.num_answers)
    telling = about == "telling"
    lines = list(train["question"]) + telling * list(train["answer"])
    vocabulary = text.WordVocabulary(lines, settings.min_count)
    counts = collections.Counter(train["answer"])
    answers = sorted(counts, key=lambda answer: (-counts[answer], answer))
    size = train["images"].shape[1:3]
    grid = _grid(settings, about)
    look, eye = _see(settings, train["images"], namer, grid)
    for part in parts.values():
        part["seen"] = look(part["images"])
    digest = f"{datasets.digest(settings.dataset)} {plan} {eye}"
    return Task(
        **parts,
        vocabulary=vocabulary,
        answers=answers,
        longest=max(map(_longest, parts.values())),
        grid=(grid, grid),
        about=about,
        look=look,
        encoder=ENCODERS[settings.encoder],
        name=settings.dataset,
        digest=digest_of(digest),
        description=(
            f"{settings.dataset}, {len(train['question'])} training questions "
            f"about {len(train['images'])} images of {size[0]}x{size[1]}, "
            f"{len(answers)} answers; {ENCODERS[settings.encoder]}"
        ),
    )


def load_tasks(settings, namer=None) -> dict:
    """Load all questions of a profile.

    Args:
        settings: A `profiles.QuestionAnswering`.
        namer: As of `load_task`.

    Returns:
        Dict from `Task.about` to `Task`: of scenes those of the profile,
        telling and pointing of Visual7W, or the data set's only one.
    """
    kinds = (settings.dataset,)
    if settings.dataset == "question_scenes":
        kinds = settings.tasks
    if settings.dataset == "visual7w":
        kinds = ("telling", "pointing")
    tasks = [load_task(settings, kind, namer) for kind in kinds]
    return {task.about: task for task in tasks}


def record_of(tasks) -> dict:
    """Return what `claims.begin` wants to know about several tasks.

    Args:
        tasks: From `load_tasks`.
    """
    first, *_ = tasks.values()
    digests = " ".join(task.digest for task in tasks.values())
    asked = ", ".join(
        f"{len(task.train['question'])} ({about})"
        for about, task in tasks.items()
    )
    height, width = first.size
    return {
        "name": first.name,
        "digest": digest_of(digests),
        "description": (
            f"{first.name}, training questions: {asked}, images of "
            f"{height}x{width}; {first.encoder}"
        ),
    }


def _count(settings, about):
    """Return how many training scenes questions are about."""
    return {
        "mixed": settings.scenes,
        "absolute": settings.position_scenes,
        "relative": settings.position_scenes,
    }.get(about, settings.choice_scenes)


def _options(settings, about, split):
    """Return what a data set is asked for."""
    side = settings.side
    if settings.dataset == "daquar":
        return {"width": side, "height": side}
    if settings.dataset == "visual7w":
        return {"size": side, "task": about}
    if settings.dataset != "question_scenes":
        return {"size": side}
    train = split == "train"
    count = _count(settings, about) if train else settings.held_out
    kinds = {"mixed": settings.kinds, "telling": settings.told_kinds}
    return {
        "task": about,
        "kinds": kinds.get(about),
        "scenes": count,
        "size": side,
    }


def _longest(part):
    """Return the words of a split's longest question, answers included."""
    sizes = [len(line.split()) for line in part["question"]]
    if "choices" in part:
        sizes = [
            size + 1 + max(len(told.split()) for told in choices)
            for size, choices in zip(sizes, part["choices"], strict=True)
        ]
    return max(sizes)


def _keep_frequent(train, count):
    """Leave out training questions whose answer is not among the frequent.

    Those of the other splits stay, and count as wrong.
    """
    common = collections.Counter(train["answer"]).most_common(count)
    kept = {answer for answer, _ in common}
    rows = [i for i, answer in enumerate(train["answer"]) if answer in kept]
    for key, column in train.items():
        if key == "images":
            continue
        if isinstance(column, list):
            train[key] = [column[i] for i in rows]
        else:
            train[key] = column[rows]


def _grid(settings, about):
    """Return how many rows of cells a task's features have."""
    if about in ("absolute", "relative"):
        return settings.position_grid
    return settings.grid


def _see(settings, images, namer, grid):
    """Return the function that looks at images, and a digest of it.

    Args:
        settings: A `profiles.QuestionAnswering`.
        images: Images of the training set. The features of a cell get twice
            the length that its coordinates have (`question_layers.locate`), on
            average, so that neither drowns the other.
        namer: As of `load_task`.
        grid: Rows of cells that the features have.
    """
    if settings.encoder == "joint":
        return np.asarray, "images"
    encoder = _encoder(settings, images.shape[1:3], namer, grid)
    found = _look(encoder, images[:_SAMPLE])
    rows, columns = found.shape[1:3]
    # Mean squares of cells counted from the middle.
    where = (rows**2 - 1 + columns**2 - 1) / 12
    what = np.square(found).sum(axis=-1).mean()
    scale = np.float32(2 * np.sqrt(where / what))
    total = hashlib.sha256(scale.tobytes())
    for weight in encoder.get_weights():
        total.update(np.ascontiguousarray(weight).tobytes())
    return lambda images: scale * _look(encoder, images), total.hexdigest()


def read_question(task, question) -> str:
    """Return a question that a person typed, or say what is wrong with it.

    Args:
        task: A `Task`.
        question: Text. Capitals and punctuation do not matter.

    Raises:
        ValueError: It is no text, has no word, a word that no training
            question had, or more words than any question.

    """
    if not isinstance(question, str):
        raise ValueError(
            "expected a question as a text. Received: "
            f"{type(question).__name__}"
        )
    words = questions.words(question).split()
    if not words:
        raise ValueError(
            f"expected a question of at least one word. Received: {question!r}"
        )
    known = task.vocabulary.words[text.END + 1 :]
    for word in words:
        if word not in known:
            raise ValueError(
                "expected words that the training questions have, such as "
                f"{', '.join(known[:5])}. Received: {word!r}."
                f"{_hint(word, known)}"
            )
    if len(words) > task.longest:
        raise ValueError(
            f"expected at most {task.longest} words. Received: {len(words)}"
        )
    return " ".join(words)


def askable(task, split="test") -> np.ndarray:
    """Return the rows of a split whose questions `read_question` reads.

    With real questions some words occur too rarely to be learned.

    Args:
        task: A `Task`.
        split: `"train"`, `"validation"` or `"test"`.

    Returns:
        Integers (R,), rising.
    """
    known = set(task.vocabulary.words[text.END + 1 :])
    rows = [
        row
        for row, question in enumerate(getattr(task, split)["question"])
        if (words := questions.words(question).split())
        and known.issuperset(words)
        and len(words) <= task.longest
    ]
    return np.array(rows, int)


def _hint(received, known):
    """Return what was perhaps meant, or nothing."""
    near = difflib.get_close_matches(received, known, 1, 0.6)
    return f" Did you mean {near[0]!r}?" if near else ""


def read_answer(task, answer) -> int:
    """Return the number of an answer.

    Args:
        task: A `Task`.
        answer: One of `task.answers`.

    Raises:
        ValueError: No training question had this answer.
    """
    if answer not in task.answers:
        raise ValueError(
            f"expected one of the {len(task.answers)} answers of the training "
            f"questions. Received: {answer!r}."
            f"{_hint(str(answer), task.answers)}"
        )
    return task.answers.index(answer)


def _ids(task, lines):
    """Return padded ids (Q, T) of questions."""
    return text.pad(
        [task.vocabulary.encode(line) for line in lines], task.longest
    )


def _told(task, lines, answers):
    """Return questions with answers, and the next words to be learned.

    Returns:
        `(words, following)`, ids (Q, T) each: question, END, answer; and the
        answer and END, one place earlier, 0 elsewhere.
    """
    encode = task.vocabulary.encode
    width = task.longest
    words, following = [], []
    for line, answer in zip(lines, answers, strict=True):
        asked, told = encode(line), encode(answer)
        words.append([*asked, text.END, *told])
        following.append([text.PAD] * len(asked) + [*told, text.END])
    return text.pad(words, width), text.pad(following, width)


def _regions(task, boxes):
    """Return how much of each region every cell holds, float32 (Q, A, L)."""
    side = task.size[0]
    held = digit_scenes.coverage(boxes, task.grid, side)
    return (held / held.sum(axis=-1, keepdims=True)).astype("float32")


def groups(task, split):
    """Return the questions of a split as `(x, y)` for `Batches`.

    Args:
        task: A `Task`.
        split: `"train"`, `"validation"` or `"test"`.

    Returns:
        x has `image` (Q,), the images' numbers, `question` (Q, T) and, for
        pointing, `regions` (Q, 4, L); y has the answers' numbers (Q,), -1
        where no training question had it, the right box's number, or the next
        words (Q, T) for telling.
    """
    data = getattr(task, split)
    x = {"image": np.asarray(data["image"])}
    if task.about == "telling":
        x["question"], y = _told(task, data["question"], data["answer"])
        return x, y
    x["question"] = _ids(task, data["question"])
    if task.about == "pointing":
        x["regions"] = _regions(task, data["choice_boxes"])
        return x, data["choice"]
    place = {answer: i for i, answer in enumerate(task.answers)}
    y = [place.get(answer, -1) for answer in data["answer"]]
    return x, np.array(y, "int32")


def _shown(task, split, x):
    """Return x with what models get of its images."""
    seen = getattr(task, split)["seen"][x["image"]]
    if seen.dtype == np.uint8:
        seen = unit(seen)
    return {**x, "image": seen}


# Models


def build(settings, task, kind, steps):
    """Return a compiled model for a task.

    Args:
        settings: A `profiles.QuestionAnswering`.
        task: A `Task`.
        kind: One of `KINDS`; for telling and pointing `"lstm-att"` or
            `"lstm-q-i"`.
        steps: Number of updates that the learning rate decays over.

    Raises:
        ValueError: There is no such kind for this task.
    """
    known = tuple(KINDS)
    if task.about in _CHOOSING:
        known = ("lstm-q-i", "lstm-att")
    checks.one_of("kind", kind, known)
    layer, options = KINDS[kind]
    layer = _CHOOSING.get(task.about, layer)
    words = len(task.vocabulary)
    outputs = {"telling": words, "pointing": 4}
    options = {
        **options,
        "units": settings.units,
        "dropout": settings.dropout,
    }
    if layer is qa.StackedAttentionNetwork:
        options["attention_units"] = settings.attention_units
    if settings.encoder == "joint":
        options["encoder"] = _encoder(settings, task.size, None, task.grid[0])
    model = layer(words, outputs.get(task.about, len(task.answers)), **options)
    shape = {
        "image": (None, *task.train["seen"].shape[1:]),
        "question": (None, task.longest),
    }
    model.build(shape)
    model.compile(_optimizer(settings, steps))
    return model


def _optimizer(settings, steps):
    """Return Adam with the schedule of a profile.

    A second look learns late, after thousands of updates in which it has
    nothing to gain. `"steady"` keeps the rate high until a fifth is left.
    """
    checks.one_of("schedule", settings.schedule, SCHEDULES)
    if settings.schedule == "cosine":
        return warmed_adam(settings, steps)
    rate = settings.learning_rate
    ends = [max(1, 4 * steps // 5), max(2, 9 * steps // 10)]
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay(
        ends, [rate, rate / 4, rate / 16]
    )
    return keras.optimizers.Adam(schedule, global_clipnorm=1.0)


def train(settings, task, kind):
    """Train a model, or load the one that was trained.

    Args:
        settings: A `profiles.QuestionAnswering`.
        task: A `Task`.
        kind: As in `build`.

    Returns:
        An `attnlib.training.Training`, whose history has `val_accuracy`, a
        share.
    """
    x, y = groups(task, "train")
    batches = Batches(
        [(x, y)],
        settings.batch_size,
        settings.seed,
        lambda x, y, _: (_shown(task, "train", x), y),
    )
    epochs = _epochs(settings, task.about, kind)
    steps = epochs * len(batches.epoch(0))

    def validate(model):
        if not len(task.validation["question"]):
            return {}
        right = answer(model, task, "validation")["right"]
        return {"val_accuracy": float(right.mean())}

    return train_or_load(
        lambda: build(settings, task, kind, steps),
        batches,
        name=f"questions-{task.about.replace('_', '-')}-{kind}",
        config={
            "kind": kind,
            **{key: getattr(settings, key) for key in _RECIPE},
        },
        epochs=epochs,
        data_digest=task.digest,
        seed=settings.seed,
        version=qa.VERSION,
        validation=validate,
    )


def _epochs(settings, about, kind):
    """Return how often a model sees its training questions."""
    blind = kind in _BLIND
    own = settings.blind_epochs if blind else settings.epochs
    # Half as many are enough to find that "no" is most often right.
    positions = max(1, settings.position_epochs // (2 if blind else 1))
    return {
        "absolute": positions,
        "relative": positions,
        "telling": settings.choice_epochs,
        "pointing": settings.choice_epochs,
    }.get(about, own)


def train_all(settings, task, kinds) -> dict:
    """Train, or load, several models.

    Args:
        settings: A `profiles.QuestionAnswering`.
        task: A `Task`.
        kinds: As in `build`.

    Returns:
        Dict from kind to `training.Training`.
    """
    return {kind: train(settings, task, kind) for kind in kinds}


# What they answer


def answer(model, task, split="test", rows=None) -> dict:
    """Let a model answer the questions of a split.

    Args:
        model: From `build` for this task.
        task: A `Task`.
        split: `"train"`, `"validation"` or `"test"`.
        rows: Numbers of the questions; None for all.

    Returns:
        Dict of `scores`, float32 (Q, A): log-probabilities of the answers, of
        the four boxes, or of the four answers to choose from (log-likelihood
        of their words); `right` bool (Q,); and `weights` (Q, K, L), of K
        looks, except for telling.
    """
    data = getattr(task, split)
    rows = np.arange(len(data["question"])) if rows is None else rows
    if task.about == "telling":
        scores = _likelihoods(model, task, split, rows)
        right = scores.argmax(axis=1) == data["choice"][rows]
        return {"scores": scores, "right": right}
    x, y = groups(task, split)
    parts = []
    for start in range(0, len(rows), _TOGETHER):
        some = rows[start : start + _TOGETHER]
        part = {key: column[some] for key, column in x.items()}
        parts.append(_run(model, _shown(task, split, part)))
    out = {
        key: np.concatenate([part[key] for part in parts]) for key in parts[0]
    }
    scores = log_softmax(out["logits"], axis=-1)
    best = scores.argmax(axis=1)
    right = best == y[rows]
    if "answers" in data:
        said = [task.answers[i] for i in best]
        right = vqa_v2.consensus_accuracy(
            said, [data["answers"][i] for i in rows]
        )
    return {"scores": scores, "right": right, "weights": out["weights"]}


def _run(model, inputs):
    """Return a model's outputs as arrays."""
    # Compiled once for a size: the last part is filled up with its first row.
    count = len(inputs["question"])
    filled = {
        key: np.concatenate(
            [column, np.repeat(column[:1], _TOGETHER - count, axis=0)]
        )
        for key, column in inputs.items()
    }
    out = model.predict_on_batch(filled)
    return {key: np.asarray(value)[:count] for key, value in out.items()}


def _likelihoods(model, task, split, rows):
    """Return log-likelihoods (Q, 4) of the answers to choose from."""
    data = getattr(task, split)
    lines = [(i, told) for i in rows for told in data["choices"][i]]
    found = []
    for start in range(0, len(lines), _TOGETHER):
        some = lines[start : start + _TOGETHER]
        numbers = np.array([i for i, _ in some])
        words, following = _told(
            task,
            [data["question"][i] for i in numbers],
            [told for _, told in some],
        )
        x = {"image": np.asarray(data["image"])[numbers], "question": words}
        logits = _run(model, _shown(task, split, x))["logits"]
        logs = np.take_along_axis(
            log_softmax(logits, axis=-1), following[..., None], axis=-1
        )[..., 0]
        found.append((logs * (following != text.PAD)).sum(axis=1))
    return np.concatenate(found).reshape(len(rows), -1)


def ask(model, task, image, question) -> dict:
    """Ask a question of one's own about an image.

    Args:
        model: From `build`, for a task with a softmax over answers.
        task: Its `Task`.
        image: Image of bytes (H, W, 3), of the size of the task's.
        question: Text, see `read_question`.

    Returns:
        Dict of `answers`, all that the model can say, `probabilities`, one for
        each, and `weights` (K, L): what `figures.answered_question` draws.

    Raises:
        ValueError: The question cannot be read, or the image has another
            shape or other numbers.
    """
    image = np.asarray(image)
    if image.shape != (*task.size, 3) or image.dtype != np.uint8:
        raise ValueError(
            f"expected an image of bytes of shape {(*task.size, 3)}. Received: "
            f"shape {image.shape}, dtype {image.dtype}. Resize or convert it"
        )
    ids = _ids(task, [read_question(task, question)])
    seen = task.look(image[None])
    inputs = {
        "image": unit(seen) if seen.dtype == np.uint8 else seen,
        "question": ids,
    }
    out = _run(model, inputs)
    return {
        "answers": task.answers,
        "probabilities": softmax(out["logits"][0]),
        "weights": out["weights"][0],
    }


# How good they are


def accuracy(task, right, split="test") -> dict:
    """Return the share of right answers: of all, of each kind and hop.

    Args:
        task: A `Task`.
        right: bool (Q,), of all questions of the split.
        split: `"train"`, `"validation"` or `"test"`.

    Returns:
        Dict of percentages: `"all"`, each kind of question, and, where hops
        are known, `"1 hop"` and `"2 hops"`.
    """
    data = getattr(task, split)
    right = np.asarray(right)
    kinds = np.array(data["kind"])
    found = {"all": right.mean()}
    for kind in sorted(set(data["kind"])):
        found[kind] = right[kinds == kind].mean()
    if "hops" in data:
        for hops in sorted(set(data["hops"].tolist())):
            name = f"{hops} hop{'s' if hops > 1 else ''}"
            found[name] = right[data["hops"] == hops].mean()
    return {name: 100 * float(share) for name, share in found.items()}


def most_frequent(task, split="test") -> np.ndarray:
    """Say which questions the most frequent answer to their kind answers.

    Args:
        task: A `Task`.
        split: `"train"`, `"validation"` or `"test"`.

    Returns:
        bool (Q,).
    """
    counts = collections.defaultdict(collections.Counter)
    train, data = task.train, getattr(task, split)
    for kind, told in zip(train["kind"], train["answer"], strict=True):
        counts[kind][told] += 1
    best = {kind: seen.most_common(1)[0][0] for kind, seen in counts.items()}
    return np.array(
        [
            best.get(kind) == told
            for kind, told in zip(data["kind"], data["answer"], strict=True)
        ]
    )


def attention_mass(task, weights, split="test") -> dict:
    """Measure how much attention is on what each hop should look at.

    Args:
        task: A `Task` that knows boxes.
        weights: Of all questions of the split, (Q, K, L).
        split: `"train"`, `"validation"` or `"test"`.

    Returns:
        Dict of arrays of the N questions about something that is there:
        `rows`, their numbers; `mass` (N, K, 2): the share of each look at the
        cells that hold a part of the first and of the second object; `inside`
        alike, where a cell counts for no more than the share of it that lies
        in the object's box; and `chance` (N, 2), the share of all cells that
        hold a part.
    """
    data = getattr(task, split)
    rows = np.flatnonzero(~np.isnan(data["box"]).any(axis=(1, 2)))
    held = digit_scenes.coverage(data["box"][rows], task.grid, task.size[0])
    some = weights[rows].astype(np.float64)
    touched = (held > 0).astype(np.float64)
    return {
        "rows": rows,
        "mass": np.einsum("nkl,njl->nkj", some, touched),
        "inside": np.einsum("nkl,njl->nkj", some, held),
        "chance": touched.mean(axis=-1),
    }
