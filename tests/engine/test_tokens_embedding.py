"""Embeddings, their neighbours and their map, against plain numpy; hidden states against transformers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from llmlab.engine import embedding
from llmlab.engine.engine import Engine
from llmlab.engine.errors import InputError
from tests.engine.checkpoints import TEXT, save


@pytest.fixture(scope="module", params=["gpt2", "bert", "t5"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = Engine.open(str(save(request.param, tmp_path_factory.mktemp(request.param))), device="cpu")
    yield engine
    engine.close()


def matrix(engine: Engine) -> np.ndarray:
    return engine.loaded.model.get_input_embeddings().weight.detach().numpy().astype(np.float64)


def cosines(rows: np.ndarray, vector: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(vector)
    return np.divide(rows @ vector, lengths, out=np.zeros(len(rows)), where=lengths > 0)


def test_embedding_is_the_models_row(engine: Engine) -> None:
    assert np.array_equal(engine.embedding([5, 7, 5]), matrix(engine)[[5, 7, 5]].astype(np.float32))
    with pytest.raises(InputError, match="no embedding"):
        engine.embedding([len(matrix(engine))])


def test_neighbours_are_the_nearest_by_cosine(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "ROWS", 50)
    rows = matrix(engine)
    expected = cosines(rows, rows[40])
    expected[40] = -np.inf
    found = engine.neighbours(40, 12)
    assert found.ids.tolist() == np.argsort(-expected)[:12].tolist()
    assert np.allclose(found.cosines, np.sort(expected)[::-1][:12], atol=1e-6)
    near = engine.neighbours(rows[40].astype(np.float32), 3)
    assert near.ids[0] == 40
    assert near.cosines[0] == pytest.approx(1, abs=1e-6)
    assert len(engine.neighbours(40, 10**6).ids) == len(rows) - 1


def test_arithmetic_adds_directions(engine: Engine) -> None:
    rows = matrix(engine)
    unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    expected = cosines(rows, unit[10] + unit[11] - unit[12])
    expected[[10, 11, 12]] = -np.inf
    found = engine.vector_arithmetic([10, 11], [12], 8)
    assert found.ids.tolist() == np.argsort(-expected)[:8].tolist()
    with pytest.raises(InputError, match="no direction"):
        engine.vector_arithmetic([10], [10])
    with pytest.raises(InputError, match="no token"):
        engine.vector_arithmetic([], [])


def test_vectors_of_another_size_are_refused(engine: Engine) -> None:
    with pytest.raises(InputError, match="3 values"):
        engine.neighbours(np.ones(3, np.float32))


def test_map_is_the_principal_components(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "ROWS", 70)
    rows = matrix(engine)
    _, values, axes = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    found = engine.embedding_map()
    assert np.allclose(found.explained, values[:2] ** 2 / (values**2).sum(), atol=1e-6)
    expected = (rows - rows.mean(0)) @ axes[:2].T
    assert np.allclose(np.abs(found.points), np.abs(expected), atol=1e-4)
    assert found.spread == pytest.approx(np.sqrt((rows**2).mean()))
    assert engine.embedding_map() is found


def states_of(engine: Engine, text: str) -> list[np.ndarray]:
    """What transformers answers: (tokens, hidden) after every layer."""
    model = engine.loaded.model
    ids = torch.tensor([engine.loaded.tokenizer(text)["input_ids"]])
    with torch.inference_mode():
        reader = model.get_encoder() if engine.info.model_type == "t5" else model
        states = reader(input_ids=ids, output_hidden_states=True).hidden_states
    return [state[0].numpy() for state in states]


def test_hidden_states_are_transformers(engine: Engine) -> None:
    expected = states_of(engine, TEXT)
    for layer, states in enumerate(expected):
        assert np.allclose(engine.hidden_states(TEXT, layer), states, atol=1e-5)
    with pytest.raises(InputError, match="no layer"):
        engine.hidden_states(TEXT, len(expected))


@pytest.mark.parametrize("text", [TEXT, "a", TEXT * 2], ids=["text", "short", "long"])
def test_path_is_transformers_states_in_their_principal_components(engine: Engine, text: str) -> None:
    """Short texts have fewer states than dimensions, long ones more: two ways to the same plane."""
    states = np.stack(states_of(engine, text)).astype(np.float64)  # (layers + 1, tokens, hidden)
    token = states.shape[1] - 1
    found = engine.hidden_path(text, token)
    assert found.ids.tolist() == engine.loaded.tokenizer(text)["input_ids"]
    assert found.token == token
    assert np.allclose(found.vectors, states[:, token], atol=1e-5)
    assert np.allclose(found.spread, np.sqrt((states**2).mean((1, 2))), atol=1e-5)
    rows = (states / np.linalg.norm(states, axis=2, keepdims=True)).reshape(-1, states.shape[2])
    _, values, axes = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    assert np.allclose(found.explained, values[:2] ** 2 / (values**2).sum(), atol=1e-5)
    expected = ((rows - rows.mean(0)) @ axes[:2].T).reshape(*states.shape[:2], 2)
    assert np.allclose(np.abs(found.points), np.abs(expected), atol=1e-4)
    assert np.array_equal(found.points, engine.hidden_path(text, 0).points), "one plane, whichever token is looked at"


def test_path_of_a_place_that_is_not_there_is_refused(engine: Engine) -> None:
    with pytest.raises(InputError, match="no token 1,001"):
        engine.hidden_path("a few words", 1000)
    with pytest.raises(InputError, match="no token 0"):
        engine.hidden_path("a few words", -1)
