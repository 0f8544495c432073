"""Scenes to segment: shapes from small to large, on photographs.

Embedded. Discs, squares, triangles and crosses, cut out of one photograph and
laid on another, darker one. Nothing inside a shape tells which it is: colour,
brightness and texture are drawn alike for all. Only its outline does, so that
a pixel can be named by a network that sees out to the outline, and that sees
it sharply. A small shape needs fine pixels, a large one a wide view.

Convention: places are (x, y) in pixels, (0, 0) the centre of the top-left
pixel. The size of a shape is the diameter of the disc of its area.
"""

import numpy as np

from attnlib.datasets import registry, scenery
from attnlib.datasets.checks import whole_number
from attnlib.datasets.masks import IGNORE

CLASSES = ("background", "disc", "square", "triangle", "cross")
_SIDES = 32, 88  # a fifth of the narrowest photograph has 90 columns
_MOST = 4
TURNS = 256  # directions that a shape can have
_TILT = 16  # the largest turn of a drawn shape, 22 degrees
_FINE = 4  # places and sizes are multiples of a quarter of a pixel
_SMALLEST, _LARGEST = 1 / 8, 3 / 4  # sizes as shares of the side
_SIZES = 64  # so many different ones
_VISIBLE = 0.6  # least share of a shape that others may leave uncovered
EDGE = 0.25, 0.75  # pixels of which a shape covers such a share are nobody's
_CHUNK = 256
_SPLITS = ("train", "validation", "test")

# For shapes of the area of a disc of diameter 1: half a square's side, half a
# cross's length and width, the radius of a triangle's inner circle. Multiples
# of 1/1024, as are the directions: sums and products are then exact in float64
# and the scenes the same bytes on every machine.
_SQUARE, _LONG, _WIDE, _TRIANGLE, _ROOT = (
    round(1024 * value) / 1024
    for value in (0.4431, 0.5945, 0.1982, 0.3888, 0.75**0.5)
)
_COSINES, _SINES = (
    np.round(1024 * function(2 * np.pi * np.arange(TURNS) / TURNS)) / 1024
    for function in (np.cos, np.sin)
)


def _disc(u, v, size):
    return np.sqrt(u * u + v * v) - size / 2


def _square(u, v, size):
    return np.maximum(np.abs(u), np.abs(v)) - _SQUARE * size


def _triangle(u, v, size):
    return np.maximum(v, _ROOT * np.abs(u) - v / 2) - _TRIANGLE * size


def _cross(u, v, size):
    u, v, long, wide = np.abs(u), np.abs(v), _LONG * size, _WIDE * size
    bars = np.maximum(u - long, v - wide), np.maximum(v - long, u - wide)
    return np.minimum(*bars)


# How far a point is outside the outline, negative inside.
_DISTANCES = dict(
    zip(range(1, 5), (_disc, _square, _triangle, _cross), strict=True)
)


def coverage(label, centre, size, turn, side) -> np.ndarray:
    """Return about which share of each pixel a shape covers.

    Args:
        label: Integers (N,), indices of `CLASSES`; 0 covers nothing.
        centre: (N, 2), x and y in pixels.
        size: (N,) in pixels.
        turn: Integers (N,), directions in 1/256 of a turn.
        side: Height and width of the scenes in pixels.

    Returns:
        float64 (N, side, side).

    Example:
        >>> cover = coverage([1], [[3.5, 3.5]], [4], [0], side=8)
        >>> cover.shape, bool(abs(cover.sum() - 4 * np.pi) < 0.5)
        ((1, 8, 8), True)
    """
    label, turn = np.asarray(label), np.asarray(turn) % TURNS
    centre = np.asarray(centre, np.float64)
    size = np.asarray(size, np.float64)
    place = np.arange(side)
    x = (place - centre[:, :1])[:, None, :]
    y = (place - centre[:, 1:])[:, :, None]
    cosine, sine = (table[turn][:, None, None] for table in (_COSINES, _SINES))
    u, v = x * cosine + y * sine, y * cosine - x * sine
    outside = np.full_like(u, np.inf)
    for shape, distance in _DISTANCES.items():
        some = label == shape
        outside[some] = distance(u[some], v[some], size[some, None, None])
    return np.clip(0.5 - outside, 0, 1)


def _lay(images, covers, fills, edge):
    """Lay shapes (N, K) on images, in place; say whose every pixel is.

    Returns:
        int8 (N, side, side): index of the shape, -1 for none, -2 at edges.
    """
    low, high = edge
    whose = np.full(images.shape[:3], -1, np.int8)
    for k in range(covers.shape[1]):
        cover = covers[:, k]
        # Whole numbers again; 255 * 255 + 127 is just within 16 bits.
        alpha = np.rint(255 * cover).astype(np.uint16)[..., None]
        pixels = images * (255 - alpha) + fills[:, k] * alpha + 127
        images[...] = pixels // 255
        whose[cover > low] = -2
        whose[cover >= high] = k
    return whose


