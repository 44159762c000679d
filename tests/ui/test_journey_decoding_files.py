"""What a dropped file is, is decided by what is in it: settings reach Decoding wherever they are dropped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from llmlab.app import PANELS, Lab
from llmlab.ui.panels.decoding import presets
from llmlab.ui.panels.decoding.params import Params
from tests.ui.journey import WAIT, OpenLab, open_lab, wait_ready
from tests.ui.test_journeys import drop

__all__ = ["open_lab"]

RECORD = {
    "record": 1,
    "versions": {"llmlab": "0.1.0"},
    "model": {"weights_sha256": "0", "name": "Another", "spec": "bundled:draft", "device": "cpu", "dtype": "float32"},
    "prompt": "Once",
    "settings": {"sampling": {}, "max_new_tokens": 3, "seed": 0, "stop": [], "overflow": "slide"},
    "given": [],
    "outcome": "finished",
    "steps": [],
}
NAMES = [spec.name for spec in PANELS]
DATA = "- text: Good film.\n  label: positive\n- text: Bad film.\n  label: negative\n"


def made(lab: Lab, name: str) -> bool:
    return NAMES.index(name) in lab.panels.made


def params(lab: Lab) -> Params:
    return lab.panels[NAMES.index("decoding")].presenter.params  # type: ignore[attr-defined]


@pytest.mark.parametrize("seen", [("tokens",), ("decoding", "shots"), pytest.param(("shots",), marks=pytest.mark.slow)])
def test_a_preset_reaches_decoding_wherever_it_is_dropped(
    qtbot: QtBot, open_lab: OpenLab, tmp_path: Path, seen: tuple[str, ...]
) -> None:
    lab = open_lab()
    for name in seen:  # a panel that was made later is asked first, by names
        lab.window.show_panel_named(name)
    path = tmp_path / "mine.yaml"
    path.write_text(presets.to_yaml(Params(temperature=1.25, top_k=7)))
    promised = drop(lab, path)
    assert promised == "Take the settings of decoding from mine.yaml"
    qtbot.waitUntil(lambda: params(lab).temperature == 1.25, timeout=WAIT)
    assert params(lab).top_k == 7
    assert lab.window.panel_name == "decoding"
    wait_ready(qtbot, lab)


@pytest.mark.parametrize(
    "seen", ["tokens", *(pytest.param(name, marks=pytest.mark.slow) for name in ("shots", "memory"))]
)
def test_a_record_is_replayed_wherever_it_is_dropped(
    qtbot: QtBot, open_lab: OpenLab, tmp_path: Path, seen: str
) -> None:
    lab = open_lab()
    lab.window.show_panel_named(seen)
    path = tmp_path / "run.json"
    path.write_text(json.dumps(RECORD))
    assert drop(lab, path) == "Replay the run that is recorded in run.json, in Decoding"
    assert lab.window.panel_name == "decoding"
    said = "a run of Another, and the loaded model has other weights"
    qtbot.waitUntil(lambda: said in lab.window.banner.text, timeout=WAIT)  # once the model is there
    assert lab.window.banner.action.text() == "Open and replay"


def test_a_models_own_settings_are_settings_and_data_are_data(qtbot: QtBot, open_lab: OpenLab, tmp_path: Path) -> None:
    lab = open_lab()
    lab.window.show_panel_named("decoding")
    wait_ready(qtbot, lab)
    (tmp_path / "config.json").write_text("{}")
    config = tmp_path / "generation_config.json"
    config.write_text(json.dumps({"do_sample": True, "temperature": 0.6, "bad_words_ids": [[261, 262], [9_999_999]]}))
    assert drop(lab, config) == "Take the settings of decoding from generation_config.json"
    qtbot.waitUntil(lambda: params(lab).temperature == 0.6, timeout=WAIT)
    (word,) = params(lab).banned
    assert word.ids == (261, 262)  # type: ignore[union-attr]
    assert all(word.texts)  # type: ignore[union-attr]
    qtbot.waitUntil(lambda: params(lab).sampling.bad_words_ids == ((261, 262),), timeout=WAIT)
    assert "no token 9999999" in lab.window.banner._hint.text()

    data = tmp_path / "reviews.yaml"
    data.write_text(DATA)
    assert "Shots" in drop(lab, data), "data go on to Shots, from the decoding panel too"
    qtbot.waitUntil(lambda: lab.window.panel_name == "shots", timeout=WAIT)
    assert made(lab, "shots")
