"""Questions about generated scenes, with the boxes that answer them.

Embedded: digits, squares and cats on dimmed pieces of photographs, as in
`digit_scenes`. What every question is about is known, hop by hop: `what
colour is the digit left of the red digit` needs the red one first and then what
is beside it. Whether attention goes there is measured, not admired.

Tasks:

- `"mixed"`: two to four digits in the quarters of a picture, no digit and no
  colour twice. Kinds of questions: `colour`, `digit`, `place` and `exists` need
  one hop; `relation` needs two, and is asked where there are four digits. All
  that is known of the first is its colour, and all that is asked for a colour.
- `"absolute"` and `"relative"`: a red square on one of the four sides of the
  picture, or of a cat; after the text of the paper below. Of the four
  questions about a scene one is answered by `yes`, whatever side it asks for.
- `"telling"`: as `"mixed"`, with four answers to choose from.
- `"pointing"`: which of four digits is beside another one; the answers to
  choose from are boxes.

One digit is left or right of another where it is beside it, above or below
where it is over or under it. Of two digits in opposite corners none is.

Convention: boxes are x, y, width, height in pixels, (x, y) the top-left pixel
from 0; they hug the ink.

Reference:
    Xu and Saenko 2016, arXiv:1511.05234, section 4.1 (absolute, relative); Zhu
    et al. 2016, arXiv:1511.03416 (telling, pointing).
"""

import functools

import numpy as np

from attnlib.datasets import digit_scenes, scenery
from attnlib.datasets.checks import whole_number
from attnlib.datasets.registry import DataSet
from attnlib.datasets.scenery import COLOURS, DIGITS

TASKS = ("mixed", "absolute", "relative", "telling", "pointing")
PLACES = ("upper left", "upper right", "lower left", "lower right")
RELATIONS = ("left of", "right of", "above", "below")
SIDES = ("left", "right", "top", "bottom")
CHOICES = 4
# Kinds of questions about digits, in the order in which they are asked.
KINDS = ("colour", "digit", "place", "exists", "relation")

_SIZES = (56, 64, 84)
_MOST = 4
_EDGE, _GAP = 1, 2  # pixels around a box, and between two boxes
_ABSENT = -1
# The quarter that is left of each quarter, right of it, and so on; -1: none.
_BESIDE = ((-1, 0, -1, 2), (1, -1, 3, -1), (-1, -1, 0, 1), (2, 3, -1, -1))
# Heights in pixels, in pictures of 56 pixels.
_SQUARES, _CATS = (8, 9, 10, 11), (11, 12, 13)
_RED = COLOURS.index("red")


# Scenes


