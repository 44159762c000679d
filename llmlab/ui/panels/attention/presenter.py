"""What the attention panel does. No Qt: the view is a protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from llmlab.engine.attention.types import AttentionRequest, Reduction, Truncation
from llmlab.engine.types import Feature
from llmlab.jobs.job import ErrorInfo
from llmlab.ui.panel import PanelContext
from llmlab.ui.panels.attention import capturing, facts, stages
from llmlab.ui.panels.attention.asking import Asking
from llmlab.ui.panels.attention.capturing import Read, TooLarge, TooLong
from llmlab.ui.panels.attention.comparing import Comparing
from llmlab.ui.panels.attention.effect_part import Ablating
from llmlab.ui.panels.attention.flow_part import Flowing
from llmlab.ui.panels.attention.heads import heads_of, scores_text
from llmlab.ui.panels.attention.lens_part import Lensing
from llmlab.ui.panels.attention.lines_part import Lining
from llmlab.ui.panels.attention.mapping import MapPart
from llmlab.ui.panels.attention.pair_part import Pairing
from llmlab.ui.panels.attention.params import Params
from llmlab.ui.panels.attention.reading import Focus, Looker, Part, Reading, captured, fitting
from llmlab.ui.panels.attention.screen import Act, Screen
from llmlab.ui.panels.attention.showing import View
from llmlab.ui.panels.attention.surveying import Surveying
from llmlab.ui.panels.attention.text_part import Texting
from llmlab.ui.panels.attention.words import title_of
from llmlab.ui.presenter import Closing, PanelPresenter
from llmlab.ui.screen import Kind
from llmlab.workbench import ModelState

if TYPE_CHECKING:
    from llmlab.engine.engine import Engine
    from llmlab.engine.progress import Progress
    from llmlab.jobs.job import JobControl

Wanted: TypeAlias = tuple[int, AttentionRequest]  # the generation of the model, and what it is to read

# One entry for each tab: what makes its part of the presenter, from asker, presenter and the widgets of the tab.
PARTS: dict[str, Callable[[Asking, Looker, Any], Part]] = {
    "map": MapPart,
    "compare": Comparing,
    "text": Texting,
    "lines": Lining,
    "pair": Pairing,
    "flow": Flowing,
    "effect": Ablating,
    "lens": Lensing,
}
READ_OPTIONS = ("read", "target", "pair", "padding")


class AttentionPresenter(PanelPresenter):
    """Has the model read the prompt, owns the focus, and brings each tab what it shows."""

    asking: Asking

    def __init__(self, context: PanelContext, view: View, tabs: Mapping[str, Any]) -> None:
        """`tabs`: the widgets of each tab, by its name."""
        bench = context.workbench
        super().__init__(context, Asking(context.jobs, context.notifier, lambda: bench.model.generation))
        self._view = view
        self._asked: Wanted | None = None  # the newest reading that was asked for
        self._error: ErrorInfo | None = None
        self._declined: TooLong | TooLarge | None = None
        self._truncation = Truncation.REFUSE
        self._accepted = 0  # bytes that the user has agreed to
        self._single_layer = False
        self._layer = 0  # the single one that is kept
        self._next: Focus | None = None  # to be looked at once that is there
        self._fraction: float | None = None
        self._number = 0
        self._reading: Reading | None = None
        self.params: Params = Params.from_dict(context.saved)
        self.surveying = Surveying(self.asking, self._surveyed)
        self.parts: dict[str, Part] = {
            name: PARTS[name](self.asking, self, tabs[name]) for name in PARTS if name in tabs
        }
        if self.params.tab not in self.parts:
            self.params = replace(self.params, tab=next(iter(self.parts), self.params.tab))
        self._disconnect = (
            bench.prompt_changed.connect(lambda _: self._prompt_changed()),
            bench.model_changed.connect(self._model_changed),
            bench.completion_changed.connect(lambda _: self._prompt_changed()),
        )
        view.show_params(self.params)
        self._refresh()

    # --- the panel's life -----------------------------------------------------------------------------------

    def _catch_up(self) -> None:
        self._read()

    def _own_parts(self) -> Iterable[Closing]:
        return (self.surveying, *self.parts.values())

    @property
    def reading(self) -> Reading | None:
        """What is on screen."""
        return self._reading

    @property
    def settled(self) -> bool:
        """Whether everything that was asked for is on screen."""
        part = self.parts.get(self.params.tab)
        read = self._reading is not None and self._is_current(self._reading)
        return read and not self.surveying.busy and not (part and part.busy)

    # --- settings and focus ---------------------------------------------------------------------------------

    def change(self, **changes: Any) -> None:
        """The user has changed settings."""
        before, self.params = self.params, replace(self.params, **changes)
        if self.params == before:
            return
        if any(name in changes for name in READ_OPTIONS):
            self._read()
        self._update()

    def look(self, **changes: Any) -> None:
        """Look at another head, at all heads, at other tokens; as soon as there is something to look at."""
        if self._reading is None or not self._is_current(self._reading):
            self._next = replace(self._next or (self._reading.focus if self._reading else Focus()), **changes)
        if self._reading is None:
            return
        if "reduction" in changes:
            self.change(reduction=str(changes["reduction"]))
        focus = replace(self._reading.focus, **changes)
        if focus == self._reading.focus or focus.kind not in self._reading.shapes:
            return
        if focus.kind != self._reading.focus.kind and "queries" not in changes:
            focus = replace(focus, queries=(), key=None)
        if focus.layer not in (None, *captured(self._reading.shapes[focus.kind])):
            # only single layers are kept: have the model read it again for this one
            self._layer, self._next = focus.layer or 0, focus
            self._read()
            return
        focus = fitting(focus, self._reading.shapes)
        self.surveying.give_way(self._reading)
        self._set_focus(self._reading, focus)
        self._update()

    def _set_focus(self, reading: Reading, focus: Focus) -> None:
        surveyed = self.surveying.of(reading.number, focus.kind)
        self._reading = replace(reading, focus=focus, survey=surveyed.survey if surveyed else None)

    def step_to(self, step: int) -> None:
        """Pin the row from which generated token `step` came: that of the token before it."""
        steps = facts.steps(self._reading) if self._reading else None
        if steps is not None and 0 <= step < steps.count:
            self.look(queries=(steps.first + step,))

    def point(self, axis: str, token: int | None) -> None:
        """Mark a token in the prompt."""
        reading = self._reading
        if reading is None or token is None or reading.request.text != self._workbench.prompt:
            return
        start, end = reading.spans[reading.focus.kind, axis][token].tolist()
        if start >= 0:
            self._workbench.select(start, end, self)

    def copy_scores(self) -> None:
        """The scores of all heads, for a spreadsheet."""
        if self._reading is not None and self._reading.survey is not None:
            self._view.copy(scores_text(self._reading.survey, "\t"))

    def save_scores(self) -> None:
        """The scores of all heads as a file."""
        if self._reading is not None and self._reading.survey is not None:
            survey = self._reading.survey
            self._view.ask_path(
                "heads.csv", ("csv",), lambda path: self.asking.write(path, lambda: scores_text(survey))
            )

    def act(self, act: Act) -> None:
        """A button in the picture's place was clicked."""
        if act is Act.KEEP_BEGINNING:
            self._truncation = Truncation.KEEP_BEGINNING
        elif act is Act.KEEP_END:
            self._truncation = Truncation.KEEP_END
        elif act is Act.READ_ALL and isinstance(self._declined, TooLarge):
            self._accepted = self._declined.cost.bytes
        elif act is Act.READ_ONE and isinstance(self._declined, TooLarge):
            self._single_layer, self._accepted = True, self._declined.cost.bytes_of_a_layer
        self._declined = self._error = self._asked = None
        self._read()
        self._refresh()

    # --- reading --------------------------------------------------------------------------------------------

    def _wanted(self) -> Wanted | None:
        """What should be on screen; None where there is nothing to read."""
        model, prompt = self._workbench.model, self._workbench.prompt
        if not model.ready or model.info is None or Feature.ATTENTION not in model.info.features or not prompt:
            return None
        layers = (self._layer,) if self._single_layer else None
        made = capturing.request(model.info, prompt, self._workbench.completion, self.params, self._truncation, layers)
        return model.generation, made

    def _is_current(self, reading: Reading) -> bool:
        return self._wanted() == (self._workbench.model.generation, reading.request)

    def _prompt_changed(self) -> None:
        self._read()
        self._refresh()

    def _model_changed(self, state: ModelState) -> None:
        reading = self._reading
        if reading is not None and (state.info is None or reading.info != state.info):
            self._drop()
        self._read()
        self._refresh()

    def _drop(self) -> None:
        """The model that has read it is gone."""
        self._reading, self._asked, self._error, self._declined = None, None, None, None
        self.surveying.forget()
        self._truncation, self._accepted, self._single_layer = Truncation.REFUSE, 0, False
        for part in self.parts.values():
            part.bring(None)

    def _read(self) -> None:
        """Have the model read what is wanted, if it has not been asked to yet."""
        wanted = self._wanted()
        if wanted is None:
            self._asked = None
            return
        if not self._active or wanted == self._asked:
            return
        if self._reading is not None and wanted == (wanted[0], self._reading.request):
            self._asked, self._error, self._declined = wanted, None, None
            return
        self._asked, self._fraction = wanted, None
        request, accepted = wanted[1], self._accepted

        def work(engine: Engine, control: JobControl) -> Read | TooLong | TooLarge:
            return capturing.read(engine, request, accepted, control)

        self.asking.engine(
            self,
            "read",
            work,
            self._came,
            title="Reading the attention",
            failed=lambda error: self._failed(error, wanted),
            stopped=self._stopped,
            progress=self._progressed,
        )

    def _came(self, outcome: Read | TooLong | TooLarge) -> None:
        if self._asked is None:
            return
        self._error = self._declined = self._fraction = None
        if not isinstance(outcome, Read):
            self._declined = outcome
        else:
            info = self._workbench.model.info
            assert info is not None
            self._number += 1
            focus = self._next or (self._reading.focus if self._reading else Focus())
            read = Reading(
                self._number, outcome.request, info, outcome.shapes, outcome.spans, focus, self.params, cut=outcome.cut
            )
            if self._is_current(read):
                self._next = None  # a text that is no longer wanted may be too short for it
            self._set_focus(read, fitting(focus, outcome.shapes))
        self._update()

    def _failed(self, error: ErrorInfo, wanted: Wanted) -> None:
        if wanted == self._asked:
            self._error = error
            self._refresh()

    def _stopped(self) -> None:
        self._error = ErrorInfo("Cancelled", "Reading was cancelled.", "Try again, or change the prompt.", "")
        self._refresh()

    def _progressed(self, progress: Progress) -> None:
        self._fraction = progress.fraction
        if self._reading is None:
            self._refresh()

    def _surveyed(self) -> None:
        """All heads of a kind have been looked through."""
        reading = self._reading
        if reading is not None:
            surveyed = self.surveying.of(reading.number, reading.focus.kind)
            self._reading = replace(reading, survey=surveyed.survey if surveyed else None)
            self._update()

    # --- what is shown --------------------------------------------------------------------------------------

    def _update(self) -> None:
        """Bring the tab in front and everything else up to date."""
        if self._reading is not None and self._reading.params != self.params:
            focus = replace(self._reading.focus, reduction=Reduction(self.params.reduction))
            self._reading = replace(self._reading, params=self.params, focus=focus)
        self._refresh()
        reading = self._reading
        surveyed = self.surveying.of(reading.number, reading.focus.kind) if reading else None
        self._view.show_heads(heads_of(reading, surveyed.tiles if surveyed else None) if reading else None)
        part = self.parts.get(self.params.tab)
        if part:
            part.bring(self._reading)
        if reading is not None:
            self.surveying.ask(reading)  # after what is looked at

    def _refresh(self) -> None:
        bench, reading = self._workbench, self._reading
        wanted = self._asked[1] if self._asked else None
        shown = stages.stage(bench.model, bench.prompt, self._error, self._declined, reading, self._fraction)
        info = bench.model.info
        ready = reading if shown.kind is Kind.READY else None
        self._view.show(
            Screen(
                stage=shown,
                offer=stages.offer(info, bench.completion, reading),
                notes=stages.notes(ready, bench.prompt, wanted) if ready else (),
                title=title_of(ready) if ready else "",
                kind=ready.focus.kind if ready else "self",
                facts=facts.facts(ready) if ready else (),
                steps=facts.steps(ready) if ready else None,
            )
        )
