"""What the model is given for a request: continued, paired, padded, cut; and what it would cost."""

from __future__ import annotations

import copy
import inspect
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import transformers as t
from hypothesis import given, settings
from hypothesis import strategies as st

from llmlab.engine import Engine
from llmlab.engine.attention.types import AttentionRequest, Truncation
from llmlab.engine.attention.words import continued_words
from llmlab.engine.errors import InputError, OutOfMemoryError, UnsupportedFeatureError
from llmlab.engine.loading import LoadedModel
from llmlab.engine.types import Architecture, Feature
from tests.engine import checkpoints, tiny
from tests.engine.attention_models import KINDS, OF_THEIR_OWN, PROMPT, family_of, make, pairs


@pytest.mark.parametrize("padding", [3, -3])
@pytest.mark.parametrize("name", [*KINDS, *OF_THEIR_OWN])
def test_padding_is_masked_as_in_transformers(name: str, padding: int) -> None:
    engine = make(name)
    loaded, family = engine.loaded, family_of(name)
    ids = loaded.tokenizer(PROMPT)["input_ids"]
    pad, real = [loaded.tokenizer.pad_token_id] * 3, [1] * len(ids)
    given, mask = (ids + pad, real + [0] * 3) if padding > 0 else (pad + ids, [0] * 3 + real)
    inputs: dict[str, Any] = {"input_ids": torch.tensor([given]), "attention_mask": torch.tensor([mask])}
    model = copy.deepcopy(loaded.model)
    if model._can_set_attn_implementation():
        model.set_attn_implementation("eager")
    if family is Architecture.DECODER and "position_ids" in inspect.signature(model.forward).parameters:
        positions = model._prepare_position_ids_for_generation(inputs["input_ids"], inputs)
        inputs["position_ids"] = positions
    if family is Architecture.ENCODER_DECODER:
        inputs["decoder_input_ids"] = torch.tensor([[model.config.decoder_start_token_id]])
    with torch.inference_mode():
        output = model(**inputs, output_attentions=True, use_cache=False)
    want = output.encoder_attentions if family is Architecture.ENCODER_DECODER else output.attentions
    captured = engine.captured(AttentionRequest(PROMPT, padding=padding))
    kind, kept = captured.kinds[0], np.array(mask, bool)
    assert (captured.shape(kind).query_segments == -1).tolist() == (~kept).tolist()
    for layer, weights in enumerate(want):
        mine = captured.weights(layer, kind=kind)
        np.testing.assert_allclose(mine[:, kept], weights[0].numpy()[:, kept], atol=1e-5)
        if kind != "self" or name not in OF_THEIR_OWN:
            assert (mine[:, :, ~kept] == 0).all()
    if family is Architecture.ENCODER_DECODER:
        cross = captured.weights(0, kind="cross")
        np.testing.assert_allclose(cross, output.cross_attentions[0][0].numpy(), atol=1e-5)


@pytest.mark.parametrize("name", ["gpt2", "llama", "qwen3", "opt", "gpt_neox"])
def test_left_padding_changes_nothing_for_the_tokens_after_it(name: str) -> None:
    engine = make(name)
    plain = engine.attention(PROMPT).weights(1)
    padded = engine.captured(AttentionRequest(PROMPT, padding=-2)).weights(1)
    np.testing.assert_allclose(padded[:, 2:, 2:], plain, atol=1e-5)
    assert (padded[:, :2] == 0).all()  # rows that may see nothing have no weights


def test_rows_of_nothing_are_no_broken_ones() -> None:
    survey = make("llama").captured(AttentionRequest(PROMPT, padding=-2)).survey()
    assert not survey.broken.any()


@pytest.mark.parametrize("name", ["llama", "bart"])
def test_generated_tokens_are_read_on(name: str) -> None:
    engine = make(name)
    steps = tuple(step.token_id for step in engine.generate(PROMPT, max_new_tokens=5))
    captured = engine.captured(AttentionRequest(PROMPT, continued=steps))
    shape = captured.shape("self" if name == "llama" else "decoder")
    assert shape.query_tokens[shape.generated :] == engine.token_texts(steps)
    assert shape.generated == (len(engine.tokenize(PROMPT)) if name == "llama" else 1)
    assert engine.attention(PROMPT).shape(shape.kind).generated is None


