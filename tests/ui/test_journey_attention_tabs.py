"""Text, lines, neuron and rollout in the real window: every number on screen is one that transformers computes."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from llmlab.app import Lab
from llmlab.engine.types import Float32, ModelRequest
from llmlab.paths import resources
from llmlab.ui.panels.attention import DAMAGED, REPEATED, RESTORED
from llmlab.ui.panels.attention.flow_part import Mode
from llmlab.ui.panels.attention.lines_values import Shown
from llmlab.ui.panels.attention.view import AttentionPanel
from tests.ui.journey import WAIT, OpenLab, open_lab, wait_ready

__all__ = ["open_lab"]


def settle(qtbot: QtBot, lab: Lab) -> AttentionPanel:
    lab.window.show_panel_named("attention")
    panel: Any = next(panel for panel in lab.panels if isinstance(panel, AttentionPanel))
    qtbot.waitUntil(lambda: panel.presenter.settled, timeout=WAIT)
    QApplication.processEvents()
    return panel


def tab(qtbot: QtBot, lab: Lab, name: str, **focus: Any) -> Any:
    """The widgets of a tab, once it shows what is looked at."""
    panel = settle(qtbot, lab)
    panel.tabs.chosen.emit(panel.names.index(name))
    panel.presenter.look(**focus)
    settle(qtbot, lab)
    return panel.pages[name]


def run(script: str) -> dict[str, Any]:
    """What a copied script leaves behind."""
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(script, names)
    return names


@pytest.fixture(scope="module")
def weights() -> Float32:
    """All weights of the bundled decoder on REPEATED, (layers, heads, queries, keys)."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = resources() / "models" / "decoder"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(
        folder, attn_implementation="eager", use_safetensors=True, dtype=torch.float32
    )
    with torch.inference_mode():
        found = model(**tokenizer(REPEATED, return_tensors="pt"), output_attentions=True).attentions
    stacked: Float32 = torch.cat(found).numpy()
    return stacked


def test_all_four_tabs_tell_what_transformers_computes(qtbot: QtBot, open_lab: OpenLab, weights: Float32) -> None:
    lab = open_lab()
    wait_ready(qtbot, lab)
    lab.workbench.prompt = REPEATED
    text = tab(qtbot, lab, "text", layer=4, head=3, queries=(22,))
    shading = text._part.shading
    np.testing.assert_allclose(shading.weights, weights[4, 3, 22], atol=1e-5)
    best = int(weights[4, 3, 22].argmax())
    assert text._name("keys", best) == "␣car", "after “a blue” it looks at what came after “blue” before"

    lines = tab(qtbot, lab, "lines", queries=())
    lines._part.toggle(Shown(1, 1))
    settle(qtbot, lab)
    for head in lines._part.lines.heads:
        drawn = np.zeros(weights.shape[2:], np.float32)
        drawn[head.edges.queries, head.edges.keys] = head.edges.weights
        expected = weights[head.head.layer, head.head.head]
        np.testing.assert_allclose(drawn, np.where(expected >= 0.01, expected, 0), atol=1e-5)

    pair = tab(qtbot, lab, "pair", queries=(22,), key=best)
    assert pair._part.pair.view.weight == pytest.approx(weights[4, 3, 22, best], abs=1e-5)
    assert pair.chain.texts[-1] == f"weight {weights[4, 3, 22, best]:.4f}"
    pair._part.choose_key(0)
    settle(qtbot, lab)
    assert pair._part.pair.view.weight == pytest.approx(weights[4, 3, 22, 0], abs=1e-5)
    pair.copy_python()
    assert run(QGuiApplication.clipboard().text())["view"].weight == pytest.approx(weights[4, 3, 22, 0], abs=1e-5)

    rollout = tab(qtbot, lab, "flow")
    rolled = np.eye(weights.shape[-1])
    for layer in weights.astype(np.float64):
        rolled = (0.5 * layer.mean(0) + 0.5 * np.eye(len(rolled))) @ rolled
    shown = rollout.map.picture.base.values
    np.testing.assert_allclose(np.maximum(shown, 0), rolled, atol=1e-5)
    rollout.copy_python()
    np.testing.assert_allclose(run(QGuiApplication.clipboard().text())["rollout"], rolled, atol=1e-5)
    rollout._part.switch(Mode.TEXT)
    np.testing.assert_allclose(rollout._part.shading.weights, rolled[22], atol=1e-5)


def test_a_token_is_marked_in_the_prompt_and_its_flow_computed(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab = open_lab()
    wait_ready(qtbot, lab)
    lab.workbench.prompt = "The cat sat on the mat."
    strip = tab(qtbot, lab, "text", layer=4, head=3, queries=()).queries
    seen: list[tuple[int, int]] = []
    lab.workbench.selection_changed.connect(lambda selection: seen.append((selection.start, selection.end)))
    place = strip.token_rects(2)[0].center().toPoint()
    qtbot.mouseMove(strip.viewport(), place)
    qtbot.waitUntil(lambda: bool(seen))
    start, end = seen[-1]
    assert lab.workbench.prompt[start:end].strip() == "cat"
    qtbot.mouseClick(strip.viewport(), Qt.MouseButton.LeftButton, pos=place)
    panel = settle(qtbot, lab)
    assert panel.presenter.reading is not None
    assert panel.presenter.reading.focus.queries == (2,)
    flow = tab(qtbot, lab, "flow")
    flow._part.switch(Mode.FLOW)
    assert flow.compute.text() == "Compute the flow from ␣cat"
    flow.compute.click()
    qtbot.waitUntil(lambda: flow._part.shading is not None, timeout=WAIT)
    values = flow._part.shading.weights
    assert (values[3:] < 0).all(), "nothing reaches back"
    assert values[:3].min() > 0
    assert not lab.window.banner.text


def test_two_texts_and_a_text_that_changes(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab = open_lab()
    wait_ready(qtbot, lab)
    lab.open_model(ModelRequest("bundled:seq2seq"))
    wait_ready(qtbot, lab, "bundled:seq2seq")
    lab.workbench.prompt = DAMAGED
    panel = settle(qtbot, lab)
    panel.presenter.change(target=RESTORED)
    text = tab(qtbot, lab, "text", kind="cross", layer=2, head=1, queries=(3,))
    assert text.keys.isVisible()
    assert len(text._part.shading.weights) == len(text.keys)
    assert text._part.shading.weights.sum() == pytest.approx(1, abs=1e-5)
    lab.workbench.prompt = "a cat"
    settle(qtbot, lab)
    assert len(text.keys) == len(text._part.shading.weights) < 6
    rollout = tab(qtbot, lab, "flow")
    assert rollout.state.isVisible()
    tab(qtbot, lab, "flow", kind="encoder")
    assert rollout.map.isVisible()
    tab(qtbot, lab, "pair", kind="cross")
    assert not lab.window.banner.text
