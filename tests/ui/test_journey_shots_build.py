"""Ways through the tab Build, with a real model in the real window."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from pytestqt.qtbot import QtBot

from llmlab.app import Lab
from llmlab.engine.shots.types import Form
from llmlab.ui.panels.shots.build import samples
from llmlab.ui.panels.shots.build.presenter import BuildTab
from llmlab.ui.panels.shots.view import ShotsPanel
from tests.ui.journey import WAIT, OpenLab, open_lab, wait_ready  # noqa: F401 - a fixture

CSV = "text,label\n" + "".join(f"Sentence number {n}.,{('good', 'bad')[n % 2]}\n" for n in range(30)) + "broken\n"


def panel_of(lab: Lab) -> ShotsPanel:
    lab.window.show_panel_named("shots")
    panel = next(panel for panel in lab.panels if isinstance(panel, ShotsPanel))
    panel.choose("build")
    return panel


def tab_of(panel: ShotsPanel) -> BuildTab:
    tab = panel.presenter.tabs["build"]
    assert isinstance(tab, BuildTab)
    return tab


def settled(qtbot: QtBot, panel: ShotsPanel) -> None:
    tab = tab_of(panel)
    qtbot.waitUntil(lambda: not tab.busy and tab.prompting.shown.budget is not None, timeout=WAIT)


def test_from_a_sample_to_a_prompt_of_ones_own(qtbot: QtBot, open_lab: OpenLab, tmp_path: Path) -> None:  # noqa: F811
    lab = open_lab()
    wait_ready(qtbot, lab)
    panel = panel_of(lab)
    tab, page = tab_of(panel), panel.pages["build"]
    settled(qtbot, panel)
    assert "Input: The garden was lovely." in page.prompt.toPlainText()
    before = tab.prompting.shown.budget.tokens  # type: ignore[union-attr]

    page.controls.shots.slider.setValue(8)
    settled(qtbot, panel)
    assert tab.prompting.shown.budget.tokens > before  # type: ignore[union-attr]
    assert len(page.bar.rects()) == len(tab.prompting.shown.segments)

    page.template.editor.setFocus()
    page.template.editor.selectAll()
    qtbot.keyClicks(page.template.editor, "Review: {text} =")
    qtbot.waitUntil(lambda: "Review: The garden was lovely. =" in page.prompt.toPlainText(), timeout=WAIT)
    page.controls.undo.click()
    qtbot.waitUntil(lambda: "Review:" not in page.prompt.toPlainText(), timeout=WAIT)

    path = tmp_path / "mine.csv"
    path.write_text(CSV)
    lab.window.drop([path])
    qtbot.waitUntil(page.preview.isVisible, timeout=WAIT)
    assert page.preview.rows.rowCount() == 31
    assert any(note.line == 32 for note in page.preview.notes.value)
    page.preview.accept.click()
    settled(qtbot, panel)
    qtbot.waitUntil(lambda: "Sentence number 0." in page.prompt.toPlainText(), timeout=WAIT)
    assert page.table.examples.rowCount() == 8

    page.controls.button.click()
    assert lab.workbench.prompt == tab.prompting.shown.rendered.text  # type: ignore[union-attr]
    page.copy_button.click()
    assert QGuiApplication.clipboard().text() == lab.workbench.prompt


def test_a_file_on_the_command_line_is_looked_at(qtbot: QtBot, open_lab: OpenLab, tmp_path: Path) -> None:  # noqa: F811
    path = tmp_path / "mine.jsonl"
    path.write_text('{"text": "a", "label": "x"}\nbroken\n{"text": "b", "label": "y"}\n')
    lab = open_lab(str(path))
    panel = next(panel for panel in lab.panels if isinstance(panel, ShotsPanel))
    page = panel.pages["build"]
    qtbot.waitUntil(page.preview.isVisible, timeout=WAIT)
    assert lab.window.panel_name == "shots"
    assert page.preview.rows.rowCount() == 2
    qtbot.keyClick(page.preview.row_table, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: not page.preview.isVisible(), timeout=WAIT)


def test_the_project_is_found_again_at_the_next_start(qtbot: QtBot, open_lab: OpenLab) -> None:  # noqa: F811
    lab = open_lab()
    wait_ready(qtbot, lab)
    panel = panel_of(lab)
    settled(qtbot, panel)
    tab_of(panel).rename("Mine")
    tab_of(panel).set_shots(3)
    lab.window.close()
    again = panel_of(open_lab())
    assert (tab_of(again).project.name, tab_of(again).project.shots) == ("Mine", 3)


@pytest.mark.parametrize("form", [pytest.param(Form.TEXT, marks=pytest.mark.slow), Form.CHAT])
def test_the_forms_of_the_decoder(qtbot: QtBot, open_lab: OpenLab, form: Form) -> None:  # noqa: F811
    lab = open_lab()
    wait_ready(qtbot, lab)
    panel = panel_of(lab)
    settled(qtbot, panel)
    controls = panel.pages["build"].controls
    controls.form.setCurrentIndex(controls.form.findData(form))
    settled(qtbot, panel)
    shown = tab_of(panel).prompting.shown
    assert shown.rendered is not None
    assert ("<|user|>" in shown.rendered.text) == (form is Form.CHAT)


def test_an_encoder_gets_a_gap(qtbot: QtBot, open_lab: OpenLab) -> None:  # noqa: F811
    lab = open_lab("--model", "bundled:encoder")
    wait_ready(qtbot, lab, "bundled:encoder")
    panel = panel_of(lab)
    tab_of(panel).open_sample(samples.sample("girl-or-boy"))
    settled(qtbot, panel)
    shown = tab_of(panel).prompting.shown
    assert shown.rendered is not None
    assert shown.rendered.mask is not None
    info = lab.workbench.model.info
    assert info is not None
    assert shown.rendered.text[slice(*shown.rendered.mask)] == info.mask_token