def _hidden(covers, whose, edge):
    """Return which scenes have a shape that is mostly covered by others."""
    found = np.zeros(len(covers), bool)
    for k in range(covers.shape[1]):
        whole = (covers[:, k] >= edge[1]).sum((1, 2))
        found |= (whose == k).sum((1, 2)) < _VISIBLE * whole
    return found


def draw_shapes(random, number, most, side, smallest, largest) -> dict:
    """Draw shapes for scenes, their sizes evenly over the octaves.

    Args:
        random: A `numpy.random.RandomState`.
        number: Integers (N,): how many shapes each scene has.
        most: Largest number K of shapes in a scene.
        side: Height and width of the scenes in pixels.
        smallest: Size of the smallest shape in pixels.
        largest: Of the largest one.

    Returns:
        Dict of arrays (N, K, ...) as `coverage` takes them; shapes that a
        scene does not have come last, with label and size 0.
    """
    shape = len(number), most
    sizes = np.geomspace(smallest, largest, _SIZES)
    sizes = np.rint(_FINE * sizes) / _FINE
    size = sizes[random.randint(_SIZES, size=shape)]
    size *= np.arange(most) < number[:, None]
    # Large ones first, behind the others.
    size = -np.sort(-size, axis=1)
    # At least the disc of the shape's area is within the scene.
    low = np.ceil(_FINE * size / 2).astype(int)[..., None]
    high = _FINE * (side - 1) - low
    centre = random.randint(low, high + 1, size=(*shape, 2)) / _FINE
    label = random.randint(1, len(CLASSES), shape) * (size > 0)
    turn = random.randint(-_TILT, _TILT + 1, size=shape)
    return {"label": label, "centre": centre, "size": size, "turn": turn}


def painted(images, shapes, fills, edge=EDGE):
    """Lay shapes on images, in place.

    Args:
        images: uint8 (N, side, side, 3).
        shapes: Dict of (N, K) arrays as `coverage` takes them.
        fills: uint8 (N, K, side, side, 3).
        edge: Pixels of which a shape covers more than the first share, and
            less than the second, are nobody's.

    Returns:
        `(whose, bad)`: int8 (N, side, side) index of the shape that
        a pixel belongs to, -1 for none, -2 at edges; and of each scene whether
        one of its shapes is mostly hidden.
    """
    side = images.shape[1]
    whose = np.empty(images.shape[:3], np.int8)
    bad = np.empty(len(images), bool)
    for start in range(0, len(images), _CHUNK):
        part = slice(start, start + _CHUNK)
        flat = {k: v[part].reshape(-1, *v.shape[2:]) for k, v in shapes.items()}
        covers = coverage(**flat, side=side)
        covers = covers.reshape(-1, fills.shape[1], side, side)
        whose[part] = _lay(images[part], covers, fills[part], edge)
        bad[part] = _hidden(covers, whose[part], edge)
    return whose, bad


def place_shapes(random, images, number, fills, sizes, edge=EDGE):
    """Draw shapes and lay them on images, in place; none is mostly hidden.

    Args:
        random: A `numpy.random.RandomState`.
        images: uint8 (N, side, side, 3).
        number: Integers (N,), shapes of each scene.
        fills: uint8 (N, K, side, side, 3), K the largest number.
        sizes: Smallest and largest size in pixels.
        edge: As of `painted`.

    Returns:
        `(shapes, whose)`: as of `draw_shapes` and of `painted`.
    """
    most, side = fills.shape[1:3]
    shapes = draw_shapes(random, number, most, side, *sizes)
    plain = images.copy()
    whose, bad = painted(images, shapes, fills, edge)
    while bad.any():
        rows = np.flatnonzero(bad)
        fresh = draw_shapes(random, number[rows], most, side, *sizes)
        for key, values in fresh.items():
            shapes[key][rows] = values
        again = plain[rows]
        whose[rows], bad[rows] = painted(again, fresh, fills[rows], edge)
        images[rows] = again
    return shapes, whose


