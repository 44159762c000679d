"""The lower part of the picture: the text as it is generated, or an encoder's text with its masks filled."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QFrame, QMenu, QPushButton, QSizePolicy, QStackedLayout, QVBoxLayout, QWidget

from llmlab.engine.types import GenerationStep
from llmlab.ui import theme
from llmlab.ui.panels.decoding.picture import Filled, Screen, ShownChange
from llmlab.ui.panels.decoding.text_editor import TextEditor
from llmlab.ui.widgets import numbers
from llmlab.ui.widgets.card import Card, CardBar
from llmlab.ui.widgets.help import Help, HelpButton
from llmlab.ui.widgets.parts import ElidedLabel, ShadeLegend, heading, icon_button, menu_button, row
from llmlab.ui.widgets.stream import Piece, StreamedTokens
from llmlab.ui.widgets.tokentext import visible

SHOWN_ALTERNATIVES = 8
HELP = Help(
    "The completion",
    "Each generated token stands on a background that tells the probability it was drawn with, after the settings. "
    "Hover over a token for its exact numbers and its alternatives; click it to see above the whole distribution it "
    "was drawn from. Drag, or hold Shift, to select several and add up their log-probabilities. Right-click a token to "
    "go on with another one in its place: the former text stays as a branch.",
    "ln p(text) = Σₜ ln p(tokenₜ | prompt, tokens before t)",
)
LEGEND = "The background of a token tells the probability it was drawn with"


class CompletionPane(QWidget):
    """Header with the numbers and the actions, tokens below."""

    selected = Signal(int)  # a token, or a mask of an encoder's text
    regenerate = Signal(bool)  # with a new seed?
    copy_asked = Signal(str)  # "text" or "python"
    export_asked = Signal(str)  # "csv" or "json"
    replay_asked = Signal()
    clear_asked = Signal()
    change_taken = Signal()  # go on from where the settings would have made another text
    branch_asked = Signal(int, object, bool)  # after so many tokens, the ids to go on with, with a new seed?
    edited = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._steps: list[GenerationStep] = []
        self._filled: tuple[Filled, ...] = ()
        self._filling = self._former = False
        self._pointed = -1
        self.tokens = StreamedTokens(self._card)
        self.tokens.setAccessibleName("Completion")
        self.tokens.selected.connect(self._token_selected)
        self.tokens.hovered.connect(self._point)
        self.tokens.menu_asked.connect(self._add_branches)
        self.editor = TextEditor()
        self.editor.done.connect(self._edited)
        self.editor.left.connect(self._leave_editor)
        self.title = heading("Completion")
        self.status = ElidedLabel()
        self._sum = ""
        self._changes = ""
        self._status = ""
        frame = QFrame()
        frame.setFrameShape(QFrame.Shape.StyledPanel)
        self._stack = QStackedLayout(frame)
        self._stack.setContentsMargins(1, 1, 1, 1)
        self._stack.addWidget(self.tokens)
        self._stack.addWidget(self.editor)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        layout.addWidget(self._make_head())
        layout.addWidget(frame, stretch=1)

    def _make_head(self) -> QWidget:
        self._again = menu_button("regenerate", "Again, with the settings and the seed of the last run", "Regenerate")
        self._again.clicked.connect(lambda: self.regenerate.emit(False))
        self._again.menu().addAction("Same settings and seed", lambda: self.regenerate.emit(False))
        self._again.menu().addAction("Same settings, new seed", lambda: self.regenerate.emit(True))
        self._copy = menu_button("copy", "Copy the completion's text", "Copy")
        self._copy.clicked.connect(lambda: self.copy_asked.emit("text"))
        self._copy_text = self._copy.menu().addAction("Copy text", lambda: self.copy_asked.emit("text"))
        self._copy.menu().addAction("Copy as Python", lambda: self.copy_asked.emit("python"))
        self._exports = [
            self._copy.menu().addAction("Export run as CSV…", lambda: self.export_asked.emit("csv")),
            self._copy.menu().addAction("Save run record as JSON…", lambda: self.export_asked.emit("json")),
        ]
        self._copy.menu().addAction("Replay a run record…", self.replay_asked.emit)
        self._clear = icon_button("clear", "Remove the completion", "Clear")
        self._clear.clicked.connect(self.clear_asked)
        self._edit = icon_button("edit", "Change the text and let the model go on from it", "Edit the text")
        self._edit.clicked.connect(self._begin_editing)
        buttons = (self._edit, self._again, self._copy, self._clear)
        self.status.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self._take = self._make_take()
        parts = (self.title, self.status, self._take, ShadeLegend("p", LEGEND), *buttons, HelpButton(HELP))
        return row(parts, stretch=self.status)

    def _make_take(self) -> QPushButton:
        take = QPushButton("Go on from there")
        take.setToolTip(
            "A new branch: the text up to there stays, and the model goes on with the settings of the moment.\n"
            "The random numbers are those of the same seed."
        )
        take.clicked.connect(self.change_taken)
        take.hide()
        return take

    def _show_change(self, change: ShownChange | None) -> None:
        """Say where the settings of the moment would have made another text; no line of its own, so nothing jumps."""
        self.tokens.set_mark(-1 if change is None else change.at)
        self._take.setVisible(change is not None)
        self._changes = ""
        if change is not None:
            drawn, other = visible(change.drawn), visible(change.other)
            self._changes = f"With these settings token {change.at + 1} would be “{other}” instead of “{drawn}”"
        self._show_status()

    # --- what is shown --------------------------------------------------------------------------------------

    def add_steps(self, steps: Sequence[GenerationStep]) -> None:
        """Append generated tokens."""
        self._steps.extend(steps)
        if not self._filling:
            self.tokens.append([_piece(step) for step in steps])

    def clear_steps(self) -> None:
        """No completion."""
        self._steps, self._sum = [], ""
        self._leave_editor()
        if not self._filling:
            self.tokens.clear()

    def select_step(self, index: int) -> None:
        """Mark a token."""
        self._sum = ""
        if not self._filling:
            self.tokens.select(index)
        self._show_status()

    def show_filled(self, parts: Sequence[Filled], current: int) -> None:
        """An encoder's text, one of its masks marked; unchanged parts are not laid out again."""
        if not self._filling:
            return
        if tuple(parts) != self._filled:
            self._filled = tuple(parts)
            self.tokens.clear()
            self.tokens.append([Piece(part.text, part.probability) for part in parts])
        self.tokens.select(next((i for i, part in enumerate(parts) if part.mask == current), -1))

    def show_screen(self, screen: Screen) -> None:
        """Title, numbers, and which actions make sense."""
        self._set_filling(screen.fill_mask)
        self.title.setText("Masks filled" if screen.fill_mask else "Completion")
        former = f"by {screen.former}, the former model · " if screen.former else ""
        self._status = "the most probable token at each mask" if screen.fill_mask else f"{former}{screen.status}"
        self._show_status()
        self.tokens.set_former(bool(screen.former) and not screen.fill_mask)
        has_run = screen.has_run and not screen.fill_mask
        self._former = bool(screen.former)
        self._again.setVisible(not screen.fill_mask)
        self._edit.setVisible(not screen.fill_mask)
        self._edit.setEnabled(has_run and not screen.generating and not screen.former)
        self._clear.setVisible(not screen.fill_mask)
        self._again.setEnabled(has_run and screen.can_generate and not screen.former)
        self._clear.setEnabled(has_run or screen.generating)
        self._copy_text.setEnabled(has_run or screen.fill_mask)
        for action in self._exports:
            action.setEnabled(has_run)
        empty = "" if screen.fill_mask or screen.generating else "Press Generate (Ctrl+Return) to continue the prompt."
        self.tokens.set_placeholder(empty)
        self._show_change(None if screen.generating else screen.change)

    def _set_filling(self, filling: bool) -> None:
        if filling == self._filling:
            return
        self._filling, self._filled = filling, ()
        self.tokens.clear()
        if not filling:
            self.tokens.append([_piece(step) for step in self._steps])

    def _show_status(self) -> None:
        text = self._sum or self._changes or self._status
        if text != self.status.text():
            self.status.setText(text)

    # --- branches -------------------------------------------------------------------------------------------

    @Slot(int)
    def _point(self, index: int) -> None:
        self._pointed = index

    @Slot(QMenu)
    def _add_branches(self, menu: QMenu) -> None:
        """Ways to go on from the token under the mouse, or from the selected one."""
        index = self._pointed if self._pointed >= 0 else self.tokens.selection[0]
        if self._filling or self._former or not 0 <= index < len(self._steps):
            return
        menu.addSeparator()
        for token_id, text, probability in _others(self._steps[index]):
            words = f"Go on with “{visible(text)}”   {numbers.probability(probability)}".replace("&", "&&")
            menu.addAction(words, partial(self.branch_asked.emit, index, (token_id,), False))
        menu.addSeparator()
        menu.addAction(
            "Regenerate from here with the settings of now", lambda: self.branch_asked.emit(index, (), False)
        )
        menu.addAction("Regenerate from here with a new seed", lambda: self.branch_asked.emit(index, (), True))
        menu.addAction("Edit the text…", self._begin_editing)
        menu.addSeparator()

    @Slot()
    def _begin_editing(self) -> None:
        if self._steps and not self._filling and not self._former:
            self._stack.setCurrentWidget(self.editor)
            self.editor.begin("".join(step.text for step in self._steps))

    @Slot(str)
    def _edited(self, text: str) -> None:
        self._leave_editor()
        self.edited.emit(text)

    @Slot()
    def _leave_editor(self) -> None:
        self._stack.setCurrentWidget(self.tokens)

    # --- tokens ---------------------------------------------------------------------------------------------

    def _token_selected(self, first: int, last: int) -> None:
        self._sum = ""
        if self._filling:
            mask = self._filled[first].mask if 0 <= first < len(self._filled) else None
            if mask is not None:
                self.selected.emit(mask)
        elif last > first:
            self._sum = _sum(self._steps[first : last + 1])
        elif first >= 0:
            self.selected.emit(first)
        self._show_status()

    def _card(self, index: int) -> Card | None:
        if self._filling:
            part = self._filled[index]
            if part.probability is None:
                return None
            return Card(visible(part.text), (("probability", numbers.exact(part.probability)),))
        return step_card(self._steps[index])


