"""The composition root: the only module that knows everyone. Nobody imports it but the command line."""

from __future__ import annotations

import argparse
import functools
import gc
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from PySide6.QtWidgets import QApplication, QFileDialog

from llmlab import cli
from llmlab import settings as settings_file
from llmlab.engine.types import MemoryUse, ModelRequest
from llmlab.jobs.bridge import Bridge
from llmlab.jobs.job import ErrorInfo
from llmlab.jobs.worker import Jobs
from llmlab.settings import Settings
from llmlab.ui import theme
from llmlab.ui.panel import Panel, PanelContext, PanelSpec
from llmlab.ui.panels import attention, decoding, memory, shots, tokens
from llmlab.ui.shell.drops import DropRegistry, Kind
from llmlab.ui.shell.ending import Ending
from llmlab.ui.shell.files import FileOpener
from llmlab.ui.shell.open_dialog import OpenDialog
from llmlab.ui.shell.prompt import PromptPresenter
from llmlab.ui.shell.questions import FileDialogs
from llmlab.ui.window import Actions, MainWindow
from llmlab.workbench import ModelState, Workbench

if TYPE_CHECKING:
    from llmlab.engine.session import Session

PANELS: tuple[PanelSpec, ...] = (tokens.PANEL, attention.PANEL, decoding.PANEL, shots.PANEL, memory.PANEL)
EXAMPLE_PROMPT = "Once upon a time, there was a little girl named Lily. She loved to"
CLOSE_TIMEOUT = 3.0  # seconds that a running job gets to reach its next check point

log = logging.getLogger(__name__)


class Panels:
    """The panels in the order of their specs, each made when it is first asked for: the window is there sooner."""

    def __init__(self, make: Callable[[int], Panel]) -> None:
        self._make = make
        self.made: dict[int, Panel] = {}

    def __getitem__(self, index: int) -> Panel:
        """Make the panel if nobody has asked for it before."""
        if index not in self.made:
            self.made[index] = self._make(index)
        return self.made[index]

    def __iter__(self) -> Iterator[Panel]:
        return (self[index] for index in range(len(PANELS)))


