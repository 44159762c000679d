"""One strategy's text as it comes in: what each column of the comparison is made of. No Qt."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

from llmlab.engine.text_metrics import distinct_n, repeated
from llmlab.engine.types import BeamNode, BeamState, BeamStep, DraftStep, GenerationStep

REPEATED = 3  # tokens of a stretch that counts as repeated
SMALLEST = 1e-300


class Strategy(StrEnum):
    """How a text is decoded."""

    GREEDY = "greedy"
    SAMPLE = "sample"
    BEAMS = "beam search"
    BEAM_SAMPLE = "beam sample"
    LOOKUP = "prompt lookup"
    ASSISTED = "assisted"


class State(StrEnum):
    """How far a column has come."""

    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"


class Mark(StrEnum):
    """What is special about a piece of text."""

    PLAIN = "plain"
    ACCEPTED = "accepted"  # proposed by lookup or draft model, and accepted by the model
    REJECTED = "rejected"  # proposed, but not what the model writes: no part of the text


@dataclass(frozen=True, slots=True)
class Plan:
    """One column to make: which strategy, with which seed and how many beams, or which draft model.

    `seed` is None where nothing is drawn. `draft` None is the model itself, which guesses `guesses` tokens at a time.
    """

    strategy: Strategy
    seed: int | None = None
    beams: int = 0
    draft: str | None = None
    guesses: int = 0

    @property
    def title(self) -> str:
        """Its name above the column."""
        name = self.strategy.value.capitalize()
        if self.beams:
            return f"{name}, {self.beams} beams"
        if self.strategy is Strategy.ASSISTED and self.seed is None:
            return f"{name}, greedy"
        return name if self.seed is None else f"{name}, seed {self.seed}"


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a column, or of a rejected proposal."""

    token_id: int
    text: str
    log_probability: float  # the model's own, without settings
    mark: Mark = Mark.PLAIN


Event = GenerationStep | BeamStep | DraftStep


@dataclass(slots=True, eq=False)
class Column:
    """A text that grows. `told` are its tokens with the rejected ones between them."""

    plan: Plan
    told: list[Token] = field(default_factory=list)
    state: State = State.WAITING
    times: list[tuple[float, int]] = field(default_factory=list)  # seconds since it began, tokens by then
    nodes: dict[int, BeamNode] = field(default_factory=dict)
    best: tuple[int, ...] = ()  # the beam tree's path that is shown
    score: float | None = None  # of the best hypothesis, with the length penalty
    problem: str = ""  # why it failed

    @property
    def tokens(self) -> list[Token]:
        """The tokens of the text."""
        return [token for token in self.told if token.mark is not Mark.REJECTED]

    @property
    def ids(self) -> list[int]:
        """Their ids."""
        return [token.token_id for token in self.tokens]

    @property
    def text(self) -> str:
        """The completion."""
        return "".join(token.text for token in self.tokens)

    @property
    def log_probability(self) -> float:
        """The model's own, of the whole text."""
        return math.fsum(token.log_probability for token in self.tokens)

    @property
    def perplexity(self) -> float | None:
        """exp(−log-probability per token); None before there is a token."""
        count = len(self.tokens)
        return math.exp(min(700.0, -self.log_probability / count)) if count else None

    @property
    def tokens_per_second(self) -> float | None:
        """Of what came after the first tokens, which have the prompt's time in them."""
        if len(self.times) < 2 or self.times[-1][0] <= self.times[0][0]:
            return None
        return (self.times[-1][1] - self.times[0][1]) / (self.times[-1][0] - self.times[0][0])

    @property
    def repeated(self) -> tuple[bool, ...]:
        """Of each token whether it is part of a stretch that has occurred before."""
        return repeated(self.ids, REPEATED)

    @property
    def repeated_share(self) -> float:
        """How much of the text is."""
        marks = self.repeated
        return sum(marks) / len(marks) if marks else 0.0

    def distinct(self, n: int) -> float | None:
        """distinct-n of its tokens."""
        return distinct_n(self.ids, n)

    @property
    def accepted_share(self) -> float | None:
        """Of what was proposed, how much was accepted; None where nothing was proposed."""
        marks = [token.mark for token in self.told if token.mark is not Mark.PLAIN]
        return marks.count(Mark.ACCEPTED) / len(marks) if marks else None

    def add(self, event: Event) -> None:
        """What the engine told."""
        self.state = State.RUNNING
        if isinstance(event, GenerationStep):
            odds = math.log(max(event.raw_probability, SMALLEST))
            self.told.append(Token(event.token_id, event.text, odds))
        elif isinstance(event, DraftStep):
            self._add_draft(event)
        else:
            self._add_beams(event)
        self.times.append((event.seconds, len(self.tokens)))

    def _add_draft(self, step: DraftStep) -> None:
        for token in step.tokens:
            mark = Mark.ACCEPTED if token.accepted else Mark.PLAIN
            self.told.append(Token(token.token_id, token.text, token.log_probability, mark))
        if step.rest:
            self.told.append(Token(-1, step.rest, 0.0))
        place = len(self.told) - 1 if step.tokens and not step.tokens[-1].accepted else len(self.told)
        self.told[place:place] = [Token(-1, text, 0.0, Mark.REJECTED) for text in step.rejected]

    def _add_beams(self, step: BeamStep) -> None:
        self.nodes.update((node.number, node) for node in step.nodes)
        if step.hypotheses:
            best = step.hypotheses[0]
            self.score, end, whole = best.score, best.node, best.text
        else:
            end = max((n for n in step.nodes if n.state is BeamState.KEPT), key=lambda n: n.total).number
            whole = None
        path = []
        while end >= 0:
            path.append(end)
            end = self.nodes[end].parent
        self.best = tuple(reversed(path))
        nodes = [self.nodes[number] for number in self.best]
        self.told = [Token(node.token_id, node.token, _own(node)) for node in nodes]
        if whole is not None and whole != self.text and self.told:
            self._spell(whole)

    def _spell(self, whole: str) -> None:
        """Show `whole` where the tokens' own spellings are not its parts, as of bytes or of tokens without text."""
        rest, told = whole, []
        for token in self.told:
            fits = rest.startswith(token.text)
            told.append(Token(token.token_id, token.text if fits else "", token.log_probability))
            rest = rest[len(token.text) :] if fits else rest
        last = told[-1]
        told[-1] = Token(last.token_id, last.text + rest, last.log_probability)
        self.told = told


def _own(node: BeamNode) -> float:
    """The model's own log-probability of a candidate's token."""
    return node.log_probability if node.raw_log_probability is None else node.raw_log_probability
