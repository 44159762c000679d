"""The next token's distribution is what the model computes, sorted, and what transformers' processors make of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from llmlab.engine import Engine
from llmlab.engine.context import Context
from llmlab.engine.errors import Cancelled, InputError, UnsupportedFeatureError
from llmlab.engine.logits import RADIX, sort
from llmlab.engine.sampling import SamplingSettings, SortedLogits, shape
from tests.engine import tiny
from tests.engine.test_sampling import expected

PROMPT = "Once upon a time there was"


def last_logits(engine: Engine, text: str) -> torch.Tensor:
    """The oracle: one plain forward pass."""
    loaded = engine.loaded
    ids = torch.tensor([loaded.tokenizer(text)["input_ids"]], device=loaded.device)
    more = {}
    if loaded.model.config.is_encoder_decoder:
        start = loaded.model.config.decoder_start_token_id
        more = {"decoder_input_ids": torch.tensor([[start]], device=loaded.device)}
    with torch.inference_mode():
        return loaded.model(input_ids=ids, **more).logits[0, -1].float().cpu()


@pytest.mark.parametrize("kind", ["gpt2", "llama", "t5", "bart"])
def test_next_token(kind: str, device: str) -> None:
    engine = tiny.engine(kind, device)
    got = engine.next_token(PROMPT, temperature=0.7, top_k=50, top_p=0.9, min_p=0.02, repetition_penalty=1.2)
    want = last_logits(engine, PROMPT)
    assert got.logits.shape == (320,)
    assert {a.dtype for a in (got.logits, got.raw_probabilities, got.probabilities)} == {np.dtype(np.float32)}
    np.testing.assert_allclose(got.logits, want, atol=1e-5)
    np.testing.assert_allclose(got.raw_probabilities, want.softmax(-1), atol=1e-6)
    context = (
        engine.tokenize(PROMPT).ids
        if kind in ("gpt2", "llama")
        else np.array([engine.loaded.model.config.decoder_start_token_id])
    )
    kept, probabilities = expected(got.logits, context, SamplingSettings(True, 0.7, 50, 0.9, 0.02, 1.2))
    np.testing.assert_array_equal(got.probabilities > 0, kept)
    np.testing.assert_allclose(got.probabilities, probabilities, atol=1e-6)


@pytest.mark.parametrize("kind", ["gpt2", "t5"])
def test_distribution_is_the_next_token_sorted(kind: str, device: str) -> None:
    engine = tiny.engine(kind, device)
    (position,) = engine.distribution(PROMPT).positions
    assert position.label == "next"
    assert position.texts == engine.token_texts(position.sorted.ids[:512])
    shaped = shape(position.sorted, SamplingSettings(temperature=0.5))
    np.testing.assert_array_equal(shaped.ids, position.sorted.ids)
    want = engine.next_token(PROMPT, temperature=0.5)
    np.testing.assert_allclose(shaped.probabilities, want.probabilities[shaped.ids], atol=1e-6)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_masks(kind: str, device: str) -> None:
    engine = tiny.engine(kind, device)
    text = "Once upon a<mask> there was a little<mask>."
    captured = engine.distribution(text)
    ids = torch.tensor([engine.loaded.tokenizer(text)["input_ids"]], device=engine.loaded.device)
    with torch.inference_mode():
        want = engine.loaded.model(input_ids=ids).logits[ids == 3].float().cpu().numpy()
    assert len(captured.positions) == len(want) == 2
    for position, logits in zip(captured.positions, want, strict=True):
        np.testing.assert_allclose(position.sorted.logits, logits[position.sorted.ids], atol=1e-5)
        assert not len(position.sorted.context_ids)
    assert all("<mask>" in position.label and position.label in text for position in captured.positions)


def test_a_text_without_a_mask_says_what_to_type() -> None:
    with pytest.raises(InputError) as caught:
        tiny.engine("bert").distribution("Once upon a time")
    assert "<mask>" in caught.value.hint


def test_an_encoder_has_no_next_token() -> None:
    engine = tiny.engine("bert")
    with pytest.raises(UnsupportedFeatureError, match="encoder-only"):
        engine.next_token(PROMPT)
    with pytest.raises(UnsupportedFeatureError):
        engine.generate(PROMPT)
    with pytest.raises(UnsupportedFeatureError):
        engine.score(PROMPT, ["a"])


def test_an_empty_prompt_is_the_beginning_of_a_text() -> None:
    engine = tiny.engine("llama")
    np.testing.assert_array_equal(engine.next_token("").logits, engine.next_token("<s>").logits)


def test_an_empty_prompt_without_a_beginning_is_refused() -> None:
    engine = tiny.engine("llama")
    engine.loaded.model.generation_config.bos_token_id = None
    engine.loaded.tokenizer.bos_token = None
    with pytest.raises(InputError, match="empty"):
        engine.next_token("")


def test_a_text_beyond_the_context_says_by_how_much() -> None:
    engine = tiny.engine("gpt2")
    words = " a" * 64
    assert len(engine.tokenize(words)) == 64
    engine.next_token(words)
    with pytest.raises(InputError) as caught:
        engine.next_token(words + " a")
    assert "65" in caught.value.message
    assert "64" in caught.value.message
    assert "1 token" in caught.value.hint


def test_a_token_without_an_embedding_is_refused() -> None:
    engine = tiny.engine("llama")
    tokenizer = engine.loaded.tokenizer
    tokenizer.add_tokens([f"<extra{i}>" for i in range(330 - len(tokenizer))])
    with pytest.raises(InputError, match="<extra"):
        engine.next_token("a" + tokenizer.convert_ids_to_tokens([329])[0])


def test_logits_that_are_not_numbers_are_said_so() -> None:
    engine = tiny.engine("llama")
    with torch.no_grad():
        engine.loaded.model.get_output_embeddings().weight.fill_(float("nan"))
    with pytest.raises(InputError, match="NaN") as caught:
        engine.next_token(PROMPT)
    assert "float32" in caught.value.hint


def test_tokens_that_the_models_settings_forbid() -> None:
    engine = tiny.engine("llama")
    best = engine.next_token(PROMPT).logits.argmax()
    engine.loaded.model.generation_config.bad_words_ids = [[int(best)], [5, 6]]
    engine.loaded.model.generation_config.suppress_tokens = [7]
    logits = engine.next_token(PROMPT).logits
    assert np.flatnonzero(np.isneginf(logits)).tolist() == sorted([7, int(best)])


def test_reading_can_be_cancelled() -> None:
    class Off:
        def check(self) -> None:
            raise Cancelled

        def report(self, text: str, fraction: float | None = None) -> None: ...

    for kind, text in (("gpt2", PROMPT), ("t5", PROMPT), ("bert", "a<mask>")):
        with pytest.raises(Cancelled):
            tiny.engine(kind).distribution(text, Off())


def test_a_long_prompt_read_in_parts_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = tiny.engine("llama")
    text = " time" * 30
    whole = engine.next_token(text).logits
    monkeypatch.setattr("llmlab.engine.reading.PREFILL", 7)
    np.testing.assert_allclose(engine.next_token(text).logits, whole, atol=1e-5)


@given(hnp.arrays(np.float32, st.integers(1, 40), elements=st.floats(-50, 50, width=32) | st.just(-np.inf)))
def test_sorting_on_the_device_is_sorting_in_numpy(logits: np.ndarray) -> None:
    if not np.isfinite(logits).any():
        return
    here, there = SortedLogits.from_logits(logits, (0,)), sort(torch.from_numpy(logits.copy()), Context.of((0,)))
    np.testing.assert_array_equal(here.ids, there.ids)
    np.testing.assert_array_equal(here.logits, there.logits)
    assert there.ids.dtype == np.int32


@pytest.mark.parametrize("places", [1, 8])
def test_sorting_a_large_vocabulary(places: int) -> None:
    logits = torch.from_numpy(np.random.default_rng(0).normal(0, 3, RADIX + 1).round(places).astype(np.float32))
    logits[::7] = -torch.inf
    here, there = SortedLogits.from_logits(logits.numpy()), sort(logits)
    np.testing.assert_array_equal(here.ids, there.ids)
    np.testing.assert_array_equal(here.logits, there.logits)


@pytest.mark.parametrize("bad", [torch.nan, -torch.nan, torch.inf])
def test_a_large_vocabulary_without_numbers(bad: float) -> None:
    logits = torch.zeros(RADIX)
    logits[5] = bad
    with pytest.raises(InputError):
        sort(logits)


@pytest.mark.cuda
def test_sorting_on_a_gpu() -> None:
    logits = torch.randn(152_000).bfloat16().float()
    here, there = sort(logits), sort(logits.cuda())
    np.testing.assert_array_equal(here.ids, there.ids)
