"""Stacked bars: where the pieces lie, what they tell, how one gets about, what can be taken along."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication, QImage
from pytestqt.qtbot import QtBot

from llmlab.ui.widgets.chart.stack import Bar, Mark, Part, Stacks
from llmlab.ui.widgets.chart.stackbars import StackBars

STACKS = Stacks(
    bars=(
        Bar("one", (Part("a", 30, 0, (("formula", "3 · 10"),)), Part("b", 10, 1)), key="first", chosen=True),
        Bar("two", (Part("a", 20, 0), Part("none", 0, 2), Part("b", 5, 1, faint=True)), "half", key="second"),
    ),
    marks=(Mark(45, "enough"), Mark(100, "far beyond")),
    axis="GB",
)


@pytest.fixture
def bars(qtbot: QtBot) -> StackBars:
    widget = StackBars("Parts")
    qtbot.addWidget(widget)
    widget.resize(600, 220)
    widget.show_stacks(STACKS)
    widget.show()
    return widget


def test_pieces_lie_beside_each_other_in_proportion(bars: StackBars) -> None:
    first, second = bars.place_of(0, 0), bars.place_of(0, 1)
    assert first.right() == pytest.approx(second.left())
    assert first.width() == pytest.approx(3 * second.width())
    assert bars.place_of(1, 0).width() == pytest.approx(first.width() * 2 / 3)
    assert bars.place_of(1, 0).top() > first.bottom()
    assert bars.piece_at(second.center()) == (0, 1)
    assert bars.piece_at(bars.place_of(1, 2).center()) == (1, 2)


def test_hovering_tells_the_formula(bars: StackBars, qtbot: QtBot) -> None:
    qtbot.mouseMove(bars, bars.place_of(0, 0).center().toPoint())
    card = bars._card.card
    assert card.title == "a · one"
    assert ("formula", "3 · 10") in card.facts
    assert ("share", "75.0%") in card.facts
    qtbot.mouseMove(bars, QPoint(2, 2))
    assert not bars._card.isVisible()


def test_bars_are_picked_with_mouse_and_keys(bars: StackBars, qtbot: QtBot) -> None:
    with qtbot.waitSignal(bars.picked) as picked:
        qtbot.mouseClick(bars, Qt.MouseButton.LeftButton, pos=bars.place_of(1, 0).center().toPoint())
    assert picked.args == ["second"]
    for key in (Qt.Key.Key_Right, Qt.Key.Key_Right, Qt.Key.Key_Down):
        qtbot.keyClick(bars, key)
    assert bars._looked_at == (1, 1)
    with qtbot.waitSignal(bars.picked) as picked:
        qtbot.keyClick(bars, Qt.Key.Key_Return)
    assert picked.args == ["second"]


def test_what_is_looked_at_goes_with_its_bar(bars: StackBars, qtbot: QtBot) -> None:
    qtbot.mouseMove(bars, bars.place_of(1, 2).center().toPoint())
    bars.show_stacks(Stacks(empty="nothing"))
    assert bars._looked_at is None
    assert bars.accessibleDescription() == "nothing"
    qtbot.keyClick(bars, Qt.Key.Key_Down)
    assert bars.grab().width() == 600


def test_numbers_and_pictures_can_be_taken_along(bars: StackBars, tmp_path: Path) -> None:
    assert bars.text().splitlines()[:3] == ["bar,part,GB", "one,a,30", "one,b,10"]
    bars.copy_numbers()
    assert QGuiApplication.clipboard().text().startswith("bar\tpart\tGB\n")
    for kind in ("csv", "png", "svg", "pdf"):
        bars.writer(kind)(tmp_path / f"stack.{kind}")
        assert (tmp_path / f"stack.{kind}").stat().st_size > 50
    assert QImage(str(tmp_path / "stack.png")).width() == 600
    assert "enough" in (tmp_path / "stack.svg").read_text("utf-8")
    assert "far beyond" not in (tmp_path / "stack.svg").read_text("utf-8")
