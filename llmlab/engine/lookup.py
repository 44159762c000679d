"""Greedy decoding that guesses several tokens at once from what stands in the text already, and checks the guess.

Prompt lookup (Saxena 2023), as transformers' `prompt_lookup_num_tokens`: where the last tokens of the text have
occurred before, those that followed them there are proposed; the model reads all of them in one pass and keeps
what it would have written itself. The text is greedy's own, only sooner where it repeats itself.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence

import torch

from llmlab.engine.detokenization import Detokenizer
from llmlab.engine.errors import InputError
from llmlab.engine.loading import LoadedModel
from llmlab.engine.logits import require
from llmlab.engine.progress import UNCONTROLLED, Control
from llmlab.engine.reading import Reader, end_tokens, guarded, prompt_ids
from llmlab.engine.sorted_logits import check_usable
from llmlab.engine.tokenization import Speller
from llmlab.engine.types import Architecture, DraftedToken, DraftStep, Feature

LONGEST_MATCH = 2  # transformers' max_matching_ngram_size


def prompt_lookup(
    loaded: LoadedModel,
    speller: Speller,
    text: str,
    max_new_tokens: int = 50,
    num_tokens: int = 10,
    control: Control = UNCONTROLLED,
) -> Iterator[DraftStep]:
    """The text in steps of one pass each; `num_tokens` are proposed at most. Raises InputError at once."""
    require(loaded, Feature.GENERATE)
    if max_new_tokens < 1 or num_tokens < 1:
        raise InputError("There is no token to propose or to write.", "Ask for at least one of each.")
    return _steps(_Lookup(loaded, speller, prompt_ids(loaded, text), max_new_tokens, num_tokens), control)


def proposal(ids: Sequence[int], num_tokens: int) -> list[int]:
    """What followed the last tokens of `ids` where they occurred first; empty where they never did."""
    for size in range(min(LONGEST_MATCH, len(ids) - 1), 0, -1):
        last = list(ids[-size:])
        for start in range(len(ids) - size):
            if list(ids[start : start + size]) == last:
                return list(ids[start + size : start + size + num_tokens])
    return []


def _steps(lookup: _Lookup, control: Control) -> Iterator[DraftStep]:
    guarded(lambda: lookup.begin(control), lookup.drop)
    try:
        while True:
            control.check()
            step = guarded(lookup.step, lookup.drop)
            yield step
            if step.finish_reason is not None:
                return
    finally:
        lookup.drop()


class _Lookup:
    """The text as far as it has come."""

    def __init__(self, loaded: LoadedModel, speller: Speller, ids: list[int], room: int, num_tokens: int) -> None:
        self._loaded = loaded
        self._speller = speller
        self._prompt = ids
        self._room = room
        self._num_tokens = num_tokens
        self._ends = end_tokens(loaded)
        self._reader: Reader | None = None
        self._written = 0

    def begin(self, control: Control) -> None:
        """Read the text but for its last token, which is read with the first proposal."""
        self._started = time.perf_counter()
        self._reader = Reader(self._loaded, self._prompt, control)
        self._ids = list(self._reader.start)
        context, self._limit = self._loaded.info.context, "length"
        if context is not None and context - len(self._ids) + 1 < self._room:
            self._room, self._limit = context - len(self._ids) + 1, "context"
        if len(self._ids) > 1:
            self._reader.next_logits(self._ids[:-1])
        decodes = self._loaded.info.architecture is Architecture.DECODER
        self._detokenizer = Detokenizer(self._loaded.tokenizer, self._prompt if decodes else ())

    def step(self) -> DraftStep:
        """Propose, read, and keep what the model agrees with and the first token where it does not."""
        assert self._reader is not None
        left = self._room - self._written
        proposed = proposal(self._ids, min(self._num_tokens, left - 1)) if left > 1 else []
        read = len(self._ids) - 1
        own, odds = _greedy(self._reader.all_logits([self._ids[-1], *proposed], forbids=True))
        agreed = next((i for i, (a, b) in enumerate(zip(proposed, own, strict=False)) if a != b), len(proposed))
        written = own[: agreed + 1]
        end = next((i + 1 for i, token in enumerate(written) if token in self._ends), None)
        written = written[:end]
        self._reader.forget(read + min(agreed, len(written) - 1) + 1)
        self._ids += written
        self._written += len(written)
        reason = "eos" if end is not None else self._limit if self._written >= self._room else None
        tokens = [
            DraftedToken(token, name, self._detokenizer.add(token), odd, place < agreed)
            for place, (token, name, odd) in enumerate(zip(written, self._speller.texts(written), odds, strict=False))
        ]
        rest = self._detokenizer.rest() if reason is not None else ""
        rejected = self._speller.texts(proposed[agreed:])
        return DraftStep(tuple(tokens), rejected, time.perf_counter() - self._started, rest, reason)

    def drop(self) -> None:
        """Let go of every tensor."""
        if self._reader is not None:
            self._reader.drop()
        self._reader = None


@torch.inference_mode()
def _greedy(logits: torch.Tensor) -> tuple[list[int], list[float]]:
    """The most probable token after each position of `logits` (positions, vocabulary), and its log-probability."""
    rows = logits.float()
    best = rows.max(-1)
    odds = (best.values - rows.logsumexp(-1)).tolist()
    check_usable(not any(math.isnan(odd) for odd in odds))
    return best.indices.tolist(), odds
