"""The built-in architectures, parameter by parameter, against published counts."""

from __future__ import annotations

import subprocess
import sys

import pytest

from llmlab.engine.errors import InputError, ModelFileError, UnsupportedModelError
from llmlab.engine.memory.architectures import architecture, architectures
from llmlab.engine.memory.blocks import CLASSIC, GATED
from llmlab.engine.memory.cache import kv_cache_bytes
from llmlab.engine.memory.describe import describe
from llmlab.engine.memory.inference import InferenceSettings, cache_bytes
from llmlab.engine.memory.layout import parameter_count
from llmlab.engine.memory.shape import Group, Latent
from tests.engine.memory_shapes import shape

# Parameters, and bytes that a token leaves in a 16-bit cache (None: no cache). From the files on the hub, the papers
# and public logs; the source of each stands in the list itself. Exact.
PUBLISHED: dict[str, tuple[int, int | None]] = {
    "gpt2": (124_439_808, 36_864),
    "gpt2-medium": (354_823_168, 98_304),
    "gpt2-large": (774_030_080, 184_320),
    "distilgpt2": (81_912_576, 18_432),
    "bert-base-uncased": (109_482_240, None),
    "bert-base-uncased (ForPreTraining)": (110_106_428, None),
    "bert-base-cased": (108_310_272, None),
    "t5-small": (60_506_624, 12_288),
    "t5-base": (222_903_552, 36_864),
    "t5-large": (737_668_096, None),
    "t5-3b": (2_851_598_336, 393_216),
    "flan-t5-base": (247_577_856, 36_864),  # untied, though T5Config of transformers 5 says otherwise
    "flan-t5-xl": (2_849_757_184, 196_608),
    "bigscience/bloom (176B)": (176_247_271_424, 4_014_080),
    "OPT 175B (as its paper has it)": (174_604_468_224, 4_718_592),
    "facebook/opt-350m": (331_196_416, 98_304),
    "huggyllama/llama-7b": (6_738_415_616, 524_288),
    "LLaMA-1 33B": (32_528_943_616, 1_597_440),
    "LLaMA-1 65B": (65_285_660_672, 2_621_440),
    "meta-llama/Llama-2-7b-hf": (6_738_415_616, 524_288),
    "meta-llama/Llama-2-70b-hf": (68_976_648_192, 327_680),
    "meta-llama/Meta-Llama-3-8B": (8_030_261_248, 131_072),
    "meta-llama/Llama-3.2-1B": (1_235_814_400, 32_768),
    "TinyLlama/TinyLlama-1.1B": (1_100_048_384, 22_528),
    "HuggingFaceTB/SmolLM2-135M": (134_515_008, 23_040),
    "mistralai/Mistral-7B-v0.1": (7_241_732_096, 131_072),
    "mistralai/Mixtral-8x7B-v0.1": (46_702_792_704, 131_072),
    "Qwen/Qwen2.5-0.5B": (494_032_768, 12_288),
    "Qwen/Qwen2.5-7B": (7_615_616_512, 57_344),
    "Qwen/Qwen3-0.6B": (596_049_920, 114_688),  # head size 128, not hidden size / heads = 64
    "Qwen/Qwen3-8B": (8_190_735_360, 147_456),
    "Qwen/Qwen3-32B": (32_762_123_264, 262_144),
    "Qwen/Qwen3-30B-A3B": (30_532_122_624, None),
    "Qwen/Qwen3-235B-A22B": (235_093_634_560, None),
    "EleutherAI/gpt-neox-20b": (20_554_567_680, None),
    "EleutherAI/pythia-12b": (11_846_072_320, None),
    "HuggingFaceTB/SmolLM3-3B": (3_075_098_624, None),
    "answerdotai/ModernBERT-base": (149_014_272, None),
    "meta-llama/Llama-3.1-405B": (405_853_388_800, None),
    # With its vision tower 108,641,793,536, of which this is the text part.
    "meta-llama/Llama-4-Scout-17B-16E (text)": (108_641_793_536 - 871_932_416, None),
    "google/gemma-3-1b-pt": (999_885_952, None),
    "google/gemma-3-27b-pt (text)": (27_009_346_304, None),
    "microsoft/phi-4": (14_659_507_200, None),
    "mistralai/Mistral-Small-24B-Base-2501": (23_572_403_200, None),
    "allenai/OLMo-2-0325-32B": (32_234_279_936, None),
    "allenai/Olmo-3-1125-32B": (32_233_522_176, None),
    "openai/gpt-oss-20b": (20_914_757_184, 49_152),
    "openai/gpt-oss-120b": (116_829_156_672, None),
    # The checkpoint's 671,026,419,200 include 58 · 256 correction biases of its routers, which are buffers here.
    "deepseek-ai/DeepSeek-V3": (671_026_419_200 - 58 * 256, 70_272),
}


