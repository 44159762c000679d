"""The attention panel without a window and without a model: an engine that has read words, views that write down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from llmlab.engine.attention.types import (
    AttentionCost,
    AttentionRequest,
    AttentionShape,
    Survey,
    Truncation,
)
from llmlab.engine.types import Architecture, Feature, Float32, ModelInfo, TokenizedText
from llmlab.jobs.job import ErrorInfo
from llmlab.ui.panels.attention.comparing import Difference, Pair, Words
from llmlab.ui.panels.attention.heads import Heads
from llmlab.ui.panels.attention.mapping import Mapped
from llmlab.ui.panels.attention.params import Params
from llmlab.ui.panels.attention.screen import Screen
from llmlab.ui.widgets.heatmap.norm import Norm
from llmlab.ui.widgets.heatmap.picture import HeatPart
from tests.presenters.attention_tabs import HEADS, LAYERS, FakeCapture, shape_of
from tests.presenters.decoding_fakes import model_info

BOS = "<s>"
CONTEXT = 64
LAYER_BYTES = 1000


def words_of(text: str) -> tuple[str, ...]:
    """A token for each word, the space before it included."""
    parts = text.split(" ")
    return tuple(part if number == 0 else f" {part}" for number, part in enumerate(parts) if part)


def attention_info(architecture: Architecture = Architecture.DECODER, **changes: Any) -> ModelInfo:
    info = model_info(architecture)
    return replace(info, features=info.features | {Feature.ATTENTION}, layers=LAYERS, heads=HEADS, **changes)


class PanelCapture(FakeCapture):
    """Surveys and saves as well."""

    def __init__(self, shapes: dict[str, AttentionShape], request: AttentionRequest) -> None:
        super().__init__(shapes)
        self.request = request
        self.surveyed: list[str] = []
        self.saved: list[Path] = []

    def survey(self, kind: str, control: Any) -> Survey:
        self.surveyed.append(kind)
        shape = self.shapes[kind]
        tiles = np.stack([np.stack([self.weights(l, h, kind) for h in range(HEADS)]) for l in range(LAYERS)])  # noqa: E741
        scores = np.arange(LAYERS * HEADS, dtype=np.float32).reshape(LAYERS, HEADS) / 20
        undefined = np.full_like(scores, np.nan)
        broken = np.zeros(scores.shape, np.bool_)
        broken[0, 0] = True
        edges = np.arange(len(shape.query_tokens) + 1, dtype=np.int32)
        key_edges = np.arange(len(shape.key_tokens) + 1, dtype=np.int32)
        return Survey(
            kind, tiles, tiles.mean(1), tiles.max(1), tiles.mean(0), tiles.max(0), tiles.mean((0, 1)),
            tiles.max((0, 1)), edges, key_edges, {"induction": scores, "duplicate": undefined}, broken,
        )  # fmt: skip

    def save(self, path: Path, control: Any) -> None:
        self.saved.append(path)


class PanelEngine:
    """Reads words; a text has `CONTEXT` of them at most. `bytes_of_a_token`: what a capture costs."""

    def __init__(self, info: ModelInfo) -> None:
        self.info = info
        self.read: list[AttentionRequest] = []
        self.captures: dict[AttentionRequest, PanelCapture] = {}
        self.bytes_of_a_token = 1000
        self.available = 10**10
        self.fails: Exception | None = None
        self.tests = 0

    def tokenize(self, text: str) -> TokenizedText:
        pieces = (BOS, *words_of(text))
        offsets, place = [(0, 0)], 0
        for piece in pieces[1:]:
            offsets.append((place, place + len(piece)))
            place += len(piece)
        special = np.array([True] + [False] * (len(pieces) - 1))
        return TokenizedText(text, np.arange(len(pieces)), pieces, pieces, np.array(offsets), special)

    def attention_cost(self, request: AttentionRequest) -> AttentionCost:
        tokens = len(self.tokenize(request.text).pieces) + len(request.continued)
        size = min(tokens, CONTEXT) * self.bytes_of_a_token
        return AttentionCost(tokens, 0, max(0, tokens - CONTEXT), size * LAYERS, size, self.available)

    def head_scores_on_repeats(self, control: Any) -> tuple[np.ndarray, np.ndarray]:
        self.tests += 1
        previous = np.arange(LAYERS * HEADS, dtype=np.float32).reshape(LAYERS, HEADS) / 10
        return previous, previous[::-1, ::-1].copy()

    def captured(self, request: AttentionRequest, control: Any) -> PanelCapture:
        if self.fails:
            error, self.fails = self.fails, None
            raise error
        if request not in self.captures:
            self.read.append(request)
            self.captures[request] = PanelCapture(self._shapes(request), request)
        return self.captures[request]

    def _shapes(self, request: AttentionRequest) -> dict[str, AttentionShape]:
        tokens = self.tokenize(request.text).pieces
        if request.truncation is Truncation.KEEP_BEGINNING:
            tokens = tokens[:CONTEXT]
        elif request.truncation is Truncation.KEEP_END:
            tokens = (BOS, *tokens[1 - CONTEXT :])
        made = tuple(f" made{i}" for i in request.continued)
        layers = request.layers or tuple(range(LAYERS))
        if self.info.architecture is Architecture.ENCODER_DECODER:
            target = ("<pad>", *(made or words_of(request.target or "")))
            more: dict[str, Any] = {"captured": layers, "generated": 1 if made else None}
            shapes = (
                replace(shape_of("encoder", tokens), captured=layers),
                replace(shape_of("decoder", target), **more),
                replace(shape_of("cross", target, tokens), **more),
            )
            return {shape.kind: shape for shape in shapes}
        if request.pair is not None:
            tokens = (*tokens, *words_of(request.pair))
        given = len(tokens)
        tokens = (*tokens, *made)
        padding = ("<pad>",) * abs(request.padding)
        tokens = (*padding, *tokens) if request.padding < 0 else (*tokens, *padding)
        segments = np.array([0] * given + [0] * (len(tokens) - given), np.int32)
        if request.pair is not None:
            segments[given - len(words_of(request.pair)) : given] = 1
        generated = given if made else None
        shape = shape_of("self", tokens, generated=generated, query_segments=segments, key_segments=segments)
        return {"self": replace(shape, captured=layers)}


class FakePanelView:
    """Remembers the last of everything."""

    def __init__(self) -> None:
        self.screen: Screen | None = None
        self.params: Params | None = None
        self.heads: Heads | None = None
        self.copied: list[str] = []
        self.path: Path | None = None

    def show(self, screen: Screen) -> None:
        self.screen = screen

    def show_params(self, params: Params) -> None:
        self.params = params

    def show_heads(self, heads: Heads | None) -> None:
        self.heads = heads

    def copy(self, text: str) -> None:
        self.copied.append(text)

    def ask_path(self, name: str, kinds: tuple[str, ...], then: Callable[[Path], None]) -> None:
        assert self.path is not None
        then(self.path)


class FakeMapPane:
    """The widgets of the map tab."""

    def __init__(self) -> None:
        self.mapped: Mapped | None = None
        self.norm = Norm()
        self.title = ""
        self.shown = 0
        self.detail: HeatPart | None = None
        self.rows: tuple[int, ...] = ()
        self.profile: Float32 | None = None
        self.problems: list[ErrorInfo] = []
        self.copied: list[str] = []
        self.asked: list[str] = []
        self.path: Path | None = None

    def show_map(self, mapped: Mapped | None, norm: Norm, title: str) -> None:
        self.mapped, self.norm, self.title = mapped, norm, title
        self.shown += 1

    def show_detail(self, detail: HeatPart | None) -> None:
        self.detail = detail

    def show_pinned(self, rows: tuple[int, ...], profile: Float32 | None) -> None:
        self.rows, self.profile = rows, profile

    def show_problem(self, error: ErrorInfo) -> None:
        self.problems.append(error)

    def copy(self, text: str) -> None:
        self.copied.append(text)

    def ask_path(self, name: str, kinds: tuple[str, ...], then: Callable[[Path], None]) -> None:
        self.asked.append(name)
        if self.path is not None:
            then(self.path)


class FakeComparePane:
    """The widgets of the compare tab."""

    def __init__(self) -> None:
        self.mode = ""
        self.held: Any = None
        self.compared: Pair | Difference | Words | None = None

    def show_mode(self, mode: str, held: Any, shape: Any) -> None:
        self.mode, self.held = mode, held

    def show_compared(self, compared: Pair | Difference | Words | None) -> None:
        self.compared = compared
