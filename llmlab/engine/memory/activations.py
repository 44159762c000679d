"""What the forward pass keeps for the backward pass, two accountings. Imports no torch.

`megatron`: Korthikanti et al., arXiv:2205.05198, equations 1 to 6, for GPT blocks with an MLP of 4 · hidden in 16 bits.
`transformers`: the tensors that autograd really saves in the blocks of transformers, whatever their widths; the sums
below were found with saved-tensor hooks, and tests hold them to the byte, with the kernels that a GPU chooses.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from llmlab.engine.errors import InputError
from llmlab.engine.memory.shape import Block, ModelShape


class Checkpointing(StrEnum):
    """What is recomputed in the backward pass instead of kept."""

    NONE = "none"
    SELECTIVE = "selective"  # the scores of attention
    FULL = "full"  # everything but the input of each layer


@dataclass(frozen=True, slots=True)
class Saved:
    """Bytes kept of one layer.

    `per_token` of each token; `per_score` of each pair of tokens in each head; `per_pair` of each pair of tokens once
    for all sequences, which T5's position bias takes. Of a decoder that reads an encoder's answer: `per_source` of
    each token of the source, `per_cross` of each pair of a token and a source token in each head.
    """

    per_token: int
    per_score: int
    per_pair: int = 0
    per_source: int = 0
    per_cross: int = 0

    def layer(self, batch: Any, tokens: Any, heads: int, source: Any = 0) -> Any:
        """Bytes of one layer for `batch` sequences of `tokens`, each with `source` tokens: integers, or arrays."""
        scores = heads * (self.per_score * tokens + self.per_cross * source)
        each = tokens * (self.per_token + scores) + source * self.per_source
        return batch * each + self.per_pair * tokens * tokens


def saved_by_layer(
    shape: ModelShape,
    width: int,
    *,
    flash: bool,
    cross: bool = False,
    cross_flash: bool | None = None,
    cuda: bool = True,
) -> Saved:
    """Bytes that one layer of transformers' code keeps, with numbers of `width` bytes w, model width h, queries q,
    keys k. `cross`: a decoder's layer with cross-attention, which has a norm, an attention and a dropout more;
    `cross_flash` is `flash` of that one where it differs.

    Norms, two: LayerNorm 2w·h and two statistics (4 bytes on CUDA, w on a CPU); RMSNorm in float32 (4 + 2w)·h + 4;
    T5's, which keeps its input as well, (4 + 3w)·h + 4 in 16 bits. Attention: w·(2q + 2k) + 4·heads in a fused
    kernel, w·(2q + 2k) and w per score written out, + w + m per score for a dropout with a mask of m bytes (1 on
    CUDA, w on a CPU); gated blocks, whose keys are repeated, w·4q, and 4 + w (in float32 4) per score; normalised
    queries and keys add (4 + w)·(q + k) + 4·their heads; T5's position bias w·heads per pair of tokens where a fused
    kernel takes it as its mask, and 1 of a causal mask. MLP of width i: `mlp`. Dropouts: m·h each.
    """
    mask = (1 if cuda else width) * shape.dropout
    own, keys, score = _attention(shape, width, flash=flash, cuda=cuda)
    token = mlp(shape, width, cuda=cuda) + 2 * (norm(shape, width, cuda=cuda) + mask * shape.hidden) + own + keys
    if shape.block is Block.FUSED:  # queries, keys and values are one matrix, kept for its values
        token += 2 * width * shape.hidden
    if shape.query_key_norm:
        heads = shape.heads + shape.heads * shape.key_value // shape.query
        token += (4 + width) * (shape.query + shape.key_value) + 4 * heads
    pair = (width * shape.heads + cross) * (shape.position_bias and flash)
    if not cross:
        return Saved(token, score, pair)
    listening, heard, cross_score = _attention(
        shape, width, flash=flash if cross_flash is None else cross_flash, cuda=cuda
    )
    token += norm(shape, width, cuda=cuda) + mask * shape.hidden + listening
    return Saved(token, score, pair, heard, cross_score)


def _attention(shape: ModelShape, width: int, *, flash: bool, cuda: bool) -> tuple[int, int, int]:
    """Bytes of a token that asks, of a token that is heard, and of each score."""
    queries, keys = 2 * width * shape.query, 2 * width * shape.key_value
    if flash:
        return queries + 4 * shape.heads, keys, 0
    if shape.block in (Block.GATED, Block.FUSED):
        return queries, queries if shape.block is Block.GATED else 0, 4 if width == 4 else 4 + width
    return queries, keys, width + (width + (1 if cuda else width)) * shape.attention_dropout


def norm(shape: ModelShape, width: int, *, cuda: bool = True) -> int:
    """Bytes of a token that one norm keeps."""
    if shape.block in (Block.CLASSIC, Block.FUSED):
        return 2 * width * shape.hidden + 2 * (4 if cuda else width)
    more = width if shape.block is Block.BIASED and width < 4 else 0  # its input and the float32 copy of that
    return (4 + 2 * width + more) * shape.hidden + 4


def mlp(shape: ModelShape, width: int, *, cuda: bool = True) -> int:
    """Bytes of a token that one MLP keeps, beyond its input, for its width i.

    Two numbers of each of its i, before and after the activation (ReLU: one, which is both); gated four (gate, its
    activation, the other half, their product); GELU written out in single operations three more. A dropout inside
    keeps its mask, and of ReLU a second number. Experts (transformers' grouped_mm, e of E for a token) keep e copies
    of the input and e outputs, 40·e bytes of indices and weights, 4·E + 4 of the router; Qwen2's gate of the expert
    that is shared h + 1 numbers.
    """
    numbers = 4 if shape.gated else 1 if shape.relu else 2
    numbers += 3 * shape.primitive_gelu + (shape.mlp_dropout and shape.relu)
    mask = (1 if cuda else width) * shape.mlp_dropout
    kept = (numbers * width + mask) * shape.intermediate
    if shape.experts:
        kept += shape.active_experts * (2 * width * shape.hidden + 40) + 4 * shape.experts + 4
        kept += width * (shape.hidden + 1) * shape.gates_shared_expert
    return kept


def ends(shape: ModelShape, width: int, *, cuda: bool = True) -> int:
    """Bytes of a token that is kept around the layers of a stack.

    The last norm, the token's number, and the masks of the dropouts after the embedding and, in T5, the last norm.
    """
    masks = (1 + shape.position_bias) * shape.dropout * (1 if cuda else width)
    return norm(shape, width, cuda=cuda) + masks * shape.hidden + 8


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
