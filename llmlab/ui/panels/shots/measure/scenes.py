"""Pictures of the tab "Measure". No Qt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llmlab.ui.panel import Scene
from llmlab.ui.panels.shots.answer.scenes import load


def _prepare(test: str, name: str, shots: int | None = None, **changes: Any) -> Callable[[Any], None]:
    def prepare(panel: Any) -> None:
        from llmlab.ui.panels.shots.measure.params import Comparison

        kind = Comparison[test]
        load(panel, name)
        if shots is not None:
            panel.presenter.tabs["answer"].set_shots(shots)
        panel.choose("measure")
        tab = panel.presenter.tabs["measure"]
        if kind is Comparison.VARIANTS:
            tab.keep_variant()
            panel.presenter.tabs["answer"].set_shots(8)
        tab.change({"test": kind, **changes})

    return prepare


def _measured(panel: Any) -> bool:
    """Once it stands, it is measured."""
    tab = panel.presenter.tabs["measure"]
    if tab.busy:
        return False
    if not tab.is_measured:
        tab.run()
        return False
    return True


SCENES = (
    Scene("measure", "bundled:decoder", "", _prepare("SWEEP", "invented-labels"), _measured),
    Scene("measure-order", "bundled:decoder", "", _prepare("ORDER", "topic", 4), _measured),
    Scene("measure-influence", "bundled:decoder", "", _prepare("LEAVE_ONE_OUT", "topic", 8), _measured),
    Scene("measure-swap", "bundled:decoder", "", _prepare("SWAP", "invented-labels", 8), _measured),
    Scene("measure-variants", "bundled:decoder", "", _prepare("VARIANTS", "invented-labels", 2), _measured),
    Scene("measure-text", "bundled:decoder", "", _prepare("SWEEP", "lookup", seeds=2), _measured),
)
