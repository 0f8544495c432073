"""Search for sentences under a recurrent decoder, many at a time.

A Keras model that can be searched has

- `target_size`: the number of words it knows, ids 0 to `target_size - 1`.
- `check_source(source)`: returns what one sentence is written about, checked:
  a list of ids, or an array of floats (an image, features). Raises a
  `ValueError` for anything else.
- `encode(source) -> (state, memory)`: reads a batch, ids padded to (B, S) or
  arrays (B, ...). Both results are tensors or nested structures of tensors
  whose first axis is the batch.
- `step(state, words, memory) -> (state, logits, weights)`: takes the previous
  words, shape (B,), and returns the next state, logits (B, V), and how much
  each of L places of the source was attended to, (B, L): 0 without attention.
"""

import dataclasses

import keras
import numpy as np
from keras import ops

from attnlib import text
from attnlib.models import words
from attnlib.ops import checks
from attnlib.text import END, START

# Sources are padded to a multiple of this, which limits how many shapes have
# to be compiled.
_WIDTH_STEP = 4
# Most words about a source that has no words itself.
_LONGEST = 40
# Attention that no word paid; its logarithm is the most a place can cost.
_UNSEEN = 1e-6
# Rows of one call of the decoder's step; more cost memory, not time.
_ROWS = 768


@dataclasses.dataclass(frozen=True)
class Hypothesis:
    """One sentence that a search found.

    Attributes:
        tokens: Ids of the T words, START and END left out.
        score: What sentences are ranked by: `log_prob` divided by
            `(T + 1) ** length_penalty`, and the penalty of what was not
            covered.
        log_prob: Natural logarithm of the probability of the words and END.
        weights: Attention, shape (T + 1, L) for L words or places of the
            source: row t is where the decoder looked before word t; the last
            row belongs to END. All 0 for a model without attention.
        finished: False where the longest length was reached and END forced.
    """

    tokens: tuple
    score: float
    log_prob: float
    weights: np.ndarray
    finished: bool


class Decoder:
    """Search for the best sentences under a recurrent decoder.

    Keep one for a model: it compiles the model's step once for each shape.

    The beam search keeps the `beam_size` best unfinished sentences for every
    source. A sentence is finished when END is among the best `beam_size`
    continuations of a step. A source is done when no unfinished sentence can
    win any more, or when `beam_size` are finished and the best unfinished one
    is behind. With `beam_size=1` that is greedy search. END is no first word,
    so a sentence is never empty.

    Args:
        model: A built model with the interface that this module describes,
            such as `RNNSearch` or `ShowAttendTell`.

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
        search); Wu et al. 2016, arXiv:1609.08144, section 7 (coverage).
        Differs from the papers in: the first does not give its length
        normalisation; 1 is the mean log-probability per word. The second
        divides by ((5 + T) / 6)^a, and a place without any attention costs
        infinitely much; here it counts as 1e-6.
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
        """Take the likeliest word at every step.

        Args:
            sources: As in `beam`.
            max_length: As in `beam`.

        Returns:
            A list with one `Hypothesis` for each source.
        """
        return [best for (best,) in self.beam(sources, 1, max_length)]

    def sample(self, sources, temperature=1.0, seed=0, max_length=None):
        """Draw every word from the model's distribution.

        Args:
            sources: As in `beam`. The draws of a source depend on the seed
                and its place in the list, not on its batch.
            temperature: What the log-probabilities are divided by before a
                word is drawn, above 0. Towards 0 that is greedy search.
            seed: An integer of 32 bits from 0 on, or None for other draws at
                every call.
            max_length: As in `beam`.

        Returns:
            A list with one `Hypothesis` for each source. Its probability is
            the model's, without the temperature.

        Raises:
            ValueError: As of `beam`, or the temperature is not above 0.
        """
        temperature = checks.positive_number("temperature", temperature)
        draws = _Draws(temperature, checks.seed(seed))
        found = self._search(sources, max_length, draws=draws)
        return [best for (best,) in found]

    def beam(
        self,
        sources,
        beam_size=12,
        max_length=None,
        num_best=1,
        length_penalty=1.0,
        coverage_penalty=0.0,
    ):
        """Search with a beam.

        Args:
            sources: List of lists of ids, without START and END, or list or
                array of images or features of one shape, as the model reads.
            beam_size: Unfinished sentences to keep, at least 1.
            max_length: Most words of a sentence, at least 1; None for twice
                the source's length and ten more, or 40 where a source has no
                words.
            num_best: Sentences to return for a source, 1 to `beam_size`.
            length_penalty: Exponent of the length that a log-probability is
                divided by; 0 ranks by probability, which favours short
                sentences.
            coverage_penalty: Factor beta of sum_j log(min(1, sum_t w_tj)),
                which is added to a score: parts of the source that no word
                attended to cost. 0 is off; more needs a model with attention.

        Returns:
            A list with a list of at most `num_best` `Hypothesis` for each
            source, the best first, never empty.

        Raises:
            ValueError: A sentence is empty or has unknown ids, images are not
                of one shape, or a number is out of range.
        """
        beam_size = checks.positive_integer("beam_size", beam_size)
        num_best = checks.positive_integer("num_best", num_best)
        if num_best > beam_size:
            raise ValueError(
                f"expected num_best of at most beam_size, {beam_size}. "
                f"Received: {num_best}"
            )
        penalties = {
            "length_penalty": length_penalty,
            "coverage_penalty": coverage_penalty,
        }
        penalties = {
            name: checks.non_negative_number(name, value)
            for name, value in penalties.items()
        }
        return self._search(
            sources, max_length, beam_size, num_best, **penalties
        )

    def _search(self, sources, max_length, beam_size=1, num_best=1, **options):
        """Run searches, in batches of sources of similar length."""
        if max_length is not None:
            checks.positive_integer("max_length", max_length)
        sources = [self.model.check_source(source) for source in sources]
        shapes = {np.shape(s) for s in sources if not isinstance(s, list)}
        if len(shapes) > 1:
            raise ValueError(
                f"expected sources of one shape. Received: {sorted(shapes)}"
            )
        # The longest decides how many steps a batch takes.
        order = sorted(range(len(sources)), key=lambda i: len(sources[i]))
        size = max(1, _ROWS // beam_size)
        found = [None] * len(sources)
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            # A smaller last batch is filled up: another shape would be
            # compiled anew.
            missing = size - len(rows) if start else 0
            rows += rows[-1:] * missing
            search = _Search(beam_size, num_best, max_length, **options)
            best = search.run(self, [sources[i] for i in rows], rows)
            for i, hypotheses in zip(rows, best, strict=True):
                found[i] = hypotheses
        return found

    def encode(self, source):
        """Return first states and memory of a batch, as NumPy arrays."""
        encoded = self._encoder.predict_on_batch(source)
        return encoded["state"], encoded["memory"]

    def step(self, width, inputs):
        """Take one step for N rows and look at the `width` best words.

        With `uniform` among the inputs, one word is drawn instead.

        Raises:
            ValueError: The model's probabilities are no numbers.
        """
        kind = (width, "uniform" in inputs)
        if kind not in self._steps:
            self._steps[kind] = _Step(self.model, width)
        out = self._steps[kind].predict_on_batch(inputs)
        # Without this a search would end with no sentence at all.
        if np.isnan(out["end"]).any():
            raise ValueError(
                "expected probabilities of words from the model. Received: "
                "NaN. Look for NaN or infinity in the sources and the weights"
            )
        return out


class _Encoder(keras.Model):
    """Compiles the model's `encode`."""

    def __init__(self, model):
        super().__init__(name="encoder")
        self.model = model
        self.supports_jit = model.supports_jit
        self.built = True

    def call(self, source):
        state, memory = self.model.encode(source)
        return {"state": state, "memory": memory}


