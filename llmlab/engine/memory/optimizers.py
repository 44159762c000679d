"""What optimizers keep beside the weights. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Iterable
from enum import StrEnum

_BNB_BLOCK = 256  # elements that share one scale in bitsandbytes' 8-bit optimizers
_BNB_SMALLEST = 4096  # elements below which their states stay in float32
_BNB_MAPS = 2 * 256 * 4  # two codebooks a tensor


class Optimizer(StrEnum):
    """The optimizers that the calculator knows."""

    ADAMW = "AdamW"
    ADAMW_8BIT = "AdamW 8-bit"
    PAGED_ADAMW_8BIT = "paged AdamW 8-bit"
    ADAFACTOR = "Adafactor"
    SGD = "SGD"
    SGD_MOMENTUM = "SGD with momentum"
    MUON = "Muon"


FORMULAS = {
    Optimizer.ADAMW: "parameters · 2 states · {width}",
    Optimizer.ADAMW_8BIT: "Σ (2·n + 2·4·⌈n/256⌉ + 2,048); tensors below 4,096 elements 8·n",
    Optimizer.PAGED_ADAMW_8BIT: "Σ (2·n + 2·4·⌈n/256⌉ + 2,048); tensors below 4,096 elements 8·n",
    Optimizer.ADAFACTOR: "Σ 4 · (rows + columns); vectors 4·n",
    Optimizer.SGD: "nothing is kept",
    Optimizer.SGD_MOMENTUM: "parameters · {width}",
    Optimizer.MUON: "matrices of layers · {width} + all others · 2 · {width}",
}


def state_of(optimizer: Optimizer, shapes: Iterable[tuple[int, ...]], width: int = 4) -> int:
    """Bytes of the states for parameters of these shapes; states of AdamW, SGD and Muon have `width` bytes.

    8-bit: bitsandbytes' blockwise AdamW, two states of a byte, a float32 scale for 256 of each, two codebooks a
    tensor. Adafactor: arXiv:1804.04235, section 3, without momentum.
    """
    return sum(_state(optimizer, shape, width) for shape in shapes)


def elements_of(shapes: tuple[tuple[int, ...], ...]) -> int:
    """All elements of all these shapes."""
    return sum(map(math.prod, shapes))


def _state(optimizer: Optimizer, shape: tuple[int, ...], width: int) -> int:
    elements = math.prod(shape)
    if optimizer is Optimizer.SGD:
        return 0
    if optimizer is Optimizer.SGD_MOMENTUM or (optimizer is Optimizer.MUON and len(shape) >= 2):
        return width * elements
    if optimizer is Optimizer.ADAFACTOR:
        return 4 * elements if len(shape) < 2 else 4 * (elements // shape[-1] + elements // shape[-2])
    if optimizer in (Optimizer.ADAMW_8BIT, Optimizer.PAGED_ADAMW_8BIT):
        if elements < _BNB_SMALLEST:
            return 8 * elements
        return 2 * elements + 2 * 4 * math.ceil(elements / _BNB_BLOCK) + _BNB_MAPS
    return 2 * width * elements
