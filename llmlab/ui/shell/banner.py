"""The inline message above the panels: what happened, and what to do now."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt, Slot
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QToolButton, QVBoxLayout, QWidget

from llmlab.jobs.job import ErrorInfo
from llmlab.ui import theme


class Banner(QFrame):
    """One message at a time; a new one takes the place of the last. Is a `Notifier`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("banner")
        self._details = ""
        self._is_error = False
        self._accepted: Callable[[], None] | None = None
        self._icon = QLabel()
        self._message = QLabel()
        self._hint = QLabel()
        for label in (self._message, self._hint):
            label.setWordWrap(True)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            label.setTextFormat(Qt.TextFormat.PlainText)
        font = self._message.font()
        font.setBold(True)
        self._message.setFont(font)
        self._copy = QPushButton("Copy details")
        self._copy.setToolTip("Copy the technical report of this error, for a bug report")
        self._copy.clicked.connect(self._copy_details)
        self.action = QPushButton()
        self.action.clicked.connect(self._accept)
        self._dismiss = QToolButton()
        self._dismiss.setText("✕")
        self._dismiss.setAutoRaise(True)
        self._dismiss.setToolTip("Dismiss this message")
        self._dismiss.setAccessibleName("Dismiss this message")
        self._dismiss.clicked.connect(self.hide)
        words = QVBoxLayout()
        words.setSpacing(2)
        words.addWidget(self._message)
        words.addWidget(self._hint)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(12, 8, 8, 8)
        layout.setSpacing(12)
        layout.addWidget(self._icon, alignment=Qt.AlignmentFlag.AlignTop)
        layout.addLayout(words, stretch=1)
        layout.addWidget(self.action, alignment=Qt.AlignmentFlag.AlignVCenter)
        layout.addWidget(self._copy, alignment=Qt.AlignmentFlag.AlignVCenter)
        layout.addWidget(self._dismiss, alignment=Qt.AlignmentFlag.AlignTop)
        theme.changed.connect(self._paint)
        self.hide()

    def error(self, error: ErrorInfo) -> None:
        """Say that something failed, and what can be done."""
        self._show(error.message, error.hint, error.details, is_error=True)

    def say(self, message: str, hint: str = "") -> None:
        """Say something the user should know, which is no error."""
        self._show(message, hint, "", is_error=False)

    def offer(self, message: str, hint: str, label: str, accepted: Callable[[], None]) -> None:
        """Say something, with a button called `label`: `accepted` is called when it is pressed."""
        self._show(message, hint, "", is_error=False)
        self._accepted = accepted
        self.action.setText(label)
        self.action.setToolTip(hint)
        self.action.show()

    @property
    def text(self) -> str:
        """What it says, for tests and for assistive technology; empty when hidden."""
        return "" if self.isHidden() else f"{self._message.text()} {self._hint.text()}".strip()

    def _show(self, message: str, hint: str, details: str, *, is_error: bool) -> None:
        self._is_error = is_error
        self._details = details
        self._accepted = None
        self.action.hide()
        self._message.setText(message)
        self._hint.setText(hint)
        self._hint.setVisible(bool(hint))
        self._copy.setVisible(bool(details))
        self.setAccessibleName(f"{message} {hint}")
        self._paint()
        self.show()

    @Slot()
    def _paint(self) -> None:
        colours = theme.current()
        edge, ground = (colours.error, colours.error_base) if self._is_error else (colours.accent, colours.info_base)
        self._icon.setPixmap(theme.icon("warning" if self._is_error else "help").pixmap(18, 18))
        self.setStyleSheet(
            f"#banner {{ background: {ground.name()}; border: none; border-left: 4px solid {edge.name()}; }}"
        )

    @Slot()
    def _accept(self) -> None:
        self.hide()
        if self._accepted is not None:
            self._accepted()

    @Slot()
    def _copy_details(self) -> None:
        QGuiApplication.clipboard().setText(self._details)
