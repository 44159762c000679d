"""Sizes from a configuration alone, against published figures and against transformers and bitsandbytes themselves.

Where a figure is copied here, its public source stands beside it.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    CONFIG_MAPPING,
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    DeepseekV3Config,
    DynamicCache,
    EncoderDecoderCache,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    PreTrainedConfig,
    Qwen2Config,
    Qwen3Config,
)

from llmlab.engine.errors import EngineError, InputError, ModelFileError, UnsupportedModelError
from llmlab.engine.memory import (
    cache_windows,
    kv_cache_bytes,
    matrix_bytes,
    meta_model,
    parameter_count,
    weight_bytes,
    weight_layout,
    zero_bytes_per_gpu,
)
from tests.engine import checkpoints
from tests.engine.checkpoints import save

GIB = 2**30


def llama(**values: Any) -> dict[str, Any]:
    return {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "rms_norm_eps": 1e-5, **values}


LLAMA_3_8B = llama(
    vocab_size=128256,
    hidden_size=4096,
    intermediate_size=14336,
    num_hidden_layers=32,
    num_attention_heads=32,
    num_key_value_heads=8,
    max_position_embeddings=8192,
)
LLAMA_2_7B = llama(
    vocab_size=32000, hidden_size=4096, intermediate_size=11008, num_hidden_layers=32, num_attention_heads=32
)
T5 = {"model_type": "t5", "d_model": 768, "d_kv": 64, "num_layers": 12, "num_heads": 12, "vocab_size": 32128}
BERT = {"model_type": "bert", "vocab_size": 30522}
DEEPSEEK_V3 = {
    "model_type": "deepseek_v3",
    "architectures": ["DeepseekV3ForCausalLM"],
    "vocab_size": 129280,
    "hidden_size": 7168,
    "intermediate_size": 18432,
    "moe_intermediate_size": 2048,
    "num_hidden_layers": 61,
    "num_attention_heads": 128,
    "num_key_value_heads": 128,
    "n_shared_experts": 1,
    "n_routed_experts": 256,
    "num_experts_per_tok": 8,
    "first_k_dense_replace": 3,
    "q_lora_rank": 1536,
    "kv_lora_rank": 512,
    "qk_rope_head_dim": 64,
    "qk_nope_head_dim": 128,
    "v_head_dim": 128,
}


def test_dict_path_and_folder_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_3_8B))
    assert parameter_count(tmp_path) == parameter_count(str(tmp_path / "config.json")) == parameter_count(LLAMA_3_8B)
    assert kv_cache_bytes(tmp_path) == kv_cache_bytes(LLAMA_3_8B)


def test_counting_allocates_nothing_and_leaves_the_dict_alone() -> None:
    config = dict(LLAMA_3_8B)
    model = meta_model(config)
    assert {p.device.type for p in model.parameters()} == {"meta"}
    assert config == LLAMA_3_8B


@pytest.mark.parametrize("kind", checkpoints.MAKERS)
def test_counts_equal_the_model_itself(kind: str) -> None:
    model = checkpoints.make(kind)
    config = {**model.config.to_dict(), "tie_word_embeddings": True} if kind == "t5" else model.config.to_dict()
    assert parameter_count(config) == sum(p.numel() for p in model.parameters())
    assert parameter_count({k: v for k, v in config.items() if k != "architectures"}) == parameter_count(config)


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({}, UnsupportedModelError),
        ({"model_type": "hyperllama"}, UnsupportedModelError),
        ({"model_type": "llama", "hidden_size": "big"}, ModelFileError),
        ({"model_type": "llama", "hidden_size": -4}, ModelFileError),
        ("/nowhere/config.json", ModelFileError),
    ],
    ids=str,
)
def test_what_cannot_be_counted(config: Any, kind: type[EngineError]) -> None:
    with pytest.raises(kind) as caught:
        parameter_count(config)
    assert caught.value.hint.endswith(".")


# The cache

# Bytes a token leaves at 16 bits, from the models' published shapes.
KV_PER_TOKEN = {
    "gpt2": ({"model_type": "gpt2"}, 2 * 12 * 12 * 64 * 2),
    "Llama-2-7b": (LLAMA_2_7B, 524_288),
    "Meta-Llama-3-8B": (LLAMA_3_8B, 131_072),
    "Llama-2-70b": (
        llama(
            vocab_size=32000,
            hidden_size=8192,
            intermediate_size=28672,
            num_hidden_layers=80,
            num_attention_heads=64,
            num_key_value_heads=8,
        ),
        327_680,
    ),
    "t5-base, decoder": ({**T5, "d_ff": 3072}, 36_864),
    "DeepSeek-V3, latent": (DEEPSEEK_V3, 61 * (512 + 64) * 2),
    "bert": (BERT, 0),
}


@pytest.mark.parametrize(("config", "size"), KV_PER_TOKEN.values(), ids=KV_PER_TOKEN.keys())
def test_cache_bytes_of_one_token(config: dict[str, Any], size: int) -> None:
    assert kv_cache_bytes(config, tokens=1) == size
    assert kv_cache_bytes(config, tokens=1000, batch=3, dtype="float32") == 1000 * 3 * 2 * size


def test_published_cache_sizes() -> None:
    # huggingface.co/blog/llama31: Llama 3.1 8B in FP16, "GB" there being GiB.
    assert kv_cache_bytes(LLAMA_3_8B, 1024) / GIB == pytest.approx(0.125)
    assert kv_cache_bytes(LLAMA_3_8B, 16_000) / GIB == pytest.approx(1.95, abs=0.005)
    assert kv_cache_bytes(LLAMA_3_8B, 128_000) / GIB == pytest.approx(15.62, abs=0.01)


TINY: dict[str, int] = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
CACHED: dict[str, PreTrainedConfig] = {
    "gpt2": GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=1),
    "llama with its own head size": LlamaConfig(num_hidden_layers=2, head_dim=24, **TINY),
    "mistral, every layer slides": MistralConfig(num_hidden_layers=2, sliding_window=9, **TINY),
    "mistral, no window": MistralConfig(num_hidden_layers=2, sliding_window=None, **TINY),
    "qwen2, upper layers slide": Qwen2Config(
        num_hidden_layers=3, use_sliding_window=True, sliding_window=9, max_window_layers=1, **TINY
    ),
    "qwen2, window switched off": Qwen2Config(num_hidden_layers=2, use_sliding_window=False, sliding_window=9, **TINY),
    "qwen3": Qwen3Config(num_hidden_layers=2, head_dim=16, **TINY),
    "gemma2, every other layer slides": Gemma2Config(num_hidden_layers=4, head_dim=16, sliding_window=9, **TINY),
    "gemma3, one of six sees all": Gemma3TextConfig(num_hidden_layers=7, head_dim=16, sliding_window=9, **TINY),
}


CACHED["deepseek_v3, one latent and one rotary key"] = DeepseekV3Config(
    num_hidden_layers=2,
    first_k_dense_replace=2,  # no experts, whose routing needs numbers
    q_lora_rank=16,
    kv_lora_rank=12,
    qk_rope_head_dim=8,
    qk_nope_head_dim=8,
    v_head_dim=8,
    **{**TINY, "num_key_value_heads": 4},
)
if "gemma4_text" in CONFIG_MAPPING:  # transformers 5.17 and later
    CACHED["gemma4, whose layers differ in head size and share caches"] = CONFIG_MAPPING["gemma4_text"](
        num_hidden_layers=6,
        layer_types=["sliding_attention", "full_attention"] * 3,
        head_dim=16,
        global_head_dim=32,
        num_kv_shared_layers=2,
        sliding_window=9,
        **TINY,
    )


def held(cache: DynamicCache) -> int:
    layers = [layer for layer in cache.layers if layer.keys is not None]
    return sum(t.numel() * t.element_size() for layer in layers for t in (layer.keys, layer.values))


@pytest.mark.parametrize("tokens", [1, 8, 9, 10, 40])
@pytest.mark.parametrize("config", CACHED.values(), ids=CACHED.keys())
def test_the_cache_is_what_transformers_really_keeps(config: PreTrainedConfig, tokens: int) -> None:
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    cache = DynamicCache(config=config)
    with torch.inference_mode():
        model(torch.zeros(2, tokens, dtype=torch.long, device="meta"), past_key_values=cache, use_cache=True)
    assert kv_cache_bytes(config, tokens, batch=2, dtype="float32") == held(cache)


@pytest.mark.parametrize("kind", ["t5", "bart"])
def test_the_caches_of_an_encoder_decoder(kind: str) -> None:
    model = checkpoints.make(kind)
    with torch.inference_mode():
        out = model(input_ids=torch.ones(2, 11, dtype=torch.long), decoder_input_ids=torch.ones(2, 5, dtype=torch.long))
    cache = out.past_key_values
    assert isinstance(cache, EncoderDecoderCache)
    own, cross = held(cache.self_attention_cache), held(cache.cross_attention_cache)
    assert kv_cache_bytes(model.config, 5, batch=2, dtype="float32") == own
    assert kv_cache_bytes(model.config, 5, batch=2, dtype="float32", source_tokens=11) == own + cross


@pytest.mark.parametrize("kind", ["mamba", "rwkv"])
def test_recurrent_models_keep_no_cache(kind: str) -> None:
    assert kv_cache_bytes({"model_type": kind}, 1000) == 0


def test_windows_by_layer() -> None:
    assert cache_windows(CACHED["gemma2, every other layer slides"]) == (9, None, 9, None)
    assert cache_windows(CACHED["mistral, no window"]) == (None, None)


@pytest.mark.parametrize(
    "arguments", [{"tokens": -1}, {"batch": 0}, {"dtype": "float7"}, {"source_tokens": -3}], ids=str
)
def test_cache_arguments_that_make_no_sense(arguments: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        kv_cache_bytes({"model_type": "gpt2"}, **arguments)


# ZeRO


@pytest.mark.parametrize(
    ("billions", "gpus", "gigabytes"),
    [  # ZeRO, arXiv:1910.02054, table 1: stages 1, 2 and 3
        (7.5, 1, (120, 120, 120)),
        (7.5, 4, (52.5, 41.3, 30)),
        (7.5, 64, (31.4, 16.6, 1.88)),
        (7.5, 1024, (30.1, 15.1, 0.12)),
        (128, 16, (608, 368, 128)),
        (128, 1024, (513, 257, 2)),
        (1000, 4, (7000, 5500, 4000)),
        (1000, 1024, (4011, 2013, 15.6)),
    ],
)
def test_the_zero_paper(billions: float, gpus: int, gigabytes: tuple[float, float, float]) -> None:
    found = [zero_bytes_per_gpu(int(billions * 1e9), gpus, stage) / 1e9 for stage in (1, 2, 3)]
    assert found == pytest.approx(gigabytes, rel=0.005, abs=0.05)
    assert zero_bytes_per_gpu(int(billions * 1e9), gpus, 0) == 16 * int(billions * 1e9)


@given(st.integers(0, 10**12), st.integers(1, 5000))
def test_zero_saves_with_every_stage_and_loses_nothing(parameters: int, gpus: int) -> None:
    sizes = [zero_bytes_per_gpu(parameters, gpus, stage) for stage in range(4)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[3] * gpus >= 16 * parameters
    assert zero_bytes_per_gpu(parameters, 1, 3) == 16 * parameters


@pytest.mark.parametrize(("parameters", "gpus", "stage"), [(1, 0, 1), (1, 1, 4), (-1, 1, 0), (1, 1, -1)])
def test_zero_arguments_that_make_no_sense(parameters: int, gpus: int, stage: int) -> None:
    with pytest.raises(InputError):
        zero_bytes_per_gpu(parameters, gpus, stage)


# Weights at every precision


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("kind", checkpoints.MAKERS)
def test_weight_bytes_equal_the_loaded_model(kind: str, dtype: str, tmp_path: Path) -> None:
    model = type(checkpoints.make(kind)).from_pretrained(save(kind, tmp_path), dtype=getattr(torch, dtype))
    tensors = [*model.parameters(), *model.buffers()]
    assert weight_bytes(weight_layout(model.config), dtype) == sum(t.numel() * t.element_size() for t in tensors)


def test_llama_3_8b_in_16_bits() -> None:
    # vLLM and llama.cpp both report 14.96 GiB.
    assert weight_bytes(weight_layout(LLAMA_3_8B), "bfloat16") / GIB == pytest.approx(14.96, abs=0.005)


def test_bits_per_parameter_of_quantized_matrices() -> None:
    n = 4096 * 4096
    assert matrix_bytes(4096, 4096, "bfloat16", None) == 2 * n
    assert matrix_bytes(4096, 4096, "bfloat16", "int8") == n + 4 * 4096
    assert matrix_bytes(4096, 4096, "bfloat16", "nf4") / n == pytest.approx(0.5625, abs=1e-5)
    assert matrix_bytes(4096, 4096, "bfloat16", "nf4", double=True) / n == pytest.approx(0.51587, abs=1e-4)
    with pytest.raises(InputError):
        matrix_bytes(8, 8, "bfloat16", "int3")


def state_bytes(weight: Any) -> int:
    tensors: list[torch.Tensor] = [weight.data]
    if getattr(weight, "SCB", None) is not None:
        tensors.append(weight.SCB)
    state = getattr(weight, "quant_state", None)
    while state is not None:
        tensors += [t for t in (state.absmax, state.code, state.offset) if t is not None]
        state = state.state2
    return sum(t.numel() * t.element_size() for t in tensors)


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("quantization", ["int8", "nf4", "fp4"])
@pytest.mark.parametrize("kind", ["llama", "gpt2", "bert", "t5"])
def test_quantized_bytes_equal_what_bitsandbytes_keeps(
    kind: str, quantization: str, double: bool, tmp_path: Path
) -> None:
    settings = (
        BitsAndBytesConfig(load_in_8bit=True)
        if quantization == "int8"
        else BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type=quantization, bnb_4bit_use_double_quant=double)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # bitsandbytes' imports
        model = type(checkpoints.make(kind)).from_pretrained(
            save(kind, tmp_path), dtype=torch.bfloat16, quantization_config=settings, device_map={"": "cpu"}
        )
    found = sum(state_bytes(p) for p in model.parameters()) + sum(b.numel() * b.element_size() for b in model.buffers())
    layout = weight_layout(model.config)
    assert weight_bytes(layout, "bfloat16", quantization, double=double) == found
    assert layout.parameters == sum(p.numel() for p in checkpoints.make(kind).parameters())
