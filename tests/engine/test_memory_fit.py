"""What fits where, how fast it can be, and the table of GPUs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from llmlab.engine.errors import InputError
from llmlab.engine.memory.fit import (
    PRECISIONS,
    best_precision,
    context_at_batch,
    fit,
    fits,
    largest_batch,
    largest_training_batch,
    longest_context,
)
from llmlab.engine.memory.hardware import Gpu, gpu, gpus
from llmlab.engine.memory.inference import InferenceSettings, inference
from llmlab.engine.memory.roofline import decode_roofline
from llmlab.engine.memory.shape import Group
from llmlab.engine.memory.training import TrainingSettings, training
from tests.engine.memory_shapes import GIB, MIB, shape

LLAMA_3 = "meta-llama/Meta-Llama-3-8B"
QWEN = "Qwen/Qwen3-0.6B"
RUN = InferenceSettings()

# The table


def test_the_table_of_gpus() -> None:
    table = gpus()
    assert len(table) >= 40
    assert len({one.name for one in table}) == len(table)
    assert {one.kind for one in table} == {"consumer", "workstation", "data centre", "unified"}
    assert all(one.source for one in table)
    assert gpu("T4").memory == 15360 * MIB  # of 16 GiB: error correction takes a part
    assert gpu("H200").bandwidth == 4_800_000_000_000


def test_gpus_that_cannot_be() -> None:
    with pytest.raises(InputError, match="RTX 9999"):
        gpu("RTX 9999")
    with pytest.raises(InputError, match="memory"):
        Gpu("mine", "me", "consumer", 0, 1, "")
    with pytest.raises(InputError, match="bandwidth"):
        replace(gpu("T4"), bandwidth=-1)


# What fits


def test_llama_3_8b_by_hand() -> None:
    """15 GiB of bfloat16 weights: too much for 16 GB with everything around them, fine on 24 GB."""
    needs = inference(shape(LLAMA_3), RUN).total
    assert not fit(needs, gpu("GeForce RTX 4080 SUPER")).fits
    roomy = fit(needs, gpu("GeForce RTX 4090"))
    assert roomy.fits
    assert roomy.headroom == 24564 * MIB - needs
    assert [one.fits for one in fits(needs, gpus())] == [one.memory >= needs for one in gpus()]


@hypothesis_settings(deadline=None, max_examples=30)  # the architecture is built on first use
@given(memory=st.integers(1, 200 * 10**9), batch=st.integers(1, 64), cache=st.sampled_from(["bfloat16", "q4_0"]))
def test_the_longest_context_fits_and_one_token_more_does_not(memory: int, batch: int, cache: str) -> None:
    settings = InferenceSettings(batch=batch, cache_dtype=cache)
    found = longest_context(shape(LLAMA_3), settings, memory)
    if found is None:
        assert inference(shape(LLAMA_3), replace(settings, tokens=1)).total > memory
        return
    assert inference(shape(LLAMA_3), replace(settings, tokens=found)).total <= memory
    if found < 8192:
        assert inference(shape(LLAMA_3), replace(settings, tokens=found + 1)).total > memory


@pytest.mark.parametrize("memory", [4 * GIB, 24 * GIB, 80 * GIB])
def test_the_largest_batches_fit_and_one_more_does_not(memory: int) -> None:
    found = largest_batch(shape(QWEN), RUN, memory)
    assert found is not None
    assert inference(shape(QWEN), replace(RUN, batch=found)).total <= memory
    assert inference(shape(QWEN), replace(RUN, batch=found + 1)).total > memory
    trained = largest_training_batch(shape("gpt2"), TrainingSettings(), memory)
    if trained is None:
        assert training(shape("gpt2"), TrainingSettings()).total > memory
    else:
        assert training(shape("gpt2"), TrainingSettings(batch=trained)).total <= memory
        assert training(shape("gpt2"), TrainingSettings(batch=trained + 1)).total > memory


def test_precisions_are_in_the_order_of_what_they_lose() -> None:
    found = [best_precision(shape(LLAMA_3), RUN, gib * GIB) for gib in (80, 24, 12, 8, 6, 2)]
    names = [None if one is None else one.quantization or one.dtype for one in found]
    assert names[0] == "float32"
    assert names[1] == "bfloat16"
    assert names[2] == "Q8_0"
    assert names[-1] is None
    order = [quantization or dtype for dtype, quantization, _ in PRECISIONS]
    places = [order.index(name) for name in names if name]
    assert places == sorted(places)


def test_the_line_of_one_gpu() -> None:
    line = context_at_batch(shape(LLAMA_3), RUN, gpu("GeForce RTX 4090").memory, (1, 4, 16, 100_000))
    lengths = [tokens or 0 for _, tokens in line]
    assert lengths == sorted(lengths, reverse=True)
    assert line[0][1] == 8192  # the architecture reads no more
    assert line[-1][1] is None


# The roofline


def test_roofline_by_hand() -> None:
    found = decode_roofline(shape(LLAMA_3), replace(RUN, tokens=1000), 10**12)
    read = 8_030_261_248 - 128256 * 4096  # the embedding table is looked up, not read
    assert found.moved.bytes_of("Weights read") == pytest.approx(2 * read, rel=1e-6)
    assert found.moved.bytes_of("Cache read") == 131_072 * 1000
    assert found.tokens_per_second == pytest.approx(10**12 / (2 * read + 131_072_000), rel=1e-6)
    assert found.reached(found.tokens_per_second / 2) == pytest.approx(0.5)


def test_a_tied_table_is_read_as_the_output_layer() -> None:
    found = decode_roofline(shape(QWEN), replace(RUN, tokens=0), 10**12)
    assert found.moved.total == pytest.approx(2 * shape(QWEN).parameters, rel=1e-5)


def test_experts_rest_until_the_batch_wakes_them() -> None:
    mixtral = shape("mistralai/Mixtral-8x7B-v0.1")
    one, many = (decode_roofline(mixtral, replace(RUN, tokens=0, batch=b), 10**12).moved for b in (1, 64))
    active = mixtral.parameters - mixtral.group(Group.EMBEDDINGS) - round(0.75 * mixtral.group(Group.EXPERTS))
    assert one.total == pytest.approx(2 * active, rel=1e-6)
    assert many.total == pytest.approx(2 * (mixtral.parameters - mixtral.group(Group.EMBEDDINGS)), rel=1e-3)


def test_a_batch_shares_the_weights() -> None:
    speeds = [decode_roofline(shape(LLAMA_3), replace(RUN, batch=b), 10**12).tokens_per_second for b in (1, 2, 8, 64)]
    assert speeds == sorted(speeds)
    assert speeds[-1] < 64 * speeds[0]


def test_rooflines_that_cannot_be() -> None:
    with pytest.raises(InputError, match="bandwidth"):
        decode_roofline(shape(LLAMA_3), RUN, 0)
    with pytest.raises(InputError, match="no tokens one by one"):
        decode_roofline(shape("bert-base-uncased"), RUN, 10**12)
    with pytest.raises(InputError):
        fit(-1, gpu("T4"))
