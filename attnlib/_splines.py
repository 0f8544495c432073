"""Thin plate splines in NumPy, for grids of points and for distorted data."""

import numpy as np


def control_points(side):
    """Return side * side points (x, y) on [-1, 1]^2, row by row.

    Example:
        >>> control_points(2).tolist()
        [[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]]
    """
    places = np.linspace(-1, 1, side)
    return np.stack(np.meshgrid(places, places), axis=-1).reshape(-1, 2)


def weights(places, points):
    """Return how much each control point's value counts at each place.

    The spline through values v at the points is `weights @ v`.

    Args:
        places: Float array (M, 2), (x, y).
        points: Float array (P, 2), not all on one line.

    Returns:
        Float array (M, P); each row sums to 1.

    Example:
        >>> points = control_points(2)
        >>> weights(np.zeros((1, 2)), points).round(6).tolist()
        [[0.25, 0.25, 0.25, 0.25]]
    """
    count = len(points)
    system = np.zeros((count + 3, count + 3))
    system[:count] = _terms(points, points)
    system[count:, :count] = system[:count, count:].T
    # Columns of the inverse that belong to the control points' values.
    solved = np.linalg.solve(system, np.eye(count + 3, count))
    return _terms(places, points) @ solved


def _terms(places, points):
    """Return U(|place - point|) with U(r) = r^2 log r^2, then 1, x and y."""
    squares = np.sum((places[:, None] - points[None]) ** 2, axis=-1)
    kernel = squares * np.log(np.where(squares > 0, squares, 1))
    return np.concatenate([kernel, np.ones((len(places), 1)), places], axis=1)
