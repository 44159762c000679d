"""The quantization laboratory and the scaling laws in the real window, with the bundled models."""

from __future__ import annotations

import csv
import io
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QAbstractButton, QAbstractSpinBox, QApplication, QComboBox, QWidget
from pytestqt.qtbot import QtBot

from llmlab.app import PANELS, Lab
from llmlab.engine.types import ModelRequest
from llmlab.settings import Settings
from llmlab.ui.panels.memory.quantization.page import QuantizationPage
from llmlab.ui.panels.memory.quantization.presenter import Quantization
from llmlab.ui.panels.memory.scaling.page import ScalingPage
from tests.ui.journey import WAIT, OpenLab, open_lab, wait_ready

__all__ = ["open_lab"]

MEMORY = [spec.name for spec in PANELS].index("memory")


def bring(lab: Lab, tab: str) -> Any:
    """The panel, with this tab in front."""
    lab.window.show_panel_named("memory")
    panel: Any = lab.panels[MEMORY]
    panel.choose(tab)
    QApplication.processEvents()
    return panel


def laboratory(qtbot: QtBot, lab: Lab) -> tuple[QuantizationPage, Quantization]:
    """The page and its part, once the weights are known."""
    panel = bring(lab, "quantization")
    page, tab = panel.pages["quantization"], panel.presenter.tabs["quantization"]
    qtbot.waitUntil(lambda: not tab.busy and bool(page.table.rows_model.rows), timeout=WAIT)
    return page, tab


def comparing(*schemes: str) -> Settings:
    """Settings of a start before, in which only these were compared, and absmax: every other one takes its time."""
    return Settings(panels={"memory": {"tabs": {"quantization": {"chosen": list(schemes)}}}})


def cell(page: QuantizationPage, scheme: str, column: int) -> str:
    return next(row.cells[column] for row in page.table.rows_model.rows if row.cells[0] == scheme)


def measure(qtbot: QtBot, page: QuantizationPage, tab: Quantization) -> None:
    qtbot.mouseClick(page.controls.measure, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: tab.is_measured and not tab.busy, timeout=WAIT)
    QApplication.processEvents()


def named(page: QWidget) -> None:
    """Everything that takes the keyboard says what it is, and why it is there."""
    for widget in page.findChildren(QWidget):
        if isinstance(widget, QAbstractButton | QComboBox | QAbstractSpinBox) and widget.isVisibleTo(page):
            said = widget.accessibleName() or (widget.text() if isinstance(widget, QAbstractButton) else "")
            inside = isinstance(widget.parent(), QAbstractSpinBox | QComboBox)
            assert said or inside or widget.toolTip(), widget


