"""The models in resources/models: they load offline with the Auto classes and are what their files say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from llmlab import paths
from llmlab.training import cards, report
from llmlab.training.corpus import Corpus

KINDS = ("decoder", "encoder", "seq2seq", "draft")
LOAD = """
import sys
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM, AutoTokenizer
auto = dict(decoder=AutoModelForCausalLM, encoder=AutoModelForMaskedLM, seq2seq=AutoModelForSeq2SeqLM)
auto["draft"] = auto["decoder"]
for kind, cls in auto.items():
    folder = sys.argv[1] + "/" + kind
    model, info = cls.from_pretrained(folder, output_loading_info=True, use_safetensors=True, trust_remote_code=False)
    assert not any(info.values()), info
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    assert tokenizer.is_fast
    assert len(tokenizer) == model.config.vocab_size
    inputs = tokenizer("Once upon a time", return_tensors="pt")
    labels = {"labels": inputs.input_ids} if kind == "seq2seq" else {}
    assert model(**inputs, **labels).logits.isfinite().all()
"""


def test_they_load_offline_without_custom_code() -> None:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    models = str(paths.resources() / "models")
    done = subprocess.run(
        [sys.executable, "-c", LOAD, models], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_they_are_small() -> None:
    weights = [paths.bundled_model(kind) / "model.safetensors" for kind in KINDS]
    assert sum(path.stat().st_size for path in weights) < 90e6


@pytest.mark.parametrize("kind", KINDS)
def test_folder_is_complete(kind: str) -> None:
    folder = paths.bundled_model(kind)
    names = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "README.md"}
    assert names | {"training_record.json"} <= {path.name for path in folder.iterdir()}
    record = json.loads((folder / "training_record.json").read_text("utf-8"))
    card = (folder / "README.md").read_text("utf-8")
    assert record["name"] in card
    assert all(name in card for name in record["files"])
    assert ("Built with Llama" in card) == (kind in ("decoder", "draft"))
    assert card == cards.card(record)


def test_bfloat16_weights_lose_nothing_in_float32() -> None:
    halves, full = (
        report.load(paths.resources() / "models", "decoder").model,
        report.load(paths.resources() / "models", "decoder").model,
    )
    halves.to(torch.bfloat16)
    ids = torch.tensor([[0, *range(300, 340)]])
    with torch.inference_mode():
        a, b = (float(model(input_ids=ids, labels=ids).loss) for model in (halves, full))
    assert a == pytest.approx(b, abs=5e-2)


def test_report_is_complete() -> None:
    text = (paths.resources() / "models" / "REPORT.md").read_text("utf-8")
    for part in (
        "## decoder",
        "### Text",
        "### Learning in context",
        "### Heads",
        "### Samples",
        "## encoder",
        "## seq2seq",
        "## draft",
        "### Guesses",
    ):
        assert part in text
    for kind in KINDS:
        record = json.loads((paths.bundled_model(kind) / "training_record.json").read_text("utf-8"))
        assert f"{record['parameters']:,}" in text


@pytest.mark.slow
def test_report_can_be_written_again(corpus: Corpus, tmp_path: Path) -> None:
    for kind in KINDS:
        (tmp_path / kind).symlink_to(paths.bundled_model(kind), target_is_directory=True)
    effort = report.Effort(trials=4, tokens=300, passages=3, tasks=3)
    text = report.write_report(tmp_path, corpus, effort).read_text("utf-8")
    assert "nan" not in text
    assert text.count("\n| ") > 40
