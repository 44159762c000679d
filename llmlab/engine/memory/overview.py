"""What the calculator shows of many GPUs at once: what fits on each, how plans compare. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from llmlab.engine.errors import InputError
from llmlab.engine.memory.fit import PRECISIONS
from llmlab.engine.memory.grid import largest_batches, largest_training_batches, longest_contexts
from llmlab.engine.memory.hardware import Gpu
from llmlab.engine.memory.inference import InferenceSettings, inference
from llmlab.engine.memory.roofline import decode_roofline
from llmlab.engine.memory.shape import ModelShape
from llmlab.engine.memory.sharding import (
    GPUS,
    Communication,
    ShardingSettings,
    Strategy,
    communication,
    sharded_training,
)
from llmlab.engine.memory.terms import Estimate
from llmlab.engine.memory.training import TrainingSettings
from llmlab.engine.types import Architecture

Precision = tuple[str, str | None, bool]  # dtype, quantization, double


@dataclass(frozen=True, slots=True)
class GpuFit:
    """One GPU: whether `needs` bytes fit, and the most that would.

    `context` in tokens with the batch as it is, `batch` in sequences with the context as it is, `precision` the one
    that loses least; None where nothing fits, or where it is not asked (context and precision of training).
    `tokens_per_second` is the roofline of decoding all sequences together, None where nothing is decoded.
    """

    gpu: Gpu
    needs: int
    context: int | None = None
    batch: int | None = None
    precision: Precision | None = None
    tokens_per_second: float | None = None

    @property
    def fits(self) -> bool:
        """Whether it needs no more than there is."""
        return self.needs <= self.gpu.memory

    @property
    def headroom(self) -> int:
        """Bytes that stay free; below 0, bytes that are missing."""
        return self.gpu.memory - self.needs


@dataclass(frozen=True, slots=True)
class Planned:
    """One way to share a training run out: what each GPU holds and sends, or why it cannot be done so."""

    strategy: Strategy
    estimate: Estimate | None
    sent: Communication | None
    refused: str = ""


def inference_fits(shape: ModelShape, settings: InferenceSettings, gpus: Sequence[Gpu]) -> tuple[GpuFit, ...]:
    """Every GPU of a table for a model that runs; main memory as a CPU uses it. Raises InputError."""
    on_cpu = replace(settings, cuda=False, cuda_context=0)
    return _by_kernels(gpus, lambda some, cpu: _inference_fits(shape, on_cpu if cpu else settings, some))


def _inference_fits(shape: ModelShape, settings: InferenceSettings, gpus: Sequence[Gpu]) -> list[GpuFit]:
    needs = inference(shape, settings).total
    memories = [gpu.memory for gpu in gpus]
    contexts = longest_contexts(shape, settings, memories)
    batches = largest_batches(shape, settings, memories)
    tried = [
        (one, inference(shape, replace(settings, dtype=one[0], quantization=one[1], double=one[2])).total)
        for one in PRECISIONS
    ]
    moved = None if shape.architecture is Architecture.ENCODER else decode_roofline(shape, settings, 1)
    return [
        GpuFit(
            gpu,
            needs,
            context,
            batch,
            next((precision for precision, total in tried if total <= gpu.memory), None),
            None if moved is None else moved.tokens_per_second * gpu.bandwidth,
        )
        for gpu, context, batch in zip(gpus, contexts, batches, strict=True)
    ]


def training_fits(
    shape: ModelShape, settings: TrainingSettings, plan: ShardingSettings, gpus: Sequence[Gpu]
) -> tuple[GpuFit, ...]:
    """Every GPU of a table for a training run over `plan.gpus` of them; main memory likewise. Raises InputError."""
    on_cpu = replace(settings, cuda=False, cuda_context=0)
    return _by_kernels(gpus, lambda some, cpu: _training_fits(shape, on_cpu if cpu else settings, plan, some))


def _training_fits(
    shape: ModelShape, settings: TrainingSettings, plan: ShardingSettings, gpus: Sequence[Gpu]
) -> list[GpuFit]:
    needs = sharded_training(shape, settings, plan).total
    batches = largest_training_batches(shape, settings, [gpu.memory for gpu in gpus], plan)
    return [GpuFit(gpu, needs, batch=batch) for gpu, batch in zip(gpus, batches, strict=True)]


def _by_kernels(gpus: Sequence[Gpu], work: Callable[[Sequence[Gpu], bool], list[GpuFit]]) -> tuple[GpuFit, ...]:
    """`work` for the GPUs, and for the CPUs among them; in the order of `gpus`."""
    found: dict[int, GpuFit] = {}
    for cpu in (False, True):
        places = [place for place, gpu in enumerate(gpus) if gpu.cpu == cpu]
        if places:
            found |= dict(zip(places, work([gpus[place] for place in places], cpu), strict=True))
    return tuple(found[place] for place in range(len(gpus)))


def strategies(
    shape: ModelShape, settings: TrainingSettings, plan: ShardingSettings, which: Iterable[Strategy] = Strategy
) -> tuple[Planned, ...]:
    """The same run with each strategy."""
    return tuple(_planned(shape, settings, replace(plan, strategy=strategy)) for strategy in which)


def _planned(shape: ModelShape, settings: TrainingSettings, plan: ShardingSettings) -> Planned:
    try:
        estimate = sharded_training(shape, settings, plan)
        return Planned(plan.strategy, estimate, communication(shape, settings, plan))
    except InputError as error:
        return Planned(plan.strategy, None, None, error.message)


def areas(shape: ModelShape, settings: TrainingSettings, plan: ShardingSettings) -> tuple[tuple[int, Estimate], ...]:
    """The plan over 1 to 1024 GPUs, for stacked areas; numbers of GPUs that the plan cannot use are left out."""
    found = []
    for gpus in GPUS:
        try:
            found.append((gpus, sharded_training(shape, settings, replace(plan, gpus=gpus))))
        except InputError:
            continue
    return tuple(found)
