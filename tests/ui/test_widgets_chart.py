"""Charts: marks, places, exact values under the mouse and the keys, and what can be taken along."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QGuiApplication, QImage, QPainter
from pytestqt.qtbot import QtBot

from llmlab.ui.widgets.chart.chart import Chart
from llmlab.ui.widgets.chart.frame import Frame
from llmlab.ui.widgets.chart.paint import color_of, paint
from llmlab.ui.widgets.chart.plot import Axis, Draw, Level, Plot, Series, place, tick_label, tick_labels, ticks
from llmlab.ui.widgets.chart.plot import rows as plot_rows
from llmlab.ui.widgets.chart.stacks import Segment, Stack, StackedBars
from llmlab.ui.words import size

SHOTS = np.array([0.0, 1, 2, 4, 8])
ONE = np.array([1.0])
RISE = np.array([0.2, 0.4, 0.5, 0.6, 0.75])


def rising() -> Plot:
    return Plot(
        Axis("shots"),
        Axis("accuracy", low=0.0, high=1.0),
        (
            Series("random", SHOTS, RISE, low=RISE - 0.1, high=RISE + 0.1),
            Series("nearest", SHOTS, RISE + 0.05, dashed=True),
        ),
        (Level("y", 0.25, "chance"),),
        title="Accuracy by shots",
    )


@pytest.fixture
def chart(qtbot: QtBot, scheme: str) -> Chart:
    chart = Chart("Accuracy")
    qtbot.addWidget(chart)
    chart.resize(500, 300)
    chart.show_plot(rising())
    chart.show()
    return chart


# --- axes -------------------------------------------------------------------------------------------------------


@given(st.floats(-1e12, 1e12), st.floats(1e-9, 1e12), st.integers(1, 15))
def test_linear_marks_are_round_in_order_and_inside(low: float, width: float, room: int) -> None:
    high = low + max(width, abs(low) * 1e-6)
    marks = ticks(Axis(), low, high, room)
    assert len(marks) <= room + 1
    assert marks == sorted(set(marks))
    slack = (high - low) * 1e-6
    assert all(low - slack <= mark <= high + slack for mark in marks)


@given(st.floats(1e-12, 1e12), st.floats(1.5, 1e15), st.integers(2, 12))
def test_logarithmic_marks_stand_on_one_two_five(low: float, ratio: float, room: int) -> None:
    for mark in ticks(Axis(log=True), low, low * ratio, room):
        power = 10.0 ** math.floor(math.log10(mark) + 1e-12)
        assert round(mark / power, 9) in (1, 2, 5)
        assert low <= mark <= low * ratio


@given(st.lists(st.floats(1e-6, 1e6), min_size=2, unique=True), st.booleans())
def test_places_keep_the_order_of_the_values(values: list[float], log: bool) -> None:
    low, high = min(values), max(values) * 1.01
    places = place(np.array(sorted(values)), low, high, log=log)
    assert (np.diff(places) >= 0).all()
    assert ((places >= -1e-9) & (places <= 1)).all()


def test_what_has_no_logarithm_has_no_place() -> None:
    assert np.isnan(place(np.array([0.0, -1.0]), 1, 10, log=True)).all()


def test_limits_hold_all_values_intervals_and_levels() -> None:
    plot = Plot(Axis(), Axis(), (Series("a", SHOTS, RISE, low=RISE - 1, high=RISE + 1),), (Level("y", 5.0),))
    low, high = plot.limits("y")
    assert low < RISE.min() - 1
    assert high > 5


def test_areas_stand_on_each_other_and_begin_at_zero() -> None:
    parts = tuple(Series(name, SHOTS, RISE, Draw.AREA) for name in "abc")
    plot = Plot(Axis(), Axis(), parts)
    assert plot.stacks[2] is not None
    assert np.allclose(plot.stacks[2][1], 3 * RISE)
    assert np.allclose(plot.stacks[2][0], 2 * RISE)
    assert plot.limits("y")[0] == 0


def test_names_stand_at_their_numbers() -> None:
    axis = Axis(names=("one", "two"))
    assert [tick_label(axis, mark) for mark in ticks(axis, -0.5, 1.5, 5)] == ["one", "two"]


@pytest.mark.parametrize(
    ("axis", "marks", "labels"),
    [
        (Axis(), (8.0, 8.5, 9.0, 9.5), ["8.0", "8.5", "9.0", "9.5"]),
        (Axis(label=lambda value: f"{value:.3g} MB"), (0.0, 6.0, 9.5, 10.0), ["0", "6.0 MB", "9.5 MB", "10.0 MB"]),
        (Axis(label=lambda value: f"{value:.2f} GB"), (50.0, 100.0), ["50 GB", "100 GB"]),
        (Axis(label=lambda value: f"{value:+.0f}%"), (-50.0, 0.0, 50.0), ["-50%", "0", "+50%"]),
        (Axis(), (1e-7, 1.5e-7), ["1e-07", "1.5e-07"]),
        (Axis(log=True), (0.01, 0.1, 1.0), ["0.01", "0.1", "1"]),
        (Axis(log=True), (5e5, 1e6, 2e7), ["500,000", "1 M", "20 M"]),
        (Axis(), (-1.5e6, -1e6), ["-1.5 M", "-1.0 M"]),
        (Axis(), (5e5, 1e6), ["500,000", "1 M"]),
        (Axis(label=size), (0.0, 5e8, 1e9, 1.5e9), ["0", "500 MB", "1.0 GB", "1.5 GB"]),
        (Axis(names=("1", "2.5")), (0.0, 1.0), ["1", "2.5"]),
        (Axis(), (), []),
    ],
)
def test_marks_of_an_axis_have_the_same_decimals(axis: Axis, marks: tuple[float, ...], labels: list[str]) -> None:
    assert tick_labels(axis, marks) == labels


@given(low=st.floats(-1e5, 1e5), width=st.floats(1e-2, 1e5), room=st.integers(2, 12))
def test_a_mark_says_its_value(low: float, width: float, room: int) -> None:
    marks = ticks(Axis(), low, low + width, room)
    for mark, label in zip(marks, tick_labels(Axis(), marks), strict=True):
        assert float(label.replace(",", "")) == pytest.approx(mark, rel=1e-5, abs=1e-9)


# --- on screen --------------------------------------------------------------------------------------------------


def test_the_nearest_value_is_found_and_told_exactly(chart: Chart) -> None:
    frame = chart._frame()
    xs, ys = frame.points(0)
    found = chart.nearest(QPointF(xs[3] + 2, ys[3] - 1))
    assert found == (0, 3)
    card = chart.card(*found)
    assert card.title == "shots: 4"
    assert ("random", "0.6") in card.facts
    assert ("nearest", "0.65") in card.facts
    assert ("", "   0.5 … 0.7") in card.facts


def test_a_click_and_the_keys_pick_a_point(chart: Chart, qtbot: QtBot) -> None:
    xs, ys = chart._frame().points(1)
    with qtbot.waitSignal(chart.picked) as picked:
        qtbot.mouseClick(chart, Qt.MouseButton.LeftButton, pos=QPointF(xs[2], ys[2]).toPoint())
    assert picked.args == [1, 2]
    for _ in range(9):  # beyond the end nothing happens
        qtbot.keyClick(chart, Qt.Key.Key_Right)
    with qtbot.waitSignal(chart.picked) as picked:
        qtbot.keyClick(chart, Qt.Key.Key_Return)
    assert picked.args == [0, 4]


def test_points_are_called_by_their_names(chart: Chart) -> None:
    models = Series("models", SHOTS + 1, RISE, Draw.POINTS, labels=("a", "b", "c", "d", "e"), names_shown=True)
    chart.show_plot(Plot(Axis("size", log=True), Axis("loss"), (models,)))
    xs, ys = chart._frame().points(0)
    assert chart.nearest(QPointF(xs[1], ys[1])) == (0, 1)
    assert chart.card(0, 1).title == "b"
    assert chart.nearest(QPointF(xs[1], ys[1] + 60)) is None


def test_a_sentence_about_a_point_stands_on_its_card_in_lines_and_in_the_table_whole(chart: Chart) -> None:
    said = "Read in a paper of many words, " * 3 + "and not confirmed"
    noted = Series("models", SHOTS[:2], RISE[:2], Draw.POINTS, labels=("a", "b"), notes=(said,))
    plain = Series("line", SHOTS[:1], RISE[:1])
    chart.show_plot(Plot(Axis("size"), Axis("loss"), (noted, plain)))
    lines = [value for name, value in chart.card(0, 0).facts if not name]
    assert " ".join(lines) == said
    assert max(map(len, lines)) <= 60
    assert not [value for name, value in chart.card(0, 1).facts if not name]
    header, *rows = plot_rows(chart.plot)
    assert header[-1] == "note"
    assert [row[-1] for row in rows] == [said, "", ""]
    chart.show_plot(Plot(Axis("size"), Axis("loss"), (plain,)))
    assert all(len(row) == 6 for row in plot_rows(chart.plot))


@pytest.mark.parametrize("draw", list(Draw))
def test_every_kind_of_series_is_painted_and_missing_values_are_left_out(chart: Chart, draw: Draw) -> None:
    values = np.array([1.0, np.nan, 3.0, np.inf, 2.0])
    edges = np.arange(6.0) if draw is Draw.STEPS else np.arange(5.0)
    blank = chart.grab().toImage()
    for log in (False, True):
        chart.show_plot(Plot(Axis("x"), Axis("y", log=log), (Series("", edges, values, draw),)))
        assert chart.grab().toImage() != blank


def test_a_point_on_the_edge_is_whole_and_one_beyond_it_is_not_there(qtbot: QtBot) -> None:
    def painted(value: float) -> set[str]:
        """The colours just above the plot, where the point stands."""
        plot = Plot(Axis(low=0.0, high=2.0), Axis(low=0.0, high=1.0), (Series("", ONE, ONE * value, Draw.POINTS),))
        image = QImage(300, 200, QImage.Format.Format_RGB32)
        frame = Frame.of(plot, image.size(), QGuiApplication.font())
        with QPainter(image) as painter:
            paint(painter, plot, frame, None)
        x, y = round(frame.area.center().x()), round(frame.area.top()) - 3
        return {image.pixelColor(x, y + up).name() for up in range(3)}

    assert color_of(0).name() in painted(1.0)
    assert color_of(0).name() not in painted(1.1)
    assert color_of(0).name() not in painted(float("nan"))


def test_without_values_it_says_what_to_do(chart: Chart) -> None:
    chart.show_plot(Plot(Axis(), Axis(), empty="Run it first."))
    assert chart.accessibleDescription() == "Run it first."
    assert chart.nearest(QPointF(100, 100)) is None
    chart.grab()


def test_a_shorter_plot_forgets_the_point_that_was_looked_at(chart: Chart, qtbot: QtBot) -> None:
    for _ in range(5):
        qtbot.keyClick(chart, Qt.Key.Key_Right)
    chart.show_plot(Plot(Axis(), Axis(), (Series("a", SHOTS[:2], RISE[:2]),)))
    chart.grab()
    assert chart._under is None


def test_the_numbers_are_copied_whole(chart: Chart) -> None:
    chart.copy_numbers()
    rows = list(csv.DictReader(io.StringIO(QGuiApplication.clipboard().text()), delimiter="\t"))
    assert [(row["series"], float(row["shots"]), float(row["accuracy"])) for row in rows[:5]] == [
        ("random", x, y) for x, y in zip(SHOTS.tolist(), RISE.tolist(), strict=True)
    ]
    assert float(rows[0]["low"]) == RISE[0] - 0.1


@pytest.mark.parametrize("kind", ["csv", "png", "svg", "pdf"])
def test_files_are_written(chart: Chart, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"chart.{kind}"
    chart.writer(kind)(path)
    data = path.read_bytes()
    begins = {"csv": b"series", "png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
    assert data.startswith(begins[kind])
    if kind == "svg":
        assert chart.svg().encode() == path.read_bytes()
        assert b"accuracy" in data  # letters stay letters
    if kind == "png":
        assert not QImage(str(path)).isNull()


# --- bars made of parts ---------------------------------------------------------------------------------------------


@pytest.fixture
def bars(qtbot: QtBot, scheme: str) -> StackedBars:
    bars = StackedBars("Memory", lambda value: f"{value:.1f} GB", "Nothing yet.")
    qtbot.addWidget(bars)
    parts = (Segment("weights", 14.0, 0, (("formula", "7e9 · 2"),)), Segment("cache", 2.0, 1), Segment("none", 0.0, 2))
    bars.show_stacks((Stack("fp16", parts, 24.0, "24 GB card"), Stack("int8", parts[:1], 24.0, "24 GB card")))
    bars.resize(600, bars.sizeHint().height())
    bars.show()
    return bars


def test_parts_are_as_long_as_their_values_and_tell_their_facts(bars: StackedBars) -> None:
    weights, cache = bars.box(0, 0), bars.box(0, 1)
    assert weights.width() / cache.width() == pytest.approx(7)
    assert cache.left() == pytest.approx(weights.right())
    assert bars.mark_at(cache.center()) == (0, 1)
    card = bars.card(0, 0)
    assert ("share", "87.5% of 16.0 GB") in card.facts
    assert ("formula", "7e9 · 2") in card.facts
    assert bars.accessibleDescription() == "fp16: 16.0 GB; int8: 14.0 GB"


def test_the_keys_go_through_the_parts_and_leave_out_empty_ones(bars: StackedBars, qtbot: QtBot) -> None:
    seen = []
    bars.picked.connect(lambda row, part: seen.append((row, part)))
    for _ in range(4):
        qtbot.keyClick(bars, Qt.Key.Key_Right)
        qtbot.keyClick(bars, Qt.Key.Key_Return)
    assert seen == [(0, 0), (0, 1), (1, 0), (1, 0)]


def test_bars_can_be_taken_along(bars: StackedBars, tmp_path: Path) -> None:
    assert bars.text().splitlines()[1] == "fp16,weights,14.0"
    for kind in ("csv", "png", "svg", "pdf"):
        bars.writer(kind)(tmp_path / f"bars.{kind}")
        assert (tmp_path / f"bars.{kind}").stat().st_size > 50
    bars.show_stacks(())
    assert bars.accessibleDescription() == "Nothing yet."
    bars.grab()


def test_the_name_of_a_level_at_the_top_has_room_above_it() -> None:
    rise = Series("bytes", SHOTS, RISE, Draw.AREA)
    top, below, unnamed = (
        Plot(Axis(), Axis(), (rise,), (Level("y", *level),)).limits("y")[1]
        for level in ((0.74, "peak"), (0.3, "peak"), (0.74, ""))
    )

    assert top > 1.1 * 0.74 > unnamed
    assert below == unnamed > RISE.max()
