"""The tabs below the bars, and what a tab may ask of the panel. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from llmlab.engine.sorted_logits import SortedLogits
from llmlab.engine.types import ModelInfo
from llmlab.ui.panel import Desk, PanelContext
from llmlab.ui.panels.decoding.completions import Completions
from llmlab.ui.panels.decoding.copies import Copies
from llmlab.ui.panels.decoding.params import Params
from llmlab.ui.panels.decoding.picture import Picture
from llmlab.ui.panels.decoding.run import Run


class Playground(Protocol):
    """The presenter, to a tab."""

    params: Params
    completions: Completions
    copies: Copies
    desk: Desk

    @property
    def info(self) -> ModelInfo | None:
        """The loaded model."""

    @property
    def prompt(self) -> str:
        """The text that all panels share."""

    @property
    def run(self) -> Run | None:
        """The completion on screen."""

    @property
    def picture(self) -> Picture | None:
        """The distribution on screen."""

    @property
    def captured(self) -> SortedLogits | None:
        """The logits it was made of, if they are at hand."""

    @property
    def text_of(self) -> Callable[[int], str]:
        """What each token id stands for."""

    @property
    def place_title(self) -> str:
        """Which position the distribution belongs to."""

    def change(self, **changes: Any) -> None:
        """Turn knobs, or choose another tab."""

    def show_params(self) -> None:
        """Let the controls follow knobs that were not turned there."""


class Part(Protocol):
    """What is on one of the tabs."""

    def bring(self) -> None:
        """The tab is in front, and the prompt, the completion, the position or the settings may have changed.

        Called often: what has not changed is not shown again.
        """

    def close(self) -> None:
        """Deliver nothing more."""

    @property
    def busy(self) -> bool:
        """Whether something asked for is not on screen yet."""


PartMaker: TypeAlias = Callable[[PanelContext, Playground, Any], Part]  # the last is the tab's page
