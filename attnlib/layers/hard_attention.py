"""Stochastic attention: look at one place at a time."""

import keras
import numpy as np
from keras import ops

from attnlib.layers.soft_attention import SoftAttention
from attnlib.ops import checks
from attnlib.ops.choices import gumbel_max
from attnlib.ops.scores import masked_softmax


@keras.saving.register_keras_serializable(package="attnlib")
class HardAttention(SoftAttention):
    """Look at one place of an image, drawn by its attention weight.

    The hard attention of Show, Attend and Tell. It has the weights of
    `SoftAttention`, in the same order, with its methods `project` and `gate`,
    and differs in what it reads: the annotation of one place that is drawn.
    No gradient passes through the draw. The scoring network learns by
    REINFORCE, from `attnlib.ops.choice_log_prob(weights, sample)`.

    1. scores e_i and weights alpha_i as in `SoftAttention`, shape (B, L)
    2. sample s ~ Categorical(alpha), one-hot, shape (B, L) (equation 8)
    3. context z = beta sum_i s_i a_i, shape (B, D) (9)

    Args:
        units: Width U of the scoring network, at least 1.
        gated: Whether the context is multiplied by the gate.
        seed: Seed of the noise, an integer of 32 bits from 0 on, or None.
        kernel_initializer: For W_a, W_h and w_beta.
        score_initializer: For v_a. With zeros the weights are uniform.
        **kwargs: Of `keras.layers.Layer`.

    Call arguments:
        state: Floating tensor, shape (B, H).
        annotations: Floating tensor, shape (B, L, D): features of L places.
        annotations_mask: Boolean tensor, shape (B, L), True = use, or None.
        noise: Floating tensor, shape (B, L): Gumbel noise, or None to draw it
            here. Inside a scan it must be given: draw it for all steps before.
        training: Boolean, or None for Keras to fill in. False without noise
            takes the place of the largest weight.
        keys: `project(annotations)`, shape (B, L, U), or None to compute it
            here.

    Returns:
        `(context, weights, sample)`: shapes (B, D), (B, L) and (B, L). All
        three are 0 where the mask allows nothing.

    Raises:
        ValueError: `units` is no positive integer, `gated` no boolean, `seed`
            no seed, or a rank, size or dtype of the inputs is wrong.

    Example:

    >>> import numpy as np
    >>> from attnlib.layers import HardAttention
    >>> state = np.ones((2, 5), "float32")
    >>> annotations = np.ones((2, 49, 6), "float32")
    >>> context, weights, sample = HardAttention(4)(state, annotations)
    >>> np.array(sample).sum(-1).tolist()
    [1.0, 1.0]

    Reference:
        Xu et al. 2015, arXiv:1502.03044, sections 3.1.2 and 4.1. Differs from
        the paper in: nothing known; baseline, entropy and the mixing of hard
        and soft steps belong to the training of a model.
    """

    def __init__(self, units, gated=True, seed=None, **kwargs):
        super().__init__(units, gated, **kwargs)
        self.seed = checks.seed(seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)

    def build(self, state_shape, annotations_shape, noise_shape=None):
        _check_noise_shape(noise_shape)
        super().build(state_shape, annotations_shape)

    def call(
        self,
        state,
        annotations,
        annotations_mask=None,
        noise=None,
        training=None,
        keys=None,
    ):
        state, annotations, mask, scores = self._score(
            state, annotations, annotations_mask, keys
        )
        if noise is not None:
            noise = checks.floating("noise", noise)
            checks.rank("noise", noise, 2)
            checks.same(
                "batch sizes", state=state.shape[0], noise=noise.shape[0]
            )
            checks.same(
                "lengths",
                annotations=annotations.shape[1],
                noise=noise.shape[1],
            )
        elif training is None or training:
            noise = self._draw(scores)
        weights = masked_softmax(scores, mask)
        sample = gumbel_max(scores, noise, mask)
        return self._read(state, annotations, sample), weights, sample

    def _draw(self, scores):
        # Above 0, where the noise would be infinite.
        lowest = float(np.finfo("float32").tiny)
        uniform = keras.random.uniform(
            ops.shape(scores), lowest, dtype="float32", seed=self.seed_generator
        )
        return -ops.log(-ops.log(uniform))

    def compute_output_shape(
        self, state_shape, annotations_shape, noise_shape=None
    ):
        _check_noise_shape(noise_shape)
        context, weights = super().compute_output_shape(
            state_shape, annotations_shape
        )
        return context, weights, weights

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


def _check_noise_shape(noise_shape):
    if noise_shape is not None:
        checks.shape_rank("noise", noise_shape, 2)
