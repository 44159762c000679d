"""The vocabulary: search, filters, a histogram of lengths, and all about one token."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QModelIndex, QRect, QSize, Qt, Signal, Slot
from PySide6.QtGui import QFontMetrics, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QScrollArea,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from llmlab.engine.tokens.types import TokenDetails, TokenKind
from llmlab.jobs.job import ErrorInfo
from llmlab.ui import theme
from llmlab.ui.panels.tokens.encoded import KIND_NAMES
from llmlab.ui.panels.tokens.searching import LONGEST, Found
from llmlab.ui.widgets.parts import ElidedLabel, heading
from llmlab.ui.widgets.pieces import Box, Boxes
from llmlab.ui.widgets.tables import FrozenRows, Table
from llmlab.ui.widgets.tokentext import visible
from llmlab.ui.widgets.wrapping import wrapping_row

COLUMNS = ("id", "token", "spelled", "bytes", "kind", "rank, score")
WIDTHS = (6, 13, 13, 12, 12, 8)
MODES = (
    ("text", "Text", "Tokens whose text contains this"),
    ("regex", "Regular expression", "Tokens whose text this regular expression finds something in"),
    ("id", "Ids", "An id, or a range such as 100-120"),
    ("bytes", "Bytes", "Tokens whose bytes contain these, in hex: F0 9F"),
)


class VocabularyModel(FrozenRows[Found]):
    """One row for each of the tokens of `Found`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(COLUMNS, right=("id", "rank, score"), faint=COLUMNS[2:], parent=parent)

    def size(self, value: Found) -> int:
        return len(value.ids)

    def cell(self, value: Found, row: int, column: str) -> str:
        return _cell(value, int(value.ids[row]), column)

    def tip(self, value: Found, row: int, column: str) -> str:
        return self.cell(value, row, column)


def _cell(found: Found, token_id: int, name: str) -> str:
    table = found.table
    if name == "id":
        return str(token_id)
    if name == "token":
        return visible(table.texts[token_id])
    if name == "spelled":
        return visible(table.pieces[token_id])
    if name == "bytes":
        return table.bytes_of(token_id).hex(" ").upper()
    if name == "kind":
        return KIND_NAMES[TokenKind(int(table.kinds[token_id]))]
    rank = int(table.ranks[token_id])
    if rank >= 0:
        return f"{rank:,}"
    score = float("nan") if table.scores is None else float(table.scores[token_id])
    return f"{score:.3f}" if score == score else ""


class VocabularyPane(QWidget):
    """Search line, table, histogram and details."""

    searched = Signal(object)  # dict of changes
    looked_at = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = VocabularyModel(self)
        self.search = QLineEdit()
        self.search.setPlaceholderText("Search the vocabulary")
        self.search.setAccessibleName("Search the vocabulary")
        self.search.setClearButtonEnabled(True)
        self.search.setMinimumWidth(15 * theme.SPACE)
        self.search.textChanged.connect(lambda text: self.searched.emit({"text": text}))
        self.mode = _combo("How to search", [(label, mode, tip) for mode, label, tip in MODES])
        self.mode.currentIndexChanged.connect(lambda _: self._emit("mode", self.mode))
        kinds = [(name.capitalize(), int(kind), "") for kind, name in KIND_NAMES.items()]
        self.kind = _combo("Kind of tokens", [("All kinds", -1, ""), *kinds])
        self.kind.currentIndexChanged.connect(lambda _: self._emit("kind", self.kind))
        self.script = _combo("Script", [("All scripts", "", "")])
        self.script.currentIndexChanged.connect(lambda _: self._emit("script", self.script))
        self.shortest = _spin("Shortest length, in characters", "any length", "from ")
        self.shortest.valueChanged.connect(lambda value: self.searched.emit({"min_length": value}))
        self.longest = _spin("Longest length, in characters", "any length", "up to ")
        self.longest.valueChanged.connect(lambda value: self.searched.emit({"max_length": value or None}))
        self.count = ElidedLabel()
        self.histogram = LengthBars()
        self.details = Details()
        self.view = Table(self.model, "Tokens of the vocabulary", WIDTHS)
        self.view.selectionModel().currentRowChanged.connect(self._row_changed)
        side = QWidget()
        column = QVBoxLayout(side)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.SPACE)
        column.addWidget(self.histogram)
        scroll = QScrollArea()
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(self.details)
        column.addWidget(scroll, stretch=1)
        side.setFixedWidth(270)
        body = QHBoxLayout()
        body.setSpacing(theme.SPACE)
        body.addWidget(self.view, stretch=1)
        body.addWidget(side)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        filters = (self.search, self.mode, self.kind, self.script, self.shortest, self.longest)
        layout.addWidget(wrapping_row(filters, stretch=self.search))
        layout.addWidget(self.count)
        layout.addLayout(body, stretch=1)

    def _emit(self, name: str, combo: QComboBox) -> None:
        self.searched.emit({name: combo.currentData()})

    def show_found(self, found: Found | None) -> None:
        """Show tokens, or none."""
        self.model.show(found)
        self._offer_scripts(found.scripts if found else ())
        self.view.scrollToTop()
        self.histogram.set_found(found)
        self.details.show_details(None)
        count = f"{len(found.ids):,} of {found.vocabulary:,} tokens" if found else ""
        self.count.setText(count)

    def _offer_scripts(self, scripts: tuple[str, ...]) -> None:
        """Those that the vocabulary has; the chosen one stays."""
        chosen = self.script.currentData()
        names = dict.fromkeys((*scripts, *((chosen,) if chosen else ())))
        if [self.script.itemData(i) for i in range(1, self.script.count())] != list(names):
            self.script.blockSignals(True)
            self.script.clear()
            self.script.addItem("All scripts", "")
            for name in names:
                self.script.addItem(name, name)
            self.script.setCurrentIndex(max(0, self.script.findData(chosen)))
            self.script.blockSignals(False)

    def show_error(self, error: ErrorInfo) -> None:
        """The query makes no sense."""
        self.model.show(None)
        self.count.setText(f"{error.message} {error.hint}")

    @Slot()
    def _row_changed(self, current: QModelIndex, _previous: QModelIndex) -> None:
        if self.model.value is not None and current.isValid():
            self.looked_at.emit(int(self.model.value.ids[current.row()]))


