"""The main job, as a person does it: a prompt, its distribution, the sliders, a completion."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication, QPlainTextEdit
from pytestqt.qtbot import QtBot

from llmlab.app import Lab
from llmlab.engine import Engine
from llmlab.engine.types import ModelRequest
from llmlab.ui.panels.decoding.run import Outcome
from llmlab.ui.panels.decoding.view import DecodingPanel
from tests.ui.journey import WAIT, OpenLab, open_lab, wait_ready

__all__ = ["open_lab"]


def panel_of(lab: Lab) -> DecodingPanel:
    lab.window.show_panel_named("decoding")
    panels: list[Any] = list(lab.panels)
    return next(panel for panel in panels if isinstance(panel, DecodingPanel))


def settle(qtbot: QtBot, lab: Lab) -> DecodingPanel:
    panel = panel_of(lab)
    qtbot.waitUntil(lambda: panel.presenter.settled, timeout=WAIT)
    QApplication.processEvents()
    return panel


def generate(qtbot: QtBot, lab: Lab) -> str:
    panel = panel_of(lab)
    qtbot.mouseClick(panel.controls.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(
        lambda: panel.presenter.run is not None and panel.presenter.run.outcome is Outcome.FINISHED, timeout=WAIT
    )
    return panel.completion.tokens.text


def test_the_bars_are_the_models_own_numbers(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab = open_lab()
    wait_ready(qtbot, lab)
    panel = settle(qtbot, lab)
    panel.controls.sliders["temperature"].set_value(0.5)
    panel.controls.changed.emit({"temperature": 0.5, "top_k": 0, "top_p": 1.0})
    QApplication.processEvents()
    rows = panel.distribution.bars.rows
    assert rows is not None
    expected = Engine.open("bundled:decoder").next_token(lab.workbench.prompt, temperature=0.5)
    np.testing.assert_allclose(rows.shaped.probabilities, np.sort(expected.probabilities)[::-1], atol=1e-6)
    np.testing.assert_allclose(rows.shaped.logits, expected.logits[rows.shaped.ids], atol=1e-4)


def test_a_slider_reshapes_the_bars_without_a_job(
    qtbot: QtBot, open_lab: OpenLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = open_lab()
    wait_ready(qtbot, lab)
    panel = settle(qtbot, lab)
    jobs: list[str] = []
    monkeypatch.setattr(lab.jobs, "submit", lambda owner, key, *_, **__: jobs.append(key))
    for kept in (1, 3, 17):
        panel.controls.changed.emit({"top_k": kept, "top_p": 1.0, "min_p": 0.0})
        QApplication.processEvents()
        rows = panel.distribution.bars.rows
        assert rows is not None
        assert rows.shaped.kept == kept
    assert [key for key in jobs if key != "memory"] == []


def test_the_same_seed_gives_the_same_text_also_after_another_model(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab = open_lab()
    wait_ready(qtbot, lab)
    panel = settle(qtbot, lab)
    panel.presenter.change(max_new_tokens=25, seed=11, temperature=1.2)
    first = generate(qtbot, lab)
    assert first
    lab.open_model(ModelRequest("bundled:seq2seq"))
    wait_ready(qtbot, lab, "bundled:seq2seq")
    settle(qtbot, lab)
    assert generate(qtbot, lab) != first
    lab.open_model(ModelRequest("bundled:decoder"))
    wait_ready(qtbot, lab)
    settle(qtbot, lab)
    assert generate(qtbot, lab) == first
    engine = Engine.open("bundled:decoder")
    sampling = panel.presenter.params.sampling
    steps = engine.generate(
        lab.workbench.prompt,
        max_new_tokens=25,
        seed=11,
        temperature=1.2,
        top_k=sampling.top_k,
        top_p=sampling.top_p,
        min_p=sampling.min_p,
        repetition_penalty=sampling.repetition_penalty,
    )
    assert "".join(step.text for step in steps) == first, "a script gives the same"


def test_typing_is_followed_and_the_last_prompt_wins(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab = open_lab()
    wait_ready(qtbot, lab)
    panel = settle(qtbot, lab)
    qtbot.keyClicks(lab.window.prompt.findChild(QPlainTextEdit), "The sun is hot and the snow is")
    settle(qtbot, lab)
    rows = panel.distribution.bars.rows
    assert rows is not None
    expected = Engine.open("bundled:decoder").next_token(lab.workbench.prompt)
    np.testing.assert_allclose(rows.shaped.logits, expected.logits[rows.shaped.ids], atol=1e-4)


def test_a_clicked_token_brings_its_distribution_back(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab = open_lab()
    wait_ready(qtbot, lab)
    panel = settle(qtbot, lab)
    panel.presenter.change(max_new_tokens=12, seed=3)
    generate(qtbot, lab)
    place = panel.completion.tokens.token_rects(4)[0].center().toPoint()
    qtbot.mouseClick(panel.completion.tokens.viewport(), Qt.MouseButton.LeftButton, pos=place)
    settle(qtbot, lab)
    run, rows = panel.presenter.run, panel.distribution.bars.rows
    assert run is not None
    assert rows is not None
    step = run.steps[4]
    chosen = rows.index_of(step.token_id)
    assert rows.shaped.probabilities[chosen] == pytest.approx(step.probability, abs=1e-6)


def test_stop_ends_the_completion_and_keeps_what_is_there(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab = open_lab()
    wait_ready(qtbot, lab)
    panel = settle(qtbot, lab)
    panel.presenter.change(max_new_tokens=400)
    panel.presenter.runs.generate()
    qtbot.waitUntil(lambda: len(panel.completion.tokens) > 3, timeout=WAIT)
    qtbot.keyClick(panel.picture, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: panel.presenter.run.outcome is Outcome.STOPPED, timeout=WAIT)
    assert 3 < len(panel.completion.tokens) < 400
    assert "stopped by you" in panel.presenter.run.status


def test_the_status_line_shows_generation_and_its_cancel_ends_it(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab = open_lab()
    wait_ready(qtbot, lab)
    panel = settle(qtbot, lab)
    panel.presenter.change(max_new_tokens=450, do_sample=True)
    panel.presenter.runs.generate()
    qtbot.waitUntil(lambda: lab.window.status.text.startswith("Generating"), timeout=WAIT)
    qtbot.mouseClick(lab.window.status._button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.presenter.run.outcome is Outcome.STOPPED, timeout=WAIT)
    qtbot.waitUntil(lambda: lab.window.status.text == "Ready", timeout=WAIT)


def test_closing_in_the_middle_of_a_completion(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab = open_lab()
    wait_ready(qtbot, lab)
    panel = settle(qtbot, lab)
    panel.presenter.change(max_new_tokens=450)
    panel.presenter.runs.generate()
    qtbot.waitUntil(lambda: len(panel.completion.tokens) > 1, timeout=WAIT)
    lab.window.close()
    assert lab.closed  # the leak fixture checks that the model thread ended


def test_out_of_memory_is_said_and_the_next_completion_works(
    qtbot: QtBot, open_lab: OpenLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = open_lab()
    wait_ready(qtbot, lab)
    panel = settle(qtbot, lab)
    from transformers import LlamaForCausalLM

    whole, calls = LlamaForCausalLM.forward, []

    def forward(self: Any, *arguments: Any, **keywords: Any) -> Any:
        calls.append(1)
        if len(calls) == 5:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return whole(self, *arguments, **keywords)

    monkeypatch.setattr(LlamaForCausalLM, "forward", forward)
    panel.presenter.change(max_new_tokens=20)
    panel.presenter.runs.generate()
    qtbot.waitUntil(lambda: bool(lab.window.banner.text), timeout=WAIT)
    assert "memory" in lab.window.banner.text
    assert panel.presenter.run.outcome is Outcome.FAILED
    assert len(panel.completion.tokens) > 0, "what was generated stays"
    assert generate(qtbot, lab)


def test_masks_are_filled_by_an_encoder(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab = open_lab("--model", "bundled:encoder")
    wait_ready(qtbot, lab, "bundled:encoder")
    lab.workbench.prompt = "The cat sat on the <|mask|>."
    panel = settle(qtbot, lab)
    rows = panel.distribution.bars.rows
    assert rows is not None
    best = rows.row(0).text
    assert best.strip() in panel.completion.tokens.text
    qtbot.mouseClick(panel.controls.button, Qt.MouseButton.LeftButton)
    assert lab.workbench.prompt.count("<|mask|>") == 2


def test_an_empty_prompt_has_a_useful_state(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab = open_lab("--model", "bundled:encoder")
    lab.workbench.prompt = ""
    wait_ready(qtbot, lab, "bundled:encoder")
    qtbot.waitUntil(panel_of(lab).distribution.state.isVisible, timeout=WAIT)


def test_a_prompt_that_is_too_long_says_so_in_place(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab = open_lab()
    wait_ready(qtbot, lab)
    lab.workbench.prompt = "word " * 3000
    qtbot.waitUntil(panel_of(lab).distribution.state.isVisible, timeout=WAIT)
    qtbot.waitUntil(lambda: "too long" in lab.window.prompt._count.toolTip(), timeout=WAIT)


def test_the_copied_script_gives_the_text_on_screen(qtbot: QtBot, open_lab: OpenLab, capsys: Any) -> None:
    lab = open_lab()
    wait_ready(qtbot, lab)
    panel = settle(qtbot, lab)
    for sample in (True, False):
        panel.presenter.change(max_new_tokens=15, do_sample=sample, seed=5)
        text = generate(qtbot, lab)
        panel.presenter.sharing.copy_python()
        script = QGuiApplication.clipboard().text()
        capsys.readouterr()
        exec(compile(script, "copied", "exec"), {"__name__": "__main__"})
        assert text.strip() in capsys.readouterr().out


def test_the_event_loop_goes_on_while_text_is_generated(qtbot: QtBot, open_lab: OpenLab) -> None:
    lab = open_lab()
    wait_ready(qtbot, lab)
    panel = settle(qtbot, lab)
    panel.presenter.change(max_new_tokens=60)
    beats = SimpleNamespace(count=0)
    timer = QTimer()
    timer.timeout.connect(lambda: setattr(beats, "count", beats.count + 1))
    timer.start(5)
    before = time.monotonic()
    generate(qtbot, lab)
    timer.stop()
    assert beats.count > 3 * (time.monotonic() - before), "the window stood still"
