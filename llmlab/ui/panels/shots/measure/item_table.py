"""The items of one condition as a table, a column for each label's probability."""

from __future__ import annotations

from PySide6.QtCore import Signal, Slot
from PySide6.QtGui import QContextMenuEvent, QGuiApplication
from PySide6.QtWidgets import QCheckBox, QMenu, QVBoxLayout, QWidget

from llmlab.ui import theme
from llmlab.ui.panels.shots.measure.found import Found, ItemLine
from llmlab.ui.panels.shots.measure.params import Comparison
from llmlab.ui.widgets.column import combo_box
from llmlab.ui.widgets.parts import MutedLabel
from llmlab.ui.widgets.tables import PAD, FrozenRows, Table
from llmlab.ui.widgets.wrapping import wrapping_row

COLUMNS = ("#", "item", "truth", "answer", "right")
TIPS = {
    "#": "Number in the test set",
    "item": "The fields of the item",
    "truth": "The answer that is right",
    "answer": "What the model answers: the most probable label, or what it wrote",
    "right": "✓, or how right by the metric, 0 to 1; of two variants this one / the other",
}
WIDTHS = {"#": 4, "item": 22, "truth": 8, "answer": 9, "right": 6}
PROBABILITY = 9  # digits


def _stands_out(line: ItemLine) -> bool:
    """Whether it is wrong or, of two variants, right with one of them only."""
    return line.value < 1 if line.other is None else line.value != line.other[1]


class ItemModel(FrozenRows[tuple[ItemLine, ...]]):
    """Rows of `ItemLine`; what is right is faint."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(COLUMNS, right=("#",), faint=("#",), parent=parent)
        self._labels: tuple[str, ...] = ()

    def show_lines(self, lines: tuple[ItemLine, ...], labels: tuple[str, ...]) -> None:
        """Show others, with a column for each of `labels`."""
        self.beginResetModel()
        self._labels = labels
        numbers = [f"p({label})" for label in labels]
        self._set_columns((*COLUMNS, *numbers), right=("#", *numbers))
        self.value = lines
        self.endResetModel()

    def size(self, value: tuple[ItemLine, ...]) -> int:
        return len(value)

    def cell(self, value: tuple[ItemLine, ...], row: int, column: str) -> str:
        line = value[row]
        if column in COLUMNS:
            grade = _mark(line.value) + (f"/{_mark(line.other[1])}" if line.other is not None else "")
            shown = (str(line.item + 1), line.text, line.truth, line.answer, grade)
            return shown[COLUMNS.index(column)].replace("\n", "⏎")
        return f"{line.probabilities[self.columns.index(column) - len(COLUMNS)]:.4f}"

    def tip(self, value: tuple[ItemLine, ...], row: int, column: str) -> str | None:
        line = value[row]
        if column.startswith("p("):
            return f"{line.probabilities[self.columns.index(column) - len(COLUMNS)]!r}"
        other = f"\nthe other variant: {line.other[0]} {_mark(line.other[1])}" if line.other is not None else ""
        dropped = f"\n{line.dropped} shots found no room" if line.dropped else ""
        return f"{self.cell(value, row, column)}\n{line.tokens:,} tokens in the prompt{dropped}{other}"

    def title_tip(self, column: str) -> str | None:
        return TIPS.get(column, "The label's probability among all labels")


def _mark(value: float) -> str:
    return "✓" if value >= 1 else "✗" if value <= 0 else f"{value:.2f}"


class ItemTable(QWidget):
    """Which condition, only what is wrong, the rows."""

    chosen = Signal(str)  # a condition's key

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown: Found | None = None
        self.model = ItemModel(self)
        self.view = Table(self.model, "Items", [WIDTHS[name] for name in COLUMNS])
        self.conditions = combo_box("Condition", "Whose items are listed")
        self.wrong = QCheckBox("Only wrong ones")
        self.wrong.setToolTip("List only the items that are not right or, of two variants, those in which they differ")
        self.count = MutedLabel()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        layout.addWidget(wrapping_row((self.conditions, self.wrong, self.count), stretch=self.count))
        layout.addWidget(self.view, stretch=1)
        self.conditions.setMinimumContentsLength(18)
        self.conditions.activated.connect(lambda index: self.chosen.emit(self.conditions.itemData(index)))
        self.wrong.toggled.connect(self._list)
        self.view.copy_asked.connect(self.copy_row)

    def show_found(self, shown: Found | None) -> None:
        """Show another one; the place in the table stays."""
        self._shown = shown
        two = shown is not None and shown.test is Comparison.VARIANTS
        self.wrong.setText("Only where they differ" if two else "Only wrong ones")
        wanted = shown.conditions if shown is not None else ()
        known = tuple(
            (self.conditions.itemData(i), self.conditions.itemText(i)) for i in range(self.conditions.count())
        )
        if wanted != known:
            self.conditions.clear()
            for key, name in wanted:
                self.conditions.addItem(name, key)
        if shown is not None:
            self.conditions.setCurrentIndex([key for key, _ in wanted].index(shown.chosen))
        self._list()

    @Slot()
    def copy_row(self) -> None:
        """The selected row, tab-separated."""
        index, lines = self.view.currentIndex(), self.model.value
        if index.isValid() and lines is not None:
            cells = [self.model.cell(lines, index.row(), column) for column in self.model.columns]
            QGuiApplication.clipboard().setText("\t".join(cells))

    @Slot()
    def _list(self) -> None:
        lines = self._shown.items if self._shown is not None else ()
        labels = self._shown.labels if self._shown is not None else ()
        some = tuple(filter(_stands_out, lines)) if self.wrong.isChecked() else lines
        place = self.view.verticalScrollBar().value()
        former = self.model.columns
        self.model.show_lines(some, labels)
        if self.model.columns != former:
            self._set_widths()
        self.view.verticalScrollBar().setValue(place)
        self.count.setText(
            f"{len(some):,} of {len(lines):,} items" if len(some) != len(lines) else f"{len(lines):,} items"
        )

    def _set_widths(self) -> None:
        digit = self.view.fontMetrics().horizontalAdvance("0")
        for number, column in enumerate(self.model.columns):
            digits = WIDTHS.get(column, max(PROBABILITY, min(len(column) + 1, 18)))
            self.view.setColumnWidth(number, digits * digit + 2 * PAD)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        menu = QMenu(self)
        menu.addAction("Copy row", self.copy_row)
        menu.aboutToHide.connect(menu.deleteLater)
        menu.popup(event.globalPos())
