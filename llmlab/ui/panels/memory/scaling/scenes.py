"""Pictures of the scaling laws. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llmlab.ui.panel import Scene
from llmlab.ui.panels.memory.scaling.params import View

PROMPT = "Once upon a time, there was a little girl named Lily."


def _prepare(view: View, **changes: Any) -> Callable[[Any], None]:
    def prepare(panel: Any) -> None:
        panel.choose("scaling")
        panel.presenter.tabs["scaling"].change(view=view, **changes)

    return prepare


def _settled(panel: Any) -> bool:
    return bool(panel.presenter.settled)


SCENES = (
    Scene("scaling", "bundled:decoder", PROMPT, _prepare(View.SIZE, own=False), _settled),
    Scene("scaling-compute", "bundled:decoder", PROMPT, _prepare(View.COMPUTE, own=False), _settled),
    Scene("scaling-loss", "bundled:decoder", PROMPT, _prepare(View.LOSS, own=True, size=7.0), _settled),
)
