"""Operations and layers, each with its obvious alternative.

What is not here has no alternative that somebody would write: a random choice
and the matrix of a window.
"""

import inspect

import layer_pairs
import op_pairs


def _described(build):
    """Return what is timed, with its sizes, and its alternative."""
    what, other = build.__doc__.rstrip(".").split(", and ", 1)
    sizes = inspect.signature(build).parameters.values()
    values = ", ".join(f"{size.name} {size.default}" for size in sizes)
    return f"{what}: {values}", other, build


# Name -> (what is timed, the alternative, function that makes the pair).
PAIRS = {
    build.__name__: _described(build)
    for build in [*layer_pairs.PAIRS, *op_pairs.PAIRS]
}
