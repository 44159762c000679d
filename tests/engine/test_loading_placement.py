"""Where a model goes and whether it fits: decided on numbers alone, with stand-ins for the devices."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llmlab.engine import devices, placement
from llmlab.engine.errors import DeviceError, OutOfMemoryError
from llmlab.engine.memory import WeightLayout, weight_bytes
from llmlab.engine.placement import Spare, Weights, place
from llmlab.engine.types import ModelRequest

GB = 10**9
# 8 billion parameters in matrices, and half a billion in an embedding.
LAYOUT = WeightLayout(
    matrices=((4096, 4096),) * 477,
    others=500_000_000,
    saved_buffers=0,
    float32_in_float16=0,
    float32_in_bfloat16=0,
    other_buffers=0,
    largest=500_000_000,
)
MODEL = Weights("Big", LAYOUT, "bfloat16")
CUDA = torch.device("cuda", 0)
CPU = torch.device("cpu")
Machine = Callable[..., None]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Set up a machine with this much free memory on the CPU and on each GPU."""

    def make(cpu: float, *gpus: float, bf16: bool = True, bitsandbytes: bool = True) -> None:
        def free(device: torch.device) -> int:
            return int((gpus[device.index] if device.type == "cuda" else cpu) * GB)

        for module in (devices, placement):
            monkeypatch.setattr(module, "free_memory", free)
            monkeypatch.setattr(module, "cuda_devices", lambda: len(gpus))
        monkeypatch.setattr(placement, "check_dtype", lambda *_: None)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: bf16)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
        if not bitsandbytes:
            monkeypatch.setattr(placement.importlib.util, "find_spec", lambda _: None)

    return make


def request(**values: object) -> ModelRequest:
    return ModelRequest("x", **values)  # type: ignore[arg-type]


def test_auto_takes_the_gpu_and_the_checkpoints_own_format(machine: Machine) -> None:
    machine(64, 24)
    found = place(request(), MODEL)
    assert (found.device, found.dtype, found.quantization, found.notes) == (CUDA, "bfloat16", None, ())
    assert found.needs == weight_bytes(LAYOUT, "bfloat16") + 2 * LAYOUT.largest


def test_auto_takes_the_gpu_with_most_room(machine: Machine) -> None:
    machine(64, 18, 80, 24)
    assert place(request(), MODEL).device == torch.device("cuda", 1)


def test_auto_on_the_cpu_is_float32_and_says_so(machine: Machine) -> None:
    machine(64)
    found = place(request(), MODEL)
    assert (found.device, found.dtype) == (CPU, "float32")
    assert "bfloat16" in found.notes[0]


def test_auto_keeps_the_checkpoints_format_where_float32_is_too_large(machine: Machine) -> None:
    machine(24)
    found = place(request(), MODEL)
    assert (found.device, found.dtype) == (CPU, "bfloat16")
    assert found.notes == ("In bfloat16, because float32 does not fit into the free memory.",)


def test_auto_goes_on_to_the_cpu_where_the_gpu_is_too_small(machine: Machine) -> None:
    machine(64, 8)
    found = place(request(), MODEL)
    assert (found.device, found.dtype) == (CPU, "float32")
    assert "cuda:0 has 8.0 GB free" in found.notes[0]


def test_several_gpus_share_what_is_too_large_for_one(machine: Machine) -> None:
    machine(64, 12, 12)
    found = place(request(), MODEL)
    assert (found.device, found.split) == (CUDA, (0, 1))
    assert found.notes == ("Split over 2 GPUs, because one is too small.",)
    assert place(request(device="cuda"), MODEL).split == (0, 1)
    with pytest.raises(OutOfMemoryError):  # one GPU was named: no other is taken
        place(request(device="cuda:1"), MODEL)


def test_one_large_gpu_is_not_split(machine: Machine) -> None:
    machine(64, 12, 80)
    assert place(request(), MODEL).split == ()


