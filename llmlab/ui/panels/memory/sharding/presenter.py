"""What the tab of real sharding does. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from llmlab.engine.sharding.types import MethodResult, ShardingRequest, ShardingRun
from llmlab.jobs.job import ErrorInfo, JobControl
from llmlab.ui.panel import Desk, PanelContext
from llmlab.ui.panels.memory.sharding import figures
from llmlab.ui.panels.memory.sharding.params import Params
from llmlab.ui.presenter import PanelPresenter
from llmlab.ui.screen import Kind, Stage

if TYPE_CHECKING:
    from llmlab.engine.progress import Progress

READY = Stage(Kind.READY)
START = Stage(
    Kind.EMPTY,
    "Share a model out, for real",
    "A few processes on this computer train the bundled decoder together for a few steps, with each method in turn. "
    "What every rank really holds and sends stands beside what the formulas say.",
    actions=(("Run", "run"),),
)


@dataclass(frozen=True, slots=True)
class Screen:
    """What stands around the pictures. `stale`: the settings are others than those of the run that is shown."""

    stage: Stage
    running: bool = False
    can_run: bool = True
    stale: bool = False
    progress: str = ""
    fraction: float | None = None


class ShardingView(Desk, Protocol):
    """What is asked of the tab's widget."""

    def show_screen(self, screen: Screen) -> None:
        """Show what stands around the pictures."""

    def show_params(self, params: Params) -> None:
        """Show the settings."""

    def show_results(self, results: tuple[MethodResult, ...], run: ShardingRun | None) -> None:
        """Show what is known so far; `run` once it has ended."""


class Sharding:
    """Runs all methods when asked, beside the model that is open, and shows each as soon as it is done."""

    def __init__(
        self, context: PanelContext, panel: PanelPresenter, page: ShardingView, saved: Mapping[str, Any]
    ) -> None:
        self._asking, self._view = panel.asking, page
        self.params = Params.from_dict(saved)
        self.results: tuple[MethodResult, ...] = ()
        self.found: ShardingRun | None = None
        self._asked: ShardingRequest | None = None  # of what is shown
        self._stage: Stage | None = None  # of the work before its first result, or its failure
        self._progress_text = ""
        self._fraction: float | None = None
        self._turn = 0  # a run that was stopped says nothing more
        self._running = False
        self._screen: Screen | None = None
        page.show_params(self.params)

    @property
    def busy(self) -> bool:
        """Whether processes are running."""
        return self._running

    def bring(self) -> None:
        """The tab is in front."""
        self._show()

    def save(self) -> dict[str, Any]:
        """The settings to find again."""
        return self.params.to_dict()

    def close(self) -> None:
        """Deliver nothing more; the processes end."""
        self._asking.forget(self)

    def change(self, changes: Mapping[str, Any]) -> None:
        """Other settings; nothing runs until it is asked for."""
        self.params = replace(self.params, **changes)
        self._show()

    def run(self) -> None:
        """Start the processes."""
        if self._running or not self.params.methods:
            return
        self._turn += 1
        self._asked = self.params.request
        self._running, self.results, self.found = True, (), None
        self._stage = Stage(Kind.LOADING, "Starting the processes")
        self._progress_text = ""
        self._fraction = None
        self._asking.beside(
            self,
            "run",
            _work(self._asked),
            self._of_this_turn(self._came),
            self._of_this_turn(self._failed),
            self._of_this_turn(self._progress),
            self._of_this_turn(self._partial),
        )
        self._show()

    def stop(self) -> None:
        """End the processes; the methods that are done stay."""
        if self._running:
            self._asking.cancel(self, "run")
            self._turn += 1
            self._running, self._stage = False, None
            self._show()

    def act(self, name: str) -> None:
        """A button in the pictures' place."""
        if name == "run":
            self.run()

    def export(self, kind: str) -> None:
        """All figures: "copy" to the clipboard, "csv" or "json" to a file; "python" is a script."""
        if kind == "python":
            self._view.copy(figures.snippet(self._asked or self.params.request))
        elif not self.results:
            return
        elif kind == "copy":
            self._view.copy(figures.table_text(self.results, "\t"))
        elif kind == "csv" or self.found is not None:
            whole = self.found if kind == "json" else None
            text = figures.table_text(self.results) if whole is None else figures.json_text(whole)
            self._view.ask_path(f"sharding.{kind}", (kind,), lambda path: self._asking.write(path, lambda: text))

    def _of_this_turn(self, answer: Callable[[Any], None]) -> Callable[[Any], None]:
        turn = self._turn
        return lambda value: answer(value) if turn == self._turn else None

    def _partial(self, parts: tuple[MethodResult, ...]) -> None:
        self.results += parts
        self._stage = None
        self._view.show_results(self.results, None)
        self._show()

    def _came(self, found: ShardingRun) -> None:
        self._running, self._stage = False, None
        self.found, self.results = found, found.results
        self._view.show_results(self.results, found)
        self._show()

    def _failed(self, error: ErrorInfo) -> None:
        self._running = False
        self._stage = Stage(Kind.ERROR, error.message, error.hint, actions=(("Run again", "run"),))
        self._show()

    def _progress(self, progress: Progress) -> None:
        self._progress_text, self._fraction = progress.text, progress.fraction
        if self._stage is not None:
            self._stage = Stage(Kind.LOADING, self._stage.title, progress.text, fraction=progress.fraction)
        self._show()

    def _show(self) -> None:
        stage = self._stage or (READY if self.results else START)
        screen = Screen(
            stage,
            self._running,
            bool(self.params.methods),
            bool(self.results) and self._asked != self.params.request,
            self._progress_text if self._running else "",
            self._fraction if self._running else None,
        )
        if screen != self._screen:
            self._screen = screen
            self._view.show_screen(screen)


def _work(request: ShardingRequest) -> Callable[[JobControl], ShardingRun]:
    def work(control: JobControl) -> ShardingRun:
        from llmlab.engine.sharding import run

        return run(request, control, control.emit)

    return work
