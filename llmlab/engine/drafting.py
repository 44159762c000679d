"""Decoding that guesses several tokens at once and lets the model check the guess in one pass.

Speculative sampling (Leviathan et al. 2023, algorithm 1; Chen et al. 2023): a guess x that was drawn with
probability q(x) is accepted with probability min(1, p(x) / q(x)), p being the model's own after all settings; in the
place of the first that is not, a token is drawn from max(0, p − q), normalised. So the text follows p exactly,
whoever guesses. Without sampling a guess is accepted where it is what the model would have written.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from llmlab.engine.choosing import choose
from llmlab.engine.context import Context
from llmlab.engine.detokenization import Detokenizer
from llmlab.engine.loading import LoadedModel
from llmlab.engine.logits import sorted_later
from llmlab.engine.progress import Control
from llmlab.engine.reading import Reader, end_tokens
from llmlab.engine.sampling import GenerationSettings, SamplingSettings, SortedLogits, shape
from llmlab.engine.sorted_logits import check_usable
from llmlab.engine.stepping import Choosing
from llmlab.engine.tokenization import Speller
from llmlab.engine.types import Architecture, DraftedToken, DraftStep, Float32


@dataclass(frozen=True, slots=True, eq=False)
class Guess:
    """A token proposed, and from which distribution it was drawn: float32 (vocabulary,), None where it was certain."""

    token: int
    probabilities: Float32 | None = None


class Drafter(Protocol):
    """Who guesses."""

    def begin(self, prompt: list[int], control: Control) -> None:
        """The text that is to be continued."""

    def guess(self, context: Context, count: int) -> list[Guess]:
        """At most `count` tokens that may follow."""

    def drop(self) -> None:
        """Let go of every tensor."""


class Drafting:
    """A text as far as it has come, in passes."""

    def __init__(
        self,
        loaded: LoadedModel,
        speller: Speller,
        prompt: list[int],
        settings: GenerationSettings,
        drafter: Drafter,
        num_tokens: int,
    ) -> None:
        self._loaded = loaded
        self._speller = speller
        self._prompt = prompt
        self._sampling = settings.sampling
        self._room = settings.max_new_tokens
        self._drafter = drafter
        self._num_tokens = num_tokens
        self._random = np.random.default_rng(settings.seed)
        self._ends = end_tokens(loaded)
        self._reader: Reader | None = None

    def begin(self, control: Control) -> None:
        """Read the text but for its last token, which is read with the first guess."""
        self._started = time.perf_counter()
        self._reader = Reader(self._loaded, self._prompt, control)
        start = list(self._reader.start)
        self._context = Context.of(start, source=self._prompt, ends=self._ends)
        context, self._limit = self._loaded.info.context, "length"
        if context is not None and context - len(start) + 1 < self._room:
            self._room, self._limit = context - len(start) + 1, "context"
        if len(start) > 1:
            self._reader.next_logits(start[:-1])
        decodes = self._loaded.info.architecture is Architecture.DECODER
        self._detokenizer = Detokenizer(self._loaded.tokenizer, self._prompt if decodes else ())
        self._drafter.begin(self._prompt, control)

    def step(self) -> DraftStep:
        """Guess, read, and keep what is accepted, and a token of the model's own where it is not."""
        assert self._reader is not None
        written_before = len(self._context.generated)
        left = self._room - written_before
        with Choosing(written_before):
            guesses = self._drafter.guess(self._context, min(self._num_tokens, left - 1)) if left > 1 else []
        read = len(self._context.ids) - 1
        tokens = [int(self._context.ids[-1]), *(guess.token for guess in guesses)]
        logits = self._reader.all_logits(tokens, forbids=True)
        with Choosing(written_before):
            written, odds = self._checked(guesses, logits)
        accepted = len(written) - 1
        end = next((i + 1 for i, token in enumerate(written) if token in self._ends), None)
        written = written[:end]
        self._reader.forget(read + min(accepted, len(written) - 1) + 1)
        for token in written:
            self._context = self._context.with_id(token)
        reason = "eos" if end is not None else self._limit if len(self._context.generated) >= self._room else None
        names = self._speller.texts(written)
        return DraftStep(
            tokens=tuple(
                DraftedToken(token, name, self._detokenizer.add(token), odd, place < accepted)
                for place, (token, name, odd) in enumerate(zip(written, names, odds, strict=False))
            ),
            rejected=self._speller.texts([guess.token for guess in guesses[accepted:]]),
            seconds=time.perf_counter() - self._started,
            rest=self._detokenizer.rest() if reason is not None else "",
            finish_reason=reason,
        )

    def end(self) -> None:
        """Nothing is kept."""
        self.drop()

    def drop(self) -> None:
        """Let go of every tensor."""
        if self._reader is not None:
            self._reader.drop()
        self._reader = None
        self._drafter.drop()

    def _checked(self, guesses: Sequence[Guess], logits: torch.Tensor) -> tuple[list[int], list[float]]:
        """The accepted guesses and one token more, each with the model's own log-probability.

        `logits` (guesses + 1, vocabulary).
        """
        if not self._sampling.stages and self._sampling.greedy:
            own = _best(logits)
            agreed = next((i for i, guess in enumerate(guesses) if guess.token != own[i]), len(guesses))
            written = own[: agreed + 1]
        else:
            written = self._verified(guesses, logits)
        return written, _odds(logits, written)

    def _verified(self, guesses: Sequence[Guess], logits: torch.Tensor) -> list[int]:
        written: list[int] = []
        context = self._context
        for place, row in enumerate(logits):
            guess = guesses[place] if place < len(guesses) else None
            position = sorted_later(row, context)
            if self._sampling.greedy:
                token = choose(position, self._sampling, None).token_id
            else:
                token = verified(guess, in_vocabulary_order(position, self._sampling), self._random)
            written.append(token)
            if guess is None or token != guess.token:
                break
            context = context.with_id(token)
        return written