@pytest.mark.parametrize("name", [one.name for one in architectures()])
def test_every_built_in_architecture(name: str) -> None:
    found = shape(name)
    assert found.parameters == architecture(name).parameters
    assert sum(found.groups.values()) == found.parameters
    assert not found.group(Group.OTHER)
    assert sum(t.elements for t in found.tensors if t.quantized) == sum(o * i for o, i in found.layout.matrices)


@pytest.mark.parametrize(("name", "published"), PUBLISHED.items(), ids=PUBLISHED.keys())
def test_published_counts(name: str, published: tuple[int, int | None]) -> None:
    parameters, cached = published
    found = shape(name)
    assert found.parameters == parameters
    if cached is not None:
        assert cache_bytes(found, InferenceSettings(tokens=1)) == cached


def test_a_config_that_does_not_say_it_is_untied_loses_an_output_layer() -> None:
    # The same file without its line: T5Config of transformers 5 ties, and the count is that of a tied model.
    config = {k: v for k, v in architecture("flan-t5-xl").config.items() if k != "tie_word_embeddings"}
    assert parameter_count(config) == 2_783_959_040


def test_groups_of_llama_by_hand() -> None:
    found = shape("meta-llama/Meta-Llama-3-8B")
    assert found.groups == {
        Group.EMBEDDINGS: 128256 * 4096,
        Group.ATTENTION: 32 * (2 * 4096 * 4096 + 2 * 4096 * 1024),
        Group.MLP: 32 * 3 * 4096 * 14336,
        Group.NORMS: (2 * 32 + 1) * 4096,
        Group.HEAD: 128256 * 4096,
    }


def test_groups_of_a_mixture_of_experts() -> None:
    found = shape("mistralai/Mixtral-8x7B-v0.1")
    assert found.group(Group.EXPERTS) == 32 * 8 * 3 * 4096 * 14336
    assert (found.experts, found.active_experts, found.intermediate) == (8, 2, 2 * 14336)


def test_a_tied_output_counts_once_and_an_untied_one_is_the_head() -> None:
    assert shape("gpt2").group(Group.HEAD) == 0
    assert shape("t5-base").group(Group.HEAD) == 0
    assert shape("flan-t5-base").group(Group.HEAD) == 32128 * 768


def test_blocks() -> None:
    assert shape("gpt2").block is CLASSIC
    assert shape("gpt2").primitive_gelu
    assert shape("bert-base-uncased").block is CLASSIC
    assert shape("Qwen/Qwen3-0.6B").block is GATED
    assert shape("Qwen/Qwen3-0.6B").query_key_norm
    assert shape("t5-base").layers == 24
    deepseek = shape("deepseek-ai/DeepSeek-V3")
    assert (deepseek.layers, deepseek.dense_layers, deepseek.dense_intermediate) == (61, 3, 18432)
    assert deepseek.latent == Latent(1536, 512, 64, 128 * 128, 128 * (128 + 128))
    gemma = shape("google/gemma-3-1b-pt")
    assert (gemma.window, gemma.windowed_layers, gemma.layers) == (512, 22, 26)


@pytest.mark.parametrize(
    "name", ["gpt2", "t5-base", "meta-llama/Meta-Llama-3-8B", "google/gemma-2-2b", "openai/gpt-oss-120b"]
)
@pytest.mark.parametrize(("tokens", "source"), [(0, 0), (1, 0), (4095, 7), (5000, 300)])
def test_the_cache_in_terms_is_the_cache(name: str, tokens: int, source: int) -> None:
    settings = InferenceSettings(tokens=tokens, source_tokens=source, batch=3)
    expected = kv_cache_bytes(architecture(name).config, tokens, 3, "bfloat16", source_tokens=source)
    assert cache_bytes(shape(name), settings) == expected


def test_what_is_not_in_the_list() -> None:
    with pytest.raises(InputError, match="hyperllama"):
        architecture("hyperllama")


def test_a_missing_or_broken_field_is_named() -> None:
    config = dict(architecture("meta-llama/Meta-Llama-3-8B").config)
    with pytest.raises(ModelFileError, match="num_hidden_layers"):
        describe({**config, "num_hidden_layers": "many"})


@pytest.mark.parametrize("kind", ["mamba", "rwkv"])
def test_models_without_attention_are_refused_in_words(kind: str) -> None:
    with pytest.raises(UnsupportedModelError, match="attention heads"):
        describe({"model_type": kind, "num_hidden_layers": 1, "vocab_size": 8, "hidden_size": 8})


def test_the_arithmetic_brings_no_torch() -> None:
    modules = "activations architectures deepspeed fit hardware inference optimizers roofline rules sharding training"
    names = ", ".join(f"llmlab.engine.memory.{name}" for name in modules.split())
    code = f"import sys; import {names}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
