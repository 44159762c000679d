"""The built-in architectures in numbers, each built once for all tests."""

from __future__ import annotations

from functools import cache

from transformers import LlamaConfig

from llmlab.engine.memory.architectures import architecture
from llmlab.engine.memory.describe import describe
from llmlab.engine.memory.shape import ModelShape

MIB = 2**20
GIB = 2**30


@cache
def shape(name: str) -> ModelShape:
    return describe(architecture(name).config, name)


def billion() -> LlamaConfig:
    """A Llama of 1.1 billion parameters."""
    return LlamaConfig(
        vocab_size=32000,
        hidden_size=2048,
        intermediate_size=5632,
        num_hidden_layers=22,
        num_attention_heads=32,
        num_key_value_heads=4,
        pad_token_id=1,
    )
