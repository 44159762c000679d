"""What it costs to capture attention, against the plain forward pass of the same layers, and to look at it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from llmlab.engine import Engine
from llmlab.engine.attention.types import MapRequest
from tests.benchmarks.measure import Row, interleaved, quantile, seconds
from tests.engine import tiny

LENGTHS = (512, 1024, 2048, 4096)


def run() -> list[Row]:
    """GPT-2 small's and Llama's shapes with random weights."""
    gpt2 = _gpt2(layers=12)
    return [
        _compare("GPT-2 of 4 layers", _gpt2(layers=4), 512, repeats=7),
        _compare("GPT-2 of 4 layers", _gpt2(layers=4), 2048, repeats=3),
        _compare("a Llama of 8 layers", _llama(), 512, repeats=7),
        *_thumbnails(gpt2),
        *_file(gpt2),
        *_long_head(),
        *_memory(),
    ]


def _gpt2(layers: int) -> PreTrainedModel:
    return GPT2LMHeadModel(
        GPT2Config(vocab_size=320, n_positions=max(LENGTHS), n_layer=layers, bos_token_id=0, eos_token_id=2)
    )


def _llama() -> PreTrainedModel:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=320,
            hidden_size=512,
            intermediate_size=1024,
            num_hidden_layers=8,
            num_attention_heads=8,
            num_key_value_heads=2,
            max_position_embeddings=max(LENGTHS),
        )
    )


def _engine(model: PreTrainedModel) -> Engine:
    return tiny.wrap(model, tiny.byte_level(), context=max(LENGTHS))


def _fresh(engine: Engine, tokens: int) -> object:
    """A capture that is not remembered from the last time."""
    engine._captures.clear()
    return engine.attention(" a" * tokens)


def _compare(name: str, model: PreTrainedModel, tokens: int, repeats: int) -> Row:
    engine = _engine(model)
    ids = torch.tensor([engine.tokenize(" a" * tokens).ids.tolist()])

    def plain() -> None:
        with torch.inference_mode():
            model.base_model(input_ids=ids, use_cache=False)

    ratio = interleaved(lambda: _fresh(engine, tokens), plain, repeats).ratio
    return Row(f"capture ÷ SDPA forward, {name}, {tokens:,} tokens", ratio, "×", "at most 1.15 ×", ratio <= 1.15)


def _thumbnails(model: PreTrainedModel) -> list[Row]:
    engine = _engine(model)
    captured = engine.attention(" a" * 512)
    captured.survey()
    survey = min(seconds(captured.survey) for _ in range(3))
    text = min(seconds(lambda: (_fresh(engine, 512), engine.attention(" a" * 512).survey())) for _ in range(2))
    switches = [
        seconds(lambda head=head: captured.map(MapRequest(layer=head // 12, head=head % 12))) for head in range(36)
    ]
    switch = 1000 * quantile(switches, 0.95)
    return [
        Row("all 12 × 12 tiles and scores, 512 tokens, once captured", survey, "s", "at most 0.5 s", survey <= 0.5),
        Row("text to all 12 × 12 tiles, 512 tokens", text, "s", "at most 1.5 s", text <= 1.5),
        Row("another head's map, 512 tokens, 95th percentile", switch, "ms", "at most 50 ms", switch <= 50),
    ]


def _file(model: PreTrainedModel) -> list[Row]:
    captured = _engine(model).attention(" a" * 512)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.npz"
        took = seconds(lambda: captured.save(path))
        size = path.stat().st_size / 1e6
    return [
        Row("every weight in a file, 12 × 12 heads, 512 tokens", took, "s", "at most 3 s", took <= 3),
        Row("size of that file", size, "MB", "at most 76 MB", size <= 76),
    ]


def _long_head() -> list[Row]:
    captured = _engine(_gpt2(layers=1)).attention(" a" * 4096)
    took = min(seconds(lambda: captured.weights(0, 5)) for _ in range(2))
    pooled = min(seconds(lambda: captured.map(MapRequest(head=5, limit=1024))) for _ in range(2))
    return [
        Row("one head's weights, 4,096 tokens", took, "s", "at most 1 s", took <= 1),
        Row("one head's map pooled 4 × 4, 4,096 tokens", pooled, "s", "at most 1 s", pooled <= 1),
    ]


def _memory() -> list[Row]:
    """Peak of the process's resident memory while capturing, above what it held before; each text anew. Linux only."""
    if sys.platform != "linux":
        return []
    found = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.attention_memory", *map(str, LENGTHS)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=True,
    )
    peaks, held = ([int(each) for each in line.split()] for line in found.stdout.strip().splitlines())
    slope = (peaks[-1] - peaks[0]) / (LENGTHS[-1] - LENGTHS[0])
    bent = (peaks[3] - peaks[2]) / (peaks[2] - peaks[1]) / 2  # 1 where it grows with the tokens, 2 with their square
    rows = [
        Row(f"peak memory of a capture, Llama of 8 layers, {n:,} tokens", peak / 2**20, "MiB", "", None)
        for n, peak in zip(LENGTHS, peaks, strict=True)
    ]
    return [
        *rows,
        Row("its slope", slope / 1024, "KiB a token", "", None),
        Row("held afterwards", (held[-1] - held[0]) / (LENGTHS[-1] - LENGTHS[0]) / 1024, "KiB a token", "", None),
        Row("slope of the second half ÷ of the quarter before", bent, "×", "at most 1.3 ×", bent <= 1.3),
    ]
