"""What every experiment says about the data it ran on."""


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
