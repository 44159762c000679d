"""Writing a trained model as an ordinary Hugging Face folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import GenerationConfig, PreTrainedModel

from llmlab.training import tokenizer as vocabulary
from llmlab.training.recipes import Recipe
from llmlab.training.tokenizer import END, END_OF_TEXT, ID, PAD

RECORD = "training_record.json"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


def generation_config(kind: str) -> GenerationConfig | None:
    """How the model is meant to be sampled; an encoder does not generate."""
    if kind in ("decoder", "draft"):
        return GenerationConfig(  # type: ignore[no-untyped-call]
            bos_token_id=ID[END_OF_TEXT],
            eos_token_id=[ID[END_OF_TEXT], ID[END]],
            pad_token_id=ID[PAD],
            do_sample=True,
            temperature=0.7,
            top_p=0.95,
            top_k=0,
            max_new_tokens=200,
        )
    if kind == "seq2seq":
        return GenerationConfig(  # type: ignore[no-untyped-call]
            decoder_start_token_id=ID[PAD],
            eos_token_id=ID[END_OF_TEXT],
            pad_token_id=ID[PAD],
            do_sample=False,
            max_new_tokens=64,
        )
    return None


def context_of(recipe: Recipe) -> int:
    """The longest text the model is meant to read, in tokens; T5 has no limit of its own."""
    return int(recipe.config.get("max_position_embeddings", 512))


def export(
    model: PreTrainedModel, recipe: Recipe, tokenizer: Tokenizer, folder: Path, record: Mapping[str, Any]
) -> None:
    """Write config, bfloat16 weights, tokenizer, generation defaults and the record of the training."""
    _write_model(model, recipe, folder, record)
    vocabulary.save(vocabulary.for_model(tokenizer, recipe.kind, context_of(recipe)), folder)  # type: ignore[arg-type]


def export_draft(
    model: PreTrainedModel, recipe: Recipe, teacher: Path, folder: Path, record: Mapping[str, Any]
) -> None:
    """The same for a draft model, with the very tokenizer files of the model in the folder `teacher`."""
    _write_model(model, recipe, folder, record)
    for name in TOKENIZER_FILES:
        shutil.copyfile(teacher / name, folder / name)


def _write_model(model: PreTrainedModel, recipe: Recipe, folder: Path, record: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    shipped = type(model)(model.config)
    shipped.load_state_dict(model.state_dict())
    shipped.to(torch.bfloat16).eval()  # type: ignore[arg-type]
    generation = generation_config(recipe.kind)
    if generation is not None:
        shipped.generation_config = generation
    shipped.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)  # written for the owner only
    (folder / RECORD).write_text(json.dumps(dict(record), indent=2) + "\n", "utf-8")
