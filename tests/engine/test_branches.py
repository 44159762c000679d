"""Branches: what is given is told exactly, the rest is what a run from the start would have made of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from llmlab.engine import Engine, reading
from llmlab.engine.errors import InputError
from llmlab.engine.types import GenerationStep
from tests.engine import checkpoints, tiny

PROMPT = "Once upon a time there was"
SAMPLED: dict[str, Any] = {"temperature": 1.2, "top_k": 60, "seed": 5}


def ids_of(steps: list[GenerationStep]) -> list[int]:
    return [step.token_id for step in steps]


def text_of(steps: list[GenerationStep]) -> str:
    return "".join(step.text for step in steps)


def logits_of(step: GenerationStep) -> np.ndarray:
    assert step.sorted is not None
    order = np.argsort(step.sorted.ids)
    return step.sorted.logits[order]


def prefilled(engine: Engine, completion: list[int]) -> np.ndarray:
    """The logits after prompt and completion, in one forward pass without a cache."""
    model, ids = engine.loaded.model, engine.tokenize(PROMPT).ids.tolist()
    with torch.inference_mode():
        if model.config.is_encoder_decoder:
            start = reading.decoder_start(engine.loaded)
            inputs = {"input_ids": torch.tensor([ids]), "decoder_input_ids": torch.tensor([start + completion])}
        else:
            inputs = {"input_ids": torch.tensor([ids + completion])}
        return np.asarray(model(**inputs, use_cache=False).logits[0, -1].numpy())


def engine_of(kind: str) -> Engine:
    if kind == "gemma3":  # every other layer forgets what is more than eight tokens back
        config = Gemma3TextConfig(
            vocab_size=checkpoints.VOCABULARY,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=8,
            sliding_window=8,
            layer_types=["sliding_attention", "full_attention"],
            pad_token_id=1,
            bos_token_id=0,
            eos_token_id=2,
        )
        return tiny.wrap(Gemma3ForCausalLM(config), checkpoints.tokenizer(), context=128)
    if kind == "mamba":  # no key-value cache at all
        config = MambaConfig(
            vocab_size=checkpoints.VOCABULARY, hidden_size=32, state_size=4, num_hidden_layers=2, eos_token_id=2
        )
        return tiny.wrap(MambaForCausalLM(config), checkpoints.tokenizer(), context=128)
    return tiny.engine(kind)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "t5", "bart", "gemma3", "mamba"])
def test_a_branchs_logits_are_those_of_reading_everything_again(kind: str) -> None:
    engine = engine_of(kind)
    options: dict[str, Any] = {"max_new_tokens": 20, "keep_cache": True, "capture": True, **SAMPLED}
    first = ids_of(list(engine.generate(PROMPT, **options)))
    for at in (13, 4, 0):  # from the newest back: what was cut off must not come back
        if at >= len(first):
            continue
        other = (first[at] + 1) % checkpoints.VOCABULARY
        branch = list(engine.generate(PROMPT, given=[*first[:at], other], known=at, **options))
        assert branch[0].index == at
        assert (branch[0].token_id, branch[0].given, branch[0].uniform) == (other, True, None)
        for step in branch[:3]:
            before = [*first[:at], *ids_of(branch)[: step.index - at]]
            np.testing.assert_allclose(logits_of(step), prefilled(engine, before), atol=1e-4)


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_the_same_seed_repeats_the_rest(kind: str) -> None:
    engine = tiny.engine(kind)
    whole = list(engine.generate(PROMPT, max_new_tokens=15, keep_cache=True, **SAMPLED))
    for at in (0, 1, 9):
        rest = list(
            engine.generate(PROMPT, given=ids_of(whole)[:at], known=at, max_new_tokens=15, keep_cache=True, **SAMPLED)
        )
        assert ids_of(rest) == ids_of(whole)[at:]
        assert [step.uniform for step in rest] == [step.uniform for step in whole[at:]]
        assert [step.index for step in rest] == list(range(at, len(whole)))
        assert text_of(whole[:at]) + text_of(rest) == text_of(whole)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "t5", "bart"])
def test_a_branch_is_the_same_to_the_last_bit_with_or_without_the_cache(kind: str) -> None:
    engine = engine_of(kind)
    first = list(engine.generate(PROMPT, max_new_tokens=12, keep_cache=True, **SAMPLED))
    for at in (7, 1, 0):
        options: dict[str, Any] = {"given": [*ids_of(first)[:at], 9], "known": at, "max_new_tokens": 12, **SAMPLED}
        kept = list(engine.generate(PROMPT, keep_cache=True, **options))
        fresh = list(engine.generate(PROMPT, **options | {"known": 0}))[at:]
        assert [(step.token_id, step.raw_probability, step.probability) for step in kept] == [
            (step.token_id, step.raw_probability, step.probability) for step in fresh
        ]


def test_a_branch_reads_only_what_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = tiny.engine("llama")
    first = ids_of(list(engine.generate(PROMPT, max_new_tokens=20, keep_cache=True, do_sample=False)))
    lengths: list[int] = []
    forward = reading.Reader._forward

    def counted(self: reading.Reader, ids: list[int]) -> Any:
        lengths.append(len(ids))
        return forward(self, ids)

    monkeypatch.setattr(reading.Reader, "_forward", counted)
    options: dict[str, Any] = {"max_new_tokens": 20, "do_sample": False}
    given = [*first[:10], 7]
    with_cache = list(engine.generate(PROMPT, given=given, known=10, keep_cache=True, **options))
    assert lengths[0] == 1
    lengths.clear()
    without = list(engine.generate(PROMPT, given=given, known=10, **options))
    assert lengths[0] > 10
    assert ids_of(with_cache) == ids_of(without)
    lengths.clear()
    again = list(engine.generate(PROMPT, keep_cache=True, **options))
    assert lengths[0] > 1, "from its start a text is the same whatever else ran"
    assert ids_of(again) == first


def test_given_tokens_are_told_one_by_one_with_their_own_numbers() -> None:
    engine = tiny.engine("llama")
    text = " little model"
    given = engine.tokenize(PROMPT + text).ids.tolist()[len(engine.tokenize(PROMPT).ids) :]
    steps = list(engine.generate(PROMPT, given=given, max_new_tokens=len(given) + 2, seed=1))
    assert [step.given for step in steps] == [True] * len(given) + [False] * 2
    assert text_of(steps[: len(given)]) == text
    total = sum(np.log(step.raw_probability) for step in steps[: len(given)])
    assert total == pytest.approx(engine.score(PROMPT, [text])[0], abs=1e-3)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "t5"])
def test_an_edited_completion_has_the_tokens_that_follow_the_text(kind: str) -> None:
    engine = tiny.engine(kind)
    ids = engine.completion_ids(PROMPT, " a little model")
    steps = list(engine.generate(PROMPT, given=ids, max_new_tokens=len(ids)))
    assert text_of(steps) == " a little model"
    merging = engine.completion_ids("Once upon a ti", "me again")
    assert engine.loaded.tokenizer.decode(merging) == "me again", "the text's own tokens stay as they are"
    assert engine.completion_ids(PROMPT, "") == ()


def test_a_stop_string_over_the_branch_point_is_honoured() -> None:
    engine = tiny.engine("llama")
    given = engine.tokenize(PROMPT + " again.").ids.tolist()[len(engine.tokenize(PROMPT).ids) :]
    assert len(given) > 1
    steps = list(engine.generate(PROMPT, given=given, known=1, max_new_tokens=30, stop=("gain.",)))
    assert steps[-1].finish_reason == "stop"
    assert len(steps) == len(given) - 1
    assert "gain." not in text_of(steps)


def test_what_cannot_be_given_is_refused_at_once() -> None:
    engine = tiny.engine("llama")
    for wrong in ({"given": [3], "known": 2}, {"given": [3] * 9}, {"given": [99_999]}, {"given": [3] * 5, "known": 5}):
        with pytest.raises(InputError):
            engine.generate(PROMPT, max_new_tokens=5, **wrong)  # type: ignore[arg-type]


def test_the_shelf_is_bounded_and_emptied_with_the_model() -> None:
    engine = tiny.engine("llama")
    for seed in range(20):
        list(engine.generate(PROMPT, max_new_tokens=2, seed=seed, keep_cache=True))
    assert 1 < len(engine._shelf._readers) <= 16
    engine._shelf._most_bytes = 1
    list(engine.generate(PROMPT, max_new_tokens=2, keep_cache=True))
    assert engine._shelf._readers == []
    engine._shelf._most_bytes = 10**9
    list(engine.generate(PROMPT, max_new_tokens=2, keep_cache=True))
    engine.close()
    assert engine._shelf._readers == []


# --- long prompts -----------------------------------------------------------------------------------------------

LONG = 1_200  # positions that the models of this section have
SMALL: dict[str, Any] = {
    "vocab_size": checkpoints.VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": LONG,
    "bos_token_id": 0,
    "pad_token_id": 1,
    "eos_token_id": 2,
}
POSITIONS: dict[str, Callable[[], PreTrainedModel]] = {
    "rotary": lambda: LlamaForCausalLM(LlamaConfig(**SMALL)),
    "learned": lambda: GPT2LMHeadModel(
        GPT2Config(vocab_size=checkpoints.VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=LONG, eos_token_id=2)
    ),
    "normed queries": lambda: Qwen3ForCausalLM(Qwen3Config(head_dim=8, **SMALL)),
    "sliding window": lambda: MistralForCausalLM(MistralConfig(head_dim=8, sliding_window=64, **SMALL)),
}


def long_engine(positions: str) -> Engine:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = POSITIONS[positions]()
    return tiny.wrap(model, checkpoints.tokenizer(), context=LONG)


def prompt_of(engine: Engine, tokens: int) -> str:
    """A text of about so many tokens."""
    ids = engine.tokenize(f"{checkpoints.TEXT} A little girl read it once more, and found that it was another. " * 60)
    return str(engine.loaded.tokenizer.decode(ids.ids[:tokens].tolist()))


def by_transformers(engine: Engine, ids: list[int], new: int) -> list[int]:
    with torch.inference_mode():
        made = engine.loaded.model.generate(
            torch.tensor([ids]), do_sample=False, max_new_tokens=new, pad_token_id=1, top_k=None, top_p=None
        )
    return list(made[0, len(ids) :].tolist())


def check_at(engine: Engine, prompt: str, new: int) -> None:
    """Greedy text before and after a branch is `generate`'s, and every logit that of reading all of it again."""
    start = engine.tokenize(prompt).ids.tolist()
    options: dict[str, Any] = {"max_new_tokens": new, "do_sample": False, "capture": True, "keep_cache": True}
    first = ids_of(list(engine.generate(prompt, **options)))
    assert first == by_transformers(engine, start, new)
    for at in (len(first) // 2, 1):
        other = next(index for index in (9, 10) if index != first[at])
        given = [*first[:at], other]
        branch = list(engine.generate(prompt, given=given, known=at, **options))
        assert ids_of(branch)[1:] == by_transformers(engine, start + given, new - len(given))
        for step in (branch[0], branch[1], branch[-1]):
            read = [*start, *first[:at], *ids_of(branch)[: step.index - at]]
            with torch.inference_mode():
                logits = engine.loaded.model(torch.tensor([read]), use_cache=False).logits[0, -1].numpy()
            np.testing.assert_allclose(logits_of(step), logits, atol=1e-4)


@pytest.mark.parametrize("tokens", [128, 512, 1024])
@pytest.mark.parametrize("positions", POSITIONS)
def test_branches_at_long_contexts(positions: str, tokens: int) -> None:
    engine = long_engine(positions)
    prompt = prompt_of(engine, tokens)
    assert abs(len(engine.tokenize(prompt).ids) - tokens) <= 4
    check_at(engine, prompt, 16)


@pytest.mark.slow
@pytest.mark.parametrize("tokens", [128, 440])
def test_branches_of_the_bundled_decoder_at_long_contexts(tokens: int) -> None:
    engine = Engine.open("bundled:decoder", device="cpu", dtype="float32")
    story = "Once upon a time, there was a little girl named Lily. She loved to play outside. " * 40
    ids = engine.tokenize(story).ids.tolist()[:tokens]
    check_at(engine, engine.loaded.tokenizer.decode(ids), 40)
