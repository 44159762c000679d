"""The tabs below the bars, as a person uses them: branches, and asking for a probability."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QContextMenuEvent, QGuiApplication
from PySide6.QtWidgets import QApplication, QMenu
from pytestqt.qtbot import QtBot

from llmlab.app import Lab
from llmlab.engine import Engine
from llmlab.ui.panels.decoding.params import TABS
from llmlab.ui.panels.decoding.strategies import Strategy
from llmlab.ui.panels.decoding.view import DecodingPanel
from tests.ui.journey import WAIT, OpenLab, open_lab, wait_ready
from tests.ui.test_journey_decoding import generate, panel_of, settle

__all__ = ["open_lab"]


def open_tab(qtbot: QtBot, panel: DecodingPanel, name: str) -> None:
    button = panel.tabs._group.button(TABS.index(name))
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    QApplication.processEvents()


def started(qtbot: QtBot, open_lab: OpenLab) -> tuple[Lab, DecodingPanel]:
    lab = open_lab()
    wait_ready(qtbot, lab)
    settle(qtbot, lab)
    return lab, panel_of(lab)


def test_another_token_is_taken_from_a_tokens_menu(qtbot: QtBot, open_lab: OpenLab, capsys: Any) -> None:
    lab, panel = started(qtbot, open_lab)
    panel.presenter.change(max_new_tokens=12, seed=3, temperature=1.0)
    first = generate(qtbot, lab)
    former = panel.presenter.run
    assert former is not None
    tokens = panel.completion.tokens
    place = tokens.token_rects(4)[0].center().toPoint()
    qtbot.mouseMove(tokens.viewport(), place)
    event = QContextMenuEvent(QContextMenuEvent.Reason.Mouse, place, tokens.viewport().mapToGlobal(place))
    QApplication.sendEvent(tokens.viewport(), event)
    menu = next(each for each in tokens.findChildren(QMenu) if each.isVisible())
    action = next(each for each in menu.actions() if each.text().startswith("Go on with"))
    action.trigger()
    menu.close()
    settle(qtbot, lab)
    branch = panel.presenter.run
    assert branch is not None
    assert branch is not former
    assert branch.ids[:4] == former.ids[:4]
    assert branch.ids[4] != former.ids[4]
    engine = Engine.open("bundled:decoder")
    whole = engine.generate(
        lab.workbench.prompt, given=branch.ids[:5], max_new_tokens=17, seed=3, temperature=1.0, top_k=40, top_p=0.95
    )
    assert [step.token_id for step in whole] == list(branch.ids), "a script gives the same branch"
    panel.presenter.sharing.copy_python()
    capsys.readouterr()
    exec(compile(QGuiApplication.clipboard().text(), "copied", "exec"), {"__name__": "__main__"})
    assert branch.text.strip() in capsys.readouterr().out
    open_tab(qtbot, panel, "branches")
    page = panel.pages["branches"]
    assert page.table.rows_model.rowCount() == 2
    page.table.selectRow(0)
    settle(qtbot, lab)
    assert panel.completion.tokens.text == first
    qtbot.mouseClick(page.undo, Qt.MouseButton.LeftButton)
    assert panel.completion.tokens.text == branch.text
    page.table.selectAll()
    assert "".join(text.text.toPlainText() for text in page.texts) == first + branch.text


def test_a_text_is_edited_in_the_middle_and_goes_on(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab, panel = started(qtbot, open_lab)
    panel.presenter.change(max_new_tokens=10, do_sample=False)
    text = generate(qtbot, lab)
    qtbot.mouseClick(panel.completion._edit, Qt.MouseButton.LeftButton)
    editor = panel.completion.editor
    assert editor.text.toPlainText() == text
    words = text.split(" ")
    changed = " ".join([*words[:3], "purple"])
    editor.text.setPlainText(changed)
    qtbot.mouseClick(editor.go_on, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.presenter.run is not None and panel.presenter.run.parent is not None, timeout=WAIT)
    settle(qtbot, lab)
    assert panel.completion.tokens.text.startswith(changed)
    assert len(panel.completion.tokens.text) > len(changed)


def test_the_probability_of_an_answer_is_the_models_own(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab, panel = started(qtbot, open_lab)
    open_tab(qtbot, panel, "ask")
    page = panel.pages["ask"]
    page.editor.setPlainText("dog\ncat and a mouse")
    qtbot.waitUntil(lambda: page.answers.rows_model.rowCount() == 2, timeout=WAIT)
    settle(qtbot, lab)
    expected = Engine.open("bundled:decoder").score(lab.workbench.prompt, [" dog", " cat and a mouse"])
    shown = [float(row.cells[2]) for row in page.answers.rows_model.rows]
    np.testing.assert_allclose(shown, expected, atol=1e-3)
    page.answers.selectRow(1)
    assert page.tokens.rows_model.rowCount() >= 4
    lab.workbench.prompt = ""
    qtbot.waitUntil(lambda: page.answers.rows_model.rowCount() == 0, timeout=WAIT)
    assert "prompt is empty" in page.note.text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_can_be_painted_empty(qtbot: QtBot, scheme: str) -> None:
    from llmlab.ui import theme
    from llmlab.ui.panels.decoding.view import PAGES

    theme.set_scheme("light" if scheme == "light" else "dark")
    for make in PAGES.values():
        page = make()
        qtbot.addWidget(page)
        page.resize(600, 200)
        assert not page.grab().isNull()
        assert page.childAt(QPoint(1, 1)) is not page
    theme.set_scheme("system")


def test_strategies_are_compared_and_the_beams_are_those_of_transformers(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab, panel = started(qtbot, open_lab)
    panel.presenter.change(max_new_tokens=8, seed=2)
    open_tab(qtbot, panel, "strategies")
    page, part = panel.pages["strategies"], panel.presenter.parts["strategies"]
    page.samples.setValue(1)
    assert not page.draft.isVisible()
    page._ways["assisted"].setChecked(True)
    assert page.draft.isVisible()
    qtbot.mouseClick(page.run, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: len(page.columns) == 6 and not part.busy, timeout=WAIT)
    greedy, sample, beams, sampled_beams, lookup, assisted = part.columns
    assert greedy.text == lookup.text
    assert len(sampled_beams.ids) == len(assisted.ids) == 8
    assert assisted.plan.draft == "bundled:draft", "the model that was bundled to guess for this one"
    assert assisted.accepted_share is not None
    assert 0 < assisted.accepted_share <= 1
    engine = Engine.open("bundled:decoder")
    *_, last = engine.beam_search(lab.workbench.prompt, num_beams=4, max_new_tokens=8)
    assert beams.text == last.hypotheses[0].text
    steps = engine.generate(lab.workbench.prompt, max_new_tokens=8, seed=2, temperature=0.8, top_k=40, top_p=0.95)
    assert sample.text == "".join(step.text for step in steps)
    shown = page.columns[2].text.toPlainText()
    assert shown == beams.text
    qtbot.mouseClick(page.view._group.button(1), Qt.MouseButton.LeftButton)
    tree = page.trees[Strategy.BEAMS]
    qtbot.waitUntil(tree.isVisible, timeout=WAIT)
    best = beams.nodes[beams.best[0]]
    tree.horizontalScrollBar().setValue(0)
    assert tree.node_at(tree.place_of(best).center()) is best
    page.columns[2]._menu.actions()[0].trigger()
    assert QGuiApplication.clipboard().text() == beams.text
    page._ways["assisted"].setChecked(False)
    assert not page.draft.isVisible()
    assert "assisted" not in panel.save()["ways"]
    qtbot.mouseClick(page.run, Qt.MouseButton.LeftButton)
    qtbot.mouseClick(page.run, Qt.MouseButton.LeftButton)  # it says Stop now
    qtbot.waitUntil(lambda: not part.busy, timeout=WAIT)


def test_the_model_is_talked_to_and_what_it_read_becomes_the_prompt(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab, panel = started(qtbot, open_lab)
    panel.presenter.change(max_new_tokens=8, seed=2)
    open_tab(qtbot, panel, "chat")
    page, part = panel.pages["chat"], panel.presenter.parts["chat"]
    qtbot.waitUntil(page.typed.isEnabled, timeout=WAIT)
    qtbot.keyClicks(page.typed, "Hello")
    qtbot.keyClick(page.typed, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: len(page._screen.turns) == 2 and not part.busy, timeout=WAIT)
    engine = Engine.open("bundled:decoder")
    rendered = engine.chat_prompt([{"role": "user", "content": "Hello"}])
    steps = engine.generate(
        rendered.text, add_special_tokens=False, max_new_tokens=8, seed=2, temperature=0.8, top_k=40, top_p=0.95
    )
    answer = "".join(step.text for step in steps)
    assert page.turns.toPlainText() == f"You\nHello\n\nModel\n{answer}"
    qtbot.mouseClick(page.view._group.button(1), Qt.MouseButton.LeftButton)
    assert page.rendered.toPlainText() == rendered.text
    qtbot.mouseClick(page.use, Qt.MouseButton.LeftButton)
    assert engine.tokenize(lab.workbench.prompt).ids.tolist() == list(rendered.ids)
    settle(qtbot, lab)


def test_a_sweeps_texts_are_those_that_generate_writes(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab, panel = started(qtbot, open_lab)
    panel.presenter.change(max_new_tokens=6, seed=4, top_k=0)
    open_tab(qtbot, panel, "sweep")
    page, part = panel.pages["sweep"], panel.presenter.parts["sweep"]
    page.columns.values.setText("0 1")
    page.rows.values.setText("0.9")
    page.seeds.setValue(2)
    qtbot.mouseClick(page.run, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: part.swept is not None and not part.busy, timeout=WAIT)
    engine = Engine.open("bundled:decoder")
    steps = engine.generate(lab.workbench.prompt, max_new_tokens=6, seed=5, temperature=1.0, top_p=0.9)
    expected = "".join(step.text for step in steps)
    assert part.swept.cell(0, 1)[1].text == expected
    assert part.swept.value("self_bleu", 0, 0) == pytest.approx(1), "nothing is drawn at temperature 0"
    qtbot.mouseClick(page.map, Qt.MouseButton.LeftButton, pos=page.map.place_of(0, 1).center().toPoint())
    assert expected.strip() in page.text.toPlainText()
    page.rows.values.setText("much")
    qtbot.mouseClick(page.run, Qt.MouseButton.LeftButton)
    assert "no values of top_p" in page.note.text()


def test_a_saved_run_is_replayed_bit_by_bit(
    qtbot: QtBot, open_lab: OpenLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, panel = started(qtbot, open_lab)
    panel.presenter.change(max_new_tokens=10, seed=6, temperature=1.1)
    generate(qtbot, lab)
    panel.presenter.runs.go_on(4, new_seed=True)
    settle(qtbot, lab)
    text, path = panel.completion.tokens.text, tmp_path / "run.json"
    monkeypatch.setattr(panel, "ask_path", lambda _name, _kind, then: then(path))
    monkeypatch.setattr(panel, "ask_record", lambda then: then(path))
    panel.completion.export_asked.emit("json")
    qtbot.waitUntil(lambda: "Saved" in lab.window.banner.text, timeout=WAIT)
    panel.presenter.completions.clear()
    lab.workbench.prompt = "Something else"
    panel.presenter.recording.replay()
    qtbot.waitUntil(lambda: "bit-identical" in lab.window.banner.text, timeout=WAIT)
    assert panel.completion.tokens.text == text


def test_a_full_context_window_gets_the_chosen_answer(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab, panel = started(qtbot, open_lab)
    lab.workbench.prompt = "Once upon a time there was a little girl. " * 44
    settle(qtbot, lab)
    panel.presenter.change(max_new_tokens=200, do_sample=False, repetition_penalty=1.3)
    overflow = panel.controls.overflow
    generate(qtbot, lab)
    assert panel.presenter.run is not None
    stopped = panel.presenter.run
    assert stopped.steps[-1].finish_reason in ("context", "eos")
    overflow.setCurrentIndex(overflow.findData("refuse"))
    qtbot.mouseClick(panel.controls.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "context window holds" in lab.window.banner.text, timeout=WAIT)
    overflow.setCurrentIndex(overflow.findData("slide"))
    generate(qtbot, lab)
    run = panel.presenter.run
    assert run is not None
    assert run.ids[: len(stopped.ids)] == stopped.ids
    assert run.steps[-1].finish_reason in ("length", "eos")
    assert panel.presenter.params.to_dict()["overflow"] == "slide"
