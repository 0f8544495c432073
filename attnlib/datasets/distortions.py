"""Digits turned, scaled, tilted and bent, drawn anew whenever asked for.

The distorted digits of the spatial transformer: rotation (R); rotation,
scale and translation (RTS); projective distortion (P); elastic distortion
(E); and the sum of two distorted digits. Nothing is stored: a batch is
distorted in a few array operations, so a training can redraw every image in
every epoch, through the `transform` of `attnlib.training.Batches`.

Convention: images keep their dtype; whole numbers are rounded. Outside an
image is background, 0. Positive angles turn clockwise, as y points down.
"""

import numpy as np

from attnlib import _splines
from attnlib.datasets import warps
from attnlib.datasets.checks import random_generator, whole_number


def rotated(digits, generator, degrees=90.0):
    """Turn each digit about its middle by a random angle (R).

    Args:
        digits: Array (N, h, w, C) of any numeric dtype, 0 = background.
        generator: A `numpy.random.Generator`.
        degrees: Angles are uniform in +-degrees.

    Returns:
        Array like `digits`.

    Raises:
        ValueError: `digits` is not of rank 4, `degrees` is not finite and at
            least 0, or `generator` is no generator.

    Example:
        >>> digits = np.ones((5, 28, 28, 1), np.uint8)
        >>> rotated(digits, np.random.default_rng(0)).shape
        (5, 28, 28, 1)

    Reference:
        Jaderberg et al. 2015, arXiv:1506.02025, appendix A.1.
    """
    digits, generator = _checked(digits, generator)
    degrees = _number("degrees", degrees)
    angle = np.deg2rad(generator.uniform(-degrees, degrees, len(digits)))
    still = np.zeros((len(digits), 2))
    return _turned(digits, digits.shape[1:3], angle, 1.0, still)


def scattered(digits, generator, side=42, degrees=45.0, scales=(0.7, 1.2)):
    """Turn and scale each digit and put it at a random place (RTS).

    The place is uniform among those at which the scaled image, before it is
    turned, lies on the canvas.

    Args:
        digits: Array (N, h, w, C) of any numeric dtype, 0 = background.
        generator: A `numpy.random.Generator`.
        side: Height and width of the result in pixels, at least the largest
            scale times h and w.
        degrees: Angles are uniform in +-degrees.
        scales: Smallest and largest scale, uniform between them.

    Returns:
        Array (N, side, side, C), of the digits' dtype.

    Raises:
        ValueError: `digits` is not of rank 4, they do not fit on the canvas,
            a number is out of range, or `generator` is no generator.

    Example:
        >>> digits = np.ones((5, 28, 28, 1), np.uint8)
        >>> scattered(digits, np.random.default_rng(0)).shape
        (5, 42, 42, 1)

    Reference:
        Jaderberg et al. 2015, arXiv:1506.02025, appendix A.1.
    """
    digits, generator = _checked(digits, generator)
    degrees = _number("degrees", degrees)
    low, high = _range("scales", scales)
    side = whole_number("side", side, 1)
    size = np.array(digits.shape[2:0:-1])  # (w, h)
    if high * max(size) > side:
        raise ValueError(
            f"expected a canvas of at least {int(np.ceil(high * max(size)))} "
            f"pixels a side for digits of {size[1]} x {size[0]} pixels scaled "
            f"by up to {high:g}, received {side}"
        )
    count = len(digits)
    angle = np.deg2rad(generator.uniform(-degrees, degrees, count))
    scale = generator.uniform(low, high, count)
    room = (side - scale[:, None] * size) / 2  # (N, 2)
    shift = generator.uniform(-1, 1, (count, 2)) * room
    return _turned(digits, (side, side), angle, scale, shift)


