"""The narrow column: which tokenizer, how its tokens are coloured, how full the context window is."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QSize, Qt, Signal, Slot
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QCheckBox, QInputDialog, QMenu, QPushButton, QVBoxLayout, QWidget

from llmlab.ui import theme
from llmlab.ui.panels.tokens.params import COLOURINGS, MAX_COMPARED, Params
from llmlab.ui.panels.tokens.samples import samples
from llmlab.ui.panels.tokens.screen import Choice as Tokenizer
from llmlab.ui.panels.tokens.screen import ContextUse, Screen
from llmlab.ui.widgets.column import ControlColumn, FactList, combo_box, group
from llmlab.ui.widgets.parts import Choice, MutedLabel, row
from llmlab.ui.widgets.saving import ask_folder

COLOUR_LABELS = (
    ("Token", "Neighbouring tokens in different colours"),
    ("Kind", "One colour for each kind: normal, special, bytes, unknown …"),
    ("Count", "The colour tells how often the token occurs in this text"),
)
SPECIAL_LABELS = (
    ("As the model reads", "With the special tokens that the tokenizer puts around the text: what the model is given"),
    ("Without", "The text's own tokens only, as with add_special_tokens=False"),
)


class Controls(ControlColumn):
    """Signals carry what the user did."""

    opened = Signal(str)  # a folder or a hub id
    sample_chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._choices: tuple[Tokenizer, ...] = ()
        self._params = Params()
        self.tokenizer = combo_box(
            "Tokenizer", "Whose tokens are shown. A tokenizer needs no weights, so it opens at once."
        )
        self.tokenizer.activated.connect(lambda _: self.changed.emit({"tokenizer": self.tokenizer.currentData()}))
        self.more = QPushButton("Open another…")
        self.more.setToolTip("Look at the tokenizer of a folder or of a model in the Hugging Face cache")
        menu = QMenu(self.more)
        menu.addAction("From a folder…", self._ask_folder)
        menu.addAction("By its hub id…", self._ask_id)
        self.more.setMenu(menu)
        self.sample = QPushButton("Sample texts")
        self.sample.setToolTip("Texts in several languages and scripts, to try a tokenizer on")
        texts = QMenu(self.sample)
        for item in samples():
            texts.addAction(item.name, partial(self.sample_chosen.emit, item.text))
        self.sample.setMenu(texts)
        self.colouring = Choice(COLOUR_LABELS, "Colours")
        self.colouring.chosen.connect(lambda index: self.changed.emit({"colouring": COLOURINGS[index]}))
        self.special = Choice(SPECIAL_LABELS, "Special tokens")
        self.special.chosen.connect(lambda index: self.changed.emit({"special": index == 0}))
        self.context = ContextBar()
        self._about = FactList(wrapped=True)
        compare = QWidget()
        self._compare = QVBoxLayout(compare)
        self._compare.setContentsMargins(0, 0, 0, 0)
        self._compare.setSpacing(theme.SPACE // 2)
        self._boxes: list[QCheckBox] = []
        self.fill(
            (
                group("Tokenizer", self.tokenizer, row((self.more, self.sample)), self._about),
                group("Special tokens", self.special),
                group("Colours", self.colouring),
                group("Context window", self.context),
                group("Compare with", compare),
            )
        )

    def show_params(self, params: Params) -> None:
        """Set every control, without a signal."""
        self._params = params
        self.special.set_chosen(int(not params.special))
        self.colouring.set_chosen(COLOURINGS.index(params.colouring))
        self._choose()
        self._check()

    def show_screen(self, screen: Screen) -> None:
        """The tokenizers there are, and what the current one is made of."""
        if screen.choices != self._choices:
            self._choices = screen.choices
            self.tokenizer.clear()
            for choice in screen.choices:
                self.tokenizer.addItem(choice.name, choice.spec)
                self.tokenizer.setItemData(
                    self.tokenizer.count() - 1, choice.spec or choice.name, Qt.ItemDataRole.ToolTipRole
                )
            self._choose()
            self._make_boxes()
        self._about.show_facts(screen.about)
        self.context.set_use(screen.context)

    def _choose(self) -> None:
        self.tokenizer.setCurrentIndex(max(0, self.tokenizer.findData(self._params.tokenizer)))

    def _make_boxes(self) -> None:
        for box in self._boxes:
            self._compare.removeWidget(box)
            box.hide()
            box.deleteLater()
        self._boxes = []
        for choice in self._choices:
            if choice.spec:
                box = QCheckBox(choice.name.replace("&", "&&"))
                box.setToolTip(f"Show {choice.spec} in the Compare tab; up to {MAX_COMPARED} besides the one above")
                box.setProperty("spec", choice.spec)
                box.toggled.connect(self._compared)
                self._boxes.append(box)
                self._compare.addWidget(box)
        self._check()

    def _check(self) -> None:
        for box in self._boxes:
            box.blockSignals(True)
            box.setChecked(box.property("spec") in self._params.compared)
            box.blockSignals(False)
        self._limit()

    def _limit(self) -> None:
        """No more than the tab has room for."""
        full = sum(box.isChecked() for box in self._boxes) > MAX_COMPARED - 1
        for box in self._boxes:
            box.setEnabled(box.isChecked() or not full)

    @Slot()
    def _compared(self) -> None:
        self._limit()
        self.changed.emit({"compared": tuple(box.property("spec") for box in self._boxes if box.isChecked())})

    def _ask_folder(self) -> None:
        ask_folder(self, "A folder with a tokenizer", lambda path: self.opened.emit(str(path)))

    def _ask_id(self) -> None:
        dialog = QInputDialog(self)
        dialog.setWindowTitle("Open a tokenizer")
        dialog.setLabelText("Hub id of a model in the cache, such as openai-community/gpt2:")
        dialog.textValueSelected.connect(self.opened)
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()


class ContextBar(QWidget):
    """How much of the context window the prompt takes, and what is left for the completion."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._use: ContextUse | None = None
        self._bar = _Fill()
        self._text = MutedLabel()
        self._text.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        layout.addWidget(self._bar)
        layout.addWidget(self._text)
        self.set_use(None)

    @property
    def text(self) -> str:
        """What it says."""
        return self._text.text()

    def set_use(self, use: ContextUse | None) -> None:
        """Show the prompt's place in the window, or that there is no limit."""
        self._bar.set_use(use)
        self._bar.setVisible(use is not None)
        if use is None:
            words = "This tokenizer's model sets no limit, or it is not known."
        elif use.over:
            words = (
                f"The prompt takes {use.used:,} tokens, {use.over:,} more than the {use.limit:,} of the window. "
                f"What comes after token {use.limit:,} is pale in the strip and would be cut off."
            )
        else:
            words = (
                f"The prompt takes {use.used:,} of {use.limit:,} tokens ({use.used / use.limit:.1%}); {use.left:,} are "
                "left for the completion."
            )
        self._text.setText(words)
        self.setAccessibleName(words)


class _Fill(QWidget):
    """The bar itself: what the prompt takes, what is left, what is too much."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._use: ContextUse | None = None
        self.setFixedHeight(14)
        theme.changed.connect(self.update)

    def set_use(self, use: ContextUse | None) -> None:
        self._use = use
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(200, 14)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, colors, use = QPainter(self), theme.current(), self._use
        if use is None:
            painter.end()
            return
        whole = max(use.limit, use.used)
        painter.fillRect(self.rect(), colors.raised)
        used = round(self.width() * min(use.used, use.limit) / whole)
        painter.fillRect(0, 0, max(1, used), self.height(), colors.bar_kept)
        if use.over:
            painter.fillRect(used, 0, self.width() - used, self.height(), colors.error)
            painter.fillRect(used - 1, 0, 2, self.height(), colors.text)
        painter.setPen(colors.border)
        painter.drawRect(self.rect().adjusted(0, 0, -1, -1))
        painter.end()
