"""How many of a draft model's guesses its teacher accepts, and whether the text comes faster for it.

Measured with the program's own loop for assisted decoding: guesses after the first that is not accepted count as
not accepted, as they were made for nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from llmlab.engine import Engine
from llmlab.training.evaluate.stats import Proportion

GUESSES = (1, 3, 5, 8)  # tokens guessed in a pass at most
NEW_TOKENS = 32


@dataclass(frozen=True, slots=True)
class Drafted:
    """What assisted decoding made of all prompts, with up to `guesses` tokens in a pass.

    `seconds` and `plain_seconds` are the times of the assisted and of the plain texts, of `tokens` and `plain_tokens`
    tokens; `tokens_per_pass` is how many tokens one pass of the teacher gave.
    """

    guesses: int
    sampled: bool
    accepted: Proportion
    passes: int
    tokens: int
    seconds: float
    plain_tokens: int
    plain_seconds: float

    @property
    def tokens_per_pass(self) -> float:
        """The text's tokens, divided by the passes of the teacher."""
        return self.tokens / self.passes

    @property
    def speed(self) -> float:
        """Tokens a second."""
        return self.tokens / self.seconds

    @property
    def plain_speed(self) -> float:
        """Tokens a second of the teacher alone."""
        return self.plain_tokens / self.plain_seconds


@dataclass(slots=True)
class _Sum:
    made: int = 0
    accepted: int = 0
    passes: int = 0
    tokens: int = 0
    seconds: float = 0.0

    def add(self, steps: Iterable[Any]) -> None:
        """Count the passes of one text while it is written."""
        began = time.perf_counter()
        told = list(steps)
        self.seconds += time.perf_counter() - began
        self.passes += len(told)
        for step in told:
            good = sum(token.accepted for token in step.tokens)
            self.accepted += good
            self.made += good + len(step.rejected)
            self.tokens += len(step.tokens)

    def result(self, guesses: int, sampled: bool, plain: _Sum) -> Drafted:
        """All of it, beside the plain texts."""
        accepted = Proportion(self.accepted, self.made)
        return Drafted(guesses, sampled, accepted, self.passes, self.tokens, self.seconds, plain.tokens, plain.seconds)


def acceptance(engine: Engine, draft: str, prompts: Sequence[str], sampled: bool) -> list[Drafted]:
    """One result for each of GUESSES. `draft` is a spec; `sampled` is by the teacher's own settings, seeded by prompt.

    Plain and assisted texts are made in turn for every prompt, the plain one now first, now last, so that what else the
    machine does falls on all alike.
    """
    knobs: dict[str, Any] = {"do_sample": False}
    if sampled:
        own = engine.loaded.model.generation_config
        knobs = {"do_sample": True, "temperature": own.temperature, "top_p": own.top_p}
    plain, sums = _Sum(), {count: _Sum() for count in GUESSES}
    list(engine.assisted(prompts[0], draft=draft, max_new_tokens=4))  # opens the draft model before the clock runs
    for seed, prompt in enumerate(prompts):
        settings = {**knobs, "max_new_tokens": NEW_TOKENS, "seed": seed}
        turns: list[int | None] = [None, *GUESSES]
        for count in turns if seed % 2 else reversed(turns):
            if count is None:
                _add_plain(plain, engine, prompt, settings)
            else:
                sums[count].add(engine.assisted(prompt, draft=draft, num_tokens=count, **settings))
    return [one.result(count, sampled, plain) for count, one in sums.items()]


def _add_plain(plain: _Sum, engine: Engine, prompt: str, settings: dict[str, Any]) -> None:
    began = time.perf_counter()
    plain.tokens += len(list(engine.generate(prompt, **settings)))
    plain.seconds += time.perf_counter() - began


@torch.inference_mode()
def mean_divergence(teacher: Any, draft: Any, documents: Sequence[Sequence[int]], first: int) -> float:
    """KL(teacher ‖ draft) in nats, the mean over every token of the documents; each begins with the token `first`."""
    total, tokens = 0.0, 0
    for document in documents:
        ids = torch.tensor([[first, *document]])
        taught = teacher(input_ids=ids, use_cache=False).logits.float().log_softmax(-1)
        guessed = draft(input_ids=ids, use_cache=False).logits.float().log_softmax(-1)
        total += float((taught.exp() * (taught - guessed)).sum())
        tokens += ids.numel()
    return total / tokens
