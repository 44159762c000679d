"""What the tab "Measure" does. No Qt."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from llmlab.engine.errors import InputError
from llmlab.engine.shots.summary import Judge
from llmlab.engine.types import ModelInfo
from llmlab.jobs.job import ErrorInfo
from llmlab.ui.panel import Desk, PanelContext
from llmlab.ui.panels.shots.built import shots_of
from llmlab.ui.panels.shots.measure import report
from llmlab.ui.panels.shots.measure.found import Found, found
from llmlab.ui.panels.shots.measure.params import Comparison, Params
from llmlab.ui.panels.shots.measure.run import Request, Run, Variant, work
from llmlab.ui.screen import Kind, Stage, without_model

if TYPE_CHECKING:
    from llmlab.engine.progress import Progress
    from llmlab.ui.panels.shots.presenter import ShotsPresenter

READY = Stage(Kind.READY)
EVERY = 0.2  # seconds between two pictures while outcomes come in
NOTHING = Stage(Kind.EMPTY, "Nothing is built yet", "Write a prompt in the tab Build, or open a sample there.")
NO_ITEMS = Stage(
    Kind.EMPTY,
    "There is no test set yet",
    "Open a file in the tab Build and take its rows as test items, or open a sample.",
)
STARTS = {
    Comparison.SWEEP: (
        "How much do shots help?",
        "Every item is asked with 0, 1, 2, 4 … shots, drawn several times.",
    ),
    Comparison.ORDER: ("Does their order matter?", "Every item is asked with the shots in every order, or 24 of them."),
    Comparison.LEAVE_ONE_OUT: (
        "What does each shot do?",
        "Every item is asked with all shots, and with one less.",
    ),
    Comparison.SWAP: ("Are the shots' labels read?", "The shots' labels are exchanged, drawn at random, and left out."),
    Comparison.VARIANTS: ("Which prompt is better?", "Keep the prompt of the moment as A, change it, and compare."),
}


@dataclass(frozen=True, slots=True)
class Screen:
    """What stands around the picture. `stale`: the settings are others than those that were measured."""

    stage: Stage
    params: Params
    running: bool = False
    can_run: bool = False
    resumes: bool = False
    stale: bool = False
    has_labels: bool = True
    items: int = 0
    shots: int = 0
    examples: int = 0
    variant: str = ""
    can_calibrate: bool = True
    uncalibrated: int = 0  # outcomes that are shown as they are, although calibrated ones are asked for


class MeasureView(Desk, Protocol):
    """What is asked of the tab's widget."""

    def show_screen(self, screen: Screen) -> None:
        """Show what stands around the picture."""

    def show_found(self, shown: Found | None) -> None:
        """Show a measurement as far as it has come."""

    def svg(self) -> str:
        """The chart as a drawing."""


