"""The widgets of the attention panel: the head grid, the map's tab, the comparison, the column, the steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication, QImage
from PySide6.QtSvg import QSvgRenderer
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from llmlab.engine.attention.types import HeadAt
from llmlab.ui.panels.attention.compare_pane import ComparePane
from llmlab.ui.panels.attention.comparing import Difference, Pair, Words
from llmlab.ui.panels.attention.controls import Controls
from llmlab.ui.panels.attention.grid import HeadGrid
from llmlab.ui.panels.attention.heads import Heads, Place, heads_of
from llmlab.ui.panels.attention.map_pane import MapPane, card_of
from llmlab.ui.panels.attention.mapping import Mapped, mapped_of
from llmlab.ui.panels.attention.params import Params
from llmlab.ui.panels.attention.reading import Focus, Reading
from llmlab.ui.panels.attention.screen import Offer, Screen, Steps
from llmlab.ui.panels.attention.step_bar import StepBar
from llmlab.ui.panels.attention.tiles import tiles_of
from llmlab.ui.screen import Kind, Stage
from llmlab.ui.widgets.heatmap.codes import heat_of
from llmlab.ui.widgets.heatmap.norm import Norm, Scale
from llmlab.ui.widgets.heatmap.picture import HeatPart, HeatPicture
from llmlab.ui.widgets.heatmap.view import CellAt
from tests.presenters.attention_fakes import PanelCapture
from tests.presenters.attention_tabs import HEADS, LAYERS, shape_of, stand


def reading_of(**params: Any) -> tuple[Reading, PanelCapture]:
    reading = stand().reading
    capture = PanelCapture(dict(reading.shapes), reading.request)
    survey = capture.survey("self", None)
    return replace(reading, survey=survey, params=Params(**params)), capture


def heads(**params: Any) -> Heads:
    reading, _ = reading_of(**params)
    assert reading.survey is not None
    return heads_of(reading, tiles_of(reading.survey))


def mapped(layer: int = 1, head: int = 2) -> Mapped:
    reading, capture = reading_of()
    request = reading.map_request(layer=layer, head=head)
    return mapped_of(reading, request, False, capture.map(request))


@pytest.fixture
def grid(qtbot: QtBot) -> HeadGrid:
    made = HeadGrid()
    qtbot.addWidget(made)
    made.resize(320, 360)
    with qtbot.waitExposed(made):
        made.show()
    return made


# --- the grid ---------------------------------------------------------------------------------------------------


def test_every_tile_can_be_clicked_and_is_painted(qtbot: QtBot, grid: HeadGrid, scheme: str) -> None:
    shown = heads()
    grid.show_heads(shown, Norm())
    chosen: list[Place] = []
    grid.chosen.connect(chosen.append)
    image = grid.grab().toImage()
    for place in shown.places:
        rect = grid.tiles.rect_of(place)
        qtbot.mouseClick(grid.tiles, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, rect.center())
        corner = grid.tiles.mapTo(grid, rect.topLeft())
        colors = {
            image.pixelColor(corner.x() + x, corner.y() + y).name()
            for x in range(2, rect.width() - 2, 3)
            for y in range(2, rect.height() - 2, 3)
        }
        assert len(colors) > 2, place
    assert chosen == list(shown.places)
    assert len({(r.x(), r.y()) for r in map(grid.tiles.rect_of, shown.places)}) == len(shown.places)
    assert grid.tiles.width() <= grid.viewport().width(), "no tile is cut"


def test_the_arrow_keys_go_from_head_to_head(qtbot: QtBot, grid: HeadGrid) -> None:
    chosen: list[Place] = []
    grid.chosen.connect(chosen.append)
    shown = replace(heads(), focus=(1, 2))
    grid.show_heads(shown, Norm())
    for key, place in (
        (Qt.Key.Key_Left, (1, 1)),
        (Qt.Key.Key_Right, (1, 3)),
        (Qt.Key.Key_Up, (0, 2)),
        (Qt.Key.Key_Down, (2, 2)),
    ):
        qtbot.keyClick(grid.tiles, key)
        assert chosen[-1] == place
    grid.show_heads(replace(shown, focus=(None, None)), Norm())
    chosen.clear()
    qtbot.keyClick(grid.tiles, Qt.Key.Key_Down)
    qtbot.keyClick(grid.tiles, Qt.Key.Key_Right)
    assert not chosen


def test_hovering_a_head_tells_its_scores(qtbot: QtBot, grid: HeadGrid) -> None:
    grid.show_heads(heads(), Norm())
    qtbot.mouseMove(grid.tiles, grid.tiles.rect_of((0, 0)).center())
    card = grid.tiles._card.card
    assert card.title == "Layer 0, head 0"
    assert ("Induction", "0.0000") in card.facts
    assert ("keys and values", "group 0") in card.facts
    assert any("NaN" in value for _, value in card.facts)
    qtbot.mouseMove(grid.tiles, QPoint(1, 1))
    assert not grid.tiles._card.isVisible()


def test_the_order_of_a_score_shows_single_heads_only(grid: HeadGrid) -> None:
    grid.show_heads(heads(sort="induction"), Norm(Scale.LOG))
    tiles = grid.tiles
    assert tiles.heads is not None
    assert tiles.heads.places[0] == (LAYERS - 1, HEADS - 1)
    first, second = (tiles.rect_of(place) for place in tiles.heads.places[:2])
    assert first.top() == second.top()
    assert first.right() < second.left()
    grid.grab()


def test_focus_alone_paints_no_tile_anew(grid: HeadGrid) -> None:
    shown = heads()
    grid.show_heads(shown, Norm())
    grid.grab()
    picture = grid.tiles._picture
    assert picture is not None
    grid.show_heads(replace(shown, focus=(2, 1)), Norm())
    grid.grab()
    assert grid.tiles._picture is picture
    grid.show_heads(replace(shown, threshold=0.5), Norm())
    assert grid.tiles._picture is not picture


def test_a_tile_keeps_the_largest_weight_of_what_it_covers() -> None:
    reading, _ = reading_of()
    assert reading.survey is not None
    survey = replace(reading.survey, tiles=np.zeros((LAYERS, HEADS, 48, 48), np.float32))
    survey.tiles[1, 1, 30, 7] = 0.75
    empty = np.zeros((48, 48), np.float32)
    survey = replace(
        survey,
        heads_mean=np.zeros((LAYERS, 48, 48), np.float32),
        heads_max=np.zeros((LAYERS, 48, 48), np.float32),
        layers_mean=np.zeros((HEADS, 48, 48), np.float32),
        layers_max=np.zeros((HEADS, 48, 48), np.float32),
        mean=empty,
        max=empty,
    )
    tiles = tiles_of(survey)
    for cells in (48, 24, 12, 6, 1):
        level = tiles.level("mean", cells)
        assert max(level.shape[2:]) <= max(cells, 6)
        assert level[1, 1].max() == tiles.level("mean", 48)[1, 1, 30, 7]
        assert level[0, 0].max() < level[1, 1].max()


# --- the map's tab ----------------------------------------------------------------------------------------------


class WritingPart:
    """What the pane asks for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: list[tuple[int, str]] = []
        self.hovered: list[tuple[int, int]] = []
        self.saved: list[str] = []

    def choose_row(self, row: int, how: str) -> None:
        self.rows.append((row, how))

    def hover(self, row: int, column: int) -> None:
        self.hovered.append((row, column))

    def see(self, rows: Any, columns: Any) -> None:
        self.seen = (rows, columns)

    def save_picture(self, kind: str, write: Any) -> None:
        write(self.folder / f"map.{kind}")

    def save_csv(self, *what: Any) -> None:
        self.saved.append("csv")

    def save_everything(self) -> None:
        self.saved.append("npz")

    def copy_python(self) -> None:
        self.saved.append("python")


