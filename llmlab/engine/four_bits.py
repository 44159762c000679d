"""bitsandbytes' 4-bit weights on the CPU, read as they were written.

Blocks of weights that share a scale are counted through the whole matrix, row after row. The CPU kernel of
bitsandbytes 0.50 looks scales up as if every row began a new block: a matrix whose rows are no whole number of blocks
comes out wrong without a word (in a model 160 wide, relative errors of 2). Read as one long row it comes out right.
"""

from __future__ import annotations

import copy
import functools
from typing import Any

import torch
from torch import Tensor

from llmlab.engine.devices import bitsandbytes_module


def dequantized(packed: Tensor, state: Any) -> Tensor:
    """The matrix (outputs, inputs) that `packed` and its quantization state stand for."""
    functional: Any = bitsandbytes_module().functional
    if not _needs_one_row(packed, state):
        matrix: Tensor = functional.dequantize_4bit(packed, state)
        return matrix
    flat = copy.copy(state)
    flat.shape = torch.Size([state.shape.numel()])
    row: Tensor = functional.dequantize_4bit(packed.reshape(-1, 1), flat)
    return row.view(state.shape)


def read_right(layer: Any) -> None:
    """Let a loaded `Linear4bit` compute with what `dequantized` says, where its own way would be wrong."""
    if _needs_one_row(layer.weight.data, layer.weight.quant_state):
        layer.__class__ = _linear()


def _needs_one_row(packed: Tensor, state: Any) -> bool:
    return packed.device.type == "cpu" and state.shape[-1] % state.blocksize != 0


@functools.cache
def _linear() -> type[torch.nn.Module]:
    """Made at first use: bitsandbytes is imported only where something is quantized."""
    parent: Any = bitsandbytes_module().nn.Linear4bit

    class Linear4bit(parent):  # type: ignore[misc]
        """The same layer, whose weights are read as one row."""

        def forward(self, x: Tensor) -> Tensor:
            """As its parent: in the compute type, back in the input's."""
            inputs = x if self.compute_dtype is None else x.to(self.compute_dtype)
            weight = dequantized(self.weight.data, self.weight.quant_state).to(inputs.dtype)
            bias = None if self.bias is None else self.bias.to(inputs.dtype)
            return torch.nn.functional.linear(inputs, weight, bias).to(x.dtype)

    return Linear4bit
