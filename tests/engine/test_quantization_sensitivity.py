"""Which part pays for quantization. Oracle: a whole second copy with that part rounded, read by transformers."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from llmlab.engine import Engine
from llmlab.engine.errors import Cancelled, InputError, OutOfMemoryError, UnsupportedFeatureError
from llmlab.engine.fingerprint import weights_sha256
from llmlab.engine.loading import LoadedModel, load
from llmlab.engine.memory.layout import quantized_weights
from llmlab.engine.quantization import copies, sensitivity
from llmlab.engine.quantization.codec import restored
from llmlab.engine.quantization.comparing import text_damage
from llmlab.engine.quantization.matrices import skip_modules
from llmlab.engine.quantization.measuring import answer_to
from llmlab.engine.quantization.mixed import (
    bytes_kept,
    predicted,
    rank_correlation,
    ranked,
    sixteen_bits,
    some_counts,
)
from llmlab.engine.quantization.parts import ELSEWHERE, Grain, Part, PartDamage, Shift, parts_of
from llmlab.engine.quantization.passes import Passes, batches
from llmlab.engine.quantization.schemes import ABSMAX, GRANULARITIES, STANDARD, Scheme
from llmlab.engine.quantization.sensitivity import Probe, probe_cost
from llmlab.engine.quantization.types import Question
from llmlab.engine.types import ModelRequest
from tests.engine import checkpoints, tiny

TEXT = checkpoints.TEXT
KINDS = ["llama", "gpt2", "bert", "t5", "bart"]
COARSE = Scheme(ABSMAX, bits=3, granularity="channel")
SCHEMES = [*STANDARD[1:], COARSE]


class Until:
    """Cancels at a check point."""

    def __init__(self, checks: int = 10**9) -> None:
        self.left = checks
        self.fractions: list[float] = []

    def check(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Cancelled

    def report(self, _text: str, fraction: float | None = None) -> None:
        assert fraction is not None
        self.fractions.append(fraction)


def probe(kind: str, text: str = TEXT) -> tuple[LoadedModel, Probe, tuple[int, ...] | None]:
    loaded = tiny.engine(kind).loaded
    answer = answer_to(loaded, Question(text, text, 6))
    return loaded, Probe(loaded, text, answer), answer


def whole_copy(loaded: LoadedModel, names: tuple[str, ...], scheme: Scheme) -> LoadedModel:
    """A second model, with these matrices rounded."""
    twin: Any = copy.deepcopy(loaded.model)
    for name in names:
        parameter = twin.get_parameter(name)
        turned = loaded.model.config.model_type == "gpt2"  # whose layers lie as (inputs, outputs)
        with torch.no_grad():
            after = restored(parameter.T if turned else parameter, scheme).weight
            parameter.copy_(after.T if turned else after)
    return replace(loaded, model=twin)


# a model taken apart


@pytest.mark.parametrize("kind", KINDS)
def test_every_matrix_is_in_one_row_and_one_column(kind: str) -> None:
    names = list(quantized_weights(tiny.engine(kind).loaded.model))
    found = parts_of(names)
    assert found.whole.matrices == tuple(names)
    for several in (found.by_layer, found.by_kind, found.matrices):
        assert sorted(name for part in several for name in part.matrices) == sorted(names)
    assert len({(part.layer, part.kind) for part in found.matrices}) == len(found.matrices)
    assert [part.layer for part in found.by_layer] == list(found.layers)
    assert [part.kind for part in found.by_kind] == list(found.kinds)
    assert len({part.name for part in found.all}) == len(found.all)


def test_names_of_parts() -> None:
    names = list(quantized_weights(tiny.engine("llama").loaded.model))
    assert parts_of(names).layers == ("0", "1")
    assert parts_of(names).kinds[:2] == ("q_proj", "k_proj")
    encoder_decoder = parts_of(list(quantized_weights(tiny.engine("bart").loaded.model)))
    assert encoder_decoder.layers == ("encoder 0", "encoder 1", "decoder 0", "decoder 1")
    assert encoder_decoder.by_layer[2].name == "decoder 0"
    bert = parts_of(list(quantized_weights(tiny.engine("bert").loaded.model)))
    assert bert.layers[-1] == ELSEWHERE
    assert bert.by_layer[-1].name == "outside the layers"


def test_the_experts_of_a_layer_are_one_part() -> None:
    found = parts_of([f"m.layers.{i}.experts.{j}.{k}.weight" for i in (0, 1) for j in range(3) for k in ("w1", "w2")])
    assert found.kinds == ("w1", "w2")
    assert [len(part.matrices) for part in found.matrices] == [3, 3, 3, 3]


# the oracle


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_costs_what_a_copy_with_that_part_rounded_costs(kind: str) -> None:
    loaded, asked, answer = probe(kind)
    assert asked.passes.reuses
    parts = asked.parts
    for part in (parts.whole, parts.by_layer[0], parts.by_layer[-1], parts.by_kind[1], parts.matrices[-1]):
        found = asked.damage(part, COARSE)
        expected = text_damage(loaded, whole_copy(loaded, part.matrices, COARSE), TEXT, answer)
        assert found.divergence == pytest.approx(expected.mean_divergence, rel=1e-4, abs=1e-9)
        assert found.shift.agreement == pytest.approx(expected.agreement)
        assert found.shift.perplexity == pytest.approx(expected.perplexity_after, rel=1e-5)
        assert found.perplexity_before == pytest.approx(expected.perplexity, rel=1e-5)
        assert found.divergence > 0


def by_transformers(loaded: LoadedModel, twin: LoadedModel) -> tuple[float, float]:
    """KL and the perplexity of the second."""
    ids = torch.tensor([loaded.tokenizer(TEXT)["input_ids"]])
    p, q = (_log_probabilities(each.model, ids) for each in (loaded, twin))
    own = q.gather(1, ids[0, 1:, None]).mean()
    return float((p.exp() * (p - q)).sum(-1).mean()), math.exp(-float(own))


@torch.inference_mode()
def _log_probabilities(model: Any, ids: torch.Tensor) -> torch.Tensor:
    logits: torch.Tensor = model(input_ids=ids, use_cache=False).logits[0, :-1]
    return logits.double().log_softmax(-1)


def test_by_plain_transformers() -> None:
    loaded, asked, _ = probe("llama")
    part = asked.parts.matrices[5]
    divergence, perplexity = by_transformers(loaded, whole_copy(loaded, part.matrices, COARSE))
    found = asked.damage(part, COARSE)
    assert found.divergence == pytest.approx(divergence, rel=1e-5)
    assert found.shift.perplexity == pytest.approx(perplexity, rel=1e-6)


@pytest.mark.parametrize("scheme", [COARSE, Scheme("nf4")], ids=lambda each: each.name)
def test_everything_quantized_is_the_number_of_the_laboratory(scheme: Scheme) -> None:
    engine = Engine.open("bundled:decoder", device="cpu")
    text = "Once upon a time there was a little girl named Lily. She loved to play."
    found = Probe(engine.loaded, text)
    whole = found.damage(found.parts.whole, scheme)
    expected = text_damage(engine.loaded, copies.second(engine.loaded, scheme), text)
    # 4-bit kernels multiply blocks in another order than the model's own arithmetic
    assert whole.divergence == pytest.approx(expected.mean_divergence, rel=1e-4)
    assert whole.shift.agreement == pytest.approx(expected.agreement)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_quantized_is_no_damage_to_the_last_bit(kind: str) -> None:
    _, asked, _ = probe(kind)
    assert asked.shift({}) == Shift(0.0, 1.0, asked.perplexity)
    exact = asked.damage(asked.parts.whole, Scheme("float32"))
    assert exact.divergence == 0
    assert exact.sqnr == math.inf


@pytest.mark.parametrize("kind", KINDS)
def test_passes_that_begin_at_the_change_are_whole_passes_to_the_last_bit(kind: str) -> None:
    _, asked, _ = probe(kind)
    skipped = set()
    for part in asked.parts.all:
        changes = dict.fromkeys(part.matrices, COARSE)
        asked.passes.reuses = True
        skipped.add(len(asked.passes.skipped(changes)))
        short = asked.passes.logits(0, changes)
        asked.passes.reuses = False
        assert asked.passes.skipped(changes) == ()
        assert torch.equal(short, asked.passes.logits(0, changes))
    assert skipped >= set(range(asked.passes.units))


def test_a_layer_that_computes_several_times_is_never_skipped() -> None:
    loaded = tiny.engine("llama").loaded
    layers: Any = loaded.model.get_submodule("model.layers")
    layers[1] = layers[0]  # as in ALBERT: one layer, twice
    asked = Probe(loaded, TEXT)
    part = asked.parts.by_layer[0]
    assert asked.passes.skipped(part.matrices) == ()
    divergence, _ = by_transformers(loaded, whole_copy(loaded, part.matrices, COARSE))
    assert asked.damage(part, COARSE).divergence == pytest.approx(divergence, rel=1e-4)


def test_the_head_of_an_encoder_is_asked_about_masked_places_alone() -> None:
    _, asked, _ = probe("bert")
    assert asked.passes.trims
    seen = []
    head = asked.passes._model.get_output_embeddings()
    handle = head.register_forward_hook(lambda _module, _arguments, output: seen.append(tuple(output.shape[:2])))
    asked.shift({})
    handle.remove()
    assert seen == [(1, len(batch.ids)) for batch in asked.passes.batches]


def test_where_a_head_looks_around_it_is_given_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmlab.engine.quantization.passes.ROUNDING", -1.0)
    loaded, asked, _ = probe("bert")
    assert not asked.passes.trims
    part = asked.parts.matrices[-1]
    expected = text_damage(loaded, whole_copy(loaded, part.matrices, COARSE), TEXT)
    assert asked.damage(part, COARSE).divergence == pytest.approx(expected.mean_divergence, rel=1e-4)


def test_where_reuse_changes_the_logits_everything_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmlab.engine.quantization.passes._constant", lambda output: lambda *_, **__: output * 1.01)
    loaded, asked, _ = probe("llama")
    assert not asked.passes.reuses
    part = asked.parts.matrices[-1]
    expected = text_damage(loaded, whole_copy(loaded, part.matrices, COARSE), TEXT)
    found = asked.damage(part, COARSE)
    assert found.divergence == pytest.approx(expected.mean_divergence, rel=1e-4)
    assert found.layers_skipped == 0


def test_windows_are_read_together(monkeypatch: pytest.MonkeyPatch) -> None:
    text = TEXT * 12
    loaded, asked, _ = probe("gpt2", text)  # a context of 64 tokens
    read = asked.passes.batches
    assert read[0].arguments["input_ids"].shape[1] == 64
    assert len(read[0].arguments["input_ids"]) > 1
    assert [token for batch in read for token in batch.ids] == loaded.tokenizer(text)["input_ids"][1:]
    part = asked.parts.by_layer[1]
    expected = text_damage(loaded, whole_copy(loaded, part.matrices, COARSE), text)
    assert asked.damage(part, COARSE).divergence == pytest.approx(expected.mean_divergence, rel=1e-4)
    monkeypatch.setattr("llmlab.engine.quantization.passes.TOGETHER", 64)
    assert len(batches(loaded, text)) > len(read)


# the model in use


@settings(max_examples=25, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    scheme=st.sampled_from(SCHEMES)
    | st.builds(
        Scheme,
        st.just(ABSMAX),
        bits=st.integers(2, 8),
        granularity=st.sampled_from(GRANULARITIES),
        group_size=st.sampled_from([7, 32]),
    ),
    which=st.integers(0, 10**6),
)
def test_any_part_under_any_scheme_leaves_the_model_as_it_is(kind: str, scheme: Scheme, which: int) -> None:
    loaded, asked, _ = _probes(kind)
    before, places = weights_sha256(loaded), _places(loaded)
    found = asked.damage(asked.parts.all[which % len(asked.parts.all)], scheme)
    assert found.divergence >= 0
    assert 0 <= found.shift.agreement <= 1
    assert weights_sha256(loaded) == before
    assert _places(loaded) == places
    assert asked.shift({}).divergence == 0


_KNOWN: dict[str, tuple[LoadedModel, Probe, tuple[int, ...] | None]] = {}


def _probes(kind: str) -> tuple[LoadedModel, Probe, tuple[int, ...] | None]:
    return _KNOWN.setdefault(kind, probe(kind))


def _places(loaded: LoadedModel) -> list[tuple[str, int, int]]:
    """Which tensors the model has, where they lie, and how often they were written to."""
    return [(name, each.data_ptr(), each._version) for name, each in loaded.model.named_parameters()]


@pytest.mark.parametrize("checks", [0, 1, 2, 5, 9])
def test_cancelling_leaves_the_model_as_it_is(checks: int) -> None:
    loaded = tiny.engine("llama").loaded
    before = weights_sha256(loaded)
    with pytest.raises(Cancelled):
        list(sensitivity.sensitivity(loaded, COARSE, TEXT, control=Until(checks)))
    assert weights_sha256(loaded) == before
    assert not any("forward" in vars(module) for module in loaded.model.modules())


def test_an_error_half_way_leaves_the_model_and_the_probe_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, asked, _ = probe("llama")
    before = weights_sha256(loaded)
    part = asked.parts.by_layer[0]
    good = asked.damage(part, COARSE)

    def no_room(*_arguments: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("llmlab.engine.quantization.passes.rounded", no_room)
        with pytest.raises(OutOfMemoryError):
            asked.damage(part, COARSE)
    assert weights_sha256(loaded) == before
    assert asked.shift({}).divergence == 0
    assert asked.damage(part, COARSE) == good


def test_parts_come_one_by_one_and_progress_is_told() -> None:
    control = Until()
    loaded = tiny.engine("llama").loaded
    found = list(sensitivity.sensitivity(loaded, COARSE, TEXT, control=control))
    parts = parts_of(list(quantized_weights(loaded.model)))
    assert tuple(each.part for each in found) == parts.all
    assert control.fractions[-1] == pytest.approx(1 - 1 / len(found))
    some = list(sensitivity.sensitivity(loaded, COARSE, TEXT, parts=parts.matrices[:2]))
    assert [each.shift for each in some] == [each.shift for each in found if each.part in parts.matrices[:2]]


# what is refused


def test_what_it_takes_is_said_and_refused_where_it_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = tiny.engine("llama").loaded
    short, long = probe_cost(loaded, TEXT), probe_cost(loaded, TEXT * 20)
    assert short.fits
    assert short.bytes < long.bytes
    held = sum(each.nbytes for each in Probe(loaded, TEXT).passes.reference)
    assert held < short.bytes
    monkeypatch.setattr(sensitivity, "free_memory", lambda _device: 1000)
    with pytest.raises(OutOfMemoryError, match="beside the model in use") as refused:
        Probe(loaded, TEXT)
    assert "shorter text" in refused.value.hint


def test_models_and_texts_that_cannot_be_measured(tmp_path: Any) -> None:
    loaded = tiny.engine("llama").loaded
    with pytest.raises(InputError, match="single token"):
        Probe(loaded, "O")
    with pytest.raises(UnsupportedFeatureError):
        Probe(replace(loaded, info=replace(loaded.info, features=frozenset())), TEXT)
    folder = str(checkpoints.save("llama", tmp_path))
    with pytest.raises(UnsupportedFeatureError, match="open as nf4"):
        Probe(load(ModelRequest(folder, device="cpu", quantization="nf4")), TEXT)


# mixed precision


def damage(name: str, divergence: float, elements: int = 1000) -> PartDamage:
    part = Part(Grain.MATRIX, "0", name, (f"layers.0.{name}.weight",))
    return PartDamage(part, COARSE, Shift(divergence, 1.0, 2.0), 2.0, elements, 4 * elements, elements, 1.0, 0.1, 0)


def test_the_order_is_damage_for_the_bytes() -> None:
    order = ranked([damage("a", 0.1), damage("b", 0.3, 9000), damage("c", 0.2)])
    assert [each.part.kind for each in order] == ["c", "a", "b"]
    assert [each.extra_bytes for each in order] == [1000, 1000, 9000]
    assert order[0].gain == pytest.approx(200)
    assert predicted(order) == pytest.approx([0.6, 0.4, 0.3, 0.0])
    assert bytes_kept(order, 50).tolist() == [50, 1050, 2050, 11050]
    assert predicted(()).tolist() == [0.0]


def test_a_format_of_16_bits_has_nothing_to_keep() -> None:
    with pytest.raises(InputError, match="no less than 16 bits"):
        ranked([replace(damage("a", 0.1), bytes=2000)])


def test_counts_for_a_curve() -> None:
    assert some_counts(42) == (0, 1, 2, 4, 8, 16, 32, 42)
    assert some_counts(1) == (0, 1)
    assert some_counts(4) == (0, 1, 2, 4)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_keeping_matrices_is_quantizing_the_others(kind: str) -> None:
    loaded, asked, _ = probe(kind)
    order = ranked([asked.damage(part, COARSE) for part in asked.parts.matrices])
    names = asked.parts.whole.matrices
    assert asked.mixed(COARSE, order, 0).shift == asked.damage(asked.parts.whole, COARSE).shift
    for kept in (1, 3):
        found = asked.mixed(COARSE, order, kept)
        stays = [name for each in order[:kept] for name in each.part.matrices]
        twin = whole_copy(loaded, tuple(name for name in names if name not in stays), COARSE)
        twin = whole_copy(twin, tuple(stays), Scheme("bfloat16"))
        expected = text_damage(loaded, twin, TEXT)
        assert found.shift.divergence == pytest.approx(expected.mean_divergence, rel=1e-4)
    start = asked.mixed(COARSE, order, 0).bytes
    assert asked.mixed(COARSE, order, 3).bytes == bytes_kept(order, start)[3]
    everything = asked.mixed(COARSE, order, len(order))
    assert everything.shift == asked.damage(asked.parts.whole, Scheme("bfloat16")).shift


def test_what_is_kept_has_the_models_own_16_bits() -> None:
    assert [sixteen_bits(dtype) for dtype in ("float32", "float16", "bfloat16")] == ["bfloat16", "float16", "bfloat16"]


def test_transformers_quantizes_all_but_what_is_kept(tmp_path: Any) -> None:
    """The list for llm_int8_skip_modules, by loading the model with it; without its own part the head goes too."""
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    folder = str(checkpoints.save("llama", tmp_path))
    plain = load(ModelRequest(folder, device="cpu"))
    kept = ("model.layers.1.mlp.down_proj.weight",)
    skipped = skip_modules(plain, kept)
    config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", llm_int8_skip_modules=list(skipped))
    model = AutoModelForCausalLM.from_pretrained(folder, quantization_config=config, dtype=torch.float32)
    assert type(model.lm_head) is torch.nn.Linear
    packed = {f"{name}.weight" for name, module in model.named_modules() if type(module).__name__ == "Linear4bit"}
    assert packed == set(quantized_weights(plain.model)) - set(kept)
    asked = Probe(plain, TEXT)
    expected = asked.shift({name: Scheme("nf4") for name in packed})
    found = text_damage(plain, replace(plain, model=model), TEXT)
    # on some processors bitsandbytes computes 4-bit layers in bfloat16, whatever it is told
    assert found.mean_divergence == pytest.approx(expected.divergence, rel=0.05)


# Spearman's rank correlation


def test_rank_correlation_by_hand() -> None:
    # Pearson's correlation of the ranks, equal values sharing theirs
    first, second = [1.0, 5.0, 5.0, 9.0], [20.0, 10.0, 30.0, 40.0]
    ranks = np.array([1, 2.5, 2.5, 4]), np.array([2, 1, 3, 4])
    assert rank_correlation(first, second) == pytest.approx(np.corrcoef(*ranks)[0, 1])
    assert rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert rank_correlation([1, 1, 1], [3, 2, 1]) is None
    assert rank_correlation([], []) is None


@given(st.lists(st.integers(-1000, 1000), min_size=3, unique=True))
def test_rank_correlation_sees_order_only(values: list[int]) -> None:
    bent = [math.atan(value / 100) for value in values]
    assert rank_correlation(values, bent) == pytest.approx(1)
    assert rank_correlation(values, [-value for value in bent]) == pytest.approx(-1)


@pytest.mark.cuda
def test_on_a_gpu(tmp_path: Any) -> None:
    loaded = load(ModelRequest(str(checkpoints.save("llama", tmp_path)), device="cuda"))
    asked = Probe(loaded, TEXT)
    assert asked.passes.reuses
    for part in (asked.parts.whole, asked.parts.matrices[-1]):
        expected = text_damage(loaded, whole_copy(loaded, part.matrices, COARSE), TEXT)
        assert asked.damage(part, COARSE).divergence == pytest.approx(expected.mean_divergence, rel=1e-2)
    assert isinstance(asked.passes, Passes)
