"""The experiment of notebook 01: what fits through one vector."""

import dataclasses

import keras
import numpy as np

from attnlib import datasets, profiles, text
from attnlib.datasets import reversal
from attnlib.models import encoder_decoder, rnnsearch, translation
from attnlib.models.encoder_decoder import RNNEncoderDecoder
from attnlib.models.provenance import digest_of
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
    options = {"shortest": settings.shortest, "longest": settings.longest}
    counts = {
        "train": settings.examples,
        "validation": settings.held_out,
        "test": settings.held_out,
    }
    splits = {
        split: datasets.load("reversal", split, count=count, **options)
        for split, count in counts.items()
    }
    # Fewer words of a seed are the first ones of more: few tell all apart.
    few = datasets.digest("reversal", count=settings.held_out, **options)
    plan = f"{few} {counts}"
    letters = text.WordVocabulary(reversal.LETTERS)
    return Task(
        **splits,
        source=letters,
        target=letters,
        digest=digest_of(plan),
        description=(
            f"reversal, {settings.examples} words of {settings.shortest} to "
            f"{settings.longest} random letters, to be written backwards"
        ),
        name="reversal",
        languages=("forwards", "backwards"),
    )


def words_settings(settings, **overrides):
    """Return the settings of the models of number words.

    Args:
        settings: A `profiles.EncoderDecoder`.
        **overrides: Fields to change; None changes nothing.

    Returns:
        A `profiles.Translation`.
    """
    given = {k: v for k, v in overrides.items() if v is not None}
    fields = {**dict(settings.number_words), **given}
    return profiles.load("02", "quick", seed=settings.seed, **fields)


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


def train_all(settings, task) -> dict:
    """Train, or load, the models of figure 2.

    Args:
        settings: A `profiles.EncoderDecoder`. A model whose name starts with
            `search` attends; one whose name ends with `-short` sees only
            words of up to `settings.short_longest` letters.
        task: A `translation.Task`.

    Returns:
        Dict from the names in `settings.models` to `training.Training`.
    """
    trained = {}
    for name in settings.models:
        kind, *short = name.split("-")
        rows = short_rows(task, settings.short_longest) if short else None
        label = "-".join([translation.CALLED[kind], task.name, *short])
        trained[name] = train(settings, task, kind, rows, label)
    return trained


def train_widths(settings, task) -> dict:
    """Train, or load, encoder-decoders with vectors of other widths.

    Args:
        settings: A `profiles.EncoderDecoder`.
        task: A `translation.Task`.

    Returns:
        Dict from the even numbers in `settings.widths` to
        `training.Training`.
    """
    trained = {}
    for width in settings.widths:
        narrow = dataclasses.replace(
            settings, encoder_units=width // 2, decoder_units=width
        )
        name = f"{translation.CALLED['encdec']}-{task.name}-{width}"
        trained[width] = train(narrow, task, "encdec", name=name)
    return trained


def compare(grades, task, settings) -> dict:
    """Decide what is said about the length of reversed words.

    Args:
        grades: Dict from the models' names to what `translation.grade`
            returned for the test words.
        task: A `translation.Task`.
        settings: Its `profiles.EncoderDecoder`.

    Returns:
        Dict from the statement's name to `(holds, note)`, as
        `translation.compare_lengths` has it.
    """
    lengths = grades["search"]["length"]
    found = translation.compare_grades(
        grades, lengths > settings.short_longest, "letters"
    )
    if {6, 16} <= set(lengths):
        without, with_it = (
            [100 * grades[n]["exact"][lengths == at].mean() for at in (6, 16)]
            for n in ("encdec", "search")
        )
        found["falls-with-length"] = (
            bool(without[1] < without[0]),
            f"exact match at 6 and at 16 letters: {without[0]:.0f} and "
            f"{without[1]:.0f} % without attention, {with_it[0]:.0f} and "
            f"{with_it[1]:.0f} % with it",
        )
    return found


