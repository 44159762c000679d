"""The settings in the order in which they act: to be dragged, or moved with the keyboard."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from llmlab.engine.knobs import STAGES
from llmlab.ui import theme
from llmlab.ui.panels.decoding.knob_specs import STAGE_NAMES
from llmlab.ui.widgets.parts import MutedLabel

NAME = Qt.ItemDataRole.UserRole
STANDARD = "In the order of transformers."
OTHER = "Not transformers' order."
TIP = (
    "The settings act from top to bottom. Drag one to another place, or move it with Alt+Up and Alt+Down.\n"
    "Those in bold change something now."
)


class _List(QListWidget):
    """Reports every change of the order."""

    reordered = Signal()

    def dropEvent(self, event: object) -> None:
        super().dropEvent(event)  # type: ignore[arg-type]
        self.reordered.emit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        by = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1}.get(Qt.Key(event.key()))
        if by is None or not event.modifiers() & Qt.KeyboardModifier.AltModifier:
            super().keyPressEvent(event)
            return
        old = self.currentRow()
        new = old + by
        if old >= 0 and 0 <= new < self.count():
            self.insertItem(new, self.takeItem(old))
            self.setCurrentRow(new)
            self.reordered.emit()


class OrderList(QWidget):
    """`changed` carries the order as a tuple of `STAGES`, empty for transformers' own."""

    changed = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._order: tuple[str, ...] = STAGES
        self.list = _List()
        self.list.setDragDropMode(QAbstractItemView.DragDropMode.InternalMove)
        self.list.setDefaultDropAction(Qt.DropAction.MoveAction)
        self.list.setAccessibleName("Order of the settings")
        self.list.setToolTip(TIP)
        self.list.setUniformItemSizes(True)
        self.list.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.reordered.connect(self._reordered)
        self._note = MutedLabel(STANDARD)
        self._note.setWordWrap(True)
        self._reset = QPushButton("Reset")
        self._reset.setToolTip("Back to the order of transformers")
        self._reset.clicked.connect(lambda: self._change(STAGES))
        line = QHBoxLayout()
        line.setContentsMargins(0, 0, 0, 0)
        line.addWidget(self._note, stretch=1)
        line.addWidget(self._reset)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        layout.addWidget(self.list)
        layout.addLayout(line)
        self._fill()
        self._paint_note()
        theme.changed.connect(self._paint_note)

    @property
    def order(self) -> tuple[str, ...]:
        """As shown."""
        return tuple(str(self.list.item(row).data(NAME)) for row in range(self.list.count()))

    def set_order(self, order: tuple[str, ...]) -> None:
        """Show this order, without a signal; empty is transformers'."""
        if (order or STAGES) != self._order:
            self._order = order or STAGES
            self._fill()
            self._paint_note()

    def set_acting(self, stages: tuple[str, ...]) -> None:
        """Which settings change something now."""
        for row in range(self.list.count()):
            item = self.list.item(row)
            font = item.font()
            acts = item.data(NAME) in stages
            if font.bold() != acts:
                font.setBold(acts)
                item.setFont(font)

    def _fill(self) -> None:
        bold = {item.data(NAME) for item in map(self.list.item, range(self.list.count())) if item.font().bold()}
        self.list.clear()
        for name in self._order:
            item = QListWidgetItem(STAGE_NAMES[name])
            item.setData(NAME, name)
            item.setToolTip(TIP)
            self.list.addItem(item)
        self.set_acting(tuple(bold))
        rows = self.list.sizeHintForRow(0) * self.list.count()
        self.list.setFixedHeight(rows + 2 * self.list.frameWidth() + 2)

    @Slot()
    def _reordered(self) -> None:
        self._order = self.order
        self._paint_note()
        self.changed.emit(() if self._order == STAGES else self._order)

    def _change(self, order: tuple[str, ...]) -> None:
        if order != self._order:
            self.set_order(order)
            self.changed.emit(() if order == STAGES else order)

    @Slot()
    def _paint_note(self) -> None:
        standard = self._order == STAGES
        self._note.setText(STANDARD if standard else OTHER)
        colors, palette = theme.current(), self._note.palette()
        palette.setColor(self._note.foregroundRole(), colors.muted if standard else colors.warning)
        self._note.setPalette(palette)
        self._reset.setEnabled(not standard)
