"""This machine's own GPUs and main memory as rows of the table, and how fast its memory really is."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import psutil
import torch

from llmlab.engine.devices import CPU, cuda_devices, free_memory
from llmlab.engine.memory.hardware import Gpu, gpus
from llmlab.engine.progress import UNCONTROLLED, Control

OWN = "this machine"
_READ_BYTES = 256 * 2**20  # far beyond any cache
_READINGS = 5
_VARIANTS = {"ti", "super", "d", "laptop", "mobile", "q"}  # words that make another GPU of a name; Max-Q ends in q


def machine_gpus(control: Control = UNCONTROLLED) -> tuple[Gpu, ...]:
    """The devices models can run on here, GPUs first, then main memory.

    Bandwidth is the table's where the GPU is in it, else what its driver says, else measured by reading.
    Raises Cancelled.
    """
    found = [_cuda(torch.device("cuda", index), control) for index in range(cuda_devices())]
    if torch.backends.mps.is_available():
        memory = int(torch.mps.recommended_max_memory())
        bandwidth = read_bandwidth(torch.device("mps"), control)
        found.append(Gpu("Apple GPU", "Apple", OWN, memory, bandwidth, _measured()))
    memory = int(psutil.virtual_memory().total)
    found.append(Gpu("Main memory (CPU)", "", OWN, memory, read_bandwidth(CPU, control), _measured(), cpu=True))
    return tuple(found)


def read_bandwidth(device: torch.device, control: Control = UNCONTROLLED) -> int:
    """Bytes a second that `device` reads when it adds up more numbers than any cache holds; the best of five.

    Decoding reads its weights in the same way. Raises Cancelled.
    """
    control.report(f"Measuring how fast the memory of {device} is")
    size = max(2**20, min(_READ_BYTES, free_memory(device) // 8))
    block = torch.zeros(size // 4, dtype=torch.float32, device=device)
    best = float("inf")
    for _ in range(_READINGS):
        control.check()
        begin = time.perf_counter()
        float(block.sum())  # waits for the device
        best = min(best, time.perf_counter() - begin)
    return round(size / best)


@dataclass(frozen=True, slots=True)
class _Properties:
    """What the driver tells; a clock of 0 where it tells none."""

    name: str
    memory: int
    bandwidth: int


def _cuda(device: torch.device, control: Control) -> Gpu:
    told = _properties(device)
    if known := in_table(told.name):
        return Gpu(told.name, known.vendor, OWN, told.memory, known.bandwidth, f"Memory: its driver. {known.source}")
    if told.bandwidth:
        return Gpu(told.name, "", OWN, told.memory, told.bandwidth, "Its driver: bus width · 2 · memory clock")
    return Gpu(told.name, "", OWN, told.memory, read_bandwidth(device, control), _measured())


def _properties(device: torch.device) -> _Properties:
    properties: Any = torch.cuda.get_device_properties(device)
    clock = getattr(properties, "memory_clock_rate", 0) or 0  # kHz, data on both edges
    width = getattr(properties, "memory_bus_width", 0) or 0  # bits
    return _Properties(str(properties.name), int(properties.total_memory), 2 * clock * 1000 * width // 8)


def in_table(name: str) -> Gpu | None:
    """The row of the table that a driver's name means: “NVIDIA GeForce RTX 4090”, “Tesla T4”; None if none does.

    A “Ti”, a “SUPER” or a laptop's GPU is another one, with a memory of its own: the plain row does not stand for it.
    """
    words = set(_words(name))
    fitting = [gpu for gpu in gpus() if gpu.kind != "unified" and words & _VARIANTS <= set(_words(gpu.name)) <= words]
    return max(fitting, key=lambda gpu: len(_words(gpu.name)), default=None)


def _words(name: str) -> list[str]:
    """“NVIDIA A100-SXM4-80GB” → a100, sxm, 80, gb."""
    spelled = name.lower().replace("sxm4", "sxm").replace("sxm5", "sxm").replace("gb", " gb ")
    return [word for word in spelled.replace("-", " ").replace("(", " ").replace(")", " ").split() if word != "nvidia"]


def _measured() -> str:
    return f"Bandwidth measured by adding up {_READ_BYTES // 2**20} MiB of numbers"