class Measuring:
    """Measures when asked, keeps what is done of each test, and goes on where it was stopped."""

    def __init__(
        self, context: PanelContext, panel: ShotsPresenter, page: MeasureView, saved: Mapping[str, Any]
    ) -> None:
        self._bench, self._asking, self._panel, self._view = context.workbench, panel.asking, panel, page
        self._built = panel.built
        self.params = Params.from_dict(saved)
        self.runs: dict[Comparison, Run] = {}
        self.variant: Variant | None = None
        self.found: Found | None = None
        self._chosen = ""
        self._running: Comparison | None = None
        self._generation = -1
        self._stage: Stage | None = None
        self._screen: Screen | None = None
        self._shown_at = 0.0
        self._brought = False
        self._disconnect = self._built.changed.connect(lambda _: self._changed())

    @property
    def busy(self) -> bool:
        """Whether a measurement is under way."""
        return self._running is not None

    @property
    def is_measured(self) -> bool:
        """Whether everything that the settings ask for is there."""
        run = self._run
        return run is not None and run.complete(self._calibrates) and run.request == self._request

    def bring(self) -> None:
        """The tab is in front, or the model or what is built has changed."""
        self._brought = True
        if self._bench.model.generation != self._generation:
            self._generation = self._bench.model.generation
            self._asking.cancel(self, "measure")
            self.runs, self._running, self._stage = {}, None, None
        self._show_found()
        self._show()

    def save(self) -> dict[str, Any]:
        """The settings to find again."""
        return self.params.to_dict()

    def close(self) -> None:
        """Deliver nothing more."""
        self._disconnect()
        self._asking.forget(self)

    # --- what the user does ---------------------------------------------------------------------------------------

    def change(self, changes: Mapping[str, Any]) -> None:
        """Other settings: how outcomes are read takes effect at once, what is measured at the next run."""
        self.params = replace(self.params, **changes)
        self._stage = None if self._running is None else self._stage
        self._show_found()
        self._show()

    def choose(self, key: str) -> None:
        """List the items of another condition."""
        self._chosen = key
        self._show_found()

    def keep_variant(self) -> None:
        """Put the prompt of the moment aside as A."""
        project = self._built.project
        shots = shots_of(project)
        self.variant = Variant(f"{project.name or 'the prompt'}, {len(shots)} shots", project.spec, shots)
        self._show()

    def run(self) -> None:
        """Measure, or go on with what was stopped."""
        if self._screen is None or not self._screen.can_run:
            return
        request = self._request
        run = self._run
        if run is None or run.request != request or run.complete(self._calibrates):
            run = Run(request)
            self.runs[self.params.test] = run
        self._running, self._stage = self.params.test, Stage(Kind.LOADING, "Measuring")
        self._asking.engine(
            self,
            "measure",
            work(request, run.results.known, self._calibrates),
            lambda _: self._ended(None),
            title="Measuring",
            failed=self._failed,
            stopped=lambda: self._ended(None),
            progress=self._progress,
            partial=lambda parts: self._add(run, parts),
        )
        self._show_found()
        self._show()

    def stop(self) -> None:
        """End it; what is there stays, and “Go on” measures the rest."""
        self._asking.cancel(self, "measure")

    def act(self, name: str) -> None:
        """A button in the picture's place."""
        {"run": self.run, "keep": self.keep_variant}[name]()

    def export(self, kind: str) -> None:
        """Every outcome ("copy", "csv", "json"), a report with the chart ("md", "html"), or a script ("python")."""
        run, info, shown = self._run, self._info, self.found
        if info is None:
            return
        if kind == "python":
            self._view.copy(report.script(info, self._request, self.params))
        elif run is None or shown is None:
            return
        elif kind == "copy":
            self._view.copy(report.table(run, self._judge, "\t"))
        else:
            text = report.text(kind, run, self._judge, shown, info, self._view.svg())
            name = f"shots-{run.request.test.name.lower().replace('_', '-')}.{kind}"
            self._view.ask_path(name, (kind,), lambda path: self._asking.write(path, lambda: text))

    # --- what comes back ------------------------------------------------------------------------------------------

    def _changed(self) -> None:
        if self._brought and self._panel.front is self:
            self.bring()

    def _add(self, run: Run, parts: tuple[Any, ...]) -> None:
        for part in parts:
            run.add(part)
        if run is self._run and time.monotonic() - self._shown_at >= EVERY:
            self._show_found()
            self._show()

    def _progress(self, progress: Progress) -> None:
        if self._running is not None and self.found is None:
            self._stage = Stage(Kind.LOADING, "Measuring", progress.text, fraction=progress.fraction)
            self._show()

    def _ended(self, stage: Stage | None) -> None:
        self._running, self._stage = None, stage
        self._show_found()
        self._show()

    def _failed(self, error: ErrorInfo) -> None:
        self._ended(Stage(Kind.ERROR, error.message, error.hint, actions=(("Measure again", "run"),)))

    # --- what is shown --------------------------------------------------------------------------------------------

    @property
    def _info(self) -> ModelInfo | None:
        return self._bench.model.info if self._bench.model.ready else None

    @property
    def _request(self) -> Request:
        return Request.of(self._built.project, self.params, self.variant)

    @property
    def _run(self) -> Run | None:
        """What is known of the test that is chosen, as long as the items are the same."""
        run = self.runs.get(self.params.test)
        return run if run is not None and run.request.asks_the_same(self._request) else None

    @property
    def _calibrates(self) -> bool:
        return self.params.calibrate and self._request.can_calibrate

    @property
    def _judge(self) -> Judge:
        run = self._run
        return self.params.judge((run.request if run is not None else self._request).has_labels)

    def _show_found(self) -> None:
        run = self._run
        try:
            self.found = found(run, self._judge, self._chosen) if run is not None else None
        except InputError as error:  # the pattern
            self.found = None
            self._stage = Stage(Kind.ERROR, error.message, error.hint)
        self._shown_at = time.monotonic()
        self._view.show_found(self.found)

    def _show(self) -> None:
        request, run = self._request, self._run
        running = self._running is not None
        stage = self._stage_now(request)
        good = self._info is not None and bool(request.spec.template) and bool(request.items)
        same = run is not None and run.request == request
        screen = Screen(
            stage=stage,
            params=self.params,
            running=running,
            can_run=good and not running,
            resumes=same and run is not None and bool(run.results.count) and not run.complete(self._calibrates),
            stale=run is not None and not same,
            has_labels=request.has_labels,
            items=len(request.items),
            shots=len(shots_of(self._built.project)),
            examples=len(self._built.project.examples),
            variant=self.variant.name if self.variant else "",
            can_calibrate=request.can_calibrate,
            uncalibrated=run.uncalibrated if run is not None and self._calibrates and not running else 0,
        )
        if screen != self._screen:
            self._screen = screen
            self._view.show_screen(screen)

    def _stage_now(self, request: Request) -> Stage:
        if self._info is None:
            return without_model(self._bench.model)
        if self._stage is not None and (self._stage.kind is Kind.ERROR or self.found is None):
            return self._stage
        if self.found is not None:
            return READY
        if not request.spec.template:
            return NOTHING
        if not request.items:
            return NO_ITEMS
        title, text = STARTS[request.test]
        first = (
            ("Keep as A", "keep")
            if request.test is Comparison.VARIANTS and self.variant is None
            else ("Measure", "run")
        )
        return Stage(Kind.EMPTY, title, f"{text} {self._size(request)}", actions=(first,))

    def _size(self, request: Request) -> str:
        used = request.pool if request.test is Comparison.SWEEP else shots_of(self._built.project)
        kind = "examples to draw from" if request.test is Comparison.SWEEP else "shots"
        return f"{len(request.items):,} items, {len(used):,} {kind}."
