"""Which part of the bundled decoder pays for quantization, in the real window."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from llmlab.app import Lab
from llmlab.engine.quantization.mixed import rank_correlation
from llmlab.engine.quantization.parts import parts_of
from llmlab.settings import Settings
from llmlab.ui.panels.memory.quantization.page import QuantizationPage
from llmlab.ui.panels.memory.quantization.params import Params, Sight, View
from llmlab.ui.panels.memory.quantization.presenter import Quantization
from llmlab.ui.panels.memory.quantization.sensitivity_map import SensitivityMap
from llmlab.ui.panels.memory.quantization.sensitivity_pane import SensitivityPane
from llmlab.ui.panels.memory.quantization.sensitivity_screen import grid
from tests.ui.journey import WAIT, OpenLab, open_lab, wait_ready
from tests.ui.test_journey_memory_lab import laboratory, named

__all__ = ["open_lab"]

SHORT = "Once upon a time there was a little girl named Lily. She loved to play in the park."


def settings(*schemes: str) -> Settings:
    """Of a start before, in which few schemes and a short text were chosen: every other one takes its time."""
    chosen = {"chosen": list(schemes), "view": "sensitivity", "source": "own", "own": SHORT}
    return Settings(panels={"memory": {"tabs": {"quantization": chosen}}})


def start(
    qtbot: QtBot, open_lab: OpenLab, *schemes: str, spec: str = "bundled:decoder"
) -> tuple[Lab, QuantizationPage, Quantization, SensitivityPane]:
    """The parts of the model in front, nothing measured yet."""
    lab = open_lab("--model", spec, settings=settings(*schemes))
    wait_ready(qtbot, lab, spec)
    page, tab = laboratory(qtbot, lab)
    qtbot.waitUntil(lambda: not tab.busy, timeout=WAIT)
    return lab, page, tab, page.sensitivity


def measure(qtbot: QtBot, page: QuantizationPage, tab: Quantization) -> None:
    qtbot.mouseClick(page.controls.measure, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: tab.sensitivity.is_measured and not tab.busy, timeout=WAIT)
    QApplication.processEvents()


def test_from_the_parts_to_a_mixed_model(qtbot: QtBot, open_lab: OpenLab, tmp_path: Path) -> None:
    lab, page, tab, pane = start(qtbot, open_lab, "NF4")
    assert not page.table.isVisible()
    assert pane.state.isVisible()
    assert page.controls.measure.text() == "Measure parts"
    measure(qtbot, page, tab)
    assert not page.controls.measure.isEnabled()
    shown = pane.map.grid
    assert shown is not None
    assert len(shown.cells) == len([place for place in shown.cells if shown.damage(*place)]) == 42
    assert "All 42 matrices as NF4" in pane.caption.text()
    assert "Spearman" in pane.proxy_title.text()

    # the keyboard, the exact values, what is taken along
    pane.map.setFocus()
    for key in (Qt.Key.Key_Right, Qt.Key.Key_Right, Qt.Key.Key_Down):
        qtbot.keyClick(pane.map, key)
    assert pane.map._under == (1, 1)
    found = shown.damage(1, 1)
    assert found is not None
    assert ("KL divergence", f"{found.divergence:.9g} nats") in pane.map.card(1, 1).facts
    pane.map.copy_numbers()
    rows = list(csv.reader(io.StringIO(QGuiApplication.clipboard().text()), delimiter="\t"))
    assert rows[0] == ["layer", *shown.kinds]
    assert float(rows[2][2]) == found.divergence
    pane.map.writer("svg")(tmp_path / "map.svg")
    assert (tmp_path / "map.svg").stat().st_size > 1000

    # mixed precision
    pane.sight.chosen.emit(1)
    assert pane.table.isVisible()
    assert pane.table.rows_model.rowCount() == 43
    qtbot.mouseClick(pane.mix, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: tab.sensitivity.is_mixed and not tab.busy, timeout=WAIT)
    assert not pane.mix.isEnabled()
    measured = pane.curve.plot.series[1].y
    assert measured[0] > 2 * measured[-2] > 0 == measured[-1]  # the weights of the file have 16 bits
    pane.table.selectRow(5)
    assert pane.table.selected_rows == (5,)
    assert tab.sensitivity.kept == 5
    assert "5 of 42" in pane.mixed_words.text()
    assert pane.mix.isEnabled()
    pane.curve.picked.emit(1, 3)
    assert tab.sensitivity.kept == 4

    # from the map to the matrix
    pane.sight.chosen.emit(0)
    QApplication.processEvents()
    center = pane.map.rect_of(5, 6).center().toPoint()
    qtbot.mouseMove(pane.map, center)
    qtbot.mouseClick(pane.map, Qt.MouseButton.LeftButton, pos=QPoint(center))
    qtbot.waitUntil(lambda: not tab.busy, timeout=WAIT)
    assert tab.params.view is View.WEIGHTS
    assert page.table.isVisible()
    assert page.caption.text().startswith("model.layers.5.mlp.down_proj.weight")
    assert "NF4" in page.caption.text()
    page.view.chosen.emit(4)
    named(page)
    named(page.controls)
    assert lab.window.banner.text == ""


def test_keys_start_and_stop(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab, page, tab, pane = start(qtbot, open_lab, "NF4")
    qtbot.keyClick(lab.window, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    assert page.controls.measure.text() == "Stop"
    qtbot.waitUntil(lambda: tab.sensitivity.is_begun, timeout=WAIT)
    qtbot.keyClick(lab.window, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: not tab.running, timeout=WAIT)
    assert page.controls.measure.text() == "Go on"
    qtbot.keyClick(lab.window, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: tab.sensitivity.is_measured and not tab.busy, timeout=WAIT)
    tab.change(sight=Sight.MIXED)
    qtbot.keyClick(lab.window, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    assert not pane.mix.isEnabled()
    qtbot.waitUntil(lambda: tab.sensitivity.is_mixed and not tab.busy, timeout=WAIT)


def test_stopping_going_on_and_closing(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab, page, tab, pane = start(qtbot, open_lab)
    qtbot.mouseClick(page.controls.measure, Qt.MouseButton.LeftButton)
    assert page.controls.measure.text() == "Stop"
    qtbot.waitUntil(lambda: pane.map.grid is not None, timeout=WAIT)  # partial results
    lab.window.grab()
    qtbot.mouseClick(page.controls.measure, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not tab.busy, timeout=WAIT)
    assert pane.map.grid is not None
    known = dict(pane.map.grid.damages)
    assert 0 < len(known) < 56
    assert page.controls.measure.text() == "Go on"
    lab.window.grab()
    measure(qtbot, page, tab)
    assert known.items() <= pane.map.grid.damages.items()
    pane.scheme.setCurrentIndex(0)
    page.controls.bits.changed.emit(3)
    qtbot.waitUntil(lambda: not tab.busy, timeout=WAIT)
    assert page.controls.measure.text() == "Measure parts"
    qtbot.mouseClick(page.controls.measure, Qt.MouseButton.LeftButton)
    lab.window.close()  # the fixture of this folder sees to it that no thread remains


def test_the_map_has_room_for_long_names(qtbot: QtBot) -> None:
    names = [
        f"{stack}.layers.{layer}.{kind}.weight"
        for stack, kinds in (("encoder", ("attention.query", "fc")), ("decoder", ("attention.query", "cross.query")))
        for layer in range(2)
        for kind in kinds
    ]
    found = parts_of(names)
    picture = SensitivityMap()
    qtbot.addWidget(picture)
    picture.grab()  # nothing to show yet
    picture.show_grid(grid(found, {}))
    for width in (900, 240):
        picture.resize(width, 260)
        picture.grab()
        top = picture.rect_of(0, 0).top()
        assert (top > 40) is (width == 240)  # names stand upright where they are too long to lie
        assert picture.rect_of(3, 2).bottom() <= 260
    # there is no matrix of every kind in every layer, and the arrows pass over where there is none
    places = [tuple(place) for place in picture.grid.cells] if picture.grid else []
    assert (0, 2) not in places
    for key in (Qt.Key.Key_Right, Qt.Key.Key_Right, Qt.Key.Key_Right):
        qtbot.keyClick(picture, key)
    assert picture._under == (0, 1)
    assert picture.mark_at(picture.rect_of(0, 2).center()) is None
    assert picture.card(0, 1).facts == (("", "not measured yet"),)
    picture.show_grid(None)
    assert picture._under is None


@pytest.mark.slow
@pytest.mark.parametrize("spec", ["bundled:encoder", "bundled:seq2seq"])
def test_the_other_architectures(qtbot: QtBot, open_lab: OpenLab, spec: str) -> None:
    lab, page, tab, pane = start(qtbot, open_lab, spec=spec)
    measure(qtbot, page, tab)
    shown = pane.map.grid
    assert shown is not None
    assert all(found.divergence >= 0 for found in shown.damages.values())
    tab.sensitivity.measure_mixed()
    qtbot.waitUntil(lambda: tab.sensitivity.is_mixed and not tab.busy, timeout=WAIT)
    for index in range(2):
        pane.sight.chosen.emit(index)
        lab.window.grab()
    assert lab.window.banner.text == ""


@pytest.mark.slow
def test_what_is_said_of_the_bundled_decoder(qtbot: QtBot, open_lab: OpenLab) -> None:
    """NF4, the sample text: noise is alike everywhere, damage is not; and half of it goes for a tenth more bytes."""
    lab, page, tab, pane = start(qtbot, open_lab, "NF4")
    tab.change(source=Params().source)
    qtbot.waitUntil(lambda: not tab.busy, timeout=WAIT)
    measure(qtbot, page, tab)
    shown = pane.map.grid
    assert shown is not None
    found = [damage for place in shown.cells if (damage := shown.damage(*place)) is not None]
    noise, damages = [each.sqnr for each in found], [each.divergence for each in found]
    assert max(noise) - min(noise) < 0.6
    assert max(damages) > 50 * min(damages)
    rho = rank_correlation(noise, damages)
    assert rho is not None
    assert abs(rho) < 0.2
    layers = pane.layers.plot.series[0].y.tolist()
    assert layers.index(max(layers)) == 0
    tab.sensitivity.measure_mixed()
    qtbot.waitUntil(lambda: tab.sensitivity.is_mixed and not tab.busy, timeout=WAIT)
    assert tab.sensitivity.kept == 12
    assert "48% less damage for 9.7% more bytes" in pane.mixed_words.text()
    assert lab.window.banner.text == ""


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["NF4", "absmax int4 per group of 64"])
def test_the_scripts_do_the_same(qtbot: QtBot, open_lab: OpenLab, scheme: str) -> None:
    _, page, tab, pane = start(qtbot, open_lab, "NF4")
    tab.select(1 + [each.name for each in tab.params.schemes].index(scheme))
    qtbot.waitUntil(lambda: not tab.busy, timeout=WAIT)
    measure(qtbot, page, tab)
    tab.sensitivity.keep(2)
    tab.sensitivity.measure_mixed()
    qtbot.waitUntil(lambda: tab.sensitivity.is_mixed and not tab.busy, timeout=WAIT)
    shown = pane.map.grid
    assert shown is not None

    tab.sensitivity.copy_script("parts")
    printed = {line.split("KL")[0].strip(): line.split() for line in run(QGuiApplication.clipboard().text())}
    for part, damage in shown.damages.items():
        words = printed[part.name]
        assert float(words[words.index("KL") + 1]) == pytest.approx(damage.divergence, rel=2e-3)

    tab.sensitivity.copy_script("mixed")
    lines = run(QGuiApplication.clipboard().text())
    if scheme == "NF4":
        kinds = {words[0]: words[1:] for line in lines if len(words := line.split()) == 3}
        kept = [row.cells[1] for row in pane.table.rows_model.rows[1:3]]
        plain = [name for name, (kind, _) in kinds.items() if kind == "Linear"]
        assert len(plain) == 3
        assert "lm_head" in plain
        for name in kept:
            layer, _, kind = name.partition(".")
            assert any(each.startswith(f"model.layers.{layer}.") and each.endswith(kind) for each in plain)
        assert all(kinds[name][1] == "bfloat16" for name in plain)
        assert sum(kind == "Linear4bit" for kind, _ in kinds.values()) == 40
    else:
        words = lines[-1].split()
        measured = dict(zip((0, 1, 2), pane.curve.plot.series[1].y.tolist(), strict=False))[2]
        assert float(words[words.index("KL") + 1]) == pytest.approx(measured, rel=2e-3)


def run(script: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=240)
    return done.stdout.splitlines()
