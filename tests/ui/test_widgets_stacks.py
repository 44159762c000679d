"""Stacked bars: the chosen one, notes, paler parts, lines across all bars, the scale."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from llmlab.ui.widgets.chart.stacks import Mark, Segment, Stack, StackedBars

STACKS = (
    Stack("one", (Segment("a", 30, 0), Segment("b", 10, 1)), chosen=True),
    Stack("two", (Segment("a", 20, 0), Segment("b", 5, 1, faint=True)), note="half"),
    Stack("none", (), note="not possible so"),
)
MARKS = (Mark(100, "far beyond"), Mark(45, "enough"), Mark(12, "little"))


@pytest.fixture
def bars(qtbot: QtBot) -> StackedBars:
    widget = StackedBars("Parts", lambda value: f"{value:g} GB", axis=True)
    qtbot.addWidget(widget)
    widget.resize(600, 240)
    widget.show_stacks(STACKS, MARKS)
    widget.show()
    return widget


def test_marks_that_are_near_make_room_for_themselves(bars: StackedBars) -> None:
    assert [mark.name for mark in bars.marks] == ["little", "enough"]
    end = bars.box(0, 1).right()
    bars.show_stacks(STACKS)
    assert bars.marks == ()
    assert bars.box(0, 1).right() > end  # nothing but the bars is on the scale now


def test_pictures_say_marks_notes_and_scale(bars: StackedBars, tmp_path: Path) -> None:
    bars.writer("svg")(tmp_path / "stack.svg")
    drawn = (tmp_path / "stack.svg").read_text("utf-8")
    for words in ("enough", "little", "half", "not possible so", "20 GB"):
        assert words in drawn
    assert "far beyond" not in drawn


def test_a_bar_without_parts_can_be_painted_and_passed(bars: StackedBars) -> None:
    assert bars.mark_at(bars.box(1, 0).center()) == (1, 0)
    assert bars.grab().width() == 600
    bars.show_stacks(STACKS[2:])
    assert bars.grab().width() == 600