def projected(digits, generator, noise=5.0, scales=(0.75, 1.0)):
    """Scale each digit and move the corners of its image at random (P).

    Each corner moves by a Gaussian in x and y. Where the four corners would
    no longer bound a convex area, they are drawn anew: such an image would be
    folded.

    Args:
        digits: Array (N, h, w, C) of any numeric dtype, 0 = background.
        generator: A `numpy.random.Generator`.
        noise: Standard deviation of the corners' moves in pixels.
        scales: Smallest and largest scale, uniform between them, before the
            corners move.

    Returns:
        Array like `digits`.

    Raises:
        ValueError: `digits` is not of rank 4, a number is out of range, or
            `generator` is no generator.

    Example:
        >>> digits = np.ones((5, 28, 28, 1), np.uint8)
        >>> projected(digits, np.random.default_rng(0)).shape
        (5, 28, 28, 1)

    Reference:
        Jaderberg et al. 2015, arXiv:1506.02025, appendix A.1.
    """
    digits, generator = _checked(digits, generator)
    noise = _number("noise", noise, highest=min(digits.shape[1:3]) / 2)
    low, high = _range("scales", scales)
    count, height, width, _ = digits.shape
    square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) / 2
    square = square * [width, height]  # corners about the middle, clockwise
    scale = generator.uniform(low, high, (count, 1, 1))
    moved = generator.normal(0, noise, (count, 4, 2))
    while True:
        corners = scale * square + moved
        folded = np.flatnonzero(~_convex(corners))
        if not len(folded):
            break
        moved[folded] = generator.normal(0, noise, (len(folded), 4, 2))
    theta = _homography(corners, np.broadcast_to(square, corners.shape))
    # All of a convex image is on the side of the horizon of its corners.
    depth = _apply(theta, corners[:, :1])[..., 2:]
    theta = theta * np.sign(depth)
    centre = warps.middle(height, width)
    grid = warps.pixel_grid(height, width) - centre
    source = _apply(theta, np.broadcast_to(grid, (count, *grid.shape)))
    depth = np.where(source[..., 2:] > 1e-6, source[..., 2:], np.nan)
    points = np.nan_to_num(source[..., :2] / depth + centre, nan=-2.0)
    return _read(digits, points, digits.shape)


def elastic(digits, generator, noise=1.5, control_points=4):
    """Bend each digit by a thin plate spline through moved points (E).

    Args:
        digits: Array (N, h, w, C) of any numeric dtype, 0 = background.
        generator: A `numpy.random.Generator`.
        noise: Standard deviation of the points' moves in x and y, in pixels.
        control_points: Points a side of the grid that covers the image, at
            least 2. (How many the paper's sets have is not published.)

    Returns:
        Array like `digits`.

    Raises:
        ValueError: `digits` is not of rank 4, a number is out of range, or
            `generator` is no generator.

    Example:
        >>> digits = np.ones((5, 28, 28, 1), np.uint8)
        >>> elastic(digits, np.random.default_rng(0)).shape
        (5, 28, 28, 1)

    Reference:
        Jaderberg et al. 2015, arXiv:1506.02025, appendix A.1.
    """
    digits, generator = _checked(digits, generator)
    noise = _number("noise", noise)
    side = whole_number("control_points", control_points, 2, 28)
    count, height, width, _ = digits.shape
    grid = warps.pixel_grid(height, width)
    places = (2 * grid + 1) / [width, height] - 1
    spline = _splines.weights(places, _splines.control_points(side))
    moved = generator.normal(0, noise, (count, side**2, 2))
    return _read(digits, grid + spline @ moved, digits.shape)


def addition(
    digits, labels, generator, side=42, degrees=45.0, scales=(0.7, 1.2)
):
    """Join each digit with another one in a second channel; sum the labels.

    Both are scattered (see `scattered`), each in its own way. The second is a
    random one of the digits given.

    Args:
        digits: Array (N, h, w, 1) of any numeric dtype, 0 = background.
        labels: Integer array (N,).
        generator: A `numpy.random.Generator`.
        side: Of `scattered`.
        degrees: Of `scattered`.
        scales: Of `scattered`.

    Returns:
        Tuple of images (N, side, side, 2), of the digits' dtype, and sums
        (N,), of the labels' dtype.

    Raises:
        ValueError: `digits` are not of rank 4 with one channel, there is not
            one label for each, or as in `scattered`.

    Example:
        >>> digits = np.ones((5, 28, 28, 1), np.uint8)
        >>> labels = np.full(5, 9)
        >>> images, sums = addition(digits, labels, np.random.default_rng(0))
        >>> images.shape, sums.tolist()
        ((5, 42, 42, 2), [18, 18, 18, 18, 18])

    Reference:
        Jaderberg et al. 2015, arXiv:1506.02025, section 4.3 and appendix A.4.
    """
    digits, generator = _checked(digits, generator)
    labels = np.asarray(labels)
    if digits.shape[3] != 1:
        raise ValueError(
            "expected digits of one channel, since each of the two becomes "
            f"one, received {digits.shape[3]} channels"
        )
    if labels.shape != digits.shape[:1] or labels.dtype.kind not in "uif":
        raise ValueError(
            f"expected one number as the label of each of the {len(digits)} "
            f"digits, received {labels.dtype} of shape {labels.shape}"
        )
    other = generator.integers(0, max(len(digits), 1), len(digits))
    images = [
        scattered(some, generator, side, degrees, scales)
        for some in (digits, digits[other])
    ]
    return np.concatenate(images, axis=3), labels + labels[other]


