"""Pictures of the quantization laboratory. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llmlab.ui.panel import Scene
from llmlab.ui.panels.memory.quantization.params import Sight, View

PROMPT = "Once upon a time, there was a little girl named Lily."


def _prepare(view: View, scheme: str = "NF4") -> Callable[[Any], None]:
    """Open the tab, as a user would, and look at a scheme."""

    def prepare(panel: Any) -> None:
        panel.choose("quantization")
        tab = panel.presenter.tabs["quantization"]
        tab.change(view=view)
        tab.select(1 + [each.name for each in tab.params.schemes].index(scheme))

    return prepare


def _measured(panel: Any) -> bool:
    """Once the weights are known, the copies are asked."""
    tab = panel.presenter.tabs["quantization"]
    if tab.busy:
        return False
    if not tab.is_measured:
        tab.measure()
        return False
    return True


def _parted(sight: Sight) -> Callable[[Any], None]:
    """Open the parts of the model."""

    def prepare(panel: Any) -> None:
        _prepare(View.SENSITIVITY)(panel)
        panel.presenter.tabs["quantization"].change(sight=sight)

    return prepare


def _all_parts(panel: Any) -> bool:
    """Once every part is measured, the curve is; then both are on screen."""
    tab = panel.presenter.tabs["quantization"]
    if tab.busy:
        return False
    if not tab.sensitivity.is_measured:
        tab.measure()
    elif not tab.sensitivity.is_mixed:
        tab.sensitivity.measure_mixed()
    return not tab.busy


SCENES = (
    Scene("quantization", "bundled:decoder", PROMPT, _prepare(View.WEIGHTS), _measured),
    Scene("quantization-damage", "bundled:decoder", PROMPT, _prepare(View.DAMAGE), _measured),
    Scene("quantization-text", "bundled:decoder", PROMPT, _prepare(View.TEXT), _measured),
    Scene("quantization-completions", "bundled:decoder", PROMPT, _prepare(View.COMPLETIONS, "FP4"), _measured),
    Scene("sensitivity", "bundled:decoder", PROMPT, _parted(Sight.PARTS), _all_parts),
    Scene("sensitivity-mixed", "bundled:decoder", PROMPT, _parted(Sight.MIXED), _all_parts),
)
