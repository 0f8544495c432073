"""The experiment of notebook 01: what fits through one vector."""

import dataclasses

import numpy as np
import scipy.stats

from attnlib import datasets, profiles, text
from attnlib.datasets import reversal
from attnlib.models import encoder_decoder, rnnsearch, translation
from attnlib.models.encoder_decoder import RNNEncoderDecoder
from attnlib.models.rnnsearch import RNNSearch
from attnlib.models.translation import Task

# Bits that one letter is worth.
BITS = np.log2(len(reversal.LETTERS))
_RECIPE = (
    "embedding_size encoder_units decoder_units batch_size learning_rate "
    "warmup_steps buckets"
).split()


def load_task(settings) -> Task:
    """Load words and the vocabulary of letters.

    Args:
        settings: A `profiles.EncoderDecoder`.

    Returns:
        A `translation.Task`, whose words have `settings.shortest` to
        `settings.longest` letters; no test word is a training word.
    """
    options = {
        "shortest": settings.shortest,
        "longest": settings.longest,
        "count": settings.examples,
    }
    splits = {
        split: datasets.load(
            "reversal",
            split,
            **{**options, "count": settings.held_out} if held_out else options,
        )
        for split, held_out in (
            ("train", False),
            ("validation", True),
            ("test", True),
        )
    }
    letters = text.WordVocabulary(reversal.LETTERS)
    return Task(
        **splits,
        source=letters,
        target=letters,
        digest=datasets.digest("reversal", **options),
        description=(
            f"reversal, {settings.examples} words of {settings.shortest} to "
            f"{settings.longest} random letters, to be written backwards"
        ),
        name="reversal",
        languages=("word", "backwards"),
    )


def words_settings(settings):
    """Return the settings of the models of number words.

    Args:
        settings: A `profiles.EncoderDecoder`.

    Returns:
        A `profiles.Translation`.
    """
    return profiles.load(
        "02", "quick", seed=settings.seed, **dict(settings.number_words)
    )


def build(settings, task, kind, steps):
    """Return a compiled model of a kind.

    Both kinds have equally many numbers to remember a source by: the
    encoder-decoder's only state is as wide as the two states that the
    searching model has of each letter.

    Args:
        settings: A `profiles.EncoderDecoder` or `profiles.Translation`.
        task: A `translation.Task`.
        kind: `"encdec"` (Cho et al. 2014) or `"search"` (Bahdanau et al.
            2015).
        steps: Number of updates that the learning rate decays over.
    """
    one = kind == "encdec"
    model = (RNNEncoderDecoder if one else RNNSearch)(
        len(task.source),
        len(task.target),
        embedding_size=settings.embedding_size,
        encoder_units=(2 if one else 1) * settings.encoder_units,
        decoder_units=settings.decoder_units,
        readout_units=settings.embedding_size,
        readout="tanh",
    )
    return translation.prepare(model, settings, steps)


def train(settings, task, kind, rows=None, name=None):
    """Train one model, or load what was trained.

    Args:
        settings: A `profiles.EncoderDecoder` or `profiles.Translation`.
        task: A `translation.Task`.
        kind: `"encdec"` or `"search"`.
        rows: Indices of the training words to use, or None for all.
        name: Name in the cache and the progress; None makes one.

    Returns:
        An `attnlib.training.Training`.
    """
    module = encoder_decoder if kind == "encdec" else rnnsearch
    return translation.fit(
        lambda steps: build(settings, task, kind, steps),
        settings,
        task,
        range(len(task.train["source"])) if rows is None else rows,
        name=name or f"{translation.CALLED[kind]}-{task.name}",
        config={
            "kind": kind,
            **{key: getattr(settings, key) for key in _RECIPE},
        },
        version=module.VERSION,
    )


def short_rows(task, longest) -> list:
    """Return which training words have at most so many letters."""
    words = task.train["alignment"]
    return [i for i, word in enumerate(words) if len(word) <= longest]
