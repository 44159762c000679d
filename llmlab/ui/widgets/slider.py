"""A slider with its name, a number field, a mark at the default and a way back to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QPointF, Qt, Signal, Slot
from PySide6.QtGui import (
    QAction,
    QContextMenuEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QValidator,
    QWheelEvent,
)
from PySide6.QtWidgets import (
    QDoubleSpinBox,
    QGridLayout,
    QLabel,
    QMenu,
    QSizePolicy,
    QSlider,
    QStyle,
    QStyleOptionSlider,
    QWidget,
)

from llmlab.ui import theme
from llmlab.ui.widgets.scale import PLACES, Scale

PAGE = 10  # steps of PageUp and PageDown


@dataclass(frozen=True, slots=True)
class Knob:
    """What a labelled slider is told: name, values, and what it does to the model, in plain words."""

    label: str
    scale: Scale
    default: float
    tooltip: str
    step: float = 1.0  # of the arrow keys and the number field
    off: float | None = None  # the value that switches the knob off
    off_text: str = "off"


class _NumberField(QDoubleSpinBox):
    """Shows `off_text` in place of the number that means "off"; accepts both."""

    def __init__(self, knob: Knob) -> None:
        super().__init__()
        self._knob = knob
        self.setDecimals(knob.scale.decimals)
        self.setRange(knob.scale.minimum, knob.scale.maximum)
        self.setSingleStep(knob.step)
        self.setKeyboardTracking(False)
        self.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def textFromValue(self, value: float) -> str:
        return self._knob.off_text if value == self._knob.off else super().textFromValue(value)

    def valueFromText(self, text: str) -> float:
        off = self._knob.off
        return off if off is not None and text.strip() == self._knob.off_text else super().valueFromText(text)

    def validate(self, text: str, position: int) -> tuple[QValidator.State, str, int]:
        word = text.strip()
        if self._knob.off is not None and word and self._knob.off_text.startswith(word):
            complete = word == self._knob.off_text
            return (QValidator.State.Acceptable if complete else QValidator.State.Intermediate, text, position)
        return super().validate(text, position)

    def wheelEvent(self, event: QWheelEvent) -> None:
        _wheel_only_with_focus(self, event, super().wheelEvent)


class _Slider(QSlider):
    """Marks the default, goes back to it on a double click, and moves by the knob's step with the arrow keys."""

    stepped = Signal(int)
    reset = Signal()

    def __init__(self, default_place: int) -> None:
        super().__init__(Qt.Orientation.Horizontal)
        self._default_place = default_place
        self.setRange(0, PLACES)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key = Qt.Key
        steps = {
            key.Key_Left: -1,
            key.Key_Down: -1,
            key.Key_Right: 1,
            key.Key_Up: 1,
            key.Key_PageDown: -PAGE,
            key.Key_PageUp: PAGE,
        }.get(Qt.Key(event.key()))
        if steps is None:
            super().keyPressEvent(event)
        else:
            self.stepped.emit(steps)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        self.reset.emit()

    def wheelEvent(self, event: QWheelEvent) -> None:
        _wheel_only_with_focus(self, event, super().wheelEvent)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        option = QStyleOptionSlider()
        self.initStyleOption(option)
        handle = self.style().pixelMetric(QStyle.PixelMetric.PM_SliderLength, option, self)
        x = QStyle.sliderPositionFromValue(0, PLACES, self._default_place, self.width() - handle) + handle / 2
        painter.setPen(QPen(theme.current().muted, 1.5))
        painter.drawLine(QPointF(x, self.height() - 4.0), QPointF(x, self.height() - 1.0))
        painter.end()
        super().paintEvent(event)


class LabelledSlider(QWidget):
    """One knob. `changed` carries an int where the scale has no decimals, else a float."""

    changed = Signal(object)

    def __init__(self, knob: Knob, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._knob = knob
        self._value = knob.scale.clamp(knob.default)
        self._label = QLabel(knob.label)
        self._field = _NumberField(knob)
        self._slider = _Slider(knob.scale.place(knob.default))
        self._label.setBuddy(self._field)
        self._field.setAccessibleName(knob.label)
        self._slider.setAccessibleName(f"{knob.label}, slider")
        self._field.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(theme.SPACE)
        grid.setVerticalSpacing(theme.SPACE // 4)
        grid.addWidget(self._label, 0, 0)
        grid.addWidget(self._field, 0, 1, Qt.AlignmentFlag.AlignRight)
        grid.addWidget(self._slider, 1, 0, 1, 2)
        grid.setColumnStretch(0, 1)
        self.setFocusProxy(self._slider)
        self.set_available(True)
        self._show()
        self._slider.valueChanged.connect(self._slider_moved)
        self._slider.stepped.connect(self._step)
        self._slider.reset.connect(self.reset)
        self._field.valueChanged.connect(self._field_changed)

    @property
    def value(self) -> float:
        """The knob's value; an int where the scale has no decimals."""
        return self._value if self._knob.scale.decimals else int(self._value)

    def set_value(self, value: float) -> None:
        """Show `value`, without a signal."""
        value = self._knob.scale.clamp(value)
        if value != self._value:  # a number field is painted again even where its number stays
            self._value = value
            self._show()

    @Slot()
    def reset(self) -> None:
        """Back to the default, as the user's doing."""
        self._change(self._knob.default)

    def set_available(self, available: bool, reason: str = "") -> None:
        """Enable it, or say in its tooltip why it has no effect now."""
        default = self._field.textFromValue(self._knob.default)
        tip = f"{self._knob.tooltip}\n\nDefault: {default}. Double-click the slider to go back to it."
        tip = tip if available else f"{reason}\n\n{tip}"
        for widget in (self, self._label, self._field, self._slider):
            widget.setToolTip(tip)
        for widget in (self._label, self._field, self._slider):
            widget.setEnabled(available)
        self.setAccessibleDescription(tip)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        menu = QMenu(self)
        default = self._field.textFromValue(self._knob.default)
        action = QAction(f"Reset to default ({default})", menu)
        action.setEnabled(self._slider.isEnabled() and self._value != self._knob.default)
        action.triggered.connect(self.reset)
        menu.addAction(action)
        menu.exec(event.globalPos())
        menu.deleteLater()

    @Slot(int)
    def _slider_moved(self, place: int) -> None:
        self._change(self._knob.scale.value(place), from_slider=True)

    @Slot(int)
    def _step(self, steps: int) -> None:
        self._change(self._value + steps * self._knob.step)

    @Slot(float)
    def _field_changed(self, value: float) -> None:
        self._change(value)

    def _change(self, value: float, *, from_slider: bool = False) -> None:
        value = self._knob.scale.clamp(value)
        if value == self._value:
            return
        self._value = value
        self._show(move_slider=not from_slider)
        self.changed.emit(self.value)

    def _show(self, *, move_slider: bool = True) -> None:
        if move_slider:  # under the mouse it keeps the mouse's place, which is finer than the value's
            self._slider.blockSignals(True)
            self._slider.setValue(self._knob.scale.place(self._value))
            self._slider.blockSignals(False)
        self._field.blockSignals(True)
        self._field.setValue(self._value)
        self._field.blockSignals(False)


def _wheel_only_with_focus(widget: QWidget, event: QWheelEvent, scroll: Callable[[QWheelEvent], None]) -> None:
    """Scrolling the column must not turn the knobs that pass under the mouse."""
    if widget.hasFocus():
        scroll(event)
    else:
        event.ignore()
