"""The heat map: codes and their order, colours, labels that never overlap, zoom, keyboard, exact numbers, pictures."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QColor, QWheelEvent
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from llmlab.engine.types import Float32
from llmlab.ui import theme
from llmlab.ui.widgets.heatmap import axes, colours
from llmlab.ui.widgets.heatmap.camera import LARGEST_CELL, Camera
from llmlab.ui.widgets.heatmap.codes import INFINITY, MASKED, MIDDLE, NAN, ZERO, heat_of, values_of
from llmlab.ui.widgets.heatmap.norm import Norm, Scale, nice_limit
from llmlab.ui.widgets.heatmap.picture import HeatPart, HeatPicture
from llmlab.ui.widgets.heatmap.view import CellAt, HeatMap

WEIGHTS = st.floats(0, 1, width=32)


def causal(count: int, seed: int = 0) -> Float32:
    """Weights of a decoder: rows sum to 1, what comes later is masked."""
    scores = np.random.default_rng(seed).normal(size=(count, count)).astype(np.float32) * 2
    later = np.triu_indices(count, 1)
    scores[later] = -np.inf
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    weights[later] = -1
    return weights


def picture_of(values: Float32, **more: object) -> HeatPicture:
    rows, columns = values.shape
    base = HeatPart(heat_of(values), values)
    return HeatPicture(base, tuple(f"q{i}" for i in range(rows)), tuple(f"k{i}" for i in range(columns)), **more)  # type: ignore[arg-type]


def shown(qtbot: QtBot, picture: HeatPicture, width: int = 640, height: int = 480) -> HeatMap:
    heat_map = HeatMap()
    qtbot.addWidget(heat_map)
    heat_map.resize(width, height)
    heat_map.set_picture(picture)
    with qtbot.waitExposed(heat_map):
        heat_map.show()
    return heat_map


# --- codes ------------------------------------------------------------------------------------------------------


@given(hnp.arrays(np.float32, (1, 8), elements=WEIGHTS))
def test_codes_are_ordered_as_weights_are(values: Float32) -> None:
    codes = heat_of(values).levels[0][0].astype(int)
    order = np.argsort(values[0], kind="stable")
    assert (np.diff(codes[order]) >= 0).all()
    assert (codes >= ZERO).all()


@given(hnp.arrays(np.float32, (1, 8), elements=WEIGHTS))
def test_a_code_stands_for_its_weight_to_three_digits(values: Float32) -> None:
    back = values_of()[heat_of(values).levels[0]]
    assert np.allclose(back, values, rtol=2**-8, atol=1e-37)


def test_what_is_no_weight_has_codes_of_its_own_and_is_never_pooled_away() -> None:
    values = np.full((8, 8), 0.5, np.float32)
    values[0, 0], values[7, 7], values[2, 2] = np.nan, np.inf, -1
    heat = heat_of(values)
    assert (heat.levels[0][0, 0], heat.levels[0][7, 7], heat.levels[0][2, 2]) == (NAN, INFINITY, MASKED)
    assert heat.levels[-1].tolist() == [[NAN]]
    assert heat.levels[1][3, 3] == INFINITY
    assert heat.masked
    assert heat.infinite
    largest = heat_of(np.array([[np.finfo(np.float32).max]], np.float32))
    assert largest.levels[0][0, 0] == INFINITY - 1


@given(hnp.arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.floats(-1, 1, width=32)))
def test_every_level_holds_the_maximum_of_its_cells(values: Float32) -> None:
    heat = heat_of(values)
    for level, codes in enumerate(heat.levels):
        size = 2**level
        for row in range(codes.shape[0]):
            for column in range(codes.shape[1]):
                part = heat.levels[0][row * size : (row + 1) * size, column * size : (column + 1) * size]
                assert codes[row, column] == part.max()


def test_differences_keep_their_sign_and_the_farthest_is_pooled() -> None:
    values = np.array([[0.25, -0.5], [np.nan, 0.0]], np.float32)
    heat = heat_of(values, signed=True)
    numbers = values_of(signed=True)
    assert numbers[heat.levels[0][0]].tolist() == [0.25, -0.5]
    assert heat.levels[0][1].tolist() == [MASKED, MIDDLE]
    assert numbers[heat.levels[1][0, 0]] == -0.5


def test_by_row_the_largest_weight_of_each_row_is_one() -> None:
    values = np.array([[0.1, 0.2, -1], [0.001, np.nan, 0.0005], [0, 0, 0]], np.float32)
    numbers = values_of()[heat_of(values, by_row=True).levels[0]]
    assert np.allclose(numbers[0, :2], [0.5, 1], rtol=2**-8)
    assert np.allclose(numbers[1, [0, 2]], [1, 0.5], rtol=2**-8)
    assert numbers[2].tolist() == [0, 0, 0]
    assert heat_of(values, by_row=True).levels[0][0, 2] == MASKED


def test_the_finest_level_is_painted_whose_cells_have_a_pixel() -> None:
    heat = heat_of(np.zeros((64, 64), np.float32))
    assert [heat.level_for(pixels) for pixels in (2.0, 1.0, 0.9, 0.5, 0.26, 0.25, 0.001)] == [0, 0, 1, 1, 2, 2, 6]


# --- colours ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", list(Scale))
def test_a_scale_is_monotone_and_has_its_ends_at_its_ticks(scale: Scale) -> None:
    norm = Norm(scale, 1.0)
    places = norm.places(np.linspace(norm.low, norm.high, 50, dtype=np.float32))
    assert (np.diff(places) >= 0).all()
    assert (places[0], places[-1]) == (pytest.approx(0), pytest.approx(1))
    assert [place for place, _ in norm.ticks()] == pytest.approx(np.linspace(0, 1, len(norm.ticks())))


def test_a_table_has_a_colour_for_every_code(qtbot: QtBot) -> None:
    table = colours.table(Norm())
    assert table[MASKED] == 0
    assert QColor.fromRgba(int(table[NAN])) == colours.NAN_COLOR
    assert QColor.fromRgba(int(table[INFINITY])) == colours.INFINITY_COLOR
    code = int(heat_of(np.array([[1.0]], np.float32)).levels[0][0, 0])
    assert table[code] == colours.heat()[255]
    assert table[ZERO] == colours.heat()[0]
    assert colours.color_at(Norm(), 1.0) == QColor.fromRgba(int(table[code]))
    assert colours.table(Norm()) is colours.table(Norm())


def test_strange_colours_are_none_of_the_heat() -> None:
    for strange in (colours.NAN_COLOR, colours.INFINITY_COLOR):
        for packed in colours.heat()[::8]:
            heat = QColor.fromRgba(int(packed))
            assert math.dist(strange.getRgb()[:3], heat.getRgb()[:3]) > 60


@given(st.floats(1e-30, 1e30))
def test_a_nice_limit_is_near_and_not_below(largest: float) -> None:
    limit = nice_limit(largest)
    assert largest <= limit * (1 + 1e-5)
    assert limit <= largest * 10.01


# --- labels -----------------------------------------------------------------------------------------------------


@given(st.integers(1, 5000), st.floats(0, 4000), st.floats(0.05, 80), st.floats(8, 20))
def test_labels_never_overlap(count: int, start: float, pixels: float, line: float) -> None:
    labels = [f"t{i}" for i in range(count)]
    found = list(axes.visible_labels(labels, start, pixels, 400, line))
    middles = [middle for _, middle, _ in found]
    assert all(b - a >= line - 1e-6 for a, b in pairwise(middles))
    assert all(unit < count for unit, _, _ in found)


def test_labels_that_are_left_out_leave_numbers_behind() -> None:
    labels = [f"t{i}" for i in range(100)]
    assert list(axes.visible_labels(labels, 0, 20, 200, 12))[3][2] == "t3"
    assert [text for _, _, text in axes.visible_labels(labels, 0, 4, 100, 12)][:3] == ["0 t0", "5 t5", "10 t10"]


# --- camera -----------------------------------------------------------------------------------------------------


@given(st.floats(0.2, 4), st.floats(0, 300), st.floats(0, 200))
def test_zooming_keeps_the_cell_under_the_mouse(factor: float, x: float, y: float) -> None:
    camera = Camera(3, 5, 10, 10)
    zoomed = camera.zoomed(factor, x, y)
    assert zoomed.column + x / zoomed.width == pytest.approx(camera.column + x / camera.width)
    assert zoomed.row + y / zoomed.height == pytest.approx(camera.row + y / camera.height)
    assert zoomed.width <= LARGEST_CELL


@given(st.floats(-500, 500), st.floats(-500, 500), st.floats(0.1, 10))
def test_the_camera_never_leaves_the_map(x: float, y: float, factor: float) -> None:
    camera = Camera.fit(100, 100, 400, 300).zoomed(factor, 50, 60).panned(x, y).bounded(100, 100, 400, 300)
    assert camera.column >= 0
    assert camera.row >= 0
    assert camera.column + min(100, 400 / camera.width) <= 100 + 1e-6
    assert camera.row + min(100, 300 / camera.height) <= 100 + 1e-6
    assert camera.width == pytest.approx(camera.height)


# --- the widget -------------------------------------------------------------------------------------------------


def test_each_cell_has_the_colour_of_its_weight(qtbot: QtBot, scheme: str) -> None:
    values = causal(6)
    heat_map = shown(qtbot, picture_of(values))
    image = heat_map.grab().toImage()
    ratio = image.devicePixelRatio()
    for row in range(6):
        for column in range(row + 1):
            point = heat_map.rect_of(CellAt(row, column)).center() * ratio
            color = image.pixelColor(round(point.x()), round(point.y()))
            code = heat_map.picture.base.heat.levels[0][row, column]  # type: ignore[union-attr]
            assert color == QColor.fromRgba(int(colours.table(Norm())[code])), (row, column)
    ground = heat_map.rect_of(CellAt(0, 5))
    area = {
        image.pixelColor(round((ground.left() + 3 + i) * ratio), round(ground.center().y() * ratio)).name()
        for i in range(12)
    }
    assert area <= {colours.masked_color().name(), theme.current().border.name(), *area}
    assert colours.masked_color().name() in area


def test_hovering_tells_cell_weight_and_rank(qtbot: QtBot) -> None:
    values = causal(12)
    heat_map = shown(qtbot, picture_of(values))
    found: list[CellAt | None] = []
    heat_map.hovered.connect(found.append)
    qtbot.mouseMove(heat_map, heat_map.rect_of(CellAt(7, 3)).center().toPoint())
    assert found == [CellAt(7, 3)]
    picture = heat_map.picture
    assert picture is not None
    assert picture.value_at(7, 3) == values[7, 3]
    assert picture.rank_at(7, 3) == 1 + (values[7] > values[7, 3]).sum()
    assert picture.rank_at(3, 7) is None
    qtbot.mouseMove(heat_map, QPoint(2, 2))
    assert found[-1] is None


def test_clicks_choose_rows_and_drags_do_not(qtbot: QtBot) -> None:
    heat_map = shown(qtbot, picture_of(causal(10)))
    chosen: list[tuple[int, str]] = []
    heat_map.row_chosen.connect(lambda row, how: chosen.append((row, how)))
    for row, modifier in ((2, Qt.KeyboardModifier.NoModifier), (4, Qt.KeyboardModifier.ControlModifier),
                          (6, Qt.KeyboardModifier.ShiftModifier)):  # fmt: skip
        qtbot.mouseClick(
            heat_map, Qt.MouseButton.LeftButton, modifier, heat_map.rect_of(CellAt(row, 1)).center().toPoint()
        )
    assert chosen == [(2, "only"), (4, "toggle"), (6, "range")]
    label = QPoint(10, round(heat_map.rect_of(CellAt(3, 0)).center().y()))
    qtbot.mouseClick(heat_map, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, label)
    assert chosen[-1] == (3, "only")
    heat_map.zoom(4)
    chosen.clear()
    before = heat_map.camera
    start = heat_map.rect().center()
    qtbot.mousePress(heat_map, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, start)
    qtbot.mouseMove(heat_map, start + QPoint(30, 25))
    qtbot.mouseRelease(heat_map, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, start + QPoint(30, 25))
    assert not chosen
    assert heat_map.camera != before


def test_the_wheel_zooms_at_the_mouse_and_a_double_click_shows_everything(qtbot: QtBot) -> None:
    heat_map = shown(qtbot, picture_of(causal(200)))
    whole = heat_map.camera
    point = heat_map.rect_of(CellAt(150, 40)).center()
    wheel = QWheelEvent(
        point,
        QPointF(heat_map.mapToGlobal(point.toPoint())),
        QPoint(),
        QPoint(0, 1200),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(heat_map, wheel)
    assert heat_map.camera.width > 5 * whole.width
    assert heat_map.cell_at(point) == CellAt(150, 40)
    qtbot.mouseDClick(heat_map, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, point.toPoint())
    assert heat_map.camera == whole


def test_the_keyboard_reaches_every_cell(qtbot: QtBot) -> None:
    heat_map = shown(qtbot, picture_of(causal(40)))
    chosen: list[tuple[int, str]] = []
    heat_map.row_chosen.connect(lambda row, how: chosen.append((row, how)))
    for key in (Qt.Key.Key_Plus,) * 8:
        qtbot.keyClick(heat_map, key)
    for _ in range(45):
        qtbot.keyClick(heat_map, Qt.Key.Key_Down)
    for _ in range(3):
        qtbot.keyClick(heat_map, Qt.Key.Key_Right)
    cursor = heat_map.cursor_cell
    assert cursor is not None
    assert cursor.row == 39
    first, last, left, right = heat_map.seen()
    assert first <= cursor.row < last
    assert left <= cursor.column < right
    qtbot.keyClick(heat_map, Qt.Key.Key_Return)
    assert chosen == [(39, "only")]
    qtbot.keyClick(heat_map, Qt.Key.Key_0)
    assert heat_map.seen() == (0, 40, 0, 40)


def test_a_pooled_cell_says_so_and_a_detail_is_exact(qtbot: QtBot) -> None:
    exact = causal(64)
    pooled = exact.reshape(16, 4, 16, 4).max(axis=(1, 3))
    base = HeatPart(heat_of(pooled), pooled, per=4)
    labels = tuple(f"t{i}" for i in range(64))
    heat_map = shown(qtbot, HeatPicture(base, labels, labels))
    picture = heat_map.picture
    assert picture is not None
    assert heat_map.pooled == 4
    assert picture.value_at(9, 5) == pooled[2, 1]
    assert picture.rank_at(9, 5) is None
    part = exact[8:40, :]
    heat_map.set_detail(HeatPart(heat_of(np.ascontiguousarray(part)), part, row=8))
    picture = heat_map.picture
    assert picture is not None
    assert picture.value_at(9, 5) == exact[9, 5]
    assert picture.rank_at(9, 5) is not None
    assert picture.value_at(60, 5) == pooled[15, 1]
    heat_map.grab()


def test_another_map_of_the_same_size_keeps_the_place(qtbot: QtBot) -> None:
    heat_map = shown(qtbot, picture_of(causal(30)))
    heat_map.zoom(3)
    camera = heat_map.camera
    heat_map.set_picture(picture_of(causal(30, seed=1)))
    assert heat_map.camera == camera
    heat_map.set_picture(picture_of(causal(12)))
    assert heat_map.seen() == (0, 12, 0, 12)
    heat_map.set_picture(None)
    heat_map.grab()


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (3, 300)])
def test_maps_of_any_shape_are_painted(qtbot: QtBot, shape: tuple[int, int]) -> None:
    values = np.full(shape, 0.5, np.float32)
    heat_map = shown(qtbot, picture_of(values, row_line=0, column_line=1))
    heat_map.set_pinned((0,), values[0])
    heat_map.grab()
    assert heat_map.seen() == (0, shape[0], 0, shape[1])


def test_a_picture_is_as_fine_as_asked_for_and_shows_no_mouse(qtbot: QtBot) -> None:
    heat_map = shown(qtbot, picture_of(causal(8)))
    without = heat_map.image(2.0)
    heat_map.point_at(CellAt(3, 2))
    assert (without.width(), without.height()) == (2 * heat_map.width(), 2 * heat_map.height())
    assert heat_map.image(2.0) == without
