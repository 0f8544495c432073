"""What every experiment says about the data it ran on."""

import hashlib


def digest_of(plan) -> str:
    """Return 16 hexadecimal digits that change with a text.

    Args:
        plan: What the data is made of, as a text.

    Example:

    >>> digest_of("digits, 100 of them")
    '38d26634f75d2019'
    """
    return hashlib.sha256(plan.encode()).hexdigest()[:16]


class Provenance:
    """Adds `record` to a class with `name`, `digest` and `description`."""

    @property
    def record(self) -> dict:
        """Return what `claims.begin` wants to know about the data."""
        return {
            "name": self.name,
            "digest": self.digest,
            "description": self.description,
        }
