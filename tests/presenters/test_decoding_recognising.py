"""Settings are told from other files by what is in them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import GenerationConfig

from llmlab.ui.panels.decoding import presets, recognising
from llmlab.ui.panels.decoding.params import Params
from llmlab.ui.panels.decoding.words import TokenWord


def holds(folder: Path, name: str, text: str | bytes) -> bool:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return recognising.holds_settings(path)


@pytest.mark.parametrize(
    "params",
    [
        Params(),
        Params(temperature=1.5),
        Params(stop=("a: b", "\n\n"), banned=("key:", TokenWord((1,), ("x",))), biases=(("other: ", 1.0),), top_k=0),
    ],
)
def test_what_was_saved_here_is_known(tmp_path: Path, params: Params) -> None:
    text = presets.to_yaml(params)
    assert holds(tmp_path, "any.yml", text)
    without_head = "\n".join(text.splitlines()[1:])
    assert holds(tmp_path, "hand.yaml", without_head) is (params != Params())


def test_a_generation_config_is_known(tmp_path: Path) -> None:
    GenerationConfig(do_sample=True, top_p=0.9, eos_token_id=[1, 2]).save_pretrained(tmp_path)
    assert recognising.holds_settings(tmp_path / "generation_config.json")
    assert holds(tmp_path, "plain.json", json.dumps({"_from_model_config": True, "transformers_version": "5.23.0"}))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("data.yaml", "- text: good\n  temperature: 3\n"),
        ("data.yaml", "name: x\nitems:\n- a\ntask: y\nstop: z\n"),
        ("data.json", '[{"temperature": 1}]'),
        ("data.json", '{"examples": [], "stop": "x", "name": 1, "split": 2}'),
        ("config.json", '{"temperature": 0.5}'),
        ("story.txt", "temperature: 0.5"),
        ("deep.json", "[" * 50_000),
        ("broken.json", "{"),
        ("binary.yaml", bytes(range(256))),
        ("long.yaml", "temperature: 0.5\n" + "#" * recognising.MAX_BYTES),
        ("empty.yaml", ""),
    ],
)
def test_other_files_are_not(tmp_path: Path, name: str, text: str | bytes) -> None:
    assert not holds(tmp_path, name, text)


def test_what_is_not_there_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    assert not recognising.holds_settings(tmp_path / "folder.yaml")
    assert not recognising.holds_settings(tmp_path / "gone.yaml")


@given(st.text())
def test_any_text_can_be_looked_at(text: str) -> None:
    for name in ("x.yaml", "x.json"):
        recognising._are_settings(recognising._keys(Path(name), text))
