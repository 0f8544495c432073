"""Captioned scenes: coloured digits on photographs, with known boxes.

Embedded: handwritten digits on dimmed pieces of scikit-image's photographs,
described by sentences such as `a red three left of a blue seven`. Where every
digit is, and which word names which, is known: whether attention looks at
what it names is measured, not admired.

Convention: boxes are x, y, width, height in pixels, (x, y) the top-left pixel
from 0; they hug the ink of a digit.
"""

import numpy as np

from attnlib.datasets import registry, scenery
from attnlib.datasets.checks import whole_number
from attnlib.datasets.scenery import COLOURS, DIGITS

_SIDES = (56, 84)
_MOST = 3
_EDGE, _GAP = 1, 2  # pixels around a box, and between two boxes
_ROWS = ("upper", "middle", "lower")
_COLUMNS = ("left", "middle", "right")
# [i] names digit i, [at] its place, [i>j] and [i>>j] say where i is as seen
# from j, [i~j] the same with a pronoun for j.
_LONG = {
    "left of": "to the left of",
    "right of": "to the right of",
    "above": "higher than",
    "below": "lower than",
}
_PRONOUN = {
    "left of": "to its left",
    "right of": "to its right",
    "above": "above it",
    "below": "below it",
}
_TEMPLATES = {
    1: (
        "[0] in the [at]",
        "there is [0] in the [at]",
        "in the [at] is [0]",
        "the [at] shows [0]",
        "the only digit is [0] in the [at]",
    ),
    2: (
        "[0] [0>1] [1]",
        "[1] [1>0] [0]",
        "there is [0] [0>>1] [1]",
        "[0] with [1] [1~0]",
        "[1] with [0] [0~1]",
    ),
    3: (
        "[0] [0>1] [1] and [0>2] [2]",
        "[1] [1>2] [2] and [1>0] [0]",
        "[2] [2>0] [0] and [2>1] [1]",
        "there is [0] [0>>2] [2] and [0>>1] [1]",
        "here is [1] [1>0] [0] and [1>2] [2]",
    ),
}
_TOKENS = {
    number: [template.split() for template in templates]
    for number, templates in _TEMPLATES.items()
}


def _clashes(corners, sizes, present):
    """Return which scenes have two boxes that overlap or nearly touch."""
    found = np.zeros(len(corners), bool)
    for i in range(corners.shape[1]):
        for j in range(i):
            after = corners[:, i] >= corners[:, j] + sizes[:, j] + _GAP
            before = corners[:, j] >= corners[:, i] + sizes[:, i] + _GAP
            apart = (after | before).any(axis=1)
            found |= ~apart & present[:, i] & present[:, j]
    return found


def _corners(random, sizes, present, side):
    """Draw corners (N, K, 2) until no boxes of a scene clash."""
    corners = random.randint(_EDGE, side - _EDGE - sizes + 1)
    clash = np.flatnonzero(_clashes(corners, sizes, present))
    while len(clash):
        some = sizes[clash]
        corners[clash] = random.randint(_EDGE, side - _EDGE - some + 1)
        clash = clash[_clashes(corners[clash], some, present[clash])]
    alone = np.flatnonzero(present.sum(axis=1) == 1)
    corners[alone, 0] = _corners_of_one(random, sizes[alone, 0], side)
    return corners


