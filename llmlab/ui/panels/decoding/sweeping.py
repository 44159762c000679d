"""The tab of the sweep: one prompt over a grid of two settings and several seeds. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from llmlab.engine.errors import InputError
from llmlab.engine.sampling import GenerationSettings
from llmlab.engine.types import Feature, GenerationStep, ModelInfo
from llmlab.jobs.job import ErrorInfo, JobControl
from llmlab.ui.panel import PanelContext
from llmlab.ui.panels.decoding.params import Params
from llmlab.ui.panels.decoding.sweep_grid import METRICS, MOST_TEXTS, Axis, Grid, Swept, values_of
from llmlab.ui.panels.decoding.tabs import Playground

if TYPE_CHECKING:
    from llmlab.engine.session import Session

COLUMNS = ("seed", "tokens", "finish_reason", "log_probability", "entropy_per_token", "prompt", "completion")


@dataclass(frozen=True, slots=True)
class SweepScreen:
    """What the head of the tab shows."""

    running: bool = False
    can_run: bool = False
    note: str = ""
    has_texts: bool = False


class SweepView(Protocol):
    """What is asked of the tab."""

    def show_sweep(self, screen: SweepScreen) -> None:
        """Show the head."""

    def show_swept(self, swept: Swept | None, *, changed: bool) -> None:
        """Show the cells; `changed` while they are the same sweep's as before."""


class Sweeping:
    """Makes all texts in one job, and shows each cell when it is complete."""

    def __init__(self, context: PanelContext, playground: Playground, view: SweepView) -> None:
        self._jobs = context.jobs
        self._tell = context.notifier.error
        self._workbench = context.workbench
        self._playground = playground
        self._view = view
        self._generation = context.workbench.model.generation
        self._screen: SweepScreen | None = None
        self._problem = ""
        self.swept: Swept | None = None
        self.busy = False

    def bring(self) -> None:
        """The tab is in front: say whether it can run."""
        if self._workbench.model.generation != self._generation:
            self._generation = self._workbench.model.generation
            if self.swept is not None:
                self._jobs.cancel(self, "sweep")
                self.swept, self.busy = None, False
                self._view.show_swept(None, changed=False)
        self._show()

    def run(self, columns: tuple[str, str], rows: tuple[str, str], seeds: int) -> None:
        """Sweep over two knobs, each with its values as they were typed, and so many seeds."""
        self._problem = ""
        self.change(columns, rows, seeds)
        self.bring()
        if self._screen is None or not self._screen.can_run:
            return
        base = self._playground.params.generation
        grid, self._problem = _grid(columns, rows, seeds, base)
        if grid is not None:
            self._start(grid, base)
        self._show()

    def change(self, columns: tuple[str, str], rows: tuple[str, str], seeds: int) -> None:
        """Another grid is typed."""
        self._playground.change(sweep_columns=columns, sweep_rows=rows, sweep_seeds=seeds)

    @property
    def params(self) -> Params:
        """The grid that is set, among the other settings."""
        return self._playground.params

    def _start(self, grid: Grid, base: GenerationSettings) -> None:
        swept = self.swept = Swept(grid, self._playground.prompt, base)
        self.busy = True
        self._view.show_swept(swept, changed=False)

        def ended(_: Any = None) -> None:
            if swept is self.swept:
                self.busy = False
                self._view.show_swept(swept, changed=True)
                self._show()

        def failed(error: ErrorInfo) -> None:
            ended()
            self._tell(error)

        self._jobs.submit(
            self,
            "sweep",
            sweep(swept.prompt, grid.settings(base)),
            title="Sweeping",
            partial=lambda steps: self._add(swept, steps),
            done=ended,
            stopped=ended,
            failed=failed,
            replace_running=True,
        )

    def stop(self) -> None:
        """End it; the cells that are complete stay."""
        self._jobs.cancel(self, "sweep")

    def close(self) -> None:
        """Deliver nothing more."""
        self._jobs.forget(self)

    def export(self, kind: str) -> None:
        """Every text with its settings and measures, to a file ("csv", "json") or the clipboard ("copy")."""
        swept = self.swept
        if swept is not None:
            knobs = (swept.grid.columns.knob, swept.grid.rows.knob)
            names = (*knobs, *COLUMNS, *(f"cell_{metric}" for metric in METRICS))
            self._playground.copies.table(names, list(_rows(swept)), "sweep", kind)

    def _add(self, swept: Swept, steps: tuple[tuple[int, GenerationStep], ...]) -> None:
        if swept is not self.swept:
            return
        ended = False
        for number, step in steps:
            swept.texts[number].add(step)
            ended = ended or step.finish_reason is not None
        if ended:
            self._view.show_swept(swept, changed=True)
        self._show()

    def _show(self) -> None:
        info = self._playground.info if self._workbench.model.ready else None
        reason, swept = _cannot(info, self._playground.prompt), self.swept
        note = self._problem or reason
        if not note and swept is not None and swept.prompt != self._playground.prompt:
            note = "of another prompt"
        screen = SweepScreen(
            running=self.busy,
            can_run=not reason,
            note=note,
            has_texts=swept is not None and any(text.ids for text in swept.texts),
        )
        if screen != self._screen:
            self._screen = screen
            self._view.show_sweep(screen)


def sweep(prompt: str, settings: list[GenerationSettings]) -> Callable[[Session, JobControl], None]:
    """The work: it emits (number of the text, step)."""

    def work(session: Session, control: JobControl) -> None:
        for told in session.engine.sweep(prompt, settings, control):
            control.emit(told)

    return work


def _grid(
    columns: tuple[str, str], rows: tuple[str, str], seeds: int, base: GenerationSettings
) -> tuple[Grid | None, str]:
    """The grid that was asked for, or what is wrong with it."""
    if columns[0] == rows[0]:
        return None, "Choose two different settings."
    axes = []
    for knob, typed in (columns, rows):
        values = values_of(typed, knob)
        if values is None:
            return None, f"“{typed}” are no values of {knob}: type up to eight numbers with spaces between them."
        axes.append(Axis(knob, values))
    grid = Grid(axes[0], axes[1], seeds)
    if grid.cells * seeds > MOST_TEXTS:
        return None, f"That would be {grid.cells * seeds:,} texts; at most {MOST_TEXTS} are made at a time."
    try:
        for settings in grid.settings(base):
            settings.validated()
    except InputError as error:
        return None, f"{error.message} {error.hint}"
    return grid, ""


def _rows(swept: Swept) -> Iterator[tuple[Any, ...]]:
    for row, row_value in enumerate(swept.grid.rows.values):
        for column, column_value in enumerate(swept.grid.columns.values):
            measures = tuple(swept.value(metric, row, column) for metric in METRICS)
            for text in swept.cell(row, column):
                count = len(text.ids)
                yield (
                    column_value, row_value, text.seed, count, text.finish_reason, text.log_probability,
                    text.entropy / count if count else None, swept.prompt, text.text, *measures,
                )  # fmt: skip


def _cannot(info: ModelInfo | None, prompt: str) -> str:
    if info is None:
        return "No model is ready yet."
    if Feature.GENERATE not in info.features:
        return f"{info.name} fills masks: there is nothing to sweep over."
    return "" if prompt else "The prompt is empty."
