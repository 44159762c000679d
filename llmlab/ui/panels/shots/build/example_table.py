"""The examples, or the test set, as a table to edit: tick, type, drag rows, in the colours of the prompt."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from PySide6.QtCore import (
    QAbstractItemModel,
    QAbstractTableModel,
    QItemSelectionModel,
    QMimeData,
    QModelIndex,
    QPersistentModelIndex,
    QPointF,
    QRect,
    QRectF,
    Qt,
    Signal,
    Slot,
)
from PySide6.QtGui import QContextMenuEvent, QFont, QFontMetrics, QKeyEvent, QKeySequence, QPainter, QPen
from PySide6.QtWidgets import (
    QAbstractItemDelegate,
    QAbstractItemView,
    QMenu,
    QPlainTextEdit,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from llmlab.engine.shots.types import Example, PartKind
from llmlab.ui import theme
from llmlab.ui.panels.shots.build.budget_bar import part_color
from llmlab.ui.panels.shots.build.editing import Listed, rows_of
from llmlab.ui.panels.shots.build.fields import VISIBLE, editable
from llmlab.ui.panels.shots.build.screen import Screen
from llmlab.ui.widgets.tables import PAD, Table

Index = QModelIndex | QPersistentModelIndex
ROOT = QModelIndex()
MIME = "application/x-llmlab-rows"
TICK, NUMBER = 0, 1
FIRST = 2  # the first column that holds a field
EDITOR_LINES = 4
OUTPUT_DIGITS = 14
TICK_SIZE = 13  # pixels


class ExampleModel(QAbstractTableModel):
    """Rows of the project. `edited(row, column or None, text)`, `ticked(rows, on)`, `moved(rows, before)`."""

    edited = Signal(int, object, str)
    ticked = Signal(object, bool)
    moved = Signal(object, int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows: tuple[Example, ...] = ()
        self.columns: tuple[str, ...] = ()
        self._values: list[dict[str, str]] = []
        self.in_prompt: dict[int, int] = {}
        self.dropped: frozenset[int] = frozenset()  # shots that have no room in the window
        self.listed = Listed.EXAMPLES

    def set_dropped(self, shots: Collection[int]) -> None:
        """Mark shots that were left out."""
        if frozenset(shots) != self.dropped:
            self.dropped = frozenset(shots)
            if self.rows:
                self.dataChanged.emit(self.index(0, 0), self.index(len(self.rows) - 1, NUMBER))

    def show(self, screen: Screen) -> None:
        """Show another state; rows stay selected while their number is the same."""
        rows = rows_of(screen.project, screen.listed)
        same = (len(rows), screen.columns, screen.listed) == (len(self.rows), self.columns, self.listed)
        if not same:
            self.beginResetModel()
        if rows is not self.rows:
            self._values = [row.values for row in rows]
        self.rows, self.columns, self.listed = rows, screen.columns, screen.listed
        self.in_prompt = screen.in_prompt if screen.listed is Listed.EXAMPLES else {}
        if not same:
            self.endResetModel()
        elif rows:
            self.dataChanged.emit(self.index(0, 0), self.index(len(rows) - 1, self.columnCount() - 1))

    def rowCount(self, parent: Index = ROOT) -> int:
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: Index = ROOT) -> int:
        return 0 if parent.isValid() else FIRST + len(self.columns) + 1

    def name(self, column: int) -> str | None:
        """The field of a column, None for the output."""
        return self.columns[column - FIRST] if column - FIRST < len(self.columns) else None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        row, column = index.row(), index.column()
        if role in {Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.EditRole}:
            return self._text(row, column)
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._tip(row, column)
        if role == Qt.ItemDataRole.CheckStateRole and column == TICK and self.listed is Listed.EXAMPLES:
            return Qt.CheckState.Checked if self.rows[row].included else Qt.CheckState.Unchecked
        return None

    def _text(self, row: int, column: int) -> str:
        if column == TICK:
            return ""
        if column == NUMBER:
            return str(row + 1)
        name = self.name(column)
        return self.rows[row].output if name is None else self._values[row].get(name, "")

    def _tip(self, row: int, column: int) -> str:
        if column == TICK:
            return "Ticked examples can stand in the prompt (Space)" if self.listed is Listed.EXAMPLES else ""
        if column == NUMBER:
            shot = self.in_prompt.get(row)
            if self.listed is Listed.TEST:
                return f"Item {row + 1} of the test set"
            if shot in self.dropped:
                return f"Shot {shot + 1} was left out, because the context window is full"
            return f"Shot {shot + 1} of the prompt" if shot is not None else "Does not stand in the prompt now"
        return self._text(row, column)[:2000]

    def setData(self, index: Index, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        if role == Qt.ItemDataRole.EditRole and index.column() >= FIRST and value != self.data(index, role):
            self.edited.emit(index.row(), self.name(index.column()), str(value))
            return True
        return False

    def flags(self, index: Index) -> Qt.ItemFlag:
        flag = Qt.ItemFlag
        if not index.isValid():
            return flag.ItemIsDropEnabled
        flags = flag.ItemIsSelectable | flag.ItemIsEnabled | flag.ItemIsDragEnabled
        can = index.column() >= FIRST and editable(self._text(index.row(), index.column()))
        return flags | flag.ItemIsEditable if can else flags

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation is not Qt.Orientation.Horizontal or section >= self.columnCount():
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return {TICK: "", NUMBER: "#"}.get(section) if section < FIRST else self.name(section) or "output"
        if role == Qt.ItemDataRole.ToolTipRole and section >= FIRST:
            name = self.name(section)
            return "The right answer" if name is None else f"The field {name}, for templates: {{{name}}}"
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        return None

    # --- dragging ---------------------------------------------------------------------------------------------

    def supportedDropActions(self) -> Qt.DropAction:
        return Qt.DropAction.MoveAction

    def mimeTypes(self) -> list[str]:
        return [MIME]

    def mimeData(self, indexes: Any) -> QMimeData:
        data = QMimeData()
        rows = sorted({index.row() for index in indexes})
        data.setData(MIME, ",".join(map(str, rows)).encode())
        return data

    def dropMimeData(self, data: QMimeData, _action: Qt.DropAction, row: int, _column: int, parent: Index) -> bool:
        if not data.hasFormat(MIME):
            return False
        before = row if row >= 0 else parent.row() if parent.isValid() else len(self.rows)
        places = [int(one) for one in bytes(data.data(MIME).data()).decode().split(",") if one]
        self.moved.emit(places, before)
        return False  # the project has the new order already: nothing is left to be removed


class _Editor(QPlainTextEdit):
    """Several lines in place: Return ends the editing, Shift+Return is a line break."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAccessibleName("Text of the cell")
        self.setToolTip("Return keeps the text, Shift+Return breaks the line, Esc leaves it as it was")


