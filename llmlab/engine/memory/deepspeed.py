"""What DeepSpeed's own estimator says, beside which the calculator can be held. Imports no torch.

DeepSpeed documentation, “Memory requirements”. It prints GiB and calls them GB.
"""

from __future__ import annotations

from llmlab.engine.errors import InputError
from llmlab.engine.memory.checks import at_least
from llmlab.engine.memory.sharding import Offload


def deepspeed_bytes_per_gpu(
    parameters: int, gpus: int, stage: int, *, largest_layer: int = 0, offload: Offload = Offload.NONE
) -> int:
    """Bytes per GPU of parameters, gradients and optimizer states.

    ZeRO-2: 4P + 16P/N, with the optimizer offloaded 2P. ZeRO-3: 4L + 18P/N, with the optimizer offloaded 4L + 2P/N,
    with the weights too 4L; L parameters of the largest layer. Raises InputError.
    """
    at_least("The number of parameters", parameters, 0)
    at_least("The number of GPUs", gpus, 1)
    at_least("The number of parameters of the largest layer", largest_layer, 0)
    if stage == 2:
        if offload is Offload.ALL:
            raise InputError("ZeRO-2 keeps all weights on each GPU.", "Offload the optimizer alone, or choose ZeRO-3.")
        return 2 * parameters if offload is Offload.OPTIMIZER else 4 * parameters + 16 * parameters // gpus
    if stage != 3:
        raise InputError(f"DeepSpeed's estimator knows no stage {stage}.", "Choose stage 2 or 3.")
    shared = {Offload.NONE: 18, Offload.OPTIMIZER: 2, Offload.ALL: 0}[offload]
    return 4 * largest_layer + shared * parameters // gpus
