"""One matrix there and back: what a scheme stores of it, and what a model then computes with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from llmlab.engine import four_bits
from llmlab.engine.devices import DTYPES, bitsandbytes_module, check_quantization
from llmlab.engine.quantization.schemes import Scheme

BLOCK = 64  # weights that share a scale in NF4 and FP4, counted over the flattened matrix


@dataclass(frozen=True, slots=True, eq=False)
class Restored:
    """A matrix as a scheme gives it back. All (outputs, inputs) float32.

    `weight` is what a model computes with. Where the scheme has scales, `scale` is the largest weight of those that
    share one, and `levels` (levels,), ascending, are all values that weight / scale may take.
    """

    weight: Tensor
    scale: Tensor | None = None
    levels: Tensor | None = None


@torch.inference_mode()
def restored(weight: Tensor, scheme: Scheme) -> Restored:
    """`weight` (outputs, inputs) stored by `scheme` and read again. Raises DeviceError without bitsandbytes."""
    if scheme.is_float:
        return Restored(weight.to(DTYPES[scheme.format]).float())
    if scheme.is_simulated:
        return _absmax(weight.float(), scheme)
    check_quantization(scheme.format, weight.device)
    return _int8(weight) if scheme.format == "int8" else _four_bits(weight, scheme)


def _absmax(weight: Tensor, scheme: Scheme) -> Restored:
    """ŵ = s·round(w / s), s = max |w| / (2^(bits − 1) − 1); halves are rounded to the even number."""
    largest = _largest(weight, scheme)  # (outputs, inputs)
    step = largest / scheme.highest
    whole = torch.where(step > 0, torch.round(weight / step), 0.0).clamp(-scheme.highest, scheme.highest)
    levels = torch.arange(-scheme.highest, scheme.highest + 1, device=weight.device) / scheme.highest
    return Restored(whole * step, largest, levels)


def _largest(weight: Tensor, scheme: Scheme) -> Tensor:
    """Max |w| of the weights that share a scale, at each of them; (outputs, inputs)."""
    if scheme.granularity == "tensor":
        return weight.abs().max().expand_as(weight)
    if scheme.granularity == "channel":
        return weight.abs().amax(1, keepdim=True).expand_as(weight)
    inputs = weight.shape[1]
    short = -inputs % scheme.group_size  # the last group of a row may have fewer
    padded = torch.nn.functional.pad(weight.abs(), (0, short))
    groups = padded.view(len(weight), -1, scheme.group_size).amax(2)  # (outputs, groups)
    spread: Tensor = groups.repeat_interleave(scheme.group_size, dim=1)[:, :inputs]
    return spread


def _int8(weight: Tensor) -> Restored:
    """LLM.int8's weights: one scale a row, 127 levels on either side; from float16, as bitsandbytes takes them.

    Source: Dettmers et al. 2022, LLM.int8(), section 2.1 (vector-wise quantization).
    """
    functional: Any = bitsandbytes_module().functional
    whole, largest, _ = functional.int8_vectorwise_quant(weight.to(torch.float16).contiguous())
    back: Tensor = functional.int8_vectorwise_dequant(whole, largest).float()
    levels = torch.arange(-127, 128, device=weight.device) / 127
    return Restored(back, largest.float()[:, None].expand_as(back), levels)


def _four_bits(weight: Tensor, scheme: Scheme) -> Restored:
    """NF4 or FP4 in blocks of 64 (Dettmers et al. 2023, QLoRA, section 3)."""
    functional: Any = bitsandbytes_module().functional
    packed, state = functional.quantize_4bit(
        weight.contiguous(), blocksize=BLOCK, quant_type=scheme.format, compress_statistics=scheme.double
    )
    back = four_bits.dequantized(packed, state).float()
    scales = state.absmax
    if state.nested:
        scales = functional.dequantize_blockwise(scales, state.state2) + state.offset
    largest = scales.float().repeat_interleave(BLOCK)[: weight.numel()].view_as(back)
    return Restored(back, largest, state.code.float().sort().values.unique())
