"""Decides where a model goes: device, number format and quantization, and whether it fits there."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch

from llmlab.engine.devices import (
    CPU,
    DTYPES,
    candidates,
    check_dtype,
    check_quantization,
    cuda_devices,
    free_memory,
)
from llmlab.engine.errors import DeviceError, OutOfMemoryError
from llmlab.engine.memory import QUANTIZATIONS, WeightLayout, weight_bytes
from llmlab.engine.types import ModelRequest
from llmlab.engine.wording import one_of, size_text

# Bytes per element that bitsandbytes takes for a moment to quantize a matrix; measured with 0.50 on the CPU.
_QUANTIZING = {None: 0, "int8": 10, "nf4": 15, "fp4": 29}
SPLIT_SHARE = 0.9  # of each GPU: accelerate places whole layers, which never fill a GPU to the last byte


@dataclass(frozen=True, slots=True)
class Placement:
    """What was decided for one model. `needs` is in bytes; `device` is where its inputs go."""

    device: torch.device
    dtype: str
    quantization: str | None
    double: bool
    needs: int
    split: tuple[int, ...] = ()  # the CUDA devices that share the model, where one is too small
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Spare:
    """Memory that can be had by giving up the model that is open now."""

    device: torch.device
    size: int  # bytes
    release: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Weights:
    """What a placement is decided on: the architecture's sizes, and how the checkpoint keeps them."""

    name: str
    layout: WeightLayout
    dtype: str  # of the checkpoint
    quantization: str | None = None  # where the checkpoint itself is quantized
    double: bool = False


def place(request: ModelRequest, weights: Weights, spare: Spare | None = None) -> Placement:
    """Decide where and how the model is loaded, counting what `spare` could give.

    `auto` is CUDA, then MPS, then the CPU, the first where it fits. The format `auto` is the checkpoint's own on a
    GPU; on the CPU float32, in which processors compute fastest, or the checkpoint's own where float32 does not fit.
    Raises DeviceError or OutOfMemoryError.
    """
    if weights.quantization and request.quantization:
        raise DeviceError(
            f"“{weights.name}” is already quantized ({weights.quantization}).", "Open it without a quantization."
        )
    check_quantization(request.quantization or weights.quantization)
    options = [option for device in candidates(request.device) for option in _usable(request, weights, device)]
    for index, option in enumerate(options):
        if option.needs <= available(option, spare):
            return _with_notes(option, options[:index], request, weights)
    raise does_not_fit(options[0], weights, spare)


def available(option: Placement, spare: Spare | None = None) -> int:
    """Bytes that `option` could use: what is free, and what `spare` would free on the same device."""
    if option.split:
        return int(sum(SPLIT_SHARE * free_memory(torch.device("cuda", index)) for index in option.split))
    given_up = spare.size if spare is not None and spare.device == option.device else 0
    return free_memory(option.device) + given_up


def does_not_fit(wanted: Placement, weights: Weights, spare: Spare | None = None) -> OutOfMemoryError:
    """The error for a model that is too large: what it needs, what is free, what would fit."""
    free = available(wanted, spare)
    where = "the GPUs together" if wanted.split else str(wanted.device)
    return OutOfMemoryError(
        f"“{weights.name}” needs {size_text(wanted.needs)} in {_format_name(wanted)} on {where}, "
        f"and {size_text(free)} are free.",
        _what_fits(wanted, weights, spare),
    )


def _usable(request: ModelRequest, weights: Weights, device: torch.device) -> list[Placement]:
    """The ways to load on `device`; none where `auto` may go on to the next device."""
    try:
        return list(_options(request, weights, device))
    except DeviceError:
        if request.device != "auto" or device == CPU:
            raise
        return []


