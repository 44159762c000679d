"""The lines tab: a legend of heads, a threshold, and the two columns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import Slot
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QMenu, QStackedLayout, QVBoxLayout, QWidget

from llmlab.jobs.job import ErrorInfo
from llmlab.ui import theme
from llmlab.ui.panels.attention.lines_chips import HeadChips
from llmlab.ui.panels.attention.lines_edges import FLOOR
from llmlab.ui.panels.attention.lines_export import write_picture
from llmlab.ui.panels.attention.lines_paint import LIMIT, Painted
from llmlab.ui.panels.attention.lines_part import Lining
from llmlab.ui.panels.attention.lines_values import Chip, Lines
from llmlab.ui.panels.attention.lines_view import LinesArea
from llmlab.ui.widgets.help import Help, HelpButton
from llmlab.ui.widgets.parts import ElidedLabel, menu_button, row
from llmlab.ui.widgets.saving import ask_path
from llmlab.ui.widgets.scale import Scale
from llmlab.ui.widgets.slider import Knob, LabelledSlider
from llmlab.ui.widgets.states import StateView

THRESHOLD = Knob(
    "Show weights from",
    Scale(FLOOR, 1.0, 2, logarithmic=True, first=FLOOR),
    0.05,
    "Lines of smaller weights are left out.\nEach token's weights sum to 1, so that many small ones say little.",
    step=0.01,
)
HELP = Help(
    "Attention as lines",
    "Every line leads from a token that looks (left) to a token that it looks at (right); its opacity is the weight. "
    "Point at a token to see its lines alone with their weights, click it to keep them. Switch on more heads in the "
    "legend: each has a colour of its own. What is below the threshold is not drawn, and no line is drawn for a weight "
    f"under {FLOOR:g}; the number of lines that are left out is always said.",
    "opacity of the line i → j  =  weight αᵢⱼ = softmaxⱼ(qᵢ·kⱼ / √d)",
)


class LinesPane(QWidget):
    """Legend, threshold and lines."""

    _part: Lining  # from `attach` on

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.chips, self.area, self.state = HeadChips(), LinesArea(), StateView()
        self.threshold = LabelledSlider(THRESHOLD)
        self.threshold.setFixedWidth(27 * theme.SPACE)
        self.note = ElidedLabel()
        self._heads = menu_button("add", "Show the lines of all heads of the layer", "Heads")
        self._export = menu_button("export", "Save what is seen as a picture", "Export the lines")
        self._export.clicked.connect(lambda: self._save("png"))
        self._fill_menu(self._export.menu())
        self.threshold.changed.connect(lambda value: self.area.set_threshold(float(value)))
        self.area.set_threshold(THRESHOLD.default)
        self.area.painted.connect(self._say)
        self.area.menu_asked.connect(self._fill_menu)
        holder = QWidget()
        self._stack = QStackedLayout(holder)
        self._stack.setContentsMargins(0, 0, 0, 0)
        self._stack.addWidget(self.area)
        self._stack.addWidget(self.state)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        parts = (self.threshold, self.note, self._heads, self._export, HelpButton(HELP))
        layout.addWidget(row(parts, stretch=self.note))
        layout.addWidget(self.chips)
        layout.addWidget(holder, stretch=1)

    def attach(self, part: Lining) -> None:
        """Connect what the user does with the part of the presenter that it shows."""
        self._part = part
        self._heads.clicked.connect(part.show_layer)
        self._heads.menu().addAction("All heads of the layer", part.show_layer)
        self._heads.menu().addAction("Only the head that is open", part.show_one)
        self.chips.clicked.connect(part.toggle)
        self.area.pinned.connect(part.pin)
        self.area.hovered.connect(self._hover)
        self.area.seen.connect(part.see)

    def _fill_menu(self, menu: QMenu) -> None:
        menu.addAction("Save what is seen as PNG…", lambda: self._save("png"))
        menu.addAction("Save what is seen as SVG…", lambda: self._save("svg"))
        menu.addAction("Save what is seen as PDF…", lambda: self._save("pdf"))
        menu.addSeparator()
        menu.addAction("Copy as Python", self.copy_python)

    def _save(self, kind: str) -> None:
        self._part.save(kind)

    # --- to the part ----------------------------------------------------------------------------------------

    def show_lines(self, lines: Lines | None) -> None:
        self._stack.setCurrentIndex(0)
        self.area.set_lines(lines)
        self._export.setEnabled(lines is not None)

    def show_chips(self, chips: tuple[Chip, ...], *, full: bool) -> None:
        self.chips.show_chips(chips, full=full)

    def show_pinned(self, rows: tuple[int, ...]) -> None:
        self.area.set_pinned(rows)

    def show_error(self, error: ErrorInfo) -> None:
        self.state.show_error(error.message, error.hint)
        self._stack.setCurrentIndex(1)

    def write(self) -> Callable[[Path], None] | None:
        """What writes the part that is seen as a file, in a worker thread."""
        frame = self.area.frame_now
        return None if frame is None else lambda path: write_picture(frame, path)

    def ask_path(self, name: str, kinds: tuple[str, ...], then: Callable[[Path], None]) -> None:
        ask_path(self, name, kinds, then)

    @Slot(str, int)
    def _hover(self, axis: str, place: int) -> None:
        if axis:
            self._part.hover(axis, place)

    @Slot(object)
    def _say(self, painted: Painted) -> None:
        frame = self.area.frame_now
        if frame is None:
            self.note.setText("")
            return
        words = f"{painted.lines:,} line{'s' if painted.lines != 1 else ''}"
        if painted.of > painted.lines:
            words = f"the strongest {painted.lines:,} of {painted.of:,} lines (at most {LIMIT:,} are drawn at once)"
        broken = sum(head.edges.broken for head in frame.lines.heads)
        if broken:
            words += f" · {broken:,} weights are NaN or infinite and have no line"
        self.note.setText(words)

    @Slot()
    def copy_python(self) -> None:
        """A script that computes the same, to the clipboard."""
        if self._part.python:
            QGuiApplication.clipboard().setText(self._part.python)
