"""The "?" beside a picture: what one sees in a few sentences, and the formula."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QPoint, Qt, Slot
from PySide6.QtWidgets import QFrame, QLabel, QToolButton, QVBoxLayout, QWidget

from llmlab.ui import theme

WIDTH = 440


@dataclass(frozen=True, slots=True)
class Help:
    """A title, a text in plain words, a formula."""

    title: str
    text: str
    formula: str


class HelpButton(QToolButton):
    """Opens the explanation beside itself; Esc or a click elsewhere closes it."""

    def __init__(self, content: Help, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._content = content
        self.setIcon(theme.icon("help"))
        self.setAutoRaise(True)
        self.setToolTip(f"{content.title}: what you see here")
        self.setAccessibleName(f"Explain: {content.title}")
        self.clicked.connect(self.open_help)

    @Slot()
    def open_help(self) -> None:
        """Show the explanation."""
        page = HelpPage(self._content, self)
        page.adjustSize()
        corner = self.mapToGlobal(QPoint(self.width(), self.height() + 4))
        page.move(corner - QPoint(page.width(), 0))
        page.show()


class HelpPage(QFrame):
    """The explanation itself."""

    def __init__(self, content: Help, parent: QWidget | None = None) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setFrameShape(QFrame.Shape.StyledPanel)
        title, text, formula = QLabel(content.title), QLabel(content.text), QLabel(content.formula)
        bold = title.font()
        bold.setBold(True)
        title.setFont(bold)
        formula.setFont(theme.monospace())
        layout = QVBoxLayout(self)
        layout.setContentsMargins(*(2 * theme.SPACE,) * 4)
        layout.setSpacing(theme.SPACE)
        for label in (title, text, formula):
            label.setWordWrap(True)
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            label.setFixedWidth(WIDTH)
            layout.addWidget(label)
