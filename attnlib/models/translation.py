"""The translation experiment of notebook 02: data, recipe, decoding."""

import dataclasses

import keras
import numpy as np

from attnlib import datasets, text
from attnlib.models import rnnsearch
from attnlib.models.rnnsearch import RNNSearch
from attnlib.training import Batches, train_or_load

# Longer training pairs, 0.4 % of Multi30k's, would double a bucket's width.
_LONGEST = 36


@dataclasses.dataclass(frozen=True)
class Task:
    """Sentences and vocabularies of a pair of languages.

    Attributes:
        train: Dict of `source` and `target`, lists of str, and what else the
            data set has.
        validation: Likewise.
        test: Likewise.
        source: Vocabulary of the source.
        target: Vocabulary of the target; the same object when it is shared.
        digest: Digest of data and vocabularies.
        description: What the data is, in words.
    """

    train: dict
    validation: dict
    test: dict
    source: object
    target: object
    digest: str
    description: str

    @property
    def shared(self) -> bool:
        """Return whether both languages use one vocabulary."""
        return self.source is self.target


def load_task(settings) -> Task:
    """Load data and vocabularies.

    Args:
        settings: A `profiles.Translation`.

    Returns:
        A `Task`. Number words are split at spaces; Multi30k shares one
        byte-pair encoding, learned on both sides of its training set.
    """
    options = {"source": settings.source, "target": settings.target}
    name = settings.dataset
    train, validation, test = (
        datasets.load(name, split, **options)
        for split in ("train", "validation", "test")
    )
    digest = datasets.digest(name, **options)
    if name == "multi30k":
        vocabulary = text.SubwordVocabulary(
            [*train["source"], *train["target"]], settings.vocabulary_size
        )
        pair = (vocabulary, vocabulary)
        words = f"joint BPE of {len(vocabulary)}"
    else:
        pair = tuple(text.WordVocabulary(train[s]) for s in options)
        words = f"{len(pair[0])} and {len(pair[1])} morphemes"
    return Task(
        train,
        validation,
        test,
        *pair,
        digest,
        f"{name} {settings.source} -> {settings.target}, "
        f"{len(train['source'])} pairs, {words}",
    )


def pairs(task, split, rows=None):
    """Return the encoded sentences of a split, `(source, target)`.

    Args:
        task: A `Task`.
        split: `"train"`, `"validation"` or `"test"`.
        rows: Indices to keep, or None for all.
    """
    data = getattr(task, split)
    rows = range(len(data["source"])) if rows is None else rows
    return (
        [task.source.encode(data["source"][i]) for i in rows],
        [task.target.encode(data["target"][i]) for i in rows],
    )


def build(settings, task, attention, steps):
    """Return a compiled `RNNSearch` for a task.

    Args:
        settings: A `profiles.Translation`.
        task: A `Task`.
        attention: Whether it attends.
        steps: Number of updates that the learning rate decays over.
    """
    model = RNNSearch(
        len(task.source),
        len(task.target),
        embedding_size=settings.embedding_size,
        encoder_units=settings.encoder_units,
        decoder_units=settings.decoder_units,
        attention=attention,
        readout_units=settings.embedding_size,
        tied=task.shared,
        dropout=settings.dropout,
        label_smoothing=settings.label_smoothing,
    )
    model.build()
    warmup = min(settings.warmup_steps, max(1, steps // 10))
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0,
        max(1, steps - warmup),
        warmup_target=settings.learning_rate,
        warmup_steps=warmup,
    )
    model.compile(optimizer=keras.optimizers.Adam(schedule, global_clipnorm=1.0))
    return model


def train(settings, task, attention=True, rows=None, name=None):
    """Train with or without attention, or load what was trained.

    Args:
        settings: A `profiles.Translation`.
        task: A `Task`.
        attention: Whether the model attends.
        rows: Indices of the training pairs to use, or None for all up to
            `settings.examples`.
        name: Name in the cache and the progress; None makes one.

    Returns:
        An `attnlib.training.Training`.
    """
    if rows is None:
        rows = range(min(settings.examples, len(task.train["source"])))
    groups = text.length_buckets(
        *pairs(task, "train", rows), settings.buckets, _LONGEST
    )
    batches = Batches(groups, settings.batch_size, settings.seed)
    steps = settings.epochs * len(batches.epoch(0))
    held_out = text.length_buckets(
        *pairs(task, "validation"), settings.buckets
    )
    keys = (
        "dataset source target vocabulary_size embedding_size encoder_units "
        "decoder_units dropout label_smoothing batch_size learning_rate "
        "warmup_steps buckets"
    ).split()
    config = {key: getattr(settings, key) for key in keys}
    config.update(
        attention=attention,
        rows=datasets_digest(rows),
        vocabulary=[task.source.digest, task.target.digest],
    )
    return train_or_load(
        lambda: build(settings, task, attention, steps),
        batches,
        name=name or ("rnnsearch" if attention else "encoder-decoder"),
        config=config,
        epochs=settings.epochs,
        data_digest=task.digest,
        seed=settings.seed,
        version=rnnsearch.VERSION,
        validation=lambda model: validate(model, held_out),
    )


def datasets_digest(rows) -> str:
    """Return a short digest of a list of row numbers."""
    import hashlib

    return hashlib.sha256(np.asarray(rows, "int64").tobytes()).hexdigest()[:12]


def validate(model, groups) -> dict:
    """Return the mean negative log-likelihood per word of held-out data."""
    total = words = 0.0
    for x, y in groups:
        # One batch a group: every further shape would be compiled anew.
        logs = model.evaluate(
            x, y, batch_size=len(y), verbose=0, return_dict=True
        )
        count = float((y != text.PAD).sum())
        total, words = total + logs["nll"] * count, words + count
    return {"val_nll": total / words}