def _corners_of_one(random, sizes, side):
    """Draw corners (N, 2), centres clearly within one of 3 x 3 places."""
    third = random.randint(3, size=sizes.shape)
    clear = side // 28  # pixels between a centre and the next place
    # Twice the centre is 2 x + width, a whole number.
    low = np.where(third == 0, 0, 2 * side * third // 3 + 2 * clear)
    high = np.where(third == 2, 2 * side, 2 * side * (third + 1) // 3)
    high = high - np.where(third == 2, 0, 2 * clear)
    low = np.maximum(-((sizes - low) // 2), _EDGE)
    high = np.minimum((high - sizes) // 2, side - _EDGE - sizes)
    return random.randint(low, high + 1)


def _relation(first, second) -> str:
    """Say where a box is as seen from another, along the wider gap."""
    x, y, w, h = first
    u, v, r, s = second
    gaps = {
        "left of": u - x - w,
        "right of": x - u - r,
        "above": v - y - h,
        "below": y - v - s,
    }
    return max(gaps, key=gaps.get)


def _place(box, side) -> str:
    """Name the ninth of the picture that a box's centre is in."""
    x, y, w, h = box
    row, column = (min(3 * c // (2 * side), 2) for c in (2 * y + h, 2 * x + w))
    if row == column == 1:
        return "middle"
    return f"{_ROWS[row]} {_COLUMNS[column]}"


def _phrases(boxes, labels, colours, side) -> dict:
    """Return what a template's brackets stand for in one scene."""
    phrases = {"[at]": (_place(boxes[0], side).split(), -1)}
    for i, (label, colour) in enumerate(zip(labels, colours, strict=True)):
        named = [*([COLOURS[colour]] if colour >= 0 else []), DIGITS[label]]
        article = "an" if named[0] == "eight" else "a"
        phrases[f"[{i}]"] = ([article, *named], i)
        for j in range(len(boxes)):
            if i != j:
                relation = _relation(boxes[i], boxes[j])
                phrases[f"[{i}>{j}]"] = (relation.split(), -1)
                phrases[f"[{i}>>{j}]"] = (_LONG[relation].split(), -1)
                phrases[f"[{i}~{j}]"] = (_PRONOUN[relation].split(), -1)
    return phrases


def _captions(boxes, labels, colours, side):
    """Describe one scene; return sentences, and what each word is about."""
    phrases = _phrases(boxes, labels, colours, side)
    sentences, objects = [], []
    for template in _TOKENS[len(boxes)]:
        words, about = [], []
        for token in template:
            phrase, thing = phrases.get(token, ([token], -1))
            words += phrase
            # The article comes before anything is named.
            about += [-1, *[thing] * (len(phrase) - 1)]
        sentences.append(" ".join(words))
        objects.append(about)
    return sentences, objects


def _read(
    split,
    *,
    side=56,
    fewest=1,
    most=3,
    colours=True,
    count=1000,
    digits="digits28",
    seed=0,
):
    """Make scenes of one split, each with five true captions.

    A scene is a dimmed piece of a photograph with digits of about 20 pixels
    that never overlap. One digit is said to be in one of nine places; two or
    three are related by `left of`, `right of`, `above` and `below`, whichever
    gap between the boxes is wider. Digits and pieces of photographs of
    different splits are disjoint.

    Args:
        split: `"train"`, `"validation"` or `"test"`.
        side: Height and width in pixels, 56 or 84.
        fewest: Smallest number of digits in a scene, 1 to `most`.
        most: Largest number of digits in a scene, 1 to 3.
        colours: Whether digits have one of six colours, which the captions
            name; else all are white, and captions say nothing of it.
        count: Number of scenes.
        digits: Data set of the digits, `"digits28"` (embedded) or `"mnist"`.
        seed: Seed of the scenes.

    Returns:
        `images` uint8 (N, side, side, 3); `captions`, for every scene a list
        of five sentences, words with single spaces between; `objects`, for
        every word of every caption the index of the digit that it names, by
        colour or by value, or -1 for all other words; and for each of K =
        `most` digits `boxes` int32 (N, K, 4), `label` int32 (N, K), 0 to 9,
        and `colour` int32 (N, K), index into `COLOURS`. Of the digits that
        a scene does not have, boxes are 0, label and colour -1; so is every
        colour without `colours`.
    """
    options = (side, fewest, most, colours, count, digits, seed)
    side, fewest, most, count, seed = _checked(*options)
    random = scenery.random_state(seed, split)
    ink, rim, pool_sizes, pool_labels = scenery.pool(digits, split)
    images = scenery.backgrounds(random, split, count, side)
    number = random.randint(fewest, most + 1, count)
    present = np.arange(most) < number[:, None]
    chosen = random.randint(len(pool_labels), size=(count, most))
    colour = random.randint(len(COLOURS), size=(count, most))
    if not colours:
        colour[:] = COLOURS.index("white")
    sizes = pool_sizes[chosen]
    corners = _corners(random, sizes, present, side)
    shades = scenery.PALETTE[colour]
    scenery.compose(images, ink, rim, chosen, shades, corners, present)
    if not colours:
        colour[:] = -1
    boxes = np.concatenate([corners, sizes], axis=2) * present[..., None]
    label = np.where(present, pool_labels[chosen], -1)
    colour = np.where(present, colour, -1)
    described = [
        _captions(b[:n], d[:n], c[:n], side)
        for b, d, c, n in zip(
            boxes.tolist(),
            label.tolist(),
            colour.tolist(),
            number.tolist(),
            strict=True,
        )
    ]
    return {
        "images": images,
        "captions": [sentences for sentences, _ in described],
        "objects": [objects for _, objects in described],
        "boxes": boxes.astype(np.int32),
        "label": label.astype(np.int32),
        "colour": colour.astype(np.int32),
    }


def _checked(side, fewest, most, colours, count, digits, seed):
    """Return the options that are numbers as int, or raise."""
    if isinstance(side, bool) or side not in _SIDES:
        raise ValueError(f"side: expected 56 or 84, received {side!r}")
    if not isinstance(colours, bool):
        raise ValueError(
            f"colours: expected True or False, received {colours!r}"
        )
    scenery.check_digits(digits)
    most = whole_number("most", most, 1, _MOST)
    fewest = whole_number("fewest", fewest, 1, most)
    count = whole_number("count", count, 1)
    seed = whole_number("seed", seed, 0, 2**32 - 1)
    return int(side), fewest, most, count, seed


def coverage(boxes, grid, side) -> np.ndarray:
    """Return which share of each cell of a grid lies within each box.

    Args:
        boxes: Array (..., 4): x, y, width, height in pixels.
        grid: Number of rows and columns of cells, or (rows, columns).
        side: Height and width of the picture in pixels.

    Returns:
        float64 (..., L), L = rows * columns cells, row by row; its mean is
        the share of the picture that the box has.

    Raises:
        ValueError: `boxes` has no last axis of 4, or `grid` or `side` is no
            whole number of at least 1.

    Example:
        >>> coverage([[0, 0, 6, 4]], grid=2, side=8)
        array([[1. , 0.5, 0. , 0. ]])
    """
    boxes = np.asarray(boxes, np.float64)
    if boxes.ndim < 1 or boxes.shape[-1] != 4:
        raise ValueError(
            f"expected boxes of shape (..., 4). Received: shape {boxes.shape}"
        )
    side = whole_number("side", side, 1)
    pair = grid if isinstance(grid, tuple | list) else (grid, grid)
    if len(pair) != 2:
        raise ValueError(
            f"expected grid as a number or (rows, columns). Received: {grid!r}"
        )
    rows, columns = (whole_number("grid", one, 1) for one in pair)
    down, across = (
        _covered(boxes[..., axis], boxes[..., axis + 2], cells, side)
        for axis, cells in ((1, rows), (0, columns))
    )
    both = down[..., :, None] * across[..., None, :]
    return both.reshape(*boxes.shape[:-1], rows * columns)


def _covered(start, length, cells, side):
    """Return the share (..., cells) of each interval that is covered."""
    edges = np.linspace(0, side, cells + 1)
    low = np.maximum(edges[:-1], start[..., None])
    high = np.minimum(edges[1:], (start + length)[..., None])
    return np.maximum(high - low, 0) * cells / side


def attention_mass(weights, boxes, objects, grid, side) -> dict:
    """Measure how much attention lies in the box of what a word names.

    A cell counts by the share of its area within the box, so that uniform
    weights have exactly the chance level, whatever the grid.

    Args:
        weights: Array (N, T, L), or a list of N arrays (T_n, L): the weights
            of L cells, row by row, with which each word was said.
        boxes: Array (N, K, 4) in pixels, as `load` gives.
        objects: For each scene a list: for each word the index of the digit
            that it names, or -1. Words without weights are not allowed;
            weights without words, such as padding, are ignored.
        grid: Number of rows and columns of cells, or (rows, columns).
        side: Height and width of the picture in pixels.

    Returns:
        Dictionary of arrays, one entry per word that names something: `mass`,
        the share of attention in its box; `chance`, the box's share of the
        picture; `ceiling`, the most that a single cell could have; `scene`
        and `word`, which word it is.

    Raises:
        ValueError: The lengths do not fit each other, an index is not that of
            a box, or weights are negative, not finite or all 0.

    Example:
        >>> weights = np.full((1, 2, 4), 0.25)
        >>> found = attention_mass(
        ...     weights, [[[0, 0, 4, 4]]], [[-1, 0]], grid=2, side=8
        ... )
        >>> found["mass"], found["chance"], found["ceiling"]
        (array([0.25]), array([0.25]), array([1.]))
    """
    boxes = np.asarray(boxes)
    if boxes.ndim != 3:
        raise ValueError(
            f"expected boxes of shape (N, K, 4). Received: shape {boxes.shape}"
        )
    cover = coverage(boxes, grid, side)
    if not len(weights) == len(boxes) == len(objects):
        raise ValueError(
            "expected weights, boxes and objects of as many scenes. Received: "
            f"{len(weights)}, {len(boxes)} and {len(objects)}"
        )
    found = {key: [np.zeros(0)] for key in ("mass", "chance", "ceiling")}
    found |= {key: [np.zeros(0, np.int64)] for key in ("scene", "word")}
    for scene, (rows, about) in enumerate(zip(weights, objects, strict=True)):
        rows, about = np.asarray(rows, np.float64), np.asarray(about, np.int64)
        _check_scene(scene, rows, about, cover)
        words = np.flatnonzero(about >= 0)
        shares = cover[scene, about[words]]  # (words, L)
        rows = rows[words]
        found["mass"].append((rows * shares).sum(1) / rows.sum(1))
        found["chance"].append(shares.mean(1))
        found["ceiling"].append(shares.max(1))
        found["scene"].append(np.full(len(words), scene))
        found["word"].append(words)
    return {key: np.concatenate(values) for key, values in found.items()}


def _check_scene(scene, rows, about, cover):
    """Raise ValueError unless one scene's weights and objects fit."""
    _, count, cells = cover.shape
    if rows.ndim != 2 or rows.shape[1] != cells:
        raise ValueError(
            f"expected weights of scene {scene} of shape (T, {cells}). "
            f"Received: shape {rows.shape}"
        )
    if about.ndim != 1 or len(about) > len(rows):
        raise ValueError(
            f"expected weights of all {about.size} words of scene {scene}. "
            f"Received: of {len(rows)}"
        )
    if about.size and (about.min() < -1 or about.max() >= count):
        raise ValueError(
            f"expected objects from -1 to {count - 1}. Received: "
            f"{about.tolist()} in scene {scene}"
        )
    named = rows[: len(about)][about >= 0]
    good = np.isfinite(named).all() and (named >= 0).all()
    if not good or (named.sum(axis=1) == 0).any():
        raise ValueError(
            "expected weights that are finite, not negative and not all 0. "
            f"Received: others in scene {scene}"
        )


DATASET = registry.DataSet(
    name="digit_scenes",
    description="Coloured digits on photographs, with captions and boxes",
    licence=(
        "digits: CC BY 4.0; photographs: public domain and CC0 (scikit-image)"
    ),
    citation=(
        "E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits. "
        "UCI Machine Learning Repository, 1998, doi:10.24432/C50P49; "
        "S. van der Walt et al.: scikit-image: image processing in Python. "
        "PeerJ 2, 2014, doi:10.7717/peerj.453"
    ),
    homepage="https://scikit-image.org/docs/stable/api/skimage.data.html",
    read=_read,
)
