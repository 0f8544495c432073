"""The translation experiment of notebook 02: data, recipe, scores."""

import dataclasses
import functools
import hashlib
import itertools
import re

import keras
import numpy as np
import scipy.stats

from attnlib import datasets, text
from attnlib.datasets import languages, number_words
from attnlib.models import rnnsearch
from attnlib.models.provenance import Provenance, digest_of
from attnlib.models.rnnsearch import RNNSearch
from attnlib.training import Batches, train_or_load, warmed_adam

# Longer training pairs, 0.4 % of Multi30k's, would double a bucket's width.
_LONGEST = 36
# Stands between the numbers of a list, in both languages.
SEPARATOR = ","
# What the models of a profile are called, for people and in the cache.
CALLED = {"search": "rnnsearch", "encdec": "encoder-decoder"}


@dataclasses.dataclass(frozen=True)
class Task(Provenance):
    """Sentences and vocabularies of a pair of languages.

    Attributes:
        train: Dict of `source` and `target`, lists of str, and what else the
            data set has.
        validation: Likewise.
        test: Likewise.
        source: Vocabulary of the source.
        target: Vocabulary of the target; the same object when it is shared.
        digest: Digest of the data.
        description: What the data is, in words.
        name: The data set's name.
        languages: Codes of source and target language.
    """

    train: dict
    validation: dict
    test: dict
    source: object
    target: object
    digest: str
    description: str
    name: str
    languages: tuple

    @property
    def shared(self) -> bool:
        """Return whether both languages use one vocabulary."""
        return self.source is self.target