@pytest.fixture
def pane(qtbot: QtBot, tmp_path: Path) -> MapPane:
    made = MapPane()
    qtbot.addWidget(made)
    made.resize(560, 460)
    made.attach(WritingPart(tmp_path))  # type: ignore[arg-type]
    made.show_map(mapped(), Norm(), "Layer 1 · head 2")
    with qtbot.waitExposed(made):
        made.show()
    return made


def test_the_card_tells_the_exact_weight_and_its_rank(pane: MapPane) -> None:
    picture = pane.map.picture
    assert picture is not None
    value = picture.base.values[4, 2]
    facts = dict(card_of(pane.map, CellAt(4, 2)).facts)
    assert facts["weight"] == f"{value:.9g}"
    assert facts["rank in the row"] == f"{1 + (picture.base.values[4] > value).sum()} of 5"
    assert facts["query 4"] == "␣the"
    assert any("Masked" in text for text in dict(card_of(pane.map, CellAt(2, 4)).facts).values())


def test_the_mouse_reaches_the_part(qtbot: QtBot, pane: MapPane) -> None:
    part: Any = pane._part
    place = pane.map.rect_of(CellAt(3, 1)).center().toPoint()
    qtbot.mouseMove(pane.map, place)
    qtbot.mouseClick(pane.map, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, place)
    assert part.hovered == [(3, 1)]
    assert part.rows == [(3, "only")]
    qtbot.waitUntil(lambda: hasattr(part, "seen"))
    assert part.seen == ((0, 6), (0, 6))


