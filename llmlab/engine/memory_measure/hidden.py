"""What the framework does that one would not expect, found on the model itself and said with its bytes."""

from __future__ import annotations

import torch

from llmlab.engine.loading import LoadedModel
from llmlab.engine.memory.inference import quantization_warnings
from llmlab.engine.memory.shape import ModelShape
from llmlab.engine.memory_measure.live import LiveTensors
from llmlab.engine.memory_measure.reading import Run
from llmlab.engine.memory_measure.stepping import OPTIMIZER
from llmlab.engine.memory_measure.weights import cuda_devices_of


def double_quantization(loaded: LoadedModel) -> bool:
    """Whether the scales are quantized as well."""
    states = (getattr(parameter, "quant_state", None) for parameter in loaded.model.parameters())
    return any(bool(getattr(state, "nested", False)) for state in states)


def of_model(loaded: LoadedModel, shape: ModelShape, weights: int) -> list[str]:
    """About the weights."""
    info = loaded.info
    found = [
        warning
        for warning in quantization_warnings(shape, info.dtype, info.quantization, double=double_quantization(loaded))
        if not warning.startswith("get_memory_footprint")
    ]
    shown = int(loaded.model.get_memory_footprint())  # type: ignore[no-untyped-call]
    if shown != weights:
        found.append(
            f"get_memory_footprint() says {shown:,} bytes, and the weights take {weights:,}"
            + (": scales and codebooks are missing from it." if info.quantization else ".")
        )
    return found


def of_prefill(loaded: LoadedModel, run: Run) -> list[str]:
    """About the forward pass over all tokens."""
    found = []
    more = run.cache_held - run.cache - run.cross
    if more > 0:
        found.append(
            f"The cache keeps {more:,} bytes more than its keys and values have: a sliding layer's are a view of all "
            "tokens that were read at once, until the next token is written."
        )
    return found + _upcasts(loaded, run.live, "The forward pass")


def of_training(loaded: LoadedModel, run: Run) -> list[str]:
    """About a training step."""
    found = _upcasts(loaded, run.live, "The training step")
    if loaded.device.type == "cuda":
        found.append(
            "The step ran with AdamW(fused=True), as transformers' Trainer does; without it AdamW works on all tensors "
            "at once, and holds intermediate results as large as all parameters for a moment."
        )
    return found


def of_allocator(loaded: LoadedModel) -> tuple[int | None, int | None]:
    """What the GPU's allocator keeps beyond the tensors, and what the GPU lacks beyond that; None without a GPU."""
    devices = cuda_devices_of(loaded)
    if not devices:
        return None, None
    reserved = sum(map(torch.cuda.memory_reserved, devices))
    used = sum(total - free for free, total in map(torch.cuda.mem_get_info, devices))
    return reserved - sum(map(torch.cuda.memory_allocated, devices)), used - reserved


def _upcasts(loaded: LoadedModel, live: LiveTensors, what: str) -> list[str]:
    """Float32 tensors of a model in 16 bits."""
    if loaded.info.dtype not in ("float16", "bfloat16"):
        return []
    most = int(live.curve(lambda life: life.dtype is torch.float32 and life.label != OPTIMIZER).max())
    words = (
        f"{what} holds up to {most:,} bytes of float32 in a {loaded.info.dtype} model: norms, rotary positions, "
        "sampling and the loss are computed in float32."
    )
    return [words] if most else []
