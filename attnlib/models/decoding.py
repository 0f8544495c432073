"""Greedy and beam search over `RNNSearch`, for many sentences at a time."""

import dataclasses

import keras
import numpy as np
from keras import ops

from attnlib import text
from attnlib.ops import checks
from attnlib.text import END, PAD, START, UNKNOWN

# Never written: they are no words, and a reader could not see them.
_FORBIDDEN = (PAD, UNKNOWN, START)
# Sources are padded to a multiple of this, which limits how many shapes have
# to be compiled.
_WIDTH_STEP = 4
# Rows of one call of the decoder's step; more cost memory, not time.
_ROWS = 768


@dataclasses.dataclass(frozen=True)
class Hypothesis:
    """One translation that a search found.

    Attributes:
        tokens: Ids of the T words, START and END left out.
        score: What translations are ranked by, `log_prob` divided by
            `(T + 1) ** length_penalty`.
        log_prob: Natural logarithm of the probability of the words and END.
        weights: Alignment, shape (T + 1, S): row t is where the decoder
            looked before word t; the last row belongs to END. All 0 for a
            model without attention.
        finished: False where the longest length was reached and END forced.
    """

    tokens: tuple
    score: float
    log_prob: float
    weights: np.ndarray
    finished: bool


class Decoder:
    """Search for the best translations under an `RNNSearch`.

    Keep one for a model: it compiles the model's step once for each shape.

    The beam search keeps the `beam_size` best unfinished translations of
    every sentence. A translation is finished when END is among the best
    `beam_size` continuations of a step. A sentence is done when no unfinished
    translation can win any more, or when `beam_size` are finished and the
    best unfinished one is behind. With `beam_size=1` that is greedy search.
    END is no first word, so a translation is never empty.

    Args:
        model: A built `RNNSearch`.

    Example:

    >>> from attnlib.models.decoding import Decoder
    >>> from attnlib.models.rnnsearch import RNNSearch
    >>> model = RNNSearch(9, 9, 4, 8, 8)
    >>> model.build()
    >>> best = Decoder(model).greedy([[4, 5, 6], [7]], max_length=5)
    >>> [hypothesis.weights.shape[1] for hypothesis in best]
    [3, 1]

    Reference:
        Bahdanau, Cho and Bengio 2015, arXiv:1409.0473, section 4.2 (beam
        search). Differs from the paper in: the paper does not give its
        length normalisation; 1 is the mean log-probability per word.
    """

    def __init__(self, model):
        if model.target_size <= END + 1:
            raise ValueError(
                "expected a model that knows a target word. Received: "
                f"target_size {model.target_size}"
            )
        self.model = model
        self._encoder = _Encoder(model)
        self._steps = {}

    def greedy(self, sources, max_length=None):
        """Translate by the likeliest word at every step.

        Args:
            sources: List of lists of ids, without START and END.
            max_length: As in `beam`.

        Returns:
            A list with one `Hypothesis` for each sentence.
        """
        return [best for (best,) in self.beam(sources, 1, max_length)]

    def beam(
        self,
        sources,
        beam_size=12,
        max_length=None,
        num_best=1,
        length_penalty=1.0,
    ):
        """Translate by beam search.

        Args:
            sources: List of lists of ids, without START and END.
            beam_size: Unfinished translations to keep, at least 1.
            max_length: Most words of a translation, at least 1; None for
                twice the source's length and ten more.
            num_best: Translations to return for a sentence, 1 to `beam_size`.
            length_penalty: Exponent of the length that a log-probability is
                divided by; 0 ranks by probability, which favours short
                translations.

        Returns:
            A list with a list of at most `num_best` `Hypothesis` for each
            sentence, the best first, never empty.

        Raises:
            ValueError: A sentence is empty or has unknown ids, or a number is
                out of range.
        """
        beam_size = checks.positive_integer("beam_size", beam_size)
        num_best = checks.positive_integer("num_best", num_best)
        if num_best > beam_size:
            raise ValueError(
                f"expected num_best of at most beam_size, {beam_size}. "
                f"Received: {num_best}"
            )
        if max_length is not None:
            checks.positive_integer("max_length", max_length)
        if not length_penalty >= 0:
            raise ValueError(
                "expected length_penalty of at least 0. Received: "
                f"{length_penalty}"
            )
        sources = [self._checked(source) for source in sources]
        # Sentences of similar length share a batch, since the longest decides
        # how many steps it takes.
        order = sorted(range(len(sources)), key=lambda i: len(sources[i]))
        size = max(1, _ROWS // beam_size)
        found = [None] * len(sources)
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            batch = [sources[i] for i in rows]
            search = _Search(beam_size, num_best, length_penalty, max_length)
            # A smaller last batch is filled up: another shape would be
            # compiled anew.
            missing = size - len(batch) if start else 0
            best = search.run(self, batch + batch[-1:] * missing)
            for i, hypotheses in zip(rows, best, strict=False):
                found[i] = hypotheses
        return found

    def _checked(self, source):
        ids = [int(i) for i in source]
        if not ids:
            raise ValueError(
                "expected sentences of at least one word. Received: an empty "
                "sentence"
            )
        size = self.model.source_size
        bad = [i for i in ids if not PAD < i < size]
        if bad:
            raise ValueError(
                f"expected word ids from 1 to {size - 1}. Received: {bad[0]}"
            )
        return ids

    def encode(self, source):
        """Return first states (B, U) and the memory, as NumPy arrays."""
        encoded = self._encoder.predict_on_batch(source)
        return encoded["state"], encoded["memory"]

    def step(self, width, inputs):
        """Take one step for N rows and look at the `width` best words."""
        if width not in self._steps:
            self._steps[width] = _Step(self.model, width)
        return self._steps[width].predict_on_batch(inputs)


class _Encoder(keras.Model):
    """Compiles `RNNSearch.encode`."""

    def __init__(self, model):
        super().__init__(name="encoder")
        self.model = model
        self.supports_jit = model.supports_jit
        self.built = True

    def call(self, source):
        state, memory = self.model.encode(source)
        memory = {**memory, "mask": ops.cast(memory["mask"], "int8")}
        return {"state": state, "memory": memory}


class _Step(keras.Model):
    """Compiles one decoder step and the choice of the best words."""

    def __init__(self, model, width):
        super().__init__(name="step")
        self.model, self.width = model, width
        self.supports_jit = model.supports_jit
        forbidden = np.zeros(model.target_size, "float32")
        forbidden[list(_FORBIDDEN)] = -np.inf
        self.forbidden = forbidden
        self.built = True

    def call(self, inputs):
        model, memory = self.model, dict(inputs["memory"])
        memory["mask"] = ops.cast(memory["mask"], "bool")
        state = ops.take(inputs["state"], inputs["parent"], axis=0)
        embedded = model.embed_target(inputs["word"])
        state, context, weights = model.advance(
            state, model.decoder.project(embedded), memory
        )
        logits = model.read_out(state, context, embedded)
        log_probs = ops.log_softmax(logits, axis=-1)
        log_probs = ops.add(log_probs, self.forbidden)
        values, words = ops.top_k(log_probs, self.width)
        return {
            "state": state,
            "weights": weights,
            "values": values,
            "words": words,
            "end": log_probs[:, END],
        }


class _Search:
    """Beam search for one batch: all bookkeeping, in NumPy.

    B sentences with K slots each are N = B K rows of the decoder.
    """

    def __init__(self, beam_size, num_best, length_penalty, max_length):
        self.beam_size, self.num_best = beam_size, num_best
        self.length_penalty, self.max_length = length_penalty, max_length

    def run(self, decoder, sources):
        """Return the `num_best` best hypotheses of each sentence."""
        self.lengths = np.array([len(source) for source in sources])
        self.limits = (
            2 * self.lengths + 10
            if self.max_length is None
            else np.full(len(sources), self.max_length)
        )
        self.finished = [[] for _ in sources]
        # What every step wrote, to follow a hypothesis back to its start.
        self.words, self.parents, self.weights = [], [], []
        inputs = self._start(decoder, sources)
        # With one candidate more than slots, enough are left without END.
        width = min(self.beam_size + 1, decoder.model.target_size - END)
        for step in range(self.limits.max() + 1):
            out = decoder.step(width, inputs)
            self.weights.append(self._by_sentence(out["weights"]))
            self._end_at_limit(step, self._by_sentence(out["end"]))
            self._grow(
                step,
                self._by_sentence(out["values"]),
                self._by_sentence(out["words"]),
            )
            self._stop(step)
            if np.isneginf(self.scores).all():
                break
            inputs = {
                "state": out["state"],
                "parent": self._rows(self.parents[-1]),
                "word": self.words[-1].ravel(),
                "memory": inputs["memory"],
            }
        return [self._best(i) for i in range(len(sources))]

    def _start(self, decoder, sources):
        """Encode the sentences and return the inputs of the first step."""
        slots = self.beam_size
        width = -(-self.lengths.max() // _WIDTH_STEP) * _WIDTH_STEP
        state, memory = decoder.encode(text.pad(sources, width))
        # Only the first slot of a sentence is alive, or all would grow the
        # same words.
        self.scores = np.full((len(sources), slots), -np.inf)
        self.scores[:, 0] = 0.0
        rows = np.arange(self.scores.size, dtype="int32")
        return {
            "state": np.repeat(state, slots, axis=0),
            "parent": rows,
            "word": np.full_like(rows, START),
            "memory": {
                name: ops.convert_to_tensor(np.repeat(array, slots, axis=0))
                for name, array in memory.items()
            },
        }

    def _by_sentence(self, array):
        return array.reshape(-1, self.beam_size, *array.shape[1:])

    def _rows(self, slots):
        first = np.arange(len(slots))[:, None] * self.beam_size
        return (first + slots).ravel().astype("int32")

    def _end_at_limit(self, step, end):
        """Force END on translations of the longest length."""
        for i in np.flatnonzero(self.limits == step):
            for slot in np.flatnonzero(np.isfinite(self.scores[i])):
                total = self.scores[i, slot] + end[i, slot]
                self._finish(i, step, slot, total, forced=True)
            self.scores[i] = -np.inf

    def _grow(self, step, values, words):
        """Choose the words of this step: (B, K, W) candidates to (B, K)."""
        batch, slots, width = values.shape
        if step == 0:
            values = np.where(words == END, -np.inf, values)
        totals = (self.scores[:, :, None] + values).reshape(batch, -1)
        words = words.reshape(batch, -1)
        order = np.argsort(-totals, axis=1, kind="stable")
        totals = np.take_along_axis(totals, order, axis=1)
        words = np.take_along_axis(words, order, axis=1)
        parents = order // width
        ends = (words == END) & np.isfinite(totals)
        for i, rank in zip(*np.nonzero(ends[:, :slots]), strict=True):
            self._finish(i, step, parents[i, rank], totals[i, rank])
        others = np.argsort(words == END, axis=1, kind="stable")[:, :slots]
        self.scores = np.take_along_axis(totals, others, axis=1)
        self.words.append(np.take_along_axis(words, others, axis=1))
        self.parents.append(np.take_along_axis(parents, others, axis=1))

    def _finish(self, i, step, slot, log_prob, forced=False):
        score = log_prob / (step + 1) ** self.length_penalty
        self.finished[i].append((score, log_prob, step, slot, forced))

    def _stop(self, step):
        """Give up sentences whose result is settled."""
        now, longest = (
            length**self.length_penalty
            for length in (step + 1.0, self.limits + 1.0)
        )
        for i, done in enumerate(self.finished):
            if len(done) < self.num_best:
                continue
            kept = sorted((entry[0] for entry in done), reverse=True)
            worst, ahead = kept[self.num_best - 1], self.scores[i, 0]
            # The longest translation is punished least, so nothing can win
            # any more; or there are enough, and the one that leads is behind.
            # Enough alone would not do: where the model is sure, an early END
            # is among the best words of every step, far behind the first.
            enough = len(done) >= self.beam_size
            if ahead / longest[i] <= worst or (enough and ahead / now <= worst):
                self.scores[i] = -np.inf

    def _best(self, i):
        # Sorting is stable: of equal scores the one found first wins.
        ranked = sorted(self.finished[i], key=lambda entry: -entry[0])
        return [self._trace(i, *entry) for entry in ranked[: self.num_best]]

    def _trace(self, i, score, log_prob, step, slot, forced):
        """Follow a hypothesis back to its first word."""
        columns = slice(self.lengths[i])
        tokens, weights = [], [self.weights[step][i, slot, columns]]
        for t in reversed(range(step)):
            tokens.append(int(self.words[t][i, slot]))
            slot = self.parents[t][i, slot]
            weights.append(self.weights[t][i, slot, columns])
        return Hypothesis(
            tuple(tokens[::-1]),
            float(score),
            float(log_prob),
            np.stack(weights[::-1]),
            not forced,
        )
