"""A next-token distribution before and after: two bars for each token, exact numbers, the change."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QEvent, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QFontMetrics, QHideEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QFrame, QScrollArea, QWidget

from llmlab.engine.attention.types import Effect
from llmlab.ui import theme
from llmlab.ui.panels.attention.effect_values import signed
from llmlab.ui.widgets import numbers
from llmlab.ui.widgets.bar_paint import Axis
from llmlab.ui.widgets.card import Card, HoverCard
from llmlab.ui.widgets.tokentext import visible

PAD = theme.SPACE
NUMBER = 7  # digits of a probability


@dataclass(frozen=True, slots=True)
class _Columns:
    """Horizontal places in pixels; a `right` is where right-aligned text ends."""

    token: int
    token_width: int
    bars: int
    bars_width: int
    before: int
    after: int
    change: int


class EffectBars(QScrollArea):
    """The tokens that are most probable before or after, the larger of the two first."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.rows = _Rows()
        self.setWidget(self.rows)

    def show_effect(self, effect: Effect | None, *, stale: bool, logarithmic: bool = False) -> None:
        """Show a comparison; `stale`: of heads that were off before; `logarithmic`: bars by order of magnitude."""
        self.rows.show_effect(effect, stale=stale, logarithmic=logarithmic)


class _Rows(QWidget):
    def __init__(self) -> None:
        super().__init__()
        self.effect: Effect | None = None
        self._stale = False
        self._axis = Axis()
        self._hovered = -1
        self._font, self._small = theme.monospace(), theme.monospace(0.9)
        self._line = QFontMetrics(self._font).height() + 8
        self._header = QFontMetrics(self._small).height() + 8
        self._card = HoverCard(self)
        self.setMouseTracking(True)
        self.setAutoFillBackground(True)
        self.setAccessibleName("Prediction before and after")
        theme.changed.connect(self.update)

    def show_effect(self, effect: Effect | None, *, stale: bool, logarithmic: bool) -> None:
        """See `EffectBars`."""
        self.effect, self._stale, self._hovered = effect, stale, -1
        if effect is not None:
            largest = float(max(effect.before.max(), effect.after.max()))
            self._axis = Axis(numbers.axis_limit(largest), logarithmic)
        rows = 0 if effect is None else len(effect.ids)
        self.setMinimumHeight(self._header + rows * self._line + PAD // 2)
        self._card.hide()
        if effect is not None:
            pairs = zip(effect.texts[:5], effect.before[:5].tolist(), effect.after[:5].tolist(), strict=True)
            self.setAccessibleDescription(
                "; ".join(f"{visible(t)} {numbers.probability(b)} then {numbers.probability(a)}" for t, b, a in pairs)
            )
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(420, self.minimumHeight())

    def _columns(self) -> _Columns:
        digit = QFontMetrics(self._font).horizontalAdvance("0")
        number = NUMBER * digit
        change = self.width() - PAD
        after = change - (NUMBER + 1) * digit - PAD
        before = after - number - PAD
        token_width = min(max(8 * digit, self.width() // 5), 22 * digit)
        bars = PAD + token_width + PAD
        return _Columns(PAD, token_width, bars, max(20, before - number - PAD - bars), before, after, change)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, colors = QPainter(self), theme.current()
        painter.fillRect(event.rect(), colors.base)
        if self.effect is not None:
            columns = self._columns()
            self._head(painter, columns)
            painter.setFont(self._font)
            first = max(0, (event.rect().top() - self._header) // self._line)
            last = min(len(self.effect.ids), (event.rect().bottom() - self._header) // self._line + 1)
            for row in range(first, last):
                self._row(painter, columns, row)
        painter.end()

    def _head(self, painter: QPainter, columns: _Columns) -> None:
        colors, rect = theme.current(), QRect(0, 0, self.width(), self._header)
        painter.setFont(self._small)
        painter.setPen(colors.muted)
        painter.drawText(rect.adjusted(columns.token, 0, 0, 0), Qt.AlignmentFlag.AlignVCenter, "token")
        swatch = QFontMetrics(self._small).ascent() - 2
        top = rect.center().y() - swatch // 2
        for right, name, filled in ((columns.before, "before", False), (columns.after, "after", True)):
            self._right(painter, right, rect, name)
            left = right - QFontMetrics(self._small).horizontalAdvance(f"{name} ") - swatch
            painter.fillRect(left, top, swatch, swatch, colors.bar_kept if filled else colors.bar_raw)
        self._right(painter, columns.change, rect, "change")
        if self._axis.logarithmic:
            painter.drawText(rect.adjusted(columns.bars, 0, 0, 0), Qt.AlignmentFlag.AlignVCenter, "log scale")

    def _row(self, painter: QPainter, columns: _Columns, row: int) -> None:
        effect, colors = self.effect, theme.current()
        assert effect is not None
        rect = QRect(0, self._header + row * self._line, self.width(), self._line)
        if row == self._hovered:
            painter.fillRect(rect, colors.raised)
        before, after = float(effect.before[row]), float(effect.after[row])
        painter.setPen(colors.text)
        text = QFontMetrics(self._font).elidedText(
            visible(effect.texts[row]), Qt.TextElideMode.ElideRight, columns.token_width
        )
        painter.drawText(
            QRect(columns.token, rect.top(), columns.token_width + 2, rect.height()),
            Qt.AlignmentFlag.AlignVCenter,
            text,
        )
        half = (rect.height() - 6) / 2
        for value, color, y in (
            (before, colors.bar_raw, rect.top() + 3),
            (after, colors.bar_cut if self._stale else colors.bar_kept, rect.top() + 3 + half),
        ):
            painter.fillRect(
                QRectF(columns.bars, y, max(1.0, self._axis.share(value) * columns.bars_width), half - 1), color
            )
        painter.setPen(colors.muted)
        self._right(painter, columns.before, rect, numbers.probability(before))
        painter.setPen(colors.muted if self._stale else colors.text)
        self._right(painter, columns.after, rect, numbers.probability(after))
        change = after - before
        grown = colors.positive if change > 0 else colors.error
        painter.setPen(QPen(colors.muted if self._stale or abs(change) < 5e-5 else grown))
        self._right(painter, columns.change, rect, signed(change))

    def _right(self, painter: QPainter, right: int, rect: QRect, text: str) -> None:
        place = QRect(right - 300, rect.top(), 300, rect.height())
        painter.drawText(place, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, text)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        row = (int(event.position().y()) - self._header) // self._line
        inside = self.effect is not None and 0 <= row < len(self.effect.ids) and event.position().y() >= self._header
        self._hovered = row if inside else -1
        self.update()
        card = self.card(row) if inside else None
        if card is None:
            self._card.hide()
        else:
            self._card.show_at(card, event.globalPosition().toPoint())

    def card(self, row: int) -> Card | None:
        """Everything about one token, with all digits."""
        effect = self.effect
        if effect is None:
            return None
        before, after = float(effect.before[row]), float(effect.after[row])
        ratio = f"× {after / before:.4g}" if before > 0 else "–"
        return Card(
            f"“{visible(effect.texts[row])}”",
            (
                ("token id", str(int(effect.ids[row]))),
                ("before", numbers.exact(before)),
                ("after", numbers.exact(after)),
                ("change", signed(after - before)),
                ("ratio", ratio),
                ("ln p before", numbers.log_probability(before)),
                ("ln p after", numbers.log_probability(after)),
            ),
        )

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._card.hide()  # a window of its own

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self._hovered = -1
        self._card.hide()
        self.update()
