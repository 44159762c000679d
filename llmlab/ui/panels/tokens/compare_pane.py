"""The same text in two to four tokenizers: numbers, bars, and each one's strip with the differing cuts marked."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QRect, QSize, Qt
from PySide6.QtGui import QFontMetrics, QPainter, QPaintEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout, QWidget

from llmlab.engine.tokens.types import TextStats
from llmlab.jobs.job import ErrorInfo
from llmlab.ui import theme
from llmlab.ui.panels.tokens.cards import token_card
from llmlab.ui.panels.tokens.comparing import Compared, ComparedColumn
from llmlab.ui.widgets.help import Help, HelpButton
from llmlab.ui.widgets.parts import ElidedLabel, heading, row
from llmlab.ui.widgets.strip import TokenStrip

HELP = Help(
    "Comparing tokenizers",
    "The same text in each tokenizer. Fewer tokens mean that more text fits into the context window and that a "
    "completion takes fewer steps. An orange line marks a cut that not all of them make. Choose the tokenizers on the "
    "right.",
    "characters/token = characters / tokens\ntokens/word = tokens / words between white space\n"
    "special tokens that the tokenizer adds are not counted in the ratios",
)
MEASURES: tuple[tuple[str, Callable[[TextStats], float | None], str], ...] = (
    ("tokens", lambda s: float(s.tokens), "{:,.0f}"),
    ("characters/token", lambda s: s.characters_per_token, "{:.2f}"),
    ("tokens/word", lambda s: s.tokens_per_word, "{:.2f}"),
    ("bytes/token", lambda s: s.bytes_per_token, "{:.2f}"),
    ("unknown", lambda s: float(s.unknown), "{:,.0f}"),
    ("of the context", lambda s: s.context_share, "{:.1%}"),
)


class ComparePane(QWidget):
    """Numbers on top, strips below."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.note = ElidedLabel()
        self.bars = MeasureBars()
        self._strips = QHBoxLayout()
        self._strips.setSpacing(theme.SPACE)
        self.columns: list[_Column] = []
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        layout.addWidget(row((self.note, HelpButton(HELP)), stretch=self.note))
        layout.addWidget(self.bars)
        layout.addLayout(self._strips, stretch=1)

    def show_compared(self, compared: Compared | None) -> None:
        """Show a comparison, or none."""
        columns = compared.columns if compared else ()
        self.bars.set_columns(columns)
        if compared is None:
            self.note.setText("")
        elif len(columns) < 2:
            self.note.setText("Choose a second tokenizer on the right to compare with.")
        else:
            places = f"{compared.differing:,} place{'s' if compared.differing != 1 else ''} where not all of them cut"
            self.note.setText(places if compared.differing else "All of them cut the text at the same places.")
        while len(self.columns) > len(columns):
            column = self.columns.pop()
            self._strips.removeWidget(column)
            column.hide()
            column.deleteLater()
        while len(self.columns) < len(columns):
            self.columns.append(_Column())
            self._strips.addWidget(self.columns[-1], stretch=1)
        for column, shown in zip(self.columns, columns, strict=True):
            column.set_column(shown)

    def show_error(self, error: ErrorInfo) -> None:
        """One of the tokenizers could not be opened."""
        self.show_compared(None)
        self.note.setText(f"{error.message} {error.hint}")


class _Column(QWidget):
    """One tokenizer's name and strip."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._column: ComparedColumn | None = None
        self.title = heading("")
        self.strip = TokenStrip(lambda index: token_card(self._column.encoded, index) if self._column else None)
        frame = QFrame()
        frame.setFrameShape(QFrame.Shape.StyledPanel)
        inside = QVBoxLayout(frame)
        inside.setContentsMargins(1, 1, 1, 1)
        inside.addWidget(self.strip)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        layout.addWidget(self.title)
        layout.addWidget(frame, stretch=1)

    def set_column(self, column: ComparedColumn) -> None:
        """Show a tokenizer's reading."""
        self._column = column
        name = column.encoded.info.name
        self.title.setText(QFontMetrics(self.title.font()).elidedText(name, Qt.TextElideMode.ElideRight, 200))
        self.title.setToolTip(f"{name}: {column.encoded.info.algorithm}")
        self.strip.setAccessibleName(f"Tokens of {name}")
        self.strip.set_source(column.encoded.source)
        self.strip.set_flags(column.flags)


class MeasureBars(QWidget):
    """A bar for each tokenizer and measure; every measure has its own scale, which begins at 0."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._columns: tuple[ComparedColumn, ...] = ()
        self.setAccessibleName("Measures of each tokenizer")
        theme.changed.connect(self.update)

    def set_columns(self, columns: tuple[ComparedColumn, ...]) -> None:
        """Show these."""
        self._columns = columns
        self.setFixedHeight(self._line * (len(columns) + 1) + theme.SPACE if columns else 0)
        self.setAccessibleDescription("; ".join(f"{c.encoded.info.name}: {len(c.encoded)} tokens" for c in columns))
        self.update()

    @property
    def _line(self) -> int:
        return QFontMetrics(self.font()).height() + 6

    def sizeHint(self) -> QSize:
        return QSize(400, self._line * (len(self._columns) + 1))

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, colors = QPainter(self), theme.current()
        metrics, center = QFontMetrics(self.font()), Qt.AlignmentFlag.AlignVCenter
        names = [c.encoded.info.name for c in self._columns]
        left = min(max((metrics.horizontalAdvance(name) for name in names), default=0), self.width() // 4)
        left += 2 * theme.SPACE
        each = max(1, (self.width() - left) // len(MEASURES))
        for number, (name, _, _) in enumerate(MEASURES):
            painter.setPen(colors.muted)
            place = QRect(left + number * each, 0, each - theme.SPACE, self._line)
            painter.drawText(place, center, metrics.elidedText(name, Qt.TextElideMode.ElideRight, place.width()))
        for index, column in enumerate(self._columns):
            top = (index + 1) * self._line
            painter.setPen(colors.text)
            name = metrics.elidedText(names[index], Qt.TextElideMode.ElideRight, left - theme.SPACE)
            painter.drawText(QRect(0, top, left, self._line), center, name)
            for number, (_, value_of, style) in enumerate(MEASURES):
                place = QRect(left + number * each, top, each - 2 * theme.SPACE, self._line)
                self._bar(painter, place, column, value_of, style)
        painter.end()

    def _bar(
        self,
        painter: QPainter,
        place: QRect,
        column: ComparedColumn,
        value_of: Callable[[TextStats], float | None],
        style: str,
    ) -> None:
        colors, value = theme.current(), value_of(column.compared.stats)
        if value is None:
            text = "none"
        else:
            text = style.format(value)
            largest = max(value_of(c.compared.stats) or 0.0 for c in self._columns) or 1.0
            bar = QRect(place.left(), place.top() + 3, round(place.width() * value / largest), place.height() - 6)
            painter.fillRect(bar, theme.mix(colors.bar_kept, colors.window, 0.6))
        painter.setPen(colors.text)
        painter.drawText(place.adjusted(4, 0, 0, 0), Qt.AlignmentFlag.AlignVCenter, text)
