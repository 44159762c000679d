"""The memory panel: what a model costs at every precision, predicted and measured, and what precision costs it."""

from __future__ import annotations

from llmlab.ui.panel import Panel, PanelContext, PanelSpec
from llmlab.ui.panels.memory.quantization.scenes import SCENES as QUANTIZATION


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
    scenes=(*QUANTIZATION,),
    prompt=False,
)
