"""A list of texts that the user types: what stop strings and words have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtGui import QFontMetrics
from PySide6.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from llmlab.ui import theme
from llmlab.ui.panels.decoding.escapes import escaped, unescaped
from llmlab.ui.widgets.parts import MutedLabel, icon_button, row

SHORT = 8  # rows that are shown before someone asks for all


class TextList(QWidget):
    """Texts, each with a button to remove it, and a field to add one; line breaks and tabs are typed as escapes.

    Subclasses may have other entries than texts as well. Of a long list the first are shown until all are asked for.

    `changed` carries what the list stands for, as a tuple.
    """

    changed = Signal(object)

    def __init__(
        self,
        name: str,
        noun: str,
        placeholder: str,
        tooltip: str,
        *,
        most: int,
        longest: int,
        text_width: int,
        parent: QWidget | None = None,
    ) -> None:
        """At most `most` texts of `longest` characters; in a row each has `text_width` pixels."""
        super().__init__(parent)
        self._noun, self._most, self._text_width = noun, most, text_width
        self._texts: tuple[Any, ...] = ()
        self._shown: list[QWidget] = []
        self._field = QLineEdit()
        self._field.setPlaceholderText(placeholder)
        self._field.setMaxLength(longest)
        self._field.setAccessibleName(name)
        self._field.setToolTip(tooltip)
        self._add = icon_button("add", f"{name}: add it")
        self._rows = QVBoxLayout()
        self._rows.setSpacing(0)
        self._all = QPushButton()
        self._all.setCheckable(True)
        self._all.toggled.connect(lambda _: self._show_texts(self._texts))
        self._none = QPushButton("Remove all")
        self._none.setToolTip(f"Remove every {noun} of this list")
        self._none.clicked.connect(lambda _: self._remove_all())
        self._long = row((self._all, self._none))
        self._long.hide()
        line = QHBoxLayout()
        line.setSpacing(theme.SPACE // 2)
        line.addWidget(self._field)
        line.addWidget(self._add)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(theme.SPACE // 2)
        self._layout.addLayout(self._rows)
        self._layout.addWidget(self._long)
        self._layout.addLayout(line)
        self._field.returnPressed.connect(self._add_typed)
        self._add.clicked.connect(self._add_typed)

    def _add_text(self, text: str) -> None:
        """The user has typed `text`, which is not there yet."""
        raise NotImplementedError

    def _remove_text(self, text: Any) -> None:
        """The user takes `text` away."""
        raise NotImplementedError

    def _remove_all(self) -> None:
        """The user takes everything away."""
        raise NotImplementedError

    def _beside(self, _text: Any) -> QWidget | None:
        """What a row has besides its text and its button."""
        return None

    def _label(self, text: Any) -> str:
        """An entry on one line."""
        return escaped(text)

    def _tip(self, text: Any) -> str:
        """What is said of an entry."""
        return escaped(text)

    def _acts(self, _text: Any) -> bool:
        """Whether an entry does anything now; what does not is muted."""
        return True

    def _show_texts(self, texts: Sequence[Any]) -> None:
        self._texts = tuple(texts)
        for old in self._shown:
            self._rows.removeWidget(old)
            old.hide()
            old.deleteLater()
        shown = texts if self._all.isChecked() else texts[:SHORT]
        self._shown = [self._row(text) for text in shown]
        self._long.setVisible(len(texts) > SHORT)
        self._all.setText(f"Show {'fewer' if self._all.isChecked() else f'all {len(texts)}'}")
        for shown_row in self._shown:
            self._rows.addWidget(shown_row)
        for widget in (self._field, self._add):
            widget.setEnabled(len(texts) < self._most)

    def _row(self, text: Any) -> QWidget:
        line, label = QWidget(), QLabel() if self._acts(text) else MutedLabel()
        label.setFont(theme.monospace())
        label.setTextFormat(Qt.TextFormat.PlainText)
        elided = QFontMetrics(label.font()).elidedText(self._label(text), Qt.TextElideMode.ElideRight, self._text_width)
        label.setText(elided)
        label.setToolTip(self._tip(text))
        layout = QHBoxLayout(line)
        layout.setContentsMargins(theme.SPACE // 2, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        layout.addWidget(label, stretch=1)
        beside = self._beside(text)
        if beside is not None:
            layout.addWidget(beside)
        remove = icon_button("cancel", f"Remove the {self._noun} {self._label(text)}")
        remove.clicked.connect(lambda: self._remove_text(text))
        layout.addWidget(remove)
        return line

    @Slot()
    def _add_typed(self) -> None:
        text = unescaped(self._field.text())
        if text:
            self._field.clear()
            if text not in self._texts:
                self._add_text(text)
