"""The logit lens: the model's own norm and head on every state, the last of which is the model's prediction."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
import transformers as t

from llmlab.engine import Engine
from llmlab.engine.attention import lens as module
from llmlab.engine.attention.types import AttentionRequest, Lens
from llmlab.engine.errors import Cancelled, InputError, UnsupportedFeatureError
from llmlab.engine.types import Architecture
from tests.engine import tiny
from tests.engine.attention_models import KINDS, PROMPT, SMALL, family_of, make
from tests.engine.test_ablation import DECODER, ENCODER, PAIR, TARGET, CancelAfter, given, request_for, untouched

ALL = [(name, family_of(name)) for name in (*KINDS, "bloom", "deberta")]


def all_probabilities(engine: Engine, request: AttentionRequest) -> np.ndarray:
    """What the whole model says at every position: float64 (positions, vocabulary)."""
    with torch.inference_mode():
        logits = engine.loaded.model(**given(engine, request)).logits[0]
    return logits.double().softmax(-1).cpu().numpy()


@pytest.mark.parametrize(("name", "family"), ALL)
def test_the_last_row_is_the_models_own_prediction(name: str, family: Architecture, device: str) -> None:
    engine = make(name, device)
    request = request_for(family)
    want = all_probabilities(engine, request)
    lens = engine.logit_lens(request, best=3)
    assert lens.rows[0].place == "embedding"
    assert lens.rows[-1].place == "layer"
    assert lens.ids.shape == lens.probabilities.shape == (len(lens.rows), len(want), 3)
    best = np.sort(want, axis=-1)[:, ::-1]
    np.testing.assert_allclose(lens.probabilities[-1], best[:, :3], atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(want, lens.ids[-1], -1), best[:, :3], atol=1e-5)
    np.testing.assert_array_equal(lens.final_ids, lens.ids[-1, :, 0])
    np.testing.assert_array_equal(lens.final_rank[-1], 0)
    np.testing.assert_allclose(lens.final_probability[-1], best[:, 0], atol=1e-5)
    np.testing.assert_allclose(lens.kl[-1], 0, atol=1e-6)
    assert set(lens.texts) == {*lens.ids.ravel().tolist(), *lens.final_ids.tolist()}
    untouched(engine)


def test_the_last_row_of_the_last_position_is_the_next_token() -> None:
    engine = make("llama")
    want = engine.next_token(PROMPT).raw_probabilities
    lens = engine.logit_lens(AttentionRequest(PROMPT))
    np.testing.assert_allclose(lens.probabilities[-1, -1], want[lens.ids[-1, -1]], atol=1e-5)
    assert lens.final_ids[-1] == want.argmax()


def by_hand(engine: Engine, name: str) -> dict[tuple[int, str], np.ndarray]:
    """Every place's probabilities (positions, vocabulary) of the tiny GPT-2 or Llama, computed from its modules."""
    model: Any = engine.loaded.model
    body = model.base_model
    norm, layers = (body.ln_f, body.h) if name == "gpt2" else (body.norm, body.layers)
    arguments = given(engine, AttentionRequest(PROMPT))
    attended: list[torch.Tensor] = []

    def added(_module: torch.nn.Module, _inputs: Any, output: tuple[torch.Tensor, ...]) -> None:
        attended.append(output[0])

    handles = [(layer.attn if name == "gpt2" else layer.self_attn).register_forward_hook(added) for layer in layers]
    last: list[torch.Tensor] = []
    handles.append(norm.register_forward_pre_hook(lambda _module, inputs: last.append(inputs[0])))
    with torch.inference_mode():
        states = list(model(**arguments, output_hidden_states=True).hidden_states)
        for handle in handles:
            handle.remove()
        states[-1] = last[0]  # transformers gives the normed state there

        def read(state: torch.Tensor) -> np.ndarray:
            return model.lm_head(norm(state))[0].double().softmax(-1).numpy()

        places = {(0, "embedding"): read(states[0])}
        for layer in range(len(layers)):
            places[layer, "attention"] = read(states[layer] + attended[layer])
            places[layer, "layer"] = read(states[layer + 1])
    return places


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_every_row_is_norm_and_head_of_its_state(name: str) -> None:
    engine = make(name)
    places = by_hand(engine, name)
    lens = engine.logit_lens(AttentionRequest(PROMPT), best=4)
    assert [(row.layer, row.place) for row in lens.rows] == list(places)
    final = places[1, "layer"]
    columns = np.arange(len(final))
    for row, want in enumerate(places.values()):
        ids = lens.ids[row]
        np.testing.assert_allclose(lens.probabilities[row], np.take_along_axis(want, ids, -1), atol=1e-5)
        np.testing.assert_allclose(lens.probabilities[row], np.sort(want, -1)[:, ::-1][:, :4], atol=1e-5)
        of_final = want[columns, lens.final_ids]
        np.testing.assert_allclose(lens.final_probability[row], of_final, atol=1e-5)
        np.testing.assert_array_equal(lens.final_rank[row], (want > of_final[:, None] * (1 + 1e-6)).sum(-1))
        np.testing.assert_allclose(lens.entropy[row], -(want * np.log(want)).sum(-1), atol=1e-4)
        np.testing.assert_allclose(lens.kl[row], (final * np.log(final / want)).sum(-1), atol=1e-4)


