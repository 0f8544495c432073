"""What DRAW's reader and writer share: a window that a state places."""

import keras

from attnlib.layers.base import AttentionLayer
from attnlib.layers.initializers import fresh
from attnlib.ops import checks


class PlacedWindow(AttentionLayer):
    """Five parameters of a grid of Gaussian filters as a Dense of a state.

    Subclasses build `regressor` in `build` and read `window(state)` in `call`.

    Args:
        size: Filters N along each axis, at least 1.
        kernel_initializer: For the matrix.
        bias_initializer: For the bias.
        **kwargs: Of `keras.layers.Layer`.
    """

    def __init__(
        self,
        size,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        **kwargs,
    ):
        # No autocast: the state shall reach the window in full precision.
        super().__init__(autocast=False, **kwargs)
        self.size = checks.positive_integer("size", size)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.supports_masking = True
        self.regressor = self._dense(
            5, "regressor", checks.compute_dtype(self.compute_dtype)
        )

    def _dense(self, units, name, dtype):
        return keras.layers.Dense(
            units,
            kernel_initializer=fresh(self.kernel_initializer),
            bias_initializer=fresh(self.bias_initializer),
            dtype=dtype,
            name=name,
        )

    def window(self, state):
        """Return where the layer looks or writes, to draw it.

        Args:
            state: Floating tensor, shape (B, U).

        Returns:
            (gx~, gy~, log s2, log d~, log gamma), shape (B, 5), in at least
            float32: the `params` of `attnlib.ops.gaussian_filterbank`.

        Raises:
            ValueError: The layer is not built, or the rank, size or dtype of
                `state` is wrong.
        """
        checks.built(self, "window")
        state = checks.floating("state", state, self.regressor.compute_dtype)
        checks.rank("state", state, 2)
        checks.last_axis("state", state, self.regressor.kernel.shape[0])
        return self.regressor(state)

    def get_config(self):
        serialize = keras.initializers.serialize
        return {
            **super().get_config(),
            "size": self.size,
            "kernel_initializer": serialize(self.kernel_initializer),
            "bias_initializer": serialize(self.bias_initializer),
        }
