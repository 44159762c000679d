"""Starts the ranks, listens to them, and sees to it that none outlives the run."""

from __future__ import annotations

import json
import queue
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, TypeAlias

import psutil

from llmlab.children import SHARDING_RANK
from llmlab.engine.errors import DeviceError, EngineError, OutOfMemoryError
from llmlab.engine.hub import child_environment
from llmlab.engine.memory.describe import describe
from llmlab.engine.memory.layout import as_config
from llmlab.engine.memory.shape import ModelShape
from llmlab.engine.memory.sharding import Strategy
from llmlab.engine.progress import UNCONTROLLED, Control
from llmlab.engine.sharding.compare import compared, needs, ranks_of
from llmlab.engine.sharding.types import MethodResult, RankResult, ShardingRequest, ShardingRun, check
from llmlab.engine.wording import size_text
from llmlab.paths import bundled_model

Event: TypeAlias = dict[str, Any]

_SECONDS_BETWEEN_CHECKS = 0.1
_SECONDS_TO_FAIL = 1.0  # after the first rank has failed, for the others to say why: a killed one says nothing
_SECONDS_OF_SILENCE = 180.0
_AGAIN = "Run it again; if it happens again, choose fewer processes, sequences or tokens."


def run(
    request: ShardingRequest,
    control: Control = UNCONTROLLED,
    told: Callable[[MethodResult], None] = lambda result: None,
) -> ShardingRun:
    """Train with each method and compare; `told` of each as soon as it is done.

    Raises InputError for a request that cannot be, OutOfMemoryError where the ranks would not fit, DeviceError where
    there are too few GPUs, and EngineError where a rank ends early; Cancelled within a tenth of a second. No process
    is left in any case.
    """
    check(request)
    folder = Path(request.folder) if request.folder else bundled_model("decoder")
    shape = describe(folder, folder.name)
    checked = _checked(request, shape)
    control.report(f"Starting {request.ranks} processes")
    heard = _Heard(checked, shape, control, told)
    with _ranks(checked, folder) as events:
        for event in _until_done(events, request.ranks, control):
            heard.hear(event)
    return ShardingRun(
        checked, as_config(folder).model_type, shape.parameters, heard.device, heard.alone, tuple(heard.results)
    )


def _checked(request: ShardingRequest, shape: ModelShape) -> ShardingRequest:
    """The request as it can be run. Raises OutOfMemoryError, or InputError for more tokens than the model reads."""
    tokens = request.tokens if shape.context is None else min(request.tokens, shape.context)
    found = replace(request, tokens=tokens)
    wanted, free = needs(shape, found), int(psutil.virtual_memory().available)
    if request.device != "cuda" and wanted > free:
        raise OutOfMemoryError(
            f"{request.ranks} processes would need about {size_text(wanted)}, and {size_text(free)} are free.",
            "Choose fewer processes, sequences or tokens.",
        )
    return found


class _Heard:
    """What the ranks have said so far."""

    def __init__(
        self, request: ShardingRequest, shape: ModelShape, control: Control, told: Callable[[MethodResult], None]
    ) -> None:
        self.device = ""
        self.alone: tuple[float, ...] = ()
        self.results: list[MethodResult] = []
        self._request, self._shape, self._control, self._told = request, shape, control, told
        self._parts: dict[Strategy, dict[int, RankResult]] = {}

    def hear(self, event: Event) -> None:
        """Take in one event."""
        kind = event["event"]
        if kind == "ready":
            self.device = event["device"]
        elif kind == "alone":
            self.alone = tuple(event["losses"])
        elif kind == "step" and event["rank"] == 0:
            self._report(Strategy(event["method"]), event["step"])
        elif kind == "result":
            self._result(event)

    def _report(self, method: Strategy, step: int) -> None:
        steps, methods = self._request.steps, self._request.methods
        done = methods.index(method) * steps + step
        self._control.report(f"{method}: step {step} of {steps}", done / (steps * len(methods)))

    def _result(self, event: Event) -> None:
        method = Strategy(event["method"])
        parts = self._parts.setdefault(method, {})
        parts[event["rank"]] = ranks_of(event)
        if len(parts) == self._request.ranks:
            result = compared(self._shape, self._request, method, tuple(parts[rank] for rank in sorted(parts)))
            self.results.append(result)
            self._told(result)


