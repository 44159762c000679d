"""Asks a copy of the model under every scheme, and keeps what they answer. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llmlab.engine.quantization.schemes import Scheme
from llmlab.engine.quantization.types import Question
from llmlab.jobs.job import ErrorInfo
from llmlab.ui.asking import Asking
from llmlab.ui.panels.memory.quantization.work import Asked, ask


class Copies:
    """`changed` is called when there is something new to show, `report` with what the work says of itself."""

    def __init__(self, asking: Asking, changed: Callable[[], None], report: Callable[[str], None]) -> None:
        self._asking = asking
        self._changed, self._report = changed, report
        self.asked: dict[Scheme, Asked] = {}
        self.question: Question | None = None  # that `asked` answers
        self.busy = False

    def measure(self, schemes: Sequence[Scheme], question: Question) -> None:
        """Ask under every scheme that has not been asked this yet."""
        if question != self.question:
            self.question, self.asked = question, {}
        todo = tuple(each for each in schemes if each not in self.asked or self.asked[each].error)
        if not todo:
            return
        self.busy = True
        self._asking.engine(
            self,
            "measure",
            lambda engine, control: ask(engine, control, todo, question),
            lambda _: self._ended(),
            title="Measuring what precision costs",
            failed=self._failed,
            stopped=self._ended,
            progress=lambda progress: self._report(progress.text),
            partial=self._answered,
        )
        self._changed()

    def stop(self) -> None:
        """End the measurement; what is known stays."""
        self._asking.cancel(self)

    def is_measured(self, schemes: Sequence[Scheme], question: Question | None) -> bool:
        """Whether every scheme has been asked this."""
        return question is not None and question == self.question and all(each in self.asked for each in schemes)

    def forget(self) -> None:
        """Another model: nothing is known of it."""
        self.stop()
        self.question, self.asked, self.busy = None, {}, False

    def close(self) -> None:
        """Deliver nothing more."""
        self._asking.forget(self)

    def _answered(self, found: tuple[Asked, ...]) -> None:
        self.asked |= {each.scheme: each for each in found}
        self._changed()

    def _ended(self) -> None:
        self.busy = False
        self._report("")
        self._changed()

    def _failed(self, error: ErrorInfo) -> None:
        self._asking.notifier.error(error)
        self._ended()
