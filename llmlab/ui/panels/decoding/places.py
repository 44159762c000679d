"""Which position's distribution is shown, and what is known of it. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from llmlab.engine.sampling import SamplingSettings, shape
from llmlab.engine.sorted_logits import SortedLogits
from llmlab.engine.types import GenerationStep, ModelInfo
from llmlab.ui.panels.decoding import stages
from llmlab.ui.panels.decoding.completions import Completions
from llmlab.ui.panels.decoding.picture import Filled, Picture, Place, as_generated, facts, reasons
from llmlab.ui.panels.decoding.readings import Reading, Readings
from llmlab.ui.panels.decoding.run import Run
from llmlab.workbench import Workbench

AT_PROMPT = 0


class PlacesView(Protocol):
    """Where the place is marked."""

    def select_step(self, index: int) -> None:
        """Mark one token of the completion, -1 for none."""

    def request_frame(self) -> None:
        """Paint the distribution anew before long."""


class Places:
    """The place that is shown, `at`, and the ways to others.

    A *place* is how many tokens of the completion stand before the distribution that is shown; for an encoder it is
    the number of the mask. Place 0 belongs to the prompt as it is now, the others to the prompt of the run.
    """

    def __init__(self, workbench: Workbench, readings: Readings, completions: Completions, view: PlacesView) -> None:
        self._workbench = workbench
        self._readings = readings
        self._completions = completions
        self._view = view
        self.at = AT_PROMPT

    # --- what is there --------------------------------------------------------------------------------------

    @property
    def fills_masks(self) -> bool:
        """Whether the places are an encoder's masks."""
        return self._info is not None and stages.fills_masks(self._info)

    @property
    def reading(self) -> Reading | None:
        """What is known of the prompt."""
        return self._readings.prompt

    @property
    def step(self) -> GenerationStep | None:
        """The token that was drawn here."""
        run = self._run
        if run is None or run.former or self.fills_masks or self.at >= len(run.steps):
            return None
        if self.at == AT_PROMPT and run.prompt != self._workbench.prompt:
            return None
        return run.steps[self.at]

    @property
    def captured(self) -> SortedLogits | None:
        """The logits here, if they are at hand."""
        step = self.step
        if self.fills_masks or self.at == AT_PROMPT:
            reading, index = self.reading, self.at
        elif step is not None:
            return step.sorted
        else:
            reading, index = self._readings.whole, 0
            run = self._run
            if reading is not None and (run is None or reading.text != run.prompt + run.text):
                reading = None
        return reading.positions[index].sorted if reading is not None and index < len(reading.positions) else None

    @property
    def awaits_step(self) -> bool:
        """Whether the token here is being generated: what is shown stays until it has come."""
        run = self._run
        return run is not None and self._completions.running and self.at == len(run.steps) > 0

    @property
    def text_of(self) -> Callable[[int], str]:
        """The texts of all tokens, or of the best ones until those have come."""
        if self._readings.texts is not None:
            return self._readings.texts.__getitem__
        best: dict[int, str] = {}
        for position in self.reading.positions if self.reading else ():
            best.update(zip(position.sorted.ids[: len(position.texts)].tolist(), position.texts, strict=True))
        return lambda token_id: best.get(token_id, f"#{token_id}")

    def picture(self, settings: SamplingSettings) -> Picture | None:
        """The distribution here. Raises InputError where the settings leave no token."""
        step, captured = self.step, self.captured
        if captured is None:
            return as_generated(step) if step is not None else None
        shaped = shape(captured, settings)
        drawn = step.token_id if step else int(shaped.ids[0]) if settings.greedy else None
        return Picture(shaped, self.text_of, reasons(settings), facts(shaped), drawn)

    def filled(self, settings: SamplingSettings) -> list[Filled] | None:
        """An encoder's text with the most probable token at each mask; None where it is not known."""
        reading = self.reading
        if reading is None or not self.fills_masks:
            return None
        mask = self._info.mask_token if self._info else None
        first, *others = reading.text.split(mask) if mask else [reading.text]
        parts = [Filled(first)]
        for index, (position, after) in enumerate(zip(reading.positions, others, strict=False)):
            best = shape(position.sorted, settings)
            text = self.text_of(int(best.ids[0]))
            joined = text.lstrip() if not parts[-1].text or parts[-1].text[-1:].isspace() else text
            parts += [Filled(joined, float(best.probabilities[0]), index), Filled(after)]
        return [part for part in parts if part.text or part.mask is not None]

    def shown(self, *, greedy: bool) -> Place:
        """The name of this place, and the ways from here."""
        reading, run = self.reading, self._run
        return stages.place(
            self.at,
            last=self._last,
            masks=tuple(p.label for p in reading.positions) if self.fills_masks and reading else (),
            generated=len(run.steps) if run is not None and not run.former else 0,
            partial=self.captured is None and self.step is not None,
            waiting=self._completions.running and reading is not None and reading.text != self._workbench.prompt,
            greedy=greedy,
        )

    # --- ways to other places -------------------------------------------------------------------------------

    def select_step(self, index: int) -> None:
        """The user has clicked a token of the completion: show what it was drawn from."""
        run = self._run
        if run is not None and not run.former and 0 <= index < len(run.steps):
            self.go_to(index)

    def select_mask(self, index: int) -> None:
        """The user has clicked a filled mask."""
        if self.fills_masks and 0 <= index <= self._last:
            self.go_to(index)

    def go(self, by: int) -> None:
        """The place before (-1) or after (1); 0 goes back to the prompt."""
        self.go_to(min(max(0, self.at + by), self._last) if by else AT_PROMPT)

    def go_to(self, place: int) -> None:
        """Show this place; behind the completion the whole text is read for it."""
        self.at = place
        run = self._run
        if run is not None and not run.former and not self.fills_masks:
            step = self.step
            self._view.select_step(-1 if step is None else step.index)
            if place == len(run.steps) > 0 and not self._completions.running:
                self._readings.read_whole(run.prompt + run.text)
        self._view.request_frame()

    def stay_within(self) -> None:
        """Masks may have gone."""
        if self.fills_masks:
            self.at = min(self.at, max(0, len(self.reading.positions) - 1 if self.reading else 0))

    @property
    def _last(self) -> int:
        if self.fills_masks:
            return max(0, len(self.reading.positions) - 1) if self.reading else 0
        run = self._run
        if run is None or run.former or not run.steps:
            return 0
        return len(run.steps) - (0 if stages.can_go_on(run, self._completions.running) else 1)

    @property
    def _info(self) -> ModelInfo | None:
        return self._workbench.model.info

    @property
    def _run(self) -> Run | None:
        return self._completions.run
