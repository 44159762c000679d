"""How a model is trained: the settings that the bytes of a training step follow from. Imports no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from llmlab.engine.errors import InputError
from llmlab.engine.memory.activations import Checkpointing
from llmlab.engine.memory.checks import at_least
from llmlab.engine.memory.formats import GGUF_BITS
from llmlab.engine.memory.inference import CUDA_CONTEXT
from llmlab.engine.memory.optimizers import Implementation, Optimizer


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
    """How a model is trained. `batch` sequences of `tokens` on this GPU at once.

    `micro_batches`: so many of these batches add up their gradients before the optimizer's step (gradient
    accumulation). `implementation`: how the optimizer goes over the parameters. `flash`: attention does not keep its
    scores. `fused_backward`: each gradient is used up as soon as it is there.
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
    micro_batches: int = 1
    implementation: Implementation = Implementation.FUSED
    cuda_context: int = CUDA_CONTEXT
    margin: float = 0.05

    @property
    def width(self) -> int:
        """Bytes of a number in the forward pass."""
        return 4 if self.precision is Precision.FLOAT32 else 2


def check(settings: TrainingSettings) -> None:
    """Raise InputError for settings that make no sense."""
    at_least("The number of tokens", settings.tokens, 1)
    at_least("The number of source tokens", settings.source_tokens or 0, 0)
    at_least("The batch", settings.batch, 1)
    at_least("The number of micro-batches", settings.micro_batches, 1)
    at_least("The CUDA context", settings.cuda_context, 0)
    if settings.fused_backward and settings.micro_batches > 1:
        raise InputError(
            "Gradients that are used up at once cannot be accumulated over several micro-batches.",
            "Keep the gradients until the step ends, or choose one micro-batch.",
        )
    if settings.margin < 0 or not math.isfinite(settings.margin):
        raise InputError(f"The margin is {settings.margin}.", "Give a share from 0 up, such as 0.05.")
    if settings.lora and settings.lora.quantization in GGUF_BITS:
        raise InputError("GGUF weights cannot be trained on.", "Choose nf4, fp4, int8 or no quantization.")
