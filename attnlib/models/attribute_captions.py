"""The experiment of notebook 15: captions with words found in the image.

A detector finds words in the images, a captioner attends to them. Both read
the same images; the captioner gets features and words as arrays, so that words
can be taken away, added and corrupted by hand.
"""

import collections
import dataclasses
import os

import numpy as np
from keras import ops
from scipy.special import expit

from attnlib import text
from attnlib.models import captions, semantic_attention
from attnlib.models.glimpse_data import unit
from attnlib.models.measures import entropy
from attnlib.models.semantic_attention import (
    AttributeDetector,
    SemanticCaptioner,
)
from attnlib.ops import checks
from attnlib.text import UNKNOWN
from attnlib.training import Batches, train_or_load, warmed_adam

# What each kind of captioner changes. Those with `true` read the words that
# people used instead of those that the detector found.
KINDS = {
    "none": {"attention": "none"},
    "input": {"attention": "input"},
    "output": {"attention": "output"},
    "both": {},
    "both-uniform": {"uniform": True},
    "both-no-penalty": {"penalty_weight": 0.0},
    "both-true": {},
}

# Words that no detector could see; those of relations are not among them.
UNSEEN_WORDS = captions.FUNCTION_WORDS | frozenset(
    "are as at be being but by for from has have he her his into on or other "
    "out she some that their them they this through up was while who".split()
)

# Longer captions would double a bucket's width.
_LONGEST = 24
# Images that are looked at together.
_TOGETHER = 200
# A word counts as found where it is more probable than not.
_FOUND = 0.5
_SPLITS = ("train", "validation", "test")
_DETECTOR = (
    "side grid filters detector_units detector_batch detector_rate warmup_steps"
).split()
_RECIPE = (
    "embedding_size units attributes dropout label_smoothing captions_each "
    "batch_size learning_rate warmup_steps buckets"
).split()
_PENALTY = ("attribute_penalty", "penalty_p", "penalty_q")


@dataclasses.dataclass(frozen=True)
class Attributes:
    """Words that may be attributes, and which images they fit.

    Attributes:
        words: K str, the most frequent ones first.
        ids: Their numbers in the task's vocabulary.
        train: float32 (N, K), 1 where a caption of the image has the word.
        validation: Likewise.
        test: Likewise.
    """

    words: tuple
    ids: tuple
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    def strengths(self, words) -> np.ndarray:
        """Return given words as an image's attributes, float32 (K,).

        Args:
            words: The words, any number of them.

        Raises:
            ValueError: One of them cannot be an attribute.

        Example:

        >>> empty = np.zeros((0, 2), "float32")
        >>> two = Attributes(("red", "six"), (4, 5), empty, empty, empty)
        >>> two.strengths(["six"]).tolist()
        [0.0, 1.0]
        """
        unknown = [word for word in words if word not in self.words]
        if unknown:
            few = ", ".join(self.words[:40])
            more = " and so on" if len(self.words) > 40 else ""
            raise ValueError(
                f"expected words among {few}{more}. Received: "
                f"{unknown[0]!r}; leave it out"
            )
        found = np.zeros(len(self.words), "float32")
        found[[self.words.index(word) for word in words]] = 1
        return found

    def names(self, strengths) -> list:
        """Return the words of an image whose strengths (K,) are above 0."""
        order = np.argsort(-np.asarray(strengths), kind="stable")
        return [self.words[i] for i in order if strengths[i] > 0]


