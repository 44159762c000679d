"""LLM.int8, NF4 and FP4, with and without double quantization, on the CPU; on a GPU in test_loading_cuda."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from llmlab.engine import Engine
from llmlab.engine.devices import memory_use
from llmlab.engine.loading import LoadedModel, load
from llmlab.engine.memory import weight_bytes, weight_layout
from llmlab.engine.types import ModelRequest
from tests.engine import checkpoints
from tests.engine.checkpoints import save

QUANTIZED_LAYERS = {"int8": "Linear8bitLt", "nf4": "Linear4bit", "fp4": "Linear4bit"}
PRECISIONS = [("int8", False), ("nf4", False), ("nf4", True), ("fp4", False), ("fp4", True)]


def dequantize_4bit(data: torch.Tensor, state: Any) -> torch.Tensor:
    """By hand: the higher half of a byte is the first code; 64 weights, counted through the matrix, share a scale."""
    from bitsandbytes.functional import dequantize_blockwise  # after the engine has imported it quietly

    codes = torch.stack((data.view(-1) >> 4, data.view(-1) & 15), dim=1).view(-1)[: state.shape.numel()]
    scales = dequantize_blockwise(state.absmax, state.state2) + state.offset if state.nested else state.absmax
    return (state.code[codes.long()] * scales.repeat_interleave(64)[: len(codes)]).view(state.shape)


def opened(kind: str, folder: Path, quantization: str, *, double: bool = False, dtype: str = "float32") -> LoadedModel:
    request = ModelRequest(
        str(save(kind, folder)), device="cpu", dtype=dtype, quantization=quantization, double_quantization=double
    )
    return load(request)


def logits(model: torch.nn.Module, *, seq2seq: bool = False) -> torch.Tensor:
    ids = torch.arange(5, 20)[None]
    more = {"decoder_input_ids": ids} if seq2seq else {}
    with torch.inference_mode():
        return model(input_ids=ids, **more).logits.float().flatten()


@pytest.mark.parametrize(("quantization", "double"), PRECISIONS)
@pytest.mark.parametrize("kind", ["llama", "gpt2", "bert", "t5"])
def test_a_quantized_model_computes_nearly_the_same(kind: str, quantization: str, double: bool, tmp_path: Path) -> None:
    loaded = opened(kind, tmp_path, quantization, double=double)
    assert QUANTIZED_LAYERS[quantization] in {type(module).__name__ for module in loaded.model.modules()}
    exact = logits(checkpoints.make(kind), seq2seq=kind == "t5")
    found = logits(loaded.model, seq2seq=kind == "t5")
    likeness = torch.nn.functional.cosine_similarity(exact, found, dim=0)
    assert likeness > (0.999 if quantization == "int8" else 0.95)
    assert not torch.equal(exact, found)


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("kind", ["llama", "bert", "bart"])
def test_four_bits_on_the_cpu_are_computed_exactly(kind: str, double: bool, tmp_path: Path) -> None:
    # bitsandbytes would repack the weights for AVX512-BF16 processors, and compute in bfloat16 there. Rows of BERT and
    # BART are 32 long, half a block, which its own kernel reads wrongly.
    loaded = opened(kind, tmp_path, "nf4", double=double)
    plain = checkpoints.make(kind)
    for name, module in loaded.model.named_modules():
        if type(module).__name__ == "Linear4bit":
            weight = dequantize_4bit(module.weight.data, module.weight.quant_state)
            plain.get_submodule(name).weight.data.copy_(weight)
    seq2seq = kind == "bart"
    assert torch.allclose(logits(loaded.model, seq2seq=seq2seq), logits(plain, seq2seq=seq2seq), atol=1e-5)


@pytest.mark.parametrize(("quantization", "double"), PRECISIONS)
def test_the_facts_about_a_quantized_model(quantization: str, double: bool, tmp_path: Path) -> None:
    loaded = opened("llama", tmp_path, quantization, double=double)
    assert loaded.info.quantization == quantization
    assert loaded.info.dtype == "float32"
    assert loaded.info.parameters == sum(p.numel() for p in checkpoints.make("llama").parameters())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("quantization", "double"), PRECISIONS)
def test_bytes_in_memory_are_those_foreseen(quantization: str, double: bool, dtype: str, tmp_path: Path) -> None:
    loaded = opened("llama", tmp_path, quantization, double=double, dtype=dtype)
    layout = weight_layout(tmp_path)
    assert memory_use(loaded).weights == weight_bytes(layout, dtype, quantization, double=double)


@pytest.mark.parametrize("quantization", ["int8", "nf4"])
def test_a_quantized_model_generates_and_stays_quiet(
    quantization: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = save("llama", tmp_path)
    caplog.clear()
    with caplog.at_level(logging.WARNING, "bitsandbytes"):
        engine = Engine.open(str(folder), device="cpu", quantization=quantization)
        steps = list(engine.generate("Once upon a time", max_new_tokens=4, do_sample=False))
    assert 0 < len(steps) <= 4
    assert not [record for record in caplog.records if record.name.startswith("bitsandbytes")]


@pytest.mark.parametrize("quantization", ["int8", "nf4"])
def test_a_checkpoint_that_was_saved_quantized(quantization: str, tmp_path: Path) -> None:
    original = opened("llama", tmp_path / "plain", quantization, double=True, dtype="bfloat16")
    folder = tmp_path / "quantized"
    original.model.save_pretrained(folder)
    original.tokenizer.save_pretrained(folder)
    loaded = load(ModelRequest(str(folder), device="cpu", dtype="bfloat16"))
    assert loaded.info.quantization == quantization
    assert loaded.info.parameters == original.info.parameters
    assert torch.equal(logits(loaded.model), logits(original.model))
