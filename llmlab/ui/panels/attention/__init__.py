"""The attention panel: what every head of every layer looks at, in the text that the model reads."""

from __future__ import annotations

from llmlab.engine.types import Feature
from llmlab.ui.panel import Panel, PanelContext, PanelSpec


def _create(context: PanelContext) -> Panel:
    from llmlab.ui.panels.attention.view import AttentionPanel

    return AttentionPanel(context)


PANEL = PanelSpec(
    name="attention",
    title="Attention",
    tooltip="What each token looks at, in every head",
    icon="attention",
    needs=frozenset((Feature.ATTENTION,)),
    create=_create,
    scenes=(),
)
