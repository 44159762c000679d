"""Heads that are switched off: as if their columns of the output projection were zero, and nothing else is."""

from __future__ import annotations

import copy
from collections.abc import Collection
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import transformers as t
from torch import nn

from llmlab.engine import Engine
from llmlab.engine.attention import ablation as module
from llmlab.engine.attention import inputs
from llmlab.engine.attention.types import AttentionRequest, HeadAt, LayerEffects
from llmlab.engine.errors import Cancelled, InputError, UnsupportedFeatureError
from llmlab.engine.types import Architecture, Feature
from tests.engine import tiny
from tests.engine.attention_models import PROMPT, SMALL, make

TARGET = " the same sentence again"
DECODER, ENCODER, PAIR = Architecture.DECODER, Architecture.ENCODER, Architecture.ENCODER_DECODER
# Where each family keeps the projection of the heads' outputs, by kind; {} is the layer.
PROJECTIONS = {
    "gpt2": (DECODER, {"self": "transformer.h.{}.attn.c_proj"}),
    "llama": (DECODER, {"self": "model.layers.{}.self_attn.o_proj"}),
    "gemma3": (DECODER, {"self": "model.layers.{}.self_attn.o_proj"}),
    "gemma2": (DECODER, {"self": "model.layers.{}.self_attn.o_proj"}),
    "gpt_oss": (DECODER, {"self": "model.layers.{}.self_attn.o_proj"}),
    "gpt_neox": (DECODER, {"self": "gpt_neox.layers.{}.attention.dense"}),
    "bert": (ENCODER, {"self": "bert.encoder.layer.{}.attention.output.dense"}),
    "modernbert": (ENCODER, {"self": "model.layers.{}.attn.Wo"}),
    "t5": (
        PAIR,
        {
            "encoder": "encoder.block.{}.layer.0.SelfAttention.o",
            "decoder": "decoder.block.{}.layer.0.SelfAttention.o",
            "cross": "decoder.block.{}.layer.1.EncDecAttention.o",
        },
    ),
    "bart": (
        PAIR,
        {
            "encoder": "model.encoder.layers.{}.self_attn.out_proj",
            "decoder": "model.decoder.layers.{}.self_attn.out_proj",
            "cross": "model.decoder.layers.{}.encoder_attn.out_proj",
        },
    ),
}
NAMES = list(PROJECTIONS)


def request_for(family: Architecture) -> AttentionRequest:
    if family is ENCODER:
        return AttentionRequest("Once upon<mask> time there<mask> a little model")
    return AttentionRequest(PROMPT, target=TARGET if family is PAIR else None)


def given(engine: Engine, request: AttentionRequest) -> dict[str, torch.Tensor]:
    return inputs.read(engine.loaded, engine._speller, request).tensors(engine.loaded)


def predicted(model: t.PreTrainedModel, engine: Engine, arguments: dict[str, torch.Tensor]) -> np.ndarray:
    """What `model` itself says at the predicted positions: probabilities float64 (positions, vocabulary)."""
    with torch.inference_mode():
        logits = model(**arguments).logits[0].double()
    if engine.info.architecture is ENCODER:
        rows = logits[arguments["input_ids"][0] == engine.loaded.tokenizer.mask_token_id]
    elif "attention_mask" in arguments:
        rows = logits[arguments["attention_mask"][0].nonzero()[-1]]
    else:
        rows = logits[-1:]
    return rows.softmax(-1).cpu().numpy()


def without(engine: Engine, name: str, off: Collection[HeadAt]) -> t.PreTrainedModel:
    """A copy of the model in which what the heads write is multiplied by zero."""
    model = copy.deepcopy(engine.loaded.model)
    for each in off:
        projection: Any = model.get_submodule(PROJECTIONS[name][1][each.kind].format(each.layer))
        weight = projection.weight.data
        inward = weight.T if isinstance(projection, nn.Linear) else weight  # (inputs, outputs), GPT-2's as it is
        size = len(inward) // 4
        inward[each.head * size : (each.head + 1) * size] = 0
    return model