def test_a_pair_has_two_sentences() -> None:
    engine = pairs()
    tokenizer = engine.loaded.tokenizer
    captured = engine.captured(AttentionRequest("read the model", pair="a sentence again"))
    shape = captured.shape()
    encoded = tokenizer("read the model", "a sentence again", return_tensors="pt")
    assert captured.sides("self")[0].ids.tolist() == encoded["input_ids"][0].tolist()
    middle = shape.query_tokens.index("[SEP]")
    segments = shape.query_segments.tolist()
    assert segments == [0] * (middle + 1) + [1] * (len(segments) - middle - 1)
    model = copy.deepcopy(engine.loaded.model)
    model.set_attn_implementation("eager")
    types = torch.tensor([segments])
    with torch.inference_mode():
        want = model(encoded["input_ids"], token_type_ids=types, output_attentions=True).attentions
    np.testing.assert_allclose(captured.weights(1), want[1][0], atol=1e-5)


def test_words_are_those_of_the_tokenizer() -> None:
    shape = pairs().captured(AttentionRequest("reading models", pair="again reads")).shape()
    words: dict[int, str] = {}
    for word, text in zip(shape.query_words.tolist(), shape.query_tokens, strict=True):
        words[word] = words.get(word, "") + text.removeprefix("##")
    special = words.pop(-1)
    assert list(words.values()) == ["reading", "models", "again", "reads"]
    assert special == "[CLS][SEP][SEP]"


@given(st.text(alphabet="ab .,\n", max_size=30), st.data())
def test_words_by_their_text_do_not_depend_on_how_it_is_cut(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, len(text) - 1)), max_size=6))) if text else []
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True) if text[a:b]]
    words = continued_words(pieces, 4)
    assert all(0 <= b - a <= 1 for a, b in zip([4, *words], words, strict=False))
    half = len(pieces) // 2
    if half:
        rest = continued_words(pieces[half:], int(words[half - 1]), pieces[half - 1])
        np.testing.assert_array_equal(rest, words[half:])


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 60), st.integers(0, 60), st.sampled_from([Truncation.KEEP_BEGINNING, Truncation.KEEP_END]))
def test_what_is_cut_comes_off_the_longer_sentence(first: int, second: int, truncation: Truncation) -> None:
    engine = _ENGINES.setdefault("pairs", pairs())
    request = AttentionRequest("a " * first, pair="the " * second if second else None, truncation=truncation)
    whole = engine.attention_cost(request)
    sequence = engine.captured(replace(request, layers=(0,))).sides("self")[0]
    assert len(sequence) == min(48, whole.tokens)
    assert whole.over == max(0, whole.tokens - 48)
    ordinary = [int((~sequence.fixed & (sequence.segments == each)).sum()) for each in (0, 1)]
    if whole.over and second:
        longer = max(first, second)
        assert ordinary[0] <= first
        assert ordinary[1] <= second
        assert abs(ordinary[0] - ordinary[1]) <= 1 or min(ordinary) == min(first, second) or longer == max(ordinary)


_ENGINES: dict[str, Engine] = {}


def test_the_beginning_or_the_end_is_kept() -> None:
    engine = make("llama", context=6)
    ids = engine.tokenize(PROMPT).ids
    assert len(ids) > 6

    def kept(truncation: Truncation, continued: tuple[int, ...] = ()) -> tuple[list[int], int | None]:
        captured = engine.captured(AttentionRequest(PROMPT, continued=continued, truncation=truncation))
        return captured.sides("self")[0].ids.tolist(), captured.shape().generated

    assert kept(Truncation.KEEP_BEGINNING) == (ids[:6].tolist(), None)
    assert kept(Truncation.KEEP_END) == (ids[-6:].tolist(), None)
    assert kept(Truncation.KEEP_END, (7, 8)) == ([*ids[-4:].tolist(), 7, 8], 4)
    with pytest.raises(InputError, match="at most 6") as caught:
        engine.attention(PROMPT)
    assert "beginning" in caught.value.hint


