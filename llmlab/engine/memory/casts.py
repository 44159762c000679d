"""What torch.autocast keeps for the backward pass beyond a model in 16 bits. Imports no torch.

Weights and the sum that runs through the layers stay in float32 there, and every linear layer makes a 16-bit copy of
its own input, which autograd keeps: three for queries, keys and values, one where they are one matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from llmlab.engine.memory.shape import ModelShape

COUNTED = frozenset({"llama", "gpt2", "bert", "bart", "t5"})  # families in whose code that was counted
_ONE_MATRIX = frozenset({"c_attn", "query_key_value", "qkv_proj", "Wqkv", "W_pack"})  # queries, keys and values
_GATE_AND_INPUT = frozenset({"gate_up_proj", "Wi"})  # both halves of a gated MLP


@dataclass(frozen=True, slots=True)
class Casts:
    """Bytes of a token in a layer; in a layer with cross-attention `cross` more, and `heard` of each source token."""

    layer: int
    cross: int
    heard: int

    def one(self, tokens: Any, source: Any, *, cross: bool) -> Any:
        """Bytes of one layer for one sequence."""
        return tokens * (self.layer + self.cross) + source * self.heard if cross else tokens * self.layer


@lru_cache(maxsize=64)  # looks at hundreds of tensors, and a slider asks again and again
def casts_of(shape: ModelShape) -> Casts:
    """Counted in the code of Llama, GPT-2, BERT, BART and T5, and held to what autograd saves there.

    Every linear layer that reads a norm's result keeps a copy of 2h of its own, where 16 bits have one for all; what a
    norm keeps in float32 makes up for that one, and in T5 for another. GELU written out computes powers in float32: 6
    bytes for each of the MLP's numbers.
    """
    modules = {tensor.module for tensor in shape.tensors}
    heads = 1 if modules & _ONE_MATRIX else 3
    wide = 2 if shape.gated and not modules & _GATE_AND_INPUT else 1
    less = 2 if shape.position_bias else 0
    layer = 2 * shape.hidden * (heads + wide - less) + 6 * shape.intermediate * shape.primitive_gelu
    return Casts(layer, 0 if shape.position_bias else 2 * shape.hidden, 4 * shape.hidden)


def cast_bytes(shape: ModelShape, batch: Any, tokens: Any, source: Any) -> Any:
    """Bytes of all layers; integers, or arrays."""
    casts = casts_of(shape)
    if not shape.encodes_first:
        return batch * shape.layers * casts.one(tokens, 0, cross=False)
    read = shape.encoder_layers * casts.one(source, 0, cross=False)
    return batch * (read + (shape.layers - shape.encoder_layers) * casts.one(tokens, source, cross=True))


def cast_formula(shape: ModelShape, batch: int, tokens: int, source: int) -> tuple[str, str]:
    """`cast_bytes` in words, and with the numbers put in."""
    casts = casts_of(shape)
    if not shape.encodes_first:
        return (
            "batch · layers · tokens · bytes of 16-bit copies",
            f"{batch:,} · {shape.layers} · {tokens:,} · {casts.layer:,}",
        )
    written, copies = shape.layers - shape.encoder_layers, "bytes of 16-bit copies"
    listening = casts.layer + casts.cross
    heard = f"decoder layers · (tokens · {copies} + source · {copies})"
    put = f"{written} · ({tokens:,} · {listening:,} + {source:,} · {casts.heard:,})"
    return (
        f"batch · (encoder layers · source · {copies} + {heard})",
        f"{batch:,} · ({shape.encoder_layers} · {source:,} · {casts.layer:,} + {put})",
    )
