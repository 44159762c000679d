"""What the calculator says of a run, beside what the ranks found."""

from __future__ import annotations

from typing import Any

from llmlab.engine.memory.shape import ModelShape
from llmlab.engine.memory.sharding import ShardingSettings, Strategy, communication, sharded_phases, sharded_training
from llmlab.engine.memory.step import most_of
from llmlab.engine.memory.terms import Term
from llmlab.engine.memory.training import Precision, TrainingSettings
from llmlab.engine.sharding.types import Collective, Compared, MethodResult, RankResult, ShardingRequest

PROCESS = 400 * 2**20  # what a process with torch and transformers takes before its first tensor
_WIDTH = 4  # everything is float32
_ZERO_1 = (
    "The ZeRO paper reduces and scatters the gradients. ZeroRedundancyOptimizer all-reduces them, as DDP does, and "
    "then broadcasts the weights: half as much again."
)
_GREEDY = "It gives whole tensors to ranks, the largest first; the calculator divides evenly."
_WORST = "The worst moment, an estimate: with FULL_SHARD the calculator counts two of the largest layer."


def ranks_of(event: dict[str, Any]) -> RankResult:
    """A rank's "result" event as it was told."""
    return RankResult(
        event["rank"],
        event["parameters"],
        event["gathered"],
        event["gradients"],
        event["optimizer"],
        tuple(Collective(**each) for each in event["collectives"]),
        tuple(event["losses"]),
    )


def compared(
    shape: ModelShape, request: ShardingRequest, method: Strategy, ranks: tuple[RankResult, ...]
) -> MethodResult:
    """Each quantity of one method, predicted and measured."""
    held = predicted(shape, request, method)
    told = communication(shape, _settings(request), ShardingSettings(request.ranks, method))
    rows = [
        _row("Parameters", held, "Weights", [rank.parameters for rank in ranks]),
        _row("Gradients", held, "Gradients", [rank.gradients for rank in ranks]),
        _row(
            "Optimizer states",
            held,
            "Optimizer states",
            [rank.optimizer for rank in ranks],
            note=_GREEDY if method is Strategy.ZERO_1 else "",
        ),
    ]
    if "Gathered weights" in held:
        gathered = [rank.gathered for rank in ranks]
        rows.append(_row("Gathered weights", held, "Gathered weights", gathered, exact=False, note=_WORST))
    rows.append(
        Compared(
            "Sent in a step",
            told.elements * _WIDTH,
            f"{told.formula} · {_WIDTH} = {told.values} · {_WIDTH}",
            tuple(rank.sent for rank in ranks),
            exact=method is not Strategy.ZERO_1,
            note=_ZERO_1 if method is Strategy.ZERO_1 else "",
        )
    )
    plain = communication(shape, _settings(request), ShardingSettings(request.ranks, Strategy.DDP)).elements * _WIDTH
    mean = sum(rank.sent for rank in ranks) / len(ranks)
    return MethodResult(method, ranks, tuple(rows), told.relative, mean / plain)


def predicted(shape: ModelShape, request: ShardingRequest, method: Strategy) -> dict[str, Term]:
    """What the calculator says one rank holds of each part at most: float32 throughout, AdamW, scores not kept."""
    return most_of(sharded_phases(shape, _settings(request), ShardingSettings(request.ranks, method)))


def needs(shape: ModelShape, request: ShardingRequest) -> int:
    """Bytes that all ranks take together at the worst method, with a copy of the weights that each one begins from."""
    settings = _settings(request)
    plans = (ShardingSettings(request.ranks, method) for method in request.methods)
    most = max(sharded_training(shape, settings, plan).total for plan in plans)
    return request.ranks * (PROCESS + most + 2 * _WIDTH * shape.parameters)


def _settings(request: ShardingRequest) -> TrainingSettings:
    return TrainingSettings(Precision.FLOAT32, tokens=request.tokens, batch=request.batch, cuda_context=0, margin=0.0)


def _row(
    name: str, held: dict[str, Term], term: str, measured: list[int], *, exact: bool = True, note: str = ""
) -> Compared:
    found = held[term]
    return Compared(name, found.bytes, f"{found.formula} = {found.values}", tuple(measured), exact, note)
