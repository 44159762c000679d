"""A group of controls that can be folded away; folded, it still says how many of them are in use."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from llmlab.ui import theme
from llmlab.ui.widgets.parts import MutedLabel


class Fold(QWidget):
    """A heading that opens and closes what is below it. `toggled` carries whether it is open."""

    toggled = Signal(bool)

    def __init__(self, title: str, tooltip: str, *widgets: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.title = title
        self._button = QToolButton()
        self._button.setText(title)
        self._button.setToolTip(tooltip)
        self._button.setAccessibleName(title)
        self._button.setAutoRaise(True)
        self._open = False
        self._button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self._button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._button.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        font = self._button.font()
        font.setBold(True)
        self._button.setFont(font)
        self._note = MutedLabel()
        self._body = QWidget()
        inside = QVBoxLayout(self._body)
        inside.setContentsMargins(0, theme.SPACE // 2, 0, theme.SPACE)
        inside.setSpacing(theme.SPACE)
        for widget in widgets:
            inside.addWidget(widget)
        head = QHBoxLayout()
        head.setContentsMargins(0, 0, 0, 0)
        head.addWidget(self._button)
        head.addStretch(1)
        head.addWidget(self._note)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(head)
        layout.addWidget(self._body)
        self._button.clicked.connect(self._clicked)
        self.set_open(True)

    @property
    def is_open(self) -> bool:
        """Whether its controls can be seen."""
        return self._open

    def set_open(self, is_open: bool) -> None:
        """Open or fold it, without a signal."""
        self._open = is_open
        self._button.setArrowType(Qt.ArrowType.DownArrow if is_open else Qt.ArrowType.RightArrow)
        self._button.setAccessibleDescription("open" if is_open else "folded")
        self._body.setVisible(is_open)

    def set_note(self, note: str) -> None:
        """What the heading says at its right end."""
        if note != self._note.text():
            self._note.setText(note)

    @Slot()
    def _clicked(self) -> None:
        self.set_open(not self._open)
        self.toggled.emit(self._open)
