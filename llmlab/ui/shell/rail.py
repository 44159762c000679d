"""The list of panels on the left."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QSize, Qt, Slot
from PySide6.QtWidgets import QButtonGroup, QFrame, QToolButton, QVBoxLayout, QWidget

from llmlab.ui import theme
from llmlab.ui.panel import PanelSpec


class Rail(QFrame):
    """One button a panel; `choose` is called with the panel's index."""

    def __init__(
        self, specs: Sequence[PanelSpec], choose: Callable[[int], None], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setObjectName("rail")
        self._group = QButtonGroup(self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 10, 6, 10)
        layout.setSpacing(4)
        for index, spec in enumerate(specs):
            button = QToolButton()
            button.setText(spec.title)
            button.setIcon(theme.icon(spec.icon))
            button.setIconSize(QSize(22, 22))
            button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
            button.setCheckable(True)
            button.setAutoRaise(True)
            button.setMinimumWidth(76)
            button.setToolTip(f"{spec.tooltip} (Ctrl+{index + 1})")
            button.setAccessibleName(spec.title)
            self._group.addButton(button, index)
            layout.addWidget(button)
        layout.addStretch(1)
        self._group.idClicked.connect(choose)
        theme.changed.connect(self._paint)
        self._paint()

    def set_current(self, index: int) -> None:
        """Mark the panel that is in front."""
        self._group.button(index).setChecked(True)

    @Slot()
    def _paint(self) -> None:
        colours = theme.current()
        self.setStyleSheet(
            f"#rail {{ background: {colours.window.name()}; border-right: 1px solid {colours.border.name()}; }}"
            f"#rail QToolButton {{ border: none; border-radius: 6px; padding: 7px 4px; }}"
            f"#rail QToolButton:hover {{ background: {colours.raised.name()}; }}"
            f"#rail QToolButton:focus {{ border: 1px solid {colours.accent.name()}; }}"
            f"#rail QToolButton:checked {{ background: {colours.accent_base.name()}; }}"
        )