class ExampleCells(QStyledItemDelegate):
    """Paints ticks, the colour of the shot, and texts on one line; edits them on several."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        colors, rect, model = theme.current(), QRect(option.rect), index.model()  # type: ignore[attr-defined]
        assert isinstance(model, ExampleModel)
        if option.state & QStyle.StateFlag.State_Selected:  # type: ignore[attr-defined]
            painter.fillRect(rect, colors.accent_base)
        if index.column() == TICK:
            self._paint_tick(painter, index, rect)
            return
        shot = model.in_prompt.get(index.row())
        inside = rect.adjusted(PAD, 0, -PAD, 0)
        dropped = shot in model.dropped
        if index.column() == NUMBER and shot is not None:
            color = colors.warning_base if dropped else part_color(PartKind.SHOT, shot)
            painter.fillRect(rect.adjusted(1, 2, -1, -2), color)
        faint = (shot is None or dropped) and model.listed is Listed.EXAMPLES
        painter.setPen(colors.muted if faint else colors.text)
        metrics = QFontMetrics(option.font)  # type: ignore[attr-defined]
        text = str(index.data(Qt.ItemDataRole.DisplayRole) or "")[:400].translate(VISIBLE)
        font = QFont(option.font)  # type: ignore[attr-defined]
        font.setStrikeOut(dropped and index.column() == NUMBER)
        painter.setFont(font)
        text = metrics.elidedText(text, Qt.TextElideMode.ElideRight, inside.width())
        painter.drawText(inside, int(Qt.AlignmentFlag.AlignVCenter), text)
        current = option.widget.currentIndex() if option.widget else ROOT  # type: ignore[attr-defined]
        if current == index and option.widget.hasFocus():  # type: ignore[attr-defined]
            painter.setPen(colors.accent)
            painter.drawRect(rect.adjusted(0, 0, -1, -1))

    def _paint_tick(self, painter: QPainter, index: Index, rect: QRect) -> None:
        """A box of our own: the style's can hardly be seen on dark."""
        state, colors = index.data(Qt.ItemDataRole.CheckStateRole), theme.current()
        if state is None:
            return
        box = QRectF(0, 0, TICK_SIZE, TICK_SIZE)
        box.moveCenter(QPointF(rect.center()))
        checked = state in {Qt.CheckState.Checked, Qt.CheckState.Checked.value}
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(colors.accent if checked else colors.muted, 1.2))
        painter.setBrush(colors.accent if checked else colors.base)
        painter.drawRoundedRect(box, 3, 3)
        if checked:
            painter.setPen(QPen(colors.on_accent, 1.8))
            middle = box.center()
            painter.drawPolyline([middle + QPointF(-3.5, 0), middle + QPointF(-1, 2.5), middle + QPointF(3.5, -3)])
        painter.restore()

    def createEditor(self, parent: QWidget, option: QStyleOptionViewItem, index: Index) -> QWidget:
        editor = _Editor(parent)
        editor.setFont(theme.monospace())
        return editor

    def setEditorData(self, editor: QWidget, index: Index) -> None:
        assert isinstance(editor, _Editor)
        editor.setPlainText(str(index.data(Qt.ItemDataRole.EditRole) or ""))
        editor.selectAll()

    def setModelData(self, editor: QWidget, model: QAbstractItemModel, index: Index) -> None:
        assert isinstance(editor, _Editor)
        model.setData(index, editor.toPlainText())  # type: ignore[arg-type]

    def updateEditorGeometry(self, editor: QWidget, option: QStyleOptionViewItem, index: Index) -> None:
        rect = QRect(option.rect)  # type: ignore[attr-defined]
        height = editor.fontMetrics().lineSpacing() * EDITOR_LINES + theme.SPACE
        bottom = editor.parentWidget().height()
        top = max(0, min(rect.top(), bottom - height))
        editor.setGeometry(QRect(rect.left(), top, rect.width(), min(height, bottom)))

    def eventFilter(self, editor: Any, event: Any) -> bool:
        if isinstance(event, QKeyEvent) and isinstance(editor, _Editor) and event.type() == QKeyEvent.Type.KeyPress:
            shift = event.modifiers() & Qt.KeyboardModifier.ShiftModifier
            if event.key() in {Qt.Key.Key_Return, Qt.Key.Key_Enter} and not shift:
                self.commitData.emit(editor)
                self.closeEditor.emit(editor, QAbstractItemDelegate.EndEditHint.NoHint)
                return True
        return super().eventFilter(editor, event)


