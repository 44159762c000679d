"""The attention panel on screen: thin, everything that decides is in the presenter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, Slot
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFileDialog, QStackedWidget, QVBoxLayout, QWidget

from llmlab.ui import theme
from llmlab.ui.panel import PanelContext
from llmlab.ui.panels.attention.params import TABS, Params
from llmlab.ui.panels.attention.presenter import AttentionPresenter
from llmlab.ui.panels.attention.reading import Reading
from llmlab.ui.panels.attention.screen import Kind, Screen
from llmlab.ui.panels.attention.text_pane import TextPane
from llmlab.ui.widgets.parts import Choice
from llmlab.ui.widgets.states import StateView

# One entry for each tab: its label, its tooltip, and its widget, which is also the view of its part. After both are
# made, `widget.attach(part)` connects them.
PAGES: dict[str, tuple[str, str, Callable[[], Any]]] = {
    "text": ("Text", "The text, shaded by where a token looks or who looks at it", TextPane),
}
FILTERS = {
    "csv": "Comma-separated values (*.csv)",
    "json": "JSON (*.json)",
    "npz": "NumPy arrays (*.npz)",
    "png": "PNG picture (*.png)",
    "svg": "SVG drawing (*.svg)",
    "pdf": "PDF page (*.pdf)",
}


class AttentionPanel:
    """Is a `Panel` to the window and a `View` to the presenter."""

    def __init__(self, context: PanelContext) -> None:
        self.names = [name for name in TABS if name in PAGES]
        self.pages: dict[str, Any] = {name: PAGES[name][2]() for name in self.names}
        self.tabs = Choice([PAGES[name][:2] for name in self.names], "What is shown of the attention")
        self.state = StateView()
        self._pages = QStackedWidget()
        for page in self.pages.values():
            self._pages.addWidget(page)
        self._screen: Screen | None = None
        self.controls: QWidget = QWidget()
        self.picture: QWidget = self._lay_out()
        self.presenter = AttentionPresenter(context, self, self.pages)
        for name, page in self.pages.items():
            page.attach(self.presenter.parts[name])
        self.tabs.chosen.connect(self._choose_tab)
        self.state.example_chosen.connect(self.presenter.use_example)

    def _lay_out(self) -> QWidget:
        ready = QWidget()
        layout = QVBoxLayout(ready)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE)
        layout.addWidget(self.tabs, alignment=Qt.AlignmentFlag.AlignLeft)
        layout.addWidget(self._pages, stretch=1)
        self._stack = QStackedWidget()
        self._stack.addWidget(ready)
        self._stack.addWidget(self.state)
        return self._stack

    @Slot(int)
    def _choose_tab(self, index: int) -> None:
        self._pages.setCurrentIndex(index)
        self.presenter.change(tab=self.names[index])

    # --- to the window --------------------------------------------------------------------------------------

    def activate(self) -> None:
        self.presenter.activate()

    def deactivate(self) -> None:
        self.presenter.deactivate()

    def save(self) -> dict[str, Any]:
        return self.presenter.save()

    def close(self) -> None:
        self.presenter.close()

    # --- to the presenter -----------------------------------------------------------------------------------

    def show(self, screen: Screen) -> None:
        if screen == self._screen:
            return
        self._screen = screen
        stage = screen.stage
        self._stack.setCurrentIndex(0 if stage.kind is Kind.READY else 1)
        if stage.kind is Kind.LOADING:
            self.state.show_loading(stage.title, stage.text, stage.fraction)
        elif stage.kind is Kind.EMPTY:
            actions = [(label, lambda act=act: self.presenter.act(act)) for label, act in stage.actions]
            self.state.show_empty(stage.title, stage.text, stage.examples, actions)
        elif stage.kind is Kind.ERROR:
            self.state.show_error(stage.title, stage.text)

    def show_params(self, params: Params) -> None:
        if params.tab in self.names:
            self.tabs.set_chosen(self.names.index(params.tab))
            self._pages.setCurrentIndex(self.names.index(params.tab))

    def show_reading(self, reading: Reading | None) -> None:
        """The grid follows."""

    def copy(self, text: str) -> None:
        QGuiApplication.clipboard().setText(text)

    def ask_path(self, name: str, kinds: tuple[str, ...], then: Callable[[Path], None]) -> None:
        dialog = QFileDialog(self.picture, "Save", name, ";;".join(FILTERS[kind] for kind in kinds))
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix(Path(name).suffix.removeprefix(".") or kinds[0])
        dialog.fileSelected.connect(lambda chosen: then(Path(chosen)))
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()