@contextmanager
def _ranks(request: ShardingRequest, folder: Path) -> Iterator[queue.SimpleQueue[Event]]:
    """The events of all ranks while they live; they are killed when the block is left."""
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    with (
        tempfile.TemporaryDirectory(prefix="llmlab-sharding-", ignore_cleanup_errors=True) as place,
        ExitStack() as stack,
    ):
        for rank in range(request.ranks):
            asked = {
                "rank": rank,
                "ranks": request.ranks,
                "store": str(Path(place) / "store"),
                "folder": str(folder),
                "device": request.device,
                "methods": list(request.methods),
                "steps": request.steps,
                "batch": request.batch,
                "tokens": request.tokens,
                "seed": request.seed,
            }
            stack.enter_context(_rank(rank, asked, events))
        yield events


@contextmanager
def _rank(rank: int, asked: dict[str, Any], events: queue.SimpleQueue[Event]) -> Iterator[None]:
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(
            SHARDING_RANK.command,
            stdin=subprocess.PIPE,  # stays open: the child ends itself when this process is gone
            stdout=subprocess.PIPE,
            stderr=complaints,
            env=child_environment() | {"OMP_WAIT_POLICY": "PASSIVE"},
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        assert process.stdin is not None
        assert process.stdout is not None
        reader = threading.Thread(
            target=_read, args=(rank, process, complaints, events), name=f"sharding-rank-{rank}", daemon=True
        )
        reader.start()
        try:
            with suppress(OSError):  # a child that could not start says so in its complaints
                process.stdin.write(json.dumps(asked).encode() + b"\n")
                process.stdin.flush()
            yield
        finally:
            process.kill()
            process.wait()
            reader.join()
            with suppress(OSError):
                process.stdin.close()
            process.stdout.close()


def _read(rank: int, process: subprocess.Popen[bytes], complaints: IO[bytes], events: queue.SimpleQueue[Event]) -> None:
    """Pass the rank's lines on, until it ends; anything that is not ours is skipped."""
    assert process.stdout is not None
    for line in process.stdout:
        with suppress(ValueError):
            event = json.loads(line)
            if isinstance(event, dict) and "event" in event:
                events.put({**event, "rank": rank})
    complaints.seek(0)
    lines = complaints.read().decode(errors="replace").strip().splitlines()
    events.put({"event": "ended", "rank": rank, "text": lines[-1] if lines else "", "code": process.wait()})


def _until_done(events: queue.SimpleQueue[Event], ranks: int, control: Control) -> Iterator[Event]:
    """Events until every rank is done. Raises an EngineError as soon as one has failed."""
    done: set[int] = set()
    while len(done) < ranks:
        event = _next(events, control)
        if event["event"] == "done":
            done.add(event["rank"])
        elif event["event"] == "error" or (event["event"] == "ended" and event["rank"] not in done):
            raise _in_words(_first_cause(event, events))
        else:
            yield event


def _next(events: queue.SimpleQueue[Event], control: Control) -> Event:
    end = time.monotonic() + _SECONDS_OF_SILENCE
    while time.monotonic() < end:
        control.check()
        with suppress(queue.Empty):
            return events.get(timeout=_SECONDS_BETWEEN_CHECKS)
    raise EngineError(f"The processes said nothing for {_SECONDS_OF_SILENCE:g} s and were ended.", _AGAIN)


def _first_cause(event: Event, events: queue.SimpleQueue[Event]) -> Event:
    """The event that explains the failure: ranks that lose a neighbour complain too, often before it is seen to end."""
    failed = [event]
    end = time.monotonic() + _SECONDS_TO_FAIL
    while (left := end - time.monotonic()) > 0:
        with suppress(queue.Empty):
            later = events.get(timeout=left)
            if later["event"] in ("error", "ended"):
                failed.append(later)
    spoke = {each["rank"] for each in failed if each["event"] == "error"}
    silent = [each for each in failed if each["event"] == "ended" and each["rank"] not in spoke]
    return silent[0] if silent else failed[0]


def _in_words(event: Event) -> EngineError:
    text, name = str(event["text"]).rstrip("."), f"Rank {event['rank']}"
    if event["event"] == "ended" and int(event["code"]) < 0:
        return EngineError(
            f"{name} was killed (signal {-int(event['code'])}), and the other processes were ended with it.",
            f"The system kills processes when memory runs out. {_AGAIN}",
        )
    if event["event"] == "ended":
        return EngineError(f"{name} ended unexpectedly{f': {text}' if text else ''}.", _AGAIN)
    if "CUDA devices" in text:
        return DeviceError(f"{text[0].upper()}{text[1:]}.", "Choose the CPU, or fewer processes.")
    if "memory" in text.lower():
        return OutOfMemoryError(f"{name} ran out of memory.", "Choose fewer processes, sequences or tokens.")
    return EngineError(f"{name} failed: {text}.", _AGAIN)