def compare_thirds(grade):
    """Decide whether long sentences are translated worse than short ones.

    Args:
        grade: What `translation.grade` returned.

    Returns:
        `(holds, note)`: of the longest and the shortest third.
    """
    order = np.argsort(grade["length"], kind="stable")
    count = len(order) // 3
    thirds = order[:count], order[-count:]
    exact, share = (
        [100 * grade[key][rows].mean() for rows in thirds]
        for key in ("exact", "share")
    )
    return bool(exact[1] < exact[0]), (
        f"shortest and longest third: {exact[0]:.0f} and {exact[1]:.0f} % "
        f"exactly right, {share[0]:.0f} and {share[1]:.0f} % of the morphemes"
    )


def aligned_mass(model, task, split="test") -> tuple:
    """Return the mean weight on the letter that is to be written.

    Args:
        model: An `RNNSearch` with attention, which writes the references.
        task: A `translation.Task`.
        split: `"train"`, `"validation"` or `"test"`.

    Returns:
        `(mass, near)`: on the letter, and on it and its neighbours.
    """
    weights = translation.reference_weights(model, task, split)
    found = []
    for row, places in enumerate(getattr(task, split)["alignment"]):
        for step, place in enumerate(places):
            near = weights[row, step, max(0, place - 1) : place + 2]
            found.append((weights[row, step, place], near.sum()))
    return tuple(np.mean(found, axis=0).tolist())


def bits_kept(model, task, split="test") -> np.ndarray:
    """Return how many bits of each word arrive at the output.

    A word of L random letters has L log2(26) bits. What a model that writes
    the word backwards finds surprising, -log2 p, did not arrive. The mean
    over words is a lower bound on what the source's vector says about the
    word.

    Args:
        model: A translator.
        task: A `translation.Task`.
        split: `"train"`, `"validation"` or `"test"`.

    Returns:
        Array (N,), negative where the model is worse than guessing.
    """
    sources, targets = translation.pairs(task, split)
    previous = text.pad([[text.START, *target] for target in targets])
    logits = model.force({"source": text.pad(sources), "target": previous})[0]
    logs = keras.ops.convert_to_numpy(keras.ops.log_softmax(logits))
    return np.array(
        [
            len(target) * BITS
            + logs[row, range(len(target)), target].sum() / np.log(2)
            for row, target in enumerate(targets)
        ]
    )


def summaries(decoder, task, data) -> np.ndarray:
    """Return the summary c of words, (N, U).

    Args:
        decoder: A `decoding.Decoder` of an `RNNEncoderDecoder`.
        task: A `translation.Task`.
        data: A split, such as `task.test`.
    """
    sources = [task.source.encode(line) for line in data["source"]]
    # One width, where possible, is compiled once.
    width = max(map(len, [*sources, *task.train["alignment"]]))
    _, memory = decoder.encode(text.pad(sources, width))
    return memory["context"]


def probe(decoder, task, lengths, count=2000, held_out=400) -> np.ndarray:
    """Say which letters a linear reader finds in the summary.

    Each length has readers of its own, fitted on fresh words of the training
    split and tried on fresh words of the test split.

    Args:
        decoder: A `decoding.Decoder` of an `RNNEncoderDecoder`.
        task: A `translation.Task` of reversed words.
        lengths: Lengths of the words.
        count: Words of a length to fit on.
        held_out: Words of a length to try.

    Returns:
        Array (lengths, P) of letters right in percent, for the places
        counted from the end of a word; NaN where a word has no such place.
    """
    table = np.full((len(lengths), max(lengths)), np.nan)
    for row, length in enumerate(lengths):
        options = {"shortest": int(length), "longest": int(length)}
        fitted, tried = (
            datasets.load("reversal", split, count=number, **options)
            for split, number in (("train", count), ("test", held_out))
        )
        probes = fit_probes(
            summaries(decoder, task, fitted), joined(fitted["source"])
        )
        right = read_probes(
            probes, summaries(decoder, task, tried), joined(tried["source"])
        )
        table[row, :length] = 100 * right.mean(axis=0)
    return table


