"""What the decoding panel does. No Qt: the view is a protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from llmlab.engine.errors import InputError
from llmlab.engine.knobs import Tokens
from llmlab.engine.sorted_logits import SortedLogits
from llmlab.engine.types import GenerationStep, ModelInfo
from llmlab.jobs.job import ErrorInfo
from llmlab.ui.panel import Desk, PanelContext
from llmlab.ui.panels.decoding import graphs, recognising, stages, words
from llmlab.ui.panels.decoding.asking import Asking
from llmlab.ui.panels.decoding.branching import Branching
from llmlab.ui.panels.decoding.changing import Changing
from llmlab.ui.panels.decoding.comparing import Comparing
from llmlab.ui.panels.decoding.completions import Completions
from llmlab.ui.panels.decoding.conversing import Conversing
from llmlab.ui.panels.decoding.copies import Copies
from llmlab.ui.panels.decoding.params import Params
from llmlab.ui.panels.decoding.picture import Filled, Picture, Screen
from llmlab.ui.panels.decoding.places import AT_PROMPT, Places
from llmlab.ui.panels.decoding.presetting import PresetDesk, Presetting
from llmlab.ui.panels.decoding.readings import Readings
from llmlab.ui.panels.decoding.recording import RecordDesk, Recording
from llmlab.ui.panels.decoding.run import Outcome, Run
from llmlab.ui.panels.decoding.runs import Runs
from llmlab.ui.panels.decoding.sharing import Sharing
from llmlab.ui.panels.decoding.spelling import Spelling
from llmlab.ui.panels.decoding.sweeping import Sweeping
from llmlab.ui.panels.decoding.tabs import Part, PartMaker
from llmlab.ui.panels.decoding.waterfalling import Waterfalling
from llmlab.ui.panels.decoding.words import Word
from llmlab.ui.presenter import Closing, PanelPresenter
from llmlab.ui.shell.drops import Kind
from llmlab.workbench import Completion, ModelState

# What is on the tabs besides the completion; their pages are in view.py.
PARTS: dict[str, PartMaker] = {
    "waterfall": Waterfalling,
    "branches": Branching,
    "strategies": Comparing,
    "sweep": Sweeping,
    "ask": Asking,
    "chat": Conversing,
}


class View(RecordDesk, PresetDesk, Protocol):
    """What the presenter asks of the widgets."""

    def show(self, screen: Screen) -> None:
        """Show everything but the bars and the tokens."""

    def show_params(self, params: Params) -> None:
        """Set the controls, without a signal."""

    def show_picture(self, picture: Picture | None) -> None:
        """Show a distribution, or none."""

    def add_steps(self, steps: Sequence[GenerationStep]) -> None:
        """Append generated tokens."""

    def clear_steps(self) -> None:
        """Remove the generated tokens."""

    def select_step(self, index: int) -> None:
        """Mark one token of the completion, -1 for none."""

    def show_filled(self, parts: Sequence[Filled], current: int) -> None:
        """Show an encoder's text with its masks filled, and mark mask number `current`."""

    def request_frame(self) -> None:
        """Call `frame` once before the next picture is painted, however often this is asked."""