class Lab:
    """One running program: the window, the jobs, and what connects them."""

    def __init__(self, settings: Settings, settings_path: Path | None, *, offline: bool = False) -> None:
        self._settings = settings
        self._settings_path = settings_path
        self._offline = offline
        self._generation = 0
        self.closed = False
        self.bridge = Bridge()
        self.jobs = Jobs(self.bridge.deliver, _session, self._set_running)
        self.workbench = Workbench(self.jobs)
        self.drops = DropRegistry()
        theme.set_scheme(_scheme(settings.scheme))
        self.window = MainWindow(PANELS, self._actions(), self.drops)
        self.window.model_bar.set_recent(settings.recent)
        self.workbench.model_changed.connect(self._model_changed)
        self.workbench.prompt = EXAMPLE_PROMPT if settings.prompt is None else settings.prompt
        self._prompt = PromptPresenter(self.workbench, self.jobs, self.window.prompt)
        self.window.prompt.selected.connect(self._prompt.selected)
        self._files = FileOpener(
            self.workbench, self.jobs, self.window.banner, FileDialogs(self.window), self.open_model
        )
        self._files.register(self.drops)
        for index, spec in enumerate(PANELS):
            self.drops.add(self._kind_for(index, spec, spec.takes), first=True)
            self.drops.add(self._kind_for(index, spec, spec.recognises, looks_inside=True), first=True)
        self.panels = Panels(self._make_panel)
        self.window.restore_layout(settings.geometry, settings.layout)
        if not self.window.show_panel_named(settings.panel):
            self.window.show_panel(0)

    def open_model(self, request: ModelRequest) -> None:
        """Open a model for all panels; `--offline` holds for the whole run."""
        self.workbench.open_model(replace(request, offline=request.offline or self._offline))

    @property
    def last_model(self) -> ModelRequest | None:
        """The model that was open at the end of the last run."""
        return self._settings.model

    def end(self) -> None:
        """End the program as the user does who closes the window."""
        self.window.close()
        QApplication.quit()  # also where a dialog is open

    def close(self) -> None:
        """Stop work, save the settings. Called by the window as it closes, once."""
        if self.closed:
            return
        self.closed = True
        self.save()
        self._prompt.close()
        self._files.close()
        self.bridge.close()
        if not self.jobs.close(CLOSE_TIMEOUT):
            log.info("a job was still running at exit; its daemon thread ends with the process")

    def _actions(self) -> Actions:
        return Actions(
            edit_prompt=lambda text: self._prompt.edited(text),  # noqa: PLW0108 - made after the window
            open_model=self.open_model,
            browse_models=self.browse_models,
            cancel_open=self.workbench.cancel_open,
            open_file=self.browse_text,
            cancel_job=lambda job: self.jobs.cancel(job.owner, job.key),
            poll_memory=self._poll_memory,
            set_scheme=self._set_scheme,
            closing=self.close,
            make_panel=lambda index: self.panels[index],
        )

    def _make_panel(self, index: int) -> Panel:
        spec = PANELS[index]
        saved = self._settings.panels.get(spec.name, {})

        def come() -> None:
            self.window.show_panel_named(spec.name)

        panel = spec.create(PanelContext(self.workbench, self.jobs, self.window.banner, saved, self.drops, come))
        self.window.add_panel(index, panel)
        return panel

    def _kind_for(
        self, index: int, spec: PanelSpec, takes: Callable[[Path], bool], *, looks_inside: bool = False
    ) -> Kind:
        """Files for a panel that was never shown. Once it is there it takes them itself."""

        def promise(path: Path) -> str:
            if looks_inside and spec.promise is not None:
                return spec.promise(path)
            return f"Look at {path.name} in the {spec.title} panel"

        def handle(path: Path) -> None:
            _ = self.panels[index]
            self.window.drop([path])

        return Kind(
            f"for {spec.name}",
            lambda path: index not in self.panels.made and takes(path),
            promise,
            handle,
            looks_inside,
        )

    def browse_models(self) -> None:
        """Ask for a model with the dialog; the Hugging Face cache is read meanwhile."""
        dialog = OpenDialog(self.open_model, self._settings.recent, self._offline, self.window)
        dialog.finished.connect(lambda _result: self.jobs.forget(dialog))
        dialog.finished.connect(dialog.deleteLater)
        self.jobs.submit(dialog, "cache", _cached_models, done=dialog.add_cached, needs_model=False)
        dialog.open()

    def browse_text(self) -> None:
        """Ask for a text file with the system's dialog."""
        dialog = QFileDialog(self.window, "A text to use as the prompt")
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.fileSelected.connect(lambda name: self.window.drop([Path(name)]))
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def _model_changed(self, state: ModelState) -> None:
        self.window.set_model(state)
        if state.generation != self._generation and state.info:
            self._generation = state.generation
            self._settings = self._settings.with_recent(state.info.request)
            self.window.model_bar.set_recent(self._settings.recent)
            self._count_weights()
            self.jobs.submit(self, "panels", _import_panels, needs_model=False)
        if state.error and not state.progress:
            self.window.banner.error(state.error)

    def _poll_memory(self) -> None:
        info = self.workbench.model.info
        device = info.device if info else "cpu"

        def work(_resource: object, _control: object) -> MemoryUse:
            from llmlab.engine.usage import memory_in_use

            return memory_in_use(device)

        self.jobs.submit(self, "memory", work, done=self.window.set_memory, needs_model=False)

    def _count_weights(self) -> None:
        def work(session: Session, _control: object) -> MemoryUse:
            return session.engine.memory_use()

        self.jobs.submit(self, "weights", work, title="Counting the weights", done=self.window.set_memory)

    def _set_running(self, running: Any) -> None:
        self.window.set_running(running)

    def _set_scheme(self, scheme: theme.Scheme) -> None:
        theme.set_scheme(scheme)
        self._settings = replace(self._settings, scheme=scheme)

    def save(self) -> None:
        """Write the settings, and with them what every panel keeps; where that fails the log says so."""
        if self._settings_path is None:
            return
        _take_over_typing()
        geometry, layout = self.window.save_layout()
        shown = {PANELS[index].name: panel.save() for index, panel in self.panels.made.items()}
        prompt = self.workbench.prompt
        settings = replace(
            self._settings,
            geometry=geometry,
            layout=layout,
            panel=self.window.panel_name,
            prompt=prompt if len(prompt) <= settings_file.MAX_PROMPT else self._settings.prompt,
            panels={**self._settings.panels, **shown},
        )
        try:
            settings_file.save(self._settings_path, settings)
        except OSError as error:
            log.warning("the settings could not be saved: %s", error)


