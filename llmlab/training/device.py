"""Where the training runs, and a few settings that decide how fast."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from typing import Any

import torch
import transformers

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names of mallopt's parameters in glibc's malloc.h


def choose(name: str) -> torch.device:
    """``auto`` takes CUDA when there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def keep_memory() -> None:
    """Let glibc keep freed memory: logits of tens of MB would otherwise be mapped and zeroed anew at every step."""
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, 2**30)
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def describe(device: torch.device) -> dict[str, Any]:
    """What the record of a training says about the machine."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else (platform.machine() or "unknown")
    return {
        "device": device.type,
        "device_name": name,
        "cpu_cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "transformers": transformers.__version__,
    }