def test_after_attention_where_the_norm_comes_last() -> None:
    """BERT adds and then normalises: its state after attention is what its attention module returns."""
    engine = make("bert")
    model: Any = engine.loaded.model
    seen: list[torch.Tensor] = []
    handle = model.bert.encoder.layer[1].attention.register_forward_hook(lambda _m, _i, out: seen.append(out[0]))
    lens = engine.logit_lens(request_for(ENCODER))
    handle.remove()
    with torch.inference_mode():
        want = model.cls(max(seen, key=lambda each: each.shape[1]))[0].softmax(-1).numpy()
    row = next(n for n, row in enumerate(lens.rows) if (row.layer, row.place) == (1, "attention"))
    np.testing.assert_allclose(lens.probabilities[row], np.sort(want, -1)[:, ::-1][:, :5], atol=1e-5)


def test_attention_and_mlp_side_by_side_have_no_rows_between() -> None:
    lens = make("gpt_neox").logit_lens(AttentionRequest(PROMPT))
    assert [row.place for row in lens.rows] == ["embedding", "layer", "layer"]
    assert "side by side" in lens.without_attention
    assert make("llama").logit_lens(AttentionRequest(PROMPT)).without_attention == ""


@pytest.mark.parametrize(("name", "family"), [("llama", DECODER), ("bert", ENCODER), ("t5", PAIR)])
def test_blocks_and_parts_say_the_same(name: str, family: Architecture, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = make(name)
    request = request_for(family)
    whole = engine.logit_lens(request)
    part = engine.logit_lens(request, (2, 5))
    np.testing.assert_array_equal(part.positions, [2, 3, 4])
    assert part.tokens == whole.tokens[2:5]
    alike(part, whole, slice(2, 5))
    monkeypatch.setattr(module, "LOGIT_BYTES", 4 * engine.info.vocabulary * 2)
    alike(engine.logit_lens(request), whole, slice(None))


def alike(first: Lens, second: Lens, positions: slice) -> None:
    for name in ("probabilities", "final_probability", "entropy", "kl"):
        np.testing.assert_allclose(getattr(first, name), getattr(second, name)[:, positions], atol=1e-5)
    np.testing.assert_array_equal(first.final_ids, second.final_ids[positions])


@pytest.mark.parametrize(("name", "family"), [("llama", DECODER), ("bert", ENCODER), ("t5", PAIR)])
def test_a_position_has_the_course_of_every_token_that_was_ever_first(name: str, family: Architecture) -> None:
    engine = make(name)
    request = request_for(family)
    lens = engine.logit_lens(request)
    course = engine.lens_position(request, 3)
    assert (course.position, course.rows) == (3, lens.rows)
    assert course.ids[0] == lens.final_ids[3]
    assert set(course.ids.tolist()) == set(lens.ids[:, 3, 0].tolist())
    assert course.texts == engine.token_texts(course.ids.tolist())
    np.testing.assert_allclose(course.probabilities[:, 0], lens.final_probability[:, 3], atol=1e-5)
    np.testing.assert_array_equal(course.ranks[:, 0], lens.final_rank[:, 3])
    for row, first in enumerate(lens.ids[:, 3, 0].tolist()):
        place = course.ids.tolist().index(first)
        assert course.ranks[row, place] == 0
        assert course.probabilities[row, place] == pytest.approx(lens.probabilities[row, 3, 0], abs=1e-5)


@pytest.mark.parametrize("padding", [3, -3])
def test_padding_changes_nothing(padding: int) -> None:
    engine = make("llama")
    plain = engine.logit_lens(AttentionRequest(PROMPT))
    padded = engine.logit_lens(AttentionRequest(PROMPT, padding=padding))
    size = len(plain.tokens)
    places = slice(0, size) if padding > 0 else slice(-padding, -padding + size)
    alike(plain, padded, places)


def test_of_an_encoder_decoder_model_the_decoder_is_read() -> None:
    engine = make("t5")
    lens = engine.logit_lens(AttentionRequest(PROMPT, target=TARGET))
    assert lens.tokens[0] == "<pad>"
    assert "".join(lens.tokens[1:]) == TARGET


def test_a_wide_logit_lens_names_no_more_tokens_than_there_are() -> None:
    engine = make("llama")
    assert engine.logit_lens(AttentionRequest("a"), best=10_000).ids.shape[-1] == engine.info.vocabulary


@pytest.mark.parametrize("positions", [(-1, 2), (2, 2), (0, 99), (5, 3)])
def test_positions_that_are_not_there(positions: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="There are no positions") as caught:
        make("llama").logit_lens(AttentionRequest(PROMPT), positions)
    assert caught.value.hint


def test_a_layer_that_runs_several_times_cannot_be_read() -> None:
    model = t.AlbertForMaskedLM(t.AlbertConfig(embedding_size=16, **SMALL))
    engine = tiny.wrap(model, copy.deepcopy(tiny.byte_level()), ENCODER, context=None)
    with pytest.raises(UnsupportedFeatureError, match="same layer several times") as caught:
        engine.logit_lens(AttentionRequest(PROMPT))
    assert caught.value.hint


@pytest.mark.parametrize(("name", "family"), [("llama", DECODER), ("t5", PAIR)])
def test_the_model_is_as_before_also_when_cancelled(name: str, family: Architecture) -> None:
    engine = make(name)
    request = request_for(family)
    before = engine.next_token(PROMPT).logits
    complete = CancelAfter(10_000)
    engine.logit_lens(request, control=complete)
    used = 10_000 - complete.left
    for checks in {0, 1, used // 2, used - 1}:
        with pytest.raises(Cancelled):
            engine.logit_lens(request, control=CancelAfter(checks))
        untouched(engine)
    np.testing.assert_array_equal(engine.next_token(PROMPT).logits, before)


def test_a_head_that_reads_more_than_the_last_state_is_refused() -> None:
    """A model whose final norm is given what an early layer computed as well: the last state alone does not tell."""
    engine = make("llama")
    model: Any = engine.loaded.model
    early: list[torch.Tensor] = []
    model.model.layers[0].mlp.register_forward_hook(lambda _module, _inputs, output: early.append(output))
    model.model.norm.register_forward_pre_hook(lambda _module, inputs: (inputs[0] + early.pop(),) if early else None)
    with pytest.raises(UnsupportedFeatureError, match="do not predict from"):
        engine.logit_lens(AttentionRequest(PROMPT))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["decoder", "encoder", "seq2seq"])
def test_the_bundled_models(name: str) -> None:
    engine = Engine.open(f"bundled:{name}", device="cpu")
    mask = engine.info.mask_token
    text = f"The little dog{mask} with the ball." if mask else "Once upon a time there was a little"
    request = AttentionRequest(text, target=" a little" if name == "seq2seq" else None)
    lens = engine.logit_lens(request)
    best = np.sort(all_probabilities(engine, request), -1)[:, ::-1]
    np.testing.assert_allclose(lens.probabilities[-1], best[:, :5], atol=1e-5)
    assert lens.without_attention == ""
    assert len(lens.rows) == 1 + 2 * engine.info.layers


@pytest.mark.parametrize("name", ["llama", "bert", "t5"])
def test_half_precision(name: str) -> None:
    """The proof that the head can be run alone holds at bfloat16 too, and so do lens and sweep."""
    engine = make(name)
    engine.loaded.model.to(torch.bfloat16)
    request = request_for(family_of(name))
    lens = engine.logit_lens(request)
    best = np.sort(all_probabilities(engine, request), -1)[:, ::-1]
    np.testing.assert_allclose(lens.probabilities[-1], best[:, :5], atol=1e-2)
    assert all(np.isfinite(each.kl).all() for each in engine.ablation_effects(request))
    untouched(engine)
