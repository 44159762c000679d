"""Starting, following and ending completions. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llmlab.engine.sampling import GenerationSettings
from llmlab.engine.types import GenerationStep, ModelInfo
from llmlab.jobs.job import ErrorInfo, JobControl
from llmlab.jobs.worker import Jobs
from llmlab.ui.panels.decoding.run import Outcome, Run

if TYPE_CHECKING:
    from llmlab.engine.session import Session

KEPT_BYTES = 256_000_000  # of whole distributions kept with the steps of a run; later steps keep their best tokens
BYTES_PER_TOKEN = 8  # of a sorted distribution: id and logit
REPORT_EVERY = 8  # tokens between two reports to the status line


class Completions:
    """The one completion on screen. `added` is called with new steps, `changed` when it began or ended."""

    def __init__(
        self,
        jobs: Jobs,
        added: Callable[[tuple[GenerationStep, ...]], None],
        changed: Callable[[], None],
        failed: Callable[[ErrorInfo], None],
    ) -> None:
        self._jobs = jobs
        self._added = added
        self._changed = changed
        self._failed = failed
        self.run: Run | None = None

    @property
    def running(self) -> bool:
        """Whether tokens still come."""
        return self.run is not None and self.run.outcome is Outcome.RUNNING

    def start(self, info: ModelInfo, prompt: str, settings: GenerationSettings) -> None:
        """A new completion in place of the last, which is given up if it still runs."""
        run = self.run = Run(prompt, settings, info)

        def failed(error: ErrorInfo) -> None:
            self._end(run, Outcome.FAILED)
            self._failed(error)

        self._jobs.submit(
            self,
            "generate",
            generation(prompt, settings, info.vocabulary),
            title="Generating",
            partial=lambda steps: self._add(run, steps),
            done=lambda _: self._end(run, Outcome.FINISHED),
            stopped=lambda _: self._end(run, Outcome.STOPPED),
            failed=failed,
            replace_running=True,
        )
        self._changed()

    def stop(self) -> None:
        """End it; what is there stays."""
        if self.running:
            self._jobs.cancel(self, "generate")

    def clear(self) -> None:
        """End it and forget it."""
        self.stop()
        self.run = None

    def forget_model(self) -> None:
        """The model that made it is gone. The text stays, its distributions do not."""
        if self.run is not None:
            self.run.former = True
            self.run.steps = [replace(step, sorted=None) for step in self.run.steps]

    def close(self) -> None:
        """Nothing more is delivered."""
        self._jobs.forget(self)

    def _add(self, run: Run, steps: tuple[GenerationStep, ...]) -> None:
        if run is self.run and not run.former:
            run.steps.extend(steps)
            self._added(steps)

    def _end(self, run: Run, outcome: Outcome) -> None:
        run.outcome = outcome
        if run is self.run:
            self._changed()


def generation(prompt: str, settings: GenerationSettings, vocabulary: int) -> Callable[[Session, JobControl], None]:
    """The work of one completion. It emits steps, the first ones with their whole distribution."""
    sampling = settings.sampling
    keeps = KEPT_BYTES // (BYTES_PER_TOKEN * max(1, vocabulary))

    def work(session: Session, control: JobControl) -> None:
        steps = session.engine.generate(
            prompt,
            max_new_tokens=settings.max_new_tokens,
            do_sample=sampling.do_sample,
            temperature=sampling.temperature,
            top_k=sampling.top_k,
            top_p=sampling.top_p,
            min_p=sampling.min_p,
            repetition_penalty=sampling.repetition_penalty,
            seed=settings.seed,
            stop=settings.stop,
            capture=True,
            control=control,
        )
        for step in steps:
            control.emit(step if step.index < keeps else replace(step, sorted=None))
            if step.index % REPORT_EVERY == 0:
                _report(control, step, settings.max_new_tokens)

    return work


def _report(control: Any, step: GenerationStep, total: int) -> None:
    count = step.index + 1
    control.report(f"Generating {count} of {total} · {count / max(step.seconds, 1e-9):.0f} tokens/s", count / total)
