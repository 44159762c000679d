"""The list of stop strings."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtGui import QFontMetrics
from PySide6.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QVBoxLayout, QWidget

from llmlab.ui import theme
from llmlab.ui.panels.decoding.escapes import escaped, unescaped
from llmlab.ui.panels.decoding.params import MAX_STOP_LENGTH, MAX_STOPS, checked_stops
from llmlab.ui.widgets.parts import icon_button

TEXT_WIDTH = 190


class StopStrings(QWidget):
    """Stop strings, each with a button to remove it, and a field to add one. `changed` carries the tuple."""

    changed = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._values: tuple[str, ...] = ()
        self._shown: list[QWidget] = []
        self._field = QLineEdit()
        self._field.setPlaceholderText("e.g. \\n\\n or </answer>")
        self._field.setMaxLength(MAX_STOP_LENGTH)
        self._field.setAccessibleName("New stop string")
        self._field.setFont(theme.monospace())
        tip = "Generation ends before this text would appear. \\n is a line break, \\t a tab. Enter adds it."
        self._field.setToolTip(tip)
        self._add = icon_button("add", "Add this stop string")
        self._rows = QVBoxLayout()
        self._rows.setSpacing(0)
        line = QHBoxLayout()
        line.setSpacing(theme.SPACE // 2)
        line.addWidget(self._field)
        line.addWidget(self._add)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        layout.addLayout(self._rows)
        layout.addLayout(line)
        self._field.returnPressed.connect(self._add_typed)
        self._add.clicked.connect(self._add_typed)

    @property
    def values(self) -> tuple[str, ...]:
        """The stop strings."""
        return self._values

    def set_values(self, values: tuple[str, ...]) -> None:
        """Show these, without a signal."""
        if values == self._values:
            return
        self._values = values
        for old in self._shown:
            self._rows.removeWidget(old)
            old.hide()
            old.deleteLater()
        self._shown = [self._row(value) for value in values]
        for row in self._shown:
            self._rows.addWidget(row)
        full = len(values) >= MAX_STOPS
        self._field.setEnabled(not full)
        self._add.setEnabled(not full)

    def _row(self, value: str) -> QWidget:
        row, label = QWidget(), QLabel()
        label.setFont(theme.monospace())
        label.setTextFormat(Qt.TextFormat.PlainText)
        text = QFontMetrics(label.font()).elidedText(escaped(value), Qt.TextElideMode.ElideRight, TEXT_WIDTH)
        label.setText(text)
        label.setToolTip(escaped(value))
        remove = icon_button("cancel", f"Remove the stop string {escaped(value)}")
        remove.clicked.connect(lambda: self._change(tuple(other for other in self._values if other != value)))
        layout = QHBoxLayout(row)
        layout.setContentsMargins(theme.SPACE // 2, 0, 0, 0)
        layout.addWidget(label, stretch=1)
        layout.addWidget(remove)
        return row

    @Slot()
    def _add_typed(self) -> None:
        text = unescaped(self._field.text())
        if text:
            self._field.clear()
            self._change(checked_stops((*self._values, text)))

    def _change(self, values: tuple[str, ...]) -> None:
        if values != self._values:
            self.set_values(values)
            self.changed.emit(values)
