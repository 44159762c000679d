"""Building the architectures from a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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

SMALLER = 0.25  # of T5's own standard deviations
STEEPEST = 6.0  # nats
MATCHING = 4.0  # gives a token a lead of about 8 nats where it meets itself
# (slope in nats a token, place relative to the query) of the heads, in turn
ENCODER_SLOPES = ((1.0, -1), (1.0, 1), (0.5, 0), (0.15, 0))
DECODER_SLOPES = ((1.0, -1), (0.5, 0), (0.2, 0), (0.05, 0))

_CLASSES: dict[str, tuple[type[PreTrainedConfig], type[PreTrainedModel]]] = {
    "decoder": (LlamaConfig, LlamaForCausalLM),
    "encoder": (ModernBertConfig, ModernBertForMaskedLM),
    "seq2seq": (T5Config, T5ForConditionalGeneration),
    "draft": (LlamaConfig, LlamaForCausalLM),
}


def build(recipe: Recipe, vocabulary: int) -> PreTrainedModel:
    """A freshly initialised model in float32; the same seed gives the same weights."""
    config_class, model_class = _CLASSES[recipe.kind]
    torch.manual_seed(recipe.seed)
    model = model_class(config_class(**{"vocab_size": vocabulary, **recipe.config}))
    if isinstance(model, T5ForConditionalGeneration):
        _look_around(model)
    return model


@torch.no_grad()
def _look_around(model: T5ForConditionalGeneration) -> None:
    """Begin with heads that look near, and with a decoder that looks for its own tokens in the encoder.

    From T5's own start a model of this size spends millions of tokens before its encoder finds the tokens beside a
    gap and its decoder the gap. Here the position biases begin with slopes like those of ALiBi (Press et al., 2022),
    the matrices small, so that content does not outweigh place, and the queries of the cross-attention as multiples
    of its keys, so that a sentinel finds itself. All of it is learned from there.
    """
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2 and "shared" not in name and "relative" not in name:
            parameter.mul_(SMALLER)
    for block in model.decoder.block:
        cross: Any = block.layer[1].EncDecAttention  # type: ignore[union-attr, index]
        cross.q.weight.copy_(MATCHING * cross.k.weight)
    stacks: tuple[Any, Any] = (model.encoder, model.decoder)
    for stack, slopes in zip(stacks, (ENCODER_SLOPES, DECODER_SLOPES), strict=True):
        _set_slopes(stack.block[0].layer[0].SelfAttention, slopes)


@torch.no_grad()
def _set_slopes(attention: Any, slopes: Sequence[tuple[float, int]]) -> None:
    """Give head h a bias of −slope × distance to its place; ``slopes`` are taken in turn, the last head looks anywhere.

    A bucket of T5's covers several distances: it gets their mean.
    """
    table = attention.relative_attention_bias.weight  # (buckets, heads)
    distances = torch.arange(-attention.relative_attention_max_distance, attention.relative_attention_max_distance + 1)
    buckets = attention._relative_position_bucket(
        distances,
        bidirectional=not attention.is_decoder,
        num_buckets=attention.relative_attention_num_buckets,
        max_distance=attention.relative_attention_max_distance,
    )
    for head in range(table.shape[1]):
        slope, place = (0.0, 0) if head == table.shape[1] - 1 else slopes[head % len(slopes)]
        bias = -(slope * (distances - place).abs()).clamp(max=STEEPEST)
        for bucket in buckets.unique():
            table[bucket, head] = bias[buckets == bucket].mean()