def test_from_the_weights_to_the_texts(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab = open_lab()
    wait_ready(qtbot, lab)
    page, tab = laboratory(qtbot, lab)
    assert page.table.rows_model.rowCount() == 9
    assert cell(page, "float32", 3) == "∞"
    assert float(cell(page, "LLM.int8", 3)) > float(cell(page, "NF4", 3)) > 15
    assert page.caption.text().startswith("model.layers.0.")
    assert page.weights.plot.levels

    before = lab.workbench.model.info
    for name, box in page.controls.schemes.items():  # fewer copies: the whole row is measured in the slow tests
        box.setChecked(name in ("float32", "NF4"))
    page.controls.tokens.changed.emit(12)
    measure(qtbot, page, tab)
    assert cell(page, "float32", 5) == "0"
    assert cell(page, "float32", 6) == "100.0%"
    assert 0 < float(cell(page, "NF4", 5)) < 1
    assert cell(page, "absmax int4 per group of 64", 8) == "–"
    assert lab.workbench.model.info == before
    for index in range(4):
        page.view.chosen.emit(index)
        lab.window.grab()
    assert page.text.isVisible() is False
    page.view.chosen.emit(2)
    strip = page.text.strip
    assert len(strip) == len(tab.copies.asked[tab.weights.selected].measured.text.ids) + 1  # type: ignore[union-attr]
    assert strip._card_of(3) is not None
    page.view.chosen.emit(3)
    assert all(len(side.text) > 0 for side in page.completions.sides)
    assert lab.window.banner.text == ""
    named(page)
    named(page.controls)


def test_the_slider_and_the_picture_of_matrices(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab = open_lab(settings=comparing("float32"))
    wait_ready(qtbot, lab)
    page, tab = laboratory(qtbot, lab)
    page.table.selectRow(page.table.rows_model.rowCount() - 1)
    found = {}
    for bits in (2, 4, 8):
        page.controls.bits.changed.emit(bits)
        qtbot.waitUntil(lambda: not tab.busy, timeout=WAIT)
        found[bits] = float(cell(page, f"absmax int{bits} per group of 64", 3))
        assert len(page.weights.plot.levels) == (0 if bits == 8 else 2**bits - 1)  # 255 lines would hide the weights
    assert found[2] < found[4] < found[8]
    page.matrices.picked.emit(len(page.matrices.plot.series) - 1, 5)
    qtbot.waitUntil(lambda: not tab.busy, timeout=WAIT)
    assert "self_attn" in page.caption.text() or "mlp" in page.caption.text()
    assert "absmax int8" in page.caption.text()


def test_stopping_and_closing_while_copies_are_measured(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab = open_lab(settings=comparing("float32", "bfloat16", "NF4"))
    wait_ready(qtbot, lab)
    page, tab = laboratory(qtbot, lab)
    qtbot.mouseClick(page.controls.measure, Qt.MouseButton.LeftButton)
    assert page.controls.measure.text() == "Stop"
    qtbot.waitUntil(lambda: bool(page.note.text()), timeout=WAIT)
    qtbot.mouseClick(page.controls.measure, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not tab.busy, timeout=WAIT)
    assert page.controls.measure.text() == "Measure"
    qtbot.mouseClick(page.controls.measure, Qt.MouseButton.LeftButton)
    lab.window.close()  # the fixture of this folder sees to it that no thread remains


@pytest.mark.slow
@pytest.mark.parametrize("spec", ["bundled:encoder", "bundled:seq2seq"])
def test_the_other_architectures(qtbot: QtBot, open_lab: OpenLab, spec: str) -> None:
    lab = open_lab("--model", spec)
    wait_ready(qtbot, lab, spec)
    page, tab = laboratory(qtbot, lab)
    measure(qtbot, page, tab)
    assert cell(page, "float32", 5) == "0"
    assert float(cell(page, "NF4", 5)) < 1
    for index in range(4):
        page.view.chosen.emit(index)
        lab.window.grab()
    writes = spec == "bundled:seq2seq"
    assert bool(len(page.completions.sides[0].text)) is writes
    assert lab.window.banner.text == ""


def test_a_quantized_model_says_why_there_is_nothing(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab = open_lab()
    wait_ready(qtbot, lab)
    lab.open_model(ModelRequest("bundled:decoder", quantization="nf4"))
    qtbot.waitUntil(lambda: lab.workbench.model.ready and lab.workbench.model.info.quantization == "nf4", timeout=WAIT)  # type: ignore[union-attr]
    panel = bring(lab, "quantization")
    page, tab = panel.pages["quantization"], panel.presenter.tabs["quantization"]
    qtbot.waitUntil(lambda: not tab.busy, timeout=WAIT)
    assert "open as nf4" in page.state.text
    assert page.state.isVisible()


def test_a_plan_for_a_budget(qtbot: QtBot, open_lab: OpenLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = open_lab()
    panel = bring(lab, "scaling")  # whether a model is there or not
    page: ScalingPage = panel.pages["scaling"]
    column = page.controls
    assert "parameters" in page.headline.text()
    column.gpus.setValue(64)
    column.days.setValue(10)
    column.accelerator.setCurrentIndex(column.accelerator.findText("A100"))
    assert column.peak.value() == 312
    rows = {row.cells[0]: row.cells for row in page.table.rows_model.rows}
    assert rows["GPU hours"][1] == "15,360 h"
    assert rows["Cost"][1] == "38,400"
    for index in range(3):
        page.view.chosen.emit(index)
        lab.window.grab()
    column.own.chosen.emit(1)
    assert "Beside the optimum" in {row.cells[0] for row in page.table.rows_model.rows}
    for index in range(column.law.count()):
        column.law.setCurrentIndex(index)
        lab.window.grab()
    page._export("copy")
    values = list(csv.DictReader(io.StringIO(QGuiApplication.clipboard().text()), delimiter="\t"))
    assert math.isclose(float(values[0]["value"]), 64 * 312e12 * column.utilization.value * 864_000)
    target = tmp_path / "scaling.svg"
    monkeypatch.setattr(panel, "ask_path", lambda _name, _kinds, then: then(target))
    page.chart.export_asked.emit("svg")
    qtbot.waitUntil(target.exists, timeout=WAIT)
    named(page)
    named(column)


def test_settings_come_back_with_the_next_start(qtbot: QtBot, open_lab: OpenLab) -> None:
    first = open_lab()
    panel = bring(first, "scaling")
    panel.pages["scaling"].controls.gpus.setValue(77)
    panel.presenter.tabs["quantization"].change(bits=3, granularity="channel")
    first.window.close()
    second = open_lab()
    again: Any = second.panels[MEMORY]
    assert again.presenter.params.tab == "scaling"
    assert again.pages["scaling"].controls.gpus.value() == 77
    assert again.presenter.tabs["quantization"].params.bits == 3


def test_values_on_hover(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab = open_lab()
    panel = bring(lab, "scaling")
    chart = panel.pages["scaling"].chart
    names = [series.name for series in chart.plot.series]
    models = names.index("trained models")
    place = chart.plot.series[models].labels.index("Chinchilla")
    card = chart.card(models, place)
    assert card.title == "Chinchilla"
    assert ("parameters", "70 B") in card.facts
    assert ("trained models", "1.4 T") in card.facts
    chart.setFocus()
    qtbot.keyClick(chart, Qt.Key.Key_Right)
    qtbot.mouseMove(chart, QPoint(chart.width() // 2, chart.height() // 2))


@pytest.mark.slow
def test_the_script_prints_the_same_table(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab = open_lab()
    wait_ready(qtbot, lab)
    page, tab = laboratory(qtbot, lab)
    tab.change(chosen=("float32", "NF4 double"))
    measure(qtbot, page, tab)
    tab.copy_script()
    script = QGuiApplication.clipboard().text()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=240)
    printed = [line.split() for line in done.stdout.splitlines()]
    assert len(printed) == len(tab.params.schemes)
    for scheme, words in zip(tab.params.schemes, printed, strict=True):
        asked = tab.copies.asked[scheme].measured
        assert asked is not None
        divergence = float(words[words.index("KL") + 1])
        assert divergence == pytest.approx(asked.text.mean_divergence, rel=1e-3, abs=1e-12)
        assert float(words[-1]) == pytest.approx(asked.text.perplexity_after, rel=1e-4)
