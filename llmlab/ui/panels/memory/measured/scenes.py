"""Pictures of the tab for `--snapshot`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llmlab.ui.panel import Scene

if TYPE_CHECKING:
    from llmlab.ui.panels.memory.view import MemoryPanel


def _measure(phase: str, **changes: Any) -> Callable[[MemoryPanel], None]:
    def prepare(panel: MemoryPanel) -> None:
        panel.choose("measured")
        tab: Any = panel.presenter.tabs["measured"]
        tab.params = replace(tab.params, phase=phase, **changes)
        panel.pages["measured"].show_params(tab.params)
        tab.run()

    return prepare


def _empty(panel: MemoryPanel) -> None:
    panel.choose("measured")


def _measured(panel: MemoryPanel) -> bool:
    tab: Any = panel.presenter.tabs["measured"]
    return tab.found is not None and not tab.busy


SCENES = (
    Scene("measured-empty", "bundled:decoder", "", _empty, lambda panel: True),
    Scene("measured-prefill", "bundled:decoder", "", _measure("Prefill"), _measured),
    Scene("measured-decoding", "bundled:seq2seq", "", _measure("Decoding", batch=2), _measured),
    Scene("measured-training", "bundled:decoder", "", _measure("Training step", train=True), _measured),
)