def test_pictures_open_offline(pane: MapPane, tmp_path: Path) -> None:
    pane.save_png(2)
    pane.save_drawing("svg")
    pane.save_drawing("pdf")
    image = QImage(str(tmp_path / "map.png"))
    assert (image.width(), image.height()) == (2 * pane.map.width(), 2 * pane.map.height())
    center = pane.map.rect_of(CellAt(0, 0)).center() * 2
    assert image.pixelColor(round(center.x()), round(center.y())) == pane.map.image(2.0).pixelColor(
        round(center.x()), round(center.y())
    )
    svg = (tmp_path / "map.svg").read_text("utf-8")
    assert QSvgRenderer(svg.encode()).isValid()
    assert 'href="http' not in svg
    assert "Layer 1 · head 2" in svg
    assert (tmp_path / "map.pdf").read_bytes()[:5] == b"%PDF-"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["map.pdf", "map.png", "map.svg"]
    pane.copy_picture()
    assert QGuiApplication.clipboard().image().width() == pane.map.width()


def test_every_entry_of_the_menu_works(pane: MapPane) -> None:
    part: Any = pane._part
    menu = pane.export_button.menu()
    for action in menu.actions():
        if not action.isSeparator():
            action.trigger()
    assert part.saved == ["csv", "npz", "python"]


# --- comparing --------------------------------------------------------------------------------------------------


def test_two_maps_zoom_together_and_tell_both_weights(qtbot: QtBot) -> None:
    pane = ComparePane()
    qtbot.addWidget(pane)
    pane.resize(600, 460)
    first, second = mapped(0, 0), mapped(2, 1)
    pane.show_mode("heads", HeadAt("self", 2, 1), shape_of())
    pane.show_compared(Pair(first, second, Norm(), ("one", "two")))
    with qtbot.waitExposed(pane):
        pane.show()
    QApplication.processEvents()
    left, right = pane.left.scene(), pane.right.scene()
    assert left is not None
    assert right is not None
    assert left.frame.map.size() == right.frame.map.size()
    pane.left.zoom(2)
    assert pane.right.camera == pane.left.camera
    pane._hover(pane.left, pane.right, CellAt(4, 1))
    assert dict(pane._card.card.facts)["other head"] == f"{second.picture.base.values[4, 1]:.9g}"
    pane._hover(pane.left, pane.right, None)
    pane.left.actions()[0].trigger()
    assert QGuiApplication.clipboard().image().width() == pane.left.width()


def test_a_difference_tells_both_prompts(qtbot: QtBot) -> None:
    pane = ComparePane()
    qtbot.addWidget(pane)
    pane.resize(500, 400)
    one, two = mapped(0, 0).picture.base.values, mapped(1, 1).picture.base.values
    values = np.where(one < 0, np.nan, two - one).astype(np.float32)
    labels = tuple("abcdef")
    picture = HeatPicture(HeatPart(heat_of(values, signed=True), values), labels, labels)
    pane.show_mode("prompts", None, None)
    pane.show_compared(Difference(picture, Norm(Scale.DIFFERENCE), one, two, "Layer 0 · head 0"))
    with qtbot.waitExposed(pane):
        pane.show()
    pane._hover(pane.difference, None, CellAt(3, 1))
    facts = dict(pane._card.card.facts)
    assert facts["difference"] == f"{values[3, 1]:.9g}"
    assert facts["first prompt"] == f"{one[3, 1]:.9g}"
    assert facts["second prompt"] == f"{two[3, 1]:.9g}"
    pane._hover(pane.difference, None, CellAt(1, 3))
    assert dict(pane._card.card.facts)["first prompt"] == "masked"
    pane._hover(pane.difference, None, None)
    pane.show_compared(Words("They differ", "in length"))
    assert pane.state.text == "They differ in length"


