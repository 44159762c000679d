"""What the calculator does. No Qt: the page is a protocol."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from llmlab.engine.errors import EngineError
from llmlab.engine.memory.architectures import architectures
from llmlab.engine.memory.edited import GpuTable, checked_row, from_values, to_values
from llmlab.engine.memory.hardware import Gpu
from llmlab.engine.memory.overview import inference_fits, training_fits
from llmlab.engine.memory.shape import ModelShape
from llmlab.engine.memory.terms import Estimate
from llmlab.engine.types import Feature
from llmlab.jobs.job import ErrorInfo
from llmlab.ui.panel import Desk, PanelContext
from llmlab.ui.panels.memory.calculator import export, facts, gpurows, pictures, snippet, words, work
from llmlab.ui.panels.memory.calculator.params import (
    FIRST,
    LISTED,
    MARKED,
    MOST_MARKED,
    MOST_OPENED,
    OPENED,
    PAGES,
    Params,
)
from llmlab.ui.screen import Fact, Kind, Stage
from llmlab.ui.shell import drops
from llmlab.ui.widgets.chart.plot import Plot
from llmlab.workbench import Status

if TYPE_CHECKING:
    from llmlab.engine.memory.sources import Described
    from llmlab.engine.memory.speed import MeasuredSpeed
    from llmlab.engine.progress import Progress
    from llmlab.ui.tabbed import TabbedPresenter

Picture = pictures.Parts | gpurows.Gpus | pictures.Sharing | pictures.Rules | Plot
READY = Stage(Kind.READY)
CANCEL = (("Cancel", "cancel"),)
ABOUT = {"sharing": "training", "speed": "inference"}  # pages that make sense for one purpose only
NO_TEXT = "Once upon a time"  # is decoded after, where there is no prompt


@dataclass(frozen=True, slots=True)
class Source:
    """One model of the list: what it is kept as, and its name."""

    key: str
    name: str


@dataclass(frozen=True, slots=True)
class Speed:
    """What the page of the decode limit says beside its plot."""

    plot: Plot
    words: str
    can_measure: bool
    measuring: bool


class Page(Desk, Protocol):
    """What the calculator asks of its widgets."""

    def show_stage(self, stage: Stage) -> None:
        """The picture, or what stands in its place."""

    def show_params(self, params: Params, shape: ModelShape | None) -> None:
        """Set the controls, without a signal; what a model cannot use is switched off."""

    def show_sources(self, sources: tuple[Source, ...], chosen: str) -> None:
        """The models that can be chosen."""

    def show_facts(self, facts: tuple[Fact, ...], groups: tuple[Fact, ...], notes: tuple[str, ...]) -> None:
        """The figures above the picture, the parameters by kind of module, and what should be known beside them."""

    def show_picture(self, picture: Picture | Speed) -> None:
        """The picture of the page in front."""


class Calculator:
    """Keeps the pictures in step with the settings: every sum is made at once, in the time of a frame."""

    def __init__(self, context: PanelContext, panel: TabbedPresenter, page: Page, saved: Mapping[str, Any]) -> None:
        self._bench, self._panel, self._page = context.workbench, panel, page
        self._asking = panel.asking
        self.params = _in_agreement(Params.from_dict(saved), page_asked=True)
        self.table: GpuTable = from_values(saved.get("gpu_table"))
        self.order = (-1, False)  # column and direction of the table
        self._machine: tuple[Gpu, ...] | None = None  # until its devices are known
        self._machine_asked = False
        self._shapes: dict[str, Described] = {}  # of what was looked at in this run
        self._waiting = ""  # the source that is being read
        self._error: tuple[str, ErrorInfo] | None = None
        self._generation = -1  # of the model whose shape is kept under ""
        self._measured: tuple[int, MeasuredSpeed] | None = None
        self._measuring = False
        self.shown: Picture | Speed | None = None
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
        return self.params.to_dict() | ({"gpu_table": to_values(self.table)} if self.table.changed else {})

    def close(self) -> None:
        """Deliver nothing more."""
        self._asking.forget(self)

    @property
    def busy(self) -> bool:
        """Whether something asked for is not on screen yet."""
        return bool(self._waiting) or self._measuring or self.shape is None or self._machine is None

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

    def mark(self, names: tuple[str, ...]) -> None:
        """These GPUs are compared in the plots."""
        self.params = replace(self.params, marked=names[:MOST_MARKED])

    def sort(self, column: int) -> None:
        """By this column of the table; a second click turns the order around, a third is the table's own again."""
        before, descending = self.order
        if before != column:
            self.order = (column, False)
        else:
            self.order = (column, True) if not descending else (-1, False)
        self._show()

    # --- the table of GPUs ----------------------------------------------------------------------------------

    def keep_gpu(self, name: str, memory: float, bandwidth: float, former: Gpu | None = None) -> str:
        """Add a row, or change `former`; returns what is wrong with it, or nothing."""
        try:
            row = checked_row(name, memory, bandwidth, former)
            self.table = self.table.with_row(row, former.name if former else None)
        except EngineError as error:
            return f"{error.message} {error.hint}"
        self._show()
        return ""

    def remove_gpus(self, names: tuple[str, ...]) -> None:
        """Take rows out of the table."""
        for name in names:
            self.table = self.table.without(name)
        self.mark(tuple(name for name in self.params.marked if name not in names))
        self._show()

    def restore_table(self) -> None:
        """The built-in table again."""
        self.table = GpuTable()
        self._show()

    @property
    def gpus(self) -> tuple[Gpu, ...]:
        """This machine's own first, then the table's."""
        return self.table.all(self._machine or ())

    @property
    def marked(self) -> tuple[Gpu, ...]:
        """Those that the plots compare, this machine's first."""
        return tuple(gpu for gpu in self.gpus if gpu.name in self.params.marked)[:MOST_MARKED]

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

    def _machine_found(self, machine: tuple[Gpu, ...]) -> None:
        own = tuple(gpu.name for gpu in machine)
        self._machine = machine
        if self.params.marked == MARKED:  # nobody has chosen any yet
            self.mark((*own, *MARKED))
        self._show()

    def read_again(self) -> None:
        """Try what has failed once more."""
        self._error = None
        self._find()

    # --- measuring ------------------------------------------------------------------------------------------

    def measure(self) -> None:
        """Decode a few tokens with the loaded model and time it."""
        generation, text = self._bench.model.generation, self._bench.prompt or NO_TEXT
        self._measuring = True

        def done(measured: MeasuredSpeed) -> None:
            self._measuring, self._measured = False, (generation, measured)
            self._show()

        def ended(error: ErrorInfo | None = None) -> None:
            self._measuring = False
            if error is not None:
                self._asking.notifier.error(error)
            self._show()

        asked = functools.partial(work.measure, text)
        title = "Measuring the decode speed"
        self._asking.engine(self, "speed", asked, done, title=title, failed=ended, stopped=ended)
        self._show()

    @property
    def measured(self) -> MeasuredSpeed | None:
        """Of the model that is open now, where it is the one that is calculated."""
        if self._measured is None or self.source or self._measured[0] != self._bench.model.generation:
            return None
        return self._measured[1]

    # --- taking along ---------------------------------------------------------------------------------------

    def export(self, what: str) -> None:
        """`what`: copy, csv, json of the components; gpus-copy, gpus-csv, gpus-json of the table; python."""
        shape = self.shape
        if shape is None or isinstance(found := self._estimate(shape), Stage):
            return
        if what == "python":
            self._page.copy(self.script())
        elif what.startswith("gpus-"):
            rows = self._gpus(shape).rows
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

    def _sources(self) -> tuple[Source, ...]:
        info = self._bench.model.info
        loaded = [Source("", f"Loaded: {info.name}")] if info else []
        opened = [Source(OPENED + spec, _short(spec)) for spec in self.params.opened]
        listed = [Source(LISTED + known.name, known.name) for known in architectures()]
        return (*loaded, *opened, *listed)

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
        self._page.show_sources(self._sources(), self.source)
        stage = self._stage()
        estimate = self._estimate(self.shape) if self.shape is not None else stage
        if self.shape is None or isinstance(estimate, Stage):
            self.shown = None
            self._page.show_stage(estimate if isinstance(estimate, Stage) else stage)
            self._page.show_facts((), (), ())
            return
        self._page.show_stage(stage)
        notes = (*self._shapes[self.source].notes, *facts.beyond(self.shape, self.params), *estimate.warnings)
        headline = facts.facts(self.shape, estimate.total, estimate.host, self.params)
        self._page.show_facts(headline, facts.groups(self.shape), notes)
        self.shown = self._picture(self.shape, estimate)
        self._page.show_picture(self.shown)

    def _picture(self, shape: ModelShape, estimate: Estimate) -> Picture | Speed:
        page = self.params.page
        if page == "gpus":
            return self._gpus(shape)
        if page == "contour":
            return pictures.contour_plot(shape, self.params, self.marked)
        if page == "sharing":
            return pictures.sharing(shape, self.params)
        if page == "rules":
            return pictures.rules(shape, self.params, estimate)
        if page == "speed":
            return self._speed(shape)
        return pictures.parts(shape, self.params, self.marked, estimate)

    def _gpus(self, shape: ModelShape) -> gpurows.Gpus:
        if self.params.training:
            found = training_fits(shape, self.params.training_settings(shape), self.params.plan, self.gpus)
        else:
            found = inference_fits(shape, self.params.inference_settings, self.gpus)
        column, descending = self.order
        marked = self.params.marked
        return gpurows.table(found, marked, column, descending=descending, changed=self.table.changed)

    def _speed(self, shape: ModelShape) -> Speed:
        info, measured = self._bench.model.info, self.measured
        can = not self.source and self._bench.model.ready and info is not None and Feature.GENERATE in info.features
        plot = pictures.speed_plot(shape, self.params, self.marked, measured)
        return Speed(plot, self._speed_words(shape, measured), can, self._measuring)

    def _speed_words(self, shape: ModelShape, measured: MeasuredSpeed | None) -> str:
        """The measured speed, and its share of the limit of the device that it was measured on."""
        if self.source:
            return "Only the loaded model can be measured: choose it in the list of models."
        info = self._bench.model.info
        if measured is None or info is None:
            return "Not measured yet."
        device = self._device(info.device)
        how = f"{info.quantization or info.dtype}, one sequence"
        said = f"Measured {words.speed(measured.tokens_per_second)} tokens/s ({how})"
        if device is None:
            return said
        limit = pictures.limit_of(shape, info, measured, device)
        share = measured.tokens_per_second / limit
        return f"{said}: {share:.1%} of what {device.name} could reach, {words.speed(limit)}"

    def _device(self, device: str) -> Gpu | None:
        """The row of this machine that the model runs on."""
        machine = self._machine or ()
        kind, _, index = device.partition(":")
        if kind == "cpu":
            return machine[-1] if machine else None
        place = int(index or 0)
        return machine[place] if place < len(machine) - 1 else None


def _in_agreement(params: Params, *, page_asked: bool) -> Params:
    """Some pages are about training or about inference alone: the page that was asked for says which, or gives way."""
    about = ABOUT.get(params.page, params.purpose)
    if about == params.purpose:
        return params
    return replace(params, purpose=about) if page_asked else replace(params, page=PAGES[0])


def _short(spec: str) -> str:
    """A path's last two parts; a hub id as it is."""
    path = Path(spec)
    return "/".join(path.parts[-2:]) if path.is_absolute() else spec


def _promise(path: Path) -> str:
    return f"Calculate what the model of {path.name} takes"
