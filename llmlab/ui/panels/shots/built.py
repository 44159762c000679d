"""What is built, which all tabs of the panel look at. No Qt."""

from __future__ import annotations

from llmlab.engine.datasets.project import Project
from llmlab.engine.shots.types import Example, PromptSpec
from llmlab.workbench import Event

NOTHING = Project(PromptSpec(template=""))


class Built:
    """The project of the moment. `changed` tells every other one."""

    def __init__(self) -> None:
        self._project = NOTHING
        self.changed: Event[Project] = Event()

    @property
    def project(self) -> Project:
        """Prompt, examples, query and test set."""
        return self._project

    @project.setter
    def project(self, project: Project) -> None:
        if project != self._project:
            self._project = project
            self.changed.emit(project)


def shots_of(project: Project) -> tuple[Example, ...]:
    """The examples that stand in the prompt: the ticked ones, as many as are wanted."""
    ticked = tuple(example for example in project.examples if example.included)
    return ticked if project.shots is None else ticked[: project.shots]
