"""What the presenter asks of the widgets. No Qt."""

from __future__ import annotations

from typing import Protocol

from llmlab.ui.panel import Desk
from llmlab.ui.panels.attention.heads import Heads
from llmlab.ui.panels.attention.params import Params
from llmlab.ui.panels.attention.screen import Screen


class View(Desk, Protocol):
    """What the presenter asks of the widgets besides the tabs."""

    def show(self, screen: Screen) -> None:
        """Show everything but the tabs."""

    def show_params(self, params: Params) -> None:
        """Set the controls, without a signal."""

    def show_heads(self, heads: Heads | None) -> None:
        """Show the grid of heads, and the one in focus."""
