"""Neuron view, value norms, rollout, flow, the file of all weights, and the test on repetitions."""

from __future__ import annotations

import json
import math
from pathlib import Path

import networkx
import numpy as np
import pytest
import torch

from llmlab.engine import Engine
from llmlab.engine.attention import masks, rollout
from llmlab.engine.attention.types import AttentionRequest, HeadAt
from llmlab.engine.errors import Cancelled, EngineError, InputError, UnsupportedFeatureError
from tests.engine import checkpoints
from tests.engine.attention_models import KINDS, PROMPT, make


@pytest.mark.parametrize("name", KINDS)
def test_the_neuron_view_leads_to_the_weight(name: str) -> None:
    captured = make(name).attention(PROMPT, "and again" if name in ("t5", "bart") else None)
    for kind in captured.kinds:
        last = captured.shape(kind).layers - 1
        weights = captured.weights(last, kind=kind)
        for head, query, key in ((0, 0, 0), (3, 2, 1), (2, 1, 2)):
            found = captured.neuron(HeadAt(kind, last, head), query, key)
            np.testing.assert_array_equal(found.products, found.query * found.key)
            assert found.dot == pytest.approx(float(found.products.sum()), abs=1e-4)
            score = found.dot * found.scaling
            if found.softcap is not None:
                score = math.tanh(score / found.softcap) * found.softcap
            assert found.score == pytest.approx(score + (found.bias or 0), abs=1e-4)
            assert found.weight == pytest.approx(weights[head, query, key], abs=1e-6)
            assert found.masked == (weights[head, query, key] == 0)
            if not found.masked:
                assert found.weight == pytest.approx(math.exp(found.score - found.log_sum), abs=1e-5)


def test_the_neuron_view_needs_queries_and_keys() -> None:
    with pytest.raises(UnsupportedFeatureError):
        make("bloom").attention(PROMPT).neuron(HeadAt("self", 0, 0), 1, 0)
    with pytest.raises(InputError):
        make("llama").attention(PROMPT).neuron(HeadAt("self", 0, 0), 99, 0)


PROJECTIONS = {
    "gpt2": "transformer.h.0.attn.c_proj",
    "llama": "model.layers.0.self_attn.o_proj",
    "gemma2": "model.layers.0.self_attn.o_proj",
    "opt": "model.decoder.layers.0.self_attn.out_proj",
    "gpt_neox": "gpt_neox.layers.0.attention.dense",
    "bert": "bert.encoder.layer.0.attention.output.dense",
    "roberta": "roberta.encoder.layer.0.attention.output.dense",
    "modernbert": "model.layers.0.attn.Wo",
    "distilbert": "distilbert.transformer.layer.0.attention.out_lin",
    "t5": "encoder.block.0.layer.0.SelfAttention.o",
    "bart": "model.encoder.layers.0.self_attn.out_proj",
}


@pytest.mark.parametrize("name", PROJECTIONS)
def test_value_norms_are_what_the_projection_makes_of_each_head(name: str) -> None:
    engine = make(name)
    projection = engine.loaded.model.get_submodule(PROJECTIONS[name])
    seen: list[torch.Tensor] = []
    with projection.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0])):
        captured = engine.attention(" a")  # a single token: every weight is 1, what comes in are the values
    norms, projected = captured.value_norms(0, captured.kinds[0])
    assert projected
    assert norms.shape == (4, 1)
    with torch.no_grad():
        for head, values in enumerate(seen[0].reshape(4, -1)):
            alone = torch.zeros_like(seen[0]).reshape(4, -1)
            alone[head] = values
            bias = projection(torch.zeros_like(seen[0]))
            want = (projection(alone.reshape(seen[0].shape)) - bias).norm()
            assert norms[head, 0] == pytest.approx(float(want), rel=1e-4)


def test_values_without_their_projection_say_so() -> None:
    engine = make("llama")
    captured = engine.attention(PROMPT)
    layer = captured.layer("self", 0)
    del layer.module.o_proj
    norms, projected = captured.value_norms(0)
    assert not projected
    np.testing.assert_allclose(norms[3], layer.value[1].norm(dim=-1), rtol=1e-5)


def mixtures(captured: object, kind: str = "self") -> list[np.ndarray]:
    shape = captured.shape(kind)
    means = [captured.weights(layer, kind=kind).mean(0).astype(np.float64) for layer in range(shape.layers)]
    return [0.5 * mean + 0.5 * np.eye(len(mean)) for mean in means]


