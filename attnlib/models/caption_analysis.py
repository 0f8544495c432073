"""What captions of scenes get right, and how the image reaches the words.

A caption of a scene is read back into the statements that it makes, and each
is judged against the scene, which is known. For one-vector captioners:
gradients of a word's log-probability with respect to the image's embedding,
and linear probes of it.
"""

import dataclasses
import itertools
import re

import numpy as np
from keras import ops

from attnlib import text
from attnlib.datasets.digit_scenes import COLOURS, DIGITS
from attnlib.models.captions import gradients
from attnlib.models.glimpse_data import unit

# Kinds of statements, in the order of figures.
STATEMENTS = ("how many", "colour", "digit", "colour and digit", "where")

_THING = re.compile(
    rf"\b(?:an? )?(?:({'|'.join(COLOURS)}) )?({'|'.join(DIGITS)})\b"
)
# The words of a relation, and where the subject then is.
_SIDES = {
    "left": "left",
    "right": "right",
    "above": "above",
    "higher": "above",
    "below": "below",
    "lower": "below",
}
_OPPOSITE = {"left": "right", "right": "left", "above": "below"}
_OPPOSITE["below"] = "above"
_PLACES = ("upper", "middle", "lower", "left", "right")


@dataclasses.dataclass(frozen=True)
class Statement:
    """What a caption says of a scene.

    Attributes:
        things: `(colour, digit)` of each thing that it names, in its order;
            the colour is None where it gives none.
        relations: `(i, side, j)`: thing i is on that side of thing j.
        place: The ninth of the picture that the only thing is in, for example
            `"upper left"`; else empty.
    """

    things: tuple
    relations: tuple
    place: str


def parse(caption) -> Statement:
    """Read a caption of a scene, right or wrong, true or not.

    Args:
        caption: A str in the language of `digit_scenes`; what does not belong
            to it is passed over.

    Example:

    >>> found = parse("a red two with a blue six to its left")
    >>> found.things
    (('red', 'two'), ('blue', 'six'))
    >>> found.relations
    ((1, 'left', 0),)
    """
    found = list(_THING.finditer(caption))
    things = tuple((m[1], m[2]) for m in found)
    edges = [*(place for m in found for place in m.span()), len(caption)]
    # What follows each thing, up to the next.
    after = [
        caption[a:b].split()
        for a, b in zip(edges[1::2], edges[2::2], strict=True)
    ]
    relations = []
    for i, words in enumerate(after):
        sides = [_SIDES[word] for word in words if word in _SIDES]
        if not sides or len(things) == 1:
            continue
        if i + 1 < len(things):
            # The first thing is the subject of every relation.
            relations.append((0, sides[0], i + 1))
        elif i and "with" in after[i - 1]:
            relations.append((i, sides[0], i - 1))
    place = ""
    if len(things) == 1:
        outside = caption[: edges[0]] + caption[edges[1] :]
        place = " ".join(w for w in outside.split() if w in _PLACES)
    return Statement(things, tuple(relations), place)


def judge(task, captions, split="test") -> dict:
    """Judge what captions say of scenes, statement by statement.

    For a scene of K digits a caption should name K things. Each is right when
    there is such a digit that no earlier thing stood for. A relation is right
    when it is true of the digits that the names fit best; where no choice of
    digits fits better than another, it is wrong.

    Args:
        task: A `captions.Task` of scenes.
        captions: One str for each of the first scenes of the split.
        split: `"train"`, `"validation"` or `"test"`.

    Returns:
        Dict of arrays with one entry for each statement: `kind`, one of
        `STATEMENTS`; `scene`; `digits`, the number of digits of the scene;
        `order`, 0 for the caption's first thing, 1 for the second; `right`.

    Raises:
        ValueError: The task has no scenes, or there are more captions.
    """
    data = getattr(task, split)
    if not task.knows_boxes or len(captions) > len(data["captions"]):
        raise ValueError(
            "expected captions of scenes with known digits, at most "
            f"{len(data['captions'])}. Received: {len(captions)} captions of "
            f"{task.name}. Judge captions of the data set digit_scenes"
        )
    rows = []
    for scene, caption in enumerate(captions):
        said, digits = parse(caption), _digits(data, scene)
        for kind, order, right in _judged(said, digits, _truth(data, scene)):
            rows.append((kind, scene, len(digits), order, right))
    keys = ("kind", "scene", "digits", "order", "right")
    columns = zip(*rows, strict=True) if rows else [()] * len(keys)
    return {
        key: np.array(column) for key, column in zip(keys, columns, strict=True)
    }


