"""A tiny corpus, written by the project's own generator, and a recipe small enough to run in seconds."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from llmlab.training import assemble, export
from llmlab.training.assemble import prepare_tokenizer
from llmlab.training.corpus import SEPARATOR, Corpus
from llmlab.training.recipes import RECIPES, Recipe
from llmlab.training.record import record
from llmlab.training.stories import story

TINY_CONFIGS = {
    "decoder": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
                "head_dim": 16, "intermediate_size": 48},
    "encoder": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48},
    "seq2seq": {"d_model": 32, "d_kv": 16, "d_ff": 48, "num_layers": 1, "num_decoder_layers": 1, "num_heads": 2},
    "draft": {"hidden_size": 24, "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16,
              "intermediate_size": 32},
}  # fmt: skip

TINY_PLAN = {"batches": 2, "texts": 6, "written_length": 48, "prompts": (6, 12)}


def _write_documents(path: Path, documents: list[str]) -> None:
    path.write_text("".join(f"{text}\n{SEPARATOR}\n" for text in documents), "utf-8")


def _write_records(path: Path, records: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """120 generated stories in two files, some requests with intents, questions and messages."""
    texts, labelled = tmp_path_factory.mktemp("text"), tmp_path_factory.mktemp("labelled")
    rng = np.random.default_rng(1)
    stories = [story(rng) for _ in range(240)]
    _write_documents(texts / "01_tinystories_slice.txt", [one.text for one in stories[:160]])
    _write_documents(texts / "09_dialogue_sgd.txt", [one.text for one in stories[160:]])
    requests = [
        {"text": f"please {verb} the {thing} number {number}", "label": f"{verb}_{thing}", "domain": thing}
        for verb in ("book", "find", "move", "call", "send", "open", "close", "paint")
        for thing in ("boat", "table", "taxi", "room", "light")
        for number in range(12)
    ]
    _write_records(labelled / "clinc150.jsonl", requests)
    messages = [
        {"text": f"win {n} pounds now" if n % 2 else f"see you at {n}", "label": "spam" if n % 2 else "ham"}
        for n in range(60)
    ]
    _write_records(labelled / "sms_spam.jsonl", messages)
    questions = [
        {"section": one.text, "question": question, "answer": answer}
        for one in stories
        for question, answer in one.questions
    ]
    _write_records(labelled / "fairytaleqa.jsonl", questions)
    return Corpus(texts, labelled)


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="session")
def tokenizer(corpus: Corpus, work: Path) -> Tokenizer:
    """A vocabulary of 600 entries learned from the tiny corpus."""
    return prepare_tokenizer(corpus, work, 600)


@pytest.fixture
def tiny_recipe() -> Callable[[str], Recipe]:
    """The shipped recipes with small models, short rows and a budget of a few steps."""

    def make(kind: str) -> Recipe:
        recipe = RECIPES[kind]
        config = {**recipe.config, **TINY_CONFIGS[kind]}
        rates = replace(recipe.rates, warmup_steps=2)
        plan = recipe.distillation and replace(recipe.distillation, **TINY_PLAN)
        return replace(
            recipe, config=config, rows=4, length=48, tokens=3000, minutes=0.0, rates=rates, distillation=plan
        )

    return make


@pytest.fixture(scope="session")
def teacher(corpus: Corpus, tokenizer: Tokenizer, work: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny decoder that has learned nothing, for a draft model to learn from."""
    recipe = RECIPES["decoder"]
    recipe = replace(recipe, config={**recipe.config, **TINY_CONFIGS["decoder"]}, tokens=1)
    trainer = assemble.trainer(recipe, corpus, tokenizer, work, torch.device("cpu"))
    folder = tmp_path_factory.mktemp("decoder")
    export.export(trainer.model, recipe, tokenizer, folder, record(trainer, corpus))
    return folder


@pytest.fixture(autouse=True)
def _reproducible() -> None:
    torch.manual_seed(0)
