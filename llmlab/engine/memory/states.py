"""Weights, gradients and optimizer states of a training step: what does not depend on the batch. Imports no torch."""

from __future__ import annotations

import math
from functools import lru_cache

from llmlab.engine.errors import InputError
from llmlab.engine.memory.checks import at_least
from llmlab.engine.memory.inference import weight_terms
from llmlab.engine.memory.optimizers import FORMULAS, Optimizer, elements_of, state_of
from llmlab.engine.memory.recipe import Lora, Precision, TrainingSettings
from llmlab.engine.memory.shape import Group, ModelShape
from llmlab.engine.memory.terms import Term

COPIES, GRADIENTS = "16-bit copies", "Gradients"
OPTIMIZER = "Optimizer states"


def state_terms(shape: ModelShape, settings: TrainingSettings) -> tuple[Term, ...]:
    """All of them with their bytes while they are there; `step` says when that is. Raises InputError."""
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
    width = 2 if precision in (Precision.MASTER, Precision.BFLOAT16) else 4  # as in `gradient_width`
    if fused:
        largest = max(map(math.prod, trained), default=0)
        terms.append(_times(GRADIENTS, "largest parameter", largest, width, "Used up as soon as they are there."))
    else:
        terms.append(_times(GRADIENTS, "trained parameters", count, width))
    if precision is Precision.MASTER:
        terms.append(_times("Float32 weights", "trained parameters", count, 4, "The optimizer's own copy."))
    terms.append(_optimizer(optimizer, trained, 2 if precision is Precision.BFLOAT16 else 4))
    return tuple(terms)


@lru_cache(maxsize=64)
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


@lru_cache(maxsize=64)
def output_elements(shape: ModelShape) -> int:
    """Elements of the output layer, be it the embedding again or not."""
    return max((t.elements for t in shape.tensors if len(t.shape) == 2 and shape.vocabulary in t.shape), default=0)


def _linear_elements(shape: ModelShape) -> int:
    """Elements of all linear layers; the embedding is one of them where it is the output layer as well."""
    linear = [t for t in shape.tensors if len(t.shape) == 2 and t.group not in (Group.EMBEDDINGS, Group.NORMS)]
    has_output = any(t.group is Group.HEAD and shape.vocabulary in t.shape for t in linear)
    return sum(t.elements for t in linear) + output_elements(shape) * (not has_output)


@lru_cache(maxsize=64)
def shares_embedding(shape: ModelShape) -> bool:
    """Whether gradients of the embedding come from two places: a tied output layer, or encoder and decoder."""
    own = any(t.group is Group.HEAD and len(t.shape) == 2 and shape.vocabulary in t.shape for t in shape.tensors)
    return shape.encodes_first or not own


def gradient_width(settings: TrainingSettings) -> int:
    """Bytes of a number in a gradient."""
    return 4 if settings.lora or settings.precision not in (Precision.MASTER, Precision.BFLOAT16) else 2


def _weights(shape: ModelShape, precision: Precision) -> tuple[Term, ...]:
    width = 2 if precision in (Precision.MASTER, Precision.BFLOAT16) else 4
    terms = [_times("Weights", "parameters", shape.parameters, width)]
    if precision is Precision.AUTOCAST:
        note = "autocast makes a 16-bit copy of each linear layer, which waits for that layer's backward pass."
        if not shape.casts_counted:
            note += " An estimate: what autocast turns into 16 bits was not counted in this family's code."
        terms.append(_times(COPIES, "elements of linear layers", _linear_elements(shape), 2, note))
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
    return Term(OPTIMIZER, size, FORMULAS[optimizer].format(width=width), values, note, host=paged)


def _times(name: str, what: str, count: int, width: int, note: str = "") -> Term:
    return Term(name, count * width, f"{what} · {width}", f"{count:,} · {width}", note)
