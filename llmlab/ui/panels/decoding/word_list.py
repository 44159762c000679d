"""Words that are banned, or made more or less likely."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtGui import QFontMetrics
from PySide6.QtWidgets import QDoubleSpinBox, QHBoxLayout, QLabel, QLineEdit, QVBoxLayout, QWidget

from llmlab.ui import theme
from llmlab.ui.panels.decoding.params import LIMITS, MAX_WORD_LENGTH, MAX_WORDS
from llmlab.ui.panels.decoding.stops import escaped, unescaped
from llmlab.ui.widgets.parts import MutedLabel, icon_button

TEXT_WIDTH = 120
FIRST_BIAS = 2.0


class WordList(QWidget):
    """Words, each with a button to remove it and, where `biased`, a number; and a field to add one.

    `changed` carries a tuple of words, or of (word, bias).
    """

    changed = Signal(object)

    def __init__(self, title: str, tooltip: str, *, biased: bool, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._biased = biased
        self._values: dict[str, float] = {}
        self._shown: list[QWidget] = []
        self._label = MutedLabel(title)
        self._label.setToolTip(tooltip)
        self._field = QLineEdit()
        self._field.setPlaceholderText("Add a word")
        self._field.setMaxLength(MAX_WORD_LENGTH)
        self._field.setAccessibleName(f"{title}: add a word")
        self._field.setToolTip(tooltip)
        self._add = icon_button("add", f"{title}: add this word")
        self._rows = QVBoxLayout()
        self._rows.setSpacing(0)
        line = QHBoxLayout()
        line.setSpacing(theme.SPACE // 2)
        line.addWidget(self._field)
        line.addWidget(self._add)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        layout.addWidget(self._label)
        layout.addLayout(self._rows)
        layout.addLayout(line)
        self._field.returnPressed.connect(self._add_typed)
        self._add.clicked.connect(self._add_typed)

    @property
    def values(self) -> tuple[object, ...]:
        """The words, with their numbers where they have one."""
        return tuple(self._values.items()) if self._biased else tuple(self._values)

    def set_values(self, values: tuple[object, ...]) -> None:
        """Show these, without a signal."""
        pairs = dict(values) if self._biased else dict.fromkeys(values, 0.0)  # type: ignore[call-overload]
        if pairs == self._values:
            return
        self._values = pairs
        for old in self._shown:
            self._rows.removeWidget(old)
            old.hide()
            old.deleteLater()
        self._shown = [self._row(word, bias) for word, bias in pairs.items()]
        for row in self._shown:
            self._rows.addWidget(row)
        for widget in (self._field, self._add):
            widget.setEnabled(len(pairs) < MAX_WORDS)

    def _row(self, word: str, bias: float) -> QWidget:
        row, label = QWidget(), QLabel()
        label.setFont(theme.monospace())
        label.setTextFormat(Qt.TextFormat.PlainText)
        width = TEXT_WIDTH if self._biased else TEXT_WIDTH + 70
        label.setText(QFontMetrics(label.font()).elidedText(escaped(word), Qt.TextElideMode.ElideRight, width))
        label.setToolTip(escaped(word))
        layout = QHBoxLayout(row)
        layout.setContentsMargins(theme.SPACE // 2, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        layout.addWidget(label, stretch=1)
        if self._biased:
            layout.addWidget(self._number(word, bias))
        remove = icon_button("cancel", f"Remove the word {escaped(word)}")
        remove.clicked.connect(lambda: self._change({w: b for w, b in self._values.items() if w != word}))
        layout.addWidget(remove)
        return row

    def _number(self, word: str, bias: float) -> QDoubleSpinBox:
        number = QDoubleSpinBox()
        number.setRange(*LIMITS["bias"])
        number.setDecimals(1)
        number.setSingleStep(0.5)
        number.setPrefix("+" if bias >= 0 else "")
        number.setKeyboardTracking(False)
        number.setValue(bias)
        number.setAccessibleName(f"Bias of {escaped(word)}")
        number.setToolTip("Added to the logit of the word's last token: 2 makes it about 7 times as likely")
        number.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        number.valueChanged.connect(lambda value: self._weigh(number, word, value))
        return number

    def _weigh(self, number: QDoubleSpinBox, word: str, bias: float) -> None:
        number.setPrefix("+" if bias >= 0 else "")
        self._values[word] = bias
        self.changed.emit(self.values)

    @Slot()
    def _add_typed(self) -> None:
        word = unescaped(self._field.text())
        if word and word not in self._values:
            self._field.clear()
            self._change({**self._values, word: FIRST_BIAS})

    def _change(self, values: dict[str, float]) -> None:
        self.set_values(tuple(values.items()) if self._biased else tuple(values))
        self.changed.emit(self.values)
