"""The tab where a model with a chat template is talked to. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Protocol

from llmlab.engine.sampling import GenerationSettings
from llmlab.engine.types import Feature, GenerationStep, ModelInfo
from llmlab.jobs.job import ErrorInfo, JobControl
from llmlab.ui.panel import PanelContext
from llmlab.ui.panels.decoding.run import Outcome, Run
from llmlab.ui.panels.decoding.tabs import Playground

if TYPE_CHECKING:
    from llmlab.engine.chat import ChatPrompt
    from llmlab.engine.session import Session

USER, ASSISTANT, SYSTEM = "user", "assistant", "system"
NO_TEMPLATE = (
    "brings no chat template: it was not tuned on conversations. Open an instruction-tuned model to talk to it; any "
    "text can be continued under Completion."
)


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side said."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class ChatScreen:
    """All that the tab shows. `rendered` is what was read for the last answer, or would be for the next."""

    turns: tuple[Turn, ...] = ()
    answering: bool = False
    reason: str = "No model is ready yet."  # why nothing can be said
    status: str = ""
    rendered: str = ""
    tokens: int = 0  # of it
    can_use: bool = False  # it can be the shared prompt
    can_retry: bool = False


class ChatView(Protocol):
    """What is asked of the tab."""

    def show_chat(self, screen: ChatScreen) -> None:
        """Show the conversation."""

    def show_typed(self, text: str) -> None:
        """Put `text` where the user types."""


@dataclass(slots=True)
class _Talk:
    """The conversation with one model."""

    turns: list[Turn] = field(default_factory=list)
    run: Run | None = None  # the last answer
    retries: int = 0  # of it


class Conversing:
    """Renders the conversation with the model's own template, and lets the model answer."""

    def __init__(self, context: PanelContext, playground: Playground, view: ChatView) -> None:
        self._jobs = context.jobs
        self._tell = context.notifier.error
        self._workbench = context.workbench
        self._playground = playground
        self._view = view
        self._generation = -1
        self._has_template: bool | None = None  # None while it is not known
        self._talk = _Talk()
        self._rendered: ChatPrompt | None = None
        self._screen: ChatScreen | None = None
        self._pending: set[str] = set()  # keys of questions under way
        self._in_flight: Run | None = None  # the answer under way

    @property
    def busy(self) -> bool:
        """Whether something asked for is not on screen yet."""
        return bool(self._pending) or self._answering

    def bring(self) -> None:
        """The tab is in front: find out whether the model can be talked to."""
        model = self._workbench.model
        if model.generation != self._generation:
            self._generation = model.generation
            self._jobs.cancel(self)
            self._pending.clear()
            self._talk, self._rendered, self._has_template, self._in_flight = _Talk(), None, None, None
        if self._has_template is None and self._can_speak and "template" not in self._pending:
            self._ask("template", lambda session, _: session.engine.has_chat_template, self._template_known)
        self._show()

    def close(self) -> None:
        """Deliver nothing more."""
        self._jobs.forget(self)

    # --- what the user does ---------------------------------------------------------------------------------

    @property
    def system(self) -> str:
        """What the model is told before the conversation."""
        return self._playground.params.system

    def set_system(self, text: str) -> None:
        """Tell the model something else before the conversation; it holds from the next answer on."""
        if text != self.system:
            self._playground.change(system=text)
            self._rendered = None
            self._show()

    def send(self, text: str) -> None:
        """The user says `text`, and the model answers."""
        if text.strip() and not self._reason and not self._answering:
            self._talk.turns.append(Turn(USER, text))
            self._talk.retries = 0
            self._answer()

    def retry(self) -> None:
        """Another answer to the same words, with the next seed."""
        if self._can_retry:
            self._forget_answer()
            self._talk.retries += 1
            self._answer()

    def take_back(self) -> None:
        """The user's last words come back to be written otherwise, and what was answered goes."""
        if self._can_retry:
            self._forget_answer()
            self._view.show_typed(self._talk.turns.pop().text)
            self._rendered, self._talk.run = None, None
            self._show()

    def stop(self) -> None:
        """End the answer; what is there stays."""
        self._jobs.cancel(self, "answer")

    def clear(self) -> None:
        """Begin anew."""
        self.stop()
        self._talk, self._rendered, self._in_flight = _Talk(), None, None
        self._show()

    def render(self) -> None:
        """Show what the model reads, or would read now."""
        if self._rendered is not None or self._reason or not self._messages:
            return
        messages = self._messages

        def done(rendered: ChatPrompt) -> None:
            self._rendered = rendered
            self._show()

        self._ask("render", lambda session, _: session.engine.chat_prompt(messages), done)

    def use(self) -> None:
        """Make the rendered conversation the prompt of all panels."""
        if self._rendered is not None and self._rendered.plain is not None:
            self._workbench.prompt = self._rendered.plain

    def copy(self, what: str) -> None:
        """The "conversation" or the "rendered" prompt to the clipboard."""
        if what == "rendered":
            self._playground.desk.copy(self._rendered.text if self._rendered is not None else "")
        else:
            self._playground.desk.copy("\n".join(f"{each['role']}: {each['content']}" for each in self._messages))

    # --- answering ------------------------------------------------------------------------------------------

    def _answer(self) -> None:
        info, talk, messages = self._playground.info, self._talk, self._messages
        assert info is not None
        settings = self._playground.params.generation
        settings = replace(settings, seed=settings.seed + talk.retries)
        run = talk.run = Run("", settings, info)
        talk.turns.append(Turn(ASSISTANT, ""))

        def came(parts: Sequence[ChatPrompt | GenerationStep]) -> None:
            if run is self._talk.run:
                self._add(run, parts)

        def ended(outcome: Outcome) -> None:
            run.outcome = outcome
            if run is self._in_flight:
                self._in_flight = None
            self._show()

        def failed(error: ErrorInfo) -> None:
            ended(Outcome.FAILED)
            if run is self._talk.run and not run.steps:  # nothing was said: the words can be mended
                self.take_back()
            self._tell(error)

        self._in_flight = run
        self._jobs.submit(
            self,
            "answer",
            answering(messages, settings),
            title="Answering",
            partial=came,
            done=lambda _: ended(Outcome.FINISHED),
            stopped=lambda _: ended(Outcome.STOPPED),
            failed=failed,
            replace_running=True,
        )
        self._show()

    def _add(self, run: Run, parts: Sequence[ChatPrompt | GenerationStep]) -> None:
        for part in parts:
            if isinstance(part, GenerationStep):
                run.steps.append(part)
            else:
                self._rendered = part
        self._talk.turns[-1] = Turn(ASSISTANT, run.text)
        self._show()

    def _forget_answer(self) -> None:
        if self._talk.turns[-1].role == ASSISTANT:
            self._talk.turns.pop()

    def _template_known(self, has_template: bool) -> None:
        self._has_template = has_template
        self._show()

    def _ask(self, key: str, work: Callable[[Session, JobControl], Any], done: Callable[[Any], None]) -> None:
        generation = self._generation

        def answered(value: Any) -> None:
            if generation == self._generation:
                self._pending.discard(key)
                done(value)

        def failed(error: ErrorInfo) -> None:
            answered_not()
            self._tell(error)

        def answered_not(_: Any = None) -> None:
            if generation == self._generation:
                self._pending.discard(key)

        self._pending.add(key)
        self._jobs.submit(
            self, key, work, title="Reading the conversation", done=answered, failed=failed, stopped=answered_not
        )

    # --- what is shown --------------------------------------------------------------------------------------

    @property
    def _messages(self) -> list[dict[str, str]]:
        system = [Turn(SYSTEM, self.system)] if self.system.strip() else []
        return [{"role": turn.role, "content": turn.text} for turn in (*system, *self._talk.turns)]

    @property
    def _answering(self) -> bool:
        return self._in_flight is not None

    @property
    def _can_speak(self) -> bool:
        info = self._playground.info
        return self._workbench.model.ready and info is not None and Feature.GENERATE in info.features

    @property
    def _can_retry(self) -> bool:
        return bool(self._talk.turns) and not self._answering and not self._reason

    @property
    def _reason(self) -> str:
        info: ModelInfo | None = self._playground.info
        if info is None or not self._workbench.model.ready:
            return "No model is ready yet."
        if Feature.GENERATE not in info.features:
            return f"{info.name} fills masks: it cannot answer."
        if self._has_template is None:
            return "Looking for the model's chat template."
        return "" if self._has_template else f"{info.name} {NO_TEMPLATE}"

    def _show(self) -> None:
        talk, rendered = self._talk, self._rendered
        seed = f" · seed {talk.run.settings.seed}" if talk.run and not talk.run.settings.sampling.greedy else ""
        screen = ChatScreen(
            turns=tuple(talk.turns),
            answering=self._answering,
            reason=self._reason,
            status=f"{talk.run.status}{seed}" if talk.run is not None else "",
            rendered=rendered.text if rendered is not None else "",
            tokens=len(rendered.ids) if rendered is not None else 0,
            can_use=rendered is not None and rendered.plain is not None,
            can_retry=self._can_retry,
        )
        if screen != self._screen:
            self._screen = screen
            self._view.show_chat(screen)


def answering(
    messages: Sequence[dict[str, str]], settings: GenerationSettings
) -> Callable[[Session, JobControl], None]:
    """The work of one answer: it emits the rendered conversation, and then the steps."""

    def work(session: Session, control: JobControl) -> None:
        rendered = session.engine.chat_prompt(messages)
        control.emit(rendered)
        sampling = settings.sampling
        for step in session.engine.generate(
            rendered.text,
            max_new_tokens=settings.max_new_tokens,
            seed=settings.seed,
            stop=settings.stop,
            overflow=settings.overflow,
            cuda_graphs=settings.cuda_graphs,
            add_special_tokens=False,
            control=control,
            **{knob.name: getattr(sampling, knob.name) for knob in fields(sampling)},
        ):
            control.emit(step)

    return work
