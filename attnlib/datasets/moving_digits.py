"""Videos of a moving digit, the actor, whose motion is to be named.

Embedded: a red digit among digits of other colours, all moving over pieces of
scikit-image's photographs. Where the actor is in every frame is known, so that
it can be measured whether attention follows it.

No single frame tells the motion. Centres live on a square a little larger than
the picture that is closed to a torus: what leaves on one side enters on the
other. Starts are uniform on it, and a motion adds the same steps to all starts,
so that at every time the centre is uniform whatever the motion. Of sizes the
same is true.

Convention: boxes are x, y, width, height in pixels, (x, y) the top-left pixel
from 0; they hug the ink of the actor as far as it is in the picture, and are 0
where it is not.
"""

import numpy as np

from attnlib.datasets import digit_scenes, registry, scenery
from attnlib.datasets.checks import whole_number

MOTIONS = (
    "left",
    "right",
    "up",
    "down",
    "clockwise",
    "anticlockwise",
    "zoom",
    "shake",
)

_RED = scenery.COLOURS.index("red")
# Heights of digits in pixels. A zoom goes through them and back.
_HEIGHTS = np.array([14, 16, 18, 20, 22])
_CYCLE = np.array([0, 1, 2, 3, 4, 4, 3, 2, 1, 0])
_BEYOND = 4  # pixels that a centre may be outside of the picture
_SPEEDS = (3, 4)  # pixels a frame
# Twice a radius in pixels for each speed; a turn takes 16 frames.
_RADII = (8, 10)
_TURN = 16
_RIM = scenery.RIM
_PATCH = int(_HEIGHTS.max()) + 2 * _RIM
_ROOM = _PATCH + _BEYOND  # pixels around a picture while it is painted
_CHUNK = 128


def steps(motion, frames, fast=0, phase=0) -> np.ndarray:
    """Return the way of a motion from where it starts.

    Args:
        motion: One of `MOTIONS`.
        frames: Number of frames T.
        fast: 0 for the lower speed, 1 for the higher one.
        phase: Where in its cycle a motion that repeats itself starts, in
            frames.

    Returns:
        int64 (T, 2): pixels right and down from the start.

    Example:

    >>> steps("left", 3).tolist()
    [[0, 0], [-3, 0], [-6, 0]]
    """
    time = np.arange(frames)
    speed, still = _SPEEDS[fast], np.zeros(frames, int)
    if motion in ("left", "right", "up", "down"):
        sign = 1 if motion in ("right", "down") else -1
        way = sign * speed * time
        pair = (way, still) if motion in ("left", "right") else (still, way)
        return np.stack(pair, axis=1)
    if motion == "shake":
        way = speed * np.array([0, 1, 0, -1])[(time + phase) % 4]
        return np.stack([way, still], axis=1)
    if motion == "zoom":
        return np.stack([still, still], axis=1)
    angle = 2 * np.pi * (time + phase) / _TURN
    # y points down, so that a growing angle turns clockwise.
    sign = 1 if motion == "clockwise" else -1
    pair = (np.cos(angle), sign * np.sin(angle))
    return np.rint(_RADII[fast] * np.stack(pair, axis=1)).astype(int)


def _world(side) -> int:
    """Return the side of the square on which centres live."""
    return side + 2 * _BEYOND


def _paths(random, motions, frames, side):
    """Draw where objects are, and how high, for motions (N,).

    Returns:
        Centres (N, T, 2) in pixels of the picture, and heights (N, T).
    """
    count = len(motions)
    starts = random.randint(_world(side), size=(count, 2))
    fast = random.randint(len(_SPEEDS), size=count)
    phase = random.randint(_TURN, size=count)
    place = random.randint(len(_CYCLE), size=count)
    ways = np.array(
        [
            [
                [steps(motion, frames, f, p) for p in range(_TURN)]
                for f in range(len(_SPEEDS))
            ]
            for motion in MOTIONS
        ]
    )
    way = ways[motions, fast, phase]
    centres = (starts[:, None] + way) % _world(side) - _BEYOND
    moves = np.arange(frames) * (motions == MOTIONS.index("zoom"))[:, None]
    heights = _HEIGHTS[_CYCLE[(place[:, None] + moves) % len(_CYCLE)]]
    return centres, heights


