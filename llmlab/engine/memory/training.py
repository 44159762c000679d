"""What a training step takes on one GPU: weights, gradients, optimizer, activations, logits. Imports no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from llmlab.engine.errors import InputError
from llmlab.engine.memory.activations import Checkpointing, Saved, saved_by_layer
from llmlab.engine.memory.checks import at_least
from llmlab.engine.memory.formats import GGUF_BITS
from llmlab.engine.memory.inference import CUDA_CONTEXT, quantization_warnings, weight_terms
from llmlab.engine.memory.optimizers import FORMULAS, Optimizer, elements_of, state_of
from llmlab.engine.memory.shape import Group, ModelShape
from llmlab.engine.memory.terms import Estimate, Term, with_margin

LOGIT_BYTES = 16  # the loss at its worst: logits, their float32 copy, its log-softmax, and the gradient


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
    `chunked_loss`: logits are made for parts of the tokens; their peak is then left out.
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


def saved_activations(shape: ModelShape, settings: TrainingSettings) -> tuple[Saved, int]:
    """What one layer keeps while it is whole, and the bytes of all layers that wait for their backward pass."""
    width = settings.width
    whole = saved_by_layer(shape, width, flash=settings.flash)
    if settings.checkpointing is Checkpointing.FULL:
        stored = 4 if settings.lora and settings.lora.upcast else width
        return whole, stored * shape.layers * settings.batch * settings.tokens * shape.hidden
    kept = Saved(whole.per_token, 0) if settings.checkpointing is Checkpointing.SELECTIVE else whole
    return whole, shape.layers * kept.layer(settings.batch, settings.tokens, shape.heads)


def activation_terms(shape: ModelShape, settings: TrainingSettings) -> tuple[Term, ...]:
    """What waits for the backward pass, and the worst moment on top: the loss, or the layer that is recomputed."""
    whole, kept = saved_activations(shape, settings)
    rows = settings.batch * settings.tokens
    head = 0 if settings.chunked_loss else LOGIT_BYTES * rows * shape.vocabulary
    layer = whole.layer(settings.batch, settings.tokens, shape.heads)
    recomputes = settings.checkpointing is not Checkpointing.NONE and layer > head
    if settings.checkpointing is Checkpointing.FULL:
        each = kept // max(1, shape.layers * rows * shape.hidden)
        store = Term(
            "Activations",
            kept,
            f"layers · batch · tokens · hidden · {each}",
            f"{shape.layers} · {settings.batch:,} · {settings.tokens:,} · {shape.hidden:,} · {each}",
            "The input of each layer; everything else is recomputed.",
        )
    else:
        score = 0 if settings.checkpointing is Checkpointing.SELECTIVE else whole.per_score
        store = Term(
            "Activations",
            kept,
            "layers · batch · tokens · (bytes per token + bytes per score · heads · tokens)",
            f"{shape.layers} · {settings.batch:,} · {settings.tokens:,} · "
            f"({whole.per_token:,} + {score} · {shape.heads} · {settings.tokens:,})",
            _saved_note(shape),
        )
    if recomputes:
        return store, Term(
            "Recomputed layer",
            layer,
            "batch · tokens · (bytes per token + bytes per score · heads · tokens)",
            f"{settings.batch:,} · {settings.tokens:,} · "
            f"({whole.per_token:,} + {whole.per_score} · {shape.heads} · {settings.tokens:,})",
            f"One layer whole, while it is recomputed; more than the logits' {head:,} bytes.",
        )
    return store, Term(
        "Logits and loss",
        head,
        f"batch · tokens · vocabulary · {LOGIT_BYTES}",
        f"{settings.batch:,} · {settings.tokens:,} · {shape.vocabulary:,} · {LOGIT_BYTES}",
        "Logits, float32 copy, log-softmax and gradient." if head else "The loss is computed in parts.",
    )


def check(settings: TrainingSettings) -> None:
    """Raise InputError for settings that make no sense."""
    at_least("The number of tokens", settings.tokens, 1)
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


def _saved_note(shape: ModelShape) -> str:
    if shape.experts:
        return "Experts are counted as one MLP as wide as those a token goes through; an estimate."
    if shape.encodes_first:
        return "Decoder layers are counted without their cross-attention; an estimate."
    return "What autograd saves in transformers' code."
