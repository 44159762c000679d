"""The attention panel in the real window, with the bundled models: what it shows is what transformers computes."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from llmlab.app import Lab
from llmlab.engine.attention.types import MASKED
from llmlab.engine.types import Float32, ModelRequest
from llmlab.ui.panels.attention import DAMAGED, REPEATED, RESTORED
from llmlab.ui.panels.attention.map_pane import MapPane, card_of
from llmlab.ui.panels.attention.screen import Act
from llmlab.ui.panels.attention.view import AttentionPanel
from llmlab.ui.screen import Kind
from llmlab.ui.widgets.heatmap.view import CellAt
from tests.ui.journey import WAIT, OpenLab, open_lab, wait_ready

__all__ = ["open_lab"]

SPECS = ("bundled:decoder", "bundled:encoder", "bundled:seq2seq")


def settle(qtbot: QtBot, lab: Lab) -> AttentionPanel:
    lab.window.show_panel_named("attention")
    panel: Any = next(panel for panel in lab.panels if isinstance(panel, AttentionPanel))
    qtbot.waitUntil(lambda: panel.presenter.settled, timeout=WAIT)
    QApplication.processEvents()
    return panel


def change(qtbot: QtBot, lab: Lab, panel: AttentionPanel, **params: Any) -> None:
    panel.presenter.change(**params)
    panel.show_params(panel.presenter.params)
    settle(qtbot, lab)


def look(qtbot: QtBot, lab: Lab, panel: AttentionPanel, **focus: Any) -> Float32:
    """The weights on screen once the focus is there."""
    panel.presenter.look(**focus)
    settle(qtbot, lab)
    picture = panel.pages["map"].map.picture
    assert picture is not None
    return picture.base.values


def printed_by(script: str) -> Float32:
    """The matrix that a copied script makes."""
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(script, names)
    return (names["weights"].numpy() if "weights" in names else names["made"].values).astype(np.float32)


def copied(panel: AttentionPanel) -> str:
    panel.pages["map"].python_button.click()
    return QGuiApplication.clipboard().text()


def test_the_known_heads_are_found_and_every_weight_is_transformers(qtbot: QtBot, open_lab: OpenLab) -> None:
    """The report of the bundled models names the previous-token head 1·1 and the induction head 4·3."""
    lab = open_lab()
    wait_ready(qtbot, lab)
    lab.workbench.prompt = REPEATED
    panel = settle(qtbot, lab)
    reading = panel.presenter.reading
    assert reading is not None
    assert reading.survey is not None
    best = {name: np.unravel_index(np.nanargmax(s), s.shape) for name, s in reading.survey.scores.items()}
    assert best["induction"] == (4, 3)
    assert reading.survey.scores["previous"][1, 1] > 0.95
    change(qtbot, lab, panel, sort="induction")
    assert panel.grid.tiles.heads is not None
    assert panel.grid.tiles.heads.places[0] == (4, 3)
    for score, head in (("induction on repeats", (4, 3)), ("previous on repeats", (1, 1))):  # whatever the text
        change(qtbot, lab, panel, sort=score)
        assert panel.grid.tiles.heads.places[0] == head
    change(qtbot, lab, panel, sort="layer")
    for focus, options in (
        ({"layer": 4, "head": 3}, {}),
        ({"layer": 4, "head": None}, {}),
        ({"layer": None, "head": None}, {}),
        ({"layer": 1, "head": 1}, {"hide_first": True}),
    ):
        change(qtbot, lab, panel, **options)
        weights = look(qtbot, lab, panel, **focus)
        expected = printed_by(copied(panel))
        seen = (weights != MASKED) & np.isfinite(expected)
        assert np.abs(weights[seen] - expected[seen]).max() < 1e-5, focus
        assert seen.sum() >= len(weights) * (len(weights) - 1) / 2
        assert (np.nan_to_num(expected)[weights == MASKED] == 0).all(), focus
    assert lab.window.banner.text == ""


def test_hovering_tells_the_weight_and_marks_the_token_in_the_prompt(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab = open_lab()
    wait_ready(qtbot, lab)
    lab.workbench.prompt = "the cat sat on the mat"
    panel = settle(qtbot, lab)
    look(qtbot, lab, panel, layer=1, head=1)
    pane: MapPane = panel.pages["map"]
    qtbot.mouseMove(pane.map, pane.map.rect_of(CellAt(2, 1)).center().toPoint())
    picture = pane.map.picture
    assert picture is not None
    assert dict(card_of(pane.map, CellAt(2, 1)).facts)["weight"] == f"{picture.base.values[2, 1]:.9g}"
    assert lab.window.prompt._editor.textCursor().selectedText().strip() == "cat"


@pytest.mark.slow
@pytest.mark.parametrize("spec", SPECS)
def test_every_tab_fills_with_every_model(qtbot: QtBot, open_lab: OpenLab, spec: str) -> None:
    lab = open_lab("--model", spec)
    wait_ready(qtbot, lab, spec)
    lab.workbench.prompt = "The dog ran to the [MASK] ball." if spec.endswith("encoder") else DAMAGED
    panel = settle(qtbot, lab)
    if spec.endswith("seq2seq"):
        change(qtbot, lab, panel, target=RESTORED)
    reading = panel.presenter.reading
    assert reading is not None
    for kind in reading.shapes:
        panel.presenter.look(kind=kind, layer=1, head=0)
        for index, name in enumerate(panel.names):
            panel._choose_tab(index)
            settle(qtbot, lab)
            assert panel.presenter.params.tab == name
            lab.window.grab()
    assert lab.window.banner.text == ""


@pytest.mark.slow
def test_sentence_pairs_and_cross_attention_are_transformers(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab = open_lab("--model", "bundled:encoder")
    wait_ready(qtbot, lab, "bundled:encoder")
    lab.workbench.prompt = "The dog was sad."
    panel = settle(qtbot, lab)
    change(qtbot, lab, panel, pair="It had lost its ball.")
    weights = look(qtbot, lab, panel, layer=2, head=3)
    assert np.abs(weights - printed_by(copied(panel))).max() < 1e-5
    change(qtbot, lab, panel, segments="A→B", words=True)
    weights = look(qtbot, lab, panel, layer=2, head=3)
    assert np.allclose(weights, printed_by(copied(panel)), atol=1e-5)
    assert (weights < 0).any()
    change(qtbot, lab, panel, segments="all", words=False)
    lab.open_model(ModelRequest("bundled:seq2seq"))
    wait_ready(qtbot, lab, "bundled:seq2seq")
    lab.workbench.prompt = DAMAGED
    change(qtbot, lab, panel, target=RESTORED)
    for kind in ("encoder", "decoder", "cross"):
        weights = look(qtbot, lab, panel, kind=kind, layer=1, head=2)
        expected = printed_by(copied(panel))
        assert weights.shape == expected.shape
        assert np.abs(np.maximum(weights, 0) - expected).max() < 1e-5, kind
    assert lab.window.banner.text == ""


def test_a_completion_is_followed_token_by_token(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab = open_lab()
    wait_ready(qtbot, lab)
    lab.workbench.prompt = "Once upon a time"
    lab.window.show_panel_named("decoding")
    decoding: Any = lab.panels[2]
    decoding.presenter.change(max_new_tokens=6)
    decoding.presenter.runs.generate()
    qtbot.waitUntil(lambda: lab.workbench.completion is not None, timeout=WAIT)
    qtbot.waitUntil(lambda: decoding.presenter.run.outcome != "running", timeout=WAIT)
    panel = settle(qtbot, lab)
    change(qtbot, lab, panel, read="completion")
    completion = lab.workbench.completion
    assert completion is not None
    assert panel.steps.isVisible()
    reading = panel.presenter.reading
    assert reading is not None
    assert "".join(reading.shape.query_tokens[reading.shape.generated :]).strip() == completion.text.strip()
    for step in range(len(completion.ids)):
        panel.steps.forth.click()
        QApplication.processEvents()
        pinned = panel.pages["map"].map._marks.pinned
        assert pinned == ((reading.shape.generated or 0) - 1 + step,)
    assert not panel.steps.forth.isEnabled()


def test_what_is_saved_is_what_is_seen(qtbot: QtBot, open_lab: OpenLab, tmp_path: Path) -> None:
    lab = open_lab()
    wait_ready(qtbot, lab)
    lab.workbench.prompt = REPEATED
    panel = settle(qtbot, lab)
    weights = look(qtbot, lab, panel, layer=2, head=5)
    pane, part = panel.pages["map"], panel.presenter.parts["map"]
    targets = {kind: tmp_path / f"map.{kind}" for kind in ("png", "svg", "pdf", "csv", "npz")}
    pane.ask_path = lambda _name, kinds, then: then(targets[kinds[0]])
    pane.save_png(1)
    pane.save_drawing("svg")
    pane.save_drawing("pdf")
    pane.save_csv()
    pane.save_everything()
    qtbot.waitUntil(lambda: all(path.exists() for path in targets.values()), timeout=WAIT)
    lines = targets["csv"].read_text("utf-8").splitlines()
    cells = [[float(cell) if cell else -1.0 for cell in line.split(",")[-len(weights) :]] for line in lines[2:]]
    assert np.array_equal(np.array(cells, np.float32), weights)
    with np.load(targets["npz"]) as saved:
        stored = saved["self/layer_02"][5]
    assert stored.dtype == np.float16
    assert np.abs(stored.astype(np.float32) - np.maximum(weights, 0)).max() < 1e-3
    assert not part.busy


def test_a_text_longer_than_the_context_can_be_cut(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab = open_lab()
    wait_ready(qtbot, lab)
    lab.window.show_panel_named("attention")
    panel: Any = next(panel for panel in lab.panels if isinstance(panel, AttentionPanel))
    lab.workbench.prompt = "the cat sat on the mat. " * 120
    qtbot.waitUntil(lambda: panel._screen.stage.title.startswith("The text is longer"), timeout=WAIT)
    panel.presenter.act(Act.KEEP_END)
    settle(qtbot, lab)
    assert panel._screen.stage.kind is Kind.READY
    assert panel.presenter.reading is not None
    assert len(panel.presenter.reading.shape.query_tokens) == 512
    assert panel.presenter.reading.cut > 0
    assert panel.pages["map"].map.pooled >= 1
