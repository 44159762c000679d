"""The pictures of the calculator, each with what belongs to it."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QPoint, QSignalBlocker, Qt, Signal, Slot
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QLabel, QMenu, QPushButton, QSplitter, QVBoxLayout, QWidget

from llmlab.engine.memory.terms import Estimate, Term
from llmlab.ui import theme
from llmlab.ui.panels.memory import sizes
from llmlab.ui.panels.memory.calculator.pictures import Parts, Rules, Sharing, Stacks
from llmlab.ui.panels.memory.calculator.screen import Speed
from llmlab.ui.panels.memory.sizes import Units
from llmlab.ui.widgets.chart.chart import Chart
from llmlab.ui.widgets.chart.stacks import Mark, Segment, Stack, StackedBars
from llmlab.ui.widgets.parts import ElidedLabel, row
from llmlab.ui.widgets.rowtable import Column, Row, RowTable
from llmlab.ui.words import both_sizes, size

# Their heads are the units that suit what is shown.
SIZE_COLUMNS = (Column("GB", "In powers of ten", 9), Column("GiB", "In powers of two", 9))
TERM_COLUMNS = (
    Column("part", "What takes the memory", 26, number=False),
    *SIZE_COLUMNS,
    Column("share", "Of all on the GPU", 7),
    Column("formula with its numbers", "How many bytes: choose the row to read all of it", 0, number=False),
)
STRATEGY_COLUMNS = (
    Column("strategy", "How the training is shared out; Enter or a double click chooses it", 20, number=False),
    *SIZE_COLUMNS,
    Column("sent", "What each GPU sends in a step, compared with DDP", 7),
    Column("formula of what is sent, in elements", "Ψ parameters over N GPUs", 0, number=False),
)


def column(*widgets: tuple[QWidget, int]) -> QVBoxLayout:
    """Widgets below each other, each with its share of the height that is left."""
    layout = QVBoxLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(theme.SPACE // 2)
    for widget, stretch in widgets:
        layout.addWidget(widget, stretch=stretch)
    return layout


def formula_label(name: str, lines: int) -> QLabel:
    """Selectable text of at least so many lines, in digits that stand below each other."""
    made = QLabel()
    made.setWordWrap(True)
    made.setTextFormat(Qt.TextFormat.PlainText)
    made.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    made.setFont(theme.monospace(0.95))
    made.setMinimumHeight(lines * made.fontMetrics().lineSpacing())
    made.setAlignment(Qt.AlignmentFlag.AlignTop)
    made.setAccessibleName(name)
    return made


def show_units(table: RowTable, units: Units, where: str = "") -> None:
    """Name the columns of `SIZE_COLUMNS` by the units of their cells."""
    heads = zip(SIZE_COLUMNS, units.names, units.meanings, strict=True)
    table.rows_model.set_titles({column.name: (unit, where + meaning) for column, unit, meaning in heads})


def button(text: str, tip: str, call: Callable[[], object]) -> QPushButton:
    """Calls without Qt's argument."""
    made = QPushButton(text)
    made.setToolTip(tip)
    made.clicked.connect(lambda _checked=False: call())
    return made


def _show_stacks(widget: StackedBars, stacks: Stacks) -> None:
    bars = (
        Stack(
            bar.label,
            tuple(Segment(part.name, part.bytes, part.color, part.facts, part.faint) for part in bar.parts),
            note=bar.note,
            chosen=bar.chosen,
        )
        for bar in stacks.bars
    )
    widget.show_stacks(tuple(bars), tuple(Mark(size, name) for size, name in stacks.marks))
    widget.setAccessibleName(stacks.title)


