"""The moments of a training step: stacked areas over a table of them."""

from __future__ import annotations

from PySide6.QtCore import QPoint, QSignalBlocker, Qt, Slot
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QMenu, QPlainTextEdit, QSplitter, QWidget

from llmlab.ui import theme
from llmlab.ui.panels.memory import sizes
from llmlab.ui.panels.memory.calculator import phases
from llmlab.ui.panels.memory.calculator.panes import SIZE_COLUMNS, column, show_units
from llmlab.ui.panels.memory.calculator.phases import Phases
from llmlab.ui.widgets.chart.chart import Chart
from llmlab.ui.widgets.rowtable import Column, Row, RowTable

COLUMNS = (
    Column("moment", "Where the training step stands", 17, number=False),
    *SIZE_COLUMNS,
    Column("of peak", "As much of the worst moment's memory", 9),
    Column(
        "what is there", "What has come first, then what stays; choose the row to read the formulas", 0, number=False
    ),
)


class PhasesPane(QWidget):
    """The chart of a step, its moments, and the formulas of the one that is chosen."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown: Phases | None = None
        self._chosen = ""  # the moment whose formulas are read; else the peak
        self.chart = Chart("Memory of a training step from moment to moment")
        self.chart.picked.connect(lambda _series, place: self._choose(place))
        self.table = RowTable(COLUMNS, "Moments of a training step, and what is there")
        self.table.picked.connect(lambda rows: self._choose(rows[0]) if rows else None)
        self.table.copy_asked.connect(self.copy_table)
        self.table.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.table.customContextMenuRequested.connect(self._menu)
        self.table.setFixedHeight(9 * self.table.verticalHeader().defaultSectionSize())
        self.formulas = QPlainTextEdit()  # lays out no more than itself, at every move of a slider
        self.formulas.setReadOnly(True)
        self.formulas.setTabChangesFocus(True)
        self.formulas.setFrameShape(QPlainTextEdit.Shape.NoFrame)
        self.formulas.setFont(theme.monospace(0.95))
        self.formulas.setAccessibleName("Formulas of all that is there at the chosen moment")
        lower = QWidget()
        lower.setLayout(column((self.table, 0), (self.formulas, 1)))
        splitter = QSplitter(Qt.Orientation.Vertical)
        splitter.setObjectName("memory-phases")
        splitter.setChildrenCollapsible(False)
        splitter.addWidget(self.chart)
        splitter.addWidget(lower)
        splitter.setSizes([300, 320])
        self.setLayout(column((splitter, 1)))

    def show_phases(self, shown: Phases) -> None:
        """Show another step; the chosen moment stays."""
        self._shown = shown
        self.chart.show_plot(shown.plot)
        peak = shown.phases[shown.worst].total
        found = sizes.units(each.total for each in shown.phases)
        show_units(self.table, found, "On each GPU, ")
        rows = [
            Row(
                (
                    each.moment.value,
                    *found.cells(each.total),
                    f"{each.total / peak:.1%}" if peak else "–",
                    phases.parts(each, shown.phases[0]),
                ),
                tooltip=f"{each.about}\n\n{phases.formulas(each)}",
            )
            for each in shown.phases
        ]
        self.table.set_rows(rows)
        self._tell()

    @property
    def chosen(self) -> int:
        """The place of the chosen moment, else that of the peak."""
        if self._shown is None:
            return 0
        names = [each.moment.value for each in self._shown.phases]
        return names.index(self._chosen) if self._chosen in names else self._shown.worst

    @Slot()
    def copy_table(self) -> None:
        """Every component of every moment, for a spreadsheet."""
        if self._shown is not None:
            QGuiApplication.clipboard().setText(phases.table(self._shown.phases, "\t"))

    @Slot()
    def copy_formulas(self) -> None:
        """What is there at the chosen moment."""
        QGuiApplication.clipboard().setText(self.formulas.toPlainText())

    @Slot(QPoint)
    def _menu(self, place: QPoint) -> None:
        menu = QMenu(self)
        menu.addAction("Copy the formulas of the moment", self.copy_formulas)
        menu.addAction("Copy all moments", self.copy_table)
        menu.aboutToHide.connect(menu.deleteLater)
        menu.popup(self.table.viewport().mapToGlobal(place))

    def _choose(self, place: int) -> None:
        if self._shown is not None and place < len(self._shown.phases):
            self._chosen = self._shown.phases[place].moment.value
            self._tell()

    def _tell(self) -> None:
        if self._shown is None:
            return
        each = self._shown.phases[self.chosen]
        peak = " This is the peak." if self.chosen == self._shown.worst else ""
        self.formulas.setPlainText(f"{each.moment}: {each.about}{peak}\n{phases.formulas(each)}")
        with QSignalBlocker(self.table):
            self.table.select([self.chosen])
