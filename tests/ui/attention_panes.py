"""A tab's widget of the attention panel with its part of the presenter, on screen, without a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pytestqt.qtbot import QtBot

from tests.presenters.attention_cause import CauseEngine, cause_stand
from tests.presenters.attention_tabs import Stand


def cause_maker(qtbot: QtBot, make_pane: Callable[[], Any], make_part: Callable[..., Any]) -> Callable[..., Any]:
    """A function that shows a tab, of what `cause_stand` is given; its answers have come unless `run` is False."""

    def start(*shapes: Any, run: bool = True, **focus: Any) -> tuple[Any, Stand, CauseEngine]:
        around, engine = cause_stand(*shapes, **focus)
        pane = make_pane()
        qtbot.addWidget(pane)
        pane.resize(560, 520)
        part = around.part = make_part(around.asking, around, pane)
        pane.attach(part)
        with qtbot.waitExposed(pane):
            pane.show()
        part.bring(around.reading)
        if run:
            around.run()
        return pane, around, engine

    return start
