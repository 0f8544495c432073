"""What generated scenes are painted with: photographs, digits, colours.

Photographs and digits of the splits `train`, `validation` and `test` are
disjoint, so that no model can know a test picture by heart.

Convention: boxes are x, y, width, height in pixels, (x, y) the top-left pixel
from 0; they hug the ink of a digit.
"""

import functools

import numpy as np

from attnlib.datasets import registry

DIGITS = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
)
COLOURS = ("red", "green", "blue", "yellow", "purple", "white")

POOLS = ("digits28", "mnist")
PALETTE = np.array(
    [
        (255, 70, 60),
        (60, 215, 90),
        (80, 140, 255),
        (255, 225, 50),
        (215, 95, 250),
        (250, 250, 250),
    ],
    np.uint16,
)
# All are PNG files that come with scikit-image: the same bytes everywhere.
_PHOTOGRAPHS = (
    "astronaut",
    "brick",
    "camera",
    "chelsea",
    "coffee",
    "grass",
    "gravel",
)
# Columns of each photograph that a split cuts its pieces from, in fifths.
FIFTHS = {"train": (0, 3), "validation": (3, 4), "test": (4, 5)}
INK = 64  # darkest grey level that counts as ink
RIM = 2  # pixels around a drawing for its faint and its dark rim
_CHUNK = 128


def random_state(seed, split) -> np.random.RandomState:
    """Return the random numbers of one split's scenes."""
    # RandomState's stream is frozen; Generator's may change with NumPy.
    return np.random.RandomState([seed, list(FIFTHS).index(split)])


def check_digits(name):
    """Raise ValueError unless digits are to come from one of `POOLS`."""
    if name not in POOLS:
        raise ValueError(
            f"digits: expected one of {', '.join(POOLS)}, received {name!r}"
        )


@functools.cache
def photographs() -> tuple[np.ndarray, ...]:
    """Return dimmed photographs (h, w, 3): bright digits stand out."""
    import skimage

    found = []
    for name in _PHOTOGRAPHS:
        photo = getattr(skimage.data, name)()
        if photo.ndim == 2:
            photo = np.repeat(photo[..., None], 3, axis=2)
        found.append((photo.astype(np.uint16) * 2 // 5 + 16).astype(np.uint8))
    return tuple(found)


@functools.cache
def pool(name: str, split: str):
    """Return the digits of a data set's split, as of `cut_out`.

    Args:
        name: One of `POOLS`.
        split: Name of the split.

    Returns:
        Tuple of what `cut_out` returns and of labels (P,).
    """
    data = registry.get(name).read(split)
    return *cut_out(data["images"][..., 0]), data["label"]


def cut_out(images):
    """Find the tight boxes of drawings, and move them to the corner.

    Args:
        images: uint8 (P, h, w), ink bright on 0; each has some ink.

    Returns:
        Tuple of ink (P, h', w') uint8, whose box starts at two pixels from the
        corner, of the dark rim around it, alike, and of sizes (P, 2) as width
        and height.
    """
    inked = images >= INK
    rows, columns = inked.any(2), inked.any(1)
    top, left = rows.argmax(1), columns.argmax(1)
    height = images.shape[1] - rows[:, ::-1].argmax(1) - top
    width = images.shape[2] - columns[:, ::-1].argmax(1) - left
    sizes = np.stack([width, height], axis=1)
    span = np.arange(sizes.max() + 2 * RIM)
    beyond = len(span)
    padded = np.pad(images, ((0, 0), (RIM, beyond), (RIM, beyond)))
    ink = padded[
        np.arange(len(images))[:, None, None],
        (top[:, None] + span)[:, :, None],
        (left[:, None] + span)[:, None, :],
    ]
    wide = np.pad(ink, ((0, 0), (1, 1), (1, 1)))
    rim = np.maximum(wide[:, :-2], np.maximum(wide[:, 1:-1], wide[:, 2:]))
    rim = np.maximum(rim[..., :-2], np.maximum(rim[..., 1:-1], rim[..., 2:]))
    return ink, rim, sizes


def backgrounds(random, split, count, side):
    """Cut pieces (count, side, side, 3) from the split's columns.

    Photographs with fewer than `side` columns in a fifth are left out: with
    more than 90 pixels the cat.
    """
    wide = [p for p in photographs() if p.shape[1] // 5 >= side]
    which = random.randint(len(wide), size=count)
    first, last = FIFTHS[split]
    pieces = np.empty((count, side, side, 3), np.uint8)
    for i, photo in enumerate(wide):
        chosen = np.flatnonzero(which == i)
        height, width = photo.shape[:2]
        left, right = first * width // 5, last * width // 5
        y = random.randint(0, height - side + 1, len(chosen))
        x = random.randint(left, right - side + 1, len(chosen))
        rows = photo.reshape(height, 3 * width)
        windows = np.lib.stride_tricks.sliding_window_view(
            rows, (side, 3 * side)
        )
        pieces[chosen] = windows[y, 3 * x].reshape(-1, side, side, 3)
    return pieces


def compose(images, ink, rim, chosen, shades, corners, present):
    """Paint the things of all scenes, in place.

    Args:
        images: uint8 (N, side, side, 3).
        ink: Drawings (P, h, w) uint8, as of `cut_out`.
        rim: Their dark rims, alike.
        chosen: Indices (N, K) of drawings.
        shades: uint16 (N, K, 3), red, green and blue.
        corners: (N, K, 2), x and y of the boxes in pixels.
        present: Booleans (N, K): which there are.
    """
    side = images.shape[1]
    room = RIM, max(ink.shape[1:])
    for start in range(0, len(images), _CHUNK):
        part = slice(start, start + _CHUNK)
        canvases = np.pad(images[part], ((0, 0), room, room, (0, 0)))
        for k in range(present.shape[1]):
            some = np.flatnonzero(present[part, k])
            which = chosen[part, k][some]
            draw(
                canvases,
                some,
                ink[which],
                rim[which],
                shades[part, k][some],
                corners[part, k][some],
            )
        inside = slice(RIM, RIM + side)
        images[part] = canvases[:, inside, inside]


def draw(canvases, some, ink, rim, shade, corners):
    """Paint a drawing on each of some padded canvases, in place.

    Args:
        canvases: uint8 (M, H, W, 3), with room for all drawings.
        some: Indices (n,) of canvases.
        ink: Drawings uint8 (n, h, w), as of `cut_out`.
        rim: Their dark rims, alike.
        shade: uint16 (n, 3).
        corners: (n, 2), x and y of the top-left pixels of the drawings.
    """
    height, width = ink.shape[1:]
    batch = some[:, None, None]
    rows = (corners[:, 1, None] + np.arange(height))[:, :, None]
    columns = (corners[:, 0, None] + np.arange(width))[:, None, :]
    # 255 * 255 + 127 is just within 16 bits: exact on every machine.
    pixels = canvases[batch, rows, columns].astype(np.uint16)
    pixels *= (255 - rim.astype(np.uint16) * 3 // 4)[..., None]
    pixels //= 255
    alpha = ink.astype(np.uint16)[..., None]
    pixels *= 255 - alpha
    pixels += shade[:, None, None] * alpha + 127
    pixels //= 255
    canvases[batch, rows, columns] = pixels
