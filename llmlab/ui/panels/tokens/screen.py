"""What the presenter asks the view to show: frozen values, no Qt."""

from __future__ import annotations

from dataclasses import dataclass

from llmlab.ui.screen import Fact, Stage


@dataclass(frozen=True, slots=True)
class Choice:
    """A tokenizer that can be chosen: its spec ("" for the loaded model's) and what to call it."""

    spec: str
    name: str


@dataclass(frozen=True, slots=True)
class ContextUse:
    """How much of the context window the prompt takes, in tokens."""

    used: int
    limit: int

    @property
    def left(self) -> int:
        """For the completion."""
        return max(0, self.limit - self.used)

    @property
    def over(self) -> int:
        """Tokens that would be cut off."""
        return max(0, self.used - self.limit)


@dataclass(frozen=True, slots=True)
class Screen:
    """Everything but the tokens: cheap to make, compared as a whole."""

    stage: Stage
    choices: tuple[Choice, ...] = ()
    facts: tuple[Fact, ...] = ()
    about: tuple[Fact, ...] = ()  # what the tokenizer is made of
    notes: tuple[str, ...] = ()
    context: ContextUse | None = None
