"""Training over several processes for real: what each rank holds and sends, beside what the calculator says.

    from llmlab.engine.sharding import ShardingRequest, run
    for result in run(ShardingRequest(ranks=2)).results: ...

Every rank is a process of its own on this computer, with gloo over the loopback interface on the CPU and NCCL on
GPUs. Importing `types` brings no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmlab.engine.sharding.types import METHODS, ShardingRequest, ShardingRun

if TYPE_CHECKING:
    from llmlab.engine.sharding.ranks import run

__all__ = ["METHODS", "ShardingRequest", "ShardingRun", "run"]


def __getattr__(name: str) -> object:
    """What needs torch is imported on first use."""
    if name == "run":
        from llmlab.engine.sharding.ranks import run

        return run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
