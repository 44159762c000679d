"""The tab that decodes one prompt in several ways side by side. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Protocol

from llmlab.engine.sampling import GenerationSettings
from llmlab.engine.text_metrics import self_bleu
from llmlab.engine.types import Feature, ModelInfo
from llmlab.jobs.job import ErrorInfo, JobControl
from llmlab.ui.panel import PanelContext
from llmlab.ui.panels.decoding.strategies import Column, Event, Plan, State, Strategy
from llmlab.ui.panels.decoding.tabs import Playground

if TYPE_CHECKING:
    from llmlab.engine.session import Session

MOST_SAMPLES = 8
MOST_BEAMS = 16
COLUMNS = (
    "strategy", "tokens", "tokens_per_second", "log_probability", "perplexity", "score", "distinct_1", "distinct_2",
    "repeated_3_gram_share", "accepted_share", "prompt", "completion",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ComparisonScreen:
    """What the head of the tab shows."""

    running: bool = False
    can_run: bool = False
    reason: str = ""  # why it cannot
    note: str = ""
    has_columns: bool = False


class ComparisonView(Protocol):
    """What is asked of the tab."""

    def show_comparison(self, screen: ComparisonScreen) -> None:
        """Show the head."""

    def show_columns(self, columns: tuple[Column, ...]) -> None:
        """Other columns, empty still."""

    def update_column(self, index: int, column: Column) -> None:
        """A column has grown or ended."""


class Comparing:
    """Makes all columns in one job, one after another, and shows them while they grow."""

    def __init__(self, context: PanelContext, playground: Playground, view: ComparisonView) -> None:
        self._jobs = context.jobs
        self._failed_to = context.notifier.error
        self._workbench = context.workbench
        self._playground = playground
        self._view = view
        self._generation = context.workbench.model.generation
        self._screen: ComparisonScreen | None = None
        self._prompt = ""
        self.samples, self.beams = 3, 4
        self.columns: tuple[Column, ...] = ()
        self.busy = False

    def bring(self) -> None:
        """The tab is in front: say whether it can run."""
        if self._workbench.model.generation != self._generation:
            self._generation = self._workbench.model.generation
            self._set_columns(())
        self._show()

    def run(self) -> None:
        """Decode the prompt in every way."""
        self.bring()
        if not self._screen or not self._screen.can_run:
            return
        settings, prompt = self._playground.params.generation, self._playground.prompt
        plans = planned(settings, self.samples, self.beams)
        self._set_columns(tuple(Column(plan) for plan in plans))
        columns, self._prompt, self.busy = self.columns, prompt, True

        def ended(_: Any = None) -> None:
            if columns is self.columns:
                self.busy = False
                for index, column in enumerate(columns):
                    if column.state in (State.RUNNING, State.WAITING):
                        column.state = State.STOPPED
                        self._view.update_column(index, column)
                self._show()

        def failed(error: ErrorInfo) -> None:
            ended()
            self._failed_to(error)

        self._jobs.submit(
            self,
            "compare",
            comparison(prompt, plans, settings),
            title="Comparing strategies",
            partial=lambda events: self._add(columns, events),
            done=ended,
            stopped=ended,
            failed=failed,
            replace_running=True,
        )
        self._show()

    def stop(self) -> None:
        """End it; what is there stays."""
        self._jobs.cancel(self, "compare")

    def change(self, **counts: int) -> None:
        """So many samples, so many beams."""
        self.samples = counts.get("samples", self.samples)
        self.beams = counts.get("beams", self.beams)

    def close(self) -> None:
        """Deliver nothing more."""
        self._jobs.forget(self)

    def export(self, kind: str) -> None:
        """All columns to a file ("csv", "json") or the clipboard ("copy")."""
        if self.columns:
            rows = [_row(column, self._prompt) for column in self.columns]
            self._playground.copies.table(COLUMNS, rows, "strategies", kind)

    def _add(self, columns: tuple[Column, ...], events: tuple[tuple[int, Event | None], ...]) -> None:
        if columns is not self.columns:
            return
        touched = set()
        for index, event in events:
            touched.add(index)
            if event is None:
                columns[index].state = State.FINISHED
            else:
                columns[index].add(event)
        for index in sorted(touched):
            self._view.update_column(index, columns[index])
        self._show()

    def _set_columns(self, columns: tuple[Column, ...]) -> None:
        if columns or self.columns:
            self._jobs.cancel(self, "compare")
            self.columns, self.busy = columns, False
            self._view.show_columns(columns)

    def _show(self) -> None:
        reason = _cannot(self._playground.info if self._workbench.model.ready else None, self._playground.prompt)
        screen = ComparisonScreen(
            running=self.busy,
            can_run=not reason,
            reason=reason,
            note=self._note(reason),
            has_columns=any(column.told for column in self.columns),
        )
        if screen != self._screen:
            self._screen = screen
            self._view.show_comparison(screen)

    def _note(self, reason: str) -> str:
        if not self.columns:
            return reason
        if self.busy:
            return ""
        samples = [column.ids for column in self.columns if column.plan.strategy is Strategy.SAMPLE and column.told]
        alike = self_bleu(samples)
        parts = ["of another prompt"] if self._prompt != self._playground.prompt else []
        if alike is not None:
            parts.append(f"self-BLEU of the {len(samples)} samples {alike:.3f}")
        return " · ".join([*parts, "underlined: three tokens that came before"])


def planned(settings: GenerationSettings, samples: int, beams: int) -> tuple[Plan, ...]:
    """Which columns there will be. A temperature of 0 leaves nothing to draw, so there is one sample then."""
    first = settings.seed
    draws = 1 if settings.sampling.temperature == 0 else samples
    return (
        Plan(Strategy.GREEDY),
        *(Plan(Strategy.SAMPLE, first + i) for i in range(draws)),
        Plan(Strategy.BEAMS, beams),
        Plan(Strategy.LOOKUP),
    )


def comparison(
    prompt: str, plans: tuple[Plan, ...], settings: GenerationSettings
) -> Callable[[Session, JobControl], None]:
    """The work of all columns. It emits (column, event), and (column, None) where one has ended."""

    def work(session: Session, control: JobControl) -> None:
        for number, plan in enumerate(plans):
            control.report(f"{plan.title}, {number + 1} of {len(plans)}", number / len(plans))
            for event in _events(session, prompt, plan, settings, control):
                control.emit((number, event))
            control.emit((number, None))

    return work


def _events(
    session: Session, prompt: str, plan: Plan, settings: GenerationSettings, control: JobControl
) -> Iterator[Event]:
    engine, room = session.engine, settings.max_new_tokens
    if plan.strategy is Strategy.BEAMS:
        return engine.beam_search(prompt, num_beams=plan.number, max_new_tokens=room, control=control)
    if plan.strategy is Strategy.LOOKUP:
        return engine.prompt_lookup(prompt, max_new_tokens=room, control=control)
    sampling = replace(settings.sampling, do_sample=plan.strategy is Strategy.SAMPLE)
    return engine.generate(
        prompt,
        max_new_tokens=room,
        seed=plan.number,
        stop=settings.stop,
        overflow=settings.overflow,
        control=control,
        **{knob.name: getattr(sampling, knob.name) for knob in fields(sampling)},
    )


def _row(column: Column, prompt: str) -> tuple[Any, ...]:
    return (
        column.plan.title,
        len(column.tokens),
        column.tokens_per_second,
        column.log_probability,
        column.perplexity,
        column.score,
        column.distinct(1),
        column.distinct(2),
        column.repeated_share,
        column.accepted_share,
        prompt,
        column.text,
    )


def _cannot(info: ModelInfo | None, prompt: str) -> str:
    if info is None:
        return "No model is ready yet."
    if Feature.GENERATE not in info.features:
        return f"{info.name} fills masks: there is nothing to decode."
    return "" if prompt else "The prompt is empty."
