"""The colours of what takes memory: areas of one plot can be told apart."""

from __future__ import annotations

from llmlab.ui import theme
from llmlab.ui.panels.memory.colors import COLORS, SERIES, area_of, distinct

SHARDED = (  # all that a training step on many GPUs can show at once
    "Weights",
    "Gradients",
    "Optimizer states",
    "Logits and loss",
    "For a moment",
    "16-bit copies",
    "Gathered weights",
    "Activations",
    "CUDA context and margin",
)


def test_every_area_of_a_plot_has_a_colour_of_its_own() -> None:
    assert {area_of(name) for name in SHARDED} == set(SHARDED)
    found = distinct(SHARDED)
    assert list(found) == list(SHARDED)
    assert len(set(found.values())) == len(SHARDED)
    assert found["Weights"] == COLORS["Weights"][0], "its colour everywhere else"


def test_the_theme_has_so_many_colours() -> None:
    assert len(theme.LIGHT.series) == len(theme.DARK.series) == SERIES
    assert all(place < SERIES for place, _ in COLORS.values())
