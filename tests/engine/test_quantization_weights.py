"""What schemes do to weights. Oracles: bitsandbytes, torch's casts, and hand-made cases for our own absmax."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from llmlab.engine import Engine
from llmlab.engine.devices import bitsandbytes_module, memory_use
from llmlab.engine.errors import Cancelled, InputError, UnsupportedFeatureError
from llmlab.engine.fingerprint import weights_sha256
from llmlab.engine.loading import load
from llmlab.engine.memory.layout import quantized_weights
from llmlab.engine.quantization.codec import restored
from llmlab.engine.quantization.damage import matrix_detail, weight_damage
from llmlab.engine.quantization.matrices import matrices
from llmlab.engine.quantization.schemes import ABSMAX, GRANULARITIES, STANDARD, Scheme
from llmlab.engine.types import ModelRequest
from tests.engine import checkpoints, tiny

KINDS = ["llama", "gpt2", "bert", "t5"]
OURS = [Scheme(ABSMAX, bits=bits, granularity=each) for bits in (2, 4, 8) for each in GRANULARITIES]


def gaussian(outputs: int, inputs: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(outputs, inputs, generator=torch.Generator().manual_seed(seed))


class Counting:
    """Counts the check points, and cancels at one of them."""

    def __init__(self, last: int = 10**9) -> None:
        self.checks = 0
        self.last = last
        self.fractions: list[float | None] = []

    def check(self) -> None:
        self.checks += 1
        if self.checks > self.last:
            raise Cancelled

    def report(self, text: str, fraction: float | None = None) -> None:
        self.fractions.append(fraction)


# our own absmax


def test_absmax_by_hand() -> None:
    weight = torch.tensor([[1.0, -0.5, 0.24, 0.26], [0.1, 0.02, -0.03, 0.0]])
    # 2 bits: −1, 0 and 1 times the largest; halves go to the even number, 0
    assert restored(weight, Scheme(ABSMAX, bits=2, granularity="tensor")).weight.tolist() == [
        [1.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0],
    ]
    rows = restored(weight, Scheme(ABSMAX, bits=3, granularity="channel")).weight  # steps of 1/3 and 0.1/3
    assert torch.allclose(rows, torch.tensor([[1.0, -2 / 3, 1 / 3, 1 / 3], [0.1, 0.1 / 3, -0.1 / 3, 0.0]]))
    pairs = restored(weight, Scheme(ABSMAX, bits=2, granularity="group", group_size=2)).weight
    assert torch.allclose(pairs, torch.tensor([[1.0, 0.0, 0.26, 0.26], [0.1, 0.0, -0.03, 0.0]]))


def test_the_last_group_of_a_row_may_be_shorter() -> None:
    weight = gaussian(3, 10)
    found = restored(weight, Scheme(ABSMAX, bits=4, granularity="group", group_size=4)).weight
    for start, stop in ((0, 4), (4, 8), (8, 10)):
        part = restored(weight[:, start:stop], Scheme(ABSMAX, bits=4, granularity="channel")).weight
        assert torch.equal(found[:, start:stop], part)


@pytest.mark.parametrize("scheme", OURS, ids=lambda s: s.name)
def test_nothing_but_zeros_stays_nothing_but_zeros(scheme: Scheme) -> None:
    assert torch.equal(restored(torch.zeros(4, 8), scheme).weight, torch.zeros(4, 8))


@given(
    hnp.arrays(np.float32, (6, 20), elements=st.floats(-1000, 1000, width=32)),
    st.sampled_from(GRANULARITIES),
    st.integers(2, 8),
)
@settings(max_examples=60)
def test_no_error_is_larger_than_half_a_step(array: np.ndarray, granularity: str, bits: int) -> None:
    weight = torch.from_numpy(array)
    scheme = Scheme(ABSMAX, bits=bits, granularity=granularity, group_size=8)
    found = restored(weight, scheme)
    assert found.scale is not None
    half = found.scale.double() / scheme.highest / 2
    assert bool(((found.weight.double() - weight.double()).abs() <= half * (1 + 1e-5) + 1e-30).all())


@given(st.integers(0, 10_000), st.sampled_from(GRANULARITIES))
@settings(max_examples=25)
def test_more_bits_never_do_more_damage(seed: int, granularity: str) -> None:
    weight = gaussian(16, 64, seed)
    noise = [
        float((restored(weight, Scheme(ABSMAX, bits=bits, granularity=granularity)).weight - weight).square().sum())
        for bits in range(2, 9)
    ]
    assert noise == sorted(noise, reverse=True)


def test_a_finer_scale_does_less_damage() -> None:
    weight = gaussian(64, 256) * torch.logspace(-2, 0, 64)[:, None]
    noise = [
        float((restored(weight, Scheme(ABSMAX, bits=4, granularity=each)).weight - weight).square().sum())
        for each in GRANULARITIES
    ]
    assert noise[0] > 2 * noise[1] > 2 * noise[2]


@pytest.mark.parametrize("bits", range(4, 9))
def test_six_decibels_a_bit(bits: int) -> None:
    # uniform noise of a step s has power s²/12; of uniform weights in ±1 the signal's is 1/3, so SQNR = 20·log10(2/s)
    weight = torch.rand(400, 400, generator=torch.Generator().manual_seed(1)) * 2 - 1
    found = restored(weight, Scheme(ABSMAX, bits=bits, granularity="tensor")).weight
    sqnr = 10 * math.log10(float(weight.square().sum() / (found - weight).square().sum()))
    step = 1 / (2 ** (bits - 1) - 1)
    assert sqnr == pytest.approx(20 * math.log10(2 / step), abs=0.05)  # sampling of 160,000 weights


# bitsandbytes and torch


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_number_formats_are_torchs_casts(dtype: str) -> None:
    weight = gaussian(10, 30)
    assert torch.equal(restored(weight, Scheme(dtype)).weight, weight.to(getattr(torch, dtype)).float())


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("kind", ["nf4", "fp4"])
def test_four_bits_are_bitsandbytes_own(kind: str, double: bool) -> None:
    functional: Any = bitsandbytes_module().functional
    weight = gaussian(48, 128)  # rows are whole blocks, so that its own way back is right
    expected = functional.dequantize_4bit(
        *functional.quantize_4bit(weight, blocksize=64, quant_type=kind, compress_statistics=double)
    )
    found = restored(weight, Scheme(kind, double=double))
    assert torch.equal(found.weight, expected)
    assert found.levels is not None
    assert len(found.levels) == (16 if kind == "nf4" else 15)  # FP4 has a zero and a negative zero


@pytest.mark.parametrize("inputs", [10, 32, 96, 160])
@pytest.mark.parametrize("kind", ["nf4", "fp4"])
def test_four_bits_where_rows_are_no_whole_blocks(kind: str, inputs: int) -> None:
    weight = gaussian(12, inputs)
    found = restored(weight, Scheme(kind))
    assert found.scale is not None
    assert found.levels is not None
    nearest = (weight / found.scale)[..., None].sub(found.levels).abs().min(-1).values
    assert torch.allclose((found.weight - weight).abs() / found.scale, nearest, atol=1e-6)


def test_int8_is_bitsandbytes_own() -> None:
    weight = gaussian(20, 50)
    layer: Any = bitsandbytes_module().nn.Int8Params(weight.clone(), requires_grad=False).to("cpu")
    back = layer.data.float() * layer.SCB[:, None] / 127
    assert torch.allclose(restored(weight, Scheme("int8")).weight, back, rtol=1e-6)


@pytest.mark.parametrize(("quantization", "double"), [("int8", False), ("nf4", False), ("nf4", True), ("fp4", False)])
@pytest.mark.parametrize("kind", KINDS)
def test_bytes_are_those_of_a_model_loaded_so(kind: str, quantization: str, double: bool, tmp_path: Path) -> None:
    folder = str(checkpoints.save(kind, tmp_path))
    plain = load(ModelRequest(folder, device="cpu"))
    loaded = load(ModelRequest(folder, device="cpu", quantization=quantization, double_quantization=double))
    found = weight_damage(plain, Scheme(quantization, double=double))
    assert found.bytes == memory_use(loaded).weights
    assert found.bytes_before == memory_use(plain).weights
    if quantization != "int8":
        for each in found.matrices:
            parameter: Any = loaded.model.get_parameter(each.name)
            assert each.bytes == parameter.nbytes + _state_bytes(parameter.quant_state)


def _state_bytes(state: Any) -> int:
    held = [state.absmax, state.code, *([state.offset] if state.nested else [])]
    return sum(tensor.nbytes for tensor in held) + (_state_bytes(state.state2) if state.nested else 0)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_bytes_of_a_number_format(dtype: str, tmp_path: Path) -> None:
    folder = str(checkpoints.save("t5", tmp_path))
    found = weight_damage(load(ModelRequest(folder, device="cpu")), Scheme(dtype))
    assert found.bytes == memory_use(load(ModelRequest(folder, device="cpu", dtype=dtype))).weights


# a model


@pytest.mark.parametrize("kind", KINDS)
def test_the_matrices_are_those_that_transformers_quantizes(kind: str) -> None:
    loaded = tiny.engine(kind).loaded
    found = weight_damage(loaded, Scheme("nf4"))
    assert [(m.name, (m.outputs, m.inputs)) for m in found.matrices] == list(quantized_weights(loaded.model).items())
    parameters = sum(p.numel() for p in loaded.model.parameters())
    assert sum(m.elements for m in found.matrices) + sum(k.elements for k in found.kept) == parameters
    assert any("embeddings" in k.reason for k in found.kept)


def test_the_output_layer_is_said_to_be_kept() -> None:
    kept = weight_damage(tiny.engine("llama").loaded, Scheme("nf4")).kept
    assert next(k for k in kept if k.names == ("lm_head.weight",)).reason.startswith("the output layer")


@pytest.mark.parametrize("kind", KINDS)
def test_the_model_stays_as_it_is(kind: str) -> None:
    loaded = tiny.engine(kind).loaded
    before = weights_sha256(loaded)
    for scheme in (*STANDARD, Scheme(ABSMAX, bits=2, granularity="tensor")):
        weight_damage(loaded, scheme)
    assert weights_sha256(loaded) == before


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_figures_of_a_matrix(kind: str) -> None:
    loaded = tiny.engine(kind).loaded
    scheme = Scheme(ABSMAX, bits=4, granularity="group", group_size=16)
    for each, original in zip(weight_damage(loaded, scheme).matrices, matrices(loaded), strict=True):
        error = restored(original.weight, scheme).weight.double() - original.weight.double()
        assert each.noise == pytest.approx(float(error.square().sum()), rel=1e-6)
        assert each.max_error == pytest.approx(float(error.abs().max()), rel=1e-6)
        assert each.sqnr == pytest.approx(10 * math.log10(each.signal / each.noise))
        groups = each.outputs * (each.inputs // 16)
        assert each.bytes == each.elements // 2 + 4 * groups
        assert each.bits_per_weight == 4 + 32 / 16
        assert each.bytes_before == 4 * each.elements


def test_float32_does_no_damage() -> None:
    found = weight_damage(tiny.engine("llama").loaded, Scheme("float32"))
    assert found.sqnr == math.inf
    assert found.max_error == 0
    assert found.bytes == found.bytes_before


@pytest.mark.parametrize("scheme", [*STANDARD, *OURS], ids=lambda s: s.name)
def test_histograms_count_every_weight(scheme: Scheme) -> None:
    loaded = tiny.engine("llama").loaded
    name = "model.layers.1.mlp.down_proj.weight"
    found = matrix_detail(loaded, scheme, name)
    assert found.counts.sum() == found.error_counts.sum() == found.damage.elements
    assert len(found.edges) == len(found.counts) + 1
    assert found.damage in weight_damage(loaded, scheme).matrices
    if scheme.is_float:
        assert not found.is_scaled
    else:
        assert found.level_counts.sum() == found.damage.elements
        assert found.levels[0] == -1
        assert found.levels[-1] == 1
        assert 0 < found.entropy <= math.log2(len(found.levels))


def test_level_counts_by_hand() -> None:
    loaded = tiny.engine("gpt2").loaded
    name = "transformer.h.0.attn.c_attn.weight"
    found = matrix_detail(loaded, Scheme(ABSMAX, bits=3, granularity="channel"), name)
    weight = loaded.model.get_parameter(name).detach().T
    step = weight.abs().amax(1, keepdim=True) / 3
    assert found.level_counts.tolist() == torch.round(weight / step).add(3).long().flatten().bincount().tolist()


def test_progress_and_cancelling() -> None:
    loaded = tiny.engine("llama").loaded
    control = Counting()
    found = weight_damage(loaded, Scheme("nf4"), control)
    assert control.checks == len(found.matrices) == len(control.fractions)
    with pytest.raises(Cancelled):
        weight_damage(loaded, Scheme("nf4"), Counting(last=3))


def test_a_quantized_model_is_refused_in_words(tmp_path: Path) -> None:
    folder = str(checkpoints.save("llama", tmp_path))
    engine = Engine.open(folder, device="cpu", quantization="nf4")
    with pytest.raises(UnsupportedFeatureError, match="open as nf4") as refused:
        weight_damage(engine.loaded, Scheme("int8"))
    assert "without a quantization" in refused.value.hint


def test_a_matrix_that_is_not_there() -> None:
    with pytest.raises(InputError, match="no weight matrix"):
        matrix_detail(tiny.engine("llama").loaded, Scheme("nf4"), "model.layers.9.mlp.down_proj.weight")


@pytest.mark.parametrize(
    ("settings_", "says"),
    [
        ({"format": "gguf"}, "called “gguf”"),
        ({"format": ABSMAX, "bits": 1}, "1 bits"),
        ({"format": ABSMAX, "bits": 9}, "9 bits"),
        ({"format": ABSMAX, "granularity": "column"}, "per “column”"),
        ({"format": ABSMAX, "granularity": "group", "group_size": 0}, "group of 0"),
    ],
)
def test_schemes_that_make_no_sense(settings_: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        Scheme(**settings_)


def test_equal_schemes_are_equal() -> None:
    assert Scheme("nf4", bits=3, granularity="tensor") == Scheme("nf4")
    assert Scheme("int8", double=True) == Scheme("int8")
    assert Scheme(ABSMAX, granularity="tensor", group_size=8) == Scheme(ABSMAX, granularity="tensor")
    assert len({scheme.name for scheme in (*STANDARD, *OURS)}) == len(STANDARD) + len(OURS)
