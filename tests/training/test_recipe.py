"""The recipe end to end, on a corpus generated for the test."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM, AutoTokenizer

from llmlab.training import assemble, cards, export
from llmlab.training.corpus import Corpus
from llmlab.training.loop import StepRecord, Trainer
from llmlab.training.models import build
from llmlab.training.optim import split_parameters
from llmlab.training.recipes import RECIPES, Recipe
from llmlab.training.record import record
from llmlab.training.tokenizer import ID, SENTINELS

KINDS = ("decoder", "encoder", "seq2seq", "draft")
AUTO = {
    "decoder": AutoModelForCausalLM,
    "encoder": AutoModelForMaskedLM,
    "seq2seq": AutoModelForSeq2SeqLM,
    "draft": AutoModelForCausalLM,
}
CPU = torch.device("cpu")
Make = Callable[[str], Recipe]
MakeTrainer = Callable[[Recipe], Trainer]


@pytest.fixture
def make_trainer(corpus: Corpus, tokenizer: Tokenizer, work: Path, teacher: Path) -> Callable[[Recipe], Trainer]:
    """A trainer of any recipe at step 0."""

    def make(recipe: Recipe) -> Trainer:
        if recipe.distillation is not None:
            return assemble.draft_trainer(recipe, corpus, teacher, work, CPU)
        return assemble.trainer(recipe, corpus, tokenizer, work, CPU)

    return make


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_falls_and_the_budget_ends_the_run(kind: str, tiny_recipe: Make, make_trainer: MakeTrainer) -> None:
    recipe = tiny_recipe(kind)
    trainer = make_trainer(recipe)
    with torch.no_grad():  # on the same data: the steps of a run draw different tasks
        before = float(trainer.objective(trainer.model, 0, 0.0).loss)
    records = list(trainer.run())
    with torch.no_grad():
        assert float(trainer.objective(trainer.model, 0, 0.0).loss) < before
    assert records[-1].tokens >= recipe.tokens > records[-2].tokens
    assert [one.step for one in records] == list(range(1, len(records) + 1))


@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_run_equals_an_uninterrupted_one(
    kind: str, tiny_recipe: Make, make_trainer: MakeTrainer, tmp_path: Path
) -> None:
    recipe = tiny_recipe(kind)
    whole = make_trainer(recipe)
    expected = list(whole.run())

    first = make_trainer(recipe)
    begun = list(islice(first.run(), 3))
    first.save(tmp_path / "model.pt")
    second = make_trainer(recipe)
    second.load(tmp_path / "model.pt")
    rest = list(second.run())

    assert [_facts(one) for one in begun + rest] == [_facts(one) for one in expected]
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, second.model.state_dict()[name]), name


def _facts(one: StepRecord) -> tuple[int, int, float, float]:
    return one.step, one.tokens, one.loss, one.rate


@pytest.mark.parametrize("kind", KINDS)
def test_an_exported_model_loads_with_the_auto_classes(
    kind: str,
    tiny_recipe: Make,
    make_trainer: MakeTrainer,
    corpus: Corpus,
    tokenizer: Tokenizer,
    teacher: Path,
    tmp_path: Path,
) -> None:
    trainer = make_trainer(tiny_recipe(kind))
    next(trainer.run())
    facts = record(trainer, corpus, teacher=teacher if kind == "draft" else None)
    if kind == "draft":
        export.export_draft(trainer.model, trainer.recipe, teacher, tmp_path, facts)
    else:
        export.export(trainer.model, trainer.recipe, tokenizer, tmp_path, facts)
    cards.write(tmp_path, facts)
    model, info = AUTO[kind].from_pretrained(tmp_path, output_loading_info=True, use_safetensors=True)
    assert not any(info.values())
    assert model.dtype == torch.bfloat16
    fast = AutoTokenizer.from_pretrained(tmp_path)
    assert fast.is_fast
    assert fast.model_max_length == 512
    assert facts["name"] in (tmp_path / "README.md").read_text("utf-8")


def test_the_restorer_begins_with_a_decoder_that_finds_its_sentinels_and_an_encoder_that_looks_near() -> None:
    model = build(RECIPES["seq2seq"], 200).eval()
    model.set_attn_implementation("eager")
    sentinels = [ID[name] for name in SENTINELS[:3]]
    inputs = torch.arange(100, 130)
    inputs[[5, 14, 22]] = torch.tensor(sentinels)
    with torch.no_grad():
        output = model(
            input_ids=inputs[None], decoder_input_ids=torch.tensor([[0, *sentinels]]), output_attentions=True
        )
    found = torch.stack([layer[0, :, [1, 2, 3], [5, 14, 22]] for layer in output.cross_attentions])
    assert found.mean() > 0.5  # of 30 places
    before, after = output.encoder_attentions[0][0, 0].diagonal(-1), output.encoder_attentions[0][0, 1].diagonal(1)
    assert before.mean() > 0.4
    assert after.mean() > 0.4


def test_every_parameter_of_the_restorer_learns_in_one_way() -> None:
    model = build(RECIPES["seq2seq"], 200)
    split = split_parameters(model)
    parts = [id(parameter) for part in split for parameter in part]
    assert sorted(parts) == sorted(id(parameter) for parameter in model.parameters())
    layers = RECIPES["seq2seq"].config["num_layers"], RECIPES["seq2seq"].config["num_decoder_layers"]
    assert (len(split.queries), len(split.cross)) == (sum(layers), 2 * layers[1])


def test_minutes_end_a_run_too(tiny_recipe: Make, make_trainer: MakeTrainer) -> None:
    recipe = tiny_recipe("encoder")
    trainer = make_trainer(recipe)
    trainer.seconds = 60 * 5.0
    assert trainer.progress == 0.0
    trainer.recipe = type(recipe)(**{**_fields(recipe), "minutes": 5.0})
    assert trainer.progress == 1.0
    assert list(trainer.run()) == []


def _fields(recipe: Recipe) -> dict[str, object]:
    return {name: getattr(recipe, name) for name in recipe.__slots__}