def fill(pieces, tint):
    """Brighten pieces of photographs (..., h, w, 3) by a tint (..., 3)."""
    bright = pieces.astype(np.uint16) + 128
    return (bright * tint[..., None, None, :] // 255).astype(np.uint8)


def seen_boxes(whose, most) -> np.ndarray:
    """Return the boxes of what can be seen of each shape.

    Args:
        whose: Integers (N, side, side), index of each pixel's shape.
        most: Number K of shapes.

    Returns:
        int32 (N, K, 4): x, y, width, height in pixels; 0 for shapes that
        cannot be seen.
    """
    boxes = np.zeros((len(whose), most, 4), np.int32)
    for k in range(most):
        seen = whose == k
        for axis in (0, 1):
            line = seen.any(1 + axis)
            first = line.argmax(1)
            last = line.shape[1] - line[:, ::-1].argmax(1)
            boxes[:, k, axis] = first
            boxes[:, k, 2 + axis] = last - first
        boxes[~seen.any((1, 2)), k] = 0
    return boxes


def _told(images, whose, label, size) -> dict:
    """Return a split's dictionary: what is where in the scenes."""
    count = len(images)
    names = np.concatenate(
        [label, np.full((count, 1), IGNORE), np.zeros((count, 1), int)], axis=1
    )  # -2 and -1 are the last two
    scene = np.arange(count)[:, None, None]
    return {
        "images": images,
        "mask": names[scene, whose].astype(np.uint8),
        "object": np.maximum(whose, -1),
        "boxes": seen_boxes(whose, label.shape[1]),
        "size": size.astype(np.float32),
        "label": label.astype(np.int32),
    }


def _read(split, *, side=64, most=3, count=1000, seed=0):
    """Make scenes of one split.

    A scene is a dimmed piece of a photograph with 1 to `most` shapes, each a
    piece of another photograph, brightened and tinted, large ones behind small
    ones. Sizes are spread evenly over the octaves from an eighth to three
    quarters of the side. At least 60 % of each shape can be seen. Pieces of
    photographs of different splits are disjoint.

    Args:
        split: `"train"`, `"validation"` or `"test"`.
        side: Height and width in pixels, 32 to 88.
        most: Largest number of shapes in a scene, 1 to 4.
        count: Number of scenes.
        seed: Seed of the scenes.

    Returns:
        `images` uint8 (N, side, side, 3); `mask` uint8 (N, side, side), class
        of every pixel, an index of `CLASSES`, or 255 at the edges of shapes,
        where it counts for nothing; `object` int8 (N, side, side), index of the
        shape that the pixel belongs to, -1 elsewhere; and for each of K =
        `most` shapes `label` int32 (N, K), 1 to 4, `size` float32 (N, K), the
        diameter in pixels of the disc of its area, and `boxes` int32 (N, K, 4)
        of what can be seen of it: x, y, width, height. Of shapes that a scene
        does not have, all three are 0.
    """
    side = whole_number("side", side, *_SIDES)
    most = whole_number("most", most, 1, _MOST)
    count = whole_number("count", count, 1)
    seed = whole_number("seed", seed, 0, 2**32 - 1)
    # RandomState's stream is frozen; Generator's may change with NumPy.
    random = np.random.RandomState([seed, _SPLITS.index(split)])
    images = scenery.backgrounds(random, split, count, side)
    total = count * most
    pieces = scenery.backgrounds(random, split, total, side)
    tint = random.randint(150, 256, (count, most, 3)).astype(np.uint16)
    fills = fill(pieces.reshape(count, most, side, side, 3), tint)
    number = random.randint(1, most + 1, count)
    sizes = _SMALLEST * side, _LARGEST * side
    shapes, whose = place_shapes(random, images, number, fills, sizes)
    return _told(images, whose, shapes["label"], shapes["size"])


def scene(shapes, side=64, seed=0) -> dict:
    """Make one scene of chosen shapes, on a photograph of the test split.

    Args:
        shapes: A list of `(name, size, x, y, turn)`, those behind first: a
            class but background, size and centre in pixels, and a direction
            in degrees.
        side: Height and width in pixels, 32 to 88.
        seed: Seed of the photographs and tints, whatever the shapes are.

    Returns:
        What `attnlib.datasets.load` gives for `scale_scenes`, with N = 1.

    Raises:
        ValueError: There is no shape or more than 4, one has another name or
            a size that is not above 0.

    Example:
        >>> made = scene([("disc", 20, 30, 30, 0)])
        >>> int(made["mask"][0, 30, 30]), made["object"].shape
        (1, (1, 64, 64))
    """
    side = whole_number("side", side, *_SIDES)
    whole_number("the number of shapes", len(shapes), 1, _MOST)
    for name, size, *_ in shapes:
        if name not in CLASSES[1:] or not size > 0:
            raise ValueError(
                f"expected shapes of {', '.join(CLASSES[1:])} and a size above "
                f"0. Received: {name!r} of size {size!r}"
            )
    random = np.random.RandomState([seed, len(_SPLITS)])
    images = scenery.backgrounds(random, "test", 1, side)
    pieces = scenery.backgrounds(random, "test", _MOST, side)
    tint = random.randint(150, 256, (_MOST, 3)).astype(np.uint16)
    fills = fill(pieces, tint)[None, : len(shapes)]
    names, size, x, y, turn = zip(*shapes, strict=True)
    turn = np.rint(np.array([turn]) * TURNS / 360).astype(int)
    made = {
        "label": np.array([[CLASSES.index(name) for name in names]]),
        "size": np.array([size], np.float64),
        "turn": turn % TURNS,
        "centre": np.stack([[x], [y]], axis=-1).astype(np.float64),
    }
    whose, _ = painted(images, made, fills)
    return _told(images, whose, made["label"], made["size"])


DATASET = registry.DataSet(
    name="scale_scenes",
    description="Shapes from small to large on photographs, with masks",
    licence="photographs: public domain and CC0 (scikit-image)",
    citation=(
        "S. van der Walt et al.: scikit-image: image processing in Python. "
        "PeerJ 2, 2014, doi:10.7717/peerj.453"
    ),
    homepage="https://scikit-image.org/docs/stable/api/skimage.data.html",
    read=_read,
)
