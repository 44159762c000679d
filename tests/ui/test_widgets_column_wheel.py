"""Scrolling the column of settings turns nothing."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from llmlab.ui.widgets.column import combo_box


def test_a_choice_under_the_mouse_turns_only_with_the_focus(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> None:
    box = combo_box("Precision")
    box.addItems(["float32", "bfloat16"])
    qtbot.addWidget(box)
    box.show()

    def scroll() -> None:
        place, none = QPointF(5, 5), Qt.KeyboardModifier.NoModifier
        phase = Qt.ScrollPhase.NoScrollPhase
        event = QWheelEvent(place, place, QPoint(), QPoint(0, -120), Qt.MouseButton.NoButton, none, phase, False)
        QApplication.sendEvent(box, event)

    monkeypatch.setattr(type(box), "hasFocus", lambda _: False)
    scroll()
    assert box.currentText() == "float32"
    monkeypatch.setattr(type(box), "hasFocus", lambda _: True)  # a window of the tests is not always the active one
    scroll()
    assert box.currentText() == "bfloat16"
