"""The colours of what takes memory: a component keeps its own from tab to tab. No Qt."""

from __future__ import annotations

from collections.abc import Sequence

SERIES = 9  # colours that the theme has for them
FREE = (5, 6, 3, 2, 1, 4, 8, 0, 7)  # which of them a part without its own takes first: the seldom ones

# A place among the theme's series, and whether it is a paler shade of it.
COLORS: dict[str, tuple[int, bool]] = {
    "Weights": (0, False),
    "Parameters": (0, False),
    "Quantized weights": (0, False),
    "Weights left as they are": (0, True),
    "Scales and codebooks": (5, True),
    "16-bit copies": (8, False),
    "Gathered weights": (0, True),
    "LoRA weights": (5, False),
    "Float32 weights": (5, False),
    "KV cache": (1, False),
    "Cross-attention cache": (1, True),
    "Optimizer states": (1, False),
    "Activations": (2, False),
    "Recomputed layer": (2, True),
    "Working memory": (5, False),
    "Gradients": (3, False),
    "Logits": (4, False),
    "Logits and loss": (4, False),
    "Encoder's answer": (7, False),
    "CUDA context": (7, False),
    "Fragmentation": (7, True),
    "CUDA context and margin": (7, False),
    "Gradients on their way": (3, True),
    "Optimizer's results": (1, True),
    "For a moment": (6, False),
}
AROUND = "CUDA context and margin"
FOR_A_MOMENT = "For a moment"
_AREAS: dict[str, str] = {  # parts that are one area of a plot
    "CUDA context": AROUND,
    "Fragmentation": AROUND,
    "Recomputed layer": FOR_A_MOMENT,
    "Gradients on their way": FOR_A_MOMENT,
    "Optimizer's results": FOR_A_MOMENT,
}


def color_of(name: str) -> tuple[int, bool]:
    """The place among the theme's colours, and whether it is a paler shade."""
    return COLORS.get(name, (6, False))


def area_of(name: str) -> str:
    """Which area of a plot a part belongs to."""
    return _AREAS.get(name, name)


def distinct(names: Sequence[str]) -> dict[str, int]:
    """Each its own colour; areas have no paler shades, so the paler ones take what is free."""
    found = {name: color for name in names for color, faint in [color_of(name)] if not faint}
    free = [color for color in FREE if color not in found.values()] or [7]
    for name in names:
        if name not in found:
            found[name] = free.pop(0) if len(free) > 1 else free[0]
    return {name: found[name] for name in names}
