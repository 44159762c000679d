"""The switch for CUDA graphs, which is there where the model is on a CUDA device."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget

from llmlab.ui import theme
from llmlab.ui.widgets.parts import Choice, MutedLabel

AUTOMATIC, OFF = 0, 1
ABOUT = (
    "What the GPU does to read one token is recorded once, and then launched as a whole\n"
    "instead of kernel by kernel from Python. The numbers are those of a plain pass but for\n"
    "rounding: each recording is compared with one before it is used.\n"
    "The switch is for the texts of this panel, to compare both ways. The completion that Shots\n"
    "writes and the speed that the memory panel measures use them wherever they pay; answers to\n"
    "a whole data set and columns of examples side by side are read without them."
)


class GraphsSwitch(QWidget):
    """`changed` carries whether CUDA graphs may be used."""

    changed = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        label = QLabel("CUDA graphs")
        label.setToolTip(ABOUT)
        self.choice = Choice(
            (
                (
                    "Automatic",
                    "Use them where the model, the length of the text and a comparison with a plain pass allow",
                ),
                ("Off", "Let the model read every token by itself"),
            ),
            "CUDA graphs",
        )
        self.choice.chosen.connect(lambda index: self.changed.emit(index == AUTOMATIC))
        self.note = MutedLabel()
        self.note.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        for part in (label, self.choice, self.note):
            layout.addWidget(part)
        self.hide()

    def set_wanted(self, wanted: bool) -> None:
        """Whether they may be used, without a signal."""
        self.choice.set_chosen(AUTOMATIC if wanted else OFF)

    def show_notice(self, notice: str | None) -> None:
        """What is said beside it; None where there is nothing to switch."""
        self.setVisible(notice is not None)
        self.note.setText(notice or "")
