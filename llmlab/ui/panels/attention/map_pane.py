"""The heat map on its tab: the map, what is under the mouse, and ways to take it elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from PySide6.QtCore import QEvent, QObject, QPoint, QTimer, Slot
from PySide6.QtGui import QContextMenuEvent, QGuiApplication, QPainter
from PySide6.QtWidgets import QHBoxLayout, QMenu, QStackedWidget, QVBoxLayout, QWidget

from llmlab.engine.types import Float32
from llmlab.jobs.job import ErrorInfo
from llmlab.ui import theme
from llmlab.ui.panels.attention.mapping import MapPart, Mapped
from llmlab.ui.widgets import saving
from llmlab.ui.widgets.card import Card, HoverCard
from llmlab.ui.widgets.heatmap.canvas import CellAt
from llmlab.ui.widgets.heatmap.norm import Norm, Scale
from llmlab.ui.widgets.heatmap.picture import HeatPart
from llmlab.ui.widgets.heatmap.view import HeatMap
from llmlab.ui.widgets.help import Help, HelpButton
from llmlab.ui.widgets.numbers import exact
from llmlab.ui.widgets.parts import ElidedLabel, heading, icon_button, menu_button
from llmlab.ui.widgets.states import StateView

SETTLED = 120  # ms after zooming until exact weights are asked for
FAINT = 0.1  # of the scale: weights below it can hardly be told apart
RESOLUTIONS = ((1, "as on screen"), (2, "twice as fine"), (4, "four times as fine, for print"))
HELP = Help(
    "Attention map",
    "Each row is a token that looks (query), each column a token that is looked at (key). The colour is the weight: "
    "how much of the key's value flows into the query's new vector. Every row sums to 1. Hatched cells are masked: the "
    "model may not look there. Click a row to pin it; with Ctrl or Shift several, whose sum stands below. The wheel "
    "zooms, dragging moves, a double click shows everything.",
    "weights = softmax(q·kᵀ × scaling + bias + mask)",
)


class MapPane(QWidget):
    """Is the view of `MapPart`."""

    _part: MapPart  # from `attach` on

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.map = HeatMap("Attention map")
        self.state = StateView()
        self.title = heading("")
        self.about = ElidedLabel()
        self._mapped: Mapped | None = None
        self._card = HoverCard(self)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(SETTLED)
        self._timer.timeout.connect(self._see)
        self.fit_button = icon_button("fit", "Show the whole map (0, or a double click)", "Show the whole map")
        self.copy_button = icon_button("copy", "Copy the map as a picture", "Copy picture")
        self.python_button = icon_button(
            "code", "Copy a Python script that computes the same weights", "Copy as Python"
        )
        self.export_button = menu_button("export", "Save the map as PNG, or in another form", "Save the map")
        self.fit_button.clicked.connect(self.map.fit)
        self.copy_button.clicked.connect(self.copy_picture)
        self.export_button.clicked.connect(lambda: self.save_png(2))
        self.map.hovered.connect(self._hovered)
        self.map.moved.connect(lambda _: self._moved())
        self.map.menu_asked.connect(self._open_menu)
        self.map.installEventFilter(self)
        self._lay_out()

    def _lay_out(self) -> None:
        top = QHBoxLayout()
        top.setSpacing(theme.SPACE)
        top.addWidget(self.title)
        top.addWidget(self.about, stretch=1)
        for button in (self.fit_button, self.copy_button, self.export_button, self.python_button, HelpButton(HELP)):
            top.addWidget(button)
        self._stack = QStackedWidget()
        self._stack.addWidget(self.map)
        self._stack.addWidget(self.state)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        layout.addLayout(top)
        layout.addWidget(self._stack, stretch=1)

    def attach(self, part: MapPart) -> None:
        """Connect what the user does with the part of the presenter that it shows."""
        self._part = part
        self._fill(self.export_button.menu())
        self.python_button.clicked.connect(part.copy_python)
        self.map.row_chosen.connect(part.choose_row)

    # --- to the part ----------------------------------------------------------------------------------------

    def show_map(self, mapped: Mapped | None, norm: Norm, title: str) -> None:
        self._stack.setCurrentWidget(self.map)
        self.title.setText(title)
        if mapped is not self._mapped:
            self._mapped = mapped
            self.map.set_picture(mapped.picture if mapped else None)
            self._card.hide()
            self._timer.start()
        if mapped is not None and mapped.request.value_weighted:
            self.map.set_norm(norm, "" if norm.scale is Scale.ROW else "weight × length of value")
        else:
            self.map.set_norm(norm)
        self.about.setText(_about(mapped, norm) if mapped else "")

    def show_detail(self, detail: HeatPart | None) -> None:
        self.map.set_detail(detail)

    def show_pinned(self, rows: tuple[int, ...], profile: Float32 | None) -> None:
        self.map.set_pinned(rows, profile)

    def show_problem(self, error: ErrorInfo) -> None:
        self.state.show_error(error.message, error.hint)
        self._stack.setCurrentWidget(self.state)

    def copy(self, text: str) -> None:
        QGuiApplication.clipboard().setText(text)

    def ask_path(self, name: str, kinds: tuple[str, ...], then: Callable[[Path], None]) -> None:
        saving.ask_path(self, name, kinds, then)

    # --- the mouse ------------------------------------------------------------------------------------------

    @Slot(object)
    def _hovered(self, cell: CellAt | None) -> None:
        picture = self.map.picture
        if cell is None or picture is None:
            self._card.hide()
            return
        self._part.hover(cell.row, cell.column)
        card = card_of(self.map, cell)
        self.map.setAccessibleDescription("; ".join((card.title, *(f"{name} {value}" for name, value in card.facts))))
        self._card.show_at(card, self.map.mapToGlobal(self._corner(cell)))

    def _corner(self, cell: CellAt) -> QPoint:
        rect = self.map.rect_of(cell)
        return QPoint(round(rect.center().x()), round(rect.center().y()))

    def _moved(self) -> None:
        self._card.hide()
        self._timer.start()

    @Slot()
    def _see(self) -> None:
        first, last, left, right = self.map.seen()
        if last > first and right > left:
            self._part.see((first, last), (left, right))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self.map and event.type() in (QEvent.Type.Hide, QEvent.Type.FocusOut):
            self._card.hide()
        return super().eventFilter(watched, event)

    # --- taking it elsewhere --------------------------------------------------------------------------------

    def _fill(self, menu: QMenu) -> None:
        menu.addAction("Copy picture", self.copy_picture)
        menu.addSeparator()
        for factor, words in RESOLUTIONS:
            menu.addAction(f"PNG, {words}…", partial(self.save_png, factor))
        menu.addAction("SVG…", lambda: self.save_drawing("svg"))
        menu.addAction("PDF…", lambda: self.save_drawing("pdf"))
        menu.addSeparator()
        menu.addAction("CSV of what is seen…", self.save_csv)
        menu.addAction("Everything: all layers and heads as NPZ…", self.save_everything)
        menu.addSeparator()
        menu.addAction("Copy as Python", self._part.copy_python)

    @Slot(object)
    def _open_menu(self, event: QContextMenuEvent) -> None:
        if self._mapped is not None:
            menu = QMenu(self)
            self._fill(menu)
            menu.aboutToHide.connect(menu.deleteLater)
            menu.popup(event.globalPos())

    @Slot()
    def copy_picture(self) -> None:
        """What is seen, with its labels, on the clipboard."""
        if self._mapped is not None:
            QGuiApplication.clipboard().setImage(self.map.image(self.map.devicePixelRatioF()))

    def save_png(self, factor: int) -> None:
        """What is seen, `factor` times as fine as on screen."""
        if self._mapped is not None:
            self._part.save_picture("png", saving.png_writer(self.map.image(float(factor))))

    def save_drawing(self, kind: str) -> None:
        """What is seen as "svg" or "pdf", its labels as text."""

        def draw(painter: QPainter, scale: float) -> None:
            painter.fillRect(self.map.rect(), theme.current().base)
            self.map.render_on(painter, scale)

        if self._mapped is not None:
            writer = saving.drawing_writer(kind, self.map.size(), draw, self.title.text())
            self._part.save_picture(kind, writer)

    @Slot()
    def save_csv(self) -> None:
        """The weights that are seen."""
        first, last, left, right = self.map.seen()
        picture = self.map.picture
        if picture is not None:
            self._part.save_csv((first, last), (left, right), picture.detail)

    @Slot()
    def save_everything(self) -> None:
        """All weights."""
        self._part.save_everything()


def card_of(heat_map: HeatMap, cell: CellAt) -> Card:
    """What the mouse is told of a cell."""
    picture = heat_map.picture
    assert picture is not None
    part, value = picture.part_at(cell.row, cell.column), picture.value_at(cell.row, cell.column)
    query, key = picture.row_labels[cell.row], picture.column_labels[cell.column]
    rank = picture.rank_at(cell.row, cell.column)
    facts = [(f"query {cell.row}", query), (f"key {cell.column}", key)]
    if part.per > 1:
        facts.append((f"largest of {part.per} × {part.per}", exact(value)))
        facts.append(("", "Zoom in for single weights."))
    elif not picture.base.heat.signed and value < 0:
        facts.append(("", "Masked: the model may not look there."))
    else:
        facts.append(("difference" if picture.base.heat.signed else "weight", exact(value)))
    if rank is not None:
        facts.append(("rank in the row", f"{rank:,} of {_allowed(picture.part_at(cell.row, 0), cell.row):,}"))
    return Card(f"{query} → {key}", tuple(facts))


def _allowed(part: HeatPart, row: int) -> int:
    return int((part.values[row - part.row] >= 0).sum())


def _about(mapped: Mapped, norm: Norm) -> str:
    rows, columns = mapped.picture.rows, mapped.picture.columns
    unit = "words" if mapped.request.words else "tokens"
    said = f"{rows:,} × {columns:,} {unit} · largest {mapped.largest:.3g}"
    return said + (": try Log or By row" if norm.scale is Scale.LINEAR and mapped.largest < FAINT * norm.high else "")
