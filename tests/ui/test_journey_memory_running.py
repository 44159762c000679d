"""The tabs Measured and Sharding in the real window, with the bundled models and real processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication, QImage
from PySide6.QtWidgets import QApplication, QPushButton
from pytestqt.qtbot import QtBot

from llmlab import app
from llmlab.app import Lab
from llmlab.children import SHARDING_RANK
from llmlab.engine.types import ModelRequest
from llmlab.ui.panels.memory.view import MemoryPanel
from llmlab.ui.widgets import saving
from tests.ui.journey import WAIT, OpenLab, open_lab, wait_ready

__all__ = ["open_lab"]


def front(qtbot: QtBot, lab: Lab, tab: str) -> MemoryPanel:
    lab.window.show_panel_named("memory")
    panel: Any = lab.panels[[spec.name for spec in app.PANELS].index("memory")]
    assert isinstance(panel, MemoryPanel)
    panel.choose(tab)
    QApplication.processEvents()
    return panel


def cell(table: Any, row: int, column: int) -> str:
    return table.rows_model.rows[row].cells[column]


def click(qtbot: QtBot, button: Any) -> None:
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def ranks() -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if SHARDING_RANK.module in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


# Measured


def test_a_model_is_measured_and_every_phase_can_be_looked_at(
    qtbot: QtBot, open_lab: OpenLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = open_lab("--panel", "memory")
    wait_ready(qtbot, lab)
    panel = front(qtbot, lab, "measured")
    page, tab = panel.pages["measured"], panel.presenter.tabs["measured"]
    page.controls.knobs["tokens"].changed.emit(64)
    page.controls.train.click()
    click(qtbot, page.controls.run)
    qtbot.waitUntil(lambda: tab.found is not None and not tab.busy, timeout=WAIT)
    assert tab.found.settings.tokens == 64
    assert [cell(page.table, row, 0) for row in range(5)] == ["Weights", "KV cache", "Activations", "Logits", "Peak"]
    assert cell(page.table, 0, 1) == cell(page.table, 0, 2) == "17,577,088"
    assert cell(page.table, 0, 3) == "0"
    assert "1 · 64 · 4 · (4 · 256 + 3 · 512)" in page.table.rows_model.rows[2].tooltip
    for button in page.phases.findChildren(QPushButton):
        click(qtbot, button)
        assert cell(page.table, -1, 0) == "Peak"
        assert page.chart.plot.series
    assert "Gradients" in [row.cells[0] for row in page.table.rows_model.rows]
    assert page.alive.rows_model.rows
    lab.window.grab()

    click(qtbot, page.export)
    assert QGuiApplication.clipboard().text().startswith("phase\tcomponent\t")
    saved = tmp_path / "history.png"
    monkeypatch.setattr(saving, "ask_path", lambda _parent, _name, _kinds, then: then(saved))
    page.chart.export_asked.emit("png")
    qtbot.waitUntil(saved.exists, timeout=WAIT)
    qtbot.waitUntil(lambda: not QImage(str(saved)).isNull(), timeout=WAIT)

    page.controls.knobs["batch"].changed.emit(3)
    assert page.controls.stale.isVisible()
    qtbot.waitUntil(lambda: lab.window.banner.text.startswith("Saved as history.png"), timeout=WAIT)


def test_another_model_is_measured_anew_and_an_encoder_writes_nothing(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab = open_lab("--panel", "memory", "--model", "bundled:encoder")
    wait_ready(qtbot, lab, "bundled:encoder")
    panel = front(qtbot, lab, "measured")
    page, tab = panel.pages["measured"], panel.presenter.tabs["measured"]
    click(qtbot, page.state.buttons[0])
    qtbot.waitUntil(lambda: tab.found is not None, timeout=WAIT)
    offered = [button.isEnabled() for button in page.phases.findChildren(QPushButton)]
    assert offered == [True, False, False]
    lab.workbench.open_model(ModelRequest("bundled:seq2seq"))
    wait_ready(qtbot, lab, "bundled:seq2seq")
    assert tab.found is None
    click(qtbot, page.controls.run)
    qtbot.waitUntil(lambda: tab.found is not None, timeout=WAIT)
    assert "Cross-attention cache" in [row.cells[0] for row in page.table.rows_model.rows]


# Sharding


@pytest.mark.slow
def test_methods_are_run_by_real_processes(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab = open_lab("--panel", "memory")
    panel = front(qtbot, lab, "sharding")
    page, tab = panel.pages["sharding"], panel.presenter.tabs["sharding"]
    page.controls.knobs["steps"].changed.emit(2)
    for box in list(page.controls.methods.values())[1:3]:
        box.click()
    click(qtbot, page.controls.run)
    qtbot.waitUntil(lambda: len(ranks()) == 2, timeout=WAIT)
    qtbot.waitUntil(lambda: tab.found is not None and not tab.busy, timeout=2 * WAIT)
    assert not ranks()
    assert [row.cells[0] for row in page.table.rows_model.rows if row.cells[0]] == ["DDP", "FULL_SHARD"]
    assert cell(page.table, 0, 2) == cell(page.table, 0, 3) == cell(page.table, 0, 4) == "17,576,960"
    assert page.table.isColumnHidden(5)
    assert not page.table.isColumnHidden(4)
    assert len(page.bars.stacks) == 4
    assert len(page.losses.plot.series) == 3
    assert "FULL_SHARD 1.5× (1.5×)" in page.notes.text()
    click(qtbot, page.export)
    assert "FSDP FULL_SHARD\tSent in a step" in QGuiApplication.clipboard().text()
    lab.window.grab()


@pytest.mark.slow
def test_stop_and_closing_the_window_end_the_processes(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab = open_lab("--panel", "memory")
    panel = front(qtbot, lab, "sharding")
    page, tab = panel.pages["sharding"], panel.presenter.tabs["sharding"]
    page.controls.knobs["steps"].changed.emit(50)
    click(qtbot, page.controls.run)
    qtbot.waitUntil(lambda: len(ranks()) == 2, timeout=WAIT)
    click(qtbot, page.controls.run)
    assert not tab.busy
    qtbot.waitUntil(lambda: not ranks(), timeout=WAIT)

    click(qtbot, page.controls.run)
    qtbot.waitUntil(lambda: len(ranks()) == 2, timeout=WAIT)
    lab.window.close()
    qtbot.waitUntil(lambda: not ranks(), timeout=WAIT)


@pytest.mark.slow
def test_a_killed_rank_is_said_on_screen(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab = open_lab("--panel", "memory")
    panel = front(qtbot, lab, "sharding")
    page, tab = panel.pages["sharding"], panel.presenter.tabs["sharding"]
    click(qtbot, page.controls.run)
    qtbot.waitUntil(lambda: len(ranks()) == 2, timeout=WAIT)
    ranks()[-1].kill()
    qtbot.waitUntil(lambda: not tab.busy, timeout=WAIT)
    assert "killed" in page.state._title.text()
    assert page.state.buttons[0].text() == "Run again"
    assert not ranks()
