"""Tools: split a text into chunks of N tokens, and what it costs."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt, Signal
from PySide6.QtWidgets import (
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from llmlab.jobs.job import ErrorInfo
from llmlab.ui import theme
from llmlab.ui.panels.tokens.params import MAX_CHUNK, MAX_RATE, Params
from llmlab.ui.panels.tokens.tooling import Chunks
from llmlab.ui.widgets.parts import ElidedLabel, MutedLabel, heading, menu_button
from llmlab.ui.widgets.tables import Table
from llmlab.ui.widgets.tokentext import visible

Index = QModelIndex | QPersistentModelIndex
ROOT = QModelIndex()
COLUMNS = ("chunk", "tokens", "from", "to", "text")
WIDTHS = (7, 8, 9, 9, 40)
EXCERPT = 300  # characters of a chunk's text in its row


class ChunkModel(QAbstractTableModel):
    """One row for each chunk."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.chunks: Chunks | None = None

    def set_chunks(self, chunks: Chunks | None) -> None:
        """Show others."""
        self.beginResetModel()
        self.chunks = chunks
        self.endResetModel()

    def rowCount(self, parent: Index = ROOT) -> int:
        return len(self.chunks.parts) if self.chunks is not None and not parent.isValid() else 0

    def columnCount(self, parent: Index = ROOT) -> int:
        return 0 if parent.isValid() else len(COLUMNS)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if self.chunks is None or not index.isValid():
            return None
        name = COLUMNS[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            part = self.chunks.parts[index.row()]
            if name == "text":
                return visible(self.chunks.encoded.tokens.text[part.start : min(part.end, part.start + EXCERPT)])
            values = {"chunk": index.row() + 1, "tokens": len(part.ids), "from": part.start, "to": part.end}
            return f"{values[name]:,}"
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(index.column())
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation is not Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(section)
        return COLUMNS[section] if role == Qt.ItemDataRole.DisplayRole else None


def _alignment(column: int) -> Qt.AlignmentFlag:
    left = COLUMNS[column] == "text"
    return (Qt.AlignmentFlag.AlignLeft if left else Qt.AlignmentFlag.AlignRight) | Qt.AlignmentFlag.AlignVCenter


class ToolsPane(QWidget):
    """Chunks and price."""

    changed = Signal(object)  # dict of changes
    export_asked = Signal(str)  # "csv" or "json"

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = ChunkModel(self)
        self.size = _number("Tokens in a chunk", "At most so many tokens in each chunk", 1)
        self.overlap = _number(
            "Overlap", "So many tokens at the beginning of a chunk repeat the end of the one before", 0
        )
        self.size.valueChanged.connect(lambda value: self.changed.emit({"chunk_size": value}))
        self.overlap.valueChanged.connect(lambda value: self.changed.emit({"chunk_overlap": value}))
        self.rate = QDoubleSpinBox()
        self.rate.setRange(0, MAX_RATE)
        self.rate.setDecimals(3)
        self.rate.setAccessibleName("Rate for a million tokens")
        self.rate.setToolTip("What a million tokens cost, in any currency")
        self.rate.valueChanged.connect(lambda value: self.changed.emit({"rate": value}))
        self.summary, self.price = ElidedLabel(), QLabel()
        self.price.setFont(theme.monospace())
        export = menu_button("export", "Export the chunks as CSV", "Export chunks")
        export.clicked.connect(lambda: self.export_asked.emit("csv"))
        export.menu().addAction("Export the chunks as CSV…", lambda: self.export_asked.emit("csv"))
        export.menu().addAction("Export the chunks as JSON…", lambda: self.export_asked.emit("json"))
        line = QHBoxLayout()
        line.setSpacing(theme.SPACE)
        for widget in (heading("Chunks of"), self.size, MutedLabel("tokens, overlap"), self.overlap):
            line.addWidget(widget)
        line.addWidget(self.summary, stretch=1)
        line.addWidget(export)
        cost = QHBoxLayout()
        cost.setSpacing(theme.SPACE)
        for widget in (heading("Price at"), self.rate, MutedLabel("for a million tokens"), self.price):
            cost.addWidget(widget)
        cost.addStretch(1)
        self.view = Table(self.model, "Chunks", WIDTHS)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        layout.addLayout(line)
        layout.addWidget(self.view, stretch=1)
        layout.addLayout(cost)

    def show_params(self, params: Params) -> None:
        """Set the fields, without a signal."""
        for field, value in (
            (self.size, params.chunk_size),
            (self.overlap, params.chunk_overlap),
            (self.rate, params.rate),
        ):
            field.blockSignals(True)
            field.setValue(value)  # type: ignore[attr-defined]
            field.blockSignals(False)

    def show_chunks(self, chunks: Chunks | None) -> None:
        """Show the parts, or none."""
        self.model.set_chunks(chunks)
        if chunks is None:
            self.summary.setText("")
            return
        count = len(chunks.parts)
        self.summary.setText(f"{count:,} chunk{'s' if count != 1 else ''}, {chunks.total:,} tokens with the overlaps")

    def show_error(self, error: ErrorInfo) -> None:
        """The text cannot be split so."""
        self.model.set_chunks(None)
        self.summary.setText(f"{error.message} {error.hint}")

    def show_price(self, tokens: int, price: float) -> None:
        """What the whole prompt costs."""
        self.price.setText(f"{tokens:,} tokens cost {price:.6f}" if tokens else "")


def _number(name: str, tooltip: str, lowest: int) -> QSpinBox:
    spin = QSpinBox()
    spin.setRange(lowest, MAX_CHUNK)
    spin.setKeyboardTracking(False)
    spin.setAccessibleName(name)
    spin.setToolTip(tooltip)
    return spin
