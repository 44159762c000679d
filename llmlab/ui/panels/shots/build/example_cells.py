"""The cells of the examples: ticks, the colour of the shot, texts on one line; edited on several."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QAbstractItemModel, QModelIndex, QPersistentModelIndex, QPointF, QRect, QRectF, Qt
from PySide6.QtGui import QFont, QFontMetrics, QKeyEvent, QPainter, QPen
from PySide6.QtWidgets import (
    QAbstractItemDelegate,
    QAbstractItemView,
    QPlainTextEdit,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from llmlab.engine.shots.types import PartKind
from llmlab.ui import theme
from llmlab.ui.panels.shots.build.budget_bar import part_color
from llmlab.ui.panels.shots.build.editing import Listed
from llmlab.ui.panels.shots.build.example_model import NUMBER, TICK, ExampleModel
from llmlab.ui.panels.shots.build.fields import VISIBLE
from llmlab.ui.widgets.tables import PAD

Index = QModelIndex | QPersistentModelIndex
EDITOR_LINES = 4
TICK_SIZE = 13  # pixels


class _Editor(QPlainTextEdit):
    """Several lines in place: Return ends the editing, Shift+Return is a line break."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._around = parent
        self.setAccessibleName("Text of the cell")
        self.setToolTip("Return keeps the text, Shift+Return breaks the line, Esc leaves it as it was")

    def cover(self, cell: QRect) -> None:
        """Stand over `cell` and, as far as there is room, the rows below it."""
        height = self.fontMetrics().lineSpacing() * EDITOR_LINES + theme.SPACE
        bottom = self._around.height()
        top = max(0, min(cell.top(), bottom - height))
        self.setGeometry(QRect(cell.left(), top, cell.width(), min(height, bottom)))


class ExampleCells(QStyledItemDelegate):
    """Paints ticks, the colour of the shot, and texts on one line; edits them on several."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        colors, rect, model = theme.current(), QRect(option.rect), index.model()
        assert isinstance(model, ExampleModel)
        if option.state & QStyle.StateFlag.State_Selected:
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
        metrics = QFontMetrics(option.font)
        text = str(index.data(Qt.ItemDataRole.DisplayRole) or "")[:400].translate(VISIBLE)
        font = QFont(option.font)
        font.setStrikeOut(dropped and index.column() == NUMBER)
        painter.setFont(font)
        text = metrics.elidedText(text, Qt.TextElideMode.ElideRight, inside.width())
        painter.drawText(inside, int(Qt.AlignmentFlag.AlignVCenter), text)
        view = option.widget
        if isinstance(view, QAbstractItemView) and view.hasFocus() and view.currentIndex() == index:
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
        model.setData(index, editor.toPlainText())

    def updateEditorGeometry(self, editor: QWidget, option: QStyleOptionViewItem, index: Index) -> None:
        assert isinstance(editor, _Editor)
        editor.cover(option.rect)

    def eventFilter(self, editor: Any, event: Any) -> bool:
        if isinstance(event, QKeyEvent) and isinstance(editor, _Editor) and event.type() == QKeyEvent.Type.KeyPress:
            shift = event.modifiers() & Qt.KeyboardModifier.ShiftModifier
            if event.key() in {Qt.Key.Key_Return, Qt.Key.Key_Enter} and not shift:
                self.commitData.emit(editor)
                self.closeEditor.emit(editor, QAbstractItemDelegate.EndEditHint.NoHint)
                return True
        return super().eventFilter(editor, event)