def _options(request: ModelRequest, weights: Weights, device: torch.device) -> Iterator[Placement]:
    """The ways to load on `device`, preferred first."""
    quantization = request.quantization or weights.quantization
    check_quantization(quantization, device)
    double = weights.double if weights.quantization else request.double_quantization
    dtypes = _auto_dtypes(weights.dtype, device) if request.dtype == "auto" else [request.dtype]
    for dtype in dtypes:
        check_dtype(dtype, device)
        option = Placement(device, dtype, quantization, double, needs=0)
        option = replace(option, needs=_needs(option, weights))
        yield option
        if device.type == "cuda" and request.device in ("auto", "cuda") and cuda_devices() > 1:
            yield replace(option, split=tuple(range(cuda_devices())))


def _auto_dtypes(checkpoint: str, device: torch.device) -> list[str]:
    own = checkpoint if checkpoint in DTYPES else "float32"
    if device.type == "cpu":
        return list(dict.fromkeys(["float32", own]))
    if own == "bfloat16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return ["float16"]
    return [own]


def _needs(option: Placement, weights: Weights) -> int:
    """Bytes at the worst moment of loading: all weights, and what converting the largest one takes."""
    stored = DTYPES[weights.dtype if weights.dtype in DTYPES else "float32"].itemsize
    largest_matrix = max((outputs * inputs for outputs, inputs in weights.layout.matrices), default=0)
    quantizing = largest_matrix * _QUANTIZING[option.quantization] if weights.quantization is None else 0
    size = weight_bytes(weights.layout, option.dtype, option.quantization, double=option.double)
    return size + max(weights.layout.largest * stored, quantizing)


def _with_notes(chosen: Placement, passed_over: list[Placement], request: ModelRequest, weights: Weights) -> Placement:
    """`chosen` with what the user should know about it."""
    notes = []
    better = [option for option in passed_over if option.device != chosen.device]
    if better:
        notes.append(
            f"On {chosen.device}, because {better[0].device} has {size_text(free_memory(better[0].device))} free "
            f"and the model needs {size_text(better[0].needs)} there."
        )
    if any(option.device == chosen.device and option.dtype != chosen.dtype for option in passed_over):
        notes.append(f"In {chosen.dtype}, because float32 does not fit into the free memory.")
    elif request.dtype == "auto" and chosen.dtype != weights.dtype and weights.dtype in DTYPES:
        why = "this GPU has no" if chosen.device.type == "cuda" else "the CPU computes faster than in"
        notes.append(f"The checkpoint is {weights.dtype}; opened as {chosen.dtype}, as {why} {weights.dtype}.")
    if chosen.split:
        notes.append(f"Split over {len(chosen.split)} GPUs, because one is too small.")
    return replace(chosen, notes=tuple(notes))


def _what_fits(wanted: Placement, weights: Weights, spare: Spare | None) -> str:
    """A sentence on what else would fit."""
    others = [] if weights.quantization else _alternatives(wanted, weights)
    fitting = [option for option in others if option.needs <= available(option, spare)]
    if fitting:
        texts = [f"{_format_name(option)} on {option.device} ({size_text(option.needs)})" for option in fitting[:3]]
        return f"It would fit as {one_of(texts)}."
    smallest = min([wanted, *others], key=lambda option: option.needs)
    return (
        f"Even {_format_name(smallest)} needs {size_text(smallest.needs)}: close other programs, "
        "or choose a smaller model."
    )


def _alternatives(wanted: Placement, weights: Weights) -> list[Placement]:
    """Other formats on the same device, and the CPU, the most exact first."""
    half = weights.dtype if weights.dtype in ("bfloat16", "float16") else "bfloat16"
    quantized = QUANTIZATIONS[:2] if importlib.util.find_spec("bitsandbytes") else ()
    devices = dict.fromkeys([wanted.device, CPU])
    formats = [("float32", None), (half, None), *((half, name) for name in quantized)]
    options = [
        Placement(device, dtype, quantization, False, needs=0) for device in devices for dtype, quantization in formats
    ]
    options = [replace(option, needs=_needs(option, weights)) for option in options]
    return [option for option in options if option.needs < wanted.needs or option.device != wanted.device]


def _format_name(option: Placement) -> str:
    if option.quantization is None:
        return option.dtype
    return option.quantization + (
        " with double quantization" if option.double and option.quantization != "int8" else ""
    )
