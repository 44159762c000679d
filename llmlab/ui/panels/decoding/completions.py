"""Starting, following and ending completions. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from llmlab.engine.sampling import GenerationSettings
from llmlab.engine.types import GenerationStep, ModelInfo
from llmlab.jobs.job import ErrorInfo, JobControl
from llmlab.jobs.worker import Jobs
from llmlab.ui.panels.decoding.branches import Branches
from llmlab.ui.panels.decoding.records import Record
from llmlab.ui.panels.decoding.run import Outcome, Run

if TYPE_CHECKING:
    from llmlab.engine.session import Session

KEPT_BYTES = 256_000_000  # of whole distributions kept with the steps of a run; later steps keep their best tokens
BYTES_PER_TOKEN = 8  # of a sorted distribution: id and logit
REPORT_EVERY = 8  # tokens between two reports to the status line


class Completions:
    """The completion on screen and those before it. `added` is called with new steps, `changed` when one began or
    ended, `replaced` when another one is on screen.
    """

    def __init__(
        self,
        jobs: Jobs,
        added: Callable[[tuple[GenerationStep, ...]], None],
        changed: Callable[[], None],
        failed: Callable[[ErrorInfo], None],
        replaced: Callable[[], None],
    ) -> None:
        self._jobs = jobs
        self._added = added
        self._changed = changed
        self._failed = failed
        self._replaced = replaced
        self._shown: Run | None = None
        self.branches = Branches(self._branches_changed)

    @property
    def run(self) -> Run | None:
        """The completion on screen."""
        return self.branches.tree.current

    @property
    def running(self) -> bool:
        """Whether tokens still come."""
        return self.run is not None and self.run.outcome is Outcome.RUNNING

    def start(self, info: ModelInfo, prompt: str, settings: GenerationSettings) -> None:
        """A new completion, in front of the last one, which is given up if it still runs."""
        self._begin(Run(prompt, settings, info), ())

    def go_on(self, run: Run, at: int, settings: GenerationSettings, given: Sequence[int] = ()) -> None:
        """A branch of `run`: its first `at` tokens, then those `given`, then what the model makes of it.

        `settings` allow so many new tokens from there on. The random numbers are those of their seed for the same
        places, so that without anything given only other settings make another text.
        """
        whole = replace(settings, max_new_tokens=at + len(given) + settings.max_new_tokens)
        steps = run.steps[:at]
        branch = Run(run.prompt, whole, run.info, list(steps), parent=run, parted=at)
        self._begin(branch, (*(step.token_id for step in steps), *given))

    def again(self, info: ModelInfo, record: Record) -> Run:
        """The run of a record, made again from the start."""
        run = Run(record.prompt, record.settings, info)
        self._begin(run, record.given)
        return run

    def edit(self, run: Run, text: str, settings: GenerationSettings) -> None:
        """A branch of `run` that begins with `text` instead of its own."""

        def work(session: Session, _control: JobControl) -> tuple[int, ...]:
            return session.engine.completion_ids(run.prompt, text)

        def done(ids: tuple[int, ...]) -> None:
            pairs = enumerate(zip(run.ids, ids, strict=False))
            common = next((i for i, (old, new) in pairs if old != new), min(len(run.ids), len(ids)))
            self.go_on(run, common, settings, ids[common:])

        self._jobs.submit(self, "edit", work, title="Reading the text", done=done, failed=self._failed)

    def _begin(self, run: Run, given: tuple[int, ...]) -> None:
        def failed(error: ErrorInfo) -> None:
            self._end(run, Outcome.FAILED)
            self._failed(error)

        self.branches.add(run)
        self._spare_memory(run)
        self._jobs.submit(
            self,
            "generate",
            generation(run.prompt, run.settings, run.info.vocabulary, given, run.parted),
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
        self._jobs.cancel(self, "edit")
        if self.running:
            self._jobs.cancel(self, "generate")

    def clear(self) -> None:
        """End it and take it off the screen; it stays among the branches."""
        self.stop()
        self.branches.switch(None)

    def forget_model(self) -> None:
        """The model that made them is gone. The text on screen stays, its distributions do not."""
        self._jobs.cancel(self, "edit")
        self.branches.forget()
        if self.run is not None:
            self.run.former, self.run.parent = True, None
            self.run.steps = _without_distributions(self.run.steps)

    def close(self) -> None:
        """Nothing more is delivered."""
        self._jobs.forget(self)

    def _branches_changed(self) -> None:
        former, self._shown = self._shown, self.run
        if former is not self._shown:
            if former is not None and former.outcome is Outcome.RUNNING:
                former.outcome = Outcome.STOPPED  # what is not on screen does not go on
                self._jobs.cancel(self, "generate")
            self._replaced()
        self._changed()

    def _spare_memory(self, newest: Run) -> None:
        """Keep the whole distributions of the newest runs only; all keep their best tokens."""
        left = KEPT_BYTES // (BYTES_PER_TOKEN * max(1, newest.info.vocabulary)) - newest.settings.max_new_tokens
        for run in reversed(self.branches.tree.runs):
            if run is not newest:
                left -= len(run.steps) - run.parted
                if left < 0:
                    run.steps = _without_distributions(run.steps)

    def _add(self, run: Run, steps: tuple[GenerationStep, ...]) -> None:
        if run.former or run.outcome is not Outcome.RUNNING:
            return
        run.steps.extend(steps)
        if run.prompt_tokens is None and steps and steps[0].sorted is not None:
            run.prompt_tokens = steps[0].sorted.context.given
        if run is self.run:
            self._added(steps)

    def _end(self, run: Run, outcome: Outcome) -> None:
        if run.outcome is Outcome.RUNNING:
            run.outcome = outcome
        if run is self.run:
            self._changed()


def _without_distributions(steps: Sequence[GenerationStep]) -> list[GenerationStep]:
    return [step.without_position() for step in steps]


def generation(
    prompt: str, settings: GenerationSettings, vocabulary: int, given: tuple[int, ...] = (), known: int = 0
) -> Callable[[Session, JobControl], None]:
    """The work of one completion. It emits steps, the first ones with their whole distribution."""
    sampling = settings.sampling
    keeps = KEPT_BYTES // (BYTES_PER_TOKEN * max(1, vocabulary))

    def work(session: Session, control: JobControl) -> None:
        steps = session.engine.generate(
            prompt,
            max_new_tokens=settings.max_new_tokens,
            seed=settings.seed,
            stop=settings.stop,
            overflow=settings.overflow,
            cuda_graphs=settings.cuda_graphs,
            given=given,
            known=known,
            capture=True,
            keep_cache=True,
            control=control,
            **{knob.name: getattr(sampling, knob.name) for knob in fields(sampling)},
        )
        told = []
        try:
            for step in steps:
                told.append(step if step.index < keeps else step.without_position())
                control.emit(told[-1])
                if step.index % REPORT_EVERY == 0:
                    _report(control, step, settings.max_new_tokens, known)
        finally:  # what nobody has asked for while the text came; the window shall never have to, for a whole run
            for step in told:
                step.figures()

    return work


def _report(control: Any, step: GenerationStep, total: int, known: int) -> None:
    count = step.index + 1
    speed = (count - known) / max(step.seconds, 1e-9)
    control.report(f"Generating {count} of {total} · {speed:.0f} tokens/s", count / total)