def choose_attributes(task, most) -> Attributes:
    """Choose the words that most training images are described by.

    Args:
        task: A `captions.Task`.
        most: Largest number of words.

    Returns:
        An `Attributes`. Function words are left out, and words that the
        vocabulary lacks.

    Raises:
        ValueError: No such word is left.
    """
    checks.positive_integer("most", most)
    said = {
        split: [
            {word for line in lines for word in line.split()}
            for lines in getattr(task, split)["captions"]
        ]
        for split in _SPLITS
    }
    counts = collections.Counter(w for words in said["train"] for w in words)
    able = [
        word
        for word in counts
        if word not in UNSEEN_WORDS
        and task.vocabulary.encode(word) != [UNKNOWN]
    ]
    words = sorted(able, key=lambda word: (-counts[word], word))[:most]
    if not words:
        raise ValueError(
            "expected captions with words that can be seen. Received: "
            "function words alone"
        )
    labels = {
        split: np.array(
            [[word in row for word in words] for row in rows], "float32"
        )
        for split, rows in said.items()
    }
    ids = tuple(task.vocabulary.encode(" ".join(words)))
    return Attributes(tuple(words), ids, **labels)


def build_detector(settings, task, attributes, steps) -> AttributeDetector:
    """Return a compiled detector.

    Args:
        settings: A `profiles.SemanticAttention`.
        task: A `captions.Task`.
        attributes: An `Attributes`.
        steps: Number of updates that the learning rate decays over.
    """
    detector = AttributeDetector(
        len(attributes.words),
        settings.detector_units,
        captions.make_encoder(settings, task.side),
    )
    detector.build((None, task.side, task.side, 3))
    own = dataclasses.replace(settings, learning_rate=settings.detector_rate)
    detector.compile(warmed_adam(own, steps))
    return detector


def train_detector(settings, task, attributes):
    """Train the detector, or load the one that was trained.

    Args:
        settings: A `profiles.SemanticAttention`.
        task: A `captions.Task`.
        attributes: An `Attributes`.

    Returns:
        An `attnlib.training.Training`, whose history has `val_precision` and
        `val_recall` of words that are more probable than not, in percent.
    """
    batches = Batches(
        [({"images": task.train["images"]}, attributes.train)],
        settings.detector_batch,
        settings.seed,
        lambda x, y, _: (unit(x["images"]), y),
    )
    steps = settings.detector_epochs * len(batches.epoch(0))
    config = {key: getattr(settings, key) for key in _DETECTOR}
    config["words"] = list(attributes.words)
    config["encoder"] = settings.encoder

    def validate(detector):
        seen = _look(detector, task.validation["images"])["probabilities"]
        found = precision_recall(attributes.validation > 0, seen > _FOUND)
        return {f"val_{key}": value for key, value in found.items()}

    return train_or_load(
        lambda: build_detector(settings, task, attributes, steps),
        batches,
        name="attributes",
        config=config,
        epochs=settings.detector_epochs,
        data_digest=task.digest,
        seed=settings.seed,
        version=semantic_attention.VERSION,
        validation=validate,
    )


def _look(detector, images):
    """Return mean features (N, D) and probabilities (N, K) of byte images."""
    features, logits = [], []
    for start in range(0, len(images), _TOGETHER):
        seen = detector.look(unit(images[start : start + _TOGETHER]))
        mean = ops.mean(seen["features"], axis=1)
        features.append(ops.convert_to_numpy(mean))
        logits.append(ops.convert_to_numpy(seen["logits"]))
    logits = np.concatenate(logits)
    return {
        "features": np.concatenate(features).astype("float32"),
        "probabilities": expit(logits),
    }


def look_at(detector, task) -> dict:
    """Let a trained detector look at all images.

    Args:
        detector: An `AttributeDetector`.
        task: A `captions.Task`.

    Returns:
        Dict from each split to a dict of float32 arrays: `features` (N, D),
        means over the cells, then of mean 0 and standard deviation 1 over the
        training images; and `probabilities` (N, K).
    """
    seen = {
        split: _look(detector, getattr(task, split)["images"])
        for split in _SPLITS
    }
    train = seen["train"]["features"]
    mean, spread = train.mean(axis=0), train.std(axis=0) + 1e-3
    for found in seen.values():
        found["features"] = (found["features"] - mean) / spread
    return seen


