"""The memory panel: what a model costs at every precision, predicted and measured, and what precision costs it."""

from __future__ import annotations

from llmlab.ui.panel import Panel, PanelContext, PanelSpec
from llmlab.ui.panels.memory.calculator.scenes import SCENES as CALCULATOR
from llmlab.ui.panels.memory.formats.scenes import SCENES as FORMATS
from llmlab.ui.panels.memory.measured.scenes import SCENES as MEASURED
from llmlab.ui.panels.memory.quantization.scenes import SCENES as QUANTIZATION
from llmlab.ui.panels.memory.scaling.scenes import SCENES as SCALING
from llmlab.ui.panels.memory.sharding.scenes import SCENES as SHARDING


def _create(context: PanelContext) -> Panel:
    from llmlab.ui.panels.memory.view import MemoryPanel

    return MemoryPanel(context)


PANEL = PanelSpec(
    name="memory",
    title="Memory",
    tooltip="What a model takes of a GPU's memory, and what fewer bits do to it",
    icon="memory",
    needs=frozenset(),
    create=_create,
    scenes=(*CALCULATOR, *MEASURED, *QUANTIZATION, *SHARDING, *FORMATS, *SCALING),
    prompt=False,
)