class _Step(keras.Model):
    """Compiles one decoder step and the choice of the words."""

    def __init__(self, model, width):
        super().__init__(name="step")
        self.model, self.width = model, width
        self.supports_jit = model.supports_jit
        self.allowed = words.allowed(model.target_size)
        self.built = True

    def call(self, inputs):
        def of_parent(array):
            return ops.take(array, inputs["parent"], axis=0)

        state = keras.tree.map_structure(of_parent, inputs["state"])
        state, logits, weights = self.model.step(
            state, inputs["word"], inputs["memory"]
        )
        log_probs = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
        log_probs = ops.add(log_probs, self.allowed)
        if "uniform" in inputs:
            values, chosen = self._draw(log_probs, inputs)
        else:
            values, chosen = ops.top_k(log_probs, self.width)
        return {
            "state": state,
            "weights": weights,
            "values": values,
            "words": chosen,
            "end": log_probs[:, END],
        }

    def _draw(self, log_probs, inputs):
        """Return log-probability and id of one word a row, (N, 1) each."""
        is_end = np.arange(self.model.target_size) == END
        refused = ops.logical_and(is_end, inputs["first"][:, None])
        possible = ops.where(refused, -np.inf, log_probs)
        # At low temperatures only the best word keeps a finite value.
        best = ops.max(possible, axis=-1, keepdims=True)
        drawn = words.draw(
            (possible - best) / inputs["temperature"][:, None],
            inputs["uniform"],
        )[:, None]
        return ops.take_along_axis(log_probs, drawn, axis=-1), drawn


class _Draws:
    """The random numbers of a sampling: one stream for each source."""

    def __init__(self, temperature, seed):
        # Above what float32 rounds to 0.
        self.temperature, self.seed = max(temperature, 1e-30), seed

    def start(self, places):
        self.streams = [
            np.random.default_rng(
                None if self.seed is None else [self.seed, place]
            )
            for place in places
        ]

    def inputs(self, step):
        count = len(self.streams)
        uniform = [stream.random(dtype="float32") for stream in self.streams]
        return {
            "uniform": np.array(uniform, "float32"),
            "temperature": np.full(count, self.temperature, "float32"),
            "first": np.full(count, step == 0),
        }


