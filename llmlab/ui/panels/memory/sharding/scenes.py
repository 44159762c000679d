"""Pictures of the tab for `--snapshot`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from llmlab.ui.panel import Scene

if TYPE_CHECKING:
    from llmlab.ui.panels.memory.view import MemoryPanel


def _run(**changes: Any) -> Callable[[MemoryPanel], None]:
    def prepare(panel: MemoryPanel) -> None:
        panel.choose("sharding")
        tab: Any = panel.presenter.tabs["sharding"]
        tab.change(changes)
        panel.pages["sharding"].show_params(tab.params)
        tab.run()

    return prepare


def _empty(panel: MemoryPanel) -> None:
    panel.choose("sharding")


def _done(panel: MemoryPanel) -> bool:
    tab: Any = panel.presenter.tabs["sharding"]
    return tab.found is not None and not tab.busy


SCENES = (
    Scene("sharding-empty", "bundled:decoder", "", _empty, lambda panel: True),
    Scene("sharding", "bundled:decoder", "", _run(), _done),
)
