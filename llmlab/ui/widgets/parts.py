"""Small parts that give all panels the same face: headings, the main button, a choice of two, the colour legend."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QSize, Qt, Signal, Slot
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPaintEvent
from PySide6.QtWidgets import QButtonGroup, QHBoxLayout, QLabel, QMenu, QPushButton, QSizePolicy, QToolButton, QWidget

from llmlab.ui import theme


class MutedLabel(QLabel):
    """Secondary text, in the theme's colour for it."""

    def __init__(self, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(text, parent)
        self.setTextFormat(Qt.TextFormat.PlainText)
        theme.changed.connect(self._paint_colors)
        self._paint_colors()

    @Slot()
    def _paint_colors(self) -> None:
        palette = self.palette()
        palette.setColor(self.foregroundRole(), theme.current().muted)
        self.setPalette(palette)


class ElidedLabel(MutedLabel):
    """Secondary text that gives way: what has no room ends in an ellipsis and stays whole in the tooltip."""

    def setText(self, text: str) -> None:
        super().setText(text)
        self.setToolTip(text)

    def minimumSizeHint(self) -> QSize:
        return QSize(0, super().minimumSizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setPen(theme.current().muted)
        text = QFontMetrics(self.font()).elidedText(self.text(), Qt.TextElideMode.ElideRight, self.width())
        painter.drawText(self.rect(), Qt.AlignmentFlag.AlignVCenter, text)
        painter.end()


def heading(text: str) -> QLabel:
    """The name of a group of controls, or of a part of the picture."""
    label = QLabel(text)
    font = label.font()
    font.setBold(True)
    label.setFont(font)
    return label


def icon_button(icon: str, tooltip: str, name: str = "") -> QToolButton:
    """A flat button with a picture. `name` is for assistive technology, the tooltip where it is left out."""
    button = QToolButton()
    button.setIcon(theme.icon(icon))
    button.setAutoRaise(True)
    button.setToolTip(tooltip)
    button.setAccessibleName(name or tooltip)
    return button


def menu_button(icon: str, tooltip: str, name: str) -> QToolButton:
    """An icon button with a menu beside it."""
    button = icon_button(icon, tooltip, name)
    button.setPopupMode(QToolButton.ToolButtonPopupMode.MenuButtonPopup)
    button.setMenu(QMenu(button))
    button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    return button


def row(widgets: tuple[QWidget, ...], *, stretch: QWidget | None = None) -> QWidget:
    """Widgets beside each other; `stretch`, or all of them, take the room that is left."""
    box = QWidget()
    layout = QHBoxLayout(box)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(theme.SPACE // 2)
    for widget in widgets:
        layout.addWidget(widget, stretch=int(widget is stretch))
    return box


class MainButton(QPushButton):
    """The one button that does what the panel is for, in a colour of its own."""

    def __init__(self, text: str, parent: QWidget | None = None) -> None:
        super().__init__(text, parent)
        self.setMinimumHeight(4 * theme.SPACE + 2)
        theme.changed.connect(self._paint_colors)
        self._paint_colors()

    @Slot()
    def _paint_colors(self) -> None:
        colors = theme.current()
        action, white = colors.action, QColor("#ffffff")
        lighter, darker = theme.mix(action, white, 0.12).name(), theme.mix(action, colors.text, 0.2).name()
        self.setStyleSheet(
            "QPushButton { border: none; border-radius: 5px; font-weight: bold; padding: 4px 12px;"
            f" background: {action.name()}; color: {colors.on_action.name()}; }}"
            f"QPushButton:hover {{ background: {lighter}; }}"
            f"QPushButton:pressed {{ background: {darker}; }}"
            f"QPushButton:focus {{ border: 2px solid {colors.text.name()}; }}"
            f"QPushButton:disabled {{ background: {colors.raised.name()}; color: {colors.disabled.name()}; }}"
        )


class _Option(QPushButton):
    """As wide as its label when it is chosen, which is bold; where there is little room it gives up some of its air."""

    def __init__(self, label: str) -> None:
        super().__init__(label)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        return QSize(self._label + 3 * theme.SPACE, super().sizeHint().height())

    def minimumSizeHint(self) -> QSize:
        return QSize(self._label + 2 * theme.SPACE + 2, super().minimumSizeHint().height())

    @property
    def _label(self) -> int:
        bold = self.font()
        bold.setBold(True)
        return QFontMetrics(bold).horizontalAdvance(self.text())


class Choice(QWidget):
    """A few alternatives side by side, one of them chosen. `chosen` carries its index."""

    chosen = Signal(int)

    def __init__(self, options: Sequence[tuple[str, str]], name: str, parent: QWidget | None = None) -> None:
        """`options` are (label, tooltip); `name` says what is chosen."""
        super().__init__(parent)
        self.setObjectName("choice")
        self.setAccessibleName(name)
        self._group = QButtonGroup(self)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        for index, (label, tooltip) in enumerate(options):
            button = _Option(label)
            button.setCheckable(True)
            button.setToolTip(tooltip)
            button.setAccessibleName(f"{name}: {label}")
            self._group.addButton(button, index)
            layout.addWidget(button, stretch=1)
        self._group.idClicked.connect(self.chosen)
        theme.changed.connect(self._paint_colors)
        self._paint_colors()

    def set_chosen(self, index: int) -> None:
        """Mark an option, without a signal."""
        self._group.button(index).setChecked(True)

    def set_offered(self, offered: Sequence[bool]) -> None:
        """Which of the options can be chosen now."""
        for button, on in zip(self._group.buttons(), offered, strict=True):
            button.setEnabled(on)

    @Slot()
    def _paint_colors(self) -> None:
        colors = theme.current()
        border, last = colors.border.name(), len(self._group.buttons()) - 1
        for index, button in enumerate(self._group.buttons()):
            left, right = ("5px" if index == 0 else "0"), ("5px" if index == last else "0")
            button.setStyleSheet(
                f"QPushButton {{ padding: 5px 8px; border: 1px solid {border}; background: {colors.base.name()};"
                f" border-top-left-radius: {left}; border-bottom-left-radius: {left};"
                f" border-top-right-radius: {right}; border-bottom-right-radius: {right};"
                f" color: {colors.text.name()};{'' if index == 0 else ' border-left: none;'} }}"
                f"QPushButton:hover {{ background: {colors.raised.name()}; }}"
                f"QPushButton:checked {{ background: {colors.accent_base.name()}; font-weight: bold; }}"
                f"QPushButton:focus {{ border: 1px solid {colors.accent.name()}; }}"
                f"QPushButton:disabled {{ color: {colors.disabled.name()}; }}"
            )


class ShadeLegend(QWidget):
    """Which colour stands for which number: a name, the numbers at both ends, and the shades between them."""

    STEPS = 72  # pixels of colours

    def __init__(self, name: str = "p", tooltip: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._color_of: Callable[[float], QColor] = _shade
        self.setToolTip(tooltip)
        self.show_scale(name, "0", "1")

    def show_scale(self, name: str, low: str, high: str, color_of: Callable[[float], QColor] | None = None) -> None:
        """`color_of` is given shares from 0 to 1; the shades of probabilities if it is None."""
        self.name, self.texts = name, (low, high)
        self._color_of = color_of or _shade
        self.setAccessibleName(f"Colours: {name} from {low} to {high}")
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        metrics = QFontMetrics(self.font())
        words = metrics.horizontalAdvance(f"{self.name} {self.texts[0]}{self.texts[1]}")
        return QSize(words + self.STEPS + 2 * theme.SPACE, metrics.height() + 4)

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, metrics, center = QPainter(self), QFontMetrics(self.font()), Qt.AlignmentFlag.AlignVCenter
        painter.setPen(theme.current().muted)
        begin = f"{self.name} {self.texts[0]}"
        left = metrics.horizontalAdvance(begin) + theme.SPACE // 2
        painter.drawText(self.rect(), center, begin)
        painter.drawText(self.rect().adjusted(left + self.STEPS + theme.SPACE // 2, 0, 0, 0), center, self.texts[1])
        for x in range(self.STEPS):
            painter.fillRect(left + x, 3, 1, self.height() - 6, self._color_of(x / (self.STEPS - 1)))
        painter.end()


def _shade(share: float) -> QColor:
    return theme.probability_color(share).background