def cell_map(detector, image) -> np.ndarray:
    """Return where a detector sees each word, (h, w, K) in [0, 1].

    Args:
        detector: An `AttributeDetector`.
        image: Bytes (side, side, 3).
    """
    cells = detector.look(unit(image[None]))["cells"]
    seen = ops.convert_to_numpy(ops.sigmoid(cells))[0]
    return seen.reshape(*detector.grid, -1)


def likeliest(probabilities, most, least=_FOUND) -> np.ndarray:
    """Choose the attributes of images from a detector's probabilities.

    Args:
        probabilities: Array (N, K).
        most: Largest number of attributes of an image.
        least: Probability that a word must have, but for the likeliest one:
            an image without attributes cannot be attended to.

    Returns:
        float32 (N, K): the probabilities of chosen words, 0 of others.

    Example:

    >>> (likeliest([[0.9, 0.2, 0.6], [0.1, 0.3, 0.2]], 1) > 0).tolist()
    [[True, False, False], [False, True, False]]
    """
    chances = np.asarray(probabilities, "float32")
    rank = np.argsort(np.argsort(-chances, axis=1, kind="stable"), axis=1)
    kept = (rank < most) & ((chances >= least) | (rank == 0))
    # A probability that is rounded to 0 would be no attribute.
    return np.where(kept, np.maximum(chances, 1e-6), 0).astype("float32")


def corrupt(labels, recall, precision, most, seed=0) -> np.ndarray:
    """Take true attributes away and add false ones.

    Args:
        labels: Array (N, K), 1 where a word fits, in `most` places of a row at
            most: those of `truth`.
        recall: Share of the true attributes that are kept, in (0, 1].
        precision: Share of true ones among the result, in (0, 1]; fewer false
            ones are added where an image would have more than `most`.
        most: Largest number of attributes of an image.
        seed: Seed of the choice.

    Returns:
        float32 (N, K) of 0 and 1, at least one 1 in each row.

    Raises:
        ValueError: A share is out of range, or an image has more true words.
    """
    for name, share in (("recall", recall), ("precision", precision)):
        if not 0 < share <= 1:
            raise ValueError(f"expected {name} in (0, 1]. Received: {share!r}")
    random = np.random.default_rng(seed)
    true = np.asarray(labels) > 0
    if true.sum(axis=1).max(initial=0) > most:
        raise ValueError(
            f"expected labels of at most {most} words an image. Received: "
            f"{true.sum(axis=1).max()} words; `truth` chooses among them"
        )
    # A word's luck is the same at every share, so that each one of a sweep
    # takes away from what the last one left.
    luck = random.random(true.shape)
    kept = true & (luck < recall)
    wanted = kept.sum(axis=1) * (1 - precision) / precision
    wanted = np.floor(wanted + random.random(len(true))).astype(int)
    wanted = np.minimum(wanted, most - kept.sum(axis=1))
    order = np.argsort(np.argsort(np.where(true, 2, luck), axis=1), axis=1)
    found = kept | (~true & (order < wanted[:, None]))
    # Who has lost everything gets the luckiest word back, true if there is one.
    empty = np.flatnonzero(~found.any(axis=1))
    found[empty, np.where(true, luck, 2 + luck)[empty].argmin(axis=1)] = True
    return found.astype("float32")


def truth(attributes, seen, split, most) -> np.ndarray:
    """Return the words that people used, as strengths (N, K).

    Args:
        attributes: An `Attributes`.
        seen: From `look_at`.
        split: `"train"`, `"validation"` or `"test"`.
        most: Largest number of attributes of an image. Where there are more,
            those are kept that the detector finds likeliest; where there are
            none, its likeliest word stands in.
    """
    chances = seen[split]["probabilities"]
    labels = getattr(attributes, split)
    some = labels.any(axis=1, keepdims=True)
    chosen = likeliest(np.where(some, labels * (1 + chances), chances), most)
    return (chosen > 0).astype("float32")


