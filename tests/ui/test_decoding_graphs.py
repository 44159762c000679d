"""The switch for CUDA graphs in the column of knobs."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QPushButton
from pytestqt.qtbot import QtBot

from llmlab.ui.panels.decoding.controls import Controls
from llmlab.ui.panels.decoding.params import Params
from llmlab.ui.panels.decoding.picture import Screen
from llmlab.ui.screen import Kind, Stage


def buttons(controls: Controls) -> dict[str, QPushButton]:
    return {button.text(): button for button in controls.graphs.choice.findChildren(QPushButton)}


def test_the_switch_is_there_only_where_it_does_something(controls: Controls) -> None:
    assert not controls.graphs.isVisible()
    controls.show_screen(Screen(Stage(Kind.READY), graphs="Steps run as CUDA graphs."))
    assert controls.graphs.isVisible()
    assert controls.graphs.note.text() == "Steps run as CUDA graphs."
    controls.show_screen(Screen(Stage(Kind.READY)))
    assert not controls.graphs.isVisible()


def test_it_is_switched_with_the_mouse_and_follows_the_settings(qtbot: QtBot, controls: Controls) -> None:
    controls.show_screen(Screen(Stage(Kind.READY), graphs="."))
    changes: list[dict[str, object]] = []
    controls.changed.connect(changes.append)
    qtbot.mouseClick(buttons(controls)["Off"], Qt.MouseButton.LeftButton)
    qtbot.mouseClick(buttons(controls)["Automatic"], Qt.MouseButton.LeftButton)
    assert changes == [{"cuda_graphs": False}, {"cuda_graphs": True}]
    controls.show_params(Params(cuda_graphs=False))
    assert buttons(controls)["Off"].isChecked()
    assert len(changes) == 2, "showing is no change"


def test_a_long_reason_is_not_cut(qtbot: QtBot, controls: Controls) -> None:
    reason = "Steps are plain. The text is so long that reading its keys and values is what takes the time."
    controls.show_screen(Screen(Stage(Kind.READY), graphs=reason))
    note = controls.graphs.note
    qtbot.waitUntil(lambda: note.height() >= note.heightForWidth(note.width()))
    assert all(button.toolTip() and button.accessibleName() for button in buttons(controls).values())
