"""Attention captured through SDPA is what eager `output_attentions` gives, for every family that dispatches."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from llmlab.engine import Engine
from llmlab.engine.attention import capture as module
from llmlab.engine.attention.captured import AttentionCapture
from llmlab.engine.attention.inputs import read
from llmlab.engine.attention.masks import ByDistance, Dense, Spans, compact_bias, compact_mask
from llmlab.engine.attention.types import AttentionRequest
from llmlab.engine.errors import Cancelled, InputError
from llmlab.engine.progress import UNCONTROLLED
from llmlab.engine.types import Architecture
from tests.engine.attention_models import KINDS, OF_THEIR_OWN, PROMPT, eager, family_of, make


@pytest.mark.parametrize("name", KINDS)
def test_weights_are_those_of_eager_attention(name: str, device: str) -> None:
    engine = make(name, device)
    target = " the same sentence" if family_of(name) is Architecture.ENCODER_DECODER else None
    want = eager(engine, PROMPT, target)
    before = engine.loaded.model.config._attn_implementation
    got = engine.attention(PROMPT, target)
    assert engine.loaded.model.config._attn_implementation == before
    assert got.kinds == tuple(want)
    assert all(type(layer).__name__ == "AttentionLayer" for kind in got.kinds for layer in got.of(kind).kept.values())
    for kind, layers in want.items():
        shape = got.shape(kind)
        assert (shape.layers, shape.heads) == (len(layers), layers[0].shape[0])
        assert (len(shape.query_tokens), len(shape.key_tokens)) == layers[0].shape[1:]
        for index, weights in enumerate(layers):
            mine = got.weights(index, kind=kind)
            assert mine.dtype == np.float32
            np.testing.assert_allclose(mine, weights, atol=1e-5)
            np.testing.assert_allclose(got.weights(index, 1, kind), weights[1], atol=1e-5)
            np.testing.assert_allclose(got.rows(index, 3, 0, 1, kind), weights[3, :1], atol=1e-5)
            half = layers[0].shape[1] // 2
            np.testing.assert_allclose(got.rows(index, 2, half, half + 1, kind), weights[2, half : half + 1], atol=1e-5)
    first = want[got.kinds[0]]
    assert (got.layers, got.heads) == (len(first), first[0].shape[0])


@pytest.mark.parametrize("name", ["bloom", "deberta"])
def test_other_ways_to_attend(name: str) -> None:
    engine = make(name)
    want = eager(engine, PROMPT)["self"]
    got = engine.attention(PROMPT)
    for index, weights in enumerate(want):
        np.testing.assert_allclose(got.weights(index), weights, atol=1e-6)
        np.testing.assert_allclose(got.rows(index, 0, 2, 5), weights[0, 2:5], atol=1e-6)


def test_other_ways_to_attend_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EAGER_TOKENS", 5)
    with pytest.raises(InputError, match="at most 5") as caught:
        make("bloom").attention(PROMPT)
    assert "bloom" in caught.value.message


@pytest.mark.parametrize(("name", "kind"), [("llama", "self"), ("t5", "decoder"), ("gemma3", "self")])
def test_memory_grows_with_the_tokens_only(name: str, kind: str) -> None:
    engine = make(name)

    def held(words: int) -> int:
        text = " a" * words
        captured = engine.attention(text, text if name == "t5" else None)
        layers = [layer for each in captured.kinds for layer in captured.of(each).kept.values()]
        tensors = [
            x for layer in layers for x in (layer.query, layer.key, layer.value, *_held(layer.mask), *_held(layer.bias))
        ]
        return sum({x.untyped_storage().data_ptr(): x.untyped_storage().nbytes() for x in tensors}.values())

    assert held(400) < 2.2 * held(200)


def _held(rows: object) -> list[torch.Tensor]:
    names = ("first", "end", "table", "values")
    return [value for name in names if isinstance(value := getattr(rows, name, None), torch.Tensor)]


def test_sliding_windows_are_named() -> None:
    shape = make("gemma3").attention(PROMPT).shape()
    assert shape.windows == (5, None)
    assert shape.key_value_heads == 2


def test_without_a_target_the_decoder_reads_its_start() -> None:
    captured = make("t5").attention(PROMPT)
    assert captured.shape("decoder").query_tokens == ("<pad>",)
    assert captured.weights(0, 0, "cross").shape == (1, len(captured.shape("encoder").key_tokens))
    np.testing.assert_array_equal(captured.weights(0, 0, "decoder"), [[1.0]])


def test_large_maps_are_computed_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    captured = make("llama").attention(PROMPT)
    whole = captured.weights(1)
    monkeypatch.setattr("llmlab.engine.attention.masks.BLOCK_BYTES", 100)
    np.testing.assert_allclose(captured.weights(1), whole, atol=1e-6)
    np.testing.assert_allclose(captured.rows(1, 0, 0, len(whole[0])), whole[0], atol=1e-6)


@pytest.mark.parametrize(
    "ask",
    [
        lambda a: a.weights(2),
        lambda a: a.weights(-1),
        lambda a: a.weights(0, 4),
        lambda a: a.weights(0, kind="cross"),
        lambda a: a.rows(0, 0, 0, 999),
        lambda a: a.rows(0, 0, 3, 2),
    ],
)
def test_what_is_not_there(ask: Callable[[AttentionCapture], object]) -> None:
    captured = make("llama").attention(PROMPT)
    with pytest.raises(InputError) as caught:
        ask(captured)
    assert caught.value.hint


def test_the_models_own_attention_comes_back_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = make("t5")
    model = engine.loaded.model
    configs = [model.config, model.encoder.config, model.decoder.config]
    before = [config._attn_implementation for config in configs]

    class CancelAfter:
        checks = 0

        def check(self) -> None:
            self.checks += 1
            if self.checks == 4:  # between two layers
                raise Cancelled

        def report(self, text: str, fraction: float | None = None) -> None: ...

    with pytest.raises(Cancelled):
        engine.attention(PROMPT, control=CancelAfter())
    assert [config._attn_implementation for config in configs] == before
    assert engine.attention(PROMPT).layers == 2


def test_capturing_changes_nothing_that_is_computed_later() -> None:
    engine = make("gemma3")
    before = engine.next_token(PROMPT).logits
    engine.attention(PROMPT)
    np.testing.assert_array_equal(engine.next_token(PROMPT).logits, before)


def test_masks_that_are_no_spans_stay_whole() -> None:
    holes = torch.tensor([[[True, False, True], [True, True, True]]])
    assert isinstance(compact_mask(holes), Dense)
    assert isinstance(compact_mask(torch.zeros(1, 2, 2)), Dense)  # additive
    nothing = compact_mask(torch.tensor([[[False, False], [True, True]]]))
    assert isinstance(nothing, Spans)
    assert nothing.rows(0, 2).tolist() == [[[False, False], [True, True]]]


def test_biases_that_depend_on_more_than_distance_stay_whole() -> None:
    assert isinstance(compact_bias(torch.randn(2, 5, 5)), Dense)
    distances = torch.arange(4)[None] - torch.arange(3)[:, None]
    bias = torch.stack([distances, distances**2]).float()
    short = compact_bias(bias)
    assert isinstance(short, ByDistance)
    assert torch.equal(short.rows(1, 3), bias[:, 1:3])


@pytest.mark.parametrize("name", ["decoder", "encoder", "seq2seq"])
def test_bundled_models_attend_as_with_eager_attention(name: str) -> None:
    engine = Engine.open(f"bundled:{name}", device="cpu")
    target = "The small cat sat." if name == "seq2seq" else None
    text = "The small cat sat on the mat, and then the small cat ran away. " * 6  # beyond the encoder's window
    want = eager(engine, text, target)
    got = engine.attention(text, target)
    assert got.kinds == tuple(want)
    for kind, layers in want.items():
        for index, weights in enumerate(layers):
            mine = got.weights(index, kind=kind)
            np.testing.assert_allclose(mine, weights, atol=1e-5)
            np.testing.assert_allclose(mine.sum(-1), 1, atol=1e-5)


@pytest.mark.parametrize("name", [*KINDS, *OF_THEIR_OWN])
def test_rows_sum_to_one(name: str) -> None:
    captured = make(name).attention(PROMPT, "and again" if name in ("t5", "bart") else None)
    for kind in captured.kinds:
        for layer in range(captured.shape(kind).layers):
            sums = captured.weights(layer, kind=kind).sum(-1)
            if name == "gpt_oss":  # its sinks take the rest
                assert (sums < 1).all()
            else:
                np.testing.assert_allclose(sums, 1, atol=1e-5)


@pytest.mark.parametrize("name", KINDS)
def test_the_logits_are_the_same_while_attention_is_captured(name: str) -> None:
    engine = make(name)
    loaded = engine.loaded
    inputs = read(loaded, engine._speller, AttentionRequest(PROMPT)).tensors(loaded)
    with torch.inference_mode():
        before = loaded.model(**inputs, use_cache=False).logits
        recorder = module._Recorder(loaded.model, None, UNCONTROLLED)
        with module._capturing(loaded.model, recorder):
            during = loaded.model(**inputs, use_cache=False).logits
    assert all(recorder.counts.values())
    if name in ("gemma2", "gpt_oss"):  # SDPA knows neither caps nor sinks: transformers takes another way
        torch.testing.assert_close(during, before, atol=1e-5, rtol=1e-5)
    else:
        assert torch.equal(during, before)
