"""Two heads side by side, zoomed together; or the difference that another prompt makes."""

from __future__ import annotations

from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QAction, QGuiApplication
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSpinBox, QStackedWidget, QVBoxLayout, QWidget

from llmlab.engine.attention.types import AttentionShape, HeadAt
from llmlab.ui import theme
from llmlab.ui.panels.attention.comparing import HEADS, PROMPTS, Comparing, Difference, Pair, Words
from llmlab.ui.panels.attention.map_pane import card_of
from llmlab.ui.widgets.card import Card, HoverCard
from llmlab.ui.widgets.column import TextField
from llmlab.ui.widgets.heatmap.camera import Camera
from llmlab.ui.widgets.heatmap.canvas import CellAt
from llmlab.ui.widgets.heatmap.view import HeatMap
from llmlab.ui.widgets.help import Help, HelpButton
from llmlab.ui.widgets.numbers import exact
from llmlab.ui.widgets.parts import Choice, MutedLabel, heading
from llmlab.ui.widgets.states import StateView
from llmlab.ui.widgets.wrapping import wrapping_row

MODES = (HEADS, PROMPTS)
MODE_LABELS = (
    ("Two heads", "The head in focus beside another one, on the same text"),
    ("Two prompts", "The head in focus on the prompt and on another text of as many tokens, as a difference"),
)
HELP = Help(
    "Compare",
    "Two heads: the left map is the head in focus, the right one the head you hold; both zoom and move together. "
    "Two prompts: each cell is the weight in the second prompt minus the weight in the first. Orange means that the "
    "second prompt draws more attention there, blue that it draws less. Both prompts need the same number of tokens.",
    "difference = weights(second prompt) − weights(first prompt)",
)


