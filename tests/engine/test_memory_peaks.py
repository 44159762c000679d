"""The peak of a training step and of reading a prompt, for families unlike Llama, on a GPU's kernels.

`gpu_trace` says how a GPU is traced without one; the same sums for Llama and T5 are in `test_memory_gpu`.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.distributed._tools.mem_tracker import MemTracker

from llmlab.engine.memory.describe import describe
from llmlab.engine.memory.inference import InferenceSettings, inference
from llmlab.engine.memory.recipe import Precision, TrainingSettings
from llmlab.engine.memory.training import training
from tests.engine.gpu_trace import AsOnCuda, Trace, on_gpu, training_step
from tests.engine.memory_families import FAMILIES, LARGER

BATCH, TOKENS, LAYERS = 4, 256, 6
BARE: dict[str, Any] = {"cuda_context": 0, "margin": 0.0}
QUICK = ("gemma 2", "gemma 3", "bloom", "gpt-neox", "gpt-oss")

of_each_family = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in LARGER]
)
in_both_widths = pytest.mark.parametrize(
    "dtype", [torch.bfloat16, pytest.param(torch.float32, marks=pytest.mark.slow)], ids=str
)


def prefill(name: str, dtype: torch.dtype) -> int:
    """Bytes at the peak of reading a prompt, as `generate` has it read."""
    model = on_gpu(LARGER[name](LAYERS), dtype).eval()
    ids = torch.zeros(BATCH, TOKENS, dtype=torch.long, device="meta")
    with torch.no_grad(), AsOnCuda(), Trace() as trace:
        trace.follow([*model.parameters(), *model.buffers(), ids])
        output = model(input_ids=ids, use_cache=True, logits_to_keep=1)
    assert output.logits.shape[1] == 1
    return trace.peak


@in_both_widths
@of_each_family
def test_the_peak_of_a_training_step(name: str, dtype: torch.dtype) -> None:
    """2 %, fused AdamW."""
    shape = describe(LARGER[name](LAYERS))
    if shape.experts and dtype is torch.float32:
        pytest.skip("torch's grouped_mm takes 16 bits on the meta device")
    precision = Precision.FLOAT32 if dtype is torch.float32 else Precision.BFLOAT16
    said = training(shape, TrainingSettings(precision, tokens=TOKENS, batch=BATCH, **BARE))
    peak = training_step(on_gpu(LARGER[name](LAYERS), dtype), BATCH, TOKENS).peak
    assert said.total == pytest.approx(peak, rel=0.02)


@in_both_widths
@of_each_family
def test_the_peak_of_reading_a_prompt(name: str, dtype: torch.dtype) -> None:
    """6 %: beside what a layer holds while it runs, a few tensors of the layer before are there or not."""
    shape = describe(LARGER[name](LAYERS))
    if shape.experts and dtype is torch.float32:
        pytest.skip("torch's grouped_mm takes 16 bits on the meta device")
    kind = str(dtype).removeprefix("torch.")
    said = inference(shape, InferenceSettings(kind, tokens=TOKENS, batch=BATCH, cache_dtype=kind, **BARE))
    assert said.total == pytest.approx(prefill(name, dtype), rel=0.06)


@pytest.mark.parametrize("name", ["llama", "gemma 2"])
def test_torchs_own_tracker_sees_the_same_peak(name: str) -> None:
    """To the byte, over one and the same step: the trace that all this is held against is not its own witness."""
    model = on_gpu(FAMILIES[name](2), torch.bfloat16).train()
    optimizer = torch.optim.AdamW(model.parameters(), foreach=True)
    for parameter in model.parameters():
        means = (torch.empty_like(parameter), torch.empty_like(parameter))
        optimizer.state[parameter] = dict(zip(("exp_avg", "exp_avg_sq"), means, strict=True))
        optimizer.state[parameter]["step"] = torch.zeros((), device="meta")
    states = [value for state in optimizer.state.values() for value in state.values()]
    ids = torch.zeros(2, 64, dtype=torch.long, device="meta")
    tracker = MemTracker()
    tracker.track_external(model, optimizer, ids)
    with AsOnCuda(), Trace() as trace, tracker:
        trace.follow([*model.parameters(), *model.buffers(), *states, ids])
        model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        optimizer.step()
    (found,) = tracker.get_tracker_snapshot("peak").values()
    assert int(trace.curve().max()) == found["Total"] > 10**6
