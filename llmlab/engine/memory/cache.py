"""The cache of keys and values, from a configuration alone."""

from __future__ import annotations

from transformers import PreTrainedConfig

from llmlab.engine.architecture import architecture_of
from llmlab.engine.errors import InputError, UnsupportedModelError
from llmlab.engine.memory.formats import bits
from llmlab.engine.memory.layout import ConfigLike, as_config
from llmlab.engine.types import Architecture

_RECURRENT = ("mamba", "mamba2", "falcon_mamba", "rwkv", "xlstm")  # they keep a state of fixed size instead


def kv_cache_bytes(
    config: ConfigLike, tokens: int = 4096, batch: int = 1, dtype: str = "float16", *, source_tokens: int = 0
) -> int:
    """Bytes of the keys and values that `tokens` tokens leave in the cache.

    2 · layers · key/value heads · head size · tokens · batch · bytes, per layer: a sliding window keeps
    min(tokens, window − 1) (as transformers does), multi-head latent attention one latent vector and one rotary key
    (arXiv:2405.04434, section 2.1), a layer that reuses another's cache nothing. Recurrent layers have a state of
    fixed size instead, which is not counted. For encoder-decoder models `tokens` are the decoder's, and the cross
    attention adds a fixed part for `source_tokens` of input. Encoder-only models keep no cache: 0.
    """
    for name, value, least in (("tokens", tokens, 0), ("batch", batch, 1), ("source_tokens", source_tokens, 0)):
        if value < least:
            raise InputError(f"{name} is {value}, which is not possible.", f"Give a number from {least} up.")
    whole = as_config(config)
    if architecture_of(whole) is Architecture.ENCODER:
        return 0
    text = whole.get_text_config(decoder=True)
    elements = 0
    for layer, window in caching_layers(text):
        kept = tokens if window is None else min(tokens, max(window - 1, 0))
        elements += cached_elements(layer) * (kept + (source_tokens if whole.is_encoder_decoder else 0))
    return elements * batch * bits(dtype) // 8


def cache_windows(config: PreTrainedConfig) -> tuple[int | None, ...]:
    """For every layer that caches keys and values: its sliding window in tokens, or None for all of them."""
    return tuple(window for _, window in caching_layers(config))


def caching_layers(config: PreTrainedConfig) -> list[tuple[PreTrainedConfig, int | None]]:
    """The configuration of every layer that caches keys and values, with its window."""
    if config.model_type in _RECURRENT:
        return []
    layers = _layer_configs(config)
    types = getattr(config, "layer_types", None) or [None] * len(layers)
    shared = getattr(config, "num_kv_shared_layers", None) or 0  # the last layers read the cache of earlier ones
    found: list[tuple[PreTrainedConfig, int | None]] = []
    for layer, kind in list(zip(layers, types, strict=False))[: len(layers) - shared]:
        window, chunk = getattr(layer, "sliding_window", None), getattr(layer, "attention_chunk_size", None)
        if kind in ("sliding_attention", "hybrid_sliding") or (kind is None and window is not None):
            found.append((layer, window))
        elif kind == "chunked_attention" or (kind is None and chunk is not None):
            found.append((layer, chunk))
        elif kind not in ("linear_attention", "conv", "moe", "mlp"):
            found.append((layer, None))
    return found


def _layer_configs(config: PreTrainedConfig) -> list[PreTrainedConfig]:
    """One configuration per decoder layer; in a few models (Gemma 4) layers differ in their head size."""
    count = getattr(config, "num_decoder_layers", None) or getattr(config, "num_hidden_layers", None)
    if count is None:
        raise UnsupportedModelError(
            f"The cache of “{config.model_type}” models is not known here.", "Measure it on the loaded model instead."
        )
    each = list(getattr(config, "per_layer_config", ()))
    return each if len(each) == count else [config] * count


def cached_elements(config: PreTrainedConfig) -> int:
    """Elements that one token leaves in one layer's cache."""
    if getattr(config, "kv_lora_rank", None) is not None:
        return int(config.kv_lora_rank + config.qk_rope_head_dim)
    query_heads = config.num_attention_heads
    heads = getattr(config, "num_key_value_heads", None) or getattr(config, "num_kv_heads", None) or query_heads
    if getattr(config, "multi_query", False) and not getattr(config, "new_decoder_architecture", False):
        heads = 1  # Falcon-7B, GPT-BigCode
    size = getattr(config, "head_dim", None) or getattr(config, "d_kv", None) or config.hidden_size // query_heads
    return int(2 * heads * size)
