"""Effect and logit lens in the real window: what they show is what transformers computes."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from llmlab.app import Lab
from llmlab.engine.types import ModelRequest
from llmlab.ui.panels.attention import REPEATED
from llmlab.ui.panels.attention.effect_values import Measure, Place
from llmlab.ui.panels.attention.view import AttentionPanel
from tests.ui.journey import WAIT, OpenLab, open_lab, wait_ready

__all__ = ["open_lab"]


def tab(qtbot: QtBot, lab: Lab, name: str) -> Any:
    """The widget of a tab, settled."""
    lab.window.show_panel_named("attention")
    panel = next(panel for panel in lab.panels if isinstance(panel, AttentionPanel))
    panel.presenter.change(tab=name)
    panel.show_params(panel.presenter.params)
    qtbot.waitUntil(lambda: panel.presenter.settled, timeout=WAIT)
    QApplication.processEvents()
    return panel.pages[name]


def settle(qtbot: QtBot, page: Any) -> None:
    qtbot.waitUntil(lambda: not page._part.busy, timeout=WAIT)
    QApplication.processEvents()


def run(script: str) -> dict[str, Any]:
    """The names that a copied script makes."""
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(script, names)
    return names


def probabilities(off: tuple[int, int] | None = None) -> np.ndarray:
    """What transformers says comes after REPEATED, with a head's columns of the output projection at zero."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from llmlab.paths import bundled_model

    folder = bundled_model("decoder")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    if off is not None:
        size = model.config.head_dim
        weight = model.model.layers[off[0]].self_attn.o_proj.weight.data
        weight[:, off[1] * size : (off[1] + 1) * size] = 0
    ids = AutoTokenizer.from_pretrained(folder)(REPEATED, return_tensors="pt").input_ids
    with torch.inference_mode():
        return model(ids).logits[0].double().softmax(-1).numpy()


def test_heads_are_switched_off_and_layers_read(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab = open_lab()
    wait_ready(qtbot, lab)
    lab.workbench.prompt = REPEATED
    page = tab(qtbot, lab, "effect")
    before, after = probabilities()[-1], probabilities((1, 1))[-1]

    effects = page._screen.effects
    assert effects.complete
    assert effects.ranked(Measure.KL)[0] == Place("self", 1, 1)  # the previous-token head of the report
    divergence = (before * np.log(before / after)).sum()
    assert effects.value(Place("self", 1, 1), Measure.KL) == pytest.approx(divergence, abs=1e-4)
    best = before.argmax()
    assert effects.value(Place("self", 1, 1), Measure.DELTA) == pytest.approx(after[best] - before[best], abs=1e-4)

    cells = page.map.cells
    qtbot.mouseClick(cells, Qt.MouseButton.LeftButton, pos=cells.rect_of(Place("self", 1, 1)).center())
    settle(qtbot, page)
    effect = page.bars.rows.effect
    np.testing.assert_allclose(effect.before, before[effect.ids], atol=1e-5)
    np.testing.assert_allclose(effect.after, after[effect.ids], atol=1e-5)
    assert page.off.text() == "Off: 1.1"

    repeated = run(page._part.script())
    np.testing.assert_array_equal(repeated["effects"][0].after, effect.after)
    np.testing.assert_allclose(repeated["layers"][1].kl, effects.known["self", 1].kl, atol=1e-5)

    page = tab(qtbot, lab, "lens")
    table = page.table._table
    np.testing.assert_array_equal(run(page._part.script())["lens"].ids, table.lens.ids)
    assert table.lens.final_ids[-1] == best
    np.testing.assert_allclose(table.lens.final_probability[-1], probabilities().max(-1), atol=1e-5)
    assert page.chart.shown.course.position == len(table.lens.tokens) - 1

    lab.workbench.prompt = "Once upon a time"
    page = tab(qtbot, lab, "effect")
    assert page.off.text() == "Off: 1.1"  # stays off for another text
    assert page._screen.effects.complete


def test_an_encoder_asks_for_a_mask(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab = open_lab()
    lab.open_model(ModelRequest("bundled:encoder"))
    wait_ready(qtbot, lab, "bundled:encoder")
    lab.workbench.prompt = "The dog was sad."
    page = tab(qtbot, lab, "effect")
    assert page.state.isVisible()
    mask = lab.workbench.model.info.mask_token if lab.workbench.model.info else ""
    assert f"Type {mask}" in page.state.text
    lab.workbench.prompt = f"The dog was {mask}. The cat was {mask}."
    page = tab(qtbot, lab, "effect")
    assert not page.state.isVisible()
    assert page.position.count() == 2
    page = tab(qtbot, lab, "lens")
    assert page.table._table.lens.tokens[page.chart.shown.course.position] == mask
