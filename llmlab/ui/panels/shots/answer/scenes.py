"""Pictures of the tab "Answer". No Qt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llmlab.ui.panel import Scene


def load(panel: Any, name: str) -> None:
    """Open a sample, as a user would in the tab "Build"."""
    from llmlab.engine.datasets import project
    from llmlab.engine.datasets.notes import Notes
    from llmlab.ui.panels.shots.build.samples import sample

    path = sample(name)
    panel.presenter.built.project = project.loads(path.name, path.read_text("utf-8"), Notes())


def _prepare(name: str, shots: int) -> Callable[[Any], None]:
    def prepare(panel: Any) -> None:
        load(panel, name)
        panel.choose("answer")
        panel.presenter.tabs["answer"].set_shots(shots)

    return prepare


def _completed(panel: Any) -> bool:
    """Once the labels are scored, the prompt is completed."""
    tab = panel.presenter.tabs["answer"]
    if tab.busy:
        return False
    if not tab.completion and tab.can_complete:
        tab.complete()
        return False
    return True


SCENES = (
    Scene("answer", "bundled:decoder", "", _prepare("invented-labels", 8), _completed),
    Scene("answer-cloze", "bundled:encoder", "", _prepare("girl-or-boy", 4), _completed),
    Scene("answer-text", "bundled:decoder", "", _prepare("lookup", 8), _completed),
)
