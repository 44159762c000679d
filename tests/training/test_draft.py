"""The draft model: what its teacher writes, what it learns from, and the shipped one at work."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from torch.nn import functional

from llmlab import paths
from llmlab.engine import Engine, catalog
from llmlab.training import __main__ as command
from llmlab.training.assemble import decoder_rows, token_stores
from llmlab.training.corpus import Corpus
from llmlab.training.distillation import DistillationObjective, divergence, open_teacher, weights_digest
from llmlab.training.evaluate import acceptance
from llmlab.training.mixture import DecoderRows, TextMix
from llmlab.training.recipes import RECIPES, Distillation, Recipe
from llmlab.training.writing import write_batch, written_texts

CPU = torch.device("cpu")
BEGINNINGS = (
    "Once upon a time, there was a little girl",
    "One day, Tom and his dog",
    "The old king",
    "Lily and Ben went to the park.",
    "It was a rainy day.",
    "The bird wanted to",
    "In a small house there lived",
    "Mom said,",
    "Anna: Hi! How are you?\nBen:",
    "The sun",
)


@pytest.fixture
def recipe(tiny_recipe: Callable[[str], Recipe]) -> Recipe:
    return tiny_recipe("draft")


@pytest.fixture
def plan(recipe: Recipe) -> Distillation:
    assert recipe.distillation is not None
    return recipe.distillation


@pytest.fixture
def rows(recipe: Recipe, plan: Distillation, corpus: Corpus, tokenizer: Tokenizer, work: Path) -> DecoderRows:
    text = TextMix(token_stores(recipe, corpus, tokenizer, work), recipe.mix)
    return decoder_rows(recipe, text, corpus, tokenizer, plan.curriculum)


def test_greedy_texts_are_what_the_teacher_generates_and_the_others_are_drawn(
    teacher: Path, rows: DecoderRows, plan: Distillation
) -> None:
    model = open_teacher(teacher, CPU)
    ids = write_batch(model, rows, plan, 1)
    assert ids.shape == (plan.texts, plan.written_length)
    prompt = torch.from_numpy(ids[:, : plan.prompts[1]])
    new = plan.written_length - plan.prompts[1]
    with torch.inference_mode():
        made = model.generate(
            prompt, attention_mask=torch.ones_like(prompt), do_sample=False, temperature=None, top_p=None,
            top_k=None, max_new_tokens=new, min_new_tokens=new, eos_token_id=-1,
        ).numpy()  # fmt: skip
    greedy = round(plan.greedy * plan.texts)
    assert 0 < greedy < plan.texts
    assert [bool((a == b).all()) for a, b in zip(ids, made, strict=True)] == [i < greedy for i in range(plan.texts)]
    assert (write_batch(model, rows, plan, 1) == ids).all()


def test_texts_that_are_there_are_not_written_again(
    teacher: Path, rows: DecoderRows, plan: Distillation, tmp_path: Path
) -> None:
    said: list[str] = []
    model = open_teacher(teacher, CPU)
    texts = written_texts(model, rows, plan, tmp_path, said.append)
    assert texts.shape == (plan.batches * plan.texts, plan.written_length)
    assert len(said) == plan.batches
    (tmp_path / "0001.npy").unlink()
    assert (written_texts(model, rows, plan, tmp_path, said.append) == texts).all()
    assert len(said) == plan.batches + 1


@given(st.integers(0, 10_000))
def test_the_loss_is_the_divergence_from_the_teacher(seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    logits, wanted = torch.randn(2, 2, 3, 7, generator=random)
    by_torch = functional.kl_div(
        logits.log_softmax(-1).flatten(0, 1), wanted.softmax(-1).flatten(0, 1), reduction="batchmean"
    )
    assert float(divergence(logits, wanted)) == pytest.approx(float(by_torch), abs=1e-6)
    assert float(divergence(wanted + 3.0, wanted)) == pytest.approx(0.0, abs=1e-6)


def test_rows_are_the_teachers_own_by_their_share_and_only_a_function_of_the_step(
    recipe: Recipe, rows: DecoderRows, plan: Distillation
) -> None:
    marked = np.full((5, plan.written_length), 599, np.uint16)  # nothing else is all of one token
    objective = DistillationObjective(None, rows, marked, recipe, CPU)
    batches = [objective.batch(step) for step in range(60)]
    assert {batch.shape for batch in batches} == {(4, 48), (2, 96)}
    own = [bool((row == 599).all()) for batch in batches for row in batch]
    assert sum(own) / len(own) == pytest.approx(plan.own, abs=0.08)
    assert (objective.batch(7) == batches[7]).all()


def test_the_teacher_does_not_learn(recipe: Recipe, teacher: Path, corpus: Corpus, work: Path) -> None:
    from llmlab.training.assemble import draft_trainer

    trainer = draft_trainer(recipe, corpus, teacher, work, CPU)
    model = trainer.objective._teacher  # type: ignore[attr-defined]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    next(trainer.run())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_without_a_decoder_there_is_nothing_to_learn_from(tmp_path: Path) -> None:
    folders = ["--corpus", str(tmp_path), "--labelled", str(tmp_path), "--out", str(tmp_path / "nothing")]
    with pytest.raises(SystemExit, match="train that first"):
        command.main(["draft", *folders, "--work", str(tmp_path)])


def test_the_shipped_one_is_small_and_reads_the_decoders_tokens() -> None:
    draft, decoder = paths.bundled_model("draft"), paths.bundled_model("decoder")
    assert sum(file.stat().st_size for file in draft.iterdir()) < 2.5e6
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (draft / name).read_bytes() == (decoder / name).read_bytes()
    facts = json.loads((draft / "training_record.json").read_text("utf-8"))
    assert facts["teacher"]["weights"] == weights_digest(decoder)
    assert facts["recipe"]["config"] == RECIPES["draft"].config
    assert catalog.draft_for("bundled:decoder") == "bundled:draft"


def test_the_text_is_the_decoders_and_some_guesses_are_accepted() -> None:
    engine = Engine.open("bundled:decoder", device="cpu", dtype="float32")
    accepted = rejected = 0
    for prompt in BEGINNINGS:
        greedy = [step.token_id for step in engine.generate(prompt, do_sample=False, max_new_tokens=20)]
        steps = list(engine.assisted(prompt, draft="bundled:draft", num_tokens=3, do_sample=False, max_new_tokens=20))
        assert [token.token_id for step in steps for token in step.tokens] == greedy
        accepted += sum(token.accepted for step in steps for token in step.tokens)
        rejected += sum(len(step.rejected) for step in steps)
    assert 0.2 < accepted / (accepted + rejected) < 0.95


def test_acceptance_counts_guesses_passes_and_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptance, "NEW_TOKENS", 12)
    monkeypatch.setattr(acceptance, "GUESSES", (1, 4))
    engine = Engine.open("bundled:decoder", device="cpu", dtype="float32")
    for one in acceptance.acceptance(engine, "bundled:decoder", BEGINNINGS[:2], sampled=False):
        assert one.accepted.value == 1.0, "the model agrees with itself"
        assert one.tokens == one.plain_tokens == 2 * acceptance.NEW_TOKENS
        assert one.passes == 2 * -(-acceptance.NEW_TOKENS // (one.guesses + 1))
        assert one.accepted.trials == one.tokens - one.passes
    found = acceptance.acceptance(engine, "bundled:draft", BEGINNINGS[:1], sampled=True)
    assert [one.guesses for one in found] == list(acceptance.GUESSES)
    assert all(one.accepted.hits + one.passes >= one.tokens for one in found)