# --- the column -------------------------------------------------------------------------------------------------


def test_controls_say_what_was_changed_and_follow_silently(qtbot: QtBot) -> None:
    controls = Controls()
    qtbot.addWidget(controls)
    changes: list[dict[str, Any]] = []
    controls.changed.connect(changes.append)
    params = Params(scale="log", words=True, pair="b", target="t", padding=3, threshold=0.5, score="entropy")
    controls.show_screen(Screen(Stage(Kind.READY), Offer(("self",), pair=True, completion=True, padding=True)))
    controls.show_params(params)
    assert not changes
    assert controls.switches["words"].isChecked()
    assert controls.score.currentData() == "entropy"
    controls.switches["hide_first"].click()
    controls.padding.setValue(-2)
    controls.target.setPlainText("other")
    qtbot.waitUntil(lambda: {"target": "other"} in changes)
    assert changes[:2] == [{"hide_first": True}, {"padding": -2}]


def test_only_what_means_something_is_offered(qtbot: QtBot) -> None:
    controls = Controls()
    qtbot.addWidget(controls)
    controls.show()
    for offer, visible in (
        (Offer(("self",)), set()),
        (Offer(("self",), completion=True, padding=True), {"read", "padding"}),
        (Offer(("self",), pair=True), {"pair"}),
        (Offer(("encoder", "decoder", "cross"), target=True), {"target", "kind"}),
    ):
        kind = offer.kinds[0]
        controls.show_screen(Screen(Stage(Kind.READY), offer, kind=kind))
        optional = ("read", "target", "pair", "kind", "padding")
        assert {name for name in optional if controls._groups[name].isVisible()} == visible
    assert [controls.kinds.itemText(i) for i in range(3)] == ["Encoder", "Decoder", "Cross"]
    controls.show_screen(Screen(Stage(Kind.READY), Offer(("encoder", "decoder", "cross")), kind="cross"))
    assert "induction" not in [controls.score.itemData(i) for i in range(controls.score.count())]


def test_settings_that_mean_nothing_on_a_tab_are_not_there(qtbot: QtBot) -> None:
    controls = Controls()
    qtbot.addWidget(controls)
    controls.show()
    for tab, scale, words in (("map", True, True), ("lens", False, False), ("flow", True, False), ("text", True, True)):
        controls.show_params(Params(tab=tab))
        assert (controls.scale.isVisible(), controls.switches["words"].isVisible()) == (scale, words), tab


def test_steps_go_forth_and_back(qtbot: QtBot) -> None:
    bar = StepBar()
    qtbot.addWidget(bar)
    bar.show()
    stepped: list[int] = []
    bar.stepped.connect(stepped.append)
    bar.show_steps(Steps(5, 3))
    qtbot.mouseClick(bar.forth, Qt.MouseButton.LeftButton)
    bar.show_steps(Steps(5, 3, 1, "“a”", "“a” came from the row of “b”"))
    qtbot.mouseClick(bar.forth, Qt.MouseButton.LeftButton)
    qtbot.mouseClick(bar.back, Qt.MouseButton.LeftButton)
    bar.slider.setValue(2)
    assert stepped == [0, 2, 0, 2]
    assert bar.label.text().startswith("2/3: “a”")
    bar.show_steps(Steps(5, 3, 2))
    assert not bar.forth.isEnabled()
    bar.show_steps(None)
    assert not bar.isVisible()


def test_the_focus_of_all_heads_has_no_single_head() -> None:
    assert Focus(head=None).at is None
    assert Focus(layer=None).at is None
    assert Focus(layer=1, head=2).at == HeadAt("self", 1, 2)
