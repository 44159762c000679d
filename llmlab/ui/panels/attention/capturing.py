"""What the model is asked to read, and the job that has it read. No Qt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from llmlab.engine.attention.types import AttentionCost, AttentionRequest, AttentionShape, Truncation
from llmlab.engine.types import Architecture, Int32, ModelInfo, TokenizedText
from llmlab.ui.panels.attention.params import Params
from llmlab.ui.panels.attention.reading import KEYS, QUERIES

if TYPE_CHECKING:
    from llmlab.engine.engine import Engine
    from llmlab.engine.progress import Control
    from llmlab.workbench import Completion

LARGE = 1_000_000_000  # bytes; what takes more than this, or than half of what is free, is asked for first


@dataclass(frozen=True, slots=True)
class Read:
    """The text was read: kinds of maps, and where the tokens stand in the prompt (see `Reading`). `cut`: tokens."""

    request: AttentionRequest
    shapes: Mapping[str, AttentionShape]
    spans: Mapping[tuple[str, str], Int32]
    cut: int


@dataclass(frozen=True, slots=True)
class TooLong:
    """The text has more tokens than the model's context."""

    request: AttentionRequest
    cost: AttentionCost


@dataclass(frozen=True, slots=True)
class TooLarge:
    """The capture would take more memory than is taken without asking. `fits`: whether there is so much."""

    request: AttentionRequest
    cost: AttentionCost

    @property
    def fits(self) -> bool:
        return self.cost.bytes <= self.cost.available


def request(
    info: ModelInfo,
    prompt: str,
    completion: Completion | None,
    params: Params,
    truncation: Truncation,
    layers: tuple[int, ...] | None,
) -> AttentionRequest:
    """What is read with these settings."""
    made = AttentionRequest(prompt, padding=params.padding, truncation=truncation, layers=layers)
    if completion is not None and params.read == "completion":
        return replace(made, text=completion.prompt, continued=completion.ids)
    if info.architecture is Architecture.ENCODER_DECODER:
        return replace(made, target=params.target)
    if info.architecture is Architecture.ENCODER and params.pair:
        return replace(made, pair=params.pair)
    return made


def read(engine: Engine, wanted: AttentionRequest, accepted: int, control: Control) -> Read | TooLong | TooLarge:
    """Have the model read it, unless it is too long, or takes more than LARGE and more than `accepted` bytes."""
    cost = engine.attention_cost(wanted)
    if cost.over > 0 and wanted.truncation is Truncation.REFUSE:
        return TooLong(wanted, cost)
    need = cost.bytes if wanted.layers is None else cost.bytes_of_a_layer * len(wanted.layers)
    if need > accepted and need > min(LARGE, cost.available // 2):
        return TooLarge(wanted, cost)
    capture = engine.captured(wanted, control)
    shapes = {kind: capture.shape(kind) for kind in capture.kinds}
    return Read(wanted, shapes, _spans(engine.tokenize(wanted.text), wanted, shapes), max(0, cost.over))


def _spans(
    tokenized: TokenizedText, wanted: AttentionRequest, shapes: Mapping[str, AttentionShape]
) -> Mapping[tuple[str, str], Int32]:
    return {
        (kind, axis): _places(tokenized, wanted, kind, tokens)
        if _is_prompt(kind, axis)
        else np.full((len(tokens), 2), -1, np.int32)
        for kind, shape in shapes.items()
        for axis, tokens in ((QUERIES, shape.query_tokens), (KEYS, shape.key_tokens))
    }


def _is_prompt(kind: str, axis: str) -> bool:
    """Whether the tokens there are those of the prompt."""
    return kind in ("self", "encoder") or (kind == "cross" and axis == KEYS)


def _places(tokenized: TokenizedText, wanted: AttentionRequest, kind: str, tokens: tuple[str, ...]) -> Int32:
    """Where each of `tokens` stands in the prompt, int32 (tokens, 2), -1 for what is not of the prompt."""
    places = np.full((len(tokens), 2), -1, np.int32)
    continued = len(wanted.continued) if kind == "self" else 0
    first = max(0, -wanted.padding)
    count = min(len(tokenized), len(tokens) - abs(wanted.padding) - continued)
    skipped = len(tokenized) - count if wanted.truncation is Truncation.KEEP_END else 0
    for place in range(count):
        # what was cut, and special tokens that were put back, can shift the rest: only equal texts are trusted
        if tokenized.pieces[skipped + place] == tokens[first + place] and not tokenized.special[skipped + place]:
            places[first + place] = tokenized.offsets[skipped + place]
    return places
