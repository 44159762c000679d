"""The calculator held against a loaded model: what is followed, what is compared, and that the model stays as it is."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from torch.profiler import ProfilerActivity, profile
from transformers import LlamaForCausalLM, MistralConfig, MistralForCausalLM

from llmlab.engine import Engine
from llmlab.engine.errors import Cancelled, InputError, OutOfMemoryError, UnsupportedFeatureError
from llmlab.engine.fingerprint import weights_sha256
from llmlab.engine.memory_measure import Measurement, MeasureSettings, Phase, measure
from llmlab.engine.memory_measure.live import LiveTensors
from llmlab.engine.memory_measure.types import check
from llmlab.engine.progress import UNCONTROLLED
from tests.engine import checkpoints, memory_shapes, tiny

KINDS = ("gpt2", "llama", "bert", "t5", "bart")
SETTINGS = MeasureSettings(tokens=24, steps=4, batch=2)


def measured(engine: Engine, **changes: Any) -> Measurement:
    return measure(engine.loaded, MeasureSettings(**{"tokens": 24, "steps": 4, "batch": 2, **changes}))


def by_name(phase: Phase) -> dict[str, Any]:
    return {component.name: component for component in phase.components}


# What is followed


def test_lives_by_hand() -> None:
    own = torch.zeros(8)
    with torch.no_grad(), LiveTensors([own], UNCONTROLLED) as live:
        one = own + 1  # 32 bytes
        two = torch.cat([one, one])  # 64 bytes
        view = two[:4]
        one.mul_(2)
        live.label([two], "kept")
        del two
        third = view.sum()  # 4 bytes, while the view keeps the 64
        del view
        one + 1
    assert live.operations == ["add", "cat", "slice", "mul_", "sum", "add"]
    assert live.curve().tolist() == [32, 96, 96, 96, 100, 68]
    assert live.curve(lambda life: life.label == "kept").tolist() == [0, 64, 64, 64, 64, 0]
    assert live.bytes_of([one, third, own, None]) == 36


def test_the_peak_is_the_profilers() -> None:
    """torch's profiler sees every allocation of the CPU allocator; it is the oracle of the same forward pass."""
    model = checkpoints.make("llama").eval()
    ids = torch.ones(2, 48, dtype=torch.long)
    with torch.no_grad():
        model(input_ids=ids)  # what is allocated once only
        with LiveTensors([*model.parameters(), *model.buffers()], UNCONTROLLED) as live:
            first = model(input_ids=ids, use_cache=True)
        del first
        gc.collect()
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            kept = model(input_ids=ids, use_cache=True)
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    total = np.cumsum([event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())])
    assert kept.logits.shape[0] == 2
    assert int(live.curve().max()) == pytest.approx(int(total.max()), rel=0.02)  # attention's scratch is a kernel's own


# What is compared


@pytest.mark.parametrize("kind", KINDS)
def test_weights_and_cache_to_the_byte_and_logits(kind: str) -> None:
    found = measured(tiny.engine(kind))
    assert [phase.name for phase in found.phases] == (["Prefill"] if kind == "bert" else ["Prefill", "Decoding"])
    for phase in found.phases:
        parts = by_name(phase)
        exact = {"Weights", "KV cache", "Cross-attention cache", "Logits", "Encoder's answer"} & parts.keys()
        assert all(parts[name].error == 0 for name in exact), parts
        assert exact >= ({"Weights", "Logits"} if kind == "bert" else {"Weights", "Logits", "KV cache"})
        assert ("Cross-attention cache" in parts) == (kind in ("t5", "bart"))
        assert ("Encoder's answer" in parts) == (kind in ("t5", "bart") and phase.name == "Decoding")
        assert parts["Activations"].measured > 0


@pytest.mark.parametrize(("kind", "error"), [("llama", 0.06), ("gpt2", 0.15), ("bert", 0.15)])
def test_the_working_memory_is_close(kind: str, error: float) -> None:
    """What is missing: rotary positions or those of GPT-2, token ids, BERT's token types."""
    parts = by_name(measured(tiny.engine(kind), tokens=40).phases[0])
    assert parts["Activations"].error == pytest.approx(0, abs=error)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_training_step_of_a_llama(dtype: torch.dtype) -> None:
    engine = tiny.wrap(checkpoints.make("llama").to(dtype), checkpoints.tokenizer(), context=128)
    object.__setattr__(engine.loaded.info, "dtype", str(dtype).removeprefix("torch."))
    phase = measured(engine, tokens=64, train=True).phases[-1]
    assert phase.name == "Training step"
    parts = by_name(phase)
    assert parts["Weights"].error == pytest.approx(0, abs=0.001)  # rotary buffers
    assert parts["Gradients"].error == 0
    assert parts["Optimizer states"].error == pytest.approx(0, abs=0.001)  # a step counter a tensor
    assert parts["Activations"].error == pytest.approx(0, abs=0.02)  # rotary positions weigh more here
    assert phase.error == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("kind", ["gpt2", "bert", "t5"])