def load_task(settings) -> Task:
    """Load data and vocabularies.

    Args:
        settings: A `profiles.Translation`.

    Returns:
        A `Task`. Number words are lists of one to `settings.numbers` numbers,
        split at spaces; every number occurs in one split only. Multi30k
        shares one byte-pair encoding, learned on both sides of its training
        set.
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
        pair = tuple(
            text.WordVocabulary([*train[side], SEPARATOR]) for side in options
        )
        words = f"{len(pair[0])} and {len(pair[1])} morphemes"
        sizes = (settings.examples, settings.held_out, settings.held_out)
        train, validation, test = (
            number_lists(split, size, settings.numbers, seed)
            for seed, (split, size) in enumerate(
                zip((train, validation, test), sizes, strict=True)
            )
        )
        plan = f"{digest} {sizes} {settings.numbers}"
        digest = digest_of(plan)
        words = f"1 to {settings.numbers} numbers each, {words}"
    return Task(
        train,
        validation,
        test,
        *pair,
        digest,
        f"{name} {settings.source} -> {settings.target}, "
        f"{len(train['source'])} pairs, {words}",
        name,
        (settings.source, settings.target),
    )


def number_lists(data, count, most, seed) -> dict:
    """Join numbers to lists, as sentences of many lengths.

    Args:
        data: One split of the data set `number_words`.
        count: Number of lists.
        most: Most numbers in a list. All lengths are equally frequent, and so
            are numbers below 100, below 1000 and from 1000, so that the data
            are not nearly all long numbers.
        seed: Seed of the choice.

    Returns:
        Dict of `source` and `target` (morphemes, with a comma between two
        numbers), `numbers` (lists of int) and `alignment` (for each target
        morpheme the place of its source morpheme, -1 for words without a
        value and for commas).

    Example:
        >>> from attnlib import datasets
        >>> lists = number_lists(datasets.load("number_words"), 2, 2, seed=0)
        >>> [len(numbers) for numbers in lists["numbers"]]
        [1, 2]
    """
    # RandomState's stream is frozen; Generator's may change with NumPy.
    random = np.random.RandomState(seed)
    digits = np.clip([len(str(n)) for n in data["number"]], 2, 4)
    sizes = [np.flatnonzero(digits == d) for d in np.unique(digits)]
    out = {"source": [], "target": [], "numbers": [], "alignment": []}
    for i in range(count):
        chosen = [
            sizes[random.randint(len(sizes))] for _ in range(1 + i % most)
        ]
        rows = [rows[random.randint(len(rows))] for rows in chosen]
        alignment, start = [], 0
        for row in rows:
            if start:
                alignment.append(-1)
                start += 1
            places = data["alignment"][row]
            alignment += [p + start if p >= 0 else -1 for p in places]
            start += len(data["source"][row].split())
        for side in ("source", "target"):
            parts = [data[side][row] for row in rows]
            out[side].append(f" {SEPARATOR} ".join(parts))
        out["numbers"].append([int(data["number"][row]) for row in rows])
        out["alignment"].append(alignment)
    return out


def gold_alignment(number, source, target):
    """Return the true alignment of one number, as attention would be.

    Args:
        number: 0 to 9999.
        source: Code of the source language.
        target: Code of the target language.

    Returns:
        `(weights, source_words, target_words)`: weights (T, S) are 1 on the
        source morpheme that stands for the same part of the number; the row
        of a word without a value is 0.
    """
    words = [number_words.morphemes(number, c) for c in (source, target)]
    weights = np.zeros((len(words[1]), len(words[0])))
    for row, place in enumerate(number_words.align(*words, source, target)):
        if place >= 0:
            weights[row, place] = 1.0
    return weights, *words


def read_numbers(line, language, most=None) -> str:
    """Return the source sentence of some numbers that a person typed.

    Args:
        line: Numbers from 0 to 9999, in digits or in words of the language,
            with commas between; spaces will do beside digits.
        language: Code of the source language.
        most: Most numbers that are allowed; None for any.

    Raises:
        ValueError: There is no number, or one that is none or out of range,
            or there are too many.

    Example:
        >>> read_numbers("21, three hundred and forty five", "en")
        'twenty one , three hundred and forty five'
    """
    parts = _one_by_one(line)
    if not parts:
        raise ValueError("Type a number from 0 to 9999, for example 2345.")
    if most is not None and len(parts) > most:
        raise ValueError(
            f"Type at most {most} numbers; these are {len(parts)}."
        )
    words = [
        number_words.morphemes(_read_number(part, language), language)
        for part in parts
    ]
    return f" {SEPARATOR} ".join(" ".join(number) for number in words)


def _one_by_one(line):
    """Cut at commas, and beside digits at spaces, too."""
    parts = []
    for listed in re.split("[,;]", line):
        for in_words, group in itertools.groupby(listed.split(), _is_word):
            tokens = list(group)
            parts += [" ".join(tokens)] if in_words else tokens
    return parts


def _is_word(part):
    return not any(map(str.isnumeric, part))


def _read_number(part, language) -> int:
    # isdecimal alone would accept digits of other scripts.
    if part.isascii() and part.isdecimal():
        digits = part.lstrip("0")
        number = int(digits or 0) if len(digits) <= 4 else None
    else:
        number = number_words.read(part, language)
    if number is None:
        known = languages.get(language)
        example = known.join(number_words.morphemes(21, language))
        raise ValueError(
            f"{part[:20]!r} is no whole number from 0 to 9999; type digits, "
            f"for example 2345, or words of {known.name}, for example "
            f"{example}."
        )
    return number


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


def short_rows(task, most) -> list:
    """Return which training sentences have at most so many numbers.

    Args:
        task: A `Task` of number words.
        most: Most numbers in a sentence.
    """
    numbers = task.train["numbers"]
    return [i for i, line in enumerate(numbers) if len(line) <= most]


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
    return prepare(model, settings, steps)


def prepare(model, settings, steps):
    """Build and compile a model.

    Args:
        model: A translator.
        settings: Has `learning_rate` and `warmup_steps`.
        steps: Number of updates that the learning rate decays over.

    Returns:
        The model.
    """
    model.build()
    model.compile(warmed_adam(settings, steps))
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
    keys = (
        "dataset source target vocabulary_size embedding_size encoder_units "
        "decoder_units dropout label_smoothing batch_size learning_rate "
        "warmup_steps buckets"
    ).split()
    config = {key: getattr(settings, key) for key in keys}
    return fit(
        lambda steps: build(settings, task, attention, steps),
        settings,
        task,
        rows,
        name=name or CALLED["search" if attention else "encdec"],
        config={**config, "attention": attention},
        version=rnnsearch.VERSION,
        longest=_LONGEST,
    )


def fit(make, settings, task, rows, *, name, config, version, longest=None):
    """Train a translator on some pairs of a task, or load what was trained.

    Args:
        make: Function from the number of updates to a compiled model.
        settings: Has `buckets`, `batch_size`, `epochs` and `seed`.
        task: A `Task`.
        rows: Indices of the training pairs to use.
        name: Name in the cache and the progress.
        config: Dict of what else the result depends on.
        version: Version of the model's module.
        longest: Pairs with more ids on a side are left out; None keeps all.

    Returns:
        An `attnlib.training.Training`.
    """
    groups = text.length_buckets(
        *pairs(task, "train", rows), settings.buckets, longest
    )
    batches = Batches(groups, settings.batch_size, settings.seed)
    steps = settings.epochs * len(batches.epoch(0))
    # Few sentences are padded sooner than several shapes are compiled.
    few = len(task.validation["source"]) < 1000
    held_out = text.length_buckets(
        *pairs(task, "validation"), 1 if few else settings.buckets
    )
    return train_or_load(
        lambda: make(steps),
        batches,
        name=name,
        config={
            **config,
            "rows": _rows_digest(rows),
            "vocabulary": [task.source.digest, task.target.digest],
        },
        epochs=settings.epochs,
        data_digest=task.digest,
        seed=settings.seed,
        version=version,
        validation=lambda model: validate(model, held_out),
    )


def train_all(settings, task) -> dict:
    """Train, or load, every model of a profile.

    Args:
        settings: A `profiles.Translation`. A model whose name starts with
            `search` attends; one whose name ends with `-short` sees only
            sentences of up to `settings.short_numbers` numbers.
        task: A `Task`.

    Returns:
        Dict from the names in `settings.models` to `training.Training`.
    """
    trained = {}
    for name in settings.models:
        kind, *short = name.split("-")
        rows, label = None, "-".join([CALLED[kind], *short])
        if short:
            rows = short_rows(task, settings.short_numbers)
        trained[name] = train(settings, task, kind == "search", rows, label)
    return trained


def _rows_digest(rows):
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


def search(decoder, task, line, beam_size=1, most=None, **options):
    """Translate what a person typed.

    Args:
        decoder: A `decoding.Decoder`.
        task: Its `Task`.
        line: A sentence; for number words, numbers in digits or in words of
            the source language, see `read_numbers`. Sub-words that the
            vocabulary lacks are read as unknown, and it may be longer than
            any sentence in training.
        beam_size: Width of the beam, and the number of translations.
        most: Most numbers that are allowed; None for any.
        **options: Of `decoding.Decoder.beam`.

    Returns:
        `(sentence, hypotheses)`: the source sentence, and a list of
        `decoding.Hypothesis`, the best first.

    Raises:
        ValueError: The line is empty or has no readable numbers.
    """
    if task.name == "number_words":
        line = read_numbers(line, task.languages[0], most)
    ids = task.source.encode(line)
    (found,) = decoder.beam([ids], beam_size, num_best=beam_size, **options)
    return line, found


def alignment(task, sentence, hypothesis):
    """Return a translation's alignment, for `figures.attention_heatmap`.

    Args:
        task: A `Task`.
        sentence: The source sentence.
        hypothesis: Its translation, a `decoding.Hypothesis`.

    Returns:
        `(weights, source_labels, target_labels)`.
    """
    written = [task.target.piece(i) for i in hypothesis.tokens]
    labels = [
        [piece.removeprefix("\u2581") or piece for piece in pieces]
        for pieces in (task.source.pieces(sentence), written)
    ]
    return hypothesis.weights, labels[0], [*labels[1], "(end)"]


def jumps_back(weights) -> int:
    """Return how often the place that is looked at most jumps back.

    Args:
        weights: Attention, shape (T, S); a row of zeros looks nowhere.

    Example:
        >>> import numpy as np
        >>> jumps_back(np.eye(4)[[0, 2, 1, 3]])
        1
    """
    weights = np.asarray(weights)
    places = weights[weights.any(axis=1)].argmax(axis=1)
    return int((np.diff(places) < 0).sum())


def in_digits(words, language) -> str:
    """Return the numbers of a sentence in digits.

    Args:
        words: Morphemes, with commas between numbers.
        language: Their language's code.

    Returns:
        Digits with commas between; `?` for what is no number.

    Example:
        >>> in_digits("ein und zwanzig , zwei zwei", "de")
        '21, ?'
    """
    known = _numbers_by_words(language)
    parts = [part.strip() for part in words.split(SEPARATOR)]
    return ", ".join(known.get(part, "?") for part in parts)


def show(task, hypothesis) -> str:
    """Return a translation for people: numbers in digits, else the text."""
    words = task.target.decode(hypothesis.tokens)
    if task.name == "number_words":
        return in_digits(words, task.languages[1])
    return words


@functools.cache
def _numbers_by_words(language):
    return {
        " ".join(number_words.morphemes(number, language)): str(number)
        for number in range(10000)
    }


def grade(hypotheses, task, split="test") -> dict:
    """Compare translations with the references, word by word.

    Args:
        hypotheses: One `decoding.Hypothesis` for each sentence of the split.
        task: A `Task`.
        split: `"train"`, `"validation"` or `"test"`.

    Returns:
        Dict of arrays with one entry a sentence: `length` (source words),
        `exact` (whether all words are right) and `share` (of the reference's
        words and END, how many are right at their place).
    """
    sources, references = pairs(task, split)
    exact, share = [], []
    for hypothesis, reference in zip(hypotheses, references, strict=True):
        tokens = [*hypothesis.tokens, text.END]
        wanted = [*reference, text.END]
        right = sum(a == b for a, b in zip(tokens, wanted, strict=False))
        exact.append(tokens == wanted)
        share.append(right / len(wanted))
    return {
        "length": np.array([len(source) for source in sources]),
        "exact": np.array(exact),
        "share": np.array(share),
    }


def by_length(lengths, values, edges) -> np.ndarray:
    """Return the mean of values in buckets of lengths, in percent.

    Args:
        lengths: Length of each sentence.
        values: One value for each sentence, 0 to 1.
        edges: Ascending; bucket k has the lengths from `edges[k]` up to, but
            without, `edges[k + 1]`. A bucket without sentences is NaN.
    """
    place = np.digitize(lengths, edges) - 1
    return np.array(
        [
            100 * np.mean(values[place == k]) if (place == k).any() else np.nan
            for k in range(len(edges) - 1)
        ]
    )


def length_edges(lengths, buckets=8) -> np.ndarray:
    """Return edges for `by_length` with about equally many sentences each.

    Args:
        lengths: Length of each sentence.
        buckets: Number of buckets; fewer when there are few lengths.
    """
    inner = np.quantile(lengths, np.linspace(0, 1, buckets + 1)[1:-1])
    edges = np.unique([min(lengths), *np.ceil(inner), max(lengths) + 1])
    counts, _ = np.histogram(lengths, edges)
    return np.append(edges[:-1][counts > 0], edges[-1]).astype(int)


def compare_lengths(grades, task, settings) -> dict:
    """Decide what the paper says about length, for models of number words.

    Args:
        grades: Dict from `search`, `encdec` and, if they were trained,
            `search-short` and `encdec-short` to what `grade` returned for
            the test set.
        task: The `Task`.
        settings: Its `profiles.Translation`.

    Returns:
        Dict from the statement's name to `(holds, note)`; the note has the
        numbers behind it. Statements on models that are not there are left
        out.
    """
    count = np.array([len(line) for line in task.test["numbers"]])
    return compare_grades(grades, count > settings.short_numbers)


def compare_grades(grades, beyond, unit="morphemes") -> dict:
    """Decide what the paper's figure 2 says, from grades.

    Args:
        grades: As of `compare_lengths`.
        beyond: For each sentence whether it is longer than all that the
            `-short` models were trained on.
        unit: What a sentence consists of.

    Returns:
        As `compare_lengths`.
    """
    lengths = grades["search"]["length"]
    edges = length_edges(lengths)
    exact, share = (
        {
            name: by_length(lengths, grade[measure], edges)
            for name, grade in grades.items()
        }
        for measure in ("exact", "share")
    )
    long = edges[:-1] > np.median(lengths)
    found = _compare_with_search(exact, share, long, unit)
    if {"search-short", "encdec-short"} <= set(grades):
        right = {
            name: 100 * grade["share"][beyond].mean()
            for name, grade in grades.items()
        }
        found.update(_compare_short(exact, share, right, unit))
    return found


def _compare_with_search(exact, share, long, unit):
    """Statements on the models that were trained on all lengths."""
    margins = (exact["search"] - exact["encdec"])[long]
    gap = share["search"] - share["encdec"]
    rank = 0.0
    if np.ptp(gap) > 0:
        rank = scipy.stats.spearmanr(np.arange(len(gap)), gap).statistic
    return {
        "search-at-least-encdec-on-long": (
            bool(margins.size and (margins >= 0).all()),
            "exact match with attention minus without, in percentage points "
            "by length above the median: "
            + ", ".join(f"{margin:.0f}" for margin in margins),
        ),
        "gap-grows-with-length": (
            bool(rank > 0.8),
            f"rank correlation {rank:.2f}; the gap goes from {gap[0]:.0f} to "
            f"{gap[-1]:.0f} percentage points of {unit} right",
        ),
    }


def _compare_short(exact, share, beyond, unit):
    """Statements on the models that were trained on short sentences."""
    others = min(v for name, v in beyond.items() if name != "encdec-short")
    short, plain = (
        (exact[name].mean(), share[name].mean())
        for name in ("search-short", "encdec")
    )
    return {
        "encdec-short-collapses-first": (
            bool(beyond["encdec-short"] < others),
            f"{unit} right beyond the short sentences: "
            + ", ".join(f"{name} {v:.0f} %" for name, v in beyond.items()),
        ),
        "search-short-beats-encdec-long": (
            bool(short[0] > plain[0]),
            "exact match, every length weighing the same: search-short "
            f"{short[0]:.0f} %, encdec {plain[0]:.0f} %; {unit} right "
            f"{short[1]:.0f} % and {plain[1]:.0f} %",
        ),
    }


def reference_weights(model, task, split="test") -> np.ndarray:
    """Return the attention of a model that writes the references.

    Args:
        model: A translator.
        task: A `Task`.
        split: `"train"`, `"validation"` or `"test"`.

    Returns:
        Weights (N, T, S): where it looks before each word, END included.
    """
    sources, targets = pairs(task, split)
    previous = text.pad([[text.START, *target] for target in targets])
    return keras.ops.convert_to_numpy(
        model.force({"source": text.pad(sources), "target": previous})[1]
    )


def aligned_mass(model, task, split="test") -> dict:
    """Return how much attention goes to the right source word.

    Args:
        model: An `RNNSearch` with attention.
        task: A `Task` with gold alignments.
        split: `"train"`, `"validation"` or `"test"`.

    Returns:
        Dict of arrays with the weight on the counterpart, when the model
        writes the reference: `digits` for words that carry a digit of the
        number, `multipliers` for words such as hundred and thousand.
    """
    weights = reference_weights(model, task, split)
    data, found = getattr(task, split), {"digits": [], "multipliers": []}
    for row, places in enumerate(data["alignment"]):
        parts = _parts(data["target"][row].split(), task.languages[1])
        for step, place in enumerate(places):
            if place >= 0:
                multiplier = parts[step] <= {"hundred", "thousand"}
                kind = "multipliers" if multiplier else "digits"
                found[kind].append(weights[row, step, place])
    return {kind: np.array(values) for kind, values in found.items()}


def _parts(words, language):
    """Return the parts of all numbers of a list, see `number_words.parts`."""
    parts, number = [], []
    for word in [*words, SEPARATOR]:
        if word == SEPARATOR:
            parts += [*number_words.parts(number, language), frozenset()]
            number = []
        else:
            number.append(word)
    return parts


def bleu(translations, references):
    """Return the BLEU score of detokenised text, and sacreBLEU's signature.

    Args:
        translations: List of str.
        references: List of str, one for each translation.

    Returns:
        `(score, signature)`: 0 to 100, cased, tokenised by 13a.
    """
    import sacrebleu

    metric = sacrebleu.BLEU(tokenize="13a")
    score = metric.corpus_score(translations, [references])
    return score.score, str(metric.get_signature())