def test_special_tokens_are_not_cut() -> None:
    engine = tiny.wrap(checkpoints.make("bert"), copy.deepcopy(tiny.wordpiece()), Architecture.ENCODER, context=5)
    shape = engine.captured(AttentionRequest("a little model again", truncation=Truncation.KEEP_END)).shape()
    assert (shape.query_tokens[0], shape.query_tokens[-1], len(shape.query_tokens)) == ("[CLS]", "[SEP]", 5)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("llama", {"pair": "and"}),
        ("llama", {"target": "and"}),
        ("bert", {"continued": (5,)}),
        ("llama", {"continued": (99_999,)}),
        ("llama", {"continued": (-1,)}),
        ("llama", {"layers": (2,)}),
        ("llama", {"layers": ()}),
        ("llama", {"text": "\ud800"}),
        ("t5", {"target": "\ud800"}),
        ("llama", {"padding": 10_000}),
    ],
)
def test_requests_that_make_no_sense(name: str, change: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        make(name, context=64).captured(replace(AttentionRequest(PROMPT), **change))
    assert caught.value.hint


@pytest.mark.parametrize(
    "model",
    [
        lambda: t.MambaForCausalLM(t.MambaConfig(vocab_size=320, hidden_size=16, num_hidden_layers=1)),
        lambda: t.RwkvForCausalLM(t.RwkvConfig(vocab_size=320, hidden_size=16, num_hidden_layers=2)),
    ],
)
def test_models_without_attention_say_why(model: Any) -> None:
    engine = tiny.wrap(model(), checkpoints.tokenizer())
    info = replace(engine.info, features=engine.info.features - {Feature.ATTENTION})
    engine = Engine(LoadedModel(info, engine.loaded.model, engine.loaded.tokenizer, engine.loaded.device))
    for ask in (engine.attention, lambda text: engine.attention_cost(AttentionRequest(text))):
        with pytest.raises(UnsupportedFeatureError, match="state") as caught:
            ask(PROMPT)
        assert engine.info.model_type in caught.value.message


def test_only_the_layers_that_are_asked_for_are_kept() -> None:
    engine = make("t5")
    whole, part = engine.attention(PROMPT), engine.captured(AttentionRequest(PROMPT, layers=(2,)))
    assert part.kinds == ("decoder", "cross")  # the encoder has two layers
    assert part.shape("cross").captured == (2,)
    np.testing.assert_array_equal(part.weights(2, kind="cross"), whole.weights(2, kind="cross"))
    with pytest.raises(InputError, match="not kept"):
        part.weights(1, kind="cross")


def test_the_last_two_captures_are_remembered() -> None:
    engine = make("llama")
    first, second, third = (AttentionRequest(text) for text in ("a", "b", "c"))
    kept = engine.captured(first)
    engine.captured(second)
    assert engine.captured(first) is kept
    engine.captured(third)
    assert engine.captured(first) is kept  # the second was used longest ago
    assert engine.captured(AttentionRequest("b")) is not kept
    engine.close()
    assert not engine._captures


def test_running_out_of_memory_lets_go_of_what_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = make("llama")
    engine.attention("a")
    monkeypatch.setattr("llmlab.engine.attention.capture.run", _no_memory)
    with pytest.raises(OutOfMemoryError):
        engine.attention("b")
    assert not engine._captures


def _no_memory(*_: object) -> None:
    raise MemoryError


@pytest.mark.parametrize("name", ["gpt2", "llama", "modernbert", "t5", "bart", "bloom"])
def test_the_cost_is_what_is_held(name: str) -> None:
    engine = make(name)
    request = AttentionRequest(" a" * 40, " a" * 30 if name in ("t5", "bart") else None)
    cost, captured = engine.attention_cost(request), engine.captured(request)
    assert (cost.tokens, cost.target_tokens) == (40, 31 if request.target else 0)
    layers = [layer for kind in captured.kinds for layer in captured.of(kind).kept.values()]
    names = ("query", "key", "value", "weights")
    tensors = [x for layer in layers for n in names if isinstance(x := getattr(layer, n, None), torch.Tensor)]
    held = sum({x.untyped_storage().data_ptr(): x.untyped_storage().nbytes() for x in tensors}.values())
    assert held <= cost.bytes <= 3 * held
    single = engine.attention_cost(replace(request, layers=(0,)))
    assert single.bytes <= cost.bytes_of_a_layer < cost.bytes
    assert cost.available > 0