def _others(step: GenerationStep) -> list[tuple[int, str, float]]:
    """The best tokens that were not taken: id, text, and the model's own probability."""
    best = step.alternatives
    rows = zip(best.ids.tolist(), best.texts, best.raw_probabilities.tolist(), strict=True)
    return [each for each in rows if each[0] != step.token_id][:SHOWN_ALTERNATIVES]


def step_card(step: GenerationStep) -> Card:
    """What hovering over a generated token tells."""
    best, bars = step.alternatives, []
    largest = float(best.probabilities.max(initial=0.0)) or 1.0
    for i in range(min(SHOWN_ALTERNATIVES, len(best.ids))):
        p = float(best.probabilities[i])
        text = visible(best.texts[i])
        mine = int(best.ids[i]) == step.token_id
        bars.append(CardBar(text, p / largest, numbers.probability(p) if p > 0 else "cut", mine, p <= 0))
    facts = (
        ("probability", numbers.exact(step.probability)),
        ("its logarithm", numbers.log_probability(step.probability)),
        ("raw probability", numbers.exact(step.raw_probability)),
        ("raw rank", f"{step.rank + 1:,}"),
        ("entropy", f"{step.entropy:.4f} nats"),
        ("token id", str(step.token_id)),
    )
    return Card(f"{visible(step.token)}   token {step.index + 1}", facts, tuple(bars), _tail(step))


def _tail(step: GenerationStep) -> str:
    """How much probability the card leaves out."""
    shown = step.alternatives.probabilities[:SHOWN_ALTERNATIVES]
    rest = max(0.0, 1 - float(shown.sum(dtype=np.float64)))
    return f"all others together {numbers.probability(rest)}" if rest > 1e-6 else ""


def _piece(step: GenerationStep) -> Piece:
    """A special token, or a byte of a character to come, shows its name; a token whose text is held back does not."""
    is_name = (step.token.startswith("<") and step.token.endswith(">")) or step.finish_reason == "eos"
    return Piece(step.text, step.probability, step.token if is_name else "")


def _sum(steps: Sequence[GenerationStep]) -> str:
    """The log-probability of several tokens together."""
    total = float(np.log(np.maximum([step.probability for step in steps], 1e-300)).sum())
    raw = float(np.log(np.maximum([step.raw_probability for step in steps], 1e-300)).sum())
    perplexity = float(np.exp(-raw / len(steps)))
    return f"{len(steps)} tokens selected · ln p {total:.3f} · raw ln p {raw:.3f} · raw perplexity {perplexity:.2f}"
