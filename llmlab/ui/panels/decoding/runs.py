"""What sets the model writing: a new text, another one, a branch, a token of the user's choice. No Qt."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from llmlab.engine.errors import InputError
from llmlab.ui.panels.decoding import stages
from llmlab.ui.panels.decoding.changing import Changing, seed_at
from llmlab.ui.panels.decoding.completions import Completions
from llmlab.ui.panels.decoding.params import MAX_SEED
from llmlab.ui.panels.decoding.picture import ShownChange
from llmlab.ui.panels.decoding.places import AT_PROMPT, Places
from llmlab.ui.panels.decoding.readings import Readings
from llmlab.ui.panels.decoding.run import Run
from llmlab.ui.panels.decoding.tabs import Playground
from llmlab.workbench import Workbench


class Runs:
    """Starts completions with the settings of the moment, and puts tokens into the prompt."""

    def __init__(
        self,
        workbench: Workbench,
        playground: Playground,
        places: Places,
        readings: Readings,
        completions: Completions,
        changing: Changing,
    ) -> None:
        self._workbench = workbench
        self._playground = playground
        self._places = places
        self._readings = readings
        self._completions = completions
        self._changing = changing

    @property
    def cannot(self) -> str:
        """Why no completion can be made now; empty if one can."""
        error = self._readings.error
        if error is not None and error.kind == InputError.__name__:
            return error.message  # it would fail for the same reason
        return stages.cannot_generate(self._workbench.model, self._workbench.prompt)

    @property
    def change(self) -> ShownChange | None:
        """Where the settings of the moment would have made another text."""
        run, change = self._run, self._changing.change
        if run is None or change is None or change.at >= len(run.steps):
            return None
        return ShownChange(change.at, run.steps[change.at].token, self._places.text_of(change.token_id))

    def generate(self) -> None:
        """Make a completion of the prompt; for an encoder, put a mask into it."""
        info = self._playground.info
        if self._places.fills_masks:
            self.insert_mask()
        elif info is not None and not self.cannot:
            self._completions.start(info, self._workbench.prompt, self._playground.params.generation)

    def regenerate(self, *, new_seed: bool = False) -> None:
        """Again with the settings of the last run; the same seed gives the same text."""
        run, info = self._run, self._playground.info
        if run is None or info is None or self.cannot:
            return
        if new_seed:
            self.new_seed()
        seed = self._playground.params.seed if new_seed else run.settings.seed
        settings = replace(run.settings, seed=seed, max_new_tokens=run.new_tokens)
        self._completions.start(info, self._workbench.prompt, settings)

    def go_on(self, at: int, given: Sequence[int] = (), *, new_seed: bool = False) -> None:
        """A branch: the first `at` tokens of the completion, the `given` ones, and the model goes on from there."""
        run = self._run
        if run is not None and not run.former and self._workbench.model.ready:
            if new_seed:
                self.new_seed()
            self._completions.go_on(run, at, self._playground.params.generation, given)

    def take_change(self) -> None:
        """A branch from the first token that these settings would have drawn differently, with the same seed."""
        run, change = self._run, self._changing.change
        if run is not None and change is not None and self._workbench.model.ready:
            settings = replace(self._playground.params.generation, seed=seed_at(run, change.at))
            self._completions.go_on(run, change.at, settings)

    def edit(self, text: str) -> None:
        """A branch that begins with `text` in the place of the completion's own."""
        run = self._run
        if run is not None and not run.former and self._workbench.model.ready and text != run.text:
            self._completions.edit(run, text, self._playground.params.generation)

    def new_seed(self) -> None:
        """Another seed, at random."""
        self._playground.change(seed=random.randrange(MAX_SEED))
        self._playground.show_params()

    def insert_mask(self) -> None:
        """Put a mask at the end of the prompt, before its full stop."""
        info = self._playground.info
        if info is not None and info.mask_token:
            self._workbench.prompt = stages.with_mask(self._workbench.prompt, info.mask_token)

    def choose_token(self, token_id: int, text: str) -> None:
        """The user goes on with a token of their own choice, in a branch, in the prompt, or in the mask's place."""
        info, places = self._playground.info, self._places
        mask = info.mask_token if info else None
        if places.fills_masks and mask:
            self._workbench.prompt = stages.with_mask_filled(self._workbench.prompt, mask, places.at, text)
        elif places.step is not None:
            self.go_on(places.at, (token_id,))
        elif stages.can_append(info) and places.at == AT_PROMPT:
            self._workbench.prompt += text

    @property
    def _run(self) -> Run | None:
        return self._completions.run