def divergence(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return (before * (np.log(before) - np.log(after))).sum(-1)


def combinations(name: str) -> list[tuple[HeadAt, ...]]:
    kinds = list(PROJECTIONS[name][1])
    single = [(HeadAt(kind, layer, 2),) for kind in kinds for layer in (0, 1)]
    return [*single, tuple(HeadAt(kind, layer, head) for kind in kinds for layer, head in [(0, 0), (0, 3), (1, 1)])]


@pytest.mark.parametrize("name", NAMES)
def test_a_head_that_is_off_writes_nothing(name: str, device: str) -> None:
    family = PROJECTIONS[name][0]
    engine = make(name, device)
    request = request_for(family)
    arguments = given(engine, request)
    before = predicted(engine.loaded.model, engine, arguments)
    for off in combinations(name):
        after = predicted(without(engine, name, off), engine, arguments)
        effects = engine.ablation(request, off)
        assert len(effects) == len(before)
        for place, effect in enumerate(effects):
            assert effect.off == tuple(sorted(off))
            np.testing.assert_allclose(effect.before, before[place][effect.ids], atol=1e-5)
            np.testing.assert_allclose(effect.after, after[place][effect.ids], atol=1e-5)
            assert effect.kl == pytest.approx(divergence(before[place], after[place]), rel=1e-4, abs=1e-5)
            assert effect.entropy_before == pytest.approx(
                -(before[place] * np.log(before[place])).sum(), rel=1e-4, abs=1e-5
            )
            assert effect.entropy_after == pytest.approx(
                -(after[place] * np.log(after[place])).sum(), rel=1e-4, abs=1e-5
            )
            larger = np.maximum(before[place], after[place])
            assert set(effect.ids[:5].tolist()) <= set(np.argsort(-larger)[:8].tolist())
            assert effect.texts == engine.token_texts(effect.ids.tolist())


@pytest.mark.parametrize("name", NAMES)
def test_the_sweep_says_what_one_by_one_says(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    family = PROJECTIONS[name][0]
    engine = make(name)
    request = request_for(family)
    swept = list(engine.ablation_effects(request))
    expected = [(kind, layer) for kind in PROJECTIONS[name][1] for layer in range(3 if kind in LONGER[name] else 2)]
    assert [(each.kind, each.layer) for each in swept] == expected
    for each in swept:
        heads = [HeadAt(each.kind, each.layer, head) for head in range(4)]
        for head in (0, 3):
            effects = engine.ablation(request, [heads[head]])
            assert each.kl[head] == pytest.approx(np.mean([effect.kl for effect in effects]), rel=1e-4, abs=1e-5)
            assert each.delta[head] == pytest.approx(np.mean([change(effect) for effect in effects]), abs=1e-5)
        whole = engine.ablation(request, heads)
        assert each.layer_kl == pytest.approx(np.mean([e.kl for e in whole]), rel=1e-4, abs=1e-5)
        assert each.layer_delta == pytest.approx(np.mean([change(e) for e in whole]), rel=1e-4, abs=1e-5)
    same(swept, list(module.ablation_effects(engine.loaded, given(engine, request), reuse=False)))
    known = {(each.kind, each.layer) for each in swept[1:]}
    same(swept[:1], list(engine.ablation_effects(request, known=known)))
    monkeypatch.setattr(module, "BATCH_BYTES", 1)
    same(swept, list(engine.ablation_effects(request)))


LONGER = {name: ("decoder", "cross") if name == "t5" else () for name in NAMES}


def change(effect: Any) -> float:
    best = int(effect.before.argmax())
    return float(effect.after[best] - effect.before[best])


def same(first: list[LayerEffects], second: list[LayerEffects]) -> None:
    assert [(each.kind, each.layer) for each in first] == [(each.kind, each.layer) for each in second]
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(one.kl, other.kl, atol=1e-5)
        np.testing.assert_allclose(one.delta, other.delta, atol=1e-5)
        assert one.layer_kl == pytest.approx(other.layer_kl, rel=1e-4, abs=1e-5)
        assert one.layer_delta == pytest.approx(other.layer_delta, rel=1e-4, abs=1e-5)


def test_the_prefix_is_not_computed_again() -> None:
    """Every layer runs only for the sweeps of layers up to its own, not for those behind it."""
    engine = make("llama")
    runs = [0, 0]
    for index, layer in enumerate(engine.loaded.model.model.layers):
        own = layer.mlp.register_forward_hook(lambda *_, index=index: runs.__setitem__(index, runs[index] + 1))
        assert own
    sweep = engine.ablation_effects(AttentionRequest(PROMPT))
    next(sweep)
    before = list(runs)
    next(sweep)
    assert [now - then for now, then in zip(runs, before, strict=True)] == [0, 1]


def test_nothing_off_has_no_effect() -> None:
    (effect,) = make("llama").ablation(AttentionRequest(PROMPT), ())
    np.testing.assert_array_equal(effect.before, effect.after)
    assert (effect.kl, effect.off, effect.label) == (0.0, (), "next")


def test_each_mask_has_an_effect_of_its_own() -> None:
    engine = make("bert")
    effects = engine.ablation(request_for(ENCODER), [HeadAt("self", 0, 0)])
    assert [effect.label for effect in effects] == ["Once upon<mask> time there", "time there<mask> a little model"]
    assert effects[0].kl != effects[1].kl


@pytest.mark.parametrize("padding", [3, -3])
def test_padding_changes_no_effect(padding: int) -> None:
    engine = make("llama")
    off = [HeadAt("self", 0, 1), HeadAt("self", 1, 3)]
    (plain,) = engine.ablation(AttentionRequest(PROMPT), off)
    (padded,) = engine.ablation(AttentionRequest(PROMPT, padding=padding), off)
    np.testing.assert_array_equal(padded.ids[:5], plain.ids[:5])
    np.testing.assert_allclose(padded.after, plain.after, atol=1e-5)
    swept = list(engine.ablation_effects(AttentionRequest(PROMPT)))
    same(swept, list(engine.ablation_effects(AttentionRequest(PROMPT, padding=padding))))


def test_what_generation_may_never_write_has_no_probability() -> None:
    engine = make("llama")
    best = int(engine.ablation(AttentionRequest(PROMPT), ())[0].ids[0])
    engine.loaded.model.generation_config.suppress_tokens = [best]
    (effect,) = engine.ablation(AttentionRequest(PROMPT), [HeadAt("self", 0, 0)])
    assert best not in effect.ids
    assert np.isfinite([effect.kl, effect.entropy_before, effect.entropy_after]).all()
    (first, *_) = engine.ablation_effects(AttentionRequest(PROMPT))
    assert np.isfinite(first.kl).all()


def test_a_layer_that_runs_several_times() -> None:
    """ALBERT: one module is every layer, so nothing can be skipped, and a head has a place for each time it runs."""
    torch.manual_seed(1)
    config = t.AlbertConfig(embedding_size=16, **(SMALL | {"num_hidden_layers": 3}))
    model = t.AlbertForMaskedLM(config)
    with torch.no_grad():
        for each in model.parameters():
            if each.ndim == 2:
                each.mul_(4)
    engine = tiny.wrap(model, copy.deepcopy(tiny.byte_level()), ENCODER, context=None)
    request = request_for(ENCODER)
    arguments = given(engine, request)
    cut = copy.deepcopy(model)
    cut.get_submodule("albert.encoder.albert_layer_groups.0.albert_layers.0.attention.dense").weight.data[:, 8:16] = 0
    after = predicted(cut, engine, arguments)
    effects = engine.ablation(request, [HeadAt("self", layer, 1) for layer in range(3)])
    for place, effect in enumerate(effects):
        np.testing.assert_allclose(effect.after, after[place][effect.ids], atol=1e-5)
    swept = list(engine.ablation_effects(request))
    assert [each.layer for each in swept] == [0, 1, 2]
    single = [engine.ablation(request, [HeadAt("self", 2, head)]) for head in range(4)]
    np.testing.assert_allclose(swept[2].kl, [np.mean([e.kl for e in each]) for each in single], atol=1e-5)


@pytest.mark.parametrize(
    "off", [HeadAt("self", 0, 4), HeadAt("self", 2, 0), HeadAt("cross", 0, 0), HeadAt("self", 0, -1)]
)
def test_heads_that_are_not_there(off: HeadAt) -> None:
    with pytest.raises(InputError) as caught:
        make("llama").ablation(AttentionRequest(PROMPT), [off])
    assert caught.value.hint


@pytest.mark.parametrize(("name", "family"), [("bloom", DECODER), ("deberta", ENCODER)])
def test_heads_that_cannot_be_switched_off(name: str, family: Architecture) -> None:
    engine = make(name)
    with pytest.raises(UnsupportedFeatureError, match="way of their own") as caught:
        engine.ablation(request_for(family), [HeadAt("self", 0, 0)])
    assert caught.value.hint
    with pytest.raises(UnsupportedFeatureError):
        next(engine.ablation_effects(request_for(family)))


def test_an_encoder_needs_a_mask() -> None:
    with pytest.raises(InputError, match="no masked position"):
        make("bert").ablation(AttentionRequest(PROMPT), ())


def test_a_model_without_a_head_predicts_nothing() -> None:
    engine = make("llama")
    object.__setattr__(engine.loaded.info, "features", frozenset({Feature.TOKENIZE, Feature.ATTENTION}))
    with pytest.raises(UnsupportedFeatureError, match="without the part that predicts"):
        engine.ablation(AttentionRequest(PROMPT), ())


class CancelAfter:
    """Says stop at the given check."""

    def __init__(self, checks: int) -> None:
        self.left = checks
        self.fractions: list[float] = []

    def check(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Cancelled

    def report(self, text: str, fraction: float | None = None) -> None:
        if fraction is not None:
            self.fractions.append(fraction)


def untouched(engine: Engine) -> None:
    """No layer is replaced, no hook is left, and the model attends in its own way."""
    model = engine.loaded.model
    for each in model.modules():
        assert "forward" not in vars(each)
        assert not each._forward_hooks
        assert not each._forward_pre_hooks
        assert "llmlab" not in str(getattr(getattr(each, "config", None), "_attn_implementation", ""))


@pytest.mark.parametrize("name", ["llama", "t5"])
def test_the_model_is_as_before_also_after_a_cancelled_sweep(name: str) -> None:
    family = PROJECTIONS[name][0]
    engine = make(name)
    request = request_for(family)
    before = engine.next_token(PROMPT).logits
    complete = CancelAfter(10_000)
    list(engine.ablation_effects(request, complete))
    assert complete.fractions == sorted(complete.fractions)
    untouched(engine)
    used = 10_000 - complete.left
    for checks in {0, 1, 2, used // 3, used // 2, used - 1}:
        with pytest.raises(Cancelled):
            list(engine.ablation_effects(request, CancelAfter(checks)))
        untouched(engine)
    engine.ablation(request, [HeadAt(next(iter(PROJECTIONS[name][1])), 0, 0)])
    untouched(engine)
    np.testing.assert_array_equal(engine.next_token(PROMPT).logits, before)


def test_a_layer_spread_over_devices_keeps_its_own_forward() -> None:
    """Where a model lies on several devices, its layers have a `forward` of their own, which comes back."""
    engine = make("llama")
    layer = engine.loaded.model.model.layers[0]
    own = layer.forward
    layer.__dict__["forward"] = partial(own)
    put = layer.__dict__["forward"]
    list(engine.ablation_effects(AttentionRequest(PROMPT)))
    assert layer.__dict__["forward"] is put


@pytest.mark.slow
@pytest.mark.parametrize("name", ["decoder", "encoder", "seq2seq"])
def test_the_bundled_models(name: str) -> None:
    engine = Engine.open(f"bundled:{name}", device="cpu")
    mask = engine.info.mask_token
    text = f"The little dog{mask} with the ball." if mask else "Once upon a time there was a little"
    request = AttentionRequest(text, target=" a little" if name == "seq2seq" else None)
    swept = list(engine.ablation_effects(request))
    same(swept, list(module.ablation_effects(engine.loaded, given(engine, request), reuse=False)))
    strongest = max(swept, key=lambda each: each.kl.max())
    head = HeadAt(strongest.kind, strongest.layer, int(strongest.kl.argmax()))
    effects = engine.ablation(request, [head])
    assert np.mean([effect.kl for effect in effects]) == pytest.approx(strongest.kl.max(), abs=1e-4)
