"""Scenes with salient objects, from tiny to large, and their masks.

Embedded. Coloured discs, squares, triangles and crosses on dimmed photographs,
among grey ones of the same outlines, brightness and texture. What is salient is
the colour: a photograph has some here and there, an object has it all over.
Sizes are spread evenly over three octaves, so that a network that sees the
whole image with few pixels cannot see the smallest sharply.

Convention: boxes are x, y, width, height in pixels, (x, y) the top-left pixel
from 0. The size of an object is the diameter of the disc of its area.
"""

import numpy as np

from attnlib.datasets import registry, scale_scenes, scenery
from attnlib.datasets.checks import whole_number

_SIDES = 48, 102  # a fifth of most photographs has 102 columns
_MOST = 4
_SMALLEST, _LARGEST = 1 / 12, 2 / 3  # sizes as shares of the side
_CLUTTER = 4, 1 / 3  # most grey shapes, and the largest
# Levels, of 255: of the channels that a colour weakens; of grey shapes.
_WEAKENED, _GREY = (130, 200), (150, 256)
# Which channels a colour weakens: red, green, blue, yellow, purple, cyan.
_WEAK = np.array(
    [(0, 1, 1), (1, 0, 1), (1, 1, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)]
)
_HALF = 0.5, 0.5  # a pixel belongs to the object that covers half of it
_CHUNK = 128
_SPLITS = ("train", "validation", "test")


def _fills(random, split, count, most, side, coloured):
    """Cut pieces of photographs, tinted: uint8 (count, most, side, side, 3)."""
    pieces = scenery.backgrounds(random, split, count * most, side)
    tint = random.randint(*_GREY, (count, most, 1)).repeat(3, axis=-1)
    if coloured:
        weak = _WEAK[random.randint(len(_WEAK), size=(count, most))]
        level = random.randint(*_WEAKENED, (count, most, 1))
        tint = np.where(weak, tint * level // 255, tint)
    pieces = pieces.reshape(count, most, side, side, 3)
    return scale_scenes.fill(pieces, tint.astype(np.uint16))


def _some(random, split, count, most, side):
    """Make a few scenes."""
    images = scenery.backgrounds(random, split, count, side)
    clutter, largest = _CLUTTER
    number = random.randint(0, clutter + 1, count)
    sizes = _SMALLEST * side, largest * side
    shapes = scale_scenes.draw_shapes(random, number, clutter, side, *sizes)
    fills = _fills(random, split, count, clutter, side, coloured=False)
    scale_scenes.painted(images, shapes, fills, _HALF)
    fills = _fills(random, split, count, most, side, coloured=True)
    number = random.randint(1, most + 1, count)
    sizes = _SMALLEST * side, _LARGEST * side
    shapes, whose = scale_scenes.place_shapes(
        random, images, number, fills, sizes, _HALF
    )
    return {
        "images": images,
        "mask": (whose >= 0).astype(np.uint8),
        "object": whose,
        "boxes": scale_scenes.seen_boxes(whose, most),
        "size": shapes["size"].astype(np.float32),
        "label": shapes["label"].astype(np.int32),
    }


def _read(split, *, side=96, most=3, count=200, seed=0):
    """Make scenes of one split.

    A scene is a dimmed piece of a photograph with up to four grey shapes and,
    in front of them, 1 to `most` coloured ones, the salient objects; each is a
    brightened piece of another photograph, large ones behind small ones. Sizes
    are spread evenly over the octaves: of objects from a twelfth to two thirds
    of the side, of grey shapes up to a third. At least 60 % of each object can
    be seen. Pieces of photographs of different splits are disjoint.

    Args:
        split: `"train"`, `"validation"` or `"test"`.
        side: Height and width in pixels, 48 to 102.
        most: Largest number of salient objects in a scene, 1 to 4.
        count: Number of scenes.
        seed: Seed of the scenes.

    Returns:
        `images` uint8 (N, side, side, 3); `mask` uint8 (N, side, side), 1 where
        an object covers half of a pixel or more, else 0; `object` int8 (N,
        side, side), index of the object that the pixel belongs to, -1
        elsewhere; and for each of K = `most` objects `label` int32 (N, K), an
        index of `scale_scenes.CLASSES`, `size` float32 (N, K) in pixels, and
        `boxes` int32 (N, K, 4) of what can be seen of it. Of objects that a
        scene does not have, all three are 0.
    """
    side = whole_number("side", side, *_SIDES)
    most = whole_number("most", most, 1, _MOST)
    count = whole_number("count", count, 1)
    seed = whole_number("seed", seed, 0, 2**32 - 1)
    # RandomState's stream is frozen; Generator's may change with NumPy.
    random = np.random.RandomState([seed, 13, _SPLITS.index(split)])
    # A few at a time: the textures take ten times the room of the images.
    parts = [
        _some(random, split, min(_CHUNK, count - start), most, side)
        for start in range(0, count, _CHUNK)
    ]
    return {
        key: np.concatenate([part[key] for part in parts]) for key in parts[0]
    }


DATASET = registry.DataSet(
    name="saliency_scenes",
    description="Salient objects from small to large, with masks",
    licence="photographs: public domain and CC0 (scikit-image)",
    citation=(
        "S. van der Walt et al.: scikit-image: image processing in Python. "
        "PeerJ 2, 2014, doi:10.7717/peerj.453"
    ),
    homepage="https://scikit-image.org/docs/stable/api/skimage.data.html",
    read=_read,
)
