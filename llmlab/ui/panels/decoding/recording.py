"""Saving a run so that it can be made again, and making it again. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from llmlab.cli import DTYPES, QUANTIZATIONS
from llmlab.engine.types import ModelInfo, ModelRequest
from llmlab.jobs.job import JobControl
from llmlab.ui.asking import Asking
from llmlab.ui.panel import Desk
from llmlab.ui.panels.decoding import export, records
from llmlab.ui.panels.decoding.records import Record
from llmlab.ui.panels.decoding.run import Outcome, Run
from llmlab.workbench import ModelState, Status, Workbench

if TYPE_CHECKING:
    from llmlab.engine.engine import Engine


class RecordDesk(Desk, Protocol):
    """Where files are chosen."""

    def ask_record(self, then: Callable[[Path], None]) -> None:
        """Let the user choose a record to read, and go on with it."""


class Recording:
    """`start` begins a run from a record and returns it; `look` is called when a run has changed, `model_changed` when
    the model has.
    """

    def __init__(
        self,
        asking: Asking,
        workbench: Workbench,
        desk: RecordDesk,
        start: Callable[[ModelInfo, Record], Run | None],
    ) -> None:
        self._asking = asking
        self._bench = workbench
        self._waiting: Record | None = None  # for the model that is being opened
        self._opened = False  # for this record, by the user's wish
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
        self._asking.beside(self, "read", lambda _: records.read(path), self._take)

    def model_changed(self, state: ModelState) -> None:
        """A record that waits for a model is taken once it is there, and forgotten where it can't be opened."""
        if self._waiting is None or state.status is Status.LOADING:
            return
        record, self._waiting = self._waiting, None
        if state.error is None and (not self._opened or _is_of(state.info, record)):
            self._take(record)
        else:
            self._opened = False

    def look(self, run: Run | None) -> None:
        """Say how a replay compares, once it has ended."""
        if self._replayed is None or run is not self._replayed[0] or run.outcome is Outcome.RUNNING:
            return
        (run, record), self._replayed = self._replayed, None
        if run.outcome is Outcome.FINISHED:
            verdict = records.compare(record, run.steps)
            self._asking.notifier.say(verdict.words, "" if verdict.identical else _why(record, run, verdict.largest))

    def _take(self, record: Record) -> None:
        model = self._bench.model
        if model.status is Status.LOADING:
            self._waiting = record
        elif model.ready:
            self._check(record)
        else:
            self._offer(record, "no model is open")

    def _offer(self, record: Record, but: str) -> None:
        """Offer to open the model of a record."""
        scheme = record.quantization or record.dtype

        def accepted() -> None:
            self._opened, self._waiting = True, record
            self._bench.open_model(_request(record, self._bench.model.info))

        message, hint = (
            f"The record is a run of {record.model}, and {but}.",
            f"Open {record.spec} in {scheme} to replay it.",
        )
        self._asking.notifier.offer(message, hint, "Open and replay", accepted)

    def _check(self, record: Record) -> None:
        """Whether the loaded model is the one that made it."""

        def work(engine: Engine, control: JobControl) -> tuple[str, ModelInfo]:
            return engine.weights_sha256(control), engine.info

        def done(answer: tuple[str, ModelInfo]) -> None:
            weights, info = answer
            opened, self._opened = self._opened, False
            if weights != record.weights_sha256:
                if opened:
                    self._asking.notifier.say(
                        f"{record.spec} no longer has the weights of the recorded run, so it can't be replayed.",
                        "The record names the weights by their hash: open a folder that has them, and replay it then.",
                    )
                else:
                    self._offer(record, "the loaded model has other weights")
                return
            run = self._start(info, record)
            if run is not None:
                self._replayed = (run, record)
                self.look(run)

        self._asking.engine(self, "check", work, done, title="Hashing the weights")


def _is_of(info: ModelInfo | None, record: Record) -> bool:
    return info is not None and info.request.spec == record.spec


def _request(record: Record, loaded: ModelInfo | None) -> ModelRequest:
    """The model of a record, opened as it was; the network stays out where it is kept out now."""
    offline = loaded is not None and loaded.request.offline
    dtype = record.dtype if record.dtype in DTYPES else "auto"
    quantization = record.quantization if record.quantization in QUANTIZATIONS[1:] else None
    return ModelRequest(record.spec, dtype=dtype, quantization=quantization, offline=offline)


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
