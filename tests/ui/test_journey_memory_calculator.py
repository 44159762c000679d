"""The tabs Calculator and Formats in the real window."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication, QImage
from PySide6.QtWidgets import QApplication, QDialogButtonBox
from pytestqt.qtbot import QtBot

from llmlab import app
from llmlab.app import Lab
from llmlab.engine.memory.architectures import architecture
from llmlab.engine.memory.machine import OWN
from llmlab.ui.panels.memory.calculator.gpu_dialog import GpuDialog
from llmlab.ui.panels.memory.calculator.params import LISTED, PAGES
from llmlab.ui.panels.memory.view import MemoryPanel
from llmlab.ui.widgets import saving
from tests.ui.journey import WAIT, OpenLab, open_lab, wait_ready

__all__ = ["open_lab"]


def front(qtbot: QtBot, lab: Lab, tab: str) -> MemoryPanel:
    lab.window.show_panel_named("memory")
    panel: Any = lab.panels[[spec.name for spec in app.PANELS].index("memory")]
    panel.choose(tab)
    QApplication.processEvents()
    return panel


@pytest.fixture
def calculator(qtbot: QtBot, open_lab: OpenLab) -> tuple[Lab, MemoryPanel]:
    """The calculator with the loaded model, once it is known."""
    lab = open_lab("--panel", "memory")
    wait_ready(qtbot, lab)
    panel = front(qtbot, lab, "calculator")
    qtbot.waitUntil(lambda: not panel.presenter.tabs["calculator"].busy, timeout=WAIT)
    return lab, panel


def settle(qtbot: QtBot, tab: Any) -> None:
    qtbot.waitUntil(lambda: not tab.busy, timeout=WAIT)


def test_from_a_dropped_configuration_to_a_plan_for_it(
    qtbot: QtBot, calculator: tuple[Lab, MemoryPanel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, panel = calculator
    page, tab = panel.pages["calculator"], panel.presenter.tabs["calculator"]
    assert page.controls.sources.currentText() == "Loaded: Llama Lab Storyteller"
    assert tab.shape.parameters == lab.workbench.model.info.parameters
    (tmp_path / "config.json").write_text(json.dumps(architecture("mistralai/Mistral-7B-v0.1").config))
    assert lab.drops.handle([tmp_path / "config.json"]) is None
    settle(qtbot, tab)
    assert tab.shape.parameters == 7_241_732_096
    assert page.facts["parameters"].accessibleName() == "parameters: 7.24 B"
    page.controls.sliders["batch"].changed.emit(4)
    box = page.controls.boxes["precision"]
    box.setCurrentIndex(box.findText("NF4"))
    assert page.parts.table.rows_model.rows[0].cells[0] == "Quantized weights"
    page.parts.table.select([1])
    page.parts.table.picked.emit((1,))
    assert "blocks of 64" in page.parts.formula.text()
    page.parts.copy_formula()
    assert QGuiApplication.clipboard().text() == page.parts.formula.text()
    qtbot.mouseClick(
        page.parts.bars, Qt.MouseButton.LeftButton, pos=page.parts.bars.box(0, 0).center().toPoint()
    )  # the longest bar
    assert tab.params.precision == "float32"
    assert box.currentText() == "float32"
    monkeypatch.setattr(saving, "ask_path", lambda _parent, name, _kinds, then: then(tmp_path / name))
    page.parts.bars.export_asked.emit("png")
    qtbot.waitUntil(lambda: (tmp_path / "memory.png").exists() and not QImage(str(tmp_path / "memory.png")).isNull())
    tab.export("json")
    qtbot.waitUntil((tmp_path / "memory.json").exists)


def test_a_broken_configuration_names_the_field(
    qtbot: QtBot, calculator: tuple[Lab, MemoryPanel], tmp_path: Path
) -> None:
    _, panel = calculator
    page, tab = panel.pages["calculator"], panel.presenter.tabs["calculator"]
    broken = dict(architecture("gpt2-xl").config) | {"n_embd": -4}
    (tmp_path / "config.json").write_text(json.dumps(broken))
    page.controls.spec.setText(str(tmp_path))
    qtbot.keyClick(page.controls.spec, Qt.Key.Key_Return)
    settle_error = "n_embd is -4"
    qtbot.waitUntil(lambda: page.state.isVisible() and settle_error in page.state.text, timeout=WAIT)
    (tmp_path / "config.json").write_text(json.dumps(architecture("gpt2-xl").config))
    page.state.buttons[0].click()
    qtbot.waitUntil(lambda: tab.shape is not None, timeout=WAIT)
    assert tab.shape.parameters == 1_557_611_200
    assert page.parts.isVisible()


def test_the_table_of_gpus_is_sorted_changed_and_kept(
    qtbot: QtBot, calculator: tuple[Lab, MemoryPanel], open_lab: OpenLab
) -> None:
    lab, panel = calculator
    page, tab = panel.pages["calculator"], panel.presenter.tabs["calculator"]
    page.pages.chosen.emit(PAGES.index("gpus"))
    pane = page.gpus
    assert pane.isVisible()
    assert tab.gpus[0].kind == OWN
    assert pane.table.rows_model.rows[0].cells[0] == tab.gpus[0].name
    assert not pane.restore.isEnabled()
    pane.add.click()
    dialog = page.findChild(GpuDialog)
    dialog.memory.setValue(20)
    buttons = dialog.findChild(QDialogButtonBox)
    buttons.button(QDialogButtonBox.StandardButton.Ok).click()
    assert "no name" in dialog.problem.text()
    QApplication.processEvents()
    assert dialog.problem.height() >= dialog.problem.heightForWidth(dialog.problem.width())  # none of it is cut
    dialog.name.setText("My own card")
    buttons.button(QDialogButtonBox.StandardButton.Ok).click()
    names = [row.cells[0] for row in pane.table.rows_model.rows]
    assert "My own card" in names
    header = pane.table.horizontalHeader()
    header.sectionClicked.emit(1)
    header.sectionClicked.emit(1)
    assert pane.table.rows_model.rows[1].cells[0] == "Apple M3 Ultra 512 GB"  # after this machine's own
    row = [row.cells[0] for row in pane.table.rows_model.rows].index("My own card")
    pane.table.selectRow(row)
    assert tab.params.marked == ("My own card",)
    assert pane.edit.isEnabled()
    page.pages.chosen.emit(PAGES.index("contour"))
    assert [each.name for each in page.contour.plot.series] == ["set now", "My own card"]
    lab.window.close()
    again = open_lab("--panel", "memory")
    wait_ready(qtbot, again)
    panel = front(qtbot, again, "calculator")
    settle(qtbot, panel.presenter.tabs["calculator"])
    assert "My own card" in [gpu.name for gpu in panel.presenter.tabs["calculator"].gpus]
    assert panel.pages["calculator"].contour.isVisible()


def test_every_page_for_training_and_the_keyboard(qtbot: QtBot, calculator: tuple[Lab, MemoryPanel]) -> None:
    _, panel = calculator
    page, tab = panel.pages["calculator"], panel.presenter.tabs["calculator"]
    page.controls.changed.emit({"source": f"{LISTED}meta-llama/Llama-2-7b-hf"})
    settle(qtbot, tab)
    assert page.controls.inference.isVisible()
    page.controls.purpose.chosen.emit(1)
    assert page.controls.training.isVisible()
    assert not page.controls.inference.isVisible()
    page.controls.sliders["gpus"].changed.emit(8)
    for name, pane in page._panes.items():
        page.pages.chosen.emit(PAGES.index(name))
        assert pane.isVisible()
    page.pages.chosen.emit(PAGES.index("phases"))
    pane = page.phases
    assert "This is the peak" in pane.formulas.toPlainText()
    pane.chart.setFocus()
    for key in (Qt.Key.Key_Right, Qt.Key.Key_Return):  # the first moment
        qtbot.keyClick(pane.chart, key)
    assert pane.formulas.toPlainText().startswith("At rest: ")
    assert pane.table.selected_rows == (0,)
    pane.table.picked.emit((4,))
    assert "Gradients: " in pane.formulas.toPlainText()
    pane.copy_table()
    assert QGuiApplication.clipboard().text().startswith("moment\tpart\tbytes")
    assert not page.controls.sliders["source_tokens"].isVisible()
    page.controls.sliders["micro_batches"].changed.emit(4)
    assert tab.params.micro_batches == 4
    assert not page.controls.checks["fused_backward"].isEnabled()
    page.controls.sliders["micro_batches"].changed.emit(1)
    page.pages.chosen.emit(PAGES.index("sharing"))
    page.sharing.table.activated.emit(page.sharing.table.rows_model.index(3, 0))
    assert tab.params.strategy == "ZeRO-3"
    assert page.controls.boxes["strategy"].currentText() == "ZeRO-3"
    page.pages.chosen.emit(PAGES.index("parts"))
    bars = page.parts.bars
    bars.setFocus()
    for key in (Qt.Key.Key_Right, Qt.Key.Key_Return):
        qtbot.keyClick(bars, key)
    assert tab.params.strategy == "DDP"
    page.controls.sliders["tensor_parallel"].changed.emit(3)
    assert "tensor-parallel groups of 3" in page.state.text
    page.controls.sliders["tensor_parallel"].changed.emit(2)
    assert bars.isVisible()


def test_the_loaded_model_is_measured_against_its_limit(qtbot: QtBot, calculator: tuple[Lab, MemoryPanel]) -> None:
    _, panel = calculator
    page, tab = panel.pages["calculator"], panel.presenter.tabs["calculator"]
    page.pages.chosen.emit(PAGES.index("speed"))
    page.speed.measure.click()
    assert not page.speed.measure.isEnabled()
    settle(qtbot, tab)
    assert tab.measured.tokens_per_second > 0
    assert "could reach" in page.speed.words.text()
    assert page.speed.chart.plot.series[-1].name == "measured"


def test_bits_of_a_number(qtbot: QtBot, open_lab: OpenLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = open_lab("--panel", "memory")
    panel = front(qtbot, lab, "formats")
    page, tab = panel.pages["formats"], panel.presenter.tabs["formats"]
    assert page.bits.isVisible()
    page.controls.number.clear()
    qtbot.keyClicks(page.controls.number, "0.1")
    half = page.bits._rows[2]
    assert (half.name, half.value) == ("FP16", "0.0999755859375")
    sign = page.bits.cell_of(2, 0).center().toPoint()
    qtbot.mouseClick(page.bits, Qt.MouseButton.LeftButton, pos=sign)
    assert page.bits._rows[2].value == "−0.0999755859375"
    assert page.controls.undo.isEnabled()
    page.bits.setFocus()
    for key in (Qt.Key.Key_Down, Qt.Key.Key_Right, Qt.Key.Key_Space):
        qtbot.keyClick(page.bits, key)
    assert tab.params.chosen == "BF16"
    assert page.bits._rows[3].turned
    qtbot.mouseMove(page.bits, page.bits.cell_of(4, 5).center().toPoint())
    assert ("field", "mantissa") in page.bits._card.card.facts
    page.controls.undo.click()
    assert not any(row.turned for row in page.bits._rows)
    row = next(row for row in page.line._line.rows if row.name == "FP8 E4M3")
    place = QPoint(round(page.line.x_of(row.values[0])), round(page.line.row_of(4).center().y()))
    qtbot.mouseMove(page.line, place)
    qtbot.mouseClick(page.line, Qt.MouseButton.LeftButton, pos=place)
    assert float(page.controls.number.text()) == row.values[0]
    assert page.bits._rows[4].error == "exact"
    page.line.setFocus()
    before = page.line._line.high
    qtbot.keyClicks(page.line, "+")
    assert page.line._line.high < before
    page.controls.number.setText("thirty")
    assert page.controls.problem.isVisible()
    monkeypatch.setattr(saving, "ask_path", lambda _parent, name, _kinds, then: then(tmp_path / name))
    for picture, kind, name in ((page.bits, "svg", "bits.svg"), (page.line, "csv", "number-line.csv")):
        picture.export_asked.emit(kind)
        qtbot.waitUntil(lambda name=name: (tmp_path / name).exists())
    page.controls.number.setText("inf")
    assert page.line._line is None
    page.line.grab()
