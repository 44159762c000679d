"""Tiles and scores against the plainest way to compute them, from whole matrices in numpy."""

from __future__ import annotations

import numpy as np
import pytest

from llmlab.engine.attention import survey as module
from llmlab.engine.attention.captured import AttentionCapture
from llmlab.engine.attention.scores import SCORES
from llmlab.engine.attention.types import MASKED, AttentionRequest
from llmlab.engine.errors import Cancelled
from tests.engine import checkpoints
from tests.engine.attention_models import PROMPT, make

REPEATED = "a little model read a little model again"
CASES = ["gpt2", "llama", "gemma3", "bert", "modernbert", "t5", "bloom"]


def visible(captured: AttentionCapture, kind: str, padding: int = 0) -> np.ndarray:
    """(layers, queries, keys): what may be seen, from the shape alone."""
    shape = captured.shape(kind)
    queries, keys = np.indices((len(shape.query_tokens), len(shape.key_tokens)))
    seen = np.broadcast_to(shape.key_segments >= 0, queries.shape).copy()
    if shape.causal:
        seen &= keys <= queries
    windows = [seen if window is None else seen & (abs(queries - keys) < window) for window in shape.windows]
    return np.stack(windows)


def cells(values: np.ndarray, seen: np.ndarray, size: int) -> np.ndarray:
    """Max-pooled to at most `size` × `size`, MASKED where nothing is seen."""
    values = np.where(seen, values, MASKED)
    for axis in (-2, -1):
        step = -(-values.shape[axis] // size)
        values = np.maximum.reduceat(values, range(0, values.shape[axis], step), axis=axis)
    return values


def reference(weights: np.ndarray, seen: np.ndarray, ids: np.ndarray, real: np.ndarray) -> dict[str, float]:
    """Every score of one head, straight from its definition."""
    found: dict[str, list[float]] = {name: [] for name in SCORES}
    start = int(real.argmax())
    for i in np.flatnonzero(real):
        row, may = weights[i], np.flatnonzero(seen[i])
        found["distance"].append(sum(row[j] * abs(i - j) for j in may))
        found["max"].append(row.max())
        if len(may) > 1:
            found["entropy"].append(-sum(row[j] * np.log(row[j]) for j in may if row[j] > 0) / np.log(len(may)))
        if i > start:
            for name, j in (("first", start), ("itself", i), ("previous", i - 1)):
                if j in may:
                    found[name].append(row[j])
        for name, targets in (
            ("duplicate", [j for j in may if j < i and ids[j] == ids[i]]),
            ("induction", [j for j in may if start < j < i and ids[j - 1] == ids[i]]),
        ):
            if targets:
                found[name].append(sum(row[targets]))
    return {name: float(np.mean(values)) if values else np.nan for name, values in found.items()}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("block", [2**20, 1])
def test_tiles_and_scores(name: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", block)
    captured = make(name).attention(REPEATED, REPEATED if name == "t5" else None)
    for kind in captured.kinds:
        check(captured, kind, 7)


@pytest.mark.parametrize("padding", [3, -3])
def test_padding_is_no_part_of_the_scores(padding: int) -> None:
    captured = make("llama").captured(AttentionRequest(REPEATED, padding=padding))
    check(captured, "self", 48)
    plain = make("llama").attention(REPEATED).survey()
    padded = captured.survey()
    for score in SCORES:
        np.testing.assert_allclose(padded.scores[score], plain.scores[score], atol=1e-5, err_msg=score)


def check(captured: AttentionCapture, kind: str, size: int) -> None:
    shape, seen = captured.shape(kind), visible(captured, kind)
    weights = np.stack([captured.weights(layer, kind=kind) for layer in range(shape.layers)])
    survey = captured.survey(kind, size=size)
    assert survey.tiles.shape[-2] <= size >= survey.tiles.shape[-1]
    np.testing.assert_allclose(survey.tiles, cells(weights, seen[:, None], size), atol=1e-6)
    np.testing.assert_allclose(survey.heads_mean, cells(weights.mean(1), seen, size), atol=1e-6)
    np.testing.assert_allclose(survey.heads_max, cells(weights.max(1), seen, size), atol=1e-6)
    np.testing.assert_allclose(survey.layers_mean, cells(weights.mean(0), seen.any(0), size), atol=1e-6)
    np.testing.assert_allclose(survey.layers_max, survey.tiles.max(0), atol=1e-6)
    np.testing.assert_allclose(survey.mean, cells(weights.mean((0, 1)), seen.any(0), size), atol=1e-6)
    np.testing.assert_allclose(survey.max, survey.tiles.max((0, 1)), atol=1e-6)
    assert survey.row_edges[-1] == weights.shape[2]
    assert survey.column_edges[-1] == weights.shape[3]
    assert not survey.broken.any()
    assert set(survey.scores) == {name for name, score in SCORES.items() if kind in score.kinds}
    if kind == "cross":
        np.testing.assert_allclose(survey.scores["first"], weights[..., 0].mean(-1), atol=1e-6)
        np.testing.assert_allclose(survey.scores["max"], weights.max(-1).mean(-1), atol=1e-6)
        return
    ids, real = captured.sides(kind)[0].ids, shape.query_segments >= 0
    for layer, head in np.ndindex(*weights.shape[:2]):
        want = reference(weights[layer, head].astype(np.float64), seen[layer], ids, real)
        for name, values in survey.scores.items():
            assert values.dtype == np.float32
            np.testing.assert_allclose(values[layer, head], want[name], atol=1e-5, err_msg=name)


def test_layers_that_were_not_kept_are_blank() -> None:
    survey = make("llama").captured(AttentionRequest(PROMPT, layers=(1,))).survey()
    assert (survey.tiles[0] == MASKED).all()
    assert np.isnan(survey.scores["entropy"][0]).all()
    assert (survey.tiles[1] > 0).any()


def test_a_broken_head_is_named_and_shown() -> None:
    engine = make("llama")
    weight = engine.loaded.model.model.layers[1].self_attn.q_proj.weight
    weight.data[16 * 2 : 16 * 3] = float("nan")  # head 2 of layer 1
    captured = engine.attention(PROMPT)
    survey = captured.survey()
    assert np.argwhere(survey.broken).tolist() == [[1, 2]]
    assert np.isnan(survey.tiles[1, 2][survey.tiles[1, 1] >= 0]).all()
    assert (survey.tiles[1, 2][survey.tiles[1, 1] < 0] == MASKED).all()
    np.testing.assert_array_equal(np.isnan(captured.rows(1, 2, 4, 5)[0]), np.arange(len(survey.row_edges) - 1) <= 4)
    assert np.isfinite(captured.weights(1, 1)).all()
    assert np.isnan(survey.scores["previous"][1, 2])


def test_a_survey_reports_and_can_be_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 1)
    captured = make("llama").attention(PROMPT)
    heard = checkpoints.Recorder()
    captured.survey(control=heard)
    assert heard.fractions == sorted(heard.fractions)
    assert len(heard.fractions) > 3
    with pytest.raises(Cancelled):
        captured.survey(control=checkpoints.Recorder(lambda text: "heads" in text))
