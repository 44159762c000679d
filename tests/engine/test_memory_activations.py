"""What the layers of each family keep for the backward pass: the formulas against autograd, on a GPU's kernels."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedConfig

from llmlab.engine.memory.activations import Checkpointing, saved_by_layer
from llmlab.engine.memory.architectures import architectures
from llmlab.engine.memory.blocks import block_of
from llmlab.engine.memory.describe import describe
from llmlab.engine.memory.kept import Kept
from llmlab.engine.memory.layout import as_config
from llmlab.engine.memory.passing import layers_kept
from llmlab.engine.memory.recipe import TrainingSettings
from llmlab.engine.memory.shape import ModelShape
from llmlab.engine.memory.training import training
from tests.engine.gpu_trace import AsOnCuda, Trace, on_gpu, saved
from tests.engine.memory_families import FAMILIES, HEADS, UNKNOWN, WINDOW, WINDOWS
from tests.engine.memory_shapes import shape
from tests.engine.test_memory_inference import value_of

SEEDS = 24  # bytes of a fused kernel's random seed and offset
BATCH, TOKENS = 2, 32

_slow = pytest.mark.slow
in_each_setting = pytest.mark.parametrize(
    ("dtype", "attention"),
    [
        (torch.bfloat16, "sdpa"),
        pytest.param(torch.bfloat16, "eager", marks=_slow),
        pytest.param(torch.float32, "sdpa", marks=_slow),
        pytest.param(torch.float32, "eager", marks=_slow),
    ],
    ids=str,
)


def quick_are(names: Container[str], of: Iterable[str]) -> list[Any]:
    """All `of` them as parameters; those that are not in `names` belong to the slow half."""
    return [name if name in names else pytest.param(name, marks=_slow) for name in of]


def kept_by(config: PreTrainedConfig, dtype: torch.dtype, attention: str, tokens: int = TOKENS) -> int:
    model = on_gpu(config, dtype)
    if type(model)._supports_sdpa:  # else there is nothing to choose
        model.set_attn_implementation(attention)
    return saved(model, BATCH, tokens)


def skip_what_there_is_not(shape: ModelShape, dtype: torch.dtype, attention: str) -> None:
    if attention == "eager" and not shape.fuses:
        pytest.skip("its scores are always written out")
    if shape.experts and dtype is torch.float32:
        pytest.skip("torch's grouped_mm takes 16 bits on the meta device; a test of training runs it on the CPU")


def is_fused(shape: ModelShape, dtype: torch.dtype, attention: str) -> bool:
    return attention == "sdpa" and shape.fuses and not (dtype is torch.float32 and shape.shares_keys)


@in_each_setting
@pytest.mark.parametrize("name", FAMILIES)
def test_a_layer_of_each_family_is_the_formula_to_the_byte(name: str, dtype: torch.dtype, attention: str) -> None:
    make = FAMILIES[name]
    known = describe(make(2))
    skip_what_there_is_not(known, dtype, attention)
    assert known.counted
    three, two = (kept_by(make(layers), dtype, attention) for layers in (3, 2))
    fused, width = is_fused(known, dtype, attention), dtype.itemsize
    said = saved_by_layer(known, width, flash=fused).layer(BATCH, TOKENS, HEADS)
    assert 0 <= three - two - said <= SEEDS * fused
    # around the layers, what does not grow with the batch: sines, cosines, positions; the tanh of logits; Gemma's norm
    everything = Kept(known, width, fused=fused).bytes(BATCH, TOKENS)
    sines = TOKENS * max(2 * 4 * known.query // HEADS, 3 * 8)
    tanh = BATCH * TOKENS * known.vocabulary * width * known.caps_logits
    assert 0 <= two - everything - tanh <= sines + 2 * SEEDS + 4 * known.hidden


@in_each_setting
@pytest.mark.parametrize("name", quick_are(("mistral", "gemma 3", "phi 3", "modernbert"), WINDOWS))
def test_layers_that_look_back_at_a_window_only(name: str, dtype: torch.dtype, attention: str) -> None:
    """A fused kernel keeps a mask then, and keys and values for every query head; shorter texts need none."""
    make = WINDOWS[name]
    known = describe(make(4))
    skip_what_there_is_not(known, dtype, attention)
    fused, masked = is_fused(known, dtype, attention), attention == "sdpa" and known.fuses
    for tokens in (WINDOW // 2, WINDOW):  # multiples of 32, in which the kernel that takes masks keeps its rows' sums
        found = [kept_by(make(layers), dtype, attention, tokens) for layers in (4, 2)]
        shapes = [describe(make(layers)) for layers in (4, 2)]
        kept = [Kept(each, dtype.itemsize, fused=fused, masked_fused=masked) for each in shapes]
        four, two = (each.bytes(BATCH, tokens) for each in kept)
        assert 0 <= found[0] - found[1] - (four - two) <= 2 * SEEDS
        words, values = kept[0].formula(BATCH, tokens)
        assert value_of(values) == four
        assert ("mask" in words) == (masked and tokens == WINDOW)


@pytest.mark.parametrize(
    "name",
    quick_are(
        ("llama", "gemma 2", "deepseek-v3", "bert"),
        ("llama", "gemma 2", "bloom", "gpt-neox", "gpt-oss", "deepseek-v3", "gpt-j", "bert"),
    ),
)
def test_full_checkpointing_keeps_the_input_of_each_layer(name: str) -> None:
    def left(layers: int) -> int:
        """Bytes that are there after the forward pass."""
        model = on_gpu(FAMILIES[name](layers), torch.bfloat16).train()
        model.activation_checkpointing_enable()
        ids = torch.zeros(BATCH, TOKENS, dtype=torch.long, device="meta")
        with AsOnCuda(), Trace() as trace:
            trace.follow([*model.parameters(), *model.buffers(), ids])
            output = model(input_ids=ids, **({} if name == "bert" else {"use_cache": False}))
            end = len(trace.operations)
        assert output.logits.requires_grad
        made = [life for life in trace.lives if not life.before]
        return sum(life.bytes for life in made if life.died is None or life.died >= end)

    known = describe(FAMILIES[name](3))
    kept = [
        Kept(describe(FAMILIES[name](layers)), 2, fused=known.fuses, checkpointing=Checkpointing.FULL, inputs=2)
        for layers in (3, 2)
    ]
    assert left(3) - left(2) == kept[0].bytes(BATCH, TOKENS) - kept[1].bytes(BATCH, TOKENS)


# What nobody has looked at


@pytest.mark.parametrize("name", UNKNOWN)
@pytest.mark.parametrize("attention", ["sdpa", pytest.param("eager", marks=_slow)])
def test_an_estimate_is_as_far_off_as_its_note_says(name: str, attention: str) -> None:
    make = UNKNOWN[name]
    unknown = describe(make(2))
    assert not unknown.counted
    three, two = (kept_by(make(layers), torch.bfloat16, attention) for layers in (3, 2))
    said = saved_by_layer(unknown, 2, flash=attention == "sdpa").layer(BATCH, TOKENS, HEADS)
    assert 0.7 < said / (three - two) < 1.4


def test_every_built_in_architecture_is_known() -> None:
    configs = [as_config(each.config).get_text_config(decoder=True) for each in architectures()]
    assert [config.model_type for config in configs if block_of(config) is None] == []


# How it is put


@pytest.mark.parametrize("name", ["google/gemma-2-2b", "deepseek-ai/DeepSeek-V3", "mistralai/Mistral-7B-v0.1"])
@pytest.mark.parametrize("checkpointing", Checkpointing)
@pytest.mark.parametrize("fused", [True, False])
def test_formulas_say_what_their_bytes_are(name: str, checkpointing: Checkpointing, fused: bool) -> None:
    """Below, at and above the window of some layers; numbers of tokens in arrays come to the same."""
    kept = Kept(shape(name), 2, fused=fused, checkpointing=checkpointing)
    lengths = (300, 4095, 4096, 9000)
    for tokens in lengths:
        assert value_of(kept.formula(3, tokens)[1]) == kept.bytes(3, tokens)
        assert value_of(kept.layer_formula(3, tokens)[1]) == kept.largest_layer(3, tokens)
    assert kept.bytes(3, np.array(lengths, float)).tolist() == [kept.bytes(3, tokens) for tokens in lengths]
    largest = kept.largest_layer(3, np.array(lengths, float))
    assert largest.tolist() == [kept.largest_layer(3, tokens) for tokens in lengths]


def test_gemma_2_has_no_kernel_that_keeps_no_scores() -> None:
    """Its scores are bounded by a tanh, which costs two more bytes each."""
    gemma, llama = shape("google/gemma-2-2b"), shape("meta-llama/Llama-3.2-1B")
    assert (gemma.fuses, llama.fuses) == (False, True)
    settings = TrainingSettings(tokens=1024)
    kept = layers_kept(gemma, settings)
    assert kept.bytes(1, 1024) == Kept(gemma, 2, fused=False).bytes(1, 1024)
    (term,) = (term for term in training(gemma, settings).terms if term.name == "Activations")
    assert "scores" in term.note
    assert saved_by_layer(gemma, 2, flash=False).per_score == 2 + saved_by_layer(llama, 2, flash=False).per_score


def test_a_window_shorter_than_the_text_costs_its_mask() -> None:
    mistral = shape("mistralai/Mistral-7B-v0.1")
    kept = Kept(mistral, 2, fused=True)
    step = kept.bytes(1, 4096) - kept.bytes(1, 4095)
    repeated = 2 * 2 * (mistral.query - mistral.key_value)
    assert step == pytest.approx(32 * 4096 * (2 * 4096 + repeated), rel=0.02)
