"""The tokens as a table that stays smooth with a million rows: only what is looked at is ever made into words."""

from __future__ import annotations

from PySide6.QtCore import QItemSelection, Qt, Signal, Slot
from PySide6.QtWidgets import QAbstractItemView, QComboBox, QLineEdit, QVBoxLayout, QWidget

from llmlab.ui import theme
from llmlab.ui.panels.tokens.encoded import KIND_HELP, KIND_NAMES
from llmlab.ui.panels.tokens.rows import COLUMNS, NUMBERS, Rows
from llmlab.ui.widgets.parts import MutedLabel, menu_button, row
from llmlab.ui.widgets.tables import FrozenRows, Table

TOOLTIPS = {
    "#": "Number in the text",
    "token": "The text it stands for, with everything visible",
    "id": "Its number in the vocabulary: this is what the model gets",
    "bytes": "UTF-8 bytes of that text, in hex",
    "from": "Its first character's place in the text",
    "to": "The place after its last character",
    "word": "Number of the pre-tokenizer's word that it is part of",
    "kind": "normal, special, added, bytes, unknown or continuation",
    "in text": "How often it occurs in this text",
    "rank": "When BPE learned the merge that makes it: 0 was the first",
}
WIDTHS = (7, 16, 7, 15, 7, 7, 7, 13, 8, 7)  # in digits


class TokenModel(FrozenRows[Rows]):
    """The rows of `Rows`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        faint = [column for column in COLUMNS if column not in ("token", "id")]
        super().__init__(COLUMNS, right=NUMBERS, faint=faint, parent=parent)

    def size(self, value: Rows) -> int:
        return len(value)

    def cell(self, value: Rows, row: int, column: str) -> str:
        return value.cell(row, COLUMNS.index(column))

    def tip(self, value: Rows, row: int, column: str) -> str:
        return self.cell(value, row, column)

    def title(self, column: str) -> str:
        order = self.value.order if self.value is not None else None
        if order is None or order.column != COLUMNS.index(column):
            return column
        return column + (" ↓" if order.descending else " ↑")

    def title_tip(self, column: str) -> str:
        return TOOLTIPS[column]


class TablePane(QWidget):
    """Filter, table, export."""

    ordered = Signal(object)  # dict of changes
    selected = Signal(int, int)  # tokens
    export_asked = Signal(str)  # "copy", "csv" or "json"
    copy_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = TokenModel(self)
        self.view = Table(self.model, "Table of tokens", WIDTHS)
        self.filter = QLineEdit()
        self.filter.setPlaceholderText("Filter by text or id")
        self.filter.setToolTip("Show only tokens whose text contains this, or whose id this is")
        self.filter.setAccessibleName("Filter the tokens")
        self.filter.setClearButtonEnabled(True)
        self.filter.setMaximumWidth(30 * theme.SPACE)
        self.filter.textChanged.connect(lambda text: self.ordered.emit({"query": text}))
        self.kind = QComboBox()
        self.kind.setAccessibleName("Kind of tokens")
        self.kind.addItem("All kinds", -1)
        for kind, name in KIND_NAMES.items():
            self.kind.addItem(name.capitalize(), int(kind))
            self.kind.setItemData(self.kind.count() - 1, KIND_HELP[kind], Qt.ItemDataRole.ToolTipRole)
        self.kind.setToolTip("Show only tokens of one kind")
        self.kind.currentIndexChanged.connect(lambda _: self.ordered.emit({"kind": self.kind.currentData()}))
        self.count = MutedLabel()
        export = menu_button("export", "Copy the rows, as they are filtered and sorted", "Export")
        export.clicked.connect(lambda: self.export_asked.emit("copy"))
        export.menu().addAction("Copy the rows", lambda: self.export_asked.emit("copy"))
        export.menu().addAction("Export as CSV…", lambda: self.export_asked.emit("csv"))
        export.menu().addAction("Export as JSON…", lambda: self.export_asked.emit("json"))
        self._set_up_view()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        layout.addWidget(row((self.filter, self.kind, self.count, export), stretch=self.count))
        layout.addWidget(self.view, stretch=1)

    def _set_up_view(self) -> None:
        self.view.setSelectionMode(QAbstractItemView.SelectionMode.ContiguousSelection)
        header = self.view.horizontalHeader()
        header.setSectionsClickable(True)
        header.sectionClicked.connect(self._sort)
        self.view.selectionModel().selectionChanged.connect(self._selection_changed)
        self.view.copy_asked.connect(self.copy_asked)

    def show_rows(self, rows: Rows | None) -> None:
        """Show others; the place in the table stays where it makes sense."""
        place = self.view.verticalScrollBar().value()
        self.model.show(rows)
        self.view.verticalScrollBar().setValue(place)
        if rows is None:
            self.count.setText("")
            return
        shown, whole = len(rows), len(rows.encoded)
        self.count.setText(f"{shown:,} of {whole:,} tokens" if shown != whole else f"{whole:,} tokens")

    def select_tokens(self, first: int, last: int) -> None:
        """Mark the rows of tokens, without a signal, and bring the first into sight."""
        rows, model = self.model.value, self.view.selectionModel()
        model.blockSignals(True)
        model.clearSelection()
        if rows is not None and first >= 0:
            top = rows.row_of(first)
            bottom = rows.row_of(last) if last > first else top
            if top >= 0:
                low, high = sorted((top, bottom if bottom >= 0 else top))
                if high - low != last - first:  # sorted differently: the tokens are not neighbours here
                    high = low = top
                ends = (self.model.index(low, 0), self.model.index(high, len(COLUMNS) - 1))
                model.select(QItemSelection(*ends), model.SelectionFlag.Select)
                self.view.scrollTo(self.model.index(top, 1))
        model.blockSignals(False)
        self.view.viewport().update()

    @Slot(int)
    def _sort(self, column: int) -> None:
        """By this column; a second click turns the order around."""
        rows = self.model.value
        again = rows is not None and rows.order.column == column and not rows.order.descending
        self.ordered.emit({"column": column, "descending": again})

    @Slot()
    def _selection_changed(self) -> None:
        rows, selection = self.model.value, self.view.selectionModel().selection()
        if rows is None or selection.isEmpty():
            return
        chosen = rows.indices[selection.first().top() : selection.first().bottom() + 1]
        first, last = int(chosen.min()), int(chosen.max())
        if last - first + 1 != len(chosen):  # not neighbours in the text: only the current one is marked there
            first = last = int(rows.indices[self.view.currentIndex().row()])
        self.selected.emit(first, last)
