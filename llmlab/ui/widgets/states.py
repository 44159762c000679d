"""What stands in a picture's place while there is none: nothing yet, loading, or an error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from PySide6.QtCore import QSize, Qt, Signal, Slot
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from llmlab.ui import theme
from llmlab.ui.screen import Kind, Stage

TEXT_WIDTH = 520
EXAMPLE_LENGTH = 60  # characters of an example that its button shows
ICON_SIZE = 32


class StateView(QFrame):
    """A title, a sentence, and what one can click: examples, and buttons for the actions of a `Stage`."""

    example_chosen = Signal(str)
    acted = Signal(str)  # the name of the action

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAutoFillBackground(True)
        self._icon_name = ""
        self._icon, self._title, self._text = QLabel(), QLabel(), QLabel()
        self._bar = QProgressBar()
        self._bar.setMinimumWidth(100)
        self._bar.setMaximumWidth(260)
        self._bar.setMaximumHeight(8)
        self._bar.setTextVisible(False)
        self.buttons: list[QPushButton] = []  # the actions and examples
        self._buttons = QVBoxLayout()
        self._buttons.setSpacing(theme.SPACE)
        font = self._title.font()
        font.setPointSizeF(font.pointSizeF() * 1.2)
        font.setBold(True)
        self._title.setFont(font)
        for label in (self._title, self._text):
            label.setWordWrap(True)
            label.setAlignment(Qt.AlignmentFlag.AlignHCenter)
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._lay_out()
        theme.changed.connect(self._paint_colors)
        self._paint_colors()

    def _lay_out(self) -> None:
        center = Qt.AlignmentFlag.AlignHCenter
        column = QWidget()  # a widget of its own: an aligned label would not get the height of its lines
        column.setMaximumWidth(TEXT_WIDTH)
        inner = QVBoxLayout(column)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(theme.SPACE)
        inner.addStretch(2)
        inner.addWidget(self._icon, alignment=center)
        inner.addWidget(self._title)
        inner.addWidget(self._text)
        inner.addLayout(_in_the_middle(self._bar))
        inner.addLayout(self._buttons)
        inner.addStretch(3)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(*(2 * theme.SPACE,) * 4)
        layout.addLayout(_in_the_middle(column))

    def show_stage(self, stage: Stage) -> None:
        """The words of `stage`; nothing changes where there is a picture."""
        actions = [(label, partial(self.acted.emit, name)) for label, name in stage.actions]
        if stage.kind is Kind.LOADING:
            self.show_loading(stage.title, stage.text, stage.fraction)
        elif stage.kind is Kind.EMPTY:
            self.show_empty(stage.title, stage.text, stage.examples, actions)
        elif stage.kind is Kind.ERROR:
            self.show_error(stage.title, stage.text, actions)

    def show_empty(
        self,
        title: str,
        text: str,
        examples: Sequence[str] = (),
        actions: Sequence[tuple[str, Callable[[], object]]] = (),
    ) -> None:
        """Nothing yet: what could be done. `actions` are further buttons."""
        self._show("", title, text)
        for label, call in actions:
            self._add_button(label, call, label)
        for example in examples:
            label = _beginning(example)
            self._add_button(f"“{label}”", partial(self.example_chosen.emit, example), label)

    def show_loading(self, title: str, text: str = "", fraction: float | None = None) -> None:
        """Something is on its way; `fraction` is 0…1, or None while the total is unknown."""
        self._show("", title, text)
        self._bar.setRange(0, 0 if fraction is None else 1000)
        if fraction is not None:
            self._bar.setValue(round(1000 * fraction))
        self._bar.show()

    def show_error(self, message: str, hint: str, actions: Sequence[tuple[str, Callable[[], object]]] = ()) -> None:
        """What happened, and what to do now. `actions` are buttons."""
        self._show("warning", message, hint)
        for label, call in actions:
            self._add_button(label, call, label)

    @property
    def text(self) -> str:
        """What it says, for tests and for assistive technology."""
        return f"{self._title.text()} {self._text.text()}".strip()

    def _show(self, icon: str, title: str, text: str) -> None:
        for button in self.buttons:
            self._buttons.removeWidget(button)
            button.hide()
            button.deleteLater()
        self.buttons = []
        self._icon_name = icon
        self._title.setText(title)
        self._text.setText(text)
        self._text.setVisible(bool(text))
        self._bar.hide()
        self.setAccessibleName(self.text)
        self._paint_colors()

    def _add_button(self, label: str, call: Callable[[], object], description: str) -> None:
        button = QPushButton(label.replace("&", "&&"))
        button.setAccessibleName(description)
        button.setCursor(Qt.CursorShape.PointingHandCursor)
        button.setMaximumWidth(TEXT_WIDTH)
        button.clicked.connect(lambda _checked=False: call())
        self.buttons.append(button)
        self._buttons.addWidget(button, alignment=Qt.AlignmentFlag.AlignHCenter)

    @Slot()
    def _paint_colors(self) -> None:
        colors = theme.current()
        palette = self.palette()
        palette.setColor(self.backgroundRole(), colors.base)
        self.setPalette(palette)
        muted = self._text.palette()
        muted.setColor(self._text.foregroundRole(), colors.muted)
        self._text.setPalette(muted)
        self._icon.setVisible(bool(self._icon_name))
        if self._icon_name:
            self._icon.setPixmap(theme.icon(self._icon_name).pixmap(QSize(ICON_SIZE, ICON_SIZE)))


def _in_the_middle(widget: QWidget) -> QHBoxLayout:
    """As wide as it may be, with what is left at both sides."""
    layout = QHBoxLayout()
    layout.addStretch(1)
    layout.addWidget(widget, stretch=1000)
    layout.addStretch(1)
    return layout


def _beginning(text: str) -> str:
    line = text.replace("\n", " ")
    return line if len(line) <= EXAMPLE_LENGTH else line[:EXAMPLE_LENGTH] + "…"