def of_class(images, labels, label):
    """Return the images of one class.

    Args:
        images: Array (N, ...).
        labels: Integer array (N,).
        label: The class.

    Returns:
        Array (M, ...), M at least 1.

    Raises:
        ValueError: There is no image of that class, or not one label for each
            image.

    Example:
        >>> of_class(np.array([5, 6, 7]), np.array([0, 1, 0]), 0).tolist()
        [5, 7]
    """
    images, labels = np.asarray(images), np.asarray(labels)
    if labels.shape != images.shape[:1]:
        raise ValueError(
            f"expected one label for each of the {len(images)} images, "
            f"received labels of shape {labels.shape}"
        )
    chosen = labels == label
    if not chosen.any():
        known = ", ".join(map(str, sorted(set(labels.tolist()))))
        raise ValueError(
            f"expected images of the class {label}, received images of the "
            f"classes {known or '(none)'} only"
        )
    return images[chosen]


def _turned(digits, size, angle, scale, shift):
    """Turn by `angle`, scale, then move by `shift` from middle to middle."""
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
    # From the result back to the digit: the inverse turn and scale.
    inverse = np.stack([cos, sin, -sin, cos], 1).reshape(-1, 2, 2)
    grid = warps.pixel_grid(*size) - warps.middle(*size)
    places = grid.astype("float32") - shift[:, None].astype("float32")
    points = places @ inverse.transpose(0, 2, 1).astype("float32")
    points += warps.middle(*digits.shape[1:3]).astype("float32")
    return _read(digits, points, (len(digits), *size, digits.shape[3]))


def _read(digits, points, shape):
    # Single precision is a thousandth of a pixel and twice as fast.
    found = warps.sample(digits, points.astype("float32"))
    return warps.like(found, digits.dtype, shape)


def _convex(corners):
    """Return whether corners (N, 4, 2), clockwise, bound a convex area."""
    edge = np.roll(corners, -1, axis=1) - corners
    after = np.roll(edge, -1, axis=1)
    turn = edge[..., 0] * after[..., 1] - edge[..., 1] * after[..., 0]
    return (turn > 0).all(axis=1)


def _homography(source, target):
    """Return matrices (N, 3, 3) that map four points each to four others."""
    (x, y), (u, v) = np.moveaxis(source, -1, 0), np.moveaxis(target, -1, 0)
    one, zero = np.ones_like(x), np.zeros_like(x)
    rows = [
        np.stack([x, y, one, zero, zero, zero, -u * x, -u * y], -1),
        np.stack([zero, zero, zero, x, y, one, -v * x, -v * y], -1),
    ]
    system = np.concatenate(rows, axis=1)  # (N, 8, 8)
    values = np.concatenate([u, v], axis=1)[..., None]
    eight = np.linalg.solve(system, values)[..., 0]
    return np.concatenate([eight, one[:, :1]], 1).reshape(-1, 3, 3)


def _apply(theta, points):
    """Return theta . (x, y, 1) of points (N, P, 2), (N, P, 3)."""
    ones = np.ones((*points.shape[:2], 1))
    return np.concatenate([points, ones], -1) @ theta.transpose(0, 2, 1)


def _checked(digits, generator):
    digits = np.asarray(digits)
    bad = digits.ndim != 4 or digits.dtype.kind not in "uif"
    if bad or not all(digits.shape[1:]):
        raise ValueError(
            "expected digits as numbers of shape (N, h, w, C), received "
            f"{digits.dtype} of shape {digits.shape}"
        )
    return digits, random_generator("generator", generator)


def _number(name, value, lowest=0.0, highest=np.inf):
    number = _is_number(value)
    if not number or not np.isfinite(value) or not lowest <= value <= highest:
        bounds = f"at least {lowest:g}"
        if highest < np.inf:
            bounds += f" and at most {highest:g}"
        raise ValueError(
            f"{name}: expected a finite number, {bounds}, received {value!r}"
        )
    return float(value)


def _range(name, values):
    """Return two numbers above 0, the first no larger than the second."""
    pair = isinstance(values, tuple | list) and len(values) == 2
    pair = pair and all(map(_is_number, values))
    if not pair or not 0 < values[0] <= values[1] < np.inf:
        raise ValueError(
            f"{name}: expected two numbers above 0, the smaller first, "
            f"received {values!r}"
        )
    return values


def _is_number(value):
    number = isinstance(value, int | float | np.number)
    return number and not isinstance(value, bool)
