"""A file before it is used: what was understood, what can be corrected, what was left out and why."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QPlainTextEdit,
    QPushButton,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from llmlab.engine.datasets.types import Imported, Note
from llmlab.ui import theme
from llmlab.ui.panels.shots.build.applying import USES, Use
from llmlab.ui.panels.shots.build.fields import VISIBLE
from llmlab.ui.panels.shots.build.screen import Preview
from llmlab.ui.panels.shots.build.words import DELIMITERS
from llmlab.ui.screen import Fact
from llmlab.ui.widgets.column import FactList, combo_box
from llmlab.ui.widgets.parts import MainButton, MutedLabel, heading, row
from llmlab.ui.widgets.tables import PAD, FrozenRows, Table

ENCODINGS = ("utf-8", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "latin_1", "cp1251", "gb18030", "shift_jis", "big5")
QUOTES: list[tuple[str, object]] = [('double quotes "', '"'), ("single quotes '", "'"), ("none", "")]
ROLES = (("not used", "unused"), ("input", "input"), ("answer", "output"))
LABEL_WIDTH = 64  # pixels, so that the fields stand below each other
MOST_MAPPED = 12  # fields with a choice of their own; the others keep what was proposed
MOST_ROWS = 500  # of the preview
MOST_CHARACTERS = 4_000


class _Rows(FrozenRows[Imported]):
    """The rows of the file; the columns are its fields."""

    def size(self, value: Imported) -> int:
        return min(MOST_ROWS, len(value.rows))

    def cell(self, value: Imported, row: int, column: str) -> str:
        if column == "line":
            return str(value.lines[row]) if value.lines else str(row + 1)
        return value.rows[row][value.fields.index(column)][:400].translate(VISIBLE)

    def tip(self, value: Imported, row: int, column: str) -> str | None:
        return None if column == "line" else value.rows[row][value.fields.index(column)][:2000]

    def show_file(self, value: Imported, columns: tuple[str, ...]) -> None:
        """Show another file, with other columns."""
        self.beginResetModel()
        self._set_columns(columns)
        self.value = value
        self.endResetModel()


class _Notes(FrozenRows[tuple[Note, ...]]):
    """What was skipped, changed, assumed, not run."""

    def size(self, value: tuple[Note, ...]) -> int:
        return len(value)

    def cell(self, value: tuple[Note, ...], row: int, column: str) -> str:
        note = value[row]
        return {"line": f"{note.line:,}" if note.line else "", "what": str(note.kind), "why": note.text}[column]

    def tip(self, value: tuple[Note, ...], row: int, column: str) -> str | None:
        return value[row].text if column == "why" else None


class PreviewPane(QWidget):
    """Is shown in place of the project. `corrected(option, value)` reads the file again, `chose(name, value)` not."""

    corrected = Signal(str, object)
    chose = Signal(str, object)
    mapped = Signal(str, str)
    accepted = Signal()
    left = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._preview: Preview | None = None
        self._title = heading("")
        self.facts = FactList(wrapped=True)
        self.encoding = self._option("encoding", "Encoding", "In which the file is read")
        self.delimiter = self._option("delimiter", "Delimiter", "Between the values of a row")
        self.quote = self._option("quote", "Quotes", "Around values that hold the delimiter or a line break")
        self.sheet = self._option("sheet", "Sheet", "Of the workbook")
        self.key = self._option("key", "Records", "The list in the file that holds the records")
        self.header = QCheckBox("The first row holds the names")
        self.header.setToolTip("Whether the first row names the columns, or is a row like the others")
        self.header.toggled.connect(lambda on: self.corrected.emit("header", on))
        self.use = combo_box("What the rows are to be", "What the file becomes in the project")
        self.use.currentIndexChanged.connect(lambda _: self.chose.emit("use", Use(self.use.currentData())))
        self.draft = combo_box("Prompt of the file", "Which of the file's prompts is used, or the present one")
        self.draft.currentIndexChanged.connect(lambda _: self.chose.emit("draft", self.draft.currentData()))
        self.labels = QCheckBox()
        self.labels.setToolTip("The different answers become the labels to choose from")
        self.labels.toggled.connect(lambda on: self.chose.emit("labels", on))
        self.template = QPlainTextEdit()
        self.template.setReadOnly(True)
        self.template.setFont(theme.monospace())
        self.template.setAccessibleName("The prompt that would be used")
        self.template.setFixedHeight(self.template.fontMetrics().lineSpacing() * 5 + 2 * theme.SPACE)
        self.rows, self.notes = _Rows(("line",)), _Notes(("line", "what", "why"), right=("line",))
        self.row_table = Table(self.rows, "Rows of the file", (6,))
        self.note_table = Table(self.notes, "Remarks on the file", (7, 10))
        self.row_table.setMinimumHeight(90)
        self.note_table.setMinimumHeight(70)
        self._mapping = QWidget()
        self._roles = QGridLayout(self._mapping)
        self._roles.setContentsMargins(0, 0, 0, 0)
        self._roles.setVerticalSpacing(theme.SPACE // 2)
        self._roles.setColumnStretch(1, 1)
        self._roles.setColumnStretch(3, 1)
        self._cells: list[QWidget] = []  # of that grid
        self._mapped: dict[str, QComboBox] = {}
        self.accept = MainButton("Use it so")
        self.accept.clicked.connect(self.accepted)
        self.leave = QPushButton("Leave it")
        self.leave.setToolTip("Back to the project, which is as it was (Esc)")
        self.leave.clicked.connect(self.left)
        self._lay_out()

    def _option(self, option: str, name: str, tip: str) -> QComboBox:
        box = combo_box(name, tip)
        box.activated.connect(lambda _: self.corrected.emit(option, box.currentData()))
        return box

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.addWidget(self._title, stretch=1)
        head.addWidget(self.leave)
        head.addWidget(self.accept)
        self._options = {
            "Encoding": self.encoding, "Delimiter": self.delimiter, "Quotes": self.quote, "Sheet": self.sheet,
            "Records": self.key,
        }  # fmt: skip
        self._option_rows = {name: row((_label(name), box), stretch=box) for name, box in self._options.items()}
        self._fields_title = heading("Fields")
        understood = _column(
            heading("What was understood"), self.facts, *self._option_rows.values(), self.header
        )  # fmt: skip
        self._draft_row = row((_label("Prompt"), self.draft), stretch=self.draft)
        becomes = _column(
            heading("What it becomes"), self.use, self._draft_row, self.labels, self._fields_title, self._mapping,
            MutedLabel("The prompt would be"), self.template,
        )  # fmt: skip
        top = QWidget()
        columns = QHBoxLayout(top)
        columns.setContentsMargins(0, 0, 0, 0)
        columns.setSpacing(3 * theme.SPACE)
        columns.addWidget(understood, stretch=1)
        columns.addWidget(becomes, stretch=1)
        self._rows_title, self._notes_title = heading("Rows"), heading("Remarks")
        self._rows_box = _column(self._rows_title, self.row_table)
        self._notes_box = _column(self._notes_title, self.note_table)
        tables = QSplitter(Qt.Orientation.Vertical)
        tables.setChildrenCollapsible(False)
        tables.addWidget(self._rows_box)
        tables.addWidget(self._notes_box)
        tables.setStretchFactor(0, 3)
        tables.setStretchFactor(1, 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE)
        layout.addLayout(head)
        layout.addWidget(top)
        layout.addWidget(tables, stretch=1)

    def show_preview(self, preview: Preview) -> None:
        """Show a file, or the same one read otherwise."""
        self._preview, imported = preview, preview.imported
        self._title.setText(imported.name)
        self.facts.show_facts([Fact(name, value, "") for name, value in preview.facts])
        self._show_options(preview)
        self._show_uses(preview)
        if imported.fields != tuple(self._mapped)[: len(imported.fields)] or len(self._mapped) != min(
            MOST_MAPPED, len(imported.fields)
        ):
            self._build_mapping(imported.fields)
        self._fields_title.setVisible(bool(imported.fields))
        for name, box in self._mapped.items():
            role = "output" if name == preview.choices.mapping.output else (
                "input" if name in preview.choices.mapping.inputs else "unused"
            )  # fmt: skip
            _choose(box, role)
        self.template.setPlainText(preview.template[:MOST_CHARACTERS])
        if self.rows.value is not imported:
            self._show_tables(preview)

    def _show_tables(self, preview: Preview) -> None:
        imported = preview.imported
        columns = ("line", *imported.fields)
        self.rows.show_file(imported, columns)
        for column, width in enumerate(self._widths(preview), start=1):
            self.row_table.setColumnWidth(column, width)
        self.notes.show(imported.notes)
        count, shown = len(imported.rows), min(MOST_ROWS, len(imported.rows))
        self._rows_title.setText(f"Rows: {count:,}" if count == shown else f"Rows: the first {shown} of {count:,}")
        self._notes_title.setText(f"Remarks: {len(imported.notes):,}" if imported.notes else "No remarks")
        self._rows_box.setVisible(bool(count))
        self.note_table.setVisible(bool(imported.notes))

    def _widths(self, preview: Preview) -> list[int]:
        """Pixels of each field's column: what its values need, as far as there is room."""
        imported = preview.imported
        sample = imported.rows[:30]
        digit = self.row_table.fontMetrics().horizontalAdvance("0")
        needs = [
            min(60, max([len(name), *(len(row[place]) for row in sample)])) * digit + 2 * PAD + digit
            for place, name in enumerate(imported.fields)
        ]
        room = self.row_table.viewport().width() - self.row_table.columnWidth(0)
        scale = min(1.0, room / max(1, sum(needs)))
        return [max(8 * digit, int(need * scale)) for need in needs]

    def _show_options(self, preview: Preview) -> None:
        imported = preview.imported
        encodings = dict.fromkeys((imported.encoding, *ENCODINGS)) if imported.encoding else {}
        _offer(self.encoding, [(one, one) for one in encodings], imported.encoding)
        dialect = imported.dialect
        table = dialect is not None and bool(dialect.delimiter)
        delimiters = dict(DELIMITERS)
        if dialect is not None and table:
            delimiters.setdefault(dialect.delimiter, dialect.delimiter)
        found = dialect.delimiter if dialect is not None else ""
        _offer(self.delimiter, [(label, one) for one, label in delimiters.items()] if table else [], found)
        quote = dialect.quote if dialect is not None else ""
        _offer(self.quote, QUOTES if table else [], quote)
        _offer(self.sheet, [(one, one) for one in imported.sheets], imported.options.sheet)
        keys = [(one or "(the whole file)", one) for one in imported.keys]
        _offer(self.key, keys if len(keys) > 1 else [], imported.options.key or "")
        for name, box in self._options.items():
            self._option_rows[name].setVisible(box.count() > (1 if name == "Sheet" else 0))
        with QSignalBlocker(self.header):
            self.header.setVisible(dialect is not None)
            self.header.setChecked(dialect is not None and dialect.header)

    def _show_uses(self, preview: Preview) -> None:
        choices = preview.choices
        _offer(self.use, [(USES[use][0], use) for use in preview.uses], choices.use)
        self.use.setToolTip(USES[choices.use][1])
        drafts = [(draft.name, number) for number, draft in enumerate(preview.imported.drafts)]
        _offer(self.draft, [*drafts, ("keep the present prompt", None)] if drafts else [], choices.draft)
        self._draft_row.setVisible(bool(drafts))
        words = ", ".join(preview.labels)
        with QSignalBlocker(self.labels):
            self.labels.setText(f"Labels: {words if len(words) <= 40 else words[:40] + '…'}".replace("&", "&&"))
            self.labels.setChecked(choices.labels)
        self.labels.setVisible(bool(preview.labels) and choices.use is not Use.INSTRUCTION)

    def _build_mapping(self, fields: tuple[str, ...]) -> None:
        for cell in self._cells:
            self._roles.removeWidget(cell)
            cell.hide()
            cell.deleteLater()
        self._cells, self._mapped = [], {}
        for number, name in enumerate(fields[:MOST_MAPPED]):
            box = combo_box(f"What the field {name} is")
            box.setMinimumContentsLength(6)
            for label, role in ROLES:
                box.addItem(label, role)
            box.activated.connect(lambda _, box=box, name=name: self.mapped.emit(name, box.currentData()))
            shown = MutedLabel(name if len(name) <= 14 else f"{name[:13]}…")
            shown.setToolTip(name)
            line, side = divmod(number, 2)
            self._roles.addWidget(shown, line, 2 * side)
            self._roles.addWidget(box, line, 2 * side + 1)
            self._cells += [shown, box]
            self._mapped[name] = box

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.left.emit()
        else:
            super().keyPressEvent(event)

    @property
    def roles(self) -> dict[str, QComboBox]:
        """The choice of every field, by its name."""
        return self._mapped


def _label(text: str) -> QWidget:
    label = MutedLabel(text)
    label.setFixedWidth(LABEL_WIDTH)
    return label


def _column(*widgets: QWidget) -> QWidget:
    box = QWidget()
    layout = QVBoxLayout(box)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(theme.SPACE // 2)
    for widget in widgets:
        layout.addWidget(widget, stretch=int(isinstance(widget, Table)))
    if not any(isinstance(widget, Table) for widget in widgets):
        layout.addStretch(1)
    return box


def _offer(box: QComboBox, choices: Sequence[tuple[str, object]], chosen: object) -> None:
    """Offer other choices, without a signal."""
    with QSignalBlocker(box):
        box.clear()
        for label, value in choices:
            box.addItem(label, value)
        _choose(box, chosen)


def _choose(box: QComboBox, value: object) -> None:
    with QSignalBlocker(box):
        places = (place for place in range(box.count()) if box.itemData(place) == value)
        box.setCurrentIndex(next(places, -1))
