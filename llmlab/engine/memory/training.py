"""What a training step takes on one GPU: weights, gradients, optimizer, activations, logits. Imports no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from llmlab.engine.errors import InputError
from llmlab.engine.memory.activations import Checkpointing
from llmlab.engine.memory.checks import at_least
from llmlab.engine.memory.formats import GGUF_BITS
from llmlab.engine.memory.inference import CUDA_CONTEXT, quantization_warnings, weight_terms
from llmlab.engine.memory.kept import Kept
from llmlab.engine.memory.optimizers import FORMULAS, Optimizer, elements_of, state_of
from llmlab.engine.memory.shape import Group, ModelShape
from llmlab.engine.memory.terms import Estimate, Term, with_margin


class Precision(StrEnum):
    """In which formats weights, gradients and optimizer states are kept."""

    FLOAT32 = "float32"
    AUTOCAST = "autocast"  # torch.autocast: float32 weights, cast to 16 bits as they are used
    MASTER = "master"  # DeepSpeed, Megatron: 16-bit weights and gradients, a float32 copy in the optimizer
    BFLOAT16 = "bfloat16"  # everything in 16 bits


@dataclass(frozen=True, slots=True)
class Lora:
    """Adapters of rank `rank` beside every linear layer whose name is in `targets`, kept in float32.

    LoRA, arXiv:2106.09685: rank · (inputs + outputs) elements each. `quantization` of the frozen weights (QLoRA,
    arXiv:2305.14314): nf4, fp4 or int8; `upcast`: what is not quantized is turned into float32, as
    prepare_model_for_kbit_training does.
    """

    rank: int
    targets: tuple[str, ...]
    quantization: str | None = None
    double: bool = False
    upcast: bool = True


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """How a model is trained. `batch` sequences of `tokens` on this GPU at once, accumulation not counted.

    `flash`: attention does not keep its scores. `fused_backward`: each gradient is used up as soon as it is there.
    `chunked_loss`: logits are made for parts of the tokens; their peak is then left out. `source_tokens` are what the
    encoder of an encoder-decoder model reads, None for as many as the decoder. `cuda`: the kernels of a GPU, not those
    of a CPU.
    """

    precision: Precision = Precision.AUTOCAST
    optimizer: Optimizer = Optimizer.ADAMW
    tokens: int = 1024
    batch: int = 1
    checkpointing: Checkpointing = Checkpointing.NONE
    flash: bool = True
    lora: Lora | None = None
    fused_backward: bool = False
    chunked_loss: bool = False
    source_tokens: int | None = None
    cuda: bool = True
    cuda_context: int = CUDA_CONTEXT
    margin: float = 0.05

    @property
    def width(self) -> int:
        """Bytes of a number in the forward pass."""
        return 4 if self.precision is Precision.FLOAT32 else 2


def training(shape: ModelShape, settings: TrainingSettings) -> Estimate:
    """Bytes of each component at the peak of a training step; they add up. Raises InputError."""
    check(settings)
    terms = [*state_terms(shape, settings), *activation_terms(shape, settings)]
    lora = settings.lora
    warnings = quantization_warnings(shape, "bfloat16", lora.quantization, double=lora.double) if lora else ()
    return Estimate(with_margin(terms, settings.cuda_context, settings.margin), warnings)


def state_terms(shape: ModelShape, settings: TrainingSettings) -> tuple[Term, ...]:
    """Weights, gradients and optimizer states: what does not depend on the batch."""
    return _states(shape, settings.lora, settings.precision, settings.optimizer, fused=settings.fused_backward)


@lru_cache(maxsize=64)  # a slider that moves the batch, or plans over many GPUs, ask for the same again and again
def _states(
    shape: ModelShape, lora: Lora | None, precision: Precision, optimizer: Optimizer, *, fused: bool
) -> tuple[Term, ...]:
    trained = trained_shapes(shape, lora)
    count = elements_of(trained)
    terms = [*(_base(shape, precision, lora) if lora else _weights(shape, precision))]
    if lora:
        terms.append(_times("LoRA weights", "adapter parameters", count, 4))
        precision = Precision.FLOAT32
    width = 2 if precision in (Precision.MASTER, Precision.BFLOAT16) else 4
    if fused:
        largest = max(map(math.prod, trained), default=0)
        terms.append(_times("Gradients", "largest parameter", largest, width, "Used up as soon as they are there."))
    else:
        terms.append(_times("Gradients", "trained parameters", count, width))
    if precision is Precision.MASTER:
        terms.append(_times("Float32 weights", "trained parameters", count, 4, "The optimizer's own copy."))
    terms.append(_optimizer(optimizer, trained, 2 if precision is Precision.BFLOAT16 else 4))
    return tuple(terms)


def trained_shapes(shape: ModelShape, lora: Lora | None) -> tuple[tuple[int, ...], ...]:
    """Shapes of what is trained: every parameter, or two matrices for every target of LoRA. Raises InputError."""
    if lora is None:
        return tuple(tensor.shape for tensor in shape.tensors)
    at_least("The rank of LoRA", lora.rank, 1)
    linear = [t for t in shape.tensors if len(t.shape) == 2 and t.group not in (Group.EMBEDDINGS, Group.NORMS)]
    chosen = [t for t in linear if t.module in lora.targets]
    if not chosen:
        there = ", ".join(dict.fromkeys(t.module for t in linear if t.quantized))
        raise InputError(
            f"No linear layer of “{shape.name}” is called {', '.join(lora.targets) or 'nothing'}.",
            f"Choose among {there}.",
        )
    return tuple(pair for t in chosen for pair in ((lora.rank, t.shape[1]), (t.shape[0], lora.rank)))


def layers_kept(shape: ModelShape, settings: TrainingSettings) -> Kept:
    """What the layers keep for the backward pass."""
    return Kept(
        shape,
        settings.width,
        fused=_is_fused(shape, settings),
        # nothing trains the zeros that are T5's bias there, so that a kernel of a CPU takes them
        cross_fused=settings.flash and not shape.attention_dropout if not settings.cuda else None,
        cuda=settings.cuda,
        checkpointing=settings.checkpointing,
        inputs=4 if settings.lora and settings.lora.upcast else settings.width,
        source=settings.source_tokens,
    )


def logit_bytes(shape: ModelShape, settings: TrainingSettings) -> int:
    """Bytes of each logit at the loss's worst moment, its backward pass; 0 where the loss is computed in parts.

    The model's output keeps the logits; log-softmax, its gradient and the gradient of what it was made from are there
    beside them. transformers' own loss turns 16 bits into float32 first, as autocast does: w + 3 · 4; the losses of
    encoder-decoder models stay in 16 bits: 4 · 2. Of QLoRA the output layer is float32 where what is not quantized is.
    """
    if settings.chunked_loss:
        return 0
    width = 4 if settings.lora and settings.lora.upcast else settings.width
    in_float32 = shape.float32_loss or settings.precision is Precision.AUTOCAST
    return width + 12 if in_float32 else 4 * width


def activation_terms(shape: ModelShape, settings: TrainingSettings) -> tuple[Term, ...]:
    """What waits for the backward pass, and the worst moment on top: the loss, or the layer that is recomputed."""
    kept = layers_kept(shape, settings)
    batch, tokens = settings.batch, settings.tokens
    each = logit_bytes(shape, settings)
    head = each * batch * tokens * shape.vocabulary
    layer = kept.largest_layer(batch, tokens)
    store = Term("Activations", kept.bytes(batch, tokens), *kept.formula(batch, tokens), _saved_note(shape, settings))
    if settings.checkpointing is not Checkpointing.NONE and layer > head:
        note = f"One layer whole, while it is recomputed; more than the logits' {head:,} bytes."
        return store, Term("Recomputed layer", layer, *kept.layer_formula(batch, tokens), note)
    return store, Term(
        "Logits and loss",
        head,
        "batch · tokens · vocabulary · bytes per logit",
        f"{batch:,} · {tokens:,} · {shape.vocabulary:,} · {each}",
        _loss_note(each, settings.width) if head else "The loss is computed in parts.",
    )


def check(settings: TrainingSettings) -> None:
    """Raise InputError for settings that make no sense."""
    at_least("The number of tokens", settings.tokens, 1)
    at_least("The number of source tokens", settings.source_tokens or 0, 0)
    at_least("The batch", settings.batch, 1)
    at_least("The CUDA context", settings.cuda_context, 0)
    if settings.margin < 0 or not math.isfinite(settings.margin):
        raise InputError(f"The margin is {settings.margin}.", "Give a share from 0 up, such as 0.05.")
    if settings.lora and settings.lora.quantization in GGUF_BITS:
        raise InputError("GGUF weights cannot be trained on.", "Choose nf4, fp4, int8 or no quantization.")


def _weights(shape: ModelShape, precision: Precision) -> tuple[Term, ...]:
    width = 2 if precision in (Precision.MASTER, Precision.BFLOAT16) else 4
    terms = [_times("Weights", "parameters", shape.parameters, width)]
    if precision is Precision.AUTOCAST:
        note = "autocast keeps the 16-bit copies of linear layers until the step ends."
        terms.append(_times("16-bit copies", "elements of linear layers", shape.layout.quantizable, 2, note))
    return tuple(terms)


def _base(shape: ModelShape, precision: Precision, lora: Lora) -> tuple[Term, ...]:
    """The frozen weights."""
    if lora.quantization is None:
        dtype = "float32" if precision in (Precision.FLOAT32, Precision.AUTOCAST) else "bfloat16"
        return weight_terms(shape, dtype)
    return weight_terms(shape, "float32" if lora.upcast else "bfloat16", lora.quantization, double=lora.double)


def _optimizer(optimizer: Optimizer, trained: tuple[tuple[int, ...], ...], width: int) -> Term:
    size = state_of(optimizer, trained, width)
    paged = optimizer is Optimizer.PAGED_ADAMW_8BIT
    note = "Pages wait in main memory and come to the GPU as they are needed." if paged else ""
    if optimizer is Optimizer.MUON:
        note = "In the usual recipe embeddings and output use AdamW, which keeps twice as much for them."
    count = elements_of(trained)
    values = f"{len(trained):,} tensors of {count:,} elements together"
    if optimizer in (Optimizer.ADAMW, Optimizer.SGD_MOMENTUM):
        values = f"{count:,} · {'2 · ' if optimizer is Optimizer.ADAMW else ''}{width}"
    return Term("Optimizer states", size, FORMULAS[optimizer].format(width=width), values, note, host=paged)


def _times(name: str, what: str, count: int, width: int, note: str = "") -> Term:
    return Term(name, count * width, f"{what} · {width}", f"{count:,} · {width}", note)


def _is_fused(shape: ModelShape, settings: TrainingSettings) -> bool:
    """Whether attention runs in a kernel that never writes its scores out, as torch chooses it (sdp_utils.cpp).

    None on CUDA takes float32 where heads share keys; the one on a CPU takes no dropout, and no bias that is trained.
    """
    if settings.cuda:
        return settings.flash and not (settings.width == 4 and shape.shares_keys)
    return settings.flash and not (shape.position_bias or shape.attention_dropout)


def _saved_note(shape: ModelShape, settings: TrainingSettings) -> str:
    if settings.checkpointing is Checkpointing.FULL:
        return "The input of each layer; everything else is recomputed."
    if not shape.counted:
        return "Counted as in the code of a similar architecture; an estimate."
    if shape.experts:
        return "With transformers' grouped_mm; its batched_mm also keeps a copy of each token's experts."
    if settings.cuda and settings.flash and not _is_fused(shape, settings):
        return "What autograd saves in transformers' code; no fused kernel takes float32 where heads share keys."
    return "What autograd saves in transformers' code."


def _loss_note(each: int, width: int) -> str:
    if width == 4:
        return "Logits, log-softmax and two gradients, 4 bytes each."
    if each == 4 * width:
        return "Logits, log-softmax and two gradients, 2 bytes each: this class does not turn them into float32."
    return "Logits; log-softmax and two gradients of their float32 copy, 4 bytes each."
