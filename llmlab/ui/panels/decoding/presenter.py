"""What the decoding panel does. No Qt: the view is a protocol."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from llmlab.engine.errors import InputError
from llmlab.engine.knobs import Tokens
from llmlab.engine.sampling import shape
from llmlab.engine.sorted_logits import SortedLogits
from llmlab.engine.types import GenerationStep, ModelInfo
from llmlab.jobs.job import ErrorInfo
from llmlab.ui.panel import Desk, PanelContext
from llmlab.ui.panels.decoding import snippet, stages
from llmlab.ui.panels.decoding.asking import Asking
from llmlab.ui.panels.decoding.branching import Branching
from llmlab.ui.panels.decoding.changing import Changing, seed_at
from llmlab.ui.panels.decoding.comparing import Comparing
from llmlab.ui.panels.decoding.completions import Completions
from llmlab.ui.panels.decoding.conversing import Conversing
from llmlab.ui.panels.decoding.copies import Copies
from llmlab.ui.panels.decoding.params import MAX_SEED, Params
from llmlab.ui.panels.decoding.picture import Filled, Picture, Place, Screen, ShownChange, as_generated, facts, reasons
from llmlab.ui.panels.decoding.presetting import PresetDesk, Presetting
from llmlab.ui.panels.decoding.readings import Reading, Readings
from llmlab.ui.panels.decoding.recording import RecordDesk, Recording
from llmlab.ui.panels.decoding.run import Outcome, Run
from llmlab.ui.panels.decoding.spelling import Spelling
from llmlab.ui.panels.decoding.sweeping import Sweeping
from llmlab.ui.panels.decoding.tabs import Part, PartMaker
from llmlab.ui.panels.decoding.waterfalling import Waterfalling
from llmlab.ui.presenter import Closing, PanelPresenter
from llmlab.workbench import Completion, ModelState

AT_PROMPT = 0
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
    """Keeps the distribution in step with the prompt and the settings, and makes completions.

    A *place* is how many tokens of the completion stand before the distribution that is shown; for an encoder it is
    the number of the mask. Place 0 belongs to the prompt as it is now, the others to the prompt of the run.
    """

    def __init__(self, context: PanelContext, view: View, pages: Mapping[str, Any] | None = None) -> None:
        super().__init__(context)
        self._view = view
        self._wanted = True  # the prompt has to be read (anew)
        self._place = AT_PROMPT
        self._generation = context.workbench.model.generation
        self._picture: Picture | None = None
        self._refused: ErrorInfo | None = None  # why the settings make no distribution
        self.params: Params = Params.from_dict(context.saved)
        self._readings = Readings(context.jobs, view.request_frame, context.notifier.error)
        self.completions = Completions(
            context.jobs, self._steps_came, self._refresh, context.notifier.error, self._run_replaced
        )
        self._spelling = Spelling(context.jobs, self._spelled, context.notifier.error)
        self.presets = Presetting(context.jobs, context.notifier, view, self._take_preset, self._refresh)
        self.recording = Recording(context.jobs, context.notifier, view, self.completions.again)
        self._changing = Changing(context.jobs, self._refresh, context.notifier.error)
        self.copies = Copies(context.jobs, context.notifier, view)
        self.desk: Desk = view
        self.parts: dict[str, Part] = {name: PARTS[name](context, self, page) for name, page in (pages or {}).items()}
        self._disconnect = (
            context.workbench.prompt_changed.connect(self._prompt_changed),
            context.workbench.model_changed.connect(self._model_changed),
        )
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
    def place_title(self) -> str:
        """Which position the distribution belongs to."""
        return self._place_shown.title

    def show_params(self) -> None:
        """Let the controls follow knobs that were not turned there."""
        self._view.show_params(self.params)

    # --- settings -------------------------------------------------------------------------------------------

    def change(self, **changes: Any) -> None:
        """The user has turned a knob. The picture follows in the same frame, without a job."""
        self.params = replace(self.params, **changes)
        self._spell()
        self._view.request_frame()

    def _take_preset(self, changes: Mapping[str, Any]) -> None:
        self.change(**changes)
        self.show_params()

    def _spell(self) -> None:
        """Find out the tokens of the words in the settings."""
        if self.params.words and self.info is not None and self._workbench.model.ready:
            self._spelling.want(self.params.words)

    def _spelled(self, spelled: Mapping[str, tuple[Tokens, ...]]) -> None:
        self.params = replace(self.params, spelled=spelled)
        self._view.request_frame()

    def new_seed(self) -> None:
        """Another seed, at random."""
        self.params = replace(self.params, seed=random.randrange(MAX_SEED))
        self.show_params()

    def frame(self) -> None:
        """Shape what is captured with the settings of the moment, and show it."""
        reading = self._reading
        if self._fills_masks:
            self._place = min(self._place, max(0, len(reading.positions) - 1 if reading else 0))
        self._refused = None
        try:
            picture = self._picture if self._awaits_step else self._make_picture()
            filled = self._fill(reading) if self._fills_masks and reading is not None else None
        except InputError as error:  # the settings leave no token to draw
            self._refused, picture, filled = ErrorInfo.of(error), None, None
        if picture is None or picture is not self._picture:
            self._picture = picture
            self._view.show_picture(picture)
        if filled is not None:
            self._view.show_filled(filled, self._place)
        self._refresh()

    # --- the model and the prompt ---------------------------------------------------------------------------

    @property
    def _fills_masks(self) -> bool:
        return self.info is not None and stages.fills_masks(self.info)

    @property
    def _reading(self) -> Reading | None:
        """What is known of the prompt."""
        return self._readings.prompt

    def _prompt_changed(self, _text: str) -> None:
        self._wanted = True
        if not self._fills_masks and self._place != AT_PROMPT:
            self._go_to(AT_PROMPT)
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
            self._wanted, self._place = True, AT_PROMPT
            self._view.select_step(-1)
            self._view.request_frame()
            self._read_prompt()
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

    # --- the picture ----------------------------------------------------------------------------------------

    def _make_picture(self) -> Picture | None:
        step, captured = self._step_at_place, self.captured
        if captured is None:
            return as_generated(step) if step is not None else None
        settings = self.params.sampling
        shaped = shape(captured, settings)
        drawn = step.token_id if step else int(shaped.ids[0]) if settings.greedy else None
        return Picture(shaped, self.text_of, reasons(settings), facts(shaped), drawn)

    @property
    def _awaits_step(self) -> bool:
        """Whether the place is that of a token which is being generated: what is shown stays until it has come."""
        run = self.run
        return run is not None and self.completions.running and self._place == len(run.steps) > 0

    @property
    def captured(self) -> SortedLogits | None:
        """The logits at the place, if they are at hand."""
        step = self._step_at_place
        if self._fills_masks or self._place == AT_PROMPT:
            reading, index = self._reading, self._place
        elif step is not None:
            return step.sorted
        else:
            reading, index = self._readings.whole, 0
            run = self.run
            if reading is not None and (run is None or reading.text != run.prompt + run.text):
                reading = None
        return reading.positions[index].sorted if reading is not None and index < len(reading.positions) else None

    @property
    def _step_at_place(self) -> GenerationStep | None:
        """The token that was drawn at the place."""
        run = self.run
        if run is None or run.former or self._fills_masks or self._place >= len(run.steps):
            return None
        if self._place == AT_PROMPT and run.prompt != self._workbench.prompt:
            return None
        return run.steps[self._place]

    @property
    def text_of(self) -> Callable[[int], str]:
        """The texts of all tokens, or of the best ones until those have come."""
        if self._readings.texts is not None:
            return self._readings.texts.__getitem__
        best: dict[int, str] = {}
        for position in self._reading.positions if self._reading else ():
            best.update(zip(position.sorted.ids[: len(position.texts)].tolist(), position.texts, strict=True))
        return lambda token_id: best.get(token_id, f"#{token_id}")

    def _fill(self, reading: Reading) -> list[Filled]:
        """The text with the most probable token at each mask."""
        mask = self.info.mask_token if self.info else None
        first, *others = reading.text.split(mask) if mask else [reading.text]
        parts = [Filled(first)]
        for index, (position, after) in enumerate(zip(reading.positions, others, strict=False)):
            best = shape(position.sorted, self.params.sampling)
            text = self.text_of(int(best.ids[0]))
            joined = text.lstrip() if not parts[-1].text or parts[-1].text[-1:].isspace() else text
            parts += [Filled(joined, float(best.probabilities[0]), index), Filled(after)]
        return [part for part in parts if part.text or part.mask is not None]

    # --- places ---------------------------------------------------------------------------------------------

    def select_step(self, index: int) -> None:
        """The user has clicked a token of the completion: show what it was drawn from."""
        run = self.run
        if run is not None and not run.former and 0 <= index < len(run.steps):
            self._go_to(index)

    def select_mask(self, index: int) -> None:
        """The user has clicked a filled mask."""
        if self._fills_masks and 0 <= index <= self._last_place:
            self._go_to(index)

    def go(self, by: int) -> None:
        """The place before (-1) or after (1); 0 goes back to the prompt."""
        self._go_to(min(max(0, self._place + by), self._last_place) if by else AT_PROMPT)

    @property
    def _last_place(self) -> int:
        if self._fills_masks:
            return max(0, len(self._reading.positions) - 1) if self._reading else 0
        run = self.run
        if run is None or run.former or not run.steps:
            return 0
        return len(run.steps) - (0 if stages.can_go_on(run, self.completions.running) else 1)

    def _go_to(self, place: int) -> None:
        self._place = place
        run = self.run
        if run is not None and not run.former and not self._fills_masks:
            step = self._step_at_place
            self._view.select_step(-1 if step is None else step.index)
            if place == len(run.steps) > 0 and not self.completions.running:
                self._readings.read_whole(run.prompt + run.text)
        self._view.request_frame()

    # --- completions ----------------------------------------------------------------------------------------

    def generate(self) -> None:
        """Make a completion of the prompt; for an encoder, put a mask into it."""
        if self._fills_masks:
            self.insert_mask()
        elif self.info is not None and not self._cannot_generate:
            self._start(self.params)

    def regenerate(self, *, new_seed: bool = False) -> None:
        """Again with the settings of the last run; the same seed gives the same text."""
        run = self.run
        if run is None or self.info is None or self._cannot_generate:
            return
        if new_seed:
            self.new_seed()
        seed = self.params.seed if new_seed else run.settings.seed
        settings = replace(run.settings, seed=seed, max_new_tokens=run.new_tokens)
        self.completions.start(self.info, self._workbench.prompt, settings)

    def go_on(self, at: int, given: Sequence[int] = (), *, new_seed: bool = False) -> None:
        """A branch: the first `at` tokens of the completion, the `given` ones, and the model goes on from there."""
        run = self.run
        if run is not None and not run.former and self._workbench.model.ready:
            if new_seed:
                self.new_seed()
            self.completions.go_on(run, at, self.params.generation, given)

    def take_change(self) -> None:
        """A branch from the first token that these settings would have drawn differently, with the same seed."""
        run, change = self.run, self._changing.change
        if run is not None and change is not None and self._workbench.model.ready:
            settings = replace(self.params.generation, seed=seed_at(run, change.at))
            self.completions.go_on(run, change.at, settings)

    def edit(self, text: str) -> None:
        """A branch that begins with `text` in the place of the completion's own."""
        run = self.run
        if run is not None and not run.former and self._workbench.model.ready and text != run.text:
            self.completions.edit(run, text, self.params.generation)

    def _start(self, params: Params) -> None:
        assert self.info is not None
        self.completions.start(self.info, self._workbench.prompt, params.generation)

    def _run_replaced(self) -> None:
        """Another completion is on screen, or none."""
        run = self.run
        self._view.clear_steps()
        self._workbench.completion = None
        if run is not None and run.steps:
            self._steps_came(tuple(run.steps))
        self._go_to(run.parted if run is not None and run.outcome is Outcome.RUNNING else AT_PROMPT)

    @property
    def _cannot_generate(self) -> str:
        error = self._readings.error
        if error is not None and error.kind == InputError.__name__:
            return error.message  # it would fail for the same reason
        return stages.cannot_generate(self._workbench.model, self._workbench.prompt)

    def stop(self) -> None:
        """End the completion; what is there stays."""
        self.completions.stop()

    def clear(self) -> None:
        """Remove the completion."""
        self.completions.clear()

    def _steps_came(self, steps: tuple[GenerationStep, ...]) -> None:
        self._view.add_steps(steps)
        if self.run is not None:
            self._workbench.completion = Completion(self.run.prompt, self.run.ids, self.run.text)
        if steps[0].index == self._place:
            self._go_to(self._place)  # this token was drawn from what is shown: mark it
        self._refresh()

    # --- the prompt, from here ------------------------------------------------------------------------------

    def insert_mask(self) -> None:
        """Put a mask at the end of the prompt, before its full stop."""
        mask = self.info.mask_token if self.info else None
        if mask:
            self._workbench.prompt = stages.with_mask(self._workbench.prompt, mask)

    def choose_token(self, token_id: int, text: str) -> None:
        """The user goes on with a token of their own choice, in a branch, in the prompt, or in the mask's place."""
        mask = self.info.mask_token if self.info else None
        if self._fills_masks and mask:
            self._workbench.prompt = stages.with_mask_filled(self._workbench.prompt, mask, self._place, text)
        elif self._step_at_place is not None:
            self.go_on(self._place, (token_id,))
        elif stages.can_append(self.info) and self._place == AT_PROMPT:
            self._workbench.prompt += text

    # --- copies ---------------------------------------------------------------------------------------------

    def copy_text(self) -> None:
        """The completion, or the text with its masks filled, to the clipboard."""
        if self._fills_masks:
            self._view.copy("".join(part.text for part in self._fill(self._reading)) if self._reading else "")
        elif self.run is not None:
            self._view.copy(self.run.text)

    def copy_python(self) -> None:
        """A script that does the same, to the clipboard."""
        if self.info is None:
            return
        if self._fills_masks:
            self._view.copy(snippet.fill_mask(self.info, self._workbench.prompt))
        elif self.run is not None:
            run = self.run
            self._view.copy(snippet.generation(run.info, run.prompt, run.settings, run.given))
        else:
            self._view.copy(snippet.generation(self.info, self._workbench.prompt, self.params.generation))

    def export_run(self, kind: str) -> None:
        """The completion to a file: "csv", or "json", from which it can be made again."""
        if self.run is None:
            return
        if kind == "json" and not self.run.former:
            self.recording.save(self.run)
        else:
            self.copies.run(self.run, kind)

    def export_distribution(self, kind: str) -> None:
        """All tokens of the shown distribution: to a file ("csv", "json") or the clipboard ("copy")."""
        if self._picture is not None:
            self.copies.distribution(self._picture, self._place_shown.title, kind)

    # --- the screen -----------------------------------------------------------------------------------------

    @property
    def _place_shown(self) -> Place:
        reading = self._reading
        return stages.place(
            self._place,
            last=self._last_place,
            masks=tuple(p.label for p in reading.positions) if self._fills_masks and reading else (),
            generated=len(self.run.steps) if self.run is not None and not self.run.former else 0,
            partial=self.captured is None and self._step_at_place is not None,
            waiting=self.completions.running and reading is not None and reading.text != self._workbench.prompt,
            greedy=self.params.sampling.greedy,
        )

    @property
    def _change(self) -> ShownChange | None:
        """Where the settings of the moment would have made another text."""
        run, change = self.run, self._changing.change
        if run is None or change is None or change.at >= len(run.steps):
            return None
        return ShownChange(change.at, run.steps[change.at].token, self.text_of(change.token_id))

    def _refresh(self) -> None:
        model, prompt, run = self._workbench.model, self._workbench.prompt, self.run
        self.recording.look(run)
        read = self._reading is not None or (self._place != AT_PROMPT and self._picture is not None)
        reason = self._cannot_generate
        self._changing.look(None if self._fills_masks else run, self.params.sampling)
        self._view.show(
            Screen(
                stage=stages.stage(model, prompt, self._readings.error or self._refused, read),
                place=self._place_shown,
                fill_mask=self._fills_masks,
                greedy=not self.params.do_sample,
                generating=self.completions.running,
                can_generate=not reason,
                generate_reason=reason,
                has_run=run is not None and bool(run.steps),
                status=run.status if run is not None else "",
                former=run.info.name if run is not None and run.former else "",
                change=self._change,
                own_settings="" if self._fills_masks else self.presets.own,
                use_label=stages.use_label(self.info, self._place, branches=self._step_at_place is not None),
            )
        )
        part = self._part
        if part is not None:
            part.bring()
