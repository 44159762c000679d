"""The memory read-out that the window polls: cheap, without the model, and safe beside a running job."""

from __future__ import annotations

import sys

import psutil

from llmlab.engine.types import MemoryUse


def memory_in_use(device: str) -> MemoryUse:
    """Bytes in use by this process, and by its CUDA allocator if `device` is a CUDA device.

    `weights` is 0: only the model's owner can count them (`Engine.memory_use`). Imports no torch by itself,
    since a model on a CUDA device has imported it already.
    """
    rss = int(psutil.Process().memory_info().rss)
    torch = sys.modules.get("torch")
    if torch is None or not device.startswith("cuda"):
        return MemoryUse(rss, 0)
    devices = range(torch.cuda.device_count())
    return MemoryUse(
        rss,
        0,
        cuda_allocated=sum(torch.cuda.memory_allocated(index) for index in devices),
        cuda_reserved=sum(torch.cuda.memory_reserved(index) for index in devices),
        cuda_total=sum(torch.cuda.mem_get_info(index)[1] for index in devices),
    )
