"""The main window: model bar on top, rail, prompt over the panel's picture, its controls, the status line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QByteArray, QSize, Qt, QTimer, QUrl, Signal, Slot
from PySide6.QtGui import (
    QCloseEvent,
    QDragEnterEvent,
    QDragLeaveEvent,
    QDropEvent,
    QPaintEvent,
    QResizeEvent,
)
from PySide6.QtWidgets import QHBoxLayout, QMainWindow, QSplitter, QVBoxLayout, QWidget

from llmlab.engine.types import MemoryUse, ModelRequest
from llmlab.jobs.job import Job
from llmlab.jobs.worker import Running
from llmlab.ui import theme
from llmlab.ui.panel import Panel, PanelSpec
from llmlab.ui.shell.banner import Banner
from llmlab.ui.shell.drops import DropRegistry
from llmlab.ui.shell.menus import fill_menu_bar
from llmlab.ui.shell.model_bar import ModelBar
from llmlab.ui.shell.overlay import DropOverlay
from llmlab.ui.shell.prompt_editor import PromptEditor
from llmlab.ui.shell.rail import Rail
from llmlab.ui.shell.status import StatusLine
from llmlab.ui.widgets.pages import Pages
from llmlab.workbench import ModelState

CONTROLS_WIDTH = 300
FRAME = QSize(16, 48)  # pixels that a window manager may put around the window, its title included
MEMORY_INTERVAL = 1500  # ms between two looks at the memory in use


@dataclass(frozen=True, slots=True)
class Actions:
    """What the window can ask for; the composition root provides it."""

    edit_prompt: Callable[[str], None]
    open_model: Callable[[ModelRequest], None]
    browse_models: Callable[[], None]
    cancel_open: Callable[[], None]
    open_file: Callable[[], None]
    cancel_job: Callable[[Job], None]
    poll_memory: Callable[[], None]
    set_scheme: Callable[[theme.Scheme], None]
    closing: Callable[[], None]
    make_panel: Callable[[int], Panel]


class MainWindow(QMainWindow):
    """The frame. It knows panels only as two widgets each."""

    seen = Signal()  # the first frame is on screen

    def __init__(self, specs: Sequence[PanelSpec], actions: Actions, drops: DropRegistry) -> None:
        super().__init__()
        self.setWindowTitle("LLM Lab")
        self.setAcceptDrops(True)
        self.resize(1280, 800)
        self._specs = tuple(specs)
        self._actions = actions
        self._drops = drops
        self._panels: dict[int, Panel] = {}  # those that were shown or asked for, by their places
        self._layout: dict[str, str] = {}  # states of splitters, also of panels that are not there yet
        self._current = -1
        self._was_seen = False
        self.model_bar = ModelBar(actions.open_model, actions.browse_models, actions.cancel_open)
        self.banner = Banner()
        self.rail = Rail(specs, self.show_panel)
        self.prompt = PromptEditor(actions.edit_prompt)
        self.status = StatusLine(actions.cancel_job)
        self._pictures = Pages()
        self._controls = Pages()
        for stack in (self._pictures, self._controls):
            for _ in specs:
                stack.addWidget(QWidget())
        self._lay_out()
        self.overlay = DropOverlay(self)
        fill_menu_bar(self, self._specs, actions)
        self._memory_timer = QTimer(self)
        self._memory_timer.setInterval(MEMORY_INTERVAL)
        self._memory_timer.timeout.connect(actions.poll_memory)
        self._memory_timer.start()
        self.prompt.setFocus()  # who starts typing at once types the prompt

    def fit_screen(self) -> None:
        """Be no larger than the screen has room for."""
        if not self.isMaximized():
            self.resize(self.size().boundedTo(self.screen().availableSize() - FRAME))

    def add_panel(self, index: int, panel: Panel) -> None:
        """Give the panel of a spec its place."""
        self._panels[index] = panel
        for stack, widget in ((self._pictures, panel.picture), (self._controls, panel.controls)):
            stand_in = stack.widget(index)
            assert stand_in is not None
            stack.insertWidget(index, widget)
            stack.removeWidget(stand_in)
            stand_in.deleteLater()
        self._restore_splitters(panel.picture)

    def show_panel(self, index: int) -> None:
        """Bring a panel to the front. It is made now if it was never shown."""
        if index == self._current or not 0 <= index < len(self._specs):
            return
        if index not in self._panels:
            self._actions.make_panel(index)
        if self._current >= 0:
            self._panels[self._current].deactivate()
        self._current = index
        self._pictures.setCurrentIndex(index)
        self._controls.setCurrentIndex(index)
        self.prompt.setVisible(self._specs[index].prompt)
        self.rail.set_current(index)
        if self._was_seen:
            self._panels[index].activate()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Work, which may import torch, begins when the window is there to be seen."""
        super().paintEvent(event)
        if not self._was_seen:
            self._was_seen = True
            QTimer.singleShot(0, self._begin)

    @Slot()
    def _begin(self) -> None:
        if self._current >= 0 and self.isVisible():
            self._panels[self._current].activate()
        self.seen.emit()

    @property
    def panel_name(self) -> str:
        """The name of the panel in front."""
        return self._specs[self._current].name if self._current >= 0 else ""

    def show_panel_named(self, name: str) -> bool:
        """Bring the panel called `name` to the front; False if there is none."""
        names = [spec.name for spec in self._specs]
        if name not in names:
            return False
        self.show_panel(names.index(name))
        return True

    def set_model(self, state: ModelState) -> None:
        """Show what has become of the shared model."""
        self.model_bar.set_state(state)
        name = state.info.name if state.info else ""
        self.setWindowTitle(f"{name} - LLM Lab" if name else "LLM Lab")

    def set_running(self, running: Running | None) -> None:
        """Show the model thread's job."""
        self.status.set_running(running)

    def set_memory(self, use: MemoryUse) -> None:
        """Show the memory in use."""
        self.model_bar.set_memory(use)

    def save_layout(self) -> tuple[str, dict[str, str]]:
        """Geometry and splitter states, as base64 text."""
        splitters = {item.objectName(): _text(item.saveState()) for item in self.findChildren(QSplitter)}
        kept = self._layout | splitters
        return _text(self.saveGeometry()), {name: state for name, state in kept.items() if name}

    def restore_layout(self, geometry: str, layout: Mapping[str, str]) -> None:
        """What `save_layout` returned; what does not fit is ignored by Qt."""
        if geometry:
            self.restoreGeometry(_bytes(geometry))
        self._layout = dict(layout)
        self._restore_splitters(self)

    def _restore_splitters(self, widget: QWidget) -> None:
        own = (widget,) if isinstance(widget, QSplitter) else ()
        for splitter in (*own, *widget.findChildren(QSplitter)):
            if splitter.objectName() in self._layout:
                splitter.restoreState(_bytes(self._layout[splitter.objectName()]))

    def drop(self, paths: Sequence[Path]) -> None:
        """Use `paths` as if they had been dropped; says why where they can't be used."""
        refused = self._drops.handle(paths)
        if refused:
            self.banner.say("This can't be used here.", f"{refused}.")

    def _lay_out(self) -> None:
        centre = QSplitter(Qt.Orientation.Vertical)
        centre.setObjectName("prompt")
        centre.setChildrenCollapsible(False)
        centre.addWidget(self.prompt)
        centre.addWidget(self._pictures)
        centre.setStretchFactor(1, 1)
        centre.setSizes([120, 560])
        self.prompt.setMinimumHeight(80)
        self._controls.setFixedWidth(CONTROLS_WIDTH)
        middle = QWidget()
        columns = QHBoxLayout(middle)
        columns.setContentsMargins(2 * theme.SPACE, theme.SPACE, theme.SPACE, theme.SPACE)
        columns.setSpacing(2 * theme.SPACE)
        columns.addWidget(centre, stretch=1)
        columns.addWidget(self._controls)
        beside_rail = QVBoxLayout()
        beside_rail.setSpacing(0)
        beside_rail.addWidget(self.banner)
        beside_rail.addWidget(middle, stretch=1)
        body = QHBoxLayout()
        body.setSpacing(0)
        body.addWidget(self.rail)
        body.addLayout(beside_rail, stretch=1)
        whole = QWidget()
        layout = QVBoxLayout(whole)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.model_bar)
        layout.addLayout(body, stretch=1)
        layout.addWidget(self.status)
        self.setCentralWidget(whole)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Say what a drop would do. The drag is accepted even if it is of no use, so that the words can be read."""
        paths = _paths(event.mimeData().urls())
        if paths:
            self.overlay.promise(*self._drops.promise(paths))
            event.acceptProposedAction()

    def dragLeaveEvent(self, _event: QDragLeaveEvent) -> None:
        """The overlay goes with the drag."""
        self.overlay.hide()

    def dropEvent(self, event: QDropEvent) -> None:
        """Use what was dropped."""
        self.overlay.hide()
        event.acceptProposedAction()
        self.drop(_paths(event.mimeData().urls()))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The overlay covers the window."""
        super().resizeEvent(event)
        self.overlay.setGeometry(self.rect())

    def closeEvent(self, event: QCloseEvent) -> None:
        """Give the composition root the time to stop work and save the settings."""
        self._memory_timer.stop()
        self._actions.closing()
        for panel in self._panels.values():
            panel.close()
        event.accept()


def _paths(urls: Sequence[QUrl]) -> list[Path]:
    return [Path(url.toLocalFile()) for url in urls if url.isLocalFile()]


def _text(data: QByteArray) -> str:
    return bytes(data.toBase64().data()).decode("ascii")


def _bytes(text: str) -> QByteArray:
    return QByteArray.fromBase64(text.encode("ascii", "ignore"))
