"""What the calculator says of memory, held against the model that is open: prefill, decoding, a training step.

    from llmlab.engine.memory_measure import MeasureSettings, measure
    for phase in measure(engine.loaded, MeasureSettings(tokens=256)).phases: ...

Every tensor is followed from its making to its end, to the byte, on any device; on a GPU the allocator's own peak
stands beside that. `types` imports no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmlab.engine.memory_measure.types import Component, Curve, Measurement, MeasureSettings, Phase

if TYPE_CHECKING:
    from llmlab.engine.memory_measure.measuring import measure

__all__ = ["Component", "Curve", "MeasureSettings", "Measurement", "Phase", "measure"]


def __getattr__(name: str) -> object:
    """What needs torch is imported on first use."""
    if name == "measure":
        from llmlab.engine.memory_measure.measuring import measure

        return measure
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
