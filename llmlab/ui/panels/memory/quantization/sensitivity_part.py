"""Measures which part of the model pays for a scheme, and what keeping some of it in 16 bits saves. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from llmlab.engine.errors import InputError
from llmlab.engine.quantization.mixed import Mixed, Ranked, some_counts
from llmlab.engine.quantization.parts import PartDamage, Parts
from llmlab.engine.quantization.schemes import Scheme
from llmlab.engine.quantization.types import CopyCost, Question
from llmlab.engine.types import Architecture, ModelInfo
from llmlab.jobs.job import ErrorInfo
from llmlab.ui.asking import Asking
from llmlab.ui.panels.memory.quantization import sensitivity_figures as figures
from llmlab.ui.panels.memory.quantization import sensitivity_plots as plots
from llmlab.ui.panels.memory.quantization import sensitivity_snippet as snippet
from llmlab.ui.panels.memory.quantization.figures import table_text
from llmlab.ui.panels.memory.quantization.params import Sight
from llmlab.ui.panels.memory.quantization.sensitivity_screen import (
    Found,
    SensitivityScreen,
    caption,
    grid,
    mixed_words,
    proxy_words,
)
from llmlab.ui.panels.memory.quantization.work import Opened, measure_mixed, measure_parts, price
from llmlab.ui.screen import Fact
from llmlab.ui.words import size


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured: the model taken apart, a scheme, a text."""

    info: ModelInfo
    parts: Parts
    scheme: Scheme
    question: Question

    @property
    def key(self) -> tuple[Scheme, str, int]:
        """Equal where the same would be measured: only encoder-decoder models write an answer first."""
        writes = self.info.architecture is Architecture.ENCODER_DECODER
        return self.scheme, self.question.text, self.question.max_new_tokens if writes else 0


class SensitivityView(Protocol):
    """What is asked of the page."""

    def copy(self, text: str) -> None: ...
    def ask_path(self, name: str, kinds: tuple[str, ...], then: Any) -> None: ...


