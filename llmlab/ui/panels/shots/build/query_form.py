"""The query: a line for every field, and the answer that is expected."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QGridLayout, QScrollArea, QVBoxLayout, QWidget

from llmlab.engine.shots.types import Example
from llmlab.ui import theme
from llmlab.ui.panels.shots.build.fields import VisibleField
from llmlab.ui.widgets.parts import ElidedLabel, heading

MOST_LINES = 4  # that are in sight at once
NAME_WIDTH = 90


class QueryForm(QWidget):
    """`typed(field or None, text)`; None is the expected answer."""

    typed = Signal(object, str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._names: tuple[str, ...] | None = None
        self.fields: dict[str | None, VisibleField] = {}
        self._area = QScrollArea()
        self._area.setWidgetResizable(True)
        self._area.setFrameShape(QScrollArea.Shape.NoFrame)
        title = heading("Query")
        title.setToolTip("What is asked after the shots. The answer is not shown to the model.")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        layout.addWidget(title)
        layout.addWidget(self._area)

    def show_query(self, query: Example, columns: tuple[str, ...]) -> None:
        """Show the query; `columns` are the fields that it may have."""
        if columns != self._names:
            self._names = columns
            self._build(columns)
        values = query.values
        for name, field in self.fields.items():
            field.set_plain(query.output if name is None else values.get(name, ""))

    def _build(self, columns: tuple[str, ...]) -> None:
        inside = QWidget()
        grid = QGridLayout(inside)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(theme.SPACE)
        grid.setVerticalSpacing(theme.SPACE // 2)
        grid.setColumnStretch(1, 1)
        self.fields = {}
        for line, name in enumerate((*columns, None)):
            label = ElidedLabel("answer" if name is None else name)
            label.setFixedWidth(NAME_WIDTH)
            tip = "The expected answer, where it is known; the model does not see it" if name is None else (
                f"The query's text for the field {name}"
            )  # fmt: skip
            field = VisibleField("Expected answer" if name is None else f"Query, {name}", tip)
            field.typed.connect(lambda text, name=name: self.typed.emit(name, text))
            self.fields[name] = field
            grid.addWidget(label, line, 0)
            grid.addWidget(field, line, 1)
        self._area.setWidget(inside)
        inside.setAutoFillBackground(False)
        self._area.viewport().setAutoFillBackground(False)
        lines = min(MOST_LINES, len(columns) + 1)
        height = next(iter(self.fields.values())).sizeHint().height()
        self._area.setFixedHeight(lines * (height + theme.SPACE // 2) + 2)
