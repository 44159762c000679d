"""The upper part of the picture: which position, its numbers, its bars."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Qt, Signal, Slot
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QFrame, QLineEdit, QStackedLayout, QToolButton, QVBoxLayout, QWidget

from llmlab.ui import theme
from llmlab.ui.panels.decoding.picture import Picture, Screen
from llmlab.ui.screen import Kind, Stage
from llmlab.ui.widgets.bars import ProbabilityBars
from llmlab.ui.widgets.facts import FactLabel, FactRow
from llmlab.ui.widgets.help import Help, HelpButton
from llmlab.ui.widgets.parts import ElidedLabel, heading, icon_button, row
from llmlab.ui.widgets.states import StateView

HELP = Help(
    "The next-token distribution",
    "For every token of its vocabulary the model computes a logit, and the softmax makes probabilities of them: raw p, "
    "drawn as an outline, or as a notch in a longer bar. The settings reshape them: repetition penalty and temperature "
    "rescale the logits, then top-k, top-p and min-p cut off the tail, and what is kept is scaled to sum to 1: p, the "
    "filled bars. One token is drawn by p and joins the text, and the model computes the next distribution. The other "
    "settings act between these; the Waterfall tab shows what each of them does.",
    "raw pᵢ = exp(zᵢ) / Σⱼ exp(zⱼ)\n"
    "pᵢ = exp(zᵢ′ / T) / Σⱼ∈kept exp(zⱼ′ / T),  0 if cut\n"
    "zᵢ′ = zᵢ / r if zᵢ > 0 else zᵢ · r,  for tokens seen before",
)


class DistributionPane(QWidget):
    """Bars with a headline, or the words that stand in their place."""

    went = Signal(int)  # -1 to the place before, 1 to the one after, 0 back to the prompt
    logarithmic = Signal(bool)
    example_chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.bars = ProbabilityBars()
        self.state = StateView()
        self.state.example_chosen.connect(self.example_chosen)
        self._stage: Stage | None = None
        names = ("kept", "mass", "entropy", "perplexity")
        self._facts = {name: FactLabel(name, clickable=name == "kept") for name in names}
        self._facts["kept"].clicked.connect(self.bars.show_cut)
        self._head = self._make_head()
        self._numbers = FactRow(tuple(self._facts.values()))
        frame = QFrame()
        frame.setFrameShape(QFrame.Shape.StyledPanel)
        self._stack = QStackedLayout(frame)
        self._stack.setContentsMargins(1, 1, 1, 1)
        self._stack.addWidget(self.bars)
        self._stack.addWidget(self.state)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, theme.SPACE // 2, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        layout.addWidget(self._head)
        layout.addWidget(self._numbers)
        layout.addWidget(frame, stretch=1)
        shortcut = QShortcut(QKeySequence(QKeySequence.StandardKey.Find), self)
        shortcut.activated.connect(self._find.setFocus)

    def _make_head(self) -> QWidget:
        self._title = heading("")
        self._back = icon_button("first", "Back to the next token after the prompt")
        self._previous = icon_button("previous", "The position before (one token less)")
        self._next = icon_button("next", "The position after (one token more)")
        for button, by in ((self._back, 0), (self._previous, -1), (self._next, 1)):
            button.clicked.connect(lambda _checked=False, by=by: self.went.emit(by))
        self._note = ElidedLabel()
        self.log = QToolButton()
        self.log.setText("log")
        self.log.setCheckable(True)
        self.log.setToolTip("Bars by order of magnitude, so that the tail of the distribution can be seen")
        self.log.setAccessibleName("Logarithmic bars")
        self.log.toggled.connect(self.logarithmic)
        self._find = QLineEdit()
        self._find.setPlaceholderText("Find token")
        self._find.setClearButtonEnabled(True)
        self._find.setFixedWidth(16 * theme.SPACE)
        self._find.setToolTip("Go to a token by its text, anywhere in the vocabulary (Ctrl+F); Enter finds the next")
        self._find.setAccessibleName("Find a token")
        self._find.returnPressed.connect(lambda: self.bars.find_text(self._find.text()))
        self.bars.searched.connect(self._searched)
        self._find.installEventFilter(self)
        steps = (self._back, self._previous, self._next)
        parts = (self._title, *steps, self._note, self._find, self.log, HelpButton(HELP))
        return row(parts, stretch=self._note)

    def show_screen(self, screen: Screen) -> None:
        """Which position, and whether there are bars."""
        place, ready = screen.place, screen.stage.kind is Kind.READY
        self._title.setText(place.title if ready else "Next token")
        self._note.setText(place.note if ready else "")
        for button, on in (
            (self._back, place.previous),
            (self._previous, place.previous),
            (self._next, place.following),
        ):
            button.setEnabled(on)
            button.setVisible(ready and (place.previous or place.following))
        self._numbers.setVisible(ready)
        for widget in (self._find, self.log):
            widget.setVisible(ready)
        self.bars.set_use_label(screen.use_label)
        if screen.stage != self._stage:
            self._stage = screen.stage
            self._show_stage(screen.stage)

    def _show_stage(self, stage: Stage) -> None:
        self.state.show_stage(stage)
        self._stack.setCurrentWidget(self.bars if stage.kind is Kind.READY else self.state)

    def show_picture(self, picture: Picture | None) -> None:
        """Bars and numbers."""
        if picture is None:
            self.bars.clear()
            return
        self.bars.set_distribution(picture.shaped, picture.text_of, picture.reasons, picture.drawn)
        shown = {fact.name: fact for fact in picture.facts}
        for name, fact in shown.items():
            self._facts[name].set_fact(fact)
        self._numbers.set_wanted({self._facts[name] for name in shown})

    @Slot(bool)
    def _searched(self, found: bool) -> None:
        self._note.setText("" if found or not self._find.text() else "no such token in the vocabulary")

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self._find and event.type() == QEvent.Type.KeyPress and event.key() == Qt.Key.Key_Escape:  # type: ignore[attr-defined]
            self.bars.setFocus()
            return True
        return super().eventFilter(watched, event)
