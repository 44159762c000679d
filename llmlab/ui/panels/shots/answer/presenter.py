"""What the tab "Answer" does. No Qt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from llmlab.engine.shots.results import Answered, LabelScores
from llmlab.engine.shots.types import Example, PromptSpec
from llmlab.engine.types import Feature, ModelInfo
from llmlab.jobs.job import ErrorInfo, JobControl
from llmlab.ui.panel import Desk, PanelContext
from llmlab.ui.panels.shots import python
from llmlab.ui.panels.shots.answer.params import Params
from llmlab.ui.panels.shots.answer.picture import Picture, Screen, json_text, picture, table_text
from llmlab.ui.panels.shots.built import Built, shots_of
from llmlab.ui.screen import Kind, Stage, without_model

if TYPE_CHECKING:
    from llmlab.engine.engine import Engine
    from llmlab.ui.panels.shots.presenter import ShotsPresenter

READY = Stage(Kind.READY)
LOADING = Stage(Kind.LOADING, "The labels are being scored")
NOTHING = Stage(Kind.EMPTY, "Nothing is built yet", "Write a prompt in the tab Build, or open a sample there.")


class AnswerView(Desk, Protocol):
    """What is asked of the tab's widget."""

    def show_screen(self, screen: Screen) -> None:
        """Show what stands around the picture."""

    def show_params(self, params: Params) -> None:
        """Show how scores are read."""

    def show_picture(self, shown: Picture) -> None:
        """Show the labels."""

    def begin_completion(self, prompt: str) -> None:
        """A new text after `prompt`."""

    def add_completion(self, text: str) -> None:
        """The text goes on."""


class Answering:
    """Scores the labels of what is built whenever it changes; completes the prompt when asked."""

    def __init__(
        self, context: PanelContext, panel: ShotsPresenter, page: AnswerView, saved: Mapping[str, Any]
    ) -> None:
        self._bench, self._asking, self._panel, self._view = context.workbench, panel.asking, panel, page
        self._notifier = context.notifier
        self._built: Built = panel.built
        self.params = Params.from_dict(saved)
        self.answered: Answered | None = None
        self.picture = Picture()
        self.completion = ""
        self.item: int | None = None
        self._every: tuple[tuple[int, LabelScores], ...] = ()
        self._asked: tuple[Any, ...] | None = None
        self._stage: Stage | None = None
        self._screen: Screen | None = None
        self._scoring = self._completing = self._brought = False
        self._disconnect = self._built.changed.connect(lambda _: self._changed())
        page.show_params(self.params)

    @property
    def busy(self) -> bool:
        """Whether something asked for is not on screen yet."""
        return self._scoring or self._completing

    @property
    def can_complete(self) -> bool:
        """Whether there is a prompt that the model could continue."""
        return self._screen is not None and self._screen.can_complete

    @property
    def completing(self) -> bool:
        """Whether a text is being written."""
        return self._completing

    def bring(self) -> None:
        """The tab is in front, or the model or what is built has changed."""
        self._brought = True
        project = self._built.project
        if self.item is not None and self.item >= len(project.test):
            self.item = None
        asked = (self._bench.model.generation, project.spec, shots_of(project), self._query)
        if asked == self._asked:
            self._show()
            return
        self._asked = asked
        self._forget_answer()
        if self._info is not None and project.spec.template:
            self._scoring, self._stage = True, LOADING
            self._asking.engine(
                self,
                "score",
                _score(*asked[1:]),
                lambda every: self._came_every(asked, every),
                title="Scoring labels",
                failed=lambda error: self._failed(asked, error),
                stopped=lambda: self._stopped(asked),
                partial=lambda parts: self._came(asked, parts[-1]),
            )
        self._show()

    def save(self) -> dict[str, Any]:
        """The settings to find again."""
        return self.params.to_dict()

    def close(self) -> None:
        """Deliver nothing more."""
        self._disconnect()
        self._asking.forget(self)

    # --- what the user does ---------------------------------------------------------------------------------------

    def change(self, changes: Mapping[str, Any]) -> None:
        """Read the scores differently; the model is not asked again."""
        self.params = replace(self.params, **changes)
        self._show_picture()

    def set_shots(self, count: int) -> None:
        """Use the first `count` of the ticked examples."""
        ticked = sum(example.included for example in self._built.project.examples)
        self._built.project = replace(self._built.project, shots=None if count >= ticked else count)

    def set_item(self, item: int | None) -> None:
        """Ask an item of the test set, or the project's query."""
        self.item = item
        self.bring()

    def step_item(self, by: int) -> None:
        """The next or the former item; before the first one is the project's query."""
        place = (-1 if self.item is None else self.item) + by
        count = len(self._built.project.test)
        self.set_item(None if place < 0 else min(place, count - 1) if count else None)

    def complete(self) -> None:
        """Write what the model says after the prompt, the most probable token each time."""
        if not self.can_complete or self.answered is None:
            return
        self._completing, self.completion = True, ""
        self._view.begin_completion(self.answered.prompt.rendered.text)
        self._asking.engine(
            self,
            "complete",
            _complete(self._built.project.spec, self.answered.prompt.rendered.text),
            self._completed,
            title="Completing the prompt",
            failed=self._not_completed,
            stopped=lambda: self._completed(None),
            partial=self._add,
            replace_running=True,
        )
        self._show()

    def stop(self) -> None:
        """End the text; what is written stays."""
        self._asking.cancel(self, "complete")

    def send(self) -> None:
        """Make the prompt the one that the other panels show."""
        if self.answered is not None:
            self._bench.prompt = self.answered.prompt.rendered.text
            self._notifier.say("The prompt now stands in Tokens, Attention and Decoding.", "They share one prompt.")

    def export(self, kind: str) -> None:
        """The labels: "copy" to the clipboard, "csv" or "json" to a file; "prompt" is the text, "python" a script."""
        if self.answered is None:
            return
        shown, answered = self.picture, self.answered
        if kind == "copy":
            self._view.copy(table_text(shown, "\t"))
        elif kind == "prompt":
            self._view.copy(answered.prompt.rendered.text)
        elif kind == "python" and self._info is not None:
            self._view.copy(python.answer_script(self._info, answered.prompt.rendered))
        elif kind in ("csv", "json"):
            text = table_text(shown) if kind == "csv" else json_text(shown, answered, self.params)
            self._view.ask_path(f"labels.{kind}", (kind,), lambda path: self._asking.write(path, lambda: text))

    # --- what comes back ------------------------------------------------------------------------------------------

    def _changed(self) -> None:
        if self._brought and self._panel.front is self:
            self.bring()

    def _came(self, asked: object, answered: Answered) -> None:
        if asked is self._asked:  # otherwise a newer one is on its way
            self.answered, self._stage = answered, None
            self._view.begin_completion(answered.prompt.rendered.text)
            self._show_picture()
            self._show()

    def _came_every(self, asked: object, every: tuple[tuple[int, LabelScores], ...]) -> None:
        if asked is self._asked:
            self._every, self._scoring = every, False
            self._show_picture()
            self._ended(None)

    def _failed(self, asked: object, error: ErrorInfo) -> None:
        if asked is self._asked:
            self._ended(Stage(Kind.ERROR, error.message, error.hint))

    def _stopped(self, asked: object) -> None:
        if asked is self._asked:
            words, again = "The labels were not scored.", (("Score again", "again"),)
            self._ended(None if self.answered else Stage(Kind.EMPTY, "Stopped", words, actions=again))
            self._show_picture()

    def _ended(self, stage: Stage | None) -> None:
        self._scoring, self._stage = False, stage
        self._show()

    def act(self, name: str) -> None:
        """A button in the picture's place."""
        if name == "again":
            self._asked = None
            self.bring()

    def _add(self, texts: tuple[str, ...]) -> None:
        if self._completing:
            text = "".join(texts)
            self.completion += text
            self._view.add_completion(text)

    def _completed(self, _: object) -> None:
        self._completing = False
        self._show()

    def _not_completed(self, error: ErrorInfo) -> None:
        self._completing = False
        self._notifier.error(error)
        self._show()

    def _forget_answer(self) -> None:
        if self._completing:
            self._asking.cancel(self, "complete")
        self.answered, self._every, self._stage = None, (), None
        self._scoring = self._completing = False
        self.completion = ""
        self._view.begin_completion("")
        self._show_picture()

    # --- what is shown --------------------------------------------------------------------------------------------

    @property
    def _info(self) -> ModelInfo | None:
        return self._bench.model.info if self._bench.model.ready else None

    @property
    def _query(self) -> Example:
        project = self._built.project
        return project.query if self.item is None else project.test[self.item]

    def _show_picture(self) -> None:
        answered, waiting = self.answered, self._scoring
        self.picture = picture(answered, self._every, self.params, waiting=waiting) if answered else Picture()
        self._view.show_picture(self.picture)

    def _show(self) -> None:
        info, project = self._info, self._built.project
        if info is None:
            stage = without_model(self._bench.model)
        elif not project.spec.template:
            stage = NOTHING
        else:
            stage = self._stage or READY
        answered = self.answered
        screen = Screen(
            stage=stage,
            query=" · ".join(text for _, text in self._query.fields),
            note=self.picture.headline,
            shots=len(shots_of(project)),
            ticked=sum(example.included for example in project.examples),
            item=self.item,
            items=len(project.test),
            has_labels=answered is not None and answered.scores is not None,
            can_complete=answered is not None and info is not None and Feature.GENERATE in info.features,
            completing=self._completing,
            completes=info is None or Feature.GENERATE in info.features,
            can_send=answered is not None,
            facts=_facts(answered),
        )
        if screen != self._screen:
            self._screen = screen
            self._view.show_screen(screen)


