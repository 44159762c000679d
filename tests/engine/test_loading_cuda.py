"""Opening on a CUDA device: formats, quantization, the memory read-out, and running out of memory."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from llmlab.engine import Engine
from llmlab.engine.devices import free_memory, memory_use, release_memory
from llmlab.engine.errors import OutOfMemoryError
from llmlab.engine.loading import load
from llmlab.engine.memory import weight_bytes, weight_layout
from llmlab.engine.session import Session
from llmlab.engine.types import ModelRequest
from tests.engine import checkpoints
from tests.engine.checkpoints import Recorder, save

pytestmark = pytest.mark.cuda

PRECISIONS = [(None, False), ("int8", False), ("nf4", False), ("nf4", True), ("fp4", False), ("fp4", True)]


@pytest.fixture(scope="module")
def middling(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of about 100 million parameters in bfloat16: large enough that blocks of the allocator do not matter."""
    folder = save("llama", tmp_path_factory.mktemp("middling"))
    config = LlamaConfig(
        vocab_size=checkpoints.VOCABULARY,
        hidden_size=1024,
        intermediate_size=2816,
        num_hidden_layers=8,
        num_attention_heads=16,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", checkpoints.MAKERS)
@pytest.mark.parametrize("dtype", ["auto", "bfloat16", "float16"])
def test_what_is_opened_computes_what_was_saved(kind: str, dtype: str, tmp_path: Path) -> None:
    loaded = load(ModelRequest(str(save(kind, tmp_path)), device="cuda", dtype=dtype))
    assert loaded.device.type == "cuda"
    assert {p.device.type for p in loaded.model.parameters()} == {"cuda"}
    ids = torch.arange(5, 20)[None]
    more = {"decoder_input_ids": ids} if kind in ("t5", "bart") else {}
    with torch.inference_mode():
        exact = checkpoints.make(kind)(input_ids=ids, **more).logits
        found = loaded.model(input_ids=ids.cuda(), **{name: value.cuda() for name, value in more.items()}).logits
    tolerance = 1e-3 if dtype == "auto" else 0.05
    assert torch.allclose(found.float().cpu(), exact, atol=tolerance * max(1.0, exact.abs().max().item()))


def test_auto_takes_the_gpu_and_the_checkpoints_format(middling: Path) -> None:
    loaded = load(ModelRequest(str(middling)))
    assert loaded.info.device.startswith("cuda")
    assert loaded.info.dtype == "bfloat16"
    assert loaded.info.notes == ()


@pytest.mark.parametrize(("quantization", "double"), PRECISIONS)
def test_bytes_on_the_gpu_are_those_foreseen(quantization: str | None, double: bool, middling: Path) -> None:
    release_memory()
    before = torch.cuda.memory_allocated()
    loaded = load(ModelRequest(str(middling), "cuda", "auto", quantization, double))
    use = memory_use(loaded)
    foreseen = weight_bytes(weight_layout(middling), "bfloat16", quantization, double=double)
    assert use.weights == foreseen
    assert use.cuda_allocated is not None
    assert use.cuda_allocated - before == pytest.approx(foreseen, rel=0.01, abs=2**20)  # 512-byte blocks
    assert use.cuda_reserved is not None
    assert use.cuda_total is not None
    assert use.cuda_allocated <= use.cuda_reserved <= use.cuda_total


@pytest.mark.parametrize(("quantization", "double"), PRECISIONS)
def test_quantized_models_generate(quantization: str | None, double: bool, middling: Path) -> None:
    engine = Engine.open(str(middling), device="cuda", quantization=quantization, double_quantization=double)
    assert len(list(engine.generate("Once upon a time", max_new_tokens=8, do_sample=False))) > 0
    engine.close()


def test_closing_gives_the_memory_back(middling: Path) -> None:
    release_memory()
    before = torch.cuda.memory_allocated()
    engine = Engine.open(str(middling), device="cuda")
    assert torch.cuda.memory_allocated() > before
    engine.close()
    assert torch.cuda.memory_allocated() == before


@pytest.fixture
def crowded() -> torch.Tensor:
    """The GPU is full but for 160 MB: too little for the model in bfloat16 (210 MB), enough in NF4 (105 MB)."""
    release_memory()
    free = torch.cuda.mem_get_info()[0]
    return torch.empty(free - 160 * 2**20, dtype=torch.uint8, device="cuda")


@pytest.mark.usefixtures("crowded")
def test_a_full_gpu_is_said_before_anything_is_loaded(middling: Path) -> None:
    with pytest.raises(OutOfMemoryError) as caught:
        load(ModelRequest(str(middling), device="cuda"))
    assert "are free" in caught.value.message
    assert "on cpu" in caught.value.hint
    loaded = load(ModelRequest(str(middling)))  # auto goes on to the CPU
    assert loaded.info.device == "cpu"
    assert "cuda:0" in loaded.info.notes[0]


@pytest.mark.usefixtures("crowded")
def test_running_out_while_loading_drops_everything(middling: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmlab.engine.placement.free_memory", lambda _: 10**12)  # as if something else took it since
    before = torch.cuda.memory_allocated()
    with pytest.raises(OutOfMemoryError):
        load(ModelRequest(str(middling), device="cuda"))
    assert torch.cuda.memory_allocated() == before
    monkeypatch.undo()
    small = load(ModelRequest(str(middling), device="cuda", quantization="nf4"))
    assert small.info.quantization == "nf4"


def test_the_session_frees_the_former_model_first(middling: Path) -> None:
    session, control = Session(), Recorder()
    session.open(ModelRequest(str(middling), device="cuda"), control)
    release_memory()
    ballast = torch.empty(free_memory(torch.device("cuda", 0)) - 50 * 2**20, dtype=torch.uint8, device="cuda")
    session.open(ModelRequest(str(middling), device="cuda", quantization="nf4"), control)
    assert any(text.startswith("Freeing the model") for text in control.texts)
    assert session.engine.info.quantization == "nf4"
    session.close()
    del ballast
    gc.collect()


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one GPU")
def test_a_model_is_split_over_gpus(middling: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    each = int(0.7 * weight_bytes(weight_layout(middling), "bfloat16"))
    monkeypatch.setattr("llmlab.engine.placement.free_memory", lambda device: each if device.type == "cuda" else 10**12)
    monkeypatch.setattr("llmlab.engine.checkpoint.free_memory", lambda _: each)
    engine = Engine.open(str(middling))
    assert "Split over" in engine.info.notes[0]
    assert len({p.device for p in engine.loaded.model.parameters()}) > 1
    assert list(engine.generate("Once", max_new_tokens=4, do_sample=False))
