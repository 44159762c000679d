"""What the tab of measurements does. No Qt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from llmlab.engine.memory_measure.types import Measurement, MeasureSettings
from llmlab.engine.types import ModelInfo
from llmlab.jobs.job import ErrorInfo, JobControl
from llmlab.ui.panel import Desk, PanelContext
from llmlab.ui.panels.memory.measured import figures
from llmlab.ui.panels.memory.measured.params import Params
from llmlab.ui.presenter import PanelPresenter
from llmlab.ui.screen import Fact, Kind, Stage, without_model
from llmlab.ui.words import size

if TYPE_CHECKING:
    from llmlab.engine.engine import Engine
    from llmlab.engine.progress import Progress

READY = Stage(Kind.READY)
START = Stage(
    Kind.EMPTY,
    "Hold the calculator against this model",
    "The model reads some tokens and writes a few more, while every tensor is followed. What it really takes stands "
    "beside what the formulas say.",
    actions=(("Measure", "measure"),),
)


@dataclass(frozen=True, slots=True)
class Screen:
    """What stands around the picture. `stale`: the settings are others than those that were measured."""

    stage: Stage
    running: bool = False
    can_run: bool = False
    stale: bool = False
    can_train: bool = True
    why_not: str = ""  # it cannot be trained
    facts: tuple[Fact, ...] = ()


class MeasuredView(Desk, Protocol):
    """What is asked of the tab's widget."""

    def show_screen(self, screen: Screen) -> None:
        """Show what stands around the picture."""

    def show_params(self, params: Params) -> None:
        """Show the settings."""

    def show_measurement(self, found: Measurement | None, phase: int) -> None:
        """Show one phase of a measurement, or nothing."""


class Measuring:
    """Measures the open model when asked, and forgets what was measured when another one is opened."""

    def __init__(
        self, context: PanelContext, panel: PanelPresenter, page: MeasuredView, saved: Mapping[str, Any]
    ) -> None:
        self._bench, self._asking, self._view = context.workbench, panel.asking, page
        self.params = Params.from_dict(saved)
        self.found: Measurement | None = None
        self._generation = -1
        self._stage: Stage | None = None  # of the work or its failure; None: what the model's state says
        self._screen: Screen | None = None
        self._running = False
        page.show_params(self.params)

    @property
    def busy(self) -> bool:
        """Whether a measurement is under way."""
        return self._running

    def bring(self) -> None:
        """The tab is in front, or the model has changed."""
        if self._bench.model.generation != self._generation:
            self._generation = self._bench.model.generation
            if self._running:
                self._asking.cancel(self, "measure")
            self.found, self._stage, self._running = None, None, False
            self._view.show_measurement(None, 0)
        self._show()

    def save(self) -> dict[str, Any]:
        """The settings to find again."""
        return self.params.to_dict()

    def close(self) -> None:
        """Deliver nothing more."""
        self._asking.forget(self)

    def change(self, changes: Mapping[str, Any]) -> None:
        """Other settings; nothing is measured until it is asked for."""
        self.params = replace(self.params, **changes)
        self._show()

    def choose_phase(self, phase: str) -> None:
        """Show another phase."""
        self.params = replace(self.params, phase=phase)
        self._show_found()

    def run(self) -> None:
        """Measure."""
        info = self._info
        if info is None or self._running:
            return
        settings = replace(self.params, train=self.params.train and info.quantization is None).settings
        self._running = True
        self._stage = Stage(Kind.LOADING, "Measuring")
        self._asking.engine(
            self,
            "measure",
            _work(settings),
            self._came,
            title="Measuring memory",
            failed=self._failed,
            stopped=self._stopped,
            progress=self._progress,
        )
        self._show()

    def stop(self) -> None:
        """End it; what was measured before stays."""
        self._asking.cancel(self, "measure")

    def act(self, name: str) -> None:
        """A button in the picture's place."""
        if name == "measure":
            self.run()

    def export(self, kind: str) -> None:
        """All phases: "copy" to the clipboard, "csv" or "json" to a file; "python" is a script."""
        info, found = self._info, self.found
        if kind == "python" and info is not None:
            self._view.copy(figures.snippet(self.params, info))
        elif found is None or info is None:
            return
        elif kind == "copy":
            self._view.copy(figures.table_text(found, "\t"))
        else:
            text = figures.table_text(found) if kind == "csv" else figures.json_text(found, info)
            self._view.ask_path(f"memory-measured.{kind}", (kind,), lambda path: self._asking.write(path, lambda: text))

    @property
    def _info(self) -> ModelInfo | None:
        return self._bench.model.info if self._bench.model.ready else None

    def _came(self, found: Measurement) -> None:
        self._running, self._stage, self.found = False, None, found
        self._show_found()
        self._show()

    def _failed(self, error: ErrorInfo) -> None:
        self._running = False
        self._stage = Stage(Kind.ERROR, error.message, error.hint, actions=(("Measure again", "measure"),))
        self._show()

    def _stopped(self) -> None:
        self._running, self._stage = False, None
        self._show()

    def _progress(self, progress: Progress) -> None:
        if self._running:
            self._stage = Stage(Kind.LOADING, "Measuring", progress.text, fraction=progress.fraction)
            self._show()

    def _show_found(self) -> None:
        if self.found is not None:
            names = [phase.name for phase in self.found.phases]
            wanted = self.params.phase
            self._view.show_measurement(self.found, names.index(wanted) if wanted in names else 0)

    def _show(self) -> None:
        info = self._info
        if info is None:
            stage = without_model(self._bench.model, hint="Open one above, and its memory can be measured.")
        else:
            stage = self._stage or (READY if self.found is not None else START)
        screen = Screen(
            stage,
            self._running,
            info is not None and not self._running,
            self.found is not None and self.found.settings != self._wanted(info),
            *_training(info),
            _facts(self.found),
        )
        if screen != self._screen:
            self._screen = screen
            self._view.show_screen(screen)

    def _wanted(self, info: ModelInfo | None) -> MeasureSettings:
        can_train, _ = _training(info)
        return replace(self.params, train=self.params.train and can_train).settings


def _work(settings: MeasureSettings) -> Any:
    def work(engine: Engine, control: JobControl) -> Measurement:
        from llmlab.engine.memory_measure import measure

        return measure(engine.loaded, settings, control)

    return work


def _training(info: ModelInfo | None) -> tuple[bool, str]:
    """Whether a training step can be measured, and why not."""
    if info is not None and info.quantization is not None:
        return False, "Quantized weights cannot be trained: open the model without a quantization."
    return True, ""


def _facts(found: Measurement | None) -> tuple[Fact, ...]:
    if found is None:
        return ()
    last = max(phase.process for phase in found.phases)
    facts = [
        Fact("Weights", size(float(found.phases[0].curves[0].bytes[0])), "All parameters and buffers, each once"),
        Fact("Process before", size(found.process_before), "What the program held in main memory (RSS) beforehand"),
        Fact("Process at most", size(last), "The most that it held meanwhile, sampled every 5 ms"),
    ]
    if found.unused is not None and found.outside is not None:
        facts += [
            Fact("Kept unused", size(found.unused), "What torch's allocator keeps on the GPU beyond all tensors"),
            Fact("Outside", size(found.outside), "The CUDA context, and other programs on the GPU"),
        ]
    return tuple(facts)