def verified(guess: Guess | None, own: Float32, random: np.random.Generator) -> int:
    """The guess, or else another token: the result is distributed as `own` float32 (vocabulary,) says."""
    if guess is None:
        return drawn(own, random)
    others = guess.probabilities
    odds = 1.0 if others is None else float(others[guess.token])
    if random.random() * odds < own[guess.token]:
        return guess.token
    return drawn(residual(own, guess), random)


def residual(own: Float32, guess: Guess) -> Float32:
    """What is drawn from where a guess is not accepted: max(0, p − q) float32 (vocabulary,), not normalised."""
    if guess.probabilities is None:
        left = own.copy()
        left[guess.token] = 0
    else:
        left = np.maximum(own - guess.probabilities, np.float32(0))
        left[guess.token] = 0  # where p(x) ≥ q(x) it is always accepted: only rounding can leave something
    return left if left.any() else own


def drawn(probabilities: Float32, random: np.random.Generator) -> int:
    """A token, in proportion to `probabilities` float32 (vocabulary,)."""
    sums = np.cumsum(probabilities, dtype=np.float64)
    return min(
        int(np.searchsorted(sums, random.random() * sums[-1], side="right")), int(probabilities.nonzero()[0][-1])
    )


def in_vocabulary_order(position: SortedLogits, settings: SamplingSettings) -> Float32:
    """What `settings` make of a position, float32 (vocabulary,)."""
    shaped = shape(position, settings)
    own = np.zeros(position.size, np.float32)
    own[shaped.ids[: shaped.kept]] = shaped.probabilities[: shaped.kept]
    return own


@torch.inference_mode()
def _best(logits: torch.Tensor) -> list[int]:
    """The most probable token after each position of `logits` (positions, vocabulary)."""
    tokens: list[int] = logits.float().argmax(-1).tolist()
    return tokens


@torch.inference_mode()
def _odds(logits: torch.Tensor, tokens: Sequence[int]) -> list[float]:
    """The log-probability of each of `tokens`, after the positions of `logits` (positions, vocabulary)."""
    rows = logits[: len(tokens)].float()
    chosen = rows.gather(1, torch.tensor(tokens, device=rows.device)[:, None])[:, 0]
    odds: list[float] = (chosen - rows.logsumexp(-1)).tolist()
    check_usable(not any(math.isnan(odd) for odd in odds))
    return odds
