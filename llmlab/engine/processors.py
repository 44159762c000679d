"""Every setting as one stage between the model's logits and the distribution that is drawn from. Numpy only.

`sampling.shape` has a shorter way for the common settings in the common order; this is the way for all of them in
any order. The meaning of each is that of transformers' processor of the same name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from llmlab.engine import cuts
from llmlab.engine.context import Context
from llmlab.engine.errors import InputError
from llmlab.engine.knobs import Cut, SamplingSettings
from llmlab.engine.sorted_logits import SCRATCH, SortedLogits, divided, merged, places_of, sort_keys
from llmlab.engine.types import Float32, Int32

UInt8: TypeAlias = NDArray[np.uint8]

CANCELLED = 1e-6  # share of a sum below which what is left of it is added up anew


class Candidates:
    """The vocabulary on its way through the stages.

    `ids` int32, `logits` float32 (the model's own) and `cut` uint8, all (vocabulary,): the first `count` can still be
    drawn and are sorted by `scores` float32, the higher id first among equals; the others follow, the last removed
    first. `kept_mass` is the probability that was not cut away. `least` tokens are left by every cut, as transformers'
    `min_tokens_to_keep` has it for beams.
    """

    def __init__(self, sorted_logits: SortedLogits, least: int = 1) -> None:
        self.least = least
        self.source = sorted_logits
        self.ids = sorted_logits.ids.copy()
        self.logits = sorted_logits.logits.copy()
        self.scores = sorted_logits.logits.copy()
        self.count = cuts.at_least(self.scores, cuts.LOWEST)
        self.cut: UInt8 = np.zeros(len(self.ids), np.uint8)
        self.cut[self.count :] = Cut.IMPOSSIBLE
        self.kept_mass = 1.0
        self._weights: Float32 | None = None
        self._total: float | None = None

    @property
    def weights(self) -> Float32:
        """exp(score − highest score), float32 (count,)."""
        if self._weights is None:
            with np.errstate(over="ignore"):
                distances = SCRATCH.floats("candidates' distances", self.count)
                self._weights = np.exp(np.subtract(self.scores[: self.count], self.scores[0], out=distances))
        return self._weights

    @property
    def total(self) -> float:
        """The sum of the weights."""
        if self._total is None:
            self._total = float(self.weights.sum(dtype=np.float64))
        return self._total

    @property
    def probabilities(self) -> Float32:
        """Of the tokens that can be drawn, float32 (count,)."""
        return self.weights / np.float32(self.total)

    @property
    def entropy(self) -> float:
        """In nats."""
        total = self.total
        products = np.subtract(
            self.scores[: self.count], self.scores[0], out=SCRATCH.floats("candidates' products", self.count)
        )
        products *= self.weights
        return max(0.0, math.log(total) - float(products.sum(dtype=np.float64)) / total)

    def rescore(self, wanted: Int32, change: Callable[[Float32, Int32], Float32]) -> None:
        """Give the tokens `wanted` (ascending, each once) the scores `change(scores, ids)`."""
        moved = self._places(wanted)
        if not len(moved):
            return
        alive = slice(self.count)
        after = change(self.scores[moved], self.ids[moved]).astype(np.float32)
        found = merged(self.ids[alive], self.logits[alive], self.scores[alive], moved, after)
        self.ids[alive], self.logits[alive], self.scores[alive] = found
        self._forget()

    def scale(self, temperature: float) -> None:
        """Divide all scores. What becomes equal by rounding is put in the order of equals."""
        alive = slice(self.count)
        with np.errstate(over="ignore"):
            self.scores[alive] /= np.float32(temperature)
        self._forget()
        ids, scores = self.ids[alive], self.scores[alive]
        equal = scores[1:] == scores[:-1]
        if bool(np.any(equal & (ids[1:] > ids[:-1]))):
            equals = np.flatnonzero(np.append(equal, False) | np.insert(equal, 0, False))
            order = equals[np.argsort(sort_keys(scores[equals], ids[equals]))[::-1]]
            for array in (self.ids, self.logits):
                array[equals] = array[order]

    def ban(self, wanted: Iterable[int], cut: Cut) -> None:
        """Remove the tokens `wanted`. Raises InputError where no token is left."""
        places = self._places(np.unique(np.fromiter(wanted, np.int32)))
        if len(places) == self.count:
            raise InputError(
                "The settings rule out every token of the vocabulary.",
                "Ban fewer words, or choose a larger no-repeat n-gram size.",
            )
        if len(places):
            kept = self.total - float(self.weights[places].sum(dtype=np.float64))
            if kept < CANCELLED * self.total:  # hardly a digit of the difference is left
                kept = float(np.delete(self.weights, places).sum(dtype=np.float64))
            self._lose(kept)
            self._remove(places, cut)

    def keep_between(self, start: int, stop: int, cut: Cut) -> None:
        """Remove all tokens but those from `start` to `stop`; those more probable than these come to lie after them."""
        if start == 0:
            self.keep_first(stop, cut)
            return
        self._lose(float(self.weights[start:stop].sum(dtype=np.float64)))
        for array in (self.ids, self.logits, self.scores):
            array[:stop] = np.concatenate((array[start:stop], array[:start]))
        self._forget()
        self._shorten(stop - start, cut)

    def keep_first(self, left: int, cut: Cut) -> None:
        """Remove all but the `left` most probable tokens."""
        left = max(left, self.least)
        if left < self.count:
            self._lose(float(self.weights[:left].sum(dtype=np.float64)))
            self._shorten(left, cut)

    def keep_best(self) -> None:
        """Remove all but the token that argmax takes: the lowest id among equals. Its mass is then all there is."""
        self.lowest_id_first()
        self._shorten(1, Cut.TEMPERATURE)
        self.kept_mass = 1.0

    def lowest_id_first(self) -> None:
        """Turn the best tokens round, where several are equal, as argmax sees them."""
        run = cuts.equals(self.scores[: self.count], 0)
        for array in (self.ids, self.logits):
            array[run] = array[run][::-1].copy()

    def _places(self, wanted: Int32) -> NDArray[np.intp]:
        return places_of(self.source.writable(wanted), self.ids[: self.count], len(self.ids))

    def _remove(self, places: NDArray[np.intp], cut: Cut) -> None:
        """Put what stands at `places` (ascending) after the others."""
        alive = slice(self.count)
        for array in (self.ids, self.logits, self.scores):
            gone = array[places]
            array[: self.count - len(places)] = np.delete(array[alive], places)
            array[self.count - len(places) : self.count] = gone
        self._forget()
        self._shorten(self.count - len(places), cut)

    def _forget(self) -> None:
        """The scores have changed: weights and total hold no more."""
        self._weights = self._total = None

    def _lose(self, kept: float) -> None:
        self.kept_mass *= min(1.0, kept / self.total)

    def _shorten(self, left: int, cut: Cut) -> None:
        self.cut[left : self.count] = cut
        self.count = left
        self._total = None
        if self._weights is not None:
            self._weights = self._weights[:left]


Stage: TypeAlias = Callable[[Candidates, SamplingSettings], None]


def run(candidates: Candidates, settings: SamplingSettings) -> Iterator[str]:
    """Let the settings act one after the other; yields the name of each that has acted."""
    for name in settings.stages:
        ACTS[name](candidates, settings)
        yield name


def _sequence_bias(candidates: Candidates, settings: SamplingSettings) -> None:
    context = candidates.source.context
    biases: dict[int, np.float32] = {}
    for tokens, bias in settings.sequence_bias:
        if _ends_with(context, tokens[:-1]):
            biases[tokens[-1]] = np.float32(biases.get(tokens[-1], np.float32(0)) + np.float32(bias))
    wanted = np.array(sorted(biases), np.int32)
    candidates.rescore(wanted, lambda scores, ids: scores + np.array([biases[i] for i in ids.tolist()], np.float32))


def _encoder_repetition(candidates: Candidates, settings: SamplingSettings) -> None:
    penalty = 1 / settings.encoder_repetition_penalty
    candidates.rescore(candidates.source.context.source, lambda scores, _: divided(scores, penalty))


def _repetition(candidates: Candidates, settings: SamplingSettings) -> None:
    candidates.rescore(candidates.source.context.unique, lambda scores, _: divided(scores, settings.repetition_penalty))


def _no_repeat_ngram(candidates: Candidates, settings: SamplingSettings) -> None:
    candidates.ban(repeated(candidates.source.context.ids, settings.no_repeat_ngram_size), Cut.NO_REPEAT_NGRAM)


def repeated(ids: Int32, size: int) -> list[int]:
    """The tokens that would write an n-gram of `size` tokens again that is among `ids` already."""
    if len(ids) + 1 < size:
        return []
    grams = sliding_window_view(ids, size) if len(ids) >= size else np.empty((0, size), np.int32)
    same = (grams[:, :-1] == ids[len(ids) - size + 1 :]).all(axis=1)
    banned: list[int] = grams[same, -1].tolist()
    return banned


def _bad_words(candidates: Candidates, settings: SamplingSettings) -> None:
    context = candidates.source.context
    candidates.ban(
        (
            tokens[-1]
            for tokens in settings.bad_words_ids
            if _ends_with(context, tokens[:-1]) and not (len(tokens) == 1 and tokens[0] in context.ends)
        ),
        Cut.BAD_WORDS,
    )


def _ends_with(context: Context, tokens: tuple[int, ...]) -> bool:
    """As in transformers, a sequence with more tokens before its last one than there are counts for nothing."""
    if len(tokens) > len(context.ids):
        return False
    return not tokens or context.ids[-len(tokens) :].tolist() == list(tokens)


def _min_new_tokens(candidates: Candidates, settings: SamplingSettings) -> None:
    context = candidates.source.context
    if len(context.generated) < settings.min_new_tokens:
        candidates.ban(context.ends, Cut.MIN_NEW_TOKENS)


def _presence(candidates: Candidates, settings: SamplingSettings) -> None:
    generated = np.unique(candidates.source.context.generated)
    candidates.rescore(generated, lambda scores, _: scores - np.float32(settings.presence_penalty))


def _frequency(candidates: Candidates, settings: SamplingSettings) -> None:
    generated, counts = np.unique(candidates.source.context.generated, return_counts=True)
    lowering = dict(zip(generated.tolist(), (np.float32(settings.frequency_penalty) * counts).tolist(), strict=True))
    candidates.rescore(
        generated, lambda scores, ids: scores - np.array([lowering[i] for i in ids.tolist()], np.float32)
    )


def _temperature(candidates: Candidates, settings: SamplingSettings) -> None:
    if settings.temperature == 0:
        candidates.keep_best()
    else:
        candidates.scale(settings.temperature)


def _top_k(candidates: Candidates, settings: SamplingSettings) -> None:
    """Fan et al. 2018; tokens that tie with the k-th stay."""
    count = max(settings.top_k, candidates.least)
    if count < candidates.count:
        scores = candidates.scores[: candidates.count]
        candidates.keep_first(cuts.at_least(scores, scores[count - 1]), Cut.TOP_K)


def _top_p(candidates: Candidates, settings: SamplingSettings) -> None:
    candidates.keep_first(cuts.top_p_kept(candidates.probabilities, settings.top_p), Cut.TOP_P)


def _min_p(candidates: Candidates, settings: SamplingSettings) -> None:
    candidates.keep_first(cuts.min_p_kept(candidates.probabilities, settings.min_p), Cut.MIN_P)


def _typical_p(candidates: Candidates, settings: SamplingSettings) -> None:
    kept = cuts.typical_kept(candidates.scores[: candidates.count], settings.typical_p, candidates.least)
    candidates.keep_between(kept.start, kept.stop, Cut.TYPICAL_P)


def _epsilon(candidates: Candidates, settings: SamplingSettings) -> None:
    candidates.keep_first(cuts.epsilon_kept(candidates.probabilities, settings.epsilon_cutoff), Cut.EPSILON)


def _eta(candidates: Candidates, settings: SamplingSettings) -> None:
    kept = cuts.eta_kept(candidates.probabilities, candidates.entropy, settings.eta_cutoff)
    candidates.keep_first(kept, Cut.ETA)


ACTS: Mapping[str, Stage] = {
    "sequence_bias": _sequence_bias,
    "encoder_repetition_penalty": _encoder_repetition,
    "repetition_penalty": _repetition,
    "no_repeat_ngram_size": _no_repeat_ngram,
    "bad_words_ids": _bad_words,
    "min_new_tokens": _min_new_tokens,
    "presence_penalty": _presence,
    "frequency_penalty": _frequency,
    "temperature": _temperature,
    "top_k": _top_k,
    "top_p": _top_p,
    "min_p": _min_p,
    "typical_p": _typical_p,
    "epsilon_cutoff": _epsilon,
    "eta_cutoff": _eta,
}
