"""Tokens a second of our loop with full capture: against transformers' `generate`, and against the memory's speed.

Writing a token reads every weight and the whole key-value cache once, so that bandwidth ÷ these bytes is the most that
any loop can reach without guessing ahead or a batch.
"""

from __future__ import annotations

import collections
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.utils import logging

from llmlab.engine import Engine
from llmlab.engine.memory.describe import describe
from llmlab.engine.memory.inference import InferenceSettings
from llmlab.engine.memory.roofline import decode_roofline
from tests.benchmarks.measure import Row, interleaved, seconds
from tests.engine import tiny

PROMPT = "Once upon a time there was a little girl who"
TOKENS = 32
TURNS = 41  # short and many: the machine's own pace changes from second to second
COPIED = 256_000_000  # bytes, far more than any cache holds
NO_END = -1  # a token that never comes, so that both always write as many
SAMPLING: dict[str, Any] = {"do_sample": True, "temperature": 0.8, "top_k": 50, "top_p": 0.95}
GREEDY: dict[str, Any] = {"do_sample": False}


def run() -> list[Row]:
    """The bundled decoder, and a random model with the vocabulary of Qwen."""
    logging.set_verbosity_error()  # `generate` warns about an end that never comes
    bundled = Engine.open("bundled:decoder", device="cpu", dtype="float32")
    large = _random(vocabulary=152_000)
    return [
        *_limit("bundled decoder", bundled),
        *(_on_cuda() if torch.cuda.is_available() else ()),
        *_compare("bundled decoder, sampling", bundled, SAMPLING),
        *_compare("bundled decoder, greedy", bundled, GREEDY),
        *_compare("vocabulary 152k, sampling", large, SAMPLING),
        *_compare("vocabulary 152k, greedy", large, GREEDY),
    ]


def _on_cuda() -> list[Row]:
    """Our loop with CUDA graphs, beside `generate`, the memory's speed, and itself without them."""
    name, engine = "bundled decoder on CUDA", Engine.open("bundled:decoder", device="cuda")
    return [
        *_limit(name, engine),
        *_compare(f"{name}, sampling", engine, SAMPLING),
        *_compare(f"{name}, greedy", engine, GREEDY),
        _graphs(name, engine),
    ]


def _graphs(name: str, engine: Engine) -> Row:
    def written(*, cuda_graphs: bool) -> None:
        *_, last = engine.generate(PROMPT, max_new_tokens=TOKENS, cuda_graphs=cuda_graphs, **GREEDY)
        assert last.computed.replayed is cuda_graphs, last.computed.note

    compared = interleaved(lambda: written(cuda_graphs=False), lambda: written(cuda_graphs=True))
    return Row(f"with CUDA graphs ÷ without, {name}", compared.ratio, "×", "at least 1.0 ×", compared.ratio >= 1.0)


def _compare(name: str, engine: Engine, options: dict[str, Any]) -> list[Row]:
    model, tokenizer = engine.loaded.model, engine.loaded.tokenizer
    model.generation_config.eos_token_id = NO_END
    inputs = tokenizer(PROMPT, return_tensors="pt").to(model.device)
    inputs.pop("token_type_ids", None)

    def ours() -> None:
        steps = engine.generate(PROMPT, max_new_tokens=TOKENS, capture=True, **options)
        assert collections.deque(steps, maxlen=1)[0].index == TOKENS - 1

    def theirs() -> None:
        with torch.inference_mode():
            out = model.generate(**inputs, max_new_tokens=TOKENS, pad_token_id=0, **options)
        assert out.shape[1] == inputs["input_ids"].shape[1] + TOKENS

    compared = interleaved(theirs, ours, TURNS)
    return [
        Row(f"our loop ÷ generate, {name}", compared.ratio, "×", "at least 1.0 ×", compared.ratio >= 1.0),
        Row(f"our loop, {name}", TOKENS / compared.second, "tokens/s", "", None),
    ]


def _limit(name: str, engine: Engine) -> list[Row]:
    """Greedy tokens a second, and the share of what the memory's measured speed allows."""
    loaded = engine.loaded
    steps = list(engine.generate(PROMPT, max_new_tokens=TOKENS, capture=True, **GREEDY))  # warms up as well
    steps = list(engine.generate(PROMPT, max_new_tokens=TOKENS, capture=True, **GREEDY))
    speed = (len(steps) - 1) / (steps[-1].seconds - steps[0].seconds)
    context = len(engine.tokenize(PROMPT).ids) + len(steps) // 2
    dtype = str(loaded.model.dtype).removeprefix("torch.")
    bandwidth = _bandwidth(loaded.device)
    run = InferenceSettings(dtype=dtype, cache_dtype=dtype, tokens=context)
    limit = decode_roofline(describe(loaded.model.config.to_dict()), run, round(bandwidth))
    return [
        Row(f"copy bandwidth, {loaded.device.type}", bandwidth / 1e9, "GB/s", "", None),
        Row(f"tokens/s ÷ bandwidth limit, {name}", limit.reached(speed), "×", "1 is the limit", None),
    ]


def _bandwidth(device: torch.device) -> float:
    """Bytes a second that a copy reads and writes, the best of several."""
    source = torch.ones(COPIED // 4, device=device)
    target = torch.empty_like(source)

    def copy() -> None:
        target.copy_(source)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    copy()
    return 2 * COPIED / min(seconds(copy) for _ in range(5))


def _random(vocabulary: int) -> Engine:
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=2,
        pad_token_id=1,
    )
    return tiny.wrap(LlamaForCausalLM(config), tiny.byte_level(), context=2048)
