"""How probable is exactly this? Any continuations of the prompt, compared token by token. No Qt."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from llmlab.engine.types import Architecture, Feature, ModelInfo, ScoredContinuation
from llmlab.jobs.job import ErrorInfo, JobControl
from llmlab.ui.panel import PanelContext
from llmlab.ui.panels.decoding.escapes import unescaped
from llmlab.ui.panels.decoding.params import Params
from llmlab.ui.panels.decoding.tabs import Playground

if TYPE_CHECKING:
    from llmlab.engine.session import Session

MAX_ANSWERS = 200
ANSWER_COLUMNS = ("continuation", "tokens", "log_probability", "log_probability_per_token", "perplexity", "share")
TOKEN_COLUMNS = (
    "continuation", "index", "token_id", "token", "log_probability", "rank", "best_token", "best_log_probability",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked: of which model, after which prompt, which continuations."""

    generation: int
    prompt: str
    continuations: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """The scored continuations, in the order they were typed in. `shares` sum to 1: softmax of the totals."""

    question: Question
    scored: tuple[ScoredContinuation, ...]

    @property
    def shares(self) -> tuple[float, ...]:
        """How the probability divides among these continuations alone."""
        best = max((each.total for each in self.scored), default=0.0)
        weights = [math.exp(each.total - best) for each in self.scored]
        return tuple(weight / sum(weights) for weight in weights)

    def answer_rows(self) -> Iterator[tuple[Any, ...]]:
        """One row for each continuation."""
        for each, share in zip(self.scored, self.shares, strict=True):
            yield each.text, len(each.ids), each.total, each.mean, each.perplexity, share

    def token_rows(self) -> Iterator[tuple[Any, ...]]:
        """One row for each token of each continuation."""
        for each in self.scored:
            columns = (each.ids, each.log_probabilities, each.ranks, each.best_log_probabilities)
            rows = zip(*(column.tolist() for column in columns), each.tokens, each.best_tokens, strict=True)
            for index, (token_id, own, rank, best, token, best_token) in enumerate(rows):
                yield each.text, index, token_id, token, own, rank + 1, best_token, best


class AskView(Protocol):
    """What is asked of the tab."""

    def show_answers(self, answers: Answers | None, message: str) -> None:
        """Show scored continuations, or none and why."""


class Asking:
    """Keeps the answers in step with the prompt, the model and what was typed, while they are looked at."""

    def __init__(self, context: PanelContext, playground: Playground, view: AskView) -> None:
        self._jobs = context.jobs
        self._workbench = context.workbench
        self._playground = playground
        self._view = view
        self._asked: Question | None = None
        self._answers: Answers | None = None
        self.busy = False

    def bring(self) -> None:
        """The tab is in front: ask what has not been asked yet."""
        model, info = self._workbench.model, self._playground.info
        reason = _cannot(info if model.ready else None, self._playground.prompt)
        wanted = Question(model.generation, self._playground.prompt, self._continuations(info))
        if reason or not wanted.continuations:
            self._show(None, reason)
        elif wanted != self._asked:
            self._ask(wanted)

    def type(self, text: str, *, spaced: bool) -> None:
        """The user has typed continuations, one a line. `spaced`: a space comes before each that has none."""
        self._playground.change(asked=text, asked_spaced=spaced)
        self.bring()

    @property
    def params(self) -> Params:
        """What is typed, and set."""
        return self._playground.params

    def close(self) -> None:
        """Deliver nothing more."""
        self._jobs.forget(self)

    def export(self, kind: str) -> None:
        """The answers to the clipboard ("copy"), or their tokens to a file ("csv", "json")."""
        answers = self._answers
        if answers is None:
            return
        copies = self._playground.copies
        if kind == "copy":
            copies.table(ANSWER_COLUMNS, list(answers.answer_rows()), "answers", kind)
        else:
            copies.table(TOKEN_COLUMNS, list(answers.token_rows()), "answers", kind)

    def _continuations(self, info: ModelInfo | None) -> tuple[str, ...]:
        """What was typed, line by line, with Python's escapes; a decoder's words begin with a space."""
        lines = [unescaped(line) for line in self.params.asked.split("\n") if line][:MAX_ANSWERS]
        prompt = self._playground.prompt
        goes_on = info is not None and info.architecture is Architecture.DECODER
        if self.params.asked_spaced and goes_on and prompt and not prompt[-1].isspace():
            lines = [line if line[0].isspace() else f" {line}" for line in lines]
        return tuple(dict.fromkeys(lines))

    def _ask(self, question: Question) -> None:
        def work(session: Session, control: JobControl) -> Answers:
            scored = session.engine.score_tokens(question.prompt, question.continuations, control)
            return Answers(question, scored)

        def done(answers: Answers) -> None:
            if self._asked is not None:
                self.busy = answers.question != self._asked
                self._show(answers, "", self._asked)

        def failed(error: ErrorInfo) -> None:
            if question == self._asked:
                self.busy = False
                self._show(None, f"{error.message} {error.hint}".strip(), question)

        self._asked, self.busy = question, True
        self._jobs.submit(self, "ask", work, title="Scoring continuations", done=done, failed=failed)

    def _show(self, answers: Answers | None, message: str, asked: Question | None = None) -> None:
        if asked is None:
            self.busy = False
        self._asked = asked
        self._answers = answers
        self._view.show_answers(answers, message)


def _cannot(info: ModelInfo | None, prompt: str) -> str:
    """Why nothing can be asked; empty if it can."""
    if info is None:
        return "No model is ready yet."
    if Feature.SCORE not in info.features:
        return f"{info.name} fills masks: it gives no probability to a continuation."
    return "" if prompt else "The prompt is empty: type what the continuations follow."