class PartsPane(QWidget):
    """Stacked bars over the table of the chosen one's components."""

    export_asked = Signal(str)
    picked = Signal(str)  # what a bar stands for

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.bars = StackedBars("Memory by components", size, axis=True)
        self.bars.picked.connect(self._pick)
        self.table = RowTable(TERM_COLUMNS, "Components with their formulas")
        self.table.picked.connect(lambda _: self._tell())
        self.table.copy_asked.connect(self.copy_formula)
        self.table.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.table.customContextMenuRequested.connect(self._menu)
        self.formula = formula_label("Formula of the chosen component", 3)
        self._estimate: Estimate | None = None
        self._keys: tuple[str, ...] = ()
        lower = QWidget()
        lower.setLayout(column((self.table, 1), (self.formula, 0)))
        splitter = QSplitter(Qt.Orientation.Vertical)
        splitter.setObjectName("memory-parts")
        splitter.setChildrenCollapsible(False)
        splitter.addWidget(self.bars)
        splitter.addWidget(lower)
        splitter.setSizes([330, 290])
        self.setLayout(column((splitter, 1)))

    def show_parts(self, parts: Parts) -> None:
        """Show another calculation; the chosen row stays."""
        self._estimate = parts.estimate
        self._keys = tuple(bar.key for bar in parts.stacks.bars)
        _show_stacks(self.bars, parts.stacks)
        terms, total = parts.estimate.terms, parts.estimate.total
        found = sizes.units((*(term.bytes for term in terms), total))
        show_units(self.table, found)
        self.table.set_rows([*(_term_row(term, total, found) for term in terms), _total_row(total, found)])
        if not self.table.selected_rows:
            self.table.select([0])
        self._tell()

    @property
    def term(self) -> Term | None:
        """The chosen component."""
        chosen = self.table.selected_rows
        terms = self._estimate.terms if self._estimate else ()
        return terms[chosen[0]] if chosen and chosen[0] < len(terms) else None

    @Slot(int, int)
    def _pick(self, bar: int, _part: int) -> None:
        self.picked.emit(self._keys[bar])

    def _tell(self) -> None:
        term = self.term
        if term is None:
            self.formula.setText("Choose a row to read its formula with the numbers put in.")
            return
        note = f"\n{term.note}" if term.note else ""
        self.formula.setText(f"{term.name} = {term.formula}\n= {term.values} = {term.bytes:,} bytes{note}")

    @Slot()
    def copy_formula(self) -> None:
        """The chosen component's formula, or the whole table."""
        if self.term is None:
            self.export_asked.emit("copy")
        else:
            QGuiApplication.clipboard().setText(self.formula.text())

    @Slot(QPoint)
    def _menu(self, place: QPoint) -> None:
        menu = QMenu(self)
        menu.addAction("Copy the formula", self.copy_formula).setEnabled(self.term is not None)
        menu.addAction("Copy the components", lambda: self.export_asked.emit("copy"))
        menu.addSeparator()
        menu.addAction("Export as CSV…", lambda: self.export_asked.emit("csv"))
        menu.addAction("Export as JSON…", lambda: self.export_asked.emit("json"))
        menu.aboutToHide.connect(menu.deleteLater)
        menu.popup(self.table.viewport().mapToGlobal(place))


def _term_row(term: Term, total: int, units: Units) -> Row:
    share = "in RAM" if term.host else f"{term.bytes / total:.1%}" if total else "–"
    tip = f"{term.formula}\n= {term.values}\n= {term.bytes:,} bytes" + (f"\n\n{term.note}" if term.note else "")
    formula = f"{term.formula} = {term.values}"
    cells = (term.name, *units.cells(term.bytes), share, formula)
    return Row(cells, faint=not term.bytes or term.host, tooltip=tip)


def _total_row(total: int, units: Units) -> Row:
    cells = ("Together", *units.cells(total), "100%" if total else "–", f"{total:,} bytes")
    return Row(cells, tooltip=f"{total:,} bytes on the GPU")


