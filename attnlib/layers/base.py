"""What all layers of the library share."""

import keras

from attnlib.layers.initializers import fresh


class AttentionLayer(keras.layers.Layer):
    """A Keras layer whose bad configuration is a `ValueError`.

    Keras turns whatever a constructor raises into a `TypeError` of several
    lines. The constructor's own sentence says what was expected and received.

    Args:
        **kwargs: Of `keras.layers.Layer`.
    """

    @classmethod
    def from_config(cls, config):
        try:
            return super().from_config(config)
        except TypeError as error:
            if isinstance(error.__context__, ValueError):
                raise error.__context__ from None
            raise

    def _weight(self, name, shape, initializer):
        """Return a new weight that starts from a draw of its own."""
        initializer = fresh(keras.initializers.get(initializer))
        return self.add_weight(name=name, shape=shape, initializer=initializer)
