"""How a word became tokens: BPE's merges, WordPiece's matches, Unigram's best segmentations."""

from __future__ import annotations

from PySide6.QtCore import QRect, QSize, Qt, QTimer, Signal, Slot
from PySide6.QtGui import QFontMetrics, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QFrame, QLabel, QLineEdit, QScrollArea, QVBoxLayout, QWidget

from llmlab.engine.tokens.types import LongestMatchTrace, MergeTrace, UnigramTrace
from llmlab.ui import theme
from llmlab.ui.panels.tokens.merging import Traced
from llmlab.ui.widgets.help import Help, HelpButton
from llmlab.ui.widgets.parts import ElidedLabel, MutedLabel, icon_button, row
from llmlab.ui.widgets.pieces import Box, Boxes
from llmlab.ui.widgets.tokentext import visible

PAUSE = 700  # ms between two steps while it plays
SHOWN = 500  # steps of a very long word that are listed
HELP = Help(
    "How the word became tokens",
    "BPE begins with single characters or bytes and joins the neighbouring pair with the lowest rank, the one that was "
    "learned first, until no pair is left that it has learned. WordPiece takes the longest beginning of the rest that "
    "is in its vocabulary, and again. Unigram knows a probability for every piece and takes the segmentation whose "
    "product is highest.",
    "BPE: argmin rank(aᵢ, aᵢ₊₁)\nUnigram: argmax Σ log p(pieceᵢ)",
)


class MergePane(QWidget):
    """A word, its pieces now, and the list of steps."""

    word_typed = Signal(str)
    went = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._trace: Traced | None = None
        self._step = 0
        self.word = QLineEdit()
        self.word.setPlaceholderText("A word")
        self.word.setAccessibleName("Word to trace")
        self.word.setToolTip("The word to trace. Select a token above to trace its word, or type one.")
        self.word.setMaximumWidth(34 * theme.SPACE)
        self.word.setFont(theme.monospace())
        self.word.textEdited.connect(self.word_typed)
        self.first = icon_button("first", "Back to the beginning")
        self.back = icon_button("previous", "One step back")
        self.play = icon_button("play", "Play the steps")
        self.next = icon_button("next", "One step on")
        self.first.clicked.connect(lambda: self.went.emit(0))
        self.back.clicked.connect(lambda: self.went.emit(self._step - 1))
        self.next.clicked.connect(lambda: self.went.emit(self._step + 1))
        self.play.clicked.connect(self._play)
        self.place = ElidedLabel()
        self.note = MutedLabel()
        self.note.setWordWrap(True)
        self.now = Boxes("Pieces now")
        self.list = StepList()
        self.list.chosen.connect(self.went.emit)
        self._timer = QTimer(self)
        self._timer.setInterval(PAUSE)
        self._timer.timeout.connect(self._tick)
        scroll = QScrollArea()
        scroll.setFrameShape(QFrame.Shape.StyledPanel)
        scroll.setWidgetResizable(True)
        scroll.setWidget(self.list)
        self._scroll = scroll
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        label = QLabel("Word")
        label.setBuddy(self.word)
        parts = (label, self.word, self.first, self.back, self.play, self.next, self.place, HelpButton(HELP))
        layout.addWidget(row(parts, stretch=self.place))
        layout.addWidget(self.now)
        layout.addWidget(self.note)
        layout.addWidget(scroll, stretch=1)

    def show_word(self, word: str) -> None:
        """The word that is traced."""
        if word != self.word.text():
            self.word.setText(word)

    def show_trace(self, trace: Traced | None, step: int) -> None:
        """The word after so many steps."""
        if trace is not self._trace:
            self._timer.stop()
        self._trace, self._step = trace, step
        steps = trace.steps if trace else 0
        for button, on in ((self.first, step > 0), (self.back, step > 0), (self.next, step < steps)):
            button.setVisible(steps > 0)
            button.setEnabled(on)
        self.play.setVisible(steps > 0)
        self.play.setIcon(theme.icon("stop" if self._timer.isActive() else "play"))
        self.now.set_boxes(_now(trace, step) if trace else [])
        self.place.setText(_place(trace, step) if trace else "")
        note = trace.trace.note if trace else "Select a token above, or type a word."
        self.note.setText(note)
        self.note.setVisible(bool(note))
        self.list.set_lines(_lines(trace) if trace else [], step if steps else -1)
        if steps:
            self._scroll.ensureVisible(0, self.list.top(step), 0, self.list.line * 2)

    @Slot()
    def _play(self) -> None:
        if self._timer.isActive():
            self._timer.stop()
            self.play.setIcon(theme.icon("play"))
            return
        if self._trace is not None and self._step >= self._trace.steps:
            self.went.emit(0)
        self._timer.start()
        self.play.setIcon(theme.icon("stop"))

    @Slot()
    def _tick(self) -> None:
        steps = self._trace.steps if self._trace else 0
        if self._step + 1 >= steps or not self.isVisible():
            self._timer.stop()
        if self._step < steps:
            self.went.emit(self._step + 1)


