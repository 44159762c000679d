"""Tools: split a text into chunks of N tokens, and what it costs."""

from __future__ import annotations

from PySide6.QtCore import QSignalBlocker, Signal
from PySide6.QtWidgets import QDoubleSpinBox, QLabel, QSpinBox, QVBoxLayout, QWidget

from llmlab.jobs.job import ErrorInfo
from llmlab.ui import theme
from llmlab.ui.panels.tokens.params import MAX_CHUNK, MAX_RATE, Params
from llmlab.ui.panels.tokens.tooling import Chunks
from llmlab.ui.widgets.parts import ElidedLabel, MutedLabel, heading, menu_button, row
from llmlab.ui.widgets.tables import FrozenRows, Table
from llmlab.ui.widgets.tokentext import visible

COLUMNS = ("chunk", "tokens", "from", "to", "text")
WIDTHS = (7, 8, 9, 9, 40)
EXCERPT = 300  # characters of a chunk's text in its row


class ChunkModel(FrozenRows[Chunks]):
    """One row for each of the chunks of `Chunks`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(COLUMNS, right=COLUMNS[:-1], parent=parent)

    def size(self, value: Chunks) -> int:
        return len(value.parts)

    def cell(self, value: Chunks, row: int, column: str) -> str:
        part = value.parts[row]
        if column == "text":
            return visible(value.encoded.tokens.text[part.start : min(part.end, part.start + EXCERPT)])
        numbers = {"chunk": row + 1, "tokens": len(part.ids), "from": part.start, "to": part.end}
        return f"{numbers[column]:,}"


class ToolsPane(QWidget):
    """Chunks and price."""

    changed = Signal(object)  # dict of changes
    export_asked = Signal(str)  # "csv" or "json"

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = ChunkModel(self)
        self.chunk_size = _number("Tokens in a chunk", "At most so many tokens in each chunk", 1)
        self.overlap = _number(
            "Overlap", "So many tokens at the beginning of a chunk repeat the end of the one before", 0
        )
        self.chunk_size.valueChanged.connect(lambda value: self.changed.emit({"chunk_size": value}))
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
        sizes = (heading("Chunks of"), self.chunk_size, MutedLabel("tokens, overlap"), self.overlap)
        cost = (heading("Price at"), self.rate, MutedLabel("for a million tokens"), self.price)
        self.view = Table(self.model, "Chunks", WIDTHS)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        layout.addWidget(row((*sizes, self.summary, export), stretch=self.summary))
        layout.addWidget(self.view, stretch=1)
        layout.addWidget(row(cost, stretch=self.price))

    def show_params(self, params: Params) -> None:
        """Set the fields, without a signal."""
        with QSignalBlocker(self.chunk_size), QSignalBlocker(self.overlap), QSignalBlocker(self.rate):
            self.chunk_size.setValue(params.chunk_size)
            self.overlap.setValue(params.chunk_overlap)
            self.rate.setValue(params.rate)

    def show_chunks(self, chunks: Chunks | None) -> None:
        """Show the parts, or none."""
        self.model.show(chunks)
        if chunks is None:
            self.summary.setText("")
            return
        count = len(chunks.parts)
        self.summary.setText(f"{count:,} chunk{'s' if count != 1 else ''}, {chunks.total:,} tokens with the overlaps")

    def show_error(self, error: ErrorInfo) -> None:
        """The text cannot be split so."""
        self.model.show(None)
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
