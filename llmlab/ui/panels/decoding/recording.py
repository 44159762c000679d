"""Saving a run so that it can be made again, and making it again. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from llmlab.engine.types import ModelInfo
from llmlab.jobs.job import JobControl
from llmlab.ui.asking import Asking
from llmlab.ui.panel import Desk
from llmlab.ui.panels.decoding import export, records
from llmlab.ui.panels.decoding.records import Record
from llmlab.ui.panels.decoding.run import Outcome, Run

if TYPE_CHECKING:
    from llmlab.engine.engine import Engine


class RecordDesk(Desk, Protocol):
    """Where files are chosen."""

    def ask_record(self, then: Callable[[Path], None]) -> None:
        """Let the user choose a record to read, and go on with it."""


class Recording:
    """`start` begins a run from a record and returns it; `look` is called when a run has changed."""

    def __init__(self, asking: Asking, desk: RecordDesk, start: Callable[[ModelInfo, Record], Run | None]) -> None:
        self._asking = asking
        self._desk = desk
        self._start = start
        self._replayed: tuple[Run, Record] | None = None

    def close(self) -> None:
        """Deliver nothing more."""
        self._asking.forget(self)

    def save(self, run: Run) -> None:
        """To a file, with a hash of the weights that made it."""
        frozen = replace(run, steps=list(run.steps))

        def write(path: Path, weights: str) -> None:
            self._asking.write(path, lambda: export.run_text(frozen, "json", weights))

        def hashed(weights: str) -> None:
            self._desk.ask_path("completion.json", ("json",), lambda path: write(path, weights))

        self._asking.engine(self, "save", _fingerprint, hashed, title="Hashing the weights")

    def replay(self) -> None:
        """Let the user choose a record, and make its run again."""
        self._desk.ask_record(self.read)

    def read(self, path: Path) -> None:
        """Make the run of a record again."""
        self._asking.beside(self, "read", lambda _: records.read(path), self._check)

    def look(self, run: Run | None) -> None:
        """Say how a replay compares, once it has ended."""
        if self._replayed is None or run is not self._replayed[0] or run.outcome is Outcome.RUNNING:
            return
        (run, record), self._replayed = self._replayed, None
        if run.outcome is Outcome.FINISHED:
            verdict = records.compare(record, run.steps)
            self._asking.notifier.say(verdict.words, "" if verdict.identical else _why(record, run, verdict.largest))

    def _check(self, record: Record) -> None:
        """Whether the loaded model is the one that made it."""

        def work(engine: Engine, control: JobControl) -> tuple[str, ModelInfo]:
            return engine.weights_sha256(control), engine.info

        def done(answer: tuple[str, ModelInfo]) -> None:
            weights, info = answer
            if weights != record.weights_sha256:
                self._asking.notifier.say(
                    f"The record is a run of {record.model}, and the loaded model has other weights.",
                    f"Open {record.spec} in {record.dtype}, and replay it then.",
                )
                return
            run = self._start(info, record)
            if run is not None:
                self._replayed = (run, record)
                self.look(run)

        self._asking.engine(self, "check", work, done, title="Hashing the weights")


def _fingerprint(engine: Engine, control: JobControl) -> str:
    return engine.weights_sha256(control)


def _why(record: Record, run: Run, largest: float) -> str:
    """What may be the reason, in words."""
    now = export.versions()
    others = [f"{name} {old}, now {now.get(name)}" for name, old in record.versions.items() if now.get(name) != old]
    if record.computed != run.computed:
        others.append(f"steps that were {record.computed}, now {run.computed}")
    size = f"Probabilities differ by up to {largest:.1e}. " if largest else ""
    return size + (f"It was made with {'; '.join(others)}." if others else "It may have been made on another device.")
