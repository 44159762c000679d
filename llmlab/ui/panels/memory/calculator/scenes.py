"""The calculator's pictures for `--snapshot`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llmlab.ui.panel import Scene
from llmlab.ui.panels.memory.calculator.params import LISTED, MARKED

LLAMA = f"{LISTED}meta-llama/Meta-Llama-3-8B"
TAB = "calculator"


def _prepare(**changes: Any) -> Callable[[Any], None]:
    """Choose the settings as a user would."""

    def prepare(panel: Any) -> None:
        panel.choose(TAB)
        tab = panel.presenter.tabs[TAB]
        settings = {"source": LLAMA, "purpose": "inference", "page": "parts", "gpus": 1, "strategy": "DDP"}
        tab.change(marked=("Main memory (CPU)", *MARKED), **(settings | changes))
        panel.pages[TAB].show_params(tab.params, tab.shape)

    return prepare


def _settled(panel: Any) -> bool:
    return bool(panel.presenter.settled)


def _measure(panel: Any) -> None:
    _prepare(page="speed", source="", tokens=512)(panel)


def _measured(panel: Any) -> bool:
    """The loaded model's speed, once its shape is known."""
    tab = panel.presenter.tabs[TAB]
    if tab.busy:
        return False
    if tab.measured is None:
        tab.measure()
        return False
    return True


def _scene(name: str, **changes: Any) -> Scene:
    return Scene(f"calculator-{name}", "bundled:decoder", "Once upon a time", _prepare(**changes), _settled)


SCENES = (
    _scene("parts"),
    _scene("training", purpose="training", tokens=2048, batch=2, gpus=8, strategy="ZeRO-3", checkpointing="full"),
    _scene("phases", page="phases", purpose="training", tokens=2048, batch=2, checkpointing="full"),
    _scene("gpus", page="gpus", tokens=8192),
    _scene("contour", page="contour", tokens=8192, batch=4),
    _scene("sharing", page="sharing", purpose="training", tokens=2048, gpus=64, strategy="ZeRO-3"),
    _scene("rules", page="rules", purpose="training", tokens=1024, gpus=8, strategy="ZeRO-2"),
    Scene("calculator-speed", "bundled:decoder", "Once upon a time, there was a", _measure, _measured),
)
