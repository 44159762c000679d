"""From a sample to an answer and a measurement, in the real window."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QPointF, Qt
from pytestqt.qtbot import QtBot

from llmlab.ui.panels.shots.answer.scenes import load
from llmlab.ui.panels.shots.measure.found import Confusion
from llmlab.ui.panels.shots.measure.params import Comparison
from tests.ui.journey import WAIT, OpenLab, open_lab, wait_ready

__all__ = ["open_lab"]


def shots_panel(lab: Any) -> Any:
    lab.window.show_panel_named("shots")
    return next(panel for panel in lab.panels if type(panel).__name__ == "ShotsPanel")


def test_a_sample_is_answered_and_measured(qtbot: QtBot, open_lab: OpenLab, tmp_path: Path) -> None:
    lab = open_lab()
    wait_ready(qtbot, lab)
    panel = shots_panel(lab)
    load(panel, "invented-labels")
    panel.choose("answer")
    answer, page = panel.presenter.tabs["answer"], panel.pages["answer"]
    qtbot.waitUntil(lambda: not answer.busy and bool(answer.picture.lines), timeout=WAIT)
    assert page.table.model().rowCount() == 2
    page.controls.shots.setValue(8)
    qtbot.waitUntil(lambda: not answer.busy and len(answer.picture.every) == 9, timeout=WAIT)
    assert "right" in page.headline.text()
    assert len(page.line.plot.series) == 2
    qtbot.mouseClick(page.controls.complete, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not answer.busy and bool(answer.completion), timeout=WAIT)
    assert page.completion.toPlainText().endswith(answer.completion)
    qtbot.mouseClick(page.controls.after, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not answer.busy and answer.answered is not None, timeout=WAIT)
    assert page.controls.which.text() == "Item 1 of 52"
    qtbot.keyClick(page, Qt.Key.Key_Right, Qt.KeyboardModifier.AltModifier)
    qtbot.waitUntil(lambda: not answer.busy and answer.answered is not None, timeout=WAIT)
    assert page.controls.which.text() == "Item 2 of 52"
    qtbot.mouseClick(page.controls.send, Qt.MouseButton.LeftButton)
    assert lab.workbench.prompt == answer.answered.prompt.rendered.text

    panel.choose("measure")
    tab, page = panel.presenter.tabs["measure"], panel.pages["measure"]
    controls = page.controls
    controls.items.setValue(8)
    controls.counts.setText("0, 4")
    controls.counts.editingFinished.emit()
    controls.seeds.setValue(1)
    assert (tab.params.items, tab.params.counts, tab.params.seeds) == (8, (0, 4), 1)
    qtbot.mouseClick(controls.run, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: tab.is_measured and not tab.busy, timeout=WAIT)
    assert [len(series.y) for series in page.chart.plot.series] == [2]
    assert page.items.model.rowCount() == 8
    page.chart.picked.emit(0, 0)
    assert tab.found.chosen == "k=0 seed=0"
    page.items.wrong.setChecked(True)
    assert page.items.model.rowCount() < 8 or tab.found.items[0].value < 1
    page.ask_path = lambda name, kinds, then: then(tmp_path / name)
    tab.export("html")
    qtbot.waitUntil((tmp_path / "shots-sweep.html").exists, timeout=WAIT)
    assert "<svg" in (tmp_path / "shots-sweep.html").read_text("utf-8")

    controls.test.activated.emit(tuple(Comparison).index(Comparison.SWAP))
    assert not controls.counts.isVisible()
    qtbot.keyClick(page, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: tab.is_measured and not tab.busy, timeout=WAIT)
    assert len(page.chart.plot.series) == 2
    assert page.confusion.isVisible()


@pytest.fixture
def confusion(qtbot: QtBot) -> Any:
    from llmlab.ui.panels.shots.measure.confusion_view import ConfusionView

    view = ConfusionView()
    qtbot.addWidget(view)
    view.resize(260, 220)
    view.show_confusion(Confusion(("good", "bad"), ((7, 1), (2, 6))))
    view.show()
    return view


def test_the_confusion_matrix_tells_every_cell(qtbot: QtBot, confusion: Any) -> None:
    card = confusion.card(0, 1)
    assert card.title == "wrong"
    assert ("items", "1") in card.facts
    assert ("of this truth", "12.5%") in card.facts
    assert confusion.text == "truth \\ answer\tgood\tbad\ngood\t7\t1\nbad\t2\t6\n"
    assert "good: 7, 1" in confusion.accessibleDescription()
    for key, cell in ((Qt.Key.Key_Right, (0, 0)), (Qt.Key.Key_Down, (1, 0)), (Qt.Key.Key_Right, (1, 1))):
        qtbot.keyClick(confusion, key)
        assert confusion._cell == cell
    place = confusion.cell_rect(0, 0).center()
    assert confusion.rect().contains(QPointF(place).toPoint())
    assert not confusion.grab().isNull()
    confusion.show_confusion(None)
    assert confusion.text == ""
    confusion.hide()
