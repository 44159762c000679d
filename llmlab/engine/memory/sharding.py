"""What training over many GPUs leaves on each of them, and what they tell each other. Imports no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum

from llmlab.engine.errors import InputError
from llmlab.engine.memory.checks import at_least
from llmlab.engine.memory.recipe import TrainingSettings, check
from llmlab.engine.memory.shape import Group, ModelShape
from llmlab.engine.memory.states import COPIES, GRADIENTS, OPTIMIZER, state_terms
from llmlab.engine.memory.step import Moment, Phase, Shared, Step
from llmlab.engine.memory.terms import Estimate, Term

GPUS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_GRADIENTS = (GRADIENTS,)
_OPTIMIZER = (OPTIMIZER, "Float32 weights")
_HELD = (COPIES,)  # made anew where the weights themselves are shared out


class Strategy(StrEnum):
    """How a model and its training states are shared out."""

    DDP = "DDP"
    ZERO_1 = "ZeRO-1"
    ZERO_2 = "ZeRO-2"
    ZERO_3 = "ZeRO-3"
    FULL_SHARD = "FSDP FULL_SHARD"
    SHARD_GRAD_OP = "FSDP SHARD_GRAD_OP"
    HYBRID_SHARD = "FSDP HYBRID_SHARD"


class Offload(StrEnum):
    """What waits in main memory."""

    NONE = "none"
    OPTIMIZER = "optimizer"  # the states and the gradients they need
    ALL = "optimizer and weights"


@dataclass(frozen=True, slots=True)
class ShardingSettings:
    """`gpus` in all, `node` of them in one machine (where HYBRID_SHARD shares out, and replicates across machines).

    `tensor_parallel` GPUs compute each layer together; the others share out what remains by `strategy`.
    """

    gpus: int
    strategy: Strategy
    node: int = 8
    offload: Offload = Offload.NONE
    tensor_parallel: int = 1


@dataclass(frozen=True, slots=True)
class Communication:
    """What one GPU sends in a step, in elements. `relative` to DDP over the same GPUs; 0 on a single one.

    `tensor_parallel` are bytes of activations that the GPUs of one tensor-parallel group exchange.
    """

    elements: float
    relative: float
    formula: str
    values: str
    tensor_parallel: int = 0


def sharded_training(shape: ModelShape, settings: TrainingSettings, plan: ShardingSettings) -> Estimate:
    """Bytes on each GPU at the peak of a step; a term's formula names what it is divided by. Raises InputError.

    ZeRO, arXiv:1910.02054, section 5; FSDP, arXiv:2304.11277, section 3.2. Where a part cannot be divided evenly, the
    largest share counts. Stages that share out the weights gather whole layers as they are used: two at a time, one in
    use and one on its way; SHARD_GRAD_OP keeps all of them until the backward pass has used them. Stages that share
    out the gradients hold a layer's whole ones before they send them away.
    """
    return Estimate(sharded_step(shape, settings, plan).peak().terms)


def sharded_phases(shape: ModelShape, settings: TrainingSettings, plan: ShardingSettings) -> tuple[Phase, ...]:
    """Every moment of the step with what each GPU holds, in their order. Raises InputError."""
    return sharded_step(shape, settings, plan).phases()


def sharded_step(shape: ModelShape, settings: TrainingSettings, plan: ShardingSettings) -> Step:
    """The step as one of the GPUs sees it. Raises InputError."""
    check(settings)
    states = sharded_states(shape, settings, plan)
    split = shards(plan)
    shared = Shared(
        plan.tensor_parallel,
        split if _shares_weights(plan.strategy) or plan.strategy is Strategy.ZERO_2 else 1,
        1 if plan.strategy is Strategy.DDP else split,
        _gathered(shape, settings, plan) if split > 1 and _shares_weights(plan.strategy) else {},
        buckets=plan.strategy is Strategy.DDP and split > 1 and not settings.fused_backward,
    )
    return Step(shape, settings, states, shared)


def sharded_states(shape: ModelShape, settings: TrainingSettings, plan: ShardingSettings) -> tuple[Term, ...]:
    """Weights, gradients and optimizer states on each GPU while they are there: what ZeRO's table counts.

    Raises InputError.
    """
    check_plan(plan)
    split = shards(plan)
    if plan.offload is Offload.ALL and (split == 1 or not _shares_weights(plan.strategy)):
        raise InputError(
            f"{plan.strategy} keeps the weights of every layer on each GPU, so that they cannot wait in main memory.",
            "Choose ZeRO-3 or FULL_SHARD over two or more GPUs, or offload the optimizer alone.",
        )
    return tuple(
        _share(term, _parts(term, plan, split), plan.tensor_parallel, _offloaded(term, plan))
        for term in state_terms(shape, settings)
    )


def over_gpus(
    shape: ModelShape, settings: TrainingSettings, plan: ShardingSettings, gpus: tuple[int, ...] = GPUS
) -> tuple[tuple[int, Estimate], ...]:
    """The same plan over more and more GPUs, for stacked areas; counts below the tensor-parallel group are left out."""
    possible = [n for n in gpus if n % plan.tensor_parallel == 0]
    return tuple((n, sharded_training(shape, settings, replace(plan, gpus=n))) for n in possible)


def communication(shape: ModelShape, settings: TrainingSettings, plan: ShardingSettings) -> Communication:
    """What each GPU sends per step. An all-reduce of Ψ elements over N GPUs costs 2Ψ(N−1)/N, a gather or a
    reduce-scatter half of it (arXiv:1910.02054, section 7): DDP, ZeRO-1 and -2 one all-reduce's worth, SHARD_GRAD_OP
    the same, ZeRO-3 and FULL_SHARD a second gather for the backward pass: 1.5 times as much. HYBRID_SHARD does that
    within a machine and all-reduces its share of the gradients across machines.
    """
    check(settings)
    check_plan(plan)
    ranks = plan.gpus // plan.tensor_parallel
    size = math.ceil(shape.parameters / plan.tensor_parallel)
    plain = 2 * size * (ranks - 1) / ranks
    inside = shards(plan)
    passes = 3 if _gathers_twice(plan.strategy) else 2
    if plan.strategy is Strategy.HYBRID_SHARD:
        across = ranks // inside
        elements = 3 * size * (inside - 1) / inside + 2 * (size / inside) * (across - 1) / across
        formula = "3Ψ(n−1)/n within + 2(Ψ/n)(m−1)/m across machines"
        values = f"3 · {size:,} · {inside - 1}/{inside} + 2 · {size:,}/{inside} · {across - 1}/{across}"
    else:
        elements = passes * size * (ranks - 1) / ranks
        formula, values = f"{passes}Ψ(N−1)/N", f"{passes} · {size:,} · {ranks - 1}/{ranks}"
    return Communication(
        elements, elements / plain if plain else 0.0, formula, values, _exchanged(shape, settings, plan)
    )


def shards(plan: ShardingSettings) -> int:
    """Over how many GPUs the states of one copy are shared out."""
    ranks = plan.gpus // plan.tensor_parallel
    return min(ranks, plan.node) if plan.strategy is Strategy.HYBRID_SHARD else ranks


def check_plan(plan: ShardingSettings) -> None:
    """Raise InputError for a plan that cannot be."""
    at_least("The number of GPUs", plan.gpus, 1)
    at_least("The number of GPUs in a machine", plan.node, 1)
    at_least("The tensor-parallel group", plan.tensor_parallel, 1)
    ranks, rest = divmod(plan.gpus, plan.tensor_parallel)
    if rest:
        raise InputError(
            f"{plan.gpus:,} GPUs cannot be put into tensor-parallel groups of {plan.tensor_parallel:,}.",
            "Choose a number of GPUs that the size of the group divides.",
        )
    if plan.strategy is Strategy.HYBRID_SHARD and ranks > plan.node and ranks % plan.node:
        raise InputError(
            f"{ranks:,} copies cannot be spread over machines of {plan.node:,} GPUs.",
            "HYBRID_SHARD needs whole machines: choose a multiple of the GPUs in one.",
        )


def _shares_weights(strategy: Strategy) -> bool:
    return strategy not in (Strategy.DDP, Strategy.ZERO_1, Strategy.ZERO_2)


def _gathers_twice(strategy: Strategy) -> bool:
    return strategy in (Strategy.ZERO_3, Strategy.FULL_SHARD, Strategy.HYBRID_SHARD)


def _parts(term: Term, plan: ShardingSettings, split: int) -> int:
    """Over how many GPUs a term of the training states is shared out."""
    if _shares_weights(plan.strategy):
        return split
    if term.name in _GRADIENTS:
        return split if plan.strategy is Strategy.ZERO_2 else 1
    if term.name in _OPTIMIZER:
        return 1 if plan.strategy is Strategy.DDP else split
    return 1


def _offloaded(term: Term, plan: ShardingSettings) -> bool:
    if term.host or plan.offload is Offload.NONE:
        return term.host
    # gradients that are shared out follow the optimizer; whole ones are needed on the GPU
    moved = term.name in _OPTIMIZER or (
        term.name in _GRADIENTS and plan.strategy not in (Strategy.DDP, Strategy.ZERO_1)
    )
    return moved or (plan.offload is Offload.ALL and term.name not in _GRADIENTS + _HELD)


def _share(term: Term, parts: int, tensor_parallel: int, host: bool) -> Term:
    whole = parts * tensor_parallel
    if whole == 1:
        return replace(term, host=host)
    divisor = f" / {whole:,}"
    return replace(
        term,
        bytes=math.ceil(term.bytes / whole),
        formula=f"({term.formula}) / GPUs",
        values=f"({term.values}){divisor}",
        host=host,
    )


def _gathered(shape: ModelShape, settings: TrainingSettings, plan: ShardingSettings) -> dict[Moment, Term]:
    """Weights that are whole for the moment: while the layers run, and not any more when the optimizer steps."""
    outside = sum(shape.group(group) for group in (Group.EMBEDDINGS, Group.HEAD))
    layer = max(shape.layout.largest, math.ceil((shape.parameters - outside) / max(1, shape.layers)))
    used = _whole_weights("2 · largest layer", min(shape.parameters, 2 * layer), settings.width, plan.tensor_parallel)
    kept = used
    if plan.strategy is Strategy.SHARD_GRAD_OP:
        kept = _whole_weights("parameters", shape.parameters, settings.width, plan.tensor_parallel)
    return {Moment.FORWARD: kept, Moment.LOSS: kept, Moment.TURN: kept, Moment.END: used}


def _whole_weights(what: str, count: int, width: int, group: int) -> Term:
    return Term(
        "Gathered weights",
        math.ceil(count * width / group),
        f"{what} · {width}" + (" / tensor-parallel GPUs" if group > 1 else ""),
        f"{count:,} · {width}" + (f" / {group}" if group > 1 else ""),
        "Freed again after use; an estimate of the worst moment.",
    )


def _exchanged(shape: ModelShape, settings: TrainingSettings, plan: ShardingSettings) -> int:
    """Bytes of activations a GPU sends in its tensor-parallel group: four all-reduces a layer (arXiv:1909.08053)."""
    group = plan.tensor_parallel
    message = settings.batch * settings.tokens * shape.hidden * settings.width
    return math.ceil(4 * shape.layers * message * 2 * (group - 1) / group)
