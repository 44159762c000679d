"""The shots panel: prompts of an instruction, examples and a question, and what the examples change."""

from __future__ import annotations

from llmlab.engine.types import Feature
from llmlab.ui.panel import Panel, PanelContext, PanelSpec
from llmlab.ui.panels.shots.answer.scenes import SCENES as ANSWER
from llmlab.ui.panels.shots.build.files import takes
from llmlab.ui.panels.shots.build.scenes import SCENES as BUILD
from llmlab.ui.panels.shots.measure.scenes import SCENES as MEASURE


def _create(context: PanelContext) -> Panel:
    from llmlab.ui.panels.shots.view import ShotsPanel

    return ShotsPanel(context)


PANEL = PanelSpec(
    name="shots",
    title="Shots",
    tooltip="Build a prompt with zero, one or a few examples, and measure what they change",
    icon="shots",
    needs=frozenset((Feature.SCORE, Feature.GENERATE, Feature.FILL_MASK)),
    create=_create,
    scenes=(*BUILD, *ANSWER, *MEASURE),
    prompt=False,
    takes=takes,
)
