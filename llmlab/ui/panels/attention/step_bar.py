"""Goes from one generated token to the next: the row of attention that each came from."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QHBoxLayout, QSlider, QWidget

from llmlab.ui import theme
from llmlab.ui.panels.attention.screen import Steps
from llmlab.ui.widgets.parts import ElidedLabel, icon_button


class StepBar(QWidget):
    """A slider over the generated tokens. `stepped` carries the number of one."""

    stepped = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._steps: Steps | None = None
        self.back = icon_button("previous", "The generated token before (Alt+Left)", "Previous generated token")
        self.forth = icon_button("next", "The next generated token (Alt+Right)", "Next generated token")
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setAccessibleName("Generated token")
        self.slider.setToolTip("Which generated token's row of attention is pinned")
        self.slider.setMinimumWidth(40)
        self.slider.setMaximumWidth(110)
        self.label = ElidedLabel()
        self.back.clicked.connect(lambda: self._go(-1))
        self.forth.clicked.connect(lambda: self._go(1))
        self.slider.valueChanged.connect(self._moved)
        for keys, step in (("Alt+Left", -1), ("Alt+Right", 1)):
            shortcut = QShortcut(QKeySequence(keys), self)
            shortcut.activated.connect(lambda step=step: self._go(step))
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        for widget in (self.back, self.slider, self.forth):
            layout.addWidget(widget)
        layout.addWidget(self.label, stretch=1)
        self.show_steps(None)

    def show_steps(self, steps: Steps | None) -> None:
        """Show where one is, or nothing where no token was generated."""
        self._steps = steps
        self.setVisible(steps is not None)
        if steps is None:
            return
        self.slider.blockSignals(True)
        self.slider.setRange(0, max(0, steps.count - 1))
        self.slider.setValue(steps.current or 0)
        self.slider.blockSignals(False)
        self.back.setEnabled(steps.current is None or steps.current > 0)
        self.forth.setEnabled(steps.current is None or steps.current + 1 < steps.count)
        if steps.current is None:
            self.label.setText(f"Follow the {steps.count:,} generated tokens")
        else:
            self.label.setText(f"{steps.current + 1}/{steps.count}: {steps.token}")
            self.label.setToolTip(steps.text)

    def _go(self, step: int) -> None:
        if self._steps is not None:
            now = self._steps.current
            self.stepped.emit(0 if now is None else now + step)

    @Slot(int)
    def _moved(self, value: int) -> None:
        self.stepped.emit(value)
