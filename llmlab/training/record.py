"""The record of a training, written next to the weights: nothing in it is typed by hand."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from llmlab.training.corpus import LABELLED_SOURCES, Corpus, source
from llmlab.training.distillation import weights_digest
from llmlab.training.export import RECORD
from llmlab.training.loop import Trainer
from llmlab.training.recipes import Curriculum


def record(trainer: Trainer, corpus: Corpus, remark: str = "", teacher: Path | None = None) -> dict[str, Any]:
    """Sizes, budget, device, versions, the files that were read, the model in the folder `teacher`, and a remark."""
    recipe = trainer.recipe
    facts: dict[str, Any] = {
        "name": recipe.name,
        "kind": recipe.kind,
        "parameters": sum(parameter.numel() for parameter in trainer.model.parameters()),
        "steps": trainer.step,
        "tokens": trainer.tokens,
        "minutes": round(trainer.seconds / 60, 1),
        "machine": trainer.machine,
        "recipe": {name: value for name, value in asdict(recipe).items() if name not in ("tokens", "minutes")},
        "files": [name for name in recipe.mix if name in corpus.names()],
        "labelled": [
            one.name for one in LABELLED_SOURCES if _uses(recipe.kind, one.name) and corpus.labelled(one.name)
        ],
    }
    if recipe.kind == "decoder":
        facts["curriculum"] = asdict(Curriculum())
    if teacher is not None:
        facts["teacher"] = _about(teacher)
    if remark:
        facts["remark"] = remark
    return facts


def _about(teacher: Path) -> dict[str, Any]:
    known = json.loads((teacher / RECORD).read_text("utf-8"))
    return {"name": known["name"], "kind": known["kind"], "weights": weights_digest(teacher)}


def _uses(kind: str, labelled: str) -> bool:
    if kind in ("encoder", "draft"):
        return False
    if kind == "seq2seq":
        return not source(labelled).llama
    return labelled != "fairytaleqa"  # measures the decoder only