def test_old_gpus_get_float16(machine: Machine) -> None:
    machine(64, 24, bf16=False)
    found = place(request(), MODEL)
    assert found.dtype == "float16"
    assert "bfloat16" in found.notes[0]


def test_a_device_that_was_asked_for_is_never_exchanged(machine: Machine) -> None:
    machine(64, 8)
    with pytest.raises(OutOfMemoryError) as caught:
        place(request(device="cuda"), MODEL)
    assert caught.value.message == "“Big” needs 18.0 GB in bfloat16 on cuda:0, and 8.0 GB are free."
    assert (
        caught.value.hint
        == "It would fit as nf4 on cuda:0 (6.5 GB), float32 on cpu (35.0 GB) or bfloat16 on cpu (18.0 GB)."
    )


def test_the_error_on_the_cpu_names_what_would_fit(machine: Machine) -> None:
    machine(12)
    with pytest.raises(OutOfMemoryError) as caught:
        place(request(dtype="float32"), MODEL)
    assert caught.value.message == "“Big” needs 35.0 GB in float32 on cpu, and 12.0 GB are free."
    assert caught.value.hint == "It would fit as int8 on cpu (10.0 GB) or nf4 on cpu (6.5 GB)."


def test_nothing_fits(machine: Machine) -> None:
    machine(2)
    with pytest.raises(OutOfMemoryError) as caught:
        place(request(), MODEL)
    assert caught.value.hint.startswith("Even nf4 needs 6.5 GB")


def test_quantizations_are_not_offered_without_bitsandbytes(machine: Machine) -> None:
    machine(12, bitsandbytes=False)
    with pytest.raises(OutOfMemoryError) as caught:
        place(request(), MODEL)
    assert "nf4" not in caught.value.hint


@pytest.mark.parametrize(("quantization", "double"), [("int8", False), ("nf4", False), ("nf4", True), ("fp4", True)])
def test_quantization_is_counted(quantization: str, double: bool, machine: Machine) -> None:
    machine(64)
    found = place(request(quantization=quantization, double_quantization=double, dtype="bfloat16"), MODEL)
    assert (found.quantization, found.double) == (quantization, double)
    assert found.needs == weight_bytes(LAYOUT, "bfloat16", quantization, double=double) + 2 * LAYOUT.largest


def test_a_checkpoint_that_is_quantized_already(machine: Machine) -> None:
    machine(12)
    weights = Weights("Small", LAYOUT, "bfloat16", "nf4", double=True)
    found = place(request(), weights)
    assert (found.quantization, found.double) == ("nf4", True)
    with pytest.raises(DeviceError, match="already quantized"):
        place(request(quantization="int8"), weights)


def test_memory_of_the_open_model_counts_on_its_own_device(machine: Machine) -> None:
    machine(4, 10)
    spare = Spare(CUDA, 10 * GB, release=lambda: pytest.fail("deciding releases nothing"))
    assert place(request(), MODEL, spare).device == CUDA
    with pytest.raises(OutOfMemoryError):
        place(request(device="cpu"), MODEL, spare)
    with pytest.raises(OutOfMemoryError):
        place(request(device="cuda"), MODEL)


@given(
    cpu=st.integers(1, 100),
    gpu=st.integers(1, 100),
    device=st.sampled_from(["auto", "cpu", "cuda"]),
    quantization=st.sampled_from([None, "nf4"]),
)
def test_what_is_chosen_fits(cpu: int, gpu: int, device: str, quantization: str | None) -> None:
    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(OutOfMemoryError):
        for module in (devices, placement):
            patch.setattr(module, "free_memory", lambda place: (gpu if place.type == "cuda" else cpu) * GB)
            patch.setattr(module, "cuda_devices", lambda: 1)
        patch.setattr(placement, "check_dtype", lambda *_: None)
        patch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
        found = place(request(device=device, quantization=quantization), MODEL)
        assert found.needs <= (gpu if found.device.type == "cuda" else cpu) * GB