class SharingPane(QWidget):
    """Stacked areas over the number of GPUs, and the strategies beside each other."""

    picked = Signal(str)  # a strategy

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._sharing: Sharing | None = None
        self.chart = Chart("Memory of each GPU over the number of GPUs")
        self.table = RowTable(STRATEGY_COLUMNS, "Strategies, what each GPU holds and sends")
        self.table.activated.connect(lambda index: self._pick(index.row()))
        self.table.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.table.customContextMenuRequested.connect(self._menu)
        self.table.copy_asked.connect(self.copy_table)
        self.table.setFixedHeight(9 * self.table.verticalHeader().defaultSectionSize())
        self.setLayout(column((self.chart, 1), (self.table, 0)))

    def show_sharing(self, sharing: Sharing) -> None:
        """Show another plan."""
        self._sharing = sharing
        self.chart.show_plot(sharing.plot)
        found = sizes.units(each.estimate.total for each in sharing.planned if each.estimate is not None)
        show_units(self.table, found, "On each GPU, ")
        rows = []
        for each in sharing.planned:
            if each.estimate is None or each.sent is None:
                cells = (each.strategy.value, "–", "–", "–", each.refused)
                rows.append(Row(cells, faint=True, tooltip=each.refused))
                continue
            total, sent = each.estimate.total, each.sent
            formula = f"{sent.formula} = {sent.values}"
            relative = f"{sent.relative:.2f}×" if sent.relative else "–"
            cells = (each.strategy.value, *found.cells(total), relative, formula)
            more = f"\nTensor parallel: {both_sizes(sent.tensor_parallel)} more" if sent.tensor_parallel else ""
            rows.append(Row(cells, tooltip=f"{sent.formula}\n= {sent.values}\n= {sent.elements:,.0f} elements{more}"))
        self.table.set_rows(rows)
        with QSignalBlocker(self.table):
            self.table.select([n for n, each in enumerate(sharing.planned) if each.strategy.value == sharing.chosen])

    @Slot()
    def copy_table(self) -> None:
        """The strategies, for a spreadsheet."""
        head = self.table.rows_model.titles
        rows = [list(each.cells) for each in self.table.rows_model.rows]
        QGuiApplication.clipboard().setText("\n".join("\t".join(cells) for cells in (head, *rows)))

    @Slot(QPoint)
    def _menu(self, place: QPoint) -> None:
        menu = QMenu(self)
        menu.addAction("Copy the table", self.copy_table)
        menu.aboutToHide.connect(menu.deleteLater)
        menu.popup(self.table.viewport().mapToGlobal(place))

    def _pick(self, number: int) -> None:
        if self._sharing is not None:
            self.picked.emit(self._sharing.planned[number].strategy.value)


class RulesPane(QWidget):
    """The rules beside each other, and whose they are."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.bars = StackedBars("Bytes per parameter, rule by rule", size, axis=True)
        self.sources: list[ElidedLabel] = []  # not one that wraps: the page would be laid out for every width of it
        self._lines = column((self.bars, 1))
        self.setLayout(self._lines)

    def show_rules(self, rules: Rules) -> None:
        """Show them for another model."""
        _show_stacks(self.bars, rules.stacks)
        while len(self.sources) < len(rules.sources):
            self.sources.append(ElidedLabel())
            self._lines.addWidget(self.sources[-1])
        for label, source in zip(self.sources, rules.sources, strict=True):
            label.setText(source)


class SpeedPane(QWidget):
    """The limit of decoding, and a button that measures the loaded model."""

    measure_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.words = ElidedLabel()
        self.measure = button(
            "Measure", "Decode a few dozen tokens with the loaded model and time it", self.measure_asked.emit
        )
        self.chart = Chart("Decode limit over the context, a line for each GPU")
        self.setLayout(column((row((self.words, self.measure), stretch=self.words), 0), (self.chart, 1)))

    def show_speed(self, speed: Speed) -> None:
        """Show the limit and what was measured."""
        self.chart.show_plot(speed.plot)
        self.words.setText("Measuring …" if speed.measuring else speed.words)
        self.measure.setEnabled(speed.can_measure and not speed.measuring)
