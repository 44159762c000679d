"""One completion as it was made: its settings, its steps, how fast it came and why it ended. No Qt."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

from llmlab.engine.sampling import GenerationSettings
from llmlab.engine.types import GenerationStep, ModelInfo

PLAIN, STATIC = "plain", "static, CUDA graph"  # how steps were computed
SMALLEST = 1e-300  # stands for a probability that float32 rounds to 0


class Outcome(StrEnum):
    """How far a run has come."""

    RUNNING = "running"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(slots=True, eq=False)
class Run:
    """A completion. Grows while it is generated; `former` once the model that made it is gone.

    A branch has the run that it parts from as `parent`, and shares that one's first `parted` steps.
    """

    prompt: str
    settings: GenerationSettings
    info: ModelInfo
    steps: list[GenerationStep] = field(default_factory=list)
    outcome: Outcome = Outcome.RUNNING
    former: bool = False
    parent: Run | None = None
    parted: int = 0
    prompt_tokens: int | None = None  # known with the first step
    _summed: tuple[int, float] = (0, 0.0)  # of so many steps the log-probability: a tree of runs asks often

    @property
    def text(self) -> str:
        """The completion."""
        return "".join(step.text for step in self.steps)

    @property
    def ids(self) -> tuple[int, ...]:
        """The token ids, in order."""
        return tuple(step.token_id for step in self.steps)

    @property
    def overfull(self) -> bool:
        """Whether prompt and completion together are longer than the context window, which has slid over them."""
        context = self.info.context
        return context is not None and (self.prompt_tokens or 0) + len(self.steps) > context

    @property
    def given(self) -> tuple[int, ...]:
        """The tokens that a branch begins with: those it shares, and those that the user chose."""
        chosen = [place + 1 for place, step in enumerate(self.steps) if step.given]
        return self.ids[: max([self.parted, *chosen])]

    @property
    def computed(self) -> str:
        """How its own steps were computed: by recorded passes over a static cache, or plain."""
        return STATIC if any(step.computed.replayed for step in self.steps[self.parted :]) else PLAIN

    @property
    def new_tokens(self) -> int:
        """How many new tokens were allowed, counted from where a branch parts."""
        return self.settings.max_new_tokens - self.parted

    @property
    def log_probability(self) -> float:
        """What the model itself, without settings, gives the whole completion: the sum over its tokens, in nats."""
        count, total = self._summed
        total += math.fsum(math.log(max(step.raw_probability, SMALLEST)) for step in self.steps[count:])
        self._summed = (len(self.steps), total)
        return total

    @property
    def perplexity(self) -> float | None:
        """exp(−log-probability per token); None before there is a token."""
        return math.exp(min(700.0, -self.log_probability / len(self.steps))) if self.steps else None

    @property
    def tokens_per_second(self) -> float | None:
        """Of all tokens after the first, which has the prompt's time in it; None before there are two."""
        own = self.steps[self.parted :]  # the others were made in another run's time
        if len(own) < 2:
            return None
        seconds = own[-1].seconds - own[0].seconds
        return (len(own) - 1) / seconds if seconds > 0 else None

    @property
    def ending(self) -> str:
        """Why it ended, in words; empty while it goes on."""
        if self.outcome is Outcome.STOPPED:
            return "stopped by you"
        if self.outcome is Outcome.FAILED:
            return "ended by an error"
        reason = self.steps[-1].finish_reason if self.steps else None
        return {
            "eos": "the model ended its text",
            "stop": "a stop string came up",
            "length": "reached the limit of new tokens",
            "context": "the context window is full",
        }.get(reason or "", "" if self.outcome is Outcome.RUNNING else "finished")

    @property
    def status(self) -> str:
        """One line: how many tokens, how fast, why it ended."""
        if not self.steps:
            return "Reading the prompt…" if self.outcome is Outcome.RUNNING else self.ending.capitalize()
        count = len(self.steps)
        parts = [f"{count:,} token{'s' if count != 1 else ''}"]
        if self.tokens_per_second is not None:
            parts.append(f"{self.tokens_per_second:.1f} tokens/s")
        if len(self.steps) > self.parted:
            parts.append(f"first after {self.steps[self.parted].seconds:.2f} s")
        if self.ending:
            parts.append(self.ending)
        return " · ".join(parts)
