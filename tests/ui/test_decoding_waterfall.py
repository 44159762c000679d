"""The waterfall tab: columns that add up, tokens that can be followed, numbers that can be copied."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QPointF, Qt
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from llmlab.engine.sampling import Cut
from llmlab.engine.types import Architecture
from llmlab.ui import theme
from llmlab.ui.panels.decoding.waterfall_canvas import WaterfallCanvas
from llmlab.ui.panels.decoding.waterfall_pane import HINT, WaterfallPane
from llmlab.ui.panels.decoding.waterfalling import COLUMNS
from tests.presenters.decoding_fakes import MASK, WORDS, model_info
from tests.ui.test_decoding import Bench, open_panel

SETTINGS = {"tab": "waterfall", "temperature": 2.0, "top_k": 20, "top_p": 0.8}


@pytest.fixture
def bench(qtbot: QtBot) -> Bench:
    made = open_panel(qtbot, model_info(), "Once upon", SETTINGS)
    made.settle()
    return made


def pane_of(bench: Bench) -> WaterfallPane:
    pane: Any = bench.panel.pages["waterfall"]
    return pane


def middle_of(canvas: WaterfallCanvas, stage: int, token_id: int | None) -> QPointF:
    found = next(each for each in canvas.segments if (each.stage, each.token_id) == (stage, token_id))
    return found.rect.center()


def test_each_column_is_a_whole_distribution(bench: Bench) -> None:
    pane = pane_of(bench)
    assert pane.isVisible()
    falls = pane.canvas._falls
    assert falls is not None
    assert [falls.label(i) for i in range(4)] == ["Raw", "Temperature 2", "Top-k 20", "Top-p 0.8"]
    for stage in range(4):
        column = [each for each in pane.canvas.segments if each.stage == stage]
        assert sum(each.probability for each in column) == pytest.approx(1, abs=1e-5)
        tops = [each.rect.top() for each in column]
        assert tops == sorted(tops)
    shaped = bench.panel.distribution.bars.rows.shaped  # type: ignore[union-attr]
    assert falls.fall.stages[-1].kept == shaped.kept
    best = int(shaped.ids[0])
    assert falls.probability(3, best) == pytest.approx(float(shaped.probabilities[0]), abs=1e-6)


def test_a_slider_moves_the_columns(bench: Bench) -> None:
    pane = pane_of(bench)
    bench.panel.controls.changed.emit({"top_k": 3})
    QApplication.processEvents()
    assert pane.canvas._falls is not None
    assert [stage.kept for stage in pane.canvas._falls.fall.stages][2] == 3
    before = pane.canvas._falls
    bench.panel.presenter.frame()
    assert pane.canvas._falls is before, "nothing has changed"


def test_a_click_follows_a_token_and_another_click_lets_it_go(qtbot: QtBot, bench: Bench) -> None:
    pane = pane_of(bench)
    assert pane.note.text() == HINT
    best = int(pane.canvas._falls.fall.ids[0])  # type: ignore[union-attr]
    place = middle_of(pane.canvas, 0, best).toPoint()
    qtbot.mouseClick(pane.canvas, Qt.MouseButton.LeftButton, pos=place)
    assert pane.note.text().startswith(f"␣{WORDS[best].strip()}: raw p 0.")
    assert pane.note.text().endswith("kept to the end")
    assert pane.canvas.accessibleDescription() == pane.note.text()
    qtbot.mouseClick(pane.canvas, Qt.MouseButton.LeftButton, pos=place)
    assert pane.note.text() == HINT


def test_any_token_can_be_followed_to_where_it_is_removed(qtbot: QtBot, bench: Bench) -> None:
    pane = pane_of(bench)
    shaped = bench.panel.distribution.bars.rows.shaped  # type: ignore[union-attr]
    last = int(shaped.ids[-1])
    assert Cut(int(shaped.cut[-1])) is Cut.TOP_K
    pane.sought.setText(WORDS[last])
    qtbot.keyClick(pane.sought, Qt.Key.Key_Return)
    assert pane.note.text().endswith("removed by Top-k 20 at rank 50 of 50")
    pane.sought.setText("nowhere")
    qtbot.keyClick(pane.sought, Qt.Key.Key_Return)
    assert "no such token" in pane.note.text()


def test_the_keyboard_walks_through_the_tokens(qtbot: QtBot, bench: Bench) -> None:
    canvas = pane_of(bench).canvas
    for key, place in ((Qt.Key.Key_Down, 0), (Qt.Key.Key_Down, 1), (Qt.Key.Key_Up, 0), (Qt.Key.Key_Up, 0)):
        qtbot.keyClick(canvas, key)
        assert canvas._falls is not None
        assert canvas._falls.followed == canvas._falls.fall.ids[place]
    qtbot.keyClick(canvas, Qt.Key.Key_Escape)
    assert canvas._falls is not None
    assert canvas._falls.followed is None


def test_hovering_tells_exact_numbers(bench: Bench) -> None:
    canvas = pane_of(bench).canvas
    assert canvas._falls is not None
    best = int(canvas._falls.fall.ids[0])
    card = canvas.card_at(middle_of(canvas, 1, best))
    assert card is not None
    names = [name for name, _ in card.facts]
    assert names == ["after Temperature 2", "before it", "raw", ""]
    head = canvas.card_at(QPointF(middle_of(canvas, 2, best).x(), 4))
    assert head is not None
    assert head.title == "Top-k 20"
    assert dict(head.facts)["kept"] == "20 of 50 tokens"
    others = next(each for each in canvas.segments if each.token_id is None and each.rect.height() > 1)
    card = canvas.card_at(others.rect.center())
    assert card is not None
    assert card.title.startswith("All others")


def test_painting_leaves_the_themes_colours_alone(bench: Bench, scheme: str) -> None:
    before = [color.name(color.NameFormat.HexArgb) for color in theme.current().token]
    pane = pane_of(bench)
    pane.canvas.followed.emit(int(pane.canvas._falls.fall.ids[1]))  # type: ignore[union-attr]
    pane.canvas.grab()
    assert [color.name(color.NameFormat.HexArgb) for color in theme.current().token] == before, scheme


def test_the_stages_can_be_copied_and_exported(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[str] = []
    monkeypatch.setattr(bench.panel, "copy", copied.append)
    pane_of(bench).export.click()
    bench.settle()
    header, *rows = csv.reader(io.StringIO(copied[0]), delimiter="\t")
    assert tuple(header) == COLUMNS
    assert {row[0] for row in rows} == {"raw", "temperature", "top_k", "top_p"}
    monkeypatch.setattr(bench.panel, "ask_path", lambda name, kind, then: then(tmp_path / name))
    bench.panel.presenter.parts["waterfall"].export("json")  # type: ignore[attr-defined]
    bench.settle()
    written = json.loads((tmp_path / "waterfall.json").read_text())
    assert len(written) == len(rows)


def test_masks_have_a_waterfall_too_and_no_prompt_has_none(qtbot: QtBot) -> None:
    bench = open_panel(qtbot, model_info(Architecture.ENCODER), f"The {MASK}.", {"tab": "waterfall"})
    bench.settle()
    pane = pane_of(bench)
    assert pane.canvas.segments
    bench.workbench.prompt = ""
    bench.settle()
    assert pane.canvas.segments == ()
    assert pane.state.isVisible()
