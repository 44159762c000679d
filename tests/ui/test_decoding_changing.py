"""The line that says where other settings would have changed the text, and its button."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from tests.presenters.decoding_fakes import FakeEngine, model_info
from tests.presenters.test_decoding_changing import drawing
from tests.ui.test_decoding import open_panel


def test_a_slider_marks_the_first_token_that_changes_and_a_click_goes_on_from_there(
    qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeEngine, "generate", drawing)
    settings = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "max_new_tokens": 8}
    bench = open_panel(qtbot, model_info(), "Once", settings)
    pane = bench.panel.completion
    bench.panel.controls.button.click()
    bench.settle()
    assert pane._take.isHidden()
    assert "8 tokens" in pane.status.text()
    first = bench.panel.presenter.run
    bench.panel.controls.changed.emit({"temperature": 0.1})
    bench.settle()
    assert pane._take.isVisible()
    marked = pane.tokens._mark
    assert pane.status.text().startswith(f"With these settings token {marked + 1} would be “␣word")
    before = pane.tokens.viewport().grab().toImage()
    pane.tokens.set_mark(-1)
    assert pane.tokens.viewport().grab().toImage() != before, "it is painted"
    qtbot.mouseClick(pane._take, Qt.MouseButton.LeftButton)
    bench.settle()
    QApplication.processEvents()
    run = bench.panel.presenter.run
    assert run is not None
    assert first is not None
    assert run.parted == marked
    assert run.ids[:marked] == first.ids[:marked]
    assert run.ids[marked] != first.ids[marked]
    assert pane._take.isHidden()
