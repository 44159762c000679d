"""The prompt of the moment: asked of the model while it is built, shown when it comes. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from llmlab.engine.datasets.project import Project
from llmlab.engine.errors import InputError
from llmlab.engine.shots.compose import Composer
from llmlab.engine.shots.types import Form, Prompt, Rendered
from llmlab.engine.types import Architecture, ModelInfo
from llmlab.jobs.job import ErrorInfo, JobControl
from llmlab.ui.asking import Asking
from llmlab.ui.panels.shots.build import words
from llmlab.ui.panels.shots.build.screen import Shown
from llmlab.ui.panels.shots.built import shots_of

if TYPE_CHECKING:
    from llmlab.engine.engine import Engine

USE_CLOZE = ("Use the form cloze", "cloze")
USE_TEXT = ("Use the form text", "text")


class PromptPage(Protocol):
    """What the user sees of it."""

    def show_prompt(self, shown: Shown) -> None:
        """Show a prompt, or why there is none."""


class Prompting:
    """Composes and counts in the background; a newer project takes the place of one that waits."""

    def __init__(self, asking: Asking, page: PromptPage, model: Callable[[], ModelInfo | None]) -> None:
        self._asking = asking
        self._page = page
        self._model = model
        self._asked: tuple[object, ...] | None = None
        self.shown = Shown()
        self._wanted = self._answered = 0

    def want(self, project: Project, generation: int) -> None:
        """Show the prompt of `project`, made for the model of `generation`."""
        key = (project.spec, shots_of(project), project.query, generation, self._model() is not None)
        if key == self._asked:
            return
        self._asked = key
        self._wanted += 1
        number = self._wanted
        self._show(replace(self.shown, stale=True))

        def counted(found: tuple[Prompt, str]) -> None:
            self._answer(number, _counted(*found))

        def failed(error: ErrorInfo) -> None:
            self._answer(number, Shown(error=(error.message, error.hint), remedy=self._remedy(error)))

        if self._model() is None:
            self._asking.beside(
                self,
                "text",
                lambda control: _text(project, control),
                lambda text: self._answer(number, _alone(text)),
                failed,
                stopped=self._stopped,
            )
        else:
            self._asking.engine(
                self,
                "prompt",
                lambda engine, control: _prompt(engine, project, control),
                counted,
                title="Composing the prompt",
                failed=failed,
                stopped=self._stopped,
            )

    @property
    def busy(self) -> bool:
        """Whether the prompt that was wanted last is not there yet."""
        return self._answered < self._wanted

    def close(self) -> None:
        """Deliver nothing more."""
        self._asking.forget(self)

    def _answer(self, number: int, shown: Shown) -> None:
        """An older answer is shown while a newer one is on its way, never after it."""
        if number > self._answered:
            self._answered = number
            self._show(shown)

    def _stopped(self) -> None:
        self._answered, self._asked = self._wanted, None
        self._show(replace(self.shown, stale=False))

    def _remedy(self, error: ErrorInfo) -> tuple[str, str] | None:
        info = self._model()
        if info is None or "form" not in error.hint:
            return None
        return USE_CLOZE if info.architecture is Architecture.ENCODER else USE_TEXT

    def _show(self, shown: Shown) -> None:
        self.shown = shown
        self._page.show_prompt(shown)


def _counted(prompt: Prompt, dropped: str) -> Shown:
    rendered, budget = prompt.rendered, prompt.budget
    remark = dropped if budget.fits else words.too_long(budget)
    return Shown(rendered, budget, words.segments(rendered, budget), words.summary(rendered, budget), remark)


def _alone(rendered: Rendered) -> Shown:
    return Shown(rendered, summary="Tokens are counted once a model is open")


def _prompt(engine: Engine, project: Project, control: JobControl) -> tuple[Prompt, str]:
    from llmlab.engine.shots import budget

    control.check()
    prompt = budget.prompt(engine.loaded, project.spec, shots_of(project), project.query)
    return prompt, budget.dropped_in_words(prompt)


def _text(project: Project, control: JobControl) -> Rendered:
    """The text alone, without a model: a conversation needs the model's template."""
    control.check()
    if project.spec.form is Form.CHAT:
        raise InputError("A conversation is written by the model's chat template.", "Open a model to see the prompt.")
    mask = "[MASK]" if project.spec.form is Form.CLOZE else ""
    return Composer(project.spec, mask).compose(shots_of(project), project.query)
