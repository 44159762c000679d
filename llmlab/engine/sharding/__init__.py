"""Training over several processes for real: what each rank holds and sends, beside what the calculator says.

    from llmlab.engine.sharding import ShardingRequest, run
    for result in run(ShardingRequest(ranks=2)).results: ...

Every rank is a process of its own on this computer, with gloo over the loopback interface on the CPU and NCCL on
GPUs. Only `types` imports no torch.
"""

from llmlab.engine.sharding.ranks import run
from llmlab.engine.sharding.types import METHODS, ShardingRequest, ShardingRun

__all__ = ["METHODS", "ShardingRequest", "ShardingRun", "run"]