def test_other_kinds_train_too(kind: str) -> None:
    parts = by_name(measured(tiny.engine(kind), train=True).phases[-1])
    assert parts["Gradients"].error == 0
    assert parts["Logits and loss"].measured >= 3 * 4 * 2 * 24 * checkpoints.VOCABULARY


def test_curves_add_up_to_the_peak() -> None:
    for phase in measured(tiny.engine("llama"), train=True).phases:
        together = sum(curve.bytes for curve in phase.curves)
        assert together.max() == phase.peak
        assert int(together.argmax()) == phase.at
        assert phase.curves[0].name == "Weights"
        assert phase.alive == tuple(sorted(phase.alive, key=lambda each: -each.bytes))
        assert sum(each.bytes for each in phase.alive) <= phase.peak - phase.curves[0].bytes[0]
        assert phase.process > 0


def test_a_sliding_window_keeps_what_it_no_longer_needs() -> None:
    config = MistralConfig(
        vocab_size=checkpoints.VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        sliding_window=8,
        pad_token_id=1,
    )
    engine = tiny.wrap(MistralForCausalLM(config), checkpoints.tokenizer(), context=64)
    found = measured(engine)
    assert by_name(found.phases[0])["KV cache"].error == 0
    assert any("sliding" in warning for warning in found.warnings)


def test_a_model_in_16_bits_holds_float32_too() -> None:
    engine = tiny.wrap(checkpoints.make("llama").to(torch.bfloat16), checkpoints.tokenizer(), context=128)
    object.__setattr__(engine.loaded.info, "dtype", "bfloat16")
    assert any("float32 in a bfloat16 model" in warning for warning in measured(engine).warnings)
    assert not measured(tiny.engine("llama")).warnings


@pytest.mark.parametrize("quantization", ["int8", "nf4"])
def test_bitsandbytes_to_the_byte_with_what_the_footprint_leaves_out(quantization: str, tmp_path: Any) -> None:
    folder = checkpoints.save("llama", tmp_path / "model")
    engine = Engine.open(str(folder), device="cpu", quantization=quantization)
    found = measured(engine)
    parts = by_name(found.phases[0])
    for name in ("Quantized weights", "Scales and codebooks", "Weights left as they are"):
        assert parts[name].error == 0, parts[name]
    assert parts["Scales and codebooks"].measured > 0
    assert any("get_memory_footprint" in warning for warning in found.warnings)
    with pytest.raises(UnsupportedFeatureError, match="quantized"):
        measured(engine, train=True)


# The model stays as it is


@pytest.mark.parametrize("kind", ["gpt2", "t5"])
def test_the_model_in_use_is_not_altered(kind: str) -> None:
    engine = tiny.engine(kind)
    model = engine.loaded.model
    before = weights_sha256(engine.loaded, UNCONTROLLED)
    wants = [parameter.requires_grad for parameter in model.parameters()]
    state = torch.get_rng_state()
    measured(engine, train=True)
    assert weights_sha256(engine.loaded, UNCONTROLLED) == before
    assert not model.training
    assert [parameter.requires_grad for parameter in model.parameters()] == wants
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_nothing_stays_in_memory() -> None:
    engine = tiny.engine("llama")
    gc.collect()

    def tensors() -> int:
        return sum(issubclass(type(each), torch.Tensor) for each in gc.get_objects())

    measured(engine, train=True)
    before = tensors()
    found = measured(engine, train=True)
    gc.collect()
    assert found.phases
    assert tensors() == before


class Stopping:
    """A control that is cancelled once a report fits."""

    def __init__(self, when: str) -> None:
        self.when, self.stopped = when, False

    def check(self) -> None:
        if self.stopped:
            raise Cancelled

    def report(self, text: str, fraction: float | None = None) -> None:
        self.stopped = self.stopped or self.when in text


