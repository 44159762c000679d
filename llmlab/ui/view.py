"""What the widgets of all panels share: they pass the panel's life on to its presenter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QWidget

from llmlab.ui.presenter import PanelPresenter
from llmlab.ui.widgets import saving
from llmlab.ui.widgets.chart.drawn import Drawn


class PanelView:
    """Is a `Panel` to the window, and to its presenter the clipboard and the file dialogs."""

    picture: QWidget
    controls: QWidget
    presenter: PanelPresenter

    def activate(self) -> None:
        """The panel has come to the front."""
        self.presenter.activate()

    def deactivate(self) -> None:
        """Another panel is in front."""
        self.presenter.deactivate()

    def save(self) -> dict[str, Any]:
        """The settings to find again."""
        return self.presenter.save()

    def close(self) -> None:
        """The window closes."""
        self.presenter.close()

    def copy(self, text: str) -> None:
        """Put `text` on the clipboard."""
        QGuiApplication.clipboard().setText(text)

    def ask_path(self, name: str, kinds: tuple[str, ...], then: Callable[[Path], None]) -> None:
        """Let the user choose a file to write, such as "map.png", of one of `kinds` (suffixes)."""
        saving.ask_path(self.picture, name, kinds, then)

    def attach_chart(self, chart: Drawn, name: str) -> None:
        """Let `chart` be written to files that are first called `name`."""

        def export(kind: str) -> None:
            writer = chart.writer(kind)
            self.ask_path(f"{name}.{kind}", (kind,), lambda path: self.presenter.asking.store(path, writer))

        chart.export_asked.connect(export)

    def ask_file(self, title: str, kinds: tuple[str, ...], then: Callable[[Path], None]) -> None:
        """Let the user choose a file to read, of one of `kinds` (suffixes)."""
        saving.ask_file(self.picture, title, kinds, then)
