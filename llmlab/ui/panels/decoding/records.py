"""A run as it was saved: read from its file, and compared with the same run made again. No Qt."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from llmlab import textfile
from llmlab.engine.errors import InputError
from llmlab.engine.sampling import GenerationSettings, SamplingSettings
from llmlab.engine.types import GenerationStep
from llmlab.ui.panels.decoding.export import RECORD
from llmlab.ui.panels.decoding.recognising import holds_record
from llmlab.ui.panels.decoding.run import PLAIN

MOST_BYTES = 200_000_000
KIND = "is not the record of a run."
HINT = "Choose a JSON file that was saved with “Save run record” in the completion's menu."
BROKEN = "is the record of a run, but it is broken: it ends too early, or was changed."
BROKEN_HINT = "Copy the whole file once more, or save the run again with “Save run record” in the completion's menu."

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class RecordedStep:
    """One token, with the numbers that tell whether it was computed in the same way."""

    token_id: int
    probability: float
    raw_probability: float
    given: bool


@dataclass(frozen=True, slots=True)
class Record:
    """All that it takes to make a run again, and what it was."""

    model: str  # its name
    spec: str
    weights_sha256: str
    dtype: str
    quantization: str | None
    prompt: str
    settings: GenerationSettings
    given: tuple[int, ...]
    steps: tuple[RecordedStep, ...]
    versions: Mapping[str, str]
    computed: str  # as `Run.computed` says it


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a replay compares: the first token that differs, if any, and the largest difference of a probability."""

    tokens: int
    first_difference: int | None
    largest: float

    @property
    def identical(self) -> bool:
        """Whether every token and every number is the same, to the last bit."""
        return self.first_difference is None and self.largest == 0

    @property
    def words(self) -> str:
        """In one sentence."""
        if self.first_difference is not None:
            return f"The replay differs from the record at token {self.first_difference + 1}."
        if self.largest == 0:
            return f"The replay is bit-identical: {self.tokens:,} tokens with the same probabilities."
        return f"The replay has the same {self.tokens:,} tokens, but not the same numbers."


def read(path: Path) -> Record:
    """The record in a file. Raises InputError for one that is broken or of another version, and for everything else."""
    broken = InputError(f"{path.name} {BROKEN}", BROKEN_HINT)
    refused = broken if holds_record(path) else InputError(f"{path.name} {KIND}", HINT)
    loaded = textfile.read(path, "utf-8", MOST_BYTES)
    if not isinstance(loaded, textfile.Text) or not loaded.whole:
        raise refused
    try:
        content = json.loads(loaded.text)
        version = content["record"]
    except (KeyError, TypeError, ValueError, RecursionError):
        raise refused from None
    if type(version) is int and version != RECORD:
        raise InputError(
            f"{path.name} is the record of a run in format {version}; this version of LLM Lab reads format {RECORD}.",
            "Replay it with the version that saved it, which stands in the file under “versions”.",
        )
    try:
        return _record(content)
    except (KeyError, TypeError, ValueError, OverflowError):
        raise refused from None


def compare(record: Record, steps: Sequence[GenerationStep]) -> Verdict:
    """What the same run made again has in common with its record.

    The tokens that were given came about with other settings, so only what the model itself says of them counts.
    """
    pairs = list(zip(record.steps, steps, strict=False))
    first = next((i for i, (old, new) in enumerate(pairs) if old.token_id != new.token_id), None)
    if first is None and len(record.steps) != len(steps):
        first = len(pairs)
    known = len(record.given)
    differences = [0.0]
    for place, (old, new) in enumerate(pairs[:first]):
        differences.append(abs(old.raw_probability - new.raw_probability))
        if place >= known:
            differences.append(abs(old.probability - new.probability))
    return Verdict(len(steps), first, max(differences))


def _record(content: Mapping[str, Any]) -> Record:
    if content["record"] != RECORD:
        raise ValueError
    model, settings, steps = content["model"], content["settings"], tuple(map(_step, content["steps"]))
    # A run that was stopped is made again as far as it came.
    length = _kind(settings["max_new_tokens"], int) if content["outcome"] == "finished" else len(steps)
    return Record(
        model=_kind(model["name"], str),
        spec=_kind(model["spec"], str),
        weights_sha256=_kind(model["weights_sha256"], str),
        dtype=_kind(model["dtype"], str),
        quantization=_kind(model["quantization"], str) if model.get("quantization") is not None else None,
        prompt=_kind(content["prompt"], str),
        settings=GenerationSettings(
            _sampling(settings["sampling"]),
            length,
            _kind(settings["seed"], int),
            tuple(_kind(text, str) for text in settings["stop"]),
            _kind(settings["overflow"], str),
            _kind(settings.get("cuda_graphs", False), bool),  # there were none before it was recorded
        ).validated(),
        given=tuple(_kind(token, int) for token in content["given"]),
        steps=steps,
        versions={str(name): str(text) for name, text in content["versions"].items()},
        computed=_kind(content.get("computed", PLAIN), str),
    )


def _sampling(saved: Mapping[str, Any]) -> SamplingSettings:
    known = {knob.name for knob in fields(SamplingSettings)}
    if not known.issuperset(saved):
        raise ValueError
    return SamplingSettings(**{name: _frozen(value) for name, value in saved.items()})


def _frozen(value: Any) -> Any:
    """Lists as tuples, all the way down."""
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _step(saved: Mapping[str, Any]) -> RecordedStep:
    own, raw = float(saved["probability"]), float(saved["raw_probability"])
    if not (math.isfinite(own) and math.isfinite(raw)):
        raise ValueError
    return RecordedStep(_kind(saved["token_id"], int), own, raw, _kind(saved["given"], bool))


def _kind(value: Any, kind: Callable[..., Value]) -> Value:
    if type(value) is not kind:
        raise TypeError
    result: Value = value
    return result
