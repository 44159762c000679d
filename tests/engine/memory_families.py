"""One tiny configuration for each family whose layers the calculator knows, made for a number of layers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import transformers
from transformers import PreTrainedConfig

HEADS = 4
WINDOW = 64
Make = Callable[[int], PreTrainedConfig]

_ENDS = {"pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0}
_SIZES = {"vocab_size": 32, "hidden_size": 64, "intermediate_size": 96, "num_attention_heads": HEADS, **_ENDS}
_SHARED = {**_SIZES, "num_key_value_heads": 2}
_HEAD = {**_SHARED, "head_dim": 16}
_EXPERTS = {"num_experts_per_tok": 2}


def _family(name: str, sizes: dict[str, Any], layers: str = "num_hidden_layers", **more: Any) -> Make:
    kind = getattr(transformers, f"{name}Config")

    def make(count: int, **changed: Any) -> PreTrainedConfig:
        found: PreTrainedConfig = kind(**{layers: count, **sizes, **more, **changed})
        return found

    return make


def _alternating(make: Make, sliding: str = "sliding_attention") -> Make:
    """Every second layer looks back at a window only."""

    def with_types(count: int) -> PreTrainedConfig:
        types = [("full_attention", sliding)[layer % 2] for layer in range(count)]
        return partial(make, layer_types=types, sliding_window=WINDOW)(count)

    return with_types


FAMILIES: dict[str, Make] = {
    "llama": _family("Llama", _HEAD),
    "mistral": _family("Mistral", _HEAD),
    "qwen2": _family("Qwen2", _SHARED),
    "qwen3": _family("Qwen3", _HEAD),
    "granite": _family("Granite", _SHARED),
    "smollm3": _family("SmolLM3", _SHARED),
    "gemma": _family("Gemma", _HEAD),
    "gemma 2": _family("Gemma2", _HEAD),
    "gemma 2, unbounded": _family("Gemma2", _HEAD, attn_logit_softcapping=None, final_logit_softcapping=None),
    "gemma 3": _family("Gemma3Text", _HEAD),
    "olmo": _family("Olmo", _SHARED),
    "olmo 2": _family("Olmo2", _SHARED),
    "olmo 3": _family("Olmo3", _SHARED),
    "cohere": _family("Cohere", _SHARED),
    "command r7b": _family("Cohere2", _SHARED),
    "phi": _family("Phi", _SIZES),
    "phi, dropouts": _family("Phi", _SIZES, resid_pdrop=0.1, embd_pdrop=0.1, attention_dropout=0.1),
    "phi 3": _family("Phi3", _SHARED),
    "glm": _family("Glm", _HEAD),
    "glm 4": _family("Glm4", _HEAD),
    "stablelm": _family("StableLm", _SHARED),
    "stablelm, parallel": _family("StableLm", _SHARED, use_parallel_residual=True),
    "starcoder 2": _family("Starcoder2", _SHARED),
    "gpt-neox": _family("GPTNeoX", _SIZES),
    "gpt-neox, one after the other": _family("GPTNeoX", _SIZES, use_parallel_residual=False),
    "gpt-neox, dropouts": _family("GPTNeoX", _SIZES, hidden_dropout=0.1, attention_dropout=0.1),
    "gpt-j": _family("GPTJ", {"vocab_size": 32, "n_embd": 64, "n_head": HEADS, **_ENDS}, "n_layer", rotary_dim=8),
    "gpt-neo": lambda count: _family(
        "GPTNeo", {"vocab_size": 32, "hidden_size": 64, "num_heads": HEADS, **_ENDS}, "num_layers"
    )(count, attention_types=[[["global"], count]]),
    "gpt-2": _family("GPT2", {"vocab_size": 32, "n_embd": 64, "n_head": HEADS, **_ENDS}, "n_layer"),
    "bloom": _family("Bloom", {"vocab_size": 32, "hidden_size": 64, "n_head": HEADS, **_ENDS}, "n_layer"),
    "bloom, dropouts": _family(
        "Bloom",
        {"vocab_size": 32, "hidden_size": 64, "n_head": HEADS, **_ENDS},
        "n_layer",
        hidden_dropout=0.1,
        attention_dropout=0.1,
    ),
    "opt": _family(
        "OPT",
        {"vocab_size": 32, "hidden_size": 64, "ffn_dim": 96, "num_attention_heads": HEADS, "word_embed_proj_dim": 64},
        **_ENDS,
    ),
    "bert": _family("Bert", _SIZES),
    "roberta": _family("Roberta", _SIZES),
    "xlm-roberta": _family("XLMRoberta", _SIZES),
    "camembert": _family("Camembert", _SIZES),
    "electra": _family("Electra", _SIZES, embedding_size=64),
    "distilbert": _family("DistilBert", {"vocab_size": 32, "dim": 64, "hidden_dim": 96, "n_heads": HEADS}, "n_layers"),
    "modernbert": _family("ModernBert", _SIZES, cls_token_id=0, sep_token_id=0, global_attn_every_n_layers=1),
    "mixtral": _family("Mixtral", _HEAD, num_local_experts=8, **_EXPERTS),
    "qwen 2, experts": _family(
        "Qwen2Moe",
        _SHARED,
        num_experts=8,
        moe_intermediate_size=96,
        shared_expert_intermediate_size=48,
        **_EXPERTS,
    ),
    "qwen 3, experts": _family("Qwen3Moe", _HEAD, num_experts=8, moe_intermediate_size=96, **_EXPERTS),
    "gpt-oss": _family("GptOss", _HEAD, num_local_experts=8, **_EXPERTS),
    "deepseek-v3": _family(
        "DeepseekV3",
        {**_SIZES, "num_key_value_heads": HEADS},
        moe_intermediate_size=48,
        n_routed_experts=8,
        n_group=2,
        topk_group=1,
        first_k_dense_replace=1,
        q_lora_rank=24,
        kv_lora_rank=20,
        qk_rope_head_dim=8,
        qk_nope_head_dim=16,
        v_head_dim=12,
        **_EXPERTS,
    ),
}
FAMILIES["deepseek-v3, queries made directly"] = partial(FAMILIES["deepseek-v3"], q_lora_rank=None)

WINDOWS: dict[str, Make] = {
    "mistral": _family("Mistral", _HEAD, sliding_window=WINDOW),
    "starcoder 2": _family("Starcoder2", _SHARED, sliding_window=WINDOW),
    "phi 3": _family("Phi3", _SHARED, sliding_window=WINDOW),
    "gemma 3": _alternating(_family("Gemma3Text", _HEAD)),
    "gemma 2": _alternating(_family("Gemma2", _HEAD)),
    "olmo 3": _alternating(_family("Olmo3", _SHARED)),
    "command r7b": _alternating(_family("Cohere2", _SHARED)),
    "modernbert": _family(
        "ModernBert", _SIZES, cls_token_id=0, sep_token_id=0, global_attn_every_n_layers=2, local_attention=2 * WINDOW
    ),
}

UNKNOWN: dict[str, Make] = {
    "llama 4": _family("Llama4Text", _HEAD, num_local_experts=8, num_experts_per_tok=1, intermediate_size_mlp=128),
    "falcon": _family("Falcon", {"vocab_size": 32, "hidden_size": 64, "num_attention_heads": HEADS, **_ENDS}),
    "falcon 40b": _family(
        "Falcon",
        {"vocab_size": 32, "hidden_size": 64, "num_attention_heads": HEADS, **_ENDS},
        new_decoder_architecture=True,
        num_kv_heads=2,
    ),
    "nemotron": _family("Nemotron", _HEAD),
    "stablelm, normed queries": _family("StableLm", _SHARED, qk_layernorm=True),
    "command r+": _family("Cohere", _SHARED, use_qk_norm=True),
    "exaone 4": _family("Exaone4", _SHARED),
}

_LARGER = {"vocab_size": 2048, "hidden_size": 256, "intermediate_size": 1024, "num_attention_heads": HEADS, **_ENDS}
_LARGER_HEAD = {**_LARGER, "num_key_value_heads": 2, "head_dim": 64}

LARGER: dict[str, Make] = {  # wide enough for a step's peak to be made of more than the allocator's blocks
    "gemma 2": _family("Gemma2", _LARGER_HEAD),
    "gemma 3": _family("Gemma3Text", _LARGER_HEAD),
    "bloom": _family("Bloom", {"vocab_size": 2048, "hidden_size": 256, "n_head": HEADS, **_ENDS}, "n_layer"),
    "gpt-neox": _family("GPTNeoX", _LARGER),
    "phi": _family("Phi", _LARGER),
    "phi 3": _family("Phi3", _LARGER_HEAD),
    "stablelm": _family("StableLm", {**_LARGER, "num_key_value_heads": 2}),
    "starcoder 2": _family("Starcoder2", {**_LARGER, "num_key_value_heads": 2}),
    "cohere": _family("Cohere", _LARGER_HEAD),
    "olmo 2": _family("Olmo2", _LARGER_HEAD),
    "opt": _family(
        "OPT",
        {"vocab_size": 2048, "hidden_size": 256, "ffn_dim": 1024, "num_attention_heads": HEADS},
        word_embed_proj_dim=256,
        **_ENDS,
    ),
    "mixtral": _family("Mixtral", _LARGER_HEAD, num_local_experts=8, **_EXPERTS),
    "qwen 3, experts": _family("Qwen3Moe", _LARGER_HEAD, num_experts=8, moe_intermediate_size=512, **_EXPERTS),
    "gpt-oss": _family("GptOss", _LARGER_HEAD, num_local_experts=8, **_EXPERTS),
    "deepseek-v3": _family(
        "DeepseekV3",
        {**_LARGER, "num_key_value_heads": HEADS},
        moe_intermediate_size=128,
        n_routed_experts=8,
        n_group=2,
        topk_group=1,
        first_k_dense_replace=1,
        q_lora_rank=96,
        kv_lora_rank=64,
        qk_rope_head_dim=32,
        qk_nope_head_dim=64,
        v_head_dim=64,
        **_EXPERTS,
    ),
}
