"""The shots panel on screen."""

from __future__ import annotations

from llmlab.ui.panel import PanelContext
from llmlab.ui.panels.shots.answer.page import AnswerPage
from llmlab.ui.panels.shots.build.page import BuildPage
from llmlab.ui.panels.shots.measure.page import MeasurePage
from llmlab.ui.panels.shots.presenter import ShotsPresenter
from llmlab.ui.tabbed_view import Page, TabbedPanel

# In the order of the tabs; what decides on them is in presenter.py.
PAGES: dict[str, Page] = {
    "build": Page("Build", "Instruction, template, examples and query, and the prompt that they make", BuildPage),
    "answer": Page("Answer", "What the model says to the query, and how sure it is of every label", AnswerPage),
    "measure": Page("Measure", "What the shots change, over a whole test set", MeasurePage),
}


class ShotsPanel(TabbedPanel):
    """Build a prompt, look at the answer, measure."""

    def __init__(self, context: PanelContext) -> None:
        super().__init__(PAGES, "Build, answer, measure", lambda pages: ShotsPresenter(context, pages))
