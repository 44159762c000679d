"""The embedding tab's own widgets: the map, the strip of values, the table of near tokens."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from llmlab.ui import theme
from llmlab.ui.panels.tokens.map_canvas import MapCanvas
from llmlab.ui.panels.tokens.near_table import NearTable
from llmlab.ui.panels.tokens.plane import MapPicture
from llmlab.ui.panels.tokens.vector_strip import VectorStrip
from llmlab.ui.panels.tokens.vectors import Looked, Near, NearToken


def picture(count: int = 200, named: int = 20, path: tuple[int, ...] = ()) -> MapPicture:
    points = np.random.default_rng(1).normal(size=(count, 2)).astype(np.float32)
    places = np.arange(named, dtype=np.int32)
    names = tuple(f"name{n}" for n in range(named))
    way = np.array(path, np.int32)
    return MapPicture("Map", points, (0.5, 0.25), places, names, 0, way, lambda i: (f"point {i}", (("id", str(i)),)))


def looked(size: int) -> Looked:
    vector = np.linspace(-2, 2, size, dtype=np.float32)
    return Looked("␣girl", 7, "text", 0, 6, vector, 1.0, (), "")


@pytest.fixture
def canvas(qtbot: QtBot) -> MapCanvas:
    canvas = MapCanvas()
    qtbot.addWidget(canvas)
    canvas.resize(600, 300)
    canvas.set_picture(picture())
    canvas.show()
    canvas.grab()
    return canvas


def wheel(canvas: MapCanvas, place: QPointF, delta: int) -> None:
    event = QWheelEvent(
        place,
        canvas.mapToGlobal(place),
        QPoint(),
        QPoint(0, delta),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(canvas, event)


def test_a_click_picks_the_point_under_it(qtbot: QtBot, canvas: MapCanvas) -> None:
    with qtbot.waitSignal(canvas.picked) as caught:
        qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=canvas.place_of(11).toPoint())
    assert caught.args == [11]
    qtbot.mouseMove(canvas, canvas.place_of(3).toPoint())
    qtbot.waitUntil(lambda: canvas.hovered == 3)
    assert canvas._card.card.title == "point 3"


def test_the_wheel_zooms_around_the_mouse_and_the_same_points_stay_zoomed(canvas: MapCanvas) -> None:
    place = canvas.place_of(5)
    wheel(canvas, place, 240)
    assert (canvas.place_of(5) - place).manhattanLength() < 1
    closer = canvas.window_shown
    former = canvas._picture
    assert former is not None
    canvas.set_picture(
        MapPicture("Map", former.points, (0.5, 0.25), former.named, former.names, 3, former.path, former.describe)
    )
    assert canvas.window_shown == closer
    canvas.set_picture(picture())
    assert canvas.window_shown != closer, "another map is shown whole"


def test_dragging_moves_the_map_and_picks_nothing(qtbot: QtBot, canvas: MapCanvas) -> None:
    wheel(canvas, QPointF(300, 150), 480)
    start, before = canvas.place_of(5), canvas.window_shown
    picked: list[int] = []
    canvas.picked.connect(picked.append)
    qtbot.mousePress(canvas, Qt.MouseButton.LeftButton, pos=QPoint(300, 150))
    qtbot.mouseMove(canvas, QPoint(340, 130))
    qtbot.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=QPoint(340, 130))
    assert canvas.window_shown != before
    moved = canvas.place_of(5) - start
    assert (round(moved.x()), round(moved.y())) == (40, -20)
    assert picked == []


def test_keys_pan_zoom_and_reset(qtbot: QtBot, canvas: MapCanvas) -> None:
    whole = canvas.window_shown
    qtbot.keyClick(canvas, Qt.Key.Key_Plus)
    assert canvas.window_shown.width == pytest.approx(whole.width / 1.25)
    left = canvas.window_shown.left
    qtbot.keyClick(canvas, Qt.Key.Key_Right)
    assert canvas.window_shown.left > left
    qtbot.keyClick(canvas, Qt.Key.Key_0)
    assert canvas.window_shown == whole
    qtbot.keyClick(canvas, Qt.Key.Key_Minus)
    assert canvas.window_shown == whole, "there is nothing beyond the whole"


def test_names_are_thinned_out_and_more_of_them_find_room_when_zoomed_in(qtbot: QtBot) -> None:
    canvas = MapCanvas()
    qtbot.addWidget(canvas)
    canvas.resize(400, 200)
    canvas.set_picture(picture(named=200))
    canvas.show()
    canvas.grab()
    assert 10 < canvas.named < 120
    wheel(canvas, canvas.place_of(0), 600)
    canvas.grab()
    assert canvas.named >= 1, "the selected one has its name"


def test_many_points_and_a_path_are_painted_in_both_schemes(qtbot: QtBot, scheme: str) -> None:
    canvas = MapCanvas()
    qtbot.addWidget(canvas)
    canvas.resize(600, 300)
    canvas.set_picture(picture(count=150_000, path=(0, 7, 9)))
    canvas.show()
    image = canvas.grab().toImage()
    place = canvas.place_of(0).toPoint()
    assert image.pixelColor(place) == theme.current().cut_line
    assert canvas._background is not None
    first = canvas._background[1]
    canvas.grab()
    assert canvas._background[1] is first, "the background is painted again only where it has changed"


@pytest.mark.parametrize("size", [1, 8, 256, 4096])
def test_every_dimension_has_its_cell(qtbot: QtBot, size: int) -> None:
    strip = VectorStrip()
    qtbot.addWidget(strip)
    strip.set_looked(looked(size))
    strip.resize(700, strip.sizeHint().height())
    strip.show()
    image = strip.grab().toImage()
    for dimension in {0, size // 2, size - 1}:
        rect = strip.rect_of(dimension)
        assert strip.dimension_at(rect.center()) == dimension
    if size > 1:
        ends = [image.pixelColor(strip.rect_of(dimension).center()) for dimension in (0, size - 1)]
        assert ends[0] != ends[1]
        assert ends[0].blue() > ends[0].red()
        assert ends[1].red() > ends[1].blue()


def test_the_strip_is_walked_with_the_arrow_keys(qtbot: QtBot) -> None:
    strip = VectorStrip()
    qtbot.addWidget(strip)
    strip.set_looked(looked(256))
    strip.resize(700, 36)
    strip.show()
    for key in (Qt.Key.Key_End, Qt.Key.Key_Left):
        qtbot.keyClick(strip, key)
    assert strip.current == 254
    assert strip.accessibleDescription() == f"Dimension 254: {float(looked(256).vector[254]):.9g}"
    with qtbot.waitSignal(strip.copy_asked):
        qtbot.keyClick(strip, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    qtbot.keyClick(strip, Qt.Key.Key_Escape)
    assert strip.current == -1


def test_a_near_token_is_chosen_by_mouse_and_keyboard(qtbot: QtBot) -> None:
    table = NearTable("Near")
    qtbot.addWidget(table)
    table.resize(320, 200)
    table.set_near(Near("", (NearToken(4, "␣boy", 0.6), NearToken(9, "␣x", -0.2))))
    table.show()
    table.grab()
    with qtbot.waitSignal(table.chosen) as caught:
        place = table.visualRect(table.rows.index(1, 0)).center()
        qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert caught.args == [9]
    with qtbot.waitSignal(table.chosen) as caught:
        table.setCurrentIndex(table.rows.index(0, 0))
        qtbot.keyClick(table, Qt.Key.Key_Return)
    assert caught.args == [4]
