"""Tiny decoders of many families, for what batches and caches must not change."""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from llmlab.engine import Engine
from tests.engine import tiny

_SMALL: dict[str, Any] = {"vocab_size": 320, "bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
_LLAMA: dict[str, Any] = {
    **_SMALL,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
}


def decoder(kind: str) -> Engine:
    """An engine over a random model of this family."""
    torch.manual_seed(0)
    if kind in tiny.ARCHITECTURES:
        return tiny.engine(kind)
    makers = {
        "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**_LLAMA)),
        "mistral, window 16": lambda: MistralForCausalLM(MistralConfig(**_LLAMA, sliding_window=16)),
        "gemma3": lambda: Gemma3ForCausalLM(Gemma3TextConfig(**_LLAMA, sliding_window=16)),
        "opt": lambda: OPTForCausalLM(
            OPTConfig(
                **_SMALL, hidden_size=32, ffn_dim=64, num_hidden_layers=2, num_attention_heads=4, word_embed_proj_dim=32
            )
        ),
        "gpt-neox": lambda: GPTNeoXForCausalLM(
            GPTNeoXConfig(
                **_SMALL, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
            )
        ),
        "bloom": lambda: BloomForCausalLM(BloomConfig(**_SMALL, hidden_size=32, n_layer=2, n_head=4)),
        "mamba": lambda: MambaForCausalLM(MambaConfig(**_SMALL, hidden_size=32, num_hidden_layers=2, state_size=4)),
    }  # fmt: skip
    return tiny.wrap(makers[kind](), tiny.byte_level(), context=256)


DECODERS = ("gpt2", "llama", "qwen3", "mistral, window 16", "gemma3", "opt", "gpt-neox", "bloom", "mamba")
