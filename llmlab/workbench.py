"""What all panels share: one prompt and one loaded model. No Qt; used from the window's thread only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from llmlab.engine.errors import ModelLostError
from llmlab.engine.progress import Progress
from llmlab.engine.types import ModelInfo, ModelRequest

if TYPE_CHECKING:
    from llmlab.engine.session import Session
    from llmlab.jobs.job import ErrorInfo, JobControl
    from llmlab.jobs.worker import Jobs

T = TypeVar("T")


class Event(Generic[T]):
    """A list of functions to call with each new value."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[T], None]] = []

    def connect(self, listener: Callable[[T], None]) -> Callable[[], None]:
        """Call `listener` from now on; the returned function ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def emit(self, value: T) -> None:
        """Call every listener with `value`."""
        for listener in tuple(self._listeners):
            listener(value)


class Status(StrEnum):
    """What the shared model is doing."""

    EMPTY = "no model"
    LOADING = "loading"
    READY = "ready"


@dataclass(frozen=True, slots=True)
class ModelState:
    """The shared model as the window knows it.

    While another model loads, `info` is still the former one, if there is one. `error` is why the last attempt
    failed, until the next attempt. `generation` grows by one with every model that becomes ready: what was
    computed for an earlier generation is stale.
    """

    status: Status = Status.EMPTY
    info: ModelInfo | None = None
    request: ModelRequest | None = None  # what is loading
    progress: Progress | None = None
    error: ErrorInfo | None = None
    generation: int = 0

    @property
    def ready(self) -> bool:
        """Whether jobs can be given to the model."""
        return self.status is Status.READY


@dataclass(frozen=True, slots=True)
class Selection:
    """Characters `start` … `end` of the prompt that someone points at; `source` is who did."""

    start: int
    end: int
    source: object


@dataclass(frozen=True, slots=True)
class Completion:
    """What the loaded model made of a prompt: the generated ids, and the text they stand for."""

    prompt: str
    ids: tuple[int, ...]
    text: str


class Workbench:
    """Owner of the prompt, of the last completion, and of the knowledge which model is loaded."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._prompt = ""
        self._model = ModelState()
        self._completion: Completion | None = None
        self.prompt_changed: Event[str] = Event()
        self.model_changed: Event[ModelState] = Event()
        self.completion_changed: Event[Completion | None] = Event()
        self.selection_changed: Event[Selection] = Event()

    @property
    def prompt(self) -> str:
        """The text that the panels work on."""
        return self._prompt

    @prompt.setter
    def prompt(self, text: str) -> None:
        if text != self._prompt:
            self._prompt = text
            self.prompt_changed.emit(text)

    @property
    def completion(self) -> Completion | None:
        """What was generated last, as far as it has come; None once its model is gone."""
        return self._completion

    @completion.setter
    def completion(self, completion: Completion | None) -> None:
        if completion != self._completion:
            self._completion = completion
            self.completion_changed.emit(completion)

    def select(self, start: int, end: int, source: object) -> None:
        """Point at characters of the prompt, in code points; the editor and the panels mark them."""
        self.selection_changed.emit(Selection(start, end, source))

    @property
    def model(self) -> ModelState:
        """The loaded model, or what stands in its place."""
        return self._model

    def open_model(self, request: ModelRequest) -> None:
        """Load another model; one that is still loading is given up for it."""

        def work(session: Session, control: JobControl) -> ModelInfo:
            return session.open(request, control)

        self._set(status=Status.LOADING, request=request, progress=Progress("Preparing"), error=None)
        self._jobs.submit(
            self,
            "open",
            work,
            title="Opening the model",
            done=self._opened,
            failed=self._not_opened,
            stopped=lambda _: self._not_opened(None),
            progress=lambda progress: self._set(progress=progress),
            replace_running=True,
        )

    def cancel_open(self) -> None:
        """Give up the model that is loading; the former one stays."""
        self._jobs.cancel(self, "open")

    def _opened(self, info: ModelInfo) -> None:
        self.completion = None  # ids mean nothing to another model
        self._set(status=Status.READY, info=info, request=None, progress=None, generation=self._model.generation + 1)

    def _not_opened(self, error: ErrorInfo | None) -> None:
        lost = error is not None and error.kind == ModelLostError.__name__
        info = None if lost else self._model.info
        if lost:
            self.completion = None
        status = Status.READY if info else Status.EMPTY
        self._set(status=status, info=info, request=None, progress=None, error=error)

    def _set(self, **changes: Any) -> None:
        self._model = replace(self._model, **changes)
        self.model_changed.emit(self._model)
