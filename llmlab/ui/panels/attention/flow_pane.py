"""The rollout tab: a summary of the whole model as a map, in the text, or as a flow."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from PySide6.QtCore import QPoint, Qt, Slot
from PySide6.QtGui import QContextMenuEvent, QGuiApplication, QKeyEvent, QPainter
from PySide6.QtWidgets import QFrame, QMenu, QProgressBar, QPushButton, QStackedWidget, QVBoxLayout, QWidget

from llmlab.jobs.job import ErrorInfo
from llmlab.ui import theme
from llmlab.ui.panels.attention.flow_part import Flowing, FlowOffer, Mode
from llmlab.ui.panels.attention.text_paint import WeightLegend, color_of, row_card, weight_card
from llmlab.ui.panels.attention.text_rows import Shading
from llmlab.ui.panels.attention.text_source import Texts
from llmlab.ui.widgets import saving
from llmlab.ui.widgets.card import Card, HoverCard
from llmlab.ui.widgets.heatmap.canvas import CellAt
from llmlab.ui.widgets.heatmap.norm import Norm
from llmlab.ui.widgets.heatmap.picture import HeatPicture
from llmlab.ui.widgets.heatmap.view import ONLY, RANGE, HeatMap
from llmlab.ui.widgets.help import Help, HelpButton
from llmlab.ui.widgets.numbers import exact
from llmlab.ui.widgets.parts import Choice, ElidedLabel, MutedLabel, menu_button, row
from llmlab.ui.widgets.states import StateView
from llmlab.ui.widgets.strip import TokenStrip
from llmlab.ui.widgets.tokentext import visible
from llmlab.ui.widgets.wrapping import wrapping_row

MODES = (
    (Mode.MAP, "Rollout map", "All layers multiplied: how much of each input token reaches each output token"),
    (Mode.TEXT, "In the text", "The rollout of one token, or the sum of several, shaded in the text"),
    (Mode.FLOW, "Flow", "Maximum flow from one token through all layers; for short texts"),
)
NOTE = (
    "A summary of the whole model (Abnar & Zuidema 2020): attention averaged over heads, half of it residual. "
    "Values and MLPs are left out; it is no measure of cause."
)
HELP = Help(
    "Attention rollout and flow",
    "Rollout takes the mean of all heads of a layer, mixes it half and half with the residual connection, and "
    "multiplies the layers: the result says how much of each input token would be found in each output token if "
    "attention did nothing but mix. Flow reads the same numbers as the capacities of pipes and finds the most that can "
    "flow from a token after the last layer down to each input token. Both are summaries of attention, not of the "
    "model: what the values carry, what the MLPs do and what a head is for are left out. To see what a head causes, "
    "switch it off on the tab of effects. The first token can be hidden here too; whole words and weighting by value "
    "change nothing.",
    "Aₗ = ½·mean over heads(Wₗ) + ½·I\nrollout = A_L · A_{L−1} · … · A₁,  rows sum to 1\n"
    "flow: maximum flow with Aₗ as capacities",
)


class FlowPane(QWidget):
    """One of three pictures of the whole model."""

    _part: Flowing  # from `attach` on

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._texts: Texts | None = None
        self._shading: Shading | None = None
        self._pinned = False
        self._anchor = 0
        self.modes = Choice([(label, tip) for _, label, tip in MODES], "Rollout or flow")
        self.caption, self.legend = ElidedLabel(), WeightLegend()
        self._export = menu_button("export", "Save the rollout map", "Export the rollout")
        self._export.clicked.connect(lambda: self._save("png"))
        self.map, self.strip, self.state = HeatMap("Attention rollout"), TokenStrip(self._card), StateView()
        self._map_card = HoverCard(self)
        note = MutedLabel(NOTE)
        note.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        gap = QWidget()
        layout.addWidget(wrapping_row((self.modes, gap, self.legend, self._export, HelpButton(HELP)), stretch=gap))
        layout.addWidget(self.caption)
        layout.addWidget(self._flow_row())
        layout.addWidget(self._pages(), stretch=1)
        layout.addWidget(note)
        theme.changed.connect(self._paint_colors)

    def _flow_row(self) -> QWidget:
        self.compute, self.cancel = QPushButton(), QPushButton("Cancel")
        self.bar = QProgressBar()
        self.bar.setMaximumHeight(8)
        self.bar.setFixedWidth(160)
        self.bar.setTextVisible(False)
        self.reason = ElidedLabel()
        self._flow = row((self.compute, self.bar, self.cancel, self.reason), stretch=self.reason)
        return self._flow

    def _pages(self) -> QStackedWidget:
        frame = QFrame()
        frame.setFrameShape(QFrame.Shape.StyledPanel)
        inside = QVBoxLayout(frame)
        inside.setContentsMargins(1, 1, 1, 1)
        inside.addWidget(self.strip)
        self._stack = QStackedWidget()
        for page in (self.map, frame, self.state):
            self._stack.addWidget(page)
        return self._stack

    def attach(self, part: Flowing) -> None:
        """Connect what the user does with the part of the presenter that it shows."""
        self._part = part
        self._fill_menu(self._export.menu())
        self.modes.chosen.connect(lambda index: part.switch(MODES[index][0]))
        self.compute.clicked.connect(part.compute_flow)
        self.cancel.clicked.connect(part.cancel_flow)
        self.map.hovered.connect(self._hover_cell)
        self.map.row_chosen.connect(self._choose_row)
        self.map.menu_asked.connect(self._open_menu)
        self.map.moved.connect(lambda _: self._map_card.hide())
        self.strip.hovered.connect(lambda token: part.hover(token if token >= 0 else None))
        self.strip.selected.connect(self._choose)
        self.strip.toggled.connect(part.toggle)
        self.show_mode(part.mode)

    # --- to the part ----------------------------------------------------------------------------------------

    def show_mode(self, mode: Mode) -> None:
        self.modes.set_chosen([each for each, _, _ in MODES].index(mode))
        self._stack.setCurrentIndex(0 if mode is Mode.MAP else 1)
        self._flow.setVisible(mode is Mode.FLOW)
        self.legend.setVisible(mode is not Mode.MAP)
        self._export.setVisible(mode is Mode.MAP)
        self.caption.setVisible(mode is not Mode.MAP)

    def show_texts(self, texts: Texts | None) -> None:
        if texts is not self._texts:
            self._texts, self._shading = texts, None
            self.strip.set_source(texts.queries if texts else None)
            self.strip.set_flags(texts.begins if texts else None)
            self._paint_colors()

    def show_map(self, picture: HeatPicture | None, norm: Norm) -> None:
        if picture is not self.map.picture:
            self.map.set_picture(picture)
        self.map.set_norm(norm)
        self._export.setEnabled(picture is not None)

    def show_pinned(self, rows: tuple[int, ...]) -> None:
        self.map.set_pinned(rows)

    def show_shading(self, shading: Shading | None, *, pinned: bool) -> None:
        self._shading, self._pinned = shading, pinned
        self.legend.show_shading(shading, self._what)
        self.caption.setText("" if shading is None else f"what reaches {self._chosen_text(shading)}")
        self._paint_colors()

    def show_offer(self, offer: FlowOffer) -> None:
        name = visible(offer.token) if offer.token else ""
        self.compute.setText(f"Compute the flow from {name}" if name else "Computed: choose another token for more")
        self.compute.setEnabled(bool(name) and not offer.reason and not offer.running)
        self.bar.setVisible(offer.running)
        self.cancel.setVisible(offer.running)
        self.bar.setRange(0, 0 if offer.fraction is None else 1000)
        if offer.fraction is not None:
            self.bar.setValue(round(1000 * offer.fraction))
        self.reason.setText(offer.reason)

    def show_nothing(self, title: str, text: str) -> None:
        self.state.show_empty(title, text)
        self._stack.setCurrentWidget(self.state)

    def show_error(self, error: ErrorInfo) -> None:
        self.state.show_error(error.message, error.hint)
        self._stack.setCurrentWidget(self.state)

    def ask_path(self, name: str, kinds: tuple[str, ...], then: Callable[[Path], None]) -> None:
        saving.ask_path(self, name, kinds, then)

    # --- the text -------------------------------------------------------------------------------------------

    @Slot()
    def _paint_colors(self) -> None:
        shading = self._shading
        self.strip.set_colors(color_of(shading))
        chosen = shading.chosen if shading else ()
        self.strip.set_marked(frozenset(chosen))
        together = self._pinned and bool(chosen) and chosen[-1] - chosen[0] == len(chosen) - 1
        selection = (chosen[0], chosen[-1]) if together else (-1, -1)
        if self.strip.selection != selection:
            self.strip.select(*selection, scroll=together)

    def _chosen_text(self, shading: Shading) -> str:
        if len(shading.chosen) > 1:
            return f"{len(shading.chosen)} tokens, summed"
        return f"{self._name(shading.chosen[0])} ({shading.chosen[0]})"

    @property
    def _what(self) -> str:
        return "flow" if self._part.mode is Mode.FLOW else "rollout"

    def _name(self, token: int) -> str:
        assert self._texts is not None
        return visible(self._texts.queries.text_of(token))

    def _card(self, token: int) -> Card | None:
        shading = self._shading
        if shading is None:
            return None
        if self._pinned:
            return weight_card(shading, token, self._name, self._chosen_text(shading), self._what)
        if shading.chosen != (token,):
            return None
        return row_card(shading, f"{self._name(token)}  ·  token {token}", self._name, "what reaches it")

    @Slot(int, int)
    def _choose(self, first: int, last: int) -> None:
        self._part.choose(tuple(range(first, last + 1)) if first >= 0 else ())

    # --- the map --------------------------------------------------------------------------------------------

    @Slot(object)
    def _hover_cell(self, cell: CellAt | None) -> None:
        picture = self.map.picture
        self._part.hover(None if cell is None else cell.row)
        if cell is None or picture is None:
            self._map_card.hide()
            return
        rect = self.map.rect_of(cell)
        place = self.map.mapToGlobal(QPoint(round(rect.center().x()), round(rect.center().y())))
        self._map_card.show_at(_cell_card(self.map, cell), place)

    @Slot(int, str)
    def _choose_row(self, place: int, how: str) -> None:
        part = self._part
        if place < 0:
            part.choose(())
        elif how == RANGE:
            first, last = sorted((self._anchor, place))
            part.choose(tuple(range(first, last + 1)))
        elif how == ONLY:
            self._anchor = place
            part.choose(() if self.map_pinned == (place,) else (place,))
        else:
            self._anchor = place
            part.toggle(place)

    @property
    def map_pinned(self) -> tuple[int, ...]:
        """The rows that are marked."""
        scene = self.map.scene()
        return scene.marks.pinned if scene else ()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape and self._pinned:
            self._choose(-1, -1)
        else:
            super().keyPressEvent(event)

    def _fill_menu(self, menu: QMenu) -> None:
        menu.addAction("Copy picture", self._copy)
        menu.addSeparator()
        for kind in ("png", "svg", "pdf"):
            menu.addAction(f"{kind.upper()}…", partial(self._save, kind))
        menu.addAction("CSV…", self._part.save_csv)
        menu.addSeparator()
        menu.addAction("Copy as Python", self.copy_python)

    @Slot(object)
    def _open_menu(self, event: QContextMenuEvent) -> None:
        menu = QMenu(self)
        self._fill_menu(menu)
        menu.aboutToHide.connect(menu.deleteLater)
        menu.popup(event.globalPos())

    @Slot()
    def _copy(self) -> None:
        QGuiApplication.clipboard().setImage(self.map.image(self.map.devicePixelRatioF()))

    @Slot()
    def copy_python(self) -> None:
        """A script that computes the same, to the clipboard."""
        if self._part.python:
            QGuiApplication.clipboard().setText(self._part.python)

    def _save(self, kind: str) -> None:
        if self.map.picture is None:
            return
        if kind == "png":
            self._part.save_picture(kind, saving.png_writer(self.map.image(3.0)))
            return

        def draw(painter: QPainter, scale: float) -> None:
            painter.fillRect(self.map.rect(), theme.current().base)
            self.map.render_on(painter, scale)

        self._part.save_picture(kind, saving.drawing_writer(kind, self.map.size(), draw, "Attention rollout"))


def _cell_card(heat_map: HeatMap, cell: CellAt) -> Card:
    picture = heat_map.picture
    assert picture is not None
    value = picture.value_at(cell.row, cell.column)
    end, start = picture.row_labels[cell.row], picture.column_labels[cell.column]
    facts = [(f"token {cell.row}", end), (f"input {cell.column}", start)]
    facts.append(("", "Comes later: nothing reaches back.") if value < 0 else ("rollout", exact(value)))
    rank = picture.rank_at(cell.row, cell.column)
    if rank is not None:
        facts.append(("rank in the row", f"{rank:,}"))
    return Card(f"{start} in {end}", tuple(facts))