def fit_probes(vectors, words, penalty=1.0) -> np.ndarray:
    """Fit linear readers of the letters in a vector, by ridge regression.

    Args:
        vectors: Array (N, U).
        words: List of N words of one length L, without spaces.
        penalty: Factor of the squared weights.

    Returns:
        Array (L, U + 1, 26), for the letters counted from the end.
    """
    x = _with_one(vectors)
    wanted = np.eye(len(reversal.LETTERS))[_letters(words)]  # (N, L, 26)
    flat = wanted.reshape(len(words), -1)
    ridge = penalty * np.eye(x.shape[1])
    found = np.linalg.solve(x.T @ x + ridge, x.T @ flat)
    return found.reshape(-1, *wanted.shape[1:]).transpose(1, 0, 2)


def read_probes(probes, vectors, words) -> np.ndarray:
    """Return which letters the probes read rightly.

    Args:
        probes: From `fit_probes`.
        vectors: Array (N, U).
        words: List of N words of the probes' length.

    Returns:
        Boolean array (N, L), for the letters counted from the end.
    """
    scores = np.einsum("nu,puk->npk", _with_one(vectors), probes)
    return scores.argmax(axis=-1) == _letters(words)


def by_place(right, words) -> tuple:
    """Return the mean over the words of each length.

    Args:
        right: Array (N, P), from `written_rightly`.
        words: List of N words.

    Returns:
        `(lengths, means)`: (K,) and (K, P), in percent; NaN where a word has
        no such place.
    """
    sizes = np.array([len(word) for word in words])
    lengths = np.unique(sizes)
    means = np.full((len(lengths), right.shape[1]), np.nan)
    for row, length in enumerate(lengths):
        means[row, :length] = 100 * right[sizes == length][:, :length].mean(0)
    return lengths, means


def written_rightly(hypotheses, task, split="test") -> np.ndarray:
    """Return which letters a model wrote rightly.

    Args:
        hypotheses: One `decoding.Hypothesis` for each word of the split.
        task: A `translation.Task`.
        split: `"train"`, `"validation"` or `"test"`.

    Returns:
        Array (N, P) of 0 and 1 for the letters from a word's end; NaN where
        a word has no such letter.
    """
    _, targets = translation.pairs(task, split)
    right = np.full((len(targets), max(map(len, targets))), np.nan)
    for row, (found, target) in enumerate(
        zip(hypotheses, targets, strict=True)
    ):
        right[row, : len(target)] = [
            i < len(found.tokens) and found.tokens[i] == letter
            for i, letter in enumerate(target)
        ]
    return right


def joined(lines) -> list:
    """Return words without the spaces between their letters."""
    return ["".join(line.split()) for line in lines]


def _with_one(vectors):
    ones = np.ones((len(vectors), 1))
    return np.concatenate([np.asarray(vectors, "float64"), ones], axis=1)


def _letters(words):
    """Return letters of words of one length as numbers, the last first."""
    return np.array(
        [[reversal.LETTERS.index(a) for a in word[::-1]] for word in words]
    )


def read_word(line) -> str:
    """Return the source sentence of a word that a person typed.

    Args:
        line: Up to 60 letters from a to z; capitals count as small letters.

    Raises:
        ValueError: There is no letter, or there are too many, or other
            characters.

    Example:
        >>> read_word(" Bank ")
        'b a n k'
    """
    word = line.strip().lower()
    if not word:
        raise ValueError("Type a word of letters a to z, for example bank.")
    bad = [letter for letter in word if letter not in reversal.LETTERS]
    if bad:
        raise ValueError(
            f"{bad[0]!r} is no letter from a to z; type one word without "
            "spaces, for example bank."
        )
    if len(word) > reversal.LONGEST:
        raise ValueError(
            f"Type at most {reversal.LONGEST} letters; these are {len(word)}."
        )
    return " ".join(word)


def reverse(decoder, task, line):
    """Write a word backwards, greedily.

    Args:
        decoder: A `decoding.Decoder`.
        task: A `translation.Task`.
        line: What `read_word` takes. It may be longer than any word in
            training: then the model goes on as it has learned.

    Returns:
        A `decoding.Hypothesis`.
    """
    ids = task.source.encode(read_word(line))
    (found,) = decoder.greedy([ids])
    return found