@pytest.mark.parametrize(("name", "kind"), [("llama", "self"), ("bert", "self"), ("bloom", "self"), ("t5", "decoder")])
def test_rollout_is_the_product_of_the_layers(name: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    captured = make(name).attention(PROMPT, PROMPT if name == "t5" else None)
    want = np.eye(len(captured.shape(kind).key_tokens))
    for each in mixtures(captured, kind):
        want = each @ want
    monkeypatch.setattr(masks, "BLOCK_BYTES", 100)
    np.testing.assert_allclose(captured.rollout(kind), want, atol=1e-5)
    np.testing.assert_allclose(captured.rollout(kind, slice(2, 4)), want[2:4], atol=1e-5)


def test_rollout_of_a_long_text_is_made_for_chosen_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout, "WHOLE_TOKENS", 5)
    captured = make("llama").attention(PROMPT)
    with pytest.raises(InputError, match="5"):
        captured.rollout()
    assert captured.rollout(queries=slice(3, 4)).shape == (1, len(captured.shape().key_tokens))


def test_what_has_no_way_through_the_layers() -> None:
    with pytest.raises(InputError, match="Cross"):
        make("t5").attention(PROMPT).rollout("cross")
    with pytest.raises(InputError, match="not kept"):
        make("llama").captured(AttentionRequest(PROMPT, layers=(1,))).rollout()


@pytest.mark.parametrize("name", ["llama", "bert"])
def test_flow_is_the_maximum_flow(name: str) -> None:
    captured = make(name).attention(PROMPT)
    graph = networkx.DiGraph()
    for layer, mixture in enumerate(mixtures(captured), start=1):
        for (query, key), share in np.ndenumerate(mixture):
            graph.add_edge((layer, query), (layer - 1, key), capacity=float(share))
    found = captured.flow(4)
    want = [networkx.maximum_flow_value(graph, (2, 4), (0, token)) for token in range(len(found))]
    np.testing.assert_allclose(found, want, atol=1e-5)
    assert found.dtype == np.float32


def test_flow_has_a_limit() -> None:
    with pytest.raises(InputError, match="48"):
        make("llama").attention(" a" * 49).flow(0)
    with pytest.raises(Cancelled):
        make("llama").attention(PROMPT).flow(2, control=checkpoints.Recorder(lambda text: "flow" in text))


@pytest.mark.parametrize("name", ["llama", "t5", "bloom"])
def test_every_weight_in_one_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masks, "BLOCK_BYTES", 100)
    captured = make(name).attention(PROMPT, "and again" if name == "t5" else None)
    path = tmp_path / "weights.npz"
    path.write_text("the former file")
    captured.save(path)
    with np.load(path, allow_pickle=False) as saved:
        about = json.loads(str(saved["about"]))
        assert tuple(about["kinds"]) == captured.kinds
        for kind in captured.kinds:
            shape = captured.shape(kind)
            assert tuple(saved[f"{kind}/query_tokens"]) == shape.query_tokens
            assert tuple(saved[f"{kind}/key_tokens"]) == shape.key_tokens
            for layer in range(shape.layers):
                weights = saved[f"{kind}/layer_{layer:02}"]
                assert weights.dtype == np.float16
                np.testing.assert_allclose(weights, captured.weights(layer, kind=kind), atol=5e-4)
    assert [each.name for each in tmp_path.iterdir()] == ["weights.npz"]


def test_a_file_that_is_not_finished_leaves_the_former_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    captured = make("llama").attention(PROMPT)
    path = tmp_path / "weights.npz"
    path.write_text("the former file")
    with pytest.raises(Cancelled):
        captured.save(path, checkpoints.Recorder(lambda text: "Saving" in text))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("llmlab.engine.attention.saving._write_layer", full)
    with pytest.raises(EngineError, match="No space left"):
        captured.save(path)
    assert [each.name for each in tmp_path.iterdir()] == ["weights.npz"]
    assert path.read_text() == "the former file"
    with pytest.raises(EngineError) as caught:
        captured.save(tmp_path / "no such folder" / "weights.npz")
    assert caught.value.hint


def test_repeats_against_the_eager_test_of_the_training_recipe() -> None:
    from llmlab.training.evaluate.heads import head_scores

    engine = Engine.open("bundled:decoder", device="cpu")
    previous, induction = engine.head_scores_on_repeats()
    assert previous.shape == induction.shape == (6, 8)
    assert np.unravel_index(previous.argmax(), previous.shape) == (1, 1)
    assert np.unravel_index(induction.argmax(), induction.shape) == (4, 3)
    engine.loaded.model.set_attn_implementation("eager")
    want = head_scores(engine.loaded.model)
    np.testing.assert_allclose(previous, want.previous, atol=1e-5)
    np.testing.assert_allclose(induction, want.induction, atol=1e-5)


def test_repeats_are_for_decoders() -> None:
    with pytest.raises(UnsupportedFeatureError, match="decoder-only"):
        make("bert").head_scores_on_repeats()
    previous, _ = make("gpt2", context=20).head_scores_on_repeats()
    assert previous.shape == (2, 4)
