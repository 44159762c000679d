"""What the forward pass keeps for the backward pass, two accountings. Imports no torch.

`megatron`: Korthikanti et al., arXiv:2205.05198, equations 1 to 6, for GPT blocks with an MLP of 4 · hidden in 16 bits.
`transformers`: the tensors that autograd really saves in the blocks of transformers, whatever their widths; the sums
below were found with saved-tensor hooks, and tests hold them to the byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from llmlab.engine.errors import InputError
from llmlab.engine.memory.shape import Block, ModelShape


class Checkpointing(StrEnum):
    """What is recomputed in the backward pass instead of kept."""

    NONE = "none"
    SELECTIVE = "selective"  # the scores of attention
    FULL = "full"  # everything but the input of each layer


@dataclass(frozen=True, slots=True)
class Saved:
    """Bytes kept of one layer: `per_token` of each token, and `per_score` of each pair of tokens in each head."""

    per_token: int
    per_score: int

    def layer(self, batch: int, tokens: int, heads: int) -> int:
        """Bytes of one layer for `batch` sequences of `tokens`."""
        return batch * tokens * (self.per_token + self.per_score * heads * tokens)


def saved_by_layer(shape: ModelShape, width: int, *, flash: bool, mask: int = 1) -> Saved:
    """Bytes that one layer of transformers' code keeps, with numbers of `width` bytes.

    Classic block: (8w + 2m)·h + 4w + MLP and (2w + m) per score, MLP 2w·i (GELU written out: 5w·i); m bytes of a
    dropout mask, 1 on CUDA. Gated block: 2·(4 + 2w)·h + 8 + 4w·i + w·(2q + 2kv) + 4·heads with SDPA, or w·4q and
    (4 + w, in float32 4) per score in eager mode; normalised queries and keys add (4 + w)·(q + kv) + 4·their heads.
    Fused block: 6w·h + 4w + 4w·i, attention as in a gated block, but w·2q in eager mode.
    """
    if shape.block is Block.CLASSIC:
        factor = 5 if shape.primitive_gelu else 2
        token = (8 * width + 2 * mask) * shape.hidden + 4 * width + factor * width * shape.intermediate
        return Saved(token, 0 if flash else 2 * width + mask)
    fused = shape.block is Block.FUSED
    token = 6 * width * shape.hidden + 4 * width if fused else 2 * (4 + 2 * width) * shape.hidden + 8
    token += 4 * width * shape.intermediate
    if shape.query_key_norm:
        heads = shape.heads + shape.heads * shape.key_value // shape.query
        token += (4 + width) * (shape.query + shape.key_value) + 4 * heads
    if flash:
        return Saved(token + width * (2 * shape.query + 2 * shape.key_value) + 4 * shape.heads, 0)
    return Saved(token + width * (2 if fused else 4) * shape.query, 4 if width == 4 else 4 + width)


def megatron_layer(
    tokens: int,
    batch: int,
    hidden: int,
    heads: int,
    *,
    tensor_parallel: int = 1,
    sequence_parallel: bool = False,
    checkpointing: Checkpointing = Checkpointing.NONE,
) -> float:
    """Bytes of one layer in Megatron's accounting, 16-bit numbers.

    sbh(34 + 5as/h); over t GPUs sbh(10 + 24/t + 5as/(ht)), with sequence parallelism sbh(34/t + 5as/(ht)); selective
    recomputation drops the term with a; full recomputation leaves the input, 2sbh.
    """
    if min(tokens, batch, hidden, heads, tensor_parallel) < 1:
        raise InputError("A layer without tokens, heads or GPUs keeps nothing.", "Give numbers from 1 up.")
    sbh = tokens * batch * hidden
    if checkpointing is Checkpointing.FULL:
        return 2 * sbh
    scores = 0.0 if checkpointing is Checkpointing.SELECTIVE else 5 * heads * tokens / hidden / tensor_parallel
    rest = 34 / tensor_parallel if sequence_parallel else 10 + 24 / tensor_parallel
    return sbh * (rest + scores)
