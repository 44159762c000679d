"""Where would the text have changed? The first token that other settings would have drawn differently. No Qt."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from llmlab.engine.errors import InputError
from llmlab.engine.sampling import SamplingSettings, draw, shape
from llmlab.engine.types import GenerationStep
from llmlab.jobs.job import ErrorInfo, JobControl
from llmlab.jobs.worker import Jobs
from llmlab.ui.panels.decoding.run import Outcome, Run

AT_ONCE = 0.008  # seconds that looking may take in the window's own thread; the rest is done in a job


@dataclass(frozen=True, slots=True)
class Change:
    """Token number `at` of the completion would have been `token_id`, with the same random number."""

    at: int
    token_id: int


class Changing:
    """`changed` is called when `change`, of the run and the settings looked at last, is another one."""

    def __init__(self, jobs: Jobs, changed: Callable[[], None], failed: Callable[[ErrorInfo], None]) -> None:
        self._jobs = jobs
        self._changed = changed
        self._failed = failed
        self._looked: tuple[Run | None, int, SamplingSettings] | None = None
        self.change: Change | None = None
        self.busy = False

    def look(self, run: Run | None, settings: SamplingSettings) -> None:
        """Find out where `run` would have become another text; while it grows there is no answer."""
        if run is not None and (run.former or run.outcome is Outcome.RUNNING):
            run = None
        looked = (run, len(run.steps) if run else 0, settings)
        if self._looked is not None and self._looked[0] is run and self._looked[1:] == looked[1:]:
            return
        self._looked = looked
        self.busy, self.change = False, None
        if run is None or (run.parent is None and settings == run.settings.sampling):
            return
        search, end = _search(tuple(run.steps), settings), time.perf_counter() + AT_ONCE
        for found in search:
            if found is not None or time.perf_counter() > end:
                break
        else:
            return
        if found is None:
            self._go_on(search, looked)
        self.change = found

    def close(self) -> None:
        """Nothing more is delivered."""
        self._jobs.forget(self)

    def _go_on(self, search: Iterator[Change | None], looked: tuple[Run | None, int, SamplingSettings]) -> None:
        def work(_session: object, control: JobControl) -> Change | None:
            for found in search:
                control.check()
                if found is not None:
                    return found
            return None

        def done(found: Change | None) -> None:
            if looked is self._looked:
                self.busy, self.change = False, found
                self._changed()

        self.busy = True
        self._jobs.submit(
            self,
            "change",
            work,
            title="Comparing settings",
            done=done,
            failed=self._failed,
            needs_model=False,
            replace_running=True,
        )


def _search(steps: tuple[GenerationStep, ...], settings: SamplingSettings) -> Iterator[Change | None]:
    """One value for each token that was looked at; the first that is not None is the answer.

    The tokens that a user gave stay. It ends where a step has no whole distribution any more, and where a draw would
    need the random number of a step that was not drawn.
    """
    for step in steps:
        if step.given:
            continue
        if step.sorted is None or (step.uniform is None and not settings.greedy):
            return
        try:
            shaped = shape(step.sorted, settings)
        except InputError:  # the settings leave no token here: the bars say so
            return
        chosen = 0 if settings.greedy or step.uniform is None else draw(shaped, step.uniform)
        token_id = int(shaped.ids[chosen])
        yield Change(step.index, token_id) if token_id != step.token_id else None


def seed_at(run: Run, at: int) -> int:
    """The seed with which token number `at` was drawn: a branch shares its first tokens with its parent."""
    while run.parent is not None and at < run.parted:
        run = run.parent
    return run.settings.seed