def shares(judged, **only) -> dict:
    """Return the percentage of right statements of each kind.

    Args:
        judged: From `judge`.
        **only: Values that entries must have, such as `digits=2, order=1`.

    Returns:
        Dict from those of `STATEMENTS` that occur to numbers.
    """
    kept = np.ones(len(judged["kind"]), bool)
    for key, value in only.items():
        kept &= judged[key] == value
    found = {}
    for kind in STATEMENTS:
        right = judged["right"][kept & (judged["kind"] == kind)]
        if len(right):
            found[kind] = 100 * float(right.mean())
    return found


def _digits(data, scene):
    """Return `(colour, digit)` of each digit of a scene, as words."""
    return [
        (COLOURS[colour] if colour >= 0 else None, DIGITS[label])
        for label, colour in zip(
            data["label"][scene], data["colour"][scene], strict=True
        )
        if label >= 0
    ]


def _truth(data, scene) -> Statement:
    """Return all that a scene's true captions say, by index of the digits."""
    relations, place = set(), ""
    lines, abouts = data["captions"][scene], data["objects"][scene]
    for line, about in zip(lines, abouts, strict=True):
        said = parse(line)
        named = [
            thing
            for word, thing in zip(line.split(), about, strict=True)
            if word in DIGITS and thing >= 0
        ]
        for i, side, j in said.relations:
            relations.add((named[i], side, named[j]))
            relations.add((named[j], _OPPOSITE[side], named[i]))
        place = said.place or place
    return Statement((), tuple(sorted(relations)), place)


def _judged(said, digits, truth):
    """Yield `(kind, order, right)` of each statement that was due."""
    count, named = len(digits), said.things[: len(digits)]
    yield "how many", 0, len(said.things) == count
    colours, names = zip(*digits, strict=True)
    parts = {
        "colour": ([thing[0] for thing in named], colours),
        "digit": ([thing[1] for thing in named], names),
        "colour and digit": (named, digits),
    }
    if None in colours:
        parts = {"digit": parts["digit"]}
    for kind, (given, there) in parts.items():
        left = list(there)
        for order in range(count):
            right = order < len(given) and given[order] in left
            if right:
                left.remove(given[order])
            yield kind, order, right
    if count == 1:
        yield "where", 0, said.place == truth.place
        return
    # A scene of K digits takes K - 1 relations; one that was not stated is
    # wrong.
    best = _best_match(said.things, digits)
    for order in range(count - 1):
        right = best is not None and order < len(said.relations)
        if right:
            i, side, j = said.relations[order]
            right = (best[i], side, best[j]) in truth.relations
        yield "where", order, right


def _best_match(things, digits):
    """Return which digit each thing is, None where that is not clear."""
    if len(things) != len(digits):
        return None
    scored = sorted(
        (
            sum(
                (colour == digits[i][0]) + (name == digits[i][1])
                for (colour, name), i in zip(things, order, strict=True)
            ),
            order,
        )
        for order in itertools.permutations(range(len(digits)))
    )
    return None if scored[-1][0] == scored[-2][0] else scored[-1][1]


def embed(model, images):
    """Return the embedding x_{-1} of images, float32 (N, M).

    Args:
        model: A `ShowAndTell` with an encoder.
        images: Bytes (N, side, side, 3).
    """
    parts = [
        ops.convert_to_numpy(
            model.encode(unit(images[i : i + 200]))[1]["image"]
        )
        for i in range(0, len(images), 200)
    ]
    return np.concatenate(parts)


def log_probs(model, image, target, following):
    """Return log p of each word of captions, from the images' embeddings.

    Args:
        model: A `ShowAndTell`.
        image: Embeddings x_{-1}, (N, M).
        target: Previous words, integers (N, T), from START.
        following: The words themselves, (N, T).

    Returns:
        A float32 tensor (N, T).
    """
    image = ops.convert_to_tensor(image)
    blank = ops.zeros((image.shape[0], model.units))
    memory = {"image": image}
    first = model.decoder.project(image)
    state, *_ = model.advance((blank, blank), first, memory)
    logits, _ = model.unroll(state, memory, target)
    logs = ops.log_softmax(logits, axis=-1)
    return ops.take_along_axis(logs, following[..., None], axis=-1)[..., 0]


