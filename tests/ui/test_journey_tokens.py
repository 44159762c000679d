"""The tokens panel in the real window, with the bundled tokenizers."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication, QImage
from PySide6.QtWidgets import QApplication, QPlainTextEdit
from pytestqt.qtbot import QtBot

from llmlab.app import Lab
from llmlab.ui.panels.tokens.params import TABS
from llmlab.ui.panels.tokens.samples import samples
from llmlab.ui.panels.tokens.view import TokensPanel
from tests.ui.journey import WAIT, OpenLab, open_lab, wait_ready

__all__ = ["open_lab"]


def settle(qtbot: QtBot, lab: Lab) -> TokensPanel:
    lab.window.show_panel_named("tokens")
    panel: Any = lab.panels[0]
    assert isinstance(panel, TokensPanel)
    qtbot.waitUntil(lambda: panel.presenter.settled, timeout=WAIT)
    QApplication.processEvents()
    return panel


def test_strip_and_table_show_the_librarys_own_tokens(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab = open_lab()
    wait_ready(qtbot, lab)
    for item in samples():
        lab.workbench.prompt = item.text
        panel = settle(qtbot, lab)
        from transformers import AutoTokenizer

        from llmlab.paths import bundled_model

        expected = AutoTokenizer.from_pretrained(bundled_model("decoder"))(item.text, return_offsets_mapping=True)
        rows = panel.table.model.value
        assert rows is not None
        assert rows.encoded.tokens.ids.tolist() == expected["input_ids"], item.name
        spans = zip(rows.encoded.tokens.starts.tolist(), rows.encoded.tokens.ends.tolist(), strict=True)
        real = [span for span in spans if span[0] != span[1]]
        assert real == [tuple(span) for span in expected["offset_mapping"] if span[0] != span[1]], item.name
        assert panel.table.model.rowCount() == len(expected["input_ids"])


@pytest.mark.parametrize("count", [3, pytest.param(12, marks=pytest.mark.slow)])
def test_every_tab_fills_with_every_sample_and_tokenizer(qtbot: QtBot, open_lab: OpenLab, count: int) -> None:
    lab = open_lab()
    wait_ready(qtbot, lab)
    for spec, item in zip(("", "bundled:encoder", "bundled:seq2seq") * 4, samples()[:count], strict=False):
        lab.workbench.prompt = item.text
        for index, tab in enumerate(TABS):
            panel = settle(qtbot, lab)
            panel._change({"tokenizer": spec})
            panel._choose_tab(index)
            settle(qtbot, lab)
            assert panel.presenter.params.tab == tab
            lab.window.grab()
    assert lab.window.banner.text == ""
    assert len(panel.compare.columns) == 3
    assert panel.pipeline.blocks
    assert panel.merges.now.texts
    assert panel.vocabulary.model.rowCount() > 1000
    assert panel.tools.model.rowCount() == 1


def test_selecting_in_the_prompt_selects_in_the_strip_and_back(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab = open_lab()
    wait_ready(qtbot, lab)
    lab.workbench.prompt = "🐱 the cat sat"
    panel = settle(qtbot, lab)
    editor = lab.window.prompt.findChild(QPlainTextEdit)
    assert editor is not None
    encoded = panel.presenter.encoded
    assert encoded is not None
    last = len(encoded) - 1
    panel.strip.strip.setFocus()
    qtbot.keyClick(panel.strip.strip, Qt.Key.Key_End)
    assert editor.textCursor().selectedText() == encoded.selected_text(last, last)
    assert [index.row() for index in panel.table.view.selectionModel().selectedRows()] == [last]
    lab.window.activateWindow()
    editor.setFocus()
    qtbot.waitUntil(editor.hasFocus)
    qtbot.keyClick(editor, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    first, final = panel.strip.strip.selection
    assert encoded.selected_text(first, final) == "🐱 the cat sat"
    panel.table.view.selectRow(int(np.flatnonzero(encoded.tokens.groups >= 0)[0]))
    assert editor.textCursor().selectedText().startswith("🐱")


def test_the_table_sorts_by_a_click_on_its_header_and_filters(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab = open_lab()
    wait_ready(qtbot, lab)
    lab.workbench.prompt = "the cat and the dog and the bird"
    panel = settle(qtbot, lab)
    panel.table.view.horizontalHeader().sectionClicked.emit(2)
    settle(qtbot, lab)
    rows = panel.table.model.value
    assert rows is not None
    ids = rows.encoded.tokens.ids[rows.indices]
    assert (np.diff(ids) >= 0).all()
    panel.table.filter.setText(" the")
    settle(qtbot, lab)
    assert panel.table.model.rowCount() == 2
    assert panel.table.model.data(panel.table.model.index(0, 1)) == "␣the"


def test_the_steps_of_a_word_can_be_played(qtbot: QtBot, open_lab: OpenLab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = open_lab()
    wait_ready(qtbot, lab)
    lab.workbench.prompt = "something wonderful"
    panel = settle(qtbot, lab)
    panel._choose_tab(TABS.index("merges"))
    panel = settle(qtbot, lab)
    panel.merges._timer.setInterval(1)
    steps = panel.presenter.merges.steps
    assert steps > 1
    qtbot.mouseClick(panel.merges.first, Qt.MouseButton.LeftButton)
    assert panel.presenter.merges.step == 0
    qtbot.mouseClick(panel.merges.play, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.presenter.merges.step == steps and not panel.merges._timer.isActive())
    encoded = panel.presenter.encoded
    assert encoded is not None
    assert "".join(panel.merges.now.texts).replace("␣", " ") in encoded.tokens.text


def test_copy_and_settings_come_back(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab = open_lab()
    wait_ready(qtbot, lab)
    panel = settle(qtbot, lab)
    panel.strip.copy_asked.emit("text")
    assert QGuiApplication.clipboard().text() == lab.workbench.prompt
    panel._choose_tab(TABS.index("tools"))
    panel._change({"colouring": "kind", "chunk_size": 5, "chunk_overlap": 0})
    lab.window.close()
    again = open_lab()
    panel_again: Any = again.panels[0]
    assert panel_again.presenter.params.tab == "tools"
    assert panel_again.controls.colouring._group.checkedId() == 1
    assert panel_again.tools.chunk_size.value() == 5


def test_a_token_is_followed_through_the_embedding_tab(
    qtbot: QtBot, open_lab: OpenLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = open_lab()
    wait_ready(qtbot, lab)
    lab.workbench.prompt = "The king saw the little girl."
    panel = settle(qtbot, lab)
    panel._choose_tab(TABS.index("embedding"))
    panel.show_params(panel.presenter.params)
    panel = settle(qtbot, lab)
    pane = panel.embedding
    pane.map.grab()  # lays out and paints
    qtbot.mouseClick(
        pane.map, Qt.MouseButton.LeftButton, pos=pane.map.place_of(vocabulary(panel).index(" girl")).toPoint()
    )
    settle(qtbot, lab)
    assert pane.name.text() == "␣girl"
    assert panel.strip.strip.selection[0] >= 0, "the token of the prompt is selected"
    near = pane.near.rows.value
    assert near is not None
    assert near.tokens[0].text == "␣boy"
    wanted = copied_python(panel)

    qtbot.keyClick(pane.slider, Qt.Key.Key_Right)
    qtbot.keyClick(pane.slider, Qt.Key.Key_Right)
    settle(qtbot, lab)
    assert "after layer 2 of 6" in pane.kind.text()
    picture = pane.map._picture
    assert picture is not None
    assert len(picture.path) == 7
    assert ids_of(run(wanted)) == [token.token_id for token in near.tokens[:12]]
    after = pane.near.rows.value
    assert after is not None
    assert ids_of(run(copied_python(panel))) == [token.token_id for token in after.tokens[:12]]

    pane.lists._group.button(1).click()
    pane.sums.examples[0].click()
    qtbot.waitUntil(lambda: pane.sums.table.rows.rowCount() > 0, timeout=WAIT)
    assert pane.sums.table.rows.value is not None
    assert pane.sums.table.rows.value.tokens[0].text == "␣queen"
    pane.sums.line.clear()
    qtbot.keyClicks(pane.sums.line, "king - wom")
    assert pane.sums.completer.currentCompletion() == "king - woman"

    monkeypatch.setattr(panel, "ask_path", lambda _name, _kind, then: then(tmp_path / "map.png"))
    pane.export_asked.emit("png")
    assert QImage(str(tmp_path / "map.png")).width() == 2 * pane.map.width()

    panel._change({"tokenizer": "bundled:encoder"})
    settle(qtbot, lab)
    [button] = pane.state.buttons
    assert button.text() == "Show the tokens of Llama Lab Storyteller"
    button.click()
    settle(qtbot, lab)
    assert pane.map.isVisible()
    assert lab.window.banner.text.startswith("Saved as map.png.")


def vocabulary(panel: TokensPanel) -> list[str]:
    encoded = panel.presenter.encoded
    assert encoded is not None
    return list(encoded.table.texts)


def copied_python(panel: TokensPanel) -> str:
    panel.embedding.copy_asked.emit("python")
    return QGuiApplication.clipboard().text()


def run(script: str) -> str:
    """What a script prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(script, "script", "exec"), {})
    return out.getvalue()


def ids_of(printed: str) -> list[int]:
    return [int(line.split()[1]) for line in printed.splitlines()]
