"""The menu bar, and with it the window's keyboard shortcuts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtGui import QActionGroup, QKeySequence
from PySide6.QtWidgets import QApplication, QMenu, QMessageBox

from llmlab import __version__
from llmlab.ui import theme
from llmlab.ui.panel import PanelSpec

if TYPE_CHECKING:
    from llmlab.ui.window import Actions, MainWindow

SHORTCUTS = (
    ("Ctrl+1 … Ctrl+9", "the panels"),
    ("Ctrl+L", "the prompt"),
    ("Ctrl+Return", "generate, insert a mask, or measure"),
    ("Esc", "stop generating or measuring"),
    ("Ctrl+B", "decoding: the tab takes the room of the bars, or gives it back"),
    ("Alt+Left, Alt+Right", "the generated token (attention) or test item (shots) before, or the next"),
    ("Arrows, Return, + − 0", "attention: go to a head or cell, pin its row, zoom, show everything"),
    ("Ctrl+O", "open a model"),
    ("Ctrl+Shift+O", "open a text file as the prompt"),
    ("F1", "these shortcuts"),
    ("Ctrl+Q", "quit"),
)
SCHEMES: tuple[tuple[str, theme.Scheme], ...] = (
    ("Like the system", "system"),
    ("Light", "light"),
    ("Dark", "dark"),
)


def fill_menu_bar(window: MainWindow, specs: Sequence[PanelSpec], actions: Actions) -> None:
    """File, View and Help."""
    file = window.menuBar().addMenu("&File")
    _add(file, "Open a &model…", "Ctrl+O", actions.browse_models)
    _add(file, "Open a &text as the prompt…", "Ctrl+Shift+O", actions.open_file)
    file.addSeparator()
    _add(file, "&Quit", "Ctrl+Q", window.close)
    view = window.menuBar().addMenu("&View")
    for index, spec in enumerate(specs):
        _add(view, spec.title, f"Ctrl+{index + 1}", partial(window.show_panel, index))
    _add(view, "&Prompt", "Ctrl+L", window.prompt.setFocus)
    view.addSeparator()
    _add_schemes(view.addMenu("&Colours"), actions.set_scheme)
    about = window.menuBar().addMenu("&Help")
    _add(about, "&Keyboard shortcuts", "F1", lambda: show_shortcuts(window))
    _add(about, "&About LLM Lab", None, lambda: show_about(window))


def _add(menu: QMenu, text: str, keys: str | None, call: Callable[[], object]) -> None:
    action = menu.addAction(text)
    if keys:
        action.setShortcut(QKeySequence(keys))
    action.triggered.connect(lambda _checked=False: call())


def _add_schemes(menu: QMenu, set_scheme: Callable[[theme.Scheme], None]) -> None:
    group = QActionGroup(menu)
    for text, scheme in SCHEMES:
        action = menu.addAction(text)
        action.setCheckable(True)
        action.setChecked(theme.scheme() == scheme)
        action.triggered.connect(lambda _checked=False, scheme=scheme: set_scheme(scheme))
        group.addAction(action)


def show_shortcuts(window: MainWindow) -> None:
    """All shortcuts in one box."""
    rows = "".join(f"<tr><td><b>{keys}</b>&nbsp;&nbsp;&nbsp;</td><td>{what}</td></tr>" for keys, what in SHORTCUTS)
    _box(window, "Keyboard shortcuts", f"<table cellpadding='4'>{rows}</table>")


def show_about(window: MainWindow) -> None:
    """What this is, and what it stands on."""
    _box(
        window,
        "About LLM Lab",
        f"<h3>LLM Lab {__version__}</h3>"
        "<p>A desktop laboratory for exploring how language models behave.</p>"
        "<p>Apache License 2.0. Made with PyTorch, transformers and Qt for Python.<br>"
        "The bundled models' cards say what they were trained on. Built with Llama.</p>",
    )


def _box(window: MainWindow, title: str, html: str) -> None:
    box = QMessageBox(window)
    box.setWindowTitle(title)
    box.setText(html)
    box.setIconPixmap(QApplication.windowIcon().pixmap(48, 48))
    box.open()
    box.finished.connect(box.deleteLater)
