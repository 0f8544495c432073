"""Pen strokes: positions, offsets, and points at equal distances.

Convention: a line of handwriting is an array (T, 3). Its columns are x, y and
1 where the pen is lifted after the point, else 0; x points right and y points
down. As offsets, x and y are the way from the point before, and the first
point has the offset 0.
"""

import numpy as np


def to_offsets(points) -> np.ndarray:
    """Return a line with the way from point to point instead of places.

    Args:
        points: Array (T, 3): x, y, and 1 where the pen is lifted.

    Returns:
        float32 (T, 3).

    Raises:
        ValueError: There is no point, the shape is another, or a value is NaN
            or infinite.

    Example:
        >>> to_offsets([[3, 1, 0], [5, 1, 1]]).tolist()
        [[0.0, 0.0, 0.0], [2.0, 0.0, 1.0]]
    """
    points = check(points)
    places = points[:, :2].astype(np.float64)
    ways = np.diff(places, axis=0, prepend=places[:1])
    return np.concatenate([ways, points[:, 2:]], axis=1).astype(np.float32)


def to_points(offsets) -> np.ndarray:
    """Return a line with places instead of the way from point to point.

    Args:
        offsets: Array (T, 3): offset in x and y, and 1 where the pen is lifted.

    Returns:
        float64 (T, 3); the place of the first point is its offset.

    Raises:
        ValueError: As of `to_offsets`.

    Example:
        >>> to_points([[0, 0, 0], [2, 0, 1]]).tolist()
        [[0.0, 0.0, 0.0], [2.0, 0.0, 1.0]]
    """
    offsets = check(offsets).astype(np.float64)
    places = np.cumsum(offsets[:, :2], axis=0)
    return np.concatenate([places, offsets[:, 2:]], axis=1)


def check(line) -> np.ndarray:
    """Return a line as an array, or say what is wrong with it.

    Args:
        line: Array (T, 3), positions or offsets.

    Raises:
        ValueError: There is no point, the shape is another, a value is NaN or
            infinite, or the last column is neither 0 nor 1.
    """
    line = np.asarray(line)
    if line.ndim != 2 or line.shape[1] != 3 or not len(line):
        raise ValueError(
            "expected strokes of shape (T, 3), T at least 1: x, y and 1 where "
            f"the pen is lifted. Received: shape {line.shape}"
        )
    if not np.isfinite(line).all():
        bad = int(np.flatnonzero(~np.isfinite(line).all(axis=1))[0])
        raise ValueError(
            "expected strokes of finite numbers; remove or repair the points "
            f"that are not. Received: {line[bad].tolist()} at point {bad}"
        )
    if not np.isin(line[:, 2], (0, 1)).all():
        bad = int(np.flatnonzero(~np.isin(line[:, 2], (0, 1)))[0])
        raise ValueError(
            "expected the last column of strokes to be 1 where the pen is "
            f"lifted, else 0. Received: {line[bad, 2]} at point {bad}"
        )
    return line


def resample(stroke, distance) -> np.ndarray:
    """Return points at equal distances along one stroke.

    Args:
        stroke: Array (n, 2): the corners of a polyline.
        distance: Wanted distance of two points. It is changed a little, so
            that the first and the last corner are among them.

    Returns:
        float64 (m, 2), m at least 2; a stroke without length is two equal
        points.

    Example:
        >>> resample([[0, 0], [0, 3], [1, 3]], 2).tolist()
        [[0.0, 0.0], [0.0, 2.0], [1.0, 3.0]]
    """
    stroke = np.asarray(stroke, np.float64)
    ways = np.linalg.norm(np.diff(stroke, axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(ways)])
    count = max(1, round(along[-1] / distance))
    wanted = np.linspace(0, along[-1], count + 1)
    return np.stack(
        [np.interp(wanted, along, stroke[:, axis]) for axis in (0, 1)], axis=1
    )
