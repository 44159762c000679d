"""What a training step takes on one GPU at its worst moment. Imports no torch."""

from __future__ import annotations

from llmlab.engine.memory.inference import quantization_warnings
from llmlab.engine.memory.optimizers import Implementation
from llmlab.engine.memory.passing import layers_kept, logit_bytes
from llmlab.engine.memory.recipe import Lora, Precision, TrainingSettings, check
from llmlab.engine.memory.shape import ModelShape
from llmlab.engine.memory.states import state_terms, trained_shapes
from llmlab.engine.memory.step import Moment, Phase, Step
from llmlab.engine.memory.terms import Estimate

__all__ = [
    "Implementation",
    "Lora",
    "Moment",
    "Phase",
    "Precision",
    "TrainingSettings",
    "check",
    "layers_kept",
    "logit_bytes",
    "state_terms",
    "trained_shapes",
    "training",
    "training_phases",
]


def training(shape: ModelShape, settings: TrainingSettings) -> Estimate:
    """Bytes of each component at the peak of a training step; they add up. Raises InputError.

    Which moment that is depends on the sizes: `training_phases` has all of them.
    """
    check(settings)
    peak = Step(shape, settings, state_terms(shape, settings)).peak()
    lora = settings.lora
    warnings = quantization_warnings(shape, "bfloat16", lora.quantization, double=lora.double) if lora else ()
    return Estimate(peak.terms, warnings)


def training_phases(shape: ModelShape, settings: TrainingSettings) -> tuple[Phase, ...]:
    """Every moment of a training step with its components, in their order. Raises InputError."""
    check(settings)
    return Step(shape, settings, state_terms(shape, settings)).phases()
