"""What the widgets of tabs share: they know their presenter and the panel, and words can stand in their place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QSplitter, QStackedWidget, QTableView, QToolButton, QVBoxLayout, QWidget

from llmlab.ui import theme
from llmlab.ui.screen import Kind, Stage
from llmlab.ui.view import PanelView
from llmlab.ui.widgets.column import ControlColumn
from llmlab.ui.widgets.parts import ElidedLabel, menu_button, row
from llmlab.ui.widgets.states import StateView

RUN = ("Ctrl+Return", "Ctrl+Enter")


class TabPage(QWidget):
    """Passes on what its part of the presenter asks of the panel: the clipboard and the dialogs."""

    controls: ControlColumn  # beside it

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._tab: Any = None
        self._panel: PanelView | None = None
        self._escape: QShortcut | None = None

    def attach(self, tab: Any, panel: PanelView) -> None:
        """`tab` is told what the user does; `panel` has the clipboard and the dialogs."""
        self._tab, self._panel = tab, panel

    def copy(self, text: str) -> None:
        """Put `text` on the clipboard."""
        assert self._panel is not None
        self._panel.copy(text)

    def ask_path(self, name: str, kinds: tuple[str, ...], then: Callable[[Path], None]) -> None:
        """Let the user choose a file to write."""
        assert self._panel is not None
        self._panel.ask_path(name, kinds, then)

    def _add_keys(self, run: Callable[[], object], stop: Callable[[], object]) -> None:
        """Ctrl+Return runs; Escape stops what runs."""
        for keys in RUN:
            QShortcut(QKeySequence(keys), self).activated.connect(run)
        self._escape = QShortcut(QKeySequence("Esc"), self)
        self._escape.activated.connect(stop)
        self._escape.setEnabled(False)

    def _let_stop(self, running: bool) -> None:
        """Escape means something while something runs."""
        if self._escape is not None:
            self._escape.setEnabled(running)

    def _export(self, kind: str) -> None:
        if self._tab is not None:
            self._tab.export(kind)

    def _export_button(self, tooltip: str, actions: Sequence[tuple[str, str]]) -> QToolButton:
        """A button that copies, with everything else that can be taken along in its menu: (label, kind)."""
        button = menu_button("export", tooltip, "Copy or export")
        button.clicked.connect(lambda: self._export("copy"))
        for label, kind in actions:
            button.menu().addAction(label, partial(self._export, kind))
        return button


class StagedPage(TabPage):
    """A head line over a picture; in the place of both the words of a `Stage`, as long as there is nothing to see."""

    def __init__(self, copies: str, actions: Sequence[tuple[str, str]], parent: QWidget | None = None) -> None:
        """`copies`: what the export button copies; `actions` (label, kind) are in its menu."""
        super().__init__(parent)
        self.state = StateView()
        self.state.acted.connect(lambda name: self._tab and self._tab.act(name))
        self.headline = ElidedLabel()
        self.export = self._export_button(copies, actions)
        self._stack = QStackedWidget()

    def _fill(self, head: tuple[QWidget, ...], *below: QWidget) -> None:
        """The head line, with room for `headline`, and the picture below it, whose first widget takes the room."""
        picture = QWidget()
        inside = QVBoxLayout(picture)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.setSpacing(theme.SPACE // 2)
        inside.addWidget(row(head, stretch=self.headline))
        for number, widget in enumerate(below):
            inside.addWidget(widget, stretch=int(number == 0))
        self._stack.addWidget(self.state)
        self._stack.addWidget(picture)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._stack)

    def _offer_copies(self, table: QTableView) -> None:
        """The right button offers all copies and exports."""
        table.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        table.customContextMenuRequested.connect(
            lambda place: self.export.menu().popup(table.viewport().mapToGlobal(place))
        )

    def _show_stage(self, stage: Stage, *, running: bool = False) -> None:
        self._stack.setCurrentIndex(int(stage.kind is Kind.READY))
        self.state.show_stage(stage)
        self._let_stop(running)


def split(
    first: QWidget, second: QWidget, sizes: tuple[int, int], *, upright: bool = True, stretch: int | None = None
) -> QSplitter:
    """Two widgets above or beside each other; the user may move the border, and `stretch` is the one that grows."""
    splitter = QSplitter(Qt.Orientation.Vertical if upright else Qt.Orientation.Horizontal)
    splitter.setChildrenCollapsible(False)
    splitter.addWidget(first)
    splitter.addWidget(second)
    splitter.setSizes(sizes)
    if stretch is not None:
        splitter.setStretchFactor(stretch, 1)
    return splitter
