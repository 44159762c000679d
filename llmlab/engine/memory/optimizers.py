"""What optimizers keep beside the weights. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Iterable
from enum import StrEnum
from itertools import pairwise

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


class Implementation(StrEnum):
    """How an optimizer of torch goes over the parameters."""

    FUSED = "fused"  # one kernel, without intermediate results: what transformers' Trainer asks for
    FOREACH = "foreach"  # every operation over all tensors at once: torch's own choice on a GPU
    LOOP = "for-loop"  # one tensor after the other: torch's own choice on a CPU


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


FORMULAS_OF_RESULTS = {
    (Optimizer.ADAMW, Implementation.FOREACH): "roots of all second moments",
    (Optimizer.ADAMW, Implementation.LOOP): "largest tensor · 2 results · bytes",
    **{(Optimizer.ADAFACTOR, how): "results of a tensor + 4 · the tensor before" for how in Implementation},
    **{(Optimizer.MUON, how): "largest matrix · (bytes + 4) + 4 · shorter side²" for how in Implementation},
}


def results_of(
    optimizer: Optimizer, implementation: Implementation, shapes: tuple[tuple[int, ...], ...], width: int = 4
) -> int:
    """Bytes of the intermediate results while the optimizer steps; its states have `width` bytes.

    AdamW over all tensors at once (`foreach`) holds the roots of all second moments, in a loop two results of one
    tensor, fused none; SGD none at all. transformers' Adafactor holds two results of a tensor in float32, of 16 bits a
    float32 copy of weight and gradient besides, and the update of the tensor before. Muon: the update, and of its
    iteration in 16 bits the matrix before and after, the Gram matrix of its shorter side and that one's square
    (torch.optim.Muon). bitsandbytes' 8-bit kernels work in place.
    """
    largest = max(map(math.prod, shapes), default=0)
    if optimizer is Optimizer.ADAMW:
        if implementation is Implementation.FOREACH:
            return width * elements_of(shapes)
        return 2 * width * largest if implementation is Implementation.LOOP else 0
    if optimizer is Optimizer.ADAFACTOR:
        sizes = [math.prod(shape) for shape in shapes]
        each = 16 if width < 4 else 8
        return max((each * size + 4 * before for before, size in pairwise([0, *sizes])), default=0)
    if optimizer is Optimizer.MUON:
        return max(((width + 4) * math.prod(s) + 4 * min(s) ** 2 for s in shapes if len(s) == 2), default=0)
    return 0


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
