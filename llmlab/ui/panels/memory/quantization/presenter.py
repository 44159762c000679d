"""What the quantization laboratory does: weighs the weights at once, asks copies of the model when told to. No Qt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from llmlab.engine.errors import InputError
from llmlab.engine.quantization.schemes import Scheme
from llmlab.engine.quantization.types import MatrixDetail, Question
from llmlab.engine.types import Architecture, Feature, ModelInfo
from llmlab.jobs.job import ErrorInfo
from llmlab.ui.panel import PanelContext
from llmlab.ui.panels.memory.quantization import figures, plots, snippet
from llmlab.ui.panels.memory.quantization.figures import SchemeRow
from llmlab.ui.panels.memory.quantization.params import SAMPLE, Params, Source
from llmlab.ui.panels.memory.quantization.screen import LabScreen, LabView, Pictures, caption, facts, large
from llmlab.ui.panels.memory.quantization.work import Asked, Weighed, ask, look, weigh
from llmlab.ui.presenter import PanelPresenter
from llmlab.ui.screen import Kind, Stage, without_model

AT_ONCE = 300_000_000  # parameters up to which the weights are looked at unasked: a few seconds for each scheme
PROMPT_WORDS = 8  # of the text that are gone on from, where there is no prompt
READY = Stage(Kind.READY)


class Quantization:
    """Keeps the table in step with the model and the settings."""

    def __init__(self, context: PanelContext, panel: PanelPresenter, page: LabView, saved: Mapping[str, Any]) -> None:
        self._bench = context.workbench
        self._asking = panel.asking
        self._view = page
        self.params = Params.from_dict(saved)
        self._generation = -1
        self._error: ErrorInfo | None = None  # of the model, whatever the scheme
        self._weighed: dict[Scheme, Weighed] = {}
        self._asked: dict[Scheme, Asked] = {}
        self._question: Question | None = None  # that `_asked` answers
        self._selected = Scheme("nf4")
        self._matrix = ""
        self._detail: MatrixDetail | None = None
        self._pending: set[str] = set()  # keys of the jobs that are on their way
        self._progress = ""
        self._held = False  # whether the weights are looked at only when the user says so

    # --- as a tab -----------------------------------------------------------------------------------------------

    def bring(self) -> None:
        """The model or the prompt may have changed."""
        model = self._bench.model
        if model.ready and model.generation != self._generation:
            self._generation = model.generation
            self._forget()
            self._held = model.info is not None and model.info.parameters > AT_ONCE
        if self._info is not None and not self._error:
            self._weigh()
        self._show()

    def save(self) -> dict[str, Any]:
        """The settings to find again."""
        return self.params.to_dict()

    def close(self) -> None:
        """Deliver nothing more."""
        self._asking.forget(self)

    @property
    def busy(self) -> bool:
        """Whether something asked for is not on screen yet."""
        return bool(self._pending) or self._bench.model.info is None

    # --- what the user does ---------------------------------------------------------------------------------------

    def change(self, **changes: Any) -> None:
        """Other settings."""
        before = self.params
        self.params = replace(before, **changes)
        if self.params.absmax != before.absmax and self._selected == before.absmax:
            self._selected = self.params.absmax
        if self._selected not in self.params.schemes:
            self._selected = self.params.absmax
        if self._info is not None and not self._error:
            self._weigh()
            self._look()
        self._show()

    def start(self) -> None:
        """Look at the weights, of a large model or after it was stopped."""
        self._held = False
        self._weigh()
        self._show()

    def select(self, row: int) -> None:
        """Look at another scheme, by its row; the first row is the model in use, of which there is no picture."""
        if 0 < row <= len(self.params.schemes):
            self._choose(self.params.schemes[row - 1], self._matrix)
        else:
            self._show()

    def pick(self, series: int, point: int) -> None:
        """Look into a matrix, by its point in the picture of all matrices."""
        shown = [scheme for scheme in self._shown if not scheme.is_float]
        damage = self._weighed[shown[series]].damage
        if damage is not None:
            self._choose(shown[series], damage.matrices[point].name)

    def measure(self) -> None:
        """Ask a copy of the model under every scheme that has not been asked this yet."""
        info = self._info
        if info is None or self.busy_measuring or self._cannot(info):
            return
        try:
            question = self._ask_what(info)
        except InputError as error:
            self._asking.notifier.say(error.message, error.hint)
            return
        if self._held:
            self.start()
        if question != self._question:
            self._question, self._asked = question, {}
        todo = tuple(each for each in self.params.schemes if each not in self._asked or self._asked[each].error)
        if not todo:
            return
        self._pending.add("measure")
        self._asking.engine(
            self,
            "measure",
            lambda engine, control: ask(engine, control, todo, question),
            lambda _: self._ended("measure"),
            title="Measuring what precision costs",
            failed=self._failed,
            stopped=lambda: self._ended("measure"),
            progress=lambda progress: self._report(progress.text),
            partial=self._answered,
        )
        self._show()

    def stop(self) -> None:
        """End the measurement; what is known stays."""
        self._asking.cancel(self, "measure")

    @property
    def busy_measuring(self) -> bool:
        """Whether copies are being asked."""
        return "measure" in self._pending

    @property
    def is_measured(self) -> bool:
        """Whether every scheme has been asked what would be asked now."""
        return self._is_current() and all(scheme in self._asked for scheme in self.params.schemes)

    def export(self, what: str, kind: str) -> None:
        """The "schemes", the "matrices" or the "tokens" of all schemes: to a file ("csv", "json") or "copy"."""
        columns, rows = figures.values(what, self._weighed, self._asked, self.params.schemes)
        text = figures.table_text(columns, rows, kind)
        if kind == "copy":
            self._view.copy(text)
            return

        def then(path: Path) -> None:
            self._asking.write(path, lambda: text)

        self._view.ask_path(f"quantization-{what}.{kind}", (kind,), then)

    def copy_script(self) -> None:
        """Python that prints the table."""
        info = self._info
        if info is None:
            return
        try:
            self._view.copy(snippet.script(info, self.params.schemes, self._ask_what(info)))
        except InputError as error:
            self._asking.notifier.say(error.message, error.hint)

    # --- work -----------------------------------------------------------------------------------------------------

    def _weigh(self) -> None:
        todo = tuple(scheme for scheme in self.params.schemes if scheme not in self._weighed)
        if not todo or self._held:
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

    def _add(self, found: tuple[Weighed, ...]) -> None:
        self._weighed |= {each.scheme: each for each in found}
        if not self._matrix:
            self._matrix = next((each.damage.matrices[0].name for each in found if each.damage), "")
        if any(each.scheme == self._selected for each in found):
            self._look()
        self._show()

    def _hold(self) -> None:
        """Stopped: nothing more is looked at until the user wants it."""
        self._held = True
        self._ended("weigh")

    def _all_weighed(self) -> None:
        """What was chosen meanwhile is looked at next."""
        self._pending.discard("weigh")
        self._progress = ""
        self._weigh()
        self._show()

    def _look(self) -> None:
        """Ask for the selected matrix, where it is not the one on screen."""
        scheme, name, detail = self._selected, self._matrix, self._detail
        known = self._weighed.get(scheme)
        if not name or known is None or known.damage is None:
            return
        if detail is not None and (detail.scheme, detail.damage.name) == (scheme, name):
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

    def _looked(self, detail: MatrixDetail) -> None:
        self._detail = detail
        self._pending.discard("look")
        self._look()
        self._show()

    def _answered(self, found: tuple[Asked, ...]) -> None:
        self._asked |= {each.scheme: each for each in found}
        self._show()

    def _ended(self, key: str) -> None:
        self._pending.discard(key)
        self._progress = ""
        self._show()

    def _failed(self, error: ErrorInfo) -> None:
        self._asking.notifier.error(error)
        self._pending -= {"measure", "look"}
        self._show()

    def _refused(self, error: ErrorInfo) -> None:
        """Nothing can be said of this model."""
        self._error = error
        self._pending.clear()
        self._show()

    def _report(self, text: str) -> None:
        self._progress = text
        self._view.show_screen(self._screen())

    def _forget(self) -> None:
        self._asking.cancel(self)
        self._error, self._question, self._detail, self._matrix = None, None, None, ""
        self._weighed, self._asked = {}, {}
        self._pending.clear()

    def _choose(self, scheme: Scheme, matrix: str) -> None:
        self._selected, self._matrix = scheme, matrix
        self._look()
        self._show()

    # --- what there is ----------------------------------------------------------------------------------------------

    @property
    def _info(self) -> ModelInfo | None:
        return self._bench.model.info if self._bench.model.ready else None

    @property
    def _shown(self) -> list[Scheme]:
        return [s for s in self.params.schemes if s in self._weighed and self._weighed[s].damage is not None]

    @property
    def _text(self) -> str:
        if self.params.source is Source.PROMPT:
            return self._bench.prompt
        return SAMPLE if self.params.source is Source.SAMPLE else self.params.own

    def _ask_what(self, info: ModelInfo) -> Question:
        """Raises InputError for a text that is empty."""
        text = self._text
        opening = " ".join(text.split(" ")[:PROMPT_WORDS])
        prompt = text if info.architecture is Architecture.ENCODER_DECODER else self._bench.prompt or opening
        return Question(text, prompt, self.params.new_tokens)

    def _cannot(self, info: ModelInfo) -> str:
        if not info.features & {Feature.SCORE, Feature.FILL_MASK}:
            return "This model predicts no tokens: only its weights can be compared."
        return ""

    def _is_current(self) -> bool:
        """Whether what was measured answers what would be asked now."""
        info = self._info
        try:
            return info is not None and self._ask_what(info) == self._question
        except InputError:
            return False

    # --- the screen -------------------------------------------------------------------------------------------------

    def _show(self) -> None:
        self._view.show_screen(self._screen())
        if self._info is None or self._error:
            return
        if self._held and not self._weighed:
            return
        schemes = self.params.schemes
        self._view.show_rows(self._rows(), 1 + schemes.index(self._selected) if self._selected in schemes else 0)
        self._view.show_pictures(self._pictures())

    def _screen(self) -> LabScreen:
        info = self._info
        if info is None:
            return LabScreen(without_model(self._bench.model), self.params, self._text)
        if self._error is not None:
            return LabScreen(Stage(Kind.ERROR, self._error.message, self._error.hint), self.params, self._text)
        if self._held and not self._weighed:
            return LabScreen(large(info), self.params, self._text)
        note = self._progress or self._cannot(info)
        if not note and self._held:
            note = "Stopped before all weights were looked at."
        if not note and self._asked and not self._is_current():
            note = "Measured with another text or another length; measure again to bring it up to date."
        can = not self._cannot(info) and bool(self._weighed)
        return LabScreen(
            READY, self.params, self._text, self.busy_measuring, can, note, facts(tuple(self._weighed.values()))
        )

    def _rows(self) -> tuple[SchemeRow, ...]:
        info = self._info
        assert info is not None
        damage = next((each.damage for each in self._weighed.values() if each.damage), None)
        measured = next((each.measured for each in self._asked.values() if each.measured), None)
        rows = [figures.scheme_row(s, self._weighed.get(s), self._asked.get(s)) for s in self.params.schemes]
        return (figures.reference_row(info, damage, measured), *rows)

    def _pictures(self) -> Pictures:
        shown = [damage for s in self._shown if (damage := self._weighed[s].damage) is not None]
        detail = self._detail
        if detail is not None and (detail.scheme, detail.damage.name) != (self._selected, self._matrix):
            detail = None
        asked = self._asked.get(self._selected)
        known = self._weighed.get(self._selected)
        error = (asked.error if asked else None) or (known.error if known else None)
        return Pictures(
            damage=plots.damage([self._weighed[s] for s in self._shown], self._asked),
            matrices=plots.matrices(shown, waiting="weigh" in self._pending),
            weights=plots.weights(detail),
            errors=plots.errors(detail),
            caption=caption(detail),
            measured=asked.measured if asked else None,
            problem=f"{error.message} {error.hint}" if error else "",
        )