class ExampleTable(Table):
    """The table. Keys: Space ticks, F2 or Return edits, Delete removes, Alt+Up and Alt+Down move, Ctrl+D duplicates."""

    delete_asked = Signal(object)
    duplicate_asked = Signal(object)
    shift_asked = Signal(object, bool)
    query_asked = Signal(int)
    paste_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        self.examples = ExampleModel()
        super().__init__(self.examples, "Examples", (2, 3), parent)
        self.examples.setParent(self)
        self.setItemDelegate(ExampleCells(self))
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        trigger = QAbstractItemView.EditTrigger
        self.setEditTriggers(trigger.DoubleClicked | trigger.EditKeyPressed)
        self.setDragDropMode(QAbstractItemView.DragDropMode.InternalMove)
        self.setDragDropOverwriteMode(False)
        self.setDropIndicatorShown(True)
        self.setMinimumHeight(110)
        self.clicked.connect(self._clicked)
        self.setToolTip("")

    def show_screen(self, screen: Screen) -> None:
        """Show the rows of a project."""
        columns = self.examples.columns
        self.examples.show(screen)
        self.setAccessibleName("Examples" if screen.listed is Listed.EXAMPLES else "Test set")
        self.setColumnHidden(TICK, screen.listed is Listed.TEST)
        if columns != screen.columns:
            self._share_width()

    @property
    def places(self) -> list[int]:
        """The selected rows."""
        return sorted({index.row() for index in self.selectionModel().selectedRows()})

    def select_rows(self, places: Collection[int]) -> None:
        """Select others, and bring the first into sight."""
        model, flag = self.selectionModel(), QItemSelectionModel.SelectionFlag
        model.clearSelection()
        for place in places:
            model.select(self.examples.index(place, 0), flag.Select | flag.Rows)
        if places:
            first = self.examples.index(min(places), FIRST)
            model.setCurrentIndex(first, flag.NoUpdate)
            self.scrollTo(first)

    def resizeEvent(self, event: Any) -> None:
        super().resizeEvent(event)
        self._share_width()

    def _share_width(self) -> None:
        """The output gets a little, the fields share the rest."""
        count = len(self.examples.columns)
        if not count:
            return
        digit = QFontMetrics(self.font()).horizontalAdvance("0")
        output = OUTPUT_DIGITS * digit
        rest = self.viewport().width() - self.columnWidth(TICK) - self.columnWidth(NUMBER) - output
        for column in range(count):
            self.setColumnWidth(FIRST + column, max(8 * digit, rest // count))
        self.setColumnWidth(FIRST + count, output - 4)  # it is stretched to what is left

    @Slot(QModelIndex)
    def _clicked(self, index: QModelIndex) -> None:
        if index.column() == TICK and index.row() < len(self.examples.rows):
            self.examples.ticked.emit([index.row()], not self.examples.rows[index.row()].included)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key, places = event.key(), self.places
        alt = event.modifiers() == Qt.KeyboardModifier.AltModifier
        if event.matches(QKeySequence.StandardKey.Paste):
            self.paste_asked.emit()
        elif key == Qt.Key.Key_Space and places and self.examples.listed is Listed.EXAMPLES:
            self.examples.ticked.emit(places, not all(self.examples.rows[place].included for place in places))
        elif key in {Qt.Key.Key_Delete, Qt.Key.Key_Backspace} and places:
            self.delete_asked.emit(places)
        elif key == Qt.Key.Key_D and event.modifiers() == Qt.KeyboardModifier.ControlModifier and places:
            self.duplicate_asked.emit(places)
        elif alt and key in {Qt.Key.Key_Up, Qt.Key.Key_Down}:
            self.shift_asked.emit(places, key == Qt.Key.Key_Down)
        elif key in {Qt.Key.Key_Return, Qt.Key.Key_Enter} and self.currentIndex().column() >= FIRST:
            self.edit(self.currentIndex())
        else:
            super().keyPressEvent(event)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        menu, places = QMenu(self), self.places
        for text, call, needs in (
            ("Edit", lambda: self.edit(self.currentIndex()), self.currentIndex().column() >= FIRST),
            ("Ask with this row", lambda: self.query_asked.emit(places[0]), len(places) == 1),
            ("Duplicate", lambda: self.duplicate_asked.emit(places), bool(places)),
            ("Delete", lambda: self.delete_asked.emit(places), bool(places)),
            ("Copy as tab-separated text", self.copy_asked.emit, bool(places)),
            ("Paste rows…", self.paste_asked.emit, True),
        ):
            menu.addAction(text, call).setEnabled(needs)
        menu.exec(event.globalPos())
        menu.deleteLater()

    def selected_text(self) -> str:
        """The selected rows, fields with tabs between them, under their names."""
        names = [*self.examples.columns, "output"]
        lines = ["\t".join(names)]
        for place in self.places or range(len(self.examples.rows)):
            row = self.examples.rows[place]
            cells = [*(row.values.get(name, "") for name in self.examples.columns), row.output]
            lines.append("\t".join(_cell(cell) for cell in cells))
        return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """A value as spreadsheets read it from the clipboard."""
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in '\t\n"') else text