def _facts(answered: Answered | None) -> tuple[tuple[str, str, str], ...]:
    if answered is None:
        return ()
    budget, rendered = answered.prompt.budget, answered.prompt.rendered
    facts = [
        ("Prompt", f"{budget.tokens:,} tokens", "All tokens of the prompt, those the tokenizer adds included"),
        ("Shots", f"{len(rendered.used):,}", "Examples that stand in the prompt"),
    ]
    if rendered.dropped:
        facts.append(("Left out", f"{len(rendered.dropped):,} shots", "They found no room in the context window"))
    if budget.left is not None:
        facts.append(("Room left", f"{budget.left:,} tokens", "What the context window still holds after the prompt"))
    return tuple(facts)


def _score(spec: PromptSpec, shots: tuple[Example, ...], query: Example) -> Any:
    """Emits the answer, and then finds out what it is with every number of shots."""

    def work(engine: Engine, control: JobControl) -> tuple[tuple[int, LabelScores], ...]:
        from llmlab.engine.shots.answer import answer, with_every_shot

        answered = answer(engine.loaded, spec, shots, query, control)
        control.emit(answered)
        control.flush()
        if answered.scores is None or not shots:
            return ()
        return with_every_shot(engine.loaded, spec, shots, query, control)

    return work


def _complete(spec: PromptSpec, text: str) -> Any:
    def work(engine: Engine, control: JobControl) -> None:
        from llmlab.engine.shots.completion import stops

        room = max(1, spec.room)
        for step in engine.generate(text, max_new_tokens=room, do_sample=False, stop=stops(spec), control=control):
            control.report(f"Token {step.index + 1} of at most {room}", (step.index + 1) / room)
            control.emit(step.text)

    return work