class DecodingPresenter(PanelPresenter):
    """Keeps the distribution in step with the prompt and the settings, and the tabs with both.

    `places` knows which position is shown, `runs` sets the model writing, `sharing` copies and exports.
    """

    def __init__(self, context: PanelContext, view: View, pages: Mapping[str, Any] | None = None) -> None:
        super().__init__(context)
        self._view = view
        self._wanted = True  # the prompt has to be read (anew)
        self._generation = context.workbench.model.generation
        self._picture: Picture | None = None
        self._refused: ErrorInfo | None = None  # why the settings make no distribution
        self.params: Params = Params.from_dict(context.saved)
        self._readings = Readings(context.jobs, view.request_frame, context.notifier.error)
        self.completions = Completions(
            context.jobs, self._steps_came, self._refresh, context.notifier.error, self._run_replaced
        )
        self._spelling = Spelling(context.jobs, self._spelled, context.notifier.error)
        self._changing = Changing(context.jobs, self._refresh, context.notifier.error)
        self.presets = Presetting(self.asking, context.workbench, view, self._take_preset, self._refresh)
        self.recording = Recording(self.asking, context.workbench, view, self.completions.again)
        self.copies = Copies(self.asking, view)
        self.desk: Desk = view
        self.places = Places(context.workbench, self._readings, self.completions, view)
        self.runs = Runs(context.workbench, self, self.places, self._readings, self.completions, self._changing)
        self.sharing = Sharing(self, self.places, self.recording)
        self.parts: dict[str, Part] = {name: PARTS[name](context, self, page) for name, page in (pages or {}).items()}
        self._disconnect = (
            context.workbench.prompt_changed.connect(self._prompt_changed),
            context.workbench.model_changed.connect(self._model_changed),
        )
        context.drops.add(Kind("decoding", recognising.is_known, recognising.promise, self._dropped, looks_inside=True))
        self._come = context.come
        view.show_params(self.params)
        self._refresh()

    # --- the panel's life -----------------------------------------------------------------------------------

    def _catch_up(self) -> None:
        self._read_prompt()

    def _own_parts(self) -> Iterable[Closing]:
        own = (self._readings, self.completions, self._spelling, self.presets, self._changing)
        return (*own, self.recording, self.copies, *self.parts.values())

    @property
    def settled(self) -> bool:
        """Whether everything that was asked for is on screen."""
        part = self._part
        reading = self._readings.busy or self._spelling.busy or self._changing.busy
        waiting = self._wanted or reading or self.completions.running or (part is not None and part.busy)
        return not waiting and self._picture is not None

    @property
    def run(self) -> Run | None:
        """The completion on screen."""
        return self.completions.run

    @property
    def _part(self) -> Part | None:
        """What is on the tab in front."""
        return self.parts.get(self.params.tab)

    # --- to the tabs ----------------------------------------------------------------------------------------

    @property
    def info(self) -> ModelInfo | None:
        """The loaded model."""
        return self._workbench.model.info

    @property
    def prompt(self) -> str:
        """The text that all panels share."""
        return self._workbench.prompt

    @property
    def picture(self) -> Picture | None:
        """The distribution on screen."""
        return self._picture

    @property
    def captured(self) -> SortedLogits | None:
        """The logits that it was made of, if they are at hand."""
        return self.places.captured

    @property
    def text_of(self) -> Callable[[int], str]:
        """What each token id stands for."""
        return self.places.text_of

    @property
    def place_title(self) -> str:
        """Which position the distribution belongs to."""
        return self.places.shown(greedy=self.params.sampling.greedy).title

    def show_params(self) -> None:
        """Let the controls follow knobs that were not turned there."""
        self._view.show_params(self.params)

    # --- settings -------------------------------------------------------------------------------------------

    def change(self, **changes: Any) -> None:
        """The user has turned a knob. The picture follows in the same frame, without a job."""
        self.params = replace(self.params, **changes)
        self._spell()
        self._view.request_frame()

    def _dropped(self, path: Path) -> None:
        self._come()
        if recognising.holds_record(path):
            self.change(tab="completion")
            self.show_params()
            self.recording.read(path)
        else:
            self.presets.read(path)

    def _take_preset(self, changes: Mapping[str, Any]) -> None:
        self.change(**changes)
        self.show_params()

    def _spell(self) -> None:
        """Find out the tokens of the words in the settings."""
        if self.params.words and self.info is not None and self._workbench.model.ready:
            self._spelling.want(self.params.words)

    def _spelled(self, spelled: Mapping[Word, tuple[Tokens, ...]]) -> None:
        before, self.params = self.params.inactive, replace(self.params, spelled=spelled)
        inactive = self.params.inactive
        if set(inactive) - set(before):
            self.asking.notifier.say(*words.inactive_words(len(inactive)))
        self._view.request_frame()

    def frame(self) -> None:
        """Shape what is captured with the settings of the moment, and show it."""
        places, settings = self.places, self.params.sampling
        places.stay_within()
        self._refused = None
        try:
            picture = self._picture if places.awaits_step else places.picture(settings)
            filled = places.filled(settings)
        except InputError as error:  # the settings leave no token to draw
            self._refused, picture, filled = ErrorInfo.of(error), None, None
        if picture is None or picture is not self._picture:
            self._picture = picture
            self._view.show_picture(picture)
        if filled is not None:
            self._view.show_filled(filled, places.at)
        self._refresh()

    # --- the model and the prompt ---------------------------------------------------------------------------

    def _prompt_changed(self, _text: str) -> None:
        self._wanted = True
        if not self.places.fills_masks and self.places.at != AT_PROMPT:
            self.places.go_to(AT_PROMPT)
        self._read_prompt()

    def _model_changed(self, state: ModelState) -> None:
        if state.request is not None:
            self.completions.stop()  # the new model waits for the thread
        if state.generation != self._generation:
            self._generation = state.generation
            self._readings.forget_model()
            self._spelling.forget_model()
            self.presets.forget_model()
            self.completions.forget_model()
            self._wanted, self.places.at = True, AT_PROMPT
            self._view.select_step(-1)
            self._view.request_frame()
            self._read_prompt()
        self.recording.model_changed(state)
        self._refresh()

    def _read_prompt(self) -> None:
        """Ask for the prompt's distribution, if it is wanted and can be had."""
        prompt = self._workbench.prompt
        if not stages.can_read(self._workbench.model, prompt):
            self._wanted = self._workbench.model.info is None
            self._readings.forget_prompt()
            self._view.request_frame()
        elif self._active and self._wanted:
            self._wanted = False
            self._spell()
            self._readings.read_prompt(prompt)
            self.presets.want_own()
        self._refresh()

    # --- completions ----------------------------------------------------------------------------------------

    def _run_replaced(self) -> None:
        """Another completion is on screen, or none."""
        run = self.run
        self._view.clear_steps()
        self._workbench.completion = None
        if run is not None and run.steps:
            self._steps_came(tuple(run.steps))
        self.places.go_to(run.parted if run is not None and run.outcome is Outcome.RUNNING else AT_PROMPT)

    def _steps_came(self, steps: tuple[GenerationStep, ...]) -> None:
        self._view.add_steps(steps)
        if self.run is not None:
            self._workbench.completion = Completion(self.run.prompt, self.run.ids, self.run.text)
        if steps[0].index == self.places.at:
            self.places.go_to(self.places.at)  # this token was drawn from what is shown: mark it
        self._refresh()

    # --- the screen -----------------------------------------------------------------------------------------

    def _refresh(self) -> None:
        model, prompt, run = self._workbench.model, self._workbench.prompt, self.run
        self.recording.look(run)
        places, reason = self.places, self.runs.cannot
        read = places.reading is not None or (places.at != AT_PROMPT and self._picture is not None)
        self._changing.look(None if places.fills_masks else run, self.params.sampling)
        self._view.show(
            Screen(
                stage=stages.stage(model, prompt, self._readings.error or self._refused, read),
                place=places.shown(greedy=self.params.sampling.greedy),
                fill_mask=places.fills_masks,
                greedy=not self.params.do_sample,
                generating=self.completions.running,
                can_generate=not reason,
                generate_reason=reason,
                has_run=run is not None and bool(run.steps),
                status=run.status if run is not None else "",
                former=run.info.name if run is not None and run.former else "",
                change=self.runs.change,
                own_settings="" if places.fills_masks else self.presets.own,
                graphs=graphs.notice(self.info, run, wanted=self.params.cuda_graphs),
                use_label=stages.use_label(self.info, places.at, branches=places.step is not None),
            )
        )
        part = self._part
        if part is not None:
            part.bring()
