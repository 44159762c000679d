"""What the shots panel does: its tabs. No Qt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmlab.ui.panel import PanelContext
from llmlab.ui.panels.shots.answer.presenter import Answering
from llmlab.ui.panels.shots.build.presenter import BuildTab
from llmlab.ui.panels.shots.built import Built
from llmlab.ui.panels.shots.measure.presenter import Measuring
from llmlab.ui.tabbed import TabbedPresenter, TabMaker

# In the order of the tabs; their pages are in view.py.
MAKERS: dict[str, TabMaker] = {"build": BuildTab, "answer": Answering, "measure": Measuring}


class ShotsPresenter(TabbedPresenter):
    """Owns what is built, which all tabs look at."""

    def __init__(self, context: PanelContext, pages: Mapping[str, Any]) -> None:
        self.built = Built()  # before the tabs, which look at it
        super().__init__(context, MAKERS, pages)

    @property
    def in_front(self) -> bool:
        """Whether the panel is the one in front, which takes the files that are dropped."""
        return self._active