class _Search:
    """Search for one batch: all bookkeeping, in NumPy.

    B sources with K slots each are N = B K rows of the decoder. Sampling is
    a search with one slot and one candidate.
    """

    def __init__(
        self,
        beam_size,
        num_best,
        max_length,
        length_penalty=1.0,
        coverage_penalty=0.0,
        draws=None,
    ):
        self.beam_size, self.num_best = beam_size, num_best
        self.length_penalty, self.max_length = length_penalty, max_length
        self.coverage_penalty, self.draws = coverage_penalty, draws

    def run(self, decoder, sources, places):
        """Return the `num_best` best hypotheses of each source.

        Args:
            decoder: The `Decoder`.
            sources: The sources, checked.
            places: The place of each in the caller's list.
        """
        self._measure(sources)
        self.finished = [[] for _ in sources]
        # What every step wrote, to follow a hypothesis back to its start.
        self.words, self.parents, self.weights = [], [], []
        inputs = self._start(decoder, sources)
        width = self._width(decoder.model)
        if self.draws:
            self.draws.start(places)
        for step in range(self.limits.max() + 1):
            drawn = self.draws.inputs(step) if self.draws else {}
            out = decoder.step(width, {**inputs, **drawn})
            self._look(self._by_sentence(out["weights"]))
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

    def _measure(self, sources):
        """Set the longest sentence and the real columns of each source."""
        written = isinstance(sources[0], list)
        lengths = np.array([len(source) for source in sources])
        # All places of an image are real.
        self.lengths = lengths if written else np.full(len(sources), None)
        longest = 2 * lengths + 10 if written else _LONGEST
        if self.max_length is not None:
            longest = self.max_length
        self.limits = np.broadcast_to(longest, len(sources))

    def _width(self, model):
        if self.draws:
            return 1
        # With one candidate more than slots, enough are left without END.
        return min(self.beam_size + 1, model.target_size - END)

    def _start(self, decoder, sources):
        """Encode the sources and return the inputs of the first step."""
        slots = self.beam_size
        if isinstance(sources[0], list):
            width = -(-self.lengths.max() // _WIDTH_STEP) * _WIDTH_STEP
            batch = text.pad(sources, width)
        else:
            batch = np.stack(sources)
        state, memory = decoder.encode(batch)
        # Only the first slot of a sentence is alive, or all would grow the
        # same words.
        self.scores = np.full((len(sources), slots), -np.inf)
        self.scores[:, 0] = 0.0
        # Attention that each hypothesis has paid to each place so far.
        self.paid = 0.0
        rows = np.arange(self.scores.size, dtype="int32")

        def for_slots(array):
            return np.repeat(array, slots, axis=0)

        # The memory is the same at every step: it is moved once.
        return {
            "state": keras.tree.map_structure(for_slots, state),
            "parent": rows,
            "word": np.full_like(rows, START),
            "memory": keras.tree.map_structure(
                lambda array: ops.convert_to_tensor(for_slots(array)), memory
            ),
        }

    def _look(self, weights):
        """Note where the decoder looked, (B, K, L)."""
        self.weights.append(weights)
        if not self.coverage_penalty:
            return
        if len(self.weights) == 1 and not weights.any():
            raise ValueError(
                "expected a model with attention with coverage_penalty above "
                "0. Received: a model whose attention weights are all 0"
            )
        self.paid = self.paid + weights.astype("float64")

    def _uncovered(self, i, slot):
        """Return what is added to a score for what nobody attended to."""
        if not self.coverage_penalty:
            return 0.0
        paid = self.paid[i, slot, : self.lengths[i]]
        costs = np.log(np.clip(paid, _UNSEEN, 1.0))
        return self.coverage_penalty * costs.sum()

    def _by_sentence(self, array):
        return array.reshape(-1, self.beam_size, *array.shape[1:])

    def _rows(self, slots):
        first = np.arange(len(slots))[:, None] * self.beam_size
        return (first + slots).ravel().astype("int32")

    def _end_at_limit(self, step, end):
        """Force END on sentences of the longest length."""
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
        if self.coverage_penalty:
            slots = self.parents[-1][:, :, None]
            self.paid = np.take_along_axis(self.paid, slots, axis=1)

    def _finish(self, i, step, slot, log_prob, forced=False):
        score = log_prob / (step + 1) ** self.length_penalty
        score += self._uncovered(i, slot)
        self.finished[i].append((score, log_prob, step, slot, forced))

    def _stop(self, step):
        """Give up sources whose result is settled."""
        now, longest = (
            length**self.length_penalty
            for length in (step + 1.0, self.limits + 1.0)
        )
        for i, done in enumerate(self.finished):
            if len(done) < self.num_best:
                continue
            kept = sorted((entry[0] for entry in done), reverse=True)
            worst, ahead = kept[self.num_best - 1], self.scores[i, 0]
            # The longest sentence is punished least and may cover all, so
            # nothing can win any more; or there are enough, and the one that
            # leads is behind.
            # Enough alone would not do: where the model is sure, an early END
            # is among the best words of every step, far behind the first.
            enough = len(done) >= self.beam_size
            within = ahead / now + self._uncovered(i, 0)
            if ahead / longest[i] <= worst or (enough and within <= worst):
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