class Details(QWidget):
    """All about one token."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._title, self._text = heading(""), QLabel()
        self._title.setFont(theme.monospace(1.1))
        self._title.setWordWrap(True)
        self._text.setWordWrap(True)
        self._text.setTextFormat(Qt.TextFormat.PlainText)
        self._text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._title)
        self._near = heading("Nearest by cosine")
        self._near.setToolTip("The tokens whose input embeddings in the loaded model point most nearly the same way")
        self.neighbours = Boxes("Nearest tokens")
        layout.addWidget(self._text)
        layout.addWidget(self._near)
        layout.addWidget(self.neighbours)
        layout.addStretch(1)
        self.show_details(None)

    @property
    def text(self) -> str:
        """What it says."""
        return self._text.text()

    def show_details(self, details: TokenDetails | None) -> None:
        """Show a token, or none."""
        if details is None:
            self.show_neighbours(())
            self._title.setText("")
            self._text.setText("Select a token to see all about it.")
            return
        self._title.setText(visible(details.text))
        facts = [
            f"id {details.id} · {KIND_NAMES[details.kind]}" + (f" · {details.script}" if details.script else ""),
            f"bytes {details.data.hex(' ').upper()}" if details.data else "",
            f"made of {visible(details.merge[0])} + {visible(details.merge[1])}" if details.merge else "",
            f"merge rank {details.rank:,}" if details.rank is not None else "",
            f"log p {details.score:.4f}" if details.score is not None else "",
            details.frequency,
            *details.characters,
        ]
        self._text.setText("\n".join(fact for fact in facts if fact))

    def show_neighbours(self, neighbours: tuple[tuple[str, float], ...]) -> None:
        """Show (text, cosine), nearest first; none where the tokenizer is not the loaded model's."""
        self.neighbours.set_boxes(
            [Box(visible(text), n, caption=f"{cosine:.2f}") for n, (text, cosine) in enumerate(neighbours)]
        )
        self._near.setVisible(bool(neighbours))
        self.neighbours.setVisible(bool(neighbours))


class LengthBars(QWidget):
    """How many of the found tokens have how many characters."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._found: Found | None = None
        self.setFixedHeight(110)
        self.setAccessibleName("Histogram of lengths")
        self.setToolTip("How many of the tokens have how many characters")

    def set_found(self, found: Found | None) -> None:
        """Count these."""
        self._found = found
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(270, 110)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, colors = QPainter(self), theme.current()
        painter.fillRect(self.rect(), colors.base)
        metrics = QFontMetrics(self.font())
        painter.setPen(colors.muted)
        painter.drawText(self.rect().adjusted(6, 3, -6, 0), Qt.AlignmentFlag.AlignTop, "characters per token")
        if self._found is not None:
            lengths, line = self._found.lengths, metrics.height()
            most = max(1, int(lengths.max()))
            room = self.rect().adjusted(6, line + 6, -6, -line - 3)
            step = room.width() / (LONGEST + 1)
            for length, count in enumerate(lengths.tolist()):
                height = round(room.height() * count / most) if count else 0
                left = round(room.left() + length * step)
                painter.fillRect(
                    QRect(left, room.bottom() - max(height, int(count > 0)), max(1, round(step) - 1), max(height, 1)),
                    colors.bar_kept if count else colors.raised,
                )
            for length in (1, 6, 12, 18, LONGEST):
                label = f"{length}+" if length == LONGEST else str(length)
                x = round(room.left() + (length + 0.5) * step) - metrics.horizontalAdvance(label) // 2
                x = min(x, self.width() - metrics.horizontalAdvance(label) - 4)
                painter.drawText(x, self.height() - metrics.descent() - 1, label)
            top = f"{most:,}"
            painter.drawText(self.rect().adjusted(6, 3, -6, 0), Qt.AlignmentFlag.AlignRight, top)
        painter.end()


def _combo(name: str, entries: list[tuple[str, Any, str]]) -> QComboBox:
    combo = QComboBox()
    combo.setAccessibleName(name)
    combo.setToolTip(name)
    for index, (label, data, tip) in enumerate(entries):
        combo.addItem(label, data)
        if tip:
            combo.setItemData(index, tip, Qt.ItemDataRole.ToolTipRole)
    return combo


def _spin(name: str, none: str, prefix: str) -> QSpinBox:
    spin = QSpinBox()
    spin.setRange(0, 999)
    spin.setSpecialValueText(none)
    spin.setPrefix(prefix)
    spin.setAccessibleName(name)
    spin.setToolTip(name)
    return spin
