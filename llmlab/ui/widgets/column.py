"""The narrow column of settings beside a picture, and what stands in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from PySide6.QtCore import QSignalBlocker, Qt, QTimer, Signal, Slot
from PySide6.QtGui import QFocusEvent, QWheelEvent
from PySide6.QtWidgets import (
    QComboBox,
    QFrame,
    QGridLayout,
    QLabel,
    QPlainTextEdit,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from llmlab.ui import theme
from llmlab.ui.screen import Fact
from llmlab.ui.widgets.parts import MutedLabel, heading, row

TYPING = 250  # ms without a key until a text is read


class ControlColumn(QScrollArea):
    """Scrolls when the window is low, never sideways. `changed` carries a dict of changed settings, as an object."""

    changed = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)

    def fill(self, widgets: Iterable[QWidget], spacing: int = 2 * theme.SPACE) -> None:
        """Put these below each other, once."""
        column = QWidget()
        layout = QVBoxLayout(column)
        layout.setContentsMargins(theme.SPACE // 2, 0, theme.SPACE, theme.SPACE)
        layout.setSpacing(spacing)
        for widget in widgets:
            layout.addWidget(widget)
        layout.addStretch(1)
        self.setWidget(column)
        column.setAutoFillBackground(False)
        self.viewport().setAutoFillBackground(False)


def group(title: str, *widgets: QWidget) -> QWidget:
    """Settings that belong together, under their name."""
    box = QWidget()
    layout = QVBoxLayout(box)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(theme.SPACE)
    layout.addWidget(heading(title))
    for widget in widgets:
        layout.addWidget(widget)
    return box


def labelled(label: str, widget: QWidget) -> QWidget:
    """A setting beside its name."""
    return row((QLabel(label), widget), stretch=widget)


class _Box(QComboBox):
    """Scrolling the column must not turn the choices that pass under the mouse."""

    def __init__(self) -> None:
        super().__init__()
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def wheelEvent(self, event: QWheelEvent) -> None:
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()


def combo_box(name: str, tooltip: str = "") -> QComboBox:
    """A choice whose long names do not widen the column."""
    box = _Box()
    box.setAccessibleName(name)
    box.setToolTip(tooltip)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(12)
    return box


class TextField(QPlainTextEdit):
    """A few lines of text. `typed` carries them when the typing pauses, or the keyboard goes elsewhere."""

    typed = Signal(str)

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setPlaceholderText(name)
        self.setAccessibleName(name)
        self.setToolTip(name)
        self.setTabChangesFocus(True)
        self.setFixedHeight(self.fontMetrics().lineSpacing() * 3 + 2 * theme.SPACE)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(TYPING)
        self._timer.timeout.connect(lambda: self.typed.emit(self.toPlainText()))
        self._seen = ""
        self.textChanged.connect(self._changed)

    def set_text(self, text: str) -> None:
        """Show `text`, without a signal; what is being typed stays."""
        if text != self.toPlainText() and not self._timer.isActive():
            self._seen = text
            with QSignalBlocker(self):
                self.setPlainText(text)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        if self._timer.isActive():  # what is done next is done to the text as it stands
            self._timer.stop()
            self.typed.emit(self.toPlainText())
        super().focusOutEvent(event)

    @Slot()
    def _changed(self) -> None:
        text = self.toPlainText()
        if text != self._seen:  # Qt calls another colour a change, too
            self._seen = text
            self._timer.start()


class FactList(QWidget):
    """Names and values below each other."""

    def __init__(self, parent: QWidget | None = None, *, wrapped: bool = False) -> None:
        """`wrapped`: values are words that may take several lines, beside their names; else numbers, at the right."""
        super().__init__(parent)
        self._wrapped = wrapped
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(theme.SPACE)
        self._grid.setVerticalSpacing(theme.SPACE // 2)
        self._grid.setColumnStretch(int(wrapped), 1)
        self._rows: list[tuple[MutedLabel, QLabel]] = []

    def show_facts(self, facts: Sequence[Fact]) -> None:
        """Show these."""
        while len(self._rows) < len(facts):
            self._add_row()
        for number, (name, value) in enumerate(self._rows):
            shown = number < len(facts)
            name.setVisible(shown)
            value.setVisible(shown)
            if shown:
                fact = facts[number]
                name.setText(fact.name)
                value.setText(fact.value)
                name.setToolTip(fact.tooltip)
                value.setToolTip(fact.tooltip)

    def _add_row(self) -> None:
        name, value = MutedLabel(), QLabel()
        value.setTextFormat(Qt.TextFormat.PlainText)
        value.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        value.setWordWrap(self._wrapped)
        row = len(self._rows)
        if self._wrapped:
            self._grid.addWidget(name, row, 0, Qt.AlignmentFlag.AlignTop)
            self._grid.addWidget(value, row, 1)
        else:
            value.setFont(theme.monospace())
            self._grid.addWidget(name, row, 0)
            self._grid.addWidget(value, row, 1, Qt.AlignmentFlag.AlignRight)
        self._rows.append((name, value))
