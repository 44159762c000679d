"""Looks at the weights: at every matrix under every scheme, and into the one that is selected. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llmlab.engine.quantization.parts import Parts, parts_of
from llmlab.engine.quantization.schemes import Scheme
from llmlab.engine.quantization.types import MatrixDetail
from llmlab.jobs.job import ErrorInfo
from llmlab.ui.asking import Asking
from llmlab.ui.panels.memory.quantization.work import Weighed, look, weigh


class Weights:
    """`schemes` tells which are compared; `changed` and `report` as of `Copies`."""

    def __init__(
        self,
        asking: Asking,
        schemes: Callable[[], Sequence[Scheme]],
        changed: Callable[[], None],
        report: Callable[[str], None],
    ) -> None:
        self._asking = asking
        self._schemes, self._changed, self._report = schemes, changed, report
        self.known: dict[Scheme, Weighed] = {}
        self.parts: Parts | None = None  # the model taken apart, once its matrices are known
        self.selected = Scheme("nf4")
        self.matrix = ""  # that is looked into
        self.error: ErrorInfo | None = None  # of the model, whatever the scheme
        self.held = False  # whether the weights are looked at only when the user says so
        self._detail: MatrixDetail | None = None
        self._pending: set[str] = set()  # keys of the jobs that are on their way

    @property
    def busy(self) -> bool:
        """Whether something asked for is not on screen yet."""
        return bool(self._pending)

    @property
    def weighing(self) -> bool:
        """Whether some schemes have not been looked at yet, but are."""
        return "weigh" in self._pending

    @property
    def shown(self) -> list[Scheme]:
        """The schemes that something is known of."""
        return [each for each in self._schemes() if each in self.known and self.known[each].damage is not None]

    @property
    def detail(self) -> MatrixDetail | None:
        """The selected matrix under the selected scheme, once it has been looked into."""
        detail = self._detail
        if detail is None or (detail.scheme, detail.damage.name) != (self.selected, self.matrix):
            return None
        return detail

    def weigh(self) -> None:
        """Look at all matrices under every scheme that is new."""
        todo = tuple(scheme for scheme in self._schemes() if scheme not in self.known)
        if not todo or self.held or self.error:
            return
        self._pending.add("weigh")
        self._asking.engine(
            self,
            "weigh",
            lambda engine, control: weigh(engine, control, todo),
            lambda _: self._all_weighed(),
            title="Looking at the weights",
            failed=self._refused,
            stopped=self._hold,
            progress=lambda progress: self._report(progress.text),
            partial=self._add,
        )

    def look(self) -> None:
        """Ask for the selected matrix, where it is not the one on screen."""
        scheme, name = self.selected, self.matrix
        known = self.known.get(scheme)
        if not name or known is None or known.damage is None or self.detail is not None:
            return
        self._pending.add("look")
        self._asking.engine(
            self,
            "look",
            lambda engine, _control: look(engine, scheme, name),
            self._looked,
            title="Looking into a matrix",
            failed=self._failed,
            stopped=lambda: self._ended("look"),
        )

    def choose(self, scheme: Scheme, matrix: str) -> None:
        """Look into a matrix under a scheme."""
        self.selected, self.matrix = scheme, matrix
        self.look()
        self._changed()

    def forget(self) -> None:
        """Another model: nothing is known of it."""
        self._asking.cancel(self)
        self.known, self.parts, self.error, self._detail, self.matrix = {}, None, None, None, ""
        self._pending.clear()

    def close(self) -> None:
        """Deliver nothing more."""
        self._asking.forget(self)

    def _add(self, found: tuple[Weighed, ...]) -> None:
        self.known |= {each.scheme: each for each in found}
        names = next(([each.name for each in weighed.damage.matrices] for weighed in found if weighed.damage), [])
        if names and self.parts is None:
            self.parts = parts_of(names)
            self.matrix = self.matrix or names[0]
        if any(each.scheme == self.selected for each in found):
            self.look()
        self._changed()

    def _hold(self) -> None:
        """Stopped: nothing more is looked at until the user wants it."""
        self.held = True
        self._ended("weigh")

    def _all_weighed(self) -> None:
        """What was chosen meanwhile is looked at next."""
        self._pending.discard("weigh")
        self._report("")
        self.weigh()
        self._changed()

    def _looked(self, detail: MatrixDetail) -> None:
        self._detail = detail
        self._pending.discard("look")
        self.look()
        self._changed()

    def _ended(self, key: str) -> None:
        self._pending.discard(key)
        self._report("")
        self._changed()

    def _failed(self, error: ErrorInfo) -> None:
        self._asking.notifier.error(error)
        self._ended("look")

    def _refused(self, error: ErrorInfo) -> None:
        """Nothing can be said of this model."""
        self.error = error
        self._pending.clear()
        self._changed()
