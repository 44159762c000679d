"""What ZeRO leaves on each GPU, in the paper's own accounting. Imports no torch."""

from __future__ import annotations

import math

from llmlab.engine.errors import InputError

_KEPT_WEIGHTS = 2 + 2  # 16-bit weights and gradients
_OPTIMIZER = 12  # ZeRO's K: 32-bit weights, momentum and variance of mixed-precision Adam


def zero_bytes_per_gpu(parameters: int, gpus: int, stage: int) -> int:
    """Bytes of weights, gradients and optimizer states on each GPU with mixed-precision Adam.

    ZeRO, arXiv:1910.02054, section 3 and table 1, with Ψ parameters and K = 12: stage 0 (4 + K)Ψ; stage 1 4Ψ + KΨ/N;
    stage 2 2Ψ + (2 + K)Ψ/N; stage 3 (4 + K)Ψ/N. Where N does not divide Ψ, the largest part counts.
    Raises InputError.
    """
    if parameters < 0 or gpus < 1 or stage not in range(4):
        raise InputError(
            f"ZeRO stage {stage} of {parameters} parameters on {gpus} GPUs is not possible.",
            "The stage is 0, 1, 2 or 3, and there is at least one GPU.",
        )
    split = (0, _OPTIMIZER, 2 + _OPTIMIZER, _KEPT_WEIGHTS + _OPTIMIZER)[
        stage
    ]  # bytes per parameter that are shared out
    return (_KEPT_WEIGHTS + _OPTIMIZER - split) * parameters + split * math.ceil(parameters / gpus)