def strengths(settings, attributes, seen, kind, split) -> np.ndarray:
    """Return the attributes that a kind of captioner reads, (N, K).

    Args:
        settings: A `profiles.SemanticAttention`.
        attributes: An `Attributes`.
        seen: From `look_at`.
        kind: One of `KINDS`.
        split: `"train"`, `"validation"` or `"test"`.
    """
    if kind.endswith("true"):
        return truth(attributes, seen, split, settings.attributes)
    return likeliest(seen[split]["probabilities"], settings.attributes)


def sources(seen, split, chosen) -> np.ndarray:
    """Join features and attributes to what a captioner reads.

    Args:
        seen: From `look_at`.
        split: `"train"`, `"validation"` or `"test"`.
        chosen: Strengths (N, K) of the first N images.

    Returns:
        float32 (N, D + K).
    """
    features = seen[split]["features"][: len(chosen)]
    return np.concatenate([features, chosen], axis=1).astype("float32")


def build(settings, task, attributes, kind, width, steps):
    """Return a compiled captioner of a kind.

    Args:
        settings: A `profiles.SemanticAttention`.
        task: A `captions.Task`.
        attributes: An `Attributes`.
        kind: One of `KINDS`.
        width: Width of the sources.
        steps: Number of updates that the learning rate decays over.

    Raises:
        ValueError: There is no such kind.
    """
    checks.one_of("kind", kind, tuple(KINDS))
    options = {
        "dropout": settings.dropout,
        "label_smoothing": settings.label_smoothing,
        "penalty_weight": settings.attribute_penalty,
        "penalty_p": settings.penalty_p,
        "penalty_q": settings.penalty_q,
        "seed": settings.seed,
    }
    model = SemanticCaptioner(
        len(task.vocabulary),
        attributes.ids,
        settings.embedding_size,
        settings.units,
        min(settings.attributes, len(attributes.words)),
        **{**options, **KINDS[kind]},
    )
    model.build((None, width))
    model.compile(warmed_adam(settings, steps))
    return model


def train(settings, task, attributes, detector, seen, kind):
    """Train a captioner, or load the one that was trained.

    Args:
        settings: A `profiles.SemanticAttention`.
        task: A `captions.Task`.
        attributes: An `Attributes`.
        detector: The `training.Training` of the detector.
        seen: From `look_at`.
        kind: One of `KINDS`, or a kind of `captions.KINDS`, which looks at the
            images itself.

    Returns:
        An `attnlib.training.Training`.

    Raises:
        ValueError: There is no such kind.
    """
    if kind in captions.KINDS:
        return captions.train(settings, task, kind)
    chosen = strengths(settings, attributes, seen, kind, "train")
    read = sources(seen, "train", chosen)

    def look_up(x, y, _):
        return {**x, "source": read[x["source"][:, 0]]}, y

    batches = Batches(
        captions.groups(
            task, "train", settings.captions_each, settings.buckets, _LONGEST
        ),
        settings.batch_size,
        settings.seed,
        look_up,
    )
    steps = settings.epochs * len(batches.epoch(0))
    config = {key: getattr(settings, key) for key in (*_RECIPE, *_PENALTY)}
    config["vocabulary"] = task.vocabulary.digest
    # Which says what the features and the words are.
    config["detector"] = os.path.basename(detector.folder)
    return train_or_load(
        lambda: build(settings, task, attributes, kind, read.shape[1], steps),
        batches,
        name=f"semantic-{kind}",
        config=config,
        epochs=settings.epochs,
        data_digest=task.digest,
        seed=settings.seed,
        version=semantic_attention.VERSION,
    )


def precision_recall(true, found) -> dict:
    """Return precision and recall of all words together, in percent.

    Args:
        true: Boolean array (N, K).
        found: Likewise.

    Returns:
        Dict of `precision` and `recall`; 0 where nothing was found, or is
        there to be found.
    """
    true, found = np.asarray(true) > 0, np.asarray(found) > 0
    both = float((true & found).sum())
    return {
        "precision": 100 * both / max(found.sum(), 1),
        "recall": 100 * both / max(true.sum(), 1),
    }


