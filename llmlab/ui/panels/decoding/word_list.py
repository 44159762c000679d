"""Words that are banned, or made more or less likely."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDoubleSpinBox, QWidget

from llmlab.ui.panels.decoding.params import LIMITS, MAX_WORDS
from llmlab.ui.panels.decoding.text_list import TextList
from llmlab.ui.panels.decoding.words import MAX_LENGTH, TokenWord, Word, about, label
from llmlab.ui.widgets.parts import MutedLabel

TEXT_WIDTH = 120
NUMBER_WIDTH = 70
FIRST_BIAS = 2.0
DECIMALS = 4  # that an imported bias may have
LONGEST = "-99.9999"
BUTTONS = 30  # pixels beside the number


class BiasBox(QDoubleSpinBox):
    """Shows as many decimals as the number has."""

    def textFromValue(self, value: float) -> str:
        """Without zeros at its end."""
        return self.locale().toString(value, "g", 7)


class WordList(TextList):
    """Words, where `biased` each with a number. `changed` carries a tuple of words, or of (word, bias)."""

    def __init__(self, title: str, tooltip: str, *, biased: bool, parent: QWidget | None = None) -> None:
        self._biased = biased
        self._values: dict[Word, float] = {}
        self._inactive: frozenset[TokenWord] = frozenset()
        super().__init__(
            f"{title}: add a word",
            "word",
            "Add a word",
            tooltip,
            most=MAX_WORDS,
            longest=MAX_LENGTH,
            text_width=TEXT_WIDTH if biased else TEXT_WIDTH + NUMBER_WIDTH,
            parent=parent,
        )
        heading = MutedLabel(title)
        heading.setToolTip(tooltip)
        self._layout.insertWidget(0, heading)

    @property
    def values(self) -> tuple[object, ...]:
        """The words, with their numbers where they have one."""
        return tuple(self._values.items()) if self._biased else tuple(self._values)

    def set_values(self, values: tuple[Any, ...]) -> None:
        """Show these, without a signal."""
        pairs: dict[Word, float] = dict(values) if self._biased else dict.fromkeys(values, 0.0)
        if pairs != self._values:
            self._values = pairs
            self._show_texts(tuple(pairs))

    def set_inactive(self, words: tuple[TokenWord, ...]) -> None:
        """Mute these: they name tokens of another tokenizer."""
        if frozenset(words) != self._inactive:
            self._inactive = frozenset(words)
            self._show_texts(self._texts)

    def _add_text(self, text: str) -> None:
        self._change({**self._values, text: FIRST_BIAS})

    def _remove_text(self, text: Word) -> None:
        self._change({word: bias for word, bias in self._values.items() if word != text})

    def _remove_all(self) -> None:
        self._change({})

    def _label(self, text: Word) -> str:
        return label(text)

    def _tip(self, text: Word) -> str:
        if self._acts(text):
            return about(text)
        return f"Of no effect: the ids are of another tokenizer than the open model's.\n{about(text)}"

    def _acts(self, text: Word) -> bool:
        return text not in self._inactive

    def _change(self, values: dict[Word, float]) -> None:
        self.set_values(tuple(values.items()) if self._biased else tuple(values))
        self.changed.emit(self.values)

    def _beside(self, text: Word) -> QWidget | None:
        return self._number(text, self._values[text]) if self._biased else None

    def _number(self, word: Word, bias: float) -> QDoubleSpinBox:
        number = BiasBox()
        number.setRange(*LIMITS["bias"])
        number.setDecimals(DECIMALS)
        number.setFixedWidth(number.fontMetrics().horizontalAdvance(LONGEST) + BUTTONS)
        number.setSingleStep(0.5)
        number.setPrefix("+" if bias >= 0 else "")
        number.setKeyboardTracking(False)
        number.setValue(bias)
        number.setAccessibleName(f"Bias of {label(word)}")
        number.setToolTip("Added to the logit of the word's last token: 2 makes it about 7 times as likely")
        number.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        number.valueChanged.connect(lambda value: self._weigh(number, word, value))
        return number

    def _weigh(self, number: QDoubleSpinBox, word: Word, bias: float) -> None:
        number.setPrefix("+" if bias >= 0 else "")
        self._values[word] = bias
        self.changed.emit(self.values)
