"""Bytes of the weights at every precision. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field

from llmlab.engine.memory.formats import bits, packed_bytes, state_bytes

Matrices = tuple[tuple[int, int], ...]  # (outputs, inputs) of each


@dataclass(frozen=True, slots=True)
class WeightLayout:
    """The sizes that decide how many bytes the weights take at any precision.

    `matrices` (outputs, inputs) of every weight that bitsandbytes would quantize; `others` the elements of all other
    parameters, and `saved_buffers` of what else a checkpoint holds; of these two, `float32_in_float16` and
    `float32_in_bfloat16` stay in float32 at these precisions. `other_buffers` in bytes; `largest` the elements of the
    largest parameter.
    """

    matrices: Matrices
    others: int
    saved_buffers: int
    float32_in_float16: int
    float32_in_bfloat16: int
    other_buffers: int
    largest: int
    quantizable: int = field(init=False, compare=False, repr=False)  # elements of all `matrices`

    def __post_init__(self) -> None:
        """Add hundreds of matrices up once: every move of a slider asks for their sum."""
        object.__setattr__(self, "quantizable", sum(outputs * inputs for outputs, inputs in self.matrices))

    @property
    def parameters(self) -> int:
        """All elements of all parameters, a tied one counted once."""
        return self.quantizable + self.others


def weight_bytes(
    layout: WeightLayout, dtype: str = "float32", quantization: str | None = None, *, double: bool = False
) -> int:
    """Bytes of all parameters and buffers, with the weights of linear layers quantized where asked for.

    `dtype` is the precision of what is not quantized. bitsandbytes' layouts, n elements and out rows per matrix:
    LLM.int8 n + 4·out; NF4 and FP4 n/2 + 4·⌈n/64⌉ + 64; with double quantization
    n/2 + ⌈n/64⌉ + 4·⌈n/64/256⌉ + 1092. Raises InputError.
    """
    kept = {"float16": layout.float32_in_float16, "bfloat16": layout.float32_in_bfloat16}.get(dtype, 0)
    converted = layout.others + layout.saved_buffers - kept
    rest = converted * bits(dtype) // 8 + 4 * kept + layout.other_buffers
    packed = packed_of(layout.matrices, dtype, quantization)
    return rest + packed + scales_of(layout.matrices, quantization, double=double)


def packed_of(matrices: Matrices, dtype: str, quantization: str | None) -> int:
    """`packed_bytes` of all matrices together. Raises InputError."""
    return sum(packed_bytes(outputs, inputs, dtype, quantization) for outputs, inputs in matrices)


def scales_of(matrices: Matrices, quantization: str | None, *, double: bool = False) -> int:
    """`state_bytes` of all matrices together."""
    return sum(state_bytes(outputs, inputs, quantization, double=double) for outputs, inputs in matrices)
