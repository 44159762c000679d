"""Which models' steps may be computed over a static cache, and how large it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from llmlab.engine.loading import LoadedModel
from llmlab.engine.reading import forward_parameters
from llmlab.engine.static_cache import states
from llmlab.engine.types import Architecture

FEWEST_SLOTS = 256  # so that a short text is recorded once
PADDED_SHARE = 0.25  # of the weights' bytes: with more, what a pass reads of empty slots would be felt …
PADDED_BYTES = 32_000_000  # … but for so much in a layer: read in less time than Python takes to launch its kernels
KINDS = {"full_attention", "sliding_attention"}  # of layers whose masks are known


def slots_at(position: int, context: int | None) -> int:
    """How many slots there are when the token at `position` is read: a power of two, or the whole context window.

    A function of the position alone: how many there are decides in which order sums are rounded.
    """
    power = max(FEWEST_SLOTS, 1 << position.bit_length())
    return power if context is None else min(power, max(context, position + 1))


def why_not_model(loaded: LoadedModel) -> str:
    """Why no step of this model may be recorded, in a sentence; empty where it may."""
    model: Any = loaded.model
    quantizer = getattr(model, "hf_quantizer", None)
    if loaded.info.architecture is not Architecture.DECODER:
        return "Only models without an encoder are recorded."
    if len({tensor.device for tensor in (*model.parameters(), *model.buffers())}) > 1:
        return "The model is spread over several devices, which no recording can span."
    if quantizer is not None and not quantizer.is_compileable:
        return "The arithmetic of its quantized weights cannot be recorded."
    if not getattr(model, "_can_compile_fullgraph", False):
        return "What the model computes depends on results on the way, which a recording cannot follow."
    if model.config._attn_implementation not in ("sdpa", "eager"):
        return f"Attention of the kind “{model.config._attn_implementation}” cannot be recorded."
    return _why_not_config(model.config.to_dict(), forward_parameters(model))


def _why_not_config(config: Mapping[str, Any], parameters: frozenset[str]) -> str:
    if not parameters.issuperset(("position_ids", "attention_mask", "logits_to_keep")) or config.get("alibi"):
        return "The model works positions out by itself, which a recording would fix."
    if any("dynamic" in kind or kind == "longrope" for kind in _rope_types(config)):
        return "The model's rotary embedding changes with the length of the text."
    if config.get("attention_chunk_size") or not KINDS.issuperset(config.get("layer_types") or KINDS):
        return "Not all of its layers keep their keys and values in the usual way."
    return ""


def why_not_cache(model: torch.nn.Module, cache: Any, slots: int, weights: int) -> str:
    """Why what was read into `cache` may not go on in `slots` places, in a sentence; empty where it may.

    `weights`: bytes that a pass reads in any case.
    """
    if type(cache) is not DynamicCache or not all(map(_is_plain, cache.layers)):
        return "Not all of its layers keep their keys and values in the usual way."
    if len({layer.sliding_window for layer in cache.layers if type(layer) is DynamicSlidingWindowLayer}) > 1:
        return "Its layers have sliding windows of several lengths."
    each = sum(tensor[:, :, :1].nbytes for layer in cache.layers for tensor in states(layer))
    if slots * each > max(PADDED_SHARE * weights, PADDED_BYTES * len(cache.layers)):
        return "The text is so long that reading its keys and values is what takes the time."
    if any(module._forward_hooks or module._forward_pre_hooks for module in model.modules()):
        return "Something looks into the model or changes it while it computes."
    return ""


def _is_plain(layer: Any) -> bool:
    return type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) and layer.get_seq_length() > 0


def _rope_types(values: Mapping[str, Any]) -> Iterator[str]:
    """Everything that a configuration, or a part of it, names as a kind of rotary embedding."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _rope_types(value)
        elif name == "rope_type" and isinstance(value, str):
            yield value