class StepList(QWidget):
    """One line for each step; those to come are pale. `chosen` carries the number of steps to show."""

    chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._lines: list[tuple[str, str, str]] = []
        self._current = -1
        self._font = theme.monospace()
        self.line = QFontMetrics(self._font).height() + 6
        self.setAccessibleName("Steps")
        theme.changed.connect(self.update)

    def set_lines(self, lines: list[tuple[str, str, str]], current: int) -> None:
        """(number, what happened, what it is worth) of each step; steps up to `current` have happened."""
        self._lines, self._current = lines, current
        self.setMinimumHeight(len(lines) * self.line + theme.SPACE)
        self.setAccessibleDescription("; ".join(" ".join(line) for line in lines[:20]))
        self.update()

    @property
    def lines(self) -> list[tuple[str, str, str]]:
        """What it says."""
        return self._lines

    def top(self, step: int) -> int:
        """Where a step's line is."""
        return max(0, step - 1) * self.line + self.line // 2

    def sizeHint(self) -> QSize:
        return QSize(300, self.minimumHeight())

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, colors, metrics = QPainter(self), theme.current(), QFontMetrics(self._font)
        painter.fillRect(event.rect(), colors.base)
        painter.setFont(self._font)
        left = max((metrics.horizontalAdvance(line[0]) for line in self._lines), default=0) + 2 * theme.SPACE
        right = max((metrics.horizontalAdvance(line[2]) for line in self._lines), default=0) + theme.SPACE
        center = Qt.AlignmentFlag.AlignVCenter
        first, last = event.rect().top() // self.line, event.rect().bottom() // self.line
        for index in range(max(0, first), min(last + 1, len(self._lines))):
            number, text, worth = self._lines[index]
            rect = QRect(0, index * self.line, self.width(), self.line)
            if index + 1 == self._current:
                painter.fillRect(rect, colors.accent_base)
            done = self._current < 0 or index < self._current
            painter.setPen(colors.muted)
            painter.drawText(rect.adjusted(theme.SPACE, 0, 0, 0), center, number)
            painter.drawText(rect.adjusted(0, 0, -theme.SPACE, 0), center | Qt.AlignmentFlag.AlignRight, worth)
            painter.setPen(colors.text if done else colors.disabled)
            room = rect.adjusted(left, 0, -right - theme.SPACE, 0)
            text = metrics.elidedText(text, Qt.TextElideMode.ElideRight, room.width())
            painter.drawText(room, center, text)
        painter.end()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        event.accept()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        index = int(event.position().y()) // self.line
        if self._current >= 0 and 0 <= index < len(self._lines):
            self.chosen.emit(index + 1)


def _now(traced: Traced, step: int) -> list[Box]:
    """The pieces after `step` steps; the newest one has a frame."""
    trace, name = traced.trace, traced.name
    if isinstance(trace, MergeTrace):
        symbols = trace.steps[step - 1].symbols if step else trace.initial
        newest = trace.steps[step - 1].index if step else -1
        return [Box(name(symbol), number, number == newest) for number, symbol in enumerate(symbols)]
    if isinstance(trace, LongestMatchTrace):
        taken = [s.piece for s in trace.steps[:step] if s.piece is not None]
        boxes = [Box(name(piece), number, number == step - 1) for number, piece in enumerate(taken)]
        rest = trace.steps[step].rest if step < len(trace.steps) else ""
        return [*boxes, Box(visible(rest))] if rest else boxes
    return [
        Box(name(symbol), number, caption=str(token_id))
        for number, (symbol, token_id) in enumerate(zip(trace.symbols, trace.ids, strict=True))
    ]


def _place(traced: Traced, step: int) -> str:
    ids = traced.trace.ids
    shown = " ".join(map(str, ids[:12])) + (" …" if len(ids) > 12 else "")
    tokens = f"{len(ids):,} token{'s' if len(ids) != 1 else ''}: {shown}"
    return f"step {step:,} of {traced.steps:,} · in the end {tokens}" if traced.steps else tokens


def _lines(traced: Traced) -> list[tuple[str, str, str]]:
    trace, name = traced.trace, traced.name
    if isinstance(trace, MergeTrace):
        return [
            (str(n + 1), f"{name(s.pair[0])} + {name(s.pair[1])} → {name(s.result)}", f"rank {s.rank:,}")
            for n, s in enumerate(trace.steps[:SHOWN])
        ]
    if isinstance(trace, LongestMatchTrace):
        return [
            (str(n + 1), f"{visible(s.rest)} begins with {name(s.piece)}", f"{len(s.tried):,} tried")
            if s.piece is not None
            else (str(n + 1), f"nothing in the vocabulary begins {visible(s.rest)}", "unknown")
            for n, s in enumerate(trace.steps[:SHOWN])
        ]
    if isinstance(trace, UnigramTrace):
        return [
            (
                str(n + 1),
                "   ".join(f"{name(p)} {score:.2f}" for p, score in zip(s.pieces, s.scores, strict=True)),
                f"Σ log p {s.total:.3f}",
            )
            for n, s in enumerate(trace.segmentations)
        ]
    return []
