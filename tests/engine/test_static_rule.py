"""How many slots there are, and which models and texts get none."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM
from transformers.cache_utils import DynamicCache

from llmlab.engine.static_rule import FEWEST_SLOTS, slots_at, why_not_cache, why_not_model
from llmlab.engine.static_steps import StaticSteps
from tests.engine import checkpoints, tiny


@given(st.integers(0, 200_000), st.one_of(st.none(), st.integers(1, 200_000)))
def test_there_is_a_slot_for_every_position(position: int, context: int | None) -> None:
    slots = slots_at(position, context)
    assert slots > position
    assert slots_at(position + 1, context) >= slots
    if context is None or slots < context:
        assert slots >= FEWEST_SLOTS
        assert slots & (slots - 1) == 0
        assert slots == FEWEST_SLOTS or slots <= 2 * position
    elif position < context:
        assert slots == context


def cache_of(tokens: int, layers: int = 2, heads: int = 2, width: int = 8) -> DynamicCache:
    states = torch.zeros(1, heads, tokens, width)
    return DynamicCache([(states, states)] * layers)


def test_reading_empty_slots_must_cost_little() -> None:
    model = torch.nn.Linear(1, 1)
    cache = cache_of(4, width=1000)  # 2 layers × 2 × 2 heads × 1000 × 4 bytes = 32,000 a slot
    assert why_not_cache(model, cache, 2000, weights=0) == ""  # 64 MB: little beside the launches of two layers
    assert "so long" in why_not_cache(model, cache, 2048, weights=0)
    assert why_not_cache(model, cache, 2048, weights=4 * 2048 * 32_000) == ""
    assert "so long" in why_not_cache(model, cache, 2048, weights=4 * 2047 * 32_000)


def test_caches_of_other_kinds_are_left_alone() -> None:
    model = torch.nn.Linear(1, 1)
    assert why_not_cache(model, None, 256, 0)
    assert why_not_cache(model, DynamicCache(config=LlamaConfig(num_hidden_layers=2)), 256, 0)  # nothing read yet
    windows = DynamicCache(
        [(torch.zeros(1, 1, 4, 2), torch.zeros(1, 1, 4, 2), torch.tensor(window)) for window in (8, 9)]
    )
    assert "several lengths" in why_not_cache(model, windows, 256, 0)


def llama(**more: Any) -> Any:
    config = LlamaConfig(
        vocab_size=checkpoints.VOCABULARY, hidden_size=32, intermediate_size=64, num_hidden_layers=1,
        num_attention_heads=4, **more,
    )  # fmt: skip
    return tiny.wrap(LlamaForCausalLM(config), checkpoints.tokenizer()).loaded


@pytest.mark.parametrize(
    ("rope", "reason"),
    [
        ({"rope_type": "default"}, ""),
        ({"rope_type": "linear", "factor": 2.0}, ""),
        ({"rope_type": "dynamic", "factor": 2.0}, "rotary"),
        (
            {
                "rope_type": "longrope", "factor": 2.0, "original_max_position_embeddings": 64,
                "short_factor": [1.0] * 4, "long_factor": [2.0] * 4,
            },
            "rotary",
        ),
    ],
    ids=["default", "linear", "dynamic", "longrope"],
)  # fmt: skip
def test_rotary_embeddings_that_change_are_not_recorded(rope: dict[str, Any], reason: str) -> None:
    found = why_not_model(llama(rope_parameters={"rope_theta": 10_000.0, **rope}))
    assert reason in found
    assert bool(reason) == bool(found)


def test_models_that_choose_their_work_by_results_are_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = llama()
    assert why_not_model(loaded) == ""
    monkeypatch.setattr(LlamaForCausalLM, "_can_compile_fullgraph", False)
    assert "results on the way" in why_not_model(loaded)


def test_a_model_on_several_devices_is_not_recorded() -> None:
    loaded = llama()
    loaded.model.lm_head.to("meta")  # as weights that are offloaded are
    assert "several devices" in why_not_model(loaded)


def test_quantized_weights_whose_kernels_wait_are_not_recorded() -> None:
    class Quantizer:
        is_compileable = False

    loaded = llama()
    loaded.model.hf_quantizer = Quantizer()
    assert "quantized" in why_not_model(loaded)


def test_positions_that_the_model_works_out_itself_are_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = tiny.engine("gpt2").loaded
    monkeypatch.setattr(GPT2LMHeadModel, "forward", lambda self, input_ids, attention_mask, logits_to_keep: None)
    assert "positions" in why_not_model(loaded)


def test_an_encoder_is_not_recorded() -> None:
    assert "encoder" in why_not_model(tiny.engine("t5").loaded)


def test_nothing_is_recorded_on_a_processor() -> None:
    assert StaticSteps.of(llama()) is None
