"""Maps with everything a user can ask to be done to them, against the plainest way to do it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmlab.engine.attention import masks
from llmlab.engine.attention.captured import AttentionCapture
from llmlab.engine.attention.pooling import edges, factor
from llmlab.engine.attention.types import MASKED, AttentionRequest, MapRequest, Reduction
from llmlab.engine.errors import Cancelled, InputError, UnsupportedFeatureError
from tests.engine import checkpoints
from tests.engine.attention_models import PROMPT, make, pairs

TEXT = "a little model read zebras, again"


def reference(captured: AttentionCapture, request: MapRequest) -> np.ndarray:
    """Step by step over whole matrices."""
    kind, shape = request.kind, captured.shape(request.kind)
    layers = range(shape.layers) if request.layer is None else [request.layer]
    stack = []
    for layer in layers:
        weights = captured.weights(layer, kind=kind)
        if request.value_weighted:
            weights = weights * captured.value_norms(layer, kind)[0][:, None]
        stack += list(weights) if request.head is None else [weights[request.head]]
    values = np.mean(stack, 0) if request.reduction is Reduction.MEAN else np.max(stack, 0)
    queries, keys = np.indices(values.shape)
    seen = np.ones(values.shape, bool)
    if shape.causal:
        seen &= keys <= queries
    seen &= shape.key_segments >= 0
    if request.segments:
        seen &= (shape.query_segments == request.segments[0])[:, None] & (shape.key_segments == request.segments[1])
    values = np.where(seen, values, 0)
    if request.hide_first:
        first = int((shape.key_segments >= 0).argmax())
        seen[:, first], values[:, first] = False, 0
        sums = values.sum(1, keepdims=True)
        values = np.divide(values, sums, where=sums > 0, out=np.zeros_like(values))
    if request.words:
        rows, columns = word_starts(shape.query_words), word_starts(shape.key_words)
        values = np.add.reduceat(np.add.reduceat(values, columns, 1), rows, 0)
        values /= np.diff([*rows, len(shape.query_tokens)])[:, None]
        seen = np.logical_or.reduceat(np.logical_or.reduceat(seen, columns, 1), rows, 0)
    return np.where(seen, values, MASKED)


def word_starts(words: np.ndarray) -> list[int]:
    return [i for i in range(len(words)) if i == 0 or words[i] != words[i - 1] or words[i] < 0]


@pytest.fixture(scope="module")
def captures() -> dict[str, AttentionCapture]:
    pair = pairs()
    return {
        "llama": make("llama").captured(AttentionRequest(TEXT, padding=-2)),
        "bert": pair.captured(AttentionRequest("read the sentence again", pair="a little model", padding=2)),
    }


REQUESTS = st.builds(
    MapRequest,
    layer=st.sampled_from([None, 0, 1]),
    head=st.sampled_from([None, 0, 3]),
    reduction=st.sampled_from(Reduction),
    value_weighted=st.booleans(),
    hide_first=st.booleans(),
    words=st.booleans(),
    segments=st.sampled_from([None, (0, 0), (0, 1), (1, 0), (1, 1)]),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(request=REQUESTS, name=st.sampled_from(["llama", "bert"]), block=st.sampled_from([2**25, 100]))
def test_every_choice(captures: dict[str, AttentionCapture], request: MapRequest, name: str, block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(masks, "BLOCK_BYTES", block)
        found = captures[name].map(request)
    want = reference(captures[name], request)
    np.testing.assert_allclose(found.values, want, atol=1e-5, rtol=1e-5)
    assert (found.row_edges[0], found.row_edges[-1]) == (0, len(captures[name].shape().query_tokens))
    assert not found.pooled


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10), st.integers(0, 10), st.integers(1, 9), st.booleans(), st.sampled_from([2**25, 100]))
def test_parts_and_pooling(
    captures: dict[str, AttentionCapture], first: int, more: int, limit: int, words: bool, block: int
) -> None:
    captured = captures["llama"]
    tokens = len(captured.shape().query_tokens)
    rows, columns = (first, min(first + more, tokens)), (min(more, tokens), tokens)
    whole = captured.map(MapRequest(words=words))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(masks, "BLOCK_BYTES", block)
        found = captured.map(MapRequest(words=words, rows=rows, columns=columns, limit=limit))
    assert max(found.values.shape) <= limit
    for i, j in np.ndindex(found.values.shape):
        inside = [
            (whole_edges >= found_edges[at]) & (whole_edges < found_edges[at + 1])
            for whole_edges, found_edges, at in (
                (whole.row_edges[:-1], found.row_edges, i),
                (whole.column_edges[:-1], found.column_edges, j),
            )
        ]
        np.testing.assert_allclose(found.values[i, j], whole.values[np.ix_(*inside)].max(), atol=1e-6)
    if rows[0] < rows[1]:
        assert found.row_edges[0] <= rows[0] < rows[1] <= found.row_edges[-1]
    if not words:
        assert found.row_edges[0] == rows[0]
        assert found.pooled == (max(rows[1] - rows[0], columns[1] - columns[0]) > limit)


@given(st.integers(0, 300), st.integers(1, 50))
def test_cells_are_no_more_than_asked_for(length: int, limit: int) -> None:
    found = edges(0, length, factor(length, limit))
    assert len(found) - 1 <= limit
    assert found[-1] == length


@pytest.mark.parametrize(("name", "kind"), [("llama", "self"), ("t5", "cross"), ("bloom", "self")])
def test_columns(name: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masks, "BLOCK_BYTES", 100)
    captured = make(name).attention(PROMPT, "and again" if name == "t5" else None)
    whole = captured.weights(1, 2, kind)
    np.testing.assert_allclose(captured.columns(1, 2, 1, 4, kind), whole[:, 1:4], atol=1e-6)
    with pytest.raises(InputError, match="columns"):
        captured.columns(1, 2, 4, 999, kind)


@pytest.mark.parametrize(
    "change", [{"layer": 2}, {"head": 4}, {"kind": "cross"}, {"rows": (0, 99)}, {"columns": (3, 2)}]
)
def test_what_is_not_there(captures: dict[str, AttentionCapture], change: dict[str, object]) -> None:
    with pytest.raises(InputError) as caught:
        captures["llama"].map(replace(MapRequest(), **change))
    assert caught.value.hint


def test_finished_weights_have_no_values() -> None:
    captured = make("bloom").attention(PROMPT)
    with pytest.raises(UnsupportedFeatureError, match="values"):
        captured.map(MapRequest(value_weighted=True))
    assert (captured.map(MapRequest()).values[0, 1:] == MASKED).all()


def test_broken_weights_are_shown() -> None:
    engine = make("llama")
    engine.loaded.model.model.layers[1].self_attn.q_proj.weight.data[:16] = float("nan")
    found = engine.attention(PROMPT).map(MapRequest(layer=1, head=0)).values
    size = len(found)
    assert np.isnan(found[np.tril_indices(size)]).all()
    assert (found[np.triu_indices(size, 1)] == MASKED).all()


def test_a_map_can_be_cancelled(captures: dict[str, AttentionCapture]) -> None:
    with pytest.raises(Cancelled):
        captures["llama"].map(MapRequest(layer=None), checkpoints.Recorder(lambda text: "map" in text))