def _quarters(random, split, size, count, digits, fewest):
    """Make scenes with one digit in each of `fewest` to 4 quarters.

    Half of the scenes with a choice have four digits.

    Returns:
        Tuple of the dictionary that `load` returns of scenes, and of the
        quarters (N, 4) of the digits, row by row, -1 where there is none.
    """
    ink, rim, pool_sizes, pool_label = scenery.pool(digits, split)
    images = scenery.backgrounds(random, split, count, size)
    beyond = max(2 * _MOST - fewest, _MOST + 1)
    number = random.randint(fewest, beyond, count)
    present = np.arange(_MOST) < np.minimum(number, _MOST)[:, None]
    label, colour, quarter = (
        random.rand(count, things).argsort(axis=1)[:, :_MOST]
        for things in (len(DIGITS), len(COLOURS), _MOST)
    )
    chosen = _one_of_each(random, pool_label, label)
    sizes, half = pool_sizes[chosen], size // 2
    corners = np.stack([quarter % 2, quarter // 2], axis=2) * half
    corners += random.randint(_EDGE, half - _EDGE - sizes + 1)
    shades = scenery.PALETTE[colour]
    scenery.compose(images, ink, rim, chosen, shades, corners, present)
    boxes = np.concatenate([corners, sizes], axis=2) * present[..., None]
    label, colour, quarter = (
        np.where(present, of_each, _ABSENT).astype(np.int32)
        for of_each in (label, colour, quarter)
    )
    boxes = boxes.astype(np.int32)
    facts = {"boxes": boxes, "label": label, "colour": colour}
    return {"images": images, **facts}, quarter


def _one_of_each(random, pool_label, label):
    """Draw the index of a digit of the pool for every label."""
    order = np.argsort(pool_label, kind="stable")
    starts = np.searchsorted(pool_label[order], np.arange(len(DIGITS) + 1))
    some = random.rand(*label.shape) * np.diff(starts)[label]
    return order[starts[label] + some.astype(int)]


@functools.cache
def _shapes(size):
    """Return squares and cats of several sizes, as of `scenery.cut_out`.

    Returns:
        Tuple of ink, rim, sizes, and the number of squares, which come first.
    """
    squares, cats = (
        [height * size // _SIZES[0] for height in heights]
        for heights in (_SQUARES, _CATS)
    )
    drawn = np.zeros((len(squares) + len(cats), max(cats), max(cats)), np.uint8)
    for image, height in zip(drawn, squares, strict=False):
        image[:height, :height] = 255
    for image, height in zip(drawn[len(squares) :], cats, strict=True):
        image[:height, :height] = _cat(height)
    return *scenery.cut_out(drawn), len(squares)


def _cat(height):
    """Draw the head of a cat, uint8 (height, height): ears, two eyes."""
    fine = 8  # points a pixel
    at = (np.arange(height * fine) + 0.5) / (height * fine)
    x, y = np.abs(at - 0.5)[None], at[:, None]
    face = (x / 0.5) ** 2 + ((y - 0.6) / 0.4) ** 2 <= 1
    ears = (np.abs(x - 0.33) < 0.35 * y) & (x < 0.5) & (y < 0.5)
    eyes = (x - 0.2) ** 2 + (y - 0.55) ** 2 <= 0.09**2
    cat = (face | ears) & ~eyes
    points = cat.reshape(height, fine, height, fine).sum(axis=(1, 3))
    return (points * 255 // fine**2).astype(np.uint8)


def _around(offset, reach, margin):
    """Say on which side something is, where it is clear.

    Args:
        offset: int (N, 2), x and y of its middle as seen from another one.
        reach: How far it is at least, int (N,).
        margin: How much farther in one direction than in the other.

    Returns:
        int (N,), index into `SIDES`, or -1.
    """
    wide, high = np.abs(offset).T
    clear = (np.maximum(wide, high) >= reach) & (abs(wide - high) >= margin)
    side = np.where(
        wide > high, (offset[:, 0] > 0).astype(int), 2 + (offset[:, 1] > 0)
    )
    return np.where(clear, side, _ABSENT)


def _on_sides(random, split, size, count, with_cat):
    """Make scenes with a red square on a side of the picture, or of a cat.

    Returns:
        Tuple of the dictionary that `load` returns of scenes, where the square
        is last, and of its sides (N,), which are equally frequent.
    """
    ink, rim, pool_sizes, squares = _shapes(size)
    images = scenery.backgrounds(random, split, count, size)
    side = random.permutation(np.arange(count) % len(SIDES))
    chosen = random.randint(squares, size=(count, 1))
    colour = np.full((count, 1), _RED)
    if with_cat:
        cats = random.randint(squares, len(pool_sizes), size=(count, 1))
        shade = random.randint(_RED + 1, len(COLOURS), size=(count, 1))
        chosen = np.concatenate([cats, chosen], axis=1)
        colour = np.concatenate([shade, colour], axis=1)
    sizes = pool_sizes[chosen]
    corners = np.zeros_like(sizes)
    wrong = np.arange(count)
    while len(wrong):
        some = sizes[wrong]
        corners[wrong] = random.randint(_EDGE, size - _EDGE - some + 1)
        # Twice the middle of a box is a whole number.
        middles = 2 * corners[wrong] + some
        if with_cat:
            offset = middles[:, 1] - middles[:, 0]
            reach = some[..., 0].sum(axis=1) + 2 * _GAP
        else:
            offset, reach = middles[:, 0] - size, np.zeros(len(wrong))
        wrong = wrong[_around(offset, reach, size // 5) != side[wrong]]
    present = np.ones(chosen.shape, bool)
    shades = scenery.PALETTE[colour]
    scenery.compose(images, ink, rim, chosen, shades, corners, present)
    scenes = {
        "images": images,
        "boxes": np.concatenate([corners, sizes], axis=2).astype(np.int32),
        "label": np.full(chosen.shape, _ABSENT, np.int32),
        "colour": colour.astype(np.int32),
    }
    return scenes, side


# Questions: tuples of question, answer, kind, scene, hops, and of the things
# that the first and the second hop should look at, -1 for none.


def _one_hop(random, scene, label, colour, quarter):
    """Ask four questions about single digits of one scene."""
    number = len(label)
    a, b, c, d = random.randint(number, size=4)
    # What is not there has the colour of another digit.
    yes, other = random.randint(2), (d + random.randint(1, number)) % number
    shown, thing = (d, d) if yes else (other, _ABSENT)
    digit, tint = [DIGITS[i] for i in label], [COLOURS[i] for i in colour]
    asked = (
        ("colour", f"what colour is the {digit[a]}", tint[a], a),
        ("digit", f"which digit is {tint[b]}", digit[b], b),
        ("place", f"where is the {digit[c]}", PLACES[quarter[c]], c),
        (
            "exists",
            f"is there a {tint[shown]} {digit[d]}",
            "yes" if yes else "no",
            thing,
        ),
    )
    return [
        (text, answer, kind, scene, 1, (at, at))
        for kind, text, answer, at in asked
    ]


def _neighbours(quarter):
    """Return (relation, digit, the one that is so from it) of four digits."""
    at = {place: index for index, place in enumerate(quarter)}
    return [
        (RELATIONS[relation], index, at[beside])
        for relation, all_beside in enumerate(_BESIDE)
        for index, place in enumerate(quarter)
        if (beside := all_beside[place]) >= 0
    ]


def _two_hops(scene, label, colour, quarter, pointing):
    """Ask eight questions about what is beside a digit of one scene."""
    asked = []
    for relation, first, second in _neighbours(quarter):
        # "one" is a digit, so no "red one".
        named = f"{relation} the {COLOURS[colour[first]]} digit"
        text, answer = f"which digit is {named}", DIGITS[label[second]]
        if not pointing:
            # Who names a colour asks for a colour: what the first hop sees is
            # no answer, which a question says by itself.
            text = f"what colour is the digit {named}"
            answer = COLOURS[colour[second]]
        asked.append((text, answer, "relation", scene, 2, (first, second)))
    return asked


def _about_digits(random, scenes, quarter, task):
    """Ask everything about scenes of `_quarters`."""
    rows = []
    facts = np.stack([scenes["label"], scenes["colour"], quarter], axis=1)
    for scene, fact in enumerate(facts.tolist()):
        there = [[i for i in of_each if i >= 0] for of_each in fact]
        pointing = task == "pointing"
        if not pointing:
            rows += _one_hop(random, scene, *there)
        if len(there[0]) == _MOST:
            rows += _two_hops(scene, *there, pointing)
    return rows


def _kept(rows, wanted):
    """Leave out the questions of other kinds than those wanted."""
    rows = [row for row in rows if row[2] in wanted]
    if not rows:
        raise ValueError(
            f"expected scenes with questions of the kinds {', '.join(wanted)}. "
            "Received: too few scenes, none has such a question; ask for more"
        )
    return rows


def _wanted(task, kinds):
    """Return the kinds of questions that a task asks, checked."""
    # Yes and no are not four answers.
    known = [kind for kind in KINDS if task == "mixed" or kind != "exists"]
    if kinds is None:
        return known
    if task not in ("mixed", "telling"):
        raise ValueError(
            f"kinds: the task {task!r} has one kind of questions, so expected "
            f"None, received {kinds!r}"
        )
    if isinstance(kinds, str) or not kinds or not set(kinds) <= set(known):
        raise ValueError(
            f"kinds: expected some of {', '.join(known)}, received {kinds!r}"
        )
    return tuple(kinds)


def _about_sides(side, with_cat):
    """Ask for each side of every scene of `_on_sides`."""
    kind, hops, things, of = "absolute", 1, (0, 0), ""
    if with_cat:
        kind, hops, things, of = "relative", 2, (0, 1), " of the cat"
    return [
        (
            f"is there a red square on the {name}{of}",
            "yes" if SIDES[at] == name else "no",
            kind,
            scene,
            hops,
            things,
        )
        for scene, at in enumerate(side.tolist())
        for name in SIDES
    ]


def _columns(rows, boxes) -> dict:
    """Return what `load` returns of questions."""
    question, answer, kind, image, hops, things = zip(*rows, strict=True)
    image, things = np.array(image, np.int32), np.array(things)
    box = boxes[image[:, None], things].astype(np.float32)
    box[things < 0] = np.nan
    return {
        "question": list(question),
        "answer": list(answer),
        "kind": list(kind),
        "image": image,
        "hops": np.array(hops, np.int32),
        "box": box,
    }


def _answers_to_choose(random, rows, scenes):
    """Return four answers a question, and which is right.

    Wrong ones are of the same kind, and true of other digits of the scene
    while there are such.
    """
    choices, choice = [], []
    for _, answer, _, scene, *_ in rows:
        if answer in PLACES:
            known, here = PLACES, ()
        elif answer in COLOURS:
            known, here = COLOURS, scenes["colour"][scene]
        else:
            known, here = DIGITS, scenes["label"][scene]
        here = [known[i] for i in here if i >= 0 and known[i] != answer]
        rest = [word for word in known if word != answer and word not in here]
        rest = [rest[i] for i in random.permutation(len(rest))]
        wrong = (here + rest)[: CHOICES - 1]
        four = [answer, *wrong]
        order = random.permutation(CHOICES)
        choices.append([four[i] for i in order])
        choice.append(int(np.flatnonzero(order == 0)[0]))
    return {"choices": choices, "choice": np.array(choice, np.int32)}


def _boxes_to_choose(random, rows, boxes):
    """Return the four boxes of a scene in any order, and which is right."""
    order = random.rand(len(rows), CHOICES).argsort(axis=1)
    scene = np.array([row[3] for row in rows])
    right = np.array([row[5][1] for row in rows])
    return {
        "choice_boxes": boxes[scene[:, None], order].astype(np.float32),
        "choice": (order == right[:, None]).argmax(axis=1).astype(np.int32),
    }


def _read(
    split,
    *,
    task="mixed",
    scenes=1000,
    size=56,
    seed=0,
    digits="digits28",
    kinds=None,
):
    """Make scenes of one split, and ask questions about them.

    The splits' digits and pieces of photographs are disjoint, as in
    `digit_scenes`.

    Args:
        split: `"train"`, `"validation"` or `"test"`.
        task: One of `TASKS`, see the module's text.
        scenes: Number of scenes. `"mixed"` asks 4 questions about a scene, 12
            where it has four digits, as half of them; `"telling"` one less of
            each; `"pointing"` 8; `"absolute"` and `"relative"` 4.
        size: Height and width of the images in pixels, 56, 64 or 84.
        seed: Seed of the scenes and questions.
        digits: Data set of the digits, `"digits28"` (embedded) or `"mnist"`.
        kinds: Which of `KINDS` `"mixed"` or `"telling"` ask, or None for all;
            the scenes are the same.

    Returns:
        `images` uint8 (N, size, size, 3); for every question `question` and
        `answer`, lists of str in lower case, `kind`, a list of str, `image`
        int32 (Q,), the index of its image, `hops` int32 (Q,), 1 or 2, and
        `box` float32 (Q, 2, 4), what the first and the second hop should look
        at: twice the same with one hop, the cat and the square in
        `"relative"`, and NaN where what is asked for is not there.

        `"telling"` adds `choices`, for every question a list of four answers,
        and `choice` int32 (Q,), the index of the right one; `"pointing"` adds
        `choice_boxes` float32 (Q, 4, 4), and `choice`.

        What is in the images, K things at most: `boxes` int32 (N, K, 4),
        `label` int32 (N, K), 0 to 9, or -1 for a square or a cat, and
        `colour` int32 (N, K), index into `COLOURS`. Of things that a scene
        does not have, boxes are 0, label and colour -1.
    """
    if task not in TASKS:
        raise ValueError(
            f"task: expected one of {', '.join(TASKS)}, received {task!r}"
        )
    if isinstance(size, bool) or size not in _SIZES:
        raise ValueError(f"size: expected 56, 64 or 84, received {size!r}")
    scenery.check_digits(digits)
    wanted = _wanted(task, kinds)
    count = whole_number("scenes", scenes, 1)
    seed = whole_number("seed", seed, 0, 2**32 - 1)
    random, size = scenery.random_state(seed, split), int(size)
    if task in ("absolute", "relative"):
        with_cat = task == "relative"
        made, side = _on_sides(random, split, size, count, with_cat)
        rows = _about_sides(side, with_cat)
    else:
        fewest = _MOST if task == "pointing" else 2
        made, quarter = _quarters(random, split, size, count, digits, fewest)
        rows = _kept(_about_digits(random, made, quarter, task), wanted)
    out = made | _columns(rows, made["boxes"])
    if task == "telling":
        out |= _answers_to_choose(random, rows, made)
    if task == "pointing":
        out |= _boxes_to_choose(random, rows, made["boxes"])
    return out


DATASET = DataSet(
    name="question_scenes",
    description="Questions about digits and squares on photographs, with boxes",
    licence=digit_scenes.DATASET.licence,
    citation=digit_scenes.DATASET.citation,
    homepage=digit_scenes.DATASET.homepage,
    read=_read,
)
