"""Building the three architectures from a recipe."""

from __future__ import annotations

import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    ModernBertConfig,
    ModernBertForMaskedLM,
    PreTrainedConfig,
    PreTrainedModel,
    T5Config,
    T5ForConditionalGeneration,
)

from llmlab.training.recipes import Recipe

_CLASSES: dict[str, tuple[type[PreTrainedConfig], type[PreTrainedModel]]] = {
    "decoder": (LlamaConfig, LlamaForCausalLM),
    "encoder": (ModernBertConfig, ModernBertForMaskedLM),
    "seq2seq": (T5Config, T5ForConditionalGeneration),
}


def build(recipe: Recipe, vocabulary: int) -> PreTrainedModel:
    """A freshly initialised model in float32; the same seed gives the same weights."""
    config_class, model_class = _CLASSES[recipe.kind]
    torch.manual_seed(recipe.seed)
    config = config_class(**{"vocab_size": vocabulary, **recipe.config})
    return model_class(config)
