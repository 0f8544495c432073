"""Show, Attend and Tell: captions with attention over the image."""

import keras
import numpy as np
from keras import ops

from attnlib import losses
from attnlib.layers import HardAttention, SoftAttention
from attnlib.models import counting
from attnlib.models.captioner import Captioner, one_by_one
from attnlib.models.recurrent import word_nll
from attnlib.ops import attention_entropy, checks, choice_log_prob
from attnlib.text import PAD

VERSION = 1  # Raised when trained results change.

ATTENTIONS = ("soft", "hard")


@keras.saving.register_keras_serializable(package="attnlib")
class ShowAttendTell(Captioner):
    """Caption an image by looking at one part of it for each word.

    1. annotations a_i of L places, shape (B, L, D) (equation 1)
    2. h_0, c_0 = tanh(Lin(mean_i a_i)), shape (B, U) each
    3. weights alpha_t over the places, from h_{t-1}, shape (B, L) (4, 5)
    4. context z_t, shape (B, D): beta_t sum_i alpha_ti a_i (soft, 13), or
       beta_t times one annotation drawn by alpha_t (hard, 8, 9)
    5. h_t, c_t = LSTM([E y_{t-1}, z_t], h_{t-1}, c_{t-1}) (1-3)
    6. logits L_o(E y_{t-1} + L_h h_t + L_z z_t), shape (B, T, V) (7)

    The loss is the paper's, summed over captions and divided by the number
    of their words. Soft attention: cross-entropy + `penalty_weight` sum_i
    (tau - sum_t alpha_ti)^2 (14). Hard attention: the gradient of -log p(y |
    s), of `reward_weight` (log p(y | s) - b) (-log p(s)), and of
    -`entropy_weight` H[s] (12), where log p(y | s) is the whole caption's,
    and b its moving average. For a share of the captions s is replaced by
    its expectation alpha, at all steps; these add no term of log p(s).

    Outside of training hard attention looks at the likeliest place.

    Args:
        target_size: Vocabulary of the captions, ids 0 (padding) to
            `target_size - 1`.
        embedding_size: Width M of the word embeddings.
        units: Width U of the LSTM.
        attention_units: Width of the network that scores places; None for
            `units`.
        attention: `"soft"` or `"hard"`.
        encoder: Keras model from images (B, H, W, C) to annotations
            (B, h, w, D); None where annotations are given instead of images.
            Set its `trainable` to False to keep it as it is.
        gated: Whether there is a gate beta; otherwise it is 1.
        dropout: Rate at the embeddings and before the output layer.
        label_smoothing: Share of the target that is spread over all words.
        penalty_weight: Weight lambda of the penalty, with soft attention.
        penalty_target: Attention tau that a place should get in all, a
            number, or `"mean"` for what it gets on average: words of the
            caption / places. Captions of fewer words than places cannot
            reach 1.
        reward_weight: Weight of the policy's term, with hard attention.
        entropy_weight: Weight of the entropy, with hard attention.
        soft_share: Probability that a caption in training gets the expected
            annotation, with hard attention.
        baseline: Whether the moving average b, from 0 on 0.9 b + 0.1 log p,
            is subtracted from the reward.
        scheduled_sampling: Probability that a previous word in training is
            one that the model drew itself; 0 is teacher forcing.
        seed: Seed of the model's draws, or None.
        **kwargs: Of `keras.Model`.

    Call arguments:
        inputs: Dict of `source`: images (B, H, W, C) for the encoder, or
            annotations (B, L, D) or (B, h, w, D), floating; and `target`:
            integers (B, T), the previous words, starting with START. 0 is
            padding. Or (B, K, T), K captions of each image, which is read
            once for all of them: B K captions then come out.

    Returns:
        A dict, see `force`.

    Raises:
        ValueError: An argument is out of range, the annotations are not those
            the model was built for, or there is no word; of arrays also where
            a word is unknown.

    Example:

    >>> import numpy as np
    >>> from attnlib.models.show_attend_tell import ShowAttendTell
    >>> model = ShowAttendTell(20, 8, 16)
    >>> source = np.ones((1, 7, 7, 5), "float32")
    >>> out = model({"source": source, "target": np.array([[2, 7]])})
    >>> tuple(out["logits"].shape), tuple(out["weights"].shape)
    ((1, 2, 20), (1, 2, 49))

    Reference:
        Xu et al. 2015, arXiv:1502.03044, sections 3 and 4. Differs from the
        paper in: the encoder is the caller's; one layer for each of h_0 and
        c_0; Adam is left to the caller.
    """

    def __init__(
        self,
        target_size,
        embedding_size=512,
        units=512,
        attention_units=None,
        attention="soft",
        encoder=None,
        gated=True,
        dropout=0.0,
        label_smoothing=0.0,
        penalty_weight=1.0,
        penalty_target=1.0,
        reward_weight=1.0,
        entropy_weight=0.002,
        soft_share=0.5,
        baseline=True,
        scheduled_sampling=0.0,
        seed=None,
        **kwargs,
    ):
        super().__init__(
            target_size,
            embedding_size,
            units,
            encoder,
            dropout=dropout,
            label_smoothing=label_smoothing,
            scheduled_sampling=scheduled_sampling,
            seed=seed,
            **kwargs,
        )
        self.attention = checks.one_of("attention", attention, ATTENTIONS)
        self.attention_units = checks.positive_integer(
            "attention_units", attention_units or units
        )
        self.gated = checks.flag("gated", gated)
        weights = {
            "penalty_weight": penalty_weight,
            "reward_weight": reward_weight,
            "entropy_weight": entropy_weight,
        }
        for name, value in weights.items():
            setattr(self, name, checks.non_negative_number(name, value))
        if penalty_target != "mean":
            penalty_target = checks.non_negative_number(
                "penalty_target", penalty_target
            )
        self.penalty_target = penalty_target
        if not 0 <= soft_share <= 1:
            raise ValueError(
                f"expected soft_share in [0, 1]. Received: {soft_share!r}"
            )
        self.soft_share = soft_share
        self.use_baseline = checks.flag("baseline", baseline)
        self._add_layers()
        if self.is_hard and not self.scheduled_sampling:
            self.seed_generator = keras.random.SeedGenerator(self.seed)

    @property
    def is_hard(self):
        """Return whether the model looks at one place at a time."""
        return self.attention == "hard"

    def _add_layers(self):
        dense = keras.layers.Dense
        self.first_state = dense(self.units, "tanh", name="first_state")
        self.first_memory = dense(self.units, "tanh", name="first_memory")
        layer = HardAttention if self.is_hard else SoftAttention
        options = {"seed": self.seed} if self.is_hard else {}
        self.align = layer(
            self.attention_units, self.gated, name="align", **options
        )
        self.context_kernel = dense(
            4 * self.units, use_bias=False, name="context_kernel"
        )
        width = self.embedding_size
        self.from_state = dense(width, name="from_state")
        self.from_context = dense(width, use_bias=False, name="from_context")

    def build(self, inputs_shape):
        places, width = self._build_reader(inputs_shape)
        for layer in (
            self.first_state,
            self.first_memory,
            self.context_kernel,
            self.from_context,
        ):
            layer.build((None, width))
        self.align.build((None, self.units), (None, places, width))
        self.from_state.build((None, self.units))
        self.output_layer.build((None, None, self.embedding_size))
        if self.is_hard:
            self.baseline = counting.scalar(self, "baseline")
        self.built = True

    def encode(self, source, training=False):
        """Look at the images.

        Args:
            source: Images or annotations, as in the call.
            training: Whether the encoder is in training.

        Returns:
            `(state, memory)`: `(h_0, c_0)`, (B, U) each, and a dict of
            `annotations` (B, L, D) and `keys` (B, L, A).
        """
        annotations = self.features(source, training)
        mean = ops.mean(annotations, axis=1)
        state = (self.first_state(mean), self.first_memory(mean))
        keys = self.align.project(annotations)
        return state, {"annotations": annotations, "keys": keys}

    def attend(self, state, memory, noise=None):
        """Return what is seen from a state.

        Args:
            state: h_{t-1}, shape (B, U).
            memory: From `encode`; with `soft` (B, 1), 1 where a caption gets
                the expected annotation instead of a drawn one.
            noise: Gumbel noise (B, L) with hard attention, or None to look at
                the likeliest place.

        Returns:
            `(context, weights, gate)`: (B, D), (B, L) and (B, 1); with hard
            attention also the drawn place, one-hot (B, L).
        """
        annotations, keys = memory["annotations"], memory["keys"]
        gate = (
            self.align.gate(state)
            if self.gated
            else ops.ones_like(state[:, :1])
        )
        if not self.is_hard:
            context, weights = self.align(state, annotations, keys=keys)
            return context, weights, gate
        context, weights, sample = self.align(
            state, annotations, noise=noise, training=False, keys=keys
        )
        if "soft" in memory:
            expected = ops.matmul(weights[:, None], annotations)[:, 0]
            context = ops.where(memory["soft"] > 0, gate * expected, context)
        return context, weights, gate, sample

    def advance(self, state, projected, memory, noise=None):
        """Take one decoder step.

        Args:
            state: `(h_{t-1}, c_{t-1})`, (B, U) each.
            projected: The previous word's share of the gates, (B, 4 U).
            memory: From `encode`.
            noise: As of `attend`.

        Returns:
            `(state, ...)`: `(h_t, c_t)`, and all that `attend` returns.
        """
        seen = self.attend(state[0], memory, noise)
        gates = projected + self.context_kernel(seen[0])
        return self.decoder.step(state, gates), *seen

    def blank(self, memory):
        """Return zeros like what `attend` returns."""
        first = memory["annotations"][:, 0]  # (B, D)
        place = memory["annotations"][:, :, 0]  # (B, L)
        seen = (first, place, first[:, :1]) + (place,) * self.is_hard
        return tuple(ops.zeros_like(tensor) for tensor in seen)

    def read_out(self, states, contexts, embedded, training=False):
        """Return logits, shape (..., V), float32."""
        features = embedded + self.from_state(states[0])
        features = features + self.from_context(contexts)
        features = self.dropout(features, training=training)
        return ops.cast(self.output_layer(features), "float32")

    def draw_noise(self, batch, steps) -> dict:
        """Return the random numbers of a call in training.

        Args:
            batch: Captions B.
            steps: Words T.

        Returns:
            With hard attention `places`, Gumbel noise (B, T, L), and `soft`,
            uniform numbers (B,): below `soft_share` a caption gets expected
            annotations. With scheduled sampling `words` (B, T, 2), see
            `unroll`.
        """
        noise = {}

        def uniform(shape, lowest=0.0):
            return keras.random.uniform(
                shape, lowest, dtype="float32", seed=self.seed_generator
            )

        if self.is_hard:
            # Above 0, where the noise would be infinite.
            lowest = float(np.finfo("float32").tiny)
            drawn = uniform((batch, steps, self.grid[0]), lowest)
            noise["places"] = -ops.log(-ops.log(drawn))
            noise["soft"] = uniform((batch,))
        if self.scheduled_sampling:
            noise["words"] = uniform((batch, steps, 2))
        return noise

    def call(self, inputs, training=None):
        return self.force(inputs, training)

    def force(self, inputs, training=False, noise=None) -> dict:
        """Run with given previous words (teacher forcing).

        Args:
            inputs: As in the call.
            training: Whether dropout, draws of places, and scheduled
                sampling are on.
            noise: As of `draw_noise`, or any part of it; None draws it in
                training, and does without it else.

        Returns:
            A dict of `logits` (B, T, V), `weights` alpha (B, T, L) and
            `gates` beta (B, T); with hard attention also `samples`, the
            places, one-hot (B, T, L), and `log_prob` (B, T), their
            log-probabilities, 0 where the annotation was the expected one.
        """
        state, memory, target = self.begin(inputs, training)
        if noise is None:
            noise = self.draw_noise(*ops.shape(target)[:2]) if training else {}
        drawn = ops.ones_like(memory["annotations"][:, :1, 0])  # (B, 1)
        if "soft" in noise:
            soft = ops.less(noise["soft"], self.soft_share)[:, None]
            memory["soft"] = ops.cast(soft, drawn.dtype)
            drawn = drawn - memory["soft"]
        logits, outputs = self.unroll(
            state,
            memory,
            target,
            training,
            noise.get("words"),
            noise.get("places"),
        )
        out = {
            "logits": logits,
            "weights": outputs[2],
            "gates": outputs[3][:, :, 0],
        }
        if self.is_hard:
            samples = outputs[4]
            # Nothing is chosen, with a log-probability of 0, at soft steps.
            chosen = samples * drawn[:, :, None]
            out["log_prob"] = choice_log_prob(outputs[2], chosen)
            out["samples"] = samples
        return out

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Return the loss per word that is no padding.

        Args:
            x: Not used.
            y: Next words, shape (B, T) or (B, K, T), 0 is padding.
            y_pred: What the call returned.
            sample_weight: Not used.
            training: Outside of training it is the mean cross-entropy.
        """
        logits = y_pred["logits"]
        loss = super().compute_loss(
            x, y, logits, sample_weight, training=training
        )
        if not training:
            return loss
        y = one_by_one(y)
        mask = ops.not_equal(y, PAD)
        if self.is_hard:
            extra = self._policy_loss(y, y_pred, mask)
        else:
            extra = self._penalty(y_pred["weights"], mask)
        words = ops.sum(ops.cast(mask, "float32"))
        return loss + extra / ops.maximum(words, 1.0)

    def _penalty(self, weights, mask):
        """Return the doubly stochastic penalty, summed over captions."""
        target = self.penalty_target
        if target == "mean":
            length = ops.sum(ops.cast(mask, "float32"), axis=1)
            target = length / self.grid[0]
        penalty = losses.doubly_stochastic_penalty(
            ops.cast(weights, "float32"), mask, target
        )
        return self.penalty_weight * ops.sum(penalty)

    def _policy_loss(self, y, y_pred, mask):
        """Return the loss that teaches where to look, summed over captions."""
        nll, _ = word_nll(y, y_pred["logits"])
        reward = ops.stop_gradient(-ops.sum(nll, axis=1))  # (B,)
        log_prob = ops.cast(y_pred["log_prob"], "float32")
        expected = ops.zeros_like(log_prob)
        if self.use_baseline:
            expected = expected + self.baseline
        policy = losses.reinforce_loss(log_prob, reward, expected, mask)
        if self.use_baseline:
            mean = ops.mean(reward)
            self.baseline.assign(0.9 * self.baseline + 0.1 * mean)
        entropy = attention_entropy(ops.cast(y_pred["weights"], "float32"))
        entropy = ops.sum(entropy * ops.cast(mask, "float32"))
        return (
            self.reward_weight * ops.sum(policy) - self.entropy_weight * entropy
        )

    def get_config(self):
        return {
            **super().get_config(),
            "attention_units": self.attention_units,
            "attention": self.attention,
            "gated": self.gated,
            "penalty_weight": self.penalty_weight,
            "penalty_target": self.penalty_target,
            "reward_weight": self.reward_weight,
            "entropy_weight": self.entropy_weight,
            "soft_share": self.soft_share,
            "baseline": self.use_baseline,
        }
