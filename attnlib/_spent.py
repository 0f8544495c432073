"""Time that trainings took before this process found them in the cache.

A result costs what its models took to train, in whatever run that was. Neither
the trainings nor the records import the other.
"""

_earlier = {}


def forget() -> None:
    """Start counting anew, as a job does."""
    _earlier.clear()


def note(folder, seconds) -> None:
    """Note how long a training had taken when it was first asked for.

    Args:
        folder: Where the training lies; only its first note counts, since what
            it takes after that is this process's own time.
        seconds: 0 where there was no training yet.
    """
    _earlier.setdefault(str(folder), float(seconds))


def seconds() -> float:
    """Return the seconds of all trainings that were noted."""
    return sum(_earlier.values())
