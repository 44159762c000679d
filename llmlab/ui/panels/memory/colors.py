"""The colours of what takes memory: a component keeps its own from tab to tab. No Qt."""

from __future__ import annotations

# A place among the theme's series, and whether it is a paler shade of it.
COLORS: dict[str, tuple[int, bool]] = {
    "Weights": (0, False),
    "Parameters": (0, False),
    "Quantized weights": (0, False),
    "Weights left as they are": (0, True),
    "Scales and codebooks": (5, True),
    "16-bit copies": (0, True),
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
}


def color_of(name: str) -> tuple[int, bool]:
    """The place among the theme's colours, and whether it is a paler shade."""
    return COLORS.get(name, (6, False))
