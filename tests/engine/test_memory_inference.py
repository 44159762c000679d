"""Bytes of a running model against published figures and bitsandbytes' own layouts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from llmlab.engine.errors import InputError
from llmlab.engine.memory.cache import kv_cache_bytes
from llmlab.engine.memory.formats import CACHE_FORMATS, GGUF_BITS
from llmlab.engine.memory.inference import (
    CONVENTIONS,
    InferenceSettings,
    cache_bytes,
    cache_pool,
    footprint,
    inference,
    logits_term,
    weight_terms,
    working_term,
)
from llmlab.engine.memory.weights import weight_bytes
from tests.engine.memory_shapes import GIB, MIB, shape

LLAMA_3 = "meta-llama/Meta-Llama-3-8B"
FORMATS = [None, "int8", "nf4", "fp4", "Q4_K_M"]


@pytest.mark.parametrize(
    ("kind", "gib"),
    # ggml-org/llama.cpp, tools/quantize/README.md, Llama 3.1 8B; to the last printed digit.
    [
        ("Q2_K", 2.95),
        ("Q4_K_S", 4.36),
        ("Q4_K_M", 4.58),
        ("Q5_K_M", 5.33),
        ("Q6_K", 6.14),
        ("Q8_0", 7.95),
        ("F16", 14.96),
    ],
)
def test_gguf_files(kind: str, gib: float) -> None:
    size = sum(term.bytes for term in weight_terms(shape(LLAMA_3), "bfloat16", kind))
    assert round(size / GIB, 2) == gib


def test_vllm_weights_and_pool() -> None:
    # vllm-project/vllm pull request 10511: A100 of 79.22 GiB, 0.9 of it, 1.26 GiB of activations, 1.79 GiB
    # besides torch.
    (weights,) = weight_terms(shape(LLAMA_3), "bfloat16")
    assert round(weights.bytes / GIB, 2) == 14.96
    pool = cache_pool(int(79.22 * GIB), 0.9, weights.bytes, int(1.26 * GIB), int(1.79 * GIB))
    assert pool / GIB == pytest.approx(53.29, rel=0.002)


def test_tokens_of_a_paged_pool() -> None:
    # gpt-oss-120b: a pool of 5.38 GiB holds 78,384 tokens, sliding layers included; 0.2 %, 5.38 being rounded.
    settings = InferenceSettings(tokens=78_384, convention="paged")
    assert cache_bytes(shape("openai/gpt-oss-120b"), settings) / GIB == pytest.approx(5.38, rel=0.002)
    assert cache_bytes(shape("openai/gpt-oss-120b"), replace(settings, convention="transformers")) < 2.8 * GIB


def test_pages_are_whole() -> None:
    settings = InferenceSettings(tokens=17, convention="paged")
    assert cache_bytes(shape("gpt2"), settings) == cache_bytes(shape("gpt2"), replace(settings, tokens=32))


@pytest.mark.parametrize(("tokens", "gib"), [(1024, 0.125), (16_000, 1.95), (128_000, 15.62)])
def test_cache_of_llama_3_1(tokens: int, gib: float) -> None:
    # huggingface.co/blog/llama31, “GB” being GiB, cut after the second digit.
    assert cache_bytes(shape(LLAMA_3), InferenceSettings(tokens=tokens)) / GIB == pytest.approx(gib, abs=0.006)


@pytest.mark.parametrize(("tokens", "gib"), [(1024, 0.984), (16_000, 15.38), (128_000, 123.05)])
def test_cache_of_llama_3_1_405b_in_its_first_version(tokens: int, gib: float) -> None:
    # The same page, from before the model had 8 key/value heads.
    config = {"model_type": "llama", "num_hidden_layers": 126, "hidden_size": 16384, "num_attention_heads": 128}
    found = kv_cache_bytes({**config, "num_key_value_heads": 16}, tokens)
    assert found / GIB == pytest.approx(gib, abs=0.006)


def test_cache_of_llama_cpp() -> None:
    # SciSharp/LLamaSharp issue 1099: 36 layers, key width 256, 4,096 tokens in float16: 144.0 MiB.
    config = {"model_type": "qwen2", "num_hidden_layers": 36, "hidden_size": 2048, "num_attention_heads": 16}
    assert kv_cache_bytes({**config, "num_key_value_heads": 2}, 4096) == 144 * MIB


def test_bert_as_accelerate_estimates_it() -> None:
    # accelerate, model size estimator: 413.18 “MB”, which are MiB; the figure there includes a rounding of its own.
    found = weight_bytes(shape("bert-base-cased").layout, "float32") / MIB
    assert found == pytest.approx(413.18, abs=0.02)
    assert found == pytest.approx(413.68, rel=0.002)  # loaded on a GPU, the same page


def test_t5_11b_in_int8() -> None:
    # huggingface.co/blog/hf-bitsandbytes-integration: 42 “GB” in float32, 11 in int8, both GiB and rounded.
    assert round(footprint(shape("t5-11b"), "float32") / GIB) == 42
    # Since then transformers keeps T5's second MLP matrix in float32 when the rest is in float16, and says nothing.
    assert round(shape("t5-11b").parameters / GIB) == 11
    assert round(footprint(shape("t5-11b"), "float16", "int8") / GIB) == 20
    warnings = inference(shape("t5-11b"), InferenceSettings(dtype="float16", quantization="int8")).warnings
    assert "3,221,225,472 parameters in float32" in warnings[0]


@pytest.mark.parametrize(("quantization", "gpus"), [(None, 8), ("int8", 4)])
def test_bloom_fits_as_published(quantization: str | None, gpus: int) -> None:
    # The same page: BLOOM-176B on 8 A100 of 80 GB in bfloat16, on 4 in int8; half of these GPUs do not do.
    size = weight_bytes(shape("bigscience/bloom (176B)").layout, "bfloat16", quantization)
    assert gpus / 2 * 80 * GIB < size < gpus * 80 * GIB


def test_footprint_of_bloom_1b7() -> None:
    # transformers, tests/quantization/bnb/test_4bit.py: float16 is 2.109659552692574 times the 4-bit footprint.
    found = shape("bigscience/bloom-1b7")
    assert footprint(found, "float16") / footprint(found, "float16", "fp4") == pytest.approx(
        2.109659552692574, abs=1e-5
    )


def test_what_bitsandbytes_skips_and_hides() -> None:
    estimate = inference(shape("mistralai/Mixtral-8x7B-v0.1"), InferenceSettings(quantization="nf4"))
    assert "97% of the model" in estimate.warnings[0]
    assert "get_memory_footprint()" in estimate.warnings[1]
    assert estimate.bytes_of("Weights left as they are") > 2 * 45_097_156_608
    assert inference(shape(LLAMA_3), InferenceSettings()).warnings == ()


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("quantization", FORMATS[:4])
def test_weight_terms_add_up(quantization: str | None, double: bool) -> None:
    terms = weight_terms(shape(LLAMA_3), "bfloat16", quantization, double=double)
    assert sum(t.bytes for t in terms) == weight_bytes(shape(LLAMA_3).layout, "bfloat16", quantization, double=double)


def value_of(text: str) -> float:
    """What a formula with its values put in comes to."""
    plain = text.replace(",", "").replace("·", "*").replace(" of buffers", "").replace(" kept in float32", "")
    return float(eval(plain, {"__builtins__": {}}))


@pytest.mark.parametrize("name", [LLAMA_3, "t5-base", "google/gemma-2-2b", "Qwen/Qwen3-0.6B"])
@pytest.mark.parametrize("quantization", FORMATS)
@pytest.mark.parametrize("cache", ["bfloat16", "q4_0"])
def test_every_formula_says_what_its_bytes_are(name: str, quantization: str | None, cache: str) -> None:
    """To a thousandth, since buffers are folded into “left as they are”, and rounded up bytes are not in the text."""
    settings = InferenceSettings(
        quantization=quantization, tokens=777, source_tokens=100, batch=3, cache_dtype=cache, flash=False
    )
    for term in inference(shape(name), settings).terms:
        assert value_of(term.values) == pytest.approx(term.bytes, rel=1e-3, abs=1), term


def test_quantized_caches() -> None:
    settings = InferenceSettings(tokens=1128)
    full = cache_bytes(shape("gpt2"), settings)
    assert cache_bytes(shape("gpt2"), replace(settings, cache_dtype="q8_0")) == full * 8.5 / 16
    assert cache_bytes(shape("gpt2"), replace(settings, cache_dtype="fp8")) == full // 2
    # the last 128 tokens stay in 16 bits: 1,000 tokens at 4.5 bits and 128 at 16
    assert cache_bytes(shape("gpt2"), replace(settings, cache_dtype="int4")) == 36_864 * (1000 * 4.5 / 16 + 128)


def test_working_memory_and_logits_by_hand() -> None:
    gpt2, settings = shape("gpt2"), InferenceSettings(tokens=100, batch=2)
    assert working_term(gpt2, settings).bytes == 2 * 100 * 2 * (4 * 768 + 4 * 3072)  # GELU is written out
    llama = shape(LLAMA_3)
    assert working_term(llama, settings).bytes == 2 * 100 * 2 * (4 * 4096 + 3 * 14336)
    eager = working_term(gpt2, replace(settings, tokens=1000, flash=False))
    assert eager.bytes == 2 * 1000 * (2 * (3 * 768 + 6 * 768) + 12 * 1000 * 6 + 1000 * 2)  # scores and a mask
    assert logits_term(gpt2, settings).bytes == 2 * 50257 * 6
    assert logits_term(gpt2, replace(settings, all_logits=True, dtype="float32")).bytes == 200 * 50257 * 4
    assert working_term(gpt2, replace(settings, prefill=10)).bytes * 10 == working_term(gpt2, settings).bytes


@hypothesis_settings(deadline=None)  # the architecture is built on first use
@given(
    tokens=st.integers(0, 200_000),
    batch=st.integers(1, 500),
    quantization=st.sampled_from(FORMATS),
    cache=st.sampled_from(sorted(CACHE_FORMATS)),
    convention=st.sampled_from(CONVENTIONS),
    flash=st.booleans(),
)
def test_more_of_anything_never_takes_less(
    tokens: int, batch: int, quantization: str | None, cache: str, convention: str, flash: bool
) -> None:
    settings = InferenceSettings(
        quantization=quantization, tokens=tokens, batch=batch, cache_dtype=cache, convention=convention, flash=flash
    )
    estimate = inference(shape("google/gemma-2-2b"), settings)
    assert estimate.total == sum(term.bytes for term in estimate.terms)
    assert all(term.bytes >= 0 and term.formula and term.values for term in estimate.terms)
    for more in (replace(settings, tokens=tokens + 1), replace(settings, batch=batch + 1)):
        assert inference(shape("google/gemma-2-2b"), more).total >= estimate.total


def test_an_encoder_has_no_cache() -> None:
    assert inference(shape("bert-base-uncased"), InferenceSettings()).bytes_of("KV cache") == 0


def test_gguf_types_are_ordered_by_their_bits() -> None:
    assert list(GGUF_BITS.values()) == sorted(GGUF_BITS.values())


@pytest.mark.parametrize(
    "change",
    [
        {"tokens": -1},
        {"batch": 0},
        {"batch": 10**20},
        {"source_tokens": -5},
        {"prefill": 0},
        {"cuda_context": -1},
        {"margin": -0.1},
        {"margin": float("nan")},
        {"dtype": "float7"},
        {"cache_dtype": "int3"},
        {"quantization": "Q9_K"},
        {"convention": "paper"},
    ],
    ids=str,
)
def test_settings_that_make_no_sense(change: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        inference(shape("gpt2"), replace(InferenceSettings(), **change))
    assert caught.value.message.endswith(".")
    assert caught.value.hint.endswith(".")


def test_pools_that_make_no_sense() -> None:
    assert cache_pool(GIB, 0.5, GIB, 0, 0) == 0
    for share in (0, 1.5, float("nan")):
        with pytest.raises(InputError):
            cache_pool(GIB, share, 0, 0, 0)
