"""The devices of this machine: which there are, what they can compute in, what is free and in use on them."""

from __future__ import annotations

import ctypes
import functools
import gc
import importlib.util
import logging
import sys
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import psutil
import torch

from llmlab.engine.errors import DeviceError
from llmlab.engine.memory import QUANTIZATIONS
from llmlab.engine.types import MemoryUse
from llmlab.engine.wording import one_of

if TYPE_CHECKING:
    from llmlab.engine.loading import LoadedModel

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
CPU = torch.device("cpu")


def candidates(device: str) -> list[torch.device]:
    """The devices that `device` allows, best first. Raises DeviceError."""
    cuda = [torch.device("cuda", index) for index in range(cuda_devices())]
    if device == "auto":
        mps = [torch.device("mps")] if torch.backends.mps.is_available() else []
        return [*sorted(cuda, key=free_memory, reverse=True)[:1], *mps, CPU]
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise DeviceError(f"There is no device “{device}”.", "Choose auto, cpu, cuda, cuda:1 … or mps.") from None
    if chosen.type == "cuda":
        return [_cuda_device(chosen, cuda)]
    if chosen.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("There is no MPS device here.", "MPS is the GPU of Apple computers; choose cpu or auto.")
    if chosen.type not in ("cpu", "mps"):
        raise DeviceError(f"Models cannot be opened on “{device}”.", "Choose auto, cpu, cuda or mps.")
    return [torch.device(chosen.type)]


def check_dtype(dtype: str, device: torch.device) -> None:
    """Raise DeviceError where `device` cannot compute in `dtype`; asks the device by trying."""
    if dtype not in DTYPES:
        raise DeviceError(f"There is no number format “{dtype}”.", f"Choose auto, {one_of(list(DTYPES))}.")
    try:
        torch.ones(1, dtype=DTYPES[dtype], device=device).mul(2)
    except torch.OutOfMemoryError:
        return  # a full device says nothing about formats; whether the model fits is asked elsewhere
    except (RuntimeError, TypeError):
        raise DeviceError(
            f"{device} cannot compute in {dtype}.", "Choose float32, or leave the format to auto."
        ) from None


def check_quantization(quantization: str | None, device: torch.device | None = None) -> None:
    """Raise DeviceError where a quantization is unknown, or bitsandbytes is missing or does not know the device."""
    if quantization is None:
        return
    if quantization not in QUANTIZATIONS:
        raise DeviceError(f"There is no quantization “{quantization}”.", f"Choose {one_of(QUANTIZATIONS)}.")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise DeviceError(
            f"Quantizing to {quantization} needs the package bitsandbytes, which is not installed.",
            "Install it with “pip install bitsandbytes”, or open the model without a quantization.",
        )
    if device is not None and device.type not in bitsandbytes_module().supported_torch_devices:
        raise DeviceError(
            f"The installed bitsandbytes cannot quantize on {device.type}.",
            "Choose the device cpu, or no quantization.",
        )


def free_memory(device: torch.device) -> int:
    """Bytes that are free on `device` now."""
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + cached
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return int(psutil.virtual_memory().available)


def memory_use(loaded: LoadedModel) -> MemoryUse:
    """What is in use now, by the process and, for a model on CUDA devices, on these."""
    rss = int(psutil.Process().memory_info().rss)
    tensors = {id(t): t for t in _tensors(loaded.model)}.values()
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    weights = sum(storages.values())
    cuda = sorted({t.device.index for t in tensors if t.device.type == "cuda"})
    if not cuda:
        return MemoryUse(rss, weights)
    return MemoryUse(
        rss,
        weights,
        cuda_allocated=sum(torch.cuda.memory_allocated(i) for i in cuda),
        cuda_reserved=sum(torch.cuda.memory_reserved(i) for i in cuda),
        cuda_total=sum(torch.cuda.mem_get_info(i)[1] for i in cuda),
    )


def release_memory() -> None:
    """Give back what dropped tensors held."""
    gc.collect()
    trim_heap()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def trim_heap() -> None:
    """Return the C heap's free pages to the system; glibc keeps them, three quarters of an int8 model for one."""
    trim = getattr(_c_library(), "malloc_trim", None)
    if trim is not None:
        trim(0)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that memory ran out, on a GPU or in the CPU's allocator."""
    text = str(error)
    cpu = isinstance(error, RuntimeError) and ("can't allocate memory" in text or "not enough memory" in text)
    return cpu or isinstance(error, (torch.OutOfMemoryError, MemoryError))


@functools.cache
def _c_library() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if sys.platform == "linux" else None


def cuda_devices() -> int:
    """How many CUDA devices there are."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _cuda_device(chosen: torch.device, found: list[torch.device]) -> torch.device:
    if not found:
        built = torch.version.cuda is not None
        raise DeviceError(
            "There is no CUDA device here.",
            "Check the NVIDIA driver with nvidia-smi, or choose cpu."
            if built
            else "The installed torch is a build without CUDA; install a CUDA build, or choose cpu.",
        )
    if (chosen.index or 0) >= len(found):
        raise DeviceError(f"There is no device “{chosen}”.", f"Choose {one_of([str(device) for device in found])}.")
    return found[chosen.index or 0]


def bitsandbytes_module() -> Any:
    """The module, imported without what it says while doing so: none of it concerns the user."""
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import bitsandbytes
    return bitsandbytes


def _tensors(model: torch.nn.Module) -> Iterator[torch.Tensor]:
    """Every tensor the model keeps, with the scales and codebooks of quantized weights."""
    yield from model.buffers()
    for parameter in model.parameters():
        yield parameter
        yield from _state_tensors(getattr(parameter, "quant_state", None))
        yield from (t for t in (getattr(parameter, "CB", None), getattr(parameter, "SCB", None)) if t is not None)
    for module in model.modules():
        state = getattr(module, "state", None)  # LLM.int8 moves its scales there at the first forward pass
        yield from (t for t in (getattr(state, "CB", None), getattr(state, "SCB", None)) if t is not None)


def _state_tensors(state: Any) -> Iterator[torch.Tensor]:
    if state is None:
        return
    yield from (t for t in (state.absmax, state.code, state.offset) if isinstance(t, torch.Tensor))
    yield from _state_tensors(state.state2)
