"""The memory panel on screen."""

from __future__ import annotations

from llmlab.ui.panel import PanelContext
from llmlab.ui.panels.memory.calculator.page import CalculatorPage
from llmlab.ui.panels.memory.formats.page import FormatsPage
from llmlab.ui.panels.memory.measured.page import MeasuredPage
from llmlab.ui.panels.memory.presenter import MemoryPresenter
from llmlab.ui.panels.memory.quantization.page import QuantizationPage
from llmlab.ui.panels.memory.scaling.page import ScalingPage
from llmlab.ui.panels.memory.sharding.page import ShardingPage
from llmlab.ui.tabbed_view import Page, TabbedPanel

# In the order of the tabs; what decides on them is in presenter.py.
PAGES: dict[str, Page] = {
    "calculator": Page("Calculator", "What any model takes, from its architecture alone", CalculatorPage),
    "measured": Page("Measured", "What the model that is open really takes, beside the formulas", MeasuredPage),
    "quantization": Page("Quantization", "What fewer bits do to weights, predictions and texts", QuantizationPage),
    "sharding": Page("Sharding", "A model shared out over processes, for real", ShardingPage),
    "formats": Page("Formats", "The bits of any number in FP32, BF16, FP8, INT8, NF4 …", FormatsPage),
    "scaling": Page("Scaling laws", "Which size, how many tokens, for how much compute", ScalingPage),
}


class MemoryPanel(TabbedPanel):
    """Six instruments around one question."""

    def __init__(self, context: PanelContext) -> None:
        super().__init__(
            PAGES, "Calculator, measurements and laboratories", lambda pages: MemoryPresenter(context, pages)
        )
