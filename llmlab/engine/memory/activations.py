"""What the forward pass keeps for the backward pass, two accountings. Imports no torch.

`megatron`: Korthikanti et al., arXiv:2205.05198, equations 1 to 6, for GPT blocks with an MLP of 4 · hidden in 16 bits.
`transformers`: the tensors that autograd really saves in the blocks of transformers, whatever their widths; the sums
below were found with saved-tensor hooks, and tests hold them to the byte, with the kernels that a GPU chooses.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from llmlab.engine.errors import InputError
from llmlab.engine.memory.blocks import Norm, Router
from llmlab.engine.memory.experts import mixed, mixed_once
from llmlab.engine.memory.shape import Latent, ModelShape


class Checkpointing(StrEnum):
    """What is recomputed in the backward pass instead of kept."""

    NONE = "none"
    SELECTIVE = "selective"  # the scores of attention
    FULL = "full"  # everything but the input of each layer


@dataclass(frozen=True, slots=True)
class Saved:
    """Bytes kept of one layer.

    `per_token` of each token; `per_score` of each pair of tokens in each head; `per_pair` of each pair of tokens once
    for all sequences, which T5's position bias takes; `per_position` of each token once for all sequences; `once` of
    the layer, such as a norm's weights in float32. Of a decoder that reads an encoder's answer: `per_source` of each
    token of the source, `per_cross` of each pair of a token and a source token in each head. `per_mask` of each pair
    of tokens in each sequence, all heads together.
    """

    per_token: int
    per_score: int
    per_pair: int = 0
    per_source: int = 0
    per_cross: int = 0
    per_position: int = 0
    once: int = 0
    per_mask: int = 0

    def layer(self, batch: Any, tokens: Any, heads: int, source: Any = 0) -> Any:
        """Bytes of one layer for `batch` sequences of `tokens`, each with `source` tokens: integers, or arrays."""
        scores = heads * (self.per_score * tokens + self.per_cross * source)
        each = tokens * (self.per_token + scores + self.per_mask * tokens) + source * self.per_source
        return batch * each + (self.per_pair * tokens + self.per_position) * tokens + self.once


def saved_by_layer(
    shape: ModelShape,
    width: int,
    *,
    flash: bool,
    cross: bool = False,
    cross_flash: bool | None = None,
    cuda: bool = True,
    dense: bool = False,
    masked: bool = False,
) -> Saved:
    """Bytes that one layer of transformers' code keeps, with numbers of `width` bytes w, model width h, queries q,
    keys k. `cross`: a decoder's layer with cross-attention, which has a norm, an attention and a dropout more;
    `cross_flash` is `flash` of that one where it differs. `dense`: a layer without experts in a model that has them;
    `masked`: tokens look back no further than a window that is shorter than their sequence.

    Norms: `norms`, and w·h of each normed hidden state that linear layers read. Attention: `attention`. Normed queries
    and keys: what a norm keeps of q + k numbers. MLP: `mlp`. Dropouts: a mask of m·h each, m = 1 on CUDA, w on a CPU.
    T5's position bias: w·heads per pair of tokens where a fused kernel takes it as its mask, and 1 of a causal mask.
    GPT-J: sine and cosine of each position, repeated in each layer. The mask of a window: w for each pair of tokens in
    a fused kernel (rows begin at multiples of 8 numbers: up to 7 w more for each is left out).
    """
    block = shape.block
    mask_of_pairs = width * (masked and flash)
    mask = (1 if cuda else width) * shape.dropout * shape.hidden
    own, keys, score = attention(shape, width, flash=flash, cuda=cuda, masked=masked)
    token = mlp(shape, width, cuda=cuda, dense=dense) + own + keys + block.masks * mask
    token += norms(shape, width, cuda=cuda) + block.reads * width * shape.hidden
    once = block.norms * norm_bytes(block.norm, width).weight * shape.hidden
    if shape.query_key_norm:
        each = norm_bytes(block.norm, width, cuda=cuda)
        heads = 2 if block.whole_norm else shape.heads + shape.heads * shape.key_value // shape.query
        token += (each.input + each.number) * (shape.query + shape.key_value) + each.row * heads
        normed = shape.query + shape.key_value if block.whole_norm else 2 * shape.query // shape.heads
        once += each.weight * normed
    if shape.experts and not dense:
        once += mixed_once(shape, width)
    pair = (width * shape.heads + cross) * (block.position_bias and flash)
    position = width * block.rotary
    if not cross:
        return Saved(token, score, pair, per_position=position, once=once, per_mask=mask_of_pairs)
    listening, heard, cross_score = attention(
        shape, width, flash=flash if cross_flash is None else cross_flash, cuda=cuda
    )
    token += norm(shape, width, cuda=cuda) + mask + listening
    return Saved(token, score, pair, heard, cross_score, position, once)


def attention(shape: ModelShape, width: int, *, flash: bool, cuda: bool, masked: bool = False) -> tuple[int, int, int]:
    """Bytes of a token that asks, of a token that is heard, and of each score.

    A fused kernel keeps queries and output, 2w·q, keys and values, 2w·k, and the logarithm of each row's sum,
    4·heads; where queries, keys and values are one matrix, that is what the values are a view of: w·(q + k) more.
    FlashAttention, which CUDA has for 16 bits, answers in the order of the queries' memory: joined queries are ordered
    by heads, so that the output layer keeps a copy ordered by tokens, w·q. A `masked` kernel is another, for which
    keys and values are repeated for every query head, 2w·q.

    Written out they always are (GPT-J multiplies queries and keys in float32). Each score: w, or 4 + w (in float32 4)
    of a softmax in float32; a dropout keeps what it left over, w, and a mask of m bytes, 1 on CUDA and w on a CPU; a
    tanh that bounds it w. gpt-oss's sinks: a score more in each head and the place of its largest, w + 8.
    DeepSeek's latent attention: `_latent`.
    """
    block = shape.block
    if shape.latent is not None:
        asks, hears = _latent(shape, shape.latent, width, flash=flash)
    elif flash:
        repeated = masked and shape.shares_keys
        asks, hears = 2 * width * shape.query, 2 * width * (shape.query if repeated else shape.key_value)
        hears += width * (shape.query + shape.key_value) * (block.fused_qkv and not repeated)
        asks += width * shape.query * (block.concatenated and cuda and width < 4 and not masked)
    else:
        asks = hears = (width + (4 if block.float32_products else width)) * shape.query
    if flash:
        return asks + 4 * shape.heads, hears, 0
    dropped, mask = shape.attention_dropout, 1 if cuda else width
    if block.float32_softmax:
        score = 4 + (width if width < 4 or dropped else 0) + mask * dropped
    else:
        score = width + (width + mask) * dropped
    if block.sinks:
        return asks + (width + 8) * shape.heads, hears, width
    return asks, hears, score + width * block.softcap


def _latent(shape: ModelShape, latent: Latent, width: int, *, flash: bool) -> tuple[int, int]:
    """Bytes of a token that asks and of one that is heard, where both go through a narrow hidden state.

    Each narrow state of r numbers: its norm, and w·r of what the norm answers. Queries and keys w·q each, the output
    w·v; the values w·v written out, and in a fused kernel, which takes the view as it is, the matrix that has the keys
    beside them. In float32 the norm of the keys' narrow state keeps the matrix that has the rotary keys beside it.
    """
    each = norm_bytes(shape.block.norm, width)
    narrow = latent.queries + latent.keys
    norms = (each.input + each.number + width) * narrow + each.row * (1 + (latent.queries > 0))
    beside = each.input * latent.rotary
    values = latent.projected if flash else latent.values
    return width * (shape.query + latent.values) + norms + beside, width * (shape.query + values)


class NormBytes(NamedTuple):
    """Bytes that a norm keeps, without what it answers, which linear layers keep.

    Of each number of its `input`, which norms of the same input share; of each `number` of its own, of each `row` and
    of each of its `weight`s.
    """

    input: int
    number: int
    row: int
    weight: int = 0


def norm_bytes(kind: Norm, width: int, *, cuda: bool = True) -> NormBytes:
    """What a norm of `kind` keeps, with numbers of `width` bytes w.

    torch's LayerNorm keeps its input and two statistics of each row (4 bytes on CUDA, w on a CPU), OLMo's those of
    float32 numbers. The others are written out in float32, in which an input of 16 bits has a copy, and keep one
    number of each row, 4 bytes. RMSNorm: what is multiplied with the weights, w. Gemma, OLMo 2, gpt-oss: that in
    float32, and Gemma, which adds 1 to them, the weights too. Cohere's LayerNorm: what is squared, what is scaled and
    what is multiplied with the weights.
    """
    copied = width < 4
    match kind:
        case Norm.LAYER:
            return NormBytes(width, 0, 2 * (4 if cuda else width))
        case Norm.LAYER_FLOAT32:
            return NormBytes(0 if copied else 4, 4 * copied, 8)
        case Norm.CENTERED:
            return NormBytes(0, 12, 4, 4 * copied)
        case Norm.RMS_INPUT if copied:  # the square is of the copy, the product of the input itself
            return NormBytes(width, 4 + width, 4)
    float32 = kind in (Norm.RMS_FLOAT32, Norm.RMS_ONE_PLUS)
    own = 4 if float32 else width
    return NormBytes(0 if copied else 4, own + 4 * copied, 4, 4 * (kind is Norm.RMS_ONE_PLUS))


def norms(shape: ModelShape, width: int, *, cuda: bool = True) -> int:
    """Bytes of a token that the norms of a layer keep, without what they answer."""
    each, count = norm_bytes(shape.block.norm, width, cuda=cuda), shape.block.norms
    inputs = 1 if shape.block.parallel else count
    return (inputs * each.input + count * each.number) * shape.hidden + count * each.row


def norm(shape: ModelShape, width: int, *, cuda: bool = True) -> int:
    """Bytes of a token that one norm keeps, and what it answers."""
    each = norm_bytes(shape.block.norm, width, cuda=cuda)
    return (each.input + each.number + width) * shape.hidden + each.row


def mlp(shape: ModelShape, width: int, *, cuda: bool = True, dense: bool = False) -> int:
    """Bytes of a token that one MLP keeps, beyond its input, for its width i.

    Two numbers of each of its i, before and after the activation (ReLU: one, which is both); gated four (gate, its
    activation, the other half, their product; gpt-oss, which bounds both halves, seven); GELU written out in single
    operations three more. A dropout inside keeps its mask, and of ReLU a second number. Experts: `experts.mixed`.
    """
    numbers = shape.block.glu if shape.gated else 1 if shape.relu else 2
    numbers += 3 * shape.primitive_gelu + (shape.mlp_dropout and shape.relu)
    mask = (1 if cuda else width) * shape.mlp_dropout
    kept = numbers * width + mask
    if dense or not shape.experts:
        return kept * (shape.dense_intermediate if dense else shape.intermediate)
    if shape.block.router is Router.ALL:  # and one more that is always there
        return kept * shape.intermediate // shape.active_experts * (shape.experts + 1) + mixed(shape, width)
    return kept * shape.intermediate + mixed(shape, width)


def ends(shape: ModelShape, width: int, *, cuda: bool = True) -> int:
    """Bytes of a token that is kept around the layers of a stack.

    The last norm and what it answers, the token's number, the masks of the dropouts after the embedding and, in T5,
    the last norm. In BLOOM and mBART the norm of the embedding, whose answer the first layer keeps. In the heads of
    BERT's family what an activation and a norm read, and what that answers. Left out is what does not grow with the
    batch: sines and cosines, positions, in Gemma the last norm's weights.
    """
    kept = (
        norm(shape, width, cuda=cuda) + shape.block.outer_masks * shape.dropout * (1 if cuda else width) * shape.hidden
    )
    if shape.block.embedding_norm:
        kept += norm(shape, width, cuda=cuda) - width * shape.hidden
    if shape.transforms_output:
        kept += width * shape.hidden + norm(shape, width, cuda=cuda)
    return kept + 8


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
