"""The pictures of the tab for `--snapshot`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llmlab.ui.panel import Scene

TAB = "formats"


def _prepare(number: str, chosen: str) -> Callable[[Any], None]:
    """Type a number and look at a format, as a user would."""

    def prepare(panel: Any) -> None:
        panel.choose(TAB)
        panel.pages[TAB].controls.number.setText(number)
        panel.presenter.tabs[TAB].change(number=number, chosen=chosen)

    return prepare


def _turn(panel: Any) -> None:
    _prepare("3.141592", "BF16")(panel)
    panel.presenter.tabs[TAB].flip("BF16", 5)


def _settled(panel: Any) -> bool:
    return bool(panel.presenter.settled)


SCENES = (
    Scene("formats", "bundled:decoder", "Once upon a time", _prepare("3.141592", "FP8 E4M3"), _settled),
    Scene("formats-bits", "bundled:decoder", "Once upon a time", _turn, _settled),
)
