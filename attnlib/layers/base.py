"""What all layers of the library share."""

import keras
from keras import ops

from attnlib.layers.initializers import fresh
from attnlib.ops import checks


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

    def _masked(self, name, tensor, mask):
        """Return a sequence without what its mask forbids, and the mask.

        A weight of 0 is not enough: padding may hold anything, and 0 times
        NaN is NaN, in the sum and in the gradients of what projects it.

        Args:
            name: Argument name of the sequence; its mask is `<name>_mask`.
            tensor: Floating tensor, shape (B, L, D).
            mask: Boolean tensor, shape (B, L), True = use, or None.

        Returns:
            Tuple of the sequence, 0 where it is masked, and the mask.

        Raises:
            ValueError: The mask is not boolean or has another shape.
        """
        mask = checks.sequence_mask(name, mask, tensor)
        if mask is None:
            return tensor, None
        used = ops.expand_dims(mask, -1)
        return ops.where(used, tensor, ops.zeros_like(tensor)), mask

    def _weight(self, name, shape, initializer):
        """Return a new weight that starts from a draw of its own."""
        initializer = fresh(keras.initializers.get(initializer))
        return self.add_weight(name=name, shape=shape, initializer=initializer)
