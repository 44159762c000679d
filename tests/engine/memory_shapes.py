"""The built-in architectures in numbers, each built once for all tests."""

from __future__ import annotations

from functools import cache

from transformers import LlamaConfig

from llmlab.engine.memory.activations import Checkpointing
from llmlab.engine.memory.architectures import architecture
from llmlab.engine.memory.describe import describe
from llmlab.engine.memory.passing import logit_bytes, logits_term, passing
from llmlab.engine.memory.shape import ModelShape
from llmlab.engine.memory.terms import Term
from llmlab.engine.memory.training import TrainingSettings

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


def passing_terms(shape: ModelShape, settings: TrainingSettings) -> tuple[Term, ...]:
    """What comes and goes with the batch: activations, the loss, and the layer that is recomputed, if one is."""
    there, sizes = passing(shape, settings), (settings.batch, settings.tokens)
    found = (there.stored_term(*sizes), logits_term(shape, settings, logit_bytes(shape, settings), ""))
    return found if settings.checkpointing is Checkpointing.NONE else (*found, there.recomputed_term(*sizes))