def detection(attributes, probabilities, split="test") -> dict:
    """Measure a detector, word by word.

    Args:
        attributes: An `Attributes`.
        probabilities: Array (N, K) of the split's images.
        split: `"train"`, `"validation"` or `"test"`.

    Returns:
        Dict from each word that some image has to a dict of percentages:
        `precision`, `recall` (of words that are more probable than not) and
        `average_precision`, the area under the curve of the two.
    """
    from sklearn.metrics import average_precision_score

    labels, found = getattr(attributes, split), {}
    for k, word in enumerate(attributes.words):
        true, chances = labels[:, k] > 0, probabilities[:, k]
        if true.any():
            area = average_precision_score(true, chances)
            found[word] = {
                **precision_recall(true, chances > _FOUND),
                "average_precision": 100 * float(area),
            }
    return found


@dataclasses.dataclass(frozen=True)
class Reading:
    """How a captioner wrote one caption.

    Attributes:
        words: T str, the caption's words, then `"(end)"`.
        attributes: A str, the attributes that the weights are of.
        alpha: (T, A), which attributes entered with the word before.
        beta: (T, A), which attributes helped to choose the word.
    """

    words: tuple
    attributes: tuple
    alpha: np.ndarray
    beta: np.ndarray


def follow(model, task, read, lines) -> list:
    """Let a captioner write given captions, and note what it attended to.

    Args:
        model: A `SemanticCaptioner`.
        task: A `captions.Task`.
        read: Sources (N, D + K).
        lines: One str for each source.

    Returns:
        A list of `Reading`.
    """
    found = []
    for start in range(0, len(lines), _TOGETHER):
        ids = [
            task.vocabulary.encode(line)
            for line in lines[start : start + _TOGETHER]
        ]
        previous = text.pad([[text.START, *line] for line in ids])
        out = model.force(
            {"source": read[start : start + len(ids)], "target": previous}
        )
        out.pop("logits")
        out = {name: ops.convert_to_numpy(o) for name, o in out.items()}
        found += [_reading(task, out, i, line) for i, line in enumerate(ids)]
    return found


def _reading(task, out, i, line):
    there = out["attributes"][i] > 0
    steps = slice(len(line) + 1)
    return Reading(
        (*(task.vocabulary.piece(word) for word in line), "(end)"),
        tuple(task.vocabulary.piece(a) for a in out["attributes"][i][there]),
        out["alpha"][i, steps][:, there],
        out["beta"][i, steps][:, there],
    )


def agreement(readings) -> dict:
    """Count how often the word with the largest weight is the word written.

    Args:
        readings: From `follow`.

    Returns:
        Dict of percentages `alpha` and `beta`, and of `chance`, what a random
        attribute would get, over the `words` written that are among their
        image's attributes.

    Raises:
        ValueError: There is no such word.
    """
    hits = {"alpha": [], "beta": [], "chance": []}
    for one in readings:
        for t, word in enumerate(one.words):
            if word not in one.attributes:
                continue
            place = one.attributes.index(word)
            hits["chance"].append(1 / len(one.attributes))
            for name in ("alpha", "beta"):
                weights = getattr(one, name)[t]
                hits[name].append(
                    bool(weights.any()) and weights.argmax() == place
                )
    if not hits["chance"]:
        raise ValueError(
            "expected captions with words that are attributes of their image. "
            "Received: none. Train longer, or take more words as attributes"
        )
    shares = {name: 100 * float(np.mean(rows)) for name, rows in hits.items()}
    return {**shares, "words": len(hits["chance"])}


def spread(readings) -> dict:
    """Return the mean entropy of the attention at a step, in nats.

    Args:
        readings: From `follow`.

    Returns:
        Dict of `alpha` and `beta`; 0 is one attribute with all the weight.
    """
    return {
        name: float(
            np.concatenate(
                [entropy(getattr(one, name)) for one in readings]
            ).mean()
        )
        for name in ("alpha", "beta")
    }
