"""What a capture would take, before it is made: tokens and bytes, from the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedConfig

from llmlab.engine.attention.inputs import uncut
from llmlab.engine.attention.types import AttentionCost, AttentionRequest, Truncation
from llmlab.engine.devices import free_memory
from llmlab.engine.loading import LoadedModel
from llmlab.engine.tokenization import Speller

_FLOAT32 = 4


def cost(loaded: LoadedModel, speller: Speller, request: AttentionRequest) -> AttentionCost:
    """Tokens of the text and of the decoder's, and bytes: of what is kept, and of what passes through while reading.

    Kept are queries, keys and values of each layer: 2 · heads · head_dim + 2 · key-value heads · head_dim numbers a
    token at most, since the output of a fused projection may be kept whole. Architectures that hand out finished
    weights keep heads · tokens² numbers a layer instead. Passing through: four hidden states and two of the MLP's
    width, and what is needed once as a whole: a boolean mask, or T5's position bias.
    """
    inputs = uncut(loaded, speller, request)
    text, target = len(inputs.text) + abs(request.padding), len(inputs.target or ())
    read = _read(loaded, text, request), _read(loaded, target, request)
    layers = _layers(loaded, request.layers)
    one = _of_layers(loaded, dict.fromkeys(layers, 1), *read)
    through = _passing(loaded, *read)
    return AttentionCost(
        tokens=text,
        target_tokens=target,
        over=inputs.over,
        bytes=_of_layers(loaded, layers, *read) + through,
        bytes_of_a_layer=one + through,
        available=free_memory(loaded.device),
    )


def _read(loaded: LoadedModel, tokens: int, request: AttentionRequest) -> int:
    """So many of `tokens` would be read."""
    context = loaded.info.context
    cut = context is not None and request.truncation is not Truncation.REFUSE
    return min(tokens, context) if cut and context is not None else tokens


def _layers(loaded: LoadedModel, only: tuple[int, ...] | None) -> dict[str, int]:
    """How many layers of each kind would be kept."""
    config: Any = loaded.model.config
    if config.is_encoder_decoder:
        encoder = number(config, "encoder_layers", "num_layers", "num_hidden_layers")
        decoder = number(config, "decoder_layers", "num_decoder_layers", "num_layers")
        counts = {"encoder": encoder, "decoder": decoder, "cross": decoder}
    else:
        counts = {"self": number(config.get_text_config(), "num_hidden_layers", "num_layers")}
    if only is None:
        return counts
    return {kind: sum(0 <= index < count for index in only) for kind, count in counts.items()}


def _of_layers(loaded: LoadedModel, layers: Mapping[str, int], text: int, target: int) -> int:
    config: Any = loaded.model.config.get_text_config()
    heads = number(config, "num_attention_heads", "encoder_attention_heads", "num_heads")
    key_value_heads = number(config, "num_key_value_heads") or heads
    width = number(config, "head_dim", "d_kv") or number(config, "hidden_size", "d_model") // max(1, heads)
    lengths = {"self": (text, text), "encoder": (text, text), "decoder": (target, target), "cross": (target, text)}
    total = 0
    for kind, count in layers.items():
        queries, keys = lengths[kind]
        if loaded.model._can_set_attn_implementation():
            total += count * width * loaded.model.dtype.itemsize * (heads * queries + 2 * key_value_heads * keys)
        else:
            total += count * heads * queries * keys * _FLOAT32
    return total


def _passing(loaded: LoadedModel, text: int, target: int) -> int:
    config: Any = loaded.model.config.get_text_config()
    hidden = number(config, "hidden_size", "d_model")
    inner = number(config, "intermediate_size", "d_ff", "ffn_dim", "encoder_ffn_dim", "n_inner") or 4 * hidden
    longest = max(text, target)
    states = longest * (4 * hidden + 2 * inner) * loaded.model.dtype.itemsize
    if number(config, "relative_attention_num_buckets"):
        return states + longest * longest * number(config, "num_heads") * loaded.model.dtype.itemsize
    windows = number(config, "sliding_window", "local_attention")
    return states + (longest * longest if windows else 0)


def number(config: PreTrainedConfig, *names: str) -> int:
    """The first of these attributes that is a whole number, the largest where layers differ; 0 without one."""
    for name in names:
        value = getattr(config, name, None)
        if isinstance(value, (list, tuple)) and value:
            return int(max(value))
        if isinstance(value, int):
            return int(value)
    return 0