class Sensitivity:
    """Keeps what was measured of every scheme and text, so that a measurement goes on where it ended.

    `subject` tells what would be measured now, None where nothing can be; `changed` and `report` as of `Copies`.
    """

    def __init__(
        self,
        asking: Asking,
        view: SensitivityView,
        subject: Callable[[], Subject | None],
        changed: Callable[[], None],
        report: Callable[[str], None],
    ) -> None:
        self._asking, self._view = asking, view
        self._subject, self._changed, self._report = subject, changed, report
        self._found: dict[tuple[Scheme, str, int], Found] = {}
        self._kept: dict[tuple[Scheme, str, int], int] = {}  # where the user has chosen a number
        self._priced: tuple[Scheme, str, int] | None = None
        self._cost: CopyCost | None = None
        self.problem = ""  # why what would be measured now cannot be
        self._pending: set[str] = set()

    # --- what the user does -------------------------------------------------------------------------------------

    def measure(self) -> None:
        """Measure every part that has not been measured."""
        subject = self._subject()
        if subject is None or self.running:
            return
        found = self._found.setdefault(subject.key, Found())
        todo = tuple(part for part in subject.parts.all if part not in found.damages)
        if todo:
            scheme, question = subject.scheme, subject.question
            self._start(
                "parts",
                lambda engine, control: measure_parts(engine, control, scheme, question, todo),
                "Measuring the parts of the model",
                partial(self._add, found),
            )

    def measure_mixed(self) -> None:
        """Measure a few points of the curve, and the one that is selected."""
        subject = self._subject()
        if subject is None or self.running:
            return
        found = self._current(subject)
        order = self._order(subject)
        counts = sorted({*some_counts(len(order)), self.kept})
        todo = tuple(count for count in counts if count not in found.mixed)
        if order and todo:
            scheme, question = subject.scheme, subject.question
            self._start(
                "mixed",
                lambda engine, control: measure_mixed(engine, control, scheme, question, order, todo),
                "Measuring mixed precision",
                partial(self._add_mixed, found),
            )

    def stop(self) -> None:
        """End the measurement; what is known stays."""
        self._asking.cancel(self, "parts")
        self._asking.cancel(self, "mixed")

    def keep(self, count: int) -> None:
        """Look at the model in which so many matrices are kept."""
        subject = self._subject()
        if subject is not None and 0 <= count <= len(subject.parts.matrices):
            self._kept[subject.key] = count
            self._changed()

    def export(self, what: str, kind: str) -> None:
        """The "parts" or the "mixed" models: to a file ("csv", "json") or "copy"."""
        subject = self._subject()
        if subject is None:
            return
        found = self._current(subject)
        if what == "parts":
            text = table_text(figures.PART_COLUMNS, figures.part_values(subject.parts, found), kind)
        else:
            values = figures.mixed_values(subject.scheme, self._order(subject), found)
            text = table_text(figures.MIXED_COLUMNS, values, kind)
        if kind == "copy":
            self._view.copy(text)
            return

        def then(path: Path) -> None:
            self._asking.write(path, lambda: text)

        self._view.ask_path(f"quantization-{what}.{kind}", (kind,), then)

    def copy_script(self, what: str) -> None:
        """Python that measures the "parts", or that makes the "mixed" model that is selected."""
        subject = self._subject()
        if subject is None:
            return
        if what == "parts":
            self._view.copy(snippet.parts(subject.info, subject.scheme, subject.question))
            return
        order, opened = self._order(subject), self._current(subject).opened
        if not order or opened is None:
            self._asking.notifier.say("No order is known yet.", "Measure every matrix of the model first.")
        else:
            kept = tuple(name for each in order[: self.kept] for name in each.part.matrices)
            self._view.copy(snippet.mixed(subject.info, subject.scheme, subject.question, opened.skips, kept))

    # --- what there is --------------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether parts, or mixed models, are being measured."""
        return bool(self._pending & {"parts", "mixed"})

    @property
    def busy(self) -> bool:
        """Whether something asked for is not on screen yet."""
        return bool(self._pending)

    @property
    def is_measured(self) -> bool:
        """Whether every part is known."""
        subject = self._subject()
        return subject is not None and len(self._current(subject).damages) == len(subject.parts.all)

    @property
    def is_begun(self) -> bool:
        """Whether some parts are known, so that measuring goes on."""
        subject = self._subject()
        return subject is not None and bool(self._current(subject).damages)

    @property
    def is_mixed(self) -> bool:
        """Whether the points of the curve are known, and the one that is selected."""
        subject = self._subject()
        if subject is None or not self._order(subject):
            return False
        counts = {*some_counts(len(subject.parts.matrices)), self.kept}
        return counts <= self._current(subject).mixed.keys()

    @property
    def kept(self) -> int:
        """How many matrices the selected mixed model keeps in 16 bits: as many as halve the damage, or as chosen."""
        subject = self._subject()
        if subject is None:
            return 0
        return self._kept.get(subject.key, figures.halving(self._order(subject)))

    def facts(self) -> tuple[Fact, ...]:
        """What measuring takes."""
        if self._cost is None:
            return ()
        words = f"{size(self._cost.bytes)} of {size(self._cost.available)} free on {self._cost.device}"
        tip = (
            "What measuring the parts takes beside the model in use: what its layers say of the text. No copy is made."
        )
        return (Fact("Parts", words, tip),)

    def screen(self, schemes: tuple[str, ...], sight: Sight) -> SensitivityScreen | None:
        """All that the page shows."""
        subject = self._subject()
        if subject is None:
            return None
        parts, scheme, found, order = subject.parts, subject.scheme, self._current(subject), self._order(subject)
        kept = self.kept
        return SensitivityScreen(
            schemes=schemes,
            selected=schemes.index(scheme.name),
            sight=sight,
            caption=caption(scheme, parts, found),
            hint=self._hint(subject),
            problem=self.problem,
            grid=grid(parts, found.damages) if found.damages else None,
            layers=plots.bars(parts, found, by_kind=False),
            kinds=plots.bars(parts, found, by_kind=True),
            proxy=plots.proxy(parts, found),
            proxy_words=proxy_words(parts, found),
            curve=plots.curve(order, found, kept),
            rows=figures.mixed_rows(scheme, order, found),
            kept=kept,
            mixed_words=self._mixed_words(subject),
            can_mix=bool(order) and not self.running and not self.is_mixed,
        )

    def bring(self) -> None:
        """The page is in front, or something else would be measured: say what it takes."""
        subject = self._subject()
        if subject is None or self._priced == subject.key:
            return
        self._priced, self.problem = subject.key, ""
        question = subject.question
        self._pending.add("price")
        self._asking.engine(
            self,
            "price",
            lambda engine, _control: price(engine, question),
            self._tell,
            title="Reckoning what it takes",
            failed=self._refused,
            stopped=lambda: self._ended("price"),
        )

    def forget(self) -> None:
        """Another model: nothing is known of it."""
        self._asking.cancel(self)
        self._found, self._kept, self._priced, self._cost, self.problem = {}, {}, None, None, ""
        self._pending.clear()

    def close(self) -> None:
        """Deliver nothing more."""
        self._asking.forget(self)

    # --- work -------------------------------------------------------------------------------------------------------

    def _start(self, key: str, work: Callable[[Any, Any], None], title: str, add: Callable[[Any], None]) -> None:
        self._pending.add(key)
        self._asking.engine(
            self,
            key,
            work,
            lambda _: self._ended(key),
            title=title,
            failed=partial(self._failed, key),
            stopped=lambda: self._ended(key),
            progress=lambda progress: self._report(progress.text),
            partial=add,
        )
        self._changed()

    def _add(self, found: Found, answers: tuple[Opened | PartDamage, ...]) -> None:
        for each in answers:
            if isinstance(each, Opened):
                found.opened = each
            else:
                found.damages[each.part] = each
        self._changed()

    def _add_mixed(self, found: Found, answers: tuple[Mixed, ...]) -> None:
        found.mixed |= {each.kept: each for each in answers}
        self._changed()

    def _tell(self, cost: CopyCost) -> None:
        self._cost = cost
        self._ended("price")

    def _refused(self, error: ErrorInfo) -> None:
        """Nothing can be measured over this text."""
        self.problem = f"{error.message} {error.hint}"
        self._ended("price")

    def _failed(self, key: str, error: ErrorInfo) -> None:
        self._asking.notifier.error(error)
        self._ended(key)

    def _ended(self, key: str) -> None:
        self._pending.discard(key)
        self._report("")
        self._changed()

    def _current(self, subject: Subject) -> Found:
        return self._found.get(subject.key, Found())

    def _order(self, subject: Subject) -> tuple[Ranked, ...]:
        try:
            return self._current(subject).order(subject.parts)
        except InputError:  # the scheme saves nothing; `_mixed_words` says so
            return ()

    def _mixed_words(self, subject: Subject) -> str:
        found = self._current(subject)
        try:
            return mixed_words(found.order(subject.parts), found, self.kept)
        except InputError as error:
            return f"{error.message} {error.hint}"

    def _hint(self, subject: Subject) -> str:
        parts = subject.parts
        count = f"{len(parts.layers)} layers, {len(parts.kinds)} kinds and {len(parts.matrices)} matrices"
        return (
            f"Press “Measure parts” at the right: each of {count} is quantized alone as {subject.scheme.name}, and the "
            "model reads the text. No copy is loaded, and the model in use stays as it is."
        )
