"""Counts what the ranks tell each other, by looking at every collective operation as it is dispatched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from llmlab.engine.sharding.types import Collective

# How often a ring sends the whole tensor's bytes, times (N − 1)/N: an all-reduce is a reduce-scatter and an all-gather
# (Patarasuk and Yuan, “Bandwidth optimal all-reduce algorithms”, 2009). A broadcast passes everything along the ring:
# N − 1 of N ranks send it, which is the same share of each on average.
_RING = {
    "allreduce_": ("all-reduce", 2),
    "_allgather_base_": ("all-gather", 1),
    "allgather_": ("all-gather", 1),
    "_reduce_scatter_base_": ("reduce-scatter", 1),
    "reduce_scatter_": ("reduce-scatter", 1),
    "broadcast_": ("broadcast", 1),
}


class Traffic(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While it is entered, every collective operation is counted; `seen` is called with its payload before it runs.

    DDP's reducer, ZeroRedundancyOptimizer and FSDP all go through torch's dispatcher for them, on any backend.
    """

    def __init__(self, ranks: int, seen: Callable[[str, int], None] = lambda name, payload: None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._ranks = ranks
        self._seen = seen
        self._found: dict[str, Collective] = {}

    @property
    def collectives(self) -> tuple[Collective, ...]:
        """What was counted, in the order in which each kind first came."""
        return tuple(self._found.values())

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count, and do what was asked."""
        if func.namespace == "c10d":
            self._count(func._schema.name.removeprefix("c10d::"), args)
        return func(*args, **(kwargs or {}))

    def _count(self, operation: str, args: tuple[Any, ...]) -> None:
        if operation == "barrier":
            return
        if operation not in _RING:
            raise RuntimeError(f"the cost of the collective operation {operation} is not known")
        name, times = _RING[operation]
        payload = max(_size(argument) for argument in args)  # the whole tensor; a share of it may be there too
        self._seen(name, payload)
        former = self._found.get(name, Collective(name, 0, 0, 0.0))
        sent = times * payload * (self._ranks - 1) / self._ranks
        self._found[name] = Collective(name, former.calls + 1, former.payload + payload, former.sent + sent)


def _size(argument: object) -> int:
    if isinstance(argument, torch.Tensor):
        return argument.nbytes
    if isinstance(argument, (list, tuple)):
        return sum(map(_size, argument))
    return 0
