"""The shipped models as a user opens them, and what all sections of the report share."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM, AutoTokenizer

from llmlab.training.corpus import Corpus
from llmlab.training.export import RECORD

AUTO = {
    "decoder": AutoModelForCausalLM,
    "encoder": AutoModelForMaskedLM,
    "seq2seq": AutoModelForSeq2SeqLM,
    "draft": AutoModelForCausalLM,
}
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured: trials of a point of a curve, held-out tokens of a file, passages, tasks."""

    trials: int = 100
    tokens: int = 12_000
    passages: int = 80
    tasks: int = 150


@dataclass(frozen=True, slots=True)
class Shipped:
    """A model as a user loads it, in float32, with eager attention so that its weights can be read."""

    model: Any
    tokenizer: Any
    record: dict[str, Any]

    @property
    def backend(self) -> Any:
        """The ``tokenizers.Tokenizer`` inside."""
        return self.tokenizer.backend_tokenizer


def load(models: Path, kind: str, attention: str = "sdpa") -> Shipped:
    """Open ``models/kind`` offline, in float32."""
    folder = models / kind
    model = AUTO[kind].from_pretrained(
        folder,
        dtype=torch.float32,
        use_safetensors=True,
        trust_remote_code=False,
        local_files_only=True,
        attn_implementation=attention,
    )
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return Shipped(model.eval(), tokenizer, json.loads((folder / RECORD).read_text("utf-8")))


def files(shipped: Shipped, corpus: Corpus) -> list[str]:
    """The files the model was trained on, as far as this corpus has them."""
    return [name for name in shipped.record["files"] if name in corpus.names()]


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])