class ComparePane(QWidget):
    """Is the view of `Comparing`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.mode = Choice(MODE_LABELS, "What is compared")
        self.layer, self.head = _spin("Layer on the right"), _spin("Head on the right")
        self.hold = QPushButton("Hold the focus")
        self.hold.setToolTip("Put the head in focus on the right, then choose another one in the grid for the left")
        self.other = TextField("A second prompt, of as many tokens")
        self.left = HeatMap("Map of the head in focus", bar=False)
        self.right = HeatMap("Map of the head that is held", rows=False)
        self.difference = HeatMap("Difference of two prompts")
        self.titles = (heading(""), heading(""), heading(""))
        self.state = StateView()
        self._card = HoverCard(self)
        self._shown: Pair | Difference | Words | None = None
        for first, second in ((self.left, self.right), (self.right, self.left)):
            first.moved.connect(lambda camera, other=second: self._follow(other, camera))
            first.hovered.connect(lambda cell, at=first, other=second: self._hover(at, other, cell))
        self.difference.hovered.connect(lambda cell: self._hover(self.difference, None, cell))
        for each in (self.left, self.right, self.difference):
            action = QAction("Copy picture", each)
            action.triggered.connect(lambda _checked=False, each=each: _copy(each))
            each.addAction(action)
            each.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
        self._lay_out()

    def _lay_out(self) -> None:
        gap = QWidget()
        self._heads = QWidget()
        row = QHBoxLayout(self._heads)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(theme.SPACE // 2)
        for widget in (MutedLabel("right: layer"), self.layer, MutedLabel("head"), self.head, self.hold):
            row.addWidget(widget)
        both = QWidget()
        pair = QHBoxLayout(both)
        pair.setContentsMargins(0, 0, 0, 0)
        pair.setSpacing(0)
        for title, each in zip(self.titles, (self.left, self.right), strict=False):
            pair.addLayout(_titled(title, each), stretch=1)
        single = QWidget()
        single.setLayout(_titled(self.titles[2], self.difference))
        self._stack = QStackedWidget()
        for page in (both, single, self.state):
            self._stack.addWidget(page)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE)
        layout.addWidget(wrapping_row((self.mode, gap, self._heads, HelpButton(HELP)), stretch=gap))
        layout.addWidget(self.other)
        layout.addWidget(self._stack, stretch=1)

    def attach(self, part: Comparing) -> None:
        """Connect what the user does to the part."""
        self.mode.chosen.connect(lambda index: part.choose_mode(MODES[index]))
        self.layer.valueChanged.connect(lambda layer: part.hold(layer=layer))
        self.head.valueChanged.connect(lambda head: part.hold(head=head))
        self.hold.clicked.connect(part.hold_focus)
        self.other.typed.connect(part.type_other)

    # --- to the part ----------------------------------------------------------------------------------------

    def show_mode(self, mode: str, held: HeadAt | None, shape: AttentionShape | None) -> None:
        self.mode.set_chosen(MODES.index(mode))
        self._heads.setVisible(mode == HEADS)
        self.other.setVisible(mode == PROMPTS)
        if held is None or shape is None:
            return
        for box, value, count in ((self.layer, held.layer, shape.layers), (self.head, held.head, shape.heads)):
            box.blockSignals(True)
            box.setRange(0, count - 1)
            box.setValue(value)
            box.blockSignals(False)

    def show_compared(self, compared: Pair | Difference | Words | None) -> None:
        self._shown = compared
        self._card.hide()
        if isinstance(compared, Pair):
            self._show_pair(compared)
        elif isinstance(compared, Difference):
            self.titles[2].setText(compared.title)
            self.difference.set_picture(compared.picture)
            self.difference.set_norm(compared.norm, "second prompt − first prompt")
            self._stack.setCurrentIndex(1)
        elif compared is not None:
            show = self.state.show_error if compared.is_error else self.state.show_empty
            show(compared.title, compared.text)
            self._stack.setCurrentIndex(2)

    def _show_pair(self, pair: Pair) -> None:
        for title, words, each, mapped in zip(
            self.titles, pair.titles, (self.left, self.right), (pair.left, pair.right), strict=False
        ):
            title.setText(words)
            each.set_picture(mapped.picture)
            each.set_norm(pair.norm)
        self._stack.setCurrentIndex(0)

    # --- the mouse ------------------------------------------------------------------------------------------

    def _follow(self, other: HeatMap, camera: Camera) -> None:
        self._card.hide()
        other.set_camera(camera)

    def _hover(self, at: HeatMap, other: HeatMap | None, cell: CellAt | None) -> None:
        if other is not None:
            other.point_at(cell)
        if cell is None or at.picture is None:
            self._card.hide()
            return
        corner = at.rect_of(cell).center()
        self._card.show_at(self._card_of(at, other, cell), at.mapToGlobal(QPoint(round(corner.x()), round(corner.y()))))

    def _card_of(self, at: HeatMap, other: HeatMap | None, cell: CellAt) -> Card:
        card, shown = card_of(at, cell), self._shown
        if isinstance(shown, Pair) and other is not None and other.picture is not None:
            value = other.picture.value_at(cell.row, cell.column)
            return Card(card.title, (*card.facts, ("other head", exact(value) if value >= 0 else "masked")))
        if isinstance(shown, Difference):
            place = cell.row // shown.picture.base.per, cell.column // shown.picture.base.per
            pairs = (("first prompt", shown.first[place]), ("second prompt", shown.second[place]))
            both = tuple((name, exact(float(value)) if value >= 0 else "masked") for name, value in pairs)
            return Card(card.title, (*card.facts, *both))
        return card


def _copy(heat_map: HeatMap) -> None:
    QGuiApplication.clipboard().setImage(heat_map.image(heat_map.devicePixelRatioF()))


def _spin(name: str) -> QSpinBox:
    box = QSpinBox()
    box.setAccessibleName(name)
    box.setToolTip(name)
    return box


def _titled(title: QLabel, widget: QWidget) -> QVBoxLayout:
    layout = QVBoxLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(theme.SPACE // 2)
    layout.addWidget(title, alignment=Qt.AlignmentFlag.AlignLeft)
    layout.addWidget(widget, stretch=1)
    return layout
