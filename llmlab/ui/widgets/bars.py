"""A whole next-token distribution as bars. Only the rows in sight are painted, however large the vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from PySide6.QtCore import QEvent, QPoint, QRect, QSize, Qt, QTimer, Signal, Slot
from PySide6.QtGui import (
    QContextMenuEvent,
    QFontMetrics,
    QGuiApplication,
    QHelpEvent,
    QKeyEvent,
    QKeySequence,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
)
from PySide6.QtWidgets import QAbstractScrollArea, QMenu, QWidget

from llmlab.engine.sampling import Cut, ShapedDistribution
from llmlab.ui import theme
from llmlab.ui.widgets import numbers
from llmlab.ui.widgets.bar_paint import Axis, BarPainter, Columns, band_text
from llmlab.ui.widgets.bar_rows import BarRows, Canvas
from llmlab.ui.widgets.card import Card, HoverCard
from llmlab.ui.widgets.tokentext import unmarked, visible

ROW_PADDING = 8  # above and below a row's text, together
BAND_PADDING = 6
SEARCHED_AT_ONCE = 10_000  # tokens, about 1 ms


COLUMNS = """#: the token's rank after the settings
logit: what the model computes, before any setting
raw p (outline, notch): the softmax of the logits
p (filled bar): what is drawn from; a name in its place says what cut the token"""


class _Header(QWidget):
    """The names of the columns; stays while the rows scroll."""

    def __init__(self, bars: ProbabilityBars) -> None:
        super().__init__(bars)
        self._bars = bars
        self.setToolTip(COLUMNS)

    def paintEvent(self, event: QPaintEvent) -> None:
        self._bars.paint_header(self)


class ProbabilityBars(QAbstractScrollArea):
    """Rows of a `ShapedDistribution`, most probable first, with cut lines.

    `chosen(id, text)`: the user wants to go on with this token. `export_asked(what)`: "csv", "json" or "copy" of
    the whole distribution, which is too much to write here without holding up the window. `searched`: a search has
    ended, with or without success.
    """

    chosen = Signal(int, str)
    export_asked = Signal(str)
    searched = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows: BarRows | None = None
        self._axis = Axis()
        self._canvas = Canvas(0, 1, 0)
        self._current = -1
        self._hovered = -1
        self._drawn: int | None = None
        self._use_label = ""
        self._font, self._small = theme.monospace(), theme.monospace(0.9)
        self._searching: Iterator[int | None] = iter(())
        self._search_timer = QTimer(self)
        self._search_timer.setSingleShot(True)
        self._search_timer.setInterval(0)
        self._search_timer.timeout.connect(self._go_on_searching)
        self._header = _Header(self)
        self._card = HoverCard(self)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFrameShape(QAbstractScrollArea.Shape.NoFrame)
        self.viewport().setMouseTracking(True)
        self.setViewportMargins(0, self._header_height, 0, 0)
        self.setAccessibleName("Next-token distribution")
        self.verticalScrollBar().valueChanged.connect(self._card.hide)
        theme.changed.connect(self._repaint)

    # --- what is shown --------------------------------------------------------------------------------------

    def set_distribution(
        self,
        shaped: ShapedDistribution,
        text_of: Callable[[int], str],
        reasons: Mapping[Cut, str],
        drawn: int | None = None,
    ) -> None:
        """Show `shaped`; `drawn` is the id of the token that was taken here, if one was. The scroll place stays."""
        current_id = None if self._rows is None or self._current < 0 else int(self._rows.shaped.ids[self._current])
        self._rows = BarRows.of(shaped, text_of, reasons)
        self._searching = iter(())
        self._drawn = drawn
        largest = max(float(shaped.probabilities[0]), float(shaped.raw_probabilities[0]))
        self._axis = Axis(numbers.axis_limit(largest), self._axis.logarithmic)
        self._measure()
        if current_id is not None:
            found = self._rows.index_of(current_id)
            self._current = -1 if found is None else found
        self._card.hide()
        self._repaint()

    def clear(self) -> None:
        """Show nothing."""
        self._rows, self._current, self._hovered, self._searching = None, -1, -1, iter(())
        self._measure()
        self._repaint()

    def set_logarithmic(self, logarithmic: bool) -> None:
        """Bars by order of magnitude, so that the tail can be seen."""
        self._axis = Axis(self._axis.limit, logarithmic)
        self._repaint()

    def set_use_label(self, label: str) -> None:
        """What choosing a token (Enter, double click) does, for the menu; empty: it does nothing."""
        self._use_label = label

    @property
    def rows(self) -> BarRows | None:
        """What is shown."""
        return self._rows

    @property
    def current_row(self) -> int:
        """The row that the keyboard acts on, -1 for none."""
        return self._current

    def set_current_row(self, row: int) -> None:
        """Make `row` current and bring it into sight."""
        if self._rows is None:
            return
        self._current = min(max(row, 0), len(self._rows) - 1)
        self.scroll_to(self._current)
        shown = self._rows.row(self._current)
        self.setAccessibleDescription(
            f"Rank {shown.rank}, token {visible(shown.text)}, probability {numbers.probability(shown.probability)}, "
            f"raw {numbers.probability(shown.raw_probability)}"
        )
        self._repaint()

    def scroll_to(self, row: int) -> None:
        """Bring `row` into sight, with the cut line above it."""
        bar, top = self.verticalScrollBar(), self._canvas.top(row)
        height = self.viewport().height()
        if top - self._canvas.band < bar.value():
            bar.setValue(top - self._canvas.band)
        elif top + self._canvas.row_height > bar.value() + height:
            bar.setValue(top + self._canvas.row_height - height)

    def show_cut(self) -> None:
        """Bring the line between kept and cut into the middle."""
        if self._rows is not None and self._rows.cuts:
            top = self._canvas.top(self._rows.shaped.kept)
            self.verticalScrollBar().setValue(top - self.viewport().height() // 2)

    def find_text(self, text: str) -> None:
        """Go to the next token after the current row that contains `text`, from the start if there is none.

        The vocabulary is gone through a little at a time; `searched` then says whether there was one.
        """
        self._searching = self._search(unmarked(text)) if text and self._rows is not None else iter(())
        self._go_on_searching()

    def _search(self, text: str) -> Iterator[int | None]:
        """The row of the token, or None for each stretch of the vocabulary without it."""
        assert self._rows is not None
        ids, text_of = self._rows.shaped.ids, self._rows.text_of
        first = self._current + 1
        for start, end in ((first, len(ids)), (0, first)):
            for low in range(start, end, SEARCHED_AT_ONCE):
                part = ids[low : min(end, low + SEARCHED_AT_ONCE)].tolist()
                yield next((low + i for i, token_id in enumerate(part) if text in text_of(token_id)), None)

    @Slot()
    def _go_on_searching(self) -> None:
        for row in self._searching:
            if row is None:
                self._search_timer.start()
                return
            self.set_current_row(row)
            self.searched.emit(True)
            return
        self.searched.emit(False)

    # --- geometry -------------------------------------------------------------------------------------------

    @property
    def _header_height(self) -> int:
        return QFontMetrics(self._small).height() + 6

    def _measure(self) -> None:
        rows = self._rows
        row_height = QFontMetrics(self._font).height() + ROW_PADDING
        band = QFontMetrics(self._small).height() + BAND_PADDING
        cuts = tuple(row for row, _ in rows.cuts) if rows else ()
        self._canvas = Canvas(len(rows) if rows else 0, row_height, band, cuts)
        bar = self.verticalScrollBar()
        bar.setRange(0, max(0, self._canvas.height - self.viewport().height()))
        bar.setPageStep(self.viewport().height())
        bar.setSingleStep(row_height)

    def _columns(self) -> Columns:
        return Columns.fit(self.viewport().width(), QFontMetrics(self._font), self._canvas.rows)

    def row_at(self, position: QPoint) -> int:
        """The row under a point of the viewport, -1 for none."""
        y = position.y() + self.verticalScrollBar().value()
        return self._canvas.row_at(y) if 0 <= y < self._canvas.height else -1

    def row_rect(self, row: int) -> QRect:
        """Where `row` lies on the viewport."""
        top = self._canvas.top(row) - self.verticalScrollBar().value()
        return QRect(0, top, self.viewport().width(), self._canvas.row_height)

    def minimumSizeHint(self) -> QSize:
        return QSize(360, self._header_height + 4 * self._canvas.row_height)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._header.setGeometry(0, 0, self.viewport().width(), self._header_height)
        self._measure()

    # --- painting -------------------------------------------------------------------------------------------

    @Slot()
    def _repaint(self) -> None:
        self._header.update()
        self.viewport().update()

    def paint_header(self, header: QWidget) -> None:
        """Draw the column names on `header`."""
        painter = QPainter(header)
        rect = header.rect()
        painter.fillRect(rect, theme.current().base)
        if self._rows is not None:
            BarPainter(painter, self._columns(), self._axis, self._font, self._small).header(rect)
        painter.setPen(QPen(theme.current().border, 1))
        painter.drawLine(rect.bottomLeft(), rect.bottomRight())
        painter.end()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self.viewport())
        painter.fillRect(event.rect(), theme.current().base)
        if self._rows is not None and len(self._rows):
            self._paint_rows(painter, event.rect(), self._rows)
        painter.end()

    def _paint_rows(self, painter: QPainter, area: QRect, rows: BarRows) -> None:
        draw = BarPainter(painter, self._columns(), self._axis, self._font, self._small)
        first = self.row_at(QPoint(0, max(0, area.top())))
        last = self.row_at(QPoint(0, area.bottom()))
        last = len(rows) - 1 if last < 0 else last
        draw.grid(self.row_rect(len(rows) - 1).bottom() if last == len(rows) - 1 else self.viewport().height())
        cuts = dict(rows.cuts)
        for index in range(first, last + 1):
            rect = self.row_rect(index)
            row = rows.row(index)
            current = index == self._current
            draw.row(rect, row, current=current, hovered=index == self._hovered, drawn=row.token_id == self._drawn)
            if index in cuts:
                band = QRect(0, rect.top() - self._canvas.band, rect.width(), self._canvas.band)
                draw.band(band, band_text(rows, index, cuts[index]))
        if self.hasFocus() and self._current >= 0:
            painter.setPen(QPen(theme.current().accent, 1))
            painter.drawRect(self.row_rect(self._current).adjusted(0, 0, -1, -1))

    # --- mouse and keyboard ---------------------------------------------------------------------------------

    def viewportEvent(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            self._show_card(event.pos(), event.globalPos())
            return True
        if event.type() == QEvent.Type.Leave:
            self._hover(-1)
        return super().viewportEvent(event)

    def card(self, row: int) -> Card:
        """What hovering over `row` tells."""
        assert self._rows is not None
        return Card(visible(self._rows.row(row).text), self._rows.facts(row))

    def _show_card(self, position: QPoint, global_position: QPoint) -> None:
        row = self.row_at(position)
        if row >= 0:
            self._card.show_at(self.card(row), global_position)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self._hover(self.row_at(event.position().toPoint()))

    def _hover(self, row: int) -> None:
        if row != self._hovered:
            self._hovered = row
            self._card.hide()
            self.viewport().update()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        event.accept()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        row = self.row_at(event.position().toPoint())
        if row >= 0:
            self.set_current_row(row)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        row = self.row_at(event.position().toPoint())
        if row >= 0:
            self.set_current_row(row)
            self._choose()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if self._rows is None or not self._key(event):
            super().keyPressEvent(event)

    def _key(self, event: QKeyEvent) -> bool:
        page = max(1, self.viewport().height() // self._canvas.row_height - 1)
        key = Qt.Key
        targets = {
            key.Key_Up: self._current - 1,
            key.Key_Down: self._current + 1,
            key.Key_PageUp: self._current - page,
            key.Key_PageDown: self._current + page,
            key.Key_Home: 0,
            key.Key_End: self._canvas.rows - 1,
        }
        pressed = Qt.Key(event.key())
        if pressed in targets:
            self.set_current_row(targets[pressed])
        elif event.matches(QKeySequence.StandardKey.Copy):
            self.copy_row()
        elif pressed in (key.Key_Return, key.Key_Enter) and not event.modifiers():
            self._choose()
        else:
            return False
        return True

    def _choose(self) -> None:
        if self._use_label and self._rows is not None and self._current >= 0:
            row = self._rows.row(self._current)
            self.chosen.emit(row.token_id, row.text)

    # --- copies ---------------------------------------------------------------------------------------------

    @Slot()
    def copy_row(self) -> None:
        """The current row to the clipboard, tab-separated."""
        if self._rows is not None and self._current >= 0:
            QGuiApplication.clipboard().setText(self._rows.row(self._current).line)

    def menu(self) -> QMenu:
        """What can be done with the current row and the whole distribution."""
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        if self._rows is None:
            return menu
        if self._current >= 0:
            self._add_row_actions(menu, self._rows)
        for what, title in (("copy", "Copy all rows"), ("csv", "Export as CSV…"), ("json", "Export as JSON…")):
            menu.addAction(title, partial(self.export_asked.emit, what))
        return menu

    def _add_row_actions(self, menu: QMenu, rows: BarRows) -> None:
        row = rows.row(self._current)
        if self._use_label:
            menu.addAction(self._use_label, self._choose)
            menu.addSeparator()
        values = {
            "token text": row.text,
            "token id": str(row.token_id),
            "logit": numbers.exact(row.logit),
            "raw probability": numbers.exact(row.raw_probability),
            "probability": numbers.exact(row.probability),
        }
        for name, value in values.items():
            menu.addAction(f"Copy {name}", partial(QGuiApplication.clipboard().setText, value))
        menu.addAction("Copy row", self.copy_row)
        menu.addSeparator()

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        if event.reason() == QContextMenuEvent.Reason.Mouse:
            row = self.row_at(event.pos())
            if row >= 0:
                self.set_current_row(row)
        if self._rows is not None:
            self._card.hide()
            self.menu().popup(event.globalPos())