def run(arguments: argparse.Namespace) -> int:
    """Open the window and stay until it is closed."""
    app = _application()
    path = settings_file.default_path()
    lab = Lab(settings_file.load(path), path, offline=arguments.offline)
    sys.excepthook = _reporter(lab)
    if arguments.panel and not lab.window.show_panel_named(arguments.panel):
        names = ", ".join(spec.name for spec in PANELS)
        lab.window.banner.say(f"There is no panel “{arguments.panel}”.", f"The panels are: {names}.")
    lab.window.seen.connect(lambda: _open_first(lab, arguments))  # opening a model imports torch
    lab.window.fit_screen()
    lab.window.show()
    ending = Ending(lab.save, lab.end)
    status = app.exec()
    lab.close()
    ending.release()
    return status


def snapshot(folder: Path, panel: str | None = None) -> int:
    """Render every panel, or the one of that name, with real content, light and dark, to PNG files in `folder`.

    0 if all went well.
    """
    from llmlab import snapshots

    if panel is not None and panel not in {spec.name for spec in PANELS}:
        sys.stderr.write(f"There is no panel “{panel}”; the panels are {', '.join(spec.name for spec in PANELS)}.\n")
        return 2
    _application()
    lab = Lab(Settings(prompt=""), None, offline=True)
    try:
        return snapshots.render(lab, PANELS, folder, panel)
    finally:
        lab.window.close()


def _application() -> QApplication:
    app = QApplication.instance() or QApplication(["llmlab"])
    assert isinstance(app, QApplication)
    app.setApplicationName("llmlab")
    app.setApplicationDisplayName("LLM Lab")
    app.setDesktopFileName("llmlab")
    theme.apply(app)
    return app


def _open_first(lab: Lab, arguments: argparse.Namespace) -> None:
    folders = [path for path in arguments.files if path.is_dir()]
    others = [path for path in arguments.files if path not in folders]
    if not folders:
        lab.open_model(cli.model_request(arguments, lab.last_model))
    for paths in (folders[:1], others[:1]):
        if paths:
            lab.window.drop(paths)
    if len(folders) > 1 or len(others) > 1:
        lab.window.banner.say("Only the first file and the first model folder were used.", "Open the others later.")


def _take_over_typing() -> None:
    """What is being typed is taken over when the typing pauses, or when the field loses the focus, as it does here."""
    field = QApplication.focusWidget()
    if field is not None:
        field.clearFocus()
        field.setFocus()


def _session() -> Session:
    """Made in the model thread, so that torch is imported there and not before the window is up."""
    _import_engine()
    from llmlab.engine.session import Session

    return Session()


@functools.cache
def _import_engine() -> None:
    """Keep what the imports make out of the search for garbage: it stays. Looking through its 370,000 objects again and
    again takes a tenth of the imports' time, and afterwards stopped the window for 0.3 s each time.
    """
    gc.disable()
    try:
        import_module("llmlab.engine.session")
    finally:
        gc.freeze()
        gc.enable()


def _import_panels(_resource: object, _control: object) -> None:
    """What the panels are made of, so that none takes long to come when it is first shown."""
    for spec in PANELS:
        import_module(f"llmlab.ui.panels.{spec.name}.view")


def _cached_models(_resource: object, _control: object) -> Any:
    from llmlab.engine import catalog

    return catalog.cached_hub_models()


def _scheme(name: str) -> theme.Scheme:
    return "light" if name == "light" else "dark" if name == "dark" else "system"


def _reporter(lab: Lab) -> Callable[[type[BaseException], BaseException, TracebackType | None], None]:
    """Exceptions in slots reach `sys.excepthook`, and the program goes on: show them, and log them."""

    def report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        sys.__excepthook__(kind, error, trace)
        if not lab.closed and threading.current_thread() is threading.main_thread():
            lab.window.banner.error(ErrorInfo.of(error))

    return report