def _scaled(patches, sizes, targets):
    """Resize patches (N, h, w) so that their boxes get other sizes.

    Args:
        patches: uint8, whose boxes start at (`_RIM`, `_RIM`).
        sizes: (N, 2), width and height of the boxes.
        targets: (N, 2), what they shall be.

    Returns:
        uint8 (N, `_PATCH`, `_PATCH`), with boxes at the same place.
    """
    # In 256ths of a pixel: whole numbers are the same on every machine.
    out = np.arange(_PATCH) - _RIM
    from_x, from_y = (
        (2 * out + 1) * sizes[:, axis, None] * 128 // targets[:, axis, None]
        - 128
        + 256 * _RIM
        for axis in (0, 1)
    )
    limits = patches.shape[2] - 2, patches.shape[1] - 2
    (left, right), (above, below) = (
        (np.clip(at // 256, 0, limit), at % 256)
        for at, limit in zip((from_x, from_y), limits, strict=True)
    )
    batch = np.arange(len(patches))[:, None, None]
    rows, columns = above[:, :, None], left[:, None, :]
    right, below = right[:, None, :], below[:, :, None]
    four = [
        patches[batch, rows + i, columns + j].astype(np.int64)
        for i in (0, 1)
        for j in (0, 1)
    ]
    upper = four[0] * (256 - right) + four[1] * right
    lower = four[2] * (256 - right) + four[3] * right
    mixed = (upper * (256 - below) + lower * below + 32768) // 65536
    # Beyond the rim there is nothing.
    width, height = (targets[:, axis, None] + _RIM for axis in (0, 1))
    mixed *= (out < height)[:, :, None] & (out < width)[:, None, :]
    return mixed.astype(np.uint8)


def _paint(videos, pool, chosen, shades, corners, sizes):
    """Paint objects on frames (N, T, side, side, 3), the last one on top.

    Args:
        videos: uint8, changed in place.
        pool: From `scenery.pool`.
        chosen: (N, K), numbers of digits of the pool.
        shades: (N, K, 3).
        corners: (N, K, T, 2), top-left pixels of the boxes.
        sizes: (N, K, T, 2), their widths and heights.
    """
    ink, rim, pool_sizes, _ = pool
    side = videos.shape[2]
    inside = slice(_ROOM, _ROOM + side)
    room = (_ROOM, _ROOM)
    for start in range(0, len(videos), _CHUNK):
        part = slice(start, start + _CHUNK)
        every = np.arange(len(videos[part]))
        for t in range(videos.shape[1]):
            canvases = np.pad(videos[part, t], ((0, 0), room, room, (0, 0)))
            for k in range(chosen.shape[1]):
                which, target = chosen[part, k], sizes[part, k, t]
                given = pool_sizes[which]
                scenery.draw(
                    canvases,
                    every,
                    _scaled(ink[which], given, target),
                    _scaled(rim[which], given, target),
                    shades[part, k],
                    corners[part, k, t] + _ROOM - _RIM,
                )
            videos[part, t] = canvases[:, inside, inside]


def _clipped(corners, sizes, side):
    """Return boxes (..., 4) of what is within the picture."""
    low = np.clip(corners, 0, side)
    high = np.clip(corners + sizes, 0, side)
    seen = (high > low).all(axis=-1, keepdims=True)
    return np.concatenate([low, high - low], axis=-1) * seen


def _read(
    split,
    *,
    side=56,
    frames=12,
    distractors=2,
    count=1000,
    digits="digits28",
    seed=0,
):
    """Make videos of one split, as many of each motion as of any other.

    The actor is a red digit. Distractors have other colours, and each another
    motion than the actor; they pass behind it. Digits and pieces of
    photographs of different splits are disjoint.

    Args:
        split: `"train"`, `"validation"` or `"test"`.
        side: Height and width in pixels, 28 to 112.
        frames: Number of frames, at least 2: one tells nothing.
        distractors: Number of other digits, 0 to 5.
        count: Number of videos.
        digits: Data set of the digits, `"digits28"` (embedded) or `"mnist"`.
        seed: Seed of the videos.

    Returns:
        `videos` uint8 (N, T, side, side, 3); `label` int32 (N,), index into
        `MOTIONS`; `boxes` int32 (N, T, 4), of the actor; `digit` int32 (N,),
        which one it is.
    """
    scenery.check_digits(digits)
    side = whole_number("side", side, 28, 112)
    frames = whole_number("frames", frames, 2)
    distractors = whole_number("distractors", distractors, 0, 5)
    count = whole_number("count", count, 1)
    seed = whole_number("seed", seed, 0, 2**32 - 1)
    random = scenery.random_state(seed, split)
    pool = scenery.pool(digits, split)
    label = random.permutation(np.arange(count) % len(MOTIONS))
    # The actor is the last one, which is painted on top.
    number = distractors + 1
    others = random.randint(1, len(MOTIONS), size=(count, number))
    others[:, -1] = 0
    motions = (label[:, None] + others) % len(MOTIONS)
    colours = random.randint(1, len(scenery.COLOURS), size=others.shape)
    colours = (colours + _RED) % len(scenery.COLOURS)
    colours[:, -1] = _RED
    chosen = random.randint(len(pool[3]), size=others.shape)
    centres, heights = _paths(random, motions.ravel(), frames, side)
    given = pool[2][chosen.ravel()]
    widths = (2 * given[:, :1] * heights + given[:, 1:]) // (2 * given[:, 1:])
    sizes = np.stack([np.clip(widths, 3, _HEIGHTS.max()), heights], axis=-1)
    corners = (centres - sizes // 2).reshape(count, number, frames, 2)
    sizes = sizes.reshape(corners.shape)
    still = scenery.backgrounds(random, split, count, side)
    videos = np.repeat(still[:, None], frames, axis=1)
    shades = scenery.PALETTE[colours]
    _paint(videos, pool, chosen, shades, corners, sizes)
    boxes = _clipped(corners[:, -1], sizes[:, -1], side)
    return {
        "videos": videos,
        "label": label.astype(np.int32),
        "boxes": boxes.astype(np.int32),
        "digit": pool[3][chosen[:, -1]].astype(np.int32),
    }


DATASET = registry.DataSet(
    name="moving_digits",
    description="Videos of a red digit among others; its motion is the class",
    licence=(
        "digits: CC BY 4.0; photographs: public domain and CC0 (scikit-image)"
    ),
    citation=digit_scenes.DATASET.citation,
    homepage="https://scikit-image.org/docs/stable/api/skimage.data.html",
    read=_read,
)