@pytest.mark.parametrize("when", ["Reading", "token 2", "First training", "Second training"])
def test_it_can_be_cancelled_anywhere(when: str) -> None:
    engine = tiny.engine("llama")
    with pytest.raises(Cancelled):
        measure(engine.loaded, MeasureSettings(tokens=16, steps=4, train=True), Stopping(when))
    assert measured(engine).phases[0].components  # and it works again


# What cannot be


@pytest.mark.parametrize("change", [{"tokens": 0}, {"tokens": 10**20}, {"steps": -1}, {"batch": 0}, {"batch": 10**20}])
def test_settings_that_make_no_sense(change: dict[str, int]) -> None:
    with pytest.raises(InputError) as raised:
        check(MeasureSettings(**change))
    assert raised.value.hint


def test_more_than_the_context_window() -> None:
    with pytest.raises(InputError, match="126 tokens and 4 that are written") as raised:
        measured(tiny.engine("llama"), tokens=126, steps=4)
    assert "at most 124" in raised.value.hint
    assert measured(tiny.engine("bert"), tokens=48, steps=4).phases  # an encoder writes none


def test_what_does_not_fit_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = psutil.virtual_memory()._replace(available=2**10)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    with pytest.raises(OutOfMemoryError, match="beside the model") as raised:
        measured(tiny.engine("llama"), train=True)
    assert "training step" in raised.value.hint


def test_running_out_all_the_same_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = tiny.engine("llama")
    monkeypatch.setattr(engine.loaded.model, "forward", _full(engine.loaded.model.forward))
    with pytest.raises(OutOfMemoryError):
        measured(engine)


def _full(forward: Callable[..., Any]) -> Callable[..., Any]:
    import functools

    @functools.wraps(forward)
    def out_of_memory(*_: Any, **__: Any) -> Any:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 10 bytes.")

    return out_of_memory


@pytest.mark.slow
@pytest.mark.parametrize(("tokens", "batch"), [(64, 1), (256, 1), (256, 16)])
def test_the_bundled_decoder(tokens: int, batch: int) -> None:
    settings = MeasureSettings(tokens=tokens, batch=batch, train=batch == 1)
    found = measure(Engine.open("bundled:decoder", device="cpu").loaded, settings)
    prefill, decoding = found.phases[:2]
    assert abs(prefill.error) < 0.02
    assert abs(decoding.error) < 0.05
    assert all(abs(training.error) < 0.1 for training in found.phases[2:])


@pytest.mark.slow
@pytest.mark.parametrize(("tokens", "batch"), [(128, 1), (64, 4)])
def test_the_bundled_encoder_decoder(tokens: int, batch: int) -> None:
    """Its decoder's cross-attention, its position bias and the encoder's own layers included."""
    settings = MeasureSettings(tokens=tokens, steps=4, batch=batch, train=True)
    found = measure(Engine.open("bundled:seq2seq", device="cpu").loaded, settings)
    assert [phase.name for phase in found.phases] == ["Prefill", "Decoding", "Training step"]
    assert all(abs(phase.error) < 0.02 for phase in found.phases)
    assert abs(by_name(found.phases[-1])["Activations"].error) < 0.02


@pytest.mark.slow
def test_the_bundled_encoder() -> None:
    found = measure(Engine.open("bundled:encoder", device="cpu").loaded, MeasureSettings(train=True))
    assert abs(found.phases[0].error) < 0.05
    assert abs(found.phases[1].error) < 0.05


def billion() -> Engine:
    """A Llama of 1.1 billion parameters with random weights, in bfloat16 on a GPU."""
    with torch.device("cuda"):
        model = LlamaForCausalLM(memory_shapes.billion()).to(torch.bfloat16)
    engine = tiny.wrap(model, checkpoints.tokenizer(), device="cuda", context=2048)
    object.__setattr__(engine.loaded.info, "dtype", "bfloat16")
    return engine


@pytest.mark.cuda
@pytest.mark.parametrize(
    "make", [lambda: Engine.open("bundled:decoder", device="cuda"), billion], ids=["bundled", "1B"]
)
def test_the_peak_of_a_gpus_allocator(make: Callable[[], Engine]) -> None:
    found = measure(make().loaded, MeasureSettings(tokens=256, batch=4, train=True))
    for phase in found.phases:
        assert phase.allocator is not None
        assert phase.allocator >= phase.peak * 0.98
        assert abs(phase.error) < (0.1 if phase.name == "Training step" else 0.05), phase.name
    assert found.unused is not None
    assert found.outside is not None
