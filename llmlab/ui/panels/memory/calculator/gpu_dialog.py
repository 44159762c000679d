"""A row of the table of GPUs, typed by hand."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QDoubleSpinBox, QFormLayout, QLabel, QLineEdit, QWidget

from llmlab.engine.memory.hardware import Gpu
from llmlab.ui import theme

MESSAGE = 300  # pixels that a sentence about what is wrong has at least
Keep = Callable[[str, float, float], str]


class GpuDialog(QDialog):
    """Name, memory and bandwidth. `keep` takes them and returns what is wrong, or nothing."""

    def __init__(self, keep: Keep, gpu: Gpu | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._keep = keep
        self.setWindowTitle("Change the GPU" if gpu else "Add a GPU")
        self.name = QLineEdit(gpu.name if gpu else "")
        self.name.setPlaceholderText("such as RTX 4090 in the corner")
        self.memory = _number(" GiB", "Its memory in GiB (2³⁰ bytes)", 1_048_576, gpu.memory / 2**30 if gpu else 24)
        speed = gpu.bandwidth / 1e9 if gpu else 1000
        self.bandwidth = _number(" GB/s", "How fast it reads its memory, in 10⁹ bytes a second", 10_000_000, speed)
        self.problem = QLabel()
        self.problem.setWordWrap(True)
        self.problem.setMinimumWidth(MESSAGE)
        self.problem.hide()
        kinds = QDialogButtonBox.StandardButton
        buttons = QDialogButtonBox(kinds.Ok | kinds.Cancel)
        buttons.accepted.connect(self._accept)
        buttons.rejected.connect(self.reject)
        layout = QFormLayout(self)
        layout.setSpacing(theme.SPACE)
        layout.addRow("&Name", self.name)
        layout.addRow("&Memory", self.memory)
        layout.addRow("&Bandwidth", self.bandwidth)
        layout.addRow(self.problem)
        layout.addRow(buttons)
        self.finished.connect(self.deleteLater)

    @Slot()
    def _accept(self) -> None:
        problem = self._keep(self.name.text(), self.memory.value(), self.bandwidth.value())
        if not problem:
            self.accept()
            return
        palette = self.problem.palette()
        palette.setColor(self.problem.foregroundRole(), theme.current().error)
        self.problem.setPalette(palette)
        self.problem.setText(problem)
        # a form gives a text that wraps the height of one line
        self.problem.setMinimumHeight(self.problem.heightForWidth(max(self.problem.width(), MESSAGE)))
        self.problem.show()
        self.adjustSize()


def _number(suffix: str, tip: str, most: float, value: float) -> QDoubleSpinBox:
    field = QDoubleSpinBox()
    field.setRange(0, most)
    field.setDecimals(2)
    field.setValue(value)
    field.setSuffix(suffix)
    field.setToolTip(tip)
    field.setAccessibleName(tip)
    field.setGroupSeparatorShown(True)
    return field
