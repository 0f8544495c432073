"""The soft window that reads a text while handwriting is drawn."""

import keras
import numpy as np
from keras import ops

from attnlib.layers.base import AttentionLayer
from attnlib.ops import checks
from attnlib.ops.windows import window_at

# exp(20) positions, heights or inverse widths: far beyond any use, and still
# far from overflow when they are squared and multiplied in float32.
LARGEST_LOG = 20.0


@keras.saving.register_keras_serializable(package="attnlib")
class GaussianWindow(AttentionLayer):
    """Read a text through a window that only moves forward.

    A recurrent network that draws handwriting needs the next characters, not
    the whole text: a mixture of Gaussians over positions weighs them, and the
    network says how far the mixture moves on at every step.

    1. (alpha^, beta^, kappa^) = W h_t + b, shape (B, 3 K) (equation 48)
    2. alpha = exp(alpha^), beta = exp(beta^), shape (B, K) (49, 50)
    3. kappa_t = kappa_{t-1} + exp(kappa^), shape (B, K) (51)
    4. phi(u) = sum_k alpha_k exp(-beta_k (kappa_k - u)^2), (B, S + 1) (46)
    5. window w_t = sum_{u <= U} phi(u) c_u, shape (B, V) (47)

    The weights phi are not normalised. The exponents of steps 2 and 3 are
    limited to 20, so that no output is infinite or NaN.

    Args:
        components: Number K of Gaussians, at least 1.
        initial_step: Positions that kappa moves per call where kappa^ is 0, as
            it is on average before training; a positive number.
        kernel_initializer: For W.
        bias_initializer: For b.
        **kwargs: Of `keras.layers.Layer`.

    Call arguments:
        state: Floating tensor, shape (B, H).
        kappa: Floating tensor, shape (B, K): the centres that the last call
            returned; zeros before the first.
        text: Floating tensor, shape (B, S, V): one-hot or embedded characters.
        text_mask: Boolean tensor, shape (B, S), True = use, or None.

    Returns:
        `(window, phi, kappa)`: shapes (B, V), (B, S + 1) and (B, K). Column
        u - 1 of phi belongs to position u and is 0 where the mask forbids it.
        The last column is the stop position U + 1, right after the last
        allowed character, and is not part of the window: writing ends when it
        outweighs all others. kappa never decreases. In half precision kappa
        moves in steps of 1/64 position at best beyond position 16: give the
        layer `dtype="float32"` there for long sequences.

    Raises:
        ValueError: `components` is no positive integer, `initial_step` is not
            positive, or a rank, size or dtype of the inputs is wrong.

    Example:

    >>> import numpy as np
    >>> from attnlib.layers import GaussianWindow
    >>> state, kappa = np.ones((2, 5), "float32"), np.zeros((2, 3), "float32")
    >>> text = np.ones((2, 7, 4), "float32")
    >>> window, phi, kappa = GaussianWindow(3)(state, kappa, text)
    >>> tuple(window.shape), tuple(phi.shape), tuple(kappa.shape)
    ((2, 4), (2, 8), (2, 3))

    Reference:
        Graves 2013, arXiv:1308.0850, section 5.1, equations 46 to 51. Differs
        from the paper in: the limit on exponents, and `initial_step`, where
        other values than 1 are a bias of kappa^.
    """

    def __init__(
        self,
        components,
        initial_step=1.0,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        **kwargs,
    ):
        # No autocast: centres that are float32 shall stay so until the end.
        super().__init__(autocast=False, **kwargs)
        self.components = checks.positive_integer("components", components)
        self.initial_step = checks.positive_number("initial_step", initial_step)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.supports_masking = True
        self.projection = keras.layers.Dense(
            3 * self.components,
            kernel_initializer=self.kernel_initializer,
            bias_initializer=self.bias_initializer,
            dtype=self.dtype_policy,
            name="projection",
        )

    def build(self, state_shape, kappa_shape, text_shape):
        _check_shapes(state_shape, kappa_shape, text_shape)
        checks.widths(state=state_shape)
        self.projection.build(state_shape)
        self.built = True

    def call(self, state, kappa, text, text_mask=None):
        wide = checks.compute_dtype(self.compute_dtype)
        state = checks.floating("state", state, self.compute_dtype)
        kappa = checks.floating("kappa", kappa, wide)
        text = checks.floating("text", text, wide)
        self._check(state, kappa, text)
        text, text_mask = self._masked("text", text, text_mask)
        raw = ops.cast(self.projection(state), wide)  # (B, 3 K)
        alpha, beta, step = ops.split(
            ops.exp(ops.minimum(raw, LARGEST_LOG)), 3, axis=-1
        )
        kappa = kappa + self.initial_step * step
        positions, stop = _positions(text, text_mask)
        phi = window_at(alpha, beta, kappa, positions)  # (B, S)
        if text_mask is not None:
            phi = ops.where(text_mask, phi, ops.zeros_like(phi))
        window = ops.matmul(ops.expand_dims(phi, 1), text)[:, 0]  # (B, V)
        end = window_at(alpha, beta, kappa, stop)  # (B, 1)
        phi = ops.concatenate([phi, end], axis=1)
        return tuple(self._saturate(x) for x in (window, phi, kappa))

    def _saturate(self, x):
        """Cast to the compute dtype; what is too large becomes its largest."""
        if self.compute_dtype == "float16":
            largest = float(np.finfo("float16").max)
            x = ops.clip(x, -largest, largest)
        return ops.cast(x, self.compute_dtype)

    def _check(self, state, kappa, text):
        checks.rank("state", state, 2)
        checks.rank("kappa", kappa, 2)
        checks.rank("text", text, 3)
        checks.last_axis("state", state, self.projection.kernel.shape[0])
        checks.last_axis("kappa", kappa, self.components)
        inputs = {"state": state, "kappa": kappa, "text": text}
        checks.same("batch sizes", **{k: v.shape[0] for k, v in inputs.items()})

    def compute_output_shape(self, state_shape, kappa_shape, text_shape):
        _check_shapes(state_shape, kappa_shape, text_shape)
        batch, length, width = text_shape
        columns = None if length is None else length + 1
        return (batch, width), (batch, columns), (batch, self.components)

    def get_config(self):
        serialize = keras.initializers.serialize
        return {
            **super().get_config(),
            "components": self.components,
            "initial_step": self.initial_step,
            "kernel_initializer": serialize(self.kernel_initializer),
            "bias_initializer": serialize(self.bias_initializer),
        }


def _positions(text, mask):
    """Return the positions 1 ... S and each text's stop position.

    Returns:
        Floating tensors, shapes (1, S) and (B, 1) or (1, 1).
    """
    length = ops.shape(text)[1]
    positions = ops.arange(1, length + 1, dtype=text.dtype)[None]
    if mask is None:
        return positions, ops.cast(ops.reshape(length + 1, (1, 1)), text.dtype)
    used = ops.where(mask, positions, ops.zeros_like(positions))
    # `initial` makes a text without any character end at position 1.
    return positions, ops.max(used, axis=1, keepdims=True, initial=0) + 1


def _check_shapes(state_shape, kappa_shape, text_shape):
    checks.shape_rank("state", state_shape, 2)
    checks.shape_rank("kappa", kappa_shape, 2)
    checks.shape_rank("text", text_shape, 3)
