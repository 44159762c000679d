"""What the tabs of the attention panel need in a test: a capture of known weights, a reading, and who looks where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from llmlab.engine.attention.types import (
    MASKED,
    AttentionMap,
    AttentionRequest,
    AttentionShape,
    HeadAt,
    MapRequest,
    NeuronView,
)
from llmlab.engine.errors import InputError
from llmlab.engine.types import Float32, ModelInfo
from llmlab.ui.panels.attention.asking import Asking
from llmlab.ui.panels.attention.params import Params
from llmlab.ui.panels.attention.reading import Focus, Reading
from tests.presenters.decoding_fakes import FakeNotifier, ManualJobs, model_info

LAYERS, HEADS = 3, 4
TOKENS = ("<s>", "the", " cat", " saw", " the", " dog")
TARGET = ("<pad>", "le", " chat")


def shape_of(
    kind: str = "self", queries: tuple[str, ...] = TOKENS, keys: tuple[str, ...] | None = None, **more: Any
) -> AttentionShape:
    keys = queries if keys is None else keys
    words = (np.arange(len(queries), dtype=np.int32) - 1, np.arange(len(keys), dtype=np.int32) - 1)
    return AttentionShape(
        kind, LAYERS, HEADS, 2, queries, keys, (None,) * LAYERS, *words,
        captured=tuple(range(LAYERS)), causal=kind in ("self", "decoder"), **more,
    )  # fmt: skip


class FakeCapture:
    """Weights drawn from a seed for each head; counts what is asked of it."""

    def __init__(self, shapes: Mapping[str, AttentionShape]) -> None:
        self.shapes = shapes
        self.kinds = tuple(shapes)
        self.maps: list[MapRequest] = []
        self.neurons: list[tuple[HeadAt, int, int]] = []
        self.broken = False

    def shape(self, kind: str = "self") -> AttentionShape:
        return self.shapes[kind]

    def weights(self, layer: int | None, head: int | None, kind: str = "self") -> Float32:
        shape = self.shapes[kind]
        size = len(shape.query_tokens), len(shape.key_tokens)
        seed = 1000 * (99 if layer is None else layer) + (99 if head is None else head)
        scores = np.random.default_rng(seed).normal(size=size) * 2
        visible = np.tril(np.ones(size, bool)) if shape.causal else np.ones(size, bool)
        grown = np.where(visible, np.exp(scores), 0)
        weights = (grown / grown.sum(-1, keepdims=True)).astype(np.float32)
        weights[~visible] = MASKED
        if self.broken:
            weights[1] = np.nan
        return weights

    def rows(self, layer: int, head: int, start: int, stop: int, kind: str = "self") -> Float32:
        return np.maximum(self.weights(layer, head, kind)[start:stop], 0)

    def map(self, request: MapRequest, control: Any = None) -> AttentionMap:
        self.maps.append(request)
        values = self.weights(request.layer, request.head, request.kind)
        shape = self.shapes[request.kind]
        rows, columns = request.rows or (0, values.shape[0]), request.columns or (0, values.shape[1])
        edges = np.arange(rows[0], rows[1] + 1), np.arange(columns[0], columns[1] + 1)
        part = values[slice(*rows), slice(*columns)]
        if request.words:
            assert shape.query_words is not None
            assert shape.key_words is not None
            edges = _word_edges(shape.query_words, rows), _word_edges(shape.key_words, columns)
            part = np.add.reduceat(np.maximum(part, 0), edges[1][:-1] - columns[0], axis=1)
            part = np.add.reduceat(part, edges[0][:-1] - rows[0], axis=0) / np.diff(edges[0])[:, None]
        assert max(part.shape) <= request.limit
        return AttentionMap(request, part.astype(np.float32), *(edge.astype(np.int32) for edge in edges), False)

    def neuron(self, head: HeadAt, query: int, key: int) -> NeuronView:
        self.neurons.append((head, query, key))
        rng = np.random.default_rng(query * 31 + key)
        q, k = rng.normal(size=(2, 8)).astype(np.float32)
        scores = np.log(np.maximum(self.weights(head.layer, head.head, head.kind)[query], 1e-9))
        dot = float((q * k).sum())
        masked = bool(self.weights(head.layer, head.head, head.kind)[query, key] == MASKED)
        score = -np.inf if masked else dot * 0.35
        log_sum = float(score - scores[key]) if not masked else 1.0
        weight = 0.0 if masked else float(np.exp(score - log_sum))
        return NeuronView(head, query, key, q, k, q * k, dot, 0.35, None, None, masked, float(score), log_sum, weight)

    def rollout(self, kind: str, queries: slice | None, control: Any) -> Float32:
        if kind == "cross":
            raise InputError("Rollout needs one text that looks at itself.", "Choose the encoder or the decoder.")
        size = len(self.shapes[kind].query_tokens)
        mean = np.mean([np.maximum(self.weights(layer, None, kind), 0) for layer in range(LAYERS)], axis=0)
        rolled = np.linalg.matrix_power(0.5 * mean + 0.5 * np.eye(size), LAYERS).astype(np.float32)
        return rolled if queries is None else rolled[queries]

    def flow(self, query: int, kind: str, control: Any) -> Float32:
        control.report("Attention flow", 0.5)
        control.check()
        return self.rollout(kind, slice(query, query + 1), control)[0] * 2


def _word_edges(words: np.ndarray, tokens: tuple[int, int]) -> np.ndarray:
    part = words[slice(*tokens)]
    starts = np.flatnonzero(np.diff(part, prepend=-2) != 0) + tokens[0]
    return np.append(starts, tokens[1])


class FakeCapturingEngine:
    """Has read what the test says."""

    def __init__(self, capture: FakeCapture) -> None:
        self.capture = capture
        self.asked: list[AttentionRequest] = []
        self.fails: Exception | None = None

    def captured(self, request: AttentionRequest, control: Any) -> FakeCapture:
        self.asked.append(request)
        if self.fails:
            error, self.fails = self.fails, None
            raise error
        return self.capture


@dataclass
class Stand:
    """One part with everything around it; is the `Looker`."""

    capture: FakeCapture
    jobs: ManualJobs
    asking: Asking
    notifier: FakeNotifier
    reading: Reading
    engine: FakeCapturingEngine
    part: Any = None
    generation: int = 1
    pointed: list[tuple[str, int | None]] = field(default_factory=list)

    def look(self, **changes: Any) -> None:
        self.show(replace(self.reading, focus=replace(self.reading.focus, **changes)))

    def point(self, axis: str, token: int | None) -> None:
        self.pointed.append((axis, token))

    def show(self, reading: Reading) -> None:
        self.reading = reading
        self.part.bring(reading)

    def change(self, **params: Any) -> None:
        self.show(replace(self.reading, params=replace(self.reading.params, **params)))

    def run(self) -> None:
        self.jobs.run_all()


def stand(*shapes: AttentionShape, info: ModelInfo | None = None, **focus: Any) -> Stand:
    """Everything but the part itself."""
    shapes = shapes or (shape_of(),)
    by_kind = {shape.kind: shape for shape in shapes}
    capture, notifier = FakeCapture(by_kind), FakeNotifier()
    engine = FakeCapturingEngine(capture)
    jobs = ManualJobs(engine)  # type: ignore[arg-type]
    spans = {
        (kind, axis): np.full((len(tokens), 2), -1, np.int32)
        for kind, shape in by_kind.items()
        for axis, tokens in (("queries", shape.query_tokens), ("keys", shape.key_tokens))
    }
    at = Focus(**{"kind": shapes[0].kind, "layer": 1, "head": 2} | focus)
    reading = Reading(1, AttentionRequest("text"), info or model_info(), by_kind, spans, at, Params())
    made = Stand(capture, jobs, None, notifier, reading, engine)  # type: ignore[arg-type]
    made.asking = Asking(jobs, notifier, lambda: made.generation)  # type: ignore[arg-type]
    return made


def answered(tab: Any) -> Any:
    """The `part` of a tab that has been shown something, once its answers have come."""
    assert tab.part.busy
    tab.stand.run()
    assert not tab.part.busy
    return tab
