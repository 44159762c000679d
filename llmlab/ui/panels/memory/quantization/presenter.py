"""What the quantization laboratory does: weighs the weights at once, asks copies of the model when told to. No Qt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from llmlab.engine.errors import InputError
from llmlab.engine.quantization.types import Question
from llmlab.engine.types import ModelInfo
from llmlab.ui.panel import PanelContext
from llmlab.ui.panels.memory.quantization import figures, plots, snippet
from llmlab.ui.panels.memory.quantization.copies_part import Copies
from llmlab.ui.panels.memory.quantization.figures import SchemeRow
from llmlab.ui.panels.memory.quantization.params import Params, Sight, View
from llmlab.ui.panels.memory.quantization.question import cannot, question_of, text_of
from llmlab.ui.panels.memory.quantization.screen import LabScreen, LabView, Pictures, caption, facts, large
from llmlab.ui.panels.memory.quantization.sensitivity_part import Sensitivity, Subject
from llmlab.ui.panels.memory.quantization.weights_part import Weights
from llmlab.ui.presenter import PanelPresenter
from llmlab.ui.screen import Kind, Stage, without_model

AT_ONCE = 300_000_000  # parameters up to which the weights are looked at unasked: a few seconds for each scheme
READY = Stage(Kind.READY)


class Quantization:
    """Keeps the table in step with the model and the settings."""

    def __init__(self, context: PanelContext, panel: PanelPresenter, page: LabView, saved: Mapping[str, Any]) -> None:
        self._bench = context.workbench
        self._asking = panel.asking
        self._view = page
        self.params = Params.from_dict(saved)
        self._generation = -1
        self._progress = ""
        self.weights = Weights(panel.asking, lambda: self.params.schemes, self._show, self._report)
        if self.weights.selected not in self.params.schemes:
            self.weights.selected = self.params.absmax
        self.copies = Copies(panel.asking, self._show, self._report)
        self.sensitivity = Sensitivity(panel.asking, page, self._subject, self._show, self._report)

    # --- as a tab -----------------------------------------------------------------------------------------------

    def bring(self) -> None:
        """The model or the prompt may have changed."""
        model = self._bench.model
        if model.ready and model.generation != self._generation:
            self._generation = model.generation
            for part in (self.weights, self.copies, self.sensitivity):
                part.forget()
            self.weights.held = model.info is not None and model.info.parameters > AT_ONCE
        self._catch_up()

    def save(self) -> dict[str, Any]:
        """The settings to find again."""
        return self.params.to_dict()

    def close(self) -> None:
        """Deliver nothing more."""
        for part in (self.weights, self.copies, self.sensitivity):
            part.close()

    @property
    def busy(self) -> bool:
        """Whether something asked for is not on screen yet."""
        working = self.weights.busy or self.copies.busy or self.sensitivity.busy
        return working or self._bench.model.info is None

    # --- what the user does ---------------------------------------------------------------------------------------

    def change(self, **changes: Any) -> None:
        """Other settings."""
        before, weights = self.params, self.weights
        self.params = replace(before, **changes)
        moved = self.params.absmax != before.absmax and weights.selected == before.absmax
        if moved or weights.selected not in self.params.schemes:
            weights.selected = self.params.absmax
        if self._info is not None:
            weights.look()
        self._catch_up()

    def start(self) -> None:
        """Look at the weights, of a large model or after it was stopped."""
        self.weights.held = False
        self._catch_up()

    def select(self, row: int) -> None:
        """Look at another scheme, by its row; the first row is the model in use, of which there is no picture."""
        if 0 < row <= len(self.params.schemes):
            self.weights.choose(self.params.schemes[row - 1], self.weights.matrix)
        else:
            self._show()

    def pick(self, series: int, point: int) -> None:
        """Look into a matrix, by its point in the picture of all matrices."""
        shown = [scheme for scheme in self.weights.shown if not scheme.is_float]
        damage = self.weights.known[shown[series]].damage
        if damage is not None:
            self.weights.choose(shown[series], damage.matrices[point].name)

    def look_into(self, matrix: str) -> None:
        """Look into a matrix under the selected scheme, from wherever it was found."""
        self.params = replace(self.params, view=View.WEIGHTS)
        self.weights.choose(self.weights.selected, matrix)

    def measure(self) -> None:
        """Ask a copy of the model under every scheme that has not been asked this yet; or every part of the model."""
        info = self._info
        if info is None or self.running or cannot(info):
            return
        try:
            question = self._ask_what(info)
        except InputError as error:
            self._asking.notifier.say(error.message, error.hint)
            return
        if self.weights.held:
            self.start()
        if self._is_parted:
            self.sensitivity.measure()
        else:
            self.copies.measure(self.params.schemes, question)

    def run(self) -> None:
        """Measure what is not known yet of what is looked at: schemes, parts, or the curve of mixed models."""
        if self._is_parted and self.params.sight is Sight.MIXED and self.sensitivity.is_measured:
            self.sensitivity.measure_mixed()
        else:
            self.measure()

    def stop(self) -> None:
        """End the measurement; what is known stays."""
        self.copies.stop()
        self.sensitivity.stop()

    @property
    def running(self) -> bool:
        """Whether copies are being asked, or parts measured."""
        return self.copies.busy or self.sensitivity.running

    @property
    def is_measured(self) -> bool:
        """Whether every scheme has been asked what would be asked now."""
        return self.copies.is_measured(self.params.schemes, self._question)

    def export(self, what: str, kind: str) -> None:
        """The "schemes", the "matrices" or the "tokens" of all schemes: to a file ("csv", "json") or "copy"."""
        columns, rows = figures.values(what, self.weights.known, self.copies.asked, self.params.schemes)
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

    # --- what there is ----------------------------------------------------------------------------------------------

    @property
    def _info(self) -> ModelInfo | None:
        return self._bench.model.info if self._bench.model.ready else None

    @property
    def _is_parted(self) -> bool:
        """Whether the parts of the model are in front."""
        return self.params.view is View.SENSITIVITY

    def _ask_what(self, info: ModelInfo) -> Question:
        """Raises InputError for a text that is empty."""
        return question_of(self.params, self._bench.prompt, info)

    @property
    def _question(self) -> Question | None:
        """What would be asked now, where there is something to ask."""
        info = self._info
        try:
            return None if info is None else self._ask_what(info)
        except InputError:
            return None

    def _subject(self) -> Subject | None:
        """The model taken apart, once its weights have been looked at."""
        info, question, parts = self._info, self._question, self.weights.parts
        if info is None or question is None or parts is None or cannot(info):
            return None
        return Subject(info, parts, self.weights.selected, question)

    def _catch_up(self) -> None:
        """Ask for what is new, and show what is known."""
        if self._info is not None:
            self.weights.weigh()
        self._show()

    # --- the screen -------------------------------------------------------------------------------------------------

    def _report(self, text: str) -> None:
        self._progress = text
        self._view.show_screen(self._screen())

    def _show(self) -> None:
        if self._is_parted:
            self.sensitivity.bring()  # what it takes is said as soon as the parts are known
        self._view.show_screen(self._screen())
        weights, schemes = self.weights, self.params.schemes
        if self._info is None or weights.error or (weights.held and not weights.known):
            return
        self._view.show_rows(self._rows(), 1 + schemes.index(weights.selected) if weights.selected in schemes else 0)
        self._view.show_pictures(self._pictures())
        if self._is_parted:
            names = tuple(each.name for each in schemes)
            self._view.show_sensitivity(self.sensitivity.screen(names, self.params.sight), self._why_no_parts())

    def _why_no_parts(self) -> str:
        info = self._info
        if info is not None and cannot(info):
            return cannot(info)
        if self._question is None:
            return "There is no text to read. Type a prompt, or choose the sample text."
        return "The weights are being looked at."

    def _screen(self) -> LabScreen:
        info, error, text = self._info, self.weights.error, text_of(self.params, self._bench.prompt)
        if info is None:
            return LabScreen(without_model(self._bench.model), self.params, text)
        if error is not None:
            return LabScreen(Stage(Kind.ERROR, error.message, error.hint), self.params, text)
        if self.weights.held and not self.weights.known:
            return LabScreen(large(info), self.params, text)
        can = not cannot(info) and bool(self.weights.known)
        known = facts(tuple(self.weights.known.values()))
        if self._is_parted:
            can = can and not self.sensitivity.is_measured
            known = (*known, *self.sensitivity.facts())
        return LabScreen(READY, self.params, text, self.running, can, self._note(info), known, self._button())

    def _note(self, info: ModelInfo) -> str:
        note = self._progress or cannot(info)
        if not note and self.weights.held:
            note = "Stopped before all weights were looked at."
        if not note and self.copies.asked and self.copies.question != self._question and not self._is_parted:
            note = "Measured with another text or another length; measure again to bring it up to date."
        return note

    def _button(self) -> str:
        if self.running:
            return "Stop"
        if not self._is_parted:
            return "Measure"
        return "Go on" if self.sensitivity.is_begun and not self.sensitivity.is_measured else "Measure parts"

    def _rows(self) -> tuple[SchemeRow, ...]:
        info, known, asked = self._info, self.weights.known, self.copies.asked
        assert info is not None
        damage = next((each.damage for each in known.values() if each.damage), None)
        measured = next((each.measured for each in asked.values() if each.measured), None)
        rows = [figures.scheme_row(s, known.get(s), asked.get(s)) for s in self.params.schemes]
        return (figures.reference_row(info, damage, measured), *rows)

    def _pictures(self) -> Pictures:
        weights = self.weights
        known = [weights.known[scheme] for scheme in weights.shown]
        asked, weighed = self.copies.asked.get(weights.selected), weights.known.get(weights.selected)
        error = (asked.error if asked else None) or (weighed.error if weighed else None)
        return Pictures(
            damage=plots.damage(known, self.copies.asked),
            matrices=plots.matrices([each.damage for each in known if each.damage], waiting=weights.weighing),
            weights=plots.weights(weights.detail),
            errors=plots.errors(weights.detail),
            caption=caption(weights.detail),
            measured=asked.measured if asked else None,
            problem=f"{error.message} {error.hint}" if error else "",
        )
