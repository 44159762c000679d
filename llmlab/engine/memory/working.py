"""What one layer holds while it reads, for any number of tokens and sequences. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llmlab.engine.memory.blocks import Router
from llmlab.engine.memory.shape import ModelShape


@dataclass(frozen=True, slots=True)
class Working:
    """Bytes that one layer holds: `mlp` and `attention` of a token that is read, `per_score` of each pair of such a
    token and one that it sees, `left` of that while the MLP runs, `per_seen` of a token that is seen; `per_pair` of a
    pair once for all sequences.
    """

    mlp: int
    attention: int
    per_score: int
    per_seen: int
    per_pair: int
    left: int = 0

    def in_mlp(self, batch: Any, read: Any, seen: Any) -> Any:
        """Bytes in the MLP: integers, or arrays."""
        return batch * read * (self.mlp + self.left * seen)

    def in_attention(self, batch: Any, read: Any, seen: Any) -> Any:
        """Bytes in attention: integers, or arrays."""
        return batch * (read * (self.attention + self.per_score * seen) + self.per_seen * seen)

    def always(self, read: Any, seen: Any) -> Any:
        """Bytes beside both: integers, or arrays."""
        return self.per_pair * read * seen


def of_mlp(shape: ModelShape, width: int) -> int:
    """Bytes of a token while an MLP of width i runs, with numbers of `width` bytes w.

    As wide as the model: the embeddings, the layer's input, the residual and the normed input. As wide as the MLP:
    `tensors_in_mlp`. Experts, e for a token: an input for each, and the larger of that inside and of what comes of it:
    the output, that times its weight, and that in the tokens' order, where weights in float32 make it float32.
    """
    hidden = 4 * width * shape.hidden
    inside = tensors_in_mlp(shape) * width * shape.intermediate
    if not shape.experts:
        return hidden + inside
    copies = shape.active_experts * shape.hidden
    weighted = 4 if shape.block.router in (Router.SOFTMAX_FLOAT32, Router.GROUPS) else width
    return hidden + width * copies + max(inside, (width + 2 * weighted) * copies)


def tensors_in_mlp(shape: ModelShape) -> int:
    """Tensors as wide as the MLP that are there at once.

    Three where it is gated (gate, up, their product), four where gate and up are one, as in experts, two where it is
    not gated, four where GELU is written out; in BLOOM's own GELU five, in gpt-oss, which bounds both halves, nine.
    """
    if shape.block.alive:
        return shape.block.alive
    if shape.experts or shape.primitive_gelu or shape.block.fused_gate:
        return 4
    return 3 if shape.gated else 2


def of_score(shape: ModelShape, dtype: str, width: int) -> int:
    """Bytes of a score in each head that is written out.

    In the model's precision and in float32; a softmax in float32 turns bfloat16 into it first (float16 not, on CUDA).
    BLOOM's code keeps the scores before their mask, and those of the layer before.
    """
    others = 2 * width * (shape.block.scores - 1)
    return width + 4 + 4 * (dtype == "bfloat16" and shape.block.float32_softmax) + others


def masks(shape: ModelShape) -> int:
    """Masks of each sequence, a number for each pair of tokens, that a decoder has where scores are written out."""
    if not shape.cache or shape.encodes_first:
        return 0
    return 2 if 0 < shape.windowed_layers < shape.layers else 1
