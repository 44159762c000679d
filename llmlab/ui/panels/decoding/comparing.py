"""The tab that decodes one prompt in several ways side by side. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Protocol

from llmlab.engine import catalog
from llmlab.engine.errors import EngineError
from llmlab.engine.sampling import GenerationSettings
from llmlab.engine.text_metrics import self_bleu
from llmlab.engine.types import Feature, ModelInfo
from llmlab.jobs.job import ErrorInfo, JobControl
from llmlab.ui.panel import PanelContext
from llmlab.ui.panels.decoding import snippet
from llmlab.ui.panels.decoding.params import Params
from llmlab.ui.panels.decoding.strategies import Column, Event, Plan, State, Strategy
from llmlab.ui.panels.decoding.tabs import Playground

if TYPE_CHECKING:
    from llmlab.engine.session import Session

ITSELF = "this model itself"
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
    drafter: str = ITSELF  # who guesses where no draft model is named


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
        self._settings: GenerationSettings | None = None  # of the columns
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
        plans = planned(self._playground.params, self._bundled_draft())
        self._set_columns(tuple(Column(plan) for plan in plans))
        columns, self._prompt, self._settings, self.busy = self.columns, prompt, settings, True

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

    def change(self, **changes: Any) -> None:
        """Other numbers of samples, beams or guesses, another draft model, other ways."""
        self._playground.change(**changes)

    @property
    def params(self) -> Params:
        """What is set now."""
        return self._playground.params

    def copy_text(self, index: int) -> None:
        """The text of a column to the clipboard."""
        self._playground.desk.copy(self.columns[index].text)

    def copy_python(self, index: int) -> None:
        """A script that writes the same text, to the clipboard."""
        info = self._playground.info
        if info is not None and self._settings is not None:
            script = snippet.strategy(info, self._prompt, self.columns[index].plan, self._settings)
            self._playground.desk.copy(script)

    def close(self) -> None:
        """Deliver nothing more."""
        self._jobs.forget(self)

    def export(self, kind: str) -> None:
        """All columns to a file ("csv", "json") or the clipboard ("copy")."""
        if self.columns:
            rows = [_row(column, self._prompt) for column in self.columns]
            self._playground.copies.table(COLUMNS, rows, "strategies", kind)

    def _add(self, columns: tuple[Column, ...], events: tuple[tuple[int, Event | ErrorInfo | None], ...]) -> None:
        if columns is not self.columns:
            return
        touched = set()
        for index, event in events:
            touched.add(index)
            if event is None:
                columns[index].state = State.FINISHED
            elif isinstance(event, ErrorInfo):
                columns[index].state, columns[index].problem = State.FAILED, f"{event.message} {event.hint}"
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
            drafter=self._bundled_draft() or ITSELF,
        )
        if screen != self._screen:
            self._screen = screen
            self._view.show_comparison(screen)

    def _bundled_draft(self) -> str | None:
        """The bundled model that was made to guess for the open one."""
        info = self._playground.info
        return None if info is None else catalog.draft_for(info.request.spec)

    def _note(self, reason: str) -> str:
        if not self.columns:
            return reason
        if self.busy:
            return ""
        samples = [column.ids for column in self.columns if column.plan.strategy is Strategy.SAMPLE and column.told]
        alike = self_bleu(samples)
        parts = ["of another prompt"] if self._prompt != self._playground.prompt else []
        if alike is not None:
            parts.append(f"self-BLEU {alike:.3f} of the {len(samples)} samples")
        return " · ".join([*parts, "underlined: three tokens that came before"])


def planned(params: Params, draft: str | None = None) -> tuple[Plan, ...]:
    """Which columns there will be; `draft` guesses where the parameters name no draft model.

    A temperature of 0 leaves nothing to draw, so there is one sample then.
    """
    cold = params.temperature == 0
    seed = params.seed if params.do_sample and not cold else None
    plans: dict[Strategy, tuple[Plan, ...]] = {
        Strategy.GREEDY: (Plan(Strategy.GREEDY),),
        Strategy.SAMPLE: tuple(Plan(Strategy.SAMPLE, params.seed + i) for i in range(1 if cold else params.samples)),
        Strategy.BEAMS: (Plan(Strategy.BEAMS, beams=params.beams),),
        Strategy.BEAM_SAMPLE: () if cold else (Plan(Strategy.BEAM_SAMPLE, params.seed, params.beams),),
        Strategy.LOOKUP: (Plan(Strategy.LOOKUP),),
        Strategy.ASSISTED: (Plan(Strategy.ASSISTED, seed, draft=params.draft or draft, guesses=params.guesses),),
    }
    return tuple(plan for strategy in Strategy if strategy in params.ways for plan in plans[strategy])


def comparison(
    prompt: str, plans: tuple[Plan, ...], settings: GenerationSettings
) -> Callable[[Session, JobControl], None]:
    """The work of all columns. It emits (column, event), and (column, None) where one has ended.

    Where the draft model cannot be used its column has (column, error), and the others go on.
    """

    def work(session: Session, control: JobControl) -> None:
        for number, plan in enumerate(plans):
            control.report(f"{plan.title}, {number + 1} of {len(plans)}", number / len(plans))
            try:
                for event in _events(session, prompt, plan, settings, control):
                    control.emit((number, event))
            except EngineError as error:
                if plan.strategy is not Strategy.ASSISTED:
                    raise
                control.emit((number, ErrorInfo.of(error)))  # of the draft model: the others do not need it
            else:
                control.emit((number, None))

    return work


def _events(
    session: Session, prompt: str, plan: Plan, settings: GenerationSettings, control: JobControl
) -> Iterator[Event]:
    engine, room = session.engine, settings.max_new_tokens
    drawn = plan.strategy in (Strategy.SAMPLE, Strategy.BEAM_SAMPLE) or plan.seed is not None
    sampling = replace(settings.sampling, do_sample=drawn)
    knobs = {knob.name: getattr(sampling, knob.name) for knob in fields(sampling)}
    if plan.strategy is Strategy.BEAMS:
        return engine.beam_search(prompt, num_beams=plan.beams, max_new_tokens=room, control=control)
    if plan.strategy is Strategy.LOOKUP:
        return engine.prompt_lookup(prompt, max_new_tokens=room, control=control)
    seed = plan.seed or 0
    if plan.strategy is Strategy.BEAM_SAMPLE:
        return engine.beam_search(
            prompt, num_beams=plan.beams, max_new_tokens=room, seed=seed, control=control, **knobs
        )
    if plan.strategy is Strategy.ASSISTED:
        return engine.assisted(
            prompt,
            draft=plan.draft,
            num_tokens=plan.guesses,
            max_new_tokens=room,
            seed=seed,
            control=control,
            **knobs,
        )
    return engine.generate(
        prompt,
        max_new_tokens=room,
        seed=seed,
        stop=settings.stop,
        overflow=settings.overflow,
        cuda_graphs=settings.cuda_graphs,
        control=control,
        **knobs,
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
