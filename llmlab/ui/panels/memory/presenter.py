"""What the memory panel does: its tabs. No Qt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmlab.ui.panel import PanelContext
from llmlab.ui.panels.memory.calculator.presenter import Calculator
from llmlab.ui.panels.memory.formats.presenter import Formats
from llmlab.ui.panels.memory.measured.presenter import Measuring
from llmlab.ui.panels.memory.quantization.presenter import Quantization
from llmlab.ui.panels.memory.scaling.presenter import Scaling
from llmlab.ui.panels.memory.sharding.presenter import Sharding
from llmlab.ui.tabbed import TabbedPresenter, TabMaker

# In the order of the tabs; their pages are in view.py.
MAKERS: dict[str, TabMaker] = {
    "calculator": Calculator,
    "measured": Measuring,
    "quantization": Quantization,
    "sharding": Sharding,
    "formats": Formats,
    "scaling": Scaling,
}


class MemoryPresenter(TabbedPresenter):
    """Six instruments around one question: what does this model take, and what would it take elsewhere."""

    def __init__(self, context: PanelContext, pages: Mapping[str, Any]) -> None:
        super().__init__(context, MAKERS, pages)