def influence(model, task, lines, images) -> dict:
    """Measure how much each word of captions depends on the image.

    Args:
        model: A `ShowAndTell` with an encoder.
        task: A `captions.Task`.
        lines: Captions of equally many words T - 1.
        images: Their images, bytes (N, side, side, 3).

    Returns:
        Dict of arrays (N, T), the last column is the caption's end:
        `gradient`, the length of the derivative of log p(word t) by x_{-1},
        in nats per standard deviation of the embeddings; and `gain`, the nats
        by which the image makes the word likelier than the mean embedding of
        these images does.

    Raises:
        ValueError: There are no captions, or they differ in length.
    """
    ids = [[*task.vocabulary.encode(line), text.END] for line in lines]
    if len({len(line) for line in ids}) != 1:
        raise ValueError(
            "expected captions of equally many words. Received: "
            f"{sorted({len(line) for line in ids})} words, their end "
            "included. Choose captions of one length"
        )
    following = np.array(ids, "int32")
    target = np.pad(following, [(0, 0), (1, 0)], constant_values=text.START)
    target = target[:, :-1]
    image = embed(model, images)
    spread = float(np.sqrt(image.var(axis=0).mean()))

    # One copy of each image for each word, and one gradient for all: that of
    # word t with respect to its own copy.
    count = following.shape[1]
    copies = np.repeat(image, count, axis=0)
    words = [np.repeat(rows, count, axis=0) for rows in (target, following)]
    own = np.tile(np.eye(count, dtype="float32"), (len(image), 1))
    (slopes,) = gradients(
        lambda x: ops.sum(log_probs(model, x, *words) * own), copies
    )
    blurred = np.broadcast_to(image.mean(axis=0), image.shape)
    seen, blind = (
        ops.convert_to_numpy(log_probs(model, x, target, following))
        for x in (image, np.ascontiguousarray(blurred))
    )
    lengths = np.linalg.norm(slopes, axis=1).reshape(-1, count)
    return {"gradient": lengths * spread, "gain": seen - blind}


def remember(model, task, line, images) -> np.ndarray:
    """Return the LSTM's memory of each image while it reads the same words.

    What differs between the images is then what is left of them: no word
    tells them apart.

    Args:
        model: A `ShowAndTell` with an encoder.
        task: A `captions.Task`.
        line: A caption of T words, the same for all images.
        images: Bytes (N, side, side, 3).

    Returns:
        float32 (T + 2, N, 2 U): h and c side by side, after the image, after
        START, and after each word.
    """
    image = embed(model, images)
    words = [text.START, *task.vocabulary.encode(line)]
    memory = {"image": ops.convert_to_tensor(image)}
    blank = ops.zeros((len(image), model.units))
    state = blank, blank
    steps = [model.decoder.project(memory["image"])]
    for word in words:
        embedded = model.embed_target(np.full(len(image), word, "int32"))
        steps.append(model.decoder.project(embedded))
    found = []
    for projected in steps:
        state, *_ = model.advance(state, projected, memory)
        found.append(ops.convert_to_numpy(ops.concatenate(state, axis=-1)))
    return np.stack(found)


def scene_labels(task, split, digits) -> tuple:
    """Return what can be asked of scenes with so many digits, and answers.

    Args:
        task: A `captions.Task` of scenes.
        split: `"train"`, `"validation"` or `"test"`.
        digits: 1 or 2.

    Returns:
        `(rows, answers)`: numbers of the scenes (n,), and a dict from a
        question to the labels (n,): `colour`, `digit` and `place` of the only
        digit, or colour and digit of the `left` and of the `right` one, by
        their boxes' left edges.

    Raises:
        ValueError: `digits` is neither 1 nor 2.
    """
    if digits not in (1, 2):
        raise ValueError(
            f"expected digits to be 1 or 2. Received: {digits!r}. Ask about "
            "scenes of one or two digits"
        )
    data = getattr(task, split)
    rows = np.flatnonzero((data["label"] >= 0).sum(axis=1) == digits)
    edges = data["boxes"][rows, :digits, 0]
    order = np.argsort(edges, axis=1, kind="stable")
    answers = {}
    for i, name in enumerate(["left ", "right "] if digits == 2 else [""]):
        for key, what in (("colour", "colour"), ("label", "digit")):
            found = data[key][rows, order[:, i]]
            answers[name + what] = found
    if digits == 1:
        places = [_truth(data, scene).place for scene in rows]
        answers["place"] = np.array(places)
    return rows, answers


def probe(train, test) -> float:
    """Return how often a linear classifier reads a label off features.

    Least squares on the labels as vectors of +1 and -1, with ridge: solved in
    one step, so that it costs nothing and needs no seed.

    Args:
        train: `(features, labels)`: (N, M) and (N,).
        test: Likewise.

    Returns:
        The percentage of test labels that are read correctly.

    Example:

    >>> x = np.array([[0.0], [1], [0], [1]])
    >>> probe((x, [3, 5, 3, 5]), (x, [3, 5, 3, 3]))
    75.0
    """
    from sklearn.linear_model import RidgeClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    reader = make_pipeline(StandardScaler(), RidgeClassifier())
    return 100 * float(reader.fit(*train).score(*test))
