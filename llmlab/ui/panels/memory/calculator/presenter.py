"""What the calculator does. No Qt: the page is a protocol."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmlab.engine.errors import EngineError
from llmlab.engine.memory.hardware import Gpu
from llmlab.engine.memory.shape import ModelShape
from llmlab.engine.memory.terms import Estimate
from llmlab.jobs.job import ErrorInfo
from llmlab.ui.panel import PanelContext
from llmlab.ui.panels.memory.calculator import export, facts, phases, pictures, snippet, work
from llmlab.ui.panels.memory.calculator.decode_speed import DecodeSpeed
from llmlab.ui.panels.memory.calculator.gpu_choice import GpuChoice
from llmlab.ui.panels.memory.calculator.params import (
    FIRST,
    MARKED,
    MOST_MARKED,
    MOST_OPENED,
    OPENED,
    PAGES,
    Params,
)
from llmlab.ui.panels.memory.calculator.screen import Page, Picture, sources
from llmlab.ui.screen import Kind, Stage
from llmlab.ui.shell import drops
from llmlab.workbench import Status

if TYPE_CHECKING:
    from llmlab.engine.memory.sources import Described
    from llmlab.engine.memory.speed import MeasuredSpeed
    from llmlab.engine.progress import Progress
    from llmlab.ui.tabbed import TabbedPresenter

READY = Stage(Kind.READY)
CANCEL = (("Cancel", "cancel"),)
ABOUT = {
    "phases": "training",
    "sharing": "training",
    "speed": "inference",
}  # pages that make sense for one purpose only


class Calculator:
    """Keeps the pictures in step with the settings: every sum is made at once, in the time of a frame."""

    def __init__(self, context: PanelContext, panel: TabbedPresenter, page: Page, saved: Mapping[str, Any]) -> None:
        self._bench, self._panel, self._page = context.workbench, panel, page
        self._asking = panel.asking
        self.params = _in_agreement(Params.from_dict(saved), page_asked=True)
        self._gpus = GpuChoice(saved.get("gpu_table"))
        self._speed = DecodeSpeed(self._bench, self._asking, self._gpus, self, self._show)
        self._machine_asked = False
        self._shapes: dict[str, Described] = {}  # of what was looked at in this run
        self._waiting = ""  # the source that is being read
        self._error: tuple[str, ErrorInfo] | None = None
        self._generation = -1  # of the model whose shape is kept under ""
        self.shown: Picture | None = None
        context.drops.add(drops.Kind("configuration", self._accepts, _promise, self._dropped), first=True)
        page.show_params(self.params, None)

    # --- the tab's life -------------------------------------------------------------------------------------

    def bring(self) -> None:
        """The tab is in front."""
        if self._generation != self._bench.model.generation:
            self._generation = self._bench.model.generation
            self._shapes.pop("", None)
        self._find()

    def save(self) -> dict[str, Any]:
        """The settings, and what was changed in the table."""
        table = self._gpus.save()
        return self.params.to_dict() | ({"gpu_table": table} if table else {})

    def close(self) -> None:
        """Deliver nothing more."""
        self._asking.forget(self)

    @property
    def busy(self) -> bool:
        """Whether something asked for is not on screen yet."""
        return bool(self._waiting) or self._speed.measuring or self.shape is None or self._gpus.machine is None

    @property
    def shape(self) -> ModelShape | None:
        """The architecture that is calculated with."""
        found = self._shapes.get(self.source)
        return None if found is None else found.shape

    @property
    def source(self) -> str:
        """What is calculated: the chosen one; without a choice the loaded model, or one of the list."""
        return self.params.source or ("" if self._bench.model.info is not None else FIRST)

    # --- settings -------------------------------------------------------------------------------------------

    def change(self, **changes: Any) -> None:
        """The user has changed settings."""
        self.params = _in_agreement(replace(self.params, **changes), page_asked="page" in changes)
        if "source" in changes:
            self._error = None
        self._find()

    def pick_bar(self, key: str) -> None:
        """A bar was clicked: what it stands for becomes the setting."""
        self.change(**({"strategy": key} if self.params.training else {"precision": key}))
        self._page.show_params(self.params, self.shape)

    def pick_place(self, batch: int, tokens: int) -> None:
        """A point of a GPU's line was clicked: its batch and context become the settings."""
        self.change(batch=batch, tokens=max(1, tokens))
        self._page.show_params(self.params, self.shape)

    def open(self, spec: str) -> None:
        """Look at a hub id, a folder or a config.json."""
        spec = spec.strip()
        if not spec:
            return
        opened = (spec, *(known for known in self.params.opened if known != spec))[:MOST_OPENED]
        self._shapes.pop(OPENED + spec, None)  # the file may have changed
        self.change(opened=opened, source=OPENED + spec)

    def _accepts(self, path: Path) -> bool:
        """While the tab is in front, a configuration is for the calculator; model folders are opened as ever."""
        in_front = self._panel.in_front and self._panel.front is self
        return in_front and path.is_file() and path.suffix.lower() == ".json"

    def _dropped(self, path: Path) -> None:
        self.open(str(path))
        self._page.show_params(self.params, self.shape)

    # --- GPUs -----------------------------------------------------------------------------------------------

    @property
    def gpus(self) -> tuple[Gpu, ...]:
        """This machine's own first, then the table's."""
        return self._gpus.all

    def mark(self, names: tuple[str, ...]) -> None:
        """These GPUs are compared in the plots."""
        self.params = replace(self.params, marked=names[:MOST_MARKED])

    def sort(self, column: int) -> None:
        """By this column of the table, the other way around, and as it was again."""
        self._gpus.sort(column)
        self._show()

    def keep_gpu(self, name: str, memory: float, bandwidth: float, former: Gpu | None = None) -> str:
        """Add a row, or change `former`; returns what is wrong with it, or nothing."""
        problem = self._gpus.keep(name, memory, bandwidth, former)
        if not problem:
            self._show()
        return problem

    def remove_gpus(self, names: tuple[str, ...]) -> None:
        """Take rows out of the table."""
        self._gpus.remove(names)
        self.mark(tuple(name for name in self.params.marked if name not in names))
        self._show()

    def restore_table(self) -> None:
        """The built-in table again."""
        self._gpus.restore()
        self._show()

    def _machine_found(self, machine: tuple[Gpu, ...]) -> None:
        self._gpus.machine = machine
        if self.params.marked == MARKED:  # nobody has chosen any yet
            self.mark((*(gpu.name for gpu in machine), *MARKED))
        self._show()

    # --- finding the architecture ---------------------------------------------------------------------------

    def _find(self) -> None:
        """Ask for the architecture and this machine's devices, where they are wanted and not there."""
        model, source = self._bench.model, self.source
        loading = model.info is None and model.status is Status.LOADING
        if self.shape is None and not loading and self._waiting != source + "?":
            known = self._error is not None and self._error[0] == source
            if not known and (source or model.ready):
                self._ask(source)
        if self.shape is not None and not self._machine_asked:
            self._machine_asked = True
            self._asking.beside(self, "machine", work.machine, self._machine_found, lambda _: self._machine_found(()))
        self._show()

    def _ask(self, source: str) -> None:
        self._waiting = source + "?"  # never empty: the loaded model's source is

        def failed(error: ErrorInfo) -> None:
            if self._waiting == source + "?":
                self._waiting = ""
                self._error = (source, error)
                self._show()

        def done(found: Described) -> None:
            if self._waiting == source + "?":
                self._waiting = ""
                self._error = None
            self._shapes[source] = found
            self._find()
            self._page.show_params(self.params, self.shape)

        if not source:
            self._asking.engine(self, "shape", work.of_loaded, done, title="Looking at the model", failed=failed)
        else:
            self._asking.beside(
                self, "shape", functools.partial(work.of_source, source), done, failed, self._progressed
            )

    def _progressed(self, progress: Progress) -> None:
        if self._waiting:
            self._page.show_stage(Stage(Kind.LOADING, progress.text, fraction=progress.fraction, actions=CANCEL))

    def cancel(self) -> None:
        """Do not wait for the architecture any longer."""
        if self._waiting:
            source = self._waiting.removesuffix("?")
            self._waiting = ""
            self._asking.cancel(self, "shape")
            self._error = (
                source,
                ErrorInfo("Cancelled", "It was cancelled.", "Try again, or choose another model.", ""),
            )
            self._show()

    def read_again(self) -> None:
        """Try what has failed once more."""
        self._error = None
        self._find()

    # --- measuring ------------------------------------------------------------------------------------------

    def measure(self) -> None:
        """Decode a few tokens with the loaded model and time it."""
        self._speed.measure()

    @property
    def measured(self) -> MeasuredSpeed | None:
        """Of the model that is open now, where it is the one that is calculated."""
        return self._speed.measured(self.source)

    # --- taking along ---------------------------------------------------------------------------------------

    def export(self, what: str) -> None:
        """`what`: copy, csv, json of the components; gpus-copy, gpus-csv, gpus-json of the table; python."""
        shape = self.shape
        if shape is None or isinstance(found := self._estimate(shape), Stage):
            return
        if what == "python":
            self._page.copy(self.script())
        elif what.startswith("gpus-"):
            rows = self._gpus.rows(shape, self.params).rows
            texts = {"csv": lambda: export.gpus_csv(rows), "json": lambda: export.gpus_json(rows)}
            self._give(what.removeprefix("gpus-"), "gpus", texts, lambda: export.gpus_csv(rows, "\t"))
        else:
            settings = self._own_settings()
            texts = {
                "csv": lambda: export.terms_csv(found),
                "json": lambda: export.terms_json(shape, settings, found),
            }
            self._give(what, "memory", texts, lambda: export.terms_csv(found, "\t"))

    def script(self) -> str:
        """The calculation as Python."""
        info = self._bench.model.info
        assert self.shape is not None
        return snippet.script(self.params if self.params.source else replace(self.params, source=self.source),
                              self.shape, info.request.spec if info else "")  # fmt: skip

    def _give(self, kind: str, name: str, texts: Mapping[str, Callable[[], str]], copied: Callable[[], str]) -> None:
        if kind == "copy":
            self._page.copy(copied())
        else:
            self._page.ask_path(f"{name}.{kind}", (kind,), lambda path: self._asking.write(path, texts[kind]))

    def _own_settings(self) -> dict[str, Any]:
        return {name: value for name, value in self.params.to_dict().items() if name not in ("opened", "page")}

    # --- what is shown --------------------------------------------------------------------------------------

    def _stage(self) -> Stage:
        model = self._bench.model
        if self.shape is not None:
            return READY
        if self._error is not None and self._error[0] == self.source:
            error = self._error[1]
            return Stage(Kind.ERROR, error.message, error.hint, actions=(("Try again", "again"),))
        if model.info is None and model.status is Status.LOADING:
            return Stage(Kind.LOADING, "The model is being opened", "Then its memory is calculated.")
        about = "Without its weights: only their shapes."
        return Stage(Kind.LOADING, "The architecture is being built", about, actions=CANCEL)

    def _estimate(self, shape: ModelShape) -> Estimate | Stage:
        """What is calculated, or why it cannot be with these settings."""
        try:
            return pictures.estimate_of(shape, self.params)
        except EngineError as error:
            return Stage(Kind.ERROR, error.message, error.hint)

    def _show(self) -> None:
        self._page.show_sources(sources(self._bench.model.info, self.params.opened), self.source)
        stage = self._stage()
        estimate = self._estimate(self.shape) if self.shape is not None else stage
        if self.shape is None or isinstance(estimate, Stage):
            self.shown = None
            self._page.show_stage(estimate if isinstance(estimate, Stage) else stage)
            self._page.show_facts((), (), ())
            return
        self._page.show_stage(stage)
        notes = (*self._shapes[self.source].notes, *facts.beyond(self.shape, self.params), *estimate.warnings)
        peak = pictures.peak_of(self.shape, self.params)
        headline = facts.facts(self.shape, estimate.total, estimate.host, self.params, peak)
        self._page.show_facts(headline, facts.groups(self.shape), notes)
        self.shown = self._picture(self.shape, estimate)
        self._page.show_picture(self.shown)

    def _picture(self, shape: ModelShape, estimate: Estimate) -> Picture:
        page, marked = self.params.page, self._gpus.named(self.params.marked)
        if page == "phases":
            return phases.phases(shape, self.params)
        if page == "gpus":
            return self._gpus.rows(shape, self.params)
        if page == "contour":
            return pictures.contour_plot(shape, self.params, marked)
        if page == "sharing":
            return pictures.sharing(shape, self.params)
        if page == "rules":
            return pictures.rules(shape, self.params, estimate)
        if page == "speed":
            return self._speed.picture(shape, self.params, self.source)
        return pictures.parts(shape, self.params, marked, estimate)


def _in_agreement(params: Params, *, page_asked: bool) -> Params:
    """Some pages are about training or about inference alone: the page that was asked for says which, or gives way."""
    about = ABOUT.get(params.page, params.purpose)
    if about == params.purpose:
        return params
    return replace(params, purpose=about) if page_asked else replace(params, page=PAGES[0])


def _promise(path: Path) -> str:
    return f"Calculate what the model of {path.name} takes"
