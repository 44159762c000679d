"""The rules of thumb in circulation, side by side: bytes per parameter of a training run. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from llmlab.engine.memory.checks import at_least
from llmlab.engine.memory.terms import Term


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of thumb: what it counts, in bytes per parameter, and who says so."""

    name: str
    parts: tuple[tuple[str, int], ...]
    source: str

    @property
    def bytes_per_parameter(self) -> int:
        """All parts together."""
        return sum(size for _, size in self.parts)

    def terms(self, parameters: int) -> tuple[Term, ...]:
        """What it makes of `parameters`. Raises InputError."""
        at_least("The number of parameters", parameters, 0)
        return tuple(
            Term(part, parameters * size, f"parameters · {size}", f"{parameters:,} · {size}")
            for part, size in self.parts
        )


RULES = (
    Rule(
        "Course, float32",
        (("Weights", 4), ("Adam states", 8), ("Gradients", 4), ("Activations and temporary memory", 8)),
        "“Generative AI with Large Language Models”, week 1; after transformers, “Model training anatomy”",
    ),
    Rule(
        "ZeRO, mixed precision",
        (("16-bit weights", 2), ("16-bit gradients", 2), ("Float32 weights", 4), ("Adam states", 8)),
        "arXiv:1910.02054, section 3.1",
    ),
    Rule(
        "Megatron-LM",
        (("16-bit weights", 2), ("Float32 gradients", 4), ("Float32 weights", 4), ("Adam states", 8)),
        "Megatron-LM, distributed optimizer: bf16 parameters, fp32 gradients",
    ),
    Rule(
        "DeepSpeed's estimator, ZeRO-2",
        (
            ("16-bit weights", 2),
            ("16-bit gradients", 2),
            ("Float32 weights", 4),
            ("Float32 gradients", 4),
            ("Adam states", 8),
        ),
        "DeepSpeed documentation, memory requirements: 4 · params + 16 · params / GPUs on one GPU",
    ),
)
